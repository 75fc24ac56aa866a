/* SPDX-License-Identifier: Apache-2.0 */
/* Mail headers: encoded words (RFC 2047), parameters (RFC 2231), dates and folding. */
#include <ctype.h>
#include <openssl/evp.h>
#include <string.h>
#include <time.h>

#include "mime.h"

enum {
    LINE = 76,      /* where folding begins (RFC 5322 asks for at most 78, RFC 2047 for 76) */
    PIECE = 900,    /* what cannot be broken, beside a name: a line has at most 998 (RFC 5322 §2.1.1) */
    WORD_BYTES = 42 /* of text in one encoded word: 12 characters around 56 of base64 */
};

bool encode_ascii(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text >= 0x80) return false;
    return true;
}

/* Bytes of the UTF-8 character that starts here; 0: none does (RFC 3629: shortest form, no surrogates). */
static size_t character(const unsigned char *at)
{
    if (*at < 0x80) return 1;
    size_t size = *at >= 0xc2 && *at <= 0xdf ? 2 : (*at & 0xf0) == 0xe0 ? 3 : *at >= 0xf0 && *at <= 0xf4 ? 4 : 0;
    for (size_t i = 1; i < size; i++)
        if ((at[i] & 0xc0) != 0x80) return 0;
    if ((*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f)) return 0;
    if ((*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] > 0x8f)) return 0;
    return size;
}

bool encode_valid(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at) {
        size_t size = character(at);
        if (size == 0 || *at < 0x20 || *at == 0x7f) return false;
        if (size == 2 && *at == 0xc2 && at[1] < 0xa0) return false; /* C1 control characters */
        at += size;
    }
    return true;
}

bool encode_folds(const char *text)
{
    while (*text) {
        size_t piece = strcspn(text, " ");
        piece += strspn(text + piece, " ");
        if (piece > PIECE) return false;
        text += piece;
    }
    return true;
}

/* Encoded words, one per line, cut between characters; the first on the line that is there, where it has room. */
static void words(FILE *stream, const char *text, size_t column)
{
    const unsigned char *at = (const unsigned char *)text;
    for (bool first = true; *at;) {
        size_t room = first && column > LINE - 16   ? 0
                      : first && column + 68 > LINE ? (LINE - 12 - column) / 4 * 3
                                                    : WORD_BYTES;
        if (room > WORD_BYTES) room = WORD_BYTES;
        size_t used = 0;
        while (at[used] && used + character(at + used) <= room) used += character(at + used);
        if (!first || used == 0) fputs("\r\n ", stream);
        if (used == 0) {
            column = 1;
            continue;
        }
        unsigned char base64[WORD_BYTES * 2];
        EVP_EncodeBlock(base64, at, (int)used);
        fprintf(stream, "=?UTF-8?B?%s?=", (const char *)base64);
        at += used;
        first = false;
    }
}

/* ASCII text, broken before the last blank that still fits. Of blanks in a row only the last begins a line: a line of
 * nothing but blanks would be no continuation (RFC 5322 §3.2.2). */
static void fold(FILE *stream, const char *text, size_t column)
{
    while (column + strlen(text) > LINE) {
        size_t cut = 0, room = column < LINE ? LINE - column : 0;
        for (size_t i = 1; text[i] && (i <= room || cut == 0); i++)
            if (text[i] == ' ' && text[i + 1] && text[i + 1] != ' ') cut = i;
        if (cut == 0) break;
        fprintf(stream, "%.*s\r\n", (int)cut, text);
        text += cut;
        column = 0;
    }
    fputs(text, stream);
}

void encode_text(FILE *stream, const char *name, const char *text)
{
    size_t column = strlen(name) + 2;
    fputs(name, stream);
    fputs(": ", stream);
    bool subject = strcmp(name, "Subject") == 0;
    if (encode_ascii(text) && !(subject && (strstr(text, "=?") || !encode_folds(text))))
        fold(stream, text, column);
    else
        words(stream, text, column);
}

static void display_name(FILE *stream, const char *name)
{
    if (!encode_ascii(name) || strstr(name, "=?") || strlen(name) > LINE - 4) {
        words(stream, name, 1);
        return;
    }
    fputc('"', stream);
    for (; *name; name++) {
        if (*name == '"' || *name == '\\') fputc('\\', stream);
        fputc(*name, stream);
    }
    fputc('"', stream);
}

void encode_addresses(FILE *stream, const char *name, const struct csn_mail_address *list, size_t count)
{
    fprintf(stream, "%s: ", name);
    for (size_t i = 0; i < count; i++) {
        if (i || (list[i].name && *list[i].name)) fputs(i ? ",\r\n " : "\r\n ", stream);
        if (list[i].name && *list[i].name) {
            display_name(stream, list[i].name);
            fprintf(stream, "\r\n <%s>", list[i].address);
        } else {
            fputs(list[i].address, stream);
        }
    }
}

void encode_parameter(FILE *stream, const char *key, const char *value)
{
    if (encode_ascii(value) && strlen(value) < 60 && !strpbrk(value, "\"\\")) {
        fprintf(stream, ";\r\n %s=\"%s\"", key, value);
        return;
    }
    fprintf(stream, ";\r\n %s*=UTF-8''", key);
    for (const unsigned char *at = (const unsigned char *)value; *at; at++) {
        if (*at < 0x80 && (isalnum(*at) || strchr("-._~", *at)))
            fputc(*at, stream);
        else
            fprintf(stream, "%%%02X", *at);
    }
}

void encode_date(FILE *stream, int64_t seconds)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t time = (time_t)seconds;
    struct tm date;
    if (!gmtime_r(&time, &date)) date = (struct tm){.tm_mday = 1, .tm_year = 70, .tm_wday = 4};
    fprintf(stream, "Date: %s, %02d %s %04d %02d:%02d:%02d +0000", days[date.tm_wday], date.tm_mday,
            months[date.tm_mon], date.tm_year + 1900, date.tm_hour, date.tm_min, date.tm_sec);
}
