/* SPDX-License-Identifier: Apache-2.0 */
/* Probes of the walls that a kernel, a container or an administrator may have taken away: one row each, all tried at
 * the same time, and what their results mean. */
#include "probe.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "landlock.h"
#include "namespace.h"
#include "policy.h"
#include "probe_inside.h"

enum { PATIENCE_MS = 15000, HELD = 42 };

struct probe_scene probe_scene;

/* For whom a row counts. */
enum whom { EVERYBODY, ROOT, ORDINARY };

static const struct probe_row {
    const char *key, *name;
    enum probe_need need;
    enum whom whom;
    bool (*holds)(void);
    unsigned long spaces; /* namespaces of its child; a user namespace is added where it takes one */
} rows[] = {
    {"seccomp", "system call filters", PROBE_MUST, EVERYBODY, probe_filter, 0},
    {"listener", "reports of refused system calls", PROBE_MUST, EVERYBODY, probe_listener, 0},
    {"no_new_privs", "no new privileges", PROBE_MUST, EVERYBODY, probe_no_new_privileges, 0},
    {"landlock", "Landlock: files", PROBE_MUST, EVERYBODY, probe_landlock, 0},
    {"plugin_uid", "a user of its own for each connector", PROBE_MUST, ROOT, probe_plugin_uid, 0},
    {"no_dumps", "no core dumps", PROBE_MUST, EVERYBODY, probe_no_dumps, 0},
    {"hidden_memory", "memory hidden from the same user", PROBE_MUST, EVERYBODY, probe_hidden_memory, 0},
    {"limits", "resource limits", PROBE_MUST, EVERYBODY, probe_limits, 0},
    {"oom_score", "connectors die first when memory is short", PROBE_MUST, EVERYBODY, probe_oom, 0},
    {"proc", "workers looked at from outside", PROBE_MUST, EVERYBODY, probe_look, 0},
    {"user_namespace", "user namespaces", PROBE_LOWERABLE, ORDINARY, probe_user_space, 0},
    {"pid_namespace", "namespaces of processes", PROBE_LOWERABLE, EVERYBODY, probe_pid_space, CLONE_NEWPID},
    {"network_namespace", "namespaces of networks", PROBE_LOWERABLE, EVERYBODY, probe_net_space, CLONE_NEWNET},
    {"mount_namespace", "namespaces of mounts", PROBE_LOWERABLE, EVERYBODY, probe_mount_space, CLONE_NEWNS},
    {"ipc_namespace", "namespaces of shared memory", PROBE_LOWERABLE, EVERYBODY, probe_ipc_space, CLONE_NEWIPC},
    {"uts_namespace", "namespaces of host names", PROBE_LOWERABLE, EVERYBODY, probe_uts_space, CLONE_NEWUTS},
    {"empty_root", "an empty root, and no privileges in it", PROBE_LOWERABLE, EVERYBODY, probe_empty_root,
     CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS},
    {"landlock_tcp", "Landlock: networks (Linux 6.7)", PROBE_EXTRA, EVERYBODY, probe_landlock_tcp, 0},
    {"landlock_signals", "Landlock: signals (Linux 6.12)", PROBE_EXTRA, EVERYBODY, probe_landlock_signals, 0},
    {"mdwe", "no memory becomes executable (Linux 6.3)", PROBE_EXTRA, EVERYBODY, probe_no_new_code, 0},
    {"memfd_secret", "keys in memory that nobody else can read", PROBE_EXTRA, EVERYBODY, probe_secret_memory, 0},
};
enum { ROWS = sizeof rows / sizeof *rows };

_Static_assert((int)ROWS <= (int)PROBES_MOST, "there is room for every row");

bool probe_privileged(void)
{
    return privileges_enough();
}

/* ── trying ──────────────────────────────────────────────────────────────────────────────────────────── */

struct attempt {
    pid_t pid;
    int pidfd;
};

static bool counts(const struct probe_row *row)
{
    bool root = probe_scene.uid == 0;
    return row->whom == EVERYBODY || (row->whom == ROOT ? root : !probe_scene.who.privileged);
}

static void start(const struct probe_row *row, struct attempt *attempt)
{
    bool user = (row->spaces || row->holds == probe_user_space) && !probe_scene.who.privileged;
    unsigned long flags = row->spaces | (user ? CLONE_NEWUSER : 0) | CLONE_PIDFD | SIGCHLD;
    long pid = syscall(SYS_clone, flags, NULL, &attempt->pidfd, NULL, NULL);
    if (pid == 0) _exit(row->holds() ? HELD : 1);
    attempt->pid = (pid_t)pid;
    if (pid < 0) attempt->pidfd = -1;
}

/* One that does not come to an end in time did not hold. */
static bool finish(struct attempt *attempt, uint64_t until)
{
    int status = 0;
    if (attempt->pid <= 0) return false;
    FD_AUTO watch = attempt->pidfd;
    struct pollfd one = {.fd = watch, .events = POLLIN};
    if (poll(&one, 1, clock_left_ms(until)) != 1) syscall(SYS_pidfd_send_signal, watch, SIGKILL, NULL, 0);
    return waitpid(attempt->pid, &status, 0) == attempt->pid && WIFEXITED(status) && WEXITSTATUS(status) == HELD;
}

static void set_scene(const struct probe_who *who)
{
    probe_scene = (struct probe_scene){.who = *who, .uid = getuid(), .gid = getgid(), .outside = getpid()};
    probe_spaces_note();
}

/* One kind of namespace alone says which one is missing, and nothing more than the last row of all of them. */
static bool names_one(const struct probe_row *row)
{
    return row->need == PROBE_LOWERABLE && row->holds != probe_empty_root;
}

/* What is tried at first; extras: everything. */
static bool at_first(const struct probe_row *row, bool extras)
{
    return extras || (row->need != PROBE_EXTRA && !names_one(row));
}

static bool names_one_only(const struct probe_row *row, bool extras)
{
    return !extras && names_one(row);
}

static void try_rows(bool (*wanted)(const struct probe_row *, bool), bool extras, struct probe_results *found)
{
    struct attempt attempts[ROWS];
    uint64_t until = clock_now() + PATIENCE_MS * CLOCK_MS;
    for (unsigned i = 0; i < ROWS; i++) {
        attempts[i] = (struct attempt){-1, -1};
        if (wanted(&rows[i], extras) && counts(&rows[i])) start(&rows[i], &attempts[i]);
    }
    for (unsigned i = 0; i < ROWS; i++) {
        const struct probe_row *row = &rows[i];
        if (!wanted(row, extras)) continue;
        struct probe_result *result = &found->rows[found->count++];
        *result = (struct probe_result){.key = row->key, .name = row->name, .need = row->need};
        result->state = !counts(row) ? PROBE_NOT_NEEDED : finish(&attempts[i], until) ? PROBE_HOLDS : PROBE_MISSING;
        if (result->state == PROBE_MISSING) probe_advise(&probe_scene.who, row->key, result->advice);
    }
}

static const struct probe_result *first_missing(const struct probe_results *found, enum probe_need need)
{
    for (unsigned i = 0; i < found->count; i++)
        if (found->rows[i].need == need && found->rows[i].state == PROBE_MISSING) return &found->rows[i];
    return NULL;
}

void probe_walls(const struct probe_who *who, bool extras, struct probe_results *found)
{
    *found = (struct probe_results){.landlock_abi = landlock_abi()};
    set_scene(who);
    try_rows(at_first, extras, found);
    if (first_missing(found, PROBE_LOWERABLE)) try_rows(names_one_only, extras, found);
}

/* ── judging ─────────────────────────────────────────────────────────────────────────────────────────── */

/* Of the namespaces: a kind by its name rather than all of them together. */
static const struct probe_result *most_precise(const struct probe_results *found)
{
    const struct probe_result *all = first_missing(found, PROBE_LOWERABLE);
    for (unsigned i = 0; i < found->count; i++)
        if (found->rows[i].need == PROBE_LOWERABLE && found->rows[i].state == PROBE_MISSING &&
            strcmp(found->rows[i].key, "empty_root") != 0)
            return &found->rows[i];
    return all;
}

bool probe_judge(const struct probe_results *found, bool lowered, uint32_t *without, struct err *err)
{
    const struct probe_result *must = first_missing(found, PROBE_MUST), *space = most_precise(found);
    *without = 0;
    if (must)
        return err_set(err, ERR_MISSING_LAYER, "this machine lacks a wall (%s; nothing lowers this): %s", must->name,
                       must->advice);
    if (!space) return true;
    if (!lowered)
        return err_set(err, ERR_MISSING_LAYER,
                       "this machine lacks a wall (%s; MinimumIsolation=lowered does without): %s", space->name,
                       space->advice);
    *without = 1u << WALL_NAMESPACES | 1u << WALL_ROOT;
    return true;
}
