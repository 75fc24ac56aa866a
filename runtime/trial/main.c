/* SPDX-License-Identifier: Apache-2.0 */
/* caisson-trial: what "caisson connector test" starts. */
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/json.h"
#include "base/schema.h"
#include "trial.h"

/* ── words ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool keep_word(const char **list, unsigned *count, const char *text, struct err *err)
{
    if (*count == TRIAL_OPTIONS) return err_set(err, ERR_USAGE, "too many options");
    list[(*count)++] = text;
    return true;
}

static bool take_option(int option, const char *text, struct trial_words *words, struct err *err)
{
    switch (option) {
    case 'j': words->json = true; return true;
    case 'c': words->ca = text; return true;
    case 's': return keep_word(words->settings, &words->setting_count, text, err);
    case 'f': return keep_word(words->fields, &words->field_count, text, err);
    case 'p':
        if (words->peer_count == TRIAL_PEERS) return err_set(err, ERR_USAGE, "too many peers");
        return peers_parse(text, &words->peers[words->peer_count++]) ||
               err_set(err, ERR_USAGE, "--peer wants HOST:PORT or HOST:PORT=ADDRESS:PORT");
    default: return err_set(err, ERR_USAGE, "an option is not known");
    }
}

/* PLUGIN.so [MANIFEST] [ACTION INPUT]…: what is left over from pairs is the manifest. */
static bool take_words(int count, char **list, struct trial_words *words, struct err *err)
{
    static const struct option options[] = {{"json", 0, NULL, 'j'},  {"ca", 1, NULL, 'c'},   {"set", 1, NULL, 's'},
                                            {"field", 1, NULL, 'f'}, {"peer", 1, NULL, 'p'}, {0}};
    for (int option; (option = getopt_long(count, list, "", options, NULL)) != -1;)
        if (!take_option(option, optarg, words, err)) return false;
    int left = count - optind;
    if (left < 1) return err_set(err, ERR_USAGE, "which connector?");
    words->plugin = list[optind];
    bool named = left % 2 == 0;
    words->manifest = named ? list[optind + 1] : NULL;
    words->calls = list + optind + 1 + named;
    words->call_count = (unsigned)(left - 1 - named) / 2;
    return true;
}

static bool own_folder(char folder[TRIAL_PATH], struct err *err)
{
    ssize_t length = readlink("/proc/self/exe", folder, TRIAL_PATH - 1);
    if (length <= 0) return err_sys(err, ERR_IO, "this program cannot find its own place: is /proc mounted?");
    folder[length] = '\0';
    *strrchr(folder, '/') = '\0';
    return true;
}

/* ── output ──────────────────────────────────────────────────────────────────────────────────────────── */

static void print_value(const json_t *value, size_t flags)
{
    FREE_AUTO char *text = json_dumps(value, flags | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    puts(text ? text : "null");
}

static void print_log(const json_t *log)
{
    size_t i;
    json_t *line;
    json_array_foreach((json_t *)log, i, line)
    {
        FREE_AUTO char *text = json_dumps(json_object_get(line, "text"), JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        printf("  log %s: %s\n", json_string_value(json_object_get(line, "level")), text ? text : "?");
    }
}

static void print_result(const struct trial *trial, const json_t *result)
{
    const char *action = json_string_value(json_object_get(result, "action"));
    const char *text = json_string_value(json_object_get(result, "text"));
    const json_t *answer = json_object_get(result, "answer");
    char who[2 * NAME_BYTES];
    size_t i;
    json_t *refused;
    snprintf(who, sizeof who, "%s%s%s", trial->name, action ? "/" : "", action ? action : "");
    json_array_foreach(json_object_get(result, "refused"), i, refused) tell_refusal(who, refused, stderr);
    const char *class = json_string_value(json_object_get(result, "class"));
    printf("%s: %s%s", who, !action && strcmp(class, "ok") == 0 ? "it can be loaded" : class,
           text && *text ? ": " : "\n");
    if (text && *text) print_value(json_object_get(result, "text"), 0);
    print_log(json_object_get(result, "log"));
    if (json_object_size(answer)) print_value(answer, JSON_INDENT(2) | JSON_SORT_KEYS);
}

/* ── calls ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool read_input(const struct trial_action *action, const char *from, json_t **input, struct err *err)
{
    BUF_AUTO text = {0};
    char pointer[SCHEMA_POINTER];
    if (from[0] == '{')
        buf_init(&text, TRIAL_INPUT), buf_text(&text, from);
    else if (!trial_read(from, TRIAL_INPUT, &text, err))
        return false;
    if (!json_read(text.bytes ? text.bytes : "", text.used, TRIAL_INPUT, input, err))
        return err_in(err, "%.100s", from);
    return schema_validate(action->input, *input, pointer, err) || err_in(err, "the input of %s", action->name);
}

static const struct trial_action *find_action(const struct trial *trial, const char *name)
{
    for (unsigned i = 0; i < trial->action_count; i++)
        if (strcmp(trial->actions[i].name, name) == 0) return &trial->actions[i];
    return NULL;
}

/* words: ACTION and INPUT, or NULL: it is only loaded. */
static bool one_call(struct trial *trial, char **words, json_t *results, struct err *err)
{
    JSON_AUTO *input = NULL, *result = NULL;
    const struct trial_action *action = words ? find_action(trial, words[0]) : NULL;
    if (words && !action) return err_set(err, ERR_USAGE, "the manifest has no action %.60s", words[0]);
    if (words && !read_input(action, words[1], &input, err)) return err->kind = ERR_USAGE, false;
    if (!trial_call(trial, action, input, &result, err)) return false;
    if (!trial->words->json) print_result(trial, result);
    return json_array_append(results, result) == 0 || err_set(err, ERR_BUSY, "there is no memory");
}

static int exit_code(const json_t *results)
{
    int code = TRIAL_OK;
    size_t i;
    json_t *result;
    json_array_foreach((json_t *)results, i, result)
    {
        bool killed = strcmp(json_string_value(json_object_get(result, "class")), "violation") == 0;
        if (killed || json_array_size(json_object_get(result, "refused"))) return TRIAL_REFUSED;
        if (strcmp(json_string_value(json_object_get(result, "class")), "ok") != 0) code = TRIAL_FAILED;
    }
    return code;
}

static bool all_calls(struct trial *trial, json_t *results, struct err *err)
{
    if (!trial->words->call_count) return one_call(trial, NULL, results, err);
    for (unsigned i = 0; i < trial->words->call_count; i++)
        if (!one_call(trial, trial->words->calls + 2 * i, results, err)) return false;
    return true;
}

/* The cell ends with its channel; it is waited for, so that nothing of a trial is left behind. */
static void end_cell(struct trial *trial)
{
    close_fd(&trial->channel);
    if (trial->cell > 0) {
        syscall(SYS_pidfd_send_signal, trial->pidfd, SIGKILL, NULL, 0);
        waitpid(trial->cell, NULL, 0);
    }
}

int main(int count, char **list)
{
    static struct trial_words words;
    static struct trial trial = {.words = &words, .plugin = -1, .pidfd = -1, .channel = -1, .signals = -1};
    struct err err = {0};
    JSON_AUTO *results = json_array();
    bool good = take_words(count, list, &words, &err) && own_folder(trial.folder, &err) && trial_load(&trial, &err) &&
                trial_cell(&trial, &err) && all_calls(&trial, results, &err);
    end_cell(&trial);
    if (words.json && good) print_value(results, JSON_INDENT(2) | JSON_SORT_KEYS);
    if (!good) fprintf(stderr, "caisson: %s\n", err.text);
    if (!good) return err.kind == ERR_USAGE ? TRIAL_USAGE : TRIAL_FAILED;
    return fflush(stdout) == 0 ? exit_code(results) : TRIAL_FAILED;
}
