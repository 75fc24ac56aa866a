/* SPDX-License-Identifier: Apache-2.0 */
/* Text in arrays of fixed size. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Copies from with its NUL into to, which has room for size bytes; false, and an empty text, when it does not fit. */
static inline bool text_copy(char *to, size_t size, const char *from)
{
    size_t length = strlen(from);
    bool fits = length < size;
    if (fits)
        memcpy(to, from, length + 1);
    else if (size)
        to[0] = '\0';
    return fits;
}

/* The same for an array whose size the compiler knows. */
#define TEXT_COPY(array, from) text_copy((array), sizeof(array), (from))
