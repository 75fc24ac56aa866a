/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints as C2SP signed notes (tlog-checkpoint, signed-note). */
#include "note.h"

#include <sodium.h>
#include <string.h>

enum { KEY_ID = 4, ED25519 = 1 };

bool note_origin_valid(const char *origin)
{
    size_t length = strlen(origin);
    if (length == 0 || length >= NOTE_ORIGIN) return false;
    for (const char *c = origin; *c; c++)
        if (*c <= ' ' || *c > '~' || *c == '+') return false;
    return true;
}

static bool add_base64(struct buf *out, const uint8_t *bytes, size_t count)
{
    char text[192];
    if (sodium_base64_encoded_len(count, sodium_base64_VARIANT_ORIGINAL) > sizeof text) return false;
    return buf_text(out, sodium_bin2base64(text, sizeof text, bytes, count, sodium_base64_VARIANT_ORIGINAL));
}

bool note_text(const char *origin, uint64_t size, const tree_hash root, struct buf *text)
{
    return note_origin_valid(origin) && buf_print(text, "%s\n%llu\n", origin, (unsigned long long)size) &&
           add_base64(text, root, HASH_BYTES) && buf_text(text, "\n");
}

static void key_id(const char *origin, const uint8_t key[32], uint8_t id[KEY_ID])
{
    tree_hash hash;
    sha256_three(origin, strlen(origin), "\n\1", 2, key, 32, hash);
    memcpy(id, hash, KEY_ID);
}

bool note_sign(const char *origin, uint64_t size, const tree_hash root, const uint8_t key[32],
               const uint8_t signature[NOTE_SIGNATURE], struct buf *note)
{
    uint8_t line[KEY_ID + NOTE_SIGNATURE];
    key_id(origin, key, line);
    memcpy(line + KEY_ID, signature, NOTE_SIGNATURE);
    return note_text(origin, size, root, note) && buf_print(note, "\n\u2014 %s ", origin) &&
           add_base64(note, line, sizeof line) && buf_text(note, "\n");
}

bool note_vkey(const char *origin, const uint8_t key[32], struct buf *vkey)
{
    uint8_t id[KEY_ID], typed[33] = {ED25519};
    char id_hex[2 * KEY_ID + 1];
    key_id(origin, key, id);
    hex_text(id, KEY_ID, id_hex);
    memcpy(typed + 1, key, 32);
    return note_origin_valid(origin) && buf_print(vkey, "%s+%s+", origin, id_hex) &&
           add_base64(vkey, typed, sizeof typed);
}
