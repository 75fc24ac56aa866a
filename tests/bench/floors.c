/* SPDX-License-Identifier: Apache-2.0 */
/* The floors: what the kernel does at best on this machine, in the same run as the benchmarks.
 * usage: floors roundtrip|echo|fsync|group CALLERS|fork|spawn|sha256 [FOLDER]     prints one JSON line */
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
enum { RUNS = 2000, SLOW_RUNS = 400, ROW = 600 };

static double now_us(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e6 + (double)at.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *all, int count)
{
    qsort(all, (size_t)count, sizeof *all, by_size);
    return all[count / 2];
}

static void report(const char *unit, double value)
{
    printf("{\"%s\": %.2f}\n", unit, value);
}

/* Times runs of step() and reports the median. */
static void time_steps(int runs, void (*step)(void *), void *context)
{
    double *all = calloc((size_t)runs, sizeof *all);
    for (int i = 0; i < runs; i++) {
        double start = now_us();
        step(context);
        all[i] = now_us() - start;
    }
    report("p50_us", median(all, runs));
    free(all);
}

/* ── a message there and back ── */

static int pair[2];

static void *echo(void *unused)
{
    char block[65536];
    for (ssize_t got; (got = read(pair[1], block, sizeof block)) > 0;)
        if (write(pair[1], block, (size_t)got) != got) break;
    return unused;
}

static void ask(void *unused)
{
    char block[1024] = {0};
    if (write(pair[0], block, sizeof block) != sizeof block) exit(1);
    for (size_t got = 0; got < sizeof block;) {
        ssize_t more = read(pair[0], block, sizeof block - got);
        if (more <= 0) exit(1);
        got += (size_t)more;
    }
}

/* Between two processes, as a daemon and its worker are. */
static void roundtrip(void)
{
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) exit(1);
    if (fork() == 0) {
        close(pair[0]);
        echo(NULL);
        _exit(0);
    }
    close(pair[1]);
    time_steps(RUNS, ask, NULL);
    close(pair[0]);
    wait(NULL);
}

/* ── an HTTP request there and back: as the above, but its text, over a listening socket, found by its empty line ── */

static void answer_requests(int listener)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    char text[65536];
    int fd = accept(listener, NULL, NULL);
    for (size_t used = 0;;) {
        ssize_t got = read(fd, text + used, sizeof text - 1 - used);
        if (got <= 0) _exit(0);
        used += (size_t)got;
        text[used] = '\0';
        if (!strstr(text, "\r\n\r\n")) continue;
        if (write(fd, answer, sizeof answer - 1) < 0) _exit(0);
        used = 0;
    }
}

static void ask_http(void *unused)
{
    static const char head[] = "POST /v1/calls HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n";
    char text[4096];
    if (write(pair[0], head, sizeof head - 1) < 0 || read(pair[0], text, sizeof text) <= 0) exit(1);
}

static void http_echo(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "caisson-floor-%d", getpid());
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 1) < 0) exit(1);
    if (fork() == 0) answer_requests(listener);
    pair[0] = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(pair[0], (struct sockaddr *)&at, sizeof at) < 0) exit(1);
    time_steps(RUNS, ask_http, NULL);
    close(pair[0]);
    wait(NULL);
}

/* ── processes ── */

static void fork_exit(void *unused)
{
    pid_t child = fork();
    if (child == 0) _exit(0);
    waitpid(child, NULL, 0);
}

static void spawn_true(void *unused)
{
    char *argv[] = {"true", NULL};
    pid_t child;
    if (posix_spawn(&child, "/bin/true", NULL, NULL, argv, environ)) exit(1);
    waitpid(child, NULL, 0);
}

/* ── the disk ── */

static int open_log(const char *folder)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/floor.log", folder);
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) exit(1);
    unlink(path);
    return fd;
}

static void write_sync(void *context)
{
    char block[4096] = {0};
    int fd = *(int *)context;
    if (write(fd, block, sizeof block) != sizeof block || fdatasync(fd)) exit(1);
}

/* Raw log, natural group commit: every caller waits until its row is durable; one writer takes what is there. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t more, done;
    unsigned long asked, durable;
    int fd, stop;
} group = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, -1, 0};

static void *group_caller(void *rows)
{
    pthread_mutex_lock(&group.lock);
    while (!group.stop) {
        unsigned long mine = ++group.asked;
        pthread_cond_signal(&group.more);
        while (group.durable < mine && !group.stop) pthread_cond_wait(&group.done, &group.lock);
        ++*(unsigned long *)rows;
    }
    pthread_mutex_unlock(&group.lock);
    return NULL;
}

static void group_turn(void)
{
    static char rows[1024 * ROW];
    while (group.asked == group.durable) pthread_cond_wait(&group.more, &group.lock);
    unsigned long upto = group.asked, count = upto - group.durable;
    pthread_mutex_unlock(&group.lock);
    if (write(group.fd, rows, count * ROW) < 0 || fdatasync(group.fd)) exit(1);
    pthread_mutex_lock(&group.lock);
    group.durable = upto;
    pthread_cond_broadcast(&group.done);
}

static void group_commit(int callers, const char *folder)
{
    pthread_t threads[1024];
    unsigned long rows[1024] = {0}, sum = 0;
    group.fd = open_log(folder);
    for (int i = 0; i < callers; i++) pthread_create(&threads[i], NULL, group_caller, &rows[i]);
    double start = now_us();
    pthread_mutex_lock(&group.lock);
    while (now_us() - start < 2e6) group_turn();
    group.stop = 1;
    pthread_cond_broadcast(&group.done);
    pthread_mutex_unlock(&group.lock);
    double took = now_us() - start;
    for (int i = 0; i < callers; i++) pthread_join(threads[i], NULL), sum += rows[i];
    report("rows_per_second", (double)sum / took * 1e6);
}

/* ── hashing ── */

static void sha256(void)
{
    static unsigned char row[ROW];
    unsigned char digest[32];
    int count = 400000;
    double start = now_us();
    for (int i = 0; i < count; i++) SHA256(row, sizeof row, digest);
    report("rows_per_second", count / (now_us() - start) * 1e6);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "", *folder = argc > 2 ? argv[argc - 1] : ".";
    if (strcmp(what, "roundtrip") == 0) {
        roundtrip();
    } else if (strcmp(what, "echo") == 0) {
        http_echo();
    } else if (strcmp(what, "fsync") == 0) {
        int fd = open_log(folder);
        time_steps(SLOW_RUNS, write_sync, &fd);
    } else if (strcmp(what, "group") == 0 && argc > 2) {
        group_commit(atoi(argv[2]) < 1024 ? atoi(argv[2]) : 1023, folder);
    } else if (strcmp(what, "fork") == 0) {
        time_steps(SLOW_RUNS, fork_exit, NULL);
    } else if (strcmp(what, "spawn") == 0) {
        time_steps(SLOW_RUNS, spawn_true, NULL);
    } else if (strcmp(what, "sha256") == 0) {
        sha256();
    } else {
        return fprintf(stderr, "usage: floors roundtrip|echo|fsync|group CALLERS|fork|spawn|sha256 [FOLDER]\n"), 2;
    }
    return 0;
}
