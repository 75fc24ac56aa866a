/* SPDX-License-Identifier: Apache-2.0 */
/* Pruning: old bodies go, leaves and tiles stay, so that every proof stays; much later, and only when somebody says so,
 * leaves go as well: of each block of them its root stays, and with it every proof about what is younger. The
 * administrator's command writes the archive first, under its own rights, and tells the root of what it archived; the
 * ledger computes that root from its own leaves, records it with the archive's digest, and only then lets them go, some
 * at a time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "base/log.h"
#include "people.h"

enum { PRUNE_MOST = 256 * TILE_WIDTH /* entries of one record */, PRUNE_AT_ONCE = 1024, ASK_S = 8 };

static struct {
    struct role_line *line; /* who waits for the end; NULL: nobody */
    uint32_t generation, seq;
    uint64_t entry, from, to, until;
} asker;

/* ── how far ───────────────────────────────────────────────────────────────────────────────────────── */

struct plan {
    bool hashes;
    uint64_t before, from, to; /* to: the first that stays */
    const char *bound;         /* what kept it from going further */
};

static void cut(struct plan *plan, uint64_t to, const char *bound)
{
    if (to >= plan->to) return;
    plan->to = to;
    plan->bound = bound;
}

static bool min_index(struct ledger *ledger, uint64_t *index, struct err *err)
{
    BUF_AUTO value = {.max = 32};
    if (!store_meta(ledger->store, STORE_AUDIT, "min_index", &value, err)) return false;
    *index = value.used ? strtoull(value.bytes, NULL, 10) : 0;
    return true;
}

/* Times never decrease along the log. */
static bool first_young(struct ledger *ledger, struct plan *plan, struct err *err)
{
    uint64_t low = plan->from, high = plan->to, at;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (!store_entry_time(ledger->store, middle, &at, err)) return false;
        if (at < plan->before)
            low = middle + 1;
        else
            high = middle;
    }
    cut(plan, low, "younger entries");
    return true;
}

static bool first_bound(struct ledger *ledger, struct plan *plan, struct err *err)
{
    uint64_t index;
    bool found;
    if (!store_open_first(ledger->store, &index, &found, err)) return false;
    if (found) cut(plan, index, "a call that is still running");
    if (!store_held_first(ledger->store, plan->from, plan->to, &index, &found, err)) return false;
    if (found) cut(plan, index, "a legal hold");
    return true;
}

/* Bodies go in their order; a leaf goes after its body. */
static bool begin_plan(struct ledger *ledger, struct plan *plan, struct err *err)
{
    uint64_t bodies;
    if (!min_index(ledger, &bodies, err)) return false;
    plan->from = bodies;
    if (!plan->hashes) return true;
    cut(plan, bodies, "bodies that were not pruned yet");
    return store_hashes_from(ledger->store, &plan->from, err);
}

/* A witness that fell behind is owed a proof of growth from what it saw last. */
static void cut_at_witnesses(const struct ledger *ledger, struct plan *plan)
{
    for (unsigned i = 0; plan->hashes && i < ledger->push.count; i++) {
        const struct sink *sink = &ledger->push.sinks[i];
        if (sink->kind == SINK_WITNESS && sink->row.size) cut(plan, sink->row.size, "a witness that has seen no more");
    }
}

/* Whole tiles, ended calls, nothing above the newest signed checkpoint, nothing held, nothing young. */
static bool make_plan(struct ledger *ledger, struct plan *plan, struct err *err)
{
    plan->to = ledger->journal.tree.size;
    plan->bound = "the end of the log";
    if (!begin_plan(ledger, plan, err)) return false;
    cut(plan, ledger->sign.signed_size, "the newest signed checkpoint");
    cut_at_witnesses(ledger, plan);
    cut(plan, plan->from + PRUNE_MOST, "the size of one archive");
    if (plan->to <= plan->from) plan->to = plan->from;
    if (!first_young(ledger, plan, err) || !first_bound(ledger, plan, err)) return false;
    plan->to -= plan->to % TILE_WIDTH;
    return true;
}

static bool nothing(const struct plan *plan, struct err *err)
{
    return err_set(err, ERR_STATE,
                   "there is nothing to prune: only whole blocks of %d entries go, the first that may go is %llu, and "
                   "%s bounds it",
                   TILE_WIDTH, (unsigned long long)plan->from, plan->bound);
}

/* ── the record ────────────────────────────────────────────────────────────────────────────────────── */

static bool no_tile(void *context, unsigned level, uint64_t n, const uint8_t *hashes)
{
    return true;
}

/* The root that the entries would have as a log of their own. */
static bool range_root(struct ledger *ledger, uint64_t from, uint64_t to, tree_hash root, struct err *err)
{
    FREE_AUTO struct tree *tree = calloc(1, sizeof *tree);
    FREE_AUTO tree_hash *leaves = calloc(TILE_WIDTH, sizeof *leaves);
    if (!tree || !leaves) return err_set(err, ERR_BUSY, "there is no memory");
    for (uint64_t at = from; at < to; at += TILE_WIDTH) {
        if (!store_leaves(ledger->store, at, TILE_WIDTH, leaves, err)) return false;
        for (unsigned i = 0; i < TILE_WIDTH; i++)
            if (!tree_append(tree, leaves[i], no_tile, NULL)) return err_set(err, ERR_INTERNAL, "the tree is full");
    }
    tree_root(tree, root);
    return true;
}

static bool in_hash(const struct query *query, const char *key, uint8_t hash[HASH_BYTES], struct err *err)
{
    const char *text = json_string_value(json_object_get(query->in, key));
    return (text && strlen(text) == HASH_TEXT - 1 && hex_parse(text, hash, HASH_BYTES)) ||
           err_set(err, ERR_BAD_INPUT, "\"%s\" must be 64 hexadecimal digits", key);
}

/* What the archive holds must be what goes. */
static bool read_archive(struct query *query, const struct plan *plan, struct store_prune *prune, struct err *err)
{
    uint64_t from, to;
    tree_hash root;
    if (!in_hash(query, "archive", prune->archive, err) || !in_hash(query, "root", prune->root, err) ||
        !in_number(query, "from", 0, INT64_MAX, &from, err) || !in_number(query, "to", 0, INT64_MAX, &to, err))
        return false;
    if (from != plan->from || to <= from || to > plan->to || to % TILE_WIDTH)
        return err_set(err, ERR_STATE, "what may be pruned has changed since the archive was begun: ask again");
    if (!range_root(query->ledger, from, to, root, err)) return false;
    if (memcmp(root, prune->root, HASH_BYTES) != 0)
        return err_set(err, ERR_STATE, "the archive is not of these entries: nothing was pruned");
    prune->hashes = plan->hashes;
    prune->from = prune->done = from;
    prune->to = to - 1;
    prune->at = clock_wall();
    return true;
}

static bool record_it(struct query *query, struct store_prune *prune, struct err *err)
{
    RECORD_AUTO record;
    RECORD_AUTO personal;
    struct ledger *ledger = query->ledger;
    char next[24];
    uint64_t stays;
    if (!store_stays(ledger->store, prune->from, prune->to, &stays, err)) return false;
    record_init(&record);
    record_init(&personal);
    record_text(&personal, "caller", query->caller.name);
    record_hex(&record, "archive", prune->archive, HASH_BYTES);
    record_int(&record, "from", (int64_t)prune->from);
    record_hex(&record, "root", prune->root, HASH_BYTES);
    record_int(&record, "size", (int64_t)ledger->sign.signed_size);
    record_int(&record, "stays", (int64_t)stays);
    record_int(&record, "to", (int64_t)prune->to);
    record_text(&record, "what", prune->hashes ? "hashes" : "bodies");
    snprintf(next, sizeof next, "%llu", (unsigned long long)prune->to + 1);
    struct journal_about about = {RECORD_PRUNE, NULL, NULL, &personal, NULL, false};
    if (journal_begin(&ledger->journal, err) && journal_add(&ledger->journal, &about, &record, &prune->entry, err) &&
        store_prune_add(ledger->store, prune, err) &&
        (prune->hashes || store_meta_set(ledger->store, STORE_AUDIT, "min_index", next, err)) &&
        journal_commit(&ledger->journal, err))
        return true;
    journal_rollback(&ledger->journal);
    return false;
}

/* ── the work ──────────────────────────────────────────────────────────────────────────────────────── */

static void tell(struct ledger *ledger, bool complete, const struct err *why)
{
    if (!asker.line) return;
    JSON_AUTO *out = json_pack("{s:I, s:I, s:I, s:b}", "entry", (json_int_t)asker.entry, "from", (json_int_t)asker.from,
                               "to", (json_int_t)asker.to, "complete", complete);
    query_answer(ledger, asker.line, asker.generation, asker.seq, out, why);
    asker.line = NULL;
}

/* What stays must be what was signed: the block's leaves, its tile and the tree above them agree, or nothing goes. */
static bool drop_block(struct ledger *ledger, uint64_t n, struct err *err)
{
    struct journal *journal = &ledger->journal;
    tree_hash root, known;
    uint64_t rows;
    FREE_AUTO tree_hash *leaves = calloc(2 * TILE_WIDTH, sizeof *leaves);
    if (!leaves) return err_set(err, ERR_BUSY, "there is no memory");
    if (!store_block_rows(journal->store, n, &rows, err)) return false;
    if (rows < TILE_WIDTH) return true; /* gone already */
    if (!store_leaves(journal->store, n * TILE_WIDTH, TILE_WIDTH, leaves, err) ||
        !store_tile(journal->store, 0, n, leaves[TILE_WIDTH], err))
        return false;
    tree_fold_block(leaves, root);
    if (!tree_block(&journal->tree, n, journal_tiles, journal, known) || memcmp(root, known, HASH_BYTES) != 0 ||
        memcmp(leaves, leaves[TILE_WIDTH], TILE_BYTES) != 0)
        return err_set(err, ERR_DAMAGED,
                       "entries %llu and on are not those that were signed: nothing of them is dropped",
                       (unsigned long long)n * TILE_WIDTH);
    return store_block_drop(journal->store, n, root, err);
}

static bool drop_some(struct ledger *ledger, const struct store_prune *prune, uint64_t upto, struct err *err)
{
    for (uint64_t n = prune->done / TILE_WIDTH; n < upto / TILE_WIDTH; n++)
        if (!drop_block(ledger, n, err)) return false;
    return store_prune_done(ledger->store, prune, upto, err);
}

static bool prune_step(struct ledger *ledger, const struct store_prune *prune, bool *done, struct err *err)
{
    uint64_t upto = prune->done + PRUNE_AT_ONCE;
    if (upto > prune->to + 1) upto = prune->to + 1;
    *done = upto == prune->to + 1;
    if (journal_begin(&ledger->journal, err) &&
        (prune->hashes ? drop_some(ledger, prune, upto, err) : store_prune_some(ledger->store, prune, upto, err)) &&
        journal_commit(&ledger->journal, err))
        return true;
    journal_rollback(&ledger->journal);
    return false;
}

uint64_t prune_tick(struct ledger *ledger)
{
    struct store_prune prune;
    struct err err = {0};
    bool found = false, done = false;
    if (asker.line && clock_now() >= asker.until) tell(ledger, false, NULL);
    if (!ledger->pruning || ledger->sealed || !ledger->store) return 0;
    if (!store_prune_first(ledger->store, &prune, &found, &err) ||
        (found && !prune_step(ledger, &prune, &done, &err))) {
        log_failure("prune", &err);
        if (err.kind == ERR_AUDIT) ledger_seal(ledger, &err);
        tell(ledger, false, &err);
        return clock_now() + CLOCK_S;
    }
    ledger->pruning = found;
    if (!found) tell(ledger, true, NULL);
    return found ? clock_now() : 0;
}

/* ── the query ─────────────────────────────────────────────────────────────────────────────────────── */

static bool kept_long_enough(const struct ledger *ledger, const struct plan *plan, struct err *err)
{
    const struct ledger_limits *limits = &ledger->limits;
    uint64_t now = clock_wall(), keep = plan->hashes ? limits->keep_hashes : limits->keep_bodies;
    if (keep <= now && plan->before <= now - keep) return true;
    return err_set(err, ERR_STATE, "[Audit] %s for %llu days: name an earlier date, or change it",
                   plan->hashes ? "KeepHashes= keeps hashes" : "KeepBodies= keeps bodies",
                   (unsigned long long)(keep / CLOCK_S / 86400));
}

static bool in_what(const struct query *query, bool *hashes, struct err *err)
{
    const json_t *given = json_object_get(query->in, "what");
    const char *what = given ? json_string_value(given) : "bodies";
    *hashes = what && strcmp(what, "hashes") == 0;
    return *hashes || (what && strcmp(what, "bodies") == 0) ||
           err_set(err, ERR_BAD_INPUT, "\"what\" is \"bodies\" or \"hashes\"");
}

static json_t *plan_json(const struct ledger *ledger, const struct plan *plan)
{
    return json_pack("{s:I, s:I, s:I, s:s}", "from", (json_int_t)plan->from, "to", (json_int_t)plan->to, "size",
                     (json_int_t)ledger->sign.signed_size, "bound", plan->bound);
}

/* Without "archive": what would go. With it: it goes. before: ns since 1970. */
bool query_audit_prune(struct query *query, json_t **out, struct err *err)
{
    struct ledger *ledger = query->ledger;
    struct store_prune prune = {0};
    struct plan plan = {0};
    if (!in_number(query, "before", 0, INT64_MAX, &plan.before, err) || !in_what(query, &plan.hashes, err) ||
        !ledger_open_for_business(ledger, err) || !kept_long_enough(ledger, &plan, err) ||
        !make_plan(ledger, &plan, err))
        return false;
    if (plan.to <= plan.from) return nothing(&plan, err);
    if (!json_object_get(query->in, "archive")) return (*out = plan_json(ledger, &plan)) != NULL;
    if (asker.line) return err_set(err, ERR_BUSY, "a pruning is under way: try again");
    if (!read_archive(query, &plan, &prune, err) || !record_it(query, &prune, err)) return false;
    asker.line = query->line;
    asker.generation = query->generation;
    asker.seq = query->seq;
    asker.entry = prune.entry;
    asker.from = prune.from;
    asker.to = prune.to;
    asker.until = clock_now() + ASK_S * CLOCK_S;
    ledger->pruning = query->later = true;
    role_wake_at(ledger->role, clock_now());
    return true;
}
