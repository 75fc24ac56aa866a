/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: the ledger's START and the front's, or the desk's, TAKE meet here, in either order; DONE, CANCEL and REVOKE
 * end them. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "runner.h"

/* ── the table ───────────────────────────────────────────────────────────────────────────────────────── */

static struct call *find(struct runner *runner, const struct call_ref *ref)
{
    for (unsigned i = 0; i < runner->call_top; i++) {
        struct call *call = &runner->calls[i];
        if (call->state != CALL_NONE && call->start.call.attempt == ref->attempt &&
            memcmp(call->start.call.id, ref->id, ID_BYTES) == 0)
            return call;
    }
    return NULL;
}

static struct call *add(struct runner *runner, const struct call_ref *ref)
{
    for (unsigned i = 0; i < CALLS; i++) {
        if (runner->calls[i].state != CALL_NONE) continue;
        if (i >= runner->call_top) runner->call_top = i + 1;
        runner->calls[i] = (struct call){.start.call = *ref};
        return &runner->calls[i];
    }
    return NULL;
}

static void forget(struct runner *runner, struct call *call)
{
    *call = (struct call){.state = CALL_NONE};
    while (runner->call_top && runner->calls[runner->call_top - 1].state == CALL_NONE) runner->call_top--;
}

/* ── refusals ────────────────────────────────────────────────────────────────────────────────────────── */

static void answer_take(struct runner *runner, const struct call *call, uint32_t kind, uint32_t reason)
{
    struct err err = {0};
    err_set(&err, kind ? (enum err_kind)kind : ERR_UNAVAILABLE, "no worker for this call (%s)", reason_name(reason));
    struct msg_taken taken = {.call = call->start.call, .reason = reason};
    status_set(&taken.status, &err);
    if (call->line->generation == call->line_generation)
        role_send(runner->role, call->line, MSG_TAKEN, call->seq, &taken, sizeof taken, NULL, 0);
}

/* Kept for a TAKE that is still to come. */
static void fail(struct runner *runner, struct call *call, uint32_t kind, uint32_t reason)
{
    if (call->take) {
        answer_take(runner, call, kind, reason);
        forget(runner, call);
        return;
    }
    call->state = CALL_FAILED;
    call->worker = NULL;
    call->kind = kind;
    call->reason = reason;
    call->until = clock_now() + FAILED_KEPT_S * CLOCK_S;
    role_wake_at(runner->role, call->until);
}

void call_refuse(struct runner *runner, struct call *call, uint32_t kind, uint32_t reason)
{
    tell_refused(runner, &call->start.call, CLASS_REFUSED, reason);
    fail(runner, call, kind, reason);
}

void call_over(struct runner *runner, struct call *call, uint32_t reason)
{
    if (call->taken)
        forget(runner, call);
    else
        fail(runner, call, reason == REASON_LOAD_FAILED ? ERR_LOAD : ERR_UNAVAILABLE, reason);
}

/* Whose it is, the ledger says: another one that asked for it first gets nothing. */
static void turn_away(struct runner *runner, struct call *call)
{
    if (!call->take || call->line->peer == call->start.taker) return;
    answer_take(runner, call, ERR_NOT_FOUND, REASON_NO_WORKER);
    call->take = false;
}

/* ── start ───────────────────────────────────────────────────────────────────────────────────────────── */

/* Indexes mean what they mean in the sender's registry; an entry is the same where its digest is. */
static const struct entry *entry_of(const struct runner *runner, uint32_t number, uint32_t index)
{
    if (number == runner->registry.number) return registry_entry(&runner->registry, index);
    if (number != runner->previous.number) return NULL;
    const struct entry *old = registry_entry(&runner->previous, index);
    return old ? registry_same(&runner->registry, old->digest) : NULL;
}

static unsigned share(const struct home *home)
{
    return home->entry && home->entry->limits.concurrency ? home->entry->limits.concurrency : WORKERS_EACH;
}

static void begin(struct runner *runner, struct call *call)
{
    struct err err = {0};
    if (call->start.deadline <= clock_now()) {
        call_refuse(runner, call, ERR_TIMEOUT, REASON_DEADLINE);
    } else if (call->home->busy >= share(call->home) || !worker_expected(runner, call)) {
        call->state = CALL_WAITING;
        role_wake_at(runner->role, call->start.deadline);
    } else if (!worker_assign(runner, call, &err)) {
        err_in(&err, "a worker of %s", call->home->entry ? call->home->entry->name : "a connector that is gone");
        log_failure("no-worker", &err);
        call_refuse(runner, call, (uint32_t)err.kind, err.kind == ERR_LOAD ? REASON_LOAD_FAILED : REASON_NO_WORKER);
    }
}

void calls_resume(struct runner *runner, struct home *home)
{
    for (unsigned i = 0; i < runner->call_top; i++) {
        struct call *call = &runner->calls[i];
        if (call->state != CALL_WAITING || call->home != home) continue;
        if (home->closing || home->busy >= share(home)) return;
        begin(runner, call);
    }
}

void calls_refuse_waiting(struct runner *runner, struct home *home)
{
    for (unsigned i = 0; i < runner->call_top; i++)
        if (runner->calls[i].state == CALL_WAITING && runner->calls[i].home == home)
            call_refuse(runner, &runner->calls[i], ERR_STALE, REASON_POLICY);
}

/* The vault's return pipe is for the bytes that this program was built with, and these serve nothing else. */
static bool may_exchange(const struct entry *entry, const struct msg_start *start)
{
    bool built_in = memcmp(entry->so_digest, oauth2_digest, HASH_BYTES) == 0;
    return start->exchange ? built_in && entry->isolation == ISOLATE_CALL : !built_in;
}

void on_start(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct runner *runner = role->state;
    const struct msg_start *start = message->body;
    struct call *call = find(runner, &start->call);
    if (call && call->state != CALL_TAKE_ONLY) return; /* a second START of one attempt */
    if (!call) call = add(runner, &start->call);
    if (!call) {
        tell_refused(runner, &start->call, CLASS_REFUSED, REASON_NO_WORKER);
        return;
    }
    call->start = *start;
    call->state = CALL_WAITING;
    turn_away(runner, call);
    const struct entry *entry = entry_of(runner, message->head.registry, start->entry);
    bool good = entry && entry->state == ENTRY_ENABLED && start->action < entry->action_count &&
                start->isolation == (uint32_t)entry->isolation && may_exchange(entry, start);
    call->home = good ? home_for(runner, entry) : NULL;
    if (role->frozen)
        call_refuse(runner, call, ERR_FROZEN, REASON_FROZEN);
    else if (!call->home)
        call_refuse(runner, call, ERR_STALE, REASON_POLICY);
    else
        begin(runner, call);
}

/* ── the front ───────────────────────────────────────────────────────────────────────────────────────── */

void on_take(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct runner *runner = role->state;
    const struct msg_take *take = message->body;
    struct call *call = find(runner, &take->call);
    struct call none = {
        .start.call = take->call, .line = line, .line_generation = line->generation, .seq = message->head.seq};
    if (call && call->state != CALL_TAKE_ONLY && !call->start.exchange && line->peer != call->start.taker) {
        answer_take(runner, &none, ERR_NOT_FOUND, REASON_NO_WORKER); /* not that one's */
        return;
    }
    if (call && (call->take || call->start.exchange)) {
        answer_take(runner, &none, ERR_STATE, REASON_NO_WORKER); /* taken once already, or no front's to take */
        return;
    }
    if (!call && (call = add(runner, &take->call))) {
        call->state = CALL_TAKE_ONLY;
        call->until = clock_now() + TAKE_PATIENCE_S * CLOCK_S;
        role_wake_at(role, call->until);
    }
    if (!call) {
        answer_take(runner, &none, ERR_BUSY, REASON_NO_WORKER);
        return;
    }
    call->take = true;
    call->line = line;
    call->line_generation = line->generation;
    call->seq = message->head.seq;
    if (call->state == CALL_FAILED)
        fail(runner, call, call->kind, call->reason);
    else if (call->state == CALL_RUNNING)
        worker_hand_out(runner, call);
}

void on_done(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct runner *runner = role->state;
    const struct msg_done *done = message->body;
    struct call *call = find(runner, &done->call);
    if (!call || !call->taken || call->start.exchange || call->state != CALL_RUNNING) return;
    if (line->peer != call->start.taker) return;
    struct worker *worker = call->worker;
    if (!done->ok) {
        worker_end(runner, worker, CLASS_NONE, REASON_NONE);
        return;
    }
    forget(runner, call);
    worker_answered(runner, worker);
}

/* ── cancel, revoke ──────────────────────────────────────────────────────────────────────────────────── */

void on_cancel(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct runner *runner = role->state;
    const struct msg_cancel *cancel = message->body;
    struct call *call = find(runner, &cancel->call);
    uint32_t reason = cancel->reason < REASON_COUNT && cancel->reason ? cancel->reason : REASON_CANCELLED;
    if (!call) return;
    if (call->start.exchange && cancel->reason == REASON_NONE && call->state == CALL_RUNNING) {
        struct worker *worker = call->worker;
        forget(runner, call);
        worker_answered(runner, worker);
        return;
    }
    if (call->state == CALL_WAITING)
        call_refuse(runner, call, ERR_STATE, reason);
    else if (call->state == CALL_RUNNING)
        worker_end(runner, call->worker, reason == REASON_RESTART ? CLASS_LOST : CLASS_TIMEOUT, reason);
}

static bool same_call(const struct call_ref *a, const struct call_ref *b)
{
    return a->attempt == b->attempt && memcmp(a->id, b->id, ID_BYTES) == 0;
}

static bool zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i]) return false;
    return true;
}

static bool matches(const struct msg_revoke *revoke, const struct worker *worker)
{
    bool named = !zero(revoke->workspace, ID_BYTES) || !zero(revoke->credential, ID_BYTES);
    if (!zero(revoke->entry_digest, HASH_BYTES) && memcmp(revoke->entry_digest, worker->home->digest, HASH_BYTES) != 0)
        return false;
    if (revoke->call.attempt) return worker->call && same_call(&worker->call->start.call, &revoke->call);
    if (!named) return true;
    if (!worker->call && worker->state != HELD_LEASE) return false; /* a spare belongs to nobody yet */
    return (zero(revoke->workspace, ID_BYTES) || memcmp(revoke->workspace, worker->workspace, ID_BYTES) == 0) &&
           (zero(revoke->credential, ID_BYTES) || memcmp(revoke->credential, worker->credential, ID_BYTES) == 0);
}

void on_revoke(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct runner *runner = role->state;
    const struct msg_revoke *revoke = message->body;
    struct msg_revoked revoked = {0};
    for (int i = 0; i < WORKERS; i++) {
        struct worker *worker = &runner->workers[i];
        if (worker->state == HELD_NONE || !matches(revoke, worker)) continue;
        revoked.workers++;
        if (worker->call && revoke->after_call)
            worker->retired = true;
        else if (worker->call)
            worker_end(runner, worker, CLASS_TIMEOUT, REASON_REVOKED);
        else
            worker_end(runner, worker, CLASS_NONE, REASON_NONE);
    }
    if (message->head.seq) role_send(role, line, MSG_REVOKED, message->head.seq, &revoked, sizeof revoked, NULL, 0);
}

/* ── listing ─────────────────────────────────────────────────────────────────────────────────────────── */

static void describe(const struct worker *worker, uint64_t now, struct worker_row *row)
{
    *row = (struct worker_row){.action = worker->action,
                               .credential_version = worker->version,
                               .calls = worker->calls,
                               .age_ms = (now - worker->made) / CLOCK_MS};
    if (worker->call) row->call = worker->call->start.call;
    if (worker->state == HELD_LEASE) row->idle_ms = (now - worker->idle_since) / CLOCK_MS;
    memcpy(row->workspace, worker->workspace, ID_BYTES);
    memcpy(row->credential, worker->credential, ID_BYTES);
    memcpy(row->entry_digest, worker->home->digest, HASH_BYTES);
}

void on_workers(struct role *role, struct role_line *line, const struct role_message *message)
{
    static struct msg_workers_answer answer;
    struct runner *runner = role->state;
    const struct msg_workers *ask = message->body;
    uint64_t now = clock_now();
    uint32_t i = ask->from;
    memset(&answer, 0, sizeof answer);
    for (; i < WORKERS && answer.count < WORKER_ROWS; i++) {
        const struct worker *worker = &runner->workers[i];
        bool ready = worker->state != HELD_NONE && worker->state != HELD_MAKING; /* its call still waits for it */
        if (ready && (worker->call || worker->state == HELD_LEASE)) describe(worker, now, &answer.rows[answer.count++]);
    }
    answer.next = i < WORKERS ? i : 0;
    role_send(role, line, MSG_WORKERS_ANSWER, message->head.seq, &answer, sizeof answer, NULL, 0);
}

/* ── time ────────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t due(const struct call *call)
{
    if (call->state == CALL_WAITING) return call->start.deadline;
    return call->state == CALL_TAKE_ONLY || call->state == CALL_FAILED ? call->until : 0;
}

static void expire(struct runner *runner, struct call *call)
{
    if (call->state == CALL_WAITING) {
        call_refuse(runner, call, ERR_TIMEOUT, REASON_RESOURCE_LIMIT);
        return;
    }
    if (call->state == CALL_TAKE_ONLY) answer_take(runner, call, ERR_NOT_FOUND, REASON_NO_WORKER);
    forget(runner, call);
}

/* A call may wait although nobody stands before it: its home has lost its cell. */
static bool may_begin(const struct call *call)
{
    return call->state == CALL_WAITING && !call->home->closing && call->home->busy < share(call->home);
}

uint64_t calls_tick(struct runner *runner, uint64_t now)
{
    uint64_t next = 0;
    for (unsigned i = 0; i < runner->call_top; i++) {
        uint64_t when = due(&runner->calls[i]);
        if (when && when <= now)
            expire(runner, &runner->calls[i]);
        else if (may_begin(&runner->calls[i]))
            begin(runner, &runner->calls[i]);
        when = due(&runner->calls[i]);
        if (when && (!next || when < next)) next = when;
    }
    return next;
}
