/* SPDX-License-Identifier: Apache-2.0 */
/* The tree against RFC 6962 probes that nobody on this project wrote, and against itself at every size. */
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/ledger/tree.h"
#include "tests/lib/probes.h"

/* ── the probes ────────────────────────────────────────────────────────────────────────────────────── */

static bool judge(const struct probe *probe)
{
    const tree_hash *proof = (const tree_hash *)probe->proof;
    return probe->inclusion
               ? tree_check_inclusion(probe->first, probe->second, probe->other, proof, probe->count, probe->root)
               : tree_check_consistency(probe->first, probe->second, probe->other, probe->root, proof, probe->count);
}

static void test_probes(void **state)
{
    unsigned good = 0;
    unsigned count = probes_run("inclusion", judge, &good) + probes_run("consistency", judge, &good);
    if (!count) skip();
    assert_int_equal(count, 196);
    assert_int_equal(good, 12);
}

/* ── against itself ────────────────────────────────────────────────────────────────────────────────── */

enum { SIZES = 70000 };
static struct tree tree, loaded;
static uint8_t tiles[3][SIZES / 256 + 1][TILE_BYTES];
static tree_hash leaves[SIZES];

static bool sink(void *context, unsigned level, uint64_t n, const uint8_t *hashes)
{
    memcpy(tiles[level][n], hashes, TILE_BYTES);
    return true;
}

static bool source(void *context, unsigned level, uint64_t n, uint8_t *hashes)
{
    if (level > 2 || n >= tree.size >> (8 * (level + 1))) return false;
    memcpy(hashes, tiles[level][n], TILE_BYTES);
    return true;
}

static bool leaf_source(void *context, uint64_t from, unsigned count, tree_hash *out)
{
    memcpy(out, leaves[from], count * sizeof *out);
    return true;
}

static void grow(uint64_t to)
{
    while (tree.size < to) {
        uint64_t index = tree.size;
        tree_leaf(&index, sizeof index, leaves[index]);
        assert_true(tree_append(&tree, leaves[index], sink, NULL));
    }
}

/* RFC 6962 §2.1, word for word and slowly. */
static void slow_root(uint64_t from, uint64_t to, tree_hash out)
{
    tree_hash pair[2];
    uint64_t half = 1;
    if (to == from) return sha256("", 0, out);
    if (to - from == 1) return (void)memcpy(out, leaves[from], HASH_BYTES);
    while (half * 2 < to - from) half *= 2;
    slow_root(from, from + half, pair[0]);
    slow_root(from + half, to, pair[1]);
    sha256_three("\1", 1, pair, sizeof pair, NULL, 0, out);
}

static void test_roots(void **state)
{
    static const uint64_t sizes[] = {0,   1,   2,   3,   4,   5,   7,     8,     9,     255,
                                     256, 257, 300, 511, 512, 513, 65535, 65536, 65537, 70000};
    tree_hash fast, slow, later;
    memset(&tree, 0, sizeof tree);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        grow(sizes[i]);
        tree_root(&tree, fast);
        slow_root(0, sizes[i], slow);
        assert_memory_equal(fast, slow, HASH_BYTES);
        assert_true(tree_load(&loaded, sizes[i], source, leaf_source, NULL, NULL));
        tree_root(&loaded, fast);
        assert_memory_equal(fast, slow, HASH_BYTES);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        assert_true(tree_root_at(&tree, sizes[i], source, NULL, later));
        slow_root(0, sizes[i], slow);
        assert_memory_equal(later, slow, HASH_BYTES);
    }
    assert_false(tree_root_at(&tree, 70001, source, NULL, later));
}

/* Of the first blocks only the roots are left; the third has its tile, and its root would be a false one. */
static bool block_source(void *context, uint64_t n, tree_hash root)
{
    bool *asked = context;
    *asked = true;
    return n < 2 && (tree_fold_block((const tree_hash *)leaves[n * TILE_WIDTH], root), true);
}

static bool young_source(void *context, unsigned level, uint64_t n, uint8_t *hashes)
{
    return (level > 0 || n >= 2) && source(context, level, n, hashes);
}

/* A tree whose first leaves are gone: the roots of later sizes, and proofs about later leaves, are what they were. */
static void test_dropped_blocks(void **state)
{
    static const uint64_t sizes[] = {512, 513, 700, 768, 1000, 1024};
    tree_hash root, slow, old, proof[TREE_PROOF];
    unsigned count;
    bool asked = false;
    memset(&tree, 0, sizeof tree);
    grow(1024);
    assert_false(tree_load(&loaded, tree.size, young_source, leaf_source, NULL, &asked));
    assert_true(tree_load(&loaded, tree.size, young_source, leaf_source, block_source, &asked));
    assert_true(asked);
    slow_root(0, 700, old);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint64_t size = sizes[i];
        assert_true(tree_root_at(&loaded, size, young_source, NULL, root));
        slow_root(0, size, slow);
        assert_memory_equal(root, slow, HASH_BYTES);
        if (size == 512) continue;
        assert_true(tree_inclusion(&loaded, size - 1, size, young_source, NULL, proof, &count));
        assert_true(tree_check_inclusion(size - 1, size, leaves[size - 1], (const tree_hash *)proof, count, root));
        if (size <= 700) continue;
        assert_true(tree_consistency(&loaded, 700, size, young_source, NULL, proof, &count));
        assert_true(tree_check_consistency(700, size, old, root, (const tree_hash *)proof, count));
    }
    assert_false(tree_root_at(&loaded, 300, young_source, NULL, root));
    assert_false(tree_inclusion(&loaded, 300, 1024, young_source, NULL, proof, &count));
    assert_false(tree_consistency(&loaded, 300, 1024, young_source, NULL, proof, &count));
    slow_root(256, 512, slow);
    assert_true(tree_block(&loaded, 1, young_source, NULL, root));
    assert_memory_equal(root, slow, HASH_BYTES);
    assert_false(tree_block(&loaded, 4, young_source, NULL, root));
}

/* A loaded tree goes on exactly as the one that it was loaded from. */
static void test_load_and_go_on(void **state)
{
    tree_hash first, second;
    memset(&tree, 0, sizeof tree);
    grow(65000);
    assert_true(tree_load(&loaded, tree.size, source, leaf_source, NULL, NULL));
    uint64_t from = tree.size;
    grow(66000);
    for (uint64_t i = from; i < 66000; i++) assert_true(tree_append(&loaded, leaves[i], NULL, NULL));
    tree_root(&tree, first);
    tree_root(&loaded, second);
    assert_memory_equal(first, second, HASH_BYTES);
    assert_memory_equal(tree.edge_count, loaded.edge_count, sizeof tree.edge_count);
}

static void test_proofs(void **state)
{
    tree_hash proof[TREE_PROOF], root, old_root;
    unsigned count;
    memset(&tree, 0, sizeof tree);
    grow(66000);
    for (uint64_t size = 1; size <= 66000; size += size < 40 ? 1 : 977) {
        assert_true(tree_root_at(&tree, size, source, NULL, root));
        for (uint64_t index = 0; index < size; index += size < 40 ? 1 : 4099) {
            assert_true(tree_inclusion(&tree, index, size, source, NULL, proof, &count));
            assert_true(tree_check_inclusion(index, size, leaves[index], proof, count, root));
            assert_false(tree_check_inclusion(index, size, leaves[index], proof, count + 1, root));
            if (count) assert_false(tree_check_inclusion(index, size, leaves[index], proof, count - 1, root));
        }
        for (uint64_t old = 0; old <= size; old += size < 40 ? 1 : 4099) {
            assert_true(tree_root_at(&tree, old, source, NULL, old_root));
            assert_true(tree_consistency(&tree, old, size, source, NULL, proof, &count));
            assert_int_equal(tree_check_consistency(old, size, old_root, root, proof, count), old != 0);
            if (old == 0 || old == size) continue;
            old_root[0] ^= 1;
            assert_false(tree_check_consistency(old, size, old_root, root, proof, count));
        }
    }
    assert_false(tree_inclusion(&tree, 5, 5, source, NULL, proof, &count));
    assert_false(tree_consistency(&tree, 6, 5, source, NULL, proof, &count));
    assert_false(tree_consistency(&tree, 5, 66001, source, NULL, proof, &count));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_probes), cmocka_unit_test(test_roots),
                                       cmocka_unit_test(test_load_and_go_on), cmocka_unit_test(test_dropped_blocks),
                                       cmocka_unit_test(test_proofs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
