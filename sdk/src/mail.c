/* SPDX-License-Identifier: Apache-2.0 */
/* csn_mail: one SMTP session over a dial. curl speaks; this file listens to both sides of the dialogue, because only
 * the reply codes say what became of each recipient. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "mime.h"

enum { REPLY = 200 };

/* The session that runs. */
static struct session {
    struct csn_call *call;
    const struct csn_mail *mail;
    int stage, code;
    char text[REPLY + 1];
    struct csn_mail_recipient *recipients; /* kept memory */
    size_t count, asked, accepted;
    bool rcpt, authenticated, committed, dialled_before, over;
    int data_code; /* the last reply after DATA */
} session;

/* Everything that a session needs from the heap and that is not kept for the connector. */
struct letter {
    struct curl_slist *envelope, *headers;
    curl_mime *body;
};

static void letter_clear(struct letter *letter)
{
    curl_slist_free_all(letter->envelope);
    curl_mime_free(letter->body);
    curl_slist_free_all(letter->headers);
}

/* ── the dialogue ─────────────────────────────────────────────────────────────────────────────────────*/

/* One command on its way. Lines of an authentication exchange are none of these and change nothing. */
static void saw_command(const char *line, size_t size)
{
    static const struct {
        const char *verb;
        int stage;
    } verbs[] = {{"EHLO", CSN_MAIL_CONNECT}, {"HELO", CSN_MAIL_CONNECT},  {"STARTTLS", CSN_MAIL_SECURE},
                 {"AUTH", CSN_MAIL_AUTH},    {"MAIL", CSN_MAIL_ENVELOPE}, {"RCPT", CSN_MAIL_ENVELOPE},
                 {"DATA", CSN_MAIL_DATA}};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        size_t length = strlen(verbs[i].verb);
        bool same = size > length && memcmp(line, verbs[i].verb, length) == 0 && strchr(" \r", line[length]);
        if (!same || (session.stage == CSN_MAIL_AUTH && verbs[i].stage < CSN_MAIL_ENVELOPE)) continue;
        session.stage = verbs[i].stage;
        session.rcpt = i == 5;
        session.code = 0;
    }
}

/* After a failure curl says QUIT and would wait for the answer longer than the deadline allows: it need not. An answer
 * that is there already is none to what failed. */
static int watch(CURL *easy, curl_infotype type, char *bytes, size_t size, void *own)
{
    (void)easy, (void)own;
    if (type != CURLINFO_HEADER_OUT) return 0;
    if (session.stage != CSN_MAIL_DATA) saw_command(bytes, size);
    if (size != 6 || memcmp(bytes, "QUIT\r\n", 6) != 0) return 0;
    session.over = true;
    if (transport.fd >= 0) shutdown(transport.fd, SHUT_RDWR);
    return 0;
}

/* Readable text only: what a server says ends up before people. */
static void copy_reply(char into[REPLY + 1], const char *text, size_t size)
{
    size_t used = 0;
    for (size_t i = 0; i < size && used < REPLY; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\r' || c == '\n') break;
        into[used++] = c >= 0x20 && c < 0x7f ? (char)c : '?';
    }
    into[used] = 0;
}

/* The reply to one RCPT. After the last, DATA comes next if anybody is left: the point of no return. */
static void saw_recipient(void)
{
    if (session.asked >= session.count) return;
    struct csn_mail_recipient *recipient = &session.recipients[session.asked++];
    char *text = kept_text(session.text);
    recipient->code = session.code;
    recipient->text = text ? text : "";
    if (session.code / 100 == 2) session.accepted++;
    if (session.asked < session.count || session.accepted == 0) return;
    session.committed = true;
    csn_commit(session.call);
}

static size_t take_reply(char *line, size_t unit, size_t count, void *own)
{
    (void)own;
    size_t size = unit * count;
    if (session.over || size < 4 || !isdigit((unsigned char)line[0]) || !isdigit((unsigned char)line[1]) ||
        !isdigit((unsigned char)line[2]))
        return size;
    session.code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
    copy_reply(session.text, line + 4, size - 4);
    if (line[3] == '-') return size; /* more lines of this reply follow */
    if (session.stage == CSN_MAIL_AUTH && session.code == 235) session.authenticated = true;
    if (session.stage == CSN_MAIL_DATA) session.data_code = session.code;
    if (session.rcpt && session.stage == CSN_MAIL_ENVELOPE) saw_recipient();
    return size;
}

/* The session stands, MAIL is next. curl goes on without authentication when the server offers none: we do not. */
static int before_mail(void *own, char *peer, char *local, int peer_port, int local_port)
{
    (void)own, (void)peer, (void)local, (void)peer_port, (void)local_port;
    if (!session.mail->user || session.authenticated || transport.dials == 0) return CURL_PREREQFUNC_OK;
    session.stage = CSN_MAIL_AUTH;
    session.code = 0;
    snprintf(transport.error, sizeof transport.error, "the server offers neither AUTH PLAIN nor AUTH LOGIN");
    return CURL_PREREQFUNC_ABORT;
}

/* ── the set-up ───────────────────────────────────────────────────────────────────────────────────────*/

static bool add_recipients(struct letter *letter, const struct csn_mail_address *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct curl_slist *more = curl_slist_append(letter->envelope, list[i].address);
        if (!more) return false;
        letter->envelope = more;
        struct csn_mail_recipient *recipient = &session.recipients[session.count++];
        recipient->address = kept_text(list[i].address);
        recipient->text = "";
        if (!recipient->address) return false;
    }
    return true;
}

static bool write_letter(struct csn_call *call, const struct csn_mail *mail, struct letter *letter)
{
    session.recipients = kept((mail->to_count + mail->cc_count + mail->bcc_count) * sizeof *session.recipients);
    bool good = session.recipients && add_recipients(letter, mail->to, mail->to_count) &&
                add_recipients(letter, mail->cc, mail->cc_count) && add_recipients(letter, mail->bcc, mail->bcc_count);
    if (good) letter->headers = mime_headers(call, mail);
    if (letter->headers) letter->body = mime_body(transport.easy, mail);
    return letter->body || explain(call, "out of memory");
}

static bool helo_valid(const char *helo)
{
    for (const char *c = helo; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("-.", *c)) return false;
    return *helo && strlen(helo) <= 253;
}

static bool control_free(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f) return false;
    return true;
}

static bool check_server(struct csn_call *call, const struct csn_mail *mail)
{
    if (!mail->host || !transport_host_valid(mail->host) || mail->host[0] == '[')
        return explain(call, "the mail server's host is not a name in ASCII, or an address without brackets");
    if (mail->port < 0 || mail->port > 65535) return explain(call, "the mail server's port is not 1 to 65535");
    if (mail->helo && !helo_valid(mail->helo)) return explain(call, "the name for EHLO is not a host name");
    if (mail->tls < CSN_MAIL_STARTTLS || mail->tls > CSN_MAIL_PLAIN) return explain(call, "tls has no valid value");
    if (!mail->user) return true;
    if (mail->tls == CSN_MAIL_PLAIN) return explain(call, "a password is never sent without TLS");
    return (control_free(mail->user) && control_free(mail->password ? mail->password : "")) ||
           explain(call, "the user name or password for SMTP holds a control character");
}

static bool set_user(const struct csn_mail *mail)
{
    CURL *easy = transport.easy;
    if (!mail->user) return true;
    return !curl_easy_setopt(easy, CURLOPT_LOGIN_OPTIONS, "AUTH=PLAIN;AUTH=LOGIN") &&
           !curl_easy_setopt(easy, CURLOPT_USERNAME, mail->user) &&
           !curl_easy_setopt(easy, CURLOPT_PASSWORD, mail->password ? mail->password : "");
}

static bool set_session(const struct csn_mail *mail, uint16_t port)
{
    char url[TRANSPORT_HOST * 2 + 64];
    bool bracket = strchr(mail->host, ':') != NULL;
    snprintf(url, sizeof url, "%s://%s%s%s:%u/%s", mail->tls == CSN_MAIL_TLS ? "smtps" : "smtp", bracket ? "[" : "",
             mail->host, bracket ? "]" : "", port, mail->helo ? mail->helo : "localhost");
    CURL *easy = transport.easy;
    long tls = mail->tls == CSN_MAIL_PLAIN ? CURLUSESSL_NONE : CURLUSESSL_ALL;
    return !curl_easy_setopt(easy, CURLOPT_URL, url) && !curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps") &&
           !curl_easy_setopt(easy, CURLOPT_USE_SSL, tls) && !curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L) &&
           !curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, watch) &&
           !curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_reply) &&
           !curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, before_mail) && set_user(mail);
}

static bool set_letter(const struct csn_mail *mail, const struct letter *letter)
{
    CURL *easy = transport.easy;
    return !curl_easy_setopt(easy, CURLOPT_MAIL_FROM, mail->from.address) &&
           !curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, letter->envelope) &&
           !curl_easy_setopt(easy, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L) &&
           !curl_easy_setopt(easy, CURLOPT_HTTPHEADER, letter->headers) &&
           !curl_easy_setopt(easy, CURLOPT_MIMEPOST, letter->body);
}

static bool prepare(struct csn_call *call, const struct csn_mail *mail, struct letter *letter)
{
    uint16_t port = mail->port ? (uint16_t)mail->port : mail->tls == CSN_MAIL_TLS ? 465 : 587;
    if (!check_server(call, mail) || !mime_check(call, mail) ||
        !transport_begin(call, mail->host, port, mail->timeout_ms) || !write_letter(call, mail, letter))
        return false;
    session.stage = mail->tls == CSN_MAIL_TLS ? CSN_MAIL_SECURE : CSN_MAIL_CONNECT;
    return (set_session(mail, port) && set_letter(mail, letter)) || explain(call, "the mail client cannot be set up");
}

/* ── the verdict ──────────────────────────────────────────────────────────────────────────────────────*/

/* One sentence for a session that did not end well: the server's own words where it said any. */
static void say(struct csn_call *call, CURLcode code)
{
    static const char *const at[] = {"checking the message", "greeting", "STARTTLS", "AUTH", "the envelope", "DATA"};
    if (transport.dial_failed) return;
    if (session.code >= 400)
        explain(call, "%.100s answered %d to %s: %s", session.mail->host, session.code, at[session.stage],
                session.text);
    else
        explain(call, "%.100s, at %s: %s", session.mail->host, at[session.stage], transport_error(code));
}

/* The handshake's failures belong to the stage that secures, whichever command came last. */
static void blame_tls(CURLcode code)
{
    bool tls = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR ||
               code == CURLE_USE_SSL_FAILED;
    if (tls && session.stage < CSN_MAIL_AUTH) session.stage = CSN_MAIL_SECURE;
}

/* 1 taken over, 0 not, -1 nobody knows. */
static int verdict(struct csn_call *call, CURLcode code)
{
    if (code == CURLE_OK && session.data_code / 100 == 2) {
        session.stage = CSN_MAIL_DONE;
        return 1;
    }
    blame_tls(code);
    say(call, code);
    if (!session.committed) return 0;
    return session.data_code >= 400 ? 0 : -1;
}

/* Will the same message meet the same end later? A reply code decides before curl's own reading of the failure. */
static bool refused(CURLcode code)
{
    bool mixed = false; /* one 4xx, where all recipients were refused, makes the whole worth another attempt */
    for (size_t i = 0; i < session.asked && !session.accepted; i++) mixed |= session.recipients[i].code / 100 == 4;
    if (session.code >= 400) return session.code >= 500 && !mixed;
    return transport_refused(code) || code == CURLE_LOGIN_DENIED || code == CURLE_ABORTED_BY_CALLBACK;
}

static void hand_over(struct csn_mail_result *result, bool is_refused)
{
    char *text = kept_text(session.text);
    struct csn_mail_result full = {.size = result->size,
                                   .stage = session.stage,
                                   .code = session.code,
                                   .text = text ? text : "",
                                   .recipients = session.recipients,
                                   .recipient_count = session.count,
                                   .accepted = session.accepted,
                                   .refused = is_refused};
    memcpy(result, &full, result->size < sizeof full ? result->size : sizeof full);
}

int helpers_mail(struct csn_call *call, const struct csn_mail *asked, struct csn_mail_result *result)
{
    struct csn_mail mail = {0};
    memcpy(&mail, asked, asked->size < sizeof mail ? asked->size : sizeof mail);
    struct letter letter = {0};
    session = (struct session){.call = call, .mail = &mail};
    bool ready = prepare(call, &mail, &letter), is_refused = !ready && csn_left_ms(call) > 0;
    if (!ready) session.stage = CSN_MAIL_CHECK;
    int got = 0;
    if (ready) {
        CURLcode code = curl_easy_perform(transport.easy);
        got = verdict(call, code);
        is_refused = got == 0 && refused(code);
        transport_finish();
    }
    letter_clear(&letter);
    hand_over(result, is_refused);
    session = (struct session){0};
    return got;
}
