/* SPDX-License-Identifier: Apache-2.0 */
/* The log: what it says, and whether it is whole. */
#include <string.h>

#include "api.h"
#include "audit_verify.h"
#include "base/auto_json.h"
#include "print.h"
#include "verbs.h"

bool verb_audit_tail(struct cli *cli, struct err *err)
{
    static const struct print_field fields[] = {
        {"INDEX", "index"},         {"TIME", "time"},   {"KIND", "kind"},
        {"ACTOR", "actor"},         {"CALL", "call"},   {"CONNECTOR", "connector"},
        {"ACTION", "action|act"},   {"CLASS", "class"}, {"SENT", "sent"},
        {"WORKSPACE", "workspace"}, {NULL, NULL}};
    const char *limit = cli_value(cli, "limit");
    JSON_AUTO *answer = NULL;
    char path[API_PATH];
    api_path(path, "/v1/audit/entries", NULL);
    api_query(path, "from", cli_value(cli, "from"));
    api_query(path, "limit", limit ? limit : "20");
    if (!api_get(&cli->home, API_DESK, path, &answer, err)) return false;
    verb_show_rows(cli, answer, fields, "The log is empty.");
    return true;
}

/* A running daemon signs what it has written so far, so that the newest entries are covered too. Whether it does is
 * of no account: what is verified is the files. */
void verb_have_signed(struct cli *cli)
{
    JSON_AUTO *ignored = NULL;
    struct err silent = {0};
    api_get(&cli->home, API_DESK, "/v1/audit/checkpoint", &ignored, &silent);
}

bool verb_audit_verify(struct cli *cli, struct err *err)
{
    verb_have_signed(cli);
    struct audit_how how = {.folder = cli->home.path,
                            .vkey = cli_value(cli, "vkey"),
                            .state = cli_value(cli, "state"),
                            .full = cli_value(cli, "full")};
    struct audit_report report = {0};
    bool good = audit_verify(&how, &report, err);
    audit_report_print(&report, err, cli->json, stdout);
    return good;
}

/* A text member as it is, for other programs to read. */
static bool print_text(struct cli *cli, const char *path, const char *member, struct err *err)
{
    JSON_AUTO *answer = NULL;
    if (!api_get(&cli->home, API_DESK, path, &answer, err)) return false;
    const char *text = json_string_value(json_object_get(answer, member));
    if (cli->json || !text) {
        print_json(answer);
        return true;
    }
    fputs(text, stdout);
    if (!*text || text[strlen(text) - 1] != '\n') putchar('\n');
    return true;
}

bool verb_audit_checkpoint(struct cli *cli, struct err *err)
{
    return print_text(cli, "/v1/audit/checkpoint", "checkpoint", err);
}

bool verb_audit_vkey(struct cli *cli, struct err *err)
{
    return print_text(cli, "/v1/audit/vkey", "vkey", err);
}
