/* SPDX-License-Identifier: Apache-2.0 */
/* A flat JSON object of secrets, read where it stands: no copy of a value is made that somebody would have to find
 * and wipe. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum { FLAT_MEMBERS = 64 };

/* Points into the text that was read; no NUL behind them, none inside. */
struct flat_member {
    const char *name, *value;
    size_t name_length, length;
};
struct flat {
    unsigned count;
    struct flat_member members[FLAT_MEMBERS];
};

/* One object whose values are texts, whole numbers, true or false. Refuses nested values, fractions, null, names that
 * stand there twice, NUL, bytes that are no UTF-8, and anything behind. Escapes are resolved in place: the text is
 * another afterwards. Nothing of it stands in an error. */
bool flat_read(char *text, size_t length, struct flat *flat, struct err *err);
const struct flat_member *flat_find(const struct flat *flat, const char *name);
