/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests in plain words, and what changed between two of them. */
#include "manifest_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "dropin.h"
#include "print.h"

/* ── reading ───────────────────────────────────────────────────────────────────────────────────────── */

bool plugin_read(int folder, struct plugin_files *plugin, struct err *err)
{
    char file[NAME_BYTES + 4];
    BUF_AUTO object;
    *plugin = (struct plugin_files){0};
    buf_init(&object, 0);
    if (!file_get(folder, "manifest.json", MANIFEST_MOST, "manifest.json", &plugin->manifest_text, err) ||
        !json_read(plugin->manifest_text.bytes ? plugin->manifest_text.bytes : "", plugin->manifest_text.used,
                   MANIFEST_MOST, &plugin->manifest, err))
        return err_in(err, "reading the connector's manifest.json");
    const char *name = json_string_value(json_object_get(plugin->manifest, "name"));
    if (!name || !name_valid(name)) return err_set(err, ERR_BAD_INPUT, "manifest.json has no valid \"name\"");
    snprintf(plugin->name, sizeof plugin->name, "%s", name);
    snprintf(file, sizeof file, "%s.so", name);
    if (!file_get(folder, file, SO_MOST, file, &object, err)) return err_in(err, "reading the connector");
    digest_text(&plugin->manifest_text, plugin->manifest_digest);
    digest_text(&object, plugin->digest);
    return true;
}

void plugin_clear(struct plugin_files *plugin)
{
    buf_clear(&plugin->manifest_text);
    json_decref(plugin->manifest);
    plugin->manifest = NULL;
}

/* ── words ─────────────────────────────────────────────────────────────────────────────────────────── */

static const char *text_of(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    return text ? text : "";
}

static void describe_actions(const json_t *actions, struct buf *out)
{
    const char *name;
    json_t *action;
    buf_text(out, "It offers\n");
    json_object_foreach((json_t *)actions, name, action)
    {
        bool harmless = json_is_true(json_object_get(action, "idempotent"));
        buf_print(out, "  %s: %s%s\n", name, text_of(action, "summary"), harmless ? " (twice does no harm)" : "");
    }
}

static bool names(const json_t *list, const char *wanted)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i,
                       item) if (json_is_string(item) && strcmp(json_string_value(item), wanted) == 0) return true;
    return false;
}

static void describe_field(const json_t *manifest, const char *name, const json_t *field, struct buf *out)
{
    const char *action_name;
    json_t *action;
    bool secret = !json_is_false(json_object_get(field, "secret"));
    bool optional = json_is_false(json_object_get(field, "required"));
    buf_print(out, "  %s: %s (%s%s), for", name, text_of(field, "summary"), secret ? "secret" : "not secret",
              optional ? ", optional" : "");
    json_object_foreach(json_object_get(manifest, "actions"), action_name,
                        action) if (names(json_object_get(action, "fields"), name)) buf_print(out, " %s", action_name);
    buf_text(out, "\n");
}

static void describe_credential(const json_t *manifest, struct buf *out)
{
    const json_t *fields = json_object_get(json_object_get(manifest, "credential"), "fields");
    const char *name;
    json_t *field;
    if (json_object_size(fields) == 0) {
        buf_text(out, "It is given no credential\n");
        return;
    }
    buf_text(out, "It is given, of the caller's credential\n");
    json_object_foreach((json_t *)fields, name, field) describe_field(manifest, name, field, out);
}

static const struct {
    const char *start, *words;
} schemes[] = {
    {"tls://", "TLS only"},
    {"starttls://", "clear greeting, then TLS"},
    {"plain://", "IN CLEAR: whoever is on the way reads it"},
};

static void describe_egress(const json_t *egress, struct buf *out)
{
    size_t i;
    json_t *ask;
    if (json_array_size(egress) == 0) {
        buf_text(out, "It reaches no host\n");
        return;
    }
    buf_text(out, "It wants to reach\n");
    json_array_foreach(egress, i, ask)
    {
        const char *text = json_string_value(ask), *words = "unknown scheme";
        for (size_t row = 0; text && row < sizeof schemes / sizeof *schemes; row++)
            if (strncmp(text, schemes[row].start, strlen(schemes[row].start)) == 0) words = schemes[row].words;
        if (text) buf_print(out, "  %s (%s)\n", text, words);
    }
}

static void describe_settings(const json_t *settings, struct buf *out)
{
    const json_t *properties = json_object_get(settings, "properties");
    const char *name;
    json_t *property;
    if (json_object_size(properties)) buf_text(out, "Its settings are\n");
    json_object_foreach((json_t *)properties, name, property)
    {
        const json_t *preset = json_object_get(property, "default");
        buf_print(out, "  %s: %s %s", name, text_of(property, "type"), text_of(property, "description"));
        if (names(json_object_get(settings, "required"), name)) buf_text(out, " (required)");
        if (preset) buf_text(out, " (usually ");
        if (preset) json_compact(preset, out);
        buf_text(out, preset ? ")\n" : "\n");
    }
}

static void describe_limits(const json_t *limits, struct buf *out)
{
    const char *name;
    json_t *limit;
    if (json_object_size(limits)) buf_text(out, "It needs, in place of what is usual\n");
    json_object_foreach((json_t *)limits, name, limit)
        buf_print(out, "  %s %lld\n", name, (long long)json_integer_value(limit));
}

/* Line by line, because a line break is the one control byte that belongs here. A summary with a line break in it
 * could pose as a line of its own, so those were taken out before. */
static void flatten(json_t *value)
{
    size_t i;
    const char *name;
    json_t *item;
    json_array_foreach(value, i, item) flatten(item);
    json_object_foreach(value, name, item) flatten(item);
    if (!json_is_string(value)) return;
    char *text = print_tamed(json_string_value(value));
    if (text) json_string_set(value, text);
    free(text);
}

static json_t *tamed_keys(const json_t *value);

static json_t *tamed_object(const json_t *value)
{
    const char *name;
    json_t *item, *object = json_object();
    json_object_foreach((json_t *)value, name, item)
    {
        char *text = print_tamed(name);
        if (text) json_object_set_new(object, text, tamed_keys(item));
        free(text);
    }
    return object;
}

/* A deep copy whose keys are tamed, too. */
static json_t *tamed_keys(const json_t *value)
{
    size_t i;
    json_t *item;
    if (json_is_object(value)) return tamed_object(value);
    if (!json_is_array(value)) return json_deep_copy(value);
    json_t *array = json_array();
    json_array_foreach(value, i, item) json_array_append_new(array, tamed_keys(item));
    return array;
}

bool manifest_describe(const json_t *manifest, struct buf *out)
{
    JSON_AUTO *tamed = tamed_keys(manifest);
    if (!tamed) return false;
    flatten(tamed);
    buf_print(out, "%s %s: %s\n", text_of(tamed, "name"), text_of(tamed, "version"), text_of(tamed, "summary"));
    describe_actions(json_object_get(tamed, "actions"), out);
    describe_credential(tamed, out);
    describe_egress(json_object_get(tamed, "egress"), out);
    describe_settings(json_object_get(tamed, "settings"), out);
    describe_limits(json_object_get(tamed, "limits"), out);
    return out->used < out->max;
}

/* ── difference ────────────────────────────────────────────────────────────────────────────────────── */

static bool has_line(const struct buf *text, const char *line, size_t length)
{
    for (const char *at = text->bytes; at && *at;) {
        size_t here = strcspn(at, "\n");
        if (here == length && memcmp(at, line, length) == 0) return true;
        at += here + (at[here] != '\0');
    }
    return false;
}

static bool lines_only_in(const struct buf *one, const struct buf *other, char sign, struct buf *out)
{
    for (const char *at = one->bytes; at && *at;) {
        size_t length = strcspn(at, "\n");
        if (length && !has_line(other, at, length) && !buf_print(out, "%c %.*s\n", sign, (int)length, at)) return false;
        at += length + (at[length] != '\0');
    }
    return true;
}

bool manifest_difference(const struct buf *before, const struct buf *after, struct buf *out)
{
    return lines_only_in(before, after, '-', out) && lines_only_in(after, before, '+', out);
}

/* ── egress ────────────────────────────────────────────────────────────────────────────────────────── */

static const json_t *setting_value(const json_t *manifest, const json_t *settings, const char *name)
{
    const json_t *given = json_object_get(settings, name);
    const json_t *schema = json_object_get(json_object_get(manifest, "settings"), "properties");
    return given ? given : json_object_get(json_object_get(schema, name), "default");
}

static void value_text(const json_t *value, char *text, size_t size)
{
    text[0] = '\0';
    if (json_is_string(value))
        snprintf(text, size, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(text, size, "%lld", (long long)json_integer_value(value));
}

/* "https://host[:port][/…]" to "host:port". */
static bool host_of_url(const char *url, char *out, size_t size)
{
    static const char start[] = "https://";
    if (strncmp(url, start, sizeof start - 1) != 0) return false;
    url += sizeof start - 1;
    size_t length = strcspn(url, "/?#");
    if (length == 0 || length >= size - 5 || memchr(url, '@', length)) return false;
    bool bracket = url[0] == '[';
    const char *behind = bracket ? memchr(url, ']', length) : url;
    bool port = behind && memchr(behind, ':', length - (size_t)(behind - url));
    snprintf(out, size, "%.*s%s", (int)length, url, port ? "" : ":443");
    return true;
}

/* {name} at *at: its value, or false. */
static bool fill_one(const json_t *manifest, const json_t *settings, const char **at, char *value, size_t size)
{
    char name[NAME_BYTES];
    const char *end = strchr(*at, '}');
    if (!end || (size_t)(end - *at - 1) >= sizeof name) return false;
    snprintf(name, sizeof name, "%.*s", (int)(end - *at - 1), *at + 1);
    value_text(setting_value(manifest, settings, name), value, size);
    *at = end + 1;
    return value[0];
}

bool manifest_fill(const json_t *manifest, const char *ask, const json_t *settings, char *text, size_t size)
{
    size_t used = 0;
    const char *place = strstr(ask, "://");
    bool whole = place && place[3] == '{' && strchr(place, '}') && strchr(place, '}')[1] == '\0';
    for (const char *at = ask; *at;) {
        char value[300], host[300];
        if (*at == '*' || used + sizeof value >= size) return false;
        if (*at != '{') {
            text[used++] = *at++;
            continue;
        }
        if (!fill_one(manifest, settings, &at, value, sizeof value)) return false;
        if (whole && !host_of_url(value, host, sizeof host)) return false;
        used += (size_t)snprintf(text + used, size - used, "%s", whole ? host : value);
    }
    text[used] = '\0';
    return strlen(text) == used;
}
