/* SPDX-License-Identifier: Apache-2.0 */
/* What a witness says comes through a connector, and counts only by its signature under the key of caisson.conf. */
#include "witness.h"

#include <sodium.h>
#include <string.h>

#include "base/ids.h"
#include "base/utf8.h"
#include "tree.h"

enum { COSIGNATURE = 4, ID = 4, TIME = 8, LINE = ID + TIME + crypto_sign_BYTES, DASH = 4 };

/* ── the key ───────────────────────────────────────────────────────────────────────────────────────── */

/* Exactly count bytes, in standard base64 with padding. */
static bool decode(const char *text, size_t length, uint8_t *bytes, size_t count)
{
    const char *end;
    size_t got = 0;
    return sodium_base642bin(bytes, count, text, length, NULL, &got, &end, sodium_base64_VARIANT_ORIGINAL) == 0 &&
           end == text + length && got == count;
}

static bool name_sound(const char *name, size_t length)
{
    if (length == 0 || length >= WITNESS_NAME || !utf8_valid(name, length)) return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] <= ' ' || name[i] == '+' || name[i] == 0x7f) return false;
    return true;
}

bool witness_key_read(const char *vkey, struct witness_key *key, struct err *err)
{
    uint8_t typed[1 + sizeof key->key];
    char digits[2 * ID + 1];
    tree_hash hash;
    size_t name = strcspn(vkey, "+");
    const char *id = vkey + name + 1, *rest = id + 2 * ID;
    if (!name_sound(vkey, name) || strlen(vkey) < name + 2 + 2 * ID || *rest != '+')
        return err_set(err, ERR_BAD_INPUT, "a witness's key reads NAME+HASH+KEY");
    if (!decode(rest + 1, strlen(rest + 1), typed, sizeof typed) || typed[0] != COSIGNATURE)
        return err_set(err, ERR_BAD_INPUT, "the key of that witness is none of the kind cosignature/v1");
    *key = (struct witness_key){0};
    memcpy(key->name, vkey, name);
    memcpy(key->key, typed + 1, sizeof key->key);
    sha256_three(key->name, name, "\n", 1, typed, sizeof typed, hash);
    memcpy(key->id, hash, ID);
    hex_text(key->id, ID, digits);
    return memcmp(digits, id, 2 * ID) == 0 ||
           err_set(err, ERR_BAD_INPUT, "the hash in the key of witness %s does not fit its key", key->name);
}

/* ── a line ────────────────────────────────────────────────────────────────────────────────────────── */

static uint64_t big_endian(const uint8_t bytes[TIME])
{
    uint64_t number = 0;
    for (int i = 0; i < TIME; i++) number = number << 8 | bytes[i];
    return number;
}

static bool signature_good(const struct witness_key *key, const struct buf *text, const uint8_t bytes[LINE])
{
    BUF_AUTO message = {.max = 4096};
    uint64_t time = big_endian(bytes + ID);
    return time <= INT64_MAX && buf_print(&message, "cosignature/v1\ntime %llu\n", (unsigned long long)time) &&
           buf_add(&message, text->bytes, text->used) &&
           crypto_sign_verify_detached(bytes + ID + TIME, (const uint8_t *)message.bytes, message.used, key->key) == 0;
}

/* Without its newline: the dash, a name, base64. *name_length: of the name behind the dash. */
static bool line_shape(const char *line, size_t length, size_t *name_length)
{
    static const char dash[] = "\u2014 ";
    if (length <= DASH || memcmp(line, dash, DASH) != 0) return false;
    const char *space = memchr(line + DASH, ' ', length - DASH);
    if (!space || space + 1 == line + length) return false;
    *name_length = (size_t)(space - line) - DASH;
    return name_sound(line + DASH, *name_length);
}

/* Is it by that name and key at all? The same name with another key is another's. */
static bool by_key(const struct witness_key *key, const char *line, size_t length, size_t name, uint8_t bytes[LINE],
                   bool *whole)
{
    uint8_t head[ID + 2];
    const char *text = line + DASH + name + 1;
    size_t left = length - DASH - name - 1;
    *whole = decode(text, left, bytes, LINE);
    if (strlen(key->name) != name || memcmp(key->name, line + DASH, name) != 0) return false;
    if (*whole) return memcmp(bytes, key->id, ID) == 0;
    return left >= 8 && decode(text, 8, head, sizeof head) && memcmp(head, key->id, ID) == 0;
}

static bool take_line(const struct witness_key *key, const struct buf *text, const char *line, size_t length,
                      struct buf *found, struct err *err)
{
    uint8_t bytes[LINE];
    size_t name;
    bool whole;
    if (!line_shape(line, length, &name)) return err_set(err, ERR_PROTOCOL, "the witness answered no signature lines");
    if (!by_key(key, line, length, name, bytes, &whole)) return true;
    if (!whole || !signature_good(key, text, bytes))
        return err_set(err, ERR_PROTOCOL, "the signature of witness %s is bad", key->name);
    found->used = 0;
    return (buf_add(found, line, length) && buf_text(found, "\n")) ||
           err_set(err, ERR_TOO_LARGE, "the signature of witness %s is too long", key->name);
}

bool witness_check(const struct witness_key *key, const struct buf *text, const char *answer, size_t length,
                   struct buf *line, struct err *err)
{
    const char *end = answer + length;
    unsigned lines = 0;
    if (length > WITNESS_ANSWER) return err_set(err, ERR_PROTOCOL, "the witness's answer is too long");
    for (const char *at = answer; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        if (!stop || ++lines > WITNESS_LINES)
            return err_set(err, ERR_PROTOCOL, "the witness answered no whole signature lines");
        if (!take_line(key, text, at, (size_t)(stop - at), line, err)) return false;
        at = stop + 1;
    }
    return line->used > 0 || err_set(err, ERR_PROTOCOL, "witness %s did not sign what it was shown", key->name);
}
