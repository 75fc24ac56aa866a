/* SPDX-License-Identifier: Apache-2.0 */
/* The store: keys in vault.db that are rotated, and how far a rotation has come. */
#pragma once

#include "store.h"

enum { MASTER_IN_USE = 1, MASTER_NEXT, MASTER_RETIRED, MASTERS_MOST = 64 };
struct store_master {
    uint32_t version, state;
    struct key_mark mark;
    uint64_t created, retired;
};
/* The newest first. */
bool store_masters(struct store *store, struct store_master list[MASTERS_MOST], unsigned *count, struct err *err);
/* Adds it, or replaces the one of that version. */
bool store_master_add(struct store *store, const struct store_master *master, struct err *err);
/* How many keys are under another master key than the one of that name, or, with under, under it. */
bool store_master_count(struct store *store, const uint8_t name[KEY_NAME], bool under, uint64_t *count,
                        struct err *err);

/* A rotation under way. Its steps are listed in rotate.h. */
struct store_cursor {
    uint32_t source, version;
    uint8_t id[32];
};
struct store_rotation {
    char job[64];
    uint32_t step, from, to; /* versions */
    uint8_t workspace[ID_BYTES];
    struct store_cursor cursor;
    uint64_t done, unreadable, started;
};
typedef bool store_rotation_visit(void *context, const struct store_rotation *rotation);
bool store_rotations(struct store *store, store_rotation_visit *visit, void *context, struct err *err);
bool store_rotation_get(struct store *store, const char *job, struct store_rotation *out, bool *found, struct err *err);
bool store_rotation_put(struct store *store, const struct store_rotation *rotation, struct err *err);
/* The next master key and the rotation to it; the next takes over and the rotation ends: one transaction each. */
bool store_master_begin(struct store *store, const struct store_master *next, const struct store_rotation *rotation,
                        struct err *err);
bool store_master_end(struct store *store, const struct store_rotation *rotation, uint64_t now, struct err *err);
/* The workspace's new key and the rotation to it; the old one is not read any more; it is destroyed and the rotation
 * ends. */
bool store_workspace_begin(struct store *store, const struct store_keys *keys, const struct store_rotation *rotation,
                           struct err *err);
bool store_workspace_close(struct store *store, const struct store_rotation *rotation, struct err *err);
bool store_workspace_end(struct store *store, const struct store_rotation *rotation, struct err *err);
bool store_rotation_end(struct store *store, const struct store_rotation *rotation, struct err *err);

/* Keys that a rotation has yet to wrap anew, at most REWRAPS of one kind, from its cursor on. */
struct store_batch {
    uint32_t kind, count;
    struct store_cursor at[REWRAPS]; /* of each */
    struct rewrap_item items[REWRAPS];
};
bool store_batch_get(struct store *store, const struct store_rotation *rotation, const uint8_t to[KEY_NAME],
                     struct store_batch *batch, struct err *err);
/* Puts each key that came back in the place of the one that was read, if that still stands there, and the rotation with
 * it: one transaction. */
bool store_batch_put(struct store *store, struct store_rotation *rotation, const struct store_batch *batch,
                     const struct msg_rewrap_answer *answer, struct err *err);
/* How many keys it has yet to wrap. */
bool store_batch_left(struct store *store, const struct store_rotation *rotation, const uint8_t to[KEY_NAME],
                      uint64_t *left, struct err *err);
/* Versions of a workspace's keys, the newest first, each with the credential versions that are under it. */
struct store_key_use {
    uint32_t version, state;
    uint64_t created, credentials;
};
typedef bool store_key_use_visit(void *context, const struct store_key_use *use);
bool store_key_uses(struct store *store, const uint8_t workspace[ID_BYTES], store_key_use_visit *visit, void *context,
                    struct err *err);
