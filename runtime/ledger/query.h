/* SPDX-License-Identifier: Apache-2.0 */
/* Queries and administration: one JSON object in, one out; authorised by the table in authorise.c before any handler.
 */
#pragma once

#include <jansson.h>

#include "ledger.h"

struct query {
    struct ledger *ledger;
    struct role_line *line;
    uint32_t generation, seq;
    unsigned type;
    json_t *in; /* an object, also when the body was empty */
    struct caller caller;
    struct store_workspace workspace; /* the one that the query names, "default" when none */
    const struct call_ref *call;      /* what an admin record is about, NULL: no call */
    bool later;                       /* the handler has taken over: it answers by itself */
};

/* Sets *out (owned by the caller) on true; leaves it when query->later. */
typedef bool query_handler(struct query *query, json_t **out, struct err *err);

query_handler query_calls_list, query_calls_get, query_calls_retry, query_calls_cancel;
query_handler query_connectors, query_plugin_list, query_health;
query_handler query_token_create, query_token_list, query_token_revoke;
query_handler query_credential_set, query_credential_list, query_credential_show, query_credential_remove;
query_handler query_submission_key, query_lease_list, query_lease_revoke;
query_handler query_workspace_create, query_workspace_list;
query_handler query_key_status, query_key_rotate, query_key_master, query_renew;
query_handler query_plugin_record, query_reload, query_freeze_record, query_key_record;
query_handler query_audit_tail, query_audit_checkpoint, query_audit_vkey, query_audit_roll, query_audit_epoch;
query_handler query_audit_push;
query_handler query_audit_erase, query_audit_person, query_audit_payload, query_audit_prune;
query_handler query_hold_add, query_hold_list, query_hold_remove;

/* Does the caller have this right in query->workspace? */
bool query_may(const struct query *query, unsigned right);
/* For messages that name an object by id: its workspace becomes the query's, if the caller has the message's right
 * there; else ERR_NOT_FOUND. */
bool query_enter(struct query *query, const uint8_t workspace[ID_BYTES], struct err *err);

/* Answers with a value or an error. */
void query_answer(struct ledger *ledger, struct role_line *line, uint32_t generation, uint32_t seq, const json_t *value,
                  const struct err *err);
/* How to answer later: fills line, generation and asked_seq. */
struct waiting query_waiting(const struct query *query, wait_done *done, uint64_t until);

/* Members of the object: "" / usual / NULL when they are not there; ERR_BAD_INPUT when they are wrong. */
bool in_text(const struct query *query, const char *key, char *text, size_t size, struct err *err);
bool in_name(const struct query *query, const char *key, char name[NAME_BYTES], bool required, struct err *err);
bool in_number(const struct query *query, const char *key, uint64_t usual, uint64_t most, uint64_t *out,
               struct err *err);
bool in_id(const struct query *query, const char *key, uint8_t id[ID_BYTES], struct err *err);
/* "before", where a page of a list goes on; one above every id when it is not there. */
bool in_before(const struct query *query, uint8_t before[ID_BYTES], struct err *err);

/* "2026-01-02T03:04:05.678Z", JSON null for 0. */
json_t *time_json(uint64_t ns);
json_t *id_json(const uint8_t id[ID_BYTES]);
/* What an entry says, with what stands in the clear beside it (query_audit.c). */
json_t *entry_json(struct store *store, const struct store_entry *entry);
/* One attempt of a call, as `calls show` has it (query_calls.c). */
json_t *call_json(const struct store_call *call, const char *workspace);
/* Room that is left in an answer for a list: what json_dumps would add for value is taken off; false: it is full. */
bool list_add(json_t *list, json_t *value, size_t *room);
enum { LIST_ROOM = 56 * 1024, LIST_MOST = 500 };

/* A page of a list that may be longer: begins as {.list = …, .room = LIST_ROOM}. */
struct list_page {
    json_t *list;
    size_t room;
    char last[NAME_BYTES]; /* the key that the page after it goes on behind; holds an id too */
    bool more;
};
/* Takes the row of that key, or passes the key over where row is NULL; false: it is full, and the key is for the page
 * after it. */
bool page_add(struct list_page *page, json_t *row, const char *key);
bool page_add_id(struct list_page *page, json_t *row, const uint8_t id[ID_BYTES]);
/* {name: the list, "next": the key, where there is more}. */
json_t *page_json(const struct list_page *page, const char *name);

/* query_grant.c */
/* "fields" when nothing is said. An OAuth2 client names the host that its tokens come from: all that an exchange may
 * reach. */
bool grant_read(const struct query *query, uint32_t *kind, char token_host[FRAME_HOST], struct err *err);
/* Its fields, and no others: the access token is for exchanges to bring. */
bool grant_sound(const struct msg_seal_answer *sealed, struct err *err);

/* query_credentials.c */
bool host_plain(const char *host);
/* Has the vault's answer the form that it must have? */
bool sealed_sound(const struct msg_seal_answer *sealed);
/* Leases with an older version end; a call that runs finishes first when after_call says so. */
void leases_end(struct ledger *ledger, const struct store_credential *credential, bool after_call);

/* Why somebody ordered it, where they said so, for the record of that. */
bool record_reason(const struct query *query, struct record *record, struct err *err);
/* One admin record, durable when this returns true; fields of `record` were set by the caller. */
bool admin_record(struct query *query, const char *act, struct record *record, struct err *err);
