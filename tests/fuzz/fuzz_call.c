/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker reads before any of the connector's code has a say: the vault's frame and the front's, from a front
 * that is taken over. What is accepted is bounded, belongs together, and is the input that the vault's frame names. */
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"
#include "sandbox/worker.h"

static jmp_buf leaving;
static const uint8_t *streams[8], *stream_ends[8];
static size_t most_at_once;

/* In place of the channels: bytes of the input, in pieces of any size. */
static ssize_t fake_read(int fd, void *bytes, size_t count)
{
    size_t left = (size_t)(stream_ends[fd] - streams[fd]);
    if (count > left) count = left;
    if (count > most_at_once) count = most_at_once;
    if (count) memcpy(bytes, streams[fd], count);
    streams[fd] += count;
    return (ssize_t)count;
}

static _Noreturn void leave(int code)
{
    MUST(code >= WORKER_CLOSED && code <= WORKER_TOO_LARGE);
    longjmp(leaving, code);
}

#define read fake_read
#define _exit leave
#include "sandbox/worker.c"
#undef read
#undef _exit

const uint32_t policy_walls = (1u << WALLS) - 1;

void services_fill(struct worker_call *call)
{
}
bool worker_cut(void)
{
    return false;
}
void worker_log_end(struct worker_call *call)
{
}

static struct worker_call call;
static struct cell cell;

static void check(void)
{
    const struct frame_secret *frame = &call.secret.frame;
    MUST(frame->size >= sizeof *frame && frame->size <= FRAME_SECRET_MAX && frame->field_count <= FRAME_FIELDS);
    for (uint32_t i = 0; i < frame->field_count; i++) {
        const struct frame_field *field = &frame->fields[i];
        MUST(strlen(field->name) < sizeof field->name);
        MUST(strlen(frame->bytes + field->offset) <= field->length);
    }
    MUST(call.head.action < cell.spec.action_count && call.head.action == frame->action &&
         call.head.attempt == frame->attempt);
    MUST(strlen(call.head.traceparent) < sizeof call.head.traceparent && call.input && strlen(call.id) == ID_TEXT - 1);
}

/* The input names its own pieces: one byte how large a read is, two how long the secret's stream is, then both streams.
 * The digest of the seeds is right; the fuzzer need not find it, so where it is not the comparison is all that fails.
 */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    if (length < 3) return 0;
    size_t first = (size_t)(bytes[1] << 8 | bytes[2]);
    most_at_once = (size_t)bytes[0] + 1;
    bytes += 3, length -= 3;
    if (first > length) first = length;
    streams[FD_SECRET] = bytes;
    streams[FD_CALL] = stream_ends[FD_SECRET] = bytes + first;
    stream_ends[FD_CALL] = bytes + length;
    cell.spec.action_count = 4;
    cell.spec.lease = first % 2;
    memset(&call, 0, sizeof call);
    if (setjmp(leaving) == 0) {
        open_call(&call, &cell);
        check();
        close_call(&call);
        MUST(call.input_bytes == NULL);
    } else {
        json_decref(call.input);
        free(call.input_bytes);
    }
    return 0;
}
