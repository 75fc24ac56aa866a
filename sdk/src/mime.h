/* SPDX-License-Identifier: Apache-2.0 */
/* From struct csn_mail to message headers and a tree of parts. */
#ifndef CAISSON_MIME_H
#define CAISSON_MIME_H

#include "transport.h"

/* Is everything in it fit for a message? False: explained. All addresses and headers are checked here. */
bool mime_check(struct csn_call *call, const struct csn_mail *mail);
/* The message's header lines, to be freed with curl_slist_free_all; NULL: no memory. */
struct curl_slist *mime_headers(struct csn_call *call, const struct csn_mail *mail);
/* The message's body, to be freed with curl_mime_free after the transfer; NULL: no memory. Points into mail. */
curl_mime *mime_body(CURL *easy, const struct csn_mail *mail);

/* encode.c: "name: text", UTF-8, folded to lines of at most 76 characters where it can be; encoded words (RFC 2047)
 * for what is not ASCII. */
void encode_text(FILE *stream, const char *name, const char *text);
/* "name: mailbox, mailbox": names quoted or as encoded words. */
void encode_addresses(FILE *stream, const char *name, const struct csn_mail_address *list, size_t count);
/* key="value", or key*=UTF-8''… (RFC 2231) for what is not plain ASCII. */
void encode_parameter(FILE *stream, const char *key, const char *value);
/* "Date: Thu, 01 Jan 1970 00:00:00 +0000" */
void encode_date(FILE *stream, int64_t seconds);
bool encode_ascii(const char *text);
/* Can ASCII text be broken into lines that a message may have? A word counts with the blanks behind it. */
bool encode_folds(const char *text);
/* Well-formed UTF-8 without control characters. */
bool encode_valid(const char *text);

#endif
