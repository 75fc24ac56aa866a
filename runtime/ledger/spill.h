/* SPDX-License-Identifier: Apache-2.0 */
/* Outcomes that could not be written into the log wait here: a file whose blocks exist before they are needed. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "runtime/messages.h"

/* One outcome, complete but for its kept answer. */
struct spilled {
    struct call_ref call;
    uint32_t class, sent, reason, retry_after, front_class, log_lines;
    uint64_t reply_size, duration_us;
    uint8_t reply_digest[HASH_BYTES];
    uint32_t has_end, has_gate, has_worker, reserved;
    struct msg_gate_closed gate;
    struct msg_worker_ended worker;
};

enum { SPILL_SLOTS = 1024 };
struct spill {
    int fd; /* -1: not to be used until it was opened anew */
    uint64_t sequence;
    unsigned used;
};

/* Makes the file and its blocks if they are not there, and counts what waits in it. folder: the data folder. */
bool spill_open(struct spill *spill, int folder, struct err *err);
void spill_close(struct spill *spill);
/* May one more be added? */
bool spill_has_room(const struct spill *spill);
/* Durable when it returns true. When it fails, nothing more is written through this descriptor: the file is opened
 * anew before that. */
bool spill_add(struct spill *spill, const struct spilled *one, struct err *err);
typedef bool spill_visit(void *context, const struct spilled *one);
/* In the order they came; records that are cut or changed are counted in *bad and skipped. */
bool spill_each(struct spill *spill, spill_visit *visit, void *context, unsigned *bad, struct err *err);
/* They are in the log now. */
bool spill_empty(struct spill *spill, struct err *err);
