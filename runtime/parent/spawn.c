/* SPDX-License-Identifier: Apache-2.0 */
/* Starting a role: between fork and exec only system calls on values that were made ready before. */
#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "runtime/role.h"

/* ── places ────────────────────────────────────────────────────────────────────────────────────────── */

/* Joins a path of the build's choice, which stands on its own or counts from the parent's folder, and a file. */
static void place(const struct layout *layout, const char *where, const char *file, char path[LAYOUT_PATH])
{
    if (where[0] == '/')
        snprintf(path, LAYOUT_PATH, "%s/%s", where, file);
    else
        snprintf(path, LAYOUT_PATH, "%s/%s/%s", layout->folder, where, file);
}

void layout_program(const struct layout *layout, enum role_id role, char path[LAYOUT_PATH])
{
    /* The desk is the front's executable, started under another name. */
    const char *name = role == ROLE_DESK ? "front" : role_name(role);
    char file[64], folder[32];
    snprintf(file, sizeof file, "caisson-%s", name);
    snprintf(folder, sizeof folder, "../%s", name);
    place(layout, layout->build_tree ? folder : CAISSON_LIBEXEC, file, path);
}

void layout_helpers(const struct layout *layout, char path[LAYOUT_PATH])
{
    place(layout, layout->build_tree ? "../../sdk" : CAISSON_LIBEXEC, "libcaisson-helpers.so", path);
}

bool layout_find(struct layout *layout, struct err *err)
{
    char program[LAYOUT_PATH];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 256);
    if (length <= 0) return err_sys(err, ERR_IO, "this program cannot find its own place: is /proc mounted?");
    program[length] = '\0';
    *strrchr(program, '/') = '\0';
    memcpy(layout->folder, program, strlen(program) + 1);
    for (int i = 0; i < 2; i++) {
        layout->build_tree = i;
        layout_program(layout, ROLE_VAULT, program);
        if (access(program, X_OK) == 0) return true;
    }
    return err_set(err, ERR_NOT_FOUND, "the programs of the daemon (caisson-vault and others) are not installed");
}

/* ── in the child ──────────────────────────────────────────────────────────────────────────────────── */

/* What the runner needs to make cells: namespaces and mounts, their users, their limits; to read and end them. */
static const unsigned char runner_capabilities[] = {CAP_SYS_ADMIN,    CAP_SETUID,       CAP_SETGID, CAP_SETPCAP,
                                                    CAP_SYS_CHROOT,   CAP_SYS_RESOURCE, CAP_KILL,   CAP_CHOWN,
                                                    CAP_DAC_OVERRIDE, CAP_SYS_PTRACE};

static bool in_runner_set(unsigned capability)
{
    return memchr(runner_capabilities, (int)capability, sizeof runner_capabilities) != NULL;
}

/* What is not in the bounding set is not there after exec either. */
static bool drop_bounding(bool runner)
{
    for (unsigned i = 0; i < 64; i++) {
        if (runner && in_runner_set(i)) continue;
        if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0 && errno != EINVAL) return false; /* EINVAL: past the last one */
    }
    return true;
}

static bool become(struct identity who)
{
    if (who.uid == (uid_t)-1) return true;
    if (setgroups(0, NULL) < 0 || !drop_bounding(who.runner)) return false;
    return who.runner || (setresgid(who.uid, who.uid, who.uid) == 0 && setresuid(who.uid, who.uid, who.uid) == 0);
}

static bool arrange(int control)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    int line = fcntl(control, F_DUPFD, 16); /* out of the way of the numbers that are set next */
    return nothing >= 0 && line >= 0 && dup2(nothing, 0) == 0 && dup2(nothing, 1) == 1 &&
           dup2(line, ROLE_CONTROL_FD) == ROLE_CONTROL_FD && close_range(ROLE_CONTROL_FD + 1, ~0u, 0) == 0;
}

static void plain_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int i = 1; i < 32; i++) signal(i, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The program is found from its folder, which is entered before the rights go: a role's own user need not be able to
 * walk there, as below a closed /root. role_main() leaves the folder. */
static _Noreturn void run_child(const char *folder, char *program, enum role_id role, struct identity who, int control)
{
    char *const arguments[] = {program, (char *)role_name(role), NULL}, *const environment[] = {NULL};
    setsid();
    plain_signals();
    if (arrange(control) && chdir(folder) == 0 && become(who)) execve(program, arguments, environment);
    const char *why = strerrordesc_np(errno);
    static const char text[] = "caissond: a role cannot be started: ";
    if (write(2, text, sizeof text - 1) < 0 || write(2, why, strlen(why)) < 0 || write(2, "\n", 1) < 0) _exit(126);
    _exit(127);
}

/* ── in the parent ─────────────────────────────────────────────────────────────────────────────────── */

bool spawn_role(const struct layout *layout, enum role_id role, struct identity who, int control, pid_t *pid,
                int *pidfd, struct err *err)
{
    char path[LAYOUT_PATH];
    layout_program(layout, role, path);
    char *program = strrchr(path, '/') + 1;
    if (access(path, X_OK) < 0) return err_set(err, ERR_NOT_FOUND, "%s is not installed", program);
    program[-1] = '\0';
    pid_t child = fork();
    if (child < 0) return err_sys(err, ERR_IO, "the %s cannot be started", role_name(role));
    if (child == 0) run_child(path, program, role, who, control);
    *pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    if (*pidfd < 0) {
        kill(child, SIGKILL);
        return err_sys(err, ERR_IO, "the %s cannot be watched", role_name(role));
    }
    *pid = child;
    return true;
}
