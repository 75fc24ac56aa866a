/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a manifest by tables: a member that is not in its table is refused, so nothing is asked for unseen. */
#include "manifest.h"

#include <string.h>

#include "base/ids.h"
#include "base/json.h"
#include "base/schema.h"
#include "base/table.h"

#include "egress.h"

enum { SUMMARY_BYTES = MANIFEST_SUMMARY, SUMMARY_CHARS = 200, VERSION_MAX = 31 };

const struct entry_limits limits_default = {.memory_mb = 128,
                                            .cpu_s = 10,
                                            .wall_s = 60,
                                            .output_kb = 1024,
                                            .log_kb = 64,
                                            .dials = 8,
                                            .up_kb = 32 * 1024,
                                            .down_kb = 32 * 1024,
                                            .concurrency = 32};

static bool refuse(struct err *err, const char *key, const char *why)
{
    return err_set(err, ERR_BAD_INPUT, "\"%.80s\" %s", key, why);
}

/* ── texts ─────────────────────────────────────────────────────────────────────────────────────────── */

/* Counts characters; refuses control characters (C0, DEL, C1) and the ones that turn the direction of text around. */
static bool plain_sentence(const char *text)
{
    size_t characters = 0;
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at < 0x20 || *at == 0x7f || (*at == 0xc2 && at[1] < 0xa0)) return false;
        if (*at == 0xe2 && at[1] == 0x80 && (at[2] >= 0xaa && at[2] <= 0xae)) return false;
        if (*at == 0xe2 && at[1] == 0x80 && (at[2] == 0x8e || at[2] == 0x8f || at[2] == 0xa8 || at[2] == 0xa9))
            return false;
        if (*at == 0xe2 && at[1] == 0x81 && at[2] >= 0xa6 && at[2] <= 0xa9) return false;
        characters += (*at & 0xc0) != 0x80;
    }
    return characters >= 1 && characters <= SUMMARY_CHARS;
}

static bool check_summary(const char *text, struct err *err)
{
    return plain_sentence(text) || refuse(err, "summary", "must be one line of 1 to 200 printable characters");
}

static bool check_version(const char *version, struct err *err)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.+-";
    return strspn(version, allowed) == strlen(version) || refuse(err, "version", "must be letters, digits and . + -");
}

/* ── credential ────────────────────────────────────────────────────────────────────────────────────── */

/* Runs check for every member of an object of named things. */
static bool each_named(const json_t *object, size_t most, const struct manifest *manifest,
                       bool (*check)(const json_t *, const struct manifest *, struct err *), struct err *err)
{
    const char *name;
    json_t *value;
    if (json_object_size(object) == 0 || json_object_size(object) > most)
        return err_set(err, ERR_BAD_INPUT, "there must be 1 to %zu", most);
    json_object_foreach((json_t *)object, name, value)
    {
        if (!name_valid(name)) return refuse(err, name, "is not a name: 1 to 63 of a-z 0-9 - _ and inner dots");
        if (!check(value, manifest, err)) return err_in(err, "\"%s\"", name);
    }
    return true;
}

struct field {
    char summary[SUMMARY_BYTES];
    bool secret, required;
};
static const struct table_field field_table[] = {
    {"summary", TABLE_TEXT, .required = true, TABLE_AT(struct field, summary)},
    {"secret", TABLE_TRUTH, TABLE_AT(struct field, secret)},
    {"required", TABLE_TRUTH, TABLE_AT(struct field, required)},
    {0}};

static bool check_field(const json_t *object, const struct manifest *manifest, struct err *err)
{
    struct field field = {0};
    return table_json(field_table, object, &field, NULL, err) && check_summary(field.summary, err);
}

struct credential {
    const json_t *fields;
};
static const struct table_field credential_table[] = {
    {"fields", TABLE_OBJECT, .required = true, TABLE_AT(struct credential, fields)}, {0}};

static bool check_credential(const json_t *object, struct manifest *manifest, struct err *err)
{
    struct credential credential = {0};
    if (!object) return true;
    if (!table_json(credential_table, object, &credential, NULL, err)) return err_in(err, "credential");
    manifest->fields = credential.fields;
    return each_named(credential.fields, FRAME_FIELDS, manifest, check_field, err) || err_in(err, "credential");
}

/* ── actions ───────────────────────────────────────────────────────────────────────────────────────── */

static bool check_schema(const json_t *schema, struct err *err)
{
    const char *type = json_string_value(json_object_get(schema, "type"));
    if (!type || strcmp(type, "object") != 0)
        return err_set(err, ERR_BAD_INPUT, "a schema here must be of type \"object\"");
    return schema_check(schema, err);
}

static bool check_field_names(const json_t *names, const struct manifest *manifest, struct err *err)
{
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!json_object_get(manifest->fields, name)) return refuse(err, name, "is no field of \"credential\"");
        for (size_t j = 0; j < i; j++)
            if (strcmp(json_string_value(json_array_get(names, j)), name) == 0)
                return refuse(err, name, "is named twice in \"fields\"");
    }
    return true;
}

struct action {
    char summary[SUMMARY_BYTES];
    const json_t *input, *output, *fields;
    bool idempotent;
};
static const struct table_field action_table[] = {
    {"summary", TABLE_TEXT, .required = true, TABLE_AT(struct action, summary)},
    {"input", TABLE_OBJECT, .required = true, TABLE_AT(struct action, input)},
    {"output", TABLE_OBJECT, TABLE_AT(struct action, output)},
    {"idempotent", TABLE_TRUTH, TABLE_AT(struct action, idempotent)},
    {"fields", TABLE_LIST, TABLE_AT(struct action, fields), .least = 0, .most = FRAME_FIELDS},
    {0}};

static bool check_action(const json_t *object, const struct manifest *manifest, struct err *err)
{
    struct action action = {0};
    if (!table_json(action_table, object, &action, NULL, err) || !check_summary(action.summary, err)) return false;
    if (!check_schema(action.input, err)) return err_in(err, "input");
    if (action.output && !check_schema(action.output, err)) return err_in(err, "output");
    return check_field_names(action.fields, manifest, err);
}

/* ── settings and egress ───────────────────────────────────────────────────────────────────────────── */

static bool setting_type_ok(const json_t *property)
{
    const char *type = json_string_value(json_object_get(property, "type"));
    if (!type) return false;
    if (strcmp(type, "array") != 0)
        return strcmp(type, "string") == 0 || strcmp(type, "integer") == 0 || strcmp(type, "boolean") == 0;
    const char *item = json_string_value(json_object_get(json_object_get(property, "items"), "type"));
    return item && strcmp(item, "string") == 0;
}

static bool check_settings(const json_t *schema, struct err *err)
{
    const char *name;
    json_t *property;
    if (!schema) return true;
    if (!check_schema(schema, err)) return err_in(err, "settings");
    json_object_foreach(json_object_get(schema, "properties"), name, property)
    {
        if (!name_valid(name)) return refuse(err, name, "is not a name for a setting");
        if (!setting_type_ok(property))
            return refuse(err, name, "must be a string, an integer, a boolean or an array of strings");
    }
    return true;
}

static bool check_egress(const struct manifest *manifest, struct err *err)
{
    for (size_t i = 0; i < json_array_size(manifest->egress); i++)
        if (!egress_check_ask(json_string_value(json_array_get(manifest->egress, i)), manifest->settings, err))
            return false;
    return true;
}

/* ── the whole ─────────────────────────────────────────────────────────────────────────────────────── */

struct top {
    struct manifest manifest;
    int64_t abi;
    const json_t *credential, *limits;
};
#define TOP(member) TABLE_AT(struct top, member)
#define LIMIT(member, most_)                                                                                           \
    {                                                                                                                  \
#member, TABLE_NUMBER, TABLE_AT(struct entry_limits, member), .least = 1, .most = (most_)                      \
    }

static const struct table_field top_table[] = {
    {"name", TABLE_NAME, .required = true, TOP(manifest.name)},
    {"version", TABLE_TEXT, .required = true, TOP(manifest.version), .least = 1, .most = VERSION_MAX},
    {"abi", TABLE_NUMBER, .required = true, TOP(abi), .least = 1, .most = 1},
    {"summary", TABLE_TEXT, .required = true, TOP(manifest.summary)},
    {"actions", TABLE_OBJECT, .required = true, TOP(manifest.actions)},
    {"credential", TABLE_OBJECT, TOP(credential)},
    {"settings", TABLE_OBJECT, TOP(manifest.settings)},
    {"egress", TABLE_LIST, TOP(manifest.egress), .least = 0, .most = MANIFEST_EGRESS},
    {"limits", TABLE_OBJECT, TOP(limits)},
    {0},
};

static const struct table_field limit_table[] = {
    LIMIT(memory_mb, LIMIT_MEMORY_MB),
    LIMIT(cpu_s, LIMIT_CPU_S),
    LIMIT(wall_s, LIMIT_WALL_S),
    LIMIT(output_kb, LIMIT_OUTPUT_KB),
    LIMIT(log_kb, LIMIT_LOG_KB),
    LIMIT(dials, LIMIT_DIALS),
    {"up_mb", TABLE_NUMBER, TABLE_AT(struct entry_limits, up_kb), .least = 1, .most = LIMIT_UP_MB},
    {"down_mb", TABLE_NUMBER, TABLE_AT(struct entry_limits, down_kb), .least = 1, .most = LIMIT_DOWN_MB},
    LIMIT(concurrency, LIMIT_CONCURRENCY),
    {0},
};

/* A developer asks in MiB; an administrator may grant less than one. */
static bool check_limits(const json_t *limits, struct manifest *manifest, struct err *err)
{
    if (limits && !table_json(limit_table, limits, &manifest->asked, NULL, err)) return err_in(err, "limits");
    manifest->asked.up_kb *= 1024;
    manifest->asked.down_kb *= 1024;
    return true;
}

static bool check_all(struct top *top, struct err *err)
{
    struct manifest *manifest = &top->manifest;
    return table_json(top_table, manifest->document, top, NULL, err) && check_version(manifest->version, err) &&
           check_summary(manifest->summary, err) && check_credential(top->credential, manifest, err) &&
           (each_named(manifest->actions, MANIFEST_ACTIONS, manifest, check_action, err) || err_in(err, "actions")) &&
           check_settings(manifest->settings, err) && check_egress(manifest, err) &&
           check_limits(top->limits, manifest, err);
}

bool manifest_read(const char *bytes, size_t length, struct manifest *manifest, struct err *err)
{
    struct top top = {0};
    if (!json_read(bytes, length, MANIFEST_BYTES, &top.manifest.document, err)) return false;
    if (!json_is_object(top.manifest.document))
        err_set(err, ERR_BAD_INPUT, "this must be one JSON object");
    else if (check_all(&top, err)) {
        *manifest = top.manifest;
        return true;
    }
    json_decref(top.manifest.document);
    return false;
}

void manifest_clear(struct manifest *manifest)
{
    json_decref(manifest->document);
    memset(manifest, 0, sizeof *manifest);
}
