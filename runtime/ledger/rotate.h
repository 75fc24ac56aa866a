/* SPDX-License-Identifier: Apache-2.0 */
/* Rotations: what stands in vault.db's table `rotation`, and what goes on by itself from wherever a crash left it.
 * docs/operations.md lists the steps; these are their numbers. */
#pragma once

#include "ledger.h"
#include "store_rotate.h"

enum rotate_step {
    ROTATE_WRAPPING = 1, /* keys go under the newer one, a batch at a time */
    ROTATE_WRAPPED,      /* master: none is left; the command puts the new file in the place of the old one */
    ROTATE_CLOSED,       /* workspace: none is left, the old version is not read any more */
    ROTATE_DESTROYED     /* workspace: the old version is gone; the file has yet to lose what it overwrote */
};
const char *rotate_step_name(uint32_t step);

enum { ROTATE_PAUSE_MS = 20, ROTATE_RETRY_MS = 200, ROTATE_STUCK_S = 60, ROTATE_WANT_S = 10 };

#define ROTATE_MASTER "master"
/* "workspace " and the workspace's id. */
void rotate_job_name(const uint8_t workspace[ID_BYTES], char job[64]);
bool rotate_is_master(const struct store_rotation *rotation);

/* The name of the key that a rotation goes to, zeroed for a workspace's. */
void rotate_target(const struct ledger *ledger, const struct store_rotation *rotation, uint8_t to[KEY_NAME]);
/* One record about a step: act, what it is about, the new version, how many keys went over. */
bool rotate_record(struct ledger *ledger, const char *act, const struct store_rotation *rotation, struct err *err);
/* Nothing is done for a while. */
void rotate_pause(struct ledger *ledger, unsigned ms);

/* rotate_master.c: asks the vault for its keys and compares. */
void rotate_ask_keys(struct ledger *ledger);
/* No key is left under the old one. */
bool rotate_master_wrapped(struct ledger *ledger, struct store_rotation *rotation, struct err *err);
/* rotate_workspace.c: the steps after the walk. */
bool rotate_workspace_next(struct ledger *ledger, struct store_rotation *rotation, struct err *err);
/* Makes the new version of the query's workspace's key and answers the query. */
bool rotate_workspace_begin(struct ledger *ledger, const struct waiting *how, const struct store_workspace *workspace,
                            struct err *err);
