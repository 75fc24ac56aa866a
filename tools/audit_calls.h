/* SPDX-License-Identifier: Apache-2.0 */
/* The order of every call's records: one intent per attempt, at most one outcome after it, attempts one by one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "audit_ranges.h"
#include "base/err.h"
#include "base/ids.h"

struct audit_call {
    uint8_t id[ID_BYTES];
    uint32_t attempt;         /* 0: this place is free */
    uint32_t workspace;       /* keyed hash of its id; 0: nobody knows */
    uint64_t intent, outcome; /* index + 1; 0: none yet */
};
struct audit_calls {
    uint8_t key[16];
    struct {
        uint8_t name[ID_BYTES + 4];
        uint64_t hash;
    } last;                     /* that was looked for */
    uint64_t count, open, room; /* room: a power of two */
    struct audit_call *places;
    bool continued; /* the log follows another: attempts before the first that is seen may stand there */
    const struct audit_ranges *dropped; /* entries that nobody can see any more, so far; NULL: none */
};

/* expected: how many there may be, so that the table need not grow; a hint only. */
bool audit_calls_init(struct audit_calls *calls, uint64_t expected, struct err *err);
void audit_calls_clear(struct audit_calls *calls);
/* A hint that this attempt comes next: its place is fetched meanwhile. id NULL: none does. */
void audit_calls_soon(struct audit_calls *calls, const uint8_t id[ID_BYTES], int64_t attempt);
/* workspace: its id, as the row says; NULL: it says none. An outcome stands in its intent's. */
bool audit_calls_intent(struct audit_calls *calls, const uint8_t id[ID_BYTES], int64_t attempt, uint64_t index,
                        const uint8_t *workspace, struct err *err);
/* intent: the index that the outcome names; -1: its bytes are pruned, nobody knows. */
bool audit_calls_outcome(struct audit_calls *calls, const uint8_t id[ID_BYTES], int64_t attempt, uint64_t index,
                         int64_t intent, const uint8_t *workspace, struct err *err);
