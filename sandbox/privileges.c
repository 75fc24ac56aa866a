/* SPDX-License-Identifier: Apache-2.0 */
/* Uids and capabilities: what a cell gives up, and what little a runner with privileges keeps. */
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "namespace.h"

static const int runner_needs[] = {CAP_SYS_ADMIN, CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_KILL};
enum { NEEDS = sizeof runner_needs / sizeof *runner_needs };

static uint32_t needs_mask(void)
{
    uint32_t mask = 0;
    for (int i = 0; i < NEEDS; i++) mask |= 1u << runner_needs[i];
    return mask;
}

static bool caps_get(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    return syscall(SYS_capget, &head, data) == 0;
}

static bool caps_set(uint32_t permitted, uint32_t inheritable)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{permitted, permitted, inheritable}, {0, 0, 0}};
    return syscall(SYS_capset, &head, data) == 0;
}

bool privileges_enough(void)
{
    struct __user_cap_data_struct data[2];
    return caps_get(data) && (data[0].effective & needs_mask()) == needs_mask();
}

/* Takes out of the bounding set everything but keep. Capabilities that the kernel does not know end the loop. */
static bool bound(uint32_t keep)
{
    for (int cap = 0; cap < 64; cap++) {
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) < 0) return cap > 0;
        if (cap < 32 && (keep >> cap & 1)) continue;
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) return false;
    }
    return true;
}

bool privileges_drop(uid_t uid, gid_t gid, bool unprivileged, struct err *err)
{
    if (!unprivileged && !bound(0)) return err_sys(err, ERR_MISSING_LAYER, "the bounding set cannot be emptied");
    if (uid && (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0))
        return err_sys(err, ERR_MISSING_LAYER, "the plugin's own uid cannot be taken");
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    struct __user_cap_data_struct left[2];
    if (!caps_set(0, 0) || !caps_get(left) || left[0].permitted || left[1].permitted)
        return err_sys(err, ERR_MISSING_LAYER, "capabilities cannot be given up");
    return true;
}

bool privileges_keep_for_runner(struct err *err)
{
    uint32_t mask = needs_mask();
    if (!bound(mask) || !caps_set(mask, mask))
        return err_sys(err, ERR_MISSING_LAYER, "capabilities cannot be given up");
    for (int i = 0; i < NEEDS; i++)
        if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, runner_needs[i], 0, 0) < 0)
            return err_sys(err, ERR_MISSING_LAYER, "capabilities cannot be handed to cells");
    return true;
}
