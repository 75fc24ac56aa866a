/* SPDX-License-Identifier: Apache-2.0 */
/* Where proofs and exports go. An auditor's path must not become a connector's code: CVE-2025-6000 was that. */
#include "audit_place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"

#ifndef PLUGINS_DIR
#define PLUGINS_DIR "/usr/lib/caisson/plugins"
#endif

enum { FORBIDDEN = 64, DEPTH = 128, NAME_MOST = 256, ORIGIN_MOST = 256 };

/* ── what is out of bounds ─────────────────────────────────────────────────────────────────────────── */

struct bounds {
    unsigned count;
    struct {
        dev_t device;
        ino_t inode;
    } list[FORBIDDEN];
};

static void forbid(struct bounds *bounds, const char *path)
{
    struct stat status;
    if (bounds->count == FORBIDDEN || stat(path, &status) < 0) return;
    bounds->list[bounds->count].device = status.st_dev;
    bounds->list[bounds->count++].inode = status.st_ino;
}

static void forbid_all(const struct home *home, struct bounds *bounds)
{
    static const char *const own[] = {"plugins", "plugins.d", "keys", "data", "witness", "run"};
    char path[HOME_PATH * 2], value[HOME_PATH];
    bounds->count = 0;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        snprintf(path, sizeof path, "%s/%s", home->path, own[i]);
        forbid(bounds, path);
    }
    forbid(bounds, PLUGINS_DIR);
    for (unsigned i = 0; home_setting(home, "Plugins", "Directory", i, value, sizeof value); i++) {
        snprintf(path, sizeof path, "%s%s%s", *value == '/' ? "" : home->path, *value == '/' ? "" : "/", value);
        forbid(bounds, path);
    }
}

static bool forbidden(const struct bounds *bounds, const struct stat *status)
{
    for (unsigned i = 0; i < bounds->count; i++)
        if (bounds->list[i].device == status->st_dev && bounds->list[i].inode == status->st_ino) return true;
    return false;
}

/* From the folder itself up to the root: by what they are, not by what they are called. */
static bool in_bounds(const struct home *home, int folder, struct err *err)
{
    struct bounds bounds;
    struct stat status, above;
    forbid_all(home, &bounds);
    if (faccessat(folder, "manifest.json", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return err_set(err, ERR_DENIED, "a connector lies there: exports go elsewhere");
    FD_AUTO at = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int depth = 0; at >= 0 && depth < DEPTH && fstat(at, &status) == 0; depth++) {
        if (forbidden(&bounds, &status))
            return err_set(err, ERR_DENIED,
                           "that place belongs to the connectors or to the daemon: exports go elsewhere");
        int up = openat(at, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (up < 0) up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (up < 0 || fstat(up, &above) < 0) break;
        close_fd(&at);
        at = up;
        if (above.st_dev == status.st_dev && above.st_ino == status.st_ino) return true; /* the root */
    }
    return err_sys(err, ERR_IO, "cannot tell where that place lies");
}

/* The folder that the last part of the path is to stand in, and that part. */
static bool parent_of(const struct home *home, const char *path, int *parent, char name[NAME_MOST], struct err *err)
{
    char folder[PATH_MAX];
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') length--;
    snprintf(folder, sizeof folder, "%.*s", (int)length, path);
    char *slash = strrchr(folder, '/');
    const char *last = slash ? slash + 1 : folder;
    if (length >= sizeof folder || strlen(last) >= NAME_MOST || !*last || strcmp(last, ".") == 0 ||
        strcmp(last, "..") == 0)
        return err_set(err, ERR_USAGE, "%.100s is no name for an export", path);
    snprintf(name, NAME_MOST, "%s", last);
    if (slash) slash[slash == folder] = '\0';
    FD_AUTO fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return err_sys(err, ERR_NOT_FOUND, "there is no folder for %.200s", path);
    if (!in_bounds(home, fd, err)) return false;
    *parent = take_fd(&fd);
    return true;
}

/* ── a file ────────────────────────────────────────────────────────────────────────────────────────── */

static bool to_stdout(const char *path)
{
    return !path || strcmp(path, "-") == 0;
}

bool place_file(const struct home *home, const char *path, FILE **out, struct err *err)
{
    char name[NAME_MOST];
    FD_AUTO parent = -1;
    if (to_stdout(path)) {
        *out = stdout;
        return true;
    }
    if (!parent_of(home, path, &parent, name, err)) return false;
    FD_AUTO fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) return err_set(err, ERR_EXISTS, "there is a %.200s already", path);
    if (fd < 0) return err_sys(err, ERR_IO, "cannot make %.200s", path);
    *out = fdopen(fd, "w");
    if (!*out) return err_sys(err, ERR_IO, "cannot write to %.200s", path);
    (void)take_fd(&fd);
    return true;
}

bool place_done(const char *path, FILE *out, bool good, struct err *err)
{
    if (to_stdout(path)) return good && (fflush(out) == 0 || err_sys(err, ERR_IO, "the output cannot be written"));
    bool kept = good && fflush(out) == 0 && fsync(fileno(out)) == 0;
    if (good && !kept) err_sys(err, ERR_IO, "cannot write %.200s", path);
    kept = (fclose(out) == 0 || !kept || err_sys(err, ERR_IO, "cannot write %.200s", path)) && kept;
    if (!kept) unlink(path);
    return kept;
}

/* ── a folder ──────────────────────────────────────────────────────────────────────────────────────── */

static bool empty(int folder)
{
    int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = copy < 0 ? NULL : fdopendir(copy);
    if (!entries) return close_fd(&copy), false;
    bool found = false;
    for (const struct dirent *one; !found && (one = readdir(entries));)
        found = strcmp(one->d_name, ".") != 0 && strcmp(one->d_name, "..") != 0;
    closedir(entries);
    return !found;
}

/* Does it hold a checkpoint of that very log? */
static bool of_this_log(int folder, const char *origin)
{
    char text[ORIGIN_MOST];
    FD_AUTO fd = openat(folder, "checkpoint", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text);
    size_t length = strlen(origin);
    return got > (ssize_t)length && memcmp(text, origin, length) == 0 && text[length] == '\n';
}

bool place_folder(const struct home *home, const char *path, const char *origin, int *folder, struct err *err)
{
    char name[NAME_MOST];
    FD_AUTO parent = -1;
    if (!parent_of(home, path, &parent, name, err)) return false;
    if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST) return err_sys(err, ERR_IO, "cannot make %.200s", path);
    FD_AUTO fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return err_sys(err, ERR_EXISTS, "%.200s is there already and no folder", path);
    if (!in_bounds(home, fd, err)) return false;
    if (!empty(fd) && !of_this_log(fd, origin))
        return err_set(
            err, ERR_EXISTS,
            "%.200s holds something else than an export of this log, or one that never got to its end: remove it, "
            "or name another folder",
            path);
    *folder = take_fd(&fd);
    return true;
}

/* The folder of the path's last part, made where it is not there yet; *name: that part. */
static bool open_below(int folder, const char *path, int *below, const char **name, struct err *err)
{
    FD_AUTO at = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (const char *slash; at >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
        char part[NAME_MOST];
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        mkdirat(at, part, 0700);
        int next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close_fd(&at);
        at = next;
    }
    if (at < 0) return err_sys(err, ERR_IO, "cannot make a folder of the export");
    *below = take_fd(&at);
    *name = path;
    return true;
}

bool place_put(int folder, const char *path, const void *bytes, size_t count, struct err *err)
{
    static const char draft[] = ".new";
    const char *name;
    FD_AUTO below = -1;
    if (!open_below(folder, path, &below, &name, err)) return false;
    unlinkat(below, draft, 0);
    FD_AUTO fd = openat(below, draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool good = fd >= 0;
    for (size_t done = 0; good && done < count;) {
        ssize_t put = write(fd, (const char *)bytes + done, count - done);
        good = put > 0 || (put < 0 && errno == EINTR);
        if (put > 0) done += (size_t)put;
    }
    if (good && renameat(below, draft, below, name) == 0) return true;
    err_sys(err, ERR_IO, "cannot write %.100s of the export", path);
    unlinkat(below, draft, 0);
    return false;
}
