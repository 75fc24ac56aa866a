/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite store: where checkpoints are pushed to, which entries that made, and what witnesses signed. */
#include <string.h>

#include "store_push.h"
#include "store_sqlite.h"

/* ── sinks ─────────────────────────────────────────────────────────────────────────────────────────── */

bool store_sink_get(struct store *store, struct store_sink *sink, struct err *err)
{
    static struct query query = {
        STORE_AUDIT, "SELECT size, missed, from_size, to_size, claimed, at FROM sink WHERE name = ?", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "t", sink->name);
    int got = row ? store_step(store, &query, row, err) : -1;
    if (got == 1) {
        sink->size = column_u64(row, 0);
        sink->missed = column_u64(row, 1);
        sink->from = column_u64(row, 2);
        sink->to = column_u64(row, 3);
        sink->claimed = column_u64(row, 4);
        sink->at = column_u64(row, 5);
    }
    store_done(row);
    return got >= 0;
}

bool store_sink_put(struct store *store, const struct store_sink *sink, struct err *err)
{
    static struct query query = {
        STORE_AUDIT,
        "INSERT OR REPLACE INTO sink(name, size, missed, from_size, to_size, claimed, at) VALUES(?,?,?,?,?,?,?)", 0};
    return store_run(store, &query, err, "tiiiiii", sink->name, (int64_t)sink->size, (int64_t)sink->missed,
                     (int64_t)sink->from, (int64_t)sink->to, (int64_t)sink->claimed, (int64_t)sink->at);
}

/* ── entries that pushing made ─────────────────────────────────────────────────────────────────────── */

bool store_push_entry_add(struct store *store, uint64_t index, struct err *err)
{
    static struct query query = {STORE_AUDIT, "INSERT INTO push_entry(idx) VALUES(?)", 0};
    return store_run(store, &query, err, "i", (int64_t)index);
}

bool store_push_entry_has(struct store *store, uint64_t index, bool *made, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT 1 FROM push_entry WHERE idx = ?", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "i", (int64_t)index);
    int got = row ? store_step(store, &query, row, err) : -1;
    store_done(row);
    if (got >= 0) *made = got == 1;
    return got >= 0;
}

bool store_push_entry_drop(struct store *store, uint64_t below, struct err *err)
{
    static struct query query = {STORE_AUDIT, "DELETE FROM push_entry WHERE idx < ?", 0};
    return store_run(store, &query, err, "i", (int64_t)below);
}

bool store_push_news(struct store *store, uint64_t from, uint64_t to, uint64_t *news, struct err *err)
{
    static struct query query = {STORE_AUDIT,
                                 "SELECT idx FROM entry WHERE idx >= ? AND idx < ?"
                                 " AND NOT EXISTS (SELECT 1 FROM push_entry p WHERE p.idx = entry.idx)"
                                 " ORDER BY idx DESC LIMIT 1",
                                 0};
    sqlite3_stmt *row = store_query(store, &query, err, "ii", (int64_t)from, (int64_t)to);
    int got = row ? store_step(store, &query, row, err) : -1;
    if (got >= 0) *news = got ? column_u64(row, 0) + 1 : 0;
    store_done(row);
    return got >= 0;
}

/* ── witnesses ─────────────────────────────────────────────────────────────────────────────────────── */

bool store_cosignature_put(struct store *store, uint64_t size, const char *name, const struct buf *line,
                           struct err *err)
{
    static struct query query = {STORE_AUDIT, "INSERT OR REPLACE INTO cosignature(size, name, line) VALUES(?,?,?)", 0};
    return store_run(store, &query, err, "itb", (int64_t)size, name, line->bytes, line->used);
}

bool store_cosignatures(struct store *store, uint64_t size, struct buf *lines, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT line FROM cosignature WHERE size = ? ORDER BY name", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "i", (int64_t)size);
    int got = row ? 1 : -1;
    bool ok = true;
    while (ok && got == 1 && (got = store_step(store, &query, row, err)) == 1) ok = column_buf(row, 0, lines, err);
    store_done(row);
    return ok && got == 0;
}

bool store_cosigned_last(struct store *store, uint64_t *size, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT size FROM cosignature ORDER BY size DESC LIMIT 1", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "");
    int got = row ? store_step(store, &query, row, err) : -1;
    if (got >= 0) *size = got ? column_u64(row, 0) : 0;
    store_done(row);
    return got >= 0;
}

bool store_checkpoint_at(struct store *store, uint64_t size, struct buf *note, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT note FROM checkpoint WHERE size = ?", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "i", (int64_t)size);
    int got = row ? store_step(store, &query, row, err) : -1;
    bool ok = got == 0 || (got == 1 && column_buf(row, 0, note, err));
    store_done(row);
    return ok;
}
