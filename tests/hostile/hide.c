/* SPDX-License-Identifier: Apache-2.0 */
/* usage: hide LAYER[,LAYER…] PROGRAM ARGUMENT…: runs the program on a kernel that lacks layers, as far as it can tell
 * (escape corpus 140): landlock, landlock-new, namespaces, seccomp, listener, mdwe. */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox/seccomp.h"

#define HIDDEN(name, error)                                                                                            \
    {                                                                                                                  \
        __NR_##name, 1, SECCOMP_RET_ERRNO | (error), {{0}}, "hidden"                                                   \
    }

static const struct {
    const char *layer;
    struct call_row row;
} hidden[] = {
    {"landlock", HIDDEN(landlock_create_ruleset, ENOSYS)},
    {"namespaces", HIDDEN(unshare, EPERM)},
    {"namespaces", HIDDEN(pivot_root, EPERM)},
    {"seccomp", HIDDEN(seccomp, ENOSYS)},
    {"listener",
     {__NR_seccomp,
      1,
      SECCOMP_RET_ERRNO | EINVAL,
      {{1, SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_NEW_LISTENER}},
      "hidden"}},
    {"mdwe", {__NR_prctl, 1, SECCOMP_RET_ERRNO | EINVAL, {{0, ~UINT64_C(0), 65}}, "hidden"}},
};

static bool named(const char *layers, const char *layer)
{
    size_t length = strlen(layer);
    for (const char *at = layers; (at = strstr(at, layer)); at += length)
        if ((at == layers || at[-1] == ',') && (at[length] == ',' || !at[length])) return true;
    return false;
}

int main(int argc, char **argv)
{
    static struct sock_filter code[BPF_ROOM];
    struct call_row rows[sizeof hidden / sizeof *hidden];
    unsigned count = 0, length;
    if (argc < 3) return 2;
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (named(argv[1], hidden[i].layer)) rows[count++] = hidden[i].row;
    if (!count || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        !bpf_make(rows, count, 0, SECCOMP_RET_ALLOW, code, &length) || !seccomp_install(code, length, NULL)) {
        fprintf(stderr, "hide: %s cannot be hidden\n", argv[1]);
        return 97;
    }
    execv(argv[2], argv + 2);
    perror(argv[2]);
    return 98;
}
