/* SPDX-License-Identifier: Apache-2.0 */
/* All that the front (or the desk) holds while it serves: lines, registry, connections, counters. */
#pragma once

#include <stdatomic.h>

#include "config.h"
#include "conns.h"
#include "lines.h"
#include "metrics.h"
#include "rate.h"
#include "runtime/role.h"
#include "snapshot.h"

enum { LISTENERS = 5 }; /* one unix socket, four TCP sockets */

struct front {
    enum role_id self; /* ROLE_FRONT or ROLE_DESK */
    struct front_config config;
    struct lines ledger, runner;
    struct snapshots registry;
    struct conns conns;
    struct rates rates, failures; /* requests; tokens that nobody issued */
    struct metrics metrics;
    _Atomic unsigned calls;    /* running */
    _Atomic unsigned requests; /* between the first header and the last byte of the reply */
    _Atomic uint64_t bodies;   /* bytes of request bodies held */
    _Atomic bool stopping;     /* no call begins any more */
    _Atomic bool slow;         /* the ledger did not answer in time; until it does it is not waited for long */
    struct http_listener *listeners[LISTENERS];
    char *cert, *key; /* PEM */
};

/* What role_main() is given. self: ROLE_FRONT or ROLE_DESK. */
const struct role_part *front_part(enum role_id self);
/* Readies the structure without any process around it; false: no memory. */
bool front_init(struct front *front, enum role_id self, struct err *err);
void front_close(struct front *front);
