/* SPDX-License-Identifier: Apache-2.0 */
/* [Push] of caisson.conf: where checkpoints go. Each line begins with the name that the place has in the log. */
#include <string.h>

#include "base/ids.h"
#include "base/text.h"
#include "config_row.h"
#include "words.h"

enum { URL_MOST = 1000, VKEY_MOST = 220, REQUIRED_MOST = CONFIG_PUSH };

/* ── the object that the ledger gets ───────────────────────────────────────────────────────────────── */

static json_t *push_object(struct config *config)
{
    return config_member(config->parts[ROLE_LEDGER], "push", json_object());
}

static json_t *member_list(struct config *config, const char *name)
{
    json_t *push = push_object(config);
    return push ? config_member(push, name, json_array()) : NULL;
}

static bool taken(const json_t *list, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one)
    {
        if (strcmp(json_string_value(json_object_get(one, "name")), name) == 0) return true;
    }
    return false;
}

/* A new place of that name and kind, in the list of all; NULL with err. */
static json_t *add_sink(struct config *config, const struct row *row, const char *name, const char *kind,
                        struct err *err)
{
    json_t *list = member_list(config, "sinks");
    if (!list) return config_no_memory(err), NULL;
    if (!name_valid(name))
        return config_refuse(err, row, "must begin with a name: a-z 0-9 - _ . , first a letter"), NULL;
    if (taken(list, name))
        return err_set(err, ERR_BAD_INPUT, "%s=%s: another place has this name", row->key, name), NULL;
    if (json_array_size(list) >= CONFIG_PUSH) return config_refuse(err, row, "names more than 16 places"), NULL;
    json_t *sink = json_pack("{s:s, s:s}", "name", name, "kind", kind);
    if (!sink || json_array_append_new(list, sink) < 0) return config_no_memory(err), NULL;
    return sink;
}

/* The next word of a line; NULL: there is none. */
static char *next_word(char **rest)
{
    char *word;
    while ((word = strsep(rest, " \t")))
        if (*word) return word;
    return NULL;
}

/* ── files, syslog ─────────────────────────────────────────────────────────────────────────────────── */

/* File=NAME PATH, Syslog=NAME [PATH] */
bool config_take_push_path(const struct row *row, const char *value, struct config *config, struct err *err)
{
    char text[CONFIG_PATH + NAME_BYTES], *rest = text;
    bool syslog = strcmp(row->name, "syslog") == 0;
    if (!TEXT_COPY(text, value)) return config_refuse(err, row, "is too long");
    const char *name = next_word(&rest), *path = name ? next_word(&rest) : NULL;
    if (!path && syslog) path = "/dev/log";
    if (!name || !path || path[0] != '/' || next_word(&rest))
        return config_refuse(
            err, row, syslog ? "must be NAME, or NAME and an absolute path" : "must be NAME and an absolute path");
    if (config->push_count == CONFIG_PUSH) return config_refuse(err, row, "names more than 16 places");
    if (!add_sink(config, row, name, row->name, err)) return false;
    struct config_push *push = &config->push[config->push_count++];
    push->syslog = syslog;
    return (TEXT_COPY(push->name, name) && TEXT_COPY(push->path, path)) || config_refuse(err, row, "is too long");
}

/* ── webhooks, witnesses ───────────────────────────────────────────────────────────────────────────── */

/* What may follow: workspace=NAME credential=NAME */
static bool take_options(json_t *sink, const struct row *row, char *rest, struct err *err)
{
    static const char *const keys[] = {"workspace", "credential"};
    if (!config_keep_in(sink, "workspace", json_string("default"), err)) return false;
    for (char *word; (word = next_word(&rest));) {
        char *value = strchr(word, '=');
        size_t i = 0;
        if (value) *value++ = '\0';
        while (i < 2 && strcmp(word, keys[i]) != 0) i++;
        if (!value || i == 2 || !name_valid(value))
            return config_refuse(err, row, "may end with workspace=NAME and credential=NAME");
        if (!config_keep_in(sink, keys[i], json_string(value), err)) return false;
    }
    return true;
}

/* CONNECTOR/ACTION; usual: the action where none is named. */
static bool take_call(json_t *sink, const struct row *row, char *word, const char *usual, struct err *err)
{
    char *slash = strchr(word, '/');
    const char *action = slash ? slash + 1 : usual;
    if (slash) *slash = '\0';
    if (!name_valid(word) || !name_valid(action))
        return config_refuse(err, row, "must name CONNECTOR or CONNECTOR/ACTION");
    return config_keep_in(sink, "connector", json_string(word), err) &&
           config_keep_in(sink, "action", json_string(action), err);
}

static bool take_url(json_t *sink, const struct row *row, const char *url, struct err *err)
{
    size_t length = strlen(url);
    bool good = (strncmp(url, "https://", 8) == 0 && length > 8) || (strncmp(url, "http://", 7) == 0 && length > 7);
    for (size_t i = 0; i < length; i++) good = good && url[i] > ' ' && url[i] <= '~' && url[i] != '"' && url[i] != '\\';
    if (!good || length > URL_MOST) return config_refuse(err, row, "needs a URL like https://host/path");
    return config_keep_in(sink, "url", json_string(url), err);
}

/* Webhook=NAME CONNECTOR[/ACTION] URL [workspace=NAME] [credential=NAME] */
bool config_take_webhook(const struct row *row, const char *value, struct config *config, struct err *err)
{
    char text[4096], *rest = text;
    if (!TEXT_COPY(text, value)) return config_refuse(err, row, "is too long");
    const char *name = next_word(&rest);
    char *call = name ? next_word(&rest) : NULL;
    const char *url = call ? next_word(&rest) : NULL;
    if (!url) return config_refuse(err, row, "must be NAME CONNECTOR URL");
    json_t *sink = add_sink(config, row, name, "webhook", err);
    return sink && take_call(sink, row, call, "post", err) && take_url(sink, row, url, err) &&
           take_options(sink, row, rest, err);
}

static bool hexadecimal(const char *text, size_t count)
{
    return strspn(text, "0123456789abcdef") >= count;
}

/* NAME+HASH+KEY; that they fit together is for the ledger to see. */
static bool vkey_shaped(const char *vkey)
{
    const char *plus = strchr(vkey, '+');
    return plus && plus != vkey && strlen(vkey) <= VKEY_MOST && hexadecimal(plus + 1, 8) && plus[9] == '+' &&
           strlen(plus + 10) == 44;
}

/* Witness=NAME CONNECTOR[/ACTION] VKEY URL [workspace=NAME] [credential=NAME] */
bool config_take_witness(const struct row *row, const char *value, struct config *config, struct err *err)
{
    char text[4096], *rest = text;
    if (!TEXT_COPY(text, value)) return config_refuse(err, row, "is too long");
    const char *name = next_word(&rest);
    char *call = name ? next_word(&rest) : NULL;
    const char *vkey = call ? next_word(&rest) : NULL, *url = vkey ? next_word(&rest) : NULL;
    if (!url) return config_refuse(err, row, "must be NAME CONNECTOR VKEY URL");
    if (!vkey_shaped(vkey)) return config_refuse(err, row, "needs the witness's verifier key, NAME+HASH+KEY");
    json_t *sink = add_sink(config, row, name, "witness", err);
    return sink && take_call(sink, row, call, "add-checkpoint", err) &&
           config_keep_in(sink, "vkey", json_string(vkey), err) && take_url(sink, row, url, err) &&
           take_options(sink, row, rest, err);
}

/* ── the rest ──────────────────────────────────────────────────────────────────────────────────────── */

/* Seconds, also written as 60s or 5min. */
bool config_take_every(const struct row *row, const char *value, struct config *config, struct err *err)
{
    char digits[16];
    uint32_t number;
    size_t count = strspn(value, "0123456789");
    const char *unit = value + count;
    uint32_t factor = !*unit || strcmp(unit, "s") == 0 ? 1
                      : strcmp(unit, "min") == 0       ? 60
                      : strcmp(unit, "h") == 0         ? 3600
                                                       : 0;
    if (!count || count >= sizeof digits || !factor) return config_refuse(err, row, "must be a time like 60s or 5min");
    memcpy(digits, value, count);
    digits[count] = '\0';
    if (!word_number(digits, 10, &number) || number > row->most / factor || number * factor < row->least)
        return config_refuse(err, row, "must be from 60 seconds to 24 hours");
    json_t *push = push_object(config);
    return push ? config_keep_in(push, "every", json_integer((json_int_t)number * factor), err) : config_no_memory(err);
}

bool config_take_required(const struct row *row, const char *value, struct config *config, struct err *err)
{
    char text[4096], *rest = text;
    json_t *list = member_list(config, "required");
    if (!list) return config_no_memory(err);
    if (!TEXT_COPY(text, value)) return config_refuse(err, row, "is too long");
    for (char *word; (word = next_word(&rest));) {
        if (json_array_size(list) >= REQUIRED_MOST) return config_refuse(err, row, "has too many values");
        if (json_array_append_new(list, json_string(word)) < 0) return config_no_memory(err);
    }
    return true;
}

bool config_check_push(const struct config *config, struct err *err)
{
    const json_t *push = json_object_get(config->parts[ROLE_LEDGER], "push");
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(push, "required"), i, one)
    {
        if (!taken(json_object_get(push, "sinks"), json_string_value(one)))
            return err_set(err, ERR_BAD_INPUT, "[Push] Required=%s names no place of that section",
                           json_string_value(one));
    }
    return true;
}
