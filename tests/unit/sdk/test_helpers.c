/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures, base64, mail headers and the checks of the helpers, as tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "sdk/src/mime.h"

#include <cmocka.h>

static char explained[400];

static void keep_explanation(struct csn_call *call, const char *text)
{
    snprintf(explained, sizeof explained, "%s", text);
}

static const struct csn_services services = {.size = sizeof services, .abi = CSN_ABI, .explain = keep_explanation};
static struct csn_call call = {&services, NULL};

/* RFC 4231, cases 1 and 2. */
static void signs(void **state)
{
    static const struct {
        const char *key;
        size_t size;
        const char *text, *expected;
    } rows[] = {
        {"\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b", 20, "Hi There",
         "sDRMYdjbOFNcqK/OrwvxK4gdwgDJgz2nJuk3bC4yz/c="},
        {"Jefe", 4, "what do ya want for nothing?", "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM="},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        unsigned char mac[32];
        assert_int_equal(helpers_hmac_sha256(&call, rows[i].key, rows[i].size, rows[i].text, strlen(rows[i].text), mac),
                         1);
        assert_string_equal(helpers_base64(&call, mac, sizeof mac), rows[i].expected);
    }
    helpers_end(&call);
}

static void decodes_base64_strictly(void **state)
{
    static const struct {
        const char *text;
        int size; /* -1: refused */
    } rows[] = {{"", 0},
                {"AA==", 1},
                {"AAA=", 2},
                {"AAAA", 3},
                {"AAAAAA==", 4},
                {"A", -1},
                {"AA", -1},
                {"AAA", -1},
                {"A===", -1},
                {"====", -1},
                {"AB==", -1},
                {"AAB=", -1},
                {"AA=A", -1},
                {"AA==AAAA", -1},
                {" AAA", -1},
                {"AA\n=", -1},
                {"AA-_", -1},
                {"+/+/", 3},
                {"AAAA====", -1},
                {"\xc3\xa4"
                 "AA",
                 -1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const void *bytes;
        size_t size = 99;
        int good = helpers_unbase64(&call, rows[i].text, &bytes, &size);
        if (good != (rows[i].size >= 0) || (good && size != (size_t)rows[i].size))
            fail_msg("row %zu: %s", i, rows[i].text);
    }
    helpers_end(&call);
}

static void knows_utf8(void **state)
{
    static const struct {
        const char *text;
        bool valid;
    } rows[] = {{"", true},
                {"Zoë ✓ 😀", true},
                {"a\tb", false},
                {"a\nb", false},
                {"\x7f", false},
                {"\xc2\x85", false},
                {"\xc0\xaf", false},
                {"\xe0\x80\xaf", false},
                {"\xed\xa0\x80", false},
                {"\xf4\x90\x80\x80", false},
                {"\xff", false},
                {"\xc3", false},
                {"\xe2\x9c", false},
                {"\xf0\x9f\x98", false},
                {"\xf0\x80\x80\x80", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (encode_valid(rows[i].text) != rows[i].valid) fail_msg("row %zu", i);
}

static char *encoded(const char *name, const char *text)
{
    char *line = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&line, &size);
    encode_text(stream, name, text);
    fclose(stream);
    return line;
}

static void folds_and_encodes(void **state)
{
    static const struct {
        const char *text, *expected;
    } rows[] = {
        {"short", "Subject: short"},
        {"Grüße", "Subject: =?UTF-8?B?R3LDvMOfZQ==?="},
        {"=?UTF-8?B?eA==?=", "Subject: =?UTF-8?B?PT9VVEYtOD9CP2VBPT0/PQ==?="},
        {"one two three four five six seven eight nine ten eleven twelve thirteen fourteen",
         "Subject: one two three four five six seven eight nine ten eleven twelve\r\n thirteen fourteen"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *line = encoded("Subject", rows[i].text);
        assert_string_equal(line, rows[i].expected);
        free(line);
    }
}

/* Every further line begins with a blank, and none is empty but for blanks. Returns the longest line's length. */
static size_t longest_line(const char *line)
{
    size_t longest = 0;
    for (const char *at = line; *at;) {
        size_t length = strcspn(at, "\r");
        if (strspn(at, " ") >= length) fail_msg("a line of blanks: %s", line);
        if (length > longest) longest = length;
        at += length;
        if (*at) assert_memory_equal(at, "\r\n ", 3);
        if (*at) at += 2;
    }
    return longest;
}

/* Whatever the text, no line is longer than 76. */
static void keeps_lines_short(void **state)
{
    static const char *const pieces[] = {"ä", "✓", "😀", "ab ", "ü b", "12345678 ", "aaaa  ", "b   "};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        for (int count = 1; count < 120; count++) {
            char text[2000] = "";
            for (int j = 0; j < count; j++) strcat(text, pieces[i]);
            char *line = encoded(count % 2 ? "Subject" : "X-A-Rather-Long-Name-For-A-Header-Of-One-Own", text);
            if (longest_line(line) > 76) fail_msg("piece %zu, %d times: %s", i, count, line);
            free(line);
        }
    }
}

/* The longest names leave the first word little room or none. */
static void breaks_after_long_names(void **state)
{
    static const char *const texts[] = {"ä", "😀😀"};
    for (size_t length = 50; length <= 64; length++) {
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            char name[65] = "";
            memset(name, 'X', length);
            char *line = encoded(name, texts[i]);
            if (longest_line(line) > 76) fail_msg("%s", line);
            free(line);
        }
    }
}

/* `word` letters, `blanks` blanks, one letter. */
static void spread(char text[4001], size_t word, size_t blanks)
{
    memset(text, 'a', word);
    memset(text + word, ' ', blanks);
    strcpy(text + word + blanks, "b");
}

/* What is taken fits into lines (RFC 5322 §2.1.1); a subject that cannot be broken is encoded. */
static void takes_headers_that_can_be_broken(void **state)
{
    static const struct {
        size_t word, blanks;
        bool good;
    } rows[] = {{900, 0, false}, {899, 0, true},  {899, 1, true},  {1, 899, true},  {0, 900, true},
                {900, 1, false}, {1, 900, false}, {0, 901, false}, {1, 3000, false}};
    char text[4001], name[65] = "";
    memset(name, 'X', 64);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        spread(text, rows[i].word, rows[i].blanks);
        struct csn_mail_address to = {"a@b", NULL};
        struct csn_mail_header header = {name, text};
        struct csn_mail mail = {
            .size = sizeof mail, .from = to, .to = &to, .to_count = 1, .headers = &header, .header_count = 1};
        if (mime_check(&call, &mail) != rows[i].good) fail_msg("row %zu: %s", i, explained);
        char *line = encoded(rows[i].good ? name : "Subject", text);
        if (longest_line(line) > (rows[i].good ? 998 : 76)) fail_msg("row %zu: %s", i, line);
        free(line);
    }
}

static void takes_good_addresses_only(void **state)
{
    static const struct {
        const char *address;
        bool good;
    } rows[] = {{"a@b", true},
                {"a.b+c@x-y.example", true},
                {"zoë@example.org", true},
                {"", false},
                {"a", false},
                {"@b", false},
                {"a@", false},
                {".a@b", false},
                {"a.@b", false},
                {"a..b@c", false},
                {"a b@c", false},
                {"a@b c", false},
                {"a<b@c", false},
                {"a@b>", false},
                {"\"a\"@b", false},
                {"a@b@c", false},
                {"a@b\r\nX", false},
                {"a,b@c", false},
                {"a@[127.0.0.1]", false},
                {"a@.b", false},
                {"a@-b", false},
                {"a@ä.example", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct csn_mail_address to = {rows[i].address, NULL};
        struct csn_mail mail = {.size = sizeof mail, .from = {"a@b", NULL}, .to = &to, .to_count = 1};
        if (mime_check(&call, &mail) != rows[i].good) fail_msg("%s: %s", rows[i].address, explained);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signs),
        cmocka_unit_test(decodes_base64_strictly),
        cmocka_unit_test(knows_utf8),
        cmocka_unit_test(folds_and_encodes),
        cmocka_unit_test(keeps_lines_short),
        cmocka_unit_test(breaks_after_long_names),
        cmocka_unit_test(takes_headers_that_can_be_broken),
        cmocka_unit_test(takes_good_addresses_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
