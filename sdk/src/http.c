/* SPDX-License-Identifier: Apache-2.0 */
/* csn_http: one HTTP/1.1 exchange over a dial. Checks what the connector asks for, sends it once, keeps a bounded
 * part of the answer. */
#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "pointer.h"
#include "transport.h"

enum {
    PAIRS = 64,      /* headers or form fields of a request */
    PAIR_MAX = 8192, /* one header line of a request */
    ANSWER_DEFAULT = 64 * 1024,
    ANSWER_MAX = 16 * 1024 * 1024,
    HEADERS = 128,            /* headers of an answer that are kept */
    HEADER_BYTES = 256 * 1024 /* all headers of an answer; more is no answer */
};

/* The exchange that runs or was last. */
static struct exchange {
    struct csn_call *call;
    bool truncated;
    int status, retry_after;
    char *body;
    size_t body_size, body_room, body_max, header_bytes;
    struct csn_http_pair headers[HEADERS];
    size_t header_count;
    json_t *json; /* the body, once somebody asked for it */
    bool parsed;
} exchange;

/* One request on its way: what must be freed after it. */
struct outgoing {
    CURLU *url;
    struct curl_slist *lines;
    char *form, *host;
    uint16_t port;
};

static void outgoing_clear(struct outgoing *out)
{
    curl_url_cleanup(out->url);
    for (struct curl_slist *line = out->lines; line; line = line->next) explicit_bzero(line->data, strlen(line->data));
    curl_slist_free_all(out->lines);
    if (out->form) explicit_bzero(out->form, strlen(out->form));
    free(out->form);
    curl_free(out->host);
}

static void forget_headers(void)
{
    for (size_t i = 0; i < exchange.header_count; i++) free((char *)exchange.headers[i].name);
    exchange.header_count = 0;
    exchange.retry_after = -1;
}

void http_forget(void)
{
    forget_headers();
    if (exchange.body) explicit_bzero(exchange.body, exchange.body_room);
    free(exchange.body);
    json_decref(exchange.json);
    exchange = (struct exchange){.retry_after = -1};
}

/* ── what came back ───────────────────────────────────────────────────────────────────────────────────*/

/* Seconds, or a date (RFC 9110 §10.2.3); at most a day. */
static int retry_after(const char *value)
{
    char *end;
    long long seconds = strtoll(value, &end, 10);
    if (end == value || *end) {
        time_t date = curl_getdate(value, NULL);
        if (date == (time_t)-1) return -1;
        seconds = (long long)date - csn_now(exchange.call);
    }
    return seconds < 0 ? 0 : seconds > 86400 ? 86400 : (int)seconds;
}

static bool keep_header(const char *line, size_t size)
{
    const char *colon = memchr(line, ':', size);
    if (!colon || colon == line || memchr(line, 0, size) || exchange.header_count == HEADERS) return true;
    char *name = malloc(size + 1);
    if (!name) return false;
    memcpy(name, line, size);
    name[size] = 0;
    char *value = name + (colon - line);
    *value++ = 0;
    value += strspn(value, " \t");
    for (char *end = name + size; end > value && strchr("\r\n \t", end[-1]); *--end = 0) continue;
    exchange.headers[exchange.header_count++] = (struct csn_http_pair){name, value};
    if (strcasecmp(name, "retry-after") == 0) exchange.retry_after = retry_after(value);
    return true;
}

static size_t take_header(char *line, size_t unit, size_t count, void *own)
{
    (void)own;
    size_t size = unit * count;
    exchange.header_bytes += size;
    if (exchange.header_bytes > HEADER_BYTES) return 0;
    if (size > 5 && memcmp(line, "HTTP/", 5) == 0)
        forget_headers(); /* an interim answer came before */
    else if (!keep_header(line, size))
        return 0;
    return size;
}

static bool make_room(size_t size)
{
    if (size < exchange.body_room) return true;
    size_t room = exchange.body_room ? exchange.body_room : 4096;
    while (room <= size) room *= 2;
    char *bytes = realloc(exchange.body, room);
    if (!bytes) return false;
    exchange.body = bytes;
    exchange.body_room = room;
    return true;
}

/* Keeps what fits; the first byte too many ends the transfer. */
static size_t take_body(char *bytes, size_t unit, size_t count, void *own)
{
    (void)own;
    size_t size = unit * count, fits = exchange.body_max - exchange.body_size;
    if (fits > size) fits = size;
    if (!make_room(exchange.body_size + fits)) return 0;
    memcpy(exchange.body + exchange.body_size, bytes, fits);
    exchange.body_size += fits;
    exchange.body[exchange.body_size] = 0;
    exchange.truncated = fits < size;
    return fits;
}

/* ── what goes out ────────────────────────────────────────────────────────────────────────────────────*/

/* The connection stands and the request is next. When a kept connection breaks under a request, curl would send it
 * again on a new one; nobody knows whether the first one arrived, so from here on there is no other connection. */
static int before_request(void *own, char *peer, char *local, int peer_port, int local_port)
{
    (void)own, (void)peer, (void)local, (void)peer_port, (void)local_port;
    if (transport.sent) return CURL_PREREQFUNC_ABORT;
    transport.sent = true;
    csn_commit(exchange.call);
    return CURL_PREREQFUNC_OK;
}

static bool token(const char *text)
{
    if (!*text) return false;
    for (; *text; text++)
        if (!isalnum((unsigned char)*text) && !strchr("!#$%&'*+-.^_`|~", *text)) return false;
    return true;
}

/* These belong to the connection or the framing of the message, which are curl's. */
static bool reserved(const char *name)
{
    static const char *const names[] = {"host",       "content-length", "transfer-encoding", "connection",
                                        "keep-alive", "expect",         "upgrade",           "te",
                                        "trailer",    "accept-encoding"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0) return true;
    return strncasecmp(name, "proxy-", 6) == 0;
}

static bool value_valid(const char *value)
{
    for (const unsigned char *at = (const unsigned char *)value; *at; at++)
        if ((*at < 0x20 && *at != '\t') || *at == 0x7f) return false;
    return true;
}

static bool add_line(struct outgoing *out, const char *line)
{
    struct curl_slist *more = curl_slist_append(out->lines, line);
    if (more) out->lines = more;
    return more != NULL;
}

static bool add_header(struct csn_call *call, struct outgoing *out, const struct csn_http_pair *pair)
{
    if (!pair->name || !pair->value || !token(pair->name))
        return explain(call, "a header of the request has no valid name");
    if (reserved(pair->name)) return explain(call, "the header %.60s cannot be set", pair->name);
    if (!value_valid(pair->value)) return explain(call, "the header %.60s holds a control character", pair->name);
    char line[PAIR_MAX];
    const char *form = pair->value[strspn(pair->value, " \t")] ? "%s: %s" : "%s;"; /* curl's way to send it empty */
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Wformat-nonliteral\"") int length = snprintf(
        line, sizeof line, form, pair->name, pair->value);
    _Pragma("GCC diagnostic pop") if (length >= PAIR_MAX) return explain(call, "the header %.60s is longer than 8 KiB",
                                                                         pair->name);
    bool added = add_line(out, line);
    explicit_bzero(line, sizeof line);
    return added || explain(call, "out of memory");
}

static bool given(const struct csn_http_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++)
        if (request->headers[i].name && strcasecmp(request->headers[i].name, name) == 0) return true;
    return false;
}

static bool set_headers(struct csn_call *call, const struct csn_http_request *request, struct outgoing *out)
{
    if (request->header_count > PAIRS) return explain(call, "the request has more than %d headers", PAIRS);
    for (size_t i = 0; i < request->header_count; i++)
        if (!add_header(call, out, &request->headers[i])) return false;
    if (!add_line(out, "Expect:")) return explain(call, "out of memory");
    if (!given(request, "User-Agent") && !add_line(out, "User-Agent: Caisson")) return explain(call, "out of memory");
    if (!request->form && !given(request, "Content-Type") && !add_line(out, "Content-Type:"))
        return explain(call, "out of memory");
    return !curl_easy_setopt(transport.easy, CURLOPT_HTTPHEADER, out->lines);
}

static void form_text(FILE *stream, const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (isalnum(*at) || strchr("-._~", *at))
            fputc(*at, stream);
        else
            fprintf(stream, "%%%02X", *at);
    }
}

static bool make_form(struct csn_call *call, const struct csn_http_request *request, struct outgoing *out)
{
    size_t size = 0;
    for (size_t i = 0; i < request->form_count; i++)
        if (!request->form[i].name || !request->form[i].value)
            return explain(call, "a form field has no name or value");
    FILE *stream = open_memstream(&out->form, &size);
    if (!stream) return explain(call, "out of memory");
    for (size_t i = 0; i < request->form_count; i++) {
        if (i) fputc('&', stream);
        form_text(stream, request->form[i].name);
        fputc('=', stream);
        form_text(stream, request->form[i].value);
    }
    return fclose(stream) == 0 || explain(call, "out of memory");
}

static bool method_valid(const char *method)
{
    size_t length = strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    return length > 0 && length <= 16 && !method[length] && strcmp(method, "CONNECT") != 0;
}

static bool set_method(struct csn_call *call, const struct csn_http_request *request, struct outgoing *out)
{
    bool body = request->body || request->form;
    const char *method = request->method ? request->method : body ? "POST" : "GET";
    if ((!request->body && request->body_size) || (!request->form && request->form_count))
        return explain(call, "the request's body is missing");
    if (!method_valid(method)) return explain(call, "the method is not one of upper-case letters");
    if (request->form && !make_form(call, request, out)) return false;
    bool carries = body || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0;
    const char *bytes = request->form ? out->form : request->body ? request->body : "";
    size_t size = request->form ? strlen(out->form) : request->body ? request->body_size : 0;
    CURL *easy = transport.easy;
    if (strcmp(method, "HEAD") == 0) return !curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    if (carries && (curl_easy_setopt(easy, CURLOPT_POSTFIELDS, bytes) ||
                    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)size)))
        return explain(call, "the request cannot be set up");
    return !curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

/* Takes the URL apart once; curl connects to exactly what was read here. */
static bool read_url(struct csn_call *call, const struct csn_http_request *request, struct outgoing *out)
{
    char *scheme = NULL, *port = NULL;
    out->url = curl_url();
    if (!out->url) return explain(call, "out of memory");
    bool read = request->url && value_valid(request->url) &&
                !curl_url_set(out->url, CURLUPART_URL, request->url, CURLU_DISALLOW_USER) &&
                !curl_url_get(out->url, CURLUPART_SCHEME, &scheme, 0) &&
                !curl_url_get(out->url, CURLUPART_HOST, &out->host, 0) &&
                !curl_url_get(out->url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT);
    long number = port ? strtol(port, NULL, 10) : 0;
    bool plain = scheme && strcmp(scheme, "http") == 0 && (request->flags & CSN_HTTP_PLAIN);
    bool allowed = plain || (scheme && strcmp(scheme, "https") == 0);
    curl_free(scheme);
    curl_free(port);
    if (!read || !transport_host_valid(out->host) || number < 1 || number > 65535)
        return explain(call, "the URL is not valid: https://host/path without a user name, the host in ASCII");
    if (!allowed) return explain(call, "the URL does not begin with https://");
    out->port = (uint16_t)number;
    return true;
}

/* Without the brackets of an IPv6 address. */
static void dial_name(const char *host, char name[TRANSPORT_HOST])
{
    size_t length = strlen(host);
    bool bracket = length > 2 && host[0] == '[' && host[length - 1] == ']';
    snprintf(name, TRANSPORT_HOST, "%.*s", (int)(bracket ? length - 2 : length), host + bracket);
}

static bool set_callbacks(CURL *easy)
{
    return !curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header) &&
           !curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take_body) &&
           !curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_request) &&
           !curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) &&
           !curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
}

static bool set_user(struct csn_call *call, const struct csn_http_request *request)
{
    if (!request->user) return true;
    if (strchr(request->user, ':') || !value_valid(request->user) ||
        (request->password && !value_valid(request->password)))
        return explain(call, "the user name or password for HTTP holds a character that cannot be sent");
    return !curl_easy_setopt(transport.easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC) &&
           !curl_easy_setopt(transport.easy, CURLOPT_USERNAME, request->user) &&
           !curl_easy_setopt(transport.easy, CURLOPT_PASSWORD, request->password ? request->password : "");
}

/* Everything that can be wrong with a request shows here, before a byte is sent. */
static bool prepare(struct csn_call *call, const struct csn_http_request *request, struct outgoing *out)
{
    char name[TRANSPORT_HOST];
    if (!read_url(call, request, out)) return false;
    dial_name(out->host, name);
    return transport_begin(call, name, out->port, request->timeout_ms) && set_callbacks(transport.easy) &&
           set_method(call, request, out) && set_headers(call, request, out) && set_user(call, request) &&
           !curl_easy_setopt(transport.easy, CURLOPT_CURLU, out->url);
}

/* 1 answered, 0 not sent, -1 sent and unanswered. */
static int verdict(struct csn_call *call, CURLcode code)
{
    long status = 0;
    curl_easy_getinfo(transport.easy, CURLINFO_RESPONSE_CODE, &status);
    exchange.status = (int)status;
    if (code == CURLE_OK || (exchange.truncated && status)) return 1;
    if (transport.sent && code == CURLE_COULDNT_CONNECT)
        explain(call, "the kept connection broke");
    else if (!transport.dial_failed)
        explain(call, "%s", transport_error(code));
    return transport.sent ? -1 : 0;
}

static const char *read_json(const struct csn_http_response *response, const char *pointer)
{
    (void)response;
    if (!exchange.parsed && exchange.body)
        exchange.json = json_loadb(exchange.body, exchange.body_size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    exchange.parsed = true;
    const json_t *value = pointer_find(exchange.json, pointer);
    if (!value) return NULL;
    if (json_is_string(value)) return kept_text(json_string_value(value));
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY), *copy = text ? kept_text(text) : NULL;
    free(text);
    return copy;
}

static void hand_over(struct csn_http_response *response, bool refused)
{
    struct csn_http_response full = {.size = response->size,
                                     .status = exchange.status,
                                     .headers = exchange.headers,
                                     .header_count = exchange.header_count,
                                     .body = exchange.body ? exchange.body : "",
                                     .body_size = exchange.body_size,
                                     .truncated = exchange.truncated,
                                     .retry_after = exchange.retry_after,
                                     .refused = refused,
                                     .json = read_json};
    memcpy(response, &full, response->size < sizeof full ? response->size : sizeof full);
}

int helpers_http(struct csn_call *call, const struct csn_http_request *asked, struct csn_http_response *response)
{
    struct csn_http_request request = {0};
    memcpy(&request, asked, asked->size < sizeof request ? asked->size : sizeof request);
    struct outgoing out = {0};
    http_forget();
    exchange.call = call;
    exchange.body_max = request.max_answer == 0           ? ANSWER_DEFAULT
                        : request.max_answer > ANSWER_MAX ? ANSWER_MAX
                                                          : request.max_answer;
    bool ready = prepare(call, &request, &out), refused = !ready && csn_left_ms(call) > 0;
    int got = 0;
    if (ready) {
        CURLcode code = curl_easy_perform(transport.easy);
        got = verdict(call, code);
        refused = got == 0 && transport_refused(code);
        transport_finish();
    }
    outgoing_clear(&out);
    hand_over(response, refused);
    return got;
}
