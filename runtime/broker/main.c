/* SPDX-License-Identifier: Apache-2.0 */
/* caisson-broker: the only process that may connect outward. It resolves names, checks addresses against policy, and
 * relays bytes between a worker and the host that its call may reach.
 *
 * GIVE_CONFIG is one JSON object; every key may be absent:
 *   "nameservers": ["192.0.2.1", "127.0.0.1:5353", "[2001:db8::1]:53"]   instead of those in GIVE_RESOLV
 *   "hosts": [["mail.example.com", "10.0.0.5"], …]    answered before DNS; the same address checks apply
 *   "refuse": ["198.51.100.7", …]      more addresses of this host, such as its public one behind a NAT
 *   "connect_s": 10                    seconds for a connection, all its addresses together
 *   "idle_s": 60                       a relay that moves no byte for so long ends
 *   "relays_per_call": 16, "relays_per_entry": 256    connections at the same time
 *   "lookups_per_call": 64             names that one call may have resolved */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "broker.h"
#include "runtime/reach.h"
#include "sandbox/enter.h"

enum { TEXT_MAX = 256 * 1024 };

/* All of it or nothing: what is in force stays when the new part is wrong. */
static bool read_config(struct broker *broker, struct err *err)
{
    FREE_AUTO char *text = NULL;
    FREE_AUTO struct config *fresh = malloc(sizeof *fresh);
    size_t length;
    int fd = broker->role->given[GIVE_CONFIG];
    if (!fresh) return err_set(err, ERR_BUSY, "there is no memory for the configuration");
    config_init(fresh);
    if (fd >= 0 && (!config_slurp(fd, TEXT_MAX, &text, &length, err) || !config_read(text, length, fresh, err)))
        return err_in(err, "reading [Resolver]");
    broker->config = *fresh;
    return true;
}

/* Those of the configuration, else those of resolv.conf. */
static void choose_servers(struct broker *broker)
{
    FREE_AUTO char *text = NULL;
    char servers[SERVERS_TEXT];
    struct err err = {0};
    size_t length;
    int fd = broker->role->given[GIVE_RESOLV];
    if (broker->config.servers[0]) {
        resolver_servers(&broker->resolver, broker->config.servers);
        return;
    }
    if (fd < 0) return;
    if (!config_slurp(fd, TEXT_MAX, &text, &length, &err)) {
        log_failure("resolv-unreadable", &err);
        return;
    }
    config_resolv(text, length, servers);
    resolver_servers(&broker->resolver, servers);
}

static bool read_registry(struct broker *broker, struct err *err)
{
    struct registry fresh = {0};
    if (!registry_read(broker->role->given[GIVE_REGISTRY], &fresh, err)) return false;
    struct registry old = broker->registry;
    broker->registry = fresh;
    broker->role->registry_number = fresh.number;
    gate_rebind(broker);
    registry_clear(&old);
    return true;
}

static bool open_broker(struct role *role, struct err *err)
{
    struct broker *broker = broker_of(role);
    struct rlimit files = {.rlim_cur = ROLE_WATCHES, .rlim_max = ROLE_WATCHES}, now;
    broker->role = role;
    log_role("broker");
    if (getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_max < files.rlim_max)
        files.rlim_cur = files.rlim_max = now.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (!read_config(broker, err) || !resolver_open(&broker->resolver, role, &broker->config, err)) return false;
    choose_servers(broker);
    return role->given[GIVE_REGISTRY] < 0 || read_registry(broker, err);
}

static bool confine(struct role *role, struct err *err)
{
    return reach_prove(role, WALL_BROKER, NULL, 0, err) && enter_role(WALL_BROKER, NULL, 0, err);
}

/* A runner's numbers begin anew with it, and its workers are dead. */
static void on_line(struct role *role, struct role_line *line)
{
    if (line->peer == ROLE_RUNNER) channel_close_all(broker_of(role));
}

static void on_given(struct role *role, enum give_kind kind, uint32_t index)
{
    struct err err = {0};
    if (kind == GIVE_CONFIG && !read_config(broker_of(role), &err)) log_failure("configuration-refused", &err);
    if (kind == GIVE_CONFIG || kind == GIVE_RESOLV) choose_servers(broker_of(role));
}

static uint32_t on_registry(struct role *role, uint32_t number)
{
    struct err err = {0};
    if (!read_registry(broker_of(role), &err)) log_failure("registry-refused", &err);
    return broker_of(role)->registry.number;
}

static void on_freeze(struct role *role, bool on, bool now)
{
    if (on && now) gate_shut_all(broker_of(role));
}

static void batch(struct role *role)
{
    gate_turn(broker_of(role));
    resolver_turn(&broker_of(role)->resolver);
}

static uint64_t earlier(uint64_t one, uint64_t other)
{
    return !one || (other && other < one) ? other : one;
}

static uint64_t tick(struct role *role)
{
    struct broker *broker = broker_of(role);
    uint64_t now = clock_now(), next = gate_tick(broker, now);
    next = earlier(next, channel_tick(broker, now));
    next = earlier(next, dial_tick(broker, now));
    next = earlier(next, relay_tick(broker, now));
    next = earlier(next, resolver_tick(&broker->resolver));
    resolver_turn(&broker->resolver);
    return next;
}

static void close_broker(struct role *role)
{
    struct broker *broker = broker_of(role);
    channel_close_all(broker);
    gate_clear(broker);
    resolver_close(&broker->resolver);
    registry_clear(&broker->registry);
}

static const struct role_handler handlers[] = {
    {MSG_GATE_OPEN, gate_on_open}, {MSG_GATE_CLOSE, gate_on_close}, {MSG_HALF, channel_on_half}, {MSG_NONE, NULL}};

static const struct role_part part = {.self = ROLE_BROKER,
                                      .handlers = handlers,
                                      .open = open_broker,
                                      .confine = confine,
                                      .line = on_line,
                                      .given = on_given,
                                      .registry = on_registry,
                                      .freeze = on_freeze,
                                      .batch = batch,
                                      .tick = tick,
                                      .close = close_broker};

int main(void)
{
    static struct role role;
    static struct broker broker;
    return role_main(&role, &part, &broker);
}
