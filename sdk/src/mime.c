/* SPDX-License-Identifier: Apache-2.0 */
/* The message: what may stand in it, its headers, its parts. */
#include "mime.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { RECIPIENTS = 1000, ATTACHMENTS = 100, HEADERS = 64, ADDRESS = 254, NAME = 255 };

/* ── checks ───────────────────────────────────────────────────────────────────────────────────────────*/

/* local@domain: a dot-atom of ASCII or UTF-8 (RFC 5321, 6531), then letters, digits, hyphens and dots. */
static bool address_valid(const char *address)
{
    const char *at = address ? strrchr(address, '@') : NULL;
    if (!at || at == address || !at[1] || strlen(address) > ADDRESS || !encode_valid(address)) return false;
    for (const char *c = address; c < at; c++)
        if ((unsigned char)*c < 0x80 && !isalnum((unsigned char)*c) && !strchr("!#$%&'*+-/=?^_`{|}~.", *c))
            return false;
    for (const char *c = at + 1; *c; c++)
        if ((unsigned char)*c >= 0x80 || (!isalnum((unsigned char)*c) && !strchr("-.", *c))) return false;
    return address[0] != '.' && at[-1] != '.' && at[1] != '.' && at[1] != '-' && !strstr(address, "..");
}

static bool check_addresses(struct csn_call *call, const char *what, const struct csn_mail_address *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!address_valid(list[i].address))
            return explain(call, "%s: \"%.80s\" is not a mail address", what, list[i].address ? list[i].address : "");
        if (list[i].name && (!encode_valid(list[i].name) || strlen(list[i].name) > NAME))
            return explain(call, "%s: the name of %.80s holds a control character or is too long", what,
                           list[i].address);
    }
    return true;
}

/* Made from members of struct csn_mail, by the transport, or by the servers on the way. */
static bool reserved(const char *name)
{
    static const char *const names[] = {
        "from",       "to",           "cc",          "bcc",      "reply-to", "subject",       "date",
        "message-id", "mime-version", "return-path", "received", "sender",   "dkim-signature"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcasecmp(name, names[i]) == 0) return true;
    return strncasecmp(name, "content-", 8) == 0 || strncasecmp(name, "resent-", 7) == 0;
}

static bool name_valid(const char *name)
{
    size_t length = 0;
    for (; name && name[length]; length++)
        if (name[length] <= ' ' || name[length] >= 0x7f || name[length] == ':') return false;
    return length > 0 && length <= 64;
}

static bool check_header(struct csn_call *call, const struct csn_mail_header *header)
{
    if (!name_valid(header->name) || !header->value) return explain(call, "a header has no valid name, or no value");
    if (reserved(header->name)) return explain(call, "the header %s cannot be set as an own header", header->name);
    if (!encode_valid(header->value))
        return explain(call, "the header %s holds a line break or another control character", header->name);
    if (strlen(header->value) > 8000 || (encode_ascii(header->value) && !encode_folds(header->value)))
        return explain(call, "the header %s is too long", header->name);
    return true;
}

static bool type_valid(const char *type)
{
    const char *slash = strchr(type, '/');
    if (!slash || slash == type || !slash[1] || strlen(type) > 127) return false;
    for (; *type; type++)
        if (type != slash && !isalnum((unsigned char)*type) && !strchr("!#$&^_.+-", *type)) return false;
    return true;
}

static bool id_valid(const char *id)
{
    for (const char *c = id; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("!#$%&'*+-/=?^_`{|}~.@", *c)) return false;
    return *id && strlen(id) <= ADDRESS;
}

static bool check_attachment(struct csn_call *call, const struct csn_mail_attachment *part)
{
    if (!part->name || !*part->name || strlen(part->name) > NAME || !encode_valid(part->name))
        return explain(call, "an attachment has no name, or its name holds a control character or is too long");
    if (part->type && (!type_valid(part->type) || strncasecmp(part->type, "multipart/", 10) == 0))
        return explain(call, "the attachment %.80s has no valid type", part->name);
    if (part->content_id && !id_valid(part->content_id))
        return explain(call, "the attachment %.80s has no valid content id", part->name);
    return part->bytes || part->size == 0 || explain(call, "the attachment %.80s has no bytes", part->name);
}

static bool check_counts(struct csn_call *call, const struct csn_mail *mail)
{
    if (mail->to_count > RECIPIENTS || mail->cc_count > RECIPIENTS || mail->bcc_count > RECIPIENTS ||
        mail->to_count + mail->cc_count + mail->bcc_count > RECIPIENTS)
        return explain(call, "the message has more than %d recipients", RECIPIENTS);
    if (mail->to_count + mail->cc_count + mail->bcc_count == 0) return explain(call, "the message has no recipient");
    if (mail->attachment_count > ATTACHMENTS) return explain(call, "there are more than %d attachments", ATTACHMENTS);
    if (mail->header_count > HEADERS) return explain(call, "there are more than %d own headers", HEADERS);
    return mail->reply_to_count <= RECIPIENTS || explain(call, "there are too many reply-to addresses");
}

bool mime_check(struct csn_call *call, const struct csn_mail *mail)
{
    if (!check_counts(call, mail) || !check_addresses(call, "from", &mail->from, 1) ||
        !check_addresses(call, "to", mail->to, mail->to_count) ||
        !check_addresses(call, "cc", mail->cc, mail->cc_count) ||
        !check_addresses(call, "bcc", mail->bcc, mail->bcc_count) ||
        !check_addresses(call, "reply_to", mail->reply_to, mail->reply_to_count))
        return false;
    if (mail->subject && (!encode_valid(mail->subject) || strlen(mail->subject) > 4000))
        return explain(call, "the subject holds a line break or another control character, or is too long");
    if (mail->message_id && (!id_valid(mail->message_id) || !strchr(mail->message_id, '@')))
        return explain(call, "the message id is not valid");
    for (size_t i = 0; i < mail->header_count; i++)
        if (!check_header(call, &mail->headers[i])) return false;
    for (size_t i = 0; i < mail->attachment_count; i++)
        if (!check_attachment(call, &mail->attachments[i])) return false;
    return true;
}

/* ── headers ──────────────────────────────────────────────────────────────────────────────────────────*/

/* Ends one header line that was written to a memory stream, and appends it. */
static bool append(struct curl_slist **list, FILE *stream, char **line)
{
    bool written = fclose(stream) == 0;
    struct curl_slist *more = written ? curl_slist_append(*list, *line) : NULL;
    if (more) *list = more;
    free(*line);
    return more != NULL;
}

/* WRITE is a statement that writes one header to `stream`. */
#define ADD_HEADER(list, WRITE)                                                                                        \
    __extension__({                                                                                                    \
        char *line_ = NULL;                                                                                            \
        size_t size_ = 0;                                                                                              \
        FILE *stream = open_memstream(&line_, &size_);                                                                 \
        if (stream) WRITE;                                                                                             \
        stream &&append((list), stream, &line_);                                                                       \
    })

static bool add_people(struct curl_slist **list, const struct csn_mail *mail)
{
    return ADD_HEADER(list, encode_addresses(stream, "From", &mail->from, 1)) &&
           (!mail->reply_to_count ||
            ADD_HEADER(list, encode_addresses(stream, "Reply-To", mail->reply_to, mail->reply_to_count))) &&
           (!mail->to_count || ADD_HEADER(list, encode_addresses(stream, "To", mail->to, mail->to_count))) &&
           (mail->to_count || mail->cc_count || ADD_HEADER(list, fputs("To: undisclosed-recipients:;", stream))) &&
           (!mail->cc_count || ADD_HEADER(list, encode_addresses(stream, "Cc", mail->cc, mail->cc_count)));
}

struct curl_slist *mime_headers(struct csn_call *call, const struct csn_mail *mail)
{
    struct curl_slist *list = NULL;
    bool good = ADD_HEADER(&list, encode_date(stream, mail->date ? mail->date : csn_now(call))) &&
                add_people(&list, mail) &&
                (!mail->subject || ADD_HEADER(&list, encode_text(stream, "Subject", mail->subject))) &&
                (!mail->message_id || ADD_HEADER(&list, fprintf(stream, "Message-ID: <%s>", mail->message_id))) &&
                ADD_HEADER(&list, fputs("MIME-Version: 1.0", stream));
    for (size_t i = 0; good && i < mail->header_count; i++)
        good = ADD_HEADER(&list, encode_text(stream, mail->headers[i].name, mail->headers[i].value));
    if (good) return list;
    curl_slist_free_all(list);
    return NULL;
}

/* ── parts ────────────────────────────────────────────────────────────────────────────────────────────*/

/* Line ends as mail wants them; the caller frees it. */
static char *crlf(const char *text, size_t *size)
{
    char *copy = NULL;
    FILE *stream = open_memstream(&copy, size);
    if (!stream) return NULL;
    for (; *text; text++) {
        if (*text == '\r' && text[1] == '\n') continue;
        if (*text == '\n' || *text == '\r')
            fputs("\r\n", stream);
        else
            fputc(*text, stream);
    }
    if (fclose(stream) == 0) return copy;
    free(copy);
    return NULL;
}

static bool add_text(curl_mime *mime, const char *text, const char *type)
{
    size_t size = 0;
    char *lines = crlf(text, &size);
    curl_mimepart *part = lines ? curl_mime_addpart(mime) : NULL;
    bool added = part && !curl_mime_data(part, lines, size) && !curl_mime_type(part, type) &&
                 !curl_mime_encoder(part, "quoted-printable");
    free(lines);
    return added;
}

/* Bytes of an attachment, read where they lie: they may be many, so curl makes no copy. */
struct reader {
    const char *bytes;
    size_t size, at;
};

static size_t read_bytes(char *into, size_t unit, size_t count, void *own)
{
    struct reader *reader = own;
    size_t size = unit * count, left = reader->size - reader->at;
    if (size > left) size = left;
    memcpy(into, reader->bytes + reader->at, size);
    reader->at += size;
    return size;
}

static int seek_bytes(void *own, curl_off_t offset, int origin)
{
    struct reader *reader = own;
    if (origin != SEEK_SET || offset < 0 || (size_t)offset > reader->size) return CURL_SEEKFUNC_FAIL;
    reader->at = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static bool add_disposition(curl_mimepart *part, const struct csn_mail_attachment *file)
{
    struct curl_slist *list = NULL;
    bool good = ADD_HEADER(&list,
                           (fprintf(stream, "Content-Disposition: %s", file->content_id ? "inline" : "attachment"),
                            encode_parameter(stream, "filename", file->name))) &&
                (!file->content_id || ADD_HEADER(&list, fprintf(stream, "Content-ID: <%s>", file->content_id)));
    if (good && !curl_mime_headers(part, list, 1)) return true;
    curl_slist_free_all(list);
    return false;
}

static bool add_file(curl_mime *mime, const struct csn_mail_attachment *file)
{
    curl_mimepart *part = curl_mime_addpart(mime);
    struct reader *reader = calloc(1, sizeof *reader);
    if (!part || !reader) {
        free(reader);
        return false;
    }
    *reader = (struct reader){file->bytes, file->size, 0};
    if (curl_mime_data_cb(part, (curl_off_t)file->size, read_bytes, seek_bytes, free, reader)) {
        free(reader);
        return false;
    }
    return !curl_mime_type(part, file->type ? file->type : "application/octet-stream") &&
           !curl_mime_encoder(part, "base64") && add_disposition(part, file);
}

static bool add_parts(curl_mime *child, curl_mime *parent, const char *type)
{
    curl_mimepart *part = child ? curl_mime_addpart(parent) : NULL;
    if (part && !curl_mime_subparts(part, child)) return !curl_mime_type(part, type);
    curl_mime_free(child);
    return false;
}

/* The texts: one part, or alternatives from plain to rich. */
static bool add_texts(CURL *easy, curl_mime *mime, const struct csn_mail *mail)
{
    static const char plain[] = "text/plain; charset=utf-8", rich[] = "text/html; charset=utf-8";
    if (!mail->html) return add_text(mime, mail->text ? mail->text : "", plain);
    if (!mail->text) return add_text(mime, mail->html, rich);
    curl_mime *both = curl_mime_init(easy);
    if (both && add_text(both, mail->text, plain) && add_text(both, mail->html, rich))
        return add_parts(both, mime, "multipart/alternative");
    curl_mime_free(both);
    return false;
}

static size_t count_inline(const struct csn_mail *mail)
{
    size_t count = 0;
    for (size_t i = 0; i < mail->attachment_count; i++) count += mail->attachments[i].content_id != NULL;
    return count;
}

static bool add_files(curl_mime *mime, const struct csn_mail *mail, bool linked)
{
    for (size_t i = 0; i < mail->attachment_count; i++)
        if ((mail->attachments[i].content_id != NULL) == linked && !add_file(mime, &mail->attachments[i])) return false;
    return true;
}

/* What html links to by cid: stands with it in one multipart/related (RFC 2387). */
static bool add_related(CURL *easy, curl_mime *mime, const struct csn_mail *mail)
{
    if (!count_inline(mail)) return add_texts(easy, mime, mail);
    curl_mime *related = curl_mime_init(easy);
    if (related && add_texts(easy, related, mail) && add_files(related, mail, true))
        return add_parts(related, mime, "multipart/related");
    curl_mime_free(related);
    return false;
}

/* curl makes the outermost multipart/mixed itself. */
curl_mime *mime_body(CURL *easy, const struct csn_mail *mail)
{
    curl_mime *mime = curl_mime_init(easy);
    if (mime && add_related(easy, mime, mail) && add_files(mime, mail, false)) return mime;
    curl_mime_free(mime);
    return NULL;
}
