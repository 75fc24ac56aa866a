/* SPDX-License-Identifier: Apache-2.0 */
/* manifest.json: what a connector's developer asks for. The shape is man/manifest.5.scd; nothing else is taken. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "runtime/registry.h"

enum { MANIFEST_BYTES = 256 * 1024, MANIFEST_ACTIONS = 64, MANIFEST_EGRESS = 64, MANIFEST_SUMMARY = 801 };

/* What nobody may ask for more of. */
enum {
    LIMIT_MEMORY_MB = 1024,
    LIMIT_CPU_S = 300,
    LIMIT_WALL_S = 600,
    LIMIT_OUTPUT_KB = 1024,
    LIMIT_LOG_KB = 1024,
    LIMIT_DIALS = 64,
    LIMIT_UP_MB = 1024,
    LIMIT_DOWN_MB = 1024,
    LIMIT_CONCURRENCY = 256
};
/* What each is when nobody names it. */
extern const struct entry_limits limits_default;

/* Pointers belong to document. */
struct manifest {
    json_t *document;
    char name[NAME_BYTES], version[32], summary[MANIFEST_SUMMARY];
    const json_t *actions;     /* object: name to action */
    const json_t *fields;      /* object: name to field; NULL: no credential */
    const json_t *settings;    /* schema, or NULL */
    const json_t *egress;      /* array of strings, or NULL */
    struct entry_limits asked; /* 0: not asked */
};

bool manifest_read(const char *bytes, size_t length, struct manifest *manifest, struct err *err);
void manifest_clear(struct manifest *manifest);
