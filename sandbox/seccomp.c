/* SPDX-License-Identifier: Apache-2.0 */
/* The system call wall: makes the programs of the tables and installs them. */
#include "seccomp.h"

#include <sys/syscall.h>
#include <unistd.h>

#include "syscalls.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

const struct call_row *seccomp_rows(unsigned *count)
{
    *count = sizeof call_rows / sizeof *call_rows;
    return call_rows;
}

const struct policy_list *seccomp_list(unsigned list)
{
    return &policy_lists[list];
}

bool seccomp_make(unsigned list, struct sock_filter code[BPF_ROOM], unsigned *length, struct err *err)
{
    unsigned count;
    const struct call_row *rows = seccomp_rows(&count);
    if (!bpf_make(rows, count, list, policy_lists[list].otherwise, code, length))
        return err_set(err, ERR_INTERNAL, "the filter of %s is too long", policy_lists[list].name);
    return true;
}

bool seccomp_install(const struct sock_filter *code, unsigned length, struct err *err)
{
    struct sock_fprog program = {(unsigned short)length, (struct sock_filter *)code};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
        return err_sys(err, ERR_MISSING_LAYER,
                       "the kernel does not take a system call filter (seccomp), and nothing lowers this");
    return true;
}

int seccomp_listen(const struct sock_filter *code, unsigned length)
{
    struct sock_fprog program = {(unsigned short)length, (struct sock_filter *)code};
    unsigned long flags = SECCOMP_FILTER_FLAG_NEW_LISTENER;
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
                          &program);
    if (fd >= 0 || errno != EINVAL) return fd;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program); /* before Linux 5.19 */
}
