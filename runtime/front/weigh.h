/* SPDX-License-Identifier: Apache-2.0 */
/* How much a JSON text would cost to read: three bytes of text can become several hundred of memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum { JSON_VALUES_MOST = 120000 };

/* Does it have at most so many values? Counts what separates them, without reading it. */
bool json_affordable(const char *bytes, size_t length);
