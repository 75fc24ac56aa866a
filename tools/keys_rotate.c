/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a master key's rotation: the next one beside the one in use, then in its place. Each step is whole on
 * disk before the next begins, so that a crash leaves files that the same command goes on with. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "keys_files.h"

#define NEXT "master.key.next"

static bool make_next(int folder, const uint8_t *share, uint8_t master[KEY_BYTES], struct err *err)
{
    char text[MASTER_FILE_BYTES];
    crypto_kdf_keygen(master);
    master_text_half(master, share, text);
    bool good = key_file_put(folder, NEXT, 0600, text, sizeof text, false, err);
    sodium_memzero(text, sizeof text);
    return good;
}

bool keys_make_next(int home_dirfd, const uint8_t *share, bool may_make, struct err *err)
{
    uint8_t master[KEY_BYTES];
    FD_AUTO folder = -1;
    if (!key_library(err) || !key_file_folder(home_dirfd, &folder, err)) return false;
    bool there = key_file_exists(folder, NEXT), good = key_file_read(folder, "master.key", share, master, err);
    if (good && !there && !may_make)
        good = err_set(err, ERR_STATE, "keys/" NEXT " is missing, and keys are under it already: put that file back");
    if (good) good = there ? key_file_read(folder, NEXT, share, master, err) : make_next(folder, share, master, err);
    sodium_memzero(master, sizeof master);
    return good;
}

/* The bytes of a file that has no name any more. One that has another name was linked by somebody who wants it, unless
 * that is a draft's, left by a kill. */
static bool wipe(int folder, int fd, struct err *err)
{
    static const char zeros[MASTER_FILE_BYTES];
    struct stat status;
    key_file_drop_draft(folder, "master.key");
    key_file_drop_draft(folder, NEXT);
    if (fstat(fd, &status) < 0) return err_sys(err, ERR_IO, "cannot look at the old master key");
    if (status.st_nlink > 0) return true;
    return (pwrite(fd, zeros, sizeof zeros, 0) == (ssize_t)sizeof zeros && fsync(fd) == 0) ||
           err_sys(err, ERR_IO, "cannot overwrite the old master key");
}

static bool rename_next(int folder, struct err *err)
{
    FD_AUTO old = openat(folder, "master.key", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (old < 0) return err_sys(err, ERR_IO, "cannot open keys/master.key");
    if (renameat(folder, NEXT, folder, "master.key") < 0 || fsync(folder) < 0)
        return err_sys(err, ERR_IO, "cannot put keys/" NEXT " in the place of keys/master.key");
    return wipe(folder, old, err);
}

bool keys_replace_master(int home_dirfd, const uint8_t master[KEY_BYTES], const uint8_t *share, struct err *err)
{
    char text[MASTER_FILE_BYTES];
    FD_AUTO folder = -1;
    if (!key_file_folder(home_dirfd, &folder, err)) return false;
    FD_AUTO old = openat(folder, "master.key", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (old < 0) return err_sys(err, ERR_IO, "cannot open keys/master.key");
    master_text_half(master, share, text);
    bool good = key_file_put(folder, "master.key", 0600, text, sizeof text, true, err);
    sodium_memzero(text, sizeof text);
    return good && wipe(folder, old, err);
}

static bool put_public(int folder, const uint8_t master[KEY_BYTES], struct err *err)
{
    struct keys_public public;
    key_file_public(master, &public);
    return key_file_put_public(folder, &public, true, err);
}

bool keys_replace(int home_dirfd, const uint8_t *share, struct err *err)
{
    uint8_t master[KEY_BYTES];
    FD_AUTO folder = -1;
    if (!key_library(err) || !key_file_folder(home_dirfd, &folder, err)) return false;
    bool next = key_file_exists(folder, NEXT);
    bool good = key_file_read(folder, next ? NEXT : "master.key", share, master, err) &&
                put_public(folder, master, err) && (!next || rename_next(folder, err));
    sodium_memzero(master, sizeof master);
    return good;
}

bool keys_publish(int home_dirfd, const uint8_t *share, struct err *err)
{
    uint8_t master[KEY_BYTES];
    FD_AUTO folder = -1;
    if (!key_library(err) || !key_file_folder(home_dirfd, &folder, err)) return false;
    bool good = key_file_read(folder, "master.key", share, master, err) && put_public(folder, master, err);
    sodium_memzero(master, sizeof master);
    return good;
}
