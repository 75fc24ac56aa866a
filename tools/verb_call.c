/* SPDX-License-Identifier: Apache-2.0 */
/* One call, and the calls that were. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "base/auto.h"
#include "base/json.h"
#include "pages.h"
#include "print.h"
#include "source.h"
#include "verbs.h"

enum { INPUT_MOST = 32 * 1024 * 1024 };

static bool read_input(const char *from, json_t **input, struct err *err)
{
    BUF_AUTO text;
    buf_init(&text, INPUT_MOST);
    bool good = !from                                    ? buf_text(&text, "{}")
                : *from == '@' || strcmp(from, "-") == 0 ? source_read(from, &text, err)
                                                         : buf_text(&text, from);
    if (!good && from && *from != '@' && strcmp(from, "-") != 0) return err_set(err, ERR_TOO_LARGE, "--input");
    if (!good) return err_in(err, "--input");
    if (!json_read(text.bytes, text.used, INPUT_MOST, input, err)) return err_in(err, "--input");
    return true;
}

/* "1500" and nothing else. */
static bool read_number(const char *text, long most, long *number)
{
    char *end;
    errno = 0;
    *number = strtol(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *number > 0 && *number <= most;
}

static void print_call(const json_t *answer)
{
    static const struct print_field fields[] = {{"call", "call_id"},  {"class", "class"},       {"sent", "sent"},
                                                {"reason", "reason"}, {"replayed", "replayed"}, {NULL, NULL}};
    print_fields(answer, fields);
    const json_t *output = json_object_get(answer, "answer");
    if (output && !json_is_null(output)) print_json(output);
}

static json_t *call_body(const struct cli *cli, json_t *input, long timeout)
{
    const char *workspace = cli_value(cli, "workspace"), *credential = cli_value(cli, "credential");
    json_t *body = json_pack("{s:s,s:s,s:O}", "connector", cli->arguments[0], "action", cli->arguments[1], "input",
                             input);
    if (workspace) json_object_set_new(body, "workspace", json_string(workspace));
    if (credential) json_object_set_new(body, "credential", json_string(credential));
    unsigned at = 0;
    json_t *subjects = json_array();
    for (const char *who; (who = cli_next(cli, "subject", &at));) json_array_append_new(subjects, json_string(who));
    if (json_array_size(subjects)) json_object_set(body, "subjects", subjects);
    json_decref(subjects);
    if (timeout) json_object_set_new(body, "timeout_ms", json_integer(timeout));
    return body;
}

bool verb_call(struct cli *cli, struct err *err)
{
    enum { DAY_MS = 24 * 3600 * 1000, USUAL_S = 900 };
    long timeout = 0;
    const char *given = cli_value(cli, "timeout");
    JSON_AUTO *input = NULL, *answer = NULL;
    if (given && !read_number(given, DAY_MS, &timeout))
        return err_set(err, ERR_USAGE, "--timeout is a number of milliseconds, 1 to %d", DAY_MS);
    if (!read_input(cli_value(cli, "input"), &input, err)) return false;

    JSON_AUTO *body = call_body(cli, input, timeout);
    struct api_request request = {.socket = API_CALLS,
                                  .method = "POST",
                                  .path = "/v1/calls",
                                  .body = body,
                                  .key = cli_value(cli, "key"),
                                  .timeout_s = timeout ? timeout / 1000 + 30 : USUAL_S};
    if (!body || !api_send(&cli->home, &request, &answer, err)) return false;
    if (cli->json)
        print_json(answer);
    else
        print_call(answer);
    return true;
}

bool verb_calls_list(struct cli *cli, struct err *err)
{
    static const char *const filters[] = {"workspace", "connector", "class"};
    static const struct print_field fields[] = {{"CALL", "call_id"},  {"BEGUN", "begun"},   {"CONNECTOR", "connector"},
                                                {"ACTION", "action"}, {"TRY", "attempt"},   {"CLASS", "class"},
                                                {"SENT", "sent"},     {"REASON", "reason"}, {NULL, NULL}};
    const char *limit = cli_value(cli, "limit");
    char path[API_PATH];
    api_path(path, "/v1/calls", NULL);
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        api_query(path, filters[i], cli_value(cli, filters[i]));
    struct pages pages = {
        .path = path, .cursor = "before", .from = cli_value(cli, "before"), .limit = limit ? limit : "50"};
    return pages_show(cli, &pages, fields, "No calls.", err);
}

bool verb_calls_show(struct cli *cli, struct err *err)
{
    static const struct print_field fields[] = {{"call", "call_id"},          {"workspace", "workspace"},
                                                {"connector", "connector"},   {"action", "action"},
                                                {"credential", "credential"}, {NULL, NULL}};
    static const struct print_field columns[] = {
        {"ATTEMPT", "attempt"}, {"STATE", "state"}, {"CLASS", "class"},   {"SENT", "sent"},       {"REASON", "reason"},
        {"BEGUN", "begun"},     {"ENDED", "ended"}, {"INTENT", "intent"}, {"OUTCOME", "outcome"}, {NULL, NULL}};
    JSON_AUTO *answer = NULL;
    char path[API_PATH];
    api_path(path, "/v1/calls/", cli->arguments[0]);
    if (!api_get(&cli->home, API_DESK, path, &answer, err)) return false;
    if (cli->json) {
        print_json(answer);
        return true;
    }
    print_fields(answer, fields);
    print_rows(json_object_get(answer, "attempts"), columns, "No attempts.");
    return true;
}

static bool act(struct cli *cli, const char *what, const char *done, struct err *err)
{
    const char *reason = cli_value(cli, "reason");
    JSON_AUTO *answer = NULL, *body = reason ? json_pack("{s:s}", "reason", reason) : json_object();
    char path[API_PATH];
    api_path(path, "/v1/calls/", cli->arguments[0]);
    strncat(path, what, sizeof path - strlen(path) - 1);
    if (!api_post(&cli->home, path, body, &answer, err)) return false;
    if (cli->json)
        print_json(answer);
    else
        puts(done);
    return true;
}

bool verb_calls_retry(struct cli *cli, struct err *err)
{
    return act(cli, "/retry", "The key is free for one more attempt: repeat the call with the same key and input.",
               err);
}

bool verb_calls_cancel(struct cli *cli, struct err *err)
{
    return act(cli, "/cancel", "Cancelled.", err);
}
