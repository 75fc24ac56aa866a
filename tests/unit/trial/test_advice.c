/* SPDX-License-Identifier: Apache-2.0 */
/* Advice on refused calls: it speaks of calls that there are, and leads to headings that there are. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/audit.h>
#include <linux/seccomp.h>

#include "runtime/trial/advice.h"
#include "sandbox/call_names.h"
#include "sandbox/seccomp.h"

#include <cmocka.h>

static void every_word_is_a_call(void **state)
{
    char name[CALL_NAME];
    unsigned count = 0;
    for (unsigned at = 0; advice_next(&at, name, sizeof name); count++)
        if (call_number(name) < 0) fail_msg("there is no system call %s", name);
    assert_true(count > 200);
}

/* A name that stands in two lists would be told two ways. */
static void no_call_is_in_two_groups(void **state)
{
    char one[CALL_NAME], other[CALL_NAME];
    for (unsigned i = 0; advice_next(&i, one, sizeof one);)
        for (unsigned j = i; advice_next(&j, other, sizeof other);)
            if (strcmp(one, other) == 0) fail_msg("%s stands twice", one);
}

static void calls_are_told_by_their_kind(void **state)
{
    static const struct {
        const char *name;
        enum call_group group;
        int text; /* bits of arguments */
    } rows[] = {{"openat", GROUP_FILES, 1 << 1},  {"open", GROUP_FILES, 1 << 0},       {"rename", GROUP_FILES, 3},
                {"execve", GROUP_PROCESSES, 1},   {"connect", GROUP_NETWORK, 0},       {"clone", GROUP_THREADS, 0},
                {"kill", GROUP_SIGNALS, 0},       {"mprotect", GROUP_MEMORY, 0},       {"iopl", GROUP_DEVICES, 0},
                {"setitimer", GROUP_TIME, 0},     {"io_uring_setup", GROUP_KERNEL, 0}, {"i386:open", GROUP_FILES, 1},
                {"x32:fork", GROUP_PROCESSES, 0}, {"syscall_4711", GROUP_KERNEL, 0},   {"open_", GROUP_KERNEL, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct call_kind kind = call_kind(rows[i].name);
        int text = 0;
        for (int a = 0; a < CALL_ARGUMENTS; a++) text |= kind.text[a] << a;
        if (kind.group != rows[i].group || text != rows[i].text)
            fail_msg("%s: group %d, texts %d", rows[i].name, (int)kind.group, text);
    }
}

/* As a page's reader makes a link of a heading: "### Some Words" to "some-words". */
static bool has_heading(FILE *page, const char *anchor)
{
    char line[512], made[512];
    rewind(page);
    while (fgets(line, sizeof line, page)) {
        size_t used = 0;
        const char *at = line + strspn(line, "#");
        if (at == line || *at != ' ') continue;
        for (at++; *at && *at != '\n'; at++)
            if (isalnum((unsigned char)*at) || *at == '-' || *at == '_')
                made[used++] = (char)tolower((unsigned char)*at);
            else if (*at == ' ')
                made[used++] = '-';
        made[used] = '\0';
        if (strcmp(made, anchor) == 0) return true;
    }
    return false;
}

static void every_group_leads_to_a_heading(void **state)
{
    char path[4096];
    const char *root = getenv("CAISSON_SOURCE");
    snprintf(path, sizeof path, "%s/docs/sandbox.md", root ? root : ".");
    FILE *page = fopen(path, "r");
    if (!page) fail_msg("there is no docs/sandbox.md below CAISSON_SOURCE");
    for (int group = 0; group < GROUPS; group++) {
        assert_non_null(advices[group].words);
        if (!has_heading(page, advices[group].anchor)) fail_msg("docs/sandbox.md has no #%s", advices[group].anchor);
    }
    assert_false(has_heading(page, "no-such-heading"));
    fclose(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_is_a_call), cmocka_unit_test(no_call_is_in_two_groups),
        cmocka_unit_test(calls_are_told_by_their_kind), cmocka_unit_test(every_group_leads_to_a_heading)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
