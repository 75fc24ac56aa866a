/* SPDX-License-Identifier: Apache-2.0 */
/* A disk that fails, from outside. */
#include "shim.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "rig.h"

#define NOTIFY(call)                                                                                                   \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF)

void shim_before(struct shim *shim)
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, shim->pair), 0);
}

static int listen_here(void)
{
    struct sock_filter rows[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        NOTIFY(fsync),
        NOTIFY(fdatasync),
        NOTIFY(pwrite64),
        NOTIFY(close),
        NOTIFY(epoll_wait),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rows / sizeof *rows, rows};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

union control {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
};

void shim_inside(struct shim *shim)
{
    char byte = 0;
    union control control = {0};
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    int listener = listen_here();
    if (listener < 0) _exit(126);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(head), &listener, sizeof listener);
    if (sendmsg(shim->pair[1], &message, 0) != 1) _exit(126);
}

/* Takes one of what is left; false: nothing is. */
static bool take_one(_Atomic unsigned *left)
{
    unsigned now = *left;
    while (now && !atomic_compare_exchange_weak(left, &now, now - 1)) continue;
    return now > 0;
}

static bool is_sync(int call)
{
    return call == __NR_fsync || call == __NR_fdatasync;
}

/* timeout: in milliseconds, negative: without end. */
static void count_wait(struct shim *shim, int timeout)
{
    if (timeout == 0) shim->glances++;
    if (timeout < 0 || timeout >= SHIM_SLEEP_MS) shim->sleeps++;
}

/* 0: let it happen; else the error. */
static int judge(struct shim *shim, const struct seccomp_notif *asked)
{
    uint64_t fd = asked->data.args[0];
    bool *tainted = &shim->tainted[fd < SHIM_FDS ? fd : 0];
    if ((pid_t)asked->pid != shim->pid) return 0; /* a probe of the walls */
    if (asked->data.nr == __NR_epoll_wait) count_wait(shim, (int)asked->data.args[3]);
    if (asked->data.nr == __NR_close) *tainted = false;
    if (asked->data.nr == __NR_pwrite64 && take_one(&shim->fail_writes)) return EIO;
    if (!is_sync(asked->data.nr)) return 0;
    shim->syncs++;
    if (*tainted) shim->again++;
    unsigned wait = atomic_exchange(&shim->hold_ms, 0);
    if (wait) poll(NULL, 0, (int)wait);
    if (!take_one(&shim->fail_syncs)) return 0;
    *tainted = true;
    shim->failed++;
    return EIO;
}

static void *serve(void *context)
{
    struct shim *shim = context;
    struct pollfd one = {.fd = shim->listener, .events = POLLIN};
    for (;;) {
        struct seccomp_notif asked;
        memset(&asked, 0, sizeof asked);
        if (poll(&one, 1, -1) < 0 || (one.revents & (POLLHUP | POLLERR))) return NULL;
        if (ioctl(shim->listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0) continue;
        int error = judge(shim, &asked);
        struct seccomp_notif_resp said = {
            .id = asked.id, .error = -error, .flags = error ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE};
        ioctl(shim->listener, SECCOMP_IOCTL_NOTIF_SEND, &said);
    }
}

void shim_outside(struct shim *shim, pid_t pid)
{
    char byte;
    union control control = {0};
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    shim_end(shim); /* of the ledger before */
    close(shim->pair[1]);
    assert_int_equal(recvmsg(shim->pair[0], &message, MSG_CMSG_CLOEXEC), 1);
    close(shim->pair[0]);
    memcpy(&shim->listener, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof shim->listener);
    shim->pid = pid;
    memset(shim->tainted, 0, sizeof shim->tainted);
    shim->running = true;
    assert_int_equal(pthread_create(&shim->thread, NULL, serve, shim), 0);
}

void shim_end(struct shim *shim)
{
    if (!shim->running) return;
    pthread_join(shim->thread, NULL);
    close(shim->listener);
    shim->running = false;
}
