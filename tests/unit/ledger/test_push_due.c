/* SPDX-License-Identifier: Apache-2.0 */
/* When a push is due, by a clock of the test's own; and what of a witness's answer is believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/clock.h"
#include "runtime/ledger/note.h"
#include "runtime/ledger/push_due.h"

/* ── due ───────────────────────────────────────────────────────────────────────────────────────────── */

static struct push one_sink(void)
{
    struct push push = {.every = 60 * CLOCK_S, .count = 1};
    push.sinks[0].kind = SINK_WEBHOOK;
    return push;
}

/* The first push comes at once, the next a minute later at the earliest, however much there is. */
static void at_most_every_minute(void **state)
{
    struct push push = one_sink();
    uint64_t now = 1000 * CLOCK_S;
    assert_int_equal(push_due(&push, 0, now), 0); /* nothing is signed yet */
    assert_int_equal(push_due(&push, 5, now), now);
    push.at = now;
    push.seen = push.news = push.sinks[0].row.size = 5;
    assert_int_equal(push_due(&push, 5, now + CLOCK_S), 0);
    for (uint64_t size = 6; size < 1000; size += 100)
        assert_int_equal(push_due(&push, size, now + CLOCK_S), now + 60 * CLOCK_S);
    push.every = 300 * CLOCK_S;
    assert_int_equal(push_due(&push, 6, now + 100 * CLOCK_S), now + 300 * CLOCK_S);
    push.now = true; /* an administrator does not wait */
    assert_int_equal(push_due(&push, 6, now + CLOCK_S), now + CLOCK_S);
}

/* What was signed since is pushing's own: looked at once, and then nothing is due any more. */
static void own_entries_bring_nothing(void **state)
{
    struct push push = one_sink();
    uint64_t now = 1000 * CLOCK_S;
    push.at = now;
    push.seen = push.news = push.sinks[0].row.size = 5;
    assert_int_equal(push_due(&push, 7, now), now + 60 * CLOCK_S); /* 5 and 6: not looked at yet */
    push.seen = 7;                                                 /* no news in them */
    assert_int_equal(push_due(&push, 7, now + 3600 * CLOCK_S), 0);
    assert_false(sink_wants(&push.sinks[0], push.news, now + 3600 * CLOCK_S));
    push.news = 9;
    push.seen = 9;
    assert_true(sink_wants(&push.sinks[0], push.news, now + 3600 * CLOCK_S));
}

static void failures_rest(void **state)
{
    struct push push = one_sink();
    struct sink *sink = &push.sinks[0];
    uint64_t now = 1000 * CLOCK_S, every = push.every;
    push.seen = push.news = 9;
    sink_failed(sink, 7, every, now);
    assert_int_equal(sink->row.missed, 1);
    assert_int_equal(sink->row.from, 7);
    assert_false(sink_wants(sink, 9, now + every - 1));
    assert_true(sink_wants(sink, 9, now + every));
    for (uint64_t i = 2; i < 40; i++) sink_failed(sink, 6 + i, every, now);
    assert_int_equal(sink->row.missed, 39);
    assert_int_equal(sink->row.from, 7);
    assert_int_equal(sink->row.to, 45);
    assert_true(sink_wants(sink, 100, now + 16 * every)); /* never longer than that */
    push.at = now;
    assert_int_equal(push_due(&push, 9, now), now + 16 * every);
    sink->required = true; /* calls wait for it */
    sink_failed(sink, 46, every, now);
    assert_int_equal(push_due(&push, 9, now), now + every);
    sink->asked = true;
    assert_int_equal(push_due(&push, 9, now), 0);
}

/* ── a witness ─────────────────────────────────────────────────────────────────────────────────────── */

static uint8_t public[32], secret[64], other_public[32], other_secret[64];
static struct buf text = {.max = 1024};
static char vkey[256];

static void make_vkey(const char *name, uint8_t kind, const uint8_t key[32], char out[256])
{
    uint8_t typed[33] = {kind};
    tree_hash id;
    char hex[9], base64[64];
    memcpy(typed + 1, key, 32);
    sha256_three(name, strlen(name), "\n", 1, typed, sizeof typed, id);
    hex_text(id, 4, hex);
    sodium_bin2base64(base64, sizeof base64, typed, sizeof typed, sodium_base64_VARIANT_ORIGINAL);
    snprintf(out, 256, "%s+%s+%s", name, hex, base64);
}

static int make_keys(void **state)
{
    static const uint8_t seed[32] = {1}, other[32] = {2};
    static const tree_hash root = {3};
    if (sodium_init() < 0) return -1;
    crypto_sign_seed_keypair(public, secret, seed);
    crypto_sign_seed_keypair(other_public, other_secret, other);
    make_vkey("witness.example/w1", 4, public, vkey);
    return note_text("log.example/1", 9, root, &text) ? 0 : -1;
}

static void keys_are_read(void **state)
{
    static const char *const bad[] = {"", "w", "w+", "w+00000000", "w+00000000+", "+00000000+AAAA", "a b+00000000+AAAA"};
    char made[256];
    struct witness_key key;
    struct err err = {0};
    assert_true(witness_key_read(vkey, &key, &err));
    assert_string_equal(key.name, "witness.example/w1");
    assert_memory_equal(key.key, public, 32);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(witness_key_read(bad[i], &key, &err));
    make_vkey("w", 1, public, made); /* a log's key is none of a witness */
    assert_false(witness_key_read(made, &key, &err));
    make_vkey("w", 4, public, made);
    made[2] ^= 1; /* the hash */
    assert_false(witness_key_read(made, &key, &err));
}

/* A line as a witness makes it; of: what it signs instead of text, NULL: text. */
static void line_of(const char *name, const uint8_t by[32], const uint8_t with[64], uint64_t time, const char *of,
                    char out[400])
{
    uint8_t typed[33] = {4}, bytes[76];
    char message[1024], base64[200];
    tree_hash id;
    memcpy(typed + 1, by, 32);
    sha256_three(name, strlen(name), "\n", 1, typed, sizeof typed, id);
    memcpy(bytes, id, 4);
    for (int i = 0; i < 8; i++) bytes[4 + i] = (uint8_t)(time >> (56 - 8 * i));
    int length = snprintf(message, sizeof message, "cosignature/v1\ntime %llu\n%s", (unsigned long long)time,
                          of ? of : text.bytes);
    crypto_sign_detached(bytes + 12, NULL, (uint8_t *)message, (size_t)length, with);
    sodium_bin2base64(base64, sizeof base64, bytes, sizeof bytes, sodium_base64_VARIANT_ORIGINAL);
    snprintf(out, 400, "\u2014 %s %s\n", name, base64);
}

static bool believed(const char *answer, struct buf *line)
{
    struct witness_key key;
    struct err err = {0};
    line->used = 0;
    assert_true(witness_key_read(vkey, &key, &err));
    return witness_check(&key, &text, answer, strlen(answer), line, &err);
}

static void only_its_signature_counts(void **state)
{
    char good[400], stranger[400], forged[400], elsewhere[400], two[900], cut[400];
    BUF_AUTO line = {.max = 1024};
    line_of("witness.example/w1", public, secret, 1700000000, NULL, good);
    line_of("witness.example/w2", other_public, other_secret, 1700000000, NULL, stranger);
    line_of("witness.example/w1", public, other_secret, 1700000000, NULL, forged);
    line_of("witness.example/w1", public, secret, 1700000000, "log.example/1\n10\nAAAA\n", elsewhere);
    assert_true(believed(good, &line));
    assert_string_equal(line.bytes, good);
    snprintf(two, sizeof two, "%s%s", stranger, good);
    assert_true(believed(two, &line)); /* of strangers' lines nothing is kept */
    assert_string_equal(line.bytes, good);
    assert_false(believed(stranger, &line));
    assert_false(believed(forged, &line));
    assert_false(believed(elsewhere, &line));
    snprintf(two, sizeof two, "%s%s", good, forged); /* one bad line by its key spoils all */
    assert_false(believed(two, &line));
    assert_false(believed("", &line));
    snprintf(cut, sizeof cut, "%.*s", (int)strlen(good) - 1, good);
    assert_false(believed(cut, &line)); /* no newline */
    snprintf(two, sizeof two, "%s\n", good);
    assert_false(believed(two, &line)); /* an empty line is no signature */
}

/* The same name with another key is another's; a line that claims this key and is too short is a bad one. */
static void names_are_not_keys(void **state)
{
    char good[400], same_name[400], two[900], shorter[400];
    BUF_AUTO line = {.max = 1024};
    line_of("witness.example/w1", public, secret, 5, NULL, good);
    line_of("witness.example/w1", other_public, other_secret, 5, NULL, same_name);
    snprintf(two, sizeof two, "%s%s", same_name, good);
    assert_true(believed(two, &line));
    assert_false(believed(same_name, &line));
    snprintf(shorter, sizeof shorter, "%.*s\n", (int)strlen("\u2014 witness.example/w1 ") + 40, good);
    snprintf(two, sizeof two, "%s%s", good, shorter);
    assert_false(believed(two, &line));
    line_of("witness.example/w1", public, secret, UINT64_MAX, NULL, same_name);
    assert_false(believed(same_name, &line)); /* a time that is none */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_most_every_minute),      cmocka_unit_test(own_entries_bring_nothing),
        cmocka_unit_test(failures_rest),             cmocka_unit_test(keys_are_read),
        cmocka_unit_test(only_its_signature_counts), cmocka_unit_test(names_are_not_keys),
    };
    return cmocka_run_group_tests(tests, make_keys, NULL);
}
