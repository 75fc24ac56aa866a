/* SPDX-License-Identifier: Apache-2.0 */
/* The registry's reader: what it takes, and that it refuses everything a hostile loader could write. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "runtime/registry.h"

#define D64 "0000000000000000000000000000000000000000000000000000000000000001"
#define ENTRY(NAME, EGRESS, EXTRA)                                                                                     \
    "{\"name\":\"" NAME "\",\"plugin\":\"sms\",\"version\":\"1.0.0\",\"summary\":\"x\",\"state\":\"enabled\","         \
    "\"digest\":\"" D64 "\",\"so_digest\":\"" D64 "\",\"manifest_digest\":\"" D64 "\",\"isolation\":\"lease\","        \
    "\"lease\":{\"calls\":10,\"age_s\":60,\"idle_s\":5,\"spares\":2},"                                                 \
    "\"actions\":[{\"name\":\"send\",\"summary\":\"\",\"input\":{\"type\":\"object\"},\"idempotent\":false,"           \
    "\"fields\":[\"token\"]}],\"fields\":[{\"name\":\"token\",\"secret\":true,\"required\":true}],"                    \
    "\"settings\":{\"host\":\"h\"},\"egress\":[" EGRESS "],\"ranges\":[\"127.0.0.0/8\"],\"workspaces\":[\"default\"]," \
    "\"limits\":{\"memory_mb\":64,\"cpu_s\":5,\"wall_s\":30,\"output_kb\":64,\"log_kb\":16,\"dials\":4,\"up_kb\":1024,"   \
    "\"down_kb\":1024,\"concurrency\":4}" EXTRA "}"
#define HEAD(COUNT) "{\"registry\":7,\"entries\":" COUNT "}\n"
#define DOCUMENT(ENTRY) HEAD("1") ENTRY "\n"

static bool read_text(const char *text, struct registry *registry, struct err *err)
{
    FD_AUTO fd = memfd_create("registry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
    return registry_read(fd, registry, err);
}

static void whole_entry(void **state)
{
    struct registry registry = {0};
    struct err err = {0};
    assert_true(read_text(DOCUMENT(ENTRY("sms", "\"tls://api.example.com:443\",\"starttls://*.example.com:*\"", "")),
                          &registry, &err));
    assert_int_equal(registry.number, 7);
    const struct entry *entry = registry_find(&registry, "sms");
    assert_non_null(entry);
    assert_ptr_equal(entry, registry_entry(&registry, 0));
    assert_null(registry_entry(&registry, 1));
    assert_null(registry_find(&registry, "smt"));
    assert_int_equal(entry->isolation, ISOLATE_LEASE);
    assert_true(entry->needs_credential);
    assert_int_equal(entry->rule_count, 2);
    assert_int_equal(entry->rules[0].scheme, SCHEME_TLS);
    assert_string_equal(entry->rules[0].host, "api.example.com");
    assert_int_equal(entry->rules[0].port, 443);
    assert_string_equal(entry->rules[1].host, "*.example.com");
    assert_int_equal(entry->rules[1].port, 0);
    assert_int_equal(entry->limits.memory_mb, 64);
    assert_int_equal(entry->lease.spares, 2);
    assert_string_equal(entry->ranges[0], "127.0.0.0/8");
    const struct entry_action *action = entry_action(entry, "send");
    assert_non_null(action);
    assert_null(entry_action(entry, "sen"));
    assert_string_equal(action->fields[0], "token");
    assert_int_equal(entry->digest[31], 1);
    registry_clear(&registry);
    registry_clear(&registry);
}

/* None unless it is said, and only in the words that there are. */
static void capture(void **state)
{
    static const struct {
        const char *extra;
        int capture; /* -1: the entry is refused */
    } rows[] = {
        {"", 0},
        {",\"capture\":\"input\"", CAPTURE_INPUT},
        {",\"capture\":\"reply\"", CAPTURE_REPLY},
        {",\"capture\":\"input reply\"", CAPTURE_INPUT | CAPTURE_REPLY},
        {",\"capture\":\"none\"", -1},
        {",\"capture\":\"reply input\"", -1},
        {",\"capture\":3", -1},
    };
    static const char format[] = DOCUMENT(ENTRY("sms", "", "%s"));
    char text[sizeof format + 64];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct registry registry = {0};
        struct err err = {0};
        snprintf(text, sizeof text, format, rows[i].extra);
        bool good = read_text(text, &registry, &err);
        if (good != (rows[i].capture >= 0)) fail_msg("row %zu: %s", i, err.text);
        if (good) assert_int_equal(registry_entry(&registry, 0)->capture, rows[i].capture);
        registry_clear(&registry);
    }
}

static void bracketed_literal(void **state)
{
    struct registry registry = {0};
    struct err err = {0};
    assert_true(read_text(DOCUMENT(ENTRY("sms", "\"plain://[::1]:25\"", "")), &registry, &err));
    assert_string_equal(registry_entry(&registry, 0)->rules[0].host, "::1");
    assert_int_equal(registry_entry(&registry, 0)->rules[0].scheme, SCHEME_PLAIN);
    registry_clear(&registry);
}

static void broken_entry_does_not_hide_a_good_one(void **state)
{
    struct registry registry = {0};
    struct err err = {0};
    assert_true(read_text(HEAD("3") "{\"name\":\"sms\",\"state\":\"invalid\",\"problem\":\"bad\"}\n" ENTRY(
                              "sms", "", "") "\n{\"name\":\"old\",\"state\":\"disabled\"}\n",
                          &registry, &err));
    assert_int_equal(registry_find(&registry, "sms")->state, ENTRY_ENABLED);
    assert_int_equal(registry_find(&registry, "old")->state, ENTRY_DISABLED);
    assert_non_null(registry_find(&registry, "old")->problem);
    registry_clear(&registry);
}

/* What could still be changed after it was checked is not taken. */
static void unsealed(void **state)
{
    static const char text[] = HEAD("0");
    struct registry registry = {0};
    struct err err = {0};
    FD_AUTO fd = memfd_create("registry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_false(registry_read(fd, &registry, &err));
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    assert_false(registry_read(fd, &registry, &err));
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    assert_true(registry_read(fd, &registry, &err));
    registry_clear(&registry);
}

static void refused(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"registry\":1}\n",
        "{\"registry\":1,\"entries\":0}",
        "{\"registry\":-1,\"entries\":0}\n",
        "{\"registry\":1.5,\"entries\":0}\n",
        "{\"registry\":1,\"registry\":2,\"entries\":0}\n",
        "{\"registry\":1,\"entries\":[]}\n",
        HEAD("-1"),
        HEAD("1"),
        HEAD("513"),
        HEAD("0") "\n",
        HEAD("0") "{\"name\":\"sms\",\"state\":\"disabled\"}\n",
        HEAD("2") "{\"name\":\"sms\",\"state\":\"disabled\"}\n",
        HEAD("1") "{\"name\":\"sms\",\"state\":\"disabled\"}",
        DOCUMENT("3"),
        DOCUMENT("{}"),
        DOCUMENT("{\"name\":\"Sms\",\"state\":\"disabled\"}"),
        DOCUMENT("{\"name\":\"../x\",\"state\":\"disabled\"}"),
        DOCUMENT("{\"name\":\"sms\",\"state\":\"ENABLED\"}"),
        DOCUMENT("{\"name\":\"sms\",\"state\":\"enabled\"}"),
        DOCUMENT(ENTRY("sms", "\"api.example.com:443\"", "")),
        DOCUMENT(ENTRY("sms", "\"tls://:443\"", "")),
        DOCUMENT(ENTRY("sms", "\"tls://a:0\"", "")),
        DOCUMENT(ENTRY("sms", "\"tls://a:65536\"", "")),
        DOCUMENT(ENTRY("sms", "\"tls://a:4 43\"", "")),
        DOCUMENT(ENTRY("sms", "\"tls://a:\"", "")),
        DOCUMENT(ENTRY("sms", "\"tls://A:1\"", "")),
        DOCUMENT(ENTRY("sms", "\"tls://a b:1\"", "")),
        DOCUMENT(ENTRY("sms", "\"tls://[]:1\"", "")),
        DOCUMENT(ENTRY("sms", "\"tls://a*.b:1\"", "")),
        DOCUMENT(ENTRY("sms", "7", "")),
        DOCUMENT(ENTRY("sms", "", ",\"ca\":1")),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct registry registry = {0};
        struct err err = {0};
        if (read_text(bad[i], &registry, &err)) fail_msg("taken: %s", bad[i]);
        assert_int_equal(err.kind, ERR_MALFORMED);
        assert_null(registry.shelf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_entry),
        cmocka_unit_test(capture),
        cmocka_unit_test(bracketed_literal),
        cmocka_unit_test(broken_entry_does_not_hide_a_good_one),
        cmocka_unit_test(unsealed),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
