/* SPDX-License-Identifier: Apache-2.0 */
/* A token bucket per caller. */
#include "rate.h"

#include "base/clock.h"

static uint64_t hash(const char *text)
{
    uint64_t value = UINT64_C(14695981039346656037); /* FNV-1a: names of callers are not chosen by the callers */
    for (; *text; text++) value = (value ^ (unsigned char)*text) * UINT64_C(1099511628211);
    return value;
}

bool rate_take(struct rates *rates, const char *who, uint32_t per_second, uint32_t burst, uint64_t now)
{
    if (per_second == 0) return true;
    uint64_t name = hash(who), full = (uint64_t)(burst ? burst : per_second) * 1000;
    unsigned at = (unsigned)(name % RATE_SLOTS);
    if (rates->slots[at].who != name) {
        rates->slots[at].who = name;
        rates->slots[at].at = now;
        rates->slots[at].left = full;
    }
    uint64_t passed = now - rates->slots[at].at;
    uint64_t more = passed > 3600 * CLOCK_S ? full : passed / 1000 * per_second / 1000;
    if (more) rates->slots[at].at = now;
    rates->slots[at].left += more;
    if (rates->slots[at].left > full) rates->slots[at].left = full;
    if (rates->slots[at].left < 1000) return false;
    rates->slots[at].left -= 1000;
    return true;
}

void rate_give(struct rates *rates, const char *who)
{
    uint64_t name = hash(who);
    unsigned at = (unsigned)(name % RATE_SLOTS);
    if (rates->slots[at].who == name) rates->slots[at].left += 1000;
}
