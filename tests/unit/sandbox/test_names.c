/* SPDX-License-Identifier: Apache-2.0 */
/* Names of system calls: the kernel's numbers get the kernel's names, and other tables are told apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <linux/audit.h>
#include <seccomp.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "sandbox/call_names.h"
#include "sandbox/seccomp.h"

#include <cmocka.h>

static void calls_have_their_names(void **state)
{
    static const struct {
        uint32_t arch;
        int32_t number;
        const char *name;
    } rows[] = {{AUDIT_ARCH_X86_64, SYS_openat, "openat"},
                {AUDIT_ARCH_X86_64, SYS_read, "read"},
                {AUDIT_ARCH_X86_64, SYS_seccomp, "seccomp"},
                {AUDIT_ARCH_X86_64, SYS_process_vm_readv, "process_vm_readv"},
                {AUDIT_ARCH_X86_64, SYS_memfd_secret, "memfd_secret"},
                {AUDIT_ARCH_X86_64, 4711, "syscall_4711"},
                {AUDIT_ARCH_X86_64, -1, "syscall_-1"},
                {AUDIT_ARCH_X86_64, INT32_MIN, "syscall_-2147483648"},
                {AUDIT_ARCH_X86_64, 0x40000000, "x32:read"},
                {AUDIT_ARCH_X86_64, 0x40000000 + 257, "x32:openat"},
                {AUDIT_ARCH_X86_64, 0x40000000 + 520, "x32:execve"},
                {AUDIT_ARCH_X86_64, INT32_MAX, "x32:syscall_1073741823"},
                {AUDIT_ARCH_I386, 20, "i386:getpid"},
                {AUDIT_ARCH_I386, 5, "i386:open"},
                {AUDIT_ARCH_I386, 4711, "i386:syscall_4711"},
                {AUDIT_ARCH_AARCH64, 56, "arch_c00000b7:syscall_56"},
                {0, 0, "arch_0:syscall_0"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[CALL_NAME];
        call_name(rows[i].arch, rows[i].number, name);
        assert_string_equal(name, rows[i].name);
    }
}

/* The table is libseccomp's, number by number; and there and back is the same. */
static void the_table_is_whole(void **state)
{
    unsigned named = 0;
    for (int number = 0; number < 1024; number++) {
        char name[CALL_NAME], *theirs = seccomp_syscall_resolve_num_arch(SCMP_ARCH_X86_64, number);
        call_name(AUDIT_ARCH_X86_64, number, name);
        if (theirs) {
            assert_string_equal(name, theirs);
            assert_int_equal(call_number(name), number);
            named++;
        }
        free(theirs);
    }
    assert_true(named > 330);
    assert_int_equal(call_number("no_such_call"), -1);
}

/* Whatever a list speaks of can be told by name. */
static void every_listed_call_has_a_name(void **state)
{
    unsigned count;
    const struct call_row *rows = seccomp_rows(&count);
    for (unsigned i = 0; i < count; i++) {
        char name[CALL_NAME];
        call_name(AUDIT_ARCH_X86_64, rows[i].number, name);
        if (strncmp(name, "syscall_", 8) == 0) fail_msg("number %u has no name", rows[i].number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(calls_have_their_names), cmocka_unit_test(the_table_is_whole),
                                       cmocka_unit_test(every_listed_call_has_a_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
