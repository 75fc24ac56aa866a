/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the test harness among themselves: testing.c (the host), peer.c (the other side), authority.c. */
#ifndef CAISSON_HARNESS_H
#define CAISSON_HARNESS_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One line to standard error, then abort(3): the test itself is wrong. */
_Noreturn void harness_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* authority.c: a server context for host; kind "" valid, "expired", "unknown", or another name to certify. */
struct ssl_ctx_st *authority_context(const char *host, const char *kind);

/* peers.c: the other sides of a test's dials. */
struct peers {
    struct script *scripts; /* in the order they were given */
    struct peer *first;     /* in the order they were dialled */
    struct route *routes;
};
void peers_script(struct peers *, const char *host, uint16_t port, const char *script);
void peers_route(struct peers *, const char *host, uint16_t port, const char *address, uint16_t to);
/* A dial: a connected stream, or -1 with errno and a sentence that stays valid. */
int peers_dial(struct peers *, const char *host, uint16_t port, const char **problem);
/* Waits for every peer to finish with what it was sent; their connections end. */
void peers_join(struct peers *);
/* Forgets the peers, and with all the scripts and routes too. */
void peers_clear(struct peers *, bool all);
/* What a peer read so far: a copy to free, NUL beyond. NULL: no such peer. */
char *peers_seen(struct peers *, int number, size_t *size);
/* The first complaint of a peer, or NULL: a copy to free. */
char *peers_problem(struct peers *);

/* ── between peers.c and peer.c ──*/

struct script {
    struct script *next;
    char *host, *text;
    uint16_t port;
    bool used;
};

struct route {
    struct route *next;
    char *host;
    uint16_t port;
    struct sockaddr_in to;
};

struct peer {
    struct peer *next;
    pthread_t thread;
    pthread_mutex_t lock; /* guards seen and problem */
    struct script *script;
    int fd, server; /* our end; a routed peer's real connection */
    bool joined;
    struct ssl_st *tls;
    char *seen;
    size_t seen_size, seen_room, taken; /* taken: how far the script has read */
    char problem[300];
};

/* Threads' functions; own: a struct peer. */
void *peer_play(void *own);
void *peer_relay(void *own);
/* Reads a script without playing it: harness_wrong at a step that does not exist. */
void peer_check(const char *script);

#endif
