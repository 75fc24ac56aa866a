/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers and names. */
#include "ids.h"

#include <string.h>
#include <sys/random.h>

#include "clock.h"

void id_new(uint8_t id[ID_BYTES])
{
    uint64_t ms = clock_wall() / CLOCK_MS;
    while (getrandom(id, ID_BYTES, 0) != ID_BYTES) continue;
    for (int i = 0; i < 6; i++) id[i] = (uint8_t)(ms >> (40 - 8 * i));
    id[6] = (uint8_t)((id[6] & 0x0f) | 0x70);
    id[8] = (uint8_t)((id[8] & 0x3f) | 0x80);
}

void hex_text(const uint8_t *bytes, size_t count, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * count] = '\0';
}

/* A table, since which kind of digit comes next cannot be foreseen. */
static int digit(char c)
{
    static const int8_t one_more[256] = {
        ['0'] = 1, ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,  ['6'] = 7,  ['7'] = 8,
        ['8'] = 9, ['9'] = 10, ['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
    };
    return one_more[(unsigned char)c] - 1;
}

/* Two digits; nothing behind a NUL is looked at. */
static bool pair_parse(const char *text, uint8_t *byte)
{
    int high = digit(text[0]);
    int low = high < 0 ? -1 : digit(text[1]);
    if (low >= 0) *byte = (uint8_t)(high << 4 | low);
    return low >= 0;
}

bool hex_parse(const char *text, uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!pair_parse(text + 2 * i, bytes + i)) return false;
    return text[2 * count] == '\0';
}

/* Bytes in front of which the canonical form has a dash. */
static bool dash_before(int byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void id_text(const uint8_t id[ID_BYTES], char text[ID_TEXT])
{
    for (int i = 0; i < ID_BYTES; i++) {
        if (dash_before(i)) *text++ = '-';
        hex_text(id + i, 1, text);
        text += 2;
    }
}

bool id_parse(const char *text, uint8_t id[ID_BYTES])
{
    for (int i = 0; i < ID_BYTES; i++, text += 2) {
        if (dash_before(i) && *text++ != '-') return false;
        if (!pair_parse(text, id + i)) return false;
    }
    return *text == '\0';
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
}

bool name_valid(const char *name)
{
    size_t length = strnlen(name, NAME_BYTES);
    if (length == 0 || length >= NAME_BYTES || name[0] < 'a' || name[0] > 'z' || name[length - 1] == '.') return false;
    for (size_t i = 0; i < length; i++)
        if (!name_char(name[i]) || (name[i] == '.' && name[i + 1] == '.')) return false;
    return true;
}

bool name_in(const char *array, size_t size)
{
    return memchr(array, '\0', size) && name_valid(array);
}
