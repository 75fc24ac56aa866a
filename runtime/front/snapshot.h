/* SPDX-License-Identifier: Apache-2.0 */
/* The registry in force, shared by the threads: a call keeps the one it began with until it is over. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "runtime/registry.h"

struct snapshot {
    struct registry registry;
    unsigned users; /* guarded by the holder's lock */
    struct snapshots *holder;
};

struct snapshots {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct snapshot *current;
};

bool snapshots_init(struct snapshots *snapshots, struct err *err);
void snapshots_close(struct snapshots *snapshots);
/* Reads the sealed memfd and puts it in force. On false the old one stays. */
bool snapshots_put(struct snapshots *snapshots, int fd, struct err *err);
uint32_t snapshots_number(struct snapshots *snapshots);

struct snapshot *snapshot_hold(struct snapshots *snapshots);
void snapshot_drop(struct snapshot *snapshot); /* NULL is nothing */
/* Waits for another number than that one. false: the deadline passed. */
bool snapshots_await(struct snapshots *snapshots, uint32_t number, uint64_t deadline);
