/* SPDX-License-Identifier: Apache-2.0 */
/* From a request to a reply: who is calling, is the head acceptable, and the handlers of the routes. */
#include "api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/json.h"
#include "call.h"
#include "front.h"
#include "ledger.h"
#include "problem.h"
#include "seal.h"

/* ── the head ──────────────────────────────────────────────────────────────────────────────────────── */

static bool refuse(unsigned kind, const char *detail, uint32_t retry_after, struct http_reply *reply)
{
    problem_write(&(struct problem){.kind = kind, .detail = detail, .retry_after = retry_after}, reply);
    return false;
}

/* Whose share of requests this counts against. */
static uint64_t caller_of(const struct http_request *request)
{
    const uint64_t users = UINT64_C(0x9e3779b97f4a7c15); /* apart from addresses: none begins like this */
    return request->conn->tcp ? request->conn->owner : request->conn->owner ^ users;
}

static bool check_share(struct http_request *request, struct http_reply *reply)
{
    struct conn *conn = request->conn;
    uint32_t wait_s = 0;
    reply->close = conn->over;
    if (conn->over) return refuse(ERR_RATE, "too many connections are open", 1, reply);
    if (!rate_take(&request->front->rates, caller_of(request), 1, &wait_s))
        return refuse(ERR_RATE, "this caller has made too many requests", wait_s, reply);
    if (request->header(request, "Authorization") && !rate_left(&request->front->failures, caller_of(request), &wait_s))
        return refuse(ERR_RATE, "too many tokens that nobody issued came from here", wait_s, reply);
    return true;
}

/* Over TCP the caller is who holds the token, and the token goes over TLS or stays on this machine. */
static bool check_transport(struct http_request *request, struct http_reply *reply)
{
    const struct conn *conn = request->conn;
    const char *token;
    if (conn->tcp && !conn->tls && !conn->local) return refuse(PROBLEM_PLAIN, NULL, 0, reply);
    if (!bearer_read(request->header(request, "Authorization"), &token))
        return refuse(ERR_NO_IDENTITY, "the Authorization header must be: Bearer TOKEN", 0, reply);
    if (conn->tcp && !token && !request->route->anonymous)
        return refuse(ERR_NO_IDENTITY, "this listener asks for a token: Authorization: Bearer TOKEN", 0, reply);
    return true;
}

/* The preflight of browsers, and everybody else's question what a path takes. */
static bool answer_options(struct http_request *request, struct http_reply *reply)
{
    route_find(request->front->self, "", request->path, request->param, reply->allow_text);
    if (!reply->allow_text[0]) return refuse(ERR_NOT_FOUND, "there is no such path here", 0, reply);
    reply->status = 204;
    reply->allow = reply->allow_text;
    return false;
}

static bool find_route(struct http_request *request, struct http_reply *reply)
{
    if (strcmp(request->method, "OPTIONS") == 0) return answer_options(request, reply);
    request->route = route_find(request->front->self, request->method, request->path, request->param,
                                reply->allow_text);
    if (request->route) return true;
    if (!reply->allow_text[0]) return refuse(ERR_NOT_FOUND, "there is no such path here", 0, reply);
    reply->allow = reply->allow_text;
    return refuse(PROBLEM_METHOD, NULL, 0, reply);
}

static bool check_body(const struct http_request *request, size_t length, struct http_reply *reply)
{
    char detail[96];
    const struct route *route = request->route;
    const char *type = request->header(request, "Content-Type");
    snprintf(detail, sizeof detail, "this path takes a body of at most %zu bytes", route->body_most);
    if (length != SIZE_MAX && length > route->body_most) return refuse(ERR_TOO_LARGE, detail, 0, reply);
    bool wanted = strcmp(route->method, "POST") == 0;
    if ((wanted && (length || type) && !media_is_json(type)) || (type && length && !media_is_json(type)))
        return refuse(PROBLEM_MEDIA_TYPE, NULL, 0, reply);
    return true;
}

bool api_head(struct http_request *request, size_t length, struct http_reply *reply)
{
    const char *origin = request->header(request, "Origin");
    if (config_allows(&request->front->config, origin)) reply->origin = origin;
    return check_share(request, reply) && find_route(request, reply) && check_transport(request, reply) &&
           check_body(request, length, reply);
}

void api_run(struct http_request *request, struct http_reply *reply)
{
    request->route->run(request, reply);
}

/* ── who ───────────────────────────────────────────────────────────────────────────────────────────── */

static struct who who_of(const struct http_request *request)
{
    struct who who = {.kind = request->conn->tcp ? WHO_NOBODY : WHO_PEER};
    const char *token = NULL;
    bearer_read(request->header(request, "Authorization"), &token);
    if (!token) return who;
    who.kind = WHO_TOKEN;
    sha256(token, strlen(token), who.token);
    return who;
}

/* Guessing tokens locks an address out: twenty at once, then one a second. */
static void note_failure(const struct http_request *request, const struct who *who, const struct err *err)
{
    uint32_t ignored;
    if (err->kind == ERR_NO_IDENTITY && who->kind == WHO_TOKEN)
        rate_take(&request->front->failures, caller_of(request), 1, &ignored);
}

/* ── calls ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool read_call(struct http_request *request, struct call *call, struct err *err)
{
    trace_read(request->header(request, "traceparent"), call->request.traceparent);
    return key_read(request->header(request, "Idempotency-Key"), call->request.key, err) &&
           request_read(request->body.bytes, request->body.used, &call->request, err);
}

static void run_call(struct http_request *request, struct call *call, struct http_reply *reply)
{
    struct front *front = request->front;
    struct err err = {0};
    bool ran = read_call(request, call, &err);
    buf_clear(&request->body); /* 32 MiB less while the call runs */
    ran = ran && call_run(front, call, &err);
    if (!ran) {
        note_failure(request, &call->who, &err);
        front->metrics.refusals++;
        answer_refused(call, &err, reply);
        return;
    }
    if (call->replay)
        front->metrics.replays++;
    else if (call->unrecorded)
        front->metrics.unrecorded++;
    else
        metrics_call(&front->metrics, call->class, call->sent, clock_now() - call->began);
    answer_write(call, reply);
}

void api_call(struct http_request *request, struct http_reply *reply)
{
    struct front *front = request->front;
    struct call call;
    if (front->stopping) {
        refuse(ERR_UNAVAILABLE, "the daemon is stopping", 5, reply);
        return;
    }
    if (++front->calls > front->config.calls) {
        front->calls--;
        refuse(ERR_BUSY, "as many calls are running as this daemon runs at once", 1, reply);
        return;
    }
    call_init(&call);
    call.who = who_of(request);
    call.conn = request->conn;
    run_call(request, &call, reply);
    call_clear(&call);
    front->calls--;
}

/* ── queries ───────────────────────────────────────────────────────────────────────────────────────── */

static bool add_number(json_t *object, const char *name, const char *text, struct err *err)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || *end || end == text || value < 0)
        return err_set(err, ERR_BAD_INPUT, "the query parameter %s must be a whole number", name);
    return json_object_set_new(object, name, json_integer(value)) == 0;
}

static bool add_query(const struct http_request *request, json_t *object, struct err *err)
{
    for (unsigned i = 0; i < QUERY_MOST && request->route->query[i]; i++) {
        const char *name = request->route->query[i];
        bool number = *name == '#';
        name += number;
        const char *text = request->query(request, name);
        if (!text) continue;
        if (number && !add_number(object, name, text, err)) return false;
        if (!number && json_object_set_new(object, name, json_string(text)) < 0)
            return err_set(err, ERR_BAD_INPUT, "the query parameter %s is no UTF-8 text", name);
    }
    return true;
}

static bool add_param(const struct http_request *request, json_t *object, struct err *err)
{
    uint8_t id[ID_BYTES];
    const char *open = strchr(request->route->path, '{');
    if (!open) return true;
    bool is_call = strncmp(request->route->path, "/v1/calls/", 10) == 0;
    if (is_call ? !id_parse(request->param, id) : !name_valid(request->param) && !id_parse(request->param, id))
        return err_set(err, ERR_NOT_FOUND, "there is nothing of that name");
    char name[ROUTE_PARAM];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(open + 1, "}"), open + 1);
    return json_object_set_new(object, name, json_string(request->param)) == 0;
}

/* Path, query and body become one object; the path has the last word. */
static bool gather(struct http_request *request, json_t **object, struct err *err)
{
    JSON_AUTO *found = NULL;
    if (request->body.used == 0)
        found = json_object();
    else if (!json_read(request->body.bytes, request->body.used, DESK_BODY_MAX, &found, err))
        return err_in(err, "the body");
    if (!json_is_object(found)) return err_set(err, ERR_MALFORMED, "the body must be a JSON object");
    if (!add_query(request, found, err) || !add_param(request, found, err)) return false;
    *object = take(&found);
    return true;
}

static bool ask(struct http_request *request, json_t **answer, struct err *err)
{
    JSON_AUTO *object = NULL;
    struct who who = who_of(request);
    if (!gather(request, &object, err)) return false;
    if (ledger_query(request->front, &who, request->conn, request->route->message, object, answer, err)) return true;
    note_failure(request, &who, err);
    return false;
}

static void write_json(const json_t *object, struct http_reply *reply)
{
    reply->status = 200;
    reply->type = "application/json";
    if (json_compact(object, &reply->body)) return;
    refuse(ERR_INTERNAL, "there is no memory for the answer", 0, reply);
}

void api_forward(struct http_request *request, struct http_reply *reply)
{
    struct err err = {0};
    JSON_AUTO *answer = NULL;
    if (ask(request, &answer, &err))
        write_json(answer, reply);
    else
        problem_of(&err, reply);
}

/* What the ledger lets this caller see, with what the registry says about it. */
static void describe(struct front *front, json_t *list)
{
    static const char *const members[] = {"version", "summary", "actions", "fields", "problem", NULL};
    struct snapshot *snapshot = snapshot_hold(&front->registry);
    size_t i;
    json_t *row;
    json_array_foreach(list, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        const struct entry *entry = name ? registry_find(&snapshot->registry, name) : NULL;
        for (unsigned m = 0; entry && members[m]; m++) {
            const json_t *value = json_object_get(entry->document, members[m]);
            JSON_AUTO *copy = value ? json_deep_copy(value) : NULL;
            if (copy && !json_object_get(row, members[m])) json_object_set(row, members[m], copy);
        }
    }
    snapshot_drop(snapshot);
}

void api_connectors(struct http_request *request, struct http_reply *reply)
{
    struct err err = {0};
    JSON_AUTO *answer = NULL;
    if (!ask(request, &answer, &err)) {
        problem_of(&err, reply);
        return;
    }
    describe(request->front, json_object_get(answer, "connectors"));
    write_json(answer, reply);
}

/* ── health and metrics ────────────────────────────────────────────────────────────────────────────── */

/* Answers also while the ledger is away: that is when it is asked. */
void api_health(struct http_request *request, struct http_reply *reply)
{
    struct err err = {0};
    JSON_AUTO *answer = NULL;
    if (ask(request, &answer, &err)) {
        if (!json_object_get(answer, "status")) json_object_set_new(answer, "status", json_string("ok"));
        write_json(answer, reply);
        const char *status = json_string_value(json_object_get(answer, "status"));
        if (status && strcmp(status, "ok") != 0 && strcmp(status, "frozen") != 0) reply->status = 503;
        return;
    }
    if (err.kind != ERR_AUDIT) {
        problem_of(&err, reply);
        return;
    }
    /* The ledger waits for the disk: that much is known without it. */
    answer = json_pack("{s:s, s:s}", "status", "sealed", "reason", err.text);
    write_json(answer, reply);
    reply->status = 503;
}

void api_metrics(struct http_request *request, struct http_reply *reply)
{
    struct err err = {0};
    JSON_AUTO *answer = NULL;
    /* On a unix socket whoever may open it may read; over TCP the ledger must know the token. */
    if (request->conn->tcp && !ask(request, &answer, &err)) {
        problem_of(&err, reply);
        return;
    }
    reply->status = 200;
    reply->type = "text/plain; version=0.0.4; charset=utf-8";
    if (!metrics_print(request->front, &reply->body)) refuse(ERR_INTERNAL, "there is no memory", 0, reply);
}
