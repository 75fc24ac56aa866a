/* SPDX-License-Identifier: Apache-2.0 */
/* Gates: one per call and attempt, opened and closed by the ledger, closed by themselves at the deadline. What they
 * counted is the only proof of what was sent, so it is kept until the ledger has it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker.h"

enum { DEFAULT_DIALS = 64, DEFAULT_MB = 64, CLOSE_TRIES = 16 };

/* ── the table ─────────────────────────────────────────────────────────────────────────────────────── */

static bool same_call(const struct call_ref *one, const struct call_ref *other)
{
    return one->attempt == other->attempt && memcmp(one->id, other->id, ID_BYTES) == 0;
}

static struct gate **bucket_of(struct broker *broker, const struct call_ref *call)
{
    unsigned random; /* the last bytes of a UUIDv7 are random */
    memcpy(&random, call->id + ID_BYTES - sizeof random, sizeof random);
    return &broker->buckets[(random + call->attempt) % GATE_BUCKETS];
}

struct gate *gate_find(struct broker *broker, const struct call_ref *call)
{
    struct gate *gate = *bucket_of(broker, call);
    while (gate && !same_call(&gate->call, call)) gate = gate->next;
    return gate;
}

bool gate_is_open(const struct gate *gate)
{
    return gate && gate->state == GATE_IS_OPEN && clock_now() < gate->deadline;
}

static void unlink_kept(struct broker *broker, struct gate *gate)
{
    if (gate->older)
        gate->older->newer = gate->newer;
    else
        broker->oldest = gate->newer;
    if (gate->newer)
        gate->newer->older = gate->older;
    else
        broker->newest = gate->older;
    broker->kept_count--;
}

static void free_gate(struct broker *broker, struct gate *gate)
{
    struct gate **slot = bucket_of(broker, &gate->call);
    while (*slot != gate) slot = &(*slot)->next;
    *slot = gate->next;
    if (gate->state == GATE_ANSWERED)
        unlink_kept(broker, gate);
    else
        broker->gate_count--;
    free(gate);
}

/* The ledger has its counts: kept for a while, should the answer have been lost with a line. */
static void keep_answered(struct broker *broker, struct gate *gate)
{
    gate->state = GATE_ANSWERED;
    broker->gate_count--;
    gate->older = broker->newest;
    gate->newer = NULL;
    if (broker->newest)
        broker->newest->newer = gate;
    else
        broker->oldest = gate;
    broker->newest = gate;
    if (++broker->kept_count > GATES_KEPT) free_gate(broker, broker->oldest);
}

void gate_detach(struct channel *channel)
{
    if (channel->gate) channel->gate->channel = NULL;
    if (channel->former) channel->former->channel = NULL;
    channel->gate = channel->former = NULL;
}

/* The gate needs its channel no more; a channel that served this call only ends with it. */
static void let_go(struct broker *broker, struct gate *gate)
{
    struct channel *channel = gate->channel;
    if (!channel) return;
    bool current = channel->gate == gate;
    if (current) channel->gate = NULL;
    if (channel->former == gate) channel->former = NULL;
    gate->channel = NULL;
    if (current && !channel->keep)
        channel_close(broker, channel);
    else
        channel_release(broker, channel);
}

/* ── records ───────────────────────────────────────────────────────────────────────────────────────── */

void gate_denied(struct gate *gate, const char *host, size_t length, uint16_t port, const char *why)
{
    char shown[120], call[ID_TEXT];
    name_show(host, length, shown, sizeof shown);
    gate->counts.denied++;
    snprintf(gate->counts.last_denied, sizeof gate->counts.last_denied, "%s:%u (%s)", shown, port, why);
    if (gate->counts.denied > 8) return; /* a flood fills no log */
    id_text(gate->call.id, call);
    log_event(LOG_LEVEL_WARNING, "egress-denied", log_text("call", call), log_number("attempt", gate->call.attempt),
              log_text("connector", gate->entry ? gate->entry->name : NULL),
              log_text("what", gate->counts.last_denied));
}

/* ── open ──────────────────────────────────────────────────────────────────────────────────────────── */

/* The entry with exactly this digest; its index may be another registry's. */
static const struct entry *find_entry(const struct registry *registry, uint32_t index, const uint8_t *digest)
{
    const struct entry *entry = registry_entry(registry, index);
    return entry && memcmp(entry->digest, digest, HASH_BYTES) == 0 ? entry : registry_same(registry, digest);
}

static uint64_t cap_of(uint32_t own_kb, uint32_t asked_mb)
{
    uint64_t own = own_kb ? (uint64_t)own_kb << 10 : (uint64_t)DEFAULT_MB << 20, asked = (uint64_t)asked_mb << 20;
    return asked && asked < own ? asked : own;
}

static struct gate *new_gate(struct broker *broker, const struct msg_gate_open *open)
{
    struct gate *gate = calloc(1, sizeof *gate), **slot = bucket_of(broker, &open->call);
    if (!gate) return NULL;
    gate->call = gate->counts.call = open->call;
    gate->counts.known = 1;
    memcpy(gate->entry_digest, open->entry_digest, HASH_BYTES);
    memcpy(gate->audience, open->audience, sizeof gate->audience - 1);
    gate->deadline = open->deadline;
    gate->entry = find_entry(&broker->registry, open->entry, open->entry_digest);
    struct entry_limits limits = gate->entry ? gate->entry->limits : (struct entry_limits){0};
    gate->dials_max = limits.dials ? limits.dials : DEFAULT_DIALS;
    gate->up_max = cap_of(limits.up_kb, open->max_up_mb);
    gate->down_max = cap_of(limits.down_kb, open->max_down_mb);
    gate->next = *slot;
    *slot = gate;
    broker->gate_count++;
    return gate;
}

void gate_on_open(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct broker *broker = broker_of(role);
    const struct msg_gate_open *open = message->body;
    if (gate_find(broker, &open->call)) return; /* its counts stand */
    struct gate *gate = broker->gate_count < GATES_MAX ? new_gate(broker, open) : NULL;
    if (!gate) {
        log_event(LOG_LEVEL_ERROR, "no-room", log_text("for", "a gate"), log_number("gates", broker->gate_count));
        return; /* the ledger will hear that it is not known */
    }
    role_wake_at(role, gate->deadline);
    struct channel *channel = channel_labelled(broker, &gate->call);
    if (channel) channel_join(broker, channel, gate);
}

/* ── close ─────────────────────────────────────────────────────────────────────────────────────────── */

void gate_shut(struct broker *broker, struct gate *gate, bool flush)
{
    struct channel *channel = gate->channel;
    if (gate->state != GATE_IS_OPEN) return;
    bool current = channel && channel->gate == gate;
    if (current) dial_cancel_all(broker, channel);
    for (struct relay *relay = current ? channel->relays : NULL, *other; relay; relay = other) {
        other = relay->next;
        channel->keep &= channel->fd >= 0;
        relay->paused |= !flush;
        /* A front that ends a call while the worker is still at it must not see the rest sent in the next call's name.
         */
        if (channel->keep && gate->over)
            relay_pause(relay);
        else
            relay_finish(relay);
    }
    gate->state = GATE_SHUT;
}

/* line: where the ledger is now; NULL: nowhere, then it will ask again. */
static void close_gate(struct broker *broker, struct gate *gate, struct role_line *line, uint32_t seq)
{
    gate->close_tries = 0;
    if (gate->state != GATE_ANSWERED) {
        if (gate->channel) channel_drain(broker, gate->channel, gate->channel->gate == gate);
        gate_shut(broker, gate, gate_is_open(gate));
        let_go(broker, gate);
        keep_answered(broker, gate);
    }
    if (line) role_send(broker->role, line, MSG_GATE_CLOSED, seq, &gate->counts, sizeof gate->counts, NULL, 0);
}

void gate_on_close(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct broker *broker = broker_of(role);
    const struct msg_gate_close *close = message->body;
    struct msg_gate_closed unknown = {.call = close->call};
    struct gate *gate = gate_find(broker, &close->call);
    if (!gate) {
        role_send(role, line, MSG_GATE_CLOSED, message->head.seq, &unknown, sizeof unknown, NULL, 0);
    } else if (gate->close_tries) {
        gate->close_seq = message->head.seq; /* asked again, by a new ledger */
    } else if (gate->state != GATE_ANSWERED && !gate->channel && channel_label_may_wait(broker)) {
        /* A half on its way leads to a channel in which the worker may have committed. */
        gate->close_seq = message->head.seq;
        gate->close_tries = 1;
        gate->next_closing = broker->closing;
        broker->closing = gate;
    } else {
        close_gate(broker, gate, line, message->head.seq);
    }
}

void gate_turn(struct broker *broker)
{
    struct gate *waiting = broker->closing;
    broker->closing = NULL;
    while (waiting) {
        struct gate *gate = waiting;
        waiting = gate->next_closing;
        if (!gate->channel && gate->close_tries++ < CLOSE_TRIES && channel_label_may_wait(broker)) {
            gate->next_closing = broker->closing;
            broker->closing = gate;
        } else {
            close_gate(broker, gate, role_line_to(broker->role, ROLE_LEDGER), gate->close_seq);
        }
    }
}

/* ── all of them ───────────────────────────────────────────────────────────────────────────────────── */

static void each_gate(struct broker *broker, void (*run)(struct broker *, struct gate *, void *), void *context)
{
    for (unsigned i = 0; i < GATE_BUCKETS; i++)
        for (struct gate *gate = broker->buckets[i], *next; gate; gate = next) {
            next = gate->next;
            run(broker, gate, context);
        }
}

static void rebind_one(struct broker *broker, struct gate *gate, void *context)
{
    gate->entry = find_entry(&broker->registry, UINT32_MAX, gate->entry_digest);
    if (!gate->entry && gate->state == GATE_IS_OPEN) gate_shut(broker, gate, false);
}

void gate_rebind(struct broker *broker)
{
    each_gate(broker, rebind_one, NULL);
}

static void shut_one(struct broker *broker, struct gate *gate, void *context)
{
    gate_shut(broker, gate, false);
}

void gate_shut_all(struct broker *broker)
{
    each_gate(broker, shut_one, NULL);
}

struct due {
    uint64_t now, next;
};

static void check_one(struct broker *broker, struct gate *gate, void *context)
{
    struct due *due = context;
    if (gate->state == GATE_ANSWERED) return;
    uint64_t until = gate->state == GATE_IS_OPEN ? gate->deadline : gate->deadline + GATE_FORGET;
    if (until > due->now) {
        if (!due->next || until < due->next) due->next = until;
    } else if (gate->state == GATE_IS_OPEN) {
        gate_shut(broker, gate, false);
        if (!due->next || gate->deadline + GATE_FORGET < due->next) due->next = gate->deadline + GATE_FORGET;
    } else if (!gate->close_tries) {
        let_go(broker, gate);
        free_gate(broker, gate);
    }
}

uint64_t gate_tick(struct broker *broker, uint64_t now)
{
    struct due due = {now, 0};
    each_gate(broker, check_one, &due);
    return due.next;
}

static void drop_one(struct broker *broker, struct gate *gate, void *context)
{
    let_go(broker, gate);
    free_gate(broker, gate);
}

void gate_clear(struct broker *broker)
{
    each_gate(broker, drop_one, NULL);
}
