/* SPDX-License-Identifier: Apache-2.0 */
/* The one object that libcaisson-helpers.so exports: HTTP, SMTP and signatures for connectors, over libcurl and
 * OpenSSL. A cell whose entry declares egress loads it once and warms it up before it confines itself. */
#ifndef CAISSON_HELPERS_H
#define CAISSON_HELPERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "caisson/connector.h"
#include "caisson/http.h"
#include "caisson/mail.h"

/* The name to look up with dlsym; it carries the major version of this structure. */
#define CSN_HELPERS_SYMBOL "csn_helpers_1"

/* Grows at the end only; size says how much is there. Copy the functions into struct csn_services under the same
 * names. They use, of the host's services, only dial, commit, left, now and explain. */
struct csn_helpers {
    uint32_t size, abi; /* abi: CSN_ABI */
    /* Once per process, before it forks and confines itself: parses ca_pem (PEM certificates, length bytes, no NUL
     * needed) and touches everything that libcurl and OpenSSL set up lazily, so that http and mail later open no
     * file. False: no certificate could be read, or a library refused to start. */
    bool (*warm)(const char *ca_pem, size_t length);
    int (*http)(struct csn_call *, const struct csn_http_request *, struct csn_http_response *);
    int (*mail)(struct csn_call *, const struct csn_mail *, struct csn_mail_result *);
    int (*hmac_sha256)(struct csn_call *, const void *key, size_t key_size, const void *bytes, size_t size,
                       unsigned char mac[32]);
    const char *(*base64)(struct csn_call *, const void *bytes, size_t size);
    int (*unbase64)(struct csn_call *, const char *text, const void **bytes, size_t *size);
    /* After every action (a leased worker runs several): wipes and frees what the functions above handed out. Kept
     * are the connections, so that the next call finds its TLS or SMTP session open. */
    void (*end)(struct csn_call *);
};

extern const struct csn_helpers csn_helpers_1;

#endif
