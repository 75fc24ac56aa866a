/* SPDX-License-Identifier: Apache-2.0 */
/* JSON Pointers (RFC 6901) into jansson's values. */
#ifndef CAISSON_POINTER_H
#define CAISSON_POINTER_H

#include <jansson.h>
#include <stdbool.h>

enum { POINTER_NAME = 256 };

/* Takes the next part off a pointer, unescaped; false at its end, or when it is no pointer. */
bool pointer_part(const char **at, char name[POINTER_NAME]);
/* The member or element of that name, or NULL. Borrowed. */
json_t *pointer_member(const json_t *parent, const char *name);
/* What stands there, or NULL. Borrowed. */
json_t *pointer_find(const json_t *root, const char *pointer);

#endif
