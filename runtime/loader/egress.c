/* SPDX-License-Identifier: Apache-2.0 */
/* Egress patterns, from text to the rules that the broker will hold. Nothing is guessed: what is not plainly a name,
 * an address or a wildcard is refused. */
#include "egress.h"

#include "base/text.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static const struct {
    enum scheme scheme;
    const char *prefix;
} schemes[] = {{SCHEME_TLS, "tls://"}, {SCHEME_STARTTLS, "starttls://"}, {SCHEME_PLAIN, "plain://"}};

enum { SCHEME_COUNT = sizeof schemes / sizeof *schemes };

static bool refuse(struct err *err, const char *text, const char *why)
{
    return err_set(err, ERR_BAD_INPUT, "egress \"%.80s\": %s", text, why);
}

/* ── hosts ─────────────────────────────────────────────────────────────────────────────────────────── */

/* 1 to 63 of a-z 0-9 - _, no dash at either end; returns its length, 0 when it is none. */
static size_t label_length(const char *text)
{
    size_t length = 0;
    for (;; length++) {
        char c = text[length];
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_') continue;
        if (c == '-' && length > 0) continue;
        break;
    }
    return length >= 1 && length <= 63 && text[length - 1] != '-' ? length : 0;
}

/* A last label of digits, or 0x…, is read as an IPv4 address by some resolver somewhere: 127.1, 0x7f.1, 2130706433. */
static bool number_like(const char *label, size_t length)
{
    return strspn(label, "0123456789") == length ||
           (label[0] == '0' && label[1] == 'x' && strspn(label + 2, "0123456789abcdef") == length - 2);
}

/* The number of labels of a canonical DNS name, 0 when it is none. */
static unsigned count_labels(const char *name)
{
    unsigned labels = 0;
    if (strlen(name) > 253) return 0;
    for (;;) {
        size_t length = label_length(name);
        if (length == 0) return 0;
        labels++;
        if (name[length] == '\0') return number_like(name, length) ? 0 : labels;
        if (name[length] != '.') return 0;
        name += length + 1;
    }
}

static bool read_literal(struct egress_pattern *pattern)
{
    unsigned char address[16];
    char bare[FRAME_HOST];
    size_t length = strlen(pattern->host);
    if (pattern->host[0] == '[' && pattern->host[length - 1] == ']') {
        memcpy(bare, pattern->host + 1, length - 2);
        bare[length - 2] = '\0';
        return inet_pton(AF_INET6, bare, address) == 1 &&
               inet_ntop(AF_INET6, address, pattern->host, sizeof pattern->host);
    }
    return inet_pton(AF_INET, pattern->host, address) == 1;
}

static bool name_kind(struct egress_pattern *pattern)
{
    bool wild = strncmp(pattern->host, "*.", 2) == 0;
    unsigned labels = count_labels(pattern->host + (wild ? 2 : 0));
    if (wild)
        pattern->kind = labels >= 2 ? HOST_WILD : HOST_TOP_WILD;
    else
        pattern->kind = labels >= 2 ? HOST_NAME : HOST_SHORT;
    return labels > 0;
}

static bool read_host(const char *host, size_t length, struct egress_pattern *pattern)
{
    if (length == 0 || length >= sizeof pattern->host) return false;
    for (size_t i = 0; i < length; i++)
        pattern->host[i] = host[i] >= 'A' && host[i] <= 'Z' ? (char)(host[i] + 'a' - 'A') : host[i];
    pattern->host[length] = '\0';
    if (strcmp(pattern->host, "*") == 0) {
        pattern->kind = HOST_ANY;
        return true;
    }
    if (read_literal(pattern)) {
        pattern->kind = HOST_LITERAL;
        return true;
    }
    return name_kind(pattern);
}

/* ── patterns ──────────────────────────────────────────────────────────────────────────────────────── */

/* A number from 1, without leading zeros, or "*". */
static bool read_port(const char *text, uint16_t *port)
{
    unsigned value = 0;
    if (strcmp(text, "*") == 0) {
        *port = 0;
        return true;
    }
    if (strlen(text) > 5 || *text == '0') return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return false;
        value = value * 10 + (unsigned)(*text - '0');
    }
    *port = (uint16_t)value;
    return value >= 1 && value <= UINT16_MAX;
}

static const char *skip_scheme(const char *text, enum scheme *scheme)
{
    for (size_t i = 0; i < SCHEME_COUNT; i++) {
        size_t length = strlen(schemes[i].prefix);
        if (strncmp(text, schemes[i].prefix, length) != 0) continue;
        *scheme = schemes[i].scheme;
        return text + length;
    }
    return NULL;
}

bool egress_parse(const char *text, struct egress_pattern *pattern, struct err *err)
{
    struct egress_pattern fresh = {0};
    const char *host = skip_scheme(text, &fresh.scheme);
    if (!host) return refuse(err, text, "it must begin with tls://, starttls:// or plain://");
    const char *colon = strrchr(host, ':');
    if (!colon) return refuse(err, text, "the port is missing: scheme://host:port");
    if (!read_port(colon + 1, &fresh.port))
        return refuse(err, text, "the port must be one number from 1 to 65535 (or *); ranges are not taken");
    if (!read_host(host, (size_t)(colon - host), &fresh))
        return refuse(err, text, "this is not a host name (xn-- form for others than a-z), *.name or address");
    *pattern = fresh;
    return true;
}

void egress_text(const struct egress_pattern *pattern, char text[EGRESS_TEXT])
{
    const char *prefix = schemes[pattern->scheme - SCHEME_TLS].prefix;
    bool brackets = pattern->kind == HOST_LITERAL && strchr(pattern->host, ':');
    int used = snprintf(text, EGRESS_TEXT, "%s%s%s%s", prefix, brackets ? "[" : "", pattern->host, brackets ? "]" : "");
    if (pattern->port)
        snprintf(text + used, EGRESS_TEXT - (size_t)used, ":%u", pattern->port);
    else
        snprintf(text + used, EGRESS_TEXT - (size_t)used, ":*");
}

/* ── placeholders ──────────────────────────────────────────────────────────────────────────────────── */

/* Copies text, with value(name) for every {name}. false: bad braces, no value, or no room. */
static bool expand(const char *text, char *out, size_t size, bool (*value)(const void *, const char *, char *, size_t),
                   const void *from)
{
    size_t used = 0;
    while (*text) {
        const char *close = *text == '{' ? strchr(text, '}') : NULL;
        if (*text == '}' || (*text == '{' && !close) || used + 1 >= size) return false;
        if (!close) {
            out[used++] = *text++;
            continue;
        }
        char name[NAME_BYTES] = {0};
        size_t length = (size_t)(close - text) - 1;
        if (length == 0 || length >= sizeof name) return false;
        memcpy(name, text + 1, length);
        if (!value(from, name, out + used, size - used)) return false;
        used += strlen(out + used);
        text = close + 1;
    }
    out[used] = '\0';
    return true;
}

/* While only the schema is known, every setting counts as this: a host that passes as one, or a port. */
static bool sample_value(const void *schema, const char *name, char *out, size_t size)
{
    const json_t *property = json_object_get(json_object_get(schema, "properties"), name);
    const char *type = json_string_value(json_object_get(property, "type"));
    if (!type || (strcmp(type, "string") != 0 && strcmp(type, "integer") != 0)) return false;
    return (size_t)snprintf(out, size, "%s", *type == 's' ? "setting.example.com" : "1") < size;
}

static bool setting_value(const void *settings, const char *name, char *out, size_t size)
{
    const json_t *value = json_object_get(settings, name);
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        return *text && !strpbrk(text, "{}") && (size_t)snprintf(out, size, "%s", text) < size;
    }
    return json_is_integer(value) &&
           (size_t)snprintf(out, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value)) < size;
}

/* "scheme://{name}" alone: host and port stand in one setting, an https:// address. */
static bool one_placeholder(const char *ask, char name[NAME_BYTES])
{
    enum scheme scheme;
    const char *rest = skip_scheme(ask, &scheme);
    size_t length = rest ? strlen(rest) : 0;
    if (length < 3 || length - 2 >= NAME_BYTES || rest[0] != '{' || rest[length - 1] != '}') return false;
    memcpy(name, rest + 1, length - 2);
    name[length - 2] = '\0';
    return !strpbrk(name, "{}");
}

/* https://host[:port][/…] to "host:port"; no user part, nothing that a URL parser could read otherwise. */
static bool authority_of(const char *url, char *out, size_t size)
{
    if (strncmp(url, "https://", 8) != 0) return false;
    size_t length = strcspn(url + 8, "/?#");
    if (length == 0 || length + 5 > size) return false;
    memcpy(out, url + 8, length);
    out[length] = '\0';
    if (strpbrk(out, "@\\%* \t")) return false;
    const char *bracket = strchr(out, ']');
    return strchr(bracket ? bracket : out, ':') || text_copy(out + length, size - length, ":443");
}

static bool fill_url(const char *ask, const char *name, const json_t *settings, struct egress_pattern *pattern,
                     struct err *err)
{
    char authority[FRAME_HOST + 8], text[EGRESS_TEXT];
    const char *url = json_string_value(json_object_get(settings, name));
    if (!url) return err_set(err, ERR_NOT_FOUND, "the setting \"%s\" has no value", name);
    if (!authority_of(url, authority, sizeof authority))
        return err_set(err, ERR_BAD_INPUT, "the setting \"%s\" must be an address that begins with https://", name);
    snprintf(text, sizeof text, "%.*s%s", (int)(strchr(ask, '{') - ask), ask, authority);
    return egress_parse(text, pattern, err);
}

bool egress_fill(const char *ask, const json_t *settings, struct egress_pattern *pattern, struct err *err)
{
    char text[EGRESS_TEXT], name[NAME_BYTES];
    if (one_placeholder(ask, name)) return fill_url(ask, name, settings, pattern, err);
    if (!expand(ask, text, sizeof text, setting_value, settings))
        return err_set(err, ERR_NOT_FOUND, "egress \"%.80s\": a setting that it names has no value", ask);
    return egress_parse(text, pattern, err);
}

/* ── policy ────────────────────────────────────────────────────────────────────────────────────────── */

bool egress_check_ask(const char *ask, const json_t *settings_schema, struct err *err)
{
    char text[EGRESS_TEXT], name[NAME_BYTES];
    struct egress_pattern pattern;
    if (one_placeholder(ask, name)) {
        if (sample_value(settings_schema, name, text, sizeof text) && text[0] != '1') return true;
        return refuse(err, ask, "its setting is not a string of the settings' schema");
    }
    if (!expand(ask, text, sizeof text, sample_value, settings_schema))
        return refuse(err, ask, "a placeholder does not name a string or integer of the settings' schema");
    if (!egress_parse(text, &pattern, err)) return false;
    if (pattern.kind == HOST_LITERAL) return refuse(err, ask, "a manifest may not ask for an address");
    if (pattern.kind == HOST_SHORT) return refuse(err, ask, "a manifest may not ask for a name of one label");
    if (pattern.kind == HOST_TOP_WILD) return refuse(err, ask, "a wildcard must stand in front of at least two labels");
    return true;
}

bool egress_check_grant(const struct egress_pattern *grant, bool any_host, bool loopback, struct err *err)
{
    char text[EGRESS_TEXT];
    egress_text(grant, text);
    if (!any_host && grant->kind == HOST_ANY) return refuse(err, text, "this needs AllowAnyHost=yes");
    if (!any_host && grant->kind == HOST_TOP_WILD)
        return refuse(err, text, "a wildcard over a whole top-level domain needs AllowAnyHost=yes");
    if (!any_host && grant->port == 0) return refuse(err, text, "giving every port needs AllowAnyHost=yes");
    bool local = strcmp(grant->host, "localhost") == 0 ||
                 (strlen(grant->host) > 10 && strcmp(grant->host + strlen(grant->host) - 10, ".localhost") == 0);
    if (local && !loopback) return refuse(err, text, "this machine itself needs AddressRanges=loopback");
    return true;
}

/* ── intersection ──────────────────────────────────────────────────────────────────────────────────── */

static bool is_wild(const struct egress_pattern *pattern)
{
    return pattern->kind == HOST_WILD || pattern->kind == HOST_TOP_WILD;
}

/* *.example.com covers a.example.com and not a.b.example.com. */
static bool covers(const struct egress_pattern *wide, const struct egress_pattern *narrow)
{
    if (wide->kind == HOST_ANY) return true;
    if (strcmp(wide->host, narrow->host) == 0) return true;
    if (!is_wild(wide) || (narrow->kind != HOST_NAME && narrow->kind != HOST_SHORT)) return false;
    const char *dot = strchr(narrow->host, '.');
    return dot && strcmp(dot, wide->host + 1) == 0;
}

bool egress_meet(const struct egress_pattern *ask, const struct egress_pattern *grant, struct egress_pattern *both)
{
    if (ask->scheme != grant->scheme) return false;
    if (ask->port && grant->port && ask->port != grant->port) return false;
    if (ask->kind == HOST_LITERAL && grant->kind != HOST_LITERAL) return false;
    const struct egress_pattern *narrow = covers(ask, grant) ? grant : covers(grant, ask) ? ask : NULL;
    if (!narrow) return false;
    struct egress_pattern met = *narrow;
    met.port = ask->port ? ask->port : grant->port;
    *both = met;
    return true;
}
