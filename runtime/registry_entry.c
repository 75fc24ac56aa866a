/* SPDX-License-Identifier: Apache-2.0 */
/* One line of the loader's document into a plain structure. The loader is confined but not believed: every length, name
 * and number is checked again here, in the hands of the role that will act on it. */
#include "registry_entry.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto_json.h"
#include "base/json.h"

enum { ACTIONS_MAX = 64, WORKSPACES_MAX = 256 };

/* ── pieces ────────────────────────────────────────────────────────────────────────────────────────── */

bool registry_wrong(struct err *err, const char *key)
{
    return err_set(err, ERR_MALFORMED, "the registry's \"%s\" is missing or not what it must be", key);
}

static bool get_text(const json_t *object, const char *key, char *text, size_t size, struct err *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value) || json_string_length(value) >= size) return registry_wrong(err, key);
    memcpy(text, json_string_value(value), json_string_length(value) + 1);
    return true;
}

static bool get_name(const json_t *object, const char *key, char name[NAME_BYTES], struct err *err)
{
    return get_text(object, key, name, NAME_BYTES, err) && (name_valid(name) || registry_wrong(err, key));
}

static bool get_digest(const json_t *object, const char *key, uint8_t digest[HASH_BYTES], struct err *err)
{
    const char *text = json_string_value(json_object_get(object, key));
    return (text && hex_parse(text, digest, HASH_BYTES)) || registry_wrong(err, key);
}

bool registry_count(const json_t *object, const char *key, uint32_t *value, struct err *err)
{
    const json_t *number = json_object_get(object, key);
    json_int_t found = json_integer_value(number);
    if (!json_is_integer(number) || found < 0 || found > INT32_MAX) return registry_wrong(err, key);
    *value = (uint32_t)found;
    return true;
}

static const json_t *get_array(const json_t *object, const char *key, size_t most, struct err *err)
{
    const json_t *array = json_object_get(object, key);
    if (json_is_array(array) && json_array_size(array) <= most) return array;
    registry_wrong(err, key);
    return NULL;
}

/* The index of a word in a list that ends with NULL, -1 when it is not there. */
static int word_of(const json_t *value, const char *const *words)
{
    const char *text = json_string_value(value);
    for (int i = 0; text && words[i]; i++)
        if (strcmp(words[i], text) == 0) return i;
    return -1;
}

void *registry_room(size_t count, size_t size, struct err *err)
{
    void *room = calloc(count ? count : 1, size);
    if (!room) err_set(err, ERR_BUSY, "there is no memory for the registry");
    return room;
}

/* ── actions ───────────────────────────────────────────────────────────────────────────────────────── */

static bool read_field_names(const json_t *object, struct entry_action *action, struct err *err)
{
    const json_t *names = get_array(object, "fields", FRAME_FIELDS, err);
    if (!names) return false;
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name || !name_valid(name)) return registry_wrong(err, "fields");
        memcpy(action->fields[action->field_count++], name, strlen(name) + 1);
    }
    return true;
}

static bool read_action(const json_t *object, struct entry_action *action, struct err *err)
{
    const json_t *idempotent = json_object_get(object, "idempotent");
    action->input = json_object_get(object, "input");
    action->output = json_object_get(object, "output");
    action->idempotent = json_is_true(idempotent);
    if (!json_is_object(action->input)) return registry_wrong(err, "input");
    if (action->output && !json_is_object(action->output)) return registry_wrong(err, "output");
    if (!json_is_boolean(idempotent)) return registry_wrong(err, "idempotent");
    return get_name(object, "name", action->name, err) && read_field_names(object, action, err);
}

static bool read_actions(const json_t *object, struct entry *entry, struct err *err)
{
    const json_t *array = get_array(object, "actions", ACTIONS_MAX, err);
    if (!array || !(entry->actions = registry_room(json_array_size(array), sizeof *entry->actions, err))) return false;
    for (size_t i = 0; i < json_array_size(array); i++)
        if (!read_action(json_array_get(array, i), &entry->actions[entry->action_count++], err))
            return err_in(err, "action %zu", i);
    return true;
}

static bool field_required(const json_t *fields, const char *name)
{
    return json_is_true(json_object_get(json_named(fields, name), "required"));
}

static bool find_need(const json_t *object, struct entry *entry, struct err *err)
{
    const json_t *fields = get_array(object, "fields", FRAME_FIELDS, err);
    if (!fields) return false;
    for (unsigned a = 0; a < entry->action_count; a++)
        for (unsigned f = 0; f < entry->actions[a].field_count; f++)
            entry->needs_credential |= field_required(fields, entry->actions[a].fields[f]);
    return true;
}

/* ── egress ────────────────────────────────────────────────────────────────────────────────────────── */

static const struct {
    const char *prefix;
    enum scheme scheme;
} schemes[] = {{"tls://", SCHEME_TLS}, {"starttls://", SCHEME_STARTTLS}, {"plain://", SCHEME_PLAIN}};

static bool read_port(const char *text, uint16_t *port)
{
    unsigned long value = 0;
    if (strcmp(text, "*") == 0) {
        *port = 0;
        return true;
    }
    for (const char *at = text; *at; at++) {
        if (*at < '0' || *at > '9' || (value = value * 10 + (unsigned)(*at - '0')) > UINT16_MAX) return false;
    }
    *port = (uint16_t)value;
    return value != 0;
}

static bool host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == ':';
}

static bool host_plain(const char *host)
{
    const char *rest = strncmp(host, "*.", 2) == 0 ? host + 2 : host;
    if (strcmp(host, "*") == 0) return true;
    for (const char *at = rest; *at; at++)
        if (!host_char(*at)) return false;
    return *rest != '\0' && *rest != '.';
}

/* "scheme://host:port"; an IPv6 literal stands in brackets, which are dropped. */
static bool read_rule(const char *text, struct egress_rule *rule)
{
    size_t kind = 0;
    while (kind < sizeof schemes / sizeof *schemes &&
           strncmp(text, schemes[kind].prefix, strlen(schemes[kind].prefix)) != 0)
        kind++;
    if (kind == sizeof schemes / sizeof *schemes) return false;
    rule->scheme = schemes[kind].scheme;

    const char *host = text + strlen(schemes[kind].prefix), *colon = strrchr(host, ':');
    if (!colon || colon == host || !read_port(colon + 1, &rule->port)) return false;
    size_t length = (size_t)(colon - host);
    if (host[0] == '[' && host[length - 1] == ']') host++, length -= 2;
    if (length == 0 || length >= sizeof rule->host) return false;
    memcpy(rule->host, host, length);
    return host_plain(rule->host);
}

static bool read_rules(const json_t *object, struct entry *entry, struct err *err)
{
    const json_t *array = get_array(object, "egress", ENTRY_RULES, err);
    if (!array || !(entry->rules = registry_room(json_array_size(array), sizeof *entry->rules, err))) return false;
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (!text || !read_rule(text, &entry->rules[entry->rule_count++])) return registry_wrong(err, "egress");
    }
    return true;
}

/* ── the rest of an entry ──────────────────────────────────────────────────────────────────────────── */

static const char **read_texts(const json_t *object, const char *key, size_t most, unsigned *count, struct err *err)
{
    const json_t *array = get_array(object, key, most, err);
    const char **texts = array ? registry_room(json_array_size(array), sizeof *texts, err) : NULL;
    if (!texts) return NULL;
    for (size_t i = 0; i < json_array_size(array); i++) {
        texts[i] = json_string_value(json_array_get(array, i));
        if (!texts[i]) {
            free(texts);
            registry_wrong(err, key);
            return NULL;
        }
    }
    *count = (unsigned)json_array_size(array);
    return texts;
}

static bool read_workspaces(const json_t *object, struct entry *entry, struct err *err)
{
    entry->workspaces = read_texts(object, "workspaces", WORKSPACES_MAX, &entry->workspace_count, err);
    return entry->workspaces != NULL;
}

static bool read_lists(const json_t *object, struct entry *entry, struct err *err)
{
    entry->ranges = read_texts(object, "ranges", ENTRY_RANGES, &entry->range_count, err);
    return entry->ranges && read_workspaces(object, entry, err);
}

static bool read_limits(const json_t *object, struct entry *entry, struct err *err)
{
    const json_t *limits = json_object_get(object, "limits"), *lease = json_object_get(object, "lease");
    struct entry_limits *l = &entry->limits;
    const struct {
        const json_t *from;
        const char *key;
        uint32_t *to;
    } rows[] = {
        {limits, "memory_mb", &l->memory_mb},
        {limits, "cpu_s", &l->cpu_s},
        {limits, "wall_s", &l->wall_s},
        {limits, "output_kb", &l->output_kb},
        {limits, "log_kb", &l->log_kb},
        {limits, "dials", &l->dials},
        {limits, "up_kb", &l->up_kb},
        {limits, "down_kb", &l->down_kb},
        {limits, "concurrency", &l->concurrency},
        {lease, "calls", &entry->lease.calls},
        {lease, "age_s", &entry->lease.age_s},
        {lease, "idle_s", &entry->lease.idle_s},
        {lease, "spares", &entry->lease.spares},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!registry_count(rows[i].from, rows[i].key, rows[i].to, err)) return false;
    return true;
}

static bool read_isolation(const json_t *object, struct entry *entry, struct err *err)
{
    static const char *const words[] = {"call", "lease", NULL};
    int found = word_of(json_object_get(object, "isolation"), words);
    entry->isolation = found == 1 ? ISOLATE_LEASE : ISOLATE_CALL;
    return found >= 0 || registry_wrong(err, "isolation");
}

static bool read_capture(const json_t *object, struct entry *entry, struct err *err)
{
    const json_t *given = json_object_get(object, "capture");
    const char *text = json_string_value(given);
    for (uint32_t bits = CAPTURE_INPUT; text && bits < CAPTURE_KINDS; bits++)
        if (strcmp(text, capture_name(bits)) == 0) entry->capture = bits;
    return !given || entry->capture || registry_wrong(err, "capture");
}

static bool read_identity(const json_t *object, struct entry *entry, struct err *err)
{
    return get_name(object, "plugin", entry->plugin, err) &&
           get_text(object, "version", entry->version, sizeof entry->version, err) &&
           get_digest(object, "digest", entry->digest, err) && get_digest(object, "so_digest", entry->so_digest, err) &&
           get_digest(object, "manifest_digest", entry->manifest_digest, err);
}

static bool read_body(const json_t *object, struct entry *entry, struct err *err)
{
    const json_t *ca = json_object_get(object, "ca");
    entry->ca = json_string_value(ca);
    entry->settings = json_object_get(object, "settings");
    if (ca && !entry->ca) return registry_wrong(err, "ca");
    if (!json_is_object(entry->settings)) return registry_wrong(err, "settings");
    return read_identity(object, entry, err) && read_isolation(object, entry, err) &&
           read_capture(object, entry, err) && read_limits(object, entry, err) && read_actions(object, entry, err) &&
           find_need(object, entry, err) && read_rules(object, entry, err) && read_lists(object, entry, err);
}

/* Only an enabled entry must be whole: of the others, name, problem and workspaces (who may hear of the problem) are
 * all that anyone may use. */
static bool read_entry(const json_t *object, uint32_t index, struct entry *entry, struct err *err)
{
    static const char *const states[] = {"enabled", "disabled", "changed", "invalid", NULL};
    int state = word_of(json_object_get(object, "state"), states);
    if (state < 0) return registry_wrong(err, "state");
    entry->index = index;
    entry->document = object;
    entry->state = (enum entry_state)(ENTRY_ENABLED + state);
    entry->problem = json_string_value(json_object_get(object, "problem"));
    if (!get_name(object, "name", entry->name, err)) return false;
    if (entry->state == ENTRY_ENABLED) return read_body(object, entry, err);
    if (!entry->problem) entry->problem = "This connector is not enabled.";
    return !json_object_get(object, "workspaces") || read_workspaces(object, entry, err);
}

/* ── parsing one ───────────────────────────────────────────────────────────────────────────────────── */

void entry_free(struct entry *entry)
{
    if (!entry) return;
    free(entry->actions);
    free(entry->rules);
    free(entry->ranges);
    free(entry->workspaces);
    json_decref((json_t *)entry->document);
    free(entry);
}

struct entry *entry_parse(const char *line, size_t length, uint32_t index, struct err *err)
{
    JSON_AUTO *object = NULL;
    if (!json_read(line, length, REGISTRY_MAX, &object, err)) return NULL;
    struct entry *entry = registry_room(1, sizeof *entry, err);
    if (!entry) return NULL;
    entry->document = json_incref(object);
    if (read_entry(object, index, entry, err)) return entry;
    entry_free(entry);
    return NULL;
}
