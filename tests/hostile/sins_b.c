/* SPDX-License-Identifier: Apache-2.0 */
/* Part B of the corpus: the kernel's surface, and numbers that filters overlook (25–32, 36, 44, 48–52). */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/reboot.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "sins.h"

#ifndef SYS_map_shadow_stack
#define SYS_map_shadow_stack 453
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static char room[8192];
static struct io_uring_params ring;
static struct perf_event_attr event = {
    .type = PERF_TYPE_SOFTWARE, .size = sizeof event, .config = PERF_COUNT_SW_CPU_CLOCK};
static struct timespec moment = {1, 0};
static struct timex clock_change = {.modes = 0x8000};
static struct itimerval soon = {{0, 1}, {0, 1}};
static struct itimerspec soon_too = {{0, 1}, {0, 1}};
static char *const names[] = {(char *)"sh", NULL};

/* The 32-bit table, whose numbers mean other calls. What it answers is not minus errno of ours: both are told. */
static long old_gate(struct csn_call *call)
{
    const struct sin *sin = sins_running();
    long got = sin->args[0];
    __asm__ volatile("int $0x80"
                     : "+a"(got)
                     : "b"(sin->args[1]), "c"(sin->args[2]), "d"(sin->args[3])
                     : "memory", "r8", "r9", "r10", "r11");
    return sins_made(sin->args[0], (int)got);
}

/* The number as it stands, all 64 bits of it. */
static long wide(struct csn_call *call)
{
    const struct sin *sin = sins_running();
    long got = sin->args[0];
    register long r10 __asm__("r10") = sin->args[4];
    __asm__ volatile("syscall"
                     : "+a"(got)
                     : "D"(sin->args[1]), "S"(sin->args[2]), "d"(sin->args[3]), "r"(r10)
                     : "memory", "rcx", "r11");
    return sins_made((int)sin->args[0], got);
}

static long storm(struct csn_call *call)
{
    long got = 0;
    for (int i = 0; i < 1000; i++) got = RAW3(timer_create, CLOCK_MONOTONIC, 0, room);
    return got;
}

/* clang-format off */
#define FLAG(name, flag) DO(28, "unshare-" name, unshare, flag), DO(28, "setns-" name, setns, 3, flag), DO(28, "clone-" name, clone, (flag) | SIGCHLD)
static const struct sin kernel[] = {
    DO(25, "setup", io_uring_setup, 8, P(&ring)), DO(25, "enter", io_uring_enter, 3, 1, 1, 1, 0, 0),
    DO(25, "register", io_uring_register, 3, 0, 0, 0),
    DO(25, "register-ring", io_uring_register, -1, 0x80000014L, P(room), 1),

    DO(26, "bpf-load", bpf, BPF_PROG_LOAD, P(room), 128), DO(26, "bpf-map", bpf, BPF_MAP_CREATE, P(room), 128),
    DO(26, "bpf-next", bpf, BPF_PROG_GET_NEXT_ID, P(room), 128),
    DO(26, "perf-self", perf_event_open, P(&event), 0, -1, -1, 0),
    DO(26, "perf-all", perf_event_open, P(&event), -1, 0, -1, 0),
    DO(26, "userfaultfd", userfaultfd, 0), DO(26, "userfaultfd-user", userfaultfd, 1 | O_CLOEXEC),

    DO(27, "mount", mount, P("x"), P("/"), P("tmpfs"), 0, 0),
    DO(27, "mount-proc", mount, P("proc"), P("/"), P("proc"), 0, 0),
    DO(27, "remount", mount, 0, P("/"), 0, MS_REMOUNT | MS_BIND, 0),
    DO(27, "umount2", umount2, P("/"), MNT_DETACH), DO(27, "pivot-root", pivot_root, P("."), P(".")),
    DO(27, "chroot", chroot, P("..")),
    DO(27, "fsopen", fsopen, P("tmpfs"), 0), DO(27, "fsconfig", fsconfig, 3, 6, 0, 0, 0),
    DO(27, "fsmount", fsmount, 3, 0, 0), DO(27, "fspick", fspick, AT_FDCWD, P("/"), 0),
    DO(27, "open-tree", open_tree, AT_FDCWD, P("/"), 1),
    DO(27, "move-mount", move_mount, 3, P(""), AT_FDCWD, P("/"), 4),
    DO(27, "mount-setattr", mount_setattr, AT_FDCWD, P("/"), 0, P(room), 32),

    FLAG("user", CLONE_NEWUSER), FLAG("mount", CLONE_NEWNS), FLAG("pid", CLONE_NEWPID), FLAG("net", CLONE_NEWNET),
    FLAG("ipc", CLONE_NEWIPC),
    FLAG("uts", CLONE_NEWUTS), FLAG("cgroup", CLONE_NEWCGROUP), FLAG("time", CLONE_NEWTIME),
    DO(28, "unshare-files", unshare, CLONE_FILES), DO(28, "unshare-fs", unshare, CLONE_FS),
    DO(28, "unshare-sysvsem", unshare, CLONE_SYSVSEM), DO(28, "unshare-nothing", unshare, 0),
    DO(28, "unshare-high-bits", unshare, 0x110000000L), DO(28, "setns-any", setns, 0, 0),

    FN(29, "getpid-32", old_gate, 20), FN(29, "open-32", old_gate, 5, 0, 0), FN(29, "read-32", old_gate, 3, 0, 0, 0),
    FN(29, "fork-32", old_gate, 2), FN(29, "execve-32", old_gate, 11, 0, 0, 0),
    FN(29, "socketcall-32", old_gate, 102, 1, 0), FN(29, "ptrace-32", old_gate, 26, 0),
    FN(29, "none-32", old_gate, 9999),

    FN(30, "read-x32", wide, 0x40000000, 0, P(room), 1), FN(30, "write-x32", wide, 0x40000001, 1, P(room), 1),
    FN(30, "getpid-x32", wide, 0x40000000 + 39), FN(30, "open-x32", wide, 0x40000002, P("/etc/passwd"), 0),
    FN(30, "fork-x32", wide, 0x40000000 + 57),
    FN(30, "execve-x32", wide, 0x40000000 + 520, P("/bin/sh"), P(names), 0),
    FN(30, "ptrace-x32", wide, 0x40000000 + 521), FN(30, "ioctl-x32", wide, 0x40000000 + 514, 0, 0x5412),
    FN(30, "socket-x32", wide, 0x40000000 + 41, 2, 1, 0), FN(30, "io-uring-x32", wide, 0x40000000 + 425, 8, P(&ring)),
    FN(30, "last-x32", wide, 0x40000000 + 547), FN(30, "none-x32", wide, 0x7ffffffe),

    FN(31, "minus-one", wide, -1), FN(31, "most-int", wide, 0x7fffffff), FN(31, "least-int", wide, 0x80000000L),
    FN(31, "minus-two", wide, -2), FN(31, "past-the-table", wide, 0x3fffffff), FN(31, "past-the-list", wide, 513),
    FN(31, "wide-read", wide, 0x100000000L, -1, 0, 0),
    FN(31, "wide-openat", wide, 0x100000101L, AT_FDCWD, P("/etc/passwd"), O_RDONLY),
    FN(31, "wide-ptrace", wide, 0x100000065L, 0, 0, 0),
    FN(31, "wide-fork", wide, 0x7fffffff00000039L),
    FN(31, "wide-execve", wide, (long)0xffffffff0000003bUL, P("/bin/sh"), 0, 0),

    DO(36, "read-implies-exec", personality, READ_IMPLIES_EXEC),
    DO(36, "no-randomize", personality, ADDR_NO_RANDOMIZE), DO(36, "query", personality, 0xffffffff),
    DO(36, "linux32", personality, PER_LINUX32),
    DO(36, "map-page-zero", personality, MMAP_PAGE_ZERO), DO(36, "persona-high-bits", personality, 0x100400000L),

    DO(44, "set-fs", arch_prctl, 0x1002, P(room)), DO(44, "set-gs", arch_prctl, 0x1001, P(room)),
    DO(44, "get-fs", arch_prctl, 0x1003, P(room)), DO(44, "cpuid", arch_prctl, 0x1012, 0),
    DO(44, "shadow-stack-on", arch_prctl, 0x5001, 1),
    DO(44, "shadow-stack-write", arch_prctl, 0x5001, 2), DO(44, "vdso-32", arch_prctl, 0x2002, 0),
    DO(44, "modify-ldt", modify_ldt, 1, P(room), 16), DO(44, "read-ldt", modify_ldt, 0, P(room), 16),
    DO(44, "set-thread-area", set_thread_area, P(room)),
    DO(44, "get-thread-area", get_thread_area, P(room)),
    DO_NUMBER(44, "map-shadow-stack", SYS_map_shadow_stack, 0, 4096, 1), DO(44, "iopl", iopl, 3),
    DO(44, "ioperm", ioperm, 0x60, 1, 1),

    DO(48, "splice", splice, 4, 0, 3, 0, 64, 0), DO(48, "splice-out", splice, 5, 0, 4, 0, 64, 0),
    DO(48, "tee", tee, 5, 4, 64, 0), DO(48, "vmsplice", vmsplice, 4, P(room), 1, 0),
    DO(48, "sendfile", sendfile, 4, 0, 0, 64),
    DO(48, "sendfile-channel", sendfile, 3, 5, 0, 64), DO(48, "copy-file-range", copy_file_range, 0, 0, 4, 0, 64, 0),
    DO(48, "readv", readv, 5, P(room), 0), DO(48, "preadv2", preadv2, 5, P(room), 0, 0, 0, 0),
    DO(48, "pwritev2", pwritev2, 4, P(room), 0, 0, 0, 0),

    DO(49, "clock-settime", clock_settime, CLOCK_REALTIME, P(&moment)),
    DO(49, "clock-adjtime", clock_adjtime, CLOCK_REALTIME, P(&clock_change)),
    DO(49, "adjtimex", adjtimex, P(&clock_change)), DO(49, "settimeofday", settimeofday, P(&moment), 0),
    DO(49, "sethostname", sethostname, P("x"), 1), DO(49, "setdomainname", setdomainname, P("x"), 1),
    DO(49, "syslog", syslog, 3, P(room), sizeof room), DO(49, "quotactl", quotactl, 0x800007, P("/"), 0, P(room)),
    DO(49, "acct", acct, 0), DO(49, "vhangup", vhangup), DO(49, "nfsservctl", nfsservctl, 0, 0, 0),
    DO_NUMBER(49, "quotactl-fd", 443, 3, 0x800007, 0, P(room)), DO(49, "capset-empty", capset, P(room), P(room)),
    DO(49, "setuid", setuid, 0), DO(49, "setresgid", setresgid, 0, 0, 0),
    DO(49, "setgroups", setgroups, 0, 0), DO(49, "sync", sync),
    DO(49, "lookup-dcookie", lookup_dcookie, 0, P(room), 64),
    DO(49, "reboot", reboot, 0xfee1dead, 672274793, RB_DISABLE_CAD), DO(49, "kexec-load", kexec_load, 0, 0, 0, 0),
    DO(49, "kexec-file-load", kexec_file_load, 3, 3, 0, 0, 0),
    DO(49, "init-module", init_module, P(room), 64, P("")), DO(49, "finit-module", finit_module, 3, P(""), 0),
    DO(49, "delete-module", delete_module, P("x"), 0), DO(49, "swapon", swapon, P("/x"), 0),
    DO(49, "swapoff", swapoff, P("/x")),

    DO(50, "timer-create", timer_create, CLOCK_MONOTONIC, 0, P(room)),
    DO(50, "timer-settime", timer_settime, 0, 0, P(&soon_too), 0),
    DO(50, "setitimer", setitimer, ITIMER_REAL, P(&soon), 0),
    DO(50, "setitimer-prof", setitimer, ITIMER_PROF, P(&soon), 0),
    DO(50, "getitimer", getitimer, ITIMER_REAL, P(room)), DO(50, "alarm", alarm, 1),
    DO(50, "timerfd-create", timerfd_create, CLOCK_MONOTONIC, 0),
    DO(50, "timerfd-settime", timerfd_settime, 3, 0, P(&soon_too), 0), FN(50, "storm", storm),

    DO(51, "shmget-private", shmget, IPC_PRIVATE, 4096, IPC_CREAT | 0600), DO(51, "shmat", shmat, 0, 0, 0),
    DO(51, "shmctl", shmctl, 0, 2, P(room)), DO(51, "shmdt", shmdt, P(room)),
    DO(51, "msgget", msgget, 7, IPC_CREAT | 0600),
    DO(51, "msgsnd", msgsnd, 0, P(room), 8, 0), DO(51, "msgrcv", msgrcv, 0, P(room), 8, 0, 0),
    DO(51, "msgctl", msgctl, 0, 13, P(room)), DO(51, "semget", semget, 7, 1, IPC_CREAT | 0600),
    DO(51, "semop", semop, 0, P(room), 1),
    DO(51, "semtimedop", semtimedop, 0, P(room), 1, 0), DO(51, "semctl", semctl, 0, 0, 18, P(room)),
    DO(51, "mq-open", mq_open, P("x"), O_CREAT | O_RDWR, 0600, 0), DO(51, "mq-unlink", mq_unlink, P("x")),
    DO(51, "mq-timedsend", mq_timedsend, 3, P(room), 1, 0, 0),
    DO(51, "mq-timedreceive", mq_timedreceive, 3, P(room), sizeof room, 0, 0), DO(51, "mq-notify", mq_notify, 3, 0),
    DO(51, "mq-getsetattr", mq_getsetattr, 3, 0, P(room)),
    DO(51, "shm-open", openat, AT_FDCWD, P("/dev/shm/x"), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600),
    DO(51, "mmap-shared", mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0),

    DO(52, "mlock", mlock, P(room), 4096), DO(52, "mlock2", mlock2, P(room), 4096, 1),
    DO(52, "mlockall", mlockall, 3), DO(52, "munlockall", munlockall),
    DO(52, "mmap-locked", mmap, 0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0),
    DO(52, "mmap-populate", mmap, 0, 1 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0),
    DO(52, "mmap-huge", mmap, 0, 2 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0),
    DO_NUMBER(52, "memfd-secret", 447, 0), DO_NUMBER(52, "memfd-secret-cloexec", 447, O_CLOEXEC),
    {0}};
/* clang-format on */

extern const struct sin bypasses[], signals[];
const struct sin *const sin_tables[] = {kernel, bypasses, signals, NULL};

CSN_CONNECTOR("sins-b", "1.0.0", {"try", sins_try});
