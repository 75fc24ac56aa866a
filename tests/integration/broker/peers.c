/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted name server, and TCP servers with bad manners. */
#include "peers.h"

#include "../../unit/base/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/* ── the name server ───────────────────────────────────────────────────────────────────────────────── */

enum { TYPE_A = 1, TYPE_CNAME = 5, TYPE_AAAA = 28, ROWS = 64, PACKET = 512 };

static struct {
    int fd, stop[2];
    pthread_t thread;
    const struct zone_row *zone;
    unsigned asked[2][ROWS], all; /* A and AAAA queries a row */
} dns;

static int row_of(const char *name)
{
    for (int i = 0; dns.zone[i].name; i++)
        if (strcasecmp(dns.zone[i].name, name) == 0) return i;
    return -1;
}

static size_t put_name(uint8_t *to, const char *name)
{
    size_t used = 0;
    while (*name) {
        size_t length = strcspn(name, ".");
        to[used++] = (uint8_t)length;
        memcpy(to + used, name, length);
        used += length;
        name += length + (name[length] == '.');
    }
    to[used++] = 0;
    return used;
}

static size_t get_name(const uint8_t *from, size_t length, char *name)
{
    size_t at = 0, used = 0;
    while (at < length && from[at] && used < 250) {
        size_t label = from[at++];
        if (at + label > length) return 0;
        if (used) name[used++] = '.';
        memcpy(name + used, from + at, label);
        used += label;
        at += label;
    }
    name[used] = 0;
    return at + 1;
}

static void put_short(uint8_t *to, unsigned value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

/* One record; owner: where its name stands in the packet. */
static size_t put_record(uint8_t *to, size_t owner, int type, const void *data, size_t length)
{
    put_short(to, 0xc000 | (unsigned)owner);
    put_short(to + 2, (unsigned)type);
    put_short(to + 4, 1);
    memset(to + 6, 0, 4); /* TTL 0 */
    put_short(to + 10, (unsigned)length);
    memcpy(to + 12, data, length);
    return 12 + length;
}

/* The records of a scripted answer that fit the query's type. Returns the packet's length. */
static size_t put_answers(uint8_t *packet, size_t used, const char *script, int type)
{
    char words[256], *rest = words, *word;
    size_t owner = 12;
    unsigned count = 0;
    snprintf(words, sizeof words, "%s", script);
    while ((word = strsep(&rest, " "))) {
        uint8_t data[256];
        size_t length = 0;
        int kind = strchr(word, ':') ? TYPE_AAAA : TYPE_A;
        if (strcmp(word, "CNAME") == 0) {
            kind = TYPE_CNAME;
            length = put_name(data, strsep(&rest, " "));
        } else if (kind == type && inet_pton(kind == TYPE_A ? AF_INET : AF_INET6, word, data) == 1) {
            length = kind == TYPE_A ? 4 : 16;
        }
        if (!length) continue;
        size_t start = used;
        used += put_record(packet + used, owner, kind, data, length);
        if (kind == TYPE_CNAME) owner = start + 12;
        count++;
    }
    put_short(packet + 6, count);
    return used;
}

static void answer_query(uint8_t *packet, size_t length, const struct sockaddr_in *from)
{
    char name[256];
    size_t name_length = length > 12 ? get_name(packet + 12, length - 12, name) : 0;
    if (!name_length || 12 + name_length + 4 > length) return;
    int type = packet[12 + name_length] << 8 | packet[13 + name_length], row = row_of(name);
    size_t used = 12 + name_length + 4;
    unsigned *asked = &dns.asked[type == TYPE_AAAA][row < 0 ? 0 : row], turn = row < 0 ? 0 : (*asked)++;
    dns.all += type == TYPE_A;
    packet[2] = 0x81, packet[3] = row < 0 ? 0x83 : 0x80;
    memset(packet + 6, 0, 6);
    if (row >= 0) {
        const char *const *answers = dns.zone[row].answers;
        unsigned last = 0;
        while (last + 1 < ZONE_ANSWERS && answers[last + 1]) last++;
        const char *script = answers[turn > last ? last : turn];
        if (strcmp(script, "silent") == 0) return;
        if (strcmp(script, "fail") == 0)
            packet[3] = 0x82;
        else
            used = put_answers(packet, used, script, type);
    }
    sendto(dns.fd, packet, used, 0, (const struct sockaddr *)from, sizeof *from);
}

static void *dns_run(void *unused)
{
    for (;;) {
        uint8_t packet[2 * PACKET];
        struct sockaddr_in from;
        socklen_t size = sizeof from;
        struct pollfd two[2] = {{.fd = dns.fd, .events = POLLIN}, {.fd = dns.stop[0], .events = POLLIN}};
        poll(two, 2, -1);
        if (two[1].revents) return NULL;
        ssize_t got = recvfrom(dns.fd, packet, PACKET, MSG_DONTWAIT, (struct sockaddr *)&from, &size);
        if (got > 0) answer_query(packet, (size_t)got, &from);
    }
}

static int bound_socket(int type, const char *address, uint16_t port, uint16_t *got)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    socklen_t size = sizeof at;
    int on = 1, fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *got = ntohs(at.sin_port);
    return fd;
}

uint16_t dns_start(const struct zone_row *zone)
{
    uint16_t port;
    memset(&dns, 0, sizeof dns);
    dns.zone = zone;
    dns.fd = bound_socket(SOCK_DGRAM, "127.0.0.1", 0, &port);
    assert_int_equal(pipe(dns.stop), 0);
    assert_int_equal(pthread_create(&dns.thread, NULL, dns_run, NULL), 0);
    return port;
}

void dns_stop(void)
{
    close(dns.stop[1]);
    pthread_join(dns.thread, NULL);
    close(dns.stop[0]);
    close(dns.fd);
}

unsigned dns_asked(const char *name)
{
    int row = name ? row_of(name) : 0;
    return name ? row < 0 ? 0 : dns.asked[0][row] : dns.all;
}

/* ── TCP servers ───────────────────────────────────────────────────────────────────────────────────── */

enum { SEEN_MAX = 64 * 1024 };

struct connection {
    struct server *server;
    int fd;
};

static void say(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static void note(struct server *server, const char *bytes, size_t count)
{
    uint64_t before = __atomic_fetch_add(&server->bytes, count, __ATOMIC_SEQ_CST);
    if (server->kind == SERVER_SINK && before < SEEN_MAX)
        memcpy(server->seen + before, bytes, before + count > SEEN_MAX ? SEEN_MAX - before : count);
}

static void greet(const struct connection *connection, const char *line)
{
    static const char *const rows[][2] = {
        {"EHLO", "250-mail\r\n250 STARTTLS\r\n"}, {"NOOP", "250 ok\r\n"}, {"STARTTLS", "220 go\r\n"}};
    for (unsigned i = 0; i < 3; i++)
        if (strncmp(line, rows[i][0], strlen(rows[i][0])) == 0) {
            say(connection->fd, rows[i][1]);
            return;
        }
    say(connection->fd, "500 what\r\n");
}

static void *connection_run(void *context)
{
    struct connection *connection = context;
    struct server *server = connection->server;
    static char block[16 * 1024];
    char bytes[16 * 1024];
    if (server->kind == SERVER_GREETS) say(connection->fd, "220 mail ESMTP\r\n");
    if (server->kind == SERVER_HALF) {
        say(connection->fd, "done");
        shutdown(connection->fd, SHUT_WR);
    }
    while (server->kind == SERVER_SOURCE && send(connection->fd, block, sizeof block, MSG_NOSIGNAL) > 0) {
    }
    for (;;) {
        ssize_t got = recv(connection->fd, bytes, sizeof bytes - 1, 0);
        if (got <= 0) break;
        note(server, bytes, (size_t)got);
        bytes[got] = 0;
        if (server->kind == SERVER_ECHO) (void)!send(connection->fd, bytes, (size_t)got, MSG_NOSIGNAL);
        if (server->kind == SERVER_GREETS) greet(connection, bytes);
    }
    close(connection->fd);
    free(connection);
    return NULL;
}

static void accepted(struct server *server, int fd)
{
    struct linger now = {1, 0};
    pthread_t thread;
    server->accepted++;
    if (server->kind == SERVER_RESET) {
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(fd);
        return;
    }
    if (server->kind == SERVER_DEAF) return; /* the descriptor lives as long as the test */
    struct connection *connection = malloc(sizeof *connection);
    *connection = (struct connection){server, fd};
    assert_int_equal(pthread_create(&thread, NULL, connection_run, connection), 0);
    pthread_detach(thread);
}

static void *server_run(void *context)
{
    struct server *server = context;
    for (;;) {
        struct pollfd two[2] = {{.fd = server->fd, .events = POLLIN}, {.fd = server->stop[0], .events = POLLIN}};
        poll(two, 2, -1);
        if (two[1].revents) return NULL;
        int fd = accept4(server->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) accepted(server, fd);
    }
}

void server_start(struct server *server, enum server_kind kind, const char *address, uint16_t port)
{
    pthread_t thread;
    uint16_t got;
    memset(server, 0, sizeof *server);
    server->kind = kind;
    server->seen = calloc(1, SEEN_MAX + 1);
    server->fd = bound_socket(SOCK_STREAM, address, port, &got);
    server->port = got;
    assert_int_equal(listen(server->fd, 512), 0);
    assert_int_equal(pipe(server->stop), 0);
    assert_int_equal(pthread_create(&thread, NULL, server_run, server), 0);
    server->thread = thread;
}

/* Connections that still run keep using `server`, so it must outlive them: the tests' servers are static. */
void server_stop(struct server *server)
{
    close(server->stop[1]);
    pthread_join(server->thread, NULL);
    close(server->stop[0]);
    close(server->fd);
}
