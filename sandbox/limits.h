/* SPDX-License-Identifier: Apache-2.0 */
/* The wall of numbers: resource limits of a cell, and the tighter ones of a worker. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Before the root is gone: what the kernel kills first when memory is short. */
bool limits_oom(struct err *err);
/* The cell's, inherited: no cores, no files, no locked memory, an address space of what it has now + memory_mb. */
bool limits_cell(uint32_t memory_mb, struct err *err);
/* The worker's: processes, processor seconds, priority. false: errno. */
bool limits_worker(uint32_t cpu_s);
/* From the cell, once the listener has been handed over: descriptors. A process may pass a descriptor on only while its
 * user has no more of them under way than its own limit, so a worker with a low one could fail at the hand-over. */
bool limits_descriptors(pid_t worker);
