/* SPDX-License-Identifier: Apache-2.0 */
/* Starting the program caisson-cell, in new namespaces, with an empty environment and nothing of its starter's memory.
 */
#pragma once

#include <sys/types.h>

#include "cell.h"

struct cell_spawn {
    const char *program; /* path of caisson-cell */
    bool privileged;     /* namespaces without a user namespace */
    uint32_t without;    /* walls (bit per enum wall) that this machine lacks */
    int nothing;         /* /dev/null */
    int fds[CELL_FDS];   /* what it gets, by its own numbers; -1: nothing */
};

/* pid: the caller's child, seen from its own pid namespace. pidfd: the caller's to close, close-on-exec. */
bool cell_spawn(const struct cell_spawn *how, pid_t *pid, int *pidfd, struct err *err);
