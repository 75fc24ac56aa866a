/* SPDX-License-Identifier: Apache-2.0 */
/* Load for the benchmarks: CONCURRENCY threads post the same body over kept connections to a unix socket.
 * usage: load SOCKET CONCURRENCY CALLS BODY-FILE      prints one JSON line: p50_us, p99_us, per_second, failed, status of one that failed */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct {
    const char *socket;
    char *request;
    size_t length;
    int calls, threads;
    double *took;
    _Atomic int next, failed, status; /* status: of one of those that failed */
} load;

static double now_us(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static int dial(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", load.socket);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
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
        double start = now_us();
        int status = write(fd, load.request, load.length) == (ssize_t)load.length ? read_response(fd) : 0;
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

static void read_body(const char *path)
{
    static char body[1 << 20];
    FILE *file = fopen(path, "r");
    size_t count = file ? fread(body, 1, sizeof body - 1, file) : 0;
    if (file) fclose(file);
    int length = asprintf(&load.request,
                          "POST /v1/calls HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                          "Content-Length: %zu\r\n\r\n%s",
                          count, body);
    load.length = (size_t)length;
}

int main(int argc, char **argv)
{
    if (argc != 5) return fprintf(stderr, "usage: load SOCKET CONCURRENCY CALLS BODY-FILE\n"), 2;
    load.socket = argv[1];
    load.threads = atoi(argv[2]);
    load.calls = atoi(argv[3]);
    load.took = calloc((size_t)load.calls, sizeof *load.took);
    pthread_t *threads = calloc((size_t)load.threads, sizeof *threads);
    if (!load.took || !threads) return 1;
    read_body(argv[4]);

    double start = now_us();
    for (int i = 0; i < load.threads; i++) pthread_create(&threads[i], NULL, caller, NULL);
    for (int i = 0; i < load.threads; i++) pthread_join(threads[i], NULL);
    double took = now_us() - start;
    qsort(load.took, (size_t)load.calls, sizeof *load.took, by_size);
    printf("{\"p50_us\": %.1f, \"p99_us\": %.1f, \"per_second\": %.1f, \"failed\": %d, \"status\": %d}\n", load.took[load.calls / 2],
           load.took[load.calls * 99 / 100], load.calls / took * 1e6, load.failed, load.status);
    free(load.took);
    free(threads);
    free(load.request);
    return 0;
}
