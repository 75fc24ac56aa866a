/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller asks for: the body of POST /v1/calls and the headers that go with it, checked for shape. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/schema.h"
#include "runtime/messages.h"
#include "sandbox/frames.h"

enum { KEY_BYTES = 256, TRACE_BYTES = 56, CALL_BODY_MAX = 32 * 1024 * 1024, DESK_BODY_MAX = 256 * 1024 };

struct call_request {
    char workspace[NAME_BYTES], connector[NAME_BYTES], action[NAME_BYTES], credential[NAME_BYTES];
    char key[KEY_BYTES], traceparent[TRACE_BYTES];
    uint32_t timeout_ms;    /* 0: the caller said nothing */
    size_t subjects_length; /* people that the call is about, each with its NUL */
    char subjects[SUBJECTS_MAX * SUBJECT_BYTES];
    json_t *value;                    /* the input, for the schema */
    struct buf input;                 /* its canonical bytes: what is hashed and what the worker gets */
    char pointer[SCHEMA_POINTER + 8]; /* after a refusal: the JSON Pointer of the field, in the body */
};

/* ERR_MALFORMED, ERR_TOO_LARGE, or ERR_BAD_INPUT with pointer set. */
bool request_read(const char *bytes, size_t length, struct call_request *request, struct err *err);
void request_clear(struct call_request *request);

/* Idempotency-Key, quoted (RFC 8941 string) or bare: 1 to 255 visible ASCII characters. NULL leaves it empty. */
bool key_read(const char *header, char key[KEY_BYTES], struct err *err);
/* W3C trace context, version 00 form. One that is not well formed is dropped, as that specification asks. */
void trace_read(const char *header, char traceparent[TRACE_BYTES]);
/* application/json, with or without parameters that do not change its meaning. */
bool media_is_json(const char *header);
/* The token of "Bearer TOKEN". false: the header is there but is something else. */
bool bearer_read(const char *header, const char **token);
