/* SPDX-License-Identifier: Apache-2.0 */
/* The open connections: who holds how many, and by when each must have said what it wants. */
#pragma once

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One connection; used by the one thread that serves it, but for what the list's lock guards. */
struct conn {
    struct conn *next, *before;
    int fd;
    bool tcp, tls, local;  /* local: TCP from this machine */
    bool over;             /* over its owner's share, or over what all may hold: it gets one refusal and is closed */
    uint64_t owner;        /* uid, or a number made from the address */
    uint64_t must_by;      /* guarded: the request must be whole by then; 0 = no limit just now */
    _Atomic uint64_t body; /* bytes of a large body that are held for it now */
    uint32_t principal, epoch; /* the ledger's number, and when it was given (ledger.c); epoch 0: none */
};

struct conns {
    pthread_mutex_t lock;
    struct conn *first;
    unsigned count;
    /* A reload changes these while connections come and go. */
    _Atomic unsigned most, per_uid, per_ip;
    _Atomic uint64_t idle, patience; /* ns: between requests; for a request once begun */
};

void conns_init(struct conns *conns);
/* Notes an accepted connection; NULL when there is no memory. The descriptor stays the caller's. */
struct conn *conn_add(struct conns *conns, int fd, bool tcp, bool tls, const struct sockaddr *peer);
/* Before the descriptor is closed. */
void conn_remove(struct conns *conns, struct conn *conn);
/* Its first bytes came: it has this long for the rest. */
void conn_began(struct conns *conns, struct conn *conn);
/* Its request is whole: it may take as long as the call takes. */
void conn_whole(struct conns *conns, struct conn *conn);
/* Its reply is sent. */
void conn_idle(struct conns *conns, struct conn *conn);
/* Bytes of large bodies that this one's owner holds, over all of its connections. */
uint64_t conns_bodies(struct conns *conns, const struct conn *like);
/* Hangs up on those that are too slow; returns when to look again. */
uint64_t conns_sweep(struct conns *conns);
