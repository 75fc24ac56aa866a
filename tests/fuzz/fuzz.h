/* SPDX-License-Identifier: Apache-2.0 */
/* What every fuzz target has: the entry point, and a check that ends the run when a promise is broken. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)
