/* SPDX-License-Identifier: Apache-2.0 */
/* Shares of connections, and an end for those that never finish a request. */
#include "conns.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"

enum { OVER_EXTRA = 8, OVER_PATIENCE_S = 2, SWEEP_S = 1 };

void conns_init(struct conns *conns)
{
    memset(conns, 0, sizeof *conns);
    pthread_mutex_init(&conns->lock, NULL);
}

/* An IPv6 caller owns its whole /64. */
static uint64_t owner_of(const struct sockaddr *peer, bool *local)
{
    uint64_t owner = 0;
    *local = false;
    if (peer->sa_family == AF_INET) {
        uint32_t address = ntohl(((const struct sockaddr_in *)peer)->sin_addr.s_addr);
        *local = address >> 24 == 127;
        return address;
    }
    if (peer->sa_family == AF_INET6) {
        const struct in6_addr *address = &((const struct sockaddr_in6 *)peer)->sin6_addr;
        bool mapped = IN6_IS_ADDR_V4MAPPED(address);
        *local = IN6_IS_ADDR_LOOPBACK(address) || (mapped && address->s6_addr[12] == 127);
        memcpy(&owner, address->s6_addr + (mapped ? 8 : 0), sizeof owner);
    }
    return owner;
}

static uint64_t uid_of(int fd)
{
    struct ucred peer = {.uid = (uid_t)-1};
    socklen_t size = sizeof peer;
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    return peer.uid;
}

static bool same_owner(const struct conn *one, const struct conn *other)
{
    return one->tcp == other->tcp && one->owner == other->owner;
}

static unsigned owned(const struct conns *conns, const struct conn *like)
{
    unsigned count = 0;
    for (const struct conn *at = conns->first; at; at = at->next) count += same_owner(at, like);
    return count;
}

uint64_t conns_bodies(struct conns *conns, const struct conn *like)
{
    uint64_t bytes = 0;
    pthread_mutex_lock(&conns->lock);
    for (const struct conn *at = conns->first; at; at = at->next)
        if (same_owner(at, like)) bytes += at->body;
    pthread_mutex_unlock(&conns->lock);
    return bytes;
}

struct conn *conn_add(struct conns *conns, int fd, bool tcp, bool tls, const struct sockaddr *peer)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn) return NULL;
    conn->fd = fd;
    conn->tcp = tcp;
    conn->tls = tls;
    conn->owner = tcp && peer ? owner_of(peer, &conn->local) : uid_of(fd);

    pthread_mutex_lock(&conns->lock);
    unsigned count = owned(conns, conn), share = tcp ? conns->per_ip : conns->per_uid;
    bool full = count >= share + OVER_EXTRA || conns->count >= conns->most + OVER_EXTRA;
    conn->over = count >= share || conns->count >= conns->most;
    conn->must_by = clock_now() + (conn->over ? OVER_PATIENCE_S * CLOCK_S : conns->idle);
    conn->next = conns->first;
    if (conn->next) conn->next->before = conn;
    conns->first = conn;
    conns->count++;
    pthread_mutex_unlock(&conns->lock);
    if (full) shutdown(fd, SHUT_RDWR); /* not even a refusal is affordable */
    return conn;
}

void conn_remove(struct conns *conns, struct conn *conn)
{
    pthread_mutex_lock(&conns->lock);
    if (conn->before)
        conn->before->next = conn->next;
    else
        conns->first = conn->next;
    if (conn->next) conn->next->before = conn->before;
    conns->count--;
    pthread_mutex_unlock(&conns->lock);
    /* The ledger holds a duplicate for as long as the other end lives: this tells both that it is over. */
    if (!conn->tcp) shutdown(conn->fd, SHUT_RDWR);
    free(conn);
}

static void set_limit(struct conns *conns, struct conn *conn, uint64_t left)
{
    pthread_mutex_lock(&conns->lock);
    conn->must_by = left ? clock_now() + left : 0;
    pthread_mutex_unlock(&conns->lock);
}

void conn_began(struct conns *conns, struct conn *conn)
{
    set_limit(conns, conn, conn->over ? OVER_PATIENCE_S * CLOCK_S : conns->patience);
}

void conn_whole(struct conns *conns, struct conn *conn)
{
    set_limit(conns, conn, 0);
}

void conn_idle(struct conns *conns, struct conn *conn)
{
    set_limit(conns, conn, conns->idle);
}

uint64_t conns_sweep(struct conns *conns)
{
    uint64_t now = clock_now();
    pthread_mutex_lock(&conns->lock);
    for (struct conn *at = conns->first; at; at = at->next) {
        if (!at->must_by || at->must_by > now) continue;
        at->must_by = 0;
        shutdown(at->fd, SHUT_RDWR);
    }
    bool any = conns->first != NULL;
    pthread_mutex_unlock(&conns->lock);
    return any ? now + SWEEP_S * CLOCK_S : now + 4 * SWEEP_S * CLOCK_S;
}
