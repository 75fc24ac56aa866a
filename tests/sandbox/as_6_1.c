/* SPDX-License-Identifier: Apache-2.0 */
/* as-on-6.1 PROGRAM ARGUMENT…: runs a program, and all that it starts, as on Debian 12's own kernel (Linux 6.1,
 * Landlock ABI 2). What is newer is hidden by a filter; Landlock's number, which a filter cannot answer, by a tracer
 * that wakes up for this one call. When the program ends, whatever it has left behind is killed. */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/seccomp.h"

enum {
    UNUSABLE = 97,
    LAST_CALL = 450, /* set_mempolicy_home_node, of Linux 5.17: 6.1 has no later one */
    ABI = 2,
    ABI_RIGHTS = (1 << 14) - 1,
    ABI_SIZE = 8,
    SYNC_WAKE_UP = 0x40082104 /* SECCOMP_IOCTL_NOTIF_SET_FLAGS, of Linux 6.6 */
};

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "as-on-6.1: %s: %s\n", what, strerrordesc_np(errno));
    exit(UNUSABLE);
}

/* ── what is hidden ──────────────────────────────────────────────────────────────────────────────────── */

#define INT(arg, value)                                                                                                \
    {                                                                                                                  \
        {                                                                                                              \
            (arg), UINT64_C(0xffffffff), (value)                                                                       \
        }                                                                                                              \
    }
#define GONE(error) (SECCOMP_RET_ERRNO | (error))

static const struct call_row newer[] = {
    {__NR_prctl, 1, GONE(EINVAL), INT(0, 65), "PR_SET_MDWE, of Linux 6.3"},
    {__NR_prctl, 1, GONE(EINVAL), INT(0, 66), "PR_GET_MDWE"},
    {__NR_memfd_secret, 1, GONE(ENOSYS), {{0}}, "off in Debian's 6.1 unless secretmem.enable=1"},
    {__NR_ioctl, 1, GONE(EINVAL), INT(1, SYNC_WAKE_UP), "SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP"},
    {__NR_memfd_create, 1, GONE(EINVAL), {{1, 0x8, 0x8}}, "MFD_NOEXEC_SEAL, of Linux 6.3"},
    {__NR_memfd_create, 1, GONE(EINVAL), {{1, 0x10, 0x10}}, "MFD_EXEC"},
    {__NR_landlock_restrict_self, 1, SECCOMP_RET_ALLOW, INT(1, 0), "it had no flags"},
    {__NR_landlock_restrict_self, 1, GONE(EINVAL), {{0}}, "likewise"},
    {__NR_landlock_create_ruleset, 1, SECCOMP_RET_TRACE, {{0}}, "the tracer's"},
};
enum { NEWER = sizeof newer / sizeof *newer, ROWS_MOST = NEWER + CALL_NUMBERS - LAST_CALL };

static void hide(void)
{
    static struct call_row rows[ROWS_MOST];
    static struct sock_filter code[BPF_ROOM];
    struct err err = {0};
    unsigned count = NEWER, length;
    memcpy(rows, newer, sizeof newer);
    for (unsigned number = LAST_CALL + 1; number < CALL_NUMBERS; number++)
        rows[count++] = (struct call_row){(uint16_t)number, 1, GONE(ENOSYS), {{0}}, "later"};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !bpf_make(rows, count, 0, SECCOMP_RET_ALLOW, code, &length) ||
        !seccomp_install(code, length, &err))
        give_up("a filter");
}

/* ── Landlock, as it was ─────────────────────────────────────────────────────────────────────────────── */

static void answer(pid_t pid, struct user_regs_struct *regs, long result)
{
    regs->orig_rax = (unsigned long long)-1; /* the call itself is left out */
    regs->rax = (unsigned long long)result;
    ptrace(PTRACE_SETREGS, pid, NULL, regs);
}

/* Rights that were not known yet? An ordinary user cannot look into a process that hides its memory: its size must do.
 */
static bool asks_too_much(pid_t pid, unsigned long long attributes)
{
    errno = 0;
    long rights = ptrace(PTRACE_PEEKDATA, pid, (void *)attributes, NULL);
    return errno == 0 && (rights & ~(long)ABI_RIGHTS);
}

static void create_ruleset(pid_t pid)
{
    struct user_regs_struct regs;
    if (ptrace(PTRACE_GETREGS, pid, NULL, &regs) < 0) return;
    unsigned long long attributes = regs.rdi, size = regs.rsi;
    unsigned flags = (unsigned)regs.rdx;
    if (flags == 1 && !attributes && !size)
        answer(pid, &regs, ABI);
    else if (flags)
        answer(pid, &regs, -EINVAL);
    else if (size > ABI_SIZE)
        answer(pid, &regs, -E2BIG);
    else if (asks_too_much(pid, attributes))
        answer(pid, &regs, -EINVAL);
}

/* ── the tracer ──────────────────────────────────────────────────────────────────────────────────────── */

static void stopped(pid_t pid, int status)
{
    int signal = WSTOPSIG(status), event = status >> 16;
    if (event == PTRACE_EVENT_SECCOMP) create_ruleset(pid);
    bool group_stop = event == PTRACE_EVENT_STOP && signal != SIGTRAP;
    ptrace(group_stop ? PTRACE_LISTEN : PTRACE_CONT, pid, NULL, (void *)(long)(event ? 0 : signal));
}

static int watch(pid_t program)
{
    int status;
    for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR;) {
        if (pid <= 0) continue;
        if (WIFSTOPPED(status))
            stopped(pid, status);
        else if (pid == program)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    give_up("waiting");
}

int main(int argc, char **argv)
{
    int ends[2];
    char byte;
    if (argc < 2 || pipe2(ends, O_CLOEXEC) < 0) give_up("usage: as-on-6.1 PROGRAM ARGUMENT...");
    pid_t program = fork();
    if (program == 0) {
        close(ends[1]);
        if (read(ends[0], &byte, 1) != 1) _exit(UNUSABLE);
        hide();
        execv(argv[1], argv + 1);
        give_up(argv[1]);
    }
    long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE |
                   PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    if (program < 0 || ptrace(PTRACE_SEIZE, program, NULL, (void *)options) < 0) give_up("tracing");
    if (write(ends[1], "x", 1) != 1) give_up("starting");
    return watch(program);
}
