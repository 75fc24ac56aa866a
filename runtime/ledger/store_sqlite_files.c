/* SPDX-License-Identifier: Apache-2.0 */
/* SQLite's file calls, led into the data folder's descriptor: the ledger's uid need not be able to walk the path, and
 * Landlock needs no more than that one folder. Paths outside STORE_PREFIX go on as they are (tests use them). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_sqlite.h"

static int data_folder = -1;

/* The folder and the relative name that a path means. */
static int lead(const char *path, const char **rest)
{
    size_t length = strlen(STORE_PREFIX);
    *rest = path;
    if (strncmp(path, STORE_PREFIX, length) != 0 || (path[length] && path[length] != '/')) return AT_FDCWD;
    *rest = path[length] && path[length + 1] ? path + length + 1 : ".";
    return data_folder;
}

static int led_open(const char *path, int flags, int mode)
{
    const char *rest;
    int folder = lead(path, &rest);
    return openat(folder, rest, flags | O_CLOEXEC, mode);
}

static int led_access(const char *path, int mode)
{
    const char *rest;
    int folder = lead(path, &rest);
    return faccessat(folder, rest, mode, 0);
}

static int led_stat(const char *path, struct stat *found)
{
    const char *rest;
    int folder = lead(path, &rest);
    return fstatat(folder, rest, found, 0);
}

static int led_lstat(const char *path, struct stat *found)
{
    const char *rest;
    int folder = lead(path, &rest);
    return fstatat(folder, rest, found, AT_SYMLINK_NOFOLLOW);
}

static int led_unlink(const char *path)
{
    const char *rest;
    int folder = lead(path, &rest);
    return unlinkat(folder, rest, 0);
}

static unsigned cuts;

static int led_truncate(int fd, off_t size)
{
    cuts++;
    return ftruncate(fd, size);
}

unsigned store_files_cut(void)
{
    return cuts;
}

int store_file_stat(const char *name, struct stat *found)
{
    return fstatat(data_folder, name, found, AT_SYMLINK_NOFOLLOW);
}

static ssize_t led_readlink(const char *path, char *text, size_t size)
{
    const char *rest;
    int folder = lead(path, &rest);
    return readlinkat(folder, rest, text, size);
}

static int led_directory(const char *path, int *out)
{
    char folder[512];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash) *slash = '\0';
    *out = led_open(slash && slash != folder ? folder : "/", O_RDONLY | O_DIRECTORY, 0);
    return *out >= 0 ? SQLITE_OK : SQLITE_CANTOPEN;
}

bool store_files_use(int folder, struct err *err)
{
    static const struct {
        const char *name;
        sqlite3_syscall_ptr call;
    } calls[] = {
        {"open", (sqlite3_syscall_ptr)led_open},
        {"access", (sqlite3_syscall_ptr)led_access},
        {"stat", (sqlite3_syscall_ptr)led_stat},
        {"lstat", (sqlite3_syscall_ptr)led_lstat},
        {"unlink", (sqlite3_syscall_ptr)led_unlink},
        {"readlink", (sqlite3_syscall_ptr)led_readlink},
        {"ftruncate", (sqlite3_syscall_ptr)led_truncate},
        {"openDirectory", (sqlite3_syscall_ptr)led_directory},
    };
    sqlite3_vfs *vfs = sqlite3_vfs_find("unix");
    if (!vfs || vfs->iVersion < 3) return err_set(err, ERR_INTERNAL, "this SQLite has no replaceable file calls");
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (vfs->xSetSystemCall(vfs, calls[i].name, calls[i].call) != SQLITE_OK)
            return err_set(err, ERR_INTERNAL, "this SQLite does not let its file call \"%s\" be replaced",
                           calls[i].name);
    data_folder = folder;
    return true;
}
