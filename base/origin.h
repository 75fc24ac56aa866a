/* SPDX-License-Identifier: Apache-2.0 */
/* The name of a log, whose last part counts epochs: "audit.example.org/host-a/1" is followed by "…/2". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ORIGIN_BYTES = 128 }; /* with its NUL */

/* 1 to ORIGIN_BYTES-1 printable ASCII characters, and none that notes or records would have to quote: no space, '+',
 * '"' and backslash. room: bytes that may be looked at. */
bool origin_valid(const char *origin, size_t room);
/* The number at its end; 1 where it ends with none that could be one. */
uint64_t origin_epoch(const char *origin);
/* The name of the log that follows; false: it would be too long. */
bool origin_next(const char *origin, char next[ORIGIN_BYTES]);
/* Is later the name of the same series of logs, and of the same epoch or a later one? */
bool origin_continues(const char *origin, const char *later);
