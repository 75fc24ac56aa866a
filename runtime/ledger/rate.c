/* SPDX-License-Identifier: Apache-2.0 */
/* A token bucket per caller. */
#include "rate.h"

#include <stddef.h>

#include "base/clock.h"

enum { PROBES = 16 };

static uint64_t hash(const char *text)
{
    uint64_t value = UINT64_C(14695981039346656037); /* FNV-1a: names of callers are not chosen by the callers */
    for (; *text; text++) value = (value ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return value;
}

static void refill(struct rate_slot *slot, uint32_t per_second, uint64_t full, uint64_t now)
{
    uint64_t passed = now - slot->at;
    uint64_t more = passed > 3600 * CLOCK_S ? full : passed / 1000 * per_second / 1000;
    if (more) slot->at = now;
    slot->left = slot->left + more > full ? full : slot->left + more;
}

/* A newcomer takes over what the one that was quiet for longest has left by now: callers who push each other out gain
 * nothing by it. */
static struct rate_slot *slot_of(struct rates *rates, uint64_t name, uint64_t full)
{
    struct rate_slot *oldest = NULL;
    for (unsigned i = 0; i < PROBES; i++) {
        struct rate_slot *slot = &rates->slots[(name + i) % RATE_SLOTS];
        if (slot->who == name) return slot;
        if (!oldest || slot->at < oldest->at) oldest = slot;
    }
    if (!oldest->who) oldest->left = full;
    oldest->who = name;
    return oldest;
}

bool rate_take(struct rates *rates, const char *who, uint32_t per_second, uint32_t burst, uint64_t now)
{
    if (per_second == 0) return true;
    uint64_t full = (uint64_t)(burst ? burst : per_second) * 1000;
    struct rate_slot *slot = slot_of(rates, hash(who), full);
    refill(slot, per_second, full, now);
    if (slot->left < 1000) return false;
    slot->left -= 1000;
    return true;
}

void rate_give(struct rates *rates, const char *who)
{
    uint64_t name = hash(who);
    for (unsigned i = 0; i < PROBES; i++)
        if (rates->slots[(name + i) % RATE_SLOTS].who == name) rates->slots[(name + i) % RATE_SLOTS].left += 1000;
}
