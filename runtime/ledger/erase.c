/* SPDX-License-Identifier: Apache-2.0 */
/* Erasing a person, in this order: the record and the job, in one transaction; the key, in vault.db, and its
 * write-ahead log; details, kept answers and links; the log's write-ahead log; the job. Nothing that was proven stops
 * being so. */
#include <string.h>

#include "base/auto_json.h"
#include "base/clock.h"
#include "base/log.h"
#include "people.h"
#include "subject.h"

enum { AGAIN_MS = 200, ASK_S = 5 };

/* Who waits for the end of which erasure; one that is not waited for goes on all the same. */
enum { ERASE_ASKERS = 8 };
static struct asker {
    struct role_line *line; /* NULL: free */
    uint32_t generation, seq;
    uint8_t subject[ID_BYTES];
    uint64_t entry, count, until;
} askers[ERASE_ASKERS];

/* ── the steps ─────────────────────────────────────────────────────────────────────────────────────── */

static bool erase_rows(struct ledger *ledger, const struct store_erasing *job, bool *left, struct err *err)
{
    if (journal_begin(&ledger->journal, err) && store_erase_some(ledger->store, job->subject, left, err) &&
        journal_commit(&ledger->journal, err))
        return true;
    journal_rollback(&ledger->journal);
    return false;
}

/* *done false: a reader holds old pages, or there are more rows; come again. */
static bool erase_step(struct ledger *ledger, const struct store_erasing *job, bool *done, struct err *err)
{
    bool left = false, cut = false;
    *done = false;
    if (!store_subject_destroy(ledger->store, job->subject, clock_wall(), err) ||
        !store_truncate(ledger->store, STORE_VAULT, &cut, err))
        return false;
    if (!cut) return true;
    if (!erase_rows(ledger, job, &left, err)) return false;
    if (left) return true;
    if (!store_truncate(ledger->store, STORE_AUDIT, &cut, err)) return false;
    if (!cut) return true;
    *done = true;
    return store_erasing_done(ledger->store, job->subject, err);
}

static void tell(struct ledger *ledger, struct asker *asker, bool complete, const struct err *why)
{
    JSON_AUTO *out = json_pack("{s:o, s:I, s:I, s:b}", "subject_id", id_json(asker->subject), "entry",
                               (json_int_t)asker->entry, "count", (json_int_t)asker->count, "complete", complete);
    query_answer(ledger, asker->line, asker->generation, asker->seq, out, why);
    asker->line = NULL;
}

static void tell_all(struct ledger *ledger, const uint8_t *subject, bool complete, const struct err *why)
{
    uint64_t now = clock_now();
    for (unsigned i = 0; i < ERASE_ASKERS; i++) {
        if (!askers[i].line) continue;
        bool mine = subject && memcmp(askers[i].subject, subject, ID_BYTES) == 0;
        if (mine || now >= askers[i].until) tell(ledger, &askers[i], mine && complete, mine ? why : NULL);
    }
}

uint64_t erase_tick(struct ledger *ledger)
{
    struct store_erasing job;
    struct err err = {0};
    bool found = false, done = false;
    if (!ledger->erasing || ledger->sealed || !ledger->store) return 0;
    if (!store_erasing_first(ledger->store, &job, &found, &err) || (found && !erase_step(ledger, &job, &done, &err))) {
        log_failure("erase", &err);
        if (err.kind == ERR_AUDIT) ledger_seal(ledger, &err);
        tell_all(ledger, found ? job.subject : NULL, false, &err);
        return clock_now() + CLOCK_S;
    }
    ledger->erasing = found;
    tell_all(ledger, done ? job.subject : NULL, true, NULL);
    return !found ? 0 : done ? clock_now() : clock_now() + AGAIN_MS * CLOCK_MS;
}

void work_look(struct ledger *ledger)
{
    ledger->erasing = ledger->pruning = true; /* the first look clears what is not there */
}

/* ── asking for it ─────────────────────────────────────────────────────────────────────────────────── */

static bool find_person(struct query *query, struct store_subject *person, struct err *err)
{
    char text[SUBJECT_BYTES], normal[SUBJECT_BYTES];
    uint8_t reference[HASH_BYTES];
    bool found;
    if (!in_text(query, "subject", text, sizeof text, err) || !subject_normal(text, normal, err)) return false;
    subject_reference(query->workspace.lookup, normal, reference);
    if (!store_subject_referenced(query->ledger->store, query->workspace.id, reference, person, &found, err))
        return false;
    return found || err_set(err, ERR_NOT_FOUND, "nothing in workspace %s is about this person", query->workspace.name);
}

static bool not_held(struct query *query, const struct store_subject *person, struct err *err)
{
    bool held;
    if (!store_held_subject(query->ledger->store, query->workspace.id, person->id, &held, err)) return false;
    return !held ||
           err_set(err, ERR_STATE,
                   "a legal hold covers calls about this person: nothing was erased. `caisson audit hold list` "
                   "shows it; remove it first, if that is lawful");
}

static bool record_it(struct query *query, const struct store_subject *person, const char *authority, uint64_t *count,
                      uint64_t *entry, struct err *err)
{
    RECORD_AUTO record;
    RECORD_AUTO personal;
    struct journal *journal = &query->ledger->journal;
    struct store_erasing job = {0};
    record_init(&record);
    record_init(&personal);
    if (!store_subject_entry_count(query->ledger->store, person->id, count, err)) return false;
    record_text(&personal, "caller", query->caller.name);
    record_text(&record, "authority", authority);
    record_int(&record, "count", (int64_t)*count);
    record_id(&record, "subject", person->id);
    record_text(&record, "workspace", query->workspace.name);
    struct journal_about about = {RECORD_ERASE, NULL, query->workspace.id, &personal, NULL, false};
    memcpy(job.subject, person->id, ID_BYTES);
    memcpy(job.workspace, query->workspace.id, ID_BYTES);
    if (journal_begin(journal, err) && journal_add(journal, &about, &record, entry, err)) {
        job.entry = *entry;
        if (store_erasing_add(query->ledger->store, &job, err) && journal_commit(journal, err)) return true;
    }
    journal_rollback(journal);
    return false;
}

static struct asker *free_asker(void)
{
    for (unsigned i = 0; i < ERASE_ASKERS; i++)
        if (!askers[i].line) return &askers[i];
    return NULL;
}

bool query_audit_erase(struct query *query, json_t **out, struct err *err)
{
    struct ledger *ledger = query->ledger;
    struct store_subject person;
    struct asker *asker = free_asker();
    char authority[256];
    uint64_t count = 0, entry = 0;
    if (!asker) return err_set(err, ERR_BUSY, "several people are being erased: try again");
    if (!in_text(query, "authority", authority, sizeof authority, err) || !ledger_open_for_business(ledger, err))
        return false;
    if (!authority[0]) return err_set(err, ERR_BAD_INPUT, "\"authority\" must say who ordered it and why");
    if (!find_person(query, &person, err) || !not_held(query, &person, err) ||
        !record_it(query, &person, authority, &count, &entry, err))
        return false;
    *asker = (struct asker){.line = query->line,
                            .generation = query->generation,
                            .seq = query->seq,
                            .entry = entry,
                            .count = count,
                            .until = clock_now() + ASK_S * CLOCK_S};
    memcpy(asker->subject, person.id, ID_BYTES);
    ledger->erasing = true;
    query->later = true;
    role_wake_at(ledger->role, clock_now());
    return true;
}
