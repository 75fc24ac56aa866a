/* SPDX-License-Identifier: Apache-2.0 */
/* OAuth2 exchanges that are under way: the worker has its grant and its call, and its answer comes back here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "keys.h"
#include "runtime/messages.h"
#include "runtime/role.h"

enum { EXCHANGES = 64 };

/* The ends of an exchange's worker that else are the front's. */
struct exchange_ends {
    bool given;
    int stream, reply; /* call stream (write), reply pipe (read); ours while given */
};
/* Those that came along behind the credential pipe; false: they are not what they should be, and stay where they are.
 */
bool exchange_ends_take(struct exchange_ends *ends, struct wire_frame *frame);
void exchange_ends_close(struct exchange_ends *ends);

struct exchange {
    struct msg_order *order; /* ciphertext, opened once more when the answer is there; NULL: it is there */
    int reply;
    struct msg_tokens *tokens; /* what the ledger is told; NULL: this place is free */
    uint64_t until, again;     /* clock_now: the order's deadline; when it is told again */
};
struct exchanges {
    struct exchange list[EXCHANGES];
};

/* Writes the call frame into the stream and waits for the reply, which is its own from then on. Whatever comes of it,
 * the ledger is told, again and again until it says that it has it (it may die before that) or a while has passed.
 * order: freed. */
void exchange_start(struct role *role, struct msg_order *order, struct exchange_ends *ends);
/* The ledger wants no word of it, or has it. */
void exchange_forget(struct role *role, const struct call_ref *call);
/* Gives up those whose time is over, and says the others again. */
void exchanges_tick(struct role *role);
/* When to come again, 0: there is none. */
uint64_t exchanges_due(const struct exchanges *exchanges);
void exchanges_close(struct role *role);

/* release.c: what an order's ciphertexts are bound to; its keys, opened into the key store's work. */
struct key_context order_context(const struct msg_order *order, const char *purpose);
bool order_keys(struct keys *keys, const struct msg_order *order, struct err *err);
