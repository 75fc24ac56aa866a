/* SPDX-License-Identifier: Apache-2.0 */
/* Queries about what there is: connectors, plugins, workspaces, health. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "admit.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "checkpoint.h"
#include "push.h"
#include "query.h"

/* ── connectors ────────────────────────────────────────────────────────────────────────────────────── */

static const char *state_name(enum entry_state state)
{
    static const char *const names[] = {"", "enabled", "disabled", "changed", "invalid"};
    return (unsigned)state < sizeof names / sizeof *names ? names[state] : "";
}

/* Is it one that callers of this workspace call, within what the caller's token is for? */
static bool shown(const struct entry *entry, const struct query *query)
{
    return entry->state == ENTRY_ENABLED && entry_open_to(entry, query->workspace.name) && !is_exchanger(entry) &&
           caller_covers(&query->caller, entry->name, NULL);
}

/* For viewers too, who call none. The front adds what its own registry says of them. */
bool query_connectors(struct query *query, json_t **out, struct err *err)
{
    const struct registry *registry = &query->ledger->registry;
    size_t room = LIST_ROOM;
    JSON_AUTO *list = json_array();
    unsigned left_out = 0;
    for (unsigned i = 0; i < registry->count; i++) {
        const struct entry *entry = registry_entry(registry, i);
        if (!entry || !shown(entry, query)) continue;
        json_t *row = json_pack("{s:s, s:s, s:s, s:s}", "name", entry->name, "plugin", entry->plugin, "version",
                                entry->version, "isolation", entry->isolation == ISOLATE_LEASE ? "lease" : "call");
        if (entry->capture) json_object_set_new(row, "capture", json_string(capture_name(entry->capture)));
        left_out += !list_add(list, row, &room);
    }
    *out = json_pack("{s:O}", "connectors", list);
    if (left_out) json_object_set_new(*out, "left_out", json_integer(left_out));
    return true;
}

/* NULL: no memory. */
static json_t *plugin_json(const struct entry *entry)
{
    static const char *const members[] = {"summary", "digest",     "so_digest", "manifest_digest",
                                          "egress",  "workspaces", "limits"};
    json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", entry->name, "plugin", entry->plugin, "version",
                            entry->version, "state", state_name(entry->state), "isolation",
                            entry->isolation == ISOLATE_LEASE ? "lease" : "call");
    if (entry->capture) json_object_set_new(row, "capture", json_string(capture_name(entry->capture)));
    if (entry->problem && *entry->problem) json_object_set_new(row, "problem", json_string(entry->problem));
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        json_t *value = json_object_get(entry->document, members[i]);
        if (value) json_object_set(row, members[i], value);
    }
    return row;
}

bool query_plugin_list(struct query *query, json_t **out, struct err *err)
{
    const struct registry *registry = &query->ledger->registry;
    size_t room = LIST_ROOM;
    JSON_AUTO *list = json_array();
    unsigned left_out = 0;
    for (unsigned i = 0; i < registry->count; i++) {
        const struct entry *entry = registry_entry(registry, i);
        if (!entry || !caller_covers(&query->caller, entry->name, NULL)) continue;
        left_out += !list_add(list, plugin_json(entry), &room);
    }
    *out = json_pack("{s:O, s:i}", "plugins", list, "registry", (int)registry->number);
    if (left_out) json_object_set_new(*out, "left_out", json_integer(left_out));
    return true;
}

/* ── workspaces ────────────────────────────────────────────────────────────────────────────────────── */

struct listing {
    struct query *query;
    struct list_page page;
};

static bool list_workspace(void *context, const struct store_workspace *workspace)
{
    struct listing *listing = context;
    unsigned rights = caller_rights(&listing->query->ledger->access, &listing->query->caller, workspace, clock_wall());
    json_t *row = rights ? json_pack("{s:s, s:o, s:o}", "name", workspace->name, "id", id_json(workspace->id),
                                     "created", time_json(workspace->created))
                         : NULL;
    return page_add(&listing->page, row, workspace->name);
}

bool query_workspace_list(struct query *query, json_t **out, struct err *err)
{
    char after[NAME_BYTES];
    if (!in_name(query, "after", after, false, err)) return false;
    JSON_AUTO *list = json_array();
    struct listing listing = {query, {.list = list, .room = LIST_ROOM}};
    if (!store_workspaces(query->ledger->store, after, list_workspace, &listing, err)) return false;
    *out = page_json(&listing.page, "workspaces");
    return true;
}

/* A workspace's lookup key is in here: wiped when it is done with. */
static struct store_workspace *new_workspace(void)
{
    struct store_workspace *workspace = calloc(1, sizeof *workspace);
    if (!workspace) return NULL;
    id_new(workspace->id);
    randombytes_buf(workspace->lookup, sizeof workspace->lookup);
    workspace->created = clock_wall();
    return workspace;
}

static void free_workspace(struct store_workspace *workspace)
{
    sodium_memzero(workspace, sizeof *workspace);
    free(workspace);
}

static void created(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    struct store_workspace *workspace = wait->context;
    struct err err = {0};
    bool ok = keys_keep(ledger, workspace->id, answer, length, &err);
    JSON_AUTO *out = json_pack("{s:s, s:o, s:o}", "name", workspace->name, "id", id_json(workspace->id), "created",
                               time_json(workspace->created));
    query_answer(ledger, wait->line, wait->generation, wait->asked_seq, ok ? out : NULL, ok ? NULL : &err);
    free_workspace(workspace);
}

static bool make(struct query *query, struct store_workspace *workspace, struct err *err)
{
    RECORD_AUTO record;
    record_init(&record);
    record_text(&record, "target", workspace->name);
    return admin_record(query, "workspace.create", &record, err) &&
           store_workspace_add(query->ledger->store, workspace, err);
}

static bool find_or_make(struct query *query, struct store_workspace *workspace, struct err *err)
{
    struct store_workspace known;
    struct store_keys keys;
    bool found, keyed;
    if (!in_name(query, "name", workspace->name, true, err) ||
        !store_workspace_named(query->ledger->store, workspace->name, &known, &found, err))
        return false;
    if (!found) return make(query, workspace, err);
    *workspace = known;
    if (!store_keys_get(query->ledger->store, workspace->id, &keys, &keyed, err)) return false;
    return !keyed || err_set(err, ERR_EXISTS, "the workspace %s is there already", workspace->name);
}

/* One whose keys could not be made the first time gets them when it is created again. */
bool query_workspace_create(struct query *query, json_t **out, struct err *err)
{
    struct waiting how = query_waiting(query, created, clock_now() + 5 * CLOCK_S);
    struct store_workspace *workspace = how.context = new_workspace();
    if (!workspace) return err_set(err, ERR_BUSY, "there is no memory");
    query->later = find_or_make(query, workspace, err) && keys_ask(query->ledger, workspace->id, &how, err);
    if (!query->later) free_workspace(workspace);
    return query->later;
}

/* ── health ────────────────────────────────────────────────────────────────────────────────────────── */

static json_t *outcome_counts(const struct ledger *ledger)
{
    json_t *object = json_object();
    for (unsigned class = CLASS_OK; class < CLASS_COUNT; class ++)
        json_object_set_new(object, class_name(class), json_integer((json_int_t)ledger->counters.by_class[class]));
    return object;
}

static void add_numbers(const struct ledger *ledger, json_t *out)
{
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"entries", ledger->journal.tree.size},
        {"checkpoint", ledger->sign.signed_size},
        {"running", ledger->calls.count},
        {"begun", ledger->counters.begun},
        {"refused", ledger->counters.refused},
        {"replayed", ledger->counters.replayed},
        {"commits", ledger->counters.batches},
        {"largest_commit", ledger->counters.batch_most},
        {"bad_frames", ledger->counters.bad + ledger->role->bad_frames},
        {"spilled", ledger->spilled},
        {"registry", ledger->registry.number},
        {"connections", ledger->principals.count},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        json_object_set_new(out, rows[i].name, json_integer((json_int_t)rows[i].value));
    json_object_set_new(out, "outcomes", outcome_counts(ledger));
}

static const char *held_reason(const struct ledger *ledger)
{
    return ledger->doubted ? "a witness of the log knows another log than this one: caisson audit epoch"
                           : "a new epoch of the log has begun: caisson audit epoch";
}

/* Strangers learn the state, and nothing else. */
bool query_health(struct query *query, json_t **out, struct err *err)
{
    struct ledger *ledger = query->ledger;
    struct err why = {0};
    bool open = ledger_open_for_business(ledger, &why) && checkpoint_admits(ledger, &why) && push_admits(ledger, &why);
    *out = json_pack("{s:s}", "status", !open ? "sealed" : ledger->role->frozen || ledger->held ? "frozen" : "ok");
    if (query->caller.kind == WHO_NOBODY) return true;
    if (!open) json_object_set_new(*out, "reason", json_string(why.text));
    if (open && ledger->held)
        json_object_set_new(*out, "reason", json_string(held_reason(ledger)));
    if (ledger->role->start.minimum_isolation) json_object_set_new(*out, "walls", json_string("lowered"));
    add_numbers(ledger, *out);
    if (ledger->push.count) json_object_set_new(*out, "sinks", push_json(ledger));
    return true;
}
