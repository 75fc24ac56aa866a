/* SPDX-License-Identifier: Apache-2.0 */
/* Sins against the protocol (escape corpus 105–121): frames that no honest library would write, channels misused,
 * every way to end. */
#include <caisson/connector.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/frames.h"

enum { FD_CALL = 3, FD_REPLY, FD_SECRET, FD_EGRESS, ROOM = 3 << 20 };

static int rows;

static void note(struct csn_call *call, const char *what, long result)
{
    int cause = errno;
    char pointer[32], row[160];
    snprintf(pointer, sizeof pointer, "/attempts/%d", rows++);
    snprintf(row, sizeof row, "{\"what\":\"%s\",\"result\":%ld,\"errno\":%d}", what, result, result < 0 ? cause : 0);
    csn_set_json(call, pointer, row);
}

static void start(struct csn_call *call)
{
    rows = 0;
    csn_set_json(call, "/attempts", "[]");
}

static long number(struct csn_call *call, const char *pointer, long otherwise)
{
    int64_t value;
    return csn_int(call, pointer, &value) ? (long)value : otherwise;
}

static const char *word(struct csn_call *call, const char *pointer)
{
    const char *text = csn_input(call, pointer);
    return text ? text : "";
}

static _Noreturn void sleep_on(void)
{
    for (;;) nanosleep(&(struct timespec){3600, 0}, NULL);
}

/* ── frames made by hand ─────────────────────────────────────────────────────────────────────────────── */

static void own_id(struct csn_call *call, uint8_t id[16])
{
    int used = 0;
    unsigned byte;
    for (const char *at = csn_call_id(call); *at && used < 16; at++) {
        if (*at == '-') continue;
        if (sscanf(at++, "%2x", &byte) == 1) id[used++] = (uint8_t)byte;
    }
}

struct out {
    char *bytes;
    size_t used;
};

static void add(struct out *out, const void *bytes, size_t count)
{
    if (count > ROOM - out->used) count = ROOM - out->used;
    memcpy(out->bytes + out->used, bytes, count);
    out->used += count;
}

/* {"length", "type", "version", "id": "own" | "other"}: a head, true or false. */
static void add_head(struct csn_call *call, const char *part, struct out *out)
{
    char pointer[64];
    struct frame_head head = {0, FRAME_REPLY, FRAME_VERSION, {0}};
    snprintf(pointer, sizeof pointer, "%s/length", part);
    long length = number(call, pointer, -1);
    if (length < 0) return;
    head.length = (uint32_t)length;
    snprintf(pointer, sizeof pointer, "%s/type", part);
    head.type = (uint16_t)number(call, pointer, FRAME_REPLY);
    snprintf(pointer, sizeof pointer, "%s/version", part);
    head.version = (uint16_t)number(call, pointer, FRAME_VERSION);
    snprintf(pointer, sizeof pointer, "%s/id", part);
    if (strcmp(word(call, pointer), "other") == 0)
        memset(head.call_id, 0xee, sizeof head.call_id);
    else
        own_id(call, head.call_id);
    add(out, &head, sizeof head);
}

/* Then a body: "text", "blob" (base64), or "fill" "times" over, {} in it counting up. */
static void add_body(struct csn_call *call, const char *part, struct out *out)
{
    char pointer[64], piece[128];
    const void *bytes;
    size_t size;
    snprintf(pointer, sizeof pointer, "%s/text", part);
    add(out, word(call, pointer), strlen(word(call, pointer)));
    snprintf(pointer, sizeof pointer, "%s/blob", part);
    if (csn_blob(call, pointer, &bytes, &size)) add(out, bytes, size);
    snprintf(pointer, sizeof pointer, "%s/times", part);
    long times = number(call, pointer, 0);
    snprintf(pointer, sizeof pointer, "%s/fill", part);
    const char *fill = word(call, pointer), *hole = strstr(fill, "{}");
    for (long i = 0; i < times; i++) {
        if (hole)
            snprintf(piece, sizeof piece, "%.*s%ld%s", (int)(hole - fill), fill, i, hole + 2);
        else
            snprintf(piece, sizeof piece, "%s", fill);
        add(out, piece, strlen(piece));
    }
}

static int put(const char *bytes, size_t count, int slowly)
{
    while (count) {
        ssize_t done = write(FD_REPLY, bytes, slowly ? 1 : count);
        if (done <= 0) return -1;
        bytes += done;
        count -= (size_t)done;
        if (slowly) nanosleep(&(struct timespec){0, 100 * 1000 * 1000}, NULL);
    }
    return 0;
}

static int finish(struct csn_call *call, const char *how)
{
    if (strcmp(how, "ok") == 0) return csn_ok(call);
    if (strcmp(how, "exit") == 0) _exit(0);
    if (strcmp(how, "sleep") == 0) sleep_on();
    return 0;
}

static int raw(struct csn_call *call)
{
    struct out out = {malloc(ROOM), 0};
    char part[32];
    if (!out.bytes) return csn_fail(call, CSN_RETRY, "no memory");
    for (int i = 0; i < csn_count(call, "/parts"); i++) {
        snprintf(part, sizeof part, "/parts/%d", i);
        add_head(call, part, &out);
        add_body(call, part, &out);
    }
    put(out.bytes, out.used, csn_bool(call, "/slowly") == 1);
    return finish(call, word(call, "/then"));
}

/* ── more than one reply ─────────────────────────────────────────────────────────────────────────────── */

static int twice(struct csn_call *call)
{
    static int second;
    csn_set_int(call, "/earlier", second);
    int first = csn_ok(call);
    second = csn_ok(call);
    return first;
}

/* The first reply has been taken when the second one comes. */
static int late(struct csn_call *call)
{
    static const char body[] = "{\"class\":\"ok\",\"answer\":{\"forged\":true}}";
    struct frame_head head = {sizeof body - 1, FRAME_REPLY, FRAME_VERSION, {0}};
    own_id(call, head.call_id);
    csn_set_bool(call, "/honest", 1);
    csn_ok(call);
    nanosleep(&(struct timespec){0, 30 * 1000 * 1000}, NULL);
    put((const char *)&head, sizeof head, 0);
    put(body, sizeof body - 1, 0);
    return 0;
}

/* ── floods and forged lines ─────────────────────────────────────────────────────────────────────────── */

static int flood(struct csn_call *call)
{
    static char block[4096];
    const char *how = word(call, "/how");
    long times = number(call, "/times", 1);
    memset(block, 'x', sizeof block - 1);
    for (long i = 0; i < times && strcmp(how, "log") == 0; i++) csn_log(call, CSN_INFO, block);
    for (long i = 0; i < times && strcmp(how, "out") == 0; i++)
        if (write(1, block, sizeof block) < 0 || write(2, block, sizeof block) < 0) break;
    return csn_ok(call);
}

static int say(struct csn_call *call)
{
    char pointer[32];
    for (int i = 0; i < csn_count(call, "/lines"); i++) {
        snprintf(pointer, sizeof pointer, "/lines/%d", i);
        csn_log(call, CSN_INFO, word(call, pointer));
    }
    csn_set_json(call, "/echo", csn_json(call, "/answer"));
    return csn_ok(call);
}

/* ── channels ────────────────────────────────────────────────────────────────────────────────────────── */

static int let_go(struct csn_call *call)
{
    const char *how = word(call, "/how");
    struct frame_head head = {100, FRAME_REPLY, FRAME_VERSION, {0}};
    own_id(call, head.call_id);
    if (csn_bool(call, "/half") == 1) put((const char *)&head, sizeof head, 0);
    if (strcmp(how, "reply") == 0) close(FD_REPLY);
    if (strcmp(how, "all") == 0)
        for (int fd = FD_CALL; fd <= FD_EGRESS; fd++) close(fd);
    if (strcmp(how, "shutdown") == 0) {
        start(call);
        note(call, "call", shutdown(FD_CALL, SHUT_RDWR));
        note(call, "egress", shutdown(FD_EGRESS, SHUT_RDWR));
        note(call, "reply", shutdown(FD_REPLY, SHUT_RDWR));
        return csn_ok(call);
    }
    return finish(call, word(call, "/then"));
}

static long send_control(int fd, int type, const void *data, size_t size)
{
    static union {
        char bytes[CMSG_SPACE(254 * sizeof(int))];
        struct cmsghdr align;
    } control;
    char one = 0;
    struct iovec piece = {&one, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE(size)};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = type;
    head->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(head), data, size);
    return syscall(SYS_sendmsg, fd, &message, 0);
}

/* Its own channel in its own channel (a cycle), many, and again; on both sockets, a pair of its own, and the number on
 * which the cell's listener went over. */
static int stuff(struct csn_call *call)
{
    static const struct {
        const char *what;
        int count, fd;
    } tries[] = {{"one", 1, FD_EGRESS},  {"one", 1, FD_EGRESS}, {"many", 253, FD_EGRESS}, {"most", 254, FD_EGRESS},
                 {"stream", 1, FD_CALL}, {"carrier", 1, 100},   {"pair", 1, -1}};
    int fds[254], pair[2] = {-1, -1};
    start(call);
    for (int i = 0; i < 254; i++) fds[i] = FD_EGRESS;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return csn_fail(call, CSN_REJECTED, "no pair");
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        int fd = tries[i].fd < 0 ? pair[0] : tries[i].fd;
        note(call, tries[i].what, send_control(fd, SCM_RIGHTS, fds, (size_t)tries[i].count * sizeof(int)));
    }
    if (csn_bool(call, "/sendmmsg") == 1) syscall(SYS_sendmmsg, FD_EGRESS, NULL, 0, 0);
    return csn_ok(call);
}

static int pretend(struct csn_call *call)
{
    struct {
        int pid;
        unsigned uid, gid;
    } somebody = {1, 0, 0};
    int on = 1;
    start(call);
    note(call, "credentials", send_control(FD_EGRESS, 2 /* SCM_CREDENTIALS */, &somebody, sizeof somebody));
    note(call, "passcred", setsockopt(FD_CALL, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    note(call, "setuid", syscall(SYS_setuid, 0));
    return csn_ok(call);
}

/* ── ends ────────────────────────────────────────────────────────────────────────────────────────────── */

static int zero;

static void fault(const char *how)
{
    if (strcmp(how, "segv") == 0) *(volatile int *)8 = 1;
    if (strcmp(how, "ill") == 0) __asm__ volatile("ud2");
    if (strcmp(how, "trap") == 0) __asm__ volatile("int3");
    if (strcmp(how, "fpe") == 0) zero = 1000 / *(volatile int *)&zero;
    if (strcmp(how, "sys") == 0) syscall(SYS_ptrace, 0, 0, 0, 0);
    if (strcmp(how, "bus") == 0) /* alignment checks on, then a misaligned read */
        __asm__ volatile("pushfq\n orq $0x40000, (%%rsp)\n popfq\n movl 1(%%rsp), %%eax" ::: "rax", "memory", "cc");
}

static int end(struct csn_call *call)
{
    const char *how = word(call, "/how");
    if (strcmp(how, "exit0") == 0) _exit(0);
    if (strcmp(how, "exit1") == 0) exit(1);
    if (strcmp(how, "exit81") == 0) _exit(81); /* what trusted code says when an object does not load */
    csn_log(call, CSN_INFO, "it ran");
    if (strcmp(how, "exit80") == 0) _exit(80); /* likewise, when no call came */
    if (strcmp(how, "exit86") == 0) _exit(86); /* likewise, when the call is not the one that was recorded */
    if (strcmp(how, "abort") == 0) abort();
    if (strcmp(how, "spin") == 0)
        for (volatile unsigned long turns = 0;; turns++) continue;
    fault(how);
    return 0; /* no reply */
}

static int end_after(struct csn_call *call)
{
    csn_set_bool(call, "/honest", 1);
    csn_ok(call);
    fault(word(call, "/how"));
    return 0;
}

static int later(struct csn_call *call)
{
    return csn_fail(call, CSN_RETRY, "come back");
}

static int count(struct csn_call *call)
{
    return csn_ok(call);
}

/* One action for all of them: a lease is bound to an action, and so each mode has one worker that waits. */
static const struct {
    const char *name;
    int (*run)(struct csn_call *);
} sins[] = {{"raw", raw}, {"twice", twice},         {"late", late},   {"flood", flood},
            {"say", say}, {"let-go", let_go},       {"stuff", stuff}, {"pretend", pretend},
            {"end", end}, {"end-after", end_after}, {"later", later}, {"count", count}};

static int perform(struct csn_call *call)
{
    const char *name = csn_input(call, "/do");
    for (size_t i = 0; name && i < sizeof sins / sizeof *sins; i++)
        if (strcmp(sins[i].name, name) == 0) return sins[i].run(call);
    return csn_fail(call, CSN_BAD_INPUT, "there is no such sin");
}

CSN_CONNECTOR("sins-f", "1.0.0", {"do", perform});
