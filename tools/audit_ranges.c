/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of entries, in the order in which they come. */
#include "audit_ranges.h"

bool audit_range_add(struct audit_ranges *ranges, uint64_t from, uint64_t to, uint64_t gap, struct err *err)
{
    if (ranges->count && ranges->list[ranges->count - 1].to + 1 + gap == from) {
        ranges->list[ranges->count - 1].to = to;
        return true;
    }
    if (ranges->count == AUDIT_RANGES) return err_set(err, ERR_DAMAGED, "bytes are gone in too many places");
    ranges->list[ranges->count++] = (struct audit_range){from, to};
    return true;
}

bool audit_range_holds(const struct audit_ranges *ranges, const struct audit_range *one)
{
    for (unsigned i = 0; ranges && i < ranges->count; i++)
        if (ranges->list[i].from <= one->from && one->to <= ranges->list[i].to) return true;
    return false;
}

/* Those about the log itself: erase to recover, and epoch. */
bool audit_stays(int64_t kind)
{
    return (kind >= 6 && kind <= 10) || kind == 13;
}
