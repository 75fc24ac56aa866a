/* SPDX-License-Identifier: Apache-2.0 */
/* The filters answer, for every call number and telling arguments, what the tables say; and what libseccomp makes of
 * the same policy answers the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <linux/audit.h>
#include <seccomp.h>

#include "bpf_run.h"
#include "sandbox/seccomp.h"

enum { SAMPLES = 4096, ROWS_MAX = 512 };

/* What the rows mean, said as plainly as possible. */
static uint32_t verdict_of(const struct call_row *rows, unsigned count, unsigned list, uint32_t otherwise,
                           const struct seccomp_data *data)
{
    if (data->arch != AUDIT_ARCH_X86_64 || (uint32_t)data->nr >= 0x40000000) return SECCOMP_RET_KILL_PROCESS;
    for (unsigned i = 0; i < count; i++) {
        if (rows[i].number != (uint32_t)data->nr || !(rows[i].lists >> list & 1)) continue;
        bool holds = true;
        for (unsigned t = 0; t < ROW_TESTS; t++) {
            const struct arg_test *test = &rows[i].tests[t];
            if (test->mask && (data->args[test->arg] & test->mask) != test->value) holds = false;
        }
        if (holds) return rows[i].verdict;
    }
    return otherwise;
}

static uint64_t next_random(void)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state;
}

/* Arguments that a row's tests look at: exact, one bit off in either half, and random. */
static void set_args(const struct call_row *rows, unsigned count, struct seccomp_data *data, unsigned sample)
{
    for (int i = 0; i < 6; i++) data->args[i] = sample % 3 == 0 ? 0 : next_random() >> (next_random() & 63);
    unsigned start = (unsigned)next_random() % count;
    for (unsigned i = 0; i < count; i++) {
        const struct call_row *row = &rows[(start + i) % count];
        if (row->number != (uint32_t)data->nr || !row->tests[0].mask) continue;
        for (unsigned t = 0; t < ROW_TESTS && row->tests[t].mask; t++) {
            uint64_t free_bits = ~row->tests[t].mask & next_random();
            data->args[row->tests[t].arg] = row->tests[t].value | (sample & 1 ? free_bits : 0);
        }
        if (sample & 2) data->args[row->tests[0].arg] ^= UINT64_C(1) << (next_random() & 63);
        if (sample & 4) data->args[row->tests[1].arg] ^= UINT64_C(1) << (32 + (next_random() & 31));
        return;
    }
}

static bool is_tested(const struct call_row *rows, unsigned count, uint32_t number)
{
    for (unsigned i = 0; i < count; i++)
        if (rows[i].number == number && rows[i].tests[0].mask) return true;
    return false;
}

static void program_says_what_the_table_says(void **state)
{
    unsigned count;
    const struct call_row *rows = seccomp_rows(&count);
    for (unsigned list = 0; list < LISTS; list++) {
        struct sock_filter code[BPF_ROOM];
        unsigned length;
        struct err err = {0};
        assert_true(seccomp_make(list, code, &length, &err));
        for (uint32_t number = 0; number <= CALL_NUMBERS + 8; number++) {
            unsigned samples = is_tested(rows, count, number) ? SAMPLES : 4;
            for (unsigned i = 0; i < samples; i++) {
                struct seccomp_data data = {.nr = (int)number, .arch = AUDIT_ARCH_X86_64};
                set_args(rows, count, &data, i);
                uint32_t want = verdict_of(rows, count, list, seccomp_list(list)->otherwise, &data);
                if (bpf_run(code, length, &data) != want)
                    fail_msg("list %s, call %u", seccomp_list(list)->name, number);
            }
        }
    }
}

static void other_tables_kill(void **state)
{
    static const struct seccomp_data foreign[] = {{.nr = 20, .arch = AUDIT_ARCH_I386},
                                                  {.nr = 0, .arch = AUDIT_ARCH_AARCH64},
                                                  {.nr = 0, .arch = 0},
                                                  {.nr = 0x40000000, .arch = AUDIT_ARCH_X86_64},
                                                  {.nr = 0x40000001, .arch = AUDIT_ARCH_X86_64},
                                                  {.nr = -1, .arch = AUDIT_ARCH_X86_64},
                                                  {.nr = 0x7fffffff, .arch = AUDIT_ARCH_X86_64}};
    for (unsigned list = 0; list < LISTS; list++) {
        struct sock_filter code[BPF_ROOM];
        unsigned length;
        assert_true(seccomp_make(list, code, &length, NULL));
        for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
            assert_int_equal(bpf_run(code, length, &foreign[i]), SECCOMP_RET_KILL_PROCESS);
    }
}

/* libseccomp cannot say "these arguments so, all others another way" of one call, so the oracle's policy leaves out
 * the unconditional last row of calls that have tests; ours is made from the same reduced rows. */
static unsigned reduced_rows(unsigned list, struct call_row *out)
{
    unsigned count, used = 0;
    const struct call_row *rows = seccomp_rows(&count);
    for (unsigned i = 0; i < count; i++) {
        if (!(rows[i].lists >> list & 1)) continue;
        bool tested = false, repeated = false;
        for (unsigned j = 0; j < count; j++)
            if (rows[j].number == rows[i].number && rows[j].lists >> list & 1) {
                tested |= rows[j].tests[0].mask != 0;
                repeated |= j < i && !rows[j].tests[0].mask;
            }
        if (!repeated && !(tested && !rows[i].tests[0].mask)) out[used++] = rows[i];
    }
    return used;
}

static uint32_t to_action(uint32_t verdict)
{
    return verdict; /* SCMP_ACT_* are the kernel's numbers */
}

static unsigned oracle_make(const struct call_row *rows, unsigned count, uint32_t otherwise, struct sock_filter *code)
{
    scmp_filter_ctx context = seccomp_init(to_action(otherwise));
    assert_non_null(context);
    seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    for (unsigned i = 0; i < count; i++) {
        struct scmp_arg_cmp tests[ROW_TESTS];
        unsigned used = 0;
        for (unsigned t = 0; t < ROW_TESTS && rows[i].tests[t].mask; t++)
            tests[used++] = SCMP_CMP64(rows[i].tests[t].arg, SCMP_CMP_MASKED_EQ, rows[i].tests[t].mask,
                                       rows[i].tests[t].value);
        if (rows[i].verdict == otherwise) continue;
        assert_int_equal(seccomp_rule_add_array(context, to_action(rows[i].verdict), rows[i].number, used, tests), 0);
    }
    int file = memfd_create("oracle", MFD_CLOEXEC);
    assert_int_equal(seccomp_export_bpf(context, file), 0);
    off_t size = lseek(file, 0, SEEK_END);
    assert_true(size > 0 && (size_t)size <= 4096 * sizeof *code);
    assert_int_equal(pread(file, code, (size_t)size, 0), size);
    close(file);
    seccomp_release(context);
    return (unsigned)((size_t)size / sizeof *code);
}

static void libseccomp_agrees(void **state)
{
    for (unsigned list = 0; list < LISTS; list++) {
        static struct call_row rows[ROWS_MAX];
        static struct sock_filter ours[BPF_ROOM], theirs[4096];
        unsigned count = reduced_rows(list, rows), length;
        uint32_t otherwise = seccomp_list(list)->otherwise;
        assert_true(bpf_make(rows, count, list, otherwise, ours, &length));
        unsigned their_length = oracle_make(rows, count, otherwise, theirs);
        for (uint32_t number = 0; number <= CALL_NUMBERS; number++) {
            unsigned samples = is_tested(rows, count, number) ? SAMPLES : 4;
            for (unsigned i = 0; i < samples; i++) {
                struct seccomp_data data = {.nr = (int)number, .arch = AUDIT_ARCH_X86_64};
                set_args(rows, count, &data, i);
                if (bpf_run(ours, length, &data) != bpf_run(theirs, their_length, &data))
                    fail_msg("list %s, call %u: ours %x, libseccomp's %x", seccomp_list(list)->name, number,
                             bpf_run(ours, length, &data), bpf_run(theirs, their_length, &data));
            }
        }
    }
}

static void sizes_stay_small(void **state)
{
    for (unsigned list = 0; list < LISTS; list++) {
        struct sock_filter code[BPF_ROOM];
        unsigned length;
        assert_true(seccomp_make(list, code, &length, NULL));
        print_message("%-7s %u instructions\n", seccomp_list(list)->name, length);
        assert_true(length < 500);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(program_says_what_the_table_says),
        cmocka_unit_test(other_tables_kill),
        cmocka_unit_test(libseccomp_agrees),
        cmocka_unit_test(sizes_stay_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
