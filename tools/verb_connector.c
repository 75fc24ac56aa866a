/* SPDX-License-Identifier: Apache-2.0 */
/* Trying a connector without a daemon: caisson-trial does it, as a program of its own, since this one has no walls. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "verbs.h"

enum { PROGRAM_PATH = 4096, WORDS = 2 * CLI_VALUES + CLI_ARGUMENTS + 4 };

/* Installed beside the daemon's other parts, or in the build folder that this command stands in. */
static bool find_trial(char path[PROGRAM_PATH], struct err *err)
{
    static const char *const places[] = {CAISSON_LIBEXEC, "../runtime/trial"};
    char folder[PROGRAM_PATH / 2];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
    if (length <= 0) return err_sys(err, ERR_IO, "this program cannot find its own place: is /proc mounted?");
    folder[length] = '\0';
    *strrchr(folder, '/') = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        bool whole = places[i][0] == '/';
        snprintf(path, PROGRAM_PATH, "%s%s%s/caisson-trial", whole ? "" : folder, whole ? "" : "/", places[i]);
        if (access(path, X_OK) == 0) return true;
    }
    return err_set(err, ERR_NOT_FOUND, "caisson-trial is not installed");
}

/* On success this does not return: the trial's exit status is this command's. */
bool verb_connector_test(struct cli *cli, struct err *err)
{
    char program[PROGRAM_PATH], dashed[CLI_VALUES][32], json[] = "--json", stop[] = "--";
    char *words[WORDS] = {program};
    unsigned count = 1;
    if (!find_trial(program, err)) return false;
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
