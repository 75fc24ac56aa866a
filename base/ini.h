/* SPDX-License-Identifier: Apache-2.0 */
/* INI in systemd's manner, from memory: [Section], Key=value, comments with # or ; at the start of a line. Keys may
 * repeat and add up; an empty value forgets what the key had so far; a section may be opened again; later files
 * (drop-ins) are parsed into the same structure and go on where the earlier ended. Values stand as they are written,
 * but for blanks around them: no quotes, no escapes, and no continuation by a backslash at the line's end (refused,
 * so that nobody believes in it). Names of sections and keys are case-sensitive. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "err.h"

enum { INI_LINE = 4096, INI_FILE = 256 * 1024, INI_ITEMS = 8192, INI_NAME = 64 };

struct ini_item {
    char *section, *key, *value;
    const char *label; /* the file, as the caller named it */
    unsigned line;     /* from 1 */
};

/* Zeroed is empty and valid. Items stand in the order of their lines. */
struct ini {
    struct ini_item *items;
    unsigned count, room;
    char **labels;
    unsigned label_count;
};

/* Adds one file. label: how errors name it, not a path; copied. ERR_MALFORMED and ERR_TOO_LARGE name label and line;
 * what came before the bad line may have been added, so a failed structure is good for ini_clear() only. */
bool ini_parse(struct ini *ini, const char *bytes, size_t length, const char *label, struct err *err);
void ini_clear(struct ini *ini);

/* The last value of a key, NULL where it has none. */
const char *ini_get(const struct ini *ini, const char *section, const char *key);
/* Walks: start with NULL, go on with what came back until NULL does. key NULL: every key of the section; section
 * NULL: every section. */
const struct ini_item *ini_each(const struct ini *ini, const char *section, const char *key,
                                const struct ini_item *after);

/* Puts "label:line: " before the text; for checks that the caller makes on a value. Always returns false. */
bool ini_blame(const struct ini_item *item, struct err *err);

#define INI_AUTO __attribute__((cleanup(ini_clear))) struct ini
