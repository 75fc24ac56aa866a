/* SPDX-License-Identifier: Apache-2.0 */
/* The front's part of caisson.conf, as the parent hands it over: one JSON object; what is not said has a default. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { CORS_MOST = 16, ORIGIN_BYTES = 256 };

/* A reload changes it under the threads that read it: numbers one by one, the origins under their lock. */
struct front_config {
    _Atomic uint32_t connections;         /* open at once, all listeners together */
    _Atomic uint32_t connections_per_uid; /* unix sockets */
    _Atomic uint32_t connections_per_ip;  /* TCP */
    _Atomic uint32_t calls;               /* running at once */
    _Atomic uint32_t rate, burst; /* requests a second of one caller, and how many more in one go; 0 = no limit */
    _Atomic uint32_t idle_s;      /* a connection without a request ends after this */
    _Atomic uint32_t request_s;   /* a request must be whole by then */
    _Atomic uint32_t bodies_mb;   /* request bodies held at once, all together */
    _Atomic uint32_t timeout_ms, timeout_max_ms; /* of a call: when the caller says nothing; at most */
    pthread_mutex_t lock;                        /* guards the origins */
    unsigned origin_count;
    char origins[CORS_MOST][ORIGIN_BYTES]; /* CORS: none by default */
};

void config_defaults(struct front_config *config);
/* fd: the memfd of GIVE_CONFIG, or -1 for the defaults alone. Members that are not ours are other roles' business. */
bool config_read(int fd, struct front_config *config, struct err *err);
/* What was read becomes what is in force; other threads may be reading that. */
void config_take(struct front_config *config, const struct front_config *fresh);
/* May pages of this origin call? NULL: there is none. */
bool config_allows(struct front_config *config, const char *origin);
