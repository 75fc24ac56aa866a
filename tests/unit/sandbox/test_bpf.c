/* SPDX-License-Identifier: Apache-2.0 */
/* The filters as programs: what each ready-made one answers to every sample is what the table says; what nobody may do
 * is written down here once more, apart from that table; libseccomp makes the same of it; and where one row or one
 * instruction is turned over, these tests notice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>
#include <seccomp.h>

#include "bpf_run.h"
#include "samples.h"
#include "sandbox/enter.h"

enum { ROWS_MAX = 512, THEIRS = 4096 };

static struct samples samples;

/* Another architecture's, x32's, or no number at all. */
static bool is_foreign(const struct seccomp_data *data)
{
    return data->arch != AUDIT_ARCH_X86_64 || (uint32_t)data->nr >= X32_FIRST;
}

/* What the rows mean, said as plainly as possible. */
static uint32_t verdict_of(const struct call_row *rows, unsigned count, unsigned list, uint32_t otherwise,
                           const struct seccomp_data *data)
{
    if (is_foreign(data)) return SECCOMP_RET_KILL_PROCESS;
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

static uint32_t wanted(unsigned list, const struct seccomp_data *data)
{
    unsigned count;
    const struct call_row *rows = seccomp_rows(&count);
    return verdict_of(rows, count, list, seccomp_list(list)->otherwise, data);
}

static const char *told(unsigned list, const struct seccomp_data *data)
{
    static char text[256];
    snprintf(text, sizeof text, "list %s, arch %x, call %d (%llx, %llx, %llx, %llx, %llx)", seccomp_list(list)->name,
             data->arch, data->nr, data->args[0], data->args[1], data->args[2], data->args[3], data->args[4]);
    return text;
}

/* ── the programs that the daemon carries ──────────────────────────────────────────────────────────────── */

static void programs_say_what_the_table_says(void **state)
{
    for (unsigned list = 0; list < LISTS; list++) {
        const struct seccomp_program *ready = &seccomp_ready[list];
        for (unsigned i = 0; i < samples.count; i++) {
            uint32_t want = wanted(list, &samples.all[i]), got = bpf_run(ready->code, ready->length, &samples.all[i]);
            if (got != want) fail_msg("%s: %x, the table says %x", told(list, &samples.all[i]), got, want);
        }
        print_message("%-7s %u instructions, %u samples\n", seccomp_list(list)->name, ready->length, samples.count);
        assert_true(ready->length < 500);
    }
}

static void other_tables_kill(void **state)
{
    unsigned tried = 0;
    for (unsigned i = 0; i < samples.count; i++) {
        const struct seccomp_data *data = &samples.all[i];
        if (!is_foreign(data)) continue;
        tried++;
        for (unsigned list = 0; list < LISTS; list++)
            assert_int_equal(bpf_run(seccomp_ready[list].code, seccomp_ready[list].length, data),
                             SECCOMP_RET_KILL_PROCESS);
    }
    assert_true(tried > 4 * CALL_NUMBERS);
}

/* ── what nobody may do, whatever the table says ───────────────────────────────────────────────────────── */

enum {
    FRONT = 1 << WALL_FRONT | 1 << WALL_DESK,
    LEDGER = 1 << WALL_LEDGER,
    LOADER = 1 << WALL_LOADER,
    BROKER = 1 << WALL_BROKER,
    RUNNER = 1 << WALL_RUNNER,
    PARENT = 1 << WALL_PARENT,
    PROVIDER = 1 << WALL_PROVIDER,
    MODULE = 1 << WALL_MODULE,
    CELL = 1 << LIST_A,
    WORKER = 1 << LIST_L,
    MAKERS = RUNNER | PARENT | CELL /* these start processes, and forbid by name only */
};

static bool at_all(const struct seccomp_data *data)
{
    return true;
}
static bool runs_code(const struct seccomp_data *data)
{
    return data->args[2] & PROT_EXEC;
}
static bool makes_process(const struct seccomp_data *data)
{
    return data->args[0] != 0x3d0f00; /* a thread */
}
static bool names_address(const struct seccomp_data *data)
{
    return data->args[4] != 0;
}
static bool opens_fast_to(const struct seccomp_data *data)
{
    return data->args[3] & 0x20000000;
}
static bool opens_fast(const struct seccomp_data *data)
{
    return data->args[2] & 0x20000000;
}
static bool beyond_internet(const struct seccomp_data *data)
{
    uint32_t family = (uint32_t)data->args[0], type = (uint32_t)data->args[1] & 0xf;
    return (family != 2 && family != 10) || (type != 1 && type != 2) || (uint32_t)data->args[2] != 0;
}
static bool not_a_stream_pair(const struct seccomp_data *data)
{
    return (uint32_t)data->args[0] != 1 || ((uint32_t)data->args[1] & 0xf) != 1;
}
static bool takes_terminal_or_owner(const struct seccomp_data *data)
{
    uint32_t command = (uint32_t)data->args[1];
    return command != 0x5421 && command != 0x541b;
}
static bool sets_limits(const struct seccomp_data *data)
{
    return data->args[2] != 0 || data->args[0] != 0;
}
static bool marks_the_shared_null(const struct seccomp_data *data)
{
    return (uint32_t)data->args[0] <= 2 &&
           (uint32_t)data->args[1] == 4; /* F_SETFL: kept by the open file, not by a worker */
}

/* may: the lists whose answer to such a call can be "allowed". */
static const struct {
    int number;
    bool (*when)(const struct seccomp_data *);
    unsigned may;
} forbidden[] = {
    {SYS_execve, at_all, PARENT},
    {SYS_execveat, at_all, PARENT | RUNNER},
    {SYS_fork, at_all, MAKERS},
    {SYS_vfork, at_all, MAKERS},
    {SYS_clone, makes_process, MAKERS},
    {SYS_clone, at_all, MAKERS | FRONT | LEDGER},
    {SYS_clone3, at_all, MAKERS},
    {SYS_mmap, runs_code, MAKERS},
    {SYS_mprotect, runs_code, MAKERS},
    {SYS_pkey_mprotect, at_all, MAKERS},
    {SYS_shmat, at_all, MAKERS},
    {SYS_remap_file_pages, at_all, MAKERS},
    {SYS_ptrace, at_all, PARENT},
    {SYS_process_vm_readv, at_all, CELL | PARENT},
    {SYS_process_vm_writev, at_all, 0},
    {SYS_pidfd_getfd, at_all, CELL},
    {SYS_pidfd_open, at_all, MAKERS},
    {SYS_pidfd_send_signal, at_all, MAKERS},
    {SYS_kill, at_all, PARENT},
    {SYS_tkill, at_all, 0},
    {SYS_tgkill, at_all, MAKERS},
    {SYS_rt_sigqueueinfo, at_all, 0},
    {SYS_bpf, at_all, 0},
    {SYS_perf_event_open, at_all, 0},
    {SYS_userfaultfd, at_all, 0},
    {SYS_io_uring_setup, at_all, 0},
    {SYS_io_uring_enter, at_all, 0},
    {SYS_io_uring_register, at_all, 0},
    {SYS_keyctl, at_all, 0},
    {SYS_add_key, at_all, 0},
    {SYS_request_key, at_all, 0},
    {SYS_kexec_load, at_all, 0},
    {SYS_init_module, at_all, 0},
    {SYS_finit_module, at_all, 0},
    {SYS_reboot, at_all, 0},
    {SYS_swapon, at_all, 0},
    {SYS_personality, at_all, 0},
    {SYS_modify_ldt, at_all, 0},
    {SYS_iopl, at_all, 0},
    {SYS_ioperm, at_all, 0},
    {SYS_setns, at_all, 0},
    {SYS_chroot, at_all, 0},
    {SYS_open_tree, at_all, 0},
    {SYS_open_by_handle_at, at_all, 0},
    {SYS_name_to_handle_at, at_all, 0},
    {SYS_unshare, at_all, RUNNER | PARENT},
    {SYS_mount, at_all, RUNNER | PARENT},
    {SYS_umount2, at_all, RUNNER | PARENT},
    {SYS_pivot_root, at_all, RUNNER | PARENT},
    {SYS_fsopen, at_all, RUNNER | PARENT},
    {SYS_move_mount, at_all, RUNNER | PARENT},
    {SYS_seccomp, at_all, MAKERS},
    {SYS_memfd_create, at_all, LOADER | RUNNER | PARENT},
    {SYS_bind, at_all, PARENT},
    {SYS_listen, at_all, PARENT},
    {SYS_connect, at_all, BROKER | PROVIDER | PARENT},
    {SYS_accept, at_all, FRONT | PARENT},
    {SYS_accept4, at_all, FRONT | PARENT},
    {SYS_socket, at_all, BROKER | PROVIDER | PARENT | CELL},
    {SYS_socket, beyond_internet, PARENT | CELL},
    {SYS_socketpair, at_all, BROKER | PROVIDER | WORKER | MAKERS},
    {SYS_socketpair, not_a_stream_pair, MAKERS},
    {SYS_sendto, names_address, MAKERS},
    {SYS_sendto, opens_fast_to, MAKERS},
    {SYS_sendmsg, opens_fast, MAKERS | WORKER}, /* the worker's carrier, a socketpair's end, once */
    {SYS_sendmmsg, at_all, PARENT},
    {SYS_openat, at_all, LEDGER | LOADER | MODULE | MAKERS},
    {SYS_open, at_all, LEDGER | LOADER | MODULE | MAKERS},
    {SYS_openat2, at_all, LOADER | MAKERS},
    {SYS_creat, at_all, MAKERS},
    {SYS_truncate, at_all, MAKERS},
    {SYS_link, at_all, MAKERS},
    {SYS_symlink, at_all, MAKERS},
    {SYS_chmod, at_all, MAKERS},
    {SYS_chown, at_all, MAKERS},
    {SYS_mknod, at_all, MAKERS},
    {SYS_setuid, at_all, MAKERS},
    {SYS_setresuid, at_all, MAKERS},
    {SYS_capset, at_all, MAKERS},
    {SYS_ioctl, takes_terminal_or_owner, MAKERS},
    {SYS_fcntl, marks_the_shared_null, ~WORKER},
    {SYS_prlimit64, sets_limits, MAKERS},
    {SYS_landlock_restrict_self, at_all, MAKERS},
};

static void nobody_may(void **state)
{
    enum { FORBIDDEN = sizeof forbidden / sizeof *forbidden };
    unsigned tried[FORBIDDEN] = {0};
    for (unsigned i = 0; i < samples.count; i++)
        for (unsigned f = 0; f < FORBIDDEN; f++) {
            const struct seccomp_data *data = &samples.all[i];
            if (data->arch != AUDIT_ARCH_X86_64 || data->nr != forbidden[f].number || !forbidden[f].when(data))
                continue;
            tried[f]++;
            for (unsigned list = 0; list < LISTS; list++)
                if (!(forbidden[f].may >> list & 1) &&
                    bpf_run(seccomp_ready[list].code, seccomp_ready[list].length, data) == SECCOMP_RET_ALLOW)
                    fail_msg("%s is allowed", told(list, data));
        }
    for (unsigned f = 0; f < FORBIDDEN; f++)
        if (!tried[f]) fail_msg("row %u of the forbidden was never tried", f);
}

/* ── these tests notice ────────────────────────────────────────────────────────────────────────────────── */

/* Does a program differ from the table on one of the samples first … of that number (any: -1)? */
static bool noticed(const struct sock_filter *code, unsigned length, unsigned list, int number)
{
    for (unsigned i = 0; i < samples.count; i++) {
        const struct seccomp_data *data = &samples.all[i];
        if (number >= 0 && (data->nr != number || data->arch != AUDIT_ARCH_X86_64)) continue;
        if (bpf_run(code, length, data) != wanted(list, data)) return true;
    }
    return false;
}

static uint32_t other_verdict(uint32_t verdict)
{
    return verdict == SECCOMP_RET_ALLOW ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ALLOW;
}

/* One row of the table turned over, or left out: the program made of it is not the one that the table asks for. */
static void a_changed_row_is_noticed(void **state)
{
    static struct call_row changed[ROWS_MAX];
    static struct sock_filter code[BPF_ROOM];
    unsigned count, length;
    const struct call_row *rows = seccomp_rows(&count);
    assert_true(count <= ROWS_MAX);
    for (unsigned i = 0; i < count; i++)
        for (unsigned list = 0; list < LISTS; list++) {
            if (!(rows[i].lists >> list & 1)) continue;
            for (int left_out = 0; left_out < 2; left_out++) {
                memcpy(changed, rows, count * sizeof *rows);
                if (left_out)
                    changed[i].lists = 0;
                else
                    changed[i].verdict = other_verdict(rows[i].verdict);
                assert_true(bpf_make(changed, count, list, seccomp_list(list)->otherwise, code, &length));
                if (!noticed(code, length, list, rows[i].number))
                    fail_msg("row %u (call %u, \"%s\") does nothing in list %s", i, rows[i].number, rows[i].why,
                             seccomp_list(list)->name);
            }
        }
}

/* Which samples come by which instruction: count × length bytes. */
static uint8_t *trails_of(const struct seccomp_program *ready)
{
    uint8_t *trails = calloc(samples.count, ready->length);
    assert_non_null(trails);
    for (unsigned i = 0; i < samples.count; i++)
        bpf_trace(ready->code, ready->length, &samples.all[i], trails + (size_t)i * ready->length);
    return trails;
}

struct mutant {
    const struct seccomp_program *ready;
    const uint8_t *trails;
    unsigned list, at;
    struct sock_filter code[BPF_ROOM];
};

static bool survives(struct mutant *mutant, struct sock_filter changed)
{
    unsigned length = mutant->ready->length, at = mutant->at;
    mutant->code[at] = changed;
    bool found = false;
    for (unsigned i = 0; i < samples.count && !found; i++)
        if (mutant->trails[(size_t)i * length + at])
            found = bpf_run(mutant->code, length, &samples.all[i]) !=
                    bpf_run(mutant->ready->code, length, &samples.all[i]);
    mutant->code[at] = mutant->ready->code[at];
    return !found;
}

/* In the roles' lists mmap and mprotect have one and the same row, and so two leaves that are alike: between these two
 * the search may turn either way. */
static bool parts_twins(const struct mutant *mutant, struct sock_filter one)
{
    return mutant->list != LIST_L && one.code == (BPF_JMP | BPF_JGE | BPF_K) && one.k == SYS_mprotect;
}

/* One jump the other way round, one answer turned over, one bit of one constant. */
static unsigned survivors(struct mutant *mutant)
{
    struct sock_filter one = mutant->ready->code[mutant->at], changed = one;
    unsigned found = 0;
    if (parts_twins(mutant, one)) return 0;
    if (BPF_CLASS(one.code) == BPF_RET) {
        changed.k = other_verdict(one.k);
        return survives(mutant, changed);
    }
    if (BPF_CLASS(one.code) == BPF_JMP && BPF_OP(one.code) != BPF_JA) {
        changed.jt = one.jf, changed.jf = one.jt;
        found += survives(mutant, changed);
        changed = one;
    }
    if (BPF_CLASS(one.code) == BPF_LD) {
        changed.k = one.k ^ 4; /* the other half */
        return survives(mutant, changed);
    }
    for (int bit = 0; BPF_OP(one.code) != BPF_JA && bit < 32; bit++) {
        changed.k = one.k ^ (1u << bit);
        found += survives(mutant, changed);
    }
    return found;
}

static void a_changed_instruction_is_noticed(void **state)
{
    static struct mutant mutant;
    for (unsigned list = 0; list < LISTS; list++) {
        mutant = (struct mutant){.ready = &seccomp_ready[list], .list = list};
        uint8_t *trails = trails_of(mutant.ready);
        mutant.trails = trails;
        memcpy(mutant.code, mutant.ready->code, mutant.ready->length * sizeof *mutant.code);
        for (mutant.at = 0; mutant.at < mutant.ready->length; mutant.at++)
            if (survivors(&mutant)) fail_msg("list %s, instruction %u", seccomp_list(list)->name, mutant.at);
        free(trails);
    }
}

/* ── libseccomp as the oracle ──────────────────────────────────────────────────────────────────────────── */

/* libseccomp cannot say "these arguments so, all others another way" of one call, so the oracle's policy leaves out
 * the unconditional last row of calls that have tests, and rows that forbid some of what a later row allows; ours is
 * made from the same reduced rows. */
static unsigned reduced_rows(unsigned list, struct call_row *out)
{
    unsigned count, used = 0;
    const struct call_row *rows = seccomp_rows(&count);
    for (unsigned i = 0; i < count; i++) {
        if (!(rows[i].lists >> list & 1)) continue;
        if (rows[i].tests[0].mask && rows[i].verdict != SECCOMP_RET_ALLOW) continue;
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

/* SCMP_ACT_* are the kernel's numbers. */
static unsigned oracle_make(const struct call_row *rows, unsigned count, uint32_t otherwise, struct sock_filter *code)
{
    scmp_filter_ctx context = seccomp_init(otherwise);
    assert_non_null(context);
    seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    for (unsigned i = 0; i < count; i++) {
        struct scmp_arg_cmp tests[ROW_TESTS];
        unsigned used = 0;
        for (unsigned t = 0; t < ROW_TESTS && rows[i].tests[t].mask; t++)
            tests[used++] = SCMP_CMP64(rows[i].tests[t].arg, SCMP_CMP_MASKED_EQ, rows[i].tests[t].mask,
                                       rows[i].tests[t].value);
        if (rows[i].verdict == otherwise) continue;
        assert_int_equal(seccomp_rule_add_array(context, rows[i].verdict, rows[i].number, used, tests), 0);
    }
    int file = memfd_create("oracle", MFD_CLOEXEC);
    assert_int_equal(seccomp_export_bpf(context, file), 0);
    off_t size = lseek(file, 0, SEEK_END);
    assert_true(size > 0 && (size_t)size <= THEIRS * sizeof *code);
    assert_int_equal(pread(file, code, (size_t)size, 0), size);
    close(file);
    seccomp_release(context);
    return (unsigned)((size_t)size / sizeof *code);
}

static void libseccomp_agrees(void **state)
{
    for (unsigned list = 0; list < LISTS; list++) {
        static struct call_row rows[ROWS_MAX];
        static struct sock_filter ours[BPF_ROOM], theirs[THEIRS];
        unsigned count = reduced_rows(list, rows), length;
        uint32_t otherwise = seccomp_list(list)->otherwise;
        assert_true(bpf_make(rows, count, list, otherwise, ours, &length));
        unsigned their_length = oracle_make(rows, count, otherwise, theirs);
        for (unsigned i = 0; i < samples.count; i++) {
            if (is_foreign(&samples.all[i])) continue; /* of those it lets a number -1 through to a tracer */
            uint32_t mine = bpf_run(ours, length, &samples.all[i]),
                     other = bpf_run(theirs, their_length, &samples.all[i]);
            if (mine != other) fail_msg("%s: ours %x, libseccomp's %x", told(list, &samples.all[i]), mine, other);
        }
    }
}

/* ── before and after ──────────────────────────────────────────────────────────────────────────────────── */

static int make_all(void **state)
{
    unsigned count;
    const struct call_row *rows = seccomp_rows(&count);
    samples_make(&samples, rows, count);
    return 0;
}

static int clear_all(void **state)
{
    samples_clear(&samples);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_say_what_the_table_says),
        cmocka_unit_test(other_tables_kill),
        cmocka_unit_test(nobody_may),
        cmocka_unit_test(a_changed_row_is_noticed),
        cmocka_unit_test(a_changed_instruction_is_noticed),
        cmocka_unit_test(libseccomp_agrees),
    };
    return cmocka_run_group_tests(tests, make_all, clear_all);
}
