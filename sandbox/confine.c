/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's own walls, from fork to the loader's first call. Nothing but the cell's code runs in here. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cell_state.h"
#include "landlock.h"
#include "limits.h"

enum { CARRIER = 100, ASIDE = 200 }; /* CARRIER: as LISTENER_CARRIER in syscalls.h */

static _Noreturn void give_up(void)
{
    _exit(WORKER_WALLS);
}

/* Everything goes aside first: a plain dup2 onto a number that is still in use would lose a channel. */
static void place_channels(const int channels[CHANNELS], int carrier)
{
    int aside[CHANNELS], carrier_aside = fcntl(carrier, F_DUPFD, ASIDE);
    for (int i = 0; i < CHANNELS; i++) aside[i] = fcntl(channels[i], F_DUPFD, ASIDE);
    for (int i = 0; i < CHANNELS; i++)
        if (dup2(aside[i], WORKER_FD_FIRST + i) < 0) give_up();
    if (dup2(carrier_aside, CARRIER) < 0 || dup2(0, 2) < 0) give_up();
    if (!policy_has(WALL_CHANNELS)) return;
    if (syscall(SYS_close_range, WORKER_FD_FIRST + CHANNELS, CARRIER - 1, 0) < 0 ||
        syscall(SYS_close_range, CARRIER + 1, ~0u, 0) < 0)
        give_up();
}

static void nothing_of_files(const struct cell *cell)
{
    struct landlock_wish nothing = {.files = LANDLOCK_FILES_READ};
    struct err err = {0};
    if (!policy_has(WALL_LANDLOCK) || (cell->spec.without >> WALL_LANDLOCK & 1)) return;
    if (!landlock_enter(&nothing, &err)) give_up();
}

/* The last sendmsg of this process: L allows it on this number only, and the number cannot come back. */
static void hand_over(int listener)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    char byte = 0;
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    memset(&control, 0, sizeof control);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &listener, sizeof listener);
    if (sendmsg(CARRIER, &message, MSG_NOSIGNAL) != 1) give_up();
    close(CARRIER);
    close(listener);
}

/* A pid namespace does so by itself; where there is none, a worker would outlive its cell, and with it its listener and
 * its deadline. A cell that is gone already takes no listener: that is the end as well. */
static void die_with_cell(void)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) give_up();
}

_Noreturn void worker_start(struct cell *cell, const int channels[CHANNELS], int carrier)
{
    die_with_cell();
    place_channels(channels, carrier);
    if (policy_has(WALL_LIMITS) && !limits_worker(cell->spec.cpu_s)) give_up();
    nothing_of_files(cell);
    int listener = seccomp_listen(cell->list_l->code, cell->list_l->length);
    if (listener < 0) give_up();
    hand_over(listener);
    worker_main(cell);
}
