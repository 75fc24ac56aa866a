/* SPDX-License-Identifier: Apache-2.0 */
/* Aligned text, JSON and errors. */
#include "print.h"

#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/buf.h"
#include "base/utf8.h"

enum { CELL = 1024, COLUMNS = 16 };

/* ── taming ────────────────────────────────────────────────────────────────────────────────────────── */

/* Of a well-formed character: C0, DEL, C1, and the marks that turn text around or hide it. */
static bool tricky(const char *at, size_t length)
{
    const unsigned char *c = (const unsigned char *)at;
    if (length == 1) return c[0] < 0x20 || c[0] == 0x7f;
    if (length == 2) return c[0] == 0xc2 && c[1] < 0xa0;
    if (length != 3 || c[0] != 0xe2) return length == 3 && c[0] == 0xef && c[1] == 0xbb && c[2] == 0xbf;
    if (c[1] == 0x80) return (c[2] >= 0x8b && c[2] <= 0x8f) || (c[2] >= 0xa8 && c[2] <= 0xae);
    return c[1] == 0x81 && c[2] >= 0xa0 && c[2] <= 0xaf;
}

static void tame(const char *text, struct buf *out)
{
    for (size_t left = strlen(text); left;) {
        size_t step = utf8_step(text, left);
        if (step && !tricky(text, step))
            buf_add(out, text, step);
        else
            buf_text(out, *text == '\n' || *text == '\t' ? " " : "?");
        step = step ? step : 1;
        text += step;
        left -= step;
    }
}

char *print_tamed(const char *text)
{
    BUF_AUTO clean;
    buf_init(&clean, strlen(text) + 1);
    if (!buf_reserve(&clean, 0)) return NULL;
    tame(text, &clean);
    return strdup(clean.bytes);
}

void print_tame(const char *text, FILE *out)
{
    FREE_AUTO char *clean = print_tamed(text);
    if (clean) fputs(clean, out);
}

/* ── cells ─────────────────────────────────────────────────────────────────────────────────────────── */

static const json_t *member_of(const json_t *object, const char *path)
{
    char name[64];
    const char *bar = strchr(path, '|');
    if (bar) {
        snprintf(name, sizeof name, "%.*s", (int)(bar - path), path);
        const json_t *first = json_object_get(object, name);
        return first ? first : member_of(object, bar + 1);
    }
    for (const char *slash; (slash = strchr(path, '/')); path = slash + 1) {
        snprintf(name, sizeof name, "%.*s", (int)(slash - path), path);
        object = json_object_get(object, name);
    }
    return json_object_get(object, path);
}

static void add_cell(const json_t *value, struct buf *out)
{
    size_t i;
    json_t *item;
    if (json_is_string(value))
        tame(json_string_value(value), out);
    else if (json_is_integer(value))
        buf_print(out, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        buf_print(out, "%g", json_real_value(value));
    else if (json_is_boolean(value))
        buf_text(out, json_is_true(value) ? "yes" : "no");
    else if (json_is_array(value)) {
        json_array_foreach(value, i, item)
        {
            if (i) buf_text(out, ", ");
            add_cell(json_is_object(item) && json_object_get(item, "name") ? json_object_get(item, "name") : item, out);
        }
    } else if (json_is_object(value)) {
        char *text = json_dumps(value, JSON_COMPACT);
        if (text) tame(text, out);
        free(text);
    }
    if (out->used == 0) buf_text(out, "-");
}

static size_t width(const struct buf *cell)
{
    return utf8_count(cell->bytes, cell->used);
}

static void make_cell(const json_t *row, const char *member, struct buf *cell)
{
    buf_init(cell, CELL);
    add_cell(member_of(row, member), cell);
}

/* ── rows ──────────────────────────────────────────────────────────────────────────────────────────── */

static void measure(const json_t *rows, const struct print_field *fields, size_t widths[COLUMNS])
{
    size_t i;
    json_t *row;
    for (unsigned column = 0; fields[column].title; column++) {
        widths[column] = utf8_count(fields[column].title, strlen(fields[column].title));
        json_array_foreach(rows, i, row)
        {
            BUF_AUTO cell;
            make_cell(row, fields[column].member, &cell);
            if (width(&cell) > widths[column]) widths[column] = width(&cell);
        }
    }
}

/* The last column is not padded. */
static void print_cell(const char *text, size_t count, size_t wanted, bool last)
{
    fputs(text, stdout);
    if (last)
        putchar('\n');
    else
        printf("%*s", (int)(wanted - count) + 2, "");
}

void print_rows(const json_t *rows, const struct print_field *fields, const char *none)
{
    size_t widths[COLUMNS] = {0}, i;
    json_t *row;
    if (json_array_size(rows) == 0) {
        puts(none);
        return;
    }
    measure(rows, fields, widths);
    for (unsigned column = 0; fields[column].title; column++)
        print_cell(fields[column].title, strlen(fields[column].title), widths[column], !fields[column + 1].title);
    json_array_foreach(rows, i, row) for (unsigned column = 0; fields[column].title; column++)
    {
        BUF_AUTO cell;
        make_cell(row, fields[column].member, &cell);
        print_cell(cell.bytes, width(&cell), widths[column], !fields[column + 1].title);
    }
}

void print_fields(const json_t *object, const struct print_field *fields)
{
    size_t widest = 0;
    for (const struct print_field *field = fields; field->title; field++)
        if (strlen(field->title) > widest) widest = strlen(field->title);
    for (; fields->title; fields++) {
        if (!member_of(object, fields->member)) continue;
        BUF_AUTO cell;
        make_cell(object, fields->member, &cell);
        printf("%s:%*s %s\n", fields->title, (int)(widest - strlen(fields->title)), "", cell.bytes);
    }
}

const json_t *print_list(const json_t *answer)
{
    const char *name;
    json_t *value;
    if (json_is_array(answer)) return answer;
    json_object_foreach((json_t *)answer, name, value) if (json_is_array(value)) return value;
    return NULL;
}

/* A character of a JSON text, all of them below U+10000, as its escape. */
static void put_escape(const char *at, size_t length)
{
    const unsigned char *c = (const unsigned char *)at;
    unsigned point = c[0];
    if (length == 2) point = (c[0] & 0x1fu) << 6 | (c[1] & 0x3fu);
    if (length == 3) point = (c[0] & 0x0fu) << 12 | (c[1] & 0x3fu) << 6 | (c[2] & 0x3fu);
    printf("\\u%04X", point);
}

void print_json(const json_t *value)
{
    FREE_AUTO char *text = json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY);
    size_t left = text ? strlen(text) : 0;
    for (const char *at = text; left;) {
        size_t step = utf8_step(at, left);
        step = step ? step : 1;
        if (*at != '\n' && tricky(at, step))
            put_escape(at, step);
        else
            fwrite(at, 1, step, stdout);
        at += step;
        left -= step;
    }
    putchar('\n');
}

/* ── errors ────────────────────────────────────────────────────────────────────────────────────────── */

static void print_problem(const struct err *err, const struct err_row *row, const json_t *told)
{
    const char *text = utf8_valid(err->text, strlen(err->text)) ? err->text : row->title;
    JSON_AUTO *own = json_pack("{s:s+,s:s,s:i,s:s}", "type", "urn:caisson:problem:", row->slug, "title", row->title,
                               "status", row->http, "detail", text);
    json_dumpf(told ? told : own, stderr, JSON_COMPACT);
    fputc('\n', stderr);
}

void print_failure(const struct err *err, const json_t *problem, bool json)
{
    const struct err_row *row = err_row(err->kind);
    if (json) {
        print_problem(err, row, problem);
        return;
    }
    fputs("caisson: ", stderr);
    print_tame(err->text[0] ? err->text : row->title, stderr);
    const char *cause = strstr(err->detail, ": "); /* what the operating system said stands behind file and line */
    if (cause && !strstr(err->text, cause + 2)) fputs(cause, stderr);
    fputc('\n', stderr);
}
