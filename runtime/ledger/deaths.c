/* SPDX-License-Identifier: Apache-2.0 */
/* After a death: lines that were replaced, calls that an earlier ledger left open; and what others report late. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "ledger.h"
#include "outcome.h"
#include "payload.h"
#include "push.h"

/* ── lines ─────────────────────────────────────────────────────────────────────────────────────────── */

/* The runner kills a dead front's workers; nobody will ever say END for these. */
static void front_gone(struct ledger *ledger, const struct role_line *line)
{
    for (struct running *run = ledger->calls.first; run; run = run->next) {
        if (run->taker != (uint32_t)line->peer) continue;
        bool here = run->adopted ? !run->front : run->front == line && run->front_generation != line->generation;
        if (here && !run->fetches) end_without(ledger, run, CLASS_LOST, REASON_RESTART);
    }
}

/* A reply that was on its way before the runner died may still come: the front gets a second to say so. */
static void runner_gone(struct ledger *ledger, const struct role_line *line)
{
    for (struct running *run = ledger->calls.first; run; run = run->next) {
        if (run->runner_generation == line->generation) continue;
        run->close_at = clock_now() + CLOCK_S;
        run->close_reason = REASON_RESTART;
        if (run->state == RUN_CLOSING) run->worker_until = 0;
    }
}

static void broker_gone(struct ledger *ledger, const struct role_line *line)
{
    for (struct running *run = ledger->calls.first; run; run = run->next)
        if (run->broker_generation != line->generation && !run->has_gate) run->gate_lost = true;
}

/* Comes for every line, also for the first ones, before the ledger is open. */
void ledger_line(struct role *role, struct role_line *line)
{
    struct ledger *ledger = ledger_of(role);
    if (!ledger->opened) return;
    if (line->peer == ROLE_FRONT || line->peer == ROLE_DESK) front_gone(ledger, line);
    if (line->peer == ROLE_DESK) push_desk_gone(ledger, line);
    if (line->peer == ROLE_RUNNER) {
        runner_gone(ledger, line);
        waits_gone(ledger, ROLE_RUNNER);
    }
    if (line->peer == ROLE_BROKER) broker_gone(ledger, line);
    if (line->peer == ROLE_VAULT) {
        waits_gone(ledger, ROLE_VAULT);
        rotate_forget(ledger);
        exchanges_gone(ledger);
        checkpoint_forget(ledger);
    }
    if (line->peer == ROLE_FRONT || line->peer == ROLE_DESK)
        principals_gone(role, &ledger->principals, line->peer, line->index);
    role_wake_at(role, clock_now());
}

/* ── calls that were open already ──────────────────────────────────────────────────────────────────── */

struct adopting {
    struct ledger *ledger;
    bool own; /* this very process left them open, and never let them loose */
    struct running *found[CALLS_BUCKETS / 2];
    unsigned count;
    bool full;
};

static bool adopt(void *context, const struct store_call *call)
{
    struct adopting *adopting = context;
    if (calls_find(&adopting->ledger->calls, &call->ref)) return true;
    struct running *run = calls_add(&adopting->ledger->calls, call);
    adopting->full = !run;
    if (run) adopting->found[adopting->count++] = run;
    return run != NULL;
}

/* What its begin knew. */
static bool read_intent(void *context, const struct store_entry *entry)
{
    struct running *run = context;
    run->about = intent_has_people(entry);
    run->capture = payload_asked(entry->body, entry->length);
    return false;
}

/* One of this daemon's start goes on: its END may come. One of an older start is over, and what its broker sent
 * nobody can say any more. */
static void settle(struct adopting *adopting, struct running *run)
{
    struct ledger *ledger = adopting->ledger;
    struct role_line *runner = role_line_to(ledger->role, ROLE_RUNNER),
                     *broker = role_line_to(ledger->role, ROLE_BROKER);
    bool ours = memcmp(run->call.instance, ledger->role->start.instance, ID_BYTES) == 0;
    run->adopted = true;
    run->fetches = is_exchange(ledger, &run->call);
    run->push = push_made(ledger, run->call.intent);
    run->taker = run->push ? ROLE_DESK : ROLE_FRONT;
    run->gated = run->started = run->ordered = !adopting->own;
    if (runner) run->runner_generation = runner->generation;
    if (broker) run->broker_generation = broker->generation;
    run_move(run, RUN_OPEN);
    if (ours && run->fetches && clock_now() >= run->call.deadline)
        tokens_wait(run, REASON_DEADLINE); /* the vault's word */
    if (ours && !adopting->own) return;
    if (!ours) {
        run->gate_lost = true;
        run->started = false;
        run->call.started = clock_now();
    }
    if (ours)
        end_without(ledger, run, CLASS_REFUSED, REASON_AUDIT);
    else
        end_without(ledger, run, CLASS_LOST, REASON_RESTART);
}

/* All that has to be read comes first: where it fails nothing has begun, and the next try finds them again. */
static bool find_open(struct adopting *adopting, struct err *err)
{
    struct ledger *ledger = adopting->ledger;
    bool ok = store_calls_open(ledger->store, adopt, adopting, err) &&
              (!adopting->full || err_set(err, ERR_BUSY, "there is no memory for open calls"));
    for (unsigned i = 0; ok && i < adopting->count; i++)
        ok = store_entries(ledger->store, adopting->found[i]->call.intent, 1, read_intent, adopting->found[i], err);
    while (!ok && adopting->count) calls_remove(&ledger->calls, adopting->found[--adopting->count]);
    return ok;
}

bool adopt_open_calls(struct ledger *ledger, struct err *err)
{
    struct adopting *adopting = calloc(1, sizeof *adopting);
    if (!adopting) return err_set(err, ERR_BUSY, "there is no memory for open calls");
    adopting->ledger = ledger;
    /* One whose outcome was spilled and lost was let loose: it must not count as never sent. */
    adopting->own = ledger->sealed && !ledger->spill_damaged;
    bool ok = find_open(adopting, err);
    for (unsigned i = 0; ok && i < adopting->count; i++) settle(adopting, adopting->found[i]);
    free(adopting);
    return ok;
}

/* ── incidents ─────────────────────────────────────────────────────────────────────────────────────── */

enum { INCIDENTS_MAX = 256 };

struct incident {
    struct msg_incident said;
    const char *role;
    char connector[NAME_BYTES];
    bool has_call;
};
static struct incident incidents[INCIDENTS_MAX];
static unsigned incident_count;

static const char *const events[INCIDENT_KINDS] = {
    "", "load", "late_end", "digest_mismatch", "lease_mismatch", "breaker", "bad_frame", "cell", "credential"};

static void keep(struct ledger *ledger, const struct msg_incident *said, const char *role, const char *connector)
{
    static const struct call_ref none;
    if (incident_count == INCIDENTS_MAX) {
        ledger->counters.bad++;
        return;
    }
    struct incident *one = &incidents[incident_count++];
    *one = (struct incident){.said = *said, .role = role, .has_call = memcmp(&said->call, &none, sizeof none) != 0};
    memcpy(one->connector, connector, strnlen(connector, NAME_BYTES - 1));
}

void on_incident(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct ledger *ledger = ledger_of(role);
    const struct msg_incident *said = message->body;
    const struct entry *entry = registry_entry(&ledger->registry, said->entry);
    if (said->kind == 0 || said->kind >= INCIDENT_KINDS) {
        ledger->counters.bad++;
        return;
    }
    bool same = entry && memcmp(entry->digest, said->entry_digest, HASH_BYTES) == 0;
    keep(ledger, said, role_name(line->peer), same ? entry->name : "");
}

void incident_late_end(struct ledger *ledger, const struct msg_worker_ended *ended, const struct store_call *call)
{
    struct msg_incident said = {.kind = INCIDENT_LATE_END,
                                .call = ended->call,
                                .exit_code = ended->exit_code,
                                .signal = ended->signal,
                                .phase = ended->phase,
                                .report_count = ended->report_count};
    memcpy(said.entry_digest, call->entry_digest, HASH_BYTES);
    memcpy(said.reports, ended->reports, sizeof said.reports);
    keep(ledger, &said, role_name(ROLE_RUNNER), call->connector);
}

static bool record_incident(struct ledger *ledger, const struct incident *one, struct err *err)
{
    static const char *const phases[] = {"", "load", "call"};
    const struct msg_incident *said = &one->said;
    RECORD_AUTO record;
    uint64_t index;
    record_init(&record);
    record_text(&record, "event", events[said->kind]);
    record_text(&record, "role", one->role);
    record_hex(&record, "entry", said->entry_digest, HASH_BYTES);
    record_int(&record, "exit", said->exit_code);
    record_int(&record, "signal", said->signal);
    record_text(&record, "phase", said->phase <= PHASE_CALL ? phases[said->phase] : "");
    record_reports(&record, said->reports, said->report_count);
    if (one->connector[0]) record_text(&record, "connector", one->connector);
    if (one->has_call) {
        record_id(&record, "call", said->call.id);
        record_int(&record, "attempt", said->call.attempt);
    }
    struct journal_about about = {.kind = RECORD_INCIDENT,
                                  .call = one->has_call ? &said->call : NULL,
                                  .push = push_incident(ledger, one->has_call ? &said->call : NULL, said->entry_digest)};
    return journal_add(&ledger->journal, &about, &record, &index, err);
}

unsigned incidents_waiting(void)
{
    return incident_count;
}

bool incidents_record(struct ledger *ledger, struct err *err)
{
    for (unsigned i = 0; i < incident_count; i++)
        if (!record_incident(ledger, &incidents[i], err)) return false;
    return true;
}

void incidents_done(bool durable)
{
    if (durable) incident_count = 0;
}
