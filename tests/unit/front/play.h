/* SPDX-License-Identifier: Apache-2.0 */
/* The played ledger and runner: threads that answer what the front sends on its lines. */
#pragma once

#include "harness.h"

#define HEX16 "0123456789abcdef"
#define HEX64 HEX16 HEX16 HEX16 HEX16

void *play_ledger(void *play);
void *play_runner(void *play);
/* Sends the front another end; the lock is held. */
int play_new_ledger_line(struct play *play, uint32_t index);
