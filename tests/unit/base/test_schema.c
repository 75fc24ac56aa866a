/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON Schema subset: which schemas are kept, what fits them, and where a refusal points. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/schema.h"
#include "unit.h"

static json_t *json(const char *text)
{
    json_t *value = NULL;
    struct err err = {0};
    if (!json_read(text, strlen(text), 1 << 22, &value, &err)) fail_msg("%s: %.100s", err.text, text);
    return value;
}

struct fit {
    const char *schema, *value;
    const char *pointer; /* NULL: it fits */
    const char *says;
};

static void expect(const struct fit *fit, size_t number)
{
    JSON_AUTO *schema = json(fit->schema), *value = json(fit->value);
    char pointer[SCHEMA_POINTER] = "untouched";
    struct err err = {0};
    if (!schema_check(schema, &err)) fail_msg("case %zu: %s", number, err.text);
    bool fits = schema_validate(schema, value, pointer, &err);
    if (fits != !fit->pointer) fail_msg("case %zu: %s against %s", number, fit->value, fit->schema);
    if (fits) {
        assert_string_equal(pointer, "untouched");
        return;
    }
    assert_int_equal(err.kind, ERR_BAD_INPUT);
    assert_string_equal(pointer, fit->pointer);
    if (!strstr(err.text, fit->says)) fail_msg("case %zu: %s", number, err.text);
}

static void values_fit_or_are_pointed_at(void **state)
{
    static const struct fit cases[] = {
        {"true", "1", NULL, NULL},
        {"false", "1", "", "not allowed"},
        {"{}", "null", NULL, NULL},
        {"{\"type\":\"string\"}", "\"x\"", NULL, NULL},
        {"{\"type\":\"string\"}", "1", "", "the value: must be of type string"},
        {"{\"type\":\"integer\"}", "1.0", NULL, NULL},
        {"{\"type\":\"integer\"}", "1.5", "", "integer"},
        {"{\"type\":\"integer\"}", "1e300", NULL, NULL},
        {"{\"type\":\"number\"}", "true", "", "number"},
        {"{\"type\":[\"string\",\"null\"]}", "null", NULL, NULL},
        {"{\"type\":[\"string\",\"null\"]}", "[]", "", "none of the 2"},
        {"{\"enum\":[\"a\",\"b\"]}", "\"c\"", "", "must be one of: a, b"},
        {"{\"enum\":[1,[2,{\"x\":3}]]}", "[2.0,{\"x\":3}]", NULL, NULL},
        {"{\"enum\":[0]}", "false", "", "none of the 1"},
        {"{\"const\":{\"a\":1,\"b\":2}}", "{\"b\":2,\"a\":1.0}", NULL, NULL},
        {"{\"const\":null}", "0", "", "one allowed value"},
        {"{\"const\":9007199254740993}", "9007199254740992", "", "one allowed value"},
        {"{\"minimum\":1,\"maximum\":3}", "3", NULL, NULL},
        {"{\"minimum\":1.5}", "1", "", "at least 1.5"},
        {"{\"maximum\":9007199254740992}", "9007199254740993", "", "at most"},
        {"{\"exclusiveMinimum\":1}", "1", "", "more than 1"},
        {"{\"exclusiveMaximum\":1}", "1.0", "", "less than 1"},
        {"{\"minimum\":1}", "\"x\"", NULL, NULL},
        {"{\"minLength\":2}", "\"\xc3\xa9\"", "", "at least 2 characters"},
        {"{\"maxLength\":1}", "\"\xf0\x9f\x98\x80\"", NULL, NULL},
        {"{\"maxLength\":2.0}", "\"abc\"", "", "at most 2 characters"},
        {"{\"minItems\":1}", "[]", "", "at least 1 items"},
        {"{\"maxItems\":1}", "[1,2]", "", "at most 1 items"},
        {"{\"minProperties\":1}", "{}", "", "at least 1 fields"},
        {"{\"maxProperties\":0}", "{\"a\":1}", "", "at most 0 fields"},
        {"{\"items\":{\"type\":\"string\"}}", "[\"a\",1]", "/1", "/1: must be of type string"},
        {"{\"items\":false}", "[]", NULL, NULL},
        {"{\"required\":[\"to\"]}", "{}", "/to", "/to: is required"},
        {"{\"required\":[\"to\"]}", "[]", NULL, NULL},
        {"{\"properties\":{\"a\":{\"properties\":{\"b\":{\"type\":\"null\"}}}}}", "{\"a\":{\"b\":1}}", "/a/b", "null"},
        {"{\"properties\":{\"a\":true},\"additionalProperties\":false}", "{\"a\":1,\"x\":2}", "/x", "not a known"},
        {"{\"properties\":{\"a\":true},\"additionalProperties\":{\"type\":\"string\"}}", "{\"x\":2}", "/x", "string"},
        {"{\"additionalProperties\":false}", "{\"a/b~c\":1}", "/a~1b~0c", "not a known"},
        {"{\"allOf\":[{\"minimum\":2},{\"maximum\":3}]}", "4", "", "at most 3"},
        {"{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":3}]}", "2", "", "none of the 2 allowed forms"},
        {"{\"anyOf\":[{\"type\":\"string\"},{\"properties\":{\"a\":{\"type\":\"string\"}}}]}", "{\"a\":1}", "/a",
         "nearest says: /a: must be of type string"},
        {"{\"oneOf\":[{\"minimum\":2},{\"maximum\":3}]}", "1", NULL, NULL},
        {"{\"oneOf\":[{\"minimum\":2},{\"maximum\":3}]}", "2", "", "more than one form"},
        {"{\"oneOf\":[{\"minimum\":2},{\"type\":\"string\"}]}", "1", "", "none of the 2"},
        {"{\"not\":{\"type\":\"string\"}}", "\"x\"", "", "not allowed"},
        {"{\"not\":{\"type\":\"string\"}}", "1", NULL, NULL},
        {"{\"$ref\":\"#/$defs/a~1b\",\"$defs\":{\"a/b\":{\"type\":\"null\"}}}", "1", "", "null"},
        {"{\"$ref\":\"#/%24defs/x%25y\",\"$defs\":{\"x%y\":{\"type\":\"null\"}}}", "null", NULL, NULL},
        {"{\"properties\":{\"next\":{\"$ref\":\"#\"},\"v\":{\"type\":\"integer\"}}}",
         "{\"next\":{\"next\":{\"v\":\"x\"}}}", "/next/next/v", "integer"},
        {"{\"allOf\":[{\"type\":\"array\"},{\"items\":{\"$ref\":\"#/allOf/0\"}}]}", "[1]", "/0", "array"},
        {"{\"format\":\"email\",\"title\":\"x\",\"default\":7,\"examples\":[1],\"$comment\":\"c\"}", "\"x\"", NULL,
         NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) expect(&cases[i], i);
}

static void other_schemas_are_refused(void **state)
{
    static const struct {
        const char *schema, *says;
    } cases[] = {
        {"1", "a schema is"},
        {"{\"pattern\":\"^a\"}", "pattern is not supported"},
        {"{\"uniqueItems\":true}", "uniqueItems is not supported"},
        {"{\"$id\":\"http://x/\"}", "$id is not supported"},
        {"{\"properties\":{\"a\":{\"if\":true}}}", "properties: a: the keyword if"},
        {"{\"anyOf\":[true,{\"prefixItems\":[]}]}", "anyOf: 1: the keyword prefixItems"},
        {"{\"type\":\"text\"}", "type: expected one of"},
        {"{\"type\":[]}", "type: expected one of"},
        {"{\"type\":[\"string\",1]}", "type: expected one of"},
        {"{\"enum\":[]}", "enum: expected"},
        {"{\"required\":[1]}", "required: expected"},
        {"{\"minLength\":-1}", "minLength: expected"},
        {"{\"minLength\":1.5}", "minLength: expected"},
        {"{\"minimum\":\"1\"}", "minimum: expected"},
        {"{\"items\":[]}", "items: expected"},
        {"{\"allOf\":[]}", "allOf: expected"},
        {"{\"properties\":{\"a\":1}}", "properties: expected"},
        {"{\"title\":1}", "title: expected"},
        {"{\"$schema\":\"http://json-schema.org/draft-07/schema#\"}", "$schema: expected"},
        {"{\"$ref\":1}", "$ref: expected"},
        {"{\"$ref\":\"other.json\"}", "no schema stands"},
        {"{\"$ref\":\"#/$defs/none\"}", "no schema stands"},
        {"{\"$ref\":\"#/properties\",\"properties\":{}}", "no schema stands"},
        {"{\"$ref\":\"#/default\",\"default\":{}}", "no schema stands"},
        {"{\"$ref\":\"#/allOf/01\",\"allOf\":[true,true]}", "no schema stands"},
        {"{\"$ref\":\"#/$defs/%zz\"}", "no schema stands"},
        {"{\"$ref\":\"#\"}", "round in circles"},
        {"{\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"not\":{\"$ref\":\"#/$defs/a\"}}}}", "round in circles"},
        {"{\"items\":{\"anyOf\":[true,{\"$ref\":\"#/items\"}]}}", "round in circles"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        JSON_AUTO *schema = json(cases[i].schema);
        struct err err = {0};
        if (schema_check(schema, &err)) fail_msg("case %zu was accepted", i);
        if (!strstr(err.text, cases[i].says)) fail_msg("case %zu: %s", i, err.text);
    }
}

/* {"$defs": {"0": …}}: each definition applies the next one twice, so that the work doubles at each. */
static json_t *doubling(int levels, const char *leaf)
{
    BUF_AUTO text;
    buf_init(&text, 1 << 16);
    buf_text(&text, "{\"items\":{\"$ref\":\"#/$defs/0\"},\"$defs\":{");
    for (int i = 0; i < levels; i++)
        buf_print(&text,
                  "\"%d\":{\"allOf\":[{\"items\":{\"$ref\":\"#/$defs/%d\"}},{\"items\":{\"$ref\":\"#/$defs/%d\"}}]},",
                  i, i + 1, i + 1);
    buf_print(&text, "\"%d\":%s}}", levels, leaf);
    return json(text.bytes);
}

static void work_is_bounded_and_never_becomes_a_yes(void **state)
{
    static const char *const leaves[] = {"{\"not\":{\"type\":\"string\"}}", "{\"anyOf\":[false,true]}"};
    char nested[128] = "";
    for (int i = 0; i < 50; i++) strcat(nested, "[");
    for (int i = 0; i < 50; i++) strcat(nested, "]");
    JSON_AUTO *value = json(nested);
    for (size_t i = 0; i < COUNT(leaves); i++) {
        JSON_AUTO *schema = doubling(48, leaves[i]);
        JSON_AUTO *negated = json_pack("{s:{s:O}}", "items", "not", json_object_get(schema, "items"));
        json_object_set(negated, "$defs", json_object_get(schema, "$defs"));
        char pointer[SCHEMA_POINTER];
        struct err err = {0};
        assert_true(schema_check(schema, &err));
        assert_false(schema_validate(schema, value, pointer, &err));
        assert_int_equal(err.kind, ERR_TOO_LARGE);
        assert_false(schema_validate(negated, value, pointer, &err));
        assert_int_equal(err.kind, ERR_TOO_LARGE);
    }
}

static void doubling_in_place_is_refused(void **state)
{
    BUF_AUTO text;
    buf_init(&text, 1 << 16);
    buf_text(&text, "{\"$ref\":\"#/$defs/0\",\"$defs\":{");
    for (int i = 0; i < 40; i++)
        buf_print(&text, "\"%d\":{\"allOf\":[{\"$ref\":\"#/$defs/%d\"},{\"$ref\":\"#/$defs/%d\"}]},", i, i + 1, i + 1);
    buf_text(&text, "\"40\":true}}");
    JSON_AUTO *schema = json(text.bytes);
    struct err err = {0};
    assert_false(schema_check(schema, &err));
}

static void long_pointers_are_cut_at_a_character(void **state)
{
    JSON_AUTO *schema = json("{\"additionalProperties\":{\"additionalProperties\":false}}");
    char name[400] = "";
    for (int i = 0; i < 120; i++) strcat(name, "\xe2\x82\xac");
    JSON_AUTO *value = json_pack("{s:{s:i}}", name, name, 1);
    char pointer[SCHEMA_POINTER];
    struct err err = {0};
    assert_false(schema_validate(schema, value, pointer, &err));
    assert_true(strlen(pointer) < SCHEMA_POINTER);
    JSON_AUTO *text = json_string(pointer); /* NULL when it is no UTF-8 */
    assert_non_null(text);
}

static void values_are_not_repeated(void **state)
{
    JSON_AUTO *schema = json("{\"properties\":{\"password\":{\"enum\":[\"a\"],\"maxLength\":3}}}");
    JSON_AUTO *value = json("{\"password\":\"canary-5150\"}");
    char pointer[SCHEMA_POINTER];
    struct err err = {0};
    assert_false(schema_validate(schema, value, pointer, &err));
    assert_null(strstr(err.text, "canary"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_fit_or_are_pointed_at),
        cmocka_unit_test(other_schemas_are_refused),
        cmocka_unit_test(work_is_bounded_and_never_becomes_a_yes),
        cmocka_unit_test(doubling_in_place_is_refused),
        cmocka_unit_test(long_pointers_are_cut_at_a_character),
        cmocka_unit_test(values_are_not_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
