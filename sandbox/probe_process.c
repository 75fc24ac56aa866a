/* SPDX-License-Identifier: Apache-2.0 */
/* Probes of what stands between processes: users, dumps, each other's memory, limits, the view from outside. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "limits.h"
#include "policy.h"
#include "probe_inside.h"

enum { HELD = 42, PAGE = 4096, TEXT = 4096 };

/* ── users ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool become_plugin(void)
{
    uid_t uid = probe_scene.who.plugin_uid;
    return setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0;
}

bool probe_plugin_uid(void)
{
    if (!probe_scene.who.privileged || !probe_scene.who.plugin_uid || !become_plugin()) return false;
    return getuid() == probe_scene.who.plugin_uid && setuid(0) < 0 && setresuid(0, 0, 0) < 0;
}

/* As root the probes of two processes of one user need a user who may not simply do everything. */
static bool be_ordinary(void)
{
    return !probe_scene.who.privileged || become_plugin();
}

/* ── dumps and memory ────────────────────────────────────────────────────────────────────────────────── */

static _Noreturn void die_without_core(void)
{
    struct rlimit none = {0, 0};
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        setrlimit(RLIMIT_CORE, &none) < 0 || chdir("/proc") < 0)
        _exit(1);
    signal(SIGABRT, SIG_DFL);
    abort();
}

bool probe_no_dumps(void)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) die_without_core();
    if (pid < 0 || waitpid(pid, &status, 0) != pid) return false;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && !WCOREDUMP(status);
}

static char treasure[16] = "in this memory";

/* Waits, undumpable, for as long as its parent lives. */
static pid_t hide(int *ready)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) return -1;
    pid_t pid = fork();
    if (pid == 0) {
        bool good = be_ordinary() && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 &&
                    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 && prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
        if (!good || write(ends[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    close(ends[1]);
    *ready = ends[0];
    return pid;
}

static bool is_ready(int fd)
{
    char byte;
    bool ready = read(fd, &byte, 1) == 1;
    close(fd);
    return ready;
}

static bool look_at(pid_t pid)
{
    char seen[sizeof treasure];
    struct iovec here = {seen, sizeof seen}, there = {treasure, sizeof treasure};
    if (process_vm_readv(pid, &here, 1, &there, 1, 0) >= 0) return true;
    return ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0;
}

bool probe_hidden_memory(void)
{
    int ready = -1;
    pid_t pid = hide(&ready);
    if (pid < 0) return false;
    bool held = is_ready(ready) && be_ordinary() && !look_at(pid);
    return held; /* the hidden one dies with this process */
}

/* What the vault keeps its keys in. The kernel itself cannot copy it out, so a pointer to it is no address to read. */
bool probe_secret_memory(void)
{
    FD_AUTO fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);
    if (fd < 0 || ftruncate(fd, PAGE) < 0) return false;
    char *bytes = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), seen[16];
    if (bytes == MAP_FAILED) return false;
    memcpy(bytes, treasure, sizeof treasure);
    FD_AUTO memory = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    if (memory < 0 || pread(memory, seen, sizeof seen, (off_t)(uintptr_t)treasure) != sizeof seen) return false;
    return pread(memory, seen, sizeof seen, (off_t)(uintptr_t)bytes) < 0;
}

/* ── limits ──────────────────────────────────────────────────────────────────────────────────────────── */

static bool no_more_memory(void)
{
    struct err err = {0};
    if (!limits_cell(8, &err)) return false;
#ifdef CAISSON_SANITIZED
    return true; /* its cells bound no address space: shadow memory is most of it (limits.c) */
#endif
    return mmap(NULL, 64 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static bool no_more_descriptors(int file)
{
    return limits_descriptors(getpid()) && fcntl(file, F_DUPFD_CLOEXEC, POLICY_FILES) < 0;
}

static bool no_files(int file)
{
    signal(SIGXFSZ, SIG_IGN);
    return write(file, "x", 1) < 0 && errno == EFBIG;
}

static bool no_more_time(void)
{
    struct rlimit now;
    return limits_worker(1) && getrlimit(RLIMIT_CPU, &now) == 0 && now.rlim_cur == 1;
}

bool probe_limits(void)
{
    FD_AUTO file = memfd_create("probe", MFD_CLOEXEC);
    return file >= 0 && no_more_memory() && no_files(file) && no_more_descriptors(file) && no_more_time();
}

static bool read_text(const char *path, char text[TEXT])
{
    FD_AUTO file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, text, TEXT - 1);
    text[got > 0 ? got : 0] = 0;
    return got > 0;
}

bool probe_oom(void)
{
    char text[TEXT];
    struct err err = {0};
    return limits_oom(&err) && read_text("/proc/self/oom_score_adj", text) && atoi(text) == POLICY_OOM;
}

/* ── the view from outside ───────────────────────────────────────────────────────────────────────────── */

static bool says(const char *text, const char *const fields[])
{
    for (int i = 0; fields[i]; i++)
        if (!strstr(text, fields[i])) return false;
    return true;
}

/* What the runner looks at before a connector may run. The other may belong to another user, and is undumpable. */
bool probe_look(void)
{
    static const char *const fields[] = {"Seccomp:", "Seccomp_filters:", "NoNewPrivs:", "CapEff:", "CapPrm:", "CapBnd:",
                                         "CapAmb:",  "Threads:",         "PPid:",       "Uid:",    NULL};
    char path[64], text[TEXT];
    int ready = -1;
    pid_t pid = hide(&ready);
    if (pid < 0 || !is_ready(ready)) return false;
    FD_AUTO pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    if (pidfd < 0 || !read_text(path, text) || !strstr(text, "Pid:")) return false;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    if (!read_text(path, text) || !says(text, fields)) return false;
    siginfo_t how = {0};
    return syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) == 0 &&
           waitid(P_PIDFD, (id_t)pidfd, &how, WEXITED) == 0 && how.si_status == SIGKILL;
}
