/* SPDX-License-Identifier: Apache-2.0 */
/* The log's signing keys: the ledger dies after each step of a roll and goes on where it was; epochs of the log. */
#include "rig.h"
#include "shim.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int64_t key_rows(struct rig *rig)
{
    char path[128];
    sqlite3 *db;
    sqlite3_stmt *row;
    snprintf(path, sizeof path, "%s/vault.db", rig->path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM signer_key", -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    int64_t count = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    sqlite3_close(db);
    return count;
}

static void have_signed(struct rig *rig)
{
    uint32_t kind;
    json_t *answer = rig_query(rig, MSG_AUDIT_CHECKPOINT, json_object(), &kind);
    assert_int_equal(kind, ERR_NONE);
    json_decref(answer);
}

static int64_t rolls(struct rig *rig)
{
    return rig_number(rig, "SELECT count(*) FROM entry WHERE kind = 8");
}

/* Every signature stands, by the key whose turn it was; one wrapped secret is left. */
static void assert_settled(struct rig *rig, int64_t expected)
{
    have_signed(rig);
    assert_int_equal(rolls(rig), expected);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM signer"), expected + 1);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM signer s WHERE retired_size IS NOT NULL AND NOT EXISTS"
                                     " (SELECT 1 FROM checkpoint c WHERE c.size = s.retired_size)"),
                     0);
    assert_int_equal(key_rows(rig), 1);
    rig_verify(rig);
}

static void ask_roll(struct rig *rig)
{
    struct msg_query ask = {.who = {.kind = WHO_PEER, .principal = rig->desk_principal}};
    rig_send(rig, rig->desk, rig->desk_generation, MSG_AUDIT_ROLL, ++rig->seq, &ask, sizeof ask, NULL, 0);
}

static void roll(struct rig *rig)
{
    uint32_t kind;
    json_t *answer = rig_query(rig, MSG_AUDIT_ROLL, json_object(), &kind);
    assert_int_equal(kind, ERR_NONE);
    assert_string_not_equal(rig_text(answer, "vkey"), rig_text(answer, "current"));
    json_decref(answer);
}

static void test_rolls(void **state)
{
    struct rig *rig = *state;
    struct msg_begin ask = rig_ask(rig);
    for (int64_t i = 1; i <= 3; i++) {
        rig_call(rig, &ask, CLASS_OK, 5, true);
        roll(rig);
        assert_settled(rig, i);
    }
    rig_stop(rig);
    rig_start(rig, true);
    rig_call(rig, &ask, CLASS_OK, 5, true);
    assert_settled(rig, 3);
}

/* kill -9 when the vault was asked something, has done it or not, and the ledger has not heard. */
static void die_at(struct rig *rig, unsigned question, bool worked, int64_t entries)
{
    have_signed(rig);
    rig->silent = question;
    rig->silent_works = worked;
    rig->silenced = false;
    ask_roll(rig);
    rig_until_silenced(rig);
    rig_kill(rig);
    rig->silent = 0;
    rig_start(rig, true);
    assert_settled(rig, entries);
    struct msg_begin ask = rig_ask(rig);
    rig_call(rig, &ask, CLASS_OK, 5, true);
    roll(rig);
    assert_settled(rig, entries + 1);
}

static void test_dies_before_the_pair(void **state)
{
    die_at(*state, MSG_SIGNER_NEW, false, 0);
}

static void test_dies_before_the_signature(void **state)
{
    die_at(*state, MSG_SIGN, false, 1);
}

static void test_dies_after_the_signature(void **state)
{
    die_at(*state, MSG_SIGN, true, 1);
}

/* Between the answer and the end of the old key: whenever that is, nothing is lost. */
static void test_dies_at_the_end(void **state)
{
    struct rig *rig = *state;
    have_signed(rig);
    for (int64_t i = 1; i <= 4; i++) {
        ask_roll(rig);
        rig_take(rig, rig->desk, MSG_JSON_ANSWER, NULL);
        rig_kill(rig);
        rig_start(rig, true);
        assert_settled(rig, i);
    }
}

/* The vault dies while it rolls: the question is asked again. */
static void test_vault_dies(void **state)
{
    struct rig *rig = *state;
    static const unsigned questions[] = {MSG_SIGNER_NEW, MSG_SIGN, MSG_SIGN};
    int64_t done = 0;
    for (int i = 0; i < 3; i++) {
        have_signed(rig);
        rig->silent = questions[i];
        rig->silent_works = i == 2;
        rig->silenced = false;
        ask_roll(rig);
        rig_until_silenced(rig);
        rig->silent = 0;
        rig_replace(rig, ROLE_VAULT);
        rig_take(rig, rig->desk, MSG_JSON_ANSWER, NULL);
        if (i == 0) roll(rig); /* it was told that there was no new key */
        assert_settled(rig, ++done);
    }
}

/* A roll that failed is over: the ledger sleeps, and does not look again and again for something to do. Only once the
 * time to ask again has passed does it sleep for longer than that. */
static void test_sleeps_after_a_failure(void **state)
{
    struct rig *rig = *state;
    have_signed(rig);
    rig->silent = MSG_SIGNER_NEW;
    ask_roll(rig);
    rig_until_silenced(rig);
    rig->silent = 0;
    rig_replace(rig, ROLE_VAULT);
    rig_take(rig, rig->desk, MSG_JSON_ANSWER, NULL);
    have_signed(rig);
    rig->shim->sleeps = rig->shim->glances = 0;
    for (int i = 0; i < 2000 && rig->shim->sleeps == 0 && rig->shim->glances < 1000; i++) usleep(10000);
    assert_true(rig->shim->sleeps > 0);
}

/* Somebody who reads vault.db is no reason not to start, nor not to sign; what is owed is done when that has ended. */
static void test_starts_beside_a_reader(void **state)
{
    struct rig *rig = *state;
    char path[128];
    sqlite3 *db;
    have_signed(rig);
    snprintf(path, sizeof path, "%s/vault.db", rig->path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    assert_int_equal(sqlite3_exec(db, "BEGIN; SELECT count(*) FROM signer_key", NULL, NULL, NULL), SQLITE_OK);
    rig_kill(rig);
    rig_start(rig, true);
    struct msg_begin ask = rig_ask(rig);
    rig_call(rig, &ask, CLASS_OK, 5, true);
    roll(rig);
    assert_int_equal(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_settled(rig, 1);
}

#define WITH_RIG(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(test_rolls),
        WITH_RIG(test_dies_before_the_pair),
        WITH_RIG(test_dies_before_the_signature),
        WITH_RIG(test_dies_after_the_signature),
        WITH_RIG(test_dies_at_the_end),
        WITH_RIG(test_vault_dies),
        cmocka_unit_test_setup_teardown(test_sleeps_after_a_failure, rig_setup_shim, rig_teardown),
        WITH_RIG(test_starts_beside_a_reader),
    };
    if (argc < 2) return 2;
    ledger_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
