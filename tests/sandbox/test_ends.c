/* SPDX-License-Identifier: Apache-2.0 */
/* How calls end: crash, exit, hang, silence, floods, limits, wrong frames, wrong objects; and what honest ones get. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "drive.h"
#include "sandbox/policy.h"

static struct drive_how how;

static void start(struct drive *drive, const struct drive_entry *entries, unsigned count)
{
    char why[256] = "";
    if (!drive_start(drive, entries, count, &how, why)) fail_msg("the runner refused: %s", why);
}

static const struct drive_entry odd = {.plugin = PLUGINS "/odd.so",
                                       .settings = "{\"host\":\"mail.example\",\"port\":25}",
                                       .actions = {"run", "crash", "leave", "hang", "silent", "twice", "forge", "bomb",
                                                   "descriptors", "log", "values", "fail", "large", "prefix", "spin"}};
enum { RUN, CRASH, LEAVE, HANG, SILENT, TWICE, FORGE, BOMB, DESCRIPTORS, LOG, VALUES, FAIL, LARGE, PREFIX, SPIN };

static void endings(void **state)
{
    static const struct {
        unsigned action;
        uint32_t class, reason;
        int exit_code, signal;
    } rows[] = {{CRASH, CLASS_CRASHED, REASON_SIGNAL, 0, SIGSEGV},
                {LEAVE, CLASS_CRASHED, REASON_EXIT, 3, 0},
                {HANG, CLASS_TIMEOUT, REASON_DEADLINE, 0, SIGKILL},
                {SILENT, CLASS_CRASHED, REASON_PROTOCOL_ERROR, 89, 0}};
    struct drive drive;
    start(&drive, &odd, 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct drive_call call = {.action = rows[i].action, .deadline_ms = 400};
        drive_call(&drive, &call);
        assert_false(call.replied);
        assert_true(call.ended);
        if (call.end.class != rows[i].class || call.end.reason != rows[i].reason)
            fail_msg("row %zu: class %s, reason %s, exit %d, signal %d", i, class_name(call.end.class),
                     reason_name(call.end.reason), call.end.exit_code, call.end.signal);
        assert_int_equal(call.end.exit_code, rows[i].exit_code);
        assert_int_equal(call.end.signal, rows[i].signal);
        assert_int_equal(call.end.phase, PHASE_CALL);
        drive_call_clear(&call);
    }
    drive_stop(&drive);
}

static json_int_t number(const struct drive_call *call, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(call->reply, "answer"), key));
}

static const char *text(const struct drive_call *call, const char *key)
{
    const char *found = json_string_value(json_object_get(json_object_get(call->reply, "answer"), key));
    return found ? found : "(none)";
}

static void limits_hold(void **state)
{
    struct drive drive;
    struct drive_entry entry = odd;
    entry.memory_mb = 32;
    entry.cpu_s = 1;
    start(&drive, &entry, 1);
    struct drive_call bomb = {.action = BOMB};
    drive_call(&drive, &bomb);
    assert_true(bomb.replied);
    assert_in_range(number(&bomb, "megabytes"), 8, 32);
    drive_call_clear(&bomb);
    struct drive_call fds = {.action = DESCRIPTORS};
    drive_call(&drive, &fds);
    assert_true(fds.replied);
    assert_in_range(number(&fds, "pairs"), 1, 16);
    drive_call_clear(&fds);
    struct drive_call spin = {.action = SPIN, .deadline_ms = 8000};
    drive_call(&drive, &spin);
    assert_int_equal(spin.end.reason, REASON_RESOURCE_LIMIT);
    assert_int_equal(spin.end.signal, SIGXCPU);
    drive_call_clear(&spin);
    struct drive_call large = {.action = LARGE};
    drive_call(&drive, &large);
    assert_int_equal(number(&large, "set"), 0);
    drive_call_clear(&large);
    drive_stop(&drive);
}

static void one_call_one_process(void **state)
{
    struct drive drive;
    start(&drive, &odd, 1);
    for (int i = 0; i < 3; i++) {
        struct drive_call call = {.action = RUN, .secret_name = "token", .secret = "abcdef", .credential = 1};
        drive_call(&drive, &call);
        assert_int_equal(number(&call, "calls"), 1);
        assert_string_equal(text(&call, "kept"), "");
        drive_call_clear(&call);
    }
    drive_stop(&drive);
}

static void frames_from_a_worker(void **state)
{
    struct drive drive;
    start(&drive, &odd, 1);
    struct drive_call twice = {.action = TWICE};
    drive_call(&drive, &twice);
    assert_true(twice.replied);
    assert_int_equal(twice.replies, 1);
    drive_call_clear(&twice);
    /* bytes past the services are the front's to judge: the runner and its cell do not read them */
    struct drive_call forge = {.action = FORGE, .no_done = true};
    drive_call(&drive, &forge);
    assert_true(forge.replies == 1 && json_object_get(forge.reply, "class") == NULL);
    drive_done(&drive, &forge, false);
    drive_call_clear(&forge);
    struct drive_call prefix = {.action = PREFIX, .deadline_ms = 300};
    drive_call(&drive, &prefix);
    assert_false(prefix.replied);
    assert_true(prefix.ended);
    drive_call_clear(&prefix);
    drive_stop(&drive);
}

static void mismatches(void **state)
{
    struct drive drive;
    start(&drive, &odd, 1);
    struct drive_call input = {.action = RUN, .input = "{ }", .tamper_input = true};
    drive_call(&drive, &input);
    assert_false(input.replied);
    assert_int_equal(input.end.reason, REASON_INPUT_DIGEST);
    struct drive_frame *incident = drive_expect(&drive, DRIVE_LEDGER, MSG_INCIDENT, NULL, 2000);
    assert_non_null(incident);
    assert_int_equal(((struct msg_incident *)incident->body)->kind, INCIDENT_DIGEST_MISMATCH);
    assert_memory_equal(&((struct msg_incident *)incident->body)->call, &input.ref, sizeof input.ref);
    drive_drop(incident);
    struct drive_call action = {.action = RUN, .tamper_action = true};
    drive_call(&drive, &action);
    assert_false(action.replied);
    assert_int_equal(action.end.reason, REASON_INPUT_DIGEST);
    struct drive_call nothing = {.action = RUN, .skip_secret = true};
    drive_call(&drive, &nothing);
    assert_false(nothing.replied);
    assert_int_equal(nothing.end.class, CLASS_REFUSED);
    drive_stop(&drive);
}

static void services(void **state)
{
    struct drive drive;
    start(&drive, &odd, 1);
    struct drive_call call = {
        .action = VALUES,
        .take_first = true,
        .input = "{\"a/b\":[\"first\",2],\"yes\":true,\"n\":42,\"blob\":\"aGVsbG8=\",\"bad\":\"aGVsbG8\"}"};
    drive_call(&drive, &call);
    assert_true(call.replied);
    assert_string_equal(text(&call, "name"), "first");
    assert_int_equal(number(&call, "count"), 2);
    assert_int_equal(number(&call, "int"), 42);
    assert_int_equal(number(&call, "blob"), 5);
    assert_int_equal(number(&call, "bad"), 0);
    assert_string_equal(text(&call, "key"), "bad");
    assert_string_equal(text(&call, "json"), "[\"first\",2]");
    assert_string_equal(text(&call, "port"), "25");
    assert_int_equal(number(&call, "refused"), 0);
    assert_int_equal(number(&call, "left"), 1);
    json_t *list = json_object_get(json_object_get(json_object_get(call.reply, "answer"), "deep"), "list");
    assert_int_equal(json_array_size(list), 2);
    assert_string_equal(json_string_value(json_array_get(list, 1)), "mail.example");
    drive_call_clear(&call);
    struct drive_call fail = {.action = FAIL};
    drive_call(&drive, &fail);
    assert_string_equal(json_string_value(json_object_get(fail.reply, "class")), "retryable");
    assert_int_equal(json_integer_value(json_object_get(fail.reply, "retry_after")), 7);
    assert_string_equal(json_string_value(json_object_get(fail.reply, "text")), "later ? please");
    drive_call_clear(&fail);
    drive_stop(&drive);
}

/* The secret in plain, hex, base64 at each alignment, base64url and percent-encoded. */
static void logs_are_masked(void **state)
{
    struct drive drive;
    start(&drive, &odd, 1);
    struct drive_call call = {
        .action = LOG,
        .credential = 1,
        .secret_name = "token",
        .secret = "s3cr?t/valUe>",
        .input =
            "{\"text\":\"s3cr?t/valUe> 733363723f742f76616c55653e 733363723F742F76616C55653E czNjcj90L3ZhbFVlPg== "
            "eHMzY3I/dC92YWxVZT4= eHhzM2NyP3QvdmFsVWU+ eHMzY3I_dC92YWxVZT4 s3cr%3Ft%2FvalUe%3E s3cr%3ft%2fvalUe%3e\"}"};
    drive_call(&drive, &call);
    assert_true(call.replied);
    assert_non_null(strstr(call.log, "plain\\u000aline \\u001b[31m"));
    assert_non_null(strstr(call.log, "the token is [secret]"));
    static const char *const pieces[] = {"s3cr",      "733363",    "NjcjO",    "NjcjkwL3Z",
                                         "zY3I/dC92", "zY3I_dC92", "M2NyP3Qv", "valUe"};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        if (strstr(call.log, pieces[i])) fail_msg("%s is in the log: %s", pieces[i], call.log);
    drive_call_clear(&call);
    drive_stop(&drive);
}

static void loading(void **state)
{
    static const struct {
        const char *plugin;
        uint32_t class, reason;
    } rows[] = {{PLUGINS "/loading1.so", CLASS_TIMEOUT, REASON_LOAD_FAILED},
                {PLUGINS "/loading2.so", CLASS_CRASHED, REASON_LOAD_FAILED},
                {PLUGINS "/loading3.so", CLASS_CRASHED, REASON_LOAD_FAILED},
                {PLUGINS "/loading4.so", CLASS_TIMEOUT, REASON_DEADLINE},
                {PLUGINS "/loading5.so", CLASS_REFUSED, REASON_LOAD_FAILED},
                {PLUGINS "/loading6.so", CLASS_REFUSED, REASON_LOAD_FAILED},
                {PLUGINS "/loading7.so", CLASS_CRASHED, REASON_LOAD_FAILED}};
    enum { COUNT = sizeof rows / sizeof *rows };
    struct drive_entry entries[COUNT + 1] = {{0}};
    struct drive drive;
    for (int i = 0; i < COUNT; i++) entries[i].plugin = rows[i].plugin;
    entries[COUNT] = (struct drive_entry){.plugin = PLUGINS "/odd.so", .wrong_digest = true};
    start(&drive, entries, COUNT + 1);
    for (unsigned i = 0; i < COUNT; i++) {
        struct drive_call call = {.entry = i, .deadline_ms = 1500};
        drive_call(&drive, &call);
        assert_false(call.replied);
        if (call.end.class != rows[i].class || call.end.reason != rows[i].reason)
            fail_msg("%s: class %s, reason %s, exit %d, signal %d", rows[i].plugin, class_name(call.end.class),
                     reason_name(call.end.reason), call.end.exit_code, call.end.signal);
        drive_call_clear(&call);
    }
    struct drive_call changed = {.entry = COUNT};
    drive_call(&drive, &changed);
    assert_false(changed.taken);
    assert_int_equal(changed.end.reason, REASON_LOAD_FAILED);
    drive_stop(&drive);
}

/* Constructors that hang: who is not among the first to load has its whole time all the same, after one of those. */
static void each_loads_in_its_turn(void **state)
{
    enum { MORE = POLICY_LOADING + 2 };
    const struct drive_entry hanging = {.plugin = PLUGINS "/loading1.so", .concurrency = MORE};
    struct drive_call calls[MORE];
    struct drive drive;
    int waited = 0;
    start(&drive, &hanging, 1);
    for (int i = 0; i < MORE; i++) {
        calls[i] = (struct drive_call){.deadline_ms = 20000};
        drive_begin(&drive, &calls[i]);
    }
    for (int i = 0; i < MORE; i++) {
        struct drive_frame *frame = drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &calls[i].ref, 20000);
        assert_non_null(frame);
        const struct msg_worker_ended *ended = (const void *)frame->body;
        assert_int_equal(ended->class, CLASS_TIMEOUT);
        assert_int_equal(ended->reason, REASON_LOAD_FAILED);
        waited += ended->alive_us >= 2000ull * POLICY_LOAD_MS;
        drive_drop(frame);
        drive_call_clear(&calls[i]);
    }
    assert_true(waited >= MORE - POLICY_LOADING);
    drive_stop(&drive);
}

/* A call's deadline that comes while its worker loads, or waits for its turn to, is no strike against the connector. */
static void a_deadline_while_loading(void **state)
{
    const struct drive_entry hanging = {.plugin = PLUGINS "/loading1.so"};
    struct drive drive;
    start(&drive, &hanging, 1);
    for (int i = 0; i < 6; i++) { /* one more than the breaker takes */
        struct drive_call call = {.deadline_ms = 400};
        drive_call(&drive, &call);
        assert_int_equal(call.end.reason, REASON_DEADLINE);
        drive_call_clear(&call);
    }
    assert_null(drive_expect(&drive, DRIVE_LEDGER, MSG_INCIDENT, NULL, 0));
    drive_stop(&drive);
}

/* A cell with as many workers as it can have: the next call waits for one of them to end, and nobody is to blame. */
static void a_full_cell(void **state)
{
    enum { ALL = POLICY_WORKERS };
    static struct drive drive;
    static struct drive_call calls[ALL + 1];
    struct rlimit files;
    struct drive_entry entry = odd;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    entry.concurrency = ALL + 1;
    entry.spares = 1;
    start(&drive, &entry, 1);
    for (int i = 0; i <= ALL; i++) {
        calls[i] = (struct drive_call){.action = HANG, .deadline_ms = 60000};
        drive_begin(&drive, &calls[i]);
        if (i < ALL) assert_true(drive_feed(&drive, &calls[i]));
    }
    drive_done(&drive, &calls[0], false);
    assert_true(drive_feed(&drive, &calls[ALL]));
    assert_null(drive_expect(&drive, DRIVE_LEDGER, MSG_INCIDENT, NULL, 0));
    for (int i = 0; i <= ALL; i++) drive_call_clear(&calls[i]);
    drive_stop(&drive);
}

/* A crash loop rests; the rest of the plugins does not. */
static void breaker(void **state)
{
    struct drive drive;
    const struct drive_entry entries[] = {odd, {.plugin = PLUGINS "/odd.so", .name = "other"}};
    start(&drive, entries, 2);
    for (int i = 0; i < 5; i++) {
        struct drive_call call = {.action = CRASH};
        drive_call(&drive, &call);
        assert_int_equal(call.end.class, CLASS_CRASHED);
        drive_call_clear(&call);
    }
    struct drive_frame *incident = drive_expect(&drive, DRIVE_LEDGER, MSG_INCIDENT, NULL, 2000);
    assert_non_null(incident);
    assert_int_equal(((struct msg_incident *)incident->body)->kind, INCIDENT_BREAKER);
    struct drive_call refused = {.action = RUN}, fine = {.entry = 1};
    drive_call(&drive, &refused);
    assert_false(refused.taken);
    assert_int_equal(refused.end.class, CLASS_REFUSED);
    drive_call(&drive, &fine);
    assert_true(fine.replied);
    drive_call_clear(&fine);
    drive_stop(&drive);
}

/* The cell dies under a running call: an honest end, a new cell, the next call works. */
static void cell_dies(void **state)
{
    struct drive drive;
    pid_t cell;
    start(&drive, &odd, 1);
    struct drive_call call = {.action = HANG};
    drive_begin(&drive, &call);
    assert_true(drive_feed(&drive, &call));
    assert_int_equal(children_of(drive.pid, &cell, 1), 1);
    assert_int_equal(kill(cell, SIGKILL), 0);
    struct drive_frame *ended = drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &call.ref, 5000);
    assert_non_null(ended);
    assert_int_equal(((struct msg_worker_ended *)ended->body)->class, CLASS_LOST);
    drive_drop(ended);
    drive_call_clear(&call);
    struct drive_call next = {.action = RUN};
    drive_call(&drive, &next);
    assert_true(next.replied);
    drive_call_clear(&next);
    drive_stop(&drive);
}

/* A cell that does not come up, and calls that wait for a worker of it: each has an end of its own, and none keeps a
 * worker that is gone, or the place of one. */
static void nobody_waits_for_nothing(void **state)
{
    enum { CALLS = 4 };
    struct drive drive;
    static struct drive_call calls[CALLS];
    const struct drive_entry entry = {.plugin = PLUGINS "/odd.so", .wrong_digest = true, .concurrency = 1};
    start(&drive, &entry, 1);
    for (int i = 0; i < CALLS; i++) {
        calls[i].deadline_ms = 60000;
        drive_begin(&drive, &calls[i]);
    }
    for (int i = 0; i < CALLS; i++) {
        struct drive_frame *ended = drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &calls[i].ref, 10000);
        if (!ended) fail_msg("call %d never ends", i);
        assert_int_equal(((struct msg_worker_ended *)ended->body)->class, CLASS_REFUSED);
        drive_drop(ended);
        struct drive_frame *taken = drive_expect(&drive, DRIVE_FRONT, MSG_TAKEN, &calls[i].ref, 10000);
        assert_non_null(taken);
        assert_int_equal(taken->fd_count, 0);
        drive_drop(taken);
    }
    drive_stop(&drive);
}

/* Frames that cannot be do not end the runner. */
static void hostile_peers(void **state)
{
    struct drive drive;
    start(&drive, &odd, 1);
    struct msg_done done = {{{1}, 1}, 1};
    struct msg_cancel cancel = {{{2}, 1}, 9999};
    struct msg_start bad = {.call = {{3}, 1}, .entry = 4000000000u, .deadline = UINT64_MAX};
    drive_send(&drive, DRIVE_FRONT, MSG_DONE, &done, sizeof done, -1);
    drive_send(&drive, DRIVE_FRONT, MSG_START, &bad, sizeof bad, -1); /* the front may not start */
    drive_send(&drive, DRIVE_LEDGER, MSG_CANCEL, &cancel, sizeof cancel, -1);
    drive_send(&drive, DRIVE_LEDGER, MSG_START, &bad, sizeof bad, -1);
    drive_send(&drive, DRIVE_VAULT, MSG_REVOKE, &done, sizeof done, -1);
    for (unsigned type = 0; type < 200; type++) drive_send(&drive, DRIVE_FRONT, type, &bad, type, -1);
    struct drive_frame *ended = drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &bad.call, 3000);
    assert_non_null(ended);
    assert_int_equal(((struct msg_worker_ended *)ended->body)->class, CLASS_REFUSED);
    struct drive_call call = {.action = RUN};
    drive_call(&drive, &call);
    assert_true(call.replied);
    struct msg_take again = {call.ref};
    drive_send(&drive, DRIVE_FRONT, MSG_TAKE, &again, sizeof again, -1);
    struct drive_frame *taken = drive_expect(&drive, DRIVE_FRONT, MSG_TAKEN, &call.ref, 5000);
    assert_non_null(taken);
    assert_int_equal(taken->fd_count, 0);
    drive_call_clear(&call);
    drive_stop(&drive);
}

int main(int argc, char **argv)
{
    how.as_nobody = argc > 1 && strcmp(argv[1], "nobody") == 0;
    if (how.as_nobody && getuid() != 0) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endings),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(one_call_one_process),
        cmocka_unit_test(frames_from_a_worker),
        cmocka_unit_test(mismatches),
        cmocka_unit_test(services),
        cmocka_unit_test(logs_are_masked),
        cmocka_unit_test(loading),
        cmocka_unit_test(each_loads_in_its_turn),
        cmocka_unit_test(a_deadline_while_loading),
        cmocka_unit_test(a_full_cell),
        cmocka_unit_test(breaker),
        cmocka_unit_test(cell_dies),
        cmocka_unit_test(nobody_waits_for_nothing),
        cmocka_unit_test(hostile_peers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
