/* SPDX-License-Identifier: Apache-2.0 */
/* Names of system calls, for records and for people. */
#pragma once

#include <stdint.h>

enum { CALL_NAME = 64 };

/* How a call is written down. arch: AUDIT_ARCH_… and number: as the kernel reports them, the x32 bit included.
 * "openat"; one of another table says which: "i386:open", "x32:read"; a number that nobody here has heard of is
 * "syscall_463", and one of another architecture altogether "arch_c00000b7:syscall_56". Always NUL-terminated. */
void call_name(uint32_t arch, int32_t number, char name[CALL_NAME]);

/* The x86-64 number of a name, -1: there is none. */
int call_number(const char *name);
