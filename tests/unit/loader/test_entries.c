/* SPDX-License-Identifier: Apache-2.0 */
/* From files to entries: what is enabled, what is refused and why, and that one broken drop-in stays alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/auto_json.h"
#include "runtime/loader/entries.h"

#define MANIFEST(NAME, EGRESS)                                                                                         \
    "{\"name\":\"" NAME                                                                                                \
    "\",\"version\":\"1.0.0\",\"abi\":1,\"summary\":\"Sends.\",\"actions\":{\"send\":{\"summary\":"                    \
    "\"Sends.\",\"input\":{\"type\":\"object\"},\"fields\":[\"token\"]}},\"credential\":{\"fields\":{\"token\":{"      \
    "\"summary\":\"Token\"}}},\"settings\":{\"type\":\"object\",\"properties\":{\"host\":{\"type\":\"string\","        \
    "\"default\":\"api.example.com\"},\"port\":{\"type\":\"integer\",\"minimum\":1,\"default\":443},\"tags\":{"        \
    "\"type\":\"array\",\"items\":{\"type\":\"string\"}},\"loud\":{\"type\":\"boolean\"}},\"additionalProperties\":"   \
    "false},\"egress\":[" EGRESS "],\"limits\":{\"memory_mb\":64}}"

static char home[64];
static const char plugin_bytes[] = "\177ELF not really, but nobody here looks inside";

/* ── files ─────────────────────────────────────────────────────────────────────────────────────────── */

static void put(const char *name, const char *bytes)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", home, name);
    unlink(path);
    FD_AUTO fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
    assert_int_equal(fchmod(fd, 0644), 0);
}

static void path_of(const char *name, char path[256])
{
    snprintf(path, 256, "%s/%s", home, name);
}

static void digest_text(const char *bytes, char text[HASH_TEXT])
{
    uint8_t digest[HASH_BYTES];
    crypto_hash_sha256(digest, (const unsigned char *)bytes, strlen(bytes));
    hex_text(digest, HASH_BYTES, text);
}

static void put_dropin(const char *file, const char *name, const char *manifest, const char *rest)
{
    char text[4096], so[HASH_TEXT], document[HASH_TEXT], path[300];
    digest_text(plugin_bytes, so);
    digest_text(manifest, document);
    snprintf(text, sizeof text, "[Plugin]\nName=%s\nPath=sms\nDigest=sha256:%s\nManifestDigest=sha256:%s\n%s", name, so,
             document, rest);
    snprintf(path, sizeof path, "plugins.d/%s", file);
    put(path, text);
}

static const char manifest[] = MANIFEST("sms", "\"tls://{host}:{port}\"");

static int set_up(void **state)
{
    char path[256];
    strcpy(home, "/tmp/caisson-entries-XXXXXX");
    umask(022);
    if (!mkdtemp(home) || sodium_init() < 0) return -1;
    path_of("plugins.d", path), mkdir(path, 0755);
    path_of("plugins", path), mkdir(path, 0755);
    path_of("plugins/sms", path), mkdir(path, 0755);
    put("plugins/sms/sms.so", plugin_bytes);
    put("plugins/sms/manifest.json", manifest);
    put_dropin("10-sms.conf", "sms", manifest, "[Grant]\nEgress=tls://api.example.com:443\n");
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *where)
{
    return remove(path);
}

static int tear_down(void **state)
{
    return nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ── loading ───────────────────────────────────────────────────────────────────────────────────────── */

static int plugins[DROPINS_MAX];

static json_t *load_all(void)
{
    struct loader loader = {.number = 3, .owner = geteuid(), .dir_count = 1};
    struct err err = {0};
    char path[256], folder[256];
    json_t *document = NULL;
    path_of("plugins.d", path);
    path_of("plugins", folder);
    FD_AUTO dropins = open(path, O_RDONLY | O_DIRECTORY);
    FD_AUTO below = open(folder, O_RDONLY | O_DIRECTORY);
    loader.plugins_d = dropins;
    loader.dirs[0] = below;
    loader.paths[0] = folder;
    if (!entries_load(&loader, &document, plugins, &err)) fail_msg("%s", err.text);
    return document;
}

static void close_plugins(void)
{
    for (int i = 0; i < DROPINS_MAX; i++) close_fd(&plugins[i]);
}

static const char *text_of(const json_t *document, size_t index, const char *key)
{
    const char *text = json_string_value(
        json_object_get(json_array_get(json_object_get(document, "entries"), index), key));
    return text ? text : "";
}

static size_t count_of(const json_t *document)
{
    return json_array_size(json_object_get(document, "entries"));
}

/* Loads, and expects of entry index this state, and of its problem this text. */
static void expect(size_t index, const char *state, const char *problem)
{
    JSON_AUTO *document = load_all();
    if (strcmp(text_of(document, index, "state"), state) != 0)
        fail_msg("%s, not %s: %s", text_of(document, index, "state"), state, text_of(document, index, "problem"));
    if (problem && !strstr(text_of(document, index, "problem"), problem))
        fail_msg("\"%s\" is not in: %s", problem, text_of(document, index, "problem"));
    assert_true((plugins[index] >= 0) == (strcmp(state, "enabled") == 0));
    close_plugins();
}

/* ── what works ────────────────────────────────────────────────────────────────────────────────────── */

static void enabled_entry_is_read_by_the_roles(void **state)
{
    JSON_AUTO *document = load_all();
    struct registry registry = {0};
    struct err err = {0};
    FD_AUTO memory = memfd_create("registry", MFD_CLOEXEC);
    FREE_AUTO char *text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);
    assert_int_equal(write(memory, text, strlen(text)), (ssize_t)strlen(text));
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
    char so[HASH_TEXT], bytes[sizeof plugin_bytes] = {0};
    assert_true(plugins[0] >= 0);
    assert_int_equal(fcntl(plugins[0], F_GET_SEALS), F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
    assert_int_equal(pread(plugins[0], bytes, sizeof bytes, 0), sizeof plugin_bytes - 1);
    assert_string_equal(bytes, plugin_bytes);
    digest_text(plugin_bytes, so);
    assert_string_equal(text_of(document, 0, "so_digest"), so);
    close_plugins();
}

static void digest_covers_everything(void **state)
{
    static const char *const rests[] = {"[Grant]\nEgress=tls://api.example.com:443\n",
                                        "[Grant]\nEgress=tls://api.example.com:443\nWorkspaces=other\n",
                                        "[Grant]\nEgress=tls://api.example.com:443\nIsolation=lease\n",
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

/* ── corpus 130: what a file must not be ───────────────────────────────────────────────────────────── */

static void make_symlink(const char *path)
{
    char other[256];
    path_of("elsewhere", other);
    put("elsewhere", manifest);
    assert_int_equal(symlink(other, path), 0);
}

static void make_hard_link(const char *path)
{
    char other[256];
    path_of("elsewhere", other);
    put("elsewhere", manifest);
    assert_int_equal(link(other, path), 0);
}

static void make_fifo(const char *path)
{
    assert_int_equal(mkfifo(path, 0644), 0);
}

static void make_device(const char *path)
{
    if (geteuid() != 0 || mknod(path, S_IFCHR | 0644, makedev(1, 5)) < 0) make_fifo(path);
}

static void make_folder(const char *path)
{
    assert_int_equal(mkdir(path, 0755), 0);
}

static void make_writable(const char *path)
{
    put("plugins/sms/manifest.json", manifest);
    assert_int_equal(chmod(path, 0666), 0);
}

static void make_group_writable(const char *path)
{
    put("plugins/sms/manifest.json", manifest);
    assert_int_equal(chmod(path, 0664), 0);
}

static void make_huge(const char *path)
{
    FD_AUTO fd = open(path, O_WRONLY | O_CREAT, 0644);
    assert_int_equal(ftruncate(fd, 100 * 1024 * 1024), 0);
}

static void make_nothing(const char *path)
{
}

static void manifests_that_are_no_files(void **state)
{
    static const struct {
        void (*make)(const char *);
        const char *problem;
    } rows[] = {{make_symlink, "symbolic link"},
                {make_hard_link, "hard link"},
                {make_fifo, "regular"},
                {make_device, "regular"},
                {make_folder, "regular"},
                {make_writable, "written by others"},
                {make_group_writable, "written by others"},
                {make_huge, "larger"},
                {make_nothing, "not there"}};
    char path[256];
    path_of("plugins/sms/manifest.json", path);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        remove(path);
        rows[i].make(path);
        expect(0, "invalid", rows[i].problem);
    }
}

static void other_owner(void **state)
{
    char path[256];
    if (geteuid() != 0) return; /* only root can give files away */
    static const char *const files[] = {"plugins/sms/manifest.json", "plugins/sms/sms.so", "plugins/sms",
                                        "plugins.d/10-sms.conf"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        path_of(files[i], path);
        assert_int_equal(chown(path, 12345, 12345), 0);
        expect(0, "invalid", "somebody else");
        assert_int_equal(chown(path, 0, 0), 0);
    }
    expect(0, "enabled", NULL);
}

static void dropins_that_are_no_files(void **state)
{
    char path[256], target[256];
    path_of("plugins.d/05-link.conf", path);
    path_of("plugins.d/10-sms.conf", target);
    assert_int_equal(symlink(target, path), 0);
    expect(0, "invalid", "symbolic link");
    unlink(path);
    assert_int_equal(mkfifo(path, 0644), 0);
    expect(0, "invalid", "regular");
    expect(1, "enabled", NULL);
    unlink(path);
    assert_int_equal(chmod(target, 0666), 0);
    expect(0, "invalid", "written by others");
}

/* ── corpus 131, 133: paths ────────────────────────────────────────────────────────────────────────── */

static void paths(void **state)
{
    static const char *const bad[] = {"../plugins/sms", "..",   ".",       "/etc",   "/",
                                      "sms/../sms",     "sms/", ".hidden", "nowhere"};
    char text[512], so[HASH_TEXT], document[HASH_TEXT], path[256];
    digest_text(plugin_bytes, so);
    digest_text(manifest, document);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "[Plugin]\nName=sms\nPath=%s\nDigest=sha256:%s\nManifestDigest=sha256:%s\n", bad[i],
                 so, document);
        put("plugins.d/10-sms.conf", text);
        expect(0, "invalid", NULL);
    }
    snprintf(text, sizeof text, "[Plugin]\nName=sms\nPath=%s/plugins/sms\nDigest=sha256:%s\nManifestDigest=sha256:%s\n",
             home, so, document);
    put("plugins.d/10-sms.conf", text);
    expect(0, "enabled", NULL);
    /* the folder becomes a link to another one */
    char moved[256];
    path_of("plugins/sms", path);
    path_of("moved", moved);
    assert_int_equal(rename(path, moved), 0);
    assert_int_equal(symlink(moved, path), 0);
    expect(0, "invalid", "symbolic link");
}

static void name_collision(void **state)
{
    put_dropin("20-thief.conf", "sms", manifest, "");
    expect(0, "enabled", NULL);
    expect(1, "invalid", "Name=sms");
}

static void names_of_files_are_shown_plainly(void **state)
{
    put("plugins.d/05-\x1b[31m\xff.conf", "x");
    JSON_AUTO *document = load_all();
    assert_string_equal(text_of(document, 0, "state"), "invalid");
    assert_string_equal(text_of(document, 0, "file"), "05-?[31m?.conf");
    assert_string_equal(text_of(document, 1, "state"), "enabled");
    close_plugins();
}

static void reasons_are_shown_plainly(void **state)
{
    char evil[512];
    snprintf(evil, sizeof evil, "{\"name\":\"sms\",\"%0*d\xc3\xa9\\u001b[2J\":1}", 78, 0);
    put("plugins/sms/manifest.json", evil);
    put_dropin("10-sms.conf", "sms", evil, "");
    put_dropin("20-good.conf", "good", evil, "");
    JSON_AUTO *document = load_all();
    assert_int_equal(count_of(document), 2);
    for (const char *at = text_of(document, 0, "problem"); *at; at++) assert_in_range(*at, 0x20, 0x7e);
    close_plugins();
}

/* ── corpus 132, 134: changed after approval ───────────────────────────────────────────────────────── */

static void changed_files(void **state)
{
    static const char wider[] = MANIFEST("sms", "\"tls://{host}:{port}\",\"tls://evil.example.com:443\"");
    put("plugins/sms/sms.so", "other bytes");
    expect(0, "changed", "shared object");
    put("plugins/sms/sms.so", "");
    expect(0, "changed", "shared object");
    put("plugins/sms/sms.so", plugin_bytes);
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
    char path[256], bytes[sizeof plugin_bytes] = {0};
    JSON_AUTO *document = load_all();
    path_of("plugins/sms/sms.so", path);
    FD_AUTO fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "XXXX", 4, 0), 4);
    assert_int_equal(ftruncate(fd, 8), 0);
    assert_int_equal(pread(plugins[0], bytes, sizeof bytes, 0), sizeof plugin_bytes - 1);
    assert_string_equal(bytes, plugin_bytes);
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

/* ── corpus 137: files that do not count ───────────────────────────────────────────────────────────── */

static void files_that_do_not_count(void **state)
{
    static const char *const ignored[] = {"20-a.conf~", ".20-a.conf",     "20-a.conf.bak", "20-a.conf.disabled",
                                          "README",     ".20-a.conf.swp", "#20-a.conf#",   "20-a.conf.dpkg-old"};
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) put_dropin(ignored[i], "ghost", manifest, "");
    JSON_AUTO *document = load_all();
    assert_int_equal(count_of(document), 1);
    close_plugins();
}

static void order_of_names(void **state)
{
    put_dropin("90-z.conf", "z", manifest, "");
    put_dropin("05-a.conf", "a", manifest, "");
    JSON_AUTO *document = load_all();
    assert_string_equal(text_of(document, 0, "name"), "a");
    assert_string_equal(text_of(document, 1, "name"), "sms");
    assert_string_equal(text_of(document, 2, "name"), "z");
    close_plugins();
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(enabled_entry_is_read_by_the_roles),
        CASE(copy_is_sealed_and_hashed),
        CASE(digest_covers_everything),
        CASE(settings_are_typed),
        CASE(one_plugin_under_two_names),
        CASE(more_than_asked),
        CASE(wildcards_with_permission),
        CASE(own_certificates),
        CASE(manifests_that_are_no_files),
        CASE(other_owner),
        CASE(dropins_that_are_no_files),
        CASE(paths),
        CASE(name_collision),
        CASE(names_of_files_are_shown_plainly),
        CASE(reasons_are_shown_plainly),
        CASE(changed_files),
        CASE(running_copy_is_unaffected),
        CASE(missing_plugin),
        CASE(files_that_do_not_count),
        CASE(order_of_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
