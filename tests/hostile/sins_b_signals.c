/* SPDX-License-Identifier: Apache-2.0 */
/* Part B of the corpus: signals and frames made by hand, and system calls without libc (41–43, 53). */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "sins.h"

static char room[4096];

/* ── 41–43: signals ──────────────────────────────────────────────────────────────────────────────────── */

static sigjmp_buf back;

static void survive(int number)
{
    siglongjmp(back, number);
}

static long handle_signal(struct csn_call *call)
{
    struct sigaction action = {.sa_handler = survive, .sa_flags = SA_NODEFER};
    return sigaction((int)sins_running()->args[0], &action, NULL) < 0 ? sins_made(SYS_rt_sigaction, -errno) : 0;
}

static long handle_then_trace(struct csn_call *call)
{
    struct sigaction action = {.sa_handler = survive};
    int number = sigsetjmp(back, 1);
    if (number) return 1000 + number;
    sigaction(SIGSYS, &action, NULL);
    return RAW2(ptrace, PTRACE_TRACEME, 0);
}

static long handle_then_fault(struct csn_call *call)
{
    struct sigaction action = {.sa_handler = survive};
    int number = sigsetjmp(back, 1);
    if (number) return 1000 + number;
    sigaction(SIGSEGV, &action, NULL);
    return *(volatile long *)8;
}

static void block_all(void)
{
    sigset_t every;
    sigfillset(&every);
    sigprocmask(SIG_BLOCK, &every, NULL);
}

static long block_then_trace(struct csn_call *call)
{
    block_all();
    return RAW2(ptrace, PTRACE_TRACEME, 0);
}

static long block_then_spin(struct csn_call *call)
{
    volatile unsigned long turns = 1;
    block_all();
    while (turns) turns |= 1;
    return 0;
}

/* A frame as the kernel leaves one on the stack, made by hand. It lands in tempt(), with the rights it had. */
static ucontext_t frame, before;
static volatile long tempted;

static void tempt(void)
{
    tempted = RAW4(openat, AT_FDCWD, "/etc/passwd", O_RDONLY, 0);
    setcontext(&before);
}

static void return_to(greg_t address, greg_t segments)
{
    static char stack[16384] __attribute__((aligned(16)));
    getcontext(&frame);
    frame.uc_flags = 6; /* stack segment is saved, and strictly restored */
    frame.uc_mcontext.gregs[REG_RIP] = address;
    frame.uc_mcontext.gregs[REG_RSP] = (greg_t)(stack + sizeof stack - 8);
    frame.uc_mcontext.gregs[REG_CSGSFS] = segments;
    frame.uc_mcontext.gregs[REG_EFL] = 0x202;
    frame.uc_mcontext.fpregs = NULL;
    __asm__ volatile("mov %0, %%rsp\nmov $15, %%eax\nsyscall" : : "r"(&frame) : "memory", "rax");
    __builtin_unreachable();
}

static long forge_frame(struct csn_call *call)
{
    volatile int returned = 0;
    getcontext(&before);
    if (returned++) return sins_made(SYS_openat, tempted);
    return_to((greg_t)tempt, 0x33 | (greg_t)0x2b << 48);
    return 0;
}

static long forge_kernel(struct csn_call *call)
{
    return_to((greg_t)0xffffffff81000000, 0x10 | (greg_t)0x18 << 48);
    return 0;
}

/* 32-bit code by its segment: nothing of ours lies below 4 GiB. */
static long forge_segment(struct csn_call *call)
{
    return_to((greg_t)tempt, 0x23 | (greg_t)0x2b << 48);
    return 0;
}

static long return_from_nothing(struct csn_call *call)
{
    memset(room, 0x41, sizeof room);
    __asm__ volatile("mov %0, %%rsp\nmov $15, %%eax\nsyscall" : : "r"(room + 1024) : "memory", "rax");
    __builtin_unreachable();
}

/* ── 53: without libc ────────────────────────────────────────────────────────────────────────────────── */

static long stub(long number, long a, long b, long c)
{
    long got = number;
    register long r10 __asm__("r10") = 0;
    __asm__ volatile("syscall" : "+a"(got) : "D"(a), "S"(b), "d"(c), "r"(r10) : "memory", "rcx", "r11");
    return sins_made(number, got);
}

static long by_stub(struct csn_call *call)
{
    const long *a = sins_running()->args;
    return stub(a[0], a[1], a[2], a[3]);
}

/* The page of three old calls at a fixed address. */
static long by_vsyscall(struct csn_call *call)
{
    long (*entry)(void *, void *) = (long (*)(void *, void *))sins_running()->args[1];
    return sins_made(sins_running()->args[0], entry(room, NULL));
}

/* clang-format off */
extern const struct sin signals[];
const struct sin signals[] = {
    FN(41, "on-sigsys", handle_signal, SIGSYS), FN(41, "on-sigsegv", handle_signal, SIGSEGV),
    FN(41, "on-sigterm", handle_signal, SIGTERM), FN(41, "on-sigxcpu", handle_signal, SIGXCPU),
    FN(41, "on-sigkill", handle_signal, SIGKILL), DO(41, "signalfd", signalfd4, -1, P(room), 8, 0),
    DO(41, "sigtimedwait", rt_sigtimedwait, P(room), 0, 0, 8),
    DO(41, "sigpending", rt_sigpending, P(room), 8),
    DO(41, "sigsuspend", rt_sigsuspend, P(room), 8), FN(41, "handle-then-trace", handle_then_trace),
    FN(41, "block-then-trace", block_then_trace), FN(41, "handle-then-fault", handle_then_fault),

    FN(42, "block-then-spin", block_then_spin),

    DO(43, "sigaltstack", sigaltstack, P(room), 0), FN(43, "forged-frame", forge_frame),
    FN(43, "forged-kernel", forge_kernel), FN(43, "forged-segment", forge_segment),
    FN(43, "no-frame", return_from_nothing),

    FN(53, "stub-openat", by_stub, SYS_openat, AT_FDCWD, P("/etc/passwd"), O_RDONLY),
    FN(53, "stub-socket", by_stub, SYS_socket, AF_INET, SOCK_STREAM, 0),
    FN(53, "stub-prctl", by_stub, SYS_prctl, PR_SET_DUMPABLE, 1), FN(53, "stub-getppid", by_stub, SYS_getppid),
    FN(53, "stub-ptrace", by_stub, SYS_ptrace, PTRACE_TRACEME), FN(53, "stub-fork", by_stub, SYS_fork),
    FN(53, "vsyscall-time", by_vsyscall, SYS_time, 0xffffffffff600400),
    FN(53, "vsyscall-getcpu", by_vsyscall, SYS_getcpu, 0xffffffffff600800),
    FN(53, "vsyscall-middle", by_vsyscall, SYS_time, 0xffffffffff600401),
    {0}};
/* clang-format on */
