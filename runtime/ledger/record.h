/* SPDX-License-Identifier: Apache-2.0 */
/* A record's exact bytes: one JSON object, sorted keys, compact, integers only (docs/audit-format.md). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ids.h"

/* Numbers of kinds stand in the database: never reuse one. */
enum record_kind {
    RECORD_NONE,
    RECORD_INTENT,
    RECORD_OUTCOME,
    RECORD_REFUSED,
    RECORD_INCIDENT,
    RECORD_ADMIN,
    RECORD_ERASE,
    RECORD_PRUNE,
    RECORD_KEY_ROLL,
    RECORD_GAP,
    RECORD_RECOVER,
    RECORD_LEASE,
    RECORD_OPENED,
    RECORD_EPOCH,
    RECORD_KINDS
};

enum { RECORD_MAX = 65535, RECORD_FIELDS = 48, RECORD_USUAL = 1000 };

/* Fields in any order; they are sorted when the bytes are made. A fault (no room, a key twice) is remembered and
 * makes record_bytes fail, so that adding needs no check. Keys must outlive the record. */
struct record {
    struct buf values;
    unsigned count;
    bool broken;
    struct {
        const char *key;
        size_t from, length;
    } fields[RECORD_FIELDS];
};

void record_init(struct record *record);
void record_clear(struct record *record);
#define RECORD_AUTO __attribute__((cleanup(record_clear))) struct record

void record_int(struct record *record, const char *key, int64_t value);
/* Control characters and '"' '\\' are escaped; what is not UTF-8 becomes U+FFFD. */
void record_text(struct record *record, const char *key, const char *value);
void record_hex(struct record *record, const char *key, const void *bytes, size_t count);
void record_id(struct record *record, const char *key, const uint8_t id[ID_BYTES]);
/* value: JSON that obeys the same rules. */
void record_json(struct record *record, const char *key, const char *value, size_t length);

bool record_bytes(struct record *record, struct buf *out);
const char *record_kind_name(enum record_kind kind);
