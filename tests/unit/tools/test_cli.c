/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: what is understood, what is refused; help, completion and manual page tell the same. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../base/unit.h"
#include "base/buf.h"
#include "tools/cli.h"
#include "tools/home.h"

enum { WORDS = 24 };

/* Splits at blanks; no quoting is needed here. */
static bool parse(const char *line, struct cli *cli, struct err *err)
{
    static char text[1024];
    static char *words[WORDS];
    int count = 0;
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) words[count++] = word;
    words[count] = NULL;
    return cli_parse(count, words, cli, err);
}

static void verbs_options_and_arguments_are_told_apart(void **state)
{
    struct cli cli;
    struct err err = {0};
    assert_true(parse("caisson --home /h credential set mail --connector=email --audience a --audience b user=x -- --y",
                      &cli, &err));
    assert_string_equal(cli.verb->family, "credential");
    assert_string_equal(cli.verb->name, "set");
    assert_string_equal(cli.home_option, "/h");
    assert_int_equal(cli.argument_count, 3);
    assert_string_equal(cli.arguments[0], "mail");
    assert_string_equal(cli.arguments[1], "user=x");
    assert_string_equal(cli.arguments[2], "--y");
    assert_string_equal(cli_value(&cli, "connector"), "email");
    assert_null(cli_value(&cli, "workspace"));
    unsigned at = 0;
    assert_string_equal(cli_next(&cli, "audience", &at), "a");
    assert_string_equal(cli_next(&cli, "audience", &at), "b");
    assert_null(cli_next(&cli, "audience", &at));
}

static void globals_stand_anywhere(void **state)
{
    struct cli cli;
    struct err err = {0};
    assert_true(parse("caisson --json status --home x", &cli, &err));
    assert_true(cli.json);
    assert_string_equal(cli.home_option, "x");
    assert_true(parse("caisson call a b --input - --json", &cli, &err));
    assert_true(cli.json);
    assert_string_equal(cli_value(&cli, "input"), "-");
    assert_true(parse("caisson calls", &cli, &err));
    assert_string_equal(cli.verb->name, "list");
    assert_true(parse("caisson plugin enable --help", &cli, &err));
    assert_true(cli.help);
    assert_true(parse("caisson --version", &cli, &err));
    assert_true(cli.version);
}

static void wrong_lines_are_refused(void **state)
{
    static const struct {
        const char *line, *says;
    } cases[] = {
        {"caisson", "what is to be done"},
        {"caisson frob", "no command frob"},
        {"caisson credential frob", "no command credential frob"},
        {"caisson audit", "one more word"},
        {"caisson status extra", "one argument too many"},
        {"caisson credential set", "an argument is missing"},
        {"caisson call a", "an argument is missing"},
        {"caisson status --now", "no option --now here"},
        {"caisson freeze --now=1", "--now takes no value"},
        {"caisson freeze --now --now", "--now is given twice"},
        {"caisson call a b --input", "--input wants JSON"},
        {"caisson call a b --key k --key l", "--key is given twice"},
        {"caisson -x status", "no option -x"},
        {"caisson --home", "--home wants DIR"},
        {"caisson --homer x status", "no option --homer"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct cli cli;
        struct err err = {0};
        assert_false(parse(cases[i].line, &cli, &err));
        assert_int_equal(err.kind, ERR_USAGE);
        if (!strstr(err.text, cases[i].says)) fail_msg("%s: %s", cases[i].line, err.text);
    }
}

static void rows_are_sound(void **state)
{
    for (const struct cli_verb *verb = cli_verbs; verb->family; verb++) {
        assert_non_null(verb->run);
        assert_true(verb->least <= verb->most && verb->most <= CLI_ARGUMENTS);
        assert_int_equal(verb->help[strlen(verb->help) - 1], '.');
        assert_int_equal(verb->most == 0, verb->arguments[0] == '\0');
        for (const struct cli_option *option = verb->options; option && option->name; option++) {
            assert_true(option->value || !option->many);
            for (const struct cli_option *global = cli_globals; global->name; global++)
                assert_string_not_equal(option->name, global->name);
        }
    }
}

/* ── manual page and completion ────────────────────────────────────────────────────────────────────── */

/* The page without markup, every run of white space one blank. */
static char *plain_page(void)
{
    const char *root = getenv("CAISSON_SOURCE");
    char path[4096];
    snprintf(path, sizeof path, "%s/man/caisson.1.scd", root ? root : ".");
    FILE *file = fopen(path, "r");
    if (!file) fail_msg("there is no man/caisson.1.scd below CAISSON_SOURCE");
    static char page[128 * 1024];
    size_t used = 0;
    for (int c, before = ' '; (c = fgetc(file)) != EOF && used < sizeof page - 1;) {
        if (c == '\\')
            c = fgetc(file);
        else if (c == '*' || c == '_')
            continue;
        if (isspace(c)) c = ' ';
        if (c == ' ' && before == ' ') continue;
        page[used++] = (char)c;
        before = c;
    }
    fclose(file);
    page[used] = '\0';
    return page;
}

static void expect_in(const char *page, const char *text)
{
    if (!strstr(page, text)) fail_msg("man/caisson.1.scd lacks: %s", text);
}

static void the_manual_page_says_what_help_says(void **state)
{
    const char *page = plain_page();
    for (const struct cli_verb *verb = cli_verbs; verb->family; verb++) {
        char text[1024];
        snprintf(text, sizeof text, "caisson %s%s%s%s%s%s %s", verb->family, verb->name ? " " : "",
                 verb->name ? verb->name : "", verb->arguments[0] ? " " : "", verb->arguments,
                 verb->options ? " [OPTIONS]" : "", verb->help);
        expect_in(page, text);
        for (const struct cli_option *option = verb->options; option && option->name; option++) {
            snprintf(text, sizeof text, "--%s%s%s %s%s.", option->name, option->value ? " " : "",
                     option->value ? option->value : "", option->help, option->many ? "; may be repeated" : "");
            expect_in(page, text);
        }
    }
}

static void the_manual_page_lists_every_exit_status(void **state)
{
    const char *page = plain_page();
    for (unsigned kind = 0; kind < ERR_KINDS; kind++) {
        char text[400];
        snprintf(text, sizeof text, "%s: %s", err_row((enum err_kind)kind)->slug, err_row((enum err_kind)kind)->title);
        expect_in(page, text);
    }
}

static void completion_names_every_verb_and_option(void **state)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    cli_complete_bash(out);
    fclose(out);
    for (const struct cli_verb *verb = cli_verbs; verb->family; verb++) {
        char row[256];
        snprintf(row, sizeof row, "%s:%s)", verb->family, verb->name ? verb->name : "*");
        const char *at = strstr(text, row);
        assert_non_null(at);
        for (const struct cli_option *option = verb->options; option && option->name; option++) {
            snprintf(row, sizeof row, "--%s ", option->name);
            const char *found = strstr(at, row);
            assert_non_null(found);
            assert_true(found < strchr(at, '\n'));
        }
    }
    free(text);
}

/* ── the home folder ───────────────────────────────────────────────────────────────────────────────── */

static bool takes_the_one_here(void)
{
    struct home home;
    struct err err = {0};
    assert_true(home_find(NULL, &home, &err));
    if (strcmp(home.path, "/var/lib/caisson") == 0) return false;
    assert_string_equal(home.path + strlen(home.path) - 5, "/home");
    return true;
}

/* In a folder where everybody may write, ./home may be anybody's. */
static void a_planted_home_is_passed_over(void **state)
{
    char folder[] = "/tmp/caisson-cli-XXXXXX", before[4096];
    assert_non_null(getcwd(before, sizeof before));
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    unsetenv("CAISSON_HOME");
    assert_false(takes_the_one_here());
    assert_int_equal(mkdir("home", 0755), 0);
    FILE *file = fopen("home/caisson.conf", "w");
    assert_true(file && fclose(file) == 0 && chmod("home/caisson.conf", 0644) == 0);
    assert_true(takes_the_one_here());
    assert_int_equal(chmod("home/caisson.conf", 0666), 0);
    assert_false(takes_the_one_here());
    assert_int_equal(chmod("home/caisson.conf", 0644), 0);
    assert_int_equal(chmod("home", 0777), 0);
    assert_false(takes_the_one_here());
    assert_int_equal(chmod("home", 0755), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown("home", 65534, 65534), 0);
        assert_false(takes_the_one_here());
    }
    unlink("home/caisson.conf");
    rmdir("home");
    assert_int_equal(chdir(before), 0);
    rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verbs_options_and_arguments_are_told_apart),
        cmocka_unit_test(globals_stand_anywhere),
        cmocka_unit_test(wrong_lines_are_refused),
        cmocka_unit_test(rows_are_sound),
        cmocka_unit_test(the_manual_page_says_what_help_says),
        cmocka_unit_test(the_manual_page_lists_every_exit_status),
        cmocka_unit_test(completion_names_every_verb_and_option),
        cmocka_unit_test(a_planted_home_is_passed_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
