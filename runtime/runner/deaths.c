/* SPDX-License-Identifier: Apache-2.0 */
/* What a cell reports of its workers: refused system calls, and how they ended. */
#include "base/clock.h"
#include "base/log.h"
#include "runner.h"

/* ── what it tried ───────────────────────────────────────────────────────────────────────────────────── */

static const struct call_ref *last_call(const struct worker *worker)
{
    return worker->last.attempt ? &worker->last : NULL;
}

static void note(struct worker *worker)
{
    home_order(worker->home, CELL_NOTED, worker->number, worker->tries, NULL);
}

/* First the ledger hears of it, then the worker gets its answer: no reply can be ahead of its reports. Where the ledger
 * does not read, the worker stands still. */
void worker_tried(struct runner *runner, struct worker *worker, const struct cell_report *report)
{
    worker->tries++;
    if (!last_call(worker))
        worker->untold++;
    else if (!tell_tried(runner, worker, report)) {
        worker->unnoted = true;
        return;
    }
    note(worker);
}

void workers_note(struct runner *runner)
{
    for (int i = 0; i < WORKERS; i++) {
        struct worker *worker = &runner->workers[i];
        if (!worker->unnoted) continue;
        worker->unnoted = false;
        note(worker);
    }
}

void worker_loaded(struct runner *runner, struct worker *worker, const struct cell_report *report)
{
    worker->untold = 0;
    tell_incident(runner, INCIDENT_LOAD, worker->home, last_call(worker), report);
}

/* ── its death ───────────────────────────────────────────────────────────────────────────────────────── */

static void tell_death(struct runner *runner, struct worker *worker, const struct cell_report *report, bool faulty)
{
    bool early = worker->untold || (faulty && report->loading); /* an incident, whatever else it is */
    if (early) tell_incident(runner, INCIDENT_LOAD, worker->home, last_call(worker), report);
    if (worker->call) {
        tell_ended(runner, worker, report);
        if (report->exit_code == WORKER_MISMATCH && !report->signal)
            tell_incident(runner, INCIDENT_DIGEST_MISMATCH, worker->home, &worker->last, report);
    } else if (faulty && worker->answered) {
        tell_incident(runner, INCIDENT_LATE_END, worker->home, &worker->last, report);
    } else if (faulty && !early) {
        tell_incident(runner, INCIDENT_LOAD, worker->home, NULL, report);
    } else if (worker->answered && report->attempt_count) {
        worker->end_class = CLASS_OK;
        tell_ended(runner, worker, report);
    }
}

/* Our exit code for walls that did not go up, from a worker whose walls were seen: a plugin borrowed it. */
static bool borrowed_walls(const struct worker *worker, const struct cell_report *report)
{
    return worker->checked && !report->signal && report->exit_code == WORKER_WALLS;
}

/* The plugin's own doing: crashes, violations, objects that do not load, and whatever else ends a process that was
 * found confined before it is loaded: until then nothing of the plugin has run. Being slow is not among them, nor a
 * call's deadline that comes before its worker is loaded: it may have waited for its turn all the time. */
static bool own_fault(const struct worker *worker, const struct cell_report *report)
{
    uint32_t class, reason;
    judge(report, &class, &reason);
    bool ended = report->why == ENDED_KILLED || report->why == ENDED_DEADLINE;
    return worker->checked && worker->end_class == CLASS_NONE && !ended &&
           (class == CLASS_CRASHED || class == CLASS_VIOLATION || reason == REASON_LOAD_FAILED || report->loading ||
            borrowed_walls(worker, report));
}

void worker_ended(struct runner *runner, struct worker *worker, const struct cell_report *report)
{
    struct home *home = worker->home;
    struct call *call = worker->call;
    uint32_t class, reason = worker->end_reason;
    bool faulty = own_fault(worker, report), borrowed = borrowed_walls(worker, report);
    worker->state = HELD_ENDING; /* one that never got as far as a check must not pass for a spare below */
    if (worker->end_class == CLASS_NONE) judge(report, &class, &reason);
    if (worker->end_class == CLASS_NONE && borrowed)
        worker->end_class = CLASS_CRASHED, worker->end_reason = reason = REASON_EXIT;
    if (report->exit_code == WORKER_WALLS && !borrowed)
        log_event(LOG_LEVEL_ERROR, "worker-unconfined", log_text("connector", home->entry ? home->entry->name : "?"));
    tell_death(runner, worker, report, faulty);
    if (faulty) home_failed(runner, home);
    worker_gone(runner, worker);
    if (call) {
        worker_let_go(runner, worker);
        call_over(runner, call, reason);
    }
    worker_free(worker);
    calls_resume(runner, home);
    if (runner->crowded) role_wake_at(runner->role, clock_now()); /* what waits in other homes begins there */
    runner->crowded = false;
    if (home->ending && !home->busy && home->cell > 0) home_close(runner, home, REASON_POLICY);
}
