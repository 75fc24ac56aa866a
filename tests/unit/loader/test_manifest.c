/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests: one good one, and every way of being bad that we know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/loader/manifest.h"

#define ACTION "\"send\":{\"summary\":\"Sends.\",\"input\":{\"type\":\"object\"},\"fields\":[\"token\"]}"
#define FIELD "\"credential\":{\"fields\":{\"token\":{\"summary\":\"Token\"}}}"
#define TOP "\"name\":\"sms\",\"version\":\"1.0.0\",\"abi\":1,\"summary\":\"Sends.\""
#define ACTIONS "\"actions\":{" ACTION "}"
#define GOOD "{" TOP "," ACTIONS "," FIELD "}"
#define WITH(more) "{" TOP "," ACTIONS "," FIELD "," more "}"

static bool reads(const char *text, struct manifest *manifest, struct err *err)
{
    return manifest_read(text, strlen(text), manifest, err);
}

static void good(void **state)
{
    static const char *const rows[] = {
        GOOD,
        WITH("\"egress\":[]"),
        WITH("\"egress\":[\"tls://api.example.com:443\"],\"limits\":{\"memory_mb\":1024,\"wall_s\":1}"),
        WITH("\"settings\":{\"type\":\"object\",\"properties\":{\"h\":{\"type\":\"string\"},\"n\":{\"type\":"
             "\"integer\"},"
             "\"b\":{\"type\":\"boolean\"},\"l\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}}}},"
             "\"egress\":[\"tls://{h}:{n}\"]"),
        "{" TOP
        ",\"actions\":{\"a\":{\"summary\":\"x\",\"input\":{\"type\":\"object\"},\"output\":{\"type\":\"object\"},"
        "\"idempotent\":true}}}",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct manifest manifest = {0};
        struct err err = {0};
        if (!reads(rows[i], &manifest, &err)) fail_msg("%s\n%s", err.text, rows[i]);
        assert_string_equal(manifest.name, "sms");
        manifest_clear(&manifest);
    }
}

static void limits(void **state)
{
    struct manifest manifest = {0};
    struct err err = {0};
    assert_true(reads(WITH("\"limits\":{\"memory_mb\":64,\"concurrency\":3}"), &manifest, &err));
    assert_int_equal(manifest.asked.memory_mb, 64);
    assert_int_equal(manifest.asked.concurrency, 3);
    assert_int_equal(manifest.asked.wall_s, 0);
    manifest_clear(&manifest);
}

static void bad(void **state)
{
    static const char *const rows[] = {
        "",
        "[]",
        "3",
        "null",
        "{}",
        "{" TOP "}",
        GOOD "x",
        GOOD "{}",
        "\xef\xbb\xbf" GOOD,
        /* asks that nobody reads: threads, raw network, another mode */
        WITH("\"threads\":true"),
        WITH("\"network\":\"raw\""),
        WITH("\"mode\":2"),
        WITH("\"scopes\":[]"),
        WITH("\"limits\":{\"threads\":4}"),
        WITH("\"library\":\"../../x.so\""),
        /* doubles */
        "{\"name\":\"sms\"," TOP "," ACTIONS "," FIELD "}",
        WITH("\"limits\":{\"dials\":1,\"dials\":2}"),
        /* names */
        "{\"name\":\"../sms\",\"version\":\"1\",\"abi\":1,\"summary\":\"x\"," ACTIONS "," FIELD "}",
        "{\"name\":\"a/b\",\"version\":\"1\",\"abi\":1,\"summary\":\"x\"," ACTIONS "," FIELD "}",
        "{\"name\":\"..\",\"version\":\"1\",\"abi\":1,\"summary\":\"x\"," ACTIONS "," FIELD "}",
        "{\"name\":\"s\xd0\xbcs\",\"version\":\"1\",\"abi\":1,\"summary\":\"x\"," ACTIONS "," FIELD "}",
        "{\"name\":\"SMS\",\"version\":\"1\",\"abi\":1,\"summary\":\"x\"," ACTIONS "," FIELD "}",
        "{\"name\":\"sms\\u0000x\",\"version\":\"1\",\"abi\":1,\"summary\":\"x\"," ACTIONS "," FIELD "}",
        "{\"name\":\"\",\"version\":\"1\",\"abi\":1,\"summary\":\"x\"," ACTIONS "," FIELD "}",
        "{" TOP ",\"actions\":{\"Send\":{\"summary\":\"x\",\"input\":{\"type\":\"object\"}}}}",
        "{" TOP ",\"actions\":{}}",
        /* versions, abi, summaries */
        "{\"name\":\"sms\",\"version\":\"\",\"abi\":1,\"summary\":\"x\"," ACTIONS "," FIELD "}",
        "{\"name\":\"sms\",\"version\":\"1 0\",\"abi\":1,\"summary\":\"x\"," ACTIONS "," FIELD "}",
        "{\"name\":\"sms\",\"version\":\"1\",\"abi\":2,\"summary\":\"x\"," ACTIONS "," FIELD "}",
        "{\"name\":\"sms\",\"version\":\"1\",\"abi\":\"1\",\"summary\":\"x\"," ACTIONS "," FIELD "}",
        "{\"name\":\"sms\",\"version\":\"1\",\"abi\":1.0,\"summary\":\"x\"," ACTIONS "," FIELD "}",
        "{\"name\":\"sms\",\"version\":\"1\",\"abi\":1,\"summary\":\"\"," ACTIONS "," FIELD "}",
        "{\"name\":\"sms\",\"version\":\"1\",\"abi\":1,\"summary\":\"a\\nb\"," ACTIONS "," FIELD "}",
        "{\"name\":\"sms\",\"version\":\"1\",\"abi\":1,\"summary\":\"a\\u001b[2J\"," ACTIONS "," FIELD "}",
        "{\"name\":\"sms\",\"version\":\"1\",\"abi\":1,\"summary\":\"a\\u202eb\"," ACTIONS "," FIELD "}",
        "{\"name\":\"sms\",\"version\":\"1\",\"abi\":1,\"summary\":\"a\\u0085b\"," ACTIONS "," FIELD "}",
        /* actions */
        "{" TOP "," FIELD ",\"actions\":{\"a\":{\"input\":{\"type\":\"object\"}}}}",
        "{" TOP "," FIELD ",\"actions\":{\"a\":{\"summary\":\"x\"}}}",
        "{" TOP "," FIELD ",\"actions\":{\"a\":{\"summary\":\"x\",\"input\":{\"type\":\"string\"}}}}",
        "{" TOP "," FIELD ",\"actions\":{\"a\":{\"summary\":\"x\",\"input\":{\"type\":\"object\",\"pattern\":\"a\"}}}}",
        "{" TOP "," FIELD ",\"actions\":{\"a\":{\"summary\":\"x\",\"input\":{\"type\":\"object\"},\"sudo\":true}}}",
        "{" TOP "," FIELD ",\"actions\":{\"a\":{\"summary\":\"x\",\"input\":{\"type\":\"object\"},\"idempotent\":1}}}",
        "{" TOP "," FIELD
        ",\"actions\":{\"a\":{\"summary\":\"x\",\"input\":{\"type\":\"object\"},\"fields\":[\"other\"]}}}",
        "{" TOP "," FIELD ",\"actions\":{\"a\":{\"summary\":\"x\",\"input\":{\"type\":\"object\"},"
        "\"fields\":[\"token\",\"token\"]}}}",
        "{" TOP "," ACTIONS "}",
        /* credential */
        "{" TOP "," ACTIONS ",\"credential\":{}}",
        "{" TOP "," ACTIONS ",\"credential\":{\"fields\":{}}}",
        "{" TOP "," ACTIONS ",\"credential\":{\"fields\":{\"token\":{\"summary\":\"x\",\"secret\":\"no\"}}}}",
        "{" TOP "," ACTIONS ",\"credential\":{\"fields\":{\"token\":{\"summary\":\"x\",\"value\":\"s3cret\"}}}}",
        /* settings, egress, limits */
        WITH("\"settings\":{\"type\":\"object\",\"properties\":{\"o\":{\"type\":\"object\"}}}"),
        WITH("\"settings\":{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"number\"}}}"),
        WITH("\"settings\":{\"type\":\"array\"}"),
        WITH("\"egress\":[\"tls://*.com:443\"]"),
        WITH("\"egress\":[\"tls://localhost:443\"]"),
        WITH("\"egress\":[\"tls://10.0.0.1:443\"]"),
        WITH("\"egress\":[\"tls://a.example.com:1-65535\"]"),
        WITH("\"egress\":[\"tls://{nothing}:443\"]"),
        WITH("\"egress\":[3]"),
        WITH("\"egress\":\"tls://a.b:1\""),
        WITH("\"limits\":{\"memory_mb\":0}"),
        WITH("\"limits\":{\"memory_mb\":1025}"),
        WITH("\"limits\":{\"memory_mb\":-1}"),
        WITH("\"limits\":{\"memory_mb\":1e3}"),
        WITH("\"limits\":{\"memory_mb\":9007199254740993000}"),
        WITH("\"limits\":[]"),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct manifest manifest = {0};
        struct err err = {0};
        if (reads(rows[i], &manifest, &err)) fail_msg("taken: %s", rows[i]);
        if (!err.text[0]) fail_msg("no reason: %s", rows[i]);
        assert_null(manifest.document);
    }
}

/* head, then count times before and after with the running number in between, then tail. */
static void many(const char *head, const char *before, const char *after, size_t count, const char *tail)
{
    size_t size = strlen(head) + (strlen(before) + strlen(after) + 16) * count + strlen(tail) + 1, used;
    char *text = malloc(size);
    struct manifest manifest = {0};
    struct err err = {0};
    assert_non_null(text);
    if (!text) return;
    used = (size_t)snprintf(text, size, "%s", head);
    for (size_t i = 0; i < count; i++) used += (size_t)snprintf(text + used, size - used, "%s%zu%s", before, i, after);
    snprintf(text + used, size - used, "%s", tail);
    if (reads(text, &manifest, &err)) fail_msg("taken: %s", head);
    free(text);
}

static void floods(void **state)
{
    many("{" TOP ",\"actions\":", "[", ",", 20000, "");
    many("{" TOP ",\"actions\":", "{\"a", "\":", 20000, "");
    many("{" TOP ",\"actions\":{" ACTION, ",\"a", "\":{\"summary\":\"x\",\"input\":{\"type\":\"object\"}}", 64,
         "}," FIELD "}");
    many("{" TOP "," ACTIONS "," FIELD ",\"egress\":[\"tls://a.b:1\"", ",\"tls://a", ".example.com:1\"", 64, "]}");
    many("{" TOP "," ACTIONS "," FIELD ",\"version\":\"", "", "", 1000, "\"}");
    static char padded[MANIFEST_BYTES + sizeof GOOD];
    struct manifest manifest = {0};
    struct err err = {0};
    memset(padded, ' ', sizeof padded - 1);
    memcpy(padded, GOOD, strlen(GOOD));
    assert_false(reads(padded, &manifest, &err));
    assert_int_equal(err.kind, ERR_TOO_LARGE);
}

/* The connectors of this project must be among the good ones. */
static void shipped(void **state)
{
    static const char *const names[] = {"email", "sms", "webhook"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[512], text[65536];
        struct manifest manifest = {0};
        struct err err = {0};
        snprintf(path, sizeof path, "%s/plugins/%s/manifest.json", SOURCE_ROOT, names[i]);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        size_t length = fread(text, 1, sizeof text, file);
        fclose(file);
        if (!manifest_read(text, length, &manifest, &err)) fail_msg("%s: %s", names[i], err.text);
        assert_string_equal(manifest.name, names[i]);
        manifest_clear(&manifest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),   cmocka_unit_test(limits),  cmocka_unit_test(bad),
        cmocka_unit_test(floods), cmocka_unit_test(shipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
