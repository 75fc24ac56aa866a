/* SPDX-License-Identifier: Apache-2.0 */
/* The rig's calls, administration, and looks at the database from outside. */
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "rig.h"
#include "runtime/ledger/note.h"
#include "tools/audit_verify.h"

/* ── calls ─────────────────────────────────────────────────────────────────────────────────────────── */

struct msg_begin rig_ask(struct rig *rig)
{
    struct msg_begin ask = {.who = {.kind = WHO_PEER, .principal = rig->principal},
                            .workspace = "default",
                            .connector = "echo",
                            .action = "say",
                            .input_size = 2,
                            .deadline = clock_now() + 20 * CLOCK_S};
    memset(ask.salt, 0x5a, sizeof ask.salt);
    memset(ask.input_digest, 0xd1, sizeof ask.input_digest);
    memset(ask.input_hash, 0x1a, sizeof ask.input_hash);
    return ask;
}

struct msg_begin rig_keyed(struct rig *rig, const char *key)
{
    struct msg_begin ask = rig_ask(rig);
    snprintf(ask.key, sizeof ask.key, "%s", key);
    return ask;
}

struct msg_begun rig_begin(struct rig *rig, const struct msg_begin *ask)
{
    struct msg_begun begun;
    uint32_t seq = ++rig->seq, got;
    rig_send(rig, rig->front[0], rig->front_generation, MSG_BEGIN, seq, ask, sizeof *ask, NULL, 0);
    memcpy(&begun, rig_take(rig, rig->front[0], MSG_BEGUN, &got), sizeof begun);
    assert_int_equal(got, seq);
    return begun;
}

struct msg_begun rig_begin_ok(struct rig *rig, const struct msg_begin *ask)
{
    struct msg_begun begun = rig_begin(rig, ask);
    if (begun.status.kind != ERR_NONE) fail_msg("refused: %s", begun.status.text);
    const struct msg_order *order = rig_take(rig, rig->vault, MSG_ORDER, NULL);
    assert_memory_equal(&order->call, &begun.call, sizeof begun.call);
    const struct msg_gate_open *gate = rig_take(rig, rig->broker, MSG_GATE_OPEN, NULL);
    assert_memory_equal(&gate->call, &begun.call, sizeof begun.call);
    const struct msg_start *start = rig_take(rig, rig->runner, MSG_START, NULL);
    assert_memory_equal(&start->call, &begun.call, sizeof begun.call);
    return begun;
}

struct msg_end rig_end_of(const struct call_ref *call, enum call_class class)
{
    struct msg_end end = {.call = *call, .class = (uint32_t) class, .reply_size = 2};
    memset(end.reply_digest, 0xee, sizeof end.reply_digest);
    return end;
}

void rig_send_end(struct rig *rig, const struct msg_end *end, const void *answer)
{
    unsigned char whole[sizeof *end + 1024];
    memcpy(whole, end, sizeof *end);
    if (end->answer_length) memcpy(whole + sizeof *end, answer, end->answer_length);
    rig_send(rig, rig->front[0], rig->front_generation, MSG_END, ++rig->seq, whole, sizeof *end + end->answer_length,
             NULL, 0);
}

void rig_gate(struct rig *rig, const struct call_ref *call, uint32_t dials, uint64_t up, bool committed)
{
    struct msg_gate_closed gate = {.call = *call,
                                   .known = 1,
                                   .dials = dials,
                                   .bytes_up = up,
                                   .bytes_down = up,
                                   .committed = committed,
                                   .clean = !committed};
    const struct msg_gate_close *close = rig_take(rig, rig->broker, MSG_GATE_CLOSE, NULL);
    assert_memory_equal(&close->call, call, sizeof *call);
    rig_send(rig, rig->broker, rig->broker_generation, MSG_GATE_CLOSED, 0, &gate, sizeof gate, NULL, 0);
}

struct msg_ended rig_ended(struct rig *rig)
{
    struct msg_ended ended;
    memcpy(&ended, rig_take(rig, rig->front[0], MSG_ENDED, NULL), sizeof ended);
    return ended;
}

struct msg_ended rig_call(struct rig *rig, const struct msg_begin *ask, enum call_class class, uint64_t up,
                          bool committed)
{
    struct msg_begun begun = rig_begin_ok(rig, ask);
    struct msg_end end = rig_end_of(&begun.call, class);
    rig_send_end(rig, &end, NULL);
    rig_gate(rig, &begun.call, up ? 1 : 0, up, committed);
    return rig_ended(rig);
}

/* ── administration ────────────────────────────────────────────────────────────────────────────────── */

json_t *rig_query_as(struct rig *rig, bool desk, const struct who *who, unsigned type, json_t *in, uint32_t *kind)
{
    static unsigned char whole[WIRE_MAX];
    struct msg_query query = {.who = *who};
    char *text = json_dumps(in, JSON_COMPACT);
    query.length = (uint32_t)strlen(text);
    memcpy(whole, &query, sizeof query);
    memcpy(whole + sizeof query, text, query.length);
    free(text);
    json_decref(in);
    int line = desk ? rig->desk : rig->front[0];
    rig_send(rig, line, desk ? rig->desk_generation : rig->front_generation, type, ++rig->seq, whole,
             sizeof query + query.length, NULL, 0);
    const struct msg_json_answer *answer = rig_take(rig, line, MSG_JSON_ANSWER, NULL);
    *kind = answer->status.kind;
    if (*kind != ERR_NONE) print_message("answer: %s\n", answer->status.text);
    return answer->length ? json_loadb((const char *)(answer + 1), answer->length, 0, NULL) : NULL;
}

json_t *rig_query(struct rig *rig, unsigned type, json_t *in, uint32_t *kind)
{
    struct who who = {.kind = WHO_PEER, .principal = rig->desk_principal};
    return rig_query_as(rig, true, &who, type, in, kind);
}

void rig_credential(struct rig *rig, const char *name, const char *field, const char *audience)
{
    char box[256];
    uint32_t kind;
    sodium_bin2base64(box, sizeof box, (const unsigned char *)field, strlen(field), sodium_base64_VARIANT_ORIGINAL);
    json_t *hosts = audience ? json_pack("[s]", audience) : json_array();
    json_t *out = rig_query(
        rig, MSG_CREDENTIAL_SET,
        json_pack("{s:s, s:s, s:o, s:s}", "name", name, "connector", "echo", "audience", hosts, "box", box), &kind);
    assert_int_equal(kind, ERR_NONE);
    json_decref(out);
    /* Leases with an older version are told to end. */
    rig_take(rig, rig->runner, MSG_REVOKE, NULL);
}

/* ── the log, looked at from outside ───────────────────────────────────────────────────────────────── */

static sqlite3 *open_file(struct rig *rig, const char *file, int flags)
{
    char path[128];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/%s", rig->path, file);
    assert_int_equal(sqlite3_open_v2(path, &db, flags, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    /* A reader that checkpoints beside the ledger would be a second writer. */
    sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, flags == SQLITE_OPEN_READWRITE, NULL);
    sqlite3_exec(db, "PRAGMA wal_autocheckpoint = 0", NULL, NULL, NULL);
    return db;
}

int64_t rig_number(struct rig *rig, const char *sql)
{
    return rig_number_in(rig, "audit.db", sql);
}

int64_t rig_number_in(struct rig *rig, const char *file, const char *sql)
{
    sqlite3 *db = open_file(rig, file, SQLITE_OPEN_READWRITE);
    sqlite3_stmt *row;

    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    sqlite3_close(db);
    return number;
}

void rig_exec(struct rig *rig, const char *file, const char *sql)
{
    sqlite3 *db = open_file(rig, file, SQLITE_OPEN_READWRITE);
    char *message = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK) fail_msg("%s", message);
    sqlite3_close(db);
}

/* Orders and cancels that no test took stand before the vault's next question: away with them. */
static void drop_orders(struct rig *rig)
{
    struct msg_head head;
    uint32_t kind;
    while (recv(rig->vault, &head, sizeof head, MSG_PEEK | MSG_DONTWAIT) == sizeof head) {
        if (head.type == MSG_ORDER || head.type == MSG_ORDER_CANCEL)
            recv(rig->vault, &head, sizeof head, MSG_DONTWAIT);
        else
            json_decref(rig_query(rig, MSG_HEALTH, json_object(), &kind)); /* questions are answered meanwhile */
    }
}

/* The same once more by the verifier of the command line, which shares no code with the ledger. */
static void verify_apart(struct rig *rig)
{
    char folder[] = "/tmp/caisson-verify-XXXXXX", path[64], state[64];
    BUF_AUTO vkey = {.max = 512};
    struct audit_report report = {0};
    struct err err = {0};
    uint32_t kind;
    drop_orders(rig);
    json_t *signature = rig_query(rig, MSG_AUDIT_CHECKPOINT, json_object(), &kind);
    assert_int_equal(kind, ERR_NONE);
    const char *note = json_string_value(json_object_get(signature, "checkpoint"));
    char *origin = strndup(note, strcspn(note, "\n"));
    assert_true(note_vkey(origin, rig->first_public, &vkey));
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/data", folder);
    snprintf(state, sizeof state, "%s/verified", folder);
    assert_int_equal(symlink(rig->path, path), 0);
    struct audit_how how = {.folder = folder, .vkey = vkey.bytes, .state = state, .full = true};
    if (!audit_verify(&how, &report, &err)) fail_msg("entry %d: %s (%s)", (int)report.index, err.text, err.detail);
    free(origin);
    json_decref(signature);
    unlink(path);
    unlink(state);
    rmdir(folder);
}

uint64_t rig_verify(struct rig *rig)
{
    verify_apart(rig);
    sqlite3 *db = open_file(rig, "audit.db", SQLITE_OPEN_READWRITE);
    sqlite3_stmt *row;
    static struct tree tree;
    uint64_t checked = 0;
    memset(&tree, 0, sizeof tree);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT e.idx, e.leaf, e.body, c.root FROM entry e LEFT JOIN checkpoint c"
                                        " ON c.size = e.idx + 1 ORDER BY e.idx",
                                        -1, &row, NULL),
                     SQLITE_OK);
    while (sqlite3_step(row) == SQLITE_ROW) {
        tree_hash leaf, root;
        assert_int_equal(sqlite3_column_int64(row, 0), (int64_t)tree.size);
        const void *body = sqlite3_column_blob(row, 2);
        tree_leaf(body, (size_t)sqlite3_column_bytes(row, 2), leaf);
        assert_memory_equal(leaf, sqlite3_column_blob(row, 1), HASH_BYTES);
        assert_true(tree_append(&tree, leaf, NULL, NULL));
        if (sqlite3_column_type(row, 3) == SQLITE_NULL) continue;
        tree_root(&tree, root);
        assert_memory_equal(root, sqlite3_column_blob(row, 3), HASH_BYTES);
        checked++;
    }
    sqlite3_finalize(row);
    sqlite3_close(db);
    assert_int_equal(rig_number(rig, "SELECT count(*) FROM checkpoint"), (int64_t)checked);
    return tree.size;
}

json_t *rig_entry(struct rig *rig, int kind, const struct call_ref *call)
{
    sqlite3 *db = open_file(rig, "audit.db", SQLITE_OPEN_READWRITE);
    sqlite3_stmt *row;
    json_t *body = NULL;

    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT body FROM entry WHERE kind = ? AND (? IS NULL OR (call = ? AND attempt"
                                        " = ?)) ORDER BY idx DESC LIMIT 1",
                                        -1, &row, NULL),
                     SQLITE_OK);
    sqlite3_bind_int(row, 1, kind);
    if (call) {
        sqlite3_bind_blob(row, 2, call->id, ID_BYTES, SQLITE_STATIC);
        sqlite3_bind_blob(row, 3, call->id, ID_BYTES, SQLITE_STATIC);
        sqlite3_bind_int(row, 4, (int)call->attempt);
    }
    if (sqlite3_step(row) == SQLITE_ROW)
        body = json_loadb(sqlite3_column_blob(row, 0), (size_t)sqlite3_column_bytes(row, 0), 0, NULL);
    sqlite3_finalize(row);
    sqlite3_close(db);
    return body;
}

const char *rig_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

void rig_check(struct rig *rig, int kind, const struct call_ref *call, const char *key, const char *value)
{
    json_t *body = rig_entry(rig, kind, call);
    assert_non_null(body);
    assert_string_equal(rig_text(body, key), value);
    json_decref(body);
}
