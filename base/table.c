/* SPDX-License-Identifier: Apache-2.0 */
/* Objects and sections against tables of fields. */
#include "table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ids.h"

static const struct table_field *field_named(const struct table_field *fields, const char *name)
{
    for (; fields->name; fields++)
        if (strcmp(fields->name, name) == 0) return fields;
    return NULL;
}

static bool within(const struct table_field *field, int64_t number)
{
    if (field->least == 0 && field->most == 0) return true;
    return number >= field->least && number <= field->most;
}

/* ── storing ───────────────────────────────────────────────────────────────────────────────────────── */

static bool store_text(const struct table_field *field, const char *text, void *out, struct err *err)
{
    size_t length = strlen(text);
    if (field->type == TABLE_NAME && !name_valid(text))
        return err_set(err, ERR_BAD_INPUT, "must be a name: a-z 0-9 - _ and inner dots, first a letter, at most 63");
    if (length >= field->size || !within(field, (int64_t)length))
        return err_set(err, ERR_BAD_INPUT, "must have %" PRId64 " to %" PRId64 " bytes", field->least,
                       field->most ? field->most : (int64_t)field->size - 1);
    memcpy((char *)out + field->offset, text, length + 1);
    return true;
}

static bool store_number(const struct table_field *field, int64_t number, void *out, struct err *err)
{
    bool small = field->size == sizeof(int32_t);
    if (!within(field, number) || (small && (number < INT32_MIN || number > UINT32_MAX)))
        return err_set(err, ERR_BAD_INPUT, "must be from %" PRId64 " to %" PRId64, field->least, field->most);
    uint32_t low = (uint32_t)number;
    memcpy((char *)out + field->offset, small ? (const void *)&low : (const void *)&number, field->size);
    return true;
}

static bool store_truth(const struct table_field *field, bool truth, void *out)
{
    memcpy((char *)out + field->offset, &truth, sizeof truth);
    return true;
}

static bool store_choice(const struct table_field *field, const char *text, void *out, struct err *err)
{
    char words[160] = "";
    size_t used = 0;
    for (int i = 0; field->choices[i]; i++) {
        if (strcmp(field->choices[i], text) == 0) {
            memcpy((char *)out + field->offset, &i, sizeof i);
            return true;
        }
        if (used < sizeof words)
            used += (size_t)snprintf(words + used, sizeof words - used, "%s%s", i ? ", " : "", field->choices[i]);
    }
    return err_set(err, ERR_BAD_INPUT, "must be one of: %s", words);
}

/* ── INI ───────────────────────────────────────────────────────────────────────────────────────────── */

static bool parse_number(const char *text, int64_t *number)
{
    char *end;
    errno = 0;
    *number = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0';
}

static bool parse_truth(const char *text, bool *truth)
{
    *truth = strcmp(text, "yes") == 0 || strcmp(text, "true") == 0;
    return *truth || strcmp(text, "no") == 0 || strcmp(text, "false") == 0;
}

static bool store_word(const struct table_field *field, const char *text, void *out, struct err *err)
{
    int64_t number;
    bool truth;
    switch (field->type) {
    case TABLE_TEXT:
    case TABLE_NAME: return store_text(field, text, out, err);
    case TABLE_NUMBER:
        if (!parse_number(text, &number)) return err_set(err, ERR_BAD_INPUT, "must be a whole number");
        return store_number(field, number, out, err);
    case TABLE_TRUTH:
        if (!parse_truth(text, &truth)) return err_set(err, ERR_BAD_INPUT, "must be yes or no");
        return store_truth(field, truth, out);
    case TABLE_CHOICE: return store_choice(field, text, out, err);
    case TABLE_MANY: return true;
    case TABLE_OBJECT:
    case TABLE_LIST: break;
    }
    return err_set(err, ERR_INTERNAL, "this kind of field has no form in an INI file");
}

static bool store_presets(const struct table_field *fields, void *out, struct err *err)
{
    for (; fields->name; fields++)
        if (fields->preset && !store_word(fields, fields->preset, out, err)) return err_in(err, "%s", fields->name);
    return true;
}

bool table_ini(const struct table_field *fields, const struct ini *ini, const char *section, void *out, struct err *err)
{
    if (!store_presets(fields, out, err)) return false;
    for (const struct ini_item *item = NULL; (item = ini_each(ini, section, NULL, item));) {
        const struct table_field *field = field_named(fields, item->key);
        if (!field)
            err_set(err, ERR_BAD_INPUT, "[%s] has no setting named %s", section, item->key);
        else if (store_word(field, item->value, out, err))
            continue;
        else
            err_in(err, "%s", item->key);
        return ini_blame(item, err);
    }
    for (const struct table_field *field = fields; field->name; field++)
        if (field->required && !ini_get(ini, section, field->name))
            return err_set(err, ERR_BAD_INPUT, "[%s] lacks the setting %s", section, field->name);
    return true;
}

/* ── JSON ──────────────────────────────────────────────────────────────────────────────────────────── */

static bool texts_only(const json_t *value)
{
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item) if (!json_is_string(item)) return false;
    return json_is_array(value);
}

static bool store_borrowed(const struct table_field *field, const json_t *value, void *out, struct err *err)
{
    if (field->type == TABLE_OBJECT && !json_is_object(value)) return err_set(err, ERR_BAD_INPUT, "must be an object");
    if (field->type == TABLE_LIST && (!texts_only(value) || !within(field, (int64_t)json_array_size(value))))
        return err_set(err, ERR_BAD_INPUT, "must be a list of %" PRId64 " to %" PRId64 " strings", field->least,
                       field->most);
    memcpy((char *)out + field->offset, &value, sizeof value);
    return true;
}

static bool store_json(const struct table_field *field, const json_t *value, void *out, struct err *err)
{
    switch (field->type) {
    case TABLE_TEXT:
    case TABLE_NAME:
    case TABLE_CHOICE:
        if (!json_is_string(value)) return err_set(err, ERR_BAD_INPUT, "must be a string");
        return store_word(field, json_string_value(value), out, err);
    case TABLE_NUMBER:
        if (!json_is_integer(value)) return err_set(err, ERR_BAD_INPUT, "must be a whole number");
        return store_number(field, json_integer_value(value), out, err);
    case TABLE_TRUTH:
        if (!json_is_boolean(value)) return err_set(err, ERR_BAD_INPUT, "must be true or false");
        return store_truth(field, json_is_true(value), out);
    case TABLE_OBJECT:
    case TABLE_LIST: return store_borrowed(field, value, out, err);
    case TABLE_MANY: break;
    }
    return err_set(err, ERR_INTERNAL, "this kind of field has no form in JSON");
}

/* Sets the pointer and puts the field's name before the text. */
static bool blame(char *pointer, const char *name, struct err *err)
{
    if (pointer) snprintf(pointer, TABLE_POINTER, "/%.200s", name);
    return err_in(err, "/%.200s", name);
}

bool table_json(const struct table_field *fields, const json_t *object, void *out, char pointer[TABLE_POINTER],
                struct err *err)
{
    const char *name;
    json_t *value;
    if (pointer) pointer[0] = '\0';
    if (!json_is_object(object)) return err_set(err, ERR_BAD_INPUT, "must be an object");
    if (!store_presets(fields, out, err)) return false;
    json_object_foreach((json_t *)object, name, value)
    {
        const struct table_field *field = field_named(fields, name);
        if (!field)
            err_set(err, ERR_BAD_INPUT, "is not a known field");
        else if (store_json(field, value, out, err))
            continue;
        return blame(pointer, name, err);
    }
    for (const struct table_field *field = fields; field->name; field++) {
        if (!field->required || json_object_get(object, field->name)) continue;
        err_set(err, ERR_BAD_INPUT, "is required, but missing");
        return blame(pointer, field->name, err);
    }
    return true;
}
