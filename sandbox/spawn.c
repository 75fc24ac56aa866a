/* SPDX-License-Identifier: Apache-2.0 */
/* From clone to exec of a cell: used by the runner, and by who tries a connector without a daemon. */
#include "spawn.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "namespace.h"

/* Only calls that are safe after a bare clone: this process shares nothing, but libc has not been told of it. */
static _Noreturn void become_cell(const struct cell_spawn *how)
{
    char name[] = "caisson-cell", *arguments[] = {name, NULL}, *environment[] = {NULL};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int aside[CELL_FDS]; /* free numbers: a fixed one may be the source of the next */
    for (int i = 0; i < CELL_FDS; i++)
        if ((aside[i] = fcntl(how->fds[i] < 0 ? how->nothing : how->fds[i], F_DUPFD_CLOEXEC, CELL_FDS)) < 0) _exit(126);
    for (int i = 0; i < CELL_FDS; i++)
        if (dup2(aside[i], i) < 0) _exit(126);
    if (syscall(SYS_close_range, CELL_FDS, ~0u, 0) < 0) _exit(126);
    bool namespaces = !(how->without >> WALL_NAMESPACES & 1);
    if (!how->privileged && namespaces && !privileges_keep_for_runner(NULL)) _exit(125);
    syscall(SYS_execveat, AT_FDCWD, how->program, arguments, environment, 0);
    _exit(127);
}

bool cell_spawn(const struct cell_spawn *how, pid_t *pid, int *pidfd, struct err *err)
{
    unsigned long flags = CLONE_PIDFD | SIGCHLD;
    if (!(how->without >> WALL_NAMESPACES & 1)) flags |= namespace_flags(!how->privileged);
    int fd = -1;
    long child = syscall(SYS_clone, flags, NULL, &fd, NULL, NULL);
    if (child == 0) become_cell(how);
    if (child < 0) return err_sys(err, ERR_MISSING_LAYER, "a cell's namespaces cannot be made");
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    *pid = (pid_t)child;
    *pidfd = fd;
    return true;
}
