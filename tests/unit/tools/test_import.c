/* SPDX-License-Identifier: Apache-2.0 */
/* What other systems sealed: which forms are read, which ceilings hold before any work, and what is refused. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/unit.h"
#include "base/json.h"
#include "base/keyderive.h"
#include "envelopes.h"
#include "tools/envelope.h"
#include "tools/fernet.h"
#include "tools/flat.h"
#include "tools/import_items.h"

static json_t *json_of(const char *text)
{
    json_t *value = NULL;
    struct err err = {0};
    if (!json_read(text, strlen(text), 1 << 20, &value, &err)) fail_msg("%s: %s", text, err.text);
    return value;
}

static void expect(bool good, const struct err *err, const char *says, const char *what)
{
    if (!says && !good) fail_msg("%s: %s", what, err->text);
    if (says && good) fail_msg("%s: was taken", what);
    if (says && !strstr(err->text, says)) fail_msg("%s: %s", what, err->text);
}

/* ── Fernet ────────────────────────────────────────────────────────────────────────────────────────── */

#define SECRET "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
#define OTHER "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define TOKEN "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="

static void fernet_keys(void **state)
{
    static const struct {
        const char *text, *says;
        unsigned count;
    } cases[] = {
        {SECRET, NULL, 1},
        {SECRET "\n", NULL, 1},
        {"\n" SECRET "\r\n\n" OTHER "\n", NULL, 2},
        {"", "no key", 0},
        {"\n\n", "no key", 0},
        {SECRET "\nnonsense", "line 2 is not a Fernet key", 0},
        {" " SECRET, "line 1", 0},
        {SECRET " ", "line 1", 0},
        {"cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4", "line 1", 0},  /* no padding */
        {"cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e5=", "line 1", 0}, /* a bit that stands for nothing */
        {"cw/0x689RpI+jtRR7oE8h/eQsKImvJapLeSbXpwF4e4=", "line 1", 0}, /* the other alphabet */
        {"cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF", "line 1", 0},     /* 30 bytes */
        {SECRET SECRET, "line 1", 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct fernet_keys keys;
        struct err err = {0};
        expect(fernet_keys_read(cases[i].text, strlen(cases[i].text), &keys, &err), &err, cases[i].says, cases[i].text);
        if (!cases[i].says) assert_int_equal(keys.count, cases[i].count);
        assert_null(strstr(err.text, "cw_0"));
    }
    char many[FERNET_KEYS * 45 + 46] = "";
    for (int i = 0; i <= FERNET_KEYS; i++) memcpy(many + 45 * i, SECRET "\n", 46);
    struct fernet_keys keys;
    struct err err = {0};
    expect(fernet_keys_read(many, strlen(many), &keys, &err), &err, "more than 16 keys", "17 keys");
}

static bool open_token(const char *token, size_t length, const char *secret, struct err *err)
{
    static uint8_t plain[FERNET_MOST];
    size_t count = 0;
    struct fernet_keys keys;
    struct fernet_age any = {0};
    assert_true(fernet_keys_read(secret, strlen(secret), &keys, err));
    bool good = fernet_open(token, length, &keys, &any, plain, &count, err);
    if (good) assert_true(count == 5 && memcmp(plain, "hello", 5) == 0);
    return good;
}

static void fernet_tokens(void **state)
{
    static const struct {
        const char *token, *says;
    } cases[] = {
        {TOKEN, NULL},
        {TOKEN "\n", "not base64url"},
        {" " TOKEN, "not base64url"},
        {"gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA",
         "not base64url"},
        {"gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDB==",
         "not base64url"},
        {"gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ/eEwCGM4BLLF/5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==",
         "not base64url"},
        {"gQAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==",
         "version"},
        {"gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF", "too short"},
        {"", "too short"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = {0};
        expect(open_token(cases[i].token, strlen(cases[i].token), OTHER "\n" SECRET, &err), &err, cases[i].says,
               cases[i].token);
    }
    struct err err = {0};
    expect(open_token(TOKEN, strlen(TOKEN), OTHER, &err), &err, "none of the keys", "another key");
    static char large[FERNET_MOST + 8];
    memset(large, 'A', sizeof large);
    expect(open_token(large, sizeof large, SECRET, &err), &err, "at most", "a large token");
}

/* Every bit counts: none can be turned without the token's being refused, and before anything was decrypted. */
static void fernet_bits(void **state)
{
    uint8_t bytes[128];
    char token[256];
    size_t length;
    assert_int_equal(sodium_base642bin(bytes, sizeof bytes, TOKEN, strlen(TOKEN), NULL, &length, NULL,
                                       sodium_base64_VARIANT_URLSAFE),
                     0);
    for (size_t bit = 0; bit < 8 * length; bit++) {
        struct err err = {0};
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        sodium_bin2base64(token, sizeof token, bytes, length, sodium_base64_VARIANT_URLSAFE);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_false(open_token(token, strlen(token), SECRET, &err));
        assert_non_null(strstr(err.text, bit < 8 ? "version" : "none of the keys"));
    }
}

/* ── envelopes ─────────────────────────────────────────────────────────────────────────────────────── */

#define SALT "AAECAwQFBgcICQoLDA0ODw=="
#define IV "AAECAwQFBgcICQoL"
#define CT "AAECAwQFBgcICQoLDA0ODxAREhM="
#define WITH(kdf) "{\"kdf\":" kdf ",\"cipher\":{\"iv\":\"" IV "\"},\"ct\":\"" CT "\"}"
#define KDF(name, params) WITH("{\"name\":\"" name "\",\"salt\":\"" SALT "\",\"params\":" params "}")

static void envelope_forms(void **state)
{
    static const struct {
        const char *text, *says, *weak;
    } cases[] = {
        {KDF("PBKDF2", "{\"iterations\":600000,\"hash\":\"SHA-256\"}"), NULL, NULL},
        {KDF("PBKDF2", "{\"iterations\":10000000,\"hash\":\"SHA-512\"}"), NULL, NULL},
        {KDF("PBKDF2", "{\"iterations\":599999,\"hash\":\"SHA-256\"}"), NULL, "600000"},
        {KDF("PBKDF2", "{\"iterations\":10000001,\"hash\":\"SHA-256\"}"), "from 1 to 10000000", NULL},
        {KDF("PBKDF2", "{\"iterations\":0,\"hash\":\"SHA-256\"}"), "from 1", NULL},
        {KDF("PBKDF2", "{\"iterations\":-1,\"hash\":\"SHA-256\"}"), "from 1", NULL},
        {KDF("PBKDF2", "{\"iterations\":4294967297,\"hash\":\"SHA-256\"}"), "from 1", NULL},
        {KDF("PBKDF2", "{\"iterations\":600000.0,\"hash\":\"SHA-256\"}"), "whole number", NULL},
        {KDF("PBKDF2", "{\"iterations\":6e5,\"hash\":\"SHA-256\"}"), "whole number", NULL},
        {KDF("PBKDF2", "{\"iterations\":\"600000\",\"hash\":\"SHA-256\"}"), "whole number", NULL},
        {KDF("PBKDF2", "{\"iterations\":600000}"), "/hash", NULL},
        {KDF("PBKDF2", "{\"iterations\":600000,\"hash\":\"SHA-1\"}"), "must be one of", NULL},
        {KDF("PBKDF2", "{\"iterations\":600000,\"hash\":\"SHA-256\",\"x\":1}"), "not a known field", NULL},
        {KDF("scrypt", "{\"N\":131072,\"r\":8,\"p\":1}"), NULL, NULL},
        {KDF("scrypt", "{\"N\":16384,\"r\":8,\"p\":1}"), NULL, "scrypt"},
        {KDF("scrypt", "{\"N\":131071,\"r\":8,\"p\":1}"), "power of two", NULL},
        {KDF("scrypt", "{\"N\":1048576,\"r\":8,\"p\":1}"), "more than 1 GiB", NULL}, /* 1 GiB and a little */
        {KDF("scrypt", "{\"N\":524288,\"r\":8,\"p\":1}"), NULL, NULL},
        {KDF("scrypt", "{\"N\":8388608,\"r\":1024,\"p\":16}"), "more than 1 GiB", NULL},
        {KDF("scrypt", "{\"N\":131072,\"r\":8,\"p\":17}"), "from 1 to 16", NULL},
        {KDF("scrypt", "{\"N\":1,\"r\":8,\"p\":1}"), "from 2", NULL},
        {KDF("scrypt", "{\"N\":18446744073709551616,\"r\":8,\"p\":1}"), "not acceptable JSON", NULL},
        {KDF("argon2id", "{\"m\":19456,\"t\":2,\"p\":1}"), NULL, NULL},
        {KDF("argon2id", "{\"m\":1048576,\"t\":64,\"p\":1}"), NULL, NULL},
        {KDF("argon2id", "{\"m\":1048577,\"t\":2,\"p\":1}"), "from 8 to 1048576", NULL},
        {KDF("argon2id", "{\"m\":19456,\"t\":65,\"p\":1}"), "from 1 to 64", NULL},
        {KDF("argon2id", "{\"m\":19456,\"t\":2,\"p\":4}"), "p = 1", NULL},
        {KDF("argon2id", "{\"m\":19456,\"t\":1,\"p\":1}"), NULL, "argon2id"},
        {KDF("argon2i", "{\"m\":19456,\"t\":2,\"p\":1}"), "must be one of", NULL},
        {WITH("{\"name\":\"scrypt\",\"salt\":\"AAECAwQFBgcICQoLDA0O\",\"params\":{\"N\":131072,\"r\":8,\"p\":1}}"),
         "salt", NULL},
        {WITH("{\"name\":\"scrypt\",\"params\":{\"N\":131072,\"r\":8,\"p\":1}}"), "/salt", NULL},
        {WITH("null"), "must be an object", NULL},
        {"{\"cipher\":{\"iv\":\"" IV "\"},\"ct\":\"" CT "\"}", NULL, NULL},
        {"{\"cipher\":{\"iv\":\"" IV "\",\"name\":\"AES-GCM\"},\"ct\":\"" CT "\",\"aad\":\"\"}", NULL, NULL},
        {"{\"cipher\":{\"iv\":\"" IV "\",\"name\":\"AES-CBC\"},\"ct\":\"" CT "\"}", "must be one of", NULL},
        {"{\"cipher\":{\"iv\":\"AAECAwQFBgcICQo=\"},\"ct\":\"" CT "\"}", "iv must be 12 bytes", NULL},
        {"{\"cipher\":{\"iv\":\"" SALT "\"},\"ct\":\"" CT "\"}", "iv must be 12 bytes", NULL},
        {"{\"cipher\":{\"iv\":\"" IV "\"},\"ct\":\"AAECAwQFBgcICQoL\"}", "too short", NULL},
        {"{\"cipher\":{\"iv\":\"" IV "\"},\"ct\":\"AAECAwQFBgcICQoL\",\"tag\":\"" SALT "\"}", NULL, NULL},
        {"{\"cipher\":{\"iv\":\"" IV "\"},\"ct\":\"" CT "\",\"tag\":\"\"}", "/tag", NULL},
        {"{\"cipher\":{\"iv\":\"" IV "\"},\"ct\":\"" CT "\",\"tag\":\"AAECAwQFBgcICQoLDA0O\"}", "/tag", NULL},
        {"{\"cipher\":{\"iv\":\"" IV "\"},\"ct\":\"AAECAwQFBgcICQoLDA0ODxAREh\"}", "ct must be", NULL},
        {"{\"cipher\":{\"iv\":\"" IV "\"},\"ct\":\"AAECAwQFBgcICQoLDA0ODxAREhN=\"}", "ct must be", NULL},
        {"{\"cipher\":{\"iv\":\"" IV "\"}}", "/ct", NULL},
        {"{\"ct\":\"" CT "\"}", "/cipher", NULL},
        {"{\"cipher\":{\"iv\":\"" IV "\"},\"ct\":\"" CT "\",\"v\":1}", "not a known field", NULL},
        {"[]", "JSON object", NULL},
    };
    static struct envelope envelope;
    for (size_t i = 0; i < COUNT(cases); i++) {
        json_t *value = NULL;
        struct err err = {0};
        bool good = json_read(cases[i].text, strlen(cases[i].text), 4096, &value, &err) &&
                    envelope_read(value, &envelope, &err);
        json_decref(value);
        expect(good, &err, cases[i].says, cases[i].text);
        const char *weak = good ? envelope_weak(&envelope) : NULL;
        if (!weak != !cases[i].weak || (weak && !strstr(weak, cases[i].weak))) fail_msg("%s: %s", cases[i].text, weak);
    }
}

/* Each KDF's key was made by somebody else's code; see envelopes.h. */
static void envelope_kdfs(void **state)
{
    static struct envelope envelope;
    static const char phrase[] = "correct horse", wrong[] = "correct horsf";
    uint8_t plain[ENVELOPE_MOST];
    for (size_t i = 0; i < COUNT(envelopes); i++) {
        struct err err = {0};
        JSON_AUTO *value = json_of(envelopes[i]);
        assert_true(envelope_read(value, &envelope, &err));
        if (!envelope_open(&envelope, phrase, strlen(phrase), plain, &err)) fail_msg("%s: %s", envelopes[i], err.text);
        assert_true(envelope.length == 14 && memcmp(plain, "battery staple", 14) == 0);
        assert_false(envelope_open(&envelope, wrong, strlen(wrong), plain, &err));
        assert_true(sodium_is_zero(plain, envelope.length));
        assert_non_null(strstr(err.text, "does not open"));
        envelope.aad[0] ^= 1;
        envelope.aad_length = envelope.aad_length ? envelope.aad_length : 1;
        assert_false(envelope_open(&envelope, phrase, strlen(phrase), plain, &err));
    }
}

/* ── flat objects ──────────────────────────────────────────────────────────────────────────────────── */

static void flat_objects(void **state)
{
    static const struct {
        const char *text, *says, *value; /* of member "a" */
    } cases[] = {
        {"{\"a\":\"b\"}", NULL, "b"},
        {" { \"a\" : \"b\" , \"c\" : 12 } \n", NULL, "b"},
        {"{}", NULL, NULL},
        {"{\"a\":587}", NULL, "587"},
        {"{\"a\":-1}", NULL, "-1"},
        {"{\"a\":0}", NULL, "0"},
        {"{\"a\":true}", NULL, "true"},
        {"{\"a\":\"\\u00e4\\ud83d\\ude00\\n\\\"\\\\\\/\"}", NULL, "\xc3\xa4\xf0\x9f\x98\x80\n\"\\/"},
        {"{\"\\u0061\":\"x\"}", NULL, "x"},
        {"{\"a\":\"b\",\"\\u0061\":\"c\"}", "twice", NULL},
        {"{\"a\":01}", "plain JSON", NULL},
        {"{\"a\":-0}", "plain JSON", NULL},
        {"{\"a\":1.5}", "plain JSON", NULL},
        {"{\"a\":1e3}", "plain JSON", NULL},
        {"{\"a\":null}", "plain JSON", NULL},
        {"{\"a\":{}}", "plain JSON", NULL},
        {"{\"a\":[]}", "plain JSON", NULL},
        {"{\"a\":}", "plain JSON", NULL},
        {"{\"a\":-}", "plain JSON", NULL},
        {"{\"a\" \"b\"}", "plain JSON", NULL},
        {"{a:\"b\"}", "plain JSON", NULL},
        {"{\"a\":\"\\u0000\"}", "plain JSON", NULL},
        {"{\"a\":\"\\ud800\"}", "plain JSON", NULL},
        {"{\"a\":\"\\ud800\\u0041\"}", "plain JSON", NULL},
        {"{\"a\":\"\\udc00\"}", "plain JSON", NULL},
        {"{\"a\":\"\\x\"}", "plain JSON", NULL},
        {"{\"a\":\"\xff\"}", "plain JSON", NULL},
        {"{\"a\":\"\n\"}", "plain JSON", NULL},
        {"{\"a\":\"b", "plain JSON", NULL},
        {"{\"a\":\"b\\", "plain JSON", NULL},
        {"{\"a\":\"b\",}", "plain JSON", NULL},
        {"{\"a\":\"b\"", "one whole", NULL},
        {"{\"a\":\"b\"}x", "one whole", NULL},
        {"{\"a\":\"b\"}{}", "one whole", NULL},
        {"[\"a\"]", "not a JSON object", NULL},
        {"", "not a JSON object", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char text[128];
        static struct flat flat;
        struct err err = {0};
        snprintf(text, sizeof text, "%s", cases[i].text);
        expect(flat_read(text, strlen(text), &flat, &err), &err, cases[i].says, cases[i].text);
        const struct flat_member *found = cases[i].says ? NULL : flat_find(&flat, "a");
        assert_true(!found == !cases[i].value);
        if (found && (found->length != strlen(cases[i].value) || memcmp(found->value, cases[i].value, found->length)))
            fail_msg("%s: %.*s", cases[i].text, (int)found->length, found->value);
    }
}

/* ── files of items ────────────────────────────────────────────────────────────────────────────────── */

#define E "{\"ct\":\"\",\"cipher\":{}}"

static void files_of_items(void **state)
{
    static const struct {
        enum import_format format;
        const char *text, *says, *names; /* one a word, - for none */
    } cases[] = {
        {IMPORT_FERNET, "gAAA\n", NULL, "-"},
        {IMPORT_FERNET, "gAAA\r\n\r\ngAAB", NULL, "- -"},
        {IMPORT_FERNET, "\"gAAA\"", NULL, "-"},
        {IMPORT_FERNET, "[\"gAAA\", {\"name\":\"b\",\"token\":\"gAAB\"}]", NULL, "- b"},
        {IMPORT_FERNET, "{\"a\":\"gAAA\",\"b\":\"gAAB\"}", NULL, "a b"},
        {IMPORT_FERNET, "{\"name\":\"a\",\"token\":\"gAAA\"}", NULL, "a"},
        {IMPORT_FERNET, "{\"name\":\"a\",\"token\":\"gAAA\"}\n{\"name\":\"b\",\"token\":\"gAAB\"}\n", NULL, "a b"},
        {IMPORT_FERNET, "{\"name\":\"a\",\"token\":\"gAAA\"}\n{\"name\":\"a\",\"token\":\"gAAB\"}", "twice", NULL},
        {IMPORT_FERNET, "{\"a\":\"gAAA\",\"a\":\"gAAB\"}", "twice", NULL},
        {IMPORT_FERNET, "{\"Upper\":\"gAAA\"}", "a name has", NULL},
        {IMPORT_FERNET, "{\"../a\":\"gAAA\"}", "a name has", NULL},
        {IMPORT_FERNET, "{\"a\":1}", "item 1 is no token", NULL},
        {IMPORT_FERNET, "[1]", "item 1 is no token", NULL},
        {IMPORT_FERNET, "[\"gAAA\"", "JSON", NULL},
        {IMPORT_FERNET, "[]", "nothing in it", NULL},
        {IMPORT_FERNET, "{}", "nothing in it", NULL},
        {IMPORT_FERNET, " \n", "nothing in it", NULL},
        {IMPORT_FERNET, "{\"name\":\"a\",\"token\":\"gAAA\"}\nx{\n", NULL, "a -"},
        {IMPORT_FERNET, "{\"name\":\"a\",\"token\":\"gAAA\"}\n{x\n", "line 2", NULL},
        {IMPORT_AES_GCM, E, NULL, "-"},
        {IMPORT_AES_GCM, E "\n" E "\n", NULL, "- -"},
        {IMPORT_AES_GCM, "[" E "]", NULL, "-"},
        {IMPORT_AES_GCM, "{\"a\":" E ",\"ct\":" E "}", NULL, "a ct"},
        {IMPORT_AES_GCM, "{\"name\":\"a\",\"envelope\":" E "}", NULL, "a"},
        {IMPORT_AES_GCM, "gAAA", "is not JSON", NULL},
        {IMPORT_AES_GCM, "[\"gAAA\"]", "item 1 is no envelope", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = {0};
        JSON_AUTO *list = NULL;
        char names[64] = "";
        expect(import_split(cases[i].text, strlen(cases[i].text), cases[i].format, &list, &err), &err, cases[i].says,
               cases[i].text);
        for (size_t j = 0; j < json_array_size(list); j++) {
            struct import_item item;
            assert_true(import_item(list, j, &item, &err));
            assert_int_equal(strlen(item.digest), 64);
            snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", j ? " " : "",
                     *item.name ? item.name : "-");
        }
        if (cases[i].names && strcmp(names, cases[i].names) != 0) fail_msg("%s: %s", cases[i].text, names);
    }
}

/* The digest that is recorded is one that an auditor can make again: of the token as it stands. */
static void digests(void **state)
{
    struct import_item item;
    struct err err = {0};
    JSON_AUTO *list = NULL, *other = NULL;
    assert_true(import_split("{\"a\":\"abc\"}", 11, IMPORT_FERNET, &list, &err));
    assert_true(import_item(list, 0, &item, &err));
    assert_string_equal(item.digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    static const char text[] = "{ \"ct\": \"\", \"cipher\": {} }";
    assert_true(import_split(text, sizeof text - 1, IMPORT_AES_GCM, &other, &err));
    assert_true(import_item(other, 0, &item, &err));
    char made[HASH_TEXT];
    uint8_t hash[32];
    crypto_hash_sha256(hash, (const uint8_t *)"{\"cipher\":{},\"ct\":\"\"}", 21);
    hex_text(hash, sizeof hash, made);
    assert_string_equal(item.digest, made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fernet_keys),    cmocka_unit_test(fernet_tokens), cmocka_unit_test(fernet_bits),
        cmocka_unit_test(envelope_forms), cmocka_unit_test(envelope_kdfs), cmocka_unit_test(flat_objects),
        cmocka_unit_test(files_of_items), cmocka_unit_test(digests),
    };
    struct err err = {0};
    if (!key_library(&err)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
