/* SPDX-License-Identifier: Apache-2.0 */
/* The verifier: a good log passes, and whatever a taken-over ledger can do to its files is noticed. */
#include "log.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "tools/keys.h"

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

/* ── good logs ─────────────────────────────────────────────────────────────────────────────────────── */

static void good_and_growing(void **state)
{
    struct log *log = *state;
    struct audit_report report;
    struct err err;
    log_calls(log, 700, 33);
    log_witness(log);
    assert_true(log_verify(log, false, &report, &err));
    assert_int_equal(report.calls, 700);
    assert_int_equal(report.open_calls, 0);
    assert_int_equal(report.signed_size, 1400);
    assert_int_equal(report.tiles, 5);
    assert_int_equal(report.remembered, 0);
    assert_true(report.remembers);
    assert_string_equal(report.notice, "");
    uint8_t call[ID_BYTES];
    id_new(call);
    log_intent(log, call, 1); /* open, and not signed yet */
    assert_true(log_verify(log, false, &report, &err));
    assert_int_equal(report.remembered, 1400);
    assert_int_equal(report.open_calls, 1);
    log_outcome(log, call, 1, log->size - 1);
    log_intent(log, call, 2); /* the next attempt */
    log_outcome(log, call, 2, log->size - 1);
    log_admin(log);
    log_checkpoint(log, NULL);
    assert_good(log);
}

/* More than one level of tiles. */
static void large(void **state)
{
    struct log *log = *state;
    log_calls(log, 33000, 5000);
    log_witness(log);
    assert_good(log);
    log_sql(log, "UPDATE tile SET hashes = zeroblob(8192) WHERE level = 1");
    assert_bad(log, "the stored tile 1/0 does not fit the entries");
}

/* ── what a taken-over ledger can do ───────────────────────────────────────────────────────────────── */

static void edit_body(struct log *log, int index)
{
    log_sql(log,
            "UPDATE entry SET body = CAST(replace(CAST(body AS TEXT), '\"class\":\"ok\"', '\"class\":\"no\"') AS BLOB)"
            " WHERE idx = %d",
            index);
}

static void fit_leaf(struct log *log, int index)
{
    sqlite3_stmt *statement;
    uint8_t leaf[HASH_BYTES];
    char sql[96];
    snprintf(sql, sizeof sql, "SELECT body FROM entry WHERE idx = %d", index);
    assert_int_equal(sqlite3_prepare_v2(log->db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    audit_leaf(sqlite3_column_blob(statement, 0), (size_t)sqlite3_column_bytes(statement, 0), leaf);
    sqlite3_finalize(statement);
    char hex[HASH_TEXT];
    hex_text(leaf, HASH_BYTES, hex);
    log_sql(log, "UPDATE entry SET leaf = x'%s' WHERE idx = %d", hex, index);
}

static void body_edited(void **state)
{
    struct log *log = *state;
    log_calls(log, 300, 10);
    edit_body(log, 101);
    struct audit_report report = assert_bad(log, "its bytes do not fit its leaf");
    assert_true(report.has_entry);
    assert_int_equal(report.index, 101);
    assert_string_equal(report.kind, "outcome");
    assert_int_equal(strlen(report.call), 36);
}

static void body_and_leaf_edited(void **state)
{
    struct log *log = *state;
    log_calls(log, 300, 10);
    edit_body(log, 101);
    fit_leaf(log, 101);
    struct audit_report report = assert_bad(log, "the entries are not those that were signed");
    assert_int_equal(report.index, 100); /* between two checkpoints */
    assert_int_equal(report.last, 119);
}

/* Body, leaf, tiles and every checkpoint's root, all rewritten to fit; only the key is missing. */
static void everything_rewritten(void **state)
{
    struct log *log = *state;
    uint8_t other[64], public[32];
    log_calls(log, 300, 0);
    edit_body(log, 101);
    fit_leaf(log, 101);
    log_rebuild(log);
    crypto_sign_keypair(public, other);
    log_checkpoint(log, other);
    assert_bad(log, "its signature is bad");
    /* Signed by a key of its own, honestly named: nobody pinned that one. */
    memcpy(log->public, public, sizeof public);
    log_checkpoint(log, other);
    assert_bad(log, "the pinned key did not sign it");
}

static void tail_deleted(void **state)
{
    struct log *log = *state;
    log_calls(log, 100, 5);
    log_sql(log, "DELETE FROM entry WHERE idx >= 150");
    assert_bad(log, "the log was cut: it has 150 entries, and 160 were signed");
}

/* The checkpoints are gone too; the parent's note is not. */
static void tail_and_checkpoints_deleted(void **state)
{
    struct log *log = *state;
    log_calls(log, 100, 5);
    log_witness(log);
    log_sql(log, "DELETE FROM entry WHERE idx >= 150; DELETE FROM checkpoint WHERE size > 150");
    assert_bad(log, "the daemon's parent saw 200 signed");
}

static void copy_file(struct log *log, const char *from, const char *to)
{
    static char bytes[4 * 1024 * 1024];
    FD_AUTO in = openat(log->home, from, O_RDONLY), out = openat(log->home, to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t got = read(in, bytes, sizeof bytes);
    assert_true(got > 0 && (size_t)got < sizeof bytes);
    assert_int_equal(write(out, bytes, (size_t)got), got);
}

/* A whole, good, older file: only memory outside can tell. */
static void older_file_restored(void **state)
{
    struct log *log = *state;
    log_calls(log, 50, 5);
    log_sql(log, "PRAGMA wal_checkpoint(TRUNCATE)");
    copy_file(log, "data/audit.db", "data/copy.db");
    log_calls(log, 50, 5);
    assert_good(log); /* remembers 200, no witness in this test */
    sqlite3_close(log->db);
    unlinkat(log->home, "data/audit.db-wal", 0);
    unlinkat(log->home, "data/audit.db-shm", 0);
    copy_file(log, "data/copy.db", "data/audit.db");
    char path[128];
    snprintf(path, sizeof path, "%s/data/audit.db", log->path);
    assert_int_equal(sqlite3_open(path, &log->db), SQLITE_OK);
    assert_bad(log, "it has 100 entries, the last verification saw 200");
    unlinkat(log->home, "witness/verified", 0); /* without that memory it is a good log */
    struct audit_report report;
    struct err err;
    assert_true(log_verify(log, true, &report, &err));
    log->size = 100;
}

/* The same length, another history, all signed anew with the right key: the state of a machine that was forked. */
static void forked(void **state)
{
    struct log *log = *state;
    log_calls(log, 50, 5);
    log_witness(log);
    assert_good(log);
    edit_body(log, 51);
    fit_leaf(log, 51);
    log_sql(log, "DELETE FROM checkpoint");
    log_rebuild(log);
    log_checkpoint(log, NULL);
    struct audit_report report = assert_bad(log, "the first 100 entries are not those that");
    assert_true(report.has_entry);
    unlinkat(log->home, "witness/checkpoint", 0);
    assert_bad(log, "the last verification saw");
}

static void entry_removed(void **state)
{
    struct log *log = *state;
    log_calls(log, 50, 5);
    log_sql(log, "DELETE FROM entry WHERE idx = 20");
    struct audit_report report = assert_bad(log, "entry 20: it is missing");
    assert_int_equal(report.index, 20);
}

static void entries_swapped(void **state)
{
    struct log *log = *state;
    log_calls(log, 50, 5);
    log_sql(log, "DROP INDEX entry_call; UPDATE entry SET idx = -1 WHERE idx = 20;"
                 "UPDATE entry SET idx = 20 WHERE idx = 22; UPDATE entry SET idx = 22 WHERE idx = -1");
    struct audit_report report;
    struct err err;
    assert_false(log_verify(log, false, &report, &err));
    assert_int_equal(err.kind, ERR_DAMAGED);
}

/* ── rules that a properly signed log can still break ──────────────────────────────────────────────── */

static void sign_and_see(struct log *log, const char *words, uint64_t index)
{
    log_checkpoint(log, NULL);
    struct audit_report report = assert_bad(log, words);
    assert_true(report.has_entry);
    assert_int_equal(report.index, index);
}

static void second_outcome(void **state)
{
    struct log *log = *state;
    uint8_t call[ID_BYTES];
    id_new(call);
    log_sql(log, "DROP INDEX entry_call");
    log_intent(log, call, 1);
    log_outcome(log, call, 1, 0);
    log_outcome(log, call, 1, 0);
    sign_and_see(log, "a second outcome; the first is entry 1", 2);
}

static void second_intent(void **state)
{
    struct log *log = *state;
    uint8_t call[ID_BYTES];
    id_new(call);
    log_sql(log, "DROP INDEX entry_call");
    log_intent(log, call, 1);
    log_intent(log, call, 1);
    sign_and_see(log, "a second intent", 1);
}

static void outcome_alone(void **state)
{
    uint8_t call[ID_BYTES];
    id_new(call);
    log_outcome(*state, call, 1, 0);
    sign_and_see(*state, "an outcome without an intent", 0);
}

static void wrong_intent(void **state)
{
    uint8_t call[ID_BYTES];
    id_new(call);
    log_admin(*state);
    log_intent(*state, call, 1);
    log_outcome(*state, call, 1, 0);
    sign_and_see(*state, "it names entry 0 as its intent, which is entry 1", 2);
}

static void attempt_too_early(void **state)
{
    uint8_t call[ID_BYTES];
    id_new(call);
    log_intent(*state, call, 1);
    log_intent(*state, call, 2);
    sign_and_see(*state, "attempt 2 begins before", 1);
}

static void time_goes_back(void **state)
{
    struct log *log = *state;
    log_admin(log);
    log->at -= 1000;
    log_admin(log);
    sign_and_see(log, "its time lies before", 1);
}

static void columns_changed(void **state)
{
    struct log *log = *state;
    static const char *const changes[] = {"kind = 5", "call = zeroblob(16)", "attempt = 2", "call = NULL"};
    log_calls(log, 4, 0);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        log_sql(log, "SAVEPOINT s");
        log_sql(log, "UPDATE entry SET %s WHERE idx = 4; RELEASE s", changes[i]);
        struct audit_report report = assert_bad(log, "its columns say something else");
        assert_int_equal(report.index, 4);
        log_sql(log,
                "UPDATE entry SET kind = 1, attempt = 1, call = (SELECT call FROM entry WHERE idx = 5) WHERE idx = 4");
        assert_good(log);
    }
    /* Whose it is decides what a legal hold covers. */
    log_sql(log, "UPDATE entry SET workspace = zeroblob(16) WHERE idx = 4");
    assert_int_equal(assert_bad(log, "its columns say something else").index, 4);
    log_sql(log, "UPDATE entry SET workspace = NULL WHERE idx = 4");
    assert_int_equal(assert_bad(log, "its columns say something else").index, 4);
    log_sql(log, "UPDATE entry SET workspace = (SELECT workspace FROM entry WHERE idx = 6) WHERE idx = 4");
    assert_good(log);
    log_sql(log, "UPDATE entry SET workspace = zeroblob(16) WHERE idx = 5");
    assert_int_equal(assert_bad(log, "another workspace than its intent").index, 5);
    log_sql(log, "UPDATE entry SET workspace = NULL WHERE idx = 5");
    assert_int_equal(assert_bad(log, "another workspace than its intent").index, 5);
    log_sql(log, "UPDATE entry SET workspace = (SELECT workspace FROM entry WHERE idx = 6) WHERE idx = 5");
    assert_good(log);
    /* When it was decides what is pruned. */
    log_sql(log, "UPDATE entry SET ts = ts - 1 WHERE idx = 4");
    assert_int_equal(assert_bad(log, "its columns say something else").index, 4);
}

/* Bytes that are not in the log's form, under a good signature. */
static void bodies_out_of_form(void **state)
{
    struct log *log = *state;
    static const char *const bodies[] = {
        "",
        "{",
        "{}",
        "[]",
        "null",
        "{\"at\":1,\"kind\":\"admin\"}",
        "{\"kind\":\"admin\",\"at\":1,\"v\":1}",          /* not sorted */
        "{\"at\":1,\"at\":1,\"kind\":\"admin\",\"v\":1}", /* a key twice */
        "{\"at\":1, \"kind\":\"admin\",\"v\":1}",         /* white space */
        "{\"at\":1.5,\"kind\":\"admin\",\"v\":1}",
        "{\"at\":1e3,\"kind\":\"admin\",\"v\":1}",
        "{\"at\":01,\"kind\":\"admin\",\"v\":1}",
        "{\"at\":-0,\"kind\":\"admin\",\"v\":1}",
        "{\"at\":9223372036854775808,\"kind\":\"admin\",\"v\":1}",
        "{\"at\":1,\"kind\":\"admin\",\"v\":1}x",
        "{\"at\":1,\"kind\":\"admin\",\"v\":1,}",
        "{\"at\":1,\"kind\":\"admin\",\"text\":\"\xff\",\"v\":1}",
        "{\"at\":1,\"kind\":\"admin\",\"text\":\"\t\",\"v\":1}",
        "{\"at\":1,\"kind\":\"admin\",\"text\":\"\\x\",\"v\":1}",
        "{\"at\":1,\"kind\":\"admin\",\"text\":true,\"v\":1}",
        "{\"at\":1,\"kind\":\"admin\",\"text\":[[[[[[[[[[]]]]]]]]]],\"v\":1}",
        "{\"at\":1,\"kind\":\"a-kind-with-a-name-that-is-far-too-long\",\"v\":1}",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        log_sql(log, "DELETE FROM entry; DELETE FROM checkpoint");
        memset(&log->tree, 0, offsetof(struct audit_tree, tile));
        log->size = 0;
        log_raw(log, 5, NULL, 0, bodies[i]);
        sign_and_see(log, "entry 0", 0);
    }
}

/* ── what stands around it ─────────────────────────────────────────────────────────────────────────── */

static void unsigned_log(void **state)
{
    struct log *log = *state;
    log_calls(log, 20, 0);
    log_sql(log, "DELETE FROM checkpoint");
    assert_bad(log, "nothing in this log is signed");
}

static void tiles_wrong(void **state)
{
    struct log *log = *state;
    log_calls(log, 300, 0);
    log_sql(log, "UPDATE tile SET n = 7 WHERE level = 0 AND n = 1");
    assert_bad(log, "the stored tile 0/1 is missing");
    log_sql(log, "UPDATE tile SET n = 1 WHERE n = 7; INSERT INTO tile VALUES(3, 0, zeroblob(8192))");
    assert_bad(log, "tiles that no entry belongs to");
}

static void note_text_edited(void **state)
{
    struct log *log = *state;
    static const char *const changes[][2] = {
        {"def/1", "def/2"}, {"\n40\n", "\n040\n"}, {"\n\n", "\nmore\n\n"}, {"\n40\n", "\n41\n"}, {"\u2014", "-"}};
    log_calls(log, 20, 0);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        log_sql(log, "CREATE TABLE keep AS SELECT * FROM checkpoint");
        log_sql(log,
                "UPDATE checkpoint SET note = CAST(replace(CAST(note AS TEXT), '%s', '%s') AS BLOB) WHERE size = 40",
                changes[i][0], changes[i][1]);
        assert_bad(log, "checkpoint at 40");
        log_sql(log, "DELETE FROM checkpoint; INSERT INTO checkpoint SELECT * FROM keep; DROP TABLE keep");
    }
    assert_good(log);
}

/* A line by somebody else is passed over; a second, bad line by the pinned key is not. */
static void other_signers(void **state)
{
    struct log *log = *state;
    log_calls(log, 20, 0);
    log_sql(log, "UPDATE checkpoint SET note = CAST(CAST(note AS TEXT) || '\u2014 witness.example/w1 AAAAAAAA' || "
                 "char(10) AS BLOB)");
    assert_good(log);
    log_sql(log, "UPDATE checkpoint SET note = CAST(CAST(note AS TEXT) || 'no line at all' || char(10) AS BLOB)");
    assert_bad(log, "signature lines are not in the form");
}

static void witness_of_another(void **state)
{
    struct log *log = *state;
    uint8_t key[32];
    char vkey[VKEY_TEXT];
    struct audit_report report;
    struct err err;
    log_calls(log, 20, 0);
    memcpy(key, log->public, sizeof key);
    vkey_text(LOG_ORIGIN, key, vkey);
    log->pinned[0] ^= 1;
    log_witness(log);
    struct audit_how how = {.folder = log->path, .vkey = vkey};
    assert_false(audit_verify(&how, &report, &err));
    assert_non_null(strstr(err.text, "another first key than the pinned one"));
    log->pinned[0] ^= 1;
    log->public[0] ^= 1;
    log_witness(log);
    assert_bad(log, "another signing key than the log leads to");
    memcpy(log->public, key, sizeof key);
    log_witness(log);
    assert_good(log);
    FD_AUTO fd = openat(log->home, "witness/checkpoint", O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_bad(log, "is damaged");
}

/* ── keys that roll ────────────────────────────────────────────────────────────────────────────────── */

static void rolls_are_followed(void **state)
{
    struct log *log = *state;
    struct audit_report report;
    struct err err;
    for (int i = 0; i < 5; i++) {
        log_calls(log, 20, 7);
        log_roll(log, true);
    }
    log_calls(log, 100, 1); /* more than the newest signatures that are always looked at */
    log_witness(log);
    assert_true(log_verify(log, false, &report, &err));
    assert_int_equal(report.rolls, 5);
    assert_good(log);
    log_roll(log, false); /* under way: the old key's last checkpoint is not there yet */
    assert_good(log);
    log_admin(log);
    assert_good(log);
}

/* Who has the key of today cannot sign what was before it, nor who has an old key what comes after. */
static void keys_have_their_range(void **state)
{
    struct log *log = *state;
    uint8_t old[64], old_public[32];
    log_calls(log, 20, 0);
    memcpy(old, log->secret, sizeof old);
    memcpy(old_public, log->public, sizeof old_public);
    log_roll(log, true);
    log_calls(log, 20, 0);
    uint8_t new_public[32];
    memcpy(new_public, log->public, sizeof new_public);
    memcpy(log->public, old_public, sizeof old_public);
    log_checkpoint(log, old); /* honestly named, and too late */
    assert_bad(log, "the pinned key did not sign it");
    memcpy(log->public, new_public, sizeof new_public);
    log_checkpoint(log, NULL);
    assert_good(log);
    log_sql(log, "DELETE FROM checkpoint WHERE size = 40");
    assert_good(log);
    log_sql(log, "INSERT INTO checkpoint SELECT 40, root, note, 1 FROM checkpoint WHERE size = 81");
    assert_bad(log, "checkpoint at 40");
}

/* The key of today, the whole file and every signature made anew: the takeover itself needs the old key. */
static void takeover_needs_the_old_key(void **state)
{
    struct log *log = *state;
    log_calls(log, 20, 0);
    log_roll(log, true);
    log_calls(log, 20, 0);
    edit_body(log, 11);
    fit_leaf(log, 11);
    log_sql(log, "DELETE FROM checkpoint");
    log_rebuild(log);
    log_checkpoint(log, NULL);
    assert_bad(log, "the checkpoint of size 41 is missing, with which the log's key hands over");
    log_sql(log, "INSERT INTO checkpoint SELECT 41, root, note, 1 FROM checkpoint WHERE size = 81");
    assert_bad(log, "checkpoint at 41");
}

/* Today's key, no roll in between, no memory on this machine: only a checkpoint that was kept elsewhere can tell. */
static void kept_checkpoint_tells(void **state)
{
    struct log *log = *state;
    struct audit_report report;
    struct err err;
    char kept[128];
    log_calls(log, 20, 0);
    snprintf(kept, sizeof kept, "%s/data/copy.db", log->path);
    sqlite3_stmt *row;
    assert_int_equal(sqlite3_prepare_v2(log->db, "SELECT note FROM checkpoint WHERE size = 40", -1, &row, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    FD_AUTO fd = open(kept, O_WRONLY | O_CREAT, 0600);
    assert_true(write(fd, sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0)) > 0);
    sqlite3_finalize(row);
    log_calls(log, 20, 0);
    struct audit_how how = {.folder = log->path, .kept = kept};
    if (!audit_verify(&how, &report, &err)) fail_msg("%s", err.text);
    edit_body(log, 11);
    fit_leaf(log, 11);
    log_sql(log, "DELETE FROM checkpoint");
    log_rebuild(log);
    log_checkpoint(log, NULL);
    unlinkat(log->home, "witness/verified", 0);
    assert_good(log); /* whole in itself */
    assert_false(audit_verify(&how, &report, &err));
    assert_non_null(strstr(err.text, "are not those that the checkpoint that was kept says"));
}

/* A taken-over ledger writes a roll to a key of its own, has the tree signed as always, and goes on by itself. */
static void roll_to_a_foreign_key(void **state)
{
    struct log *log = *state;
    log_calls(log, 20, 5);
    log->foreign = true;
    log_roll(log, true);
    log_calls(log, 20, 0);
    struct audit_report report = assert_bad(log, "the old key did not sign for the new one");
    assert_int_equal(report.index, 40);
}

/* The new key in the place of the old one's last, or nothing there at all. */
static void takeover_without_its_checkpoint(void **state)
{
    struct log *log = *state;
    log_calls(log, 20, 5);
    log_roll(log, false);
    log_checkpoint(log, NULL);
    assert_bad(log, "the pinned key did not sign it");
    log_sql(log, "DELETE FROM checkpoint WHERE size = 41");
    log_calls(log, 5, 0);
    assert_bad(log, "the checkpoint of size 41 is missing");
}

static void roll_of_another_key(void **state)
{
    struct log *log = *state;
    log_calls(log, 20, 0);
    log->public[5] ^= 1; /* names an old key that never signed */
    log_roll(log, false);
    sign_and_see(log, "it replaces another key than the one whose turn it was", 40);
}

static void rolls_are_not_pruned(void **state)
{
    struct log *log = *state;
    char body[160];
    log_calls(log, 20, 0);
    log_roll(log, true);
    log_calls(log, 300, 0);
    snprintf(
        body, sizeof body,
        "{\"at\":%lld,\"from\":0,\"kind\":\"prune\",\"size\":600,\"stays\":1,\"to\":255,\"v\":1,\"what\":\"bodies\"}",
        (long long)++log->at);
    log_raw(log, 7, NULL, 0, body);
    log_sql(log, "INSERT INTO meta(k, v) VALUES('min_index', CAST('256' AS BLOB))");
    log_checkpoint(log, NULL);
    log_sql(log, "UPDATE entry SET body = NULL WHERE idx < 256 AND kind <> 8");
    assert_good(log);
    log_sql(log, "UPDATE entry SET body = NULL WHERE kind = 8");
    assert_bad(log, "without them no key can be followed");
}

/* ── the pinned key ────────────────────────────────────────────────────────────────────────────────── */

static void pinned_by_hand(void **state)
{
    struct log *log = *state;
    struct audit_report report;
    struct err err;
    char vkey[VKEY_TEXT], state_path[128];
    log_calls(log, 20, 0);
    snprintf(state_path, sizeof state_path, "%s/data/copy.db", log->path);
    vkey_text(LOG_ORIGIN, log->public, vkey);
    struct audit_how how = {.folder = log->path, .vkey = vkey, .state = state_path};
    assert_true(audit_verify(&how, &report, &err));
    assert_true(report.remembers);
    vkey_text("other.example/1", log->public, vkey);
    unlink(state_path);
    assert_false(audit_verify(&how, &report, &err));
    assert_non_null(strstr(err.text, "does not name the log other.example/1"));
    vkey[3] ^= 1;
    assert_false(audit_verify(&how, &report, &err));
    assert_int_equal(err.kind, ERR_MALFORMED);
}

static void beside_the_log(void **state)
{
    struct log *log = *state;
    uint8_t call[ID_BYTES];
    char id[2 * ID_BYTES + 1], body[256], personal[HASH_TEXT];
    uint8_t salt[32] = {7}, hash[HASH_BYTES];
    id_new(call);
    hex_text(call, ID_BYTES, id);
    log_intent(log, call, 1);
    log_outcome(log, call, 1, 0);
    audit_hash(hash, "caisson detail v1\n", 18, salt, 32, "{\"caller\":\"uid:0\"}", 18);
    hex_text(hash, HASH_BYTES, personal);
    snprintf(body, sizeof body, "{\"act\":\"reload\",\"at\":%lld,\"kind\":\"admin\",\"personal\":\"%s\",\"v\":1}",
             (long long)++log->at, personal);
    log_raw(log, 5, NULL, 0, body);
    log_checkpoint(log, NULL);
    hex_text(salt, 32, personal);
    log_sql(log,
            "INSERT INTO detail(n, idx, name, salt, value) VALUES(4, 2, 'personal', x'%s', "
            "CAST('{\"caller\":\"uid:0\"}' AS "
            "BLOB))",
            personal);
    log_sql(log,
            "INSERT INTO call(id, attempt, state, workspace, connector, action, credential, credential_version,"
            " entry_digest, instance, begun, started, deadline, intent, outcome, class, sent)"
            " VALUES(x'%s', 1, 1, x'00', 'email', 'send', '', 0, x'00', x'00', 1, 1, 1, 0, 1, 1, 2)",
            id);
    assert_good(log);
    log_sql(log, "UPDATE call SET sent = 0");
    assert_bad(log, "the call table's row for entry 1");
    log_sql(log, "UPDATE call SET state = 0, sent = NULL, outcome = NULL");
    assert_bad(log, "it says that the call still runs");
    log_sql(log, "UPDATE call SET state = 1, outcome = 1, attempt = 2, sent = 2");
    assert_bad(log, "that entry is of another call or attempt");
    log_sql(log, "UPDATE call SET attempt = 1");
    /* Who looks for it goes by its place, not by the entry that it names. */
    log_sql(log, "UPDATE call SET sent = 2; UPDATE detail SET n = 6");
    assert_bad(log, "the personal value of entry 2: it stands in another's place");
    log_sql(log, "UPDATE detail SET n = 4, form = 1");
    assert_bad(log, "the personal value of entry 2: it stands in another's place");
    log_sql(log, "UPDATE detail SET form = 0");
    assert_good(log);
    log_sql(log, "INSERT INTO payload(idx, form, size, value) VALUES(0, 2, 1, x'00')");
    assert_bad(log, "the payload of entry 0: it is not what the entry commits to");
    log_sql(log, "UPDATE payload SET idx = 3"); /* where the next entry will stand */
    assert_bad(log, "the payload of entry 3: there is no such entry");
    log_sql(log, "DROP TABLE payload"); /* as a log of before them */
    assert_good(log);
    log_sql(log, "UPDATE detail SET value = CAST('{\"caller\":\"uid:1\"}' AS BLOB)");
    assert_bad(log, "the personal value of entry 2");
    log_sql(log, "UPDATE detail SET value = CAST('{\"caller\":\"uid:0\"}' AS BLOB), name = 'persona'");
    assert_bad(log, "it is called what no record says");
    log_sql(log, "UPDATE detail SET idx = 9");
    assert_bad(log, "the personal value of entry 9: there is no such entry");
}

static void not_a_log(void **state)
{
    struct log *log = *state;
    log_calls(log, 20, 0);
    log_sql(log, "ALTER TABLE entry RENAME TO kept; CREATE VIEW entry AS SELECT * FROM kept");
    assert_bad(log, "is not a log of caisson's");
    log_sql(log, "DROP VIEW entry; ALTER TABLE kept RENAME TO entry; PRAGMA user_version=2");
    struct audit_report report;
    struct err err;
    assert_false(log_verify(log, false, &report, &err));
    assert_int_equal(err.kind, ERR_STATE);
    log_sql(log, "PRAGMA wal_checkpoint(TRUNCATE)");
    sqlite3_close(log->db);
    log->db = NULL;
    FD_AUTO fd = openat(log->home, "data/audit.db", O_WRONLY);
    assert_int_equal(write(fd, "not a database at all", 21), 21);
    assert_false(log_verify(log, false, &report, &err));
    assert_int_equal(err.kind, ERR_DAMAGED);
}

/* Bytes turned over anywhere in the file: an error or a good verdict on unharmed content, never a crash. */
static void pages_damaged(void **state)
{
    struct log *log = *state;
    struct audit_report report;
    struct err err;
    struct stat file;
    unsigned seed = 1, noticed = 0;
    log_calls(log, 300, 30);
    log_sql(log, "PRAGMA wal_checkpoint(TRUNCATE)");
    copy_file(log, "data/audit.db", "data/copy.db");
    assert_int_equal(fstatat(log->home, "data/audit.db", &file, 0), 0);
    for (int i = 0; i < 150; i++) {
        FD_AUTO fd = openat(log->home, "data/audit.db", O_RDWR);
        for (int j = 0; j < 4; j++) {
            unsigned char byte = (unsigned char)rand_r(&seed);
            assert_int_equal(pwrite(fd, &byte, 1, rand_r(&seed) % file.st_size), 1);
        }
        noticed += !log_verify(log, true, &report, &err);
        unlinkat(log->home, "witness/verified", 0);
        copy_file(log, "data/copy.db", "data/audit.db");
    }
    assert_true(noticed > 75);
}

#define WITH_LOG(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_LOG(good_and_growing),
        WITH_LOG(large),
        WITH_LOG(body_edited),
        WITH_LOG(body_and_leaf_edited),
        WITH_LOG(everything_rewritten),
        WITH_LOG(tail_deleted),
        WITH_LOG(tail_and_checkpoints_deleted),
        WITH_LOG(older_file_restored),
        WITH_LOG(forked),
        WITH_LOG(entry_removed),
        WITH_LOG(entries_swapped),
        WITH_LOG(second_outcome),
        WITH_LOG(second_intent),
        WITH_LOG(outcome_alone),
        WITH_LOG(wrong_intent),
        WITH_LOG(attempt_too_early),
        WITH_LOG(time_goes_back),
        WITH_LOG(columns_changed),
        WITH_LOG(bodies_out_of_form),
        WITH_LOG(unsigned_log),
        WITH_LOG(tiles_wrong),
        WITH_LOG(note_text_edited),
        WITH_LOG(other_signers),
        WITH_LOG(witness_of_another),
        WITH_LOG(pinned_by_hand),
        WITH_LOG(beside_the_log),
        WITH_LOG(not_a_log),
        WITH_LOG(pages_damaged),
        WITH_LOG(rolls_are_followed),
        WITH_LOG(keys_have_their_range),
        WITH_LOG(takeover_needs_the_old_key),
        WITH_LOG(takeover_without_its_checkpoint),
        WITH_LOG(roll_to_a_foreign_key),
        WITH_LOG(roll_of_another_key),
        WITH_LOG(rolls_are_not_pruned),
        WITH_LOG(kept_checkpoint_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
