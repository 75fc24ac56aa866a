/* SPDX-License-Identifier: Apache-2.0 */
/* Which calls' orders were seen, as a table of keyed hashes of a fixed size. */
#include "used.h"

#include <sodium.h>
#include <string.h>

void used_init(struct used *used)
{
    memset(used, 0, sizeof *used);
    randombytes_buf(used->key, sizeof used->key);
}

/* Keyed, so that nobody outside can aim at one bucket. 0 stands for an empty place. */
static uint64_t mark_of(const struct used *used, const struct call_ref *call)
{
    _Static_assert(crypto_shorthash_KEYBYTES == sizeof used->key && crypto_shorthash_BYTES == 8, "SipHash-2-4");
    uint8_t hash[crypto_shorthash_BYTES];
    uint64_t mark;
    crypto_shorthash(hash, (const uint8_t *)call, sizeof *call, used->key);
    memcpy(&mark, hash, sizeof mark);
    return mark ? mark : 1;
}

bool used_has(const struct used *used, const struct call_ref *call)
{
    uint64_t mark = mark_of(used, call);
    const uint64_t *bucket = used->marks[mark % USED_BUCKETS];
    for (int i = 0; i < USED_WAYS; i++)
        if (bucket[i] == mark) return true;
    return false;
}

void used_add(struct used *used, const struct call_ref *call)
{
    uint64_t mark = mark_of(used, call);
    uint64_t bucket = mark % USED_BUCKETS;
    if (used_has(used, call)) return;
    used->marks[bucket][used->next[bucket]] = mark;
    used->next[bucket] = (uint8_t)((used->next[bucket] + 1) % USED_WAYS);
}
