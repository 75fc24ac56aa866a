/* SPDX-License-Identifier: Apache-2.0 */
/* What main() asks the parent to do. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct run {
    const char *home, *config; /* config NULL: caisson.conf in the home folder, if it is there */
    unsigned wait_s;           /* for an earlier daemon's last process */
    bool check;                /* only look whether everything would be in order */
};

/* Returns when the daemon has ended. */
bool parent_run(const struct run *run, struct err *err);
