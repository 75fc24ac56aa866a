/* SPDX-License-Identifier: Apache-2.0 */
/* How many requests a second each caller may make: a small table of token buckets. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { RATE_BUCKETS = 1024 };

struct rates {
    pthread_mutex_t lock;
    _Atomic uint32_t rate, burst; /* a second; rate 0 = no limit */
    struct rate_bucket {
        uint64_t caller, at; /* at: when the tokens were counted, 0 = free */
        uint64_t tokens;     /* thousandths of a request */
    } buckets[RATE_BUCKETS];
};

void rates_init(struct rates *rates, uint32_t rate, uint32_t burst);
/* Other limits from now on; what callers have used up stays used up. */
void rates_change(struct rates *rates, uint32_t rate, uint32_t burst);
/* Takes cost requests from the caller's share. false: not now; *wait_s says when to come again. */
bool rate_take(struct rates *rates, uint64_t caller, unsigned cost, uint32_t *wait_s);
/* The same without taking: is there a share left? */
bool rate_left(struct rates *rates, uint64_t caller, uint32_t *wait_s);
