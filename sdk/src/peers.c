/* SPDX-License-Identifier: Apache-2.0 */
/* The list of a test's peers: which script or route answers a dial, and how they all end. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "harness.h"

void peers_script(struct peers *peers, const char *host, uint16_t port, const char *text)
{
    struct script *script = calloc(1, sizeof *script), **end = &peers->scripts;
    if (!script) harness_wrong("out of memory");
    *script = (struct script){.host = strdup(host), .port = port, .text = strdup(text)};
    peer_check(text);
    while (*end) end = &(*end)->next;
    *end = script;
}

void peers_route(struct peers *peers, const char *host, uint16_t port, const char *address, uint16_t to)
{
    struct route *route = calloc(1, sizeof *route);
    if (!route) harness_wrong("out of memory");
    *route = (struct route){.next = peers->routes, .host = strdup(host), .port = port};
    route->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(to)};
    if (inet_pton(AF_INET, address, &route->to.sin_addr) != 1) harness_wrong("%s is not an IPv4 address", address);
    peers->routes = route;
}

/* Starts a peer's thread; returns the connector's end. */
static int start(struct peers *peers, struct script *script, int server)
{
    struct peer *peer = calloc(1, sizeof *peer), **end = &peers->first;
    int pair[2];
    if (!peer || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) harness_wrong("no socket pair");
    *peer = (struct peer){.script = script, .fd = pair[1], .server = server};
    pthread_mutex_init(&peer->lock, NULL);
    while (*end) end = &(*end)->next;
    *end = peer;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* a closed connection is an error code in a peer, never a signal */
    if (pthread_create(&peer->thread, NULL, server >= 0 ? peer_relay : peer_play, peer)) harness_wrong("no thread");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pair[0];
}

static int dial_route(struct peers *peers, const struct route *route, const char **problem)
{
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server >= 0 && syscall(SYS_connect, server, &route->to, sizeof route->to) == 0)
        return start(peers, NULL, server);
    int error = errno;
    if (server >= 0) close(server);
    *problem = "the host cannot be reached";
    errno = error;
    return -1;
}

int peers_dial(struct peers *peers, const char *host, uint16_t port, const char **problem)
{
    for (struct script *script = peers->scripts; script; script = script->next) {
        if (script->used || script->port != port || strcmp(script->host, host) != 0) continue;
        script->used = true;
        bool refuse = strncmp(script->text, "refuse", 6) == 0, fail = strncmp(script->text, "fail", 4) == 0;
        if (!refuse && !fail) return start(peers, script, -1);
        *problem = refuse ? "no rule allows this host and port" : "the host cannot be reached";
        errno = refuse ? EACCES : EHOSTUNREACH;
        return -1;
    }
    for (struct route *route = peers->routes; route; route = route->next)
        if (route->port == port && strcmp(route->host, host) == 0) return dial_route(peers, route, problem);
    *problem = "no rule allows this host and port";
    errno = EACCES;
    return -1;
}

/* What was sent before stays readable, so that a peer can finish its script. */
void peers_join(struct peers *peers)
{
    for (struct peer *peer = peers->first; peer; peer = peer->next) {
        if (peer->joined) continue;
        shutdown(peer->fd, SHUT_RDWR);
        pthread_join(peer->thread, NULL);
        peer->joined = true;
        close(peer->fd);
        if (peer->server >= 0) close(peer->server);
    }
}

static void clear_scripts(struct peers *peers)
{
    while (peers->scripts) {
        struct script *script = peers->scripts;
        peers->scripts = script->next;
        free(script->host);
        free(script->text);
        free(script);
    }
    while (peers->routes) {
        struct route *route = peers->routes;
        peers->routes = route->next;
        free(route->host);
        free(route);
    }
}

void peers_clear(struct peers *peers, bool all)
{
    peers_join(peers);
    while (peers->first) {
        struct peer *peer = peers->first;
        peers->first = peer->next;
        pthread_mutex_destroy(&peer->lock);
        free(peer->seen);
        free(peer);
    }
    if (all) clear_scripts(peers);
}

char *peers_seen(struct peers *peers, int number, size_t *size)
{
    struct peer *peer = peers->first;
    for (int i = 0; peer && i < number; i++) peer = peer->next;
    if (!peer) return NULL;
    pthread_mutex_lock(&peer->lock);
    char *copy = malloc(peer->seen_size + 1);
    if (!copy) harness_wrong("out of memory");
    memcpy(copy, peer->seen ? peer->seen : "", peer->seen_size);
    copy[peer->seen_size] = 0;
    *size = peer->seen_size;
    pthread_mutex_unlock(&peer->lock);
    return copy;
}

char *peers_problem(struct peers *peers)
{
    char *problem = NULL;
    for (struct peer *peer = peers->first; peer && !problem; peer = peer->next) {
        pthread_mutex_lock(&peer->lock);
        if (peer->problem[0]) problem = strdup(peer->problem);
        pthread_mutex_unlock(&peer->lock);
    }
    return problem;
}
