/* SPDX-License-Identifier: Apache-2.0 */
/* A test: loads a connector, gathers what its call shall find, runs it, keeps what it did. */
#include "caisson/testing.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "helpers.h"
#include "host.h"
#include "pointer.h"

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
    struct csn_call call = {&host_services, test};
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
    json_t *found = pointer_find(test->answer, pointer);
    if (json_is_string(found)) return json_string_value(found);
    return found ? host_dump(test, found) : NULL;
}
