/* SPDX-License-Identifier: Apache-2.0 */
/* One dial: name, policy, quotas, addresses, connection. Only an address that was checked is ever connected to. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "broker.h"

enum { DIALS_PER_ENTRY = 64, DIAL_TEXT = 240 };

struct dial {
    struct dial *next;
    struct broker *broker;
    struct channel *channel;
    uint32_t id;
    struct name name;
    uint16_t port;
    unsigned schemes;
    struct lookup *lookup; /* while the name is being resolved */
    unsigned count, at;    /* addresses that passed; the one being tried is at - 1 */
    struct address addresses[LOOKUP_ADDRESSES];
    int fd;
    uint64_t until; /* of the address being tried */
    int failed;     /* errno of the last address */
};

/* ── ends ──────────────────────────────────────────────────────────────────────────────────────────── */

static void drop_socket(struct dial *dial)
{
    if (dial->fd < 0) return;
    role_unwatch(dial->broker->role, dial->fd);
    close_fd(&dial->fd);
}

static void free_dial(struct dial *dial)
{
    struct broker *broker = dial->broker;
    struct channel *channel = dial->channel;
    struct dial **slot = &channel->dials;
    while (*slot != dial) slot = &(*slot)->next;
    *slot = dial->next;
    channel->dial_count--;
    broker->dial_count--;
    resolver_drop(dial->lookup);
    drop_socket(dial);
    free(dial);
    channel_release(broker, channel);
}

static void answer(struct broker *broker, struct channel *channel, uint32_t id, unsigned status, const char *host,
                   uint16_t port, const char *why)
{
    char text[DIAL_TEXT];
    snprintf(text, sizeof text, "%s:%u: %s", host, port, why);
    channel_answer(broker, channel, id, status, text, -1);
}

static void end_dial(struct dial *dial, unsigned status, const char *why)
{
    answer(dial->broker, dial->channel, dial->id, status, dial->name.text, dial->port, why);
    free_dial(dial);
}

void dial_cancel_all(struct broker *broker, struct channel *channel)
{
    for (struct dial *dial = channel->dials, *next; dial; dial = next) {
        next = dial->next;
        channel_answer(broker, channel, dial->id, EGRESS_CLOSED, "the call is over", -1);
        resolver_drop(dial->lookup);
        drop_socket(dial);
        free(dial);
        broker->dial_count--;
    }
    channel->dials = NULL;
    channel->dial_count = 0;
}

/* ── connecting ────────────────────────────────────────────────────────────────────────────────────── */

static void try_next(struct dial *dial);

static void connected(struct dial *dial)
{
    struct broker *broker = dial->broker;
    struct channel *channel = dial->channel;
    int ends[2], on = 1;
    /* Blocking, for the worker's sake: connectors read and write it as any stream. The relay never waits on it. */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0) {
        end_dial(dial, EGRESS_LIMIT, "the broker has no descriptor left");
        return;
    }
    role_unwatch(broker->role, dial->fd);
    setsockopt(dial->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    FD_AUTO worker = ends[1];
    uint32_t id = dial->id;
    if (!relay_start(broker, channel, ends[0], take_fd(&dial->fd), &dial->name, dial->port, dial->schemes)) {
        end_dial(dial, EGRESS_UNREACHABLE, "the connection ended at once");
        return;
    }
    free_dial(dial);
    channel_answer(broker, channel, id, EGRESS_OK, "", worker);
}

/* A wake-up may be stale: only a socket that has a peer is connected. */
static void connect_ready(struct role *role, int fd, uint32_t events, void *context)
{
    struct dial *dial = context;
    struct sockaddr_storage peer;
    socklen_t length = sizeof peer, size = sizeof dial->failed;
    int failed = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &size) < 0) failed = errno;
    if (!failed && getpeername(fd, (struct sockaddr *)&peer, &length) == 0) {
        connected(dial);
    } else if (failed) {
        dial->failed = failed;
        try_next(dial);
    }
}

/* true: on its way or there. */
static bool begin_connect(struct dial *dial, const struct address *address)
{
    struct sockaddr_storage to;
    socklen_t length = address_to(address, dial->port, &to);
    uint64_t share = dial->broker->config.connect_s * CLOCK_S;
    dial->fd = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (dial->fd >= 0 && (connect(dial->fd, (struct sockaddr *)&to, length) == 0 || errno == EINPROGRESS) &&
        role_watch(dial->broker->role, dial->fd, EPOLLOUT, connect_ready, dial)) {
        if (dial->at < dial->count) share /= 3; /* the others get a turn */
        dial->until = clock_now() + share;
        role_wake_at(dial->broker->role, dial->until);
        return true;
    }
    dial->failed = errno ? errno : EMFILE;
    close_fd(&dial->fd);
    return false;
}

static const char *failure_text(int failed)
{
    switch (failed) {
    case ECONNREFUSED: return "the connection was refused";
    case ECONNRESET: return "the connection was reset";
    case ETIMEDOUT: return "there was no answer in time";
    case ENETUNREACH:
    case EHOSTUNREACH: return "there is no route to it";
    default: return "it cannot be reached";
    }
}

static void try_next(struct dial *dial)
{
    drop_socket(dial);
    while (dial->at < dial->count)
        if (begin_connect(dial, &dial->addresses[dial->at++])) return;
    end_dial(dial, EGRESS_UNREACHABLE, failure_text(dial->failed));
}

/* ── addresses ─────────────────────────────────────────────────────────────────────────────────────── */

static unsigned read_ranges(const struct entry *entry, struct range ranges[RANGES_MAX])
{
    unsigned count = 0;
    for (unsigned i = 0; i < entry->range_count && count < RANGES_MAX; i++)
        if (range_parse(entry->ranges[i], &ranges[count])) count++;
    return count;
}

static bool check_address(const struct broker *broker, const struct entry *entry, const struct address *address,
                          char why[ADDRESS_WHY])
{
    struct range granted[RANGES_MAX];
    unsigned count = read_ranges(entry, granted);
    char text[ADDRESS_TEXT];
    if (!address_allowed(address, granted, count, why)) return false;
    if (ranges_have(granted, count, address)) return true;
    bool refused = ranges_have(broker->config.refused, broker->config.refused_count, address);
    if (!refused && !address_is_own(address)) return true;
    address_text(address, text);
    snprintf(why, ADDRESS_WHY, "%s is an address of this host", text);
    return false;
}

static void resolved(void *context)
{
    struct dial *dial = context;
    struct gate *gate = dial->channel->gate;
    struct lookup *lookup = dial->lookup;
    char why[ADDRESS_WHY] = "", other[ADDRESS_WHY];
    dial->lookup = NULL; /* the resolver frees it after this call */
    if (!gate_is_open(gate) || !gate->entry) {
        end_dial(dial, EGRESS_CLOSED, "the call is over");
        return;
    }
    if (lookup->state != LOOKUP_FOUND) {
        end_dial(dial, EGRESS_NO_NAME, lookup->problem);
        return;
    }
    for (unsigned i = 0; i < lookup->count; i++) {
        if (check_address(dial->broker, gate->entry, &lookup->addresses[i], why[0] ? other : why))
            dial->addresses[dial->count++] = lookup->addresses[i];
    }
    if (dial->count) {
        try_next(dial);
        return;
    }
    gate_denied(gate, dial->name.text, strlen(dial->name.text), dial->port, why);
    end_dial(dial, EGRESS_DENIED, why);
}

/* ── the decision ──────────────────────────────────────────────────────────────────────────────────── */

/* Relays and dials of one connector, over all its workers. */
static void count_entry(const struct broker *broker, const uint8_t *digest, unsigned *relays, unsigned *dials)
{
    *relays = *dials = 0;
    for (const struct channel *channel = broker->channels; channel; channel = channel->next) {
        if ((!channel->relays && !channel->dials) || memcmp(channel->entry_digest, digest, HASH_BYTES) != 0) continue;
        *relays += channel->relay_count;
        *dials += channel->dial_count;
    }
}

/* NULL: there is room for one more. */
static const char *over_quota(const struct broker *broker, const struct channel *channel, const struct gate *gate)
{
    unsigned relays, dials;
    if (gate->counts.dials > gate->dials_max) return "the call has used up its dials";
    if (gate->counts.lookups >= broker->config.lookups_per_call) return "the call has used up its name lookups";
    if (gate->read_up > gate->up_max || gate->read_down > gate->down_max) return "the call has used up its bytes";
    if (channel->relay_count + channel->dial_count >= broker->config.relays_per_call)
        return "the call has too many connections at once";
    count_entry(broker, channel->entry_digest, &relays, &dials);
    if (relays + dials >= broker->config.relays_per_entry || dials >= DIALS_PER_ENTRY)
        return "the connector has too many connections at once";
    if (broker->relay_count + broker->dial_count >= RELAYS_MAX || broker->dial_count >= DIALS_MAX)
        return "the broker has too many connections at once";
    return NULL;
}

static struct dial *new_dial(struct broker *broker, struct channel *channel, const struct egress_ask *ask,
                             const struct name *name, unsigned schemes)
{
    struct dial *dial = calloc(1, sizeof *dial);
    if (!dial) return NULL;
    *dial = (struct dial){.next = channel->dials,
                          .broker = broker,
                          .channel = channel,
                          .id = ask->id,
                          .name = *name,
                          .port = ask->port,
                          .schemes = schemes,
                          .fd = -1};
    dial->lookup = resolver_ask(&broker->resolver, name, resolved, dial);
    if (!dial->lookup) return free(dial), NULL;
    channel->dials = dial;
    channel->dial_count++;
    broker->dial_count++;
    return dial;
}

static bool decide(const struct gate *gate, const struct egress_ask *ask, struct name *name, unsigned *schemes,
                   struct err *err)
{
    if (!name_read(ask->host, ask->host_length, name, err)) return false;
    if (!gate->entry) return err_set(err, ERR_STALE, "the connector's configuration was changed just now");
    return policy_allows(gate->entry, gate->audience, name, ask->port, schemes, err);
}

void dial_start(struct broker *broker, struct channel *channel, const struct egress_ask *ask)
{
    struct gate *gate = channel->gate;
    struct err err = {0};
    struct name name;
    char shown[100];
    unsigned schemes = 0;
    gate->counts.dials++;
    name_escape(ask->host, ask->host_length, shown, sizeof shown);
    const char *limit = over_quota(broker, channel, gate);
    if (limit) {
        gate->counts.limit_hit = 1;
        answer(broker, channel, ask->id, EGRESS_LIMIT, shown, ask->port, limit);
        return;
    }
    if (!decide(gate, ask, &name, &schemes, &err)) {
        gate_denied(gate, ask->host, ask->host_length, ask->port, err.text);
        answer(broker, channel, ask->id, EGRESS_DENIED, shown, ask->port, err.text);
        return;
    }
    gate->counts.lookups += name.kind == NAME_HOST;
    if (!new_dial(broker, channel, ask, &name, schemes))
        answer(broker, channel, ask->id, EGRESS_LIMIT, shown, ask->port, "the broker has no memory left");
}

/* ── time ──────────────────────────────────────────────────────────────────────────────────────────── */

uint64_t dial_tick(struct broker *broker, uint64_t now)
{
    uint64_t next = 0;
    for (struct channel *channel = broker->channels, *after; channel; channel = after) {
        after = channel->next;
        for (struct dial *dial = channel->dials, *other; dial; dial = other) {
            other = dial->next;
            if (dial->fd >= 0 && dial->until <= now) {
                dial->failed = ETIMEDOUT;
                try_next(dial);
            } else if (dial->fd >= 0 && (!next || dial->until < next)) {
                next = dial->until;
            }
        }
    }
    return next;
}
