/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's reply pipe: any bytes, in pieces of any size. The first byte chooses the pieces. Whatever is accepted
 * must hold what the rest of the front relies on. */
#include <stdlib.h>
#include <string.h>

#include "runtime/front/reply.h"

#include "fuzz.h"

/* The seeds carry this id, so that the fuzzer need not guess it. */
static const uint8_t call_id[ID_BYTES] = "caissoncaissonca";

static void on_log(void *context, uint32_t level, const char *text, size_t length, bool truncated)
{
    char tame[512];
    if (level > 3 || length > FRAME_LOG_MAX) abort();
    text_tame(text, length, tame, sizeof tame);
    for (const unsigned char *at = (const unsigned char *)tame; *at; at++)
        if (*at < 0x20 || *at == 0x7f) abort();
}

static void check_reply(const struct reply_reader *reader)
{
    struct worker_reply reply;
    struct err err = {0};
    if (reply_parse(reader, &reply, &err)) {
        bool known = reply.class == CLASS_OK || reply.class == CLASS_REJECTED || reply.class == CLASS_RETRYABLE ||
                     reply.class == CLASS_BAD_INPUT || reply.class == CLASS_LOST;
        if (!known || reply.retry_after > RETRY_AFTER_MOST || strlen(reply.text) >= sizeof reply.text) abort();
    } else if (err.kind != ERR_PROTOCOL) {
        abort();
    }
    worker_reply_clear(&reply);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reply_reader reader;
    size_t piece = size ? (size_t)data[0] + 1 : 1, most = 0;
    reply_init(&reader, call_id, 64, 4, on_log, NULL);
    for (size_t at = 1; at < size; at += piece) {
        size_t count = size - at < piece ? size - at : piece;
        reply_feed(&reader, data + at, count);
        most += count;
        if (reader.body.used > most) abort(); /* nothing that was only claimed */
    }
    if (reader.state == REPLY_BROKEN && reader.err.kind != ERR_PROTOCOL) abort();
    check_reply(&reader);
    reply_clear(&reader);
    return 0;
}
