/* SPDX-License-Identifier: Apache-2.0 */
/* What a call costs on the worker's side: one-shot, with a spare, leased; against fork and exit of the cell. Two
 * figures each: from START to the reply, and from the two frames to the reply. The last line is the same as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "drive.h"

enum { ROUNDS = 400 };

static int by_size(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, two = *(const uint64_t *)b;
    return (one > two) - (one < two);
}

static double median_us(uint64_t *times)
{
    qsort(times, ROUNDS, sizeof *times, by_size);
    return (double)times[ROUNDS / 2] / 1000;
}

struct figures {
    double whole, frames;
};

static struct figures show(const char *name, uint64_t *whole, uint64_t *frames)
{
    struct figures figures = {median_us(whole), median_us(frames)};
    printf("%-28s median %8.0f us   least %8.0f us   frames to reply %8.0f us\n", name, figures.whole,
           (double)whole[0] / 1000, figures.frames);
    return figures;
}

static struct figures measure(const char *name, const struct drive_entry *entry, bool nobody, unsigned pause_us)
{
    static uint64_t whole[ROUNDS], frames[ROUNDS];
    static char input[1024];
    struct drive drive;
    struct drive_how how = {.as_nobody = nobody, .helpers = HELPERS, .ca = CA_FILE};
    char why[256] = "";
    if (!drive_start(&drive, entry, 1, &how, why)) return fprintf(stderr, "%s\n", why), (struct figures){0};
    snprintf(input, sizeof input, "{\"text\":\"%0980d\"}", 0);
    for (int i = -20; i < ROUNDS; i++) {
        struct drive_call call = {.workspace = 1, .input = input};
        uint64_t before = clock_now();
        drive_call(&drive, &call);
        if (!call.replied) fprintf(stderr, "%s: no reply\n", name), exit(1);
        if (i >= 0) whole[i] = call.replied_at - before, frames[i] = call.replied_at - call.fed;
        drive_call_clear(&call);
        if (pause_us) usleep(pause_us);
    }
    drive_stop(&drive);
    return show(name, whole, frames);
}

/* The cell says it in the text of its refusal, which the runner writes to standard error. */
static void floor_of(const struct drive_entry *entry, bool nobody)
{
    struct drive drive;
    struct drive_how how = {.cell = CELLS "/cell-fork", .as_nobody = nobody, .helpers = HELPERS, .ca = CA_FILE};
    struct drive_call call = {0};
    char why[256];
    if (drive_start(&drive, entry, 1, &how, why)) drive_call(&drive, &call);
    drive_stop(&drive);
}

int main(int argc, char **argv)
{
    bool nobody = argc > 1 && strcmp(argv[1], "nobody") == 0;
    const struct drive_entry shot = {.plugin = PLUGINS "/odd.so"},
                             egress = {.plugin = PLUGINS "/odd.so", .egress = true};
    const struct drive_entry spare = {.plugin = PLUGINS "/odd.so", .spares = 2};
    const struct drive_entry lease = {.plugin = PLUGINS "/odd.so", .lease = true, .calls = 1000000};
    floor_of(&shot, nobody);
    floor_of(&egress, nobody);
    struct figures one = measure("one-shot", &shot, nobody, 0);
    struct figures helped = measure("one-shot, helpers loaded", &egress, nobody, 0);
    struct figures ahead = measure("with a spare (1 pause of 5 ms)", &spare, nobody, 5000);
    struct figures paced = measure("leased, the same pauses", &lease, nobody, 5000);
    struct figures leased = measure("leased", &lease, nobody, 0);
    printf("{\"one_shot_us\": %.1f, \"helped_us\": %.1f, \"spare_us\": %.1f, \"paced_us\": %.1f, \"leased_us\": %.1f, "
           "\"frames_us\": %.1f}\n",
           one.whole, helped.whole, ahead.whole, paced.whole, leased.whole, leased.frames);
    return 0;
}
