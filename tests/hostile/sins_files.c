/* SPDX-License-Identifier: Apache-2.0 */
/* Takes descriptors, dumps its memory, fills disks (escape corpus 91–93). */
#include "sins.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { PAGE = 4096 };

static long raise_limit(int resource)
{
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    return RAW4(prlimit64, 0, resource, &all, NULL);
}

/* ── 91 descriptors ────────────────────────────────────────────────────────────────────────────────── */

static int pair[2] = {-1, -1};

static int end_of_pair(void)
{
    if (pair[0] < 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) return -1;
    return pair[0];
}

static long pairs(struct csn_call *call)
{
    int ends[2], last = 0;
    long made;
    while ((made = RAW4(socketpair, AF_UNIX, SOCK_STREAM, 0, ends)) == 0) last = ends[1];
    for (int fd = 7; fd <= last; fd++) close(fd);
    sins_note(call, "%s 32", last < 32 ? "below" : "beyond");
    pair[0] = pair[1] = -1;
    return made;
}

static long dup_one(struct csn_call *call)
{
    (void)call;
    return RAW1(dup, end_of_pair());
}

static long dup_far(struct csn_call *call)
{
    (void)call;
    return RAW2(dup2, end_of_pair(), 60000);
}

static long dup_fcntl(struct csn_call *call)
{
    (void)call;
    return RAW3(fcntl, end_of_pair(), F_DUPFD, 100);
}

/* Many descriptors in flight count for nobody's limit: they would be received a thousand times. */
static long pass(int count)
{
    union {
        char bytes[CMSG_SPACE(253 * sizeof(int))];
        struct cmsghdr align;
    } control;
    char byte = 0;
    struct iovec piece = {&byte, 1};
    size_t size = (size_t)count * sizeof(int);
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE(size)};
    memset(&control, 0, sizeof control); /* descriptor 0, count times */
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(size);
    return RAW3(sendmsg, end_of_pair(), &message, 0);
}

static long pass_one(struct csn_call *call)
{
    (void)call;
    return pass(1);
}

static long pass_many(struct csn_call *call)
{
    (void)call;
    return pass(253);
}

static long make_pipe(struct csn_call *call)
{
    int ends[2];
    (void)call;
    return RAW2(pipe2, ends, 0);
}

static long make_event(struct csn_call *call)
{
    (void)call;
    return RAW2(eventfd2, 0, 0);
}

static long make_epoll(struct csn_call *call)
{
    (void)call;
    return RAW1(epoll_create1, 0);
}

static long raise_files(struct csn_call *call)
{
    (void)call;
    return raise_limit(RLIMIT_NOFILE);
}

/* ── 92, 93 dumps, disk ────────────────────────────────────────────────────────────────────────────── */

static char secret_copy[PAGE];

static long hold_secret(struct csn_call *call)
{
    const char *secret = csn_secret(call, "canary");
    snprintf(secret_copy, sizeof secret_copy, "%s", secret ? secret : "");
    return secret ? 0 : -ENOENT;
}

static long be_dumpable(struct csn_call *call)
{
    (void)call;
    return RAW5(prctl, 4 /* PR_SET_DUMPABLE */, 1, 0, 0, 0);
}

static long raise_core(struct csn_call *call)
{
    (void)call;
    return raise_limit(RLIMIT_CORE);
}

static long quit(struct csn_call *call)
{
    (void)call;
    return RAW2(kill, getpid(), SIGQUIT);
}

static long quit_thread(struct csn_call *call)
{
    (void)call;
    return RAW3(tgkill, getpid(), RAW0(gettid), SIGQUIT);
}

static long abort_now(struct csn_call *call)
{
    (void)call;
    abort();
}

static long segfault(struct csn_call *call)
{
    (void)call;
    *(volatile char *)8 = secret_copy[0];
    return 0;
}

static long create(struct csn_call *call)
{
    (void)call;
    return RAW4(openat, AT_FDCWD, "/filler", O_CREAT | O_RDWR, 0600);
}

static long temporary(struct csn_call *call)
{
    (void)call;
    return RAW4(openat, AT_FDCWD, "/", 020000000 | O_DIRECTORY | O_RDWR, 0600); /* O_TMPFILE */
}

static long folder(struct csn_call *call)
{
    (void)call;
    return RAW2(mkdir, "/filler", 0700);
}

static long allocate(struct csn_call *call)
{
    (void)call;
    return RAW4(fallocate, 0, 0, 0, 1 << 30);
}

static long stretch(struct csn_call *call)
{
    (void)call;
    return RAW2(ftruncate, 0, 1 << 30);
}

static long memory_file(struct csn_call *call)
{
    (void)call;
    return RAW2(memfd_create, "filler", 0);
}

/* To every descriptor that is not a channel: what takes it must be a hole without a bottom. */
static long fill(struct csn_call *call)
{
    static char bytes[PAGE];
    struct stat what;
    (void)call;
    for (int fd = 0; fd < 64; fd++) {
        if ((fd >= 3 && fd <= 6) || RAW3(write, fd, bytes, sizeof bytes) <= 0) continue;
        if (fstat(fd, &what) < 0 || !S_ISCHR(what.st_mode) || what.st_rdev != makedev(1, 3)) return fd;
    }
    return -EBADF;
}

static long raise_size(struct csn_call *call)
{
    (void)call;
    return raise_limit(RLIMIT_FSIZE);
}

/* ── the tables ────────────────────────────────────────────────────────────────────────────────────── */

static const struct sin files[] = {{"pairs", pairs},
                                   {"dup", dup_one},
                                   {"dup2", dup_far},
                                   {"dupfd", dup_fcntl},
                                   {"pass-1", pass_one},
                                   {"pass-253", pass_many},
                                   {"pipe", make_pipe},
                                   {"eventfd", make_event},
                                   {"epoll", make_epoll},
                                   {"raise-files", raise_files},
                                   {"create", create},
                                   {"tmpfile", temporary},
                                   {"mkdir", folder},
                                   {"fallocate", allocate},
                                   {"ftruncate", stretch},
                                   {"memfd", memory_file},
                                   {"fill", fill},
                                   {"raise-size", raise_size},
                                   {0}};
static const struct sin dumps[] = {
    {"hold-secret", hold_secret}, {"be-dumpable", be_dumpable}, {"raise-core", raise_core}, {"quit", quit},
    {"quit-thread", quit_thread}, {"abort", abort_now},         {"segfault", segfault},     {0}};

const struct sin *const sin_tables[] = {files, dumps, NULL};
CSN_CONNECTOR("sins-files", "1.0.0", {"try", sins_try});
