/* SPDX-License-Identifier: Apache-2.0 */
/* The Landlock wall, by raw calls and constants of our own: the build machine's headers may be older than the kernel.
 */
#include "landlock.h"

#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

enum { RULESET_VERSION = 1, RULE_PATH_BENEATH = 1 };
enum { /* file rights, in the order of the ABI */
       FS_EXECUTE = 1 << 0,
       FS_WRITE_FILE = 1 << 1,
       FS_READ_FILE = 1 << 2,
       FS_READ_DIR = 1 << 3,
       FS_REMOVE_DIR = 1 << 4,
       FS_REMOVE_FILE = 1 << 5,
       FS_MAKE_DIR = 1 << 7,
       FS_MAKE_REG = 1 << 8,
       FS_ABI1 = (1 << 13) - 1,
       FS_REFER = 1 << 13,
       FS_TRUNCATE = 1 << 14,
       FS_IOCTL_DEV = 1 << 15
};
enum { NET_BIND = 1, NET_CONNECT = 2, SCOPE_ABSTRACT = 1, SCOPE_SIGNAL = 2 };

struct ruleset_attr {
    uint64_t fs, net, scoped;
};
struct path_attr {
    uint64_t allowed;
    int32_t parent;
} __attribute__((packed));

int landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, RULESET_VERSION);
    return abi < 0 ? 0 : (int)abi;
}

static uint64_t fs_known(int abi)
{
    uint64_t rights = FS_ABI1;
    if (abi >= 2) rights |= FS_REFER;
    if (abi >= 3) rights |= FS_TRUNCATE;
    if (abi >= 5) rights |= FS_IOCTL_DEV;
    return rights;
}

static struct ruleset_attr attr_of(const struct landlock_wish *wish, int abi)
{
    struct ruleset_attr attr = {0};
    if (wish->files != LANDLOCK_FILES_OPEN) attr.fs = fs_known(abi);
    if (abi >= 4) attr.net = (wish->may_bind ? 0 : NET_BIND) | (wish->may_connect ? 0 : NET_CONNECT);
    if (abi >= 6) attr.scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL;
    return attr;
}

static size_t attr_size(int abi)
{
    if (abi >= 6) return sizeof(struct ruleset_attr);
    return abi >= 4 ? offsetof(struct ruleset_attr, scoped) : offsetof(struct ruleset_attr, net);
}

static bool add_folders(int rules, const struct landlock_wish *wish, uint64_t known, struct err *err)
{
    uint64_t rights = FS_READ_FILE | FS_READ_DIR;
    if (wish->files == LANDLOCK_FILES_WRITE)
        rights |= FS_WRITE_FILE | FS_REMOVE_FILE | FS_MAKE_REG | FS_MAKE_DIR | FS_REMOVE_DIR | FS_TRUNCATE;
    for (int i = 0; i < wish->folder_count; i++) {
        struct path_attr path = {rights & known, wish->folders[i]};
        if (syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &path, 0) != 0)
            return err_sys(err, ERR_MISSING_LAYER, "Landlock does not take a folder");
    }
    return true;
}

bool landlock_enter(const struct landlock_wish *wish, struct err *err)
{
    int abi = landlock_abi();
    if (abi < 1)
        return err_set(err, ERR_MISSING_LAYER,
                       "this kernel has no Landlock, or it is switched off: it needs Linux 5.13 and \"landlock\" in "
                       "the lsm= list");
    struct ruleset_attr attr = attr_of(wish, abi);
    if (!attr.fs && !attr.net && !attr.scoped) return true; /* the runner on a kernel with file rules only */
    FD_AUTO rules = (int)syscall(SYS_landlock_create_ruleset, &attr, attr_size(abi), 0);
    if (rules < 0) return err_sys(err, ERR_MISSING_LAYER, "Landlock does not make a ruleset");
    if (!add_folders(rules, wish, attr.fs, err)) return false;
    if (syscall(SYS_landlock_restrict_self, rules, 0) != 0)
        return err_sys(err, ERR_MISSING_LAYER, "Landlock does not confine this process");
    return true;
}
