/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of people: made under the workspace's key and bound to workspace and person; what is sealed to several opens
 * with all of them only. */
#include "harness.h"

#include <sodium.h>

static struct stored one, other;
static struct msg_subject_keys ask;
static struct msg_subject_keys_answer made;
static const uint8_t nothing[32];

static const struct msg_subject_keys_answer *make(struct harness *h, uint32_t count)
{
    memset(&ask, 0, sizeof ask);
    memcpy(ask.workspace, one.workspace, ID_BYTES);
    ask.workspace_key = one.keys.workspace_key;
    ask.count = count;
    for (uint32_t i = 0; i < SUBJECTS_MAX; i++) id_new(ask.ids[i]);
    harness_send(h, h->ledger, MSG_SUBJECT_KEYS, 7, &ask, sizeof ask, NULL, 0);
    return harness_take(h, h->ledger, MSG_SUBJECT_KEYS_ANSWER, NULL);
}

static void prepare(struct harness *h, uint32_t count)
{
    harness_workspace(h, &one);
    made = *make(h, count);
    assert_int_equal(made.status.kind, ERR_NONE);
    assert_int_equal(made.count, count);
}

/* A question about what is sealed to all of them in turn. */
static struct msg_subject_open sealed_to(uint32_t count, const uint8_t key[32])
{
    struct msg_subject_open open = {.count = count};
    uint8_t inner[SUBJECT_SEALED_MAX];
    memcpy(open.workspace, one.workspace, ID_BYTES);
    memcpy(open.sealed, key, 32);
    for (uint32_t i = 0; i < count; i++) {
        memcpy(open.ids[i], ask.ids[i], ID_BYTES);
        memcpy(open.publics[i], made.publics[i], 32);
        open.workspace_keys[i] = one.keys.workspace_key;
        open.secrets[i] = made.secrets[i];
        memcpy(inner, open.sealed, sizeof inner);
        assert_int_equal(crypto_box_seal(open.sealed, inner, 32 + (size_t)i * 48, made.publics[i]), 0);
    }
    return open;
}

static const struct msg_subject_open_answer *ask_open(struct harness *h, const struct msg_subject_open *open)
{
    harness_send(h, h->ledger, MSG_SUBJECT_OPEN, 8, open, sizeof *open, NULL, 0);
    return harness_take(h, h->ledger, MSG_SUBJECT_OPEN_ANSWER, NULL);
}

static void assert_shut(struct harness *h, const struct msg_subject_open *open)
{
    const struct msg_subject_open_answer *answer = ask_open(h, open);
    assert_int_not_equal(answer->status.kind, ERR_NONE);
    assert_memory_equal(answer->key, nothing, 32);
}

static void opens(void **state)
{
    struct harness *h = *state;
    uint8_t key[32];
    prepare(h, SUBJECTS_MAX);
    for (uint32_t count = 1; count <= SUBJECTS_MAX; count++) {
        randombytes_buf(key, sizeof key);
        struct msg_subject_open open = sealed_to(count, key);
        const struct msg_subject_open_answer *answer = ask_open(h, &open);
        assert_int_equal(answer->status.kind, ERR_NONE);
        assert_memory_equal(answer->key, key, 32);
    }
}

/* Destroying one of several keys is enough. */
static void needs_all(void **state)
{
    struct harness *h = *state;
    uint8_t key[32];
    prepare(h, 3);
    randombytes_buf(key, sizeof key);
    for (uint32_t gone = 0; gone < 3; gone++) {
        struct msg_subject_open open = sealed_to(3, key);
        memset(&open.secrets[gone], 0, sizeof open.secrets[gone]);
        assert_shut(h, &open);
    }
}

static void bound(void **state)
{
    struct harness *h = *state;
    uint8_t key[32] = {1};
    prepare(h, 2);
    struct msg_subject_open open = sealed_to(1, key);
    memcpy(open.ids[0], ask.ids[1], ID_BYTES); /* somebody else */
    assert_shut(h, &open);
    open = sealed_to(1, key);
    open.secrets[0] = made.secrets[1];
    memcpy(open.ids[0], ask.ids[1], ID_BYTES);
    memcpy(open.publics[0], made.publics[1], 32);
    assert_shut(h, &open);
    harness_workspace(h, &other);
    open = sealed_to(1, key);
    memcpy(open.workspace, other.workspace, ID_BYTES); /* another workspace */
    open.workspace_keys[0] = other.keys.workspace_key;
    assert_shut(h, &open);
    open = sealed_to(1, key);
    open.sealed[40] ^= 1;
    assert_shut(h, &open);
    open = sealed_to(1, key);
    open.secrets[0] = one.keys.answer_secret; /* a key of another purpose */
    memcpy(open.publics[0], one.keys.answer_public, 32);
    assert_shut(h, &open);
}

static void counts(void **state)
{
    struct harness *h = *state;
    static const uint32_t wrong[] = {0, SUBJECTS_MAX + 1, UINT32_MAX};
    uint8_t key[32] = {1};
    prepare(h, 1);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_not_equal(make(h, wrong[i])->status.kind, ERR_NONE);
        struct msg_subject_open open = sealed_to(1, key);
        open.count = wrong[i];
        assert_shut(h, &open);
    }
    memset(&one.keys.workspace_key, 0, sizeof one.keys.workspace_key);
    const struct msg_subject_keys_answer *answer = make(h, 1);
    assert_int_not_equal(answer->status.kind, ERR_NONE);
    assert_memory_equal(answer->publics[0], nothing, 32);
}

/* A person's key goes under the workspace's next one, and opens what was sealed before; for somebody else it stays
 * where it is. */
static void rotates(void **state)
{
    struct harness *h = *state;
    struct msg_rewrap rewrap = {.kind = REWRAP_SUBJECT_KEY, .count = 2};
    uint8_t key[32] = {9};
    prepare(h, 1);
    struct msg_subject_open open = sealed_to(1, key);
    struct msg_workspace_key fresh = {0};
    memcpy(fresh.workspace, one.workspace, ID_BYTES);
    harness_send(h, h->ledger, MSG_WORKSPACE_KEY, 9, &fresh, sizeof fresh, NULL, 0);
    const struct msg_workspace_key_answer next = *(const struct msg_workspace_key_answer *)harness_take(
        h, h->ledger, MSG_WORKSPACE_KEY_ANSWER, NULL);
    memcpy(rewrap.workspace, one.workspace, ID_BYTES);
    rewrap.from = one.keys.workspace_key;
    rewrap.to = next.workspace_key;
    rewrap.items[0].key = rewrap.items[1].key = made.secrets[0];
    memcpy(rewrap.items[0].id, ask.ids[0], ID_BYTES);
    memcpy(rewrap.items[1].id, ask.ids[1], ID_BYTES);
    harness_send(h, h->ledger, MSG_REWRAP, 10, &rewrap, sizeof rewrap, NULL, 0);
    const struct msg_rewrap_answer done = *(const struct msg_rewrap_answer *)harness_take(h, h->ledger,
                                                                                          MSG_REWRAP_ANSWER, NULL);
    assert_int_equal(done.status.kind, ERR_NONE);
    assert_int_equal(done.kinds[0], ERR_NONE);
    assert_int_not_equal(done.kinds[1], ERR_NONE);
    open.secrets[0] = done.keys[0];
    assert_shut(h, &open);
    open.workspace_keys[0] = next.workspace_key;
    assert_memory_equal(ask_open(h, &open)->key, key, 32);
}

#define WITH_VAULT(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {WITH_VAULT(opens), WITH_VAULT(needs_all), WITH_VAULT(bound), WITH_VAULT(counts),
                                       WITH_VAULT(rotates)};
    if (argc < 2) return 2;
    vault_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
