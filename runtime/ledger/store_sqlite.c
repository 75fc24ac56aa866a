/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite store: opening the three files, their settings, transactions on the log's file, small values. */
#include "store_sqlite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"

/* Frames of 4 KiB in the write-ahead log: from the first on it is moved in quiet moments, from the second on always. */
enum { WAL_QUIET = 1000, WAL_LONG = 8000 };
/* Nobody but this process writes; somebody else's lock is waited for no longer than callers would notice. */
enum { BUSY_MS = 250 };

static const struct {
    const char *path, *name, *schema;
    int application;
} files[STORE_DBS] = {
    [STORE_AUDIT] = {STORE_PREFIX "/audit.db", "audit.db", schema_audit, SCHEMA_AUDIT_ID},
    [STORE_STATE] = {STORE_PREFIX "/state.db", "state.db", schema_state, SCHEMA_STATE_ID},
    [STORE_VAULT] = {STORE_PREFIX "/vault.db", "vault.db", schema_vault, SCHEMA_VAULT_ID},
};

/* ── opening ───────────────────────────────────────────────────────────────────────────────────────── */

static int note_wal(void *context, sqlite3 *db, const char *name, int pages)
{
    struct store *store = context;
    for (int i = 0; i < STORE_DBS; i++)
        if (store->db[i] == db) store->wal_pages[i] = store->wal_now[i] = pages;
    return SQLITE_OK;
}

static bool configure(struct store *store, enum store_db db, struct err *err)
{
    sqlite3_db_config(store->db[db], SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->db[db], SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(store->db[db], SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_db_config(store->db[db], SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_extended_result_codes(store->db[db], 1);
    sqlite3_busy_timeout(store->db[db], BUSY_MS);
    return store_exec(store, db,
                      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;"
                      "PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 0;"
                      "PRAGMA journal_size_limit = 4194304; PRAGMA cache_size = -16384;",
                      err) &&
           (sqlite3_wal_hook(store->db[db], note_wal, store), true);
}

static bool get_number(struct store *store, enum store_db db, const char *sql, int64_t *out, struct err *err)
{
    sqlite3_stmt *row = NULL;
    if (sqlite3_prepare_v2(store->db[db], sql, -1, &row, NULL) != SQLITE_OK) return store_failed(store, db, err);
    bool ok = sqlite3_step(row) == SQLITE_ROW;
    if (ok)
        *out = sqlite3_column_int64(row, 0);
    else
        store_failed(store, db, err);
    sqlite3_finalize(row);
    return ok;
}

static bool create(struct store *store, enum store_db db, struct err *err)
{
    char numbers[128];
    snprintf(numbers, sizeof numbers, "PRAGMA application_id = %d; PRAGMA user_version = %d;", files[db].application,
             SCHEMA_VERSION);
    return store_exec(store, db, "BEGIN IMMEDIATE", err) && store_exec(store, db, files[db].schema, err) &&
           store_exec(store, db, numbers, err) && store_exec(store, db, "COMMIT", err);
}

static bool check_schema(struct store *store, enum store_db db, bool fresh, struct err *err)
{
    int64_t application = 0, version = 0, tables = 0;
    if (!get_number(store, db, "PRAGMA application_id", &application, err) ||
        !get_number(store, db, "PRAGMA user_version", &version, err) ||
        !get_number(store, db, "SELECT count(*) FROM sqlite_schema", &tables, err))
        return false;
    if (tables == 0 && application == 0 && fresh) return create(store, db, err);
    if (tables == 0 && application == 0)
        return err_set(err, ERR_STATE, "data/%s is empty: put back a good copy", files[db].name);
    if (application != files[db].application)
        return err_set(err, ERR_STATE, "data/%s is not a database of Caisson's: move it away or put back the right one",
                       files[db].name);
    if (version != SCHEMA_VERSION)
        return err_set(err, ERR_STATE, "data/%s has format %lld, and this program knows %d only: use the newer program",
                       files[db].name, (long long)version, SCHEMA_VERSION);
    return true;
}

/* What somebody else put into the file would run whenever we write: only our own guards may. */
static bool check_triggers(struct store *store, enum store_db db, struct err *err)
{
    sqlite3_stmt *row = NULL;
    static const char sql[] = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND instr(?1, sql) = 0";
    if (sqlite3_prepare_v2(store->db[db], sql, -1, &row, NULL) != SQLITE_OK) return store_failed(store, db, err);
    sqlite3_bind_text(row, 1, db == STORE_AUDIT ? schema_audit_guards : "", -1, SQLITE_STATIC);
    bool ok = sqlite3_step(row) == SQLITE_ROW || store_failed(store, db, err);
    if (ok && sqlite3_column_int64(row, 0) > 0)
        ok = err_set(
            err, ERR_STATE,
            "data/%s holds a trigger that is not Caisson's: keep a copy, find out who put it there, and put back "
            "a good one",
            files[db].name);
    sqlite3_finalize(row);
    return ok;
}

static bool open_one(struct store *store, enum store_db db, bool fresh, struct err *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
    if (fresh) flags |= SQLITE_OPEN_CREATE;
    if (!store_sound(db, err)) return false;
    if (sqlite3_open_v2(files[db].path, &store->db[db], flags, "unix") != SQLITE_OK)
        return store_failed(store, db, err);
    return configure(store, db, err) && check_schema(store, db, fresh, err) && check_triggers(store, db, err) &&
           (db != STORE_AUDIT || store_exec(store, db, schema_audit_later, err));
}

/* A log without the rest, or the rest without a log, is a file that somebody lost: never start afresh beside it. */
static bool check_together(struct store *store, struct err *err)
{
    int64_t entries = 0, workspaces = 0;
    if (!get_number(store, STORE_AUDIT, "SELECT count(*) FROM (SELECT 1 FROM entry LIMIT 3)", &entries, err) ||
        !get_number(store, STORE_STATE, "SELECT count(*) FROM (SELECT 1 FROM workspace LIMIT 1)", &workspaces, err))
        return false;
    if (entries > 2 && workspaces == 0)
        return err_set(err, ERR_STATE,
                       "data/state.db is empty or missing although the log has entries: put back the "
                       "newest backup of state.db and vault.db");
    if (entries == 0 && workspaces > 0)
        return err_set(err, ERR_STATE,
                       "data/audit.db is empty or missing although data/state.db is in use: the log was "
                       "removed; put back the newest copy of it");
    return true;
}

/* Tokens and names of another home would be taken for this one's: its keys are of other workspaces. */
static bool check_home(struct store *store, struct err *err)
{
    sqlite3_stmt *id = NULL, *key = NULL;
    int64_t keys = 0;
    if (!get_number(store, STORE_VAULT, "SELECT count(*) FROM (SELECT 1 FROM workspace_key LIMIT 1)", &keys, err))
        return false;
    bool ok = (sqlite3_prepare_v2(store->db[STORE_STATE], "SELECT id FROM workspace", -1, &id, NULL) == SQLITE_OK ||
               store_failed(store, STORE_STATE, err)) &&
              (sqlite3_prepare_v2(store->db[STORE_VAULT], "SELECT 1 FROM workspace_key WHERE workspace = ?", -1, &key,
                                  NULL) == SQLITE_OK ||
               store_failed(store, STORE_VAULT, err));
    bool known = keys == 0;
    while (ok && !known && sqlite3_step(id) == SQLITE_ROW) {
        sqlite3_reset(key);
        sqlite3_bind_blob(key, 1, sqlite3_column_blob(id, 0), sqlite3_column_bytes(id, 0), SQLITE_STATIC);
        known = sqlite3_step(key) == SQLITE_ROW;
    }
    sqlite3_finalize(key);
    sqlite3_finalize(id);
    return ok && (known ||
                  err_set(err, ERR_STATE,
                          "data/state.db and data/vault.db are not of one home: put back those that belong together"));
}

bool store_open(int folder, bool fresh, struct store **out, struct err *err)
{
    struct store *store = calloc(1, sizeof *store);
    if (!store) return err_set(err, ERR_BUSY, "there is no memory for the databases");
    bool ok = store_files_use(folder, err);
    for (int db = 0; ok && db < STORE_DBS; db++) ok = open_one(store, (enum store_db)db, fresh, err);
    if (!ok || !check_together(store, err) || !check_home(store, err) || !store_look(store, err)) {
        store_break(store, err);
        store_close(store);
        return false;
    }
    *out = store;
    return true;
}

/* One that is broken is left as it is: closing would write into the database what cannot be trusted. */
void store_close(struct store *store)
{
    if (!store) return;
    for (int db = 0; store->broken.kind != ERR_NONE && db < STORE_DBS; db++)
        if (store->db[db]) sqlite3_db_config(store->db[db], SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    for (int i = 0; i < STORE_STATEMENTS; i++) sqlite3_finalize(store->prepared[i]);
    for (int db = 0; db < STORE_DBS; db++) sqlite3_close(store->db[db]);
    free(store);
}

void store_quick(struct store *store, enum store_db db)
{
    sqlite3_busy_timeout(store->db[db], BUSY_MS);
}

void store_idle(struct store *store)
{
    for (int db = 0; db < STORE_DBS; db++) {
        if (store->wal_pages[db] < WAL_QUIET) continue;
        int how = store->wal_pages[db] > WAL_LONG ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE;
        struct err err = {0};
        sqlite3_busy_timeout(store->db[db], 0);
        int code = sqlite3_wal_checkpoint_v2(store->db[db], NULL, how, NULL, NULL);
        sqlite3_busy_timeout(store->db[db], BUSY_MS);
        store->wal_pages[db] = 0;
        if (store_breaks(code)) store_failed(store, (enum store_db)db, &err);
    }
}

/* ── transactions ──────────────────────────────────────────────────────────────────────────────────── */

static bool simple(struct store *store, struct query *query, struct err *err)
{
    return store_run(store, query, err, "");
}

bool store_begin(struct store *store, struct err *err)
{
    static struct query query = {STORE_AUDIT, "BEGIN IMMEDIATE", 0};
    return store_look_log(store, err) && simple(store, &query, err);
}

bool store_commit(struct store *store, struct err *err)
{
    static struct query query = {STORE_AUDIT, "COMMIT", 0};
    if (simple(store, &query, err)) return store_look_log(store, err);
    store_break(store, err); /* it may be there and it may not */
    return false;
}

void store_rollback(struct store *store)
{
    static struct query query = {STORE_AUDIT, "ROLLBACK", 0};
    struct err ignored;
    if (store_broken(store, &ignored)) return; /* closing it undoes it */
    if (!sqlite3_get_autocommit(store->db[STORE_AUDIT])) simple(store, &query, &ignored);
}

/* ── small values ──────────────────────────────────────────────────────────────────────────────────── */

bool store_meta(struct store *store, enum store_db db, const char *key, struct buf *value, struct err *err)
{
    static struct query queries[STORE_DBS] = {{STORE_AUDIT, "SELECT v FROM meta WHERE k = ?", 0},
                                              {STORE_STATE, "SELECT v FROM meta WHERE k = ?", 0},
                                              {STORE_VAULT, "SELECT v FROM meta WHERE k = ?", 0}};
    sqlite3_stmt *row = store_query(store, &queries[db], err, "t", key);
    int got = row ? store_step(store, &queries[db], row, err) : -1;
    bool ok = got == 0 ? buf_text(value, "") : got == 1 && column_buf(row, 0, value, err);
    store_done(row);
    return ok;
}

bool store_meta_set(struct store *store, enum store_db db, const char *key, const char *value, struct err *err)
{
    static struct query queries[STORE_DBS] = {{STORE_AUDIT, "INSERT OR REPLACE INTO meta(k, v) VALUES(?, ?)", 0},
                                              {STORE_STATE, "INSERT OR REPLACE INTO meta(k, v) VALUES(?, ?)", 0},
                                              {STORE_VAULT, "INSERT OR REPLACE INTO meta(k, v) VALUES(?, ?)", 0}};
    return store_run(store, &queries[db], err, "tb", key, value, strlen(value));
}
