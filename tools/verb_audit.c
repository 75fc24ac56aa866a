/* SPDX-License-Identifier: Apache-2.0 */
/* The log: what it says, and whether it is whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "audit_verify.h"
#include "base/auto_json.h"
#include "pages.h"
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
    struct pages pages = {
        .path = "/v1/audit/entries", .cursor = "from", .from = cli_value(cli, "from"), .limit = limit ? limit : "20"};
    return pages_show(cli, &pages, fields, "The log is empty.", err);
}

/* A running daemon signs what it has written so far, so that the newest entries are covered too. Whether it does is
 * of no account: what is verified is the files. */
void verb_have_signed(struct cli *cli)
{
    JSON_AUTO *ignored = NULL;
    struct err silent = {0};
    api_get(&cli->home, API_DESK, "/v1/audit/checkpoint", &ignored, &silent);
}

static bool epoch_wanted(struct cli *cli, uint64_t *epoch, struct err *err)
{
    const char *text = cli_value(cli, "epoch");
    char *end = NULL;
    *epoch = text ? strtoull(text, &end, 10) : 0;
    return !text || (*text >= '1' && *text <= '9' && !*end) ||
           err_set(err, ERR_USAGE, "--epoch wants the number of an epoch, from 1");
}

bool verb_audit_verify(struct cli *cli, struct err *err)
{
    struct audit_how how = {.folder = cli->home.path,
                            .vkey = cli_value(cli, "vkey"),
                            .state = cli_value(cli, "state"),
                            .kept = cli_value(cli, "checkpoint"),
                            .new_epoch = cli_value(cli, "new-epoch"),
                            .full = cli_value(cli, "full")};
    struct audit_report report = {0};
    if (!epoch_wanted(cli, &how.epoch, err)) return false;
    verb_have_signed(cli);
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
    const char *path = cli_value(cli, "cosigned") ? "/v1/audit/checkpoint?cosigned=1" : "/v1/audit/checkpoint";
    return print_text(cli, path, "checkpoint", err);
}

static bool all_have_it(const json_t *sinks)
{
    const char *name;
    json_t *sink;
    bool all = true;
    json_object_foreach((json_t *)sinks, name, sink)
        all = all && !json_integer_value(json_object_get(sink, "missed"));
    return all;
}

static void print_sink(const char *name, const json_t *sink)
{
    const char *error = json_string_value(json_object_get(sink, "error"));
    printf("%-20s %-8s %10lld %8lld%s", name, json_string_value(json_object_get(sink, "state")),
           (long long)json_integer_value(json_object_get(sink, "size")),
           (long long)json_integer_value(json_object_get(sink, "missed")),
           json_is_true(json_object_get(sink, "required")) ? "  required" : "");
    if (error) fputs("  ", stdout), print_tame(error, stdout);
    putchar('\n');
}

static void print_sinks(const json_t *sinks)
{
    const char *name;
    json_t *sink;
    printf("%-20s %-8s %10s %8s\n", "NAME", "STATE", "SIZE", "MISSED");
    json_object_foreach((json_t *)sinks, name, sink)
        print_sink(name, sink);
}

/* What has been written so far is signed first, so that it is in what is pushed. */
bool verb_audit_push(struct cli *cli, struct err *err)
{
    JSON_AUTO *answer = NULL;
    verb_have_signed(cli);
    if (!api_post(&cli->home, "/v1/audit/push", NULL, &answer, err)) return false;
    const json_t *sinks = json_object_get(answer, "sinks");
    if (cli->json)
        print_json(answer);
    else
        print_sinks(sinks);
    if (!json_is_true(json_object_get(answer, "finished")))
        return err_set(err, ERR_UNAVAILABLE, "the push goes on: caisson status shows what became of it");
    return all_have_it(sinks) ||
           err_set(err, ERR_UNAVAILABLE, "not every place took the checkpoint: the daemon's log says why (push-failed)");
}

static void print_keys(const struct cli *cli, const json_t *answer)
{
    const char *first = json_string_value(json_object_get(answer, "vkey"));
    const char *current = json_string_value(json_object_get(answer, "current"));
    if (cli->json || !first) {
        print_json(answer);
        return;
    }
    puts(first);
    if (current && strcmp(current, first) != 0) fprintf(stderr, "signing now: %s\n", current);
}

bool verb_audit_vkey(struct cli *cli, struct err *err)
{
    JSON_AUTO *answer = NULL;
    if (!api_get(&cli->home, API_DESK, "/v1/audit/vkey", &answer, err)) return false;
    print_keys(cli, answer);
    return true;
}

bool verb_audit_roll(struct cli *cli, struct err *err)
{
    JSON_AUTO *answer = NULL;
    if (!api_post(&cli->home, "/v1/audit/roll", NULL, &answer, err)) return false;
    print_keys(cli, answer);
    return true;
}

bool verb_audit_epoch(struct cli *cli, struct err *err)
{
    const char *reason = cli_value(cli, "reason");
    if (!reason) return err_set(err, ERR_USAGE, "say why calls may run again: --reason WHY");
    JSON_AUTO *answer = NULL, *body = json_pack("{s:s}", "reason", reason);
    if (!body || !api_post(&cli->home, "/v1/audit/epoch", body, &answer, err)) return false;
    if (cli->json)
        print_json(answer);
    else
        printf("Calls run again. The log goes on as %s.\n", json_string_value(json_object_get(answer, "origin")));
    return true;
}
