/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints on their way out: a ledger as a process, with the test as its parent, its desk and its witness. */
#include "rig.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "runtime/ledger/note.h"
#include "runtime/ledger/tree.h"

#define PLAIN "{\"reserve_mb\":0,\"push\":{\"sinks\":[{\"name\":\"archive\",\"kind\":\"file\"}]"
#define HOOK                                                                                                           \
    "{\"reserve_mb\":0,\"push\":{\"sinks\":[{\"name\":\"hook\",\"kind\":\"webhook\",\"connector\":\"echo\","            \
    "\"action\":\"say\",\"workspace\":\"default\",\"url\":\"https://x.example/\"}]}}"

static struct rig *start(const char *config)
{
    struct rig *rig = malloc(sizeof *rig);
    rig_init(rig, config);
    rig_start(rig, true);
    return rig;
}

static void end(struct rig *rig)
{
    rig_verify(rig);
    rig_clear(rig);
    free(rig);
}

static void have_signed(struct rig *rig)
{
    uint32_t kind;
    json_decref(rig_query(rig, MSG_AUDIT_CHECKPOINT, json_object(), &kind));
    assert_int_equal(kind, ERR_NONE);
}

/* The parent's answer; the size of what was pushed. */
static uint64_t parent_takes(struct rig *rig, const char *sink, enum err_kind kind)
{
    uint32_t seq;
    struct ctl_pushed done = {.status.kind = (uint32_t)kind};
    const struct ctl_push *push = rig_take(rig, rig->control, CTL_PUSH, &seq);
    uint64_t size = push->size;
    assert_string_equal(push->sink, sink);
    assert_true(push->length < PUSH_NOTE && memmem(push->note, push->length, "\n\n\u2014 ", 6));
    rig_send(rig, rig->control, 0, CTL_PUSHED, seq, &done, sizeof done, NULL, 0);
    return size;
}

static void ask_push(struct rig *rig)
{
    struct msg_query ask = {.who = {.kind = WHO_PEER, .principal = rig->desk_principal}};
    rig_send(rig, rig->desk, rig->desk_generation, MSG_AUDIT_PUSH, ++rig->seq, &ask, sizeof ask, NULL, 0);
}

/* How a sink stands once the round is over. */
static void hear_push(struct rig *rig, const char *sink, const char *state)
{
    const struct msg_json_answer *answer = rig_take(rig, rig->desk, MSG_JSON_ANSWER, NULL);
    assert_int_equal(answer->status.kind, ERR_NONE);
    json_t *out = json_loadb((const char *)(answer + 1), answer->length, 0, NULL);
    assert_string_equal(rig_text(json_object_get(json_object_get(out, "sinks"), sink), "state"), state);
    assert_true(json_is_true(json_object_get(out, "finished")));
    json_decref(out);
}

/* What came over another line is worked off: the sink stands so. */
static void until(struct rig *rig, const char *sink, const char *state)
{
    for (int i = 0; i < 2000; i++) {
        uint32_t kind;
        json_t *health = rig_query(rig, MSG_HEALTH, json_object(), &kind);
        json_t *one = json_object_get(json_object_get(health, "sinks"), sink);
        bool there = strcmp(rig_text(one, "state"), state) == 0;
        json_decref(health);
        if (there) return;
    }
    fail_msg("%s is not %s", sink, state);
}

static void admitted(struct rig *rig)
{
    struct msg_begin ask = rig_ask(rig);
    rig_call(rig, &ask, CLASS_OK, 5, true);
}

static uint32_t refused(struct rig *rig)
{
    struct msg_begin ask = rig_ask(rig);
    return rig_begin(rig, &ask).status.kind;
}

/* ── files ─────────────────────────────────────────────────────────────────────────────────────────── */

/* One at the start; then none before its time, however much is logged; on demand, the newest. */
static void test_once_in_its_time(void **state)
{
    struct rig *rig = start(PLAIN "}}");
    have_signed(rig);
    assert_true(parent_takes(rig, "archive", ERR_NONE) >= 1);
    until(rig, "archive", "up");
    for (int i = 0; i < 5; i++) admitted(rig);
    have_signed(rig);
    rig_nothing(rig, rig->control);
    ask_push(rig);
    assert_int_equal(parent_takes(rig, "archive", ERR_NONE), rig->signed_size);
    hear_push(rig, "archive", "up");
    ask_push(rig); /* nothing new: nothing is pushed */
    hear_push(rig, "archive", "up");
    rig_nothing(rig, rig->control);
    /* A restart is no reason either, and the time between two pushes goes on over it. */
    admitted(rig);
    have_signed(rig);
    rig_stop(rig);
    rig_start(rig, true);
    have_signed(rig);
    rig_nothing(rig, rig->control);
    end(rig);
}

static bool required(struct rig *rig, const char *sink)
{
    uint32_t kind;
    JSON_AUTO *health = rig_query(rig, MSG_HEALTH, json_object(), &kind);
    return json_is_true(json_object_get(json_object_get(json_object_get(health, "sinks"), sink), "required"));
}

/* The place was changed while the parent wrote there: what became of that says nothing about the place of now. */
static void test_changed_meanwhile(void **state)
{
    struct rig *rig = start(PLAIN "}}");
    struct ctl_pushed done = {.status.kind = ERR_NONE};
    uint32_t before;
    have_signed(rig);
    rig_take(rig, rig->control, CTL_PUSH, &before);
    rig_configure(rig, PLAIN ",\"required\":[\"archive\"]}}");
    while (!required(rig, "archive")) continue;
    ask_push(rig);
    uint32_t now;
    rig_take(rig, rig->control, CTL_PUSH, &now);
    assert_int_not_equal(now, before);
    rig_send(rig, rig->control, 0, CTL_PUSHED, before, &done, sizeof done, NULL, 0);
    done.status.kind = ERR_IO;
    rig_send(rig, rig->control, 0, CTL_PUSHED, now, &done, sizeof done, NULL, 0);
    hear_push(rig, "archive", "down");
    end(rig);
}

static void test_gap(void **state)
{
    struct rig *rig = start(PLAIN "}}");
    have_signed(rig);
    uint64_t first = parent_takes(rig, "archive", ERR_IO);
    until(rig, "archive", "down");
    admitted(rig); /* it is not required */
    have_signed(rig);
    ask_push(rig);
    uint64_t second = parent_takes(rig, "archive", ERR_IO);
    hear_push(rig, "archive", "down");
    assert_true(second > first);
    rig_kill(rig); /* what was missed outlives the process */
    rig_start(rig, true);
    have_signed(rig);
    ask_push(rig);
    parent_takes(rig, "archive", ERR_NONE);
    hear_push(rig, "archive", "up");
    json_t *gap = rig_entry(rig, 9, NULL);
    assert_non_null(gap);
    assert_string_equal(rig_text(gap, "sink"), "archive");
    assert_int_equal(json_integer_value(json_object_get(gap, "count")), 2);
    assert_int_equal(json_integer_value(json_object_get(gap, "from")), first);
    assert_int_equal(json_integer_value(json_object_get(gap, "to")), second);
    json_decref(gap);
    have_signed(rig); /* the gap entry itself is no reason to push */
    ask_push(rig);
    hear_push(rig, "archive", "up");
    rig_nothing(rig, rig->control);
    end(rig);
}

static void test_required(void **state)
{
    struct rig *rig = start(PLAIN ",\"required\":[\"archive\"]}}");
    have_signed(rig);
    admitted(rig); /* nothing has failed yet */
    parent_takes(rig, "archive", ERR_IO);
    until(rig, "archive", "down");
    assert_int_equal(refused(rig), ERR_UNAVAILABLE);
    rig_kill(rig);
    rig_start(rig, true);
    assert_int_equal(refused(rig), ERR_UNAVAILABLE); /* a restart changes nothing about it */
    ask_push(rig);
    parent_takes(rig, "archive", ERR_NONE);
    hear_push(rig, "archive", "up");
    admitted(rig);
    end(rig);
}

/* ── calls ─────────────────────────────────────────────────────────────────────────────────────────── */

static char input[PUSH_INPUT + 1];

/* The desk waits for a call, and gets one. */
static struct msg_push_call desk_gets(struct rig *rig)
{
    struct msg_push_call call;
    rig_send(rig, rig->desk, rig->desk_generation, MSG_PUSH_WAIT, ++rig->seq, NULL, 0, NULL, 0);
    const struct msg_push_call *got = rig_take(rig, rig->desk, MSG_PUSH_CALL, NULL);
    memcpy(&call, got, sizeof call);
    memcpy(input, got + 1, call.input_length);
    input[call.input_length] = '\0';
    return call;
}

/* The BEGIN that makes exactly that call. */
static struct msg_begin begin_of(const struct msg_push_call *call)
{
    struct msg_begin ask = {.who = {.kind = WHO_SYSTEM, .principal = call->number},
                            .input_size = call->input_length,
                            .deadline = clock_now() + 20 * CLOCK_S};
    memcpy(ask.workspace, call->workspace, NAME_BYTES);
    memcpy(ask.connector, call->connector, NAME_BYTES);
    memcpy(ask.action, call->action, NAME_BYTES);
    memcpy(ask.credential, call->credential, NAME_BYTES);
    memset(ask.salt, 0x5a, sizeof ask.salt);
    sha256_three(FRAME_INPUT_TAG, sizeof FRAME_INPUT_TAG - 1, ask.salt, 32, input, call->input_length, ask.input_digest);
    sha256(input, call->input_length, ask.input_hash);
    return ask;
}

static struct msg_begun begin_on(struct rig *rig, int line, uint32_t generation, const struct msg_begin *ask)
{
    rig_send(rig, line, generation, MSG_BEGIN, ++rig->seq, ask, sizeof *ask, NULL, 0);
    struct msg_begun begun;
    memcpy(&begun, rig_take(rig, line, MSG_BEGUN, NULL), sizeof begun);
    return begun;
}

static uint32_t desk_begins(struct rig *rig, const struct msg_begin *ask)
{
    return begin_on(rig, rig->desk, rig->desk_generation, ask).status.kind;
}

static struct call_ref let_loose(struct rig *rig, const struct msg_push_call *call)
{
    struct msg_begin ask = begin_of(call);
    struct msg_begun begun = begin_on(rig, rig->desk, rig->desk_generation, &ask);
    if (begun.status.kind != ERR_NONE) fail_msg("refused: %s", begun.status.text);
    rig_take(rig, rig->vault, MSG_ORDER, NULL);
    rig_take(rig, rig->broker, MSG_GATE_OPEN, NULL);
    const struct msg_start *start = rig_take(rig, rig->runner, MSG_START, NULL);
    assert_int_equal(start->taker, ROLE_DESK);
    return begun.call;
}

static void over_with(struct rig *rig, const struct msg_push_call *call, const struct call_ref *ref,
                      enum call_class class, bool committed, const char *answer)
{
    struct msg_end ended = rig_end_of(ref, class);
    unsigned char done[sizeof(struct msg_push_done) + 2048] = {0};
    struct msg_push_done *head = (struct msg_push_done *)done;
    rig_send(rig, rig->desk, rig->desk_generation, MSG_END, ++rig->seq, &ended, sizeof ended, NULL, 0);
    rig_gate(rig, ref, 1, 5, committed);
    rig_take(rig, rig->desk, MSG_ENDED, NULL);
    head->number = call->number;
    head->answer_length = (uint32_t)strlen(answer);
    memcpy(head + 1, answer, strlen(answer));
    rig_send(rig, rig->desk, rig->desk_generation, MSG_PUSH_DONE, 0, done, sizeof *head + strlen(answer), NULL, 0);
}

static void over(struct rig *rig, const struct msg_push_call *call, const struct call_ref *ref, enum call_class class,
                 const char *answer)
{
    over_with(rig, call, ref, class, true, answer);
}

static void test_an_idle_log_is_pushed_once(void **state)
{
    struct rig *rig = start(HOOK);
    have_signed(rig);
    struct msg_push_call call = desk_gets(rig);
    assert_string_equal(call.connector, "echo");
    assert_non_null(strstr(input, "\"url\":\"https://x.example/\""));
    assert_non_null(strstr(input, "\"checkpoint\":\""));
    struct call_ref ref = let_loose(rig, &call);
    over(rig, &call, &ref, CLASS_OK, "");
    rig_check(rig, 1, &ref, "push", "hook");
    have_signed(rig); /* the two entries of that call */
    ask_push(rig);
    hear_push(rig, "hook", "up");
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM push_entry"), 2);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 1"), 1);
    rig_stop(rig);
    rig_start(rig, true); /* and a restart does not make them news */
    have_signed(rig);
    rig_send(rig, rig->desk, rig->desk_generation, MSG_PUSH_WAIT, ++rig->seq, NULL, 0, NULL, 0);
    ask_push(rig);
    hear_push(rig, "hook", "up");
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 1"), 1);
    end(rig);
}

/* A desk that is taken over gains no call but the one that is wanted. */
static void test_only_that_call(void **state)
{
    struct rig *rig = start(HOOK);
    have_signed(rig);
    struct msg_push_call call = desk_gets(rig);
    const struct msg_begin good = begin_of(&call);
    struct msg_begin wrong = rig_ask(rig);
    wrong.who.principal = rig->desk_principal;
    assert_int_equal(desk_begins(rig, &wrong), ERR_DENIED); /* as the administrator */
    wrong = good;
    wrong.who.principal++;
    assert_int_equal(desk_begins(rig, &wrong), ERR_NO_IDENTITY);
    static const struct {
        size_t at;
        const char *text;
    } others[] = {{offsetof(struct msg_begin, action), "login"},
                  {offsetof(struct msg_begin, connector), "off"},
                  {offsetof(struct msg_begin, credential), "main"},
                  {offsetof(struct msg_begin, key), "k"},
                  {offsetof(struct msg_begin, traceparent), "t"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        wrong = good;
        strcpy((char *)&wrong + others[i].at, others[i].text);
        assert_int_equal(desk_begins(rig, &wrong), ERR_DENIED);
    }
    wrong = good;
    wrong.input_digest[0] ^= 1; /* another input */
    assert_int_equal(desk_begins(rig, &wrong), ERR_DENIED);
    wrong = good;
    wrong.input_size++;
    assert_int_equal(desk_begins(rig, &wrong), ERR_DENIED);
    /* The front is not the desk. */
    assert_int_equal(begin_on(rig, rig->front[0], rig->front_generation, &good).status.kind, ERR_NO_IDENTITY);
    uint32_t kind;
    struct who system = good.who;
    json_decref(rig_query_as(rig, true, &system, MSG_TOKEN_LIST, json_object(), &kind));
    assert_int_equal(kind, ERR_DENIED); /* it administers nothing */
    struct call_ref ref = let_loose(rig, &call);
    assert_int_equal(desk_begins(rig, &good), ERR_DENIED); /* and it is made once */
    /* Nobody ends another's call. */
    struct msg_end foreign = rig_end_of(&ref, CLASS_OK);
    rig_send_end(rig, &foreign, NULL);
    rig_nothing(rig, rig->broker);
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun fronts = rig_begin_ok(rig, &ask);
    foreign = rig_end_of(&fronts.call, CLASS_OK);
    rig_send(rig, rig->desk, rig->desk_generation, MSG_END, ++rig->seq, &foreign, sizeof foreign, NULL, 0);
    rig_nothing(rig, rig->broker);
    over(rig, &call, &ref, CLASS_OK, "");
    until(rig, "hook", "up");
    rig_clear(rig);
    free(rig);
}

/* The desk's word is not enough: the record says whether anything went out, and more than a handshake. */
static void test_the_record_decides(void **state)
{
    struct rig *rig = start(HOOK);
    have_signed(rig);
    struct msg_push_call call = desk_gets(rig);
    struct msg_push_done done = {.number = call.number};
    rig_send(rig, rig->desk, rig->desk_generation, MSG_PUSH_DONE, 0, &done, sizeof done, NULL, 0);
    admitted(rig);
    have_signed(rig);
    ask_push(rig);
    call = desk_gets(rig);
    struct call_ref ref = let_loose(rig, &call);
    over(rig, &call, &ref, CLASS_REJECTED, "");
    hear_push(rig, "hook", "down");
    assert_int_equal(rig_number(rig, "SELECT missed FROM sink"), 2);
    for (int committed = 0; committed <= 1; committed++) {
        ask_push(rig);
        call = desk_gets(rig);
        ref = let_loose(rig, &call);
        over_with(rig, &call, &ref, CLASS_OK, committed, "");
        hear_push(rig, "hook", committed ? "up" : "down");
    }
    end(rig);
}

/* ── a witness ─────────────────────────────────────────────────────────────────────────────────────── */

static uint8_t witness_public[32], witness_secret[64];

static char *with_witness(char config[1024])
{
    static const uint8_t seed[32] = {7};
    uint8_t typed[33] = {4};
    tree_hash id;
    char hex[9], base64[64];
    crypto_sign_seed_keypair(witness_public, witness_secret, seed);
    memcpy(typed + 1, witness_public, 32);
    sha256_three("w.example", 9, "\n", 1, typed, sizeof typed, id);
    hex_text(id, 4, hex);
    sodium_bin2base64(base64, sizeof base64, typed, sizeof typed, sodium_base64_VARIANT_ORIGINAL);
    snprintf(config, 1024,
             "{\"reserve_mb\":0,\"push\":{\"sinks\":[{\"name\":\"w1\",\"kind\":\"witness\",\"connector\":\"echo\","
             "\"action\":\"say\",\"workspace\":\"default\",\"url\":\"https://w.example\",\"vkey\":\"w.example+%s+%s\"}]}}",
             hex, base64);
    return config;
}

static int64_t member(const char *key)
{
    json_t *object = json_loads(input, 0, NULL);
    int64_t value = json_integer_value(json_object_get(object, key));
    json_decref(object);
    return value;
}

/* A cosignature of what the witness was shown; spoiled: of other bytes. */
static void cosign(char answer[1024], bool spoiled)
{
    json_t *object = json_loads(input, 0, NULL);
    const char *note = json_string_value(json_object_get(object, "checkpoint"));
    uint8_t typed[33] = {4}, bytes[76] = {0};
    char message[2048], base64[200];
    tree_hash id;
    memcpy(typed + 1, witness_public, 32);
    sha256_three("w.example", 9, "\n", 1, typed, sizeof typed, id);
    memcpy(bytes, id, 4);
    bytes[11] = 9;
    int length = snprintf(message, sizeof message, "cosignature/v1\ntime 9\n%.*s",
                          (int)(strstr(note, "\n\n") + 1 - note), note);
    if (spoiled) message[30] ^= 1;
    crypto_sign_detached(bytes + 12, NULL, (uint8_t *)message, (size_t)length, witness_secret);
    sodium_bin2base64(base64, sizeof base64, bytes, sizeof bytes, sodium_base64_VARIANT_ORIGINAL);
    snprintf(answer, 1024, "{\"status\":200,\"cosignature\":\"\\u2014 w.example %s\\n\"}", base64);
    json_decref(object);
}

static void witness_says(struct rig *rig, const struct msg_push_call *call, const char *answer)
{
    struct call_ref ref = let_loose(rig, call);
    over(rig, call, &ref, CLASS_OK, answer);
}

static void test_cosigned(void **state)
{
    char config[1024], answer[1024];
    struct rig *rig = start(with_witness(config));
    have_signed(rig);
    struct msg_push_call call = desk_gets(rig);
    assert_int_equal(member("old"), 0);
    cosign(answer, true); /* the desk, or its connector, makes one up */
    witness_says(rig, &call, answer);
    admitted(rig);
    have_signed(rig);
    ask_push(rig);
    call = desk_gets(rig);
    witness_says(rig, &call, "{\"status\":409,\"size\":1}"); /* it has seen this log before: it is asked once more */
    call = desk_gets(rig);
    assert_int_equal(member("old"), 1);
    assert_non_null(strstr(input, "\"proof\":[\""));
    cosign(answer, false);
    witness_says(rig, &call, answer);
    hear_push(rig, "w1", "up");
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM cosignature WHERE name = 'w.example'"), 1);
    json_decref(rig_entry(rig, 9, NULL)); /* the first one was a miss */
    uint32_t kind;
    json_t *shown = rig_query(rig, MSG_AUDIT_CHECKPOINT, json_pack("{s:i}", "cosigned", 1), &kind);
    assert_int_equal(kind, ERR_NONE);
    assert_non_null(strstr(rig_text(shown, "checkpoint"), "\u2014 w.example "));
    json_decref(shown);
    end(rig);
}

/* A longer log elsewhere: nothing is reset, and no call runs until an administrator has looked. */
static void conflict(const char *answer, bool first_takes)
{
    char config[1024], good[1024];
    struct rig *rig = start(with_witness(config));
    have_signed(rig);
    struct msg_push_call call = desk_gets(rig);
    if (first_takes) {
        cosign(good, false);
        witness_says(rig, &call, good);
        admitted(rig);
        have_signed(rig);
        ask_push(rig);
        call = desk_gets(rig);
    }
    witness_says(rig, &call, answer);
    if (first_takes) hear_push(rig, "w1", "down");
    rig_nothing(rig, rig->runner);
    assert_int_equal(refused(rig), ERR_FROZEN);
    rig_check(rig, 5, NULL, "act", "witness.conflict");
    uint32_t kind;
    json_decref(rig_query(rig, MSG_AUDIT_EPOCH, json_pack("{s:s}", "reason", "the witness was wrong"), &kind));
    assert_int_equal(kind, ERR_NONE);
    admitted(rig);
    have_signed(rig);
    ask_push(rig);
    call = desk_gets(rig);
    witness_says(rig, &call, answer); /* the same claim again: not believed */
    hear_push(rig, "w1", "down");
    admitted(rig);
    end(rig);
}

static void test_a_longer_log_elsewhere(void **state)
{
    conflict("{\"status\":409,\"size\":100000}", false);
    conflict("{\"status\":409,\"size\":100000}", true);
}

static void test_another_log_elsewhere(void **state)
{
    conflict("{\"status\":422}", true);
}

/* None of these is a conflict, none a cosignature. */
static void test_nonsense(void **state)
{
    static const char *const answers[] = {"", "{}", "[]", "{\"status\":\"200\"}", "{\"status\":200}",
                                          "{\"status\":200,\"cosignature\":\"x\"}", "{\"status\":409}",
                                          "{\"status\":409,\"size\":-1}", "{\"status\":409,\"size\":\"9\"}",
                                          "{\"status\":422}", "{\"status\":500}"};
    char config[1024];
    struct rig *rig = start(with_witness(config));
    have_signed(rig);
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        if (i) ask_push(rig);
        struct msg_push_call call = desk_gets(rig);
        assert_int_equal(member("old"), 0);
        witness_says(rig, &call, answers[i]);
        if (i) hear_push(rig, "w1", "down");
        rig_nothing(rig, rig->runner);
    }
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM cosignature"), 0);
    admitted(rig);
    end(rig);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_in_its_time),
        cmocka_unit_test(test_changed_meanwhile),
        cmocka_unit_test(test_gap),
        cmocka_unit_test(test_required),
        cmocka_unit_test(test_an_idle_log_is_pushed_once),
        cmocka_unit_test(test_only_that_call),
        cmocka_unit_test(test_the_record_decides),
        cmocka_unit_test(test_cosigned),
        cmocka_unit_test(test_a_longer_log_elsewhere),
        cmocka_unit_test(test_another_log_elsewhere),
        cmocka_unit_test(test_nonsense),
    };
    if (argc != 2 || sodium_init() < 0) return 2;
    ledger_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
