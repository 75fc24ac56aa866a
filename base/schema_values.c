/* SPDX-License-Identifier: Apache-2.0 */
/* The keywords that look at one value alone: types, sameness, numbers, sizes. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "schema_rules.h"
#include "utf8.h"

/* ── values ────────────────────────────────────────────────────────────────────────────────────────── */

/* Without libm: from 2^53 on a double has no fraction any more. */
static bool whole(const json_t *value)
{
    const double exact = 9007199254740992.0;
    double number = json_real_value(value);
    if (!json_is_real(value)) return json_is_integer(value);
    return number >= exact || number <= -exact || (double)(int64_t)number == number;
}

static const struct {
    const char *name;
    json_type type;
} types[] = {
    {"object", JSON_OBJECT},
    {"array", JSON_ARRAY},
    {"string", JSON_STRING},
    {"null", JSON_NULL},
};

bool schema_is_type(const json_t *value, const char *name)
{
    if (strcmp(name, "boolean") == 0) return json_is_boolean(value);
    if (strcmp(name, "number") == 0) return json_is_number(value);
    if (strcmp(name, "integer") == 0) return whole(value);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0) return json_typeof(value) == types[i].type;
    return false;
}

bool schema_type_known(const char *name)
{
    static const char *const names[] = {"object", "array", "string", "null", "boolean", "number", "integer"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

/* Exact for every integer that JSON can bring here: long double has 64 bits of mantissa on this platform. */
static long double number_of(const json_t *value)
{
    return json_is_integer(value) ? (long double)json_integer_value(value) : (long double)json_real_value(value);
}

static bool same(struct schema_run *run, const json_t *one, const json_t *other);

static bool same_objects(struct schema_run *run, const json_t *one, const json_t *other)
{
    const char *key;
    json_t *item;
    if (json_object_size(one) != json_object_size(other)) return false;
    json_object_foreach((json_t *)one, key, item)
    {
        const json_t *twin = json_object_get(other, key);
        if (!twin || !same(run, item, twin)) return false;
    }
    return true;
}

static bool same_arrays(struct schema_run *run, const json_t *one, const json_t *other)
{
    size_t i;
    json_t *item;
    if (json_array_size(one) != json_array_size(other)) return false;
    json_array_foreach(one, i, item) if (!same(run, item, json_array_get(other, i))) return false;
    return true;
}

/* Equal as JSON Schema means it: 1 and 1.0 are the same number. */
static bool same(struct schema_run *run, const json_t *one, const json_t *other)
{
    if (!schema_pay(run)) return false;
    if (json_is_number(one) && json_is_number(other)) return number_of(one) == number_of(other);
    if (json_is_object(one) && json_is_object(other)) return same_objects(run, one, other);
    if (json_is_array(one) && json_is_array(other)) return same_arrays(run, one, other);
    return json_equal(one, other);
}

/* ── any value ─────────────────────────────────────────────────────────────────────────────────────── */

bool schema_test_type(struct schema_run *run, const struct schema_test *test)
{
    size_t i;
    json_t *name;
    if (json_is_string(test->rule)) {
        const char *only = json_string_value(test->rule);
        return schema_is_type(test->value, only) || schema_refuse(run, test->spot, "must be of type %s", only);
    }
    json_array_foreach(test->rule, i, name) if (schema_is_type(test->value, json_string_value(name))) return true;
    return schema_refuse(run, test->spot, "is of none of the %zu allowed types", json_array_size(test->rule));
}

/* The allowed values are the plugin's own words, so a few of them may be told. */
static void list_texts(const json_t *list, char *text, size_t size)
{
    size_t i, used = 0;
    json_t *item;
    text[0] = '\0';
    json_array_foreach(list, i, item)
    {
        const char *word = json_string_value(item);
        if (!word || used + strlen(word) + 3 >= size) break;
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? ", " : "", word);
    }
    if (i < json_array_size(list)) text[0] = '\0';
}

bool schema_test_enum(struct schema_run *run, const struct schema_test *test)
{
    size_t i;
    json_t *allowed;
    char words[120];
    json_array_foreach(test->rule, i, allowed)
    {
        if (same(run, allowed, test->value)) return true;
        if (run->broken) return false;
    }
    list_texts(test->rule, words, sizeof words);
    if (words[0]) return schema_refuse(run, test->spot, "must be one of: %s", words);
    return schema_refuse(run, test->spot, "is none of the %zu allowed values", json_array_size(test->rule));
}

bool schema_test_const(struct schema_run *run, const struct schema_test *test)
{
    if (same(run, test->rule, test->value)) return true;
    return !run->broken && schema_refuse(run, test->spot, "must be exactly the one allowed value");
}

/* ── numbers ───────────────────────────────────────────────────────────────────────────────────────── */

enum bound { AT_LEAST, AT_MOST, ABOVE, BELOW };

static bool keeps(enum bound bound, long double number, long double limit)
{
    switch (bound) {
    case AT_LEAST: return number >= limit;
    case AT_MOST: return number <= limit;
    case ABOVE: return number > limit;
    case BELOW: return number < limit;
    }
    return false;
}

static bool bounded(struct schema_run *run, const struct schema_test *test, enum bound bound)
{
    static const char *const words[] = {"at least", "at most", "more than", "less than"};
    if (!json_is_number(test->value) || keeps(bound, number_of(test->value), number_of(test->rule))) return true;
    return schema_refuse(run, test->spot, "must be %s %.17g", words[bound], json_number_value(test->rule));
}

bool schema_test_minimum(struct schema_run *run, const struct schema_test *test)
{
    return bounded(run, test, AT_LEAST);
}

bool schema_test_maximum(struct schema_run *run, const struct schema_test *test)
{
    return bounded(run, test, AT_MOST);
}

bool schema_test_above(struct schema_run *run, const struct schema_test *test)
{
    return bounded(run, test, ABOVE);
}

bool schema_test_below(struct schema_run *run, const struct schema_test *test)
{
    return bounded(run, test, BELOW);
}

/* ── sizes ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool sized(struct schema_run *run, const struct schema_test *test, size_t count, enum bound bound,
                  const char *things)
{
    if (keeps(bound, (long double)count, number_of(test->rule))) return true;
    return schema_refuse(run, test->spot, "must have %s %.0f %s", bound == AT_LEAST ? "at least" : "at most",
                         json_number_value(test->rule), things);
}

static bool text_sized(struct schema_run *run, const struct schema_test *test, enum bound bound)
{
    if (!json_is_string(test->value)) return true;
    size_t count = utf8_count(json_string_value(test->value), json_string_length(test->value));
    return sized(run, test, count, bound, "characters");
}

bool schema_test_min_length(struct schema_run *run, const struct schema_test *test)
{
    return text_sized(run, test, AT_LEAST);
}

bool schema_test_max_length(struct schema_run *run, const struct schema_test *test)
{
    return text_sized(run, test, AT_MOST);
}

bool schema_test_min_items(struct schema_run *run, const struct schema_test *test)
{
    return !json_is_array(test->value) || sized(run, test, json_array_size(test->value), AT_LEAST, "items");
}

bool schema_test_max_items(struct schema_run *run, const struct schema_test *test)
{
    return !json_is_array(test->value) || sized(run, test, json_array_size(test->value), AT_MOST, "items");
}

bool schema_test_min_properties(struct schema_run *run, const struct schema_test *test)
{
    return !json_is_object(test->value) || sized(run, test, json_object_size(test->value), AT_LEAST, "fields");
}

bool schema_test_max_properties(struct schema_run *run, const struct schema_test *test)
{
    return !json_is_object(test->value) || sized(run, test, json_object_size(test->value), AT_MOST, "fields");
}
