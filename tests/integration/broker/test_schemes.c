/* SPDX-License-Identifier: Apache-2.0 */
/* tls and starttls through the real broker: real handshakes pass, everything else never reaches the peer. */
#include "harness.h"
#include "peers.h"

#define ERR_STATE OPENSSL_ERR_STATE /* OpenSSL has a type of that name */
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#undef ERR_STATE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TLS, STARTTLS, PLAIN, EITHER };

static const struct zone_row zone[] = {{"good.test", {"127.0.0.1"}}, {NULL, {NULL}}};
static const struct test_entry entries[] = {
    {"tls", "\"tls://good.test:*\"", "\"127.0.0.1/32\"", 1000, 64, 64},
    {"starttls", "\"starttls://good.test:*\"", "\"127.0.0.1/32\"", 1000, 64, 64},
    {"plain", "\"plain://good.test:*\"", "\"127.0.0.1/32\"", 1000, 64, 64},
    {"either", "\"tls://good.test:*\",\"starttls://good.test:*\"", "\"127.0.0.1/32\"", 1000, 64, 64},
    {0}};
static struct harness harness, *const h = &harness;
static struct server sink, mail;
static struct {
    SSL_CTX *context;
    pthread_t thread;
    int fd;
    uint16_t port;
} tls;

/* ── a TLS server: one connection after the other, echoes ──────────────────────────────────────────── */

static void *tls_run(void *unused)
{
    int fd;
    while ((fd = accept(tls.fd, NULL, NULL)) >= 0) {
        SSL *ssl = SSL_new(tls.context);
        char bytes[4096];
        int got;
        SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1)
            while ((got = SSL_read(ssl, bytes, sizeof bytes)) > 0) SSL_write(ssl, bytes, got);
        SSL_free(ssl);
        close(fd);
    }
    return NULL;
}

static void tls_start(void)
{
    struct server listening; /* only for its socket */
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    tls.context = SSL_CTX_new(TLS_server_method());
    X509_set_pubkey(cert, key);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_sign(cert, key, EVP_sha256());
    assert_int_equal(SSL_CTX_use_certificate(tls.context, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(tls.context, key), 1);
    X509_free(cert);
    EVP_PKEY_free(key);
    server_start(&listening, SERVER_ECHO, "127.0.0.1", 0);
    tls.fd = dup(listening.fd);
    tls.port = listening.port;
    server_stop(&listening);
    assert_int_equal(pthread_create(&tls.thread, NULL, tls_run, NULL), 0);
}

static int setup(void **state)
{
    char config[200];
    tls_start();
    server_start(&sink, SERVER_SINK, "127.0.0.1", 0);
    server_start(&mail, SERVER_GREETS, "127.0.0.1", 0);
    snprintf(config, sizeof config, "{\"nameservers\":[\"127.0.0.1:%u\"]}", dns_start(zone));
    harness_start(h, config, 7, entries);
    return 0;
}

static int teardown(void **state)
{
    harness_stop(h);
    dns_stop();
    server_stop(&sink);
    server_stop(&mail);
    shutdown(tls.fd, SHUT_RDWR);
    pthread_join(tls.thread, NULL);
    close(tls.fd);
    SSL_CTX_free(tls.context);
    return 0;
}

/* ── clients ───────────────────────────────────────────────────────────────────────────────────────── */

static bool talk_tls(int fd, const char *name, int version)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(context, version);
    SSL *ssl = SSL_new(context);
    char back[16] = "";
    SSL_set_fd(ssl, fd);
    if (name) SSL_set_tlsext_host_name(ssl, name);
    bool ok = SSL_connect(ssl) == 1 && SSL_write(ssl, "secret", 6) == 6 && SSL_read(ssl, back, sizeof back) == 6 &&
              strcmp(back, "secret") == 0;
    SSL_free(ssl);
    SSL_CTX_free(context);
    return ok;
}

static struct msg_gate_closed finish(struct worker *worker, int fd)
{
    close(fd);
    struct msg_gate_closed closed = close_gate(h, worker);
    close(worker->egress);
    return closed;
}

/* Writes text to a fresh relay and waits for its end. */
static struct msg_gate_closed says(unsigned entry, uint16_t port, const char *text, size_t length)
{
    struct worker worker = start_call(h, entry, "");
    char bytes[512];
    int fd;
    assert_int_equal(dial(&worker, "good.test", port, &fd), EGRESS_OK);
    assert_int_equal(send(fd, text, length, MSG_NOSIGNAL), length);
    while (read_some(fd, bytes, sizeof bytes) > 0) {
    }
    return finish(&worker, fd);
}

/* Dials a peer that speaks first. What it says may come with the connection itself, and end it before it was handed
 * out: then there is nothing to read. */
static struct msg_gate_closed hears(unsigned entry, uint16_t port)
{
    struct worker worker = start_call(h, entry, "");
    char bytes[512];
    int fd = -1;
    if (dial(&worker, "good.test", port, &fd) == EGRESS_OK)
        while (read_some(fd, bytes, sizeof bytes) > 0) {
        }
    return finish(&worker, fd);
}

static void test_tls(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (unsigned i = 0; i < 4; i++) {
        struct worker worker = start_call(h, i < 2 ? TLS : EITHER, "");
        int fd;
        assert_int_equal(dial(&worker, "GOOD.test", tls.port, &fd), EGRESS_OK);
        assert_true(talk_tls(fd, "good.test", versions[i % 2]));
        struct msg_gate_closed closed = finish(&worker, fd);
        assert_true(closed.denied == 0 && closed.bytes_up > 100 && closed.bytes_down > 100);
    }
}

/* Corpus 80; with another name on the approved connection, and with none, no byte reaches the peer. */
static void test_wrong_name(void **state)
{
    static const char *const names[] = {"evil.test", NULL, "good.test.evil", "127.0.0.1"};
    for (unsigned i = 0; i < COUNT(names); i++) {
        struct worker worker = start_call(h, TLS, "");
        int fd;
        assert_int_equal(dial(&worker, "good.test", tls.port, &fd), EGRESS_OK);
        assert_false(talk_tls(fd, names[i], TLS1_3_VERSION));
        struct msg_gate_closed closed = finish(&worker, fd);
        assert_true(closed.denied == 1 && closed.bytes_up == 0);
        assert_non_null(strstr(closed.last_denied, "ClientHello names"));
    }
}

static void test_no_tls(void **state)
{
    uint64_t before = sink.bytes;
    struct msg_gate_closed closed = says(TLS, sink.port, "GET / HTTP/1.1\r\n\r\n", 18);
    assert_true(closed.denied == 1 && closed.bytes_up == 0);
    assert_non_null(strstr(closed.last_denied, "not a TLS handshake"));
    closed = hears(TLS, mail.port); /* the peer greets: this is no TLS port */
    assert_true(closed.denied == 1 && closed.bytes_up == 0);
    assert_int_equal(sink.bytes, before);
    assert_int_equal(mail.bytes, 0);
}

/* The wall taken away: the same bytes arrive under a plain rule. */
static void test_plain(void **state)
{
    struct worker worker = start_call(h, PLAIN, "");
    uint64_t before = sink.bytes;
    int fd;
    assert_int_equal(dial(&worker, "good.test", sink.port, &fd), EGRESS_OK);
    assert_int_equal(send(fd, "AUTH PLAIN x\r\n", 14, MSG_NOSIGNAL), 14);
    shutdown(fd, SHUT_WR);
    assert_true(stream_ended(fd));
    assert_int_equal(finish(&worker, fd).bytes_up, 14);
    assert_int_equal(sink.bytes - before, 14);
}

static void test_auth_in_clear(void **state)
{
    uint64_t before = mail.bytes;
    struct msg_gate_closed closed = says(STARTTLS, mail.port, "AUTH PLAIN AGEAYg==\r\n", 21);
    assert_true(closed.denied == 1 && closed.bytes_up == 0);
    assert_non_null(strstr(closed.last_denied, "AUTH before TLS"));
    assert_int_equal(mail.bytes, before);
    closed = says(STARTTLS, mail.port, "EHLO me\r\nMAIL FROM:<a@b>\r\n", 26);
    assert_true(closed.denied == 1 && closed.bytes_up <= 9);
    assert_non_null(strstr(closed.last_denied, "MAIL before TLS"));
}

/* STARTTLS agreed, then bytes that are no ClientHello, or a hello that hides a command: the server sees neither. */
static void test_after_starttls(void **state)
{
    struct worker worker = start_call(h, STARTTLS, "");
    char bytes[512];
    int fd;
    assert_int_equal(dial(&worker, "good.test", mail.port, &fd), EGRESS_OK);
    assert_true(read_some(fd, bytes, 16) == 16);
    assert_int_equal(send(fd, "EHLO me\r\n", 9, MSG_NOSIGNAL), 9);
    assert_int_equal(read_some(fd, bytes, 24), 24);
    assert_int_equal(send(fd, "STARTTLS\r\n", 10, MSG_NOSIGNAL), 10);
    assert_int_equal(read_some(fd, bytes, 8), 8);
    assert_int_equal(send(fd, "AUTH PLAIN x\r\n", 14, MSG_NOSIGNAL), 14);
    assert_true(stream_ended(fd));
    struct msg_gate_closed closed = finish(&worker, fd);
    assert_true(closed.denied == 1 && closed.bytes_up == 19);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_tls),           cmocka_unit_test(test_wrong_name),
                                       cmocka_unit_test(test_no_tls),        cmocka_unit_test(test_plain),
                                       cmocka_unit_test(test_auth_in_clear), cmocka_unit_test(test_after_starttls)};
    if (argc != 2) return fprintf(stderr, "usage: %s CAISSON-BROKER\n", argv[0]), 2;
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes into closed relays */
    broker_path = argv[1];
    return cmocka_run_group_tests(tests, setup, teardown);
}
