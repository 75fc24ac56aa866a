/* SPDX-License-Identifier: Apache-2.0 */
/* Keys: which versions there are, what a rotation has left to do, and the administrator's word that begins one. */
#include <string.h>

#include "base/auto_json.h"
#include "base/clock.h"
#include "query.h"
#include "rotate.h"

/* ── status ────────────────────────────────────────────────────────────────────────────────────────── */

static json_t *name_json(const struct key_mark *mark)
{
    char text[2 * KEY_NAME + 1];
    hex_text(mark->name, KEY_NAME, text);
    return json_string(text);
}

/* Step, done, left and unreadable of a rotation; nothing where there is none. */
static bool add_rotation(struct ledger *ledger, const char *job, json_t *out, struct err *err)
{
    struct store_rotation rotation;
    uint8_t to[KEY_NAME];
    uint64_t left;
    bool found;
    if (!store_rotation_get(ledger->store, job, &rotation, &found, err)) return false;
    if (!found) return true;
    rotate_target(ledger, &rotation, to);
    if (!store_batch_left(ledger->store, &rotation, to, &left, err)) return false;
    JSON_AUTO *members = json_pack("{s:s, s:i, s:I, s:I, s:I, s:o}", "step", rotate_step_name(rotation.step), "to",
                                   (int)rotation.to, "done", (json_int_t)rotation.done, "left", (json_int_t)left,
                                   "unreadable", (json_int_t)rotation.unreadable, "since", time_json(rotation.started));
    json_object_set(out, "rotation", members);
    return true;
}

static json_t *master_json(const struct store_master *master)
{
    static const char *const states[] = {"", "in use", "next", "retired"};
    json_t *out = json_pack("{s:i, s:s, s:o, s:o}", "version", (int)master->version, "state",
                            master->state < 4 ? states[master->state] : "?", "key", name_json(&master->mark), "created",
                            time_json(master->created));
    if (master->retired) json_object_set_new(out, "retired", time_json(master->retired));
    return out;
}

static bool master_status(struct ledger *ledger, json_t **out, struct err *err)
{
    static struct store_master list[MASTERS_MOST];
    unsigned count;
    if (!store_masters(ledger->store, list, &count, err)) return false;
    JSON_AUTO *versions = json_array();
    int in_use = 0;
    for (unsigned i = 0; i < count; i++) {
        json_array_append_new(versions, master_json(&list[i]));
        if (list[i].state == MASTER_IN_USE) in_use = (int)list[i].version;
    }
    JSON_AUTO *master = json_pack("{s:i, s:O}", "version", in_use, "versions", versions);
    if (!add_rotation(ledger, ROTATE_MASTER, master, err)) return false;
    *out = json_incref(master);
    return true;
}

struct listing {
    struct query *query;
    struct list_page page;
    struct err *err;
    bool failed;
};

static bool add_use(void *context, const struct store_key_use *use)
{
    json_t *list = context;
    return json_array_append_new(list, json_pack("{s:i, s:s, s:I, s:o}", "version", (int)use->version, "state",
                                                 use->state == 1 ? "readable" : "closed", "credentials",
                                                 (json_int_t)use->credentials, "created", time_json(use->created))) ==
           0;
}

static bool list_workspace(void *context, const struct store_workspace *workspace)
{
    struct listing *listing = context;
    struct ledger *ledger = listing->query->ledger;
    char job[64];
    JSON_AUTO *keys = json_array();
    rotate_job_name(workspace->id, job);
    listing->failed = !store_key_uses(ledger->store, workspace->id, add_use, keys, listing->err);
    JSON_AUTO *row = json_pack("{s:s, s:O, s:O}", "name", workspace->name, "keys", keys, "version",
                               json_object_get(json_array_get(keys, 0), "version"));
    if (!row) row = json_pack("{s:s, s:O}", "name", workspace->name, "keys", keys); /* it has no key yet */
    if (listing->failed || !add_rotation(ledger, job, row, listing->err)) return listing->failed = true, false;
    return page_add(&listing->page, json_incref(row), workspace->name);
}

bool query_key_status(struct query *query, json_t **out, struct err *err)
{
    struct ledger *ledger = query->ledger;
    char after[NAME_BYTES];
    JSON_AUTO *list = json_array(), *master = NULL;
    struct listing listing = {.query = query, .page = {.list = list, .room = LIST_ROOM - 8192}, .err = err};
    if (!in_name(query, "after", after, false, err) || !master_status(ledger, &master, err) ||
        !store_workspaces(ledger->store, after, list_workspace, &listing, err) || listing.failed)
        return false;
    *out = page_json(&listing.page, "workspaces");
    json_object_set(*out, "master", master);
    json_object_set_new(*out, "checked", time_json(ledger->rotating.checked));
    if (ledger->rotating.trouble[0]) json_object_set_new(*out, "trouble", json_string(ledger->rotating.trouble));
    return true;
}

/* ── the master key ────────────────────────────────────────────────────────────────────────────────── */

static void given(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    const struct ctl_keys_given *done = answer;
    struct rotating *rotating = &ledger->rotating;
    struct err err = {0};
    bool ok = done && length == sizeof *done
                  ? status_check(&done->status, &err)
                  : err_set(&err, ERR_TIMEOUT, "the key files were not looked at in time: look at the daemon's log");
    JSON_AUTO *out = ok ? json_pack("{s:s}", "what", "master") : NULL;
    rotating->known = false;
    rotating->want = !ok ? WANT_NOTHING : wait->context ? WANT_REPLACED : WANT_NEXT;
    rotating->want_until = clock_now() + ROTATE_WANT_S * CLOCK_S;
    rotate_pause(ledger, 0);
    query_answer(ledger, wait->line, wait->generation, wait->asked_seq, out, ok ? NULL : &err);
}

/* {"replaced": true}: the next file has taken the place of the one before. Else: there is a next file now. */
bool query_key_master(struct query *query, json_t **out, struct err *err)
{
    RECORD_AUTO record;
    static bool yes;
    bool replaced = json_is_true(json_object_get(query->in, "replaced"));
    record_init(&record);
    record_text(&record, "target", "master");
    record_text(&record, "text", replaced ? "replaced" : "begin");
    query->workspace.name[0] = '\0'; /* it is about none */
    if (!admin_record(query, "key.rotate", &record, err)) return false;
    struct waiting how = query_waiting(query, given, clock_now() + 5 * CLOCK_S);
    how.context = replaced ? &yes : NULL;
    query->later = wait_ask(query->ledger, ROLE_PARENT, CTL_KEYS, NULL, 0, &how, err);
    return query->later;
}

/* ── a workspace's key, a credential's key ─────────────────────────────────────────────────────────── */

/* One that was begun before goes on. */
static bool rotate_workspace(struct query *query, json_t **out, struct err *err)
{
    RECORD_AUTO record;
    struct ledger *ledger = query->ledger;
    struct store_rotation rotation;
    char job[64];
    bool found;
    record_init(&record);
    rotate_job_name(query->workspace.id, job);
    if (!store_rotation_get(ledger->store, job, &rotation, &found, err)) return false;
    if (found) {
        ledger->rotating.work = true;
        ledger->rotating.stuck_until = 0;
        rotate_pause(ledger, 0);
        *out = json_pack("{s:s, s:s, s:i}", "what", "workspace", "workspace", query->workspace.name, "version",
                         (int)rotation.to);
        return true;
    }
    record_text(&record, "target", "workspace");
    record_text(&record, "text", "begin");
    record_text(&record, "workspace", query->workspace.name);
    if (!admin_record(query, "key.rotate", &record, err)) return false;
    struct waiting how = query_waiting(query, NULL, clock_now() + 5 * CLOCK_S);
    query->later = rotate_workspace_begin(ledger, &how, &query->workspace, err);
    return query->later;
}

bool query_key_rotate(struct query *query, json_t **out, struct err *err)
{
    char what[NAME_BYTES];
    if (!in_text(query, "what", what, sizeof what, err)) return false;
    if (strcmp(what, "workspace") == 0) return rotate_workspace(query, out, err);
    if (strcmp(what, "credential") == 0) return query_renew(query, out, err);
    return err_set(err, ERR_BAD_INPUT, "\"what\" must be workspace or credential");
}
