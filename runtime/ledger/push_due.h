/* SPDX-License-Identifier: Apache-2.0 */
/* Where checkpoints are pushed to, and when the next push is due: plain values, no process around them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "runtime/messages.h"
#include "runtime/role.h"
#include "store_push.h"
#include "witness.h"

enum { PUSH_SINKS = 16, PUSH_URL = 1024, PUSH_EVERY_S = 60, PUSH_RESTS = 4 };

enum sink_kind { SINK_FILE, SINK_SYSLOG, SINK_WEBHOOK, SINK_WITNESS, SINK_KINDS };
struct sink {
    struct store_sink row; /* what is kept of it */
    enum sink_kind kind;
    bool required; /* without it no call is admitted */
    /* webhook, witness: the one call that pushes to it */
    char workspace[NAME_BYTES], connector[NAME_BYTES], action[NAME_BYTES], credential[NAME_BYTES];
    char url[PUSH_URL];
    struct witness_key witness;
    bool asked;           /* a checkpoint is on its way to it, or waits for the desk */
    unsigned asks;        /* witness: how often in this round */
    uint64_t old;         /* witness: what it said that it saw last, when asks > 0 */
    uint64_t rests;       /* clock_now: one that failed is not tried again before */
    unsigned failures;    /* in a row */
    char error[ERR_TEXT]; /* the last of them; "": none since this process began */
};

/* One call that pushes, from its question to its end. */
struct push_call {
    uint32_t number; /* 0: none */
    struct sink *sink;
    uint64_t size, old, until; /* of the checkpoint; what the witness is thought to have; clock_now: given up then */
    bool claimed, begun;       /* the one BEGIN was let in; it is call */
    bool committed;            /* the broker heard the connector say that its request goes out */
    struct call_ref call;
    struct buf input;
};

struct push {
    uint64_t every, at; /* ns; clock_now: when the last round began, 0: none yet */
    unsigned count;
    struct sink sinks[PUSH_SINKS];
    uint64_t seen;        /* of the entries that are signed, those below were looked at */
    uint64_t news;        /* one more than the index of the newest of them that no push made; 0: none */
    bool now;             /* an administrator asked */
    uint64_t round_until; /* clock_now: what waits for the desk by then has failed */
    struct push_call call;
    uint32_t numbers;
    uint32_t configs; /* how many configurations there were: answers count for the one they were asked under */
    struct {
        struct role_line *line; /* NULL: nobody waits */
        uint32_t generation, seq;
    } desk;
};

/* Does it lack something that is worth a push, and may it be asked? */
bool sink_wants(const struct sink *sink, uint64_t news, uint64_t now);
/* When is there something to look at, given how much is signed? clock_now; 0: nothing that time alone brings. */
uint64_t push_due(const struct push *push, uint64_t signed_size, uint64_t now);
/* Notes a failure: how long it is left in peace. */
void sink_failed(struct sink *sink, uint64_t size, uint64_t every, uint64_t now);
