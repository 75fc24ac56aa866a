/* SPDX-License-Identifier: Apache-2.0 */
/* age's keys as text: Bech32 (BIP 173) without its limit of length. */
#include "age.h"

#include <sodium.h>
#include <string.h>

static const char alphabet[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
enum { SUM = 6, DIGITS = 52 }; /* 32 bytes are 52 digits of 5 bits, 4 of them zero */

static uint32_t polymod(uint32_t sum, unsigned value)
{
    static const uint32_t generator[5] = {0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3};
    uint32_t top = sum >> 25;
    sum = (sum & 0x1ffffff) << 5 ^ value;
    for (int i = 0; i < 5; i++)
        if (top >> i & 1) sum ^= generator[i];
    return sum;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* prefix "1" digits sum, of exactly that length. Case is the caller's matter; it must not be mixed. */
static bool decode(const char *text, size_t length, const char *prefix, uint8_t key[AGE_KEY])
{
    size_t head = strlen(prefix), bits = 0, count = 0;
    uint32_t sum = 1, held = 0;
    if (length != head + 1 + DIGITS + SUM || text[head] != '1') return false;
    for (size_t i = 0; i < head; i++)
        if (lower(text[i]) != prefix[i]) return false;
    for (size_t i = 0; i < head; i++) sum = polymod(sum, (unsigned)prefix[i] >> 5);
    sum = polymod(sum, 0);
    for (size_t i = 0; i < head; i++) sum = polymod(sum, (unsigned)prefix[i] & 31);
    for (size_t i = head + 1; i < length; i++) {
        const char *digit = text[i] ? strchr(alphabet, lower(text[i])) : NULL;
        if (!digit) return false;
        unsigned value = (unsigned)(digit - alphabet);
        sum = polymod(sum, value);
        if (i >= length - SUM) continue;
        held = held << 5 | value;
        if ((bits += 5) < 8) continue;
        bits -= 8;
        key[count++] = (uint8_t)(held >> bits);
        held &= (1u << bits) - 1;
    }
    return sum == 1 && count == AGE_KEY && held == 0;
}

static bool one_case(const char *text, size_t length, bool upper)
{
    for (size_t i = 0; i < length; i++)
        if (upper ? text[i] >= 'a' && text[i] <= 'z' : text[i] >= 'A' && text[i] <= 'Z') return false;
    return true;
}

bool age_add_recipient(const char *text, struct age_keys *keys, struct err *err)
{
    size_t length = strlen(text);
    if (keys->count == AGE_KEYS) return err_set(err, ERR_USAGE, "at most %d recipients can be named", AGE_KEYS);
    if (!one_case(text, length, false) || !decode(text, length, "age", keys->keys[keys->count]))
        return err_set(err, ERR_BAD_INPUT, "%.80s is not an X25519 recipient of age (age1…)", text);
    keys->count++;
    return true;
}

bool age_add_identities(const char *text, struct age_keys *keys, struct err *err)
{
    unsigned before = keys->count;
    for (unsigned number = 1; *text; number++) {
        size_t length = strcspn(text, "\r\n");
        if (length && *text != '#') {
            if (keys->count == AGE_KEYS) return err_set(err, ERR_TOO_LARGE, "the identity file has too many keys");
            if (!one_case(text, length, true) || !decode(text, length, "age-secret-key-", keys->keys[keys->count]))
                return err_set(err, ERR_BAD_INPUT, "line %u of the identity file is not a key of age", number);
            keys->count++;
        }
        text += length;
        if (*text == '\r') text++;
        if (*text == '\n') text++;
    }
    return keys->count > before || err_set(err, ERR_BAD_INPUT, "the identity file has no key");
}
