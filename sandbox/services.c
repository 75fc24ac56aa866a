/* SPDX-License-Identifier: Apache-2.0 */
/* The services table: what a connector's inline calls of caisson/connector.h end in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../sdk/src/helpers.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "worker.h"

static struct worker_call *of(struct csn_call *call)
{
    return call->host;
}

char *call_keep(struct worker_call *call, const void *bytes, size_t count)
{
    struct scrap *scrap = malloc(sizeof *scrap + count + 1);
    if (!scrap) return NULL;
    if (bytes) memcpy(scrap->bytes, bytes, count);
    scrap->bytes[count] = 0;
    scrap->next = call->scraps;
    call->scraps = scrap;
    return scrap->bytes;
}

/* ── input ───────────────────────────────────────────────────────────────────────────────────────────── */

static const char *get_input(struct csn_call *call, const char *pointer)
{
    return json_string_value(pointer_get(of(call)->input, pointer));
}

static int get_integer(struct csn_call *call, const char *pointer, int64_t *value)
{
    const json_t *found = pointer_get(of(call)->input, pointer);
    if (!json_is_integer(found)) return 0;
    *value = json_integer_value(found);
    return 1;
}

static int get_boolean(struct csn_call *call, const char *pointer)
{
    const json_t *found = pointer_get(of(call)->input, pointer);
    return json_is_boolean(found) ? json_is_true(found) : -1;
}

static int get_count(struct csn_call *call, const char *pointer)
{
    const json_t *found = pointer_get(of(call)->input, pointer);
    if (json_is_array(found)) return (int)json_array_size(found);
    return json_is_object(found) ? (int)json_object_size(found) : -1;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *get_key(struct csn_call *call, const char *pointer, int index)
{
    json_t *object = pointer_get(of(call)->input, pointer);
    size_t count = json_is_object(object) ? json_object_size(object) : 0, used = 0;
    if (index < 0 || (size_t)index >= count) return NULL;
    const char **keys = malloc(count * sizeof *keys);
    if (!keys) return NULL;
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at))
        keys[used++] = json_object_iter_key(at);
    qsort(keys, used, sizeof *keys, by_bytes);
    const char *key = keys[index];
    free(keys);
    return key;
}

static int get_blob(struct csn_call *call, const char *pointer, const void **bytes, size_t *size)
{
    const json_t *found = pointer_get(of(call)->input, pointer);
    if (!json_is_string(found)) return 0;
    size_t length = json_string_length(found), count;
    char *room = call_keep(of(call), NULL, length / 4 * 3);
    if (!room || !base64_decode(json_string_value(found), length, (unsigned char *)room, &count)) return 0;
    *bytes = room;
    *size = count;
    return 1;
}

static const char *as_text(struct worker_call *call, const json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS) : NULL;
    const char *kept = text ? call_keep(call, text, strlen(text)) : NULL;
    free(text);
    return kept;
}

static const char *get_json(struct csn_call *call, const char *pointer)
{
    return as_text(of(call), pointer_get(of(call)->input, pointer));
}

static const char *get_setting(struct csn_call *call, const char *pointer)
{
    const json_t *found = pointer_get(of(call)->cell->settings, pointer);
    return json_is_string(found) ? json_string_value(found) : as_text(of(call), found);
}

/* ── secret, call ────────────────────────────────────────────────────────────────────────────────────── */

static const char *get_secret(struct csn_call *call, const char *field)
{
    const struct frame_secret *frame = &of(call)->secret.frame;
    for (uint32_t i = 0; field && i < frame->field_count; i++)
        if (strcmp(frame->fields[i].name, field) == 0) return frame->bytes + frame->fields[i].offset;
    return NULL;
}

static const char *get_call_id(struct csn_call *call)
{
    return of(call)->id;
}

static const char *get_trace(struct csn_call *call)
{
    return of(call)->head.traceparent[0] ? of(call)->head.traceparent : NULL;
}

static int64_t get_now(struct csn_call *call)
{
    return (int64_t)(clock_wall() / CLOCK_S);
}

static int get_left(struct csn_call *call)
{
    return clock_left_ms(of(call)->head.deadline);
}

static const char *get_problem(struct csn_call *call)
{
    return of(call)->problem;
}

static void explain(struct csn_call *call, const char *text)
{
    snprintf(of(call)->problem, PROBLEM_TEXT, "%s", text ? text : "");
}

static void put_log(struct csn_call *call, int level, const char *text)
{
    worker_log(of(call), level, text);
}

/* ── answer ──────────────────────────────────────────────────────────────────────────────────────────── */

static size_t answer_most(const struct worker_call *call)
{
    size_t limit = (size_t)call->cell->spec.output_kb * 1024;
    return limit && limit < FRAME_WORKER_MAX - 4096 ? limit : FRAME_WORKER_MAX - 4096;
}

/* The bound counts every value that was ever set, with its whole pointer: never less than the text will be. */
static int set_value(struct worker_call *call, const char *pointer, json_t *value)
{
    size_t size = value ? json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) : 0;
    size_t cost = size + 6 * (pointer ? strnlen(pointer, FRAME_WORKER_MAX) : 0) + 16;
    if (!value || call->answer_size + cost > answer_most(call)) return json_decref(value), 0;
    if (!pointer_set(&call->answer, pointer, value)) return 0;
    call->answer_size += cost;
    return 1;
}

static int set_text(struct csn_call *call, const char *pointer, const char *text)
{
    return text ? set_value(of(call), pointer, json_string(text)) : 0;
}

static int set_integer(struct csn_call *call, const char *pointer, int64_t value)
{
    return set_value(of(call), pointer, json_integer(value));
}

static int set_boolean(struct csn_call *call, const char *pointer, int value)
{
    return set_value(of(call), pointer, json_boolean(value));
}

static int set_json(struct csn_call *call, const char *pointer, const char *json)
{
    size_t length = json ? strnlen(json, FRAME_WORKER_MAX) : 0;
    if (!length || length == FRAME_WORKER_MAX) return 0;
    return set_value(of(call), pointer, json_loadb(json, length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL));
}

/* The text of a failure is for the caller: bytes that are no UTF-8 would make the whole reply malformed. */
static json_t *caller_text(const char *text)
{
    char kept[1024];
    size_t used = 0;
    for (size_t step; text && *text && used < sizeof kept - 4; text += step ? step : 1) {
        step = utf8_step(text, strnlen(text, 4));
        memcpy(kept + used, step ? text : "?", step ? step : 1);
        used += step ? step : 1;
    }
    return json_stringn(kept, used);
}

static int reply(struct worker_call *call, const char *class, const char *text, bool clean)
{
    if (call->answered) return -1;
    call->answered = true;
    json_t *frame = json_pack("{s:s}", "class", class);
    if (text) json_object_set_new(frame, "text", caller_text(mask_text(call, text)));
    mask_answer(call, &call->answer);
    if (call->retry_after > 0) json_object_set_new(frame, "retry_after", json_integer(call->retry_after));
    if (call->answer) json_object_set(frame, "answer", call->answer);
    char *bytes = json_dumps(frame, JSON_COMPACT);
    json_decref(frame);
    if (!bytes) _exit(WORKER_NO_MEMORY);
    size_t length = strlen(bytes);
    if (length > FRAME_WORKER_MAX) _exit(WORKER_TOO_LARGE);
    worker_over(call, clean);
    worker_send(call, FRAME_REPLY, bytes, length, NULL, 0);
    free(bytes);
    return 0;
}

static int end_ok(struct csn_call *call)
{
    of(call)->retry_after = 0;
    return reply(of(call), "ok", NULL, false);
}

static void set_retry_after(struct csn_call *call, int seconds)
{
    of(call)->retry_after = seconds < 0 ? 0 : seconds;
}

static int end_fail(struct csn_call *call, int status, const char *text)
{
    static const char *const classes[] = {[CSN_REJECTED] = "rejected",
                                          [CSN_RETRY] = "retryable",
                                          [CSN_UNKNOWN] = "unknown",
                                          [CSN_BAD_INPUT] = "bad_input"};
    bool known = status >= CSN_REJECTED && status <= CSN_BAD_INPUT;
    return reply(of(call), known ? classes[status] : "unknown", text ? text : "", known && status != CSN_UNKNOWN);
}

/* ── the table ───────────────────────────────────────────────────────────────────────────────────────── */

void services_fill(struct worker_call *call)
{
    const struct csn_helpers *helpers = call->cell->helpers;
    call->services = (struct csn_services){.size = sizeof call->services,
                                           .abi = CSN_ABI,
                                           .input = get_input,
                                           .integer = get_integer,
                                           .boolean = get_boolean,
                                           .count = get_count,
                                           .key = get_key,
                                           .blob = get_blob,
                                           .json = get_json,
                                           .secret = get_secret,
                                           .setting = get_setting,
                                           .call_id = get_call_id,
                                           .trace = get_trace,
                                           .now = get_now,
                                           .left = get_left,
                                           .dial = worker_dial,
                                           .problem = get_problem,
                                           .commit = worker_commit,
                                           .log = put_log,
                                           .set = set_text,
                                           .set_integer = set_integer,
                                           .set_boolean = set_boolean,
                                           .set_json = set_json,
                                           .ok = end_ok,
                                           .retry_after = set_retry_after,
                                           .fail = end_fail,
                                           .explain = explain};
    if (!helpers) return;
    call->services.http = helpers->http;
    call->services.mail = helpers->mail;
    call->services.hmac_sha256 = helpers->hmac_sha256;
    call->services.base64 = helpers->base64;
    call->services.unbase64 = helpers->unbase64;
}
