/* SPDX-License-Identifier: Apache-2.0 */
/* Takes more than its share (escape corpus 88–90, 95): memory, processor, time, and work for the kernel. Input: "host"
 * and "port" of a peer that stays silent. */
#include "sins.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MIB = 1 << 20, PAGE = 4096, MEMORY_MIB = 64, MOST_MIB = 4096 };
enum { SOFT_OFFLINE = 101, HWPOISON = 100, COLLAPSE = 25 };

/* ── 88 memory ─────────────────────────────────────────────────────────────────────────────────────── */

/* What was taken, as a verdict: refused within the manifest's limit, or how many mebibytes it got. */
static long judge(long got)
{
    return got > 0 && got <= MEMORY_MIB ? -ENOMEM : got;
}

static long heap(struct csn_call *call)
{
    static char *taken[MOST_MIB]; /* given back, so that there is memory left to say what came of it */
    long got = 0;
    (void)call;
    while (got < MOST_MIB && (taken[got] = malloc(MIB - PAGE))) memset(taken[got++], 1, MIB - PAGE);
    for (long i = 0; i < got; i++) free(taken[i]);
    return judge(got);
}

static long maps(struct csn_call *call)
{
    static void *taken[MOST_MIB];
    long got = 0;
    (void)call;
    for (; got < MOST_MIB; got++) {
        taken[got] = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (taken[got] == MAP_FAILED) break;
        memset(taken[got], 1, MIB);
    }
    for (long i = 0; i < got; i++) munmap(taken[i], MIB);
    return judge(got);
}

static long grow_break(struct csn_call *call)
{
    char *before = sbrk(0);
    long got = 0;
    (void)call;
    for (; got < MOST_MIB && sbrk(MIB) != (void *)-1; got++) continue;
    (void)!brk(before);
    return judge(got);
}

#define MAP(name_, size, flags)                                                                                        \
    static long name_(struct csn_call *call)                                                                           \
    {                                                                                                                  \
        (void)call;                                                                                                    \
        long at = RAW6(mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (flags), -1, 0);           \
        return at < 0 ? at : 0;                                                                                        \
    }
MAP(tebibyte, 1L << 40, MAP_NORESERVE)
MAP(populate, 16 * MIB, MAP_POPULATE)
MAP(huge, 16 * MIB, MAP_HUGETLB)
MAP(locked, 16 * MIB, MAP_LOCKED)
MAP(grows_down, 16 * MIB, MAP_GROWSDOWN)

static long lock_all(struct csn_call *call)
{
    (void)call;
    return RAW1(mlockall, 3);
}

static long raise_limit(int resource)
{
    struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
    return RAW4(prlimit64, 0, resource, &all, NULL);
}

static long raise_memory(struct csn_call *call)
{
    (void)call;
    return raise_limit(RLIMIT_AS);
}

__attribute__((noinline)) static long deeper(volatile char *above)
{
    volatile char block[65536];
    block[0] = above[0];
    return deeper(block) + block[0];
}

static long deep_stack(struct csn_call *call)
{
    volatile char first = call ? 1 : 0;
    return deeper(&first);
}

/* ── 89, 90 time ───────────────────────────────────────────────────────────────────────────────────── */

static void turn(void)
{
    volatile unsigned long turns = 0;
    while (turns + 1) turns++;
}

static long spin(struct csn_call *call)
{
    (void)call;
    turn();
    return 0;
}

static long spin_at_exit(struct csn_call *call)
{
    (void)call;
    if (atexit(turn)) return -ENOMEM;
    exit(0);
}

static int destructor_spins;

__attribute__((destructor)) static void leave(void)
{
    if (destructor_spins) turn();
}

static long spin_in_destructor(struct csn_call *call)
{
    (void)call;
    destructor_spins = 1;
    exit(0);
}

static long sleep_on(struct csn_call *call)
{
    (void)call;
    while (poll(NULL, 0, -1) <= 0) continue;
    return 0;
}

static long block_on_channel(struct csn_call *call)
{
    char byte;
    (void)call;
    return RAW3(read, 3, &byte, 1);
}

/* A peer that took the connection and never says a word, nor hangs up. */
static long block_on_peer(struct csn_call *call)
{
    char byte;
    int fd = csn_dial(call, csn_input(call, "/host"), (uint16_t)sins_number(call, "/port", 0));
    return fd < 0 ? -errno : RAW3(read, fd, &byte, 1);
}

/* ── 95 work for the kernel ────────────────────────────────────────────────────────────────────────── */

static long draw(struct csn_call *call)
{
    char bytes[256];
    (void)call;
    for (int i = 0; i < 20000; i++)
        if (RAW3(getrandom, bytes, sizeof bytes, 0) != sizeof bytes) return -EIO;
    return 0;
}

static long wake(struct csn_call *call)
{
    static uint32_t word;
    (void)call;
    for (int i = 0; i < 20000; i++)
        if (RAW6(futex, &word, FUTEX_WAKE, 1 << 20, NULL, NULL, 0) != 0) return -EIO;
    return 0;
}

static long lock_pi(struct csn_call *call)
{
    static uint32_t word;
    (void)call;
    return RAW6(futex, &word, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
}

static long wake_foreign(struct csn_call *call)
{
    (void)call;
    return RAW6(futex, 0x1000, FUTEX_WAKE, 1, NULL, NULL, 0);
}

#define ADVISE(name_, advice)                                                                                          \
    static long name_(struct csn_call *call)                                                                           \
    {                                                                                                                  \
        static char page[2 * PAGE] __attribute__((aligned(PAGE)));                                                     \
        (void)call;                                                                                                    \
        return RAW3(madvise, page, PAGE, advice);                                                                      \
    }
ADVISE(soft_offline, SOFT_OFFLINE)
ADVISE(poison, HWPOISON)
ADVISE(mergeable, MADV_MERGEABLE)
ADVISE(removed, MADV_REMOVE)
ADVISE(dumped, MADV_DODUMP)
ADVISE(collapse, COLLAPSE)

/* ── the tables ────────────────────────────────────────────────────────────────────────────────────── */

static const struct sin memory[] = {{"heap", heap},
                                    {"maps", maps},
                                    {"break", grow_break},
                                    {"tebibyte", tebibyte},
                                    {"populate", populate},
                                    {"huge", huge},
                                    {"locked", locked},
                                    {"grows-down", grows_down},
                                    {"lock-all", lock_all},
                                    {"raise-memory", raise_memory},
                                    {"deep-stack", deep_stack},
                                    {0}};
static const struct sin times[] = {{"spin", spin},
                                   {"spin-at-exit", spin_at_exit},
                                   {"spin-in-destructor", spin_in_destructor},
                                   {"sleep", sleep_on},
                                   {"block-on-channel", block_on_channel},
                                   {"block-on-peer", block_on_peer},
                                   {"block-on-dial", block_on_peer},
                                   {0}};
static const struct sin kernel[] = {{"getrandom", draw},
                                    {"futex-wake", wake},
                                    {"futex-pi", lock_pi},
                                    {"futex-foreign", wake_foreign},
                                    {"soft-offline", soft_offline},
                                    {"hwpoison", poison},
                                    {"mergeable", mergeable},
                                    {"remove", removed},
                                    {"dodump", dumped},
                                    {"collapse", collapse},
                                    {0}};

const struct sin *const sin_tables[] = {memory, times, kernel, NULL};
CSN_CONNECTOR("sins-limits", "1.0.0", {"try", sins_try});
