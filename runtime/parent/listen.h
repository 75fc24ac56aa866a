/* SPDX-License-Identifier: Apache-2.0 */
/* The sockets that callers and administrators come in by, bound before any role runs. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

#include "config.h"
#include "home.h"

enum { LISTEN_PATH = 108 };

/* -1: none. Descriptors of the front and the desk. */
struct listeners {
    int api, desk, tcp[CONFIG_TCP], certificate, key;
    unsigned tcp_count;
    char api_path[LISTEN_PATH], desk_path[LISTEN_PATH]; /* "": not made here */
};

/* Takes what systemd hands over (LISTEN_FDS) first and binds the rest. */
bool listen_open(const struct config *config, const struct home *home, struct listeners *listeners, struct err *err);
/* Also takes the sockets away that were made here. */
void listen_close(struct listeners *listeners);
