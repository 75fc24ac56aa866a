/* SPDX-License-Identifier: Apache-2.0 */
/* Proves at the start that a taken-over role gets nowhere: tries, from inside the real walls, what must fail. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "runtime/role.h"
#include "sandbox/enter.h"

/* Takes the list of GIVE_PROBE ({"paths": […], "vault": pid}; without it only the calls themselves are tried). Children
 * of this process go behind the walls of that role, all at the same time, and try one thing each: for many of them the
 * answer is death, which a process cannot observe on itself. false: one got through, or could not try.
 * Call it before the walls and before any thread. */
bool reach_prove(struct role *role, enum wall_role walls, const int *folders, int folder_count, struct err *err);
