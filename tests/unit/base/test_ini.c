/* SPDX-License-Identifier: Apache-2.0 */
/* INI files: what is read, what is refused and in which line. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/ini.h"
#include "unit.h"

static bool parse(struct ini *ini, const char *text, struct err *err)
{
    return ini_parse(ini, text, strlen(text), "test.conf", err);
}

static void reads_sections_keys_and_comments(void **state)
{
    INI_AUTO ini = {0};
    struct err err = {0};
    assert_true(parse(&ini,
                      "# a comment\n; another\n\n[Plugin]\n  Name = email \nPath=/a b/c=d\r\n"
                      "[Grant]\nEgress=tls://one:443\nEgress=tls://two:443 # not a comment\n[Plugin]\nMore=\xc3\xa9",
                      &err));
    assert_string_equal(ini_get(&ini, "Plugin", "Name"), "email");
    assert_string_equal(ini_get(&ini, "Plugin", "Path"), "/a b/c=d");
    assert_string_equal(ini_get(&ini, "Plugin", "More"), "\xc3\xa9");
    assert_string_equal(ini_get(&ini, "Grant", "Egress"), "tls://two:443 # not a comment");
    assert_null(ini_get(&ini, "Plugin", "name"));
    assert_null(ini_get(&ini, "plugin", "Name"));
}

static void repeated_keys_add_and_empty_ones_reset(void **state)
{
    INI_AUTO ini = {0};
    struct err err = {0};
    assert_true(parse(&ini, "[G]\nE=1\nE=2\nOther=x\nE=\nE=3\nE=4\n[H]\nE=9\n", &err));
    const struct ini_item *item = ini_each(&ini, "G", "E", NULL);
    assert_string_equal(item->value, "3");
    assert_int_equal(item->line, 6);
    item = ini_each(&ini, "G", "E", item);
    assert_string_equal(item->value, "4");
    assert_null(ini_each(&ini, "G", "E", item));
    assert_string_equal(ini_get(&ini, "G", "Other"), "x");
    assert_string_equal(ini_get(&ini, "H", "E"), "9");
}

static void drop_ins_go_on_in_order(void **state)
{
    INI_AUTO ini = {0};
    struct err err = {0};
    assert_true(ini_parse(&ini, "[A]\nL=1\nS=old", 13, "one", &err));
    assert_true(ini_parse(&ini, "[A]\nL=2\nS=new", 13, "two", &err));
    assert_true(ini_parse(&ini, "[A]\nL=\nL=3", 10, "three", &err));
    assert_string_equal(ini_get(&ini, "A", "S"), "new");
    const struct ini_item *item = ini_each(&ini, "A", "L", NULL);
    assert_string_equal(item->value, "3");
    assert_string_equal(item->label, "three");
    assert_null(ini_each(&ini, "A", "L", item));
    assert_int_equal(ini_each(&ini, NULL, NULL, NULL)->line, 3);
}

static void refusals_name_file_and_line(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"Key=1\n", "test.conf:1: a setting stands before"},
        {"[A]\nnothing\n", "test.conf:2: neither"},
        {"[A\n", "test.conf:1: a section starts with"},
        {"[]\n", "test.conf:1: a section's name"},
        {"[", "test.conf:1: a section starts with"},
        {"[A B]\n", "test.conf:1: a section's name"},
        {"\n\n[A]\n=1\n", "test.conf:4: a key has"},
        {"[A]\nB C=1\n", "test.conf:2: a key has"},
        {"[A]\nB=one \\\ntwo\n", "test.conf:2: a line cannot go on"},
        {"[A]\nB=\x01\n", "test.conf:2: control bytes"},
        {"[A]\nB=\x1b[31m\n", "test.conf:2: control bytes"},
        {"[A]\nB=\xff\n", "test.conf:2: control bytes, or no UTF-8"},
        {"[A]\nB=x\ry\n", "test.conf:2: control bytes"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        INI_AUTO ini = {0};
        struct err err = {0};
        assert_false(parse(&ini, cases[i].text, &err));
        if (!strstr(err.text, cases[i].says)) fail_msg("case %zu: %s", i, err.text);
        assert_int_equal(err.kind, ERR_MALFORMED);
    }
}

static void nul_bytes_are_refused(void **state)
{
    INI_AUTO ini = {0};
    struct err err = {0};
    assert_false(ini_parse(&ini, "[A]\nB=x\0y\n", 10, "test.conf", &err));
    assert_int_equal(err.kind, ERR_MALFORMED);
}

static void long_lines_stay_whole_up_to_the_limit(void **state)
{
    char *text = malloc(INI_LINE + 16);
    for (int extra = 0; extra <= 1; extra++) {
        INI_AUTO ini = {0};
        struct err err = {0};
        memcpy(text, "[A]\nB=", 6);
        memset(text + 6, 'x', INI_LINE);
        size_t line = (size_t)INI_LINE - 2 + (size_t)extra; /* bytes of the value */
        text[6 + line] = '\n';
        bool fine = ini_parse(&ini, text, 7 + line, "test.conf", &err);
        assert_int_equal(fine, extra == 0);
        if (fine)
            assert_int_equal(strlen(ini_get(&ini, "A", "B")), line);
        else
            assert_int_equal(err.kind, ERR_TOO_LARGE);
    }
    free(text);
}

static void large_files_are_refused(void **state)
{
    INI_AUTO ini = {0};
    struct err err = {0};
    char *text = malloc(INI_FILE + 1);
    memset(text, '\n', INI_FILE + 1);
    assert_true(ini_parse(&ini, text, INI_FILE, "big", &err));
    assert_false(ini_parse(&ini, text, INI_FILE + 1, "big", &err));
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_sections_keys_and_comments),
        cmocka_unit_test(repeated_keys_add_and_empty_ones_reset),
        cmocka_unit_test(drop_ins_go_on_in_order),
        cmocka_unit_test(refusals_name_file_and_line),
        cmocka_unit_test(nul_bytes_are_refused),
        cmocka_unit_test(long_lines_stay_whole_up_to_the_limit),
        cmocka_unit_test(large_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
