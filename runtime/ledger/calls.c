/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that are running. */
#include "calls.h"

#include <stdlib.h>
#include <string.h>

/* The last bytes of a UUIDv7 are random. */
static unsigned bucket_of(const uint8_t id[ID_BYTES])
{
    uint32_t random;
    memcpy(&random, id + ID_BYTES - sizeof random, sizeof random);
    return random % CALLS_BUCKETS;
}

struct running *calls_add(struct calls *calls, const struct store_call *call)
{
    if (calls->count >= CALLS_BUCKETS / 2) return NULL;
    struct running *run = calloc(1, sizeof *run);
    if (!run) return NULL;
    run->call = *call;
    unsigned at = bucket_of(call->ref.id);
    while (calls->buckets[at]) at = (at + 1) % CALLS_BUCKETS;
    calls->buckets[at] = run;
    run->next = calls->first;
    if (run->next) run->next->previous = run;
    calls->first = run;
    calls->count++;
    return run;
}

struct running *calls_find(const struct calls *calls, const struct call_ref *ref)
{
    for (unsigned at = bucket_of(ref->id); calls->buckets[at]; at = (at + 1) % CALLS_BUCKETS) {
        const struct call_ref *here = &calls->buckets[at]->call.ref;
        if (here->attempt == ref->attempt && memcmp(here->id, ref->id, ID_BYTES) == 0) return calls->buckets[at];
    }
    return NULL;
}

/* Fills the gap again, so that every later one of the row is still found. */
static void close_gap(struct calls *calls, unsigned gap)
{
    for (unsigned at = (gap + 1) % CALLS_BUCKETS; calls->buckets[at]; at = (at + 1) % CALLS_BUCKETS) {
        struct running *moved = calls->buckets[at];
        unsigned home = bucket_of(moved->call.ref.id);
        if ((at + CALLS_BUCKETS - home) % CALLS_BUCKETS < (at + CALLS_BUCKETS - gap) % CALLS_BUCKETS) continue;
        calls->buckets[gap] = moved;
        calls->buckets[at] = NULL;
        gap = at;
    }
}

void calls_remove(struct calls *calls, struct running *run)
{
    unsigned at = bucket_of(run->call.ref.id);
    while (calls->buckets[at] && calls->buckets[at] != run) at = (at + 1) % CALLS_BUCKETS;
    if (calls->buckets[at]) {
        calls->buckets[at] = NULL;
        close_gap(calls, at);
    }
    if (run->previous)
        run->previous->next = run->next;
    else
        calls->first = run->next;
    if (run->next) run->next->previous = run->previous;
    calls->count--;
    free(run->answer);
    free(run);
}

void calls_clear(struct calls *calls)
{
    while (calls->first) calls_remove(calls, calls->first);
}

unsigned calls_of_connector(const struct calls *calls, const char *connector)
{
    unsigned count = 0;
    for (const struct running *run = calls->first; run; run = run->next)
        count += !strcmp(run->call.connector, connector);
    return count;
}

bool run_move(struct running *run, enum run_state to)
{
    static const bool allowed[RUN_STATES][RUN_STATES] = {
        [RUN_NEW] = {[RUN_OPEN] = true},
        [RUN_OPEN] = {[RUN_CLOSING] = true},
        [RUN_CLOSING] = {[RUN_READY] = true},
    };
    if (!allowed[run->state][to]) return false;
    run->state = to;
    return true;
}
