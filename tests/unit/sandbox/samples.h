/* SPDX-License-Identifier: Apache-2.0 */
/* What the filters are asked in tests: every number, x32 numbers, foreign architectures; and for calls whose arguments
 * a row looks at, every row's values, each of their 64 bits turned over, and noise wherever nobody looks. */
#pragma once

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "sandbox/seccomp.h"

enum { X32_FIRST = 0x40000000, NUMBERS_TRIED = CALL_NUMBERS + 8 };

struct samples {
    struct seccomp_data *all;
    unsigned count, room;
};

static inline uint64_t next_random(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

static inline void samples_add(struct samples *samples, const struct seccomp_data *data)
{
    if (samples->count == samples->room) {
        samples->room = samples->room ? samples->room * 2 : 4096;
        samples->all = realloc(samples->all, samples->room * sizeof *samples->all);
        if (!samples->all) abort();
    }
    samples->all[samples->count++] = *data;
}

static inline void samples_clear(struct samples *samples)
{
    free(samples->all);
    *samples = (struct samples){0};
}

static inline bool row_tests(const struct call_row *row, uint32_t number)
{
    return row->number == number && row->tests[0].mask;
}

/* What a row asks for; bits that it leaves free are all clear or all set, and nobody's arguments are noise. */
static inline struct seccomp_data row_sample(const struct call_row *row, bool free_bits)
{
    struct seccomp_data data = {.nr = row->number, .arch = AUDIT_ARCH_X86_64};
    for (int i = 0; i < 6; i++) data.args[i] = next_random();
    for (unsigned t = 0; t < ROW_TESTS && row->tests[t].mask; t++)
        data.args[row->tests[t].arg] = row->tests[t].value | (free_bits ? ~row->tests[t].mask : 0);
    return data;
}

/* Which arguments of this call any row looks at: bit per argument. */
static inline unsigned looked_at(const struct call_row *rows, unsigned count, uint32_t number)
{
    unsigned found = 0;
    for (unsigned i = 0; i < count; i++)
        for (unsigned t = 0; row_tests(&rows[i], number) && t < ROW_TESTS && rows[i].tests[t].mask; t++)
            found |= 1u << rows[i].tests[t].arg;
    return found;
}

static inline void add_flips(struct samples *samples, struct seccomp_data data, unsigned arguments)
{
    samples_add(samples, &data);
    for (int arg = 0; arg < 6; arg++)
        for (int bit = 0; (arguments >> arg & 1) && bit < 64; bit++) {
            data.args[arg] ^= UINT64_C(1) << bit;
            samples_add(samples, &data);
            data.args[arg] ^= UINT64_C(1) << bit;
        }
}

/* One row's values with an argument of another's: alternatives must not be mixed. */
static inline void add_mixed(struct samples *samples, const struct seccomp_data *base, const struct call_row *other)
{
    for (unsigned t = 0; t < ROW_TESTS && other->tests[t].mask; t++) {
        struct seccomp_data data = *base;
        data.args[other->tests[t].arg] = other->tests[t].value;
        samples_add(samples, &data);
        data.args[other->tests[t].arg] |= next_random() << 32;
        samples_add(samples, &data);
    }
}

static inline void add_number(struct samples *samples, const struct call_row *rows, unsigned count, uint32_t number)
{
    unsigned arguments = looked_at(rows, count, number);
    struct seccomp_data plain = {.nr = (int)number, .arch = AUDIT_ARCH_X86_64}, ones = plain, noise = plain;
    for (int i = 0; i < 6; i++) ones.args[i] = UINT64_MAX, noise.args[i] = next_random();
    add_flips(samples, plain, arguments);
    samples_add(samples, &ones);
    samples_add(samples, &noise);
    /* What is right for another call: a number that is sent to the wrong place would be let through by it. */
    for (unsigned i = 0; i < count; i++) {
        struct seccomp_data stray = row_sample(&rows[i], false);
        stray.nr = (int)number;
        if (rows[i].tests[0].mask) samples_add(samples, &stray);
    }
    for (unsigned i = 0; i < count; i++)
        for (int set = 0; row_tests(&rows[i], number) && set < 2; set++) {
            struct seccomp_data base = row_sample(&rows[i], set);
            add_flips(samples, base, arguments);
            for (unsigned j = 0; j < count; j++)
                if (j != i && row_tests(&rows[j], number)) add_mixed(samples, &base, &rows[j]);
        }
}

static inline void add_foreign(struct samples *samples)
{
    static const uint32_t archs[] = {AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64,   AUDIT_ARCH_ARM, 0,
                                     UINT32_MAX,      AUDIT_ARCH_X86_64 ^ 1};
    static const int odd[] = {-1, 0x7fffffff, INT32_MIN, INT32_MIN + 1, X32_FIRST - 1, 4096, 65536};
    for (unsigned i = 0; i < sizeof archs / sizeof *archs; i++)
        for (int number = 0; number <= NUMBERS_TRIED; number++)
            samples_add(samples, &(struct seccomp_data){.nr = number, .arch = archs[i]});
    for (int number = 0; number <= NUMBERS_TRIED; number++)
        samples_add(samples, &(struct seccomp_data){.nr = X32_FIRST + number, .arch = AUDIT_ARCH_X86_64});
    for (unsigned i = 0; i < sizeof odd / sizeof *odd; i++)
        samples_add(samples, &(struct seccomp_data){.nr = odd[i], .arch = AUDIT_ARCH_X86_64});
}

static inline void samples_make(struct samples *samples, const struct call_row *rows, unsigned count)
{
    for (uint32_t number = 0; number <= NUMBERS_TRIED; number++) add_number(samples, rows, count, number);
    add_foreign(samples);
}
