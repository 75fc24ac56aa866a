/* SPDX-License-Identifier: Apache-2.0 */
/* caisson/testing.h — runs a connector's actions in your own process, against peers that you script. No daemon, no
 * walls: what a wall would forbid is not noticed here.
 *
 * Link with the module caisson-testing (pkg-config). All of libcurl and OpenSSL is real: a scripted peer speaks real
 * TLS with a certificate that the harness made for its host, and the connector verifies it.
 *
 *     struct csn_test *test = csn_test_open("hello.so", "manifest.json");
 *     csn_test_secret(test, "token", "abc");
 *     csn_test_peer(test, "api.example.com", 443, "tls\nrequest\nsend HTTP/1.1 204 No Content\nsend\n");
 *     const struct csn_test_result *result = csn_test_run(test, "greet", "{\"name\": \"Ada\"}");
 *     assert(result->status == CSN_TEST_OK);
 *     csn_test_close(test);
 *
 * Functions that can fail because the test itself is wrong (no such file, JSON that is none, a step that does not
 * exist) write one line to standard error and abort(3). One test at a time; call everything from one thread. */
#ifndef CAISSON_TESTING_H
#define CAISSON_TESTING_H

#include "caisson/connector.h"

#ifdef __cplusplus
extern "C" {
#endif
#ifdef __GNUC__
#pragma GCC visibility push(default)
#endif

/* How an action ended: 0, or the enum csn_status that it gave to csn_fail, or neither. */
enum csn_test_status { CSN_TEST_OK = 0, CSN_TEST_NO_ANSWER = 100, CSN_TEST_TWO_ANSWERS = 101 };

/* What an action did. [lives until the next csn_test_run or csn_test_close] */
struct csn_test_result {
    uint32_t size;        /* sizeof(struct csn_test_result) as the harness was built */
    int status;           /* enum csn_test_status, or enum csn_status */
    const char *text;     /* of csn_fail; "" else */
    const char *answer;   /* JSON object: what csn_set* built, keys sorted, compact */
    const char *log;      /* one line "LEVEL text" each; values of secret fields are masked as the daemon does */
    const char *problem;  /* what the peers disliked: the first step of a script that did not match; "" else */
    int retry_after;      /* seconds, -1: not set */
    int committed;        /* 1: csn_commit was called */
    int dials;            /* connections that were asked for, refused ones included */
};

struct csn_test;

/* Loads a connector and reads its manifest (it says which action is given which credential fields; the input is not
 * checked against its schema). NULL is never returned. */
struct csn_test *csn_test_open(const char *connector, const char *manifest);
void csn_test_close(struct csn_test *test); /* NULL is fine */

/* The connector's object, for tests that look at it. [lives until csn_test_close] */
const struct csn_connector *csn_test_connector(struct csn_test *test);

/* One credential field; value NULL takes it away. Only actions that the manifest gives it to see it. Copied. */
void csn_test_secret(struct csn_test *test, const char *field, const char *value);
/* All settings, one JSON object; "default"s of the manifest fill in the rest. Copied. */
void csn_test_settings(struct csn_test *test, const char *json);
/* Milliseconds until the deadline, from the start of each run; 10 000 unless set. */
void csn_test_deadline(struct csn_test *test, int milliseconds);
/* What csn_now answers; 0: the real time. */
void csn_test_clock(struct csn_test *test, int64_t seconds);

/* 1: connections stay open from run to run, as in a leased process; csn_test_seen then goes on growing, and dials are
 * counted from the first run. 0, as at the start: each run's connections end with it. */
void csn_test_lease(struct csn_test *test, int on);

/* The next dial to host:port is answered by this script; several for one address are used in turn. A dial that no
 * script is left for is refused as the administrator's rules would. One step per line:
 *
 *   tls            takes a TLS handshake; the certificate is for the dialled host
 *   tls NAME       with a certificate for NAME instead
 *   tls expired    with one that has expired
 *   tls unknown    with one that nobody signed
 *   line TEXT      reads one line, which must begin with TEXT
 *   request        reads one HTTP request: head, and body by its Content-Length
 *   message        reads a mail message, up to and with the line of one dot
 *   send TEXT      writes TEXT and CR LF
 *   body TEXT      writes TEXT at once without a line end; \r, \n and \\ in it stand for CR, LF and a backslash
 *   fill NUMBER    writes that many bytes 'x'
 *   close          closes the connection, without a TLS alert; so does the end of the script
 *   hang           reads nothing more until the other side closes
 *   refuse         as the first step: the dial is refused by rule
 *   fail           as the first step: the dial fails as if the host could not be reached */
void csn_test_peer(struct csn_test *test, const char *host, uint16_t port, const char *script);
/* Dials to host:port go to a real server at an IPv4 address and port instead, as often as they come. */
void csn_test_route(struct csn_test *test, const char *host, uint16_t port, const char *address, uint16_t to);
/* Certificates to trust besides the harness's own, PEM; for csn_test_route. */
void csn_test_trust(struct csn_test *test, const char *pem);

/* Runs an action; input is the caller's JSON object. [what it returns lives until the next run] */
const struct csn_test_result *csn_test_run(struct csn_test *test, const char *action, const char *input);

/* Everything that the peer of the dial with that number (from 0, of the last run) read, decrypted, and a NUL beyond;
 * "" when there was none. size may be NULL. [lives until the next run] */
const char *csn_test_seen(struct csn_test *test, int dial, size_t *size);

/* The string at a JSON Pointer of the last answer: strings as they are, the rest as JSON text, NULL: nothing there.
 * [lives until the next run] */
const char *csn_test_answer(struct csn_test *test, const char *pointer);

/* The PEM of the harness's own certificate authority, e.g. for csn_test_identity's users. [lives for ever] */
const char *csn_test_authority(void);
/* Writes certificate and key for a host, signed by that authority, into two PEM files: for real servers. */
void csn_test_identity(const char *host, const char *certificate_path, const char *key_path);

#ifdef __GNUC__
#pragma GCC visibility pop
#endif
#ifdef __cplusplus
}
#endif

#endif
