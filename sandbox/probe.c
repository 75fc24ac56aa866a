/* SPDX-License-Identifier: Apache-2.0 */
/* Probes of the walls that a kernel, a container or an administrator may have taken away. A probe succeeds only when
 * the forbidden thing fails. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "landlock.h"
#include "namespace.h"
#include "policy.h"
#include "seccomp.h"

enum { PATIENCE_MS = 5000, HOLDS = 42 };

/* In the child: true when the wall holds. */
typedef bool (*probe_function)(void);

static bool finished(int pidfd)
{
    struct pollfd one = {.fd = pidfd, .events = POLLIN};
    return poll(&one, 1, PATIENCE_MS) == 1;
}

static bool holds(probe_function probe, unsigned long flags)
{
    int pidfd = -1, status = 0;
    long pid = syscall(SYS_clone, flags | CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, NULL);
    if (pid == 0) _exit(probe() ? HOLDS : 1);
    if (pid < 0) return false;
    FD_AUTO watch = pidfd;
    if (!finished(watch)) syscall(SYS_pidfd_send_signal, watch, SIGKILL, NULL, 0);
    return waitpid((pid_t)pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == HOLDS;
}

/* A listener that nobody answers fails closed: unlisted calls say that there is no such call. */
static bool filter_holds(void)
{
    static struct sock_filter code[BPF_ROOM];
    struct err err = {0};
    unsigned length;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !seccomp_make(LIST_L, code, &length, &err)) return false;
    int listener = seccomp_listen(code, length);
    if (listener < 0) return false;
    close(listener);
    if (syscall(SYS_getppid) >= 0 || errno != ENOSYS) return false;
    return syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0) < 0 && errno == EACCES;
}

static bool landlock_holds(void)
{
    struct landlock_wish nothing = {.files = LANDLOCK_FILES_READ};
    struct err err = {0};
    int before = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (before < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !landlock_enter(&nothing, &err)) return false;
    return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0 && errno == EACCES;
}

static bool empty_inside(void)
{
    return access("/etc", F_OK) < 0 && access("/proc", F_OK) < 0 &&
           open("/x", O_WRONLY | O_CREAT | O_CLOEXEC, 0600) < 0;
}

static bool root_holds(void)
{
    struct err err = {0};
    return namespace_root(&err) && privileges_drop(0, 0, false, &err) && empty_inside() && unshare(CLONE_NEWNS) < 0;
}

static uid_t own_uid;
static gid_t own_gid;

static bool user_root_holds(void)
{
    struct err err = {0};
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* its files in proc belong to it only then */
    return namespace_map(own_uid, own_gid, &err) && root_holds();
}

void probe_walls(bool privileged, struct probe_results *found)
{
    own_uid = getuid();
    own_gid = getgid();
    found->landlock_abi = landlock_abi();
    found->seccomp = holds(filter_holds, 0);
    found->landlock = holds(landlock_holds, 0);
    found->namespaces = holds(privileged ? root_holds : user_root_holds, namespace_flags(!privileged));
}

bool probe_judge(const struct probe_results *found, bool lowered, uint32_t *without, struct err *err)
{
    *without = 0;
    if (!found->seccomp)
        return err_set(err, ERR_MISSING_LAYER,
                       "this kernel does not filter system calls (seccomp with user notification): "
                       "no connector can be run here, and nothing lowers this");
    if (!found->landlock)
        return err_set(err, ERR_MISSING_LAYER,
                       "Landlock does not work here (it needs Linux 5.13, and landlock in the kernel's lsm= list): the "
                       "daemon's own processes need it, and nothing lowers this");
    if (found->namespaces) return true;
    if (!lowered)
        return err_set(err, ERR_MISSING_LAYER,
                       "namespaces do not work here (look at the settings user.max_user_namespaces, "
                       "kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns, or run as "
                       "root); MinimumIsolation=lowered in caisson.conf does without them");
    *without = 1u << WALL_NAMESPACES | 1u << WALL_ROOT;
    return true;
}
