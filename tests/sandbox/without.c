/* SPDX-License-Identifier: Apache-2.0 */
/* without LAYER[,LAYER…] PROGRAM ARGUMENT…: runs a program on a machine that lacks these layers. What the kernel has is
 * hidden from outside by a filter; user namespaces are switched off by the sysctl, in a user namespace of their own. */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/seccomp.h"

enum { ROWS_MOST = 64, UNUSABLE = 97 };

#define GONE(error) (SECCOMP_RET_ERRNO | (error))
#define LIES SECCOMP_RET_ERRNO /* "done", and nothing was */
#define ALL                                                                                                            \
    {                                                                                                                  \
        {                                                                                                              \
            0                                                                                                          \
        }                                                                                                              \
    }
#define FLAG(arg, bit)                                                                                                 \
    {                                                                                                                  \
        {                                                                                                              \
            (arg), (bit), (bit)                                                                                        \
        }                                                                                                              \
    }
#define INT(arg, value)                                                                                                \
    {                                                                                                                  \
        {                                                                                                              \
            (arg), UINT64_C(0xffffffff), (value)                                                                       \
        }                                                                                                              \
    }

static const struct layer {
    const char *name;
    struct call_row row;
} layers[] = {
    {"seccomp-enosys", {__NR_seccomp, 1, GONE(ENOSYS), ALL, "hidden"}},
    {"seccomp-enosys", {__NR_prctl, 1, GONE(EINVAL), INT(0, PR_SET_SECCOMP), "hidden"}},
    {"seccomp-einval", {__NR_seccomp, 1, GONE(EINVAL), ALL, "hidden"}},
    {"seccomp-einval", {__NR_prctl, 1, GONE(EINVAL), INT(0, PR_SET_SECCOMP), "hidden"}},
    {"seccomp-lies", {__NR_seccomp, 1, LIES, ALL, "hidden"}},
    {"listener", {__NR_seccomp, 1, GONE(EINVAL), FLAG(1, SECCOMP_FILTER_FLAG_NEW_LISTENER), "hidden"}},
    {"addfd", {__NR_ioctl, 1, GONE(EINVAL), INT(1, SECCOMP_IOCTL_NOTIF_ADDFD), "hidden"}},
    {"landlock-enosys", {__NR_landlock_create_ruleset, 1, GONE(ENOSYS), ALL, "hidden"}},
    {"landlock-eopnotsupp", {__NR_landlock_create_ruleset, 1, GONE(EOPNOTSUPP), ALL, "hidden"}},
    {"landlock-lies", {__NR_landlock_restrict_self, 1, LIES, ALL, "hidden"}},
    {"no-new-privs", {__NR_prctl, 1, GONE(EINVAL), INT(0, PR_SET_NO_NEW_PRIVS), "hidden"}},
    {"clone-user", {__NR_clone, 1, GONE(EPERM), FLAG(0, CLONE_NEWUSER), "as a container's profile has it"}},
    {"clone-user", {__NR_unshare, 1, GONE(EPERM), FLAG(0, CLONE_NEWUSER), "likewise"}},
    {"clone-pid", {__NR_clone, 1, GONE(EPERM), FLAG(0, CLONE_NEWPID), "hidden"}},
    {"clone-net", {__NR_clone, 1, GONE(EPERM), FLAG(0, CLONE_NEWNET), "hidden"}},
    {"clone-mount", {__NR_clone, 1, GONE(EPERM), FLAG(0, CLONE_NEWNS), "hidden"}},
    {"clone-ipc", {__NR_clone, 1, GONE(EPERM), FLAG(0, CLONE_NEWIPC), "hidden"}},
    {"clone-uts", {__NR_clone, 1, GONE(EPERM), FLAG(0, CLONE_NEWUTS), "hidden"}},
    {"pivot-root", {__NR_pivot_root, 1, GONE(EPERM), ALL, "hidden"}},
    {"pivot-root-lies", {__NR_pivot_root, 1, LIES, ALL, "hidden"}},
    {"fsopen", {__NR_fsopen, 1, GONE(ENOSYS), ALL, "hidden"}},
    {"setresuid-lies", {__NR_setresuid, 1, LIES, ALL, "hidden"}},
    {"capset-lies", {__NR_capset, 1, LIES, ALL, "hidden"}},
    {"limits-lie", {__NR_prlimit64, 1, SECCOMP_RET_ALLOW, {{2, ~UINT64_C(0), 0}}, "reading"}},
    {"limits-lie", {__NR_prlimit64, 1, LIES, ALL, "hidden"}},
    {"dumpable-lies", {__NR_prctl, 1, LIES, INT(0, PR_SET_DUMPABLE), "hidden"}},
    {"pidfd", {__NR_pidfd_open, 1, GONE(ENOSYS), ALL, "hidden"}},
    {"mdwe", {__NR_prctl, 1, GONE(EINVAL), INT(0, 65), "PR_SET_MDWE"}},
    {"memfd-secret", {__NR_memfd_secret, 1, GONE(ENOSYS), ALL, "hidden"}},
};
enum { LAYERS = sizeof layers / sizeof *layers };

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "without: %s: %s\n", what, strerrordesc_np(errno));
    exit(UNUSABLE);
}

/* ── user namespaces ─────────────────────────────────────────────────────────────────────────────────── */

static void put(const char *path, const char *text)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, text, strlen(text)) != (ssize_t)strlen(text)) give_up(path);
    close(file);
}

/* Root keeps every user: only a process outside may write that map. */
static void map_everybody(pid_t pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
    put(path, "0 0 4294967295");
    snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
    put(path, "0 0 4294967295");
}

static void map_self(uid_t uid, gid_t gid)
{
    char text[64];
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    put("/proc/self/setgroups", "deny");
    snprintf(text, sizeof text, "%u %u 1", uid, uid);
    put("/proc/self/uid_map", text);
    snprintf(text, sizeof text, "%u %u 1", gid, gid);
    put("/proc/self/gid_map", text);
}

static void enter_mapped(void)
{
    int ends[2], status;
    pid_t self = getpid(), helper;
    uid_t uid = getuid();
    gid_t gid = getgid();
    char byte = 0;
    if (pipe2(ends, O_CLOEXEC) < 0 || (helper = fork()) < 0) give_up("a helper");
    if (helper == 0) {
        if (read(ends[0], &byte, 1) == 1 && uid == 0) map_everybody(self);
        _exit(0);
    }
    if (unshare(CLONE_NEWUSER) < 0 || write(ends[1], "x", 1) != 1) give_up("a user namespace");
    if (waitpid(helper, &status, 0) != helper || status) give_up("its map");
    if (uid) map_self(uid, gid);
}

/* In a user namespace of its own, the number holds for what is made below it. An ordinary user's capabilities there end
 * with the exec. */
static void no_user_namespaces(void)
{
    enter_mapped();
    put("/proc/sys/user/max_user_namespaces", "0");
}

/* ── the filter ──────────────────────────────────────────────────────────────────────────────────────── */

static unsigned pick(const char *name, struct call_row rows[ROWS_MOST], unsigned count)
{
    unsigned before = count;
    for (unsigned i = 0; i < LAYERS && count < ROWS_MOST; i++)
        if (strcmp(layers[i].name, name) == 0) rows[count++] = layers[i].row;
    if (count == before && strcmp(name, "user-namespaces") != 0) {
        errno = EINVAL;
        give_up(name);
    }
    return count;
}

static void hide(const struct call_row *rows, unsigned count)
{
    static struct sock_filter code[BPF_ROOM];
    struct err err = {0};
    unsigned length;
    if (count == 0) return;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !bpf_make(rows, count, 0, SECCOMP_RET_ALLOW, code, &length) ||
        !seccomp_install(code, length, &err))
        give_up("a filter");
}

int main(int argc, char **argv)
{
    static struct call_row rows[ROWS_MOST];
    unsigned count = 0;
    if (argc < 3) {
        fputs("usage: without LAYER[,LAYER...] PROGRAM ARGUMENT...\n", stderr);
        return UNUSABLE;
    }
    char *rest = argv[1];
    bool spaces = false;
    for (char *name; (name = strsep(&rest, ","));) {
        count = pick(name, rows, count);
        spaces |= strcmp(name, "user-namespaces") == 0;
    }
    if (spaces) no_user_namespaces();
    hide(rows, count);
    execv(argv[2], argv + 2);
    give_up(argv[2]);
}
