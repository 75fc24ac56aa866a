/* SPDX-License-Identifier: Apache-2.0 */
/* The RFC 6962 tree over leaves as they come: root at any moment, and every full tile as it closes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/ids.h"

enum { TILE_HASHES = 256, TILE_HEIGHT = 8, TILE_LEVELS = 8, TREE_HEIGHT = 64 };

struct audit_tree {
    uint64_t size;
    uint8_t edge[TREE_HEIGHT][HASH_BYTES]; /* edge[h] counts when bit h of size is set */
    struct {
        uint64_t closed;
        unsigned count;
        uint8_t hashes[TILE_HASHES][HASH_BYTES];
    } tiles[TILE_LEVELS];
    /* A tile is full. false: it is not what it should be. (No err.h here: libcrypto has names like ours.) */
    bool (*tile)(void *context, unsigned level, uint64_t number, const uint8_t *hashes);
    void *context;
};

/* SHA-256 of up to three pieces in a row, by libcrypto. A hash that cannot be made ends the program. */
void audit_hash(uint8_t hash[HASH_BYTES], const void *a, size_t a_count, const void *b, size_t b_count, const void *c,
                size_t c_count);
void audit_leaf(const void *body, size_t count, uint8_t leaf[HASH_BYTES]);
/* An inner node. node may be left or right itself. */
void audit_node(const uint8_t left[HASH_BYTES], const uint8_t right[HASH_BYTES], uint8_t node[HASH_BYTES]);

/* false: the tile that it closed is not what it should be. */
bool audit_tree_add(struct audit_tree *tree, const uint8_t leaf[HASH_BYTES]);
/* TILE_HASHES leaves at once, by their root only; the tree's size is a multiple of that. */
bool audit_tree_add_block(struct audit_tree *tree, const uint8_t root[HASH_BYTES]);
void audit_tree_root(const struct audit_tree *tree, uint8_t root[HASH_BYTES]);
