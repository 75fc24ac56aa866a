/* SPDX-License-Identifier: Apache-2.0 */
/* caissond from its start to its end: check the home, bind, start the roles, then one loop. */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "sandbox/enter.h"

#include "notify.h"
#include "parent.h"

enum { LOOK_SECONDS = 5 };

struct child *parent_child(struct parent *parent, enum role_id role)
{
    return &parent->children[role];
}

bool parent_fail(struct parent *parent, const struct err *err)
{
    if (!parent->failed) parent->err = *err;
    parent->failed = parent->stopping = parent->hurry = true;
    return false;
}

/* ── before anything runs ──────────────────────────────────────────────────────────────────────────── */

static void init(struct parent *parent)
{
    memset(parent, 0, sizeof *parent);
    parent->share_out = parent->registry = parent->reload.registry = -1;
    parent->epoll = parent->signals = parent->watch = -1;
    for (int i = 0; i < PLUGINS_MOST; i++) parent->plugins[i] = parent->reload.plugins[i] = -1;
    for (int i = 0; i < PUSH_HELPERS; i++) parent->pushes[i].pidfd = parent->pushes[i].answer = -1;
    for (int i = 0; i < ROLE_COUNT; i++)
        parent->children[i] = (struct child){.role = (enum role_id)i, .pidfd = -1, .control = -1};
}

/* A descriptor that a service manager left closed must not become a database or a socket. */
static bool fill_standard(struct err *err)
{
    for (;;) {
        int fd = open("/dev/null", O_RDWR);
        if (fd < 0) return err_sys(err, ERR_IO, "/dev/null cannot be opened");
        if (fd <= 2) continue;
        close(fd);
        return true;
    }
}

/* Nothing of this process in a core file or another process's hands; nothing it starts gains rights by exec. */
static bool harden(struct err *err)
{
    struct rlimit none = {0, 0}, files;
    umask(022);
    if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_sys(err, ERR_MISSING_LAYER, "this process cannot confine itself");
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    return true;
}

/* Without Directory=: home/plugins and where "make install" puts ours, as far as they are there. */
static void default_folders(const struct parent *parent, struct config *config)
{
    struct stat status;
    char path[CONFIG_PATH + 16];
    snprintf(path, sizeof path, "%s/plugins", parent->home.path);
    const char *const usual[] = {path, CAISSON_PLUGINS};
    for (size_t i = 0; i < 2; i++)
        if (stat(usual[i], &status) == 0 && S_ISDIR(status.st_mode) &&
            TEXT_COPY(config->dirs[config->dir_count], usual[i]))
            config->dir_count++;
}

/* Makes relative folders absolute, so that a drop-in may name its folder either way. */
static bool plugin_folders(const struct parent *parent, struct config *config, struct err *err)
{
    if (config->dir_count == 0) default_folders(parent, config);
    for (unsigned i = 0; i < config->dir_count; i++) {
        char path[2 * CONFIG_PATH];
        bool absolute = config->dirs[i][0] == '/';
        snprintf(path, sizeof path, "%s%s%s", absolute ? "" : parent->home.path, absolute ? "" : "/", config->dirs[i]);
        if (strlen(path) >= CONFIG_PATH) return err_set(err, ERR_USAGE, "Directory=%s is too long", config->dirs[i]);
        TEXT_COPY(config->dirs[i], path);
    }
    return true;
}

static bool read_config(const struct parent *parent, struct config *config, struct err *err)
{
    FREE_AUTO char *text = NULL;
    size_t length = 0;
    const char *file = parent->config_file ? parent->config_file : "caisson.conf";
    if (!home_text(&parent->home, file, CONFIG_BYTES, &text, &length, err) &&
        (parent->config_file || err->kind != ERR_NOT_FOUND))
        return false;
    return config_read(text ? text : "", length, "caisson.conf", geteuid(), config, err) &&
           (plugin_folders(parent, config, err) || (config_clear(config), false));
}

bool parent_configure(struct parent *parent, struct err *err)
{
    struct config fresh;
    if (!read_config(parent, &fresh, err)) return false;
    /* A vault reads them at its start: this reload starts none, and one that dies would start with the new ones. */
    if (parent->configured && !json_equal(parent->config.parts[ROLE_PROVIDER], fresh.parts[ROLE_PROVIDER]))
        log_event(LOG_LEVEL_WARNING, "restart-needed", log_text("for", "changes in [Keys]"));
    if (parent->configured && config_keep(&parent->config, &fresh))
        log_event(LOG_LEVEL_WARNING, "restart-needed", log_text("for", "changes in [Daemon] or [Listen]"));
    config_clear(&parent->config);
    parent->config = fresh;
    parent->configured = true;
    log_level(fresh.log_level);
    return true;
}

static uid_t ledger_uid(const struct parent *parent)
{
    return geteuid() == 0 ? parent->config.uid_base + ROLE_LEDGER : geteuid();
}

static bool prepare(const struct run *run, struct parent *parent, struct err *err)
{
    static char config[PATH_MAX];
    if (run->config && !realpath(run->config, config))
        return err_set(err, ERR_NOT_FOUND, "there is no configuration %s", run->config);
    parent->config_file = run->config ? config : NULL;
    return layout_find(&parent->layout, err) && home_open(run->home, run->wait_s, &parent->home, err) &&
           parent_configure(parent, err) && home_check(&parent->home, ledger_uid(parent), err);
}

static bool open_signals(struct parent *parent, struct err *err)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    parent->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return parent->signals >= 0 || err_sys(err, ERR_IO, "signals cannot be received");
}

static bool open_loop(struct parent *parent, struct err *err)
{
    struct epoll_event signals = {.events = EPOLLIN, .data.ptr = &parent->signals};
    struct epoll_event watch = {.events = EPOLLIN, .data.ptr = &parent->watch};
    parent->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (parent->epoll < 0) return err_sys(err, ERR_IO, "cannot make an event queue");
    if (!open_signals(parent, err) || !watch_open(parent, err)) return false;
    if (epoll_ctl(parent->epoll, EPOLL_CTL_ADD, parent->signals, &signals) < 0 ||
        epoll_ctl(parent->epoll, EPOLL_CTL_ADD, parent->watch, &watch) < 0)
        return err_sys(err, ERR_IO, "cannot fill the event queue");
    return true;
}

static void say_lowered(const struct parent *parent)
{
    if (!parent->config.lowered) return;
    static const char text[] = "MinimumIsolation=lowered: missing walls around connectors are tolerated";
    log_event(LOG_LEVEL_WARNING, "isolation-lowered", log_text("meaning", text));
    fprintf(stderr, "caissond: WARNING: %s\n", text);
}

/* A group of this service's own can hold groups of connectors only when no process is in it itself. */
static void find_group(struct parent *parent)
{
    struct err err = {0};
    char path[CGROUP_PATH];
    if (!cgroup_delegated(path)) return;
    if (cgroup_step_aside(path, &err))
        TEXT_COPY(parent->control_group, path);
    else
        log_failure("control-group", &err);
}

/* ── the loop ──────────────────────────────────────────────────────────────────────────────────────── */

/* StopSeconds= may be more than the unit's TimeoutStopSec=: the service manager is to wait for it. */
static void say_stopping(const struct parent *parent)
{
    char state[64];
    snprintf(state, sizeof state, "STOPPING=1\nEXTEND_TIMEOUT_USEC=%llu", roles_stop_s(parent) * 1000000ull);
    notify_send(state);
}

static void stop(struct parent *parent)
{
    if (parent->stopping) parent->hurry = true;
    parent->stopping = true;
    say_stopping(parent);
}

static void take_signal(struct parent *parent)
{
    struct signalfd_siginfo one;
    while (read(parent->signals, &one, sizeof one) == sizeof one) {
        if (one.ssi_signo == SIGHUP)
            reload_begin(parent, NULL);
        else
            stop(parent);
    }
}

static void serve_one(struct parent *parent, const void *what)
{
    if (what == &parent->signals) take_signal(parent);
    if (what == &parent->watch) watch_event(parent);
    for (int i = 0; i < ROLE_COUNT; i++) {
        struct child *child = &parent->children[i];
        if (what == &child->control && child->control >= 0) control_read(parent, child);
        if (what == &child->pidfd) roles_ended(parent, child);
    }
    for (int i = 0; i < PUSH_HELPERS; i++)
        if (what == &parent->pushes[i].pidfd) push_ended(parent, &parent->pushes[i]);
}

static void announce(struct parent *parent)
{
    if (parent->announced || !roles_all_ready(parent)) return;
    parent->announced = true;
    puts("ready");
    fflush(stdout);
    notify_send("READY=1");
}

/* The sooner of two times, of which 0 is none. */
static uint64_t sooner(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a;
}

static uint64_t tick(struct parent *parent, uint64_t *look)
{
    uint64_t now = clock_now();
    if (now >= *look) {
        watch_look(parent);
        *look = now + LOOK_SECONDS * CLOCK_S;
    }
    reload_tick(parent);
    uint64_t roles = sooner(roles_tick(parent), push_tick(parent));
    return sooner(sooner(roles, parent->reload.running ? parent->reload.due : 0), *look);
}

static void loop(struct parent *parent)
{
    struct epoll_event events[32];
    uint64_t look = clock_now() + LOOK_SECONDS * CLOCK_S;
    while (!parent->stopping || !roles_all_off(parent)) {
        uint64_t next = tick(parent, &look);
        announce(parent);
        if (parent->stopping && roles_all_off(parent)) break;
        int count = epoll_wait(parent->epoll, events, 32, clock_left_ms(next));
        for (int i = 0; i < count; i++) serve_one(parent, events[i].data.ptr);
    }
}

static void clear(struct parent *parent)
{
    close_fd(&parent->registry);
    for (int i = 0; i < PLUGINS_MOST; i++) close_fd(&parent->plugins[i]);
    listen_close(&parent->listeners);
    home_close(&parent->home);
    config_clear(&parent->config);
    close_fd(&parent->epoll);
    close_fd(&parent->signals);
    close_fd(&parent->watch);
}

static bool serve(struct parent *parent, struct err *err)
{
    /* Its list comes before the first role, which inherits it. */
    if (!listen_open(&parent->config, &parent->home, &parent->listeners, err) || !harden(err) ||
        !enter_role(WALL_PARENT, NULL, 0, err) || !open_loop(parent, err))
        return false;
    say_lowered(parent);
    find_group(parent);
    parent->start.start = clock_now();
    id_new(parent->start.instance);
    reload_begin(parent, NULL);
    loop(parent);
    if (parent->failed) *err = parent->err;
    return !parent->failed;
}

bool parent_run(const struct run *run, struct err *err)
{
    static struct parent parent;
    log_role("parent");
    init(&parent);
    bool good = fill_standard(err) && harden(err) && prepare(run, &parent, err) && (run->check || serve(&parent, err));
    clear(&parent);
    return good;
}
