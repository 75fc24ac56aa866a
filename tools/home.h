/* SPDX-License-Identifier: Apache-2.0 */
/* Where an installation keeps its things: below one folder, or spread as the file system hierarchy wants it. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum { HOME_PATH = 512 };

/* Absolute paths. With --home all three are that folder (run: its folder run). */
struct home {
    char config[HOME_PATH]; /* caisson.conf, plugins.d */
    char state[HOME_PATH];  /* keys, data, witness, plugins, freeze */
    char run[HOME_PATH];    /* api.sock, desk.sock */
    bool spread;            /* /etc, /var/lib, /run */
};

/* option: --home, or NULL: $CAISSON_HOME, else ./home if it is one, else the spread paths. Makes nothing. */
bool home_find(const char *option, struct home *home, struct err *err);
/* Opens the state folder. */
bool home_open(const struct home *home, int *folder, struct err *err);
/* plugins.d. ERR_NOT_FOUND tells to run caisson init. */
bool home_open_plugins_d(const struct home *home, int *folder, struct err *err);
/* The folder of a plugin: by its name in the plugin folders, or by an absolute path. */
bool home_open_plugin(const struct home *home, const char *path, int *folder, struct err *err);
