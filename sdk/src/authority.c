/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate authority that lives as long as the test process, and certificates of every quality. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <unistd.h>

#include "caisson/testing.h"
#include "harness.h"

static EVP_PKEY *authority_key;
static X509 *authority;

static void name(X509 *cert, const char *common)
{
    X509_NAME *subject = X509_get_subject_name(cert);
    if (!X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)common, -1, -1, 0))
        harness_wrong("%s cannot stand in a certificate", common);
}

static void extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *made = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    if (!made || !X509_add_ext(cert, made, -1)) harness_wrong("%s cannot stand in a certificate", value);
    X509_EXTENSION_free(made);
}

static X509 *blank(EVP_PKEY *key, const char *common, long from, long to)
{
    static _Atomic long serial = 1; /* peers make certificates in their own threads */
    X509 *cert = X509_new();
    if (!cert) harness_wrong("out of memory");
    X509_set_version(cert, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), from);
    X509_gmtime_adj(X509_getm_notAfter(cert), to);
    X509_set_pubkey(cert, key);
    name(cert, common);
    return cert;
}

static void ready(void)
{
    if (authority) return;
    authority_key = EVP_EC_gen("P-256");
    if (!authority_key) harness_wrong("no key can be made");
    authority = blank(authority_key, "authority of caisson-testing", -86400, 86400);
    X509_set_issuer_name(authority, X509_get_subject_name(authority));
    extension(authority, NID_basic_constraints, "critical,CA:TRUE");
    extension(authority, NID_key_usage, "critical,keyCertSign");
    if (!X509_sign(authority, authority_key, EVP_sha256())) harness_wrong("no certificate can be signed");
}

static X509 *leaf(EVP_PKEY *key, const char *host, const char *kind)
{
    bool expired = strcmp(kind, "expired") == 0, unknown = strcmp(kind, "unknown") == 0;
    const char *common = *kind && !expired && !unknown ? kind : host;
    X509 *cert = blank(key, common, -7200, expired ? -3600 : 86400);
    struct in6_addr address;
    bool literal = inet_pton(AF_INET, common, &address) == 1 || inet_pton(AF_INET6, common, &address) == 1;
    char names[300];
    snprintf(names, sizeof names, "%s:%s", literal ? "IP" : "DNS", common);
    extension(cert, NID_subject_alt_name, names);
    X509_set_issuer_name(cert, X509_get_subject_name(unknown ? cert : authority));
    if (!X509_sign(cert, unknown ? key : authority_key, EVP_sha256())) harness_wrong("no certificate can be signed");
    return cert;
}

SSL_CTX *authority_context(const char *host, const char *kind)
{
    ready();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = leaf(key, host, kind);
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context || SSL_CTX_use_certificate(context, cert) != 1 || SSL_CTX_use_PrivateKey(context, key) != 1)
        harness_wrong("no TLS server can be made for %s", host);
    X509_free(cert);
    EVP_PKEY_free(key);
    return context;
}

const char *csn_test_authority(void)
{
    static char pem[4096];
    ready();
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, authority);
    int size = BIO_read(bio, pem, sizeof pem - 1);
    BIO_free(bio);
    pem[size > 0 ? size : 0] = 0;
    return pem;
}

/* The key file is for its owner only. */
static FILE *create(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (!file) harness_wrong("%s cannot be written", path);
    return file;
}

void csn_test_identity(const char *host, const char *certificate_path, const char *key_path)
{
    ready();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = leaf(key, host, "");
    FILE *file = create(certificate_path);
    if (!PEM_write_X509(file, cert) || fclose(file)) harness_wrong("%s cannot be written", certificate_path);
    file = create(key_path);
    if (!PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) || fclose(file))
        harness_wrong("%s cannot be written", key_path);
    X509_free(cert);
    EVP_PKEY_free(key);
}
