/* SPDX-License-Identifier: Apache-2.0 */
/* An outcome is class × sent: how three witnesses' words become one record. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "ledger.h"
#include "outcome.h"
#include "payload.h"
#include "push.h"
#include "subject.h"

/* ── joining ───────────────────────────────────────────────────────────────────────────────────────── */

/* Did the worker give a whole, well-formed reply, as far as the front can tell? */
static bool honest(enum call_class class)
{
    return class == CLASS_OK || class == CLASS_REJECTED || class == CLASS_RETRYABLE || class == CLASS_BAD_INPUT;
}

enum call_sent outcome_sent(const struct sent_facts *facts)
{
    if (!facts->gated) return SENT_NO;
    if (!facts->broker_knows) return SENT_MAYBE;
    if (facts->bytes_up == 0) return SENT_NO; /* no dial of its own proves nothing: a lease keeps connections */
    if (facts->class == CLASS_OK) return SENT_YES;
    if (honest(facts->class) && facts->clean && !facts->committed) return SENT_NO;
    return facts->class == CLASS_REJECTED && facts->committed ? SENT_YES : SENT_MAYBE;
}

/* For an abnormal end the runner's word counts: it saw the process end. Our own kill (timeout, cancel) shows there
 * as a signal, which is no news. */
static bool worker_decides(const struct running *run)
{
    if (!run->has_worker || run->worker.class == CLASS_OK || honest((enum call_class)run->end.class)) return false;
    if (run->worker.class == CLASS_VIOLATION || run->worker.class == CLASS_REFUSED) return true;
    if (run->end.class == CLASS_TIMEOUT && run->worker_late) return false; /* its channels had just been closed */
    if (run->end.class == CLASS_LOST && run->end.reason == REASON_REMOTE) return false;
    bool killed = run->worker.signal == 9 && run->worker.class == CLASS_CRASHED;
    return !(killed && run->end.reason != REASON_NONE);
}

/* Exit codes that mean "nothing ran" are the worker's own word, and a loaded plugin can borrow them. What broker and
 * front have seen of its action says otherwise. */
static bool ran_all_the_same(const struct running *run)
{
    const struct msg_gate_closed *gate = &run->gate;
    if (run->worker.class != CLASS_REFUSED || run->worker.phase != PHASE_CALL) return false;
    bool asked = gate->dials || gate->denied || gate->lookups || gate->bytes_up || gate->committed || gate->limit_hit;
    return run->end.log_lines || (run->has_gate && gate->known && asked);
}

/* The connector says "remote" for all that it could not do; of limits, and when no byte went out, the broker knows
 * better. */
static void join_reason(struct running *run)
{
    struct store_call *call = &run->call;
    if (call->class == CLASS_OK || !run->has_gate || !run->gate.known) return;
    if (call->reason != REASON_NONE && call->reason != REASON_REMOTE) return;
    if (run->gate.limit_hit)
        call->reason = REASON_RESOURCE_LIMIT;
    else if (run->gate.denied && (call->reason == REASON_NONE || !run->gate.bytes_up))
        call->reason = REASON_EGRESS_DENIED;
}

void outcome_join(struct running *run)
{
    struct store_call *call = &run->call;
    call->class = run->end.class;
    call->reason = run->end.reason;
    call->retry_after = run->end.retry_after;
    if (ran_all_the_same(run)) run->worker.class = CLASS_CRASHED, run->worker.reason = REASON_EXIT;
    if (worker_decides(run)) {
        if (run->has_end && run->end.class != run->worker.class) run->front_class = (enum call_class)run->end.class;
        call->class = run->worker.class;
        /* An exit says less than the half frame that it left behind. */
        bool half = run->worker.reason == REASON_EXIT && run->end.reason == REASON_PROTOCOL_ERROR;
        if (run->worker.reason != REASON_NONE && !half) call->reason = run->worker.reason;
    }
    join_reason(run);
    call->sent = outcome_sent(&(struct sent_facts){.class = (enum call_class)call->class,
                                                   .gated = run->gated,
                                                   .broker_knows = run->has_gate && run->gate.known && !run->gate_lost,
                                                   .committed = run->gate.committed != 0,
                                                   .clean = run->gate.clean != 0,
                                                   .bytes_up = run->gate.bytes_up});
}

/* ── writing ───────────────────────────────────────────────────────────────────────────────────────── */

static int64_t bounded(uint64_t value)
{
    return value > INT64_MAX ? INT64_MAX : (int64_t)value;
}

uint64_t outcome_duration(const struct running *run)
{
    uint64_t now = clock_now();
    if (run->duration_us) return run->duration_us;
    return now > run->call.started ? (now - run->call.started) / 1000 : 0;
}

static void add_worker(struct record *record, const struct msg_worker_ended *worker)
{
    record_int(record, "exit", worker->exit_code);
    record_int(record, "signal", worker->signal);
    record_int(record, "cpu_us", bounded(worker->cpu_us));
    record_int(record, "peak_kb", bounded(worker->peak_kb));
}

static void add_gate(struct record *record, const struct running *run)
{
    bool known = run->has_gate && run->gate.known;
    record_text(record, "broker", known ? "answered" : "unknown");
    record_int(record, "bytes_up", known ? bounded(run->gate.bytes_up) : 0);
    record_int(record, "bytes_down", known ? bounded(run->gate.bytes_down) : 0);
    record_int(record, "dials", known ? run->gate.dials : 0);
    record_int(record, "denied", known ? run->gate.denied : 0);
    record_int(record, "lookups", known ? run->gate.lookups : 0);
    record_int(record, "limited", known && run->gate.limit_hit);
    record_int(record, "committed", known && run->gate.committed);
}

/* The reply's commitment uses the input's salt: who may know the one may know the other. */
static void add_reply(struct record *record, const struct running *run)
{
    static const char tag[] = "caisson reply v1\n";
    static const uint8_t none[HASH_BYTES];
    tree_hash commitment;
    record_int(record, "reply_size", bounded(run->end.reply_size));
    record_int(record, "log_lines", run->end.log_lines);
    if (memcmp(run->end.reply_digest, none, HASH_BYTES) == 0) return;
    sha256_three(tag, sizeof tag - 1, run->call.salt, sizeof run->call.salt, run->end.reply_digest, HASH_BYTES,
                 commitment);
    record_hex(record, "reply", commitment, HASH_BYTES);
}

static void describe(struct record *record, const struct running *run, bool kept, bool spilled)
{
    const struct store_call *call = &run->call;
    record_id(record, "call", call->ref.id);
    record_int(record, "attempt", call->ref.attempt);
    record_int(record, "intent", (int64_t)call->intent);
    record_text(record, "class", class_name(call->class));
    record_text(record, "sent", sent_name(call->sent));
    record_text(record, "reason", reason_name(call->reason));
    record_int(record, "answer", kept);
    if (call->retry_after) record_int(record, "retry_after", call->retry_after);
    if (run->front_class) record_text(record, "front_class", class_name(run->front_class));
    if (spilled) record_int(record, "spilled", 1);
    record_int(record, "duration_us", bounded(outcome_duration(run)));
    add_gate(record, run);
    add_reply(record, run);
    if (run->has_worker) add_worker(record, &run->worker);
    reports_record(record, run);
}

/* Only what may be replayed is kept: an answer of a call that may run again would never be read. */
static bool keeps_answer(const struct running *run)
{
    bool again = run->call.sent == SENT_NO && run->call.class != CLASS_OK;
    return run->call.has_slot && run->answer && run->end.answer_length && !again;
}

bool intent_has_people(const struct store_entry *intent)
{
    static const char start[] = "{\"about\":"; /* keys are sorted, and none comes before this one */
    return intent->body && intent->length > sizeof start && memcmp(intent->body, start, sizeof start - 1) == 0;
}

static bool speaks(void *context, const struct store_entry *entry)
{
    *(bool *)context = intent_has_people(entry);
    return false;
}

bool outcome_people(struct ledger *ledger, const struct running *run, struct journal_sealed *sealed,
                    uint8_t (*publics)[32], bool *people, struct err *err)
{
    if (!store_entries(ledger->store, run->call.intent, 1, speaks, people, err) ||
        !store_detail_sealed(ledger->store, run->call.intent, sealed->subjects, &sealed->count, NULL, err))
        return false;
    for (unsigned i = 0; i < sealed->count; i++) {
        struct store_subject one;
        bool found;
        if (!store_subject_get(ledger->store, sealed->subjects[i], &one, &found, err)) return false;
        if (!found || one.destroyed) sealed->count = 0;
        if (sealed->count) memcpy(publics[i], one.public, sizeof publics[i]);
    }
    return true;
}

/* A host's name may be a letter to somebody: of a call about people it is sealed to them, or else not written down. */
static bool add_denied(struct ledger *ledger, const struct running *run, struct record *personal,
                       struct journal_sealed *sealed, struct buf *value, struct journal_about *about, struct err *err)
{
    BUF_AUTO text = {.max = RECORD_MAX};
    uint8_t publics[SUBJECTS_MAX][32];
    bool people = false;
    record_text(personal, "denied_host", run->gate.last_denied);
    if (!outcome_people(ledger, run, sealed, publics, &people, err)) return err->kind != ERR_AUDIT;
    if (!people) about->personal = personal;
    if (!people || !sealed->count || !record_bytes(personal, &text)) return true;
    sealed->value = value;
    if (subjects_seal((const uint8_t(*)[32])publics, sealed->count, &text, value, err)) about->sealed = sealed;
    return true;
}

/* Somebody it was about was erased while it ran: an answer that came after that would stay. */
static bool may_keep(struct ledger *ledger, const struct running *run, bool *kept, struct err *err)
{
    uint8_t publics[SUBJECTS_MAX][32];
    struct journal_sealed sealed;
    bool people;
    *kept = keeps_answer(run);
    if (!*kept || !run->about) return true;
    bool known = outcome_people(ledger, run, &sealed, publics, &people, err);
    *kept = known && sealed.count > 0;
    return known || err->kind != ERR_AUDIT;
}

static bool write_parts(struct ledger *ledger, struct running *run, bool spilled, struct err *err)
{
    RECORD_AUTO record;
    RECORD_AUTO personal;
    BUF_AUTO value = {.max = RECORD_MAX};
    BUF_AUTO reply = {.max = PAYLOAD_SEALED};
    struct journal_sealed sealed;
    struct journal_payload payload = {.value = &reply};
    bool kept;
    record_init(&record);
    record_init(&personal);
    if (!may_keep(ledger, run, &kept, err) || !payload_reply(ledger, run, &record, &payload, &reply, err)) return false;
    describe(&record, run, kept, spilled);
    struct journal_about about = {RECORD_OUTCOME, &run->call.ref, run->call.workspace, NULL, NULL, run->push};
    if (reply.used) about.payload = &payload;
    if (run->gate.last_denied[0] && !add_denied(ledger, run, &personal, &sealed, &value, &about, err)) return false;
    return journal_add(&ledger->journal, &about, &record, &run->call.outcome, err) &&
           (!kept || store_answer_add(ledger->store, &run->call.ref, run->end.sealed_key, run->answer,
                                      run->end.answer_length, run->call.ended_at + ledger->limits.answer_life, err));
}

/* Writing an outcome twice does nothing: the first stands, and its words are the call's. */
bool outcome_write(struct ledger *ledger, struct running *run, bool spilled, struct err *err)
{
    bool open = false, found = false;
    run->call.outcome = journal_size(&ledger->journal);
    run->call.ended_at = clock_wall();
    if (!store_call_end(ledger->store, &run->call, &open, err)) return false;
    if (run->push) push_ended(ledger, run);
    if (open) return write_parts(ledger, run, spilled, err);
    struct store_call call;
    if (!store_call_get(ledger->store, run->call.ref.id, run->call.ref.attempt, &call, &found, err)) return false;
    if (found) run->call = call;
    return true;
}
