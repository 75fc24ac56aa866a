/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the HTTP side have in common. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "harness.h"

static struct play play;

#define GOOD "{\"connector\":\"hello\",\"action\":\"greet\",\"input\":{\"name\":\"Ada\"}}"
#define TOKEN "Authorization: Bearer cst_0123456789abcdefghij"

static inline void expect(const struct http_got *got, long status, const char *slug)
{
    char type[96];
    snprintf(type, sizeof type, "urn:caisson:problem:%s", slug);
    if (got->status != status || (*slug && strcmp(json_text(got->json, "type"), type) != 0))
        fail_msg("expected %ld %s, got %ld %s", status, slug, got->status, got->body ? got->body : "");
}

static inline void check(const struct http_ask *ask, long status, const char *slug)
{
    struct http_got got = play_http(&play, ask);
    expect(&got, status, slug);
    http_got_clear(&got);
}

static inline int stop(void **state)
{
    play_stop(&play);
    return 0;
}
