/* SPDX-License-Identifier: Apache-2.0 */
/* webhook — posts JSON or text to a receiver: signed as Standard Webhooks 1.0 asks, as a CloudEvent where wished. */
#define _POSIX_C_SOURCE 200809L
#include <caisson/http.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

enum { HEADERS = 60, TEXTS = 64 * 1024, SECRETS = 8, ATTRIBUTE = 20 };

/* One request while it is put together. */
struct request {
    struct csn_call *call;
    struct csn_http_pair headers[HEADERS];
    size_t header_count;
    char texts[TEXTS]; /* header names and values that are made here */
    size_t text_size;
    char *body; /* to be freed; NULL: plain points elsewhere */
    const char *plain;
    size_t body_size;
    const char *type; /* of the body */
    char problem[200];
};

#ifdef __GNUC__
#define PRINTS __attribute__((format(printf, 2, 3)))
#else
#define PRINTS
#endif

PRINTS static int wrong(struct request *r, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(r->problem, sizeof r->problem, format, list);
    va_end(list);
    return 0;
}

/* A text that lives as long as the request; NULL when there is no room. */
PRINTS static const char *text(struct request *r, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    char *made = r->texts + r->text_size;
    int size = vsnprintf(made, TEXTS - r->text_size, format, list);
    va_end(list);
    if (size < 0 || (size_t)size >= TEXTS - r->text_size) return NULL;
    r->text_size += (size_t)size + 1;
    return made;
}

static int header(struct request *r, const char *name, const char *value)
{
    if (r->header_count == HEADERS || !name || !value) return wrong(r, "the headers are too many or too long");
    r->headers[r->header_count].name = name;
    r->headers[r->header_count++].value = value;
    return 1;
}

/* ── the caller's own headers ─────────────────────────────────────────────────────────────────────────*/

/* Those that this connector makes itself, and those that speak for the sender. */
static int reserved(const char *name)
{
    static const char *const names[] = {"content-type", "authorization", "traceparent", "cookie"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0) return 1;
    return strncasecmp(name, "webhook-", 8) == 0 || strncasecmp(name, "ce-", 3) == 0;
}

/* The member's place in the input: its name may hold what a JSON Pointer escapes. */
static const char *member(struct request *r, const char *parent, const char *name)
{
    char escaped[300];
    size_t used = 0;
    for (; *name && used + 2 < sizeof escaped; name++) {
        if (*name == '~' || *name == '/') {
            escaped[used++] = '~';
            escaped[used++] = *name == '~' ? '0' : '1';
        } else {
            escaped[used++] = *name;
        }
    }
    escaped[used] = 0;
    return *name ? NULL : text(r, "%s/%s", parent, escaped);
}

static int own_headers(struct request *r)
{
    for (int i = 0; i < csn_count(r->call, "/headers"); i++) {
        const char *name = csn_key(r->call, "/headers", i), *pointer = member(r, "/headers", name);
        const char *value = pointer ? csn_input(r->call, pointer) : NULL;
        if (!value) return wrong(r, "/headers: a name is too long");
        if (reserved(name)) return wrong(r, "/headers/%.80s: this header cannot be set by the caller", name);
        if (!header(r, name, value)) return 0;
    }
    return 1;
}

/* ── CloudEvents 1.0 ──────────────────────────────────────────────────────────────────────────────────*/

/* "2026-01-31T23:59:59Z" */
static const char *utc(struct request *r)
{
    time_t now = (time_t)csn_now(r->call);
    struct tm date;
    if (!gmtime_r(&now, &date)) return NULL;
    return text(r, "%04d-%02d-%02dT%02d:%02d:%02dZ", date.tm_year + 1900, date.tm_mon + 1, date.tm_mday, date.tm_hour,
                date.tm_min, date.tm_sec);
}

/* Headers take printable ASCII; the rest, blanks, quotes and percent signs are escaped (HTTP binding §3.1.3.2). */
static const char *escaped(struct request *r, const char *value)
{
    size_t start = r->text_size;
    for (const unsigned char *at = (const unsigned char *)value; *at; at++) {
        int plain = *at > 0x20 && *at < 0x7f && *at != '"' && *at != '%';
        if (!text(r, plain ? "%c" : "%%%02X", *at)) return NULL;
        r->text_size--; /* the next one goes over this one's NUL */
    }
    return text(r, "%s", "") ? r->texts + start : NULL;
}

/* What one attribute goes to: a header in binary mode, a member of the body in structured mode. */
static int attribute(struct request *r, FILE *body, const char *name, const char *value)
{
    if (!value) return wrong(r, "the event is too long");
    if (!body) return header(r, text(r, "ce-%s", name), escaped(r, value));
    fprintf(body, "%s\"%s\":", strcmp(name, "specversion") == 0 ? "{" : ",", name);
    csn_json_write(body, value);
    return 1;
}

static int attribute_name(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789");
    static const char *const taken[] = {"specversion", "id",         "source",          "type",       "subject", "time",
                                        "data",        "dataschema", "datacontenttype", "data_base64"};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strcmp(name, taken[i]) == 0) return 0;
    return length > 0 && length <= ATTRIBUTE && !name[length];
}

static int extensions(struct request *r, FILE *body)
{
    for (int i = 0; i < csn_count(r->call, "/event/extensions"); i++) {
        const char *name = csn_key(r->call, "/event/extensions", i);
        if (!attribute_name(name))
            return wrong(r,
                         "/event/extensions/%.60s: 1 to 20 lower-case letters and digits, and none of "
                         "CloudEvents' own names",
                         name);
        if (!attribute(r, body, name, csn_input(r->call, text(r, "/event/extensions/%s", name)))) return 0;
    }
    return 1;
}

static int attributes(struct request *r, FILE *body)
{
    const char *id = csn_input(r->call, "/event/id"), *time = csn_input(r->call, "/event/time");
    const char *subject = csn_input(r->call, "/event/subject"), *schema = csn_input(r->call, "/event/dataschema");
    return attribute(r, body, "specversion", "1.0") && attribute(r, body, "id", id ? id : csn_call_id(r->call)) &&
           attribute(r, body, "source", csn_input(r->call, "/event/source")) &&
           attribute(r, body, "type", csn_input(r->call, "/event/type")) &&
           attribute(r, body, "time", time ? time : utc(r)) && (!subject || attribute(r, body, "subject", subject)) &&
           (!schema || attribute(r, body, "dataschema", schema)) && extensions(r, body);
}

/* The whole event as one JSON document. */
static int structured(struct request *r)
{
    FILE *body = open_memstream(&r->body, &r->body_size);
    if (!body) return wrong(r, "out of memory");
    int good = attributes(r, body) && attribute(r, body, "datacontenttype", r->type);
    fputs(",\"data\":", body);
    if (csn_input(r->call, "/text"))
        csn_json_write(body, r->plain);
    else
        fputs(r->plain, body);
    fputc('}', body);
    if (fclose(body)) return wrong(r, "out of memory");
    r->type = "application/cloudevents+json; charset=utf-8";
    return good;
}

static int event(struct request *r)
{
    const char *mode = csn_input(r->call, "/event/mode");
    if (csn_count(r->call, "/event") < 0) return 1;
    return mode && strcmp(mode, "structured") == 0 ? structured(r) : attributes(r, NULL);
}

/* ── Standard Webhooks 1.0 ────────────────────────────────────────────────────────────────────────────*/

/* One signature over "id.timestamp.body", with one secret of the form whsec_BASE64. */
static const char *sign(struct request *r, const char *secret, const char *content, size_t size)
{
    const void *key;
    size_t key_size;
    unsigned char mac[32];
    if (strncmp(secret, "whsec_", 6) != 0 || !csn_unbase64(r->call, secret + 6, &key, &key_size) || key_size < 24 ||
        key_size > 64 || !csn_hmac_sha256(r->call, key, key_size, content, size, mac))
        return NULL;
    const char *base64 = csn_base64(r->call, mac, sizeof mac);
    return base64 ? text(r, "v1,%s", base64) : NULL;
}

/* Every secret of the credential signs; the receiver accepts any one of them, so secrets can be changed in turn. */
static int sign_all(struct request *r, const char *secrets, const char *content, size_t size)
{
    char copy[1024], *rest = copy, *secret;
    const char *all = "";
    int count = 0;
    size_t length = strlen(secrets);
    if (length >= sizeof copy) return wrong(r, "the credential's secrets are too long");
    memcpy(copy, secrets, length + 1);
    while ((secret = strtok_r(rest, " \t\r\n,", &rest)) && count++ < SECRETS) {
        const char *one = sign(r, secret, content, size);
        all = one ? text(r, "%s%s%s", all, *all ? " " : "", one) : NULL;
        if (!all) break;
    }
    memset(copy, 0, sizeof copy);
    if (!all || count == 0 || count > SECRETS)
        return wrong(r, "the credential's field secret is not whsec_ and base64 of 24 to 64 bytes (at most 8 of them)");
    return header(r, "webhook-signature", all);
}

static int sign_request(struct request *r)
{
    const char *secrets = csn_secret(r->call, "secret"), *bare = csn_setting(r->call, "/unsigned");
    const char *id = csn_call_id(r->call), *when = text(r, "%lld", (long long)csn_now(r->call));
    if (!header(r, "webhook-id", id) || !header(r, "webhook-timestamp", when)) return 0;
    if (!secrets && bare && strcmp(bare, "true") == 0) return 1;
    if (!secrets) return wrong(r, "the call names no credential with a secret to sign with");
    size_t size = strlen(id) + strlen(when) + r->body_size + 2;
    char *content = malloc(size + 1);
    if (!content) return wrong(r, "out of memory");
    size_t head = (size_t)snprintf(content, size + 1, "%s.%s.", id, when);
    memcpy(content + head, r->body ? r->body : r->plain, r->body_size);
    int good = sign_all(r, secrets, content, size);
    free(content);
    return good;
}

/* ── the exchange ─────────────────────────────────────────────────────────────────────────────────────*/

static int payload(struct request *r)
{
    const char *plain = csn_input(r->call, "/text"), *type = csn_input(r->call, "/content_type");
    r->plain = plain ? plain : csn_json(r->call, "/data");
    r->type = type ? type : plain ? "text/plain; charset=utf-8" : "application/json";
    r->body_size = r->plain ? strlen(r->plain) : 0;
    return r->plain ? 1 : wrong(r, "there is neither data nor text to send");
}

static int put_together(struct request *r)
{
    const char *trace = csn_trace(r->call), *authorization = csn_secret(r->call, "authorization");
    return payload(r) && own_headers(r) && event(r) && header(r, "Content-Type", r->type) && sign_request(r) &&
           (!trace || header(r, "traceparent", trace)) && (!authorization || header(r, "Authorization", authorization));
}

/* What the receiver said goes into the answer, whether it was yes or no. */
static void report(struct csn_call *call, const struct csn_http_response *response)
{
    if (response->status) csn_set_int(call, "/status", response->status);
    const char *type = csn_http_header(response, "Content-Type");
    if (type) csn_set(call, "/content_type", type);
    int is_text = !memchr(response->body, 0, response->body_size) && csn_set(call, "/body", response->body);
    const char *base64 = is_text ? NULL : csn_base64(call, response->body, response->body_size);
    if (base64) csn_set(call, "/body_base64", base64);
    csn_set_bool(call, "/truncated", response->truncated);
}

static int finish(struct csn_call *call, int got, const struct csn_http_response *response)
{
    csn_set(call, "/webhook_id", csn_call_id(call));
    if (got == 1) report(call, response);
    if (csn_http_success(got, response)) return csn_ok(call);
    if (got != 1 || response->status != 410) return csn_http_fail(call, got, response, "the receiver");
    csn_set_bool(call, "/gone", 1);
    return csn_fail(call, CSN_REJECTED, "the receiver answered 410: it is gone for good, send nothing there any more");
}

static int exchange(struct request *r)
{
    const char *plain = csn_setting(r->call, "/plain_http"), *most = csn_setting(r->call, "/max_answer");
    const char *method = csn_input(r->call, "/method");
    struct csn_http_request request = {.size = sizeof request};
    request.flags = plain && strcmp(plain, "true") == 0 ? CSN_HTTP_PLAIN : 0;
    request.method = method ? method : "POST";
    request.url = csn_input(r->call, "/url");
    request.headers = r->headers;
    request.header_count = r->header_count;
    request.body = r->body ? r->body : r->plain;
    request.body_size = r->body_size;
    request.max_answer = most ? strtoul(most, NULL, 10) : 0;
    struct csn_http_response response = {.size = sizeof response};
    int got = csn_http(r->call, &request, &response);
    return finish(r->call, got, &response);
}

static int post(struct csn_call *call)
{
    static struct request r; /* too large for a stack; one call at a time */
    r = (struct request){.call = call};
    int end = put_together(&r) ? exchange(&r) : csn_fail(call, CSN_BAD_INPUT, r.problem);
    free(r.body);
    return end;
}

CSN_CONNECTOR("webhook", "1.0.0", {"post", post});
