/* SPDX-License-Identifier: Apache-2.0 */
/* Writes logs for the verifier's tests. */
#include "log.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "runtime/ledger/schema.h"
#include "runtime/messages.h"
#include "tools/keys.h"

void log_sql(struct log *log, const char *format, ...)
{
    char sql[4096], *problem = NULL;
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    if (sqlite3_exec(log->db, sql, NULL, NULL, &problem) != SQLITE_OK) fail_msg("%s: %s", sql, problem);
}

static void insert(struct log *log, const char *sql, const void *blob, size_t length)
{
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_prepare_v2(log->db, sql, -1, &statement, NULL), SQLITE_OK);
    sqlite3_bind_blob(statement, 1, blob, (int)length, SQLITE_TRANSIENT);
    assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
    sqlite3_finalize(statement);
}

static bool store_tile(void *context, unsigned level, uint64_t number, const uint8_t *hashes)
{
    char sql[160];
    snprintf(sql, sizeof sql, "INSERT OR REPLACE INTO tile(level, n, hashes) VALUES(%u, %llu, ?1)", level,
             (unsigned long long)number);
    insert(context, sql, hashes, (size_t)TILE_HASHES * HASH_BYTES);
    return true;
}

static void open_keys(struct log *log)
{
    struct err err = {0};
    if (!keys_create(log->home, &err)) fail_msg("%s", err.text);
    crypto_sign_keypair(log->public, log->secret);
    log_publish(log);
}

void log_publish(struct log *log)
{
    char vkey[VKEY_TEXT];
    memcpy(log->pinned, log->public, sizeof log->pinned);
    vkey_text(LOG_ORIGIN, log->pinned, vkey);
    FD_AUTO pub = openat(log->home, "keys/log.pub", O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(dprintf(pub, "%s\n", vkey) > 0);
}

static void db_open(struct log *log)
{
    char path[128];
    snprintf(path, sizeof path, "%s/data/audit.db", log->path);
    assert_int_equal(sqlite3_open(path, &log->db), SQLITE_OK);
    log_sql(log, "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; PRAGMA application_id=%d; PRAGMA user_version=1",
            0x43534131);
    assert_int_equal(sqlite3_exec(log->db, schema_audit, NULL, NULL, NULL), SQLITE_OK);
    log_sql(log, "INSERT INTO meta(k, v) VALUES('origin', CAST('%s' AS BLOB))", LOG_ORIGIN);
    log_sql(log, "DROP TRIGGER entry_keep; DROP TRIGGER entry_fixed"); /* they guard against mistakes, not attackers */
}

void log_open(struct log *log)
{
    memset(log, 0, sizeof *log);
    strcpy(log->path, "/tmp/caisson-log-XXXXXX");
    assert_non_null(mkdtemp(log->path));
    log->home = open(log->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(log->home, "data", 0700), 0);
    assert_int_equal(mkdirat(log->home, "witness", 0700), 0);
    open_keys(log);
    db_open(log);
    log->at = 1700000000000000000;
    log->tree.tile = store_tile;
    log->tree.context = log;
}

void log_close(struct log *log)
{
    static const char *const files[] = {"data/audit.db",   "data/audit.db-wal",  "data/audit.db-shm",
                                        "data/copy.db",    "witness/checkpoint", "witness/verified",
                                        "keys/master.key", "keys/vault.pub",     "keys/log.pub"};
    sqlite3_close(log->db);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) unlinkat(log->home, files[i], 0);
    unlinkat(log->home, "data", AT_REMOVEDIR);
    unlinkat(log->home, "witness", AT_REMOVEDIR);
    unlinkat(log->home, "keys", AT_REMOVEDIR);
    close(log->home);
    assert_int_equal(rmdir(log->path), 0);
}

void log_rebuild(struct log *log)
{
    sqlite3_stmt *statement;
    log_sql(log, "DELETE FROM tile");
    struct audit_tree fresh = {.tile = store_tile, .context = log};
    log->tree = fresh;
    assert_int_equal(sqlite3_prepare_v2(log->db, "SELECT leaf FROM entry ORDER BY idx", -1, &statement, NULL),
                     SQLITE_OK);
    while (sqlite3_step(statement) == SQLITE_ROW)
        assert_true(audit_tree_add(&log->tree, sqlite3_column_blob(statement, 0)));
    sqlite3_finalize(statement);
    log->size = log->tree.size;
}

/* Of every call. */
#define WORKSPACE "21212121-2121-2121-2121-212121212121"
static const uint8_t workspace[ID_BYTES + 1] = "!!!!!!!!!!!!!!!!";

void log_raw(struct log *log, int kind, const uint8_t *call, int attempt, const char *body)
{
    sqlite3_stmt *statement;
    uint8_t leaf[HASH_BYTES];
    audit_leaf(body, strlen(body), leaf);
    assert_int_equal(sqlite3_prepare_v2(log->db,
                                        "INSERT INTO entry(idx, ts, kind, call, attempt, leaf, body, workspace)"
                                        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    sqlite3_bind_int64(statement, 1, (int64_t)log->size++);
    sqlite3_bind_int64(statement, 2, log->at);
    sqlite3_bind_int(statement, 3, kind);
    if (call) sqlite3_bind_blob(statement, 4, call, ID_BYTES, SQLITE_TRANSIENT);
    if (call) sqlite3_bind_int(statement, 5, attempt);
    sqlite3_bind_blob(statement, 6, leaf, HASH_BYTES, SQLITE_TRANSIENT);
    sqlite3_bind_blob(statement, 7, body, (int)strlen(body), SQLITE_TRANSIENT);
    if (call) sqlite3_bind_blob(statement, 8, workspace, ID_BYTES, SQLITE_STATIC);
    assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
    sqlite3_finalize(statement);
    assert_true(audit_tree_add(&log->tree, leaf));
}

void log_intent(struct log *log, const uint8_t call[ID_BYTES], int attempt)
{
    char body[512], id[ID_TEXT];
    id_text(call, id);
    snprintf(body, sizeof body,
             "{\"action\":\"send\",\"at\":%lld,\"attempt\":%d,\"call\":\"%s\",\"connector\":\"email\","
             "\"kind\":\"intent\",\"v\":1,\"workspace\":\"default\",\"workspace_id\":\"" WORKSPACE "\"}",
             (long long)++log->at, attempt, id);
    log_raw(log, 1, call, attempt, body);
}

void log_outcome(struct log *log, const uint8_t call[ID_BYTES], int attempt, uint64_t intent)
{
    char body[512], id[ID_TEXT];
    id_text(call, id);
    snprintf(body, sizeof body,
             "{\"at\":%lld,\"attempt\":%d,\"bytes_up\":12,\"call\":\"%s\",\"class\":\"ok\",\"intent\":%llu,"
             "\"kind\":\"outcome\",\"reports\":[{\"arch\":1,\"args\":[\"0x1\",\"\\u00e9\"],\"number\":-7}],"
             "\"sent\":\"yes\",\"v\":1}",
             (long long)++log->at, attempt, id, (unsigned long long)intent);
    log_raw(log, 2, call, attempt, body);
}

void log_admin(struct log *log)
{
    char body[128];
    snprintf(body, sizeof body, "{\"act\":\"reload\",\"at\":%lld,\"kind\":\"admin\",\"v\":1}", (long long)++log->at);
    log_raw(log, 5, NULL, 0, body);
}

void log_calls(struct log *log, int count, int every)
{
    uint8_t call[ID_BYTES];
    log_sql(log, "BEGIN");
    if (!log->size) log_checkpoint(log, NULL);
    for (int i = 0; i < count; i++) {
        id_new(call);
        log_intent(log, call, 1);
        log_outcome(log, call, 1, log->size - 1);
        if (every && i % every == every - 1) log_checkpoint(log, NULL);
    }
    log_checkpoint(log, NULL);
    log_sql(log, "COMMIT");
}

/* ── signing ───────────────────────────────────────────────────────────────────────────────────────── */

void log_checkpoint(struct log *log, const uint8_t *secret)
{
    char text[512], root64[64], line64[128], sql[256];
    uint8_t root[HASH_BYTES], line[4 + 64];
    audit_tree_root(&log->tree, root);
    sodium_bin2base64(root64, sizeof root64, root, sizeof root, sodium_base64_VARIANT_ORIGINAL);
    int length = snprintf(text, sizeof text, "%s\n%llu\n%s\n", LOG_ORIGIN, (unsigned long long)log->size, root64);
    vkey_hash(LOG_ORIGIN, log->public, line);
    crypto_sign_detached(line + 4, NULL, (const uint8_t *)text, (unsigned long long)length,
                         secret ? secret : log->secret);
    sodium_bin2base64(line64, sizeof line64, line, sizeof line, sodium_base64_VARIANT_ORIGINAL);
    snprintf(text + length, sizeof text - (size_t)length, "\n\u2014 %s %s\n", LOG_ORIGIN, line64);
    snprintf(sql, sizeof sql,
             "INSERT OR REPLACE INTO checkpoint(size, root, note, ts) VALUES(%llu, zeroblob(32), ?1, 1)",
             (unsigned long long)log->size);
    insert(log, sql, text, strlen(text));
    snprintf(sql, sizeof sql, "UPDATE checkpoint SET root = ?1 WHERE size = %llu", (unsigned long long)log->size);
    insert(log, sql, root, sizeof root);
}

void log_roll(struct log *log, bool sign)
{
    char body[1024], old[VKEY_TEXT], new[VKEY_TEXT];
    uint8_t public[32], secret[64];
    crypto_sign_keypair(public, secret);
    vkey_text(LOG_ORIGIN, log->public, old);
    vkey_text(LOG_ORIGIN, public, new);
    char text[1024], vouch[129];
    uint8_t signature[64];
    int length = snprintf(text, sizeof text, "caisson key roll v1\n%s\n%s\n", old, new);
    crypto_sign_detached(signature, NULL, (const uint8_t *)text, (unsigned long long)length,
                         log->foreign ? secret : log->secret);
    hex_text(signature, sizeof signature, vouch);
    snprintf(body, sizeof body,
             "{\"at\":%lld,\"kind\":\"key_roll\",\"new\":\"%s\",\"old\":\"%s\",\"sign\":\"%s\",\"v\":1}",
             (long long)++log->at, new, old, vouch);
    log_raw(log, 8, NULL, 0, body);
    if (sign) log_checkpoint(log, NULL);
    memcpy(log->public, public, sizeof public);
    memcpy(log->secret, secret, sizeof secret);
}

void log_witness(struct log *log)
{
    struct ctl_witness witness = {.origin = LOG_ORIGIN, .size = log->size};
    audit_tree_root(&log->tree, witness.root);
    memcpy(witness.key, log->public, sizeof witness.key);
    memcpy(witness.signed_by, log->public, sizeof witness.signed_by);
    vkey_text(LOG_ORIGIN, log->pinned, witness.first_vkey);
    FD_AUTO fd = openat(log->home, "witness/checkpoint", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, &witness, sizeof witness), sizeof witness);
}

/* ── and the verifier ──────────────────────────────────────────────────────────────────────────────── */

bool log_verify(struct log *log, bool full, struct audit_report *report, struct err *err)
{
    struct audit_how how = {.folder = log->path, .full = full};
    return audit_verify(&how, report, err);
}

void assert_good(struct log *log)
{
    struct audit_report report;
    struct err err;
    if (!log_verify(log, true, &report, &err)) fail_msg("%s", err.text);
    assert_int_equal(report.entries, log->size);
    assert_true(report.good);
}

struct audit_report assert_bad(struct log *log, const char *words)
{
    struct audit_report report;
    struct err err = {0};
    assert_false(log_verify(log, true, &report, &err));
    assert_false(report.good);
    if (!strstr(err.text, words)) fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    assert_int_equal(err.kind, ERR_DAMAGED);
    return report;
}
