/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 one character at a time. */
#include "utf8.h"

#include <stdint.h>

/* The lowest code point that a sequence of this many bytes may carry. */
static const uint32_t lowest[5] = {0, 0, 0x80, 0x800, 0x10000};

static size_t wanted(unsigned char lead)
{
    if (lead < 0x80) return 1;
    if (lead >= 0xc2 && lead < 0xe0) return 2;
    if (lead >= 0xe0 && lead < 0xf0) return 3;
    if (lead >= 0xf0 && lead < 0xf5) return 4;
    return 0;
}

size_t utf8_step(const char *text, size_t length)
{
    size_t count = length ? wanted((unsigned char)text[0]) : 0;
    if (count <= 1) return count;
    if (count > length) return 0;
    uint32_t point = (unsigned char)text[0] & (0x7fu >> count);
    for (size_t i = 1; i < count; i++) {
        unsigned char next = (unsigned char)text[i];
        if ((next & 0xc0) != 0x80) return 0;
        point = point << 6 | (next & 0x3fu);
    }
    bool fine = point >= lowest[count] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
    return fine ? count : 0;
}

bool utf8_valid(const char *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        size_t step = utf8_step(text + i, length - i);
        if (step == 0) return false;
        i += step;
    }
    return true;
}

size_t utf8_count(const char *text, size_t length)
{
    size_t count = 0;
    for (size_t i = 0; i < length; i++) count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}
