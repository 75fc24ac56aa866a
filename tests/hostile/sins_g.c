/* SPDX-License-Identifier: Apache-2.0 */
/* Sins while an object is loaded (escape corpus 104, 107, 115, 122–124, 129). Which one, and from where, stands in the
 * text "choice", which the test writes over in a copy of this object; raw calls, since a resolver runs before anything
 * is bound. */
#include <caisson/connector.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sandbox/frames.h"

enum { FD_CALL = 3, FD_REPLY, FD_SECRET };

/* Place (c constructor, i DT_INIT, f ifunc resolver, t thread-local initialiser, - none), colon, sin. */
static volatile char choice[] = "caisson-choice:-:none                ";
enum { PLACE = 15, SIN = 17 };

static volatile long result, ran;

static long raw(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long value = number;
    __asm__ volatile("syscall"
                     : "+a"(value)
                     : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return value;
}

static int chosen(const char *sin)
{
    const volatile char *at = choice + SIN;
    while (*sin && *at == *sin) at++, sin++;
    return !*sin && *at == ' ';
}

/* ── what may be tried anywhere ──────────────────────────────────────────────────────────────────────── */

static void try_calls(void)
{
    static struct io_uring_params params;
    static const char passwd[] = "/etc/passwd";
    long none = -1;
    if (chosen("hang"))
        for (;;) ran++;
    if (chosen("crash")) *(volatile int *)8 = 1;
    if (chosen("exit")) raw(SYS_exit_group, 0, 0, 0, 0, 0, 0);
    if (chosen("fork")) result = raw(SYS_fork, 0, 0, 0, 0, 0, 0);
    if (chosen("file")) result = raw(SYS_openat, AT_FDCWD, (long)passwd, O_RDONLY, 0, 0, 0);
    if (chosen("ptrace")) result = raw(SYS_ptrace, 0, 0, 0, 0, 0, 0);
    if (chosen("uring")) result = raw(SYS_io_uring_setup, 8, (long)&params, 0, 0, 0, 0);
    if (chosen("code"))
        result = raw(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, none, 0);
    if (chosen("socket")) result = raw(SYS_socket, AF_INET, SOCK_STREAM, 0, 0, 0, 0);
    ran++;
}

/* ── what needs a library that is bound ──────────────────────────────────────────────────────────────── */

static void unload_itself(void)
{
    for (int i = 0; i < 4; i++) {
        void *self = dlopen("/csn/plugin.so", RTLD_NOW | RTLD_NOLOAD);
        if (self) dlclose(self);
        if (self) dlclose(self);
    }
}

static void jump_away(void)
{
    static jmp_buf nowhere;
    memset(nowhere, 0x41, sizeof nowhere);
    longjmp(nowhere, 1);
}

static struct {
    struct frame_head head;
    char body[256];
} answer = {{0, FRAME_REPLY, FRAME_VERSION, {0}}, ""};
static union {
    struct frame_secret frame;
    char bytes[FRAME_SECRET_MAX];
} secret;

static void reply(const char *body)
{
    answer.head.length = (uint32_t)strlen(body);
    memcpy(answer.head.call_id, secret.frame.call_id, sizeof answer.head.call_id);
    memcpy(answer.body, body, strlen(body));
    if (write(FD_REPLY, &answer, sizeof answer.head + answer.head.length) < 0) _exit(1);
    for (;;) nanosleep(&(struct timespec){3600, 0}, NULL);
}

/* The credential pipe before the host's own code reads it; then again, after the vault's end is closed where it does not
 * stay (a lease's does); then the call. */
static void read_early(int closes)
{
    static char input[4096], body[200];
    long first = read(FD_SECRET, &secret, sizeof secret);
    if (closes) poll(&(struct pollfd){.fd = FD_SECRET}, 1, -1);
    fcntl(FD_SECRET, F_SETFL, O_NONBLOCK);
    long again = read(FD_SECRET, input, sizeof input);
    if (again < 0) again = -errno;
    if (first <= 0 || read(FD_CALL, input, sizeof input) <= 0) _exit(1);
    snprintf(body, sizeof body, "{\"class\":\"ok\",\"answer\":{\"fields\":%u,\"again\":%ld}}", secret.frame.field_count,
             again);
    reply(body);
}

/* A reply before the call was read; the input is too large for the stream, so the front is still sending. */
static void reply_early(void)
{
    if (read(FD_SECRET, &secret, sizeof secret) > 0) reply("{\"class\":\"ok\",\"answer\":{\"early\":true}}");
}

static int run(struct csn_call *call);
static struct csn_action actions[] = {{"run", run}};
extern struct csn_connector csn_connector_1;
CSN_EXPORT struct csn_connector csn_connector_1 = {
    CSN_ABI, sizeof(struct csn_connector), sizeof(struct csn_action), 1, "sins-g", "1.0.0", actions};

static void spoil_table(void)
{
    if (chosen("abi")) csn_connector_1.abi = 99;
    if (chosen("size")) csn_connector_1.size = 0;
    if (chosen("count")) csn_connector_1.action_count = 0xffffffff;
    if (chosen("stride")) csn_connector_1.action_size = 1 << 30;
    if (chosen("actions")) csn_connector_1.actions = (const struct csn_action *)8;
    if (chosen("many")) csn_connector_1.action_count = 1000;
    if (chosen("name")) actions[0].name = (const char *)8;
    if (chosen("run")) actions[0].run = (int (*)(struct csn_call *))0x7000; /* aligned, and nothing is there */
}

static void try_bound(void)
{
    if (chosen("dlclose")) unload_itself();
    if (chosen("longjmp")) jump_away();
    if (chosen("read-early")) read_early(1);
    if (chosen("read-early-of-lease")) read_early(0);
    if (chosen("reply-early")) reply_early();
    if (chosen("deaf"))
        for (;;) nanosleep(&(struct timespec){3600, 0}, NULL);
    spoil_table();
}

/* ── places ──────────────────────────────────────────────────────────────────────────────────────────── */

/* What a C++ compiler makes of a thread_local with a constructor: run once a thread, at the first use. */
static __thread int initialised;
static void first_use(void)
{
    if (initialised++ == 0) try_calls();
}

__attribute__((constructor)) static void construct(void)
{
    if (choice[PLACE] == 't') first_use();
    if (choice[PLACE] != 'c') return;
    try_calls();
    try_bound();
}

void sins_init(void);
void sins_init(void)
{
    if (choice[PLACE] == 'i') try_calls();
}

static int resolved(void)
{
    return 7;
}

__attribute__((used)) static int (*resolve(void))(void)
{
    if (choice[PLACE] == 'f') try_calls();
    return resolved;
}
static int by_resolver(void) __attribute__((ifunc("resolve")));

/* ── the action ──────────────────────────────────────────────────────────────────────────────────────── */

static int run(struct csn_call *call)
{
    csn_set_int(call, "/result", result);
    csn_set_int(call, "/ran", ran);
    csn_set_int(call, "/resolved", by_resolver());
    return csn_ok(call);
}

/* A name in the table of strings that the test may write a library's name or a path over. */
CSN_EXPORT int csn_room_for_a_name_that_the_test_writes_over_it_0123456789_0123456789_0123456789(void);
int csn_room_for_a_name_that_the_test_writes_over_it_0123456789_0123456789_0123456789(void)
{
    return (int)ran;
}
