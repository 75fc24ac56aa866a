/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups, version 2 or 1: a folder below which this process may make groups of its own, because systemd's
 * Delegate= or an administrator gave it away. They bound what all processes of one connector have together, where
 * resource limits bound each process alone. Never needed: a wall more where it is there. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum { CGROUPS_MOST = 4, CGROUP_PATH = 1024 };

/* What a group bounds, as bits. */
enum cgroup_kind { CGROUP_MEMORY = 1, CGROUP_PIDS = 2, CGROUP_CPU = 4 };

/* memory: bytes, swap included where that is counted; pids: processes; weight: of the processor, 1 to 10000 against the
 * usual 100. 0: leave as it is. */
struct cgroup_limits {
    uint64_t memory, pids, weight;
};

/* Folders that stand for one place: one in version 2, one for each controller in version 1. */
struct cgroups {
    unsigned count;
    int folders[CGROUPS_MOST];
    uint32_t kinds; /* what can be bounded */
};

/* Adds a folder: turns its controllers on for groups below it, makes a group and takes it away again. ERR_IO says why
 * not. */
bool cgroups_add(struct cgroups *groups, const char *path, struct err *err);
void cgroups_close(struct cgroups *groups);
/* A group with these limits and that process in it, in each folder. One that is there already is used. */
bool cgroups_put(const struct cgroups *groups, const char *name, const struct cgroup_limits *limits, pid_t pid,
                 struct err *err);
/* Takes it away. One that still has processes stays, and is used again by its next name. */
void cgroups_drop(const struct cgroups *groups, const char *name);
/* In a group of its own, a process that may not have children has none. */
bool cgroups_hold(const struct cgroups *groups);
/* "memory, processes, processor" */
void cgroups_words(uint32_t kinds, char *text, size_t size);

/* The group that this process is in, version 2, when systemd says that it is this service's own (Delegate=): its path.
 */
bool cgroup_delegated(char path[CGROUP_PATH]);
/* Moves this process into a group "daemon" below that one, so that controllers can be turned on beside it. */
bool cgroup_step_aside(const char *path, struct err *err);
