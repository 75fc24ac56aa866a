/* SPDX-License-Identifier: Apache-2.0 */
/* Captured payloads, against the real process: the bytes that the record commits to and no others, of the connector
 * that was meant and no other, and none at all where they cannot be written down. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "rig.h"
#include "runtime/ledger/payload.h"

/* ── opening ───────────────────────────────────────────────────────────────────────────────────────── */

struct sealed {
    struct buf value;
    uint8_t key[32];
    char input[HASH_TEXT], reply[HASH_TEXT];
};

static void seal_text(const char *text, struct sealed *sealed)
{
    uint8_t public[32], secret[32], salt[32];
    tree_hash hash, digest;
    struct err err;
    BUF_AUTO plain = {.max = 1024};
    memset(salt, 0x5a, sizeof salt);
    crypto_box_keypair(public, secret);
    assert_true(buf_add(&plain, salt, sizeof salt) && buf_text(&plain, text));
    buf_init(&sealed->value, 4096);
    assert_true(subjects_seal((const uint8_t(*)[32]) & public, 1, &plain, &sealed->value, &err));
    assert_int_equal(
        crypto_box_seal_open(sealed->key, (const uint8_t *)sealed->value.bytes, SEALED_KEY, public, secret), 0);
    sha256_three(FRAME_INPUT_TAG, strlen(FRAME_INPUT_TAG), salt, 32, text, strlen(text), hash);
    hex_text(hash, HASH_BYTES, sealed->input);
    sha256(text, strlen(text), digest);
    sha256_three("caisson reply v1\n", 17, salt, 32, digest, HASH_BYTES, hash);
    hex_text(hash, HASH_BYTES, sealed->reply);
}

/* Only what the commitment is of; a byte more, less or another is not it. */
static void test_opens_what_was_committed_to(void **state)
{
    static const char text[] = "{\"a\":1}";
    struct sealed sealed;
    uint8_t salt[PAYLOAD_SALT];
    seal_text(text, &sealed);
    const struct {
        bool good, input;
        const char *commitment;
        uint64_t size;
    } rows[] = {
        {true, true, sealed.input, 7},        {true, false, sealed.reply, 7},  {false, true, sealed.reply, 7},
        {false, false, sealed.input, 7},      {false, true, sealed.input, 6},  {false, true, sealed.input, 8},
        {false, true, sealed.input, 1000000}, {false, true, sealed.input, -1}, {false, true, "", 7},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        BUF_AUTO bytes = {.max = CAPTURE_MAX};
        struct err err = {0};
        struct payload_proof proof = {sealed.key, 0, rows[i].input, rows[i].commitment, rows[i].size};
        if (payload_open(&proof, &sealed.value, salt, &bytes, &err) != rows[i].good) fail_msg("row %zu", i);
        if (!rows[i].good) assert_int_equal(err.kind, ERR_DAMAGED);
        if (rows[i].good) assert_string_equal(bytes.bytes, text);
        if (!rows[i].good) assert_int_equal(bytes.used, 0);
    }
    struct payload_proof proof = {sealed.key, 0, true, sealed.input, 7};
    for (size_t i = SEALED_KEY; i < sealed.value.used; i++) {
        BUF_AUTO bytes = {.max = CAPTURE_MAX};
        struct err err = {0};
        sealed.value.bytes[i] ^= 1;
        assert_false(payload_open(&proof, &sealed.value, salt, &bytes, &err));
        sealed.value.bytes[i] ^= 1;
    }
    buf_clear(&sealed.value);
}

static void test_what_an_intent_asks(void **state)
{
    static const struct {
        const char *body;
        uint32_t capture;
    } rows[] = {{"{\"capture\":\"reply\"}", CAPTURE_REPLY},
                {"{\"capture\":\"input reply\"}", 3},
                {"{}", 0},
                {"{\"capture\":\"none\"}", 0},
                {"{\"capture\":1}", 0},
                {"{", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(payload_asked(rows[i].body, strlen(rows[i].body)), rows[i].capture);
    assert_int_equal(payload_asked(NULL, 0), 0);
}

/* ── calls ─────────────────────────────────────────────────────────────────────────────────────────── */

#define INPUT "{\"say\":\"in-the-clear\"}"
#define REPLY "{\"class\":\"ok\"}"

static struct msg_begin ask_of(struct rig *rig, const char *connector, const char *input)
{
    struct msg_begin ask = rig_ask(rig);
    snprintf(ask.connector, sizeof ask.connector, "%s", connector);
    ask.input_size = strlen(input);
    sha256_three(FRAME_INPUT_TAG, strlen(FRAME_INPUT_TAG), ask.salt, 32, input, strlen(input), ask.input_digest);
    return ask;
}

/* people: as they stand in the tail, or NULL. */
static struct msg_begun begin_with(struct rig *rig, struct msg_begin ask, const char *people, size_t length,
                                   const char *handed)
{
    static unsigned char whole[sizeof ask + 256 + CAPTURE_MAX];
    struct msg_begun begun;
    ask.subjects_length = (uint32_t)length;
    ask.input_length = (uint32_t)strlen(handed);
    memcpy(whole, &ask, sizeof ask);
    if (length) memcpy(whole + sizeof ask, people, length);
    memcpy(whole + sizeof ask + length, handed, strlen(handed));
    rig_send(rig, rig->front[0], rig->front_generation, MSG_BEGIN, ++rig->seq, whole,
             sizeof ask + length + strlen(handed), NULL, 0);
    memcpy(&begun, rig_take(rig, rig->front[0], MSG_BEGUN, NULL), sizeof begun);
    if (begun.status.kind != ERR_NONE) return begun;
    rig_take(rig, rig->vault, MSG_ORDER, NULL);
    rig_take(rig, rig->broker, MSG_GATE_OPEN, NULL);
    rig_take(rig, rig->runner, MSG_START, NULL);
    return begun;
}

static void hand_over(struct rig *rig, int line, uint32_t generation, const struct call_ref *call, const char *reply)
{
    struct {
        struct msg_reply head;
        char bytes[1024];
    } whole = {.head = {*call, (uint32_t)strlen(reply)}};
    memcpy((char *)&whole + sizeof whole.head, reply, strlen(reply));
    rig_send(rig, line, generation, MSG_REPLY, 0, &whole, sizeof whole.head + strlen(reply), NULL, 0);
}

static struct msg_end end_of(const struct call_ref *call, const char *reply)
{
    struct msg_end end = rig_end_of(call, CLASS_OK);
    end.reply_size = strlen(reply);
    sha256(reply, strlen(reply), end.reply_digest);
    return end;
}

static void finish(struct rig *rig, const struct call_ref *call, const char *reply)
{
    struct msg_end end = end_of(call, reply);
    hand_over(rig, rig->front[0], rig->front_generation, call, reply);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, call, 0, 0, false);
    assert_int_equal(rig_ended(rig).status.kind, ERR_NONE);
}

static int64_t kept(struct rig *rig)
{
    return rig_number(rig, "SELECT count(*) FROM payload");
}

static void test_kept_sealed(void **state)
{
    struct rig *rig = *state;
    struct msg_begun begun = begin_with(rig, ask_of(rig, "kept", INPUT), NULL, 0, INPUT);
    assert_int_equal(begun.status.kind, ERR_NONE);
    finish(rig, &begun.call, REPLY);
    assert_int_equal(kept(rig), 2);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM payload WHERE form = 2 AND subject IS NULL"), 2);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM payload WHERE instr(value, 'in-the-clear')"), 0);
    rig_check(rig, RECORD_INTENT, &begun.call, "capture", "input reply");
    json_t *outcome = rig_entry(rig, RECORD_OUTCOME, &begun.call);
    assert_int_equal(strlen(rig_text(outcome, "payload")), 64);
    json_decref(outcome);
    rig_verify(rig);
}

static void test_other_inputs(void **state)
{
    static const struct {
        const char *connector, *handed;
        uint64_t size; /* 0: the true one */
    } rows[] = {
        {"kept", "{\"say\":\"in-the-cleaR\"}", 0}, {"kept", "", 0},  {"kept", "{", 0},   {"kept", INPUT " ", 0},
        {"kept", INPUT, CAPTURE_MAX + 1},          {"kept", "{", 1}, {"echo", INPUT, 0},
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct msg_begin ask = ask_of(rig, rows[i].connector, INPUT);
        if (rows[i].size) ask.input_size = rows[i].size;
        struct msg_begun begun = begin_with(rig, ask, NULL, 0, rows[i].handed);
        if (begun.status.kind != ERR_DENIED) fail_msg("row %zu: %u", i, begun.status.kind);
        rig_check(rig, RECORD_REFUSED, NULL, "reason", "denied");
    }
    assert_int_equal(kept(rig), 0);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 1"), 0);
}

static void test_too_large(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = ask_of(rig, "kept", INPUT);
    ask.input_size = CAPTURE_MAX + 1;
    struct msg_begun begun = begin_with(rig, ask, NULL, 0, "");
    assert_int_equal(begun.status.kind, ERR_NONE);
    rig_check(rig, RECORD_INTENT, &begun.call, "payload", "too_large");
    struct msg_end end = end_of(&begun.call, REPLY);
    end.reply_size = CAPTURE_MAX + 1;
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 0, 0, false);
    assert_int_equal(rig_ended(rig).status.kind, ERR_NONE);
    rig_check(rig, RECORD_OUTCOME, &begun.call, "payload", "too_large");
    assert_int_equal(kept(rig), 0);
}

/* Handed over twice, the last one counts; after the END, none does. From another line's role it is nobody's. */
static void test_other_replies(void **state)
{
    struct rig *rig = *state;
    struct msg_begun begun = begin_with(rig, ask_of(rig, "kept", INPUT), NULL, 0, INPUT);
    struct msg_end end = end_of(&begun.call, REPLY);
    hand_over(rig, rig->desk, rig->desk_generation, &begun.call, REPLY);
    rig_nothing(rig, rig->desk);
    rig_send_end(rig, &end, NULL); /* nothing was handed over by the front */
    hand_over(rig, rig->front[0], rig->front_generation, &begun.call, "{\"class\":\"no\"}");
    rig_send_end(rig, &end, NULL);
    rig_nothing(rig, rig->front[0]);
    assert_int_equal(kept(rig), 1);
    finish(rig, &begun.call, REPLY);
    assert_int_equal(kept(rig), 2);
    hand_over(rig, rig->front[0], rig->front_generation, &begun.call, "{\"class\":\"no\"}");
    rig_nothing(rig, rig->front[0]);
    assert_int_equal(kept(rig), 2);
    rig_verify(rig);
}

/* A call that got no reply has none to keep. */
static void test_no_reply(void **state)
{
    struct rig *rig = *state;
    struct msg_begun begun = begin_with(rig, ask_of(rig, "kept", INPUT), NULL, 0, INPUT);
    struct msg_end end = {.call = begun.call, .class = CLASS_TIMEOUT, .reason = REASON_DEADLINE};
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 0, 0, false);
    assert_int_equal(rig_ended(rig).status.kind, ERR_NONE);
    assert_int_equal(kept(rig), 1);
    json_t *outcome = rig_entry(rig, RECORD_OUTCOME, &begun.call);
    assert_string_equal(rig_text(outcome, "payload"), "");
    json_decref(outcome);
}

/* ── reading ───────────────────────────────────────────────────────────────────────────────────────── */

#define ADA "ada@example.org"

static json_t *payload_of(struct rig *rig, const struct call_ref *call, const char *part, uint32_t *kind)
{
    char id[ID_TEXT];
    id_text(call->id, id);
    return rig_query(rig, MSG_AUDIT_PAYLOAD, json_pack("{s:s, s:s}", "id", id, "part", part), kind);
}

static int64_t openings(struct rig *rig)
{
    return rig_number(rig, "SELECT count(*) FROM entry WHERE instr(body, 'audit.payload')");
}

/* Of a call about somebody: sealed to them, read with their key, recorded before; gone with them. */
static void test_about_people(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    struct msg_begun begun = begin_with(rig, ask_of(rig, "kept", INPUT), ADA, sizeof ADA, INPUT);
    assert_int_equal(begun.status.kind, ERR_NONE);
    finish(rig, &begun.call, REPLY);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM payload WHERE form = 1 AND length(subject) = 16"), 2);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM subject_entry"), 2);
    json_t *shown = payload_of(rig, &begun.call, "input", &kind);
    assert_int_equal(kind, ERR_NONE);
    char text[64] = "";
    assert_int_equal(sodium_base642bin((unsigned char *)text, sizeof text - 1, rig_text(shown, "payload"),
                                       strlen(rig_text(shown, "payload")), NULL, NULL, NULL,
                                       sodium_base64_VARIANT_ORIGINAL),
                     0);
    assert_string_equal(text, INPUT);
    json_decref(shown);
    assert_int_equal(openings(rig), 1);
    rig_check(rig, RECORD_ADMIN, NULL, "target", "input");
    json_decref(rig_query(rig, MSG_AUDIT_ERASE, json_pack("{s:s, s:s}", "subject", ADA, "authority", "x"), &kind));
    assert_int_equal(kind, ERR_NONE);
    assert_int_equal(kept(rig), 0);
    assert_null(payload_of(rig, &begun.call, "reply", &kind));
    assert_int_equal(kind, ERR_NOT_FOUND);
    assert_int_equal(openings(rig), 1);
    rig_verify(rig);
}

/* Exchanged in the database: nobody is asked to open it, and nothing of it is shown. */
static void test_exchanged(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    struct msg_begun one = begin_with(rig, ask_of(rig, "kept", INPUT), ADA, sizeof ADA, INPUT);
    finish(rig, &one.call, REPLY);
    struct msg_begun two = begin_with(rig, ask_of(rig, "kept", "{\"say\":2}"), ADA, sizeof ADA, "{\"say\":2}");
    finish(rig, &two.call, REPLY);
    rig_exec(rig, "audit.db", "UPDATE payload SET value = (SELECT value FROM payload ORDER BY idx DESC LIMIT 1)");
    assert_null(payload_of(rig, &one.call, "input", &kind));
    assert_int_equal(kind, ERR_DAMAGED);
    assert_int_equal(openings(rig), 0);
}

/* Another attempt's, in its place in the call table: that is the same call's, and not what was asked for. */
static void test_another_attempt(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = ask_of(rig, "kept", INPUT);
    char id[ID_TEXT];
    uint32_t kind;
    snprintf(ask.key, sizeof ask.key, "order-1");
    for (uint32_t attempt = 1; attempt <= 2; attempt++) {
        struct msg_begun begun = begin_with(rig, ask, NULL, 0, INPUT);
        assert_int_equal(begun.call.attempt, attempt);
        struct msg_end end = end_of(&begun.call, REPLY);
        end.class = CLASS_RETRYABLE;
        hand_over(rig, rig->front[0], rig->front_generation, &begun.call, REPLY);
        rig_send_end(rig, &end, NULL);
        rig_gate(rig, &begun.call, 0, 0, false);
        assert_int_equal(rig_ended(rig).sent, SENT_NO);
        id_text(begun.call.id, id);
    }
    rig_exec(rig, "audit.db",
             "UPDATE call SET intent = (SELECT intent FROM call WHERE attempt = 1),"
             " outcome = (SELECT outcome FROM call WHERE attempt = 1) WHERE attempt = 2");
    static const char *const parts[] = {"input", "reply"};
    for (int i = 0; i < 2; i++) {
        assert_null(rig_query(rig, MSG_AUDIT_PAYLOAD,
                              json_pack("{s:s, s:i, s:s}", "id", id, "attempt", 2, "part", parts[i]), &kind));
        assert_int_equal(kind, ERR_NOT_FOUND);
    }
    assert_int_equal(openings(rig), 0);
}

/* A log of before there were any: it gets their table, and people can be erased from it. */
static void test_older_log(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    struct msg_begun begun = begin_with(rig, ask_of(rig, "echo", INPUT), ADA, sizeof ADA, "");
    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 0, 0, false);
    assert_int_equal(rig_ended(rig).status.kind, ERR_NONE);
    rig_stop(rig);
    rig_exec(rig, "audit.db", "DROP TABLE payload");
    rig_start(rig, true);
    json_decref(rig_query(rig, MSG_AUDIT_ERASE, json_pack("{s:s, s:s}", "subject", ADA, "authority", "x"), &kind));
    assert_int_equal(kind, ERR_NONE);
    begun = begin_with(rig, ask_of(rig, "kept", INPUT), NULL, 0, INPUT);
    finish(rig, &begun.call, REPLY);
    assert_int_equal(kept(rig), 2);
    rig_verify(rig);
}

#define NO_ROOM "CREATE TRIGGER full BEFORE INSERT ON payload BEGIN SELECT RAISE(ABORT, 'no room'); END"

/* Where it cannot be written down, the call does not happen; calls that are not captured do. */
static void test_input_fails_closed(void **state)
{
    struct rig *rig = *state;
    rig_exec(rig, "audit.db", NO_ROOM);
    struct msg_begun begun = begin_with(rig, ask_of(rig, "kept", INPUT), NULL, 0, INPUT);
    assert_int_equal(begun.status.kind, ERR_INTERNAL);
    rig_nothing(rig, rig->runner);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 1"), 0);
    begun = begin_with(rig, ask_of(rig, "echo", INPUT), NULL, 0, "");
    assert_int_equal(begun.status.kind, ERR_NONE);
}

/* What happened is told all the same: the outcome goes through the spill file, and says so; its reply does not. */
static void test_reply_fails_closed(void **state)
{
    struct rig *rig = *state;
    struct msg_begun begun = begin_with(rig, ask_of(rig, "kept", INPUT), NULL, 0, INPUT);
    struct msg_end end = end_of(&begun.call, REPLY);
    uint32_t kind;
    rig_exec(rig, "audit.db", NO_ROOM);
    hand_over(rig, rig->front[0], rig->front_generation, &begun.call, REPLY);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 0, 0, false);
    assert_int_equal(rig_ended(rig).status.kind, ERR_AUDIT);
    rig_exec(rig, "audit.db", "DROP TRIGGER full");
    for (int i = 0; i < 1000 && !rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 2"); i++) {
        json_decref(rig_query(rig, MSG_HEALTH, json_object(), &kind)); /* the vault is heard meanwhile */
        usleep(10000);
    }
    json_t *outcome = rig_entry(rig, RECORD_OUTCOME, &begun.call);
    assert_int_equal(json_integer_value(json_object_get(outcome, "spilled")), 1);
    assert_string_equal(rig_text(outcome, "payload"), "");
    assert_int_equal(strlen(rig_text(outcome, "reply")), 64);
    json_decref(outcome);
    assert_int_equal(kept(rig), 1);
    rig_verify(rig);
}

/* Somebody whose public key is none: the outcome is written down as any other, without the reply, and says so. */
static void test_reply_that_cannot_be_sealed(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    struct msg_begun begun = begin_with(rig, ask_of(rig, "kept", INPUT), ADA, sizeof ADA, INPUT);
    rig_exec(rig, "vault.db", "UPDATE subject_key SET public = zeroblob(32)");
    finish(rig, &begun.call, REPLY);
    json_t *outcome = rig_entry(rig, RECORD_OUTCOME, &begun.call);
    assert_string_equal(rig_text(outcome, "payload"), "failed");
    assert_null(json_object_get(outcome, "spilled"));
    json_decref(outcome);
    assert_int_equal(kept(rig), 1);
    assert_null(payload_of(rig, &begun.call, "reply", &kind));
    assert_int_equal(kind, ERR_NOT_FOUND);
    rig_verify(rig);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_what_was_committed_to),
        cmocka_unit_test(test_what_an_intent_asks),
        CASE(test_kept_sealed),
        CASE(test_other_inputs),
        CASE(test_too_large),
        CASE(test_other_replies),
        CASE(test_no_reply),
        CASE(test_about_people),
        CASE(test_exchanged),
        CASE(test_another_attempt),
        CASE(test_older_log),
        CASE(test_input_fails_closed),
        CASE(test_reply_fails_closed),
        CASE(test_reply_that_cannot_be_sealed),
    };
    if (argc < 2) return 2;
    ledger_path = argv[1];
    if (sodium_init() < 0) return 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
