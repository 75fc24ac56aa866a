/* SPDX-License-Identifier: Apache-2.0 */
/* Lists that the daemon answers in pages: the first array of each, and "next" where there is more. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "api.h"
#include "cli.h"
#include "print.h"

struct pages {
    const char *path;   /* with its filters; neither limit nor cursor */
    const char *cursor; /* the parameter that "next" goes into */
    const char *from;   /* where to begin; NULL: at the start */
    const char *limit;  /* so many rows; NULL: all */
};

/* One answer with the rows of all pages. "next" is in it where there may be more than what was asked for, or more than
 * what is looked through at once. */
bool pages_get(const struct cli *cli, const struct pages *pages, json_t **answer, struct err *err);
/* Gets and prints them, and says where to go on. */
bool pages_show(const struct cli *cli, const struct pages *pages, const struct print_field *fields, const char *none,
                struct err *err);
