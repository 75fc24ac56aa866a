/* SPDX-License-Identifier: Apache-2.0 */
/* Where the benchmarks' webhooks and mails go: answers as fast as it can, keeps nothing; one thread a connection.
 * usage: sink https|smtp CERT KEY      prints "ready PORT", ends with its standard input */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROOM = 64 * 1024 };

struct peer {
    int fd;
    SSL *tls; /* NULL: in clear, before STARTTLS */
    size_t used;
    char bytes[ROOM + 1];
};

static SSL_CTX *context;
static void (*serve)(struct peer *);

static int take(struct peer *peer)
{
    size_t room = ROOM - peer->used;
    int got = peer->tls ? SSL_read(peer->tls, peer->bytes + peer->used, (int)room)
                        : (int)read(peer->fd, peer->bytes + peer->used, room);
    if (got <= 0) return 0;
    peer->used += (size_t)got;
    peer->bytes[peer->used] = 0;
    return 1;
}

static int give(struct peer *peer, const char *text)
{
    int length = (int)strlen(text);
    return (peer->tls ? SSL_write(peer->tls, text, length) : (int)write(peer->fd, text, (size_t)length)) == length;
}

static void drop(struct peer *peer, size_t count)
{
    memmove(peer->bytes, peer->bytes + count, peer->used + 1 - count);
    peer->used -= count;
}

static int start_tls(struct peer *peer)
{
    peer->tls = SSL_new(context);
    return peer->tls && SSL_set_fd(peer->tls, peer->fd) == 1 && SSL_accept(peer->tls) == 1;
}

/* ── webhooks ── */

/* The size of the first request, once it is whole. */
static size_t whole_request(const struct peer *peer)
{
    const char *end = strstr(peer->bytes, "\r\n\r\n"), *length = strcasestr(peer->bytes, "\r\ncontent-length:");
    if (!end) return 0;
    size_t size = (size_t)(end + 4 - peer->bytes) + (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
    return peer->used >= size ? size : 0;
}

static void serve_https(struct peer *peer)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n"
                                 "{\"received\":true}";
    if (!start_tls(peer)) return;
    for (;;) {
        size_t size;
        while (!(size = whole_request(peer)))
            if (!take(peer)) return;
        drop(peer, size);
        if (!give(peer, answer)) return;
    }
}

/* ── mail ── */

static int take_line(struct peer *peer, char *line, size_t room)
{
    char *end;
    while (!(end = strstr(peer->bytes, "\r\n")))
        if (!take(peer)) return 0;
    snprintf(line, room, "%.*s", (int)(end - peer->bytes), peer->bytes);
    drop(peer, (size_t)(end + 2 - peer->bytes));
    return 1;
}

static int take_mail(struct peer *peer)
{
    char line[1024];
    if (!give(peer, "354 go\r\n")) return 0;
    do
        if (!take_line(peer, line, sizeof line)) return 0;
    while (strcmp(line, ".") != 0);
    return give(peer, "250 2.0.0 taken as 1\r\n");
}

/* AUTH PLAIN, with its answer behind it or on a line of its own. */
static int welcome(struct peer *peer, const char *line)
{
    char answer[1024];
    if (strlen(line) <= 10 && (!give(peer, "334 \r\n") || !take_line(peer, answer, sizeof answer))) return 0;
    return give(peer, "235 2.7.0 welcome\r\n");
}

static int command(struct peer *peer, const char *line)
{
    if (strncasecmp(line, "EHLO", 4) == 0)
        return give(peer, peer->tls ? "250-sink\r\n250-AUTH PLAIN\r\n250 8BITMIME\r\n"
                                    : "250-sink\r\n250-STARTTLS\r\n250 8BITMIME\r\n");
    if (strncasecmp(line, "STARTTLS", 8) == 0) return give(peer, "220 go\r\n") && start_tls(peer);
    if (strncasecmp(line, "AUTH", 4) == 0) return welcome(peer, line);
    if (strncasecmp(line, "DATA", 4) == 0) return take_mail(peer);
    if (strncasecmp(line, "QUIT", 4) == 0) return give(peer, "221 bye\r\n"), 0;
    return give(peer, "250 2.0.0 ok\r\n");
}

static void serve_smtp(struct peer *peer)
{
    char line[1024];
    if (!give(peer, "220 sink ESMTP\r\n")) return;
    while (take_line(peer, line, sizeof line) && command(peer, line)) continue;
}

/* ── connections ── */

static void *one(void *context_)
{
    struct peer *peer = context_;
    serve(peer);
    if (peer->tls) SSL_free(peer->tls);
    close(peer->fd);
    free(peer);
    return NULL;
}

static void *accept_all(void *listener)
{
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    for (;;) {
        int on = 1, fd = accept(*(int *)listener, NULL, NULL);
        struct peer *peer = fd < 0 ? NULL : calloc(1, sizeof *peer);
        pthread_t thread;
        if (!peer) continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        peer->fd = fd;
        if (pthread_create(&thread, &detached, one, peer)) close(fd), free(peer);
    }
    return NULL;
}

static int listen_here(unsigned *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, length) < 0 || listen(fd, 512) < 0 ||
        getsockname(fd, (struct sockaddr *)&at, &length) < 0)
        return perror("sink"), exit(1), -1;
    *port = ntohs(at.sin_port);
    return fd;
}

int main(int argc, char **argv)
{
    char byte;
    unsigned port;
    pthread_t thread;
    if (argc != 4) return fprintf(stderr, "usage: sink https|smtp CERT KEY\n"), 2;
    signal(SIGPIPE, SIG_IGN);
    serve = strcmp(argv[1], "smtp") == 0 ? serve_smtp : serve_https;
    context = SSL_CTX_new(TLS_server_method());
    if (!context || SSL_CTX_use_certificate_chain_file(context, argv[2]) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, argv[3], SSL_FILETYPE_PEM) != 1)
        return fprintf(stderr, "sink: certificate or key cannot be used\n"), 1;
    int listener = listen_here(&port);
    if (pthread_create(&thread, NULL, accept_all, &listener)) return 1;
    printf("ready %u\n", port);
    fflush(stdout);
    while (read(0, &byte, 1) > 0) continue;
    return 0;
}
