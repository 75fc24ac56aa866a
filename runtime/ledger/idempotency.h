/* SPDX-License-Identifier: Apache-2.0 */
/* What an Idempotency-Key's earlier call means for this one (architecture.md §3): a table, asked in the intent's
 * transaction. */
#pragma once

#include "admit.h"

enum key_verdict {
    KEY_FRESH,    /* nobody used it: a new call */
    KEY_AGAIN,    /* its call did not send anything: one more attempt of the same call */
    KEY_REPLAY,   /* its call's outcome stands: replay it */
    KEY_RUNNING,  /* 409 */
    KEY_OTHER,    /* 422: another payload */
    KEY_UNCERTAIN, /* it may have been sent: never again by itself */
    KEY_TIRED      /* it was tried ATTEMPTS_MAX times: one more only by an operator's word */
};
struct key_facts {
    bool known, same_payload, ended, released; /* released: by an operator, for one more attempt */
    enum call_class class;
    enum call_sent sent;
    uint32_t attempt; /* the number of its last one, from 1 */
};
/* A connector that always says "later" is not run for ever under one key. */
enum { ATTEMPTS_MAX = 64 };
enum key_verdict key_verdict(const struct key_facts *facts);

/* One of admit()'s questions. */
bool find_earlier(struct ledger *ledger, struct begin *begin, struct err *err);
