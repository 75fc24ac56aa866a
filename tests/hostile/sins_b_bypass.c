/* SPDX-License-Identifier: Apache-2.0 */
/* Part B of the corpus, second half: new code, filters and signals, descriptors by command, stubs (33–35, 38–47, 53,
 * 54). */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sins.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#endif
#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
enum { PAGE = 4096 };

static char room[4096];
static unsigned char page[2 * PAGE] __attribute__((aligned(4096)));
static struct sock_filter allow_all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
static struct sock_fprog permissive = {1, allow_all};
static const char shortest_elf[64] = "\177ELF\2\1\1";
static struct rlimit much = {1 << 20, 1 << 20};
static struct ifreq interface = {.ifr_name = "lo"};

/* A page of code of its own, so that it can be moved about. */
__asm__(".pushsection .text\n.balign 4096\nvictim: mov $42, %eax\nret\n.balign 4096\n.popsection");
extern char victim[] __attribute__((visibility("hidden")));

static long run_victim(void)
{
    return ((int (*)(void))(void *)victim)();
}

/* ── 33–35, 38: new code ─────────────────────────────────────────────────────────────────────────────── */

static long protect(struct csn_call *call)
{
    void *fresh = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(fresh, "\xb8\x2a\0\0\0\xc3", 6);
    long got = RAW3(mprotect, fresh, PAGE, sins_running()->args[0]);
    if (got == 0 && (sins_running()->args[0] & PROT_EXEC)) got = ((int (*)(void))fresh)();
    munmap(fresh, PAGE);
    return got;
}

static long unprotect_text(struct csn_call *call)
{
    return RAW3(mprotect, victim, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* Not executable any more, then writable: allowed; back to executable: what matters. */
static long rewrite_text(struct csn_call *call)
{
    long got = RAW3(mprotect, victim, PAGE, PROT_READ | PROT_WRITE);
    if (got < 0) return got;
    victim[1] = 7;
    got = RAW3(mprotect, victim, PAGE, PROT_READ | PROT_EXEC);
    return got < 0 ? got : run_victim();
}

static long map_twice(struct csn_call *call)
{
    long first = RAW6(mmap, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return first < 0 ? first : RAW6(mremap, first, 0, PAGE, MREMAP_MAYMOVE, 0, 0);
}

/* A private mapping cannot be had a second time. */
static long map_private_twice(struct csn_call *call)
{
    return RAW5(mremap, page, 0, PAGE, MREMAP_MAYMOVE, 0);
}

static long load_file(struct csn_call *call)
{
    return dlopen((const char *)sins_running()->args[0], RTLD_NOW) ? 1 : sins_made(SYS_openat, -EPERM);
}

static long load_apart(struct csn_call *call)
{
    return dlmopen(LM_ID_NEWLM, (const char *)sins_running()->args[0], RTLD_NOW) ? 1 : sins_made(SYS_openat, -EPERM);
}

static long elf_in_memory(struct csn_call *call)
{
    long fd = RAW2(memfd_create, "x", sins_running()->args[0]);
    if (fd < 0) return fd;
    RAW3(write, fd, shortest_elf, sizeof shortest_elf);
    return RAW5(execveat, fd, "", 0, 0, AT_EMPTY_PATH);
}

/* Its rights go with it, and it comes back. */
static long move_text(struct csn_call *call)
{
    char *there = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long got = RAW5(mremap, victim, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, there);
    if (got < 0) return got;
    long writable = RAW3(mprotect, there, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    got = RAW5(mremap, there, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, victim);
    return got < 0 ? got : writable < 0 ? sins_made(SYS_mprotect, writable) : 1;
}

/* Data in the place of code: it does not run there. */
static long data_over_text(struct csn_call *call)
{
    memcpy(page, "\xb8\x07\0\0\0\xc3", 6);
    long got = RAW5(mremap, page, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, victim);
    return got < 0 ? got : run_victim();
}

static long map_over_runner(struct csn_call *call)
{
    long code = (long)(void *)call->services->ok & -PAGE;
    long got = RAW6(mmap, code, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return got < 0 ? got : csn_ok(call);
}

static long exec_over_runner(struct csn_call *call)
{
    long code = (long)(void *)call->services->ok & -PAGE;
    return RAW6(mmap, code, PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, 3, 0);
}

/* ── 46: descriptors that lead outside ───────────────────────────────────────────────────────────────── */

static long relay_ioctl(struct csn_call *call)
{
    int fd = csn_dial(call, "127.0.0.1", (uint16_t)sins_number(call, "/port", 0));
    if (fd < 0) sins_note(call, "%s", csn_problem(call));
    long got = fd < 0 ? -ENOTCONN : RAW3(ioctl, fd, sins_running()->args[0], sins_running()->args[1]);
    if (fd >= 0) close(fd);
    return got;
}

/* clang-format off */
#define RW (PROT_READ | PROT_WRITE)
#define RX (PROT_READ | PROT_EXEC)
#define RWX (PROT_READ | PROT_WRITE | PROT_EXEC)
#define OWN (MAP_PRIVATE | MAP_ANONYMOUS)
#define MAP_CODE(fd) DO(33, "map-code-" #fd, mmap, 0, PAGE, RX, MAP_PRIVATE, fd, 0)
#define IOCTL(item, name, fd, command, ...) DO(item, name, ioctl, fd, command, __VA_ARGS__)
#define HIGH 0x100000000L

extern const struct sin bypasses[];
const struct sin bypasses[] = {
    FN(33, "protect-rx", protect, RX), FN(33, "protect-rwx", protect, RWX), FN(33, "protect-x", protect, PROT_EXEC),
    FN(33, "protect-wx", protect, PROT_WRITE | PROT_EXEC), FN(33, "protect-high-bits", protect, RX | HIGH),
    FN(33, "protect-grows-down", protect, RX | PROT_GROWSDOWN), FN(33, "protect-sem", protect, RW | 8),
    FN(33, "text-writable", unprotect_text), FN(33, "text-rewritten", rewrite_text),
    DO(33, "map-rx", mmap, 0, PAGE, RX, OWN, -1, 0), DO(33, "map-rwx", mmap, 0, PAGE, RWX, OWN, -1, 0),
    DO(33, "map-x", mmap, 0, PAGE, PROT_EXEC, OWN, -1, 0),
    DO(33, "map-high-bits", mmap, 0, PAGE, RX | HIGH, OWN, -1, 0),
    DO(33, "map-low", mmap, 0, PAGE, RX, OWN | MAP_32BIT, -1, 0),
    DO(33, "map-shared", mmap, 0, PAGE, RX, MAP_SHARED | MAP_ANONYMOUS, -1, 0), MAP_CODE(0), MAP_CODE(3), MAP_CODE(4), MAP_CODE(5), MAP_CODE(6), MAP_CODE(7),
    FN(33, "map-twice", map_twice), FN(33, "map-private-twice", map_private_twice),

    DO(34, "pkey-mprotect", pkey_mprotect, P(page), PAGE, RX, -1),
    DO(34, "pkey-mprotect-key", pkey_mprotect, P(page), PAGE, RWX, 1), DO(34, "pkey-alloc", pkey_alloc, 0, 0),
    DO(34, "pkey-free", pkey_free, 1),
    DO(34, "shmget", shmget, 0, PAGE, 01700), DO(34, "shmat-exec", shmat, 0, 0, 0100000),
    DO(34, "shmat-remap", shmat, 0, P(page), 0140000),

    FN(35, "memfd-elf", elf_in_memory, 0), FN(35, "memfd-exec", elf_in_memory, 0x10),
    FN(35, "memfd-huge", elf_in_memory, 4), FN(35, "memfd-sealed", elf_in_memory, 8),
    DO(35, "execveat-channel", execveat, 3, P(""), 0, 0, AT_EMPTY_PATH),
    FN(35, "dlopen-fd", load_file, P("/proc/self/fd/3")), FN(35, "dlopen-own", load_file, P("/csn/other.so")),
    FN(35, "dlopen-system", load_file, P("/lib/x86_64-linux-gnu/libutil.so.1")),
    FN(35, "dlmopen", load_apart, P("/lib/x86_64-linux-gnu/libnss_dns.so.2")),

    DO(38, "remap-file-pages", remap_file_pages, P(page), PAGE, 0, 1, 0), FN(38, "move-text", move_text),
    DO(38, "duplicate-text", mremap, P(victim), 0, PAGE, MREMAP_MAYMOVE, 0),
    FN(38, "code-over-runner", exec_over_runner),
    FN(38, "data-over-text", data_over_text), FN(38, "data-over-runner", map_over_runner),

    DO(39, "filter", seccomp, SECCOMP_SET_MODE_FILTER, 0, P(&permissive)),
    DO(39, "listener", seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, P(&permissive)),
    DO(39, "all-threads", seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, P(&permissive)),
    DO(39, "spec-allow", seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, P(&permissive)),
    DO(39, "strict", seccomp, SECCOMP_SET_MODE_STRICT, 0, 0),
    DO(39, "ask-actions", seccomp, SECCOMP_GET_ACTION_AVAIL, 0, P(room)),
    DO(39, "ask-sizes", seccomp, SECCOMP_GET_NOTIF_SIZES, 0, P(room)),
    DO(39, "by-prctl", prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, P(&permissive)),
    DO(39, "strict-by-prctl", prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT),
    DO(39, "listener-recv", ioctl, 7, SECCOMP_IOCTL_NOTIF_RECV, P(room)),
    DO(39, "landlock-ruleset", landlock_create_ruleset, P(room), 8, 0),
    DO(39, "landlock-enter", landlock_restrict_self, 3, 0),

    DO(40, "dumpable", prctl, PR_SET_DUMPABLE, 1), DO(40, "new-privs", prctl, PR_SET_NO_NEW_PRIVS, 0),
    DO(40, "bounding-set", prctl, PR_CAPBSET_DROP, 21),
    DO(40, "ambient", prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 21),
    DO(40, "keep-caps", prctl, PR_SET_KEEPCAPS, 1),
    DO(40, "mm-start-code", prctl, PR_SET_MM, PR_SET_MM_START_CODE, 0x10000),
    DO(40, "mm-exe", prctl, PR_SET_MM, PR_SET_MM_EXE_FILE, 3),
    DO(40, "mm-map", prctl, PR_SET_MM, PR_SET_MM_MAP, P(room), sizeof room),
    DO(40, "securebits", prctl, PR_SET_SECUREBITS, 0),
    DO(40, "mdwe", prctl, PR_SET_MDWE, 0), DO(40, "ptracer", prctl, PR_SET_PTRACER, -1),
    DO(40, "pdeathsig", prctl, PR_SET_PDEATHSIG, 0), DO(40, "subreaper", prctl, PR_SET_CHILD_SUBREAPER, 1),
    DO(40, "name", prctl, PR_SET_NAME, P("caisson-vault")),
    DO(40, "timer-slack", prctl, PR_SET_TIMERSLACK, 1),
    DO(40, "dispatch", prctl, PR_SET_SYSCALL_USER_DISPATCH, 1, 0, 0, P(room)),
    DO(40, "tsc", prctl, PR_SET_TSC, PR_TSC_SIGSEGV), DO(40, "speculation", prctl, 53, 0, 2),
    DO(40, "sched-core", prctl, 62, 1, 1, 0, 0),
    DO(40, "vma-name", prctl, 0x53564d41, 0, P(page), PAGE, P("x")), DO(40, "thp", prctl, 41, 0),
    DO(40, "io-flusher", prctl, 57, 1), DO(40, "mce-kill", prctl, 33, 1, 1), DO(40, "unalign", prctl, 6, 1),
    DO(40, "get-dumpable", prctl, PR_GET_DUMPABLE), DO(40, "get-seccomp", prctl, PR_GET_SECCOMP),
    DO(40, "high-bits", prctl, PR_SET_DUMPABLE | HIGH, 1), DO(40, "capget", capget, P(room), P(room)),
    DO(40, "capset", capset, P(room), P(room)), DO(40, "setresuid", setresuid, 0, 0, 0),
    DO(40, "setfsuid", setfsuid, 0),

    IOCTL(45, "tiocsti", 0, 0x5412, P("x")), IOCTL(45, "tioclinux", 0, 0x541c, P("\3")),
    IOCTL(45, "tiocsctty", 0, 0x540e, 1), IOCTL(45, "tiocnotty", 0, 0x5422, 0),
    IOCTL(45, "tiocsti-high", 0, 0x5412 | HIGH, P("x")), IOCTL(45, "tioclinux-high", 0, 0x541c | HIGH, P("\3")),
    IOCTL(45, "tiocsctty-high", 0, 0x540e | HIGH, 1), IOCTL(45, "tiocsti-channel", 3, 0x5412, P("x")),
    IOCTL(45, "tiocgpgrp", 2, 0x540f, P(room)), IOCTL(45, "tcgets", 1, 0x5401, P(room)),
    IOCTL(45, "gpt-peer", 0, 0x5441, 0), DO(45, "tty", openat, AT_FDCWD, P("/dev/tty"), O_RDWR),

    IOCTL(46, "fioclex", 6, 0x5451, 0), IOCTL(46, "fionclex", 6, 0x5450, 0), IOCTL(46, "fionbio", 6, 0x5421, P(room)),
    IOCTL(46, "fioasync", 6, 0x5452, P(room)), IOCTL(46, "siocgifconf", 6, 0x8912, P(room)),
    IOCTL(46, "siocgifaddr", 6, 0x8915, P(&interface)),
    IOCTL(46, "siocethtool", 6, 0x8946, P(&interface)), IOCTL(46, "siocgskns", 6, 0x894c, 0),
    IOCTL(46, "siocunixfile", 6, 0x89e0, 0), IOCTL(46, "fiosetown", 6, 0x8901, P(room)),
    FN(46, "relay-fioclex", relay_ioctl, 0x5451), FN(46, "relay-fionbio", relay_ioctl, 0x5421, P(room)),
    FN(46, "relay-siocgifconf", relay_ioctl, 0x8912, P(room)),
    FN(46, "relay-siocgifaddr", relay_ioctl, 0x8915, P(&interface)),
    FN(46, "relay-siocethtool", relay_ioctl, 0x8946, P(&interface)),
    FN(46, "relay-siocunixfile", relay_ioctl, 0x89e0, 0),

    DO(47, "setown", fcntl, 6, F_SETOWN, 1), DO(47, "setown-ex", fcntl, 6, F_SETOWN_EX, P(room)),
    DO(47, "setsig", fcntl, 6, F_SETSIG, SIGKILL), DO(47, "setlease", fcntl, 4, F_SETLEASE, F_WRLCK),
    DO(47, "notify", fcntl, 3, F_NOTIFY, 0x3f), DO(47, "setpipe-sz", fcntl, 4, F_SETPIPE_SZ, 1 << 20),
    DO(47, "getpipe-sz", fcntl, 4, F_GETPIPE_SZ), DO(47, "add-seals", fcntl, 4, 1033, 15),
    DO(47, "get-seals", fcntl, 4, 1034), DO(47, "setlk", fcntl, 4, F_SETLK, P(room)),
    DO(47, "ofd-setlk", fcntl, 4, F_OFD_SETLK, P(room)), DO(47, "getown", fcntl, 6, F_GETOWN),
    DO(47, "rw-hint", fcntl, 4, 1036, P(room)),
    DO(47, "async", fcntl, 6, F_SETFL, O_ASYNC), DO(47, "packets", fcntl, 4, F_SETFL, O_DIRECT | O_WRONLY),
    DO(47, "noatime", fcntl, 4, F_SETFL, O_NOATIME), DO(47, "dup-query", fcntl, 4, 1027, 4),
    DO(47, "created-query", fcntl, 4, 1028), DO(47, "setfd-odd", fcntl, 4, F_SETFD, 6), DO(47, "flock", flock, 4, 2),

    DO(54, "membarrier-query", membarrier, MEMBARRIER_CMD_QUERY, 0),
    DO(54, "membarrier-global", membarrier, MEMBARRIER_CMD_GLOBAL, 0),
    DO(54, "membarrier-expedited", membarrier, 8, 0), DO(54, "rseq", rseq, P(room), 32, 0, 0x53053053),
    DO(54, "rseq-foreign", rseq, 0x10000, 32, 0, 0x53053053),
    DO(54, "robust-list", set_robust_list, P(room), 24), DO(54, "robust-foreign", set_robust_list, 0x10000, 24),
    DO(54, "get-robust-list", get_robust_list, 1, P(room), P(room)), DO(54, "tid-address", set_tid_address, 0x10000),
    DO(54, "lock-pi", futex, P(room), FUTEX_LOCK_PI, 1),
    DO(54, "unlock-pi", futex, P(room), FUTEX_UNLOCK_PI), DO(54, "trylock-pi", futex, P(room), FUTEX_TRYLOCK_PI),
    DO(54, "wait-requeue-pi", futex, P(room), FUTEX_WAIT_REQUEUE_PI),
    DO(54, "cmp-requeue-pi", futex, P(room), FUTEX_CMP_REQUEUE_PI), DO(54, "wake-op", futex, P(room), FUTEX_WAKE_OP),
    DO(54, "futex-fd", futex, P(room), FUTEX_FD),
    DO_NUMBER(54, "futex-waitv", 449, P(room), 1, 0, 0, 0), DO_NUMBER(54, "futex-wake", 454, P(room), 1, 1, 2),
    DO_NUMBER(54, "futex-wait", 455, P(room), 1, 1, 2), DO_NUMBER(54, "futex-requeue", 456, P(room), 0, 1, 1),
    DO(54, "setrlimit", setrlimit, RLIMIT_NOFILE, P(&much)),
    {0}};
/* clang-format on */
