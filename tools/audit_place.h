/* SPDX-License-Identifier: Apache-2.0 */
/* Where proofs and exports go: never over a file, never where connectors or the daemon's own files lie, never
 * executable. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"
#include "home.h"

/* A new file, mode 0600; path NULL or "-": standard output. */
bool place_file(const struct home *home, const char *path, FILE **out, struct err *err);
/* Ends it: on disk and closed; not good: the file is taken away again. Gives good back, or false with err. */
bool place_done(const char *path, FILE *out, bool good, struct err *err);

/* A new folder, mode 0700, or one that is empty or holds an earlier export of the same log. */
bool place_folder(const struct home *home, const char *path, const char *origin, int *folder, struct err *err);
/* Writes a file below it as a whole, making folders on the way. */
bool place_put(int folder, const char *path, const void *bytes, size_t count, struct err *err);
