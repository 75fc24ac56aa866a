/* SPDX-License-Identifier: Apache-2.0 */
/* Token buckets per caller. A full table forgets the caller that was quiet for longest, whose bucket is full again. */
#include "rate.h"

#include <string.h>

#include "base/clock.h"

enum { PROBES = 16, PART = 1000 };

void rates_init(struct rates *rates, uint32_t rate, uint32_t burst)
{
    memset(rates, 0, sizeof *rates);
    pthread_mutex_init(&rates->lock, NULL);
    rates_change(rates, rate, burst);
}

void rates_change(struct rates *rates, uint32_t rate, uint32_t burst)
{
    rates->burst = burst ? burst : rate;
    rates->rate = rate;
}

static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 31) * UINT64_C(0x7fb5d329728ea185);
    value = (value ^ value >> 27) * UINT64_C(0x81dadef4bc2dd44d);
    return value ^ value >> 33;
}

static struct rate_bucket *bucket_of(struct rates *rates, uint64_t caller, uint64_t now)
{
    uint64_t start = mix(caller);
    struct rate_bucket *oldest = NULL;
    for (unsigned i = 0; i < PROBES; i++) {
        struct rate_bucket *bucket = &rates->buckets[(start + i) % RATE_BUCKETS];
        if (bucket->at && bucket->caller == caller) return bucket;
        if (!oldest || bucket->at < oldest->at) oldest = bucket;
    }
    *oldest = (struct rate_bucket){.caller = caller, .at = now, .tokens = (uint64_t)rates->burst * PART};
    return oldest;
}

static void refill(const struct rates *rates, struct rate_bucket *bucket, uint64_t now)
{
    uint64_t full = (uint64_t)rates->burst * PART, passed_ms = (now - bucket->at) / CLOCK_MS;
    if (passed_ms > 3600 * 1000) passed_ms = 3600 * 1000;
    bucket->tokens += passed_ms * rates->rate; /* rate a second = rate thousandths a millisecond */
    if (bucket->tokens > full) bucket->tokens = full;
    bucket->at += passed_ms * CLOCK_MS;
}

/* Takes cost if at least want are there. */
static bool take_if(struct rates *rates, uint64_t caller, unsigned want, unsigned cost, uint32_t *wait_s)
{
    uint32_t rate = rates->rate; /* once: a reload may change it to none */
    if (!rate) return true;
    uint64_t now = clock_now(), need = (uint64_t)want * PART;
    pthread_mutex_lock(&rates->lock);
    struct rate_bucket *bucket = bucket_of(rates, caller, now);
    refill(rates, bucket, now);
    bool enough = bucket->tokens >= need;
    if (enough)
        bucket->tokens -= (uint64_t)cost * PART;
    else
        *wait_s = (uint32_t)((need - bucket->tokens) / ((uint64_t)rate * PART)) + 1;
    pthread_mutex_unlock(&rates->lock);
    return enough;
}

bool rate_take(struct rates *rates, uint64_t caller, unsigned cost, uint32_t *wait_s)
{
    return take_if(rates, caller, cost, cost, wait_s);
}

bool rate_left(struct rates *rates, uint64_t caller, uint32_t *wait_s)
{
    return take_if(rates, caller, 1, 0, wait_s);
}
