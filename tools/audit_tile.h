/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of C2SP tlog-tiles: names of tiles and entry bundles, and what stands in a bundle. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TILE_PATH = 80, ENTRY_MOST = 65535 };
enum { TILE_ENTRIES = 64 }; /* in place of a level: the bundle of entries */

/* tile/LEVEL/NUMBER[.p/WIDTH], with width 256 for a full one. */
void tile_path(char path[TILE_PATH], unsigned level, uint64_t number, unsigned width);

/* Takes the next entry of a bundle off *at; false: what stands there is none. */
bool tile_next_entry(const uint8_t **at, const uint8_t *end, const uint8_t **entry, size_t *length);
