/* SPDX-License-Identifier: Apache-2.0 */
/* email — sends one message: over SMTP (send), or over SendGrid's v3 API (send_api). Both take the same input. */
#define _POSIX_C_SOURCE 200809L
#include <caisson/http.h>
#include <caisson/mail.h>
#include <stdlib.h>

enum { PEOPLE = 300, FILES = 32, HEADERS = 32 };

/* The input, read once. */
struct message {
    struct csn_call *call;
    struct csn_mail_address from, reply_to, to[PEOPLE], cc[PEOPLE], bcc[PEOPLE];
    size_t to_count, cc_count, bcc_count, file_count, header_count;
    struct csn_mail_attachment files[FILES];
    struct csn_mail_header headers[HEADERS];
    const char *subject, *text, *html;
    char id[320]; /* of the message: local@domain */
    char problem[200];
};

/* ── the input ────────────────────────────────────────────────────────────────────────────────────────*/

static int wrong(struct message *m, const char *where, const char *what)
{
    snprintf(m->problem, sizeof m->problem, "%.100s: %s", where, what);
    return 0;
}

/* Line breaks and their like in a header would let the caller write headers of his own. */
static int clean(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; at && *at; at++)
        if (*at < 0x20 || *at == 0x7f || (*at == 0xc2 && at[1] < 0xa0)) return 0;
    return 1;
}

/* A mailbox is a string, or an object with address and name. */
static int read_address(struct message *m, const char *pointer, struct csn_mail_address *into)
{
    char inner[64];
    into->address = csn_input(m->call, pointer);
    if (!into->address) {
        snprintf(inner, sizeof inner, "%s/address", pointer);
        into->address = csn_input(m->call, inner);
        snprintf(inner, sizeof inner, "%s/name", pointer);
        into->name = csn_input(m->call, inner);
    }
    if (!into->address) return wrong(m, pointer, "there is no mail address");
    return (clean(into->address) && clean(into->name)) ||
           wrong(m, pointer, "holds a line break or a control character");
}

static int read_people(struct message *m, const char *pointer, struct csn_mail_address *into, size_t *count)
{
    char inner[32];
    int many = csn_count(m->call, pointer);
    if (many > PEOPLE) return wrong(m, pointer, "more than 300 recipients");
    for (int i = 0; i < many; i++) {
        snprintf(inner, sizeof inner, "%s/%d", pointer, i);
        if (!read_address(m, inner, &into[i])) return 0;
    }
    *count = many > 0 ? (size_t)many : 0;
    return 1;
}

static int read_from(struct message *m)
{
    const char *address = csn_setting(m->call, "/from");
    if (csn_json(m->call, "/from")) return read_address(m, "/from", &m->from);
    m->from.address = address;
    m->from.name = csn_setting(m->call, "/from_name");
    return address || wrong(m, "/from", "neither the input nor the settings name a sender");
}

static int read_header(struct message *m, int index)
{
    char pointer[300];
    const char *name = csn_key(m->call, "/headers", index);
    snprintf(pointer, sizeof pointer, "/headers/%.200s", name ? name : "");
    if (!name || strpbrk(name, "~/")) return wrong(m, "/headers", "a name holds a character that no header has");
    m->headers[index].name = name;
    m->headers[index].value = csn_input(m->call, pointer);
    if (!m->headers[index].value) return wrong(m, pointer, "the name is too long");
    return (clean(name) && clean(m->headers[index].value)) ||
           wrong(m, pointer, "holds a line break or a control character");
}

static int read_headers(struct message *m)
{
    int many = csn_count(m->call, "/headers");
    if (many > HEADERS) return wrong(m, "/headers", "more than 32");
    for (int i = 0; i < many; i++)
        if (!read_header(m, i)) return 0;
    m->header_count = many > 0 ? (size_t)many : 0;
    return 1;
}

static const char *file_member(struct message *m, int index, const char *name)
{
    char pointer[64];
    snprintf(pointer, sizeof pointer, "/attachments/%d/%s", index, name);
    return csn_input(m->call, pointer);
}

/* The bytes are decoded for SMTP only; SendGrid takes the base64 as it is. */
static int read_files(struct message *m, int decode)
{
    char pointer[64];
    int many = csn_count(m->call, "/attachments");
    if (many > FILES) return wrong(m, "/attachments", "more than 32");
    for (int i = 0; i < many; i++) {
        struct csn_mail_attachment *file = &m->files[i];
        file->name = file_member(m, i, "name");
        file->type = file_member(m, i, "type");
        file->content_id = file_member(m, i, "content_id");
        snprintf(pointer, sizeof pointer, "/attachments/%d/content", i);
        if (decode && !csn_blob(m->call, pointer, &file->bytes, &file->size)) return wrong(m, pointer, "is not base64");
        if (!file->name || !clean(file->name) || !clean(file->type) || !clean(file->content_id))
            return wrong(m, pointer, "the attachment's name, type or content_id holds a control character");
    }
    m->file_count = many > 0 ? (size_t)many : 0;
    return 1;
}

/* The same over all attempts of a call, so that a receiver can tell a second delivery. */
static int make_id(struct message *m)
{
    const char *at = strrchr(m->from.address, '@');
    if (!at || strlen(at) > 254) return wrong(m, "/from", "is not a mail address");
    snprintf(m->id, sizeof m->id, "%s%s", csn_call_id(m->call), at);
    return 1;
}

static int read_message(struct message *m, int decode)
{
    m->subject = csn_input(m->call, "/subject");
    m->text = csn_input(m->call, "/text");
    m->html = csn_input(m->call, "/html");
    if (!clean(m->subject)) return wrong(m, "/subject", "holds a line break or a control character");
    if (!read_from(m) || !read_people(m, "/to", m->to, &m->to_count) || !read_people(m, "/cc", m->cc, &m->cc_count) ||
        !read_people(m, "/bcc", m->bcc, &m->bcc_count))
        return 0;
    if (m->to_count + m->cc_count + m->bcc_count == 0) return wrong(m, "/to", "the message has no recipient");
    if (csn_json(m->call, "/reply_to") && !read_address(m, "/reply_to", &m->reply_to)) return 0;
    return read_headers(m) && read_files(m, decode) && make_id(m);
}

/* ── SMTP ─────────────────────────────────────────────────────────────────────────────────────────────*/

static int tls_mode(const char *name)
{
    if (name && strcmp(name, "tls") == 0) return CSN_MAIL_TLS;
    return name && strcmp(name, "plain") == 0 ? CSN_MAIL_PLAIN : CSN_MAIL_STARTTLS;
}

static void fill(struct message *m, struct csn_mail *mail)
{
    const char *port = csn_setting(m->call, "/port");
    mail->host = csn_setting(m->call, "/host");
    mail->port = port ? atoi(port) : 0;
    mail->tls = tls_mode(csn_setting(m->call, "/tls"));
    mail->helo = csn_setting(m->call, "/helo");
    mail->user = csn_secret(m->call, "username");
    mail->password = csn_secret(m->call, "password");
    mail->from = m->from;
    mail->to = m->to;
    mail->cc = m->cc;
    mail->bcc = m->bcc;
    mail->reply_to = &m->reply_to;
    mail->to_count = m->to_count;
    mail->cc_count = m->cc_count;
    mail->bcc_count = m->bcc_count;
    mail->reply_to_count = m->reply_to.address != NULL;
    mail->subject = m->subject;
    mail->message_id = m->id;
    mail->text = m->text;
    mail->html = m->html;
    mail->attachments = m->files;
    mail->attachment_count = m->file_count;
    mail->headers = m->headers;
    mail->header_count = m->header_count;
}

/* [{"address", "accepted", "code"?, "text"?}]; code and text only where a server answered for each. */
static void report_people(struct message *m, const struct csn_mail_recipient *list, size_t count, int accepted)
{
    char *json = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&json, &size);
    if (!stream) return;
    for (size_t i = 0; i < count; i++) {
        fprintf(stream, "%s{\"address\":", i ? "," : "[");
        csn_json_write(stream, list[i].address);
        fprintf(stream, ",\"accepted\":%s", accepted && list[i].code / 100 == 2 ? "true" : "false");
        if (list[i].text) {
            fprintf(stream, ",\"code\":%d,\"text\":", list[i].code);
            csn_json_write(stream, list[i].text);
        }
        fputc('}', stream);
    }
    fputs(count ? "]" : "[]", stream);
    if (fclose(stream) == 0) csn_set_json(m->call, "/recipients", json);
    free(json);
}

static int finish(struct message *m, int got, const struct csn_mail_result *result)
{
    char text[512];
    report_people(m, result->recipients, result->recipient_count, got == 1);
    if (result->code) csn_set_int(m->call, "/code", result->code);
    if (got == 1) {
        snprintf(text, sizeof text, "<%s>", m->id);
        csn_set(m->call, "/message_id", text);
        csn_set_int(m->call, "/accepted", (int64_t)result->accepted);
        return csn_ok(m->call);
    }
    if (got < 0) {
        snprintf(text, sizeof text, "the mail server may have taken the message: %s", csn_problem(m->call));
        return csn_fail(m->call, CSN_UNKNOWN, text);
    }
    int status = !result->refused ? CSN_RETRY : result->stage == CSN_MAIL_CHECK ? CSN_BAD_INPUT : CSN_REJECTED;
    return csn_fail(m->call, status, csn_problem(m->call));
}

static struct message message; /* too large for a stack; one call at a time */

static int send_smtp(struct csn_call *call)
{
    message = (struct message){.call = call};
    if (!csn_setting(call, "/host"))
        return csn_fail(call, CSN_REJECTED, "the setting host is missing: the mail server's name");
    if (!read_message(&message, 1)) return csn_fail(call, CSN_BAD_INPUT, message.problem);
    struct csn_mail mail = {.size = sizeof mail};
    struct csn_mail_result result = {.size = sizeof result};
    fill(&message, &mail);
    int got = csn_mail(call, &mail, &result);
    return finish(&message, got, &result);
}

/* ── SendGrid ─────────────────────────────────────────────────────────────────────────────────────────*/

static void write_address(FILE *out, const struct csn_mail_address *one)
{
    fputs("{\"email\":", out);
    csn_json_write(out, one->address);
    if (one->name) {
        fputs(",\"name\":", out);
        csn_json_write(out, one->name);
    }
    fputc('}', out);
}

static void write_people(FILE *out, const char *name, const struct csn_mail_address *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i)
            fputc(',', out);
        else
            fprintf(out, "%s\"%s\":[", strcmp(name, "to") == 0 ? "" : ",", name);
        write_address(out, &list[i]);
    }
    if (count) fputc(']', out);
}

static void write_contents(FILE *out, const struct message *m)
{
    const char *text = m->text || m->html ? m->text : " ";
    fputs(",\"content\":[", out);
    if (text)
        fputs("{\"type\":\"text/plain\",\"value\":", out), csn_json_write(out, *text ? text : " "), fputc('}', out);
    if (text && m->html) fputc(',', out);
    if (m->html) fputs("{\"type\":\"text/html\",\"value\":", out), csn_json_write(out, m->html), fputc('}', out);
    fputc(']', out);
}

static void write_file(FILE *out, struct message *m, int index)
{
    const struct csn_mail_attachment *file = &m->files[index];
    fputs(index ? ",{\"content\":" : ",\"attachments\":[{\"content\":", out);
    csn_json_write(out, file_member(m, index, "content"));
    fputs(",\"filename\":", out);
    csn_json_write(out, file->name);
    fputs(",\"type\":", out);
    csn_json_write(out, file->type ? file->type : "application/octet-stream");
    fprintf(out, ",\"disposition\":\"%s\"", file->content_id ? "inline" : "attachment");
    if (file->content_id) fputs(",\"content_id\":", out), csn_json_write(out, file->content_id);
    fputs((size_t)index + 1 == m->file_count ? "}]" : "}", out);
}

static void write_headers(FILE *out, const struct message *m)
{
    fputs(",\"headers\":{\"Message-ID\":", out);
    char id[330];
    snprintf(id, sizeof id, "<%s>", m->id);
    csn_json_write(out, id);
    for (size_t i = 0; i < m->header_count; i++) {
        fputc(',', out);
        csn_json_write(out, m->headers[i].name);
        fputc(':', out);
        csn_json_write(out, m->headers[i].value);
    }
    fputc('}', out);
}

static char *write_request(struct message *m, size_t *size)
{
    char *json = NULL;
    FILE *out = open_memstream(&json, size);
    if (!out) return NULL;
    fputs("{\"personalizations\":[{", out);
    write_people(out, "to", m->to, m->to_count);
    write_people(out, "cc", m->cc, m->cc_count);
    write_people(out, "bcc", m->bcc, m->bcc_count);
    fputs(",\"custom_args\":{\"caisson_call\":", out);
    csn_json_write(out, csn_call_id(m->call));
    fputs("}}],\"from\":", out);
    write_address(out, &m->from);
    if (m->reply_to.address) fputs(",\"reply_to\":", out), write_address(out, &m->reply_to);
    fputs(",\"subject\":", out);
    csn_json_write(out, m->subject && *m->subject ? m->subject : " ");
    write_contents(out, m);
    for (size_t i = 0; i < m->file_count; i++) write_file(out, m, (int)i);
    write_headers(out, m);
    fputc('}', out);
    if (fclose(out) == 0) return json;
    free(json);
    return NULL;
}

/* SendGrid answers for the whole message; every recipient shares it. */
static void report_api(struct message *m, int accepted)
{
    static struct csn_mail_recipient list[3 * PEOPLE];
    size_t count = 0;
    for (size_t i = 0; i < m->to_count; i++) list[count++].address = m->to[i].address;
    for (size_t i = 0; i < m->cc_count; i++) list[count++].address = m->cc[i].address;
    for (size_t i = 0; i < m->bcc_count; i++) list[count++].address = m->bcc[i].address;
    for (size_t i = 0; i < count; i++) list[i].code = 202;
    report_people(m, list, count, accepted);
    if (accepted) csn_set_int(m->call, "/accepted", (int64_t)count);
}

static int finish_api(struct message *m, int got, const struct csn_http_response *response)
{
    char text[700];
    int good = csn_http_success(got, response);
    const char *id = csn_http_header(response, "X-Message-Id");
    if (got == 1) csn_set_int(m->call, "/code", response->status);
    report_api(m, good);
    snprintf(text, sizeof text, "<%s>", m->id);
    if (good) csn_set(m->call, "/message_id", text);
    if (good && id) csn_set(m->call, "/service_id", id);
    if (good) return csn_ok(m->call);
    const char *why = csn_http_json(response, "/errors/0/message");
    if (why) csn_set(m->call, "/error_message", why);
    return csn_http_fail(m->call, got, response, "SendGrid");
}

/* What the helper checks for SMTP and SendGrid would refuse, or worse, take. */
static int check_api(struct message *m)
{
    if (!m->to_count) return wrong(m, "/to", "SendGrid needs at least one");
    for (size_t i = 0; i < m->header_count; i++)
        if (strcasecmp(m->headers[i].name, "message-id") == 0 || strcasecmp(m->headers[i].name, "bcc") == 0)
            return wrong(m, "/headers", "Message-ID and Bcc cannot be set");
    return 1;
}

static int post(struct message *m, const char *key)
{
    char url[1100], bearer[600];
    const char *base = csn_setting(m->call, "/sendgrid_url");
    snprintf(url, sizeof url, "%.1000s/v3/mail/send", base ? base : "https://api.sendgrid.com");
    snprintf(bearer, sizeof bearer, "Bearer %s", key);
    struct csn_http_pair headers[] = {{"Authorization", bearer}, {"Content-Type", "application/json"}};
    struct csn_http_request request = {.size = sizeof request, .method = "POST", .url = url};
    struct csn_http_response response = {.size = sizeof response};
    char *json = write_request(m, &request.body_size);
    if (!json) return csn_fail(m->call, CSN_RETRY, "out of memory");
    request.body = json;
    request.headers = headers;
    request.header_count = 2;
    int got = csn_http(m->call, &request, &response);
    free(json);
    memset(bearer, 0, sizeof bearer);
    return finish_api(m, got, &response);
}

static int send_api(struct csn_call *call)
{
    const char *key = csn_secret(call, "api_key");
    message = (struct message){.call = call};
    if (!key || strlen(key) > 500) return csn_fail(call, CSN_BAD_INPUT, "the call names no credential with an api_key");
    if (!read_message(&message, 0) || !check_api(&message)) return csn_fail(call, CSN_BAD_INPUT, message.problem);
    return post(&message, key);
}

CSN_CONNECTOR("email", "1.0.0", {"send", send_smtp}, {"send_api", send_api});
