/* SPDX-License-Identifier: Apache-2.0 */
/* A real caisson-broker process with this test as its parent, its ledger, its runner and the workers. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

const char *broker_path;
char dial_text[256];

/* ── frames ────────────────────────────────────────────────────────────────────────────────────────── */

static void send_frame(int line, uint32_t generation, unsigned type, uint32_t seq, const void *body, size_t length,
                       int fd)
{
    struct msg_head head = {.type = (uint16_t)type, .generation = generation, .seq = seq};
    struct iovec pieces[2] = {{&head, sizeof head}, {(void *)body, length}};
    int failed;
    while ((failed = wire_send(line, pieces, length ? 2 : 1, &fd, fd >= 0)) == EAGAIN) {
        struct pollfd one = {.fd = line, .events = POLLOUT};
        assert_int_equal(poll(&one, 1, PATIENCE_MS), 1);
    }
    assert_int_equal(failed, 0);
}

void harness_send(struct harness *h, int line, unsigned type, const void *body, size_t length, int fd)
{
    send_frame(line, line == h->control ? 0 : h->generation, type, ++h->seq, body, length, fd);
}

const void *harness_take(struct harness *h, int line, unsigned type)
{
    struct msg_head head;
    if (!wire_wait(line, clock_now() + PATIENCE_MS * CLOCK_MS)) fail_msg("%s did not come", msg_row(type)->name);
    assert_int_equal(wire_take(line, &h->frame), WIRE_FRAME);
    memcpy(&head, h->frame.bytes, sizeof head);
    if (head.type != type) fail_msg("%s came instead of %s", msg_row(head.type)->name, msg_row(type)->name);
    return h->frame.bytes + sizeof head;
}

/* ── the process ───────────────────────────────────────────────────────────────────────────────────── */

static int text_memory(const char *text)
{
    int fd = memfd_create("given", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
    return fd;
}

static void print_digest(FILE *out, unsigned index)
{
    for (int i = 0; i < HASH_BYTES; i++) fprintf(out, "%02x", index + 1);
}

static void print_entry(FILE *out, unsigned index, const struct test_entry *entry)
{
    fprintf(out, "{\"name\":\"%s\",\"plugin\":\"p\",\"version\":\"1.0.0\",\"state\":\"enabled\",\"digest\":\"",
            entry->name);
    print_digest(out, index);
    fputs("\",\"so_digest\":\"", out);
    print_digest(out, index);
    fputs("\",\"manifest_digest\":\"", out);
    print_digest(out, index);
    fprintf(
        out,
        "\",\"isolation\":\"call\",\"lease\":{\"calls\":1,\"age_s\":1,\"idle_s\":1,\"spares\":0},\"actions\":[],"
        "\"fields\":[],\"settings\":{},\"egress\":[%s],\"ranges\":[%s],\"workspaces\":[],\"limits\":{\"memory_mb\":1,"
        "\"cpu_s\":1,\"wall_s\":1,\"output_kb\":1,\"log_kb\":1,\"dials\":%u,\"up_kb\":%u,\"down_kb\":%u,"
        "\"concurrency\":1}}\n",
        entry->egress, entry->ranges, entry->dials, entry->up_mb * 1024, entry->down_mb * 1024);
}

static int registry_memory(uint32_t number, const struct test_entry *entries)
{
    char *text = NULL;
    size_t length;
    unsigned count = 0;
    FILE *out = open_memstream(&text, &length);
    while (entries[count].name) count++;
    fprintf(out, "{\"entries\":%u,\"registry\":%u}\n", count, number);
    for (unsigned i = 0; i < count; i++) print_entry(out, i, &entries[i]);
    fclose(out);
    int fd = text_memory(text);
    free(text);
    return fd;
}

static void give(struct harness *h, enum give_kind kind, int fd)
{
    struct ctl_give body = {.kind = (uint32_t)kind};
    harness_send(h, h->control, CTL_GIVE, &body, sizeof body, fd);
    close(fd);
}

static int new_line(struct harness *h, enum role_id peer)
{
    int ends[2];
    struct err err;
    struct ctl_line body = {.peer = (uint32_t)peer, .generation = h->generation};
    assert_true(wire_pair(ends, &err));
    harness_send(h, h->control, CTL_LINE, &body, sizeof body, ends[1]);
    close(ends[1]);
    return ends[0];
}

static void spawn(struct harness *h)
{
    int ends[2];
    struct err err;
    assert_true(wire_pair(ends, &err));
    h->pid = fork();
    assert_true(h->pid >= 0);
    if (h->pid == 0) {
        if (ends[1] == 3)
            fcntl(3, F_SETFD, 0);
        else
            dup2(ends[1], 3);
        close_range(4, ~0U, 0);
        execl(broker_path, broker_path, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    h->control = ends[0];
}

void harness_start(struct harness *h, const char *config, uint32_t registry, const struct test_entry *entries)
{
    struct ctl_start start = {.start = clock_now(), .log_level = LOG_LEVEL_INFO};
    memset(h, 0, sizeof *h);
    h->generation = 1;
    spawn(h);
    give(h, GIVE_CONFIG, text_memory(config));
    give(h, GIVE_REGISTRY, registry_memory(registry, entries));
    h->ledger = new_line(h, ROLE_LEDGER);
    h->runner = new_line(h, ROLE_RUNNER);
    harness_send(h, h->control, CTL_START, &start, sizeof start, -1);
    harness_take(h, h->control, CTL_READY);
}

/* The broker ends by itself when its parent's line is closed, and without any fault. */
void harness_stop(struct harness *h)
{
    int status = 0;
    close(h->control);
    close(h->ledger);
    close(h->runner);
    assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

void harness_configure(struct harness *h, const char *config)
{
    give(h, GIVE_CONFIG, text_memory(config));
}

void harness_registry(struct harness *h, uint32_t number, const struct test_entry *entries)
{
    struct ctl_registry body = {.number = number};
    int fd = registry_memory(number, entries);
    harness_send(h, h->control, CTL_REGISTRY, &body, sizeof body, fd);
    close(fd);
    const struct ctl_registry *done = harness_take(h, h->control, CTL_REGISTRY_DONE);
    assert_int_equal(done->number, number);
}

void harness_freeze_now(struct harness *h)
{
    struct ctl_freeze body = {.on = 1, .now = 1};
    harness_send(h, h->control, CTL_FREEZE, &body, sizeof body, -1);
}

/* The control line is read in order: once the registry is answered, the new line is there. */
void harness_new_runner(struct harness *h)
{
    close(h->runner);
    h->runner = new_line(h, ROLE_RUNNER);
}

void harness_new_ledger(struct harness *h)
{
    close(h->ledger);
    h->ledger = new_line(h, ROLE_LEDGER);
}

/* A gate that nobody knows: its answer comes after everything before it on the ledger's line. */
void harness_barrier(struct harness *h)
{
    struct msg_gate_close body = {.call = {.attempt = UINT32_MAX}};
    harness_send(h, h->ledger, MSG_GATE_CLOSE, &body, sizeof body, -1);
    const struct msg_gate_closed *closed = harness_take(h, h->ledger, MSG_GATE_CLOSED);
    assert_int_equal(closed->known, 0);
}

/* ── ledger and runner ─────────────────────────────────────────────────────────────────────────────── */

struct worker make_worker(uint32_t entry)
{
    struct worker worker = {.entry = entry, .egress = -1, .deadline = clock_now() + 60 * CLOCK_S};
    id_new(worker.call.id);
    worker.call.attempt = 1;
    return worker;
}

void open_gate(struct harness *h, const struct worker *worker, const char *audience)
{
    struct msg_gate_open body = {.call = worker->call, .entry = worker->entry, .deadline = worker->deadline};
    memset(body.entry_digest, (int)worker->entry + 1, HASH_BYTES);
    snprintf(body.audience, sizeof body.audience, "%s", audience);
    harness_send(h, h->ledger, MSG_GATE_OPEN, &body, sizeof body, -1);
}

static void send_half(struct harness *h, const struct worker *worker, bool keep, int fd)
{
    struct msg_half body = {.call = worker->call,
                            .channel = worker->channel,
                            .entry = worker->entry,
                            .keep = keep,
                            .deadline = worker->deadline};
    memset(body.entry_digest, (int)worker->entry + 1, HASH_BYTES);
    harness_send(h, h->runner, MSG_HALF, &body, sizeof body, fd);
}

void give_half(struct harness *h, struct worker *worker, bool keep)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    worker->egress = ends[0];
    worker->channel = ++h->channel;
    send_half(h, worker, keep, ends[1]);
    close(ends[1]);
}

void next_call(struct worker *worker)
{
    id_new(worker->call.id);
    worker->deadline = clock_now() + 60 * CLOCK_S;
}

void relabel(struct harness *h, const struct worker *worker)
{
    send_half(h, worker, true, -1);
}

struct worker start_call(struct harness *h, uint32_t entry, const char *audience)
{
    struct worker worker = make_worker(entry);
    open_gate(h, &worker, audience);
    give_half(h, &worker, false);
    return worker;
}

struct msg_gate_closed close_gate(struct harness *h, const struct worker *worker)
{
    struct msg_gate_close body = {.call = worker->call};
    harness_send(h, h->ledger, MSG_GATE_CLOSE, &body, sizeof body, -1);
    const struct msg_gate_closed *closed = harness_take(h, h->ledger, MSG_GATE_CLOSED);
    assert_memory_equal(&closed->call, &worker->call, sizeof closed->call);
    return *closed;
}

/* ── the worker ────────────────────────────────────────────────────────────────────────────────────── */

void ask_dial_raw(struct worker *worker, const char *host, size_t bytes, size_t length, uint32_t port)
{
    struct egress_request request = {.type = EGRESS_DIAL,
                                     .id = ++worker->next_id,
                                     .port = port,
                                     .host_length = (uint32_t)length,
                                     .attempt = worker->call.attempt};
    memcpy(request.call_id, worker->call.id, ID_BYTES);
    memcpy(request.host, host, bytes);
    (void)!send(worker->egress, &request, sizeof request, MSG_NOSIGNAL);
}

void ask_dial(struct worker *worker, const char *host, uint32_t port)
{
    ask_dial_raw(worker, host, strlen(host), strlen(host), port);
}

void ask_commit(struct worker *worker, bool labelled)
{
    ask_mark(worker, EGRESS_COMMIT, labelled);
}

void ask_mark(struct worker *worker, enum egress_type type, bool labelled)
{
    struct egress_request request = {.type = type};
    if (labelled) memcpy(request.call_id, worker->call.id, ID_BYTES), request.attempt = worker->call.attempt;
    assert_int_equal(send(worker->egress, &request, sizeof request, MSG_NOSIGNAL), sizeof request);
}

bool take_answer(struct worker *worker, struct egress_answer *answer, int *fd)
{
    struct pollfd one = {.fd = worker->egress, .events = POLLIN};
    static struct wire_frame frame;
    *fd = -1;
    if (poll(&one, 1, PATIENCE_MS) != 1) fail_msg("the broker does not answer");
    if (wire_take(worker->egress, &frame) != WIRE_FRAME) return false;
    assert_int_equal(frame.length, sizeof *answer);
    memcpy(answer, frame.bytes, sizeof *answer);
    if (frame.fd_count) *fd = frame.fds[0];
    return true;
}

unsigned dial(struct worker *worker, const char *host, uint16_t port, int *fd)
{
    struct egress_answer answer;
    ask_dial(worker, host, port);
    if (!take_answer(worker, &answer, fd)) fail_msg("%s:%u: the channel is closed", host, port);
    assert_int_equal(answer.id, worker->next_id);
    assert_true((answer.status == EGRESS_OK) == (*fd >= 0));
    snprintf(dial_text, sizeof dial_text, "%s", answer.text);
    return answer.status;
}

size_t read_some(int fd, char *bytes, size_t count)
{
    size_t done = 0;
    while (done < count) {
        struct pollfd one = {.fd = fd, .events = POLLIN};
        if (poll(&one, 1, PATIENCE_MS) != 1) fail_msg("nothing comes any more after %zu bytes", done);
        ssize_t got = recv(fd, bytes + done, count - done, 0);
        if (got <= 0) break;
        done += (size_t)got;
    }
    return done;
}

bool stream_ended(int fd)
{
    char byte;
    return read_some(fd, &byte, 1) == 0;
}

unsigned harness_descriptors(const struct harness *h)
{
    char path[64];
    unsigned count = 0;
    for (int fd = 0; fd < 4096; fd++) {
        struct stat about;
        snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)h->pid, fd);
        count += lstat(path, &about) == 0;
    }
    return count;
}
