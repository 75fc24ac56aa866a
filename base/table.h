/* SPDX-License-Identifier: Apache-2.0 */
/* Checks a JSON object or an INI section against a table of fields and puts the values into a struct: one row per
 * field instead of one branch per field. Unknown fields are refused. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "ini.h"

enum table_type {
    TABLE_TEXT,   /* char[size]; least and most: bytes */
    TABLE_NAME,   /* char[size], name_valid() */
    TABLE_NUMBER, /* int64_t or, by size, int32_t or uint32_t; least and most: the value */
    TABLE_TRUTH,  /* bool; INI: yes, no, true, false */
    TABLE_CHOICE, /* int or unsigned: index into choices */
    TABLE_OBJECT, /* const json_t *, borrowed from the object; JSON only */
    TABLE_LIST,   /* const json_t *, borrowed: an array of strings, least to most of them; JSON only */
    TABLE_MANY,   /* INI only: may repeat and is not stored; the caller walks it with ini_each() */
};

struct table_field {
    const char *name;
    enum table_type type;
    bool required;
    size_t offset, size;        /* where in the struct, and how much room */
    int64_t least, most;        /* both 0: no bound but the room */
    const char *const *choices; /* ends with NULL */
    const char *preset;         /* as an INI value; NULL: what the caller left in the struct stays */
};

/* offset and size of a member. */
#define TABLE_AT(type, member) .offset = offsetof(type, member), .size = sizeof(((type *)0)->member)

enum { TABLE_POINTER = 256 };

/* fields ends with a NULL name. out: the struct; only its named members are written, and on success all of them are
 * valid. On false: ERR_BAD_INPUT, pointer (may be NULL) is the JSON Pointer of the field. */
bool table_json(const struct table_field *fields, const json_t *object, void *out, char pointer[TABLE_POINTER],
                struct err *err);
/* The same for one section: the last value of a key counts. The text starts with "label:line: ". */
bool table_ini(const struct table_field *fields, const struct ini *ini, const char *section, void *out,
               struct err *err);
