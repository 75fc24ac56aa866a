/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: what runs or waits with a credential in its hands, and taking it back. */
#include <stdio.h>

#include "api.h"
#include "base/auto_json.h"
#include "print.h"
#include "verbs.h"

static const char *const filters[] = {"workspace", "connector", "credential", "call"};
enum { FILTERS = sizeof filters / sizeof *filters };

bool verb_lease_list(struct cli *cli, struct err *err)
{
    static const struct print_field fields[] = {
        {"STATE", "state"},           {"CONNECTOR", "connector"}, {"ACTION", "action"},
        {"CREDENTIAL", "credential"}, {"CALL", "call_id"},        {"BEGUN", "begun"},
        {"CALLS", "calls"},           {"AGE MS", "age_ms"},       {NULL, NULL}};
    JSON_AUTO *answer = NULL;
    char path[API_PATH];
    api_path(path, "/v1/leases", NULL);
    for (size_t i = 0; i < FILTERS; i++) api_query(path, filters[i], cli_value(cli, filters[i]));
    if (!api_get(&cli->home, API_DESK, path, &answer, err)) return false;
    verb_show_rows(cli, answer, fields, "Nothing runs or waits.");
    return true;
}

bool verb_lease_revoke(struct cli *cli, struct err *err)
{
    JSON_AUTO *answer = NULL, *body = json_object();
    const char *reason = cli_value(cli, "reason");
    for (size_t i = 0; i < FILTERS; i++)
        if (cli_value(cli, filters[i])) json_object_set_new(body, filters[i], json_string(cli_value(cli, filters[i])));
    if (json_object_size(body) == 0)
        return err_set(err, ERR_USAGE, "say what is revoked: --workspace, --connector, --credential or --call");
    if (reason) json_object_set_new(body, "reason", json_string(reason));
    if (!api_post(&cli->home, "/v1/leases/revoke", body, &answer, err)) return false;
    if (cli->json)
        print_json(answer);
    else
        printf("Revoked: %lld running calls, %lld workers.\n",
               (long long)json_integer_value(json_object_get(answer, "calls")),
               (long long)json_integer_value(json_object_get(answer, "workers")));
    return true;
}
