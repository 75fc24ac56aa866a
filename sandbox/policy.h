/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker may do, as data: which walls stand, and the numbers that bound it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The walls of cell and worker, in the order in which they go up. */
enum wall {
    WALL_NAMESPACES, /* own pids, network, mounts, ipc, host name */
    WALL_ROOT,       /* an empty, read-only, noexec root */
    WALL_UID,        /* the plugin's own uid (as root), no capabilities, empty bounding set */
    WALL_PRIVILEGES, /* no new privileges */
    WALL_MDWE,       /* no mapping becomes executable, where the kernel has it */
    WALL_DUMPS,      /* undumpable, no core */
    WALL_LIMITS,     /* address space, files, descriptors, processors */
    WALL_FILTER_A,   /* the kill list */
    WALL_CHANNELS,   /* the worker keeps its four channels and nothing else */
    WALL_LANDLOCK,   /* a domain of its own with nothing in it */
    WALL_FILTER_L,   /* the worker's list, with its listener */
    WALL_CODE,       /* only the plugin's own code segments become executable */
    WALL_INPUT,      /* the input is the one that the record names */
    WALLS
};

/* Which walls stand: all of them. The tests link cells of their own in which one is missing, to see that something
 * then goes through; no installed program has another value here. */
extern const uint32_t policy_walls;

static inline bool policy_has(enum wall wall)
{
    return policy_walls >> wall & 1;
}

enum {
    POLICY_FILES = 32, /* RLIMIT_NOFILE of a worker: 9 breaks libcurl, 7 leaves no room for the listener */
    POLICY_NICE = 5,
    POLICY_OOM = 1000,
    POLICY_LOOK_MS = 10000, /* from the fork until the runner has looked: only our code runs, and many may be waiting */
    POLICY_LOAD_MS = 1000,  /* from its turn to load on, constructors included */
    POLICY_LOADING = 16,    /* of one cell at a time: hundreds would share the processor until all are too late */
    POLICY_GRACE_MS = 100,  /* after a call's deadline, before the cell kills */
    POLICY_REPORTS = 8,     /* different attempts that are written down */
    POLICY_ATTEMPTS = 64,   /* attempts of any kind, then the worker is killed */
    POLICY_WORKERS = 256    /* of one cell at a time */
};
