/* SPDX-License-Identifier: Apache-2.0 */
/* The table of keywords, and those that apply other schemas: to parts of the value, or to the value again. */
#include "schema_rules.h"

#include <string.h>

#include "auto.h"
#include "schema.h"

/* ── parts ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool test_items(struct schema_run *run, const struct schema_test *test)
{
    size_t i;
    json_t *item;
    json_array_foreach(test->value, i, item)
    {
        struct schema_spot spot = {test->spot, NULL, i};
        if (!schema_apply(run, test->rule, item, &spot)) return false;
    }
    return true;
}

static bool test_required(struct schema_run *run, const struct schema_test *test)
{
    size_t i;
    json_t *name;
    if (!json_is_object(test->value)) return true;
    json_array_foreach(test->rule, i, name)
    {
        struct schema_spot spot = {test->spot, json_string_value(name), 0};
        if (!json_object_get(test->value, spot.key)) return schema_refuse(run, &spot, "is required, but missing");
    }
    return true;
}

static bool test_properties(struct schema_run *run, const struct schema_test *test)
{
    const char *key;
    json_t *schema;
    json_object_foreach((json_t *)test->rule, key, schema)
    {
        const json_t *value = json_object_get(test->value, key);
        struct schema_spot spot = {test->spot, key, 0};
        if (value && !schema_apply(run, schema, value, &spot)) return false;
    }
    return true;
}

static bool test_additional(struct schema_run *run, const struct schema_test *test)
{
    const json_t *known = json_object_get(test->schema, "properties");
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)test->value, key, value)
    {
        if (json_object_get(known, key)) continue;
        struct schema_spot spot = {test->spot, key, 0};
        if (json_is_false(test->rule)) return schema_refuse(run, &spot, "is not a known field");
        if (!schema_apply(run, test->rule, value, &spot)) return false;
    }
    return true;
}

/* ── other schemas ─────────────────────────────────────────────────────────────────────────────────── */

static bool test_ref(struct schema_run *run, const struct schema_test *test)
{
    const json_t *target = schema_follow(run->root, json_string_value(test->rule));
    return schema_apply(run, target, test->value, test->spot);
}

static bool test_all(struct schema_run *run, const struct schema_test *test)
{
    size_t i;
    json_t *part;
    json_array_foreach(test->rule, i, part) if (!schema_apply(run, part, test->value, test->spot)) return false;
    return true;
}

/* Of several refusals the one deepest inside the value helps most: the form that was meant came closest. */
struct nearest {
    size_t depth;
    char pointer[SCHEMA_POINTER];
    struct err err;
};

static size_t steps_of(const char *pointer)
{
    size_t steps = 0;
    for (; *pointer; pointer++) steps += *pointer == '/';
    return steps;
}

static void keep_nearest(const struct schema_run *run, struct nearest *nearest)
{
    size_t depth = steps_of(run->pointer) + 1;
    if (depth <= nearest->depth) return;
    nearest->depth = depth;
    memcpy(nearest->pointer, run->pointer, sizeof nearest->pointer);
    nearest->err = *run->err;
}

static unsigned count_fits(struct schema_run *run, const struct schema_test *test, unsigned enough,
                           struct nearest *nearest)
{
    unsigned fits = 0;
    size_t i;
    json_t *part;
    json_array_foreach(test->rule, i, part)
    {
        if (schema_apply(run, part, test->value, test->spot))
            fits++;
        else if (run->broken)
            return 0;
        else
            keep_nearest(run, nearest);
        if (fits == enough) break;
    }
    return fits;
}

static bool refuse_nearest(struct schema_run *run, const struct schema_test *test, const struct nearest *nearest)
{
    char own[SCHEMA_POINTER] = "";
    schema_pointer(own, test->spot);
    if (nearest->depth <= steps_of(own) + 1)
        return schema_refuse(run, test->spot, "fits none of the %zu allowed forms", json_array_size(test->rule));
    memcpy(run->pointer, nearest->pointer, sizeof nearest->pointer);
    *run->err = nearest->err;
    return err_in(run->err, "none of the %zu allowed forms fits, the nearest says", json_array_size(test->rule));
}

static bool test_any(struct schema_run *run, const struct schema_test *test)
{
    FREE_AUTO struct nearest *nearest = calloc(1, sizeof *nearest);
    if (!nearest) return schema_break_off(run);
    if (count_fits(run, test, 1, nearest) == 1) return true;
    return !run->broken && refuse_nearest(run, test, nearest);
}

static bool test_one(struct schema_run *run, const struct schema_test *test)
{
    FREE_AUTO struct nearest *nearest = calloc(1, sizeof *nearest);
    if (!nearest) return schema_break_off(run);
    unsigned fits = count_fits(run, test, 2, nearest);
    if (run->broken) return false;
    if (fits == 2) return schema_refuse(run, test->spot, "fits more than one form, where exactly one is allowed");
    return fits == 1 || refuse_nearest(run, test, nearest);
}

static bool test_not(struct schema_run *run, const struct schema_test *test)
{
    bool fits = schema_apply(run, test->rule, test->value, test->spot);
    if (run->broken) return false;
    return !fits || schema_refuse(run, test->spot, "has a form that is not allowed");
}

/* ── the table ─────────────────────────────────────────────────────────────────────────────────────── */

static const struct schema_keyword keywords[] = {
    {"type", ARG_TYPE, false, schema_test_type},
    {"enum", ARG_VALUES, false, schema_test_enum},
    {"const", ARG_ANY, false, schema_test_const},
    {"minimum", ARG_NUMBER, false, schema_test_minimum},
    {"maximum", ARG_NUMBER, false, schema_test_maximum},
    {"exclusiveMinimum", ARG_NUMBER, false, schema_test_above},
    {"exclusiveMaximum", ARG_NUMBER, false, schema_test_below},
    {"minLength", ARG_COUNT, false, schema_test_min_length},
    {"maxLength", ARG_COUNT, false, schema_test_max_length},
    {"minItems", ARG_COUNT, false, schema_test_min_items},
    {"maxItems", ARG_COUNT, false, schema_test_max_items},
    {"minProperties", ARG_COUNT, false, schema_test_min_properties},
    {"maxProperties", ARG_COUNT, false, schema_test_max_properties},
    {"required", ARG_NAMES, false, test_required},
    {"properties", ARG_MAP, false, test_properties},
    {"additionalProperties", ARG_SCHEMA, false, test_additional},
    {"items", ARG_SCHEMA, false, test_items},
    {"allOf", ARG_SCHEMAS, true, test_all},
    {"anyOf", ARG_SCHEMAS, true, test_any},
    {"oneOf", ARG_SCHEMAS, true, test_one},
    {"not", ARG_SCHEMA, true, test_not},
    {"$ref", ARG_REF, true, test_ref},
    {"$defs", ARG_MAP, false, NULL},
    {"$schema", ARG_DIALECT, false, NULL},
    {"$comment", ARG_TEXT, false, NULL},
    {"title", ARG_TEXT, false, NULL},
    {"description", ARG_TEXT, false, NULL},
    {"format", ARG_TEXT, false, NULL},
    {"default", ARG_ANY, false, NULL},
    {"examples", ARG_VALUES, false, NULL},
};

const struct schema_keyword *schema_keyword(const char *name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof *keywords; i++)
        if (strcmp(keywords[i].name, name) == 0) return &keywords[i];
    return NULL;
}
