/* SPDX-License-Identifier: Apache-2.0 */
/* Where the executables are, and how one is started with nothing but its control line. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "runtime/messages.h"

enum { LAYOUT_PATH = 4096 };

/* Found once, from the place of the parent's own executable: the environment has no say. */
struct layout {
    char folder[LAYOUT_PATH]; /* of the parent's executable */
    bool build_tree;
};

bool layout_find(struct layout *layout, struct err *err);
void layout_program(const struct layout *layout, enum role_id role, char path[LAYOUT_PATH]);
void layout_helpers(const struct layout *layout, char path[LAYOUT_PATH]);

/* Whom a role runs as. uid 0 with capabilities: the runner of a root daemon; (uid_t)-1: the user as it is. */
struct identity {
    uid_t uid;
    bool runner;
};

/* Starts the program; control: the child's end, which becomes descriptor 3 there. Standard input and output are
 * nothing, standard error is the daemon's, the environment is empty. */
bool spawn_role(const struct layout *layout, enum role_id role, struct identity who, int control, pid_t *pid,
                int *pidfd, struct err *err);
