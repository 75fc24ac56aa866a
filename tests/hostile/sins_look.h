/* SPDX-License-Identifier: Apache-2.0 */
/* Searching its own memory, without finding what it was told to search for. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* What look_around looks for: the bytes xor 0x5a, in hexadecimal. 0: there is no pair of sockets to probe pages with.
 */
int look_for(const char *veiled);
/* How often they stand in the readable memory around an address, over gaps of up to 8 MiB; adds to *pages. */
long look_around(uintptr_t anchor, long *pages);
