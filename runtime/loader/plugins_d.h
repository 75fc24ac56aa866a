/* SPDX-License-Identifier: Apache-2.0 */
/* One drop-in of plugins.d: what the administrator gives to one connector. The grammar is man/plugins.d.5.scd. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/ids.h"
#include "runtime/registry.h"

enum { DROPIN_FILE = 128, DROPIN_PATH = 512, DROPIN_BYTES = 64 * 1024, DROPINS_MAX = 512, CA_BYTES = 256 * 1024 };

/* As written: lists are arrays of strings; settings map a key to the array of its values. */
struct dropin {
    char file[DROPIN_FILE];
    char name[NAME_BYTES], path[DROPIN_PATH], ca_file[NAME_BYTES];
    bool enabled, any_host;
    bool has_digest, has_manifest_digest;
    uint8_t digest[HASH_BYTES], manifest_digest[HASH_BYTES];
    enum isolation isolation;
    uint32_t capture;           /* enum capture, or-ed */
    struct entry_limits limits; /* 0: not given */
    struct entry_lease lease;
    json_t *egress, *ranges, *workspaces, *settings;
};

/* Is this a file name that plugins.d takes: *.conf, no dot file? */
bool plugins_d_takes(const char *file);

/* file: its name, for messages. On false the drop-in holds what could be read before the mistake (its name, often)
 * and must be cleared all the same. */
bool plugins_d_read(const char *bytes, size_t length, const char *file, struct dropin *dropin, struct err *err);
void plugins_d_clear(struct dropin *dropin);

/* "sha256:" and 64 lower-case hexadecimal digits, nothing else. */
bool plugins_d_digest(const char *text, uint8_t digest[HASH_BYTES]);
