/* SPDX-License-Identifier: Apache-2.0 */
/* Moves bytes between a worker and its peer: bounded buffers, no waiting, every byte counted before it is believed. */
#include "relay.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "broker.h"

enum { CHUNKS_A_TURN = 4, CHUNKS_AT_END = 64 };
enum step { STEP_NOTHING, STEP_MOVED, STEP_END };

/* ── life ──────────────────────────────────────────────────────────────────────────────────────────── */

static void unlink_relay(struct relay *relay)
{
    struct relay **slot = &relay->channel->relays;
    while (*slot && *slot != relay) slot = &(*slot)->next;
    if (*slot) *slot = relay->next;
    relay->channel->relay_count--;
    relay->broker->relay_count--;
}

static void unwatch(struct relay *relay)
{
    if (relay->worker_events) role_unwatch(relay->broker->role, relay->worker);
    if (relay->peer_events) role_unwatch(relay->broker->role, relay->peer);
    relay->worker_events = relay->peer_events = 0;
}

void relay_end(struct relay *relay)
{
    struct broker *broker = relay->broker;
    struct channel *channel = relay->channel;
    unwatch(relay);
    unlink_relay(relay);
    close_fd(&relay->worker);
    close_fd(&relay->peer);
    buf_clear(&relay->up.held);
    buf_clear(&relay->down.held);
    free(relay->guard);
    free(relay);
    channel_release(broker, channel);
}

static void refuse(struct relay *relay, const char *why)
{
    struct gate *gate = relay->channel->gate;
    if (gate) gate_denied(gate, relay->name.text, strlen(relay->name.text), relay->port, why);
}

static enum step over_limit(struct relay *relay)
{
    if (relay->channel->gate) relay->channel->gate->counts.limit_hit = 1;
    return STEP_END;
}

/* ── one direction ─────────────────────────────────────────────────────────────────────────────────── */

static size_t waiting(const struct flow *flow)
{
    return flow->held.used - flow->at;
}

/* Room at the end of held, at most one chunk. */
static size_t flow_room(struct flow *flow)
{
    if (waiting(flow) >= RELAY_HELD) return 0;
    if (flow->at) {
        memmove(flow->held.bytes, flow->held.bytes + flow->at, waiting(flow));
        flow->held.used -= flow->at;
        flow->at = 0;
    }
    size_t room = RELAY_HELD - flow->held.used;
    if (room > RELAY_CHUNK) room = RELAY_CHUNK;
    return buf_reserve(&flow->held, room) ? room : 0;
}

/* Bytes taken: > 0; 0: nothing there, or the flow has ended now. */
static size_t flow_read(struct flow *flow, int fd, size_t room)
{
    ssize_t got;
    do got = recv(fd, flow->held.bytes + flow->held.used, room, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        flow->held.used += (size_t)got;
        return (size_t)got;
    }
    if (got == 0 || (errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM)) flow->ended = true;
    return 0;
}

/* Bytes written; *broken: the receiver is gone. */
static size_t flow_write(struct flow *flow, int fd, bool *broken)
{
    if (!flow->ready) return 0;
    ssize_t put;
    do put = send(fd, flow->held.bytes + flow->at, flow->ready, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    if (put < 0) {
        *broken = errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM;
        return 0;
    }
    flow->at += (size_t)put;
    flow->ready -= (size_t)put;
    if (!waiting(flow)) flow->at = flow->held.used = 0;
    return (size_t)put;
}

/* The sender has finished and everything is through: say so to the receiver, once. */
static void flow_half_close(struct flow *flow, int to)
{
    if (!flow->ended || flow->shut || waiting(flow)) return;
    shutdown(to, SHUT_WR);
    flow->shut = true;
}

static void flow_drop(struct flow *flow)
{
    flow->at = flow->held.used = flow->ready = 0;
    flow->ended = flow->shut = true;
}

/* ── up ────────────────────────────────────────────────────────────────────────────────────────────── */

/* Lets through what the guard has seen; false: refused. */
static bool let_up(struct relay *relay)
{
    struct flow *up = &relay->up;
    while (relay->guard) {
        const uint8_t *from = (const uint8_t *)up->held.bytes + up->at + up->ready;
        size_t passed = guard_up(relay->guard, from, waiting(up) - up->ready);
        up->ready += passed;
        if (relay->guard->state == GUARD_REFUSED) return refuse(relay, relay->guard->why), false;
        if (relay->guard->state == GUARD_OPEN) {
            free(relay->guard);
            relay->guard = NULL;
        }
        if (!passed) break;
    }
    if (!relay->guard) up->ready = waiting(up);
    return true;
}

/* How much may be taken from the worker now. In a lease, bytes may already be the next call's, whose label lies in the
 * runner's line: then only what was there before that line was seen empty. */
static size_t may_take(struct relay *relay, size_t room)
{
    if (!relay->channel->keep || !room) return room;
    ssize_t there = recv(relay->worker, relay->up.held.bytes + relay->up.held.used, room, MSG_DONTWAIT | MSG_PEEK);
    if (there < 0 && errno == EAGAIN) return 0;
    if (there <= 0) return room; /* the end: nothing can follow it */
    return channel_label_may_wait(relay->broker) ? 0 : (size_t)there;
}

static enum step step_up(struct relay *relay, bool last)
{
    struct gate *gate = relay->channel->gate;
    struct flow *up = &relay->up;
    bool broken = false;
    size_t room = up->ended ? 0 : flow_room(up);
    if (!last) room = may_take(relay, room);
    size_t got = room ? flow_read(up, relay->worker, room) : 0;
    gate->read_up += got;
    if (gate->read_up > gate->up_max) return over_limit(relay);
    if (!let_up(relay)) return STEP_END;
    size_t put = flow_write(up, relay->peer, &broken);
    gate->counts.bytes_up += put;
    if (broken) flow_drop(up);
    flow_half_close(up, relay->peer);
    return got || put ? STEP_MOVED : STEP_NOTHING;
}

/* ── down ──────────────────────────────────────────────────────────────────────────────────────────── */

static enum step step_down(struct relay *relay)
{
    struct gate *gate = relay->channel->gate;
    struct flow *down = &relay->down;
    bool broken = false;
    size_t room = down->ended ? 0 : flow_room(down), before = down->held.used;
    size_t got = room ? flow_read(down, relay->peer, room) : 0;
    gate->read_down += got;
    gate->counts.bytes_down += got;
    if (gate->read_down > gate->down_max) return over_limit(relay);
    if (relay->guard && !guard_down(relay->guard, (uint8_t *)down->held.bytes + before, got))
        return refuse(relay, relay->guard->why), STEP_END;
    down->ready = waiting(down);
    size_t put = flow_write(down, relay->worker, &broken);
    if (broken) flow_drop(down);
    flow_half_close(down, relay->worker);
    return got || put ? STEP_MOVED : STEP_NOTHING;
}

/* ── turns ─────────────────────────────────────────────────────────────────────────────────────────── */

static enum step turn(struct relay *relay, int chunks, bool last)
{
    enum step all = STEP_NOTHING;
    while (chunks-- > 0) {
        enum step up = step_up(relay, last);
        enum step down = up == STEP_END || last ? STEP_NOTHING : step_down(relay);
        if (up == STEP_END || down == STEP_END || (relay->up.shut && relay->down.shut)) return STEP_END;
        if (up == STEP_NOTHING && down == STEP_NOTHING) break;
        all = STEP_MOVED;
    }
    if (all == STEP_MOVED) relay->moved_at = clock_now();
    return all;
}

static void ready(struct role *role, int fd, uint32_t events, void *context)
{
    relay_pump(context);
}

static bool set_watch(struct relay *relay, int fd, uint32_t wanted, uint32_t *now)
{
    if (wanted == *now) return true;
    if (!wanted)
        role_unwatch(relay->broker->role, fd);
    else if (!role_watch(relay->broker->role, fd, wanted, ready, relay))
        return false;
    *now = wanted;
    return true;
}

/* Nothing wanted means no watch at all: a hung-up descriptor would otherwise wake the loop for ever. */
static bool watch(struct relay *relay)
{
    const struct flow *up = &relay->up, *down = &relay->down;
    uint32_t worker = 0, peer = 0;
    if (!up->ended && waiting(up) < RELAY_HELD) worker |= EPOLLIN;
    if (!down->ended && waiting(down) < RELAY_HELD) peer |= EPOLLIN;
    if (down->ready) worker |= EPOLLOUT;
    if (up->ready) peer |= EPOLLOUT;
    return set_watch(relay, relay->worker, worker, &relay->worker_events) &&
           set_watch(relay, relay->peer, peer, &relay->peer_events);
}

/* Between two calls no byte passes. That the peer hung up is told, though: the next call shall find the connection
 * closed and make another, not write into one that nobody reads. */
static bool rest(struct relay *relay)
{
    struct pollfd peer = {.fd = relay->peer, .events = POLLRDHUP};
    if (poll(&peer, 1, 0) <= 0 && set_watch(relay, relay->worker, 0, &relay->worker_events) &&
        set_watch(relay, relay->peer, EPOLLRDHUP, &relay->peer_events))
        return true;
    relay_end(relay);
    return false;
}

bool relay_pump(struct relay *relay)
{
    if (relay->paused) return rest(relay);
    if (!gate_is_open(relay->channel->gate)) {
        unwatch(relay);
        return true;
    }
    if (turn(relay, CHUNKS_A_TURN, false) != STEP_END && watch(relay)) return true;
    relay_end(relay);
    return false;
}

/* What the worker wrote goes up; what the peer sent is read, because closing over unread bytes would reset the
 * connection and could take the worker's last bytes with it. */
void relay_finish(struct relay *relay)
{
    char nowhere[4096];
    if (relay->channel->gate && !relay->paused && turn(relay, CHUNKS_AT_END, true) != STEP_END) {
        shutdown(relay->peer, SHUT_WR);
        for (int i = 0; i < CHUNKS_AT_END; i++)
            if (recv(relay->peer, nowhere, sizeof nowhere, MSG_DONTWAIT) <= 0) break;
    }
    relay_end(relay);
}

bool relay_pause(struct relay *relay)
{
    struct gate *gate = relay->channel->gate;
    uint64_t before = gate->counts.bytes_up;
    enum step step = relay->paused ? STEP_NOTHING : turn(relay, CHUNKS_AT_END, true);
    relay->channel->carry += gate->counts.bytes_up - before;
    relay->paused = true;
    if (step != STEP_END) return rest(relay);
    relay_end(relay);
    return false;
}

void relay_resume(struct relay *relay)
{
    relay->paused = false;
    relay->moved_at = clock_now();
    relay_pump(relay);
}

bool relay_start(struct broker *broker, struct channel *channel, int worker, int peer, const struct name *name,
                 uint16_t port, unsigned schemes)
{
    struct relay *relay = calloc(1, sizeof *relay);
    bool plain = schemes & SCHEME_BIT(SCHEME_PLAIN);
    struct guard *guard = plain ? NULL : guard_new(schemes, name);
    if (!relay || (!plain && !guard)) {
        close(worker);
        close(peer);
        free(relay);
        free(guard);
        return false;
    }
    *relay = (struct relay){.next = channel->relays,
                            .broker = broker,
                            .channel = channel,
                            .worker = worker,
                            .peer = peer,
                            .guard = guard,
                            .name = *name,
                            .port = port,
                            .schemes = schemes,
                            .moved_at = clock_now()};
    buf_init(&relay->up.held, RELAY_HELD + RELAY_CHUNK);
    buf_init(&relay->down.held, RELAY_HELD + RELAY_CHUNK);
    channel->relays = relay;
    channel->relay_count++;
    broker->relay_count++;
    role_wake_at(broker->role, relay->moved_at + broker->config.idle_s * CLOCK_S);
    return relay_pump(relay);
}

uint64_t relay_tick(struct broker *broker, uint64_t now)
{
    uint64_t idle = broker->config.idle_s * CLOCK_S, next = 0;
    for (struct channel *channel = broker->channels, *after; channel; channel = after) {
        after = channel->next;
        for (struct relay *relay = channel->relays, *other; relay; relay = other) {
            other = relay->next;
            uint64_t until = relay->moved_at + idle;
            if (relay->paused) continue;
            if (until > now) {
                if (!next || until < next) next = until;
                continue;
            }
            over_limit(relay);
            relay_end(relay); /* the last one may take the channel along, so `other` is then NULL */
        }
    }
    return next;
}
