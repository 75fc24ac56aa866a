/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of one worker: bytes both ways, counted into the gate that is open, checked by the guard first. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "guard.h"

struct broker;
struct channel;

enum { RELAY_CHUNK = 16 * 1024, RELAY_HELD = 32 * 1024 };

/* Bytes in one direction: held.bytes[at … used) wait, ready of them may go on. */
struct flow {
    struct buf held;
    size_t at, ready;
    bool ended, shut; /* ended: nothing more comes; shut: and the other side was told */
};

struct relay {
    struct relay *next;
    struct broker *broker;
    struct channel *channel;
    int worker, peer;
    uint32_t worker_events, peer_events; /* watched now */
    bool paused;                         /* between two calls of a lease */
    struct flow up, down;
    struct guard *guard; /* NULL: nothing to check any more */
    struct name name;
    uint16_t port;
    unsigned schemes;
    uint64_t moved_at;
};

/* Takes both descriptors over, also when it fails. false: no memory or no room. */
bool relay_start(struct broker *broker, struct channel *channel, int worker, int peer, const struct name *name,
                 uint16_t port, unsigned schemes);
/* Moves what can be moved right now, without waiting. false: the relay has ended and is gone. */
bool relay_pump(struct relay *relay);
/* The last bytes that the worker wrote before its call ended go up; then the relay ends. */
void relay_finish(struct relay *relay);
/* The same, but the connection is kept for the next call of the lease. false: it is gone. */
bool relay_pause(struct relay *relay);
void relay_resume(struct relay *relay);
/* Ends it at once. */
void relay_end(struct relay *relay);
uint64_t relay_tick(struct broker *broker, uint64_t now);
