/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite store: calls and their attempts, idempotency keys, kept answers. */
#include <string.h>

#include "store_sqlite.h"

#define CALL_COLUMNS                                                                                                   \
    "id, attempt, state, workspace, connector, action, credential, credential_version, entry_digest, salt, slot,"      \
    " instance, begun, started, deadline, intent, outcome, ended, class, sent, reason, retry_after"

bool store_call_add(struct store *store, const struct store_call *call, struct err *err)
{
    static struct query query = {STORE_AUDIT,
                                 "INSERT INTO call(id, attempt, state, workspace, connector, action, credential,"
                                 " credential_version, entry_digest, salt, slot, instance, begun, started, deadline,"
                                 " intent) VALUES(?,?,0,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                                 0};
    return store_run(store, &query, err, "dudtttuhhhdiiii", call->ref.id, call->ref.attempt, call->workspace,
                     call->connector, call->action, call->credential, call->credential_version, call->entry_digest,
                     call->salt, call->has_slot ? call->slot : NULL, call->instance, (int64_t)call->begun,
                     (int64_t)call->started, (int64_t)call->deadline, (int64_t)call->intent);
}

bool store_call_end(struct store *store, const struct store_call *call, bool *found, struct err *err)
{
    static struct query query = {STORE_AUDIT,
                                 "UPDATE call SET state = 1, salt = NULL, outcome = ?, ended = ?, class = ?, sent = ?,"
                                 " reason = ?, retry_after = ? WHERE id = ? AND attempt = ? AND state = 0",
                                 0};
    bool ok = store_run(store, &query, err, "iiuuuudu", (int64_t)call->outcome, (int64_t)call->ended_at, call->class,
                        call->sent, call->reason, call->retry_after, call->ref.id, call->ref.attempt);
    if (ok) *found = sqlite3_changes(store->db[STORE_AUDIT]) == 1;
    return ok;
}

static void read_call(sqlite3_stmt *row, struct store_call *call)
{
    memset(call, 0, sizeof *call);
    column_bytes(row, 0, call->ref.id, ID_BYTES);
    call->ref.attempt = column_u32(row, 1);
    call->ended = sqlite3_column_int(row, 2) != 0;
    column_bytes(row, 3, call->workspace, ID_BYTES);
    column_text(row, 4, call->connector, sizeof call->connector);
    column_text(row, 5, call->action, sizeof call->action);
    column_text(row, 6, call->credential, sizeof call->credential);
    call->credential_version = column_u32(row, 7);
    column_bytes(row, 8, call->entry_digest, HASH_BYTES);
    column_bytes(row, 9, call->salt, sizeof call->salt);
    call->has_slot = sqlite3_column_type(row, 10) == SQLITE_BLOB;
    column_bytes(row, 10, call->slot, HASH_BYTES);
    column_bytes(row, 11, call->instance, ID_BYTES);
    call->begun = column_u64(row, 12);
    call->started = column_u64(row, 13);
    call->deadline = column_u64(row, 14);
    call->intent = column_u64(row, 15);
    call->outcome = column_u64(row, 16);
    call->ended_at = column_u64(row, 17);
    call->class = column_u32(row, 18);
    call->sent = column_u32(row, 19);
    call->reason = column_u32(row, 20);
    call->retry_after = column_u32(row, 21);
}

bool store_call_get(struct store *store, const uint8_t id[ID_BYTES], uint32_t attempt, struct store_call *call,
                    bool *found, struct err *err)
{
    static struct query latest = {STORE_AUDIT,
                                  "SELECT " CALL_COLUMNS " FROM call WHERE id = ? ORDER BY attempt DESC LIMIT 1", 0};
    static struct query exact = {STORE_AUDIT, "SELECT " CALL_COLUMNS " FROM call WHERE id = ? AND attempt = ?", 0};
    struct query *query = attempt ? &exact : &latest;
    sqlite3_stmt *row = attempt ? store_query(store, query, err, "du", id, attempt)
                                : store_query(store, query, err, "d", id);
    int got = row ? store_step(store, query, row, err) : -1;
    if (got == 1) read_call(row, call);
    if (got >= 0) *found = got == 1;
    store_done(row);
    return got >= 0;
}

static bool visit_calls(struct store *store, struct query *query, sqlite3_stmt *row, store_call_visit *visit,
                        void *context, struct err *err)
{
    int got = row ? 1 : -1;
    while (got == 1 && (got = store_step(store, query, row, err)) == 1) {
        struct store_call call;
        read_call(row, &call);
        if (!visit(context, &call)) got = 0;
    }
    store_done(row);
    return got == 0;
}

bool store_calls_open(struct store *store, store_call_visit *visit, void *context, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT " CALL_COLUMNS " FROM call WHERE state = 0", 0};
    return visit_calls(store, &query, store_query(store, &query, err, ""), visit, context, err);
}

bool store_calls(struct store *store, const uint8_t workspace[ID_BYTES], const uint8_t before[ID_BYTES],
                 store_call_visit *visit, void *context, struct err *err)
{
    static struct query query = {STORE_AUDIT,
                                 "SELECT " CALL_COLUMNS " FROM call WHERE workspace = ? AND id < ?"
                                 " ORDER BY id DESC, attempt DESC",
                                 0};
    sqlite3_stmt *row = store_query(store, &query, err, "dd", workspace, before);
    return visit_calls(store, &query, row, visit, context, err);
}

/* ── idempotency keys ──────────────────────────────────────────────────────────────────────────────── */

bool store_slot_get(struct store *store, const uint8_t slot[HASH_BYTES], struct store_slot *out, bool *found,
                    struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT call, fingerprint, retry FROM idempotency WHERE slot = ?", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "h", slot);
    int got = row ? store_step(store, &query, row, err) : -1;
    if (got == 1) {
        column_bytes(row, 0, out->call, ID_BYTES);
        column_bytes(row, 1, out->fingerprint, HASH_BYTES);
        out->retry = sqlite3_column_int(row, 2) != 0;
    }
    if (got >= 0) *found = got == 1;
    store_done(row);
    return got >= 0;
}

bool store_slot_put(struct store *store, const uint8_t slot[HASH_BYTES], const struct store_slot *value,
                    uint64_t expires, struct err *err)
{
    static struct query query = {
        STORE_AUDIT, "INSERT INTO idempotency(slot, call, fingerprint, retry, expires) VALUES(?,?,?,?,?)", 0};
    return store_run(store, &query, err, "hdhui", slot, value->call, value->fingerprint, (uint32_t)value->retry,
                     (int64_t)expires);
}

bool store_slot_retry(struct store *store, const struct store_call *call, struct err *err)
{
    static struct query query = {STORE_AUDIT, "UPDATE idempotency SET retry = 1 WHERE slot = ? AND call = ?", 0};
    return store_run(store, &query, err, "hd", call->slot, call->ref.id);
}

bool store_slot_again(struct store *store, const uint8_t slot[HASH_BYTES], uint64_t expires, struct err *err)
{
    static struct query query = {STORE_AUDIT, "UPDATE idempotency SET retry = 0, expires = ? WHERE slot = ?", 0};
    return store_run(store, &query, err, "ih", (int64_t)expires, slot);
}

/* ── kept answers ──────────────────────────────────────────────────────────────────────────────────── */

bool store_answer_add(struct store *store, const struct call_ref *ref, const uint8_t sealed_key[SEALED_KEY],
                      const void *body, size_t length, uint64_t expires, struct err *err)
{
    static struct query query = {STORE_AUDIT,
                                 "INSERT INTO answer(call, attempt, sealed_key, body, expires) VALUES(?,?,?,?,?)", 0};
    return store_run(store, &query, err, "dubbi", ref->id, ref->attempt, sealed_key, (size_t)SEALED_KEY, body, length,
                     (int64_t)expires);
}

bool store_answer_get(struct store *store, const struct call_ref *ref, uint8_t sealed_key[SEALED_KEY], struct buf *body,
                      bool *found, struct err *err)
{
    static struct query query = {STORE_AUDIT, "SELECT sealed_key, body FROM answer WHERE call = ? AND attempt = ?", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "du", ref->id, ref->attempt);
    int got = row ? store_step(store, &query, row, err) : -1;
    bool ok = got >= 0;
    if (got == 1) {
        column_bytes(row, 0, sealed_key, SEALED_KEY);
        ok = column_buf(row, 1, body, err);
    }
    if (ok) *found = got == 1;
    store_done(row);
    return ok;
}

bool store_expire(struct store *store, uint64_t now, struct err *err)
{
    static struct query answers = {
        STORE_AUDIT, "DELETE FROM answer WHERE rowid IN (SELECT rowid FROM answer WHERE expires < ? LIMIT 100)", 0};
    static struct query keys = {
        STORE_AUDIT, "DELETE FROM idempotency WHERE slot IN (SELECT slot FROM idempotency WHERE expires < ? LIMIT 500)",
        0};
    return store_run(store, &answers, err, "i", (int64_t)now) && store_run(store, &keys, err, "i", (int64_t)now);
}
