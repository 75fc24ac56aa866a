/* SPDX-License-Identifier: Apache-2.0 */
/* Signed checkpoints, for the files that ask for one. */
#pragma once

#include "ledger.h"

/* Everyone who asked for a checkpoint is answered once the newest covers what there was, or with why not
 * (query_audit.c). */
void checkpoint_tell(struct ledger *ledger, const struct err *why);
/* At a clean stop: one more, waited for. */
void checkpoint_last(struct ledger *ledger);
