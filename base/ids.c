/* SPDX-License-Identifier: Apache-2.0 */
/* Identifiers and names. */
#include "ids.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

#include "clock.h"

/* 4096ths of a millisecond since 1970: what the 60 bits of time hold. */
enum { TICKS = 4096 };

/* The clock, or one more than the last: never the same twice, unless somebody set the clock back. */
static uint64_t later_tick(void)
{
    static _Atomic uint64_t last;
    uint64_t wall = clock_wall(), before = atomic_load(&last), next;
    uint64_t now = wall / CLOCK_MS * TICKS + wall % CLOCK_MS * TICKS / CLOCK_MS;
    do {
        bool set_back = before > now + CLOCK_S / CLOCK_MS * TICKS;
        next = now > before || set_back ? now : before + 1;
    } while (!atomic_compare_exchange_weak(&last, &before, next));
    return next;
}

void id_new(uint8_t id[ID_BYTES])
{
    uint64_t tick = later_tick(), ms = tick / TICKS, fraction = tick % TICKS;
    while (getrandom(id, ID_BYTES, 0) != ID_BYTES) continue;
    for (int i = 0; i < 6; i++) id[i] = (uint8_t)(ms >> (40 - 8 * i));
    id[6] = (uint8_t)(0x70 | fraction >> 8);
    id[7] = (uint8_t)fraction;
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
