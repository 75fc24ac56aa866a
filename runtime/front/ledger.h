/* SPDX-License-Identifier: Apache-2.0 */
/* What the front asks of the ledger: who is calling, may this begin, this is how it ended, and queries. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/json.h"
#include "runtime/messages.h"

struct front;
struct conn;
struct call;

/* false: refused or not possible; call->ref may be set (the refusal has a record). */
bool ledger_begin(struct front *front, struct call *call, struct err *err);
/* Records the outcome and takes over what the ledger made of it. Repeated until answered, within bounds; when it could
 * not be recorded, call->unrecorded is set. */
void ledger_end(struct front *front, struct call *call);
/* A query or an act of administration. conn: of a WHO_PEER. *answer is an object and belongs to the caller. */
bool ledger_query(struct front *front, struct who *who, struct conn *conn, enum msg_type type, const json_t *object,
                  json_t **answer, struct err *err);
