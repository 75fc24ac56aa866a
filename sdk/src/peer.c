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

struct script {
    struct script *next;
    char *host, *text;
    uint16_t port;
    bool used;
};

struct route {
    struct route *next;
    char *host;
    uint16_t port;
    struct sockaddr_in to;
};

struct peer {
    struct peer *next;
    pthread_t thread;
    pthread_mutex_t lock; /* guards seen and problem */
    struct script *script;
    int fd, server; /* our end; a routed peer's real connection */
    bool joined;
    SSL *tls;
    char *seen;
    size_t seen_size, seen_room, taken; /* taken: how far the script has read */
    char problem[300];
};

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

static bool complain(struct peer *peer, const char *format, ...)
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

static void *play(void *own)
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

static void *relay(void *own)
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

/* ── the list ─────────────────────────────────────────────────────────────────────────────────────────*/

void peers_script(struct peers *peers, const char *host, uint16_t port, const char *text)
{
    struct script *script = calloc(1, sizeof *script), **end = &peers->scripts;
    if (!script) harness_wrong("out of memory");
    *script = (struct script){.host = strdup(host), .port = port, .text = strdup(text)};
    char line[LINE];
    const struct step *step;
    for (const char *at = script->text, *rest; next_step(&at, line, &step, &rest);) continue;
    while (*end) end = &(*end)->next;
    *end = script;
}

void peers_route(struct peers *peers, const char *host, uint16_t port, const char *address, uint16_t to)
{
    struct route *route = calloc(1, sizeof *route);
    if (!route) harness_wrong("out of memory");
    *route = (struct route){.next = peers->routes, .host = strdup(host), .port = port};
    route->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(to)};
    if (inet_pton(AF_INET, address, &route->to.sin_addr) != 1) harness_wrong("%s is not an IPv4 address", address);
    peers->routes = route;
}

/* Starts a peer's thread; returns the connector's end. */
static int start(struct peers *peers, struct script *script, int server)
{
    struct peer *peer = calloc(1, sizeof *peer), **end = &peers->first;
    int pair[2];
    if (!peer || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) harness_wrong("no socket pair");
    *peer = (struct peer){.script = script, .fd = pair[1], .server = server};
    pthread_mutex_init(&peer->lock, NULL);
    while (*end) end = &(*end)->next;
    *end = peer;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before); /* a closed connection is an error code in a peer, never a signal */
    if (pthread_create(&peer->thread, NULL, server >= 0 ? relay : play, peer)) harness_wrong("no thread");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pair[0];
}

static int dial_route(struct peers *peers, const struct route *route, const char **problem)
{
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (server >= 0 && syscall(SYS_connect, server, &route->to, sizeof route->to) == 0)
        return start(peers, NULL, server);
    int error = errno;
    if (server >= 0) close(server);
    *problem = "the host cannot be reached";
    errno = error;
    return -1;
}

int peers_dial(struct peers *peers, const char *host, uint16_t port, const char **problem)
{
    for (struct script *script = peers->scripts; script; script = script->next) {
        if (script->used || script->port != port || strcmp(script->host, host) != 0) continue;
        script->used = true;
        bool refuse = strncmp(script->text, "refuse", 6) == 0, fail = strncmp(script->text, "fail", 4) == 0;
        if (!refuse && !fail) return start(peers, script, -1);
        *problem = refuse ? "no rule allows this host and port" : "the host cannot be reached";
        errno = refuse ? EACCES : EHOSTUNREACH;
        return -1;
    }
    for (struct route *route = peers->routes; route; route = route->next)
        if (route->port == port && strcmp(route->host, host) == 0) return dial_route(peers, route, problem);
    *problem = "no rule allows this host and port";
    errno = EACCES;
    return -1;
}

/* What was sent before stays readable, so that a peer can finish its script. */
void peers_join(struct peers *peers)
{
    for (struct peer *peer = peers->first; peer; peer = peer->next) {
        if (peer->joined) continue;
        shutdown(peer->fd, SHUT_RDWR);
        pthread_join(peer->thread, NULL);
        peer->joined = true;
        close(peer->fd);
        if (peer->server >= 0) close(peer->server);
    }
}

static void clear_scripts(struct peers *peers)
{
    while (peers->scripts) {
        struct script *script = peers->scripts;
        peers->scripts = script->next;
        free(script->host);
        free(script->text);
        free(script);
    }
    while (peers->routes) {
        struct route *route = peers->routes;
        peers->routes = route->next;
        free(route->host);
        free(route);
    }
}

void peers_clear(struct peers *peers, bool all)
{
    peers_join(peers);
    while (peers->first) {
        struct peer *peer = peers->first;
        peers->first = peer->next;
        pthread_mutex_destroy(&peer->lock);
        free(peer->seen);
        free(peer);
    }
    if (all) clear_scripts(peers);
}

char *peers_seen(struct peers *peers, int number, size_t *size)
{
    struct peer *peer = peers->first;
    for (int i = 0; peer && i < number; i++) peer = peer->next;
    if (!peer) return NULL;
    pthread_mutex_lock(&peer->lock);
    char *copy = malloc(peer->seen_size + 1);
    if (!copy) harness_wrong("out of memory");
    memcpy(copy, peer->seen ? peer->seen : "", peer->seen_size);
    copy[peer->seen_size] = 0;
    *size = peer->seen_size;
    pthread_mutex_unlock(&peer->lock);
    return copy;
}

char *peers_problem(struct peers *peers)
{
    char *problem = NULL;
    for (struct peer *peer = peers->first; peer && !problem; peer = peer->next) {
        pthread_mutex_lock(&peer->lock);
        if (peer->problem[0]) problem = strdup(peer->problem);
        pthread_mutex_unlock(&peer->lock);
    }
    return problem;
}
