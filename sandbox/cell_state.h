/* SPDX-License-Identifier: Apache-2.0 */
/* What a cell keeps: shared by the files that make it up (cell.c, setup.c, notify.c, worker.c). */
#pragma once

#include <jansson.h>
#include <linux/seccomp.h>
#include <sys/types.h>

#include "caisson/connector.h"
#include "cell.h"
#include "seccomp.h"

/* A worker's way: forked → (its listener is here) confined → (runner's GO) loading → serving → dead. */
enum worker_state { WORKER_FORKED, WORKER_CONFINED, WORKER_LOADING, WORKER_SERVING, WORKER_DYING };

struct cell_worker {
    uint32_t number, slot;
    enum worker_state state;
    pid_t pid;
    int pidfd, carrier, listener;
    uint64_t started, deadline, load_deadline; /* clock.h; 0: none */
    uint32_t why;
    bool waits, go, has_first;  /* waits: the runner's GO is here, its turn to load is not */
    struct seccomp_notif first; /* the loader's openat, until then */
    int code_fd;                /* the number that the copy has in the worker, -1 before */
    uint32_t code_left;         /* executable mappings that may still be made */
    bool loading;               /* until the mark, also in the report of its death */
    uint32_t attempt_count, attempt_kept;
    bool holds;    /* an attempt was told and is not noted yet: */
    uint64_t held; /* its notification */
    struct cell_attempt attempts[POLICY_REPORTS];
};

struct csn_helpers;
struct cell {
    struct cell_spec spec;
    json_t *settings;
    const struct csn_helpers *helpers;
    int channel, copy, events;
    uint32_t code_segments;
    const struct seccomp_program *list_l;        /* of every worker */
    struct cell_worker *workers[POLICY_WORKERS]; /* NULL: no worker; few are ever there, and every fork copies them */
};

/* cell.c: everything up to the point where orders are taken. */
bool cell_open(struct cell *cell, struct err *err);
/* setup.c: every wall of the cell, in order. */
bool cell_set_up(struct cell *cell, struct err *err);
/* notify.c: answers one notification of a worker's listener. false: kill the worker (why is set). */
bool notify_answer(struct cell *cell, struct cell_worker *worker);
/* Linux 6.6: asker and answerer take turns on one processor; older kernels just take longer. */
void notify_quickly(const struct cell_worker *worker);
/* Whose turn it is to load; NULL: nobody waits, or as many are loading as may at a time. */
struct cell_worker *notify_next(const struct cell *cell);
/* Lets the loader's first openat through, now that the runner has looked. */
bool notify_go(struct cell *cell, struct cell_worker *worker);
/* Answers the attempt that was told, now that it is written down: no reply can overtake its report. tries: in this call
 * of a lease, as the runner counts them. false: kill the worker (why is set). */
bool notify_noted(struct cell_worker *worker, uint64_t tries);
/* cell.c: tells the runner of a worker's attempt (CELL_TRIED), or of those up to its loading (NULL: CELL_LOADED). */
void cell_tell_attempt(struct cell *cell, const struct cell_worker *worker, const struct cell_attempt *attempt);
/* confine.c: in the new process: walls, then worker_main. */
_Noreturn void worker_start(struct cell *cell, const int channels[CHANNELS], int carrier);
/* worker.c: loads the plugin, serves calls. */
_Noreturn void worker_main(struct cell *cell);

/* The worker tells the cell that loading is over by an openat that no library makes. */
enum { LOADED_MARK = 0x43534e31 };
