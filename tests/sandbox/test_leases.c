/* SPDX-License-Identifier: Apache-2.0 */
/* Workers that wait and workers that serve on: leases, spares, revocation, freezing, reloads, replaced peers; and the
 * channels to the broker. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
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

static json_int_t number(const struct drive_call *call, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(call->reply, "answer"), key));
}

static json_int_t calls_seen(struct drive *drive, uint8_t workspace, uint8_t credential)
{
    struct drive_call call = {.workspace = workspace, .credential = credential};
    drive_call(drive, &call);
    if (!call.replied)
        fail_msg("no reply: %s, %s, exit %d", class_name(call.end.class), reason_name(call.end.reason),
                 call.end.exit_code);
    json_int_t seen = number(&call, "calls");
    drive_call_clear(&call);
    return seen;
}

static const struct drive_entry leased = {
    .plugin = PLUGINS "/odd.so", .lease = true, .calls = 4, .actions = {"run", "crash", "hang", "dial"}};
enum { RUN, CRASH, HANG, DIAL };

/* The same worker for the same workspace and credential, until its count; never for another. */
static void lease_is_bound(void **state)
{
    struct drive drive;
    start(&drive, &leased, 1);
    assert_int_equal(calls_seen(&drive, 1, 1), 1);
    assert_int_equal(calls_seen(&drive, 1, 1), 2);
    assert_int_equal(calls_seen(&drive, 2, 1), 1); /* another workspace */
    assert_int_equal(calls_seen(&drive, 1, 2), 1); /* another credential */
    assert_int_equal(calls_seen(&drive, 1, 1), 3);
    assert_int_equal(calls_seen(&drive, 2, 1), 2);
    assert_int_equal(calls_seen(&drive, 1, 1), 4);
    assert_int_equal(calls_seen(&drive, 1, 1), 1); /* its count was up */
    drive_stop(&drive);
}

/* A cell full of leases that wait: the one that waited longest makes room for somebody else's call. */
static void lease_makes_room(void **state)
{
    static struct drive drive;
    enum { HALF_FULL = POLICY_WORKERS / 2 };
    struct drive_entry entry = leased;
    entry.idle_s = 600;
    start(&drive, &entry, 1);
    for (int i = 0; i < POLICY_WORKERS; i++)
        assert_int_equal(calls_seen(&drive, (uint8_t)(1 + i / HALF_FULL), (uint8_t)(1 + i % HALF_FULL)), 1);
    assert_int_equal(calls_seen(&drive, 3, 1), 1);
    assert_int_equal(calls_seen(&drive, 2, HALF_FULL), 2); /* a younger one is there still */
    assert_int_equal(calls_seen(&drive, 1, 1), 1);         /* the oldest was the one */
    drive_stop(&drive);
}

/* Four connectors' leases fill the runner's own table: a fifth connector's call gets a worker all the same. */
static void leases_of_others_make_room(void **state)
{
    static struct drive drive;
    enum { FULL = 4, EACH = POLICY_WORKERS, HALF_FULL = EACH / 2 };
    struct rlimit files;
    struct drive_entry entries[FULL + 1];
    assert_return_code(getrlimit(RLIMIT_NOFILE, &files), errno);
    files.rlim_cur = files.rlim_max;
    assert_return_code(setrlimit(RLIMIT_NOFILE, &files), errno);
    for (int i = 0; i <= FULL; i++) {
        static const char *const names[] = {"one", "two", "three", "four", "five"};
        entries[i] = leased;
        entries[i].name = names[i];
        entries[i].idle_s = 600;
    }
    start(&drive, entries, FULL + 1);
    for (uint32_t entry = 0; entry < FULL; entry++)
        for (int i = 0; i < EACH; i++) {
            struct drive_call call = {
                .entry = entry, .workspace = (uint8_t)(1 + i / HALF_FULL), .credential = (uint8_t)(1 + i % HALF_FULL)};
            drive_call(&drive, &call);
            assert_true(call.replied);
            drive_call_clear(&call);
        }
    struct drive_call other = {.entry = FULL, .workspace = 1};
    drive_call(&drive, &other);
    assert_true(other.replied);
    drive_call_clear(&other);
    drive_stop(&drive);
}

static const char *shown_kept(struct drive *drive, const char *secret, char seen[64])
{
    struct drive_call call = {
        .workspace = 1, .credential = 1, .secret_name = secret ? "token" : NULL, .secret = secret};
    drive_call(drive, &call);
    assert_true(call.replied);
    snprintf(seen, 64, "%s", json_string_value(json_object_get(json_object_get(call.reply, "answer"), "kept")));
    drive_call_clear(&call);
    return seen;
}

/* The vault sends the fields of a lease's credential once; the connector has them in every call. The connector tells
 * what the call before it saw; it is too short to be masked in answers. */
static void secrets_of_a_lease(void **state)
{
    struct drive drive;
    char seen[64];
    start(&drive, &leased, 1);
    assert_string_equal(shown_kept(&drive, "s3crt", seen), "");
    assert_string_equal(shown_kept(&drive, NULL, seen), "s3crt");
    assert_string_equal(shown_kept(&drive, NULL, seen), "s3crt");
    drive_stop(&drive);
}

/* Halves of later calls come without descriptors, and a gone worker is told of. */
static void halves_of_a_lease(void **state)
{
    struct drive drive;
    start(&drive, &leased, 1);
    struct drive_call one = {.workspace = 1}, two = {.workspace = 1};
    drive_call(&drive, &one);
    drive_begin(&drive, &two);
    struct drive_frame *half = drive_expect(&drive, DRIVE_VAULT, MSG_HALF, &two.ref, 5000);
    assert_non_null(half);
    assert_int_equal(half->fd_count, 0);
    assert_int_equal(((struct msg_half *)half->body)->channel, one.channel);
    assert_int_equal(((struct msg_half *)half->body)->keep, 1);
    assert_true(drive_feed(&drive, &two));
    drive_replies(&drive, &two);
    assert_int_equal(number(&two, "calls"), 2);
    drive_done(&drive, &two, true);
    struct msg_revoke all = {{0}, {0}, {0}};
    drive_send(&drive, DRIVE_LEDGER, MSG_REVOKE, &all, sizeof all, -1);
    const struct call_ref none = {{0}, 0};
    struct drive_frame *gone = drive_expect(&drive, DRIVE_VAULT, MSG_HALF, &none, 5000);
    assert_non_null(gone);
    assert_int_equal(((struct msg_half *)gone->body)->channel, one.channel);
    drive_drop(gone);
    assert_int_equal(calls_seen(&drive, 1, 0), 1);
    drive_call_clear(&one);
    drive_call_clear(&two);
    drive_stop(&drive);
}

/* The deadline was the call's, not the worker's: a lease that waits outlives it. */
static void lease_outlives_a_deadline(void **state)
{
    struct drive drive;
    start(&drive, &leased, 1);
    struct drive_call call = {.workspace = 1, .deadline_ms = 300};
    drive_call(&drive, &call);
    assert_int_equal(number(&call, "calls"), 1);
    drive_call_clear(&call);
    struct drive_call later = {.action = HANG, .workspace = 3, .deadline_ms = 300};
    drive_call(&drive, &later);
    assert_int_equal(later.end.class, CLASS_TIMEOUT); /* so deadline and grace of the first are over too */
    drive_call_clear(&later);
    assert_int_equal(calls_seen(&drive, 1, 0), 2);
    drive_stop(&drive);
}

static void lease_ends_on_an_error(void **state)
{
    struct drive drive;
    start(&drive, &leased, 1);
    assert_int_equal(calls_seen(&drive, 1, 1), 1);
    struct drive_call crash = {.action = CRASH, .workspace = 1, .credential = 1};
    drive_call(&drive, &crash);
    assert_false(crash.replied);
    drive_call_clear(&crash);
    struct drive_call hang = {.action = HANG, .workspace = 3, .deadline_ms = 300};
    drive_call(&drive, &hang);
    assert_int_equal(hang.end.class, CLASS_TIMEOUT);
    drive_call_clear(&hang);
    assert_int_equal(calls_seen(&drive, 3, 0), 1);
    drive_stop(&drive);
}

/* A second call of a lease that hangs is ended by its deadline too. */
static void leased_deadline(void **state)
{
    struct drive drive;
    start(&drive, &leased, 1);
    struct drive_call fine = {.action = HANG, .workspace = 5, .deadline_ms = 60000};
    drive_begin(&drive, &fine);
    assert_true(drive_feed(&drive, &fine));
    struct msg_cancel cancel = {fine.ref, REASON_CANCELLED};
    drive_send(&drive, DRIVE_LEDGER, MSG_CANCEL, &cancel, sizeof cancel, -1);
    struct drive_frame *ended = drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &fine.ref, 5000);
    assert_non_null(ended);
    assert_int_equal(((struct msg_worker_ended *)ended->body)->reason, REASON_CANCELLED);
    drive_drop(ended);
    drive_call_clear(&fine);
    drive_stop(&drive);
}

static pid_t cell_of(struct drive *drive)
{
    pid_t cell = 0;
    children_of(drive->pid, &cell, 1);
    return cell;
}

/* Waits, without a guess about time, until the cell has that many workers. */
static void workers_become(struct drive *drive, unsigned count)
{
    pid_t cell = cell_of(drive);
    for (int i = 0; i < 5000; i++) {
        if (children_of(cell, NULL, 0) == count) return;
        usleep(1000);
    }
    fail_msg("%u workers, not %u", children_of(cell, NULL, 0), count);
}

static void spares_wait(void **state)
{
    struct drive drive;
    struct drive_entry entry = leased;
    entry.lease = false;
    entry.spares = 2;
    start(&drive, &entry, 1);
    assert_int_equal(children_of(drive.pid, NULL, 0), 0); /* enabled, never called: no process */
    for (int i = 0; i < 5; i++) assert_int_equal(calls_seen(&drive, 1, 1), 1);
    workers_become(&drive, 2);
    drive_freeze(&drive, true);
    workers_become(&drive, 0);
    struct drive_call frozen = {0};
    drive_call(&drive, &frozen);
    assert_false(frozen.taken);
    assert_int_equal(frozen.end.reason, REASON_FROZEN);
    drive_freeze(&drive, false);
    assert_int_equal(calls_seen(&drive, 1, 1), 1);
    workers_become(&drive, 2);
    drive_replace(&drive, DRIVE_VAULT); /* a new vault: nothing made for the old one may serve */
    workers_become(&drive, 0);
    assert_int_equal(calls_seen(&drive, 1, 1), 1);
    drive_stop(&drive);
}

/* An ifunc resolver runs before constructors, and has no more rights: what it tried is reported. */
static void resolver_is_refused(void **state)
{
    struct drive drive;
    const struct drive_entry entry = {.plugin = PLUGINS "/loading9.so"};
    start(&drive, &entry, 1);
    struct drive_call call = {0};
    drive_call(&drive, &call);
    assert_true(call.replied); /* it lives with it */
    struct drive_frame *ended = drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, NULL, 5000);
    assert_non_null(ended);
    assert_int_equal(((struct msg_worker_ended *)ended->body)->reports[0].number, 257);
    drive_drop(ended);
    drive_call_clear(&call);
    drive_stop(&drive);
}

static void front_dies(void **state)
{
    struct drive drive;
    start(&drive, &leased, 1);
    struct drive_call call = {.action = HANG};
    drive_begin(&drive, &call);
    assert_true(drive_feed(&drive, &call));
    drive_replace(&drive, DRIVE_FRONT);
    struct drive_frame *ended = drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &call.ref, 5000);
    assert_non_null(ended);
    assert_int_equal(((struct msg_worker_ended *)ended->body)->class, CLASS_LOST);
    drive_drop(ended);
    drive_call_clear(&call);
    assert_int_equal(calls_seen(&drive, 1, 1), 1);
    drive_stop(&drive);
}

/* A lease that is in a call while the vault is replaced has its pipe in the old one: it serves no further call. */
static void vault_dies(void **state)
{
    struct drive drive;
    start(&drive, &leased, 1);
    struct drive_call call = {.action = RUN, .workspace = 1, .credential = 1};
    drive_begin(&drive, &call);
    assert_true(drive_feed(&drive, &call));
    drive_replies(&drive, &call);
    drive_replace(&drive, DRIVE_VAULT);
    assert_int_equal(calls_seen(&drive, 2, 1), 1); /* over the new line: so the runner has it */
    drive_done(&drive, &call, true);
    drive_call_clear(&call);
    assert_int_equal(calls_seen(&drive, 1, 1), 1);
    drive_stop(&drive);
}

/* An entry that stays keeps its cell; one that changes gets a new one; a START of the number before still works. */
static void reload(void **state)
{
    struct drive drive;
    start(&drive, &leased, 1);
    assert_int_equal(calls_seen(&drive, 1, 1), 1);
    pid_t cell = cell_of(&drive);
    const struct drive_entry two[] = {{.plugin = PLUGINS "/attacker.so", .name = "first"}, leased};
    drive_load(&drive, two, 2);
    assert_int_equal(cell_of(&drive), cell);
    drive.registry--;
    struct drive_entry was = drive.entries[0];
    drive.entries[0] = leased;
    assert_int_equal(calls_seen(&drive, 1, 1), 2); /* entry 0 of the old registry is entry 1 of the new one */
    drive.registry++;
    drive.entries[0] = was;
    struct drive_entry changed = leased;
    changed.log_kb = 17;
    drive_load(&drive, &changed, 1);
    assert_int_equal(children_of(drive.pid, NULL, 0), 0);
    assert_int_equal(calls_seen(&drive, 1, 1), 1);
    drive_stop(&drive);
}

static void concurrency(void **state)
{
    struct drive drive;
    struct drive_entry entry = leased;
    entry.concurrency = 1;
    entry.lease = false;
    start(&drive, &entry, 1);
    struct drive_call first = {.action = HANG, .deadline_ms = 60000}, second = {.action = RUN},
                      third = {.deadline_ms = 50};
    drive_begin(&drive, &first);
    assert_true(drive_feed(&drive, &first));
    drive_begin(&drive, &third); /* waits, and its deadline passes */
    struct drive_frame *ended = drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &third.ref, 5000);
    assert_non_null(ended);
    assert_int_equal(((struct msg_worker_ended *)ended->body)->class, CLASS_REFUSED);
    drive_drop(ended);
    drive_begin(&drive, &second);
    drive_done(&drive, &first, false);
    assert_true(drive_feed(&drive, &second));
    drive_replies(&drive, &second);
    assert_true(second.replied);
    drive_call_clear(&first);
    drive_call_clear(&second);
    drive_stop(&drive);
}

/* Sixteen at once, in both modes, with spares, some crashing: every one ends, each with its own answer, none is left.
 */
static void crowd(void **state)
{
    enum { EACH = 16, ROUNDS = 6 };
    for (int lease = 0; lease < 2; lease++) {
        struct drive drive;
        struct drive_entry entry = leased;
        entry.lease = lease;
        entry.spares = 3;
        entry.concurrency = 12;
        start(&drive, &entry, 1);
        for (int round = 0; round < ROUNDS; round++) {
            struct drive_call calls[EACH] = {{{{0}}}};
            for (int i = 0; i < EACH; i++) {
                calls[i].workspace = (uint8_t)(i % 5);
                calls[i].action = i == 7 ? CRASH : RUN;
                calls[i].deadline_ms = 20000;
                drive_begin(&drive, &calls[i]);
            }
            for (int i = 0; i < EACH; i++) {
                assert_true(drive_feed(&drive, &calls[i]));
                drive_replies(&drive, &calls[i]);
                assert_int_equal(calls[i].replied, i != 7);
                drive_done(&drive, &calls[i], calls[i].replied);
                drive_call_clear(&calls[i]);
            }
            struct drive_frame *ended = drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, &calls[7].ref, 5000);
            assert_non_null(ended);
            assert_int_equal(((struct msg_worker_ended *)ended->body)->class, CLASS_CRASHED);
            drive_drop(ended);
        }
        drive_freeze(&drive, true);
        workers_become(&drive, 0);
        drive_stop(&drive);
    }
}

/* The test as the broker: one answer, one relay. */
static void answer_dial(int egress, uint32_t status, int relay, struct egress_request *request)
{
    assert_int_equal(recv(egress, request, sizeof *request, 0), sizeof *request);
    struct egress_answer answer = {.id = request->id, .status = status, .text = "no rule allows it"};
    struct iovec piece = {&answer, sizeof answer};
    assert_int_equal(wire_send(egress, &piece, 1, &relay, relay >= 0), 0);
}

static void dial_and_commit(void **state)
{
    struct drive drive;
    struct drive_entry entry = leased;
    entry.egress = true;
    start(&drive, &entry, 1);
    for (int round = 0; round < 2; round++) {
        struct drive_call call = {.action = DIAL, .workspace = 1};
        struct egress_request request;
        int relay[2];
        char ping[8] = "";
        drive_begin(&drive, &call);
        assert_true(drive_feed(&drive, &call));
        assert_true(call.half_broker);
        int egress = -1;
        for (int i = 0; i < DRIVE_CHANNELS; i++)
            if (drive.channels[i].number == call.channel) egress = drive.channels[i].egress;
        int flags = fcntl(egress, F_GETFL);
        fcntl(egress, F_SETFL, flags & ~O_NONBLOCK);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, relay), 0);
        answer_dial(egress, round ? EGRESS_DENIED : EGRESS_OK, round ? -1 : relay[1], &request);
        close(relay[1]);
        assert_int_equal(request.type, EGRESS_DIAL);
        assert_string_equal(request.host, "example.com");
        assert_memory_equal(request.call_id, call.ref.id, ID_BYTES);
        if (!round) {
            assert_int_equal(recv(egress, &request, sizeof request, 0), sizeof request);
            assert_int_equal(request.type, EGRESS_COMMIT);
            assert_int_equal(read(relay[0], ping, 4), 4);
            assert_string_equal(ping, "ping");
            assert_int_equal(write(relay[0], "pong", 4), 4);
        }
        drive_replies(&drive, &call);
        assert_true(call.replied);
        assert_int_equal(recv(egress, &request, sizeof request, 0), sizeof request);
        assert_int_equal(request.type, EGRESS_DONE);
        assert_memory_equal(request.call_id, call.ref.id, ID_BYTES);
        json_t *answer = json_object_get(call.reply, "answer");
        if (round) assert_int_equal(number(&call, "errno"), EACCES);
        if (round)
            assert_string_equal(json_string_value(json_object_get(answer, "problem")), "no rule allows it");
        else
            assert_string_equal(json_string_value(json_object_get(answer, "back")), "pong");
        drive_done(&drive, &call, true);
        drive_call_clear(&call);
        close(relay[0]);
    }
    drive_stop(&drive);
}

int main(int argc, char **argv)
{
    how = (struct drive_how){
        .as_nobody = argc > 1 && strcmp(argv[1], "nobody") == 0, .helpers = HELPERS, .ca = CA_FILE};
    if (how.as_nobody && getuid() != 0) return 77;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lease_is_bound),
        cmocka_unit_test(lease_makes_room),
        cmocka_unit_test(leases_of_others_make_room),
        cmocka_unit_test(lease_outlives_a_deadline),
        cmocka_unit_test(secrets_of_a_lease),
        cmocka_unit_test(halves_of_a_lease),
        cmocka_unit_test(lease_ends_on_an_error),
        cmocka_unit_test(leased_deadline),
        cmocka_unit_test(spares_wait),
        cmocka_unit_test(resolver_is_refused),
        cmocka_unit_test(front_dies),
        cmocka_unit_test(vault_dies),
        cmocka_unit_test(reload),
        cmocka_unit_test(concurrency),
        cmocka_unit_test(dial_and_commit),
        cmocka_unit_test(crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
