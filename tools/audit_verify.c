/* SPDX-License-Identifier: Apache-2.0 */
/* Verifies the log on its own: one pass over the entries in the order of the tree, everything else compared on the way.
 * The database is read as hostile: read-only, nothing in its schema trusted or run. */
#include "audit_verify.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "audit_body.h"
#include "audit_calls.h"
#include "audit_db.h"
#include "audit_extra.h"
#include "audit_note.h"
#include "audit_pin.h"
#include "audit_pruned.h"
#include "audit_row.h"
#include "audit_signers.h"
#include "audit_tree.h"
#include "base/clock.h"
#include "base/origin.h"

enum { SIGNATURES_SHORT = 64 }; /* how many signatures of the newest checkpoints are always checked */

struct check {
    const struct audit_how *how;
    struct audit_report *report;
    struct err *err; /* for the tree, which knows no errors */
    sqlite3 *db;
    sqlite3_stmt *entries, *tiles, *checkpoints;
    struct audit_row row;
    struct audit_pin pin;
    struct audit_signers signers;
    struct audit_tree tree;
    struct audit_calls calls;
    struct audit_pruned pruned;
    uint64_t checkpoint_count, next_size; /* next_size: of the checkpoint row that comes next; UINT64_MAX: none */
    uint64_t proven;                      /* entries that the last good checkpoint covers */
    int64_t last_at;
};

static bool prepare_all(struct check *check, struct err *err)
{
    return audit_db_prepare(check->db, "SELECT " AUDIT_ROW_COLUMNS " FROM entry NOT INDEXED ORDER BY idx",
                            &check->entries, err) &&
           audit_db_prepare(check->db, "SELECT hashes FROM tile WHERE level=?1 AND n=?2", &check->tiles, err) &&
           audit_db_prepare(check->db, "SELECT size, root, note FROM checkpoint NOT INDEXED ORDER BY size",
                            &check->checkpoints, err);
}

/* ── marks on the way ──────────────────────────────────────────────────────────────────────────────── */

/* Entries from…to do not give what was signed or seen: names the first that may be bad. */
static bool blame_range(struct check *check, uint64_t from, uint64_t to)
{
    check->report->has_entry = to >= from && from < check->tree.size;
    check->report->index = from;
    check->report->last = to;
    return false;
}

static bool mark_check(struct check *check, const struct audit_mark *mark, const char *who, struct err *err)
{
    uint8_t root[HASH_BYTES];
    if (!mark->known || mark->size != check->tree.size) return true;
    audit_tree_root(&check->tree, root);
    if (memcmp(root, mark->root, HASH_BYTES) == 0) return true;
    err_set(err, ERR_DAMAGED, "the first %llu entries are not those that %s", (unsigned long long)mark->size, who);
    return blame_range(check, check->proven, mark->size - 1);
}

static bool next_checkpoint(struct check *check, struct err *err)
{
    int got = audit_db_step(check->db, check->checkpoints, err);
    if (got < 0) return false;
    check->next_size = got ? (uint64_t)sqlite3_column_int64(check->checkpoints, 0) : UINT64_MAX;
    if (got && sqlite3_column_int64(check->checkpoints, 0) < 0)
        return err_set(err, ERR_DAMAGED, "a checkpoint has a negative size");
    return true;
}

static bool checkpoint_read(struct check *check, struct err *err)
{
    uint8_t root[HASH_BYTES];
    struct audit_note note;
    const void *stored = sqlite3_column_blob(check->checkpoints, 1);
    int stored_length = sqlite3_column_bytes(check->checkpoints, 1);
    const char *bytes = sqlite3_column_blob(check->checkpoints, 2);
    size_t length = (size_t)sqlite3_column_bytes(check->checkpoints, 2);
    bool looked, newest = check->checkpoint_count - check->report->checkpoints <= SIGNATURES_SHORT;
    if (!note_read(bytes ? bytes : "", length, check->pin.origin, &note, err)) return false;
    if (note.size != check->tree.size || stored_length != HASH_BYTES || memcmp(note.root, stored, HASH_BYTES) != 0)
        return err_set(err, ERR_DAMAGED, "its row and its text differ");
    if (!audit_signers_note(&check->signers, bytes, length, &note, newest || check->how->full, &looked, err))
        return false;
    check->report->signatures += looked;
    audit_tree_root(&check->tree, root);
    if (memcmp(root, note.root, HASH_BYTES) == 0) return true;
    err_set(err, ERR_DAMAGED, "the entries are not those that were signed: from entry %llu on",
            (unsigned long long)check->proven);
    return blame_range(check, check->proven, note.size - 1);
}

/* Signed by whoever's turn it was then: a key of today cannot have made it. */
static bool kept_check(struct check *check, struct err *err)
{
    const struct audit_pin *pin = &check->pin;
    struct audit_note note;
    if (!pin->kept.known || pin->kept.size != check->tree.size) return true;
    if (!note_read(pin->note, pin->note_length, pin->origin, &note, err) ||
        !note_signed(pin->note, pin->note_length, &note, pin->origin, check->signers.key, err))
        return err_in(err, "the checkpoint that was kept");
    return mark_check(check, &pin->kept, "the checkpoint that was kept says", err);
}

/* All that speaks of a tree of exactly this size. */
static bool marks(struct check *check, struct err *err)
{
    if (!kept_check(check, err) || !mark_check(check, &check->pin.witness, "the daemon's parent saw signed", err) ||
        !mark_check(check, &check->pin.state, "the last verification saw", err))
        return false;
    while (check->next_size == check->tree.size) {
        if (!checkpoint_read(check, err))
            return err_in(err, "checkpoint at %llu", (unsigned long long)check->tree.size);
        check->report->checkpoints++;
        check->report->signed_size = check->proven = check->tree.size;
        if (!next_checkpoint(check, err)) return false;
    }
    return true;
}

static bool tile_check(void *context, unsigned level, uint64_t number, const uint8_t *hashes)
{
    struct check *check = context;
    struct err *err = check->err;
    sqlite3_reset(check->tiles);
    sqlite3_bind_int(check->tiles, 1, (int)level);
    sqlite3_bind_int64(check->tiles, 2, (int64_t)number);
    int got = audit_db_step(check->db, check->tiles, err);
    if (got < 0) return false;
    size_t size = (size_t)TILE_HASHES * HASH_BYTES;
    bool same = got && (size_t)sqlite3_column_bytes(check->tiles, 0) == size &&
                memcmp(sqlite3_column_blob(check->tiles, 0), hashes, size) == 0;
    check->report->tiles++;
    sqlite3_reset(check->tiles);
    return same || err_set(err, ERR_DAMAGED, "the stored tile %u/%llu %s", level, (unsigned long long)number,
                           got ? "does not fit the entries" : "is missing");
}

/* ── entries ───────────────────────────────────────────────────────────────────────────────────────── */

/* The first entry of a log that follows another. */
static bool begins_epoch(struct check *check, const struct body *body, uint64_t index, struct err *err)
{
    check->calls.continued = true;
    if (index || strcmp(body->target, check->pin.origin) != 0 || !origin_continues(body->old_origin, body->target))
        return err_set(err, ERR_DAMAGED, "it begins another log than this one");
    return !*check->pin.before || origin_continues(check->pin.before, body->old_origin) ||
           err_set(err, ERR_DAMAGED, "it does not follow the log %s that was verified before", check->pin.before);
}

static bool call_rules(struct check *check, const struct body *body, int64_t kind, struct err *err)
{
    uint32_t named = BODY_CALL | BODY_ATTEMPT | (kind == KIND_OUTCOME ? BODY_INTENT : 0);
    const uint8_t *workspace = check->row.workspace;
    uint64_t index = check->tree.size;
    if ((body->seen & named) != named) return err_set(err, ERR_DAMAGED, "it does not name its call");
    return kind == KIND_INTENT
               ? audit_calls_intent(&check->calls, body->call, body->attempt, index, workspace, err)
               : audit_calls_outcome(&check->calls, body->call, body->attempt, index, body->intent, workspace, err);
}

static bool body_rules(struct check *check, const struct body *body, int64_t kind, struct err *err)
{
    uint64_t index = check->tree.size;
    if (kind == KIND_NONE) return err_set(err, ERR_STATE, "its kind is new: a newer caisson is needed");
    if (body->at < check->last_at) return err_set(err, ERR_DAMAGED, "its time lies before that of the entry before");
    check->last_at = body->at;
    if (kind == KIND_INTENT || kind == KIND_OUTCOME) return call_rules(check, body, kind, err);
    if (kind == KIND_KEY_ROLL) return audit_signers_entry(&check->signers, body, index, err);
    if (kind == KIND_EPOCH) return begins_epoch(check, body, index, err);
    return kind != KIND_PRUNE || audit_pruned_record(&check->pruned, body, index, err);
}

/* The leaf stays and is proven by the tree; what the columns say is all that is left. */
static bool pruned_entry(struct check *check, const struct audit_row *row, struct err *err)
{
    uint64_t index = check->tree.size;
    check->report->pruned++;
    if (!audit_pruned_body(&check->pruned, index, row->kind, err)) return false;
    if (row->kind != KIND_INTENT && row->kind != KIND_OUTCOME) return true;
    if (!row->call || !row->workspace) return err_set(err, ERR_DAMAGED, "it does not name its call and workspace");
    return row->kind == KIND_INTENT
               ? audit_calls_intent(&check->calls, row->call, row->attempt, index, row->workspace, err)
               : audit_calls_outcome(&check->calls, row->call, row->attempt, index, -1, row->workspace, err);
}

static bool whole_entry(struct check *check, const struct audit_row *row, struct err *err)
{
    uint8_t leaf[HASH_BYTES];
    struct body body;
    if (!row->body) return err_set(err, ERR_DAMAGED, "its bytes are empty");
    audit_calls_soon(&check->calls, row->call, row->attempt);
    audit_leaf(row->body, row->length, leaf);
    check->report->body_bytes += row->length;
    if (memcmp(leaf, row->leaf, HASH_BYTES) != 0) return err_set(err, ERR_DAMAGED, "its bytes do not fit its leaf");
    audit_pruned_whole(&check->pruned, row->kind);
    if (!body_read(row->body, row->length, &body, err)) return false;
    int64_t kind = body_kind_number(body.kind);
    if (!audit_row_agrees(row, &body, kind))
        return err_set(err, ERR_DAMAGED, "its columns say something else than its bytes");
    return body_rules(check, &body, kind, err);
}

static bool entry_check(struct check *check, const struct audit_row *row, struct err *err)
{
    if (row->index != (int64_t)check->tree.size) return err_set(err, ERR_DAMAGED, "it is missing");
    if (!row->leaf) return err_set(err, ERR_DAMAGED, "its leaf is not a hash");
    return (row->pruned ? pruned_entry(check, row, err) : whole_entry(check, row, err)) &&
           audit_tree_add(&check->tree, row->leaf);
}

/* Says which entry it was, with what the columns call it. */
static bool blame_entry(struct check *check, uint64_t index, struct err *err)
{
    struct audit_report *report = check->report;
    const struct audit_row *row = &check->row;
    bool here = row->index == (int64_t)index;
    report->has_entry = true;
    report->index = report->last = index;
    snprintf(report->kind, sizeof report->kind, "%s", body_kind_name(row->kind));
    if (here && row->call) id_text(row->call, report->call);
    if (!here) return err_in(err, "entry %llu", (unsigned long long)index);
    return err_in(err, "entry %llu (%s%s%s)", (unsigned long long)index, report->kind, *report->call ? " of call " : "",
                  report->call);
}

static bool marks_outside(struct check *check, uint64_t from, uint64_t to, struct err *err)
{
    audit_pin_inside(&check->pin, from, to, &check->pruned.beyond);
    return check->next_size <= from || check->next_size >= to ||
           err_set(err, ERR_DAMAGED, "the checkpoint of size %llu is there, and what it signs is not",
                   (unsigned long long)check->next_size);
}

/* Entries that were dropped, up to the next that is there. */
static bool gone_until(struct check *check, uint64_t next, struct err *err)
{
    while (check->tree.size < next) {
        uint8_t hash[HASH_BYTES];
        unsigned width;
        uint64_t index = check->tree.size;
        if (!audit_pruned_row(&check->pruned, index, next, &width, hash, err)) return blame_entry(check, index, err);
        if (!marks_outside(check, index, index + width, err)) return false;
        check->report->dropped += width;
        if (!(width == 1 ? audit_tree_add(&check->tree, hash) : audit_tree_add_block(&check->tree, hash)) ||
            !marks(check, err))
            return false;
    }
    return true;
}

static bool all_entries(struct check *check, struct err *err)
{
    int got;
    if (!marks(check, err)) return false;
    while ((got = audit_db_step(check->db, check->entries, err)) == 1) {
        audit_row_read(check->entries, &check->row);
        if (check->row.index > 0 && !gone_until(check, (uint64_t)check->row.index, err)) return false;
        uint64_t index = check->tree.size;
        if (!entry_check(check, &check->row, err)) return blame_entry(check, index, err);
        if (!marks(check, err)) return false;
    }
    return got == 0;
}

/* ── the end ───────────────────────────────────────────────────────────────────────────────────────── */

static void notice(struct audit_report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void notice(struct audit_report *report, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (!*report->notice) vsnprintf(report->notice, sizeof report->notice, format, args);
    va_end(args);
}

/* A log that was ended because it lacked entries lacks them: that is said, and is no fault of this file. */
static bool shorter(struct check *check, const struct audit_mark *mark, const char *who, const char *what,
                    struct err *err)
{
    unsigned long long size = check->tree.size, more = mark->size;
    if (!mark->known || more <= size) return true;
    if (!check->how->epoch)
        return err_set(err, ERR_DAMAGED, "the log was cut or replaced by an older one: it has %llu entries, %s %llu%s",
                       size, who, more, what);
    notice(check->report, "this log was ended: it has %llu entries, %s %llu%s", size, who, more, what);
    return true;
}

static bool not_shorter(struct check *check, struct err *err)
{
    uint64_t size = check->tree.size;
    if (!shorter(check, &check->pin.state, "the last verification saw", "", err) ||
        !shorter(check, &check->pin.kept, "the checkpoint that was kept says", "", err))
        return false;
    if (check->next_size != UINT64_MAX)
        return err_set(err, ERR_DAMAGED, "the log was cut: it has %llu entries, and %llu were signed",
                       (unsigned long long)size, (unsigned long long)check->next_size);
    if (check->report->checkpoints != check->checkpoint_count)
        return err_set(err, ERR_DAMAGED, "an index of the database does not fit its table of checkpoints");
    if (!shorter(check, &check->pin.witness, "and the daemon's parent saw", " signed", err)) return false;
    if (size && !check->report->checkpoints)
        return err_set(err, ERR_DAMAGED, "nothing in this log is signed (a new one is within a second of its start)");
    bool same = !check->pin.witness.known || check->pin.witness.size > size || check->how->epoch ||
                audit_signers_may(&check->signers, check->pin.witness.key);
    return same || err_set(err, ERR_DAMAGED, "the daemon's parent knows another signing key than the log leads to");
}

static bool pruned_by_record(struct check *check, struct err *err)
{
    struct audit_range bad;
    return audit_pruned_end(&check->pruned, check->report->tiles, check->report->signed_size, &bad, err) ||
           (bad.from <= bad.to && blame_range(check, bad.from, bad.to));
}

static bool begin(struct check *check, struct err *err)
{
    if (!audit_pin_read(check->how, &check->pin, err)) return false;
    memcpy(check->report->origin, check->pin.origin, sizeof check->report->origin);
    memcpy(check->signers.origin, check->pin.origin, sizeof check->signers.origin);
    memcpy(check->signers.key, check->pin.key, KEY_BYTES);
    check->report->witnessed = check->pin.witness.size;
    check->report->remembered = check->pin.state.known ? check->pin.state.size : 0;
    return true;
}

static bool verify(struct check *check, struct err *err)
{
    int64_t count, last;
    if (!begin(check, err) || !audit_db_open(check->how->folder, check->how->epoch, &check->db, err) ||
        !prepare_all(check, err) || !audit_pruned_open(&check->pruned, check->db, err) ||
        !audit_db_number(check->db, "SELECT count(*) FROM checkpoint NOT INDEXED", &count, err) ||
        !next_checkpoint(check, err) ||
        !audit_db_number(check->db, "SELECT max(idx) FROM entry NOT INDEXED", &last, err) ||
        !audit_calls_init(&check->calls, last > 0 ? (uint64_t)last / 2 : 0, err))
        return false;
    check->checkpoint_count = (uint64_t)count;
    check->calls.dropped = &check->pruned.leaves;
    return all_entries(check, err) && not_shorter(check, err) && pruned_by_record(check, err) &&
           (!check->how->full || audit_extra(check->db, &check->report->details, err));
}

static void remember(struct check *check)
{
    struct err err = {0};
    struct audit_report *report = check->report;
    report->remembers = audit_pin_write(check->how, &check->pin, check->tree.size, report->root, &err);
    if (check->pin.witness_hidden)
        notice(report, "this user may not read what the daemon's parent wrote down");
    else if (!check->pin.witness.known)
        notice(report, "the daemon's parent has written nothing down (witness/checkpoint)");
    if (!report->remembers) notice(report, "%s", err.text);
}

bool audit_verify(const struct audit_how *how, struct audit_report *report, struct err *err)
{
    struct check *check = calloc(1, sizeof *check);
    uint64_t start = clock_now();
    *report = (struct audit_report){0};
    *err = (struct err){0};
    if (!check) return err_set(err, ERR_IO, "there is not enough memory");
    check->how = how;
    check->report = report;
    check->err = err;
    check->last_at = INT64_MIN;
    check->next_size = UINT64_MAX;
    check->tree.tile = tile_check;
    check->tree.context = check;
    report->good = verify(check, err);
    report->entries = check->tree.size;
    report->rolls = check->signers.rolls;
    report->calls = check->calls.count;
    report->open_calls = check->calls.open;
    audit_tree_root(&check->tree, report->root);
    if (report->good) remember(check);
    sqlite3_finalize(check->entries);
    sqlite3_finalize(check->tiles);
    sqlite3_finalize(check->checkpoints);
    audit_pruned_close(&check->pruned);
    sqlite3_close(check->db);
    audit_calls_clear(&check->calls);
    free(check);
    report->nanoseconds = clock_now() - start;
    return report->good;
}
