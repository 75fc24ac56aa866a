/* SPDX-License-Identifier: Apache-2.0 */
/* The floor of a fork: fork, exit and wait of a small static process; prints its median in microseconds. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RUNS = 1000 };

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

int main(void)
{
    static double all[RUNS];
    for (int i = 0; i < RUNS; i++) {
        double start = now_us();
        pid_t child = fork();
        if (child == 0) _exit(0);
        waitpid(child, NULL, 0);
        all[i] = now_us() - start;
    }
    qsort(all, RUNS, sizeof *all, by_size);
    printf("{\"p50_us\": %.2f}\n", all[RUNS / 2]);
    return 0;
}
