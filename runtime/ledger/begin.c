/* SPDX-License-Identifier: Apache-2.0 */
/* MSG_BEGIN: all that wait are decided in one transaction; its commit lets the admitted ones loose, then all are
 * answered. */
#include <stdlib.h>
#include <string.h>

#include "admit.h"
#include "base/clock.h"
#include "base/log.h"
#include "payload.h"
#include "push.h"

/* Recorded one by one: of one caller, and of all. */
enum { REFUSALS_A_SECOND = 1, REFUSALS_AT_ONCE = 100, ALL_A_SECOND = 10, ALL_AT_ONCE = 1000 };
enum { PATIENCE_MS = 2000 };                            /* a log that takes longer counts as one that cannot be written */

void begin_free(struct begin *begin)
{
    if (!begin) return;
    free(begin->order);
    buf_clear(&begin->answer);
    buf_clear(&begin->input);
    free(begin->subjects);
    free(begin);
}

static void answer(struct ledger *ledger, struct begin *begin, const struct err *why)
{
    if (begin->line->generation != begin->generation) return;
    if (why) status_set(&begin->begun.status, why);
    role_send(ledger->role, begin->line, MSG_BEGUN, begin->seq, &begin->begun, sizeof begin->begun, NULL, 0);
}

/* Who asks says how long; a disk that stalls is not waited for longer than that, nor longer than we want. */
static uint64_t patience(const struct msg_begin *ask)
{
    uint64_t now = clock_now();
    int32_t left = (int32_t)(ask->answer_by - (uint32_t)(now / CLOCK_MS));
    if (!ask->answer_by || left > PATIENCE_MS) left = PATIENCE_MS;
    return left > 0 ? now + (uint64_t)left * CLOCK_MS : now;
}

static bool in_time(const struct begin *begin, struct err *err)
{
    return clock_now() < begin->until ||
           err_set(err, ERR_AUDIT, "the log did not take this call in time: nothing was sent, try again");
}

void on_begin(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct ledger *ledger = ledger_of(role);
    struct err err = {0};
    struct begin *begin = ledger->begin_count < BEGINS_MAX ? calloc(1, sizeof *begin) : NULL;
    struct begin refused = {.line = line,
                            .generation = message->head.generation,
                            .seq = message->head.seq,
                            .registry = message->head.registry};
    refused.until = patience(message->body);
    if (!begin) err_set(&err, ERR_BUSY, "too many calls are beginning");
    if (!begin || !ledger_open_for_business(ledger, &err) || !in_time(&refused, &err)) {
        answer(ledger, &refused, &err);
        free(begin);
        return;
    }
    *begin = refused;
    memcpy(&begin->ask, message->body, sizeof begin->ask);
    begin_tail(begin, message, &begin->unread);
    ledger->begins[ledger->begin_count++] = begin;
}

void begin_refuse(struct ledger *ledger, struct begin *begin, const struct err *why)
{
    answer(ledger, begin, why);
    begin_free(begin);
}

/* Everything is decided anew: much may have changed while the vault was asked. */
void begin_again(struct ledger *ledger, struct begin *begin)
{
    struct err err = {0};
    struct begin anew = {.line = begin->line,
                         .generation = begin->generation,
                         .seq = begin->seq,
                         .registry = begin->registry,
                         .until = begin->until,
                         .ask = begin->ask,
                         .subjects = begin->subjects,
                         .input = begin->input,
                         .again = true};
    bool waits = begin->line->generation == begin->generation;
    if (ledger->begin_count == BEGINS_MAX) err_set(&err, ERR_BUSY, "too many calls are beginning");
    if (!waits || err.kind != ERR_NONE || !ledger_open_for_business(ledger, &err)) {
        begin_refuse(ledger, begin, &err);
        return;
    }
    free(begin->order);
    *begin = anew;
    ledger->begins[ledger->begin_count++] = begin;
    role_wake_at(ledger->role, clock_now());
}

/* ── refusals ──────────────────────────────────────────────────────────────────────────────────────── */

/* Which refusals are counted per interval: those that a flood would fill the log with. Every user of this host is a
 * known caller, rights or not. */
static bool counted(struct ledger *ledger, const struct begin *begin)
{
    if (begin->caller.kind == WHO_NOBODY || begin->err.kind == ERR_RATE || begin->err.kind == ERR_BUSY ||
        begin->err.kind == ERR_UNAVAILABLE)
        return true;
    return !rate_take(&ledger->refusals, begin->caller.name, REFUSALS_A_SECOND, REFUSALS_AT_ONCE, clock_now()) ||
           !rate_take(&ledger->refusals, "", ALL_A_SECOND, ALL_AT_ONCE, clock_now());
}

static void add_personal(struct record *personal, const struct begin *begin)
{
    record_init(personal);
    record_text(personal, "caller", begin->caller.name);
    if (begin->ask.subjects_length) return; /* the rest may speak of them: it is sealed to them, or not written down */
    if (begin->ask.key[0]) record_text(personal, "key", begin->ask.key);
    if (begin->ask.traceparent[0]) record_text(personal, "trace", begin->ask.traceparent);
}

static bool record_refusal(struct ledger *ledger, struct begin *begin, struct err *err)
{
    RECORD_AUTO record;
    RECORD_AUTO personal;
    uint64_t index;
    bool named = begin->err.kind != ERR_MALFORMED;
    record_init(&record);
    add_personal(&personal, begin);
    record_text(&record, "reason", err_row(begin->err.kind)->slug);
    if (named) {
        record_text(&record, "workspace", begin->ask.workspace);
        record_text(&record, "connector", begin->ask.connector);
        record_text(&record, "action", begin->ask.action);
    }
    bool known = begin->workspace.name[0] != '\0';
    struct journal_about about = {
        .kind = RECORD_REFUSED, .personal = &personal, .workspace = known ? begin->workspace.id : NULL,
        .push = begin->caller.kind == WHO_SYSTEM};
    return journal_add(&ledger->journal, &about, &record, &index, err);
}

static bool refuse(struct ledger *ledger, struct begin *begin, struct err *err)
{
    ledger->counters.refused++;
    if (begin->err.kind == ERR_STALE) return true; /* the front asks again at once */
    if (!counted(ledger, begin)) return record_refusal(ledger, begin, err);
    if (begin->caller.kind == WHO_SYSTEM) return true; /* a push that is tried again: the gap will tell */
    refuse_unknown(ledger, begin->err.kind);
    return true;
}

/* ── the intent ────────────────────────────────────────────────────────────────────────────────────── */

static void describe_entry(struct record *record, const struct begin *begin)
{
    const struct entry *entry = begin->entry;
    record_text(record, "connector", entry->name);
    record_text(record, "plugin", entry->plugin);
    record_text(record, "version", entry->version);
    record_text(record, "action", begin->action->name);
    record_text(record, "isolation", entry->isolation == ISOLATE_LEASE ? "lease" : "call");
    record_hex(record, "entry", entry->digest, HASH_BYTES);
    record_hex(record, "so", entry->so_digest, HASH_BYTES);
    record_hex(record, "manifest", entry->manifest_digest, HASH_BYTES);
    if (begin->credential.version) {
        record_text(record, "credential", begin->credential.name);
        record_int(record, "credential_version", begin->credential.version);
    }
}

static bool add_intent(struct ledger *ledger, struct begin *begin, struct store_call *call, struct err *err)
{
    RECORD_AUTO record;
    RECORD_AUTO personal;
    BUF_AUTO value = {.max = RECORD_MAX};
    struct journal_sealed sealed;
    BUF_AUTO kept = {.max = PAYLOAD_SEALED};
    struct journal_payload payload = {.value = &kept};
    record_init(&record);
    add_personal(&personal, begin);
    if (!payload_input(begin, &record, &payload, &kept, err)) return false;
    if (begin->subjects && !begin_about(begin, &sealed, &value, err)) return false;
    if (!begin->subjects) record_hex(&personal, "input_salt", begin->ask.salt, sizeof begin->ask.salt);
    describe_entry(&record, begin);
    record_id(&record, "call", call->ref.id);
    record_int(&record, "attempt", call->ref.attempt);
    record_text(&record, "workspace", begin->workspace.name);
    record_id(&record, "workspace_id", begin->workspace.id);
    record_id(&record, "instance", call->instance);
    record_hex(&record, "input", begin->ask.input_digest, HASH_BYTES);
    record_int(&record, "input_size", (int64_t)(begin->ask.input_size & INT64_MAX));
    record_int(&record, "key", begin->has_slot);
    if (begin->wanted_by[0]) record_text(&record, "for", begin->wanted_by);
    if (begin->caller.kind == WHO_SYSTEM) record_text(&record, "push", push_sink(ledger));
    record_int(&record, "time_limit_ms", (int64_t)((call->deadline - call->started) / CLOCK_MS));
    struct journal_about about = {RECORD_INTENT, &call->ref, begin->workspace.id, &personal,
                                  begin->subjects ? &sealed : NULL, begin->caller.kind == WHO_SYSTEM};
    if (kept.used) about.payload = &payload;
    return journal_add(&ledger->journal, &about, &record, &call->intent, err);
}

static void fill_call(const struct ledger *ledger, const struct begin *begin, struct store_call *call)
{
    memset(call, 0, sizeof *call);
    call->ref.attempt = begin->attempt_again ? begin->earlier.attempt + 1 : 1;
    if (begin->attempt_again)
        memcpy(call->ref.id, begin->earlier.id, ID_BYTES);
    else
        id_new(call->ref.id);
    memcpy(call->workspace, begin->workspace.id, ID_BYTES);
    memcpy(call->instance, ledger->role->start.instance, ID_BYTES);
    memcpy(call->connector, begin->entry->name, NAME_BYTES);
    memcpy(call->action, begin->action->name, NAME_BYTES);
    memcpy(call->credential, begin->ask.credential, NAME_BYTES);
    call->credential_version = begin->credential.version;
    memcpy(call->entry_digest, begin->entry->digest, HASH_BYTES);
    memcpy(call->salt, begin->ask.salt, sizeof call->salt);
    call->has_slot = begin->has_slot;
    memcpy(call->slot, begin->slot, HASH_BYTES);
    call->begun = clock_wall();
    call->started = clock_now();
    call->deadline = begin->ask.deadline;
}

/* A key is remembered from its latest attempt on. An operator's word is good for one attempt. */
static bool put_slot(struct ledger *ledger, const struct begin *begin, const struct store_call *call, struct err *err)
{
    struct store_slot slot = {0};
    uint64_t expires = call->begun + ledger->limits.key_life;
    if (!begin->has_slot) return true;
    if (begin->attempt_again) return store_slot_again(ledger->store, begin->slot, expires, err);
    memcpy(slot.call, call->ref.id, ID_BYTES);
    memcpy(slot.fingerprint, begin->fingerprint, HASH_BYTES);
    return store_slot_put(ledger->store, begin->slot, &slot, expires, err);
}

/* All that can fail for want of room comes before the first write; later a failure is the whole transaction's. */
bool begin_take_in(struct ledger *ledger, struct begin *begin, struct err *err)
{
    struct store_call call;
    bool system = begin->caller.kind == WHO_SYSTEM, own = !begin->line; /* own: an exchange that this call waits for */
    if (system && !own && !push_claim(ledger, err)) return false;
    fill_call(ledger, begin, &call);
    begin->run = calls_add(&ledger->calls, &call);
    if (!begin->run) return err_set(err, ERR_BUSY, "there is no memory for this call");
    begin->run->entry = begin->entry->index;
    begin->run->fetches = begin->exchanges;
    begin->run->front = begin->line;
    begin->run->front_generation = begin->generation;
    begin->run->about = begin->subjects != NULL;
    begin->run->taker = own ? ROLE_NONE : (uint32_t)begin->line->peer;
    begin->run->push = system;
    begin->run->capture = begin_capture(begin);
    if (!add_intent(ledger, begin, &begin->run->call, err)) return false;
    if (store_call_add(ledger->store, &begin->run->call, err) && put_slot(ledger, begin, &call, err)) return true;
    err->kind = ERR_AUDIT;
    return false;
}

static void take_back(struct ledger *ledger, struct begin *begin)
{
    if (begin->run) calls_remove(&ledger->calls, begin->run);
    begin->run = NULL;
    begin->what = BEGIN_REFUSED;
}

/* Opening a kept answer is recorded before it happens. */
static bool record_opening(struct ledger *ledger, struct begin *begin, struct err *err)
{
    RECORD_AUTO record;
    RECORD_AUTO personal;
    uint64_t index;
    record_init(&record);
    add_personal(&personal, begin);
    record_id(&record, "call", begin->begun.call.id);
    record_int(&record, "attempt", begin->begun.call.attempt);
    struct journal_about about = {RECORD_OPENED, &begin->begun.call, begin->workspace.id, &personal, NULL, false};
    return journal_add(&ledger->journal, &about, &record, &index, err);
}

/* Nothing of it is kept: the front asks again, and in the meantime neither a line nor a place here is held. */
static bool fetch_token(struct ledger *ledger, struct begin *begin, struct err *err)
{
    if (!exchange_join(ledger, begin, &begin->err)) {
        begin->what = BEGIN_REFUSED;
        if (begin->err.kind == ERR_AUDIT) return *err = begin->err, false;
        return refuse(ledger, begin, err);
    }
    if (!begin->again) rate_give(&ledger->rates, begin->caller.name);
    begin->begun.fetching = 1;
    err_set(&begin->err, ERR_STALE, "the token of credential %s is being fetched", begin->credential.name);
    return true;
}

static bool decide(struct ledger *ledger, struct begin *begin, struct err *err)
{
    if (!in_time(begin, &begin->err) || !ledger_open_for_business(ledger, &begin->err)) return true;
    if (!admit(ledger, begin, err)) return false;
    if (begin->what == BEGIN_TOKENLESS) return fetch_token(ledger, begin, err);
    if (begin->what == BEGIN_ADMITTED && !begin_take_in(ledger, begin, &begin->err)) {
        take_back(ledger, begin);
        if (begin->err.kind == ERR_AUDIT) *err = begin->err;
        if (begin->err.kind == ERR_AUDIT) return false;
    }
    if (begin->what == BEGIN_KEYLESS) return true;
    if (begin->what == BEGIN_REPLAYED) return !begin->has_answer || record_opening(ledger, begin, err);
    return begin->what == BEGIN_ADMITTED || refuse(ledger, begin, err);
}

/* What goes wrong with one call is undone alone; what goes wrong with the disk is everybody's. */
static bool decide_alone(struct ledger *ledger, struct begin *begin, struct err *err)
{
    struct journal_mark mark;
    struct err why = {0};
    if (!journal_mark(&ledger->journal, &mark, err)) return false;
    if (decide(ledger, begin, &why)) return journal_keep(&ledger->journal, err);
    *err = why;
    if (!journal_back(&ledger->journal, &mark)) return false;
    log_failure("call-not-recorded", &why);
    take_back(ledger, begin);
    *err = (struct err){0};
    return !err_set(&begin->err, ERR_INTERNAL, "this call cannot be recorded: nothing was sent");
}

bool begins_record(struct ledger *ledger, struct err *err)
{
    for (unsigned i = 0; i < ledger->begin_count; i++)
        if (!decide_alone(ledger, ledger->begins[i], err)) return false;
    return true;
}

/* ── after the commit ──────────────────────────────────────────────────────────────────────────────── */

static void let_loose(struct ledger *ledger, struct begin *begin)
{
    struct running *run = begin->run;
    struct err err = {0};
    begin->begun.call = run->call.ref;
    if (run->push) push_begun(ledger, &run->call.ref);
    begin->begun.entry = run->entry;
    begin->begun.action = (uint32_t)(begin->action - begin->entry->actions);
    begin->begun.intent_index = run->call.intent;
    memcpy(begin->begun.workspace_key, begin->keys.answer_public, sizeof begin->begun.workspace_key);
    run_move(run, RUN_OPEN);
    if (!in_time(begin, &err)) {
        answer(ledger, begin, &err);
        end_without(ledger, run, CLASS_REFUSED, REASON_AUDIT);
        return;
    }
    ledger->counters.begun++;
    if (!orders_send(ledger, run, begin)) {
        err_set(&err, ERR_UNAVAILABLE, "a part of the daemon is restarting: nothing was sent, try again");
        answer(ledger, begin, &err);
        end_without(ledger, run, CLASS_REFUSED, REASON_NO_WORKER);
    } else if (begin->line->generation != begin->generation ||
               !role_send(ledger->role, begin->line, MSG_BEGUN, begin->seq, &begin->begun, sizeof begin->begun, NULL,
                          0)) {
        end_without(ledger, run, CLASS_LOST, REASON_RESTART);
    }
    role_wake_at(ledger->role, run->call.deadline + CLOCK_S);
}

static void finish(struct ledger *ledger, struct begin *begin)
{
    if (begin->what == BEGIN_ADMITTED)
        let_loose(ledger, begin);
    else if (begin->what == BEGIN_REFUSED || begin->what == BEGIN_TOKENLESS)
        answer(ledger, begin, &begin->err);
    else
        replay_answer(ledger, begin);
}

void begins_done(struct ledger *ledger, bool durable, const struct err *why)
{
    unsigned count = ledger->begin_count;
    ledger->begin_count = 0; /* one that waits for keys may come back at once */
    for (unsigned i = 0; i < count; i++) {
        struct begin *begin = ledger->begins[i];
        if (durable && begin->what == BEGIN_KEYLESS) {
            subjects_ask(ledger, begin);
            continue;
        }
        if (durable) {
            finish(ledger, begin);
        } else {
            if (begin->run) calls_remove(&ledger->calls, begin->run);
            memset(&begin->begun, 0, sizeof begin->begun);
            answer(ledger, begin, why);
        }
        begin_free(begin);
    }
    exchanges_done(ledger, durable);
}
