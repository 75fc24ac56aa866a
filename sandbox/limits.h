/* SPDX-License-Identifier: Apache-2.0 */
/* The wall of numbers: resource limits of a cell, and the tighter ones of a worker. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* Before the root is gone: what the kernel kills first when memory is short. */
bool limits_oom(struct err *err);
/* The cell's, inherited: no cores, no files, no locked memory, an address space of what it has now + memory_mb. */
bool limits_cell(uint32_t memory_mb, struct err *err);
/* The worker's: descriptors, processes, processor seconds, priority. false: errno. */
bool limits_worker(uint32_t cpu_s);
