/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what: roles per workspace from [Access], tokens with their scopes, and which right a message needs. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "runtime/messages.h"
#include "store.h"

enum right { RIGHT_VIEW = 1, RIGHT_CALL = 2, RIGHT_OPERATE = 4, RIGHT_ADMIN = 8, RIGHT_AUDIT = 16 };

/* Numbers stand in state.db. */
enum access_role {
    ACCESS_NONE,
    ACCESS_VIEWER,
    ACCESS_INVOKER,
    ACCESS_OPERATOR,
    ACCESS_ADMIN,
    ACCESS_AUDITOR,
    ACCESS_ROLES
};
const char *access_role_name(unsigned role);
/* ACCESS_NONE for a name that nobody knows. */
enum access_role access_role_of(const char *name);
unsigned access_role_rights(unsigned role);

/* A local process, as the kernel names it. */
enum { PEER_GROUPS = 1024 };
struct peer {
    uint32_t uid, group_count;
    uint32_t *groups;
};

struct access_row {
    char workspace[NAME_BYTES]; /* "*": every workspace */
    enum access_role role;
    enum { SUBJECT_ANY, SUBJECT_UID, SUBJECT_GID } subject;
    uint32_t id;
};
struct access {
    struct access_row *rows;
    unsigned count;
};
/* object: {"default": {"admin": ["uid:0"], "invoker": ["gid:1000", "any"]}, "*": …}; NULL: the administrator gave no
 * [Access], and then uid 0 and the daemon's own uid are admin everywhere. */
bool access_read(const json_t *object, struct access *access, struct err *err);
void access_clear(struct access *access);
unsigned access_rights(const struct access *access, const struct peer *peer, const char *workspace);

/* Who is asking, once it is known. */
struct caller {
    enum who_kind kind;
    char name[ID_TEXT + 8]; /* "uid:1000", "token:ID" */
    const struct peer *peer;
    struct store_token token;
};
/* The rights of a caller in a workspace. now: wall clock, for the token's expiry. */
unsigned caller_rights(const struct access *access, const struct caller *caller,
                       const struct store_workspace *workspace, uint64_t now);
/* Does a token's scope cover this? Peers have no scope. action NULL: any. */
bool caller_covers(const struct caller *caller, const char *connector, const char *action);
/* A token for some connectors or actions only: it administers nothing beyond them. */
bool caller_is_narrow(const struct caller *caller);

/* The right that a query needs (0: none), and in which workspace: the one it names, always "default", or that of the
 * object it names by id (then its handler asks). */
enum right_where { IN_NAMED, IN_SYSTEM, IN_OBJECT };
struct message_right {
    unsigned right;
    enum right_where where;
};
struct message_right message_right(unsigned type);
