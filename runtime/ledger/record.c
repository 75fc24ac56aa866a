/* SPDX-License-Identifier: Apache-2.0 */
/* A record's exact bytes. */
#include "record.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static const char *const kind_names[RECORD_KINDS] = {"none",    "intent", "outcome", "refused",  "incident",
                                                     "admin",   "erase",  "prune",   "key_roll", "gap",
                                                     "recover", "lease",  "opened",  "epoch"};

const char *record_kind_name(enum record_kind kind)
{
    return (unsigned)kind < RECORD_KINDS ? kind_names[kind] : "none";
}

void record_init(struct record *record)
{
    buf_init(&record->values, RECORD_MAX);
    buf_reserve(&record->values, RECORD_USUAL); /* should that fail, so will the first field, and be remembered */
    record->count = 0;
    record->broken = false;
}

void record_clear(struct record *record)
{
    buf_clear(&record->values);
    record->count = 0;
}

static size_t start(const struct record *record)
{
    return record->values.used;
}

static void finish(struct record *record, const char *key, size_t from, bool ok)
{
    if (!ok || record->count == RECORD_FIELDS) {
        record->broken = true;
        return;
    }
    record->fields[record->count].key = key;
    record->fields[record->count].from = from;
    record->fields[record->count++].length = record->values.used - from;
}

void record_int(struct record *record, const char *key, int64_t value)
{
    size_t from = start(record);
    finish(record, key, from, buf_print(&record->values, "%lld", (long long)value));
}

void record_json(struct record *record, const char *key, const char *value, size_t length)
{
    size_t from = start(record);
    finish(record, key, from, buf_add(&record->values, value, length));
}

/* ── strings ───────────────────────────────────────────────────────────────────────────────────────── */

static bool add_character(struct buf *out, const char *text, size_t length)
{
    unsigned char first = (unsigned char)*text;
    if (length == 0) return buf_add(out, "\xef\xbf\xbd", 3);
    if (length > 1) return buf_add(out, text, length);
    if (first == '"' || first == '\\') return buf_add(out, "\\", 1) && buf_add(out, text, 1);
    if (first < 0x20 || first == 0x7f) return buf_print(out, "\\u%04x", first);
    return buf_add(out, text, 1);
}

void record_text(struct record *record, const char *key, const char *value)
{
    size_t from = start(record);
    bool ok = buf_add(&record->values, "\"", 1);
    for (size_t at = 0, end = strlen(value); ok && at < end;) {
        size_t length = utf8_step(value + at, end - at);
        ok = add_character(&record->values, value + at, length);
        at += length ? length : 1;
    }
    finish(record, key, from, ok && buf_add(&record->values, "\"", 1));
}

void record_hex(struct record *record, const char *key, const void *bytes, size_t count)
{
    char text[2 * 256 + 1];
    if (count > 256) {
        record->broken = true;
        return;
    }
    hex_text(bytes, count, text);
    record_text(record, key, text);
}

void record_id(struct record *record, const char *key, const uint8_t id[ID_BYTES])
{
    char text[ID_TEXT];
    id_text(id, text);
    record_text(record, key, text);
}

/* ── bytes ─────────────────────────────────────────────────────────────────────────────────────────── */

static void sort_fields(struct record *record, unsigned char order[RECORD_FIELDS])
{
    for (unsigned i = 0; i < record->count; i++) {
        unsigned at = i;
        for (; at && strcmp(record->fields[order[at - 1]].key, record->fields[i].key) > 0; at--)
            order[at] = order[at - 1];
        order[at] = (unsigned char)i;
    }
}

bool record_bytes(struct record *record, struct buf *out)
{
    unsigned char order[RECORD_FIELDS];
    if (record->broken) return false;
    sort_fields(record, order);
    bool ok = buf_reserve(out, record->values.used + RECORD_USUAL / 2) && buf_add(out, "{", 1);
    const char *last = NULL;
    for (unsigned i = 0; ok && i < record->count; i++) {
        const char *key = record->fields[order[i]].key;
        if (last && strcmp(last, key) == 0) return false;
        ok = buf_text(out, last ? ",\"" : "\"") && buf_text(out, key) && buf_text(out, "\":") &&
             buf_add(out, record->values.bytes + record->fields[order[i]].from, record->fields[order[i]].length);
        last = key;
    }
    return ok && buf_add(out, "}", 1) && out->used <= RECORD_MAX;
}
