/* SPDX-License-Identifier: Apache-2.0 */
/* Taking a file of sealed things apart. */
#include "import_items.h"

#include <sodium.h>
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "fernet.h"

static const char *const member[] = {[IMPORT_FERNET] = "token", [IMPORT_AES_GCM] = "envelope"};

struct splitting {
    enum import_format format;
    json_t *list;
};

/* ── one item ──────────────────────────────────────────────────────────────────────────────────────── */

static bool sealed_sound(enum import_format format, const json_t *sealed)
{
    if (format == IMPORT_FERNET) return json_is_string(sealed);
    return json_is_object(sealed) && json_is_string(json_object_get(sealed, "ct"));
}

/* name NULL: it has none. */
static bool add(struct splitting *to, const char *name, const json_t *sealed, struct err *err)
{
    size_t number = json_array_size(to->list) + 1;
    if (number > IMPORT_MOST) return err_set(err, ERR_TOO_LARGE, "more than %d items: split the file", IMPORT_MOST);
    if (!sealed_sound(to->format, sealed))
        return err_set(err, ERR_MALFORMED, "item %zu is no %s", number, member[to->format]);
    if (name && !name_valid(name))
        return err_set(err, ERR_BAD_INPUT,
                       "item %zu: a name has a-z 0-9 - _ and inner dots, first a letter, at most 63", number);
    if (name && json_named(to->list, name)) return err_set(err, ERR_BAD_INPUT, "the name %s stands there twice", name);
    JSON_AUTO *item = json_pack("{s:O}", "sealed", sealed);
    if (name) json_object_set_new(item, "name", json_string(name));
    return json_array_append(to->list, item) == 0 || err_set(err, ERR_BUSY, "there is no memory");
}

/* {"name", "token"} or {"name", "envelope"}, and nothing else. */
static bool is_named(const struct splitting *to, const json_t *value)
{
    return json_object_size(value) == 2 && json_is_string(json_object_get(value, "name")) &&
           json_object_get(value, member[to->format]);
}

static bool add_value(struct splitting *to, const json_t *value, struct err *err)
{
    if (is_named(to, value))
        return add(to, json_string_value(json_object_get(value, "name")), json_object_get(value, member[to->format]),
                   err);
    return add(to, NULL, value, err);
}

/* ── the forms of a file ───────────────────────────────────────────────────────────────────────────── */

static bool add_array(struct splitting *to, const json_t *array, struct err *err)
{
    for (size_t i = 0; i < json_array_size(array); i++)
        if (!add_value(to, json_array_get(array, i), err)) return false;
    return true;
}

static bool add_map(struct splitting *to, const json_t *object, struct err *err)
{
    for (void *at = json_object_iter((json_t *)object); at; at = json_object_iter_next((json_t *)object, at))
        if (!add(to, json_object_iter_key(at), json_object_iter_value(at), err)) return false;
    return true;
}

static bool add_whole(struct splitting *to, const json_t *value, struct err *err)
{
    if (json_is_array(value)) return add_array(to, value, err);
    bool map = json_is_object(value) && !is_named(to, value) && !sealed_sound(to->format, value);
    return map ? add_map(to, value, err) : add_value(to, value, err);
}

static bool add_line(struct splitting *to, const char *line, size_t length, struct err *err)
{
    JSON_AUTO *value = NULL;
    if (*line == '{' || *line == '"')
        return json_read(line, length, IMPORT_BYTES, &value, err) && add_value(to, value, err);
    value = to->format == IMPORT_FERNET ? json_stringn(line, length) : NULL;
    return value ? add(to, NULL, value, err) : err_set(err, ERR_MALFORMED, "it is not JSON");
}

static bool add_lines(struct splitting *to, const char *bytes, size_t length, struct err *err)
{
    const char *end = bytes + length;
    for (size_t number = 1; bytes < end; number++) {
        const char *newline = memchr(bytes, '\n', (size_t)(end - bytes)), *stop = newline ? newline : end;
        size_t line = (size_t)(stop - bytes);
        if (line && bytes[line - 1] == '\r') line--;
        if (line && !add_line(to, bytes, line, err)) return err_in(err, "line %zu", number);
        bytes = newline ? newline + 1 : end;
    }
    return true;
}

static bool json_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool import_split(const char *bytes, size_t length, enum import_format format, json_t **list, struct err *err)
{
    struct err fault = {0};
    JSON_AUTO *found = json_array(), *whole = NULL;
    struct splitting to = {format, found};
    while (length && json_space(*bytes)) bytes++, length--;
    while (length && json_space(bytes[length - 1])) length--;
    bool json = length && strchr("{[\"", *bytes) && json_read(bytes, length, IMPORT_BYTES, &whole, &fault);
    if (length && *bytes == '[' && !json) { /* an array is one whole or nothing */
        *err = fault;
        return false;
    }
    bool good = json ? add_whole(&to, whole, err) : add_lines(&to, bytes, length, err);
    if (!good) return false;
    if (json_array_size(found) == 0) return err_set(err, ERR_BAD_INPUT, "there is nothing in it");
    *list = json_incref(found);
    return true;
}

bool import_item(const json_t *list, size_t index, struct import_item *item, struct err *err)
{
    const json_t *entry = json_array_get(list, index);
    const char *name = json_string_value(json_object_get(entry, "name"));
    uint8_t digest[crypto_hash_sha256_BYTES];
    BUF_AUTO text;
    *item = (struct import_item){.sealed = json_object_get(entry, "sealed")};
    buf_init(&text, IMPORT_BYTES);
    if (name) TEXT_COPY(item->name, name);
    bool token = json_is_string(item->sealed);
    bool good = token ? buf_add(&text, json_string_value(item->sealed), json_string_length(item->sealed))
                      : json_compact(item->sealed, &text);
    if (!good) return err_set(err, ERR_TOO_LARGE, "it is too large");
    crypto_hash_sha256(digest, (const uint8_t *)text.bytes, text.used);
    hex_text(digest, sizeof digest, item->digest);
    return true;
}
