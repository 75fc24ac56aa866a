/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of fields over JSON objects and INI sections. */
#include <stdbool.h>
#include <string.h>

#include "base/ids.h"
#include "base/json.h"
#include "base/table.h"
#include "unit.h"

struct sample {
    char name[NAME_BYTES], text[16];
    uint32_t count;
    int64_t big;
    bool on;
    unsigned mode;
    const json_t *list, *object;
};

static const char *const modes[] = {"call", "lease", NULL};
static const struct table_field both[] = {
    {"name", TABLE_NAME, .required = true, TABLE_AT(struct sample, name)},
    {"text", TABLE_TEXT, TABLE_AT(struct sample, text), .least = 2, .most = 15, .preset = "preset"},
    {"count", TABLE_NUMBER, TABLE_AT(struct sample, count), .least = 1, .most = 100, .preset = "7"},
    {"big", TABLE_NUMBER, TABLE_AT(struct sample, big)},
    {"on", TABLE_TRUTH, TABLE_AT(struct sample, on)},
    {"mode", TABLE_CHOICE, TABLE_AT(struct sample, mode), .choices = modes, .preset = "lease"},
    {NULL},
};
static const struct table_field json_only[] = {
    {"list", TABLE_LIST, TABLE_AT(struct sample, list), .least = 1, .most = 2},
    {"object", TABLE_OBJECT, TABLE_AT(struct sample, object)},
    {NULL},
};

static bool from_json(const struct table_field *fields, const char *text, struct sample *out, char *pointer,
                      struct err *err)
{
    JSON_AUTO *object = NULL;
    assert_true(json_read(text, strlen(text), 4096, &object, err));
    return table_json(fields, object, out, pointer, err);
}

static void json_fills_the_struct(void **state)
{
    struct sample out = {.big = 5};
    struct err err = {0};
    char pointer[TABLE_POINTER];
    const char *text = "{\"name\":\"email\",\"text\":\"abc\",\"count\":100,\"big\":-9007199254740993,\"on\":true,"
                       "\"mode\":\"call\"}";
    assert_true(from_json(both, text, &out, pointer, &err));
    assert_string_equal(out.name, "email");
    assert_string_equal(out.text, "abc");
    assert_int_equal(out.count, 100);
    assert_true(out.big == -9007199254740993);
    assert_true(out.on);
    assert_int_equal(out.mode, 0);
}

static void presets_stand_in(void **state)
{
    struct sample out = {.big = 5};
    struct err err = {0};
    assert_true(from_json(both, "{\"name\":\"email\"}", &out, NULL, &err));
    assert_string_equal(out.text, "preset");
    assert_int_equal(out.count, 7);
    assert_int_equal(out.mode, 1);
    assert_true(out.big == 5);
}

static void json_refusals_point_at_the_field(void **state)
{
    static const struct {
        const struct table_field *fields;
        const char *text, *pointer, *says;
    } cases[] = {
        {both, "[]", "", "must be an object"},
        {both, "{}", "/name", "is required"},
        {both, "{\"name\":\"e\",\"other\":1}", "/other", "not a known field"},
        {both, "{\"name\":7}", "/name", "must be a string"},
        {both, "{\"name\":\"E\"}", "/name", "must be a name"},
        {both, "{\"name\":\"e\",\"text\":\"x\"}", "/text", "2 to 15 bytes"},
        {both, "{\"name\":\"e\",\"text\":\"1234567890123456\"}", "/text", "2 to 15 bytes"},
        {both, "{\"name\":\"e\",\"count\":0}", "/count", "from 1 to 100"},
        {both, "{\"name\":\"e\",\"count\":101}", "/count", "from 1 to 100"},
        {both, "{\"name\":\"e\",\"count\":1.5}", "/count", "whole number"},
        {both, "{\"name\":\"e\",\"count\":\"1\"}", "/count", "whole number"},
        {both, "{\"name\":\"e\",\"on\":1}", "/on", "true or false"},
        {both, "{\"name\":\"e\",\"mode\":\"other\"}", "/mode", "one of: call, lease"},
        {json_only, "{\"list\":[]}", "/list", "1 to 2 strings"},
        {json_only, "{\"list\":[\"a\",1]}", "/list", "1 to 2 strings"},
        {json_only, "{\"list\":\"a\"}", "/list", "1 to 2 strings"},
        {json_only, "{\"object\":[]}", "/object", "must be an object"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sample out = {0};
        struct err err = {0};
        char pointer[TABLE_POINTER];
        assert_false(from_json(cases[i].fields, cases[i].text, &out, pointer, &err));
        assert_int_equal(err.kind, ERR_BAD_INPUT);
        assert_string_equal(pointer, cases[i].pointer);
        if (!strstr(err.text, cases[i].says)) fail_msg("case %zu: %s", i, err.text);
    }
}

static bool from_ini(const char *text, struct sample *out, struct err *err)
{
    INI_AUTO ini = {0};
    assert_true(ini_parse(&ini, text, strlen(text), "t.conf", err));
    return table_ini(both, &ini, "S", out, err);
}

static void ini_fills_the_struct(void **state)
{
    struct sample out = {0};
    struct err err = {0};
    assert_true(from_ini("[S]\nname=first\nname=email\ncount=42\non=yes\nmode=call\nbig=-3\n[T]\nx=y\n", &out, &err));
    assert_string_equal(out.name, "email");
    assert_string_equal(out.text, "preset");
    assert_int_equal(out.count, 42);
    assert_true(out.big == -3);
    assert_true(out.on);
    assert_int_equal(out.mode, 0);
}

static void ini_refusals_name_the_line(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"[S]\n", "lacks the setting name"},
        {"[S]\nname=e\nother=1\n", "t.conf:3: [S] has no setting named other"},
        {"[S]\nname=e\ncount=x\n", "t.conf:3: count: must be a whole number"},
        {"[S]\nname=e\ncount=12x\n", "t.conf:3: count: must be a whole number"},
        {"[S]\nname=e\nbig=99999999999999999999\n", "t.conf:3: big: must be a whole number"},
        {"[S]\nname=e\ncount=101\n", "t.conf:3: count: must be from 1 to 100"},
        {"[S]\nname=e\non=maybe\n", "t.conf:3: on: must be yes or no"},
        {"[S]\nname=e\nmode=Lease\n", "t.conf:3: mode: must be one of: call, lease"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sample out = {0};
        struct err err = {0};
        assert_false(from_ini(cases[i].text, &out, &err));
        if (!strstr(err.text, cases[i].says)) fail_msg("case %zu: %s", i, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_fills_the_struct),
        cmocka_unit_test(presets_stand_in),
        cmocka_unit_test(json_refusals_point_at_the_field),
        cmocka_unit_test(ini_fills_the_struct),
        cmocka_unit_test(ini_refusals_name_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
