/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of entries whose bytes are gone, and those that records say were pruned. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { AUDIT_RANGES = 1024 };
struct audit_range {
    uint64_t from, to; /* both included */
};
struct audit_ranges {
    unsigned count;
    struct audit_range list[AUDIT_RANGES];
};

/* Ranges that follow each other become one, also over a gap of so many entries that no range covers. */
bool audit_range_add(struct audit_ranges *ranges, uint64_t from, uint64_t to, uint64_t gap, struct err *err);
/* Is a record of this kind left as it is by pruning? The same list for SQL. */
#define AUDIT_STAYS "(6, 7, 8, 9, 10, 13)"
bool audit_stays(int64_t kind);
/* Is that range inside one of them? NULL: there are none. */
bool audit_range_holds(const struct audit_ranges *ranges, const struct audit_range *one);
