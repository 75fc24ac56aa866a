/* SPDX-License-Identifier: Apache-2.0 */
/* A credential's audience: hosts in their one canonical form, because it is bound into the ciphertext. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "runtime/messages.h"

enum { AUDIENCE_HOSTS = 16 };

/* Lower case, no dot at the end, sorted by bytes, no doubles, joined by newlines, none at the end. Host names with
 * other letters than ASCII's are given in their xn-- form; addresses are taken as they are written. */
bool audience_text(const char *const *hosts, size_t count, char text[AUDIENCE_MAX], struct err *err);
/* The same from what the daemon told: an array of hosts, or one string with newlines. NULL: none. */
bool audience_of(const json_t *told, char text[AUDIENCE_MAX], struct err *err);
/* The lines as an array; a new reference. */
json_t *audience_list(const char *text);
