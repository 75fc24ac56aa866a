/* SPDX-License-Identifier: Apache-2.0 */
/* The log's Merkle tree (RFC 6962 §2.1) over SHA-256: appending, roots, proofs and their checks. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"

enum { TREE_LEVELS = 8, TILE_WIDTH = 256, TILE_BYTES = TILE_WIDTH * HASH_BYTES, TREE_PROOF = 64 };

typedef uint8_t tree_hash[HASH_BYTES];

/* The running state: valid when zeroed (the empty tree). A plain value: copy it, append to the copy, and put the copy
 * in its place only when the entries are durable. */
struct tree {
    uint64_t size;
    tree_hash peaks[64];              /* peaks[h]: the perfect subtree of height h, where size has that bit */
    uint16_t edge_count[TREE_LEVELS]; /* hashes of the tile that is being filled, per level */
    tree_hash edge[TREE_LEVELS][TILE_WIDTH];
};

/* SHA-256 of one piece, and of several (the tree's own hashes carry their prefix). */
void sha256(const void *bytes, size_t count, tree_hash out);
void sha256_three(const void *a, size_t a_count, const void *b, size_t b_count, const void *c, size_t c_count,
                  tree_hash out);
void tree_leaf(const void *body, size_t count, tree_hash leaf);

/* Takes each tile that a leaf fills; false stops. */
typedef bool tree_tile_sink(void *context, unsigned level, uint64_t n, const uint8_t *hashes);
/* Gives a full tile's TILE_BYTES bytes; false when it cannot. */
typedef bool tree_tile_source(void *context, unsigned level, uint64_t n, uint8_t *hashes);

/* The same as an assignment, without the unused part of the edge. */
void tree_copy(struct tree *to, const struct tree *from);
bool tree_append(struct tree *tree, const tree_hash leaf, tree_tile_sink *sink, void *context);
void tree_root(const struct tree *tree, tree_hash root);

/* Rebuilds the state of a tree of that size from stored tiles and the leaves of its unfinished tile. */
typedef bool tree_leaf_source(void *context, uint64_t from, unsigned count, tree_hash *leaves);
/* Gives the root of the n-th TILE_WIDTH leaves when they were dropped; false: they were not. May be NULL. */
typedef bool tree_block_source(void *context, uint64_t n, tree_hash root);
bool tree_load(struct tree *tree, uint64_t size, tree_tile_source *tiles, tree_leaf_source *leaves,
               tree_block_source *blocks, void *context);
/* The root of TILE_WIDTH leaves in a row; and the one that the tree has over its n-th TILE_WIDTH ones, without them.
 * false: out of range, or a tile could not be had. */
void tree_fold_block(const tree_hash leaves[TILE_WIDTH], tree_hash root);
bool tree_block(const struct tree *tree, uint64_t n, tree_tile_source *source, void *context, tree_hash root);

/* Root of the tree's first `size` leaves, and proofs within it; proof holds up to TREE_PROOF hashes.
 * false: out of range, or a tile could not be had. */
bool tree_root_at(const struct tree *tree, uint64_t size, tree_tile_source *source, void *context, tree_hash root);
bool tree_inclusion(const struct tree *tree, uint64_t index, uint64_t size, tree_tile_source *source, void *context,
                    tree_hash *proof, unsigned *count);
bool tree_consistency(const struct tree *tree, uint64_t old_size, uint64_t size, tree_tile_source *source,
                      void *context, tree_hash *proof, unsigned *count);

/* A proof with a hash too many or too few is false. */
bool tree_check_inclusion(uint64_t index, uint64_t size, const tree_hash leaf, const tree_hash *proof, unsigned count,
                          const tree_hash root);
bool tree_check_consistency(uint64_t old_size, uint64_t size, const tree_hash old_root, const tree_hash root,
                            const tree_hash *proof, unsigned count);
