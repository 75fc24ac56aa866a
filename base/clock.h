/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines on the monotonic clock, wall time for records, and a clock that tests can set. */
#pragma once

#include <stdint.h>

#define CLOCK_MS UINT64_C(1000000)
#define CLOCK_S UINT64_C(1000000000)

/* Nanoseconds since boot (CLOCK_MONOTONIC): the same number in every process of this machine. */
uint64_t clock_now(void);
/* Nanoseconds since 1970 (CLOCK_REALTIME). */
uint64_t clock_wall(void);
/* Milliseconds until a deadline, rounded up, 0 when it has passed, at most INT32_MAX: what poll(2) takes. */
int clock_left_ms(uint64_t deadline);

/* Tests only: both clocks stand at these values until set again; zeros give the real clocks back. */
void clock_set(uint64_t monotonic, uint64_t wall);
