/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite store: workspaces, tokens and credential names in state.db. */
#include <string.h>

#include "store_sqlite.h"

/* ── workspaces ────────────────────────────────────────────────────────────────────────────────────── */

bool store_workspace_add(struct store *store, const struct store_workspace *workspace, struct err *err)
{
    static struct query query = {STORE_STATE, "INSERT INTO workspace(id, name, lookup, created) VALUES(?,?,?,?)", 0};
    return store_run(store, &query, err, "dthi", workspace->id, workspace->name, workspace->lookup,
                     (int64_t)workspace->created);
}

/* A slot of the cache: names spread over it by a small hash. */
static struct store_workspace *cached(struct store *store, const char *name)
{
    unsigned hash = 0;
    for (const char *c = name; *c; c++) hash = hash * 31 + (unsigned char)*c;
    return &store->workspaces[hash % STORE_CACHE];
}

static void read_workspace(sqlite3_stmt *row, struct store_workspace *out)
{
    column_bytes(row, 0, out->id, ID_BYTES);
    column_text(row, 1, out->name, sizeof out->name);
    column_bytes(row, 2, out->lookup, sizeof out->lookup);
    out->created = column_u64(row, 3);
}

static bool one_workspace(struct store *store, struct query *query, sqlite3_stmt *row, struct store_workspace *out,
                          bool *found, struct err *err)
{
    int got = row ? store_step(store, query, row, err) : -1;
    if (got == 1) read_workspace(row, out);
    if (got >= 0) *found = got == 1;
    store_done(row);
    return got >= 0;
}

bool store_workspace_named(struct store *store, const char *name, struct store_workspace *out, bool *found,
                           struct err *err)
{
    static struct query query = {STORE_STATE, "SELECT id, name, lookup, created FROM workspace WHERE name = ?", 0};
    struct store_workspace *known = cached(store, name);
    *found = known->created && strcmp(known->name, name) == 0;
    if (*found) {
        *out = *known;
        return true;
    }
    if (!one_workspace(store, &query, store_query(store, &query, err, "t", name), out, found, err)) return false;
    if (*found) *known = *out;
    return true;
}

bool store_workspace_get(struct store *store, const uint8_t id[ID_BYTES], struct store_workspace *out, bool *found,
                         struct err *err)
{
    static struct query query = {STORE_STATE, "SELECT id, name, lookup, created FROM workspace WHERE id = ?", 0};
    return one_workspace(store, &query, store_query(store, &query, err, "d", id), out, found, err);
}

bool store_workspaces(struct store *store, const char *after, store_workspace_visit *visit, void *context,
                      struct err *err)
{
    static struct query query = {STORE_STATE,
                                 "SELECT id, name, lookup, created FROM workspace WHERE name > ? ORDER BY name", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "t", after);
    int got = row ? 1 : -1;
    while (got == 1 && (got = store_step(store, &query, row, err)) == 1) {
        struct store_workspace one;
        read_workspace(row, &one);
        if (!visit(context, &one)) got = 0;
    }
    store_done(row);
    return got == 0;
}

/* ── tokens ────────────────────────────────────────────────────────────────────────────────────────── */

#define TOKEN_COLUMNS "id, hash, workspace, name, role, connectors, actions, created, expires, coalesce(revoked, 0)"

bool store_token_add(struct store *store, const struct store_token *token, struct err *err)
{
    static struct query query = {STORE_STATE,
                                 "INSERT INTO token(id, hash, workspace, name, role, connectors, actions, created,"
                                 " expires) VALUES(?,?,?,?,?,?,?,?,?)",
                                 0};
    return store_run(store, &query, err, "dhdtuttii", token->id, token->hash, token->workspace, token->name,
                     token->role, token->connectors, token->actions, (int64_t)token->created, (int64_t)token->expires);
}

static void read_token(sqlite3_stmt *row, struct store_token *out)
{
    memset(out, 0, sizeof *out);
    column_bytes(row, 0, out->id, ID_BYTES);
    column_bytes(row, 1, out->hash, HASH_BYTES);
    column_bytes(row, 2, out->workspace, ID_BYTES);
    column_text(row, 3, out->name, sizeof out->name);
    out->role = column_u32(row, 4);
    column_text(row, 5, out->connectors, sizeof out->connectors);
    column_text(row, 6, out->actions, sizeof out->actions);
    out->created = column_u64(row, 7);
    out->expires = column_u64(row, 8);
    out->revoked = column_u64(row, 9);
}

static bool one_token(struct store *store, struct query *query, sqlite3_stmt *row, struct store_token *out, bool *found,
                      struct err *err)
{
    int got = row ? store_step(store, query, row, err) : -1;
    if (got == 1) read_token(row, out);
    if (got >= 0) *found = got == 1;
    store_done(row);
    return got >= 0;
}

bool store_token_hashed(struct store *store, const uint8_t hash[HASH_BYTES], struct store_token *out, bool *found,
                        struct err *err)
{
    static struct query query = {STORE_STATE, "SELECT " TOKEN_COLUMNS " FROM token WHERE hash = ?", 0};
    return one_token(store, &query, store_query(store, &query, err, "h", hash), out, found, err);
}

bool store_token_get(struct store *store, const uint8_t id[ID_BYTES], struct store_token *out, bool *found,
                     struct err *err)
{
    static struct query query = {STORE_STATE, "SELECT " TOKEN_COLUMNS " FROM token WHERE id = ?", 0};
    return one_token(store, &query, store_query(store, &query, err, "d", id), out, found, err);
}

bool store_token_revoke(struct store *store, const uint8_t id[ID_BYTES], uint64_t now, struct err *err)
{
    static struct query query = {STORE_STATE, "UPDATE token SET revoked = ? WHERE id = ? AND revoked IS NULL", 0};
    return store_run(store, &query, err, "id", (int64_t)now, id);
}

bool store_tokens(struct store *store, const uint8_t workspace[ID_BYTES], const uint8_t before[ID_BYTES],
                  store_token_visit *visit, void *context, struct err *err)
{
    static struct query query = {
        STORE_STATE, "SELECT " TOKEN_COLUMNS " FROM token WHERE workspace = ? AND id < ? ORDER BY id DESC", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "dd", workspace, before);
    int got = row ? 1 : -1;
    while (got == 1 && (got = store_step(store, &query, row, err)) == 1) {
        struct store_token one;
        read_token(row, &one);
        if (!visit(context, &one)) got = 0;
    }
    store_done(row);
    return got == 0;
}

/* ── credentials ───────────────────────────────────────────────────────────────────────────────────── */

#define CREDENTIAL_COLUMNS                                                                                             \
    "id, workspace, name, connector, version, audience, fields, created, changed, kind, token_host, refresh_at, "      \
    "expires_at"

bool store_credential_put(struct store *store, const struct store_credential *credential, struct err *err)
{
    static struct query query = {STORE_STATE,
                                 "INSERT INTO credential(" CREDENTIAL_COLUMNS ") VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)"
                                 " ON CONFLICT(id) DO UPDATE SET version = excluded.version,"
                                 " audience = excluded.audience, fields = excluded.fields, changed = excluded.changed,"
                                 " kind = excluded.kind, token_host = excluded.token_host,"
                                 " refresh_at = excluded.refresh_at, expires_at = excluded.expires_at",
                                 0};
    return store_run(store, &query, err, "ddttuttiiutii", credential->id, credential->workspace, credential->name,
                     credential->connector, credential->version, credential->audience, credential->fields,
                     (int64_t)credential->created, (int64_t)credential->changed, credential->kind,
                     credential->token_host, (int64_t)credential->refresh_at, (int64_t)credential->expires_at);
}

static void read_credential(sqlite3_stmt *row, struct store_credential *out)
{
    memset(out, 0, sizeof *out);
    column_bytes(row, 0, out->id, ID_BYTES);
    column_bytes(row, 1, out->workspace, ID_BYTES);
    column_text(row, 2, out->name, sizeof out->name);
    column_text(row, 3, out->connector, sizeof out->connector);
    out->version = column_u32(row, 4);
    column_text(row, 5, out->audience, sizeof out->audience);
    column_text(row, 6, out->fields, sizeof out->fields);
    out->created = column_u64(row, 7);
    out->changed = column_u64(row, 8);
    out->kind = column_u32(row, 9);
    column_text(row, 10, out->token_host, sizeof out->token_host);
    out->refresh_at = column_u64(row, 11);
    out->expires_at = column_u64(row, 12);
}

static bool one_credential(struct store *store, struct query *query, sqlite3_stmt *row, struct store_credential *out,
                           bool *found, struct err *err)
{
    int got = row ? store_step(store, query, row, err) : -1;
    if (got == 1) read_credential(row, out);
    if (got >= 0) *found = got == 1;
    store_done(row);
    return got >= 0;
}

bool store_credential_named(struct store *store, const uint8_t workspace[ID_BYTES], const char *name,
                            struct store_credential *out, bool *found, struct err *err)
{
    static struct query query = {STORE_STATE,
                                 "SELECT " CREDENTIAL_COLUMNS " FROM credential WHERE workspace = ? AND name = ?", 0};
    return one_credential(store, &query, store_query(store, &query, err, "dt", workspace, name), out, found, err);
}

bool store_credential_get(struct store *store, const uint8_t id[ID_BYTES], struct store_credential *out, bool *found,
                          struct err *err)
{
    static struct query query = {STORE_STATE, "SELECT " CREDENTIAL_COLUMNS " FROM credential WHERE id = ?", 0};
    return one_credential(store, &query, store_query(store, &query, err, "d", id), out, found, err);
}

bool store_credential_remove(struct store *store, const uint8_t id[ID_BYTES], struct err *err)
{
    static struct query query = {STORE_STATE, "DELETE FROM credential WHERE id = ?", 0};
    return store_run(store, &query, err, "d", id);
}

bool store_credentials(struct store *store, const uint8_t workspace[ID_BYTES], const char *after,
                       store_credential_visit *visit, void *context, struct err *err)
{
    static struct query query = {
        STORE_STATE, "SELECT " CREDENTIAL_COLUMNS " FROM credential WHERE workspace = ? AND name > ? ORDER BY name", 0};
    sqlite3_stmt *row = store_query(store, &query, err, "dt", workspace, after);
    int got = row ? 1 : -1;
    while (got == 1 && (got = store_step(store, &query, row, err)) == 1) {
        struct store_credential one;
        read_credential(row, &one);
        if (!visit(context, &one)) got = 0;
    }
    store_done(row);
    return got == 0;
}
