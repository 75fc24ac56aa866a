/* SPDX-License-Identifier: Apache-2.0 */
/* One record's bytes as docs/audit-format.md wants them, and the facts in them that the verifier compares. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ids.h"

enum body_fact {
    BODY_ACT = 1 << 0,
    BODY_AT = 1 << 1,
    BODY_ATTEMPT = 1 << 2,
    BODY_CALL = 1 << 3,
    BODY_CLASS = 1 << 4,
    BODY_FROM = 1 << 5,
    BODY_INTENT = 1 << 6,
    BODY_KIND = 1 << 7,
    BODY_PERSONAL = 1 << 8,
    BODY_SENT = 1 << 9,
    BODY_TO = 1 << 10,
    BODY_V = 1 << 11,
    BODY_NEW = 1 << 12,
    BODY_OLD = 1 << 13,
    BODY_OLD_ORIGIN = 1 << 14,
    BODY_TARGET = 1 << 15,
    BODY_SIGN = 1 << 16,
    BODY_ABOUT = 1 << 17,
    BODY_WHAT = 1 << 18,
    BODY_STAYS = 1 << 19,
    BODY_PAYLOAD = 1 << 20,
    BODY_WORKSPACE = 1 << 21
};

/* What stood in a body; seen has a bit per fact. Texts are cut nowhere: one that does not fit is a fault. */
struct body {
    uint32_t seen;
    int64_t at, attempt, from, intent, to, v;
    char act[32], class[16], kind[24], sent[8];
    uint8_t workspace_id[ID_BYTES]; /* of intent */
    uint8_t call[ID_BYTES], personal[HASH_BYTES], about[HASH_BYTES];
    char new[256], old[256], sign[129]; /* of key_roll: verifier keys, and the old one's word for the new one */
    int64_t stays;                      /* of prune: how many entries of its range are left as they are */
    char what[8];                       /* and of the others: "bodies" or "hashes" go */
    char payload[HASH_TEXT];            /* a digest, or in a word why nothing is kept */
    char old_origin[128], target[128];  /* of epoch: names of logs */
};

/* Strict: one object, no white space, keys sorted and once, integers only, UTF-8. err says what is wrong. */
bool body_read(const unsigned char *bytes, size_t length, struct body *body, struct err *err);

/* The number of a kind's name in the table of the format, 0 when it has none; and back, "?" when there is none. */
enum { KIND_NONE, KIND_INTENT, KIND_OUTCOME, KIND_PRUNE = 7, KIND_KEY_ROLL, KIND_EPOCH = 13 };
int64_t body_kind_number(const char *name);
const char *body_kind_name(int64_t number);
