/* SPDX-License-Identifier: Apache-2.0 */
/* Does each wall really hold here? Each is put up in a child, which then tries what it must not be able to do: a return
 * code, a version or a file that says so is not believed. The runner refuses to start by these results; caisson doctor
 * shows them. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* MUST: nothing runs without it. LOWERABLE: only with MinimumIsolation=lowered. EXTRA: strengthens what others hold. */
enum probe_need { PROBE_MUST, PROBE_LOWERABLE, PROBE_EXTRA };
enum probe_state { PROBE_HOLDS, PROBE_MISSING, PROBE_NOT_NEEDED };

enum { PROBES_MOST = 32, PROBE_ADVICE = 280 };

struct probe_result {
    const char *key, *name; /* for programs; for people. Static. */
    enum probe_need need;
    enum probe_state state;
    char advice[PROBE_ADVICE]; /* what to do, when it is missing; else empty */
};

struct probe_results {
    unsigned count;
    int landlock_abi; /* as the kernel says, 0: none */
    struct probe_result rows[PROBES_MOST];
};

/* Who the walls are for. privileged: namespaces and uids without a user namespace (privileges_enough). plugin_uid: the
 * first uid that is set aside for connectors; only looked at as root. settings: where sysctl files are, for advice. */
struct probe_who {
    bool privileged;
    uid_t plugin_uid;
    const char *settings; /* NULL: /proc/sys */
};

/* True for a process that can make namespaces and change uids without a user namespace. */
bool probe_privileged(void);
/* Tries every wall, all at the same time, all within 15 seconds. extras: those that the daemon can do without too, and
 * each kind of namespace alone even where all of them hold together. */
void probe_walls(const struct probe_who *who, bool extras, struct probe_results *found);
/* Refuses what may not be done without, in words for the administrator. lowered: MinimumIsolation=lowered; without: the
 * walls (bit per enum wall) that cells then do not put up. */
bool probe_judge(const struct probe_results *found, bool lowered, uint32_t *without, struct err *err);

/* The value of a sysctl, "kernel.yama.ptrace_scope"; false: there is none here. settings as above. */
bool probe_setting(const char *settings, const char *name, char *value, size_t size);
