/* SPDX-License-Identifier: Apache-2.0 */
/* Part A of the corpus, second half: other processes, children, programs, keyrings (12–24). */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sins.h"

#ifndef SYS_process_mrelease
#define SYS_process_mrelease 448
#endif
#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450
#endif

enum { SIBLING = 2, KEY_SPEC_SESSION = -3, KEY_SPEC_PROCESS = -2, KEY_SPEC_USER = -4 };

static char room[4096];
static struct iovec here = {room, 64}, there = {(void *)0x400000, 64};
static siginfo_t forged = {.si_signo = SIGTERM, .si_code = SI_QUEUE};
static struct rlimit much = {1 << 20, 1 << 20}, none = {0, 0};
static unsigned long processors[16] = {1};
static struct clone_args thread_args = {.flags = CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD};
static char *const arguments[] = {(char *)"sh", (char *)"-c", (char *)"exit 7", NULL};

/* ── what takes more than one call, or goes by way of libc ───────────────────────────────────────────── */

static long self_readv(struct csn_call *call)
{
    return RAW6(process_vm_readv, getpid(), &here, 1, &there, 1, 0);
}

static long signal_own_group(struct csn_call *call)
{
    return RAW2(kill, -getpid(), SIGKILL);
}

/* The daemon, by the number that it has outside. */
static long kill_daemon(struct csn_call *call)
{
    return RAW2(kill, sins_number(call, "/pid", 1), SIGKILL);
}

static long own_pidfd(struct csn_call *call)
{
    long fd = RAW2(pidfd_open, getpid(), 0);
    return fd < 0 ? fd : RAW3(pidfd_getfd, fd, 4, 0);
}

/* Sixty-four refusals are many; a worker that goes on asking is ended. */
static long flood(struct csn_call *call)
{
    long got = 0;
    for (int pid = 1; pid < 1000; pid++) got = RAW1(getpgid, pid);
    return got;
}

static long stay(struct csn_call *call)
{
    RAW0(setsid);
    RAW2(prctl, PR_SET_PDEATHSIG, 0);
    RAW2(prctl, PR_SET_CHILD_SUBREAPER, 1);
    while (poll(NULL, 0, -1) <= 0) continue;
    return 0;
}

/* The other end of a channel is a process of the host: the kernel would hand out a descriptor of it. */
static long peer_pidfd(struct csn_call *call)
{
    int pidfd = -1;
    socklen_t size = sizeof pidfd;
    long got = RAW5(getsockopt, sins_running()->args[0], SOL_SOCKET, sins_running()->args[1], &pidfd, &size);
    if (got == 0) sins_note(call, "%d in %u bytes", pidfd, size);
    return got;
}

static long libc_fork(struct csn_call *call)
{
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    return pid < 0 ? sins_made(SYS_clone, -errno) : pid;
}

static long libc_daemon(struct csn_call *call)
{
    return daemon(1, 1) < 0 ? sins_made(SYS_clone, -errno) : 1;
}

static long twice(struct csn_call *call)
{
    long pid = RAW0(fork);
    if (pid == 0 && RAW0(setsid) >= 0 && RAW0(fork) == 0) stay(call);
    return pid;
}

static void *hold(void *unused)
{
    while (poll(NULL, 0, -1) <= 0) continue;
    return unused;
}

static long thread(struct csn_call *call)
{
    pthread_t made;
    int problem = pthread_create(&made, NULL, hold, NULL);
    return problem ? sins_made(SYS_clone, -problem) : 1;
}

static long many_threads(struct csn_call *call)
{
    long made = 0;
    while (made < 10000 && thread(call) == 1) made++;
    return made ? made : -EAGAIN;
}

/* Flags behind a pointer: the filter says that there is no such call, and libc would fall back to clone. */
static long many_clone3(struct csn_call *call)
{
    long got = -1, ways = 0;
    for (int i = 0; i < 10000; i++) {
        struct clone_args args = {.flags = i & 1 ? CLONE_VM | CLONE_VFORK : 0, .exit_signal = SIGCHLD};
        got = RAW2(clone3, &args, sizeof args);
        if (got == 0) _exit(0);
        ways += got > 0;
    }
    return ways ? ways : got;
}

static long bomb(struct csn_call *call)
{
    long number = sins_running()->args[0], made = 0;
    for (int i = 0; i < 10000; i++) {
        long got = sins_raw(number, number == SYS_clone ? SIGCHLD : 0, 0, 0, 0, 0, 0);
        if (got == 0) hold(NULL);
        if (got > 0) made++;
    }
    return made ? made : -EAGAIN;
}

static long libc_exec(struct csn_call *call)
{
    return fexecve((int)sins_running()->args[0], arguments, arguments + 3) < 0 ? sins_made(SYS_execveat, -errno) : 1;
}

static long libc_spawn(struct csn_call *call)
{
    pid_t pid;
    int problem = posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, arguments + 3);
    return problem ? sins_made(SYS_clone, -problem) : pid;
}

static long libc_system(struct csn_call *call)
{
    int got = system("exit 7"); /* NOLINT: a shell is what is wanted here */
    return got == -1 ? sins_made(SYS_clone, -errno) : got;
}

static long libc_popen(struct csn_call *call)
{
    FILE *got = popen("exit 7", "r");
    return got ? 1 : sins_made(SYS_pipe2, -errno);
}

/* clang-format off */
extern const struct sin processes[];
const struct sin processes[] = {
    DO(12, "attach", ptrace, PTRACE_ATTACH, 1), DO(12, "seize", ptrace, PTRACE_SEIZE, 1),
    DO(12, "traceme", ptrace, PTRACE_TRACEME),
    DO(12, "attach-sibling", ptrace, PTRACE_ATTACH, SIBLING), DO(12, "seize-sibling", ptrace, PTRACE_SEIZE, SIBLING),
    DO(12, "peek", ptrace, PTRACE_PEEKDATA, 1, 0x400000, P(room)),
    DO(12, "filter-of", ptrace, PTRACE_SECCOMP_GET_FILTER, 1, 0, P(room)),

    DO(13, "readv-cell", process_vm_readv, 1, P(&here), 1, P(&there), 1),
    DO(13, "writev-cell", process_vm_writev, 1, P(&here), 1, P(&there), 1),
    DO(13, "readv-sibling", process_vm_readv, SIBLING, P(&here), 1, P(&there), 1),
    DO(13, "writev-sibling", process_vm_writev, SIBLING, P(&here), 1, P(&there), 1),
    DO(13, "readv-parent", process_vm_readv, 0, P(&here), 1, P(&there), 1), FN(13, "readv-self", self_readv),

    DO(14, "kill-cell", kill, 1, SIGKILL), DO(14, "kill-all", kill, -1, SIGKILL),
    DO(14, "kill-parent", kill, 0, SIGTERM), DO(14, "kill-sibling", kill, SIBLING, SIGKILL),
    DO(14, "kill-nothing", kill, 1, 0), FN(14, "kill-group", signal_own_group),
    FN(14, "kill-daemon", kill_daemon), DO(14, "tkill", tkill, 1, SIGKILL),
    DO(14, "tgkill", tgkill, 1, 1, SIGKILL),
    DO(14, "tgkill-sibling", tgkill, SIBLING, SIBLING, SIGKILL), DO(14, "tgkill-all", tgkill, -1, 1, SIGKILL),
    DO(14, "sigqueue", rt_sigqueueinfo, 1, SIGTERM, P(&forged)),
    DO(14, "sigqueue-all", rt_sigqueueinfo, -1, SIGKILL, P(&forged)),
    DO(14, "tgsigqueue", rt_tgsigqueueinfo, 1, 1, SIGTERM, P(&forged)),
    DO(14, "by-pidfd", pidfd_send_signal, 3, SIGKILL, 0, 0),
    DO(14, "by-pidfd-self", pidfd_send_signal, -10000, SIGKILL, 0, 0),

    DO(15, "pidfd-cell", pidfd_open, 1, 0), DO(15, "pidfd-sibling", pidfd_open, SIBLING, 0),
    DO(15, "pidfd-thread", pidfd_open, 1, O_EXCL), FN(15, "pidfd-own", own_pidfd),
    DO(15, "getfd", pidfd_getfd, 3, 0, 0), DO(15, "getfd-channel", pidfd_getfd, 6, 3, 0),
    DO(15, "getfd-self", pidfd_getfd, -10000, 4, 0), DO(15, "waitid", waitid, P_PIDFD, 3, 0, WEXITED, 0),
    DO(15, "proc-as-pidfd", openat, AT_FDCWD, P("/proc/1"), O_DIRECTORY),

    FN(15, "peer-pidfd-3", peer_pidfd, 3, 77), FN(15, "peer-pidfd-6", peer_pidfd, 6, 77),
    FN(15, "peer-groups", peer_pidfd, 3, 59), FN(15, "peer-label", peer_pidfd, 3, SO_PEERSEC),
    FN(15, "peer-cred", peer_pidfd, 3, SO_PEERCRED),

    DO(16, "process-madvise", process_madvise, 3, P(&there), 1, 4, 0),
    DO_NUMBER(16, "process-mrelease", SYS_process_mrelease, 3, 0),
    DO(16, "kcmp", kcmp, 1, 1, 0, 3, 3), DO(16, "move-pages", move_pages, 1, 1, P(room), 0, P(room), 0),
    DO(16, "migrate-pages", migrate_pages, 1, 64, P(room), P(room)),
    DO(16, "mbind", mbind, P(room), 4096, 1, P(room), 64, 2), DO(16, "set-mempolicy", set_mempolicy, 1, P(room), 64),
    DO(16, "get-mempolicy", get_mempolicy, P(room), P(room), 64, P(room), 2),
    DO_NUMBER(16, "home-node", SYS_set_mempolicy_home_node, P(room), 4096, 0, 0),
    DO(16, "get-robust-list", get_robust_list, 1, P(room), P(room)),

    DO(17, "prlimit-read", prlimit64, 1, RLIMIT_NOFILE, 0, P(room)),
    DO(17, "prlimit-own", prlimit64, 0, RLIMIT_NOFILE, P(&much), 0),
    DO(17, "prlimit-cell", prlimit64, 1, RLIMIT_NPROC, P(&none), 0),
    DO(17, "prlimit-cpu", prlimit64, 0, RLIMIT_CPU, P(&much), 0),
    DO(17, "prlimit-sibling", prlimit64, SIBLING, RLIMIT_AS, P(&none), 0),
    DO(17, "setrlimit", setrlimit, RLIMIT_CORE, P(&much)), DO(17, "getrlimit", getrlimit, RLIMIT_AS, P(room)),
    DO(17, "setpriority-cell", setpriority, PRIO_PROCESS, 1, 19),
    DO(17, "setpriority-own", setpriority, PRIO_PROCESS, 0, -20),
    DO(17, "setpriority-user", setpriority, PRIO_USER, 0, 19),
    DO(17, "getpriority", getpriority, PRIO_PROCESS, 1),
    DO(17, "affinity-cell", sched_setaffinity, 1, sizeof processors, P(processors)),
    DO(17, "affinity-own", sched_setaffinity, 0, sizeof processors, P(processors)),
    DO(17, "affinity-read", sched_getaffinity, 1, sizeof processors, P(processors)),
    DO(17, "scheduler", sched_setscheduler, 0, SCHED_FIFO, P(room)),
    DO(17, "sched-param", sched_setparam, 1, P(room)),
    DO(17, "sched-attr", sched_setattr, 0, P(room), 0), DO(17, "sched-getattr", sched_getattr, 1, P(room), 56, 0),
    DO(17, "ioprio-set", ioprio_set, 1, 1, 0x6007), DO(17, "ioprio-get", ioprio_get, 1, 1),

    DO(18, "getppid", getppid), DO(18, "getpgid-1", getpgid, 1), DO(18, "getpgid-2", getpgid, 2),
    DO(18, "getpgrp", getpgrp), DO(18, "getsid-0", getsid, 0), DO(18, "getsid-1", getsid, 1),
    DO(18, "getuid", getuid), DO(18, "getresuid", getresuid, P(room), P(room), P(room)),
    DO(18, "getgroups", getgroups, 0, 0), DO(18, "wait4", wait4, -1, 0, WNOHANG, 0),
    DO(18, "getrusage", getrusage, -1, P(room)),
    FN(18, "flood", flood),

    DO(19, "setsid", setsid), DO(19, "setpgid", setpgid, 0, 0), DO(19, "setpgid-cell", setpgid, 1, 1),
    DO(19, "subreaper", prctl, PR_SET_CHILD_SUBREAPER, 1), DO(19, "pdeathsig", prctl, PR_SET_PDEATHSIG, 0),
    DO(19, "pause", pause), FN(19, "stay", stay),

    DO(20, "fork", fork), DO(20, "vfork", vfork), DO(20, "clone", clone, SIGCHLD),
    DO(20, "clone-without-signal", clone, 0), FN(20, "double-fork", twice), FN(20, "libc-fork", libc_fork),
    FN(20, "libc-daemon", libc_daemon),

    DO(21, "child-with-pipes", clone, CLONE_FILES | SIGCHLD), DO(21, "child-of-cell", clone, CLONE_PARENT | SIGCHLD),
    DO(21, "child-untraced", clone, CLONE_UNTRACED | CLONE_VM | CLONE_VFORK | SIGCHLD),
    DO(21, "child-with-pidfd", clone, CLONE_PIDFD | SIGCHLD, 0, P(room)),
    DO(21, "raw-thread", clone, 0x3d0f00, P(room + 2048)), FN(21, "libc-thread", thread),
    DO(21, "thread-by-clone3", clone3, P(&thread_args), sizeof thread_args),

    FN(22, "bomb-fork", bomb, SYS_fork), FN(22, "bomb-vfork", bomb, SYS_vfork), FN(22, "bomb-clone", bomb, SYS_clone),
    FN(22, "bomb-threads", many_threads), FN(22, "bomb-clone3", many_clone3),

    DO(23, "execve", execve, P("/bin/sh"), P(arguments), 0),
    DO(23, "execve-own", execve, P("/csn/plugin.so"), P(arguments), 0), DO(23, "execve-null", execve, 0, 0, 0),
    DO(23, "execveat", execveat, AT_FDCWD, P("/bin/sh"), P(arguments), 0, 0),
    DO(23, "execveat-fd", execveat, 0, P(""), P(arguments), 0, AT_EMPTY_PATH),
    DO(23, "execveat-channel", execveat, 3, P(""), P(arguments), 0, AT_EMPTY_PATH),
    DO(23, "execveat-check", execveat, 4, P(""), P(arguments), 0, AT_EMPTY_PATH | 0x10000),
    FN(23, "fexecve", libc_exec, 4), FN(23, "posix-spawn", libc_spawn), FN(23, "system", libc_system),
    FN(23, "popen", libc_popen), DO(23, "uselib", uselib, P("/csn/plugin.so")),

    DO(24, "add-session", add_key, P("user"), P("x"), P("y"), 1, KEY_SPEC_SESSION),
    DO(24, "add-process", add_key, P("user"), P("x"), P("y"), 1, KEY_SPEC_PROCESS),
    DO(24, "add-user", add_key, P("keyring"), P("x"), 0, 0, KEY_SPEC_USER),
    DO(24, "request", request_key, P("user"), P("x"), P("y"), KEY_SPEC_SESSION), DO(24, "join-session", keyctl, 1, 0),
    DO(24, "join-named", keyctl, 1, P("_ses")), DO(24, "session-id", keyctl, 0, KEY_SPEC_SESSION, 1),
    DO(24, "read-user", keyctl, 11, KEY_SPEC_USER, P(room), sizeof room),
    DO(24, "describe", keyctl, 6, KEY_SPEC_SESSION, P(room), sizeof room), DO(24, "to-parent", keyctl, 18),
    DO(24, "watch", keyctl, 32, KEY_SPEC_USER, 3, 1),
    {0}};
/* clang-format on */
