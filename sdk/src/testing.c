/* SPDX-License-Identifier: Apache-2.0 */
/* The host of a test: the services of connector.h over plain JSON documents, in the test's own process. */
#include "caisson/testing.h"

#include <dlfcn.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness.h"
#include "helpers.h"

enum { ANSWER_MAX = 1024 * 1024, LOG_MAX = 4096 };

struct csn_test {
    void *library;
    const struct csn_connector *connector;
    json_t *manifest, *settings, *secrets, *input, *answer;
    json_t *fields;  /* names given to the action that runs; borrowed */
    json_t *strings; /* what was handed out in this run */
    struct peers peers;
    bool lease;
    int deadline_ms;
    int64_t clock;
    struct timespec start;
    char *log, *seen, problem[512], text[4096];
    size_t log_size;
    FILE *log_stream;
    struct csn_test_result result;
    char *peer_problem, *answer_text;
};

/* ── JSON pointers ────────────────────────────────────────────────────────────────────────────────────*/

/* The next part of a pointer, unescaped; false at its end, or when it is no pointer. */
static bool part(const char **at, char name[256])
{
    if (**at != '/') return false;
    size_t used = 0;
    for ((*at)++; **at && **at != '/' && used < 255; (*at)++) {
        char c = **at;
        if (c == '~' && ((*at)[1] == '0' || (*at)[1] == '1')) c = *++*at == '0' ? '~' : '/';
        name[used++] = c;
    }
    name[used] = 0;
    return true;
}

static json_t *member(json_t *parent, const char *name)
{
    if (json_is_object(parent)) return json_object_get(parent, name);
    if (!json_is_array(parent) || !*name || name[strspn(name, "0123456789")] || (name[0] == '0' && name[1]))
        return NULL;
    return json_array_get(parent, strtoul(name, NULL, 10));
}

static json_t *at(json_t *root, const char *pointer)
{
    char name[256];
    while (root && part(&pointer, name)) root = member(root, name);
    return *pointer ? NULL : root;
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
    char name[256], next[256];
    if (!value || !part(&pointer, name)) {
        json_decref(value);
        return 0;
    }
    while (part(&pointer, next)) {
        json_t *child = member(root, name);
        if (!child && !put(root, name, child = json_object())) break;
        root = child;
        memcpy(name, next, sizeof name);
    }
    if (!*pointer) return put(root, name, value);
    json_decref(value);
    return 0;
}

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

static const char *dump(struct csn_test *test, const json_t *value)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    const char *copy = hand_out(test, json_string(text));
    free(text);
    return copy;
}

static const char *s_input(struct csn_call *call, const char *pointer)
{
    return json_string_value(at(of(call)->input, pointer));
}

static int s_integer(struct csn_call *call, const char *pointer, int64_t *value)
{
    json_t *found = at(of(call)->input, pointer);
    if (!json_is_integer(found)) return 0;
    *value = json_integer_value(found);
    return 1;
}

static int s_boolean(struct csn_call *call, const char *pointer)
{
    json_t *found = at(of(call)->input, pointer);
    return json_is_boolean(found) ? json_is_true(found) : -1;
}

static int s_count(struct csn_call *call, const char *pointer)
{
    json_t *found = at(of(call)->input, pointer);
    if (json_is_array(found)) return (int)json_array_size(found);
    return json_is_object(found) ? (int)json_object_size(found) : -1;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static const char *s_key(struct csn_call *call, const char *pointer, int index)
{
    json_t *found = at(of(call)->input, pointer), *value;
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
    json_t *found = at(of(call)->input, pointer);
    return found ? dump(of(call), found) : NULL;
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
    json_t *found = at(test->settings, pointer);
    if (!found) { /* the manifest's default; settings are one level deep there */
        json_t *about = pointer[0] == '/' ? json_object_get(at(test->manifest, "/settings/properties"), pointer + 1)
                                          : NULL;
        found = json_object_get(about, "default");
    }
    if (json_is_string(found)) return json_string_value(found);
    return found ? dump(test, found) : NULL;
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
        json_t *about = json_object_get(at(test->manifest, "/credential/fields"), name);
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

static int s_http(struct csn_call *call, const struct csn_http_request *request, struct csn_http_response *response)
{
    return csn_helpers_1.http(call, request, response);
}

static int s_mail(struct csn_call *call, const struct csn_mail *mail, struct csn_mail_result *result)
{
    return csn_helpers_1.mail(call, mail, result);
}

/* ── a test ───────────────────────────────────────────────────────────────────────────────────────────*/

static json_t *parse(const char *json, const char *what)
{
    json_error_t error;
    json_t *value = json_loads(json, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(value)) harness_wrong("%s is no JSON object: %s", what, error.text);
    return value;
}

static void check(struct csn_test *test, const char *path)
{
    const struct csn_connector *connector = test->connector;
    if (connector->abi != CSN_ABI) harness_wrong("%s was built for ABI %u", path, connector->abi);
    const char *name = json_string_value(json_object_get(test->manifest, "name"));
    if (!name || strcmp(name, connector->name) != 0) harness_wrong("the manifest's name is not %s", connector->name);
    const char *version = json_string_value(json_object_get(test->manifest, "version"));
    if (!version || strcmp(version, connector->version) != 0)
        harness_wrong("the manifest's version is not %s", connector->version);
}

struct csn_test *csn_test_open(const char *path, const char *manifest)
{
    json_error_t error;
    struct csn_test *test = calloc(1, sizeof *test);
    if (!test) harness_wrong("out of memory");
    *test = (struct csn_test){.settings = json_object(), .secrets = json_object(), .deadline_ms = 10000};
    test->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!test->library) harness_wrong("%s", dlerror());
    test->connector = dlsym(test->library, "csn_connector_1");
    if (!test->connector) harness_wrong("%s exports no csn_connector_1: is CSN_CONNECTOR there?", path);
    test->manifest = json_load_file(manifest, JSON_REJECT_DUPLICATES, &error);
    if (!test->manifest) harness_wrong("%s:%d: %s", manifest, error.line, error.text);
    check(test, path);
    csn_test_trust(test, "");
    return test;
}

static void forget_run(struct csn_test *test)
{
    if (test->log_stream) fclose(test->log_stream);
    free(test->log);
    free(test->seen);
    free(test->peer_problem);
    free(test->answer_text);
    json_decref(test->input);
    json_decref(test->answer);
    json_decref(test->strings);
    test->log_stream = NULL;
    test->log = test->seen = test->peer_problem = test->answer_text = NULL;
    test->input = test->answer = test->strings = NULL;
}

void csn_test_close(struct csn_test *test)
{
    if (!test) return;
    forget_run(test);
    peers_clear(&test->peers, true);
    json_decref(test->manifest);
    json_decref(test->settings);
    json_decref(test->secrets);
    dlclose(test->library);
    free(test);
}

const struct csn_connector *csn_test_connector(struct csn_test *test)
{
    return test->connector;
}

void csn_test_secret(struct csn_test *test, const char *field, const char *value)
{
    if (!value)
        json_object_del(test->secrets, field);
    else
        json_object_set_new(test->secrets, field, json_string(value));
}

void csn_test_settings(struct csn_test *test, const char *json)
{
    json_decref(test->settings);
    test->settings = parse(json, "the settings");
}

void csn_test_deadline(struct csn_test *test, int milliseconds)
{
    test->deadline_ms = milliseconds;
}

void csn_test_clock(struct csn_test *test, int64_t seconds)
{
    test->clock = seconds;
}

void csn_test_lease(struct csn_test *test, int on)
{
    test->lease = on != 0;
}

void csn_test_peer(struct csn_test *test, const char *host, uint16_t port, const char *script)
{
    peers_script(&test->peers, host, port, script);
}

void csn_test_route(struct csn_test *test, const char *host, uint16_t port, const char *address, uint16_t to)
{
    peers_route(&test->peers, host, port, address, to);
}

void csn_test_trust(struct csn_test *test, const char *pem)
{
    (void)test;
    char *both = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&both, &size);
    if (!stream) harness_wrong("out of memory");
    fputs(csn_test_authority(), stream);
    fputs(pem, stream);
    fclose(stream);
    if (!csn_helpers_1.warm(both, size)) harness_wrong("the certificates to trust cannot be read");
    free(both);
}

static const struct csn_action *find(struct csn_test *test, const char *name)
{
    const char *bytes = (const char *)test->connector->actions;
    for (uint32_t i = 0; i < test->connector->action_count; i++, bytes += test->connector->action_size)
        if (strcmp(((const struct csn_action *)(const void *)bytes)->name, name) == 0)
            return (const struct csn_action *)(const void *)bytes;
    harness_wrong("the connector has no action %s", name);
}

static void begin(struct csn_test *test, const char *action, const char *input)
{
    forget_run(test);
    if (!test->lease) peers_clear(&test->peers, false);
    json_t *about = json_object_get(json_object_get(test->manifest, "actions"), action);
    if (!about) harness_wrong("the manifest has no action %s", action);
    int dials = test->lease ? test->result.dials : 0;
    test->fields = json_object_get(about, "fields");
    test->input = parse(input, "the input");
    test->answer = json_object();
    test->strings = json_array();
    test->problem[0] = test->text[0] = 0;
    test->log_stream = open_memstream(&test->log, &test->log_size);
    if (!test->log_stream) harness_wrong("out of memory");
    fflush(test->log_stream);
    clock_gettime(CLOCK_MONOTONIC, &test->start);
    test->result = (struct csn_test_result){
        .size = sizeof test->result, .status = CSN_TEST_NO_ANSWER, .retry_after = -1, .dials = dials};
}

const struct csn_test_result *csn_test_run(struct csn_test *test, const char *action, const char *input)
{
    const struct csn_services services = {sizeof services,
                                          CSN_ABI,
                                          s_input,
                                          s_integer,
                                          s_boolean,
                                          s_count,
                                          s_key,
                                          s_blob,
                                          s_json,
                                          s_secret,
                                          s_setting,
                                          s_call_id,
                                          s_trace,
                                          s_now,
                                          s_left,
                                          s_dial,
                                          s_problem,
                                          s_commit,
                                          s_log,
                                          s_set,
                                          s_set_integer,
                                          s_set_boolean,
                                          s_set_json,
                                          s_ok,
                                          s_retry_after,
                                          s_fail,
                                          s_http,
                                          s_mail,
                                          csn_helpers_1.hmac_sha256,
                                          csn_helpers_1.base64,
                                          csn_helpers_1.unbase64,
                                          s_explain};
    struct csn_call call = {&services, test};
    const struct csn_action *found = find(test, action);
    begin(test, action, input);
    found->run(&call);
    csn_helpers_1.end(&call);
    if (!test->lease) peers_join(&test->peers);
    test->peer_problem = peers_problem(&test->peers);
    test->answer_text = json_dumps(test->answer, JSON_COMPACT | JSON_SORT_KEYS);
    test->result.text = test->text;
    test->result.answer = test->answer_text;
    test->result.log = test->log;
    test->result.problem = test->peer_problem ? test->peer_problem : "";
    return &test->result;
}

const char *csn_test_seen(struct csn_test *test, int dial, size_t *size)
{
    size_t count = 0;
    char *seen = peers_seen(&test->peers, dial, &count);
    if (seen) json_array_append_new(test->strings, json_stringn_nocheck(seen, count));
    free(seen);
    if (size) *size = count;
    return seen ? json_string_value(json_array_get(test->strings, json_array_size(test->strings) - 1)) : "";
}

const char *csn_test_answer(struct csn_test *test, const char *pointer)
{
    json_t *found = at(test->answer, pointer);
    if (json_is_string(found)) return json_string_value(found);
    return found ? dump(test, found) : NULL;
}
