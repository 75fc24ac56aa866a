/* SPDX-License-Identifier: Apache-2.0 */
/* Runs attempts by name, and logs before and after each. */
#include "sins.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static long last_number = -1;
static const struct sin *running;

const struct sin *sins_running(void)
{
    return running;
}

long sins_made(long number, long result)
{
    last_number = number;
    return result;
}

long sins_raw(long number, long a, long b, long c, long d, long e, long f)
{
    long got = syscall(number, a, b, c, d, e, f);
    return sins_made(number, got == -1 ? -errno : got);
}

long sins_number(struct csn_call *call, const char *pointer, long otherwise)
{
    int64_t value;
    return csn_int(call, pointer, &value) ? (long)value : otherwise;
}

void sins_note(struct csn_call *call, const char *format, ...)
{
    char text[2048];
    int used = snprintf(text, sizeof text, "note %s ", running->name);
    va_list more;
    va_start(more, format);
    vsnprintf(text + used, sizeof text - (size_t)used, format, more);
    va_end(more);
    csn_log(call, CSN_INFO, text);
}

/* "nr-N": a system call by its number, in any base. */
static const struct sin *by_number(const char *name)
{
    static char kept[64];
    static struct sin sin;
    if (strncmp(name, "nr-", 3) != 0) return NULL;
    snprintf(kept, sizeof kept, "%s", name);
    sin = (struct sin){.name = kept, .number = (long)strtoull(kept + 3, NULL, 0)};
    return &sin;
}

static const struct sin *find(const char *name)
{
    for (const struct sin *const *table = sin_tables; *table; table++)
        for (const struct sin *sin = *table; sin->name; sin++)
            if (strcmp(sin->name, name) == 0) return sin;
    return by_number(name);
}

static int list(struct csn_call *call, long item)
{
    for (const struct sin *const *table = sin_tables; *table; table++)
        for (const struct sin *sin = *table; sin->name; sin++)
            if (sin->item == item) csn_set(call, "/names/-", sin->name);
    return csn_ok(call);
}

static void answer(struct csn_call *call, int at, long result)
{
    char pointer[64];
    snprintf(pointer, sizeof pointer, "/tries/%d/what", at);
    csn_set(call, pointer, running->name);
    snprintf(pointer, sizeof pointer, "/tries/%d/result", at);
    csn_set_int(call, pointer, result);
    snprintf(pointer, sizeof pointer, "/tries/%d/errno", at);
    csn_set_int(call, pointer, result < 0 ? -result : 0);
}

static long attempt(struct csn_call *call, const struct sin *sin)
{
    const long *a = sin->args;
    return sin->run ? sin->run(call) : sins_raw(sin->number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void run(struct csn_call *call, int at, const struct sin *sin)
{
    char text[256];
    running = sin;
    last_number = -1;
    snprintf(text, sizeof text, "try %s", sin->name);
    csn_log(call, CSN_INFO, text);
    long result = attempt(call, sin);
    snprintf(text, sizeof text, "got %s %ld %ld", sin->name, result, last_number);
    csn_log(call, CSN_INFO, text);
    answer(call, at, result);
}

int sins_try(struct csn_call *call)
{
    int count = csn_count(call, "/try");
    if (count < 0) return list(call, sins_number(call, "/list", 0));
    for (int i = 0; i < count; i++) {
        char pointer[32];
        snprintf(pointer, sizeof pointer, "/try/%d", i);
        const char *name = csn_input(call, pointer);
        const struct sin *sin = name ? find(name) : NULL;
        if (!sin) return csn_fail(call, CSN_BAD_INPUT, "there is no such attempt");
        run(call, i, sin);
    }
    return csn_ok(call);
}
