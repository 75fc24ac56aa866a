/* SPDX-License-Identifier: Apache-2.0 */
/* Does each wall really hold here? Each is put up in a child, which then tries what it must not be able to do. */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct probe_results {
    bool seccomp;    /* a filter denies, and its listener's absence denies */
    bool landlock;   /* a file that can be opened outside cannot be opened inside */
    bool namespaces; /* an own root hides everything, and privileges are gone for good */
    int landlock_abi;
};

/* privileged: namespaces without a user namespace. */
void probe_walls(bool privileged, struct probe_results *found);
/* Refuses what may not be done without. lowered: the administrator does without namespaces where there are none;
 * without: the walls (bit per enum wall) that cells then do not put up. */
bool probe_judge(const struct probe_results *found, bool lowered, uint32_t *without, struct err *err);
