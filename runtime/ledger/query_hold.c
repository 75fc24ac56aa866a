/* SPDX-License-Identifier: Apache-2.0 */
/* Legal holds: what they cover is neither pruned nor erased. Each is recorded before it takes effect. */
#include <string.h>

#include "base/auto_json.h"
#include "base/clock.h"
#include "query.h"

enum { REASON = sizeof((struct store_hold *)0)->reason };

static bool in_call(const struct query *query, const char *key, uint8_t id[ID_BYTES], int usual, struct err *err)
{
    memset(id, usual, ID_BYTES);
    const json_t *value = json_object_get(query->in, key);
    return !value || json_is_null(value) || in_id(query, key, id, err);
}

static bool record_hold(struct query *query, const char *act, const struct store_hold *hold, const char *reason,
                        struct err *err)
{
    RECORD_AUTO record;
    char id[ID_TEXT];
    record_init(&record);
    id_text(hold->id, id);
    record_text(&record, "target", id);
    record_text(&record, "text", reason);
    record_text(&record, "workspace", query->workspace.name);
    return admin_record(query, act, &record, err);
}

static json_t *hold_json(const struct store_hold *hold, const char *workspace)
{
    static const uint8_t first[ID_BYTES];
    json_t *row = json_pack("{s:o, s:s, s:s, s:o}", "id", id_json(hold->id), "workspace", workspace, "reason", hold->reason,
                            "created", time_json(hold->created));
    if (hold->entry != HOLD_BEFORE) json_object_set_new(row, "entry", json_integer((json_int_t)hold->entry));
    if (memcmp(hold->first, first, ID_BYTES) == 0) return row;
    json_object_set_new(row, "from", id_json(hold->first));
    json_object_set_new(row, "to", id_json(hold->last));
    return row;
}

/* Both ends of a range, or neither: the whole workspace. */
static bool read_range(const struct query *query, struct store_hold *hold, struct err *err)
{
    bool from = json_is_string(json_object_get(query->in, "from")),
         to = json_is_string(json_object_get(query->in, "to"));
    if (!in_call(query, "from", hold->first, 0x00, err) || !in_call(query, "to", hold->last, 0xff, err)) return false;
    if (from != to) return err_set(err, ERR_BAD_INPUT, "a range of calls has \"from\" and \"to\"");
    return memcmp(hold->first, hold->last, ID_BYTES) <= 0 ||
           err_set(err, ERR_BAD_INPUT, "\"from\" is a later call than \"to\"");
}

bool query_hold_add(struct query *query, json_t **out, struct err *err)
{
    struct store_hold hold = {.created = clock_wall()};
    struct ledger *ledger = query->ledger;
    char reason[REASON];
    if (!in_text(query, "reason", reason, sizeof reason, err) || !read_range(query, &hold, err)) return false;
    if (!reason[0]) return err_set(err, ERR_BAD_INPUT, "\"reason\" must say who wants it kept and why");
    if (ledger->pruning || ledger->erasing) /* they looked for holds when they were ordered, and do so no more */
        return err_set(err, ERR_BUSY,
                       "something is being pruned or erased right now: ask again when that is over, "
                       "and look whether what is to be kept is still there");
    id_new(hold.id);
    memcpy(hold.workspace, query->workspace.id, ID_BYTES);
    memcpy(hold.reason, reason, sizeof hold.reason);
    hold.entry = journal_size(&ledger->journal);
    if (!record_hold(query, "hold.add", &hold, reason, err) || !store_hold_add(ledger->store, &hold, err)) return false;
    return (*out = hold_json(&hold, query->workspace.name)) != NULL;
}

struct listing {
    struct query *query;
    json_t *list;
    size_t room;
    unsigned left_out;
};

static bool list_hold(void *context, const struct store_hold *hold)
{
    struct listing *listing = context;
    if (memcmp(hold->workspace, listing->query->workspace.id, ID_BYTES) != 0) return true;
    if (!list_add(listing->list, hold_json(hold, listing->query->workspace.name), &listing->room)) listing->left_out++;
    return true;
}

bool query_hold_list(struct query *query, json_t **out, struct err *err)
{
    JSON_AUTO *list = json_array();
    struct listing listing = {query, list, LIST_ROOM, 0};
    if (!store_holds(query->ledger->store, list_hold, &listing, err)) return false;
    *out = json_pack("{s:O}", "holds", list);
    if (listing.left_out) json_object_set_new(*out, "left_out", json_integer(listing.left_out));
    return *out != NULL;
}

bool query_hold_remove(struct query *query, json_t **out, struct err *err)
{
    struct store_hold hold;
    uint8_t id[ID_BYTES];
    char reason[REASON];
    bool found;
    if (!in_id(query, "id", id, err) || !in_text(query, "reason", reason, sizeof reason, err) ||
        !store_hold_get(query->ledger->store, id, &hold, &found, err))
        return false;
    if (!found) return err_set(err, ERR_NOT_FOUND, "there is no such hold");
    if (!query_enter(query, hold.workspace, err) || !record_hold(query, "hold.remove", &hold, reason, err) ||
        !store_hold_remove(query->ledger->store, id, err))
        return false;
    return (*out = json_pack("{s:o, s:b}", "id", id_json(id), "removed", 1)) != NULL;
}
