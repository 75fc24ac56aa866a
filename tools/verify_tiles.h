/* SPDX-License-Identifier: Apache-2.0 */
/* A folder laid out as C2SP tlog-tiles, checked from the root down to the last entry's bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit_proof.h"
#include "audit_tile.h"
#include "base/err.h"

struct tiles {
    int folder;
    uint64_t size;    /* of the tree that is looked at */
    uint64_t least;   /* entries below it may be absent */
    uint64_t entries; /* how many had their bytes checked */
    uint64_t absent;  /* entries from `least` on that could not be looked at */
    uint64_t pruned;  /* entries below `least` that are absent */
    uint64_t first;   /* the first of those absent */
    uint8_t *bundle;  /* room for one */
    proof_hash edge[TILE_LEVELS][TILE_HASHES];
    /* Every entry, in order, once its bytes are known to fit their leaf; NULL: nobody wants to know. */
    bool (*entry)(void *context, uint64_t index, const uint8_t *bytes, size_t length, struct err *err);
    void *context;
};

bool tiles_open(const char *path, struct tiles *tiles, struct err *err);
void tiles_close(struct tiles *tiles);
/* ERR_DAMAGED: it is not a log with that root. ERR_STATE: too much is absent to say. What else was absent stands in
 * *tiles. */
bool tiles_check(struct tiles *tiles, uint64_t size, const proof_hash root, struct err *err);
/* A proof_source's tiles, unchecked: context is the struct tiles. */
bool tiles_give(void *context, unsigned level, uint64_t number, unsigned width, proof_hash *hashes);
