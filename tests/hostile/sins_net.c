/* SPDX-License-Identifier: Apache-2.0 */
/* A connector that asks the broker for what it must not get (escape corpus 57–69, 76–82): names, addresses, ports,
 * floods, hoarded connections, too many bytes, other names in a ClientHello, redirects, proxies. */
#include "tell.h"

#include <caisson/http.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EGRESS_FD = 6, HOLD = 64, BLOCK = 64 * 1024 };

/* What goes up the egress channel, and comes back: an attacker knows it as well as we do. */
struct ask {
    uint32_t type, id, port, host_length;
    char host[256];
    uint8_t call_id[16];
    uint32_t attempt;
};
struct answer {
    uint32_t id, status;
    char text[248];
};
static const char *const status_names[] = {"ok", "denied", "no-name", "unreachable", "limit", "closed"};
enum { STATUSES = sizeof status_names / sizeof *status_names };

static const char *at(struct csn_call *call, const char *list, int index, const char *member)
{
    char pointer[64];
    snprintf(pointer, sizeof pointer, "/%s/%d/%s", list, index, member);
    return csn_input(call, pointer);
}

static long number_at(struct csn_call *call, const char *list, int index, const char *member, long otherwise)
{
    char pointer[64];
    snprintf(pointer, sizeof pointer, "/%s/%d/%s", list, index, member);
    return number(call, pointer, otherwise);
}

/* Up to size bytes, until the end, or until nothing came for wait milliseconds. */
static long receive(int fd, char *bytes, size_t size, int wait)
{
    size_t got = 0;
    struct pollfd one = {.fd = fd, .events = POLLIN};
    while (got < size && poll(&one, 1, wait) > 0) {
        ssize_t more = read(fd, bytes + got, size - got);
        if (more <= 0) break;
        got += (size_t)more;
    }
    return (long)got;
}

/* ── dials through the SDK ─────────────────────────────────────────────────────────────────────────── */

/* {"dials": [{"host", "port"} …], "say"?}: what stands behind a name says its own name first. */
static int dials(struct csn_call *call)
{
    struct tale tale = {call, 0};
    const char *say = csn_input(call, "/say");
    for (int i = 0; i < csn_count(call, "/dials"); i++) {
        char back[64] = "";
        const char *host = at(call, "dials", i, "host");
        int fd = csn_dial(call, host, (uint16_t)number_at(call, "dials", i, "port", 0));
        if (fd < 0) {
            tell_text(&tale, host, fd, csn_problem(call));
            continue;
        }
        if (say && write(fd, say, strlen(say)) < 0) back[0] = '!';
        long got = receive(fd, back, say && strlen(say) < sizeof back ? strlen(say) : 0, 5000);
        tell_text(&tale, host, got, back);
        close(fd);
    }
    return end(call);
}

/* ── raw requests ──────────────────────────────────────────────────────────────────────────────────── */

static bool send_ask(const void *host, size_t size, uint32_t length, uint32_t port, uint32_t id)
{
    struct ask ask = {.type = 1, .id = id, .port = port, .host_length = length};
    memcpy(ask.host, host, size < sizeof ask.host ? size : sizeof ask.host);
    return send(EGRESS_FD, &ask, sizeof ask, MSG_NOSIGNAL) == sizeof ask;
}

/* The next answer; the descriptor that may come along is closed at once. false: nothing comes any more. */
static bool take_answer(struct answer *answer)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec piece = {answer, sizeof *answer};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    if (recvmsg(EGRESS_FD, &message, 0) != sizeof *answer) return false;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    int fd = -1;
    if (head && head->cmsg_type == SCM_RIGHTS) memcpy(&fd, CMSG_DATA(head), sizeof fd);
    if (fd >= 0) close(fd);
    answer->text[sizeof answer->text - 1] = 0;
    return true;
}

/* {"asks": [{"what", "host" (base64), "length"?, "port"} …]}: result is the broker's status. */
static int raw_dials(struct csn_call *call)
{
    struct tale tale = {call, 0};
    for (int i = 0; i < csn_count(call, "/asks"); i++) {
        char pointer[64];
        const void *host;
        size_t size;
        struct answer answer;
        snprintf(pointer, sizeof pointer, "/asks/%d/host", i);
        if (!csn_blob(call, pointer, &host, &size)) return csn_fail(call, CSN_BAD_INPUT, "no host");
        uint32_t length = (uint32_t)number_at(call, "asks", i, "length", (long)size);
        send_ask(host, size, length, (uint32_t)number_at(call, "asks", i, "port", 0), 1000 + (uint32_t)i);
        bool came = take_answer(&answer);
        tell_text(&tale, at(call, "asks", i, "what"), came ? (long)answer.status : -1, came ? answer.text : "");
    }
    return end(call);
}

/* 76: {"host", "port", "times"}: how often each status came. "deaf": never reads an answer. */
static int flood(struct csn_call *call)
{
    struct tale tale = {call, 0};
    long counts[STATUSES] = {0}, times = number(call, "/times", 10000), sent = 0;
    const char *host = csn_input(call, "/host");
    bool deaf = csn_bool(call, "/deaf") == 1;
    struct answer answer;
    for (; sent < times; sent++) {
        if (!send_ask(host, strlen(host), (uint32_t)strlen(host), (uint32_t)number(call, "/port", 0),
                      (uint32_t)sent + 1))
            break;
        if (deaf) continue;
        if (!take_answer(&answer)) break;
        if (answer.status < STATUSES) counts[answer.status]++;
    }
    tell(&tale, "sent", sent);
    for (int i = 0; i < STATUSES; i++) tell(&tale, status_names[i], counts[i]);
    return end(call);
}

/* ── hoarding, bytes ───────────────────────────────────────────────────────────────────────────────── */

/* 77: {"host", "port", "count"}: opens and never reads; then, with "wait", how many the broker ended by itself. */
static int hold(struct csn_call *call)
{
    struct tale tale = {call, 0};
    int fds[HOLD], open = 0, ended = 0;
    long wanted = number(call, "/count", HOLD);
    for (; open < wanted && open < HOLD; open++) {
        fds[open] = csn_dial(call, csn_input(call, "/host"), (uint16_t)number(call, "/port", 0));
        if (fds[open] < 0) break;
    }
    tell_text(&tale, "open", open, open < wanted ? csn_problem(call) : "");
    if (csn_bool(call, "/wait") == 1) {
        char byte;
        for (int i = 0; i < open; i++)
            ended += receive(fds[i], &byte, 1, csn_left_ms(call) - 500) == 0 &&
                     recv(fds[i], &byte, 1, MSG_DONTWAIT) == 0;
        tell(&tale, "ended", ended);
    }
    return end(call);
}

/* 77: reads whatever comes, for as long as it comes. */
static int drink(struct csn_call *call)
{
    static char bytes[BLOCK];
    int fd = csn_dial(call, csn_input(call, "/host"), (uint16_t)number(call, "/port", 0));
    long got = 0, one;
    struct tale tale = {call, 0};
    while (fd >= 0 && (one = read(fd, bytes, sizeof bytes)) > 0) got += one;
    tell(&tale, "read", fd < 0 ? -1 : got);
    return end(call);
}

/* 78: writes until it may not, at most ten gibibytes. */
static int pour(struct csn_call *call)
{
    static char bytes[BLOCK];
    int fd = csn_dial(call, csn_input(call, "/host"), (uint16_t)number(call, "/port", 0));
    long put = 0, one = 0;
    struct tale tale = {call, 0};
    while (fd >= 0 && put < 10L << 30 && (one = send(fd, bytes, sizeof bytes, MSG_NOSIGNAL)) > 0) put += one;
    tell(&tale, "write", one < 0 ? one : 0);
    tell(&tale, "written", fd < 0 ? -1 : put);
    return end(call);
}

/* 80: {"host", "port", "hello" (base64), "rest" (base64)?}: what comes back for these first bytes. */
static int first_bytes(struct csn_call *call)
{
    struct tale tale = {call, 0};
    char back[8] = "";
    const void *hello = "", *rest = "";
    size_t size = 0, more = 0;
    csn_blob(call, "/hello", &hello, &size);
    csn_blob(call, "/rest", &rest, &more);
    int fd = csn_dial(call, csn_input(call, "/host"), (uint16_t)number(call, "/port", 0));
    tell_text(&tale, "dial", fd < 0 ? fd : 0, fd < 0 ? csn_problem(call) : "");
    if (fd < 0) return end(call);
    long put = size ? send(fd, hello, size, MSG_NOSIGNAL) : 0;
    if (put >= 0 && more) put = send(fd, rest, more, MSG_NOSIGNAL);
    long got = receive(fd, back, 1, 5000);
    tell(&tale, got ? "handshake" : "ended", got ? (unsigned char)back[0] : 0);
    return end(call);
}

/* ── HTTP ──────────────────────────────────────────────────────────────────────────────────────────── */

static void fetch_one(struct csn_call *call, struct tale *tale, const char *what, const char *url, const char *method,
                      const char **location)
{
    struct csn_http_request request = {
        .size = sizeof request, .flags = CSN_HTTP_PLAIN, .method = method, .url = url, .timeout_ms = 5000};
    struct csn_http_response response = {.size = sizeof response};
    int got = csn_http(call, &request, &response);
    tell_text(tale, what, got == 1 ? response.status : got, got == 1 ? "" : csn_problem(call));
    *location = got == 1 ? csn_http_header(&response, "Location") : NULL;
}

/* 69, 81: {"fetches": [{"what", "url", "method"?, "follow"?} …]}: with follow, it goes where it is sent. */
static int fetch(struct csn_call *call)
{
    struct tale tale = {call, 0};
    for (int i = 0; i < csn_count(call, "/fetches"); i++) {
        const char *what = at(call, "fetches", i, "what"), *location;
        char next[512];
        fetch_one(call, &tale, what, at(call, "fetches", i, "url"), at(call, "fetches", i, "method"), &location);
        if (!location || number_at(call, "fetches", i, "follow", 0) != 1) continue;
        snprintf(next, sizeof next, "%s", location);
        fetch_one(call, &tale, "  followed", next, NULL, &location);
    }
    return end(call);
}

/* 81, 82: the same with an environment of the connector's own making. */
static int fetch_with(struct csn_call *call)
{
    char name[64];
    for (int i = 0; i < csn_count(call, "/environment"); i++) {
        const char *variable = csn_key(call, "/environment", i);
        snprintf(name, sizeof name, "/environment/%s", variable);
        setenv(variable, csn_input(call, name), 1);
    }
    return fetch(call);
}

static int rest(struct csn_call *call)
{
    return csn_ok(call);
}

/* One action, so that a lease, which is bound to one, serves them all: {"do": NAME, …}. */
static int net(struct csn_call *call)
{
    static const struct csn_action all[] = {{"dials", dials},
                                            {"raw-dials", raw_dials},
                                            {"flood", flood},
                                            {"hold", hold},
                                            {"drink", drink},
                                            {"pour", pour},
                                            {"first-bytes", first_bytes},
                                            {"fetch", fetch},
                                            {"fetch-with", fetch_with},
                                            {"rest", rest}};
    const char *name = csn_input(call, "/do");
    for (size_t i = 0; name && i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0) return all[i].run(call);
    return csn_fail(call, CSN_BAD_INPUT, "there is no such attempt");
}

CSN_CONNECTOR("sins-net", "1.0.0", {"net", net});
