/* SPDX-License-Identifier: Apache-2.0 */
/* Start-up probe. Each attempt is a child that takes on the role's walls and tries one thing: for many of them the
 * wall's answer is death, which a process cannot observe on itself. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"

enum { PROBE_MAX = 64 * 1024, PATHS_MOST = 64, REFUSED = 0, GOT_THROUGH = 42, NO_WALLS = 43 };

struct target {
    json_t *document;
    const json_t *paths;
    pid_t vault;
};

/* ── the attempts: true = it got through ───────────────────────────────────────────────────────────── */

static bool open_paths(const struct target *target)
{
    static const int ways[] = {O_RDONLY | O_CLOEXEC, O_WRONLY | O_CLOEXEC};
    for (size_t i = 0; i < json_array_size(target->paths); i++) {
        const char *path = json_string_value(json_array_get(target->paths, i));
        for (unsigned way = 0; way < sizeof ways / sizeof *ways; way++)
            if (open(path, ways[way]) >= 0) return true;
    }
    return false;
}

static bool make_files(const struct target *target)
{
    for (size_t i = 0; i < json_array_size(target->paths); i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/probe", json_string_value(json_array_get(target->paths, i)));
        if (open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0) continue;
        unlink(path);
        return true;
    }
    return false;
}

static bool make_socket(const struct target *target)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 || socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0;
}

static bool connect_out(const struct target *target)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "probe"};
    return connect(-1, (struct sockaddr *)&address, sizeof address) == 0 ||
           errno == EBADF; /* EBADF: nobody stopped it */
}

static bool read_memory(const struct target *target)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)&byte, 1};
    return process_vm_readv(target->vault, &here, 1, &there, 1, 0) >= 0 || (errno != EPERM && errno != ENOSYS);
}

static bool send_signal(const struct target *target)
{
    return kill(target->vault, 0) == 0 || errno == ESRCH;
}

static bool run_program(const struct target *target)
{
    char *const none[] = {NULL};
    execve("/proc/self/exe", none, none);
    return errno == ENOENT; /* somebody looked for it */
}

static const struct attempt {
    bool (*get_through)(const struct target *);
    const char *what;
} attempts[] = {
    {open_paths, "open a file of the daemon's home"},
    {make_files, "make a file in the daemon's home"},
    {make_socket, "make a socket"},
    {connect_out, "connect a socket"},
    {read_memory, "read the vault's memory"},
    {send_signal, "signal the vault"},
    {run_program, "run a program"},
};

enum { ATTEMPTS = sizeof attempts / sizeof *attempts };

/* ── running them ──────────────────────────────────────────────────────────────────────────────────── */

static int try_one(const struct attempt *attempt, enum wall_role role, const struct target *target)
{
    struct err err = {0};
    if (!enter_role(role, NULL, 0, &err)) return NO_WALLS;
    return attempt->get_through(target) ? GOT_THROUGH : REFUSED;
}

static bool judge(const struct attempt *attempt, int status, struct err *err)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == REFUSED) return true;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == GOT_THROUGH)
        return err_set(err, ERR_MISSING_LAYER, "a process behind this role's walls could %s; the daemon does not start",
                       attempt->what);
    return err_set(err, ERR_MISSING_LAYER, "it could not be tried whether this role could %s", attempt->what);
}

/* All at the same time: each is a new set of walls, and the daemon waits for them. */
static unsigned start_attempts(enum wall_role role, const struct target *target, pid_t children[ATTEMPTS])
{
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        children[i] = fork();
        if (children[i] < 0) return i;
        if (children[i] == 0) _exit(try_one(&attempts[i], role, target));
    }
    return ATTEMPTS;
}

static bool run_attempts(enum wall_role role, const struct target *target, struct err *err)
{
    pid_t children[ATTEMPTS];
    unsigned started = start_attempts(role, target, children);
    bool held = started == ATTEMPTS || err_sys(err, ERR_IO, "cannot start the probe of the walls");
    for (unsigned i = 0; i < started; i++) {
        int status = 0;
        pid_t ended;
        do ended = waitpid(children[i], &status, 0);
        while (ended < 0 && errno == EINTR);
        if (ended < 0) status = NO_WALLS << 8;
        held = held && judge(&attempts[i], status, err);
    }
    return held;
}

static bool read_target(int fd, struct target *target, struct err *err)
{
    BUF_AUTO text;
    buf_init(&text, PROBE_MAX);
    target->vault = getppid();
    if (fd < 0) return true;
    if (!buf_reserve(&text, PROBE_MAX)) return err_set(err, ERR_BUSY, "there is no memory for the probe");
    ssize_t got = pread(fd, text.bytes, PROBE_MAX, 0);
    if (got < 0) return err_sys(err, ERR_IO, "cannot read what is to be probed");
    if (!json_read(text.bytes, (size_t)got, PROBE_MAX, &target->document, err)) return err_in(err, "the probe's list");
    target->paths = json_object_get(target->document, "paths");
    for (size_t i = 0; i < json_array_size(target->paths); i++)
        if (!json_is_string(json_array_get(target->paths, i))) return err_set(err, ERR_MALFORMED, "the probe's list");
    json_int_t vault = json_integer_value(json_object_get(target->document, "vault"));
    if (vault > 0) target->vault = (pid_t)vault;
    return true;
}

bool probe_walls(enum wall_role role, int fd, struct err *err)
{
    struct target target = {0};
    bool held = read_target(fd, &target, err) && run_attempts(role, &target, err);
    json_decref(target.document);
    return held;
}
