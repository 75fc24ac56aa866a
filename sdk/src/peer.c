/* SPDX-License-Identifier: Apache-2.0 */
/* The other side of a dial: a thread that plays a script, or that carries bytes to a real server. */
#include <arpa/inet.h>
#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "caisson/testing.h"
#include "harness.h"

enum { LINE = 4096, READ_MAX = 64 * 1024 * 1024 };

_Noreturn void harness_wrong(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fputs("caisson-testing: ", stderr);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
    abort();
}

/* ── bytes ────────────────────────────────────────────────────────────────────────────────────────────*/

__attribute__((format(printf, 2, 3))) static bool complain(struct peer *peer, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    pthread_mutex_lock(&peer->lock);
    if (!peer->problem[0]) {
        int used = snprintf(peer->problem, sizeof peer->problem, "%s:%u: ", peer->script->host, peer->script->port);
        vsnprintf(peer->problem + used, sizeof peer->problem - (size_t)used, format, list);
    }
    pthread_mutex_unlock(&peer->lock);
    va_end(list);
    return false;
}

static void keep(struct peer *peer, const char *bytes, size_t size)
{
    pthread_mutex_lock(&peer->lock);
    if (peer->seen_size + size + 1 > peer->seen_room) {
        peer->seen_room = (peer->seen_size + size + 1) * 2;
        peer->seen = realloc(peer->seen, peer->seen_room);
        if (!peer->seen) harness_wrong("out of memory");
    }
    memcpy(peer->seen + peer->seen_size, bytes, size);
    peer->seen_size += size;
    peer->seen[peer->seen_size] = 0;
    pthread_mutex_unlock(&peer->lock);
}

/* Reads on. False: the other side closed. */
static bool more(struct peer *peer)
{
    char bytes[16384];
    ssize_t got = peer->tls ? SSL_read(peer->tls, bytes, sizeof bytes) : read(peer->fd, bytes, sizeof bytes);
    if (got <= 0 || peer->seen_size > READ_MAX) return false;
    keep(peer, bytes, (size_t)got);
    return true;
}

static bool put(struct peer *peer, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t sent = peer->tls ? SSL_write(peer->tls, bytes, (int)size) : write(peer->fd, bytes, size);
        if (sent <= 0) return false;
        bytes += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* Where the next text that ends with mark ends; reads until it is there. 0: the other side closed before. */
static size_t until(struct peer *peer, const char *mark)
{
    for (size_t from = peer->taken;;) {
        char *found = peer->seen_size > from ? memmem(peer->seen + from, peer->seen_size - from, mark, strlen(mark))
                                             : NULL;
        if (found) return (size_t)(found - peer->seen) + strlen(mark);
        if (!more(peer)) return 0;
    }
}

/* ── steps ────────────────────────────────────────────────────────────────────────────────────────────*/

static bool step_tls(struct peer *peer, const char *kind)
{
    if (peer->taken < peer->seen_size) return complain(peer, "bytes in clear came with the TLS handshake");
    SSL_CTX *context = authority_context(peer->script->host, kind);
    SSL *tls = SSL_new(context);
    SSL_CTX_free(context);
    if (!tls) harness_wrong("out of memory");
    SSL_set_fd(tls, peer->fd);
    bool good = SSL_accept(tls) == 1;
    if (good)
        peer->tls = tls;
    else
        SSL_free(tls);
    return good || complain(peer, "the TLS handshake failed");
}

static bool step_line(struct peer *peer, const char *text)
{
    size_t from = peer->taken, end = until(peer, "\r\n");
    if (!end) return complain(peer, "the connection ended where a line \"%.60s\" was expected", text);
    peer->taken = end;
    if (end - from >= strlen(text) && memcmp(peer->seen + from, text, strlen(text)) == 0) return true;
    return complain(peer, "\"%.*s\" came where \"%.60s\" was expected",
                    (int)(end - from - 2 > 80 ? 80 : end - from - 2), peer->seen + from, text);
}

static size_t body_length(const char *head, size_t size)
{
    static const char name[] = "\r\ncontent-length:";
    for (size_t i = 0; i + sizeof name - 1 < size; i++)
        if (strncasecmp(head + i, name, sizeof name - 1) == 0) return strtoul(head + i + sizeof name - 1, NULL, 10);
    return 0;
}

static bool step_request(struct peer *peer, const char *text)
{
    (void)text;
    size_t from = peer->taken, end = until(peer, "\r\n\r\n");
    if (!end) return complain(peer, "the connection ended where a request was expected");
    size_t body = body_length(peer->seen + from, end - from);
    while (peer->seen_size < end + body)
        if (!more(peer)) return complain(peer, "the connection ended in the body of a request");
    peer->taken = end + body;
    return true;
}

static bool step_message(struct peer *peer, const char *text)
{
    (void)text;
    size_t end = until(peer, "\r\n.\r\n");
    if (!end) return complain(peer, "the connection ended where the end of a message was expected");
    peer->taken = end;
    return true;
}

/* What cannot be sent any more is nobody's mistake: the connector may have seen enough. */
static bool step_send(struct peer *peer, const char *text)
{
    return put(peer, text, strlen(text)) && put(peer, "\r\n", 2);
}

static bool step_body(struct peer *peer, const char *text)
{
    char bytes[LINE];
    size_t used = 0;
    for (; *text && used < sizeof bytes; text++) {
        bool escape = *text == '\\' && text[1] && strchr("rn\\", text[1]);
        bytes[used++] = !escape ? *text : *++text == 'r' ? '\r' : *text == 'n' ? '\n' : '\\';
    }
    return put(peer, bytes, used);
}

static bool step_fill(struct peer *peer, const char *text)
{
    char block[4096];
    memset(block, 'x', sizeof block);
    for (size_t left = strtoul(text, NULL, 10); left > 0;) {
        size_t size = left < sizeof block ? left : sizeof block;
        if (!put(peer, block, size)) return false;
        left -= size;
    }
    return true;
}

static bool step_hang(struct peer *peer, const char *text)
{
    (void)text;
    while (more(peer)) continue;
    return false;
}

static bool step_close(struct peer *peer, const char *text)
{
    (void)peer, (void)text;
    return false;
}

static const struct step {
    const char *word;
    bool (*run)(struct peer *, const char *text);
} steps[] = {
    {"tls", step_tls},   {"line", step_line}, {"request", step_request}, {"message", step_message}, {"send", step_send},
    {"body", step_body}, {"fill", step_fill}, {"close", step_close},     {"hang", step_hang},       {"refuse", NULL},
    {"fail", NULL},
};

/* Copies the next line of a script and splits it; false at its end. */
static bool next_step(const char **at, char line[LINE], const struct step **step, const char **text)
{
    if (!**at) return false;
    size_t length = strcspn(*at, "\n"), word = strcspn(*at, " \n");
    if (length >= LINE) harness_wrong("a step is longer than %d bytes", LINE);
    memcpy(line, *at, length);
    line[length] = 0;
    *at += length + ((*at)[length] == '\n');
    *step = NULL;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (strlen(steps[i].word) == word && memcmp(line, steps[i].word, word) == 0) *step = &steps[i];
    if (!*step) harness_wrong("\"%s\" is not a step", line);
    *text = line[word] ? line + word + 1 : line + word;
    return true;
}

void *peer_play(void *own)
{
    struct peer *peer = own;
    const char *at = peer->script->text, *text;
    const struct step *step;
    char line[LINE];
    while (next_step(&at, line, &step, &text))
        if (!step->run || !step->run(peer, text)) break;
    SSL_free(peer->tls);
    peer->tls = NULL;
    shutdown(peer->fd, SHUT_RDWR);
    return NULL;
}

/* Copies what waits on one side to the other. False: that side has ended. */
static bool carry(struct peer *peer, int from, int to, bool up)
{
    char bytes[16384];
    ssize_t got = read(from, bytes, sizeof bytes);
    if (got <= 0) return false;
    if (up) keep(peer, bytes, (size_t)got);
    for (ssize_t sent = 0, now; sent < got; sent += now)
        if ((now = write(to, bytes + sent, (size_t)(got - sent))) <= 0) return false;
    return true;
}

void *peer_relay(void *own)
{
    struct peer *peer = own;
    struct pollfd ends[2] = {{.fd = peer->fd, .events = POLLIN}, {.fd = peer->server, .events = POLLIN}};
    for (bool open = true; open && poll(ends, 2, -1) > 0;) {
        if (ends[0].revents) open = carry(peer, peer->fd, peer->server, true);
        if (open && ends[1].revents) open = carry(peer, peer->server, peer->fd, false);
    }
    shutdown(peer->fd, SHUT_RDWR);
    shutdown(peer->server, SHUT_RDWR);
    return NULL;
}

void peer_check(const char *script)
{
    char line[LINE];
    const struct step *step;
    for (const char *text; next_step(&script, line, &step, &text);) continue;
}
