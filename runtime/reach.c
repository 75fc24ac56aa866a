/* SPDX-License-Identifier: Apache-2.0 */
/* The start-up probe of a role's walls: a table of attempts, a child for each. */
#include "reach.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"

enum { LIST_MAX = 64 * 1024, REFUSED = 0, GOT_THROUGH = 42, NO_WALLS = 43 };

struct target {
    enum wall_role walls;
    const int *folders;
    int folder_count;
    const json_t *paths;
    pid_t vault;
};

static const char *path_at(const struct target *target, size_t i)
{
    const char *path = json_string_value(json_array_get(target->paths, i));
    return path ? path : "";
}

/* ── the attempts: true = it got through ───────────────────────────────────────────────────────────── */

static bool open_paths(const struct target *target)
{
    for (size_t i = 0; i < json_array_size(target->paths); i++)
        if (open(path_at(target, i), O_RDONLY | O_CLOEXEC) >= 0 || open(path_at(target, i), O_WRONLY | O_CLOEXEC) >= 0)
            return true;
    return false;
}

static bool make_files(const struct target *target)
{
    char path[4096];
    for (size_t i = 0; i < json_array_size(target->paths); i++) {
        snprintf(path, sizeof path, "%s/probe", path_at(target, i));
        if (open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0) continue;
        unlink(path);
        return true;
    }
    return false;
}

/* A socket that could go to another process of this host: made, or an end of a pair that can be turned elsewhere. */
static bool make_local_socket(const struct target *target)
{
    int ends[2];
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 || socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0 ||
           socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) == 0;
}

static bool make_inet_socket(const struct target *target)
{
    return target->walls != WALL_BROKER && (socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 ||
                                            socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0);
}

/* Not a socket, so that nothing is reached: EBADF says that nobody stopped the call. */
static bool connect_out(const struct target *target)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "probe"};
    if (target->walls == WALL_BROKER) return false; /* its sockets are of the network only: see above */
    return connect(-1, (struct sockaddr *)&address, sizeof address) == 0 || errno == EBADF;
}

static bool bind_to(const struct target *target)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "probe"};
    return bind(-1, (struct sockaddr *)&address, sizeof address) == 0 || errno == EBADF;
}

static bool read_memory(const struct target *target)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)&byte, 1};
    return process_vm_readv(target->vault, &here, 1, &there, 1, 0) >= 0 || (errno != EPERM && errno != ENOSYS);
}

static bool open_memory(const struct target *target)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", (int)target->vault);
    return open(path, O_RDONLY | O_CLOEXEC) >= 0;
}

static bool trace(const struct target *target)
{
    return ptrace(PTRACE_SEIZE, target->vault, NULL, NULL) == 0 || errno == ESRCH;
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
    {make_local_socket, "make a socket to other processes of this host"},
    {make_inet_socket, "make a network socket"},
    {connect_out, "connect a socket"},
    {bind_to, "bind a socket"},
    {read_memory, "read the vault's memory"},
    {open_memory, "open the vault's memory"},
    {trace, "trace the vault"},
    {send_signal, "signal the vault"},
    {run_program, "run a program"},
};

enum { ATTEMPTS = sizeof attempts / sizeof *attempts };

/* ── running them ──────────────────────────────────────────────────────────────────────────────────── */

static int try_one(const struct attempt *attempt, const struct target *target)
{
    struct err err = {0};
    if (!enter_role(target->walls, target->folders, target->folder_count, &err)) return NO_WALLS;
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

static unsigned start_attempts(const struct target *target, pid_t children[ATTEMPTS])
{
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        children[i] = fork();
        if (children[i] < 0) return i;
        if (children[i] == 0) _exit(try_one(&attempts[i], target));
    }
    return ATTEMPTS;
}

static bool run_attempts(const struct target *target, struct err *err)
{
    pid_t children[ATTEMPTS];
    unsigned started = start_attempts(target, children);
    bool held = started == ATTEMPTS || err_sys(err, ERR_IO, "the probe of the walls cannot be started");
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

static bool read_list(int fd, json_t **list, struct err *err)
{
    BUF_AUTO text;
    buf_init(&text, LIST_MAX);
    if (fd < 0) return true;
    if (!buf_reserve(&text, LIST_MAX)) return err_set(err, ERR_BUSY, "there is no memory for the probe");
    ssize_t got = pread(fd, text.bytes, LIST_MAX, 0);
    if (got < 0) return err_sys(err, ERR_IO, "the list of what to probe cannot be read");
    return json_read(text.bytes, (size_t)got, LIST_MAX, list, err) || err_in(err, "the list of what to probe");
}

bool reach_prove(struct role *role, enum wall_role walls, const int *folders, int folder_count, struct err *err)
{
    JSON_AUTO *list = NULL;
    if (!read_list(role->given[GIVE_PROBE], &list, err)) return false;
    json_int_t vault = json_integer_value(json_object_get(list, "vault"));
    struct target target = {.walls = walls,
                            .folders = folders,
                            .folder_count = folder_count,
                            .paths = json_object_get(list, "paths"),
                            .vault = vault > 0 ? (pid_t)vault : getppid()};
    return run_attempts(&target, err);
}
