/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups: the files of both versions stand in one table, and those that a new group has are written. */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"

enum { TEXT = 256, HELD = 42 };
static const char trial[] = "caisson-trial";

/* ── files ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool put(int folder, const char *file, const char *text)
{
    FD_AUTO fd = openat(folder, file, O_WRONLY | O_CLOEXEC);
    return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);
}

static bool put_number(int folder, const char *file, uint64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, number);
    return put(folder, file, text);
}

static bool has(int folder, const char *file)
{
    return faccessat(folder, file, F_OK, 0) == 0;
}

/* ── limits ──────────────────────────────────────────────────────────────────────────────────────────── */

enum value { MEMORY, NONE, PIDS, WEIGHT, SHARES };

/* A file that is not there belongs to the other version, or to a controller that is not here. */
static const struct {
    const char *file;
    enum value value;
    uint32_t kind; /* 0: helps another */
} files[] = {
    {"memory.max", MEMORY, CGROUP_MEMORY},
    {"memory.swap.max", NONE, 0},
    {"memory.limit_in_bytes", MEMORY, CGROUP_MEMORY},
    {"memory.swappiness", NONE, 0},
    {"pids.max", PIDS, CGROUP_PIDS},
    {"cpu.weight", WEIGHT, CGROUP_CPU},
    {"cpu.shares", SHARES, CGROUP_CPU},
};
enum { FILES = sizeof files / sizeof *files };

/* Version 1 counts a usual share as 1024. */
static uint64_t value_of(const struct cgroup_limits *limits, enum value value)
{
    switch (value) {
    case MEMORY: return limits->memory;
    case PIDS: return limits->pids;
    case WEIGHT: return limits->weight;
    case SHARES: return limits->weight * 1024 / 100;
    case NONE: break;
    }
    return 0;
}

static bool set_limits(int group, const struct cgroup_limits *limits, struct err *err)
{
    for (int i = 0; i < FILES; i++) {
        uint64_t value = value_of(limits, files[i].value);
        if (!has(group, files[i].file) || (!value && files[i].value != NONE)) continue;
        if (!put_number(group, files[i].file, value) && files[i].kind)
            return err_sys(err, ERR_IO, "a control group does not take %s", files[i].file);
    }
    return true;
}

static uint32_t kinds_of(int group)
{
    uint32_t kinds = 0;
    for (int i = 0; i < FILES; i++)
        if (has(group, files[i].file)) kinds |= files[i].kind;
    return kinds;
}

void cgroups_words(uint32_t kinds, char *text, size_t size)
{
    static const struct {
        uint32_t kind;
        const char *word;
    } words[] = {{CGROUP_MEMORY, "memory"}, {CGROUP_PIDS, "processes"}, {CGROUP_CPU, "processor"}};
    size_t used = 0;
    text[0] = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if ((kinds & words[i].kind) && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "", words[i].word);
}

/* ── groups ──────────────────────────────────────────────────────────────────────────────────────────── */

static int open_group(int folder, const char *name, struct err *err)
{
    if (mkdirat(folder, name, 0755) < 0 && errno != EEXIST)
        return err_sys(err, ERR_IO, "a control group cannot be made"), -1;
    int group = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (group < 0) err_sys(err, ERR_IO, "a control group cannot be opened");
    return group;
}

/* In version 2 a controller is turned on by the group above; in version 1 the folder is that of one controller. */
static void turn_on(int folder)
{
    static const char *const controllers[] = {"+memory", "+pids", "+cpu"};
    for (size_t i = 0; i < sizeof controllers / sizeof *controllers; i++)
        if (!put(folder, "cgroup.subtree_control", controllers[i])) continue; /* what is there counts, below */
}

static uint32_t try_out(int folder, struct err *err)
{
    FD_AUTO group = open_group(folder, trial, err);
    if (group < 0) return 0;
    uint32_t kinds = has(group, "cgroup.procs") ? kinds_of(group) : 0;
    unlinkat(folder, trial, AT_REMOVEDIR);
    if (!kinds) err_set(err, ERR_IO, "it has no controller of memory, pids or cpu that can be turned on");
    return kinds;
}

bool cgroups_add(struct cgroups *groups, const char *path, struct err *err)
{
    if (groups->count == CGROUPS_MOST) return err_set(err, ERR_USAGE, "more than %d control groups", CGROUPS_MOST);
    FD_AUTO folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return err_sys(err, ERR_IO, "the control group %.200s cannot be opened", path);
    turn_on(folder);
    uint32_t kinds = try_out(folder, err);
    if (!kinds) return err_in(err, "the control group %.200s cannot be used", path);
    groups->kinds |= kinds;
    groups->folders[groups->count++] = take_fd(&folder);
    return true;
}

void cgroups_close(struct cgroups *groups)
{
    for (unsigned i = 0; i < groups->count; i++) close_fd(&groups->folders[i]);
    *groups = (struct cgroups){0};
}

static bool put_one(int folder, const char *name, const struct cgroup_limits *limits, pid_t pid, struct err *err)
{
    FD_AUTO group = open_group(folder, name, err);
    if (group < 0 || !set_limits(group, limits, err)) return false;
    return put_number(group, "cgroup.procs", (uint64_t)pid) ||
           err_sys(err, ERR_IO, "a process cannot be put into its control group");
}

bool cgroups_put(const struct cgroups *groups, const char *name, const struct cgroup_limits *limits, pid_t pid,
                 struct err *err)
{
    for (unsigned i = 0; i < groups->count; i++)
        if (!put_one(groups->folders[i], name, limits, pid, err)) return false;
    return true;
}

/* The last process may be counted for a moment longer than it lives. */
static void drop_one(int folder, const char *name)
{
    enum { TRIES = 5 };
    const struct timespec moment = {.tv_nsec = 1000000};
    for (int i = 0; i < TRIES && unlinkat(folder, name, AT_REMOVEDIR) < 0 && errno == EBUSY; i++)
        nanosleep(&moment, NULL);
}

void cgroups_drop(const struct cgroups *groups, const char *name)
{
    for (unsigned i = 0; i < groups->count; i++) drop_one(groups->folders[i], name);
}

/* ── trying ──────────────────────────────────────────────────────────────────────────────────────────── */

/* Waits until it is in its group, then tries to have a child. */
static _Noreturn void try_to_multiply(int go)
{
    char byte;
    if (read(go, &byte, 1) != 1) _exit(1);
    pid_t child = fork();
    if (child == 0) _exit(0);
    _exit(child < 0 && errno == EAGAIN ? HELD : 1);
}

bool cgroups_hold(const struct cgroups *groups)
{
    const struct cgroup_limits alone = {.pids = 1};
    struct err err = {0};
    int ends[2], status = 0;
    if (!(groups->kinds & CGROUP_PIDS)) return groups->kinds != 0;
    if (pipe2(ends, O_CLOEXEC) < 0) return false;
    FD_AUTO go = ends[0];
    pid_t pid = fork();
    if (pid == 0) try_to_multiply(go);
    bool put_in = pid > 0 && cgroups_put(groups, trial, &alone, pid, &err) && write(ends[1], "x", 1) == 1;
    close(ends[1]); /* without a byte: it ends */
    bool held = pid > 0 && waitpid(pid, &status, 0) == pid && put_in && WIFEXITED(status) &&
                WEXITSTATUS(status) == HELD;
    cgroups_drop(groups, trial);
    return held;
}

/* ── whose group is it? ──────────────────────────────────────────────────────────────────────────────── */

/* The line "0::/path" of version 2. */
static bool own_group(char path[CGROUP_PATH])
{
    FILE *file = fopen("/proc/self/cgroup", "re");
    char line[CGROUP_PATH + 8];
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        found = strncmp(line, "0::/", 4) == 0;
    }
    if (file) fclose(file);
    if (found) snprintf(path, CGROUP_PATH, "%s", line + 3);
    return found;
}

static const char *mounted_at(void)
{
    static const char *const places[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    struct statfs status;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (statfs(places[i], &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC) return places[i];
    return NULL;
}

/* systemd writes down what it has given away: it alone may change all other groups. */
static bool is_marked(const char *path)
{
    static const char *const marks[] = {"user.delegate", "trusted.delegate"};
    char value[4];
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (getxattr(path, marks[i], value, sizeof value) == 1 && value[0] == '1') return true;
    return false;
}

bool cgroup_delegated(char path[CGROUP_PATH])
{
    char own[CGROUP_PATH], *last;
    const char *place = mounted_at();
    if (!place || !own_group(own)) return false;
    int length = snprintf(path, CGROUP_PATH, "%s%s", place, own);
    if (length < 0 || length >= CGROUP_PATH) return false;
    /* A process that has stepped aside already: the one above is meant. */
    if ((last = strrchr(path, '/')) && strcmp(last, "/daemon") == 0) *last = 0;
    return is_marked(path);
}

bool cgroup_step_aside(const char *path, struct err *err)
{
    FD_AUTO folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return err_sys(err, ERR_IO, "the daemon's own control group cannot be opened");
    FD_AUTO group = open_group(folder, "daemon", err);
    if (group < 0) return false;
    return put_number(group, "cgroup.procs", (uint64_t)getpid()) ||
           err_sys(err, ERR_IO, "the daemon cannot move within its own control group");
}
