/* SPDX-License-Identifier: Apache-2.0 */
/* A cell without some of its walls: what the tests of the others compare with. */
#include "sandbox/policy.h"

#define NO(wall) (1u << (wall))
const uint32_t policy_walls = ((1u << WALLS) - 1) & ~(MISSING);
