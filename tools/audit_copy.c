/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite's own backup, out of read transactions that are all open before the first page is copied. */
#include "audit_copy.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {"vault.db", "state.db", "audit.db"};
enum { FILES = 3, LOG = 2, BUSY_MS = 10000 };

static bool fault(sqlite3 *db, const char *name, struct err *err)
{
    return err_set(err, ERR_IO, "data/%s cannot be copied (%s)", name, db ? sqlite3_errmsg(db) : "no memory");
}

/* The moment is fixed by the first read, not by BEGIN. */
static bool open_one(const char *home, const char *name, sqlite3 **db, struct err *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/data/%s", home, name);
    if (access(path, R_OK) < 0)
        return errno == ENOENT ? err_set(err, ERR_NOT_FOUND, "there is no data/%s yet: start caissond once", name)
                               : err_sys(err, ERR_DENIED, "this user may not read data/%s", name);
    if (sqlite3_open_v2(path, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return fault(*db, name, err);
    sqlite3_db_config(*db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_db_config(*db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(*db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_busy_timeout(*db, BUSY_MS);
    static const char start[] = "PRAGMA query_only=1; PRAGMA wal_autocheckpoint=0; PRAGMA mmap_size=0;"
                                "BEGIN; SELECT count(*) FROM sqlite_schema";
    return sqlite3_exec(*db, start, NULL, NULL, NULL) == SQLITE_OK || fault(*db, name, err);
}

static bool copy_one(sqlite3 *from, const char *to, const char *name, struct err *err)
{
    char path[4096];
    sqlite3 *db = NULL;
    snprintf(path, sizeof path, "%s/%s", to, name);
    bool good = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) == SQLITE_OK;
    sqlite3_backup *copy = good ? sqlite3_backup_init(db, "main", from, "main") : NULL;
    good = copy && sqlite3_backup_step(copy, -1) == SQLITE_DONE;
    good = (!copy || sqlite3_backup_finish(copy) == SQLITE_OK) && good;
    if (!good) fault(db, name, err);
    sqlite3_close(db);
    return good;
}

static bool read_log(sqlite3 *db, struct audit_copied *copied, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    static const char sql[] =
        "SELECT (SELECT ifnull(max(idx) + 1, 0) FROM entry), size, note FROM (SELECT 1) LEFT JOIN "
        "(SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1)";
    bool good = sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW;
    if (good) {
        const char *note = sqlite3_column_blob(statement, 2);
        copied->entries = (uint64_t)sqlite3_column_int64(statement, 0);
        copied->size = (uint64_t)sqlite3_column_int64(statement, 1);
        snprintf(copied->note, sizeof copied->note, "%.*s", sqlite3_column_bytes(statement, 2), note ? note : "");
    }
    sqlite3_finalize(statement);
    return good || fault(db, names[LOG], err);
}

bool audit_copy(const char *home, const char *to, struct audit_copied *copied, struct err *err)
{
    sqlite3 *open[FILES] = {NULL};
    bool good = true;
    for (int i = 0; i < FILES && good; i++) good = open_one(home, names[i], &open[i], err);
    for (int i = 0; i < FILES && good; i++) good = copy_one(open[i], to, names[i], err);
    good = good && read_log(open[LOG], copied, err);
    for (int i = 0; i < FILES; i++) sqlite3_close(open[i]);
    return good;
}
