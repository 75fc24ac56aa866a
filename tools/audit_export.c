/* SPDX-License-Identifier: Apache-2.0 */
/* The log as a folder of tiles, and as JSON lines. */
#include "audit_export.h"

#include <stdlib.h>
#include <unistd.h>

#include "audit_body.h"
#include "audit_db.h"
#include "audit_place.h"
#include "audit_tile.h"
#include "base/auto.h"
#include "base/json.h"

enum { BUNDLE_MOST = TILE_HASHES * (2 + ENTRY_MOST), PROOF_MOST_BYTES = NOTE_MOST };

/* ── tiles ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool put_tile(struct audit_log *log, int folder, unsigned level, uint64_t number, unsigned width,
                     struct err *err)
{
    char path[TILE_PATH];
    proof_hash hashes[TILE_HASHES];
    const struct proof_source source = audit_log_source(log, log->signed_size);
    tile_path(path, level, number, width);
    if (!source.tiles(source.context, level, number, width, hashes))
        return err_set(err, ERR_DAMAGED, "%s cannot be made: caisson audit verify says why", path);
    return place_put(folder, path, hashes, width * sizeof *hashes, err);
}

/* Entries of which some are pruned make no bundle: a bundle is whole or not there. */
static bool put_bundle(struct audit_log *log, int folder, uint64_t number, unsigned width, struct buf *bundle,
                       struct export_count *count, struct err *err)
{
    char path[TILE_PATH];
    bundle->used = 0;
    for (unsigned i = 0; i < width; i++) {
        const uint8_t *bytes;
        size_t length;
        if (!audit_log_body(log, number * TILE_HASHES + i, &bytes, &length, NULL, NULL, err)) return false;
        if (!bytes) return count->pruned += width, true;
        const uint8_t head[2] = {(uint8_t)(length >> 8), (uint8_t)length};
        if (length > ENTRY_MOST || !buf_add(bundle, head, sizeof head) || !buf_add(bundle, bytes, length))
            return err_set(err, ERR_DAMAGED, "entry %llu is too long", (unsigned long long)number * TILE_HASHES + i);
    }
    tile_path(path, TILE_ENTRIES, number, width);
    count->written += width;
    return place_put(folder, path, bundle->bytes, bundle->used, err);
}

static bool put_level(struct audit_log *log, int folder, unsigned level, struct export_count *count, struct err *err)
{
    BUF_AUTO bundle;
    buf_init(&bundle, BUNDLE_MOST);
    for (uint64_t number = 0;; number++) {
        unsigned width = proof_width(log->signed_size, level, number);
        if (!width) return true;
        if (level == 0 && audit_log_block_dropped(log, number)) {
            count->dropped += width;
            continue;
        }
        if (!put_tile(log, folder, level, number, width, err)) return false;
        if (level == 0 && !put_bundle(log, folder, number, width, &bundle, count, err)) return false;
    }
}

/* ── rolls ─────────────────────────────────────────────────────────────────────────────────────────── */

struct rolls {
    struct audit_log *log;
    const char *before; /* what stands before a file's name */
    int folder;
    uint64_t count;
};

static bool put_roll(void *context, uint64_t index, struct err *err)
{
    struct rolls *rolls = context;
    char path[TILE_PATH];
    BUF_AUTO file;
    buf_init(&file, PROOF_MOST_BYTES);
    snprintf(path, sizeof path, "%s%llu.tlog-proof", rolls->before, (unsigned long long)index);
    rolls->count++;
    return audit_log_prove(rolls->log, index, index + 1, &file, err) &&
           place_put(rolls->folder, path, file.bytes, file.used, err);
}

bool export_rolls(struct audit_log *log, int folder, struct export_count *count, struct err *err)
{
    struct rolls rolls = {log, "", folder, 0};
    bool good = audit_log_rolls(log, put_roll, &rolls, err);
    count->written = rolls.count;
    return good;
}

bool export_tiles(struct audit_log *log, int folder, struct export_count *count, struct err *err)
{
    BUF_AUTO note;
    uint8_t root[HASH_BYTES];
    struct rolls rolls = {log, "rolls/", folder, 0};
    buf_init(&note, NOTE_MOST);
    if (log->signed_size == 0)
        return err_set(err, ERR_STATE, "nothing of this log is signed yet: start caissond, which does so at once");
    if (!audit_log_note(log, log->signed_size, &note, root, err)) return false;
    for (unsigned level = 0; level < TILE_LEVELS; level++)
        if (!put_level(log, folder, level, count, err)) return false;
    if (!audit_log_rolls(log, put_roll, &rolls, err)) return false;
    if (syncfs(folder) < 0) return err_sys(err, ERR_IO, "the export cannot be brought to the disk");
    return place_put(folder, "checkpoint", note.bytes, note.used, err);
}

/* ── lines ─────────────────────────────────────────────────────────────────────────────────────────── */

static void print_hex(FILE *out, const char *key, const void *bytes, size_t count)
{
    fprintf(out, ",\"%s\":\"", key);
    for (size_t i = 0; i < count; i++) fprintf(out, "%02x", ((const uint8_t *)bytes)[i]);
    fputc('"', out);
}

/* What the entry's commitment is about; only what is readable. Columns: form, salt, value. */
static bool print_personal(struct audit_log *log, uint64_t index, FILE *out, struct err *err)
{
    sqlite3_stmt *row = NULL;
    static const char sql[] = "SELECT salt, value FROM detail WHERE n = 2 * ?1 AND name = 'personal' AND form = 0";
    if (!audit_db_prepare(log->db, sql, &row, err)) return false;
    sqlite3_bind_int64(row, 1, (int64_t)index);
    int got = audit_db_step(log->db, row, err);
    size_t length = got == 1 ? (size_t)sqlite3_column_bytes(row, 1) : 0;
    JSON_AUTO *value = NULL;
    bool good = got == 0 || (got == 1 && json_read(sqlite3_column_blob(row, 1), length, length + 1, &value, err));
    if (value) {
        print_hex(out, "personal_salt", sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0));
        fputs(",\"personal\":", out);
        json_dumpf(value, out, JSON_COMPACT | JSON_SORT_KEYS);
    }
    sqlite3_finalize(row);
    return good || err_in(err, "what stands beside entry %llu", (unsigned long long)index);
}

static bool print_line(struct audit_log *log, uint64_t index, const struct export_range *range, const char *origin,
                       FILE *out, struct export_count *count, struct err *err)
{
    const uint8_t *bytes, *leaf;
    size_t length;
    struct body body;
    if (!audit_log_body(log, index, &bytes, &length, NULL, &leaf, err)) return false;
    if (!leaf) return count->dropped++, true;
    if (bytes && !body_read(bytes, length, &body, err)) /* else it might hold a line of its own */
        return err_in(err, "entry %llu", (unsigned long long)index);
    fprintf(out, "{\"origin\":%s,\"index\":%llu", origin, (unsigned long long)index);
    print_hex(out, "leaf", leaf, HASH_BYTES);
    if (range->personal && bytes && !print_personal(log, index, out, err)) return false;
    fputs(",\"body\":", out);
    if (bytes)
        fwrite(bytes, 1, length, out);
    else
        fputs("null", out);
    count->written++;
    count->pruned += !bytes;
    return fputs("}\n", out) != EOF || err_sys(err, ERR_IO, "the output cannot be written");
}

bool export_lines(struct audit_log *log, const struct export_range *range, FILE *out, struct export_count *count,
                  struct err *err)
{
    JSON_AUTO *name = json_string(log->origin);
    FREE_AUTO char *origin = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
    if (!origin) return err_set(err, ERR_DAMAGED, "the log's name cannot be written as JSON");
    for (uint64_t index = range->from; index <= range->to && index < log->entries; index++)
        if (!print_line(log, index, range, origin, out, count, err)) return false;
    return true;
}
