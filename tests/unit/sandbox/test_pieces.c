/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's small tools: SHA-256, base64, JSON Pointer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/ids.h"
#include "sandbox/sha256.h"
#include "sandbox/worker.h"

#include <cmocka.h> /* last: it defines fail() */

/* FIPS 180-4's own examples, and lengths around the block. */
static void sha256_examples(void **state)
{
    static const struct {
        const char *text, *digest;
    } rows[] = {{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
                {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
                {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                 "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sha256 sha;
        uint8_t digest[32];
        char text[HASH_TEXT];
        sha256_init(&sha);
        sha256_add(&sha, rows[i].text, strlen(rows[i].text));
        sha256_end(&sha, digest);
        hex_text(digest, 32, text);
        assert_string_equal(text, rows[i].digest);
    }
}

static void sha256_in_pieces(void **state)
{
    uint8_t bytes[300], whole[32], parts[32];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)i;
    for (size_t length = 0; length < sizeof bytes; length++) {
        struct sha256 one, two;
        sha256_init(&one);
        sha256_add(&one, bytes, length);
        sha256_end(&one, whole);
        sha256_init(&two);
        for (size_t at = 0; at < length; at += 7) sha256_add(&two, bytes + at, length - at < 7 ? length - at : 7);
        sha256_end(&two, parts);
        assert_memory_equal(whole, parts, 32);
    }
}

static void base64_strict(void **state)
{
    static const struct {
        const char *text, *bytes; /* NULL: malformed */
    } rows[] = {{"", ""},
                {"Zg==", "f"},
                {"Zm8=", "fo"},
                {"Zm9v", "foo"},
                {"Zm9vYg==", "foob"},
                {"Zm9vYmE=", "fooba"},
                {"Zm9vYmFy", "foobar"},
                {"Zg", NULL},
                {"Zg=", NULL},
                {"Zh==", NULL},
                {"Zm9=", NULL},
                {"Zg==Zg==", NULL},
                {"Z===", NULL},
                {"====", NULL},
                {"Zm 9", NULL},
                {"Zm9v\n", NULL},
                {"-_-_", NULL}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char bytes[16];
        size_t count = 99;
        bool good = base64_decode(rows[i].text, strlen(rows[i].text), bytes, &count);
        assert_int_equal(good, rows[i].bytes != NULL);
        if (!good) continue;
        assert_int_equal(count, strlen(rows[i].bytes));
        assert_memory_equal(bytes, rows[i].bytes, count);
    }
}

/* RFC 6901 §5's document. */
static void pointers(void **state)
{
    json_t *root = json_loads("{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"m~n\":8,\" \":7}", 0, NULL);
    assert_ptr_equal(pointer_get(root, ""), root);
    assert_string_equal(json_string_value(pointer_get(root, "/foo/0")), "bar");
    assert_int_equal(json_integer_value(pointer_get(root, "/a~1b")), 1);
    assert_int_equal(json_integer_value(pointer_get(root, "/m~0n")), 8);
    assert_int_equal(json_integer_value(pointer_get(root, "/ ")), 7);
    assert_non_null(pointer_get(root, "/"));
    static const char *const nothing[] = {"foo",      "/foo/2", "/foo/00", "/foo/-", "/foo/1x",
                                          "/foo/0/x", "/a~2b",  "/m~",     "/no",    "/foo/4294967296"};
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++) assert_null(pointer_get(root, nothing[i]));
    assert_null(pointer_get(NULL, "/x"));
    json_decref(root);
}

static void setting(void **state)
{
    json_t *root = NULL;
    assert_true(pointer_set(&root, "/a/b/0/c", json_integer(1)));
    assert_true(pointer_set(&root, "/a/b/-", json_string("x")));
    assert_true(pointer_set(&root, "/a/b/1", json_string("y")));
    assert_false(pointer_set(&root, "/a/b/7", json_string("far")));
    assert_false(pointer_set(&root, "/a/b/1/z", json_string("below a string")));
    assert_false(pointer_set(&root, "no slash", json_string("x")));
    assert_false(pointer_set(&root, "/x", NULL));
    char *text = json_dumps(root, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, "{\"a\":{\"b\":[{\"c\":1},\"y\"]}}");
    free(text);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_examples), cmocka_unit_test(sha256_in_pieces), cmocka_unit_test(base64_strict),
        cmocka_unit_test(pointers),        cmocka_unit_test(setting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
