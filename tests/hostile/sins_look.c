/* SPDX-License-Identifier: Apache-2.0 */
/* Searches all memory that this process can read for bytes that it knows only in disguise (escape corpus 96). */
#include "sins_look.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAGE = 4096, GAP = 2048, VEIL = 0x5a };

static unsigned char needle[256];
static size_t needle_length;

/* The veiled bytes stay veiled: a plain copy would be found in here. */
static void learn(const char *hex)
{
    needle_length = 0;
    for (; hex && hex[0] && hex[1] && needle_length < sizeof needle; hex += 2) {
        char pair[3] = {hex[0], hex[1], 0};
        needle[needle_length++] = (unsigned char)strtoul(pair, NULL, 16);
    }
}

static int is_here(const volatile unsigned char *at)
{
    for (size_t i = 0; i < needle_length; i++)
        if ((at[i] ^ VEIL) != needle[i]) return 0;
    return 1;
}

static int probe_ends[2];

/* The kernel says whether a page can be read: a fault would end the search. */
static int readable(uintptr_t page)
{
    char byte;
    if (write(probe_ends[0], (const void *)page, 1) != 1) return 0;
    return read(probe_ends[1], &byte, 1) == 1;
}

static long search(uintptr_t from, uintptr_t to)
{
    long found = 0;
    for (uintptr_t at = from; at + needle_length <= to; at++) found += is_here((const void *)at);
    return found;
}

/* All readable memory around an address, over gaps of up to GAP pages. */
long look_around(uintptr_t anchor, long *pages)
{
    uintptr_t low = anchor / PAGE * PAGE, high = low, run = 0;
    long found = 0;
    for (int gap = 0; gap < GAP && low > PAGE; low -= PAGE) gap = readable(low - PAGE) ? 0 : gap + 1;
    for (int gap = 0; gap < GAP; high += PAGE) gap = readable(high) ? 0 : gap + 1;
    for (uintptr_t page = low; page <= high; page += PAGE) {
        int there = page < high && readable(page);
        *pages += there;
        if (there && !run) run = page;
        if (there || !run) continue;
        found += search(run, page);
        run = 0;
    }
    return found;
}

int look_for(const char *veiled)
{
    learn(veiled);
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, probe_ends) == 0;
}
