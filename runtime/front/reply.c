/* SPDX-License-Identifier: Apache-2.0 */
/* Frames from a worker, byte by byte, and the reply inside. */
#include "reply.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "seal.h"
#include "weigh.h"

enum { FLOOD_EXTRA = 1024 * 1024 }; /* of log that is read and thrown away before the call is ended for it */

#define INTEGER_MOST (INT64_C(1) << 53) /* what every JSON reader keeps exactly (RFC 8259 §6) */

void reply_init(struct reply_reader *reader, const uint8_t call_id[ID_BYTES], uint32_t output_kb, uint32_t log_kb,
                log_taker *log, void *context)
{
    size_t output = output_kb ? (size_t)output_kb * 1024 : FRAME_WORKER_MAX;
    memset(reader, 0, sizeof *reader);
    reader->call_id = call_id;
    reader->reply_most = output < FRAME_WORKER_MAX ? output : FRAME_WORKER_MAX;
    reader->log_left = log_kb ? (size_t)log_kb * 1024 : 64 * 1024;
    reader->log_flood = reader->log_left + FLOOD_EXTRA;
    reader->log = log;
    reader->context = context;
    buf_init(&reader->body, FRAME_WORKER_MAX);
}

void reply_clear(struct reply_reader *reader)
{
    buf_clear(&reader->body);
}

enum reply_state reply_break(struct reply_reader *reader, enum call_reason reason, const char *text)
{
    reader->state = REPLY_BROKEN;
    reader->reason = reason;
    err_set(&reader->err, ERR_PROTOCOL, "%s", text);
    return REPLY_BROKEN;
}

static enum reply_state wrong(struct reply_reader *reader, const char *text)
{
    return reply_break(reader, REASON_PROTOCOL_ERROR, text);
}

/* ── frames ────────────────────────────────────────────────────────────────────────────────────────── */

static enum reply_state check_head(struct reply_reader *reader)
{
    const struct frame_head *head = &reader->head;
    if (head->version != FRAME_VERSION) return wrong(reader, "the connector sent a frame of another version");
    if (head->type != FRAME_LOG && head->type != FRAME_REPLY)
        return wrong(reader, "the connector sent a frame of a kind that it may not send");
    if (memcmp(head->call_id, reader->call_id, ID_BYTES) != 0)
        return wrong(reader, "the connector sent a frame for another call");
    if (head->type == FRAME_LOG &&
        (head->length < sizeof(struct frame_log) || head->length > sizeof(struct frame_log) + FRAME_LOG_MAX))
        return wrong(reader, "the connector sent a log frame of a wrong length");
    if (head->type == FRAME_REPLY && (head->length == 0 || head->length > FRAME_WORKER_MAX))
        return wrong(reader, "the connector sent a reply of a wrong length");
    if (head->type == FRAME_REPLY && head->length > reader->reply_most)
        return reply_break(reader, REASON_RESOURCE_LIMIT, "the connector's reply is larger than its output limit");
    return REPLY_MORE;
}

static enum reply_state take_log(struct reply_reader *reader)
{
    struct frame_log log;
    size_t length = reader->body.used - sizeof log, cost = reader->body.used + sizeof reader->head;
    memcpy(&log, reader->body.bytes, sizeof log);
    if (log.level > 3) return wrong(reader, "the connector sent a log line of an unknown level");
    if (cost > reader->log_flood) return reply_break(reader, REASON_RESOURCE_LIMIT, "the connector flooded the log");
    reader->log_flood -= cost;
    reader->log_lines++;
    if (reader->log_cut) return REPLY_MORE;
    reader->log_cut = cost > reader->log_left;
    reader->log_left -= reader->log_cut ? reader->log_left : cost;
    if (reader->log) reader->log(reader->context, log.level, reader->body.bytes + sizeof log, length, reader->log_cut);
    return REPLY_MORE;
}

/* The frame is complete. A reply stays in body; a log line is handed on and forgotten. */
static enum reply_state take_frame(struct reply_reader *reader)
{
    if (reader->head.type == FRAME_REPLY) return reader->state = REPLY_WHOLE;
    enum reply_state state = take_log(reader);
    reader->have = 0;
    reader->body.used = 0;
    return state;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* One step: as much of the head, or of the body, as is there. */
static enum reply_state step(struct reply_reader *reader, const char **at, size_t *left)
{
    if (reader->have < sizeof reader->head) {
        size_t count = smaller(*left, sizeof reader->head - reader->have);
        memcpy((char *)&reader->head + reader->have, *at, count);
        reader->have += count;
        *at += count;
        *left -= count;
        return reader->have == sizeof reader->head ? check_head(reader) : REPLY_MORE;
    }
    size_t count = smaller(*left, reader->head.length - reader->body.used);
    if (!buf_add(&reader->body, *at, count))
        return reply_break(reader, REASON_RESOURCE_LIMIT, "there is no memory for the connector's reply");
    *at += count;
    *left -= count;
    return reader->body.used == reader->head.length ? take_frame(reader) : REPLY_MORE;
}

enum reply_state reply_feed(struct reply_reader *reader, const void *bytes, size_t length)
{
    const char *at = bytes;
    while (length && reader->state != REPLY_BROKEN) {
        if (reader->state == REPLY_WHOLE) return wrong(reader, "the connector sent more than one reply");
        step(reader, &at, &length);
    }
    return reader->state;
}

/* ── the reply ─────────────────────────────────────────────────────────────────────────────────────── */

static bool refuse(struct err *err, const char *text)
{
    return err_set(err, ERR_PROTOCOL, "the connector's reply is not acceptable: %s", text);
}

/* Integers that another reader would round are refused, at any depth (json_read() bounds the depth). */
static bool numbers_exact(const json_t *value)
{
    const char *key;
    json_t *inner;
    size_t i;
    if (json_is_integer(value))
        return json_integer_value(value) <= INTEGER_MOST && json_integer_value(value) >= -INTEGER_MOST;
    if (json_is_array(value)) json_array_foreach((json_t *)value, i, inner) if (!numbers_exact(inner)) return false;
    if (json_is_object(value)) json_object_foreach((json_t *)value, key, inner) if (!numbers_exact(inner)) return false;
    return true;
}

static const struct word {
    const char *name;
    enum call_class class;
    enum call_reason reason;
} words[] = {
    {"ok", CLASS_OK, REASON_NONE},
    {"rejected", CLASS_REJECTED, REASON_REMOTE},
    {"retryable", CLASS_RETRYABLE, REASON_REMOTE},
    {"unknown", CLASS_LOST, REASON_REMOTE},
    {"bad_input", CLASS_BAD_INPUT, REASON_NONE},
};

static bool set_class(const json_t *value, struct worker_reply *reply, struct err *err)
{
    const char *name = json_string_value(value);
    for (unsigned i = 0; name && i < sizeof words / sizeof *words; i++)
        if (strcmp(name, words[i].name) == 0) {
            reply->class = words[i].class;
            reply->reason = words[i].reason;
            return true;
        }
    return refuse(err, "\"class\" is missing or unknown");
}

static bool set_text(const json_t *value, struct worker_reply *reply, struct err *err)
{
    if (value && !json_is_string(value)) return refuse(err, "\"text\" is no string");
    if (value) text_tame(json_string_value(value), json_string_length(value), reply->text, sizeof reply->text);
    return true;
}

static bool set_retry(const json_t *value, struct worker_reply *reply, struct err *err)
{
    json_int_t seconds = json_integer_value(value);
    if (!value) return true;
    if (!json_is_integer(value) || seconds < 0) return refuse(err, "\"retry_after\" is no number of seconds");
    reply->retry_after = (uint32_t)(seconds < RETRY_AFTER_MOST ? seconds : RETRY_AFTER_MOST);
    return true;
}

static bool known_members(const json_t *object, struct err *err)
{
    size_t known = 0;
    static const char *const names[] = {"class", "text", "retry_after", "answer"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++) known += json_object_get(object, names[i]) != NULL;
    return known == json_object_size(object) || refuse(err, "it has a member that nobody knows");
}

bool reply_parse(const struct reply_reader *reader, struct worker_reply *reply, struct err *err)
{
    JSON_AUTO *object = NULL;
    memset(reply, 0, sizeof *reply);
    if (reader->state != REPLY_WHOLE) return refuse(err, "it is not complete");
    sha256(reader->body.bytes, reader->body.used, reply->digest);
    reply->size = reader->body.used;
    if (!json_affordable(reader->body.bytes, reader->body.used)) return refuse(err, "it has too many values");
    if (!json_read(reader->body.bytes, reader->body.used, FRAME_WORKER_MAX, &object, err)) {
        err->kind = ERR_PROTOCOL;
        return err_in(err, "the connector's reply");
    }
    if (!json_is_object(object)) return refuse(err, "it is no object");
    if (!numbers_exact(object)) return refuse(err, "a number is beyond 2^53");
    if (!known_members(object, err) || !set_class(json_object_get(object, "class"), reply, err) ||
        !set_text(json_object_get(object, "text"), reply, err) ||
        !set_retry(json_object_get(object, "retry_after"), reply, err))
        return false;
    reply->answer = json_incref(json_object_get(object, "answer"));
    return true;
}

void worker_reply_clear(struct worker_reply *reply)
{
    json_decref(reply->answer);
    reply->answer = NULL;
}

/* ── text ──────────────────────────────────────────────────────────────────────────────────────────── */

static unsigned decode(const char *text, size_t step)
{
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned code = (unsigned char)text[0] & masks[step];
    for (size_t i = 1; i < step; i++) code = code << 6 | ((unsigned char)text[i] & 0x3f);
    return code;
}

/* Controls, marks that turn or hide writing, separators that some readers take for a new line. */
static bool unruly(unsigned code)
{
    return code < 0x20 || (code >= 0x7f && code <= 0x9f) || code == 0xad || code == 0x61c || code == 0x180e ||
           (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2060 && code <= 0x206f) || code == 0xfeff || (code >= 0xfff9 && code <= 0xfffb) ||
           (code >= 0xe0000 && code <= 0xe007f);
}

void text_tame(const char *text, size_t length, char *out, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < length;) {
        char piece[16];
        size_t step = utf8_step(text + i, length - i);
        unsigned code = step ? decode(text + i, step) : (unsigned char)text[i];
        int count = step && !unruly(code) ? snprintf(piece, sizeof piece, "%.*s", (int)step, text + i)
                                          : snprintf(piece, sizeof piece, step ? "\\u{%x}" : "\\x%02x", code);
        if (used + (size_t)count + 1 > size) break;
        memcpy(out + used, piece, (size_t)count);
        used += (size_t)count;
        i += step ? step : 1;
    }
    out[used] = '\0';
}
