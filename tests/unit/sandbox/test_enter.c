/* SPDX-License-Identifier: Apache-2.0 */
/* Each role confines itself in a child, and the child tries what that role must not be able to do. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sandbox/enter.h"

/* In the child, confined: 0 = as it must be. */
typedef int (*trial)(void);

static int run(enum wall_role role, const int *folders, int count, trial try)
{
    pid_t child = fork();
    int status;
    if (child == 0) {
        struct err err = {0};
        if (!enter_role(role, folders, count, &err)) _exit(90);
        _exit(try());
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int no_files(void)
{
    return open("/etc/passwd", O_RDONLY) >= 0 || open("/", O_RDONLY | O_DIRECTORY) >= 0;
}
static int no_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) >= 0 || socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
}
static int no_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED || mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0 ||
           mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}
static int kill_parent(void)
{
    return syscall(SYS_kill, getppid(), 0) == 0;
}
static int trace(void)
{
    return syscall(SYS_ptrace, 0, 0, 0, 0) == 0;
}
static int read_memory(void)
{
    return syscall(SYS_process_vm_readv, 1, 0, 0, 0, 0, 0) >= 0;
}
static int execute(void)
{
    char *none[] = {NULL};
    return execve("/bin/true", none, none);
}
static int ring(void)
{
    return syscall(SYS_io_uring_setup, 1, 0) >= 0;
}
static int connect_somewhere(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = 1, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connect(3, (struct sockaddr *)&to, sizeof to);
}
/* A listener that was shut down is a socket like a new one, and a first byte with FASTOPEN is a connection: what the
 * front must not be able to make out of what it was given. */
static int given, elsewhere_port;
static int connect_by_sending(void)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = (in_port_t)elsewhere_port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char byte = 'x';
    struct iovec piece = {&byte, 1};
    struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &piece, .msg_iovlen = 1};
    if (shutdown(given, SHUT_RD) != 0) return 91;
    if (sendto(given, &byte, 1, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof to) >= 0 || errno != EPERM)
        return 1;
    return sendmsg(given, &message, MSG_FASTOPEN | MSG_NOSIGNAL) >= 0 || errno != EPERM;
}
static int tcp_options(void)
{
    static const int wanted[] = {TCP_NODELAY, TCP_CORK}, unwanted[] = {TCP_FASTOPEN_CONNECT, TCP_ULP, TCP_REPAIR};
    int on = 1;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (setsockopt(given, IPPROTO_TCP, wanted[i], &on, sizeof on) != 0) return 1;
    for (size_t i = 0; i < sizeof unwanted / sizeof *unwanted; i++)
        if (setsockopt(given, IPPROTO_TCP, unwanted[i], &on, sizeof on) == 0 || errno != EPERM) return 2;
    return 0;
}
static int broker_sockets(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd < 0 || socket(AF_UNIX, SOCK_STREAM, 0) >= 0 || socket(AF_NETLINK, SOCK_RAW, 0) >= 0 ||
           socket(AF_PACKET, SOCK_RAW, 0) >= 0;
}
static int broker_cannot_bind(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    return bind(3, (struct sockaddr *)&any, sizeof any) == 0;
}
static int write_here(void)
{
    int fd = openat(AT_FDCWD, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    return fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) != 0 || unlink("file") != 0 || no_files();
}
static int only_read(void)
{
    int fd = openat(AT_FDCWD, "readable", O_RDONLY | O_CLOEXEC);
    return fd < 0 || openat(AT_FDCWD, "file", O_RDWR | O_CREAT | O_CLOEXEC, 0600) >= 0 ||
           openat(AT_FDCWD, "readable", O_WRONLY | O_CLOEXEC) >= 0 || no_files();
}

static void every_listed_role(void **state)
{
    static const enum wall_role roles[] = {WALL_FRONT, WALL_DESK, WALL_LEDGER, WALL_VAULT,
                                           WALL_BROKER, WALL_LOADER, WALL_PROVIDER, WALL_MODULE};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        enum wall_role role = roles[i];
        assert_int_equal(run(role, NULL, 0, no_files), 0);
        assert_int_equal(run(role, NULL, 0, no_code), 0);
        bool outward = role == WALL_BROKER || role == WALL_PROVIDER;
        if (!outward) assert_int_equal(run(role, NULL, 0, no_socket), 0);
        assert_int_equal(run(role, NULL, 0, kill_parent), -SIGSYS);
        assert_int_equal(run(role, NULL, 0, trace), -SIGSYS);
        assert_int_equal(run(role, NULL, 0, read_memory), -SIGSYS);
        assert_int_equal(run(role, NULL, 0, execute), -SIGSYS);
        assert_int_equal(run(role, NULL, 0, ring), -SIGSYS);
        if (!outward) assert_int_equal(run(role, NULL, 0, connect_somewhere), -SIGSYS);
    }
}

static void broker(void **state)
{
    assert_int_equal(run(WALL_BROKER, NULL, 0, broker_sockets), 0);
    assert_int_equal(run(WALL_BROKER, NULL, 0, broker_cannot_bind), -SIGSYS);
    assert_int_equal(run(WALL_PROVIDER, NULL, 0, broker_sockets), 0);
    assert_int_equal(run(WALL_PROVIDER, NULL, 0, broker_cannot_bind), -SIGSYS);
}

static int listener(struct sockaddr_in *at)
{
    socklen_t length = sizeof *at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fd, (struct sockaddr *)at, sizeof *at), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &length), 0);
    return fd;
}

static void given_listener(void **state)
{
    struct sockaddr_in own, other;
    int elsewhere = listener(&other);
    given = listener(&own);
    elsewhere_port = other.sin_port;
    assert_int_equal(run(WALL_FRONT, NULL, 0, tcp_options), 0);
    assert_int_equal(run(WALL_DESK, NULL, 0, tcp_options), 0);
    assert_int_equal(run(WALL_FRONT, NULL, 0, connect_by_sending), 0);
    close(given);
    given = listener(&own);
    assert_int_equal(run(WALL_DESK, NULL, 0, connect_by_sending), 0);
    assert_true(accept(elsewhere, NULL, NULL) < 0 && errno == EAGAIN);
    close(given);
    close(elsewhere);
}

static void folders(void **state)
{
    char path[] = "/tmp/caisson-enter-XXXXXX";
    assert_non_null(mkdtemp(path));
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(openat(folder, "readable", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(fchdir(folder), 0);
    assert_int_equal(run(WALL_LEDGER, &folder, 1, write_here), 0);
    assert_int_equal(run(WALL_MODULE, &folder, 1, write_here), 0);
    assert_int_equal(run(WALL_LOADER, &folder, 1, only_read), 0);
    unlink("readable");
    assert_int_equal(fchdir(before), 0);
    rmdir(path);
    close(folder);
    close(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_listed_role), cmocka_unit_test(broker),
                                       cmocka_unit_test(given_listener), cmocka_unit_test(folders)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
