/* SPDX-License-Identifier: Apache-2.0 */
/* The front as a role: what it takes from the parent, its walls, its listeners. */
#include "front.h"

#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "http.h"
#include "pushing.h"
#include "runtime/reach.h"
#include "sandbox/enter.h"
#include "seal.h"

enum { PEM_MAX = 256 * 1024, FLUSH_MS = 300, DRAIN_STEP_MS = 10, ARENAS = 4, BAD_TOKENS = 20 };

/* ── memory of its own ─────────────────────────────────────────────────────────────────────────────── */

bool front_init(struct front *front, enum role_id self, struct err *err)
{
    memset(front, 0, sizeof *front);
    front->self = self;
    config_defaults(&front->config);
    lines_init(&front->ledger, self, ROLE_LEDGER);
    lines_init(&front->runner, self, ROLE_RUNNER);
    conns_init(&front->conns);
    return snapshots_init(&front->registry, err);
}

void front_close(struct front *front)
{
    for (unsigned i = 0; i < LISTENERS; i++) http_stop(take(&front->listeners[i]));
    lines_close(&front->ledger);
    lines_close(&front->runner);
    snapshots_close(&front->registry);
    free(take(&front->cert));
    free(take(&front->key));
}

/* ── from the parent ───────────────────────────────────────────────────────────────────────────────── */

static void on_line(struct role *role, struct role_line *line)
{
    struct front *front = role->state;
    struct lines *lines = line->peer == ROLE_LEDGER   ? &front->ledger
                          : line->peer == ROLE_RUNNER ? &front->runner
                                                      : NULL;
    if (lines) lines_put(lines, line->index, take_fd(&line->fd), line->generation);
}

static void apply_config(struct front *front)
{
    const struct front_config *config = &front->config;
    rates_change(&front->rates, config->rate, config->burst);
    front->conns.most = config->connections;
    front->conns.per_uid = config->connections_per_uid;
    front->conns.per_ip = config->connections_per_ip;
    front->conns.idle = config->idle_s * CLOCK_S;
    front->conns.patience = config->request_s * CLOCK_S;
}

/* Another caisson.conf: as a whole or not at all. */
static void on_given(struct role *role, enum give_kind kind, uint32_t index)
{
    struct front *front = role->state;
    struct front_config fresh;
    struct err err = {0};
    if (kind != GIVE_CONFIG) return;
    if (!config_read(role->given[GIVE_CONFIG], &fresh, &err)) {
        log_failure("configuration-refused", &err);
        return;
    }
    config_take(&front->config, &fresh);
    apply_config(front);
}

static uint32_t on_registry(struct role *role, uint32_t number)
{
    struct front *front = role->state;
    struct err err = {0};
    if (!snapshots_put(&front->registry, role->given[GIVE_REGISTRY], &err)) log_failure("registry-refused", &err);
    return snapshots_number(&front->registry);
}

static char *read_pem(int fd, struct err *err)
{
    FREE_AUTO char *text = calloc(1, PEM_MAX + 1);
    ssize_t got = text ? pread(fd, text, PEM_MAX, 0) : -1;
    if (got <= 0) return err_set(err, ERR_IO, "the TLS certificate or its key cannot be read"), NULL;
    return take(&text);
}

static bool take_tls(struct role *role, struct err *err)
{
    struct front *front = role->state;
    int cert = role->given[GIVE_TLS_CERT], key = role->given[GIVE_TLS_KEY];
    if (cert < 0 || key < 0) return true;
    front->cert = read_pem(cert, err);
    front->key = front->cert ? read_pem(key, err) : NULL;
    close_fd(&role->given[GIVE_TLS_CERT]);
    close_fd(&role->given[GIVE_TLS_KEY]);
    return front->key != NULL;
}

static bool open_front(struct role *role, struct err *err)
{
    struct front *front = role->state;
    log_role(role_name(front->self));
    mallopt(M_ARENA_MAX, ARENAS); /* or every thread keeps the largest body it has seen */
    mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    if (!seal_init(err) || !config_read(role->given[GIVE_CONFIG], &front->config, err)) return false;
    rates_init(&front->rates, 0, 0);
    rates_init(&front->failures, 1, BAD_TOKENS);
    apply_config(front);
    if (role->given[GIVE_REGISTRY] >= 0 && !snapshots_put(&front->registry, role->given[GIVE_REGISTRY], err))
        return false;
    role->registry_number = snapshots_number(&front->registry);
    return take_tls(role, err);
}

/* ── walls and listeners ───────────────────────────────────────────────────────────────────────────── */

static bool listen_on(struct role *role, int *slot, bool tcp, struct err *err)
{
    struct front *front = role->state;
    unsigned i = 0;
    if (*slot < 0) return true;
    while (front->listeners[i]) i++;
    front->listeners[i] = http_start(front, *slot, tcp, tcp ? front->cert : NULL, tcp ? front->key : NULL, err);
    *slot = -1; /* the library closes it */
    return front->listeners[i] != NULL;
}

static bool start_listeners(struct role *role, struct err *err)
{
    if (!listen_on(role, &role->given[GIVE_UNIX], false, err)) return false;
    for (size_t i = 0; i < sizeof role->tcp / sizeof *role->tcp; i++)
        if (!listen_on(role, &role->tcp[i], true, err)) return false;
    return true;
}

/* Threads must not start before the walls: they would stand outside of them. */
static bool confine_front(struct role *role, struct err *err)
{
    const struct front *front = role->state;
    enum wall_role walls = front->self == ROLE_DESK ? WALL_DESK : WALL_FRONT;
    return reach_prove(role, walls, NULL, 0, err) && enter_role(walls, NULL, 0, err) && start_listeners(role, err) &&
           (front->self != ROLE_DESK || pushing_start(role->state, err));
}

/* ── while it runs ─────────────────────────────────────────────────────────────────────────────────── */

static uint64_t tick_front(struct role *role)
{
    struct front *front = role->state;
    return conns_sweep(&front->conns);
}

/* The parent hung up. What runs may end as it would have, while the ledger is there to write it down: the parent
 * itself says when it has been long enough. */
static void drain_front(struct role *role)
{
    struct front *front = role->state;
    front->stopping = true;
    for (unsigned i = 0; i < LISTENERS; i++) http_quiesce(front->listeners[i]);
    while (front->calls && lines_alive(&front->ledger)) poll(NULL, 0, DRAIN_STEP_MS);
    for (int ms = 0; ms < FLUSH_MS && front->requests; ms += DRAIN_STEP_MS) poll(NULL, 0, DRAIN_STEP_MS);
}

static const struct role_handler no_handlers[] = {{MSG_NONE, NULL}};

#define PART(id)                                                                                                       \
    {                                                                                                                  \
        .self = (id), .handlers = no_handlers, .open = open_front, .confine = confine_front, .line = on_line,          \
        .given = on_given, .registry = on_registry, .tick = tick_front, .close = drain_front, .lines_elsewhere = true  \
    }

const struct role_part *front_part(enum role_id self)
{
    static const struct role_part parts[] = {PART(ROLE_FRONT), PART(ROLE_DESK)};
    return &parts[self == ROLE_DESK];
}
