/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 as RFC 4648 §4 has it: padded, no white space, unused bits zero. */
#include <string.h>

#include "worker.h"

static int value_of(char one)
{
    if (one >= 'A' && one <= 'Z') return one - 'A';
    if (one >= 'a' && one <= 'z') return one - 'a' + 26;
    if (one >= '0' && one <= '9') return one - '0' + 52;
    return one == '+' ? 62 : one == '/' ? 63 : -1;
}

/* One group of four characters; returns the bytes in it, 0 when it is malformed. */
static size_t group(const char *text, bool last, unsigned char out[3])
{
    int pads = last ? (text[3] == '=') + (text[3] == '=' && text[2] == '=') : 0;
    uint32_t bits = 0;
    for (int i = 0; i < 4; i++) {
        int value = i < 4 - pads ? value_of(text[i]) : 0;
        if (value < 0) return 0;
        bits = bits << 6 | (uint32_t)value;
    }
    if ((pads == 1 && (bits & 0xff)) || (pads == 2 && (bits & 0xffff))) return 0;
    for (int i = 0; i < 3; i++) out[i] = (unsigned char)(bits >> (16 - 8 * i));
    return (size_t)(3 - pads);
}

bool base64_decode(const char *text, size_t length, unsigned char *bytes, size_t *count)
{
    size_t used = 0;
    if (length % 4) return false;
    for (size_t at = 0; at < length; at += 4) {
        unsigned char out[3];
        size_t got = group(text + at, at + 4 == length, out);
        if (!got) return false;
        memcpy(bytes + used, out, got);
        used += got;
    }
    *count = used;
    return true;
}
