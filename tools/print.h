/* SPDX-License-Identifier: Apache-2.0 */
/* What the command shows: aligned text for people, JSON for programs. Texts that others wrote (connectors, callers,
 * manifests) are tamed: nothing moves a cursor or turns the direction of writing. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

/* A column or line: its title and the member that it shows; "a/b" looks inside a, "a|b" takes b where there
 * is no a. */
struct print_field {
    const char *title, *member;
};

/* Rows of the array; fields ends with a NULL title. An empty array prints the words of none. */
void print_rows(const json_t *rows, const struct print_field *fields, const char *none);
/* One "title: value" a line; members that are absent are left out. */
void print_fields(const json_t *object, const struct print_field *fields);
/* The first array among the members, or the array itself; NULL: none. */
const json_t *print_list(const json_t *answer);
/* Pretty, keys as they came, and a newline; what could play tricks on a terminal stands as \uXXXX. */
void print_json(const json_t *value);
/* The text without what could play tricks on a terminal. print_tamed: a copy to free(), NULL without memory. */
char *print_tamed(const char *text);
void print_tame(const char *text, FILE *out);
/* On standard error: "caisson: …", or problem details as JSON: the daemon's own where there are some. */
void print_failure(const struct err *err, const json_t *problem, bool json);
