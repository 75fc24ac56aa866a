/* SPDX-License-Identifier: Apache-2.0 */
/* Load for the benchmarks: CONCURRENCY threads post over kept connections; BODY-FILE has one body a line, taken in
 * turn. usage: load SOCKET|PORT CONCURRENCY CALLS BODY-FILE [PATH] prints one JSON line: p50_us, p99_us, per_second,
 * failed, status of one that failed */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BODIES = 2048 };

static struct {
    const char *peer, *path;
    char *requests[BODIES];
    size_t lengths[BODIES];
    int bodies, calls, threads;
    double *took;
    _Atomic int next, failed, status; /* status: of one of those that failed */
} load;

static double now_us(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static int dial_port(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    to.sin_port = htons((uint16_t)atoi(load.peer));
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static int dial_socket(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", load.peer);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0 ? fd : -1;
}

static int dial(void)
{
    int fd = *load.peer == '/' ? dial_socket() : dial_port();
    if (fd >= 0) return fd;
    perror("load: connect");
    exit(1);
}

/* Reads one response with a Content-Length; returns its status, 0 when the connection broke. */
static int read_response(int fd)
{
    char text[65536];
    size_t used = 0;
    for (;;) {
        ssize_t got = read(fd, text + used, sizeof text - 1 - used);
        if (got <= 0) return 0;
        used += (size_t)got;
        text[used] = '\0';
        char *body = strstr(text, "\r\n\r\n");
        if (!body) continue;
        char *length = strcasestr(text, "content-length:");
        if (!length || used >= (size_t)(body + 4 - text) + strtoul(length + 15, NULL, 10)) return atoi(text + 9);
    }
}

static void *caller(void *unused)
{
    int fd = dial();
    for (;;) {
        int mine = load.next++;
        if (mine >= load.calls) break;
        const char *request = load.requests[mine % load.bodies];
        size_t length = load.lengths[mine % load.bodies];
        double start = now_us();
        int status = write(fd, request, length) == (ssize_t)length ? read_response(fd) : 0;
        load.took[mine] = now_us() - start;
        if (status != 200) {
            load.failed++;
            load.status = status;
        }
        if (status == 0) {
            close(fd);
            fd = dial();
        }
    }
    close(fd);
    return unused;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void add_body(const char *body, size_t count)
{
    int length = asprintf(&load.requests[load.bodies],
                          "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                          "Content-Length: %zu\r\n\r\n%s",
                          load.path, count, body);
    load.lengths[load.bodies++] = (size_t)length;
}

static void read_bodies(const char *path)
{
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    for (ssize_t got; file && load.bodies < BODIES && (got = getline(&line, &room, file)) > 0;) {
        if (line[got - 1] == '\n') line[--got] = '\0';
        add_body(line, (size_t)got);
    }
    free(line);
    if (file) fclose(file);
}

int main(int argc, char **argv)
{
    if (argc != 5 && argc != 6)
        return fprintf(stderr, "usage: load SOCKET|PORT CONCURRENCY CALLS BODY-FILE [PATH]\n"), 2;
    load.peer = argv[1];
    load.path = argc == 6 ? argv[5] : "/v1/calls";
    load.threads = atoi(argv[2]);
    load.calls = atoi(argv[3]);
    load.took = calloc((size_t)load.calls, sizeof *load.took);
    pthread_t *threads = calloc((size_t)load.threads, sizeof *threads);
    if (!load.took || !threads) return 1;
    read_bodies(argv[4]);
    if (!load.bodies) return fprintf(stderr, "load: no bodies in %s\n", argv[4]), 2;

    double start = now_us();
    for (int i = 0; i < load.threads; i++) pthread_create(&threads[i], NULL, caller, NULL);
    for (int i = 0; i < load.threads; i++) pthread_join(threads[i], NULL);
    double took = now_us() - start;
    qsort(load.took, (size_t)load.calls, sizeof *load.took, by_size);
    printf("{\"p50_us\": %.1f, \"p99_us\": %.1f, \"per_second\": %.1f, \"failed\": %d, \"status\": %d}\n",
           load.took[load.calls / 2], load.took[load.calls * 99 / 100], (load.calls - load.failed) / took * 1e6, load.failed,
           load.status);
    free(load.took);
    free(threads);
    for (int i = 0; i < load.bodies; i++) free(load.requests[i]);
    return 0;
}
