/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: every special-purpose range, every way to wrap an IPv4 address, and what a grant opens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <string.h>
#include <sys/resource.h>

#include "runtime/broker/address.h"

static bool allowed_with(const char *text, const char *grant)
{
    struct address address = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};
    struct range range;
    char why[ADDRESS_WHY] = "";
    if (inet_pton(address.family, text, address.bytes) != 1) fail_msg("%s is no address", text);
    if (grant && !range_parse(grant, &range)) fail_msg("%s is no range", grant);
    bool allowed = address_allowed(&address, &range, grant ? 1 : 0, why);
    assert_true(allowed == (why[0] == 0));
    return allowed;
}

/* The corpus's items 57 to 61, and the first and last address of every range. */
static void test_refused(void **state)
{
    static const char *const refused[] = {"0.0.0.0",
                                          "0.255.255.255",
                                          "10.0.0.0",
                                          "10.255.255.255",
                                          "100.64.0.0",
                                          "100.100.100.200",
                                          "100.127.255.255",
                                          "127.0.0.0",
                                          "127.0.0.1",
                                          "127.255.255.255",
                                          "168.63.129.16",
                                          "169.254.0.0",
                                          "169.254.169.254",
                                          "169.254.255.255",
                                          "172.16.0.0",
                                          "172.31.255.255",
                                          "192.0.0.0",
                                          "192.0.0.8",
                                          "192.0.0.9",
                                          "192.0.0.10",
                                          "192.0.0.170",
                                          "192.0.0.171",
                                          "192.0.0.192",
                                          "192.0.0.255",
                                          "192.0.2.1",
                                          "192.31.196.1",
                                          "192.52.193.1",
                                          "192.88.99.1",
                                          "192.168.0.0",
                                          "192.168.255.255",
                                          "192.175.48.1",
                                          "198.18.0.0",
                                          "198.19.255.255",
                                          "198.51.100.1",
                                          "203.0.113.1",
                                          "224.0.0.1",
                                          "239.255.255.255",
                                          "240.0.0.0",
                                          "255.255.255.254",
                                          "255.255.255.255",
                                          "::",
                                          "::1",
                                          "::2",
                                          "::127.0.0.1",
                                          "::8.8.8.8",
                                          "::ffff:127.0.0.1",
                                          "::ffff:8.8.8.8",
                                          "::ffff:0:8.8.8.8",
                                          "64:ff9b::7f00:1",
                                          "64:ff9b::808:808",
                                          "64:ff9b:1::1",
                                          "64:ff9b:1:a00:0:100::",
                                          "100::1",
                                          "100:0:0:1::1",
                                          "2001::1",
                                          "2001:0:4136:e378:8000:63bf:3fff:fdd2",
                                          "2001:1::1",
                                          "2001:1::2",
                                          "2001:1::3",
                                          "2001:2::1",
                                          "2001:3::1",
                                          "2001:4:112::1",
                                          "2001:10::1",
                                          "2001:20::1",
                                          "2001:30::1",
                                          "2001:1ff:ffff::1",
                                          "2001:db8::1",
                                          "2002:7f00:1::",
                                          "2002:808:808::1",
                                          "2620:4f:8000::1",
                                          "3fff::1",
                                          "3fff:fff::1",
                                          "5f00::1",
                                          "fc00::1",
                                          "fd00:ec2::254",
                                          "fdff::1",
                                          "fe80::1",
                                          "febf::1",
                                          "fec0::1",
                                          "feff::1",
                                          "ff02::1",
                                          "ff0e::1",
                                          "4000::1",
                                          "8000::1",
                                          "1000::1",
                                          "200::1"};
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++)
        if (allowed_with(refused[i], NULL)) fail_msg("%s is allowed", refused[i]);
}

/* IANA's registries of special-purpose addresses, entry by entry (RFC 6890 and its updates), and multicast: whatever
 * our own table calls them, the first and the last address of each are refused. */
static void test_registries(void **state)
{
    static const char *const registered[] = {
        "0.0.0.0/8",      "0.0.0.0/32",     "10.0.0.0/8",      "100.64.0.0/10",   "127.0.0.0/8",       "169.254.0.0/16",
        "172.16.0.0/12",  "192.0.0.0/24",   "192.0.0.0/29",    "192.0.0.8/32",    "192.0.0.9/32",      "192.0.0.10/32",
        "192.0.0.170/32", "192.0.0.171/32", "192.0.2.0/24",    "192.31.196.0/24", "192.52.193.0/24",   "192.88.99.0/24",
        "192.88.99.2/32", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15",   "198.51.100.0/24",   "203.0.113.0/24",
        "240.0.0.0/4",    "224.0.0.0/4",    "::1/128",         "::/128",          "::ffff:0.0.0.0/96", "64:ff9b::/96",
        "64:ff9b:1::/48", "100::/64",       "100:0:0:1::/64",  "2001::/23",       "2001::/32",         "2001:1::1/128",
        "2001:1::2/128",  "2001:1::3/128",  "2001:2::/48",     "2001:3::/32",     "2001:4:112::/48",   "2001:10::/28",
        "2001:20::/28",   "2001:30::/28",   "2001:db8::/32",   "2002::/16",       "2620:4f:8000::/48", "3fff::/20",
        "5f00::/16",      "fc00::/7",       "fe80::/10",       "ff00::/8",        "255.255.255.255/32"};
    for (unsigned i = 0; i < sizeof registered / sizeof *registered; i++) {
        struct range range;
        char why[ADDRESS_WHY];
        if (!range_parse(registered[i], &range)) fail_msg("%s is no range", registered[i]);
        struct address last = range.base;
        for (unsigned bit = range.bits; bit < (last.family == AF_INET ? 32u : 128u); bit++)
            last.bytes[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
        if (address_allowed(&range.base, NULL, 0, why)) fail_msg("the first of %s is allowed", registered[i]);
        if (address_allowed(&last, NULL, 0, why)) fail_msg("the last of %s is allowed", registered[i]);
    }
}

static void test_allowed(void **state)
{
    static const char *const allowed[] = {
        "1.0.0.0",          "1.1.1.1",         "8.8.8.8",         "9.255.255.255",
        "11.0.0.0",         "100.63.255.255",  "100.128.0.0",     "126.255.255.255",
        "128.0.0.1",        "168.63.129.15",   "169.253.255.255", "169.255.0.0",
        "172.15.255.255",   "172.32.0.0",      "192.0.1.0",       "192.0.3.0",
        "192.167.255.255",  "192.169.0.0",     "198.17.255.255",  "198.20.0.0",
        "198.51.99.255",    "198.51.101.0",    "203.0.112.255",   "203.0.114.0",
        "223.255.255.255",  "2000::1",         "2001:200::1",     "2001:4860:4860::8888",
        "2001:db7:ffff::1", "2001:db9::1",     "2003::1",         "2606:4700:4700::1111",
        "2620:4f:7fff::1",  "2620:4f:8001::1", "2a00:1450::1",    "3ffe::1",
        "3fff:1000::1"};
    for (unsigned i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (!allowed_with(allowed[i], NULL)) fail_msg("%s is refused", allowed[i]);
}

/* Every row of the table refuses its own first address, and a grant of exactly that row opens it, unless an IPv4
 * address inside is refused for itself. */
static void test_every_row(void **state)
{
    unsigned rows = 0;
    for (const char *text; (text = address_special(rows)); rows++) {
        struct range range;
        char first[ADDRESS_TEXT], why[ADDRESS_WHY];
        assert_true(range_parse(text, &range));
        address_text(&range.base, first);
        if (allowed_with(first, NULL)) fail_msg("%s is allowed", text);
        bool wraps = strchr(text, ':') && (strstr(text, "ff") == text + 2 || strncmp(text, "64:", 3) == 0 ||
                                           strcmp(text, "2002::/16") == 0 || strcmp(text, "2001::/32") == 0 ||
                                           strcmp(text, "2001::/23") == 0);
        if (address_allowed(&range.base, &range, 1, why) == wraps) fail_msg("%s with its grant", text);
    }
    assert_true(rows > 50);
}

static void test_granted(void **state)
{
    assert_true(allowed_with("127.0.0.1", "127.0.0.0/8"));
    assert_true(allowed_with("127.0.0.1", "127.0.0.1"));
    assert_false(allowed_with("127.0.0.2", "127.0.0.1"));
    assert_false(allowed_with("10.0.0.1", "127.0.0.0/8"));
    assert_true(allowed_with("fd00::5", "fd00::/8"));
    assert_false(allowed_with("::ffff:127.0.0.1", "127.0.0.0/8"));       /* the wrapper is not granted */
    assert_false(allowed_with("::ffff:127.0.0.1", "::ffff:0.0.0.0/96")); /* what it wraps is not */
    assert_true(allowed_with("64:ff9b::808:808", "64:ff9b::/96"));
    assert_false(allowed_with("64:ff9b::7f00:1", "64:ff9b::/96"));
    assert_false(allowed_with("64:ff9b:1:7f00:0:100::", "64:ff9b:1::/48"));
    assert_true(allowed_with("64:ff9b:1:808:8:800::", "64:ff9b:1::/48"));
    assert_false(allowed_with("2002:7f00:1::", "2002::/16"));
    assert_true(allowed_with("2002:808:808::1", "2002::/16"));
    assert_false(allowed_with("2001:0:4136:e378:8000:63bf:80ff:fffe", "2001::/32")); /* client 127.0.0.1 */
    assert_true(allowed_with("2001:0:4136:e378:8000:63bf:f7f7:f7f7", "2001::/32"));  /* client 8.8.8.8 */
}

static void test_text(void **state)
{
    static const char *const refused[] = {
        "127.1",        "0x7f000001", "2130706433", "0177.0.0.1",  "127.0.0.01",
        "127.0.0.1.",   " 127.0.0.1", "1.2.3.4.5",  "256.1.1.1",   "",
        "::1%lo",       "[::1]",      "0:0::1",     "2001:DB8::1", "2001:db8:0:0:0:0:0:1",
        "::ffff:7f00:1"};
    struct address address;
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++)
        if (address_parse(refused[i], &address)) fail_msg("%s is read", refused[i]);
    assert_true(address_parse("127.0.0.1", &address) && address_parse("::ffff:127.0.0.1", &address));
}

static void test_ranges(void **state)
{
    static const char *const refused[] = {"127.0.0.1/8",
                                          "127.0.0.0/33",
                                          "127.0.0.0/08",
                                          "127.0.0.0/",
                                          "127.0.0.0/-1",
                                          "::/129",
                                          "fd00::1/8",
                                          "10/8",
                                          "127.0.0.0/8 ",
                                          "/8",
                                          ""};
    struct range range;
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++)
        if (range_parse(refused[i], &range)) fail_msg("%s is read", refused[i]);
    assert_true(range_parse("0.0.0.0/0", &range) && range.bits == 0);
    assert_true(range_parse("fd00::/8", &range) && range.bits == 8);
}

static void test_own(void **state)
{
    struct address address;
    assert_true(address_parse("127.0.0.1", &address));
    assert_true(address_is_own(&address));
    assert_true(address_parse("192.0.2.77", &address));
    assert_false(address_is_own(&address));
}

/* An address that nobody can ask the kernel about is not connected to. */
static void test_own_unknown(void **state)
{
    struct rlimit before, none;
    struct address address;
    assert_true(address_parse("192.0.2.77", &address));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool own = address_is_own(&address);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused), cmocka_unit_test(test_allowed),     cmocka_unit_test(test_every_row),
        cmocka_unit_test(test_granted), cmocka_unit_test(test_text),        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_own),     cmocka_unit_test(test_own_unknown), cmocka_unit_test(test_registries)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
