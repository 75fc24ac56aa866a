/* SPDX-License-Identifier: Apache-2.0 */
/* caisson.conf: what each key does, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "runtime/parent/config.h"

static bool reads(const char *text, struct config *config, struct err *err)
{
    return config_read(text, strlen(text), "caisson.conf", 0, config, err);
}

static void nothing_is_enough(void **state)
{
    struct config config;
    struct err err = {0};
    assert_true(reads("", &config, &err));
    assert_int_equal(config.uid_base, 60710);
    assert_int_equal(config.tcp_count, 0);
    assert_int_equal(config.dir_count, 0);
    assert_int_equal(config.api_mode, 0666);
    assert_int_equal(config.desk_mode, 0600);
    assert_false(config.lowered);
    assert_string_equal(config.desk_socket, "run/desk.sock");
    config_clear(&config);
}

/* Each text gives that role this object. */
static void parts(void **state)
{
    static const struct {
        const char *text;
        uint32_t owner;
        enum role_id role;
        const char *part;
    } rows[] = {
        {"", 0, ROLE_LEDGER, "{\"access\":{\"*\":{\"admin\":[\"uid:0\"]}}}"},
        {"", 1000, ROLE_LEDGER, "{\"access\":{\"*\":{\"admin\":[\"uid:0\",\"uid:1000\"]}}}"},
        {"[Access]\nInvoker=default any\nAdmin=default uid:5 gid:6\nAdmin=other uid:7\n", 0, ROLE_LEDGER,
         "{\"access\":{\"*\":{\"admin\":[\"uid:0\"]},\"default\":{\"admin\":[\"uid:5\",\"gid:6\"],\"invoker\":[\"any\"]"
         "},"
         "\"other\":{\"admin\":[\"uid:7\"]}}}"},
        {"[Audit]\nOrigin=audit.example.org/a/1\nKeyHours=90\n", 0, ROLE_LEDGER,
         "{\"access\":{\"*\":{\"admin\":[\"uid:0\"]}},\"key_hours\":90,\"origin\":\"audit.example.org/a/1\"}"},
        {"[Resolver]\nNameservers=127.0.0.1:5353 [::1]:53\nHost=mail.example.com 127.0.0.1\nRefuse=192.0.2.1\n", 0,
         ROLE_BROKER,
         "{\"hosts\":[[\"mail.example.com\",\"127.0.0.1\"]],\"nameservers\":[\"127.0.0.1:5353\",\"[::1]:53\"],"
         "\"refuse\":[\"192.0.2.1\"]}"},
        {"[Limits]\nCalls=8\nRate=5\n[Listen]\nCorsOrigin=https://a.example\n", 0, ROLE_FRONT,
         "{\"calls\":8,\"cors\":[\"https://a.example\"],\"rate\":5}"},
        {"[Push]\nFile=archive /srv/x\nSyslog=siem\nEvery=5min\nRequired=siem\n"
         "Webhook=hook webhook https://a.example/x credential=c\n"
         "Witness=w1 eye/add w.example+0123abcd+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA https://w.example\n",
         0, ROLE_LEDGER,
         "{\"access\":{\"*\":{\"admin\":[\"uid:0\"]}},\"push\":{\"every\":300,\"required\":[\"siem\"],\"sinks\":["
         "{\"kind\":\"file\",\"name\":\"archive\"},{\"kind\":\"syslog\",\"name\":\"siem\"},"
         "{\"action\":\"post\",\"connector\":\"webhook\",\"credential\":\"c\",\"kind\":\"webhook\",\"name\":\"hook\","
         "\"url\":\"https://a.example/x\",\"workspace\":\"default\"},"
         "{\"action\":\"add\",\"connector\":\"eye\",\"kind\":\"witness\",\"name\":\"w1\","
         "\"url\":\"https://w.example\",\"vkey\":\"w.example+0123abcd+AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
         "\"workspace\":\"default\"}]}}"},
        {"[Limits]\nCalls=8\n", 0, ROLE_DESK, "{\"calls\":8}"},
        {"[Daemon]\nUidBase=70000\nUidRange=9\n", 0, ROLE_RUNNER, "{\"plugin_uid\":70010,\"plugin_uids\":9}"},
        {"", 0, ROLE_VAULT, "{}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config config;
        struct err err = {0};
        if (!config_read(rows[i].text, strlen(rows[i].text), "caisson.conf", rows[i].owner, &config, &err))
            fail_msg("%s", err.text);
        FREE_AUTO char *part = json_dumps(config.parts[rows[i].role], JSON_COMPACT | JSON_SORT_KEYS);
        assert_string_equal(part, rows[i].part);
        config_clear(&config);
    }
}

static void listeners(void **state)
{
    struct config config;
    struct err err = {0};
    assert_true(reads("[Listen]\nTcp=127.0.0.1:8321\nTcp=[::1]:8321\nUnix=/run/x.sock\nUnixMode=0660\nDeskGroup=7\n",
                      &config, &err));
    assert_int_equal(config.tcp_count, 2);
    assert_string_equal(config.tcp[1].text, "[::1]:8321");
    assert_true(config_loopback(&config.tcp[0].address) && config_loopback(&config.tcp[1].address));
    assert_int_equal(config.api_mode, 0660);
    assert_int_equal(config.desk_gid, 7);
    config_clear(&config);
    assert_true(reads("[Listen]\nTcp=0.0.0.0:443\nTlsCertificate=tls/cert.pem\nTlsKey=tls/key.pem\n", &config, &err));
    assert_false(config_loopback(&config.tcp[0].address));
    config_clear(&config);
}

static void refused(void **state)
{
    static const struct {
        const char *text, *problem;
    } rows[] = {
        {"x", "caisson.conf:1"},
        {"[Nothing]\nx=1\n", "caisson.conf:2"},
        {"[Daemon]\nUidbase=1\n", "Uidbase"},
        {"[Daemon]\nUidBase=0\n", "UidBase"},
        {"[Daemon]\nUidBase=70000\nUidBase=70001\n", "twice"},
        {"[Daemon]\nUidBase=-1\n", "UidBase"},
        {"[Daemon]\nUidBase=99999999999\n", "UidBase"},
        {"[Daemon]\nMinimumIsolation=none\n", "MinimumIsolation"},
        {"[Daemon]\nLogLevel=all\n", "LogLevel"},
        {"[Push]\nFile=archive\n", "File"},
        {"[Push]\nFile=archive relative/path\n", "File"},
        {"[Push]\nFile=Archive /srv/x\n", "name"},
        {"[Push]\nFile=a /srv/x\nSyslog=a\n", "another place"},
        {"[Push]\nFile=a /srv/x\nRequired=b\n", "Required"},
        {"[Push]\nEvery=59\n", "60 seconds"},
        {"[Push]\nEvery=1min 5\n", "time"},
        {"[Push]\nEvery=99999999h\n", "60 seconds"},
        {"[Push]\nWebhook=a webhook ftp://a.example\n", "URL"},
        {"[Push]\nWebhook=a webhook https://a.example x=y\n", "workspace=NAME"},
        {"[Push]\nWebhook=a ../x https://a.example\n", "CONNECTOR"},
        {"[Push]\nWitness=a witness w+0123abcd+AAAA https://a.example\n", "verifier key"},
        {"[Daemon]\nControlGroup=caisson\n", "ControlGroup"},
        {"[Daemon]\nControlGroup=/sys/fs/cgroup/../x\n", "ControlGroup"},
        {"[Daemon]\nControlGroup=/1 /2 /3 /4 /5\n", "ControlGroup"},
        {"[Listen]\nTcp=8321\n", "Tcp"},
        {"[Listen]\nTcp=localhost:8321\n", "Tcp"},
        {"[Listen]\nTcp=127.0.0.1:0\n", "Tcp"},
        {"[Listen]\nTcp=127.0.0.1:65536\n", "Tcp"},
        {"[Listen]\nTcp=::1:8321\n", "Tcp"},
        {"[Listen]\nTcp=[127.0.0.1]:8321\n", "Tcp"},
        {"[Listen]\nTcp=[::1:8321\n", "Tcp"},
        {"[Listen]\nTcp=:8321\n", "Tcp"},
        {"[Listen]\nTcp=0.0.0.0:8321\n", "TlsCertificate"},
        {"[Listen]\nTcp=[::]:8321\n", "TlsCertificate"},
        {"[Listen]\nTcp=[::ffff:127.0.0.1]:8321\n", "TlsCertificate"},
        {"[Listen]\nTlsCertificate=x\n", "TlsKey"},
        {"[Listen]\nTcp=127.0.0.1:1\nTcp=127.0.0.1:2\nTcp=127.0.0.1:3\nTcp=127.0.0.1:4\nTcp=127.0.0.1:5\n", "four"},
        {"[Listen]\nUnixMode=0777\n", "UnixMode"},
        {"[Listen]\nUnixMode=9\n", "UnixMode"},
        {"[Access]\nAdmin=default\n", "Admin"},
        {"[Access]\nAdmin=default any\n", "any"},
        {"[Access]\nAdmin=* any\n", "any"},
        {"[Access]\nInvoker=Default any\n", "Invoker"},
        {"[Access]\nInvoker=default root\n", "Invoker"},
        {"[Access]\nInvoker=default uid:\n", "Invoker"},
        {"[Access]\nInvoker=default uid:-1\n", "Invoker"},
        {"[Access]\nInvoker=default uid:1x\n", "Invoker"},
        {"[Access]\nInvoker=default uid:4294967296\n", "Invoker"},
        {"[Limits]\nCalls=0\n", "Calls"},
        {"[Limits]\nCalls=many\n", "Calls"},
        {"[Resolver]\nHost=mail.example.com\n", "Host"},
        {"[Resolver]\nHost=mail.example.com localhost\n", "Host"},
        {"[Resolver]\nHost=10.0.0.1 127.0.0.1\n", "Host"},
        {"[Resolver]\nHost=-a.example 127.0.0.1\n", "Host"},
        {"[Resolver]\nHost=a..example 127.0.0.1\n", "Host"},
        {"[Resolver]\nHost=a.example 127.1\n", "Host"},
        {"[Resolver]\nNameservers=192.0.2.1 dns.example\n", "dns.example"},
        {"[Resolver]\nNameservers=192.0.2.1:0\n", "192.0.2.1:0"},
        {"[Resolver]\nRefuse=192.0.2.0/33\n", "192.0.2.0/33"},
        {"[Resolver]\nRefuse=192.0.2.1/24\n", "192.0.2.1/24"},
        {"[Resolver]\nRefuse=2001:db8::/x\n", "2001:db8::/x"},
        {"[Listen]\nCorsOrigin=*\n", "CorsOrigin=*"},
        {"[Listen]\nCorsOrigin=a.example\n", "CorsOrigin=a.example"},
        {"[Plugins]\nDirectory=a\nDirectory=b\nDirectory=c\nDirectory=d\nDirectory=e\n", "four"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct config config = {0};
        struct err err = {0};
        if (reads(rows[i].text, &config, &err)) fail_msg("taken:\n%s", rows[i].text);
        if (!strstr(err.text, rows[i].problem)) fail_msg("\"%s\" is not in: %s", rows[i].problem, err.text);
    }
}

/* The keys of the manual page are those of the table, and the other way round. */
static void manual(void **state)
{
    static char page[65536];
    FILE *file = fopen(SOURCE_ROOT "/man/caisson.conf.5.scd", "r");
    assert_non_null(file);
    page[fread(page, 1, sizeof page - 1, file)] = '\0';
    fclose(file);
    for (size_t i = 0; config_key(i, NULL); i++) {
        char key[80];
        const char *section;
        snprintf(key, sizeof key, "*%s=*", config_key(i, &section));
        const char *head = strstr(page, section);
        if (!head || !strstr(head, key)) fail_msg("caisson.conf(5) lacks [%s] %s", section, key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_enough), cmocka_unit_test(parts),  cmocka_unit_test(listeners),
        cmocka_unit_test(refused),           cmocka_unit_test(manual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
