/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what. */
#include "authorise.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto_json.h"

enum { ACCESS_ROWS = 4096 };

static const struct {
    const char *name;
    unsigned rights;
} roles[ACCESS_ROLES] = {
    [ACCESS_NONE] = {"none", 0},
    [ACCESS_VIEWER] = {"viewer", RIGHT_VIEW},
    [ACCESS_INVOKER] = {"invoker", RIGHT_VIEW | RIGHT_CALL},
    [ACCESS_OPERATOR] = {"operator", RIGHT_VIEW | RIGHT_CALL | RIGHT_OPERATE},
    [ACCESS_ADMIN] = {"admin", RIGHT_VIEW | RIGHT_CALL | RIGHT_OPERATE | RIGHT_ADMIN | RIGHT_AUDIT},
    [ACCESS_AUDITOR] = {"auditor", RIGHT_VIEW | RIGHT_AUDIT},
};

const char *access_role_name(unsigned role)
{
    return roles[role < ACCESS_ROLES ? role : ACCESS_NONE].name;
}

enum access_role access_role_of(const char *name)
{
    for (unsigned role = ACCESS_VIEWER; role < ACCESS_ROLES; role++)
        if (strcmp(roles[role].name, name) == 0) return (enum access_role)role;
    return ACCESS_NONE;
}

unsigned access_role_rights(unsigned role)
{
    return role < ACCESS_ROLES ? roles[role].rights : 0;
}

/* ── [Access] ──────────────────────────────────────────────────────────────────────────────────────── */

static bool read_number(const char *text, uint32_t *number)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value >= UINT32_MAX) return false;
    *number = (uint32_t)value;
    return true;
}

static bool read_subject(const char *text, struct access_row *row)
{
    row->subject = SUBJECT_ANY;
    if (strcmp(text, "any") == 0) return true;
    row->subject = strncmp(text, "uid:", 4) == 0 ? SUBJECT_UID : SUBJECT_GID;
    return (row->subject == SUBJECT_UID || strncmp(text, "gid:", 4) == 0) && read_number(text + 4, &row->id);
}

static bool add_row(struct access *access, const struct access_row *row, struct err *err)
{
    if (access->count == ACCESS_ROWS)
        return err_set(err, ERR_TOO_LARGE, "[Access] has more than %d entries", ACCESS_ROWS);
    struct access_row *rows = realloc(access->rows, (access->count + 1) * sizeof *rows);
    if (!rows) return err_set(err, ERR_BUSY, "there is no memory for [Access]");
    access->rows = rows;
    rows[access->count++] = *row;
    return true;
}

static bool read_list(struct access *access, struct access_row *row, const json_t *list, struct err *err)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (!text || !read_subject(text, row))
            return err_set(err, ERR_BAD_INPUT, "[Access]: \"%s\" is none of uid:N, gid:N, any", text ? text : "?");
        if (!add_row(access, row, err)) return false;
    }
    return json_is_array(list) || err_set(err, ERR_BAD_INPUT, "[Access]: a role needs a list");
}

static bool read_workspace(struct access *access, const char *name, json_t *object, struct err *err)
{
    struct access_row row = {0};
    const char *role;
    json_t *list;
    if (strcmp(name, "*") != 0 && !name_valid(name))
        return err_set(err, ERR_BAD_INPUT, "[Access]: \"%s\" cannot be a workspace's name", name);
    memcpy(row.workspace, name, strlen(name) + 1);
    if (!json_is_object(object)) return err_set(err, ERR_BAD_INPUT, "[Access]: %s needs roles", name);
    json_object_foreach(object, role, list)
    {
        row.role = access_role_of(role);
        if (row.role == ACCESS_NONE) return err_set(err, ERR_BAD_INPUT, "[Access]: there is no role \"%s\"", role);
        if (!read_list(access, &row, list, err)) return false;
    }
    return true;
}

static bool access_default(struct access *access, struct err *err)
{
    struct access_row root = {"*", ACCESS_ADMIN, SUBJECT_UID, 0}, own = {"*", ACCESS_ADMIN, SUBJECT_UID, geteuid()};
    return add_row(access, &root, err) && add_row(access, &own, err);
}

bool access_read(const json_t *object, struct access *access, struct err *err)
{
    const char *name;
    json_t *roles_object;
    *access = (struct access){0};
    if (!object || json_is_null(object)) return access_default(access, err);
    bool ok = json_is_object(object) || err_set(err, ERR_BAD_INPUT, "[Access] must name workspaces");
    if (ok) json_object_foreach((json_t *)object, name, roles_object)
        {
            if (!ok) break;
            ok = read_workspace(access, name, roles_object, err);
        }
    if (!ok) access_clear(access);
    return ok;
}

void access_clear(struct access *access)
{
    free(access->rows);
    *access = (struct access){0};
}

static bool row_means(const struct access_row *row, const struct peer *peer)
{
    if (row->subject == SUBJECT_ANY) return true;
    if (row->subject == SUBJECT_UID) return row->id == peer->uid;
    for (uint32_t i = 0; i < peer->group_count; i++)
        if (peer->groups[i] == row->id) return true;
    return false;
}

unsigned access_rights(const struct access *access, const struct peer *peer, const char *workspace)
{
    unsigned rights = 0;
    for (unsigned i = 0; i < access->count; i++) {
        const struct access_row *row = &access->rows[i];
        bool here = strcmp(row->workspace, "*") == 0 || strcmp(row->workspace, workspace) == 0;
        if (here && row_means(row, peer)) rights |= roles[row->role].rights;
    }
    return rights;
}

/* ── callers ───────────────────────────────────────────────────────────────────────────────────────── */

unsigned caller_rights(const struct access *access, const struct caller *caller,
                       const struct store_workspace *workspace, uint64_t now)
{
    const struct store_token *token = &caller->token;
    if (caller->kind == WHO_PEER) return access_rights(access, caller->peer, workspace->name);
    if (caller->kind != WHO_TOKEN || token->revoked || (token->expires && token->expires <= now)) return 0;
    return memcmp(token->workspace, workspace->id, ID_BYTES) == 0 ? access_role_rights(token->role) : 0;
}

/* A scope's entry: a connector, an action, or "connector/action". */
static bool entry_covers(const char *entry, const char *connector, const char *action)
{
    const char *slash = strchr(entry, '/');
    if (!action)
        return slash ? strncmp(entry, connector, (size_t)(slash - entry)) == 0 && !connector[slash - entry] : true;
    if (!slash) return strcmp(entry, action) == 0;
    return (size_t)(slash - entry) == strlen(connector) && memcmp(entry, connector, strlen(connector)) == 0 &&
           strcmp(slash + 1, action) == 0;
}

/* An unreadable scope covers nothing. */
static bool list_covers(const char *text, const char *connector, const char *action, bool actions)
{
    JSON_AUTO *list = json_loads(text, 0, NULL);
    if (!json_is_array(list)) return false;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *entry = json_string_value(json_array_get(list, i));
        if (entry && (actions ? entry_covers(entry, connector, action) : strcmp(entry, connector) == 0)) return true;
    }
    return json_array_size(list) == 0;
}

bool caller_covers(const struct caller *caller, const char *connector, const char *action)
{
    if (caller->kind != WHO_TOKEN) return true;
    return list_covers(caller->token.connectors, connector, action, false) &&
           list_covers(caller->token.actions, connector, action, true);
}

bool caller_is_narrow(const struct caller *caller)
{
    return caller->kind == WHO_TOKEN &&
           (strcmp(caller->token.connectors, "[]") != 0 || strcmp(caller->token.actions, "[]") != 0);
}

/* ── messages ──────────────────────────────────────────────────────────────────────────────────────── */

struct message_right message_right(unsigned type)
{
    static const struct message_right none = {0, IN_NAMED};
    static const struct {
        uint16_t type;
        struct message_right need;
    } table[] = {
        {MSG_CALLS_LIST, {RIGHT_VIEW, IN_NAMED}},         {MSG_CALLS_GET, {RIGHT_VIEW, IN_OBJECT}},
        {MSG_CALLS_RETRY, {RIGHT_OPERATE, IN_OBJECT}},    {MSG_CALLS_CANCEL, {RIGHT_OPERATE, IN_OBJECT}},
        {MSG_CONNECTORS, {RIGHT_VIEW, IN_NAMED}},         {MSG_TOKEN_CREATE, {RIGHT_ADMIN, IN_NAMED}},
        {MSG_TOKEN_LIST, {RIGHT_ADMIN, IN_NAMED}},        {MSG_TOKEN_REVOKE, {RIGHT_ADMIN, IN_OBJECT}},
        {MSG_CREDENTIAL_SET, {RIGHT_ADMIN, IN_NAMED}},    {MSG_CREDENTIAL_LIST, {RIGHT_OPERATE, IN_NAMED}},
        {MSG_CREDENTIAL_SHOW, {RIGHT_OPERATE, IN_NAMED}}, {MSG_CREDENTIAL_REMOVE, {RIGHT_ADMIN, IN_NAMED}},
        {MSG_SUBMISSION_KEY, {RIGHT_VIEW, IN_NAMED}},     {MSG_LEASE_LIST, {RIGHT_OPERATE, IN_NAMED}},
        {MSG_LEASE_REVOKE, {RIGHT_OPERATE, IN_NAMED}},
        {MSG_PLUGIN_LIST, {RIGHT_VIEW, IN_SYSTEM}},       {MSG_PLUGIN_RECORD, {RIGHT_ADMIN, IN_SYSTEM}},
        {MSG_RELOAD, {RIGHT_ADMIN, IN_SYSTEM}},           {MSG_FREEZE_RECORD, {RIGHT_OPERATE, IN_SYSTEM}},
        {MSG_KEY_RECORD, {RIGHT_ADMIN, IN_SYSTEM}},
        {MSG_AUDIT_TAIL, {RIGHT_AUDIT, IN_SYSTEM}},       {MSG_AUDIT_CHECKPOINT, {RIGHT_AUDIT, IN_SYSTEM}},
        {MSG_AUDIT_VKEY, {RIGHT_AUDIT, IN_SYSTEM}},       {MSG_AUDIT_ROLL, {RIGHT_ADMIN, IN_SYSTEM}},
        {MSG_AUDIT_EPOCH, {RIGHT_ADMIN, IN_SYSTEM}},      {MSG_WORKSPACE_CREATE, {RIGHT_ADMIN, IN_SYSTEM}},
        {MSG_AUDIT_PUSH, {RIGHT_ADMIN, IN_SYSTEM}},
        {MSG_KEY_STATUS, {RIGHT_ADMIN, IN_SYSTEM}},       {MSG_KEY_MASTER, {RIGHT_ADMIN, IN_SYSTEM}},
        {MSG_KEY_ROTATE, {RIGHT_ADMIN, IN_NAMED}},
        {MSG_AUDIT_ERASE, {RIGHT_ADMIN, IN_NAMED}},       {MSG_AUDIT_PERSON, {RIGHT_AUDIT, IN_NAMED}},
        {MSG_AUDIT_PAYLOAD, {RIGHT_ADMIN, IN_OBJECT}},
        {MSG_AUDIT_PRUNE, {RIGHT_ADMIN, IN_SYSTEM}},      {MSG_AUDIT_HOLD_ADD, {RIGHT_ADMIN, IN_NAMED}},
        {MSG_AUDIT_HOLD_LIST, {RIGHT_AUDIT, IN_NAMED}},   {MSG_AUDIT_HOLD_REMOVE, {RIGHT_ADMIN, IN_OBJECT}},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].type == type) return table[i].need;
    return none;
}
