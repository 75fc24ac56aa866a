/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines and wall time. */
#include "clock.h"

#include <time.h>

static uint64_t fixed_monotonic, fixed_wall;

static uint64_t read_clock(clockid_t id)
{
    struct timespec at;
    clock_gettime(id, &at);
    return (uint64_t)at.tv_sec * CLOCK_S + (uint64_t)at.tv_nsec;
}

uint64_t clock_now(void)
{
    return fixed_monotonic ? fixed_monotonic : read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_wall(void)
{
    return fixed_wall ? fixed_wall : read_clock(CLOCK_REALTIME);
}

int clock_left_ms(uint64_t deadline)
{
    uint64_t now = clock_now();
    if (deadline <= now) return 0;
    uint64_t left = (deadline - now + CLOCK_MS - 1) / CLOCK_MS;
    return left > INT32_MAX ? INT32_MAX : (int)left;
}

void clock_set(uint64_t monotonic, uint64_t wall)
{
    fixed_monotonic = monotonic;
    fixed_wall = wall;
}
