/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller sends: a line of headers' values, then the body of POST /v1/calls. What is accepted must be fit for the
 * ledger: names by the grammar, a canonical input. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "runtime/front/request.h"

#include "fuzz.h"

static void check_headers(const char *text)
{
    char key[KEY_BYTES] = "", trace[TRACE_BYTES];
    const char *token = NULL;
    struct err err = {0};
    if (key_read(text, key, &err)) {
        if (!*key) abort();
        for (const char *at = key; *at; at++)
            if (*at <= 0x20 || *at >= 0x7f) abort();
    } else if (err.kind != ERR_MALFORMED) {
        abort();
    }
    trace_read(text, trace);
    if (*trace && strlen(trace) != TRACE_BYTES - 1) abort();
    if (bearer_read(text, &token) && token && strlen(token) > 512) abort();
    media_is_json(text);
}

static void check_request(const struct call_request *request)
{
    JSON_AUTO *again = NULL;
    BUF_AUTO text;
    struct err err = {0};
    buf_init(&text, CALL_BODY_MAX);
    if (*request->workspace && !name_valid(request->workspace)) abort(); /* "": the token's own */
    if (!name_valid(request->connector) || !name_valid(request->action)) abort();
    if (*request->credential && !name_valid(request->credential)) abort();
    if (!json_read(request->input.bytes, request->input.used, CALL_BODY_MAX, &again, &err)) abort();
    if (!json_compact(again, &text) || strcmp(text.bytes, request->input.bytes) != 0) abort(); /* one spelling only */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct call_request request = {0};
    struct err err = {0};
    const uint8_t *end = memchr(data, '\n', size);
    size_t head = end ? (size_t)(end - data) : size;
    char *line = strndup((const char *)data, head);
    check_headers(line);
    free(line);
    if (!end) return 0;
    if (request_read((const char *)end + 1, size - head - 1, &request, &err))
        check_request(&request);
    else if (err.kind != ERR_MALFORMED && err.kind != ERR_BAD_INPUT && err.kind != ERR_TOO_LARGE)
        abort();
    request_clear(&request);
    return 0;
}
