/* SPDX-License-Identifier: Apache-2.0 */
/* Is this JSON a schema that we keep? Every keyword known, every argument of the right kind, every reference good. */
#include "schema.h"

#include <string.h>

#include "schema_rules.h"

#define DIALECT "https://json-schema.org/draft/2020-12/schema"

enum { CHECK_STEPS = 200 * 1000 };

struct check {
    const json_t *root;
    unsigned long steps;
    bool circles;
    struct err *err;
};

static bool visit(struct check *check, const json_t *schema, unsigned depth);

/* ── arguments ─────────────────────────────────────────────────────────────────────────────────────── */

static bool each_is(const json_t *list, bool (*fits)(const json_t *))
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) if (!fits(item)) return false;
    return json_is_array(list);
}

static bool is_text(const json_t *rule)
{
    return json_is_string(rule);
}

static bool is_anything(const json_t *rule)
{
    return rule;
}

static bool is_dialect(const json_t *rule)
{
    return json_is_string(rule) && strcmp(json_string_value(rule), DIALECT) == 0;
}

static bool is_values(const json_t *rule)
{
    return json_array_size(rule) > 0;
}

static bool is_type_name(const json_t *rule)
{
    return json_is_string(rule) && schema_type_known(json_string_value(rule));
}

static bool is_type(const json_t *rule)
{
    return is_type_name(rule) || (json_array_size(rule) > 0 && each_is(rule, is_type_name));
}

static bool is_number(const json_t *rule)
{
    return json_is_number(rule);
}

static bool is_count(const json_t *rule)
{
    return schema_is_type(rule, "integer") && json_number_value(rule) >= 0;
}

static bool is_names(const json_t *rule)
{
    return each_is(rule, is_text);
}

static bool is_schema(const json_t *rule)
{
    return json_is_object(rule) || json_is_boolean(rule);
}

static bool is_schemas(const json_t *rule)
{
    return json_array_size(rule) > 0 && each_is(rule, is_schema);
}

static bool is_map(const json_t *rule)
{
    const char *name;
    json_t *schema;
    json_object_foreach((json_t *)rule, name, schema) if (!is_schema(schema)) return false;
    return json_is_object(rule);
}

static const struct {
    bool (*fits)(const json_t *);
    const char *expected;
} args[ARG_ARGS] = {
    [ARG_ANY] = {is_anything, "anything"},
    [ARG_TEXT] = {is_text, "a string"},
    [ARG_DIALECT] = {is_dialect, "the string " DIALECT},
    [ARG_VALUES] = {is_values, "a list with at least one value"},
    [ARG_TYPE] = {is_type, "one of null, boolean, object, array, number, integer, string, or a list of these"},
    [ARG_NUMBER] = {is_number, "a number"},
    [ARG_COUNT] = {is_count, "a whole number, 0 or more"},
    [ARG_NAMES] = {is_names, "a list of strings"},
    [ARG_SCHEMA] = {is_schema, "a schema (an object, true or false)"},
    [ARG_SCHEMAS] = {is_schemas, "a list with at least one schema"},
    [ARG_MAP] = {is_map, "an object of schemas"},
    [ARG_REF] = {is_text, "a reference inside this document, like #/$defs/name"},
};

/* ── circles ───────────────────────────────────────────────────────────────────────────────────────── */

/* Follows what is applied to the same value. A circle shows as a chain that does not end. */
static bool walk_in_place(struct check *check, const json_t *schema, unsigned depth)
{
    if (depth > SCHEMA_DEPTH) return err_set(check->err, ERR_BAD_INPUT, "the references go round in circles");
    if (check->steps-- == 0) return err_set(check->err, ERR_TOO_LARGE, "the schema refers to itself too often");
    const char *name;
    json_t *rule, *part;
    json_object_foreach((json_t *)schema, name, rule)
    {
        const struct schema_keyword *keyword = schema_keyword(name);
        if (!keyword || !keyword->in_place) continue;
        size_t i;
        const json_t *target = rule;
        if (keyword->arg == ARG_REF) target = schema_follow(check->root, json_string_value(rule));
        json_array_foreach(target, i, part) if (!walk_in_place(check, part, depth + 1)) return false;
        if (json_is_object(target) && !walk_in_place(check, target, depth + 1)) return false;
    }
    return true;
}

/* ── the document ──────────────────────────────────────────────────────────────────────────────────── */

static bool visit_parts(struct check *check, const json_t *rule, enum schema_arg arg, unsigned depth)
{
    size_t i;
    const char *name;
    json_t *part;
    if (arg == ARG_SCHEMA) return visit(check, rule, depth);
    if (arg == ARG_SCHEMAS) {
        json_array_foreach(rule, i, part) if (!visit(check, part, depth)) return err_in(check->err, "%zu", i);
    } else if (arg == ARG_MAP) {
        json_object_foreach((json_t *)rule, name, part) if (!visit(check, part, depth)) return err_in(check->err,
                                                                                                      "%.64s", name);
    }
    return true;
}

static bool visit_keyword(struct check *check, const char *name, const json_t *rule, unsigned depth)
{
    const struct schema_keyword *keyword = schema_keyword(name);
    if (!keyword) return err_set(check->err, ERR_BAD_INPUT, "the keyword %.64s is not supported", name);
    if (!args[keyword->arg].fits(rule))
        return err_set(check->err, ERR_BAD_INPUT, "%s: expected %s", name, args[keyword->arg].expected);
    if (keyword->arg == ARG_REF && !schema_follow(check->root, json_string_value(rule)))
        return err_set(check->err, ERR_BAD_INPUT, "%s: no schema stands where it points; expected %s", name,
                       args[ARG_REF].expected);
    return visit_parts(check, rule, keyword->arg, depth) || err_in(check->err, "%s", name);
}

static bool visit(struct check *check, const json_t *schema, unsigned depth)
{
    if (depth > SCHEMA_DEPTH) return err_set(check->err, ERR_BAD_INPUT, "the schema is nested too deeply");
    if (check->circles && !walk_in_place(check, schema, 0)) return false;
    const char *name;
    json_t *rule;
    json_object_foreach((json_t *)schema, name, rule) if (!visit_keyword(check, name, rule, depth + 1)) return false;
    return true;
}

bool schema_check(const json_t *schema, struct err *err)
{
    struct check check = {.root = schema, .steps = CHECK_STEPS, .err = err};
    if (!is_schema(schema)) return err_set(err, ERR_BAD_INPUT, "a schema is an object, true or false");
    if (!visit(&check, schema, 0)) return false;
    check.circles = true; /* the second round: every reference is known to be good now */
    return visit(&check, schema, 0);
}
