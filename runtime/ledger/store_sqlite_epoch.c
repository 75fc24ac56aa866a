/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite store: putting a log aside that must not be continued, and making room for the next. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "schema.h"
#include "store_sqlite.h"

static bool copy_pages(struct store *store, const char *path, struct err *err)
{
    sqlite3 *copy = NULL;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    bool good = sqlite3_open_v2(path, &copy, flags, "unix") == SQLITE_OK &&
                sqlite3_exec(copy, "PRAGMA synchronous = FULL", NULL, NULL, NULL) == SQLITE_OK;
    sqlite3_backup *backup = good ? sqlite3_backup_init(copy, "main", store->db[STORE_AUDIT], "main") : NULL;
    good = backup && sqlite3_backup_step(backup, -1) == SQLITE_DONE;
    if (backup && sqlite3_backup_finish(backup) != SQLITE_OK) good = false;
    /* A file of its own from now on: whoever reads it later needs to write nothing beside it. Answers are kept for a time,
     * and nobody would ever take them out of here. */
    static const char settle[] = "PRAGMA journal_mode = DELETE; PRAGMA secure_delete = ON; DELETE FROM answer";
    if (good) good = sqlite3_exec(copy, settle, NULL, NULL, NULL) == SQLITE_OK;
    if (sqlite3_close(copy) != SQLITE_OK) good = false;
    return good ||
           err_set(err, ERR_AUDIT, "the log that was found cannot be put aside: is there room for a copy of it?");
}

/* The last entry of a log, or -1. */
static int64_t newest(sqlite3 *db, tree_hash leaf)
{
    sqlite3_stmt *row = NULL;
    int64_t index = -1;
    if (sqlite3_prepare_v2(db, "SELECT idx, leaf FROM entry ORDER BY idx DESC LIMIT 1", -1, &row, NULL) == SQLITE_OK &&
        sqlite3_step(row) == SQLITE_ROW && sqlite3_column_bytes(row, 1) == HASH_BYTES) {
        index = sqlite3_column_int64(row, 0);
        memcpy(leaf, sqlite3_column_blob(row, 1), HASH_BYTES);
    }
    sqlite3_finalize(row);
    return index;
}

/* Is this a whole copy of the log that is open? */
static bool same_log(struct store *store, const char *name)
{
    char path[128];
    tree_hash here = {0}, there = {0};
    sqlite3 *copy = NULL;
    snprintf(path, sizeof path, STORE_PREFIX "/%s", name);
    int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    bool same = sqlite3_open_v2(path, &copy, flags, "unix") == SQLITE_OK &&
                newest(copy, there) == newest(store->db[STORE_AUDIT], here) && memcmp(here, there, HASH_BYTES) == 0;
    sqlite3_close(copy);
    return same;
}

/* Another log of that number, as after an epoch that was undone: it stays, under a name of its own. */
static bool make_way(int folder, const char *name, uint64_t epoch, struct err *err)
{
    enum { MOST = 1000 };
    char other[64];
    if (faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0) return true;
    for (unsigned i = 1; i < MOST; i++) {
        snprintf(other, sizeof other, "audit-epoch-%llu.%u.db", (unsigned long long)epoch, i);
        if (faccessat(folder, other, F_OK, AT_SYMLINK_NOFOLLOW) == 0) continue;
        return renameat(folder, name, folder, other) == 0 || err_sys(err, ERR_AUDIT, "data/%s cannot be renamed", name);
    }
    return err_set(err, ERR_AUDIT, "data/ holds %u logs of epoch %llu: move the older ones away", MOST,
                   (unsigned long long)epoch);
}

/* Under another name until it is whole. One that is there already may be of a try before this one. */
bool store_epoch_keep(struct store *store, int folder, uint64_t epoch, struct err *err)
{
    char name[64], draft[80], path[128];
    snprintf(name, sizeof name, "audit-epoch-%llu.db", (unsigned long long)epoch);
    snprintf(draft, sizeof draft, "%s.new", name);
    snprintf(path, sizeof path, STORE_PREFIX "/%s", draft);
    if (faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 && same_log(store, name)) return true;
    unlinkat(folder, draft, 0);
    if (!copy_pages(store, path, err) || !make_way(folder, name, epoch, err)) return false;
    if (renameat(folder, draft, folder, name) == 0 && fsync(folder) == 0) return true;
    return err_sys(err, ERR_AUDIT, "the log that was found cannot be put aside (data/%s)", name);
}

/* What runs no more and what may have been sent stays known under its key; the indexes of another log do not. */
bool store_epoch_clear(struct store *store, uint64_t *open, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT count(*) FROM call WHERE state = 0", 0};
    static const char clear[] =
        "DROP TRIGGER IF EXISTS entry_keep; DROP TRIGGER IF EXISTS entry_fixed;"
        /* Whom they are about is not known any more, so that no erasure would find them. */
        "DELETE FROM answer WHERE call IN (SELECT entry.call FROM subject_entry JOIN entry USING (idx));"
        "DELETE FROM entry; DELETE FROM detail; DELETE FROM payload; DELETE FROM tile; DELETE FROM block; DELETE FROM "
        "checkpoint;"
        "DELETE FROM cosignature;"
        "DELETE FROM signer; DELETE FROM prune; DELETE FROM subject_entry; DELETE FROM sink;"
        "DELETE FROM push_entry;"
        "UPDATE call SET state = 1, salt = NULL, class = 9, sent = 1, reason = 12, ended = begun WHERE state = 0;"
        "UPDATE call SET intent = -1, outcome = -1; UPDATE hold SET entry = -1;"
        "DELETE FROM idempotency WHERE NOT EXISTS"
        "  (SELECT 1 FROM call WHERE call.id = idempotency.call AND call.sent <> 0);";
    _Static_assert(CLASS_LOST == 9 && SENT_MAYBE == 1 && REASON_RESTART == 12, "the numbers above");
    sqlite3_stmt *row = store_query(store, &query, err, "");
    int got = row ? store_step(store, &query, row, err) : -1;
    if (got == 1) *open = column_u64(row, 0);
    store_done(row);
    return got == 1 && store_exec(store, STORE_AUDIT, clear, err) &&
           store_exec(store, STORE_AUDIT, schema_audit_guards, err);
}
