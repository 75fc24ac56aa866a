/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation in turn fails, once alone and once with all after it: what reads files and requests then says so,
 * crashes nowhere, leaks nothing, and never takes a part for the whole. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "base/ini.h"
#include "base/json.h"
#include "base/schema.h"
#include "memory.h"
#include "runtime/loader/document.h"
#include "runtime/loader/files.h"
#include "runtime/loader/grant.h"
#include "runtime/loader/manifest.h"
#include "runtime/loader/plugins_d.h"
#include "runtime/parent/config.h"
#include "runtime/registry.h"
#include "tests/unit/loader/stage.h"

/* ── base ──────────────────────────────────────────────────────────────────────────────────────────── */

static const char document[] =
    "{\"b\":[1,2,{\"c\":\"text\"}],\"a\":{\"x\":null,\"y\":true},\"long\":\"0123456789 0123456789"
    " 0123456789 0123456789 0123456789 0123456789 0123456789\"}";

static bool json_work(char **text, struct err *err)
{
    JSON_AUTO *value = NULL;
    BUF_AUTO out;
    buf_init(&out, 4096);
    if (!json_read(document, sizeof document - 1, 4096, &value, err)) return false;
    if (!json_compact(value, &out)) return err_set(err, ERR_BUSY, "there is no memory");
    *text = take(&out.bytes);
    return true;
}

static const char shape[] =
    "{\"type\":\"object\",\"$defs\":{\"n\":{\"type\":\"integer\",\"minimum\":1}},\"properties\":{\"a\":{\"$ref\":"
    "\"#/$defs/n\"},\"b\":{\"type\":\"array\",\"items\":{\"enum\":[\"x\",\"y\"]}},\"c\":{\"anyOf\":[{\"type\":"
    "\"string\"},{\"type\":\"null\"}]}},\"required\":[\"a\"],\"additionalProperties\":false}";

static bool schema_work(char **text, struct err *err)
{
    static const char fits[] = "{\"a\":3,\"b\":[\"x\",\"y\"],\"c\":null}", wrong[] = "{\"a\":0}";
    JSON_AUTO *schema = NULL;
    JSON_AUTO *value = NULL;
    JSON_AUTO *other = NULL;
    char pointer[SCHEMA_POINTER];
    struct err own = {0};
    if (!json_read(shape, sizeof shape - 1, 4096, &schema, err) ||
        !json_read(fits, sizeof fits - 1, 4096, &value, err) ||
        !json_read(wrong, sizeof wrong - 1, 4096, &other, err) || !schema_check(schema, err) ||
        !schema_validate(schema, value, pointer, err))
        return false;
    if (schema_validate(schema, other, pointer, &own)) fail_msg("a wrong value fits when memory is short");
    return true;
}

static bool ini_work(char **text, struct err *err)
{
    static const char file[] = "[A]\nx=1\nx=2\n# no\n[B]\ny=some words\n[A]\nx=\nx=3\nz=4\n";
    INI_AUTO ini = {0};
    if (!ini_parse(&ini, file, sizeof file - 1, "a.conf", err)) return false;
    const char *x = ini_get(&ini, "A", "x"), *y = ini_get(&ini, "B", "y"), *z = ini_get(&ini, "A", "z");
    bool was = memory_rest();
    if (asprintf(text, "%s %s %s", x ? x : "-", y ? y : "-", z ? z : "-") < 0) *text = NULL;
    memory_go_on(was);
    return true;
}

static bool buf_work(char **text, struct err *err)
{
    BUF_AUTO out;
    buf_init(&out, 100000);
    for (int i = 0; i < 500; i++) {
        size_t used = out.used;
        if (buf_print(&out, "%d,", i) && buf_text(&out, "x") && buf_add(&out, "yz", 2)) continue;
        if (out.used > used + 5) fail_msg("more stands in the buffer than was added");
        return err_set(err, ERR_BUSY, "there is no memory");
    }
    *text = take(&out.bytes);
    return true;
}

static void test_base(void **state)
{
    memory_run("json", json_work);
    memory_run("schema", schema_work);
    memory_run("ini", ini_work);
    memory_run("buf", buf_work);
}

/* ── the parent's and the loader's files ───────────────────────────────────────────────────────────── */

static bool config_work(char **text, struct err *err)
{
    static const char file[] =
        "[Access]\nInvoker=default uid:5 gid:6\nAuditor=* uid:7\n[Listen]\nTcp=127.0.0.1:80\nCorsOrigin="
        "https://a.example https://b.example\n[Resolver]\nHost=a.example 10.0.0.1\nNameservers=10.0.0.2 "
        "10.0.0.3\nRefuse=192.0.2.0/24\n[Limits]\nCalls=7\nCallRate=3\n";
    struct config config;
    if (!config_read(file, sizeof file - 1, "caisson.conf", 1000, &config, err)) return false;
    bool was = memory_rest();
    JSON_AUTO *all = json_array();
    for (int i = 0; i < ROLE_COUNT; i++) json_array_append(all, config.parts[i]);
    *text = memory_json(all);
    json_decref(take(&all));
    memory_go_on(was);
    config_clear(&config);
    return true;
}

static bool manifest_work(char **text, struct err *err)
{
    struct manifest read = {0};
    bool done = manifest_read(manifest, strlen(manifest), &read, err);
    if (done) *text = memory_json(read.document);
    manifest_clear(&read);
    return done;
}

static bool grant_work(char **text, struct err *err)
{
    static const char file[] =
        "[Plugin]\nName=sms\nDigest=sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n"
        "ManifestDigest=sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n"
        "[Grant]\nEgress=tls://api.example.com:443\nAddressRanges=private\nWorkspaces=default other\n"
        "[Settings]\nhost=api.example.com\ntags=a\ntags=b\nloud=yes\n";
    struct manifest read = {0};
    struct dropin dropin = {0};
    JSON_AUTO *settings = NULL;
    JSON_AUTO *rules = NULL;
    bool done = manifest_read(manifest, strlen(manifest), &read, err) &&
                plugins_d_read(file, sizeof file - 1, "10-sms.conf", &dropin, err) &&
                grant_settings(&read, &dropin, &settings, err) && grant_egress(&read, &dropin, settings, &rules, err);
    bool was = memory_rest();
    if (done) {
        JSON_AUTO *all = json_pack("[O, O, O, O]", settings, rules, dropin.ranges, dropin.workspaces);
        *text = memory_json(all);
    }
    memory_go_on(was);
    manifest_clear(&read);
    plugins_d_clear(&dropin);
    return done;
}

static void test_files(void **state)
{
    memory_run("caisson.conf", config_work);
    memory_run("manifest", manifest_work);
    memory_run("drop-in and grant", grant_work);
}

/* An entry is enabled as it would be undisturbed, or it is not enabled. */
static bool entries_work(char **text, struct err *err)
{
    FD_AUTO dropins = open("plugins.d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FD_AUTO folder = open("plugins", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct loader loader = {
        .number = 3, .owner = getuid(), .plugins_d = dropins, .dirs = {folder}, .paths = {"plugins"}, .dir_count = 1};
    JSON_AUTO *made = NULL;
    bool done = entries_load(&loader, &made, plugins, err);
    close_plugins();
    if (!done) return false;
    const json_t *entry = json_array_get(json_object_get(made, "entries"), 0);
    const char *how = json_string_value(json_object_get(entry, "state"));
    if (how && strcmp(how, "enabled") == 0) {
        *text = memory_json(made);
        return true;
    }
    return err_set(err, ERR_BUSY, "%s", how ? how : "there is no entry");
}

static void test_entries(void **state)
{
    put_dropin("10-sms.conf", "sms", manifest, "[Grant]\nEgress=tls://api.example.com:443\nAddressRanges=private\n");
    put_plugin();
    assert_int_equal(chdir(home), 0);
    memory_run("entries", entries_work);
    assert_int_equal(chdir("/"), 0);
}

static int registry_memory = -1;

static bool registry_work(char **text, struct err *err)
{
    struct registry registry = {0};
    if (!registry_read(registry_memory, &registry, err)) return false;
    const struct entry *entry = registry_find(&registry, "sms");
    bool was = memory_rest();
    if (entry && asprintf(text, "%u %u %u %u %s", entry->state, entry->action_count, entry->rule_count,
                          entry->range_count, entry->rules[0].host) < 0)
        *text = NULL;
    memory_go_on(was);
    registry_clear(&registry);
    return entry || err_set(err, ERR_BUSY, "there is no memory for the entry");
}

static void test_registry(void **state)
{
    put_dropin("10-sms.conf", "sms", manifest, "[Grant]\nEgress=tls://api.example.com:443\nAddressRanges=private\n");
    put_plugin();
    JSON_AUTO *made = load_all();
    BUF_AUTO text = {.max = 1 << 20};
    struct err err = {0};
    assert_true(document_lines(made, &text));
    assert_true(memory_seal("registry", text.bytes, text.used, &registry_memory, &err));
    close_plugins();
    memory_run("registry", registry_work);
    close_fd(&registry_memory);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_base), cmocka_unit_test(test_files), CASE(test_entries),
                                       CASE(test_registry)};
    if (!stage_plugin(argc, argv)) return 2;
    tzset(); /* the C library keeps what a first line of a log allocates */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
