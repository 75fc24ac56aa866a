/* SPDX-License-Identifier: Apache-2.0 */
/* Administration that happens elsewhere and is recorded here: plugins, reload, freeze. */
#include <string.h>

#include "base/auto_json.h"
#include "base/clock.h"
#include "query.h"

/* What the CLI did to plugins.d: {"connector", "act", "digest"?, "manifest_digest"?}. */
bool query_plugin_record(struct query *query, json_t **out, struct err *err)
{
    RECORD_AUTO record;
    char connector[NAME_BYTES], act[NAME_BYTES], digest[80];
    record_init(&record);
    if (!in_name(query, "connector", connector, true, err) || !in_name(query, "act", act, true, err) ||
        !in_text(query, "digest", digest, sizeof digest, err))
        return false;
    record_text(&record, "connector", connector);
    record_text(&record, "text", act);
    if (digest[0]) record_text(&record, "digest", digest);
    if (!admin_record(query, "plugin.record", &record, err)) return false;
    *out = json_pack("{s:b}", "recorded", 1);
    return true;
}

bool query_freeze_record(struct query *query, json_t **out, struct err *err)
{
    RECORD_AUTO record;
    bool on = json_is_true(json_object_get(query->in, "on")), now = json_is_true(json_object_get(query->in, "now"));
    record_init(&record);
    if (!json_is_boolean(json_object_get(query->in, "on")))
        return err_set(err, ERR_BAD_INPUT, "\"on\" must be true or false");
    record_text(&record, "text", now ? "now" : "");
    if (!admin_record(query, on ? "freeze" : "thaw", &record, err)) return false;
    *out = json_pack("{s:b}", "recorded", 1);
    return true;
}

/* What the CLI did with the master key's files, or took of all of them: {"act", "text"?}. */
bool query_key_record(struct query *query, json_t **out, struct err *err)
{
    static const char *const acts[][2] = {
        {"provider", "key.provider"}, {"recovery", "key.recovery"}, {"backup", "backup"}};
    RECORD_AUTO record;
    char act[NAME_BYTES], text[256];
    const char *name = NULL;
    record_init(&record);
    if (!in_name(query, "act", act, true, err) || !in_text(query, "text", text, sizeof text, err)) return false;
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        if (strcmp(acts[i][0], act) == 0) name = acts[i][1];
    if (!name) return err_set(err, ERR_BAD_INPUT, "\"act\" must be provider, recovery or backup");
    record_text(&record, "text", text);
    if (!admin_record(query, name, &record, err)) return false;
    *out = json_pack("{s:b}", "recorded", 1);
    return true;
}

static void reloaded(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    const struct ctl_reloaded *done = answer;
    struct err err = {0};
    bool ok = done && length == sizeof *done
                  ? status_check(&done->status, &err)
                  : err_set(&err, ERR_TIMEOUT, "the reload did not end in time: look at the daemon's log");
    JSON_AUTO *out = ok ? json_pack("{s:i}", "registry", (int)done->number) : NULL;
    query_answer(ledger, wait->line, wait->generation, wait->asked_seq, out, ok ? NULL : &err);
}

bool query_reload(struct query *query, json_t **out, struct err *err)
{
    RECORD_AUTO record;
    record_init(&record);
    if (!admin_record(query, "reload", &record, err)) return false;
    struct waiting how = query_waiting(query, reloaded, clock_now() + 60 * CLOCK_S);
    query->later = wait_ask(query->ledger, ROLE_PARENT, CTL_RELOAD, NULL, 0, &how, err);
    return query->later;
}
