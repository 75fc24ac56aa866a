/* SPDX-License-Identifier: Apache-2.0 */
/* C2SP signed notes and tlog-checkpoints, read strictly. */
#include "audit_note.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/utf8.h"

enum { ID = 4, TIME = 8, ROOT_BASE64 = 44, SIGNATURE_MOST = 8 * 1024, VKEY_BINARY = 33, ROLL_TEXT = 600 };
static const char dash[] = "\xe2\x80\x94 "; /* an em dash and a space start every signature line */

/* ── words ─────────────────────────────────────────────────────────────────────────────────────────── */

bool note_line(const char **at, const char *end, const char **line, size_t *length)
{
    const char *newline = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
    if (!newline) return false;
    *line = *at;
    *length = (size_t)(newline - *at);
    *at = newline + 1;
    return true;
}

bool note_number(const char *text, size_t length, uint64_t *number)
{
    uint64_t sum = 0;
    if (length == 0 || length > 19 || (text[0] == '0' && length > 1)) return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        sum = sum * 10 + (uint64_t)(text[i] - '0');
    }
    *number = sum;
    return sum <= INT64_MAX;
}

/* libsodium 1.0.18 takes some bytes above 127 for letters. */
bool note_base64(const char *text, size_t length, uint8_t *bytes, size_t room, size_t *count)
{
    const char *end = NULL;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] > 127) return false;
    return sodium_base642bin(bytes, room, text, length, NULL, count, &end, sodium_base64_VARIANT_ORIGINAL) == 0 &&
           end == text + length;
}

bool note_hash(const char *text, size_t length, uint8_t hash[HASH_BYTES])
{
    size_t count = 0;
    return length == ROOT_BASE64 && note_base64(text, length, hash, HASH_BYTES, &count) && count == HASH_BYTES;
}

/* What Unicode calls a space stands in no name; nor does the plus sign of verifier keys. */
static bool name_sound(const char *name, size_t length)
{
    static const char *const spaces[] = {" ",
                                         "+",
                                         "\xc2\x85",
                                         "\xc2\xa0",
                                         "\xe1\x9a\x80",
                                         "\xe2\x80\xa8",
                                         "\xe2\x80\xa9",
                                         "\xe2\x80\xaf",
                                         "\xe2\x81\x9f",
                                         "\xe3\x80\x80"};
    if (length == 0 || length >= NOTE_NAME) return false;
    for (size_t i = 0; i < sizeof spaces / sizeof *spaces; i++)
        if (memmem(name, length, spaces[i], strlen(spaces[i]))) return false;
    for (size_t i = 0; i + 2 < length; i++) /* U+2000 to U+200A */
        if (memcmp(name + i, "\xe2\x80", 2) == 0 && (uint8_t)name[i + 2] >= 0x80 && (uint8_t)name[i + 2] <= 0x8a)
            return false;
    return true;
}

/* ── any note ──────────────────────────────────────────────────────────────────────────────────────── */

struct signature {
    const char *name;
    size_t name_length, count; /* count: of bytes, which start with the key's id */
    uint8_t bytes[SIGNATURE_MOST];
};

static bool signature_parse(const char *line, size_t length, struct signature *signature)
{
    size_t head = sizeof dash - 1;
    if (length < head || memcmp(line, dash, head) != 0) return false;
    signature->name = line + head;
    const char *space = memchr(signature->name, ' ', length - head);
    if (!space) return false;
    signature->name_length = (size_t)(space - signature->name);
    return name_sound(signature->name, signature->name_length) &&
           note_base64(space + 1, (size_t)(line + length - space) - 1, signature->bytes, sizeof signature->bytes,
                       &signature->count) &&
           signature->count > ID;
}

static bool controlled(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)bytes[i] < ' ' && bytes[i] != '\n') return true;
    return false;
}

static bool lines_sound(const struct note_parts *parts)
{
    const char *at = parts->lines, *end = at + parts->lines_length, *line;
    struct signature signature;
    size_t length;
    unsigned count = 0;
    while (note_line(&at, end, &line, &length))
        if (++count > NOTE_LINES || !signature_parse(line, length, &signature)) return false;
    return count > 0;
}

bool note_split(const char *bytes, size_t length, struct note_parts *parts, struct err *err)
{
    if (length > NOTE_MOST) return err_set(err, ERR_DAMAGED, "it is too long for a signed note");
    if (controlled(bytes, length) || !utf8_valid(bytes, length))
        return err_set(err, ERR_DAMAGED, "it has bytes that no signed note has");
    if (length == 0 || bytes[length - 1] != '\n') return err_set(err, ERR_DAMAGED, "it does not end with a newline");
    size_t split = length - 1; /* the last empty line */
    while (split > 0 && !(bytes[split] == '\n' && bytes[split - 1] == '\n')) split--;
    if (split < 2) return err_set(err, ERR_DAMAGED, "it has no text, or no signature");
    *parts = (struct note_parts){bytes, bytes + split + 1, split, length - split - 1};
    return lines_sound(parts) || err_set(err, ERR_DAMAGED, "its signature lines are not in the form of a signed note");
}

/* ── signers ───────────────────────────────────────────────────────────────────────────────────────── */

static void signer_id(struct note_signer *signer)
{
    uint8_t digest[crypto_hash_sha256_BYTES];
    const uint8_t middle[2] = {'\n', signer->kind};
    crypto_hash_sha256_state state;
    crypto_hash_sha256_init(&state);
    crypto_hash_sha256_update(&state, (const uint8_t *)signer->name, strlen(signer->name));
    crypto_hash_sha256_update(&state, middle, sizeof middle);
    crypto_hash_sha256_update(&state, signer->key, sizeof signer->key);
    crypto_hash_sha256_final(&state, digest);
    memcpy(signer->id, digest, sizeof signer->id);
}

bool signer_parse(const char *vkey, struct note_signer *signer, struct err *err)
{
    const char *first = strchr(vkey, '+'), *second = first ? strchr(first + 1, '+') : NULL;
    uint8_t binary[VKEY_BINARY];
    char digits[9];
    size_t count = 0;
    *signer = (struct note_signer){0};
    if (!second || second - first != 9 || !utf8_valid(vkey, (size_t)(first - vkey)) ||
        !name_sound(vkey, (size_t)(first - vkey)))
        return err_set(err, ERR_MALFORMED, "a verifier key reads NAME+HASH+KEY");
    if (!note_base64(second + 1, strlen(second + 1), binary, sizeof binary, &count) || count != sizeof binary ||
        (binary[0] != NOTE_LOG && binary[0] != NOTE_WITNESS))
        return err_set(err, ERR_MALFORMED, "the verifier key's last part is not that of an Ed25519 key");
    memcpy(signer->name, vkey, (size_t)(first - vkey));
    signer->kind = binary[0];
    memcpy(signer->key, binary + 1, sizeof signer->key);
    signer_id(signer);
    hex_text(signer->id, sizeof signer->id, digits);
    return memcmp(digits, first + 1, 8) == 0 ||
           err_set(err, ERR_MALFORMED, "the verifier key's hash does not fit its key");
}

bool signer_same(const struct note_signer *one, const struct note_signer *other)
{
    return one->kind == other->kind && strcmp(one->name, other->name) == 0 &&
           memcmp(one->key, other->key, sizeof one->key) == 0;
}

bool roll_vouched(const char *old, const char *new, const char *sign, const uint8_t key[32])
{
    char text[ROLL_TEXT];
    uint8_t signature[crypto_sign_BYTES];
    int length = snprintf(text, sizeof text, "caisson key roll v1\n%s\n%s\n", old, new);
    return (size_t)length < sizeof text && strlen(sign) == 2 * sizeof signature &&
           hex_parse(sign, signature, sizeof signature) &&
           crypto_sign_verify_detached(signature, (const uint8_t *)text, (unsigned long long)length, key) == 0;
}

static bool log_line(const struct note_parts *parts, const struct note_signer *signer, const struct signature *line)
{
    return line->count == ID + crypto_sign_BYTES &&
           crypto_sign_verify_detached(line->bytes + ID, (const uint8_t *)parts->text, parts->text_length,
                                       signer->key) == 0;
}

/* A witness signs a head of its own, with its time, before the text. */
static bool witness_line(const struct note_parts *parts, struct note_signer *signer, const struct signature *line)
{
    uint64_t time = 0;
    if (line->count != ID + TIME + crypto_sign_BYTES) return false;
    for (int i = 0; i < TIME; i++) time = time << 8 | line->bytes[ID + i];
    size_t room = sizeof "cosignature/v1\ntime 9223372036854775807\n" + parts->text_length;
    FREE_AUTO char *message = malloc(room);
    if (time > INT64_MAX || !message) return false;
    int length = snprintf(message, room, "cosignature/v1\ntime %llu\n%.*s", (unsigned long long)time,
                          (int)parts->text_length, parts->text);
    signer->time = time;
    return crypto_sign_verify_detached(line->bytes + ID + TIME, (const uint8_t *)message, (size_t)length,
                                       signer->key) == 0;
}

static bool check_line(const struct note_parts *parts, struct note_signer *signer, const struct signature *line)
{
    if (strlen(signer->name) != line->name_length || memcmp(signer->name, line->name, line->name_length) != 0 ||
        memcmp(signer->id, line->bytes, ID) != 0)
        return true; /* another's; or the same name with another key */
    signer->good++;
    return signer->kind == NOTE_WITNESS ? witness_line(parts, signer, line) : log_line(parts, signer, line);
}

bool note_check(const struct note_parts *parts, struct note_signer *signers, unsigned count, struct err *err)
{
    const char *at = parts->lines, *end = at + parts->lines_length, *line;
    struct signature signature;
    size_t length;
    for (unsigned i = 0; i < count; i++) signers[i].good = 0;
    while (note_line(&at, end, &line, &length)) {
        if (!signature_parse(line, length, &signature)) return err_set(err, ERR_DAMAGED, "its signature is bad");
        for (unsigned i = 0; i < count; i++)
            if (!check_line(parts, &signers[i], &signature))
                return err_set(err, ERR_DAMAGED, "its signature is bad: not made by the key of %s", signers[i].name);
    }
    return true;
}

/* ── a checkpoint ──────────────────────────────────────────────────────────────────────────────────── */

bool checkpoint_parse(const struct note_parts *parts, const char *origin, struct audit_note *note, struct err *err)
{
    const char *at = parts->text, *end = at + parts->text_length, *line;
    size_t count;
    if (!note_line(&at, end, &line, &count) || count == 0 ||
        (origin && (count != strlen(origin) || memcmp(line, origin, count) != 0)))
        return err_set(err, ERR_DAMAGED, "it does not name the log %s", origin ? origin : "that it is of");
    if (!note_line(&at, end, &line, &count) || !note_number(line, count, &note->size) ||
        !note_line(&at, end, &line, &count) || !note_hash(line, count, note->root))
        return err_set(err, ERR_DAMAGED, "it is not in the form of a checkpoint");
    while (note_line(&at, end, &line, &count))
        if (count == 0) return err_set(err, ERR_DAMAGED, "it has an empty line where no checkpoint has one");
    note->text = parts->text;
    note->text_length = parts->text_length;
    return true;
}

bool note_read(const char *bytes, size_t length, const char *origin, struct audit_note *note, struct err *err)
{
    struct note_parts parts;
    if (!note_split(bytes, length, &parts, err) || !checkpoint_parse(&parts, origin, note, err)) return false;
    unsigned lines = 0;
    for (size_t i = 0; i < note->text_length; i++) lines += note->text[i] == '\n';
    return lines == 3 || err_set(err, ERR_DAMAGED, "it has lines that no checkpoint of this log has");
}

bool note_signed(const char *bytes, size_t length, const struct audit_note *note, const char *name,
                 const uint8_t key[32], struct err *err)
{
    struct note_signer signer = {.kind = NOTE_LOG};
    const struct note_parts parts = {bytes, bytes + note->text_length + 1, note->text_length,
                                     length - note->text_length - 1};
    snprintf(signer.name, sizeof signer.name, "%s", name);
    memcpy(signer.key, key, sizeof signer.key);
    signer_id(&signer);
    if (!note_check(&parts, &signer, 1, err)) return false;
    return signer.good > 0 || err_set(err, ERR_DAMAGED, "the pinned key did not sign it");
}
