/* SPDX-License-Identifier: Apache-2.0 */
/* Epochs: the next log after one that must not be continued. */
#pragma once

#include "ledger.h"

/* Puts the log that was found aside (data/audit-epoch-N.db) and begins the next one; everything is loaded anew. */
bool epoch_begin(struct ledger *ledger, const char *reason, struct err *err);
/* Inside a transaction: a witness knows another log than this one. Calls wait, and unless an administrator lets them run
 * on, the next start begins the next epoch. */
bool epoch_doubt(struct ledger *ledger, const char *why, struct err *err);
/* Did it come to that, and nobody said otherwise? why: "" when not. */
bool epoch_doubted(struct ledger *ledger, char why[ERR_TEXT], struct err *err);
/* Does this log follow another, and are calls held back? */
bool epoch_open(struct ledger *ledger, struct err *err);
/* An administrator has looked: calls run again. */
bool epoch_released(struct ledger *ledger, struct err *err);
