/* SPDX-License-Identifier: Apache-2.0 */
/* What the ledger hears: how workers ended, and what belongs to no call. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "runner.h"

_Static_assert(sizeof(struct violation) == sizeof(struct cell_attempt), "one shape for what a worker tried");
_Static_assert((int)REPORTS == (int)POLICY_REPORTS, "as many as a message carries");

/* A ledger that does not read starts no calls either: it is some for each worker, and no more. */
enum { UNSENT_MAX = 4 * WORKERS };

struct unsent {
    struct unsent *next;
    unsigned type;
    size_t length;
    unsigned char body[];
};

static bool send_now(struct runner *runner, unsigned type, const void *body, size_t length)
{
    struct role_line *line = role_line_to(runner->role, ROLE_LEDGER);
    return line && role_send(runner->role, line, type, 0, body, length, NULL, 0);
}

static void keep(struct runner *runner, unsigned type, const void *body, size_t length)
{
    struct unsent *one = runner->unsent_count < UNSENT_MAX ? malloc(sizeof *one + length) : NULL;
    if (!one) {
        log_event(LOG_LEVEL_ERROR, "no-room", log_text("for", "a report"), log_number("reports", runner->unsent_count));
        return;
    }
    *one = (struct unsent){.type = type, .length = length};
    memcpy(one->body, body, length);
    if (runner->unsent)
        runner->unsent_last->next = one;
    else
        runner->unsent = one;
    runner->unsent_last = one;
    runner->unsent_count++;
}

static void drop_first(struct runner *runner)
{
    struct unsent *one = runner->unsent;
    runner->unsent = one->next;
    runner->unsent_count--;
    free(one);
}

static bool send_ledger(struct runner *runner, unsigned type, const void *body, size_t length)
{
    if (!runner->unsent && send_now(runner, type, body, length)) return true;
    keep(runner, type, body, length);
    return false;
}

void tell_unsent(struct role *role)
{
    struct runner *runner = role->state;
    if (!runner->unsent) return;
    while (runner->unsent && send_now(runner, runner->unsent->type, runner->unsent->body, runner->unsent->length))
        drop_first(runner);
    if (!runner->unsent) workers_note(runner);
}

void tell_nothing_more(struct runner *runner)
{
    while (runner->unsent) drop_first(runner);
}

void tell_refused(struct runner *runner, const struct call_ref *call, uint32_t class, uint32_t reason)
{
    struct msg_worker_ended ended = {.call = *call, .class = class, .reason = reason, .phase = PHASE_LOAD};
    send_ledger(runner, MSG_WORKER_ENDED, &ended, sizeof ended);
}

/* Typed endings of trusted code, by exit code. What it says of loading, a plugin cannot say once it is loaded. */
static bool judge_exit(int code, bool loading, uint32_t *class, uint32_t *reason)
{
    static const struct {
        int code;
        uint32_t class, reason;
    } rows[] = {{WORKER_NOT_LOADED, CLASS_REFUSED, REASON_LOAD_FAILED},
                {WORKER_NO_SYMBOL, CLASS_REFUSED, REASON_LOAD_FAILED},
                {WORKER_WRONG_ABI, CLASS_REFUSED, REASON_LOAD_FAILED},
                {WORKER_NO_ACTION, CLASS_REFUSED, REASON_LOAD_FAILED},
                {WORKER_WALLS, CLASS_REFUSED, REASON_NO_WORKER},
                {WORKER_MISMATCH, CLASS_REFUSED, REASON_INPUT_DIGEST},
                {WORKER_BAD_FRAME, CLASS_CRASHED, REASON_PROTOCOL_ERROR},
                {WORKER_NO_MEMORY, CLASS_CRASHED, REASON_RESOURCE_LIMIT},
                {WORKER_NO_ANSWER, CLASS_CRASHED, REASON_PROTOCOL_ERROR},
                {WORKER_TOO_LARGE, CLASS_CRASHED, REASON_RESOURCE_LIMIT},
                {WORKER_CLOSED, CLASS_REFUSED, REASON_NO_WORKER}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].code != code || (rows[i].reason == REASON_LOAD_FAILED && !loading)) continue;
        *class = rows[i].class;
        *reason = rows[i].reason;
        return true;
    }
    return false;
}

void judge(const struct cell_report *report, uint32_t *class, uint32_t *reason)
{
    *class = CLASS_CRASHED;
    *reason = report->loading ? REASON_LOAD_FAILED : report->signal ? REASON_SIGNAL : REASON_EXIT;
    switch (report->why) {
    case ENDED_DEADLINE: *class = CLASS_TIMEOUT, *reason = REASON_DEADLINE; return;
    case ENDED_LOAD_DEADLINE: *class = CLASS_TIMEOUT, *reason = REASON_LOAD_FAILED; return;
    case ENDED_ATTEMPTS: *class = CLASS_VIOLATION, *reason = REASON_SYSCALL; return;
    default: break;
    }
    if (report->signal == SIGSYS)
        *class = CLASS_VIOLATION, *reason = REASON_SYSCALL;
    else if (report->signal == SIGXCPU && report->loading)
        *class = CLASS_TIMEOUT; /* spinning until the loading deadline: whichever of the two limits is first */
    else if (report->signal == SIGXCPU || (report->signal == SIGKILL && report->why == ENDED_ITSELF))
        *reason = REASON_RESOURCE_LIMIT; /* the processor limit, or the kernel when memory is short */
    else if (!report->signal)
        judge_exit(report->exit_code, report->loading, class, reason);
}

bool tell_tried(struct runner *runner, const struct worker *worker, const struct cell_report *report)
{
    struct msg_worker_tried tried = {.call = worker->last, .phase = report->loading ? PHASE_LOAD : PHASE_CALL};
    memcpy(&tried.what, &report->attempts[0], sizeof tried.what);
    return send_ledger(runner, MSG_WORKER_TRIED, &tried, sizeof tried);
}

void tell_ended(struct runner *runner, const struct worker *worker, const struct cell_report *report)
{
    struct msg_worker_ended ended = {.call = worker->last,
                                     .exit_code = report->exit_code,
                                     .signal = report->signal,
                                     .phase = report->loading ? PHASE_LOAD : PHASE_CALL,
                                     .report_count = report->attempt_count,
                                     .cpu_us = report->cpu_us,
                                     .peak_kb = report->peak_kb,
                                     .alive_us = report->alive_us};
    judge(report, &ended.class, &ended.reason);
    if (worker->end_class != CLASS_NONE) ended.class = worker->end_class, ended.reason = worker->end_reason;
    memcpy(ended.reports, report->attempts, sizeof ended.reports);
    send_ledger(runner, MSG_WORKER_ENDED, &ended, sizeof ended);
}

void tell_incident(struct runner *runner, enum incident_kind kind, const struct home *home, const struct call_ref *call,
                   const struct cell_report *report)
{
    struct msg_incident incident = {.kind = kind, .entry = home->entry_index, .phase = PHASE_LOAD};
    memcpy(incident.entry_digest, home->digest, sizeof incident.entry_digest);
    if (call) incident.call = *call;
    if (report) {
        incident.exit_code = report->exit_code;
        incident.signal = report->signal;
        /* What a plugin does before its first call counts as loading: its own word on when that is over is no word. */
        incident.phase = report->loading || kind == INCIDENT_LOAD ? PHASE_LOAD : PHASE_CALL;
        incident.report_count = report->attempt_count;
        memcpy(incident.reports, report->attempts, sizeof incident.reports);
    }
    send_ledger(runner, MSG_INCIDENT, &incident, sizeof incident);
}
