/* SPDX-License-Identifier: Apache-2.0 */
/* Principals: the front shows a connection once, the kernel says who is behind it, and the number lasts until that
 * connection is gone. */
#include "who.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/clock.h"
#include "ledger.h"
#include "push.h"

enum { INDEX_BITS = 11, SWEEP_S = 5, DESK_SHARE = 256 /* rows that no front can take */ };
_Static_assert(PRINCIPALS_MAX == 1 << INDEX_BITS, "a number holds its row");

bool principals_open(struct principals *principals, struct err *err)
{
    principals->serial = 1;
    principals->rows = calloc(PRINCIPALS_MAX, sizeof *principals->rows);
    if (!principals->rows) return err_set(err, ERR_BUSY, "there is no memory for connections");
    for (uint32_t i = 0; i < PRINCIPALS_MAX; i++) principals->rows[i].index = i;
    return true;
}

static void forget(struct role *role, struct principals *principals, struct principal *one)
{
    role_unwatch(role, one->fd);
    close(one->fd);
    free(one->peer.groups);
    *one = (struct principal){.index = one->index, .fd = -1};
    principals->count--;
}

void principals_close(struct role *role, struct principals *principals)
{
    for (uint32_t i = 0; principals->rows && i < PRINCIPALS_MAX; i++)
        if (principals->rows[i].used) forget(role, principals, &principals->rows[i]);
    free(principals->rows);
    principals->rows = NULL;
}

/* ── hello ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool read_groups(int fd, struct peer *peer)
{
    gid_t *groups = NULL;
    socklen_t size = 0;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) < 0 && errno != ERANGE) return false;
    if (size > PEER_GROUPS * sizeof *groups) return false;
    groups = calloc(1, size + sizeof *groups);
    if (!groups || (size && getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)) {
        free(groups);
        return false;
    }
    peer->groups = groups;
    peer->group_count = (uint32_t)(size / sizeof *groups);
    return true;
}

/* 0 when it has no such option. */
static int option(int fd, int name)
{
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &size) == 0 ? value : 0;
}

/* The kernel names a peer for every unix socket: the parent for the listener and the lines, the runner for a worker's
 * channel, the front itself for a pair of its own. Only what came in by the owner's door says who is calling. */
static bool came_in(const struct principals *principals, int fd, enum role_id owner)
{
    char name[ROLE_SOCKET_NAME];
    const char *door = owner == ROLE_DESK ? principals->desk_door : principals->front_door;
    return option(fd, SO_TYPE) == SOCK_STREAM && option(fd, SO_ACCEPTCONN) == 0 && role_socket_name(fd, name) &&
           *door && strcmp(name, door) == 0;
}

static bool read_peer(int fd, struct peer *peer, struct err *err)
{
    struct ucred who;
    socklen_t who_size = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &who_size) < 0 || !read_groups(fd, peer))
        return err_set(err, ERR_NO_IDENTITY, "the kernel does not say who is calling");
    peer->uid = who.uid;
    peer->groups[peer->group_count++] = who.gid;
    return true;
}

static void hung_up(struct role *role, int fd, uint32_t events, void *context)
{
    struct principal *one = context;
    if (one->used && one->fd == fd) forget(role, &ledger_of(role)->principals, one);
}

static struct principal *free_row(struct principals *principals)
{
    for (uint32_t i = 0; principals->count < PRINCIPALS_MAX && i < PRINCIPALS_MAX; i++) {
        struct principal *one = &principals->rows[(principals->serial + i) % PRINCIPALS_MAX];
        if (!one->used) return one;
    }
    return NULL;
}

static bool add_principal(struct role *role, struct role_line *line, int *fd, uint32_t *number, struct err *err)
{
    struct principals *principals = &ledger_of(role)->principals;
    bool room = line->peer == ROLE_DESK || principals->count < PRINCIPALS_MAX - DESK_SHARE;
    struct principal *one = room ? free_row(principals) : NULL;
    struct peer peer = {0};
    if (!one) return err_set(err, ERR_BUSY, "too many local connections");
    if (!came_in(principals, *fd, line->peer))
        return err_set(err, ERR_NO_IDENTITY, "only a local connection says who is calling: use a token");
    if (!read_peer(*fd, &peer, err)) return false;
    /* No readable or writable events: only the end of both directions. */
    if (!role_watch(role, *fd, 0, hung_up, one)) {
        free(peer.groups);
        return err_set(err, ERR_BUSY, "too many local connections");
    }
    *one = (struct principal){.used = true,
                              .fd = take_fd(fd),
                              .index = one->index,
                              .owner = line->peer,
                              .line = line->index,
                              .generation = line->generation,
                              .peer = peer};
    one->number = principals->serial++ << INDEX_BITS | one->index;
    if (principals->serial << INDEX_BITS == 0) principals->serial = 1;
    principals->count++;
    *number = one->number;
    return true;
}

void on_hello(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct msg_hello_answer answer = {.status = status_ok()};
    struct err err = {0};
    FD_AUTO fd = take_fd(&message->frame->fds[0]);
    if (!add_principal(role, line, &fd, &answer.principal, &err)) status_set(&answer.status, &err);
    role_send(role, line, MSG_HELLO_ANSWER, message->head.seq, &answer, sizeof answer, NULL, 0);
}

/* ── later ─────────────────────────────────────────────────────────────────────────────────────────── */

const struct peer *principal_find(const struct principals *principals, uint32_t number, enum role_id owner)
{
    const struct principal *one = &principals->rows[number % PRINCIPALS_MAX];
    return one->used && one->number == number && one->owner == owner ? &one->peer : NULL;
}

void principals_gone(struct role *role, struct principals *principals, enum role_id owner, uint32_t line)
{
    for (uint32_t i = 0; i < PRINCIPALS_MAX; i++) {
        struct principal *one = &principals->rows[i];
        if (one->used && one->owner == owner && one->line == line) forget(role, principals, one);
    }
}

/* Our duplicate keeps a socket alive that the front has shut down for writing: an empty send tells, and moves nothing.
 */
static bool shut_down(int fd)
{
    struct msghdr nothing = {0};
    return sendmsg(fd, &nothing, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EPIPE;
}

uint64_t principals_tick(struct role *role, struct principals *principals, uint64_t now)
{
    if (now >= principals->sweep_at) {
        principals->sweep_at = now + SWEEP_S * CLOCK_S;
        for (uint32_t i = 0; principals->count && i < PRINCIPALS_MAX; i++) {
            struct principal *one = &principals->rows[i];
            if (one->used && shut_down(one->fd)) forget(role, principals, one);
        }
    }
    return principals->count ? principals->sweep_at : 0;
}

/* ── who is asking ─────────────────────────────────────────────────────────────────────────────────── */

static bool nobody(struct err *err)
{
    return err_set(err, ERR_NO_IDENTITY, "nobody known is calling: use a local socket or a valid token");
}

bool caller_resolve(struct ledger *ledger, const struct who *who, enum role_id owner, struct caller *caller,
                    struct err *err)
{
    bool found = false;
    char id[ID_TEXT];
    *caller = (struct caller){.kind = WHO_NOBODY, .name = "nobody"};
    if (who->kind == WHO_PEER) {
        caller->peer = principal_find(&ledger->principals, who->principal, owner);
        if (!caller->peer) return nobody(err);
        snprintf(caller->name, sizeof caller->name, "uid:%u", caller->peer->uid);
    } else if (who->kind == WHO_TOKEN) {
        if (!ledger->store) return err_set(err, ERR_AUDIT, "the databases cannot be used now");
        if (!store_token_hashed(ledger->store, who->token, &caller->token, &found, err)) return false;
        uint64_t now = clock_wall();
        if (!found || caller->token.revoked || (caller->token.expires && caller->token.expires <= now))
            return nobody(err);
        id_text(caller->token.id, id);
        snprintf(caller->name, sizeof caller->name, "token:%s", id);
    } else if (who->kind == WHO_SYSTEM && owner == ROLE_DESK && push_expects(ledger, who->principal)) {
        snprintf(caller->name, sizeof caller->name, "system:push");
    } else {
        return nobody(err);
    }
    caller->kind = (enum who_kind)who->kind;
    return true;
}
