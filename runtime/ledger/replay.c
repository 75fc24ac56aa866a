/* SPDX-License-Identifier: Apache-2.0 */
/* A stored answer on its way back: the vault opens its key, the caller's front gets key and ciphertext. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "admit.h"
#include "base/clock.h"

struct replaying {
    struct msg_begun begun;
    size_t length;
    uint8_t answer[];
};

static void give(struct ledger *ledger, const struct waiting *wait, struct replaying *replaying)
{
    if (wait->line->generation == wait->generation)
        role_send_tail(ledger->role, wait->line, MSG_BEGUN, wait->asked_seq, &replaying->begun, sizeof replaying->begun,
                       replaying->answer, replaying->length);
    sodium_memzero(&replaying->begun, sizeof replaying->begun);
    free(replaying);
}

static void opened(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    struct replaying *replaying = wait->context;
    const struct msg_open_key_answer *key = answer;
    struct err err = {0};
    if (key && length == sizeof *key && status_check(&key->status, &err)) {
        memcpy(replaying->begun.key, key->key, sizeof replaying->begun.key);
    } else {
        if (err.kind == ERR_NONE)
            err_set(&err, ERR_UNAVAILABLE, "the vault is restarting: ask again with the same key");
        status_set(&replaying->begun.status, &err);
        replaying->begun.answer_length = 0;
        replaying->length = 0;
    }
    ledger->counters.replayed++;
    give(ledger, wait, replaying);
}

static bool ask_vault(struct ledger *ledger, const struct begin *begin, struct waiting *wait, struct err *err)
{
    struct msg_open_key ask = {.workspace_key = begin->keys.workspace_key, .answer_secret = begin->keys.answer_secret};
    memcpy(ask.workspace, begin->workspace.id, ID_BYTES);
    memcpy(ask.answer_public, begin->keys.answer_public, sizeof ask.answer_public);
    memcpy(ask.sealed_key, begin->sealed_key, SEALED_KEY);
    wait->done = opened;
    wait->until = clock_now() + 3 * CLOCK_S;
    return wait_ask(ledger, ROLE_VAULT, MSG_OPEN_KEY, &ask, sizeof ask, wait, err);
}

void replay_answer(struct ledger *ledger, struct begin *begin)
{
    struct err err = {0};
    size_t length = begin->has_answer ? begin->answer.used : 0;
    struct replaying *replaying = malloc(sizeof *replaying + length);
    if (!replaying) return; /* the front's own wait ends with 503 */
    begin->begun.answer_length = (uint32_t)length;
    replaying->begun = begin->begun;
    replaying->length = length;
    if (length) memcpy(replaying->answer, begin->answer.bytes, length);
    struct waiting wait = {
        .line = begin->line, .generation = begin->generation, .asked_seq = begin->seq, .context = replaying};
    if (length && ask_vault(ledger, begin, &wait, &err)) return;
    if (err.kind != ERR_NONE) {
        status_set(&replaying->begun.status, &err);
        replaying->begun.answer_length = 0;
        replaying->length = 0;
    }
    ledger->counters.replayed++;
    give(ledger, &wait, replaying);
}
