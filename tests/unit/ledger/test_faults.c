/* SPDX-License-Identifier: Apache-2.0 */
/* What must not go wrong when something does: kill -9, a log that cannot be written, and files that somebody changed.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "rig.h"

/* ── kill -9 ───────────────────────────────────────────────────────────────────────────────────────── */

/* Killed once the order is out: the commit is done, the front has read nothing. */
static struct call_ref kill_after_commit(struct rig *rig, const struct msg_begin *ask)
{
    struct call_ref call;
    rig_send(rig, rig->front[0], rig->front_generation, MSG_BEGIN, ++rig->seq, ask, sizeof *ask, NULL, 0);
    const struct msg_order *order = rig_take(rig, rig->vault, MSG_ORDER, NULL);
    call = order->call;
    rig_kill(rig);
    return call;
}

/* The daemon goes on: the call is still this ledger's, its key still held, its END still taken. */
static void test_killed_ledger_alone(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_keyed(rig, "one");
    struct call_ref call = kill_after_commit(rig, &ask);
    rig_start(rig, false);
    ask.who.principal = rig->principal;
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_CONFLICT);
    struct msg_end end = rig_end_of(&call, CLASS_OK);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &call, 1, 10, true);
    struct msg_ended ended = rig_ended(rig);
    assert_int_equal(ended.class, CLASS_OK);
    assert_int_equal(ended.sent, SENT_YES);
    assert_int_equal(rig_begin(rig, &ask).replay, 1);
    rig_verify(rig);
}

/* The whole daemon died: nobody can say what was sent, and the key never runs again by itself. */
static void test_killed_daemon(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_keyed(rig, "two");
    struct call_ref call = kill_after_commit(rig, &ask);
    rig_start(rig, true);
    ask.who.principal = rig->principal;
    for (int i = 0; i < 200 && rig_begin(rig, &ask).status.kind == ERR_CONFLICT; i++) usleep(5000);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_UNCERTAIN);
    json_t *outcome = rig_entry(rig, 2, &call);
    assert_string_equal(rig_text(outcome, "class"), "lost");
    assert_string_equal(rig_text(outcome, "sent"), "maybe");
    assert_string_equal(rig_text(outcome, "reason"), "restart");
    json_decref(outcome);
    rig_verify(rig);
}

static void answer_gates(struct rig *rig)
{
    static struct wire_frame frame;
    while (wire_take(rig->broker, &frame) == WIRE_FRAME) {
        const struct msg_head *head = (const struct msg_head *)frame.bytes;
        if (head->type != MSG_GATE_CLOSE) continue;
        struct msg_gate_closed gate = {.known = 1, .dials = 1, .bytes_up = 9, .committed = 1};
        memcpy(&gate.call, frame.bytes + sizeof *head, sizeof gate.call);
        rig_send(rig, rig->broker, rig->broker_generation, MSG_GATE_CLOSED, 0, &gate, sizeof gate, NULL, 0);
    }
}

/* Calls as fast as they go on all lines; returns the ended ones. */
static unsigned drive(struct rig *rig, unsigned rounds)
{
    static struct wire_frame frame;
    struct msg_begin ask = rig_ask(rig);
    unsigned ended = 0;
    for (unsigned round = 0; round < rounds; round++) {
        for (int i = 0; i < RIG_FRONTS; i++) {
            if (round == 0)
                rig_send(rig, rig->front[i], rig->front_generation, MSG_BEGIN, 1, &ask, sizeof ask, NULL, 0);
            while (wire_take(rig->front[i], &frame) == WIRE_FRAME) {
                const struct msg_head *head = (const struct msg_head *)frame.bytes;
                const struct msg_begun *begun = (const struct msg_begun *)(frame.bytes + sizeof *head);
                struct msg_end end = rig_end_of(&begun->call, CLASS_OK);
                ended += head->type == MSG_ENDED;
                if (head->type == MSG_BEGUN)
                    rig_send(rig, rig->front[i], rig->front_generation, MSG_END, 2, &end, sizeof end, NULL, 0);
                else
                    rig_send(rig, rig->front[i], rig->front_generation, MSG_BEGIN, 1, &ask, sizeof ask, NULL, 0);
            }
        }
        answer_gates(rig);
        while (wire_take(rig->vault, &frame) == WIRE_FRAME) continue;
        while (wire_take(rig->runner, &frame) == WIRE_FRAME) continue;
        struct pollfd any = {.fd = rig->front[round % RIG_FRONTS], .events = POLLIN};
        poll(&any, 1, 1);
    }
    return ended;
}

static void test_kills_under_load(void **state)
{
    struct rig *rig = *state;
    unsigned ended = 0;
    for (unsigned i = 0; i < 6; i++) {
        ended += drive(rig, 20 + 37 * i % 60);
        rig_kill(rig);
        rig_start(rig, true);
    }
    assert_true(ended > 0);
    for (int i = 0; i < 500 && rig_number(rig, "SELECT count(*) FROM call WHERE state = 0"); i++) usleep(10000);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM call WHERE state = 0"), 0);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry a WHERE a.kind = 1 AND (SELECT count(*) FROM entry b"
                                     " WHERE b.kind = 2 AND b.call = a.call AND b.attempt = a.attempt) <> 1"),
                     0);
    /* Every END that was answered is in the log, as it was answered. */
    assert_true(
        rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 2 AND CAST(body AS TEXT) LIKE '%\"class\":\"ok\"%'") >=
        (int64_t)ended);
    rig_verify(rig);
}

/* ── the log cannot be written ─────────────────────────────────────────────────────────────────────── */

static void limit_files(struct rig *rig, rlim_t bytes)
{
    struct rlimit limit = {bytes, RLIM_INFINITY};
    assert_int_equal(prlimit(rig->pid, RLIMIT_FSIZE, &limit, NULL), 0);
}

/* No file may grow or even be written beyond the first pages: the write-ahead log fails at the next commit. */
static void test_cannot_write(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begin with_key = rig_keyed(rig, "three");
    struct msg_begun begun = rig_begin_ok(rig, &with_key);
    limit_files(rig, 8192);
    uint64_t before = clock_now();
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_AUDIT);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_AUDIT);
    assert_true(clock_now() - before < PATIENCE_S * CLOCK_S);
    json_t *health = rig_query(rig, MSG_HEALTH, json_object(), &(uint32_t){0});
    assert_string_equal(rig_text(health, "status"), "sealed");
    json_decref(health);
    rig_nothing(rig, rig->runner);

    /* The running call's outcome is kept aside, and the front is told that it is not in the log yet. */
    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 1, 10, true);
    struct msg_ended ended = rig_ended(rig);
    assert_int_equal(ended.status.kind, ERR_AUDIT);
    assert_int_equal(ended.sent, SENT_YES);

    limit_files(rig, RLIM_INFINITY);
    for (int i = 0; i < 1000 && rig_begin(rig, &ask).status.kind == ERR_AUDIT; i++) usleep(10000);
    rig_send_end(rig, &end, NULL);
    ended = rig_ended(rig);
    assert_int_equal(ended.status.kind, ERR_NONE);
    assert_int_equal(ended.class, CLASS_OK);
    json_t *outcome = rig_entry(rig, 2, &begun.call), *recover = rig_entry(rig, 10, NULL);
    assert_int_equal(json_integer_value(json_object_get(outcome, "spilled")), 1);
    assert_int_equal(json_integer_value(json_object_get(recover, "spilled")), 1);
    assert_int_equal(json_integer_value(json_object_get(recover, "lost")), 0);
    json_decref(outcome);
    json_decref(recover);
    assert_int_equal(rig_begin(rig, &with_key).status.kind, ERR_NONE); /* replayed, without an answer */
    rig_verify(rig);
}

/* Killed while sealed: what was spilled is in the log after the next start. */
static void test_spill_over_restart(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    limit_files(rig, 8192);
    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 1, 10, true);
    assert_int_equal(rig_ended(rig).status.kind, ERR_AUDIT);
    rig_kill(rig);
    rig_start(rig, true);
    json_t *outcome = rig_entry(rig, 2, &begun.call);
    assert_string_equal(rig_text(outcome, "class"), "ok");
    assert_string_equal(rig_text(outcome, "sent"), "yes");
    json_decref(outcome);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 2"), 1);
    rig_verify(rig);
}

/* What was spilled cannot be read any more: the call stays open for its END, and is never one that was not sent. */
static void test_spill_damaged(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    limit_files(rig, 8192);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_AUDIT);
    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 1, 10, true);
    assert_int_equal(rig_ended(rig).status.kind, ERR_AUDIT);
    int spill = openat(rig->data, "audit.spill", O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(spill, "damaged", 7, 40), 7);
    close(spill);
    limit_files(rig, RLIM_INFINITY);
    strcpy(ask.action, "nothing"); /* is refused: so nothing of it comes in between */
    for (int i = 0; i < 1000 && rig_begin(rig, &ask).status.kind == ERR_AUDIT; i++) usleep(10000);
    json_t *recover = rig_entry(rig, 10, NULL);
    assert_int_equal(json_integer_value(json_object_get(recover, "lost")), 1);
    json_decref(recover);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 1, 10, true);
    struct msg_ended ended = rig_ended(rig);
    assert_int_equal(ended.status.kind, ERR_NONE);
    assert_int_equal(ended.sent, SENT_YES);
    rig_verify(rig);
}

static void test_reserve(void **state)
{
    struct rig rig;
    rig_init(&rig, "{\"reserve_mb\":1048576}");
    rig_start(&rig, true);
    struct msg_begin ask = rig_ask(&rig);
    assert_int_equal(rig_begin(&rig, &ask).status.kind, ERR_AUDIT);
    rig_clear(&rig);
}

/* ── changed files ─────────────────────────────────────────────────────────────────────────────────── */

#define NO_GUARD "DROP TRIGGER entry_keep; DROP TRIGGER entry_fixed;"

static void make_log(struct rig *rig)
{
    struct msg_begin ask = rig_ask(rig);
    for (int i = 0; i < 4; i++) rig_call(rig, &ask, CLASS_OK, 5, true);
}

static void checkpoint_made(struct rig *rig)
{
    uint32_t kind;
    json_decref(rig_query(rig, MSG_AUDIT_CHECKPOINT, json_object(), &kind));
    assert_int_equal(kind, ERR_NONE);
}

static void test_edited_body(void **state)
{
    struct rig *rig = *state;
    make_log(rig);
    rig_kill(rig); /* no checkpoint yet: the bodies themselves are looked at */
    rig_exec(rig, "audit.db",
             "DELETE FROM checkpoint;" NO_GUARD
             "UPDATE entry SET body = CAST(replace(CAST(body AS TEXT), 'yes', 'no') AS BLOB) WHERE idx = 5;");
    rig->witness.size = 0; /* else the next epoch of the log would begin */
    assert_non_null(strstr(rig_start_failing(rig), "entry"));
}

static void test_edited_leaf(void **state)
{
    struct rig *rig = *state;
    make_log(rig);
    json_decref(rig_query(rig, MSG_AUDIT_CHECKPOINT, json_object(), &(uint32_t){0}));
    rig_stop(rig);
    rig_exec(rig, "audit.db", NO_GUARD "UPDATE entry SET leaf = zeroblob(32) WHERE idx = 3;");
    rig->witness.size = 0; /* else the next epoch of the log would begin */
    assert_non_null(strstr(rig_start_failing(rig), "checkpoint"));
}

static void test_cut_tail(void **state)
{
    struct rig *rig = *state;
    make_log(rig);
    checkpoint_made(rig);
    rig_stop(rig);
    rig_exec(rig, "audit.db", NO_GUARD "DELETE FROM entry WHERE idx >= 6;");
    rig->witness.size = 0; /* else the next epoch of the log would begin */
    assert_non_null(strstr(rig_start_failing(rig), "cut"));
}

/* The checkpoints are gone as well: the vault still knows what it signed, and nothing is admitted. */
static void test_cut_with_checkpoints(void **state)
{
    struct rig *rig = *state;
    make_log(rig);
    checkpoint_made(rig);
    rig_stop(rig);
    rig_exec(rig, "audit.db",
             NO_GUARD "DELETE FROM entry WHERE idx >= 6; DELETE FROM checkpoint; DELETE FROM signer;"
                      "DELETE FROM call;");
    rig->witness.size = 0;
    rig_start(rig, true);
    uint32_t kind;
    json_decref(rig_query(rig, MSG_AUDIT_CHECKPOINT, json_object(), &kind));
    assert_int_equal(kind, ERR_AUDIT);
    struct msg_begin ask = rig_ask(rig);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_AUDIT);
    json_t *health = rig_query(rig, MSG_HEALTH, json_object(), &kind);
    assert_non_null(strstr(rig_text(health, "reason"), "signed last"));
    json_decref(health);
}

/* ── what was written down about the log ───────────────────────────────────────────────────────────── */

/* The log that was found is put aside under its name, and nothing runs before a person has looked; then all is signed.
 */
static void expect_next_epoch(struct rig *rig, const char *word)
{
    uint32_t kind;
    struct msg_begin ask = rig_ask(rig);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_FROZEN);
    json_t *epoch = rig_entry(rig, 13, NULL);
    assert_non_null(epoch);
    assert_non_null(strstr(rig_text(epoch, "reason"), word));
    assert_int_equal(json_integer_value(json_object_get(epoch, "old_size")),
                     json_integer_value(json_object_get(epoch, "found_size")));
    json_decref(epoch);
    json_decref(rig_query(rig, MSG_AUDIT_EPOCH, json_pack("{s:s}", "reason", "restored"), &kind));
    assert_int_equal(kind, ERR_NONE);
    rig_call(rig, &ask, CLASS_OK, 5, true);
    checkpoint_made(rig);
    rig_verify(rig);
}

/* As after a restore: nothing is written down about a log whose key was replaced since. The vault would never sign it.
 */
static void test_nothing_written_down(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    make_log(rig);
    json_decref(rig_query(rig, MSG_AUDIT_ROLL, json_object(), &kind));
    assert_int_equal(kind, ERR_NONE);
    checkpoint_made(rig);
    rig_stop(rig);
    rig->witness.size = 0;
    rig_start(rig, true);
    expect_next_epoch(rig, "restore");
}

/* One that was never replaced is gone on with: there is nothing that the vault would miss. */
static void test_nothing_written_down_yet(void **state)
{
    struct rig *rig = *state;
    make_log(rig);
    checkpoint_made(rig);
    rig_stop(rig);
    rig->witness.size = 0;
    rig_start(rig, true);
    make_log(rig);
    checkpoint_made(rig);
    assert_null(rig_entry(rig, 13, NULL));
}

static void test_another_key_written_down(void **state)
{
    struct rig *rig = *state;
    make_log(rig);
    checkpoint_made(rig);
    rig_stop(rig);
    rig->witness.key[7] ^= 1;
    rig_start(rig, true);
    expect_next_epoch(rig, "not of one time");
}

static bool health_says(struct rig *rig, const char *word)
{
    json_t *health = rig_query(rig, MSG_HEALTH, json_object(), &(uint32_t){0});
    bool says = strstr(rig_text(health, "reason"), word) != NULL;
    json_decref(health);
    return says;
}

/* The vault will not sign, or its parent cannot write it down, again and again: what is recorded now would stay unsigned. */
static void nobody_signs(struct rig *rig, enum err_kind why)
{
    struct msg_begin ask = rig_ask(rig);
    make_log(rig);
    checkpoint_made(rig);
    rig->refusing = why;
    rig_call(rig, &ask, CLASS_OK, 5, true); /* once is no reason */
    for (int i = 0; i < 1000 && !health_says(rig, "not signed"); i++) usleep(10000);
    struct msg_begun begun = rig_begin(rig, &ask);
    assert_int_equal(begun.status.kind, ERR_UNAVAILABLE);
    assert_non_null(strstr(begun.status.text, "this key is not known"));
    rig->refusing = 0;
    for (int i = 0; i < 1000 && health_says(rig, "not signed"); i++) usleep(10000);
    rig_call(rig, &ask, CLASS_OK, 5, true);
}

static void test_nobody_signs(void **state)
{
    nobody_signs(*state, ERR_DENIED);
    nobody_signs(*state, ERR_IO);
}

/* ── files that are not what they were ─────────────────────────────────────────────────────────────── */

static void overwrite(struct rig *rig, const char *file)
{
    static char noise[65536];
    memset(noise, 'x', sizeof noise);
    int fd = openat(rig->data, file, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, noise, sizeof noise), sizeof noise);
    close(fd);
}

static void test_damaged_files(void **state)
{
    static const char *const names[] = {"audit.db", "state.db", "vault.db"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct rig rig;
        rig_init(&rig, NULL);
        rig_start(&rig, true);
        rig_stop(&rig);
        overwrite(&rig, names[i]);
        const char *text = rig_start_failing(&rig);
        if (!strstr(text, names[i]) || !strstr(text, "backup")) fail_msg("%s: %s", names[i], text);
        rig_clear(&rig);
    }
}

static void remove_file(struct rig *rig, const char *name)
{
    char path[64];
    static const char *const parts[] = {"", "-wal", "-shm"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s%s", name, parts[i]);
        unlinkat(rig->data, path, 0);
    }
}

static void test_missing_files(void **state)
{
    static const char *const names[] = {"audit.db", "state.db"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct rig rig;
        rig_init(&rig, NULL);
        rig_start(&rig, true);
        struct msg_begin ask = rig_ask(&rig);
        rig_call(&rig, &ask, CLASS_OK, 5, true);
        rig_stop(&rig);
        remove_file(&rig, names[i]);
        const char *text = rig_start_failing(&rig);
        if (!strstr(text, names[i]) || !strstr(text, "missing")) fail_msg("%s: %s", names[i], text);
        rig_clear(&rig);
    }
}

/* A call that ended is made to look open: its outcome would be written twice. Nothing runs, and why is said. */
static void test_reopened_call(void **state)
{
    struct rig *rig = *state;
    make_log(rig);
    rig_stop(rig);
    rig_exec(rig, "audit.db",
             "UPDATE call SET state = 0, outcome = NULL, class = NULL, sent = NULL"
             " WHERE intent = (SELECT min(intent) FROM call)");
    rig_start(rig, true);
    for (int i = 0; i < 1000 && !health_says(rig, "does not fit together"); i++) usleep(10000);
    struct msg_begin ask = rig_ask(rig);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_AUDIT);
}

/* A statement that somebody left in a file would run in the ledger whenever it writes. */
static void test_planted_trigger(void **state)
{
    static const char *const plants[][2] = {
        {"audit.db", "CREATE TRIGGER more AFTER INSERT ON entry BEGIN DELETE FROM idempotency; END;"},
        {"audit.db", NO_GUARD "CREATE TRIGGER entry_keep AFTER INSERT ON entry BEGIN DELETE FROM idempotency; END;"},
        {"state.db", "CREATE TRIGGER more AFTER INSERT ON token BEGIN UPDATE token SET role = 0; END;"}};
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) {
        struct rig rig;
        rig_init(&rig, NULL);
        rig_start(&rig, true);
        rig_stop(&rig);
        rig_exec(&rig, plants[i][0], plants[i][1]);
        const char *text = rig_start_failing(&rig);
        if (!strstr(text, plants[i][0]) || !strstr(text, "trigger")) fail_msg("%s: %s", plants[i][0], text);
        rig_clear(&rig);
    }
}

static void test_state_of_another_home(void **state)
{
    struct rig rigs[2];
    for (size_t i = 0; i < 2; i++) {
        rig_init(&rigs[i], NULL);
        rig_start(&rigs[i], true);
        struct msg_begin ask = rig_ask(&rigs[i]);
        rig_call(&rigs[i], &ask, CLASS_OK, 5, true);
        rig_stop(&rigs[i]);
    }
    assert_int_equal(renameat(rigs[1].data, "state.db", rigs[0].data, "state.db"), 0);
    const char *text = rig_start_failing(&rigs[0]);
    if (!strstr(text, "not of one home")) fail_msg("%s", text);
    for (size_t i = 0; i < 2; i++) rig_clear(&rigs[i]);
}

/* A log keeps its name. */
static void test_other_origin(void **state)
{
    struct rig rig;
    rig_init(&rig, "{\"origin\":\"one.example/log/1\"}");
    rig_start(&rig, true);
    rig_stop(&rig);
    strcpy(rig.config, "{\"origin\":\"two.example/log/1\"}");
    assert_non_null(strstr(rig_start_failing(&rig), "one.example/log/1"));
    rig_clear(&rig);
}

#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_killed_ledger_alone),
        RIG_TEST(test_killed_daemon),
        RIG_TEST(test_kills_under_load),
        RIG_TEST(test_cannot_write),
        RIG_TEST(test_spill_over_restart),
        RIG_TEST(test_spill_damaged),
        cmocka_unit_test(test_reserve),
        RIG_TEST(test_edited_body),
        RIG_TEST(test_edited_leaf),
        RIG_TEST(test_cut_tail),
        RIG_TEST(test_cut_with_checkpoints),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_other_origin),
        RIG_TEST(test_nothing_written_down),
        RIG_TEST(test_nothing_written_down_yet),
        RIG_TEST(test_another_key_written_down),
        RIG_TEST(test_nobody_signs),
        cmocka_unit_test(test_planted_trigger),
        RIG_TEST(test_reopened_call),
        cmocka_unit_test(test_state_of_another_home),
    };
    ledger_path = count > 1 ? arguments[1] : "";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
