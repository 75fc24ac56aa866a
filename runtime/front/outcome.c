/* SPDX-License-Identifier: Apache-2.0 */
/* A call as a value: made, ended, cleared. */
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "call.h"

void call_init(struct call *call)
{
    memset(call, 0, sizeof *call);
    call->stream = call->replies = -1;
    call->began = clock_now();
}

void call_clear(struct call *call)
{
    close_fd(&call->stream);
    close_fd(&call->replies);
    snapshot_drop(call->registry);
    call->registry = NULL;
    json_decref(call->answer);
    call->answer = NULL;
    buf_clear(&call->reply);
    request_clear(&call->request);
}

/* The first view stands: what comes after is a consequence of it. */
void call_ended(struct call *call, enum call_class class, enum call_reason reason, const char *text)
{
    if (call->class != CLASS_NONE) return;
    call->class = class;
    call->reason = reason;
    snprintf(call->text, sizeof call->text, "%s", text);
}
