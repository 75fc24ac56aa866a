/* SPDX-License-Identifier: Apache-2.0 */
/* From files to entries: what is enabled, what a grant may not give, and what a changed file comes to. */
#include "stage.h"

#include "runtime/loader/document.h"
#include "runtime/loader/files.h"

/* ── what works ────────────────────────────────────────────────────────────────────────────────────── */

static void enabled_entry_is_read_by_the_roles(void **state)
{
    JSON_AUTO *document = load_all();
    struct registry registry = {0};
    struct err err = {0};
    FD_AUTO memory = -1;
    BUF_AUTO text = {.max = 1 << 20};
    assert_true(document_lines(document, &text));
    assert_true(memory_seal("registry", text.bytes, text.used, &memory, &err));
    if (!registry_read(memory, &registry, &err)) fail_msg("%s", err.text);
    const struct entry *entry = registry_find(&registry, "sms");
    assert_non_null(entry);
    assert_int_equal(registry.number, 3);
    assert_int_equal(entry->state, ENTRY_ENABLED);
    assert_string_equal(entry->plugin, "sms");
    assert_int_equal(entry->rule_count, 1);
    assert_string_equal(entry->rules[0].host, "api.example.com");
    assert_int_equal(entry->rules[0].port, 443);
    assert_true(entry->needs_credential);
    assert_int_equal(entry->limits.memory_mb, 64);
    assert_int_equal(entry->limits.wall_s, 60);
    assert_int_equal(entry->lease.spares, 1);
    assert_string_equal(entry->workspaces[0], "default");
    assert_string_equal(json_string_value(json_object_get(entry->settings, "host")), "api.example.com");
    registry_clear(&registry);
    close_plugins();
}

static void copy_is_sealed_and_hashed(void **state)
{
    JSON_AUTO *document = load_all();
    static char bytes[sizeof plugin_bytes];
    char so[HASH_TEXT];
    assert_true(plugins[0] >= 0);
    assert_int_equal(fcntl(plugins[0], F_GET_SEALS), F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
    assert_int_equal(pread(plugins[0], bytes, sizeof bytes, 0), plugin_length);
    assert_memory_equal(bytes, plugin_bytes, plugin_length);
    digest_text(plugin_bytes, plugin_length, so);
    assert_string_equal(text_of(document, 0, "so_digest"), so);
    close_plugins();
}

static void digest_covers_everything(void **state)
{
    static const char *const rests[] = {"[Grant]\nEgress=tls://api.example.com:443\n",
                                        "[Grant]\nEgress=tls://api.example.com:443\nWorkspaces=other\n",
                                        "[Grant]\nEgress=tls://api.example.com:443\nIsolation=lease\n",
                                        "[Grant]\nEgress=tls://api.example.com:443\nCapture=input\n",
                                        "[Grant]\nEgress=tls://api.example.com:443\nCapture=reply\n",
                                        "[Grant]\nEgress=tls://api.example.com:443\nCapture=input reply\n",
                                        "[Grant]\nEgress=tls://api.example.com:443\nMemoryMax=32M\n",
                                        "[Grant]\nEgress=tls://api.example.com:443\nAddressRanges=private\n",
                                        "[Grant]\nEgress=tls://api.example.com:443\n[Settings]\nloud=yes\n",
                                        "[Grant]\n"};
    enum { RESTS = sizeof rests / sizeof *rests };
    char seen[RESTS][HASH_TEXT];
    for (size_t i = 0; i < RESTS; i++) {
        put_dropin("10-sms.conf", "sms", manifest, rests[i]);
        JSON_AUTO *document = load_all();
        assert_string_equal(text_of(document, 0, "state"), "enabled");
        snprintf(seen[i], HASH_TEXT, "%s", text_of(document, 0, "digest"));
        for (size_t j = 0; j < i; j++) assert_string_not_equal(seen[i], seen[j]);
        close_plugins();
    }
    put_dropin("10-sms.conf", "sms", manifest, rests[0]);
    JSON_AUTO *document = load_all();
    assert_string_equal(text_of(document, 0, "digest"), seen[0]);
    close_plugins();
}

/* Nothing is captured, and nothing is said of it, unless the drop-in asks for it; saying no changes nothing. */
static void capture_is_off(void **state)
{
    static const char *const rests[] = {"[Grant]\nEgress=tls://api.example.com:443\n",
                                        "[Grant]\nEgress=tls://api.example.com:443\nCapture=none\n",
                                        "[Grant]\nEgress=tls://api.example.com:443\nCapture=input reply\n"};
    static const char *const said[] = {NULL, NULL, "input reply"};
    char seen[3][HASH_TEXT];
    for (size_t i = 0; i < 3; i++) {
        put_dropin("10-sms.conf", "sms", manifest, rests[i]);
        JSON_AUTO *document = load_all();
        const json_t *entry = json_array_get(json_object_get(document, "entries"), 0);
        const char *capture = json_string_value(json_object_get(entry, "capture"));
        if (said[i]) assert_string_equal(capture, said[i]);
        if (!said[i]) assert_null(capture);
        snprintf(seen[i], HASH_TEXT, "%s", text_of(document, 0, "digest"));
        close_plugins();
    }
    assert_string_equal(seen[0], seen[1]);
    assert_string_not_equal(seen[0], seen[2]);
}

static void settings_are_typed(void **state)
{
    put_dropin("10-sms.conf", "sms", manifest,
               "[Grant]\nEgress=tls://b.example.com:8443\n"
               "[Settings]\nhost=b.example.com\nport=8443\ntags=x\ntags=y\nloud=no\n");
    JSON_AUTO *document = load_all();
    const json_t *settings = json_object_get(json_array_get(json_object_get(document, "entries"), 0), "settings");
    assert_int_equal(json_integer_value(json_object_get(settings, "port")), 8443);
    assert_true(json_is_false(json_object_get(settings, "loud")));
    assert_int_equal(json_array_size(json_object_get(settings, "tags")), 2);
    close_plugins();
}

static void one_plugin_under_two_names(void **state)
{
    put_dropin("20-other.conf", "sms-other", manifest, "");
    put_dropin("30-off.conf", "sms-off", manifest, "Enabled=no\n");
    JSON_AUTO *document = load_all();
    assert_int_equal(count_of(document), 3);
    assert_string_equal(text_of(document, 1, "state"), "enabled");
    assert_string_equal(text_of(document, 2, "state"), "disabled");
    assert_true(plugins[1] >= 0 && plugins[2] < 0);
    close_plugins();
}

/* ── grants and settings that are refused ──────────────────────────────────────────────────────────── */

static void more_than_asked(void **state)
{
    static const struct {
        const char *rest, *problem;
    } rows[] = {
        {"[Grant]\nEgress=tls://evil.example.com:443\n", "Egress="},
        {"[Grant]\nEgress=tls://api.example.com:444\n", "Egress="},
        {"[Grant]\nEgress=plain://api.example.com:443\n", "Egress="},
        {"[Grant]\nEgress=tls://*.com:443\n", "AllowAnyHost"},
        {"[Grant]\nEgress=tls://*:443\n", "AllowAnyHost"},
        {"[Grant]\nEgress=tls://api.example.com:1-65535\n", "ranges"},
        {"[Grant]\nEgress=tls://127.0.0.1:443\n", "Egress="},
        {"[Grant]\nEgress=tls://localhost:443\n", "AddressRanges"},
        {"[Grant]\nMemoryMax=65M\n", "MemoryMax="},
        {"[Grant]\nTimeMax=61s\n", "TimeMax="},
        {"[Grant]\nCAFile=missing.pem\n", "CAFile="},
        {"[Settings]\nunknown=1\n", "unknown"},
        {"[Settings]\nport=0\n", "port"},
        {"[Settings]\nport=many\n", "port"},
        {"[Settings]\nport=99999999999999999999\n", "port"},
        {"[Settings]\nhost=a\nhost=b\n", "host"},
        {"[Settings]\nloud=perhaps\n", "loud"},
    };
    put_dropin("20-good.conf", "good", manifest, "[Grant]\nConcurrency=200\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put_dropin("10-sms.conf", "sms", manifest, rows[i].rest);
        expect(0, "invalid", rows[i].problem);
        expect(1, "enabled", NULL);
    }
}

static void put_grants(unsigned grants)
{
    static const char any[] = MANIFEST("sms", "\"tls://*:443\",\"tls://*:8443\"");
    char rest[4000] = "[Grant]\nAllowAnyHost=yes\n";
    size_t used = strlen(rest);
    for (unsigned i = 0; i < grants; i++)
        used += (size_t)snprintf(rest + used, sizeof rest - used, "Egress=tls://host%u.example.com:*\n", i);
    put("plugins/sms/manifest.json", any);
    put_dropin("10-sms.conf", "sms", any, rest);
}

/* More would cost the roles the whole registry. */
static void as_many_rules_as_the_roles_take(void **state)
{
    put_grants(ENTRY_RULES / 2);
    expect(0, "enabled", NULL);
    put_grants(ENTRY_RULES / 2 + 1);
    expect(0, "invalid", "Egress= comes to more than 128 rules");
}

/* The wall behind the loader's own checks: what the roles' parser refuses stays the affair of that one drop-in. */
static void judged_as_the_roles_do(void **state)
{
    JSON_AUTO *document = load_all();
    json_t *entry = json_array_get(json_object_get(document, "entries"), 0);
    struct err err = {0};
    if (!document_takes(entry, &err)) fail_msg("%s", err.text);
    for (int i = 0; i <= ENTRY_RANGES; i++)
        json_array_append_new(json_object_get(entry, "ranges"), json_string("10.0.0.0/8"));
    assert_false(document_takes(entry, &err));
    assert_non_null(strstr(err.text, "ranges"));
    close_plugins();
}

static void wildcards_with_permission(void **state)
{
    static const char any[] = MANIFEST("sms", "\"tls://*:*\"");
    put("plugins/sms/manifest.json", any);
    put_dropin("10-sms.conf", "sms", any, "[Grant]\nAllowAnyHost=yes\nEgress=tls://*:443 tls://*.com:8443\n");
    expect(0, "enabled", NULL);
    put_dropin("10-sms.conf", "sms", any, "[Grant]\nAddressRanges=loopback\nEgress=tls://localhost:8443\n");
    expect(0, "enabled", NULL);
    put_dropin("10-sms.conf", "sms", any, "[Grant]\nEgress=tls://192.0.2.1:443\n");
    expect(0, "enabled", NULL);
}

static void own_certificates(void **state)
{
    put("plugins.d/demo.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    put_dropin("10-sms.conf", "sms", manifest, "[Grant]\nCAFile=demo.pem\n");
    expect(0, "enabled", NULL);
    put("plugins.d/demo.pem", "nothing of the kind");
    expect(0, "invalid", "CAFile=");
    char path[256];
    path_of("plugins.d/link.pem", path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    put_dropin("10-sms.conf", "sms", manifest, "[Grant]\nCAFile=link.pem\n");
    expect(0, "invalid", "symbolic link");
}

/* ── corpus 132, 134: changed after approval ───────────────────────────────────────────────────────── */

static void changed_files(void **state)
{
    static const char wider[] = MANIFEST("sms", "\"tls://{host}:{port}\",\"tls://evil.example.com:443\"");
    put("plugins/sms/sms.so", "other bytes");
    expect(0, "changed", "shared object");
    put("plugins/sms/sms.so", "");
    expect(0, "changed", "shared object");
    put_plugin();
    expect(0, "enabled", NULL);
    put("plugins/sms/manifest.json", wider);
    expect(0, "changed", "manifest.json");
    expect(0, "changed", "tls://evil.example.com:443");
    put("plugins/sms/sms.so", "other bytes");
    expect(0, "changed", "shared object and manifest.json");
    put("plugins/sms/manifest.json", "{}");
    expect(0, "changed", "manifest.json");
    put("plugins/sms/manifest.json", MANIFEST("smsx", ""));
    expect(0, "changed", "manifest.json");
}

/* In place, while the copy is held: the copy does not move. */
static void running_copy_is_unaffected(void **state)
{
    static char bytes[sizeof plugin_bytes];
    char path[256];
    JSON_AUTO *document = load_all();
    assert_string_equal(text_of(document, 0, "state"), "enabled");
    path_of("plugins/sms/sms.so", path);
    FD_AUTO fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "XXXX", 4, 0), 4);
    assert_int_equal(ftruncate(fd, 8), 0);
    assert_int_equal(pread(plugins[0], bytes, sizeof bytes, 0), plugin_length);
    assert_memory_equal(bytes, plugin_bytes, plugin_length);
    close_plugins();
}

static void missing_plugin(void **state)
{
    char path[256];
    path_of("plugins/sms/sms.so", path);
    unlink(path);
    expect(0, "invalid", "sms.so");
    FD_AUTO fd = open(path, O_WRONLY | O_CREAT, 0644);
    assert_int_equal(ftruncate(fd, (off_t)1024 * 1024 * 1024), 0);
    expect(0, "invalid", "larger");
}

int main(int argc, char **argv)
{
    if (!stage_plugin(argc, argv)) return 2;
    const struct CMUnitTest tests[] = {
        CASE(enabled_entry_is_read_by_the_roles),
        CASE(copy_is_sealed_and_hashed),
        CASE(digest_covers_everything),
        CASE(capture_is_off),
        CASE(settings_are_typed),
        CASE(one_plugin_under_two_names),
        CASE(more_than_asked),
        CASE(as_many_rules_as_the_roles_take),
        CASE(judged_as_the_roles_do),
        CASE(wildcards_with_permission),
        CASE(own_certificates),
        CASE(changed_files),
        CASE(running_copy_is_unaffected),
        CASE(missing_plugin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
