/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's own walls, item 55 of the corpus and its neighbours: each forbidden thing is tried by a process that
 * has entered them, and by one that has not, where it must succeed. */
#include "../../unit/base/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/enter.h"

/* How an attempt ended. */
enum end { WORKED, REFUSED, KILLED, ABSENT };

static bool opens(int fd)
{
    return fd >= 0;
}
static bool try_unix(void)
{
    return opens(socket(AF_UNIX, SOCK_STREAM, 0));
}
static bool try_netlink(void)
{
    return opens(socket(AF_NETLINK, SOCK_RAW, 0));
}
static bool try_packet(void)
{
    return opens(socket(AF_PACKET, SOCK_RAW, 0));
}
static bool try_vsock(void)
{
    return opens(socket(AF_VSOCK, SOCK_STREAM, 0));
}
static bool try_alg(void)
{
    return opens(socket(AF_ALG, SOCK_SEQPACKET, 0));
}
static bool try_xdp(void)
{
    return opens(socket(44, SOCK_RAW, 0));
}
static bool try_bluetooth(void)
{
    return opens(socket(AF_BLUETOOTH, SOCK_RAW, 1));
}
static bool try_key(void)
{
    return opens(socket(AF_KEY, SOCK_RAW, 2));
}
static bool try_raw(void)
{
    return opens(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}
static bool try_raw6(void)
{
    return opens(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
}
static bool try_sctp(void)
{
    return opens(socket(AF_INET, SOCK_STREAM, 262 /* MPTCP */));
}
static bool try_datagram_pair(void)
{
    int ends[2];
    return socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0;
}
static bool try_bind(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    return bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&at, sizeof at) == 0;
}
static bool try_listen(void)
{
    return listen(socket(AF_INET, SOCK_STREAM, 0), 1) == 0;
}
static bool try_read_file(void)
{
    return opens(open("/etc/passwd", O_RDONLY));
}
static bool try_write_file(void)
{
    char path[] = "/tmp/caisson-walls-XXXXXX";
    int fd = mkstemp(path);
    if (fd >= 0) unlink(path);
    return fd >= 0;
}
static bool try_fork(void)
{
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    return pid > 0;
}
static bool try_exec(void)
{
    char *argv[] = {(char *)"true", NULL};
    execve("/bin/true", argv, NULL); /* ends with 0 = worked when it works */
    return false;
}
static bool try_signal(void)
{
    return kill(getppid(), 0) == 0;
}
static bool try_trace(void)
{
    return ptrace(PTRACE_TRACEME, 0, 0, 0) == 0;
}
static bool try_memory(void)
{
    static char here[8], there[8];
    struct iovec local = {here, 8}, remote = {there, 8};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 8;
}
static bool try_tcp(void)
{
    return opens(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}
static bool try_tcp6(void)
{
    return opens(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)) || errno == EAFNOSUPPORT;
}
static bool try_udp(void)
{
    return opens(socket(AF_INET, SOCK_DGRAM, 0));
}
static bool try_pair(void)
{
    int ends[2];
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0;
}

static enum end attempt(bool (*run)(void), bool walled)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct err err = {0};
        if (walled && !enter_role(WALL_BROKER, NULL, 0, &err)) _exit(99);
        errno = 0;
        if (run()) _exit(0);
        _exit(errno == EPERM || errno == EACCES ? 1 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status)) return KILLED;
    if (WEXITSTATUS(status) == 99) fail_msg("the walls cannot be entered");
    return WEXITSTATUS(status) == 0 ? WORKED : WEXITSTATUS(status) == 1 ? REFUSED : ABSENT;
}

#define TRY(name)                                                                                                      \
    {                                                                                                                  \
#name, try_##name                                                                                              \
    }
static const struct {
    const char *name;
    bool (*run)(void);
} forbidden[] = {TRY(unix),      TRY(netlink), TRY(packet),    TRY(vsock),      TRY(alg),  TRY(xdp),
                 TRY(bluetooth), TRY(key),     TRY(raw),       TRY(raw6),       TRY(sctp), TRY(datagram_pair),
                 TRY(bind),      TRY(listen),  TRY(read_file), TRY(write_file), TRY(fork), TRY(exec),
                 TRY(signal),    TRY(trace),   TRY(memory)},
  needed[] = {TRY(tcp), TRY(tcp6), TRY(udp), TRY(pair)};

static void test_forbidden(void **state)
{
    unsigned worked = 0;
    for (unsigned i = 0; i < COUNT(forbidden); i++) {
        enum end walled = attempt(forbidden[i].run, true);
        if (walled != REFUSED && walled != KILLED) fail_msg("%s: %d inside the walls", forbidden[i].name, (int)walled);
        worked += attempt(forbidden[i].run, false) == WORKED;
    }
    /* Some kernels lack some families, and some need privilege; the rest does work without the walls. */
    assert_true(worked >= 12);
}

static void test_needed(void **state)
{
    for (unsigned i = 0; i < COUNT(needed); i++)
        if (attempt(needed[i].run, true) != WORKED) fail_msg("%s does not work inside the walls", needed[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forbidden), cmocka_unit_test(test_needed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
