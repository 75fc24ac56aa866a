/* SPDX-License-Identifier: Apache-2.0 */
/* OAuth2: a call whose credential has no access token that is good for a while is told to ask again, and an exchange
 * begins, one for each credential: a call of the daemon's own, with intent and outcome, of the connector it was built
 * with. tokens.c takes what it brings. Which ones are under way is what the running calls say: so another ledger, which
 * takes these over, begins no second one. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "admit.h"
#include "base/clock.h"
#include "base/text.h"
#include "tree.h"

enum { EXCHANGE_S = 8, PAUSE_S = 10, RETRY_S = 1 };

static const char action_name[] = "exchange";

/* ── the connector ─────────────────────────────────────────────────────────────────────────────────── */

bool is_exchanger(const struct entry *entry)
{
    return entry->state == ENTRY_ENABLED && memcmp(entry->so_digest, oauth2_digest, HASH_BYTES) == 0;
}

bool is_exchange(const struct ledger *ledger, const struct store_call *call)
{
    const struct entry *entry = registry_find(&ledger->registry, call->connector);
    return entry && is_exchanger(entry);
}

static const struct entry *exchanger(const struct ledger *ledger, const char *workspace)
{
    for (unsigned i = 0; i < ledger->registry.count; i++) {
        const struct entry *entry = registry_entry(&ledger->registry, i);
        if (entry && is_exchanger(entry) && entry_open_to(entry, workspace)) return entry;
    }
    return NULL;
}

/* ── those that failed ─────────────────────────────────────────────────────────────────────────────── */

/* A new version of the credential is asked for anew. */
static struct token_failure *failure_of(struct ledger *ledger, const uint8_t workspace[ID_BYTES], const char *name,
                                        uint32_t version)
{
    for (unsigned i = 0; i < FAILURES_MAX; i++) {
        struct token_failure *failure = &ledger->failures[i];
        if (failure->version == version && strcmp(failure->credential, name) == 0 &&
            memcmp(failure->workspace, workspace, ID_BYTES) == 0)
            return failure;
    }
    return NULL;
}

/* In the place of the one that is over first. */
static void remember(struct ledger *ledger, const struct store_call *call, const struct err *why, unsigned seconds)
{
    struct token_failure *place = failure_of(ledger, call->workspace, call->credential, call->credential_version);
    struct token_failure *first = ledger->failures;
    for (unsigned i = 1; i < FAILURES_MAX; i++)
        if (ledger->failures[i].until < first->until) first = &ledger->failures[i];
    if (!place) place = first;
    *place = (struct token_failure){
        .version = call->credential_version, .until = clock_now() + seconds * CLOCK_S, .why = *why};
    memcpy(place->workspace, call->workspace, ID_BYTES);
    memcpy(place->credential, call->credential, NAME_BYTES);
}

void exchange_failed(struct ledger *ledger, const struct running *run, const struct err *why)
{
    remember(ledger, &run->call, why, PAUSE_S);
}

/* What a restart cut off may be tried again at once. */
void exchange_over(struct ledger *ledger, const struct running *run)
{
    const struct store_call *call = &run->call;
    struct err err = {0};
    if (run->end.class == CLASS_OK || run->end.reason == REASON_RESTART ||
        failure_of(ledger, call->workspace, call->credential, call->credential_version))
        return;
    bool ours = run->end.reason == REASON_NO_WORKER || run->end.reason == REASON_PROTOCOL_ERROR;
    err_set(&err, ERR_UNAVAILABLE, "credential %s: the exchange for a token ended without one (%s), try again later",
            call->credential, reason_name(run->end.reason));
    remember(ledger, call, &err, ours ? RETRY_S : PAUSE_S); /* not the service's: soon over */
}

/* ── is one needed? ────────────────────────────────────────────────────────────────────────────────── */

bool check_token(struct ledger *ledger, struct begin *begin, struct err *err)
{
    const struct store_credential *credential = &begin->credential;
    uint64_t now = clock_wall();
    if (!credential->version || credential->kind != CREDENTIAL_OAUTH2 || now < credential->refresh_at) return true;
    struct token_failure *failure = failure_of(ledger, credential->workspace, credential->name, credential->version);
    if (failure && clock_now() >= failure->until) *failure = (struct token_failure){0}, failure = NULL;
    if (!failure) begin->what = BEGIN_TOKENLESS;
    if (!failure || now < credential->expires_at) return true; /* the one that is there is good to its end */
    *err = failure->why;
    return false;
}

static bool under_way(const struct running *run)
{
    return run->fetches && (run->state == RUN_NEW || run->state == RUN_OPEN);
}

bool exchanges_in(const struct ledger *ledger, const uint8_t workspace[ID_BYTES])
{
    for (const struct running *run = ledger->calls.first; run; run = run->next)
        if (under_way(run) && memcmp(run->call.workspace, workspace, ID_BYTES) == 0) return true;
    return false;
}

bool exchange_of(const struct ledger *ledger, const struct store_credential *credential)
{
    for (const struct running *run = ledger->calls.first; run; run = run->next)
        if (under_way(run) && memcmp(run->call.workspace, credential->workspace, ID_BYTES) == 0 &&
            strcmp(run->call.credential, credential->name) == 0)
            return true;
    return false;
}

/* ── a new one ─────────────────────────────────────────────────────────────────────────────────────── */

static bool fill_order(struct ledger *ledger, struct begin *own, struct err *err)
{
    bool found = false;
    uint32_t written = 0;
    own->order = calloc(1, sizeof *own->order);
    if (!own->order) return err_set(err, ERR_BUSY, "there is no memory for this call");
    if (!store_sealed_get(ledger->store, own->credential.id, own->credential.version, own->action->fields,
                          own->action->field_count, own->order, &found, err) ||
        !store_sealed_version(ledger->store, own->credential.id, &written, err))
        return false;
    own->order->next_version = written + 1;
    return found || err_set(err, ERR_STATE, "credential %s has no stored fields: store it anew", own->credential.name);
}

static void fill_ask(struct begin *own)
{
    static const char tag[] = FRAME_INPUT_TAG;
    struct msg_begin *ask = &own->ask;
    TEXT_COPY(ask->connector, own->entry->name);
    TEXT_COPY(ask->action, own->action->name);
    TEXT_COPY(ask->credential, own->credential.name);
    TEXT_COPY(ask->workspace, own->workspace.name);
    randombytes_buf(ask->salt, sizeof ask->salt);
    sha256_three(tag, sizeof tag - 1, ask->salt, sizeof ask->salt, EXCHANGE_INPUT, sizeof EXCHANGE_INPUT - 1,
                 ask->input_digest);
    ask->input_size = sizeof EXCHANGE_INPUT - 1;
    ask->deadline = clock_now() + EXCHANGE_S * CLOCK_S;
    own->begun.action = (uint32_t)(own->action - own->entry->actions);
}

static bool fill(struct ledger *ledger, struct begin *own, const struct begin *begin, struct err *err)
{
    own->exchanges = true;
    own->caller = begin->caller;
    own->workspace = begin->workspace;
    own->keys = begin->keys;
    own->credential = begin->credential;
    own->entry = exchanger(ledger, begin->workspace.name);
    own->action = own->entry ? entry_action(own->entry, action_name) : NULL;
    if (!own->action)
        return err_set(err, ERR_STATE,
                       "credential %s needs the connector oauth2 of this release, and none is enabled in workspace %s",
                       begin->credential.name, begin->workspace.name);
    memset(own->credential.audience, 0, AUDIENCE_MAX); /* the gate's: where the token comes from */
    memcpy(own->credential.audience, own->credential.token_host, strlen(own->credential.token_host));
    TEXT_COPY(own->wanted_by, begin->entry->name);
    fill_ask(own);
    return fill_order(ledger, own, err) && check_room(ledger, own, err) && check_deadline(ledger, own, err);
}

static void undo(struct ledger *ledger, struct begin *own)
{
    if (own->run) calls_remove(&ledger->calls, own->run);
    begin_free(own);
}

bool exchange_join(struct ledger *ledger, const struct begin *begin, struct err *err)
{
    if (exchange_of(ledger, &begin->credential)) return true;
    struct begin *own = ledger->fetch_count < FETCHES_MAX ? calloc(1, sizeof *own) : NULL;
    if (!own) return err_set(err, ERR_BUSY, "many tokens are being fetched already");
    if (fill(ledger, own, begin, err) && begin_take_in(ledger, own, err)) {
        ledger->fetches[ledger->fetch_count++] = own;
        return true;
    }
    undo(ledger, own);
    return false;
}

/* Its intent is durable: as with every call, order, gate and start go out now. */
static void let_loose(struct ledger *ledger, struct begin *own)
{
    struct running *run = own->run;
    run_move(run, RUN_OPEN);
    ledger->counters.begun++;
    if (!orders_send(ledger, run, own)) end_without(ledger, run, CLASS_REFUSED, REASON_NO_WORKER);
    role_wake_at(ledger->role, run->call.deadline + CLOCK_S);
    begin_free(own);
}

void exchanges_done(struct ledger *ledger, bool durable)
{
    unsigned count = ledger->fetch_count;
    ledger->fetch_count = 0;
    for (unsigned i = 0; i < count; i++)
        if (durable)
            let_loose(ledger, ledger->fetches[i]);
        else
            undo(ledger, ledger->fetches[i]);
}

/* The vault that would have brought their tokens is gone. A dead runner's workers end by themselves: then it says so.
 */
void exchanges_gone(struct ledger *ledger)
{
    for (struct running *run = ledger->calls.first; run; run = run->next)
        if (run->fetches) end_without(ledger, run, CLASS_LOST, REASON_RESTART);
}
