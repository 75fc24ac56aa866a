/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of refused system calls: told before the worker gets on, whatever it does afterwards; and what is tried while
 * loading is told although there may never be a call. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "drive.h"

static struct drive_how how;
enum { RUN, OPEN, MANY, CRASH, LEAVE, FAIL, LATE, FORGE, KILLED, FLOOD };
#define ACTIONS                                                                                                        \
    {                                                                                                                  \
        "run", "open", "many", "crash", "leave", "fail", "late", "forge", "killed", "flood"                            \
    }
static const struct drive_entry tries = {.plugin = PLUGINS "/tries.so", .actions = ACTIONS};
static const struct call_ref no_call;

static void start(struct drive *drive, const struct drive_entry *entry)
{
    char why[256] = "";
    if (!drive_start(drive, entry, 1, &how, why)) fail_msg("the runner refused: %s", why);
}

/* The n-th report that the ledger heard is of this call, and an openat. */
static void check_tried(const struct drive *drive, unsigned n, const struct call_ref *call)
{
    assert_true(n < drive->tried_count);
    assert_memory_equal(&drive->tried[n].call, call, sizeof *call);
    assert_int_equal(drive->tried[n].what.number, SYS_openat);
    assert_int_equal(drive->tried[n].what.arch, 0xc000003e);
}

/* Not one byte of the reply comes while nobody can write the report down. */
static void no_reply_before_its_reports(void **state)
{
    struct drive drive;
    start(&drive, &tries);
    struct drive_call call = {.action = OPEN, .stop_runner = true, .deadline_ms = 9000};
    drive_begin(&drive, &call);
    assert_true(drive_feed(&drive, &call));
    struct pollfd replies = {.fd = call.replies_fd, .events = POLLIN};
    int early = poll(&replies, 1, 300);
    kill(drive.pid, SIGCONT); /* before anything can fail: a stopped process would stay */
    assert_int_equal(early, 0);
    drive_replies(&drive, &call);
    assert_true(call.replied);
    /* and when it is there, the report stands in the ledger's line already */
    struct drive_frame *ended = drive_expect(&drive, DRIVE_LEDGER, MSG_INCIDENT, NULL, 1);
    assert_null(ended);
    drive_done(&drive, &call, true);
    drive_drop(drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &call.ref, 5000));
    check_tried(&drive, 0, &call.ref);
    drive_call_clear(&call);
    drive_stop(&drive);
}

/* A worker that is quiet does not wait for a runner. */
static void nothing_tried_nothing_told(void **state)
{
    struct drive drive;
    start(&drive, &tries);
    struct drive_call call = {.action = FORGE, .stop_runner = true, .deadline_ms = 9000};
    drive_begin(&drive, &call);
    assert_true(drive_feed(&drive, &call));
    drive_replies(&drive, &call);
    kill(drive.pid, SIGCONT);
    assert_true(call.replied);
    drive_done(&drive, &call, true);
    drive_call_clear(&call);
    struct drive_call next = {.action = CRASH}; /* what comes after it has come */
    drive_call(&drive, &next);
    assert_true(next.ended);
    assert_int_equal(drive.tried_count, 1);
    check_tried(&drive, 0, &next.ref);
    drive_call_clear(&next);
    drive_stop(&drive);
}

/* Whatever the worker does next, its report is told, with the call that it belongs to. */
static void told_whatever_comes_next(void **state)
{
    static const unsigned actions[] = {OPEN, CRASH, LEAVE, FAIL};
    struct drive drive;
    start(&drive, &tries);
    for (unsigned i = 0; i < sizeof actions / sizeof *actions; i++) {
        struct drive_call call = {.action = actions[i]};
        drive_call(&drive, &call);
        struct drive_frame *ended = call.ended ? NULL
                                               : drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &call.ref, 5000);
        assert_true(call.ended || ended);
        assert_int_equal(drive.tried_count, i + 1);
        check_tried(&drive, i, &call.ref);
        assert_int_equal(drive.tried[i].phase, PHASE_CALL);
        drive_drop(ended);
        drive_call_clear(&call);
    }
    drive_stop(&drive);
}

static bool has_replied(const struct drive_call *call, int ms)
{
    return poll(&(struct pollfd){.fd = call->replies_fd, .events = POLLIN}, 1, ms) > 0;
}

/* The ledger does not read: workers stand still, and when it reads again, it hears of every attempt and every end. */
static void nothing_is_lost(void **state)
{
    enum { CALLS_MADE = 48 };
    static struct drive_call calls[CALLS_MADE];
    struct drive drive;
    unsigned made = 0, attempts = 0;
    start(&drive, &tries);
    drive.room = 4096;
    drive_replace(&drive, DRIVE_LEDGER);
    drive.deaf = true;
    for (bool stands = false; !stands; made++) {
        struct drive_call *call = &calls[made];
        if (made == CALLS_MADE) fail_msg("no worker waits for the ledger");
        *call = (struct drive_call){.action = MANY, .deadline_ms = 60000};
        drive_begin(&drive, call);
        assert_true(drive_feed(&drive, call));
        stands = !has_replied(call, 1000);
        if (stands) continue;
        drive_replies(&drive, call);
        drive_done(&drive, call, true);
    }
    struct drive_call *last = &calls[made - 1], killed = {.action = KILLED}, quiet = {.action = RUN};
    drive_begin(&drive, &killed);
    assert_true(drive_feed(&drive, &killed));
    assert_true(has_replied(&killed, 10000)); /* the runner hears of this end before the next worker is ready */
    drive_call(&drive, &quiet);
    assert_true(quiet.replied);
    drive_call_clear(&quiet);
    drive.deaf = false;
    for (int i = 0; i < 200 && !has_replied(last, 0); i++)
        assert_null(drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &last->ref, 50));
    drive_replies(&drive, last);
    drive_done(&drive, last, true);
    for (unsigned i = 0; i < made; i++) {
        struct drive_frame *ended = drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &calls[i].ref, 10000);
        if (!ended) fail_msg("nobody heard of the end of call %u", i);
        attempts += ((struct msg_worker_ended *)ended->body)->report_count;
        drive_drop(ended);
        assert_true(calls[i].replied);
        drive_call_clear(&calls[i]);
    }
    struct drive_frame *end = drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &killed.ref, 10000);
    assert_non_null(end);
    drive_drop(end);
    drive_call_clear(&killed);
    assert_int_equal(attempts, 17 * made);
    assert_int_equal(drive.tried_count, attempts);
    drive_stop(&drive);
}

static void equal_ones_are_counted(void **state)
{
    struct drive drive;
    start(&drive, &tries);
    struct drive_call call = {.action = MANY};
    drive_call(&drive, &call);
    assert_true(call.replied);
    struct drive_frame *ended = drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &call.ref, 5000);
    assert_non_null(ended);
    const struct msg_worker_ended *body = (const void *)ended->body;
    assert_int_equal(body->report_count, 17);
    assert_int_equal(drive.tried_count, 17);
    for (int i = 0; i < REPORTS; i++)
        for (int j = 0; j < i; j++)
            assert_true(memcmp(&body->reports[i], &body->reports[j], sizeof *body->reports) != 0);
    drive_drop(ended);
    drive_call_clear(&call);
    drive_stop(&drive);
}

/* What is too much for one call is counted call by call: an honest library that looks for a file in each of them must
 * not cost the lease its life, and a flood in one call must. */
static void leases_are_counted_by_call(void **state)
{
    struct drive drive;
    const struct drive_entry leased = {
        .plugin = PLUGINS "/tries.so", .actions = ACTIONS, .lease = true, .calls = 100, .idle_s = 60};
    uint32_t channel = 0;
    start(&drive, &leased);
    for (int i = 0; i < 12; i++) { /* 17 in each */
        struct drive_call call = {.action = MANY};
        drive_call(&drive, &call);
        assert_true(call.replied);
        if (i > 0) assert_int_equal(call.channel, channel); /* the same worker */
        channel = call.channel;
        drive_call_clear(&call);
    }
    struct drive_call flood = {.action = FLOOD};
    drive_call(&drive, &flood);
    assert_false(flood.replied);
    assert_int_equal(flood.end.class, CLASS_VIOLATION);
    assert_int_equal(flood.end.reason, REASON_SYSCALL);
    drive_call_clear(&flood);
    drive_stop(&drive);
}

static void check_incident(struct drive *drive, const struct call_ref *call)
{
    struct drive_frame *told = drive_expect(drive, DRIVE_LEDGER, MSG_INCIDENT, NULL, 10000);
    assert_non_null(told);
    const struct msg_incident *body = (const void *)told->body;
    assert_int_equal(body->kind, INCIDENT_LOAD);
    assert_memory_equal(body->entry_digest, drive->digests[0], HASH_BYTES);
    assert_memory_equal(&body->call, call, sizeof *call);
    assert_true(body->report_count >= 1);
    assert_int_equal(body->reports[0].number, SYS_openat);
    drive_drop(told);
}

/* In the call that it is loaded for, and in a spare that no call ever gets. */
static void loading_is_an_incident(void **state)
{
    struct drive drive;
    const struct drive_entry entry = {.plugin = PLUGINS "/tries-early.so", .actions = ACTIONS, .spares = 1};
    start(&drive, &entry);
    struct drive_call call = {.action = RUN};
    drive_call(&drive, &call);
    assert_true(call.replied);
    check_incident(&drive, &call.ref);
    check_tried(&drive, 0, &call.ref);
    assert_int_equal(drive.tried[0].phase, PHASE_LOAD);
    check_incident(&drive, &no_call);
    drive_call_clear(&call);
    drive_stop(&drive);
}

/* One call, then the spare that is made after it has a while to be loaded, and is ended by a freeze. */
static struct drive_frame *spare_ends(struct drive *drive, int ms)
{
    struct drive_call call = {.action = RUN};
    drive_call(drive, &call);
    assert_true(call.replied);
    drive_call_clear(&call);
    struct drive_frame *told = drive_expect(drive, DRIVE_LEDGER, MSG_INCIDENT, NULL, ms);
    drive_freeze(drive, true);
    if (!told) told = drive_expect(drive, DRIVE_LEDGER, MSG_INCIDENT, NULL, ms);
    drive_freeze(drive, false);
    return told;
}

/* It says that it is loaded, then tries: told all the same, at the latest when it ends. */
static void a_false_mark_hides_nothing(void **state)
{
    struct drive drive;
    const struct drive_entry entry = {.plugin = PLUGINS "/tries-marked.so", .actions = ACTIONS, .spares = 1};
    start(&drive, &entry);
    struct drive_call call = {.action = RUN};
    drive_call(&drive, &call);
    assert_true(call.replied);
    drive_drop(drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &call.ref, 5000));
    check_tried(&drive, 0, &call.ref);
    drive_call_clear(&call);
    struct drive_frame *told = NULL;
    for (int ms = 20; !told && ms < 6000; ms += ms) told = spare_ends(&drive, ms);
    assert_non_null(told);
    assert_int_equal(((struct msg_incident *)told->body)->kind, INCIDENT_LOAD);
    assert_int_equal(((struct msg_incident *)told->body)->phase, PHASE_LOAD); /* whatever it says itself */
    assert_int_equal(((struct msg_incident *)told->body)->reports[0].number, SYS_openat);
    drive_drop(told);
    drive_stop(&drive);
}

/* An exit code of ours does not make a constructor's end look like a fault of ours. */
static void a_borrowed_exit_code_hides_nothing(void **state)
{
    struct drive drive;
    const struct drive_entry entry = {.plugin = PLUGINS "/tries-left.so", .actions = ACTIONS};
    start(&drive, &entry);
    struct drive_call call = {.action = RUN};
    drive_call(&drive, &call);
    assert_false(call.replied);
    assert_int_equal(call.end.phase, PHASE_LOAD);
    assert_int_equal(call.end.class, CLASS_CRASHED);
    check_tried(&drive, 0, &call.ref);
    check_incident(&drive, &call.ref);
    drive_call_clear(&call);
    drive_stop(&drive);
}

int main(int argc, char **argv)
{
    how.as_nobody = argc > 1 && strcmp(argv[1], "nobody") == 0;
    if (how.as_nobody && getuid() != 0) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_reply_before_its_reports),
        cmocka_unit_test(nothing_tried_nothing_told),
        cmocka_unit_test(told_whatever_comes_next),
        cmocka_unit_test(equal_ones_are_counted),
        cmocka_unit_test(nothing_is_lost),
        cmocka_unit_test(leases_are_counted_by_call),
        cmocka_unit_test(loading_is_an_incident),
        cmocka_unit_test(a_false_mark_hides_nothing),
        cmocka_unit_test(a_borrowed_exit_code_hides_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
