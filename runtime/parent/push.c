/* SPDX-License-Identifier: Apache-2.0 */
/* A process of its own for every checkpoint that goes to a file or to syslog: files may lie on another machine, and the
 * parent waits for nothing. It writes, says what became of it into a pipe, and is gone. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"

#include "parent.h"
#include "sinks.h"

enum { WRITE_S = 20 };

/* ── the helper ────────────────────────────────────────────────────────────────────────────────────── */

static void find_bounds(const struct parent *parent, char paths[][CONFIG_PATH + 16], struct sink_bounds *bounds)
{
    static const char *const own[] = {"plugins", "plugins.d", "keys", "data", "witness", "run"};
    *bounds = (struct sink_bounds){.in = parent->home.path};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        snprintf(paths[i], CONFIG_PATH + 16, "%s/%s", parent->home.path, own[i]);
        bounds->below[bounds->count++] = paths[i];
    }
    bounds->below[bounds->count++] = CAISSON_PLUGINS;
    for (unsigned i = 0; i < parent->config.dir_count; i++) bounds->below[bounds->count++] = parent->config.dirs[i];
}

static bool write_it(const struct parent *parent, const struct config_push *to, const struct ctl_push *push,
                     struct err *err)
{
    static char paths[8][CONFIG_PATH + 16];
    struct sink_bounds bounds;
    find_bounds(parent, paths, &bounds);
    return to->syslog ? sink_say(to->path, push, err) : sink_append(to->path, &bounds, push->note, push->length, err);
}

/* Holds nothing of the parent's but its own end of the pipe and the log: no line, no lock, no key. */
static void helper(const struct parent *parent, const struct config_push *to, const struct ctl_push *push, int out)
{
    struct ctl_pushed done = {.status.kind = ERR_NONE};
    struct err err = {0};
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (dup2(out, 3) < 0) _exit(1);
    close_range(4, ~0U, 0);
    alarm(WRITE_S);
    if (!write_it(parent, to, push, &err)) {
        done.status.kind = (uint32_t)err.kind;
        snprintf(done.status.text, sizeof done.status.text, "%s", err.text);
        log_failure("push", &err);
    }
    _exit(write(3, &done, sizeof done) == (ssize_t)sizeof done ? 0 : 1);
}

/* ── the parent's side ─────────────────────────────────────────────────────────────────────────────── */

static void answer(struct parent *parent, uint32_t seq, const struct err *err)
{
    struct ctl_pushed done = {.status.kind = (uint32_t)err->kind};
    snprintf(done.status.text, sizeof done.status.text, "%s", err->text);
    control_send(parent, parent_child(parent, ROLE_LEDGER), CTL_PUSHED, seq, &done, sizeof done, -1);
}

static const struct config_push *find(const struct config *config, const char name[NAME_BYTES])
{
    for (unsigned i = 0; i < config->push_count; i++)
        if (strncmp(config->push[i].name, name, NAME_BYTES) == 0) return &config->push[i];
    return NULL;
}

static struct push_helper *free_helper(struct parent *parent, const char name[NAME_BYTES], struct err *err)
{
    struct push_helper *found = NULL;
    for (unsigned i = 0; i < PUSH_HELPERS; i++) {
        struct push_helper *one = &parent->pushes[i];
        if (!one->pid) found = one;
        if (one->pid && strncmp(one->sink, name, NAME_BYTES) == 0)
            return err_set(err, ERR_BUSY, "the last checkpoint is still being written there"), NULL;
    }
    if (!found) err_set(err, ERR_BUSY, "too many checkpoints are being written");
    return found;
}

static bool watch(struct parent *parent, struct push_helper *one, struct err *err)
{
    struct epoll_event ended = {.events = EPOLLIN, .data.ptr = &one->pidfd};
    one->pidfd = (int)syscall(SYS_pidfd_open, one->pid, 0);
    return (one->pidfd >= 0 && epoll_ctl(parent->epoll, EPOLL_CTL_ADD, one->pidfd, &ended) == 0) ||
           err_sys(err, ERR_IO, "the writer of a checkpoint cannot be watched");
}

static bool start(struct parent *parent, const struct ctl_push *push, uint32_t seq, struct err *err)
{
    int ends[2];
    const struct config_push *to = find(&parent->config, push->sink);
    if (!to) return err_set(err, ERR_NOT_FOUND, "there is no such place in [Push]");
    if (push->length > PUSH_NOTE || !sink_note_sound(push->note, push->length))
        return err_set(err, ERR_MALFORMED, "what is to be pushed is no checkpoint");
    struct push_helper *one = free_helper(parent, push->sink, err);
    if (!one) return false;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0) return err_sys(err, ERR_IO, "no pipe can be made");
    FD_AUTO out = ends[1];
    one->answer = ends[0];
    one->seq = seq;
    one->due = clock_now() + (WRITE_S + 1) * CLOCK_S;
    memcpy(one->sink, push->sink, sizeof one->sink);
    one->pid = fork();
    if (one->pid == 0) helper(parent, to, push, out);
    if (one->pid > 0 && watch(parent, one, err)) return true;
    if (one->pid > 0) kill(one->pid, SIGKILL), waitpid(one->pid, NULL, 0);
    one->pid = 0;
    close_fd(&one->answer);
    close_fd(&one->pidfd);
    return err->kind ? false : err_sys(err, ERR_BUSY, "the writer of a checkpoint cannot be started");
}

void push_ask(struct parent *parent, const struct ctl_push *push, uint32_t seq)
{
    struct err err = {0};
    if (!start(parent, push, seq, &err)) answer(parent, seq, &err);
}

/* It has ended: what it said is what became of it. */
void push_ended(struct parent *parent, struct push_helper *one)
{
    struct ctl_pushed done;
    struct err err = {0};
    if (!one->pid || waitpid(one->pid, NULL, WNOHANG) != one->pid) return;
    bool heard = read(one->answer, &done, sizeof done) == (ssize_t)sizeof done;
    done.status.text[sizeof done.status.text - 1] = '\0';
    if (!heard) err_set(&err, ERR_IO, "the place took no checkpoint in time");
    if (heard && done.status.kind) err_set(&err, (enum err_kind)done.status.kind, "%s", done.status.text);
    close_fd(&one->answer);
    close_fd(&one->pidfd);
    one->pid = 0;
    if (!one->given_up) answer(parent, one->seq, &err);
    one->given_up = false;
}

/* One that hangs in the kernel cannot be killed; the ledger hears of it all the same. */
uint64_t push_tick(struct parent *parent)
{
    uint64_t now = clock_now(), next = 0;
    for (unsigned i = 0; i < PUSH_HELPERS; i++) {
        struct push_helper *one = &parent->pushes[i];
        struct err err = {0};
        if (!one->pid || one->given_up) continue;
        if (now >= one->due) {
            kill(one->pid, SIGKILL);
            err_set(&err, ERR_IO, "the place took no checkpoint in time");
            one->given_up = true;
            answer(parent, one->seq, &err);
        } else if (!next || one->due < next) {
            next = one->due;
        }
    }
    return next;
}
