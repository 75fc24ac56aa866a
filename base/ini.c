/* SPDX-License-Identifier: Apache-2.0 */
/* INI files from memory, line by line. */
#include "ini.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

/* One line while it is read. */
struct place {
    struct ini *ini;
    const char *label;
    unsigned line;
    char section[INI_NAME];
};

static bool refuse(const struct place *place, enum err_kind kind, const char *what, struct err *err)
{
    return err_set(err, kind, "%s:%u: %s", place->label, place->line, what);
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Takes the blanks off both ends of [*text, *text + *length). */
static void trim(const char **text, size_t *length)
{
    while (*length && blank((*text)[*length - 1])) --*length;
    while (*length && blank(**text)) ++*text, --*length;
}

static bool name_ok(const char *text, size_t length)
{
    if (length == 0 || length >= INI_NAME) return false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '-' && c != '_' && c != '.') return false;
    }
    return true;
}

/* Control bytes and broken UTF-8 have no business in a configuration: editors show something else than we read. */
static bool clean(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f) return false;
    return utf8_valid(text, length);
}

static bool open_section(struct place *place, const char *text, size_t length, struct err *err)
{
    if (text[length - 1] != ']')
        return refuse(place, ERR_MALFORMED, "a section starts with [ and must end with ]", err);
    if (!name_ok(text + 1, length - 2))
        return refuse(place, ERR_MALFORMED, "a section's name has 1 to 63 of letters, digits, - _ .", err);
    memcpy(place->section, text + 1, length - 2);
    place->section[length - 2] = '\0';
    return true;
}

static void free_item(struct ini_item *item)
{
    if (item->value) explicit_bzero(item->value, strlen(item->value));
    free(item->section);
    free(item->key);
    free(item->value);
}

/* "Key=": what the key had so far is forgotten. */
static void forget(struct ini *ini, const char *section, const char *key)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < ini->count; i++) {
        struct ini_item *item = &ini->items[i];
        if (strcmp(item->section, section) == 0 && strcmp(item->key, key) == 0)
            free_item(item);
        else
            ini->items[kept++] = *item;
    }
    ini->count = kept;
}

static bool grow(struct ini *ini)
{
    if (ini->count < ini->room) return true;
    unsigned room = ini->room ? ini->room * 2 : 32;
    struct ini_item *items = realloc(ini->items, room * sizeof *items);
    if (!items) return false;
    ini->items = items;
    ini->room = room;
    return true;
}

static bool append(struct place *place, const char *key, const char *value, size_t value_length, struct err *err)
{
    struct ini *ini = place->ini;
    if (ini->count >= INI_ITEMS) return refuse(place, ERR_TOO_LARGE, "too many settings", err);
    if (!grow(ini)) return refuse(place, ERR_IO, "out of memory", err);
    struct ini_item item = {.section = strdup(place->section),
                            .key = strdup(key),
                            .value = strndup(value, value_length),
                            .label = place->label,
                            .line = place->line};
    if (!item.section || !item.key || !item.value) {
        free_item(&item);
        return refuse(place, ERR_IO, "out of memory", err);
    }
    ini->items[ini->count++] = item;
    return true;
}

static bool assign(struct place *place, const char *text, size_t length, struct err *err)
{
    const char *equals = memchr(text, '=', length);
    if (!equals) return refuse(place, ERR_MALFORMED, "neither [Section] nor Key=value nor a comment", err);
    if (!place->section[0]) return refuse(place, ERR_MALFORMED, "a setting stands before the first [Section]", err);

    const char *name = text, *value = equals + 1;
    size_t name_length = (size_t)(equals - text), value_length = length - name_length - 1;
    trim(&name, &name_length);
    trim(&value, &value_length);
    if (!name_ok(name, name_length))
        return refuse(place, ERR_MALFORMED, "a key has 1 to 63 of letters, digits, - _ .", err);

    char key[INI_NAME];
    memcpy(key, name, name_length);
    key[name_length] = '\0';
    if (value_length == 0) {
        forget(place->ini, place->section, key);
        return true;
    }
    return append(place, key, value, value_length, err);
}

static bool read_line(struct place *place, const char *text, size_t length, struct err *err)
{
    if (length > INI_LINE) return refuse(place, ERR_TOO_LARGE, "the line is longer than 4096 bytes", err);
    trim(&text, &length);
    if (length == 0 || *text == '#' || *text == ';') return true;
    if (!clean(text, length)) return refuse(place, ERR_MALFORMED, "control bytes, or no UTF-8", err);
    if (text[length - 1] == '\\')
        return refuse(place, ERR_MALFORMED, "a line cannot go on in the next one: repeat the key instead", err);
    return *text == '[' ? open_section(place, text, length, err) : assign(place, text, length, err);
}

/* Items point at their file's label, so it must live as long as they do. */
static const char *keep_label(struct ini *ini, const char *label)
{
    char **labels = realloc(ini->labels, (ini->label_count + 1) * sizeof *labels);
    if (!labels) return NULL;
    ini->labels = labels;
    labels[ini->label_count] = strdup(label);
    return labels[ini->label_count] ? labels[ini->label_count++] : NULL;
}

bool ini_parse(struct ini *ini, const char *bytes, size_t length, const char *label, struct err *err)
{
    if (length > INI_FILE) return err_set(err, ERR_TOO_LARGE, "%s: larger than 256 KiB", label);
    struct place place = {.ini = ini, .label = keep_label(ini, label)};
    if (!place.label) return err_set(err, ERR_IO, "%s: out of memory", label);

    while (length) {
        const char *newline = memchr(bytes, '\n', length);
        size_t line_length = newline ? (size_t)(newline - bytes) : length;
        place.line++;
        if (!read_line(&place, bytes, line_length, err)) return false;
        size_t step = line_length + (newline ? 1 : 0);
        bytes += step;
        length -= step;
    }
    return true;
}

void ini_clear(struct ini *ini)
{
    for (unsigned i = 0; i < ini->count; i++) free_item(&ini->items[i]);
    for (unsigned i = 0; i < ini->label_count; i++) free(ini->labels[i]);
    free(ini->items);
    free(ini->labels);
    *ini = (struct ini){0};
}

static bool matches(const struct ini_item *item, const char *section, const char *key)
{
    return (!section || strcmp(item->section, section) == 0) && (!key || strcmp(item->key, key) == 0);
}

const char *ini_get(const struct ini *ini, const char *section, const char *key)
{
    for (unsigned i = ini->count; i > 0; i--)
        if (matches(&ini->items[i - 1], section, key)) return ini->items[i - 1].value;
    return NULL;
}

const struct ini_item *ini_each(const struct ini *ini, const char *section, const char *key,
                                const struct ini_item *after)
{
    for (unsigned i = after ? (unsigned)(after - ini->items) + 1 : 0; i < ini->count; i++)
        if (matches(&ini->items[i], section, key)) return &ini->items[i];
    return NULL;
}

bool ini_blame(const struct ini_item *item, struct err *err)
{
    return err_in(err, "%s:%u", item->label, item->line);
}
