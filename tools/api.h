/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP API over the two sockets of a running daemon. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "home.h"

enum api_socket { API_CALLS, API_DESK };

struct api_request {
    enum api_socket socket;
    const char *method, *path; /* path with its query, encoded (api_path) */
    const json_t *body;        /* NULL: none */
    const char *key;           /* Idempotency-Key, or NULL */
    long timeout_s;            /* 0: 60 */
};

/* *answer: a new reference; NULL where the answer has no body. A refusal becomes its error: kind by the problem's
 * type, text by its detail. ERR_UNAVAILABLE: nobody listens, and what to do about it; or a daemon that runs could not
 * do it now, or broke off. */
bool api_send(const struct home *home, const struct api_request *request, json_t **answer, struct err *err);
/* Did the last request fail because nobody listens: no daemon runs on this home? */
bool api_absent(void);

/* The usual cases. */
bool api_get(const struct home *home, enum api_socket socket, const char *path, json_t **answer, struct err *err);
bool api_post(const struct home *home, const char *path, const json_t *body, json_t **answer, struct err *err);

/* The problem details (RFC 9457) of the last refusal, as the daemon sent them, where that is what err tells of; NULL
 * where err is of something else. Borrowed. */
const json_t *api_problem(const struct err *err);

enum { API_PATH = 2048 };
/* Builds a path: api_path(path, "/v1/calls/", id, NULL) adds "/v1/calls/" and the segment, percent-encoded. */
void api_path(char path[API_PATH], const char *start, const char *segment);
/* Adds "?name=value" or "&name=value", encoded; a NULL or empty value adds nothing. */
void api_query(char path[API_PATH], const char *name, const char *value);

/* Bodies that this command sends to the desk, beside what docs/openapi.yaml says of their answers:
 *   POST /v1/credentials      {"workspace", "name", "connector", "audience": [host…], "box": base64 of the sealed
 *                              struct submission (its audience: the same hosts, sorted, joined by newlines)}
 *   POST /v1/tokens           {"name", "workspace", "role", "connectors": [name…], "actions": [name…],
 *                              "expires_in_s"}; the answer's "token" is shown once
 *   POST /v1/workspaces       {"name"}
 *   POST /v1/calls/ID/retry   {"reason"?}           POST /v1/calls/ID/cancel  {"reason"?}
 *   POST /v1/plugins/record   {"connector", "act": "enable" | "disable", "digest", "manifest_digest"}
 *   POST /v1/key-record       {"act": "provider" | "recovery" | "backup", "text"}
 *   POST /v1/audit/epoch      {"reason"}             POST /v1/audit/roll       {}
 *   POST /v1/reload           {}                    POST /v1/freeze-record    {"on": bool, "now": bool} */
