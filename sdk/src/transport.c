/* SPDX-License-Identifier: Apache-2.0 */
/* The way out of a worker: curl opens no socket of its own, every connection is a dial that the broker decides. */
#include "transport.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct transport transport;

/* What is handed to connectors, newest first. */
static struct block {
    struct block *next;
    size_t size;
    char bytes[];
} * blocks;

void *kept(size_t size)
{
    struct block *block = calloc(1, sizeof *block + size);
    if (!block) return NULL;
    block->size = size;
    block->next = blocks;
    blocks = block;
    return block->bytes;
}

char *kept_text(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = kept(size);
    if (copy) memcpy(copy, text, size);
    return copy;
}

void kept_clear(void)
{
    while (blocks) {
        struct block *block = blocks;
        blocks = block->next;
        explicit_bzero(block->bytes, block->size);
        free(block);
    }
}

bool explain(struct csn_call *call, const char *format, ...)
{
    char text[TRANSPORT_TEXT];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    const struct csn_services *host = call->services;
    if (host->size >= offsetof(struct csn_services, explain) + sizeof host->explain && host->explain)
        host->explain(call, text);
    return false;
}

bool transport_host_valid(const char *host)
{
    size_t length = strlen(host);
    if (length == 0 || length >= TRANSPORT_HOST) return false;
    for (const unsigned char *at = (const unsigned char *)host; *at; at++)
        if (*at <= ' ' || *at >= 0x7f || strchr("/@\\?#%", *at)) return false;
    return true;
}

/* curl wants a socket: dial. The address is a made-up one (see CONNECT_TO below); the broker resolves the name. */
static curl_socket_t open_socket(void *own, curlsocktype purpose, struct curl_sockaddr *address)
{
    (void)own, (void)address;
    if (purpose != CURLSOCKTYPE_IPCXN || transport.sent) return CURL_SOCKET_BAD;
    transport.dials++;
    errno = 0;
    int fd = csn_dial(transport.call, transport.host, transport.port);
    transport.fd = fd;
    transport.dial_failed = fd < 0;
    transport.denied = fd < 0 && errno == EACCES;
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

static CURLcode use_store(CURL *easy, void *context, void *own)
{
    (void)easy, (void)own;
    SSL_CTX_set1_cert_store(context, transport.store);
    return CURLE_OK;
}

/* Time for the exchange: what is left less a margin, in which the connector still says what happened. */
static long time_for(struct csn_call *call, int wish)
{
    long left = csn_left_ms(call);
    long margin = left / 10 < 250 ? left / 10 : 250;
    left -= margin;
    return wish > 0 && wish < left ? wish : left;
}

/* A name that needs no look-up for every host: curl must neither resolve (threads, files) nor see real addresses. */
static bool set_target(void)
{
    static struct curl_slist *everything;
    if (!everything) everything = curl_slist_append(NULL, "::198.18.0.1:");
    return everything && !curl_easy_setopt(transport.easy, CURLOPT_CONNECT_TO, everything);
}

static bool set_tls(CURL *easy)
{
    return !curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2) &&
           !curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L) && !curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L) &&
           !curl_easy_setopt(easy, CURLOPT_CAINFO, NULL) && !curl_easy_setopt(easy, CURLOPT_CAPATH, NULL) &&
           !curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, use_store);
}

static bool set_common(CURL *easy, long timeout)
{
    return set_target() && set_tls(easy) && !curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) &&
           !curl_easy_setopt(easy, CURLOPT_PROXY, "") && !curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) &&
           !curl_easy_setopt(easy, CURLOPT_IPRESOLVE, (long)CURL_IPRESOLVE_V4) &&
           !curl_easy_setopt(easy, CURLOPT_MAXCONNECTS, 4L) && !curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, timeout) &&
           !curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, timeout) &&
           !curl_easy_setopt(easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, (timeout + 999) / 1000) &&
           !curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) &&
           !curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transport.error);
}

bool transport_begin(struct csn_call *call, const char *host, uint16_t port, int timeout_ms)
{
    if (!transport.easy || !transport.store) return explain(call, "this process has no HTTP or mail client");
    long timeout = time_for(call, timeout_ms);
    if (timeout <= 0) return explain(call, "the call's deadline has passed");
    curl_easy_reset(transport.easy);
    transport.call = call;
    transport.port = port;
    transport.dials = 0;
    transport.dial_failed = transport.denied = transport.sent = false;
    transport.error[0] = 0;
    snprintf(transport.host, sizeof transport.host, "%s", host);
    if (!set_common(transport.easy, timeout)) return explain(call, "the HTTP and mail client cannot be set up");
    return true;
}

void transport_finish(void)
{
    curl_easy_reset(transport.easy);
    transport.call = NULL;
}

bool transport_refused(CURLcode code)
{
    long verified = 0; /* above 1: an X509_V_ERR_…, whatever curl calls the failure; 1: there was no certificate yet */
    curl_easy_getinfo(transport.easy, CURLINFO_SSL_VERIFYRESULT, &verified);
    return transport.denied || verified > 1 || code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_URL_MALFORMAT ||
           code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_USE_SSL_FAILED;
}

const char *transport_error(CURLcode code)
{
    return transport.error[0] ? transport.error : curl_easy_strerror(code);
}
