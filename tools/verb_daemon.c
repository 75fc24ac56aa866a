/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon as a whole: status, reload, freeze and thaw; and completion. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "base/auto.h"
#include "base/auto_json.h"
#include "dropin.h"
#include "print.h"
#include "verbs.h"

void verb_show_rows(const struct cli *cli, const struct json_t *answer, const struct print_field *fields,
                    const char *none)
{
    if (cli->json)
        print_json(answer);
    else
        print_rows(print_list(answer), fields, none);
    json_int_t left_out = json_integer_value(json_object_get(answer, "left_out"));
    if (left_out) fprintf(stderr, "%lld more had no room in the answer: ask for fewer.\n", (long long)left_out);
}

bool verb_confirm(const char *question)
{
    char answer[16] = "";
    if (!isatty(STDIN_FILENO)) return false;
    fprintf(stderr, "%s [y/N] ", question);
    if (!fgets(answer, sizeof answer, stdin)) return false;
    return strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0;
}

static void print_members(const json_t *object, const char *before, const char *but)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)object, name, value)
    {
        struct print_field field[] = {{name, name}, {NULL, NULL}};
        if (but && strcmp(name, but) == 0) continue;
        fputs(before, stdout);
        if (!json_is_object(value)) {
            print_fields(object, field);
            continue;
        }
        print_tame(name, stdout);
        puts(":");
        print_members(value, "  ", NULL);
    }
}

bool verb_status(struct cli *cli, struct err *err)
{
    static const struct print_field first[] = {{"status", "status"}, {NULL, NULL}};
    JSON_AUTO *answer = NULL;
    if (!api_get(&cli->home, API_DESK, "/v1/health", &answer, err)) {
        /* A daemon in which nothing runs answers 503, with its health all the same. */
        if (!json_is_string(json_object_get(api_problem(err), "status"))) return false;
        answer = json_incref((json_t *)api_problem(err));
        cli->status = err_row(ERR_UNAVAILABLE)->exit;
    }
    if (cli->json) {
        print_json(answer);
        return true;
    }
    print_fields(answer, first);
    print_members(answer, "", "status");
    return true;
}

bool verb_reload(struct cli *cli, struct err *err)
{
    JSON_AUTO *answer = NULL;
    if (!api_post(&cli->home, "/v1/reload", NULL, &answer, err)) return false;
    if (cli->json)
        print_json(answer);
    else
        puts("Reloaded.");
    return true;
}

/* The file is what counts; the record follows when somebody is there to write it. */
static bool record_freeze(struct cli *cli, bool on, bool now)
{
    struct err err = {0};
    JSON_AUTO *answer = NULL, *body = json_pack("{s:b,s:b}", "on", on, "now", now);
    if (api_post(&cli->home, "/v1/freeze-record", body, &answer, &err)) return true;
    fputs("caisson: this stands, but could not be recorded: ", stderr);
    print_tame(err.text, stderr);
    fputc('\n', stderr);
    return false;
}

static void report_freeze(const struct cli *cli, bool frozen, bool recorded)
{
    JSON_AUTO *report = json_pack("{s:b,s:b}", "frozen", frozen, "recorded", recorded);
    if (cli->json)
        print_json(report);
    else
        puts(frozen ? "Frozen: no new call runs until caisson thaw." : "Thawed: calls run again.");
}

bool verb_freeze(struct cli *cli, struct err *err)
{
    FD_AUTO folder = -1;
    bool now = cli_value(cli, "now");
    if (!home_open(&cli->home, &folder, err)) return false;
    if (!file_put(folder, "freeze", now ? "now\n" : "", now ? 4 : 0, err)) return err_in(err, "freezing");
    report_freeze(cli, true, record_freeze(cli, true, now));
    return true;
}

bool verb_thaw(struct cli *cli, struct err *err)
{
    FD_AUTO folder = -1;
    if (!home_open(&cli->home, &folder, err)) return false;
    if (unlinkat(folder, "freeze", 0) < 0 && errno != ENOENT)
        return err_sys(err, errno == EACCES ? ERR_DENIED : ERR_IO, "cannot take the file freeze away: %s",
                       strerrordesc_np(errno));
    report_freeze(cli, false, record_freeze(cli, false, false));
    return true;
}

bool verb_completion(struct cli *cli, struct err *err)
{
    if (strcmp(cli->arguments[0], "bash") != 0) return err_set(err, ERR_USAGE, "completion is there for bash only");
    cli_complete_bash(stdout);
    return true;
}
