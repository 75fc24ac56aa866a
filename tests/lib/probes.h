/* SPDX-License-Identifier: Apache-2.0 */
/* The probes of vectors/merkle-rfc6962, which nobody on this project wrote: read here, judged by who has a checker. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { PROBE_HASH = 32, PROBE_HASHES = 64 };

struct probe {
    bool inclusion;                              /* else consistency */
    uint64_t first, second;                      /* index and tree size, or the two sizes */
    uint8_t other[PROBE_HASH], root[PROBE_HASH]; /* leaf and root, or the two roots */
    uint8_t proof[PROBE_HASHES][PROBE_HASH];
    unsigned count;
};

/* Is that proof good? */
typedef bool probe_judge(const struct probe *probe);

/* Fails the test at the first probe that is judged wrongly; what no proof file could hold counts as refused. kind:
 * "inclusion" or "consistency". Returns how many there are, 0 without CAISSON_TEST_DATA; *good: how many are true. */
unsigned probes_run(const char *kind, probe_judge *judge, unsigned *good);
