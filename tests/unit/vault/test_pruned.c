/* SPDX-License-Identifier: Apache-2.0 */
/* The verifier on logs of which bodies were pruned, and hashes dropped: what records say is good, all else is not. */
#include <stdio.h>
#include <unistd.h>

#include "log.h"

static struct log logs;

static int setup(void **state)
{
    log_open(&logs);
    *state = &logs;
    return 0;
}

static int teardown(void **state)
{
    log_close(*state);
    return 0;
}

static void pruned_with_record(void **state)
{
    struct log *log = *state;
    char body[160];
    log_calls(log, 200, 0);
    snprintf(body, sizeof body,
             "{\"at\":%lld,\"from\":0,\"kind\":\"prune\",\"size\":400,\"to\":255,\"v\":1,\"what\":\"bodies\"}",
             (long long)++log->at);
    log_raw(log, 7, NULL, 0, body);
    log_sql(log, "INSERT INTO meta(k, v) VALUES('min_index', CAST('256' AS BLOB))");
    log_checkpoint(log, NULL);
    log_sql(log, "UPDATE entry SET body = NULL WHERE idx < 256");
    struct audit_report report;
    struct err err;
    if (!log_verify(log, true, &report, &err)) fail_msg("%s", err.text);
    assert_int_equal(report.pruned, 256);
    log_sql(log, "UPDATE entry SET body = NULL WHERE idx = 300");
    report = assert_bad(log, "no record says that they were pruned");
    assert_int_equal(report.index, 300);
}

static void prune_record(struct log *log, const char *what, int from, int to, int stays)
{
    char body[160];
    snprintf(body, sizeof body,
             "{\"at\":%lld,\"from\":%d,\"kind\":\"prune\",\"size\":600,\"stays\":%d,\"to\":%d,\"v\":1,\"what\":\"%s\"}",
             (long long)++log->at, from, stays, to, what);
    log_raw(log, 7, NULL, 0, body);
}

static void drop_block(struct log *log, int n)
{
    struct audit_tree tree = {0};
    sqlite3_stmt *row;
    uint8_t root[HASH_BYTES];
    char hex[HASH_TEXT];
    assert_int_equal(
        sqlite3_prepare_v2(log->db, "SELECT leaf FROM entry WHERE idx / 256 = ?1 ORDER BY idx", -1, &row, NULL),
        SQLITE_OK);
    sqlite3_bind_int(row, 1, n);
    while (sqlite3_step(row) == SQLITE_ROW) assert_true(audit_tree_add(&tree, sqlite3_column_blob(row, 0)));
    sqlite3_finalize(row);
    assert_int_equal(tree.size, 256);
    audit_tree_root(&tree, root);
    hex_text(root, sizeof root, hex);
    log_sql(log,
            "DELETE FROM entry WHERE idx / 256 = %d; DELETE FROM tile WHERE level = 0 AND n = %d;"
            "DELETE FROM checkpoint WHERE size > %d AND size < %d; INSERT INTO block VALUES(%d, x'%s')",
            n, n, 256 * n, 256 * n + 256, n, hex);
}

/* Two blocks: of the first, a roll stays and so its tile; of the second only the root. A call begins in it and ends
 * behind. */
static void dropped_log(struct log *log, bool recorded)
{
    uint8_t call[ID_BYTES];
    log_calls(log, 100, 0);
    log_roll(log, true);
    log_calls(log, 155, 60);
    id_new(call);
    log_intent(log, call, 1);
    while (log->size < 512) log_admin(log);
    log_outcome(log, call, 1, 511);
    log_calls(log, 20, 0);
    prune_record(log, "bodies", 0, 511, 1);
    if (recorded) prune_record(log, "hashes", 0, 511, 1);
    log_calls(log, 40, 0);
    log_checkpoint(log, NULL);
    log_witness(log);
    log_sql(log, "INSERT INTO meta(k, v) VALUES('min_index', CAST('512' AS BLOB));"
                 "INSERT INTO prune(entry, hashes, from_idx, to_idx, done, root, archive, ts)"
                 " VALUES(560, 1, 0, 511, 512, zeroblob(32), zeroblob(32), 1);"
                 "UPDATE entry SET body = NULL WHERE idx < 512 AND kind <> 8;"
                 "DELETE FROM entry WHERE idx < 256 AND kind <> 8");
    drop_block(log, 1);
}

static void dropped_with_record(void **state)
{
    struct log *log = *state;
    struct audit_report report;
    struct err err;
    dropped_log(log, true);
    if (!log_verify(log, true, &report, &err)) fail_msg("%s", err.text);
    assert_int_equal(report.dropped, 511);
    assert_int_equal(report.rolls, 1);
    assert_int_equal(report.calls, 61);
    assert_int_equal(report.entries, log->size);
}

static void dropped_without_a_record(void **state)
{
    struct log *log = *state;
    dropped_log(log, false);
    struct audit_report report = assert_bad(log, "entry 0: it is missing, and no record says that it was dropped");
    assert_int_equal(report.index, 0);
}

/* Each is one change to a log that is good. */
static void dropped_and_changed(void **state)
{
    static const struct {
        const char *sql, *words;
    } cases[] = {
        {"UPDATE block SET root = zeroblob(32)", "the entries are not those that were signed"},
        {"UPDATE block SET root = (SELECT root FROM checkpoint WHERE size > 512)", "are not those that were signed"},
        {"DELETE FROM block", "it is missing, and so is the tile with its leaf"},
        {"INSERT INTO block VALUES(0, zeroblob(32))", "its block was dropped, and entry 200 of it is there"},
        {"INSERT INTO block VALUES(2, zeroblob(32))", "roots of blocks that were not dropped"},
        {"UPDATE tile SET hashes = CAST(zeroblob(32) || substr(hashes, 33) AS BLOB) WHERE n = 0",
         "the entries are not those that were signed"},
        {"UPDATE meta SET v = CAST('768' AS BLOB) WHERE k = 'min_index'", "min_index is 768"},
        {"UPDATE meta SET v = CAST('0' AS BLOB) WHERE k = 'min_index'", "min_index is 0"},
        {"DELETE FROM prune", "entry 0: it is missing"},
        {"DELETE FROM entry WHERE kind = 8", "the pinned key did not sign it"},
        {"UPDATE entry SET kind = 12, body = NULL WHERE kind = 8", "the pinned key did not sign it"},
        {"DELETE FROM entry WHERE idx = 520", "entry 520: it is missing"},
        {"UPDATE prune SET to_idx = 600; DELETE FROM entry WHERE idx = 520", "entry 520: it is missing"},
        {"INSERT INTO checkpoint VALUES(300, zeroblob(32), x'00', 1)", "checkpoint of size 300 is there"},
    };
    struct log *log = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (i) log_close(log), log_open(log);
        dropped_log(log, true);
        log_sql(log, "%s", cases[i].sql);
        assert_bad(log, cases[i].words);
    }
}

/* A record about the log itself passes neither for a pruned entry nor for a dropped one. */
static void hidden_records(void **state)
{
    static const char *const ways[] = {"DELETE FROM entry WHERE kind = 6",
                                       "UPDATE entry SET kind = 12, body = NULL WHERE kind = 6"};
    struct log *log = *state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        char body[96];
        if (i) log_close(log), log_open(log);
        log_calls(log, 100, 0);
        snprintf(body, sizeof body, "{\"at\":%lld,\"kind\":\"erase\",\"v\":1}", (long long)++log->at);
        log_raw(log, 6, NULL, 0, body);
        log_calls(log, 250, 0);
        prune_record(log, "bodies", 0, 255, 1);
        if (i == 0) prune_record(log, "hashes", 0, 255, 1);
        log_checkpoint(log, NULL);
        log_sql(log, "INSERT INTO meta(k, v) VALUES('min_index', CAST('256' AS BLOB));"
                     "INSERT INTO prune(entry, hashes, from_idx, to_idx, done, root, archive, ts)"
                     " VALUES(701, 1, 0, 255, 256, zeroblob(32), zeroblob(32), 1);"
                     "UPDATE entry SET body = NULL WHERE idx < 256 AND kind <> 6");
        assert_good(log);
        log_sql(log, "%s", ways[i]);
        assert_bad(log, "of entries 0 to 255 it leaves 1 as they were, and 0 are there");
    }
}

/* Leaves never go before bodies, and nothing is left out in between. */
static void false_prune_records(void **state)
{
    static const struct {
        const char *what;
        int from, to;
        const char *words;
    } cases[] = {{"hashes", 0, 511, "whose bytes were not pruned before"},
                 {"bodies", 512, 767, "does not begin where the pruning before it ended"},
                 {"bodies", 0, 255, "does not begin where the pruning before it ended"},
                 {"bodies", 256, 8191, "it prunes what is not there"}};
    struct log *log = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (i) log_close(log), log_open(log);
        log_calls(log, 400, 0);
        prune_record(log, "bodies", 0, 255, 0);
        prune_record(log, cases[i].what, cases[i].from, cases[i].to, 0);
        log_checkpoint(log, NULL);
        assert_bad(log, cases[i].words);
    }
}

/* A mark inside a block that is gone: not called bad, and not called whole either. */
static void seen_inside_a_dropped_block(void **state)
{
    struct log *log = *state;
    struct audit_report report;
    struct err err;
    log_calls(log, 150, 0);
    assert_good(log); /* remembers 300 entries */
    log_calls(log, 150, 0);
    prune_record(log, "bodies", 0, 511, 0);
    prune_record(log, "hashes", 0, 511, 0);
    log_checkpoint(log, NULL);
    log_witness(log);
    log_sql(log, "INSERT INTO meta(k, v) VALUES('min_index', CAST('512' AS BLOB));"
                 "INSERT INTO prune(entry, hashes, from_idx, to_idx, done, root, archive, ts)"
                 " VALUES(601, 1, 0, 511, 512, zeroblob(32), zeroblob(32), 1)");
    log_sql(log, "UPDATE entry SET body = NULL WHERE idx < 512");
    drop_block(log, 1);
    assert_false(log_verify(log, true, &report, &err));
    assert_int_equal(err.kind, ERR_STATE);
    assert_non_null(strstr(err.text, "at 300 entries cannot be proven any more"));
    unlinkat(log->home, "witness/verified", 0);
    assert_good(log);
}

#define WITH_LOG(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(pruned_with_record),          WITH_LOG(dropped_with_record), WITH_LOG(dropped_without_a_record),
        WITH_LOG(dropped_and_changed),         WITH_LOG(hidden_records),      WITH_LOG(false_prune_records),
        WITH_LOG(seen_inside_a_dropped_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
