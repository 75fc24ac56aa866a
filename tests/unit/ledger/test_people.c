/* SPDX-License-Identifier: Apache-2.0 */
/* Calls about people, against the real process: one spelling, one key, made for calls that run only; what is personal
 * is sealed; erased while a call runs; legal holds; whom it is open to. */
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "rig.h"
#include "runtime/ledger/ledger.h"
#include "runtime/ledger/subject.h"

/* ── names ─────────────────────────────────────────────────────────────────────────────────────────── */

static void test_one_spelling(void **state)
{
    static const struct {
        const char *text, *normal;
    } good[] = {
        {"Ada@Example.ORG", "mailto:ada@example.org"},
        {"  ada@example.org ", "mailto:ada@example.org"},
        {"+49 (170) 123-4567", "tel:+491701234567"},
        {"0049 170 123 4567", "tel:+491701234567"},
        {"0170 1234567", "tel:01701234567"},
        {"12345", "tel:12345"},
        {"1234", "id:1234"},
        {"customer 17-B", "id:customer 17-b"},
        {"\xc3\x84rger@example.org", "mailto:\xc3\x84rger@example.org"},
        {"1234567890123456", "id:1234567890123456"},
    };
    static const char *const bad[] = {"",     " ",    "a\nb",  "\"a b\"@c", "Ada <ada@example.org>",
                                      "@",    "a@",   "@b",    "a@b@c",     "a@b,c@d",
                                      "\xff", "a\\b", "a b@c", "\x7f"};
    char normal[SUBJECT_BYTES], large[SUBJECT_BYTES + 1];
    struct err err;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(subject_normal(good[i].text, normal, &err));
        assert_string_equal(normal, good[i].normal);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err = (struct err){0};
        if (subject_normal(bad[i], normal, &err)) fail_msg("\"%s\" became %s", bad[i], normal);
        assert_int_equal(err.kind, ERR_BAD_INPUT);
        if (strlen(bad[i]) > 2) assert_null(strstr(err.text, bad[i]));
    }
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    assert_false(subject_normal(large, normal, &err));
    large[SUBJECT_BYTES - 4] = '\0';
    assert_true(subject_normal(large, normal, &err));
}

static void test_references(void **state)
{
    uint8_t lookup[32] = {1}, other[32] = {2}, a[HASH_BYTES], b[HASH_BYTES];
    subject_reference(lookup, "mailto:a@b", a);
    subject_reference(lookup, "mailto:a@b", b);
    assert_memory_equal(a, b, HASH_BYTES);
    subject_reference(other, "mailto:a@b", b);
    assert_memory_not_equal(a, b, HASH_BYTES);
    subject_reference(lookup, "mailto:a@c", b);
    assert_memory_not_equal(a, b, HASH_BYTES);
}

/* Lengths show classes only; a changed byte opens nothing. */
static void test_seal(void **state)
{
    uint8_t publics[SUBJECTS_MAX][32], secrets[SUBJECTS_MAX][32], key[32], box[SUBJECT_SEALED_MAX];
    struct err err;
    for (unsigned i = 0; i < SUBJECTS_MAX; i++) crypto_box_keypair(publics[i], secrets[i]);
    for (unsigned length = 0; length < 130; length++) {
        BUF_AUTO plain = {.max = 256};
        BUF_AUTO value = {.max = 4096};
        BUF_AUTO back = {.max = 4096};
        for (unsigned i = 0; i < length; i++) buf_add(&plain, "x", 1);
        if (!plain.bytes) buf_reserve(&plain, 1);
        assert_true(subjects_seal((const uint8_t(*)[32])publics, 1, &plain, &value, &err));
        assert_int_equal(value.used, 80 + (length + 63) / 64 * 64 + 16);
        memcpy(box, value.bytes, 80);
        assert_int_equal(crypto_box_seal_open(key, box, 80, publics[0], secrets[0]), 0);
        assert_true(subjects_unseal(key, 1, value.bytes, value.used, &back, &err));
        assert_memory_equal(back.bytes, plain.bytes, length);
        value.bytes[value.used - 1] ^= 1;
        assert_false(subjects_unseal(key, 1, value.bytes, value.used, &back, &err));
        assert_false(subjects_unseal(key, 1, value.bytes, 95, &back, &err));
    }
}

/* ── calls ─────────────────────────────────────────────────────────────────────────────────────────── */

static void send_about(struct rig *rig, struct msg_begin ask, const char *tail, size_t length)
{
    unsigned char whole[sizeof ask + 4096];
    ask.subjects_length = (uint32_t)length;
    memcpy(whole, &ask, sizeof ask);
    memcpy(whole + sizeof ask, tail, length);
    rig_send(rig, rig->front[0], rig->front_generation, MSG_BEGIN, ++rig->seq, whole, sizeof ask + length, NULL, 0);
}

static struct msg_begun begun_about(struct rig *rig, struct msg_begin ask, const char *tail, size_t length)
{
    struct msg_begun begun;
    send_about(rig, ask, tail, length);
    memcpy(&begun, rig_take(rig, rig->front[0], MSG_BEGUN, NULL), sizeof begun);
    return begun;
}

/* Taking away what an admitted call lets loose. */
static void take_orders(struct rig *rig)
{
    rig_take(rig, rig->vault, MSG_ORDER, NULL);
    rig_take(rig, rig->broker, MSG_GATE_OPEN, NULL);
    rig_take(rig, rig->runner, MSG_START, NULL);
}

static struct msg_begun call_about(struct rig *rig, const char *tail, size_t length)
{
    struct msg_begun begun = begun_about(rig, rig_ask(rig), tail, length);
    if (begun.status.kind != ERR_NONE) fail_msg("refused: %s", begun.status.text);
    take_orders(rig);
    return begun;
}

static void finish(struct rig *rig, const struct call_ref *call, const char *denied)
{
    struct msg_end end = rig_end_of(call, CLASS_OK);
    struct msg_gate_closed gate = {.call = *call, .known = 1, .denied = denied != NULL};
    if (denied) snprintf(gate.last_denied, sizeof gate.last_denied, "%s", denied);
    rig_send_end(rig, &end, NULL);
    rig_take(rig, rig->broker, MSG_GATE_CLOSE, NULL);
    rig_send(rig, rig->broker, rig->broker_generation, MSG_GATE_CLOSED, 0, &gate, sizeof gate, NULL, 0);
    assert_int_equal(rig_ended(rig).status.kind, ERR_NONE);
}

static int64_t keys_made(struct rig *rig)
{
    char path[128];
    sqlite3 *db;
    sqlite3_stmt *row;
    snprintf(path, sizeof path, "%s/vault.db", rig->path);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM subject_key", -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    int64_t count = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    sqlite3_close(db);
    return count;
}

#define ADA "Ada@example.org"
#define BOTH ADA "\0bob@example.org\0ADA@example.org"

/* The vault is asked once for each person; later calls ask nobody. */
static void test_first_call(void **state)
{
    struct rig *rig = *state;
    struct msg_begun begun = call_about(rig, BOTH, sizeof BOTH);
    assert_int_equal(keys_made(rig), 2);
    finish(rig, &begun.call, NULL);
    rig->mute_vault = true;
    begun = call_about(rig, ADA, sizeof ADA);
    rig->mute_vault = false;
    finish(rig, &begun.call, NULL);
    assert_int_equal(keys_made(rig), 2);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM detail WHERE form = 1"), 2);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM subject_entry"), 3);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM detail WHERE instr(value, 'input_salt') AND form = 0"), 0);
    json_t *intent = rig_entry(rig, RECORD_INTENT, &begun.call);
    assert_int_equal(strlen(rig_text(intent, "about")), 64);
    json_decref(intent);
    rig_verify(rig);
}

/* Calls about people whom nobody knows yet take half of the room for questions, and leave the rest to others. */
static void test_many_new_people(void **state)
{
    struct rig *rig = *state;
    char name[16];
    rig->mute_vault = true;
    for (int i = 0; i < WAITS_MAX / 2; i++) {
        snprintf(name, sizeof name, "person-%d", i);
        send_about(rig, rig_ask(rig), name, strlen(name) + 1);
    }
    struct msg_begun begun = begun_about(rig, rig_ask(rig), "one-more", sizeof "one-more");
    assert_int_equal(begun.status.kind, ERR_BUSY);
}

/* Who may not call makes no keys, nor does a call that is refused for another reason. */
static void test_no_keys_for_strangers(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    strcpy(ask.workspace, "other");
    assert_int_equal(begun_about(rig, ask, ADA, sizeof ADA).status.kind, ERR_DENIED);
    ask = rig_ask(rig);
    strcpy(ask.action, "nothing");
    assert_int_equal(begun_about(rig, ask, ADA, sizeof ADA).status.kind, ERR_NOT_FOUND);
    ask = rig_ask(rig);
    ask.who = (struct who){.kind = WHO_TOKEN};
    assert_int_equal(begun_about(rig, ask, ADA, sizeof ADA).status.kind, ERR_NO_IDENTITY);
    assert_int_equal(keys_made(rig), 0);
    /* and what is refused says nothing of them in the clear */
    ask = rig_keyed(rig, "key-of-ada");
    strcpy(ask.action, "nothing");
    assert_int_equal(begun_about(rig, ask, ADA, sizeof ADA).status.kind, ERR_NOT_FOUND);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM detail WHERE instr(value, 'key-of-ada')"), 0);
}

static void test_hostile_tails(void **state)
{
    struct rig *rig = *state;
    char large[SUBJECTS_MAX * SUBJECT_BYTES];
    static const struct {
        const char *tail;
        size_t length;
    } wrong[] = {{"a", 1}, {"a\0b", 3}, {"\0", 1}, {"a@\0", 3}, {"1\0002\0003\0004\0005\0006\0007\0008\0009", 18}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        uint32_t kind = begun_about(rig, rig_ask(rig), wrong[i].tail, wrong[i].length).status.kind;
        if (kind != ERR_MALFORMED && kind != ERR_BAD_INPUT) fail_msg("row %zu: %u", i, kind);
    }
    memset(large, 'x', sizeof large);
    assert_int_equal(begun_about(rig, rig_ask(rig), large, sizeof large).status.kind, ERR_MALFORMED);
    struct msg_begin ask = rig_ask(rig);
    ask.subjects_length = 7; /* and no tail */
    rig_send(rig, rig->front[0], rig->front_generation, MSG_BEGIN, ++rig->seq, &ask, sizeof ask, NULL, 0);
    struct msg_begun begun;
    memcpy(&begun, rig_take(rig, rig->front[0], MSG_BEGUN, NULL), sizeof begun);
    assert_int_equal(begun.status.kind, ERR_MALFORMED);
    assert_int_equal(keys_made(rig), 0);
}

/* By its own kind in the answer the front takes it that the caller may know what it refused: only who may call may. */
static void test_strangers_learn_no_schema(void **state)
{
    static const char wrong[] = "\"";
    struct rig *rig = *state;
    uint32_t kind;
    json_decref(rig_query(rig, MSG_WORKSPACE_CREATE, json_pack("{s:s}", "name", "other"), &kind));
    assert_int_equal(kind, ERR_NONE);
    struct msg_begin ask = rig_ask(rig);
    ask.refusal = ERR_BAD_INPUT;
    assert_int_equal(begun_about(rig, ask, wrong, sizeof wrong).status.kind, ERR_BAD_INPUT);
    strcpy(ask.workspace, "nowhere");
    assert_int_equal(begun_about(rig, ask, wrong, sizeof wrong).status.kind, ERR_DENIED);
    strcpy(ask.workspace, "other");
    strcpy(ask.connector, "kept"); /* is not open to that workspace */
    assert_int_equal(begun_about(rig, ask, wrong, sizeof wrong).status.kind, ERR_NOT_FOUND);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_NOT_FOUND);
    ask.who = (struct who){.kind = WHO_TOKEN};
    assert_int_equal(begun_about(rig, ask, wrong, sizeof wrong).status.kind, ERR_NO_IDENTITY);
}

/* A vault that dies with the question: 503, nothing is left behind, and the next try works. */
static void test_vault_gone(void **state)
{
    struct rig *rig = *state;
    rig->mute_vault = true;
    send_about(rig, rig_ask(rig), ADA, sizeof ADA);
    rig_take(rig, rig->vault, MSG_SUBJECT_KEYS, NULL);
    rig_replace(rig, ROLE_VAULT);
    struct msg_begun begun;
    memcpy(&begun, rig_take(rig, rig->front[0], MSG_BEGUN, NULL), sizeof begun);
    assert_int_equal(begun.status.kind, ERR_UNAVAILABLE);
    rig->mute_vault = false;
    begun = call_about(rig, ADA, sizeof ADA);
    finish(rig, &begun.call, NULL);
    assert_int_equal(keys_made(rig), 1);
}

/* ── what an outcome says of a person ──────────────────────────────────────────────────────────────── */

static json_t *person(struct rig *rig, unsigned type, const char *more)
{
    uint32_t kind;
    json_t *out = rig_query(rig, type, json_pack("{s:s, s:s}", "subject", ADA, "authority", more), &kind);
    assert_int_equal(kind, ERR_NONE);
    return out;
}

static void test_denied_host(void **state)
{
    struct rig *rig = *state;
    struct msg_begun begun = call_about(rig, ADA, sizeof ADA);
    finish(rig, &begun.call, "letter-to-ada.example:443 (not granted)");
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM detail WHERE instr(value, 'letter-to-ada')"), 0);
    json_t *shown = person(rig, MSG_AUDIT_PERSON, "");
    const json_t *entries = json_object_get(shown, "entries");
    assert_int_equal(json_array_size(entries), 2);
    const json_t *about = json_object_get(json_array_get(entries, 1), "about");
    assert_string_equal(rig_text(about, "denied_host"), "letter-to-ada.example:443 (not granted)");
    json_decref(shown);
    rig_verify(rig);
}

/* Erased while the call runs: its outcome is written, without what would be personal. */
static void test_erased_while_running(void **state)
{
    struct rig *rig = *state;
    struct msg_begun begun = call_about(rig, ADA, sizeof ADA);
    json_t *done = person(rig, MSG_AUDIT_ERASE, "request 1");
    assert_true(json_is_true(json_object_get(done, "complete")));
    json_decref(done);
    finish(rig, &begun.call, "letter-to-ada.example:443 (not granted)");
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM detail WHERE instr(value, 'letter-to-ada') OR form = 1"), 0);
    assert_int_equal(
        rig_number(rig, "SELECT count(*) FROM subject_entry") + rig_number(rig, "SELECT count(*) FROM erasing"), 0);
    rig_check(rig, RECORD_ERASE, NULL, "authority", "request 1");
    begun = call_about(rig, ADA, sizeof ADA);
    finish(rig, &begun.call, NULL);
    assert_int_equal(keys_made(rig), 2);
    rig_verify(rig);
}

/* Nor is an answer kept that came after the erasure: nothing would ever find it. */
static void test_answer_after_erasure(void **state)
{
    struct rig *rig = *state;
    for (int erased = 0; erased < 3; erased++) {
        const char *const keys[] = {"one", "two", "three"};
        struct msg_begun begun = begun_about(rig, rig_keyed(rig, keys[erased]), ADA, sizeof ADA);
        assert_int_equal(begun.status.kind, ERR_NONE);
        take_orders(rig);
        struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
        end.answer_length = 6;
        if (erased == 2) { /* the ledger that heard the call begin is gone, too */
            rig_kill(rig);
            rig_start(rig, false);
        }
        if (erased) json_decref(person(rig, MSG_AUDIT_ERASE, "request 2"));
        rig_send_end(rig, &end, "answer");
        rig_gate(rig, &begun.call, 1, 10, true);
        assert_int_equal(rig_ended(rig).status.kind, ERR_NONE);
        assert_int_equal(rig_number(rig, "SELECT count(*) FROM answer"), erased ? 0 : 1);
    }
    rig_verify(rig);
}

/* A list that has no room for all says how many it left out. */
static void test_many_holds(void **state)
{
    enum { HOLDS = 200 };
    struct rig *rig = *state;
    uint32_t kind;
    char reason[201];
    memset(reason, 'x', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    for (int i = 0; i < HOLDS; i++) {
        json_decref(rig_query(rig, MSG_AUDIT_HOLD_ADD, json_pack("{s:s}", "reason", reason), &kind));
        assert_int_equal(kind, ERR_NONE);
    }
    json_t *list = rig_query(rig, MSG_AUDIT_HOLD_LIST, json_object(), &kind);
    json_int_t left_out = json_integer_value(json_object_get(list, "left_out"));
    assert_true(left_out > 0);
    assert_int_equal((json_int_t)json_array_size(json_object_get(list, "holds")) + left_out, HOLDS);
    json_decref(list);
}

/* ── whom it is open to ────────────────────────────────────────────────────────────────────────────── */

static struct who token_of(struct rig *rig, json_t *in)
{
    struct who who = {.kind = WHO_TOKEN};
    uint32_t kind;
    json_t *made = rig_query(rig, MSG_TOKEN_CREATE, in, &kind);
    assert_int_equal(kind, ERR_NONE);
    const char *token = rig_text(made, "token");
    sha256(token, strlen(token), who.token);
    json_decref(made);
    return who;
}

static void test_rights(void **state)
{
    struct rig *rig = *state;
    static const unsigned types[] = {MSG_AUDIT_ERASE,    MSG_AUDIT_PERSON,    MSG_AUDIT_PRUNE,
                                     MSG_AUDIT_HOLD_ADD, MSG_AUDIT_HOLD_LIST, MSG_AUDIT_HOLD_REMOVE};
    struct msg_begun begun = call_about(rig, ADA, sizeof ADA);
    finish(rig, &begun.call, NULL);
    struct who operator= token_of(rig, json_pack("{s:s, s:s}", "name", "one", "role", "operator"));
    struct who auditor = token_of(rig, json_pack("{s:s, s:s}", "name", "two", "role", "auditor"));
    struct who narrow = token_of(
        rig, json_pack("{s:s, s:s, s:[s]}", "name", "three", "role", "admin", "connectors", "echo"));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        uint32_t kinds[3];
        const struct who *who[] = {&operator, & auditor, &narrow};
        for (size_t j = 0; j < 3; j++) {
            json_t *in = json_pack("{s:s, s:s, s:s, s:i, s:s}", "subject", ADA, "authority", "x", "reason", "x",
                                   "before", 1, "id", "01890a5d-ac96-774b-bcce-b302099a8057");
            json_decref(rig_query_as(rig, true, who[j], types[i], in, &kinds[j]));
        }
        bool reads = types[i] == MSG_AUDIT_PERSON || types[i] == MSG_AUDIT_HOLD_LIST;
        bool by_id = types[i] == MSG_AUDIT_HOLD_REMOVE;
        assert_int_equal(kinds[0], by_id ? ERR_NOT_FOUND : ERR_DENIED);
        assert_int_equal(kinds[1], reads ? ERR_NONE : by_id ? ERR_NOT_FOUND : ERR_DENIED);
        assert_int_equal(kinds[2], ERR_DENIED);
    }
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry WHERE kind IN (6, 7)"), 0);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM hold"), 0);
}

#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_spelling), cmocka_unit_test(test_references),
        cmocka_unit_test(test_seal),         RIG_TEST(test_first_call),
        RIG_TEST(test_many_new_people),      RIG_TEST(test_no_keys_for_strangers),
        RIG_TEST(test_hostile_tails),        RIG_TEST(test_strangers_learn_no_schema),
        RIG_TEST(test_vault_gone),           RIG_TEST(test_denied_host),
        RIG_TEST(test_erased_while_running), RIG_TEST(test_answer_after_erasure),
        RIG_TEST(test_many_holds),           RIG_TEST(test_rights),
    };
    ledger_path = count > 1 ? arguments[1] : "";
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
