/* SPDX-License-Identifier: Apache-2.0 */
/* The home folder before anything is done in it: somebody else's is left exactly as it was. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/parent/home.h"

struct place {
    char home[64], run[80], lock[96], victim[80];
};

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
}

static int make(void **state)
{
    static struct place place;
    snprintf(place.home, sizeof place.home, "/tmp/caisson-home-XXXXXX");
    if (!mkdtemp(place.home)) return -1;
    snprintf(place.run, sizeof place.run, "%s/run", place.home);
    snprintf(place.lock, sizeof place.lock, "%s/lock", place.run);
    snprintf(place.victim, sizeof place.victim, "%s/victim", place.home);
    put(place.victim, "precious");
    *state = &place;
    return 0;
}

static int clear(void **state)
{
    struct place *place = *state;
    unlink(place->lock);
    rmdir(place->run);
    unlink(place->victim);
    return rmdir(place->home);
}

static void refused(const struct place *place)
{
    struct home home;
    struct err err = {0};
    struct stat status;
    assert_false(home_open(place->home, 0, &home, &err));
    assert_int_equal(err.kind, ERR_DENIED);
    assert_int_equal(stat(place->victim, &status), 0);
    assert_int_equal(status.st_size, strlen("precious"));
}

static void own(void **state)
{
    struct place *place = *state;
    struct home home;
    struct err err = {0};
    assert_true(home_open(place->home, 0, &home, &err));
    home_close(&home);
}

static void writable_by_others(void **state)
{
    struct place *place = *state;
    assert_int_equal(chmod(place->home, 0777), 0);
    refused(place);
    assert_int_equal(access(place->run, F_OK), -1);
}

/* The folder "run" is writable by others, and its lock is another name of a file of ours. */
static void planted_lock(void **state)
{
    struct place *place = *state;
    assert_int_equal(mkdir(place->run, 0700), 0);
    assert_int_equal(link(place->victim, place->lock), 0);
    assert_int_equal(chmod(place->run, 0777), 0);
    refused(place);
}

/* In root's pass only: nobody else can give files away. */
static void somebody_elses(void **state)
{
    struct place *place = *state;
    assert_int_equal(mkdir(place->run, 0755), 0);
    assert_int_equal(link(place->victim, place->lock), 0);
    assert_int_equal(chown(place->home, 65534, 65534), 0);
    refused(place);
    assert_int_equal(chown(place->home, 0, 0), 0);
    assert_int_equal(chown(place->run, 65534, 65534), 0);
    refused(place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(own, make, clear),
        cmocka_unit_test_setup_teardown(writable_by_others, make, clear),
        cmocka_unit_test_setup_teardown(planted_lock, make, clear),
    };
    const struct CMUnitTest as_root[] = {cmocka_unit_test_setup_teardown(somebody_elses, make, clear)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return geteuid() == 0 ? failed + cmocka_run_group_tests(as_root, NULL, NULL) : failed;
}
