/* SPDX-License-Identifier: Apache-2.0 */
/* Runs attempts by name, and logs before and after each. */
#include "sins.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static long last_number = -1;
static const char *running;

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
    int used = snprintf(text, sizeof text, "note %s ", running);
    va_list more;
    va_start(more, format);
    vsnprintf(text + used, sizeof text - (size_t)used, format, more);
    va_end(more);
    csn_log(call, CSN_INFO, text);
}

static const struct sin *find(const char *name)
{
    for (const struct sin *const *table = sin_tables; *table; table++)
        for (const struct sin *sin = *table; sin->name; sin++)
            if (strcmp(sin->name, name) == 0) return sin;
    return NULL;
}

static void answer(struct csn_call *call, int at, long result)
{
    char pointer[64];
    snprintf(pointer, sizeof pointer, "/tries/%d/what", at);
    csn_set(call, pointer, running);
    snprintf(pointer, sizeof pointer, "/tries/%d/result", at);
    csn_set_int(call, pointer, result);
    snprintf(pointer, sizeof pointer, "/tries/%d/errno", at);
    csn_set_int(call, pointer, result < 0 ? -result : 0);
}

static void run(struct csn_call *call, int at, const struct sin *sin)
{
    char text[256];
    running = sin->name;
    last_number = -1;
    snprintf(text, sizeof text, "try %s", running);
    csn_log(call, CSN_INFO, text);
    long result = sin->run(call);
    snprintf(text, sizeof text, "got %s %ld %ld", running, result, last_number);
    csn_log(call, CSN_INFO, text);
    answer(call, at, result);
}

int sins_try(struct csn_call *call)
{
    int count = csn_count(call, "/try");
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
