/* SPDX-License-Identifier: Apache-2.0 */
/* Help and completion, printed from the tables. */
#include <string.h>

#include "cli.h"

static void full_name(const struct cli_verb *verb, FILE *out)
{
    fprintf(out, "%s%s%s", verb->family, verb->name ? " " : "", verb->name ? verb->name : "");
}

void cli_usage(const struct cli_verb *verb, FILE *out)
{
    fputs("caisson ", out);
    full_name(verb, out);
    if (verb->arguments[0]) fprintf(out, " %s", verb->arguments);
    if (verb->options) fputs(" [OPTIONS]", out);
    fputc('\n', out);
}

static void list_options(const struct cli_option *options, FILE *out)
{
    for (; options && options->name; options++)
        fprintf(out, "  --%s%s%s\n        %s%s.\n", options->name, options->value ? " " : "",
                options->value ? options->value : "", options->help, options->many ? "; may be repeated" : "");
}

void cli_help_verb(const struct cli_verb *verb, FILE *out)
{
    fputs("Usage: ", out);
    cli_usage(verb, out);
    fprintf(out, "%s\n", verb->help);
    if (verb->options) {
        fputs("\nOptions:\n", out);
        list_options(verb->options, out);
    }
    fputs("\nOptions of every command:\n", out);
    list_options(cli_globals, out);
}

/* The first sentence is enough for a list. */
static void list_verb(const struct cli_verb *verb, FILE *out)
{
    const char *stop = strstr(verb->help, ". ");
    int length = stop ? (int)(stop - verb->help) + 1 : (int)strlen(verb->help);
    fprintf(out, "  %s%s%-*s %.*s\n", verb->family, verb->name ? " " : "",
            (int)(20 - strlen(verb->family) - (verb->name ? 1 : 0)), verb->name ? verb->name : "", length, verb->help);
}

void cli_help_family(const char *family, FILE *out)
{
    fprintf(out, "Usage: caisson %s COMMAND …\n\n", family);
    for (const struct cli_verb *verb = cli_verbs; verb->family; verb++)
        if (strcmp(verb->family, family) == 0) list_verb(verb, out);
    fprintf(out, "\ncaisson %s COMMAND --help says more.\n", family);
}

void cli_help(FILE *out)
{
    fputs("Usage: caisson [--home DIR] [--json] COMMAND …\n\n", out);
    for (const struct cli_verb *verb = cli_verbs; verb->family; verb++) list_verb(verb, out);
    fputs("\nOptions of every command:\n", out);
    list_options(cli_globals, out);
    fputs("\ncaisson COMMAND --help says more; caisson(1) is the manual page.\n", out);
}

/* ── completion ────────────────────────────────────────────────────────────────────────────────────── */

static void option_words(const struct cli_option *options, FILE *out)
{
    for (; options && options->name; options++) fprintf(out, "--%s ", options->name);
}

/* "credential) words='set list …' ;;" once per family. */
static void family_words(FILE *out)
{
    for (const struct cli_verb *verb = cli_verbs; verb->family; verb++) {
        if (!verb->name || (verb > cli_verbs && strcmp(verb[-1].family, verb->family) == 0)) continue;
        fprintf(out, "    %s) subs='", verb->family);
        for (const struct cli_verb *sub = verb; sub->family && strcmp(sub->family, verb->family) == 0; sub++)
            fprintf(out, "%s ", sub->name);
        fputs("' ;;\n", out);
    }
}

void cli_complete_bash(FILE *out)
{
    fputs("# bash completion for caisson\n_caisson() {\n  local current=${COMP_WORDS[COMP_CWORD]} family='' sub='' "
          "subs='' options='' word i\n  for ((i = 1; i < COMP_CWORD; i++)); do\n    word=${COMP_WORDS[i]}\n"
          "    if [[ $word == --home ]]; then ((i++)); continue; fi\n    if [[ $word == -* ]]; then continue; fi\n"
          "    if [[ -z $family ]]; then family=$word; elif [[ -z $sub ]]; then sub=$word; fi\n  done\n"
          "  case $family in\n    '') subs='",
          out);
    for (const struct cli_verb *verb = cli_verbs; verb->family; verb++)
        if (verb == cli_verbs || strcmp(verb[-1].family, verb->family) != 0) fprintf(out, "%s ", verb->family);
    fputs("' ;;\n", out);
    family_words(out);
    fputs("  esac\n  case $family:$sub in\n", out);
    for (const struct cli_verb *verb = cli_verbs; verb->family; verb++) {
        fprintf(out, "    %s:%s) subs='' options='", verb->family, verb->name ? verb->name : "*");
        option_words(verb->options, out);
        fputs("' ;;\n", out);
    }
    fputs("  esac\n  if [[ $current == -* ]]; then subs=\"$options", out);
    option_words(cli_globals, out);
    fputs("\"; fi\n  if [[ -n $subs ]]; then COMPREPLY=($(compgen -W \"$subs\" -- \"$current\")); "
          "else COMPREPLY=($(compgen -f -- \"$current\")); fi\n}\ncomplete -o filenames -F _caisson caisson\n",
          out);
}
