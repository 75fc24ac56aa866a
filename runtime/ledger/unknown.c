/* SPDX-License-Identifier: Apache-2.0 */
/* Refusals that are counted, not recorded one by one. */
#include "base/clock.h"
#include "ledger.h"

void refuse_unknown(struct ledger *ledger, enum err_kind kind)
{
    if (!ledger->unknown.from) ledger->unknown.from = clock_wall();
    ledger->unknown.by_kind[kind]++;
}

static bool count_object(const struct ledger *ledger, struct buf *counts, uint64_t *total)
{
    static const char *slugs[ERR_KINDS];
    RECORD_AUTO object;
    record_init(&object);
    for (unsigned kind = 0; kind < ERR_KINDS; kind++) {
        if (!ledger->unknown.by_kind[kind]) continue;
        slugs[kind] = err_row((enum err_kind)kind)->slug;
        record_int(&object, slugs[kind], (int64_t)ledger->unknown.by_kind[kind]);
        *total += ledger->unknown.by_kind[kind];
    }
    return record_bytes(&object, counts);
}

/* One record for all of an interval, once that is over. */
bool unknown_record(struct ledger *ledger, struct err *err)
{
    RECORD_AUTO record;
    BUF_AUTO counts = {.max = 4096};
    uint64_t total = 0, index;
    record_init(&record);
    if (!count_object(ledger, &counts, &total)) return err_set(err, ERR_INTERNAL, "refusals cannot be counted");
    record_int(&record, "count", (int64_t)total);
    record_json(&record, "counts", counts.bytes, counts.used);
    record_int(&record, "from", (int64_t)ledger->unknown.from);
    record_int(&record, "until", (int64_t)clock_wall());
    return journal_add(&ledger->journal, &(struct journal_about){.kind = RECORD_REFUSED}, &record, &index, err);
}
