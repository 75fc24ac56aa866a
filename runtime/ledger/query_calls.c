/* SPDX-License-Identifier: Apache-2.0 */
/* Queries about calls: listing, showing, releasing one for another attempt, cancelling. */
#include <stdio.h>
#include <string.h>

#include "base/auto_json.h"
#include "query.h"

enum { SCAN_MOST = 5000, PAGE = 50 };

/* ── showing ───────────────────────────────────────────────────────────────────────────────────────── */

static json_t *attempt_json(const struct store_call *call)
{
    json_t *object = json_pack("{s:i, s:s, s:o, s:o, s:I}", "attempt", (int)call->ref.attempt, "state",
                               call->ended ? "ended" : "running", "begun", time_json(call->begun), "ended",
                               time_json(call->ended_at), "intent", (json_int_t)call->intent);
    if (!call->ended) return object;
    json_object_set_new(object, "class", json_string(class_name(call->class)));
    json_object_set_new(object, "sent", json_string(sent_name(call->sent)));
    json_object_set_new(object, "reason", json_string(reason_name(call->reason)));
    json_object_set_new(object, "outcome", json_integer((json_int_t)call->outcome));
    if (call->retry_after) json_object_set_new(object, "retry_after", json_integer(call->retry_after));
    return object;
}

json_t *call_json(const struct store_call *call, const char *workspace)
{
    json_t *object = attempt_json(call);
    json_object_set_new(object, "call_id", id_json(call->ref.id));
    json_object_set_new(object, "workspace", json_string(workspace));
    json_object_set_new(object, "connector", json_string(call->connector));
    json_object_set_new(object, "action", json_string(call->action));
    if (call->credential[0]) json_object_set_new(object, "credential", json_string(call->credential));
    return object;
}

struct listing {
    const struct query *query;
    char connector[NAME_BYTES], class[32];
    uint64_t limit;
    unsigned scanned;
    struct list_page page, whole; /* whole: without the call that is at `id`, which may have more attempts */
    size_t whole_rows;
    uint8_t id[ID_BYTES];
};

static bool wanted(const struct listing *listing, const struct store_call *call)
{
    if (listing->connector[0] && strcmp(listing->connector, call->connector) != 0) return false;
    if (listing->class[0] && strcmp(listing->class, call->ended ? class_name(call->class) : "running") != 0)
        return false;
    return caller_covers(&listing->query->caller, call->connector, call->action);
}

/* The page after this one begins at a call, never between two of its attempts. */
static void leave_to_next(struct listing *listing)
{
    if (listing->whole_rows == 0) return; /* one call fills the page */
    while (json_array_size(listing->page.list) > listing->whole_rows)
        json_array_remove(listing->page.list, json_array_size(listing->page.list) - 1);
    listing->page = listing->whole;
    listing->page.more = true;
}

static bool list_one(void *context, const struct store_call *call)
{
    struct listing *listing = context;
    struct list_page *page = &listing->page;
    if (memcmp(listing->id, call->ref.id, ID_BYTES) != 0) {
        page->more = json_array_size(page->list) >= listing->limit || ++listing->scanned > SCAN_MOST;
        if (page->more) return false;
        listing->whole = *page;
        listing->whole_rows = json_array_size(page->list);
        memcpy(listing->id, call->ref.id, ID_BYTES);
    }
    json_t *row = wanted(listing, call) ? call_json(call, listing->query->workspace.name) : NULL;
    if (page_add_id(page, row, call->ref.id)) return true;
    leave_to_next(listing);
    return false;
}

/* A word that no call can have would find nothing, and say so as if there were no such calls. */
static bool class_known(const char *word, struct err *err)
{
    char known[160] = "running";
    if (!word[0] || strcmp(word, "running") == 0) return true;
    for (unsigned class = CLASS_OK; class < CLASS_COUNT; class ++) {
        if (strcmp(word, class_name(class)) == 0) return true;
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, ", %s", class_name(class));
    }
    return err_set(err, ERR_BAD_INPUT, "\"class\" must be one of %s", known);
}

bool query_calls_list(struct query *query, json_t **out, struct err *err)
{
    struct listing listing = {.query = query, .page = {.room = LIST_ROOM}};
    uint8_t before[ID_BYTES];
    if (!in_name(query, "connector", listing.connector, false, err) ||
        !in_text(query, "class", listing.class, sizeof listing.class, err) || !class_known(listing.class, err) ||
        !in_number(query, "limit", PAGE, LIST_MOST, &listing.limit, err) || !in_before(query, before, err))
        return false;
    JSON_AUTO *list = listing.page.list = json_array();
    if (!store_calls(query->ledger->store, query->workspace.id, before, list_one, &listing, err)) return false;
    *out = page_json(&listing.page, "calls");
    return true;
}

/* The call by its id, in a workspace where the caller has the message's right. */
static bool find_call(struct query *query, struct store_call *call, struct err *err)
{
    uint8_t id[ID_BYTES];
    bool found;
    if (!in_id(query, "id", id, err) || !store_call_get(query->ledger->store, id, 0, call, &found, err)) return false;
    if (!found) return err_set(err, ERR_NOT_FOUND, "there is no such call");
    if (!query_enter(query, call->workspace, err)) return false;
    return caller_covers(&query->caller, call->connector, call->action) ||
           err_set(err, ERR_NOT_FOUND, "there is no such call");
}

bool query_calls_get(struct query *query, json_t **out, struct err *err)
{
    struct store_call call, one;
    bool found;
    if (!find_call(query, &call, err)) return false;
    JSON_AUTO *attempts = json_array();
    size_t room = LIST_ROOM / 2;
    for (uint32_t attempt = 1; attempt <= call.ref.attempt; attempt++) {
        if (!store_call_get(query->ledger->store, call.ref.id, attempt, &one, &found, err)) return false;
        if (found && !list_add(attempts, attempt_json(&one), &room)) break;
    }
    *out = call_json(&call, query->workspace.name);
    return json_object_set(*out, "attempts", attempts) == 0;
}

/* ── acting ────────────────────────────────────────────────────────────────────────────────────────── */

static bool record_act(struct query *query, const char *act, const struct store_call *call, struct err *err)
{
    RECORD_AUTO record;
    query->call = &call->ref;
    record_init(&record);
    record_text(&record, "connector", call->connector);
    record_text(&record, "workspace", query->workspace.name);
    return record_reason(query, &record, err) && admin_record(query, act, &record, err);
}

/* A key that was forgotten may have come back, with another call: that one is not to be sent twice. */
static bool holds_key(struct query *query, const struct store_call *call, struct err *err)
{
    struct store_slot slot;
    bool found;
    if (!call->has_slot)
        return err_set(err, ERR_STATE, "this call had no Idempotency-Key, so nothing holds it back: call again");
    if (!store_slot_get(query->ledger->store, call->slot, &slot, &found, err)) return false;
    return (found && memcmp(slot.call, call->ref.id, ID_BYTES) == 0) ||
           err_set(err, ERR_STATE,
                   "this call's Idempotency-Key is forgotten or belongs to a later call: use a new key");
}

/* Releases the key for one more attempt; the same request under the same key then runs once. */
bool query_calls_retry(struct query *query, json_t **out, struct err *err)
{
    struct store_call call;
    if (!find_call(query, &call, err)) return false;
    if (!call.ended) return err_set(err, ERR_STATE, "the call is still running");
    if (!holds_key(query, &call, err)) return false;
    if (!record_act(query, "calls.retry", &call, err) || !store_slot_retry(query->ledger->store, &call, err))
        return false;
    *out = json_pack("{s:o, s:i, s:s}", "call_id", id_json(call.ref.id), "attempt", (int)call.ref.attempt + 1, "text",
                     "Send the same request with the same Idempotency-Key: it will run once more.");
    return true;
}

bool query_calls_cancel(struct query *query, json_t **out, struct err *err)
{
    struct store_call call;
    if (!find_call(query, &call, err)) return false;
    struct running *run = calls_find(&query->ledger->calls, &call.ref);
    if (!run || run->state != RUN_OPEN) return err_set(err, ERR_STATE, "the call is not running any more");
    if (!record_act(query, "calls.cancel", &call, err)) return false;
    orders_cancel(query->ledger, run, REASON_CANCELLED);
    *out = json_pack("{s:o, s:b}", "call_id", id_json(call.ref.id), "cancelled", 1);
    return true;
}
