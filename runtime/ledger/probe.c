/* SPDX-License-Identifier: Apache-2.0 */
/* Start-up probe: what must be out of the ledger's reach is. Each attempt is a child behind the ledger's own walls,
 * because the answer of some walls is death. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto_json.h"
#include "base/json.h"
#include "ledger.h"
#include "sandbox/enter.h"

enum { PROBE_MAX = 64 * 1024, REFUSED = 0, GOT_THROUGH = 42, NO_WALLS = 43 };

struct target {
    const json_t *paths;
    pid_t vault;
};

static bool open_paths(const struct target *target)
{
    for (size_t i = 0; i < json_array_size(target->paths); i++) {
        const char *path = json_string_value(json_array_get(target->paths, i));
        if (path && (open(path, O_RDONLY | O_CLOEXEC) >= 0 || open(path, O_WRONLY | O_CLOEXEC) >= 0)) return true;
    }
    return false;
}

static bool make_files(const struct target *target)
{
    char path[4096];
    for (size_t i = 0; i < json_array_size(target->paths); i++) {
        const char *folder = json_string_value(json_array_get(target->paths, i));
        snprintf(path, sizeof path, "%s/probe", folder ? folder : "");
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

static const struct attempt {
    bool (*get_through)(const struct target *);
    const char *what;
} attempts[] = {
    {open_paths, "open a file of the daemon's home"},
    {make_files, "make a file in the daemon's home"},
    {make_socket, "make a socket"},
    {read_memory, "read the vault's memory"},
    {send_signal, "signal the vault"},
};

static int try_one(struct role *role, const struct attempt *attempt, const struct target *target)
{
    struct err err = {0};
    if (!enter_role(WALL_LEDGER, &role->given[GIVE_DATA], 1, &err)) return NO_WALLS;
    return attempt->get_through(target) ? GOT_THROUGH : REFUSED;
}

static bool judge(const struct attempt *attempt, int status, struct err *err)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == REFUSED) return true;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS) return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == GOT_THROUGH)
        return err_set(err, ERR_MISSING_LAYER,
                       "a process behind the ledger's walls could %s; the daemon does not start", attempt->what);
    return err_set(err, ERR_MISSING_LAYER, "it could not be tried whether the ledger could %s", attempt->what);
}

static bool run_attempt(struct role *role, const struct attempt *attempt, const struct target *target, struct err *err)
{
    int status;
    pid_t child = fork();
    if (child < 0) return err_sys(err, ERR_IO, "cannot start the probe of the walls");
    if (child == 0) _exit(try_one(role, attempt, target));
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return err_sys(err, ERR_IO, "the probe of the walls was lost");
    return judge(attempt, status, err);
}

static bool read_document(int fd, json_t **document, struct err *err)
{
    struct stat status;
    BUF_AUTO text = {.max = PROBE_MAX};
    if (fstat(fd, &status) < 0 || status.st_size > PROBE_MAX || !buf_reserve(&text, (size_t)status.st_size))
        return err_sys(err, ERR_IO, "cannot read what is to be probed");
    ssize_t got = pread(fd, text.bytes, (size_t)status.st_size, 0);
    if (got < 0) return err_sys(err, ERR_IO, "cannot read what is to be probed");
    return json_read(text.bytes, (size_t)got, PROBE_MAX, document, err);
}

bool probe_reach(struct role *role, struct err *err)
{
    JSON_AUTO *document = NULL;
    struct target target = {.vault = getppid()};
    if (role->given[GIVE_PROBE] < 0) return true;
    if (!read_document(role->given[GIVE_PROBE], &document, err)) return false;
    target.paths = json_object_get(document, "paths");
    json_int_t vault = json_integer_value(json_object_get(document, "vault"));
    if (vault > 0) target.vault = (pid_t)vault;
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++)
        if (!run_attempt(role, &attempts[i], &target, err)) return false;
    return true;
}
