/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the host of a dial: what passes here has one reading only, in every library that sees it later. */
#include "name.h"

#include <stdio.h>
#include <string.h>

#include "address.h"

enum { LABEL_MAX = 63, HOST_MAX = 253, SHOWN_PART = 24, SHOWN_START = 4, SHOWN_MAX = 256 };

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

void name_escape(const char *bytes, size_t length, char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];
        bool plain = c > 0x20 && c < 0x7f && c != '\\';
        if (used + 4 + sizeof "…" > size) {
            if (used + sizeof "…" <= size) snprintf(text + used, size - used, "…");
            return;
        }
        used += (size_t)snprintf(text + used, size - used, plain ? "%c" : "\\x%02x", c);
    }
    if (size) text[used] = 0;
}

void name_show(const char *bytes, size_t length, char *text, size_t size)
{
    char shown[4 * SHOWN_MAX];
    size_t used = 0;
    for (size_t at = 0; at < length && used < sizeof shown - SHOWN_PART - 32;) {
        size_t part = at;
        while (part < length && bytes[part] != '.' && bytes[part] != ':') part++;
        size_t whole = part - at, kept = whole > SHOWN_PART ? SHOWN_START : whole;
        memcpy(shown + used, bytes + at, kept);
        used += kept;
        if (kept < whole) used += (size_t)snprintf(shown + used, 32, "~(%zu)", whole);
        if (part < length) shown[used++] = bytes[part++];
        at = part;
    }
    name_escape(shown, used, text, size);
}

/* The bytes of host names, and of IPv6 addresses; the message says what to write instead. */
static bool check_bytes(const char *bytes, size_t length, struct err *err)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c >= 0x80) return err_set(err, ERR_DENIED, "the name is not ASCII: write it in its ASCII form (xn--…)");
        if (!is_letter((char)c) && !is_digit((char)c) && !strchr("-_.:", c ? c : ' '))
            return err_set(err, ERR_DENIED, "byte 0x%02x is not allowed in a host name", c);
    }
    return true;
}

static bool check_label(const char *label, size_t length, struct err *err)
{
    if (!length) return err_set(err, ERR_DENIED, "the host name has an empty label");
    if (length > LABEL_MAX) return err_set(err, ERR_DENIED, "a label of the host name is longer than 63 bytes");
    if (label[0] == '-' || label[length - 1] == '-')
        return err_set(err, ERR_DENIED, "a label of the host name begins or ends with a hyphen");
    return true;
}

static bool check_labels(const char *text, struct err *err)
{
    for (const char *label = text;; label++) {
        size_t length = strcspn(label, ".");
        if (!check_label(label, length, err)) return false;
        label += length;
        if (!*label) return true;
    }
}

/* A last label that some library would read as a number: digits only, or 0x…. */
static bool ends_in_number(const char *text)
{
    const char *dot = strrchr(text, '.'), *last = dot ? dot + 1 : text;
    if (last[0] == '0' && last[1] == 'x') return true;
    return *last && strspn(last, "0123456789") == strlen(last);
}

static bool read_address(struct name *name, struct err *err)
{
    struct address address;
    if (!address_parse(name->text, &address))
        return err_set(err, ERR_DENIED, "an IP address must be written canonically, such as 192.0.2.1 or 2001:db8::1");
    name->kind = NAME_ADDRESS;
    return true;
}

bool name_read(const char *bytes, size_t length, struct name *name, struct err *err)
{
    struct name read = {.kind = NAME_HOST};
    if (length == 0) return err_set(err, ERR_DENIED, "the host name is empty");
    if (!check_bytes(bytes, length, err)) return false;
    bool dotted = length > 1 && bytes[length - 1] == '.';
    if (dotted) length--;
    if (length > HOST_MAX) return err_set(err, ERR_DENIED, "the host name is longer than 253 bytes");
    for (size_t i = 0; i < length; i++)
        read.text[i] = (char)(bytes[i] >= 'A' && bytes[i] <= 'Z' ? bytes[i] | 0x20 : bytes[i]);
    if (strchr(read.text, ':') || ends_in_number(read.text)) {
        if (dotted) return err_set(err, ERR_DENIED, "an IP address has no trailing dot");
        if (!read_address(&read, err)) return false;
    } else if (!check_labels(read.text, err)) {
        return false;
    }
    *name = read;
    return true;
}

bool name_matches(const struct name *name, const char *pattern)
{
    if (strcmp(pattern, "*") == 0) return name->kind == NAME_HOST;
    if (strncmp(pattern, "*.", 2) != 0) return strcmp(name->text, pattern) == 0;
    if (name->kind != NAME_HOST || !pattern[2]) return false;
    const char *dot = strchr(name->text, '.');
    return dot && dot != name->text && strcmp(dot + 1, pattern + 2) == 0;
}
