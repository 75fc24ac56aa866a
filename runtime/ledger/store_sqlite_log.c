/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite store: entries, their details, tiles, checkpoints and signers. */
#include <string.h>

#include "store_sqlite.h"

bool store_log_size(struct store *store, uint64_t *size, uint64_t *last_at, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT idx, ts FROM entry ORDER BY idx DESC LIMIT 1", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "");
    int got = row ? store_step(store, &query, row, err) : -1;
    if (got >= 0) {
        *size = got ? column_u64(row, 0) + 1 : 0;
        *last_at = got ? column_u64(row, 1) : 0;
    }
    store_done(row);
    return got >= 0;
}

bool store_entry_add(struct store *store, const struct store_entry *entry, struct err *err)
{
    static struct query query = {
        STORE_AUDIT, "INSERT INTO entry(idx, ts, kind, call, attempt, workspace, leaf, body) VALUES(?,?,?,?,?,?,?,?)",
        0};
    return store_run(store, &query, err, "iiududhb", (int64_t)entry->index, (int64_t)entry->at, (uint32_t)entry->kind,
                     entry->call, entry->call ? entry->attempt : 0, entry->workspace, entry->leaf, entry->body,
                     entry->length);
}

bool store_detail_add(struct store *store, uint64_t index, const struct store_detail *detail, struct err *err)
{
    static struct query query = {
        STORE_AUDIT, "INSERT INTO detail(n, idx, name, form, salt, subject, value) VALUES(?,?,?,?,?,?,?)", 0};
    bool sealed = detail->subject_count > 0;
    int64_t place = 2 * (int64_t)index + (strcmp(detail->name, "about") == 0);
    return store_run(store, &query, err, "iituhbb", place, (int64_t)index, detail->name, (uint32_t)sealed, detail->salt,
                     sealed ? detail->subjects : NULL, (size_t)detail->subject_count * ID_BYTES, detail->value,
                     detail->length);
}

bool store_detail_get(struct store *store, uint64_t index, const char *name, struct buf *value, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT value FROM detail WHERE n = ? AND form = 0", 0};
    int64_t place = 2 * (int64_t)index + (strcmp(name, "about") == 0);
    sqlite3_stmt *row = store_query(store, &query, err, "i", place);
    int got = row ? store_step(store, &query, row, err) : -1;
    bool ok = got == 0 || (got == 1 && column_buf(row, 0, value, err));
    store_done(row);
    return ok;
}

bool store_detail_sealed(struct store *store, uint64_t index, uint8_t (*subjects)[ID_BYTES], unsigned *count,
                         struct buf *value, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT subject, value FROM detail WHERE n = ? AND form = 1", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "i", 2 * (int64_t)index + 1);
    int got = row ? store_step(store, &query, row, err) : -1;
    bool ok = got >= 0;
    *count = 0;
    if (got == 1) {
        *count = (unsigned)sqlite3_column_bytes(row, 0) / ID_BYTES;
        if (*count == 0 || *count > SUBJECTS_MAX)
            ok = err_set(err, ERR_IO, "a personal detail does not say whose it is");
        else
            column_bytes(row, 0, subjects, (size_t)*count * ID_BYTES);
        ok = ok && (!value || column_buf(row, 1, value, err));
    }
    store_done(row);
    return ok;
}

static void read_entry(sqlite3_stmt *row, struct store_entry *entry)
{
    memset(entry, 0, sizeof *entry);
    entry->index = column_u64(row, 0);
    entry->at = column_u64(row, 1);
    entry->kind = (enum record_kind)sqlite3_column_int(row, 2);
    if (sqlite3_column_bytes(row, 3) == ID_BYTES) entry->call = sqlite3_column_blob(row, 3);
    entry->attempt = column_u32(row, 4);
    if (sqlite3_column_bytes(row, 5) == ID_BYTES) entry->workspace = sqlite3_column_blob(row, 5);
    column_bytes(row, 6, entry->leaf, HASH_BYTES);
    entry->body = sqlite3_column_blob(row, 7);
    entry->length = (size_t)sqlite3_column_bytes(row, 7);
}

static bool each_entry(struct store *store, struct query *query, sqlite3_stmt *row, store_entry_visit *visit,
                       void *context, struct err *err)
{
    int got = row ? 1 : -1;
    while (got == 1 && (got = store_step(store, query, row, err)) == 1) {
        struct store_entry entry;
        read_entry(row, &entry);
        if (!visit(context, &entry)) got = 0;
    }
    store_done(row);
    return got == 0;
}

#define ENTRIES "SELECT idx, ts, kind, call, attempt, workspace, leaf, body FROM entry WHERE "

bool store_entries(struct store *store, uint64_t from, uint64_t count, store_entry_visit *visit, void *context,
                   struct err *err)
{
    static struct query query = {STORE_AUDIT, ENTRIES "idx >= ? ORDER BY idx LIMIT ?", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "ii", (int64_t)from, (int64_t)count);
    return each_entry(store, &query, row, visit, context, err);
}

bool store_admin_entries(struct store *store, store_entry_visit *visit, void *context, struct err *err)
{
    static struct query query = {STORE_AUDIT, ENTRIES "kind = 5 ORDER BY idx", 0};
    return each_entry(store, &query, store_query(store, &query, err, ""), visit, context, err);
}

/* ── tiles ─────────────────────────────────────────────────────────────────────────────────────────── */

bool store_tile_add(struct store *store, unsigned level, uint64_t n, const uint8_t *hashes, struct err *err)
{
    static struct query query = {STORE_AUDIT, "INSERT INTO tile(level, n, hashes) VALUES(?,?,?)", 0};
    return store_run(store, &query, err, "uib", (uint32_t)level, (int64_t)n, hashes, (size_t)TILE_BYTES);
}

bool store_tile(struct store *store, unsigned level, uint64_t n, uint8_t *hashes, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT hashes FROM tile WHERE level = ? AND n = ?", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "ui", (uint32_t)level, (int64_t)n);
    int got = row ? store_step(store, &query, row, err) : -1;
    if (got == 1) column_bytes(row, 0, hashes, TILE_BYTES);
    if (got == 0)
        err_set(err, ERR_AUDIT, "data/audit.db is damaged: tile %u/%llu is missing", level, (unsigned long long)n);
    store_done(row);
    return got == 1;
}

bool store_leaves(struct store *store, uint64_t from, unsigned count, tree_hash *leaves, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT idx, leaf FROM entry WHERE idx >= ? ORDER BY idx LIMIT ?", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "iu", (int64_t)from, (uint32_t)count);
    unsigned have = 0;
    int got = row ? 1 : -1;
    while (got == 1 && (got = store_step(store, &query, row, err)) == 1) {
        if (have == count || column_u64(row, 0) != from + have) break;
        column_bytes(row, 1, leaves[have++], HASH_BYTES);
    }
    store_done(row);
    if (got < 0) return false;
    return have == count || err_set(err, ERR_AUDIT, "data/audit.db is damaged: entry %llu is missing",
                                    (unsigned long long)(from + have));
}

/* ── checkpoints ───────────────────────────────────────────────────────────────────────────────────── */

bool store_checkpoint_add(struct store *store, uint64_t size, const tree_hash root, const struct buf *note, uint64_t at,
                          struct err *err)
{
    static struct query query = {STORE_AUDIT, "INSERT OR REPLACE INTO checkpoint(size, root, note, ts) VALUES(?,?,?,?)",
                                 0};
    return store_run(store, &query, err, "ihbi", (int64_t)size, root, note->bytes, note->used, (int64_t)at);
}

bool store_checkpoint_last(struct store *store, uint64_t *size, tree_hash root, struct buf *note, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT size, root, note FROM checkpoint ORDER BY size DESC LIMIT 1", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "");
    int got = row ? store_step(store, &query, row, err) : -1;
    bool ok = got >= 0;
    if (ok) *size = got ? column_u64(row, 0) : 0;
    if (got == 1) {
        column_bytes(row, 1, root, HASH_BYTES);
        ok = !note || column_buf(row, 2, note, err);
    }
    store_done(row);
    return ok;
}

static void read_signer(sqlite3_stmt *row, struct store_signer *signer)
{
    signer->first_size = column_u64(row, 0);
    column_text(row, 1, signer->vkey, sizeof signer->vkey);
}

bool store_signers(struct store *store, struct store_signer signers[2], unsigned *count, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT first_size, vkey FROM signer ORDER BY first_size DESC LIMIT 2",
                                 0};
    sqlite3_stmt *row = store_query(store, &query, err, "");
    int got = row ? 1 : -1;
    *count = 0;
    while (got == 1 && (got = store_step(store, &query, row, err)) == 1) read_signer(row, &signers[(*count)++]);
    store_done(row);
    return got == 0;
}

bool store_signer_first(struct store *store, struct store_signer *signer, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT first_size, vkey FROM signer ORDER BY first_size LIMIT 1", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "");
    int got = row ? store_step(store, &query, row, err) : -1;
    *signer = (struct store_signer){0};
    if (got == 1) read_signer(row, signer);
    store_done(row);
    return got >= 0;
}

bool store_signer_add(struct store *store, const struct store_signer *signer, struct err *err)
{
    static struct query retire = {STORE_AUDIT, "UPDATE signer SET retired_size = ? WHERE retired_size IS NULL", 0};
    static struct query add = {STORE_AUDIT, "INSERT INTO signer(first_size, vkey) VALUES(?,?)", 0};
    return store_run(store, &retire, err, "i", (int64_t)signer->first_size - 1) &&
           store_run(store, &add, err, "it", (int64_t)signer->first_size, signer->vkey);
}
