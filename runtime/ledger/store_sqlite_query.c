/* SPDX-License-Identifier: Apache-2.0 */
/* Statements of the SQLite store: prepared once, bound by a format, stepped; and what a failure is called. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "store_sqlite.h"

static const char *const file_names[STORE_DBS] = {"audit.db", "state.db", "vault.db"};

static bool describe(struct store *store, enum store_db db, int code, struct err *err)
{
    int plain = code & 0xff;
    enum err_kind kind = db == STORE_AUDIT ? ERR_AUDIT : ERR_IO;
    if (plain == SQLITE_CORRUPT || plain == SQLITE_NOTADB)
        return err_set(err, kind,
                       "data/%s is damaged (%s): stop the daemon, keep a copy of the file, and put back a backup",
                       file_names[db], sqlite3_errstr(code));
    if (plain == SQLITE_CONSTRAINT || plain == SQLITE_MISMATCH || plain == SQLITE_ERROR)
        return err_set(
            err, kind,
            "data/%s holds what does not fit together (%s): it was changed by something else than the daemon. "
            "Keep a copy of the file, and put back the newest backup",
            file_names[db], sqlite3_errstr(code));
    int cause = sqlite3_system_errno(store->db[db]);
    if (plain == SQLITE_FULL || (plain == SQLITE_IOERR && (cause == ENOSPC || cause == EDQUOT)))
        return err_set(err, kind, "data/%s cannot be written, the disk is full: make room", file_names[db]);
    return err_set(err, kind, "data/%s cannot be used now (%s)", file_names[db], sqlite3_errstr(code));
}

bool store_failed(struct store *store, enum store_db db, struct err *err)
{
    int code = sqlite3_extended_errcode(store->db[db]);
    describe(store, db, code, err);
    if (store_breaks(code)) store_break(store, err);
    return false;
}

bool store_exec(struct store *store, enum store_db db, const char *sql, struct err *err)
{
    return sqlite3_exec(store->db[db], sql, NULL, NULL, NULL) == SQLITE_OK || store_failed(store, db, err);
}

/* ── binding ───────────────────────────────────────────────────────────────────────────────────────── */

static sqlite3_stmt *prepared(struct store *store, struct query *query, struct err *err)
{
    static unsigned slots;
    if (store_broken(store, err)) return NULL;
    if (!query->slot) {
        if (slots + 1 == STORE_STATEMENTS) return err_set(err, ERR_INTERNAL, "too many statements"), NULL;
        query->slot = ++slots;
    }
    sqlite3_stmt **slot = &store->prepared[query->slot];
    if (!*slot && sqlite3_prepare_v3(store->db[query->db], query->sql, -1, SQLITE_PREPARE_PERSISTENT, slot, NULL))
        store_failed(store, query->db, err);
    return *slot;
}

static int bind_bytes(sqlite3_stmt *row, int at, const void *bytes, size_t count)
{
    if (!bytes) return sqlite3_bind_null(row, at);
    return sqlite3_bind_blob64(row, at, count ? bytes : "", count, SQLITE_STATIC);
}

static int bind_one(sqlite3_stmt *row, int at, char form, va_list *args)
{
    const void *bytes;
    switch (form) {
    case 'i': return sqlite3_bind_int64(row, at, va_arg(*args, int64_t));
    case 'u': return sqlite3_bind_int64(row, at, va_arg(*args, uint32_t));
    case 't': return sqlite3_bind_text(row, at, va_arg(*args, const char *), -1, SQLITE_STATIC);
    case 'd': return bind_bytes(row, at, va_arg(*args, const void *), ID_BYTES);
    case 'h': return bind_bytes(row, at, va_arg(*args, const void *), HASH_BYTES);
    case 'b': bytes = va_arg(*args, const void *); return bind_bytes(row, at, bytes, va_arg(*args, size_t));
    default: return sqlite3_bind_null(row, at);
    }
}

static sqlite3_stmt *bind_all(struct store *store, struct query *query, struct err *err, const char *format,
                              va_list *args)
{
    sqlite3_stmt *row = prepared(store, query, err);
    for (int at = 1; row && *format; at++, format++) {
        if (bind_one(row, at, *format, args) == SQLITE_OK) continue;
        store_failed(store, query->db, err);
        return NULL;
    }
    return row;
}

sqlite3_stmt *store_query(struct store *store, struct query *query, struct err *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    sqlite3_stmt *row = bind_all(store, query, err, format, &args);
    va_end(args);
    return row;
}

int store_step(struct store *store, struct query *query, sqlite3_stmt *row, struct err *err)
{
    int code = sqlite3_step(row);
    if (code == SQLITE_ROW) return 1;
    if (code == SQLITE_DONE) return 0;
    store_failed(store, query->db, err);
    return -1;
}

void store_done(sqlite3_stmt *row)
{
    if (row) sqlite3_reset(row);
}

bool store_run(struct store *store, struct query *query, struct err *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    sqlite3_stmt *row = bind_all(store, query, err, format, &args);
    va_end(args);
    if (!row) return false;
    int got = store_step(store, query, row, err);
    store_done(row);
    return got == 0;
}

bool store_number(struct store *store, struct query *query, sqlite3_stmt *row, uint64_t *number, bool *found,
                  struct err *err)
{
    int got = row ? store_step(store, query, row, err) : -1;
    if (got >= 0) *found = got == 1 && sqlite3_column_type(row, 0) == SQLITE_INTEGER;
    if (got == 1) *number = column_u64(row, 0);
    store_done(row);
    return got >= 0;
}

/* ── columns ───────────────────────────────────────────────────────────────────────────────────────── */

void column_bytes(sqlite3_stmt *row, int column, void *bytes, size_t count)
{
    const void *found = sqlite3_column_blob(row, column);
    memset(bytes, 0, count);
    if (found && (size_t)sqlite3_column_bytes(row, column) == count) memcpy(bytes, found, count);
}

void column_text(sqlite3_stmt *row, int column, char *text, size_t size)
{
    const char *found = (const char *)sqlite3_column_text(row, column);
    size_t length = found ? (size_t)sqlite3_column_bytes(row, column) : 0;
    memset(text, 0, size);
    if (length && length < size) memcpy(text, found, length);
}

bool column_buf(sqlite3_stmt *row, int column, struct buf *buf, struct err *err)
{
    const void *found = sqlite3_column_blob(row, column);
    size_t length = found ? (size_t)sqlite3_column_bytes(row, column) : 0;
    return buf_add(buf, found ? found : "", length) || err_set(err, ERR_BUSY, "a stored value is larger than expected");
}
