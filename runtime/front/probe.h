/* SPDX-License-Identifier: Apache-2.0 */
/* Proves at the start that a taken-over front gets nowhere: tries what must fail, inside the real walls. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "sandbox/enter.h"

/* fd: the memfd of GIVE_PROBE ({"paths": [...], "vault": pid}), or -1: nothing to try beyond the calls themselves.
 * Children of this process go behind the walls of role and try; false: one of them got through, or could not try.
 * Before the walls and before any thread. */
bool probe_walls(enum wall_role role, int fd, struct err *err);
