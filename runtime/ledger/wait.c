/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the vault, the runner and the parent whose answers come later: nobody is ever waited for. */
#include <stdlib.h>

#include "base/clock.h"
#include "ledger.h"

static struct waiting **find(struct ledger *ledger, uint32_t seq)
{
    for (unsigned i = 0; i < WAITS_MAX; i++)
        if (ledger->waits[i] && ledger->waits[i]->seq == seq) return &ledger->waits[i];
    return NULL;
}

static struct waiting **free_slot(struct ledger *ledger)
{
    for (unsigned i = 0; i < WAITS_MAX; i++)
        if (!ledger->waits[i]) return &ledger->waits[i];
    return NULL;
}

bool wait_crowded(const struct ledger *ledger)
{
    unsigned used = 0;
    for (unsigned i = 0; i < WAITS_MAX; i++) used += ledger->waits[i] != NULL;
    return used >= WAITS_MAX / 2;
}

static struct role_line *line_to(struct ledger *ledger, enum role_id peer)
{
    return peer == ROLE_PARENT ? &ledger->role->control : role_line_to(ledger->role, peer);
}

bool wait_ask(struct ledger *ledger, enum role_id peer, unsigned type, const void *body, size_t length,
              const struct waiting *how, struct err *err)
{
    struct waiting **slot = free_slot(ledger), *wait = slot ? malloc(sizeof *wait) : NULL;
    struct role_line *line = line_to(ledger, peer);
    if (!wait) return err_set(err, ERR_BUSY, "too many questions are under way");
    *wait = *how;
    wait->peer = peer;
    wait->seq = ++ledger->next_seq ? ledger->next_seq : ++ledger->next_seq;
    if (!line || !role_send(ledger->role, line, type, wait->seq, body, length, NULL, 0)) {
        free(wait);
        return err_set(err, ERR_UNAVAILABLE, "the %s is restarting: try again", role_name(peer));
    }
    *slot = wait;
    role_wake_at(ledger->role, wait->until);
    return true;
}

static void finish(struct ledger *ledger, struct waiting **slot, const void *answer, size_t length)
{
    struct waiting *wait = *slot;
    *slot = NULL;
    wait->done(ledger, wait, answer, length);
    free(wait);
}

void on_answer(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct ledger *ledger = ledger_of(role);
    struct waiting **slot = find(ledger, message->head.seq);
    if (slot && (*slot)->peer == line->peer)
        finish(ledger, slot, message->body, message->length);
    else
        ledger->counters.bad++;
}

void waits_gone(struct ledger *ledger, enum role_id peer)
{
    for (unsigned i = 0; i < WAITS_MAX; i++)
        if (ledger->waits[i] && ledger->waits[i]->peer == peer) finish(ledger, &ledger->waits[i], NULL, 0);
}

uint64_t waits_tick(struct ledger *ledger)
{
    uint64_t now = clock_now(), next = 0;
    for (unsigned i = 0; i < WAITS_MAX; i++) {
        struct waiting *wait = ledger->waits[i];
        if (wait && now >= wait->until)
            finish(ledger, &ledger->waits[i], NULL, 0);
        else if (wait && (!next || wait->until < next))
            next = wait->until;
    }
    return next;
}
