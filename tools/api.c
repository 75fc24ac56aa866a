/* SPDX-License-Identifier: Apache-2.0 */
/* Requests over AF_UNIX with libcurl, and what their answers mean. */
#include "api.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/json.h"

enum { ANSWER_BYTES = 64 * 1024 * 1024, REQUEST_BYTES = 64 * 1024 * 1024 };
static const char problem_type[] = "urn:caisson:problem:";
static const struct {
    const char *key, *usual;
} sockets[] = {[API_CALLS] = {"Unix", "run/api.sock"}, [API_DESK] = {"Desk", "run/desk.sock"}};

/* ── paths ─────────────────────────────────────────────────────────────────────────────────────────── */

static void add_encoded(char path[API_PATH], const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t used = strlen(path);
    for (; *text && used < API_PATH - 4; text++)
        used += (size_t)snprintf(path + used, API_PATH - used, strchr(plain, *text) ? "%c" : "%%%02X",
                                 (unsigned char)*text);
}

void api_path(char path[API_PATH], const char *start, const char *segment)
{
    snprintf(path, API_PATH, "%s", start);
    if (segment) add_encoded(path, segment);
}

void api_query(char path[API_PATH], const char *name, const char *value)
{
    size_t used = strlen(path);
    if (!value || !*value) return;
    snprintf(path + used, API_PATH - used, "%c%s=", strchr(path, '?') ? '&' : '?', name);
    add_encoded(path, value);
}

/* ── answers ───────────────────────────────────────────────────────────────────────────────────────── */

/* "/to/0" of the first entry in errors[], when the detail does not say it already. */
static void add_pointer(const json_t *problem, struct err *err)
{
    const json_t *first = json_array_get(json_object_get(problem, "errors"), 0);
    const char *pointer = json_string_value(json_object_get(first, "pointer"));
    if (pointer && *pointer && !strstr(err->text, pointer)) err_in(err, "%.120s", pointer);
}

/* The last refusal, and how the error that it became begins: what it said then stands in what is printed, behind
 * whatever context. */
static struct {
    json_t *problem;
    enum err_kind kind;
    char start[100];
} refusal;

const json_t *api_problem(const struct err *err)
{
    bool tells = refusal.problem && err->kind == refusal.kind && strstr(err->text, refusal.start);
    return tells ? refusal.problem : NULL;
}

/* Whether something may have left already is the first thing that one wants to know of a failed call. */
static void add_outcome(const json_t *problem, struct err *err)
{
    static const char urn[] = "urn:uuid:";
    const char *call = json_string_value(json_object_get(problem, "instance"));
    if (call && strncmp(call, urn, sizeof urn - 1) == 0) call += sizeof urn - 1;
    const char *sent = json_string_value(json_object_get(problem, "sent"));
    if (call && sent)
        err_in(err, "call %.60s (sent: %.10s)", call, sent);
    else if (call)
        err_in(err, "call %.60s", call);
}

/* The table's kinds, and the one that the front adds to them which a script must tell from a fault: its title says
 * more than the detail, which is about the call as if all were well. */
static enum err_kind kind_of(const char *slug, const char *title, const char **detail)
{
    if (strcmp(slug, "executed-unrecorded") != 0) return err_kind_of(slug);
    *detail = title;
    return ERR_UNCERTAIN;
}

static bool refuse(long status, json_t *problem, struct err *err)
{
    const char *type = json_string_value(json_object_get(problem, "type"));
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    const char *title = json_string_value(json_object_get(problem, "title"));
    enum err_kind kind = ERR_INTERNAL;
    if (type && strncmp(type, problem_type, sizeof problem_type - 1) == 0)
        kind = kind_of(type + sizeof problem_type - 1, title, &detail);
    if (detail || title)
        err_set(err, kind, "%.300s", detail ? detail : title);
    else
        err_set(err, kind, "the daemon answered with HTTP status %ld and nothing else", status);
    add_pointer(problem, err);
    add_outcome(problem, err);
    json_decref(refusal.problem);
    refusal.problem = json_incref(problem);
    refusal.kind = kind;
    snprintf(refusal.start, sizeof refusal.start, "%s", err->text);
    return false;
}

static bool read_answer(long status, const struct buf *bytes, json_t **answer, struct err *err)
{
    JSON_AUTO *value = NULL;
    if (bytes->used && !json_read(bytes->bytes, bytes->used, ANSWER_BYTES, &value, err))
        return err_in(err, "the daemon's answer (HTTP status %ld)", status);
    if (status < 200 || status > 299) return refuse(status, value, err);
    *answer = take(&value);
    return true;
}

/* ── sending ───────────────────────────────────────────────────────────────────────────────────────── */

static size_t take_bytes(char *bytes, size_t size, size_t count, void *buf)
{
    return buf_add(buf, bytes, size * count) ? size * count : 0;
}

static bool add_header(struct curl_slist **headers, const char *name, const char *value)
{
    char line[512];
    snprintf(line, sizeof line, "%s: %s", name, value);
    struct curl_slist *longer = curl_slist_append(*headers, line);
    if (longer) *headers = longer;
    return longer;
}

static bool absent;

bool api_absent(void)
{
    return absent;
}

static bool no_answer(CURL *curl, const char *name, CURLcode code, struct err *err)
{
    long cause = 0;
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &cause);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return err_set(err, ERR_TIMEOUT, "the daemon did not answer in time on %.200s", name);
    if (code != CURLE_COULDNT_CONNECT)
        return err_set(err, ERR_UNAVAILABLE, "talking to the daemon on %.200s failed: %s", name,
                       curl_easy_strerror(code));
    if (cause == EACCES)
        return err_set(err, ERR_DENIED, "you may not use %.200s: ask to be added to its group, or use sudo", name);
    absent = cause == ECONNREFUSED || cause == ENOENT; /* EAGAIN: somebody listens, and has no time */
    return err_set(err, ERR_UNAVAILABLE, "no daemon answers on %.200s: start caissond, or name its folder with --home",
                   name);
}

/* Long paths do not fit into a socket's address, so its folder is named by its descriptor. name: HOME_PATH bytes. */
static bool open_run(const struct home *home, enum api_socket socket, char *name, char *path, int *folder,
                     struct err *err)
{
    char directory[HOME_PATH];
    home_socket(home, sockets[socket].key, sockets[socket].usual, name, HOME_PATH);
    char *slash = strrchr(name, '/');
    snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - name) + 1 : 0, name);
    int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    absent = fd < 0 && errno == ENOENT;
    if (fd < 0)
        return err_set(err, errno == EACCES ? ERR_DENIED : ERR_UNAVAILABLE,
                       "no daemon runs here: there is no %.200s; start caissond, or name its folder with --home", name);
    snprintf(path, HOME_PATH, "/proc/self/fd/%d/%s", fd, slash ? slash + 1 : name);
    *folder = fd;
    return true;
}

static void set_up(CURL *curl, const struct api_request *request, const char *socket_path, struct buf *got)
{
    char url[API_PATH + 32];
    snprintf(url, sizeof url, "http://localhost%s", request->path);
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, request->timeout_s ? request->timeout_s : 60L);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, got);
}

static bool perform(CURL *curl, const struct home *home, const struct api_request *request, struct buf *body,
                    struct buf *got, long *status, struct err *err)
{
    char name[HOME_PATH], socket_path[HOME_PATH];
    FD_AUTO folder = -1;
    struct curl_slist *headers = NULL;
    if (!open_run(home, request->socket, name, socket_path, &folder, err)) return false;
    set_up(curl, request, socket_path, got);
    bool good = add_header(&headers, "Accept", "application/json") && add_header(&headers, "Expect", "");
    if (request->key) good = good && add_header(&headers, "Idempotency-Key", request->key);
    if (request->body) {
        good = good && add_header(&headers, "Content-Type", "application/json");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->used);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->bytes);
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = good ? curl_easy_perform(curl) : CURLE_OUT_OF_MEMORY;
    curl_slist_free_all(headers);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    return code == CURLE_OK || no_answer(curl, name, code, err);
}

bool api_send(const struct home *home, const struct api_request *request, json_t **answer, struct err *err)
{
    long status = 0;
    BUF_AUTO body, got;
    buf_init(&body, REQUEST_BYTES);
    buf_init(&got, ANSWER_BYTES);
    if (request->body && !json_compact(request->body, &body))
        return err_set(err, ERR_TOO_LARGE, "the request is too large");
    CURL *curl = curl_easy_init();
    if (!curl) return err_set(err, ERR_INTERNAL, "libcurl does not start");
    bool good = perform(curl, home, request, &body, &got, &status, err);
    curl_easy_cleanup(curl);
    return good && read_answer(status, &got, answer, err);
}

bool api_get(const struct home *home, enum api_socket socket, const char *path, json_t **answer, struct err *err)
{
    struct api_request request = {.socket = socket, .method = "GET", .path = path};
    return api_send(home, &request, answer, err);
}

bool api_post(const struct home *home, const char *path, const json_t *body, json_t **answer, struct err *err)
{
    JSON_AUTO *empty = json_object();
    struct api_request request = {.socket = API_DESK, .method = "POST", .path = path, .body = body ? body : empty};
    return api_send(home, &request, answer, err);
}
