/* SPDX-License-Identifier: Apache-2.0 */
/* caisson/mail.h — one e-mail message over SMTP (RFC 5321) for a connector.
 *
 * The session goes over csn_dial. The helper writes the message: UTF-8 everywhere, encoded headers (RFC 2047, 2231),
 * multipart bodies, no line break in any header. csn_commit is called for you right before DATA. There only when the
 * manifest declares egress.
 *
 * Every structure begins with its size and may grow at the end; zero and NULL are the defaults of all members. */
#ifndef CAISSON_MAIL_H
#define CAISSON_MAIL_H

#include "caisson/connector.h"

#ifdef __cplusplus
extern "C" {
#endif

enum csn_mail_tls {
    CSN_MAIL_STARTTLS = 0, /* required: without it nothing is sent, no user name either */
    CSN_MAIL_TLS = 1,      /* from the first byte (port 465) */
    CSN_MAIL_PLAIN = 2     /* in clear; with a user name it is refused; the grant must allow plain:// */
};

/* How far the session got: the stage that failed, or CSN_MAIL_DONE. */
enum csn_mail_stage {
    CSN_MAIL_CHECK = 0,  /* something in struct csn_mail is wrong; nothing was dialled */
    CSN_MAIL_CONNECT,    /* dial, greeting, EHLO */
    CSN_MAIL_SECURE,     /* STARTTLS, handshake, certificate */
    CSN_MAIL_AUTH,       /* user name and password */
    CSN_MAIL_ENVELOPE,   /* MAIL FROM, RCPT TO */
    CSN_MAIL_DATA,       /* DATA, the message, its acknowledgement: the point of no return is behind */
    CSN_MAIL_DONE
};

/* A mailbox. */
struct csn_mail_address {
    const char *address; /* local@domain; domain in ASCII (A-labels), local part UTF-8 */
    const char *name;    /* display name, UTF-8; NULL: none */
};

struct csn_mail_header {
    const char *name, *value; /* name: RFC 5322 characters; value: UTF-8, no control character */
};

struct csn_mail_attachment {
    const char *name;       /* file name, UTF-8, no control character */
    const char *type;       /* e.g. "application/pdf"; NULL: application/octet-stream */
    const char *content_id; /* for cid: links in html, without <>; such a part is shown inline. NULL: none */
    const void *bytes;
    size_t size;
};

/* What to send, and where. Everything in it stays yours and must live until csn_mail returns. */
struct csn_mail {
    uint32_t size;                /* sizeof(struct csn_mail) */
    int tls;                      /* enum csn_mail_tls */
    const char *host;             /* name or address, ASCII */
    int port;                     /* 0: 587, with CSN_MAIL_TLS 465 */
    const char *user, *password;  /* AUTH PLAIN or LOGIN, whichever is offered; NULL: no authentication */
    const char *helo;             /* our name in EHLO; NULL: localhost */
    int timeout_ms;               /* for the whole session; 0, or more than is left: until shortly before the deadline */
    struct csn_mail_address from; /* header and envelope */
    const struct csn_mail_address *to, *cc, *bcc, *reply_to;
    size_t to_count, cc_count, bcc_count, reply_to_count; /* to + cc + bcc: 1 to 1000 */
    const char *subject;          /* UTF-8; NULL: none */
    const char *message_id;       /* local@domain, without <>; NULL: the receiving server may add one */
    int64_t date;                 /* seconds since 1970; 0: now */
    const char *text, *html;      /* UTF-8; both: alternatives of one body; neither: an empty text */
    const struct csn_mail_attachment *attachments;
    size_t attachment_count;      /* at most 100 */
    const struct csn_mail_header *headers; /* your own; not those that are made from the members above */
    size_t header_count;          /* at most 64 */
};

/* What the server said to one recipient. */
struct csn_mail_recipient {
    const char *address; /* as you gave it */
    int code;            /* the SMTP reply code to its RCPT TO, e.g. 250, 451, 550; 0: it was never asked */
    const char *text;    /* the reply's text, at most 200 bytes; never NULL */
};

/* What came of it. Set by csn_mail, whatever it returns. What it points to belongs to the host.
 * [lives until the next csn_mail, or until the action returns] */
struct csn_mail_result {
    uint32_t size;         /* sizeof(struct csn_mail_result), set by you */
    int stage;             /* enum csn_mail_stage */
    int code;              /* the last SMTP reply code that decided, 0: none came */
    const char *text;      /* its text; never NULL */
    const struct csn_mail_recipient *recipients; /* to, then cc, then bcc */
    size_t recipient_count, accepted;            /* accepted: recipients that got a 2xx */
    int refused;           /* 1: the same message will not get further later: wrong members, a host that is not
                            * allowed, a certificate that does not verify, a 5xx */
};

/* The session. 1: the server took responsibility for the message, for at least one recipient. 0: it did not, and will
 * not: it failed before DATA, or the server refused it with a code. -1: it broke off after DATA, so nobody can say.
 * csn_problem says why for 0 and -1. [action] */
static inline int csn_mail(struct csn_call *call, const struct csn_mail *mail, struct csn_mail_result *result)
{
    return call->services->mail(call, mail, result);
}

#ifdef __cplusplus
}
#endif

#endif
