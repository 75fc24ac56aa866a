/* SPDX-License-Identifier: Apache-2.0 */
/* Signed checkpoints, for the files that ask for one. */
#pragma once

#include "ledger.h"

/* Everyone who asked for a checkpoint is answered once the newest covers what there was, or with why not
 * (query_audit.c). */
void checkpoint_tell(struct ledger *ledger, const struct err *why);
/* Is what is recorded signed? Not while the vault refuses to, or the parent cannot write it down, several times in turn. */
bool checkpoint_admits(const struct ledger *ledger, struct err *err);
/* At the start, with the signing keys known: false: they are not those that the vault was told of. */
bool checkpoint_key_fits(const struct ledger *ledger, char why[ERR_TEXT]);
/* Where the parent has nothing written down: takes the log's newest checkpoint for what was signed last. */
bool checkpoint_own_word(struct ledger *ledger, struct err *err);
/* At a clean stop: one more, waited for. */
void checkpoint_last(struct ledger *ledger);
