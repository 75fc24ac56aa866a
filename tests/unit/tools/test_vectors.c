/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors that nobody here wrote, through the code that meets such bytes: Fernet's own, Wycheproof's, CCTV's Ed25519
 * edge cases. Every file says how many of its vectors ran; what cannot run is counted by its reason. */
#include <dirent.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../base/unit.h"
#include "base/auto_json.h"
#include "base/keyderive.h"
#include "tools/audit_note.h"
#include "tools/ciphers.h"
#include "tools/envelope.h"
#include "tools/fernet.h"
#include "tools/keys.h"

enum { ROOM = 16 * 1024, TEXT = 2 * ROOM + 8 };
enum verdict { GOOD, WRONG, LEFT_OUT };

/* One vector: its group (NULL where a file has none) and itself. LEFT_OUT sets *why. */
typedef enum verdict run_vector(const json_t *group, const json_t *test, const char **why);

/* ── reading ───────────────────────────────────────────────────────────────────────────────────────── */

static const char *read_files[32];
static unsigned read_count;

static void path_of(const char *name, char path[2048])
{
    const char *data = getenv("CAISSON_TEST_DATA"), *source = getenv("CAISSON_SOURCE");
    if (data)
        snprintf(path, 2048, "%s/vectors/%s", data, name);
    else
        snprintf(path, 2048, "%s/../shared/vectors/%s", source ? source : ".", name);
}

static json_t *file_of(const char *name)
{
    char path[2048];
    path_of(name, path);
    assert_true(read_count < COUNT(read_files));
    read_files[read_count++] = name;
    json_t *doc = json_load_file(path, 0, NULL);
    if (!doc) {
        print_message("skipped: no vectors/%s below CAISSON_TEST_DATA\n", name);
        skip();
    }
    return doc;
}

static const char *text_of(const json_t *test, const char *key)
{
    const char *text = json_string_value(json_object_get(test, key));
    if (!text) fail_msg("a vector lacks %s", key);
    return text;
}

static size_t bytes_of(const json_t *test, const char *key, uint8_t *bytes, size_t room)
{
    size_t length = 0;
    const char *text = text_of(test, key);
    assert_int_equal(sodium_hex2bin(bytes, room, text, strlen(text), NULL, &length, NULL), 0);
    return length;
}

static bool says(const json_t *test, const char *result)
{
    return strcmp(text_of(test, "result"), result) == 0;
}

static bool flagged(const json_t *test, const char *flag)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(test, "flags"), i,
                       one) if (strcmp(json_string_value(one), flag) == 0) return true;
    return false;
}

/* ── running a file ────────────────────────────────────────────────────────────────────────────────── */

struct tally {
    const char *why[8];
    unsigned counts[8], reasons, ran, wrong;
};

static void leave_out(struct tally *tally, const char *why)
{
    unsigned i = 0;
    while (i < tally->reasons && strcmp(tally->why[i], why) != 0) i++;
    assert_true(i < COUNT(tally->why));
    tally->why[i] = why;
    tally->counts[i]++;
    if (i == tally->reasons) tally->reasons++;
}

static void run_one(struct tally *tally, const char *name, run_vector *run, const json_t *group, const json_t *test)
{
    const char *why = NULL;
    enum verdict verdict = run(group, test, &why);
    const json_t *number = json_object_get(test, json_object_get(test, "tcId") ? "tcId" : "number");
    const char *said = json_string_value(json_object_get(test, json_object_get(test, "desc") ? "desc" : "comment"));
    tally->ran += verdict != LEFT_OUT;
    tally->wrong += verdict == WRONG;
    if (verdict == LEFT_OUT) leave_out(tally, why);
    if (verdict == WRONG) print_error("%s: %lld %s\n", name, json_integer_value(number), said ? said : "");
}

/* least: that many must have run, or the file is not what it was. */
static void each(const char *name, run_vector *run, unsigned least)
{
    struct tally tally = {0};
    size_t i, j;
    json_t *group, *test;
    JSON_AUTO *doc = file_of(name);
    json_array_foreach(json_object_get(doc, "testGroups"), i, group)
        json_array_foreach(json_object_get(group, "tests"), j, test) run_one(&tally, name, run, group, test);
    if (json_is_array(doc)) json_array_foreach(doc, i, test) run_one(&tally, name, run, NULL, test);
    print_message("%s: %u vectors ran\n", name, tally.ran);
    for (i = 0; i < tally.reasons; i++) print_message("%s: %u left out: %s\n", name, tally.counts[i], tally.why[i]);
    assert_int_equal(tally.wrong, 0);
    assert_true(tally.ran >= least);
}

/* ── Fernet ────────────────────────────────────────────────────────────────────────────────────────── */

static uint8_t plain[FERNET_MOST];
static size_t plain_length;

static bool open_token(const char *token, const char *secret, const struct fernet_age *age)
{
    struct fernet_keys keys;
    struct err err = {0};
    assert_true(fernet_keys_read(secret, strlen(secret), &keys, &err));
    bool good = fernet_open(token, strlen(token), &keys, age, plain, &plain_length, &err);
    assert_true(good || err.kind == ERR_MALFORMED || err.kind == ERR_BAD_INPUT);
    return good;
}

static struct fernet_age age_of(const json_t *test)
{
    struct tm when = {0};
    json_int_t ttl = json_integer_value(json_object_get(test, "ttl_sec"));
    assert_non_null(strptime(text_of(test, "now"), "%Y-%m-%dT%H:%M:%S%z", &when));
    long ahead = when.tm_gmtoff;
    return (struct fernet_age){.now = (uint64_t)(timegm(&when) - ahead), .ttl_s = (uint64_t)ttl};
}

static enum verdict run_token(const json_t *group, const json_t *test, const char **why)
{
    struct fernet_age age = age_of(test);
    const char *source = json_string_value(json_object_get(test, "src"));
    bool good = open_token(text_of(test, "token"), text_of(test, "secret"), &age);
    if (!source) return good ? WRONG : GOOD;
    return good && plain_length == strlen(source) && memcmp(plain, source, plain_length) == 0 ? GOOD : WRONG;
}

static void fernet(void **state)
{
    each("fernet/verify.json", run_token, 1);
    each("fernet/generate.json", run_token, 1); /* what it says must be made opens to what it was made of */
    each("fernet/invalid.json", run_token, 8);
}

/* A token around a ciphertext, signed as it should be: what then decides is the block cipher's padding alone. */
static void token_around(const uint8_t key[FERNET_KEY], const uint8_t iv[AES_BLOCK], const uint8_t *sealed,
                         size_t length, char *token, size_t size)
{
    static uint8_t bytes[ROOM];
    crypto_auth_hmacsha256_state state;
    memset(bytes, 0, 9);
    bytes[0] = 0x80;
    memcpy(bytes + 9, iv, AES_BLOCK);
    memcpy(bytes + 25, sealed, length);
    crypto_auth_hmacsha256_init(&state, key, 16);
    crypto_auth_hmacsha256_update(&state, bytes, 25 + length);
    crypto_auth_hmacsha256_final(&state, bytes + 25 + length);
    sodium_bin2base64(token, size, bytes, 25 + length + 32, sodium_base64_VARIANT_URLSAFE);
}

static enum verdict run_cbc(const json_t *group, const json_t *test, const char **why)
{
    static uint8_t iv[64], message[ROOM], sealed[ROOM];
    static char token[TEXT], secret[64];
    uint8_t key[FERNET_KEY] = {1, 2, 3}, aes[64];
    *why = "Fernet has keys of 128 bits only";
    if (bytes_of(test, "key", aes, sizeof aes) != AES128_KEY) return LEFT_OUT;
    memcpy(key + 16, aes, AES128_KEY);
    assert_int_equal(bytes_of(test, "iv", iv, sizeof iv), AES_BLOCK);
    size_t length = bytes_of(test, "msg", message, sizeof message), count = bytes_of(test, "ct", sealed, ROOM);
    token_around(key, iv, sealed, count, token, sizeof token);
    sodium_bin2base64(secret, sizeof secret, key, sizeof key, sodium_base64_VARIANT_URLSAFE);
    bool good = open_token(token, secret, &(struct fernet_age){0});
    if (good != says(test, "valid")) return WRONG;
    return !good || (plain_length == length && memcmp(plain, message, length) == 0) ? GOOD : WRONG;
}

static void aes_cbc(void **state)
{
    each("wycheproof/aes_cbc_pkcs5_test.json", run_cbc, 72);
}

/* ── envelopes ─────────────────────────────────────────────────────────────────────────────────────── */

static void put_base64(json_t *object, const char *key, const uint8_t *bytes, size_t length)
{
    static char text[TEXT];
    sodium_bin2base64(text, sizeof text, bytes, length, sodium_base64_VARIANT_ORIGINAL);
    assert_int_equal(json_object_set_new(object, key, json_string(text)), 0);
}

struct gcm {
    uint8_t key[64], iv[512], aad[ROOM], message[ROOM], sealed[ROOM];
    size_t key_length, iv_length, aad_length, length, sealed_length; /* sealed: with the tag at its end */
};

static bool open_gcm(const struct gcm *gcm, bool apart)
{
    static struct envelope envelope;
    struct err err = {0};
    size_t tag = apart ? GCM_TAG : 0;
    JSON_AUTO *value = json_object();
    json_t *cipher = json_object();
    json_object_set_new(value, "cipher", cipher);
    put_base64(cipher, "iv", gcm->iv, gcm->iv_length);
    put_base64(value, "aad", gcm->aad, gcm->aad_length);
    put_base64(value, "ct", gcm->sealed, gcm->sealed_length - tag);
    if (apart) put_base64(value, "tag", gcm->sealed + gcm->sealed_length - tag, tag);
    return envelope_read(value, &envelope, &err) && envelope_open(&envelope, gcm->key, gcm->key_length, plain, &err) &&
           envelope.length == gcm->length && memcmp(plain, gcm->message, gcm->length) == 0;
}

static enum verdict run_gcm(const json_t *group, const json_t *test, const char **why)
{
    static struct gcm gcm;
    gcm.key_length = bytes_of(test, "key", gcm.key, sizeof gcm.key);
    gcm.iv_length = bytes_of(test, "iv", gcm.iv, sizeof gcm.iv);
    gcm.aad_length = bytes_of(test, "aad", gcm.aad, sizeof gcm.aad);
    gcm.length = bytes_of(test, "msg", gcm.message, sizeof gcm.message);
    gcm.sealed_length = bytes_of(test, "ct", gcm.sealed, sizeof gcm.sealed);
    gcm.sealed_length += bytes_of(test, "tag", gcm.sealed + gcm.sealed_length, ROOM - gcm.sealed_length);
    /* Keys and IVs of other lengths are well formed somewhere, but refused here. */
    bool good = says(test, "valid") && gcm.key_length == AES256_KEY && gcm.iv_length == GCM_IV;
    return open_gcm(&gcm, true) == good && open_gcm(&gcm, false) == good ? GOOD : WRONG;
}

static void aes_gcm(void **state)
{
    each("wycheproof/aes_gcm_test.json", run_gcm, 316);
}

static enum verdict run_pbkdf2(const json_t *group, const json_t *test, const char **why)
{
    static uint8_t password[ROOM], salt[ROOM], key[512], made[512];
    size_t length = bytes_of(test, "password", password, ROOM), salt_length = bytes_of(test, "salt", salt, ROOM);
    size_t key_length = bytes_of(test, "dk", key, sizeof key);
    uint32_t iterations = (uint32_t)json_integer_value(json_object_get(test, "iterationCount"));
    bool good = cipher_pbkdf2("SHA256", password, length, salt, salt_length, iterations, made, key_length) &&
                memcmp(made, key, key_length) == 0;
    return good == says(test, "valid") ? GOOD : WRONG;
}

static void pbkdf2(void **state)
{
    each("wycheproof/pbkdf2_hmacsha256_test.json", run_pbkdf2, 60);
}

/* ── libsodium's, as the vault and Fernet call it ──────────────────────────────────────────────────── */

static enum verdict run_hmac(const json_t *group, const json_t *test, const char **why)
{
    static uint8_t key[512], message[ROOM], tag[64], made[crypto_auth_hmacsha256_BYTES];
    crypto_auth_hmacsha256_state state;
    size_t key_length = bytes_of(test, "key", key, sizeof key), length = bytes_of(test, "msg", message, ROOM);
    size_t tag_length = bytes_of(test, "tag", tag, sizeof tag);
    crypto_auth_hmacsha256_init(&state, key, key_length);
    crypto_auth_hmacsha256_update(&state, message, length);
    crypto_auth_hmacsha256_final(&state, made);
    if (tag_length > sizeof made) return says(test, "valid") ? WRONG : GOOD;
    return (sodium_memcmp(made, tag, tag_length) == 0) == says(test, "valid") ? GOOD : WRONG;
}

static void hmac(void **state)
{
    each("wycheproof/hmac_sha256_test.json", run_hmac, 174);
}

/* The vault's fields and wrapped keys, and the answers that are kept. */
static enum verdict run_xchacha(const json_t *group, const json_t *test, const char **why)
{
    static uint8_t key[64], nonce[64], aad[ROOM], message[ROOM], sealed[ROOM], out[ROOM];
    size_t nonce_length = bytes_of(test, "iv", nonce, sizeof nonce), aad_length = bytes_of(test, "aad", aad, ROOM);
    size_t length = bytes_of(test, "msg", message, ROOM), count = bytes_of(test, "ct", sealed, ROOM);
    assert_int_equal(bytes_of(test, "key", key, sizeof key), 32);
    *why = "a nonce of another length than 24 cannot be given";
    if (nonce_length != 24) return LEFT_OUT;
    count += bytes_of(test, "tag", sealed + count, ROOM - count);
    bool good = crypto_aead_xchacha20poly1305_ietf_decrypt(out, NULL, NULL, sealed, count, aad, aad_length, nonce,
                                                           key) == 0;
    if (good != says(test, "valid")) return WRONG;
    return !good || memcmp(out, message, length) == 0 ? GOOD : WRONG;
}

static void xchacha20_poly1305(void **state)
{
    each("wycheproof/xchacha20_poly1305_test.json", run_xchacha, 250);
}

/* What a sealed box rests on. A public key that makes every secret zero is refused, here and by keys_seal(). */
static enum verdict run_x25519(const json_t *group, const json_t *test, const char **why)
{
    uint8_t public[64], private[64], shared[64], made[32], box[BOX_MAX];
    size_t length;
    struct err err = {0};
    static struct submission submission;
    assert_int_equal(bytes_of(test, "public", public, sizeof public), 32);
    bytes_of(test, "private", private, sizeof private);
    bytes_of(test, "shared", shared, sizeof shared);
    bool zero = sodium_is_zero(shared, 32), good = crypto_scalarmult(made, private, public) == 0;
    assert_true(zero == flagged(test, "ZeroSharedSecret"));
    keys_submission(&submission);
    snprintf(submission.workspace, NAME_BYTES, "w");
    snprintf(submission.credential, NAME_BYTES, "c");
    snprintf(submission.connector, NAME_BYTES, "k");
    if (keys_seal(&submission, public, box, &length, &err) == zero) return WRONG;
    return zero ? !good ? GOOD : WRONG : good && memcmp(made, shared, 32) == 0 ? GOOD : WRONG;
}

static void x25519(void **state)
{
    each("wycheproof/x25519_test.json", run_x25519, 518);
}

/* ── Ed25519, as `caisson audit verify` reads a signature line ─────────────────────────────────────── */

/* The message with a line under it as a note has one: key id and signature in base64. */
static bool note_good(const uint8_t key[32], const uint8_t *message, size_t length, const uint8_t *signature,
                      size_t signature_length)
{
    static const char name[] = "log.example/1";
    static char note[TEXT], base64[TEXT];
    uint8_t line[4 + 512];
    struct audit_note read = {.text = note, .text_length = length};
    struct err err = {0};
    vkey_hash(name, key, line);
    memcpy(line + 4, signature, signature_length);
    sodium_bin2base64(base64, sizeof base64, line, 4 + signature_length, sodium_base64_VARIANT_ORIGINAL);
    memcpy(note, message, length);
    int more = snprintf(note + length, sizeof note - length, "\n\xe2\x80\x94 %s %s\n", name, base64);
    return note_signed(note, length + (size_t)more, &read, name, key, &err);
}

static enum verdict run_ed25519(const json_t *group, const json_t *test, const char **why)
{
    static uint8_t message[ROOM], signature[512];
    uint8_t key[64];
    assert_int_equal(bytes_of(json_object_get(group, "publicKey"), "pk", key, sizeof key), 32);
    size_t length = bytes_of(test, "msg", message, sizeof message), count = bytes_of(test, "sig", signature, 508);
    return note_good(key, message, length, signature, count) == says(test, "valid") ? GOOD : WRONG;
}

/* docs/audit-format.md: the equation without cofactor; S below the order; A and R canonical and not of small order.
 * What is left is good although its points have a part of small order that cancels out. */
static enum verdict run_edge(const json_t *group, const json_t *test, const char **why)
{
    uint8_t key[32], signature[64];
    const char *message = text_of(test, "msg");
    bool refused = flagged(test, "low_order_A") || flagged(test, "low_order_R") || flagged(test, "non_canonical_A") ||
                   flagged(test, "non_canonical_R") || flagged(test, "low_order_residue") ||
                   flagged(test, "reencoded_k");
    bytes_of(test, "key", key, sizeof key);
    assert_int_equal(bytes_of(test, "sig", signature, sizeof signature), sizeof signature);
    bool good = note_good(key, (const uint8_t *)message, strlen(message), signature, sizeof signature);
    return good == !refused ? GOOD : WRONG;
}

static void ed25519(void **state)
{
    each("wycheproof/ed25519_test.json", run_ed25519, 151);
    each("cctv-ed25519/ed25519vectors.json", run_edge, 914);
}

/* What these folders hold besides, and why it does not run here. */
static const char *const left_out[][2] = {
    {"wycheproof/aes_kwp_test.json", "a token wraps by it, and it is the token's"},
    {"wycheproof/chacha20_poly1305_test.json", "Caisson seals with XChaCha20-Poly1305"},
    {"wycheproof/hkdf_sha256_test.json", "keys are derived by libsodium's crypto_kdf"},
    {"hpke-rfc9180/rfc9180-x25519-base.json", "submissions are sealed boxes"},
};

static bool accounted(const char *name)
{
    for (unsigned i = 0; i < read_count; i++)
        if (strcmp(read_files[i], name) == 0) return true;
    for (size_t i = 0; i < COUNT(left_out); i++)
        if (strcmp(left_out[i][0], name) == 0) return true;
    return false;
}

/* The last: every file of these folders was read by one of the others, or is named above. */
static void nothing_is_left_out_unsaid(void **state)
{
    static const char *const folders[] = {"wycheproof", "fernet", "cctv-ed25519", "hpke-rfc9180"};
    for (size_t i = 0; i < COUNT(folders); i++) {
        char path[2048], name[512];
        path_of(folders[i], path);
        DIR *folder = opendir(path);
        if (!folder) skip();
        for (struct dirent *one; (one = readdir(folder));) {
            snprintf(name, sizeof name, "%s/%s", folders[i], one->d_name);
            if (strstr(name, ".json") && !accounted(name)) fail_msg("%s: neither run nor named", name);
        }
        closedir(folder);
    }
    for (size_t i = 0; i < COUNT(left_out); i++) print_message("%s: left out: %s\n", left_out[i][0], left_out[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fernet), cmocka_unit_test(aes_cbc), cmocka_unit_test(aes_gcm),
        cmocka_unit_test(pbkdf2), cmocka_unit_test(hmac),    cmocka_unit_test(xchacha20_poly1305),
        cmocka_unit_test(x25519), cmocka_unit_test(ed25519), cmocka_unit_test(nothing_is_left_out_unsaid),
    };
    struct err err = {0};
    if (!key_library(&err)) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
