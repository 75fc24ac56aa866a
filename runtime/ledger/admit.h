/* SPDX-License-Identifier: Apache-2.0 */
/* The decision about one BEGIN: who, may they, was it there before, is everything that it needs there. */
#pragma once

#include "ledger.h"
#include "subject.h"

/* One BEGIN on its way from its frame to its answer. */
struct begin {
    struct role_line *line;
    uint32_t generation, seq, registry;
    struct msg_begin ask;
    uint64_t until; /* clock_now: what is not durable by then is not let loose */

    struct subjects *subjects; /* people that it is about, NULL: nobody named */
    struct err unread;         /* why they could not be read */
    struct buf input;          /* handed over to be kept; empty: none was */
    bool again;                /* it was put off until they had keys: it counts once against its caller's rate */

    bool exchanges;             /* the ledger's own, of an exchange: nobody is answered */
    char wanted_by[NAME_BYTES]; /* then: the connector that wants the token */

    enum begin_what { BEGIN_REFUSED, BEGIN_ADMITTED, BEGIN_REPLAYED, BEGIN_KEYLESS, BEGIN_TOKENLESS } what;
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
    bool has_slot, attempt_again;
    uint8_t slot[HASH_BYTES], fingerprint[HASH_BYTES];
    struct call_ref earlier; /* attempt_again: the attempt before this one */
    bool has_answer;
    uint8_t sealed_key[SEALED_KEY];
    struct buf answer;
};

/* subject.c: what its intent says of the people it is about, sealed to them. value: empty, and what sealed points to.
 */
bool begin_about(const struct begin *begin, struct journal_sealed *sealed, struct buf *value, struct err *err);

/* payload.c: what is captured of the call, as enum capture, or-ed. */
uint32_t begin_capture(const struct begin *begin);

/* exchange.c */
/* Is this the connector that fetches tokens, by its bytes? */
bool is_exchanger(const struct entry *entry);
/* Has its credential a token that is good for a while? Where it has none, the begin becomes BEGIN_TOKENLESS; false: the
 * last exchange failed a moment ago, and this is why. */
bool check_token(struct ledger *ledger, struct begin *begin, struct err *err);
/* Inside the transaction, for a BEGIN_TOKENLESS: there is an exchange for its credential, or one begins. */
bool exchange_join(struct ledger *ledger, const struct begin *begin, struct err *err);

/* begin.c */
void begin_free(struct begin *begin);
/* Writes the intent. false: its run, where there is one, is the caller's to take back; ERR_AUDIT: the transaction's
 * end. */
bool begin_take_in(struct ledger *ledger, struct begin *begin, struct err *err);
/* One that was put off goes into the next transaction, or is refused. Both take it over. */
void begin_again(struct ledger *ledger, struct begin *begin);
void begin_refuse(struct ledger *ledger, struct begin *begin, const struct err *why);

/* admit.c */
bool entry_open_to(const struct entry *entry, const char *workspace);
/* Is there room for one more call, in general and of its connector? Its deadline, cut to what is allowed. */
bool check_room(struct ledger *ledger, struct begin *begin, struct err *err);
bool check_deadline(struct ledger *ledger, struct begin *begin, struct err *err);

/* Inside the transaction. true: decided, see what and err (a refusal is a decision). false: the log's database
 * failed, and the whole transaction with it. */
bool admit(struct ledger *ledger, struct begin *begin, struct err *err);
