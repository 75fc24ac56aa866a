/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of ClientHellos: joins record fragments, then walks the message once, with every length checked. */
#include "tlshello.h"

#include <string.h>

enum {
    RECORD_HANDSHAKE = 22,
    RECORD_MAX = 16 * 1024,
    CLIENT_HELLO = 1,
    EXTENSION_SERVER_NAME = 0,
    NAME_TYPE_HOST = 0,
    RANDOM_BYTES = 32,
    SESSION_ID_MAX = 32,
    TLS_1_2 = 0x0303 /* TLS 1.3 writes the same here, RFC 8446 §4.1.2 */
};

static bool bad(struct tlshello *hello, const char *problem)
{
    hello->state = HELLO_BAD;
    hello->problem = problem;
    return false;
}

/* ── the message ───────────────────────────────────────────────────────────────────────────────────── */

/* What is left of a length-prefixed part. */
struct span {
    const uint8_t *bytes;
    size_t left;
};

static bool span_number(struct span *span, size_t width, size_t *value)
{
    if (span->left < width) return false;
    *value = 0;
    for (size_t i = 0; i < width; i++) *value = *value << 8 | span->bytes[i];
    span->bytes += width;
    span->left -= width;
    return true;
}

static bool span_skip(struct span *span, size_t count)
{
    if (span->left < count) return false;
    span->bytes += count;
    span->left -= count;
    return true;
}

/* A part with its length in front: takes it off the span. */
static bool span_part(struct span *span, size_t width, struct span *part)
{
    size_t length;
    if (!span_number(span, width, &length) || span->left < length) return false;
    *part = (struct span){span->bytes, length};
    return span_skip(span, length);
}

static bool read_server_name(struct tlshello *hello, struct span body)
{
    struct span list, name;
    size_t type;
    if (!span_part(&body, 2, &list) || body.left) return bad(hello, "its server name list is malformed");
    if (!span_number(&list, 1, &type) || type != NAME_TYPE_HOST || !span_part(&list, 2, &name) || list.left)
        return bad(hello, "its server name list does not hold exactly one host name");
    if (name.left < 1 || name.left >= sizeof hello->name || memchr(name.bytes, 0, name.left))
        return bad(hello, "its server name is not a host name");
    if (hello->name[0]) return bad(hello, "it has two server names");
    memcpy(hello->name, name.bytes, name.left);
    hello->name[name.left] = 0;
    return true;
}

static bool read_extensions(struct tlshello *hello, struct span list)
{
    while (list.left) {
        struct span body;
        size_t type;
        if (!span_number(&list, 2, &type) || !span_part(&list, 2, &body))
            return bad(hello, "its extensions are malformed");
        if (type == EXTENSION_SERVER_NAME && !read_server_name(hello, body)) return false;
    }
    return true;
}

static bool read_message(struct tlshello *hello, struct span message)
{
    struct span session, suites, compression, extensions;
    size_t version;
    if (!span_number(&message, 2, &version) || version >> 8 != 3 || !span_skip(&message, RANDOM_BYTES))
        return bad(hello, "it is not a TLS ClientHello");
    if (version < TLS_1_2) return bad(hello, "the ClientHello offers nothing newer than TLS 1.1");
    if (!span_part(&message, 1, &session) || session.left > SESSION_ID_MAX)
        return bad(hello, "its session id is malformed");
    if (!span_part(&message, 2, &suites) || suites.left < 2 || suites.left % 2)
        return bad(hello, "its cipher suites are malformed");
    if (!span_part(&message, 1, &compression) || compression.left < 1)
        return bad(hello, "its compression methods are malformed");
    if (message.left == 0) return true; /* TLS 1.2 may do without extensions; who names no server is refused later */
    if (!span_part(&message, 2, &extensions) || message.left) return bad(hello, "its extensions are malformed");
    return read_extensions(hello, extensions);
}

/* ── the records ───────────────────────────────────────────────────────────────────────────────────── */

static bool read_header(struct tlshello *hello)
{
    size_t length = (size_t)hello->header[3] << 8 | hello->header[4];
    if (hello->header[0] != RECORD_HANDSHAKE || hello->header[1] != 3)
        return bad(hello, "the first bytes are not a TLS handshake");
    if (length == 0 || length > RECORD_MAX) return bad(hello, "a TLS record has an impossible length");
    hello->left = length;
    return true;
}

/* Bytes of the whole message, 4 until its own length is known; 0 when it is refused. */
static size_t wanted(struct tlshello *hello)
{
    if (hello->used < 4) return 4;
    size_t length = (size_t)hello->message[1] << 16 | (size_t)hello->message[2] << 8 | hello->message[3];
    if (hello->message[0] != CLIENT_HELLO) return bad(hello, "the first message is not a ClientHello"), 0;
    if (length + 4 > HELLO_MESSAGE_MAX) return bad(hello, "the ClientHello is longer than 16 KiB"), 0;
    return length + 4;
}

static size_t feed_header(struct tlshello *hello, const uint8_t *bytes, size_t count)
{
    size_t take = sizeof hello->header - hello->header_used;
    if (take > count) take = count;
    memcpy(hello->header + hello->header_used, bytes, take);
    hello->header_used += take;
    /* The first byte decides alone: whoever speaks no TLS must not have to send four more. */
    if (hello->header[0] != RECORD_HANDSHAKE)
        bad(hello, "the first bytes are not a TLS handshake");
    else if (hello->header_used == sizeof hello->header)
        read_header(hello);
    return take;
}

static size_t feed_body(struct tlshello *hello, const uint8_t *bytes, size_t count)
{
    size_t want = wanted(hello);
    if (!want) return 0;
    size_t take = want - hello->used;
    if (take > hello->left) take = hello->left;
    if (take > count) take = count;
    memcpy(hello->message + hello->used, bytes, take);
    hello->used += take;
    hello->left -= take;
    if (hello->left == 0) hello->header_used = 0;
    if (hello->used < 4 || (want = wanted(hello)) == 0 || hello->used < want) return take;
    if (hello->left)
        bad(hello, "something follows the ClientHello in its record");
    else if (read_message(hello, (struct span){hello->message + 4, hello->used - 4}))
        hello->state = HELLO_DONE;
    return take;
}

size_t tlshello_feed(struct tlshello *hello, const uint8_t *bytes, size_t count)
{
    size_t taken = 0;
    while (taken < count && hello->state == HELLO_MORE) {
        bool header = hello->left == 0;
        taken += header ? feed_header(hello, bytes + taken, count - taken)
                        : feed_body(hello, bytes + taken, count - taken);
        if (hello->state == HELLO_MORE && hello->seen + taken > HELLO_BYTES_MAX)
            bad(hello, "the ClientHello is cut into too many records");
    }
    hello->seen += taken;
    return taken;
}
