/* SPDX-License-Identifier: Apache-2.0 */
/* Begin against the real process: who may, what is let loose and when, what a key means, what is recorded. */
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "rig.h"

/* ── the ordinary way ──────────────────────────────────────────────────────────────────────────────── */

static void test_one_call(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    assert_int_equal(begun.call.attempt, 1);
    assert_int_equal(begun.action, 0);
    assert_int_equal(begun.workspace_key[0], 0x77);

    json_t *intent = rig_entry(rig, 1, &begun.call);
    assert_string_equal(rig_text(intent, "connector"), "echo");
    assert_string_equal(rig_text(intent, "workspace"), "default");
    assert_int_equal(strlen(rig_text(intent, "input")), 64);
    assert_int_equal(strlen(rig_text(intent, "personal")), 64);
    json_decref(intent);

    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 1, 500, true);
    struct msg_ended ended = rig_ended(rig);
    assert_int_equal(ended.status.kind, ERR_NONE);
    assert_int_equal(ended.class, CLASS_OK);
    assert_int_equal(ended.sent, SENT_YES);
    json_t *outcome = rig_entry(rig, 2, &begun.call);
    assert_string_equal(rig_text(outcome, "sent"), "yes");
    assert_int_equal(json_integer_value(json_object_get(outcome, "intent")), (json_int_t)begun.intent_index);
    assert_int_equal(json_integer_value(json_object_get(outcome, "bytes_up")), 500);
    json_decref(outcome);

    /* The same END again is answered the same, and written no second time. */
    rig_send_end(rig, &end, NULL);
    struct msg_ended again = rig_ended(rig);
    assert_int_equal(again.status.kind, ERR_NONE);
    assert_int_equal(again.outcome_index, ended.outcome_index);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 2"), 1);
}

/* The order carries what the credential's version holds, and only the fields that the action declares. */
static void test_order(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    rig_credential(rig, "main", "s3cret-1", "mail.example.org");
    strcpy(ask.action, "login");
    strcpy(ask.credential, "main");
    struct msg_begun begun = rig_begin(rig, &ask);
    assert_int_equal(begun.status.kind, ERR_NONE);
    struct msg_order order;
    memcpy(&order, rig_take(rig, rig->vault, MSG_ORDER, NULL), sizeof order);
    assert_int_equal(order.version, 1);
    assert_int_equal(order.field_count, 1);
    assert_string_equal(order.fields[0].name, "password");
    assert_memory_equal(order.bytes + order.fields[0].offset, "s3cret-1", 8);
    assert_int_equal(order.workspace_key.bytes[0], 0x77);
    assert_int_equal(order.credential_key.bytes[0], 0xcc);
    assert_int_equal(order.audience_digest[0], 0xad);
    const struct msg_gate_open *gate = rig_take(rig, rig->broker, MSG_GATE_OPEN, NULL);
    assert_string_equal(gate->audience, "mail.example.org");
    const struct msg_start *start = rig_take(rig, rig->runner, MSG_START, NULL);
    assert_int_equal(start->credential_version, 1);
    assert_memory_equal(start->credential, order.credential, ID_BYTES);

    rig_credential(rig, "main", "s3cret-2", NULL);
    begun = rig_begin(rig, &ask);
    memcpy(&order, rig_take(rig, rig->vault, MSG_ORDER, NULL), sizeof order);
    assert_int_equal(order.version, 2);
    assert_memory_equal(order.bytes + order.fields[0].offset, "s3cret-2", 8);
}

/* ── refusals ──────────────────────────────────────────────────────────────────────────────────────── */

struct refusal {
    const char *name;
    void (*change)(struct rig *rig, struct msg_begin *ask);
    enum err_kind kind;
    bool recorded;
};

static void no_change(struct rig *rig, struct msg_begin *ask)
{
    ask->who.kind = WHO_NOBODY;
}
static void other_principal(struct rig *rig, struct msg_begin *ask)
{
    ask->who.principal += 1 << 11;
}
static void desk_principal(struct rig *rig, struct msg_begin *ask)
{
    ask->who.principal = rig->desk_principal;
}
static void unknown_token(struct rig *rig, struct msg_begin *ask)
{
    ask->who.kind = WHO_TOKEN;
}
static void no_workspace(struct rig *rig, struct msg_begin *ask)
{
    strcpy(ask->workspace, "nowhere");
}
static void no_connector(struct rig *rig, struct msg_begin *ask)
{
    strcpy(ask->connector, "nothing");
}
static void no_action(struct rig *rig, struct msg_begin *ask)
{
    strcpy(ask->action, "nothing");
}
static void disabled(struct rig *rig, struct msg_begin *ask)
{
    strcpy(ask->connector, "off");
}
static void no_credential(struct rig *rig, struct msg_begin *ask)
{
    strcpy(ask->action, "login");
}
static void unknown_credential(struct rig *rig, struct msg_begin *ask)
{
    strcpy(ask->credential, "nothing");
}
static void not_a_name(struct rig *rig, struct msg_begin *ask)
{
    memset(ask->connector, 'x', sizeof ask->connector);
}
static void control_in_key(struct rig *rig, struct msg_begin *ask)
{
    strcpy(ask->key, "a\nb");
}
static void late(struct rig *rig, struct msg_begin *ask)
{
    ask->deadline = clock_now() - 1;
}
static void refused_by_front(struct rig *rig, struct msg_begin *ask)
{
    ask->refusal = ERR_BAD_INPUT;
}

static void refused_as_if_sealed(struct rig *rig, struct msg_begin *ask)
{
    ask->refusal = ERR_AUDIT; /* the ledger's own word for a log that it cannot write */
}

static void test_refusals(void **state)
{
    static const struct refusal rows[] = {
        {"nobody", no_change, ERR_NO_IDENTITY, false},
        {"a number that was never given", other_principal, ERR_NO_IDENTITY, false},
        {"the desk's number on the front's line", desk_principal, ERR_NO_IDENTITY, false},
        {"unknown token", unknown_token, ERR_NO_IDENTITY, false},
        {"no such workspace", no_workspace, ERR_DENIED, true},
        {"no such connector", no_connector, ERR_NOT_FOUND, true},
        {"no such action", no_action, ERR_NOT_FOUND, true},
        {"disabled", disabled, ERR_STATE, true},
        {"credential needed", no_credential, ERR_BAD_INPUT, true},
        {"no such credential", unknown_credential, ERR_NOT_FOUND, true},
        {"not a name", not_a_name, ERR_MALFORMED, false},
        {"control character in the key", control_in_key, ERR_MALFORMED, false},
        {"deadline over", late, ERR_TIMEOUT, true},
        {"refused by the front", refused_by_front, ERR_BAD_INPUT, true},
        {"refused by the front in the ledger's name", refused_as_if_sealed, ERR_INTERNAL, true},
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct msg_begin ask = rig_ask(rig);
        int64_t before = rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 3");
        rows[i].change(rig, &ask);
        struct msg_begun begun = rig_begin(rig, &ask);
        if (begun.status.kind != rows[i].kind)
            fail_msg("%s: %s (%s)", rows[i].name, err_row((enum err_kind)begun.status.kind)->slug, begun.status.text);
        int64_t more = rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 3") - before;
        if (more != rows[i].recorded) fail_msg("%s: %d records", rows[i].name, (int)more);
    }
    rig_nothing(rig, rig->broker);
    rig_nothing(rig, rig->runner);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM call"), 0);
}

/* Every user of the host may come in by the local door: what is refused to one of them does not fill the log. */
static void test_flood(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    strcpy(ask.workspace, "nowhere");
    for (int i = 0; i < 400; i++) assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_DENIED);
    int64_t records = rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 3");
    assert_in_range(records, 100, 200);
    ask = rig_ask(rig);
    assert_int_equal(rig_begin_ok(rig, &ask).call.attempt, 1);
    rig_stop(rig);
    json_t *counted = rig_entry(rig, 3, NULL);
    assert_int_equal(json_integer_value(json_object_get(counted, "count")), 400 - records);
    json_decref(counted);
}

/* A registry number that is not in force: the front asks again, and nothing is recorded. */
static void test_stale(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_head head = {.type = MSG_BEGIN, .generation = rig->front_generation, .registry = 6, .seq = 99};
    struct iovec pieces[2] = {{&head, sizeof head}, {&ask, sizeof ask}};
    int64_t before = rig_number(rig, "SELECT count(*) FROM entry");
    assert_int_equal(wire_send(rig->front[0], pieces, 2, NULL, 0), 0);
    const struct msg_begun *begun = rig_take(rig, rig->front[0], MSG_BEGUN, NULL);
    assert_int_equal(begun->status.kind, ERR_STALE);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry"), before);
}

static void test_frozen(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    struct ctl_freeze freeze = {.on = 1, .now = 1};
    rig_send(rig, rig->control, 0, CTL_FREEZE, 0, &freeze, sizeof freeze, NULL, 0);
    const struct msg_cancel *cancel = rig_take(rig, rig->runner, MSG_CANCEL, NULL);
    assert_memory_equal(&cancel->call, &begun.call, sizeof begun.call);
    rig_take(rig, rig->vault, MSG_ORDER_CANCEL, NULL);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_FROZEN);
    rig_check(rig, 5, NULL, "act", "freeze");
    freeze = (struct ctl_freeze){0};
    rig_send(rig, rig->control, 0, CTL_FREEZE, 0, &freeze, sizeof freeze, NULL, 0);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_NONE);
}

static int64_t recorded(struct rig *rig, const char *act)
{
    char sql[160];
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM entry WHERE kind = 5 AND CAST(body AS TEXT) LIKE '%%\"act\":\"%s\"%%'", act);
    return rig_number(rig, sql);
}

/* Frozen while the log could not be written, or no ledger was there: recorded at the next start, once. */
static void test_frozen_before_the_start(void **state)
{
    struct rig *rig = *state;
    static const struct {
        bool frozen;
        unsigned freezes, thaws;
    } starts[] = {{false, 0, 0}, {true, 1, 0}, {true, 1, 0}, {false, 1, 1}, {false, 1, 1}, {true, 2, 1}};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        rig_kill(rig);
        rig->frozen = starts[i].frozen;
        rig_start(rig, true);
        struct msg_begin ask = rig_ask(rig);
        assert_int_equal(rig_begin(rig, &ask).status.kind, starts[i].frozen ? ERR_FROZEN : ERR_NONE);
        assert_int_equal(recorded(rig, "freeze"), starts[i].freezes);
        assert_int_equal(recorded(rig, "thaw"), starts[i].thaws);
    }
}

/* The number is void when the connection hangs up. */
static void test_hang_up(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_NONE);
    close(rig->peers[0]);
    rig->peers[0] = -1;
    for (int i = 0; i < 200 && rig_begin(rig, &ask).status.kind == ERR_NONE; i++) usleep(1000);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_NO_IDENTITY);
}

/* A front that shows one connection again and again runs out of numbers before the desk does. */
static void test_desk_has_room(void **state)
{
    struct rig *rig = *state;
    struct sockaddr_un address;
    socklen_t length = sizeof address;
    assert_int_equal(getsockname(rig->door, (struct sockaddr *)&address, &length), 0);
    FD_AUTO caller = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(caller, (struct sockaddr *)&address, length), 0);
    FD_AUTO accepted = accept4(rig->door, NULL, NULL, SOCK_CLOEXEC);
    uint32_t kind = ERR_NONE;
    for (int i = 0; i < 4096 && kind == ERR_NONE; i++)
        kind = rig_hello(rig, rig->front[0], rig->front_generation, accepted)->status.kind;
    assert_int_equal(kind, ERR_BUSY);
    assert_int_equal(rig_hello(rig, rig->desk, rig->desk_generation, accepted)->status.kind, ERR_NONE);
}

/* ── idempotency ───────────────────────────────────────────────────────────────────────────────────── */

static void test_key_replay(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_keyed(rig, "order-1"), other;
    struct msg_begun begun = rig_begin_ok(rig, &ask), second;
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_CONFLICT);
    other = ask;
    other.input_hash[0] ^= 1;
    assert_int_equal(rig_begin(rig, &other).status.kind, ERR_KEY_REUSED);

    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    end.answer_length = 6;
    memset(end.sealed_key, 0x42, sizeof end.sealed_key);
    rig_send_end(rig, &end, "answer");
    rig_gate(rig, &begun.call, 1, 10, true);
    assert_int_equal(rig_ended(rig).sent, SENT_YES);

    second = rig_begin(rig, &ask);
    assert_int_equal(second.status.kind, ERR_NONE);
    assert_int_equal(second.replay, 1);
    assert_memory_equal(&second.call, &begun.call, sizeof begun.call);
    assert_int_equal(second.class, CLASS_OK);
    assert_int_equal(second.sent, SENT_YES);
    assert_int_equal(second.answer_length, 6);
    assert_int_equal(second.key[0], 0x42);
    const unsigned char *tail = rig->frame.bytes + sizeof(struct msg_head) + sizeof second;
    assert_memory_equal(tail, "answer", 6);
    rig_check(rig, 12, NULL, "kind", "opened");
    assert_int_equal(rig_begin(rig, &other).status.kind, ERR_KEY_REUSED);
    rig_nothing(rig, rig->runner);
    rig_verify(rig);
}

/* What was not sent frees the key: the next attempt is the same call's. */
static void test_key_again(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_keyed(rig, "order-2");
    struct msg_ended first = rig_call(rig, &ask, CLASS_RETRYABLE, 0, false);
    assert_int_equal(first.sent, SENT_NO);
    struct msg_begun second = rig_begin_ok(rig, &ask);
    assert_int_equal(second.call.attempt, 2);
    assert_memory_equal(second.call.id, first.call.id, ID_BYTES);
    assert_int_equal(second.replay, 0);
    /* It is remembered as long from here on: this attempt is the one that may be sent. */
    assert_int_equal(rig_number(rig, "SELECT i.expires - c.begun FROM idempotency i JOIN call c ON c.id = i.call"
                                     " WHERE c.attempt = 2"),
                     INT64_C(720) * 3600 * (int64_t)CLOCK_S);
}

static void test_key_uncertain(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_keyed(rig, "order-3");
    char id[ID_TEXT];
    uint32_t kind;
    struct msg_ended first = rig_call(rig, &ask, CLASS_RETRYABLE, 100, true);
    assert_int_equal(first.sent, SENT_MAYBE);
    struct msg_begun second = rig_begin(rig, &ask);
    assert_int_equal(second.status.kind, ERR_UNCERTAIN);
    assert_memory_equal(&second.call, &first.call, sizeof first.call);
    assert_int_equal(second.sent, SENT_MAYBE);

    /* An operator's word releases it for one more attempt, and for no second one. */
    id_text(first.call.id, id);
    json_decref(
        rig_query(rig, MSG_CALLS_RETRY, json_pack("{s:s, s:s}", "id", id, "reason", "it never arrived"), &kind));
    assert_int_equal(kind, ERR_NONE);
    rig_check(rig, 5, NULL, "act", "calls.retry");
    rig_check(rig, 5, &first.call, "text", "it never arrived");
    struct msg_ended third = rig_call(rig, &ask, CLASS_RETRYABLE, 100, true);
    assert_int_equal(third.call.attempt, 2);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_UNCERTAIN);
    rig_verify(rig);
}

/* A key that was forgotten and used again is another call's: a word about the first releases no other. */
static void test_key_of_a_later_call(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_keyed(rig, "order-5");
    char id[ID_TEXT];
    uint32_t kind;
    id_text(rig_call(rig, &ask, CLASS_OK, 100, true).call.id, id);
    rig_kill(rig);
    rig_exec(rig, "audit.db", "DELETE FROM idempotency");
    rig_start(rig, false);
    json_decref(rig_query(rig, MSG_CALLS_RETRY, json_pack("{s:s}", "id", id), &kind));
    assert_int_equal(kind, ERR_STATE);
    struct msg_ended later = rig_call(rig, &ask, CLASS_OK, 100, true);
    json_decref(rig_query(rig, MSG_CALLS_RETRY, json_pack("{s:s}", "id", id), &kind));
    assert_int_equal(kind, ERR_STATE);
    struct msg_begun again = rig_begin(rig, &ask);
    assert_int_equal(again.replay, 1);
    assert_memory_equal(&again.call, &later.call, sizeof later.call);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry WHERE CAST(body AS TEXT) LIKE '%calls.retry%'"), 0);
}

/* Refusals never consume a key, and another caller's key is another key. */
static void test_key_refused(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_keyed(rig, "order-4"), wrong = ask;
    wrong.refusal = ERR_BAD_INPUT;
    assert_int_equal(rig_begin(rig, &wrong).status.kind, ERR_BAD_INPUT);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM idempotency"), 0);
    assert_int_equal(rig_begin_ok(rig, &ask).call.attempt, 1);

    uint32_t kind;
    json_t *made = rig_query(rig, MSG_TOKEN_CREATE, json_pack("{s:s}", "name", "robot"), &kind);
    const char *token = json_string_value(json_object_get(made, "token"));
    assert_non_null(token);
    ask.who.kind = WHO_TOKEN;
    sha256(token, strlen(token), ask.who.token);
    assert_int_equal(rig_begin_ok(rig, &ask).call.attempt, 1);
    json_decref(made);
}

#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_one_call),      RIG_TEST(test_order),
        RIG_TEST(test_refusals),      RIG_TEST(test_stale),
        RIG_TEST(test_frozen),        RIG_TEST(test_frozen_before_the_start),
        RIG_TEST(test_hang_up),       RIG_TEST(test_key_replay),
        RIG_TEST(test_key_again),     RIG_TEST(test_key_uncertain),
        RIG_TEST(test_key_refused),   RIG_TEST(test_flood),
        RIG_TEST(test_desk_has_room), RIG_TEST(test_key_of_a_later_call),
    };
    ledger_path = count > 1 ? arguments[1] : "";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
