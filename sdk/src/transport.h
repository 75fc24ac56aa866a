/* SPDX-License-Identifier: Apache-2.0 */
/* What http.c and mail.c share: one curl handle per process whose every connection is a dial of the current call,
 * verified against one certificate store; and the memory that is handed to connectors. */
#ifndef CAISSON_TRANSPORT_H
#define CAISSON_TRANSPORT_H

#include <curl/curl.h>
#include <openssl/x509.h>
#include <stdbool.h>

#include "helpers.h"

enum { TRANSPORT_HOST = 256, TRANSPORT_TEXT = 400 };

struct transport {
    CURL *easy;        /* kept between calls, and with it the open sessions */
    X509_STORE *store; /* parsed once, before the process forks */
    struct csn_call *call;
    char host[TRANSPORT_HOST]; /* what the next dial asks for */
    uint16_t port;
    int dials; /* of this exchange */
    int fd;    /* the last stream dialled; curl owns it */
    bool dial_failed, denied;
    bool sent; /* the request is out: no further dial, curl must not start over */
    char error[CURL_ERROR_SIZE];
};
extern struct transport transport;

/* Resets the handle and sets all that every exchange has in common. host: as it stands in the URL, without brackets.
 * timeout_ms: the caller's wish, 0 for none. False (and explained): no time is left, or there is no handle. */
bool transport_begin(struct csn_call *call, const char *host, uint16_t port, int timeout_ms);
/* Takes every option out of the handle again, pointers into the caller's memory and secrets among them. */
void transport_finish(void);
/* Did the exchange fail for a reason that a later attempt will meet again? */
bool transport_refused(CURLcode code);
/* curl's own sentence for a failure. */
const char *transport_error(CURLcode code);
/* The host part of a URL: ASCII without control characters or blanks, and short enough. */
bool transport_host_valid(const char *host);

/* Makes text what csn_problem answers next. Always returns false. */
bool explain(struct csn_call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Zeroed memory that lives until helpers_end(); NULL when there is none. */
void *kept(size_t size);
char *kept_text(const char *text);
/* Wipes and frees all of it. */
void kept_clear(void);

/* The functions of the table. */
bool helpers_warm(const char *ca_pem, size_t length);
int helpers_http(struct csn_call *, const struct csn_http_request *, struct csn_http_response *);
int helpers_mail(struct csn_call *, const struct csn_mail *, struct csn_mail_result *);
int helpers_hmac_sha256(struct csn_call *, const void *key, size_t key_size, const void *bytes, size_t size,
                        unsigned char mac[32]);
const char *helpers_base64(struct csn_call *, const void *bytes, size_t size);
int helpers_unbase64(struct csn_call *, const char *text, const void **bytes, size_t *size);
void helpers_end(struct csn_call *);
/* http.c: drops the last answer. */
void http_forget(void);

#endif
