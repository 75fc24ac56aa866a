/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker may say on its reply pipe: log frames, then exactly one reply. Every byte is hostile; nothing is
 * allocated for a length that has only been claimed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ids.h"
#include "base/json.h"
#include "runtime/messages.h"
#include "sandbox/frames.h"

enum { REPLY_TEXT = 2048, RETRY_AFTER_MOST = 7 * 24 * 3600 };

/* A log line as it came; truncated: the last one, more follow that nobody keeps. The text is not NUL-terminated. */
typedef void log_taker(void *context, uint32_t level, const char *text, size_t length, bool truncated);

enum reply_state { REPLY_MORE, REPLY_WHOLE, REPLY_BROKEN };

struct reply_reader {
    const uint8_t *call_id;
    size_t reply_most, log_left; /* bytes; from the entry's limits */
    size_t log_flood;            /* bytes of log that may still come, kept or not */
    log_taker *log;
    void *context;
    enum reply_state state;
    size_t have; /* bytes of head */
    struct frame_head head;
    struct buf body;
    uint32_t log_lines;
    bool log_cut;
    enum call_reason reason; /* when broken */
    struct err err;
};

/* 0 in output_kb or log_kb: the protocol's own limit. */
void reply_init(struct reply_reader *reader, const uint8_t call_id[ID_BYTES], uint32_t output_kb, uint32_t log_kb,
                log_taker *log, void *context);
void reply_clear(struct reply_reader *reader);
/* Takes what was read. After REPLY_WHOLE any further byte breaks it. */
enum reply_state reply_feed(struct reply_reader *reader, const void *bytes, size_t length);
/* Breaks it from outside: the reader's state, reason and text say why. */
enum reply_state reply_break(struct reply_reader *reader, enum call_reason reason, const char *text);

/* The reply's content. */
struct worker_reply {
    enum call_class class;
    enum call_reason reason;
    uint32_t retry_after;
    char text[REPLY_TEXT];
    json_t *answer; /* NULL: none; owned */
    uint8_t digest[HASH_BYTES];
    uint64_t size;
};
/* Reads the body of a whole reply. ERR_PROTOCOL names what is wrong with it. */
bool reply_parse(const struct reply_reader *reader, struct worker_reply *reply, struct err *err);
void worker_reply_clear(struct worker_reply *reply);

/* Copies a connector's text for the log or a caller: what could forge a line, move a cursor or turn the direction of
 * writing, and bytes that are no UTF-8, come out as escapes. Always NUL-terminated. */
void text_tame(const char *text, size_t length, char *out, size_t size);
