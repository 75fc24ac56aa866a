/* SPDX-License-Identifier: Apache-2.0 */
/* Every place is opened anew for every checkpoint, at most one a minute: so files may be rotated and syslog restarted.
 * Runs in a process of its own (push.c): a disk elsewhere that is stuck holds up nobody. */
#include "sinks.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/ids.h"

enum { PRIORITY = 10 * 8 + 5 /* authpriv, notice */, DEPTH = 128, FORBIDDEN_BITS = 0137 /* more than 0640 */ };

bool sink_note_sound(const char *note, size_t length)
{
    static const char dash[] = "\u2014";
    for (size_t i = 0; i < length; i++) {
        bool begins = length - i >= sizeof dash - 1 && memcmp(note + i, dash, sizeof dash - 1) == 0;
        if (begins)
            i += sizeof dash - 2;
        else if (note[i] != '\n' && (note[i] < ' ' || note[i] > '~'))
            return false;
    }
    return length > 0 && note[length - 1] == '\n';
}

/* ── a file ────────────────────────────────────────────────────────────────────────────────────────── */

static bool same_place(const char *path, const struct stat *status)
{
    struct stat other;
    return stat(path, &other) == 0 && other.st_dev == status->st_dev && other.st_ino == status->st_ino;
}

/* From the folder up to the root, by what they are, not by what they are called. */
static bool in_bounds(int folder, const struct sink_bounds *bounds, struct err *err)
{
    struct stat status, above;
    FD_AUTO at = openat(folder, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (int depth = 0; at >= 0 && depth < DEPTH && fstat(at, &status) == 0; depth++) {
        bool bad = depth == 0 && same_place(bounds->in, &status);
        for (unsigned i = 0; i < bounds->count; i++) bad = bad || same_place(bounds->below[i], &status);
        if (bad)
            return err_set(err, ERR_DENIED,
                           "[Push] File= lies in a folder that is the daemon's or the connectors' own");
        int up = openat(at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (up < 0 || fstat(up, &above) < 0) break;
        close_fd(&at);
        at = up;
        if (above.st_dev == status.st_dev && above.st_ino == status.st_ino) return true; /* the root */
    }
    return err_set(err, ERR_DENIED, "the folders above [Push] File= cannot be looked at");
}

static bool ours(const struct stat *status, mode_t allowed)
{
    bool written_by_others = (status->st_mode & (S_IWGRP | S_IWOTH)) && !(status->st_mode & allowed);
    return (status->st_uid == 0 || status->st_uid == geteuid()) && !written_by_others;
}

/* Step by step from the root, through no link and no folder in which others could put another one in its place. */
static bool descend(char *path, int *folder, struct err *err)
{
    char *rest = NULL;
    struct stat status;
    FD_AUTO at = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (char *name = strtok_r(path, "/", &rest); at >= 0 && name; name = strtok_r(NULL, "/", &rest)) {
        int next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close_fd(&at);
        at = next;
        if (at >= 0 && (fstat(at, &status) < 0 || !ours(&status, S_ISVTX)))
            return err_set(err, ERR_DENIED, "a folder above that of [Push] File= can be written by others");
    }
    *folder = at < 0 ? -1 : openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *folder >= 0 || err_sys(err, ERR_IO, "the folder of [Push] File= cannot be opened (no link may lead there)");
}

/* A folder in which others could put a link, or another file, is no place to append to as this user. */
static bool open_folder(const char *path, const struct sink_bounds *bounds, const char **name, int *folder,
                        struct err *err)
{
    char above[PATH_MAX];
    struct stat status;
    const char *slash = strrchr(path, '/');
    if (!slash || !slash[1] || strlen(path) >= sizeof above)
        return err_set(err, ERR_BAD_INPUT, "[Push] File= names no file");
    snprintf(above, sizeof above, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    FD_AUTO fd = -1;
    if (!descend(above, &fd, err)) return false;
    if (fstat(fd, &status) < 0 || !ours(&status, 0))
        return err_set(err, ERR_DENIED, "the folder of [Push] File= can be written by others");
    if (!in_bounds(fd, bounds, err)) return false;
    *name = slash + 1;
    *folder = take_fd(&fd);
    return true;
}

static bool open_file(int folder, const char *name, int *file, struct err *err)
{
    struct stat status;
    bool made = faccessat(folder, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
    int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    FD_AUTO fd = openat(folder, name, flags, 0640);
    if (fd < 0 || fstat(fd, &status) < 0) return err_sys(err, ERR_IO, "the file of [Push] File= cannot be opened");
    if (!S_ISREG(status.st_mode) || status.st_nlink != 1 || (status.st_uid != 0 && status.st_uid != geteuid()))
        return err_set(err, ERR_DENIED, "what [Push] File= names is no plain file of the daemon's own");
    if (status.st_mode & FORBIDDEN_BITS)
        return err_set(err, ERR_DENIED, "the file of [Push] File= must have mode 0640 or less");
    if (made && fsync(folder) < 0) return err_sys(err, ERR_IO, "the folder of [Push] File= cannot be written");
    *file = take_fd(&fd);
    return true;
}

bool sink_append(const char *path, const struct sink_bounds *bounds, const char *note, size_t length, struct err *err)
{
    const char *name;
    struct stat before;
    FD_AUTO folder = -1;
    FD_AUTO file = -1;
    if (!open_folder(path, bounds, &name, &folder, err) || !open_file(folder, name, &file, err)) return false;
    struct iovec pieces[2] = {{(void *)note, length}, {(void *)"\n", 1}};
    if (fstat(file, &before) < 0) return err_sys(err, ERR_IO, "the file of [Push] File= cannot be looked at");
    if (writev(file, pieces, 2) == (ssize_t)length + 1 && fsync(file) == 0) return true;
    err_sys(err, ERR_IO, "the file of [Push] File= took no whole checkpoint");
    if (ftruncate(file, before.st_size) < 0) errno = 0; /* half a note is no note: readers skip it */
    return false;
}

/* ── syslog ────────────────────────────────────────────────────────────────────────────────────────── */

/* What comes between a note's lines is written as \n, and a note has no backslash. */
static size_t add_note(const struct ctl_push *push, char *line, size_t used, size_t room)
{
    for (uint32_t i = 0; i < push->length; i++) {
        if (used + 2 >= room) return 0;
        if (push->note[i] == '\n') line[used++] = '\\';
        line[used++] = push->note[i] == '\n' ? 'n' : push->note[i];
    }
    return used;
}

size_t sink_line(const struct ctl_push *push, uint64_t now, const char *host, char *line, size_t room)
{
    char root[HASH_TEXT], at[32];
    time_t seconds = (time_t)now;
    struct tm parts;
    if (!gmtime_r(&seconds, &parts) || !strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &parts)) return 0;
    hex_text(push->root, HASH_BYTES, root);
    int used = snprintf(line, room, "<%d>1 %s %s caissond %ld checkpoint [checkpoint@32473 size=\"%llu\" root=\"%s\"] ",
                        PRIORITY, at, *host ? host : "-", (long)getpid(), (unsigned long long)push->size, root);
    return used > 0 && (size_t)used < room ? add_note(push, line, (size_t)used, room) : 0;
}

static void host_name(char host[256])
{
    if (gethostname(host, 255) < 0) host[0] = '\0';
    host[255] = '\0';
    for (char *c = host; *c; c++)
        if (*c <= ' ' || *c > '~') *c = '-';
}

bool sink_say(const char *path, const struct ctl_push *push, struct err *err)
{
    char line[2 * PUSH_NOTE + 512], host[256];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return err_set(err, ERR_BAD_INPUT, "[Push] Syslog= is too long a path");
    memcpy(address.sun_path, path, strlen(path) + 1);
    host_name(host);
    size_t used = sink_line(push, clock_wall() / CLOCK_S, host, line, sizeof line);
    if (!used) return err_set(err, ERR_INTERNAL, "the checkpoint fits into no line of syslog's");
    FD_AUTO fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        send(fd, line, used, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)used)
        return err_sys(err, ERR_IO, "syslog ([Push] Syslog=) took no checkpoint");
    return true;
}
