/* SPDX-License-Identifier: Apache-2.0 */
/* Drop-ins: which files count, and what a line may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/loader/plugins_d.h"

#define D64 "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
#define PLUGIN "[Plugin]\nName=sms\nDigest=sha256:" D64 "\nManifestDigest=sha256:" D64 "\n"

static void files(void **state)
{
    static const struct {
        const char *file;
        bool taken;
    } rows[] = {{"10-sms.conf", true},           {"a.conf", true},         {".conf", false},
                {".10-sms.conf", false},         {"10-sms.conf~", false},  {"10-sms.conf.bak", false},
                {"10-sms.CONF", false},          {"10-sms", false},        {"10-sms.conf.disabled", false},
                {"10-sms.conf.dpkg-new", false}, {"#10-sms.conf#", false}, {"..conf", false},
                {".10-sms.conf.swp", false},     {"conf", false},          {"x.conf.rpmsave", false}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (plugins_d_takes(rows[i].file) != rows[i].taken) fail_msg("%s", rows[i].file);
}

static void whole(void **state)
{
    static const char text[] = PLUGIN
        "Path=/opt/x/sms\nEnabled=no\n"
        "[Grant]\nEgress=tls://a.example.com:443 tls://b.example.com:443\nEgress=plain://c.example.com:25\n"
        "AddressRanges=loopback 10.0.0.0/8\nCAFile=demo.pem\nWorkspaces=default "
        "marketing\nIsolation=lease\nCapture=input reply\n"
        "MemoryMax=64M\nCpuMax=5\nTimeMax=2m\nOutputMax=512K\nLogMax=16K\nDials=3\nUploadMax=512K\nDownloadMax=2M\n"
        "Concurrency=4\nSpares=0\nLeaseCalls=7\nLeaseAge=60s\nLeaseIdle=5s\nAllowAnyHost=yes\n"
        "[Settings]\nhost=mail.example.com\nlist=a\nlist=b\n";
    struct dropin d;
    struct err err = {0};
    if (!plugins_d_read(text, strlen(text), "10-sms.conf", &d, &err)) fail_msg("%s", err.text);
    assert_string_equal(d.name, "sms");
    assert_string_equal(d.path, "/opt/x/sms");
    assert_false(d.enabled);
    assert_true(d.any_host);
    assert_int_equal(d.digest[0], 0x9f);
    assert_int_equal(d.isolation, ISOLATE_LEASE);
    assert_int_equal(d.capture, CAPTURE_INPUT | CAPTURE_REPLY);
    assert_int_equal(json_array_size(d.egress), 3);
    assert_int_equal(json_array_size(d.ranges), 3);
    assert_string_equal(json_string_value(json_array_get(d.ranges, 1)), "::1/128");
    assert_int_equal(json_array_size(d.workspaces), 2);
    assert_int_equal(d.limits.memory_mb, 64);
    assert_int_equal(d.limits.cpu_s, 5);
    assert_int_equal(d.limits.wall_s, 120);
    assert_int_equal(d.limits.output_kb, 512);
    assert_int_equal(d.limits.log_kb, 16);
    assert_int_equal(d.limits.dials, 3);
    assert_int_equal(d.limits.up_kb, 512);
    assert_int_equal(d.limits.down_kb, 2048);
    assert_int_equal(d.limits.concurrency, 4);
    assert_int_equal(d.lease.spares, 0);
    assert_int_equal(d.lease.calls, 7);
    assert_int_equal(d.lease.age_s, 60);
    assert_int_equal(d.lease.idle_s, 5);
    assert_int_equal(json_array_size(json_object_get(d.settings, "list")), 2);
    plugins_d_clear(&d);
}

static void least(void **state)
{
    struct dropin d;
    struct err err = {0};
    assert_true(plugins_d_read(PLUGIN, strlen(PLUGIN), "10-sms.conf", &d, &err));
    assert_true(d.enabled);
    assert_false(d.any_host);
    assert_string_equal(d.path, "sms");
    assert_int_equal(d.isolation, ISOLATE_CALL);
    assert_int_equal(d.capture, 0);
    assert_int_equal(json_array_size(d.egress), 0);
    assert_string_equal(json_string_value(json_array_get(d.workspaces, 0)), "default");
    plugins_d_clear(&d);
}

static void refused(void **state)
{
    static const char *const rows[] = {
        "",
        "[Plugin]\nName=sms\n",
        "[Plugin]\nName=sms\nDigest=sha256:" D64 "\n",
        "[Plugin]\nName=sms\nManifestDigest=sha256:" D64 "\n",
        "[Plugin]\nDigest=sha256:" D64 "\nManifestDigest=sha256:" D64 "\n",
        PLUGIN "Name=other\n",
        PLUGIN "Digest=sha256:" D64 "\n",
        PLUGIN "Threads=yes\n",
        PLUGIN "Enabled=maybe\n",
        PLUGIN "[Grant]\nRawNetwork=yes\n",
        PLUGIN "[Grant]\nMode=2\n",
        PLUGIN "[Other]\nx=1\n",
        PLUGIN "[grant]\nEgress=tls://a.example.com:443\n",
        PLUGIN "[Grant]\nMemoryMax=0\n",
        PLUGIN "[Grant]\nMemoryMax=-1M\n",
        PLUGIN "[Grant]\nMemoryMax=1K\n",
        PLUGIN "[Grant]\nMemoryMax=1025M\n",
        PLUGIN "[Grant]\nMemoryMax=18446744073709551616\n",
        PLUGIN "[Grant]\nMemoryMax=999999999999999G\n",
        PLUGIN "[Grant]\nMemoryMax=64 M\n",
        PLUGIN "[Grant]\nTimeMax=0s\n",
        PLUGIN "[Grant]\nTimeMax=601s\n",
        PLUGIN "[Grant]\nTimeMax=1h\n",
        PLUGIN "[Grant]\nDials=65\n",
        PLUGIN "[Grant]\nDials=4294967297\n",
        PLUGIN "[Grant]\nIsolation=none\n",
        PLUGIN "[Grant]\nCapture=all\n",
        PLUGIN "[Grant]\nCapture=reply input\n",
        PLUGIN "[Grant]\nCapture=input\nCapture=reply\n",
        PLUGIN "[Settings]\nx=y\n[Plugin]\nCapture=input\n",
        PLUGIN "[Grant]\nAllowAnyHost=1\n",
        PLUGIN "[Grant]\nWorkspaces=Default\n",
        PLUGIN "[Grant]\nWorkspaces=../x\n",
        PLUGIN "[Grant]\nAddressRanges=10.0.0.1/8\n",
        PLUGIN "[Grant]\nAddressRanges=10.0.0.0/33\n",
        PLUGIN "[Grant]\nAddressRanges=10.0.0.0\n",
        PLUGIN "[Grant]\nAddressRanges=all\n",
        PLUGIN "[Grant]\nAddressRanges=fc00::1/7\n",
        PLUGIN "[Grant]\nCAFile=../keys/master.key\n",
        PLUGIN "[Grant]\nCAFile=/etc/passwd\n",
        PLUGIN "[Grant]\nCAFile=.x\n",
        PLUGIN "[Grant]\nCAFile=20-other.conf\n",
        "[Plugin]\nName=Sms\nDigest=sha256:" D64 "\nManifestDigest=sha256:" D64 "\n",
        "[Plugin]\nName=s\xd0\xbcs\nDigest=sha256:" D64 "\nManifestDigest=sha256:" D64 "\n",
        "[Plugin]\nName=../sms\nDigest=sha256:" D64 "\nManifestDigest=sha256:" D64 "\n",
        "[Plugin]\nName=sms\nDigest=" D64 "\nManifestDigest=sha256:" D64 "\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct dropin d;
        struct err err = {0};
        if (plugins_d_read(rows[i], strlen(rows[i]), "10-sms.conf", &d, &err)) fail_msg("taken:\n%s", rows[i]);
        if (!err.text[0]) fail_msg("no reason:\n%s", rows[i]);
        plugins_d_clear(&d);
    }
}

/* Corpus 136: another algorithm, empty, upper case, with a newline. */
static void digests(void **state)
{
    uint8_t digest[HASH_BYTES];
    static const char *const bad[] = {"",
                                      "sha256:",
                                      "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709",
                                      "sha512:" D64 D64,
                                      "md5:" D64,
                                      D64,
                                      "SHA256:" D64,
                                      "sha256:" D64 "\n",
                                      "sha256: " D64,
                                      "sha256:" D64 "0",
                                      "sha256:9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08",
                                      "sha256:zf86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                                      "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a0"};
    assert_true(plugins_d_digest("sha256:" D64, digest));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (plugins_d_digest(bad[i], digest)) fail_msg("%s", bad[i]);
}

static void name_survives_a_mistake(void **state)
{
    static const char text[] = "[Grant]\nDials=none\n" PLUGIN;
    struct dropin d;
    struct err err = {0};
    assert_false(plugins_d_read(text, strlen(text), "10-sms.conf", &d, &err));
    assert_string_equal(d.name, "sms");
    assert_non_null(strstr(err.text, "Dials="));
    assert_non_null(strstr(err.text, ":2:"));
    plugins_d_clear(&d);
}

/* What the roles would refuse, with the whole registry, is refused here: of one drop-in, with its line. */
static void as_many_ranges_as_the_roles_take(void **state)
{
    struct dropin d;
    struct err err = {0};
    char text[4096] = PLUGIN "[Grant]\nAddressRanges=loopback\n";
    size_t used = strlen(text);
    for (int i = 2; i < ENTRY_RANGES; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "AddressRanges=10.0.%d.0/24\n", i);
    if (!plugins_d_read(text, used, "10-sms.conf", &d, &err)) fail_msg("%s", err.text);
    assert_int_equal(json_array_size(d.ranges), ENTRY_RANGES);
    plugins_d_clear(&d);
    used += (size_t)snprintf(text + used, sizeof text - used, "AddressRanges=10.1.0.0/24\n");
    assert_false(plugins_d_read(text, used, "10-sms.conf", &d, &err));
    assert_non_null(strstr(err.text, "AddressRanges= must name at most 64 ranges"));
    plugins_d_clear(&d);
}

static void too_large(void **state)
{
    static char text[DROPIN_BYTES + 1];
    struct dropin d;
    struct err err = {0};
    memset(text, '\n', sizeof text);
    assert_false(plugins_d_read(text, sizeof text, "10-sms.conf", &d, &err));
    assert_int_equal(err.kind, ERR_TOO_LARGE);
    plugins_d_clear(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),     cmocka_unit_test(whole),
        cmocka_unit_test(least),     cmocka_unit_test(refused),
        cmocka_unit_test(digests),   cmocka_unit_test(name_survives_a_mistake),
        cmocka_unit_test(too_large), cmocka_unit_test(as_many_ranges_as_the_roles_take),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
