/* SPDX-License-Identifier: Apache-2.0 */
/* The keys that sign the log, one after the other: which one's turn it is, and letting the next take over. */
#pragma once

#include "ledger.h"

/* What the next checkpoint is signed with. false: there is no key yet, or none that fits. */
bool signer_turn(struct ledger *ledger, struct signer_key *signer, struct signer_key *next, uint64_t *size);
/* A checkpoint of that size is stored: a roll that it covers is over, and the old key is destroyed. */
void signer_stored(struct ledger *ledger, uint64_t size);
/* Everyone who asked for a roll hears of it (query_audit.c). why: NULL when it is done. */
void roll_tell(struct ledger *ledger, const struct err *why);
