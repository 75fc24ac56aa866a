/* SPDX-License-Identifier: Apache-2.0 */
/* Administration against the real process: tokens, credentials, workspaces, listings, the log's own queries. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "rig.h"

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static struct who token_of(struct rig *rig, json_t *in, char id[ID_TEXT])
{
    struct who who = {.kind = WHO_TOKEN};
    uint32_t kind;
    json_t *made = rig_query(rig, MSG_TOKEN_CREATE, in, &kind);
    assert_int_equal(kind, ERR_NONE);
    const char *token = text_of(made, "token");
    assert_memory_equal(token, "cst_", 4);
    assert_int_equal(strlen(token), 4 + 43);
    sha256(token, strlen(token), who.token);
    if (id) snprintf(id, ID_TEXT, "%s", text_of(made, "id"));
    json_decref(made);
    return who;
}

static uint32_t begin_as(struct rig *rig, const struct who *who, const char *action, const char *workspace)
{
    struct msg_begin ask = rig_ask(rig);
    ask.who = *who;
    strcpy(ask.action, action);
    strcpy(ask.workspace, workspace);
    return rig_begin(rig, &ask).status.kind;
}

/* ── tokens ────────────────────────────────────────────────────────────────────────────────────────── */

static void test_tokens(void **state)
{
    struct rig *rig = *state;
    char id[ID_TEXT];
    uint32_t kind;
    struct who robot = token_of(
        rig, json_pack("{s:s, s:[s], s:[s]}", "name", "robot", "connectors", "echo", "actions", "echo/say"), id);
    assert_int_equal(begin_as(rig, &robot, "say", "default"), ERR_NONE);
    assert_int_equal(begin_as(rig, &robot, "login", "default"), ERR_DENIED);
    assert_int_equal(begin_as(rig, &robot, "say", "other"), ERR_DENIED);

    struct who other = token_of(rig, json_pack("{s:s, s:[s]}", "name", "second", "connectors", "off"), NULL);
    assert_int_equal(begin_as(rig, &other, "say", "default"), ERR_DENIED);
    struct who viewer = token_of(rig, json_pack("{s:s, s:s}", "name", "third", "role", "viewer"), NULL);
    assert_int_equal(begin_as(rig, &viewer, "say", "default"), ERR_DENIED);

    json_t *list = rig_query(rig, MSG_TOKEN_LIST, json_object(), &kind);
    assert_int_equal(json_array_size(json_object_get(list, "tokens")), 3);
    char *text = json_dumps(list, 0);
    assert_null(strstr(text, "cst_"));
    free(text);
    json_decref(list);

    json_decref(rig_query(rig, MSG_TOKEN_REVOKE, json_pack("{s:s}", "id", id), &kind));
    assert_int_equal(kind, ERR_NONE);
    assert_int_equal(begin_as(rig, &robot, "say", "default"), ERR_NO_IDENTITY);
}

/* Killed between the record and its consequence, or with an older state.db; and with a log of before its index. */
static void test_revoked_in_the_log_alone(void **state)
{
    static const char *const indexes[] = {"SELECT 1", "DROP INDEX entry_admin"};
    struct rig *rig = *state;
    char id[ID_TEXT];
    uint32_t kind;
    struct who other = token_of(rig, json_pack("{s:s}", "name", "other"), NULL);
    for (size_t i = 0; i < sizeof indexes / sizeof *indexes; i++) {
        struct who robot = token_of(rig, json_pack("{s:s}", "name", "robot"), id);
        json_decref(rig_query(rig, MSG_TOKEN_REVOKE, json_pack("{s:s}", "id", id), &kind));
        assert_int_equal(kind, ERR_NONE);
        rig_kill(rig);
        rig_exec(rig, "state.db", "UPDATE token SET revoked = NULL");
        rig_exec(rig, "audit.db", indexes[i]);
        rig_start(rig, i == 0);
        assert_int_equal(begin_as(rig, &robot, "say", "default"), ERR_NO_IDENTITY);
        assert_int_equal(begin_as(rig, &other, "say", "default"), ERR_NONE);
    }
}

static void test_token_faults(void **state)
{
    struct rig *rig = *state;
    static const char *const wrong[] = {"{}",
                                        "{\"name\":7}",
                                        "{\"name\":\"UP\"}",
                                        "{\"name\":\"a\",\"role\":\"king\"}",
                                        "{\"name\":\"a\",\"expires_in_s\":0}",
                                        "{\"name\":\"a\",\"expires_in_s\":-1}",
                                        "{\"name\":\"a\",\"connectors\":\"echo\"}",
                                        "{\"name\":\"a\",\"connectors\":[\"a/b\"]}",
                                        "{\"name\":\"a\",\"actions\":[\"a/b/c\"]}",
                                        "[]"};
    uint32_t kind;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        json_decref(rig_query(rig, MSG_TOKEN_CREATE, json_loads(wrong[i], 0, NULL), &kind));
        if (kind != ERR_BAD_INPUT && kind != ERR_MALFORMED) fail_msg("%s: %u", wrong[i], kind);
    }
}

/* A token that is over, with the record of its making still there. */
static void test_token_expires(void **state)
{
    struct rig *rig = *state;
    struct who brief = token_of(rig, json_pack("{s:s, s:i}", "name", "brief", "expires_in_s", 1), NULL);
    assert_int_equal(begin_as(rig, &brief, "say", "default"), ERR_NONE);
    for (int i = 0; i < 400 && begin_as(rig, &brief, "say", "default") == ERR_NONE; i++) usleep(10000);
    assert_int_equal(begin_as(rig, &brief, "say", "default"), ERR_NO_IDENTITY);
}

static uint32_t asked_as(struct rig *rig, const struct who *who, unsigned type, json_t *in)
{
    uint32_t kind;
    json_decref(rig_query_as(rig, true, who, type, in, &kind));
    return kind;
}

/* A token for one connector administers that one's credentials, and makes no token without its own bounds. */
static void test_narrow_admin(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    rig_credential(rig, "main", "password", NULL);
    struct who narrow = token_of(
        rig, json_pack("{s:s, s:s, s:[s]}", "name", "narrow", "role", "admin", "connectors", "off"), NULL);
    struct who same = token_of(
        rig, json_pack("{s:s, s:s, s:[s]}", "name", "same", "role", "admin", "connectors", "echo"), NULL);
    assert_int_equal(asked_as(rig, &narrow, MSG_TOKEN_CREATE, json_pack("{s:s}", "name", "wide")), ERR_DENIED);
    assert_int_equal(asked_as(rig, &narrow, MSG_TOKEN_LIST, json_object()), ERR_DENIED);
    assert_int_equal(asked_as(rig, &narrow, MSG_RELOAD, json_object()), ERR_DENIED);
    assert_int_equal(asked_as(rig, &narrow, MSG_AUDIT_TAIL, json_object()), ERR_DENIED);
    assert_int_equal(asked_as(rig, &narrow, MSG_FREEZE_RECORD, json_pack("{s:b}", "on", 1)), ERR_DENIED);
    assert_int_equal(asked_as(rig, &narrow, MSG_CREDENTIAL_SHOW, json_pack("{s:s}", "name", "main")), ERR_NOT_FOUND);
    assert_int_equal(asked_as(rig, &narrow, MSG_CREDENTIAL_REMOVE, json_pack("{s:s}", "name", "main")), ERR_NOT_FOUND);
    assert_int_equal(asked_as(rig, &narrow, MSG_CREDENTIAL_SET,
                              json_pack("{s:s, s:s, s:s}", "name", "new", "connector", "echo", "box", "QUJD")),
                     ERR_DENIED);
    assert_int_equal(asked_as(rig, &narrow, MSG_LEASE_LIST, json_pack("{s:s}", "credential", "main")), ERR_NOT_FOUND);
    json_t *list = rig_query_as(rig, true, &narrow, MSG_CREDENTIAL_LIST, json_object(), &kind);
    assert_int_equal(json_array_size(json_object_get(list, "credentials")), 0);
    json_decref(list);
    list = rig_query_as(rig, true, &narrow, MSG_PLUGIN_LIST, json_object(), &kind);
    assert_int_equal(kind, ERR_NONE);
    assert_int_equal(json_array_size(json_object_get(list, "plugins")), 1);
    json_decref(list);
    assert_int_equal(asked_as(rig, &same, MSG_CREDENTIAL_SHOW, json_pack("{s:s}", "name", "main")), ERR_NONE);

    struct who wide = token_of(rig, json_pack("{s:s, s:s, s:i}", "name", "wide", "role", "admin", "expires_in_s", 900),
                               NULL);
    json_t *made = rig_query_as(rig, true, &wide, MSG_TOKEN_CREATE,
                                json_pack("{s:s, s:i}", "name", "heir", "expires_in_s", 86400), &kind);
    assert_int_equal(kind, ERR_NONE);
    json_t *tokens = rig_query(rig, MSG_TOKEN_LIST, json_object(), &kind), *one;
    const char *expires = "";
    size_t i;
    json_array_foreach(json_object_get(tokens, "tokens"), i, one) if (strcmp(text_of(one, "name"), "wide") == 0)
        expires = text_of(one, "expires");
    assert_string_equal(text_of(made, "expires"), expires);
    json_decref(tokens);
    json_decref(made);
}

/* A token for one action neither sees nor ends the calls of another, one by one or all together. */
static void test_narrow_operator(void **state)
{
    static const unsigned by_id[] = {MSG_CALLS_GET, MSG_CALLS_RETRY, MSG_CALLS_CANCEL};
    struct rig *rig = *state;
    uint32_t kind;
    char id[ID_TEXT];
    rig_credential(rig, "main", "password", NULL);
    struct who narrow = token_of(
        rig, json_pack("{s:s, s:s, s:[s]}", "name", "narrow", "role", "operator", "actions", "echo/say"), NULL);
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun own = rig_begin_ok(rig, &ask);
    strcpy(ask.action, "login");
    strcpy(ask.credential, "main");
    id_text(rig_begin_ok(rig, &ask).call.id, id);
    for (size_t i = 0; i < sizeof by_id / sizeof *by_id; i++)
        assert_int_equal(asked_as(rig, &narrow, by_id[i], json_pack("{s:s}", "id", id)), ERR_NOT_FOUND);
    assert_int_equal(asked_as(rig, &narrow, MSG_LEASE_REVOKE, json_pack("{s:s}", "call", id)), ERR_NOT_FOUND);
    assert_int_equal(asked_as(rig, &narrow, MSG_LEASE_REVOKE, json_pack("{s:s}", "connector", "echo")), ERR_DENIED);
    json_t *list = rig_query_as(rig, true, &narrow, MSG_CALLS_LIST, json_object(), &kind);
    assert_int_equal(json_array_size(json_object_get(list, "calls")), 1);
    json_decref(list);
    id_text(own.call.id, id);
    assert_int_equal(asked_as(rig, &narrow, MSG_CALLS_CANCEL, json_pack("{s:s}", "id", id)), ERR_NONE);
}

/* Administration asks for the right, also on the desk's line; and a front's number is nobody there. */
static void test_rights(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    struct who invoker = token_of(rig, json_pack("{s:s}", "name", "robot"), NULL);
    static const unsigned admin[] = {MSG_TOKEN_CREATE,  MSG_TOKEN_LIST,       MSG_CREDENTIAL_LIST,
                                     MSG_AUDIT_TAIL,    MSG_RELOAD,           MSG_FREEZE_RECORD,
                                     MSG_PLUGIN_RECORD, MSG_WORKSPACE_CREATE, MSG_AUDIT_VKEY,
                                     MSG_KEY_RECORD};
    for (size_t i = 0; i < sizeof admin / sizeof *admin; i++) {
        json_decref(rig_query_as(rig, true, &invoker, admin[i], json_object(), &kind));
        if (kind != ERR_DENIED) fail_msg("%s: %u", msg_row(admin[i])->name, kind);
    }
    struct who front = {.kind = WHO_PEER, .principal = rig->principal}, nobody = {0};
    json_decref(rig_query_as(rig, true, &front, MSG_TOKEN_LIST, json_object(), &kind));
    assert_int_equal(kind, ERR_NO_IDENTITY);
    json_decref(rig_query_as(rig, false, &invoker, MSG_CALLS_LIST, json_object(), &kind));
    assert_int_equal(kind, ERR_NONE);
    json_t *health = rig_query_as(rig, false, &nobody, MSG_HEALTH, json_object(), &kind);
    assert_int_equal(kind, ERR_NONE);
    assert_string_equal(text_of(health, "status"), "ok");
    assert_int_equal(json_object_size(health), 1);
    json_decref(health);
    struct who false_token = invoker; /* it would tell which of many are good */
    false_token.token[0] ^= 1;
    json_decref(rig_query_as(rig, false, &false_token, MSG_HEALTH, json_object(), &kind));
    assert_int_equal(kind, ERR_NO_IDENTITY);
}

/* ── credentials ───────────────────────────────────────────────────────────────────────────────────── */

static void test_credentials(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    rig_credential(rig, "main", "canary-4711", "mail.example.org");
    rig_credential(rig, "second", "other", NULL);
    rig_credential(rig, "main", "canary-4712", NULL);
    json_t *shown = rig_query(rig, MSG_CREDENTIAL_SHOW, json_pack("{s:s}", "name", "main"), &kind);
    assert_int_equal(json_integer_value(json_object_get(shown, "version")), 2);
    assert_string_equal(json_string_value(json_array_get(json_object_get(shown, "fields"), 0)), "password");
    char *text = json_dumps(shown, 0);
    assert_null(strstr(text, "canary"));
    free(text);
    json_decref(shown);

    json_t *list = rig_query(rig, MSG_CREDENTIAL_LIST, json_pack("{s:s}", "connector", "echo"), &kind);
    assert_int_equal(json_array_size(json_object_get(list, "credentials")), 2);
    json_decref(list);

    json_decref(rig_query(rig, MSG_CREDENTIAL_REMOVE, json_pack("{s:s}", "name", "main"), &kind));
    assert_int_equal(kind, ERR_NONE);
    rig_take(rig, rig->runner, MSG_REVOKE, NULL);
    json_decref(rig_query(rig, MSG_CREDENTIAL_SHOW, json_pack("{s:s}", "name", "main"), &kind));
    assert_int_equal(kind, ERR_NOT_FOUND);
    struct msg_begin ask = rig_ask(rig);
    strcpy(ask.credential, "main");
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_NOT_FOUND);
}

/* A call that waits for a worker is known to nobody but the ledger: it begins with nothing that is gone. */
static void test_removed_credential(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    rig_credential(rig, "main", "password", NULL);
    rig_credential(rig, "second", "password", NULL);
    struct msg_begin ask = rig_ask(rig);
    rig_begin_ok(rig, &ask);
    strcpy(ask.action, "login");
    strcpy(ask.credential, "second");
    rig_begin_ok(rig, &ask);
    strcpy(ask.credential, "main");
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    json_decref(rig_query(rig, MSG_CREDENTIAL_REMOVE, json_pack("{s:s}", "name", "main"), &kind));
    assert_int_equal(kind, ERR_NONE);
    rig_take(rig, rig->runner, MSG_REVOKE, NULL);
    const struct msg_cancel *cancel = rig_take(rig, rig->runner, MSG_CANCEL, NULL);
    assert_memory_equal(&cancel->call, &begun.call, sizeof begun.call);
    assert_int_equal(cancel->reason, REASON_REVOKED);
    const struct msg_order_cancel *order = rig_take(rig, rig->vault, MSG_ORDER_CANCEL, NULL);
    assert_memory_equal(&order->call, &begun.call, sizeof begun.call);
    rig_nothing(rig, rig->runner);
    rig_nothing(rig, rig->vault);
}

static void test_credential_faults(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *in;
        enum err_kind kind;
    } rows[] = {
        {"{\"name\":\"m\",\"connector\":\"nothing\",\"box\":\"QUJD\"}", ERR_NOT_FOUND},
        {"{\"name\":\"m\",\"connector\":\"echo\"}", ERR_BAD_INPUT},
        {"{\"name\":\"m\",\"connector\":\"echo\",\"box\":\"*\"}", ERR_BAD_INPUT},
        {"{\"name\":\"m\",\"connector\":\"echo\",\"box\":\"QUJD\",\"audience\":[\"b\",\"a\"]}", ERR_BAD_INPUT},
        {"{\"name\":\"m\",\"connector\":\"echo\",\"box\":\"QUJD\",\"audience\":[\"A b\"]}", ERR_BAD_INPUT},
        {"{\"name\":\"../m\",\"connector\":\"echo\",\"box\":\"QUJD\"}", ERR_BAD_INPUT},
        {"{\"name\":\"m\",\"connector\":\"echo\",\"box\":\"QUJD\",\"workspace\":\"nowhere\"}", ERR_DENIED},
    };
    uint32_t kind;
    rig_credential(rig, "good", "x", NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_decref(rig_query(rig, MSG_CREDENTIAL_SET, json_loads(rows[i].in, 0, NULL), &kind));
        if (kind != rows[i].kind) fail_msg("%s: %u", rows[i].in, kind);
    }
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry WHERE CAST(body AS TEXT) LIKE '%credential.set%'"), 1);
}

/* ── workspaces and calls ──────────────────────────────────────────────────────────────────────────── */

static void test_workspaces(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    json_decref(rig_query(rig, MSG_WORKSPACE_CREATE, json_pack("{s:s}", "name", "other"), &kind));
    assert_int_equal(kind, ERR_NONE);
    json_decref(rig_query(rig, MSG_WORKSPACE_CREATE, json_pack("{s:s}", "name", "other"), &kind));
    assert_int_equal(kind, ERR_EXISTS);
    json_t *list = rig_query(rig, MSG_WORKSPACE_LIST, json_object(), &kind);
    assert_int_equal(json_array_size(json_object_get(list, "workspaces")), 2);
    json_decref(list);

    /* The same key in two workspaces is two keys. */
    struct msg_begin ask = rig_ask(rig);
    strcpy(ask.key, "k");
    assert_int_equal(rig_begin_ok(rig, &ask).call.attempt, 1);
    strcpy(ask.workspace, "other");
    assert_int_equal(rig_begin_ok(rig, &ask).call.attempt, 1);
}

/* Every key that the pages hold, and how many pages they were. */
static size_t rows_of(struct rig *rig, unsigned type, const char *member, const char *cursor, unsigned *pages)
{
    size_t rows = 0;
    json_t *next = NULL;
    *pages = 0;
    do {
        uint32_t kind;
        json_t *page = rig_query(rig, type, next ? json_pack("{s:o}", cursor, next) : json_object(), &kind);
        assert_int_equal(kind, ERR_NONE);
        rows += json_array_size(json_object_get(page, member));
        next = json_incref(json_object_get(page, "next"));
        json_decref(page);
    } while (++*pages < 100 && next);
    return rows;
}

#define NUMBERS "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999) "

static void test_pages(void **state)
{
    struct rig *rig = *state;
    unsigned pages;
    rig_kill(rig);
    rig_exec(rig, "state.db",
             NUMBERS "INSERT INTO workspace(id, name, lookup, created)"
                     " SELECT randomblob(16), printf('w%03d', i), randomblob(32), 1 FROM n");
    rig_exec(rig, "state.db",
             NUMBERS "INSERT INTO token(id, hash, workspace, name, role, connectors, actions, created,"
                     " expires) SELECT randomblob(16), randomblob(32), id, 't', 1, '[]', '[]', 1, 2"
                     " FROM n, workspace WHERE name = 'default'");
    rig_exec(rig, "state.db",
             NUMBERS
             "INSERT INTO credential(id, workspace, name, connector, version, audience, fields, created,"
             " changed, kind, token_host, refresh_at, expires_at) SELECT randomblob(16), id,"
             " printf('c%03d', i), 'echo', 1, '', '[]', 1, 1, 0, '', 0, 0 FROM n, workspace WHERE name = 'default'");
    rig_start(rig, true);
    assert_int_equal(rows_of(rig, MSG_WORKSPACE_LIST, "workspaces", "after", &pages), 1001);
    assert_in_range(pages, 2, 20);
    assert_int_equal(rows_of(rig, MSG_TOKEN_LIST, "tokens", "before", &pages), 1000);
    assert_in_range(pages, 2, 20);
    assert_int_equal(rows_of(rig, MSG_CREDENTIAL_LIST, "credentials", "after", &pages), 1000);
    assert_in_range(pages, 2, 20);
}

static void test_call_queries(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    char id[ID_TEXT];
    struct msg_begin ask = rig_ask(rig);
    for (int i = 0; i < 3; i++) rig_call(rig, &ask, CLASS_OK, 5, true);
    struct msg_begun running = rig_begin_ok(rig, &ask);
    id_text(running.call.id, id);
    json_t *list = rig_query(rig, MSG_CALLS_LIST, json_pack("{s:i}", "limit", 2), &kind);
    assert_int_equal(json_array_size(json_object_get(list, "calls")), 2);
    assert_string_equal(text_of(json_array_get(json_object_get(list, "calls"), 0), "call_id"), id);
    json_t *rest = rig_query(rig, MSG_CALLS_LIST, json_pack("{s:s}", "before", text_of(list, "next")), &kind);
    assert_int_equal(json_array_size(json_object_get(rest, "calls")), 2);
    json_decref(list);
    json_decref(rest);
    list = rig_query(rig, MSG_CALLS_LIST, json_pack("{s:s}", "class", "ok"), &kind);
    assert_int_equal(json_array_size(json_object_get(list, "calls")), 3);
    json_decref(list);

    assert_null(rig_query(rig, MSG_CALLS_LIST, json_pack("{s:s}", "class", "okay"), &kind));
    assert_int_equal(kind, ERR_BAD_INPUT);
    json_t *one = rig_query(rig, MSG_CALLS_GET, json_pack("{s:s}", "id", id), &kind);
    assert_string_equal(text_of(one, "state"), "running");
    json_decref(one);
    struct who elsewhere = {.kind = WHO_TOKEN};
    json_decref(rig_query_as(rig, false, &elsewhere, MSG_CALLS_GET, json_pack("{s:s}", "id", id), &kind));
    assert_int_equal(kind, ERR_NO_IDENTITY);

    json_decref(rig_query(rig, MSG_CALLS_CANCEL, json_pack("{s:s, s:s}", "id", id, "reason", "too slow"), &kind));
    assert_int_equal(kind, ERR_NONE);
    rig_check(rig, 5, &running.call, "act", "calls.cancel");
    rig_check(rig, 5, &running.call, "text", "too slow");
    const struct msg_cancel *cancel = rig_take(rig, rig->runner, MSG_CANCEL, NULL);
    assert_int_equal(cancel->reason, REASON_CANCELLED);
}

/* A call of a workspace that is closed to the asker is not there. */
static void test_other_workspace(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    char id[ID_TEXT];
    json_decref(rig_query(rig, MSG_WORKSPACE_CREATE, json_pack("{s:s}", "name", "other"), &kind));
    struct msg_begin ask = rig_ask(rig);
    struct msg_ended ended = rig_call(rig, &ask, CLASS_OK, 5, true);
    id_text(ended.call.id, id);
    struct who stranger = token_of(
        rig, json_pack("{s:s, s:s, s:s}", "name", "x", "workspace", "other", "role", "admin"), NULL);
    json_decref(rig_query_as(rig, false, &stranger, MSG_CALLS_GET, json_pack("{s:s}", "id", id), &kind));
    assert_int_equal(kind, ERR_NOT_FOUND);
    json_decref(rig_query_as(rig, true, &stranger, MSG_CALLS_RETRY, json_pack("{s:s}", "id", id), &kind));
    assert_int_equal(kind, ERR_NOT_FOUND);
    json_decref(
        rig_query_as(rig, true, &stranger, MSG_CREDENTIAL_LIST, json_pack("{s:s}", "workspace", "default"), &kind));
    assert_int_equal(kind, ERR_DENIED);
    json_decref(rig_query_as(rig, true, &stranger, MSG_AUDIT_TAIL, json_object(), &kind));
    assert_int_equal(kind, ERR_DENIED);
}

/* ── the log ───────────────────────────────────────────────────────────────────────────────────────── */

static void test_checkpoint(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    struct msg_begin ask = rig_ask(rig);
    for (int i = 0; i < 5; i++) rig_call(rig, &ask, CLASS_OK, 5, true);
    json_t *signature = rig_query(rig, MSG_AUDIT_CHECKPOINT, json_object(), &kind);
    assert_int_equal(kind, ERR_NONE);
    assert_int_equal(json_integer_value(json_object_get(signature, "size")),
                     rig_number(rig, "SELECT max(idx) + 1 FROM entry"));
    const char *note = text_of(signature, "checkpoint");
    const char *blank = strstr(note, "\n\n");
    assert_non_null(blank);
    assert_non_null(strstr(note, "\u2014 caisson.local/"));
    uint8_t line[68];
    size_t length;
    const char *base64 = strrchr(note, ' ') + 1;
    assert_int_equal(sodium_base642bin(line, sizeof line, base64, strlen(base64), "\n", &length, NULL,
                                       sodium_base64_VARIANT_ORIGINAL),
                     0);
    assert_int_equal(crypto_sign_verify_detached(line + 4, (const unsigned char *)note, (size_t)(blank + 1 - note),
                                                 rig->sign_public),
                     0);
    json_decref(signature);
    json_t *vkey = rig_query(rig, MSG_AUDIT_VKEY, json_object(), &kind);
    assert_memory_equal(text_of(vkey, "vkey"), text_of(vkey, "origin"), strlen(text_of(vkey, "origin")));
    json_decref(vkey);
    rig_verify(rig);
}

static void test_tail(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    char who[32];
    struct msg_begin ask = rig_ask(rig);
    rig_call(rig, &ask, CLASS_OK, 5, true);
    json_t *tail = rig_query(rig, MSG_AUDIT_TAIL, json_pack("{s:i}", "limit", 2), &kind);
    const json_t *entries = json_object_get(tail, "entries");
    assert_int_equal(json_array_size(entries), 2);
    assert_string_equal(text_of(json_array_get(entries, 0), "kind"), "intent");
    snprintf(who, sizeof who, "uid:%u", geteuid());
    assert_string_equal(text_of(json_array_get(entries, 0), "actor"), who);
    assert_string_equal(text_of(json_array_get(entries, 1), "sent"), "yes");
    json_decref(tail);
    tail = rig_query(rig, MSG_AUDIT_TAIL, json_pack("{s:i, s:i}", "from", 0, "limit", 1), &kind);
    assert_string_equal(text_of(json_array_get(json_object_get(tail, "entries"), 0), "act"), "log.create");
    json_decref(tail);
}

static void test_reload(void **state)
{
    struct rig *rig = *state;
    struct who who = {.kind = WHO_PEER, .principal = rig->desk_principal};
    struct msg_query query = {.who = who};
    uint32_t seq;
    rig_send(rig, rig->desk, rig->desk_generation, MSG_RELOAD, 77, &query, sizeof query, NULL, 0);
    rig_take(rig, rig->control, CTL_RELOAD, &seq);
    struct ctl_reloaded done = {.number = 8};
    rig_send(rig, rig->control, 0, CTL_RELOADED, seq, &done, sizeof done, NULL, 0);
    const struct msg_json_answer *answer = rig_take(rig, rig->desk, MSG_JSON_ANSWER, &seq);
    assert_int_equal(seq, 77);
    assert_memory_equal(answer + 1, "{\"registry\":8}", 14);
}

/* The kernel names a peer for all of these: this process, or whoever made the line. None is a caller. */
static void test_only_the_door_says_who_calls(void **state)
{
    struct rig *rig = *state;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t length = sizeof name;
    int pair[2], packets[2], bound = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets), 0);
    snprintf(name.sun_path, sizeof name.sun_path, "%s/other", rig->path);
    assert_int_equal(bind(bound, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(getsockname(rig->door, (struct sockaddr *)&name, &length), 0);
    assert_int_equal(connect(bound, (struct sockaddr *)&name, length), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&name, length), 0);
    int wrong[] = {pair[0], packets[0], bound, client, rig->door, rig->front[1], rig->control, rig->data};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const struct msg_hello_answer *answer = rig_hello(rig, rig->front[0], rig->front_generation, wrong[i]);
        assert_int_equal(answer->status.kind, ERR_NO_IDENTITY);
        assert_int_equal(answer->principal, 0);
    }
    int accepted = accept4(rig->door, NULL, NULL, SOCK_CLOEXEC);
    const struct msg_hello_answer *answer = rig_hello(rig, rig->front[0], rig->front_generation, accepted);
    assert_int_equal(answer->status.kind, ERR_NONE);
    int all[] = {pair[0], pair[1], packets[0], packets[1], bound, client, accepted};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) close(all[i]);
}

#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_tokens),
        RIG_TEST(test_revoked_in_the_log_alone),
        RIG_TEST(test_token_faults),
        RIG_TEST(test_token_expires),
        RIG_TEST(test_narrow_admin),
        RIG_TEST(test_narrow_operator),
        RIG_TEST(test_rights),
        RIG_TEST(test_credentials),
        RIG_TEST(test_removed_credential),
        RIG_TEST(test_credential_faults),
        RIG_TEST(test_workspaces),
        RIG_TEST(test_pages),
        RIG_TEST(test_call_queries),
        RIG_TEST(test_other_workspace),
        RIG_TEST(test_checkpoint),
        RIG_TEST(test_tail),
        RIG_TEST(test_reload),
        RIG_TEST(test_only_the_door_says_who_calls),
    };
    ledger_path = count > 1 ? arguments[1] : "";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
