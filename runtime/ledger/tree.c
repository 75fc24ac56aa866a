/* SPDX-License-Identifier: Apache-2.0 */
/* The log's Merkle tree: hashing, the running state, roots and proofs out of tiles. */
#include "tree.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* ── hashing ───────────────────────────────────────────────────────────────────────────────────────── */

struct piece {
    const void *bytes;
    size_t count;
};

/* One context for the process: the ledger hashes on its one thread only. A hash that cannot be made must never
 * look like one that was, so a failure ends the process (the parent starts it again). */
static void hash_pieces(const struct piece *pieces, unsigned count, tree_hash out)
{
    static EVP_MD_CTX *context;
    static EVP_MD *algorithm;
    if (!context) {
        context = EVP_MD_CTX_new();
        algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    }
    bool ok = context && algorithm && EVP_DigestInit_ex2(context, algorithm, NULL);
    for (unsigned i = 0; ok && i < count; i++) ok = EVP_DigestUpdate(context, pieces[i].bytes, pieces[i].count);
    if (!ok || !EVP_DigestFinal_ex(context, out, NULL)) abort();
}

void sha256(const void *bytes, size_t count, tree_hash out)
{
    hash_pieces(&(struct piece){bytes, count}, 1, out);
}

void sha256_three(const void *a, size_t a_count, const void *b, size_t b_count, const void *c, size_t c_count,
                  tree_hash out)
{
    hash_pieces((struct piece[]){{a, a_count}, {b, b_count}, {c, c_count}}, 3, out);
}

void tree_leaf(const void *body, size_t count, tree_hash leaf)
{
    hash_pieces((struct piece[]){{"\0", 1}, {body, count}}, 2, leaf);
}

static void node(const tree_hash left, const tree_hash right, tree_hash out)
{
    hash_pieces((struct piece[]){{"\1", 1}, {left, HASH_BYTES}, {right, HASH_BYTES}}, 3, out);
}

/* The root of 2^height hashes that stand in a row. */
static void fold(const tree_hash *hashes, unsigned height, tree_hash out)
{
    tree_hash work[TILE_WIDTH / 2];
    if (height == 0) {
        memcpy(out, hashes[0], HASH_BYTES);
        return;
    }
    for (unsigned width = 1u << (height - 1); width; width /= 2) {
        const tree_hash *from = width == 1u << (height - 1) ? hashes : (const tree_hash *)work;
        for (unsigned i = 0; i < width; i++) node(from[2 * i], from[2 * i + 1], work[i]);
    }
    memcpy(out, work[0], HASH_BYTES);
}

/* ── the running state ─────────────────────────────────────────────────────────────────────────────── */

void tree_copy(struct tree *to, const struct tree *from)
{
    to->size = from->size;
    memcpy(to->peaks, from->peaks, sizeof to->peaks);
    memcpy(to->edge_count, from->edge_count, sizeof to->edge_count);
    for (unsigned level = 0; level < TREE_LEVELS; level++)
        memcpy(to->edge[level], from->edge[level], from->edge_count[level] * sizeof(tree_hash));
}

static void add_peak(struct tree *tree, const tree_hash leaf)
{
    tree_hash carry;
    unsigned height = 0;
    memcpy(carry, leaf, HASH_BYTES);
    for (; tree->size >> height & 1; height++) node(tree->peaks[height], carry, carry);
    memcpy(tree->peaks[height], carry, HASH_BYTES);
    tree->size++;
}

/* The tile of this level is full: hand it out, and its root goes up one level. */
static bool close_tile(struct tree *tree, unsigned level, tree_tile_sink *sink, void *context, tree_hash root)
{
    uint64_t n = (tree->size >> (8 * (level + 1))) - 1;
    if (sink && !sink(context, level, n, tree->edge[level][0])) return false;
    fold(tree->edge[level], 8, root);
    tree->edge_count[level] = 0;
    return true;
}

bool tree_append(struct tree *tree, const tree_hash leaf, tree_tile_sink *sink, void *context)
{
    tree_hash up;
    memcpy(up, leaf, HASH_BYTES);
    add_peak(tree, leaf);
    for (unsigned level = 0; level < TREE_LEVELS; level++) {
        memcpy(tree->edge[level][tree->edge_count[level]++], up, HASH_BYTES);
        if (tree->edge_count[level] < TILE_WIDTH) return true;
        if (!close_tile(tree, level, sink, context, up)) return false;
    }
    return false; /* 2^64 entries */
}

void tree_root(const struct tree *tree, tree_hash root)
{
    bool any = false;
    for (unsigned height = 0; height < 64; height++) {
        if (!(tree->size >> height & 1)) continue;
        if (any)
            node(tree->peaks[height], root, root);
        else
            memcpy(root, tree->peaks[height], HASH_BYTES);
        any = true;
    }
    if (!any) sha256("", 0, root);
}

/* Hash number i of a level: the root of the full tile below it. */
static bool tile_root(unsigned level, uint64_t i, tree_tile_source *tiles, void *context, tree_hash out)
{
    tree_hash hashes[TILE_WIDTH];
    if (!tiles(context, level - 1, i, hashes[0])) return false;
    fold(hashes, 8, out);
    return true;
}

static bool load_edges(struct tree *tree, uint64_t size, tree_tile_source *tiles, tree_leaf_source *leaves,
                       tree_block_source *blocks, void *context)
{
    for (unsigned level = 0; level < TREE_LEVELS; level++) {
        uint64_t have = size >> (8 * level), start = have & ~(uint64_t)(TILE_WIDTH - 1);
        tree->edge_count[level] = (uint16_t)(have - start);
        if (level == 0 && have > start && !leaves(context, start, (unsigned)(have - start), tree->edge[0]))
            return false;
        for (uint64_t i = start; level && i < have; i++) {
            uint8_t *hash = tree->edge[level][i - start];
            if (level == 1 && blocks && blocks(context, i, hash)) continue;
            if (!tile_root(level, i, tiles, context, hash)) return false;
        }
    }
    return true;
}

bool tree_load(struct tree *tree, uint64_t size, tree_tile_source *tiles, tree_leaf_source *leaves,
               tree_block_source *blocks, void *context)
{
    memset(tree, 0, sizeof *tree);
    if (!load_edges(tree, size, tiles, leaves, blocks, context)) return false;
    tree->size = size;
    /* Every peak lies within one level's unfinished tile: bit h of size is bit h%8 of level h/8's count. */
    for (unsigned height = 0; height < 64; height++) {
        if (!(size >> height & 1)) continue;
        unsigned level = height / 8, part = height % 8, count = tree->edge_count[level];
        fold(tree->edge[level] + (count >> (part + 1) << (part + 1)), part, tree->peaks[height]);
    }
    return true;
}

/* ── roots and proofs ──────────────────────────────────────────────────────────────────────────────── */

struct reader {
    const struct tree *tree;
    tree_tile_source *source;
    void *context;
};

/* The node of that height and position; its leaves all exist. */
static bool perfect(const struct reader *reader, unsigned height, uint64_t position, tree_hash out)
{
    unsigned level = height / 8, part = height % 8;
    uint64_t first = position << part, n = first / TILE_WIDTH;
    tree_hash tile[TILE_WIDTH];
    const tree_hash *hashes = tile;
    if (n == reader->tree->size >> (8 * (level + 1)))
        hashes = (const tree_hash *)reader->tree->edge[level];
    else if (!reader->source(reader->context, level, n, tile[0]))
        return false;
    fold(hashes + first % TILE_WIDTH, part, out);
    return true;
}

void tree_fold_block(const tree_hash leaves[TILE_WIDTH], tree_hash root)
{
    fold(leaves, 8, root);
}

bool tree_block(const struct tree *tree, uint64_t n, tree_tile_source *source, void *context, tree_hash root)
{
    return n < tree->size / TILE_WIDTH && perfect(&(struct reader){tree, source, context}, 8, n, root);
}

/* The largest power of two below count (count ≥ 2). */
static uint64_t split(uint64_t count)
{
    return UINT64_C(1) << (63 - __builtin_clzll(count - 1));
}

/* MTH of the leaves [from, to), which starts at a multiple of its own width. */
static bool range_root(const struct reader *reader, uint64_t from, uint64_t to, tree_hash out)
{
    uint64_t count = to - from;
    if ((count & (count - 1)) == 0) {
        unsigned height = (unsigned)__builtin_ctzll(count);
        return perfect(reader, height, from >> height, out);
    }
    tree_hash left, right;
    uint64_t middle = from + split(count);
    if (!range_root(reader, from, middle, left) || !range_root(reader, middle, to, right)) return false;
    node(left, right, out);
    return true;
}

bool tree_root_at(const struct tree *tree, uint64_t size, tree_tile_source *source, void *context, tree_hash root)
{
    if (size > tree->size) return false;
    if (size == 0) return sha256("", 0, root), true;
    return range_root(&(struct reader){tree, source, context}, 0, size, root);
}

/* PATH(m, D[n]): what hangs beside the way down, from the leaf upwards. */
bool tree_inclusion(const struct tree *tree, uint64_t index, uint64_t size, tree_tile_source *source, void *context,
                    tree_hash *proof, unsigned *count)
{
    const struct reader reader = {tree, source, context};
    uint64_t from = 0, to = size;
    unsigned used = 0;
    if (size > tree->size || index >= size) return false;
    for (; to - from > 1; used++) {
        uint64_t middle = from + split(to - from);
        bool left = index < middle;
        if (!range_root(&reader, left ? middle : from, left ? to : middle, proof[used])) return false;
        *(left ? &to : &from) = middle;
    }
    for (unsigned i = 0; i < used / 2; i++) {
        tree_hash swap;
        memcpy(swap, proof[i], HASH_BYTES);
        memcpy(proof[i], proof[used - 1 - i], HASH_BYTES);
        memcpy(proof[used - 1 - i], swap, HASH_BYTES);
    }
    *count = used;
    return true;
}

/* SUBPROOF(m, D[from:to], whole) of RFC 6962 §2.1.2. */
static bool subproof(const struct reader *reader, uint64_t old_size, uint64_t from, uint64_t to, bool whole,
                     tree_hash *proof, unsigned *used)
{
    if (old_size == to) return whole || range_root(reader, from, to, proof[(*used)++]);
    uint64_t middle = from + split(to - from);
    if (old_size <= middle)
        return subproof(reader, old_size, from, middle, whole, proof, used) &&
               range_root(reader, middle, to, proof[(*used)++]);
    return subproof(reader, old_size, middle, to, false, proof, used) &&
           range_root(reader, from, middle, proof[(*used)++]);
}

bool tree_consistency(const struct tree *tree, uint64_t old_size, uint64_t size, tree_tile_source *source,
                      void *context, tree_hash *proof, unsigned *count)
{
    *count = 0;
    if (old_size > size || size > tree->size) return false;
    if (old_size == 0 || old_size == size) return true;
    return subproof(&(struct reader){tree, source, context}, old_size, 0, size, true, proof, count);
}

/* ── checks ────────────────────────────────────────────────────────────────────────────────────────── */

bool tree_check_inclusion(uint64_t index, uint64_t size, const tree_hash leaf, const tree_hash *proof, unsigned count,
                          const tree_hash root)
{
    tree_hash hash;
    unsigned used = 0;
    if (index >= size) return false;
    memcpy(hash, leaf, HASH_BYTES);
    for (uint64_t last = size - 1; last; last /= 2, index /= 2) {
        if (!(index & 1) && index == last) continue; /* the right edge has no sibling here */
        if (used == count) return false;
        if (index & 1)
            node(proof[used], hash, hash);
        else
            node(hash, proof[used], hash);
        used++;
    }
    return used == count && memcmp(hash, root, HASH_BYTES) == 0;
}

bool tree_check_consistency(uint64_t old_size, uint64_t size, const tree_hash old_root, const tree_hash root,
                            const tree_hash *proof, unsigned count)
{
    if (old_size == 0 || old_size > size) return false; /* everything extends nothing: there is nothing to prove */
    if (old_size == size) return count == 0 && memcmp(old_root, root, HASH_BYTES) == 0;

    tree_hash old_hash, hash;
    unsigned used = 0;
    uint64_t index = old_size - 1, last = size - 1;
    for (; index & 1; index /= 2) last /= 2;
    if (index && count == 0) return false;
    memcpy(hash, index ? proof[used++] : old_root, HASH_BYTES);
    memcpy(old_hash, hash, HASH_BYTES);
    for (; last; last /= 2, index /= 2) {
        if (!(index & 1) && index == last) continue;
        if (used == count) return false;
        if (index & 1) {
            node(proof[used], hash, hash);
            node(proof[used], old_hash, old_hash);
        } else {
            node(hash, proof[used], hash);
        }
        used++;
    }
    return used == count && memcmp(old_hash, old_root, HASH_BYTES) == 0 && memcmp(hash, root, HASH_BYTES) == 0;
}
