/* SPDX-License-Identifier: Apache-2.0 */
/* Storing: what the command submitted comes in once, for the names it was sealed for, and never out again. */
#include "harness.h"

#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "runtime/vault/offer.h"

static struct stored one;
static struct submission submission;
static struct msg_seal request;

static const struct msg_seal_answer *ask(struct harness *h)
{
    harness_send(h, h->ledger, MSG_SEAL, 5, &request, sizeof request, NULL, 0);
    return harness_take(h, h->ledger, MSG_SEAL_ANSWER, NULL);
}

static void prepare(struct harness *h)
{
    harness_workspace(h, &one);
    id_new(one.credential);
    one.version = 1;
    harness_submission(&submission);
}

static void assert_refused(struct harness *h, enum err_kind kind)
{
    static const uint8_t nothing[SEALED_MAX];
    const struct msg_seal_answer *answer = ask(h);
    assert_int_equal(answer->status.kind, kind);
    assert_true(strlen(answer->status.text) > 20);
    assert_int_equal(answer->field_count, 0);
    assert_memory_equal(answer->bytes, nothing, sizeof nothing);
    assert_null(strstr(answer->status.text, CANARY_PASSWORD));
}

/* Nothing of the values stands in the answer; lengths show in classes only; twice the same gives two ciphertexts. */
static void sealed(void **state)
{
    struct harness *h = *state;
    struct msg_seal_answer first;
    prepare(h);
    harness_seal_request(h, &one, &submission, &request);
    first = *ask(h);
    assert_int_equal(first.status.kind, ERR_NONE);
    assert_int_equal(first.field_count, 2);
    assert_string_equal(first.fields[0].name, "user");
    assert_int_equal(first.fields[0].length % 32, 40 % 32);
    assert_null(memmem(&first, sizeof first, CANARY_PASSWORD, 8));
    randombytes_buf(submission.nonce, sizeof submission.nonce);
    harness_seal_request(h, &one, &submission, &request);
    const struct msg_seal_answer *second = ask(h);
    assert_int_equal(second->status.kind, ERR_NONE);
    assert_memory_not_equal(second->bytes, first.bytes, 64);
    assert_memory_not_equal(&second->credential_key, &first.credential_key, sizeof first.credential_key);
    assert_memory_equal(second->audience_digest, first.audience_digest, HASH_BYTES);
}

/* The audience is bound in: another one gives another digest, and the order's must be the sealed one (test_release). */
static void audience(void **state)
{
    struct harness *h = *state;
    uint8_t without[HASH_BYTES];
    prepare(h);
    harness_store(h, &one, "");
    memcpy(without, one.sealed.audience_digest, HASH_BYTES);
    harness_store(h, &one, "mail.example.org\n");
    assert_memory_not_equal(one.sealed.audience_digest, without, HASH_BYTES);
}

static void replayed(void **state)
{
    struct harness *h = *state;
    prepare(h);
    harness_seal_request(h, &one, &submission, &request);
    assert_int_equal(ask(h)->status.kind, ERR_NONE);
    assert_refused(h, ERR_EXISTS);
    harness_seal_request(h, &one, &submission, &request); /* another box, the same nonce inside */
    assert_refused(h, ERR_EXISTS);
}

static void names_differ(void **state)
{
    struct harness *h = *state;
    for (int how = 0; how < 4; how++) {
        prepare(h);
        harness_seal_request(h, &one, &submission, &request);
        if (how == 0) strcpy(request.workspace_name, "other");
        if (how == 1) strcpy(request.credential_name, "other");
        if (how == 2) strcpy(request.connector, "sms");
        if (how == 3) strcpy(request.audience, "evil.example.org\n");
        assert_refused(h, ERR_BAD_INPUT);
    }
}

static void out_of_time(void **state)
{
    struct harness *h = *state;
    uint64_t now = clock_wall() / CLOCK_S;
    static const struct {
        int64_t shift;
        enum err_kind kind;
    } cases[] = {{-601, ERR_STATE}, {-30, ERR_STATE}, {+120, ERR_BAD_INPUT}, {INT64_MAX / 2, ERR_BAD_INPUT}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        prepare(h);
        submission.issued_at = now + (uint64_t)cases[i].shift;
        harness_seal_request(h, &one, &submission, &request);
        assert_refused(h, cases[i].kind);
    }
}

/* The structure inside the box comes from whoever can write to the API: every number in it may be a lie. */
static void hostile_inside(void **state)
{
    struct harness *h = *state;
    for (int how = 0; how < 14; how++) {
        prepare(h);
        if (how == 0) submission.magic[0] = 'x';
        if (how == 1) submission.field_count = 0;
        if (how == 2) submission.field_count = FRAME_FIELDS + 1;
        if (how == 3) submission.field_count = UINT32_MAX;
        if (how == 4) submission.fields[1].length = UINT32_MAX;
        if (how == 5) submission.fields[1].offset = UINT32_MAX;
        if (how == 6) submission.fields[1].offset = 0; /* overlaps */
        if (how == 7) submission.fields[1].length = sizeof submission.bytes;
        if (how == 8) strcpy(submission.fields[1].name, submission.fields[0].name);
        if (how == 9) memset(submission.fields[1].name, 'a', NAME_BYTES);
        if (how == 10) submission.fields[1].name[0] = '\0';
        if (how == 11) submission.fields[0].offset = 1; /* a gap */
        if (how == 12) submission.field_count = 3, submission.fields[2].offset = 0;
        if (how == 13) memset(submission.audience, 'a', AUDIENCE_MAX);
        harness_seal_request(h, &one, &submission, &request);
        assert_refused(h, how == 13 ? ERR_BAD_INPUT : ERR_MALFORMED);
    }
}

/* One field more than there is room for, made to look right where it would be read. */
static void field_behind_the_last(void **state)
{
    struct harness *h = *state;
    struct err err = {0};
    char name[NAME_BYTES];
    prepare(h);
    submission.field_count = 0;
    for (int i = 0; i < FRAME_FIELDS; i++) {
        snprintf(name, sizeof name, "field%d", i);
        assert_true(keys_add_field(&submission, name, "", 0, &err));
    }
    strcpy((char *)submission.bytes, "behind");
    submission.field_count++;
    harness_seal_request(h, &one, &submission, &request);
    assert_refused(h, ERR_MALFORMED);
}

/* Names without an end: sealed by hand, for keys_seal() refuses them. */
static void endless_names(void **state)
{
    struct harness *h = *state;
    char *const names[] = {submission.workspace, submission.credential, submission.connector};
    for (size_t i = 0; i < 3; i++) {
        prepare(h);
        harness_seal_request(h, &one, &submission, &request);
        memset(names[i], 'a', NAME_BYTES);
        assert_int_equal(crypto_box_seal(request.box, (uint8_t *)&submission, sizeof submission, h->public.submission),
                         0);
        assert_refused(h, ERR_MALFORMED);
    }
}

static void box_wrong(void **state)
{
    struct harness *h = *state;
    uint8_t public[32], secret[32];
    prepare(h);
    harness_seal_request(h, &one, &submission, &request);
    request.box_length--;
    assert_refused(h, ERR_MALFORMED);
    request.box_length = UINT32_MAX;
    assert_refused(h, ERR_MALFORMED);
    harness_seal_request(h, &one, &submission, &request);
    request.box[100] ^= 1;
    assert_refused(h, ERR_BAD_INPUT);
    crypto_box_keypair(public, secret); /* to somebody else's key */
    crypto_box_seal(request.box, (uint8_t *)&submission, sizeof submission, public);
    assert_refused(h, ERR_BAD_INPUT);
}

static void workspace_key_wrong(void **state)
{
    struct harness *h = *state;
    struct stored two;
    prepare(h);
    harness_workspace(h, &two);
    harness_seal_request(h, &one, &submission, &request);
    request.workspace_key = two.keys.workspace_key; /* another workspace's */
    assert_refused(h, ERR_STATE);
    request.workspace_key = one.keys.answer_secret; /* another purpose's */
    assert_refused(h, ERR_STATE);
    memset(&request.workspace_key, 0, sizeof request.workspace_key);
    assert_refused(h, ERR_STATE);
    harness_seal_request(h, &one, &submission, &request);
    request.version = 0;
    assert_refused(h, ERR_PROTOCOL);
    harness_seal_request(h, &one, &submission, &request); /* none of these used the nonce up */
    assert_int_equal(ask(h)->status.kind, ERR_NONE);
}

/* ── keys that the vault offers ────────────────────────────────────────────────────────────────────── */

static struct msg_offer_answer offer(struct harness *h)
{
    harness_send(h, h->ledger, MSG_OFFER, 6, NULL, 0, NULL, 0);
    return *(const struct msg_offer_answer *)harness_take(h, h->ledger, MSG_OFFER_ANSWER, NULL);
}

static void seal_to(struct harness *h, const struct msg_offer_answer *to)
{
    struct err err = {0};
    size_t length;
    prepare(h);
    harness_seal_request(h, &one, &submission, &request);
    assert_true(keys_seal(&submission, to->public, request.box, &length, &err));
    memcpy(request.key_id, to->key_id, sizeof request.key_id);
}

static void offered(void **state)
{
    struct harness *h = *state;
    struct msg_offer_answer first = offer(h), again = offer(h);
    assert_memory_equal(&first, &again, sizeof first); /* it stays while it is good for long enough */
    assert_true(first.not_after - first.not_before == 24 * 3600);
    seal_to(h, &first);
    assert_int_equal(ask(h)->status.kind, ERR_NONE);
    memset(request.key_id, 0, sizeof request.key_id); /* for the key of vault.pub */
    assert_refused(h, ERR_BAD_INPUT);
    seal_to(h, &first);
    request.key_id[3] ^= 1;
    assert_refused(h, ERR_STATE);
}

/* The box opens, but what stands in it is about another key. */
static void offered_for_another_key(void **state)
{
    struct harness *h = *state;
    struct msg_offer_answer now = offer(h);
    seal_to(h, &now);
    key_id_public(h->public.submission, submission.key_id);
    crypto_box_seal(request.box, (uint8_t *)&submission, sizeof submission, now.public);
    assert_refused(h, ERR_BAD_INPUT);
    memcpy(submission.key_id, now.key_id, sizeof submission.key_id);
    crypto_box_seal(request.box, (uint8_t *)&submission, sizeof submission, h->public.submission);
    memset(request.key_id, 0, sizeof request.key_id);
    assert_refused(h, ERR_BAD_INPUT);
}

/* Exactly the text that docs/submit.md has, signed by the identity in vault.pub and by no other key of this vault. */
static void offered_note(void **state)
{
    struct harness *h = *state;
    struct msg_offer_answer now = offer(h);
    char id[17], key[64], text[OFFER_NOTE], line[128];
    uint8_t signature[4 + crypto_sign_BYTES], hash[4];
    size_t length;
    hex_text(now.key_id, sizeof now.key_id, id);
    sodium_bin2base64(key, sizeof key, now.public, 32, sodium_base64_VARIANT_ORIGINAL);
    int size = snprintf(text, sizeof text, "caisson-submission-key 1\n%s\n%s\n%llu\n%llu\n", id, key,
                        (unsigned long long)now.not_before, (unsigned long long)now.not_after);
    assert_memory_equal(now.note, text, (size_t)size);
    assert_int_equal(sscanf(now.note + size, "\n\u2014 caisson-vault %127s\n", line), 1);
    assert_int_equal(sodium_base642bin(signature, sizeof signature, line, strlen(line), NULL, &length, NULL,
                                       sodium_base64_VARIANT_ORIGINAL),
                     0);
    assert_int_equal(length, sizeof signature);
    vkey_hash("caisson-vault", h->public.identity, hash);
    assert_memory_equal(signature, hash, sizeof hash);
    assert_int_equal(crypto_sign_verify_detached(signature + 4, (uint8_t *)text, (size_t)size, h->public.identity), 0);
}

/* It lives in the process alone. */
static void offered_before(void **state)
{
    struct harness *h = *state;
    struct msg_offer_answer before = offer(h);
    harness_stop(h);
    harness_start(h, &(struct harness_start){0});
    struct msg_offer_answer now = offer(h);
    assert_memory_not_equal(before.public, now.public, 32);
    seal_to(h, &before);
    assert_refused(h, ERR_STATE);
}

/* A day in the life of a pair: given out for 23 hours, good for a day and what was on its way, then destroyed. */
static void offered_for_a_day(void **state)
{
    static struct offers offers;
    static const uint8_t none[KEY_BYTES];
    struct keys keys = {0};
    struct err err = {0};
    const uint8_t *secret;
    uint64_t now = 1800000000;
    (void)state;
    assert_true(key_library(&err) && memory_open(&keys.memory, sizeof *keys.store, &err));
    keys.store = keys.memory.bytes;
    crypto_sign_keypair(keys.identity_public, keys.store->identity);
    struct offer first = *offer_give(&offers, &keys, now);
    assert_memory_equal(offer_give(&offers, &keys, now + 23 * 3600 - 1)->key_id, first.key_id, SUBMISSION_KEY_ID);
    struct offer second = *offer_give(&offers, &keys, now + 23 * 3600);
    assert_memory_not_equal(second.key_id, first.key_id, SUBMISSION_KEY_ID);
    uint64_t last = first.not_after + 600;
    assert_true(offers_expire(&offers, &keys, last) == 1);
    assert_non_null(offer_find(&offers, &keys, first.key_id, last, &secret));
    assert_null(offer_find(&offers, &keys, first.key_id, last + 1, &secret));
    assert_memory_not_equal(keys.store->offered[OFFER_BEFORE], none, KEY_BYTES);
    offers_expire(&offers, &keys, last + 1);
    assert_memory_equal(keys.store->offered[OFFER_BEFORE], none, KEY_BYTES);
    assert_non_null(offer_find(&offers, &keys, second.key_id, last + 1, &secret));
    struct offer earlier = *offer_give(&offers, &keys, now - 86400); /* the clock was put back */
    assert_memory_not_equal(earlier.key_id, second.key_id, SUBMISSION_KEY_ID);
    assert_true(earlier.not_before == now - 86400);
    keys_close(&keys);
}

/* ── answers kept for replay ───────────────────────────────────────────────────────────────────────── */

static const struct msg_open_key_answer *open_key(struct harness *h, const struct msg_open_key *question)
{
    harness_send(h, h->ledger, MSG_OPEN_KEY, 9, question, sizeof *question, NULL, 0);
    return harness_take(h, h->ledger, MSG_OPEN_KEY_ANSWER, NULL);
}

static struct msg_open_key key_question(const struct stored *stored, uint8_t key[32])
{
    struct msg_open_key question = {.workspace_key = stored->keys.workspace_key,
                                    .answer_secret = stored->keys.answer_secret};
    memcpy(question.workspace, stored->workspace, ID_BYTES);
    memcpy(question.answer_public, stored->keys.answer_public, 32);
    randombytes_buf(key, 32);
    crypto_box_seal(question.sealed_key, key, 32, stored->keys.answer_public);
    return question;
}

static void answers(void **state)
{
    struct harness *h = *state;
    struct stored two;
    uint8_t key[32];
    static const uint8_t nothing[32];
    harness_workspace(h, &one);
    harness_workspace(h, &two);
    struct msg_open_key question = key_question(&one, key);
    const struct msg_open_key_answer *answer = open_key(h, &question);
    assert_int_equal(answer->status.kind, ERR_NONE);
    assert_memory_equal(answer->key, key, 32);
    for (int how = 0; how < 6; how++) {
        question = key_question(&one, key);
        if (how == 0) memcpy(question.workspace, two.workspace, ID_BYTES);
        if (how == 1) question.workspace_key = two.keys.workspace_key;
        if (how == 2) question.answer_secret = two.keys.answer_secret;
        if (how == 3) memcpy(question.answer_public, two.keys.answer_public, 32);
        if (how == 4) question.sealed_key[79] ^= 1;
        if (how == 5) question.answer_secret = one.keys.workspace_key;
        answer = open_key(h, &question);
        assert_int_equal(answer->status.kind, ERR_STATE);
        assert_memory_equal(answer->key, nothing, 32);
    }
}

#define WITH_VAULT(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_VAULT(sealed),
        WITH_VAULT(audience),
        WITH_VAULT(replayed),
        WITH_VAULT(names_differ),
        WITH_VAULT(out_of_time),
        WITH_VAULT(hostile_inside),
        WITH_VAULT(field_behind_the_last),
        WITH_VAULT(endless_names),
        WITH_VAULT(box_wrong),
        WITH_VAULT(workspace_key_wrong),
        WITH_VAULT(offered),
        WITH_VAULT(offered_for_another_key),
        WITH_VAULT(offered_note),
        WITH_VAULT(offered_before),
        cmocka_unit_test(offered_for_a_day),
        WITH_VAULT(answers),
    };
    if (argc < 2) return 2;
    vault_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
