/* SPDX-License-Identifier: Apache-2.0 */
/* What to do about a wall that is missing: the setting that takes it away, by name and value, or what is usually behind
 * it. Only words: whether a wall holds is never looked up here. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "probe_inside.h"

bool probe_setting(const char *settings, const char *name, char *value, size_t size)
{
    char path[256];
    size_t start = (size_t)snprintf(path, sizeof path, "%s/", settings ? settings : "/proc/sys");
    snprintf(path + start, sizeof path - start, "%s", name);
    for (char *at = path + start; *at; at++)
        if (*at == '.') *at = '/';
    FD_AUTO file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, value, size - 1);
    if (got < 0) return false;
    value[got] = 0;
    value[strcspn(value, "\n")] = 0;
    return true;
}

/* ── namespaces ──────────────────────────────────────────────────────────────────────────────────────── */

/* Settings that forbid namespaces when they have that value. The last two are those of Debian and Ubuntu. */
static const struct {
    const char *key; /* of the probe; NULL: every kind, for an ordinary user */
    const char *name, *bad, *good;
} space_settings[] = {
    {NULL, "user.max_user_namespaces", "0", "15000"},
    {NULL, "kernel.unprivileged_userns_clone", "0", "1"},
    {NULL, "kernel.apparmor_restrict_unprivileged_userns", "1", "0"},
    {"pid_namespace", "user.max_pid_namespaces", "0", "15000"},
    {"network_namespace", "user.max_net_namespaces", "0", "15000"},
    {"mount_namespace", "user.max_mnt_namespaces", "0", "15000"},
    {"ipc_namespace", "user.max_ipc_namespaces", "0", "15000"},
    {"uts_namespace", "user.max_uts_namespaces", "0", "15000"},
};
enum { SPACE_SETTINGS = sizeof space_settings / sizeof *space_settings };

static bool applies(const struct probe_who *who, int row, const char *key)
{
    const char *only = space_settings[row].key;
    if (!only) return !who->privileged;
    return strcmp(only, key) == 0 || strcmp(key, "empty_root") == 0;
}

static void advise_space(const struct probe_who *who, const char *key, char advice[PROBE_ADVICE])
{
    char value[64];
    for (int i = 0; i < SPACE_SETTINGS; i++) {
        if (!applies(who, i, key) || !probe_setting(who->settings, space_settings[i].name, value, sizeof value) ||
            strcmp(value, space_settings[i].bad) != 0)
            continue;
        snprintf(advice, PROBE_ADVICE,
                 "namespaces are forbidden by %s=%s: sysctl -w %s=%s, and keep it in /etc/sysctl.d",
                 space_settings[i].name, value, space_settings[i].name, space_settings[i].good);
        return;
    }
    snprintf(advice, PROBE_ADVICE,
             "namespaces do not work here, and no setting says why: a container or a service manager forbids them "
             "(RestrictNamespaces=, a seccomp or AppArmor profile)%s",
             who->privileged ? "" : "; allow them there, or run caissond as root");
}

/* ── all others ──────────────────────────────────────────────────────────────────────────────────────── */

static const struct {
    const char *key, *advice;
} rows[] = {
    {"seccomp",
     "this kernel does not filter system calls (seccomp): it needs CONFIG_SECCOMP_FILTER, as every kernel of a "
     "distribution has, and a container that allows seccomp(2)"},
    {"listener", "system calls cannot be reported by seccomp's user notification, with descriptors put in: it needs "
                 "Linux 5.14, and a container that allows it"},
    {"no_new_privs", "no_new_privs is refused: a container or an emulator answers prctl(2)"},
    {"landlock", "Landlock does not work here: it needs Linux 5.13 and landlock in the kernel's list of modules, "
                 "lsm=landlock,… on its command line; a container must allow landlock_create_ruleset(2)"},
    {"plugin_uid", "root must be able to give each connector a user of its own: allow CAP_SYS_ADMIN, CAP_SETUID, "
                   "CAP_SETGID, CAP_SETPCAP and CAP_KILL and map the users of UidBase=, or run caissond as an ordinary "
                   "user"},
    {"no_dumps", "a process that must not leave a core does: look at kernel.core_pattern and at who answers prctl(2)"},
    {"hidden_memory", "a process can look into another one of the same user although that one hides its memory: "
                      "somebody gave this user CAP_SYS_PTRACE"},
    {"limits", "resource limits (setrlimit) do not hold: a container or an emulator answers them"},
    {"oom_score", "/proc/self/oom_score_adj cannot be raised: mount /proc for writing"},
    {"proc",
     "a process's state cannot be read from outside: /proc must be mounted without hidepid=, from Linux 5.9 on"},
    {"landlock_tcp", "a newer kernel (Linux 6.7) has it; the lists of system calls hold without"},
    {"landlock_signals", "a newer kernel (Linux 6.12) has it; the lists of system calls hold without"},
    {"mdwe", "a newer kernel (Linux 6.3) has it; the workers' list holds without"},
    {"memfd_secret", "memfd_secret(2) is off: secretmem.enable=1 on the kernel's command line; without it keys lie in "
                     "locked memory"},
};

void probe_advise(const struct probe_who *who, const char *key, char advice[PROBE_ADVICE])
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].key, key) != 0) continue;
        snprintf(advice, PROBE_ADVICE, "%s", rows[i].advice);
        return;
    }
    advise_space(who, key, advice);
}
