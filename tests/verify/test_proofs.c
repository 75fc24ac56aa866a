/* SPDX-License-Identifier: Apache-2.0 */
/* Proofs and notes of caisson-verify: against vectors that nobody on this project wrote, against RFC 6962 written down
 * once more, and against everything that is nearly right. */
#include <dirent.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/probes.h"
#include "tools/audit_note.h"
#include "tools/audit_proof.h"
#include "tools/audit_proof_file.h"
#include "tools/audit_tile.h"

static const char *data_folder(void)
{
    const char *data = getenv("CAISSON_TEST_DATA");
    return data ? data : SOURCE_ROOT "/../shared";
}

static bool has_vectors(const char *name)
{
    char path[2048];
    snprintf(path, sizeof path, "%s/vectors/%s", data_folder(), name);
    DIR *folder = opendir(path);
    if (folder) closedir(folder);
    if (!folder) print_message("skipped: no vectors/%s below CAISSON_TEST_DATA\n", name);
    return folder;
}

static size_t read_whole(const char *path, char *text, size_t room)
{
    FILE *file = fopen(path, "r");
    if (!file) fail_msg("%s cannot be opened", path);
    size_t got = fread(text, 1, room - 1, file);
    fclose(file);
    text[got] = '\0';
    return got;
}

/* ── 196 probes ────────────────────────────────────────────────────────────────────────────────────── */

static bool judge(const struct probe *probe)
{
    struct proof proof = {.count = probe->count};
    memcpy(proof.hashes, probe->proof, sizeof proof.hashes);
    return probe->inclusion ? proof_check_inclusion(probe->first, probe->second, probe->other, &proof, probe->root)
                            : proof_check_consistency(probe->first, probe->second, probe->other, probe->root, &proof);
}

static void test_probes(void **state)
{
    unsigned good = 0;
    unsigned count = probes_run("inclusion", judge, &good) + probes_run("consistency", judge, &good);
    if (!count) skip();
    assert_int_equal(count, 196);
    assert_int_equal(good, 12);
}

/* ── RFC 6962 §2.1, word for word ──────────────────────────────────────────────────────────────────── */

enum { LEAVES = 700 };
static proof_hash leaves[LEAVES];

static size_t half(size_t count)
{
    size_t k = 1;
    while (k * 2 < count) k *= 2;
    return k;
}

static void mth(size_t from, size_t count, proof_hash out)
{
    proof_hash both[2];
    unsigned char bytes[1 + 2 * HASH_BYTES] = {1};
    if (count == 0) {
        crypto_hash_sha256(out, (const uint8_t *)"", 0);
        return;
    }
    if (count == 1) {
        memcpy(out, leaves[from], HASH_BYTES);
        return;
    }
    mth(from, half(count), both[0]);
    mth(from + half(count), count - half(count), both[1]);
    memcpy(bytes + 1, both, sizeof both);
    crypto_hash_sha256(out, bytes, sizeof bytes);
}

static void path_of(size_t m, size_t from, size_t n, struct proof *proof)
{
    if (n == 1) return;
    size_t k = half(n);
    if (m < k) {
        path_of(m, from, k, proof);
        mth(from + k, n - k, proof->hashes[proof->count++]);
    } else {
        path_of(m - k, from + k, n - k, proof);
        mth(from, k, proof->hashes[proof->count++]);
    }
}

/* Tiles of that very tree, cut out by definition. */
static bool cut(void *context, unsigned level, uint64_t number, unsigned width, proof_hash *hashes)
{
    size_t span = (size_t)1 << (TILE_HEIGHT * level);
    for (unsigned i = 0; i < width; i++) {
        size_t from = ((size_t)number * TILE_HASHES + i) * span;
        assert_true(from + span <= LEAVES);
        mth(from, span, hashes[i]);
    }
    return true;
}

static void make_leaves(void)
{
    for (unsigned i = 0; i < LEAVES; i++) crypto_hash_sha256(leaves[i], (const uint8_t *)&i, sizeof i);
}

static void test_every_size(void **state)
{
    make_leaves();
    for (size_t size = 0; size < LEAVES; size += size < 20 || (size > 250 && size < 262) ? 1 : 37) {
        proof_hash root, found;
        const struct proof_source source = {size, cut, NULL};
        mth(0, size, root);
        assert_true(proof_root(&source, size, found));
        assert_memory_equal(root, found, HASH_BYTES);
        for (size_t index = 0; index < size; index += size < 20 ? 1 : 29) {
            struct proof made, wanted = {0};
            path_of(index, 0, size, &wanted);
            assert_true(proof_make_inclusion(&source, index, &made));
            assert_int_equal(made.count, wanted.count);
            assert_memory_equal(made.hashes, wanted.hashes, made.count * sizeof *made.hashes);
            assert_true(proof_check_inclusion(index, size, leaves[index], &made, root));
            assert_false(proof_check_inclusion(index + 1, size, leaves[index], &made, root));
            assert_false(size > 1 && proof_check_inclusion(index, size, leaves[(index + 1) % size], &made, root));
        }
    }
}

static void test_growth_of_every_size(void **state)
{
    make_leaves();
    for (size_t size = 1; size < LEAVES; size += size < 20 || (size > 250 && size < 262) ? 1 : 37) {
        proof_hash root, old_root;
        const struct proof_source source = {size, cut, NULL};
        struct proof proof;
        mth(0, size, root);
        assert_false(proof_make_consistency(&source, 0, &proof));
        assert_false(proof_make_consistency(&source, size + 1, &proof));
        for (size_t old = 1; old <= size; old += size < 20 ? 1 : 31) {
            mth(0, old, old_root);
            assert_true(proof_make_consistency(&source, old, &proof));
            assert_true(proof_check_consistency(old, size, old_root, root, &proof));
            old_root[0] ^= 1;
            assert_false(proof_check_consistency(old, size, old_root, root, &proof));
            old_root[0] ^= 1;
            for (unsigned i = 0; i < proof.count; i++) {
                proof.hashes[i][31] ^= 0x80;
                assert_false(proof_check_consistency(old, size, old_root, root, &proof));
                proof.hashes[i][31] ^= 0x80;
            }
            memcpy(proof.hashes[proof.count++], root, HASH_BYTES);
            assert_false(proof_check_consistency(old, size, old_root, root, &proof));
        }
    }
}

/* ── notes ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool opens(const char *bytes, size_t length, struct note_signer *signers, unsigned count, struct err *err)
{
    struct note_parts parts;
    if (!note_split(bytes, length, &parts, err) || !note_check(&parts, signers, count, err)) return false;
    for (unsigned i = 0; i < count; i++)
        if (signers[i].good) return true;
    return err_set(err, ERR_DAMAGED, "nobody known signed it");
}

static void test_known_notes(void **state)
{
    static const struct {
        const char *file, *name;
        bool checkpoint;
    } notes[] = {{"sumdb-6476701", "sum.golang.org", true},
                 {"sumdb-35225469", "sum.golang.org", true},
                 {"sumdb-15067302-with-unknown-cosigner", "sum.golang.org", true},
                 {"c2sp-signed-note-example", "example.com/foo", false},
                 {"xmod-peterneumann", "PeterNeumann", false}};
    char path[2048], keys[4096], text[8192];
    if (!has_vectors("notes")) skip();
    snprintf(path, sizeof path, "%s/vectors/notes/vkeys.txt", data_folder());
    read_whole(path, keys, sizeof keys);
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        struct note_signer signer;
        struct note_parts parts;
        struct audit_note note;
        struct err err = {0};
        char *vkey = strstr(keys, notes[i].name);
        assert_non_null(vkey);
        char *copy = strndup(vkey, strcspn(vkey, "\n"));
        assert_true(signer_parse(copy, &signer, &err));
        free(copy);
        snprintf(path, sizeof path, "%s/vectors/notes/%s.note", data_folder(), notes[i].file);
        size_t length = read_whole(path, text, sizeof text);
        if (!opens(text, length, &signer, 1, &err)) fail_msg("%s: %s", notes[i].file, err.text);
        assert_true(note_split(text, length, &parts, &err));
        assert_int_equal(checkpoint_parse(&parts, NULL, &note, &err), notes[i].checkpoint);
        for (size_t at = 0; at < parts.text_length; at++) { /* not a bit of the text can be changed */
            text[at] ^= 4;
            assert_false(opens(text, length, &signer, 1, &err));
            text[at] ^= 4;
        }
        signer.id[0] ^= 1; /* another key */
        assert_false(opens(text, length, &signer, 1, &err));
    }
}

#define DASH "\xe2\x80\x94 "
#define ROOT "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define SIGNED "\n" DASH "other AAAAAAA=\n"

static void test_checkpoints_word_for_word(void **state)
{
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {"log/1\n0\n" ROOT "\n" SIGNED, true},
        {"log/1\n9223372036854775807\n" ROOT "\n" SIGNED, true},
        {"log/1\n0\n" ROOT "\nextension\n" SIGNED, true},
        {"log/1\n9223372036854775808\n" ROOT "\n" SIGNED, false},
        {"log/1\n18446744073709551617\n" ROOT "\n" SIGNED, false},
        {"log/1\n00\n" ROOT "\n" SIGNED, false},
        {"log/1\n01\n" ROOT "\n" SIGNED, false},
        {"log/1\n+1\n" ROOT "\n" SIGNED, false},
        {"log/1\n-1\n" ROOT "\n" SIGNED, false},
        {"log/1\n1 \n" ROOT "\n" SIGNED, false},
        {"log/1\n\n" ROOT "\n" SIGNED, false},
        {"log/1\n0x1\n" ROOT "\n" SIGNED, false},
        {"log/2\n0\n" ROOT "\n" SIGNED, false},
        {"log/1 \n0\n" ROOT "\n" SIGNED, false},
        {"\n0\n" ROOT "\n" SIGNED, false},
        {"log/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU\n" SIGNED, false},  /* no padding */
        {"log/1\n0\n47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU=\n" SIGNED, false}, /* the other alphabet */
        {"log/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\n" SIGNED, false}, /* stray bits */
        {"log/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hS\n" SIGNED, false},     /* 30 bytes */
        {"log/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3\xe8SuFU=\n" SIGNED, false},
        {"log/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3\xc3\xa8uFU=\n" SIGNED, false}, /* no letter of base64 */
        {"log/1\n0\n" ROOT " \n" SIGNED, false},
        {"log/1\n0\n" SIGNED, false},
        {"log/1\r\n0\r\n" ROOT "\r\n" SIGNED, false},
        {"log/1\n0\n" ROOT "\n\n" DASH "other AAAAAAA=", false},        /* no newline at the end */
        {"log/1\n0\n" ROOT "\n\n", false},                              /* no signature */
        {"log/1\n0\n" ROOT "\n", false},                                /* not even an empty line */
        {"log/1\n0\n" ROOT "\n\n- other AAAAAAA=\n", false},            /* a hyphen */
        {"log/1\n0\n" ROOT "\n\n\xe2\x80\x93 other AAAAAAA=\n", false}, /* an en dash */
        {"log/1\n0\n" ROOT "\n\n\xe2\x80\x94other AAAAAAA=\n", false},
        {"log/1\n0\n" ROOT "\n\n" DASH "other\n", false},
        {"log/1\n0\n" ROOT "\n\n" DASH " AAAAAAA=\n", false},
        {"log/1\n0\n" ROOT "\n\n" DASH "o+r AAAAAAA=\n", false},
        {"log/1\n0\n" ROOT "\n\n" DASH "o\xc2\xa0r AAAAAAA=\n", false}, /* a space of Unicode's */
        {"log/1\n0\n" ROOT "\n\n" DASH "o\xe2\x80\x89r AAAAAAA=\n", false},
        {"log/1\n0\n" ROOT "\n\n" DASH "other AAAAAA==\n", false}, /* an id and nothing else */
        {"log/1\n0\n" ROOT "\n\n" DASH "other AAAAAAA\n", false},
        {"log/1\n0\n" ROOT "\n\n" DASH "other  AAAAAAA=\n", false},
        {"log/1\n0\n" ROOT "\n\n" DASH "other AAAAAAA= \n", false},
        {"log/1\n0\n" ROOT "\n\n" DASH "other AAAAAAA=\n\n", false},
        {"log/1\n0\n" ROOT "\n\nlog/1\n" SIGNED, false}, /* the last empty line ends the text: one stands in it */
        {"log/1\n0\n" ROOT "\n\xff\n" SIGNED, false},
        {"log/1\n0\n" ROOT "\n\x01\n" SIGNED, false},
        {"", false},
        {"\n", false},
        {"\n\n", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct note_parts parts;
        struct audit_note note;
        struct err err = {0};
        bool good = note_split(cases[i].text, strlen(cases[i].text), &parts, &err) &&
                    checkpoint_parse(&parts, "log/1", &note, &err);
        if (good != cases[i].good) fail_msg("case %zu is %s: %s", i, good ? "taken" : "refused", cases[i].text);
    }
}

/* ── signers ───────────────────────────────────────────────────────────────────────────────────────── */

struct pair {
    struct note_signer signer;
    uint8_t secret[crypto_sign_SECRETKEYBYTES];
};

static void make_pair(struct pair *pair, const char *name, enum note_kind kind)
{
    char binary64[64], vkey[256], digits[9];
    uint8_t typed[33] = {(uint8_t)kind}, digest[32];
    struct err err = {0};
    crypto_hash_sha256_state hash;
    crypto_sign_keypair(typed + 1, pair->secret);
    crypto_hash_sha256_init(&hash);
    crypto_hash_sha256_update(&hash, (const uint8_t *)name, strlen(name));
    crypto_hash_sha256_update(&hash, (const uint8_t *)"\n", 1);
    crypto_hash_sha256_update(&hash, typed, sizeof typed);
    crypto_hash_sha256_final(&hash, digest);
    hex_text(digest, 4, digits);
    sodium_bin2base64(binary64, sizeof binary64, typed, sizeof typed, sodium_base64_VARIANT_ORIGINAL);
    snprintf(vkey, sizeof vkey, "%s+%s+%s", name, digits, binary64);
    if (!signer_parse(vkey, &pair->signer, &err)) fail_msg("%s: %s", vkey, err.text);
    vkey[strlen(name) + 1] ^= 1;
    assert_false(signer_parse(vkey, &pair->signer, &err));
    vkey[strlen(name) + 1] ^= 1;
    assert_true(signer_parse(vkey, &pair->signer, &err));
}

static void add_line(char *note, const struct pair *pair, const char *message, const uint8_t *before, size_t count)
{
    uint8_t bytes[4 + 8 + 64];
    char base64[256];
    memcpy(bytes, pair->signer.id, 4);
    if (count) memcpy(bytes + 4, before, count);
    crypto_sign_detached(bytes + 4 + count, NULL, (const uint8_t *)message, strlen(message), pair->secret);
    sodium_bin2base64(base64, sizeof base64, bytes, 4 + count + 64, sodium_base64_VARIANT_ORIGINAL);
    sprintf(note + strlen(note), DASH "%s %s\n", pair->signer.name, base64);
}

static void test_many_signers(void **state)
{
    static const char text[] = "log/1\n0\n" ROOT "\n";
    static char note[65536];
    struct pair pairs[40];
    struct note_signer known[3];
    struct err err = {0};
    snprintf(note, sizeof note, "%s\n", text);
    for (int i = 0; i < 40; i++) {
        make_pair(&pairs[i], "log/1", NOTE_LOG);
        add_line(note, &pairs[i], text, NULL, 0);
    }
    for (int i = 0; i < 3; i++) known[i] = pairs[i * 19].signer;
    assert_true(opens(note, strlen(note), known, 3, &err)); /* the same name 40 times, three of the keys known */
    assert_int_equal(known[0].good + known[1].good + known[2].good, 3);
    add_line(note, &pairs[19], "log/1\n1\n" ROOT "\n", NULL, 0); /* once more, over another text */
    assert_false(opens(note, strlen(note), known, 3, &err));
    assert_non_null(strstr(err.text, "signature is bad"));
    assert_true(opens(note, strlen(note), known, 1, &err)); /* whoever does not know that key passes it over */
    for (int i = 0; i < 60; i++) add_line(note, &pairs[1], text, NULL, 0);
    assert_false(opens(note, strlen(note), known, 1, &err)); /* more lines than anybody needs */
}

static void test_witnesses(void **state)
{
    static const char text[] = "log/1\n0\n" ROOT "\n";
    static const char signed_text[] = "cosignature/v1\ntime 1700000000\nlog/1\n0\n" ROOT "\n";
    static const uint8_t time[8] = {0, 0, 0, 0, 0x65, 0x53, 0xf1, 0x00}, other[8] = {0, 0, 0, 0, 0x65, 0x53, 0xf1, 1};
    const struct {
        const char *message;
        const uint8_t *time;
        size_t count;
        bool good;
    } cases[] = {{signed_text, time, 8, true},
                 {signed_text, other, 8, false}, /* another time than it signed */
                 {text, time, 8, false},         /* a log's signature in a witness's place */
                 {text, NULL, 0, false}};
    struct pair pair;
    make_pair(&pair, "witness.example", NOTE_WITNESS);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char note[4096];
        struct err err = {0};
        snprintf(note, sizeof note, "%s\n", text);
        add_line(note, &pair, cases[i].message, cases[i].time, cases[i].count);
        assert_int_equal(opens(note, strlen(note), &pair.signer, 1, &err), cases[i].good);
        if (cases[i].good) assert_int_equal(pair.signer.time, 1700000000);
    }
}

/* ── files ─────────────────────────────────────────────────────────────────────────────────────────── */

static void test_proof_files(void **state)
{
#define HEAD "c2sp.org/tlog-proof@v1\n"
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {HEAD "index 0\n\nnote\n", true},
        {HEAD "extra AAEC\nindex 7\n" ROOT "\n" ROOT "\n\nnote\n", true},
        {HEAD "extra \nindex 7\n\nnote\n", true},
        {HEAD "index 07\n\nnote\n", false},
        {HEAD "index  7\n\nnote\n", false},
        {HEAD "index 7 \n\nnote\n", false},
        {HEAD "index -7\n\nnote\n", false},
        {HEAD "index 99999999999999999999\n\nnote\n", false},
        {HEAD "\nnote\n", false},
        {HEAD "index 7\nextra AAEC\n\nnote\n", false},
        {HEAD "index 7\nnohash\n\nnote\n", false},
        {HEAD "index 7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3\xe8SuFU=\n\nnote\n", false},
        {HEAD "index 7\n" ROOT "\n", false},
        {HEAD "index 7\r\n\nnote\n", false},
        {HEAD "index 7", false},
        {"c2sp.org/tlog-proof@v2\nindex 7\n\nnote\n", false},
        {"c2sp.org/tlog-proof@v1 \nindex 7\n\nnote\n", false},
        {"\xef\xbb\xbf" HEAD "index 7\n\nnote\n", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct proof_file file;
        struct err err = {0};
        bool good = proof_file_read(cases[i].text, strlen(cases[i].text), &file, &err);
        if (good != cases[i].good) fail_msg("case %zu: %s", i, cases[i].text);
        if (good) assert_string_equal(file.note, "note\n");
    }
}

static void test_proof_files_come_back(void **state)
{
    struct proof proof = {.count = 3};
    struct proof_file file;
    struct err err = {0};
    uint8_t extra[1000], back[1000];
    size_t count = 0;
    BUF_AUTO out;
    buf_init(&out, 1 << 20);
    randombytes_buf(proof.hashes, sizeof proof.hashes);
    randombytes_buf(extra, sizeof extra);
    assert_true(proof_file_write(41, &proof, extra, sizeof extra, "note\n", 5, &out));
    assert_true(proof_file_read(out.bytes, out.used, &file, &err));
    assert_int_equal(file.number, 41);
    assert_int_equal(file.proof.count, 3);
    assert_memory_equal(file.proof.hashes, proof.hashes, 3 * sizeof *proof.hashes);
    assert_true(proof_file_extra(&file, back, sizeof back, &count, &err));
    assert_int_equal(count, sizeof extra);
    assert_memory_equal(back, extra, sizeof extra);
    assert_false(proof_file_extra(&file, back, sizeof back - 1, &count, &err));
    out.used = 0;
    assert_true(growth_file_write(7, &proof, "note\n", 5, &out));
    assert_true(growth_file_read(out.bytes, out.used, &file, &err));
    assert_int_equal(file.number, 7);
    assert_false(proof_file_read(out.bytes, out.used, &file, &err));
    out.used = 0;
    assert_true(buf_text(&out, "old 7\n"));
    for (int i = 0; i < PROOF_MOST; i++) assert_true(buf_text(&out, ROOT "\n"));
    size_t most = out.used;
    assert_true(buf_text(&out, "\nnote\n") && growth_file_read(out.bytes, out.used, &file, &err));
    out.used = most;
    assert_true(buf_text(&out, ROOT "\n\nnote\n"));
    assert_false(growth_file_read(out.bytes, out.used, &file, &err)); /* longer than any tree is high */
}

static void test_tile_paths(void **state)
{
    static const struct {
        unsigned level;
        uint64_t number;
        unsigned width;
        const char *path;
    } cases[] = {{0, 0, 256, "tile/0/000"},
                 {0, 0, 15, "tile/0/000.p/15"},
                 {1, 999, 256, "tile/1/999"},
                 {1, 1000, 1, "tile/1/x001/000.p/1"},
                 {2, 1234067, 256, "tile/2/x001/x234/067"},
                 {TILE_ENTRIES, 1234067, 255, "tile/entries/x001/x234/067.p/255"},
                 {7, UINT64_C(72057594037927935), 256, "tile/7/x072/x057/x594/x037/x927/935"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[TILE_PATH];
        tile_path(path, cases[i].level, cases[i].number, cases[i].width);
        assert_string_equal(path, cases[i].path);
    }
    assert_int_equal(proof_width(70000, 0, 273), 112);
    assert_int_equal(proof_width(70000, 1, 1), 17);
    assert_int_equal(proof_width(70000, 2, 0), 1);
    assert_int_equal(proof_width(70000, 3, 0), 0);
    assert_int_equal(proof_width(256, 1, 0), 1);
    assert_int_equal(proof_width(256, 0, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_probes),       cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_known_notes),  cmocka_unit_test(test_growth_of_every_size),
        cmocka_unit_test(test_many_signers), cmocka_unit_test(test_checkpoints_word_for_word),
        cmocka_unit_test(test_witnesses),    cmocka_unit_test(test_proof_files),
        cmocka_unit_test(test_tile_paths),   cmocka_unit_test(test_proof_files_come_back),
    };
    if (sodium_init() < 0) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
