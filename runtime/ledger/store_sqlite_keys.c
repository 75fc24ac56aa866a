/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite store: master keys, rotations, and the walk over all keys that a rotation wraps anew. */
#include <string.h>

#include "store_rotate.h"
#include "store_sqlite.h"

/* ── what is wrapped under what ────────────────────────────────────────────────────────────────────── */

/* Every column that holds a wrapped key stands here once: a key that is in no row would be lost when the one above it
 * is destroyed. A row of `of_master` is under the master key, the others are under a workspace's key. some:  ?1 the new
 * master key's name or the workspace, ?2 the old version, ?3 and ?4 the cursor, ?5 how many put:   ?1 the new bytes, ?2
 * id, ?3 version, ?4 the old bytes, ?5 the new version left:  ?1, ?2 as in some */
static struct source {
    uint32_t kind;
    bool of_master;
    struct query some, put, left;
} sources[] = {
    {REWRAP_WORKSPACE_KEY,
     true,
     {STORE_VAULT,
      "SELECT workspace, version, wrapped FROM workspace_key WHERE substr(wrapped, 17, 8) <> ?1 AND ?2 >= 0"
      " AND (workspace, version) > (?3, ?4) ORDER BY workspace, version LIMIT ?5",
      0},
     {STORE_VAULT,
      "UPDATE workspace_key SET wrapped = ?1 WHERE workspace = ?2 AND version = ?3 AND wrapped = ?4 AND ?5 >= 0", 0},
     {STORE_VAULT, "SELECT count(*) FROM workspace_key WHERE substr(wrapped, 17, 8) <> ?1 AND ?2 >= 0", 0}},
    {REWRAP_SIGNER,
     true,
     {STORE_VAULT,
      "SELECT id, 0, wrapped, binding FROM signer_key WHERE substr(wrapped, 17, 8) <> ?1 AND ?2 >= 0"
      " AND (id, 0) > (?3, ?4) ORDER BY id LIMIT ?5",
      0},
     {STORE_VAULT,
      "UPDATE signer_key SET wrapped = ?1 WHERE id = ?2 AND ?3 >= 0 AND wrapped = ?4 AND ?5 >= 0", 0},
     {STORE_VAULT, "SELECT count(*) FROM signer_key WHERE substr(wrapped, 17, 8) <> ?1 AND ?2 >= 0", 0}},
    {REWRAP_CREDENTIAL_KEY,
     false,
     {STORE_VAULT,
      "SELECT credential, version, wrapped FROM credential_version WHERE workspace = ?1 AND key_version = ?2"
      " AND (credential, version) > (?3, ?4) ORDER BY credential, version LIMIT ?5",
      0},
     {STORE_VAULT,
      "UPDATE credential_version SET wrapped = ?1, key_version = ?5 WHERE credential = ?2 AND version = ?3"
      " AND wrapped = ?4",
      0},
     {STORE_VAULT, "SELECT count(*) FROM credential_version WHERE workspace = ?1 AND key_version = ?2", 0}},
    {REWRAP_SUBJECT_KEY,
     false,
     {STORE_VAULT,
      "SELECT id, 0, wrapped FROM subject_key WHERE workspace = ?1 AND key_version = printf('%08d', ?2)"
      " AND destroyed = 9223372036854775807 AND (id, 0) > (?3, ?4) ORDER BY id LIMIT ?5",
      0},
     {STORE_VAULT,
      "UPDATE subject_key SET wrapped = ?1, key_version = printf('%08d', ?5) WHERE id = ?2 AND ?3 = 0"
      " AND wrapped = ?4 AND destroyed = 9223372036854775807",
      0},
     {STORE_VAULT,
      "SELECT count(*) FROM subject_key WHERE workspace = ?1 AND key_version = printf('%08d', ?2)"
      " AND destroyed = 9223372036854775807",
      0}},
};
enum { SOURCES = sizeof sources / sizeof *sources };

static bool of_master(const struct store_rotation *rotation)
{
    return strcmp(rotation->job, "master") == 0;
}

static const void *scope(const struct store_rotation *rotation, const uint8_t to[KEY_NAME], size_t *length)
{
    *length = of_master(rotation) ? KEY_NAME : ID_BYTES;
    return of_master(rotation) ? to : rotation->workspace;
}

/* ── master keys ───────────────────────────────────────────────────────────────────────────────────── */

bool store_masters(struct store *store, struct store_master list[MASTERS_MOST], unsigned *count, struct err *err)
{
    static struct query query = {
        STORE_VAULT, "SELECT version, state, name, kcv, created, retired FROM master_key ORDER BY version DESC LIMIT ?",
        0};
    sqlite3_stmt *row = store_query(store, &query, err, "u", (uint32_t)MASTERS_MOST);
    int got = row ? 1 : -1;
    for (*count = 0; got == 1 && (got = store_step(store, &query, row, err)) == 1; ++*count) {
        struct store_master *one = &list[*count];
        *one = (struct store_master){.version = column_u32(row, 0),
                                     .state = column_u32(row, 1),
                                     .created = column_u64(row, 4),
                                     .retired = column_u64(row, 5)};
        column_bytes(row, 2, one->mark.name, KEY_NAME);
        column_bytes(row, 3, one->mark.check, HASH_BYTES);
    }
    store_done(row);
    return got == 0;
}

bool store_master_add(struct store *store, const struct store_master *master, struct err *err)
{
    static struct query query = {
        STORE_VAULT, "INSERT OR REPLACE INTO master_key(version, name, kcv, state, created) VALUES(?,?,?,?,?)", 0};
    return store_run(store, &query, err, "ubhui", master->version, master->mark.name, (size_t)KEY_NAME,
                     master->mark.check, master->state, (int64_t)master->created);
}

bool store_master_count(struct store *store, const uint8_t name[KEY_NAME], bool under, uint64_t *count, struct err *err)
{
    static const uint8_t nobody[KEY_NAME];
    struct store_rotation master = {.job = "master"};
    uint64_t all, others;
    if (!store_batch_left(store, &master, name, &others, err) || !store_batch_left(store, &master, nobody, &all, err))
        return false;
    *count = under ? all - others : others;
    return true;
}

/* ── rotations ─────────────────────────────────────────────────────────────────────────────────────── */

static void read_rotation(sqlite3_stmt *row, struct store_rotation *out)
{
    *out = (struct store_rotation){.step = column_u32(row, 1),
                                   .from = column_u32(row, 4),
                                   .to = column_u32(row, 5),
                                   .done = column_u64(row, 6),
                                   .unreadable = column_u64(row, 7),
                                   .started = column_u64(row, 8)};
    column_text(row, 0, out->job, sizeof out->job);
    column_bytes(row, 2, &out->cursor, sizeof out->cursor);
    column_bytes(row, 3, out->workspace, ID_BYTES);
}

#define ROTATION_COLUMNS "job, step, cursor, workspace, from_version, to_version, done, unreadable, started"

bool store_rotations(struct store *store, store_rotation_visit *visit, void *context, struct err *err)
{
    static struct query query = {STORE_VAULT, "SELECT " ROTATION_COLUMNS " FROM rotation ORDER BY started, job", 0};
    struct store_rotation rotation;
    sqlite3_stmt *row = store_query(store, &query, err, "");
    int got = row ? 1 : -1;
    while (got == 1 && (got = store_step(store, &query, row, err)) == 1) {
        read_rotation(row, &rotation);
        if (!visit(context, &rotation)) break;
    }
    store_done(row);
    return got >= 0;
}

bool store_rotation_get(struct store *store, const char *job, struct store_rotation *out, bool *found, struct err *err)
{
    static struct query query = {STORE_VAULT, "SELECT " ROTATION_COLUMNS " FROM rotation WHERE job = ?", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "t", job);
    int got = row ? store_step(store, &query, row, err) : -1;
    if (got == 1) read_rotation(row, out);
    store_done(row);
    *found = got == 1;
    return got >= 0;
}

bool store_rotation_put(struct store *store, const struct store_rotation *rotation, struct err *err)
{
    static struct query query = {STORE_VAULT,
                                 "INSERT OR REPLACE INTO rotation(" ROTATION_COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?)", 0};
    return store_run(store, &query, err, "tubduuiii", rotation->job, rotation->step, &rotation->cursor,
                     sizeof rotation->cursor, rotation->workspace, rotation->from, rotation->to,
                     (int64_t)rotation->done, (int64_t)rotation->unreadable, (int64_t)rotation->started);
}

static bool remove_rotation(struct store *store, const struct store_rotation *rotation, struct err *err)
{
    static struct query query = {STORE_VAULT, "DELETE FROM rotation WHERE job = ?", 0};
    return store_run(store, &query, err, "t", rotation->job);
}

bool store_master_begin(struct store *store, const struct store_master *next, const struct store_rotation *rotation,
                        struct err *err)
{
    bool ok = vault_begin(store, err) && store_master_add(store, next, err) && store_rotation_put(store, rotation, err);
    return vault_commit(store, ok, err);
}

bool store_master_end(struct store *store, const struct store_rotation *rotation, uint64_t now, struct err *err)
{
    static struct query retire = {STORE_VAULT, "UPDATE master_key SET state = 3, retired = ? WHERE version = ?", 0};
    static struct query use = {STORE_VAULT, "UPDATE master_key SET state = 1 WHERE version = ?", 0};
    bool ok = vault_begin(store, err) && store_run(store, &retire, err, "iu", (int64_t)now, rotation->from) &&
              store_run(store, &use, err, "u", rotation->to) && remove_rotation(store, rotation, err);
    return vault_commit(store, ok, err);
}

bool store_workspace_begin(struct store *store, const struct store_keys *keys, const struct store_rotation *rotation,
                           struct err *err)
{
    bool ok = vault_begin(store, err) && store_keys_add(store, rotation->workspace, keys, err) &&
              store_rotation_put(store, rotation, err);
    return vault_commit(store, ok, err);
}

bool store_workspace_close(struct store *store, const struct store_rotation *rotation, struct err *err)
{
    static struct query query = {STORE_VAULT, "UPDATE workspace_key SET state = 2 WHERE workspace = ? AND version <= ?",
                                 0};
    bool ok = vault_begin(store, err) && store_run(store, &query, err, "du", rotation->workspace, rotation->from) &&
              store_rotation_put(store, rotation, err);
    return vault_commit(store, ok, err);
}

bool store_workspace_end(struct store *store, const struct store_rotation *rotation, struct err *err)
{
    static struct query query = {STORE_VAULT, "DELETE FROM workspace_key WHERE workspace = ? AND state = 2", 0};
    bool ok = vault_begin(store, err) && store_run(store, &query, err, "d", rotation->workspace) &&
              store_rotation_put(store, rotation, err);
    return vault_commit(store, ok, err);
}

bool store_rotation_end(struct store *store, const struct store_rotation *rotation, struct err *err)
{
    return remove_rotation(store, rotation, err);
}

/* ── the walk ──────────────────────────────────────────────────────────────────────────────────────── */

static bool read_batch(struct store *store, struct source *source, sqlite3_stmt *row, uint32_t number,
                       struct store_batch *batch, struct err *err)
{
    int got = row ? 1 : -1;
    while (got == 1 && batch->count < REWRAPS && (got = store_step(store, &source->some, row, err)) == 1) {
        struct rewrap_item *item = &batch->items[batch->count];
        struct store_cursor *at = &batch->at[batch->count++];
        column_bytes(row, 0, item->id, ID_BYTES);
        item->version = column_u32(row, 1);
        column_bytes(row, 2, item->key.bytes, WRAP_BYTES);
        if (sqlite3_column_count(row) > 3) column_bytes(row, 3, item->binding, HASH_BYTES);
        *at = (struct store_cursor){.source = number, .version = item->version};
        memcpy(at->id, item->id, ID_BYTES);
    }
    store_done(row);
    return got >= 0;
}

bool store_batch_get(struct store *store, const struct store_rotation *rotation, const uint8_t to[KEY_NAME],
                     struct store_batch *batch, struct err *err)
{
    size_t length;
    const void *where = scope(rotation, to, &length);
    struct store_cursor from = rotation->cursor;
    memset(batch, 0, sizeof *batch);
    for (uint32_t i = from.source; i < SOURCES && batch->count == 0; i++) {
        if (sources[i].of_master != of_master(rotation)) continue;
        if (i != from.source) from = (struct store_cursor){.source = i};
        batch->kind = sources[i].kind;
        sqlite3_stmt *row = store_query(store, &sources[i].some, err, "buduu", where, length, rotation->from, from.id,
                                        from.version, (uint32_t)REWRAPS);
        if (!read_batch(store, &sources[i], row, i, batch, err)) return false;
    }
    return true;
}

static bool put_one(struct store *store, const struct store_rotation *rotation, const struct store_batch *batch,
                    uint32_t i, const struct wrapped *key, struct err *err)
{
    const struct rewrap_item *item = &batch->items[i];
    return store_run(store, &sources[batch->at[i].source].put, err, "bdubu", key->bytes, (size_t)WRAP_BYTES, item->id,
                     item->version, item->key.bytes, (size_t)WRAP_BYTES, rotation->to);
}

bool store_batch_put(struct store *store, struct store_rotation *rotation, const struct store_batch *batch,
                     const struct msg_rewrap_answer *answer, struct err *err)
{
    struct store_rotation next = *rotation;
    bool ok = vault_begin(store, err);
    for (uint32_t i = 0; ok && i < batch->count; i++) {
        next.cursor = batch->at[i];
        if (answer->kinds[i] != ERR_NONE) {
            next.unreadable++;
            continue;
        }
        ok = put_one(store, rotation, batch, i, &answer->keys[i], err);
        if (ok) next.done += (uint64_t)sqlite3_changes(store->db[STORE_VAULT]);
    }
    ok = vault_commit(store, ok && store_rotation_put(store, &next, err), err);
    memset(store->keys, 0, sizeof store->keys); /* what was read is no longer what stands there */
    if (ok) *rotation = next;
    return ok;
}

bool store_batch_left(struct store *store, const struct store_rotation *rotation, const uint8_t to[KEY_NAME],
                      uint64_t *left, struct err *err)
{
    size_t length;
    uint64_t one;
    bool found;
    const void *where = scope(rotation, to, &length);
    *left = 0;
    for (unsigned i = 0; i < SOURCES; i++) {
        if (sources[i].of_master != of_master(rotation)) continue;
        sqlite3_stmt *row = store_query(store, &sources[i].left, err, "bi", where, length, (int64_t)rotation->from);
        if (!store_number(store, &sources[i].left, row, &one, &found, err)) return false;
        *left += one;
    }
    return true;
}

/* ── what is in the files ──────────────────────────────────────────────────────────────────────────── */

bool store_key_uses(struct store *store, const uint8_t workspace[ID_BYTES], store_key_use_visit *visit, void *context,
                    struct err *err)
{
    static struct query query = {
        STORE_VAULT,
        "SELECT version, state, created, (SELECT count(*) FROM credential_version v WHERE v.workspace = k.workspace"
        " AND v.key_version = k.version) FROM workspace_key k WHERE workspace = ? ORDER BY version DESC",
        0};
    sqlite3_stmt *row = store_query(store, &query, err, "d", workspace);
    int got = row ? 1 : -1;
    while (got == 1 && (got = store_step(store, &query, row, err)) == 1) {
        struct store_key_use use = {.version = column_u32(row, 0),
                                    .state = column_u32(row, 1),
                                    .created = column_u64(row, 2),
                                    .credentials = column_u64(row, 3)};
        if (!visit(context, &use)) break;
    }
    store_done(row);
    return got >= 0;
}
