/* SPDX-License-Identifier: Apache-2.0 */
/* Plays everything around a real front: the parent here, ledger and runner in play.c, HTTP by libcurl. */
#include "harness.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "play.h"

const char *front_path;

static const char usual_registry[] =
    "{\"registry\":7,\"entries\":1}\n{\"name\":\"hello\",\"plugin\":\"hello\",\"version\":\"1.0.0\",\"summary\":"
    "\"Greets\","
    "\"state\":\"enabled\",\"digest\":\"" HEX64 "\",\"so_digest\":\"" HEX64 "\",\"manifest_digest\":\"" HEX64 "\","
    "\"isolation\":\"call\",\"lease\":{\"calls\":1,\"age_s\":60,\"idle_s\":10,\"spares\":0},"
    "\"actions\":[{\"name\":\"greet\",\"summary\":\"Greets one person\",\"idempotent\":true,\"fields\":[],"
    "\"input\":{\"type\":\"object\",\"required\":[\"name\"],\"additionalProperties\":false,"
    "\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":1},\"data\":{\"type\":\"string\"}}},"
    "\"output\":{\"type\":\"object\",\"required\":[\"greeting\"],"
    "\"properties\":{\"greeting\":{\"type\":\"string\"}}}}],"
    "\"fields\":[],\"settings\":{},\"egress\":[],\"ranges\":[],\"workspaces\":[\"default\"],"
    "\"limits\":{\"memory_mb\":64,\"cpu_s\":5,\"wall_s\":20,\"output_kb\":64,\"log_kb\":8,\"dials\":0,\"up_kb\":1024,"
    "\"down_kb\":1024,\"concurrency\":8}}\n";

/* ── the parent ────────────────────────────────────────────────────────────────────────────────────── */

static void control(struct play *play, unsigned type, const void *body, size_t length, int fd)
{
    struct msg_head head = {.type = (uint16_t)type};
    struct iovec pieces[2] = {{&head, sizeof head}, {(void *)body, length}};
    assert_int_equal(wire_send(play->control, pieces, 2, &fd, fd >= 0), 0);
}

static void give(struct play *play, enum give_kind kind, uint32_t index, int fd)
{
    struct ctl_give body = {.kind = (uint32_t)kind, .index = index};
    control(play, CTL_GIVE, &body, sizeof body, fd);
    close(fd);
}

static int memory_of(const char *text)
{
    int fd = memfd_create("given", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW), 0);
    return fd;
}

static int line_to(struct play *play, enum role_id peer, uint32_t index)
{
    int ends[2];
    struct err err;
    struct ctl_line body = {.peer = (uint32_t)peer, .index = index, .generation = play->generation};
    assert_true(wire_pair(ends, &err));
    control(play, CTL_LINE, &body, sizeof body, ends[1]);
    close(ends[1]);
    return ends[0];
}

int play_new_ledger_line(struct play *play, uint32_t index)
{
    return line_to(play, ROLE_LEDGER, index);
}

static int listen_unix(struct play *play)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(play->socket, sizeof play->socket, "%s/api.sock", play->folder);
    strcpy(address.sun_path, play->socket);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 128), 0);
    return fd;
}

static int listen_tcp(struct play *play)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    play->port = ntohs(address.sin_port);
    return fd;
}

static void spawn(struct play *play)
{
    int ends[2];
    struct err err;
    assert_true(wire_pair(ends, &err));
    play->pid = fork();
    assert_true(play->pid >= 0);
    if (play->pid == 0) {
        if (ends[1] == 3)
            fcntl(3, F_SETFD, 0);
        else
            dup2(ends[1], 3);
        close_range(4, ~0U, 0);
        execl(front_path, front_path, play->self == ROLE_DESK ? "desk" : NULL, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    play->control = ends[0];
}

static void expect_answer(struct play *play, unsigned type)
{
    static struct wire_frame frame;
    struct msg_head head;
    assert_true(wire_wait(play->control, clock_now() + 20 * CLOCK_S));
    assert_int_equal(wire_take(play->control, &frame), WIRE_FRAME);
    memcpy(&head, frame.bytes, sizeof head);
    if (head.type == CTL_FAILED && type != CTL_FAILED)
        fail_msg("the front failed: %s", ((struct ctl_failed *)(frame.bytes + sizeof head))->status.text);
    assert_int_equal(head.type, type);
    wire_drop(&frame);
}

static void give_all(struct play *play, const struct play_start *start)
{
    give(play, GIVE_CONFIG, 0, memory_of(start->config ? start->config : "{}"));
    give(play, GIVE_REGISTRY, 0, memory_of(start->registry ? start->registry : usual_registry));
    give(play, GIVE_UNIX, 0, listen_unix(play));
    if (start->tcp) give(play, GIVE_TCP, 0, listen_tcp(play));
    if (start->probe) give(play, GIVE_PROBE, 0, memory_of(start->probe));
    if (start->cert) give(play, GIVE_TLS_CERT, 0, open(start->cert, O_RDONLY | O_CLOEXEC));
    if (start->key) give(play, GIVE_TLS_KEY, 0, open(start->key, O_RDONLY | O_CLOEXEC));
}

void play_begin(struct play *play, const struct play_start *start)
{
    memset(play, 0, sizeof *play);
    play->self = start->self ? start->self : ROLE_FRONT;
    play->generation = 1;
    pthread_mutex_init(&play->lock, NULL);
    assert_true(sodium_init() >= 0);
    crypto_box_keypair(play->workspace_public, play->workspace_secret);
    strcpy(play->folder, "/tmp/caisson-front-XXXXXX");
    assert_non_null(mkdtemp(play->folder));
    spawn(play);
    give_all(play, start);
    for (uint32_t i = 0; i < PLAY_LINES; i++) {
        play->ledger[i] = !start->ledger_lines || i < start->ledger_lines ? line_to(play, ROLE_LEDGER, i) : -1;
        play->runner[i] = play->self == ROLE_FRONT ? line_to(play, ROLE_RUNNER, i) : -1;
    }
    assert_int_equal(pipe2(play->wake, O_CLOEXEC), 0);
    struct ctl_start go = {.start = clock_now(), .log_level = LOG_LEVEL_INFO};
    control(play, CTL_START, &go, sizeof go, -1);
    expect_answer(play, start->expect_failure ? CTL_FAILED : CTL_READY);
    pthread_create(&play->ledger_thread, NULL, play_ledger, play);
    pthread_create(&play->runner_thread, NULL, play_runner, play);
}

static void close_all(int *fds)
{
    for (int i = 0; i < PLAY_LINES; i++)
        if (fds[i] >= 0) close(fds[i]), fds[i] = -1;
}

void play_stop(struct play *play)
{
    int status = 0;
    close(play->wake[1]);
    pthread_join(play->ledger_thread, NULL);
    pthread_join(play->runner_thread, NULL);
    close(play->wake[0]);
    close_all(play->ledger);
    close_all(play->runner);
    close(play->control);
    assert_int_equal(waitpid(play->pid, &status, 0), play->pid);
    unlink(play->socket);
    rmdir(play->folder);
    pthread_mutex_destroy(&play->lock);
    assert_true(WIFEXITED(status)); /* no signal, no fault, whatever the tests did to it */
}

void play_ledger_dies(struct play *play)
{
    pthread_mutex_lock(&play->lock);
    close_all(play->ledger);
    pthread_mutex_unlock(&play->lock);
}

void play_ledger_returns(struct play *play)
{
    pthread_mutex_lock(&play->lock);
    play->generation++;
    for (uint32_t i = 0; i < PLAY_LINES; i++) play->ledger[i] = line_to(play, ROLE_LEDGER, i);
    pthread_mutex_unlock(&play->lock);
}

void play_script(struct play *play, const struct play_script *script)
{
    pthread_mutex_lock(&play->lock);
    play->script = *script;
    play->hellos = play->begins = play->ends = play->dones = play->takes = 0;
    pthread_mutex_unlock(&play->lock);
}

/* ── HTTP ──────────────────────────────────────────────────────────────────────────────────────────── */

struct text {
    char *bytes;
    size_t used;
};

static size_t add_text(char *bytes, size_t one, size_t count, void *context)
{
    struct text *text = context;
    char *more = realloc(text->bytes, text->used + count + 1);
    if (!more) return 0;
    text->bytes = more;
    memcpy(text->bytes + text->used, bytes, count);
    text->used += count;
    text->bytes[text->used] = '\0';
    return count;
}

static struct curl_slist *headers_of(const struct http_ask *ask)
{
    bool typed = false;
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    for (int i = 0; i < 6 && ask->headers[i]; i++) {
        typed |= strncasecmp(ask->headers[i], "Content-Type:", 13) == 0;
        list = curl_slist_append(list, ask->headers[i]);
    }
    if (ask->body && !typed) list = curl_slist_append(list, "Content-Type: application/json");
    return list;
}

static void set_target(CURL *curl, struct play *play, const struct http_ask *ask)
{
    char url[512];
    if (!ask->tcp) curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, play->socket);
    snprintf(url, sizeof url, "%s://127.0.0.1:%u%s", ask->tls ? "https" : "http", ask->tcp ? play->port : 80u,
             ask->path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
}

struct http_got play_http(struct play *play, const struct http_ask *ask)
{
    struct text body = {0}, head = {0};
    struct http_got got = {0};
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = headers_of(ask);
    set_target(curl, play, ask);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, ask->method ? ask->method : ask->body ? "POST" : "GET");
    if (ask->method && strcmp(ask->method, "HEAD") == 0) curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    if (ask->body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)(ask->length ? ask->length : strlen(ask->body)));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, ask->body);
    }
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, add_text);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, add_text);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &head);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
    CURLcode done = curl_easy_perform(curl);
    if (done == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &got.status);
    else
        got.status = -(long)done;
    got.body = body.bytes;
    got.headers = head.bytes;
    got.json = body.bytes ? json_loads(body.bytes, JSON_DECODE_ANY, NULL) : NULL;
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return got;
}

void http_got_clear(struct http_got *got)
{
    free(got->body);
    free(got->headers);
    json_decref(got->json);
}

const char *json_text(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    return text ? text : "";
}
