/* SPDX-License-Identifier: Apache-2.0 */
/* Proofs over the log's tree, out of tiles. */
#include "audit_proof.h"

#include <string.h>

/* ── checks ────────────────────────────────────────────────────────────────────────────────────────── */

bool proof_check_inclusion(uint64_t index, uint64_t size, const proof_hash leaf, const struct proof *proof,
                           const proof_hash root)
{
    proof_hash hash;
    unsigned used = 0;
    if (index >= size) return false;
    memcpy(hash, leaf, HASH_BYTES);
    for (uint64_t at = index, last = size - 1; last; at /= 2, last /= 2) {
        if (at == last && !(at & 1)) continue; /* on the right edge: nothing stands beside it */
        if (used == proof->count) return false;
        const uint8_t *beside = proof->hashes[used++];
        if (at & 1)
            audit_node(beside, hash, hash);
        else
            audit_node(hash, beside, hash);
    }
    return used == proof->count && memcmp(hash, root, HASH_BYTES) == 0;
}

/* From the last node that both trees share, upwards: both roots must come out. */
static bool climb(uint64_t at, uint64_t last, unsigned used, proof_hash old_hash, proof_hash hash,
                  const struct proof *proof)
{
    for (; last; at /= 2, last /= 2) {
        if (at == last && !(at & 1)) continue;
        if (used == proof->count) return false;
        const uint8_t *beside = proof->hashes[used++];
        if (at & 1) {
            audit_node(beside, hash, hash);
            audit_node(beside, old_hash, old_hash);
        } else {
            audit_node(hash, beside, hash);
        }
    }
    return used == proof->count;
}

bool proof_check_consistency(uint64_t old_size, uint64_t size, const proof_hash old_root, const proof_hash root,
                             const struct proof *proof)
{
    proof_hash old_hash, hash;
    if (old_size == 0 || old_size > size) return false;
    if (old_size == size) return proof->count == 0 && memcmp(old_root, root, HASH_BYTES) == 0;
    uint64_t at = old_size - 1, last = size - 1;
    while (at & 1) at /= 2, last /= 2;
    if (at && proof->count == 0) return false;
    memcpy(hash, at ? proof->hashes[0] : old_root, HASH_BYTES);
    memcpy(old_hash, hash, HASH_BYTES);
    return climb(at, last, at ? 1 : 0, old_hash, hash, proof) && memcmp(old_hash, old_root, HASH_BYTES) == 0 &&
           memcmp(hash, root, HASH_BYTES) == 0;
}

/* ── nodes ─────────────────────────────────────────────────────────────────────────────────────────── */

unsigned proof_width(uint64_t size, unsigned level, uint64_t number)
{
    if (level >= TILE_LEVELS) return 0;
    uint64_t have = size >> (TILE_HEIGHT * level), from = number * TILE_HASHES;
    if (number > UINT64_MAX / TILE_HASHES || have <= from) return 0;
    return have - from < TILE_HASHES ? (unsigned)(have - from) : TILE_HASHES;
}

void proof_fold(const proof_hash *hashes, unsigned height, proof_hash root)
{
    proof_hash work[TILE_HASHES];
    memcpy(work, hashes, sizeof *hashes << height);
    for (unsigned width = 1u << height; width > 1; width /= 2)
        for (unsigned i = 0; i < width / 2; i++) audit_node(work[2 * i], work[2 * i + 1], work[i]);
    memcpy(root, work[0], HASH_BYTES);
}

/* The node of that height and position, all of whose leaves exist. */
static bool whole(const struct proof_source *source, unsigned height, uint64_t position, proof_hash root)
{
    unsigned level = height / TILE_HEIGHT, part = height % TILE_HEIGHT;
    uint64_t first = position << part, number = first / TILE_HASHES;
    proof_hash hashes[TILE_HASHES];
    unsigned width = proof_width(source->size, level, number), from = (unsigned)(first % TILE_HASHES);
    if (width < from + (1u << part) || !source->tiles(source->context, level, number, width, hashes)) return false;
    proof_fold(hashes + from, part, root);
    return true;
}

/* The largest power of two below count, which is at least 2. */
static uint64_t half(uint64_t count)
{
    return UINT64_C(1) << (63 - __builtin_clzll(count - 1));
}

/* The root over the leaves from…to, where from is a multiple of the smallest power of two that is not less than their
 * number. */
static bool over(const struct proof_source *source, uint64_t from, uint64_t to, proof_hash root)
{
    uint64_t count = to - from;
    if ((count & (count - 1)) == 0) {
        unsigned height = (unsigned)__builtin_ctzll(count);
        return whole(source, height, from >> height, root);
    }
    proof_hash left, right;
    uint64_t middle = from + half(count);
    if (!over(source, from, middle, left) || !over(source, middle, to, right)) return false;
    audit_node(left, right, root);
    return true;
}

bool proof_root(const struct proof_source *source, uint64_t size, proof_hash root)
{
    if (size > source->size) return false;
    if (size) return over(source, 0, size, root);
    audit_hash(root, NULL, 0, NULL, 0, NULL, 0);
    return true;
}

/* ── proofs ────────────────────────────────────────────────────────────────────────────────────────── */

static bool add(const struct proof_source *source, uint64_t from, uint64_t to, struct proof *proof)
{
    return proof->count < PROOF_MOST && over(source, from, to, proof->hashes[proof->count++]);
}

/* PATH: what stands beside the way up from the leaf. */
static bool path(const struct proof_source *source, uint64_t index, uint64_t from, uint64_t to, struct proof *proof)
{
    if (to - from == 1) return true;
    uint64_t middle = from + half(to - from);
    return index < middle ? path(source, index, from, middle, proof) && add(source, middle, to, proof)
                          : path(source, index, middle, to, proof) && add(source, from, middle, proof);
}

bool proof_make_inclusion(const struct proof_source *source, uint64_t index, struct proof *proof)
{
    proof->count = 0;
    return index < source->size && path(source, index, 0, source->size, proof);
}

/* SUBPROOF: shared, when the old tree's root so far is known to whoever checks. */
static bool subproof(const struct proof_source *source, uint64_t old_size, uint64_t from, uint64_t to, bool shared,
                     struct proof *proof)
{
    if (old_size == to) return shared || add(source, from, to, proof);
    uint64_t middle = from + half(to - from);
    return old_size <= middle
               ? subproof(source, old_size, from, middle, shared, proof) && add(source, middle, to, proof)
               : subproof(source, old_size, middle, to, false, proof) && add(source, from, middle, proof);
}

bool proof_make_consistency(const struct proof_source *source, uint64_t old_size, struct proof *proof)
{
    proof->count = 0;
    if (old_size == 0 || old_size > source->size) return false;
    return old_size == source->size || subproof(source, old_size, 0, source->size, true, proof);
}
