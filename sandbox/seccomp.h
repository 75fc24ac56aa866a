/* SPDX-License-Identifier: Apache-2.0 */
/* System call filters: made from the tables of syscalls.h when the daemon is built, so that every program carries them
 * ready in its read-only data; installed with a raw call. */
#pragma once

#include <linux/filter.h>
#include <stdint.h>

#include "base/err.h"

/* Who a row is for: one bit per role (enum wall_role), then the cell's kill list, the worker's list, and that of the
 * child which reads a plugin's headers. */
enum { LIST_ROLES = 10, LIST_A = LIST_ROLES, LIST_L, LIST_HEADERS, LISTS };

enum { ROW_TESTS = 3, BPF_ROOM = 1024, CALL_NUMBERS = 512 };

/* Holds when (args[arg] & mask) == value, over all 64 bits. mask 0: no test. */
struct arg_test {
    uint8_t arg;
    uint64_t mask, value;
};

/* The first row of a call whose tests all hold decides; no row: the list's own default. */
struct call_row {
    uint16_t number;
    uint16_t lists;   /* bit per list */
    uint32_t verdict; /* SECCOMP_RET_… */
    struct arg_test tests[ROW_TESTS];
    const char *why;
};

struct policy_list {
    const char *name;
    uint32_t otherwise; /* for numbers without a row, and rows whose tests fail */
};

/* A program as the kernel takes it. */
struct seccomp_program {
    const struct sock_filter *code;
    unsigned length; /* instructions */
};
/* By list: constant data, generated at build time (make_filters.c). */
extern const struct seccomp_program seccomp_ready[LISTS];

/* The tables and the generator: at build time, and in tests. No program of the daemon has them in it. */
const struct call_row *seccomp_rows(unsigned *count);
const struct policy_list *seccomp_list(unsigned list);
/* Makes the program of one list from count rows. false: it does not fit. */
bool bpf_make(const struct call_row *rows, unsigned count, unsigned list, uint32_t otherwise, struct sock_filter *code,
              unsigned *length);
/* The same from the built-in tables. */
bool seccomp_make(unsigned list, struct sock_filter code[BPF_ROOM], unsigned *length);

/* Installs a ready program on this thread and all others of the process. */
bool seccomp_install(const struct sock_filter *code, unsigned length, struct err *err);
/* Installs the worker's: returns the listener's descriptor (close-on-exec), or -1 with errno. */
int seccomp_listen(const struct sock_filter *code, unsigned length);
