/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of C2SP tlog-tiles. */
#include "audit_tile.h"

#include <stdio.h>
#include <string.h>

#include "audit_tree.h"

/* Three digits per folder, all but the last with an x before them. */
static void add_number(char *path, size_t room, uint64_t number)
{
    char *at = path;
    unsigned groups[8], count = 0;
    do groups[count++] = (unsigned)(number % 1000);
    while ((number /= 1000) && count < sizeof groups / sizeof *groups);
    while (count--) at += snprintf(at, room - (size_t)(at - path), count ? "x%03u/" : "%03u", groups[count]);
}

void tile_path(char path[TILE_PATH], unsigned level, uint64_t number, unsigned width)
{
    size_t used = (size_t)(level == TILE_ENTRIES ? snprintf(path, TILE_PATH, "tile/entries/")
                                                 : snprintf(path, TILE_PATH, "tile/%u/", level));
    add_number(path + used, TILE_PATH - used, number);
    used = strlen(path);
    if (width < TILE_HASHES) snprintf(path + used, TILE_PATH - used, ".p/%u", width);
}

bool tile_next_entry(const uint8_t **at, const uint8_t *end, const uint8_t **entry, size_t *length)
{
    if (end - *at < 2) return false;
    size_t count = (size_t)((*at)[0] << 8 | (*at)[1]);
    if ((size_t)(end - *at) - 2 < count) return false;
    *entry = *at + 2;
    *length = count;
    *at += 2 + count;
    return true;
}
