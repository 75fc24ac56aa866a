/* SPDX-License-Identifier: Apache-2.0 */
/* A real caisson-vault process with this test as its parent, its ledger and its runner. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

const char *vault_path;

/* ── the process ───────────────────────────────────────────────────────────────────────────────────── */

void harness_home(struct harness *h)
{
    struct err err = {0};
    memset(h, 0, sizeof *h);
    h->control = h->ledger = h->runner = -1;
    snprintf(h->path, sizeof h->path, "/tmp/caisson-vault-XXXXXX");
    assert_non_null(mkdtemp(h->path));
    h->home = open(h->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(h->home >= 0);
    if (!keys_create(h->home, &err) || !keys_read_public(h->home, &h->public, &err)) fail_msg("%s", err.text);
}

int harness_key(const struct harness *h)
{
    return openat(h->home, "keys/master.key", O_RDONLY | O_CLOEXEC);
}

static void give(struct harness *h, enum give_kind kind, int fd)
{
    struct ctl_give body = {.kind = (uint32_t)kind};
    harness_send(h, h->control, CTL_GIVE, 0, &body, sizeof body, &fd, 1);
    close(fd);
}

static int new_line(struct harness *h, enum role_id peer, uint32_t generation)
{
    int ends[2];
    struct err err;
    struct ctl_line body = {.peer = (uint32_t)peer, .generation = generation};
    assert_true(wire_pair(ends, &err));
    harness_send(h, h->control, CTL_LINE, 0, &body, sizeof body, &ends[1], 1);
    close(ends[1]);
    return ends[0];
}

/* A kernel without that system call, as far as the process to come can see. */
static void hide_secret_memory(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_secret, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) _exit(126);
}

static void spawn(struct harness *h, bool no_secret_memory)
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
        if (no_secret_memory) hide_secret_memory();
        setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* a sanitised vault may not trace itself inside its walls */
        execl(vault_path, vault_path, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    h->control = ends[0];
}

static int witness_memory(const struct ctl_witness *witness)
{
    int fd = memfd_create("witness", MFD_CLOEXEC);
    assert_int_equal(write(fd, witness, sizeof *witness), sizeof *witness);
    return fd;
}

void harness_start(struct harness *h, const struct harness_start *how)
{
    struct ctl_start start = {.start = clock_now(), .log_level = LOG_LEVEL_INFO};
    spawn(h, how->no_secret_memory);
    if (!how->no_key) give(h, GIVE_KEY, how->key ? how->key : harness_key(h));
    if (how->witness) give(h, GIVE_WITNESS, witness_memory(how->witness));
    h->ledger = new_line(h, ROLE_LEDGER, ++h->ledger_generation);
    h->runner = new_line(h, ROLE_RUNNER, ++h->runner_generation);
    harness_send(h, h->control, CTL_START, 0, &start, sizeof start, NULL, 0);
    harness_take(h, h->control, how->expect_failure ? CTL_FAILED : CTL_READY, NULL);
}

static void close_slot(int *fd)
{
    if (*fd >= 0) close(*fd);
    *fd = -1;
}

/* The vault ends by itself when its parent's line is closed, and without any fault. */
void harness_stop(struct harness *h)
{
    int status = 0;
    if (h->pid <= 0) return;
    close_slot(&h->control);
    close_slot(&h->ledger);
    close_slot(&h->runner);
    assert_int_equal(waitpid(h->pid, &status, 0), h->pid);
    h->pid = 0;
    assert_true(WIFEXITED(status));
}

void harness_clear(struct harness *h)
{
    harness_stop(h);
    unlinkat(h->home, "keys/master.key", 0);
    unlinkat(h->home, "keys/vault.pub", 0);
    unlinkat(h->home, "keys", AT_REMOVEDIR);
    close(h->home);
    rmdir(h->path);
}

int harness_setup(void **state)
{
    struct harness *h = calloc(1, sizeof *h);
    harness_home(h);
    harness_start(h, &(struct harness_start){0});
    *state = h;
    return 0;
}

int harness_teardown(void **state)
{
    harness_clear(*state);
    free(*state);
    return 0;
}

/* ── frames ────────────────────────────────────────────────────────────────────────────────────────── */

static uint32_t generation_of(const struct harness *h, int line)
{
    if (line == h->ledger) return h->ledger_generation;
    return line == h->runner ? h->runner_generation : 0;
}

static void wait_room(int line)
{
    struct pollfd one = {.fd = line, .events = POLLOUT};
    assert_int_equal(poll(&one, 1, PATIENCE_S * 1000), 1);
}

void harness_send(struct harness *h, int line, unsigned type, uint32_t seq, const void *body, size_t length,
                  const int *fds, int fd_count)
{
    struct msg_head head = {.type = (uint16_t)type, .generation = generation_of(h, line), .seq = seq};
    struct iovec pieces[2] = {{&head, sizeof head}, {(void *)body, length}};
    int failed;
    while ((failed = wire_send(line, pieces, length ? 2 : 1, fds, fd_count)) == EAGAIN) wait_room(line);
    assert_int_equal(failed, 0);
}

const void *harness_take(struct harness *h, int line, unsigned type, uint32_t *seq)
{
    struct msg_head head;
    assert_true(wire_wait(line, clock_now() + PATIENCE_S * CLOCK_S));
    assert_int_equal(wire_take(line, &h->frame), WIRE_FRAME);
    memcpy(&head, h->frame.bytes, sizeof head);
    assert_int_equal(head.type, type);
    assert_int_equal(head.generation, generation_of(h, line));
    assert_int_equal(h->frame.fd_count, 0);
    size_t body = h->frame.length - sizeof head;
    assert_true(body >= msg_row(type)->least && body <= msg_row(type)->most);
    if (seq) *seq = head.seq;
    return h->frame.bytes + sizeof head;
}

void harness_barrier(struct harness *h)
{
    struct msg_workspace_key ask = {0};
    uint32_t seq;
    harness_send(h, h->ledger, MSG_WORKSPACE_KEY, ++h->seq, &ask, sizeof ask, NULL, 0);
    harness_take(h, h->ledger, MSG_WORKSPACE_KEY_ANSWER, &seq);
    assert_int_equal(seq, h->seq);
}

static void runner_taken(const struct harness *h)
{
    int waiting = 1;
    for (uint64_t until = clock_now() + PATIENCE_S * CLOCK_S; waiting && clock_now() < until; sched_yield())
        assert_int_equal(ioctl(h->runner, SIOCOUTQ, &waiting), 0);
    assert_int_equal(waiting, 0);
}

void harness_runner_drained(struct harness *h)
{
    runner_taken(h);
    harness_barrier(h); /* taken from the line; now handled too, for one loop serves both lines in turn */
}

void harness_runner_drained_quiet(struct harness *h)
{
    struct msg_workspace_key ask = {0};
    struct msg_head head = {0};
    runner_taken(h);
    harness_send(h, h->ledger, MSG_WORKSPACE_KEY, ++h->seq, &ask, sizeof ask, NULL, 0);
    while (head.type != MSG_WORKSPACE_KEY_ANSWER || head.seq != h->seq) {
        assert_true(wire_wait(h->ledger, clock_now() + PATIENCE_S * CLOCK_S));
        assert_int_equal(wire_take(h->ledger, &h->frame), WIRE_FRAME);
        memcpy(&head, h->frame.bytes, sizeof head);
    }
}

void harness_new_ledger(struct harness *h)
{
    close_slot(&h->ledger);
    h->ledger = new_line(h, ROLE_LEDGER, ++h->ledger_generation);
}

void harness_new_runner(struct harness *h)
{
    close_slot(&h->runner);
    h->runner = new_line(h, ROLE_RUNNER, ++h->runner_generation);
}

void harness_incident(struct harness *h, enum incident_kind kind, const struct call_ref *call)
{
    const struct msg_incident *incident = harness_take(h, h->ledger, MSG_INCIDENT, NULL);
    assert_int_equal(incident->kind, kind);
    if (call) assert_memory_equal(&incident->call, call, sizeof *call);
}

void harness_ledger_silent(struct harness *h)
{
    harness_barrier(h); /* its answer would come after whatever was there */
}

/* ── storing ───────────────────────────────────────────────────────────────────────────────────────── */

void harness_workspace(struct harness *h, struct stored *stored)
{
    struct msg_workspace_key ask = {0};
    id_new(stored->workspace);
    memcpy(ask.workspace, stored->workspace, ID_BYTES);
    harness_send(h, h->ledger, MSG_WORKSPACE_KEY, 1, &ask, sizeof ask, NULL, 0);
    stored->keys = *(const struct msg_workspace_key_answer *)harness_take(h, h->ledger, MSG_WORKSPACE_KEY_ANSWER, NULL);
    assert_int_equal(stored->keys.status.kind, ERR_NONE);
}

void harness_submission(struct submission *submission)
{
    struct err err = {0};
    keys_submission(submission);
    strcpy(submission->workspace, "default");
    strcpy(submission->credential, "main");
    strcpy(submission->connector, "email");
    assert_true(keys_add_field(submission, "user", CANARY_USER, strlen(CANARY_USER), &err));
    assert_true(keys_add_field(submission, "password", CANARY_PASSWORD, strlen(CANARY_PASSWORD), &err));
}

void harness_seal_request(struct harness *h, const struct stored *stored, struct submission *submission,
                          struct msg_seal *request)
{
    struct err err = {0};
    size_t length = 0;
    memset(request, 0, sizeof *request);
    memcpy(request->workspace, stored->workspace, ID_BYTES);
    memcpy(request->credential, stored->credential, ID_BYTES);
    request->version = stored->version;
    request->workspace_key = stored->keys.workspace_key;
    strcpy(request->workspace_name, "default");
    strcpy(request->credential_name, "main");
    strcpy(request->connector, "email");
    memcpy(request->audience, submission->audience, AUDIENCE_MAX);
    assert_true(keys_seal(submission, h->public.submission, request->box, &length, &err));
    request->box_length = (uint32_t)length;
}

void harness_store(struct harness *h, struct stored *stored, const char *audience)
{
    struct submission submission;
    struct msg_seal request;
    harness_submission(&submission);
    strcpy(submission.audience, audience);
    id_new(stored->credential);
    stored->version = 3;
    harness_seal_request(h, stored, &submission, &request);
    harness_send(h, h->ledger, MSG_SEAL, 2, &request, sizeof request, NULL, 0);
    stored->sealed = *(const struct msg_seal_answer *)harness_take(h, h->ledger, MSG_SEAL_ANSWER, NULL);
    if (stored->sealed.status.kind) fail_msg("%s", stored->sealed.status.text);
    assert_int_equal(stored->sealed.field_count, 2);
}

/* ── orders and halves ─────────────────────────────────────────────────────────────────────────────── */

void make_order(const struct stored *stored, struct msg_order *order)
{
    memset(order, 0, sizeof *order);
    id_new(order->call.id);
    order->call.attempt = 1;
    order->action = 2;
    memset(order->entry_digest, 0xe1, HASH_BYTES);
    randombytes_buf(order->salt, sizeof order->salt);
    randombytes_buf(order->input_digest, HASH_BYTES);
    order->deadline = clock_now() + 30 * CLOCK_S;
    if (!stored) return;
    memcpy(order->workspace, stored->workspace, ID_BYTES);
    memcpy(order->credential, stored->credential, ID_BYTES);
    order->version = stored->version;
    order->workspace_key = stored->keys.workspace_key;
    order->credential_key = stored->sealed.credential_key;
    memcpy(order->audience_digest, stored->sealed.audience_digest, HASH_BYTES);
    order->field_count = stored->sealed.field_count;
    memcpy(order->fields, stored->sealed.fields, sizeof order->fields);
    memcpy(order->bytes, stored->sealed.bytes, sizeof order->bytes);
}

void send_order(struct harness *h, const struct msg_order *order)
{
    harness_send(h, h->ledger, MSG_ORDER, 0, order, sizeof *order, NULL, 0);
}

struct msg_half half_for(const struct msg_order *order, uint32_t channel)
{
    struct msg_half half = {.call = order->call, .channel = channel, .entry = 4, .deadline = order->deadline};
    memcpy(half.entry_digest, order->entry_digest, HASH_BYTES);
    return half;
}

int send_half(struct harness *h, const struct msg_half *half)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    harness_send(h, h->runner, MSG_HALF, 0, half, sizeof *half, &ends[1], 1);
    close(ends[1]);
    return ends[0];
}

void send_half_number(struct harness *h, const struct msg_half *half)
{
    harness_send(h, h->runner, MSG_HALF, 0, half, sizeof *half, NULL, 0);
}

size_t read_secret(int pipe, char bytes[FRAME_SECRET_MAX])
{
    uint64_t until = clock_now() + PATIENCE_S * CLOCK_S;
    assert_true(wire_wait(pipe, until));
    ssize_t got = read(pipe, bytes, FRAME_SECRET_MAX);
    assert_true(got >= 0);
    if (got == 0) return 0;
    struct frame_secret head;
    assert_true((size_t)got >= sizeof head);
    memcpy(&head, bytes, sizeof head);
    assert_int_equal(head.magic, FRAME_SECRET_MAGIC);
    assert_int_equal(head.size, got); /* one write: one read takes it whole */
    return (size_t)got;
}

bool pipe_closed(int pipe)
{
    char byte;
    assert_true(wire_wait(pipe, clock_now() + PATIENCE_S * CLOCK_S));
    return read(pipe, &byte, 1) == 0;
}

bool pipe_closed_now(int pipe)
{
    char byte;
    return read(pipe, &byte, 1) == 0;
}

const char *secret_field(const char *bytes, const char *name)
{
    const struct frame_secret *frame = (const void *)bytes;
    for (uint32_t i = 0; i < frame->field_count; i++)
        if (strcmp(frame->fields[i].name, name) == 0) return frame->bytes + frame->fields[i].offset;
    return NULL;
}
