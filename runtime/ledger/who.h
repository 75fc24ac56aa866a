/* SPDX-License-Identifier: Apache-2.0 */
/* Principals: local connections whose other side the kernel names, until they hang up. */
#pragma once

#include "authorise.h"
#include "runtime/role.h"

enum { PRINCIPALS_MAX = 2048 };
struct principal {
    int fd; /* our duplicate of the accepted connection */
    bool used;
    uint32_t number, index;
    enum role_id owner;        /* who brought it: the desk's are not the front's */
    uint32_t line, generation; /* of the owner's line: gone when that is replaced */
    struct peer peer;
};
struct principals {
    struct principal *rows; /* PRINCIPALS_MAX */
    char front_door[ROLE_SOCKET_NAME], desk_door[ROLE_SOCKET_NAME]; /* what connections are accepted on; "": none is */
    uint32_t serial, count;
    uint64_t sweep_at;
};

bool principals_open(struct principals *principals, struct err *err);
void principals_close(struct role *role, struct principals *principals);
void on_hello(struct role *role, struct role_line *line, const struct role_message *message);
/* NULL: void, or another role's. */
const struct peer *principal_find(const struct principals *principals, uint32_t number, enum role_id owner);
/* The owner's line was replaced: its connections are gone with it. */
void principals_gone(struct role *role, struct principals *principals, enum role_id owner, uint32_t line);
/* Forgets connections that the owner has closed on its side. Returns the next time. */
uint64_t principals_tick(struct role *role, struct principals *principals, uint64_t now);

struct ledger;
/* Who is asking: false = nobody known (ERR_NO_IDENTITY) or the store failed. */
bool caller_resolve(struct ledger *ledger, const struct who *who, enum role_id owner, struct caller *caller,
                    struct err *err);
