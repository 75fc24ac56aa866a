/* SPDX-License-Identifier: Apache-2.0 */
/* Where a value may come from when it must not stand in the command line. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

/* "@FILE" (also @/dev/fd/3), or "-" for standard input: all of it, up to buf's maximum. */
bool source_read(const char *from, struct buf *buf, struct err *err);
/* Asks on the terminal, without showing what is typed where secret. ERR_USAGE where there is no terminal. */
bool source_prompt(const char *question, bool secret, struct buf *buf, struct err *err);
/* Takes one line break off the end. */
void source_chomp(struct buf *buf);
/* No core dump and no debugger while secrets are in memory. */
void source_shield(void);
