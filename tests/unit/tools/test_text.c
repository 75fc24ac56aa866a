/* SPDX-License-Identifier: Apache-2.0 */
/* What the command shows and asks for: tamed texts, audiences, paths of the API. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../base/unit.h"
#include "base/auto.h"
#include "base/auto_json.h"
#include "tools/api.h"
#include "tools/audience.h"
#include "tools/print.h"
#include "tools/source.h"

static void texts_are_tamed(void **state)
{
    static const struct {
        const char *text, *tame;
    } cases[] = {
        {"plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "plain \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"a\x1b[31mb\x07", "a?[31mb?"},
        {"two\nlines\tand\rmore", "two lines and?more"},
        {"\x7f\xc2\x9b"
         "31m",
         "??31m"},
        {"user\xe2\x80\xae"
         "txt.exe",
         "user?txt.exe"},
        {"\xe2\x81\xa6x\xe2\x80\x8b\xef\xbb\xbf", "?x??"},
        {"\xff\xc0\xaf", "???"},
        {"", ""},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        FREE_AUTO char *tame = print_tamed(cases[i].text);
        assert_string_equal(tame, cases[i].tame);
    }
}

/* What print_json writes, taken from a pipe in the place of standard output. */
static void printed(const json_t *value, char *text, size_t size)
{
    int ends[2], before = dup(STDOUT_FILENO);
    fflush(stdout);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDOUT_FILENO);
    print_json(value);
    fflush(stdout);
    dup2(before, STDOUT_FILENO);
    ssize_t got = read(ends[0], text, size - 1);
    text[got > 0 ? got : 0] = '\0';
    close(ends[0]);
    close(ends[1]);
    close(before);
}

static void json_stays_json_without_tricks(void **state)
{
    char text[400];
    JSON_AUTO *value = json_pack("{s:s}", "\xc3\xa9", "\x1b\x7f\xc2\x9b\xe2\x80\xae\xf0\x9f\x98\x80");
    printed(value, text, sizeof text);
    assert_string_equal(text, "{\n  \"\xc3\xa9\": \"\\u001B\\u007F\\u009B\\u202E\xf0\x9f\x98\x80\"\n}\n");
    JSON_AUTO *again = json_loads(text, 0, NULL);
    assert_true(json_equal(value, again));
}

static void audiences_have_one_form(void **state)
{
    static const struct {
        const char *hosts[4];
        const char *text; /* NULL: refused */
    } cases[] = {
        {{NULL}, ""},
        {{"Mail.Example.COM."}, "mail.example.com"},
        {{"b.example", "a.example", "B.example"}, "a.example\nb.example"},
        {{"xn--bcher-kva.example"}, "xn--bcher-kva.example"},
        {{"b\xc3\xbc"
          "cher.example"},
         NULL},
        {{"https://a.example"}, NULL},
        {{"a.example/x"}, NULL},
        {{"a b"}, NULL},
        {{"a\nb"}, NULL},
        {{"*.example.com"}, NULL},
        {{""}, NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = {0};
        char text[AUDIENCE_MAX];
        size_t count = 0;
        while (count < 4 && cases[i].hosts[count]) count++;
        bool fine = audience_text(cases[i].hosts, count, text, &err);
        assert_int_equal(fine, cases[i].text != NULL);
        if (fine) assert_string_equal(text, cases[i].text);
    }
}

static void audiences_read_back(void **state)
{
    struct err err = {0};
    char text[AUDIENCE_MAX];
    JSON_AUTO *list = audience_list("a.example\nb.example");
    assert_int_equal(json_array_size(list), 2);
    assert_true(audience_of(list, text, &err));
    assert_string_equal(text, "a.example\nb.example");
    JSON_AUTO *string = json_string("b.example\na.example\n");
    assert_true(audience_of(string, text, &err));
    assert_string_equal(text, "a.example\nb.example");
    assert_true(audience_of(NULL, text, &err));
    assert_string_equal(text, "");
    JSON_AUTO *wrong = json_pack("[i]", 1);
    assert_false(audience_of(wrong, text, &err));
}

static void paths_are_encoded(void **state)
{
    char path[API_PATH];
    api_path(path, "/v1/calls/", "../tokens?x=1&y#\xc3\xa9");
    assert_string_equal(path, "/v1/calls/..%2Ftokens%3Fx%3D1%26y%23%C3%A9");
    api_query(path, "a", NULL);
    api_query(path, "a", "b c");
    api_query(path, "d", "e&f");
    assert_string_equal(strchr(path, 0x3f) ? strchr(path, 0x3f) : "", "?a=b%20c&d=e%26f");
    static char large[API_PATH * 2];
    memset(large, '/', sizeof large - 1);
    api_path(path, "/", large);
    assert_true(strlen(path) < API_PATH);
}

static void one_line_break_is_taken_off(void **state)
{
    static const char *const cases[][2] = {{"a\n", "a"}, {"a\r\n", "a"}, {"a\n\n", "a\n"}, {"a", "a"}, {"\n", ""}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        BUF_AUTO value;
        buf_init(&value, 16);
        buf_text(&value, cases[i][0]);
        source_chomp(&value);
        assert_string_equal(value.bytes, cases[i][1]);
        assert_int_equal(value.used, strlen(cases[i][1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_tamed),         cmocka_unit_test(json_stays_json_without_tricks),
        cmocka_unit_test(audiences_have_one_form), cmocka_unit_test(audiences_read_back),
        cmocka_unit_test(paths_are_encoded),       cmocka_unit_test(one_line_break_is_taken_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
