/* SPDX-License-Identifier: Apache-2.0 */
/* Turns rows into a filter program: equal neighbours merged into ranges, found by binary search, then the tests. */
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>

#include "seccomp.h"

enum { X32_BIT = 0x40000000, RANGES = CALL_NUMBERS + 2 };

/* Numbers from first up to the next range's first. simple: verdict decides; else the rows of that one number. */
struct range {
    uint32_t first, verdict;
    bool simple;
};

struct maker {
    const struct call_row *rows;
    unsigned row_count, list, length, range_count;
    uint32_t otherwise;
    struct range ranges[RANGES];
    struct sock_filter *code;
};

static void put(struct maker *m, uint16_t code, uint32_t k, uint8_t yes, uint8_t no)
{
    if (m->length < BPF_ROOM) m->code[m->length] = (struct sock_filter){code, yes, no, k};
    m->length++;
}

static void put_return(struct maker *m, uint32_t verdict)
{
    put(m, BPF_RET | BPF_K, verdict, 0, 0);
}

static bool is_for(const struct maker *m, const struct call_row *row, uint32_t number)
{
    return row->number == number && (row->lists >> m->list & 1);
}

static bool has_tests(const struct call_row *row)
{
    return row->tests[0].mask != 0;
}

/* ── ranges ──────────────────────────────────────────────────────────────────────────────────────────── */

static struct range range_of(const struct maker *m, uint32_t number)
{
    for (unsigned i = 0; i < m->row_count; i++)
        if (is_for(m, &m->rows[i], number)) return (struct range){number, m->rows[i].verdict, !has_tests(&m->rows[i])};
    return (struct range){number, m->otherwise, true};
}

static void add_range(struct maker *m, struct range next)
{
    struct range *last = m->range_count ? &m->ranges[m->range_count - 1] : NULL;
    if (last && last->simple && next.simple && last->verdict == next.verdict) return;
    m->ranges[m->range_count++] = next;
}

static void make_ranges(struct maker *m)
{
    for (uint32_t number = 0; number < CALL_NUMBERS; number++) add_range(m, range_of(m, number));
    add_range(m, (struct range){CALL_NUMBERS, m->otherwise, true});
    add_range(m, (struct range){X32_BIT, SECCOMP_RET_KILL_PROCESS, true});
}

/* ── tests of one call ───────────────────────────────────────────────────────────────────────────────── */

/* One 32-bit half of a test; a half whose mask is 0 is not looked at. Jumps to be filled in: 0xff. */
static void put_half(struct maker *m, unsigned offset, uint32_t mask, uint32_t value)
{
    if (!mask) return;
    put(m, BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
    if (mask != UINT32_MAX) put(m, BPF_ALU | BPF_AND | BPF_K, mask, 0, 0);
    put(m, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 0xff);
}

/* One row: its tests, then its verdict; every failed test jumps behind it. */
static void put_row(struct maker *m, const struct call_row *row)
{
    unsigned start = m->length;
    for (unsigned i = 0; i < ROW_TESTS && row->tests[i].mask; i++) {
        const struct arg_test *test = &row->tests[i];
        unsigned low = offsetof(struct seccomp_data, args) + test->arg * 8u;
        put_half(m, low, (uint32_t)test->mask, (uint32_t)test->value);
        put_half(m, low + 4, (uint32_t)(test->mask >> 32), (uint32_t)(test->value >> 32));
    }
    put_return(m, row->verdict);
    for (unsigned i = start; i < m->length && i < BPF_ROOM; i++)
        if (BPF_CLASS(m->code[i].code) == BPF_JMP) m->code[i].jf = (uint8_t)(m->length - i - 1);
}

static void put_leaf(struct maker *m, const struct range *range)
{
    if (range->simple) {
        put_return(m, range->verdict);
        return;
    }
    for (unsigned i = 0; i < m->row_count; i++) {
        if (!is_for(m, &m->rows[i], range->first)) continue;
        put_row(m, &m->rows[i]);
        if (!has_tests(&m->rows[i])) return;
    }
    put_return(m, m->otherwise);
}

/* ── the search ──────────────────────────────────────────────────────────────────────────────────────── */

/* A jump over more than 255 instructions needs one of its own, which is inserted before what it jumps over. */
static void far_jump(struct maker *m, unsigned at)
{
    uint32_t over = m->length - at - 1;
    put(m, 0, 0, 0, 0);
    if (m->length > BPF_ROOM) return;
    memmove(&m->code[at + 2], &m->code[at + 1], over * sizeof *m->code);
    m->code[at].jt = 0;
    m->code[at].jf = 1;
    m->code[at + 1] = (struct sock_filter){BPF_JMP | BPF_JA, 0, 0, over};
}

/* The number is in the accumulator until a leaf loads an argument. Depth is log2 of the ranges. */
static void put_search(struct maker *m, unsigned from, unsigned to)
{
    if (to - from == 1) {
        put_leaf(m, &m->ranges[from]);
        return;
    }
    unsigned middle = (from + to) / 2, at = m->length;
    put(m, BPF_JMP | BPF_JGE | BPF_K, m->ranges[middle].first, 0, 0);
    put_search(m, from, middle);
    unsigned over = m->length - at - 1;
    if (over > 255)
        far_jump(m, at);
    else if (at < BPF_ROOM)
        m->code[at].jt = (uint8_t)over;
    put_search(m, middle, to);
}

bool bpf_make(const struct call_row *rows, unsigned count, unsigned list, uint32_t otherwise, struct sock_filter *code,
              unsigned *length)
{
    static struct maker m;
    m = (struct maker){.rows = rows, .row_count = count, .list = list, .otherwise = otherwise, .code = code};
    make_ranges(&m);
    put(&m, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
    put(&m, BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    put_return(&m, SECCOMP_RET_KILL_PROCESS);
    put(&m, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
    put_search(&m, 0, m.range_count);
    *length = m.length;
    return m.length <= BPF_ROOM;
}
