/* SPDX-License-Identifier: Apache-2.0 */
/* Ends against the real process: how they are joined from three sides, and what a death leaves behind. */
#include <linux/audit.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "rig.h"

/* ── joining ends ──────────────────────────────────────────────────────────────────────────────────── */

static void tell_worker(struct rig *rig, const struct call_ref *call, enum call_class class, enum call_reason reason,
                        int signal)
{
    struct msg_worker_ended ended = {.call = *call,
                                     .class = (uint32_t) class,
                                     .reason = (uint32_t)reason,
                                     .signal = signal,
                                     .phase = class == CLASS_REFUSED ? PHASE_LOAD : PHASE_CALL,
                                     .report_count = class == CLASS_VIOLATION,
                                     .reports = {{.number = 41, .args = {2, 1, UINT64_MAX}}}};
    rig_send(rig, rig->runner, rig->runner_generation, MSG_WORKER_ENDED, 0, &ended, sizeof ended, NULL, 0);
}

/* The front saw a broken pipe; the cell saw why. */
static void test_violation(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    struct msg_end end = rig_end_of(&begun.call, CLASS_CRASHED);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 1, 10, false);
    tell_worker(rig, &begun.call, CLASS_VIOLATION, REASON_SYSCALL, 9);
    struct msg_ended ended = rig_ended(rig);
    assert_int_equal(ended.class, CLASS_VIOLATION);
    assert_int_equal(ended.reason, REASON_SYSCALL);
    assert_int_equal(ended.sent, SENT_MAYBE);
    json_t *body = rig_entry(rig, 2, &begun.call);
    assert_string_equal(rig_text(body, "front_class"), "crashed");
    const json_t *report = json_array_get(json_object_get(body, "reports"), 0);
    assert_int_equal(json_integer_value(json_object_get(report, "number")), 41);
    assert_string_equal(json_string_value(json_array_get(json_object_get(report, "args"), 2)), "ffffffffffffffff");
    json_decref(body);
}

/* Out of time, its channels closed, a worker may end by itself before it is killed: that is no crash. One that crashed
 * while it had time is one, whatever the front says. */
static void test_crash_past_the_deadline(void **state)
{
    struct rig *rig = *state;
    for (int late = 0; late < 2; late++) {
        struct msg_begin ask = rig_ask(rig);
        if (late) ask.deadline = clock_now() + 300 * CLOCK_MS;
        struct msg_begun begun = rig_begin_ok(rig, &ask);
        while (late && clock_now() < ask.deadline) usleep(1000);
        struct msg_end end = rig_end_of(&begun.call, CLASS_TIMEOUT);
        end.reason = REASON_DEADLINE;
        rig_send_end(rig, &end, NULL);
        tell_worker(rig, &begun.call, CLASS_CRASHED, REASON_PROTOCOL_ERROR, 0);
        rig_gate(rig, &begun.call, 0, 0, false);
        struct msg_ended ended = rig_ended(rig);
        assert_int_equal(ended.class, late ? CLASS_TIMEOUT : CLASS_CRASHED);
        assert_int_equal(ended.reason, late ? REASON_DEADLINE : REASON_PROTOCOL_ERROR);
    }
}

/* The runner says nothing: the outcome waits a quarter of a second for it, and no longer. */
static void test_crash_alone(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    struct msg_end end = rig_end_of(&begun.call, CLASS_CRASHED);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 0, 0, false);
    struct msg_ended ended = rig_ended(rig);
    assert_int_equal(ended.class, CLASS_CRASHED);
    assert_int_equal(ended.sent, SENT_NO);

    /* What comes later is an incident that names the call. */
    tell_worker(rig, &begun.call, CLASS_VIOLATION, REASON_SYSCALL, 31);
    for (int i = 0; i < 1000 && rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 4") == 0; i++) usleep(5000);
    rig_check(rig, 4, NULL, "event", "late_end");
    rig_verify(rig);
}

/* ── what workers tried ────────────────────────────────────────────────────────────────────────────── */

static void tell_tried(struct rig *rig, const struct call_ref *call, int32_t number, uint64_t first)
{
    struct msg_worker_tried tried = {
        .call = *call, .phase = PHASE_CALL, .what = {.number = number, .arch = AUDIT_ARCH_X86_64, .args = {first}}};
    rig_send(rig, rig->runner, rig->runner_generation, MSG_WORKER_TRIED, 0, &tried, sizeof tried, NULL, 0);
}

static void tell_end(struct rig *rig, const struct call_ref *call, uint32_t count)
{
    struct msg_worker_ended ended = {.call = *call, .class = CLASS_OK, .signal = 9, .report_count = count};
    ended.reports[0] = (struct violation){.number = 257, .arch = AUDIT_ARCH_X86_64, .args = {1}};
    rig_send(rig, rig->runner, rig->runner_generation, MSG_WORKER_ENDED, 0, &ended, sizeof ended, NULL, 0);
}

static void check_report(const json_t *body, size_t index, const char *name, int number)
{
    const json_t *report = json_array_get(json_object_get(body, "reports"), index);
    assert_string_equal(rig_text(report, "name"), name);
    assert_int_equal(json_integer_value(json_object_get(report, "number")), number);
    assert_int_equal(json_array_size(json_object_get(report, "args")), 6);
}

/* A good reply does not hide what was tried before it: the outcome has it, by name. */
static void test_tried(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    tell_tried(rig, &begun.call, 257, 1);
    tell_tried(rig, &begun.call, 257, 1);
    tell_tried(rig, &begun.call, 0x40000000 + 39, 2);
    rig_nothing(rig, rig->runner);
    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 0, 0, false);
    assert_int_equal(rig_ended(rig).class, CLASS_OK);
    json_t *body = rig_entry(rig, 2, &begun.call);
    assert_int_equal(json_array_size(json_object_get(body, "reports")), 2);
    assert_int_equal(json_integer_value(json_object_get(body, "report_count")), 3);
    check_report(body, 0, "openat", 257);
    check_report(body, 1, "x32:getpid", 0x40000000 + 39);
    json_decref(body);
    /* the worker's end says nothing new */
    tell_end(rig, &begun.call, 3);
    rig_nothing(rig, rig->runner);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 4"), 0);
    rig_verify(rig);
}

/* Whoever reports may be taken over: no report in front of one leaves a record that nobody can read. */
static void test_empty_report(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    struct msg_end end = rig_end_of(&begun.call, CLASS_CRASHED);
    struct msg_worker_ended ended = {
        .call = begun.call, .class = CLASS_CRASHED, .phase = PHASE_CALL, .report_count = 2};
    ended.reports[1] = (struct violation){.number = 257, .arch = AUDIT_ARCH_X86_64, .args = {1}};
    rig_send(rig, rig->runner, rig->runner_generation, MSG_WORKER_ENDED, 0, &ended, sizeof ended, NULL, 0);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 0, 0, false);
    assert_int_equal(rig_ended(rig).class, CLASS_CRASHED);
    json_t *body = rig_entry(rig, 2, &begun.call);
    assert_int_equal(json_array_size(json_object_get(body, "reports")), 1);
    check_report(body, 0, "openat", 257);
    json_decref(body);
    rig_verify(rig);
}

/* Nobody can add to a call that is over; what its worker tried after the reply is an incident. */
static void test_tried_late(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun quiet = rig_begin_ok(rig, &ask), loud = rig_begin_ok(rig, &ask);
    const struct call_ref *calls[] = {&quiet.call, &loud.call};
    tell_tried(rig, &loud.call, 257, 1);
    rig_nothing(rig, rig->runner);
    for (int i = 0; i < 2; i++) {
        struct msg_end end = rig_end_of(calls[i], CLASS_OK);
        rig_send_end(rig, &end, NULL);
        rig_gate(rig, calls[i], 0, 0, false);
        assert_int_equal(rig_ended(rig).class, CLASS_OK);
        tell_tried(rig, calls[i], 41, 7);
    }
    tell_end(rig, &quiet.call, 0);
    rig_nothing(rig, rig->runner);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 4"), 0);
    tell_end(rig, &quiet.call, 1);
    tell_end(rig, &loud.call, 2);
    for (int i = 0; i < 1000 && rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 4") < 2; i++) usleep(5000);
    for (int i = 0; i < 2; i++) {
        json_t *body = rig_entry(rig, 4, calls[i]);
        assert_string_equal(rig_text(body, "event"), "late_end");
        check_report(body, 0, "openat", 257);
        json_decref(body);
    }
    rig_verify(rig);
}

static void test_no_worker(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_keyed(rig, "order-5");
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    tell_worker(rig, &begun.call, CLASS_REFUSED, REASON_NO_WORKER, 0);
    rig_take(rig, rig->vault, MSG_ORDER_CANCEL, NULL);
    rig_gate(rig, &begun.call, 0, 0, false);
    rig_take(rig, rig->runner, MSG_CANCEL, NULL);
    struct msg_end end = rig_end_of(&begun.call, CLASS_REFUSED);
    end.reason = REASON_NO_WORKER;
    rig_send_end(rig, &end, NULL);
    struct msg_ended ended = rig_ended(rig);
    assert_int_equal(ended.status.kind, ERR_NONE);
    assert_int_equal(ended.class, CLASS_REFUSED);
    assert_int_equal(ended.reason, REASON_NO_WORKER);
    assert_int_equal(ended.sent, SENT_NO);
    assert_int_equal(rig_begin_ok(rig, &ask).call.attempt, 2);
}

/* Its action was running when it left by an exit code that says "nothing ran": what broker and front saw stands. */
static void test_borrowed_exits(void **state)
{
    static const struct {
        uint32_t dials, log_lines;
        uint64_t up;
        bool committed, ran;
    } rows[] = {{0, 0, 0, false, false}, {1, 0, 10, false, true}, {1, 0, 0, false, true},
                {0, 0, 0, true, true},   {0, 0, 7, false, true},  {0, 1, 0, false, true}};
    struct rig *rig = *state;
    for (size_t i = 0; i < 2 * (sizeof rows / sizeof *rows); i++) {
        struct msg_begin ask = rig_ask(rig);
        struct msg_begun begun = rig_begin_ok(rig, &ask);
        struct msg_worker_ended left = {.call = begun.call,
                                        .class = CLASS_REFUSED,
                                        .reason = i % 2 ? REASON_INPUT_DIGEST : REASON_NO_WORKER,
                                        .exit_code = i % 2 ? 86 : 80,
                                        .phase = PHASE_CALL};
        rig_send(rig, rig->runner, rig->runner_generation, MSG_WORKER_ENDED, 0, &left, sizeof left, NULL, 0);
        rig_nothing(rig, rig->broker); /* the front has read the log, and is asked first */
        struct msg_end end = rig_end_of(&begun.call, CLASS_CRASHED);
        end.log_lines = rows[i / 2].log_lines;
        rig_send_end(rig, &end, NULL);
        rig_gate(rig, &begun.call, rows[i / 2].dials, rows[i / 2].up, rows[i / 2].committed);
        struct msg_ended ended = rig_ended(rig);
        assert_int_equal(ended.class, rows[i / 2].ran ? CLASS_CRASHED : CLASS_REFUSED);
        assert_int_equal(ended.reason, rows[i / 2].ran ? REASON_EXIT : left.reason);
        assert_int_equal(ended.sent, rows[i / 2].up ? SENT_MAYBE : SENT_NO);
    }
}

/* Frames for calls that never were, and with numbers out of range: answered or dropped, and nothing ends. */
static void test_hostile_frames(void **state)
{
    struct rig *rig = *state;
    struct call_ref none = {.attempt = 1};
    struct msg_end end = rig_end_of(&none, CLASS_OK);
    int64_t before = rig_number(rig, "SELECT count(*) FROM entry");
    rig_send_end(rig, &end, NULL);
    assert_int_equal(rig_ended(rig).status.kind, ERR_NOT_FOUND);
    end.call.attempt = 0;
    rig_send_end(rig, &end, NULL);
    end.call.attempt = 1;
    end.class = 77;
    rig_send_end(rig, &end, NULL);
    end.class = CLASS_OK;
    end.answer_length = 12;
    rig_send(rig, rig->front[0], rig->front_generation, MSG_END, 1, &end, sizeof end, NULL, 0);
    tell_worker(rig, &none, CLASS_CRASHED, REASON_NONE, 11);
    tell_worker(rig, &none, (enum call_class)99, REASON_NONE, 11);
    struct msg_incident incident = {.kind = 4000000000u, .entry = 4000000000u};
    rig_send(rig, rig->runner, rig->runner_generation, MSG_INCIDENT, 0, &incident, sizeof incident, NULL, 0);
    struct msg_gate_closed gate = {.call = none, .known = 1};
    rig_send(rig, rig->broker, rig->broker_generation, MSG_GATE_CLOSED, 0, &gate, sizeof gate, NULL, 0);
    rig_send(rig, rig->front[0], rig->front_generation, MSG_TOKEN_LIST, 1, &(struct msg_query){0},
             sizeof(struct msg_query), NULL, 0);
    rig_send(rig, rig->front[0], rig->front_generation, 60000, 1, "x", 1, NULL, 0);
    rig_nothing(rig, rig->front[0]);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry"), before);
    struct msg_begin ask = rig_ask(rig);
    assert_int_equal(rig_call(rig, &ask, CLASS_OK, 1, true).class, CLASS_OK);
}

/* ── after a death ─────────────────────────────────────────────────────────────────────────────────── */

static void test_front_died(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    rig_replace(rig, ROLE_FRONT);
    rig_take(rig, rig->vault, MSG_ORDER_CANCEL, NULL);
    rig_take(rig, rig->runner, MSG_CANCEL, NULL);
    rig_gate(rig, &begun.call, 1, 40, false);
    tell_worker(rig, &begun.call, CLASS_CRASHED, REASON_CANCELLED, 9);
    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    struct msg_ended ended = {.status = {.kind = ERR_UNAVAILABLE}};
    rig_send_end(rig, &end, NULL); /* of the new front: too late, and answered with what is written */
    ended = rig_ended(rig);
    assert_int_equal(ended.class, CLASS_LOST);
    assert_int_equal(ended.sent, SENT_MAYBE);
    assert_int_equal(ended.reason, REASON_RESTART);
}

/* A younger broker knows nothing: what was sent can only be "maybe". */
static void test_broker_died(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    rig_replace(rig, ROLE_BROKER);
    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    rig_send_end(rig, &end, NULL);
    struct msg_ended ended = rig_ended(rig);
    assert_int_equal(ended.class, CLASS_OK);
    assert_int_equal(ended.sent, SENT_MAYBE);
    rig_check(rig, 2, &begun.call, "broker", "unknown");
}

static void test_runner_died(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun kept = rig_begin_ok(rig, &ask), lost = rig_begin_ok(rig, &ask);
    rig_replace(rig, ROLE_RUNNER);
    struct msg_end end = rig_end_of(&kept.call, CLASS_OK); /* the reply had come before the death */
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &kept.call, 1, 5, true);
    assert_int_equal(rig_ended(rig).class, CLASS_OK);
    rig_gate(rig, &lost.call, 0, 0, false); /* asked by the ledger by itself */
    end = rig_end_of(&lost.call, CLASS_CRASHED);
    rig_send_end(rig, &end, NULL);
    struct msg_ended ended = rig_ended(rig);
    assert_int_equal(ended.class, CLASS_LOST);
    assert_int_equal(ended.reason, REASON_RESTART);
    assert_int_equal(ended.sent, SENT_NO);
}

/* Nobody says END: the ledger ends the call by itself after its deadline. */
static void test_silent_front(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    ask.deadline = clock_now() + CLOCK_S / 10;
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    rig_gate(rig, &begun.call, 1, 7, false);
    tell_worker(rig, &begun.call, CLASS_TIMEOUT, REASON_DEADLINE, 9);
    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    rig_send_end(rig, &end, NULL);
    struct msg_ended ended = rig_ended(rig);
    assert_int_equal(ended.class, CLASS_TIMEOUT);
    assert_int_equal(ended.sent, SENT_MAYBE);
}

/* A part that is away: nothing is let loose, nothing written, and the key is free. */
static void test_runner_away(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_keyed(rig, "order-6");
    close(rig->runner);
    rig->runner = -1;
    rig_nothing(rig, rig->broker); /* by now the ledger has seen it */
    int64_t before = rig_number(rig, "SELECT count(*) FROM entry");
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_UNAVAILABLE);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry"), before);
    rig_replace(rig, ROLE_RUNNER);
    assert_int_equal(rig_begin_ok(rig, &ask).call.attempt, 1);
}

/* A part that takes no more: the call that does not fit is taken back, and its record says so. */
static void test_vault_stuck(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun begun = {0};
    rig->mute_vault = true; /* and the test takes none of its frames */
    for (int i = 0; i < 2000 && begun.status.kind == ERR_NONE; i++) {
        begun = rig_begin(rig, &ask);
        if (begun.status.kind != ERR_NONE) break;
        rig_take(rig, rig->broker, MSG_GATE_OPEN, NULL);
        rig_take(rig, rig->runner, MSG_START, NULL);
    }
    assert_int_equal(begun.status.kind, ERR_UNAVAILABLE);
    for (int i = 0; i < 1000 && rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 2") == 0; i++) usleep(5000);
    json_t *outcome = rig_entry(rig, 2, &begun.call);
    assert_string_equal(rig_text(outcome, "class"), "refused");
    assert_string_equal(rig_text(outcome, "reason"), "no_worker");
    assert_string_equal(rig_text(outcome, "sent"), "no");
    json_decref(outcome);
    rig_nothing(rig, rig->runner);
}

#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_violation),      RIG_TEST(test_crash_alone),    RIG_TEST(test_no_worker),
        RIG_TEST(test_borrowed_exits), RIG_TEST(test_hostile_frames), RIG_TEST(test_front_died),
        RIG_TEST(test_broker_died),    RIG_TEST(test_runner_died),    RIG_TEST(test_silent_front),
        RIG_TEST(test_runner_away),    RIG_TEST(test_vault_stuck),    RIG_TEST(test_crash_past_the_deadline),
        RIG_TEST(test_tried),          RIG_TEST(test_empty_report),   RIG_TEST(test_tried_late),
    };
    ledger_path = count > 1 ? arguments[1] : "";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
