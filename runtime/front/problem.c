/* SPDX-License-Identifier: Apache-2.0 */
/* Problem details (RFC 9457). */
#include "problem.h"

#include <stdio.h>

#include "base/json.h"

static const struct err_row own[] = {
    [PROBLEM_METHOD - ERR_KINDS] = {"method-not-allowed", 405, 0, false, "This path does not take that method."},
    [PROBLEM_MEDIA_TYPE - ERR_KINDS] = {"unsupported-media-type", 415, 0, false, "The body must be application/json."},
    [PROBLEM_UNRECORDED -
        ERR_KINDS] = {"executed-unrecorded", 500, 0, false, "The call ran, but its outcome could not be recorded."},
    [PROBLEM_PLAIN - ERR_KINDS] = {"tls-required", 403, 0, false, "Off this machine, the API speaks TLS only."},
};

const struct err_row *problem_row(unsigned kind)
{
    if (kind >= ERR_KINDS && kind < PROBLEM_KINDS) return &own[kind - ERR_KINDS];
    return err_row((enum err_kind)kind);
}

static json_t *field_error(const struct problem *problem)
{
    return json_pack("[{s:s, s:s}]", "pointer", problem->pointer, "detail", problem->detail ? problem->detail : "");
}

static json_t *document(const struct problem *problem, const struct err_row *row, uint32_t retry_after)
{
    char type[96], instance[64];
    snprintf(type, sizeof type, PROBLEM_URN "%s", row->slug);
    json_t *object = json_pack("{s:s, s:s, s:i}", "type", type, "title", row->title, "status", row->http);
    if (!object) return NULL;
    if (problem->detail) json_object_set_new(object, "detail", json_string(problem->detail));
    if (problem->instance) {
        snprintf(instance, sizeof instance, "urn:uuid:%s", problem->instance);
        json_object_set_new(object, "instance", json_string(instance));
    }
    if (problem->pointer) json_object_set_new(object, "errors", field_error(problem));
    if (retry_after) json_object_set_new(object, "retry_after", json_integer(retry_after));
    if (problem->more) json_object_update_missing(object, problem->more);
    return object;
}

void problem_write(const struct problem *problem, struct http_reply *reply)
{
    const struct err_row *row = problem_row(problem->kind);
    uint32_t retry_after = problem->retry_after ? problem->retry_after : row->retry ? 1 : 0;
    JSON_AUTO *object = document(problem, row, retry_after);
    reply->status = row->http;
    reply->type = "application/problem+json";
    reply->retry_after = retry_after;
    reply->authenticate = row->http == 401;
    reply->body.used = 0;
    if (!object || !json_compact(object, &reply->body)) reply->body.used = 0;
}

void problem_of(const struct err *err, struct http_reply *reply)
{
    problem_write(&(struct problem){.kind = err->kind, .detail = err->text}, reply);
}
