/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: what runs or waits with a credential in its hands, as the running calls and the runner's workers show it;
 * and taking it back. The record of a revocation is written first, then workers are killed and calls cancelled. */
#include <stdlib.h>
#include <string.h>

#include "base/auto_json.h"
#include "base/clock.h"
#include "query.h"

static const uint64_t runner_patience = 5 * CLOCK_S;

/* Which ones a query means: all of a workspace, or fewer. */
struct which {
    char connector[NAME_BYTES], credential[NAME_BYTES]; /* "": any */
    struct store_credential known;                      /* the row of credential */
    uint8_t digest[HASH_BYTES];                         /* of connector's entry */
    struct call_ref call;                               /* attempt 0: any */
};

/* One listing while the runner is asked, page by page. */
struct listing {
    struct query query; /* a copy: in belongs to the original */
    struct which which;
    json_t *rows;
    size_t room;
    unsigned left_out;
    unsigned shown_count;
    struct call_ref shown[CALLS_BUCKETS / 2]; /* calls that have a worker */
};

/* ── which ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool find_credential(struct query *query, struct which *which, struct err *err)
{
    bool found = false;
    if (!which->credential[0]) return true;
    if (!store_credential_named(query->ledger->store, query->workspace.id, which->credential, &which->known, &found,
                                err))
        return false;
    found = found && caller_covers(&query->caller, which->known.connector, NULL);
    return found || err_set(err, ERR_NOT_FOUND, "there is no credential %s in workspace %s", which->credential,
                            query->workspace.name);
}

static bool find_connector(struct query *query, struct which *which, struct err *err)
{
    if (!which->connector[0]) return true;
    const struct entry *entry = registry_find(&query->ledger->registry, which->connector);
    if (!entry || !caller_covers(&query->caller, which->connector, NULL))
        return err_set(err, ERR_NOT_FOUND, "there is no connector %s", which->connector);
    memcpy(which->digest, entry->digest, HASH_BYTES);
    return true;
}

/* The latest attempt, when it runs in this workspace and the caller's token covers it. */
static bool find_call(struct query *query, struct which *which, struct err *err)
{
    struct store_call call;
    uint8_t id[ID_BYTES];
    bool found = false;
    if (!json_object_get(query->in, "call")) return true;
    if (!in_id(query, "call", id, err) || !store_call_get(query->ledger->store, id, 0, &call, &found, err)) return false;
    if (!found || memcmp(call.workspace, query->workspace.id, ID_BYTES) != 0 ||
        !caller_covers(&query->caller, call.connector, call.action))
        return err_set(err, ERR_NOT_FOUND, "there is no such call in workspace %s", query->workspace.name);
    which->call = call.ref;
    return true;
}

static bool read_which(struct query *query, struct which *which, struct err *err)
{
    return in_name(query, "connector", which->connector, false, err) &&
           in_name(query, "credential", which->credential, false, err) && find_connector(query, which, err) &&
           find_credential(query, which, err) && find_call(query, which, err);
}

static bool same_call(const struct call_ref *a, const struct call_ref *b)
{
    return a->attempt == b->attempt && memcmp(a->id, b->id, ID_BYTES) == 0;
}

static bool means_call(const struct query *query, const struct which *which, const struct running *run)
{
    const struct store_call *call = &run->call;
    return memcmp(call->workspace, query->workspace.id, ID_BYTES) == 0 &&
           (!which->connector[0] || strcmp(which->connector, call->connector) == 0) &&
           (!which->credential[0] || strcmp(which->credential, call->credential) == 0) &&
           (!which->call.attempt || same_call(&which->call, &call->ref)) &&
           caller_covers(&query->caller, call->connector, call->action);
}

/* ── listing ───────────────────────────────────────────────────────────────────────────────────────── */

static void add_row(struct listing *listing, json_t *row)
{
    if (!list_add(listing->rows, row, &listing->room)) listing->left_out++;
}

static json_t *row_json(const char *state, const char *connector, const char *action)
{
    return json_pack("{s:s, s:s, s:s}", "state", state, "connector", connector, "action", action);
}

static void add_credential(json_t *row, const char *name, uint32_t version)
{
    if (!name[0]) return;
    json_object_set_new(row, "credential", json_string(name));
    json_object_set_new(row, "credential_version", json_integer(version));
}

static void add_call(json_t *row, const struct running *run)
{
    uint64_t now = clock_now();
    uint64_t left = run->call.deadline > now ? run->call.deadline - now : 0;
    json_object_set_new(row, "call_id", id_json(run->call.ref.id));
    json_object_set_new(row, "attempt", json_integer(run->call.ref.attempt));
    json_object_set_new(row, "begun", time_json(run->call.begun));
    json_object_set_new(row, "ends_in_ms", json_integer((json_int_t)(left / CLOCK_MS)));
}

static void add_worker(json_t *row, const struct worker_row *worker)
{
    json_object_set_new(row, "calls", json_integer(worker->calls));
    json_object_set_new(row, "age_ms", json_integer((json_int_t)worker->age_ms));
    if (!worker->call.attempt) json_object_set_new(row, "idle_ms", json_integer((json_int_t)worker->idle_ms));
}

static void list_running(struct listing *listing, const struct running *run, const struct worker_row *worker)
{
    const char *state = run->state != RUN_OPEN ? "ending" : worker ? "running" : "waiting";
    json_t *row = row_json(state, run->call.connector, run->call.action);
    add_credential(row, run->call.credential, run->call.credential_version);
    add_call(row, run);
    if (worker) add_worker(row, worker);
    add_row(listing, row);
}

/* One that waits for its next call: its names are those of the entry and of the credential's row. */
static void list_idle(struct listing *listing, const struct worker_row *worker)
{
    static const uint8_t none[ID_BYTES];
    struct ledger *ledger = listing->query.ledger;
    const struct which *which = &listing->which;
    const struct entry *entry = registry_same(&ledger->registry, worker->entry_digest);
    struct store_credential credential = {0};
    struct err err = {0};
    bool found = false, named = memcmp(worker->credential, none, ID_BYTES) != 0;
    if (!entry || worker->action >= entry->action_count || which->call.attempt) return;
    if (!caller_covers(&listing->query.caller, entry->name, entry->actions[worker->action].name)) return;
    if (which->connector[0] && strcmp(which->connector, entry->name) != 0) return;
    if (which->credential[0] && memcmp(which->known.id, worker->credential, ID_BYTES) != 0) return;
    if (named && !store_credential_get(ledger->store, worker->credential, &credential, &found, &err)) return;
    json_t *row = row_json("idle", entry->name, entry->actions[worker->action].name);
    add_credential(row, named && !found ? "(removed)" : credential.name, worker->credential_version);
    add_worker(row, worker);
    add_row(listing, row);
}

static void list_worker(struct listing *listing, const struct worker_row *worker)
{
    if (memcmp(worker->workspace, listing->query.workspace.id, ID_BYTES) != 0) return;
    if (!worker->call.attempt) {
        list_idle(listing, worker);
        return;
    }
    struct running *run = calls_find(&listing->query.ledger->calls, &worker->call);
    if (!run || run->state == RUN_NEW || !means_call(&listing->query, &listing->which, run)) return;
    if (listing->shown_count < CALLS_BUCKETS / 2) listing->shown[listing->shown_count++] = worker->call;
    list_running(listing, run, worker);
}

static bool was_shown(const struct listing *listing, const struct running *run)
{
    for (unsigned i = 0; i < listing->shown_count; i++)
        if (same_call(&listing->shown[i], &run->call.ref)) return true;
    return false;
}

static void list_rest(struct listing *listing)
{
    for (struct running *run = listing->query.ledger->calls.first; run; run = run->next)
        if (run->state != RUN_NEW && means_call(&listing->query, &listing->which, run) && !was_shown(listing, run))
            list_running(listing, run, NULL);
}

static void free_listing(struct listing *listing)
{
    json_decref(listing->rows);
    free(listing);
}

static bool ask_page(struct listing *listing, uint32_t from, struct waiting *how, struct err *err);

static void page(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    const struct msg_workers_answer *got = answer;
    struct listing *listing = wait->context;
    struct waiting next = *wait;
    struct err err = {0};
    bool ok = (got && length == sizeof *got && got->count <= WORKER_ROWS) ||
              err_set(&err, ERR_UNAVAILABLE, "the runner is restarting: try again");
    for (uint32_t i = 0; ok && i < got->count; i++) list_worker(listing, &got->rows[i]);
    if (ok && got->next && ask_page(listing, got->next, &next, &err)) return;
    ok = ok && err.kind == ERR_NONE;
    if (ok) list_rest(listing);
    JSON_AUTO *out = ok ? json_pack("{s:O}", "leases", listing->rows) : NULL;
    if (out && listing->left_out) json_object_set_new(out, "left_out", json_integer(listing->left_out));
    query_answer(ledger, wait->line, wait->generation, wait->asked_seq, out, ok ? NULL : &err);
    free_listing(listing);
}

static bool ask_page(struct listing *listing, uint32_t from, struct waiting *how, struct err *err)
{
    struct msg_workers ask = {.from = from};
    how->done = page;
    how->context = listing;
    how->until = clock_now() + runner_patience;
    return wait_ask(listing->query.ledger, ROLE_RUNNER, MSG_WORKERS, &ask, sizeof ask, how, err);
}

bool query_lease_list(struct query *query, json_t **out, struct err *err)
{
    (void)out;
    struct listing *listing = calloc(1, sizeof *listing);
    struct waiting how = query_waiting(query, page, 0);
    if (!listing) return err_set(err, ERR_BUSY, "there is no memory");
    listing->query = *query;
    listing->rows = json_array();
    listing->room = LIST_ROOM;
    query->later = read_which(query, &listing->which, err) && ask_page(listing, 0, &how, err);
    if (!query->later) free_listing(listing);
    return query->later;
}

/* ── revoking ──────────────────────────────────────────────────────────────────────────────────────── */

struct revocation {
    unsigned calls;
};

static bool named_something(const struct query *query, const struct which *which)
{
    return which->connector[0] || which->credential[0] || which->call.attempt ||
           json_is_string(json_object_get(query->in, "workspace"));
}

/* The runner ends workers of a connector whatever their action. */
static bool covers_all_actions(const struct query *query, const char *connector)
{
    const struct entry *entry = registry_find(&query->ledger->registry, connector);
    for (unsigned i = 0; entry && i < entry->action_count; i++)
        if (!caller_covers(&query->caller, connector, entry->actions[i].name)) return false;
    return entry != NULL;
}

static bool check_scope(const struct query *query, const struct which *which, struct err *err)
{
    if (!named_something(query, which))
        return err_set(err, ERR_BAD_INPUT, "say what is revoked: a workspace, a connector, a credential or a call");
    if (!caller_is_narrow(&query->caller) || which->call.attempt) return true;
    if (!which->connector[0])
        return err_set(err, ERR_DENIED, "this token is for some connectors or actions only: name the connector");
    return covers_all_actions(query, which->connector) ||
           err_set(err, ERR_DENIED, "this token is for some actions of connector %s only: name the call",
                   which->connector);
}

static bool record_revocation(struct query *query, struct which *which, struct err *err)
{
    RECORD_AUTO record;
    record_init(&record);
    if (!record_reason(query, &record, err)) return false;
    record_text(&record, "workspace", query->workspace.name);
    if (which->connector[0]) record_text(&record, "connector", which->connector);
    if (which->credential[0]) record_text(&record, "target", which->credential);
    if (which->call.attempt) query->call = &which->call;
    return admin_record(query, "lease.revoke", &record, err);
}

static unsigned cancel_calls(struct query *query, const struct which *which)
{
    unsigned count = 0;
    for (struct running *run = query->ledger->calls.first; run; run = run->next) {
        if (run->state != RUN_OPEN || !means_call(query, which, run)) continue;
        orders_cancel(query->ledger, run, REASON_REVOKED);
        count++;
    }
    return count;
}

static void revoked(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    const struct msg_revoked *got = answer;
    struct revocation *revocation = wait->context;
    struct err err = {0};
    bool ok = (got && length == sizeof *got) ||
              err_set(&err, ERR_UNAVAILABLE,
                      "the revocation is recorded, and the runner is restarting: no worker outlives that");
    JSON_AUTO *out =
        ok ? json_pack("{s:i, s:i}", "calls", (int)revocation->calls, "workers", (int)got->workers) : NULL;
    query_answer(ledger, wait->line, wait->generation, wait->asked_seq, out, ok ? NULL : &err);
    free(revocation);
}

static bool ask_runner(struct query *query, const struct which *which, struct revocation *revocation, struct err *err)
{
    struct msg_revoke ask = {.call = which->call};
    struct waiting how = query_waiting(query, revoked, clock_now() + runner_patience);
    how.context = revocation;
    memcpy(ask.workspace, query->workspace.id, ID_BYTES);
    memcpy(ask.credential, which->known.id, ID_BYTES);
    memcpy(ask.entry_digest, which->digest, HASH_BYTES);
    return wait_ask(query->ledger, ROLE_RUNNER, MSG_REVOKE, &ask, sizeof ask, &how, err);
}

bool query_lease_revoke(struct query *query, json_t **out, struct err *err)
{
    struct which which = {0};
    (void)out;
    if (!read_which(query, &which, err) || !check_scope(query, &which, err)) return false;
    if (which.call.attempt && !calls_find(&query->ledger->calls, &which.call))
        return err_set(err, ERR_STATE, "the call is not running any more");
    struct revocation *revocation = calloc(1, sizeof *revocation);
    if (!revocation) return err_set(err, ERR_BUSY, "there is no memory");
    bool recorded = record_revocation(query, &which, err);
    /* The runner first: a worker that a cancelled call had killed meanwhile would not be counted. */
    query->later = recorded && ask_runner(query, &which, revocation, err);
    unsigned calls = recorded ? cancel_calls(query, &which) : 0;
    if (query->later)
        revocation->calls = calls;
    else
        free(revocation);
    return query->later;
}
