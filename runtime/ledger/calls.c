/* SPDX-License-Identifier: Apache-2.0 */
/* The calls that are running. */
#include "calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The last bytes of a UUIDv7 are random. */
static unsigned bucket_of(const uint8_t id[ID_BYTES])
{
    uint32_t random;
    memcpy(&random, id + ID_BYTES - sizeof random, sizeof random);
    return random % CALLS_BUCKETS;
}

static unsigned share_start(const char *connector)
{
    unsigned hash = 0;
    for (const char *c = connector; *c; c++) hash = hash * 31 + (unsigned char)*c;
    return hash % CALLS_BUCKETS;
}

/* At most half as many calls as shares run, so there is always one with count 0. A name may leave older places of
 * its own behind that are empty: the search goes on until a place that was never used. */
static struct share *share_of(const struct calls *calls, const char *connector, struct share **empty)
{
    unsigned at = share_start(connector);
    *empty = NULL;
    for (unsigned i = 0; i < CALLS_BUCKETS; i++, at = (at + 1) % CALLS_BUCKETS) {
        struct share *share = (struct share *)&calls->shares[at];
        if (share->count && strcmp(share->connector, connector) == 0) return share;
        if (!share->count && !*empty) *empty = share;
        if (!share->connector[0]) return NULL;
    }
    return NULL;
}

static struct share *take_share(struct calls *calls, const char *connector)
{
    struct share *empty, *share = share_of(calls, connector, &empty);
    if (!share) {
        share = empty;
        snprintf(share->connector, sizeof share->connector, "%s", connector);
    }
    share->count++;
    return share;
}

struct running *calls_add(struct calls *calls, const struct store_call *call)
{
    if (calls->count >= CALLS_BUCKETS / 2) return NULL;
    struct running *run = calloc(1, sizeof *run);
    if (!run) return NULL;
    run->call = *call;
    run->share = take_share(calls, call->connector);
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
    run->share->count--;
    free(run->answer);
    buf_clear(&run->reply);
    free(run);
}

void calls_clear(struct calls *calls)
{
    while (calls->first) calls_remove(calls, calls->first); /* NOLINT: the first has none before it, so it changes */
}

unsigned calls_of_connector(const struct calls *calls, const char *connector)
{
    struct share *empty;
    const struct share *share = share_of(calls, connector, &empty);
    return share ? share->count : 0;
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
