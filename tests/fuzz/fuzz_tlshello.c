/* SPDX-License-Identifier: Apache-2.0 */
/* A ClientHello says the same whole and in pieces, and never more than fits. */
#include <string.h>

#include "fuzz.h"
#include "runtime/broker/tlshello.h"

static void feed(struct tlshello *hello, const uint8_t *bytes, size_t length, size_t piece)
{
    size_t at = 0;
    memset(hello, 0, sizeof *hello);
    while (at < length && hello->state == HELLO_MORE) {
        size_t count = length - at < piece ? length - at : piece, taken = tlshello_feed(hello, bytes + at, count);
        MUST(taken <= count);
        MUST(taken == count || hello->state != HELLO_MORE);
        at += taken;
        MUST(hello->seen == at);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct tlshello whole, pieces;
    if (length == 0) return 0;
    feed(&whole, bytes, length, length);
    feed(&pieces, bytes, length, 1 + bytes[length - 1] % 7);
    MUST(whole.state == pieces.state && whole.seen <= HELLO_BYTES_MAX + sizeof whole.header);
    if (whole.state == HELLO_BAD) MUST(whole.problem && pieces.problem);
    if (whole.state == HELLO_DONE)
        MUST(whole.seen == pieces.seen && strcmp(whole.name, pieces.name) == 0 && whole.used <= HELLO_MESSAGE_MAX);
    return 0;
}
