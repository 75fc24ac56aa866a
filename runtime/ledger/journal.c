/* SPDX-License-Identifier: Apache-2.0 */
/* Appending to the log. */
#include "journal.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store_payload.h"
#include "store_push.h"

enum { PENDING_MAX = 8192 };

/* ── opening ───────────────────────────────────────────────────────────────────────────────────────── */

bool journal_tiles(void *context, unsigned level, uint64_t n, uint8_t *hashes)
{
    struct journal *journal = context;
    struct err ignored;
    return journal->store && store_tile(journal->store, level, n, hashes, &ignored);
}

struct loading {
    struct store *store;
    struct err *err;
};

static bool load_tile(void *context, unsigned level, uint64_t n, uint8_t *hashes)
{
    struct loading *loading = context;
    return store_tile(loading->store, level, n, hashes, loading->err);
}

static bool load_leaves(void *context, uint64_t from, unsigned count, tree_hash *leaves)
{
    struct loading *loading = context;
    return store_leaves(loading->store, from, count, leaves, loading->err);
}

static bool load_block(void *context, uint64_t n, tree_hash root)
{
    struct loading *loading = context;
    bool found;
    return store_block(loading->store, n, root, &found, loading->err) && found;
}

struct checking {
    uint64_t next;
    bool wrong;
};

static bool check_entry(void *context, const struct store_entry *entry)
{
    struct checking *checking = context;
    tree_hash leaf;
    if (entry->body) tree_leaf(entry->body, entry->length, leaf);
    checking->wrong = entry->index != checking->next || (entry->body && memcmp(leaf, entry->leaf, HASH_BYTES) != 0);
    if (!checking->wrong) checking->next++;
    return !checking->wrong;
}

static bool damaged(struct journal *journal, struct err *err, const char *what, uint64_t number)
{
    journal->untrue = true;
    return err_set(err, ERR_AUDIT,
                   "the log is damaged: %s %llu is not what it was. Stop the daemon, keep a copy of data/audit.db, run "
                   "`caisson audit verify` on it and put back the newest good copy",
                   what, (unsigned long long)number);
}

/* Everything up to the newest checkpoint is held by its root, the rest by its leaves. */
static bool check_tail(struct journal *journal, struct err *err)
{
    uint64_t size = 0;
    tree_hash signed_root, root;
    if (!store_checkpoint_last(journal->store, &size, signed_root, NULL, err)) return false;
    journal->untrue = size > journal->tree.size;
    if (journal->untrue)
        return err_set(err, ERR_AUDIT,
                       "the log was cut: it has %llu entries, but its own checkpoint was signed over %llu. Put back "
                       "the newest copy of data/audit.db",
                       (unsigned long long)journal->tree.size, (unsigned long long)size);
    if (size && (!tree_root_at(&journal->tree, size, journal_tiles, journal, root) ||
                 memcmp(root, signed_root, HASH_BYTES) != 0))
        return damaged(journal, err, "the tree at its checkpoint of size", size);
    struct checking checking = {.next = size};
    if (!store_entries(journal->store, size, journal->tree.size - size, check_entry, &checking, err)) return false;
    return checking.next == journal->tree.size || damaged(journal, err, "entry", checking.next);
}

bool journal_open(struct journal *journal, struct store *store, bool lowered, struct err *err)
{
    uint64_t size;
    struct loading loading = {store, err};
    *journal = (struct journal){.store = store, .lowered = lowered};
    if (!store_log_size(store, &size, &journal->at, err)) return false;
    if (!tree_load(&journal->tree, size, load_tile, load_leaves, load_block, &loading)) return false;
    return check_tail(journal, err);
}

bool journal_holds(struct journal *journal, uint64_t size, const tree_hash root)
{
    tree_hash here;
    return size <= journal->tree.size && tree_root_at(&journal->tree, size, journal_tiles, journal, here) &&
           memcmp(here, root, HASH_BYTES) == 0;
}

void journal_clear(struct journal *journal)
{
    journal->store = NULL;
    free(journal->leaves);
    journal->leaves = NULL;
    journal->leaf_count = journal->leaf_room = 0;
}

/* ── transactions ──────────────────────────────────────────────────────────────────────────────────── */

bool journal_begin(struct journal *journal, struct err *err)
{
    if (!journal->store) return err_set(err, ERR_AUDIT, "the log is not open now");
    journal->leaf_count = 0;
    journal->next_at = journal->at;
    return store_begin(journal->store, err);
}

struct sinking {
    struct journal *journal;
    struct err *err;
};

static bool sink_tile(void *context, unsigned level, uint64_t n, const uint8_t *hashes)
{
    struct sinking *sinking = context;
    return store_tile_add(sinking->journal->store, level, n, hashes, sinking->err);
}

bool journal_commit(struct journal *journal, struct err *err)
{
    struct sinking sinking = {journal, err};
    tree_copy(&journal->next, &journal->tree);
    for (unsigned i = 0; i < journal->leaf_count; i++)
        if (!tree_append(&journal->next, journal->leaves[i], sink_tile, &sinking)) return false;
    if (!store_commit(journal->store, err)) return false;
    tree_copy(&journal->tree, &journal->next);
    journal->at = journal->next_at;
    journal->leaf_count = 0;
    return true;
}

void journal_rollback(struct journal *journal)
{
    if (journal->store) store_rollback(journal->store);
    journal->leaf_count = 0;
    journal->next_at = journal->at;
}

bool journal_mark(struct journal *journal, struct journal_mark *mark, struct err *err)
{
    *mark = (struct journal_mark){journal->leaf_count, journal->next_at};
    return store_mark(journal->store, err);
}

bool journal_keep(struct journal *journal, struct err *err)
{
    return store_keep(journal->store, err);
}

bool journal_back(struct journal *journal, const struct journal_mark *mark)
{
    if (!store_back(journal->store)) return false;
    journal->leaf_count = mark->leaf_count;
    journal->next_at = mark->next_at;
    return true;
}

/* ── adding ────────────────────────────────────────────────────────────────────────────────────────── */

uint64_t journal_size(const struct journal *journal)
{
    return journal->tree.size + journal->leaf_count;
}

static bool room(struct journal *journal, struct err *err)
{
    if (journal->leaf_count < journal->leaf_room) return true;
    unsigned more = journal->leaf_room ? 2 * journal->leaf_room : 256;
    tree_hash *leaves = more <= PENDING_MAX ? realloc(journal->leaves, more * sizeof *leaves) : NULL;
    if (!leaves) return err_set(err, ERR_BUSY, "too many entries in one transaction");
    journal->leaves = leaves;
    journal->leaf_room = more;
    return true;
}

/* Salt and value go into the side table, the record gets the commitment. */
static void commit_to(const char *name, const struct buf *value, struct record *record, struct store_detail *detail)
{
    static const char tag[] = "caisson detail v1\n";
    tree_hash commitment;
    *detail = (struct store_detail){.name = name, .value = value->bytes, .length = value->used};
    randombytes_buf(detail->salt, sizeof detail->salt);
    sha256_three(tag, sizeof tag - 1, detail->salt, sizeof detail->salt, value->bytes, value->used, commitment);
    record_hex(record, name, commitment, HASH_BYTES);
}

static void commit_to_payload(const struct journal_payload *payload, struct record *record)
{
    static const char tag[] = "caisson payload v1\n";
    tree_hash commitment;
    sha256_three(tag, sizeof tag - 1, "", 0, payload->value->bytes, payload->value->used, commitment);
    record_hex(record, "payload", commitment, HASH_BYTES);
}

/* Erasing somebody finds it by its link; one that a sealed detail of the same entry has is the same. */
static bool keep_payload(struct journal *journal, uint64_t index, const struct journal_about *about, struct err *err)
{
    const struct journal_payload *payload = about->payload;
    struct store_payload row = {.size = payload->size,
                                .value = payload->value->bytes,
                                .length = payload->value->used,
                                .subjects = payload->subjects[0],
                                .subject_count = payload->count};
    if (!store_payload_add(journal->store, index, &row, err)) return false;
    for (unsigned i = 0; !about->sealed && i < payload->count; i++)
        if (!store_subject_entry_add(journal->store, payload->subjects[i], index, err)) return false;
    return true;
}

/* Both kinds of personal parts: what is in the clear, and what is sealed to people. */
struct beside {
    struct store_detail list[2];
    unsigned count;
};

static bool commit_beside(const struct journal_about *about, struct record *record, struct buf *value,
                          struct beside *beside)
{
    beside->count = 0;
    if (about->personal && !record_bytes(about->personal, value)) return false;
    if (about->personal) commit_to("personal", value, record, &beside->list[beside->count++]);
    if (!about->sealed) return true;
    struct store_detail *detail = &beside->list[beside->count++];
    commit_to("about", about->sealed->value, record, detail);
    detail->subjects = about->sealed->subjects[0];
    detail->subject_count = about->sealed->count;
    return true;
}

static bool keep_beside(struct journal *journal, uint64_t index, const struct beside *beside, struct err *err)
{
    for (unsigned i = 0; i < beside->count; i++) {
        const struct store_detail *detail = &beside->list[i];
        if (!store_detail_add(journal->store, index, detail, err)) return false;
        for (unsigned j = 0; j < detail->subject_count; j++)
            if (!store_subject_entry_add(journal->store, detail->subjects + (size_t)j * ID_BYTES, index, err))
                return false;
    }
    return true;
}

static void add_common(struct journal *journal, enum record_kind kind, struct record *record)
{
    uint64_t clock = clock_wall();
    if (clock > journal->next_at)
        journal->next_at = clock;
    else if (clock < journal->next_at)
        record_int(record, "clock", (int64_t)clock);
    record_int(record, "at", (int64_t)journal->next_at);
    record_text(record, "kind", record_kind_name(kind));
    record_int(record, "v", 1);
    if (journal->lowered) record_text(record, "walls", "lowered");
}

bool journal_add(struct journal *journal, const struct journal_about *about, struct record *record, uint64_t *index,
                 struct err *err)
{
    struct beside beside;
    BUF_AUTO value = {.max = RECORD_MAX};
    BUF_AUTO body = {.max = RECORD_MAX + 1};
    add_common(journal, about->kind, record);
    if (about->payload) commit_to_payload(about->payload, record);
    if (!commit_beside(about, record, &value, &beside) || !record_bytes(record, &body))
        return err_set(err, ERR_INTERNAL, "a record of kind %s cannot be written down", record_kind_name(about->kind));
    if (!room(journal, err)) return false;

    struct store_entry entry = {.index = journal_size(journal),
                                .at = journal->next_at,
                                .kind = about->kind,
                                .workspace = about->workspace,
                                .body = body.bytes,
                                .length = body.used};
    if (about->call) {
        entry.call = about->call->id;
        entry.attempt = about->call->attempt;
    }
    tree_leaf(body.bytes, body.used, entry.leaf);
    if (!store_entry_add(journal->store, &entry, err) || !keep_beside(journal, entry.index, &beside, err)) return false;
    if (about->payload && !keep_payload(journal, entry.index, about, err)) return false;
    if (about->push && !store_push_entry_add(journal->store, entry.index, err)) return false;
    memcpy(journal->leaves[journal->leaf_count++], entry.leaf, HASH_BYTES);
    *index = entry.index;
    return true;
}

bool journal_add_now(struct journal *journal, const struct journal_about *about, struct record *record, uint64_t *index,
                     struct err *err)
{
    if (journal_begin(journal, err) && journal_add(journal, about, record, index, err) && journal_commit(journal, err))
        return true;
    journal_rollback(journal);
    return false;
}
