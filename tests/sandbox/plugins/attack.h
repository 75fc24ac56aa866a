/* SPDX-License-Identifier: Apache-2.0 */
/* Forbidden things, each by name, with raw system calls. A result below 0 is minus errno: it was refused. */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static long raw(long number, long a, long b, long c, long d, long e, long f)
{
    long got = syscall(number, a, b, c, d, e, f);
    return got < 0 ? -errno : got;
}
#define RAW1(n, a) raw(SYS_##n, (long)(a), 0, 0, 0, 0, 0)
#define RAW3(n, a, b, c) raw(SYS_##n, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define RAW6(n, a, b, c, d, e, f) raw(SYS_##n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

static long open_file(void) { return RAW6(openat, AT_FDCWD, "/etc/passwd", O_RDONLY, 0, 0, 0); }
static long open_root(void) { return RAW6(openat, AT_FDCWD, "/", O_RDONLY | O_DIRECTORY, 0, 0, 0); }
static long open_again(void) { return RAW6(openat, AT_FDCWD, "/csn/plugin.so", O_RDONLY | O_CLOEXEC, 0, 0, 0); }
static long open_proc(void) { return RAW6(openat, AT_FDCWD, "/proc/self/mem", O_RDWR, 0, 0, 0); }
static long stat_root(void)
{
    char room[256];
    return RAW6(newfstatat, AT_FDCWD, "/etc", room, 0, 0, 0);
}
static long create_file(void) { return RAW6(openat, AT_FDCWD, "/tmp/x", O_WRONLY | O_CREAT, 0600, 0, 0); }
static long make_node(void) { return RAW3(mkdir, "/x", 0700, 0); }
static long protect_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return RAW3(mprotect, page, 4096, PROT_READ | PROT_EXEC);
}
static long protect_key(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return RAW6(pkey_mprotect, page, 4096, PROT_READ | PROT_EXEC, -1, 0, 0);
}
static long map_wx(void) { return RAW6(mmap, 0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) < 0 ? -EPERM : 1; }
static long map_code(void) { return RAW6(mmap, 0, 4096, 5, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) < 0 ? -EPERM : 1; }
static long map_fd_code(void)
{
    for (int fd = 0; fd < 9; fd++)
        if (RAW6(mmap, 0, 4096, 5, MAP_PRIVATE, fd, 0) > 0) return fd;
    return -EPERM;
}
static long shared_memory(void) { return RAW3(shmget, 0, 4096, 01600); }
static long undo_mdwe(void) { return RAW6(prctl, 65, 0, 0, 0, 0, 0); }
static long dumpable(void) { return RAW6(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0, 0); }
static long duplicate(void) { return RAW3(dup2, 3, 100, 0); }
/* 0, 1 and 2 are one open file, the same for every worker: what is set there, later calls would read. */
static long mark_for_others(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (RAW3(fcntl, fd, F_SETFL, O_NONBLOCK) >= 0 || (RAW3(fcntl, fd, F_GETFL, 0) & O_NONBLOCK)) return fd;
    return -EPERM;
}
static long raise_limit(void)
{
    struct rlimit limit = {4096, 4096};
    return RAW6(prlimit64, 0, RLIMIT_NOFILE, &limit, 0, 0, 0);
}
static long any_socket(void)
{
    static const int families[] = {1, 2, 10, 16, 17, 38, 40, 44};
    for (unsigned i = 0; i < sizeof families / sizeof *families; i++) {
        long got = RAW3(socket, families[i], SOCK_STREAM, 0);
        if (got >= 0) return got;
    }
    return -EACCES;
}
static long raw_pair(void) { return RAW6(socketpair, 2, 1, 0, 0, 0, 0); }
static long new_thread(void) { return RAW1(clone3, 0); }
static long set_handler(void) { return RAW6(rt_sigaction, SIGTERM, 0, 0, 8, 0, 0); }
static long own_ioctl(void) { return RAW3(ioctl, 3, 0x5421, 0); }
static long send_fds(void)
{
    char byte = 0, control[64];
    struct iovec piece = {&byte, 1};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(4)};
    memset(control, 0, sizeof control);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    int fd = 3;
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(4);
    memcpy(CMSG_DATA(head), &fd, 4);
    long worst = -EPERM;
    for (int to = 3; to <= 100; to += to == 9 ? 91 : 1) {
        long got = RAW3(sendmsg, to, &message, 0);
        if (got > 0) worst = got;
    }
    return worst;
}
static long fast_open(void) { return RAW6(sendto, 6, "x", 1, 0x20000000, "\2\0\0\26\177\0\0\1", 16); }
static long read_sibling(void) { return RAW6(process_vm_writev, 1, 0, 0, 0, 0, 0); }
static long priority(void) { return RAW3(setpriority, 0, 1, -5); }
static long memory_file(void) { return RAW3(memfd_create, "x", 0, 0); }
static long ring(void)
{
    char room[256];
    memset(room, 0, sizeof room);
    return RAW3(io_uring_setup, 4, room, 0);
}
static long trace_me(void) { return RAW6(ptrace, PTRACE_TRACEME, 0, 0, 0, 0, 0); }
static long kill_parent(void) { return RAW3(kill, 1, SIGKILL, 0); }
static long kill_all(void) { return RAW3(kill, -1, SIGKILL, 0); }
static long kill_thread(void) { return RAW3(tgkill, 1, 1, SIGKILL); }
static long open_process(void) { return RAW3(pidfd_open, 1, 0, 0); }
static long fork_it(void) { return RAW6(clone, SIGCHLD, 0, 0, 0, 0, 0); }
static long vfork_it(void) { return RAW1(fork, 0); }
static long exec_it(void)
{
    static char path[] = "/bin/sh";
    char *arguments[] = {path, NULL};
    return RAW3(execve, path, arguments, 0);
}
static long exec_fd(void) { return RAW6(execveat, 3, "", 0, 0, AT_EMPTY_PATH, 0); }
static long unshare_it(void) { return RAW1(unshare, CLONE_NEWUSER); }
static long mount_it(void) { return RAW6(mount, "x", "/", "tmpfs", 0, 0, 0); }
static long bpf_it(void) { return RAW3(bpf, 0, 0, 0); }
static long keys(void) { return RAW6(add_key, "user", "x", "y", 1, -2, 0); }
static long connect_it(void) { return RAW3(connect, 6, "\2\0\0\26\177\0\0\1", 16); }
static long bind_it(void) { return RAW3(bind, 6, "\2\0\0\26\177\0\0\1", 16); }
static long filter_it(void) { return RAW3(seccomp, 1, 0, 0); }
static long old_table(void)
{
    long got = 20; /* getpid in the 32-bit table */
    __asm__ volatile("int $0x80" : "+a"(got) : : "memory", "r8", "r9", "r10", "r11");
    return got;
}
static long x32_table(void) { return raw(0x40000000 + 39, 0, 0, 0, 0, 0, 0); }
static long steal_fd(void) { return RAW3(pidfd_getfd, 3, 0, 0); }
static long handle(void) { return RAW3(open_by_handle_at, 3, 0, 0); }
static long read_parent(void)
{
    char room[8];
    struct iovec here = {room, 8}, there = {(void *)0x1000, 8};
    return RAW6(process_vm_readv, 1, &here, 1, &there, 1, 0);
}
static long everything_open(void) /* descriptors beyond the documented ones */
{
    for (int fd = 7; fd < 4096; fd++)
        if (fd != 100 && raw(SYS_fcntl, fd, F_GETFD, 0, 0, 0, 0) >= 0) return fd;
    return raw(SYS_fcntl, 100, F_GETFD, 0, 0, 0, 0) >= 0 ? 100 : -EBADF;
}

struct attack {
    const char *name;
    long (*run)(void);
};
static const struct attack refused_attacks[] = {
    {"open-file", open_file}, {"open-root", open_root}, {"open-again", open_again}, {"open-proc", open_proc},
    {"stat", stat_root}, {"create", create_file}, {"mkdir", make_node}, {"mprotect", protect_code},
    {"pkey-mprotect", protect_key}, {"map-wx", map_wx}, {"map-code", map_code}, {"map-fd-code", map_fd_code},
    {"shmget", shared_memory}, {"mdwe", undo_mdwe}, {"dumpable", dumpable}, {"dup2", duplicate}, {"mark", mark_for_others},
    {"prlimit", raise_limit}, {"socket", any_socket}, {"socketpair", raw_pair}, {"clone3", new_thread},
    {"sigaction", set_handler}, {"ioctl", own_ioctl}, {"send-fds", send_fds}, {"fast-open", fast_open},
    {"setpriority", priority}, {"tgkill", kill_thread}, {"descriptors", everything_open}};
static const struct attack killing_attacks[] = {
    {"process-vm-writev", read_sibling}, {"process-vm-readv", read_parent}, {"memfd", memory_file}, {"io-uring", ring},
    {"ptrace", trace_me}, {"kill", kill_parent}, {"kill-all", kill_all}, {"pidfd-open", open_process},
    {"clone", fork_it}, {"fork", vfork_it}, {"execve", exec_it}, {"execveat", exec_fd}, {"unshare", unshare_it},
    {"mount", mount_it}, {"bpf", bpf_it}, {"add-key", keys}, {"connect", connect_it}, {"bind", bind_it},
    {"seccomp", filter_it}, {"int-80", old_table}, {"x32", x32_table}, {"pidfd-getfd", steal_fd}, {"handle", handle}};
enum { REFUSED_COUNT = sizeof refused_attacks / sizeof *refused_attacks,
       KILLING_COUNT = sizeof killing_attacks / sizeof *killing_attacks };

static inline long attack(const char *name)
{
    for (int i = 0; i < REFUSED_COUNT; i++)
        if (strcmp(refused_attacks[i].name, name) == 0) return refused_attacks[i].run();
    for (int i = 0; i < KILLING_COUNT; i++)
        if (strcmp(killing_attacks[i].name, name) == 0) return killing_attacks[i].run();
    return -ENOENT;
}
