/* SPDX-License-Identifier: Apache-2.0 */
/* The front's part of caisson.conf, as the parent hands it over: one JSON object; what is not said has a default. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { CORS_MOST = 16, ORIGIN_BYTES = 256 };

struct front_config {
    uint32_t connections;         /* open at once, all listeners together */
    uint32_t connections_per_uid; /* unix sockets */
    uint32_t connections_per_ip;  /* TCP */
    uint32_t calls;               /* running at once */
    uint32_t rate, burst;         /* requests a second of one caller, and how many more in one go; 0 = no limit */
    uint32_t idle_s;              /* a connection without a request ends after this */
    uint32_t request_s;           /* a request must be whole by then */
    uint32_t bodies_mb;           /* request bodies held at once, all together */
    uint32_t timeout_ms, timeout_max_ms; /* of a call: when the caller says nothing; at most */
    unsigned origin_count;
    char origins[CORS_MOST][ORIGIN_BYTES]; /* CORS: none by default */
};

void config_defaults(struct front_config *config);
/* fd: the memfd of GIVE_CONFIG, or -1 for the defaults alone. Members that are not ours are other roles' business. */
bool config_read(int fd, struct front_config *config, struct err *err);
