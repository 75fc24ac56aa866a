/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's side of the egress channel: ask the broker for a relay, or mark the point of no return. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "worker.h"

enum { FD_EGRESS = WORKER_FD_FIRST + CHANNEL_EGRESS };

static bool cut; /* the broker has closed the channel: it is not coming back */

static struct worker_call *of(struct csn_call *call)
{
    return call->host;
}

static int failed(struct worker_call *call, int error, const char *why)
{
    snprintf(call->problem, sizeof call->problem, "%s", why);
    errno = error;
    return -1;
}

static void label(struct worker_call *call, struct egress_request *request)
{
    memcpy(request->call_id, call->secret.frame.call_id, sizeof request->call_id);
    request->attempt = call->secret.frame.attempt;
}

/* One answer with at most one descriptor. false: the broker is gone, or the deadline has passed. */
static bool take_answer(struct worker_call *call, struct egress_answer *answer, int *fd)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec piece = {answer, sizeof *answer};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    struct pollfd one = {.fd = FD_EGRESS, .events = POLLIN};
    *fd = -1;
    if (poll(&one, 1, clock_left_ms(call->head.deadline)) != 1) return false;
    if (recvmsg(FD_EGRESS, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof *answer) return false;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    if (head && head->cmsg_type == SCM_RIGHTS) memcpy(fd, CMSG_DATA(head), sizeof *fd);
    return true;
}

static int wait_for(struct worker_call *call, uint32_t id)
{
    static const int errors[] = {[EGRESS_OK] = 0,
                                 [EGRESS_DENIED] = EACCES,
                                 [EGRESS_NO_NAME] = EHOSTUNREACH,
                                 [EGRESS_UNREACHABLE] = ECONNREFUSED,
                                 [EGRESS_LIMIT] = EAGAIN,
                                 [EGRESS_CLOSED] = EPIPE};
    struct egress_answer answer;
    int fd;
    do {
        if (!take_answer(call, &answer, &fd)) return failed(call, ETIMEDOUT, "no answer before the deadline");
        if (answer.id != id && fd >= 0) close(fd);
    } while (answer.id != id);
    answer.text[sizeof answer.text - 1] = 0;
    if (answer.status == EGRESS_OK && fd >= 0) return fd;
    if (fd >= 0) close(fd);
    int error = answer.status < sizeof errors / sizeof *errors ? errors[answer.status] : EIO;
    return failed(call, error ? error : EIO, answer.text);
}

int worker_dial(struct csn_call *handle, const char *host, uint16_t port)
{
    struct worker_call *call = of(handle);
    struct egress_request request = {.type = EGRESS_DIAL, .id = ++call->dials, .port = port};
    size_t length = host ? strnlen(host, FRAME_HOST) : 0;
    if (length == 0 || length == FRAME_HOST) return failed(call, EINVAL, "a host name has 1 to 255 bytes");
    if (mask_in_host(call, host)) return failed(call, EACCES, "the host name carries a secret of this call");
    memcpy(request.host, host, length);
    request.host_length = (uint32_t)length;
    label(call, &request);
    if (send(FD_EGRESS, &request, sizeof request, MSG_NOSIGNAL) == sizeof request) return wait_for(call, request.id);
    if (!call->cell->spec.has_egress)
        return failed(call, EPIPE, "this connector has no way out: its manifest or grant names no host");
    cut = true;
    return failed(call, EPIPE, "the broker has ended this process' way out");
}

bool worker_cut(void)
{
    return cut;
}

/* The same process's next byte on a relay cannot overtake this: the broker reads this channel before it relays. */
static void mark(struct worker_call *call, enum egress_type type)
{
    struct egress_request request = {.type = type, .id = ++call->dials};
    label(call, &request);
    if (send(FD_EGRESS, &request, sizeof request, MSG_NOSIGNAL) < 0 && call->cell->spec.has_egress) cut = true;
}

void worker_commit(struct csn_call *handle)
{
    mark(of(handle), EGRESS_COMMIT);
}

/* The broker hears it from here: what the front says of a call's end decides neither whether it was sent nor whose
 * bytes they are that follow on a lease's connections. */
void worker_over(struct worker_call *call, bool clean)
{
    bool lease = call->cell->spec.lease && call->cell->spec.has_egress;
    if (lease || (clean && call->dials)) mark(call, clean ? EGRESS_CLEAN : EGRESS_DONE);
}
