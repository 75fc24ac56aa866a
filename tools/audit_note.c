/* SPDX-License-Identifier: Apache-2.0 */
/* C2SP signed notes and tlog-checkpoints, read strictly. */
#include "audit_note.h"

#include <sodium.h>
#include <string.h>

#include "base/keyderive.h"

enum { SIGNATURE = 4 + crypto_sign_BYTES, ROOT_BASE64 = 44 };
static const char dash[] = "\xe2\x80\x94 "; /* an em dash and a space start every signature line */

/* The next line without its newline; false: there is no whole line any more. */
static bool next_line(const char **at, const char *end, const char **line, size_t *length)
{
    const char *newline = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
    if (!newline) return false;
    *line = *at;
    *length = (size_t)(newline - *at);
    *at = newline + 1;
    return true;
}

static bool read_size(const char *line, size_t length, uint64_t *size)
{
    uint64_t sum = 0;
    if (length == 0 || length > 19 || (line[0] == '0' && length > 1)) return false;
    for (size_t i = 0; i < length; i++) {
        if (line[i] < '0' || line[i] > '9') return false;
        sum = sum * 10 + (uint64_t)(line[i] - '0');
    }
    *size = sum;
    return true;
}

static bool from_base64(const char *text, size_t length, uint8_t *bytes, size_t count)
{
    size_t got = 0;
    const char *end = NULL;
    return sodium_base642bin(bytes, count, text, length, NULL, &got, &end, sodium_base64_VARIANT_ORIGINAL) == 0 &&
           got == count && end == text + length;
}

bool note_read(const char *bytes, size_t length, const char *origin, struct audit_note *note, struct err *err)
{
    const char *at = bytes, *end = bytes + length, *line;
    size_t count;
    if (!next_line(&at, end, &line, &count) || count != strlen(origin) || memcmp(line, origin, count) != 0)
        return err_set(err, ERR_DAMAGED, "it does not name the log %s", origin);
    if (!next_line(&at, end, &line, &count) || !read_size(line, count, &note->size) ||
        !next_line(&at, end, &line, &count) || count != ROOT_BASE64 ||
        !from_base64(line, count, note->root, HASH_BYTES))
        return err_set(err, ERR_DAMAGED, "it is not in the form of a checkpoint");
    note->text = bytes;
    note->text_length = (size_t)(at - bytes);
    if (!next_line(&at, end, &line, &count) || count != 0)
        return err_set(err, ERR_DAMAGED, "it has lines that no checkpoint has");
    return true;
}

/* 1: good; 0: another signer's; -1: claims to be this signer's and is bad, or is no signature line. */
static int check_line(const char *line, size_t length, const struct audit_note *note, const char *name,
                      const uint8_t key[32])
{
    uint8_t signature[SIGNATURE], hash[4];
    size_t head = sizeof dash - 1, name_length = strlen(name);
    if (length < head || memcmp(line, dash, head) != 0) return -1;
    line += head;
    length -= head;
    const char *space = memchr(line, ' ', length);
    if (!space || space == line) return -1;
    if ((size_t)(space - line) != name_length || memcmp(line, name, name_length) != 0) return 0;
    vkey_hash(name, key, hash);
    if (!from_base64(space + 1, length - name_length - 1, signature, sizeof signature) ||
        memcmp(signature, hash, sizeof hash) != 0)
        return 0; /* the same name with another key or algorithm */
    return crypto_sign_verify_detached(signature + 4, (const uint8_t *)note->text, note->text_length, key) == 0 ? 1
                                                                                                                : -1;
}

bool note_signed(const char *bytes, size_t length, const struct audit_note *note, const char *name,
                 const uint8_t key[32], struct err *err)
{
    const char *at = bytes + note->text_length + 1, *end = bytes + length, *line;
    size_t count, good = 0;
    while (next_line(&at, end, &line, &count)) {
        int verdict = check_line(line, count, note, name, key);
        if (verdict < 0) return err_set(err, ERR_DAMAGED, "its signature is bad");
        good += (size_t)verdict;
    }
    if (at != end) return err_set(err, ERR_DAMAGED, "it does not end with a newline");
    return good > 0 || err_set(err, ERR_DAMAGED, "the pinned key did not sign it");
}
