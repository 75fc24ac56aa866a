/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at a worker from outside, before a line of the plugin runs: what it says of itself counts for nothing. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "runner.h"

enum { STATUS_BYTES = 4096 };

static bool read_text(const char *path, char text[STATUS_BYTES])
{
    FD_AUTO file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, text, STATUS_BYTES - 1);
    if (got <= 0) return false;
    text[got] = 0;
    return true;
}

/* The value of "name:\t…" in a status text, in that base; -1: no such line. */
static long long field(const char *text, const char *name, int base)
{
    size_t length = strlen(name);
    for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            return (long long)strtoull(line + length + 1, NULL, base);
    return -1;
}

static bool alive(int pidfd)
{
    struct pollfd one = {.fd = pidfd, .events = POLLIN};
    return poll(&one, 1, 0) == 0; /* readable = dead */
}

unsigned check_filters(void)
{
    char text[STATUS_BYTES];
    long long count = read_text("/proc/self/status", text) ? field(text, "Seccomp_filters", 10) : -1;
    return count > 0 ? (unsigned)count : 0;
}

static bool status_of(int pidfd, char text[STATUS_BYTES])
{
    char path[64], info[STATUS_BYTES];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    long long pid = read_text(path, info) ? field(info, "Pid", 10) : -1;
    if (pid <= 0) return false;
    snprintf(path, sizeof path, "/proc/%lld/status", pid);
    return read_text(path, text) && alive(pidfd); /* alive now: so it was that process, not one with its number */
}

/* Without namespaces an ordinary user's cell cannot empty its bounding set; no_new_privs makes that mean nothing. */
static bool excused(const struct runner *runner, const char *name)
{
    return (runner->without >> WALL_NAMESPACES & 1) && !runner->privileged && strcmp(name, "CapBnd") == 0;
}

bool check_worker(const struct runner *runner, const struct home *home, int pidfd, struct err *err)
{
    char text[STATUS_BYTES];
    if (!status_of(pidfd, text)) return err_set(err, ERR_CRASHED, "the worker cannot be looked at");
    const struct {
        const char *name;
        int base;
        long long want;
    } rows[] = {{"Seccomp", 10, 2},      {"Seccomp_filters", 10, runner->filters},
                {"NoNewPrivs", 10, 1},   {"CapEff", 16, 0},
                {"CapPrm", 16, 0},       {"CapBnd", 16, 0},
                {"CapAmb", 16, 0},       {"Threads", 10, 1},
                {"PPid", 10, home->cell}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!excused(runner, rows[i].name) && field(text, rows[i].name, rows[i].base) != rows[i].want)
            return err_set(err, ERR_MISSING_LAYER, "a worker is not confined as it must be (%s)", rows[i].name);
    if (home->uid && field(text, "Uid", 10) != home->uid)
        return err_set(err, ERR_MISSING_LAYER, "a worker has another uid than its plugin's");
    return true;
}
