/* SPDX-License-Identifier: Apache-2.0 */
/* Part A of the corpus, first half: host files, the environment, descriptors that were inherited (1–11). */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sins.h"

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

extern char **environ;
static char room[65536];
static long handle[20]; /* a file handle: bytes, type, an inode number */

/* ── 2: what came in with the process ────────────────────────────────────────────────────────────────── */

static long count_environment(struct csn_call *call)
{
    long count = 0;
    for (char **one = environ; one && *one; one++, count++) sins_note(call, "%s", *one);
    return count;
}

static long ask_names(struct csn_call *call)
{
    static const char *const usual[] = {
        "PATH", "HOME",       "USER",     "LANG",          "SHELL", "LD_LIBRARY_PATH", "LD_PRELOAD",
        "TERM", "http_proxy", "NO_PROXY", "SSL_CERT_FILE", "TZ",    "CAISSON_HOME",    "NOTIFY_SOCKET"};
    long found = 0;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (getenv(usual[i]) || secure_getenv(usual[i])) sins_note(call, "%s", usual[i]), found++;
    return found;
}

/* The strings that the kernel put on the stack at the cell's own start lie between these two. */
static long search_stack(struct csn_call *call)
{
    const char *at = (const char *)getauxval(AT_RANDOM), *end = (const char *)getauxval(AT_EXECFN);
    long found = 0;
    if (!at || !end || end < at) return -ENODATA;
    for (at += 16; at < end; at++)
        if (*at == '=')
            sins_note(call, "%.40s", at - (at - 8 > (const char *)getauxval(AT_RANDOM) + 16 ? 8 : 0)), found++;
    return found;
}

/* ── 4: one way of opening for each flag ─────────────────────────────────────────────────────────────── */

static const struct open_how no_xdev = {O_RDONLY, 0, RESOLVE_NO_XDEV}, no_magic = {O_RDONLY, 0, RESOLVE_NO_MAGICLINKS},
                             no_links = {O_RDONLY, 0, RESOLVE_NO_SYMLINKS}, beneath = {O_RDONLY, 0, RESOLVE_BENEATH},
                             in_root = {O_RDONLY, 0, RESOLVE_IN_ROOT}, cached = {O_RDONLY, 0, RESOLVE_CACHED},
                             plain = {O_RDONLY, 0, 0}, all = {O_PATH, 0, 0x3f};
#define HOW(how) P(&(how)), sizeof(struct open_how)

/* ── 5: one number after the other ───────────────────────────────────────────────────────────────────── */

static long guess_handles(struct csn_call *call)
{
    long got = -ESTALE;
    for (long inode = 1; inode < 100000 && got < 0; inode++) {
        handle[0] = 8 | 1L << 32; /* eight bytes, an inode's number and generation */
        handle[1] = inode;
        got = RAW3(open_by_handle_at, AT_FDCWD, handle, O_RDONLY);
    }
    return got;
}

/* ── 8: paths below the daemon's home ────────────────────────────────────────────────────────────────── */

static long open_home(struct csn_call *call)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", csn_input(call, "/home"), (const char *)sins_running()->args[0]);
    return RAW4(openat, AT_FDCWD, path, O_RDONLY, 0);
}

static long stat_home(struct csn_call *call)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", csn_input(call, "/home"), (const char *)sins_running()->args[0]);
    return RAW4(newfstatat, AT_FDCWD, path, room, 0);
}

/* ── 9, 10, 11: descriptors ──────────────────────────────────────────────────────────────────────────── */

static const char *kind_of(int fd)
{
    struct stat what;
    if (fstat(fd, &what) < 0) return "?";
    switch (what.st_mode & S_IFMT) {
    case S_IFCHR: return "device";
    case S_IFIFO: return "pipe";
    case S_IFSOCK: return "socket";
    case S_IFREG: return "file";
    case S_IFDIR: return "folder";
    default: return "other";
    }
}

static long list_open(struct csn_call *call)
{
    static const char *const ways[] = {"r", "w", "rw", "?"};
    static const int beyond[] = {65536, 1 << 20, 0x7fffffff, -1, -100};
    long count = 0;
    for (int fd = 0; fd < 65536; fd++) {
        if (RAW3(fcntl, fd, F_GETFD, 0) < 0) continue;
        sins_note(call, "%d:%s-%s", fd, kind_of(fd), ways[RAW3(fcntl, fd, F_GETFL, 0) & O_ACCMODE]);
        count++;
    }
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) count += RAW3(fcntl, beyond[i], F_GETFD, 0) >= 0;
    return count;
}

static long hoard_pairs(struct csn_call *call)
{
    int ends[64][2], made = 0;
    long got = 0;
    while (made < 64 && (got = RAW4(socketpair, AF_UNIX, SOCK_STREAM, 0, ends[made])) == 0) made++;
    for (int i = 0; i < made; i++) close(ends[i][0]), close(ends[i][1]);
    sins_note(call, "%d pairs", made);
    return got;
}

/* clang-format off */
#define FLAGS_OPEN (O_WRONLY | O_CREAT | O_TRUNC)
#define MAKE(folder, path) \
    DO(7, "openat-" folder, openat, AT_FDCWD, P(path "/x"), FLAGS_OPEN, 0600), DO(7, "creat-" folder, creat, P(path "/x"), 0600), \
    DO(7, "tmpfile-" folder, openat, AT_FDCWD, P(path), O_TMPFILE | O_RDWR, 0600), DO(7, "unlink-" folder, unlink, P(path "/x")), \
    DO(7, "rename-" folder, rename, P(path "/x"), P(path "/y")), DO(7, "chmod-" folder, chmod, P(path), 0777)
#define EACH(f) f(0), f(1), f(2), f(3), f(4), f(5), f(6)
#define SEEK(fd) DO(10, "lseek-" #fd, lseek, fd, 0, SEEK_END)
#define CUT(fd) DO(10, "ftruncate-" #fd, ftruncate, fd, 4096)
#define SHARE(fd) DO(10, "mmap-shared-" #fd, mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
#define WRITE(fd) DO(10, "write-" #fd, write, fd, P("\1\0\0\0junk"), 8)
#define AT_OFFSET(fd) DO(10, "pwrite-" #fd, pwrite64, fd, P("junk"), 4, 0)
#define DUP(fd) DO(11, "dup-" #fd, dup, fd)
#define PROC(name, path) DO(3, "proc-" name, openat, AT_FDCWD, P("/proc/" path), O_RDONLY)

static const struct sin files[] = {
    DO(1, "passwd-open", open, P("/etc/passwd"), O_RDONLY),
    DO(1, "passwd-openat", openat, AT_FDCWD, P("/etc/passwd"), O_RDONLY),
    DO(1, "passwd-as-loader", openat, AT_FDCWD, P("/etc/passwd"), O_RDONLY | O_CLOEXEC),
    DO(1, "passwd-openat2", openat2, AT_FDCWD, P("/etc/passwd"), HOW(plain)),
    DO(1, "shadow-open", open, P("/etc/shadow"), O_RDONLY),
    DO(1, "shadow-openat", openat, AT_FDCWD, P("/etc/shadow"), O_RDONLY),
    DO(1, "shadow-as-loader", openat, AT_FDCWD, P("/etc/shadow"), O_RDONLY | O_CLOEXEC),
    DO(1, "shadow-openat2", openat2, AT_FDCWD, P("/etc/shadow"), HOW(plain)),

    FN(2, "environ", count_environment), FN(2, "getenv", ask_names), FN(2, "stack", search_stack),

    PROC("environ", "self/environ"), PROC("maps", "self/maps"), PROC("root", "self/root"), PROC("fd", "self/fd"),
    PROC("cwd", "self/cwd"), PROC("exe", "self/exe"), PROC("status", "self/status"), PROC("task", "self/task"),
    PROC("thread-self", "thread-self/mem"), PROC("ns", "self/ns/net"), PROC("fd-3", "self/fd/3"),
    PROC("parent-environ", "1/environ"),
    PROC("parent-maps", "1/maps"), PROC("sys", "sys/kernel/core_pattern"), PROC("net", "self/net/tcp"),
    PROC("mounts", "self/mountinfo"),
    DO(3, "proc-mem", openat, AT_FDCWD, P("/proc/self/mem"), O_RDWR),
    DO(3, "proc-parent-mem", openat, AT_FDCWD, P("/proc/1/mem"), O_RDWR),
    DO(3, "environ-open", open, P("/proc/self/environ"), O_RDONLY),
    DO(3, "readlink-exe", readlink, P("/proc/self/exe"), P(room), sizeof room),
    DO(3, "readlinkat-root", readlinkat, AT_FDCWD, P("/proc/self/root"), P(room), sizeof room),
    DO(3, "stat-proc", stat, P("/proc"), P(room)),

    DO(4, "dot-dot", openat, AT_FDCWD, P(".."), O_RDONLY),
    DO(4, "many-dots", openat, AT_FDCWD, P("../../../../etc/passwd"), O_RDONLY),
    DO(4, "root", openat, AT_FDCWD, P("/"), O_RDONLY | O_DIRECTORY),
    DO(4, "root-path", openat, AT_FDCWD, P("/"), O_PATH),
    DO(4, "beneath-channel", openat, 3, P("../etc/passwd"), O_RDONLY),
    DO(4, "empty-name", openat, 3, P(""), O_RDONLY),
    DO(4, "magic-exe", openat, AT_FDCWD, P("/proc/self/exe"), O_RDONLY),
    DO(4, "magic-fd", openat, AT_FDCWD, P("/proc/self/fd/4"), O_RDWR),
    DO(4, "magic-root", openat, AT_FDCWD, P("/proc/1/root/etc/passwd"), O_RDONLY),
    DO(4, "own-file", openat, AT_FDCWD, P("/csn/plugin.so"), O_RDONLY | O_CLOEXEC),
    DO(4, "symlink", symlink, P("/etc/passwd"), P("link")),
    DO(4, "link-openat", openat, AT_FDCWD, P("link"), O_RDONLY),
    DO(4, "nofollow", openat, AT_FDCWD, P("link"), O_PATH | O_NOFOLLOW),
    DO(4, "high-bits", openat, 0x1ffffff9cL, P("/etc/passwd"), O_RDONLY),
    DO(4, "how-plain", openat2, AT_FDCWD, P(".."), HOW(plain)),
    DO(4, "how-no-xdev", openat2, AT_FDCWD, P("/"), HOW(no_xdev)),
    DO(4, "how-no-magiclinks", openat2, AT_FDCWD, P("/"), HOW(no_magic)),
    DO(4, "how-no-symlinks", openat2, AT_FDCWD, P("/"), HOW(no_links)),
    DO(4, "how-beneath", openat2, AT_FDCWD, P("etc"), HOW(beneath)),
    DO(4, "how-in-root", openat2, 3, P("/etc/passwd"), HOW(in_root)),
    DO(4, "how-cached", openat2, AT_FDCWD, P("/"), HOW(cached)),
    DO(4, "how-all", openat2, AT_FDCWD, P("/"), HOW(all)),
    DO(4, "chdir", chdir, P("..")), DO(4, "fchdir", fchdir, 3),

    DO(5, "name-to-handle", name_to_handle_at, AT_FDCWD, P("/"), P(handle), P(room), 0),
    DO(5, "handle-cwd", open_by_handle_at, AT_FDCWD, P(handle), O_RDONLY),
    DO(5, "handle-channel", open_by_handle_at, 3, P(handle), O_RDONLY),
    DO(5, "handle-pipe", open_by_handle_at, 4, P(handle), O_RDONLY | O_DIRECTORY),
    DO(5, "handle-null", open_by_handle_at, 0, P(handle), O_PATH),

    FN(5, "handles-guessed", guess_handles),

    DO(6, "stat", stat, P("/etc"), P(room)), DO(6, "lstat", lstat, P("/etc"), P(room)),
    DO(6, "newfstatat", newfstatat, AT_FDCWD, P("/etc"), P(room), 0),
    DO(6, "newfstatat-nofollow", newfstatat, AT_FDCWD, P("/etc/passwd"), P(room), AT_SYMLINK_NOFOLLOW),
    DO(6, "empty-path-flag", newfstatat, AT_FDCWD, P("/etc/passwd"), P(room), AT_EMPTY_PATH),
    DO(6, "empty-path-absolute", newfstatat, 3, P("/etc/passwd"), P(room), AT_EMPTY_PATH),
    DO(6, "empty-path-proc", newfstatat, AT_FDCWD, P("/proc/1"), P(room), AT_EMPTY_PATH),
    DO(6, "empty-path-up", newfstatat, AT_FDCWD, P("../../home"), P(room), AT_EMPTY_PATH),
    DO(6, "access", access, P("/etc/passwd"), R_OK), DO(6, "faccessat", faccessat, AT_FDCWD, P("/etc/passwd"), R_OK),
    DO(6, "faccessat2", faccessat2, AT_FDCWD, P("/etc/passwd"), R_OK, AT_EACCESS),
    DO(6, "statx", statx, AT_FDCWD, P("/etc/passwd"), 0, 0x7ff, P(room)),
    DO(6, "statx-fd", statx, 3, P(""), AT_EMPTY_PATH, 0x7ff, P(room)),
    DO(6, "readlink", readlink, P("/etc/mtab"), P(room), sizeof room),
    DO(6, "readlinkat", readlinkat, AT_FDCWD, P("/etc/mtab"), P(room), sizeof room),
    DO(6, "getcwd", getcwd, P(room), sizeof room),
    DO(6, "getdents64-0", getdents64, 0, P(room), sizeof room),
    DO(6, "getdents64-3", getdents64, 3, P(room), sizeof room),
    DO(6, "getdents64-cwd", getdents64, AT_FDCWD, P(room), sizeof room),
    DO(6, "getdents", getdents, 3, P(room), sizeof room),
    DO(6, "statfs", statfs, P("/"), P(room)), DO(6, "fstatfs", fstatfs, 3, P(room)),
    DO(6, "ustat", ustat, 1, P(room)), DO(6, "sysfs", sysfs, 3),
    DO(6, "getxattr", getxattr, P("/"), P("user.x"), P(room), 64), DO(6, "listxattr", listxattr, P("/"), P(room), 64),
    DO(6, "flistxattr", flistxattr, 3, P(room), 64), DO(6, "inotify-watch", inotify_add_watch, 3, P("/"), 0xfff),
    DO(6, "fanotify-mark", fanotify_mark, 3, 1, 1, AT_FDCWD, P("/")),
    DO_NUMBER(6, "cachestat", SYS_cachestat, 3, P(room), P(room), 0),

    MAKE("tmp", "/tmp"), MAKE("shm", "/dev/shm"), MAKE("cwd", "."),
    DO(7, "mkdir", mkdir, P("/tmp/x"), 0700), DO(7, "mkdirat", mkdirat, AT_FDCWD, P("x"), 0700),
    DO(7, "mknod", mknod, P("x"), S_IFIFO | 0600, 0),
    DO(7, "mknodat-device", mknodat, AT_FDCWD, P("x"), S_IFCHR | 0600, 0x101),
    DO(7, "symlinkat", symlinkat, P("/etc"), AT_FDCWD, P("x")),
    DO(7, "link", link, P("/csn/plugin.so"), P("x")),
    DO(7, "linkat-fd", linkat, 3, P(""), AT_FDCWD, P("x"), AT_EMPTY_PATH),
    DO(7, "unlinkat", unlinkat, AT_FDCWD, P("x"), 0), DO(7, "rmdir", rmdir, P("x")),
    DO(7, "renameat", renameat, AT_FDCWD, P("x"), AT_FDCWD, P("y")),
    DO(7, "renameat2", renameat2, AT_FDCWD, P("x"), AT_FDCWD, P("y"), 2), DO(7, "truncate", truncate, P("x"), 0),
    DO(7, "fchmod", fchmod, 4, 0777),
    DO(7, "fchmodat", fchmodat, AT_FDCWD, P("/"), 0777),
    DO_NUMBER(7, "fchmodat2", SYS_fchmodat2, AT_FDCWD, P("/"), 0777, 0),
    DO(7, "chown", chown, P("/"), 0, 0), DO(7, "lchown", lchown, P("/"), 0, 0), DO(7, "fchown", fchown, 4, 0, 0),
    DO(7, "fchownat", fchownat, 4, P(""), 0, 0, AT_EMPTY_PATH), DO(7, "utime", utime, P("/"), 0),
    DO(7, "utimes", utimes, P("/"), 0),
    DO(7, "futimesat", futimesat, AT_FDCWD, P("/"), 0), DO(7, "utimensat", utimensat, 4, 0, 0, 0),
    DO(7, "setxattr", setxattr, P("/"), P("user.x"), P("y"), 1, 0),
    DO(7, "lsetxattr", lsetxattr, P("/"), P("user.x"), P("y"), 1, 0),
    DO(7, "fsetxattr", fsetxattr, 4, P("user.x"), P("y"), 1, 0),
    DO(7, "removexattr", removexattr, P("/"), P("user.x")), DO(7, "umask", umask, 0),

    FN(8, "open-key", open_home, P("/keys/master.key")), FN(8, "open-vault", open_home, P("/data/vault.db")),
    FN(8, "open-audit", open_home, P("/data/audit.db")), FN(8, "open-state", open_home, P("/data/state.db")),
    FN(8, "open-plugins.d", open_home, P("/plugins.d")), FN(8, "open-conf", open_home, P("/caisson.conf")),
    FN(8, "open-api-socket", open_home, P("/run/api.sock")),
    FN(8, "open-desk-socket", open_home, P("/run/desk.sock")),
    FN(8, "open-log", open_home, P("/daemon.log")), FN(8, "stat-key", stat_home, P("/keys/master.key")),
    FN(8, "stat-home", stat_home, P("")),

    FN(9, "descriptors", list_open),

    EACH(SEEK), EACH(CUT), EACH(SHARE), EACH(AT_OFFSET), DO(10, "fallocate", fallocate, 4, 0, 0, 4096),
    DO(10, "fsync", fsync, 4),
    WRITE(0), WRITE(1), WRITE(2), WRITE(3), WRITE(5), WRITE(6), WRITE(4),

    EACH(DUP), DO(11, "dup2", dup2, 4, 20), DO(11, "dup2-over-channel", dup2, 0, 4),
    DO(11, "dup3", dup3, 4, 20, O_CLOEXEC),
    DO(11, "dupfd", fcntl, 4, F_DUPFD, 10), DO(11, "dupfd-cloexec", fcntl, 4, F_DUPFD_CLOEXEC, 10),
    FN(11, "pairs", hoard_pairs),
    DO(11, "pipe", pipe, P(room)), DO(11, "pipe2", pipe2, P(room), O_NONBLOCK), DO(11, "eventfd", eventfd, 0),
    DO(11, "eventfd2", eventfd2, 0, 0),
    DO(11, "epoll-create", epoll_create, 8), DO(11, "epoll-create1", epoll_create1, 0),
    DO(11, "signalfd", signalfd, -1, P(room), 8),
    DO(11, "signalfd4", signalfd4, -1, P(room), 8, 0), DO(11, "timerfd", timerfd_create, 0, 0),
    DO(11, "inotify", inotify_init), DO(11, "inotify1", inotify_init1, 0),
    DO(11, "fanotify", fanotify_init, 0, 0), DO(11, "landlock", landlock_create_ruleset, P(room), 8, 0),
    {0}};
/* clang-format on */

extern const struct sin processes[];
const struct sin *const sin_tables[] = {files, processes, NULL};

CSN_CONNECTOR("sins-a", "1.0.0", {"try", sins_try});
