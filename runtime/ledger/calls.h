/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that are running, in memory, with what each side has said of them so far. */
#pragma once

#include "runtime/messages.h"
#include "runtime/role.h"
#include "store.h"

/* The life of an attempt here. Every move is in calls.c's table. */
enum run_state {
    RUN_NEW,     /* its intent is in a transaction that is not yet durable */
    RUN_OPEN,    /* let loose */
    RUN_CLOSING, /* its end is known; waiting for broker and, at times, runner */
    RUN_READY,   /* everything is known: the next commit writes its outcome */
    RUN_STATES
};

struct running {
    struct running *next, *previous; /* all of them */
    struct share *share;             /* its connector's */
    struct store_call call;
    enum run_state state;
    uint32_t entry;
    struct role_line *front; /* where it was begun */
    uint32_t taker;          /* ROLE_FRONT or ROLE_DESK: who begins, takes and ends it */
    bool push;               /* it pushes a checkpoint */
    uint32_t front_generation, runner_generation, broker_generation;
    bool adopted; /* taken over from an earlier ledger process */
    bool about;   /* people: what is kept of it goes with them */
    bool fetches; /* an OAuth2 exchange: the vault says how it ended, and no front */

    bool ordered, started; /* the vault's order, the runner's start were sent */
    bool gated;            /* a gate was opened for it: only then can anything have been sent */
    bool has_end, has_gate, has_worker;
    bool worker_late; /* its end was reported past the deadline */
    bool gate_asked, gate_lost; /* lost: that broker is gone, nothing can be known */
    struct msg_end end;
    uint8_t *answer; /* end.answer_length bytes */
    uint32_t capture; /* enum capture: what its intent says is kept of it */
    struct buf reply; /* captured; empty: none came, or it is too large */
    struct msg_gate_closed gate;
    struct msg_worker_ended worker;
    struct role_line *asked; /* who wants MSG_ENDED */
    uint32_t asked_generation, asked_seq;
    uint64_t until, worker_until; /* clock_now: how long to wait for the broker, the runner */
    uint64_t close_at;            /* clock_now: ends as lost then, 0 = at its deadline + 1 s */
    enum call_reason close_reason;
    enum call_class front_class; /* what the front said, when another word decided */
    uint64_t duration_us;              /* of one that comes out of the spill file; 0: until now */
    uint32_t tried_count, tried_kept;  /* refused system calls of its worker; different ones are in tried */
    struct violation tried[REPORTS];
};

/* How many calls of one connector run. */
struct share {
    char connector[NAME_BYTES];
    unsigned count;
};

enum { CALLS_BUCKETS = 2048 };
struct calls {
    struct running *first;
    unsigned count;
    struct share shares[CALLS_BUCKETS];     /* open addressing by name; one whose count is 0 may be taken over */
    struct running *buckets[CALLS_BUCKETS]; /* open addressing by call id; at most half full */
};

struct running *calls_add(struct calls *calls, const struct store_call *call);
struct running *calls_find(const struct calls *calls, const struct call_ref *ref);
void calls_remove(struct calls *calls, struct running *run);
void calls_clear(struct calls *calls);
unsigned calls_of_connector(const struct calls *calls, const char *connector);
/* false: not an allowed move, and nothing changed. */
bool run_move(struct running *run, enum run_state to);
