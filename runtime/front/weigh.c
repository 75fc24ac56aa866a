/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the values of a JSON text before anything is allocated for them. */
#include "weigh.h"

#include <string.h>

/* The end of a string that begins at `at`: behind its closing quote, or the end of the text. */
static const char *past_string(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        const char *quote = memchr(at, '"', (size_t)(end - at));
        if (!quote) return end;
        size_t slashes = 0;
        while (quote - slashes > at && quote[-1 - (ptrdiff_t)slashes] == '\\') slashes++;
        if (slashes % 2 == 0) return quote + 1;
        at = quote;
    }
    return end;
}

bool json_affordable(const char *bytes, size_t length)
{
    size_t values = 1;
    for (const char *at = bytes, *end = bytes + length; at < end && values <= JSON_VALUES_MOST;) {
        if (*at == '"') {
            at = past_string(at, end);
            continue;
        }
        values += *at == ',' || *at == '[' || *at == '{';
        at++;
    }
    return values <= JSON_VALUES_MOST;
}
