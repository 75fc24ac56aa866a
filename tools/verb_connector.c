/* SPDX-License-Identifier: Apache-2.0 */
/* Trying a connector without a daemon: caisson-trial does it, as a program of its own, since this one has no walls. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"
#include "verbs.h"

enum { WORDS = 2 * CLI_VALUES + CLI_ARGUMENTS + 4 };

/* On success this does not return: the trial's exit status is this command's. */
bool verb_connector_test(struct cli *cli, struct err *err)
{
    char program[PROGRAM_PATH], dashed[CLI_VALUES][32], json[] = "--json", stop[] = "--";
    char *words[WORDS] = {program};
    unsigned count = 1;
    if (!program_find("trial", "caisson-trial", program, err)) return false;
    if (cli->json) words[count++] = json;
    for (unsigned i = 0; i < cli->value_count; i++) {
        snprintf(dashed[i], sizeof dashed[i], "--%s", cli->values[i].option->name);
        words[count++] = dashed[i];
        words[count++] = (char *)cli->values[i].text;
    }
    words[count++] = stop;
    for (unsigned i = 0; i < cli->argument_count; i++) words[count++] = (char *)cli->arguments[i];
    words[count] = NULL;
    fflush(stdout);
    execv(program, words);
    return err_sys(err, ERR_IO, "caisson-trial cannot be started: %s", strerrordesc_np(errno));
}
