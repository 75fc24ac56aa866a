/* SPDX-License-Identifier: Apache-2.0 */
/* Everything is opened relative to one descriptor and looked at through its own: nothing can be swapped in between. */
#include "home.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/origin.h"
#include "base/text.h"

enum { FOLDER = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW };
enum { LOG_PUB_MAX = 64 * 1024 };

/* ── opening ───────────────────────────────────────────────────────────────────────────────────────── */

static bool open_root(const char *path, struct home *home, struct err *err)
{
    char full[PATH_MAX];
    if (!realpath(path, full))
        return err_set(err, ERR_NOT_FOUND, "there is no home folder %s: make one with \"caisson init --home %s\"", path,
                       path);
    if (!TEXT_COPY(home->path, full)) return err_set(err, ERR_USAGE, "the path of the home folder is too long");
    home->folder = open(full, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return home->folder >= 0 || err_sys(err, ERR_IO, "the home folder %s cannot be opened", path);
}

static bool sub_folder(const struct home *home, const char *name, mode_t mode, int *fd, struct err *err)
{
    if (mode && mkdirat(home->folder, name, mode) < 0 && errno != EEXIST)
        return err_sys(err, ERR_IO, "the home folder %s cannot be written: \"%s\" cannot be made in it", home->path,
                       name);
    *fd = openat(home->folder, name, FOLDER);
    if (*fd >= 0) return true;
    if (errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "the home folder %s has no \"%s\": run \"caisson init --home %s\" first",
                       home->path, name, home->path);
    return err_sys(err, ERR_IO, "\"%s\" in the home folder cannot be opened", name);
}

static void who_holds(int lock, char who[64])
{
    char pid[24];
    ssize_t got = pread(lock, pid, sizeof pid - 1, 0);
    who[0] = '\0';
    if (got <= 0) return;
    pid[got] = '\0';
    if (strspn(pid, "0123456789") == strlen(pid)) snprintf(who, 64, " (started as process %s)", pid);
}

/* A lock of the open file, not of the process: it holds until the last role that keeps a duplicate is gone. */
static bool take_lock(struct home *home, unsigned wait_s, struct err *err)
{
    uint64_t deadline = clock_now() + wait_s * CLOCK_S;
    char who[64];
    home->lock = openat(home->run, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (home->lock < 0) return err_sys(err, ERR_IO, "the home folder %s cannot be written: run/lock", home->path);
    while (flock(home->lock, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) return err_sys(err, ERR_IO, "run/lock cannot be locked");
        if (clock_now() >= deadline) {
            who_holds(home->lock, who);
            return err_set(err, ERR_STATE, "another caissond%s still runs on %s: stop it first", who, home->path);
        }
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    snprintf(who, sizeof who, "%d", getpid());
    if (ftruncate(home->lock, 0) < 0 || pwrite(home->lock, who, strlen(who), 0) < 0)
        return err_sys(err, ERR_IO, "the home folder %s cannot be written: run/lock", home->path);
    return true;
}

/* Ours, or root's, and nobody else may write. */
static bool check_owned(int fd, const char *what, struct err *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0) return err_sys(err, ERR_IO, "%s cannot be looked at", what);
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return err_set(err, ERR_DENIED, "%s belongs to user %u, not to the user who starts the daemon", what,
                       status.st_uid);
    if (status.st_mode & (S_IWGRP | S_IWOTH))
        return err_set(err, ERR_DENIED, "%s can be written by others: chmod go-w", what);
    return true;
}

static const struct home closed = {
    .folder = -1, .run = -1, .keys = -1, .data = -1, .witness = -1, .plugins_d = -1, .lock = -1};

bool home_open(const char *path, unsigned wait_s, struct home *home, struct err *err)
{
    struct home fresh = closed;
    /* Before anything in it is made or written: in somebody else's folder a name may lead to any file. */
    if (open_root(path, &fresh, err) && check_owned(fresh.folder, "the home folder", err) &&
        sub_folder(&fresh, "run", 0755, &fresh.run, err) && check_owned(fresh.run, "the folder \"run\"", err) &&
        take_lock(&fresh, wait_s, err)) {
        *home = fresh;
        return true;
    }
    home_close(&fresh);
    return false;
}

void home_close(struct home *home)
{
    int *all[] = {&home->folder, &home->run, &home->keys, &home->data, &home->witness, &home->plugins_d, &home->lock};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) close_fd(all[i]);
}

/* ── looking ───────────────────────────────────────────────────────────────────────────────────────── */

static bool key_sound(const char *name, const struct stat *status, struct err *err)
{
    if (!S_ISREG(status->st_mode)) return err_set(err, ERR_DENIED, "keys/%s is not a regular file", name);
    if (status->st_uid != geteuid())
        return err_set(err, ERR_DENIED, "keys/%s belongs to user %u, not to the user who starts the daemon", name,
                       status->st_uid);
    if (status->st_mode & 077)
        return err_set(err, ERR_DENIED,
                       "keys/%s can be read by others (mode %04o): chmod 600, and think about "
                       "who may have read it",
                       name, status->st_mode & 07777);
    return true;
}

static bool open_key_file(const struct home *home, const char *name, int *fd, struct stat *status, struct err *err)
{
    FD_AUTO key = openat(home->keys, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (key < 0 && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND,
                       "there is no keys/master.key: run \"caisson init --home %s\" first, or put "
                       "back the key from its backup",
                       home->path);
    if (key < 0) return err_sys(err, ERR_IO, "keys/%s cannot be opened", name);
    if (fstat(key, status) < 0) return err_sys(err, ERR_IO, "keys/%s cannot be looked at", name);
    if (!key_sound(name, status, err)) return false;
    *fd = take_fd(&key);
    return true;
}

static bool open_key(const struct home *home, int *fd, struct stat *status, struct err *err)
{
    return open_key_file(home, "master.key", fd, status, err);
}

bool home_key(struct home *home, int *fd, struct err *err)
{
    struct stat status;
    FD_AUTO key = -1;
    if (!open_key(home, &key, &status, err)) return false;
    bool known = status.st_ino == home->key_inode || (home->next_inode && status.st_ino == home->next_inode);
    if (!known || status.st_dev != home->key_device)
        return err_set(err, ERR_STATE, "keys/master.key is another file than when the daemon started: restart it");
    home->key_inode = status.st_ino;
    *fd = take_fd(&key);
    return true;
}

bool home_key_next(struct home *home, int *fd, struct err *err)
{
    struct stat status;
    FD_AUTO key = -1;
    *fd = -1;
    if (!open_key_file(home, "master.key.next", &key, &status, err)) return err->kind == ERR_NOT_FOUND;
    home->next_inode = status.st_ino;
    *fd = take_fd(&key);
    return true;
}

bool home_share(const struct home *home, int *fd, struct err *err)
{
    *fd = openat(home->keys, "provider.share", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return *fd >= 0 || errno == ENOENT || err_sys(err, ERR_IO, "keys/provider.share cannot be opened");
}

/* systemd puts credentials into a folder of this service alone. */
static bool credential_path(const char *name, char path[PATH_MAX], struct err *err)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    if (!name_valid(name))
        return err_set(err, ERR_BAD_INPUT, "SecretFile=credential:%.80s is not a credential's name", name);
    if (!folder || folder[0] != '/')
        return err_set(err, ERR_NOT_FOUND,
                       "there are no credentials: start the daemon by systemd with LoadCredential= or "
                       "LoadCredentialEncrypted=%s",
                       name);
    int length = snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return length < PATH_MAX || err_set(err, ERR_USAGE, "the folder of the credentials has too long a path");
}

static bool secret_sound(int fd, struct err *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0) return err_sys(err, ERR_IO, "SecretFile= cannot be looked at");
    if (S_ISFIFO(status.st_mode)) return true;
    if (!S_ISREG(status.st_mode)) return err_set(err, ERR_DENIED, "SecretFile= is neither a file nor a pipe");
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return err_set(err, ERR_DENIED, "SecretFile= belongs to user %u, not to the user who starts the daemon",
                       status.st_uid);
    return !(status.st_mode & 077) ||
           err_set(err, ERR_DENIED, "SecretFile= can be read by others (mode %04o): chmod 600", status.st_mode & 07777);
}

bool home_secret(const struct home *home, const char *name, int *fd, struct err *err)
{
    static const char prefix[] = "credential:";
    char path[PATH_MAX];
    bool credential = strncmp(name, prefix, sizeof prefix - 1) == 0;
    if (credential && !credential_path(name + sizeof prefix - 1, path, err)) return false;
    FD_AUTO file = openat(home->folder, credential ? path : name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (file < 0)
        return err_sys(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "SecretFile=%.200s cannot be opened", name);
    if (!secret_sound(file, err)) return false;
    fcntl(file, F_SETFL, 0); /* whoever reads it may wait for a pipe's end */
    *fd = take_fd(&file);
    return true;
}

/* The files of a folder that is still ours. Once the ledger owns it, nothing in it is touched any more: a taken-over
 * ledger could otherwise have a file of somebody else's given to it. */
static bool give_files(int folder, uid_t ledger, struct err *err)
{
    int copy = openat(folder, ".", FOLDER);
    DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    struct stat status;
    bool good = stream != NULL;
    for (struct dirent *one; good && (one = readdir(stream));) {
        if (fstatat(folder, one->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(status.st_mode)) continue;
        good = status.st_nlink == 1 && fchownat(folder, one->d_name, ledger, ledger, AT_SYMLINK_NOFOLLOW) == 0;
    }
    if (stream) closedir(stream);
    return good || err_sys(err, ERR_IO, "the files in \"data\" cannot be given to the ledger's user");
}

static bool give_data(int folder, uid_t ledger, struct err *err)
{
    struct stat status;
    if (fstat(folder, &status) < 0) return err_sys(err, ERR_IO, "\"data\" cannot be looked at");
    if (status.st_uid == ledger)
        return !(status.st_mode & (S_IWGRP | S_IWOTH)) ||
               err_set(err, ERR_DENIED, "the folder \"data\" can be written by others: chmod 700");
    if (geteuid() != 0)
        return err_set(err, ERR_DENIED, "\"data\" belongs to user %u: start the daemon as that user", status.st_uid);
    return give_files(folder, ledger, err) && ((fchown(folder, ledger, ledger) == 0 && fchmod(folder, 0700) == 0) ||
                                               err_sys(err, ERR_IO, "\"data\" cannot be given to the ledger's user"));
}

bool home_check(struct home *home, uid_t ledger, struct err *err)
{
    FD_AUTO key = -1;
    struct stat status;
    if (!sub_folder(home, "keys", 0, &home->keys, err) || !check_owned(home->keys, "the folder \"keys\"", err) ||
        !open_key(home, &key, &status, err))
        return false;
    home->key_inode = status.st_ino;
    home->key_device = status.st_dev;
    return sub_folder(home, "plugins.d", 0, &home->plugins_d, err) &&
           check_owned(home->plugins_d, "the folder \"plugins.d\"", err) &&
           sub_folder(home, "witness", 0700, &home->witness, err) &&
           check_owned(home->witness, "the folder \"witness\"", err) &&
           sub_folder(home, "data", 0700, &home->data, err) && give_data(home->data, ledger, err);
}

/* ── the witness ───────────────────────────────────────────────────────────────────────────────────── */

bool home_witness(const struct home *home, int *fd, struct err *err)
{
    *fd = openat(home->witness, "checkpoint", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return *fd >= 0 || errno == ENOENT || err_sys(err, ERR_IO, "witness/checkpoint cannot be opened");
}

/* Written under another name, brought to the disk, then put in the old one's place. */
static bool replace_file(int folder, const char *name, mode_t mode, const void *bytes, size_t length)
{
    char draft[64];
    snprintf(draft, sizeof draft, "%s.new", name);
    FD_AUTO file = openat(folder, draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    return file >= 0 && fchmod(file, mode) == 0 && write(file, bytes, length) == (ssize_t)length && fsync(file) == 0 &&
           renameat(folder, draft, folder, name) == 0 && fsync(folder) == 0;
}

/* Of another log that came before: its last word stays, whatever becomes of this one. */
static bool keep_earlier(const struct home *home, const struct ctl_witness *witness, struct err *err)
{
    struct ctl_witness last;
    char name[40];
    FD_AUTO file = openat(home->witness, "checkpoint", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (file < 0) return errno == ENOENT || err_sys(err, ERR_IO, "witness/checkpoint cannot be read");
    ssize_t got = read(file, &last, sizeof last);
    if (got != (ssize_t)sizeof last || memcmp(last.origin, witness->origin, sizeof last.origin) == 0) return true;
    last.origin[sizeof last.origin - 1] = '\0';
    snprintf(name, sizeof name, "checkpoint-%llu", (unsigned long long)origin_epoch(last.origin));
    log_event(LOG_LEVEL_WARNING, "audit-epoch", log_text("before", last.origin), log_number("size", last.size),
              log_text("now", witness->origin));
    return faccessat(home->witness, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ||
           replace_file(home->witness, name, 0600, &last, sizeof last) ||
           err_sys(err, ERR_IO, "the last checkpoint of the log before cannot be kept (witness/%s)", name);
}

/* keys/log.pub: the first verifier key of every epoch, a line each, the newest last: where verifiers begin. */
static bool publish(const struct home *home, const char *vkey, struct err *err)
{
    char text[LOG_PUB_MAX + 1], line[sizeof((struct ctl_witness *)0)->first_vkey + 2];
    size_t length = (size_t)snprintf(line, sizeof line, "%.255s\n", vkey), used = 0;
    FD_AUTO file = openat(home->keys, "log.pub", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    ssize_t got = file < 0 ? 0 : read(file, text, LOG_PUB_MAX);
    if ((file < 0 && errno != ENOENT) || got < 0) return err_sys(err, ERR_IO, "keys/log.pub cannot be read");
    used = (size_t)got;
    text[used] = '\0';
    if (strstr(text, line)) return true;
    if (used + length > LOG_PUB_MAX) return err_set(err, ERR_TOO_LARGE, "keys/log.pub is too large");
    memcpy(text + used, line, length);
    return replace_file(home->keys, "log.pub", 0644, text, used + length) ||
           err_sys(err, ERR_IO, "the log's key cannot be published (keys/log.pub)");
}

bool home_write_witness(struct home *home, const struct ctl_witness *witness, struct err *err)
{
    bool known = memcmp(home->published, witness->origin, sizeof home->published) == 0;
    if (!known && (!keep_earlier(home, witness, err) || !publish(home, witness->first_vkey, err))) return false;
    if (!replace_file(home->witness, "checkpoint", 0600, witness, sizeof *witness))
        return err_sys(err, ERR_IO, "the log's checkpoint cannot be written down (witness/checkpoint)");
    memcpy(home->published, witness->origin, sizeof home->published);
    return true;
}

/* ── small files ───────────────────────────────────────────────────────────────────────────────────── */

void home_freeze(const struct home *home, bool *on, bool *now)
{
    char word[4] = "";
    FD_AUTO file = openat(home->folder, "freeze", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    *on = file >= 0 || errno != ENOENT; /* a file that is there and cannot be read still freezes */
    *now = file >= 0 && read(file, word, 3) == 3 && strcmp(word, "now") == 0;
}

/* Whoever may write this file decides who administers. */
static bool text_sound(int fd, const char *name, struct err *err)
{
    struct stat status;
    if (fstat(fd, &status) < 0) return err_sys(err, ERR_IO, "%s cannot be looked at", name);
    return S_ISREG(status.st_mode) ? check_owned(fd, name, err)
                                   : err_set(err, ERR_DENIED, "%s is not a regular file", name);
}

bool home_text(const struct home *home, const char *name, size_t max, char **text, size_t *length, struct err *err)
{
    FD_AUTO file = openat(home->folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    FREE_AUTO char *bytes = malloc(max + 1);
    size_t used = 0;
    if (file < 0 && errno == ENOENT) return err_set(err, ERR_NOT_FOUND, "there is no %s", name);
    if (file < 0) return err_sys(err, ERR_IO, "%s cannot be opened", name);
    if (!bytes) return err_set(err, ERR_BUSY, "there is no memory");
    if (!text_sound(file, name, err)) return false;
    while (used <= max) {
        ssize_t got = read(file, bytes + used, max + 1 - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_sys(err, ERR_IO, "%s cannot be read", name);
        if (got == 0) break;
        used += (size_t)got;
    }
    if (used > max) return err_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes", name, max);
    *length = used;
    *text = take(&bytes);
    return true;
}
