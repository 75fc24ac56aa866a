/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one record: strict at every place, and no fact of it passed over. */
#include <stdio.h>
#include <string.h>

#include "../base/unit.h"
#include "tools/audit_body.h"

#define HASH_OF_ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

/* A byte that ends a text or stands in none, at every place among those that are looked at together. */
static void bytes_within_texts(void **state)
{
    static const char filling[] = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"; /* more than two times 16 */
    static const struct {
        const char *bytes;
        bool good;
    } rows[] = {{"", true},     {" ", true},       {"!#[]\x7f", true}, {"\xc3\xa9", true}, {"\\n", true},
                {"\\\"", true}, {"\\u00e9", true}, {"\"", false},      {"\\x", false},     {"\x1f", false},
                {"\n", false},  {"\x80", false},   {"\xff", false},    {"\\", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int before = 0; before < 34; before++)
            for (int after = 0; after < 34; after++) {
                char text[128];
                struct body body;
                struct err err = {0};
                int length = snprintf(text, sizeof text, "{\"at\":1,\"kind\":\"k\",\"pad\":\"%.*s%s%.*s\",\"v\":1}",
                                      before, filling, rows[i].bytes, after, filling);
                bool good = body_read((const unsigned char *)text, (size_t)length, &body, &err);
                if (good != rows[i].good) fail_msg("%d+%d around row %zu: %s", before, after, i, err.text);
                if (good) assert_int_equal(body.v, 1);
            }
}

/* Every fact is found, wherever it stands in the table. */
static void facts_are_found(void **state)
{
    static const struct {
        const char *text;
        uint32_t seen;
    } rows[] = {
        {"{\"act\":\"a\",\"at\":1,\"attempt\":1,\"class\":\"ok\",\"from\":1,\"intent\":1,\"kind\":\"k\",\"new\":\"n\","
         "\"old\":\"o\",\"old_origin\":\"o\",\"payload\":\"none\",\"sent\":\"no\",\"sign\":\"s\",\"target\":\"t\","
         "\"to\":1,\"v\":1}",
         BODY_ACT | BODY_AT | BODY_ATTEMPT | BODY_CLASS | BODY_FROM | BODY_INTENT | BODY_KIND | BODY_PAYLOAD |
             BODY_SENT | BODY_TO | BODY_V},
        {"{\"\":1,\"at\":1,\"kind\":\"key_roll\",\"new\":\"n\",\"old\":\"o\",\"sign\":\"s\",\"v\":1}",
         BODY_AT | BODY_KIND | BODY_NEW | BODY_OLD | BODY_SIGN | BODY_V},
        {"{\"at\":1,\"kind\":\"epoch\",\"old_origin\":\"o\",\"target\":\"t\",\"v\":1,\"\xc3\xa9\":1}",
         BODY_AT | BODY_KIND | BODY_OLD_ORIGIN | BODY_TARGET | BODY_V},
        {"{\"at\":1,\"from\":1,\"kind\":\"prune\",\"stays\":1,\"to\":1,\"v\":1,\"what\":\"w\"}",
         BODY_AT | BODY_FROM | BODY_KIND | BODY_STAYS | BODY_TO | BODY_V | BODY_WHAT},
        {"{\"at\":1,\"kind\":\"epoch\",\"old_orig\":1,\"old_origim\":1,\"old_origins\":1,\"v\":1,\"v0\":1}",
         BODY_AT | BODY_KIND | BODY_V},
        {"{\"at\":1,\"kind\":\"intent\",\"v\":1,\"workspace\":\"w\",\"workspace_id\":\"01a22ad7-dfb8-7c9f-a267-"
         "670500f3b9ae\"}",
         BODY_AT | BODY_KIND | BODY_V | BODY_WORKSPACE},
        {"{\"about\":\"" HASH_OF_ZEROS "\",\"at\":1,\"call\":\"01a22ad7-dfb8-7c9f-a267-670500f3b9ae\",\"kind\":\"k\","
         "\"personal\":\"" HASH_OF_ZEROS "\",\"v\":1}",
         BODY_ABOUT | BODY_AT | BODY_CALL | BODY_KIND | BODY_PERSONAL | BODY_V},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct body body;
        struct err err = {0};
        if (!body_read((const unsigned char *)rows[i].text, strlen(rows[i].text), &body, &err))
            fail_msg("%zu: %s", i, err.text);
        assert_int_equal(body.seen, rows[i].seen);
    }
}

struct row {
    const char *text;
    bool good;
};

static void read_all(const struct row *rows, size_t count, const char *before, const char *after)
{
    for (size_t i = 0; i < count; i++) {
        char text[256];
        struct body body;
        struct err err = {0};
        int length = snprintf(text, sizeof text, "%s%s%s", before, rows[i].text, after);
        bool good = body_read((const unsigned char *)text, (size_t)length, &body, &err);
        if (good != rows[i].good) fail_msg("%s: %s", text, good ? "read" : err.text);
    }
}

/* However long they are and wherever they differ. */
static void keys_ascend(void **state)
{
    static const struct row rows[] = {{"\"l\":1,\"m\":1", true},
                                      {"\"m\":1,\"l\":1", false},
                                      {"\"l\":1,\"l\":1", false},
                                      {"\"longer_a\":1,\"longer_b\":1", true},
                                      {"\"longer_b\":1,\"longer_a\":1", false},
                                      {"\"longer_key_a\":1,\"longer_key_b\":1", true},
                                      {"\"longer_key_b\":1,\"longer_key_a\":1", false},
                                      {"\"longer_key\":1,\"longer_key\":1", false},
                                      {"\"longer_k\":1,\"longer_key\":1", true},
                                      {"\"longer_key\":1,\"longer_k\":1", false},
                                      {"\"longer\":1,\"longer_k\":1", true},
                                      {"\"longer_k\":1,\"longer\":1", false},
                                      {"\"l\":1,\"\":1", false},
                                      {"\"l\":{\"\":1,\"a\":1}", true},
                                      {"\"l\":{\"\":1,\"\":1}", false},
                                      {"\"l\":{\"\x7f\":1,\"\xc3\xa9\":1}", true},
                                      {"\"l\":{\"\xc3\xa9\":1,\"\x7f\":1}", false},
                                      {"\"l\":{\"b\":1,\"a\":1}", false}};
    read_all(rows, sizeof rows / sizeof *rows, "{\"at\":1,\"kind\":\"k\",", ",\"v\":1}");
}

static void numbers_fit(void **state)
{
    static const struct row rows[] = {{"0", true},
                                      {"-1", true},
                                      {"9223372036854775807", true},
                                      {"9223372036854775808", false},
                                      {"-9223372036854775808", true},
                                      {"-9223372036854775809", false},
                                      {"9999999999999999999", false},
                                      {"18446744073709551617", false},
                                      {"-18446744073709551617", false},
                                      {"100000000000000000000000000000000000001", false},
                                      {"-0", false},
                                      {"01", false},
                                      {"-", false},
                                      {"", false},
                                      {"+1", false},
                                      {"1.0", false},
                                      {"1e1", false}};
    read_all(rows, sizeof rows / sizeof *rows, "{\"at\":", ",\"kind\":\"k\",\"v\":1}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes_within_texts), cmocka_unit_test(facts_are_found),
                                       cmocka_unit_test(keys_ascend), cmocka_unit_test(numbers_fit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
