/* SPDX-License-Identifier: Apache-2.0 */
/* Release: the ledger's order and the runner's half of the same call, kept until they meet. In the picture of one
 * call this is the step after the intent is durable: one frame into the pipe that only the worker reads. */
#pragma once

#include "channels.h"
#include "exchange.h"
#include "keys.h"
#include "runtime/messages.h"
#include "used.h"

enum { ORDERS = 1024, HALVES = 1024 };

/* An order that waits; a copy as long as its last field. */
struct waiting_order {
    struct call_ref call; /* attempt 0: this place is free */
    uint64_t deadline;
    struct msg_order *order;
};

/* A half that waits. Its pipe is its channel's. */
struct waiting_half {
    struct call_ref call; /* attempt 0: this place is free */
    uint64_t deadline;
    uint32_t channel, entry;
    bool keep;
    struct exchange_ends ends;
    uint8_t entry_digest[HASH_BYTES];
};

struct release {
    unsigned order_top, half_top; /* places from here on are free */
    struct waiting_order orders[ORDERS];
    struct waiting_half halves[HALVES];
    struct channels channels;
    struct used used;
    struct exchanges exchanges;
};

void release_init(struct release *release);
/* The line's other side is a new process: nothing of the old one counts any more. */
void release_forget_orders(struct release *release);
void release_forget_halves(struct release *release);
/* Before the next master key takes over: what orders bring along, waiting ones and those of exchanges, goes under it.
 */
void release_rewrap(struct release *release, struct keys *keys);
/* Ends what waited too long; returns when to come again, 0 = nothing waits. */
uint64_t release_tick(struct release *release);
