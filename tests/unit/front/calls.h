/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of calls have in common. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "harness.h"

#define GOOD "{\"connector\":\"hello\",\"action\":\"greet\",\"input\":{\"name\":\"Ada\"}}"

static struct play play;

static inline struct http_got post(const char *body)
{
    return play_http(&play, &(struct http_ask){.path = "/v1/calls", .body = body});
}

static inline void expect_problem(const struct http_got *got, long status, const char *slug)
{
    char type[96];
    snprintf(type, sizeof type, "urn:caisson:problem:%s", slug);
    if (got->status != status || strcmp(json_text(got->json, "type"), type) != 0)
        fail_msg("expected %ld %s, got %ld %s", status, slug, got->status, got->body ? got->body : "");
    assert_non_null(strstr(got->headers, "application/problem+json"));
}

/* One call that must end in that problem; the END that the ledger saw carries class and reason. */
static inline void expect_call(const char *body, long status, const char *slug, enum call_class class,
                               enum call_reason reason)
{
    struct http_got got = post(body);
    expect_problem(&got, status, slug);
    assert_int_equal(play.ends, 1);
    assert_int_equal(play.end.class, class);
    assert_int_equal(play.end.reason, reason);
    http_got_clear(&got);
}

static inline void with_worker(play_worker *worker)
{
    play_script(&play, &(struct play_script){.worker = worker});
}
