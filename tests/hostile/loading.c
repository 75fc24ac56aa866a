/* SPDX-License-Identifier: Apache-2.0 */
/* Connectors that misbehave while they are loaded; SIN chooses how (escape corpus 122, 123, 129). */
#include <caisson/connector.h>

#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HANG 1
#define CRASH 2
#define LEAVE 3
#define FORK 4
#define TRACE 5
#define URING 6
#define READ 7
#define WRONG_ABI 8
#define NO_SYMBOL 9
#define EXEC_MEMORY 10
#define SOCKET 11

static int got_something;

__attribute__((constructor)) static void misbehave(void)
{
#if SIN == HANG
    for (;;) got_something ^= 1;
#elif SIN == CRASH
    *(volatile int *)8 = 1;
#elif SIN == LEAVE
    _exit(0);
#elif SIN == FORK
    got_something = syscall(SYS_fork) >= 0;
#elif SIN == TRACE
    got_something = ptrace(PTRACE_TRACEME, 0, 0, 0) == 0;
#elif SIN == URING
    struct io_uring_params params = {0};
    got_something = syscall(SYS_io_uring_setup, 8, &params) >= 0;
#elif SIN == READ
    got_something = open("/etc/passwd", O_RDONLY) >= 0;
#elif SIN == EXEC_MEMORY
    got_something = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
#elif SIN == SOCKET
    got_something = syscall(SYS_socket, AF_INET, SOCK_STREAM, 0) >= 0;
#endif
}

static int run(struct csn_call *call)
{
    csn_set_int(call, "/result", got_something);
    return csn_ok(call);
}

#if SIN == NO_SYMBOL
CSN_EXPORT int (*caisson_nothing_here)(struct csn_call *) = run;
#elif SIN == WRONG_ABI
static const struct csn_action actions[] = {{"run", run}};
CSN_EXPORT const struct csn_connector csn_connector_1 = {99, sizeof(struct csn_connector), sizeof(struct csn_action), 1, NAME, "1.0.0", actions};
#else
CSN_CONNECTOR(NAME, "1.0.0", {"run", run});
#endif
