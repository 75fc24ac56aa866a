/* SPDX-License-Identifier: Apache-2.0 */
/* Idempotency keys: looked up by a keyed hash of caller and key, compared by a keyed fingerprint of the payload. */
#include "idempotency.h"

#include <sodium.h>
#include <string.h>

enum key_verdict key_verdict(const struct key_facts *facts)
{
    if (!facts->known) return KEY_FRESH;
    if (!facts->same_payload) return KEY_OTHER;
    if (!facts->ended) return KEY_RUNNING;
    if (facts->released) return KEY_AGAIN;
    if (facts->class == CLASS_OK) return KEY_REPLAY; /* also when it had nothing to send */
    if (facts->sent == SENT_NO) return facts->attempt < ATTEMPTS_MAX ? KEY_AGAIN : KEY_TIRED;
    return facts->sent == SENT_YES ? KEY_REPLAY : KEY_UNCERTAIN;
}

/* ── keyed hashes ──────────────────────────────────────────────────────────────────────────────────── */

static void add_text(crypto_generichash_state *state, const char *text)
{
    uint32_t length = (uint32_t)strlen(text);
    crypto_generichash_update(state, (const unsigned char *)&length, sizeof length);
    crypto_generichash_update(state, (const unsigned char *)text, length);
}

static void start(crypto_generichash_state *state, const struct begin *begin, const char *purpose)
{
    crypto_generichash_init(state, begin->workspace.lookup, sizeof begin->workspace.lookup, HASH_BYTES);
    add_text(state, purpose);
}

static void make_hashes(struct begin *begin)
{
    crypto_generichash_state state;
    start(&state, begin, "caisson slot v1");
    add_text(&state, begin->caller.name);
    add_text(&state, begin->ask.key);
    crypto_generichash_final(&state, begin->slot, HASH_BYTES);

    start(&state, begin, "caisson fingerprint v1");
    crypto_generichash_update(&state, begin->ask.input_hash, HASH_BYTES);
    add_text(&state, begin->ask.connector);
    add_text(&state, begin->ask.action);
    add_text(&state, begin->ask.credential);
    for (unsigned i = 0; begin->subjects && i < begin->subjects->count; i++)
        add_text(&state, begin->subjects->list[i].text);
    crypto_generichash_final(&state, begin->fingerprint, HASH_BYTES);
}

/* ── what it means ─────────────────────────────────────────────────────────────────────────────────── */

static void tell_earlier(struct begin *begin, const struct store_call *call)
{
    begin->begun.call = call->ref;
    begin->begun.replay = 1;
    begin->begun.class = call->class;
    begin->begun.sent = call->sent;
    begin->begun.reason = call->reason;
    begin->begun.retry_after = call->retry_after;
    begin->begun.intent_index = call->intent;
    begin->begun.outcome_index = call->outcome;
}

static bool again(struct begin *begin, const struct store_call *call)
{
    begin->attempt_again = true;
    begin->earlier = call->ref;
    return true;
}

static bool replay(struct ledger *ledger, struct begin *begin, const struct store_call *call, struct err *err)
{
    tell_earlier(begin, call);
    begin->what = BEGIN_REPLAYED;
    begin->answer.max = ANSWER_MAX;
    return store_answer_get(ledger->store, &call->ref, begin->sealed_key, &begin->answer, &begin->has_answer, err);
}

static bool judge(struct ledger *ledger, struct begin *begin, const struct store_slot *slot,
                  const struct store_call *call, struct err *err)
{
    char id[ID_TEXT];
    struct key_facts facts = {.known = true,
                              .ended = call->ended,
                              .released = slot->retry,
                              .class = (enum call_class)call->class,
                              .sent = (enum call_sent)call->sent,
                              .attempt = call->ref.attempt,
                              .same_payload = sodium_memcmp(slot->fingerprint, begin->fingerprint, HASH_BYTES) == 0};
    id_text(slot->call, id);
    switch (key_verdict(&facts)) {
    case KEY_FRESH: return true;
    case KEY_AGAIN: return again(begin, call);
    case KEY_REPLAY: return replay(ledger, begin, call, err);
    case KEY_RUNNING: return err_set(err, ERR_CONFLICT, "call %s under this key is still running: ask again later", id);
    case KEY_OTHER: return err_set(err, ERR_KEY_REUSED, "this key belongs to call %s, which had another payload", id);
    case KEY_TIRED:
        return err_set(
            err, ERR_STATE,
            "call %s under this key was tried %u times without being sent: `caisson calls show %s` says why; "
            "`caisson calls retry %s` allows one more attempt, a new key begins anew",
            id, call->ref.attempt, id, id);
    case KEY_UNCERTAIN: break;
    }
    tell_earlier(begin, call);
    return err_set(err, ERR_UNCERTAIN,
                   "call %s under this key may have been sent (%s): look at the service; `caisson calls retry %s` or a "
                   "new key sends again",
                   id, class_name(call->class), id);
}

bool find_earlier(struct ledger *ledger, struct begin *begin, struct err *err)
{
    struct store_slot slot;
    struct store_call call;
    bool found;
    begin->has_slot = begin->ask.key[0] != '\0';
    if (!begin->has_slot) return true;
    make_hashes(begin);
    if (!store_slot_get(ledger->store, begin->slot, &slot, &found, err)) return false;
    if (!found) return true;
    if (!store_call_get(ledger->store, slot.call, 0, &call, &found, err)) return false;
    if (!found) return err_set(err, ERR_INTERNAL, "a key's call is missing from data/audit.db");
    return judge(ledger, begin, &slot, &call, err);
}
