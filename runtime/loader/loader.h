/* SPDX-License-Identifier: Apache-2.0 */
/* The loader as a role: what main() hands to role_main(). */
#pragma once

#include "runtime/role.h"

extern const struct role_part loader_part;
