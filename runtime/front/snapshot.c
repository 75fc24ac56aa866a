/* SPDX-License-Identifier: Apache-2.0 */
/* Counted references to the registry in force. */
#include "snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

bool snapshots_init(struct snapshots *snapshots, struct err *err)
{
    pthread_condattr_t monotonic;
    memset(snapshots, 0, sizeof *snapshots);
    pthread_mutex_init(&snapshots->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&snapshots->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    snapshots->current = calloc(1, sizeof *snapshots->current); /* an empty registry: nothing is enabled */
    if (!snapshots->current) return err_set(err, ERR_BUSY, "there is no memory for the registry");
    snapshots->current->users = 1;
    snapshots->current->holder = snapshots;
    return true;
}

/* The lock is held. */
static void forget(struct snapshot *snapshot)
{
    if (--snapshot->users) return;
    registry_clear(&snapshot->registry);
    free(snapshot);
}

void snapshots_close(struct snapshots *snapshots)
{
    if (!snapshots->current) return;
    forget(snapshots->current);
    snapshots->current = NULL;
    pthread_cond_destroy(&snapshots->changed);
    pthread_mutex_destroy(&snapshots->lock);
}

bool snapshots_put(struct snapshots *snapshots, int fd, struct err *err)
{
    struct snapshot *fresh = calloc(1, sizeof *fresh);
    if (!fresh) return err_set(err, ERR_BUSY, "there is no memory for the registry");
    if (!registry_read(fd, &fresh->registry, err)) {
        free(fresh);
        return false;
    }
    fresh->users = 1;
    fresh->holder = snapshots;
    pthread_mutex_lock(&snapshots->lock);
    forget(snapshots->current);
    snapshots->current = fresh;
    pthread_cond_broadcast(&snapshots->changed);
    pthread_mutex_unlock(&snapshots->lock);
    return true;
}

uint32_t snapshots_number(struct snapshots *snapshots)
{
    pthread_mutex_lock(&snapshots->lock);
    uint32_t number = snapshots->current->registry.number;
    pthread_mutex_unlock(&snapshots->lock);
    return number;
}

struct snapshot *snapshot_hold(struct snapshots *snapshots)
{
    pthread_mutex_lock(&snapshots->lock);
    struct snapshot *snapshot = snapshots->current;
    snapshot->users++;
    pthread_mutex_unlock(&snapshots->lock);
    return snapshot;
}

void snapshot_drop(struct snapshot *snapshot)
{
    if (!snapshot) return;
    pthread_mutex_t *lock = &snapshot->holder->lock;
    pthread_mutex_lock(lock);
    forget(snapshot);
    pthread_mutex_unlock(lock);
}

bool snapshots_await(struct snapshots *snapshots, uint32_t number, uint64_t deadline)
{
    struct timespec until = {(time_t)(deadline / CLOCK_S), (long)(deadline % CLOCK_S)};
    int failed = 0;
    pthread_mutex_lock(&snapshots->lock);
    while (snapshots->current->registry.number == number && failed != ETIMEDOUT)
        failed = pthread_cond_timedwait(&snapshots->changed, &snapshots->lock, &until);
    bool other = snapshots->current->registry.number != number;
    pthread_mutex_unlock(&snapshots->lock);
    return other;
}
