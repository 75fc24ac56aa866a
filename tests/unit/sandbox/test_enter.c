/* SPDX-License-Identifier: Apache-2.0 */
/* Each role confines itself in a child, and the child tries what that role must not be able to do. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
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
    static const enum wall_role roles[] = {WALL_FRONT, WALL_DESK, WALL_LEDGER, WALL_VAULT, WALL_BROKER, WALL_LOADER};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        enum wall_role role = roles[i];
        assert_int_equal(run(role, NULL, 0, no_files), 0);
        assert_int_equal(run(role, NULL, 0, no_code), 0);
        if (role != WALL_BROKER) assert_int_equal(run(role, NULL, 0, no_socket), 0);
        assert_int_equal(run(role, NULL, 0, kill_parent), -SIGSYS);
        assert_int_equal(run(role, NULL, 0, trace), -SIGSYS);
        assert_int_equal(run(role, NULL, 0, read_memory), -SIGSYS);
        assert_int_equal(run(role, NULL, 0, execute), -SIGSYS);
        assert_int_equal(run(role, NULL, 0, ring), -SIGSYS);
        if (role != WALL_BROKER) assert_int_equal(run(role, NULL, 0, connect_somewhere), -SIGSYS);
    }
}

static void broker(void **state)
{
    assert_int_equal(run(WALL_BROKER, NULL, 0, broker_sockets), 0);
    assert_int_equal(run(WALL_BROKER, NULL, 0, broker_cannot_bind), -SIGSYS);
}

static void folders(void **state)
{
    char path[] = "/tmp/caisson-enter-XXXXXX";
    assert_non_null(mkdtemp(path));
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), before = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(openat(folder, "readable", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(fchdir(folder), 0);
    assert_int_equal(run(WALL_LEDGER, &folder, 1, write_here), 0);
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
                                       cmocka_unit_test(folders)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
