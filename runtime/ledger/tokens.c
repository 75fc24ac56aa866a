/* SPDX-License-Identifier: Apache-2.0 */
/* What an OAuth2 exchange brought: sealed by the vault, committed here as the credential's next version, before any
 * call that waits for it is decided. */
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "query.h"

enum { UNSAID_S = 300, MARGIN_S = 60, SAID_AGAIN_S = 5 /* more than the vault takes to */ };

/* ── it is a no ────────────────────────────────────────────────────────────────────────────────────── */

/* Of each verdict: how the exchange counts, and what callers are told of the credential. */
static const struct refusal {
    enum call_class class;
    enum err_kind kind;
    const char *text;
} refusals[TOKENS_VERDICTS] = {
    [TOKENS_INVALID_GRANT] = {CLASS_REJECTED, ERR_STATE,
                              "the service does not accept its refresh token any more: an administrator must have the "
                              "access granted anew at the service, and store the refresh token that it gives"},
    [TOKENS_INVALID_CLIENT] = {CLASS_REJECTED, ERR_STATE,
                               "the service does not know its client, or not by this secret: an administrator must "
                               "store the right client_id and client_secret"},
    [TOKENS_REFUSED] = {CLASS_REJECTED, ERR_STATE,
                        "it gets no token: an administrator must look at its scope, its token_url and the egress of "
                        "the connector oauth2"},
    [TOKENS_LATER] = {CLASS_RETRYABLE, ERR_RETRYABLE,
                      "the service that gives its token cannot be reached or is overloaded, try again later"},
    [TOKENS_ODD] = {CLASS_REJECTED, ERR_RETRYABLE, "the answer of the service that gives its token makes no sense"},
};

static void refused(struct ledger *ledger, struct running *run, uint32_t verdict)
{
    const struct refusal *refusal = verdict < TOKENS_VERDICTS && refusals[verdict].text ? &refusals[verdict] : NULL;
    struct err err = {0};
    if (!refusal) {
        end_without(ledger, run, CLASS_LOST, REASON_PROTOCOL_ERROR); /* the runner may know why */
        return;
    }
    err_set(&err, refusal->kind, "credential %s: %s", run->call.credential, refusal->text);
    exchange_failed(ledger, run, &err);
    end_with(ledger, run, refusal->class, REASON_REMOTE);
}

/* ── it is tokens ──────────────────────────────────────────────────────────────────────────────────── */

static bool record_refresh(struct ledger *ledger, const struct running *run, const struct store_credential *credential,
                           bool renewed, struct err *err)
{
    RECORD_AUTO record;
    uint64_t index;
    record_init(&record);
    record_text(&record, "act", "credential.refresh");
    record_text(&record, "target", credential->name);
    record_text(&record, "connector", credential->connector);
    record_int(&record, "version", credential->version);
    record_id(&record, "call", run->call.ref.id);
    record_int(&record, "attempt", run->call.ref.attempt);
    if (renewed) record_text(&record, "text", "refresh_token renewed");
    struct journal_about about = {
        .kind = RECORD_ADMIN, .call = &run->call.ref, .workspace = credential->workspace, .push = run->push};
    return journal_add_now(&ledger->journal, &about, &record, &index, err);
}

static void set_times(struct store_credential *credential, uint32_t expires_in)
{
    uint32_t life = expires_in ? expires_in : UNSAID_S;
    uint32_t margin = life / 2 < MARGIN_S ? life / 2 : MARGIN_S;
    uint64_t now = clock_wall();
    credential->refresh_at = now + (life - margin) * CLOCK_S;
    credential->expires_at = now + life * CLOCK_S;
}

/* What lies there under that number may also be of a change that was cut off: the token's ciphertext says. */
static bool ours(struct ledger *ledger, const struct store_credential *credential, const struct msg_tokens *tokens,
                 struct err *err)
{
    static const char token[1][NAME_BYTES] = {"access_token"};
    const struct msg_seal_answer *sealed = &tokens->sealed;
    FREE_AUTO struct msg_order *there = calloc(1, sizeof *there);
    bool found = false, same = false;
    if (!there) return err_set(err, ERR_BUSY, "there is no memory");
    if (!store_sealed_get(ledger->store, credential->id, tokens->version, token, 1, there, &found, err)) return false;
    for (uint32_t i = 0; found && there->field_count == 1 && i < sealed->field_count; i++) {
        const struct sealed_field *field = &sealed->fields[i];
        same |= strcmp(field->name, token[0]) == 0 && field->length == there->fields[0].length &&
                memcmp(sealed->bytes + field->offset, there->bytes + there->fields[0].offset, field->length) == 0;
    }
    return same || err_set(err, ERR_BUSY, "the credential was being changed: try again");
}

/* An earlier ledger may have got as far as this, and died. */
static bool add_sealed(struct ledger *ledger, const struct store_credential *credential,
                       const struct msg_tokens *tokens, struct err *err)
{
    struct store_sealed what = {credential->workspace, credential->id, tokens->version, tokens->key_version};
    uint32_t written = 0;
    if (!store_sealed_version(ledger->store, credential->id, &written, err)) return false;
    if (written < tokens->version) return store_sealed_add(ledger->store, &what, &tokens->sealed, err);
    return ours(ledger, credential, tokens, err);
}

/* Order of the files as for every credential: ciphertext, record, then the row that makes it count. What was removed or
 * stored anew meanwhile stays as it is. */
static bool keep(struct ledger *ledger, const struct running *run, const struct msg_tokens *tokens, struct err *err)
{
    struct store_credential credential;
    bool found = false;
    if (!store_credential_named(ledger->store, run->call.workspace, run->call.credential, &credential, &found, err))
        return false;
    if (!found || credential.version != run->call.credential_version ||
        memcmp(credential.id, tokens->credential, ID_BYTES) != 0)
        return true;
    if (!sealed_sound(&tokens->sealed) || tokens->version <= credential.version)
        return err_set(err, ERR_INTERNAL, "the vault's answer is not well formed");
    credential.version = tokens->version;
    set_times(&credential, tokens->expires_in);
    if (!add_sealed(ledger, &credential, tokens, err) ||
        !record_refresh(ledger, run, &credential, tokens->renewed, err) ||
        !store_credential_put(ledger->store, &credential, err) ||
        !store_sealed_before(ledger->store, credential.id, credential.version, err))
        return false;
    leases_end(ledger, &credential, true);
    return true;
}

/* ── the answer ────────────────────────────────────────────────────────────────────────────────────── */

/* It is here, one way or the other: the runner lets the worker go, the vault forgets what it has said. */
static void let_go(struct ledger *ledger, const struct call_ref *call)
{
    struct role_line *runner = role_line_to(ledger->role, ROLE_RUNNER), *vault = role_line_to(ledger->role, ROLE_VAULT);
    struct msg_cancel done = {.call = *call, .reason = REASON_NONE};
    struct msg_order_cancel got = {.call = *call};
    if (runner) role_send(ledger->role, runner, MSG_CANCEL, 0, &done, sizeof done, NULL, 0);
    if (vault) role_send(ledger->role, vault, MSG_ORDER_CANCEL, 0, &got, sizeof got, NULL, 0);
}

/* While nothing can be written the vault goes on saying it: a refresh token may have been used up for it. */
static bool kept(struct ledger *ledger, struct running *run, const struct msg_tokens *tokens)
{
    struct err err = {0};
    if (!ledger_open_for_business(ledger, &err)) return false;
    if (keep(ledger, run, tokens, &err)) {
        end_with(ledger, run, CLASS_OK, REASON_NONE);
        return true;
    }
    log_failure("tokens-not-kept", &err);
    if (err.kind == ERR_AUDIT) ledger_seal(ledger, &err);
    if (err.kind == ERR_AUDIT || err.kind == ERR_IO) return false;
    exchange_failed(ledger, run, &err);
    end_with(ledger, run, CLASS_LOST, REASON_REMOTE);
    return true;
}

/* Its deadline, and its worker's end, would have the vault forget them sooner. */
void tokens_wait(struct running *run, enum call_reason reason)
{
    uint64_t deadline = run->call.deadline + CLOCK_S, said = clock_now() + SAID_AGAIN_S * CLOCK_S;
    run->close_at = said > deadline ? said : deadline;
    run->close_reason = reason;
}

void on_tokens(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct ledger *ledger = ledger_of(role);
    const struct msg_tokens *tokens = message->body;
    struct running *run = calls_find(&ledger->calls, &tokens->call);
    (void)line;
    if (run && run->fetches && run->state == RUN_OPEN) {
        if (tokens->verdict != TOKENS_OK) {
            refused(ledger, run, tokens->verdict);
        } else if (!kept(ledger, run, tokens)) {
            tokens_wait(run, REASON_AUDIT);
            return;
        }
    }
    let_go(ledger, &tokens->call);
}
