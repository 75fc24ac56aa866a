/* SPDX-License-Identifier: Apache-2.0 */
/* caisson-verify on folders of tiles that the test writes with keys of its own: whole ones, cut ones, pruned ones, ones
 * with a changed bit anywhere, and logs whose key rolls, honestly and not. */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/keyderive.h"
#include "tools/audit_note.h"
#include "tools/audit_proof.h"
#include "tools/audit_proof_file.h"
#include "tools/audit_tile.h"
#include "tools/audit_tree.h"
#include "tools/verify.h"

#define ORIGIN "log.example/1"
enum { ENTRIES_MOST = 70000 };

struct key {
    uint8_t public[32], secret[64];
    char vkey[VKEY_TEXT];
};

/* One log: its entries' leaves, and the folder where its export stands. */
static struct log {
    char folder[64];
    uint64_t size;
    proof_hash leaves[ENTRIES_MOST];
    char roll[2048]; /* the entry at roll_index, when that is less than size */
    uint64_t roll_index;
} the_log;

static void key_make(struct key *key)
{
    crypto_sign_keypair(key->public, key->secret);
    vkey_text(ORIGIN, key->public, key->vkey);
}

/* ── writing ───────────────────────────────────────────────────────────────────────────────────────── */

static void put(const char *path, const void *bytes, size_t count)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s/%s", the_log.folder, path);
    for (char *slash = whole + strlen(the_log.folder) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    fclose(file);
}

static size_t body_of(uint64_t index, char body[2048])
{
    if (index == the_log.roll_index) return (size_t)snprintf(body, 2048, "%s", the_log.roll);
    return (size_t)snprintf(body, 2048, "{\"at\":%llu,\"kind\":\"gap\",\"v\":1}", (unsigned long long)index);
}

/* Hashes of whole subtrees, level by level, out of the leaves. */
static bool tiles(void *context, unsigned level, uint64_t number, unsigned width, proof_hash *hashes)
{
    proof_hash below[TILE_HASHES];
    for (unsigned i = 0; i < width; i++) {
        uint64_t at = number * TILE_HASHES + i;
        if (level == 0)
            memcpy(hashes[i], the_log.leaves[at], HASH_BYTES);
        else if (tiles(NULL, level - 1, at, TILE_HASHES, below))
            proof_fold(below, TILE_HEIGHT, hashes[i]);
    }
    return true;
}

static void make_leaves(uint64_t size)
{
    the_log.size = size;
    for (uint64_t i = 0; i < size; i++) {
        char body[2048];
        size_t length = body_of(i, body);
        audit_leaf(body, length, the_log.leaves[i]);
    }
}

static size_t note_of(uint64_t size, const struct key *key, char note[2048])
{
    proof_hash root;
    char root64[64], line64[128];
    uint8_t line[68];
    const struct proof_source source = {size, tiles, NULL};
    assert_true(proof_root(&source, size, root));
    sodium_bin2base64(root64, sizeof root64, root, sizeof root, sodium_base64_VARIANT_ORIGINAL);
    int length = snprintf(note, 2048, "%s\n%llu\n%s\n", ORIGIN, (unsigned long long)size, root64);
    vkey_hash(ORIGIN, key->public, line);
    crypto_sign_detached(line + 4, NULL, (const uint8_t *)note, (size_t)length, key->secret);
    sodium_bin2base64(line64, sizeof line64, line, sizeof line, sodium_base64_VARIANT_ORIGINAL);
    return (size_t)length + (size_t)snprintf(note + length, 512, "\n\xe2\x80\x94 %s %s\n", ORIGIN, line64);
}

static void put_bundle(uint64_t number, unsigned width)
{
    static uint8_t bundle[TILE_HASHES * 2048];
    char path[TILE_PATH], body[2048];
    size_t used = 0;
    for (unsigned i = 0; i < width; i++) {
        size_t length = body_of(number * TILE_HASHES + i, body);
        bundle[used++] = (uint8_t)(length >> 8);
        bundle[used++] = (uint8_t)length;
        memcpy(bundle + used, body, length);
        used += length;
    }
    tile_path(path, TILE_ENTRIES, number, width);
    put(path, bundle, used);
}

static void export_log(uint64_t size, const struct key *key)
{
    char path[TILE_PATH], note[2048];
    proof_hash hashes[TILE_HASHES];
    make_leaves(size);
    for (unsigned level = 0; level < TILE_LEVELS; level++)
        for (uint64_t number = 0;; number++) {
            unsigned width = proof_width(size, level, number);
            if (!width) break;
            tiles(NULL, level, number, width, hashes);
            tile_path(path, level, number, width);
            put(path, hashes, width * sizeof *hashes);
            if (level == 0) put_bundle(number, width);
        }
    put("checkpoint", note, note_of(size, key, note));
}

static int take_away(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    return remove(path);
}

static void clear_folder(void)
{
    if (*the_log.folder) nftw(the_log.folder, take_away, 16, FTW_DEPTH | FTW_PHYS);
    snprintf(the_log.folder, sizeof the_log.folder, "/tmp/caisson-verify.XXXXXX");
    assert_non_null(mkdtemp(the_log.folder));
}

static int setup(void **state)
{
    clear_folder();
    the_log.roll_index = UINT64_MAX;
    return 0;
}

static int teardown(void **state)
{
    nftw(the_log.folder, take_away, 16, FTW_DEPTH | FTW_PHYS);
    *the_log.folder = '\0';
    return 0;
}

/* ── verifying ─────────────────────────────────────────────────────────────────────────────────────── */

/* What it says of the folder, with that first key; 0: good. */
static enum err_kind judged(const struct key *key, uint64_t least, struct err *err)
{
    struct verify verify = {.arguments = {the_log.folder}, .argument_count = 1, .least = least};
    *err = (struct err){0};
    assert_true(keys_pin(&verify.keys, key->vkey, NOTE_LOG, err));
    verify.keys.origin = ORIGIN;
    bool good = verify_tiles(&verify, err);
    assert_true(good || err->kind != ERR_NONE);
    if (good && !least) assert_int_equal(verify.entries, the_log.size);
    keys_clear(&verify.keys);
    return good ? ERR_NONE : err->kind;
}

static void assert_judged(const struct key *key, uint64_t least, enum err_kind kind, const char *words)
{
    struct err err;
    enum err_kind found = judged(key, least, &err);
    if (found != kind || (words && !strstr(err.text, words)))
        fail_msg("%d instead of %d: \"%s\" (wanted \"%s\")", found, kind, err.text, words ? words : "");
}

static void test_whole_logs(void **state)
{
    static const uint64_t sizes[] = {0, 1, 2, 3, 255, 256, 257, 511, 513, 65535, 65536, 65537, 70000};
    struct key key, other;
    key_make(&key);
    key_make(&other);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        clear_folder();
        export_log(sizes[i], &key);
        assert_judged(&key, 0, ERR_NONE, NULL);
        assert_judged(&other, 0, ERR_DAMAGED, "no key of the log that is known signed it");
    }
}

/* Every file, with a bit changed in its first, middle and last byte, a byte cut off, and a byte more. */
static struct key bit_key;
static unsigned changed;

static void rewrite(const char *path, const char *bytes, size_t count)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fwrite(bytes, 1, count, file);
    fclose(file);
}

static int change(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    static char bytes[1 << 20];
    struct err err;
    if (type != FTW_F) return 0;
    FILE *file = fopen(path, "r");
    size_t count = fread(bytes, 1, sizeof bytes - 1, file);
    fclose(file);
    size_t places[] = {0, count / 2, count - 1};
    for (int i = 0; i < 3; i++) {
        bytes[places[i]] ^= 1;
        rewrite(path, bytes, count);
        if (judged(&bit_key, 0, &err) == ERR_NONE) fail_msg("%s: a changed bit at %zu is not noticed", path, places[i]);
        bytes[places[i]] ^= 1;
    }
    rewrite(path, bytes, count - 1);
    if (judged(&bit_key, 0, &err) != ERR_DAMAGED) fail_msg("%s: cut by a byte: %s", path, err.text);
    bytes[count] = 'x';
    rewrite(path, bytes, count + 1);
    if (judged(&bit_key, 0, &err) != ERR_DAMAGED) fail_msg("%s: a byte more: %s", path, err.text);
    unlink(path);
    if (judged(&bit_key, 0, &err) == ERR_NONE || err.kind == ERR_DAMAGED) fail_msg("%s: missing: %s", path, err.text);
    assert_int_equal(symlink("/dev/zero", path), 0); /* nothing that never ends */
    if (judged(&bit_key, 0, &err) == ERR_NONE || err.kind == ERR_DAMAGED) fail_msg("%s: a device is read", path);
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* nothing that is waited for */
    if (judged(&bit_key, 0, &err) == ERR_NONE || err.kind == ERR_DAMAGED) fail_msg("%s: a pipe is read", path);
    unlink(path);
    rewrite(path, bytes, count);
    changed++;
    return 0;
}

static void test_every_bit_counts(void **state)
{
    key_make(&bit_key);
    export_log(1031, &bit_key);
    assert_judged(&bit_key, 0, ERR_NONE, NULL);
    assert_int_equal(nftw(the_log.folder, change, 16, FTW_PHYS), 0);
    assert_int_equal(changed, 5 + 5 + 1 + 1); /* leaves, bundles, level 1, checkpoint */
    assert_judged(&bit_key, 0, ERR_NONE, NULL);
}

/* An entry, its leaf and their tile rewritten so that they fit each other, but not what is above them. */
static void test_a_rewritten_entry(void **state)
{
    static const char other[] = "{\"at\":5,\"kind\":\"admin\",\"v\":1}";
    struct key key;
    key_make(&key);
    export_log(1031, &key);
    the_log.roll_index = 5;
    snprintf(the_log.roll, sizeof the_log.roll, "%s", other);
    audit_leaf(other, strlen(other), the_log.leaves[5]);
    put_bundle(0, TILE_HASHES);
    assert_judged(&key, 0, ERR_DAMAGED, "entry 5 is not the one that the tree holds");
    put("tile/0/000", the_log.leaves, TILE_HASHES * sizeof *the_log.leaves);
    assert_judged(&key, 0, ERR_DAMAGED, "tile/0/000 does not fit the tile above it");
    proof_hash above[4];
    assert_true(tiles(NULL, 1, 0, 4, above));
    put("tile/1/000.p/4", above, sizeof above);
    assert_judged(&key, 0, ERR_DAMAGED, "the tiles do not give the root that the checkpoint names");
}

static void drop(unsigned level, uint64_t number)
{
    char whole[512], path[TILE_PATH];
    tile_path(path, level, number, TILE_HASHES);
    snprintf(whole, sizeof whole, "%s/%s", the_log.folder, path);
    assert_int_equal(unlink(whole), 0);
}

static void test_pruned_logs(void **state)
{
    struct key key;
    key_make(&key);
    export_log(1031, &key);
    drop(TILE_ENTRIES, 0);
    assert_judged(&key, 0, ERR_STATE, "256 entries cannot be looked at, from entry 0 on");
    assert_judged(&key, 255, ERR_STATE, NULL);
    assert_judged(&key, 256, ERR_NONE, NULL);
    drop(TILE_ENTRIES, 1);
    assert_judged(&key, 256, ERR_STATE, "from entry 256 on");
    assert_judged(&key, 512, ERR_NONE, NULL);
    drop(0, 0); /* its leaves too: the tile above still holds their root */
    assert_judged(&key, 512, ERR_NONE, NULL);
    assert_judged(&key, 0, ERR_STATE, NULL);
}

/* A full tile may stand where a partial one is asked for, once the log has grown. */
static void test_full_for_partial(void **state)
{
    struct key key;
    char note[2048];
    key_make(&key);
    export_log(600, &key);
    put("checkpoint", note, note_of(300, &key, note));
    the_log.size = 300;
    assert_judged(&key, 0, ERR_STATE, "tile/1/000.p/1 is missing");
    proof_hash above[2];
    assert_true(tiles(NULL, 1, 0, 1, above));
    put("tile/1/000.p/1", above, sizeof *above);
    assert_judged(&key, 0, ERR_NONE, NULL);
}

/* ── keys that roll ────────────────────────────────────────────────────────────────────────────────── */

static void put_roll(uint64_t index, const struct key *signer)
{
    char note[2048], path[64];
    struct proof proof;
    BUF_AUTO file;
    buf_init(&file, 1 << 20);
    const struct proof_source source = {index + 1, tiles, NULL};
    size_t length = note_of(index + 1, signer, note);
    assert_true(proof_make_inclusion(&source, index, &proof));
    assert_true(proof_file_write(index, &proof, the_log.roll, strlen(the_log.roll), note, length, &file));
    snprintf(path, sizeof path, "rolls/%llu.tlog-proof", (unsigned long long)index);
    put(path, file.bytes, file.used);
}

/* signer: who signs the pair of keys; NULL: nobody. */
static void say_roll_by(uint64_t index, const struct key *old, const struct key *new, const struct key *signer)
{
    char pair[2048], digits[129] = "";
    uint8_t signature[crypto_sign_BYTES];
    int length = snprintf(pair, sizeof pair, "caisson key roll v1\n%s\n%s\n", old->vkey, new->vkey);
    if (signer) crypto_sign_detached(signature, NULL, (const uint8_t *)pair, (size_t)length, signer->secret);
    if (signer) hex_text(signature, sizeof signature, digits);
    the_log.roll_index = index;
    snprintf(the_log.roll, sizeof the_log.roll,
             "{\"at\":%llu,\"kind\":\"key_roll\",\"new\":\"%s\",\"old\":\"%s\",\"sign\":\"%s\",\"v\":1}",
             (unsigned long long)index, new->vkey, old->vkey, digits);
}

static void say_roll(uint64_t index, const struct key *old, const struct key *new)
{
    say_roll_by(index, old, new, old);
}

/* A ledger that is taken over names a key of its own, and has the tree signed as always. */
static void test_a_key_that_the_writer_named(void **state)
{
    struct key first, own;
    key_make(&first);
    key_make(&own);
    for (int i = 0; i < 2; i++) {
        say_roll_by(300, &first, &own, i ? &own : NULL);
        export_log(600, &own);
        put_roll(300, &first);
        assert_judged(&first, 0, ERR_DAMAGED, "did not name the new one itself");
        clear_folder();
        export_log(600, &first); /* without the proof, signed by the key in use: the entry is a lie all the same */
        assert_judged(&first, 0, ERR_DAMAGED, "entry 300 names a new key, and the key in use did not");
    }
}

static void test_a_key_that_rolled(void **state)
{
    struct key first, second, third;
    key_make(&first);
    key_make(&second);
    key_make(&third);
    say_roll(300, &first, &second);
    export_log(600, &second);
    assert_judged(&first, 0, ERR_DAMAGED, "no key of the log that is known signed it"); /* nobody says that it rolled */
    put_roll(300, &first);
    assert_judged(&first, 0, ERR_NONE, NULL);
    assert_judged(&second, 0, ERR_NONE, NULL); /* who pins the newer key needs no proof of what was before it */
    assert_judged(&third, 0, ERR_DAMAGED, "no key of the log that is known signed it");
    put_roll(300, &second); /* signed by itself */
    assert_judged(&first, 0, ERR_DAMAGED, NULL);
    put_roll(300, &third);
    assert_judged(&first, 0, ERR_DAMAGED, NULL);
    put_roll(300, &first);
    say_roll(300, &first, &third);
    export_log(600, &second); /* the log says otherwise than the proof */
    assert_judged(&first, 0, ERR_DAMAGED, NULL);
}

static void test_keys_outside_their_range(void **state)
{
    struct key first, second;
    char note[2048];
    key_make(&first);
    key_make(&second);
    say_roll(300, &first, &second);
    export_log(600, &first); /* the old key after it was replaced: whoever kept a copy */
    put_roll(300, &first);
    assert_judged(&first, 0, ERR_DAMAGED, "may sign trees of 0 to 301 entries only");
    export_log(301, &first);
    assert_judged(&first, 0, ERR_NONE, NULL);
    put("checkpoint", note, note_of(301, &second, note));
    assert_judged(&first, 0, ERR_DAMAGED, "may sign trees of 302 to");
    export_log(302, &second);
    assert_judged(&first, 0, ERR_NONE, NULL);
    export_log(200, &second); /* old entries under the new key: CVE-2023-31439 */
    assert_judged(&first, 0, ERR_DAMAGED, "may sign trees of 302 to");
}

/* The proof of a roll is left out, so that a retired key goes on: the log itself gives it away. */
static void test_a_roll_that_is_hidden(void **state)
{
    struct key first, second;
    key_make(&first);
    key_make(&second);
    say_roll(300, &first, &second);
    export_log(600, &first);
    assert_judged(&first, 0, ERR_STATE, "the log's key rolls at entry 300");
    assert_judged(&second, 0, ERR_DAMAGED, "no key of the log that is known signed it");
    export_log(600, &second);
    assert_judged(&second, 0, ERR_NONE, NULL);
}

/* A roll out of another log that the same key signed. */
static void test_a_roll_of_another_log(void **state)
{
    struct key first, second;
    key_make(&first);
    key_make(&second);
    say_roll(300, &first, &second);
    make_leaves(301);
    the_log.leaves[7][0] ^= 1;
    put_roll(300, &first);
    export_log(600, &second);
    assert_judged(&first, 0, ERR_DAMAGED, "was signed in another log than this");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_logs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_bit_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_rewritten_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pruned_logs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_for_partial, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_key_that_rolled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_key_that_the_writer_named, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_outside_their_range, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_roll_that_is_hidden, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_roll_of_another_log, setup, teardown),
    };
    if (sodium_init() < 0) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
