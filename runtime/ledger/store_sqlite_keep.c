/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite store: what is kept how long: holds, prunings, and the write-ahead log cut to nothing. */
#include <string.h>

#include "store_sqlite.h"

/* ── holds ─────────────────────────────────────────────────────────────────────────────────────────── */

#define HOLD_COLUMNS "id, workspace, first, last, reason, created, entry"
/* Does the hold h cover the entry e? Entries of no call are covered with their whole workspace only. */
#define HOLD_COVERS                                                                                                    \
    "h.workspace = e.workspace AND (e.call BETWEEN h.first AND h.last OR"                                              \
    " (e.call IS NULL AND h.first = zeroblob(16)))"

bool store_hold_add(struct store *store, const struct store_hold *hold, struct err *err)
{
    static struct query query = {STORE_AUDIT, "INSERT INTO hold(" HOLD_COLUMNS ") VALUES(?,?,?,?,?,?,?)", 0};
    return store_run(store, &query, err, "ddddtii", hold->id, hold->workspace, hold->first, hold->last, hold->reason,
                     (int64_t)hold->created, (int64_t)hold->entry);
}

static void read_hold(sqlite3_stmt *row, struct store_hold *hold)
{
    memset(hold, 0, sizeof *hold);
    column_bytes(row, 0, hold->id, ID_BYTES);
    column_bytes(row, 1, hold->workspace, ID_BYTES);
    column_bytes(row, 2, hold->first, ID_BYTES);
    column_bytes(row, 3, hold->last, ID_BYTES);
    column_text(row, 4, hold->reason, sizeof hold->reason);
    hold->created = column_u64(row, 5);
    hold->entry = column_u64(row, 6);
}

bool store_hold_get(struct store *store, const uint8_t id[ID_BYTES], struct store_hold *out, bool *found,
                    struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT " HOLD_COLUMNS " FROM hold WHERE id = ?", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "d", id);
    int got = row ? store_step(store, &query, row, err) : -1;
    if (got == 1) read_hold(row, out);
    if (got >= 0) *found = got == 1;
    store_done(row);
    return got >= 0;
}

bool store_hold_remove(struct store *store, const uint8_t id[ID_BYTES], struct err *err)
{
    static struct query query = {STORE_AUDIT, "DELETE FROM hold WHERE id = ?", 0};
    return store_run(store, &query, err, "d", id);
}

bool store_holds(struct store *store, store_hold_visit *visit, void *context, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT " HOLD_COLUMNS " FROM hold ORDER BY created", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "");
    int got = row ? 1 : -1;
    while (got == 1 && (got = store_step(store, &query, row, err)) == 1) {
        struct store_hold hold;
        read_hold(row, &hold);
        if (!visit(context, &hold)) got = 0;
    }
    store_done(row);
    return got == 0;
}

bool store_held_first(struct store *store, uint64_t from, uint64_t to, uint64_t *index, bool *found, struct err *err)
{
    static struct query query = {STORE_AUDIT,
                                 "SELECT e.idx FROM entry e WHERE e.idx >= ? AND e.idx < ? AND"
                                 " EXISTS(SELECT 1 FROM hold h WHERE " HOLD_COVERS ") ORDER BY e.idx LIMIT 1",
                                 0};
    return store_number(store, &query, store_query(store, &query, err, "ii", (int64_t)from, (int64_t)to), index, found,
                        err);
}

/* Whom the calls of an epoch before were about is not known any more: what held any of them then, or holds the whole
 * workspace, holds everybody. */
bool store_held_subject(struct store *store, const uint8_t workspace[ID_BYTES], const uint8_t subject[ID_BYTES],
                        bool *held, struct err *err)
{
    static struct query query = {STORE_AUDIT,
                                 "SELECT 1 FROM hold WHERE workspace = ? AND (entry = -1 OR first = zeroblob(16))"
                                 " UNION ALL SELECT 1 FROM subject_entry s JOIN entry e ON e.idx = s.idx"
                                 " JOIN hold h ON " HOLD_COVERS " WHERE s.subject = ? LIMIT 1",
                                 0};
    uint64_t ignored;
    return store_number(store, &query, store_query(store, &query, err, "dd", workspace, subject), &ignored, held, err);
}

/* ── pruning ───────────────────────────────────────────────────────────────────────────────────────── */

bool store_prune_add(struct store *store, const struct store_prune *prune, struct err *err)
{
    static struct query query = {
        STORE_AUDIT,
        "INSERT INTO prune(entry, hashes, from_idx, to_idx, done, root, archive, ts) VALUES(?,?,?,?,?,?,?,?)", 0};
    return store_run(store, &query, err, "iuiiihhi", (int64_t)prune->entry, (uint32_t)prune->hashes,
                     (int64_t)prune->from, (int64_t)prune->to, (int64_t)prune->done, prune->root, prune->archive,
                     (int64_t)prune->at);
}

bool store_prune_first(struct store *store, struct store_prune *out, bool *found, struct err *err)
{
    static struct query query = {STORE_AUDIT,
                                 "SELECT entry, from_idx, to_idx, done, root, archive, ts, hashes FROM prune"
                                 " WHERE done <= to_idx ORDER BY entry LIMIT 1",
                                 0};
    sqlite3_stmt *row = store_query(store, &query, err, "");
    int got = row ? store_step(store, &query, row, err) : -1;
    if (got == 1) {
        out->entry = column_u64(row, 0);
        out->from = column_u64(row, 1);
        out->to = column_u64(row, 2);
        out->done = column_u64(row, 3);
        column_bytes(row, 4, out->root, HASH_BYTES);
        column_bytes(row, 5, out->archive, HASH_BYTES);
        out->at = column_u64(row, 6);
        out->hashes = column_u64(row, 7) != 0;
    }
    if (got >= 0) *found = got == 1;
    store_done(row);
    return got >= 0;
}

/* Records about the log itself (docs/audit-format.md: erase, prune, key_roll, gap, recover, epoch) stay readable:
 * verifying needs them, and nobody is in them. */
#define KEPT_KINDS "(6, 7, 8, 9, 10, 13)"

bool store_prune_some(struct store *store, const struct store_prune *prune, uint64_t upto, struct err *err)
{
    static struct query bodies = {
        STORE_AUDIT, "UPDATE entry SET body = NULL WHERE idx >= ? AND idx < ? AND kind NOT IN " KEPT_KINDS, 0};
    static struct query details = {STORE_AUDIT,
                                   "DELETE FROM detail WHERE n >= 2 * ? AND n < 2 * ? AND"
                                   " (SELECT kind FROM entry WHERE entry.idx = detail.idx) NOT IN " KEPT_KINDS,
                                   0};
    static struct query payloads = {STORE_AUDIT, "DELETE FROM payload WHERE idx >= ? AND idx < ?", 0};
    /* Whom an answer is about is known by its link: without it no erasure would find it. */
    static struct query answers = {STORE_AUDIT,
                                   "DELETE FROM answer WHERE call IN (SELECT entry.call FROM subject_entry"
                                   " JOIN entry USING (idx) WHERE idx >= ? AND idx < ?)",
                                   0};
    static struct query links = {STORE_AUDIT, "DELETE FROM subject_entry WHERE idx >= ? AND idx < ?", 0};
    int64_t from = (int64_t)prune->done, to = (int64_t)upto;
    _Static_assert(RECORD_ERASE == 6 && RECORD_RECOVER == 10, "the kinds that stay");
    return store_run(store, &bodies, err, "ii", from, to) && store_run(store, &details, err, "ii", from, to) &&
           store_run(store, &payloads, err, "ii", from, to) && store_run(store, &answers, err, "ii", from, to) &&
           store_run(store, &links, err, "ii", from, to) && store_prune_done(store, prune, upto, err);
}

bool store_prune_done(struct store *store, const struct store_prune *prune, uint64_t upto, struct err *err)
{
    static struct query query = {STORE_AUDIT, "UPDATE prune SET done = ? WHERE entry = ?", 0};
    return store_run(store, &query, err, "ii", (int64_t)upto, (int64_t)prune->entry);
}

bool store_stays(struct store *store, uint64_t from, uint64_t to, uint64_t *count, struct err *err)
{
    static struct query query = {STORE_AUDIT,
                                 "SELECT count(*) FROM entry WHERE idx BETWEEN ? AND ? AND kind IN " KEPT_KINDS, 0};
    bool found;
    return store_number(store, &query, store_query(store, &query, err, "ii", (int64_t)from, (int64_t)to), count, &found,
                        err);
}

bool store_hashes_from(struct store *store, uint64_t *index, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT ifnull(max(to_idx) + 1, 0) FROM prune WHERE hashes = 1", 0};
    bool found;
    return store_number(store, &query, store_query(store, &query, err, ""), index, &found, err);
}

bool store_block(struct store *store, uint64_t n, tree_hash root, bool *found, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT root FROM block WHERE n = ?", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "i", (int64_t)n);
    int got = row ? store_step(store, &query, row, err) : -1;
    if (got == 1) column_bytes(row, 0, root, HASH_BYTES);
    if (got >= 0) *found = got == 1;
    store_done(row);
    return got >= 0;
}

bool store_block_rows(struct store *store, uint64_t n, uint64_t *count, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT count(*) FROM entry WHERE idx >= ? AND idx < ?", 0};
    bool found;
    int64_t from = (int64_t)(n * TILE_WIDTH), to = from + TILE_WIDTH;
    return store_number(store, &query, store_query(store, &query, err, "ii", from, to), count, &found, err);
}

/* A tile that is all there is of entries which stay is not dropped. */
bool store_block_drop(struct store *store, uint64_t n, const tree_hash root, struct err *err)
{
    static struct query rows = {STORE_AUDIT, "DELETE FROM entry WHERE idx >= ? AND idx < ? AND body IS NULL", 0};
    static struct query tile = {STORE_AUDIT, "DELETE FROM tile WHERE level = 0 AND n = ?", 0};
    static struct query block = {STORE_AUDIT, "INSERT INTO block(n, root) VALUES(?,?)", 0};
    static struct query notes = {STORE_AUDIT, "DELETE FROM checkpoint WHERE size > ? AND size < ?", 0};
    static struct query lines = {STORE_AUDIT, "DELETE FROM cosignature WHERE size > ? AND size < ?", 0};
    int64_t from = (int64_t)(n * TILE_WIDTH), to = from + TILE_WIDTH;
    uint64_t left;
    if (!store_run(store, &rows, err, "ii", from, to) || !store_block_rows(store, n, &left, err)) return false;
    return left ||
           (store_run(store, &tile, err, "i", (int64_t)n) && store_run(store, &block, err, "ih", (int64_t)n, root) &&
            store_run(store, &notes, err, "ii", from, to) && store_run(store, &lines, err, "ii", from, to));
}

bool store_entry_time(struct store *store, uint64_t index, uint64_t *at, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT ts FROM entry WHERE idx = ?", 0};
    bool found;
    *at = 0;
    return store_number(store, &query, store_query(store, &query, err, "i", (int64_t)index), at, &found, err);
}

bool store_open_first(struct store *store, uint64_t *index, bool *found, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT min(intent) FROM call WHERE state = 0", 0};
    return store_number(store, &query, store_query(store, &query, err, ""), index, found, err);
}

bool store_truncate(struct store *store, enum store_db db, bool *done, struct err *err)
{
    sqlite3_busy_timeout(store->db[db], 0);
    int code = sqlite3_wal_checkpoint_v2(store->db[db], NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    store_quick(store, db);
    *done = code == SQLITE_OK;
    if (code == SQLITE_OK) store->wal_pages[db] = 0;
    bool busy = (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED;
    return code == SQLITE_OK || busy || store_failed(store, db, err);
}
