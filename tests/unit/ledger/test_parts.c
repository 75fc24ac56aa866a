/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger's parts that need no process: record bytes, notes, access, idempotency, outcomes, spill, calls, rates. */
#include <fcntl.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "runtime/ledger/authorise.h"
#include "runtime/ledger/calls.h"
#include "runtime/ledger/idempotency.h"
#include "runtime/ledger/note.h"
#include "runtime/ledger/outcome.h"
#include "runtime/ledger/rate.h"
#include "runtime/ledger/record.h"
#include "runtime/ledger/spill.h"

/* ── records ───────────────────────────────────────────────────────────────────────────────────────── */

static void test_record_bytes(void **state)
{
    RECORD_AUTO record;
    BUF_AUTO out = {.max = RECORD_MAX + 1};
    record_init(&record);
    record_text(&record, "zeta", "a\"b\\c\n\x01\xc3\xa9\xff");
    record_int(&record, "alpha", -7);
    record_hex(&record, "mid", "\x00\xab", 2);
    record_json(&record, "list", "[1,2]", 5);
    assert_true(record_bytes(&record, &out));
    assert_string_equal(
        out.bytes,
        "{\"alpha\":-7,\"list\":[1,2],\"mid\":\"00ab\",\"zeta\":\"a\\\"b\\\\c\\u000a\\u0001\xc3\xa9\xef\xbf\xbd\"}");
}

static void test_record_faults(void **state)
{
    RECORD_AUTO record;
    BUF_AUTO out = {.max = RECORD_MAX + 1};
    record_init(&record);
    record_int(&record, "same", 1);
    record_int(&record, "same", 2);
    assert_false(record_bytes(&record, &out));
    record_clear(&record);

    char *large = calloc(1, RECORD_MAX + 10);
    memset(large, 'x', RECORD_MAX + 5);
    record_init(&record);
    record_text(&record, "k", large);
    assert_false(record_bytes(&record, &out));
    free(large);

    static char keys[RECORD_FIELDS + 1][8];
    record_clear(&record);
    record_init(&record);
    for (int i = 0; i <= RECORD_FIELDS; i++) {
        snprintf(keys[i], sizeof keys[i], "k%02d", i);
        record_int(&record, keys[i], i);
    }
    assert_false(record_bytes(&record, &out));
}

/* ── notes ─────────────────────────────────────────────────────────────────────────────────────────── */

static void test_note(void **state)
{
    tree_hash root;
    uint8_t public[32], secret[64], signature[64];
    BUF_AUTO text = {.max = NOTE_MAX};
    BUF_AUTO note = {.max = NOTE_MAX};
    sha256("", 0, root);
    assert_true(note_text("example.org/log/1", 20852163, root, &text));
    assert_string_equal(text.bytes, "example.org/log/1\n20852163\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n");
    crypto_sign_keypair(public, secret);
    crypto_sign_detached(signature, NULL, (unsigned char *)text.bytes, text.used, secret);
    assert_true(note_sign("example.org/log/1", 20852163, root, public, signature, &note));
    assert_memory_equal(note.bytes, text.bytes, text.used);
    assert_memory_equal(note.bytes + text.used, "\n\u2014 example.org/log/1 ", strlen("\n\u2014 example.org/log/1 "));
    assert_int_equal(note.bytes[note.used - 1], '\n');
}

/* A key that signs a log in real use: name, key id and base64 as its owner publishes them. */
static void test_vkey(void **state)
{
    uint8_t typed[33];
    size_t length;
    BUF_AUTO vkey = {.max = 512};
    const char *data = getenv("CAISSON_TEST_DATA");
    char path[2048], line[512], found[512] = "";
    snprintf(path, sizeof path, "%s/vectors/notes/vkeys.txt", data ? data : SOURCE_ROOT "/../shared");
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) {
        char *at = strstr(line, "sum.golang.org+");
        if (at) snprintf(found, sizeof found, "%.*s", (int)strcspn(at, " \n"), at);
    }
    if (file) fclose(file);
    if (!found[0]) {
        print_message("skipped: no vectors/notes below CAISSON_TEST_DATA\n");
        skip();
    }
    const char *base64 = strchr(strchr(found, '+') + 1, '+') + 1;
    assert_int_equal(sodium_base642bin(typed, sizeof typed, base64, strlen(base64), NULL, &length, NULL,
                                       sodium_base64_VARIANT_ORIGINAL),
                     0);
    assert_int_equal(length, 33);
    assert_true(note_vkey("sum.golang.org", typed + 1, &vkey));
    assert_string_equal(vkey.bytes, found);
}

static void test_origins(void **state)
{
    assert_true(note_origin_valid("caisson.local/ab/1"));
    assert_false(note_origin_valid(""));
    assert_false(note_origin_valid("a b"));
    assert_false(note_origin_valid("a+b"));
    assert_false(note_origin_valid("a\nb"));
}

/* ── access ────────────────────────────────────────────────────────────────────────────────────────── */

static unsigned rights(const char *text, const struct peer *peer, const char *workspace)
{
    struct access access;
    struct err err = {0};
    json_t *object = json_loads(text, 0, NULL);
    if (!access_read(object, &access, &err)) fail_msg("%s", err.text);
    unsigned found = access_rights(&access, peer, workspace);
    access_clear(&access);
    json_decref(object);
    return found;
}

static void test_access(void **state)
{
    uint32_t groups[] = {50, 60};
    const struct peer peer = {.uid = 1000, .groups = groups, .group_count = 2};
    const unsigned invoker = RIGHT_VIEW | RIGHT_CALL;
    assert_int_equal(rights("{\"default\":{\"invoker\":[\"uid:1000\"]}}", &peer, "default"), invoker);
    assert_int_equal(rights("{\"default\":{\"invoker\":[\"uid:1000\"]}}", &peer, "other"), 0);
    assert_int_equal(rights("{\"*\":{\"invoker\":[\"gid:60\"]}}", &peer, "other"), invoker);
    assert_int_equal(rights("{\"*\":{\"invoker\":[\"gid:61\",\"uid:1001\"]}}", &peer, "other"), 0);
    assert_int_equal(rights("{\"*\":{\"viewer\":[\"any\"]},\"a\":{\"operator\":[\"uid:1000\"]}}", &peer, "a"),
                     RIGHT_VIEW | RIGHT_CALL | RIGHT_OPERATE);
    assert_int_equal(rights("{\"*\":{\"auditor\":[\"uid:1000\"]}}", &peer, "a"), RIGHT_VIEW | RIGHT_AUDIT);
    assert_true(rights("{\"*\":{\"admin\":[\"uid:1000\"]}}", &peer, "a") & RIGHT_ADMIN);
}

static void test_access_refuses(void **state)
{
    static const char *const wrong[] = {"[]",
                                        "{\"UPPER\":{}}",
                                        "{\"a\":[]}",
                                        "{\"a\":{\"king\":[]}}",
                                        "{\"a\":{\"admin\":\"uid:0\"}}",
                                        "{\"a\":{\"admin\":[\"root\"]}}",
                                        "{\"a\":{\"admin\":[\"uid:-1\"]}}",
                                        "{\"a\":{\"admin\":[\"uid:\"]}}",
                                        "{\"a\":{\"admin\":[\"uid:4294967295\"]}}",
                                        "{\"a\":{\"admin\":[\"uid:0x0\"]}}"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct access access;
        struct err err = {0};
        json_t *object = json_loads(wrong[i], 0, NULL);
        if (access_read(object, &access, &err)) fail_msg("accepted: %s", wrong[i]);
        assert_int_equal(err.kind, ERR_BAD_INPUT);
        json_decref(object);
    }
}

static bool covers(const char *connectors, const char *actions, const char *connector, const char *action)
{
    struct caller caller = {.kind = WHO_TOKEN};
    strcpy(caller.token.connectors, connectors);
    strcpy(caller.token.actions, actions);
    return caller_covers(&caller, connector, action);
}

static void test_scopes(void **state)
{
    assert_true(covers("[]", "[]", "email", "send"));
    assert_true(covers("[\"email\"]", "[]", "email", "send"));
    assert_false(covers("[\"email\"]", "[]", "sms", "send"));
    assert_false(covers("[\"email\"]", "[]", "emailx", "send"));
    assert_true(covers("[]", "[\"send\"]", "sms", "send"));
    assert_true(covers("[]", "[\"sms/send\"]", "sms", "send"));
    assert_false(covers("[]", "[\"sms/send\"]", "email", "send"));
    assert_false(covers("[]", "[\"sms/send\"]", "sms", "send_api"));
    assert_false(covers("[]", "[\"sms/send\"]", "sm", "send"));
    assert_true(covers("[]", "[\"sms/send\"]", "sms", NULL));
    assert_false(covers("[]", "[\"sms/send\"]", "email", NULL));
    assert_false(covers("damaged", "[]", "email", "send"));
}

static void test_token_rights(void **state)
{
    struct access access = {0};
    struct store_workspace here = {.name = "default", .id = {1}}, there = {.name = "other", .id = {2}};
    struct caller caller = {.kind = WHO_TOKEN, .token = {.role = ACCESS_INVOKER, .workspace = {1}, .expires = 100}};
    assert_int_equal(caller_rights(&access, &caller, &here, 99), RIGHT_VIEW | RIGHT_CALL);
    assert_int_equal(caller_rights(&access, &caller, &here, 100), 0);
    assert_int_equal(caller_rights(&access, &caller, &there, 99), 0);
    caller.token.revoked = 1;
    assert_int_equal(caller_rights(&access, &caller, &here, 99), 0);
    caller.kind = WHO_NOBODY;
    assert_int_equal(caller_rights(&access, &caller, &here, 99), 0);
}

/* Every message of the desk's needs a right; what a stranger may ask is named here. */
static void test_message_rights(void **state)
{
    for (unsigned type = MSG_TOKEN_CREATE; type < MSG_WORKSPACE_LIST; type++)
        if (!message_right(type).right) fail_msg("%s needs no right", msg_row(type)->name);
    for (unsigned type = MSG_TOKEN_CREATE; type <= MSG_WORKSPACE_LIST; type++)
        assert_false(msg_allowed(type, ROLE_FRONT, ROLE_LEDGER, sizeof(struct msg_query), 0));
    assert_int_equal(message_right(MSG_CALLS_LIST).right, RIGHT_VIEW);
    assert_int_equal(message_right(MSG_CONNECTORS).right, RIGHT_VIEW);
    assert_int_equal(message_right(MSG_HEALTH).right, 0);
}

/* ── idempotency ───────────────────────────────────────────────────────────────────────────────────── */

static void test_key_table(void **state)
{
    static const struct {
        struct key_facts facts;
        enum key_verdict verdict;
    } rows[] = {
        {{false, false, false, false, CLASS_NONE, SENT_NO}, KEY_FRESH},
        {{true, false, true, false, CLASS_OK, SENT_YES}, KEY_OTHER},
        {{true, false, false, true, CLASS_NONE, SENT_NO}, KEY_OTHER},
        {{true, true, false, false, CLASS_NONE, SENT_NO}, KEY_RUNNING},
        {{true, true, false, true, CLASS_NONE, SENT_NO}, KEY_RUNNING},
        {{true, true, true, false, CLASS_OK, SENT_YES}, KEY_REPLAY},
        {{true, true, true, false, CLASS_OK, SENT_NO}, KEY_REPLAY},
        {{true, true, true, false, CLASS_REJECTED, SENT_YES}, KEY_REPLAY},
        {{true, true, true, false, CLASS_REJECTED, SENT_NO}, KEY_AGAIN},
        {{true, true, true, false, CLASS_RETRYABLE, SENT_NO}, KEY_AGAIN},
        {{true, true, true, false, CLASS_RETRYABLE, SENT_MAYBE}, KEY_UNCERTAIN},
        {{true, true, true, false, CLASS_CRASHED, SENT_MAYBE}, KEY_UNCERTAIN},
        {{true, true, true, false, CLASS_CRASHED, SENT_NO}, KEY_AGAIN},
        {{true, true, true, false, CLASS_TIMEOUT, SENT_MAYBE}, KEY_UNCERTAIN},
        {{true, true, true, false, CLASS_LOST, SENT_MAYBE}, KEY_UNCERTAIN},
        {{true, true, true, false, CLASS_REFUSED, SENT_NO}, KEY_AGAIN},
        {{true, true, true, true, CLASS_LOST, SENT_MAYBE}, KEY_AGAIN},
        {{true, true, true, true, CLASS_OK, SENT_YES}, KEY_AGAIN},
        {{true, true, true, false, CLASS_RETRYABLE, SENT_NO, ATTEMPTS_MAX - 1}, KEY_AGAIN},
        {{true, true, true, false, CLASS_RETRYABLE, SENT_NO, ATTEMPTS_MAX}, KEY_TIRED},
        {{true, true, true, true, CLASS_RETRYABLE, SENT_NO, ATTEMPTS_MAX}, KEY_AGAIN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (key_verdict(&rows[i].facts) != rows[i].verdict) fail_msg("row %zu", i);
}

/* ── outcomes ──────────────────────────────────────────────────────────────────────────────────────── */

static void test_sent_table(void **state)
{
    enum { UP = 100 };
    static const struct {
        struct sent_facts facts;
        enum call_sent sent;
    } rows[] = {
        {{CLASS_LOST, .gated = false}, SENT_NO},
        {{CLASS_OK, .gated = true, .broker_knows = false}, SENT_MAYBE},
        {{CLASS_CRASHED, .gated = true, .broker_knows = false}, SENT_MAYBE},
        {{CLASS_CRASHED, true, true}, SENT_NO},
        {{CLASS_CRASHED, true, true, .bytes_up = 0}, SENT_NO},
        {{CLASS_CRASHED, true, true, .committed = true, .bytes_up = 0}, SENT_NO},
        {{CLASS_OK, true, true, .bytes_up = UP}, SENT_YES},
        {{CLASS_OK, true, true, .committed = true, .bytes_up = UP}, SENT_YES},
        {{CLASS_OK, true, true}, SENT_NO},
        {{CLASS_REJECTED, true, true, .clean = true, .bytes_up = UP}, SENT_NO},
        {{CLASS_REJECTED, true, true, .clean = false, .bytes_up = UP}, SENT_MAYBE},
        {{CLASS_REJECTED, true, true, .committed = true, .bytes_up = UP}, SENT_YES},
        {{CLASS_REJECTED, true, true, .committed = true, .clean = true, .bytes_up = UP}, SENT_YES},
        {{CLASS_RETRYABLE, true, true, .clean = true, .bytes_up = UP}, SENT_NO},
        {{CLASS_RETRYABLE, true, true, .clean = false, .bytes_up = UP}, SENT_MAYBE},
        {{CLASS_RETRYABLE, true, true, .committed = true, .bytes_up = UP}, SENT_MAYBE},
        {{CLASS_RETRYABLE, true, true, .committed = true, .clean = true, .bytes_up = UP}, SENT_MAYBE},
        {{CLASS_BAD_INPUT, true, true, .clean = true, .bytes_up = UP}, SENT_NO},
        {{CLASS_BAD_INPUT, true, true, .clean = false, .bytes_up = UP}, SENT_MAYBE},
        {{CLASS_BAD_INPUT, true, true, .committed = true, .bytes_up = UP}, SENT_MAYBE},
        {{CLASS_BAD_INPUT, true, true, .committed = true, .clean = true, .bytes_up = UP}, SENT_MAYBE},
        {{CLASS_CRASHED, true, true, .clean = true, .bytes_up = UP}, SENT_MAYBE},
        {{CLASS_CRASHED, true, true, .committed = false, .bytes_up = UP}, SENT_MAYBE},
        {{CLASS_TIMEOUT, true, true, .committed = false, .bytes_up = UP}, SENT_MAYBE},
        {{CLASS_VIOLATION, true, true, .committed = false, .bytes_up = UP}, SENT_MAYBE},
        {{CLASS_LOST, true, true, .committed = true, .bytes_up = UP}, SENT_MAYBE},
        {{CLASS_REFUSED, true, true, .committed = false, .bytes_up = UP}, SENT_MAYBE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (outcome_sent(&rows[i].facts) != rows[i].sent)
            fail_msg("row %zu: %s", i, sent_name(outcome_sent(&rows[i].facts)));
}

/* ── spill ─────────────────────────────────────────────────────────────────────────────────────────── */

struct reading {
    uint32_t next;
    unsigned count;
};

static bool read_one(void *context, const struct spilled *one)
{
    struct reading *reading = context;
    assert_int_equal(one->call.attempt, reading->next);
    reading->next++;
    reading->count++;
    return true;
}

static void test_spill(void **state)
{
    char path[] = "/tmp/caisson-spill-XXXXXX";
    struct spill spill;
    struct err err = {0};
    unsigned bad;
    assert_non_null(mkdtemp(path));
    int folder = open(path, O_RDONLY | O_DIRECTORY);
    assert_true(spill_open(&spill, folder, &err));
    for (uint32_t i = 1; i <= 3; i++) {
        struct spilled one = {.call = {.attempt = i}, .class = CLASS_OK};
        assert_true(spill_add(&spill, &one, &err));
    }
    spill_close(&spill);
    assert_true(spill_open(&spill, folder, &err));
    assert_int_equal(spill.used, 3);
    struct reading reading = {.next = 1};
    assert_true(spill_each(&spill, read_one, &reading, &bad, &err));
    assert_int_equal(reading.count, 3);
    assert_int_equal(bad, 0);

    /* The last one is damaged: the others are still told, in order. */
    assert_int_equal(pwrite(spill.fd, "x", 1, 2 * 2048 + 100), 1);
    reading = (struct reading){.next = 1};
    assert_true(spill_each(&spill, read_one, &reading, &bad, &err));
    assert_int_equal(reading.count, 2);
    assert_int_equal(bad, 1);
    assert_true(spill_empty(&spill, &err));
    spill_close(&spill);
    assert_true(spill_open(&spill, folder, &err));
    assert_int_equal(spill.used, 0);
    spill_close(&spill);
    unlinkat(folder, "audit.spill", 0);
    close(folder);
    rmdir(path);
}

/* ── calls and rates ───────────────────────────────────────────────────────────────────────────────── */

/* Ids that fall on few buckets, removed from the middle of their rows: every other one is still found. */
static void test_calls(void **state)
{
    static struct calls calls;
    enum { MANY = 600 };
    struct running *all[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        struct store_call call = {.ref = {.attempt = i + 1}};
        uint32_t low = CALLS_BUCKETS - 2 + i % 3 * CALLS_BUCKETS;
        memcpy(call.ref.id + ID_BYTES - sizeof low, &low, sizeof low);
        strcpy(call.connector, i % 2 ? "odd" : "even");
        assert_non_null(all[i] = calls_add(&calls, &call));
    }
    assert_int_equal(calls_of_connector(&calls, "odd"), MANY / 2);
    for (uint32_t i = 0; i < MANY; i += 3) calls_remove(&calls, all[i]), all[i] = NULL;
    for (uint32_t i = 0; i < MANY; i++)
        if (all[i]) assert_ptr_equal(calls_find(&calls, &all[i]->call.ref), all[i]);
    assert_int_equal(calls.count, MANY - MANY / 3);
    calls_clear(&calls);
    assert_int_equal(calls.count, 0);
}

static void test_moves(void **state)
{
    struct running run = {.state = RUN_NEW};
    assert_false(run_move(&run, RUN_READY));
    assert_true(run_move(&run, RUN_OPEN));
    assert_false(run_move(&run, RUN_READY));
    assert_true(run_move(&run, RUN_CLOSING));
    assert_false(run_move(&run, RUN_OPEN));
    assert_true(run_move(&run, RUN_READY));
    assert_false(run_move(&run, RUN_CLOSING));
}

/* Callers whose names share a place: whoever is pushed out comes back to no full bucket. */
static void test_rates_of_a_crowd(void **state)
{
    static struct rates rates;
    char name[16];
    unsigned taken = 0;
    uint64_t now = 1000 * CLOCK_S;
    for (int round = 0; round < 8; round++)
        for (int i = 0; i < 40 * RATE_SLOTS; i++) {
            snprintf(name, sizeof name, "uid:%d", i);
            taken += rate_take(&rates, name, 1, 4, now);
        }
    assert_int_equal(taken, 4 * RATE_SLOTS);
}

static void test_rates(void **state)
{
    static struct rates rates;
    uint64_t now = 1000 * CLOCK_S;
    for (int i = 0; i < 5; i++) assert_true(rate_take(&rates, "uid:1", 2, 5, now));
    assert_false(rate_take(&rates, "uid:1", 2, 5, now));
    assert_true(rate_take(&rates, "uid:2", 2, 5, now));
    assert_false(rate_take(&rates, "uid:1", 2, 5, now + CLOCK_S / 4));
    assert_true(rate_take(&rates, "uid:1", 2, 5, now + CLOCK_S));
    assert_true(rate_take(&rates, "uid:1", 0, 0, now));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_bytes),
        cmocka_unit_test(test_record_faults),
        cmocka_unit_test(test_note),
        cmocka_unit_test(test_vkey),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_access),
        cmocka_unit_test(test_access_refuses),
        cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_token_rights),
        cmocka_unit_test(test_message_rights),
        cmocka_unit_test(test_key_table),
        cmocka_unit_test(test_sent_table),
        cmocka_unit_test(test_spill),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_rates_of_a_crowd),
    };
    return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
