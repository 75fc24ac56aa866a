/* SPDX-License-Identifier: Apache-2.0 */
/* Files and syslog lines that carry checkpoints: what is written, and where nothing is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "runtime/parent/sinks.h"

#define NOTE "log.example/1\n9\nAAAA\n\n\u2014 log.example/1 AAAA\n"

static char home[64], place[128], path[160];
static struct sink_bounds bounds;

static void folder(const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", home, name);
    assert_int_equal(mkdir(out, 0700), 0);
}

static int make_home(void **state)
{
    static char plugins[128];
    strcpy(home, "/tmp/caisson-sinks-XXXXXX");
    if (!mkdtemp(home)) return -1;
    folder("plugins", plugins);
    folder("kept", place);
    bounds = (struct sink_bounds){.count = 1, .below = {plugins}, .in = home};
    snprintf(path, sizeof path, "%s/checkpoints", place);
    return 0;
}

static int drop_home(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", home);
    return system(command);
}

static bool append(const char *to)
{
    struct err err = {0};
    return sink_append(to, &bounds, NOTE, strlen(NOTE), &err);
}

static void whole_notes_one_after_the_other(void **state)
{
    struct stat status;
    char text[512] = "";
    assert_true(append(path) && append(path));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof text - 1), 2 * (strlen(NOTE) + 1));
    assert_string_equal(text, NOTE "\n" NOTE "\n");
}

static void never_where_others_or_connectors_are(void **state)
{
    char other[200], deep[160], linked[200];
    snprintf(other, sizeof other, "%s/plugins/x", home);
    assert_false(append(other));
    snprintf(deep, sizeof deep, "%s/plugins/deep", home);
    assert_int_equal(mkdir(deep, 0700), 0);
    snprintf(other, sizeof other, "%s/x", deep);
    assert_false(append(other)); /* not below it either */
    snprintf(linked, sizeof linked, "%s/link", place);
    assert_int_equal(symlink(deep, linked), 0);
    snprintf(other, sizeof other, "%s/x", linked);
    assert_false(append(other)); /* nor by another name */
    snprintf(other, sizeof other, "%s/caisson.conf", home);
    assert_false(append(other));
    assert_int_equal(chmod(place, 0777), 0);
    assert_false(append(path)); /* others could put a link there */
    snprintf(deep, sizeof deep, "%s/inner", place);
    assert_int_equal(mkdir(deep, 0700), 0);
    snprintf(other, sizeof other, "%s/x", deep);
    assert_false(append(other)); /* or another folder in the place of this one */
    assert_int_equal(chmod(place, 0700), 0);
    assert_true(append(other));
    assert_int_equal(unlink(linked), 0);
    assert_int_equal(symlink(deep, linked), 0);
    snprintf(other, sizeof other, "%s/x", linked);
    assert_false(append(other)); /* and no link leads anywhere */
    assert_false(append("/nowhere/at/all"));
}

static void never_to_what_could_be_run(void **state)
{
    static const mode_t modes[] = {0750, 0660, 0644, 0700, 04600};
    char other[200];
    for (size_t i = 0; i < 4; i++) {
        assert_true(append(path));
        assert_int_equal(chmod(path, modes[i]), 0);
        assert_false(append(path));
        assert_int_equal(unlink(path), 0);
    }
    snprintf(other, sizeof other, "%s/other", place);
    assert_true(append(other));
    assert_int_equal(symlink(other, path), 0);
    assert_false(append(path));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(link(other, path), 0); /* a second name of a file elsewhere */
    assert_false(append(path));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(append(path));
}

static void only_notes(void **state)
{
    assert_true(sink_note_sound(NOTE, strlen(NOTE)));
    assert_false(sink_note_sound("", 0));
    assert_false(sink_note_sound("x", 1));
    assert_false(sink_note_sound("\x1b[2J\n", 5));
    assert_false(sink_note_sound("\xe2\x80\n", 3));
    assert_false(sink_note_sound("\xc3\xa4\n", 3));
    assert_false(sink_note_sound("a\0b\n", 4));
}

static void one_line(void **state)
{
    struct ctl_push push = {.size = 9, .root = {0xab}, .length = sizeof NOTE - 1};
    char line[1024], small[100];
    memcpy(push.note, NOTE, sizeof NOTE - 1);
    size_t used = sink_line(&push, 1700000000, "host-a", line, sizeof line);
    assert_true(used > 0 && used < sizeof line);
    line[used] = '\0';
    assert_null(strchr(line, '\n'));
    assert_ptr_equal(strstr(line, "<85>1 2023-11-14T22:13:20Z host-a caissond "), line);
    assert_non_null(strstr(line, " checkpoint [checkpoint@32473 size=\"9\" root=\"ab00"));
    assert_non_null(strstr(line, "\"] log.example/1\\n9\\nAAAA\\n\\n\u2014 log.example/1 AAAA\\n"));
    assert_int_equal(sink_line(&push, 1700000000, "host-a", small, sizeof small), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole_notes_one_after_the_other, make_home, drop_home),
        cmocka_unit_test_setup_teardown(never_where_others_or_connectors_are, make_home, drop_home),
        cmocka_unit_test_setup_teardown(never_to_what_could_be_run, make_home, drop_home),
        cmocka_unit_test(only_notes),
        cmocka_unit_test(one_line),
    };
    umask(022);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
