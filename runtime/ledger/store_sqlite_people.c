/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite store: people that calls are about, their keys, and erasing them. */
#include <string.h>

#include "store_sqlite.h"

enum { ERASE_AT_ONCE = 500 };

/* ── which entries ─────────────────────────────────────────────────────────────────────────────────── */

bool store_subject_entry_add(struct store *store, const uint8_t subject[ID_BYTES], uint64_t index, struct err *err)
{
    static struct query query = {STORE_AUDIT, "INSERT INTO subject_entry(subject, idx) VALUES(?,?)", 0};
    return store_run(store, &query, err, "di", subject, (int64_t)index);
}

bool store_subject_entry_count(struct store *store, const uint8_t subject[ID_BYTES], uint64_t *count, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT count(*) FROM subject_entry WHERE subject = ?", 0};
    bool found;
    return store_number(store, &query, store_query(store, &query, err, "d", subject), count, &found, err);
}

bool store_subject_entry_list(struct store *store, const uint8_t subject[ID_BYTES], int64_t after, uint64_t *list,
                              unsigned room, unsigned *count, struct err *err)
{
    static struct query query = {STORE_AUDIT,
                                 "SELECT idx FROM subject_entry WHERE subject = ? AND idx > ? ORDER BY idx LIMIT ?", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "diu", subject, after, (uint32_t)room);
    int got = row ? 1 : -1;
    *count = 0;
    while (got == 1 && (got = store_step(store, &query, row, err)) == 1)
        if (*count < room) list[(*count)++] = column_u64(row, 0);
    store_done(row);
    return got == 0;
}

/* ── erasing ───────────────────────────────────────────────────────────────────────────────────────── */

bool store_erasing_add(struct store *store, const struct store_erasing *erasing, struct err *err)
{
    static struct query query = {STORE_AUDIT, "INSERT OR REPLACE INTO erasing(subject, workspace, entry) VALUES(?,?,?)",
                                 0};
    return store_run(store, &query, err, "ddi", erasing->subject, erasing->workspace, (int64_t)erasing->entry);
}

bool store_erasing_first(struct store *store, struct store_erasing *out, bool *found, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT subject, workspace, entry FROM erasing ORDER BY entry LIMIT 1",
                                 0};
    sqlite3_stmt *row = store_query(store, &query, err, "");
    int got = row ? store_step(store, &query, row, err) : -1;
    if (got == 1) {
        column_bytes(row, 0, out->subject, ID_BYTES);
        column_bytes(row, 1, out->workspace, ID_BYTES);
        out->entry = column_u64(row, 2);
    }
    if (got >= 0) *found = got == 1;
    store_done(row);
    return got >= 0;
}

bool store_erasing_done(struct store *store, const uint8_t subject[ID_BYTES], struct err *err)
{
    static struct query query = {STORE_AUDIT, "DELETE FROM erasing WHERE subject = ?", 0};
    return store_run(store, &query, err, "d", subject);
}

/* A kept answer of such a call may speak of the person too. */
static bool erase_upto(struct store *store, const uint8_t subject[ID_BYTES], int64_t upto, struct err *err)
{
    static struct query answers = {STORE_AUDIT,
                                   "DELETE FROM answer WHERE rowid IN (SELECT a.rowid FROM subject_entry s"
                                   " JOIN entry e ON e.idx = s.idx JOIN answer a ON a.call = e.call"
                                   " WHERE s.subject = ? AND s.idx <= ?)",
                                   0};
    static struct query details = {STORE_AUDIT,
                                   "DELETE FROM detail WHERE n IN"
                                   " (SELECT 2 * idx + 1 FROM subject_entry WHERE subject = ? AND idx <= ?)",
                                   0};
    static struct query payloads = {STORE_AUDIT,
                                    "DELETE FROM payload WHERE idx IN"
                                    " (SELECT idx FROM subject_entry WHERE subject = ? AND idx <= ?)",
                                    0};
    static struct query links = {STORE_AUDIT, "DELETE FROM subject_entry WHERE subject = ? AND idx <= ?", 0};
    return store_run(store, &answers, err, "di", subject, upto) &&
           store_run(store, &details, err, "di", subject, upto) &&
           store_run(store, &payloads, err, "di", subject, upto) && store_run(store, &links, err, "di", subject, upto);
}

bool store_erase_some(struct store *store, const uint8_t subject[ID_BYTES], bool *left, struct err *err)
{
    uint64_t list[ERASE_AT_ONCE];
    unsigned count;
    if (!store_subject_entry_list(store, subject, -1, list, ERASE_AT_ONCE, &count, err)) return false;
    *left = count == ERASE_AT_ONCE;
    return !count || erase_upto(store, subject, (int64_t)list[count - 1], err);
}

/* ── keys ──────────────────────────────────────────────────────────────────────────────────────────── */

#define NEVER "9223372036854775807" /* as long as an eight-byte time: the row keeps its size */
#define SUBJECT_COLUMNS "id, workspace, reference, CAST(key_version AS INTEGER), wrapped, public, created, destroyed"

bool store_subject_add(struct store *store, const struct store_subject *subject, struct err *err)
{
    static struct query query = {STORE_VAULT,
                                 "INSERT INTO subject_key(id, workspace, reference, key_version, wrapped, public,"
                                 " created, destroyed) VALUES(?,?,?,printf('%08d', ?),?,?,?," NEVER ")",
                                 0};
    return store_run(store, &query, err, "ddhubhi", subject->id, subject->workspace, subject->reference,
                     subject->key_version, subject->secret.bytes, (size_t)WRAP_BYTES, subject->public,
                     (int64_t)subject->created);
}

static bool one_subject(struct store *store, struct query *query, sqlite3_stmt *row, struct store_subject *out,
                        bool *found, struct err *err)
{
    int got = row ? store_step(store, query, row, err) : -1;
    if (got == 1) {
        column_bytes(row, 0, out->id, ID_BYTES);
        column_bytes(row, 1, out->workspace, ID_BYTES);
        column_bytes(row, 2, out->reference, HASH_BYTES);
        out->key_version = column_u32(row, 3);
        column_bytes(row, 4, out->secret.bytes, WRAP_BYTES);
        column_bytes(row, 5, out->public, sizeof out->public);
        out->created = column_u64(row, 6);
        out->destroyed = column_u64(row, 7) == INT64_MAX ? 0 : column_u64(row, 7);
    }
    if (got >= 0) *found = got == 1;
    store_done(row);
    return got >= 0;
}

bool store_subject_referenced(struct store *store, const uint8_t workspace[ID_BYTES],
                              const uint8_t reference[HASH_BYTES], struct store_subject *out, bool *found,
                              struct err *err)
{
    static struct query query = {
        STORE_VAULT,
        "SELECT " SUBJECT_COLUMNS " FROM subject_key WHERE workspace = ? AND reference = ? AND destroyed = " NEVER, 0};
    return one_subject(store, &query, store_query(store, &query, err, "dh", workspace, reference), out, found, err);
}

bool store_subject_get(struct store *store, const uint8_t id[ID_BYTES], struct store_subject *out, bool *found,
                       struct err *err)
{
    static struct query query = {STORE_VAULT, "SELECT " SUBJECT_COLUMNS " FROM subject_key WHERE id = ?", 0};
    return one_subject(store, &query, store_query(store, &query, err, "d", id), out, found, err);
}

/* Zeros of the same length: the bytes are overwritten where they stand. The row stays, and says nothing of who it was.
 */
bool store_subject_destroy(struct store *store, const uint8_t id[ID_BYTES], uint64_t now, struct err *err)
{
    static struct query query = {STORE_VAULT,
                                 "UPDATE subject_key SET wrapped = zeroblob(128), public = zeroblob(32),"
                                 " reference = zeroblob(32), destroyed = ? WHERE id = ? AND destroyed = " NEVER,
                                 0};
    _Static_assert(WRAP_BYTES == 128, "as many zeros as a wrapped key has bytes");
    return store_run(store, &query, err, "id", (int64_t)now, id);
}
