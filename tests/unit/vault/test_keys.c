/* SPDX-License-Identifier: Apache-2.0 */
/* Keys: the master key's file, what the command makes of it, keys under keys, and the primitives below. */
#include "harness.h"

#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "runtime/vault/keys.h"

/* ── what the command makes ────────────────────────────────────────────────────────────────────────── */

static int home_setup(void **state)
{
    struct harness *h = calloc(1, sizeof *h);
    harness_home(h);
    *state = h;
    return 0;
}

static void files_made(void **state)
{
    struct harness *h = *state;
    struct stat file;
    struct err err = {0};
    assert_int_equal(fstatat(h->home, "keys/master.key", &file, 0), 0);
    assert_int_equal(file.st_mode & 07777, 0600);
    assert_int_equal(file.st_size, MASTER_FILE_BYTES);
    ino_t first = file.st_ino;
    assert_int_equal(fstatat(h->home, "keys/vault.pub", &file, 0), 0);
    assert_int_equal(file.st_mode & 07777, 0644);
    assert_false(keys_create(h->home, &err)); /* never a second key over the first */
    assert_int_equal(err.kind, ERR_EXISTS);
    assert_int_equal(fstatat(h->home, "keys/master.key", &file, 0), 0);
    assert_int_equal(file.st_ino, first);
}

/* A lost public file comes back the same; a lost key beside data does not come back as another. */
static void files_lost(void **state)
{
    struct harness *h = *state;
    struct keys_public again;
    struct err err = {0};
    unlinkat(h->home, "keys/vault.pub", 0);
    assert_false(keys_read_public(h->home, &again, &err));
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_false(keys_create(h->home, &err));
    assert_int_equal(err.kind, ERR_EXISTS);
    assert_true(keys_read_public(h->home, &again, &err));
    assert_memory_equal(&again, &h->public, sizeof again);
    unlinkat(h->home, "keys/master.key", 0);
    assert_int_equal(mkdirat(h->home, "data", 0700), 0);
    close(openat(h->home, "data/vault.db", O_CREAT | O_WRONLY, 0600));
    assert_false(keys_create(h->home, &err));
    assert_int_equal(err.kind, ERR_STATE);
    assert_non_null(strstr(err.text, "restore the key from its backup"));
    unlinkat(h->home, "data/vault.db", 0);
    unlinkat(h->home, "data", AT_REMOVEDIR);
    assert_true(keys_create(h->home, &err));
    assert_true(keys_read_public(h->home, &again, &err));
    assert_memory_not_equal(again.submission, h->public.submission, KEY_BYTES);
}

static void public_file_damaged(void **state)
{
    struct harness *h = *state;
    struct keys_public again;
    struct err err;
    char text[1024];
    FD_AUTO fd = openat(h->home, "keys/vault.pub", O_RDWR);
    ssize_t length = read(fd, text, sizeof text);
    for (ssize_t i = 0; i < length; i++) {
        char kept = text[i];
        text[i] ^= 4;
        assert_int_equal(pwrite(fd, text, (size_t)length, 0), length);
        if (keys_read_public(h->home, &again, &err)) fail_msg("byte %zd turned over was not noticed", i);
        text[i] = kept;
    }
}

/* ── the master key's file ─────────────────────────────────────────────────────────────────────────── */

static void master_damaged(void **state)
{
    struct harness *h = *state;
    struct err err;
    uint8_t master[KEY_BYTES];
    char text[MASTER_FILE_BYTES];
    FD_AUTO fd = harness_key(h);
    assert_int_equal(read(fd, text, sizeof text), sizeof text);
    assert_true(master_parse(text, sizeof text, master, &err));
    for (size_t i = 0; i < sizeof text; i++) {
        char kept = text[i];
        text[i] = kept == '3' ? '4' : '3';
        assert_false(master_parse(text, sizeof text, master, &err));
        assert_null(strstr(err.text, "3"));
        text[i] = kept;
        assert_false(master_parse(text, i, master, &err));
    }
}

static const char *failure(struct harness *h, const struct harness_start *how)
{
    harness_start(h, how);
    harness_stop(h);
    return ((const struct ctl_failed *)(const void *)(h->frame.bytes + sizeof(struct msg_head)))->status.text;
}

static int copy_of_key(struct harness *h, size_t cut, int mode)
{
    char text[MASTER_FILE_BYTES + 8] = {0};
    FD_AUTO key = harness_key(h);
    assert_int_equal(read(key, text, MASTER_FILE_BYTES), MASTER_FILE_BYTES);
    int fd = openat(h->home, "keys/copy", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, MASTER_FILE_BYTES - cut), MASTER_FILE_BYTES - cut);
    assert_int_equal(fchmod(fd, (mode_t)mode), 0);
    unlinkat(h->home, "keys/copy", 0);
    return fd;
}

/* The vault refuses to start, and says why to its parent. */
static void vault_refuses_key(void **state)
{
    struct harness *h = *state;
    struct harness_start how = {.expect_failure = true, .no_key = true};
    assert_non_null(strstr(failure(h, &how), "no master key was handed over"));
    how.no_key = false;
    how.key = copy_of_key(h, 0, 0644);
    assert_non_null(strstr(failure(h, &how), "make its mode 0600"));
    how.key = copy_of_key(h, 1, 0600);
    assert_non_null(strstr(failure(h, &how), "does not have its size"));
    how.key = copy_of_key(h, 0, 0600);
    assert_int_equal(pwrite(how.key, "0", 1, 40), 1);
    assert_int_equal(pwrite(how.key, "1", 1, 41), 1);
    assert_int_equal(pwrite(how.key, "2", 1, 42), 1);
    assert_non_null(strstr(failure(h, &how), "damaged"));
    how.key = copy_of_key(h, 0, 0600);
    assert_int_equal(pwrite(how.key, "caisson-master-key-2", 20, 0), 20);
    assert_non_null(strstr(failure(h, &how), "another release"));
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    close(ends[1]);
    how.key = ends[0];
    assert_non_null(strstr(failure(h, &how), "not a regular file"));
    if (geteuid() == 0) {
        how.key = copy_of_key(h, 0, 0600);
        assert_int_equal(fchown(how.key, 4711, 4711), 0);
        assert_non_null(strstr(failure(h, &how), "belongs to another user"));
    }
    how = (struct harness_start){.key = copy_of_key(h, 0, 0400)};
    harness_start(h, &how);
}

/* The pair that vault.pub shows is the pair that the vault has, and another master gives another. */
static void derived(void **state)
{
    struct harness *h = *state;
    struct err err = {0};
    struct keys keys = {0};
    FD_AUTO fd = harness_key(h);
    assert_true(keys_open(&keys, fd, -1, &err));
    assert_memory_equal(keys.submission_public, h->public.submission, KEY_BYTES);
    assert_memory_equal(keys.identity_public, h->public.identity, KEY_BYTES);
    assert_memory_not_equal(keys.store->wrapping, keys.store->submission, KEY_BYTES);
    assert_true(sodium_is_zero((uint8_t *)&keys.store->work, sizeof keys.store->work));
    keys_close(&keys);
    keys_close(&keys);
    uint8_t master[2][KEY_BYTES] = {{1}, {2}}, one[KEY_BYTES], two[KEY_BYTES];
    key_wrapping(master[0], 1, one);
    key_wrapping(master[1], 1, two);
    assert_memory_not_equal(one, two, KEY_BYTES);
    key_wrapping(master[0], 2, two);
    assert_memory_not_equal(one, two, KEY_BYTES);
}

/* ── keys under keys ───────────────────────────────────────────────────────────────────────────────── */

static void wrapped_keys(void **state)
{
    uint8_t outer[KEY_BYTES], other[KEY_BYTES], inner[KEY_BYTES], out[KEY_BYTES], a[ID_BYTES] = {1}, b[ID_BYTES] = {2};
    struct key_context context = {.purpose = FOR_CREDENTIAL_KEY, .workspace = a, .credential = b, .version = 7};
    struct wrapped wrapped, twice;
    struct err err;
    (void)state;
    randombytes_buf(outer, sizeof outer);
    randombytes_buf(other, sizeof other);
    randombytes_buf(inner, sizeof inner);
    key_wrap(outer, &context, inner, &wrapped);
    key_wrap(outer, &context, inner, &twice);
    assert_memory_not_equal(&wrapped, &twice, sizeof wrapped);
    assert_true(key_unwrap(outer, &context, &wrapped, out, &err));
    assert_memory_equal(out, inner, KEY_BYTES);
    assert_false(key_unwrap(other, &context, &wrapped, out, &err));
    for (size_t i = 0; i < WRAP_BYTES * 8; i++) { /* every bit counts */
        twice = wrapped;
        twice.bytes[i / 8] ^= (uint8_t)(1 << i % 8);
        if (key_unwrap(outer, &context, &twice, out, &err)) fail_msg("bit %zu", i);
    }
    struct key_context wrong[] = {context, context, context, context, context};
    wrong[0].purpose = FOR_WORKSPACE_KEY;
    wrong[1].workspace = b;
    wrong[2].credential = a;
    wrong[3].version = 8;
    wrong[4].credential = NULL;
    for (size_t i = 0; i < 5; i++) assert_false(key_unwrap(outer, &wrong[i], &wrapped, out, &err));
}

static void fields(void **state)
{
    static unsigned char padded[SEALED_MAX], sealed[SEALED_MAX];
    uint8_t key[KEY_BYTES] = {9}, a[ID_BYTES] = {1}, digest[HASH_BYTES] = {3};
    struct key_context context = {
        .purpose = FOR_FIELD, .workspace = a, .credential = a, .version = 1, .field = "user", .audience = digest};
    const unsigned char *value;
    size_t length;
    (void)state;
    for (size_t size = 0; size < 200; size += 7) {
        char text[200];
        memset(text, 'x', sizeof text);
        assert_true(field_seal(key, &context, text, size, padded, sealed));
        assert_true(sodium_is_zero(padded, sizeof padded));
        size_t whole = field_sealed_size(size);
        assert_true(field_open(key, &context, sealed, whole, padded, &value, &length));
        assert_int_equal(length, size);
        assert_memory_equal(value, text, size);
        sodium_memzero(padded, sizeof padded);
        for (size_t cut = 0; cut < whole; cut++)
            assert_false(field_open(key, &context, sealed, cut, padded, &value, &length));
    }
    assert_false(field_open(key, &context, sealed, SEALED_MAX + 1, padded, &value, &length));
    assert_false(field_seal(key, &context, sealed, SEALED_MAX, padded, sealed));
}

/* ── vectors that nobody here wrote ────────────────────────────────────────────────────────────────── */

static json_t *vectors(const char *name)
{
    char path[1024];
    const char *data = getenv("CAISSON_TEST_DATA");
    snprintf(path, sizeof path, "%s/vectors/%s", data ? data : SOURCE_ROOT "/../shared", name);
    return json_load_file(path, 0, NULL);
}

static size_t bytes_of(const json_t *test, const char *key, uint8_t *bytes, size_t room)
{
    size_t length = 0;
    const char *text = json_string_value(json_object_get(test, key));
    assert_non_null(text);
    assert_int_equal(sodium_hex2bin(bytes, room, text, strlen(text), NULL, &length, NULL), 0);
    return length;
}

static bool valid(const json_t *test)
{
    return strcmp(json_string_value(json_object_get(test, "result")), "valid") == 0;
}

/* Runs every test of a Wycheproof file; returns how many. */
static int each(const char *name, bool (*run)(const json_t *group, const json_t *test))
{
    json_t *doc = vectors(name), *group, *test;
    size_t i, j;
    int count = 0;
    if (!doc) skip();
    json_array_foreach(json_object_get(doc, "testGroups"), i, group)
    {
        json_array_foreach(json_object_get(group, "tests"), j, test)
        {
            count++;
            if (!run(group, test)) fail_msg("%s: test %lld", name, json_integer_value(json_object_get(test, "tcId")));
        }
    }
    json_decref(doc);
    return count;
}

static bool run_aead(const json_t *group, const json_t *test)
{
    static uint8_t key[64], nonce[64], aad[4096], message[4096], sealed[4096 + 16], out[4096];
    (void)group;
    size_t key_length = bytes_of(test, "key", key, sizeof key),
           nonce_length = bytes_of(test, "iv", nonce, sizeof nonce);
    size_t aad_length = bytes_of(test, "aad", aad, sizeof aad), length = bytes_of(test, "msg", message, sizeof message);
    size_t sealed_length = bytes_of(test, "ct", sealed, sizeof sealed);
    sealed_length += bytes_of(test, "tag", sealed + sealed_length, sizeof sealed - sealed_length);
    if (key_length != 32 || nonce_length != 24) return !valid(test); /* we never use another size */
    bool good = crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, sealed_length, aad, aad_length,
                                                           nonce, key) == 0;
    return good == valid(test) && (!good || memcmp(out, message, length) == 0);
}

static bool run_signature(const json_t *group, const json_t *test)
{
    static uint8_t key[64], message[8192], signature[256];
    size_t key_length = bytes_of(json_object_get(group, "publicKey"), "pk", key, sizeof key);
    size_t length = bytes_of(test, "msg", message, sizeof message);
    size_t signature_length = bytes_of(test, "sig", signature, sizeof signature);
    bool good = key_length == 32 && signature_length == 64 &&
                crypto_sign_verify_detached(signature, message, length, key) == 0;
    return good == valid(test);
}

/* "acceptable" are low-order and twisted points: libsodium refuses the shared secret zero. */
static bool run_agreement(const json_t *group, const json_t *test)
{
    uint8_t public[32], secret[32], shared[32], out[32];
    (void)group;
    bytes_of(test, "public", public, 32);
    bytes_of(test, "private", secret, 32);
    bytes_of(test, "shared", shared, 32);
    bool good = crypto_scalarmult(out, secret, public) == 0;
    if (!good) return !valid(test) && sodium_is_zero(shared, 32);
    return memcmp(out, shared, 32) == 0;
}

static void wycheproof_aead(void **state)
{
    (void)state;
    assert_true(each("wycheproof/xchacha20_poly1305_test.json", run_aead) > 200);
}

static void wycheproof_ed25519(void **state)
{
    (void)state;
    assert_true(each("wycheproof/ed25519_test.json", run_signature) > 100);
}

static void wycheproof_x25519(void **state)
{
    (void)state;
    assert_true(each("wycheproof/x25519_test.json", run_agreement) > 400);
}

#define WITH_HOME(name) cmocka_unit_test_setup_teardown(name, home_setup, harness_teardown)

/* Half a key opens nothing, and neither file is ever taken for the other kind. */
static void halves_alone(void **state)
{
    uint8_t master[KEY_BYTES], share[KEY_BYTES], out[KEY_BYTES], other[KEY_BYTES];
    char whole[MASTER_FILE_BYTES], half[MASTER_FILE_BYTES];
    struct err err;
    randombytes_buf(master, sizeof master);
    randombytes_buf(share, sizeof share);
    memcpy(other, share, sizeof other);
    other[31] ^= 1;
    master_text(master, whole);
    master_text_half(master, share, half);
    assert_true(master_parse_half(half, sizeof half, share, out, &err));
    assert_memory_equal(out, master, KEY_BYTES);
    assert_false(master_parse_half(half, sizeof half, other, out, &err));
    assert_false(master_parse_half(half, sizeof half, NULL, out, &err));
    assert_int_equal(err.kind, ERR_STATE);
    assert_false(master_parse_half(whole, sizeof whole, share, out, &err));
    assert_int_equal(err.kind, ERR_STATE);
    assert_true(master_parse(whole, sizeof whole, out, &err));
    half[30] = half[30] == '0' ? '1' : '0';
    assert_false(master_parse_half(half, sizeof half, share, out, &err));
}

/* Under one share, two keys have unrelated halves: whoever knows the one key learns nothing of the other. */
static void halves_unrelated(void **state)
{
    uint8_t master[KEY_BYTES], share[KEY_BYTES], a[KEY_BYTES], b[KEY_BYTES];
    char half[MASTER_FILE_BYTES], digits[2 * KEY_BYTES + 1] = "";
    unsigned same = 0;
    randombytes_buf(master, sizeof master);
    randombytes_buf(share, sizeof share);
    master_text_half(master, share, half);
    memcpy(digits, half + 21, sizeof digits - 1);
    assert_true(hex_parse(digits, a, KEY_BYTES));
    master[0] ^= 1;
    master_text_half(master, share, half);
    memcpy(digits, half + 21, sizeof digits - 1);
    assert_true(hex_parse(digits, b, KEY_BYTES));
    for (int i = 0; i < KEY_BYTES; i++) same += a[i] == b[i];
    assert_true(same < KEY_BYTES / 2);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_HOME(files_made),
        WITH_HOME(files_lost),
        WITH_HOME(public_file_damaged),
        WITH_HOME(master_damaged),
        WITH_HOME(vault_refuses_key),
        WITH_HOME(derived),
        cmocka_unit_test(halves_alone),
        cmocka_unit_test(halves_unrelated),
        cmocka_unit_test(wrapped_keys),
        cmocka_unit_test(fields),
        cmocka_unit_test(wycheproof_aead),
        cmocka_unit_test(wycheproof_ed25519),
        cmocka_unit_test(wycheproof_x25519),
    };
    if (argc < 2 || sodium_init() < 0) return 2;
    vault_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
