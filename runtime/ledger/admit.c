/* SPDX-License-Identifier: Apache-2.0 */
/* The decision about one BEGIN: a row of questions in their order; the first "no" is the answer. */
#include "admit.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "checkpoint.h"
#include "idempotency.h"
#include "push.h"

/* ── who ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool printable(const char *array, size_t size)
{
    size_t length = strnlen(array, size);
    for (size_t i = 0; i < length; i++)
        if (array[i] < ' ' || array[i] > '~') return false;
    return length < size;
}

static bool check_shape(struct ledger *ledger, struct begin *begin, struct err *err)
{
    const struct msg_begin *ask = &begin->ask;
    bool named = (!ask->credential[0] || name_in(ask->credential, sizeof ask->credential)) &&
                 (!ask->workspace[0] || name_in(ask->workspace, sizeof ask->workspace));
    if (!named || !name_in(ask->connector, sizeof ask->connector) || !name_in(ask->action, sizeof ask->action))
        return err_set(err, ERR_MALFORMED, "a name is not one: names are a-z 0-9 - _ . and begin with a letter");
    if (!printable(ask->key, sizeof ask->key) || !printable(ask->traceparent, sizeof ask->traceparent))
        return err_set(err, ERR_MALFORMED, "Idempotency-Key and traceparent are printable ASCII");
    if (ask->input_size > FRAME_CALL_MAX) return err_set(err, ERR_MALFORMED, "no worker takes an input of this size");
    return true;
}

static bool find_caller(struct ledger *ledger, struct begin *begin, struct err *err)
{
    bool desk = begin->line->peer == ROLE_DESK;
    if (!caller_resolve(ledger, &begin->ask.who, begin->line->peer, &begin->caller, err)) return false;
    return desk == (begin->caller.kind == WHO_SYSTEM) ||
           err_set(err, ERR_DENIED, "the desk makes no calls but those that push checkpoints");
}

/* A call that names none means its token's own, and without a token "default". */
static bool named_workspace(struct ledger *ledger, struct begin *begin, bool *found, struct err *err)
{
    struct msg_begin *ask = &begin->ask;
    if (!ask->workspace[0] && begin->caller.kind == WHO_TOKEN) {
        if (!store_workspace_get(ledger->store, begin->caller.token.workspace, &begin->workspace, found, err))
            return false;
        if (*found) TEXT_COPY(ask->workspace, begin->workspace.name);
        return true;
    }
    if (!ask->workspace[0]) TEXT_COPY(ask->workspace, "default");
    return store_workspace_named(ledger->store, ask->workspace, &begin->workspace, found, err);
}

/* A workspace that is not there and one that is closed to this caller look the same. */
static bool find_workspace(struct ledger *ledger, struct begin *begin, struct err *err)
{
    bool found;
    if (!named_workspace(ledger, begin, &found, err)) return false;
    unsigned rights = found ? caller_rights(&ledger->access, &begin->caller, &begin->workspace, clock_wall()) : 0;
    if (rights & RIGHT_CALL) return true;
    if (found && begin->caller.kind == WHO_SYSTEM) return true; /* its scope is one call: check_scope */
    return err_set(err, ERR_DENIED, "%s may not call connectors in workspace %s", begin->caller.name,
                   begin->ask.workspace);
}

static bool check_scope(struct ledger *ledger, struct begin *begin, struct err *err)
{
    if (begin->caller.kind == WHO_SYSTEM) return push_covers(ledger, &begin->ask, err);
    if (caller_covers(&begin->caller, begin->ask.connector, begin->ask.action)) return true;
    return err_set(err, ERR_DENIED, "this token does not cover %s/%s", begin->ask.connector, begin->ask.action);
}

/* What the front refused, or checked, by another registry than this one says nothing. */
static bool check_stale(struct ledger *ledger, struct begin *begin, struct err *err)
{
    if (begin->registry == 0 || begin->registry == ledger->registry.number) return true;
    return err_set(err, ERR_STALE, "the registry has just changed");
}

bool entry_open_to(const struct entry *entry, const char *workspace)
{
    for (unsigned i = 0; i < entry->workspace_count; i++)
        if (strcmp(entry->workspaces[i], "*") == 0 || strcmp(entry->workspaces[i], workspace) == 0) return true;
    return false;
}

/* What callers in this workspace may know of; NULL: they are told this. */
static const struct entry *open_entry(struct ledger *ledger, struct begin *begin, struct err *err)
{
    const struct entry *entry = registry_find(&ledger->registry, begin->ask.connector);
    if (!entry || !entry_open_to(entry, begin->workspace.name))
        err_set(err, ERR_NOT_FOUND, "there is no connector %s in workspace %s", begin->ask.connector,
                begin->workspace.name);
    else if (is_exchanger(entry))
        err_set(err, ERR_DENIED, "connector %s is for the daemon alone: it fetches tokens for others", entry->name);
    else
        return entry;
    return NULL;
}

/* By the same kind in the answer the front knows that its own refusal, which speaks of the schema, may be shown: no
 * question before this one gives a kind that the front refuses with, and this one asks first what find_entry would.
 * That the log cannot be written is for the ledger alone to say: it seals. */
static bool check_refusal(struct ledger *ledger, struct begin *begin, struct err *err)
{
    enum err_kind kind = begin->ask.refusal < ERR_KINDS ? (enum err_kind)begin->ask.refusal : ERR_INTERNAL;
    if (kind == ERR_AUDIT) kind = ERR_INTERNAL;
    if (kind == ERR_NONE) return true;
    return open_entry(ledger, begin, err) && err_set(err, kind, "%s", err_row(kind)->title);
}

/* Whom a call is about is judged for those only who may make it, and after the front's refusal: see there. */
static bool check_unread(struct ledger *ledger, struct begin *begin, struct err *err)
{
    if (begin->unread.kind != ERR_NONE) *err = begin->unread;
    return begin->unread.kind == ERR_NONE;
}

static bool check_rate(struct ledger *ledger, struct begin *begin, struct err *err)
{
    if (begin->again || begin->caller.kind == WHO_SYSTEM) return true;
    if (rate_take(&ledger->rates, begin->caller.name, ledger->limits.per_second, ledger->limits.burst, clock_now()))
        return true;
    return err_set(err, ERR_RATE, "more than %u calls per second", ledger->limits.per_second);
}

/* ── what ──────────────────────────────────────────────────────────────────────────────────────────── */

static bool check_frozen(struct ledger *ledger, struct begin *begin, struct err *err)
{
    if (!ledger->role->frozen) return true;
    return err_set(err, ERR_FROZEN, "an administrator has frozen all calls; `caisson thaw` ends that");
}

/* What came after the copy that was put back is not known here: keys, revocations, outcomes. */
static bool check_held(struct ledger *ledger, struct begin *begin, struct err *err)
{
    if (!ledger->held) return true;
    if (ledger->doubted)
        return err_set(
            err, ERR_FROZEN,
            "a witness of the log knows another log than this one: calls run again once an administrator has "
            "looked (`caisson audit epoch`)");
    return err_set(
        err, ERR_FROZEN,
        "the log was found older or other than it was, and a new epoch of it has begun: calls run again once "
        "an administrator has looked (`caisson audit epoch`)");
}

/* What nobody outside would see is not done; the push that is to end that is. Nor what nobody signs. */
static bool check_sinks(struct ledger *ledger, struct begin *begin, struct err *err)
{
    return checkpoint_admits(ledger, err) && (begin->caller.kind == WHO_SYSTEM || push_admits(ledger, err));
}

static bool find_entry(struct ledger *ledger, struct begin *begin, struct err *err)
{
    const struct entry *entry = open_entry(ledger, begin, err);
    if (!entry) return false;
    if (entry->state != ENTRY_ENABLED)
        return err_set(err, entry->state == ENTRY_CHANGED ? ERR_CHANGED : ERR_STATE, "connector %s cannot be used: %s",
                       entry->name, entry->problem && *entry->problem ? entry->problem : "it is not enabled");
    begin->entry = entry;
    begin->action = entry_action(entry, begin->ask.action);
    return begin->action ||
           err_set(err, ERR_NOT_FOUND, "connector %s has no action %s", entry->name, begin->ask.action);
}

/* What is kept of the input must be what the record commits to, and so what the worker is given: it compares the same
 * digest, and the size, so that none is too large to be kept by the front's word alone. Nothing is handed over that
 * nobody has asked for. */
static bool check_input(struct ledger *ledger, struct begin *begin, struct err *err)
{
    const struct msg_begin *ask = &begin->ask;
    tree_hash digest;
    bool wanted = (begin_capture(begin) & CAPTURE_INPUT) && ask->input_size <= CAPTURE_MAX;
    if (!wanted && !begin->input.used) return true;
    if (!wanted) return err_set(err, ERR_DENIED, "an input was handed over to be kept, and it is not to be");
    sha256_three(FRAME_INPUT_TAG, sizeof FRAME_INPUT_TAG - 1, ask->salt, sizeof ask->salt, begin->input.bytes,
                 begin->input.used, digest);
    return (begin->input.used == ask->input_size && memcmp(digest, ask->input_digest, HASH_BYTES) == 0) ||
           err_set(err, ERR_DENIED, "the input that was handed over to be kept is not the one that this call is of");
}

/* ── credential ────────────────────────────────────────────────────────────────────────────────────── */

static bool field_required(const struct entry *entry, const char *name)
{
    const json_t *field = json_named(json_object_get(entry->document, "fields"), name);
    return json_is_true(json_object_get(field, "required"));
}

static bool order_has(const struct msg_order *order, const char *name)
{
    for (uint32_t i = 0; i < order->field_count; i++)
        if (strcmp(order->fields[i].name, name) == 0) return true;
    return false;
}

static bool check_fields(struct begin *begin, struct err *err)
{
    for (unsigned i = 0; i < begin->action->field_count; i++) {
        const char *name = begin->action->fields[i];
        if (!field_required(begin->entry, name) || order_has(begin->order, name)) continue;
        if (begin->credential.version)
            return err_set(err, ERR_BAD_INPUT, "credential %s has no field %s, and %s/%s needs it",
                           begin->ask.credential, name, begin->entry->name, begin->action->name);
        return err_set(err, ERR_BAD_INPUT, "%s/%s needs a credential: name one", begin->entry->name,
                       begin->action->name);
    }
    return true;
}

static bool no_credential(const struct begin *begin, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "there is no credential %s for connector %s in workspace %s",
                   begin->ask.credential, begin->entry->name, begin->workspace.name);
}

/* Of an OAuth2 credential a call is given the access token and nothing else, whatever its manifest asks for. */
static const char token_field[][NAME_BYTES] = {"access_token"};

static bool takes_token(const struct entry_action *action)
{
    for (unsigned i = 0; i < action->field_count; i++)
        if (strcmp(action->fields[i], token_field[0]) == 0) return true;
    return false;
}

/* One that belongs to another connector is answered like one that is not there. */
static bool find_credential(struct ledger *ledger, struct begin *begin, struct err *err)
{
    bool found = false;
    begin->order = calloc(1, sizeof *begin->order);
    if (!begin->order) return err_set(err, ERR_BUSY, "there is no memory for this call");
    if (begin->ask.credential[0] == '\0') return check_fields(begin, err);
    if (!store_credential_named(ledger->store, begin->workspace.id, begin->ask.credential, &begin->credential, &found,
                                err))
        return false;
    if (!found || strcmp(begin->credential.connector, begin->entry->name) != 0) {
        begin->credential.version = 0;
        return no_credential(begin, err);
    }
    bool grant = begin->credential.kind == CREDENTIAL_OAUTH2;
    if (grant && !takes_token(begin->action))
        return err_set(err, ERR_BAD_INPUT, "credential %s is one of OAuth2, and %s/%s takes no field access_token",
                       begin->ask.credential, begin->entry->name, begin->action->name);
    if (grant && !begin->credential.expires_at) return true; /* check_token() has it fetched first */
    if (!store_sealed_get(ledger->store, begin->credential.id, begin->credential.version,
                          grant ? token_field : begin->action->fields, grant ? 1 : begin->action->field_count,
                          begin->order, &found, err))
        return false;
    return found ? check_fields(begin, err) : no_credential(begin, err);
}

static bool find_keys(struct ledger *ledger, struct begin *begin, struct err *err)
{
    bool found;
    if (!store_keys_get(ledger->store, begin->workspace.id, &begin->keys, &found, err)) return false;
    return found ||
           err_set(err, ERR_UNAVAILABLE, "the keys of workspace %s are not made yet: try again", begin->workspace.name);
}

/* ── room ──────────────────────────────────────────────────────────────────────────────────────────── */

/* Known to be away: no record, or a part that restarts for long would fill the log. */
static bool check_others(struct ledger *ledger, struct begin *begin, struct err *err)
{
    static const enum role_id needed[] = {ROLE_VAULT, ROLE_BROKER, ROLE_RUNNER};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (!role_line_to(ledger->role, needed[i]))
            return err_set(err, ERR_UNAVAILABLE, "the %s is restarting: nothing was sent, try again",
                           role_name(needed[i]));
    return true;
}

bool check_room(struct ledger *ledger, struct begin *begin, struct err *err)
{
    uint32_t share = begin->entry->limits.concurrency;
    if (ledger->calls.count >= ledger->limits.running)
        return err_set(err, ERR_BUSY, "%u calls are running, and that is the limit", ledger->limits.running);
    if (share && calls_of_connector(&ledger->calls, begin->entry->name) >= share)
        return err_set(err, ERR_BUSY, "%u calls of connector %s are running, and that is its limit", share,
                       begin->entry->name);
    return true;
}

bool check_deadline(struct ledger *ledger, struct begin *begin, struct err *err)
{
    uint64_t now = clock_now(), most = begin->entry->limits.wall_s * CLOCK_S;
    if (begin->ask.deadline <= now) return err_set(err, ERR_TIMEOUT, "the deadline had passed before the call began");
    if (most && begin->ask.deadline - now > most) begin->ask.deadline = now + most;
    if (begin->ask.deadline - now > 3600 * CLOCK_S) begin->ask.deadline = now + 3600 * CLOCK_S;
    return true;
}

/* ── people ────────────────────────────────────────────────────────────────────────────────────────── */

/* Last, so that only a call that would run makes keys. */
static bool find_subjects(struct ledger *ledger, struct begin *begin, struct err *err)
{
    unsigned missing = 0;
    if (!begin->subjects) return true;
    if (!subjects_find(ledger, &begin->workspace, begin->subjects, &missing, err)) return false;
    if (missing) begin->what = BEGIN_KEYLESS;
    if (missing && begin->again) return err_set(err, ERR_UNAVAILABLE, "a person was erased just now: try again");
    return true;
}

/* ── the row ───────────────────────────────────────────────────────────────────────────────────────── */

bool admit(struct ledger *ledger, struct begin *begin, struct err *err)
{
    static bool (*const questions[])(struct ledger *, struct begin *, struct err *) = {
        check_shape,  find_caller,     find_workspace, check_scope,  check_rate,     check_stale, check_refusal,
        check_unread, find_keys,       find_earlier,   check_frozen, check_held,     check_sinks, find_entry,
        check_input,  find_credential, check_others,   check_room,   check_deadline, check_token, find_subjects,
    };
    struct err why = {0};
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        if (questions[i](ledger, begin, &why)) {
            if (begin->what != BEGIN_REFUSED) return true; /* not yet, or no more */
            continue;
        }
        begin->err = why;
        begin->what = BEGIN_REFUSED;
        if (why.kind == ERR_AUDIT) *err = why;
        return why.kind != ERR_AUDIT;
    }
    begin->what = BEGIN_ADMITTED;
    return true;
}
