/* SPDX-License-Identifier: Apache-2.0 */
/* What is gone of a log, and whether its own records say so: bodies first, and later leaves, of which a tile or the
 * root of a whole block is left. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "audit_body.h"
#include "audit_db.h"
#include "audit_ranges.h"
#include "base/err.h"
#include "base/ids.h"

struct audit_pruned {
    sqlite3 *db;
    sqlite3_stmt *blocks, *drops, *tiles, *stays;
    struct audit_ranges bodies, leaves; /* that are gone */
    uint64_t bodies_end, leaves_end;    /* that records say are: those of entries below */
    uint64_t recorded;                  /* entries up to the last of these records; 0: there is none */
    uint64_t staying; /* records before this entry, one after the other, of kinds that are never pruned */
    uint64_t blocks_used;
    uint64_t beyond; /* a size that was seen, and that no root is left of; 0: none */
};

/* Zero it first; close in any case. db stays the caller's. */
bool audit_pruned_open(struct audit_pruned *pruned, sqlite3 *db, struct err *err);
void audit_pruned_close(struct audit_pruned *pruned);

/* In the order of the log: an entry with its body; one without; one that is a prune record. */
void audit_pruned_whole(struct audit_pruned *pruned, int64_t kind);
bool audit_pruned_body(struct audit_pruned *pruned, uint64_t index, int64_t kind, struct err *err);
bool audit_pruned_record(struct audit_pruned *pruned, const struct body *body, uint64_t index, struct err *err);
/* An entry that has no row; next is the first that has. *width 1: hash is its leaf; TILE_HASHES: the root over the
 * whole block that begins with it. ERR_DAMAGED: it is missing. */
bool audit_pruned_row(struct audit_pruned *pruned, uint64_t index, uint64_t next, unsigned *width,
                      uint8_t hash[HASH_BYTES], struct err *err);
/* Everything that is gone is recorded as pruned, nothing is left over, and the next pruning begins where the last one
 * ended. ERR_STATE: it is so, but a record of it is not signed yet, or what was seen at `beyond` cannot be compared
 * with this log any more. tiles: how many belong to entries. signed_size: how many entries are signed. *bad: entries
 * that are concerned, when some are; else from > to. */
bool audit_pruned_end(struct audit_pruned *pruned, uint64_t tiles, uint64_t signed_size, struct audit_range *bad,
                      struct err *err);
