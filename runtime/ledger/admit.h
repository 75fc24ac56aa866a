/* SPDX-License-Identifier: Apache-2.0 */
/* The decision about one BEGIN: who, may they, was it there before, is everything that it needs there. */
#pragma once

#include "ledger.h"

/* One BEGIN on its way from its frame to its answer. */
struct begin {
    struct role_line *line;
    uint32_t generation, seq, registry;
    struct msg_begin ask;
    uint64_t until; /* clock_now: what is not durable by then is not let loose */

    enum begin_what { BEGIN_REFUSED, BEGIN_ADMITTED, BEGIN_REPLAYED } what;
    struct err err;
    struct msg_begun begun;
    struct caller caller;
    struct store_workspace workspace;
    struct store_keys keys;
    const struct entry *entry;
    const struct entry_action *action;
    struct store_credential credential; /* version 0: none */
    struct msg_order *order;            /* admitted */
    struct running *run;                /* admitted */
    bool has_slot, attempt_again, released;
    uint8_t slot[HASH_BYTES], fingerprint[HASH_BYTES];
    struct call_ref earlier; /* attempt_again: the attempt before this one */
    bool has_answer;
    uint8_t sealed_key[SEALED_KEY];
    struct buf answer;
};

/* Inside the transaction. true: decided, see what and err (a refusal is a decision). false: the log's database
 * failed, and the whole transaction with it. */
bool admit(struct ledger *ledger, struct begin *begin, struct err *err);
