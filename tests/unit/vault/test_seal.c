/* SPDX-License-Identifier: Apache-2.0 */
/* Storing: what the command submitted comes in once, for the names it was sealed for, and never out again. */
#include "harness.h"

#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

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
        WITH_VAULT(answers),
    };
    if (argc < 2) return 2;
    vault_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
