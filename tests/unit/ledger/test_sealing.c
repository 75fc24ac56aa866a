/* SPDX-License-Identifier: Apache-2.0 */
/* Fail closed, row by row of what can go wrong with the disk: what happens then, and the way back without a restart. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "rig.h"
#include "shim.h"

/* Until calls are admitted again; the first one that is. */
static struct msg_begun recovered(struct rig *rig, const struct msg_begin *ask)
{
    struct msg_begun begun = {0};
    for (int i = 0; i < 1000; i++) {
        begun = rig_begin(rig, ask);
        if (begun.status.kind != ERR_AUDIT) break;
        usleep(10000);
    }
    if (begun.status.kind != ERR_NONE) fail_msg("refused: %s", begun.status.text);
    return begun;
}

static void expect_sealed(struct rig *rig, const char *word)
{
    uint32_t kind;
    json_t *health = rig_query(rig, MSG_HEALTH, json_object(), &kind);
    assert_int_equal(kind, ERR_NONE);
    assert_string_equal(rig_text(health, "status"), "sealed");
    if (!strstr(rig_text(health, "reason"), word)) fail_msg("%s: not in \"%s\"", word, rig_text(health, "reason"));
    json_decref(health);
}

/* Every attempt has one intent and one outcome, and none that was refused was let loose. */
static void accounted(struct rig *rig)
{
    for (int i = 0; i < 500 && rig_number(rig, "SELECT count(*) FROM call WHERE state = 0"); i++) usleep(10000);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry a WHERE a.kind = 1 AND (SELECT count(*) FROM entry b"
                                     " WHERE b.kind = 2 AND b.call = a.call AND b.attempt = a.attempt) <> 1"),
                     0);
    rig_verify(rig);
}

/* Everything is signed, so that the next flush is the test's own. */
static void quiet(struct rig *rig)
{
    uint32_t kind;
    json_decref(rig_query(rig, MSG_AUDIT_CHECKPOINT, json_object(), &kind));
    assert_int_equal(kind, ERR_NONE);
}

static void finish(struct rig *rig, const struct msg_begun *begun)
{
    struct msg_end end = rig_end_of(&begun->call, CLASS_OK);
    rig_take(rig, rig->vault, MSG_ORDER, NULL);
    rig_take(rig, rig->broker, MSG_GATE_OPEN, NULL);
    rig_take(rig, rig->runner, MSG_START, NULL);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun->call, 1, 5, true);
    assert_int_equal(rig_ended(rig).status.kind, ERR_NONE);
}

/* ── errors of the disk ────────────────────────────────────────────────────────────────────────────── */

/* The flush fails once and would succeed the next time: nothing believes that. */
static void test_flush_fails_once(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    rig_call(rig, &ask, CLASS_OK, 5, true);
    quiet(rig);
    rig->shim->fail_syncs = 1;
    struct msg_begun refused = rig_begin(rig, &ask);
    assert_int_equal(refused.status.kind, ERR_AUDIT);
    rig_nothing(rig, rig->runner); /* no worker, and no order for the vault before it */
    rig_nothing(rig, rig->broker);
    expect_sealed(rig, "audit.db");
    struct msg_begun begun = recovered(rig, &ask);
    finish(rig, &begun);
    assert_int_equal(rig->shim->failed, 1);
    assert_int_equal(rig->shim->again, 0);
    rig_check(rig, 10, NULL, "kind", "recover");
    accounted(rig);
    /* Whether the intent was there is nobody's guess: it was, and it says that nothing of it ran. */
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 2 AND CAST(body AS TEXT) LIKE"
                                     " '%\"class\":\"refused\"%\"reason\":\"audit\"%\"sent\":\"no\"%'"),
                     1);
}

static void test_write_fails(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    rig_call(rig, &ask, CLASS_OK, 5, true);
    quiet(rig);
    rig->shim->fail_writes = 1;
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_AUDIT);
    rig_nothing(rig, rig->runner);
    struct msg_begun begun = recovered(rig, &ask);
    finish(rig, &begun);
    accounted(rig);
}

/* Neither log nor spill file take the outcome: it stays in memory, and the spill file is not flushed once more through
 * the same descriptor either. */
static void test_spill_fails_too(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    quiet(rig);
    rig->shim->fail_syncs = 2;
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 1, 10, true);
    assert_int_equal(rig_ended(rig).status.kind, ERR_AUDIT);
    struct msg_begun next = recovered(rig, &ask);
    finish(rig, &next);
    rig_send_end(rig, &end, NULL);
    struct msg_ended ended = rig_ended(rig);
    assert_int_equal(ended.status.kind, ERR_NONE);
    assert_int_equal(ended.class, CLASS_OK);
    assert_int_equal(ended.sent, SENT_YES);
    assert_int_equal(rig->shim->again, 0);
    accounted(rig);
}

/* Recovery itself meets the error, several times over. */
static void test_recovery_fails(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    rig_send_end(rig, &end, NULL);
    quiet(rig);
    rig->shim->fail_syncs = 4;
    rig_gate(rig, &begun.call, 1, 10, true);
    assert_int_equal(rig_ended(rig).status.kind, ERR_AUDIT);
    struct msg_begun next = recovered(rig, &ask);
    finish(rig, &next);
    assert_int_equal(rig->shim->fail_syncs, 0);
    assert_int_equal(rig->shim->again, 0);
    accounted(rig);
}

/* ── a disk that stalls ────────────────────────────────────────────────────────────────────────────── */

/* Durable in the end, but too late for who asked: it is not let loose, and its record says so. */
static void test_stall(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig), slow = rig_keyed(rig, "slow");
    rig_call(rig, &ask, CLASS_OK, 5, true);
    quiet(rig);
    slow.answer_by = (uint32_t)(clock_now() / CLOCK_MS) + 200;
    rig->shim->hold_ms = 400;
    assert_int_equal(rig_begin(rig, &slow).status.kind, ERR_AUDIT);
    rig_nothing(rig, rig->runner);
    slow.answer_by = 0;
    for (int i = 0; i < 500 && rig_number(rig, "SELECT count(*) FROM call WHERE state = 0"); i++) usleep(10000);
    rig_check(rig, 2, NULL, "class", "refused");
    rig_check(rig, 2, NULL, "reason", "audit");
    struct msg_begun begun = rig_begin_ok(rig, &slow); /* its key is free: nothing was sent */
    assert_int_equal(begun.call.attempt, 2);
    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 1, 10, true);
    assert_int_equal(rig_ended(rig).status.kind, ERR_NONE);
    accounted(rig);
}

/* One that lay in the line until nobody waited for it any more leaves no trace. */
static void test_stale(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    ask.answer_by = (uint32_t)(clock_now() / CLOCK_MS) - 1;
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_AUDIT);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry WHERE kind IN (1, 3)"), 0);
    ask.answer_by = 0;
    rig_begin_ok(rig, &ask);
}

/* ── one call of many ──────────────────────────────────────────────────────────────────────────────── */

static void test_one_call_alone(void **state)
{
    struct rig *rig = *state;
    struct msg_begin good = rig_ask(rig), bad = rig_keyed(rig, "bad");
    rig_exec(rig, "audit.db", "CREATE TRIGGER bad BEFORE INSERT ON idempotency BEGIN SELECT RAISE(ABORT, 'no'); END;");
    rig_send(rig, rig->front[1], rig->front_generation, MSG_BEGIN, 1, &bad, sizeof bad, NULL, 0);
    struct msg_begun begun = rig_begin_ok(rig, &good);
    const struct msg_begun *refused = rig_take(rig, rig->front[1], MSG_BEGUN, NULL);
    assert_int_equal(refused->status.kind, ERR_INTERNAL);
    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 1, 10, true);
    assert_int_equal(rig_ended(rig).status.kind, ERR_NONE);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 1"), 1);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 10"), 0); /* nothing was sealed */
    accounted(rig);
}

/* ── files that are not what they were ─────────────────────────────────────────────────────────────── */

static void copy_file(struct rig *rig, const char *from, const char *to, bool new)
{
    static char block[65536];
    int in = openat(rig->data, from, O_RDONLY | O_CLOEXEC);
    int out = openat(rig->data, to, O_WRONLY | O_CREAT | (new ? O_EXCL : 0) | O_CLOEXEC, 0600);
    ssize_t got;
    assert_true(in >= 0 && out >= 0);
    while ((got = read(in, block, sizeof block)) > 0) assert_int_equal(write(out, block, (size_t)got), got);
    close(in);
    close(out);
}

static void refused_and_sealed(struct rig *rig, const char *word)
{
    struct msg_begin ask = rig_ask(rig);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_AUDIT);
    rig_nothing(rig, rig->runner);
    expect_sealed(rig, word);
}

/* Removed while it is in use: writing went on into nowhere. What is still open is not closed. */
static void test_unlinked(void **state)
{
    static const char *const names[] = {"audit.db", "audit.db-wal", "state.db"};
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        rig_call(rig, &ask, CLASS_OK, 5, true);
        assert_int_equal(linkat(rig->data, names[i], rig->data, "kept", 0), 0);
        assert_int_equal(unlinkat(rig->data, names[i], 0), 0);
        for (int tries = 0; tries < 500 && rig_begin(rig, &ask).status.kind == ERR_NONE; tries++) usleep(10000);
        expect_sealed(rig, i == 1 ? "audit.db" : names[i]);
        assert_int_equal(renameat(rig->data, "kept", rig->data, names[i]), 0);
        rig_replace(rig, ROLE_RUNNER);
        rig_replace(rig, ROLE_BROKER);
        rig_replace(rig, ROLE_VAULT);
        struct msg_begun begun = recovered(rig, &ask);
        finish(rig, &begun);
    }
    accounted(rig);
}

/* An older copy of the same log in its place is not the log that was written. */
static void test_replaced(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct stat size;
    rig_stop(rig);
    rig_start(rig, true); /* so that everything is in the database itself */
    copy_file(rig, "audit.db", "older", true);
    ask = rig_ask(rig);
    rig_call(rig, &ask, CLASS_OK, 5, true);
    assert_int_equal(linkat(rig->data, "audit.db", rig->data, "kept", 0), 0);
    assert_int_equal(linkat(rig->data, "audit.db-wal", rig->data, "kept-wal", 0), 0);
    assert_int_equal(renameat(rig->data, "older", rig->data, "audit.db"), 0);
    unlinkat(rig->data, "audit.db-wal", 0);
    refused_and_sealed(rig, "audit.db");
    for (int i = 0; i < 300; i++) { /* until it was opened once */
        json_t *health = rig_query(rig, MSG_HEALTH, json_object(), &(uint32_t){0});
        bool seen = strstr(rig_text(health, "reason"), "not the log") != NULL;
        json_decref(health);
        if (seen) break;
        usleep(10000);
    }
    refused_and_sealed(rig, "not the log");
    assert_int_equal(renameat(rig->data, "kept", rig->data, "audit.db"), 0);
    assert_int_equal(renameat(rig->data, "kept-wal", rig->data, "audit.db-wal"), 0);
    assert_int_equal(fstatat(rig->data, "audit.db", &size, 0), 0);
    struct msg_begun begun = recovered(rig, &ask);
    finish(rig, &begun);
    accounted(rig);
}

static void wait_reason(struct rig *rig, const char *word)
{
    bool seen = false;
    for (int i = 0; i < 1000 && !seen; i++) {
        json_t *health = rig_query(rig, MSG_HEALTH, json_object(), &(uint32_t){0});
        seen = strstr(rig_text(health, "reason"), word) != NULL;
        json_decref(health);
        if (!seen) usleep(10000);
    }
    if (!seen) fail_msg("\"%s\" was never the reason", word);
}

/* A vault.db from before the log's key was replaced: going on with it would sign nothing any more. */
static void test_older_vault(void **state)
{
    struct rig *rig = *state;
    uint32_t kind;
    quiet(rig);
    rig_stop(rig);
    rig_start(rig, true);
    copy_file(rig, "vault.db", "older", true);
    json_decref(rig_query(rig, MSG_AUDIT_ROLL, json_object(), &kind));
    assert_int_equal(kind, ERR_NONE);
    quiet(rig);
    assert_int_equal(linkat(rig->data, "vault.db", rig->data, "kept", 0), 0);
    assert_int_equal(linkat(rig->data, "vault.db-wal", rig->data, "kept-wal", 0), 0);
    assert_int_equal(renameat(rig->data, "older", rig->data, "vault.db"), 0);
    unlinkat(rig->data, "vault.db-wal", 0);
    wait_reason(rig, "does not hold the key");
    assert_int_equal(renameat(rig->data, "kept", rig->data, "vault.db"), 0);
    assert_int_equal(renameat(rig->data, "kept-wal", rig->data, "vault.db-wal"), 0);
    struct msg_begin ask = rig_ask(rig);
    struct msg_begun begun = recovered(rig, &ask);
    finish(rig, &begun);
    quiet(rig);
    accounted(rig);
}

/* A question to the vault outlives a recovery: it is not asked a second time meanwhile. */
static void test_one_new_key_at_a_time(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    struct msg_query roll = {.who = {.kind = WHO_PEER, .principal = rig->desk_principal}};
    rig_call(rig, &ask, CLASS_OK, 5, true);
    quiet(rig);
    rig->silent = MSG_SIGNER_NEW;
    rig_send(rig, rig->desk, rig->desk_generation, MSG_AUDIT_ROLL, ++rig->seq, &roll, sizeof roll, NULL, 0);
    rig_until_silenced(rig);
    rig->silenced = false;
    rig->shim->fail_syncs = 1;
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_AUDIT);
    struct msg_begun begun = recovered(rig, &ask);
    finish(rig, &begun);
    quiet(rig);
    assert_false(rig->silenced);
}

/* Cut while it is in use: the database, and the write-ahead log. */
static void test_cut_while_used(void **state)
{
    static const char *const names[] = {"audit.db", "audit.db-wal"};
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        rig_call(rig, &ask, CLASS_OK, 5, true);
        copy_file(rig, names[i], "whole", true);
        int fd = openat(rig->data, names[i], O_WRONLY | O_CLOEXEC);
        assert_int_equal(ftruncate(fd, 4096), 0);
        close(fd);
        refused_and_sealed(rig, names[i]);
        copy_file(rig, "whole", names[i], false);
        unlinkat(rig->data, "whole", 0);
        struct msg_begun begun = recovered(rig, &ask);
        finish(rig, &begun);
    }
    accounted(rig);
}

/* ── outcomes that wait ────────────────────────────────────────────────────────────────────────────── */

/* A call runs, and meanwhile the log is cut; until that was looked at anew, which is when all was closed once. */
static struct msg_begun sealed_while_running(struct rig *rig, const struct msg_begin *ask)
{
    struct msg_begun begun = rig_begin_ok(rig, ask);
    quiet(rig);
    copy_file(rig, "audit.db", "whole", true);
    int fd = openat(rig->data, "audit.db", O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 4096), 0);
    close(fd);
    refused_and_sealed(rig, "was cut");
    wait_reason(rig, "damaged");
    return begun;
}

/* The front says what became of it, and says so again until it hears that it is recorded. */
static struct msg_ended says_ok(struct rig *rig, const struct msg_begun *begun)
{
    struct msg_end end = rig_end_of(&begun->call, CLASS_OK);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun->call, 1, 10, true);
    return rig_ended(rig);
}

/* However long the log cannot be opened: what ends meanwhile is durable before its caller hears of it. */
static void test_spilled_between_two_tries(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    rig_call(rig, &ask, CLASS_OK, 5, true);
    struct msg_begun begun = sealed_while_running(rig, &ask);
    assert_int_equal(says_ok(rig, &begun).status.kind, ERR_AUDIT);
    rig_kill(rig);
    copy_file(rig, "whole", "audit.db", false);
    rig_start(rig, false);
    rig_check(rig, 2, &begun.call, "class", "ok");
    rig_check(rig, 2, &begun.call, "sent", "yes");
    json_t *outcome = rig_entry(rig, 2, &begun.call), *recover = rig_entry(rig, 10, NULL);
    assert_int_equal(json_integer_value(json_object_get(outcome, "spilled")), 1);
    assert_int_equal(json_integer_value(json_object_get(recover, "spilled")), 1);
    json_decref(outcome);
    json_decref(recover);
    accounted(rig);
}

/* The spill file is taken away, or wiped, with an outcome in it: the call ran, and must not pass for one that never
 * did, which would free its key for a second delivery. */
static void test_spill_taken_away(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_keyed(rig, "once"), other = rig_ask(rig);
    for (int how = 0; how < 2; how++) {
        rig_call(rig, &other, CLASS_OK, 5, true);
        snprintf(ask.key, sizeof ask.key, "once-%d", how);
        struct msg_begun begun = sealed_while_running(rig, &ask);
        assert_int_equal(says_ok(rig, &begun).status.kind, ERR_AUDIT);
        if (how == 0) assert_int_equal(unlinkat(rig->data, "audit.spill", 0), 0);
        int fd = openat(rig->data, "audit.spill", O_WRONLY | O_CLOEXEC);
        if (how == 1) assert_int_equal(ftruncate(fd, 0), 0);
        close(fd);
        copy_file(rig, "whole", "audit.db", false);
        unlinkat(rig->data, "whole", 0);
        struct msg_begun next = recovered(rig, &other);
        finish(rig, &next);
        json_t *recover = rig_entry(rig, 10, NULL);
        assert_int_equal(json_integer_value(json_object_get(recover, "lost")), 1);
        json_decref(recover);
        struct msg_ended ended = says_ok(rig, &begun);
        assert_int_equal(ended.class, CLASS_OK);
        assert_int_equal(ended.sent, SENT_YES);
        accounted(rig);
    }
}

/* ── freeze ────────────────────────────────────────────────────────────────────────────────────────── */

static void limit_files(struct rig *rig, rlim_t bytes)
{
    struct rlimit limit = {bytes, RLIM_INFINITY};
    assert_int_equal(prlimit(rig->pid, RLIMIT_FSIZE, &limit, NULL), 0);
}

static void freeze(struct rig *rig, bool on)
{
    struct ctl_freeze body = {.on = on};
    rig_send(rig, rig->control, 0, CTL_FREEZE, 0, &body, sizeof body, NULL, 0);
}

/* Acts at once; the record follows. */
static void test_freeze_while_sealed(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    limit_files(rig, 8192);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_AUDIT);
    freeze(rig, true);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_AUDIT);
    limit_files(rig, RLIM_INFINITY);
    for (int i = 0; i < 1000 && rig_begin(rig, &ask).status.kind == ERR_AUDIT; i++) usleep(10000);
    assert_int_equal(rig_begin(rig, &ask).status.kind, ERR_FROZEN);
    rig_check(rig, 5, NULL, "act", "freeze");
    freeze(rig, false);
    struct msg_begun begun = recovered(rig, &ask);
    finish(rig, &begun);
    accounted(rig);
}

/* ── the clock ─────────────────────────────────────────────────────────────────────────────────────── */

/* A log whose last entry is of tomorrow, as after a clock that was put back: time stands still there, and what the
 * clock says is kept beside it. */
static void test_clock_went_back(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    char body[256], sql[2048], hex[HASH_BYTES * 2 + 1], *at = sql;
    uint64_t tomorrow = clock_wall() + 86400 * CLOCK_S;
    tree_hash leaf;
    int64_t next = rig_number(rig, "SELECT count(*) FROM entry");
    rig_kill(rig);
    int length = snprintf(body, sizeof body, "{\"act\":\"reload\",\"at\":%llu,\"kind\":\"admin\",\"v\":1}",
                          (unsigned long long)tomorrow);
    tree_leaf(body, (size_t)length, leaf);
    for (int i = 0; i < HASH_BYTES; i++) sprintf(hex + 2 * i, "%02x", leaf[i]);
    at += sprintf(at, "INSERT INTO entry(idx, ts, kind, attempt, leaf, body) VALUES(%lld, %llu, 5, 0, x'%s', CAST('%s' AS BLOB))",
                  (long long)next, (unsigned long long)tomorrow, hex, body);
    rig_exec(rig, "audit.db", sql);
    rig_start(rig, true);
    ask = rig_ask(rig);
    struct msg_begun begun = rig_begin_ok(rig, &ask);
    json_t *intent = rig_entry(rig, 1, &begun.call);
    assert_true(json_integer_value(json_object_get(intent, "at")) >= (json_int_t)tomorrow);
    json_int_t clock = json_integer_value(json_object_get(intent, "clock"));
    assert_true(clock > 0 && clock < (json_int_t)tomorrow);
    json_decref(intent);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM entry a JOIN entry b ON b.idx = a.idx + 1 WHERE b.ts < a.ts"), 0);
    struct msg_end end = rig_end_of(&begun.call, CLASS_OK);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, 1, 10, true);
    assert_int_equal(rig_ended(rig).status.kind, ERR_NONE);
    accounted(rig);
}

#define SEALING(test) cmocka_unit_test_setup_teardown(test, rig_setup_shim, rig_teardown)

int main(int count, char **arguments)
{
    const struct CMUnitTest tests[] = {
        SEALING(test_flush_fails_once),
        SEALING(test_write_fails),
        SEALING(test_spill_fails_too),
        SEALING(test_recovery_fails),
        SEALING(test_stall),
        SEALING(test_stale),
        SEALING(test_one_call_alone),
        SEALING(test_unlinked),
        SEALING(test_replaced),
        SEALING(test_older_vault),
        SEALING(test_one_new_key_at_a_time),
        SEALING(test_cut_while_used),
        SEALING(test_spilled_between_two_tries),
        SEALING(test_spill_taken_away),
        SEALING(test_freeze_while_sealed),
        SEALING(test_clock_went_back),
    };
    ledger_path = count > 1 ? arguments[1] : "";
    return cmocka_run_group_tests(tests, NULL, NULL);
}
