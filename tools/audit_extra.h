/* SPDX-License-Identifier: Apache-2.0 */
/* What stands beside the log and must fit it: personal values, and the call table's rows. */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* *details: how many personal values were compared. */
bool audit_extra(sqlite3 *db, uint64_t *details, struct err *err);
