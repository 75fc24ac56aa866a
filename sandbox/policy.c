/* SPDX-License-Identifier: Apache-2.0 */
/* All walls stand. */
#include "policy.h"

const uint32_t policy_walls = (1u << WALLS) - 1;
