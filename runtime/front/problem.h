/* SPDX-License-Identifier: Apache-2.0 */
/* Errors for callers: RFC 9457 problem details, built from the one table of error kinds. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "http.h"

#define PROBLEM_URN "urn:caisson:problem:"

/* Problems of HTTP itself and of the front, which no other part of the daemon has. */
enum problem_kind {
    PROBLEM_METHOD = ERR_KINDS, /* 405 */
    PROBLEM_MEDIA_TYPE,         /* 415 */
    PROBLEM_UNRECORDED,         /* 500: the call ran, its outcome could not be written down */
    PROBLEM_PLAIN,              /* 403: TLS is needed off this machine */
    PROBLEM_KINDS
};

struct problem {
    unsigned kind;        /* enum err_kind or enum problem_kind */
    const char *detail;   /* this occurrence; NULL: the title says it all */
    const char *instance; /* call id, or NULL */
    const char *pointer;  /* JSON Pointer of the offending field, or NULL */
    uint32_t retry_after; /* seconds; 0: none, unless the kind may be retried */
    json_t *more;         /* further members; borrowed; may be NULL */
};

const struct err_row *problem_row(unsigned kind);
/* Fills the reply: status, type, body, Retry-After, WWW-Authenticate. */
void problem_write(const struct problem *problem, struct http_reply *reply);
/* The common case: an error alone. */
void problem_of(const struct err *err, struct http_reply *reply);
