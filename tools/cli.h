/* SPDX-License-Identifier: Apache-2.0 */
/* The command line as tables: one row per verb, one row per option; parsing, help, completion and the manual page's
 * test all read the same rows. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"
#include "home.h"

struct cli;

struct cli_option {
    const char *name;  /* without the two dashes */
    const char *value; /* what stands behind it, in capitals; NULL: a switch */
    const char *help;  /* one sentence, without its full stop */
    bool many;         /* may be given more than once */
};

/* options and globals end with a NULL name. */
struct cli_verb {
    const char *family, *name; /* name NULL: the family is the verb */
    const char *arguments;     /* as they stand in the usage line */
    unsigned least, most;      /* how many arguments */
    bool (*run)(struct cli *cli, struct err *err);
    const char *help; /* one sentence with its full stop */
    const struct cli_option *options;
};

enum { CLI_VALUES = 64, CLI_ARGUMENTS = 64 };

/* A command line that was understood. All texts belong to argv. */
struct cli {
    const struct cli_verb *verb; /* NULL: help of the whole command is wanted */
    bool help, json, version;
    int status; /* what a verb that did its work ends with; usually 0 */
    const char *home_option;
    struct home home;
    struct {
        const struct cli_option *option;
        const char *text;
    } values[CLI_VALUES];
    const char *arguments[CLI_ARGUMENTS];
    unsigned value_count, argument_count;
};

extern const struct cli_verb cli_verbs[]; /* ends with a NULL family */
extern const struct cli_option cli_globals[];

/* ERR_USAGE says what is wrong and where help is to be had. */
bool cli_parse(int count, char **words, struct cli *cli, struct err *err);

/* The last value of an option, NULL when it was not given; "" for a switch that was. */
const char *cli_value(const struct cli *cli, const char *name);
/* The value after that one, in order: start with 0; *at moves on. NULL: no more. */
const char *cli_next(const struct cli *cli, const char *name, unsigned *at);

/* "caisson credential set NAME FIELD=… [OPTIONS]" */
void cli_usage(const struct cli_verb *verb, FILE *out);
void cli_help_verb(const struct cli_verb *verb, FILE *out);
void cli_help(FILE *out);
/* The verbs of one family, or all. */
void cli_help_family(const char *family, FILE *out);
void cli_complete_bash(FILE *out);

/* The whole command: parse, find the home folder, run, print the error. Returns the exit status. */
int cli_main(int count, char **words);
