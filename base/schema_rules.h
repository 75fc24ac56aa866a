/* SPDX-License-Identifier: Apache-2.0 */
/* Private to schema*.c: the one table of keywords, and how a reference is followed. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "err.h"

/* What may stand behind a keyword. */
enum schema_arg {
    ARG_ANY,
    ARG_TEXT,
    ARG_DIALECT,
    ARG_VALUES,
    ARG_TYPE,
    ARG_NUMBER,
    ARG_COUNT,
    ARG_NAMES,
    ARG_SCHEMA,  /* one schema */
    ARG_SCHEMAS, /* a list of schemas */
    ARG_MAP,     /* schemas by name */
    ARG_REF,     /* "#/…" */
    ARG_ARGS
};

/* Where the value under test stands, told from the inside outwards. */
struct schema_spot {
    const struct schema_spot *above;
    const char *key; /* NULL: index counts */
    size_t index;
};

struct schema_run {
    const json_t *root;
    unsigned long budget; /* steps that are left */
    unsigned depth;
    bool broken; /* out of bounds: nothing that comes after may turn this into a yes */
    char *pointer;
    struct err *err;
};

/* One keyword at one value. rule: what stands behind the keyword; schema: the object that it stands in. */
struct schema_test {
    const json_t *rule, *schema, *value;
    const struct schema_spot *spot;
};

struct schema_keyword {
    const char *name;
    enum schema_arg arg;
    bool in_place; /* its schemas are applied to the same value: these must not go round in circles */
    bool (*test)(struct schema_run *, const struct schema_test *); /* NULL: an annotation */
};

const struct schema_keyword *schema_keyword(const char *name);
/* The schema that "#/…" points to, or NULL. Only places where a schema stands are found. */
const json_t *schema_follow(const json_t *root, const char *ref);

/* Is it one of these types? name: of JSON Schema. An unknown name fits nothing. */
bool schema_is_type(const json_t *value, const char *name);
bool schema_type_known(const char *name);

bool schema_apply(struct schema_run *run, const json_t *schema, const json_t *value, const struct schema_spot *spot);

/* Sets the run's pointer and error to "pointer: …". Returns false, as the next two do when they say no. */
bool schema_refuse(struct schema_run *run, const struct schema_spot *spot, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The work is out of bounds: the whole run ends. */
bool schema_break_off(struct schema_run *run);
/* One step of work. */
bool schema_pay(struct schema_run *run);
/* Writes the spot's JSON Pointer into SCHEMA_POINTER bytes, cut to fit; returns its length. */
size_t schema_pointer(char *pointer, const struct schema_spot *spot);

bool schema_test_type(struct schema_run *run, const struct schema_test *test);
bool schema_test_enum(struct schema_run *run, const struct schema_test *test);
bool schema_test_const(struct schema_run *run, const struct schema_test *test);
bool schema_test_minimum(struct schema_run *run, const struct schema_test *test);
bool schema_test_maximum(struct schema_run *run, const struct schema_test *test);
bool schema_test_above(struct schema_run *run, const struct schema_test *test);
bool schema_test_below(struct schema_run *run, const struct schema_test *test);
bool schema_test_min_length(struct schema_run *run, const struct schema_test *test);
bool schema_test_max_length(struct schema_run *run, const struct schema_test *test);
bool schema_test_min_items(struct schema_run *run, const struct schema_test *test);
bool schema_test_max_items(struct schema_run *run, const struct schema_test *test);
bool schema_test_min_properties(struct schema_run *run, const struct schema_test *test);
bool schema_test_max_properties(struct schema_run *run, const struct schema_test *test);
