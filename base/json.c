/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded reading and canonical writing of JSON. */
#include "json.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The deepest nesting, counted before the recursive parser sees the text. */
static unsigned nesting(const char *bytes, size_t length)
{
    unsigned depth = 0, deepest = 0;
    bool inside = false; /* a string */
    for (size_t i = 0; i < length; i++) {
        char c = bytes[i];
        if (inside && c == '\\')
            i++;
        else if (c == '"')
            inside = !inside;
        else if (inside)
            continue;
        else if ((c == '[' || c == '{') && ++depth > deepest)
            deepest = depth;
        else if ((c == ']' || c == '}') && depth)
            depth--;
    }
    return deepest;
}

/* When memory is short, jansson blames the text, or loses a piece of it: only its allocations tell. */
static _Thread_local bool memory_was_short;

static void *watched_malloc(size_t size)
{
    void *fresh = malloc(size);
    if (!fresh) memory_was_short = true;
    return fresh;
}

static void watch_memory(void)
{
    json_set_alloc_funcs(watched_malloc, free);
}

/* jansson quotes the text around the fault; it may be a secret, so only the reason is kept. */
static bool refuse(const json_error_t *fault, struct err *err)
{
    char reason[JSON_ERROR_TEXT_LENGTH];
    snprintf(reason, sizeof reason, "%s", fault->text);
    if (json_error_code(fault) == json_error_duplicate_key) snprintf(reason, sizeof reason, "a key stands there twice");
    char *near = strstr(reason, " near ");
    if (near) *near = '\0';
    return err_set(err, ERR_MALFORMED, "not acceptable JSON at line %d, column %d: %s", fault->line, fault->column,
                   reason);
}

bool json_read(const char *bytes, size_t length, size_t max, json_t **out, struct err *err)
{
    if (length > max) return err_set(err, ERR_TOO_LARGE, "the JSON text has %zu bytes; the limit is %zu", length, max);
    if (nesting(bytes, length) > JSON_DEPTH)
        return err_set(err, ERR_MALFORMED, "the JSON text is nested more than %d levels deep", JSON_DEPTH);

    static pthread_once_t once = PTHREAD_ONCE_INIT;
    json_error_t fault;
    pthread_once(&once, watch_memory);
    memory_was_short = false;
    json_t *value = json_loadb(length ? bytes : "", length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
    if (memory_was_short) {
        json_decref(value);
        return err_set(err, ERR_BUSY, "there is no memory to read the JSON text");
    }
    if (!value) return refuse(&fault, err);
    *out = value;
    return true;
}

struct compacting {
    struct buf *buf;
    bool failed;
};

/* jansson goes on when a key could not be added: what failed once has failed for good. */
static int add_piece(const char *bytes, size_t count, void *context)
{
    struct compacting *to = context;
    to->failed = to->failed || !buf_add(to->buf, bytes, count);
    return to->failed ? -1 : 0;
}

bool json_compact(const json_t *value, struct buf *buf)
{
    struct compacting to = {.buf = buf};
    int done = json_dump_callback(value, add_piece, &to, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    return done == 0 && !to.failed;
}

const json_t *json_named(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const char *here = json_string_value(json_object_get(one, "name"));
        if (here && strcmp(here, name) == 0) return one;
    }
    return NULL;
}
