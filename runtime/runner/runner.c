/* SPDX-License-Identifier: Apache-2.0 */
/* The role: its configuration, its walls, and what a new registry, a freeze or a peer's death means for workers. */
#include "runner.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "sandbox/enter.h"
#include "sandbox/namespace.h"
#include "sandbox/probe.h"

enum { CONFIG_MAX = 64 * 1024 };

/* ── start ───────────────────────────────────────────────────────────────────────────────────────────── */

static uint32_t number_of(const json_t *config, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(config, key));
    return value > 0 && value < UINT32_MAX ? (uint32_t)value : 0;
}

static json_t *read_config(int fd, struct err *err)
{
    static char text[CONFIG_MAX];
    json_t *config = NULL;
    ssize_t length = fd < 0 ? 0 : pread(fd, text, sizeof text, 0);
    if (length < 0) return err_sys(err, ERR_IO, "the runner's configuration cannot be read"), NULL;
    if (length == 0) return json_object();
    return json_read(text, (size_t)length, sizeof text - 1, &config, err) ? config : NULL;
}

/* Beside this program, unless the configuration names another place. */
static bool find_cell(struct runner *runner, const json_t *config, struct err *err)
{
    const char *given = json_string_value(json_object_get(config, "cell"));
    if (given) {
        snprintf(runner->cell_path, sizeof runner->cell_path, "%s", given);
    } else {
        char path[sizeof runner->cell_path - 16];
        ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
        if (length <= 0) return err_sys(err, ERR_IO, "this program cannot find its own place: is /proc mounted?");
        path[length] = 0;
        char *slash = strrchr(path, '/');
        if (slash) *slash = 0;
        snprintf(runner->cell_path, sizeof runner->cell_path, "%s/caisson-cell", path);
    }
    return access(runner->cell_path, X_OK) == 0 ||
           err_sys(err, ERR_NOT_FOUND, "caisson-cell is not installed beside caisson-runner");
}

/* A path in the configuration stands in for the descriptor, when the parent gave none. */
static bool find_helpers(struct role *role, const json_t *config, struct err *err)
{
    const char *path = json_string_value(json_object_get(config, "helpers"));
    if (role->given[GIVE_HELPERS] >= 0 || !path) return true;
    role->given[GIVE_HELPERS] = open(path, O_RDONLY | O_CLOEXEC);
    return role->given[GIVE_HELPERS] >= 0 ||
           err_sys(err, ERR_NOT_FOUND, "the helpers for HTTP and mail are not installed");
}

static bool configure(struct runner *runner, struct err *err)
{
    JSON_AUTO *config = read_config(runner->role->given[GIVE_CONFIG], err);
    if (!config) return false;
    runner->uid_first = number_of(config, "plugin_uid");
    runner->uid_count = number_of(config, "plugin_uids");
    runner->privileged = privileges_enough();
    if (runner->privileged && (!runner->uid_first || !runner->uid_count))
        return err_set(err, ERR_USAGE, "as root, uids must be set aside for plugins (plugin_uid, plugin_uids)");
    return find_cell(runner, config, err) && find_helpers(runner->role, config, err) &&
           groups_open(runner, config, err);
}

static void raise_limits(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0) return;
    files.rlim_cur = files.rlim_max < ROLE_WATCHES ? files.rlim_max : ROLE_WATCHES;
    setrlimit(RLIMIT_NOFILE, &files);
}

/* The bytes of what is no longer enabled: cells that still run have a copy of their own. */
static void drop_plugins(struct role *role, const struct registry *registry)
{
    for (unsigned i = 0; i < sizeof role->plugins / sizeof *role->plugins; i++) {
        const struct entry *entry = registry_entry(registry, i);
        if (!entry || entry->state != ENTRY_ENABLED) close_fd(&role->plugins[i]);
    }
}

static uint32_t take_registry(struct role *role, uint32_t number)
{
    struct runner *runner = role->state;
    struct registry fresh;
    struct err err = {0};
    if (!registry_read(role->given[GIVE_REGISTRY], &fresh, &err)) {
        log_failure("registry-refused", &err);
        return runner->registry.number;
    }
    struct registry oldest = runner->previous;
    runner->previous = runner->registry;
    runner->registry = fresh;
    homes_update(runner);
    drop_plugins(role, &runner->registry);
    registry_clear(&oldest);
    return runner->registry.number;
}

static bool open_runner(struct role *role, struct err *err)
{
    struct runner *runner = role->state;
    log_role("runner");
    for (int i = 0; i < WORKERS; i++) /* zeroed, they would all hold descriptor 0 */
        runner->workers[i] = (struct worker){.stream = -1, .replies = -1, .secret = -1, .egress = -1};
    for (int i = 0; i < HOMES; i++) runner->homes[i] = (struct home){.pidfd = -1, .channel = -1};
    raise_limits();
    runner->nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (runner->nothing < 0) return err_sys(err, ERR_IO, "/dev/null cannot be opened");
    runner->lowered = role->start.minimum_isolation;
    if (!configure(runner, err)) return false;
    if (role->given[GIVE_REGISTRY] >= 0) role->registry_number = take_registry(role, 0);
    return true;
}

/* Which walls stand here is tried out, not looked up; what is missing is refused, or, where the administrator said so,
 * done without, loudly. */
static bool try_walls(struct runner *runner, struct err *err)
{
    struct probe_results found;
    struct probe_who who = {.privileged = runner->privileged, .plugin_uid = runner->uid_first};
    probe_walls(&who, false, &found);
    return probe_judge(&found, runner->lowered, &runner->without, err);
}

static bool confine(struct role *role, struct err *err)
{
    struct runner *runner = role->state;
    if (runner->privileged && !privileges_keep_for_runner(err)) return false;
    if (!try_walls(runner, err) || !enter_role(WALL_RUNNER, NULL, 0, err)) return false;
    runner->filters = check_filters() + 2;
    return runner->filters > 2 || err_set(err, ERR_MISSING_LAYER, "proc does not say how many filters a process has");
}

/* ── changes ─────────────────────────────────────────────────────────────────────────────────────────── */

uint32_t taker_generation(const struct runner *runner, uint32_t taker)
{
    return taker == ROLE_DESK ? runner->desk : runner->front;
}

/* A new front never gets a worker of the old one's; nor does a new desk. */
static void end_old_takers(struct runner *runner)
{
    for (int i = 0; i < WORKERS; i++) {
        struct worker *worker = &runner->workers[i];
        bool taken = worker->call && !worker->call->start.exchange; /* an exchange is nobody's */
        if (taken && worker->front != taker_generation(runner, worker->taker))
            worker_end(runner, worker, CLASS_LOST, REASON_RESTART);
    }
}

/* The front has many lines, replaced one after another: only the first of a generation means anything here. */
static void line_came(struct role *role, struct role_line *line)
{
    struct runner *runner = role->state;
    uint32_t *known = line->peer == ROLE_FRONT    ? &runner->front
                      : line->peer == ROLE_DESK   ? &runner->desk
                      : line->peer == ROLE_VAULT  ? &runner->vault
                      : line->peer == ROLE_BROKER ? &runner->broker
                                                  : NULL;
    if (!known || *known == line->generation) return;
    *known = line->generation;
    spares_end(runner, NULL);
    if (line->peer == ROLE_FRONT || line->peer == ROLE_DESK) end_old_takers(runner);
}

static void freeze(struct role *role, bool on, bool now)
{
    struct runner *runner = role->state;
    if (!on) return;
    spares_end(runner, NULL);
    for (unsigned i = 0; i < runner->call_top; i++)
        if (runner->calls[i].state == CALL_WAITING) call_refuse(runner, &runner->calls[i], ERR_FROZEN, REASON_FROZEN);
    for (int i = 0; now && i < WORKERS; i++)
        if (runner->workers[i].call) worker_end(runner, &runner->workers[i], CLASS_TIMEOUT, REASON_FROZEN);
}

/* New authorities, new helpers: cells that have the old ones in memory go, with the last of their calls. */
static void given(struct role *role, enum give_kind kind, uint32_t index)
{
    struct runner *runner = role->state;
    if (kind != GIVE_CA && kind != GIVE_HELPERS) return;
    for (int i = 0; i < HOMES; i++) {
        struct home *home = &runner->homes[i];
        if (!home->used || home->cell <= 0 || !home->entry || !home->entry->rule_count) continue;
        spares_end(runner, home);
        home->ending = true;
        if (!home->busy) home_close(runner, home, REASON_RESTART);
    }
}

static uint64_t tick(struct role *role)
{
    struct runner *runner = role->state;
    uint64_t now = clock_now(), workers = workers_tick(runner, now), calls = calls_tick(runner, now);
    if (!workers || !calls) return workers + calls;
    return workers < calls ? workers : calls;
}

static void close_runner(struct role *role)
{
    struct runner *runner = role->state;
    for (int i = 0; i < HOMES; i++)
        if (runner->homes[i].cell > 0) home_close(runner, &runner->homes[i], REASON_RESTART);
    tell_nothing_more(runner);
}

static const struct role_handler handlers[] = {
    {MSG_START, on_start}, {MSG_CANCEL, on_cancel},   {MSG_REVOKE, on_revoke}, {MSG_TAKE, on_take},
    {MSG_DONE, on_done},   {MSG_WORKERS, on_workers}, {MSG_NONE, NULL}};

const struct role_part runner_part = {.self = ROLE_RUNNER,
                                      .handlers = handlers,
                                      .open = open_runner,
                                      .confine = confine,
                                      .line = line_came,
                                      .given = given,
                                      .registry = take_registry,
                                      .freeze = freeze,
                                      .batch = tell_unsent,
                                      .tick = tick,
                                      .close = close_runner};
