/* SPDX-License-Identifier: Apache-2.0 */
/* The helpers inside the worker's own list of system calls: after warm(), an HTTPS exchange and a mail session must
 * get by with what list L allows. What a cell would be notified of ends this test with the call's number.
 * Usage: test_walls libcaisson-helpers.so [open]; with open, the worker opens a file, and this must be noticed. */
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "caisson/testing.h"
#include "sandbox/seccomp.h"
#include "sdk/src/harness.h"
#include "sdk/src/helpers.h"

static const struct csn_helpers *helpers;
static struct peers peers;
static int streams[3], used; /* come from the other process before the walls stand; handed out one after the other */

static void say(const char *text)
{
    ssize_t ignored = write(2, text, strlen(text));
    (void)ignored;
}

/* Async-signal-safe: the number of the call that list L would have reported. */
static void trapped(int signal, siginfo_t *info, void *context)
{
    char text[] = "a system call that list L does not allow: number 000\n";
    char *digit = strstr(text, "000");
    int number = info->si_syscall;
    digit[0] = (char)('0' + number / 100 % 10);
    digit[1] = (char)('0' + number / 10 % 10);
    digit[2] = (char)('0' + number % 10);
    say(text);
    _exit(3);
}

static void confine(void)
{
    static struct sock_filter code[BPF_ROOM];
    static struct sigaction action = {.sa_sigaction = trapped, .sa_flags = SA_SIGINFO};
    struct err err;
    unsigned length, rows;
    const struct call_row *table = seccomp_rows(&rows);
    sigaction(SIGSYS, &action, NULL);
    bool good = bpf_make(table, rows, LIST_L, SECCOMP_RET_TRAP, code, &length);
    for (unsigned i = 0; good && i < length; i++)
        if (code[i].code == (BPF_RET | BPF_K) && code[i].k == SECCOMP_RET_USER_NOTIF) code[i].k = SECCOMP_RET_TRAP;
    if (!good || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || !seccomp_install(code, length, &err)) {
        say("list L cannot be installed\n");
        _exit(4);
    }
}

/* ── the host's services, as few as the helpers use ───────────────────────────────────────────────────*/

static int dial(struct csn_call *call, const char *host, uint16_t port)
{
    return streams[used++];
}

static int left(struct csn_call *call)
{
    return 10000;
}

static void commit(struct csn_call *call)
{
}

static int64_t now(struct csn_call *call)
{
    return 1614265330;
}

static void explain(struct csn_call *call, const char *text)
{
    say(text);
    say("\n");
}

static const struct csn_services services = {.size = sizeof services,
                                             .abi = CSN_ABI,
                                             .dial = dial,
                                             .left = left,
                                             .commit = commit,
                                             .now = now,
                                             .explain = explain};

/* ── the streams: threads start after the fork, so that no lock of theirs is copied ────────────────────*/

union control {
    char bytes[CMSG_SPACE(sizeof streams)];
    struct cmsghdr align;
};

static void take_streams(int line)
{
    char byte;
    union control control;
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    if (recvmsg(line, &message, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&message)) _exit(5);
    memcpy(streams, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof streams);
}

static bool give_streams(int line)
{
    char byte = 0;
    union control control = {{0}};
    struct iovec piece = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    *CMSG_FIRSTHDR(&message) = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof streams)};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), streams, sizeof streams);
    bool given = sendmsg(line, &message, 0) == 1;
    for (int i = 0; i < 3; i++) close(streams[i]);
    return given;
}

/* ── the worker ───────────────────────────────────────────────────────────────────────────────────────*/

static bool web(struct csn_call *call)
{
    struct csn_http_pair form[] = {{"a", "b"}};
    struct csn_http_request request = {
        .size = sizeof request, .url = "https://api.example.com/x", .form = form, .form_count = 1, .user = "u"};
    struct csn_http_response response = {.size = sizeof response};
    int got = helpers->http(call, &request, &response);
    const char *name = csn_http_json(&response, "/name");
    return got == 1 && response.status == 200 && response.retry_after == 3600 && name && strcmp(name, "x") == 0;
}

static bool letter(struct csn_call *call)
{
    struct csn_mail_address to = {"bob@example.org", "Böb"};
    struct csn_mail_attachment file = {"ü.bin", NULL, NULL, "bytes", 5};
    struct csn_mail mail = {.size = sizeof mail,
                            .host = "mail.example.com",
                            .user = "user",
                            .password = "pass",
                            .from = {"ada@example.com", NULL},
                            .to = &to,
                            .to_count = 1,
                            .subject = "Grüße",
                            .text = "a",
                            .html = "<p>",
                            .attachments = &file,
                            .attachment_count = 1};
    struct csn_mail_result result = {.size = sizeof result};
    return helpers->mail(call, &mail, &result) == 1;
}

/* A failed handshake takes other ways through the libraries than one that succeeds. */
static bool wrong_certificate(struct csn_call *call)
{
    struct csn_http_request request = {.size = sizeof request, .url = "https://wrong.example.com/"};
    struct csn_http_response response = {.size = sizeof response};
    return helpers->http(call, &request, &response) == 0 && response.refused == 1;
}

/* An input that was left out: said, not crashed on, and nothing goes out. */
static bool no_value(struct csn_call *call)
{
    struct csn_http_pair form[] = {{"a", NULL}};
    struct csn_http_request requests[] = {
        {.size = sizeof *requests, .url = "https://api.example.com/x", .form = form, .form_count = 1},
        {.size = sizeof *requests, .url = "https://api.example.com/x", .body_size = 2},
    };
    for (int i = 0; i < 2; i++) {
        struct csn_http_response response = {.size = sizeof response};
        if (helpers->http(call, &requests[i], &response) != 0 || response.refused != 1) return false;
    }
    return true;
}

static bool signature(struct csn_call *call)
{
    unsigned char mac[32];
    const void *bytes;
    size_t size;
    return helpers->hmac_sha256(call, "k", 1, "x", 1, mac) && helpers->base64(call, mac, sizeof mac) &&
           helpers->unbase64(call, "AAEC", &bytes, &size) && size == 3;
}

static int work(int line, bool opens)
{
    struct csn_call call = {&services, NULL};
    take_streams(line);
    confine();
    if (opens) open("/", O_RDONLY | O_CLOEXEC);
    bool good = web(&call) && web(&call) && letter(&call) && letter(&call) && wrong_certificate(&call) &&
                no_value(&call) && signature(&call);
    helpers->end(&call);
    _exit(good && used == 3 ? 0 : 1); /* three dials: the second exchange of each kind found its session open */
}

/* ── the peers ────────────────────────────────────────────────────────────────────────────────────────*/

#define ANSWER                                                                                                         \
    "request\nsend HTTP/1.1 200 OK\nsend Retry-After: Thu, 25 Feb 2021 16:02:10 GMT\nsend Content-Length: 12\nsend\n"  \
    "body {\"name\":\"x\"}\n"
#define LETTER "line MAIL\nsend 250 ok\nline RCPT\nsend 250 ok\nline DATA\nsend 354 go\nmessage\nsend 250 ok\n"

static void prepare(void)
{
    const char *problem;
    peers_script(&peers, "api.example.com", 443, "tls\n" ANSWER ANSWER "hang\n");
    peers_script(&peers, "mail.example.com", 587,
                 "send 220 hi\nline EHLO\nsend 250 STARTTLS\nline STARTTLS\nsend 220 go\ntls\nline EHLO\n"
                 "send 250 AUTH PLAIN\nline AUTH PLAIN\nsend 334 \nline AHVz\nsend 235 ok\n" LETTER LETTER "hang\n");
    peers_script(&peers, "wrong.example.com", 443, "tls other.example.com\n");
    streams[0] = peers_dial(&peers, "api.example.com", 443, &problem);
    streams[1] = peers_dial(&peers, "mail.example.com", 587, &problem);
    streams[2] = peers_dial(&peers, "wrong.example.com", 443, &problem);
}

/* The made-up authority and, as in a cell, the many certificates of the system where it has them. */
static bool warm(void)
{
    static char pem[4 * 1024 * 1024];
    size_t size = (size_t)snprintf(pem, sizeof pem, "%s", csn_test_authority());
    FILE *file = fopen("/etc/ssl/certs/ca-certificates.crt", "r");
    if (file) size += fread(pem + size, 1, sizeof pem - size, file);
    if (file) fclose(file);
    return helpers->warm(pem, size);
}

int main(int argc, char **argv)
{
    void *library = argc >= 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    helpers = library ? dlsym(library, CSN_HELPERS_SYMBOL) : NULL;
    if (!helpers) return fprintf(stderr, "%s\n", argc >= 2 ? dlerror() : "usage: test_walls HELPERS"), 2;
    bool opens = argc == 3 && strcmp(argv[2], "open") == 0;
    if (!warm()) return fprintf(stderr, "the helpers do not warm up\n"), 2;
    int line[2], status = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, line)) return 2;
    pid_t worker = fork();
    if (worker == 0) return work(line[1], opens);
    prepare();
    if (!give_streams(line[0])) return 2;
    waitpid(worker, &status, 0);
    peers_clear(&peers, true);
    if (status) fprintf(stderr, "the worker ended with status %#x\n", (unsigned)status);
    return opens ? !WIFEXITED(status) || WEXITSTATUS(status) != 3 : status != 0;
}
