/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that fails, from outside: the ledger's writes and flushes are held by the kernel (seccomp's user notification)
 * until the test has decided whether they happen. Its waits for events are counted on the way. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { SHIM_FDS = 1024, SHIM_SLEEP_MS = 300 };

struct shim {
    /* What the next calls get: so many fail with EIO; the next flush waits so long. */
    _Atomic unsigned fail_syncs, fail_writes, hold_ms;
    /* What was seen: flushes, those that failed, and flushes through a descriptor on which one had failed before. */
    _Atomic unsigned syncs, failed, again;
    /* Waits for events: those that end at once whatever comes, and those that last SHIM_SLEEP_MS or longer. */
    _Atomic unsigned glances, sleeps;

    int pair[2], listener;
    pid_t pid;
    pthread_t thread;
    bool running, tainted[SHIM_FDS];
};

/* For rig.c: before the fork, in the child, in the test. */
void shim_before(struct shim *shim);
void shim_inside(struct shim *shim);
void shim_outside(struct shim *shim, pid_t pid);
/* When the ledger is gone. */
void shim_end(struct shim *shim);
