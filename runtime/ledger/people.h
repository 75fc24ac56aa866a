/* SPDX-License-Identifier: Apache-2.0 */
/* Work that goes on by itself once it is recorded: erasing people, pruning bodies. Every step may be repeated: a daemon
 * that was killed between two of them takes up where it was. */
#pragma once

#include "query.h"

/* Does the next piece; returns when to come again (clock_now), 0: nothing to do. */
uint64_t erase_tick(struct ledger *ledger);
uint64_t prune_tick(struct ledger *ledger);
/* At the start, and when the log is opened anew: is there something to take up? */
void work_look(struct ledger *ledger);
