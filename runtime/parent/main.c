/* SPDX-License-Identifier: Apache-2.0 */
/* caissond: reads its command line and runs the parent. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run.h"

static const char usage[] = "caissond [--home DIR] [--config FILE] [--check] [--wait SECONDS] [--version] [--help]\n"
                            "  --home DIR      where keys, data and plugins.d are (default: /var/lib/caisson)\n"
                            "  --config FILE   instead of caisson.conf in the home folder\n"
                            "  --check         look whether the daemon could start, then end\n"
                            "  --wait SECONDS  for the last process of an earlier daemon (default: 10)\n";

enum { WAIT_MOST = 3600 };

static const struct option options[] = {{"home", required_argument, NULL, 'H'},
                                        {"config", required_argument, NULL, 'c'},
                                        {"check", no_argument, NULL, 'k'},
                                        {"wait", required_argument, NULL, 'w'},
                                        {"version", no_argument, NULL, 'v'},
                                        {"help", no_argument, NULL, 'h'},
                                        {0}};

static bool read_seconds(const char *text, unsigned *seconds)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    *seconds = (unsigned)value;
    return *text >= '0' && *text <= '9' && *end == '\0' && value <= WAIT_MOST;
}

/* -1: run; else the exit status. */
static int read_arguments(int argc, char **argv, struct run *run)
{
    for (int one; (one = getopt_long(argc, argv, "", options, NULL)) >= 0;) {
        switch (one) {
        case 'H': run->home = optarg; break;
        case 'c': run->config = optarg; break;
        case 'k': run->check = true; break;
        case 'w':
            if (read_seconds(optarg, &run->wait_s)) break;
            fprintf(stderr, "caissond: --wait takes a number of seconds\n");
            return err_row(ERR_USAGE)->exit;
        case 'v': puts("caissond " CAISSON_VERSION); return 0;
        case 'h': fputs(usage, stdout); return 0;
        default: fputs(usage, stderr); return err_row(ERR_USAGE)->exit;
        }
    }
    if (optind == argc) return -1;
    fprintf(stderr, "caissond: what is \"%s\"?\n%s", argv[optind], usage);
    return err_row(ERR_USAGE)->exit;
}

int main(int argc, char **argv)
{
    struct run run = {.home = "/var/lib/caisson", .wait_s = 10};
    struct err err = {0};
    int status = read_arguments(argc, argv, &run);
    if (status >= 0) return status;
    if (parent_run(&run, &err)) {
        if (run.check) puts("caissond: everything is in order");
        return 0;
    }
    fprintf(stderr, "caissond: %s\n", err.text);
    if (err.detail[0]) fprintf(stderr, "caissond: (%s)\n", err.detail);
    return err_row(err.kind)->exit;
}
