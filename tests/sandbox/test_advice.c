/* SPDX-License-Identifier: Apache-2.0 */
/* What is said about namespaces that do not work: the setting that forbids them, by name and value, on the machines of
 * each distribution; settings are files of a folder of this test's own. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "sandbox/cgroup.h"
#include "sandbox/probe_inside.h"

static char folder[] = "/tmp/caisson-advice.XXXXXX";

static void put(const char *name, const char *value)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(write(file, value, strlen(value)), strlen(value));
    close(file);
}

static int make(void **state)
{
    char path[256];
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/kernel", folder);
    if (mkdir(path, 0700) < 0) return -1;
    snprintf(path, sizeof path, "%s/user", folder);
    return mkdir(path, 0700);
}

static const char *const files[] = {"user/max_user_namespaces", "user/max_net_namespaces",
                                    "kernel/unprivileged_userns_clone", "kernel/apparmor_restrict_unprivileged_userns"};
enum { FILES = sizeof files / sizeof *files };

static int unmake(void **state)
{
    char path[256];
    for (int i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/kernel", folder);
    rmdir(path);
    snprintf(path, sizeof path, "%s/user", folder);
    rmdir(path);
    return rmdir(folder);
}

static void the_setting_is_named(void **state)
{
    static const struct {
        const char *values[FILES], *key;
        bool privileged;
        const char *says;
    } cases[] = {
        {{"0\n", "100\n", "1\n", "0\n"}, "user_namespace", false, "user.max_user_namespaces=0"},
        {{"100\n", "100\n", "0\n", "0\n"}, "user_namespace", false, "kernel.unprivileged_userns_clone=0"},
        {{"100\n", "100\n", "1\n", "1\n"}, "empty_root", false, "kernel.apparmor_restrict_unprivileged_userns=1"},
        {{"100\n", "0\n", "1\n", "0\n"}, "network_namespace", false, "user.max_net_namespaces=0"},
        {{"100\n", "0\n", "1\n", "0\n"}, "empty_root", true, "user.max_net_namespaces=0"},
        {{"100\n", "0\n", "1\n", "0\n"}, "pid_namespace", false, "no setting says why"},
        {{"0\n", "100\n", "0\n", "1\n"}, "empty_root", true, "no setting says why"}, /* root needs none of those */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char advice[PROBE_ADVICE] = "";
        struct probe_who who = {.privileged = cases[i].privileged, .settings = folder};
        for (int f = 0; f < FILES; f++) put(files[f], cases[i].values[f]);
        probe_advise(&who, cases[i].key, advice);
        if (!strstr(advice, cases[i].says)) fail_msg("case %zu: %s", i, advice);
    }
}

/* Nothing that is missing goes without advice, and all of it fits. */
static void every_wall_has_advice(void **state)
{
    struct probe_who who = {.privileged = probe_privileged(), .plugin_uid = 60720, .settings = folder};
    struct probe_results found;
    probe_walls(&who, true, &found);
    for (unsigned i = 0; i < found.count; i++) {
        char advice[PROBE_ADVICE] = "";
        probe_advise(&who, found.rows[i].key, advice);
        assert_in_range(strlen(advice), 20, PROBE_ADVICE - 2);
        assert_true((found.rows[i].advice[0] != 0) == (found.rows[i].state == PROBE_MISSING));
    }
}

static void judgement(void **state)
{
    static const struct {
        enum probe_state must, full, extra;
        bool lowered, good, without;
    } cases[] = {
        {PROBE_HOLDS, PROBE_HOLDS, PROBE_HOLDS, false, true, false},
        {PROBE_HOLDS, PROBE_NOT_NEEDED, PROBE_MISSING, false, true, false},
        {PROBE_HOLDS, PROBE_HOLDS, PROBE_HOLDS, true, true, false},
        {PROBE_HOLDS, PROBE_MISSING, PROBE_HOLDS, false, false, false},
        {PROBE_HOLDS, PROBE_MISSING, PROBE_HOLDS, true, true, true},
        {PROBE_MISSING, PROBE_HOLDS, PROBE_HOLDS, false, false, false},
        {PROBE_MISSING, PROBE_HOLDS, PROBE_HOLDS, true, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct probe_results found = {.count = 3,
                                      .rows = {{"a", "a", PROBE_MUST, cases[i].must, "x"},
                                               {"b", "b", PROBE_LOWERABLE, cases[i].full, "x"},
                                               {"c", "c", PROBE_EXTRA, cases[i].extra, "x"}}};
        uint32_t without = 1;
        struct err err = {0};
        assert_int_equal(probe_judge(&found, cases[i].lowered, &without, &err), cases[i].good);
        assert_int_equal(without != 0, cases[i].without);
        assert_int_equal(err.kind, cases[i].good ? ERR_NONE : ERR_MISSING_LAYER);
    }
}

/* Every folder can be written by root: only what has controllers is taken, and nothing is left in any other. */
static void a_plain_folder_is_no_group(void **state)
{
    struct cgroups groups = {0};
    struct err err = {0};
    char path[256];
    snprintf(path, sizeof path, "%s/kernel", folder);
    for (int i = 0; i < FILES; i++) put(files[i], "1");
    assert_false(cgroups_add(&groups, path, &err));
    assert_non_null(strstr(err.text, "no controller"));
    snprintf(path, sizeof path, "%s/kernel/caisson-trial", folder);
    assert_int_equal(access(path, F_OK), -1);
    assert_false(cgroups_add(&groups, "/nonexistent", &err));
    assert_int_equal(groups.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_setting_is_named),
        cmocka_unit_test(every_wall_has_advice),
        cmocka_unit_test(judgement),
        cmocka_unit_test(a_plain_folder_is_no_group),
    };
    return cmocka_run_group_tests(tests, make, unmake);
}
