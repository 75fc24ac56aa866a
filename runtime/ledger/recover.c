/* SPDX-License-Identifier: Apache-2.0 */
/* Fail closed: sealing when the log cannot be written, and the way back without a restart. After an error the store is
 * never used again: it is closed, opened anew, and the log looked at as it is. What is read back may be in memory only
 * (Linux drops pages that it could not write), so all of it is written once more before anything is admitted. */
#include <string.h>
#include <sys/statfs.h>

#include "admit.h"
#include "base/clock.h"
#include "base/log.h"
#include "ledger.h"
#include "people.h"

enum { RETRY_MS = 500, OUTCOME_ROOM = 48 * 1024 }; /* pages that one outcome may touch, in log and database */
enum { PAYLOAD_ROOM = 2 * (CAPTURE_MAX + 6 * 1024) }; /* and those of what is kept of an input or a reply */

/* Inputs that the next commit writes down, and replies that may come with an outcome. */
static uint64_t kept_room(const struct ledger *ledger)
{
    uint64_t count = 0;
    for (const struct running *run = ledger->calls.first; run; run = run->next)
        count += (run->capture & CAPTURE_REPLY) != 0;
    for (unsigned i = 0; i < ledger->begin_count; i++) count += ledger->begins[i]->input.used > 0;
    return count * PAYLOAD_ROOM;
}

/* What the administrator wants to be left, and no less than the outcomes of all that runs need, and a tenth. */
static uint64_t reserve(const struct ledger *ledger)
{
    uint64_t running = (uint64_t)(ledger->calls.count + ledger->begin_count) * OUTCOME_ROOM + kept_room(ledger);
    running += running / 10;
    return running > ledger->limits.reserve_bytes ? running : ledger->limits.reserve_bytes;
}

void ledger_seal(struct ledger *ledger, const struct err *why)
{
    if (!ledger->sealed) {
        ledger->sealed_at = clock_wall();
        ledger->kept.size = ledger->journal.tree.size;
        tree_root(&ledger->journal.tree, ledger->kept.root);
        log_failure("sealed", why);
    }
    ledger->sealed = true;
    memcpy(ledger->sealed_text, why->text, sizeof ledger->sealed_text);
    ledger->try_at = clock_now() + RETRY_MS * CLOCK_MS;
    role_wake_at(ledger->role, ledger->try_at);
}

/* Errors of the disk break the store wherever they are met: in a query, in a quiet moment's chores. */
void seal_if_broken(struct ledger *ledger)
{
    struct err err = {0};
    if (!ledger->sealed && ledger->store && store_broken(ledger->store, &err)) ledger_seal(ledger, &err);
}

bool ledger_open_for_business(struct ledger *ledger, struct err *err)
{
    if (ledger->sealed)
        return err_set(err, ERR_AUDIT, "nothing runs until the log can be written again: %s", ledger->sealed_text);
    if (ledger->short_of_room)
        return err_set(err, ERR_AUDIT, "nothing runs until there is disk space again: fewer than %llu MiB are free",
                       (unsigned long long)(reserve(ledger) >> 20));
    if (ledger->rotating.trouble[0])
        return err_set(err, ERR_UNAVAILABLE, "nothing runs with these keys: %s", ledger->rotating.trouble);
    return true;
}

/* Stops admitting before the disk is full, so that running calls can still be written down. */
void room_check(struct ledger *ledger)
{
    struct statfs room;
    if (fstatfs(ledger->role->given[GIVE_DATA], &room) != 0) return;
    uint64_t left = (uint64_t)room.f_bavail * (uint64_t)room.f_bsize;
    bool was = ledger->short_of_room;
    ledger->short_of_room = left < reserve(ledger);
    if (ledger->short_of_room != was)
        log_event(LOG_LEVEL_WARNING, was ? "disk-room-again" : "disk-nearly-full", log_number("free_bytes", left));
}

/* ── opening and opening again ─────────────────────────────────────────────────────────────────────── */

bool ledger_load(struct ledger *ledger, bool fresh, struct err *err)
{
    struct store *store = NULL;
    journal_clear(&ledger->journal);
    store_close(ledger->store);
    ledger->store = NULL;
    spill_close(&ledger->spill);
    /* First of all: what ends while the log cannot be opened has to go somewhere. */
    if (!spill_open(&ledger->spill, ledger->role->given[GIVE_DATA], err) ||
        !store_open(ledger->role->given[GIVE_DATA], fresh, &store, err))
        return false;
    ledger->store = store;
    work_look(ledger);
    return journal_open(&ledger->journal, store, ledger->role->start.minimum_isolation, err) &&
           checkpoint_open(ledger, err);
}

/* The start: what an earlier process left behind may be in memory only, too. A reader is no reason not to start. */
bool ledger_load_first(struct ledger *ledger, struct err *err)
{
    if (!ledger_load(ledger, true, err)) return false;
    if (store_settle(ledger->store, err)) return true;
    if (err->kind != ERR_BUSY) return false;
    *err = (struct err){0};
    return true;
}

struct replaying {
    struct ledger *ledger;
    struct err *err;
    unsigned seen, count; /* of the records that can be read: all, and those that were not in the log yet */
};

static void unspill(struct running *run, const struct spilled *one)
{
    run->call.class = one->class;
    run->call.sent = one->sent;
    run->call.reason = one->reason;
    run->call.retry_after = one->retry_after;
    run->front_class = (enum call_class)one->front_class;
    run->has_end = one->has_end;
    run->has_gate = one->has_gate;
    run->has_worker = one->has_worker;
    run->gate = one->gate;
    run->worker = one->worker;
    run->tried_count = one->worker.report_count;
    memcpy(run->tried, one->worker.reports, sizeof run->tried);
    run->duration_us = one->duration_us;
    run->end.log_lines = one->log_lines;
    run->end.reply_size = one->reply_size;
    memcpy(run->end.reply_digest, one->reply_digest, HASH_BYTES);
}

/* What is in the log already is left alone. */
static bool replay_one(void *context, const struct spilled *one)
{
    struct replaying *replaying = context;
    struct ledger *ledger = replaying->ledger;
    struct running run = {0};
    bool found;
    replaying->seen++;
    if (!store_call_get(ledger->store, one->call.id, one->call.attempt, &run.call, &found, replaying->err))
        return false;
    if (!found || run.call.ended) return true;
    unspill(&run, one);
    if (!outcome_write(ledger, &run, true, replaying->err)) return false;
    ledger->counters.by_class[run.call.class]++;
    replaying->count++;
    return true;
}

static bool add_recover(struct ledger *ledger, unsigned replayed, unsigned bad, struct err *err)
{
    RECORD_AUTO record;
    uint64_t index;
    record_init(&record);
    record_int(&record, "lost", bad);
    record_text(&record, "problem",
                ledger->sealed ? ledger->sealed_text : "the ledger stopped with outcomes in its spill file");
    record_int(&record, "sealed_from", (int64_t)(ledger->sealed ? ledger->sealed_at : 0));
    record_int(&record, "sealed_until", (int64_t)clock_wall());
    record_int(&record, "spilled", replayed);
    return journal_add(&ledger->journal, &(struct journal_about){.kind = RECORD_RECOVER}, &record, &index, err);
}

/* The spilled outcomes and the note about them, in one transaction; then the file is emptied. */
bool spill_replay(struct ledger *ledger, struct err *err)
{
    struct replaying replaying = {.ledger = ledger, .err = err};
    unsigned bad;
    bool noted = !ledger->sealed || (ledger->recovered && !ledger->spilled);
    if (!ledger->spill.used && noted) return true;
    bool ok = journal_begin(&ledger->journal, err) && spill_each(&ledger->spill, replay_one, &replaying, &bad, err);
    /* What this process wrote and is not there any more: the file was removed, cut or replaced. */
    if (ok && ledger->spilled > replaying.seen + bad) bad = (unsigned)ledger->spilled - replaying.seen;
    ok = ok && add_recover(ledger, replaying.count, bad, err) && journal_commit(&ledger->journal, err);
    if (!ok) {
        journal_rollback(&ledger->journal);
        return false;
    }
    ledger->spill_damaged |= bad > 0; /* until what it leaves open is settled */
    ledger->spilled = 0;
    ledger->recovered = ledger->sealed;
    return spill_empty(&ledger->spill, err);
}

/* The log that was written until now, and nothing older or other in its place. */
static bool check_same(struct ledger *ledger, struct err *err)
{
    if (journal_holds(&ledger->journal, ledger->kept.size, ledger->kept.root)) return true;
    return err_set(err, ERR_AUDIT,
                   "data/audit.db is not the log that was written until now: it has %llu entries, and %llu were written. "
                   "Put back the newest copy of it",
                   (unsigned long long)ledger->journal.tree.size, (unsigned long long)ledger->kept.size);
}

/* Without the key whose turn it is nothing would be signed any more, and nobody would hear of it. */
static bool check_signer(struct ledger *ledger, struct err *err)
{
    if (!signer_open(ledger, err)) return false;
    return !ledger->keys.missing ||
           err_set(err, ERR_AUDIT,
                   "data/vault.db does not hold the key whose turn it is to sign the log: put back the newest copy of "
                   "it, or restart, and a new epoch of the log begins");
}

static bool recover(struct ledger *ledger, struct err *err)
{
    if (ledger->store && store_gone(ledger->store, err)) return false; /* what is open may be the only copy */
    if (!ledger_load(ledger, false, err) || !check_same(ledger, err) || !store_settle(ledger->store, err) ||
        !check_signer(ledger, err) || !revoked_compare(ledger, err) || !spill_replay(ledger, err) ||
        !adopt_open_calls(ledger, err)) {
        if (ledger->store) store_break(ledger->store, err); /* closed as it is: what is wrong with it may be mended outside */
        return false;
    }
    checkpoint_forget(ledger);
    rotate_forget(ledger); /* vault.db may be another copy: its keys are compared anew */
    ledger->sealed = ledger->spill_damaged = ledger->recovered = false;
    log_event(LOG_LEVEL_INFO, "unsealed", log_number("entries", ledger->journal.tree.size));
    freeze_owed(ledger);
    return true;
}

uint64_t recover_tick(struct ledger *ledger)
{
    struct err err = {0};
    if (!ledger->sealed || ledger->forked) return 0;
    if (clock_now() < ledger->try_at) return ledger->try_at;
    if (recover(ledger, &err)) return 0;
    ledger_seal(ledger, &err);
    return ledger->try_at;
}
