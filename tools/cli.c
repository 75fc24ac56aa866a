/* SPDX-License-Identifier: Apache-2.0 */
/* Parsing the command line by its tables, and running the verb that was found. */
#include "cli.h"

#include <string.h>

#include "api.h"
#include "print.h"

const struct cli_option cli_globals[] = {
    {"home", "DIR", "The home folder; else $CAISSON_HOME, else ./home, else /var/lib/caisson", false},
    {"json", NULL, "Print what the API answered, as JSON", false},
    {"help", NULL, "Print help", false},
    {"version", NULL, "Print the version", false},
    {NULL, NULL, NULL, false},
};

static const struct cli_option *find_option(const struct cli_option *options, const char *name, size_t length)
{
    for (; options && options->name; options++)
        if (strlen(options->name) == length && strncmp(options->name, name, length) == 0) return options;
    return NULL;
}

static bool take_global(struct cli *cli, const struct cli_option *option, const char *value)
{
    const char *name = option->name;
    if (strcmp(name, "home") == 0) cli->home_option = value;
    cli->json |= strcmp(name, "json") == 0;
    cli->help |= strcmp(name, "help") == 0;
    cli->version |= strcmp(name, "version") == 0;
    return true;
}

static bool keep_value(struct cli *cli, const struct cli_option *option, const char *value, struct err *err)
{
    if (!option->many && cli_value(cli, option->name))
        return err_set(err, ERR_USAGE, "--%s is given twice", option->name);
    if (cli->value_count == CLI_VALUES) return err_set(err, ERR_USAGE, "too many options");
    cli->values[cli->value_count].option = option;
    cli->values[cli->value_count++].text = value;
    return true;
}

/* "--name", "--name=value" or "--name value". *used: how many words it took. */
static bool take_option(struct cli *cli, char **words, int left, int *used, struct err *err)
{
    const char *name = words[0] + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const struct cli_option *global = find_option(cli_globals, name, length);
    const struct cli_option *option = global;
    if (!option && cli->verb) option = find_option(cli->verb->options, name, length);
    if (!option)
        return err_set(err, ERR_USAGE, "there is no option --%.*s here", (int)(length < 40 ? length : 40), name);

    const char *value = "";
    *used = 1;
    if (!option->value && equals) return err_set(err, ERR_USAGE, "--%s takes no value", option->name);
    if (option->value && equals)
        value = equals + 1;
    else if (option->value && left < 2)
        return err_set(err, ERR_USAGE, "--%s wants %s", option->name, option->value);
    else if (option->value)
        value = words[1], *used = 2;
    return global ? take_global(cli, option, value) : keep_value(cli, option, value, err);
}

static bool has_subverbs(const char *family)
{
    for (const struct cli_verb *verb = cli_verbs; verb->family; verb++)
        if (strcmp(verb->family, family) == 0 && verb->name) return true;
    return false;
}

static const struct cli_verb *find_verb(const char *family, const char *name)
{
    for (const struct cli_verb *verb = cli_verbs; verb->family; verb++) {
        bool same = verb->name && name ? strcmp(verb->name, name) == 0 : !verb->name && !name;
        if (same && strcmp(verb->family, family) == 0) return verb;
    }
    return NULL;
}

static bool known_family(const char *family)
{
    return has_subverbs(family) || find_verb(family, NULL);
}

/* A word that is no option: first the verb, then its arguments. */
static bool take_word(struct cli *cli, const char *word, const char **family, struct err *err)
{
    if (cli->verb) {
        if (cli->argument_count >= CLI_ARGUMENTS || cli->argument_count >= cli->verb->most)
            return err_set(err, ERR_USAGE, "one argument too many");
        cli->arguments[cli->argument_count++] = word;
        return true;
    }
    if (!*family && !known_family(word)) return err_set(err, ERR_USAGE, "there is no command %.40s", word);
    if (!*family && has_subverbs(word)) {
        *family = word;
        return true;
    }
    cli->verb = *family ? find_verb(*family, word) : find_verb(word, NULL);
    return cli->verb || err_set(err, ERR_USAGE, "there is no command %s %.40s", *family, word);
}

/* What "caisson calls" means: the family's list, where there is one. */
static const struct cli_verb *usual_verb(const char *family)
{
    return family ? find_verb(family, "list") : NULL;
}

static bool complete(struct cli *cli, const char *family, struct err *err)
{
    if (cli->version) return true;
    if (!cli->verb && cli->help) {
        cli->home_option = NULL;
        if (family) cli->arguments[cli->argument_count++] = family; /* help of this family */
        return true;
    }
    if (!cli->verb) cli->verb = usual_verb(family);
    if (!cli->verb && family) return err_set(err, ERR_USAGE, "caisson %s wants one more word", family);
    if (!cli->verb) return err_set(err, ERR_USAGE, "what is to be done?");
    if (!cli->help && cli->argument_count < cli->verb->least) return err_set(err, ERR_USAGE, "an argument is missing");
    return true;
}

static bool take_all(int count, char **words, struct cli *cli, const char **family, struct err *err)
{
    bool options = true;
    for (int i = 1, used; i < count; i += used) {
        used = 1;
        if (options && strcmp(words[i], "--") == 0)
            options = false;
        else if (options && strcmp(words[i], "-h") == 0)
            cli->help = true;
        else if (options && strncmp(words[i], "--", 2) == 0) {
            if (!take_option(cli, words + i, count - i, &used, err)) return false;
        } else if (options && words[i][0] == '-' && words[i][1])
            return err_set(err, ERR_USAGE, "there is no option %.20s", words[i]);
        else if (!take_word(cli, words[i], family, err))
            return false;
    }
    return true;
}

bool cli_parse(int count, char **words, struct cli *cli, struct err *err)
{
    const char *family = NULL;
    *cli = (struct cli){0};
    return take_all(count, words, cli, &family, err) && complete(cli, family, err);
}

const char *cli_value(const struct cli *cli, const char *name)
{
    for (unsigned i = cli->value_count; i > 0; i--)
        if (strcmp(cli->values[i - 1].option->name, name) == 0) return cli->values[i - 1].text;
    return NULL;
}

const char *cli_next(const struct cli *cli, const char *name, unsigned *at)
{
    while (*at < cli->value_count) {
        unsigned i = (*at)++;
        if (strcmp(cli->values[i].option->name, name) == 0) return cli->values[i].text;
    }
    return NULL;
}

/* ── the whole command ─────────────────────────────────────────────────────────────────────────────── */

static int fail(const struct cli *cli, const struct err *err)
{
    fflush(stdout);
    print_failure(err, api_problem(err), cli->json);
    if (err->kind == ERR_USAGE && !cli->json) {
        fputs("Usage: ", stderr);
        if (cli->verb)
            cli_usage(cli->verb, stderr);
        else
            fputs("caisson COMMAND …; caisson --help lists the commands\n", stderr);
    }
    return err_row(err->kind)->exit;
}

static int help(const struct cli *cli)
{
    if (cli->version)
        puts("caisson " CAISSON_VERSION);
    else if (cli->verb)
        cli_help_verb(cli->verb, stdout);
    else if (cli->argument_count)
        cli_help_family(cli->arguments[0], stdout);
    else
        cli_help(stdout);
    return 0;
}

int cli_main(int count, char **words)
{
    struct cli cli;
    struct err err = {0};
    if (!cli_parse(count, words, &cli, &err)) return fail(&cli, &err);
    if (cli.help || cli.version) return help(&cli);
    if (!home_find(cli.home_option, &cli.home, &err) || !cli.verb->run(&cli, &err)) return fail(&cli, &err);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        err_sys(&err, ERR_IO, "the output could not be written completely");
        return fail(&cli, &err);
    }
    return cli.status;
}
