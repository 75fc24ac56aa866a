/* SPDX-License-Identifier: Apache-2.0 */
/* Counters for /metrics, in Prometheus' text format. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "runtime/messages.h"

enum { DURATION_BUCKETS = 12, STATUS_CLASSES = 6 };

struct metrics {
    _Atomic uint64_t calls[CLASS_COUNT][SENT_COUNT];
    _Atomic uint64_t replays, refusals, unrecorded;
    _Atomic uint64_t durations[DURATION_BUCKETS + 1]; /* not cumulative; the last one is +Inf */
    _Atomic uint64_t duration_us;
    _Atomic uint64_t requests[STATUS_CLASSES]; /* by the first digit of the status */
};

void metrics_call(struct metrics *metrics, unsigned class, unsigned sent, uint64_t duration_ns);
void metrics_request(struct metrics *metrics, int status);

struct front;
bool metrics_print(struct front *front, struct buf *out);
