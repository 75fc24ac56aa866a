/* SPDX-License-Identifier: Apache-2.0 */
/* Webhooks and witnesses are reached as everything outside is: by a connector behind its walls, through the broker, in
 * a call that is recorded. The desk makes it; what it may call is decided here, and compared byte by byte. */
#include <sodium.h>
#include <string.h>

#include "base/auto_json.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "push.h"

enum { CALL_S = 30, GRACE_S = 20, DESK_S = 20, ASKS = 2 };

/* ── what is called ────────────────────────────────────────────────────────────────────────────────── */

static bool webhook_input(struct ledger *ledger, const struct sink *sink, uint64_t size, const tree_hash root,
                          const struct buf *note, struct buf *input, struct err *err)
{
    char text[sodium_base64_ENCODED_LEN(HASH_BYTES, sodium_base64_VARIANT_ORIGINAL)];
    sodium_bin2base64(text, sizeof text, root, HASH_BYTES, sodium_base64_VARIANT_ORIGINAL);
    JSON_AUTO *data = json_pack("{s:s, s:I, s:s, s:s}", "origin", ledger->origin, "size", (json_int_t)size, "root",
                                text, "checkpoint", note->bytes);
    JSON_AUTO *object = json_pack("{s:s, s:O}", "url", sink->url, "data", data);
    return (object && json_compact(object, input)) || err_set(err, ERR_BUSY, "there is no memory for a push");
}

static bool make_input(struct ledger *ledger, struct push_call *call, struct err *err)
{
    BUF_AUTO note = {.max = PUSH_NOTE};
    tree_hash root;
    if (!store_checkpoint_last(ledger->store, &call->size, root, &note, err)) return false;
    call->input.max = PUSH_INPUT;
    call->input.used = 0;
    if (call->sink->kind == SINK_WITNESS) return push_show(ledger, call, &note, &call->input, err);
    return webhook_input(ledger, call->sink, call->size, root, &note, &call->input, err);
}

static bool send_call(struct ledger *ledger, const struct push_call *call, struct err *err)
{
    struct push *push = &ledger->push;
    const struct sink *sink = call->sink;
    struct msg_push_call body = {
        .number = call->number, .timeout_ms = CALL_S * 1000, .input_length = (uint32_t)call->input.used};
    memcpy(body.workspace, sink->workspace, NAME_BYTES);
    memcpy(body.connector, sink->connector, NAME_BYTES);
    memcpy(body.action, sink->action, NAME_BYTES);
    memcpy(body.credential, sink->credential, NAME_BYTES);
    struct role_line *line = push->desk.line;
    push->desk.line = NULL;
    return (line->generation == push->desk.generation &&
            role_send_tail(ledger->role, line, MSG_PUSH_CALL, push->desk.seq, &body, sizeof body, call->input.bytes,
                           call->input.used)) ||
           err_set(err, ERR_UNAVAILABLE, "the desk is restarting");
}

static void start_call(struct ledger *ledger, struct sink *sink)
{
    struct push_call *call = &ledger->push.call;
    struct err err = {0};
    struct buf input = call->input; /* its room is used again */
    *call = (struct push_call){.sink = sink, .old = sink->asks ? sink->old : sink->row.size, .input = input};
    call->number = ++ledger->push.numbers ? ledger->push.numbers : ++ledger->push.numbers;
    call->until = clock_now() + (CALL_S + GRACE_S) * CLOCK_S;
    if (make_input(ledger, call, &err) && send_call(ledger, call, &err)) return;
    call->number = 0;
    push_failed(ledger, sink, call->size, &err);
}

/* ── and when ──────────────────────────────────────────────────────────────────────────────────────── */

static struct sink *next_sink(struct ledger *ledger)
{
    for (unsigned i = 0; i < ledger->push.count; i++) {
        struct sink *sink = &ledger->push.sinks[i];
        if (sink->asked && (sink->kind == SINK_WEBHOOK || sink->kind == SINK_WITNESS)) return sink;
    }
    return NULL;
}

static void give_up(struct ledger *ledger, struct sink *sink, uint64_t size, const char *text)
{
    struct err err = {0};
    err_set(&err, ERR_UNAVAILABLE, "%s", text);
    push_failed(ledger, sink, size, &err);
}

uint64_t push_calls(struct ledger *ledger)
{
    struct push *push = &ledger->push;
    uint64_t now = clock_now();
    if (push->call.number && now < push->call.until) return push->call.until;
    if (push->call.number) {
        push->call.number = 0;
        give_up(ledger, push->call.sink, push->call.size, "the desk did not say what became of the call");
    }
    struct sink *sink = next_sink(ledger);
    if (!sink || ledger->role->frozen || ledger->held) return 0; /* they wait with all other calls */
    if (!push->desk.line && now < push->round_until) return push->round_until;
    if (!push->desk.line) {
        give_up(ledger, sink, ledger->sign.signed_size, "the desk does not ask for calls: it is restarting");
        return now + CLOCK_MS;
    }
    start_call(ledger, sink);
    return push->call.number ? push->call.until : now + CLOCK_MS;
}

static void abandoned(struct ledger *ledger)
{
    if (!ledger->push.call.number) return;
    ledger->push.call.number = 0;
    if (!ledger->push.call.claimed && clock_now() < ledger->push.round_until) return; /* never begun: given out anew */
    give_up(ledger, ledger->push.call.sink, ledger->push.call.size, "the desk was restarted during the call");
}

void push_desk_gone(struct ledger *ledger, const struct role_line *line)
{
    if (ledger->push.desk.line && ledger->push.desk.generation != ledger->push.desk.line->generation)
        ledger->push.desk.line = NULL;
    if (line->index == 0) abandoned(ledger);
}

void on_push_wait(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct ledger *ledger = ledger_of(role);
    if (!ledger->opened) return;
    abandoned(ledger); /* whoever waits makes none */
    ledger->push.desk.line = line;
    ledger->push.desk.generation = message->head.generation;
    ledger->push.desk.seq = message->head.seq;
    role_wake_at(role, clock_now());
}

/* ── its BEGIN ─────────────────────────────────────────────────────────────────────────────────────── */

bool push_expects(const struct ledger *ledger, uint32_t number)
{
    return number && ledger->push.call.number == number;
}

static bool same_name(const char *ours, const char theirs[NAME_BYTES])
{
    return strncmp(ours, theirs, NAME_BYTES) == 0;
}

static bool same_input(const struct buf *input, const struct msg_begin *ask)
{
    static const char tag[] = FRAME_INPUT_TAG;
    tree_hash salted, plain;
    sha256_three(tag, sizeof tag - 1, ask->salt, sizeof ask->salt, input->bytes, input->used, salted);
    sha256(input->bytes, input->used, plain);
    return ask->input_size == input->used && memcmp(salted, ask->input_digest, sizeof salted) == 0 &&
           memcmp(plain, ask->input_hash, sizeof plain) == 0;
}

bool push_covers(const struct ledger *ledger, const struct msg_begin *ask, struct err *err)
{
    const struct push_call *call = &ledger->push.call;
    const struct sink *sink = call->sink;
    bool same = push_expects(ledger, ask->who.principal) && same_name(sink->workspace, ask->workspace) &&
                same_name(sink->connector, ask->connector) && same_name(sink->action, ask->action) &&
                same_name(sink->credential, ask->credential) && !ask->key[0] && !ask->traceparent[0] &&
                !ask->subjects_length && same_input(&call->input, ask);
    return same || err_set(err, ERR_DENIED, "this is not the call that pushes a checkpoint");
}

bool push_claim(struct ledger *ledger, struct err *err)
{
    struct push_call *call = &ledger->push.call;
    if (!call->number || call->claimed) return err_set(err, ERR_DENIED, "this checkpoint is being pushed already");
    return call->claimed = true;
}

void push_begun(struct ledger *ledger, const struct call_ref *ref)
{
    ledger->push.call.begun = true;
    ledger->push.call.call = *ref;
}

void push_ended(struct ledger *ledger, const struct running *run)
{
    struct push_call *call = &ledger->push.call;
    if (!call->begun || memcmp(&call->call, &run->call.ref, sizeof call->call) != 0) return;
    call->committed = run->has_gate && run->gate.known && run->gate.committed;
}

const char *push_sink(const struct ledger *ledger)
{
    return ledger->push.call.number ? ledger->push.call.sink->row.name : "";
}

/* ── its end ───────────────────────────────────────────────────────────────────────────────────────── */

/* The record says whether anything went out, not the desk. Bytes alone may be a handshake: a webhook's connector must
 * have come to its request as well. What the receiver made of that only the desk says; a witness signs it. */
static bool went_out(struct ledger *ledger, const struct push_call *call, const struct msg_push_done *done,
                     struct err *err)
{
    struct store_call found;
    struct err ignored = {0};
    bool there = false;
    if (!call->begun) {
        if (status_check(&done->status, &ignored)) return err_set(err, ERR_UNAVAILABLE, "the call was not made");
        return err_set(err, ERR_UNAVAILABLE, "the call was refused: %.180s", ignored.text);
    }
    if (!store_call_get(ledger->store, call->call.id, call->call.attempt, &found, &there, err)) return false;
    if (!there || !found.ended) return err_set(err, ERR_UNAVAILABLE, "the call has no outcome yet");
    if (found.class != CLASS_OK || found.sent != SENT_YES)
        return err_set(err, ERR_UNAVAILABLE, "the call ended as %s, sent: %s (%s)", class_name(found.class),
                       sent_name(found.sent), reason_name(found.reason));
    return call->committed || call->sink->kind == SINK_WITNESS ||
           err_set(err, ERR_UNAVAILABLE, "the call ended before its connector had begun with the request");
}

void on_push_done(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct ledger *ledger = ledger_of(role);
    struct push_call *call = &ledger->push.call;
    const struct msg_push_done *done = message->body;
    struct err err = {0};
    if (!push_expects(ledger, done->number) || done->answer_length != message->length - sizeof *done) {
        ledger->counters.bad++;
        return;
    }
    call->number = 0;
    ledger->push.round_until = clock_now() + DESK_S * CLOCK_S; /* the desk is there: what waits has its own time */
    if (ledger->sealed || !ledger->store) {
        call->sink->asked = false;
    } else if (!went_out(ledger, call, done, &err)) {
        push_failed(ledger, call->sink, call->size, &err);
    } else if (call->sink->kind != SINK_WITNESS) {
        push_taken(ledger, call->sink, call->size);
    } else if (!push_heard(ledger, call, (const char *)(done + 1), done->answer_length)) {
        call->sink->old = call->old;
        if (++call->sink->asks >= ASKS)
            give_up(ledger, call->sink, call->size, "the witness keeps saying that it saw another size");
    }
    role_wake_at(role, clock_now());
}
