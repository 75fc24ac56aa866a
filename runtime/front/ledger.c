/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's client: begin and end of a call, and queries. */
#include "ledger.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "call.h"
#include "conns.h"
#include "front.h"
#include "seal.h"

enum {
    BEGIN_PATIENCE_MS = 2000, /* the ledger itself refuses within a second when it cannot write */
    SLOW_PATIENCE_MS = 500,   /* when the last question had no answer in time */
    GRACE_MS = 250,           /* for the ledger's own word that it was too late */
    END_PATIENCE_MS = 15000,  /* altogether, over restarts of the ledger */
    END_ASK_MS = 4000,        /* one try */
    END_PAUSE_MS = 50,
    QUERY_PATIENCE_MS = 10000,
    HEALTH_PATIENCE_MS = 2000,
    FETCH_PAUSE_MS = 20, /* while a token is fetched; longer each time */
    FETCH_PAUSE_MOST_MS = 100,
    REGISTRY_PATIENCE_MS = 2000
};

static uint64_t in_ms(unsigned ms)
{
    return clock_now() + ms * CLOCK_MS;
}

/* A disk that stalls is met here first: the ledger is still waiting for it. */
static unsigned patience(const struct front *front, unsigned usual_ms)
{
    return front->slow && usual_ms > SLOW_PATIENCE_MS ? SLOW_PATIENCE_MS : usual_ms;
}

/* Keeps in mind whether it answers; what it did not say until the deadline is said for it. */
static bool heard(struct front *front, bool answered, uint64_t deadline, struct err *err)
{
    bool late = !answered && clock_now() >= deadline;
    if (late && !front->slow) log_event(LOG_LEVEL_WARNING, "ledger-slow");
    front->slow = late;
    if (late) err_set(err, ERR_AUDIT, "the log does not answer: its disk may be stuck. Try again later");
    return answered;
}

/* ── who is calling ────────────────────────────────────────────────────────────────────────────────── */

/* Shows the ledger the connection itself: it asks the kernel who is at the other end. The number it gives back is good
 * for this ledger process only; lines->epoch changes whenever a line was replaced. */
static bool hello(struct line *line, struct conn *conn, uint64_t deadline, struct err *err)
{
    struct reply_frame reply;
    struct msg_hello_answer answer;
    uint32_t epoch = line->epoch;
    struct question question = {.type = MSG_HELLO, .answer = MSG_HELLO_ANSWER, .fd = conn->fd, .deadline = deadline};
    if (!line_ask(line, &question, &reply, err)) return false;
    memcpy(&answer, reply.body, sizeof answer);
    if (!status_check(&answer.status, err)) return false;
    conn->principal = answer.principal;
    conn->epoch = epoch;
    return true;
}

static bool introduce(struct line *line, struct who *who, struct conn *conn, uint64_t deadline, struct err *err)
{
    if (who->kind != WHO_PEER) return true;
    if (conn->epoch != line->epoch && !hello(line, conn, deadline, err)) return false;
    who->principal = conn->principal;
    return true;
}

/* ── begin ─────────────────────────────────────────────────────────────────────────────────────────── */

/* As struct msg_begin has it: 0 says nothing. */
static uint32_t low_ms(uint64_t when)
{
    uint32_t ms = (uint32_t)(when / CLOCK_MS);
    return ms ? ms : 1;
}

/* How much of the input the ledger is to keep: all of it, where the administrator had it captured. */
static uint32_t kept_input(const struct call *call)
{
    size_t length = call->request.input.used;
    bool captured = call->action && (call->entry->capture & CAPTURE_INPUT);
    return captured && length <= CAPTURE_MAX ? (uint32_t)length : 0;
}

static void fill_begin(const struct call *call, struct msg_begin *begin)
{
    const struct call_request *request = &call->request;
    memset(begin, 0, sizeof *begin);
    begin->who = call->who;
    TEXT_COPY(begin->workspace, request->workspace);
    TEXT_COPY(begin->connector, request->connector);
    TEXT_COPY(begin->action, request->action);
    TEXT_COPY(begin->credential, request->credential);
    TEXT_COPY(begin->key, request->key);
    TEXT_COPY(begin->traceparent, request->traceparent);
    memcpy(begin->salt, call->salt, sizeof begin->salt);
    input_digest(call->salt, request->input.bytes, request->input.used, begin->input_digest);
    sha256(request->input.bytes, request->input.used, begin->input_hash);
    begin->input_size = request->input.used;
    begin->deadline = call->deadline;
    begin->refusal = call->refusal.kind;
    begin->subjects_length = (uint32_t)request->subjects_length;
    begin->input_length = kept_input(call);
}

/* Looks the connector up, and the input over, in the front's own copy of the registry. */
static void look_up(struct front *front, struct call *call)
{
    struct call_request *request = &call->request;
    snapshot_drop(call->registry);
    call->registry = snapshot_hold(&front->registry);
    call->entry = registry_find(&call->registry->registry, request->connector);
    call->action = call->entry && call->entry->state == ENTRY_ENABLED ? entry_action(call->entry, request->action)
                                                                      : NULL;
    memset(&call->refusal, 0, sizeof call->refusal);
    request->pointer[0] = '\0';
    uint32_t ms = request->timeout_ms ? request->timeout_ms : front->config.timeout_ms;
    if (ms > front->config.timeout_max_ms) ms = front->config.timeout_max_ms;
    if (call->action && call->entry->limits.wall_s && ms > call->entry->limits.wall_s * 1000)
        ms = call->entry->limits.wall_s * 1000;
    call->deadline = call->began + ms * CLOCK_MS;
    char pointer[SCHEMA_POINTER];
    if (call->action && !schema_validate(call->action->input, request->value, pointer, &call->refusal))
        snprintf(request->pointer, sizeof request->pointer, "/input%s", pointer);
}

static bool ask_begin(struct front *front, struct call *call, struct msg_begun *begun, struct buf *sealed,
                      struct err *err)
{
    struct reply_frame reply;
    struct msg_begin begin;
    uint64_t answer_by = in_ms(patience(front, BEGIN_PATIENCE_MS)), deadline = answer_by + GRACE_MS * CLOCK_MS;
    LINE_AUTO *line = line_borrow(&front->ledger, deadline, err);
    if (!line || !introduce(line, &call->who, call->conn, deadline, err)) return heard(front, false, deadline, err);
    fill_begin(call, &begin);
    begin.answer_by = low_ms(answer_by);
    struct question question = {.type = MSG_BEGIN,
                                .answer = MSG_BEGUN,
                                .body = &begin,
                                .length = sizeof begin,
                                .tail = call->request.subjects,
                                .tail_length = call->request.subjects_length,
                                .more = call->request.input.bytes,
                                .more_length = begin.input_length,
                                .registry = call->registry->registry.number,
                                .deadline = deadline};
    if (!heard(front, line_ask(line, &question, &reply, err), deadline, err)) return false;
    memcpy(begun, reply.body, sizeof *begun);
    size_t tail = reply.length - sizeof *begun;
    if (begun->answer_length > tail || !buf_add(sealed, (const char *)reply.body + sizeof *begun, begun->answer_length))
        return err_set(err, ERR_INTERNAL, "the ledger's answer is not whole");
    return true;
}

/* The stored answer of an earlier call under the same key. One that cannot be opened is left out: the outcome itself
 * is known. */
static void open_stored(const struct msg_begun *begun, const struct buf *sealed, struct call *call)
{
    BUF_AUTO plain;
    JSON_AUTO *stored = NULL;
    struct err ignored = {0};
    buf_init(&plain, ANSWER_MAX);
    if (!sealed->used || !answer_open(sealed->bytes, sealed->used, begun->key, &plain, &ignored) ||
        !json_read(plain.bytes, plain.used, ANSWER_MAX, &stored, &ignored))
        return;
    const char *text = json_string_value(json_object_get(stored, "text"));
    if (text) text_tame(text, strlen(text), call->text, sizeof call->text);
    call->answer = json_incref(json_object_get(stored, "answer"));
}

static void take_replay(const struct msg_begun *begun, const struct buf *sealed, struct call *call)
{
    call->replay = true;
    call->class = begun->class < CLASS_COUNT ? (enum call_class)begun->class : CLASS_LOST;
    call->sent = begun->sent < SENT_COUNT ? (enum call_sent)begun->sent : SENT_MAYBE;
    call->reason = begun->reason < REASON_COUNT ? (enum call_reason)begun->reason : REASON_NONE;
    call->retry_after = begun->retry_after;
    open_stored(begun, sealed, call);
}

static bool take_begun(struct msg_begun *begun, const struct buf *sealed, struct call *call, struct err *err)
{
    call->ref = begun->call;
    call->intent_index = begun->intent_index;
    call->outcome_index = begun->outcome_index;
    call->action_index = begun->action;
    memcpy(call->workspace_key, begun->workspace_key, sizeof call->workspace_key);
    if (begun->replay) take_replay(begun, sealed, call);
    explicit_bzero(begun->key, sizeof begun->key);
    if (begun->replay && (begun->status.kind == ERR_NONE || begun->status.kind == ERR_UNCERTAIN)) return true;
    if (begun->status.kind != ERR_NONE) {
        status_check(&begun->status, err);
        if (err->kind == call->refusal.kind) *err = call->refusal; /* the caller may know: it is authorised */
        return false;
    }
    /* Let loose although the front would refuse it, or on another registry: no worker is given its input. */
    if (call->refusal.kind || !call->action) call_ended(call, CLASS_REFUSED, REASON_POLICY, "");
    return true;
}

/* Its credential's token is being fetched, for all that want it: neither a line nor a place in the ledger is held
 * meanwhile. The ledger says when it is in vain; the deadline is the call's own. */
static void await_token(unsigned *pause_ms)
{
    poll(NULL, 0, (int)*pause_ms);
    *pause_ms = *pause_ms * 2 < FETCH_PAUSE_MOST_MS ? *pause_ms * 2 : FETCH_PAUSE_MOST_MS;
}

bool ledger_begin(struct front *front, struct call *call, struct err *err)
{
    BUF_AUTO sealed;
    struct msg_begun begun;
    unsigned pause_ms = FETCH_PAUSE_MS;
    buf_init(&sealed, WIRE_MAX);
    random_bytes(call->salt, sizeof call->salt);
    for (int tries = 0;;) {
        look_up(front, call);
        sealed.used = 0;
        if (!ask_begin(front, call, &begun, &sealed, err)) return false;
        if (begun.fetching && clock_now() < call->deadline)
            await_token(&pause_ms);
        else if (begun.status.kind != ERR_STALE || tries++ > 0)
            break;
        else
            snapshots_await(&front->registry, call->registry->registry.number, in_ms(REGISTRY_PATIENCE_MS));
    }
    bool begun_well = take_begun(&begun, &sealed, call, err);
    json_decref(call->request.value); /* checked; the worker gets the bytes */
    call->request.value = NULL;
    return begun_well;
}

/* ── end ───────────────────────────────────────────────────────────────────────────────────────────── */

/* What a replay will show: the connector's text and answer, sealed to the workspace. */
static void seal_stored(const struct call *call, struct msg_end *end, struct buf *sealed)
{
    BUF_AUTO plain;
    JSON_AUTO *stored = json_object();
    struct err ignored = {0};
    buf_init(&plain, ANSWER_MAX - 64);
    if (!call->answer && !call->text[0]) return;
    if (call->answer) json_object_set(stored, "answer", call->answer);
    if (call->text[0]) json_object_set_new(stored, "text", json_string(call->text));
    end->answer_omitted = !json_compact(stored, &plain) ||
                          !answer_seal(plain.bytes, plain.used, call->workspace_key, end->sealed_key, sealed, &ignored);
    end->answer_length = end->answer_omitted ? 0 : (uint32_t)sealed->used;
}

static void fill_end(const struct call *call, struct msg_end *end, struct buf *sealed)
{
    memset(end, 0, sizeof *end);
    end->call = call->ref;
    end->class = call->class;
    end->reason = call->reason;
    end->retry_after = call->retry_after;
    end->log_lines = call->log_lines;
    memcpy(end->reply_digest, call->reply_digest, sizeof end->reply_digest);
    end->reply_size = call->reply_size;
    seal_stored(call, end, sealed);
}

static bool same_call(const struct call_ref *a, const struct call_ref *b)
{
    return a->attempt == b->attempt && memcmp(a->id, b->id, ID_BYTES) == 0;
}

/* Right before the END that names its digest, each time anew: the ledger may be another by then. */
static bool hand_over(struct line *line, const struct call *call, uint64_t deadline, struct err *err)
{
    struct msg_reply head = {.call = call->ref, .length = (uint32_t)call->reply.used};
    struct question question = {.type = MSG_REPLY,
                                .answer = MSG_NONE,
                                .body = &head,
                                .length = sizeof head,
                                .tail = call->reply.bytes,
                                .tail_length = call->reply.used,
                                .deadline = deadline};
    return !call->reply.used || line_ask(line, &question, NULL, err);
}

static bool ask_end(struct front *front, const struct call *call, const struct msg_end *end, const struct buf *sealed,
                    struct msg_ended *ended, struct err *err)
{
    struct reply_frame reply;
    struct question question = {.type = MSG_END,
                                .answer = MSG_ENDED,
                                .body = end,
                                .length = sizeof *end,
                                .tail = sealed->bytes,
                                .tail_length = end->answer_length,
                                .deadline = in_ms(END_ASK_MS)};
    LINE_AUTO *line = line_borrow(&front->ledger, question.deadline, err);
    if (!line || !hand_over(line, call, question.deadline, err) || !line_ask(line, &question, &reply, err))
        return false;
    memcpy(ended, reply.body, sizeof *ended);
    if (!same_call(&ended->call, &end->call)) return err_set(err, ERR_INTERNAL, "the ledger answered for another call");
    return status_check(&ended->status, err);
}

/* Errors after which the same END may still be taken. */
static bool worth_again(enum err_kind kind)
{
    return kind == ERR_UNAVAILABLE || kind == ERR_BUSY || kind == ERR_STALE || kind == ERR_AUDIT || kind == ERR_IO;
}

static void take_ended(const struct msg_ended *ended, struct call *call)
{
    bool agreed = ended->class == (uint32_t)call->class;
    call->class = ended->class < CLASS_COUNT ? (enum call_class)ended->class : CLASS_LOST;
    call->sent = ended->sent < SENT_COUNT ? (enum call_sent)ended->sent : SENT_MAYBE;
    call->reason = ended->reason < REASON_COUNT ? (enum call_reason)ended->reason : REASON_NONE;
    call->outcome_index = ended->outcome_index;
    if (agreed) return;
    json_decref(call->answer); /* it belongs to an outcome that the record does not have */
    call->answer = NULL;
    call->text[0] = '\0';
}

void ledger_end(struct front *front, struct call *call)
{
    BUF_AUTO sealed;
    struct msg_end end;
    struct msg_ended ended;
    struct err err = {0};
    char id[ID_TEXT];
    uint64_t until = in_ms(END_PATIENCE_MS);
    buf_init(&sealed, ANSWER_MAX);
    fill_end(call, &end, &sealed);
    for (;;) {
        if (ask_end(front, call, &end, &sealed, &ended, &err)) {
            take_ended(&ended, call);
            return;
        }
        if (!worth_again(err.kind) || clock_now() >= until || !lines_await(&front->ledger, until)) break;
        poll(NULL, 0, END_PAUSE_MS);
    }
    call->unrecorded = true;
    call->sent = SENT_MAYBE;
    id_text(call->ref.id, id);
    log_event(LOG_LEVEL_ERROR, "outcome-not-recorded", log_text("call", id), log_number("attempt", call->ref.attempt),
              log_text("class", class_name(call->class)), log_text("error", err.text), log_text("detail", err.detail));
}

/* ── queries ───────────────────────────────────────────────────────────────────────────────────────── */

static bool take_answer(const struct reply_frame *reply, json_t **answer, struct err *err)
{
    struct msg_json_answer head;
    memcpy(&head, reply->body, sizeof head);
    const char *text = (const char *)reply->body + sizeof head;
    if (!status_check(&head.status, err)) return false;
    if (head.length > reply->length - sizeof head)
        return err_set(err, ERR_INTERNAL, "the ledger's answer is not whole");
    if (!json_read(text, head.length, WIRE_MAX, answer, err)) {
        err->kind = ERR_INTERNAL;
        return err_in(err, "the ledger's answer");
    }
    if (json_is_object(*answer)) return true;
    json_decref(*answer);
    *answer = NULL;
    return err_set(err, ERR_INTERNAL, "the ledger's answer is no object");
}

bool ledger_query(struct front *front, struct who *who, struct conn *conn, enum msg_type type, const json_t *object,
                  json_t **answer, struct err *err)
{
    BUF_AUTO text;
    struct reply_frame reply;
    bool health = type == MSG_HEALTH; /* others may wait for more than the log */
    uint64_t deadline = in_ms(health ? patience(front, HEALTH_PATIENCE_MS) : QUERY_PATIENCE_MS);
    buf_init(&text, WIRE_MAX - sizeof(struct msg_head) - sizeof(struct msg_query));
    if (!json_compact(object, &text))
        return err_set(err, ERR_TOO_LARGE, "the request is larger than %zu bytes", text.max);
    LINE_AUTO *line = line_borrow(&front->ledger, deadline, err);
    if (!line || !introduce(line, who, conn, deadline, err)) return health && heard(front, false, deadline, err);
    struct msg_query query = {.who = *who, .length = (uint32_t)text.used};
    struct question question = {.type = type,
                                .answer = MSG_JSON_ANSWER,
                                .body = &query,
                                .length = sizeof query,
                                .tail = text.bytes,
                                .tail_length = text.used,
                                .deadline = deadline};
    bool answered = line_ask(line, &question, &reply, err);
    if (health) heard(front, answered, deadline, err);
    return answered && take_answer(&reply, answer, err);
}
