/* SPDX-License-Identifier: Apache-2.0 */
/* Queries about the log: its entries, a checkpoint signed now, the key to check it with. */
#include <string.h>

#include "base/auto_json.h"
#include "base/clock.h"
#include "base/json.h"
#include "checkpoint.h"
#include "epoch.h"
#include "query.h"
#include "signer.h"

/* ── entries ───────────────────────────────────────────────────────────────────────────────────────── */

struct listing {
    struct ledger *ledger;
    json_t *list;
    size_t room;
    struct err *err;
    uint64_t next; /* the entry behind those that are listed */
};

static json_t *read_json(const char *text, size_t length)
{
    json_t *value = NULL;
    struct err ignored = {0};
    return text && json_read(text, length, RECORD_MAX + 1, &value, &ignored) ? value : NULL;
}

/* What stands beside the log, for those who may read the log. */
static void add_detail(struct store *store, uint64_t index, json_t *row)
{
    BUF_AUTO value = {.max = RECORD_MAX};
    struct err ignored = {0};
    if (!store_detail_get(store, index, "personal", &value, &ignored) || !value.used) return;
    json_t *detail = read_json(value.bytes, value.used);
    if (!detail) return;
    json_object_set(row, "actor", json_object_get(detail, "caller"));
    json_object_set_new(row, "detail", detail);
}

json_t *entry_json(struct store *store, const struct store_entry *entry)
{
    static const char *const shown[] = {"call", "connector", "action", "class", "sent", "workspace", "reason", "act"};
    char leaf[HASH_TEXT];
    hex_text(entry->leaf, HASH_BYTES, leaf);
    json_t *row = json_pack("{s:I, s:o, s:s, s:s}", "index", (json_int_t)entry->index, "time", time_json(entry->at),
                            "kind", record_kind_name(entry->kind), "leaf", leaf);
    json_t *body = read_json(entry->body, entry->length);
    for (size_t i = 0; body && i < sizeof shown / sizeof *shown; i++)
        if (json_object_get(body, shown[i])) json_object_set(row, shown[i], json_object_get(body, shown[i]));
    json_object_set_new(row, "body", body ? body : json_null());
    add_detail(store, entry->index, row);
    return row;
}

static bool list_entry(void *context, const struct store_entry *entry)
{
    struct listing *listing = context;
    if (!list_add(listing->list, entry_json(listing->ledger->store, entry), &listing->room)) return false;
    listing->next = entry->index + 1;
    return true;
}

bool query_audit_tail(struct query *query, json_t **out, struct err *err)
{
    uint64_t size = query->ledger->journal.tree.size, from, limit;
    if (!in_number(query, "limit", 20, LIST_MOST, &limit, err) ||
        !in_number(query, "from", size > limit ? size - limit : 0, INT64_MAX, &from, err))
        return false;
    JSON_AUTO *list = json_array();
    struct listing listing = {query->ledger, list, LIST_ROOM, err, from};
    if (!store_entries(query->ledger->store, from, limit, list_entry, &listing, err)) return false;
    *out = json_pack("{s:O, s:I}", "entries", list, "size", (json_int_t)size);
    if (listing.next < size) json_object_set_new(*out, "next", json_integer((json_int_t)listing.next));
    return true;
}

enum { NOTE_COSIGNED = 4 * NOTE_MAX };

/* ── checkpoints ───────────────────────────────────────────────────────────────────────────────────── */

enum { ASKERS = 16 };
static struct asker {
    struct role_line *line;
    uint32_t generation, seq;
    uint64_t size;
    bool vkey;
} askers[ASKERS];
static unsigned asker_count;

static json_t *checkpoint_json(struct ledger *ledger, struct err *err)
{
    BUF_AUTO note = {.max = NOTE_COSIGNED};
    tree_hash root;
    uint64_t size;
    if (!store_checkpoint_last(ledger->store, &size, root, &note, err) ||
        (note.used && !store_cosignatures(ledger->store, size, &note, err)))
        return NULL;
    return json_pack("{s:s, s:I}", "checkpoint", note.used ? note.bytes : "", "size", (json_int_t)size);
}

/* The first key is where verifiers begin; the one in use is only as good as the way from there. */
static json_t *vkey_json(struct ledger *ledger, struct err *err)
{
    struct store_signer rows[2] = {0}, first;
    unsigned count;
    if (!store_signers(ledger->store, rows, &count, err) || !store_signer_first(ledger->store, &first, err))
        return NULL;
    return json_pack("{s:s, s:s, s:s}", "vkey", first.vkey, "current", rows[0].vkey, "origin", ledger->origin);
}

static void tell(struct ledger *ledger, const struct asker *asker, const struct err *why)
{
    struct err err = {0};
    JSON_AUTO *out = why ? NULL : asker->vkey ? vkey_json(ledger, &err) : checkpoint_json(ledger, &err);
    query_answer(ledger, asker->line, asker->generation, asker->seq, out, why ? why : out ? NULL : &err);
}

void checkpoint_tell(struct ledger *ledger, const struct err *why)
{
    struct err sealed = {0};
    unsigned kept = 0;
    if (!why && !ledger_open_for_business(ledger, &sealed)) why = &sealed;
    for (unsigned i = 0; i < asker_count; i++) {
        if (why || ledger->sign.signed_size >= askers[i].size)
            tell(ledger, &askers[i], why);
        else
            askers[kept++] = askers[i];
    }
    asker_count = kept;
    ledger->sign.urgent = kept > 0;
}

static bool wait_for_signature(struct query *query, uint64_t size, bool vkey, struct err *err)
{
    struct ledger *ledger = query->ledger;
    if (!ledger_open_for_business(ledger, err)) return false;
    if (asker_count == ASKERS) return err_set(err, ERR_BUSY, "many ask for checkpoints already");
    askers[asker_count++] = (struct asker){query->line, query->generation, query->seq, size, vkey};
    ledger->sign.urgent = true;
    ledger->sign.retries = 0;
    role_wake_at(ledger->role, clock_now());
    query->later = true;
    return true;
}

/* The newest one that a witness signed too: what came since are often the entries of that very push. */
static json_t *cosigned_json(struct ledger *ledger, struct err *err)
{
    BUF_AUTO note = {.max = NOTE_COSIGNED};
    uint64_t size;
    if (!store_cosigned_last(ledger->store, &size, err)) return NULL;
    if (!size) return err_set(err, ERR_NOT_FOUND, "no witness has signed a checkpoint of this log yet"), NULL;
    if (!store_checkpoint_at(ledger->store, size, &note, err) ||
        !store_cosignatures(ledger->store, size, &note, err))
        return NULL;
    return json_pack("{s:s, s:I}", "checkpoint", note.used ? note.bytes : "", "size", (json_int_t)size);
}

bool query_audit_checkpoint(struct query *query, json_t **out, struct err *err)
{
    struct ledger *ledger = query->ledger;
    uint64_t cosigned;
    if (!in_number(query, "cosigned", 0, 1, &cosigned, err)) return false;
    if (cosigned) return (*out = cosigned_json(ledger, err)) != NULL;
    if (ledger->sign.signed_size < ledger->journal.tree.size)
        return wait_for_signature(query, ledger->journal.tree.size, false, err);
    return (*out = checkpoint_json(ledger, err)) != NULL;
}

bool query_audit_vkey(struct query *query, json_t **out, struct err *err)
{
    if (query->ledger->sign.signed_size == 0) return wait_for_signature(query, 1, true, err);
    return (*out = vkey_json(query->ledger, err)) != NULL;
}

/* ── rolls and epochs ──────────────────────────────────────────────────────────────────────────────── */

static struct asker roll_asker; /* line NULL: nobody */

void roll_tell(struct ledger *ledger, const struct err *why)
{
    struct asker asker = roll_asker;
    struct err err = {0};
    roll_asker = (struct asker){0};
    if (!asker.line) return;
    JSON_AUTO *out = why ? NULL : vkey_json(ledger, &err);
    query_answer(ledger, asker.line, asker.generation, asker.seq, out, why ? why : out ? NULL : &err);
}

bool query_audit_roll(struct query *query, json_t **out, struct err *err)
{
    struct ledger *ledger = query->ledger;
    RECORD_AUTO record;
    if (ledger->keys.missing)
        return err_set(err, ERR_STATE, "the key that signs the log is missing from data/vault.db");
    if (ledger->keys.wanted || ledger->keys.rolling)
        return err_set(err, ERR_BUSY, "the log's key is being replaced already");
    record_init(&record);
    if (!admin_record(query, "audit.roll", &record, err)) return false;
    ledger->keys.wanted = true;
    roll_asker = (struct asker){query->line, query->generation, query->seq, 0, true};
    role_wake_at(ledger->role, clock_now());
    return query->later = true;
}

/* The reason is the administrator's; what happened stands in the log's first entry. */
bool query_audit_epoch(struct query *query, json_t **out, struct err *err)
{
    struct ledger *ledger = query->ledger;
    RECORD_AUTO record;
    char reason[201];
    record_init(&record);
    if (!in_text(query, "reason", reason, sizeof reason, err)) return false;
    if (!reason[0]) return err_set(err, ERR_BAD_INPUT, "\"reason\" must say why calls may run again");
    if (!ledger->held) return err_set(err, ERR_STATE, "nothing is held back: the log goes on from where it was");
    record_text(&record, "text", reason);
    record_text(&record, "target", ledger->origin);
    if (!admin_record(query, "audit.epoch", &record, err) || !epoch_released(ledger, err)) return false;
    *out = json_pack("{s:s}", "origin", ledger->origin);
    return true;
}
