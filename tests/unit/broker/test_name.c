/* SPDX-License-Identifier: Apache-2.0 */
/* Names: one reading or none; wildcards; the policy's decision; the decoder of requests; the configuration. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "runtime/broker/config.h"
#include "runtime/broker/egress.h"
#include "runtime/broker/policy.h"

static bool reads(const char *text, size_t length, struct name *name)
{
    struct err err = {0};
    bool ok = name_read(text, length, name, &err);
    assert_true(ok == (err.text[0] == 0));
    return ok;
}

static void test_canonical(void **state)
{
    static const char *const rows[][2] = {{"example.com", "example.com"},
                                          {"EXAMPLE.com", "example.com"},
                                          {"example.com.", "example.com"},
                                          {"a", "a"},
                                          {"xn--bcher-kva.de", "xn--bcher-kva.de"},
                                          {"_smtp.example.com", "_smtp.example.com"},
                                          {"127.0.0.1", "127.0.0.1"},
                                          {"::1", "::1"},
                                          {"2001:DB8::1", "2001:db8::1"},
                                          {"r3---sn-x.example.com", "r3---sn-x.example.com"},
                                          {"4.example.com", "4.example.com"},
                                          {"0x7f.example", "0x7f.example"}};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct name name;
        if (!reads(rows[i][0], strlen(rows[i][0]), &name)) fail_msg("%s is refused", rows[i][0]);
        assert_string_equal(name.text, rows[i][1]);
    }
}

/* The corpus's items 59, 60, 67. */
static void test_refused(void **state)
{
    static const char *const rows[] = {"",
                                       ".",
                                       "..",
                                       "example..com",
                                       ".example.com",
                                       "example.com..",
                                       "exa mple.com",
                                       "example.com ",
                                       " example.com",
                                       "example.com\t",
                                       "example.com\r\nHost: other",
                                       "example.com\n",
                                       "example.com%00.evil.org",
                                       "fe80::1%eth0",
                                       "user@example.com",
                                       "user:pw@example.com",
                                       "example.com:443",
                                       "[::1]",
                                       "example.com/path",
                                       "example.com?x",
                                       "example.com#x",
                                       "http://example.com",
                                       "exam\\ple.com",
                                       "b\303\274cher.de",
                                       "ex\xd0\xb0mple.com",
                                       "\xff.com",
                                       "-example.com",
                                       "example-.com",
                                       "a.-b.com",
                                       "*.example.com",
                                       "example,com",
                                       "example.com;",
                                       "127.1",
                                       "127.0.1",
                                       "0x7f000001",
                                       "0X7F.1",
                                       "2130706433",
                                       "0177.0.0.1",
                                       "0x7f.0.0.1",
                                       "127.0.0.1.",
                                       "127.0.0.01",
                                       "1.2.3.4.5",
                                       "1.2.3.256",
                                       "example.1",
                                       "example.0x10",
                                       "a.b.0",
                                       "0",
                                       "::1.",
                                       ":",
                                       ":::",
                                       "1:2",
                                       "::ffff:7f00:1",
                                       "2001:0db8::1"};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct name name;
        if (reads(rows[i], strlen(rows[i]), &name)) fail_msg("\"%s\" is read as %s", rows[i], name.text);
    }
    struct name name;
    assert_false(reads("example.com\0.evil.org", 21, &name));
    assert_false(reads("example.com\0", 12, &name));
}

static void test_lengths(void **state)
{
    char text[300];
    struct name name;
    memset(text, 'a', sizeof text);
    for (unsigned i = 63; i < sizeof text; i += 64) text[i] = '.';
    assert_true(reads(text, 253, &name));
    assert_false(reads(text, 254, &name));
    text[253] = '.';
    assert_true(reads(text, 254, &name)); /* the trailing dot does not count */
    assert_int_equal(strlen(name.text), 253);
    memset(text, 'b', sizeof text);
    assert_true(reads(text, 63, &name));
    assert_false(reads(text, 64, &name));
}

static void test_matching(void **state)
{
    static const struct {
        const char *name, *pattern;
        bool match;
    } rows[] = {{"a.example.com", "*.example.com", true},
                {"example.com", "*.example.com", false},
                {"a.b.example.com", "*.example.com", false},
                {"aexample.com", "*.example.com", false},
                {"a.example.com.evil", "*.example.com", false},
                {"example.com", "example.com", true},
                {"example.com", "xample.com", false},
                {"1.2.3.4", "*.2.3.4", false},
                {"1.2.3.4", "1.2.3.4", true},
                {"a.com", "*.", false},
                {"a.com", "*", true},
                {"1.2.3.4", "*", false},
                {"a.com", "**", false},
                {"2001:db8::1", "2001:db8::1", true}};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct name name;
        assert_true(reads(rows[i].name, strlen(rows[i].name), &name));
        if (name_matches(&name, rows[i].pattern) != rows[i].match) fail_msg("%s, %s", rows[i].name, rows[i].pattern);
    }
}

static unsigned decide(const char *host, uint16_t port, const char *audience)
{
    static struct egress_rule rules[] = {
        {SCHEME_TLS, "api.example.com", 443},  {SCHEME_PLAIN, "*.example.com", 0},
        {SCHEME_TLS, "mail.example.com", 587}, {SCHEME_STARTTLS, "mail.example.com", 587},
        {SCHEME_TLS, "192.0.2.7", 443},        {SCHEME_TLS, "*.example.org", 443},
        {SCHEME_TLS, "any.example.net", 0},    {SCHEME_PLAIN, "any.example.net", 80}};
    struct entry entry = {.name = "test", .rules = rules, .rule_count = sizeof rules / sizeof *rules};
    struct name name;
    struct err err = {0};
    unsigned schemes = 0;
    assert_true(reads(host, strlen(host), &name));
    bool allowed = policy_allows(&entry, audience, &name, port, &schemes, &err);
    assert_true(allowed == (schemes != 0));
    return schemes;
}

static void test_policy(void **state)
{
    unsigned tls = SCHEME_BIT(SCHEME_TLS), plain = SCHEME_BIT(SCHEME_PLAIN), start = SCHEME_BIT(SCHEME_STARTTLS);
    assert_int_equal(decide("api.example.com", 443, ""), tls); /* the exact rule, not the plain wildcard */
    assert_int_equal(decide("api.example.com", 80, ""), plain);
    assert_int_equal(decide("mail.example.com", 587, ""), tls | start);
    assert_int_equal(decide("x.example.org", 443, ""), tls);
    assert_int_equal(decide("x.example.org", 22, ""), 0);
    assert_int_equal(decide("x.example.org", 0, ""), 0);
    assert_int_equal(decide("example.org", 443, ""), 0);
    assert_int_equal(decide("x.y.example.org", 443, ""), 0);
    assert_int_equal(decide("192.0.2.7", 443, ""), tls);
    assert_int_equal(decide("192.0.2.8", 443, ""), 0);
    assert_int_equal(decide("any.example.net", 80, ""), plain);
    assert_int_equal(decide("any.example.net", 81, ""), tls);
    assert_int_equal(decide("api.example.com", 443, "api.example.com"), tls);
    assert_int_equal(decide("api.example.com", 443, "a.example.com\napi.example.com\n"), tls);
    assert_int_equal(decide("api.example.com", 443, "*.example.com"), tls);
    assert_int_equal(decide("api.example.com", 443, "other.example.com"), 0);
    assert_int_equal(decide("api.example.com", 443, "\n"), 0);
    assert_int_equal(decide("api.example.com", 443, "xapi.example.com\napi.example.co"), 0);
}

static void test_requests(void **state)
{
    struct egress_request request = {
        .type = EGRESS_DIAL, .id = 7, .port = 443, .host_length = 11, .host = "example.com"};
    struct egress_ask ask;
    struct err err = {0};
    egress_read(&request, sizeof request, &ask, &err);
    assert_true(ask.kind == EGRESS_ASK_DIAL && ask.id == 7 && ask.port == 443 && ask.host_length == 11);
    egress_read(&request, sizeof request - 1, &ask, &err);
    assert_true(ask.kind == EGRESS_MALFORMED && !ask.answerable);
    egress_read(&request, sizeof request + 1, &ask, &err);
    assert_int_equal(ask.kind, EGRESS_MALFORMED);
    static const struct {
        uint32_t type, port, length;
    } bad[] = {{EGRESS_DIAL, 0, 11},
               {EGRESS_DIAL, 65536 + 443, 11},
               {EGRESS_DIAL, (uint32_t)-443, 11},
               {EGRESS_DIAL, 443, 0},
               {EGRESS_DIAL, 443, 10},
               {EGRESS_DIAL, 443, 12},
               {EGRESS_DIAL, 443, FRAME_HOST},
               {EGRESS_DIAL, 443, UINT32_MAX},
               {0, 443, 11},
               {5, 443, 11}};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        request.type = bad[i].type, request.port = bad[i].port, request.host_length = bad[i].length;
        egress_read(&request, sizeof request, &ask, &err);
        assert_true(ask.kind == EGRESS_MALFORMED && ask.answerable && ask.id == 7);
    }
    request = (struct egress_request){.type = EGRESS_COMMIT, .call_id = {1}, .attempt = 2};
    egress_read(&request, sizeof request, &ask, &err);
    assert_true(ask.kind == EGRESS_ASK_COMMIT && ask.call.id[0] == 1 && ask.call.attempt == 2);
    request.type = EGRESS_CLEAN;
    egress_read(&request, sizeof request, &ask, &err);
    assert_int_equal(ask.kind, EGRESS_ASK_CLEAN);
    request.type = EGRESS_DONE;
    egress_read(&request, sizeof request, &ask, &err);
    assert_int_equal(ask.kind, EGRESS_ASK_DONE);
}

static void test_escape(void **state)
{
    char text[24];
    name_escape("a\n\x1b[1m", 6, text, sizeof text);
    assert_string_equal(text, "a\\x0a\\x1b[1m");
    name_escape("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 38, text, sizeof text);
    assert_true(strlen(text) < sizeof text && strstr(text, "…"));
}

/* What is refused is written down, but not as a letter in a host's name. */
static void test_show(void **state)
{
    static const struct {
        const char *host, *shown;
    } rows[] = {{"api.example.com", "api.example.com"},
                {"ec2-203-0-113-25.compute-1.example.com", "ec2-203-0-113-25.compute-1.example.com"},
                {"0123456789abcdef0123456789abcdef.example.com", "0123~(32).example.com"},
                {"a.0123456789012345678901234", "a.0123~(25)"},
                {"2001:db8:85a3:8d3:1319:8a2e:370:7348", "2001:db8:85a3:8d3:1319:8a2e:370:7348"},
                {"a\nb.example.com", "a\\x0ab.example.com"},
                {"", ""}};
    char text[100], full[256];
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        name_show(rows[i].host, strlen(rows[i].host), text, sizeof text);
        assert_string_equal(text, rows[i].shown);
    }
    memset(full, 'x', sizeof full);
    name_show(full, sizeof full, text, sizeof text);
    assert_string_equal(text, "xxxx~(256)");
    for (unsigned i = 1; i < sizeof full; i += 2) full[i] = '.';
    name_show(full, sizeof full, text, sizeof text);
    assert_true(strlen(text) < sizeof text && strstr(text, "…"));
}

static bool configured(const char *text, struct config *config)
{
    struct err err = {0};
    config_init(config);
    return config_read(text, strlen(text), config, &err);
}

static void test_config(void **state)
{
    struct config config;
    char servers[SERVERS_TEXT];
    assert_true(configured("{}", &config));
    assert_true(
        configured("{\"nameservers\":[\"127.0.0.1:5353\",\"192.0.2.1\",\"2001:db8::1\",\"[::1]:99\"],"
                   "\"hosts\":[[\"Mail.Example.com\",\"10.0.0.5\"]],\"refuse\":[\"198.51.100.7\"],\"idle_s\":5}",
                   &config));
    assert_string_equal(config.servers, "127.0.0.1:5353,192.0.2.1:53,[2001:db8::1]:53,[::1]:99");
    assert_string_equal(config.hosts[0].name.text, "mail.example.com");
    assert_int_equal(config.idle_s, 5);
    static const char *const refused[] = {"[]",
                                          "{\"nameservers\":\"127.0.0.1\"}",
                                          "{\"nameservers\":[\"localhost\"]}",
                                          "{\"nameservers\":[\"127.0.0.1:0\"]}",
                                          "{\"nameservers\":[\"127.0.0.1:99999\"]}",
                                          "{\"nameservers\":[\"[::1]x\"]}",
                                          "{\"hosts\":[[\"a\"]]}",
                                          "{\"hosts\":[[\"a b\",\"127.0.0.1\"]]}",
                                          "{\"hosts\":[[\"a\",\"127.1\"]]}",
                                          "{\"idle_s\":0}",
                                          "{\"idle_s\":\"5\"}",
                                          "{\"refuse\":[\"10.0.0.1/8\"]}",
                                          "{\"nameserver\":[]}"};
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++)
        if (configured(refused[i], &config)) fail_msg("%s is read", refused[i]);
    const char *resolv =
        "# x\nnameserver 127.0.0.53\n  nameserver\t::1\nnameserver fe80::1%eth0\nnameserver 1.2\noptions edns0\n";
    config_resolv(resolv, strlen(resolv), servers);
    assert_string_equal(servers, "127.0.0.53:53,[::1]:53");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical), cmocka_unit_test(test_refused), cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_matching),  cmocka_unit_test(test_policy),  cmocka_unit_test(test_requests),
        cmocka_unit_test(test_escape),    cmocka_unit_test(test_show),    cmocka_unit_test(test_config)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
