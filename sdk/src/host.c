/* SPDX-License-Identifier: Apache-2.0 */
/* The services of connector.h over plain JSON documents, in the test's own process. */
#include "host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pointer.h"
#include "transport.h"

enum { ANSWER_MAX = 1024 * 1024, LOG_MAX = 4096 };

/* ── services ─────────────────────────────────────────────────────────────────────────────────────────*/

static struct csn_test *of(struct csn_call *call)
{
    return call->host;
}

/* Keeps a string until the next run. */
static const char *hand_out(struct csn_test *test, json_t *string)
{
    json_array_append_new(test->strings, string);
    return json_string_value(string);
}

const char *host_dump(struct csn_test *test, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    const char *copy = hand_out(test, json_string(text));
    free(text);
    return copy;
}

static const char *s_input(struct csn_call *call, const char *pointer)
{
    return json_string_value(pointer_find(of(call)->input, pointer));
}

static int s_integer(struct csn_call *call, const char *pointer, int64_t *value)
{
    json_t *found = pointer_find(of(call)->input, pointer);
    if (!json_is_integer(found)) return 0;
    *value = json_integer_value(found);
    return 1;
}

static int s_boolean(struct csn_call *call, const char *pointer)
{
    json_t *found = pointer_find(of(call)->input, pointer);
    return json_is_boolean(found) ? json_is_true(found) : -1;
}

static int s_count(struct csn_call *call, const char *pointer)
{
    json_t *found = pointer_find(of(call)->input, pointer);
    if (json_is_array(found)) return (int)json_array_size(found);
    return json_is_object(found) ? (int)json_object_size(found) : -1;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static const char *s_key(struct csn_call *call, const char *pointer, int index)
{
    json_t *found = pointer_find(of(call)->input, pointer), *value;
    size_t count = json_is_object(found) ? json_object_size(found) : 0, used = 0;
    if (index < 0 || (size_t)index >= count) return NULL;
    const char **names = calloc(count, sizeof *names), *name;
    json_object_foreach(found, name, value) names[used++] = name;
    qsort(names, count, sizeof *names, by_name);
    name = names[index];
    free(names);
    return name;
}

static int s_blob(struct csn_call *call, const char *pointer, const void **bytes, size_t *size)
{
    const char *text = s_input(call, pointer);
    return text ? csn_helpers_1.unbase64(call, text, bytes, size) : 0;
}

static const char *s_json(struct csn_call *call, const char *pointer)
{
    json_t *found = pointer_find(of(call)->input, pointer);
    return found ? host_dump(of(call), found) : NULL;
}

static const char *s_secret(struct csn_call *call, const char *field)
{
    struct csn_test *test = of(call);
    size_t i;
    json_t *name;
    json_array_foreach(test->fields, i, name) if (strcmp(json_string_value(name), field) ==
                                                  0) return json_string_value(json_object_get(test->secrets, field));
    return NULL;
}

static const char *s_setting(struct csn_call *call, const char *pointer)
{
    struct csn_test *test = of(call);
    json_t *found = pointer_find(test->settings, pointer);
    if (!found) { /* the manifest's default; settings are one level deep there */
        json_t *about = pointer[0] == '/'
                            ? json_object_get(pointer_find(test->manifest, "/settings/properties"), pointer + 1)
                            : NULL;
        found = json_object_get(about, "default");
    }
    if (json_is_string(found)) return json_string_value(found);
    return found ? host_dump(test, found) : NULL;
}

static const char *s_call_id(struct csn_call *call)
{
    (void)call;
    return "01890a5d-ac96-774b-bcce-b302099a8057";
}

static const char *s_trace(struct csn_call *call)
{
    (void)call;
    return "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
}

static int64_t s_now(struct csn_call *call)
{
    return of(call)->clock ? of(call)->clock : (int64_t)time(NULL);
}

static int s_left(struct csn_call *call)
{
    struct csn_test *test = of(call);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t passed = (now.tv_sec - test->start.tv_sec) * 1000 + (now.tv_nsec - test->start.tv_nsec) / 1000000;
    return passed >= test->deadline_ms ? 0 : (int)(test->deadline_ms - passed);
}

static void s_explain(struct csn_call *call, const char *text)
{
    snprintf(of(call)->problem, sizeof of(call)->problem, "%s", text);
}

static int s_dial(struct csn_call *call, const char *host, uint16_t port)
{
    const char *problem = "";
    of(call)->result.dials++;
    int fd = peers_dial(&of(call)->peers, host, port, &problem), error = errno;
    if (fd < 0) snprintf(of(call)->problem, sizeof of(call)->problem, "%s:%u: %s", host, port, problem);
    errno = error;
    return fd;
}

static const char *s_problem(struct csn_call *call)
{
    return of(call)->problem;
}

static void s_commit(struct csn_call *call)
{
    of(call)->result.committed = 1;
}

/* The secret value that begins here, or 0. */
static size_t secret_at(struct csn_test *test, const char *text)
{
    const char *name;
    json_t *value;
    json_object_foreach(test->secrets, name, value)
    {
        size_t length = json_string_length(value);
        json_t *about = json_object_get(pointer_find(test->manifest, "/credential/fields"), name);
        if (length && !json_is_false(json_object_get(about, "secret")) &&
            strncmp(text, json_string_value(value), length) == 0)
            return length;
    }
    return 0;
}

static void s_log(struct csn_call *call, int level, const char *text)
{
    static const char *const names[] = {"DEBUG", "INFO", "WARN", "ERROR"};
    struct csn_test *test = of(call);
    fprintf(test->log_stream, "%s ", level >= 0 && level <= 3 ? names[level] : "?");
    for (size_t used = 0; *text && used < LOG_MAX; used++) {
        size_t secret = secret_at(test, text);
        if (secret)
            fputs("***", test->log_stream);
        else if ((unsigned char)*text < 0x20 || *text == 0x7f)
            fprintf(test->log_stream, "\\x%02x", (unsigned)*text);
        else
            fputc(*text, test->log_stream);
        text += secret ? secret : 1;
    }
    fputc('\n', test->log_stream);
    fflush(test->log_stream);
}

static int put(json_t *parent, const char *name, json_t *value)
{
    if (json_is_object(parent)) return json_object_set_new(parent, name, value) == 0;
    bool end = json_is_array(parent) && (strcmp(name, "-") == 0 || strtoul(name, NULL, 10) == json_array_size(parent));
    if (end) return json_array_append_new(parent, value) == 0;
    if (json_is_array(parent)) return json_array_set_new(parent, strtoul(name, NULL, 10), value) == 0;
    json_decref(value);
    return 0;
}

/* Takes value. Missing parents become objects. */
static int set(json_t *root, const char *pointer, json_t *value)
{
    char name[POINTER_NAME], next[POINTER_NAME];
    if (!value || !pointer_part(&pointer, name)) {
        json_decref(value);
        return 0;
    }
    while (pointer_part(&pointer, next)) {
        json_t *child = pointer_member(root, name);
        if (!child && !put(root, name, child = json_object())) break;
        root = child;
        memcpy(name, next, sizeof name);
    }
    if (!*pointer) return put(root, name, value);
    json_decref(value);
    return 0;
}

/* A value is set on a copy first: an answer that got too large stays as it was. */
static int set_answer(struct csn_call *call, const char *pointer, json_t *value)
{
    struct csn_test *test = of(call);
    json_t *copy = json_deep_copy(test->answer);
    bool good = set(copy, pointer, value) && json_dumpb(copy, NULL, 0, JSON_COMPACT) <= ANSWER_MAX;
    json_decref(good ? test->answer : copy);
    if (good) test->answer = copy;
    return good;
}

static int s_set(struct csn_call *call, const char *pointer, const char *text)
{
    return set_answer(call, pointer, text ? json_string(text) : NULL);
}

static int s_set_integer(struct csn_call *call, const char *pointer, int64_t value)
{
    return set_answer(call, pointer, json_integer(value));
}

static int s_set_boolean(struct csn_call *call, const char *pointer, int value)
{
    return set_answer(call, pointer, json_boolean(value));
}

static int s_set_json(struct csn_call *call, const char *pointer, const char *json)
{
    return set_answer(call, pointer, json_loads(json, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL));
}

static int end(struct csn_call *call, int status, const char *text)
{
    struct csn_test *test = of(call);
    test->result.status = test->result.status == CSN_TEST_NO_ANSWER ? status : CSN_TEST_TWO_ANSWERS;
    snprintf(test->text, sizeof test->text, "%s", text);
    return status;
}

static int s_ok(struct csn_call *call)
{
    return end(call, CSN_TEST_OK, "");
}

static void s_retry_after(struct csn_call *call, int seconds)
{
    of(call)->result.retry_after = seconds;
}

static int s_fail(struct csn_call *call, int status, const char *text)
{
    if (status < CSN_REJECTED || status > CSN_BAD_INPUT) harness_wrong("csn_fail was given the status %d", status);
    return end(call, status, text ? text : "");
}

const struct csn_services host_services = {
    .size = sizeof host_services,
    .abi = CSN_ABI,
    .input = s_input,
    .integer = s_integer,
    .boolean = s_boolean,
    .count = s_count,
    .key = s_key,
    .blob = s_blob,
    .json = s_json,
    .secret = s_secret,
    .setting = s_setting,
    .call_id = s_call_id,
    .trace = s_trace,
    .now = s_now,
    .left = s_left,
    .dial = s_dial,
    .problem = s_problem,
    .commit = s_commit,
    .log = s_log,
    .set = s_set,
    .set_integer = s_set_integer,
    .set_boolean = s_set_boolean,
    .set_json = s_set_json,
    .ok = s_ok,
    .retry_after = s_retry_after,
    .fail = s_fail,
    .http = helpers_http,
    .mail = helpers_mail,
    .hmac_sha256 = helpers_hmac_sha256,
    .base64 = helpers_base64,
    .unbase64 = helpers_unbase64,
    .explain = s_explain,
};
