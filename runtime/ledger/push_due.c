/* SPDX-License-Identifier: Apache-2.0 */
/* When a push is due: never sooner than [Push] Every= after the last, and never for what pushing itself has written. */
#include "push_due.h"

bool sink_wants(const struct sink *sink, uint64_t news, uint64_t now)
{
    return !sink->asked && news > sink->row.size && now >= sink->rests;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t push_due(const struct push *push, uint64_t signed_size, uint64_t now)
{
    uint64_t next = push->at ? push->at + push->every : now, due = 0;
    if (!push->count || !signed_size) return 0;
    if (push->now) return now;
    if (signed_size > push->seen) return later(next, 1); /* what is new there is not known yet */
    for (unsigned i = 0; i < push->count; i++) {
        const struct sink *sink = &push->sinks[i];
        uint64_t when = later(next, sink->rests);
        if (!sink->asked && push->news > sink->row.size && (!due || when < due)) due = when;
    }
    return due;
}

/* A call costs two entries each time: one that keeps failing is asked ever more seldom, unless calls wait for it. */
void sink_failed(struct sink *sink, uint64_t size, uint64_t every, uint64_t now)
{
    unsigned doublings = sink->failures < PUSH_RESTS ? sink->failures : PUSH_RESTS;
    bool calls = sink->kind == SINK_WEBHOOK || sink->kind == SINK_WITNESS;
    if (!sink->row.missed++) sink->row.from = size;
    sink->row.to = size;
    sink->failures++;
    sink->rests = calls && !sink->required ? now + (every << doublings) : 0;
}
