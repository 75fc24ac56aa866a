/* SPDX-License-Identifier: Apache-2.0 */
/* The system call wall: installs ready programs. */
#include "seccomp.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

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
