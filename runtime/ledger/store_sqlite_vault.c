/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite store: what the vault sealed and wrapped, in vault.db. Nothing here can be read without the vault. */
#include <string.h>

#include "base/clock.h"
#include "store_sqlite.h"

bool store_keys_add(struct store *store, const uint8_t workspace[ID_BYTES], const struct store_keys *keys,
                    struct err *err)
{
    static struct query query = {STORE_VAULT,
                                 "INSERT INTO workspace_key(workspace, version, wrapped, answer_secret, answer_public,"
                                 " created) VALUES(?,?,?,?,?,?)",
                                 0};
    memset(store->keys, 0, sizeof store->keys);
    return store_run(store, &query, err, "dubbhi", workspace, keys->version, keys->workspace_key.bytes,
                     (size_t)WRAP_BYTES, keys->answer_secret.bytes, (size_t)WRAP_BYTES, keys->answer_public,
                     (int64_t)clock_wall());
}

static bool read_keys(struct store *store, const uint8_t workspace[ID_BYTES], uint32_t most, struct store_keys *out,
                      struct err *err)
{
    static struct query query = {STORE_VAULT,
                                 "SELECT version, wrapped, answer_secret, answer_public FROM workspace_key"
                                 " WHERE workspace = ? AND version <= ? ORDER BY version DESC LIMIT 1",
                                 0};
    sqlite3_stmt *row = store_query(store, &query, err, "du", workspace, most);
    int got = row ? store_step(store, &query, row, err) : -1;
    out->version = 0;
    if (got == 1) {
        out->version = column_u32(row, 0);
        column_bytes(row, 1, out->workspace_key.bytes, WRAP_BYTES);
        column_bytes(row, 2, out->answer_secret.bytes, WRAP_BYTES);
        column_bytes(row, 3, out->answer_public, sizeof out->answer_public);
    }
    store_done(row);
    return got >= 0;
}

bool store_keys_get(struct store *store, const uint8_t workspace[ID_BYTES], struct store_keys *out, bool *found,
                    struct err *err)
{
    unsigned at = workspace[ID_BYTES - 1] % STORE_CACHE;
    bool known = store->keys[at].keys.version && memcmp(store->keys[at].workspace, workspace, ID_BYTES) == 0;
    if (known)
        *out = store->keys[at].keys;
    else if (!read_keys(store, workspace, UINT32_MAX, out, err))
        return false;
    *found = out->version != 0;
    if (known || !*found) return true;
    memcpy(store->keys[at].workspace, workspace, ID_BYTES);
    store->keys[at].keys = *out;
    return true;
}

bool store_keys_version(struct store *store, const uint8_t workspace[ID_BYTES], uint32_t version,
                        struct store_keys *out, bool *found, struct err *err)
{
    if (!read_keys(store, workspace, version, out, err)) return false;
    *found = out->version == version;
    return true;
}

/* ── sealed fields ─────────────────────────────────────────────────────────────────────────────────── */

static bool add_fields(struct store *store, const uint8_t credential[ID_BYTES], uint32_t version,
                       const struct msg_seal_answer *sealed, struct err *err)
{
    static struct query query = {STORE_VAULT,
                                 "INSERT INTO credential_field(credential, version, name, sealed) VALUES(?,?,?,?)", 0};
    for (uint32_t i = 0; i < sealed->field_count; i++) {
        const struct sealed_field *field = &sealed->fields[i];
        if (!store_run(store, &query, err, "dutb", credential, version, field->name, sealed->bytes + field->offset,
                       (size_t)field->length))
            return false;
    }
    return true;
}

bool vault_begin(struct store *store, struct err *err)
{
    return store_exec(store, STORE_VAULT, "BEGIN IMMEDIATE", err);
}

bool vault_commit(struct store *store, bool ok, struct err *err)
{
    struct err ignored;
    ok = ok && store_exec(store, STORE_VAULT, "COMMIT", err);
    if (!ok && !sqlite3_get_autocommit(store->db[STORE_VAULT])) store_exec(store, STORE_VAULT, "ROLLBACK", &ignored);
    return ok;
}

/* Under a key that is about to be destroyed nothing is written any more. */
bool store_sealed_add(struct store *store, const struct store_sealed *what, const struct msg_seal_answer *sealed,
                      struct err *err)
{
    static struct query query = {STORE_VAULT,
                                 "INSERT INTO credential_version(credential, version, wrapped, audience_digest,"
                                 " created, workspace, key_version) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE EXISTS"
                                 " (SELECT 1 FROM workspace_key WHERE workspace = ?6 AND version = ?7 AND state = 1)",
                                 0};
    bool ok = vault_begin(store, err) &&
              store_run(store, &query, err, "dubhidu", what->credential, what->version, sealed->credential_key.bytes,
                        (size_t)WRAP_BYTES, sealed->audience_digest, (int64_t)clock_wall(), what->workspace,
                        what->key_version) &&
              (sqlite3_changes(store->db[STORE_VAULT]) == 1 ||
               err_set(err, ERR_STATE, "the workspace's key was rotated just now: try again")) &&
              add_fields(store, what->credential, what->version, sealed, err);
    return vault_commit(store, ok, err);
}

static bool wanted_field(const char (*wanted)[NAME_BYTES], unsigned count, const char *name)
{
    for (unsigned i = 0; wanted && i < count; i++)
        if (strcmp(wanted[i], name) == 0) return true;
    return !wanted;
}

static bool take_field(sqlite3_stmt *row, struct msg_order *order, uint32_t *used)
{
    size_t length = (size_t)sqlite3_column_bytes(row, 1);
    if (order->field_count == FRAME_FIELDS || length > SEALED_MAX - *used) return false;
    struct sealed_field *field = &order->fields[order->field_count++];
    column_text(row, 0, field->name, sizeof field->name);
    field->offset = *used;
    field->length = (uint32_t)length;
    if (length) memcpy(order->bytes + *used, sqlite3_column_blob(row, 1), length);
    *used += (uint32_t)length;
    return true;
}

static bool get_fields(struct store *store, const uint8_t credential[ID_BYTES], uint32_t version,
                       const char (*wanted)[NAME_BYTES], unsigned wanted_count, struct msg_order *order,
                       struct err *err)
{
    static struct query query = {
        STORE_VAULT, "SELECT name, sealed FROM credential_field WHERE credential = ? AND version = ? ORDER BY name", 0};
    uint32_t used = 0;
    sqlite3_stmt *row = store_query(store, &query, err, "du", credential, version);
    int got = row ? 1 : -1;
    while (got == 1 && (got = store_step(store, &query, row, err)) == 1) {
        if (!wanted_field(wanted, wanted_count, (const char *)sqlite3_column_text(row, 0))) continue;
        if (take_field(row, order, &used)) continue;
        err_set(err, ERR_TOO_LARGE, "the credential's fields are larger than one call may carry");
        got = -1;
    }
    store_done(row);
    return got == 0;
}

bool store_sealed_get(struct store *store, const uint8_t credential[ID_BYTES], uint32_t version,
                      const char (*wanted)[NAME_BYTES], unsigned wanted_count, struct msg_order *order, bool *found,
                      struct err *err)
{
    static struct query query = {
        STORE_VAULT,
        "SELECT v.wrapped, v.audience_digest, k.wrapped, v.key_version FROM credential_version v JOIN workspace_key k"
        " ON k.workspace = v.workspace AND k.version = v.key_version WHERE v.credential = ? AND v.version = ?"
        " AND k.state = 1",
        0};
    sqlite3_stmt *row = store_query(store, &query, err, "du", credential, version);
    int got = row ? store_step(store, &query, row, err) : -1;
    if (got == 1) {
        column_bytes(row, 0, order->credential_key.bytes, WRAP_BYTES);
        column_bytes(row, 1, order->audience_digest, HASH_BYTES);
        column_bytes(row, 2, order->workspace_key.bytes, WRAP_BYTES);
        order->key_version = column_u32(row, 3);
    }
    store_done(row);
    if (got < 0) return false;
    *found = got == 1;
    return !*found || get_fields(store, credential, version, wanted, wanted_count, order, err);
}

bool store_sealed_version(struct store *store, const uint8_t credential[ID_BYTES], uint32_t *version, struct err *err)
{
    static struct query query = {STORE_VAULT,
                                 "SELECT coalesce(max(version), 0) FROM credential_version WHERE credential = ?", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "d", credential);
    int got = row ? store_step(store, &query, row, err) : -1;
    if (got == 1) *version = column_u32(row, 0);
    store_done(row);
    return got == 1;
}

bool store_sealed_before(struct store *store, const uint8_t credential[ID_BYTES], uint32_t version, struct err *err)
{
    static struct query versions = {STORE_VAULT, "DELETE FROM credential_version WHERE credential = ? AND version < ?",
                                    0};
    static struct query fields = {STORE_VAULT, "DELETE FROM credential_field WHERE credential = ? AND version < ?", 0};
    bool ok = vault_begin(store, err) && store_run(store, &versions, err, "du", credential, version) &&
              store_run(store, &fields, err, "du", credential, version);
    return vault_commit(store, ok, err);
}

bool store_sealed_remove(struct store *store, const uint8_t credential[ID_BYTES], struct err *err)
{
    static struct query versions = {STORE_VAULT, "DELETE FROM credential_version WHERE credential = ?", 0};
    static struct query fields = {STORE_VAULT, "DELETE FROM credential_field WHERE credential = ?", 0};
    return store_run(store, &versions, err, "d", credential) && store_run(store, &fields, err, "d", credential);
}

/* ── keys that sign the log ────────────────────────────────────────────────────────────────────────── */

bool store_signer_key_add(struct store *store, const struct store_signer_key *key, struct err *err)
{
    static struct query query = {
        STORE_VAULT, "INSERT OR REPLACE INTO signer_key(public, id, after, binding, origin, wrapped, created) VALUES(?,?,?,?,?,?,?)", 0};
    return store_run(store, &query, err, "hdhhtbi", key->key.public, key->key.public, key->key.after, key->key.binding,
                     key->origin, key->key.secret.bytes, (size_t)WRAP_BYTES, (int64_t)key->created);
}

bool store_signer_keys(struct store *store, struct store_signer_key keys[STORE_SIGNERS], unsigned *count,
                       struct err *err)
{
    static struct query query = {
        STORE_VAULT, "SELECT public, after, origin, wrapped, created, binding FROM signer_key ORDER BY created DESC LIMIT ?", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "u", (uint32_t)STORE_SIGNERS);
    int got = row ? 1 : -1;
    *count = 0;
    while (got == 1 && (got = store_step(store, &query, row, err)) == 1) {
        struct store_signer_key *key = &keys[(*count)++];
        column_bytes(row, 0, key->key.public, sizeof key->key.public);
        column_bytes(row, 1, key->key.after, sizeof key->key.after);
        column_text(row, 2, key->origin, sizeof key->origin);
        column_bytes(row, 3, key->key.secret.bytes, WRAP_BYTES);
        key->created = column_u64(row, 4);
        column_bytes(row, 5, key->key.binding, HASH_BYTES);
    }
    store_done(row);
    return got == 0;
}

/* secure_delete overwrites the row in the file, but not in the write-ahead log: that is written back and cut. */
bool store_signer_keys_keep(struct store *store, const uint8_t *one, const uint8_t *other, struct err *err)
{
    static struct query query = {STORE_VAULT, "DELETE FROM signer_key WHERE public IS NOT ? AND public IS NOT ?", 0};
    bool done;
    if (!store_run(store, &query, err, "hh", one, other)) return false;
    if (!store_truncate(store, STORE_VAULT, &done, err)) return err_in(err, "destroying the log's old signing key");
    return done || err_set(err, ERR_BUSY, "data/vault.db is being read: the log's old signing key goes after that");
}
