/* SPDX-License-Identifier: Apache-2.0 */
/* Entries, tiles, notes and proofs of the log's database. */
#include "audit_log.h"

#include <string.h>

#include "audit_body.h"
#include "audit_db.h"
#include "audit_proof_file.h"

enum { KEY_ROLL = 8 };

bool audit_log_open(const char *folder, struct audit_log *log, struct err *err)
{
    int64_t entries, signed_size;
    if (!audit_db_open(folder, 0, &log->db, err) ||
        !audit_db_prepare(log->db, "SELECT leaf FROM entry WHERE idx >= ?1 AND idx < ?1 + ?2 ORDER BY idx",
                          &log->leaves, err) ||
        !audit_db_prepare(log->db, "SELECT root FROM block WHERE n = ?1", &log->block, err) ||
        !audit_db_prepare(log->db, "SELECT 1 FROM prune WHERE hashes = 1 AND from_idx <= ?1 AND to_idx >= ?1 LIMIT 1",
                          &log->drops, err) ||
        !audit_db_prepare(log->db, "SELECT hashes FROM tile WHERE level = ?1 AND n = ?2", &log->tile, err) ||
        !audit_db_prepare(log->db, "SELECT kind, leaf, body FROM entry WHERE idx = ?1", &log->body, err) ||
        !audit_db_number(log->db, "SELECT ifnull(max(idx) + 1, 0) FROM entry", &entries, err) ||
        !audit_db_number(log->db, "SELECT ifnull(max(size), 0) FROM checkpoint", &signed_size, err) ||
        !audit_db_text(log->db, "SELECT v FROM meta WHERE k = 'origin'", log->origin, sizeof log->origin, err))
        return false;
    log->entries = entries > 0 ? (uint64_t)entries : 0;
    log->signed_size = signed_size > 0 ? (uint64_t)signed_size : 0;
    if (log->signed_size > log->entries)
        return err_set(err, ERR_DAMAGED, "the log was cut: it has %llu entries, and %llu were signed",
                       (unsigned long long)log->entries, (unsigned long long)log->signed_size);
    return true;
}

void audit_log_close(struct audit_log *log)
{
    sqlite3_finalize(log->leaves);
    sqlite3_finalize(log->tile);
    sqlite3_finalize(log->body);
    sqlite3_finalize(log->block);
    sqlite3_finalize(log->drops);
    sqlite3_close(log->db);
    *log = (struct audit_log){0};
}

bool audit_log_cosigned(struct audit_log *log, struct err *err)
{
    static const char sql[] =
        "SELECT ifnull(max(size), 0) FROM cosignature WHERE size IN (SELECT size FROM checkpoint)";
    int64_t size;
    if (!audit_db_number(log->db, sql, &size, err)) return false;
    if (size <= 0 || (uint64_t)size > log->entries)
        return err_set(err, ERR_NOT_FOUND,
                       "no witness has signed a checkpoint of this log: see [Push] in caisson.conf");
    log->signed_size = (uint64_t)size;
    return true;
}

/* ── tiles ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool leaf_hashes(struct audit_log *log, uint64_t number, unsigned width, proof_hash *hashes)
{
    struct err ignored = {0};
    unsigned have = 0;
    sqlite3_reset(log->leaves);
    sqlite3_bind_int64(log->leaves, 1, (int64_t)(number * TILE_HASHES));
    sqlite3_bind_int(log->leaves, 2, (int)width);
    while (have < width && audit_db_step(log->db, log->leaves, &ignored) == 1 &&
           sqlite3_column_bytes(log->leaves, 0) == HASH_BYTES)
        memcpy(hashes[have++], sqlite3_column_blob(log->leaves, 0), HASH_BYTES);
    sqlite3_reset(log->leaves);
    return have == width;
}

static bool stored_tile(struct audit_log *log, unsigned level, uint64_t number, proof_hash *hashes)
{
    struct err ignored = {0};
    sqlite3_reset(log->tile);
    sqlite3_bind_int(log->tile, 1, (int)level);
    sqlite3_bind_int64(log->tile, 2, (int64_t)number);
    bool good = audit_db_step(log->db, log->tile, &ignored) == 1 &&
                sqlite3_column_bytes(log->tile, 0) == TILE_HASHES * HASH_BYTES;
    if (good) memcpy(hashes, sqlite3_column_blob(log->tile, 0), TILE_HASHES * HASH_BYTES);
    sqlite3_reset(log->tile);
    return good;
}

/* The row for this number, or NULL. */
static const void *look_up(struct audit_log *log, sqlite3_stmt *row, uint64_t number)
{
    struct err ignored = {0};
    sqlite3_reset(row);
    sqlite3_bind_int64(row, 1, (int64_t)number);
    return audit_db_step(log->db, row, &ignored) == 1 ? row : NULL;
}

static bool block_root(struct audit_log *log, uint64_t number, uint8_t root[HASH_BYTES])
{
    bool good = look_up(log, log->block, number) && sqlite3_column_bytes(log->block, 0) == HASH_BYTES;
    if (good) memcpy(root, sqlite3_column_blob(log->block, 0), HASH_BYTES);
    sqlite3_reset(log->block);
    return good;
}

bool audit_log_block_dropped(struct audit_log *log, uint64_t number)
{
    uint8_t root[HASH_BYTES];
    return block_root(log, number, root);
}

static bool entry_dropped(struct audit_log *log, uint64_t index)
{
    bool dropped = look_up(log, log->drops, index);
    sqlite3_reset(log->drops);
    return dropped;
}

/* Of a block of which some entries stay, the tile has the leaves of the others. */
static bool leaf_tile(struct audit_log *log, uint64_t number, unsigned width, proof_hash *hashes)
{
    proof_hash all[TILE_HASHES];
    if (leaf_hashes(log, number, width, hashes)) return true;
    if (!entry_dropped(log, number * TILE_HASHES) || !stored_tile(log, 0, number, all)) return false;
    memcpy(hashes, all, width * sizeof *all);
    return true;
}

/* Full tiles above the leaves are stored; the right edge is made of the tiles below. */
static bool tiles(void *context, unsigned level, uint64_t number, unsigned width, proof_hash *hashes)
{
    struct audit_log *log = context;
    proof_hash below[TILE_HASHES];
    if (level == 0) return leaf_tile(log, number, width, hashes);
    if (width == TILE_HASHES) return stored_tile(log, level, number, hashes);
    for (unsigned i = 0; i < width; i++) {
        if (level == 1 && block_root(log, number * TILE_HASHES + i, hashes[i])) continue;
        if (!tiles(log, level - 1, number * TILE_HASHES + i, TILE_HASHES, below)) return false;
        proof_fold(below, TILE_HEIGHT, hashes[i]);
    }
    return true;
}

struct proof_source audit_log_source(struct audit_log *log, uint64_t size)
{
    return (struct proof_source){size, tiles, log};
}

bool audit_log_lacks(struct audit_log *log, uint64_t size, struct err *err, const char *otherwise)
{
    if (size % TILE_HASHES && audit_log_block_dropped(log, size / TILE_HASHES))
        return err_set(
            err, ERR_STATE,
            "the hashes of when the log had %llu entries were dropped, as it records; they are in the archive of "
            "that pruning",
            (unsigned long long)size);
    return err_set(err, ERR_DAMAGED, "%s", otherwise);
}

/* ── entries ───────────────────────────────────────────────────────────────────────────────────────── */

bool audit_log_body(struct audit_log *log, uint64_t index, const uint8_t **bytes, size_t *length, int64_t *kind,
                    const uint8_t **leaf, struct err *err)
{
    uint8_t found[HASH_BYTES];
    sqlite3_reset(log->body);
    sqlite3_bind_int64(log->body, 1, (int64_t)index);
    int got = audit_db_step(log->db, log->body, err);
    if (got < 0) return false;
    if (got == 0 && entry_dropped(log, index)) {
        *bytes = NULL;
        *length = 0;
        if (kind) *kind = 0;
        if (leaf) *leaf = NULL;
        return true;
    }
    if (got == 0 || sqlite3_column_bytes(log->body, 1) != HASH_BYTES)
        return err_set(err, ERR_DAMAGED, "entry %llu is missing", (unsigned long long)index);
    *bytes = sqlite3_column_blob(log->body, 2);
    if (!*bytes && sqlite3_column_type(log->body, 2) != SQLITE_NULL)
        return err_set(err, ERR_DAMAGED, "entry %llu: its bytes are empty", (unsigned long long)index);
    *length = (size_t)sqlite3_column_bytes(log->body, 2);
    if (kind) *kind = sqlite3_column_int64(log->body, 0);
    if (leaf) *leaf = sqlite3_column_blob(log->body, 1);
    if (*bytes) audit_leaf(*bytes, *length, found);
    return !*bytes || memcmp(found, sqlite3_column_blob(log->body, 1), HASH_BYTES) == 0 ||
           err_set(err, ERR_DAMAGED, "entry %llu: its bytes do not fit its leaf", (unsigned long long)index);
}

/* ── notes ─────────────────────────────────────────────────────────────────────────────────────────── */

/* Witnesses' lines, which came later, stand in a table of their own. */
static bool add_cosignatures(struct audit_log *log, uint64_t size, struct buf *note, struct err *err)
{
    sqlite3_stmt *row = NULL;
    if (!audit_db_prepare(log->db, "SELECT line FROM cosignature WHERE size = ?1 ORDER BY name", &row, err))
        return false;
    sqlite3_bind_int64(row, 1, (int64_t)size);
    int got;
    bool good = true;
    while (good && (got = audit_db_step(log->db, row, err)) == 1) {
        const char *line = sqlite3_column_blob(row, 0);
        size_t length = (size_t)sqlite3_column_bytes(row, 0);
        if (!length) continue;
        good = buf_add(note, line, length) && (line[length - 1] == '\n' || buf_text(note, "\n"));
        if (!good) err_set(err, ERR_TOO_LARGE, "the checkpoint has too many signatures");
    }
    sqlite3_finalize(row);
    return good && got == 0;
}

static bool read_note(struct audit_log *log, uint64_t size, struct buf *note, struct err *err)
{
    sqlite3_stmt *row = NULL;
    if (!audit_db_prepare(log->db, "SELECT note FROM checkpoint WHERE size = ?1", &row, err)) return false;
    sqlite3_bind_int64(row, 1, (int64_t)size);
    int got = audit_db_step(log->db, row, err);
    bool good = got == 1 && buf_add(note, sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0));
    sqlite3_finalize(row);
    if (got == 0) return err_set(err, ERR_STATE, "no checkpoint was signed at %llu entries", (unsigned long long)size);
    return good || (got < 0 ? false : err_set(err, ERR_TOO_LARGE, "the checkpoint is too long"));
}

bool audit_log_note(struct audit_log *log, uint64_t size, struct buf *note, uint8_t root[HASH_BYTES], struct err *err)
{
    struct audit_note read;
    const struct proof_source source = audit_log_source(log, size);
    if (!read_note(log, size, note, err) || !add_cosignatures(log, size, note, err)) return false;
    if (!note_read(note->bytes, note->used, log->origin, &read, err))
        return err_in(err, "checkpoint at %llu", (unsigned long long)size);
    if (read.size != size || !proof_root(&source, size, root) || memcmp(root, read.root, HASH_BYTES) != 0)
        return err_set(err, ERR_DAMAGED,
                       "the first %llu entries are not those that were signed: caisson audit verify says which",
                       (unsigned long long)size);
    return true;
}

/* ── proofs ────────────────────────────────────────────────────────────────────────────────────────── */

bool audit_log_prove(struct audit_log *log, uint64_t index, uint64_t size, struct buf *file, struct err *err)
{
    BUF_AUTO note;
    struct proof proof;
    uint8_t root[HASH_BYTES];
    const uint8_t *bytes, *leaf;
    size_t length;
    const struct proof_source source = audit_log_source(log, size);
    buf_init(&note, NOTE_MOST);
    if (!audit_log_note(log, size, &note, root, err) || !audit_log_body(log, index, &bytes, &length, NULL, &leaf, err))
        return false;
    if (!leaf || !proof_make_inclusion(&source, index, &proof) ||
        !proof_check_inclusion(index, size, leaf, &proof, root))
        return err_set(err, ERR_DAMAGED, "entry %llu is not in the tree that was signed", (unsigned long long)index);
    return proof_file_write(index, &proof, bytes, length, note.bytes, note.used, file) ||
           err_set(err, ERR_TOO_LARGE, "the proof is too large");
}

bool audit_log_size_for(struct audit_log *log, uint64_t index, uint64_t *size, struct err *err)
{
    const uint8_t *bytes;
    size_t length;
    int64_t kind;
    if (index >= log->entries)
        return err_set(err, ERR_NOT_FOUND, "there is no entry %llu: the log has %llu", (unsigned long long)index,
                       (unsigned long long)log->entries);
    if (index >= log->signed_size)
        return err_set(err, ERR_STATE, "entry %llu is not signed yet: start caissond, which signs it within a second",
                       (unsigned long long)index);
    if (!audit_log_body(log, index, &bytes, &length, &kind, NULL, err)) return false;
    if (!kind)
        return err_set(err, ERR_STATE,
                       "entry %llu was dropped, as the log records: its proof is in the archive of that pruning",
                       (unsigned long long)index);
    *size = kind == KEY_ROLL ? index + 1 : log->signed_size;
    return true;
}

bool audit_log_rolls(struct audit_log *log, bool (*each)(void *context, uint64_t index, struct err *err), void *context,
                     struct err *err)
{
    sqlite3_stmt *row = NULL;
    if (!audit_db_prepare(log->db, "SELECT idx FROM entry WHERE kind = 8 AND idx < ?1 ORDER BY idx", &row, err))
        return false;
    sqlite3_bind_int64(row, 1, (int64_t)log->signed_size);
    int got;
    bool good = true;
    while (good && (got = audit_db_step(log->db, row, err)) == 1)
        good = each(context, (uint64_t)sqlite3_column_int64(row, 0), err);
    sqlite3_finalize(row);
    return good && got == 0;
}
