/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be imported, taken apart into items before anything is opened. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/ids.h"

enum { IMPORT_MOST = 1000, IMPORT_BYTES = 8 << 20 };
enum import_format { IMPORT_FERNET, IMPORT_AES_GCM };

/* One sealed thing. sealed: a token's text, or an envelope; borrowed from the list. name: "": none stands there. */
struct import_item {
    char name[NAME_BYTES];
    const json_t *sealed;
    char digest[HASH_TEXT]; /* SHA-256 of the token's text, or of the envelope with sorted keys and no white space */
};

/* The forms that a file may have: one token a line; one item; a JSON array of items; an item a line (JSON lines); an
 * object whose members' names are the items' names. An item is a token or envelope, or {"name", "token"} or {"name",
 * "envelope"}. *list: a new reference, an array of 1 to IMPORT_MOST {"name"?, "sealed"}. Names are checked, and stand
 * there once. */
bool import_split(const char *bytes, size_t length, enum import_format format, json_t **list, struct err *err);
bool import_item(const json_t *list, size_t index, struct import_item *item, struct err *err);
