/* SPDX-License-Identifier: Apache-2.0 */
/* Reaches for the network past the broker (escape corpus 70–75, 83–87), with raw system calls. Input: "host"
 * and "port" of a relay to work on, "state" to bring it into, "other" a port on 127.0.0.2 that no rule allows, "path"
 * a unix socket that listens. */
#include "sins.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
enum { CALL_FD = 3, REPLY_FD = 4, EGRESS_FD = 6 };

/* The relay of this call, opened when the first attempt needs it. */
static int relay(struct csn_call *call)
{
    static char whose[64];
    static int fd;
    const char *state = csn_input(call, "/state");
    struct pollfd gone = {.events = POLLIN};
    if (strcmp(whose, csn_call_id(call)) == 0) return fd;
    snprintf(whose, sizeof whose, "%s", csn_call_id(call));
    fd = csn_dial(call, csn_input(call, "/host"), (uint16_t)sins_number(call, "/port", 0));
    gone.fd = fd;
    if (fd < 0) sins_note(call, "no relay: %s", csn_problem(call));
    if (fd >= 0 && state && strcmp(state, "half-closed") == 0) shutdown(fd, SHUT_WR);
    if (fd >= 0 && state && strcmp(state, "reset") == 0) poll(&gone, 1, 2000);
    return fd;
}

static long open_relay(struct csn_call *call)
{
    return relay(call) < 0 ? -errno : 0;
}

/* ── addresses ─────────────────────────────────────────────────────────────────────────────────────── */

static struct sockaddr_in elsewhere(struct csn_call *call)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)sins_number(call, "/other", 1))};
    to.sin_addr.s_addr = htonl(0x7f000002);
    return to;
}

static long connect_unix(int fd, const char *name, bool abstract)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path + abstract, sizeof to.sun_path - abstract, "%s", name);
    return RAW3(connect, fd, &to, offsetof(struct sockaddr_un, sun_path) + abstract + strlen(name));
}

static long connect_path(struct csn_call *call)
{
    return connect_unix(EGRESS_FD, csn_input(call, "/path"), false);
}

static long connect_abstract(struct csn_call *call)
{
    return connect_unix(EGRESS_FD, csn_input(call, "/path"), true);
}

/* ── 71, 72: what a relay could be turned into ─────────────────────────────────────────────────────── */

static long connect_elsewhere(struct csn_call *call)
{
    struct sockaddr_in to = elsewhere(call);
    return RAW3(connect, relay(call), &to, sizeof to);
}

static long connect_unspec(struct csn_call *call)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    long first = RAW3(connect, relay(call), &none, sizeof none);
    return first < 0 ? first : connect_elsewhere(call);
}

static long bind_any(struct csn_call *call)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    return RAW3(bind, relay(call), &at, sizeof at);
}

static long listen_on(struct csn_call *call)
{
    return RAW2(listen, relay(call), 5);
}

static long accept_on(struct csn_call *call)
{
    return RAW3(accept, relay(call), NULL, NULL);
}

static long accept4_on(struct csn_call *call)
{
    return RAW4(accept4, relay(call), NULL, NULL, 0);
}

/* ── 73, 74: sends that would connect ──────────────────────────────────────────────────────────────── */

static long send_to(struct csn_call *call, int fd, int flags)
{
    struct sockaddr_in to = elsewhere(call);
    return RAW6(sendto, fd, "x", 1, flags | MSG_NOSIGNAL, &to, sizeof to);
}

static long send_message(struct csn_call *call, int fd, int flags)
{
    struct sockaddr_in to = elsewhere(call);
    char byte = 'x';
    struct iovec piece = {&byte, 1};
    struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &piece, .msg_iovlen = 1};
    return RAW3(sendmsg, fd, &message, flags | MSG_NOSIGNAL);
}

static long fastopen(struct csn_call *call)
{
    return send_to(call, relay(call), MSG_FASTOPEN);
}

static long fastopen_bare(struct csn_call *call)
{
    return RAW6(sendto, relay(call), "x", 1, MSG_FASTOPEN | MSG_NOSIGNAL, NULL, 0);
}

static long fastopen_message(struct csn_call *call)
{
    return send_message(call, relay(call), MSG_FASTOPEN);
}

static long send_relay(struct csn_call *call)
{
    return send_to(call, relay(call), 0);
}

static long send_call(struct csn_call *call)
{
    return send_to(call, CALL_FD, 0);
}

static long send_pipe(struct csn_call *call)
{
    return send_to(call, REPLY_FD, 0);
}

static long send_egress(struct csn_call *call)
{
    return send_to(call, EGRESS_FD, 0);
}

static long message_egress(struct csn_call *call)
{
    return send_message(call, EGRESS_FD, 0);
}

static long send_unmapped(struct csn_call *call)
{
    return RAW6(sendto, relay(call), "x", 1, 0, 0x1000, 0x7fffffff);
}

/* ── 75: options ───────────────────────────────────────────────────────────────────────────────────── */

#define OPTION(name_, level, option)                                                                                   \
    static long name_(struct csn_call *call)                                                                           \
    {                                                                                                                  \
        char value[32] = "lo";                                                                                         \
        return RAW5(setsockopt, relay(call), level, option, value, sizeof value);                                      \
    }
OPTION(bind_to_device, SOL_SOCKET, SO_BINDTODEVICE)
OPTION(mark, SOL_SOCKET, SO_MARK)
OPTION(attach_filter, SOL_SOCKET, SO_ATTACH_FILTER)
OPTION(attach_bpf, SOL_SOCKET, SO_ATTACH_BPF)
OPTION(pass_credentials, SOL_SOCKET, SO_PASSCRED)
OPTION(send_buffer_force, SOL_SOCKET, SO_SNDBUFFORCE)
OPTION(tcp_repair, IPPROTO_TCP, TCP_REPAIR)
OPTION(tcp_ulp, IPPROTO_TCP, TCP_ULP)
OPTION(tcp_congestion, IPPROTO_TCP, TCP_CONGESTION)
OPTION(tcp_fastopen_connect, IPPROTO_TCP, TCP_FASTOPEN_CONNECT)
OPTION(ip_options, IPPROTO_IP, IP_OPTIONS)
OPTION(ip_transparent, IPPROTO_IP, IP_TRANSPARENT)

/* ── 83–87: where connect is asked of a supervisor ─────────────────────────────────────────────────── */

/* The thread that would rewrite an address while it is being looked at. */
static long make_thread(struct csn_call *call)
{
    static char stack[16384] __attribute__((aligned(16)));
    (void)call;
    long made = RAW5(clone, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM,
                     stack + sizeof stack, 0, 0, 0);
    if (made == 0)
        for (;;) continue;
    return made;
}

static long make_thread3(struct csn_call *call)
{
    struct clone_args args = {.flags = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD};
    (void)call;
    return RAW2(clone3, &args, sizeof args);
}

/* The process whose number could be met again. */
static long make_process(struct csn_call *call)
{
    (void)call;
    long made = RAW5(clone, 17 /* SIGCHLD */, 0, 0, 0, 0);
    if (made == 0) _exit(0);
    return made;
}

/* Ends in the middle of a notification: killed for its attempts while one of them waits for its answer. */
static long die_notified(struct csn_call *call)
{
    (void)call;
    for (int i = 0; i < 200; i++) RAW3(dup3, CALL_FD, 40, 0);
    return 0;
}

static long connect_empty(struct csn_call *call)
{
    struct sockaddr_in to = elsewhere(call);
    return RAW3(connect, relay(call), &to, 0);
}

static long connect_huge(struct csn_call *call)
{
    struct sockaddr_in to = elsewhere(call);
    return RAW3(connect, relay(call), &to, 0x7fffffff);
}

static long connect_unmapped(struct csn_call *call)
{
    return RAW3(connect, relay(call), 0x1000, sizeof(struct sockaddr_in));
}

static long connect_misaligned(struct csn_call *call)
{
    char bytes[sizeof(struct sockaddr_in) + 1];
    struct sockaddr_in to = elsewhere(call);
    memcpy(bytes + 1, &to, sizeof to);
    return RAW3(connect, relay(call), bytes + 1, sizeof to);
}

static long connect_unterminated(struct csn_call *call)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    (void)call;
    memset(to.sun_path, 'x', sizeof to.sun_path);
    return RAW3(connect, EGRESS_FD, &to, sizeof to);
}

static long connect_pipe(struct csn_call *call)
{
    struct sockaddr_in to = elsewhere(call);
    return RAW3(connect, REPLY_FD, &to, sizeof to);
}

static long connect_channel(struct csn_call *call)
{
    struct sockaddr_in to = elsewhere(call);
    return RAW3(connect, CALL_FD, &to, sizeof to);
}

static long swap_channel(struct csn_call *call)
{
    return RAW2(dup2, relay(call), CALL_FD);
}

static long swap_egress(struct csn_call *call)
{
    return RAW3(dup3, CALL_FD, EGRESS_FD, 0);
}

static long ring_setup(struct csn_call *call)
{
    struct io_uring_params params = {0};
    (void)call;
    return RAW2(io_uring_setup, 8, &params);
}

static long ring_enter(struct csn_call *call)
{
    return RAW6(io_uring_enter, relay(call), 1, 0, 0, NULL, 0);
}

static long ring_register(struct csn_call *call)
{
    return RAW4(io_uring_register, relay(call), 0, NULL, 0);
}

static long send_many(struct csn_call *call)
{
    struct sockaddr_in to = elsewhere(call);
    char byte = 'x';
    struct iovec piece = {&byte, 1};
    struct {
        struct msghdr head;
        unsigned length;
    } message = {{.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &piece, .msg_iovlen = 1}, 0};
    return RAW4(sendmmsg, relay(call), &message, 1, 0);
}

/* ── the tables ────────────────────────────────────────────────────────────────────────────────────── */

static const struct sin relays[] = {{"relay", open_relay},
                                    {"connect-path", connect_path},
                                    {"connect-abstract", connect_abstract},
                                    {"connect-unspec", connect_unspec},
                                    {"connect-elsewhere", connect_elsewhere},
                                    {"bind", bind_any},
                                    {"listen", listen_on},
                                    {"accept", accept_on},
                                    {"accept4", accept4_on},
                                    {"fastopen", fastopen},
                                    {"fastopen-bare", fastopen_bare},
                                    {"fastopen-message", fastopen_message},
                                    {"send-relay", send_relay},
                                    {"send-call", send_call},
                                    {"send-pipe", send_pipe},
                                    {"send-egress", send_egress},
                                    {"message-egress", message_egress},
                                    {"send-unmapped", send_unmapped},
                                    {"bind-to-device", bind_to_device},
                                    {"mark", mark},
                                    {"attach-filter", attach_filter},
                                    {"attach-bpf", attach_bpf},
                                    {"pass-credentials", pass_credentials},
                                    {"send-buffer-force", send_buffer_force},
                                    {"tcp-repair", tcp_repair},
                                    {"tcp-ulp", tcp_ulp},
                                    {"tcp-congestion", tcp_congestion},
                                    {"tcp-fastopen-connect", tcp_fastopen_connect},
                                    {"ip-options", ip_options},
                                    {"ip-transparent", ip_transparent},
                                    {0}};

static const struct sin supervisors[] = {{"thread", make_thread},
                                         {"thread3", make_thread3},
                                         {"process", make_process},
                                         {"die-notified", die_notified},
                                         {"connect-empty", connect_empty},
                                         {"connect-huge", connect_huge},
                                         {"connect-unmapped", connect_unmapped},
                                         {"connect-misaligned", connect_misaligned},
                                         {"connect-unterminated", connect_unterminated},
                                         {"connect-pipe", connect_pipe},
                                         {"connect-channel", connect_channel},
                                         {"swap-channel", swap_channel},
                                         {"swap-egress", swap_egress},
                                         {"ring-setup", ring_setup},
                                         {"ring-enter", ring_enter},
                                         {"ring-register", ring_register},
                                         {"send-many", send_many},
                                         {0}};

const struct sin *const sin_tables[] = {relays, supervisors, NULL};
CSN_CONNECTOR("sins-relay", "1.0.0", {"try", sins_try});
