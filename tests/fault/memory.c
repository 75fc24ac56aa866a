/* SPDX-License-Identifier: Apache-2.0 */
/* malloc and its kin of this program and of the libraries it loads, in front of libc's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory.h"

/* ── the allocator of this program, and of the libraries it loads ──────────────────────────────────────── */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void __libc_free(void *old);

static bool armed, on_and_on;
static unsigned countdown, failed;
static long living;

static bool fails(void)
{
    if (!armed) return false;
    if (countdown) countdown--;
    if (countdown) return false;
    if (failed && !on_and_on) return false;
    failed++;
    return true;
}

static void *counted(void *fresh)
{
    if (fresh) living++;
    return fresh;
}

#define EXPORTED __attribute__((visibility("default"), used))

EXPORTED void *malloc(size_t size)
{
    return fails() ? NULL : counted(__libc_malloc(size));
}

EXPORTED void *calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(__libc_calloc(count, size));
}

EXPORTED void *realloc(void *old, size_t size)
{
    if (fails()) return NULL;
    void *fresh = __libc_realloc(old, size);
    if (fresh && !old) living++;
    return fresh;
}

EXPORTED void free(void *old)
{
    if (old) living--;
    __libc_free(old);
}

/* ── the runs ──────────────────────────────────────────────────────────────────────────────────────── */

bool memory_rest(void)
{
    bool was = armed;
    armed = false;
    return was;
}

void memory_go_on(bool was)
{
    armed = was;
}

char *memory_json(const json_t *value)
{
    bool was = memory_rest();
    char *text = json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    memory_go_on(was);
    return text;
}

/* true: an allocation failed in this run. */
static bool run_once(const char *name, memory_subject *work, const char *good, unsigned nth, bool all)
{
    struct err err = {0};
    char *text = NULL;
    long before = living;
    countdown = nth;
    failed = 0;
    on_and_on = all;
    armed = true;
    bool done = work(&text, &err);
    armed = false;
    if (done && strcmp(text ? text : "", good) != 0) {
        size_t same = 0;
        while (text && text[same] && text[same] == good[same]) same++;
        same -= same > 60 ? 60 : same;
        fail_msg("%s: with allocation %u failed it came to\n… %.200s\ninstead of\n… %.200s", name, nth,
                 text ? text + same : "", good + same);
    }
    if (!done && (err.kind == ERR_NONE || !err.text[0])) fail_msg("%s: allocation %u: no error is told", name, nth);
    if (!done && (err.kind == ERR_MALFORMED || err.kind == ERR_BAD_INPUT))
        fail_msg("%s: allocation %u: the input is blamed: %s", name, nth, err.text);
    free(text);
    if (living != before) fail_msg("%s: allocation %u: %ld pieces of memory are lost", name, nth, living - before);
    return failed > 0;
}

void memory_run(const char *name, memory_subject *work)
{
    struct err err = {0};
    char *good = NULL;
    unsigned count = 0;
    if (!work(&good, &err)) fail_msg("%s: undisturbed it fails: %s", name, err.text);
    for (int all = 0; all < 2; all++)
        for (count = 1; run_once(name, work, good ? good : "", count, all); count++) {
        }
    if (count < 3) fail_msg("%s allocates nothing, so this shows nothing", name);
    print_message("%s: each of %u allocations failed\n", name, count - 1);
    free(good);
}
