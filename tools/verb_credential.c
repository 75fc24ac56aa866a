/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials from the command line: what is given, what is asked for, what is shown of them. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "api.h"
#include "audience.h"
#include "base/auto.h"
#include "base/auto_json.h"
#include "base/json.h"
#include "base/text.h"
#include "filling.h"
#include "grant.h"
#include "keys.h"
#include "pages.h"
#include "print.h"
#include "source.h"
#include "verbs.h"

enum { VALUE_MOST = sizeof((struct submission *)0)->bytes };

/* ── values ────────────────────────────────────────────────────────────────────────────────────────── */

static bool secret(const json_t *field)
{
    return !json_is_false(json_object_get(field, "secret"));
}

static bool prompt(const json_t *field, const char *name, struct buf *value, struct err *err)
{
    char question[NAME_BYTES + 200];
    FREE_AUTO char *summary = NULL;
    const char *text = json_string_value(json_object_get(field, "summary"));
    if (text) summary = print_tamed(text);
    snprintf(question, sizeof question, "%s%s%.150s%s", name, summary ? " (" : "", summary ? summary : "",
             summary ? ")" : "");
    return source_prompt(question, secret(field), value, err);
}

/* text: what stands behind "FIELD="; NULL: nothing does. */
static bool take_value(const json_t *field, const char *name, const char *text, struct buf *value, struct err *err)
{
    if (!text) return prompt(field, name, value, err);
    if (*text == '@' || strcmp(text, "-") == 0) {
        if (!source_read(text, value, err)) return false;
        source_chomp(value);
        return true;
    }
    if (secret(field))
        return err_set(err, ERR_USAGE,
                       "it is secret, and the command line is seen by others and kept by the shell: give %s=@FILE or "
                       "%s=-, or leave it out to be asked; treat what was typed as known",
                       name, name);
    return buf_text(value, text) || err_set(err, ERR_TOO_LARGE, "%s is too long", name);
}

static bool add_field(struct filling *filling, const char *name, const char *text, struct err *err)
{
    const json_t *field = json_named(filling->fields, name);
    BUF_AUTO value;
    buf_init(&value, VALUE_MOST);
    if (!field)
        return err_set(err, ERR_BAD_INPUT, "the connector %s has no credential field %.63s",
                       filling->submission->connector, name);
    if (!take_value(field, name, text, &value, err)) return err_in(err, "%s", name);
    if (value.used == 0) return err_set(err, ERR_BAD_INPUT, "the field %s is empty", name);
    return keys_add_field(filling->submission, name, value.bytes, value.used, err);
}

static bool add_argument(struct filling *filling, const char *argument, struct err *err)
{
    char name[NAME_BYTES];
    const char *equals = strchr(argument, '=');
    size_t length = equals ? (size_t)(equals - argument) : strlen(argument);
    if (length == 0 || length >= sizeof name)
        return err_set(err, ERR_USAGE, "what follows the name is FIELD=@FILE, FIELD=-, FIELD or FIELD=VALUE");
    memcpy(name, argument, length);
    name[length] = '\0';
    if (!name_valid(name)) return err_set(err, ERR_USAGE, "a field's name has a-z 0-9 - _ and inner dots");
    return add_field(filling, name, equals ? equals + 1 : NULL, err);
}

static bool add_fields(struct filling *filling, struct err *err)
{
    size_t i;
    json_t *field;
    for (unsigned at = 1; at < filling->cli->argument_count; at++)
        if (!add_argument(filling, filling->cli->arguments[at], err)) return false;
    json_array_foreach(filling->fields, i, field)
    {
        const char *name = json_string_value(json_object_get(field, "name"));
        bool wanted = name && name_valid(name) && !json_is_false(json_object_get(field, "required"));
        if (wanted && !filling_has(filling->submission, name) && !add_field(filling, name, NULL, err)) return false;
    }
    return filling->submission->field_count || err_set(err, ERR_USAGE, "no field is given");
}

/* ── submitting ────────────────────────────────────────────────────────────────────────────────────── */

static bool name_submission(struct filling *filling, const char *connector, struct err *err)
{
    const char *workspace = cli_value(filling->cli, "workspace"), *name = filling->cli->arguments[0];
    workspace = workspace ? workspace : "default";
    if (!name_valid(name) || !name_valid(workspace) || !name_valid(connector))
        return err_set(err, ERR_USAGE, "names have a-z 0-9 - _ and inner dots, first a letter, at most 63");
    TEXT_COPY(filling->submission->credential, name);
    TEXT_COPY(filling->submission->workspace, workspace);
    TEXT_COPY(filling->submission->connector, connector);
    return true;
}

static bool submit(const struct filling *filling, struct err *err)
{
    JSON_AUTO *answer = NULL;
    if (!filling_submit(filling, NULL, &answer, err)) return false;
    if (filling->cli->json)
        print_json(answer);
    else
        printf("%s is stored for %s in the workspace %s.\n", filling->submission->credential,
               filling->submission->connector, filling->submission->workspace);
    return true;
}

static bool fill_and_submit(struct filling *filling, const char *connector, struct err *err)
{
    return name_submission(filling, connector, err) && filling_connector(filling, connector, err) &&
           add_fields(filling, err) && submit(filling, err);
}

/* The structure is locked in memory and wiped on every way out. */
static bool with_submission(struct cli *cli, const char *connector, const char *audience, uint32_t kind,
                            struct err *err)
{
    source_shield();
    if (!key_library(err)) return false;
    struct filling filling = {.cli = cli, .submission = sodium_malloc(sizeof(struct submission))};
    if (!filling.submission) return err_set(err, ERR_IO, "out of memory that can be locked");
    keys_submission(filling.submission);
    snprintf(filling.submission->audience, AUDIENCE_MAX, "%s", audience);
    filling.submission->kind = kind;
    bool good = fill_and_submit(&filling, connector, err);
    sodium_free(filling.submission);
    json_decref(filling.entry);
    json_decref(filling.grant);
    return good || err_in(err, "credential %.63s", cli->arguments[0]);
}

bool verb_credential_set(struct cli *cli, struct err *err)
{
    const char *hosts[AUDIENCE_HOSTS], *connector = cli_value(cli, "connector");
    char audience[AUDIENCE_MAX];
    size_t count = 0;
    uint32_t kind;
    unsigned at = 0;
    if (!connector) return err_set(err, ERR_USAGE, "--connector NAME says what the credential is for");
    if (!grant_kind(cli_value(cli, "kind"), &kind, err)) return false;
    for (const char *host; (host = cli_next(cli, "audience", &at));) {
        if (count == AUDIENCE_HOSTS) return err_set(err, ERR_USAGE, "--audience: too many hosts");
        hosts[count++] = host;
    }
    return audience_text(hosts, count, audience, err) && with_submission(cli, connector, audience, kind, err);
}

static bool get_credential(struct cli *cli, json_t **answer, struct err *err)
{
    char path[API_PATH];
    api_path(path, "/v1/credentials/", cli->arguments[0]);
    api_query(path, "workspace", cli_value(cli, "workspace"));
    return api_get(&cli->home, API_DESK, path, answer, err);
}

bool verb_credential_rotate(struct cli *cli, struct err *err)
{
    JSON_AUTO *answer = NULL;
    char audience[AUDIENCE_MAX], connector[NAME_BYTES];
    uint32_t kind;
    if (!get_credential(cli, &answer, err)) return false;
    const json_t *known = json_object_get(answer, "credential") ? json_object_get(answer, "credential") : answer;
    const char *name = json_string_value(json_object_get(known, "connector"));
    if (!name || !name_valid(name))
        return err_set(err, ERR_INTERNAL, "the daemon did not say which connector it is for");
    TEXT_COPY(connector, name);
    return grant_kind(json_string_value(json_object_get(known, "kind")), &kind, err) &&
           audience_of(json_object_get(known, "audience"), audience, err) &&
           with_submission(cli, connector, audience, kind, err);
}

bool verb_credential_list(struct cli *cli, struct err *err)
{
    static const struct print_field fields[] = {
        {"NAME", "name"},     {"CONNECTOR", "connector"}, {"WORKSPACE", "workspace"}, {"VERSION", "version"},
        {"FIELDS", "fields"}, {"AUDIENCE", "audience"},   {"CHANGED", "changed"},     {NULL, NULL}};
    char path[API_PATH];
    api_path(path, "/v1/credentials", NULL);
    api_query(path, "workspace", cli_value(cli, "workspace"));
    api_query(path, "connector", cli_value(cli, "connector"));
    return pages_show(cli, &(struct pages){.path = path, .cursor = "after"}, fields, "No credentials.", err);
}

bool verb_credential_show(struct cli *cli, struct err *err)
{
    static const struct print_field fields[] = {{"name", "name"},
                                                {"connector", "connector"},
                                                {"workspace", "workspace"},
                                                {"version", "version"},
                                                {"fields", "fields"},
                                                {"audience", "audience"},
                                                {"kind", "kind"},
                                                {"token host", "token_host"},
                                                {"token expires", "token_expires"},
                                                {"created", "created"},
                                                {"changed", "changed"},
                                                {"id", "id"},
                                                {NULL, NULL}};
    JSON_AUTO *answer = NULL;
    if (!get_credential(cli, &answer, err)) return false;
    if (cli->json)
        print_json(answer);
    else
        print_fields(answer, fields);
    return true;
}

bool verb_credential_remove(struct cli *cli, struct err *err)
{
    JSON_AUTO *answer = NULL;
    char path[API_PATH];
    api_path(path, "/v1/credentials/", cli->arguments[0]);
    api_query(path, "workspace", cli_value(cli, "workspace"));
    struct api_request request = {.socket = API_DESK, .method = "DELETE", .path = path};
    if (!api_send(&cli->home, &request, &answer, err)) return false;
    if (cli->json && answer)
        print_json(answer);
    else
        printf("%s is destroyed.\n", cli->arguments[0]);
    return true;
}

/* From the file, like what is sealed here: a key that the daemon tells is what a page must be able to doubt. */
bool verb_credential_vkey(struct cli *cli, struct err *err)
{
    struct keys_public public;
    char text[VKEY_TEXT];
    FD_AUTO folder = -1;
    if (!home_open(&cli->home, &folder, err) || !keys_read_public(folder, &public, err)) return false;
    vkey_text(VAULT_IDENTITY, public.identity, text);
    JSON_AUTO *answer = json_pack("{s:s}", "vkey", text);
    if (cli->json)
        print_json(answer);
    else
        puts(text);
    return true;
}
