/* SPDX-License-Identifier: Apache-2.0 */
/* Signing: only what extends what was signed last, only after the parent has it, and so that others can verify it. */
#include "harness.h"

#include <sodium.h>
#include <stdio.h>

#include "runtime/vault/sign.h"
#include "tests/lib/probes.h"
#include "tools/audit_note.h"

#define ORIGIN "log.example.org/test/1"

/* ── a tree of the test's own, straight from RFC 6962 §2.1 ─────────────────────────────────────────── */

enum { LEAVES = 40 };
static uint8_t leaves[LEAVES][HASH_BYTES];

static void node(const uint8_t *left, const uint8_t *right, uint8_t *hash)
{
    uint8_t bytes[1 + 2 * HASH_BYTES] = {1};
    memcpy(bytes + 1, left, HASH_BYTES);
    memcpy(bytes + 1 + HASH_BYTES, right, HASH_BYTES);
    crypto_hash_sha256(hash, bytes, sizeof bytes);
}

static size_t split(size_t count)
{
    size_t k = 1;
    while (k * 2 < count) k *= 2;
    return k;
}

static void root_of(size_t from, size_t count, uint8_t *hash)
{
    uint8_t left[HASH_BYTES], right[HASH_BYTES];
    if (count == 0)
        crypto_hash_sha256(hash, (const uint8_t *)"", 0);
    else if (count == 1)
        memcpy(hash, leaves[from], HASH_BYTES);
    else {
        root_of(from, split(count), left);
        root_of(from + split(count), count - split(count), right);
        node(left, right, hash);
    }
}

/* SUBPROOF(m, D[n], whole) */
static void subproof(size_t m, size_t from, size_t n, bool whole, struct msg_sign *ask)
{
    if (m == n) {
        if (!whole) root_of(from, n, ask->proof[ask->proof_count++]);
        return;
    }
    size_t k = split(n);
    if (m <= k) {
        subproof(m, from, k, whole, ask);
        root_of(from + k, n - k, ask->proof[ask->proof_count++]);
    } else {
        subproof(m - k, from + k, n - k, false, ask);
        root_of(from, k, ask->proof[ask->proof_count++]);
    }
}

static struct signer_key signer; /* whose turn it is */

static struct msg_sign request(size_t old_size, size_t size)
{
    struct msg_sign ask = {.origin = ORIGIN, .old_size = old_size, .size = size, .signer = signer};
    root_of(0, size, ask.root);
    if (old_size && old_size < size) subproof(old_size, 0, size, true, &ask);
    return ask;
}

/* ── talking ───────────────────────────────────────────────────────────────────────────────────────── */

static void ask_for(struct harness *h, const struct msg_sign *ask)
{
    harness_send(h, h->ledger, MSG_SIGN, 77, ask, sizeof *ask, NULL, 0);
}

static struct msg_signer_new_answer ask_key(struct harness *h, const char *origin, const struct signer_key *old)
{
    struct msg_signer_new ask = {0};
    snprintf(ask.origin, sizeof ask.origin, "%s", origin);
    if (old) ask.old = *old;
    harness_send(h, h->ledger, MSG_SIGNER_NEW, 5, &ask, sizeof ask, NULL, 0);
    return *(const struct msg_signer_new_answer *)harness_take(h, h->ledger, MSG_SIGNER_NEW_ANSWER, NULL);
}

static struct signer_key make_key(struct harness *h, const char *origin, const struct signer_key *old)
{
    struct msg_signer_new_answer answer = ask_key(h, origin, old);
    if (answer.status.kind) fail_msg("%s", answer.status.text);
    return answer.key;
}

static int start(void **state)
{
    int failed = harness_setup(state);
    signer = make_key(*state, ORIGIN, NULL);
    return failed;
}

static struct ctl_witness witness;

static uint32_t take_witness(struct harness *h)
{
    uint32_t seq;
    witness = *(const struct ctl_witness *)harness_take(h, h->control, CTL_WITNESS, &seq);
    return seq;
}

static void witnessed(struct harness *h, uint32_t seq, enum err_kind kind)
{
    struct ctl_witnessed answer = {.status.kind = (uint32_t)kind};
    strcpy(answer.status.text, kind ? "the disk is full" : "");
    harness_send(h, h->control, CTL_WITNESSED, seq, &answer, sizeof answer, NULL, 0);
}

static struct msg_sign_answer take_answer(struct harness *h)
{
    return *(const struct msg_sign_answer *)harness_take(h, h->ledger, MSG_SIGN_ANSWER, NULL);
}

static struct msg_sign_answer sign(struct harness *h, size_t old_size, size_t size)
{
    struct msg_sign ask = request(old_size, size);
    ask_for(h, &ask);
    witnessed(h, take_witness(h), ERR_NONE);
    assert_int_equal(witness.size, size);
    assert_memory_equal(witness.root, ask.root, HASH_BYTES);
    assert_string_equal(witness.origin, ORIGIN);
    struct msg_sign_answer answer = take_answer(h);
    if (answer.status.kind) fail_msg("%s", answer.status.text);
    assert_int_equal(answer.last_size, size);
    return answer;
}

static void assert_refused(struct harness *h, const struct msg_sign *ask, enum err_kind kind, uint64_t last_size)
{
    static const uint8_t nothing[64];
    uint8_t last[HASH_BYTES];
    ask_for(h, ask);
    struct msg_sign_answer answer = take_answer(h); /* without a word to the parent */
    assert_int_equal(answer.status.kind, kind);
    assert_memory_equal(answer.signature, nothing, sizeof nothing);
    assert_int_equal(answer.last_size, last_size);
    root_of(0, last_size, last);
    assert_memory_equal(answer.last_root, last, HASH_BYTES);
}

/* ── the tests ─────────────────────────────────────────────────────────────────────────────────────── */

/* By libsodium over text that this test writes itself, and as a note under C2SP's rules. */
static void others_can_verify(void **state)
{
    struct harness *h = *state;
    struct audit_note note;
    struct err err = {0};
    char text[512], root[64], line[128];
    uint8_t bytes[4 + 64], hash[4];
    struct msg_sign_answer answer = sign(h, 0, 13);
    assert_memory_equal(answer.key, signer.public, 32);
    assert_memory_equal(witness.key, signer.public, 32);
    char vkey[VKEY_TEXT];
    vkey_text(ORIGIN, signer.public, vkey);
    assert_string_equal(witness.first_vkey, vkey);
    sodium_bin2base64(root, sizeof root, witness.root, HASH_BYTES, sodium_base64_VARIANT_ORIGINAL);
    int length = snprintf(text, sizeof text, "%s\n13\n%s\n", ORIGIN, root);
    assert_int_equal(crypto_sign_verify_detached(answer.signature, (uint8_t *)text, (size_t)length, answer.key), 0);
    vkey_hash(ORIGIN, answer.key, hash);
    memcpy(bytes, hash, 4);
    memcpy(bytes + 4, answer.signature, 64);
    sodium_bin2base64(line, sizeof line, bytes, sizeof bytes, sodium_base64_VARIANT_ORIGINAL);
    snprintf(text + length, sizeof text - (size_t)length, "\n\u2014 %s %s\n", ORIGIN, line);
    assert_true(note_read(text, strlen(text), ORIGIN, &note, &err));
    assert_int_equal(note.size, 13);
    assert_true(note_signed(text, strlen(text), &note, ORIGIN, answer.key, &err));
    text[strlen(ORIGIN) + 1] = '2';
    assert_true(note_read(text, strlen(text), ORIGIN, &note, &err));
    assert_false(note_signed(text, strlen(text), &note, ORIGIN, answer.key, &err));
}

static void every_growth(void **state)
{
    struct harness *h = *state;
    for (size_t size = 1; size < LEAVES; size++) sign(h, size - 1, size);
    sign(h, LEAVES - 1, LEAVES - 1); /* the same again */
}

static void every_step(void **state)
{
    for (size_t from = 1; from < LEAVES; from += 3)
        for (size_t to = from; to <= LEAVES; to++) {
            struct msg_sign ask = request(from, to);
            uint8_t old[HASH_BYTES];
            root_of(0, from, old);
            assert_true(consistent(from, old, to, ask.root, ask.proof, ask.proof_count));
            old[0] ^= 1;
            assert_false(consistent(from, old, to, ask.root, ask.proof, ask.proof_count));
            old[0] ^= 1;
            assert_false(consistent(from, old, to, ask.root, ask.proof, ask.proof_count + 1));
            if (ask.proof_count) assert_false(consistent(from, old, to, ask.root, ask.proof, ask.proof_count - 1));
        }
    (void)state;
}

static void fork_refused(void **state)
{
    struct harness *h = *state;
    sign(h, 0, 10);
    for (int how = 0; how < 7; how++) {
        struct msg_sign ask = request(10, 20);
        if (how == 0) ask.root[0] ^= 1;
        if (how == 1) ask.proof[1][0] ^= 1;
        if (how == 2) ask.proof_count--;
        if (how == 3) ask.proof_count++;
        if (how == 4) ask.proof_count = 0;
        if (how == 5) ask = request(0, 20);                    /* as if nothing had been signed */
        if (how == 6) ask = request(10, 10), ask.root[5] ^= 1; /* the same size, another root */
        assert_refused(h, &ask, ERR_STATE, 10);
    }
    leaves[3][0] ^= 1; /* another history, with an honest proof of its own */
    struct msg_sign ask = request(10, 20);
    leaves[3][0] ^= 1;
    assert_refused(h, &ask, ERR_STATE, 10);
    sign(h, 10, 20);
}

static void rollback_refused(void **state)
{
    struct harness *h = *state;
    sign(h, 0, 10);
    struct msg_sign ask = request(0, 9);
    assert_refused(h, &ask, ERR_STATE, 10);
    ask = request(9, 9);
    assert_refused(h, &ask, ERR_STATE, 10);
    ask = request(9, 12); /* the ledger asks again with the answer's size */
    assert_refused(h, &ask, ERR_STATE, 10);
    sign(h, 10, 12);
}

static void malformed(void **state)
{
    struct harness *h = *state;
    static const char *const origins[] = {"", "two words", "a\nb", "plus+sign", "\xc3\xa9", "quote\"", "back\\slash"};
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        struct msg_sign ask = request(0, 3);
        snprintf(ask.origin, sizeof ask.origin, "%s", origins[i]);
        assert_refused(h, &ask, ERR_PROTOCOL, 0);
    }
    struct msg_sign ask = request(0, 3);
    memset(ask.origin, 'a', sizeof ask.origin);
    assert_refused(h, &ask, ERR_PROTOCOL, 0);
    ask = request(0, 3);
    ask.proof_count = PROOF_HASHES + 1;
    assert_refused(h, &ask, ERR_PROTOCOL, 0);
    sign(h, 0, 3);
    ask = request(3, 5);
    strcpy(ask.origin, "another.example/1");
    assert_refused(h, &ask, ERR_STATE, 3);
}

/* Nothing is signed that the parent could not write down, and nothing counts as signed. */
static void parent_refuses(void **state)
{
    struct harness *h = *state;
    struct msg_sign ask = request(0, 5);
    ask_for(h, &ask);
    uint32_t seq = take_witness(h);
    harness_barrier(h); /* other work goes on, and no answer has come before its own */
    ask_for(h, &ask);
    assert_int_equal(take_answer(h).status.kind, ERR_BUSY);
    witnessed(h, seq + 1, ERR_NONE); /* not the word that it waits for */
    harness_barrier(h);
    witnessed(h, seq, ERR_IO);
    struct msg_sign_answer answer = take_answer(h);
    assert_int_equal(answer.status.kind, ERR_IO);
    assert_int_equal(answer.last_size, 0);
    witnessed(h, seq, ERR_NONE); /* too late: nothing waits */
    harness_barrier(h);
    sign(h, 0, 6);
}

/* A new ledger does not get the old one's signature. */
static void ledger_replaced(void **state)
{
    struct harness *h = *state;
    struct msg_sign ask = request(0, 5);
    ask_for(h, &ask);
    uint32_t seq = take_witness(h);
    harness_new_ledger(h);
    witnessed(h, seq, ERR_NONE);
    harness_barrier(h);
    sign(h, 5, 7); /* it was written down, so it counts */
}

static void restarted(void **state)
{
    struct harness *h = *state;
    sign(h, 0, 10);
    struct ctl_witness kept = witness;
    harness_stop(h);
    harness_start(h, &(struct harness_start){.witness = &kept});
    struct msg_sign ask = request(0, 11);
    assert_refused(h, &ask, ERR_STATE, 10);
    sign(h, 10, 11);
    harness_stop(h);
    const struct ctl_failed *failed = (const void *)(h->frame.bytes + sizeof(struct msg_head));
    memset(kept.origin, 'a', sizeof kept.origin);
    harness_start(h, &(struct harness_start){.witness = &kept, .expect_failure = true});
    assert_non_null(strstr(failed->status.text, "damaged"));
}

/* One byte of the log's name or of its first key, as a disk turns them: nothing is signed or published by it. */
static void damaged_witness(void **state)
{
    struct harness *h = *state;
    sign(h, 0, 10);
    struct ctl_witness whole = witness;
    size_t first = offsetof(struct ctl_witness, first_vkey);
    for (size_t at = 0; at < first + strlen(whole.first_vkey); at++) {
        struct ctl_witness kept = whole;
        const struct ctl_failed *failed = (const void *)(h->frame.bytes + sizeof(struct msg_head));
        if (at >= strlen(whole.origin) && at < first) continue;
        ((uint8_t *)&kept)[at] ^= 1;
        harness_stop(h);
        harness_start(h, &(struct harness_start){.witness = &kept, .expect_failure = true});
        assert_non_null(strstr(failed->status.text, "damaged"));
    }
}

/* ── keys that roll ────────────────────────────────────────────────────────────────────────────────── */

static size_t count_bits(size_t number)
{
    return (size_t)__builtin_popcountll(number);
}

/* The last leaf of the tree of that size becomes this entry; the request shows it. */
static void show_last(struct msg_sign *ask, size_t old_size, size_t size, const char *entry)
{
    uint8_t bytes[LAST_ENTRY + 1] = {0};
    size_t length = strlen(entry), at = size - 1;
    struct msg_sign plain;
    memcpy(bytes + 1, entry, length);
    crypto_hash_sha256(leaves[size - 1], bytes, length + 1);
    plain = request(old_size, size);
    plain.next = ask->next;
    plain.signer = ask->signer;
    memcpy(plain.origin, ask->origin, sizeof plain.origin);
    *ask = plain;
    memcpy(ask->entry, entry, length);
    ask->entry_length = (uint32_t)length;
    ask->path_count = (uint32_t)count_bits(at);
    for (uint32_t i = ask->path_count; at; at -= split(at + 1)) { /* perfect trees to its left, the largest first */
        size_t width = split(at + 1);
        root_of(size - 1 - at, width, ask->path[--i]);
    }
}

static struct msg_sign roll_request(size_t old_size, size_t size, const struct signer_key *next)
{
    char entry[LAST_ENTRY], old[VKEY_TEXT], new[VKEY_TEXT];
    struct msg_sign ask = request(old_size, size);
    vkey_text(ORIGIN, signer.public, old);
    vkey_text(ORIGIN, next->public, new);
    snprintf(entry, sizeof entry,
             "{\"at\":7,\"kind\":\"key_roll\",\"new\":\"%s\",\"old\":\"%s\",\"sign\":\"\",\"v\":1}", new, old);
    ask.next = *next;
    show_last(&ask, old_size, size, entry);
    return ask;
}

static struct msg_sign_answer sign_it(struct harness *h, const struct msg_sign *ask)
{
    ask_for(h, ask);
    witnessed(h, take_witness(h), ERR_NONE);
    struct msg_sign_answer answer = take_answer(h);
    if (answer.status.kind) fail_msg("%s", answer.status.text);
    return answer;
}

static void key_takes_over(void **state)
{
    struct harness *h = *state;
    for (size_t size = 3; size < 30; size += 4) {
        sign(h, size == 3 ? 0 : size - 4, size - 1);
        struct signer_key next = make_key(h, ORIGIN, &signer);
        struct msg_sign ask = roll_request(size - 1, size, &next);
        struct msg_sign_answer answer = sign_it(h, &ask);
        assert_memory_equal(answer.key, signer.public, 32); /* the old one's last */
        assert_memory_equal(witness.signed_by, signer.public, 32);
        assert_memory_equal(witness.key, next.public, 32);
        ask.old_size = size, ask.proof_count = 0; /* the ledger died before it had that: once more, by the same key */
        answer = sign_it(h, &ask);
        assert_memory_equal(answer.key, signer.public, 32);
        assert_memory_equal(witness.key, next.public, 32);
        ask = request(size, size + 1);
        assert_refused(h, &ask, ERR_DENIED, size); /* the old key's time is over */
        signer = next;
        ask = request(size, size);
        assert_refused(h, &ask, ERR_DENIED, size); /* and the new one's begins behind it */
    }
}

enum wrong { WRONG_PATH, WRONG_COUNT, WRONG_ENTRY, NO_ENTRY, WRONG_OLD, NOT_ITS_HEIR, NOT_OURS, WRONGS };

/* The old key speaks for a key that the vault made in this moment, and for no other; so it does only while it is its
 * turn. */
static void vouched_for(void **state)
{
    struct harness *h = *state;
    char text[1024], old[VKEY_TEXT], new[VKEY_TEXT];
    struct signer_key first = signer, stranger = make_key(h, ORIGIN, NULL);
    sign(h, 0, 6);
    struct msg_signer_new_answer made = ask_key(h, ORIGIN, &signer);
    vkey_text(ORIGIN, signer.public, old);
    vkey_text(ORIGIN, made.key.public, new);
    int length = snprintf(text, sizeof text, "caisson key roll v1\n%s\n%s\n", old, new);
    assert_int_equal(crypto_sign_verify_detached(made.sign, (uint8_t *)text, (unsigned)length, signer.public), 0);
    assert_memory_equal(made.key.after, signer.public, 32);
    assert_int_equal(ask_key(h, ORIGIN, &stranger).status.kind, ERR_DENIED);
    assert_int_equal(ask_key(h, "other.example/1", &signer).status.kind, ERR_DENIED);
    struct signer_key damaged = signer;
    damaged.secret.bytes[60] ^= 1;
    made = ask_key(h, ORIGIN, &damaged);
    assert_int_equal(made.status.kind, ERR_DENIED);
    assert_true(sodium_is_zero(made.sign, sizeof made.sign) && sodium_is_zero(made.key.public, 32));
    struct signer_key next = make_key(h, ORIGIN, &signer);
    struct msg_sign ask = roll_request(6, 7, &next);
    sign_it(h, &ask);
    assert_int_equal(ask_key(h, ORIGIN, &first).status.kind, ERR_DENIED); /* its time is over */
    assert_int_equal(ask_key(h, ORIGIN, &next).status.kind, ERR_NONE);
}

static struct msg_sign wrong_roll(struct harness *h, enum wrong how)
{
    struct signer_key next = make_key(h, ORIGIN, &signer);
    struct signer_key stranger = make_key(h, ORIGIN, NULL);
    if (how == NOT_ITS_HEIR) next = stranger; /* as a retired key that a ledger had kept */
    if (how == NOT_OURS) memset(next.secret.bytes, 7, sizeof next.secret.bytes);
    struct msg_sign ask = roll_request(10, 13, &next);
    if (how == WRONG_PATH) ask.path[0][0] ^= 1;
    if (how == WRONG_COUNT) ask.path_count++;
    if (how == WRONG_ENTRY) show_last(&ask, 10, 13, "{\"at\":7,\"kind\":\"admin\",\"v\":1}");
    if (how == NO_ENTRY) ask.entry_length = 0;
    if (how == WRONG_OLD) {
        struct signer_key kept = signer;
        signer = stranger;
        ask = roll_request(10, 13, &next);
        signer = kept;
        ask.signer = kept;
    }
    return ask;
}

/* No key takes over that the log does not name, that is not the vault's own, or that was made for another time. */
static void takeover_refused(void **state)
{
    struct harness *h = *state;
    sign(h, 0, 10);
    struct signer_key first = signer;
    for (int how = 0; how < WRONGS; how++) {
        struct msg_sign ask = wrong_roll(h, (enum wrong)how);
        assert_refused(h, &ask, ERR_DENIED, 10);
    }
    signer = make_key(h, ORIGIN, NULL); /* another first key, and another one altogether */
    struct msg_sign ask = request(10, 11);
    assert_refused(h, &ask, ERR_DENIED, 10);
    signer = first;
    signer.secret.bytes[100] ^= 1;
    ask = request(10, 11);
    assert_refused(h, &ask, ERR_DENIED, 10);
    signer = first;
    sign(h, 10, 11);
}

/* The witness that the parent keeps decides after a restart, too. */
static void takeover_survives(void **state)
{
    struct harness *h = *state;
    sign(h, 0, 4);
    struct signer_key next = make_key(h, ORIGIN, &signer);
    struct msg_sign ask = roll_request(4, 5, &next);
    ask_for(h, &ask);
    uint32_t seq = take_witness(h);
    struct ctl_witness kept = witness;
    (void)seq; /* it is on disk, and the vault dies before it has signed */
    harness_stop(h);
    harness_start(h, &(struct harness_start){.witness = &kept});
    ask.old_size = 5, ask.proof_count = 0;
    struct msg_sign_answer answer = sign_it(h, &ask);
    assert_memory_equal(answer.key, signer.public, 32);
    ask = request(5, 6);
    assert_refused(h, &ask, ERR_DENIED, 5);
    signer = next;
    sign(h, 5, 6);
}

/* ── epochs ────────────────────────────────────────────────────────────────────────────────────────── */

#define NEXT_ORIGIN "log.example.org/test/2"

static struct msg_sign epoch_request(struct harness *h, const char *origin, const struct ctl_witness *before)
{
    char entry[LAST_ENTRY], vkey[VKEY_TEXT], root[HASH_TEXT];
    struct msg_sign ask = {.size = 1, .signer = make_key(h, origin, NULL)};
    vkey_text(before->origin, before->key, vkey);
    hex_text(before->root, HASH_BYTES, root);
    snprintf(
        entry, sizeof entry,
        "{\"at\":7,\"found_size\":4,\"kind\":\"epoch\",\"old_key\":\"%s\",\"old_origin\":\"%s\",\"old_root\":\"%s\","
        "\"old_size\":%llu,\"reason\":\"x\",\"v\":1}",
        vkey, before->origin, root, (unsigned long long)before->size);
    snprintf(ask.origin, sizeof ask.origin, "%s", origin);
    uint8_t kept[HASH_BYTES];
    memcpy(kept, leaves[0], sizeof kept);
    show_last(&ask, 0, 1, entry);
    memcpy(leaves[0], kept, sizeof kept);
    return ask;
}

static void epoch_follows(void **state)
{
    struct harness *h = *state;
    sign(h, 0, 10);
    struct ctl_witness before = witness, other = witness;
    struct msg_sign ask = epoch_request(h, "log.example.org/test/3", &before);
    assert_refused(h, &ask, ERR_STATE, 10);
    other.size--;
    ask = epoch_request(h, NEXT_ORIGIN, &other);
    assert_refused(h, &ask, ERR_DENIED, 10);
    other = before;
    other.root[0] ^= 1;
    ask = epoch_request(h, NEXT_ORIGIN, &other);
    assert_refused(h, &ask, ERR_DENIED, 10);
    ask = epoch_request(h, NEXT_ORIGIN, &before);
    struct msg_sign larger = ask;
    larger.size = 2;
    assert_refused(h, &larger, ERR_DENIED, 10);
    ask.signer = signer; /* the old log's key */
    assert_refused(h, &ask, ERR_DENIED, 10);
    ask = epoch_request(h, NEXT_ORIGIN, &before);
    struct msg_sign_answer answer = sign_it(h, &ask);
    assert_memory_equal(answer.key, ask.signer.public, 32);
    assert_string_equal(witness.origin, NEXT_ORIGIN);
    assert_memory_equal(witness.first_vkey, NEXT_ORIGIN "+", strlen(NEXT_ORIGIN) + 1);
    struct msg_sign back = request(10, 12); /* the log before is over */
    ask_for(h, &back);
    assert_int_equal(take_answer(h).status.kind, ERR_STATE);
}

/* ── vectors that nobody here wrote ────────────────────────────────────────────────────────────────── */

static bool judge(const struct probe *probe)
{
    return consistent(probe->first, probe->other, probe->second, probe->root, probe->proof, probe->count);
}

static void rfc6962_probes(void **state)
{
    unsigned good = 0;
    (void)state;
    unsigned count = probes_run("consistency", judge, &good);
    if (!count) skip();
    assert_true(count > 90 && good > 0);
}

#define WITH_VAULT(name) cmocka_unit_test_setup_teardown(name, start, harness_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_VAULT(others_can_verify),    WITH_VAULT(every_growth),      cmocka_unit_test(every_step),
        WITH_VAULT(fork_refused),         WITH_VAULT(rollback_refused),  WITH_VAULT(malformed),
        WITH_VAULT(parent_refuses),       WITH_VAULT(ledger_replaced),   WITH_VAULT(restarted),
        cmocka_unit_test(rfc6962_probes), WITH_VAULT(key_takes_over),    WITH_VAULT(takeover_refused),
        WITH_VAULT(damaged_witness),      WITH_VAULT(takeover_survives), WITH_VAULT(epoch_follows),
        WITH_VAULT(vouched_for),
    };
    if (argc < 2) return 2;
    vault_path = argv[1];
    for (uint8_t i = 0; i < LEAVES; i++) crypto_hash_sha256(leaves[i], &i, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
