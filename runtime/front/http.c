/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP listeners, over libmicrohttpd: one thread per connection, everything bounded. */
#include "http.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api.h"
#include "base/auto.h"
#include "front.h"
#include "problem.h"

enum {
    CONNECTION_MEMORY = 64 * 1024, /* of the library: the request's head and a piece of its body */
    THREAD_STACK = 512 * 1024,
    CONNECTIONS_MOST = 4096,         /* of one listener, for ever; conns.c counts against what the configuration says */
    THREAD_IDLE_S = 120,             /* without a byte; the sweep of conns.c is stricter */
    BODY_FREE = 64 * 1024,           /* of each body: however full it is, small requests are read */
    SURPLUS = 1024 * 1024,           /* of a body that nobody wants, read and dropped so that its sender hears why */
    SURPLUS_LARGE = 64 * 1024 * 1024 /* the same when its size is what is wrong with it */
};

struct http_listener {
    struct front *front;
    struct MHD_Daemon *daemon;
    bool tcp, tls;
};

/* One request between its first header and its reply. */
struct pending {
    struct http_request request;
    struct http_reply reply;
    bool answered;                  /* the head was enough */
    size_t taken, counted, surplus; /* bytes of its body: all, those that take room from others, those dropped */
};

static const char *find_header(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->library, MHD_HEADER_KIND, name);
}

static const char *find_query(const struct http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->library, MHD_GET_ARGUMENT_KIND, name);
}

/* ── replies ───────────────────────────────────────────────────────────────────────────────────────── */

static void add_fixed(struct MHD_Response *response)
{
    static const char *const headers[][2] = {
        {"X-Content-Type-Options", "nosniff"},
        {"Cache-Control", "no-store"},
        {"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
        {"Referrer-Policy", "no-referrer"},
    };
    for (unsigned i = 0; i < sizeof headers / sizeof *headers; i++)
        MHD_add_response_header(response, headers[i][0], headers[i][1]);
}

static void add_cors(struct MHD_Response *response, const struct http_reply *reply)
{
    MHD_add_response_header(response, "Access-Control-Allow-Origin", reply->origin);
    MHD_add_response_header(response, "Access-Control-Expose-Headers", "Retry-After");
    MHD_add_response_header(response, "Vary", "Origin");
    if (reply->status != 204) return;
    MHD_add_response_header(response, "Access-Control-Allow-Methods", reply->allow);
    MHD_add_response_header(response, "Access-Control-Allow-Headers",
                            "Authorization, Content-Type, Idempotency-Key, traceparent");
    MHD_add_response_header(response, "Access-Control-Max-Age", "600");
}

static void add_headers(struct MHD_Response *response, const struct http_reply *reply)
{
    char seconds[16];
    add_fixed(response);
    if (reply->type) MHD_add_response_header(response, "Content-Type", reply->type);
    if (reply->allow) MHD_add_response_header(response, "Allow", reply->allow);
    if (reply->authenticate) MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"caisson\"");
    if (reply->close) MHD_add_response_header(response, "Connection", "close");
    if (reply->origin) add_cors(response, reply);
    if (!reply->retry_after) return;
    snprintf(seconds, sizeof seconds, "%u", reply->retry_after);
    MHD_add_response_header(response, "Retry-After", seconds);
}

static struct MHD_Response *make_response(struct http_reply *reply)
{
    if (!reply->body.used) return MHD_create_response_from_buffer(0, (void *)"", MHD_RESPMEM_PERSISTENT);
    size_t length = reply->body.used;
    return MHD_create_response_from_buffer(length, take(&reply->body.bytes), MHD_RESPMEM_MUST_FREE);
}

static enum MHD_Result send_reply(struct MHD_Connection *connection, struct pending *pending)
{
    struct http_reply *reply = &pending->reply;
    struct MHD_Response *response = make_response(reply);
    if (!response) return MHD_NO;
    add_headers(response, reply);
    metrics_request(&pending->request.front->metrics, reply->status);
    enum MHD_Result queued = MHD_queue_response(connection, (unsigned)reply->status, response);
    MHD_destroy_response(response);
    return queued;
}

/* ── requests ──────────────────────────────────────────────────────────────────────────────────────── */

static size_t announced_length(const struct http_request *request)
{
    const char *length = find_header(request, "Content-Length");
    if (find_header(request, "Transfer-Encoding")) return SIZE_MAX;
    return length ? strtoull(length, NULL, 10) : 0; /* the library has checked that it is a number */
}

static struct conn *conn_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static struct pending *open_pending(struct http_listener *listener, struct MHD_Connection *connection,
                                    const char *method, const char *path)
{
    struct conn *conn = conn_of(connection);
    struct pending *pending = conn ? calloc(1, sizeof *pending) : NULL;
    if (!pending) return NULL;
    pending->request = (struct http_request){.front = listener->front,
                                             .conn = conn,
                                             .method = method,
                                             .path = path,
                                             .header = find_header,
                                             .query = find_query,
                                             .library = connection};
    buf_init(&pending->reply.body, REPLY_MAX);
    return pending;
}

static size_t surplus_most(const struct pending *pending)
{
    return pending->reply.status == 413 ? SURPLUS_LARGE : SURPLUS;
}

/* The head is there. Many clients send their whole body before they listen, so a refused body is read and dropped
 * unless it is very large, of unknown length, or held back by a client that asks first. */
static enum MHD_Result on_head(struct http_listener *listener, struct MHD_Connection *connection, const char *path,
                               const char *method, void **slot)
{
    struct pending *pending = open_pending(listener, connection, method, path);
    if (!pending) return MHD_NO;
    *slot = pending;
    listener->front->requests++;
    conn_began(&listener->front->conns, pending->request.conn);
    size_t length = announced_length(&pending->request);
    pending->answered = !api_head(&pending->request, length, &pending->reply);
    if (pending->answered && length) {
        pending->reply.close = true;
        bool asks = find_header(&pending->request, "Expect") != NULL;
        if (asks || length > surplus_most(pending)) return send_reply(connection, pending);
    }
    if (!pending->answered) buf_init(&pending->request.body, pending->request.route->body_most);
    return MHD_YES;
}

static void refuse_body(struct pending *pending, enum err_kind kind, const char *text)
{
    struct err err = {0};
    err_set(&err, kind, "%s", text);
    problem_of(&err, &pending->reply);
    pending->answered = true;
    pending->reply.close = true;
}

/* Takes room for that many more bytes. false: all together hold too much, or this caller alone three quarters of it. */
static bool take_room(struct pending *pending, size_t count)
{
    struct front *front = pending->request.front;
    uint64_t most = (uint64_t)front->config.bodies_mb << 20;
    pending->taken += count;
    size_t counted = pending->taken > BODY_FREE ? pending->taken - BODY_FREE : 0;
    if (counted == pending->counted) return true;
    uint64_t more = counted - pending->counted, all = atomic_fetch_add(&front->bodies, more) + more;
    pending->request.conn->body = pending->counted = counted;
    return all <= most && conns_bodies(&front->conns, pending->request.conn) <= most / 4 * 3;
}

static enum MHD_Result on_body(struct pending *pending, const char *bytes, size_t *length)
{
    size_t count = *length;
    *length = 0;
    if (pending->answered) return (pending->surplus += count) > surplus_most(pending) ? MHD_NO : MHD_YES;
    if (!take_room(pending, count))
        refuse_body(pending, ERR_BUSY, "too many large requests are being read at once");
    else if (!buf_add(&pending->request.body, bytes, count))
        refuse_body(pending, ERR_TOO_LARGE, "the body is larger than this path takes");
    return MHD_YES;
}

/* The library must not count the time a call takes as idleness of its connection: from 0, a new limit starts now. */
static void restart_timer(struct MHD_Connection *connection)
{
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, 0u);
    MHD_set_connection_option(connection, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)THREAD_IDLE_S);
}

static enum MHD_Result on_whole(struct MHD_Connection *connection, struct pending *pending)
{
    conn_whole(&pending->request.front->conns, pending->request.conn);
    if (!pending->answered) api_run(&pending->request, &pending->reply);
    restart_timer(connection);
    return send_reply(connection, pending);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *bytes, size_t *length,
                                  void **slot)
{
    if (!*slot) return on_head(context, connection, path, method, slot);
    return *length ? on_body(*slot, bytes, length) : on_whole(connection, *slot);
}

static void on_done(void *context, struct MHD_Connection *connection, void **slot, enum MHD_RequestTerminationCode why)
{
    struct pending *pending = *slot;
    if (!pending) return;
    struct front *front = pending->request.front;
    front->bodies -= pending->counted;
    pending->request.conn->body = 0;
    front->requests--;
    conn_idle(&front->conns, pending->request.conn);
    buf_clear(&pending->request.body);
    buf_clear(&pending->reply.body);
    free(pending);
    *slot = NULL;
}

/* ── connections ───────────────────────────────────────────────────────────────────────────────────── */

static void on_connection(void *context, struct MHD_Connection *connection, void **slot,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_listener *listener = context;
    struct conns *conns = &listener->front->conns;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*slot) conn_remove(conns, *slot);
        *slot = NULL;
        return;
    }
    int fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    const struct sockaddr *peer = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
    *slot = conn_add(conns, fd, listener->tcp, listener->tls, peer);
}

/* ── listeners ─────────────────────────────────────────────────────────────────────────────────────── */

static struct MHD_Daemon *start_daemon(struct http_listener *listener, int fd, const char *cert, const char *key)
{
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)"NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"},
        {MHD_OPTION_END, 0, NULL}};
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
                     (listener->tls ? MHD_USE_TLS : 0);
    return MHD_start_daemon(flags, 0, NULL, NULL, on_request, listener, MHD_OPTION_LISTEN_SOCKET, fd,
                            MHD_OPTION_NOTIFY_COMPLETED, on_done, listener, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
                            listener, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MOST,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)THREAD_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                            (size_t)CONNECTION_MEMORY, MHD_OPTION_THREAD_STACK_SIZE, (size_t)THREAD_STACK,
                            MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_ARRAY, listener->tls ? tls : none,
                            MHD_OPTION_END);
}

struct http_listener *http_start(struct front *front, int fd, bool tcp, const char *cert, const char *key,
                                 struct err *err)
{
    FREE_AUTO struct http_listener *listener = calloc(1, sizeof *listener);
    if (!listener) return err_set(err, ERR_BUSY, "there is no memory for a listener"), NULL;
    listener->front = front;
    listener->tcp = tcp;
    listener->tls = cert && key;
    listener->daemon = start_daemon(listener, fd, cert, key);
    if (!listener->daemon)
        return err_set(err, ERR_IO, "the HTTP listener does not start%s",
                       listener->tls ? "; are certificate and key a pair, in PEM?" : ""),
               NULL;
    return take(&listener);
}

void http_quiesce(struct http_listener *listener)
{
    int fd = listener ? MHD_quiesce_daemon(listener->daemon) : -1;
    if (fd >= 0) close(fd);
}

void http_stop(struct http_listener *listener)
{
    if (!listener) return;
    MHD_stop_daemon(listener->daemon);
    free(listener);
}
