/* SPDX-License-Identifier: Apache-2.0 */
/* The guard of a relay: whatever both sides say, only greeting lines and one hello go up before the peer spoke TLS. */
#include <string.h>
#include <strings.h>

#include "fuzz.h"
#include "runtime/broker/guard.h"
#include "runtime/broker/policy.h"

enum { HELD = 32 * 1024 };

static const char *const allowed[] = {"EHLO", "HELO", "NOOP", "QUIT", "STARTTLS"};

/* Every whole line of what went up as SMTP is one of the five. */
static void check_lines(const char *text, size_t length)
{
    while (length) {
        const char *end = memchr(text, '\n', length);
        bool known = false;
        MUST(end && end > text && end[-1] == '\r');
        for (unsigned i = 0; i < 5; i++) known |= strncasecmp(text, allowed[i], strlen(allowed[i])) == 0;
        MUST(known);
        length -= (size_t)(end + 1 - text);
        text = end + 1;
    }
}

struct run {
    struct guard *guard;
    uint8_t held[HELD];
    size_t used;
};

static void go_up(struct run *run)
{
    for (;;) {
        enum guard_state before = run->guard->state;
        size_t passed = guard_up(run->guard, run->held, run->used);
        MUST(passed <= run->used);
        MUST(passed == 0 || run->guard->state != GUARD_REFUSED);
        if (before == GUARD_SERVER || before == GUARD_ENDING || before == GUARD_REFUSED) MUST(passed == 0);
        if (run->guard->state == GUARD_SMTP) check_lines((char *)run->held, passed);
        if (!passed) return;
        memmove(run->held, run->held + passed, run->used - passed);
        run->used -= passed;
    }
}

/* The input is a script: one byte says the side and how many bytes follow. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct run run;
    struct name name = {.kind = NAME_HOST, .text = "a"};
    if (length < 2) return 0;
    unsigned schemes = bytes[0] % 3 == 0   ? SCHEME_BIT(SCHEME_TLS)
                       : bytes[0] % 3 == 1 ? SCHEME_BIT(SCHEME_STARTTLS)
                                           : SCHEME_BIT(SCHEME_TLS) | SCHEME_BIT(SCHEME_STARTTLS);
    run.used = 0;
    run.guard = guard_new(schemes, &name);
    MUST(run.guard);
    for (size_t at = 1; at < length && run.guard->state != GUARD_REFUSED;) {
        size_t count = bytes[at] >> 1, side = bytes[at] & 1;
        at++;
        if (count > length - at) count = length - at;
        if (side) {
            bool ok = guard_down(run.guard, bytes + at, count);
            MUST(ok || run.guard->state == GUARD_REFUSED || count == 0);
        } else if (run.used + count <= HELD) {
            memcpy(run.held + run.used, bytes + at, count);
            run.used += count;
        }
        at += count;
        go_up(&run);
    }
    free(run.guard);
    return 0;
}
