/* SPDX-License-Identifier: Apache-2.0 */
/* Queries and administration: reading, authorising, answering. They run on the one thread between two commits and are
 * bounded: no query reads more than a page. */
#include "query.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

static query_handler *handler_of(unsigned type)
{
    static const struct {
        uint16_t type;
        query_handler *run;
    } table[] = {
        {MSG_CALLS_LIST, query_calls_list},
        {MSG_CALLS_GET, query_calls_get},
        {MSG_CALLS_RETRY, query_calls_retry},
        {MSG_CALLS_CANCEL, query_calls_cancel},
        {MSG_CONNECTORS, query_connectors},
        {MSG_PLUGIN_LIST, query_plugin_list},
        {MSG_HEALTH, query_health},
        {MSG_TOKEN_CREATE, query_token_create},
        {MSG_TOKEN_LIST, query_token_list},
        {MSG_TOKEN_REVOKE, query_token_revoke},
        {MSG_CREDENTIAL_SET, query_credential_set},
        {MSG_CREDENTIAL_LIST, query_credential_list},
        {MSG_CREDENTIAL_SHOW, query_credential_show},
        {MSG_CREDENTIAL_REMOVE, query_credential_remove},
        {MSG_SUBMISSION_KEY, query_submission_key},
        {MSG_LEASE_LIST, query_lease_list},
        {MSG_LEASE_REVOKE, query_lease_revoke},
        {MSG_WORKSPACE_CREATE, query_workspace_create},
        {MSG_WORKSPACE_LIST, query_workspace_list},
        {MSG_KEY_STATUS, query_key_status},
        {MSG_KEY_ROTATE, query_key_rotate},
        {MSG_KEY_MASTER, query_key_master},
        {MSG_PLUGIN_RECORD, query_plugin_record},
        {MSG_RELOAD, query_reload},
        {MSG_FREEZE_RECORD, query_freeze_record},
        {MSG_KEY_RECORD, query_key_record},
        {MSG_AUDIT_TAIL, query_audit_tail},
        {MSG_AUDIT_CHECKPOINT, query_audit_checkpoint},
        {MSG_AUDIT_VKEY, query_audit_vkey},
        {MSG_AUDIT_ROLL, query_audit_roll},
        {MSG_AUDIT_EPOCH, query_audit_epoch},
        {MSG_AUDIT_PUSH, query_audit_push},
        {MSG_AUDIT_ERASE, query_audit_erase},
        {MSG_AUDIT_PERSON, query_audit_person},
        {MSG_AUDIT_PAYLOAD, query_audit_payload},
        {MSG_AUDIT_PRUNE, query_audit_prune},
        {MSG_AUDIT_HOLD_ADD, query_hold_add},
        {MSG_AUDIT_HOLD_LIST, query_hold_list},
        {MSG_AUDIT_HOLD_REMOVE, query_hold_remove},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].type == type) return table[i].run;
    return NULL;
}

/* ── members ───────────────────────────────────────────────────────────────────────────────────────── */

bool in_text(const struct query *query, const char *key, char *text, size_t size, struct err *err)
{
    const json_t *value = json_object_get(query->in, key);
    text[0] = '\0';
    if (!value || json_is_null(value)) return true;
    if (!json_is_string(value)) return err_set(err, ERR_BAD_INPUT, "\"%s\" must be a string", key);
    if (json_string_length(value) >= size) return err_set(err, ERR_BAD_INPUT, "\"%s\" is too long", key);
    memcpy(text, json_string_value(value), json_string_length(value) + 1);
    return true;
}

bool in_name(const struct query *query, const char *key, char name[NAME_BYTES], bool required, struct err *err)
{
    if (!in_text(query, key, name, NAME_BYTES, err)) return false;
    if (!name[0] && !required) return true;
    return name_valid(name) ||
           err_set(err, ERR_BAD_INPUT, "\"%s\" must be a name: a-z 0-9 - _ . , first a letter", key);
}

bool in_number(const struct query *query, const char *key, uint64_t usual, uint64_t most, uint64_t *out,
               struct err *err)
{
    const json_t *value = json_object_get(query->in, key);
    *out = usual;
    if (!value || json_is_null(value)) return true;
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    if (number < 0 || (uint64_t)number > most)
        return err_set(err, ERR_BAD_INPUT, "\"%s\" must be a number from 0 to %llu", key, (unsigned long long)most);
    *out = (uint64_t)number;
    return true;
}

bool in_id(const struct query *query, const char *key, uint8_t id[ID_BYTES], struct err *err)
{
    const char *text = json_string_value(json_object_get(query->in, key));
    return (text && strlen(text) == ID_TEXT - 1 && id_parse(text, id)) ||
           err_set(err, ERR_BAD_INPUT, "\"%s\" must be an id like 0190a1b2-…", key);
}

bool in_before(const struct query *query, uint8_t before[ID_BYTES], struct err *err)
{
    const json_t *value = json_object_get(query->in, "before");
    memset(before, 0xff, ID_BYTES);
    return !value || json_is_null(value) || in_id(query, "before", before, err);
}

json_t *time_json(uint64_t ns)
{
    char text[40];
    time_t seconds = (time_t)(ns / CLOCK_S);
    struct tm parts;
    if (!ns || !gmtime_r(&seconds, &parts)) return json_null();
    size_t used = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + used, sizeof text - used, ".%03uZ", (unsigned)(ns % CLOCK_S / CLOCK_MS));
    return json_string(text);
}

json_t *id_json(const uint8_t id[ID_BYTES])
{
    char text[ID_TEXT];
    id_text(id, text);
    return json_string(text);
}

bool list_add(json_t *list, json_t *value, size_t *room)
{
    size_t need = json_dumpb(value, NULL, 0, JSON_COMPACT) + 1;
    if (need > *room || json_array_size(list) >= LIST_MOST) {
        json_decref(value);
        return false;
    }
    *room -= need;
    return json_array_append_new(list, value) == 0;
}

bool page_add(struct list_page *page, json_t *row, const char *key)
{
    page->more = row && !list_add(page->list, row, &page->room);
    return !page->more && TEXT_COPY(page->last, key);
}

bool page_add_id(struct list_page *page, json_t *row, const uint8_t id[ID_BYTES])
{
    char text[ID_TEXT];
    id_text(id, text);
    return page_add(page, row, text);
}

json_t *page_json(const struct list_page *page, const char *name)
{
    json_t *out = json_pack("{s:O}", name, page->list);
    if (out && page->more && page->last[0]) json_object_set_new(out, "next", json_string(page->last));
    return out;
}

/* ── answering ─────────────────────────────────────────────────────────────────────────────────────── */

void query_answer(struct ledger *ledger, struct role_line *line, uint32_t generation, uint32_t seq, const json_t *value,
                  const struct err *err)
{
    struct msg_json_answer answer = {.status = status_ok()};
    FREE_AUTO char *text = value ? json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    size_t length = text ? strlen(text) : 0;
    struct err large = {0};
    if (line->generation != generation) return;
    if (length > WIRE_MAX - sizeof answer - sizeof(struct msg_head)) {
        err_set(&large, ERR_TOO_LARGE, "the answer is too large: ask for less");
        err = &large;
        length = 0;
    }
    if (err) status_set(&answer.status, err);
    answer.length = (uint32_t)length;
    role_send_tail(ledger->role, line, MSG_JSON_ANSWER, seq, &answer, sizeof answer, text, length);
    if (text) explicit_bzero(text, strlen(text));
}

struct waiting query_waiting(const struct query *query, wait_done *done, uint64_t until)
{
    return (struct waiting){
        .done = done, .line = query->line, .generation = query->generation, .asked_seq = query->seq, .until = until};
}

/* ── authorising ───────────────────────────────────────────────────────────────────────────────────── */

static bool nothing_there(const struct query *query, const char *workspace, struct err *err)
{
    return err_set(err, ERR_DENIED, "%s does not have this right in workspace %s", query->caller.name, workspace);
}

static bool find_workspace(struct query *query, bool system, struct err *err)
{
    char name[NAME_BYTES];
    bool found;
    if (!in_name(query, "workspace", name, false, err)) return false;
    if (system || !name[0]) TEXT_COPY(name, "default");
    if (!system && query->caller.kind == WHO_TOKEN && !json_object_get(query->in, "workspace"))
        return store_workspace_get(query->ledger->store, query->caller.token.workspace, &query->workspace, &found,
                                   err) &&
               (found || nothing_there(query, "default", err));
    if (!store_workspace_named(query->ledger->store, name, &query->workspace, &found, err)) return false;
    return found || nothing_there(query, name, err);
}

bool query_may(const struct query *query, unsigned right)
{
    return (caller_rights(&query->ledger->access, &query->caller, &query->workspace, clock_wall()) & right) == right;
}

/* What belongs to a workspace that is closed to this caller is not there for it. */
bool query_enter(struct query *query, const uint8_t workspace[ID_BYTES], struct err *err)
{
    bool found;
    if (!store_workspace_get(query->ledger->store, workspace, &query->workspace, &found, err)) return false;
    return (found && query_may(query, message_right(query->type).right)) ||
           err_set(err, ERR_NOT_FOUND, "there is nothing under this id");
}

/* What a token for some connectors may administer is their credentials; those are looked at one by one, and so are
 * calls. */
static bool about_all(unsigned type, unsigned right)
{
    switch (type) {
    case MSG_CREDENTIAL_SET:
    case MSG_CREDENTIAL_REMOVE: return false;
    case MSG_AUDIT_TAIL:
    case MSG_AUDIT_PERSON:
    case MSG_AUDIT_HOLD_LIST:
    case MSG_FREEZE_RECORD: return true;
    default: return right == RIGHT_ADMIN;
    }
}

static bool within_scope(const struct query *query, unsigned right, struct err *err)
{
    if (!caller_is_narrow(&query->caller) || !about_all(query->type, right)) return true;
    return err_set(err, ERR_DENIED, "this token is for some connectors or actions only, and this is about all of them");
}

static bool authorise(struct query *query, const struct who *who, struct err *err)
{
    struct message_right need = message_right(query->type);
    struct err nobody = {0};
    if (who->kind == WHO_SYSTEM) return err_set(err, ERR_DENIED, "the daemon itself asks nothing");
    bool known = caller_resolve(query->ledger, who, query->line->peer, &query->caller, &nobody);
    bool false_token = !known && who->kind == WHO_TOKEN && nobody.kind == ERR_NO_IDENTITY;
    /* It says no more to strangers than that it is there; a token that nobody issued is no stranger's. */
    if (query->type == MSG_HEALTH && !false_token) return true;
    if (!known) {
        *err = nobody;
        if (nobody.kind == ERR_NO_IDENTITY) refuse_unknown(query->ledger, ERR_NO_IDENTITY);
        return false;
    }
    if (!within_scope(query, need.right, err)) return false;
    if (need.where == IN_OBJECT) return true;
    if (!find_workspace(query, need.where == IN_SYSTEM, err)) return false;
    return query_may(query, need.right) || nothing_there(query, query->workspace.name, err);
}

static bool read_body(struct query *query, const struct role_message *message, const struct msg_query **head,
                      struct err *err)
{
    *head = message->body;
    size_t tail = message->length - sizeof **head;
    if ((*head)->length > tail) return err_set(err, ERR_MALFORMED, "the query is cut");
    if ((*head)->length == 0)
        query->in = json_object();
    else if (!json_read((const char *)(*head + 1), (*head)->length, WIRE_MAX, &query->in, err))
        return false;
    return json_is_object(query->in) || err_set(err, ERR_MALFORMED, "a query is a JSON object");
}

static bool run(struct query *query, const struct role_message *message, json_t **out, struct err *err)
{
    const struct msg_query *head;
    query_handler *handler = handler_of(query->type);
    if (!read_body(query, message, &head, err)) return false;
    if (!query->ledger->store && query->type != MSG_HEALTH) return ledger_open_for_business(query->ledger, err);
    return authorise(query, &head->who, err) && handler(query, out, err);
}

void on_query(struct role *role, struct role_line *line, const struct role_message *message)
{
    struct query query = {.ledger = ledger_of(role),
                          .line = line,
                          .generation = message->head.generation,
                          .seq = message->head.seq,
                          .type = message->head.type};
    struct err err = {0};
    JSON_AUTO *out = NULL;
    bool ok = run(&query, message, &out, &err);
    if (!ok && err.kind == ERR_AUDIT && !query.ledger->sealed && !query.ledger->short_of_room)
        ledger_seal(query.ledger, &err);
    if (!ok || !query.later)
        query_answer(query.ledger, line, query.generation, query.seq, ok ? out : NULL, ok ? NULL : &err);
    json_decref(query.in);
}

/* ── admin records ─────────────────────────────────────────────────────────────────────────────────── */

bool record_reason(const struct query *query, struct record *record, struct err *err)
{
    char reason[256];
    if (!in_text(query, "reason", reason, sizeof reason, err)) return false;
    if (reason[0]) record_text(record, "text", reason);
    return true;
}

bool admin_record(struct query *query, const char *act, struct record *record, struct err *err)
{
    RECORD_AUTO personal;
    uint64_t index;
    record_init(&personal);
    if (!ledger_open_for_business(query->ledger, err)) return false;
    record_text(&personal, "caller", query->caller.name);
    record_text(record, "act", act);
    if (query->call) record_id(record, "call", query->call->id);
    if (query->call) record_int(record, "attempt", query->call->attempt);
    struct journal_about about = {.kind = RECORD_ADMIN,
                                  .call = query->call,
                                  .personal = &personal,
                                  .workspace = query->workspace.name[0] ? query->workspace.id : NULL};
    return journal_add_now(&query->ledger->journal, &about, record, &index, err);
}
