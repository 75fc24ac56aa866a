/* SPDX-License-Identifier: Apache-2.0 */
/* The RFC 6962 tree over leaves as they come. */
#include "audit_tree.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void audit_hash(uint8_t hash[HASH_BYTES], const void *a, size_t a_count, const void *b, size_t b_count, const void *c,
                size_t c_count)
{
    static EVP_MD_CTX *context;
    static EVP_MD *sha256;
    if (!context) context = EVP_MD_CTX_new();
    if (!sha256) sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (context && sha256 && EVP_DigestInit_ex2(context, sha256, NULL) && EVP_DigestUpdate(context, a, a_count) &&
        (!b_count || EVP_DigestUpdate(context, b, b_count)) && (!c_count || EVP_DigestUpdate(context, c, c_count)) &&
        EVP_DigestFinal_ex(context, hash, NULL))
        return;
    fputs("caisson: this machine's libcrypto does not compute SHA-256\n", stderr);
    abort();
}

void audit_leaf(const void *body, size_t count, uint8_t leaf[HASH_BYTES])
{
    audit_hash(leaf, "\0", 1, body, count, NULL, 0);
}

void audit_node(const uint8_t left[HASH_BYTES], const uint8_t right[HASH_BYTES], uint8_t node[HASH_BYTES])
{
    uint8_t both[1 + 2 * HASH_BYTES] = {1};
    memcpy(both + 1, left, HASH_BYTES);
    memcpy(both + 1 + HASH_BYTES, right, HASH_BYTES);
    audit_hash(node, both, sizeof both, NULL, 0, NULL, 0);
}

static bool add_to_tile(struct audit_tree *tree, unsigned level, const uint8_t hash[HASH_BYTES])
{
    memcpy(tree->tiles[level].hashes[tree->tiles[level].count++], hash, HASH_BYTES);
    if (tree->tiles[level].count < TILE_HASHES) return true;
    tree->tiles[level].count = 0;
    uint64_t number = tree->tiles[level].closed++;
    return !tree->tile || tree->tile(tree->context, level, number, tree->tiles[level].hashes[0]);
}

/* Like adding one to a binary number: every carry joins two subtrees of the same height. */
static bool add_at(struct audit_tree *tree, unsigned height, const uint8_t hash[HASH_BYTES])
{
    uint8_t node[HASH_BYTES];
    uint64_t width = UINT64_C(1) << height;
    memcpy(node, hash, HASH_BYTES);
    for (;; height++) {
        if (height % TILE_HEIGHT == 0 && !add_to_tile(tree, height / TILE_HEIGHT, node)) return false;
        if (!(tree->size >> height & 1)) break;
        audit_node(tree->edge[height], node, node);
    }
    memcpy(tree->edge[height], node, HASH_BYTES);
    tree->size += width;
    return true;
}

bool audit_tree_add(struct audit_tree *tree, const uint8_t leaf[HASH_BYTES])
{
    return add_at(tree, 0, leaf);
}

bool audit_tree_add_block(struct audit_tree *tree, const uint8_t root[HASH_BYTES])
{
    if (tree->size % TILE_HASHES) return false;
    tree->tiles[0].closed++;
    return add_at(tree, TILE_HEIGHT, root);
}

void audit_tree_root(const struct audit_tree *tree, uint8_t root[HASH_BYTES])
{
    bool started = false;
    if (tree->size == 0) audit_hash(root, NULL, 0, NULL, 0, NULL, 0);
    for (unsigned height = 0; height < TREE_HEIGHT; height++) {
        if (!(tree->size >> height & 1)) continue;
        if (started)
            audit_node(tree->edge[height], root, root);
        else
            memcpy(root, tree->edge[height], HASH_BYTES);
        started = true;
    }
}
