/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of one entry, for the registry's shelf alone. */
#pragma once

#include "registry.h"

/* The entry of one line, without its end; NULL with err: ERR_MALFORMED, ERR_BUSY for want of memory. */
struct entry *entry_parse(const char *line, size_t length, uint32_t index, struct err *err);
void entry_free(struct entry *entry); /* NULL is fine */

/* What both files say and do alike. registry_wrong always answers false. */
bool registry_wrong(struct err *err, const char *key);
bool registry_count(const json_t *object, const char *key, uint32_t *value, struct err *err); /* 0 … INT32_MAX */
void *registry_room(size_t count, size_t size, struct err *err); /* zeroed, free(); NULL with err */
