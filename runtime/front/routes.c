/* SPDX-License-Identifier: Apache-2.0 */
/* The table of routes. The desk's rows exist on the desk's socket only, and the ledger refuses their messages from
 * anywhere else. */
#include <stdio.h>
#include <string.h>

#include "api.h"
#include "request.h"

#define FRONT MSG_BIT(ROLE_FRONT)
#define DESK MSG_BIT(ROLE_DESK)
#define BOTH (FRONT | DESK)
#define BODY DESK_BODY_MAX
#define NO_QUERY                                                                                                       \
    {                                                                                                                  \
        NULL                                                                                                           \
    }

const struct route api_routes[] = {
    {"POST", "/v1/calls", FRONT, CALL_BODY_MAX, MSG_NONE, NO_QUERY, false, api_call},
    {"GET",
     "/v1/calls",
     BOTH,
     0,
     MSG_CALLS_LIST,
     {"workspace", "connector", "class", "#limit", "before"},
     false,
     api_forward},
    {"GET", "/v1/calls/{id}", BOTH, 0, MSG_CALLS_GET, NO_QUERY, false, api_forward},
    {"GET", "/v1/connectors", BOTH, 0, MSG_CONNECTORS, {"workspace"}, false, api_connectors},
    {"GET", "/v1/health", BOTH, 0, MSG_HEALTH, NO_QUERY, true, api_health},
    {"GET", "/metrics", BOTH, 0, MSG_CONNECTORS, NO_QUERY, false, api_metrics},

    {"POST", "/v1/calls/{id}/retry", DESK, BODY, MSG_CALLS_RETRY, NO_QUERY, false, api_forward},
    {"POST", "/v1/calls/{id}/cancel", DESK, BODY, MSG_CALLS_CANCEL, NO_QUERY, false, api_forward},
    {"GET", "/v1/tokens", DESK, 0, MSG_TOKEN_LIST, {"workspace", "before"}, false, api_forward},
    {"POST", "/v1/tokens", DESK, BODY, MSG_TOKEN_CREATE, NO_QUERY, false, api_forward},
    {"DELETE", "/v1/tokens/{id}", DESK, BODY, MSG_TOKEN_REVOKE, NO_QUERY, false, api_forward},
    {"GET", "/v1/credentials", DESK, 0, MSG_CREDENTIAL_LIST, {"workspace", "connector", "after"}, false, api_forward},
    {"POST", "/v1/credentials", DESK, BODY, MSG_CREDENTIAL_SET, NO_QUERY, false, api_forward},
    {"GET", "/v1/credentials/{name}", DESK, 0, MSG_CREDENTIAL_SHOW, {"workspace"}, false, api_forward},
    {"DELETE", "/v1/credentials/{name}", DESK, BODY, MSG_CREDENTIAL_REMOVE, {"workspace"}, false, api_forward},
    {"GET", "/v1/keys", DESK, 0, MSG_KEY_STATUS, {"after"}, false, api_forward},
    {"POST", "/v1/keys/rotate", DESK, BODY, MSG_KEY_ROTATE, NO_QUERY, false, api_forward},
    {"POST", "/v1/keys/master", DESK, BODY, MSG_KEY_MASTER, NO_QUERY, false, api_forward},
    {"GET", "/v1/submission-key", DESK, 0, MSG_SUBMISSION_KEY, {"workspace"}, false, api_forward},
    {"GET", "/v1/leases", DESK, 0, MSG_LEASE_LIST, {"workspace", "connector", "credential", "call"}, false, api_forward},
    {"POST", "/v1/leases/revoke", DESK, BODY, MSG_LEASE_REVOKE, NO_QUERY, false, api_forward},
    {"GET", "/v1/plugins", DESK, 0, MSG_PLUGIN_LIST, NO_QUERY, false, api_forward},
    {"POST", "/v1/plugins/record", DESK, BODY, MSG_PLUGIN_RECORD, NO_QUERY, false, api_forward},
    {"GET", "/v1/workspaces", DESK, 0, MSG_WORKSPACE_LIST, {"after"}, false, api_forward},
    {"POST", "/v1/workspaces", DESK, BODY, MSG_WORKSPACE_CREATE, NO_QUERY, false, api_forward},
    {"POST", "/v1/reload", DESK, BODY, MSG_RELOAD, NO_QUERY, false, api_forward},
    {"POST", "/v1/freeze-record", DESK, BODY, MSG_FREEZE_RECORD, NO_QUERY, false, api_forward},
    {"POST", "/v1/key-record", DESK, BODY, MSG_KEY_RECORD, NO_QUERY, false, api_forward},
    {"GET", "/v1/audit/entries", DESK, 0, MSG_AUDIT_TAIL, {"#from", "#limit"}, false, api_forward},
    {"GET", "/v1/audit/checkpoint", DESK, 0, MSG_AUDIT_CHECKPOINT, {"#cosigned"}, false, api_forward},
    {"GET", "/v1/audit/vkey", DESK, 0, MSG_AUDIT_VKEY, NO_QUERY, false, api_forward},
    {"POST", "/v1/audit/roll", DESK, BODY, MSG_AUDIT_ROLL, NO_QUERY, false, api_forward},
    {"POST", "/v1/audit/epoch", DESK, BODY, MSG_AUDIT_EPOCH, NO_QUERY, false, api_forward},
    {"POST", "/v1/audit/push", DESK, BODY, MSG_AUDIT_PUSH, NO_QUERY, false, api_forward},
    {"POST", "/v1/audit/erase", DESK, BODY, MSG_AUDIT_ERASE, NO_QUERY, false, api_forward},
    {"POST", "/v1/audit/person", DESK, BODY, MSG_AUDIT_PERSON, NO_QUERY, false, api_forward},
    {"POST", "/v1/audit/payload", DESK, BODY, MSG_AUDIT_PAYLOAD, NO_QUERY, false, api_forward},
    {"POST", "/v1/audit/prune", DESK, BODY, MSG_AUDIT_PRUNE, NO_QUERY, false, api_forward},
    {"GET", "/v1/audit/holds", DESK, 0, MSG_AUDIT_HOLD_LIST, {"workspace"}, false, api_forward},
    {"POST", "/v1/audit/holds", DESK, BODY, MSG_AUDIT_HOLD_ADD, NO_QUERY, false, api_forward},
    {"DELETE", "/v1/audit/holds/{id}", DESK, BODY, MSG_AUDIT_HOLD_REMOVE, {"reason"}, false, api_forward},
    {0},
};

/* Does the path fit the pattern? The segment in the place of {…} is copied to param. */
static bool fits(const char *pattern, const char *path, char param[ROUTE_PARAM])
{
    const char *open = strchr(pattern, '{');
    if (!open) return strcmp(pattern, path) == 0;
    size_t before = (size_t)(open - pattern);
    if (strncmp(pattern, path, before) != 0) return false;
    const char *segment = path + before, *after = strchr(open, '}') + 1;
    size_t length = strcspn(segment, "/");
    if (length == 0 || length >= ROUTE_PARAM || strcmp(segment + length, after) != 0) return false;
    memcpy(param, segment, length);
    param[length] = '\0';
    return true;
}

static void add_method(char allow[64], const char *method)
{
    size_t used = strlen(allow);
    snprintf(allow + used, 64 - used, "%s%s%s", used ? ", " : "", method, strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

const struct route *route_find(enum role_id self, const char *method, const char *path, char param[ROUTE_PARAM],
                               char allow[64])
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    allow[0] = '\0';
    for (const struct route *row = api_routes; row->method; row++) {
        if (!(row->roles & MSG_BIT(self)) || !fits(row->path, path, param)) continue;
        if (strcmp(row->method, wanted) == 0) return row;
        add_method(allow, row->method);
    }
    return NULL;
}
