/* SPDX-License-Identifier: Apache-2.0 */
/* One worker: load the plugin, then per call: the vault's frame, the front's frame, both compared, the action. */
#include "worker.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "../sdk/src/helpers.h"
#include "sha256.h"

enum {
    PATH_FD = 0,
    FD_CALL = WORKER_FD_FIRST + CHANNEL_CALL,
    FD_REPLY = WORKER_FD_FIRST + CHANNEL_REPLY,
    FD_SECRET = WORKER_FD_FIRST + CHANNEL_SECRET
};
enum { STRIDE_MAX = 4096, PLUGIN_ACTIONS = 1024 };

typedef int (*action_function)(struct csn_call *);

static action_function actions[CELL_ACTIONS]; /* in the manifest's order */

/* ── load ────────────────────────────────────────────────────────────────────────────────────────────── */

static const struct csn_connector *find_connector(void)
{
    void *object = dlopen("/csn/plugin.so", RTLD_NOW | RTLD_LOCAL);
    if (!object) _exit(WORKER_NOT_LOADED);
    const struct csn_connector *connector = dlsym(object, "csn_connector_1");
    if (!connector) _exit(WORKER_NO_SYMBOL);
    if (connector->abi != CSN_ABI || connector->size < sizeof *connector || connector->size > STRIDE_MAX ||
        connector->action_size < sizeof(struct csn_action) || connector->action_size > STRIDE_MAX ||
        connector->action_count == 0 || connector->action_count > PLUGIN_ACTIONS)
        _exit(WORKER_WRONG_ABI);
    return connector;
}

static action_function find_action(const struct csn_connector *connector, const char *name)
{
    const char *at = (const char *)connector->actions;
    for (uint32_t i = 0; i < connector->action_count; i++, at += connector->action_size) {
        const struct csn_action *action = (const void *)at;
        if (action->name && strcmp(action->name, name) == 0) return action->run;
    }
    return NULL;
}

static void load(const struct cell *cell)
{
    const struct csn_connector *connector = find_connector();
    for (uint32_t i = 0; i < cell->spec.action_count; i++) {
        actions[i] = find_action(connector, cell->spec.actions[i]);
        if (!actions[i]) _exit(WORKER_NO_ACTION);
    }
    syscall(SYS_openat, -1L, 0L, (long)LOADED_MARK, 0L); /* answered with an error; the cell has noticed */
}

/* ── frames ──────────────────────────────────────────────────────────────────────────────────────────── */

/* Exactly count bytes; 0 = end of file before the first. */
static bool read_all(int fd, void *bytes, size_t count, bool may_end)
{
    for (size_t done = 0; done < count;) {
        ssize_t got = read(fd, (char *)bytes + done, count - done);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0 && done == 0 && may_end) return false;
        if (got <= 0) _exit(WORKER_BAD_FRAME);
        done += (size_t)got;
    }
    return true;
}

void worker_send(struct worker_call *call, enum frame_type type, const void *first, size_t first_length,
                 const void *rest, size_t rest_length)
{
    struct frame_head head = {(uint32_t)(first_length + rest_length), (uint16_t)type, FRAME_VERSION, {0}};
    memcpy(head.call_id, call->secret.frame.call_id, sizeof head.call_id);
    struct iovec pieces[3] = {{&head, sizeof head}, {(void *)first, first_length}, {(void *)rest, rest_length}};
    for (struct iovec *piece = pieces; piece < pieces + 3;) {
        ssize_t put = writev(FD_REPLY, piece, (int)(pieces + 3 - piece));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) _exit(WORKER_BAD_FRAME);
        while (piece < pieces + 3 && (size_t)put >= piece->iov_len) put -= (ssize_t)piece++->iov_len;
        if (piece < pieces + 3) {
            piece->iov_base = (char *)piece->iov_base + put;
            piece->iov_len -= (size_t)put;
        }
    }
}

static bool field_fits(const struct frame_secret *frame, const struct frame_field *field)
{
    size_t room = frame->size - sizeof *frame;
    return memchr(field->name, 0, sizeof field->name) && field->offset < room && field->length < room - field->offset &&
           frame->bytes[field->offset + field->length] == 0;
}

/* The vault's frame is one write, but a pipe may still hand it over in pieces. Its end between calls ends the worker.
 */
static void read_secret(struct worker_call *call)
{
    struct frame_secret *frame = &call->secret.frame;
    if (!read_all(FD_SECRET, frame, sizeof *frame, true)) _exit(WORKER_CLOSED);
    if (frame->magic != FRAME_SECRET_MAGIC || frame->size < sizeof *frame || frame->size > FRAME_SECRET_MAX ||
        frame->field_count > FRAME_FIELDS)
        _exit(WORKER_BAD_FRAME);
    if (frame->size > sizeof *frame) read_all(FD_SECRET, frame->bytes, frame->size - sizeof *frame, false);
    for (uint32_t i = 0; i < frame->field_count; i++)
        if (!field_fits(frame, &frame->fields[i])) _exit(WORKER_BAD_FRAME);
}

/* A lease is bound to one credential: only its first frame has the fields, which serve every later call of it. */
static void keep_fields(struct worker_call *call)
{
    static union {
        struct frame_secret frame;
        unsigned char bytes[FRAME_SECRET_MAX];
    } first;
    struct frame_secret *frame = &call->secret.frame;
    if (frame->field_count) {
        memcpy(&first, frame, frame->size);
    } else if (first.frame.field_count) {
        frame->field_count = first.frame.field_count;
        memcpy(frame->fields, first.frame.fields, sizeof frame->fields);
        memcpy(frame->bytes, first.frame.bytes, first.frame.size - sizeof first.frame);
    }
}

static void read_call(struct worker_call *call)
{
    struct {
        struct frame_head head;
        struct frame_call call;
    } start;
    read_all(FD_CALL, &start, sizeof start, false);
    const struct frame_head head = start.head;
    if (head.type != FRAME_CALL || head.version != FRAME_VERSION || head.length < sizeof call->head ||
        head.length > FRAME_CALL_MAX || memcmp(head.call_id, call->secret.frame.call_id, sizeof head.call_id) != 0)
        _exit(WORKER_BAD_FRAME);
    call->head = start.call;
    call->input_length = head.length - sizeof call->head;
    call->input_bytes = malloc(call->input_length + 1);
    if (!call->input_bytes) _exit(WORKER_NO_MEMORY);
    read_all(FD_CALL, call->input_bytes, call->input_length, false);
    call->head.traceparent[sizeof call->head.traceparent - 1] = 0;
}

/* What the front sent must be what the record and the vault's order say. */
static void compare(const struct worker_call *call)
{
    const struct frame_secret *frame = &call->secret.frame;
    uint8_t digest[32];
    struct sha256 sha;
    sha256_init(&sha);
    sha256_add(&sha, FRAME_INPUT_TAG, sizeof FRAME_INPUT_TAG - 1);
    sha256_add(&sha, frame->salt, sizeof frame->salt);
    sha256_add(&sha, call->input_bytes, call->input_length);
    sha256_end(&sha, digest);
    bool same = call->head.attempt == frame->attempt && call->head.action == frame->action &&
                call->input_length == frame->input_size && memcmp(digest, frame->input_digest, sizeof digest) == 0;
    if (!same && policy_has(WALL_INPUT)) _exit(WORKER_MISMATCH);
    if (call->head.action >= call->cell->spec.action_count) _exit(WORKER_BAD_FRAME);
}

static void parse(struct worker_call *call)
{
    call->input = json_loadb((const char *)call->input_bytes, call->input_length,
                             JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    if (!call->input) _exit(WORKER_BAD_FRAME);
}

/* ── one call ────────────────────────────────────────────────────────────────────────────────────────── */

/* The structure is all zero: writing it over would only cost a fresh process its pages. */
static void open_call(struct worker_call *call, struct cell *cell)
{
    call->cell = cell;
    services_fill(call);
    call->call = (struct csn_call){&call->services, call};
    read_secret(call);
    if (cell->spec.lease) keep_fields(call);
    read_call(call);
    compare(call);
    id_text(call->secret.frame.call_id, call->id);
    parse(call);
}

/* Nothing of a call may be found by the next one of a lease, but for the credential that the lease is bound to. */
static void close_call(struct worker_call *call)
{
    if (call->cell->helpers && call->cell->helpers->end) call->cell->helpers->end(&call->call);
    worker_log_end(call);
    json_decref(call->input);
    json_decref(call->answer);
    while (call->scraps) {
        struct scrap *next = call->scraps->next;
        free(call->scraps);
        call->scraps = next;
    }
    explicit_bzero(call->input_bytes, call->input_length);
    free(call->input_bytes);
    explicit_bzero(&call->secret, call->secret.frame.size);
    memset(call, 0, offsetof(struct worker_call, secret));
}

/* One process, one call: it waits to be killed, so that an exit of its own always means that the plugin ended it. */
static _Noreturn void wait_for_the_end(void)
{
    for (;;) nanosleep(&(struct timespec){3600, 0}, NULL);
}

_Noreturn void worker_main(struct cell *cell)
{
    static struct worker_call call;
    load(cell);
    do {
        open_call(&call, cell);
        actions[call.head.action](&call.call);
        if (!call.answered) _exit(WORKER_NO_ANSWER);
        close_call(&call);
        if (worker_cut() && cell->spec.lease) _exit(WORKER_CLOSED);
    } while (cell->spec.lease);
    wait_for_the_end();
}
