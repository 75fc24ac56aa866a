/* SPDX-License-Identifier: Apache-2.0 */
/* From the folder plugins.d to the registry's document (runtime/registry.h). */
#pragma once

#include <jansson.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#include "plugins_d.h"

enum { LOADER_DIRS = 4, PLUGIN_BYTES = 64 * 1024 * 1024, PLUGINS_BYTES = 256 * 1024 * 1024 };

/* What the loader works on. Descriptors stay the caller's. */
struct loader {
    uint32_t number; /* of the registry to make */
    uint32_t owner;  /* files belong to root or to this user */
    int plugins_d;
    int dirs[LOADER_DIRS];          /* folders that plugins live in */
    const char *paths[LOADER_DIRS]; /* their paths, for an absolute Path= */
    unsigned dir_count;
    uint64_t copied; /* bytes of plugins so far */
};

/* document: new reference. plugins[i]: sealed copy of entry i's shared object, or -1; the caller's to close. */
bool entries_load(struct loader *loader, json_t **document, int plugins[DROPINS_MAX], struct err *err);
