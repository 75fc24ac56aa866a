/* SPDX-License-Identifier: Apache-2.0 */
/* The scanner: one pass, in place. */
#include "flat.h"

#include <stdint.h>
#include <string.h>

#include "base/utf8.h"

struct scan {
    char *at, *end;
};

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end && memchr(" \t\r\n", *scan->at, 4)) scan->at++;
}

static bool take(struct scan *scan, char c)
{
    skip_space(scan);
    if (scan->at == scan->end || *scan->at != c) return false;
    scan->at++;
    return true;
}

/* ── texts ─────────────────────────────────────────────────────────────────────────────────────────── */

static bool four_digits(struct scan *scan, uint32_t *unit)
{
    *unit = 0;
    if (scan->end - scan->at < 4) return false;
    for (int i = 0; i < 4; i++) {
        char c = *scan->at++;
        bool digit = c >= '0' && c <= '9', low = c >= 'a' && c <= 'f', high = c >= 'A' && c <= 'F';
        if (!digit && !low && !high) return false;
        *unit = *unit << 4 | (uint32_t)(digit ? c - '0' : low ? c - 'a' + 10 : c - 'A' + 10);
    }
    return true;
}

static char *put_utf8(char *to, uint32_t point)
{
    int more = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    *to++ = (char)(lead[more] | point >> (6 * more));
    while (more-- > 0) *to++ = (char)(0x80 | ((point >> (6 * more)) & 0x3f));
    return to;
}

/* Six characters of text at least for three bytes, twelve for four: to never overtakes scan->at. */
static bool unicode(struct scan *scan, char **to)
{
    uint32_t unit, second;
    if (!four_digits(scan, &unit) || unit == 0 || (unit >= 0xdc00 && unit < 0xe000)) return false;
    if (unit >= 0xd800 && unit < 0xdc00) {
        if (scan->end - scan->at < 2 || *scan->at++ != '\\' || *scan->at++ != 'u' || !four_digits(scan, &second) ||
            second < 0xdc00 || second >= 0xe000)
            return false;
        unit = 0x10000 + ((unit - 0xd800) << 10) + (second - 0xdc00);
    }
    *to = put_utf8(*to, unit);
    return true;
}

static bool escape(struct scan *scan, char **to)
{
    static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    if (scan->at == scan->end) return false;
    char c = *scan->at++;
    if (c == 'u') return unicode(scan, to);
    const char *found = memchr(names, c, sizeof names - 1);
    if (found) *(*to)++ = means[found - names];
    return found;
}

static bool take_text(struct scan *scan, const char **text, size_t *length)
{
    if (!take(scan, '"')) return false;
    char *start = scan->at, *to = start;
    while (scan->at < scan->end && *scan->at != '"') {
        unsigned char c = (unsigned char)*scan->at++;
        if (c < 0x20) return false;
        if (c != '\\')
            *to++ = (char)c;
        else if (!escape(scan, &to))
            return false;
    }
    if (scan->at == scan->end) return false;
    scan->at++;
    *text = start;
    *length = (size_t)(to - start);
    return utf8_valid(start, *length);
}

/* ── values ────────────────────────────────────────────────────────────────────────────────────────── */

/* A whole number without a needless zero, or true, or false; taken as it is written. */
static bool take_bare(struct scan *scan, const char **text, size_t *length)
{
    char *start = scan->at, *digits = start + (start < scan->end && *start == '-');
    while (scan->at < scan->end && !memchr(" \t\r\n,}", *scan->at, 6)) scan->at++;
    *text = start;
    *length = (size_t)(scan->at - start);
    if ((*length == 4 && memcmp(start, "true", 4) == 0) || (*length == 5 && memcmp(start, "false", 5) == 0))
        return true;
    if (digits == scan->at || (*digits == '0' && (digits + 1 != scan->at || digits != start))) return false;
    for (const char *c = digits; c < scan->at; c++)
        if (*c < '0' || *c > '9') return false;
    return true;
}

static bool take_member(struct scan *scan, struct flat_member *member)
{
    if (!take_text(scan, &member->name, &member->name_length) || !take(scan, ':')) return false;
    skip_space(scan);
    bool text = scan->at < scan->end && *scan->at == '"';
    return text ? take_text(scan, &member->value, &member->length) : take_bare(scan, &member->value, &member->length);
}

static bool same_name(const struct flat_member *member, const char *name, size_t length)
{
    return member->name_length == length && (length == 0 || memcmp(member->name, name, length) == 0);
}

static bool add_member(struct scan *scan, struct flat *flat, struct err *err)
{
    static const char *const form =
        "what is sealed in it is not a plain JSON object: its values must be texts, whole numbers, true or false";
    if (flat->count == FLAT_MEMBERS)
        return err_set(err, ERR_TOO_LARGE, "what is sealed in it has more than %d members", FLAT_MEMBERS);
    struct flat_member *fresh = &flat->members[flat->count];
    if (!take_member(scan, fresh)) return err_set(err, ERR_MALFORMED, "%s", form);
    for (unsigned i = 0; i < flat->count; i++)
        if (same_name(&flat->members[i], fresh->name, fresh->name_length))
            return err_set(err, ERR_MALFORMED, "what is sealed in it names a member twice");
    flat->count++;
    return true;
}

bool flat_read(char *text, size_t length, struct flat *flat, struct err *err)
{
    struct scan scan = {text, text + length};
    bool more = true, closed = false;
    flat->count = 0;
    if (!take(&scan, '{')) return err_set(err, ERR_MALFORMED, "what is sealed in it is not a JSON object");
    closed = take(&scan, '}');
    while (!closed && more) {
        if (!add_member(&scan, flat, err)) return false;
        more = take(&scan, ',');
        closed = !more && take(&scan, '}');
    }
    skip_space(&scan);
    return (closed && scan.at == scan.end) ||
           err_set(err, ERR_MALFORMED, "what is sealed in it is not one whole JSON object");
}

const struct flat_member *flat_find(const struct flat *flat, const char *name)
{
    for (unsigned i = 0; i < flat->count; i++)
        if (same_name(&flat->members[i], name, strlen(name))) return &flat->members[i];
    return NULL;
}
