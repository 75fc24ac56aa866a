/* SPDX-License-Identifier: Apache-2.0 */
/* Corpus 62: this host's own public address is refused although no range says so, and reached once it is granted.
 * Runs in a network namespace of its own, where loopback carries 9.9.9.9. */
#include "harness.h"
#include "peers.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct test_entry entries[] = {
    {"open", "\"plain://*:*\"", "", 1000, 64, 64}, {"granted", "\"plain://*:*\"", "\"9.9.9.9/32\"", 1000, 64, 64}, {0}};
static struct harness harness, *const h = &harness;

static bool carry(int fd, const char *interface, const char *address)
{
    struct ifreq request = {0};
    struct sockaddr_in *at = (struct sockaddr_in *)&request.ifr_addr;
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", interface);
    at->sin_family = AF_INET;
    inet_pton(AF_INET, address, &at->sin_addr);
    if (address[0] && ioctl(fd, SIOCSIFADDR, &request) < 0) return false;
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    return ioctl(fd, SIOCSIFFLAGS, &request) == 0;
}

static void test_own_address(void **state)
{
    static struct server echo;
    server_start(&echo, SERVER_ECHO, "9.9.9.9", 0);
    harness_start(h,
                  "{\"hosts\":[[\"own.test\",\"9.9.9.9\"],[\"far.test\",\"8.8.8.8\"],[\"nat.test\",\"8.8.4.4\"]],"
                  "\"refuse\":[\"8.8.4.4\"]}",
                  7, entries);
    struct worker worker = start_call(h, 0, ""), granted = start_call(h, 1, "");
    int fd;
    assert_int_equal(dial(&worker, "own.test", echo.port, &fd), EGRESS_DENIED);
    assert_non_null(strstr(dial_text, "9.9.9.9 is an address of this host"));
    assert_int_equal(dial(&worker, "nat.test", echo.port, &fd), EGRESS_DENIED);      /* named in the configuration */
    assert_int_equal(dial(&worker, "far.test", echo.port, &fd), EGRESS_UNREACHABLE); /* no route here, but no wall */
    assert_int_equal(echo.accepted, 0);
    assert_int_equal(dial(&granted, "own.test", echo.port, &fd), EGRESS_OK);
    close(fd);
    assert_int_equal(close_gate(h, &worker).denied, 2);
    close_gate(h, &granted);
    close(worker.egress);
    close(granted.egress);
    harness_stop(h);
    server_stop(&echo);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_own_address)};
    if (argc != 2) return fprintf(stderr, "usage: %s CAISSON-BROKER\n", argv[0]), 2;
    broker_path = argv[1];
    if (unshare((getuid() ? CLONE_NEWUSER : 0) | CLONE_NEWNET) < 0)
        return perror("no network namespace of our own"), 77;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (!carry(fd, "lo", "127.0.0.1") || !carry(fd, "lo:1", "9.9.9.9")) return perror("no address for loopback"), 77;
    close(fd);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
