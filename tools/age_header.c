/* SPDX-License-Identifier: Apache-2.0 */
/* Header of an age file: a stanza for each recipient, then a MAC over all. Parsed strictly: one way to write each. */
#include "age_header.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HEADER = 64 * 1024, COLUMNS = 64, WRAPPED = AGE_FILE_KEY + AGE_TAG, MAC = 32, ARGUMENTS = 16 };
static const char version_line[] = "age-encryption.org/v1\n";
static const char mac_mark[] = "---";

/* ── HKDF-SHA-256 (RFC 5869), one block ────────────────────────────────────────────────────────────────── */

static void hkdf(const void *secret, size_t secret_length, const void *salt, size_t salt_length, const char *info,
                 uint8_t key[32])
{
    crypto_auth_hmacsha256_state state;
    uint8_t random[32];
    const uint8_t one = 1;
    crypto_auth_hmacsha256_init(&state, salt, salt_length);
    crypto_auth_hmacsha256_update(&state, secret, secret_length);
    crypto_auth_hmacsha256_final(&state, random);
    crypto_auth_hmacsha256_init(&state, random, sizeof random);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)info, strlen(info));
    crypto_auth_hmacsha256_update(&state, &one, 1);
    crypto_auth_hmacsha256_final(&state, key);
    sodium_memzero(&state, sizeof state);
    sodium_memzero(random, sizeof random);
}

void age_payload_key(const uint8_t file_key[AGE_FILE_KEY], const uint8_t nonce[AGE_PAYLOAD_NONCE], uint8_t key[AGE_KEY])
{
    hkdf(file_key, AGE_FILE_KEY, nonce, AGE_PAYLOAD_NONCE, "payload", key);
}

static void header_mac(const uint8_t file_key[AGE_FILE_KEY], const char *text, size_t length, uint8_t mac[MAC])
{
    uint8_t key[32];
    hkdf(file_key, AGE_FILE_KEY, "", 0, "header", key);
    crypto_auth_hmacsha256(mac, (const uint8_t *)text, length, key);
    sodium_memzero(key, sizeof key);
}

/* false: the other side's key is one that makes every shared secret the same. */
static bool wrap_key(const uint8_t secret[AGE_KEY], const uint8_t other[AGE_KEY], const uint8_t share[AGE_KEY],
                     const uint8_t recipient[AGE_KEY], uint8_t key[32])
{
    uint8_t shared[AGE_KEY], salt[2 * AGE_KEY];
    if (crypto_scalarmult(shared, secret, other) != 0) return false;
    memcpy(salt, share, AGE_KEY);
    memcpy(salt + AGE_KEY, recipient, AGE_KEY);
    hkdf(shared, sizeof shared, salt, sizeof salt, "age-encryption.org/v1/X25519", key);
    sodium_memzero(shared, sizeof shared);
    return true;
}

/* ── writing ───────────────────────────────────────────────────────────────────────────────────────────── */

static void base64(const void *bytes, size_t length, char *text, size_t size)
{
    sodium_bin2base64(text, size, bytes, length, sodium_base64_VARIANT_ORIGINAL_NO_PADDING);
}

static bool stanza_for(const uint8_t recipient[AGE_KEY], const uint8_t file_key[AGE_FILE_KEY], char text[256],
                       struct err *err)
{
    uint8_t secret[AGE_KEY], share[AGE_KEY], key[32], body[WRAPPED];
    const uint8_t nonce[12] = {0}; /* every key is used once */
    char share_text[64], body_text[64];
    randombytes_buf(secret, sizeof secret);
    crypto_scalarmult_base(share, secret);
    bool good = wrap_key(secret, recipient, share, recipient, key);
    sodium_memzero(secret, sizeof secret);
    if (!good) return err_set(err, ERR_BAD_INPUT, "a recipient's key is not a usable one");
    crypto_aead_chacha20poly1305_ietf_encrypt(body, NULL, file_key, AGE_FILE_KEY, NULL, 0, NULL, nonce, key);
    sodium_memzero(key, sizeof key);
    base64(share, sizeof share, share_text, sizeof share_text);
    base64(body, sizeof body, body_text, sizeof body_text);
    snprintf(text, 256, "-> X25519 %s\n%s\n", share_text, body_text);
    return true;
}

bool age_put_header(int fd, const uint8_t file_key[AGE_FILE_KEY], const struct age_keys *recipients, struct err *err)
{
    char text[sizeof version_line + AGE_KEYS * 256 + 128], mac_text[64];
    uint8_t mac[MAC];
    size_t used = sizeof version_line - 1;
    memcpy(text, version_line, used);
    for (unsigned i = 0; i < recipients->count; i++) {
        if (!stanza_for(recipients->keys[i], file_key, text + used, err)) return false;
        used += strlen(text + used);
    }
    memcpy(text + used, mac_mark, sizeof mac_mark);
    used += sizeof mac_mark - 1;
    header_mac(file_key, text, used, mac);
    base64(mac, sizeof mac, mac_text, sizeof mac_text);
    used += (size_t)snprintf(text + used, sizeof text - used, " %s\n", mac_text);
    return age_put(fd, text, used, err);
}

/* ── reading ───────────────────────────────────────────────────────────────────────────────────────────── */

struct header {
    size_t used, at; /* read so far; parsed so far */
    char text[HEADER + 1];
    unsigned stanzas, passphrases;
    bool found;
};

static bool malformed(struct err *err)
{
    return err_set(err, ERR_MALFORMED, "this is not an age file, or its header is damaged");
}

/* One line, its break included; byte by byte, since what follows the header is not ours yet. */
static bool next_line(struct header *header, int fd, char **line, size_t *length, struct err *err)
{
    size_t from = header->used;
    do {
        if (header->used == HEADER) return malformed(err);
        ssize_t got = read(fd, header->text + header->used, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_sys(err, ERR_IO, "the encrypted file cannot be read");
        if (got == 0) return malformed(err);
        header->used++;
    } while (header->used == from || header->text[header->used - 1] != '\n');
    *line = header->text + from;
    *length = header->used - from - 1;
    return true;
}

/* libsodium takes some bytes above 127 for letters: one text for one value, or the MAC's own line could be changed. */
static bool from_base64(const char *text, size_t length, uint8_t *bytes, size_t most, size_t *count)
{
    const char *end = NULL;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] > 126) return false;
    return sodium_base642bin(bytes, most, text, length, NULL, count, &end, sodium_base64_VARIANT_ORIGINAL_NO_PADDING) ==
               0 &&
           end == text + length;
}

struct stanza {
    unsigned count;
    const char *words[ARGUMENTS];
    size_t lengths[ARGUMENTS];
    size_t body_length;
    uint8_t body[HEADER];
};

/* "-> WORD…": words of printable characters, one blank between two. */
static bool take_words(const char *line, size_t length, struct stanza *stanza)
{
    size_t at = 3, from = 3;
    stanza->count = 0;
    if (length <= 3 || memcmp(line, "-> ", 3) != 0) return false;
    for (; at <= length; at++) {
        if (at < length && line[at] != ' ') {
            if (line[at] < 33 || line[at] > 126) return false;
            continue;
        }
        if (at == from) return false;
        if (stanza->count < ARGUMENTS) {
            stanza->words[stanza->count] = line + from;
            stanza->lengths[stanza->count] = at - from;
        }
        stanza->count++;
        from = at + 1;
    }
    return true;
}

/* Lines of 64 characters; a shorter one, possibly an empty one, ends it. */
static bool take_body(struct header *header, int fd, struct stanza *stanza, struct err *err)
{
    char *line;
    size_t length = COLUMNS, count;
    stanza->body_length = 0;
    while (length == COLUMNS) {
        if (!next_line(header, fd, &line, &length, err)) return false;
        count = 0;
        if (length > COLUMNS || (length && !from_base64(line, length, stanza->body + stanza->body_length,
                                                        sizeof stanza->body - stanza->body_length, &count)))
            return malformed(err);
        stanza->body_length += count;
    }
    return true;
}

static bool is_kind(const struct stanza *stanza, const char *kind)
{
    return stanza->lengths[0] == strlen(kind) && memcmp(stanza->words[0], kind, stanza->lengths[0]) == 0;
}

static bool try_stanza(const struct stanza *stanza, const struct age_keys *identities, struct header *header,
                       uint8_t file_key[AGE_FILE_KEY], struct err *err)
{
    uint8_t share[AGE_KEY], recipient[AGE_KEY], key[32];
    const uint8_t nonce[12] = {0};
    size_t count = 0;
    if (stanza->count != 2 || !from_base64(stanza->words[1], stanza->lengths[1], share, sizeof share, &count) ||
        count != AGE_KEY || stanza->body_length != WRAPPED)
        return malformed(err);
    for (unsigned i = 0; i < identities->count && !header->found; i++) {
        crypto_scalarmult_base(recipient, identities->keys[i]);
        if (!wrap_key(identities->keys[i], share, share, recipient, key)) return malformed(err);
        header->found = crypto_aead_chacha20poly1305_ietf_decrypt(file_key, NULL, NULL, stanza->body, WRAPPED, NULL, 0,
                                                                  nonce, key) == 0;
        sodium_memzero(key, sizeof key);
    }
    return true;
}

static bool take_stanza(struct header *header, int fd, const char *line, size_t length,
                        const struct age_keys *identities, uint8_t file_key[AGE_FILE_KEY], struct err *err)
{
    static struct stanza stanza;
    if (!take_words(line, length, &stanza)) return malformed(err);
    header->stanzas++;
    if (is_kind(&stanza, "scrypt")) header->passphrases++;
    if (!take_body(header, fd, &stanza, err)) return false;
    return !is_kind(&stanza, "X25519") || try_stanza(&stanza, identities, header, file_key, err);
}

/* "--- MAC": over all that stands before the blank. */
static bool check_mac(const struct header *header, const char *line, size_t length,
                      const uint8_t file_key[AGE_FILE_KEY], struct err *err)
{
    uint8_t said[MAC], mac[MAC];
    size_t count = 0, mark = sizeof mac_mark - 1;
    if (length <= mark + 1 || line[mark] != ' ' ||
        !from_base64(line + mark + 1, length - mark - 1, said, sizeof said, &count) || count != MAC)
        return malformed(err);
    if (header->stanzas == 0 || (header->passphrases && header->stanzas > 1)) return malformed(err);
    if (!header->found) return err_set(err, ERR_DENIED, "none of the identities opens this file");
    header_mac(file_key, header->text, (size_t)(line - header->text) + mark, mac);
    return sodium_memcmp(said, mac, MAC) == 0 || err_set(err, ERR_DAMAGED, "the header of this file was changed");
}

bool age_take_header(int fd, const struct age_keys *identities, uint8_t file_key[AGE_FILE_KEY], struct err *err)
{
    static struct header header;
    char *line;
    size_t length;
    header = (struct header){0};
    if (!next_line(&header, fd, &line, &length, err)) return false;
    if (length != sizeof version_line - 2 || memcmp(line, version_line, length) != 0) return malformed(err);
    for (;;) {
        if (!next_line(&header, fd, &line, &length, err)) return false;
        if (length >= sizeof mac_mark - 1 && memcmp(line, mac_mark, sizeof mac_mark - 1) == 0)
            return check_mac(&header, line, length, file_key, err);
        if (!take_stanza(&header, fd, line, length, identities, file_key, err)) return false;
    }
}
