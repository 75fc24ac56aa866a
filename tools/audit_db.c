/* SPDX-License-Identifier: Apache-2.0 */
/* The log's database as the verifier sees it. */
#include "audit_db.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { APPLICATION_ID = 0x43534131, SCHEMA_VERSION = 1 };

static bool fault(sqlite3 *db, struct err *err)
{
    int code = sqlite3_errcode(db);
    if (code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_ERROR || code == SQLITE_TOOBIG)
        return err_set(err, ERR_DAMAGED, "the log's database is damaged (%s)", sqlite3_errmsg(db));
    return err_set(err, ERR_IO, "the log's database cannot be read (%s)", sqlite3_errmsg(db));
}

bool audit_db_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **statement, struct err *err)
{
    return sqlite3_prepare_v2(db, sql, -1, statement, NULL) == SQLITE_OK || fault(db, err);
}

int audit_db_step(sqlite3 *db, sqlite3_stmt *statement, struct err *err)
{
    int code = sqlite3_step(statement);
    if (code == SQLITE_ROW) return 1;
    if (code == SQLITE_DONE) return 0;
    fault(db, err);
    return -1;
}

const uint8_t *audit_db_id(sqlite3_stmt *row, int column)
{
    const void *id = sqlite3_column_blob(row, column);
    return sqlite3_column_bytes(row, column) == ID_BYTES ? id : NULL;
}

bool audit_db_number(sqlite3 *db, const char *sql, int64_t *number, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int got = audit_db_prepare(db, sql, &statement, err) ? audit_db_step(db, statement, err) : -1;
    *number = got == 1 ? sqlite3_column_int64(statement, 0) : 0;
    sqlite3_finalize(statement);
    return got >= 0;
}

bool audit_db_text(sqlite3 *db, const char *sql, char *text, size_t size, struct err *err)
{
    sqlite3_stmt *statement = NULL;
    int got = audit_db_prepare(db, sql, &statement, err) ? audit_db_step(db, statement, err) : -1;
    const char *found = got == 1 ? sqlite3_column_blob(statement, 0) : NULL;
    snprintf(text, size, "%.*s", found ? sqlite3_column_bytes(statement, 0) : 0, found ? found : "");
    sqlite3_finalize(statement);
    return got >= 0;
}

/* Is this a log, and of a format that is read here? Its tables must be tables: a view could show anything. */
static bool known(sqlite3 *db, struct err *err)
{
    int64_t id, version, tables;
    if (!audit_db_number(db, "PRAGMA application_id", &id, err) ||
        !audit_db_number(db, "PRAGMA user_version", &version, err) ||
        !audit_db_number(db,
                         "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND sql LIKE 'CREATE TABLE %'"
                         " AND name IN ('entry', 'tile', 'checkpoint')",
                         &tables, err))
        return false;
    if (id != APPLICATION_ID || tables != 3)
        return err_set(err, ERR_DAMAGED, "data/audit.db is not a log of caisson's");
    return version == SCHEMA_VERSION || err_set(err, ERR_STATE, "the log has format %lld: this caisson reads format %d",
                                                (long long)version, SCHEMA_VERSION);
}

static void harden(sqlite3 *db)
{
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 16 * 1024 * 1024);
    sqlite3_busy_timeout(db, 5000);
}

/* SQLite writes into the -shm of what it only reads, and root's may write anywhere: whoever owns the data folder must not
 * lead it to a file of somebody else's, nor to a pipe that never ends. */
static bool own_files(const char *path, const char *name, struct err *err)
{
    static const char *const endings[] = {"", "-wal", "-shm"};
    struct stat first = {0}, file;
    char whole[4096 + 8];
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        snprintf(whole, sizeof whole, "%s%s", path, endings[i]);
        if (lstat(whole, &file) < 0) continue;
        if (i == 0) first = file;
        if (!S_ISREG(file.st_mode) || file.st_uid != first.st_uid || (i && file.st_nlink != 1))
            return err_set(err, ERR_DAMAGED,
                           "data/%s%s is no plain file of the log's owner alone: look what it is, and put back the newest copy",
                           name, endings[i]);
    }
    return true;
}

bool audit_db_open(const char *folder, uint64_t epoch, sqlite3 **db, struct err *err)
{
    char path[4096], name[40] = "audit.db";
    if (epoch) snprintf(name, sizeof name, "audit-epoch-%llu.db", (unsigned long long)epoch);
    snprintf(path, sizeof path, "%s/data/%s", folder, name);
    if (access(path, R_OK) < 0)
        return errno == ENOENT ? err_set(err, ERR_NOT_FOUND, "there is no such log here (data/%s)", name)
                               : err_sys(err, ERR_DENIED, "this user may not read the log (data/%s)", name);
    if (!own_files(path, name, err)) return false;
    if (sqlite3_open_v2(path, db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return fault(*db, err);
    harden(*db);
    static const char start[] = "PRAGMA query_only=1; PRAGMA wal_autocheckpoint=0; PRAGMA mmap_size=0;"
                                "PRAGMA cell_size_check=1; BEGIN";
    if (sqlite3_exec(*db, start, NULL, NULL, NULL) != SQLITE_OK) return fault(*db, err);
    return known(*db, err);
}
