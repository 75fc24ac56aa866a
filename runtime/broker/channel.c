/* SPDX-License-Identifier: Apache-2.0 */
/* Channels: a worker's requests come here. The broker sends descriptors on them and receives none: what is attached to
 * a request is dropped by the kernel, because no buffer for it is ever given. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "broker.h"

/* UNREAD: room for about seven answers. The kernel counts descriptors that nobody has taken yet against all that the
 * broker sends, and refuses any more beyond RLIMIT_NOFILE: 1024 workers must not get there. An honest worker waits for
 * one answer at a time. */
enum { ASKS_A_TURN = 8, ASKS_AT_END = 2048, UNREAD = 4096 };

static void ready(struct role *role, int fd, uint32_t events, void *context);

/* ── life ──────────────────────────────────────────────────────────────────────────────────────────── */

static struct channel *find_channel(struct broker *broker, uint32_t number)
{
    struct channel *channel = broker->channels;
    while (channel && (channel->number != number || channel->fd < 0)) channel = channel->next;
    return channel;
}

struct channel *channel_labelled(struct broker *broker, const struct call_ref *call)
{
    struct channel *channel = broker->channels;
    while (channel && (channel->gate || channel->fd < 0 || channel->call.attempt != call->attempt ||
                       memcmp(channel->call.id, call->id, ID_BYTES) != 0))
        channel = channel->next;
    return channel;
}

static struct channel *new_channel(struct broker *broker, const struct msg_half *half, int fd)
{
    struct channel *channel = broker->channel_count < CHANNELS_MAX ? calloc(1, sizeof *channel) : NULL;
    if (!channel) {
        log_event(LOG_LEVEL_ERROR, "no-room", log_text("for", "a channel"),
                  log_number("channels", broker->channel_count));
        return NULL;
    }
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){UNREAD}, sizeof(int));
    channel->number = half->channel;
    channel->fd = fd;
    channel->next = broker->channels;
    broker->channels = channel;
    broker->channel_count++;
    return channel;
}

void channel_release(struct broker *broker, struct channel *channel)
{
    if (channel->holds || channel->fd >= 0 || channel->relays || channel->dials || channel->gate || channel->former)
        return;
    struct channel **slot = &broker->channels;
    while (*slot != channel) slot = &(*slot)->next;
    *slot = channel->next;
    broker->channel_count--;
    free(channel);
}

static void close_socket(struct broker *broker, struct channel *channel)
{
    if (channel->fd < 0) return;
    role_unwatch(broker->role, channel->fd);
    close_fd(&channel->fd);
    channel->wait_until = 0;
}

static void end_relays(struct channel *channel)
{
    for (struct relay *relay = channel->relays, *next; relay; relay = next) {
        next = relay->next;
        if (gate_is_open(channel->gate))
            relay_finish(relay);
        else
            relay_end(relay);
    }
}

static void report(struct broker *broker, struct channel *channel, enum incident_kind kind)
{
    struct msg_incident incident = {.kind = kind, .call = channel->call, .phase = PHASE_CALL};
    struct role_line *line = role_line_to(broker->role, ROLE_LEDGER);
    memcpy(incident.entry_digest, channel->entry_digest, HASH_BYTES);
    if (channel->gate && channel->gate->entry) incident.entry = channel->gate->entry->index;
    if (line && !channel->reported) role_send(broker->role, line, MSG_INCIDENT, 0, &incident, sizeof incident, NULL, 0);
    channel->reported = true;
}

/* The worker has closed its end. Its relays of this call run out by themselves. */
static void worker_gone(struct broker *broker, struct channel *channel)
{
    channel->holds++;
    close_socket(broker, channel);
    dial_cancel_all(broker, channel);
    if (channel->keep || !gate_is_open(channel->gate)) end_relays(channel);
    channel->holds--;
    channel_release(broker, channel);
}

void channel_close(struct broker *broker, struct channel *channel)
{
    channel->holds++;
    channel_drain(broker, channel, true);
    if (channel->has_ahead && channel->ahead.kind == EGRESS_MALFORMED) report(broker, channel, INCIDENT_BAD_FRAME);
    close_socket(broker, channel);
    dial_cancel_all(broker, channel);
    end_relays(channel);
    gate_detach(channel);
    channel->holds--;
    channel_release(broker, channel);
}

void channel_close_all(struct broker *broker)
{
    for (struct channel *channel = broker->channels, *next; channel; channel = next) {
        next = channel->next;
        channel_close(broker, channel);
    }
}

/* ── answers ───────────────────────────────────────────────────────────────────────────────────────── */

bool channel_answer(struct broker *broker, struct channel *channel, uint32_t id, unsigned status, const char *text,
                    int fd)
{
    struct egress_answer answer = {.id = id, .status = status};
    struct iovec piece = {&answer, sizeof answer};
    if (channel->fd < 0) return false;
    snprintf(answer.text, sizeof answer.text, "%s", text);
    int failed = wire_send(channel->fd, &piece, 1, &fd, fd >= 0);
    if (failed == 0) return true;
    if (failed == ETOOMANYREFS) /* others do not take theirs */
        return channel_answer(broker, channel, id, EGRESS_LIMIT, "too many connections wait to be taken", -1);
    /* Whoever asks again and again and never reads has ended its egress; whether it committed cannot be known. */
    if (channel->gate) channel->gate->counts.limit_hit = channel->gate->counts.committed = 1;
    shutdown(channel->fd, SHUT_RDWR);
    return false;
}

/* ── requests ──────────────────────────────────────────────────────────────────────────────────────── */

static bool same_call(const struct call_ref *one, const struct call_ref *other)
{
    return one->attempt == other->attempt && memcmp(one->id, other->id, ID_BYTES) == 0;
}

/* A malformed request, or one to dial that says of no call that it is its own. The SDK writes neither. */
static bool names_no_call(const struct egress_ask *ask)
{
    static const struct call_ref nobody;
    return ask->kind == EGRESS_MALFORMED || (ask->kind == EGRESS_ASK_DIAL && same_call(&ask->call, &nobody));
}

/* Whose request is it? *ahead: of a call whose label is still on its way. In a lease, what names no call waits for a
 * label that may be there already: it must not go to the account of the call before. */
static struct gate *gate_of_ask(struct broker *broker, struct channel *channel, const struct egress_ask *ask,
                                bool *ahead)
{
    static const struct call_ref nobody;
    *ahead = names_no_call(ask) && channel->keep && (channel->relabelling || channel_label_may_wait(broker));
    if (names_no_call(ask) || same_call(&ask->call, &nobody) || same_call(&ask->call, &channel->call))
        return channel->gate;
    if (channel->former && same_call(&ask->call, &channel->former->call)) return channel->former;
    *ahead = channel->keep;
    return NULL;
}

static void on_malformed(struct broker *broker, struct channel *channel, const struct egress_ask *ask,
                         const struct err *err)
{
    report(broker, channel, INCIDENT_BAD_FRAME);
    if (channel->gate) gate_denied(channel->gate, ask->host, ask->host_length, ask->port, err->text);
    if (ask->answerable) channel_answer(broker, channel, ask->id, EGRESS_DENIED, err->text, -1);
}

static void act(struct broker *broker, struct channel *channel, const struct egress_ask *ask, struct gate *gate)
{
    if (ask->kind == EGRESS_ASK_COMMIT) {
        if (gate)
            gate->counts.committed = 1;
        else
            channel->early_commit = true;
    } else if (ask->kind == EGRESS_ASK_CLEAN || ask->kind == EGRESS_ASK_DONE) {
        if (gate) gate->over = true;
        if (gate) gate->counts.clean |= ask->kind == EGRESS_ASK_CLEAN;
    } else if (gate && gate == channel->gate && gate_is_open(gate) && !channel->closing) {
        dial_start(broker, channel, ask);
    } else {
        channel_answer(broker, channel, ask->id, EGRESS_CLOSED, "no call is running", -1);
    }
}

/* One request. false: nothing more to read now. */
static bool take_ask(struct broker *broker, struct channel *channel, bool *gone)
{
    unsigned char bytes[sizeof(struct egress_request) + 1];
    struct egress_ask ask;
    struct err err = {0};
    bool ahead;
    ssize_t got = recv(channel->fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0 && errno == EINTR) return true;
    if (got <= 0) {
        *gone = got == 0 || errno != EAGAIN;
        return false;
    }
    egress_read(bytes, (size_t)got, &ask, &err);
    struct gate *gate = gate_of_ask(broker, channel, &ask, &ahead);
    if (ahead) {
        channel->ahead = ask;
        channel->ahead_why = err;
        channel->has_ahead = true;
        channel->wait_until = clock_now() + JOIN_WAIT;
        role_unwatch(broker->role, channel->fd);
        role_wake_at(broker->role, channel->wait_until);
        return false;
    }
    if (ask.kind == EGRESS_MALFORMED)
        on_malformed(broker, channel, &ask, &err);
    else
        act(broker, channel, &ask, gate);
    return true;
}

static void ready(struct role *role, int fd, uint32_t events, void *context)
{
    struct channel *channel = context;
    bool gone = false;
    for (int i = 0; i < ASKS_A_TURN; i++)
        if (!take_ask(broker_of(role), channel, &gone)) break;
    if (gone) worker_gone(broker_of(role), channel);
}

void channel_drain(struct broker *broker, struct channel *channel, bool closing)
{
    bool gone = false;
    channel->closing = closing;
    for (int i = 0; i < ASKS_AT_END && channel->fd >= 0 && !channel->has_ahead; i++)
        if (!take_ask(broker, channel, &gone)) break;
    channel->closing = false;
}

bool channel_label_may_wait(struct broker *broker)
{
    struct role_line *line = role_line_to(broker->role, ROLE_RUNNER);
    struct pollfd one = {.fd = line ? line->fd : -1, .events = POLLIN};
    return line && poll(&one, 1, 0) > 0;
}

/* ── labels ────────────────────────────────────────────────────────────────────────────────────────── */

static void listen_to(struct broker *broker, struct channel *channel)
{
    channel->wait_until = 0;
    if (!role_watch(broker->role, channel->fd, EPOLLIN, ready, channel)) channel_close(broker, channel);
}

/* Connections that the lease kept go on only if this call, too, may reach their host. */
static void resume_relays(struct broker *broker, struct channel *channel, struct gate *gate)
{
    for (struct relay *relay = channel->relays, *other; relay; relay = other) {
        struct err err = {0};
        unsigned schemes;
        other = relay->next;
        if (gate->entry && policy_allows(gate->entry, gate->audience, &relay->name, relay->port, &schemes, &err) &&
            (schemes & relay->schemes) == relay->schemes)
            relay_resume(relay);
        else
            relay_end(relay);
    }
}

void channel_join(struct broker *broker, struct channel *channel, struct gate *gate)
{
    if (memcmp(channel->entry_digest, gate->entry_digest, HASH_BYTES) != 0) {
        report(broker, channel, INCIDENT_DIGEST_MISMATCH);
        gate_shut(broker, gate, false);
        channel_close(broker, channel);
        return;
    }
    channel->gate = gate;
    gate->channel = channel;
    gate->counts.bytes_up += channel->carry;
    channel->carry = 0;
    gate->counts.committed |= channel->early_commit;
    channel->early_commit = false;
    resume_relays(broker, channel, gate);
    if (channel->has_ahead) {
        channel->has_ahead = false;
        if (channel->ahead.kind == EGRESS_MALFORMED)
            on_malformed(broker, channel, &channel->ahead, &channel->ahead_why);
        else if (names_no_call(&channel->ahead) || same_call(&channel->ahead.call, &channel->call))
            act(broker, channel, &channel->ahead, gate);
    }
    listen_to(broker, channel);
}

/* A half whose gate did not come, or a request whose label did not come: the channel is read, and answers "closed".
 * What waited for a label that was another worker's is of the call that runs. */
static void stop_waiting(struct broker *broker, struct channel *channel)
{
    struct egress_ask ahead = channel->ahead;
    if (channel->has_ahead && ahead.kind == EGRESS_MALFORMED)
        on_malformed(broker, channel, &ahead, &channel->ahead_why);
    else if (channel->has_ahead && names_no_call(&ahead))
        act(broker, channel, &ahead, channel->gate);
    else if (channel->has_ahead && ahead.kind == EGRESS_ASK_DIAL)
        channel_answer(broker, channel, ahead.id, EGRESS_CLOSED, "no call is running", -1);
    channel->has_ahead = false;
    listen_to(broker, channel);
}

/* The next call of a lease may be labelled before the ledger has closed the one before: that one passes nothing more.
 * Its last words may still lie in the channel, and are none of the next call's. */
static void end_former(struct broker *broker, struct channel *channel)
{
    channel->relabelling = true;
    if (channel->call.attempt) channel_drain(broker, channel, true);
    channel->relabelling = false;
    struct gate *gate = channel->gate;
    if (!gate) return;
    gate_shut(broker, gate, gate_is_open(gate));
    if (channel->former) channel->former->channel = NULL;
    channel->former = gate;
    channel->gate = NULL;
}

static void label(struct broker *broker, struct channel *channel, const struct msg_half *half)
{
    if (channel->gate && same_call(&channel->call, &half->call)) return;
    end_former(broker, channel);
    channel->early_commit = channel->reported = false;
    channel->call = half->call;
    channel->keep = half->keep;
    memcpy(channel->entry_digest, half->entry_digest, HASH_BYTES);
    struct gate *gate = gate_find(broker, &half->call);
    if (gate && (gate->state == GATE_ANSWERED || gate->channel)) {
        if (!channel->keep)
            channel_close(broker, channel); /* over already, or labelled twice */
        else
            stop_waiting(broker, channel);
    } else if (gate) {
        channel_join(broker, channel, gate);
    } else {
        role_unwatch(broker->role, channel->fd);
        channel->wait_until = clock_now() + JOIN_WAIT;
        if (half->deadline && half->deadline < channel->wait_until) channel->wait_until = half->deadline;
        role_wake_at(broker->role, channel->wait_until);
    }
}

void channel_on_half(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct broker *broker = broker_of(role);
    const struct msg_half *half = message->body;
    struct channel *channel = find_channel(broker, half->channel);
    bool fresh = message->frame->fd_count > 0;
    if (channel && (fresh || half->call.attempt == 0)) {
        channel_close(broker, channel);
        channel = NULL;
    }
    if (half->call.attempt == 0) return;
    if (fresh) channel = new_channel(broker, half, message->frame->fds[0]);
    if (!channel) return;
    if (fresh) take_fd(&message->frame->fds[0]);
    label(broker, channel, half);
}

uint64_t channel_tick(struct broker *broker, uint64_t now)
{
    uint64_t next = 0;
    for (struct channel *channel = broker->channels, *after; channel; channel = after) {
        after = channel->next;
        if (!channel->wait_until) continue;
        if (channel->wait_until <= now)
            stop_waiting(broker, channel);
        else if (!next || channel->wait_until < next)
            next = channel->wait_until;
    }
    return next;
}
