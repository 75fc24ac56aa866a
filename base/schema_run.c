/* SPDX-License-Identifier: Apache-2.0 */
/* Applying a schema to a value: the walk, its bounds, the references, and the words of a refusal. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema.h"
#include "schema_rules.h"
#include "utf8.h"

/* RUN_DEPTH: of the recursion; references that loop through the value's depth, plus the chains at each level. */
enum { RUN_STEPS = 1000 * 1000, RUN_DEPTH = 512 };

/* ── saying no ─────────────────────────────────────────────────────────────────────────────────────── */

/* Adds "/key" with the two escapes of RFC 6901; bytes that would spoil a line of text become '?'. */
static size_t put_key(char *pointer, size_t used, const char *key)
{
    if (used < SCHEMA_POINTER - 1) pointer[used++] = '/';
    for (; *key && used < SCHEMA_POINTER - 3; key++) {
        if (*key == '~' || *key == '/')
            pointer[used++] = '~', pointer[used++] = *key == '~' ? '0' : '1';
        else
            pointer[used++] = (unsigned char)*key < 0x20 || *key == 0x7f ? '?' : *key;
    }
    pointer[used] = '\0';
    return used;
}

size_t schema_pointer(char *pointer, const struct schema_spot *spot)
{
    if (!spot) return 0;
    char index[24];
    size_t used = schema_pointer(pointer, spot->above);
    snprintf(index, sizeof index, "%zu", spot->index);
    return put_key(pointer, used, spot->key ? spot->key : index);
}

/* A cut in the middle of a character would make the text no UTF-8. */
static void end_whole(char *pointer)
{
    size_t length = strlen(pointer);
    while (length && !utf8_valid(pointer, length)) pointer[--length] = '\0';
}

bool schema_refuse(struct schema_run *run, const struct schema_spot *spot, const char *format, ...)
{
    char expected[160];
    va_list args;
    va_start(args, format);
    vsnprintf(expected, sizeof expected, format, args);
    va_end(args);
    run->pointer[0] = '\0';
    schema_pointer(run->pointer, spot);
    end_whole(run->pointer);
    return err_set(run->err, ERR_BAD_INPUT, "%s: %s", run->pointer[0] ? run->pointer : "the value", expected);
}

bool schema_break_off(struct schema_run *run)
{
    run->broken = true;
    return err_set(run->err, ERR_TOO_LARGE, "the input is too large or nested too deeply to be checked");
}

bool schema_pay(struct schema_run *run)
{
    if (run->budget == 0) return schema_break_off(run);
    run->budget--;
    return true;
}

/* ── references ────────────────────────────────────────────────────────────────────────────────────── */

static int hex_digit(char c)
{
    const char *digits = "0123456789abcdef", *found = c ? strchr(digits, c | 0x20) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* One step of the reference, percent- and tilde-decoded into token. Returns the text behind it, NULL if malformed. */
static const char *next_token(const char *ref, char *token, size_t size)
{
    size_t used = 0;
    for (; *ref && *ref != '/'; ref++) {
        char c = *ref;
        if (c == '%') {
            int high = hex_digit(ref[1]), low = high < 0 ? -1 : hex_digit(ref[2]);
            if (low < 0) return NULL;
            c = (char)(high << 4 | low);
            ref += 2;
        }
        if (used + 1 >= size || c == '\0') return NULL;
        token[used++] = c;
    }
    token[used] = '\0';
    return ref;
}

/* ~1 is a slash, ~0 a tilde: in place, the text only gets shorter. */
static bool untilde(char *token)
{
    char *out = token;
    for (const char *in = token; *in; in++) {
        char c = *in;
        if (c == '~' && (in[1] == '0' || in[1] == '1'))
            c = *++in == '0' ? '~' : '/';
        else if (c == '~')
            return false;
        *out++ = c;
    }
    *out = '\0';
    return true;
}

static const json_t *list_item(const json_t *list, const char *token)
{
    if (token[0] < '0' || token[0] > '9' || (token[0] == '0' && token[1]) || strlen(token) > 6) return NULL;
    char *end;
    unsigned long index = strtoul(token, &end, 10);
    return *end ? NULL : json_array_get(list, index);
}

/* expected: what stands at this place of the document: a schema, a list or a map of schemas. */
static const json_t *step(const json_t *at, const char *token, enum schema_arg *expected)
{
    enum schema_arg here = *expected;
    *expected = ARG_SCHEMA;
    if (here == ARG_SCHEMAS) return list_item(at, token);
    if (here == ARG_MAP) return json_object_get(at, token);
    const struct schema_keyword *keyword = schema_keyword(token);
    if (!keyword || (keyword->arg != ARG_SCHEMA && keyword->arg != ARG_SCHEMAS && keyword->arg != ARG_MAP)) return NULL;
    *expected = keyword->arg;
    return json_object_get(at, token);
}

const json_t *schema_follow(const json_t *root, const char *ref)
{
    char token[256];
    enum schema_arg expected = ARG_SCHEMA;
    const json_t *at = root;
    if (!ref || *ref++ != '#') return NULL;
    while (at && *ref == '/') {
        ref = next_token(ref + 1, token, sizeof token);
        if (!ref || !untilde(token)) return NULL;
        at = step(at, token, &expected);
    }
    return at && *ref == '\0' && expected == ARG_SCHEMA ? at : NULL;
}

/* ── the walk ──────────────────────────────────────────────────────────────────────────────────────── */

static bool apply_object(struct schema_run *run, const json_t *schema, const json_t *value,
                         const struct schema_spot *spot)
{
    const char *name;
    json_t *rule;
    json_object_foreach((json_t *)schema, name, rule)
    {
        const struct schema_keyword *keyword = schema_keyword(name);
        struct schema_test test = {rule, schema, value, spot};
        if (keyword && keyword->test && !keyword->test(run, &test)) return false;
    }
    return true;
}

bool schema_apply(struct schema_run *run, const json_t *schema, const json_t *value, const struct schema_spot *spot)
{
    if (run->broken || !schema_pay(run)) return false;
    if (run->depth >= RUN_DEPTH) return schema_break_off(run);
    if (json_is_true(schema)) return true;
    if (!json_is_object(schema)) return schema_refuse(run, spot, "is not allowed here");
    run->depth++;
    bool fits = apply_object(run, schema, value, spot);
    run->depth--;
    return fits;
}

bool schema_validate(const json_t *schema, const json_t *value, char pointer[SCHEMA_POINTER], struct err *err)
{
    char where[SCHEMA_POINTER] = "";
    struct err fault = {0};
    struct schema_run run = {.root = schema, .budget = RUN_STEPS, .pointer = where, .err = &fault};
    if (schema_apply(&run, schema, value, NULL)) return true;
    memcpy(pointer, where, sizeof where);
    *err = fault;
    return false;
}
