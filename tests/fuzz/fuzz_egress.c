/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's request: whatever it holds, what comes out is bounded, and what is taken is what was sent. */
#include <string.h>

#include "fuzz.h"
#include "runtime/broker/egress.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    struct egress_ask ask;
    struct err err = {0};
    struct name name;
    egress_read(bytes, length, &ask, &err);
    MUST(ask.host_length < FRAME_HOST);
    MUST((ask.kind == EGRESS_MALFORMED) == (err.text[0] != 0));
    if (length != sizeof(struct egress_request)) {
        MUST(ask.kind == EGRESS_MALFORMED && !ask.answerable);
        return 0;
    }
    MUST(ask.answerable);
    if (ask.kind == EGRESS_ASK_DIAL) {
        MUST(ask.port > 0 && ask.host_length > 0 && !memchr(ask.host, 0, ask.host_length));
        if (name_read(ask.host, ask.host_length, &name, &err)) MUST(strlen(name.text) <= ask.host_length);
    }
    return 0;
}
