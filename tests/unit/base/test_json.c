/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded reading and canonical writing of JSON. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "unit.h"

static bool reads(const char *text, struct err *err)
{
    JSON_AUTO *value = NULL;
    return json_read(text, strlen(text), 1 << 20, &value, err);
}

static void malformed_texts_are_refused(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"", "line 1"},
        {"{", "line 1, column 1"},
        {"{\n\"a\": 1,\n\"a\": 2}", "line 3, column"},
        {"{\"a\":1,\"a\":2}", "a key stands there twice"},
        {"[1,]", "line 1"},
        {"[1] 2", "line 1"},
        {"{\"a\":\"\\u0000\"}", "line 1"},
        {"{\"a\\u0000b\":1}", "line 1"},
        {"[\"\xff\"]", "line 1"},
        {"[\"\xed\xa0\x80\"]", "line 1"},
        {"[99999999999999999999]", "line 1"},
        {"[1e999]", "line 1"},
        {"[NaN]", "line 1"},
        {"[01]", "line 1"},
        {"['a']", "line 1"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = {0};
        if (reads(cases[i].text, &err)) fail_msg("case %zu was read", i);
        assert_int_equal(err.kind, ERR_MALFORMED);
        if (!strstr(err.text, cases[i].says)) fail_msg("case %zu: %s", i, err.text);
    }
}

static void refusals_do_not_repeat_the_content(void **state)
{
    struct err err = {0};
    assert_false(reads("{\"password\": \"canary-5150\" \"canary-5151\"}", &err));
    assert_null(strstr(err.text, "canary"));
    assert_null(strstr(err.detail, "canary"));
    assert_false(reads("{\"canary-5152\":1,\"canary-5152\":2}", &err));
    assert_null(strstr(err.text, "canary"));
}

static void raw_nul_bytes_are_refused(void **state)
{
    struct err err = {0};
    JSON_AUTO *value = NULL;
    assert_false(json_read("[\"a\0b\"]", 7, 100, &value, &err));
    assert_false(json_read("[1]\0", 4, 100, &value, &err));
    assert_null(value);
}

static void depth_is_bounded(void **state)
{
    char text[2 * JSON_DEPTH + 8];
    for (int depth = JSON_DEPTH; depth <= JSON_DEPTH + 1; depth++) {
        struct err err = {0};
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        assert_int_equal(reads(text, &err), depth == JSON_DEPTH);
    }
    struct err err = {0};
    assert_true(reads("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"]", &err));
    assert_true(reads("[\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"]", &err));
    static char deep[1 << 19];
    memset(deep, '[', sizeof deep - 1);
    assert_false(reads(deep, &err));
}

static void size_is_bounded(void **state)
{
    struct err err = {0};
    JSON_AUTO *value = NULL;
    assert_true(json_read("[1,2]", 5, 5, &value, &err));
    assert_false(json_read("[1,2]", 5, 4, &value, &err));
    assert_int_equal(err.kind, ERR_TOO_LARGE);
}

static void any_value_may_stand_at_the_top(void **state)
{
    struct err err = {0};
    assert_true(reads("1", &err));
    assert_true(reads(" \"x\" ", &err));
    assert_true(reads("null", &err));
}

static void compact_is_canonical(void **state)
{
    struct err err = {0};
    JSON_AUTO *value = NULL;
    BUF_AUTO out;
    const char *text = "{ \"b\" : [1, 2.5, true, null], \"a\": {\"z\":\"\xc3\xa9\\u0041\", \"B\":1, \"\":0} }";
    assert_true(json_read(text, strlen(text), 1000, &value, &err));
    buf_init(&out, 1000);
    assert_true(json_compact(value, &out));
    assert_string_equal(out.bytes, "{\"a\":{\"\":0,\"B\":1,\"z\":\"\xc3\xa9"
                                   "A\"},\"b\":[1,2.5,true,null]}");
    BUF_AUTO small;
    buf_init(&small, 10);
    assert_false(json_compact(value, &small));
}

static void the_named_one_is_found(void **state)
{
    JSON_AUTO *list = json_loads("[1, {\"name\": 5}, {\"name\": \"a\", \"x\": 1}, {\"name\": \"a\"}]", 0, NULL);
    assert_ptr_equal(json_named(list, "a"), json_array_get(list, 2));
    assert_null(json_named(list, "b"));
    assert_null(json_named(NULL, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_texts_are_refused),
        cmocka_unit_test(refusals_do_not_repeat_the_content),
        cmocka_unit_test(raw_nul_bytes_are_refused),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(size_is_bounded),
        cmocka_unit_test(any_value_may_stand_at_the_top),
        cmocka_unit_test(compact_is_canonical),
        cmocka_unit_test(the_named_one_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
