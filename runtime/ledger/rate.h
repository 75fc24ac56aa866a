/* SPDX-License-Identifier: Apache-2.0 */
/* A token bucket per caller, in a fixed table: where it is full, a new caller takes over the quietest one's bucket. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { RATE_SLOTS = 1024 };
struct rates {
    struct rate_slot {
        uint64_t who, at; /* hash of the name, 0: nobody; clock_now of the last refill */
        uint64_t left;    /* thousandths */
    } slots[RATE_SLOTS];
};

/* Takes one from the caller's bucket; false: it is empty. per_second 0: no limit. */
bool rate_take(struct rates *rates, const char *who, uint32_t per_second, uint32_t burst, uint64_t now);
/* Gives back what was just taken. */
void rate_give(struct rates *rates, const char *who);
