/* SPDX-License-Identifier: Apache-2.0 */
/* Other nameservers while questions run: the old ones may be why they were changed. */
#include "harness.h"
#include "peers.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct test_entry entries[] = {{"open", "\"plain://*:*\"", "\"127.0.0.1/32\"", 1000, 64, 64}, {0}};
static const struct zone_row zone[] = {{"good.test", {"127.0.0.1"}}, {NULL, {NULL}}};
static struct harness harness, *const h = &harness;

/* Is asked, and never answers. */
static int dead_server(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_return_code(bind(fd, (struct sockaddr *)&at, size), 0);
    assert_return_code(getsockname(fd, (struct sockaddr *)&at, &size), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void test_servers_change_under_a_question(void **state)
{
    static struct server echo;
    struct egress_answer answer;
    char config[80];
    uint16_t port;
    int fd, dead = dead_server(&port);
    server_start(&echo, SERVER_ECHO, "127.0.0.1", 0);
    snprintf(config, sizeof config, "{\"nameservers\":[\"127.0.0.1:%u\"]}", port);
    harness_start(h, config, 7, entries);
    struct worker worker = start_call(h, 0, "");
    ask_dial(&worker, "good.test", echo.port);
    assert_int_equal(poll(&(struct pollfd){.fd = dead, .events = POLLIN}, 1, PATIENCE_MS), 1);

    snprintf(config, sizeof config, "{\"nameservers\":[\"127.0.0.1:%u\"]}", dns_start(zone));
    harness_configure(h, config);
    assert_true(take_answer(&worker, &answer, &fd));
    assert_int_equal(answer.status, EGRESS_OK);
    close(fd);
    close_gate(h, &worker);
    close(worker.egress);
    harness_stop(h);
    dns_stop();
    server_stop(&echo);
    close(dead);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_servers_change_under_a_question)};
    if (argc != 2) return fprintf(stderr, "usage: %s CAISSON-BROKER\n", argv[0]), 2;
    broker_path = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
