/* SPDX-License-Identifier: Apache-2.0 */
/* What stands between a worker and the peer until the rule's scheme is proved: for tls and starttls, nothing goes up
 * but a greeting and a ClientHello that names the dialled host, and nothing after it before the peer has answered
 * with TLS. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "name.h"
#include "starttls.h"
#include "tlshello.h"

enum guard_state {
    GUARD_FIRST,  /* nothing has come up yet */
    GUARD_SMTP,   /* greeting commands */
    GUARD_HELLO,  /* a ClientHello, or a part of one */
    GUARD_SERVER, /* the hello is up: waiting for the peer's */
    GUARD_RETRY,  /* the peer asked for another hello (RFC 8446 §4.1.4): the same checks again */
    GUARD_OPEN,   /* proved: the guard is no longer needed */
    GUARD_ENDING, /* the peer answered with an alert: it may finish, nothing more goes up */
    GUARD_REFUSED /* why says what was wrong */
};

enum { GUARD_WHY = 200, GUARD_HEAD = 43 };

struct guard {
    enum guard_state state;
    unsigned schemes; /* SCHEME_BIT of tls, starttls, or both: then the first byte up decides */
    struct name name; /* what was dialled */
    struct starttls smtp;
    struct tlshello hello;
    bool retried;             /* the peer asked for another hello once */
    size_t scanned;           /* bytes at the front of what waits that the hello has eaten already */
    uint8_t head[GUARD_HEAD]; /* the peer's first bytes: a record header and the head of a ServerHello */
    size_t head_used;
    char why[GUARD_WHY];
};

/* NULL: no memory. Free with free(). */
struct guard *guard_new(unsigned schemes, const struct name *name);

/* bytes: all that waits to go up. Returns how many of them may go now; look at state afterwards. */
size_t guard_up(struct guard *guard, const uint8_t *bytes, size_t count);
/* What the peer sent, before it is passed down. false: state is GUARD_REFUSED. After true, guard_up() may say more. */
bool guard_down(struct guard *guard, const uint8_t *bytes, size_t count);
