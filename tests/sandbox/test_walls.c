/* SPDX-License-Identifier: Apache-2.0 */
/* What a connector tries, in its constructor and in its action, against the real runner, cell and worker. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drive.h"
#include "plugins/attack.h"

static struct drive_how how;

static long try_one(struct drive *drive, const char *name, struct drive_call *call)
{
    char input[128];
    snprintf(input, sizeof input, "{\"try\":\"%s\"}", name);
    *call = (struct drive_call){.input = input};
    drive_call(drive, call);
    call->input = NULL;
    return call->replied ? (long)json_integer_value(json_object_get(json_object_get(call->reply, "answer"), "result"))
                         : 0;
}

static void start(struct drive *drive, const struct drive_entry *entries, unsigned count)
{
    char why[256] = "";
    if (!drive_start(drive, entries, count, &how, why)) fail_msg("the runner refused: %s", why);
}

static void refused_in_the_action(void **state)
{
    struct drive drive;
    const struct drive_entry entry = {.plugin = PLUGINS "/attacker.so"};
    start(&drive, &entry, 1);
    for (int i = 0; i < REFUSED_COUNT; i++) {
        struct drive_call call;
        long got = try_one(&drive, refused_attacks[i].name, &call);
        if (!call.replied)
            fail_msg("%s: no reply, class %s signal %d", refused_attacks[i].name, class_name(call.end.class),
                     call.end.signal);
        if (got >= 0) fail_msg("%s went through: %ld", refused_attacks[i].name, got);
        drive_call_clear(&call);
    }
    drive_stop(&drive);
}

static void killed_in_the_action(void **state)
{
    struct drive drive;
    const struct drive_entry entry = {.plugin = PLUGINS "/attacker.so"};
    start(&drive, &entry, 1);
    for (int i = 0; i < KILLING_COUNT; i++) {
        struct drive_call call;
        try_one(&drive, killing_attacks[i].name, &call);
        /* a kernel without the 32-bit table answers its gate with a fault */
        bool no_gate = strcmp(killing_attacks[i].name, "int-80") == 0 && call.end.signal == SIGSEGV;
        if (call.replied || !call.ended ||
            (!no_gate && (call.end.class != CLASS_VIOLATION || call.end.signal != SIGSYS)))
            fail_msg("%s: replied %d, class %s, signal %d", killing_attacks[i].name, call.replied,
                     class_name(call.end.class), call.end.signal);
        assert_int_equal(call.end.phase, PHASE_CALL);
        drive_call_clear(&call);
        if (i % 4 == 3) { /* the breaker counts failures in a row */
            struct drive_call honest = {.input = "{}"};
            drive_call(&drive, &honest);
            assert_true(honest.replied);
            drive_call_clear(&honest);
        }
    }
    drive_stop(&drive);
}

static void constructor_has_no_more_rights(void **state)
{
    struct drive drive;
    const struct drive_entry entry = {.plugin = PLUGINS "/early.so", .actions = {"early"}};
    start(&drive, &entry, 1);
    struct drive_call call = {.input = "{}"};
    drive_call(&drive, &call);
    if (!call.replied)
        fail_msg("class %s, reason %s, exit %d, signal %d", class_name(call.end.class), reason_name(call.end.reason),
                 call.end.exit_code, call.end.signal);
    json_t *answer = json_object_get(call.reply, "answer");
    for (int i = 0; i < REFUSED_COUNT; i++) {
        json_t *got = json_object_get(answer, refused_attacks[i].name);
        assert_true(json_is_integer(got));
        if (json_integer_value(got) >= 0) fail_msg("%s went through in the constructor", refused_attacks[i].name);
    }
    drive_call_clear(&call);
    /* the attempts are reported although the reply was good */
    struct drive_frame *ended = drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, NULL, 5000);
    assert_non_null(ended);
    const struct msg_worker_ended *body = (const void *)ended->body;
    assert_int_equal(body->class, CLASS_OK);
    assert_true(body->report_count >= 8);
    assert_int_equal(body->reports[0].number, SYS_openat);
    drive_drop(ended);
    drive_stop(&drive);
}

static void constructor_is_killed(void **state)
{
    struct drive drive;
    const struct drive_entry entry = {.plugin = PLUGINS "/early-killed.so"};
    start(&drive, &entry, 1);
    struct drive_call call = {.input = "{}"};
    drive_call(&drive, &call);
    assert_false(call.replied);
    assert_int_equal(call.end.class, CLASS_VIOLATION);
    assert_int_equal(call.end.phase, PHASE_LOAD);
    drive_call_clear(&call);
    drive_stop(&drive);
}

static void attempts_are_reported(void **state)
{
    struct drive drive;
    const struct drive_entry entry = {.plugin = PLUGINS "/odd.so", .actions = {"flood"}};
    start(&drive, &entry, 1);
    struct drive_call call = {.input = "{}"};
    drive_call(&drive, &call);
    assert_false(call.replied);
    assert_int_equal(call.end.class, CLASS_VIOLATION);
    assert_int_equal(call.end.reason, REASON_SYSCALL);
    assert_int_equal(call.end.reports[0].number, SYS_openat);
    assert_int_equal(call.end.reports[0].args[2], O_RDONLY);
    drive_call_clear(&call);
    drive_stop(&drive);
}

/* Nothing of a run is left behind: descriptors of the runner, processes of cells. */
static void nothing_leaks(void **state)
{
    struct drive drive;
    const struct drive_entry entry = {.plugin = PLUGINS "/attacker.so"};
    pid_t cells[4];
    start(&drive, &entry, 1);
    unsigned before = 0;
    for (int i = 0; i < 40; i++) {
        struct drive_call call;
        try_one(&drive, i % 4 == 1 ? "ptrace" : "send-fds", &call);
        drive_call_clear(&call);
        if (i == 3) before = fds_of(drive.pid);
    }
    struct drive_call last;
    try_one(&drive, "ptrace", &last); /* its death is reported after all deaths before it */
    drive_call_clear(&last);
    unsigned count = children_of(drive.pid, cells, 4);
    assert_int_equal(count, 1);
    assert_int_equal(children_of(cells[0], NULL, 0), 0);
    assert_true(fds_of(drive.pid) <= before);
    drive_stop(&drive);
    assert_int_equal(kill(cells[0], 0), -1);
}

int main(int argc, char **argv)
{
    how.as_nobody = argc > 1 && strcmp(argv[1], "nobody") == 0;
    if (how.as_nobody && getuid() != 0) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refused_in_the_action),          cmocka_unit_test(killed_in_the_action),
        cmocka_unit_test(constructor_has_no_more_rights), cmocka_unit_test(constructor_is_killed),
        cmocka_unit_test(attempts_are_reported),          cmocka_unit_test(nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
