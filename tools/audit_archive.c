/* SPDX-License-Identifier: Apache-2.0 */
/* Writing an archive: every body is hashed again on its way out, and the whole is led up to the newest checkpoint. */
#include "audit_archive.h"

#include <jansson.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "audit_db.h"
#include "audit_tree.h"
#include "base/auto.h"
#include "base/auto_json.h"

struct writing {
    struct archive *archive;
    sqlite3 *db;
    FILE *out;
    crypto_hash_sha256_state hash;
};

/* ── lines ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool put_line(struct writing *writing, json_t *line, struct err *err)
{
    FREE_AUTO char *text = line ? json_dumps(line, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(line);
    if (!text) return err_set(err, ERR_DAMAGED, "an entry cannot be written as JSON");
    size_t length = strlen(text);
    text[length] = '\n'; /* in the place of its NUL */
    crypto_hash_sha256_update(&writing->hash, (unsigned char *)text, length + 1);
    return fwrite(text, 1, length + 1, writing->out) == length + 1 || err_sys(err, ERR_IO, "writing the archive");
}

static json_t *hex_json(const void *bytes, size_t count)
{
    char text[2 * 512 + 1];
    if (!bytes || count > 512) return json_null();
    hex_text(bytes, count, text);
    return json_string(text);
}

static json_t *base64_json(const void *bytes, size_t count)
{
    size_t size = sodium_base64_encoded_len(count, sodium_base64_VARIANT_ORIGINAL);
    FREE_AUTO char *text = malloc(size);
    return text && bytes ? json_string(sodium_bin2base64(text, size, bytes, count, sodium_base64_VARIANT_ORIGINAL))
                         : json_null();
}

static bool add_details(struct writing *writing, sqlite3_stmt *details, int64_t index, json_t *line, struct err *err)
{
    int got;
    json_t *list = json_array();
    json_object_set_new(line, "details", list);
    sqlite3_reset(details);
    sqlite3_bind_int64(details, 1, index);
    while ((got = audit_db_step(writing->db, details, err)) == 1)
        json_array_append_new(
            list,
            json_pack("{s:s, s:I, s:o, s:o, s:o}", "name", (const char *)sqlite3_column_text(details, 0), "form",
                      (json_int_t)sqlite3_column_int64(details, 1), "salt",
                      hex_json(sqlite3_column_blob(details, 2), (size_t)sqlite3_column_bytes(details, 2)), "subject",
                      hex_json(sqlite3_column_blob(details, 3), (size_t)sqlite3_column_bytes(details, 3)), "value",
                      base64_json(sqlite3_column_blob(details, 4), (size_t)sqlite3_column_bytes(details, 4))));
    return got == 0;
}

/* Columns: idx, leaf, body. */
static bool put_entry(struct writing *writing, sqlite3_stmt *row, sqlite3_stmt *details, struct audit_tree *tree,
                      struct err *err)
{
    uint8_t leaf[HASH_BYTES];
    const void *stored = sqlite3_column_blob(row, 1), *body = sqlite3_column_blob(row, 2);
    size_t length = (size_t)sqlite3_column_bytes(row, 2);
    if (sqlite3_column_bytes(row, 1) != HASH_BYTES) return err_set(err, ERR_DAMAGED, "an entry has no leaf");
    memcpy(leaf, stored, sizeof leaf);
    if (body) audit_leaf(body, length, leaf);
    if (memcmp(leaf, stored, sizeof leaf) != 0 || !audit_tree_add(tree, leaf))
        return err_set(err, ERR_DAMAGED, "entry %lld is not what was recorded",
                       (long long)sqlite3_column_int64(row, 0));
    json_t *line = json_pack("{s:I, s:o, s:o}", "index", (json_int_t)sqlite3_column_int64(row, 0), "leaf",
                             hex_json(leaf, sizeof leaf), "body", body ? json_stringn(body, length) : json_null());
    if (line && details && !add_details(writing, details, sqlite3_column_int64(row, 0), line, err)) {
        json_decref(line);
        return false;
    }
    return put_line(writing, line, err);
}

static bool put_entries(struct writing *writing, struct err *err)
{
    struct archive *archive = writing->archive;
    FREE_AUTO struct audit_tree *tree = calloc(1, sizeof *tree);
    sqlite3_stmt *row = NULL, *details = NULL;
    int got = -1;
    if (!tree) return err_set(err, ERR_IO, "there is not enough memory");
    bool good = audit_db_prepare(writing->db,
                                 "SELECT idx, leaf, body FROM entry WHERE idx >= ?1 AND idx < ?2 ORDER BY idx", &row,
                                 err) &&
                (!archive->details || audit_db_prepare(writing->db,
                                                       "SELECT name, form, salt, subject, value FROM detail"
                                                       " WHERE n BETWEEN 2 * ?1 AND 2 * ?1 + 1 UNION ALL"
                                                       " SELECT 'payload', form, NULL, subject, value FROM payload"
                                                       " WHERE idx = ?1 ORDER BY name DESC",
                                                       &details, err));
    if (good) sqlite3_bind_int64(row, 1, (int64_t)archive->from), sqlite3_bind_int64(row, 2, (int64_t)archive->to);
    while (good && (got = audit_db_step(writing->db, row, err)) == 1)
        good = put_entry(writing, row, details, tree, err);
    good = good && got == 0;
    if (good && tree->size != archive->to - archive->from)
        good = err_set(err, ERR_DAMAGED, "the log lacks entries that are to be archived");
    if (good) audit_tree_root(tree, archive->root);
    sqlite3_finalize(row);
    sqlite3_finalize(details);
    return good;
}

/* ── up to the checkpoint ──────────────────────────────────────────────────────────────────────────── */

/* The root of each whole block of 256 entries, and the leaves behind the last of them: from these and the archive's own
 * leaves anybody can compute the checkpoint's root. */
static bool block_root(struct writing *writing, sqlite3_stmt *tiles, uint64_t block, uint8_t root[HASH_BYTES],
                       struct err *err)
{
    FREE_AUTO struct audit_tree *tree = calloc(1, sizeof *tree);
    sqlite3_reset(tiles);
    sqlite3_bind_int64(tiles, 1, (int64_t)block);
    int got = tree ? audit_db_step(writing->db, tiles, err) : 0;
    const uint8_t *hashes = got == 1 ? sqlite3_column_blob(tiles, 0) : NULL;
    if (!hashes || sqlite3_column_bytes(tiles, 0) != TILE_HASHES * HASH_BYTES)
        return got >= 0 ? err_set(err, ERR_DAMAGED, "a tile is missing") : false;
    for (unsigned i = 0; i < TILE_HASHES; i++)
        if (!audit_tree_add(tree, hashes + (size_t)i * HASH_BYTES)) return false;
    audit_tree_root(tree, root);
    return true;
}

/* Of a block that was dropped, its root is all there is. 1: it was. */
static int dropped_root(struct writing *writing, sqlite3_stmt *roots, uint64_t block, uint8_t root[HASH_BYTES],
                        struct err *err)
{
    sqlite3_reset(roots);
    sqlite3_bind_int64(roots, 1, (int64_t)block);
    int got = audit_db_step(writing->db, roots, err);
    if (got == 1 && sqlite3_column_bytes(roots, 0) != HASH_BYTES)
        return err_set(err, ERR_DAMAGED, "the root of a block is no hash"), -1;
    if (got == 1) memcpy(root, sqlite3_column_blob(roots, 0), HASH_BYTES);
    return got;
}

static bool add_blocks(struct writing *writing, uint64_t count, struct audit_tree *tree, json_t *list, struct err *err)
{
    sqlite3_stmt *tiles = NULL, *roots = NULL;
    uint8_t root[HASH_BYTES];
    bool good = audit_db_prepare(writing->db, "SELECT hashes FROM tile WHERE level = 0 AND n = ?1", &tiles, err) &&
                audit_db_prepare(writing->db, "SELECT root FROM block WHERE n = ?1", &roots, err);
    for (uint64_t block = 0; good && block < count; block++) {
        int got = dropped_root(writing, roots, block, root, err);
        good = got >= 0 && (got || block_root(writing, tiles, block, root, err)) && audit_tree_add(tree, root);
        if (good) json_array_append_new(list, hex_json(root, sizeof root));
    }
    sqlite3_finalize(tiles);
    sqlite3_finalize(roots);
    return good;
}

static bool add_edge(struct writing *writing, uint64_t from, uint64_t size, struct audit_tree *tree, json_t *list,
                     struct err *err)
{
    sqlite3_stmt *row = NULL;
    int got = -1;
    bool good = audit_db_prepare(writing->db, "SELECT leaf FROM entry WHERE idx >= ?1 AND idx < ?2 ORDER BY idx", &row,
                                 err);
    if (good) sqlite3_bind_int64(row, 1, (int64_t)from), sqlite3_bind_int64(row, 2, (int64_t)size);
    while (good && (got = audit_db_step(writing->db, row, err)) == 1) {
        good = sqlite3_column_bytes(row, 0) == HASH_BYTES && audit_tree_add(tree, sqlite3_column_blob(row, 0));
        json_array_append_new(list, hex_json(sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0)));
    }
    sqlite3_finalize(row);
    return good && got == 0;
}

/* A tree of blocks is the log's tree from height 8 on. */
static void lift(const struct audit_tree *blocks, struct audit_tree *tree)
{
    tree->size = blocks->size * TILE_HASHES;
    for (unsigned height = 0; height + TILE_HEIGHT < TREE_HEIGHT; height++)
        memcpy(tree->edge[height + TILE_HEIGHT], blocks->edge[height], HASH_BYTES);
}

static bool lead_up(struct writing *writing, uint64_t size, uint8_t root[HASH_BYTES], json_t *line, struct err *err)
{
    FREE_AUTO struct audit_tree *blocks = calloc(1, sizeof *blocks), *tree = calloc(1, sizeof *tree);
    json_t *tiles = json_array(), *edge = json_array();
    json_object_set_new(line, "blocks", tiles);
    json_object_set_new(line, "edge", edge);
    if (!blocks || !tree) return err_set(err, ERR_IO, "there is not enough memory");
    if (!add_blocks(writing, size / TILE_HASHES, blocks, tiles, err)) return false;
    lift(blocks, tree);
    if (!add_edge(writing, size - size % TILE_HASHES, size, tree, edge, err)) return false;
    audit_tree_root(tree, root);
    return true;
}

static bool put_end(struct writing *writing, struct err *err)
{
    sqlite3_stmt *row = NULL;
    uint8_t root[HASH_BYTES];
    JSON_AUTO *line = json_object();
    bool good = audit_db_prepare(writing->db, "SELECT size, root, note FROM checkpoint ORDER BY size DESC LIMIT 1",
                                 &row, err) &&
                audit_db_step(writing->db, row, err) == 1;
    uint64_t size = good ? (uint64_t)sqlite3_column_int64(row, 0) : 0;
    if (err->kind == ERR_NONE && size < writing->archive->to)
        good = err_set(err, ERR_STATE, "no checkpoint covers the entries that are to be archived");
    good = good && lead_up(writing, size, root, line, err);
    if (good &&
        (sqlite3_column_bytes(row, 1) != HASH_BYTES || memcmp(sqlite3_column_blob(row, 1), root, HASH_BYTES) != 0))
        good = err_set(err, ERR_DAMAGED, "the entries are not those that were signed");
    if (good)
        json_object_set_new(line, "checkpoint",
                            json_stringn(sqlite3_column_blob(row, 2), (size_t)sqlite3_column_bytes(row, 2)));
    if (good) json_object_set_new(line, "root", hex_json(writing->archive->root, HASH_BYTES));
    sqlite3_finalize(row);
    return good && put_line(writing, json_incref(line), err);
}

/* ── the file ──────────────────────────────────────────────────────────────────────────────────────── */

static bool put_all(struct writing *writing, struct err *err)
{
    struct archive *archive = writing->archive;
    char origin[128];
    if (!audit_db_text(writing->db, "SELECT v FROM meta WHERE k = 'origin'", origin, sizeof origin, err)) return false;
    json_t *head = json_pack("{s:s, s:b, s:I, s:s, s:I}", "format", "caisson-archive-1", "details", archive->details,
                             "from", (json_int_t)archive->from, "origin", origin, "to", (json_int_t)archive->to - 1);
    crypto_hash_sha256_init(&writing->hash);
    return put_line(writing, head, err) && put_entries(writing, err) && put_end(writing, err);
}

bool archive_write(const struct home *home, struct archive *archive, FILE *out, struct err *err)
{
    struct writing writing = {.archive = archive, .out = out};
    bool good = audit_db_open(home->path, 0, &writing.db, err) && put_all(&writing, err);
    if (good) crypto_hash_sha256_final(&writing.hash, archive->digest);
    sqlite3_close(writing.db);
    return good;
}
