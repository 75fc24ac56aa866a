/* SPDX-License-Identifier: Apache-2.0 */
/* What changes outside while the daemon runs: the file "freeze", resolv.conf, the system's CA bundle. */
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/log.h"

#include "parent.h"

static const char resolv_conf[] = "/etc/resolv.conf";

/* Where distributions keep the bundle; the first that is there counts. */
static const char *const bundles[] = {"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt",
                                      "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"};

/* ── files that are handed out again when they change ──────────────────────────────────────────────── */

static struct seen look_at(int fd)
{
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0) return (struct seen){0};
    return (struct seen){status.st_ino, (uint64_t)status.st_size,
                         (uint64_t)status.st_mtim.tv_sec * 1000000000u + (uint64_t)status.st_mtim.tv_nsec};
}

static bool same(struct seen a, struct seen b)
{
    return a.inode == b.inode && a.size == b.size && a.changed == b.changed;
}

int watch_open_bundle(void)
{
    for (size_t i = 0; i < sizeof bundles / sizeof *bundles; i++) {
        int fd = open(bundles[i], O_RDONLY | O_CLOEXEC);
        if (fd >= 0) return fd;
    }
    return -1;
}

bool watch_give_resolv(struct parent *parent, struct child *child)
{
    FD_AUTO file = open(resolv_conf, O_RDONLY | O_CLOEXEC);
    parent->resolv = look_at(file);
    return control_give(parent, child, GIVE_RESOLV, 0, file);
}

bool watch_give_bundle(struct parent *parent, struct child *child)
{
    FD_AUTO file = watch_open_bundle();
    parent->bundle = look_at(file);
    return control_give(parent, child, GIVE_CA, 0, file);
}

static void look_at_system(struct parent *parent)
{
    struct child *broker = parent_child(parent, ROLE_BROKER), *runner = parent_child(parent, ROLE_RUNNER);
    FD_AUTO resolv = open(resolv_conf, O_RDONLY | O_CLOEXEC);
    FD_AUTO bundle = watch_open_bundle();
    if (broker->state == CHILD_READY && !same(look_at(resolv), parent->resolv)) watch_give_resolv(parent, broker);
    if (runner->state == CHILD_READY && !same(look_at(bundle), parent->bundle)) watch_give_bundle(parent, runner);
}

/* ── freeze ────────────────────────────────────────────────────────────────────────────────────────── */

static const enum role_id told[] = {ROLE_LEDGER, ROLE_RUNNER, ROLE_BROKER, ROLE_FRONT};

void watch_tell_freeze(struct parent *parent, struct child *child)
{
    struct ctl_freeze body = {.on = parent->frozen, .now = parent->frozen_now};
    child->told_frozen = parent->frozen;
    control_send(parent, child, CTL_FREEZE, 0, &body, sizeof body, -1);
}

/* Who is starting hears of it when it is READY. */
static void look_at_freeze(struct parent *parent)
{
    bool on, now;
    home_freeze(&parent->home, &on, &now);
    if (on == parent->frozen && now == parent->frozen_now) return;
    parent->frozen = on;
    parent->frozen_now = now;
    log_event(LOG_LEVEL_WARNING, on ? "frozen" : "thawed", log_truth("now", now));
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        struct child *child = parent_child(parent, told[i]);
        if (child->state == CHILD_READY) watch_tell_freeze(parent, child);
    }
}

/* ── when ──────────────────────────────────────────────────────────────────────────────────────────── */

bool watch_open(struct parent *parent, struct err *err)
{
    parent->watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (parent->watch < 0 ||
        inotify_add_watch(parent->watch, parent->home.path,
                          IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM | IN_CLOSE_WRITE) < 0)
        return err_sys(err, ERR_IO, "the home folder %s cannot be watched", parent->home.path);
    home_freeze(&parent->home, &parent->frozen, &parent->frozen_now);
    return true;
}

/* What moved does not matter: the files say how things stand. */
void watch_event(struct parent *parent)
{
    char events[4096];
    while (read(parent->watch, events, sizeof events) > 0) continue;
    look_at_freeze(parent);
}

void watch_look(struct parent *parent)
{
    look_at_freeze(parent);
    look_at_system(parent);
}
