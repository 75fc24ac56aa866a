/* SPDX-License-Identifier: Apache-2.0 */
/* Who may call: tokens and workspaces. */
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "base/auto_json.h"
#include "pages.h"
#include "print.h"
#include "verbs.h"

/* "90d", "12h", "30m", "45s". */
static bool seconds_of(const char *text, json_int_t *seconds)
{
    static const struct {
        char unit;
        long factor;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char *end;
    long number = strtol(text, &end, 10);
    if (end == text || number < 1 || number > 100000) return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (end[0] == units[i].unit && end[1] == '\0') {
            *seconds = (json_int_t)number * units[i].factor;
            return true;
        }
    return false;
}

static json_t *all_of(const struct cli *cli, const char *option)
{
    json_t *list = json_array();
    unsigned at = 0;
    for (const char *value; (value = cli_next(cli, option, &at));) json_array_append_new(list, json_string(value));
    return list;
}

static const char *or_else(const char *value, const char *usual)
{
    return value ? value : usual;
}

bool verb_token_create(struct cli *cli, struct err *err)
{
    json_int_t seconds;
    JSON_AUTO *answer = NULL;
    if (!seconds_of(or_else(cli_value(cli, "expires"), "90d"), &seconds))
        return err_set(err, ERR_USAGE, "--expires is a time like 45s, 30m, 12h or 90d");
    JSON_AUTO *body = json_pack("{s:s,s:s,s:s,s:o,s:o,s:I}", "name", cli->arguments[0], "workspace",
                                or_else(cli_value(cli, "workspace"), "default"), "role",
                                or_else(cli_value(cli, "role"), "invoker"), "connectors", all_of(cli, "connector"),
                                "actions", all_of(cli, "action"), "expires_in_s", seconds);
    if (!api_post(&cli->home, "/v1/tokens", body, &answer, err)) return false;
    const char *token = json_string_value(json_object_get(answer, "token"));
    if (cli->json || !token) {
        print_json(answer);
        return true;
    }
    puts(token);
    fprintf(stderr, "Keep it now: it is not shown again. Callers send it as \"Authorization: Bearer TOKEN\".\n");
    return true;
}

bool verb_token_list(struct cli *cli, struct err *err)
{
    static const struct print_field fields[] = {{"ID", "id"},
                                                {"NAME", "name"},
                                                {"ROLE", "role"},
                                                {"WORKSPACE", "workspace"},
                                                {"CONNECTORS", "connectors"},
                                                {"ACTIONS", "actions"},
                                                {"EXPIRES", "expires"},
                                                {"REVOKED", "revoked"},
                                                {NULL, NULL}};
    char path[API_PATH];
    api_path(path, "/v1/tokens", NULL);
    api_query(path, "workspace", cli_value(cli, "workspace"));
    return pages_show(cli, &(struct pages){.path = path, .cursor = "before"}, fields, "No tokens.", err);
}

bool verb_token_revoke(struct cli *cli, struct err *err)
{
    JSON_AUTO *answer = NULL;
    char path[API_PATH];
    api_path(path, "/v1/tokens/", cli->arguments[0]);
    struct api_request request = {.socket = API_DESK, .method = "DELETE", .path = path};
    if (!api_send(&cli->home, &request, &answer, err)) return false;
    if (cli->json && answer)
        print_json(answer);
    else
        puts("Revoked.");
    return true;
}

bool verb_workspace_create(struct cli *cli, struct err *err)
{
    JSON_AUTO *answer = NULL, *body = json_pack("{s:s}", "name", cli->arguments[0]);
    if (!api_post(&cli->home, "/v1/workspaces", body, &answer, err)) return false;
    if (cli->json)
        print_json(answer);
    else
        printf("The workspace %s is there.\n", cli->arguments[0]);
    return true;
}

bool verb_workspace_list(struct cli *cli, struct err *err)
{
    static const struct print_field fields[] = {{"NAME", "name"}, {"ID", "id"}, {"CREATED", "created"}, {NULL, NULL}};
    struct pages pages = {.path = "/v1/workspaces", .cursor = "after"};
    return pages_show(cli, &pages, fields, "No workspaces.", err);
}
