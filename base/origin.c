/* SPDX-License-Identifier: Apache-2.0 */
/* Names of logs and their epochs. */
#include "origin.h"

#include <stdio.h>
#include <string.h>

enum { EPOCH_DIGITS = 9 };

bool origin_valid(const char *origin, size_t room)
{
    size_t length = strnlen(origin, room);
    if (length == 0 || length == room || length >= ORIGIN_BYTES) return false;
    for (const char *c = origin; *c; c++)
        if (*c <= ' ' || *c > '~' || strchr("+\"\\", *c)) return false;
    return true;
}

/* How long the name is without "/NUMBER"; all of it where it has none. */
static size_t stem(const char *origin, uint64_t *epoch)
{
    const char *slash = strrchr(origin, '/'), *digits = slash ? slash + 1 : "";
    size_t count = strspn(digits, "0123456789");
    *epoch = 1;
    if (count == 0 || count > EPOCH_DIGITS || digits[count] || digits[0] == '0' || slash == origin)
        return strlen(origin);
    *epoch = 0;
    for (; *digits; digits++) *epoch = *epoch * 10 + (uint64_t)(*digits - '0');
    return (size_t)(slash - origin);
}

uint64_t origin_epoch(const char *origin)
{
    uint64_t epoch;
    stem(origin, &epoch);
    return epoch;
}

bool origin_next(const char *origin, char next[ORIGIN_BYTES])
{
    uint64_t epoch;
    size_t length = stem(origin, &epoch);
    int made = snprintf(next, ORIGIN_BYTES, "%.*s/%llu", (int)length, origin, (unsigned long long)epoch + 1);
    return made > 0 && made < ORIGIN_BYTES;
}

bool origin_continues(const char *origin, const char *later)
{
    uint64_t epoch, later_epoch;
    size_t length = stem(origin, &epoch), later_length = stem(later, &later_epoch);
    return length == later_length && memcmp(origin, later, length) == 0 && later_epoch >= epoch;
}
