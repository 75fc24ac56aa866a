/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the SQLite store only: the connection, its statements, and how values go in and out. */
#pragma once

#include <sqlite3.h>
#include <sys/stat.h>

#include "store.h"

enum { STORE_STATEMENTS = 160, STORE_CACHE = 64 };

/* A file as it was when it was looked at last. inode 0: not yet. */
struct seen_file {
    dev_t device;
    ino_t inode;
    off_t size;
};

struct store {
    sqlite3 *db[STORE_DBS];
    sqlite3_stmt *prepared[STORE_STATEMENTS];
    int wal_pages[STORE_DBS], wal_now[STORE_DBS]; /* since the last checkpoint was tried; as the last commit left it */
    unsigned cuts; /* store_files_cut() when wal_now was known to hold */
    struct seen_file seen[STORE_DBS], seen_wal[STORE_DBS];
    struct err broken; /* kind ERR_NONE: usable */
    /* Workspaces and their keys are asked for at every call, and nobody else writes them. */
    struct store_workspace workspaces[STORE_CACHE];
    struct {
        uint8_t workspace[ID_BYTES];
        struct store_keys keys; /* version 0: none */
    } keys[STORE_CACHE];
};

/* A statement: prepared at its first use, then kept. slot is filled in by itself. */
struct query {
    enum store_db db;
    const char *sql;
    unsigned slot;
};

/* What binds: i int64_t · u uint32_t · t text · b bytes and size_t · d 16 bytes · h 32 bytes (NULL pointers bind NULL)
 * · n nothing. NULL: the store failed. Step it with store_step, then store_done. */
sqlite3_stmt *store_query(struct store *store, struct query *query, struct err *err, const char *format, ...);
/* 1: a row, 0: no more, -1: failed. */
int store_step(struct store *store, struct query *query, sqlite3_stmt *row, struct err *err);
void store_done(sqlite3_stmt *row);
/* A statement without rows. */
bool store_run(struct store *store, struct query *query, struct err *err, const char *format, ...);
/* The first column of the only row of a bound statement (NULL: it failed), which ends here. *found is false without a row,
 * and for NULL. */
bool store_number(struct store *store, struct query *query, sqlite3_stmt *row, uint64_t *number, bool *found,
                  struct err *err);

/* Columns, bounded: what does not fit exactly is damage and leaves zeros. */
void column_bytes(sqlite3_stmt *row, int column, void *bytes, size_t count);
void column_text(sqlite3_stmt *row, int column, char *text, size_t size);
#define column_u64(row, column) ((uint64_t)sqlite3_column_int64((row), (column)))
#define column_u32(row, column) ((uint32_t)sqlite3_column_int64((row), (column)))
/* Appends a blob's bytes. */
bool column_buf(sqlite3_stmt *row, int column, struct buf *buf, struct err *err);

/* Waits for others' locks as long as usual again. */
void store_quick(struct store *store, enum store_db db);

/* Sets err from the connection's state; always false. */
bool store_failed(struct store *store, enum store_db db, struct err *err);
bool store_exec(struct store *store, enum store_db db, const char *sql, struct err *err);
/* Does this result code of SQLite's break the store? */
bool store_breaks(int code);
/* Before a database is opened: is what has its name, and its companions', a plain file of this user's? */
bool store_sound(enum store_db db, struct err *err);
/* Is the log's database still the file that was opened, and no shorter? Breaks the store when it is not. */
bool store_look_log(struct store *store, struct err *err);

/* A transaction of vault.db. ok: did everything in it work? What did not is rolled back. */
bool vault_begin(struct store *store, struct err *err);
bool vault_commit(struct store *store, bool ok, struct err *err);

/* SQLite wants absolute paths; the ledger has a descriptor and may be unable to walk to it. From now on paths below
 * STORE_PREFIX mean that folder, for this process. */
#define STORE_PREFIX "/caisson-data"
bool store_files_use(int folder, struct err *err);
/* How often SQLite itself has made a file shorter. */
unsigned store_files_cut(void);
/* fstatat(2) of a name in it. */
int store_file_stat(const char *name, struct stat *found);
