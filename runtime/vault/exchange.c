/* SPDX-License-Identifier: Apache-2.0 */
/* The return pipe of an OAuth2 exchange. What the worker says is one text of fixed length around one structure of fixed
 * size; the tokens are sealed here, for the credential whose order this was and for no other, and leave as ciphertext.
 */
#include "exchange.h"

#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "vault.h"

/* What cannot be got anew is kept for as long as a log may take to be writable again; said less often, once it is late.
 */
enum { SAY_AGAIN_MS = 250, SAY_LATE_MS = 2000, SAID_S = 2, TOKENS_S = 3600 };

static struct exchanges *exchanges_of(struct role *role)
{
    return &((struct vault *)role->state)->release.exchanges;
}

/* ── its channels ──────────────────────────────────────────────────────────────────────────────────── */

static bool usable(int stream, int reply)
{
    struct stat one, other;
    int stream_flags = fcntl(stream, F_GETFL), reply_flags = fcntl(reply, F_GETFL);
    return fstat(stream, &one) == 0 && S_ISSOCK(one.st_mode) && fstat(reply, &other) == 0 && S_ISFIFO(other.st_mode) &&
           stream_flags >= 0 && (stream_flags & O_NONBLOCK) && reply_flags >= 0 && (reply_flags & O_NONBLOCK) &&
           (reply_flags & O_ACCMODE) == O_RDONLY;
}

bool exchange_ends_take(struct exchange_ends *ends, struct wire_frame *frame)
{
    if (frame->fd_count < 2) return true;
    if (frame->fd_count != 3 || !usable(frame->fds[1], frame->fds[2])) return false;
    ends->given = true;
    ends->stream = take_fd(&frame->fds[1]);
    ends->reply = take_fd(&frame->fds[2]);
    return true;
}

void exchange_ends_close(struct exchange_ends *ends)
{
    if (!ends->given) return;
    close_fd(&ends->stream);
    close_fd(&ends->reply);
    ends->given = false;
}

/* ── the answer ────────────────────────────────────────────────────────────────────────────────────── */

static bool head_fits(const unsigned char *bytes, const struct msg_order *order)
{
    struct frame_head head;
    memcpy(&head, bytes, sizeof head);
    return head.length == GRANT_REPLY - sizeof head && head.type == FRAME_REPLY && head.version == FRAME_VERSION &&
           memcmp(head.call_id, order->call.id, ID_BYTES) == 0;
}

static bool grant_fits(const struct frame_grant *grant)
{
    bool tokens = grant->access_length > 0 && grant->access_length <= sizeof grant->access &&
                  grant->refresh_length <= sizeof grant->refresh;
    return grant->magic == FRAME_GRANT_MAGIC && grant->verdict > TOKENS_NONE && grant->verdict < TOKENS_VERDICTS &&
           (grant->verdict != TOKENS_OK || tokens);
}

/* Compares, copies, and checks numbers: there is nothing here to parse. */
static bool read_grant(struct key_store *store, const struct msg_order *order)
{
    const unsigned char *at = store->work.returned;
    struct frame_grant *grant = &store->work.grant;
    const char *end;
    size_t length = 0;
    if (!head_fits(at, order)) return false;
    at += sizeof(struct frame_head);
    if (memcmp(at, GRANT_BEFORE, sizeof GRANT_BEFORE - 1) != 0) return false;
    at += sizeof GRANT_BEFORE - 1;
    if (sodium_base642bin((unsigned char *)grant, sizeof *grant, (const char *)at, GRANT_TEXT, NULL, &length, &end,
                          sodium_base64_VARIANT_ORIGINAL) != 0 ||
        length != sizeof *grant || end != (const char *)at + GRANT_TEXT)
        return false;
    at += GRANT_TEXT;
    if (memcmp(at, GRANT_AFTER, sizeof GRANT_AFTER - 1) != 0 || !grant_fits(grant)) return false;
    for (size_t i = 0; i < sizeof grant->access; i++) grant->access[i] ^= GRANT_MASK;
    for (size_t i = 0; i < sizeof grant->refresh; i++) grant->refresh[i] ^= GRANT_MASK;
    return true;
}

/* ── sealing ───────────────────────────────────────────────────────────────────────────────────────── */

struct resealing {
    struct key_store *store;
    const struct msg_order *order;
    struct msg_seal_answer *sealed;
    size_t used;
};

static bool add_field(struct resealing *to, const char *purpose, const char *name, const void *value, size_t length,
                      struct err *err)
{
    struct key_context context = order_context(to->order, purpose);
    size_t size = field_sealed_size(length);
    context.version = to->order->next_version;
    context.audience = to->order->audience_digest;
    context.field = name;
    if (to->sealed->field_count == FRAME_FIELDS || size > SEALED_MAX - to->used)
        return err_set(err, ERR_TOO_LARGE, "the credential's fields are too large");
    struct sealed_field *field = &to->sealed->fields[to->sealed->field_count++];
    strncpy(field->name, name, sizeof field->name - 1);
    field->offset = (uint32_t)to->used;
    field->length = (uint32_t)size;
    to->used += size;
    return field_seal(to->store->work.opened, &context, value, length, to->store->work.padded,
                      to->sealed->bytes + field->offset) ||
           err_set(err, ERR_TOO_LARGE, "a field is too large");
}

/* A field of the order, as it is. */
static bool move_field(struct resealing *to, const struct sealed_field *field, struct err *err)
{
    struct key_work *work = &to->store->work;
    struct key_context context = order_context(to->order, FOR_GRANT_FIELD);
    const unsigned char *value;
    size_t length;
    context.field = field->name;
    context.audience = to->order->audience_digest;
    if (!field_open(work->credential, &context, to->order->bytes + field->offset, field->length, work->padded, &value,
                    &length) ||
        length > sizeof work->frame)
        return err_set(err, ERR_STATE, "a field of the credential is damaged or belongs somewhere else");
    memcpy(work->frame, value, length); /* sealing needs the other buffer */
    bool good = add_field(to, FOR_GRANT_FIELD, field->name, work->frame, length, err);
    sodium_memzero(work->frame, length);
    return good;
}

static bool move_fields(struct resealing *to, bool renewed, struct err *err)
{
    for (uint32_t i = 0; i < to->order->field_count; i++) {
        const struct sealed_field *field = &to->order->fields[i];
        if (renewed && strcmp(field->name, "refresh_token") == 0) continue;
        if (!move_field(to, field, err)) return false;
    }
    return true;
}

/* The whole credential once more, as its next version, under a new key. A name comes once: the order's fields cannot
 * bring another access token along. */
static bool reseal(struct keys *keys, const struct msg_order *order, struct msg_tokens *tokens, struct err *err)
{
    struct key_store *store = keys->store;
    const struct frame_grant *grant = &store->work.grant;
    struct resealing to = {store, order, &tokens->sealed, 0};
    struct key_context context = order_context(order, FOR_CREDENTIAL_KEY);
    context.version = order->next_version;
    if (!order_keys(keys, order, err)) return false;
    randombytes_buf(store->work.opened, KEY_BYTES);
    key_wrap(store->work.workspace, &context, store->work.opened, &tokens->sealed.credential_key);
    memcpy(tokens->sealed.audience_digest, order->audience_digest, HASH_BYTES);
    tokens->renewed = grant->refresh_length > 0;
    tokens->expires_in = grant->expires_in;
    return move_fields(&to, tokens->renewed, err) &&
           add_field(&to, FOR_FIELD, TOKEN_FIELD, grant->access, grant->access_length, err) &&
           (!tokens->renewed ||
            add_field(&to, FOR_GRANT_FIELD, "refresh_token", grant->refresh, grant->refresh_length, err));
}

/* ── the end of one ────────────────────────────────────────────────────────────────────────────────── */

static bool read_reply(struct key_store *store, int fd)
{
    int waiting = 0;
    if (ioctl(fd, FIONREAD, &waiting) < 0 || waiting != GRANT_REPLY) return false;
    return read(fd, store->work.returned, GRANT_REPLY) == GRANT_REPLY;
}

static void close_one(struct role *role, struct exchange *exchange)
{
    if (exchange->reply >= 0) role_unwatch(role, exchange->reply);
    close_fd(&exchange->reply);
    free(exchange->order);
    free(exchange->tokens);
    *exchange = (struct exchange){.reply = -1};
}

/* A line that is gone or full: the next time. */
static void tell(struct role *role, struct exchange *exchange)
{
    struct role_line *ledger = role_line_to(role, ROLE_LEDGER);
    if (ledger) role_send(role, ledger, MSG_TOKENS, 0, exchange->tokens, sizeof *exchange->tokens, NULL, 0);
    bool late = clock_now() >= exchange->until + SAID_S * CLOCK_S;
    exchange->again = clock_now() + (late ? SAY_LATE_MS : SAY_AGAIN_MS) * CLOCK_MS;
    role_wake_at(role, exchange->again);
}

static void take_answer(struct keys *keys, const struct msg_order *order, struct msg_tokens *tokens)
{
    struct err err = {0};
    tokens->verdict = read_grant(keys->store, order) ? keys->store->work.grant.verdict : TOKENS_ODD;
    if (tokens->verdict != TOKENS_OK || reseal(keys, order, tokens, &err)) return;
    memset(&tokens->sealed, 0, sizeof tokens->sealed);
    status_set(&tokens->sealed.status, &err);
    tokens->verdict = TOKENS_ODD;
}

/* From here on it holds what the ledger is told, and nothing else. */
static void finish(struct role *role, struct exchange *exchange, bool whole)
{
    struct vault *vault = role->state;
    if (whole && read_reply(vault->keys.store, exchange->reply))
        take_answer(&vault->keys, exchange->order, exchange->tokens);
    keys_wipe(&vault->keys);
    role_unwatch(role, exchange->reply);
    close_fd(&exchange->reply);
    free(take(&exchange->order));
    tell(role, exchange);
}

/* The whole answer stands in the pipe before any of it is read: so nothing of it waits in this process. */
static void ready(struct role *role, int fd, uint32_t events, void *context)
{
    struct exchange *exchange = context;
    struct pollfd now = {.fd = fd, .events = POLLIN}; /* the event may be of an older descriptor with this number */
    int waiting = 0;
    if (!exchange->order || exchange->reply != fd) return;
    bool over = poll(&now, 1, 0) > 0 && (now.revents & (POLLHUP | POLLERR));
    bool whole = ioctl(fd, FIONREAD, &waiting) == 0 && waiting >= GRANT_REPLY;
    if (whole || over) finish(role, exchange, whole);
}

/* ── the start of one ──────────────────────────────────────────────────────────────────────────────── */

static bool send_call(const struct msg_order *order, int stream)
{
    struct {
        struct frame_head head;
        struct frame_call call;
        char input[sizeof EXCHANGE_INPUT - 1];
    } start;
    memset(&start, 0, sizeof start);
    size_t length = sizeof start.head + sizeof start.call + sizeof start.input;
    start.head.length = (uint32_t)(length - sizeof start.head);
    start.head.type = FRAME_CALL;
    start.head.version = FRAME_VERSION;
    memcpy(start.head.call_id, order->call.id, ID_BYTES);
    start.call.attempt = order->call.attempt;
    start.call.action = order->action;
    start.call.deadline = order->deadline;
    memcpy(start.input, EXCHANGE_INPUT, sizeof start.input);
    /* the runner shares its flags */
    return send(stream, &start, length, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)length;
}

static struct exchange *place(struct exchanges *exchanges, const struct msg_order *order, int reply)
{
    unsigned i = 0;
    while (i < EXCHANGES && exchanges->list[i].tokens) i++;
    struct msg_tokens *tokens = i < EXCHANGES ? calloc(1, sizeof *tokens) : NULL;
    if (!tokens) return NULL;
    tokens->call = order->call;
    tokens->version = order->next_version;
    tokens->key_version = order->key_version;
    memcpy(tokens->credential, order->credential, ID_BYTES);
    tokens->sealed.status = status_ok();
    exchanges->list[i] = (struct exchange){.reply = reply, .tokens = tokens, .until = order->deadline};
    return &exchanges->list[i];
}

void exchange_start(struct role *role, struct msg_order *order, struct exchange_ends *ends)
{
    struct exchange *exchange = place(exchanges_of(role), order, ends->reply);
    if (!exchange) {
        free(order);
        return;
    }
    exchange->order = order;
    bool good = send_call(order, ends->stream) && role_watch(role, ends->reply, EPOLLIN | EPOLLET, ready, exchange);
    ends->reply = -1;
    role_wake_at(role, order->deadline);
    if (!good) finish(role, exchange, false);
}

static void look(struct role *role, struct exchange *exchange, uint64_t now)
{
    if (exchange->order && exchange->until <= now) finish(role, exchange, false);
    if (exchange->order) return;
    unsigned patience = exchange->tokens->verdict == TOKENS_OK ? TOKENS_S : SAID_S;
    if (exchange->until + patience * CLOCK_S <= now)
        close_one(role, exchange);
    else if (exchange->again <= now)
        tell(role, exchange);
}

void exchanges_tick(struct role *role)
{
    struct exchanges *exchanges = exchanges_of(role);
    uint64_t now = clock_now();
    for (unsigned i = 0; i < EXCHANGES; i++)
        if (exchanges->list[i].tokens) look(role, &exchanges->list[i], now);
}

uint64_t exchanges_due(const struct exchanges *exchanges)
{
    uint64_t next = 0;
    for (unsigned i = 0; i < EXCHANGES; i++) {
        const struct exchange *exchange = &exchanges->list[i];
        uint64_t at = exchange->order ? exchange->until : exchange->again;
        if (exchange->tokens && (!next || at < next)) next = at;
    }
    return next;
}

void exchange_forget(struct role *role, const struct call_ref *call)
{
    struct exchanges *exchanges = exchanges_of(role);
    for (unsigned i = 0; i < EXCHANGES; i++) {
        struct exchange *exchange = &exchanges->list[i];
        if (exchange->tokens && memcmp(&exchange->tokens->call, call, sizeof *call) == 0) close_one(role, exchange);
    }
}

void exchanges_close(struct role *role)
{
    struct exchanges *exchanges = exchanges_of(role);
    for (unsigned i = 0; i < EXCHANGES; i++)
        if (exchanges->list[i].tokens) close_one(role, &exchanges->list[i]);
}
