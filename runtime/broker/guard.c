/* SPDX-License-Identifier: Apache-2.0 */
/* The scheme checks of a relay, as one state machine over both directions. */
#include "guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "policy.h"

enum { RECORD_CHANGE = 20, RECORD_ALERT = 21, RECORD_HANDSHAKE = 22, SERVER_HELLO = 2, RANDOM_AT = 11 };

/* SHA-256("HelloRetryRequest"): the random of a ServerHello that asks for another hello, RFC 8446 §4.1.3. */
static const uint8_t retry_random[32] = {0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
                                         0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
                                         0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c};
/* A client that was asked may send this first, RFC 8446 §D.4. */
static const uint8_t change_record[6] = {RECORD_CHANGE, 3, 3, 0, 1, 1};

static bool refuse(struct guard *guard, const char *why)
{
    guard->state = GUARD_REFUSED;
    snprintf(guard->why, sizeof guard->why, "%s", why);
    return false;
}

struct guard *guard_new(unsigned schemes, const struct name *name)
{
    struct guard *guard = calloc(1, sizeof *guard);
    if (!guard) return NULL;
    guard->schemes = schemes;
    guard->name = *name;
    guard->smtp.owed = 1;
    return guard;
}

/* ── up ────────────────────────────────────────────────────────────────────────────────────────────── */

/* Addresses are never server names (RFC 6066 §3): towards them, none may be given. */
static bool check_server_name(struct guard *guard)
{
    const char *want = guard->name.kind == NAME_HOST ? guard->name.text : "", *got = guard->hello.name;
    char shown[80];
    if (strcasecmp(want, got) == 0) return true;
    if (!*got) return refuse(guard, "the ClientHello names no server");
    name_show(got, strlen(got), shown, sizeof shown);
    guard->state = GUARD_REFUSED;
    snprintf(guard->why, sizeof guard->why, "the ClientHello names %s", shown);
    return false;
}

static size_t up_hello(struct guard *guard, const uint8_t *bytes, size_t count)
{
    guard->scanned += tlshello_feed(&guard->hello, bytes + guard->scanned, count - guard->scanned);
    if (guard->hello.state == HELLO_BAD) return refuse(guard, guard->hello.problem), 0;
    if (guard->hello.state == HELLO_MORE || !check_server_name(guard)) return 0;
    size_t passed = guard->scanned;
    guard->scanned = 0;
    guard->state = guard->retried ? GUARD_OPEN : GUARD_SERVER; /* asking again proved the peer's TLS already */
    return passed;
}

static size_t up_smtp(struct guard *guard, const uint8_t *bytes, size_t count)
{
    size_t passed = starttls_up(&guard->smtp, (const char *)bytes, count);
    if (guard->smtp.state == SMTP_REFUSED) return refuse(guard, guard->smtp.why), 0;
    if (guard->smtp.state != SMTP_AGREED) return passed;
    guard->state = GUARD_HELLO;
    return up_hello(guard, bytes, count);
}

static size_t up_retry(struct guard *guard, const uint8_t *bytes, size_t count)
{
    size_t have = count < sizeof change_record ? count : sizeof change_record;
    if (memcmp(bytes, change_record, have) == 0) {
        if (have < sizeof change_record) return 0;
        guard->state = GUARD_HELLO;
        return sizeof change_record;
    }
    guard->state = GUARD_HELLO;
    return up_hello(guard, bytes, count);
}

static size_t up_first(struct guard *guard, const uint8_t *bytes, size_t count)
{
    bool tls = guard->schemes & SCHEME_BIT(SCHEME_TLS), smtp = guard->schemes & SCHEME_BIT(SCHEME_STARTTLS);
    guard->state = tls && (!smtp || bytes[0] == RECORD_HANDSHAKE) ? GUARD_HELLO : GUARD_SMTP;
    return guard->state == GUARD_HELLO ? up_hello(guard, bytes, count) : up_smtp(guard, bytes, count);
}

size_t guard_up(struct guard *guard, const uint8_t *bytes, size_t count)
{
    if (!count) return 0;
    switch (guard->state) {
    case GUARD_FIRST: return up_first(guard, bytes, count);
    case GUARD_SMTP: return up_smtp(guard, bytes, count);
    case GUARD_HELLO: return up_hello(guard, bytes, count);
    case GUARD_RETRY: return up_retry(guard, bytes, count);
    case GUARD_OPEN: return count;
    case GUARD_SERVER:
    case GUARD_ENDING:
    case GUARD_REFUSED: break;
    }
    return 0;
}

/* ── down ──────────────────────────────────────────────────────────────────────────────────────────── */

/* The peer's first bytes after a hello: only TLS opens the way up. */
static bool down_server(struct guard *guard, const uint8_t *bytes, size_t count)
{
    size_t take = sizeof guard->head - guard->head_used;
    if (take > count) take = count;
    memcpy(guard->head + guard->head_used, bytes, take);
    guard->head_used += take;
    if (guard->head[0] == RECORD_ALERT) return guard->state = GUARD_ENDING, true;
    if (guard->head[0] != RECORD_HANDSHAKE || (guard->head_used > 1 && guard->head[1] != 3) ||
        (guard->head_used > 5 && guard->head[5] != SERVER_HELLO))
        return refuse(guard, "the peer did not answer the ClientHello with TLS");
    if (guard->head_used < sizeof guard->head) return true;
    bool retry = memcmp(guard->head + RANDOM_AT, retry_random, sizeof retry_random) == 0;
    if (retry) memset(&guard->hello, 0, sizeof guard->hello);
    guard->retried = retry;
    guard->state = retry ? GUARD_RETRY : GUARD_OPEN;
    return true;
}

/* Only a mail server speaks first. */
static bool down_first(struct guard *guard, const uint8_t *bytes, size_t count)
{
    if (!(guard->schemes & SCHEME_BIT(SCHEME_STARTTLS)))
        return refuse(guard, "the peer spoke first: this port does not serve TLS");
    return starttls_down(&guard->smtp, (const char *)bytes, count) || refuse(guard, guard->smtp.why);
}

bool guard_down(struct guard *guard, const uint8_t *bytes, size_t count)
{
    if (!count) return true;
    switch (guard->state) {
    case GUARD_FIRST: return down_first(guard, bytes, count);
    case GUARD_SMTP: return starttls_down(&guard->smtp, (const char *)bytes, count) || refuse(guard, guard->smtp.why);
    case GUARD_SERVER: return down_server(guard, bytes, count);
    case GUARD_HELLO: return guard->retried || refuse(guard, "the peer spoke before the ClientHello was complete");
    case GUARD_RETRY:
    case GUARD_OPEN:
    case GUARD_ENDING: return true;
    case GUARD_REFUSED: break;
    }
    return false;
}
