/* SPDX-License-Identifier: Apache-2.0 */
/* From the options of caisson plugin enable to the text of a drop-in. */
#include "enabling.h"

#include <stdio.h>
#include <string.h>

#include "base/auto_json.h"
#include "print.h"
#include "runtime/loader/check.h"

enum { VALUES = CLI_VALUES, ASKS = 64, RULE = 400 };

/* ── texts ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool set_one(struct enabling *enabling, const char *section, const char *key, const char *value, struct err *err)
{
    return dropin_set(&enabling->dropin.text, section, key, &value, 1, err);
}

static size_t all_of(const struct cli *cli, const char *option, const char *values[VALUES])
{
    size_t count = 0;
    unsigned at = 0;
    for (const char *value; count < VALUES && (value = cli_next(cli, option, &at));) values[count++] = value;
    return count;
}

/* "key=value" of an option, taken apart. */
static bool split(const char *pair, const char *option, char key[INI_NAME], const char **value, struct err *err)
{
    const char *equals = strchr(pair, '=');
    size_t length = equals ? (size_t)(equals - pair) : 0;
    if (length == 0 || length >= INI_NAME || !equals[1]) return err_set(err, ERR_USAGE, "--%s wants KEY=VALUE", option);
    snprintf(key, INI_NAME, "%.*s", (int)length, pair);
    for (size_t i = 0; i < length; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", key[i]))
            return err_set(err, ERR_USAGE, "--%s: a key has letters, digits, - _ . only", option);
    *value = equals + 1;
    return true;
}

/* ── settings ──────────────────────────────────────────────────────────────────────────────────────── */

/* The same key twice is a list, so each key is set once with all of its values. */
static bool set_pairs(struct enabling *enabling, const char *option, const char *section, struct err *err)
{
    const char *pairs[VALUES], *values[VALUES], *value;
    char key[INI_NAME], other[INI_NAME];
    size_t count = all_of(enabling->cli, option, pairs);
    for (size_t i = 0; i < count; i++) {
        size_t same = 0;
        if (!split(pairs[i], option, key, &value, err)) return false;
        for (size_t j = 0; j < count; j++)
            if (split(pairs[j], option, other, &value, err) && strcmp(key, other) == 0) values[same++] = value;
        if (!dropin_set(&enabling->dropin.text, section, key, values, same, err)) return err_in(err, "--%s", option);
    }
    return true;
}

static bool known_setting(const struct enabling *enabling, const char *key)
{
    const json_t *schema = json_object_get(enabling->plugin.manifest, "settings");
    return json_object_get(json_object_get(schema, "properties"), key);
}

static bool check_settings(const struct enabling *enabling, struct err *err)
{
    unsigned at = 0;
    char key[INI_NAME];
    const char *value;
    for (const char *pair; (pair = cli_next(enabling->cli, "set", &at));) {
        if (!split(pair, "set", key, &value, err)) return false;
        if (!known_setting(enabling, key))
            return err_set(err, ERR_BAD_INPUT, "%s has no setting named %s: caisson plugin inspect lists them",
                           enabling->plugin.name, key);
    }
    return true;
}

static bool check_grants(const struct enabling *enabling, struct err *err)
{
    static const char *const known[] = {"MemoryMax", "CpuMax",    "TimeMax",     "OutputMax",   "LogMax",
                                        "Dials",     "UploadMax", "DownloadMax", "Concurrency", "LeaseCalls",
                                        "LeaseAge",  "LeaseIdle", "Spares"};
    unsigned at = 0;
    char key[INI_NAME];
    const char *value;
    for (const char *pair; (pair = cli_next(enabling->cli, "grant", &at));) {
        size_t i = 0;
        if (!split(pair, "grant", key, &value, err)) return false;
        while (i < sizeof known / sizeof *known && strcmp(known[i], key) != 0) i++;
        if (i == sizeof known / sizeof *known)
            return err_set(err, ERR_USAGE, "--grant: there is no %s; plugins.d(5) lists what there is", key);
    }
    return true;
}

/* ── egress ────────────────────────────────────────────────────────────────────────────────────────── */

/* The settings as they will stand in the drop-in, for filling {names} in. */
static json_t *settings_of(const struct buf *text)
{
    INI_AUTO ini = {0};
    struct err ignored;
    json_t *settings = json_object();
    if (!ini_parse(&ini, text->bytes ? text->bytes : "", text->used, "drop-in", &ignored)) return settings;
    for (const struct ini_item *item = NULL; (item = ini_each(&ini, "Settings", NULL, item));)
        json_object_set_new(settings, item->key, json_string(item->value));
    return settings;
}

/* What the manifest asks for and can be granted as it stands. */
static bool grant_asks(struct enabling *enabling, struct err *err)
{
    static char rules[ASKS][RULE];
    const char *values[ASKS];
    JSON_AUTO *settings = settings_of(&enabling->dropin.text);
    size_t i, count = 0;
    json_t *ask;
    json_array_foreach(json_object_get(enabling->plugin.manifest, "egress"), i, ask)
    {
        const char *text = json_string_value(ask);
        if (!text || count == ASKS) continue;
        bool clear = strncmp(text, "plain://", 8) == 0; /* nobody grants that by saying nothing */
        if (!clear && manifest_fill(enabling->plugin.manifest, text, settings, rules[count], RULE)) {
            values[count] = rules[count];
            count++;
            continue;
        }
        fputs("caisson: not granted: ", stderr);
        print_tame(text, stderr);
        fprintf(stderr, " (%s; --egress grants it)\n", clear ? "it is not encrypted" : "it names no concrete host");
    }
    return dropin_set(&enabling->dropin.text, "Grant", "Egress", values, count, err);
}

static bool granted(const struct ini *ini, const char *ask)
{
    for (const struct ini_item *item = NULL; (item = ini_each(ini, "Grant", "Egress", item));)
        if (loader_meets(ask, item->value)) return true;
    return false;
}

/* Other settings may ask for other hosts than were granted. Nobody grants those by naming a setting; but whoever does
 * should hear why the connector will not reach them. What was not granted before is known. */
static void tell_ungranted(const struct enabling *enabling)
{
    const json_t *manifest = enabling->plugin.manifest;
    const struct buf *text = &enabling->dropin.text;
    JSON_AUTO *was = settings_of(&enabling->former), *is = settings_of(text);
    INI_AUTO ini = {0};
    struct err ignored;
    size_t i;
    json_t *ask;
    if (!ini_parse(&ini, text->bytes, text->used, "", &ignored)) return;
    json_array_foreach(json_object_get(manifest, "egress"), i, ask)
    {
        char before[RULE], now[RULE];
        const char *asked = json_string_value(ask);
        if (!asked || !manifest_fill(manifest, asked, is, now, RULE) || granted(&ini, now)) continue;
        if (manifest_fill(manifest, asked, was, before, RULE) && !granted(&ini, before)) continue;
        fputs("caisson: not granted: ", stderr);
        print_tame(now, stderr);
        fputs(" (what was granted stays; --egress names all that is granted instead)\n", stderr);
    }
}

static bool set_egress(struct enabling *enabling, struct err *err)
{
    const char *values[VALUES];
    size_t count = all_of(enabling->cli, "egress", values);
    if (count == 0 && enabling->fresh) return grant_asks(enabling, err);
    if (count == 0) {
        tell_ungranted(enabling);
        return true;
    }
    if (count == 1 && strcmp(values[0], "none") == 0) count = 0;
    return dropin_set(&enabling->dropin.text, "Grant", "Egress", values, count, err);
}

/* ── the drop-in ───────────────────────────────────────────────────────────────────────────────────── */

static bool set_ca(struct enabling *enabling, struct err *err)
{
    char name[NAME_BYTES + 8];
    enabling_ca(enabling, name);
    return !cli_value(enabling->cli, "ca") || set_one(enabling, "Grant", "CAFile", name, err);
}

static bool set_lists(struct enabling *enabling, struct err *err)
{
    static const char *const rows[][2] = {{"ranges", "AddressRanges"}, {"workspaces", "Workspaces"}};
    const char *values[VALUES];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t count = all_of(enabling->cli, rows[i][0], values);
        if (count && !dropin_set(&enabling->dropin.text, "Grant", rows[i][1], values, count, err)) return false;
    }
    return true;
}

static bool set_capture(struct enabling *enabling, struct err *err)
{
    static const char *const words[] = {"none", "input", "reply", "input reply"};
    const char *capture = cli_value(enabling->cli, "capture");
    if (!capture) return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i], capture) == 0) return set_one(enabling, "Grant", "Capture", capture, err);
    return err_set(err, ERR_USAGE, "--capture is none, input, reply or \"input reply\"");
}

static bool set_words(struct enabling *enabling, struct err *err)
{
    const char *isolation = cli_value(enabling->cli, "isolation");
    if (isolation && strcmp(isolation, "call") != 0 && strcmp(isolation, "lease") != 0)
        return err_set(err, ERR_USAGE, "--isolation is call or lease");
    if (isolation && !set_one(enabling, "Grant", "Isolation", isolation, err)) return false;
    if (!set_capture(enabling, err)) return false;
    return !cli_value(enabling->cli, "any-host") || set_one(enabling, "Grant", "AllowAnyHost", "yes", err);
}

static bool set_plugin(struct enabling *enabling, const char *path, struct err *err)
{
    return set_one(enabling, "Plugin", "Name", enabling->name, err) && set_one(enabling, "Plugin", "Path", path, err) &&
           set_one(enabling, "Plugin", "Digest", enabling->plugin.digest, err) &&
           set_one(enabling, "Plugin", "ManifestDigest", enabling->plugin.manifest_digest, err) &&
           set_one(enabling, "Plugin", "Enabled", "yes", err);
}

bool enabling_compose(struct enabling *enabling, const char *path, struct err *err)
{
    return set_plugin(enabling, path, err) && set_pairs(enabling, "set", "Settings", err) &&
           set_egress(enabling, err) && set_ca(enabling, err) && set_lists(enabling, err) && set_words(enabling, err) &&
           set_pairs(enabling, "grant", "Grant", err);
}

bool enabling_check(const struct enabling *enabling, struct err *err)
{
    return check_settings(enabling, err) && check_grants(enabling, err);
}

void enabling_ca(const struct enabling *enabling, char name[NAME_BYTES + 8])
{
    snprintf(name, NAME_BYTES + 8, "%.59s.pem", enabling->name);
}
