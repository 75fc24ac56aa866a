/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's part in a trial: connections to the peers that the developer named, and to nobody else. */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/text.h"
#include "base/wire.h"
#include "sandbox/frames.h"
#include "trial.h"

/* ── the command line ────────────────────────────────────────────────────────────────────────────────── */

/* "host:port"; an IPv6 address stands in brackets. */
static bool parse_place(const char *text, size_t length, char host[FRAME_HOST], uint16_t *port)
{
    char *end;
    const char *colon = memrchr(text, ':', length);
    if (!colon || colon == text) return false;
    bool bracket = text[0] == '[' && colon[-1] == ']';
    size_t name = (size_t)(colon - text) - (bracket ? 2 : 0);
    long number = strtol(colon + 1, &end, 10);
    if (end != text + length || number < 1 || number > 65535 || name == 0 || name >= FRAME_HOST) return false;
    memcpy(host, text + bracket, name);
    host[name] = '\0';
    *port = (uint16_t)number;
    return true;
}

bool peers_parse(const char *text, struct trial_peer *peer)
{
    const char *equals = strchr(text, '=');
    size_t first = equals ? (size_t)(equals - text) : strlen(text);
    const char *to = equals ? equals + 1 : text;
    return parse_place(text, first, peer->host, &peer->port) && parse_place(to, strlen(to), peer->to, &peer->to_port);
}

/* ── connections ─────────────────────────────────────────────────────────────────────────────────────── */

static const struct trial_peer *find_peer(const struct trial *trial, const char *host, uint32_t port)
{
    for (unsigned i = 0; i < trial->words->peer_count; i++) {
        const struct trial_peer *peer = &trial->words->peers[i];
        if (peer->port == port && strcasecmp(peer->host, host) == 0) return peer;
    }
    return NULL;
}

static int connect_to(const struct trial_peer *peer)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all = NULL;
    int fd = -1;
    snprintf(port, sizeof port, "%u", peer->to_port);
    if (getaddrinfo(peer->to, port, &hints, &all) != 0) return -1;
    for (const struct addrinfo *one = all; one && fd < 0; one = one->ai_next) {
        fd = socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0 && connect(fd, one->ai_addr, one->ai_addrlen) < 0) close_fd(&fd);
    }
    freeaddrinfo(all);
    return fd;
}

/* Copies what is there. false: that direction is over. */
static bool copy_once(int from, int to)
{
    char bytes[16384];
    ssize_t got = read(from, bytes, sizeof bytes);
    for (ssize_t done = 0, put; done < got; done += put)
        if ((put = write(to, bytes + done, (size_t)(got - done))) <= 0) return false;
    if (got <= 0) shutdown(to, SHUT_WR);
    return got > 0;
}

static _Noreturn void relay(int a, int b)
{
    struct pollfd both[2] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    while ((both[0].fd >= 0 || both[1].fd >= 0) && poll(both, 2, -1) > 0) {
        if (both[0].revents && !copy_once(a, b)) both[0].fd = -1;
        if (both[1].revents && !copy_once(b, a)) both[1].fd = -1;
    }
    _exit(0);
}

/* The worker's end of a relay to the peer; never the connection itself. */
static int open_relay(const struct trial_peer *peer)
{
    int pair[2];
    FD_AUTO server = connect_to(peer);
    if (server < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) return -1;
    FD_AUTO ours = pair[1];
    pid_t child = fork();
    if (child == 0) {
        close(pair[0]);
        relay(server, ours);
    }
    if (child < 0) close_fd(&pair[0]);
    return pair[0];
}

/* ── what a worker asks ──────────────────────────────────────────────────────────────────────────────── */

static void dial(const struct trial *trial, int egress, const struct egress_request *request)
{
    struct egress_answer answer = {.id = request->id};
    char host[FRAME_HOST];
    snprintf(host, sizeof host, "%.*s", (int)(request->host_length < FRAME_HOST ? request->host_length : 0),
             request->host);
    const struct trial_peer *peer = find_peer(trial, host, request->port);
    FD_AUTO end = peer ? open_relay(peer) : -1;
    if (!peer) {
        answer.status = EGRESS_DENIED;
        snprintf(answer.text, sizeof answer.text, "this trial has no --peer %.200s:%u", host, request->port);
    } else if (end < 0) {
        answer.status = EGRESS_UNREACHABLE;
        snprintf(answer.text, sizeof answer.text, "%.200s:%u cannot be reached", host, request->port);
    }
    struct iovec piece = {&answer, sizeof answer};
    wire_send(egress, &piece, 1, &end, end >= 0);
}

bool peers_answer(const struct trial *trial, int egress)
{
    static struct wire_frame frame;
    struct egress_request request;
    enum wire_got got = wire_take(egress, &frame);
    if (got == WIRE_GONE) return false;
    if (got == WIRE_FRAME && frame.length == sizeof request) {
        memcpy(&request, frame.bytes, sizeof request);
        if (request.type == EGRESS_DIAL) dial(trial, egress, &request);
    }
    if (got == WIRE_FRAME) wire_drop(&frame);
    return true;
}
