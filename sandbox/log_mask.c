/* SPDX-License-Identifier: Apache-2.0 */
/* The log of a call: one line, control characters escaped, and no written form of this call's secrets in it. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "worker.h"

/* ANSWERED: shorter ones would be found in answers by chance, and are no secrets. */
enum { SHORTEST = 4, ANSWERED = 6, MASKED_TEXT = 16 * 1024 };
static const char mask[] = "[secret]";
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ── the forms in which a secret may be written ──────────────────────────────────────────────────────── */

static void add_needle(struct worker_call *call, const char *text, size_t length, bool any_case)
{
    if (length < SHORTEST || call->needle_count == NEEDLES) return;
    char *copy = malloc(length + 1);
    if (!copy) return;
    memcpy(copy, text, length);
    copy[length] = 0;
    call->needles[call->needle_count++] = (struct needle){copy, length, any_case, false};
}

static void add_hex(struct worker_call *call, const char *value, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    char text[2 * FRAME_SECRET_MAX];
    for (size_t i = 0; i < length; i++) {
        text[2 * i] = digits[(unsigned char)value[i] >> 4];
        text[2 * i + 1] = digits[(unsigned char)value[i] & 15];
    }
    add_needle(call, text, 2 * length, true);
}

/* As it looks inside a longer base64 text that starts shift bytes earlier: only the characters that it fixes alone. */
static void add_base64(struct worker_call *call, const char *value, size_t length, size_t shift, bool url)
{
    char text[4 * FRAME_SECRET_MAX / 3 + 8];
    size_t first = (shift * 8 + 5) / 6, end = (shift + length) * 8 / 6, used = 0;
    for (size_t i = first; i < end; i++) {
        size_t bit = i * 6 - shift * 8, at = bit / 8;
        unsigned pair = (unsigned char)value[at] << 8 | (at + 1 < length ? (unsigned char)value[at + 1] : 0);
        char one = alphabet[pair >> (10 - bit % 8) & 63];
        text[used++] = !url ? one : one == '+' ? '-' : one == '/' ? '_' : one;
    }
    add_needle(call, text, used, false);
}

/* Percent-encoded with the unreserved characters of RFC 3986 left as they are; form: space becomes a plus. */
static void add_percent(struct worker_call *call, const char *value, size_t length, bool form)
{
    char text[3 * FRAME_SECRET_MAX + 1];
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char one = (unsigned char)value[i];
        bool plain = (one >= '0' && one <= '9') || (one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z') ||
                     (one && strchr("-._~", one));
        if (plain)
            text[used++] = (char)one;
        else if (form && one == ' ')
            text[used++] = '+';
        else
            used += (size_t)snprintf(text + used, 4, "%%%02X", one);
    }
    add_needle(call, text, used, true);
}

static int longer_first(const void *a, const void *b)
{
    const struct needle *one = a, *two = b;
    return (one->length < two->length) - (one->length > two->length);
}

static void add_forms(struct worker_call *call, const char *value, size_t length)
{
    add_needle(call, value, length, false);
    add_hex(call, value, length);
    for (size_t shift = 0; shift < 3; shift++) {
        add_base64(call, value, length, shift, false);
        add_base64(call, value, length, shift, true);
    }
    add_percent(call, value, length, false);
    add_percent(call, value, length, true);
}

/* Fields that the manifest does not call secret, such as a user's name, may stand in answers. */
static bool is_open(const struct cell_spec *spec, const char *field)
{
    for (uint32_t i = 0; i < spec->open_count && i < CELL_FIELDS; i++)
        if (strcmp(spec->open_fields[i], field) == 0) return true;
    return false;
}

static void make_needles(struct worker_call *call)
{
    const struct frame_secret *frame = &call->secret.frame;
    for (uint32_t i = 0; i < frame->field_count; i++) {
        size_t length = frame->fields[i].length;
        unsigned first = call->needle_count;
        if (length < SHORTEST) continue;
        add_forms(call, frame->bytes + frame->fields[i].offset, length);
        bool in_answers = length >= ANSWERED && !is_open(&call->cell->spec, frame->fields[i].name);
        for (unsigned n = first; n < call->needle_count; n++) call->needles[n].in_answers = in_answers;
    }
    qsort(call->needles, call->needle_count, sizeof *call->needles, longer_first);
    for (unsigned i = 0; i < call->needle_count; i++) {
        unsigned char first = (unsigned char)call->needles[i].text[0];
        call->starts[first] = true;
        if (call->needles[i].any_case) call->starts[tolower(first)] = call->starts[toupper(first)] = true;
    }
}

void worker_log_end(struct worker_call *call)
{
    for (unsigned i = 0; i < call->needle_count; i++) {
        explicit_bzero(call->needles[i].text, call->needles[i].length);
        free(call->needles[i].text);
    }
    call->needle_count = 0;
    memset(call->starts, 0, sizeof call->starts);
}

/* ── one line ────────────────────────────────────────────────────────────────────────────────────────── */

const struct needle *needle_at(struct worker_call *call, const char *text, size_t left, bool answers)
{
    if (!call->needle_count && call->secret.frame.field_count) make_needles(call);
    if (!left || !call->starts[(unsigned char)*text]) return NULL;
    for (unsigned i = 0; i < call->needle_count; i++) {
        const struct needle *one = &call->needles[i];
        if (one->length > left || (answers && !one->in_answers)) continue;
        int differ = one->any_case ? strncasecmp(text, one->text, one->length) : memcmp(text, one->text, one->length);
        if (differ == 0) return one;
    }
    return NULL;
}

/* Control characters, and what changes the direction of a line, as \u escapes. */
static size_t escape(const char *text, size_t length, char out[8])
{
    unsigned char first = (unsigned char)*text;
    size_t step = utf8_step(text, length);
    if (step == 0) return (size_t)snprintf(out, 8, "\\x%02x", first);
    if (step == 1 && (first < 0x20 || first == 0x7f)) return (size_t)snprintf(out, 8, "\\u%04x", first);
    if (step == 3 && first == 0xe2) {
        unsigned point = 0x2000u | (unsigned)(text[1] & 0x3f) << 6 | (unsigned)(text[2] & 0x3f);
        if ((point >= 0x200e && point <= 0x200f) || (point >= 0x2028 && point <= 0x202e) ||
            (point >= 0x2066 && point <= 0x2069))
            return (size_t)snprintf(out, 8, "\\u%04x", point);
    }
    if (step == 2 && first == 0xc2 && (unsigned char)text[1] < 0xa0)
        return (size_t)snprintf(out, 8, "\\u%04x", (unsigned char)text[1]);
    memcpy(out, text, step);
    return step;
}

static size_t write_line(struct worker_call *call, const char *text, size_t length, char line[FRAME_LOG_MAX])
{
    size_t used = 0;
    for (size_t at = 0; at < length;) {
        char piece[16];
        size_t put;
        const struct needle *hit = needle_at(call, text + at, length - at, false);
        if (hit) {
            put = sizeof mask - 1;
            memcpy(piece, mask, put);
            at += hit->length;
        } else {
            put = escape(text + at, length - at, piece);
            size_t step = utf8_step(text + at, length - at);
            at += step ? step : 1;
        }
        if (used + put > FRAME_LOG_MAX) break;
        memcpy(line + used, piece, put);
        used += put;
    }
    return used;
}

void worker_log(struct worker_call *call, int level, const char *text)
{
    static const char full[] = "more was logged than this connector may log";
    char line[FRAME_LOG_MAX];
    size_t most = (size_t)(call->cell->spec.log_kb ? call->cell->spec.log_kb : 64) * 1024;
    struct frame_log head = {(uint32_t)(level < CSN_DEBUG || level > CSN_ERROR ? CSN_ERROR : level)};
    if (!text || call->logged > most) return;
    size_t used = write_line(call, text, strnlen(text, MASKED_TEXT), line);
    call->logged += used + sizeof head;
    if (call->logged > most) {
        head.level = CSN_WARN;
        used = sizeof full - 1;
        memcpy(line, full, used);
    }
    worker_send(call, FRAME_LOG, &head, sizeof head, line, used);
}
