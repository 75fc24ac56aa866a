/* SPDX-License-Identifier: Apache-2.0 */
/* Which calls' orders were seen: each attempt of a call is released at most once. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "runtime/messages.h"

enum { USED_BUCKETS = 8192, USED_WAYS = 8 };

/* The last 65 536 of them or so, as keyed hashes; in a full bucket the oldest goes. */
struct used {
    uint8_t key[16];
    uint64_t marks[USED_BUCKETS][USED_WAYS];
    uint8_t next[USED_BUCKETS];
};

void used_init(struct used *used);
void used_add(struct used *used, const struct call_ref *call);
bool used_has(const struct used *used, const struct call_ref *call);
