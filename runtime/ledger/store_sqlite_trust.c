/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite store: is what is open still what the file system has, and may it be used at all? After an error of the
 * disk the answer is no for good: Linux may drop pages that it could not write and report success the next time. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_sqlite.h"

enum { WAL_HEAD = 32, FRAME_BYTES = 24 + 4096 };

static const struct {
    const char *name, *wal, *shm;
} files[STORE_DBS] = {
    [STORE_AUDIT] = {"audit.db", "audit.db-wal", "audit.db-shm"},
    [STORE_STATE] = {"state.db", "state.db-wal", "state.db-shm"},
    [STORE_VAULT] = {"vault.db", "vault.db-wal", "vault.db-shm"},
};

/* ── broken ────────────────────────────────────────────────────────────────────────────────────────── */

bool store_broken(const struct store *store, struct err *err)
{
    if (store->broken.kind == ERR_NONE) return false;
    *err = store->broken;
    return true;
}

void store_break(struct store *store, const struct err *err)
{
    if (store->broken.kind == ERR_NONE) store->broken = *err;
}

/* What says something about the disk or the files, and not about one statement. */
bool store_breaks(int code)
{
    static const int codes[] = {SQLITE_IOERR,    SQLITE_FULL,     SQLITE_CORRUPT, SQLITE_NOTADB,
                                SQLITE_CANTOPEN, SQLITE_READONLY, SQLITE_NOMEM,   SQLITE_PROTOCOL};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i] == (code & 0xff)) return true;
    return false;
}

/* ── looking ───────────────────────────────────────────────────────────────────────────────────────── */

static enum err_kind kind_of(enum store_db db)
{
    return db == STORE_AUDIT ? ERR_AUDIT : ERR_IO;
}

/* least: bytes that must be there. */
static bool look_file(struct seen_file *seen, const char *name, off_t least, enum err_kind kind, struct err *err)
{
    struct stat now;
    if (store_file_stat(name, &now) < 0)
        return errno == ENOENT ? err_set(err, kind, "data/%s was removed while it is in use: put it back", name)
                               : err_sys(err, kind, "data/%s cannot be looked at", name);
    if (seen->inode && (now.st_ino != seen->inode || now.st_dev != seen->device))
        return err_set(err, kind, "data/%s was replaced by another file while it is in use", name);
    if (now.st_size < least)
        return err_set(err, kind, "data/%s was cut while it is in use: put back a good copy", name);
    *seen = (struct seen_file){now.st_dev, now.st_ino, now.st_size};
    return true;
}

/* A database never shrinks here (nothing vacuums), not over a new opening either; and its write-ahead log holds at
 * least the frames that the last commit left in it. */
static bool look(struct store *store, enum store_db db, struct err *err)
{
    static off_t largest[STORE_DBS];
    if (store->cuts != store_files_cut()) memset(store->wal_now, 0, sizeof store->wal_now);
    store->cuts = store_files_cut();
    off_t wal = WAL_HEAD + (off_t)store->wal_now[db] * FRAME_BYTES;
    if (look_file(&store->seen[db], files[db].name, largest[db], kind_of(db), err) &&
        look_file(&store->seen_wal[db], files[db].wal, store->wal_now[db] ? wal : 0, kind_of(db), err)) {
        largest[db] = store->seen[db].size;
        return true;
    }
    store_break(store, err);
    return false;
}

bool store_look(struct store *store, struct err *err)
{
    if (store_broken(store, err)) return false;
    for (int db = 0; db < STORE_DBS; db++)
        if (!look(store, (enum store_db)db, err)) return false;
    return true;
}

/* Before a transaction and after it: one that was written behind a gap would be of no use. */
bool store_look_log(struct store *store, struct err *err)
{
    return !store_broken(store, err) && look(store, STORE_AUDIT, err);
}

/* SQLite would say "unable to open", or take a link's name for the file's own. */
static bool sound(const char *name, enum err_kind kind, struct err *err)
{
    struct stat file;
    if (store_file_stat(name, &file) < 0) return true; /* it is made, or missed elsewhere */
    if (!S_ISREG(file.st_mode))
        return err_set(err, kind, "data/%s is not a regular file: put the file itself there", name);
    if (file.st_uid != geteuid())
        return err_set(err, kind,
                       "data/%s belongs to user %u, not to the ledger's, as the other files there do: chown %u", name,
                       file.st_uid, geteuid());
    return true;
}

bool store_sound(enum store_db db, struct err *err)
{
    return sound(files[db].name, kind_of(db), err) && sound(files[db].wal, kind_of(db), err) &&
           sound(files[db].shm, kind_of(db), err);
}

static bool gone(const char *name, struct err *err)
{
    struct stat now;
    if (store_file_stat(name, &now) == 0 || errno != ENOENT) return false;
    err_set(err, ERR_AUDIT, "data/%s was removed while it is in use: put it back", name);
    return true;
}

/* A database that was replaced needs the write-ahead log of the old one no more. */
bool store_gone(const struct store *store, struct err *err)
{
    struct stat now;
    for (int db = 0; db < STORE_DBS; db++) {
        if (gone(files[db].name, err)) return true;
        bool same = store_file_stat(files[db].name, &now) == 0 && now.st_ino == store->seen[db].inode;
        if (same && gone(files[db].wal, err)) return true;
    }
    return false;
}

/* ── settling ──────────────────────────────────────────────────────────────────────────────────────── */

static bool settle(struct store *store, enum store_db db, struct err *err)
{
    int code = sqlite3_wal_checkpoint_v2(store->db[db], NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
    if (code == SQLITE_OK) store->wal_pages[db] = 0;
    if (code == SQLITE_OK) return true;
    if ((code & 0xff) != SQLITE_BUSY) return store_failed(store, db, err);
    return err_set(err, ERR_BUSY, "data/%s is being read by another program: it goes on when that has ended",
                   files[db].name);
}

bool store_settle(struct store *store, struct err *err)
{
    for (int db = 0; db < STORE_DBS; db++)
        if (!settle(store, (enum store_db)db, err)) return false;
    return store_look(store, err);
}

/* ── one call of many ──────────────────────────────────────────────────────────────────────────────── */

bool store_mark(struct store *store, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SAVEPOINT one", 0};
    return store_run(store, &query, err, "");
}

bool store_keep(struct store *store, struct err *err)
{
    static struct query query = {STORE_AUDIT, "RELEASE one", 0};
    return store_run(store, &query, err, "");
}

bool store_back(struct store *store)
{
    static struct query query = {STORE_AUDIT, "ROLLBACK TO one", 0};
    struct err ignored;
    if (store_broken(store, &ignored) || sqlite3_get_autocommit(store->db[STORE_AUDIT])) return false;
    return store_run(store, &query, &ignored, "") && store_keep(store, &ignored);
}
