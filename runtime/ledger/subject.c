/* SPDX-License-Identifier: Apache-2.0 */
/* The people that calls are about. */
#include "subject.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "admit.h"
#include "base/clock.h"
#include "base/utf8.h"

/* ── names ─────────────────────────────────────────────────────────────────────────────────────────── */

enum { DIGITS_LEAST = 5, DIGITS_MOST = 15, CLASS = 64 /* lengths of details show multiples of this only */ };
static const char between[] = " -./()"; /* what stands between a number's digits */

static bool put(char normal[SUBJECT_BYTES], const char *kind, const char *text, size_t length)
{
    size_t before = strlen(kind);
    if (before + length >= SUBJECT_BYTES) return false;
    memset(normal, 0, SUBJECT_BYTES);
    memcpy(normal, kind, before);
    memcpy(normal + before, text, length);
    return true;
}

/* "+49 (170) 12-34" and "004917012 34" are one number: "+491701234". */
static bool number(const char *text, size_t length, char normal[SUBJECT_BYTES])
{
    char digits[DIGITS_MOST + 3];
    size_t used = 0;
    bool plus = length && text[0] == '+';
    for (size_t i = plus; i < length; i++) {
        if (strchr(between, text[i])) continue;
        if (text[i] < '0' || text[i] > '9' || used == sizeof digits - 1) return false;
        digits[used++] = text[i];
    }
    size_t skip = !plus && used > 2 && memcmp(digits, "00", 2) == 0 ? 2 : 0;
    plus = plus || skip;
    if (used - skip < DIGITS_LEAST || used - skip > DIGITS_MOST) return false;
    return put(normal, plus ? "tel:+" : "tel:", digits + skip, used - skip);
}

static bool plain(const char *text, size_t length)
{
    if (!utf8_valid(text, length)) return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7f || strchr("\"\\", text[i])) return false;
    return length > 0;
}

/* ASCII only: what other letters' small forms are changes with tables. */
static void lower(char *text)
{
    for (; *text; text++)
        if (*text >= 'A' && *text <= 'Z') *text = (char)(*text - 'A' + 'a');
}

static bool address(const char *text, size_t length)
{
    const char *at = memchr(text, '@', length);
    return at && at > text && at + 1 < text + length && !memchr(at + 1, '@', length - (size_t)(at + 1 - text)) &&
           !memchr(text, ' ', length) && !memchr(text, '<', length) && !memchr(text, ',', length);
}

bool subject_normal(const char *text, char normal[SUBJECT_BYTES], struct err *err)
{
    size_t length = strlen(text);
    while (length && text[length - 1] == ' ') length--;
    while (length && *text == ' ') text++, length--;
    if (!plain(text, length))
        return err_set(err, ERR_BAD_INPUT, "a subject is a text without control characters, quotes and backslashes");
    if (number(text, length, normal)) return true;
    if (memchr(text, '@', length) && !address(text, length))
        return err_set(err, ERR_BAD_INPUT, "a subject with an @ must be one plain address: name@host");
    if (!put(normal, memchr(text, '@', length) ? "mailto:" : "id:", text, length))
        return err_set(err, ERR_BAD_INPUT, "a subject is at most %d bytes long", SUBJECT_BYTES - 8);
    lower(normal);
    return true;
}

void subject_reference(const uint8_t lookup[32], const char *normal, uint8_t reference[HASH_BYTES])
{
    static const char tag[] = "caisson subject v1\n";
    crypto_auth_hmacsha256_state state;
    _Static_assert(HASH_BYTES == crypto_auth_hmacsha256_BYTES, "a reference is one hash");
    crypto_auth_hmacsha256_init(&state, lookup, 32);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)tag, sizeof tag - 1);
    crypto_auth_hmacsha256_update(&state, (const unsigned char *)normal, strlen(normal));
    crypto_auth_hmacsha256_final(&state, reference);
    sodium_memzero(&state, sizeof state);
}

static bool named(const struct subjects *subjects, const char *normal)
{
    for (unsigned i = 0; i < subjects->count; i++)
        if (strcmp(subjects->list[i].text, normal) == 0) return true;
    return false;
}

static bool add_all(struct subjects *subjects, const char *tail, size_t length, struct err *err)
{
    for (size_t at = 0; at < length;) {
        char normal[SUBJECT_BYTES];
        size_t one = strnlen(tail + at, length - at);
        if (one == length - at || one >= SUBJECT_BYTES)
            return err_set(err, ERR_MALFORMED, "the people that the call is about are not well formed");
        if (!subject_normal(tail + at, normal, err)) return false;
        at += one + 1;
        if (named(subjects, normal)) continue;
        if (subjects->count == SUBJECTS_MAX)
            return err_set(err, ERR_BAD_INPUT, "a call names at most %d people as its subjects", SUBJECTS_MAX);
        memcpy(subjects->list[subjects->count++].text, normal, sizeof normal);
    }
    return true;
}

bool subjects_read(const char *tail, size_t length, struct subjects **out, struct err *err)
{
    *out = NULL;
    if (!length) return true;
    struct subjects *subjects = calloc(1, sizeof *subjects);
    if (!subjects) return err_set(err, ERR_BUSY, "there is no memory for this call");
    if (!add_all(subjects, tail, length, err)) {
        free(subjects);
        return false;
    }
    *out = subjects;
    return true;
}

/* ── keys ──────────────────────────────────────────────────────────────────────────────────────────── */

bool subjects_find(struct ledger *ledger, const struct store_workspace *workspace, struct subjects *subjects,
                   unsigned *missing, struct err *err)
{
    *missing = 0;
    for (unsigned i = 0; i < subjects->count; i++) {
        struct subject *one = &subjects->list[i];
        subject_reference(workspace->lookup, one->text, one->reference);
        if (!store_subject_referenced(ledger->store, workspace->id, one->reference, &one->key, &one->known, err))
            return false;
        *missing += !one->known;
    }
    return true;
}

/* Which of the begin's people the question was about, in its order. */
static unsigned fill_ask(struct begin *begin, struct msg_subject_keys *ask)
{
    memcpy(ask->workspace, begin->workspace.id, ID_BYTES);
    ask->workspace_key = begin->keys.workspace_key;
    for (unsigned i = 0; i < begin->subjects->count; i++) {
        struct subject *one = &begin->subjects->list[i];
        if (one->known) continue;
        id_new(one->key.id);
        memcpy(ask->ids[ask->count++], one->key.id, ID_BYTES);
    }
    return ask->count;
}

static void fill_keys(struct begin *begin, const struct msg_subject_keys_answer *made)
{
    unsigned next = 0;
    for (unsigned i = 0; i < begin->subjects->count; i++) {
        struct subject *one = &begin->subjects->list[i];
        if (one->known || next == made->count) continue;
        memcpy(one->key.workspace, begin->workspace.id, ID_BYTES);
        memcpy(one->key.reference, one->reference, HASH_BYTES);
        memcpy(one->key.public, made->publics[next], sizeof one->key.public);
        one->key.secret = made->secrets[next++];
        one->key.key_version = begin->keys.version;
        one->key.created = clock_wall();
    }
}

/* Somebody who got a key meanwhile keeps that one. */
static bool keep(struct ledger *ledger, struct begin *begin, const void *answer, size_t length, struct err *err)
{
    const struct msg_subject_keys_answer *made = answer;
    struct store_subject ignored;
    struct store_keys now;
    bool found;
    if (!made || length != sizeof *made) return err_set(err, ERR_UNAVAILABLE, "the vault is restarting: try again");
    if (!status_check(&made->status, err) || !ledger_open_for_business(ledger, err)) return false;
    if (!store_keys_get(ledger->store, begin->workspace.id, &now, &found, err)) return false;
    if (!found || now.version != begin->keys.version)
        return err_set(err, ERR_UNAVAILABLE, "the workspace's key was replaced just now: try again");
    fill_keys(begin, made);
    for (unsigned i = 0; i < begin->subjects->count; i++) {
        const struct subject *one = &begin->subjects->list[i];
        if (one->known) continue;
        if (!store_subject_referenced(ledger->store, begin->workspace.id, one->reference, &ignored, &found, err) ||
            (!found && !store_subject_add(ledger->store, &one->key, err)))
            return false;
    }
    return true;
}

static void keys_made(struct ledger *ledger, struct waiting *wait, const void *answer, size_t length)
{
    struct begin *begin = wait->context;
    struct err err = {0};
    if (keep(ledger, begin, answer, length, &err))
        begin_again(ledger, begin);
    else
        begin_refuse(ledger, begin, &err);
}

void subjects_ask(struct ledger *ledger, struct begin *begin)
{
    struct msg_subject_keys ask = {0};
    struct waiting how = {.done = keys_made, .until = begin->until, .context = begin};
    struct err err = {0};
    fill_ask(begin, &ask);
    if (wait_crowded(ledger))
        err_set(&err, ERR_BUSY, "too many calls about people who are new here are beginning at once");
    if (err.kind != ERR_NONE || !wait_ask(ledger, ROLE_VAULT, MSG_SUBJECT_KEYS, &ask, sizeof ask, &how, &err))
        begin_refuse(ledger, begin, &err);
}

bool subject_open_keys(struct store *store, const uint8_t (*subjects)[ID_BYTES], unsigned count,
                       struct msg_subject_open *ask, bool *whole, struct err *err)
{
    struct store_subject one;
    struct store_keys keys;
    *whole = true;
    for (unsigned i = 0; i < count && *whole; i++) {
        if (!store_subject_get(store, subjects[i], &one, whole, err)) return false;
        *whole = *whole && !one.destroyed;
        if (*whole && !store_keys_version(store, one.workspace, one.key_version, &keys, whole, err)) return false;
        if (!*whole) break;
        ask->workspace_keys[i] = keys.workspace_key;
        memcpy(ask->ids[i], subjects[i], ID_BYTES);
        memcpy(ask->publics[i], one.public, sizeof one.public);
        ask->secrets[i] = one.secret;
    }
    return true;
}

/* ── sealing ───────────────────────────────────────────────────────────────────────────────────────── */

static const uint8_t no_nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES]; /* each key is used once */

static size_t sealed_key_size(unsigned count)
{
    return 32 + (size_t)count * crypto_box_SEALBYTES;
}

/* The first one's box is the innermost. */
static bool seal_key(const uint8_t key[32], const uint8_t (*publics)[32], unsigned count, uint8_t *sealed)
{
    uint8_t inner[SUBJECT_SEALED_MAX];
    memcpy(sealed, key, 32);
    for (unsigned i = 0; i < count; i++) {
        memcpy(inner, sealed, sealed_key_size(i));
        if (crypto_box_seal(sealed, inner, sealed_key_size(i), publics[i]) != 0) return false;
    }
    sodium_memzero(inner, sizeof inner);
    return true;
}

bool subjects_seal(const uint8_t (*publics)[32], unsigned count, const struct buf *plain_text, struct buf *value,
                   struct err *err)
{
    uint8_t key[32], sealed[SUBJECT_SEALED_MAX];
    size_t padded = (plain_text->used + CLASS - 1) / CLASS * CLASS;
    size_t tag = crypto_aead_xchacha20poly1305_ietf_ABYTES, size = sealed_key_size(count) + padded + tag;
    BUF_AUTO text = {.max = padded + 1};
    if (!count || count > SUBJECTS_MAX || !buf_reserve(&text, padded) || !buf_reserve(value, size))
        return err_set(err, ERR_BUSY, "there is no memory for a personal detail");
    memcpy(text.bytes, plain_text->bytes, plain_text->used);
    memset(text.bytes + plain_text->used, ' ', padded - plain_text->used);
    text.used = padded;
    randombytes_buf(key, sizeof key);
    bool good = seal_key(key, publics, count, sealed) && buf_add(value, sealed, sealed_key_size(count));
    if (good) {
        crypto_aead_xchacha20poly1305_ietf_encrypt((uint8_t *)value->bytes + value->used, NULL, (uint8_t *)text.bytes,
                                                   padded, NULL, 0, NULL, no_nonce, key);
        value->used += padded + tag;
    }
    sodium_memzero(key, sizeof key);
    return good || err_set(err, ERR_INTERNAL, "a personal detail cannot be sealed");
}

bool subjects_unseal(const uint8_t key[32], unsigned count, const void *value, size_t length, struct buf *plain_text,
                     struct err *err)
{
    size_t head = sealed_key_size(count), tag = crypto_aead_xchacha20poly1305_ietf_ABYTES;
    if (length < head + tag || !buf_reserve(plain_text, length - head - tag + 1))
        return err_set(err, ERR_STATE, "a personal detail is cut");
    if (crypto_aead_xchacha20poly1305_ietf_decrypt((uint8_t *)plain_text->bytes, NULL, NULL,
                                                   (const uint8_t *)value + head, length - head, NULL, 0, no_nonce,
                                                   key) != 0)
        return err_set(err, ERR_STATE, "a personal detail is damaged");
    plain_text->used = length - head - tag;
    plain_text->bytes[plain_text->used] = '\0';
    return true;
}

/* The people's own texts hold nothing that JSON escapes. */
static bool list_people(const struct subjects *subjects, struct record *about)
{
    BUF_AUTO list = {.max = SUBJECTS_MAX * (SUBJECT_BYTES + 4)};
    bool ok = buf_text(&list, "[");
    for (unsigned i = 0; i < subjects->count; i++)
        ok = ok && buf_print(&list, "%s\"%s\"", i ? "," : "", subjects->list[i].text);
    ok = ok && buf_text(&list, "]");
    record_json(about, "subjects", ok ? list.bytes : "", ok ? list.used : 0);
    return ok;
}

/* What only the people's keys open: who they are, and the salt that ties the record to their input. */
bool begin_about(const struct begin *begin, struct journal_sealed *sealed, struct buf *value, struct err *err)
{
    RECORD_AUTO about;
    BUF_AUTO text = {.max = RECORD_MAX};
    uint8_t publics[SUBJECTS_MAX][32];
    record_init(&about);
    record_hex(&about, "input_salt", begin->ask.salt, sizeof begin->ask.salt);
    if (begin->ask.key[0]) record_text(&about, "key", begin->ask.key);
    if (begin->ask.traceparent[0]) record_text(&about, "trace", begin->ask.traceparent);
    if (!list_people(begin->subjects, &about) || !record_bytes(&about, &text))
        return err_set(err, ERR_BUSY, "there is no memory for this call");
    sealed->count = begin->subjects->count;
    for (unsigned i = 0; i < sealed->count; i++) {
        memcpy(publics[i], begin->subjects->list[i].key.public, sizeof publics[i]);
        memcpy(sealed->subjects[i], begin->subjects->list[i].key.id, ID_BYTES);
    }
    sealed->value = value;
    return subjects_seal((const uint8_t(*)[32])publics, sealed->count, &text, value, err);
}
