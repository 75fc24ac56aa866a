/* SPDX-License-Identifier: Apache-2.0 */
/* Egress patterns: what may be asked, what may be given, and what stands in both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto_json.h"
#include "runtime/loader/egress.h"

static void parses(void **state)
{
    static const struct {
        const char *text, *shown; /* shown NULL: refused */
        enum host_kind kind;
    } rows[] = {
        {"tls://api.example.com:443", "tls://api.example.com:443", HOST_NAME},
        {"tls://API.Example.COM:443", "tls://api.example.com:443", HOST_NAME},
        {"starttls://mail.example.com:*", "starttls://mail.example.com:*", HOST_NAME},
        {"plain://localhost:25", "plain://localhost:25", HOST_SHORT},
        {"tls://*.example.com:443", "tls://*.example.com:443", HOST_WILD},
        {"tls://*.com:443", "tls://*.com:443", HOST_TOP_WILD},
        {"tls://*:*", "tls://*:*", HOST_ANY},
        {"plain://127.0.0.1:25", "plain://127.0.0.1:25", HOST_LITERAL},
        {"plain://[::1]:25", "plain://[::1]:25", HOST_LITERAL},
        {"plain://[0:0:0:0:0:0:0:1]:25", "plain://[::1]:25", HOST_LITERAL},
        {"tls://xn--bcher-kva.example:443", "tls://xn--bcher-kva.example:443", HOST_NAME},
        {"tls://b\xc3\xbc"
         "cher.example:443",
         NULL, 0},
        {"tls://ex\xd0\xb0mple.com:443", NULL, 0}, /* a Cyrillic letter */
        {"api.example.com:443", NULL, 0},
        {"http://api.example.com:80", NULL, 0},
        {"TLS://api.example.com:80", NULL, 0},
        {"tls://api.example.com", NULL, 0},
        {"tls://:443", NULL, 0},
        {"tls://api.example.com:", NULL, 0},
        {"tls://api.example.com:0", NULL, 0},
        {"tls://api.example.com:0443", NULL, 0},
        {"tls://api.example.com:65536", NULL, 0},
        {"tls://api.example.com:80-90", NULL, 0},
        {"tls://api.example.com:80,90", NULL, 0},
        {"tls://api.example.com:+80", NULL, 0},
        {"tls://api.example.com: 80", NULL, 0},
        {"tls://api.example.com.:443", NULL, 0},
        {"tls://api..example.com:443", NULL, 0},
        {"tls://-api.example.com:443", NULL, 0},
        {"tls://api-.example.com:443", NULL, 0},
        {"tls://a*.example.com:443", NULL, 0},
        {"tls://*.*.example.com:443", NULL, 0},
        {"tls://a.*.com:443", NULL, 0},
        {"tls://user@example.com:443", NULL, 0},
        {"tls://example.com/path:443", NULL, 0},
        {"tls://127.1:443", NULL, 0},
        {"tls://2130706433:443", NULL, 0},
        {"tls://0x7f000001:443", NULL, 0},
        {"tls://0177.0.0.1:443", NULL, 0},
        {"tls://example.0x1:443", NULL, 0},
        {"tls://127.0.0.1.:443", NULL, 0},
        {"tls://::1:443", NULL, 0},
        {"tls://[::1%lo]:443", NULL, 0},
        {"tls://[]:443", NULL, 0},
        {"tls://[:443", NULL, 0},
        {"", NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct egress_pattern pattern;
        struct err err = {0};
        char text[EGRESS_TEXT];
        bool taken = egress_parse(rows[i].text, &pattern, &err);
        if (taken != (rows[i].shown != NULL)) fail_msg("%s: %s", rows[i].text, taken ? "taken" : err.text);
        if (!taken) continue;
        egress_text(&pattern, text);
        assert_string_equal(text, rows[i].shown);
        assert_int_equal(pattern.kind, rows[i].kind);
    }
}

static void long_names(void **state)
{
    struct egress_pattern pattern;
    struct err err = {0};
    char text[400] = "tls://";
    for (int i = 0; i < 64; i++) strcat(text, "a");
    strcat(text, ".com:443");
    assert_false(egress_parse(text, &pattern, &err)); /* a label of 64 */
    strcpy(text, "tls://");
    for (int i = 0; i < 126; i++) strcat(text, "a.");
    strcat(text, "a:443");
    assert_true(egress_parse(text, &pattern, &err)); /* 253 */
    strcpy(text, "tls://a");
    for (int i = 0; i < 126; i++) strcat(text, "a.");
    strcat(text, "a:443");
    assert_false(egress_parse(text, &pattern, &err)); /* 254 */
}

static json_t *schema(void)
{
    return json_loads("{\"type\":\"object\",\"properties\":{\"host\":{\"type\":\"string\"},\"port\":{\"type\":"
                      "\"integer\"},\"flag\":{\"type\":\"boolean\"},\"url\":{\"type\":\"string\"}}}",
                      0, NULL);
}

static void asks(void **state)
{
    static const struct {
        const char *ask;
        bool good;
    } rows[] = {
        {"tls://api.example.com:443", true},
        {"tls://*.example.com:443", true},
        {"tls://*:*", true},
        {"tls://{host}:{port}", true},
        {"starttls://{host}:587", true},
        {"tls://mail.{host}:25", true},
        {"tls://{url}", true},
        {"tls://*.com:443", false},
        {"tls://127.0.0.1:443", false},
        {"tls://[::1]:443", false},
        {"tls://localhost:443", false},
        {"tls://intranet:443", false},
        {"tls://{flag}:443", false},
        {"tls://{other}:443", false},
        {"tls://{host:443", false},
        {"tls://host}:443", false},
        {"tls://{}:443", false},
        {"tls://{port}", false},
        {"tls://{host}{url}", false},
        {"{host}:{port}", false},
        {"tls://{host}:80-90", false},
    };
    JSON_AUTO *settings = schema();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct err err = {0};
        if (egress_check_ask(rows[i].ask, settings, &err) != rows[i].good) fail_msg("%s: %s", rows[i].ask, err.text);
    }
}

static void fills(void **state)
{
    static const struct {
        const char *ask, *settings, *shown;
        enum err_kind kind; /* when shown is NULL */
    } rows[] = {
        {"tls://{host}:{port}", "{\"host\":\"Mail.Example.com\",\"port\":465}", "tls://mail.example.com:465", 0},
        {"tls://{host}:{port}", "{\"port\":465}", NULL, ERR_NOT_FOUND},
        {"tls://{host}:{port}", "{\"host\":\"evil.example.com:1\",\"port\":465}", NULL, ERR_BAD_INPUT},
        {"tls://{host}:{port}", "{\"host\":\"*\",\"port\":465}", "tls://*:465", 0},
        {"tls://{host}:{port}", "{\"host\":\"{port}\",\"port\":465}", NULL, ERR_NOT_FOUND},
        {"tls://{host}:{port}", "{\"host\":\"a.b\",\"port\":70000}", NULL, ERR_BAD_INPUT},
        {"tls://{host}:{port}", "{\"host\":\"a.b\",\"port\":-1}", NULL, ERR_BAD_INPUT},
        {"tls://{url}", "{\"url\":\"https://api.example.com\"}", "tls://api.example.com:443", 0},
        {"tls://{url}", "{\"url\":\"https://api.example.com:8443/v1?x\"}", "tls://api.example.com:8443", 0},
        {"tls://{url}", "{\"url\":\"https://[::1]/v1\"}", "tls://[::1]:443", 0},
        {"tls://{url}", "{\"url\":\"https://[::1]:8443\"}", "tls://[::1]:8443", 0},
        {"tls://{url}", "{\"url\":\"http://api.example.com\"}", NULL, ERR_BAD_INPUT},
        {"tls://{url}", "{\"url\":\"https://user@api.example.com\"}", NULL, ERR_BAD_INPUT},
        {"tls://{url}", "{\"url\":\"https://a.example.com\\\\@b.example.com\"}", NULL, ERR_BAD_INPUT},
        {"tls://{url}", "{\"url\":\"https://*:*\"}", NULL, ERR_BAD_INPUT},
        {"tls://{url}", "{\"url\":\"https://\"}", NULL, ERR_BAD_INPUT},
        {"tls://{url}", "{}", NULL, ERR_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct egress_pattern pattern;
        struct err err = {0};
        char text[EGRESS_TEXT];
        JSON_AUTO *settings = json_loads(rows[i].settings, 0, NULL);
        bool filled = egress_fill(rows[i].ask, settings, &pattern, &err);
        if (filled != (rows[i].shown != NULL)) fail_msg("%s %s: %s", rows[i].ask, rows[i].settings, err.text);
        if (filled) egress_text(&pattern, text);
        if (filled)
            assert_string_equal(text, rows[i].shown);
        else
            assert_int_equal(err.kind, rows[i].kind);
    }
}

static void grants(void **state)
{
    static const struct {
        const char *text;
        bool any_host, loopback, good;
    } rows[] = {
        {"tls://api.example.com:443", false, false, true},
        {"tls://*.example.com:443", false, false, true},
        {"tls://*:443", false, false, false},
        {"tls://*:443", true, false, true},
        {"tls://*.com:443", false, false, false},
        {"tls://*.com:443", true, false, true},
        {"tls://api.example.com:*", false, false, false},
        {"tls://*:*", true, false, true},
        {"tls://localhost:443", false, false, false},
        {"tls://localhost:443", true, false, false},
        {"tls://localhost:443", false, true, true},
        {"tls://x.localhost:443", false, false, false},
        {"plain://127.0.0.1:25", false, false, true}, /* the broker's ranges decide */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct egress_pattern pattern;
        struct err err = {0};
        assert_true(egress_parse(rows[i].text, &pattern, &err));
        if (egress_check_grant(&pattern, rows[i].any_host, rows[i].loopback, &err) != rows[i].good)
            fail_msg("%s: %s", rows[i].text, err.text);
    }
}

static void meets(void **state)
{
    static const struct {
        const char *ask, *grant, *both; /* both NULL: nothing */
    } rows[] = {
        {"tls://a.example.com:443", "tls://a.example.com:443", "tls://a.example.com:443"},
        {"tls://a.example.com:443", "tls://b.example.com:443", NULL},
        {"tls://a.example.com:443", "tls://a.example.com:444", NULL},
        {"tls://a.example.com:443", "plain://a.example.com:443", NULL},
        {"starttls://a.example.com:25", "tls://a.example.com:25", NULL},
        {"tls://a.example.com:443", "tls://*.example.com:443", "tls://a.example.com:443"},
        {"tls://*.example.com:443", "tls://a.example.com:443", "tls://a.example.com:443"},
        {"tls://*.example.com:443", "tls://a.b.example.com:443", NULL},
        {"tls://*.example.com:443", "tls://example.com:443", NULL},
        {"tls://*.example.com:443", "tls://*.example.com:443", "tls://*.example.com:443"},
        {"tls://*.example.com:443", "tls://*.b.example.com:443", NULL},
        {"tls://*.example.com:443", "tls://aexample.com:443", NULL},
        {"tls://*:*", "tls://a.example.com:8443", "tls://a.example.com:8443"},
        {"tls://*:*", "tls://*:*", "tls://*:*"},
        {"tls://*:443", "tls://*.example.com:*", "tls://*.example.com:443"},
        {"tls://a.example.com:443", "tls://*:*", "tls://a.example.com:443"},
        {"tls://*:*", "tls://127.0.0.1:443", "tls://127.0.0.1:443"},
        {"tls://127.0.0.1:443", "tls://*:*", NULL},
        {"tls://127.0.0.1:443", "tls://127.0.0.1:443", "tls://127.0.0.1:443"},
        {"tls://*:*", "tls://localhost:443", "tls://localhost:443"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct egress_pattern ask, grant, both;
        struct err err = {0};
        char text[EGRESS_TEXT];
        assert_true(egress_parse(rows[i].ask, &ask, &err) && egress_parse(rows[i].grant, &grant, &err));
        bool met = egress_meet(&ask, &grant, &both);
        if (met != (rows[i].both != NULL)) fail_msg("%s and %s", rows[i].ask, rows[i].grant);
        if (!met) continue;
        egress_text(&both, text);
        assert_string_equal(text, rows[i].both);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses), cmocka_unit_test(long_names), cmocka_unit_test(asks),
        cmocka_unit_test(fills),  cmocka_unit_test(grants),     cmocka_unit_test(meets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
