/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into a worker from outside. For a developer's own connector in a trial only: the daemon's runner may not do
 * this (its list kills it), and nothing of what is read decides anything. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sandbox/cell.h"

/* The pid behind a pidfd as this process sees it, 0: dead. */
pid_t look_pid(int pidfd);

/* The NUL-terminated text at that address of a process that stands still, at most size - 1 bytes of it. false: there is
 * none that can be read. */
bool look_text(pid_t pid, uint64_t address, char *text, size_t size);

/* Watches a process until its end, so that a call that killed it can be named. It runs on as if nobody did. */
bool look_watch(pid_t pid);
/* To be called whenever SIGCHLD came; true when the process is about to die of SIGSYS: attempt is the call that its
 * filter killed it for, and its memory can still be read. It then waits for look_let_go(). */
bool look_dies(pid_t pid, struct cell_attempt *attempt);
void look_let_go(pid_t pid);
