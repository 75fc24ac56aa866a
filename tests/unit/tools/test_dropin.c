/* SPDX-License-Identifier: Apache-2.0 */
/* Drop-ins: edited line by line, pinned to what was shown; manifests in plain words. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/unit.h"
#include "base/auto.h"
#include "base/json.h"
#include "tools/dropin.h"
#include "tools/enabling.h"
#include "tools/manifest_view.h"

/* ── editing ───────────────────────────────────────────────────────────────────────────────────────── */

static void edited(const char *before, const char *section, const char *key, const char *first, const char *second,
                   const char *after)
{
    struct err err = {0};
    const char *values[] = {first, second};
    BUF_AUTO text;
    buf_init(&text, DROPIN_TEXT);
    assert_true(buf_text(&text, before));
    assert_true(dropin_set(&text, section, key, values, (first != NULL) + (second != NULL), &err));
    assert_string_equal(text.bytes, after);
}

static void values_go_where_they_belong(void **state)
{
    edited("", "Plugin", "Name", "a", NULL, "[Plugin]\nName=a\n");
    edited("[Plugin]\nName=a\n", "Plugin", "Name", "b", NULL, "[Plugin]\nName=b\n");
    edited("[Plugin]\nName=a\n", "Grant", "Egress", "x", "y", "[Plugin]\nName=a\n\n[Grant]\nEgress=x\nEgress=y\n");
    edited("[Plugin]\nName=a\n\n[Grant]\nE=1\n", "Plugin", "Path", "p", NULL,
           "[Plugin]\nName=a\nPath=p\n\n[Grant]\nE=1\n");
    edited("[G]\nE=1\nE=2\nF=3\n", "G", "E", "9", NULL, "[G]\nF=3\nE=9\n");
    edited("[G]\nE=1\n", "G", "E", NULL, NULL, "[G]\n");
    edited("[G]\nE=1\n", "H", "E", NULL, NULL, "[G]\nE=1\n");
    edited("[G]\nE=1\n[H]\nE=1\n", "H", "E", "2", NULL, "[G]\nE=1\n[H]\nE=2\n");
    edited("[G]\nEE=1", "G", "E", "2", NULL, "[G]\nEE=1\nE=2\n");
}

static void what_people_wrote_stays(void **state)
{
    edited("# mine\n[G]\n; why\n E = old\n\n# end\n", "G", "E", "new", NULL, "# mine\n[G]\n; why\n\n# end\nE=new\n");
    edited("[G]\n#E=1\nE=2\n", "G", "E", "3", NULL, "[G]\n#E=1\nE=3\n");
}

static void values_cannot_break_out_of_their_line(void **state)
{
    static const char *const wrong[] = {"", "a\nEnabled=yes", "a\rb", "\x1b[2J", " a", "a ", "a\\", "\xff"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct err err = {0};
        BUF_AUTO text;
        buf_init(&text, DROPIN_TEXT);
        assert_false(dropin_set(&text, "Settings", "key", &wrong[i], 1, &err));
        assert_int_equal(err.kind, ERR_BAD_INPUT);
        assert_int_equal(text.used, 0);
    }
}

/* ── files ─────────────────────────────────────────────────────────────────────────────────────────── */

struct place {
    char path[64];
    int folder;
};

static int make_place(void **state)
{
    static struct place place;
    strcpy(place.path, "/tmp/caisson-test-XXXXXX");
    if (!mkdtemp(place.path)) return -1;
    place.folder = open(place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = &place;
    return place.folder < 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;
    static const char *const names[] = {"a.conf",  "50-a.conf",     "10-b.conf", "20-bad.conf", "link.conf",
                                        ".x.conf", "manifest.json", "sms.so",    "fifo.conf"};
    for (size_t i = 0; i < COUNT(names); i++) unlinkat(place->folder, names[i], 0);
    close(place->folder);
    return rmdir(place->path);
}

static void put(const struct place *place, const char *name, const char *text)
{
    struct err err = {0};
    if (!file_put(place->folder, name, text, strlen(text), &err)) fail_msg("%s", err.text);
}

static void files_are_put_whole_and_readable(void **state)
{
    struct place *place = *state;
    struct err err = {0};
    struct stat status;
    put(place, "a.conf", "one");
    put(place, "a.conf", "two");
    assert_int_equal(fstatat(place->folder, "a.conf", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0644);
    BUF_AUTO text;
    assert_true(file_get(place->folder, "a.conf", 3, "a.conf", &text, &err));
    assert_string_equal(text.bytes, "two");
    BUF_AUTO small;
    assert_false(file_get(place->folder, "a.conf", 2, "a.conf", &small, &err));
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    BUF_AUTO none;
    assert_false(file_get(place->folder, "none", 2, "none", &none, &err));
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_int_equal(mkfifoat(place->folder, "fifo.conf", 0600), 0);
    BUF_AUTO fifo;
    assert_false(file_get(place->folder, "fifo.conf", 2, "fifo.conf", &fifo, &err)); /* and does not wait for it */
    assert_int_equal(err.kind, ERR_BAD_INPUT);
}

static void drop_ins_are_found_by_name(void **state)
{
    struct place *place = *state;
    struct err err = {0};
    put(place, "50-a.conf", "[Plugin]\nName=other\n");
    put(place, "10-b.conf", "[Plugin]\nName=mail\n# mine\n");
    put(place, ".x.conf", "[Plugin]\nName=hidden\n");
    put(place, "20-bad.conf", "no section\n");
    DROPIN_AUTO found = {0};
    assert_true(dropin_find(place->folder, "mail", &found, &err));
    assert_string_equal(found.file, "10-b.conf");
    assert_string_equal(ini_get(&found.ini, "Plugin", "Name"), "mail");
    DROPIN_AUTO missing = {0};
    assert_false(dropin_find(place->folder, "hidden", &missing, &err));
    assert_int_equal(err.kind, ERR_NOT_FOUND);
    assert_string_equal(missing.file, "50-hidden.conf");
}

static void a_new_drop_in_takes_no_name_that_is_taken(void **state)
{
    static const struct {
        const char *name, *says;
    } cases[] = {{"50-a.conf", "for other"},
                 {"20-bad.conf", "cannot be read"},
                 {"fifo.conf", "not a regular file"},
                 {"link.conf", "cannot be read"}};
    struct place *place = *state;
    struct err err = {0};
    put(place, "50-a.conf", "[Plugin]\nName=other\n");
    put(place, "20-bad.conf", "no section\n");
    assert_int_equal(mkfifoat(place->folder, "fifo.conf", 0600), 0);
    assert_int_equal(symlinkat("nowhere", place->folder, "link.conf"), 0);
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_false(dropin_free(place->folder, cases[i].name, &err));
        assert_int_equal(err.kind, ERR_EXISTS);
        if (!strstr(err.text, cases[i].says)) fail_msg("%s: %s", cases[i].name, err.text);
    }
    assert_true(dropin_free(place->folder, "a.conf", &err));
}

/* ── manifests ─────────────────────────────────────────────────────────────────────────────────────── */

static const char manifest_text[] =
    "{\"name\":\"sms\",\"version\":\"1.0\",\"summary\":\"Sends.\\u001b[31m\\nIt reaches no host\",\"actions\":"
    "{\"send\":{\"summary\":\"Send one.\",\"fields\":[\"token\"]}},\"credential\":{\"fields\":{\"token\":"
    "{\"summary\":\"Token\"},\"sid\":{\"summary\":\"Sid\",\"secret\":false,\"required\":false}}},\"settings\":"
    "{\"properties\":{\"base\":{\"type\":\"string\",\"default\":\"https://api.example.com\"},\"host\":{\"type\":"
    "\"string\"},\"port\":{\"type\":\"integer\",\"default\":587}}},\"egress\":[\"tls://{base}\","
    "\"starttls://{host}:{port}\",\"plain://{host}:25\",\"tls://*:443\"],\"limits\":{\"dials\":2}}";

static json_t *manifest(void)
{
    json_t *value = NULL;
    struct err err = {0};
    if (!json_read(manifest_text, sizeof manifest_text - 1, 4096, &value, &err)) fail_msg("%s", err.text);
    return value;
}

static void manifests_are_told_in_plain_words(void **state)
{
    static const char *const lines[] = {"\n  send: Send one.\n",
                                        "\n  token: Token (secret), for send\n",
                                        "\n  sid: Sid (not secret, optional), for\n",
                                        "\n  tls://{base} (TLS only)\n",
                                        "\n  plain://{host}:25 (IN CLEAR",
                                        "\n  dials 2\n",
                                        "(usually \"https://api.example.com\")\n"};
    JSON_AUTO *value = manifest();
    BUF_AUTO text;
    buf_init(&text, 1 << 16);
    assert_true(manifest_describe(value, &text));
    for (size_t i = 0; i < COUNT(lines); i++)
        if (!strstr(text.bytes, lines[i])) fail_msg("%s lacks %s", text.bytes, lines[i]);
    assert_null(strchr(text.bytes, '\x1b'));
    assert_null(strstr(text.bytes, "\nIt reaches no host")); /* a summary poses as no line of ours */
}

static void differences_name_what_is_new_and_what_is_gone(void **state)
{
    struct buf before = {.bytes = (char *)"same\nold\n", .used = 9},
               after = {.bytes = (char *)"new\nsame\n", .used = 9};
    BUF_AUTO text;
    buf_init(&text, 1000);
    assert_true(manifest_difference(&before, &after, &text));
    assert_string_equal(text.bytes, "- old\n+ new\n");
}

static void asks_are_filled_with_settings(void **state)
{
    static const struct {
        const char *ask, *settings, *text;
    } cases[] = {
        {"tls://{base}", "{}", "tls://api.example.com:443"},
        {"tls://{base}", "{\"base\":\"https://other.example:8443/v1\"}", "tls://other.example:8443"},
        {"tls://{base}", "{\"base\":\"http://other.example\"}", NULL},
        {"tls://{base}", "{\"base\":\"https://user@other.example\"}", NULL},
        {"starttls://{host}:{port}", "{}", NULL},
        {"starttls://{host}:{port}", "{\"host\":\"mail.example\"}", "starttls://mail.example:587"},
        {"starttls://{host}:{port}", "{\"host\":\"mail.example\",\"port\":\"25\"}", "starttls://mail.example:25"},
        {"tls://fixed.example:443", "{}", "tls://fixed.example:443"},
        {"tls://*:443", "{}", NULL},
        {"tls://{none}:443", "{}", NULL},
        {"tls://{host", "{\"host\":\"x\"}", NULL},
    };
    JSON_AUTO *value = manifest();
    for (size_t i = 0; i < COUNT(cases); i++) {
        JSON_AUTO *settings = NULL;
        struct err err = {0};
        char text[400] = "";
        assert_true(json_read(cases[i].settings, strlen(cases[i].settings), 1000, &settings, &err));
        bool filled = manifest_fill(value, cases[i].ask, settings, text, sizeof text);
        if (filled != (cases[i].text != NULL)) fail_msg("case %zu: %s", i, text);
        if (filled) assert_string_equal(text, cases[i].text);
    }
}

static void digests_are_those_of_the_files(void **state)
{
    struct place *place = *state;
    struct err err = {0};
    struct plugin_files plugin = {0};
    put(place, "manifest.json", "{\"name\":\"sms\"}");
    put(place, "sms.so", "abc");
    assert_true(plugin_read(place->folder, &plugin, &err));
    assert_string_equal(plugin.digest, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(plugin.name, "sms");
    plugin_clear(&plugin);
    put(place, "manifest.json", "{\"name\":\"../sms\"}");
    assert_false(plugin_read(place->folder, &plugin, &err));
    assert_int_equal(err.kind, ERR_BAD_INPUT);
    plugin_clear(&plugin);
}

/* ── from options to text ──────────────────────────────────────────────────────────────────────────── */

static bool compose(int count, char **words, const char *before, struct buf *out, struct err *err)
{
    struct cli cli;
    if (!cli_parse(count, words, &cli, err)) return false;
    struct enabling enabling = {.cli = &cli, .folder = -1, .fresh = !*before};
    strcpy(enabling.name, "sms");
    strcpy(enabling.plugin.digest, "sha256:d");
    strcpy(enabling.plugin.manifest_digest, "sha256:m");
    strcpy(enabling.plugin.name, "sms");
    enabling.plugin.manifest = manifest();
    enabling.former = (struct buf){.bytes = (char *)before, .used = strlen(before)};
    buf_init(&enabling.dropin.text, DROPIN_TEXT);
    buf_text(&enabling.dropin.text, before);
    bool good = enabling_check(&enabling, err) && enabling_compose(&enabling, "sms", err);
    buf_add(out, enabling.dropin.text.bytes, enabling.dropin.text.used);
    plugin_clear(&enabling.plugin);
    dropin_clear(&enabling.dropin);
    return good;
}

#define COMPOSE(before, out, err, ...)                                                                                 \
    compose((int)COUNT(((char *[]){"caisson", "plugin", "enable", "sms", __VA_ARGS__})),                               \
            (char *[]){"caisson", "plugin", "enable", "sms", __VA_ARGS__, NULL}, before, out, err)

#define HEAD "[Plugin]\nName=sms\nPath=sms\nDigest=sha256:d\nManifestDigest=sha256:m\nEnabled=yes\n"

static void a_new_drop_in_grants_concrete_hosts_over_tls_only(void **state)
{
    struct err err = {0};
    BUF_AUTO text;
    buf_init(&text, DROPIN_TEXT);
    assert_true(COMPOSE("", &text, &err, "--set", "host=mail.example", "--yes"));
    assert_string_equal(text.bytes,
                        HEAD "\n[Settings]\nhost=mail.example\n\n[Grant]\nEgress=tls://api.example.com:443\n"
                             "Egress=starttls://mail.example:587\n");
}

static void options_become_grants(void **state)
{
    struct err err = {0};
    BUF_AUTO text;
    buf_init(&text, DROPIN_TEXT);
    assert_true(COMPOSE("", &text, &err, "--egress", "tls://a:1", "--egress", "tls://b:2", "--ranges", "loopback",
                        "--ca", "x", "--workspaces", "one", "--workspaces", "two", "--isolation", "lease", "--any-host",
                        "--capture", "input reply", "--grant", "Spares=2"));
    assert_string_equal(
        text.bytes,
        HEAD "\n[Grant]\nEgress=tls://a:1\nEgress=tls://b:2\nCAFile=sms.pem\nAddressRanges=loopback\n"
             "Workspaces=one\nWorkspaces=two\nIsolation=lease\nCapture=input reply\nAllowAnyHost=yes\nSpares=2\n");
}

static void enabling_again_keeps_what_was_granted(void **state)
{
    struct err err = {0};
    BUF_AUTO text;
    buf_init(&text, DROPIN_TEXT);
    assert_true(
        COMPOSE("# mine\n[Plugin]\nName=sms\nDigest=sha256:old\n[Grant]\nEgress=tls://a:1\n[Settings]\nhost=h\n", &text,
                &err, "--yes"));
    assert_string_equal(text.bytes, "# mine\n[Plugin]\nName=sms\nPath=sms\nDigest=sha256:d\nManifestDigest=sha256:m\n"
                                    "Enabled=yes\n[Grant]\nEgress=tls://a:1\n[Settings]\nhost=h\n");
}

static void another_setting_grants_and_takes_nothing(void **state)
{
    static const char *const rules[] = {"Egress=tls://*.example.com:443\n", "Egress=tls://api.example.com:443\n", ""};
    for (size_t i = 0; i < COUNT(rules); i++) {
        struct err err = {0};
        char before[200], after[200];
        BUF_AUTO text;
        buf_init(&text, DROPIN_TEXT);
        snprintf(before, sizeof before, "%s\n[Grant]\n%s\n[Settings]\nhost=h\n", "[Plugin]\nName=sms\n", rules[i]);
        snprintf(after, sizeof after, "%s\n[Grant]\n%s\n[Settings]\nhost=mail.example\n", HEAD, rules[i]);
        assert_true(COMPOSE(before, &text, &err, "--set", "host=mail.example", "--yes"));
        assert_string_equal(text.bytes, after);
    }
}

static void no_egress_can_be_said(void **state)
{
    struct err err = {0};
    BUF_AUTO text;
    buf_init(&text, DROPIN_TEXT);
    assert_true(COMPOSE("", &text, &err, "--egress", "none"));
    assert_null(strstr(text.bytes, "Egress="));
}

static void unknown_settings_and_grants_are_refused(void **state)
{
    static const struct {
        const char *option, *value, *says;
    } cases[] = {
        {"--set", "nope=1", "no setting named nope"},
        {"--set", "host", "wants KEY=VALUE"},
        {"--set", "host=", "wants KEY=VALUE"},
        {"--set", "host\n=x", "letters, digits"},
        {"--set", "host=a\nb", "one line of text"},
        {"--grant", "Egress=tls://*:*", "there is no Egress"},
        {"--grant", "Enabled=yes", "there is no Enabled"},
        {"--isolation", "none", "call or lease"},
        {"--capture", "all", "none, input, reply"},
        {"--grant", "Capture=input", "there is no Capture"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = {0};
        BUF_AUTO text;
        buf_init(&text, DROPIN_TEXT);
        assert_false(COMPOSE("", &text, &err, (char *)cases[i].option, (char *)cases[i].value));
        if (!strstr(err.text, cases[i].says)) fail_msg("case %zu: %s", i, err.text);
    }
}

#define WITH_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_go_where_they_belong),
        cmocka_unit_test(what_people_wrote_stays),
        cmocka_unit_test(values_cannot_break_out_of_their_line),
        WITH_PLACE(files_are_put_whole_and_readable),
        WITH_PLACE(drop_ins_are_found_by_name),
        WITH_PLACE(a_new_drop_in_takes_no_name_that_is_taken),
        cmocka_unit_test(manifests_are_told_in_plain_words),
        cmocka_unit_test(differences_name_what_is_new_and_what_is_gone),
        cmocka_unit_test(asks_are_filled_with_settings),
        WITH_PLACE(digests_are_those_of_the_files),
        cmocka_unit_test(a_new_drop_in_grants_concrete_hosts_over_tls_only),
        cmocka_unit_test(options_become_grants),
        cmocka_unit_test(enabling_again_keeps_what_was_granted),
        cmocka_unit_test(another_setting_grants_and_takes_nothing),
        cmocka_unit_test(no_egress_can_be_said),
        cmocka_unit_test(unknown_settings_and_grants_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
