/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTPS request to the one host that is configured: name by c-ares, the rest by libcurl, nothing from files. */
#include "provider.h"

#include <arpa/inet.h>
#include <ares.h>
#include <curl/curl.h>
#include <netdb.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto_json.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"

enum { ANSWER_BYTES = 64 * 1024, REQUEST_BYTES = 32 * 1024, TRY_MS = 2000, TRIES = 3, LOOKUP_S = 12, REQUEST_S = 20 };

static struct {
    ares_channel channel;
    CURL *curl;
    char host[256], port[8], resolve[512];
    bool looked, found;
} net;

/* ── before the walls ──────────────────────────────────────────────────────────────────────────────────── */

/* "https://HOST[:PORT]" and nothing else: no path, no user, no other scheme. */
static bool take_url(const char *url, struct err *err)
{
    CURLU *parts = curl_url();
    char *host = NULL, *port = NULL, *path = NULL, *extra = NULL, *scheme = NULL;
    bool good = parts && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK && strcmp(scheme, "https") == 0 &&
                curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK && strlen(host) < sizeof net.host &&
                curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
                curl_url_get(parts, CURLUPART_PATH, &path, 0) == CURLUE_OK && strcmp(path, "/") == 0 &&
                curl_url_get(parts, CURLUPART_USER, &extra, 0) == CURLUE_NO_USER &&
                curl_url_get(parts, CURLUPART_QUERY, &extra, 0) == CURLUE_NO_QUERY && url[strlen(url) - 1] != '/';
    if (good) {
        snprintf(net.host, sizeof net.host, "%s", host);
        snprintf(net.port, sizeof net.port, "%s", port);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(path);
    curl_free(extra);
    curl_url_cleanup(parts);
    return good || err_set(err, ERR_BAD_INPUT, "Url=%.200s must be https://HOST or https://HOST:PORT", url);
}

/* An address needs no look-up, whether it stands in Url= or in Address=. */
static bool is_address(const char *text)
{
    unsigned char bytes[16];
    char bare[64];
    size_t length = strlen(text);
    bool bracket = text[0] == '[' && length > 2 && text[length - 1] == ']';
    snprintf(bare, sizeof bare, "%.*s", bracket ? (int)length - 2 : (int)length, text + bracket);
    return inet_pton(AF_INET, bare, bytes) == 1 || inet_pton(AF_INET6, bare, bytes) == 1;
}

static bool open_resolver(struct err *err)
{
    struct ares_options options = {.flags = ARES_FLAG_NOSEARCH, .timeout = TRY_MS, .tries = TRIES, .lookups = (char *)"b"};
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS;
    return (ares_library_init(ARES_LIB_INIT_ALL) == ARES_SUCCESS &&
            ares_init_options(&net.channel, &options, mask) == ARES_SUCCESS) ||
           err_set(err, ERR_INTERNAL, "the name resolver does not start");
}

bool net_prepare(struct provider_job *job, struct err *err)
{
    if (!job->secret_length) return err_set(err, ERR_BAD_INPUT, "it needs SecretFile=");
    if (!job->ca_length) return err_set(err, ERR_MISSING_LAYER, "there are no certificates to check it by: give CAFile=");
    if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK || !(net.curl = curl_easy_init()))
        return err_set(err, ERR_INTERNAL, "libcurl does not start");
    if (!take_url(job->config.url, err)) return false;
    if (job->config.address[0] && !is_address(job->config.address))
        return err_set(err, ERR_BAD_INPUT, "Address= must be an address");
    return open_resolver(err);
}

/* ── the name ──────────────────────────────────────────────────────────────────────────────────────────── */

static void answered(void *context, int status, int timeouts, struct ares_addrinfo *answer)
{
    char text[INET6_ADDRSTRLEN];
    net.looked = true;
    for (struct ares_addrinfo_node *node = answer ? answer->nodes : NULL; node; node = node->ai_next) {
        if (getnameinfo(node->ai_addr, node->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0) continue;
        size_t used = strlen(net.resolve);
        if (used + sizeof text + 4 > sizeof net.resolve) break;
        bool six = strchr(text, ':');
        snprintf(net.resolve + used, sizeof net.resolve - used, "%s%s%s%s", net.found ? "," : "", six ? "[" : "", text,
                 six ? "]" : "");
        net.found = true;
    }
    if (answer) ares_freeaddrinfo(answer);
}

static void turn(uint64_t deadline)
{
    ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
    struct pollfd fds[ARES_GETSOCK_MAXNUM];
    int mask = ares_getsock(net.channel, sockets, ARES_GETSOCK_MAXNUM), count = 0, left = clock_left_ms(deadline);
    for (int i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
        short events = (short)((ARES_GETSOCK_READABLE(mask, i) ? POLLIN : 0) | (ARES_GETSOCK_WRITABLE(mask, i) ? POLLOUT : 0));
        if (events) fds[count++] = (struct pollfd){.fd = sockets[i], .events = events};
    }
    int ready = poll(fds, (nfds_t)count, left < 100 ? left : 100);
    for (int i = 0; ready > 0 && i < count; i++)
        if (fds[i].revents)
            ares_process_fd(net.channel, fds[i].revents & ~POLLOUT ? fds[i].fd : ARES_SOCKET_BAD,
                            fds[i].revents & POLLOUT ? fds[i].fd : ARES_SOCKET_BAD);
    if (ready <= 0) ares_process_fd(net.channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

/* net.resolve: what CURLOPT_RESOLVE takes, so that libcurl asks nobody and nothing. */
static bool look_up(const struct provider_job *job, struct err *err)
{
    struct ares_addrinfo_hints hints = {.ai_family = AF_UNSPEC, .ai_flags = ARES_AI_NUMERICSERV};
    uint64_t deadline = clock_now() + LOOKUP_S * CLOCK_S;
    if (net.found || is_address(net.host)) return true;
    snprintf(net.resolve, sizeof net.resolve, "%s:%s:%s", net.host, net.port, job->config.address);
    if (job->config.address[0]) return net.found = true;
    ares_getaddrinfo(net.channel, net.host, NULL, &hints, answered, NULL);
    while (!net.looked && clock_now() < deadline) turn(deadline);
    return net.found || err_set(err, ERR_UNAVAILABLE, "the name %.100s cannot be resolved; Address= gives it a fixed one",
                                net.host);
}

/* ── the request ───────────────────────────────────────────────────────────────────────────────────────── */

static size_t take_bytes(char *bytes, size_t size, size_t count, void *buf)
{
    return buf_add(buf, bytes, size * count) ? size * count : 0;
}

/* As libcurl would, but with protocol 0: the list of system calls knows no other. */
static curl_socket_t open_socket(void *context, curlsocktype purpose, struct curl_sockaddr *address)
{
    return socket(address->family, address->socktype | SOCK_CLOEXEC, 0);
}

static void set_up(const struct provider_job *job, struct curl_slist *resolve, struct buf *got)
{
    struct curl_blob ca = {.data = (void *)job->ca, .len = job->ca_length, .flags = CURL_BLOB_NOCOPY};
    curl_easy_reset(net.curl);
    curl_easy_setopt(net.curl, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(net.curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(net.curl, CURLOPT_PROXY, "");
    curl_easy_setopt(net.curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(net.curl, CURLOPT_TIMEOUT, (long)REQUEST_S);
    curl_easy_setopt(net.curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(net.curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(net.curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(net.curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(net.curl, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(net.curl, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(net.curl, CURLOPT_CAINFO_BLOB, &ca);
    curl_easy_setopt(net.curl, CURLOPT_RESOLVE, resolve);
    curl_easy_setopt(net.curl, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(net.curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(net.curl, CURLOPT_WRITEDATA, got);
}

static bool add(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer) *list = longer;
    return longer;
}

static bool perform(const struct net_request *request, const char *url, struct buf *body, struct curl_slist **headers,
                    long *status, struct err *err)
{
    bool good = true;
    char type[128];
    for (const char *const *line = request->headers; line && *line; line++) good = good && add(headers, *line);
    curl_easy_setopt(net.curl, CURLOPT_URL, url);
    if (request->body) {
        snprintf(type, sizeof type, "Content-Type: %s", request->content_type);
        good = good && add(headers, type);
        curl_easy_setopt(net.curl, CURLOPT_POSTFIELDS, body->bytes);
        curl_easy_setopt(net.curl, CURLOPT_POSTFIELDSIZE, (long)body->used);
    }
    if (request->sigv4) {
        curl_easy_setopt(net.curl, CURLOPT_AWS_SIGV4, request->sigv4);
        curl_easy_setopt(net.curl, CURLOPT_USERNAME, request->user);
        curl_easy_setopt(net.curl, CURLOPT_PASSWORD, request->password);
    }
    curl_easy_setopt(net.curl, CURLOPT_HTTPHEADER, *headers);
    CURLcode code = good ? curl_easy_perform(net.curl) : CURLE_OUT_OF_MEMORY;
    curl_easy_getinfo(net.curl, CURLINFO_RESPONSE_CODE, status);
    return code == CURLE_OK || err_set(err, ERR_UNAVAILABLE, "asking %.100s failed: %s", net.host, curl_easy_strerror(code));
}

/* Transit says {"errors": [text…]}, KMS {"__type": name, "message": text}. Only printable text goes on. */
static bool refused(long status, const json_t *answer, struct err *err)
{
    const char *said = json_string_value(json_array_get(json_object_get(answer, "errors"), 0));
    char tame[160];
    size_t used = 0;
    if (!said) said = json_string_value(json_object_get(answer, "__type"));
    for (; said && *said && used < sizeof tame - 1; said++) tame[used++] = *said < ' ' || *said > '~' ? ' ' : *said;
    tame[used] = '\0';
    enum err_kind kind = status == 401 || status == 403 ? ERR_DENIED : ERR_UNAVAILABLE;
    return err_set(err, kind, "%.100s answered %ld%s%s", net.host, status, used ? ": " : "", tame);
}

bool net_send(const struct provider_job *job, const struct net_request *request, json_t **answer, struct err *err)
{
    char url[PROVIDER_TEXT + 512];
    struct curl_slist *headers = NULL, *resolve = NULL;
    JSON_AUTO *value = NULL;
    struct err unread = {0};
    long status = 0;
    BUF_AUTO body, got;
    buf_init(&body, REQUEST_BYTES);
    buf_init(&got, ANSWER_BYTES);
    snprintf(url, sizeof url, "%s%s", job->config.url, request->path);
    if (request->body && !json_compact(request->body, &body)) return err_set(err, ERR_BUSY, "there is no memory");
    if (!look_up(job, err)) return false;
    if (net.resolve[0] && !add(&resolve, net.resolve)) return err_set(err, ERR_BUSY, "there is no memory");
    set_up(job, resolve, &got);
    bool good = perform(request, url, &body, &headers, &status, err);
    curl_slist_free_all(headers);
    curl_slist_free_all(resolve);
    if (!good) return false;
    bool read = json_read(got.bytes, got.used, ANSWER_BYTES, &value, &unread);
    if (status < 200 || status > 299) return refused(status, value, err);
    if (!read || !json_is_object(value)) return err_set(err, ERR_PROTOCOL, "%.100s did not answer with JSON", net.host);
    *answer = json_incref(value);
    return true;
}

const char *net_text(const json_t *answer, const char *path)
{
    char name[64];
    const char *dot;
    while ((dot = strchr(path, '.'))) {
        snprintf(name, sizeof name, "%.*s", (int)(dot - path), path);
        answer = json_object_get(answer, name);
        path = dot + 1;
    }
    return json_string_value(json_object_get(answer, path));
}
