/* SPDX-License-Identifier: Apache-2.0 */
/* An administrator has the newest checkpoint pushed now, and learns what became of it. */
#include "base/auto_json.h"
#include "base/clock.h"
#include "push.h"
#include "query.h"

enum { ASKERS = 8, PATIENCE_S = 8 /* less than who asks waits for an answer */ };

static struct asker {
    struct role_line *line;
    uint32_t generation, seq;
    uint64_t until;
} askers[ASKERS];
static unsigned asker_count;

static void tell(struct ledger *ledger, const struct asker *asker)
{
    JSON_AUTO *out = json_pack("{s:o, s:b}", "sinks", push_json(ledger), "finished", !push_busy(ledger));
    query_answer(ledger, asker->line, asker->generation, asker->seq, out, NULL);
}

void query_push_tick(struct ledger *ledger)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < asker_count; i++) {
        if (push_busy(ledger) && clock_now() < askers[i].until && !ledger->sealed)
            askers[kept++] = askers[i];
        else
            tell(ledger, &askers[i]);
    }
    asker_count = kept;
    for (unsigned i = 0; i < kept; i++) role_wake_at(ledger->role, askers[i].until);
}

bool query_audit_push(struct query *query, json_t **out, struct err *err)
{
    struct ledger *ledger = query->ledger;
    uint64_t until = clock_now() + PATIENCE_S * CLOCK_S;
    if (!ledger->push.count)
        return err_set(err, ERR_STATE, "caisson.conf names no place for checkpoints: see [Push]");
    if (!ledger_open_for_business(ledger, err)) return false;
    if (asker_count == ASKERS) return err_set(err, ERR_BUSY, "many ask for a push already");
    askers[asker_count++] = (struct asker){query->line, query->generation, query->seq, until};
    push_now(ledger);
    return query->later = true;
}
