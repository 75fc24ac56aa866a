/* SPDX-License-Identifier: Apache-2.0 */
/* MSG_END and every other way a call ends: join what front, broker and runner say, then hand it to the next commit. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ledger.h"
#include "payload.h"

enum { WORKER_WAIT_MS = 250, BROKER_WAIT_MS = 2000 };

/* ── waiting for the others ────────────────────────────────────────────────────────────────────────── */

/* An honest reply needs nobody else's word about the worker; an abnormal end does. */
static bool abnormal(const struct running *run)
{
    switch (run->has_end ? (int)run->end.class : (int)CLASS_LOST) {
    case CLASS_TIMEOUT:
    case CLASS_CRASHED:
    case CLASS_VIOLATION: return true;
    case CLASS_LOST: return !run->has_end || run->end.reason != REASON_REMOTE;
    default: return false;
    }
}

static bool broker_done(const struct running *run, uint64_t now)
{
    return run->has_gate || !run->gated || run->gate_lost || now >= run->until;
}

static bool worker_done(const struct running *run, uint64_t now)
{
    return run->has_worker || !run->started || now >= run->worker_until;
}

static void look(struct ledger *ledger, struct running *run)
{
    uint64_t now = clock_now();
    if (run->state != RUN_CLOSING) return;
    if (broker_done(run, now) && worker_done(run, now)) {
        outcome_join(run);
        run_move(run, RUN_READY);
        ledger->ready[ledger->ready_count++] = run;
        return;
    }
    role_wake_at(ledger->role, broker_done(run, now) ? run->worker_until : run->until);
    if (!worker_done(run, now)) role_wake_at(ledger->role, run->worker_until);
}

static void ask_broker(struct ledger *ledger, struct running *run)
{
    struct role_line *broker = role_line_to(ledger->role, ROLE_BROKER);
    struct msg_gate_close close = {.call = run->call.ref};
    if (!run->gated || run->gate_asked || run->gate_lost) return;
    run->gate_asked = broker && broker->generation == run->broker_generation &&
                      role_send(ledger->role, broker, MSG_GATE_CLOSE, 0, &close, sizeof close, NULL, 0);
    if (!run->gate_asked && !run->has_gate) run->gate_lost = true;
}

static void start_closing(struct ledger *ledger, struct running *run)
{
    uint64_t now = clock_now();
    if (!run_move(run, RUN_CLOSING)) return;
    if (run->fetches) exchange_over(ledger, run);
    run->until = now + BROKER_WAIT_MS * CLOCK_MS;
    run->worker_until = abnormal(run) ? now + WORKER_WAIT_MS * CLOCK_MS : now;
    ask_broker(ledger, run);
    look(ledger, run);
}

void end_without(struct ledger *ledger, struct running *run, enum call_class class, enum call_reason reason)
{
    if (run->state != RUN_OPEN) return;
    orders_cancel(ledger, run, reason);
    if (!run->has_end) {
        run->end.class = class;
        run->end.reason = reason;
    }
    start_closing(ledger, run);
    /* Nothing of it can have run, so there is nobody to wait for. */
    if (class == CLASS_REFUSED) run->worker_until = 0;
    look(ledger, run);
}

void end_with(struct ledger *ledger, struct running *run, enum call_class class, enum call_reason reason)
{
    if (run->state != RUN_OPEN) return;
    run->has_end = true;
    run->end.class = class;
    run->end.reason = reason;
    start_closing(ledger, run);
}

/* ── what the front says ───────────────────────────────────────────────────────────────────────────── */

static void send_ended(struct ledger *ledger, struct role_line *line, uint32_t seq, const struct msg_ended *ended)
{
    role_send(ledger->role, line, MSG_ENDED, seq, ended, sizeof *ended, NULL, 0);
}

static void tell(struct msg_ended *ended, const struct store_call *call)
{
    ended->class = call->class;
    ended->sent = call->sent;
    ended->reason = call->reason;
    ended->outcome_index = call->outcome;
}

/* Not running any more: the front repeats itself, or asks for something that never was. */
static void answer_from_store(struct ledger *ledger, struct role_line *line, uint32_t seq, const struct call_ref *ref)
{
    struct msg_ended ended = {.call = *ref};
    struct store_call call;
    struct err err = {0};
    bool found = false;
    if (ledger->sealed || !store_call_get(ledger->store, ref->id, ref->attempt, &call, &found, &err))
        err_set(&err, ERR_AUDIT, "the call ended, but its outcome is not in the log yet");
    else if (!found || !ref->attempt)
        err_set(&err, ERR_NOT_FOUND, "there is no such call");
    else if (!call.ended)
        err_set(&err, ERR_UNAVAILABLE, "the call is not known here any more");
    else
        tell(&ended, &call);
    status_set(&ended.status, &err);
    send_ended(ledger, line, seq, &ended);
}

static bool end_valid(const struct msg_end *end, size_t length)
{
    size_t tail = length - sizeof *end;
    return end->class > CLASS_NONE && end->class < CLASS_COUNT && end->reason < REASON_COUNT &&
           end->answer_length == tail && tail <= ANSWER_MAX && end->call.attempt > 0;
}

static void keep_end(struct running *run, const struct msg_end *end)
{
    run->end = *end;
    run->has_end = true;
    if (run->call.has_slot && end->answer_length) run->answer = malloc(end->answer_length);
    if (run->answer)
        memcpy(run->answer, (const uint8_t *)end + sizeof *end, end->answer_length);
    else
        run->end.answer_length = 0;
}

void on_end(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct ledger *ledger = ledger_of(role);
    const struct msg_end *end = message->body;
    if (!end_valid(end, message->length)) {
        ledger->counters.bad++;
        return;
    }
    struct running *run = calls_find(&ledger->calls, &end->call);
    if (!run || run->state == RUN_NEW || run->fetches) {
        answer_from_store(ledger, line, message->head.seq, &end->call);
        return;
    }
    if (run->taker != (uint32_t)line->peer) { /* another's call */
        ledger->counters.bad++;
        return;
    }
    run->asked = line;
    run->asked_generation = message->head.generation;
    run->asked_seq = message->head.seq;
    /* It ended without the front already: only a reply that did come says more than that. */
    bool replied = end->class == CLASS_OK || end->class == CLASS_REJECTED || end->class == CLASS_RETRYABLE ||
                   end->class == CLASS_BAD_INPUT;
    if (run->has_end || (run->state != RUN_OPEN && !replied)) return;
    if (!payload_fits(run, end)) { /* of a call whose replies are kept, none is taken that is not handed over */
        ledger->counters.bad++;
        return;
    }
    keep_end(run, end);
    start_closing(ledger, run);
}

/* ── what broker and runner say ────────────────────────────────────────────────────────────────────── */

void on_gate_closed(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct ledger *ledger = ledger_of(role);
    const struct msg_gate_closed *gate = message->body;
    struct running *run = calls_find(&ledger->calls, &gate->call);
    if (!run || run->state == RUN_NEW || run->state == RUN_READY) return;
    /* A gate that closed by itself at its deadline has told its counts already. */
    if (!run->has_gate || gate->known) {
        run->gate = *gate;
        run->gate.last_denied[sizeof run->gate.last_denied - 1] = '\0';
    }
    if (!gate->known && run->state == RUN_OPEN) return;
    run->has_gate = true;
    look(ledger, run);
}

static void late_end(struct ledger *ledger, const struct msg_worker_ended *ended)
{
    struct store_call call;
    struct err err = {0};
    bool found = false;
    if (ledger->sealed || !store_call_get(ledger->store, ended->call.id, ended->call.attempt, &call, &found, &err))
        return;
    if (found && ended->call.attempt)
        incident_late_end(ledger, ended, &call);
    else
        ledger->counters.bad++;
}

/* Its worker is gone, and whoever reads its reply can say more, if anybody can. */
static void close_soon(struct ledger *ledger, struct running *run)
{
    if (run->close_at) return;
    run->close_at = clock_now() + CLOCK_S;
    run->close_reason = REASON_PROTOCOL_ERROR;
    role_wake_at(ledger->role, run->close_at);
}

void on_worker_ended(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct ledger *ledger = ledger_of(role);
    const struct msg_worker_ended *ended = message->body;
    struct running *run = calls_find(&ledger->calls, &ended->call);
    if (ended->class <= CLASS_NONE || ended->class >= CLASS_COUNT || ended->reason >= REASON_COUNT) {
        ledger->counters.bad++;
        return;
    }
    if (!run || run->state == RUN_READY) {
        bool known = run ? ended->report_count <= run->tried_count : reports_known(ended);
        if (ended->class != CLASS_OK || !known) late_end(ledger, ended);
        return;
    }
    if (run->state == RUN_NEW || run->has_worker) return;
    run->worker = *ended;
    run->has_worker = true;
    run->worker_late = clock_now() >= run->call.deadline;
    bool refused = ended->class == CLASS_REFUSED;
    if (run->state == RUN_OPEN && refused && ended->phase != PHASE_CALL)
        end_without(ledger, run, CLASS_REFUSED, (enum call_reason)ended->reason);
    if (run->state == RUN_OPEN && (refused || run->fetches)) close_soon(ledger, run);
    look(ledger, run);
}

/* ── time ──────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t closes_at(const struct ledger *ledger, const struct running *run)
{
    uint64_t at = run->close_at ? run->close_at : run->call.deadline + CLOCK_S;
    return at > ledger->patient_until ? at : ledger->patient_until;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
    return !a || (b && b < a) ? b : a;
}

uint64_t ends_tick(struct ledger *ledger)
{
    uint64_t now = clock_now(), next = 0;
    for (struct running *run = ledger->calls.first; run; run = run->next) {
        if (run->state == RUN_OPEN && now >= closes_at(ledger, run))
            end_without(ledger, run, CLASS_LOST, run->close_at ? run->close_reason : REASON_DEADLINE);
        look(ledger, run);
        if (run->state == RUN_OPEN) next = sooner(next, closes_at(ledger, run));
        if (run->state == RUN_CLOSING && !broker_done(run, now)) next = sooner(next, run->until);
        if (run->state == RUN_CLOSING && !worker_done(run, now)) next = sooner(next, run->worker_until);
    }
    return next;
}

/* ── commits ───────────────────────────────────────────────────────────────────────────────────────── */

bool outcomes_record(struct ledger *ledger, struct err *err)
{
    for (unsigned i = 0; i < ledger->ready_count; i++)
        if (!outcome_write(ledger, ledger->ready[i], false, err)) return false;
    return true;
}

static bool spill(struct ledger *ledger, struct running *run)
{
    struct err err = {0};
    struct spilled one = {.call = run->call.ref,
                          .class = run->call.class,
                          .sent = run->call.sent,
                          .reason = run->call.reason,
                          .retry_after = run->call.retry_after,
                          .front_class = (uint32_t)run->front_class,
                          .log_lines = run->end.log_lines,
                          .reply_size = run->end.reply_size,
                          .duration_us = outcome_duration(run),
                          .has_end = run->has_end,
                          .has_gate = run->has_gate,
                          .has_worker = run->has_worker,
                          .gate = run->gate,
                          .worker = run->worker};
    memcpy(one.reply_digest, run->end.reply_digest, HASH_BYTES);
    if (run->tried_count) {
        one.worker.report_count = run->tried_count;
        memcpy(one.worker.reports, run->tried, sizeof one.worker.reports);
    }
    if (spill_add(&ledger->spill, &one, &err)) {
        ledger->spilled++;
        return true;
    }
    log_failure("spill", &err);
    return false;
}

static void answer_end(struct ledger *ledger, struct running *run, const struct err *why)
{
    struct msg_ended ended = {.call = run->call.ref};
    tell(&ended, &run->call);
    if (why) {
        ended.outcome_index = 0;
        status_set(&ended.status, why);
    }
    if (run->asked && run->asked->generation == run->asked_generation)
        send_ended(ledger, run->asked, run->asked_seq, &ended);
    run->asked = NULL;
}

/* An outcome that cannot be written down here or there stays in memory and is tried again at recovery. */
void outcomes_done(struct ledger *ledger, bool durable, const struct err *why)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < ledger->ready_count; i++) {
        struct running *run = ledger->ready[i];
        bool written = durable || spill(ledger, run); /* before anybody hears of it */
        if (written) reports_closed(run);
        answer_end(ledger, run, durable ? NULL : why);
        if (durable) ledger->counters.by_class[run->call.class]++;
        if (written)
            calls_remove(&ledger->calls, run);
        else
            ledger->ready[kept++] = run;
    }
    ledger->ready_count = kept;
}
