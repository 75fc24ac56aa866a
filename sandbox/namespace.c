/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces, the empty root, and the plugin's copy on a mount that stands nowhere. */
#include "namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "sha256.h"

#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
enum { ATTR_RDONLY = 1, ATTR_NOSUID = 2, ATTR_NODEV = 4, ATTR_NOEXEC = 8 };
struct mount_attributes {
    uint64_t set, clear, propagation, user_namespace;
};

unsigned long namespace_flags(bool user)
{
    unsigned long flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
    return user ? flags | CLONE_NEWUSER : flags;
}

static bool put_file(const char *path, const char *text, struct err *err)
{
    FD_AUTO file = open(path, O_WRONLY | O_CLOEXEC);
    if (file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text)) return true;
    return err_sys(err, ERR_MISSING_LAYER, "the kernel does not map ids for a user namespace");
}

bool namespace_map(uid_t uid, gid_t gid, struct err *err)
{
    char users[64], groups[64];
    snprintf(users, sizeof users, "65534 %u 1", uid);
    snprintf(groups, sizeof groups, "65534 %u 1", gid);
    return put_file("/proc/self/setgroups", "deny", err) && put_file("/proc/self/uid_map", users, err) &&
           put_file("/proc/self/gid_map", groups, err);
}

/* A new tmpfs that is mounted nowhere. */
static int detached_tmpfs(const char *size, const char *mode, unsigned attributes)
{
    FD_AUTO context = (int)syscall(SYS_fsopen, "tmpfs", 1 /* CLOEXEC */);
    if (context < 0) return -1;
    if (syscall(SYS_fsconfig, context, 1 /* SET_STRING */, "size", size, 0) < 0 ||
        syscall(SYS_fsconfig, context, 1, "mode", mode, 0) < 0 ||
        syscall(SYS_fsconfig, context, 6 /* CMD_CREATE */, NULL, NULL, 0) < 0)
        return -1;
    return (int)syscall(SYS_fsmount, context, 1 /* CLOEXEC */, attributes);
}

static bool make_read_only(int mount)
{
    struct mount_attributes attributes = {.set = ATTR_RDONLY};
    return syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0;
}

bool namespace_root(struct err *err)
{
    FD_AUTO root = detached_tmpfs("4096", "0555", ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC);
    if (root < 0 || !make_read_only(root)) return err_sys(err, ERR_MISSING_LAYER, "an empty root cannot be made");
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        syscall(SYS_move_mount, root, "", AT_FDCWD, "/proc", 4 /* F_EMPTY_PATH */) < 0 || fchdir(root) < 0 ||
        syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return err_sys(err, ERR_MISSING_LAYER, "the root cannot be replaced by an empty one");
    if (access("/proc", F_OK) == 0 || access("/etc", F_OK) == 0)
        return err_set(err, ERR_MISSING_LAYER, "the old root can still be seen");
    return true;
}

static bool copy_bytes(int from, int to, const uint8_t digest[32], struct err *err)
{
    struct sha256 sha;
    uint8_t block[16384], found[32];
    sha256_init(&sha);
    for (off_t at = 0;;) {
        ssize_t got = pread(from, block, sizeof block, at);
        if (got == 0) break;
        if (got < 0 || write(to, block, (size_t)got) != got)
            return err_sys(err, ERR_LOAD, "the plugin cannot be copied");
        sha256_add(&sha, block, (size_t)got);
        at += got;
    }
    sha256_end(&sha, found);
    if (memcmp(found, digest, sizeof found) != 0)
        return err_set(err, ERR_CHANGED, "the plugin's bytes are not those that were approved");
    return true;
}

bool namespace_copy(int source, const uint8_t digest[32], int *mount, struct err *err)
{
    FD_AUTO place = detached_tmpfs("67108864", "0755", ATTR_NOSUID | ATTR_NODEV);
    if (place < 0) return err_sys(err, ERR_MISSING_LAYER, "a place for the plugin's copy cannot be made");
    int file = openat(place, "plugin.so", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
    if (file < 0) return err_sys(err, ERR_LOAD, "the plugin cannot be copied");
    bool copied = copy_bytes(source, file, digest, err);
    close(file);
    if (!copied) return false;
    if (!make_read_only(place)) return err_sys(err, ERR_MISSING_LAYER, "the plugin's copy cannot be made read-only");
    *mount = take_fd(&place);
    return true;
}

int namespace_open_copy(int mount)
{
    return openat(mount, "plugin.so", O_RDONLY | O_CLOEXEC);
}

bool memory_copy(int source, const uint8_t digest[32], int *copy, struct err *err)
{
    FD_AUTO file = memfd_create("plugin.so", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0) return err_sys(err, ERR_MISSING_LAYER, "a place for the plugin's copy cannot be made");
    if (!copy_bytes(source, file, digest, err)) return false;
    if (fcntl(file, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) < 0)
        return err_sys(err, ERR_MISSING_LAYER, "the plugin's copy cannot be made read-only");
    *copy = take_fd(&file);
    return true;
}

int memory_open_copy(int copy)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", copy);
    return open(path, O_RDONLY | O_CLOEXEC);
}
