/* SPDX-License-Identifier: Apache-2.0 */
/* Every check is made on the open descriptor, so that nothing can be swapped between looking and reading. */
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"

enum { CHUNK = 64 * 1024 };

/* ── opening ───────────────────────────────────────────────────────────────────────────────────────── */

static int open_beneath(int folder, const char *name, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, folder, name, &how, sizeof how);
}

static bool cannot_open(const char *what, struct err *err)
{
    switch (errno) {
    case ENOENT: return err_set(err, ERR_NOT_FOUND, "%s is not there: put it there, or disable the connector", what);
    case ELOOP:
        return err_set(err, ERR_DENIED,
                       "%s is a symbolic link, which is not followed: put the file or folder itself there", what);
    case ENOTDIR:
        return err_set(err, ERR_DENIED, "%s is not a folder: a connector is a folder with its .so and manifest.json",
                       what);
    case EXDEV: return err_set(err, ERR_DENIED, "%s leads out of its folder: put it into a plugin directory", what);
    case EACCES:
        return err_set(err, ERR_DENIED, "%s cannot be read by the loader: make it readable (chmod a+rX)", what);
    default: return err_sys(err, ERR_IO, "%s cannot be opened", what);
    }
}

static bool trusted(const struct stat *status, const struct file_rule *rule, const char *what, struct err *err)
{
    if (status->st_uid != 0 && status->st_uid != rule->owner)
        return err_set(err, ERR_DENIED, "%s belongs to somebody else (user %u): give it to root (chown root)", what,
                       status->st_uid);
    if (status->st_mode & (S_IWGRP | S_IWOTH))
        return err_set(err, ERR_DENIED, "%s can be written by others (chmod go-w)", what);
    return true;
}

static bool right_file(const struct stat *status, const struct file_rule *rule, const char *what, struct err *err)
{
    if (!S_ISREG(status->st_mode))
        return err_set(err, ERR_DENIED, "%s is not a regular file: install the connector anew", what);
    if (status->st_nlink != 1)
        return err_set(err, ERR_DENIED, "%s has more than one name (a hard link): put a copy of its own there (cp)",
                       what);
    if (!trusted(status, rule, what, err)) return false;
    if (status->st_size < 0 || (uint64_t)status->st_size > rule->most)
        return err_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes: no file of a connector is", what, rule->most);
    return true;
}

bool file_open(int folder, const char *name, const struct file_rule *rule, const char *what, int *fd, struct err *err)
{
    struct stat status;
    FD_AUTO file = open_beneath(folder, name, 0);
    if (file < 0) return cannot_open(what, err);
    if (fstat(file, &status) < 0) return err_sys(err, ERR_IO, "%s cannot be looked at", what);
    if (!right_file(&status, rule, what, err)) return false;
    *fd = take_fd(&file);
    return true;
}

bool file_folder(int folder, const char *name, const struct file_rule *rule, int *fd, struct err *err)
{
    struct stat status;
    FD_AUTO file = open_beneath(folder, name, O_DIRECTORY);
    if (file < 0) return cannot_open("the connector's folder", err);
    if (fstat(file, &status) < 0) return err_sys(err, ERR_IO, "the connector's folder cannot be looked at");
    if (!trusted(&status, rule, "the connector's folder", err)) return false;
    *fd = take_fd(&file);
    return true;
}

bool file_read(int folder, const char *name, const struct file_rule *rule, const char *what, struct buf *buf,
               struct err *err)
{
    FD_AUTO file = -1;
    buf_init(buf, rule->most + 1);
    if (!file_open(folder, name, rule, what, &file, err)) return false;
    for (;;) {
        char chunk[4096];
        ssize_t got = read(file, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_sys(err, ERR_IO, "%s cannot be read", what);
        if (got == 0) return true;
        if (buf->used + (size_t)got > rule->most || !buf_add(buf, chunk, (size_t)got))
            return err_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes: no file of a connector is", what,
                           rule->most);
    }
}

/* ── memory files ──────────────────────────────────────────────────────────────────────────────────── */

static bool put_all(int fd, const char *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t put = write(fd, bytes + done, length - done);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        done += (size_t)put;
    }
    return true;
}

static int new_memory(const char *name)
{
    return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

static bool seal(int fd, struct err *err)
{
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0) return true;
    return err_sys(err, ERR_IO, "a copy in memory cannot be sealed");
}

bool memory_seal(const char *name, const void *bytes, size_t length, int *fd, struct err *err)
{
    FD_AUTO memory = new_memory(name);
    if (memory < 0 || !put_all(memory, bytes, length)) return err_sys(err, ERR_IO, "there is no memory for a copy");
    if (!seal(memory, err)) return false;
    *fd = take_fd(&memory);
    return true;
}

static bool copy_bytes(int from, int to, size_t most, struct err *err)
{
    static char chunk[CHUNK];
    for (size_t done = 0;;) {
        ssize_t got = read(from, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_sys(err, ERR_IO, "the shared object cannot be read");
        if (got == 0) return true;
        if ((done += (size_t)got) > most) return err_set(err, ERR_TOO_LARGE, "the shared object is too large");
        if (!put_all(to, chunk, (size_t)got)) return err_sys(err, ERR_IO, "there is no memory for a copy");
    }
}

static bool digest_of(int fd, uint8_t digest[HASH_BYTES], struct err *err)
{
    static unsigned char chunk[CHUNK];
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    for (off_t at = 0;;) {
        ssize_t got = pread(fd, chunk, sizeof chunk, at);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_sys(err, ERR_IO, "a copy in memory cannot be read");
        if (got == 0) break;
        crypto_hash_sha256_update(&state, chunk, (size_t)got);
        at += got;
    }
    crypto_hash_sha256_final(&state, digest);
    return true;
}

/* Sealed first, hashed then: what was hashed is what everybody gets. */
bool memory_copy(int file, const char *name, size_t most, int *fd, uint8_t digest[HASH_BYTES], struct err *err)
{
    FD_AUTO memory = new_memory(name);
    if (memory < 0) return err_sys(err, ERR_IO, "there is no memory for a copy");
    if (!copy_bytes(file, memory, most, err) || !seal(memory, err) || !digest_of(memory, digest, err)) return false;
    *fd = take_fd(&memory);
    return true;
}
