/* SPDX-License-Identifier: Apache-2.0 */
/* The helpers' HTTPS inside the walls, over a relay, with a real TLS server: it works, and nothing is reported, so the
 * worker's list is wide enough for honest work; a certificate of somebody else's authority does not pass. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "drive.h"

static bool as_nobody;
static char folder[64], certificate[128];
static pid_t server, bridge;
static unsigned port;

static void make_server(void)
{
    char command[1024], line[256];
    int out[2];
    strcpy(folder, "/tmp/caisson-https-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(certificate, sizeof certificate, "%s/cert.pem", folder);
    snprintf(
        command, sizeof command,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=example.com -addext "
        "subjectAltName=DNS:example.com -keyout %s/key.pem -out %s 2>/dev/null",
        folder, certificate);
    assert_int_equal(system(command), 0);
    assert_int_equal(pipe(out), 0);
    server = fork();
    if (server == 0) {
        char key[128];
        snprintf(key, sizeof key, "%s/key.pem", folder);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(out[1], 1), dup2(open("/dev/null", O_RDWR), 2), dup2(2, 0);
        execlp("openssl", "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-key", key, "-www",
               NULL);
        _exit(1);
    }
    close(out[1]);
    FILE *said = fdopen(out[0], "r");
    while (fgets(line, sizeof line, said))
        if (sscanf(line, "ACCEPT 127.0.0.1:%u", &port) == 1) break;
    assert_int_not_equal(port, 0);
}

static bool copy(int from, int to)
{
    char bytes[16384];
    ssize_t got = read(from, bytes, sizeof bytes);
    return got > 0 && send(to, bytes, (size_t)got, MSG_NOSIGNAL) == got;
}

/* As the broker would: answers one dial, then moves bytes between the relay and the server. */
static _Noreturn void be_broker(int egress)
{
    struct egress_request request;
    int relay[2], to = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fcntl(egress, F_SETFL, 0);
    if (recv(egress, &request, sizeof request, 0) != sizeof request || socketpair(AF_UNIX, SOCK_STREAM, 0, relay) < 0 ||
        connect(to, (struct sockaddr *)&address, sizeof address) < 0)
        _exit(1);
    struct egress_answer answer = {.id = request.id};
    struct iovec piece = {&answer, sizeof answer};
    wire_send(egress, &piece, 1, &relay[1], 1);
    close(relay[1]);
    struct pollfd both[2] = {{.fd = relay[0], .events = POLLIN}, {.fd = to, .events = POLLIN}};
    while (poll(both, 2, 10000) > 0) {
        if (both[0].revents && !copy(relay[0], to)) shutdown(to, SHUT_WR), both[0].fd = -1;
        if (both[1].revents && !copy(to, relay[0])) break;
    }
    _exit(0);
}

static void fetch(const char *ca, struct drive_call *call, uint32_t *reports)
{
    struct drive drive;
    struct drive_how how = {.as_nobody = as_nobody, .helpers = HELPERS, .ca = ca};
    const struct drive_entry entry = {.plugin = PLUGINS "/fetch.so", .egress = true};
    char why[256] = "";
    if (!drive_start(&drive, &entry, 1, &how, why)) fail_msg("the runner refused: %s", why);
    *call = (struct drive_call){.deadline_ms = 10000};
    drive_begin(&drive, call);
    assert_true(drive_feed(&drive, call));
    for (int i = 0; i < DRIVE_CHANNELS; i++)
        if (drive.channels[i].number == call->channel && (bridge = fork()) == 0) be_broker(drive.channels[i].egress);
    drive_replies(&drive, call);
    drive_done(&drive, call, true);
    struct drive_frame *ended = drive_expect(&drive, DRIVE_LEDGER, MSG_WORKER_ENDED, NULL, 300);
    *reports = ended ? ((struct msg_worker_ended *)ended->body)->report_count : 0;
    if (ended) print_message("reported: system call %d\n", ((struct msg_worker_ended *)ended->body)->reports[0].number);
    drive_stop(&drive);
    kill(bridge, SIGKILL);
    waitpid(bridge, NULL, 0);
}

static json_int_t number(const struct drive_call *call, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(call->reply, "answer"), key));
}

static void https_works(void **state)
{
    struct drive_call call;
    uint32_t reports;
    fetch(certificate, &call, &reports);
    assert_true(call.replied);
    if (number(&call, "status") != 200)
        fail_msg("%s", json_string_value(json_object_get(json_object_get(call.reply, "answer"), "problem")));
    assert_int_equal(reports, 0);
    drive_call_clear(&call);
}

static void other_authority(void **state)
{
    struct drive_call call;
    uint32_t reports;
    fetch(CA_FILE, &call, &reports);
    assert_true(call.replied);
    assert_int_equal(number(&call, "got"), 0);
    assert_int_equal(number(&call, "status"), 0);
    drive_call_clear(&call);
}

static int clean(void **state)
{
    char command[256];
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(int argc, char **argv)
{
    as_nobody = argc > 1 && strcmp(argv[1], "nobody") == 0;
    if (as_nobody && getuid() != 0) return 77;
    make_server();
    const struct CMUnitTest tests[] = {cmocka_unit_test(https_works), cmocka_unit_test(other_authority)};
    return cmocka_run_group_tests(tests, NULL, clean);
}
