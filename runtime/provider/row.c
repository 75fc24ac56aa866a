/* SPDX-License-Identifier: Apache-2.0 */
/* keys/provider.share: five lines of text, so that an administrator can see what it is. */
#include "provider.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

static const char row_head[] = "caisson-provider-share-1";

/* "WORD VALUE\n" at *text; the value is of printable characters without blanks, and fits. */
static bool take_line(const char **text, const char *end, const char *word, char *value, size_t size)
{
    size_t length = strlen(word);
    const char *stop = memchr(*text, '\n', (size_t)(end - *text));
    if (!stop || (size_t)(stop - *text) < length + 2 || memcmp(*text, word, length) != 0 || (*text)[length] != ' ')
        return false;
    const char *from = *text + length + 1;
    size_t count = (size_t)(stop - from);
    if (count >= size) return false;
    for (size_t i = 0; i < count; i++)
        if (from[i] <= ' ' || from[i] > '~') return false;
    memcpy(value, from, count);
    value[count] = '\0';
    *text = stop + 1;
    return true;
}

bool row_parse(const char *text, size_t length, struct share_row *row, struct err *err)
{
    char base64[ROW_TEXT];
    struct share_row found = {0};
    const char *end = text + length;
    size_t head = sizeof row_head - 1;
    if (length <= head || memcmp(text, row_head, head) != 0 || text[head] != '\n')
        return err_set(err, ERR_MALFORMED, "keys/provider.share is not one that this release made");
    text += head + 1;
    if (!take_line(&text, end, "provider", found.provider, sizeof found.provider) ||
        !take_line(&text, end, "version", found.version, sizeof found.version) ||
        !take_line(&text, end, "share-id", found.share_id, sizeof found.share_id) ||
        strlen(found.share_id) != 2 * KEY_ID_BYTES || !take_line(&text, end, "blob", base64, sizeof base64) ||
        text != end ||
        sodium_base642bin(found.blob, sizeof found.blob, base64, strlen(base64), NULL, &found.length, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return err_set(err, ERR_MALFORMED, "keys/provider.share is damaged: restore it from its backup");
    *row = found;
    return true;
}

bool row_text(const struct share_row *row, char text[ROW_TEXT], size_t *length, struct err *err)
{
    char base64[sodium_base64_ENCODED_LEN(PROVIDER_BLOB, sodium_base64_VARIANT_ORIGINAL)];
    struct share_row again;
    sodium_bin2base64(base64, sizeof base64, row->blob, row->length, sodium_base64_VARIANT_ORIGINAL);
    int count = snprintf(text, ROW_TEXT, "%s\nprovider %s\nversion %s\nshare-id %s\nblob %s\n", row_head, row->provider,
                         row->version, row->share_id, base64);
    /* What the provider said goes into a file that must be readable later: tried at once. */
    if (count <= 0 || count >= ROW_TEXT || !row_parse(text, (size_t)count, &again, err))
        return err_set(err, ERR_MALFORMED, "the key provider answered with something that cannot be stored");
    *length = (size_t)count;
    return true;
}
