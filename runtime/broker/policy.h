/* SPDX-License-Identifier: Apache-2.0 */
/* May this call dial that host? The entry's rules (manifest ∩ grant) and the credential's audience decide. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "name.h"
#include "runtime/registry.h"

#define SCHEME_BIT(scheme) (1u << (scheme))

/* audience: host names, one a line; "" = no narrowing. Of the rules that match, the most specific ones count (an exact
 * host before "*.domain" before "*", then a given port before any); *schemes gets their schemes as bits (SCHEME_BIT).
 * false: ERR_DENIED with the reason. */
bool policy_allows(const struct entry *entry, const char *audience, const struct name *name, uint16_t port,
                   unsigned *schemes, struct err *err);
