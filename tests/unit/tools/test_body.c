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
    static const struct {
        const char *bytes;
        bool good;
    } rows[] = {{"", true},     {" ", true},       {"!#[]\x7f", true}, {"\xc3\xa9", true}, {"\\n", true},
                {"\\\"", true}, {"\\u00e9", true}, {"\"", false},      {"\\x", false},     {"\x1f", false},
                {"\n", false},  {"\x80", false},   {"\xff", false},    {"\\", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int before = 0; before < 18; before++)
            for (int after = 0; after < 18; after++) {
                char text[128];
                struct body body;
                struct err err = {0};
                int length = snprintf(text, sizeof text, "{\"at\":1,\"kind\":\"k\",\"pad\":\"%.*s%s%.*s\",\"v\":1}",
                                      before, "xxxxxxxxxxxxxxxxxx", rows[i].bytes, after, "xxxxxxxxxxxxxxxxxx");
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
         "\"old\":\"o\",\"old_origin\":\"o\",\"sent\":\"no\",\"sign\":\"s\",\"target\":\"t\",\"to\":1,\"v\":1}",
         BODY_ACT | BODY_AT | BODY_ATTEMPT | BODY_CLASS | BODY_FROM | BODY_INTENT | BODY_KIND | BODY_SENT | BODY_TO |
             BODY_V},
        {"{\"\":1,\"at\":1,\"kind\":\"key_roll\",\"new\":\"n\",\"old\":\"o\",\"sign\":\"s\",\"v\":1}",
         BODY_AT | BODY_KIND | BODY_NEW | BODY_OLD | BODY_SIGN | BODY_V},
        {"{\"at\":1,\"kind\":\"epoch\",\"old_origin\":\"o\",\"target\":\"t\",\"v\":1,\"\xc3\xa9\":1}",
         BODY_AT | BODY_KIND | BODY_OLD_ORIGIN | BODY_TARGET | BODY_V},
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes_within_texts), cmocka_unit_test(facts_are_found)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
