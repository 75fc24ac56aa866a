/* SPDX-License-Identifier: Apache-2.0 */
/* Rotations as the ledger drives them: the check value at the start, the walk, what stops it and what it leaves. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/err.h"
#include "rig.h"

enum { CREDENTIALS = 40 };

static json_t *status(struct rig *rig)
{
    uint32_t kind;
    json_t *out = rig_query(rig, MSG_KEY_STATUS, json_object(), &kind);
    assert_int_equal(kind, ERR_NONE);
    return out;
}

static json_t *member(json_t *object, const char *path)
{
    json_t *found = object;
    char name[64];
    for (const char *at = path; found && *at;) {
        size_t length = strcspn(at, "/");
        snprintf(name, sizeof name, "%.*s", (int)length, at);
        found = json_is_array(found) ? json_array_get(found, (size_t)atoi(name)) : json_object_get(found, name);
        at += length + (at[length] == '/');
    }
    return found;
}

/* Queries until the number at that path of the status is so; whoever waits answers the vault's questions meanwhile. */
static void until(struct rig *rig, const char *path, long long wanted)
{
    uint64_t end = clock_now() + PATIENCE_S * CLOCK_S;
    long long last = -1;
    while (clock_now() < end) {
        json_t *now = status(rig);
        json_t *value = member(now, path);
        last = value ? json_is_integer(value) ? json_integer_value(value) : 1 : 0;
        json_decref(now);
        if (last == wanted) return;
    }
    fail_msg("%s is %lld, not %lld", path, last, wanted);
}

static void checked(struct rig *rig)
{
    uint64_t end = clock_now() + PATIENCE_S * CLOCK_S;
    bool done = false;
    while (!done && clock_now() < end) {
        json_t *now = status(rig);
        done = json_is_string(json_object_get(now, "checked"));
        json_decref(now);
    }
    assert_true(done);
}

static int64_t vault(struct rig *rig, const char *sql)
{
    return rig_number_in(rig, "vault.db", sql);
}

static void expect_trouble(struct rig *rig, const char *first, const char *second)
{
    checked(rig);
    json_t *now = status(rig);
    const char *trouble = json_string_value(json_object_get(now, "trouble"));
    assert_non_null(trouble);
    if (!strstr(trouble, first) || !strstr(trouble, second)) fail_msg("%s", trouble);
    json_decref(now);
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun begun = rig_begin(rig, &ask);
    assert_int_equal(begun.status.kind, ERR_UNAVAILABLE);
    assert_non_null(strstr(begun.status.text, first));
}

static void start_with(struct rig *rig, uint8_t now, uint8_t next)
{
    rig_stop(rig);
    rig->now = rig_mark(now);
    rig->next = next ? rig_mark(next) : (struct key_mark){0};
    rig_start(rig, true);
}

static void no_trouble(struct rig *rig)
{
    checked(rig);
    json_t *now = status(rig);
    assert_null(json_object_get(now, "trouble"));
    json_decref(now);
    struct msg_begin ask = rig_ask(rig);
    rig_call(rig, &ask, CLASS_OK, 1, true);
}

static void rotate_master(struct rig *rig, bool replaced)
{
    struct msg_query query = {.who = {.kind = WHO_PEER, .principal = rig->desk_principal}};
    unsigned char whole[256];
    struct ctl_keys_given given = {0};
    uint32_t seq;
    int length = snprintf((char *)whole + sizeof query, sizeof whole - sizeof query, "{\"replaced\":%s}",
                          replaced ? "true" : "false");
    query.length = (uint32_t)length;
    memcpy(whole, &query, sizeof query);
    rig_send(rig, rig->desk, rig->desk_generation, MSG_KEY_MASTER, 77, whole, sizeof query + query.length, NULL, 0);
    rig_take(rig, rig->control, CTL_KEYS, &seq);
    rig_send(rig, rig->control, 0, CTL_KEYS_GIVEN, seq, &given, sizeof given, NULL, 0);
    const struct msg_json_answer *answer = rig_take(rig, rig->desk, MSG_JSON_ANSWER, NULL);
    assert_int_equal(answer->status.kind, ERR_NONE);
}

static void rotate(struct rig *rig, const char *what, const char *name, enum err_kind wanted)
{
    uint32_t kind;
    json_decref(rig_query(rig, MSG_KEY_ROTATE, json_pack("{s:s, s:s*}", "what", what, "name", name), &kind));
    assert_int_equal(kind, wanted);
}

static void many(struct rig *rig)
{
    char name[32];
    for (int i = 0; i < CREDENTIALS; i++) {
        snprintf(name, sizeof name, "c%d", i);
        rig_credential(rig, name, name, NULL);
    }
}

/* ── the check value ───────────────────────────────────────────────────────────────────────────────── */

static void first_key_is_noted(void **state)
{
    struct rig *rig = *state;
    no_trouble(rig);
    assert_int_equal(vault(rig, "SELECT count(*) FROM master_key WHERE version = 1 AND state = 1"), 1);
    start_with(rig, 0x77, 0);
    no_trouble(rig);
}

static void wrong_key_is_refused(void **state)
{
    struct rig *rig = *state;
    rig_credential(rig, "main", "x", NULL);
    no_trouble(rig);
    start_with(rig, 0x42, 0);
    expect_trouble(rig, "another key than the one", "put back the file keys/master.key");
    rotate(rig, "workspace", NULL, ERR_UNAVAILABLE);
    rotate(rig, "credential", "main", ERR_UNAVAILABLE);
    assert_int_equal(vault(rig, "SELECT count(*) FROM master_key"), 1);
    assert_int_equal(vault(rig, "SELECT count(*) FROM workspace_key"), 1);
    /* The same check with nothing written down: the keys themselves tell. */
    rig_stop(rig);
    rig_exec(rig, "vault.db", "DELETE FROM master_key");
    rig_start(rig, true);
    expect_trouble(rig, "another key than the one", "put back");
    assert_int_equal(vault(rig, "SELECT count(*) FROM master_key"), 0);
    start_with(rig, 0x77, 0);
    no_trouble(rig);
}

/* A name that is right with another check value is another key. */
static void check_value_counts(void **state)
{
    struct rig *rig = *state;
    no_trouble(rig);
    rig_stop(rig);
    rig->now.check[3] ^= 1;
    rig_start(rig, true);
    expect_trouble(rig, "another key than the one", "put back");
}

static void a_restarted_vault_is_asked_again(void **state)
{
    struct rig *rig = *state;
    no_trouble(rig);
    rig->now = rig_mark(0x42);
    rig_replace(rig, ROLE_VAULT);
    until(rig, "trouble", 1);
    rig->now = rig_mark(0x77);
    rig_replace(rig, ROLE_VAULT);
    until(rig, "trouble", 0);
    no_trouble(rig);
}

/* ── the master key ────────────────────────────────────────────────────────────────────────────────── */

static void master_goes_over(void **state)
{
    struct rig *rig = *state;
    no_trouble(rig);
    rotate_master(rig, false); /* the vault has none yet: nothing begins, and nothing breaks */
    rig->next = rig_mark(0x88);
    until(rig, "master/rotation/to", 2);
    uint64_t end = clock_now() + PATIENCE_S * CLOCK_S;
    while (vault(rig, "SELECT coalesce(max(step), 0) FROM rotation WHERE job = 'master'") != 2 && clock_now() < end)
        json_decref(status(rig));
    assert_int_equal(
        vault(rig, "SELECT count(*) FROM workspace_key WHERE substr(wrapped, 17, 8) = x'8888888888888888'"), 1);
    assert_int_equal(vault(rig, "SELECT count(*) FROM signer_key WHERE substr(wrapped, 17, 8) <> x'8888888888888888'"),
                     0); /* the key that signs the log goes over too */
    uint32_t kind; /* keys that are made meanwhile go under the new one */
    json_decref(rig_query(rig, MSG_WORKSPACE_CREATE, json_pack("{s:s}", "name", "late"), &kind));
    assert_int_equal(kind, ERR_NONE);
    assert_int_equal(
        vault(rig, "SELECT count(*) FROM workspace_key WHERE substr(wrapped, 17, 8) = x'8888888888888888'"), 2);
    no_trouble(rig);

    start_with(rig, 0x77, 0); /* the next file is gone */
    expect_trouble(rig, "keys/master.key.next is missing", "version 2");
    start_with(rig, 0x77, 0x99);
    expect_trouble(rig, "keys/master.key.next is missing or another", "put back");
    start_with(rig, 0x77, 0x88);
    no_trouble(rig);

    rotate_master(rig, true);
    rig->now = rig_mark(0x88);
    rig->next = (struct key_mark){0};
    until(rig, "master/version", 2);
    until(rig, "master/rotation", 0);
    assert_int_equal(vault(rig, "SELECT count(*) FROM rotation"), 0);
    rig_check(rig, 5, NULL, "act", "key.retire");
    no_trouble(rig);
    start_with(rig, 0x77, 0); /* the old file opens nothing any more */
    expect_trouble(rig, "version 1, which was retired", "version 2");
    start_with(rig, 0x88, 0);
    no_trouble(rig);
    rig_verify(rig);
}

/* The files were swapped before everything had gone over: only by hand. */
static void swapped_too_early(void **state)
{
    struct rig *rig = *state;
    no_trouble(rig);
    rig->unreadable = 1; /* so that something is left */
    rig->next = rig_mark(0x88);
    rotate_master(rig, false);
    until(rig, "master/rotation/to", 2);
    start_with(rig, 0x88, 0);
    expect_trouble(rig, " keys are still under version 1", "put that one back as keys/master.key");
    rig->unreadable = 0;
    start_with(rig, 0x77, 0x88);
    uint64_t end = clock_now() + PATIENCE_S * CLOCK_S;
    while (vault(rig, "SELECT coalesce(max(step), 0) FROM rotation") != 2 && clock_now() < end)
        json_decref(status(rig));
    start_with(rig, 0x88, 0); /* swapped while nothing ran: it is noticed at the start */
    until(rig, "master/version", 2);
    no_trouble(rig);
}

/* ── a workspace's key ─────────────────────────────────────────────────────────────────────────────── */

static void workspace_goes_over(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    strcpy(ask.credential, "c3");
    strcpy(ask.action, "login");
    many(rig);
    rotate(rig, "workspace", NULL, ERR_NONE);
    rotate(rig, "workspace", NULL, ERR_NONE);         /* the same one */
    struct msg_begun begun = rig_begin_ok(rig, &ask); /* it runs while keys go over */
    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 1, 1, true);
    rig_ended(rig);
    rig_credential(rig, "new", "x", NULL);
    assert_int_equal(vault(rig, "SELECT max(key_version) FROM credential_version"), 2);
    until(rig, "workspaces/0/rotation", 0);
    assert_int_equal(rig->rewrapped, CREDENTIALS + 1); /* and the secret of stored answers */
    assert_int_equal(vault(rig, "SELECT count(*) FROM credential_version WHERE key_version = 2"), CREDENTIALS + 1);
    assert_int_equal(vault(rig, "SELECT count(*) FROM workspace_key"), 1);
    assert_int_equal(vault(rig, "SELECT version FROM workspace_key"), 2);
    rig_check(rig, 5, NULL, "act", "key.retire");
    rig_verify(rig);
}

static void send_rotate(struct rig *rig, uint32_t seq)
{
    static const char text[] = "{\"what\":\"workspace\"}";
    unsigned char whole[sizeof(struct msg_query) + sizeof text];
    struct msg_query query = {.who = {.kind = WHO_PEER, .principal = rig->desk_principal}, .length = sizeof text - 1};
    memcpy(whole, &query, sizeof query);
    memcpy(whole + sizeof query, text, sizeof text);
    rig_send(rig, rig->desk, rig->desk_generation, MSG_KEY_ROTATE, seq, whole, sizeof query + query.length, NULL, 0);
}

/* Two ask while neither stands written down, and the second one's fresh key comes when the first has begun: it must not
 * take that one's place, or what is under the oldest key would be left there and the key destroyed. */
static void asked_for_twice_at_once(void **state)
{
    struct rig *rig = *state;
    struct msg_rewrap_answer wrapped = {.count = 1};
    struct msg_workspace_key_answer fresh = {0};
    uint32_t first, second;
    many(rig);
    no_trouble(rig);
    send_rotate(rig, 101);
    const struct msg_rewrap *ask = rig_take(rig, rig->vault, MSG_REWRAP, &first);
    assert_int_equal(ask->kind, REWRAP_ANSWER_SECRET);
    wrapped.keys[0] = ask->items[0].key;
    send_rotate(rig, 102);
    rig_take(rig, rig->vault, MSG_WORKSPACE_KEY, &second);
    rig_send(rig, rig->vault, rig->vault_generation, MSG_REWRAP_ANSWER, first, &wrapped, sizeof wrapped, NULL, 0);
    memset(fresh.workspace_key.bytes, 0x77, sizeof fresh.workspace_key.bytes);
    rig_send(rig, rig->vault, rig->vault_generation, MSG_WORKSPACE_KEY_ANSWER, second, &fresh, sizeof fresh, NULL, 0);
    for (int i = 0; i < 2; i++) {
        uint32_t seq;
        const struct msg_json_answer *answer = rig_take(rig, rig->desk, MSG_JSON_ANSWER, &seq);
        assert_int_equal(answer->status.kind, seq == 101 ? ERR_NONE : ERR_STATE);
    }
    until(rig, "workspaces/0/rotation", 0);
    assert_int_equal(vault(rig, "SELECT count(*) FROM credential_version v JOIN workspace_key k"
                                " ON k.workspace = v.workspace AND k.version = v.key_version AND k.state = 1"),
                     CREDENTIALS);
}

/* One that cannot be opened keeps the old key; the rest goes over; when it is back, so does it. */
static void unreadable_keeps_the_old_key(void **state)
{
    struct rig *rig = *state;
    many(rig);
    rotate(rig, "workspace", NULL, ERR_NONE);
    rig->unreadable = 1;
    until(rig, "workspaces/0/rotation/left", 3); /* one of each batch */
    until(rig, "workspaces/0/rotation/unreadable", 0);
    assert_int_equal(vault(rig, "SELECT count(*) FROM workspace_key WHERE state = 1"), 2);
    rig->unreadable = 0;
    rotate(rig, "workspace", NULL, ERR_NONE);
    until(rig, "workspaces/0/rotation", 0);
    assert_int_equal(vault(rig, "SELECT count(*) FROM workspace_key"), 1);
}

/* Somebody changes a key between reading and putting back: it is not overwritten, and goes over later. */
static void changed_meanwhile(void **state)
{
    struct rig *rig = *state;
    rig_credential(rig, "main", "x", NULL);
    rotate(rig, "workspace", NULL, ERR_NONE);
    rig_exec(rig, "vault.db", "UPDATE credential_version SET wrapped = zeroblob(128) WHERE key_version = 1");
    until(rig, "workspaces/0/rotation", 0);
    assert_int_equal(vault(rig, "SELECT count(*) FROM credential_version WHERE key_version = 2"), 1);
    assert_int_equal(vault(rig, "SELECT count(*) FROM workspace_key"), 1);
}

/* kill -9 in the middle: the next ledger goes on by itself. */
static void killed_in_the_walk(void **state)
{
    struct rig *rig = *state;
    many(rig);
    rotate(rig, "workspace", NULL, ERR_NONE);
    uint64_t end = clock_now() + PATIENCE_S * CLOCK_S;
    while (vault(rig, "SELECT done FROM rotation") == 0 && clock_now() < end) json_decref(status(rig));
    rig_kill(rig);
    assert_int_equal(vault(rig, "SELECT count(*) FROM rotation WHERE step = 1 AND done > 0"), 1);
    rig_start(rig, true);
    until(rig, "workspaces/0/rotation", 0);
    assert_int_equal(vault(rig, "SELECT count(*) FROM credential_version WHERE key_version = 2"), CREDENTIALS);
}

/* What the vault sealed under a version that was closed meanwhile is not kept: its key is about to be destroyed. */
static void nothing_goes_under_a_closed_key(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    rig_credential(rig, "main", "x", NULL);
    rig_exec(rig, "vault.db", "UPDATE workspace_key SET state = 2");
    json_decref(rig_query(rig, MSG_CREDENTIAL_SET,
                          json_pack("{s:s, s:s, s:s}", "name", "main", "connector", "echo", "box", "QUJD"), &kind));
    assert_int_equal(kind, ERR_STATE);
    rotate(rig, "credential", "main", ERR_STATE);
    assert_int_equal(vault(rig, "SELECT count(*) FROM credential_version"), 1);
    assert_int_equal(vault(rig, "SELECT count(*) FROM credential_field"), 1);
}

/* ── a credential's key ────────────────────────────────────────────────────────────────────────────── */

static void credential_renews(void **state)
{
    struct rig *rig = *state;
    rig_credential(rig, "main", "x", NULL);
    rig_credential(rig, "main", "y", NULL);
    rotate(rig, "credential", "none", ERR_NOT_FOUND);
    rotate(rig, "nothing", "main", ERR_BAD_INPUT);
    rotate(rig, "credential", "main", ERR_NONE);
    assert_int_equal(vault(rig, "SELECT count(*) FROM credential_version"), 1);
    assert_int_equal(vault(rig, "SELECT version FROM credential_version"), 3);
    assert_int_equal(vault(rig, "SELECT count(*) FROM credential_field"), 1);
    rig_check(rig, 5, NULL, "act", "credential.renew");
    struct msg_begin ask = rig_ask(rig);
    strcpy(ask.credential, "main");
    strcpy(ask.action, "login");
    struct msg_begun begun = rig_begin(rig, &ask);
    assert_int_equal(begun.status.kind, ERR_NONE);
    const struct msg_order *order = rig_take(rig, rig->vault, MSG_ORDER, NULL);
    assert_int_equal(order->version, 3);
    assert_int_equal(order->credential_key.bytes[0], 0xdd);
    assert_int_equal(order->bytes[0], 'y');
}

#define WITH_RIG(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(first_key_is_noted),
        WITH_RIG(wrong_key_is_refused),
        WITH_RIG(check_value_counts),
        WITH_RIG(a_restarted_vault_is_asked_again),
        WITH_RIG(master_goes_over),
        WITH_RIG(swapped_too_early),
        WITH_RIG(workspace_goes_over),
        WITH_RIG(unreadable_keeps_the_old_key),
        WITH_RIG(changed_meanwhile),
        WITH_RIG(killed_in_the_walk),
        WITH_RIG(nothing_goes_under_a_closed_key),
        WITH_RIG(asked_for_twice_at_once),
        WITH_RIG(credential_renews),
    };
    if (argc < 2) return 2;
    ledger_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
