/* SPDX-License-Identifier: Apache-2.0 */
/* A connector that misbehaves on request: each action is one sin (docs: the escape corpus' numbers stand beside).
 * What it got out of it, it answers as {"result", "errno"}, where it lives to tell. */
#include <caisson/connector.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

static int calls_seen;

/* Answers what an attempt returned, and what errno said. */
static int tell(struct csn_call *call, long result)
{
    int cause = errno;
    csn_set_int(call, "/result", result);
    csn_set_int(call, "/errno", result < 0 ? cause : 0);
    return csn_ok(call);
}

static long number(struct csn_call *call, const char *pointer, long otherwise)
{
    int64_t value;
    return csn_int(call, pointer, &value) ? (long)value : otherwise;
}

/* Any system call with numbers, or strings as pointers: {"number", "args": […]}. */
static int syscall_any(struct csn_call *call)
{
    long args[6] = {0};
    for (int i = 0; i < 6; i++) {
        char pointer[32];
        snprintf(pointer, sizeof pointer, "/args/%d", i);
        const char *text = csn_input(call, pointer);
        args[i] = text ? (long)text : number(call, pointer, 0);
    }
    return tell(call, syscall(number(call, "/number", -1), args[0], args[1], args[2], args[3], args[4], args[5]));
}

static int read_file(struct csn_call *call) /* 1, 8 */
{
    return tell(call, open(csn_input(call, "/path"), O_RDONLY));
}

static int trace(struct csn_call *call) /* 12 */
{
    return tell(call, ptrace(PTRACE_TRACEME, 0, 0, 0));
}

static int signal_init(struct csn_call *call) /* 14 */
{
    return tell(call, syscall(SYS_kill, (int)number(call, "/pid", 1), SIGKILL));
}

static int run_shell(struct csn_call *call) /* 23 */
{
    char *argv[] = {(char *)"sh", NULL};
    return tell(call, execve("/bin/sh", argv, argv + 1));
}

static int do_fork(struct csn_call *call) /* 22 */
{
    return tell(call, syscall(SYS_fork));
}

static int uring(struct csn_call *call) /* 25 */
{
    struct io_uring_params params = {0};
    return tell(call, syscall(SYS_io_uring_setup, 8, &params));
}

static int executable_memory(struct csn_call *call) /* 33 */
{
    void *block = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int after = mprotect(block, 4096, PROT_READ | PROT_EXEC);
    int cause = errno;
    void *fresh = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    csn_set_bool(call, "/fresh", fresh != MAP_FAILED);
    errno = cause;
    return tell(call, after);
}

static int open_socket(struct csn_call *call) /* 55 */
{
    static const int families[] = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK, AF_PACKET, 40 /* VSOCK */, 38 /* ALG */};
    long best = -1;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        long fd = syscall(SYS_socket, families[i], SOCK_STREAM, 0);
        if (fd >= 0) best = fd;
    }
    return tell(call, best);
}

static int dial_host(struct csn_call *call) /* 57, 63 */
{
    static int kept = -1;
    char greeting;
    int fd = csn_bool(call, "/reuse") == 1 && kept >= 0
                 ? kept
                 : csn_dial(call, csn_input(call, "/host"), (uint16_t)number(call, "/port", 0));
    kept = fd;
    if (fd >= 0 && csn_bool(call, "/wait") == 1) csn_set_int(call, "/greeted", read(fd, &greeting, 1));
    csn_set(call, "/problem", fd < 0 ? csn_problem(call) : "");
    if (fd >= 0 && csn_input(call, "/say")) {
        if (csn_bool(call, "/quiet") != 1) csn_commit(call);
        csn_set_int(call, "/said", write(fd, csn_input(call, "/say"), strlen(csn_input(call, "/say"))));
    }
    if (csn_bool(call, "/fail") == 1) return csn_fail(call, CSN_RETRY, "as asked");
    return tell(call, fd);
}

static int memory_bomb(struct csn_call *call) /* 88 */
{
    for (long got = 0;; got += 1 << 20) {
        char *block = malloc(1 << 20);
        if (!block) return tell(call, got);
        memset(block, 1, 1 << 20);
    }
}

static int count_calls(struct csn_call *call) /* 97 */
{
    return tell(call, ++calls_seen);
}

/* Looks for a marker in everything this process can read of its own heap and stack. */
static int find_marker(struct csn_call *call) /* 96 */
{
    const char *marker = csn_input(call, "/marker");
    size_t length = strlen(marker);
    char *heap = malloc(1 << 20), *end = heap + (1 << 20) - length;
    long found = 0;
    for (char *at = heap; at < end; at++)
        if (*at == marker[0] && memcmp(at, marker, length) == 0) found++;
    return tell(call, found);
}

static int reply_fd(void);

/* Past the library, which would mask it: a reply frame of its own (sandbox/frames.h). */
static void tell_by_hand(struct csn_call *call, const char *value)
{
    unsigned char frame[8192] = {0, 0, 0, 0, 3, 0, 1, 0};
    unsigned byte, used = 8;
    for (const char *at = csn_call_id(call); *at && used < 24; at++)
        if (*at != '-' && sscanf(at++, "%2x", &byte) == 1) frame[used++] = (unsigned char)byte;
    int length = snprintf((char *)frame + 24, sizeof frame - 24, "{\"class\":\"ok\",\"answer\":{\"value\":\"%s\"}}",
                          value);
    memcpy(frame, &length, sizeof length);
    (void)!write(reply_fd(), frame, 24 + (size_t)length);
    while (poll(NULL, 0, -1) <= 0) continue;
}

static int other_secret(struct csn_call *call) /* 99 */
{
    const char *value = csn_secret(call, csn_input(call, "/field"));
    if (value && csn_bool(call, "/by_hand") == 1) tell_by_hand(call, value);
    csn_set(call, "/value", value ? value : "");
    return tell(call, value ? 1 : 0);
}

/* The write end of the reply pipe: the only descriptor that is write-only. */
static int reply_fd(void)
{
    for (int fd = 0; fd < 64; fd++) {
        int flags = fcntl(fd, F_GETFL);
        if (flags >= 0 && (flags & O_ACCMODE) == O_WRONLY && fd > 2) return fd;
    }
    return -1;
}

static int raw_reply(struct csn_call *call) /* 105–109 */
{
    const void *bytes;
    size_t size;
    if (!csn_blob(call, "/bytes", &bytes, &size)) return csn_fail(call, CSN_BAD_INPUT, "no bytes");
    (void)!write(reply_fd(), bytes, size);
    if (csn_bool(call, "/then_sleep") == 1)
        while (poll(NULL, 0, -1) <= 0) continue;
    return csn_bool(call, "/then_ok") == 1 ? csn_ok(call) : 0;
}

static int two_replies(struct csn_call *call) /* 107 */
{
    csn_ok(call);
    return csn_ok(call);
}

static int no_reply(struct csn_call *call)
{
    (void)call;
    return 0;
}

static int pass_descriptor(struct csn_call *call) /* 117 */
{
    char one = 0;
    long best = -1;
    for (int fd = 3; fd < 32; fd++) {
        union {
            char bytes[CMSG_SPACE(sizeof(int))];
            struct cmsghdr align;
        } control = {{0}};
        struct iovec piece = {&one, 1};
        struct msghdr message = {
            .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &fd, sizeof fd);
        long sent = syscall(SYS_sendmsg, fd, &message, 0);
        if (sent > best) best = sent;
    }
    return tell(call, best);
}

static int leave(struct csn_call *call) /* 119 */
{
    _exit((int)number(call, "/status", 0));
}

static int crash(struct csn_call *call)
{
    (void)call;
    *(volatile int *)8 = 1;
    return 0;
}

static int overflow_stack(struct csn_call *call)
{
    volatile char block[65536];
    block[0] = (char)calls_seen;
    return overflow_stack(call) + block[0];
}

static int abort_now(struct csn_call *call)
{
    (void)call;
    abort();
}

static int spin(struct csn_call *call) /* 89 */
{
    volatile unsigned long turns = 0;
    (void)call;
    while (turns + 1) turns++;
    return 0;
}

static int sleep_long(struct csn_call *call) /* 90 */
{
    long ms = number(call, "/ms", -1);
    do poll(NULL, 0, (int)ms);
    while (ms < 0);
    return tell(call, ms);
}

static int talk(struct csn_call *call) /* 100, 112, 113 */
{
    long times = number(call, "/times", 1);
    for (long i = 0; i < times; i++) csn_log(call, CSN_INFO, csn_input(call, "/text"));
    const char *value = csn_secret(call, "canary");
    if (value) csn_log(call, CSN_INFO, value);
    return tell(call, times);
}

static int fail_as(struct csn_call *call)
{
    return csn_fail(call, (int)number(call, "/status", CSN_RETRY), "as asked");
}

CSN_CONNECTOR("bad", "1.0.0", {"syscall", syscall_any}, {"read-file", read_file}, {"trace", trace},
              {"signal", signal_init}, {"shell", run_shell}, {"fork", do_fork}, {"uring", uring},
              {"exec-memory", executable_memory}, {"socket", open_socket}, {"dial", dial_host}, {"memory", memory_bomb},
              {"count", count_calls}, {"find", find_marker}, {"secret", other_secret}, {"raw-reply", raw_reply},
              {"two-replies", two_replies}, {"no-reply", no_reply}, {"pass-fd", pass_descriptor}, {"leave", leave},
              {"crash", crash}, {"overflow", overflow_stack}, {"abort", abort_now}, {"spin", spin},
              {"token", other_secret}, {"sleep", sleep_long}, {"talk", talk}, {"fail", fail_as});
