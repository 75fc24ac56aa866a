/* SPDX-License-Identifier: Apache-2.0 */
/* The desk's own calls: those that push checkpoints of the log, as the ledger wants them. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

struct front;

/* One thread that waits for them and makes one after the other, for as long as the process lives. After the walls. */
bool pushing_start(struct front *front, struct err *err);
