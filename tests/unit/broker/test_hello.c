/* SPDX-License-Identifier: Apache-2.0 */
/* ClientHellos that OpenSSL made, whole, in pieces, in fragments, and broken; then the guard of a relay over real
 * handshakes and over SMTP. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#define ERR_STATE OPENSSL_ERR_STATE /* OpenSSL has a type of that name */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#undef ERR_STATE
#include <stdlib.h>
#include <string.h>

#include "runtime/broker/guard.h"
#include "runtime/broker/policy.h"

enum { ROOM = 64 * 1024 };

/* ── OpenSSL on two memory buffers ─────────────────────────────────────────────────────────────────── */

struct end {
    SSL_CTX *context;
    SSL *ssl;
};

static struct end make_end(const SSL_METHOD *method, int version)
{
    struct end end = {.context = SSL_CTX_new(method)};
    assert_non_null(end.context);
    SSL_CTX_set_min_proto_version(end.context, version);
    SSL_CTX_set_max_proto_version(end.context, version);
    return end;
}

static void start_end(struct end *end)
{
    end->ssl = SSL_new(end->context);
    SSL_set_bio(end->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
}

static void free_end(struct end *end)
{
    SSL_free(end->ssl);
    SSL_CTX_free(end->context);
}

static void self_sign(SSL_CTX *context)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_set_pubkey(cert, key);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_sign(cert, key, EVP_sha256());
    assert_int_equal(SSL_CTX_use_certificate(context, cert), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(context, key), 1);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static struct end make_client(int version, const char *name)
{
    struct end client = make_end(TLS_client_method(), version);
    start_end(&client);
    SSL_set_connect_state(client.ssl);
    if (name) SSL_set_tlsext_host_name(client.ssl, name);
    return client;
}

static size_t take_bytes(struct end *end, uint8_t *bytes, size_t room)
{
    int got = BIO_read(SSL_get_wbio(end->ssl), bytes, (int)room);
    return got > 0 ? (size_t)got : 0;
}

static size_t client_hello(int version, const char *name, uint8_t *bytes)
{
    struct end client = make_client(version, name);
    SSL_do_handshake(client.ssl);
    size_t length = take_bytes(&client, bytes, ROOM);
    assert_true(length > 100);
    free_end(&client);
    return length;
}

/* ── the parser ────────────────────────────────────────────────────────────────────────────────────── */

static enum hello_state parse(const uint8_t *bytes, size_t length, size_t piece, struct tlshello *hello)
{
    size_t at = 0;
    memset(hello, 0, sizeof *hello);
    while (at < length && hello->state == HELLO_MORE) {
        size_t count = length - at < piece ? length - at : piece;
        at += tlshello_feed(hello, bytes + at, count);
    }
    return hello->state;
}

static void test_real(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    static uint8_t bytes[ROOM];
    static struct tlshello hello;
    for (unsigned v = 0; v < 2; v++) {
        size_t length = client_hello(versions[v], "Mail.Example.com", bytes);
        for (size_t piece = 1; piece < 300; piece = piece * 3 + 1) {
            assert_int_equal(parse(bytes, length, piece, &hello), HELLO_DONE);
            assert_string_equal(hello.name, "Mail.Example.com");
            assert_int_equal(hello.seen, length);
        }
        length = client_hello(versions[v], NULL, bytes);
        assert_int_equal(parse(bytes, length, length, &hello), HELLO_DONE);
        assert_string_equal(hello.name, "");
    }
}

/* A connector may have a TLS of its own; what nobody should speak any more does not leave this machine. */
static void test_old_versions(void **state)
{
    static const uint8_t olds[][2] = {{2, 0}, {3, 0}, {3, 1}, {3, 2}};
    static uint8_t bytes[ROOM];
    static struct tlshello hello;
    size_t length = client_hello(TLS1_2_VERSION, "example.com", bytes);
    assert_int_equal(parse(bytes, length, length, &hello), HELLO_DONE);
    for (unsigned i = 0; i < sizeof olds / sizeof *olds; i++) {
        memcpy(bytes + 9, olds[i], 2);
        assert_int_equal(parse(bytes, length, length, &hello), HELLO_BAD);
    }
    assert_string_equal(hello.problem, "the ClientHello offers nothing newer than TLS 1.1");
}

/* The same message in records of n bytes. */
static size_t fragment(const uint8_t *from, size_t length, size_t size, uint8_t *to)
{
    size_t used = 0;
    for (size_t at = 5; at < length; at += size) {
        size_t count = length - at < size ? length - at : size;
        const uint8_t header[5] = {22, 3, 1, (uint8_t)(count >> 8), (uint8_t)count};
        memcpy(to + used, header, 5);
        memcpy(to + used + 5, from + at, count);
        used += 5 + count;
    }
    return used;
}

static void test_fragments(void **state)
{
    static uint8_t bytes[ROOM], cut[ROOM];
    static struct tlshello hello;
    size_t length = client_hello(TLS1_3_VERSION, "example.com", bytes);
    for (size_t size = 1; size < length; size = size * 2 + 1) {
        size_t used = fragment(bytes, length, size, cut);
        assert_int_equal(parse(cut, used, used, &hello), HELLO_DONE);
        assert_string_equal(hello.name, "example.com");
        assert_int_equal(parse(cut, used, 1, &hello), HELLO_DONE);
    }
    for (size_t end = 0; end < length; end++) assert_int_equal(parse(bytes, end, end + 1, &hello), HELLO_MORE);
}

/* Every single byte changed: never a crash, and no other name than the one that stands there. */
static void test_damage(void **state)
{
    static uint8_t bytes[ROOM];
    static struct tlshello hello;
    size_t length = client_hello(TLS1_2_VERSION, "example.com", bytes);
    unsigned bad = 0;
    for (size_t at = 0; at < length; at++)
        for (int bit = 0; bit < 8; bit++) {
            bytes[at] ^= (uint8_t)(1 << bit);
            if (parse(bytes, length, length, &hello) == HELLO_BAD) bad++, assert_non_null(hello.problem);
            bytes[at] ^= (uint8_t)(1 << bit);
        }
    assert_true(bad > 100);
}

/* A hello made by hand around one extension block. */
static size_t hand_made(const uint8_t *extensions, size_t length, uint8_t *to)
{
    size_t body = 2 + 32 + 1 + 4 + 2 + 2 + length, used = 0;
    const uint8_t head[] = {
        22, 3, 1, (uint8_t)((body + 4) >> 8), (uint8_t)(body + 4), 1, 0, (uint8_t)(body >> 8), (uint8_t)body, 3, 3};
    memcpy(to, head, sizeof head);
    used = sizeof head;
    memset(to + used, 7, 32);
    used += 32;
    const uint8_t rest[] = {0, 0, 2, 0x13, 0x01, 1, 0, (uint8_t)(length >> 8), (uint8_t)length};
    memcpy(to + used, rest, sizeof rest);
    used += sizeof rest;
    memcpy(to + used, extensions, length);
    return used + length;
}

static void test_hand_made(void **state)
{
#define NAME(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})
    static uint8_t bytes[ROOM];
    static struct tlshello hello;
    const struct {
        const uint8_t *extensions;
        size_t length;
        enum hello_state want;
    } rows[] = {{NAME(0, 0, 0, 6, 0, 4, 0, 0, 1, 'a'), HELLO_DONE},
                {NAME(0, 0, 0, 6, 0, 4, 0, 0, 1, 0), HELLO_BAD},                  /* NUL in the name */
                {NAME(0, 0, 0, 6, 0, 4, 1, 0, 1, 'a'), HELLO_BAD},                /* another type of name */
                {NAME(0, 0, 0, 5, 0, 3, 0, 0, 0), HELLO_BAD},                     /* empty name */
                {NAME(0, 0, 0, 2, 0, 0), HELLO_BAD},                              /* empty list */
                {NAME(0, 0, 0, 10, 0, 8, 0, 0, 1, 'a', 0, 0, 1, 'b'), HELLO_BAD}, /* two names */
                {NAME(0, 0, 0, 6, 0, 4, 0, 0, 1, 'a', 0, 0, 0, 6, 0, 4, 0, 0, 1, 'b'), HELLO_BAD}, /* two lists */
                {NAME(0, 0, 0, 7, 0, 4, 0, 0, 1, 'a', 9), HELLO_BAD}, /* bytes behind the list */
                {NAME(0, 0, 0, 6, 0, 4, 0, 0, 9, 'a'), HELLO_BAD},    /* length beyond the end */
                {NAME(0, 0, 255, 255), HELLO_BAD},
                {NAME(0, 5, 0), HELLO_BAD},
                {NAME(0, 5, 0, 0), HELLO_DONE}};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t length = hand_made(rows[i].extensions, rows[i].length, bytes);
        enum hello_state got = parse(bytes, length, length, &hello);
        if (got != rows[i].want) fail_msg("row %u: %d (%s)", i, (int)got, hello.problem ? hello.problem : "");
    }
}

static void test_garbage(void **state)
{
    static uint8_t bytes[ROOM];
    static struct tlshello hello;
    static const char *const rows[] = {"EHLO x\r\n",           "GET / HTTP/1.1\r\n",   "\x16\x02\x01\x00\x05",
                                       "\x16\x03\x01\x00\x00", "\x16\x03\x01\xff\xff", "\x15\x03\x01\x00\x02",
                                       "\x80\x2e\x01\x00\x02"};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        memcpy(bytes, rows[i], 5);
        assert_int_equal(parse(bytes, 5, 5, &hello), HELLO_BAD);
    }
    const uint8_t huge[] = {22, 3, 1, 0x40, 0, 1, 0, 0x40, 0};
    assert_int_equal(parse(huge, sizeof huge, 9, &hello), HELLO_BAD); /* 16 KiB + 4 */
    const uint8_t other[] = {22, 3, 1, 0, 4, 2, 0, 0, 0};
    assert_int_equal(parse(other, sizeof other, 9, &hello), HELLO_BAD); /* a ServerHello */
    for (size_t i = 0; i + 6 <= ROOM; i += 6) memcpy(bytes + i, "\x16\x03\x01\x00\x01\x01", 6);
    bytes[11] = 0, bytes[17] = 0x3f; /* a long message, one byte a record */
    assert_int_equal(parse(bytes, ROOM - 6, ROOM, &hello), HELLO_BAD);
    assert_true(hello.seen <= HELLO_BYTES_MAX + 6);
}

/* ── the guard over real handshakes ────────────────────────────────────────────────────────────────── */

struct way {
    uint8_t bytes[ROOM];
    size_t used;
};

static void way_take(struct way *way, size_t count)
{
    memmove(way->bytes, way->bytes + count, way->used - count);
    way->used -= count;
}

/* Moves what the guard lets through until nothing moves. */
static void shuttle(struct guard *guard, struct end *client, struct end *server)
{
    static struct way up, down;
    up.used = down.used = 0;
    for (int i = 0; i < 20; i++) {
        SSL_do_handshake(client->ssl);
        up.used += take_bytes(client, up.bytes + up.used, ROOM - up.used);
        size_t passed = guard_up(guard, up.bytes, up.used);
        BIO_write(SSL_get_rbio(server->ssl), up.bytes, (int)passed);
        way_take(&up, passed);
        SSL_do_handshake(server->ssl);
        down.used = take_bytes(server, down.bytes, ROOM);
        if (!guard_down(guard, down.bytes, down.used)) return;
        BIO_write(SSL_get_rbio(client->ssl), down.bytes, (int)down.used);
    }
}

static struct guard *guard_for(unsigned schemes, const char *host)
{
    struct name name;
    struct err err = {0};
    assert_true(name_read(host, strlen(host), &name, &err));
    struct guard *guard = guard_new(schemes, &name);
    assert_non_null(guard);
    return guard;
}

static enum guard_state handshake(const char *host, const char *name, int version, const char *client_groups,
                                  const char *server_groups, bool *finished)
{
    struct end client = make_client(version, name), server = make_end(TLS_server_method(), version);
    struct guard *guard = guard_for(SCHEME_BIT(SCHEME_TLS), host);
    self_sign(server.context);
    start_end(&server);
    SSL_set_accept_state(server.ssl);
    if (client_groups) assert_int_equal(SSL_set1_groups_list(client.ssl, client_groups), 1);
    if (server_groups) assert_int_equal(SSL_set1_groups_list(server.ssl, server_groups), 1);
    shuttle(guard, &client, &server);
    *finished = SSL_is_init_finished(client.ssl) && SSL_is_init_finished(server.ssl);
    enum guard_state state = guard->state;
    free(guard);
    free_end(&client);
    free_end(&server);
    return state;
}

static void test_guard_tls(void **state)
{
    bool finished;
    assert_int_equal(handshake("example.com", "example.com", TLS1_3_VERSION, NULL, NULL, &finished), GUARD_OPEN);
    assert_true(finished);
    assert_int_equal(handshake("example.com", "EXAMPLE.com", TLS1_2_VERSION, NULL, NULL, &finished), GUARD_OPEN);
    assert_true(finished);
    assert_int_equal(handshake("192.0.2.7", NULL, TLS1_3_VERSION, NULL, NULL, &finished), GUARD_OPEN);
    assert_true(finished);
    assert_int_equal(handshake("example.com", "evil.example.org", TLS1_3_VERSION, NULL, NULL, &finished),
                     GUARD_REFUSED);
    assert_int_equal(handshake("example.com", NULL, TLS1_3_VERSION, NULL, NULL, &finished), GUARD_REFUSED);
    assert_int_equal(handshake("192.0.2.7", "evil.example.org", TLS1_3_VERSION, NULL, NULL, &finished), GUARD_REFUSED);
    assert_false(finished);
}

/* The server asks for another key share: the second hello is checked as the first was. */
static void test_guard_retry(void **state)
{
    static uint8_t bytes[ROOM], other[ROOM];
    bool finished;
    assert_int_equal(handshake("example.com", "example.com", TLS1_3_VERSION, "X25519:P-256", "P-256", &finished),
                     GUARD_OPEN);
    assert_true(finished);

    struct end client = make_client(TLS1_3_VERSION, "example.com"),
               server = make_end(TLS_server_method(), TLS1_3_VERSION);
    struct guard *guard = guard_for(SCHEME_BIT(SCHEME_TLS), "example.com");
    self_sign(server.context);
    start_end(&server);
    SSL_set_accept_state(server.ssl);
    SSL_set1_groups_list(client.ssl, "X25519:P-256");
    SSL_set1_groups_list(server.ssl, "P-256");
    SSL_do_handshake(client.ssl);
    size_t length = take_bytes(&client, bytes, ROOM);
    assert_int_equal(guard_up(guard, bytes, length), length);
    BIO_write(SSL_get_rbio(server.ssl), bytes, (int)length);
    SSL_do_handshake(server.ssl);
    length = take_bytes(&server, bytes, ROOM);
    for (size_t i = 0; i < length; i++) assert_true(guard_down(guard, bytes + i, 1));
    assert_int_equal(guard->state, GUARD_RETRY);
    length = client_hello(TLS1_3_VERSION, "evil.example.org", other);
    assert_int_equal(guard_up(guard, other, length), 0);
    assert_int_equal(guard->state, GUARD_REFUSED);
    free(guard);
    free_end(&client);
    free_end(&server);
}

static void test_guard_holds(void **state)
{
    static uint8_t bytes[ROOM];
    struct guard *guard = guard_for(SCHEME_BIT(SCHEME_TLS), "example.com");
    size_t length = client_hello(TLS1_3_VERSION, "example.com", bytes);
    for (size_t i = 1; i < length; i++) assert_int_equal(guard_up(guard, bytes, i), 0);
    memcpy(bytes + length, "AUTH PLAIN", 10);
    assert_int_equal(guard_up(guard, bytes, length + 10), length); /* what follows waits for the server's TLS */
    assert_int_equal(guard_up(guard, bytes + length, 10), 0);
    assert_false(guard_down(guard, (const uint8_t *)"220 hi\r\n", 8));
    assert_string_equal(guard->why, "the peer did not answer the ClientHello with TLS");
    free(guard);
    guard = guard_for(SCHEME_BIT(SCHEME_TLS), "example.com");
    assert_false(guard_down(guard, (const uint8_t *)"220 hi\r\n", 8));
    free(guard);
}

/* ── SMTP ──────────────────────────────────────────────────────────────────────────────────────────── */

static bool smtp_down(struct guard *guard, const char *text)
{
    return guard_down(guard, (const uint8_t *)text, strlen(text));
}

static size_t smtp_up(struct guard *guard, const char *text)
{
    return guard_up(guard, (const uint8_t *)text, strlen(text));
}

static void test_starttls(void **state)
{
    static uint8_t bytes[ROOM];
    struct guard *guard = guard_for(SCHEME_BIT(SCHEME_STARTTLS), "mail.example.com");
    assert_true(smtp_down(guard, "220 mail ESMTP\r\n"));
    assert_int_equal(smtp_up(guard, "EHLO me"), 0);
    assert_int_equal(smtp_up(guard, "EHLO me\r\n"), 9);
    assert_true(smtp_down(guard, "250-mail\r\n250-STARTTLS\r\n250 SIZE 1"));
    assert_true(smtp_down(guard, "000\r\n"));
    assert_int_equal(smtp_up(guard, "starttls\r\nAUTH PLAIN x\r\n"), 10);
    assert_int_equal(smtp_up(guard, "AUTH PLAIN x\r\n"), 0);
    assert_true(smtp_down(guard, "220 go ahead\r\n"));
    size_t length = client_hello(TLS1_2_VERSION, "mail.example.com", bytes);
    assert_int_equal(guard_up(guard, bytes, length), length);
    assert_int_equal(guard->state, GUARD_SERVER);
    free(guard);
}

/* Every way to say more than a greeting in clear. */
static void test_starttls_refused(void **state)
{
    static const char *const rows[] = {"AUTH PLAIN AGEAYg==\r\n",
                                       "auth login\r\n",
                                       "MAIL FROM:<a@b>\r\n",
                                       "RCPT TO:<a@b>\r\n",
                                       "DATA\r\n",
                                       "VRFY x\r\n",
                                       "RSET\r\n",
                                       "EHLOX a\r\n",
                                       "\r\n",
                                       " EHLO a\r\n",
                                       "EHLO a\n",
                                       "EHLO a\rAUTH PLAIN x\r\n",
                                       "EHLO \x01\r\n",
                                       "EHLO a\r\nAUTH PLAIN x\r\n",
                                       "NOOP AUTH x\r\n",
                                       "QUIT x\r\n",
                                       "STARTTLS x\r\n",
                                       "GET / HTTP/1.1\r\n",
                                       "\x16\x03\x01\r\n"};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct guard *guard = guard_for(SCHEME_BIT(SCHEME_STARTTLS), "mail.example.com");
        assert_true(smtp_down(guard, "220 mail\r\n"));
        assert_int_equal(smtp_up(guard, rows[i]), 0);
        if (guard->state != GUARD_REFUSED) fail_msg("%s", rows[i]);
        free(guard);
    }
    char line[600];
    memset(line, 'a', sizeof line);
    memcpy(line, "EHLO ", 5);
    struct guard *guard = guard_for(SCHEME_BIT(SCHEME_STARTTLS), "mail.example.com");
    assert_int_equal(guard_up(guard, (uint8_t *)line, sizeof line), 0);
    assert_int_equal(guard->state, GUARD_REFUSED);
    free(guard);
}

/* Not every 220 agrees to TLS, and nothing may be slipped in behind the one that does. */
static void test_starttls_replies(void **state)
{
    static uint8_t bytes[ROOM];
    struct guard *guard = guard_for(SCHEME_BIT(SCHEME_STARTTLS), "mail.example.com");
    assert_int_equal(smtp_up(guard, "EHLO a\r\nSTARTTLS\r\n"), 18);
    assert_true(smtp_down(guard, "220 mail\r\n")); /* the greeting */
    assert_true(smtp_down(guard, "250 mail\r\n")); /* EHLO's */
    size_t length = client_hello(TLS1_2_VERSION, "mail.example.com", bytes);
    assert_int_equal(guard_up(guard, bytes, length), 0); /* STARTTLS's reply is still to come */
    assert_true(smtp_down(guard, "454 not now\r\n"));
    assert_int_equal(guard_up(guard, bytes, length), 0);
    assert_int_equal(guard->state, GUARD_REFUSED);
    free(guard);
    guard = guard_for(SCHEME_BIT(SCHEME_STARTTLS), "mail.example.com");
    assert_true(smtp_down(guard, "220 mail\r\n"));
    assert_int_equal(smtp_up(guard, "STARTTLS\r\n"), 10);
    assert_false(smtp_down(guard, "220 go\r\n250 injected\r\n"));
    free(guard);
    guard = guard_for(SCHEME_BIT(SCHEME_STARTTLS), "mail.example.com");
    assert_true(smtp_down(guard, "220 mail\r\n"));
    assert_int_equal(smtp_up(guard, "STARTTLS\r\n"), 10);
    assert_true(smtp_down(guard, "454 not now\r\n"));
    assert_int_equal(smtp_up(guard, "QUIT\r\n"), 6); /* a client may still say good-bye */
    free(guard);
}

/* Both schemes on one port, as when a setting decides: the first byte up says which. */
static void test_either(void **state)
{
    static uint8_t bytes[ROOM];
    unsigned both = SCHEME_BIT(SCHEME_STARTTLS) | SCHEME_BIT(SCHEME_TLS);
    size_t length = client_hello(TLS1_2_VERSION, "mail.example.com", bytes);
    struct guard *guard = guard_for(both, "mail.example.com");
    assert_int_equal(guard_up(guard, bytes, length), length);
    free(guard);
    guard = guard_for(both, "mail.example.com");
    assert_int_equal(smtp_up(guard, "EHLO a\r\n"), 8);
    assert_int_equal(smtp_up(guard, "AUTH a\r\n"), 0);
    assert_int_equal(guard->state, GUARD_REFUSED);
    free(guard);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_real),
                                       cmocka_unit_test(test_old_versions),
                                       cmocka_unit_test(test_fragments),
                                       cmocka_unit_test(test_damage),
                                       cmocka_unit_test(test_hand_made),
                                       cmocka_unit_test(test_garbage),
                                       cmocka_unit_test(test_guard_tls),
                                       cmocka_unit_test(test_guard_retry),
                                       cmocka_unit_test(test_guard_holds),
                                       cmocka_unit_test(test_starttls),
                                       cmocka_unit_test(test_starttls_refused),
                                       cmocka_unit_test(test_starttls_replies),
                                       cmocka_unit_test(test_either)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
