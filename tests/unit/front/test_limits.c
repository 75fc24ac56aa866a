/* SPDX-License-Identifier: Apache-2.0 */
/* What a real front bears: slow, greedy and guessing callers, bad starts; TLS; and the desk. */
#include "web.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"

/* ── limits ────────────────────────────────────────────────────────────────────────────────────────── */

static int open_connection(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, play.socket);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* true: the other side hung up. */
static bool ends(int fd)
{
    char bytes[512];
    struct pollfd one = {.fd = fd, .events = POLLIN};
    while (poll(&one, 1, 15000) > 0)
        if (read(fd, bytes, sizeof bytes) <= 0) return true;
    return false;
}

static void test_slow_requests_end(void **state)
{
    static const char body_begun[] = "POST /v1/calls HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
                                     "Content-Type: application/json\r\n\r\n{";
    static const char *const parts[] = {"", "GET /v1/hea", body_begun};
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = open_connection();
        assert_int_equal(write(fds[i], parts[i], strlen(parts[i])), strlen(parts[i]));
    }
    for (int i = 0; i < 3; i++) {
        assert_true(ends(fds[i]));
        close(fds[i]);
    }
    check(&(struct http_ask){.path = "/v1/calls", .body = GOOD}, 200, "");
}

static void test_garbage(void **state)
{
    char noise[4096];
    static const char *const texts[] = {
        "GET", "POST /v1/calls HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST /v1/calls HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "\x16\x03\x01\x02\x00\x01\x00", "GET /v1/health HTTP/9.9\r\n\r\n"};
    memset(noise, 0, sizeof noise);
    for (int i = 0; i < 6; i++) {
        int fd = open_connection();
        if (i < 5)
            assert_true(write(fd, texts[i], strlen(texts[i])) > 0);
        else
            assert_true(write(fd, noise, sizeof noise) > 0);
        shutdown(fd, SHUT_WR);
        assert_true(ends(fd));
        close(fd);
    }
    check(&(struct http_ask){.path = "/v1/calls", .body = GOOD}, 200, "");
}

/* The library's own limit per address does nothing on unix sockets: the front counts by uid. */
static void test_connections_per_uid(void **state)
{
    int fds[4];
    for (int i = 0; i < 4; i++) fds[i] = open_connection();
    static const char ask[] = "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n";
    char answer[2048];
    for (int i = 0; i < 4; i++) { /* all four are known to the front once each has had an answer */
        assert_int_equal(write(fds[i], ask, sizeof ask - 1), sizeof ask - 1);
        assert_true(read(fds[i], answer, sizeof answer) > 12);
        assert_memory_equal(answer, "HTTP/1.1 200", 12);
    }
    check(&(struct http_ask){.path = "/v1/health"}, 429, "rate-limited");
    for (int i = 0; i < 4; i++) close(fds[i]);
    for (int tries = 0; tries < 200; tries++) {
        struct http_got got = play_http(&play, &(struct http_ask){.path = "/v1/health"});
        bool good = got.status == 200;
        http_got_clear(&got);
        if (good) return;
        usleep(10000);
    }
    fail_msg("closed connections are still counted");
}

/* Begins a call with a body of that length and sends so much of it. */
static int begin_large(size_t length, size_t sent)
{
    static char filler[1024 * 1024];
    char head[256];
    int fd = open_connection();
    int used = snprintf(head, sizeof head,
                        "POST /v1/calls HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n"
                        "Content-Type: application/json\r\n\r\n",
                        length);
    memset(filler, ' ', sizeof filler);
    assert_int_equal(write(fd, head, (size_t)used), used);
    while (sent) {
        ssize_t put = write(fd, filler, sent < sizeof filler ? sent : sizeof filler);
        if (put <= 0) break; /* refused already */
        sent -= (size_t)put;
    }
    return fd;
}

/* Who sends large bodies slowly holds neither all the room for them nor any for small ones. */
static void test_large_bodies(void **state)
{
    enum { MB = 1024 * 1024 };
    char answer[512] = "";
    int slow = begin_large(30 * MB, 20 * MB), second = begin_large(5 * MB + MB / 2, 5 * MB + MB / 2);
    struct pollfd one = {.fd = second, .events = POLLIN};
    assert_int_equal(poll(&one, 1, 15000), 1);
    assert_true(read(second, answer, sizeof answer - 1) > 12);
    assert_memory_equal(answer, "HTTP/1.1 503", 12);
    check(&(struct http_ask){.path = "/v1/calls", .body = GOOD}, 200, "");
    close(second);
    close(slow);
}

static void test_rate(void **state)
{
    unsigned refused = 0;
    for (int i = 0; i < 12; i++) {
        struct http_got got = play_http(&play, &(struct http_ask){.path = "/v1/health"});
        refused += got.status == 429;
        if (got.status == 429) assert_non_null(strstr(got.headers, "Retry-After: "));
        http_got_clear(&got);
    }
    assert_true(refused >= 1);
}

/* Guessing tokens locks the address out, for tokens only. */
static void test_token_guessing(void **state)
{
    unsigned refused = 0;
    play_script(&play, &(struct play_script){.begin_kind = ERR_NO_IDENTITY, .begin_text = "nobody issued this token"});
    for (int i = 0; i < 40; i++) {
        struct http_got got = play_http(
            &play, &(struct http_ask){.path = "/v1/calls", .body = GOOD, .tcp = true, .headers = {TOKEN}});
        refused += got.status == 429;
        assert_true(got.status == 429 || got.status == 401);
        http_got_clear(&got);
    }
    assert_true(refused > 0);
    assert_true(play.begins < 40);
    check(&(struct http_ask){.path = "/v1/health", .tcp = true}, 200, "");
    play_script(&play, &(struct play_script){0});
    check(&(struct http_ask){.path = "/v1/calls", .body = GOOD, .headers = {TOKEN}}, 200, ""); /* elsewhere */
}

/* ── the desk ──────────────────────────────────────────────────────────────────────────────────────── */

static void test_desk(void **state)
{
    check(&(struct http_ask){.path = "/v1/calls", .body = GOOD}, 405, "method-not-allowed");
    check(&(struct http_ask){.path = "/v1/tokens", .body = "{\"name\":\"ci\",\"role\":\"invoker\"}"}, 200, "");
    assert_int_equal(play.query_type, MSG_TOKEN_CREATE);
    assert_string_equal(play.query_text, "{\"name\":\"ci\",\"role\":\"invoker\"}");
    check(&(struct http_ask){.path = "/v1/credentials/mail-1?workspace=w", .method = "DELETE"}, 200, "");
    assert_int_equal(play.query_type, MSG_CREDENTIAL_REMOVE);
    assert_string_equal(play.query_text, "{\"name\":\"mail-1\",\"workspace\":\"w\"}");
    check(&(struct http_ask){.path = "/v1/calls/01890000-0000-7000-8000-000000000000/retry",
                             .body = "{\"reason\":\"checked by hand\",\"id\":\"other\"}"},
          200, "");
    assert_int_equal(play.query_type, MSG_CALLS_RETRY);
    assert_string_equal(play.query_text,
                        "{\"id\":\"01890000-0000-7000-8000-000000000000\",\"reason\":\"checked by hand\"}");
    check(&(struct http_ask){.path = "/v1/audit/entries?from=3&limit=2"}, 200, "");
    assert_string_equal(play.query_text, "{\"from\":3,\"limit\":2}");
    check(&(struct http_ask){.path = "/v1/reload", .method = "POST"}, 200, "");
    assert_int_equal(play.query_type, MSG_RELOAD);
    check(&(struct http_ask){.path = "/v1/credentials", .body = "[1]"}, 400, "malformed");
    char *large = malloc(300 * 1024);
    memset(large, ' ', 300 * 1024);
    check(&(struct http_ask){.path = "/v1/tokens", .body = large, .length = 300 * 1024 - 1}, 413, "too-large");
    size_t used = (size_t)sprintf(large, "{\"box\":\"");
    memset(large + used, 'x', 100 * 1024);
    strcpy(large + used + 100 * 1024, "\"}");
    check(&(struct http_ask){.path = "/v1/credentials", .body = large}, 413, "too-large"); /* more than one frame */
    free(large);
}

/* ── TLS ───────────────────────────────────────────────────────────────────────────────────────────── */

static void test_tls(void **state)
{
    char folder[] = "/tmp/caisson-tls-XXXXXX", cert[64], key[64], command[512];
    assert_non_null(mkdtemp(folder));
    snprintf(cert, sizeof cert, "%s/cert.pem", folder);
    snprintf(key, sizeof key, "%s/key.pem", folder);
    snprintf(command, sizeof command,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=localhost "
             "-keyout %s -out %s 2>/dev/null",
             key, cert);
    assert_int_equal(system(command), 0);
    play_begin(&play, &(struct play_start){.tcp = true, .cert = cert, .key = key});
    check(&(struct http_ask){.path = "/v1/calls", .body = GOOD, .tcp = true, .tls = true, .headers = {TOKEN}}, 200, "");
    check(&(struct http_ask){.path = "/v1/calls", .body = GOOD, .tcp = true, .tls = true}, 401, "no-identity");
    struct http_got got = play_http(&play,
                                    &(struct http_ask){.path = "/v1/health", .tcp = true}); /* plain to a TLS port */
    assert_true(got.status < 0);
    http_got_clear(&got);
    play_stop(&play);
    unlink(cert);
    unlink(key);
    rmdir(folder);
}

/* ── starts that must fail ─────────────────────────────────────────────────────────────────────────── */

static void test_bad_starts(void **state)
{
    play_begin(&play, &(struct play_start){.config = "{\"calls\":0}", .expect_failure = true});
    play_stop(&play);
    play_begin(&play, &(struct play_start){.registry = "{}", .expect_failure = true});
    play_stop(&play);
}

/* ── set-up ────────────────────────────────────────────────────────────────────────────────────────── */

static int start_usual(void **state)
{
    play_begin(&play, &(struct play_start){.tcp = true, .config = "{\"cors\":[\"https://console.example\"]}"});
    return 0;
}

static int start_hasty(void **state)
{
    play_begin(&play, &(struct play_start){.config = "{\"idle_s\":1,\"request_s\":1}"});
    return 0;
}

static int start_narrow(void **state)
{
    play_begin(&play, &(struct play_start){.config = "{\"connections_per_uid\":4}"});
    return 0;
}

static int start_small(void **state)
{
    play_begin(&play, &(struct play_start){.config = "{\"bodies_mb\":33}"});
    return 0;
}

static int start_rated(void **state)
{
    play_begin(&play, &(struct play_start){.config = "{\"rate\":1,\"burst\":3}"});
    return 0;
}

static int start_desk(void **state)
{
    play_begin(&play, &(struct play_start){.self = ROLE_DESK});
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest hasty[] = {cmocka_unit_test(test_slow_requests_end), cmocka_unit_test(test_garbage)};
    const struct CMUnitTest narrow[] = {cmocka_unit_test(test_connections_per_uid)};
    const struct CMUnitTest small[] = {cmocka_unit_test(test_large_bodies)};
    const struct CMUnitTest rated[] = {cmocka_unit_test(test_rate)};
    const struct CMUnitTest guessed[] = {cmocka_unit_test(test_token_guessing)};
    const struct CMUnitTest desk[] = {cmocka_unit_test(test_desk)};
    const struct CMUnitTest own[] = {cmocka_unit_test(test_tls), cmocka_unit_test(test_bad_starts)};
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) return 2;
    front_path = argv[1];
    return cmocka_run_group_tests(hasty, start_hasty, stop) + cmocka_run_group_tests(narrow, start_narrow, stop) +
           cmocka_run_group_tests(small, start_small, stop) + cmocka_run_group_tests(rated, start_rated, stop) +
           cmocka_run_group_tests(guessed, start_usual, stop) + cmocka_run_group_tests(desk, start_desk, stop) +
           cmocka_run_group_tests(own, NULL, NULL);
}
