/* SPDX-License-Identifier: Apache-2.0 */
/* The home folder, where an installation keeps everything: caisson.conf, plugins.d, plugins, keys, data, run. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum { HOME_PATH = 1024 };

struct home {
    char path[HOME_PATH]; /* absolute, once the folder is there */
};

/* option: --home, or NULL: $CAISSON_HOME, else ./home if it is one and the caller's alone, else the folder that
 * caissond uses when nobody names another. Makes nothing. */
bool home_find(const char *option, struct home *home, struct err *err);
bool home_open(const struct home *home, int *folder, struct err *err);
/* plugins.d. ERR_NOT_FOUND tells to run caisson init. */
bool home_open_plugins_d(const struct home *home, int *folder, struct err *err);
/* The folder of a plugin: by its name in the plugin folders (Directory= of caisson.conf), or by an absolute path. */
bool home_open_plugin(const struct home *home, const char *path, int *folder, struct err *err);
/* The values of a key in caisson.conf, index from 0; false: there are no more, or the file cannot be read. */
bool home_setting(const struct home *home, const char *section, const char *key, unsigned index, char *value,
                  size_t size);
/* The path of a socket: key is Unix or Desk of caisson.conf's [Listen], usual what it is when that says nothing. */
void home_socket(const struct home *home, const char *key, const char *usual, char *path, size_t size);
