/* SPDX-License-Identifier: Apache-2.0 */
/* What the rows of the verb table run; one file per family. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "cli.h"

/* verb_init.c */
bool verb_init(struct cli *cli, struct err *err);
/* verb_key.c */
bool verb_key_status(struct cli *cli, struct err *err);
bool verb_key_rotate(struct cli *cli, struct err *err);
/* verb_daemon.c */
bool verb_status(struct cli *cli, struct err *err);
bool verb_reload(struct cli *cli, struct err *err);
bool verb_freeze(struct cli *cli, struct err *err);
bool verb_thaw(struct cli *cli, struct err *err);
bool verb_completion(struct cli *cli, struct err *err);
/* verb_doctor.c */
bool verb_doctor(struct cli *cli, struct err *err);
/* verb_plugin.c, verb_enable.c */
bool verb_plugin_list(struct cli *cli, struct err *err);
bool verb_plugin_inspect(struct cli *cli, struct err *err);
bool verb_plugin_verify(struct cli *cli, struct err *err);
bool verb_plugin_enable(struct cli *cli, struct err *err);
bool verb_plugin_disable(struct cli *cli, struct err *err);
/* verb_connector.c */
bool verb_connector_test(struct cli *cli, struct err *err);
/* verb_credential.c */
bool verb_credential_set(struct cli *cli, struct err *err);
bool verb_credential_rotate(struct cli *cli, struct err *err);
bool verb_credential_list(struct cli *cli, struct err *err);
bool verb_credential_show(struct cli *cli, struct err *err);
bool verb_credential_remove(struct cli *cli, struct err *err);
bool verb_credential_vkey(struct cli *cli, struct err *err);
/* verb_import.c */
bool verb_credential_import(struct cli *cli, struct err *err);
/* verb_lease.c */
bool verb_lease_list(struct cli *cli, struct err *err);
bool verb_lease_revoke(struct cli *cli, struct err *err);
/* verb_call.c */
bool verb_call(struct cli *cli, struct err *err);
bool verb_calls_list(struct cli *cli, struct err *err);
bool verb_calls_show(struct cli *cli, struct err *err);
bool verb_calls_retry(struct cli *cli, struct err *err);
bool verb_calls_cancel(struct cli *cli, struct err *err);
/* verb_audit.c */
bool verb_audit_tail(struct cli *cli, struct err *err);
bool verb_audit_verify(struct cli *cli, struct err *err);
bool verb_audit_checkpoint(struct cli *cli, struct err *err);
bool verb_audit_vkey(struct cli *cli, struct err *err);
bool verb_audit_push(struct cli *cli, struct err *err);
/* A running daemon signs what it has written so far. Whether it does is of no account. */
void verb_have_signed(struct cli *cli);
/* verb_proof.c */
bool verb_audit_prove(struct cli *cli, struct err *err);
bool verb_audit_consistency(struct cli *cli, struct err *err);
bool verb_audit_export(struct cli *cli, struct err *err);
bool verb_audit_roll(struct cli *cli, struct err *err);
bool verb_audit_epoch(struct cli *cli, struct err *err);
/* verb_keep.c */
bool verb_audit_erase(struct cli *cli, struct err *err);
bool verb_audit_person(struct cli *cli, struct err *err);
bool verb_audit_prune(struct cli *cli, struct err *err);
bool verb_audit_hold(struct cli *cli, struct err *err);
/* verb_payload.c */
bool verb_audit_payload(struct cli *cli, struct err *err);
/* Puts the captured payloads that are this person's alone into what is exported about them. */
bool payloads_add(struct cli *cli, json_t *person, struct err *err);
/* verb_access.c */
bool verb_token_create(struct cli *cli, struct err *err);
bool verb_token_list(struct cli *cli, struct err *err);
bool verb_token_revoke(struct cli *cli, struct err *err);
bool verb_workspace_create(struct cli *cli, struct err *err);
bool verb_workspace_list(struct cli *cli, struct err *err);

/* verb_provider.c */
bool verb_key_rotate_provider(struct cli *cli, struct err *err);
bool verb_key_check(struct cli *cli, struct err *err);
bool verb_key_recovery(struct cli *cli, struct err *err);
/* verb_backup.c */
bool verb_backup(struct cli *cli, struct err *err);
bool verb_restore(struct cli *cli, struct err *err);

/* Has a running daemon write down what was done with the keys, or to all of the files; says so where none does. */
bool verb_key_record(struct cli *cli, const char *act, const char *text);
/* The folders and the configuration of a home folder, without keys. */
bool verb_init_home(struct cli *cli, struct err *err);
/* Prints the answer: JSON where it was asked for, else rows of its list. */
struct print_field;
struct json_t;
void verb_show_rows(const struct cli *cli, const struct json_t *answer, const struct print_field *fields,
                    const char *none);
/* Asks on a terminal; false where there is none or the answer is not y or yes. */
bool verb_confirm(const char *question);
