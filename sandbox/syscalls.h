/* SPDX-License-Identifier: Apache-2.0 */
/* The lists: which system calls each role, the cell (A) and the worker (L) may make, one row per call with its reason.
 *
 * A role that needs one more call: run it under strace, find the call that answers EPERM, and add a row here (or the
 * role's bit to an existing row) with the narrowest tests that work and the reason. Rules for a new row: no execution,
 * no descriptors of other processes, no new sockets; pointers cannot be looked into, so tests are on numbers only.
 * Several rows of one call are alternatives; the first whose tests all hold decides; if none does, the call gets the
 * list's default: EPERM for roles, allow for A, runner and parent, the listener for L. Rows for sanitised builds only
 * stand first. */
#pragma once

#include <asm/unistd_64.h>
#include <errno.h>
#include <linux/seccomp.h>

#include "enter.h"
#include "seccomp.h"

/* clang-format off */
#define LOADER (1 << WALL_LOADER)
#define FRONTS (1 << WALL_FRONT | 1 << WALL_DESK)
#define LEDGER (1 << WALL_LEDGER)
#define VAULT  (1 << WALL_VAULT)
#define BROKER (1 << WALL_BROKER)
#define RUNNER (1 << WALL_RUNNER)
#define PARENT (1 << WALL_PARENT)
#define PROVIDER (1 << WALL_PROVIDER)
#define MODULE (1 << WALL_MODULE)
#define A      (1 << LIST_A)
#define L      (1 << LIST_L)
#define HEADERS (1 << LIST_HEADERS)
/* Roles with a list of what is allowed; runner and parent, like A, have one of what is forbidden: theirs are inherited by
 * everything they start (docs/decisions). */
#define LISTED (LOADER | FRONTS | LEDGER | VAULT | BROKER | PROVIDER | MODULE)
/* Who may connect outward: the broker, and a key provider's helper for as long as it asks for its share. */
#define OUTWARD (BROKER | PROVIDER)
#define EVERY  (LISTED | L)
#define THREADED (FRONTS | LEDGER)
#define ALL    (A | PARENT | RUNNER | LISTED)

#define YES     SECCOMP_RET_ALLOW
#define KILL    SECCOMP_RET_KILL_PROCESS
#define NO(e)   (SECCOMP_RET_ERRNO | (e))

#define CALL(name, lists, verdict, why)     {__NR_##name, (lists), (verdict), {{0}}, (why)}
#define CALL1(name, lists, verdict, t, why) {__NR_##name, (lists), (verdict), {t}, (why)}
#define CALL2(name, lists, verdict, t, u, why) {__NR_##name, (lists), (verdict), {t, u}, (why)}
#define CALL3(name, lists, verdict, t, u, v, why) {__NR_##name, (lists), (verdict), {t, u, v}, (why)}

#define IS(arg, value)     {(arg), ~UINT64_C(0), (value)}           /* equal in all 64 bits */
#define IS32(arg, value)   {(arg), UINT64_C(0xffffffff), (value)}   /* an int: the upper half is not looked at by the kernel */
#define WITHIN(arg, bits)  {(arg), ~(uint64_t)(bits), 0}            /* no other bits than these */
#define MASKED(arg, m, v)  {(arg), (m), (v)}

enum {
    PROT_RW = 1 | 2, PROT_RX = 1 | 4,
    MAP_OWN = 0x02 | 0x10 | 0x20 | 0x800 | 0x4000 | 0x20000, /* PRIVATE FIXED ANONYMOUS DENYWRITE NORESERVE STACK */
    THREAD_FLAGS = 0x3d0f00,  /* what pthread_create passes to clone(2), nothing else */
    SEND_FLAGS = 0x4000 | 0x40 | 0x8000, /* NOSIGNAL DONTWAIT MORE: above all not FASTOPEN, which connects */
    LISTENER_CARRIER = 100    /* the number H has in a worker: at or above its RLIMIT_NOFILE */
};
#define SOCKET_TYPE (UINT64_C(0xffffffff) & ~UINT64_C(02004000)) /* without CLOEXEC and NONBLOCK; int */
#define FUTEX_OP ~UINT64_C(0xffffffff00000180) /* without PRIVATE and CLOCK_REALTIME; int */

static const struct call_row call_rows[] = {
#ifdef CAISSON_SANITIZED
    /* Sanitised builds only: their run-time looks at its own stack, maps and terminal, and ends by signal. */
    CALL(sigaltstack, L, YES, "sanitiser"),
    CALL(sched_getaffinity, L, YES, "sanitiser"),
    CALL(prctl, L | LISTED, YES, "sanitiser"),
    CALL(madvise, L, YES, "sanitiser"),
    CALL2(mmap, L, YES, WITHIN(2, PROT_RW), WITHIN(3, MAP_OWN | 0x4000 | 0x100000), "sanitiser"),
    CALL(openat, LISTED, YES, "sanitiser"),
    CALL(open, LISTED, YES, "sanitiser"),
    CALL(readlink, LISTED, YES, "sanitiser"),
    CALL(ioctl, LISTED, YES, "sanitiser"),
    CALL(tgkill, LISTED, YES, "sanitiser"),
    CALL(getppid, LISTED, YES, "sanitiser"),
    CALL(pipe2, LISTED, YES, "sanitiser"),
#endif
    /* ── every process: memory, time, its own descriptors ── */
    CALL(read, EVERY, YES, "lines, pipes, files it holds"),
    CALL(write, EVERY, YES, "likewise"),
    CALL(writev, EVERY, YES, "likewise"),
    CALL(readv, LISTED, YES, "likewise"),
    CALL(close, EVERY, YES, "gives up a descriptor"),
    CALL(fstat, EVERY, YES, "of a descriptor it holds"),
    CALL(lseek, EVERY, YES, "dprintf and stdio give up without it"),
    CALL(pread64, EVERY, YES, "the loader reads ELF headers so"),
    CALL(poll, EVERY, YES, "waits"),
    CALL(ppoll, EVERY, YES, "waits"),
    CALL(munmap, EVERY, YES, "memory"),
    CALL(mremap, EVERY, YES, "realloc of large blocks; cannot add rights"),
    CALL(brk, EVERY, YES, "malloc"),
    CALL1(mmap, LISTED, YES, WITHIN(2, PROT_RW), "memory without execution"),
    CALL2(mmap, L, YES, WITHIN(2, PROT_RW), WITHIN(3, MAP_OWN), "private memory without execution; with it: the listener counts"),
    CALL1(mprotect, EVERY, YES, WITHIN(2, PROT_RW), "no execution is added"),
    CALL(madvise, LISTED, YES, "malloc trims, threads free stacks"),
    CALL1(madvise, L, YES, IS32(2, 4), "DONTNEED: malloc"),
    CALL1(madvise, L, YES, IS32(2, 8), "FREE"),
    CALL1(madvise, L, YES, IS32(2, 0), "NORMAL"),
    CALL1(madvise, L, YES, MASKED(2, 0xfffffffe, 14), "HUGEPAGE, NOHUGEPAGE"),
    CALL1(madvise, L, YES, IS32(2, 3), "WILLNEED"),
    CALL(rt_sigprocmask, EVERY, YES, "libraries block signals around forks and threads"),
    CALL(rt_sigreturn, EVERY, YES, "returns from a handler"),
    CALL(nanosleep, EVERY, YES, "sleeps"),
    CALL(clock_nanosleep, EVERY, YES, "sleeps"),
    CALL(clock_gettime, EVERY, YES, "where the vDSO has no clock"),
    CALL(clock_getres, LISTED, YES, "SQLite and libmicrohttpd ask once"),
    CALL(gettimeofday, EVERY, YES, "likewise"),
    CALL(time, LISTED, YES, "likewise"),
    CALL(times, EVERY, YES, "likewise"),
    CALL(restart_syscall, EVERY, YES, "the kernel's own, after a signal"),
    CALL(getpid, EVERY, YES, "OpenSSL looks whether it was forked"),
    CALL(gettid, EVERY, YES, "libc"),
    CALL(getuid, LISTED, YES, "OpenSSL's secure_getenv, stdio"),
    CALL(geteuid, LISTED, YES, "SQLite asks before it changes owners"),
    CALL(getgid, LISTED, YES, "likewise"),
    CALL(getegid, LISTED, YES, "likewise"),
    CALL(getrandom, EVERY, YES, "randomness"),
    CALL(sched_yield, EVERY, YES, "spin locks"),
    CALL(exit, EVERY, YES, "ends a thread"),
    CALL(exit_group, EVERY, YES, "ends"),
    CALL(futex, LISTED, YES, "locks"),
    CALL1(futex, L, YES, MASKED(1, FUTEX_OP & 0xfffffffe, 0), "WAIT, WAKE"),
    CALL1(futex, L, YES, MASKED(1, FUTEX_OP, 3), "REQUEUE"),
    CALL1(futex, L, YES, MASKED(1, FUTEX_OP, 4), "CMP_REQUEUE"),
    CALL1(futex, L, YES, MASKED(1, FUTEX_OP, 9), "WAIT_BITSET"),
    CALL1(futex, L, YES, MASKED(1, FUTEX_OP, 10), "WAKE_BITSET"),
    CALL(recvfrom, EVERY, YES, "channels and relays"),
    CALL(recvmsg, EVERY, YES, "frames, and descriptors that come with them"),
    CALL(shutdown, EVERY, YES, "of a stream it holds"),
    CALL(getsockname, EVERY, YES, "of a socket it holds"),
    CALL(getpeername, EVERY, YES, "likewise"),
    CALL(getsockopt, LISTED, YES, "SO_ERROR, SO_TYPE, SO_PEERCRED"),
    CALL2(getsockopt, L, YES, IS32(1, 1), IS32(2, 3), "SO_TYPE"),
    CALL2(getsockopt, L, YES, IS32(1, 1), IS32(2, 39), "SO_DOMAIN: is it a relay? (sdk/src/interpose.c)"),
    CALL2(getsockopt, L, YES, IS32(1, 1), IS32(2, 4), "SO_ERROR: libcurl asks whether it is connected"),
    CALL(getsockopt, L, NO(ENOPROTOOPT), "above all SO_PEERPIDFD: a descriptor of the process at the other end"),
    CALL1(newfstatat, L, YES, IS32(3, 0x1000), "AT_EMPTY_PATH: fstat by another name"),
    CALL1(newfstatat, LISTED & ~(LEDGER | LOADER | MODULE), YES, IS32(3, 0x1000), "likewise"),
    CALL2(prlimit64, LISTED, YES, IS(0, 0), IS(2, 0), "reads its own limits"),
    CALL(getrusage, LISTED, YES, "reports its own use"),
    CALL(uname, LISTED, YES, "libraries ask"),
    CALL(sysinfo, LISTED, YES, "malloc and SQLite ask for the size of memory"),
    CALL(sched_getaffinity, LISTED, YES, "malloc and thread pools count processors"),
    CALL(set_robust_list, LISTED, YES, "thread start"),
    CALL(rseq, LISTED, YES, "thread start"),
    CALL(clone3, LISTED | L, NO(ENOSYS), "its flags stand behind a pointer; libc falls back to clone"),

    /* ── fcntl, by command ── */
    CALL1(fcntl, EVERY, YES, IS32(1, 1), "F_GETFD"),
    CALL2(fcntl, EVERY, YES, IS32(1, 2), WITHIN(2, 1), "F_SETFD"),
    CALL1(fcntl, EVERY, YES, IS32(1, 3), "F_GETFL"),
    CALL2(fcntl, L, NO(EPERM), MASKED(0, 0xfffffffe, 0), IS32(1, 4), "F_SETFL on 0 and 1: every worker's, and what is set, stays"),
    CALL2(fcntl, L, NO(EPERM), IS32(0, 2), IS32(1, 4), "on 2 likewise: all three are one open /dev/null"),
    CALL2(fcntl, EVERY, YES, IS32(1, 4), WITHIN(2, 04003), "F_SETFL, O_NONBLOCK only"),
    CALL1(fcntl, LISTED, YES, IS32(1, 1030), "F_DUPFD_CLOEXEC: frames that wait keep their descriptors"),
    CALL1(fcntl, LISTED, YES, IS32(1, 1034), "F_GET_SEALS: is this registry sealed?"),
    CALL1(fcntl, LOADER, YES, IS32(1, 1033), "F_ADD_SEALS: seals what it hands out"),
    CALL1(fcntl, LEDGER | MODULE, YES, IS32(1, 5), "F_GETLK: SQLite"),
    CALL1(fcntl, LEDGER | MODULE, YES, IS32(1, 6), "F_SETLK"),
    CALL1(fcntl, LEDGER | MODULE, YES, IS32(1, 7), "F_SETLKW"),

    /* ── roles: lines, events, signals ── */
    CALL1(sendmsg, LISTED, YES, WITHIN(2, SEND_FLAGS), "frames with descriptors; FASTOPEN would connect"),
    CALL2(sendto, EVERY, YES, IS(4, 0), WITHIN(3, SEND_FLAGS), "streams it holds: an address or FASTOPEN would connect"),
    CALL(epoll_wait, LISTED, YES, "the one loop"),
    CALL(epoll_pwait, LISTED, YES, "likewise"),
    CALL(epoll_ctl, LISTED, YES, "likewise"),
    CALL(epoll_create1, FRONTS | BROKER | LEDGER, YES, "libmicrohttpd, relays"),
    CALL(eventfd2, FRONTS | OUTWARD | LEDGER, YES, "wakes another thread"),
    CALL(select, FRONTS | PROVIDER, YES, "libmicrohttpd"),
    CALL(pselect6, FRONTS | OUTWARD, YES, "likewise"),
    CALL(pipe2, FRONTS, YES, "libmicrohttpd's own signal between threads"),
    CALL(dup, LISTED, YES, "of a descriptor it holds"),
    CALL(dup3, LISTED, YES, "likewise"),
    CALL(rt_sigaction, LISTED, YES, "SIGPIPE and SIGTERM"),
    CALL(sigaltstack, LISTED, YES, "threads"),
    CALL1(clone, THREADED, YES, IS(0, THREAD_FLAGS), "a thread, never a process"),
    CALL(membarrier, LISTED, YES, "only of itself; thread libraries"),
    CALL1(prctl, THREADED, YES, IS32(0, 15), "PR_SET_NAME of a thread"),
    CALL1(prctl, THREADED, YES, IS32(0, 0x53564d41), "PR_SET_VMA: names a thread's arena"),

    /* ── front, desk: sockets that the parent bound ── */
    CALL(accept4, FRONTS, YES, "connections of callers"),
    CALL(accept, FRONTS, YES, "likewise"),
    CALL2(setsockopt, FRONTS | OUTWARD, YES, IS32(1, 6), MASKED(2, 0xfffffffd, 1), "TCP: NODELAY, CORK"),
    CALL2(setsockopt, FRONTS | OUTWARD, YES, IS32(1, 1), IS32(2, 9), "SO_KEEPALIVE"),
    CALL2(setsockopt, FRONTS | OUTWARD, YES, IS32(1, 1), IS32(2, 13), "SO_LINGER"),
    CALL2(setsockopt, FRONTS | OUTWARD, YES, IS32(1, 1), MASKED(2, 0xfffffffe, 20), "SO_RCVTIMEO, SO_SNDTIMEO"),
    CALL2(setsockopt, FRONTS | OUTWARD, YES, IS32(1, 1), IS32(2, 7), "SO_SNDBUF"),
    CALL2(setsockopt, FRONTS | OUTWARD, YES, IS32(1, 1), IS32(2, 8), "SO_RCVBUF"),

    /* ── broker, and the provider for the seconds that it lives: the only ones that make sockets and connect ── */
    CALL3(socket, OUTWARD, YES, IS32(0, 2), MASKED(1, SOCKET_TYPE, 1), IS32(2, 0), "AF_INET, STREAM: TCP, never raw or MPTCP"),
    CALL3(socket, OUTWARD, YES, IS32(0, 2), MASKED(1, SOCKET_TYPE, 2), IS32(2, 0), "AF_INET, DGRAM: name servers"),
    CALL3(socket, OUTWARD, YES, IS32(0, 10), MASKED(1, SOCKET_TYPE, 1), IS32(2, 0), "AF_INET6, STREAM"),
    CALL3(socket, OUTWARD, YES, IS32(0, 10), MASKED(1, SOCKET_TYPE, 2), IS32(2, 0), "AF_INET6, DGRAM"),
    CALL(connect, OUTWARD, YES, "to the address it has checked; the provider: to the one that is configured"),
    CALL2(socketpair, OUTWARD, YES, IS32(0, 1), MASKED(1, SOCKET_TYPE, 1), "a relay's two ends; an end of a DGRAM pair could be connected elsewhere"),
    CALL2(setsockopt, OUTWARD, YES, IS32(1, 41), IS32(2, 26), "IPV6_V6ONLY"),
    CALL1(ioctl, OUTWARD, YES, IS32(1, 0x5421), "FIONBIO"),
    CALL1(ioctl, BROKER | VAULT, YES, IS32(1, 0x541b), "FIONREAD; the vault: is a credential pipe empty?"),
    CALL(splice, BROKER, YES, "relays without copying"),
    CALL(timerfd_settime, BROKER, YES, "timers it made before"),

    /* ── ledger: its database folder, a PKCS#11 module: its folders, and nothing else (Landlock) ── */
    CALL(openat, LEDGER | LOADER | MODULE, YES, "files beneath the folders it was given"),
    CALL(open, LEDGER | LOADER | MODULE, YES, "likewise"),
    CALL(newfstatat, LEDGER | LOADER | MODULE, YES, "likewise"),
    CALL(stat, LEDGER | LOADER | MODULE, YES, "likewise"),
    CALL(lstat, LEDGER | LOADER | MODULE, YES, "likewise"),
    CALL(statx, LEDGER | LOADER | MODULE, YES, "likewise"),
    CALL(access, LEDGER | LOADER | MODULE, YES, "likewise"),
    CALL(faccessat2, LEDGER | LOADER | MODULE, YES, "likewise"),
    CALL(faccessat, LEDGER | LOADER | MODULE, YES, "likewise"),
    CALL(readlink, LEDGER | LOADER | MODULE, YES, "SQLite resolves its own path"),
    CALL(readlinkat, LEDGER | LOADER | MODULE, YES, "likewise"),
    CALL(getcwd, LEDGER | LOADER | MODULE, YES, "likewise"),
    CALL(fstatfs, LEDGER | LOADER | MODULE, YES, "SQLite, free space"),
    CALL(statfs, LEDGER | MODULE, YES, "free space"),
    CALL(pwrite64, LEDGER | MODULE, YES, "database pages"),
    CALL(pwritev, LEDGER, YES, "likewise"),
    CALL(preadv, LEDGER, YES, "likewise"),
    CALL(fsync, LEDGER | MODULE, YES, "the durable commit"),
    CALL(fdatasync, LEDGER | MODULE, YES, "likewise"),
    CALL(ftruncate, LEDGER | LOADER | MODULE, YES, "WAL reset; sizes a memfd"),
    CALL(fallocate, LEDGER, YES, "SQLite's shared memory index"),
    CALL(unlink, LEDGER | MODULE, YES, "a journal that is done with"),
    CALL(unlinkat, LEDGER | MODULE, YES, "likewise"),
    CALL(rename, LEDGER | MODULE, YES, "a file replaced whole"),
    CALL(renameat, LEDGER | MODULE, YES, "likewise"),
    CALL(renameat2, LEDGER, YES, "likewise"),
    CALL(mkdir, LEDGER | MODULE, YES, "SQLite's temporary names"),
    CALL(rmdir, LEDGER, YES, "likewise"),
    CALL(fchmod, LEDGER | MODULE, YES, "journal files get the database's mode"),
    CALL(fchown, LEDGER, YES, "likewise"),
    CALL(umask, LEDGER | MODULE, YES, "private files"),
    CALL(getdents64, LEDGER | LOADER | MODULE, YES, "lists a folder it was given"),
    CALL(fadvise64, LEDGER | LOADER | MODULE, YES, "reads ahead"),

    /* ── loader: reads, then seals one document ── */
    CALL(memfd_create, LOADER, YES, "the registry it emits"),
    CALL(fchdir, LOADER, YES, "walks the plugin folders"),
    CALL(openat2, LOADER, YES, "opens beneath a folder without following links"),

    /* ── worker (L): answered silently, because honest libraries ask and cope ── */
    CALL(rseq, L, NO(ENOSYS), "asked at thread start"),
    CALL(set_robust_list, L, NO(ENOSYS), "likewise"),
    CALL(membarrier, L, NO(ENOSYS), "libraries fall back"),
    CALL(statx, L, NO(ENOSYS), "libc falls back to newfstatat"),
    CALL2(setsockopt, L, YES, IS32(1, 1), IS32(2, 9), "SO_KEEPALIVE"),
    CALL2(setsockopt, L, YES, IS32(1, 6), IS32(2, 1), "TCP_NODELAY"),
    CALL2(setsockopt, L, YES, IS32(1, 6), MASKED(2, 0xfffffffe, 4), "TCP_KEEPIDLE, TCP_KEEPINTVL"),
    CALL(setsockopt, L, NO(EPERM), "every other option"),
    CALL2(socketpair, L, YES, IS32(0, 1), MASKED(1, ~UINT64_C(02004000), 1), "STREAM: libcurl's wake-up pair"),
    CALL(socketpair, L, NO(EPERM), "other families"),
    CALL(uname, L, NO(EPERM), "says nothing of the host"),
    CALL(sysinfo, L, NO(EPERM), "likewise"),
    CALL(prctl, L, NO(EPERM), "no state of its own to change"),
    CALL(sched_getaffinity, L, NO(EPERM), "likewise"),
    CALL(rt_sigaction, L, NO(EPERM), "no handlers"),
    CALL(sigaltstack, L, NO(EPERM), "likewise"),
    CALL(ioctl, L, NO(ENOTTY), "stdio asks whether it is a terminal"),
    CALL(access, L, NO(EACCES), "there are no files"),
    CALL(faccessat, L, NO(EACCES), "likewise"),
    CALL(faccessat2, L, NO(EACCES), "likewise"),
    CALL(stat, L, NO(EACCES), "likewise"),
    CALL(lstat, L, NO(EACCES), "likewise"),
    CALL(newfstatat, L, NO(EACCES), "likewise"),
    CALL(readlink, L, NO(EACCES), "likewise"),
    CALL(readlinkat, L, NO(EACCES), "likewise"),
    CALL(getcwd, L, NO(EACCES), "likewise"),
    CALL(socket, L | RUNNER | LISTED, NO(EACCES), "curl_version reaches OpenLDAP, which asks; killing it kills honest code"),
    CALL1(sendmsg, L, YES, IS(0, LISTENER_CARRIER), "hands the listener to the cell; that number is never allocated again"),

    /* ── worker (L): the cell needs these, so A lets them through; here they kill ── */
    CALL(seccomp, L | LISTED, KILL, "no filters of its own, no second listener"),
    CALL(clone, L, KILL, "no children, no threads"),
    CALL(fork, L | LISTED, KILL, "likewise"),
    CALL(vfork, L | LISTED, KILL, "likewise"),
    CALL(clone, LISTED, KILL, "nothing but threads where there are any"),
    CALL(pidfd_open, L | LISTED, KILL, "other processes"),
    CALL(pidfd_getfd, L | LISTED, KILL, "descriptors of other processes"),
    CALL(pidfd_send_signal, L | LISTED, KILL, "signals to other processes"),
    CALL(process_vm_readv, L | LISTED | RUNNER, KILL, "memory of other processes"),

    /* ── the kill list: cell (A), and the roles ── */
    CALL(ptrace, A | RUNNER | LISTED, KILL, "other processes; the runner's probe tries it before its own walls"),
    CALL(process_vm_writev, ALL, KILL, "likewise"),
    CALL(process_madvise, ALL, KILL, "likewise"),
    CALL(kill, A | RUNNER | LISTED, KILL, "signals go by pidfd"),
    CALL(tkill, ALL, KILL, "likewise"),
    CALL(rt_sigqueueinfo, ALL, KILL, "likewise"),
    CALL(rt_tgsigqueueinfo, ALL, KILL, "likewise"),
    CALL(execve, A | RUNNER | LISTED, KILL, "no other program"),
    CALL(execveat, A | LISTED, KILL, "likewise; the runner starts its cells so"),
    CALL(bpf, ALL, KILL, "kernel surface"),
    CALL(perf_event_open, ALL, KILL, "likewise"),
    CALL(io_uring_setup, ALL, KILL, "calls past the filters"),
    CALL(io_uring_enter, ALL, KILL, "likewise"),
    CALL(io_uring_register, ALL, KILL, "likewise"),
    CALL(userfaultfd, ALL, KILL, "stops the kernel in the middle"),
    CALL(mount, A | LISTED, KILL, "the cell's root stays as it is"),
    CALL(umount2, A | LISTED, KILL, "likewise"),
    CALL(pivot_root, A | LISTED, KILL, "likewise"),
    CALL(chroot, ALL, KILL, "likewise"),
    CALL(fsopen, A | LISTED, KILL, "likewise"),
    CALL(fsmount, A | LISTED, KILL, "likewise"),
    CALL(fsconfig, A | LISTED, KILL, "likewise"),
    CALL(fspick, ALL, KILL, "likewise"),
    CALL(open_tree, ALL, KILL, "likewise"),
    CALL(move_mount, A | LISTED, KILL, "likewise"),
    CALL(mount_setattr, A | LISTED, KILL, "likewise"),
    CALL(unshare, A | LISTED, KILL, "no new namespaces"),
    CALL(setns, ALL, KILL, "likewise"),
    CALL(keyctl, ALL, KILL, "keyrings are shared with other processes"),
    CALL(add_key, ALL, KILL, "likewise"),
    CALL(request_key, ALL, KILL, "likewise"),
    CALL(memfd_create, A | (LISTED & ~LOADER), KILL, "files that can be executed"),
    CALL(memfd_secret, A | RUNNER | LISTED, KILL, "memory that cannot be limited"),
    CALL(kexec_load, ALL, KILL, "the machine"),
    CALL(kexec_file_load, ALL, KILL, "likewise"),
    CALL(init_module, ALL, KILL, "likewise"),
    CALL(finit_module, ALL, KILL, "likewise"),
    CALL(delete_module, ALL, KILL, "likewise"),
    CALL(swapon, ALL, KILL, "likewise"),
    CALL(swapoff, ALL, KILL, "likewise"),
    CALL(reboot, ALL, KILL, "likewise"),
    CALL(open_by_handle_at, ALL, KILL, "files past every root"),
    CALL(name_to_handle_at, ALL, KILL, "likewise"),
    CALL(bind, A | RUNNER | LISTED, KILL, "network"),
    CALL(listen, A | RUNNER | LISTED, KILL, "likewise"),
    CALL(accept, A | RUNNER | (LISTED & ~FRONTS), KILL, "likewise"),
    CALL(accept4, A | RUNNER | (LISTED & ~FRONTS), KILL, "likewise"),
    CALL(connect, A | RUNNER | (LISTED & ~OUTWARD), KILL, "likewise"),
    CALL(sendmmsg, A | RUNNER | (LISTED & ~OUTWARD), KILL, "likewise"),
    CALL(personality, ALL, KILL, "READ_IMPLIES_EXEC"),
    CALL(modify_ldt, ALL, KILL, "segments"),
    CALL(ioperm, ALL, KILL, "devices"),
    CALL(iopl, ALL, KILL, "devices"),

    /* ── runner and parent: what starts processes stays, what neither ever needs goes ── */
    CALL(pidfd_getfd, RUNNER | PARENT, KILL, "descriptors of other processes"),

    /* ── the cell's child that reads a plugin's headers: hostile bytes, and nothing to do with them but this ── */
    CALL(write, HEADERS, YES, "the facts"),
    CALL(exit, HEADERS, YES, "the end"),
};

/* clang-format on */

static const struct policy_list policy_lists[LISTS] = {
    [WALL_LOADER] = {"loader", NO(EPERM)}, [WALL_FRONT] = {"front", NO(EPERM)},   [WALL_DESK] = {"desk", NO(EPERM)},
    [WALL_LEDGER] = {"ledger", NO(EPERM)}, [WALL_VAULT] = {"vault", NO(EPERM)},   [WALL_BROKER] = {"broker", NO(EPERM)},
    [WALL_PROVIDER] = {"provider", NO(EPERM)}, [WALL_MODULE] = {"module", NO(EPERM)},
    [WALL_RUNNER] = {"runner", YES},       [WALL_PARENT] = {"parent", YES},       [LIST_A] = {"A", YES},
    [LIST_L] = {"L", SECCOMP_RET_USER_NOTIF}, [LIST_HEADERS] = {"headers", KILL},
};

#undef A
#undef L
#undef ALL
#undef PARENT
#undef PROVIDER
#undef MODULE
#undef HEADERS
