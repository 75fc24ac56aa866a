/* SPDX-License-Identifier: Apache-2.0 */
/* Proofs over the RFC 6962 tree: checked, and made out of tiles. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "audit_tree.h"

enum { PROOF_MOST = 64 };

typedef uint8_t proof_hash[HASH_BYTES];
struct proof {
    unsigned count;
    proof_hash hashes[PROOF_MOST];
};

/* A hash too many or too few is false, and so is an old size of 0: everything extends nothing. */
bool proof_check_inclusion(uint64_t index, uint64_t size, const proof_hash leaf, const struct proof *proof,
                           const proof_hash root);
bool proof_check_consistency(uint64_t old_size, uint64_t size, const proof_hash old_root, const proof_hash root,
                             const struct proof *proof);

/* Gives the first width hashes of a tile; false when it cannot. */
typedef bool proof_tiles(void *context, unsigned level, uint64_t number, unsigned width, proof_hash *hashes);
/* What trees of that size are asked of. */
struct proof_source {
    uint64_t size;
    proof_tiles *tiles;
    void *context;
};
/* How many hashes the tile has in a tree of that size; 0: it has none. */
unsigned proof_width(uint64_t size, unsigned level, uint64_t number);
/* The root over 2^height hashes that stand in a row, height ≤ TILE_HEIGHT. */
void proof_fold(const proof_hash *hashes, unsigned height, proof_hash root);

/* Of the tree's first `size` leaves, size ≤ source->size. false: out of range, or a tile could not be had. */
bool proof_root(const struct proof_source *source, uint64_t size, proof_hash root);
bool proof_make_inclusion(const struct proof_source *source, uint64_t index, struct proof *proof);
bool proof_make_consistency(const struct proof_source *source, uint64_t old_size, struct proof *proof);
