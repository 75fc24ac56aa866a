/* SPDX-License-Identifier: Apache-2.0 */
/* The intersection of what is asked and what is given. */
#include "grant.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto_json.h"
#include "base/schema.h"

#include "egress.h"

/* ── settings ──────────────────────────────────────────────────────────────────────────────────────── */

static bool is_yes(const char *text)
{
    return strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;
}

static bool read_integer(const char *text, long long *number)
{
    char *end;
    if (text[strspn(text, "-0123456789")]) return false;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return !errno && end != text && !*end;
}

/* values: the array of texts that the key has. */
static bool fits(const char *type, const json_t *values)
{
    long long number;
    if (strcmp(type, "array") == 0) return true;
    if (json_array_size(values) != 1) return false;
    const char *text = json_string_value(json_array_get(values, 0));
    if (strcmp(type, "boolean") == 0) return is_yes(text) || strcmp(text, "no") == 0 || strcmp(text, "false") == 0;
    return strcmp(type, "string") == 0 || (strcmp(type, "integer") == 0 && read_integer(text, &number));
}

/* They fit; NULL: there is no memory. */
static json_t *typed_value(const char *type, const json_t *values)
{
    const char *text = json_string_value(json_array_get(values, 0));
    long long number = 0;
    if (strcmp(type, "array") == 0) return json_deep_copy(values);
    if (strcmp(type, "string") == 0) return json_string(text);
    if (strcmp(type, "boolean") == 0) return json_boolean(is_yes(text));
    read_integer(text, &number);
    return json_integer(number);
}

static bool fill_given(const json_t *properties, const struct dropin *dropin, json_t *settings, struct err *err)
{
    const char *key;
    json_t *values;
    json_object_foreach(dropin->settings, key, values)
    {
        const json_t *property = json_object_get(properties, key);
        if (!property) return err_set(err, ERR_BAD_INPUT, "the manifest knows no setting \"%s\"", key);
        const char *type = json_string_value(json_object_get(property, "type"));
        if (!type || !fits(type, values))
            return err_set(err, ERR_BAD_INPUT, "the setting \"%s\" must be one %s", key, type ? type : "value");
        if (json_object_set_new(settings, key, typed_value(type, values)) < 0)
            return err_set(err, ERR_BUSY, "there is no memory");
    }
    return true;
}

static bool fill_defaults(const json_t *properties, json_t *settings, struct err *err)
{
    const char *key;
    json_t *property;
    json_object_foreach((json_t *)properties, key, property)
    {
        json_t *preset = json_object_get(property, "default");
        if (!preset || json_object_get(settings, key)) continue;
        if (json_object_set(settings, key, preset) < 0) return err_set(err, ERR_BUSY, "there is no memory");
    }
    return true;
}

bool grant_settings(const struct manifest *manifest, const struct dropin *dropin, json_t **settings, struct err *err)
{
    const json_t *properties = json_object_get(manifest->settings, "properties");
    char pointer[SCHEMA_POINTER];
    JSON_AUTO *filled = json_object();
    if (!filled) return err_set(err, ERR_BUSY, "there is no memory");
    if (!fill_given(properties, dropin, filled, err) || !fill_defaults(properties, filled, err)) return false;
    if (manifest->settings && !schema_validate(manifest->settings, filled, pointer, err))
        return err_in(err, "[Settings]");
    *settings = json_incref(filled);
    return true;
}

/* ── egress ────────────────────────────────────────────────────────────────────────────────────────── */

static bool has_loopback(const struct dropin *dropin)
{
    size_t i;
    json_t *range;
    json_array_foreach(dropin->ranges, i, range)
    {
        const char *text = json_string_value(range);
        if (strncmp(text, "127.", 4) == 0 || strcmp(text, "::1/128") == 0) return true;
    }
    return false;
}

static bool add_rule(json_t *rules, const struct egress_pattern *rule, struct err *err)
{
    char text[EGRESS_TEXT];
    size_t i;
    json_t *known;
    egress_text(rule, text);
    json_array_foreach(rules, i, known)
    {
        int order = strcmp(json_string_value(known), text);
        if (order == 0) return true;
        if (order > 0) break;
    }
    if (json_array_size(rules) >= ENTRY_RULES)
        return err_set(err, ERR_BAD_INPUT,
                       "Egress= comes to more than %d rules, one for each host and port that a grant and what the "
                       "manifest asks for have in common: grant fewer",
                       ENTRY_RULES);
    return json_array_insert_new(rules, i, json_string(text)) == 0 || err_set(err, ERR_BUSY, "there is no memory");
}

/* One ask against one grant. false: the ask cannot be understood with these settings. */
static bool meet_ask(const char *asked, const json_t *settings, const struct egress_pattern *grant, json_t *rules,
                     bool *met, struct err *err)
{
    struct egress_pattern ask, both;
    if (!egress_fill(asked, settings, &ask, err)) return err->kind == ERR_NOT_FOUND;
    if (!egress_meet(&ask, grant, &both)) return true;
    *met = true;
    return add_rule(rules, &both, err);
}

static bool more_than_asked(const char *text, const struct manifest *manifest, struct err *err)
{
    char asks[160] = "";
    size_t used = 0;
    for (size_t i = 0; i < json_array_size(manifest->egress) && used < sizeof asks; i++)
        used += (size_t)snprintf(asks + used, sizeof asks - used, "%s%s", used ? " " : "",
                                 json_string_value(json_array_get(manifest->egress, i)));
    return err_set(err, ERR_BAD_INPUT, "Egress=%.80s is more than the manifest (with these settings) asks for: %s",
                   text, *asks ? asks : "nothing");
}

/* One grant against every ask; a grant that meets none is a mistake that somebody should hear of. */
static bool meet_all(const char *text, const struct manifest *manifest, const struct dropin *dropin,
                     const json_t *settings, json_t *rules, struct err *err)
{
    struct egress_pattern grant;
    bool met = false;
    if (!egress_parse(text, &grant, err) || !egress_check_grant(&grant, dropin->any_host, has_loopback(dropin), err))
        return false;
    for (size_t i = 0; i < json_array_size(manifest->egress); i++) {
        const char *asked = json_string_value(json_array_get(manifest->egress, i));
        if (!meet_ask(asked, settings, &grant, rules, &met, err)) return false;
    }
    return met || more_than_asked(text, manifest, err);
}

bool grant_egress(const struct manifest *manifest, const struct dropin *dropin, const json_t *settings, json_t **rules,
                  struct err *err)
{
    JSON_AUTO *met = json_array();
    size_t i;
    json_t *grant;
    if (!met) return err_set(err, ERR_BUSY, "there is no memory");
    json_array_foreach(dropin->egress, i, grant) if (!meet_all(json_string_value(grant), manifest, dropin, settings,
                                                               met, err)) return false;
    *rules = json_incref(met);
    return true;
}

static bool touched(const struct egress_pattern *ask, const struct dropin *dropin)
{
    struct egress_pattern grant, both;
    struct err ignored;
    size_t i;
    json_t *text;
    json_array_foreach(dropin->egress, i, text) if (egress_parse(json_string_value(text), &grant, &ignored) &&
                                                    egress_meet(ask, &grant, &both)) return true;
    return false;
}

void grant_unmet(const struct manifest *manifest, const struct dropin *dropin, char *text, size_t size)
{
    JSON_AUTO *settings = NULL;
    struct egress_pattern ask;
    struct err ignored;
    size_t used = 0;
    *text = '\0';
    if (!grant_settings(manifest, dropin, &settings, &ignored)) return;
    for (size_t i = 0; i < json_array_size(manifest->egress) && used < size; i++) {
        const char *asked = json_string_value(json_array_get(manifest->egress, i));
        if (egress_fill(asked, settings, &ask, &ignored) && touched(&ask, dropin)) continue;
        used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " " : "", asked);
    }
}

/* ── limits ────────────────────────────────────────────────────────────────────────────────────────── */

bool grant_limits(const struct manifest *manifest, const struct dropin *dropin, struct entry_limits *limits,
                  struct err *err)
{
#define LIMIT(member, key)                                                                                             \
    {                                                                                                                  \
        key, &dropin->limits.member, &manifest->asked.member, &limits_default.member, &limits->member                  \
    }
    const struct {
        const char *key;
        const uint32_t *given, *asked, *preset;
        uint32_t *to;
    } rows[] = {LIMIT(memory_mb, "MemoryMax"), LIMIT(cpu_s, "CpuMax"),        LIMIT(wall_s, "TimeMax"),
                LIMIT(output_kb, "OutputMax"), LIMIT(log_kb, "LogMax"),       LIMIT(dials, "Dials"),
                LIMIT(up_kb, "UploadMax"),     LIMIT(down_kb, "DownloadMax"), LIMIT(concurrency, "Concurrency")};
#undef LIMIT
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint32_t most = *rows[i].asked ? *rows[i].asked : *rows[i].preset;
        /* How many calls run side by side is the administrator's own affair unless the developer sets a bound. */
        bool free_choice = rows[i].to == &limits->concurrency && !*rows[i].asked;
        if (*rows[i].given > most && !free_choice)
            return err_set(err, ERR_BAD_INPUT, "%s= is more than the connector asks for (%u)", rows[i].key, most);
        *rows[i].to = *rows[i].given ? *rows[i].given : most;
    }
    return true;
}
