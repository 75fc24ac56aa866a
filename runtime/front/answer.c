/* SPDX-License-Identifier: Apache-2.0 */
/* Turns an outcome into the HTTP reply. */
#include "answer.h"

#include <string.h>

#include "base/json.h"
#include "problem.h"

/* Reasons that say more than the class does. */
static enum err_kind kind_of_reason(enum call_class class, enum call_reason reason)
{
    if (class == CLASS_REFUSED) {
        if (reason == REASON_NO_WORKER) return ERR_BUSY;
        if (reason == REASON_FROZEN) return ERR_FROZEN;
        if (reason == REASON_RESTART) return ERR_UNAVAILABLE;
        if (reason == REASON_LOAD_FAILED) return ERR_LOAD;
        if (reason == REASON_POLICY) return ERR_STALE; /* begun on a registry that is no longer in force */
        if (reason == REASON_INPUT_DIGEST) return ERR_INTERNAL;
        if (reason == REASON_CANCELLED || reason == REASON_REVOKED) return ERR_STATE;
        if (reason == REASON_AUDIT) return ERR_AUDIT;
    }
    if (class == CLASS_CRASHED && reason == REASON_PROTOCOL_ERROR) return ERR_PROTOCOL;
    if (class == CLASS_CRASHED && reason == REASON_LOAD_FAILED) return ERR_LOAD;
    return ERR_NONE;
}

unsigned outcome_kind(const struct call *call)
{
    if (call->unrecorded) return PROBLEM_UNRECORDED;
    if (call->class == CLASS_OK) return ERR_NONE;
    if (call->replay && call->sent == SENT_MAYBE) return ERR_UNCERTAIN;
    enum err_kind special = kind_of_reason(call->class, call->reason);
    return special ? special : class_kind(call->class);
}

static bool has_id(const struct call *call)
{
    static const uint8_t none[ID_BYTES];
    return memcmp(call->ref.id, none, ID_BYTES) != 0;
}

static json_t *entries(const struct call *call)
{
    return json_pack("{s:I, s:I}", "intent", (json_int_t)call->intent_index, "outcome",
                     (json_int_t)call->outcome_index);
}

/* The members that every outcome has, good or bad. An unrecorded one has no outcome to name. */
static json_t *outcome(const struct call *call)
{
    char id[ID_TEXT];
    id_text(call->ref.id, id);
    json_t *object = json_pack("{s:s, s:i, s:b}", "call_id", id, "attempt", (int)call->ref.attempt, "replayed",
                               call->replay);
    if (!object || call->unrecorded) return object;
    json_object_set_new(object, "class", json_string(class_name(call->class)));
    json_object_set_new(object, "sent", json_string(sent_name(call->sent)));
    json_object_set_new(object, "entries", entries(call));
    if (call->reason) json_object_set_new(object, "reason", json_string(reason_name(call->reason)));
    if (call->answer) json_object_set(object, "answer", call->answer);
    return object;
}

static void write_ok(const struct call *call, struct http_reply *reply)
{
    JSON_AUTO *object = outcome(call);
    reply->status = 200;
    reply->type = "application/json";
    if (object && !call->answer) json_object_set_new(object, "answer", json_null());
    if (object && json_compact(object, &reply->body)) return;
    struct err err = {0};
    err_set(&err, ERR_INTERNAL, "there is no memory for the answer");
    problem_of(&err, reply);
}

static void write_problem(const struct call *call, unsigned kind, const char *detail, const char *pointer,
                          struct http_reply *reply)
{
    char id[ID_TEXT];
    id_text(call->ref.id, id);
    JSON_AUTO *more = has_id(call) ? outcome(call) : NULL;
    problem_write(&(struct problem){.kind = kind,
                                    .detail = detail && detail[0] ? detail : NULL,
                                    .instance = has_id(call) ? id : NULL,
                                    .pointer = pointer,
                                    .retry_after = call->retry_after,
                                    .more = more},
                  reply);
}

void answer_write(const struct call *call, struct http_reply *reply)
{
    unsigned kind = outcome_kind(call);
    if (kind == ERR_NONE)
        write_ok(call, reply);
    else
        write_problem(call, kind, call->text, NULL, reply);
}

void answer_refused(const struct call *call, const struct err *err, struct http_reply *reply)
{
    const char *pointer = call->request.pointer[0] && err->kind == ERR_BAD_INPUT ? call->request.pointer : NULL;
    char id[ID_TEXT];
    id_text(call->ref.id, id);
    problem_write(
        &(struct problem){
            .kind = err->kind, .detail = err->text, .instance = has_id(call) ? id : NULL, .pointer = pointer},
        reply);
}
