/* SPDX-License-Identifier: Apache-2.0 */
/* One call on its way through the front. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "reply.h"
#include "request.h"
#include "runtime/messages.h"
#include "snapshot.h"

struct front;
struct conn;

struct call {
    /* from the caller */
    struct call_request request;
    struct who who;
    struct conn *conn;        /* of a WHO_PEER */
    uint64_t began, deadline; /* CLOCK_MONOTONIC ns */

    /* from the front's own registry */
    struct snapshot *registry;
    const struct entry *entry;         /* NULL: no such connector, or not enabled */
    const struct entry_action *action; /* NULL: no such action */
    struct err refusal;                /* the front's own: the ledger records it if the caller may know it */

    /* from the ledger */
    struct call_ref ref; /* zeroed: none */
    uint8_t salt[32], workspace_key[32];
    uint64_t intent_index, outcome_index;
    uint32_t action_index;
    bool replay;

    /* the worker's channels; -1: none */
    int stream, replies;

    /* what became of it: the front's view until ledger_end(), then the recorded one */
    enum call_class class;
    enum call_sent sent;
    enum call_reason reason;
    uint32_t retry_after, log_lines;
    char text[REPLY_TEXT];
    json_t *answer;
    uint8_t reply_digest[HASH_BYTES];
    uint64_t reply_size;
    struct buf reply; /* its bytes, where the ledger is to keep them */
    bool whole_reply, unrecorded;
};

void call_init(struct call *call);
void call_clear(struct call *call);
/* The main path: true when the call has an outcome (class, sent …), false when it was refused. */
bool call_run(struct front *front, struct call *call, struct err *err);
/* Notes the front's view of how it ended. */
void call_ended(struct call *call, enum call_class class, enum call_reason reason, const char *text);
