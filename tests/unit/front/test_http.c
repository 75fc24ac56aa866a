/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP side of a real front: routes, bodies, identity, queries, health, metrics. */
#include "web.h"

#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"

/* ── routes and heads ──────────────────────────────────────────────────────────────────────────────── */

static void test_routes(void **state)
{
    check(&(struct http_ask){.path = "/v2/nothing"}, 404, "not-found");
    check(&(struct http_ask){.path = "/"}, 404, "not-found");
    check(&(struct http_ask){.path = "/v1/tokens"}, 404, "not-found");
    check(&(struct http_ask){.path = "/v1/calls/not-an-id"}, 404, "not-found");
    check(&(struct http_ask){.path = "/v1/calls/..%2f..%2fmetrics"}, 404, "");
    struct http_got got = play_http(&play, &(struct http_ask){.path = "/v1/calls", .method = "PUT", .body = "{}"});
    expect(&got, 405, "method-not-allowed");
    assert_non_null(strstr(got.headers, "Allow: POST, GET, HEAD"));
    http_got_clear(&got);
    got = play_http(&play, &(struct http_ask){.path = "/v1/health", .method = "HEAD"});
    assert_int_equal(got.status, 200);
    assert_null(got.body);
    http_got_clear(&got);
    got = play_http(&play, &(struct http_ask){.path = "/v1/calls", .method = "OPTIONS"});
    assert_int_equal(got.status, 204);
    assert_non_null(strstr(got.headers, "Allow: POST, GET, HEAD"));
    http_got_clear(&got);
}

static void test_bodies(void **state)
{
    check(&(struct http_ask){.path = "/v1/calls",
                             .body = "a=b",
                             .headers = {"Content-Type: application/x-www-form-urlencoded"}},
          415, "unsupported-media-type");
    check(&(struct http_ask){.path = "/v1/calls", .body = "{"}, 400, "malformed");
    check(&(struct http_ask){.path = "/v1/calls", .body = ""}, 400, "malformed");
    check(&(struct http_ask){.path = "/v1/calls", .body = "{\"connector\":\"hello\",\"connector\":\"x\"}"}, 400,
          "malformed");
    check(&(struct http_ask){.path = "/v1/calls", .body = GOOD, .headers = {"Idempotency-Key: a b"}}, 400, "malformed");
    struct http_got got = play_http(&play,
                                    &(struct http_ask){.path = "/v1/calls", .body = "{\"connector\":\"hello\"}"});
    expect(&got, 422, "bad-input");
    assert_string_equal(json_text(json_array_get(json_object_get(got.json, "errors"), 0), "pointer"), "/action");
    http_got_clear(&got);
    assert_int_equal(play.begins, 0);
}

static void test_oversize_bodies(void **state)
{
    size_t size = 33 * 1024 * 1024;
    char *body = malloc(size + 1);
    memset(body, ' ', size);
    body[size] = '\0';
    check(&(struct http_ask){.path = "/v1/calls", .body = body, .length = size}, 413, "too-large");
    check(
        &(struct http_ask){
            .path = "/v1/calls", .body = body, .length = size, .headers = {"Transfer-Encoding: chunked"}},
        413, "too-large");
    check(&(struct http_ask){.path = "/v1/calls", .body = GOOD}, 200, "");
    free(body);
}

static void test_deep_body(void **state)
{
    char *body = calloc(1, 300000);
    size_t used = (size_t)sprintf(body, "{\"connector\":\"hello\",\"action\":\"greet\",\"input\":");
    memset(body + used, '[', 100000);
    memset(body + used + 100000, ']', 100000);
    strcat(body, "}");
    check(&(struct http_ask){.path = "/v1/calls", .body = body}, 400, "malformed");
    free(body);
}

/* ── who ───────────────────────────────────────────────────────────────────────────────────────────── */

static void expect_token(void)
{
    uint8_t hash[32];
    const char *token = strstr(TOKEN, "cst_");
    crypto_hash_sha256(hash, (const uint8_t *)token, strlen(token));
    assert_int_equal(play.begin.who.kind, WHO_TOKEN);
    assert_memory_equal(play.begin.who.token, hash, 32);
}

static void test_identity(void **state)
{
    check(&(struct http_ask){.path = "/v1/calls", .body = GOOD, .tcp = true}, 401, "no-identity");
    assert_int_equal(play.begins, 0);
    struct http_got got = play_http(&play, &(struct http_ask){.path = "/v1/calls", .tcp = true});
    expect(&got, 401, "no-identity");
    assert_non_null(strstr(got.headers, "WWW-Authenticate: Bearer"));
    http_got_clear(&got);
    check(&(struct http_ask){.path = "/v1/calls", .body = GOOD, .tcp = true, .headers = {TOKEN}}, 200, "");
    expect_token();
    assert_int_equal(play.hellos, 0);
    check(&(struct http_ask){.path = "/v1/calls", .body = GOOD, .headers = {TOKEN}}, 200, ""); /* overrides the peer */
    expect_token();
    check(&(struct http_ask){.path = "/v1/calls", .body = GOOD}, 200, "");
    assert_int_equal(play.begin.who.kind, WHO_PEER);
    assert_int_equal(play.hellos, 1);
    check(&(struct http_ask){.path = "/v1/calls", .body = GOOD, .headers = {"Authorization: Basic YTpi"}}, 401,
          "no-identity");
    check(&(struct http_ask){.path = "/v1/health", .tcp = true}, 200, "");
    check(&(struct http_ask){.path = "/metrics", .tcp = true}, 401, "no-identity");
    check(&(struct http_ask){.path = "/metrics", .tcp = true, .headers = {TOKEN}}, 200, "");
}

/* One connection is shown to the ledger once, and again to the next ledger. */
static void test_hello_once_per_ledger(void **state)
{
    char answer[4096];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    static const char ask[] = "GET /v1/calls HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strcpy(address.sun_path, play.socket);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(write(fd, ask, sizeof ask - 1), sizeof ask - 1);
        assert_true(read(fd, answer, sizeof answer) > 0);
        assert_int_equal(play.hellos, 1);
        assert_int_equal(play.query.who.principal, 1001);
    }
    play_ledger_dies(&play);
    play_ledger_returns(&play);
    for (int tries = 0; play.hellos == 1 && tries < 500; tries++) {
        assert_int_equal(write(fd, ask, sizeof ask - 1), sizeof ask - 1);
        assert_true(read(fd, answer, sizeof answer) > 0);
        usleep(10000);
    }
    assert_int_equal(play.query.who.principal, 1000 + play.hellos);
    assert_true(play.hellos > 1);
    close(fd);
}

/* ── queries ───────────────────────────────────────────────────────────────────────────────────────── */

static void test_queries(void **state)
{
    check(&(struct http_ask){.path = "/v1/calls?workspace=default&limit=5&before=abc&unknown=1"}, 200, "");
    assert_int_equal(play.query_type, MSG_CALLS_LIST);
    assert_string_equal(play.query_text, "{\"before\":\"abc\",\"limit\":5,\"workspace\":\"default\"}");
    check(&(struct http_ask){.path = "/v1/calls?limit=five"}, 422, "bad-input");
    check(&(struct http_ask){.path = "/v1/calls/01890000-0000-7000-8000-000000000000"}, 200, "");
    assert_int_equal(play.query_type, MSG_CALLS_GET);
    assert_string_equal(play.query_text, "{\"id\":\"01890000-0000-7000-8000-000000000000\"}");
    play_script(&play, &(struct play_script){.query_kind = ERR_NOT_FOUND});
    check(&(struct http_ask){.path = "/v1/calls/01890000-0000-7000-8000-000000000000"}, 404, "not-found");
    play_script(&play,
                &(struct play_script){.query_answer = "{\"connectors\":[{\"name\":\"hello\"},{\"name\":\"gone\"}]}"});
    struct http_got got = play_http(&play, &(struct http_ask){.path = "/v1/connectors"});
    const json_t *hello = json_array_get(json_object_get(got.json, "connectors"), 0);
    assert_string_equal(json_text(hello, "summary"), "Greets");
    assert_int_equal(json_array_size(json_object_get(hello, "actions")), 1);
    assert_null(json_object_get(hello, "settings"));
    http_got_clear(&got);
    play_script(&play, &(struct play_script){.query_answer = "not json"});
    check(&(struct http_ask){.path = "/v1/calls"}, 500, "internal");
}

static void test_health(void **state)
{
    struct http_got got = play_http(&play, &(struct http_ask){.path = "/v1/health"});
    assert_int_equal(got.status, 200);
    assert_string_equal(json_text(got.json, "status"), "ok");
    http_got_clear(&got);
    play_script(&play, &(struct play_script){.query_answer = "{\"status\":\"sealed\"}"});
    check(&(struct http_ask){.path = "/v1/health"}, 503, "");
    play_script(&play, &(struct play_script){.query_kind = ERR_AUDIT});
    got = play_http(&play, &(struct http_ask){.path = "/v1/health"});
    assert_int_equal(got.status, 503);
    assert_string_equal(json_text(got.json, "status"), "sealed");
    http_got_clear(&got);
}

/* Prometheus' own checker reads it, where it is installed. */
static void test_metrics(void **state)
{
    check(&(struct http_ask){.path = "/v1/calls", .body = GOOD}, 200, "");
    struct http_got got = play_http(&play, &(struct http_ask){.path = "/metrics"});
    assert_int_equal(got.status, 200);
    assert_non_null(strstr(got.headers, "text/plain; version=0.0.4"));
    assert_null(strstr(got.body, "caisson_calls_total{class=\"ok\",sent=\"yes\"} 0\n"));
    assert_non_null(strstr(got.body, "caisson_calls_total{class=\"ok\",sent=\"yes\"} "));
    assert_non_null(strstr(got.body, "caisson_ledger_up 1\n"));
    assert_non_null(strstr(got.body, "caisson_calls_in_flight 0\n"));
    if (system("command -v promtool >/dev/null 2>&1") == 0) {
        FILE *checker = popen("promtool check metrics >&2", "w");
        fputs(got.body, checker);
        assert_int_equal(pclose(checker), 0);
    }
    http_got_clear(&got);
}

static void test_cors(void **state)
{
    struct http_got got = play_http(
        &play,
        &(struct http_ask){.path = "/v1/calls", .method = "OPTIONS", .headers = {"Origin: https://console.example"}});
    assert_int_equal(got.status, 204);
    assert_non_null(strstr(got.headers, "Access-Control-Allow-Origin: https://console.example"));
    http_got_clear(&got);
    got = play_http(&play, &(struct http_ask){.path = "/v1/health", .headers = {"Origin: https://evil.example"}});
    assert_null(strstr(got.headers, "Access-Control"));
    http_got_clear(&got);
}

/* ── set-up ────────────────────────────────────────────────────────────────────────────────────────── */

static int plain_script(void **state)
{
    play_script(&play, &(struct play_script){0});
    return 0;
}

static int start_usual(void **state)
{
    play_begin(&play, &(struct play_start){.tcp = true, .config = "{\"cors\":[\"https://console.example\"]}"});
    return 0;
}

#define USUAL(name) cmocka_unit_test_setup(name, plain_script)

int main(int argc, char **argv)
{
    const struct CMUnitTest usual[] = {
        USUAL(test_routes),    USUAL(test_bodies),   USUAL(test_oversize_bodies),
        USUAL(test_deep_body), USUAL(test_identity), USUAL(test_hello_once_per_ledger),
        USUAL(test_queries),   USUAL(test_health),   USUAL(test_metrics),
        USUAL(test_cors),
    };
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) return 2;
    front_path = argv[1];
    return cmocka_run_group_tests(usual, start_usual, stop);
}
