/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's own things: a gate per call, a channel per worker, dials under way, and relays.
 * Gate and channel are joined by call and attempt; both come from different lines, in any order. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "egress.h"
#include "policy.h"
#include "relay.h"
#include "resolver.h"
#include "runtime/role.h"

enum {
    GATES_MAX = 4096,  /* open, or shut and not yet asked for */
    GATES_KEPT = 1024, /* answered ones, in case the ledger asks again */
    GATE_BUCKETS = 1024,
    CHANNELS_MAX = 2048,
    RELAYS_MAX = 1200, /* two descriptors each: role.h bounds them */
    DIALS_MAX = 512,   /* names and connections under way */
    RANGES_MAX = 64
};
#define JOIN_WAIT (1 * CLOCK_S)    /* a half without its gate waits that long */
#define GATE_FORGET (60 * CLOCK_S) /* a shut gate is kept that long past its deadline */

enum gate_state { GATE_IS_OPEN, GATE_SHUT, GATE_ANSWERED };

struct gate {
    struct gate *next;               /* in its bucket */
    struct gate *older, *newer;      /* answered ones, oldest first */
    struct gate *next_closing;       /* asked to close while its half may still lie in the runner's line */
    uint32_t close_seq, close_tries; /* tries: 0 = not asked */
    enum gate_state state;
    struct call_ref call;
    uint8_t entry_digest[HASH_BYTES];
    const struct entry *entry; /* NULL: not in the registry in force; every dial is denied */
    char audience[AUDIENCE_MAX];
    uint64_t deadline;
    uint64_t up_max, down_max, read_up, read_down; /* read_up, read_down: taken from the sockets, for the caps */
    uint32_t dials_max;
    bool over; /* the worker said that its action is: nothing of this call can follow on its connections */
    struct channel *channel; /* NULL: no half yet, or gone */
    struct msg_gate_closed counts;
};

struct channel {
    struct channel *next;
    uint32_t number;
    int fd;               /* -1: the worker is gone; the rest lives until its relays end */
    bool keep;            /* a lease: lives on after the call */
    bool reported;        /* one incident a call is enough */
    bool early_commit;    /* the worker committed before its gate came */
    bool closing;         /* its call is ending: no new dial */
    bool relabelling;     /* the next call's label is here: what is malformed is that one's */
    unsigned holds;       /* somebody is still looking at it */
    struct call_ref call; /* the label */
    uint8_t entry_digest[HASH_BYTES];
    struct gate *gate;   /* joined; may be shut */
    struct gate *former; /* the lease's call before it, which the ledger has not closed yet */
    uint64_t wait_until; /* a half that waits for its gate, or a request ahead of its label; 0: does not wait */
    bool has_ahead;
    struct egress_ask ahead; /* came before the label of its call */
    struct err ahead_why;    /* what is wrong with it, when it is malformed */
    uint64_t carry;          /* bytes that may belong to the next call as well */
    struct relay *relays;
    struct dial *dials;
    unsigned relay_count, dial_count;
};

struct dial;

struct broker {
    struct role *role;
    struct config config;
    struct resolver resolver;
    struct registry registry;
    struct gate *buckets[GATE_BUCKETS];
    struct gate *oldest, *newest; /* answered */
    struct gate *closing;
    unsigned gate_count, kept_count;
    struct channel *channels;
    unsigned channel_count, relay_count, dial_count;
};

static inline struct broker *broker_of(struct role *role)
{
    return role->state;
}

/* ── gate.c ────────────────────────────────────────────────────────────────────────────────────────── */

void gate_on_open(struct role *role, struct role_line *line, const struct role_message *message);
void gate_on_close(struct role *role, struct role_line *line, const struct role_message *message);
struct gate *gate_find(struct broker *broker, const struct call_ref *call);
bool gate_is_open(const struct gate *gate);
/* Passes no byte from now on; the counts stay until the ledger asks. flush: what the worker has written already may
 * still go up. */
void gate_shut(struct broker *broker, struct gate *gate, bool flush);
/* A dial that policy refused, or a relay that was ended for what went over it: counted, kept for the record, logged.
 * host: as it came, length bytes. */
void gate_denied(struct gate *gate, const char *host, size_t length, uint16_t port, const char *why);
/* Another registry: open gates go on with their entry if it is still there unchanged, else they are shut. */
void gate_rebind(struct broker *broker);
void gate_shut_all(struct broker *broker);
/* Takes the channel out of its gates. */
void gate_detach(struct channel *channel);
/* After every round of the event loop: the gates that wait for it are closed and answered. */
void gate_turn(struct broker *broker);
uint64_t gate_tick(struct broker *broker, uint64_t now);
void gate_clear(struct broker *broker);

/* ── channel.c ─────────────────────────────────────────────────────────────────────────────────────── */

void channel_on_half(struct role *role, struct role_line *line, const struct role_message *message);
/* The gate is there now. */
void channel_join(struct broker *broker, struct channel *channel, struct gate *gate);
struct channel *channel_labelled(struct broker *broker, const struct call_ref *call);
/* Reads what the worker has asked so far, so that no COMMIT is lost. closing: dials among it are refused. */
void channel_drain(struct broker *broker, struct channel *channel, bool closing);
/* false: the worker is gone, or does not read its answers: the channel then ends by itself. fd: -1 or what comes
 * along. */
bool channel_answer(struct broker *broker, struct channel *channel, uint32_t id, unsigned status, const char *text,
                    int fd);
/* Drains, ends dials and relays, closes. The channel may be gone afterwards. */
void channel_close(struct broker *broker, struct channel *channel);
/* A relay or dial of it has ended: frees it when nothing needs it any more. */
void channel_release(struct broker *broker, struct channel *channel);
/* The runner's line has something to read: perhaps a half or a label that somebody waits for. */
bool channel_label_may_wait(struct broker *broker);
void channel_close_all(struct broker *broker);
uint64_t channel_tick(struct broker *broker, uint64_t now);

/* ── dial.c ────────────────────────────────────────────────────────────────────────────────────────── */

/* Decides, resolves, checks, connects; answers on the channel sooner or later. */
void dial_start(struct broker *broker, struct channel *channel, const struct egress_ask *ask);
/* Ends the dials of a channel; each is answered EGRESS_CLOSED. */
void dial_cancel_all(struct broker *broker, struct channel *channel);
uint64_t dial_tick(struct broker *broker, uint64_t now);
