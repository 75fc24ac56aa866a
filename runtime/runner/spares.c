/* SPDX-License-Identifier: Apache-2.0 */
/* Workers that wait: spares, loaded ahead for one call each, and leases between two calls; and everybody's clock. */
#include "base/clock.h"
#include "runner.h"

void spares_refill(struct runner *runner, struct home *home)
{
    struct err err = {0};
    if (!home->entry || !home->called || runner->role->frozen || !home->up || home->closed_until > clock_now()) return;
    unsigned have = 0;
    for (int i = 0; i < WORKERS; i++) {
        const struct worker *worker = &runner->workers[i];
        if (worker->home == home && (worker->state == HELD_SPARE || (worker->state == HELD_MAKING && !worker->call)))
            have++;
    }
    for (; have < home->entry->lease.spares && home->held < POLICY_WORKERS; have++)
        if (!worker_make(runner, home, NULL, &err)) return;
}

static bool waits(const struct worker *worker)
{
    return worker->state == HELD_SPARE || worker->state == HELD_LEASE ||
           (worker->state == HELD_MAKING && !worker->call);
}

void spares_end(struct runner *runner, struct home *home)
{
    for (int i = 0; i < WORKERS; i++) {
        struct worker *worker = &runner->workers[i];
        if (waits(worker) && (!home || worker->home == home)) worker_end(runner, worker, CLASS_NONE, REASON_NONE);
    }
}

/* Its ends are with the processes that are there now: a lease does not outlive one of them. */
static bool of_this_time(const struct runner *runner, const struct worker *worker)
{
    return worker->front == taker_generation(runner, worker->taker) && worker->vault == runner->vault &&
           worker->broker == runner->broker;
}

bool lease_goes_on(const struct runner *runner, const struct worker *worker)
{
    const struct entry *entry = worker->home->entry;
    if (!worker->bound || worker->retired || !entry || runner->role->frozen || !of_this_time(runner, worker))
        return false;
    if (entry->lease.calls && worker->calls >= entry->lease.calls) return false;
    return !entry->lease.age_s || clock_now() - worker->made < entry->lease.age_s * CLOCK_S;
}

void leases_make_room(struct runner *runner, const struct home *home)
{
    struct worker *idle = NULL;
    for (int i = 0; i < WORKERS; i++) {
        struct worker *worker = &runner->workers[i];
        bool idles = worker->state == HELD_LEASE || (!home && worker->state == HELD_SPARE);
        if (home && worker->home != home) continue;
        if (worker->state == HELD_ENDING) return;
        if (idles && (!idle || worker->idle_since < idle->idle_since)) idle = worker;
    }
    if (idle) worker_end(runner, idle, CLASS_NONE, REASON_NONE);
}

/* When a worker that waits has to go. */
static uint64_t end_of_wait(const struct worker *worker)
{
    const struct entry *entry = worker->home->entry;
    uint32_t idle = entry && entry->lease.idle_s ? entry->lease.idle_s : SPARE_AGE_S;
    uint64_t when = worker->idle_since + (worker->state == HELD_SPARE ? (uint64_t)SPARE_AGE_S : idle) * CLOCK_S;
    if (worker->state != HELD_LEASE || !entry || !entry->lease.age_s) return when;
    uint64_t aged = worker->made + entry->lease.age_s * CLOCK_S;
    return aged < when ? aged : when;
}

/* A lease that waits is taken off its cell's clock shortly before that would end it. */
uint64_t lease_rests(struct worker *worker, uint64_t now)
{
    if (worker->state != HELD_LEASE || !worker->cell_deadline) return 0;
    if (worker->cell_deadline > now + CLOCK_S) return worker->cell_deadline - CLOCK_S;
    home_order(worker->home, CELL_IDLE, worker->number, 0, NULL);
    worker->cell_deadline = 0;
    return 0;
}

static uint64_t watch_one(struct runner *runner, struct worker *worker, uint64_t now)
{
    uint64_t when = 0, lease = lease_rests(worker, now);
    if (worker->state == HELD_BUSY && worker->bound && worker->call) {
        when = worker->call->start.deadline + POLICY_GRACE_MS * CLOCK_MS;
        if (when <= now) worker_end(runner, worker, CLASS_TIMEOUT, REASON_DEADLINE);
    } else if (worker->state == HELD_SPARE || worker->state == HELD_LEASE) {
        when = end_of_wait(worker);
        if (when <= now) worker_end(runner, worker, CLASS_NONE, REASON_NONE);
    }
    if (when <= now) when = 0;
    return lease && (!when || lease < when) ? lease : when;
}

static uint64_t watch_cells(struct runner *runner, uint64_t now)
{
    uint64_t next = 0;
    for (int i = 0; i < HOMES; i++) {
        struct home *home = &runner->homes[i];
        if (home->cell <= 0 || home->up) continue;
        uint64_t when = home->asked + CELL_PATIENCE_S * CLOCK_S;
        if (when > now) {
            next = !next || when < next ? when : next;
            continue;
        }
        home_failed(runner, home);
        home_close(runner, home, REASON_NO_WORKER);
    }
    return next;
}

uint64_t workers_tick(struct runner *runner, uint64_t now)
{
    uint64_t next = watch_cells(runner, now);
    for (int i = 0; i < WORKERS; i++) {
        if (runner->workers[i].state == HELD_NONE) continue;
        uint64_t when = watch_one(runner, &runner->workers[i], now);
        if (when && (!next || when < next)) next = when;
    }
    return next;
}
