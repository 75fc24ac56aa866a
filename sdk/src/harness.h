/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the test harness among themselves: testing.c (the host), peer.c (the other side), authority.c. */
#ifndef CAISSON_HARNESS_H
#define CAISSON_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One line to standard error, then abort(3): the test itself is wrong. */
_Noreturn void harness_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* authority.c: a server context for host; kind "" valid, "expired", "unknown", or another name to certify. */
struct ssl_ctx_st *authority_context(const char *host, const char *kind);

/* peer.c: the other sides of a test's dials. */
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

#endif
