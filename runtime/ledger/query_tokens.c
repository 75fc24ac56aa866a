/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens: made here, shown once, stored as a hash only. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/clock.h"
#include "base/text.h"
#include "query.h"

enum { TOKEN_RANDOM = 32, TOKEN_TEXT = 64, SCOPES = 32 };
#define TOKEN_PREFIX "cst_"
#define DAY_S (24 * 3600)

/* ── creating ──────────────────────────────────────────────────────────────────────────────────────── */

/* A scope's entry: a name, or "connector/action" where actions are listed. */
static bool scope_valid(const char *text, bool actions)
{
    char connector[NAME_BYTES];
    const char *slash = strchr(text, '/');
    if (!slash) return name_valid(text);
    if (!actions || (size_t)(slash - text) >= sizeof connector) return false;
    memcpy(connector, text, (size_t)(slash - text));
    connector[slash - text] = '\0';
    return name_valid(connector) && name_valid(slash + 1);
}

static bool read_scope(const struct query *query, const char *key, bool actions, char text[SCOPE_TEXT], struct err *err)
{
    const json_t *list = json_object_get(query->in, key);
    if (!list || json_is_null(list)) return text_copy(text, SCOPE_TEXT, "[]");
    if (!json_is_array(list) || json_array_size(list) > SCOPES)
        return err_set(err, ERR_BAD_INPUT, "\"%s\" must be a list of at most %d names", key, SCOPES);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *one = json_string_value(json_array_get(list, i));
        if (!one || !scope_valid(one, actions))
            return err_set(err, ERR_BAD_INPUT, "\"%s\" must hold names%s", key, actions ? " or connector/action" : "");
    }
    FREE_AUTO char *dumped = json_dumps(list, JSON_COMPACT);
    return (dumped && text_copy(text, SCOPE_TEXT, dumped)) || err_set(err, ERR_TOO_LARGE, "\"%s\" is too long", key);
}

static bool read_token_request(const struct query *query, struct store_token *token, struct err *err)
{
    char role[32];
    uint64_t seconds;
    if (!in_name(query, "name", token->name, true, err) || !in_text(query, "role", role, sizeof role, err) ||
        !read_scope(query, "connectors", false, token->connectors, err) ||
        !read_scope(query, "actions", true, token->actions, err) ||
        !in_number(query, "expires_in_s", 90 * DAY_S, 3650ull * DAY_S, &seconds, err))
        return false;
    token->role = role[0] ? access_role_of(role) : ACCESS_INVOKER;
    if (token->role == ACCESS_NONE)
        return err_set(err, ERR_BAD_INPUT, "\"role\" must be viewer, invoker, operator, admin or auditor");
    if (seconds == 0) return err_set(err, ERR_BAD_INPUT, "\"expires_in_s\" must be at least 1");
    token->created = clock_wall();
    token->expires = token->created + seconds * CLOCK_S;
    uint64_t own = query->caller.kind == WHO_TOKEN ? query->caller.token.expires : 0;
    if (own && token->expires > own) token->expires = own; /* a token makes none that outlives it */
    memcpy(token->workspace, query->workspace.id, ID_BYTES);
    return true;
}

static void make_token(struct store_token *token, char text[TOKEN_TEXT])
{
    uint8_t random[TOKEN_RANDOM];
    randombytes_buf(random, sizeof random);
    text_copy(text, TOKEN_TEXT, TOKEN_PREFIX);
    sodium_bin2base64(text + strlen(TOKEN_PREFIX), TOKEN_TEXT - strlen(TOKEN_PREFIX), random, sizeof random,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(random, sizeof random);
    sha256(text, strlen(text), token->hash);
    id_new(token->id);
}

static json_t *token_json(const struct store_token *token, const char *workspace)
{
    json_t *connectors = json_loads(token->connectors, 0, NULL), *actions = json_loads(token->actions, 0, NULL);
    return json_pack("{s:o, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "id", id_json(token->id), "name", token->name,
                     "role", access_role_name(token->role), "workspace", workspace, "connectors",
                     connectors ? connectors : json_array(), "actions", actions ? actions : json_array(), "created",
                     time_json(token->created), "expires", time_json(token->expires), "revoked",
                     time_json(token->revoked));
}

static bool record_token(struct query *query, const char *act, const struct store_token *token, struct err *err)
{
    RECORD_AUTO record;
    char id[ID_TEXT];
    record_init(&record);
    id_text(token->id, id);
    record_text(&record, "target", id);
    record_text(&record, "text", access_role_name(token->role));
    record_text(&record, "workspace", query->workspace.name);
    return admin_record(query, act, &record, err);
}

bool query_token_create(struct query *query, json_t **out, struct err *err)
{
    struct store_token token = {0};
    char text[TOKEN_TEXT];
    if (!read_token_request(query, &token, err)) return false;
    make_token(&token, text);
    bool ok = record_token(query, "token.create", &token, err) && store_token_add(query->ledger->store, &token, err);
    if (ok) {
        *out = token_json(&token, query->workspace.name);
        json_object_set_new(*out, "token", json_string(text));
    }
    sodium_memzero(text, sizeof text);
    return ok;
}

/* ── the others ────────────────────────────────────────────────────────────────────────────────────── */

struct listing {
    const char *workspace;
    struct list_page page;
};

static bool list_token(void *context, const struct store_token *token)
{
    struct listing *listing = context;
    return page_add_id(&listing->page, token_json(token, listing->workspace), token->id);
}

bool query_token_list(struct query *query, json_t **out, struct err *err)
{
    uint8_t before[ID_BYTES];
    JSON_AUTO *list = json_array();
    struct listing listing = {query->workspace.name, {.list = list, .room = LIST_ROOM}};
    if (!in_before(query, before, err) ||
        !store_tokens(query->ledger->store, query->workspace.id, before, list_token, &listing, err))
        return false;
    *out = page_json(&listing.page, "tokens");
    return true;
}

bool query_token_revoke(struct query *query, json_t **out, struct err *err)
{
    uint8_t id[ID_BYTES];
    struct store_token token;
    bool found;
    if (!in_id(query, "id", id, err) || !store_token_get(query->ledger->store, id, &token, &found, err)) return false;
    if (!found) return err_set(err, ERR_NOT_FOUND, "there is no such token");
    if (!query_enter(query, token.workspace, err)) return false;
    if (!token.revoked && (!record_token(query, "token.revoke", &token, err) ||
                           !store_token_revoke(query->ledger->store, id, clock_wall(), err)))
        return false;
    *out = json_pack("{s:o, s:b}", "id", id_json(id), "revoked", 1);
    return true;
}
