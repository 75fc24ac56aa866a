/* SPDX-License-Identifier: Apache-2.0 */
/* What is gone of a log. Only its own signed records count: the ledger's notes and min_index are what an attacker would
 * change first, and are compared with them. */
#include "audit_pruned.h"

#include <string.h>

#include "audit_tree.h"

enum { TILE_SIZE = TILE_HASHES * HASH_BYTES };

bool audit_pruned_open(struct audit_pruned *pruned, sqlite3 *db, struct err *err)
{
    pruned->db = db;
    return audit_db_prepare(db, "SELECT root FROM block WHERE n=?1", &pruned->blocks, err) &&
           audit_db_prepare(db, "SELECT 1 FROM prune WHERE hashes=1 AND from_idx<=?1 AND to_idx>=?1 LIMIT 1",
                            &pruned->drops, err) &&
           audit_db_prepare(
               db, "SELECT count(*) FROM entry NOT INDEXED WHERE idx BETWEEN ?1 AND ?2 AND kind IN " AUDIT_STAYS,
               &pruned->stays, err) &&
           audit_db_prepare(db, "SELECT hashes FROM tile WHERE level=0 AND n=?1", &pruned->tiles, err);
}

void audit_pruned_close(struct audit_pruned *pruned)
{
    sqlite3_finalize(pruned->blocks);
    sqlite3_finalize(pruned->drops);
    sqlite3_finalize(pruned->tiles);
    sqlite3_finalize(pruned->stays);
}

/* ── bodies ────────────────────────────────────────────────────────────────────────────────────────── */

void audit_pruned_whole(struct audit_pruned *pruned, int64_t kind)
{
    pruned->staying = audit_stays(kind) ? pruned->staying + 1 : 0;
}

bool audit_pruned_body(struct audit_pruned *pruned, uint64_t index, int64_t kind, struct err *err)
{
    uint64_t gap = pruned->staying;
    pruned->staying = 0;
    if (kind == body_kind_number("key_roll") || kind == body_kind_number("epoch"))
        return err_set(err, ERR_DAMAGED, "its bytes are gone, and without them no key can be followed");
    if (audit_stays(kind))
        return err_set(err, ERR_DAMAGED, "its bytes are gone, and records of its kind are not pruned");
    return audit_range_add(&pruned->bodies, index, index, gap, err);
}

/* A record about the log itself must not be taken for one of the entries that went. (That a row is of the kind that its
 * column says is seen where its body is read, and without a body it is damage.) */
static bool all_stay(struct audit_pruned *pruned, const struct body *body, struct err *err)
{
    sqlite3_reset(pruned->stays);
    sqlite3_bind_int64(pruned->stays, 1, body->from);
    sqlite3_bind_int64(pruned->stays, 2, body->to);
    int got = audit_db_step(pruned->db, pruned->stays, err);
    int64_t count = got == 1 ? sqlite3_column_int64(pruned->stays, 0) : 0;
    if (got < 0 || count == body->stays) return got >= 0;
    return err_set(err, ERR_DAMAGED, "of entries %lld to %lld it leaves %lld as they were, and %lld are there",
                   (long long)body->from, (long long)body->to, (long long)body->stays, (long long)count);
}

/* Every pruning begins where the one before it ended, and leaves go after their bodies, never with them. */
bool audit_pruned_record(struct audit_pruned *pruned, const struct body *body, uint64_t index, struct err *err)
{
    bool hashes = strcmp(body->what, "hashes") == 0;
    uint64_t *end = hashes ? &pruned->leaves_end : &pruned->bodies_end, to = (uint64_t)body->to;
    if (body->to < body->from || to >= index) return err_set(err, ERR_DAMAGED, "it prunes what is not there");
    if (body->from < 0 || (uint64_t)body->from != *end)
        return err_set(err, ERR_DAMAGED, "it does not begin where the pruning before it ended");
    if (hashes && to >= pruned->bodies_end)
        return err_set(err, ERR_DAMAGED, "it drops hashes of entries whose bytes were not pruned before");
    *end = to + 1;
    pruned->recorded = index + 1;
    return all_stay(pruned, body, err);
}

/* ── leaves ────────────────────────────────────────────────────────────────────────────────────────── */

/* The value of the row of that number, of that many bytes; *got 0: there is none, -1: err. */
static const void *look_up(struct audit_pruned *pruned, sqlite3_stmt *row, uint64_t number, int size, int *got,
                           struct err *err)
{
    sqlite3_reset(row);
    sqlite3_bind_int64(row, 1, (int64_t)number);
    *got = audit_db_step(pruned->db, row, err);
    if (*got == 1 && sqlite3_column_bytes(row, 0) == size) return sqlite3_column_blob(row, 0);
    if (*got == 1) err_set(err, ERR_DAMAGED, "what is left of it has another size than it must have");
    if (*got == 1) *got = -1;
    return NULL;
}

static bool note_gone(struct audit_pruned *pruned, uint64_t from, uint64_t to, struct err *err)
{
    uint64_t gap = pruned->staying;
    pruned->staying = 0;
    return audit_range_add(&pruned->bodies, from, to, gap, err) && audit_range_add(&pruned->leaves, from, to, gap, err);
}

/* Of a block of which entries stay, the tile has the leaves of the others. */
static bool from_tile(struct audit_pruned *pruned, uint64_t index, uint8_t hash[HASH_BYTES], struct err *err)
{
    int got;
    const uint8_t *tile = look_up(pruned, pruned->tiles, index / TILE_HASHES, TILE_SIZE, &got, err);
    if (tile) memcpy(hash, tile + index % TILE_HASHES * HASH_BYTES, HASH_BYTES);
    return got == 0 ? err_set(err, ERR_DAMAGED, "it is missing, and so is the tile with its leaf") : got > 0;
}

/* The ledger's own note says whether to expect this; whether a record says so as well is seen at the end. */
bool audit_pruned_row(struct audit_pruned *pruned, uint64_t index, uint64_t next, unsigned *width,
                      uint8_t hash[HASH_BYTES], struct err *err)
{
    int got;
    sqlite3_reset(pruned->drops);
    sqlite3_bind_int64(pruned->drops, 1, (int64_t)index);
    got = audit_db_step(pruned->db, pruned->drops, err);
    if (got <= 0) return got == 0 && err_set(err, ERR_DAMAGED, "it is missing");
    got = 0;
    const uint8_t *root = index % TILE_HASHES
                              ? NULL
                              : look_up(pruned, pruned->blocks, index / TILE_HASHES, HASH_BYTES, &got, err);
    if (got < 0) return false;
    *width = root ? TILE_HASHES : 1;
    if (root && next < index + TILE_HASHES)
        return err_set(err, ERR_DAMAGED, "its block was dropped, and entry %llu of it is there",
                       (unsigned long long)next);
    if (root) memcpy(hash, root, HASH_BYTES);
    if (root) pruned->blocks_used++;
    return (root || from_tile(pruned, index, hash, err)) && note_gone(pruned, index, index + *width - 1, err);
}

/* ── the end ───────────────────────────────────────────────────────────────────────────────────────── */

static bool all_recorded(const struct audit_ranges *gone, uint64_t end, const char *what, struct audit_range *bad,
                         struct err *err)
{
    for (unsigned i = 0; i < gone->count; i++)
        if (gone->list[i].to >= end) {
            *bad = gone->list[i];
            if (bad->from < end) bad->from = end;
            return err_set(err, ERR_DAMAGED, "entry %llu: %s", (unsigned long long)bad->from, what);
        }
    return true;
}

/* A number that was moved up would spare entries from the first step, or leave the second too many. */
static bool min_index_agrees(struct audit_pruned *pruned, struct err *err)
{
    int64_t said;
    if (!audit_db_number(pruned->db,
                         "SELECT ifnull((SELECT CAST(CAST(v AS TEXT) AS INTEGER) FROM meta WHERE k = 'min_index'), 0)",
                         &said, err))
        return false;
    return said == (int64_t)pruned->bodies_end ||
           err_set(err, ERR_DAMAGED, "min_index is %lld, and the records of pruning say %llu", (long long)said,
                   (unsigned long long)pruned->bodies_end);
}

static bool nothing_over(struct audit_pruned *pruned, uint64_t used, struct err *err)
{
    int64_t tiles, blocks;
    if (!audit_db_number(pruned->db, "SELECT count(*) FROM tile NOT INDEXED", &tiles, err) ||
        !audit_db_number(pruned->db, "SELECT count(*) FROM block NOT INDEXED", &blocks, err))
        return false;
    if ((uint64_t)tiles != used) return err_set(err, ERR_DAMAGED, "there are tiles that no entry belongs to");
    return (uint64_t)blocks == pruned->blocks_used ||
           err_set(err, ERR_DAMAGED, "there are roots of blocks that were not dropped");
}

/* Whoever can write to the file can add a record. The daemon signs its own within a second. */
static bool records_signed(const struct audit_pruned *pruned, uint64_t signed_size, struct err *err)
{
    return pruned->recorded <= signed_size ||
           err_set(err, ERR_STATE,
                   "entry %llu says what was pruned, and is not signed yet: verify again while caissond runs",
                   (unsigned long long)pruned->recorded - 1);
}

/* Said last: that the log's records say so is known by then. */
static bool nothing_beyond(const struct audit_pruned *pruned, struct err *err)
{
    return !pruned->beyond ||
           err_set(
               err, ERR_STATE,
               "whether the log continues what was seen of it at %llu entries cannot be proven any more: the hashes of "
               "that time were dropped, as it records. Verify with another --state, or a checkpoint of later",
               (unsigned long long)pruned->beyond);
}

bool audit_pruned_end(struct audit_pruned *pruned, uint64_t tiles, uint64_t signed_size, struct audit_range *bad,
                      struct err *err)
{
    *bad = (struct audit_range){1, 0};
    return all_recorded(&pruned->leaves, pruned->leaves_end, "it is missing, and no record says that it was dropped",
                        bad, err) &&
           all_recorded(&pruned->bodies, pruned->bodies_end,
                        "its bytes are gone, and no record says that they were pruned", bad, err) &&
           nothing_over(pruned, tiles, err) && min_index_agrees(pruned, err) &&
           records_signed(pruned, signed_size, err) && nothing_beyond(pruned, err);
}
