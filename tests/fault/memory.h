/* SPDX-License-Identifier: Apache-2.0 */
/* An allocator that fails when it is told to, and runs that fail each allocation in turn. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

/* Does its work; text: what came of it (freed by the run), compared with what comes of it undisturbed. */
typedef bool memory_subject(char **text, struct err *err);
/* Every allocation in turn fails, once alone and once with all after it. The work then fails with an error that does
 * not blame the input, or comes to the same; it loses no memory. */
void memory_run(const char *name, memory_subject *work);

/* Around the test's own affairs inside a subject: no allocation fails between them. */
bool memory_rest(void);
void memory_go_on(bool was);
/* The value as text; never fails by our doing. */
char *memory_json(const json_t *value);
