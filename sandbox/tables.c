/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of syscalls.h as data, for the generator and for tests that compare its programs with them. */
#include "seccomp.h"
#include "syscalls.h"

_Static_assert((int)LIST_ROLES == (int)WALL_ROLES, "one list per role");

const struct call_row *seccomp_rows(unsigned *count)
{
    *count = sizeof call_rows / sizeof *call_rows;
    return call_rows;
}

const struct policy_list *seccomp_list(unsigned list)
{
    return &policy_lists[list];
}

bool seccomp_make(unsigned list, struct sock_filter code[BPF_ROOM], unsigned *length)
{
    unsigned count;
    const struct call_row *rows = seccomp_rows(&count);
    return bpf_make(rows, count, list, policy_lists[list].otherwise, code, length);
}
