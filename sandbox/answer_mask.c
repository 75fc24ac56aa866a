/* SPDX-License-Identifier: Apache-2.0 */
/* What leaves a worker for a caller or a name server, without written forms of this call's secrets. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker.h"

static const char mask[] = "[secret]";

/* ── texts ───────────────────────────────────────────────────────────────────────────────────────────── */

/* The text with masks, or NULL when there is nothing to mask; size: what is written, without the NUL. */
static char *masked(struct worker_call *call, const char *text, size_t length, size_t *size)
{
    char *out = NULL;
    size_t used = 0;
    for (size_t at = 0; at < length;) {
        const struct needle *hit = needle_at(call, text + at, length - at, true);
        if (hit && !out) { /* a mask has 8 bytes, the shortest needle 6 */
            out = malloc(2 * length + sizeof mask);
            if (!out) _exit(WORKER_NO_MEMORY);
            memcpy(out, text, used = at);
        }
        if (hit) memcpy(out + used, mask, sizeof mask - 1);
        if (!hit && out) out[used] = text[at];
        used += hit ? sizeof mask - 1 : 1;
        at += hit ? hit->length : 1;
    }
    if (out) out[used] = 0;
    *size = used;
    return out;
}

const char *mask_text(struct worker_call *call, const char *text)
{
    size_t size;
    if (!text || !call->secret.frame.field_count) return text;
    char *out = masked(call, text, strlen(text), &size);
    if (!out) return text;
    const char *kept = call_keep(call, out, size);
    free(out);
    return kept;
}

/* ── answers ─────────────────────────────────────────────────────────────────────────────────────────── */

static void mask_value(struct worker_call *call, json_t **value);

static void mask_string(struct worker_call *call, json_t **value)
{
    size_t size;
    char *out = masked(call, json_string_value(*value), json_string_length(*value), &size);
    if (!out) return;
    json_decref(*value);
    *value = json_stringn(out, size);
    free(out);
}

static void mask_array(struct worker_call *call, json_t *array)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        json_t *item = json_incref(json_array_get(array, i));
        mask_value(call, &item);
        json_array_set_new(array, i, item);
    }
}

/* Made anew, since a member's name may be masked as well. */
static void mask_object(struct worker_call *call, json_t **object)
{
    const char *name;
    json_t *member, *fresh = json_object();
    size_t size;
    json_object_foreach(*object, name, member)
    {
        char *shown = masked(call, name, strlen(name), &size);
        json_t *copy = json_incref(member);
        mask_value(call, &copy);
        json_object_set_new(fresh, shown ? shown : name, copy);
        free(shown);
    }
    json_decref(*object);
    *object = fresh;
}

static void mask_value(struct worker_call *call, json_t **value)
{
    if (json_is_string(*value)) mask_string(call, value);
    if (json_is_array(*value)) mask_array(call, *value);
    if (json_is_object(*value)) mask_object(call, value);
}

void mask_answer(struct worker_call *call, json_t **value)
{
    if (*value && call->secret.frame.field_count) mask_value(call, value);
}

/* ── hosts ───────────────────────────────────────────────────────────────────────────────────────────── */

/* A name server sees letters of either case as the same, and long texts travel as several labels. */
bool mask_in_host(struct worker_call *call, const char *host)
{
    char joined[FRAME_HOST];
    size_t length = 0;
    for (const char *at = host; *at && length < sizeof joined - 1; at++)
        if (*at != '.') joined[length++] = *at;
    joined[length] = 0;
    if (!call->secret.frame.field_count) return false;
    needle_at(call, "", 0, true); /* the forms are made at the first look */
    for (unsigned i = 0; i < call->needle_count; i++)
        if (call->needles[i].in_answers &&
            (strcasestr(host, call->needles[i].text) || strcasestr(joined, call->needles[i].text)))
            return true;
    return false;
}
