/* SPDX-License-Identifier: Apache-2.0 */
/* The exported table, signatures, and the warm-up that a cell does before it confines itself. */
#include <jansson.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "transport.h"

/* ── signatures ───────────────────────────────────────────────────────────────────────────────────────*/

int helpers_hmac_sha256(struct csn_call *call, const void *key, size_t key_size, const void *bytes, size_t size,
                        unsigned char mac[32])
{
    (void)call;
    unsigned length = 32;
    return key_size <= INT32_MAX && HMAC(EVP_sha256(), key_size ? key : "", (int)key_size, bytes, size, mac, &length) &&
           length == 32;
}

const char *helpers_base64(struct csn_call *call, const void *bytes, size_t size)
{
    (void)call;
    if (size > INT32_MAX / 2) return NULL;
    char *text = kept(size / 3 * 4 + 5);
    if (text) EVP_EncodeBlock((unsigned char *)text, bytes, (int)size);
    return text;
}

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Strict: whole groups, padding only at the end, and no bits that stand for nothing. */
int helpers_unbase64(struct csn_call *call, const char *text, const void **bytes, size_t *size)
{
    (void)call;
    size_t length = strlen(text), padding = 0;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=') padding++;
    size_t digits = length - padding;
    unsigned char *out = length % 4 == 0 ? kept(length / 4 * 3 + 1) : NULL;
    if (!out || digits % 4 == 1) return 0;
    uint32_t bits = 0;
    size_t used = 0;
    for (size_t i = 0; i < digits; i++) {
        int value = digit(text[i]);
        if (value < 0) return 0;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4) out[used++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
    }
    uint32_t rest = digits % 4 == 2 ? bits & 15 : digits % 4 == 3 ? bits & 3 : 0;
    if (rest) return 0;
    *bytes = out;
    *size = used;
    return 1;
}

/* ── warm-up ──────────────────────────────────────────────────────────────────────────────────────────*/

/* Every certificate of a PEM text. Anything in it that is none, or is damaged, spoils it. */
static X509_STORE *read_store(const char *pem, size_t length)
{
    X509_STORE *store = X509_STORE_new();
    BIO *bio = length <= INT32_MAX ? BIO_new_mem_buf(pem, (int)length) : NULL;
    int count = 0;
    bool good = store && bio;
    ERR_clear_error();
    for (X509 *one; good && (one = PEM_read_bio_X509(bio, NULL, NULL, NULL)); count++) {
        good = X509_STORE_add_cert(store, one) == 1;
        X509_free(one);
    }
    unsigned long last = ERR_peek_last_error();
    good = good && count && ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    BIO_free(bio);
    /* As curl does by default: a certificate that the administrator names is trusted itself, root or not. */
    if (good) X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST);
    if (good) return store;
    X509_STORE_free(store);
    return NULL;
}

/* A throw-away certificate, only to be shaken hands with. */
static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *cert = X509_new();
    if (!cert) return NULL;
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -86400);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_set_pubkey(cert, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC, (const unsigned char *)"warm.invalid",
                               -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    if (X509_sign(cert, key, EVP_sha256())) return cert;
    X509_free(cert);
    return NULL;
}

/* Both ends of a handshake in memory, at most some rounds. */
static bool shake_hands(SSL *client, SSL *server)
{
    for (int round = 0; round < 10; round++) {
        int a = SSL_do_handshake(client), b = SSL_do_handshake(server);
        if (a == 1 && b == 1) return true;
    }
    return false;
}

static bool handshake(X509 *cert, EVP_PKEY *key, int version)
{
    SSL_CTX *theirs = SSL_CTX_new(TLS_server_method()), *ours = SSL_CTX_new(TLS_client_method());
    BIO *left = NULL, *right = NULL;
    bool good = theirs && ours && SSL_CTX_use_certificate(theirs, cert) == 1 &&
                SSL_CTX_use_PrivateKey(theirs, key) == 1 && BIO_new_bio_pair(&left, 0, &right, 0) == 1;
    SSL *client = good ? SSL_new(ours) : NULL, *server = good ? SSL_new(theirs) : NULL;
    if (client && server) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(ours), cert);
        SSL_set_verify(client, SSL_VERIFY_PEER, NULL);
        SSL_set_max_proto_version(client, version);
        SSL_set_bio(client, left, left);
        SSL_set_bio(server, right, right);
        SSL_set_connect_state(client);
        SSL_set_accept_state(server);
        good = shake_hands(client, server);
    }
    SSL_free(client);
    SSL_free(server);
    SSL_CTX_free(ours);
    SSL_CTX_free(theirs);
    return good && client && server;
}

/* One handshake of each version: ciphers, groups, signatures and providers are fetched now, not in every worker. */
static bool warm_tls(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = key ? make_certificate(key) : NULL;
    bool good = cert && handshake(cert, key, TLS1_3_VERSION) && handshake(cert, key, TLS1_2_VERSION);
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return good;
}

/* The kinds of signature that certificates bear: checked once on the self-signed ones in the store. */
static void warm_signatures(X509_STORE *store)
{
    int seen[16], count = 0;
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
    for (int i = 0; i < sk_X509_OBJECT_num(objects) && count < 16; i++) {
        X509 *cert = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        int kind = cert ? X509_get_signature_nid(cert) : 0;
        bool known = !cert;
        for (int j = 0; j < count; j++) known |= seen[j] == kind;
        if (known) continue;
        seen[count++] = kind;
        X509_verify(cert, X509_get0_pubkey(cert));
    }
    ERR_clear_error();
}

bool helpers_warm(const char *ca_pem, size_t length)
{
    unsigned char bytes[32];
    struct tm date;
    time_t epoch = 0;
    tzset();
    gmtime_r(&epoch, &date);
    json_object_seed(0); /* reads a device, once */
    if (!transport.easy) {
        if (curl_global_init(CURL_GLOBAL_DEFAULT)) return false;
        (void)curl_version(); /* asks every library for its version, which opens sockets in one of them */
        transport.easy = curl_easy_init();
    }
    X509_STORE *store = read_store(ca_pem, length);
    if (!transport.easy || !store || RAND_bytes(bytes, sizeof bytes) != 1 || !warm_tls()) {
        X509_STORE_free(store);
        return false;
    }
    warm_signatures(store);
    helpers_hmac_sha256(NULL, "k", 1, "b", 1, bytes);
    X509_STORE_free(transport.store);
    transport.store = store;
    return true;
}

void helpers_end(struct csn_call *call)
{
    (void)call;
    http_forget();
    kept_clear();
}

__attribute__((visibility("default"))) const struct csn_helpers csn_helpers_1 = {
    .size = sizeof(struct csn_helpers),
    .abi = CSN_ABI,
    .warm = helpers_warm,
    .http = helpers_http,
    .mail = helpers_mail,
    .hmac_sha256 = helpers_hmac_sha256,
    .base64 = helpers_base64,
    .unbase64 = helpers_unbase64,
    .end = helpers_end,
};
