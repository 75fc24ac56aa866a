/* SPDX-License-Identifier: Apache-2.0 */
/* JSON in and out with every bound in one place: size, depth, no duplicate keys, no NUL, sorted compact output. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "auto_json.h"
#include "buf.h"
#include "err.h"

enum { JSON_DEPTH = 64 }; /* arrays and objects inside one another */

/* Reads one JSON text of at most max bytes; any value may stand at the top: the caller checks its type. Refuses
 * duplicate keys, bytes that are no UTF-8, NUL in strings, numbers out of range, and more than JSON_DEPTH levels.
 * ERR_TOO_LARGE, or ERR_MALFORMED with line and column and nothing of the content. *out belongs to the caller. */
bool json_read(const char *bytes, size_t length, size_t max, json_t **out, struct err *err);

/* Adds the canonical text: keys sorted by bytes, no white space. false: the buffer is full or memory is short. */
bool json_compact(const json_t *value, struct buf *buf);

/* The first object of a list whose "name" is that text; NULL: none, or no list. Belongs to the list. */
const json_t *json_named(const json_t *list, const char *name);
