/* SPDX-License-Identifier: Apache-2.0 */
/* Item 39 before the first call: a constructor that wants a filter of its own, in the way that SIN says; item 37 is
 * this object with a stack that may be executed (SIN 0). */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sins.h"

enum { NOTHING, FILTER, LISTENER, BY_PRCTL };

static long got = -ENODATA;

__attribute__((constructor)) static void widen(void)
{
    static struct sock_filter allow_all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    static struct sock_fprog permissive = {1, allow_all};
    if (SIN == FILTER) got = RAW3(seccomp, SECCOMP_SET_MODE_FILTER, 0, &permissive);
    if (SIN == LISTENER) got = RAW3(seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &permissive);
    if (SIN == BY_PRCTL) got = RAW3(prctl, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &permissive);
}

static long what_it_got(struct csn_call *call)
{
    return sins_made(SYS_prctl, got);
}

static long open_afterwards(struct csn_call *call)
{
    return RAW4(openat, -100, "/etc/passwd", 0, 0);
}

static const struct sin early[] = {
    {"constructor", what_it_got, 39, 0, {0}}, {"open-afterwards", open_afterwards, 39, 0, {0}}, {0}};
const struct sin *const sin_tables[] = {early, NULL};

CSN_CONNECTOR(NAME, "1.0.0", {"try", sins_try});
