/* SPDX-License-Identifier: Apache-2.0 */
/* Reads what a worker asks on its egress channel. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "name.h"
#include "runtime/messages.h"

enum egress_kind { EGRESS_MALFORMED, EGRESS_ASK_DIAL, EGRESS_ASK_COMMIT, EGRESS_ASK_CLEAN, EGRESS_ASK_DONE };

struct egress_ask {
    enum egress_kind kind;
    bool answerable; /* id is the worker's, although the rest may be wrong */
    uint32_t id;
    uint16_t port;
    size_t host_length;
    char host[FRAME_HOST]; /* as it came, for name_read() and for records */
    struct call_ref call;  /* zeroed: the call whose gate is open */
};

/* One message. ask is always filled; EGRESS_MALFORMED: err says what is wrong. */
void egress_read(const void *bytes, size_t length, struct egress_ask *ask, struct err *err);
