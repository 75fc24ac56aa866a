/* SPDX-License-Identifier: Apache-2.0 */
/* Rotation in the vault: keys go under newer ones and stay where they are bound; a ledger that was taken over gets
 * neither plaintext out of it nor a key into another workspace, credential, version or purpose. */
#include "harness.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "runtime/vault/keys.h"

static _Alignas(8) char bytes[FRAME_SECRET_MAX];

static void give(struct harness *h, enum give_kind kind, int fd)
{
    struct ctl_give body = {.kind = (uint32_t)kind};
    assert_true(fd >= 0);
    harness_send(h, h->control, CTL_GIVE, 0, &body, sizeof body, &fd, 1);
    close(fd);
}

static void give_next(struct harness *h)
{
    struct err err = {0};
    if (!keys_make_next(h->home, NULL, true, &err)) fail_msg("%s", err.text);
    give(h, GIVE_KEY_NEXT, openat(h->home, "keys/master.key.next", O_RDONLY | O_CLOEXEC));
}

static struct msg_keys_answer marks(struct harness *h)
{
    harness_send(h, h->ledger, MSG_KEYS, 5, NULL, 0, NULL, 0);
    return *(const struct msg_keys_answer *)harness_take(h, h->ledger, MSG_KEYS_ANSWER, NULL);
}

static bool none(const struct key_mark *mark)
{
    return sodium_is_zero((const uint8_t *)mark, sizeof *mark);
}

/* The vault has read its control line this far. */
static struct msg_keys_answer marks_with_next(struct harness *h)
{
    struct msg_keys_answer got = marks(h);
    for (uint64_t until = clock_now() + PATIENCE_S * CLOCK_S; none(&got.next) && clock_now() < until;) got = marks(h);
    assert_false(none(&got.next));
    return got;
}

static struct msg_rewrap_answer rewrap(struct harness *h, const struct msg_rewrap *ask)
{
    harness_send(h, h->ledger, MSG_REWRAP, 6, ask, sizeof *ask, NULL, 0);
    return *(const struct msg_rewrap_answer *)harness_take(h, h->ledger, MSG_REWRAP_ANSWER, NULL);
}

static struct msg_workspace_key_answer new_key(struct harness *h, const uint8_t workspace[ID_BYTES], uint32_t next)
{
    struct msg_workspace_key ask = {.under_next = next};
    memcpy(ask.workspace, workspace, ID_BYTES);
    harness_send(h, h->ledger, MSG_WORKSPACE_KEY, 7, &ask, sizeof ask, NULL, 0);
    return *(const struct msg_workspace_key_answer *)harness_take(h, h->ledger, MSG_WORKSPACE_KEY_ANSWER, NULL);
}

/* Both fields come out for this order. */
static bool released(struct harness *h, const struct stored *stored, uint32_t channel)
{
    static struct msg_order order;
    make_order(stored, &order);
    send_order(h, &order);
    struct msg_half half = half_for(&order, channel);
    int pipe = send_half(h, &half);
    harness_runner_drained_quiet(h);
    ssize_t got = read(pipe, bytes, sizeof bytes);
    close(pipe);
    if (got <= 0) return false;
    assert_string_equal(secret_field(bytes, "user"), CANARY_USER);
    assert_string_equal(secret_field(bytes, "password"), CANARY_PASSWORD);
    return true;
}

static struct msg_rewrap of_workspace(const struct stored *stored, const struct wrapped *to)
{
    struct msg_rewrap ask = {.kind = REWRAP_CREDENTIAL_KEY, .count = 1};
    memcpy(ask.workspace, stored->workspace, ID_BYTES);
    ask.from = stored->keys.workspace_key;
    ask.to = *to;
    memcpy(ask.items[0].id, stored->credential, ID_BYTES);
    ask.items[0].version = stored->version;
    ask.items[0].key = stored->sealed.credential_key;
    return ask;
}

static struct msg_rewrap of_master(const struct stored *stored)
{
    struct msg_rewrap ask = {.kind = REWRAP_WORKSPACE_KEY, .count = 1};
    memcpy(ask.items[0].id, stored->workspace, ID_BYTES);
    ask.items[0].key = stored->keys.workspace_key;
    return ask;
}

/* ── what it is for ────────────────────────────────────────────────────────────────────────────────── */

static void workspace_goes_on(void **state)
{
    struct harness *h = *state;
    static struct stored stored;
    harness_workspace(h, &stored);
    harness_store(h, &stored, "mail.example.org\n");
    struct msg_workspace_key_answer fresh = new_key(h, stored.workspace, 0);
    struct msg_rewrap ask = of_workspace(&stored, &fresh.workspace_key);
    struct msg_rewrap_answer got = rewrap(h, &ask);
    assert_int_equal(got.status.kind, ERR_NONE);
    assert_int_equal(got.kinds[0], ERR_NONE);
    assert_true(released(h, &stored, 1)); /* both stand */
    stored.keys.workspace_key = fresh.workspace_key;
    assert_false(released(h, &stored, 3)); /* the old wrap is not under the new key */
    stored.sealed.credential_key = got.keys[0];
    assert_true(released(h, &stored, 2));
}

static void master_rotates(void **state)
{
    struct harness *h = *state;
    static struct stored stored, other;
    harness_workspace(h, &stored);
    harness_store(h, &stored, "");
    struct msg_rewrap ask = of_master(&stored);
    assert_int_equal(rewrap(h, &ask).status.kind, ERR_STATE); /* there is no next one yet */
    assert_int_equal(new_key(h, stored.workspace, 1).status.kind, ERR_STATE);
    struct msg_keys_answer before = marks(h);
    assert_true(none(&before.next));
    give_next(h);
    struct msg_keys_answer both = marks_with_next(h);
    assert_memory_equal(&both.now, &before.now, sizeof both.now);
    struct msg_rewrap_answer got = rewrap(h, &ask);
    assert_int_equal(got.kinds[0], ERR_NONE);
    assert_memory_equal(got.keys[0].bytes + WRAP_NAME_AT, both.next.name, KEY_NAME);
    assert_true(released(h, &stored, 1)); /* under the old one */
    other = stored;
    other.keys.workspace_key = got.keys[0];
    assert_true(released(h, &other, 2)); /* under the new one */
    ask.items[0].key = got.keys[0];      /* again, after a crash */
    assert_int_equal(rewrap(h, &ask).kinds[0], ERR_NONE);

    static struct msg_order waiting; /* it came with the old wrap, its half comes after the change */
    make_order(&stored, &waiting);
    send_order(h, &waiting);
    harness_barrier(h);
    struct err err = {0};
    if (!keys_replace(h->home, NULL, &err)) fail_msg("%s", err.text);
    give(h, GIVE_KEY, harness_key(h));
    struct msg_keys_answer after = marks(h);
    for (uint64_t until = clock_now() + PATIENCE_S * CLOCK_S; !none(&after.next) && clock_now() < until;)
        after = marks(h);
    assert_memory_equal(&after.now, &both.next, sizeof after.now);
    struct msg_half half = half_for(&waiting, 3);
    int pipe = send_half(h, &half);
    assert_true(read_secret(pipe, bytes) > 0);
    assert_string_equal(secret_field(bytes, "password"), CANARY_PASSWORD);
    close(pipe);
    assert_true(released(h, &other, 4));
    assert_false(released(h, &stored, 5)); /* the old key is gone */
}

/* A submission that was sealed just before vault.pub changed counts, and one to the new vault.pub before the change. */
static void submissions_meanwhile(void **state)
{
    struct harness *h = *state;
    static struct stored stored;
    struct err err = {0};
    harness_workspace(h, &stored);
    give_next(h);
    marks_with_next(h);
    struct keys_public before = h->public;
    if (!keys_replace(h->home, NULL, &err) || !keys_read_public(h->home, &h->public, &err)) fail_msg("%s", err.text);
    assert_memory_not_equal(before.submission, h->public.submission, KEY_BYTES);
    assert_memory_not_equal(before.identity, h->public.identity, KEY_BYTES);
    harness_store(h, &stored, "");
    struct msg_rewrap ask = of_master(&stored);
    stored.keys.workspace_key = rewrap(h, &ask).keys[0];
    give(h, GIVE_KEY, harness_key(h));
    while (!none(&(struct msg_keys_answer[]){marks(h)}[0].next)) continue;
    harness_store(h, &stored, "");
    h->public = before;
    harness_store(h, &stored, "");
    assert_true(released(h, &stored, 1));
}

static void other_next_is_refused(void **state)
{
    struct harness *h = *state;
    give(h, GIVE_KEY_NEXT, harness_key(h)); /* the same key is no next one */
    give_next(h);
    struct msg_keys_answer first = marks_with_next(h);
    assert_int_equal(unlinkat(h->home, "keys/master.key.next", 0), 0);
    give_next(h);
    give(h, GIVE_KEY, openat(h->home, "keys/vault.pub", O_RDONLY | O_CLOEXEC)); /* no key at all takes over */
    harness_barrier(h);
    struct msg_keys_answer second = marks(h);
    assert_memory_equal(&first, &second, sizeof first);
    assert_int_equal(unlinkat(h->home, "keys/master.key.next", 0), 0);
}

/* ── renewing ──────────────────────────────────────────────────────────────────────────────────────── */

static struct msg_renew renew_of(const struct stored *stored, const struct wrapped *to)
{
    struct msg_renew ask = {.version = stored->version, .new_version = stored->version + 1};
    memcpy(ask.workspace, stored->workspace, ID_BYTES);
    memcpy(ask.credential, stored->credential, ID_BYTES);
    ask.from = stored->keys.workspace_key;
    ask.to = *to;
    ask.credential_key = stored->sealed.credential_key;
    memcpy(ask.audience_digest, stored->sealed.audience_digest, HASH_BYTES);
    ask.field_count = stored->sealed.field_count;
    memcpy(ask.fields, stored->sealed.fields, sizeof ask.fields);
    memcpy(ask.bytes, stored->sealed.bytes, sizeof ask.bytes);
    return ask;
}

static struct msg_seal_answer renew(struct harness *h, const struct msg_renew *ask)
{
    harness_send(h, h->ledger, MSG_RENEW, 8, ask, sizeof *ask, NULL, 0);
    return *(const struct msg_seal_answer *)harness_take(h, h->ledger, MSG_SEAL_ANSWER, NULL);
}

static bool holds(const void *where, size_t size, const char *what)
{
    return memmem(where, size, what, strlen(what)) != NULL;
}

static void credential_renews(void **state)
{
    struct harness *h = *state;
    static struct stored stored, other;
    harness_workspace(h, &stored);
    harness_store(h, &stored, "mail.example.org\n");
    struct msg_workspace_key_answer fresh = new_key(h, stored.workspace, 0);
    struct msg_renew ask = renew_of(&stored, &fresh.workspace_key);
    other = stored;
    other.sealed = renew(h, &ask);
    assert_int_equal(other.sealed.status.kind, ERR_NONE);
    assert_false(holds(&other.sealed, sizeof other.sealed, CANARY_PASSWORD));
    assert_memory_not_equal(other.sealed.bytes, stored.sealed.bytes, 64);
    other.version = stored.version + 1;
    other.keys.workspace_key = fresh.workspace_key;
    assert_true(released(h, &other, 1));
    other.version = stored.version; /* it is the new version and no other */
    assert_false(released(h, &other, 2));
}

/* ── a ledger that was taken over ──────────────────────────────────────────────────────────────────── */

/* Another workspace, credential, version, purpose, master key or a bit more: nothing is wrapped. */
static void rewrap_moves_nothing(void **state)
{
    struct harness *h = *state;
    static struct stored one, two;
    harness_workspace(h, &one);
    harness_store(h, &one, "");
    harness_workspace(h, &two);
    harness_store(h, &two, "");
    struct msg_rewrap good = of_workspace(&one, &one.keys.workspace_key);
    assert_int_equal(rewrap(h, &good).kinds[0], ERR_NONE);
    struct msg_rewrap bad[10];
    for (int i = 0; i < 10; i++) bad[i] = good;
    bad[0].to = two.keys.workspace_key; /* into another workspace */
    bad[1].from = two.keys.workspace_key;
    memcpy(bad[2].workspace, two.workspace, ID_BYTES);
    memcpy(bad[3].items[0].id, two.credential, ID_BYTES); /* as another credential */
    bad[4].items[0].version++;
    bad[5].kind = REWRAP_ANSWER_SECRET; /* as something that the vault opens for the ledger */
    bad[6].kind = REWRAP_WORKSPACE_KEY; /* as a workspace's key, under which the ledger could have anything sealed */
    bad[7].kind = REWRAP_KINDS;
    bad[8].count = REWRAPS + 1;
    bad[9].items[0].key.bytes[90] ^= 1;
    give_next(h);
    marks_with_next(h);
    for (int i = 0; i < 10; i++) {
        struct msg_rewrap_answer got = rewrap(h, &bad[i]);
        if (got.status.kind == ERR_NONE && got.kinds[0] == ERR_NONE) fail_msg("number %d was wrapped", i);
        if (!sodium_is_zero(got.keys[0].bytes, WRAP_BYTES)) fail_msg("number %d came back", i);
    }
    struct msg_rewrap secret = good; /* a stored answer's secret is no credential's key */
    secret.items[0].key = one.keys.answer_secret;
    assert_int_not_equal(rewrap(h, &secret).kinds[0], ERR_NONE);
    assert_int_equal(unlinkat(h->home, "keys/master.key.next", 0), 0);
}

static void renew_moves_nothing(void **state)
{
    struct harness *h = *state;
    static struct stored one, two;
    harness_workspace(h, &one);
    harness_store(h, &one, "");
    harness_workspace(h, &two);
    harness_store(h, &two, "");
    struct msg_renew good = renew_of(&one, &one.keys.workspace_key);
    static struct msg_renew bad[9];
    for (int i = 0; i < 9; i++) bad[i] = good;
    bad[0].to = two.keys.workspace_key;
    memcpy(bad[1].workspace, two.workspace, ID_BYTES);
    memcpy(bad[2].credential, two.credential, ID_BYTES);
    bad[3].audience_digest[0] ^= 1; /* towards other hosts */
    bad[4].version++, bad[4].new_version++;
    bad[5].new_version = bad[5].version;       /* over itself */
    strcpy(bad[6].fields[0].name, "password"); /* one field as another, which a connector may show */
    bad[7].fields[1].offset = SEALED_MAX - 10;
    bad[8].field_count = FRAME_FIELDS + 1;
    for (int i = 0; i < 9; i++) {
        struct msg_seal_answer got = renew(h, &bad[i]);
        if (got.status.kind == ERR_NONE) fail_msg("number %d was sealed", i);
        if (!sodium_is_zero(got.bytes, sizeof got.bytes) || !sodium_is_zero(got.credential_key.bytes, WRAP_BYTES))
            fail_msg("something of number %d came back", i);
    }
    assert_int_equal(renew(h, &good).status.kind, ERR_NONE);
}

#define WITH_VAULT(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        WITH_VAULT(workspace_goes_on),     WITH_VAULT(master_rotates),    WITH_VAULT(submissions_meanwhile),
        WITH_VAULT(other_next_is_refused), WITH_VAULT(credential_renews), WITH_VAULT(rewrap_moves_nothing),
        WITH_VAULT(renew_moves_nothing),
    };
    if (argc < 2 || sodium_init() < 0) return 2;
    vault_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
