/* SPDX-License-Identifier: Apache-2.0 */
/* The broker as its peers see it: gates, names, addresses, caps. Real sockets, a real name server, a real process.
 * 127.0.0.1 plays the public address (its range is granted to some entries), 127.0.0.2 a private one. */
#include "harness.h"
#include "peers.h"

#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum { OPEN, CLOSED, NARROW, WILD, CAPPED, LITERAL, LITERAL_GRANTED };

static const struct zone_row zone[] = {{"good.test", {"127.0.0.1"}},
                                       {"both.test", {"127.0.0.1 ::1"}},
                                       {"private.test", {"127.0.0.2"}},
                                       {"metadata.test", {"169.254.169.254"}},
                                       {"mapped.test", {"::ffff:127.0.0.2"}},
                                       {"mixed.test", {"127.0.0.2 127.0.0.1"}},
                                       {"rebind.test", {"127.0.0.1", "127.0.0.2"}},
                                       {"cname.test", {"CNAME localhost 127.0.0.2"}},
                                       {"cname-good.test", {"CNAME good.test 127.0.0.1"}},
                                       {"fail.test", {"fail"}},
                                       {"silent.test", {"silent"}},
                                       {"empty.test", {"CNAME good.test"}},
                                       {"a.wild.test", {"127.0.0.1"}},
                                       {"b.a.wild.test", {"127.0.0.1"}},
                                       {"wild.test", {"127.0.0.1"}},
                                       {NULL, {NULL}}};

#define ANY_PLAIN "\"plain://*:*\""
#define ONE "\"127.0.0.1/32\""
static const struct test_entry entries[] = {
    [OPEN] = {"open", ANY_PLAIN, ONE, 1000, 64, 64},
    [CLOSED] = {"closed", ANY_PLAIN, "", 1000, 64, 64},
    [NARROW] = {"narrow", "\"plain://good.test:7\",\"plain://other.test:*\"", ONE, 1000, 64, 64},
    [WILD] = {"wild", "\"plain://*.wild.test:*\"", ONE, 1000, 64, 64},
    [CAPPED] = {"capped", ANY_PLAIN, ONE, 5, 1, 1},
    [LITERAL] = {"literal", "\"plain://127.0.0.1:*\",\"plain://[::1]:*\",\"plain://0.0.0.0:*\",\"plain://[::]:*\"", "",
                 1000, 64, 64},
    [LITERAL_GRANTED] = {"granted", "\"plain://127.0.0.1:*\",\"plain://[::1]:*\"", "\"127.0.0.0/8\",\"::1/128\"", 1000,
                         64, 64},
    {0}};

static struct harness harness, *const h = &harness;
static struct server echo, private_echo, sink, source, deaf, half, reset;
static unsigned baseline;

static int setup(void **state)
{
    char config[200];
    server_start(&echo, SERVER_ECHO, "127.0.0.1", 0);
    server_start(&private_echo, SERVER_ECHO, "127.0.0.2", echo.port);
    server_start(&sink, SERVER_SINK, "127.0.0.1", 0);
    server_start(&source, SERVER_SOURCE, "127.0.0.1", 0);
    server_start(&deaf, SERVER_DEAF, "127.0.0.1", 0);
    server_start(&half, SERVER_HALF, "127.0.0.1", 0);
    server_start(&reset, SERVER_RESET, "127.0.0.1", 0);
    snprintf(config, sizeof config,
             "{\"nameservers\":[\"127.0.0.1:%u\"],\"hosts\":[[\"host.test\",\"127.0.0.1\"],[\"private-host.test\","
             "\"127.0.0.2\"]],"
             "\"lookups_per_call\":40}",
             dns_start(zone));
    harness_start(h, config, 7, entries);
    harness_barrier(h);
    baseline = harness_descriptors(h);
    return 0;
}

/* Whatever the tests did, nothing is left behind. */
static int teardown(void **state)
{
    struct worker last = start_call(h, OPEN, "");
    close_gate(h, &last);
    close(last.egress);
    for (int i = 0; i < 200 && harness_descriptors(h) > baseline; i++) harness_barrier(h);
    assert_int_equal(harness_descriptors(h), baseline);
    harness_stop(h);
    dns_stop();
    struct server *all[] = {&echo, &private_echo, &sink, &source, &deaf, &half, &reset};
    for (unsigned i = 0; i < COUNT(all); i++) server_stop(all[i]);
    return 0;
}

static void exchange(int fd, const char *text)
{
    char back[64] = "";
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    assert_int_equal(read_some(fd, back, strlen(text)), strlen(text));
    assert_string_equal(back, text);
}

static struct msg_gate_closed finish(struct worker *worker)
{
    struct msg_gate_closed closed = close_gate(h, worker);
    close(worker->egress);
    return closed;
}

/* ── relays ────────────────────────────────────────────────────────────────────────────────────────── */

static void test_relay(void **state)
{
    struct worker worker = start_call(h, OPEN, "");
    int fd;
    assert_int_equal(dial(&worker, "Good.Test.", echo.port, &fd), EGRESS_OK);
    exchange(fd, "hello");
    exchange(fd, "again!");
    shutdown(fd, SHUT_WR);
    assert_true(stream_ended(fd)); /* the echo server saw our end, and we saw its */
    struct msg_gate_closed closed = finish(&worker);
    assert_true(closed.known && !closed.committed && !closed.denied && !closed.limit_hit);
    assert_int_equal(closed.dials, 1);
    assert_int_equal(closed.bytes_up, 11);
    assert_int_equal(closed.bytes_down, 11);
    close(fd);
}

static void test_configured_hosts(void **state)
{
    struct worker worker = start_call(h, OPEN, "");
    int fd;
    assert_int_equal(dial(&worker, "host.test", echo.port, &fd), EGRESS_OK);
    exchange(fd, "x");
    close(fd);
    assert_int_equal(dial(&worker, "private-host.test", echo.port, &fd), EGRESS_DENIED);
    finish(&worker);
}

/* What the worker wrote before it died still goes up, and is counted. */
static void test_last_words(void **state)
{
    static char block[100 * 1000];
    struct worker worker = start_call(h, OPEN, "");
    int fd;
    uint64_t before = sink.bytes;
    assert_int_equal(dial(&worker, "good.test", sink.port, &fd), EGRESS_OK);
    assert_int_equal(send(fd, block, sizeof block, MSG_NOSIGNAL), sizeof block);
    close(fd);
    close(worker.egress);
    struct msg_gate_closed closed = close_gate(h, &worker);
    assert_int_equal(closed.bytes_up, sizeof block);
    for (int i = 0; i < 1000 && sink.bytes - before < sizeof block; i++) harness_barrier(h);
    assert_int_equal(sink.bytes - before, sizeof block);
}

static void test_half_open(void **state)
{
    struct worker worker = start_call(h, OPEN, "");
    char text[8] = "";
    int fd;
    assert_int_equal(dial(&worker, "good.test", half.port, &fd), EGRESS_OK);
    assert_int_equal(read_some(fd, text, sizeof text), 4);
    assert_string_equal(text, "done");
    uint64_t before = half.bytes;
    assert_int_equal(send(fd, "still here", 10, MSG_NOSIGNAL), 10);
    shutdown(fd, SHUT_WR);
    for (int i = 0; i < 100000 && half.bytes - before < 10; i++) harness_barrier(h);
    assert_int_equal(half.bytes - before, 10);
    assert_int_equal(finish(&worker).bytes_up, 10);
    close(fd);
}

static void test_peer_resets(void **state)
{
    struct worker worker = start_call(h, OPEN, "");
    int fd;
    unsigned status = dial(&worker, "good.test", reset.port, &fd);
    if (status == EGRESS_OK) {
        assert_true(stream_ended(fd));
        close(fd);
    }
    finish(&worker);
}

/* Two relays that nobody drains, in both directions; a third one is not slower for it, and closing does not hang. */
static void test_slow_sides(void **state)
{
    static char block[64 * 1024];
    struct worker worker = start_call(h, OPEN, ""), other = start_call(h, OPEN, "");
    int up, down, fd;
    assert_int_equal(dial(&worker, "good.test", deaf.port, &up), EGRESS_OK);
    assert_int_equal(dial(&worker, "good.test", source.port, &down), EGRESS_OK);
    for (int i = 0; i < 400 && send(up, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL) > 0; i++) harness_barrier(h);
    assert_int_equal(dial(&other, "good.test", echo.port, &fd), EGRESS_OK);
    for (int i = 0; i < 100; i++) exchange(fd, "ping");
    close(fd);
    finish(&other);
    struct msg_gate_closed closed = finish(&worker);
    assert_true(closed.bytes_up > 0 && closed.bytes_down > 0);
    close(up);
    close(down);
}

static void test_unreachable(void **state)
{
    struct server gone;
    struct worker worker = start_call(h, OPEN, "");
    int fd;
    server_start(&gone, SERVER_ECHO, "127.0.0.1", 0);
    server_stop(&gone);
    assert_int_equal(dial(&worker, "good.test", gone.port, &fd), EGRESS_UNREACHABLE);
    assert_non_null(strstr(dial_text, "refused"));
    struct msg_gate_closed closed = finish(&worker);
    assert_true(closed.dials == 1 && closed.denied == 0 && closed.bytes_up == 0);
}

/* ── gates ─────────────────────────────────────────────────────────────────────────────────────────── */

static void test_gate_first_or_half_first(void **state)
{
    struct worker worker = make_worker(OPEN);
    struct egress_answer answer;
    int fd;
    give_half(h, &worker, false);
    ask_dial(&worker, "good.test", echo.port);
    open_gate(h, &worker, "");
    assert_true(take_answer(&worker, &answer, &fd));
    assert_int_equal(answer.status, EGRESS_OK);
    exchange(fd, "late gate");
    close(fd);
    assert_int_equal(finish(&worker).bytes_up, 9);
}

static void test_no_gate(void **state)
{
    struct worker worker = make_worker(OPEN);
    unsigned before = echo.accepted;
    int fd;
    give_half(h, &worker, false);
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_CLOSED);
    assert_int_equal(close_gate(h, &worker).known, 0);
    assert_int_equal(echo.accepted, before);
    ask_commit(&worker, true);
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_CLOSED);
    open_gate(h, &worker, ""); /* very late: the call goes on, and its commit is not forgotten */
    harness_barrier(h);
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
    close(fd);
    assert_true(finish(&worker).committed);
}

static void test_gate_closes(void **state)
{
    struct worker worker = start_call(h, OPEN, "");
    struct egress_answer answer;
    int fd;
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
    exchange(fd, "12345");
    ask_commit(&worker, false); /* not yet read when the gate is closed: still counts */
    struct msg_gate_closed closed = close_gate(h, &worker), again = close_gate(h, &worker);
    assert_true(closed.known && closed.committed && closed.bytes_up == 5 && closed.bytes_down == 5);
    assert_memory_equal(&closed, &again, sizeof closed);
    assert_true(stream_ended(fd));
    assert_false(take_answer(&worker, &answer, &fd)); /* the channel ended with its only call */
    close(worker.egress);
}

/* A gate that was closed once opens never again, and a second order for it changes nothing. */
static void test_gate_opens_once(void **state)
{
    struct worker worker = start_call(h, OPEN, "");
    int fd;
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
    exchange(fd, "abc");
    open_gate(h, &worker, "");
    close(fd);
    assert_int_equal(finish(&worker).bytes_up, 3);
    open_gate(h, &worker, "");
    give_half(h, &worker, false);
    struct egress_answer answer;
    assert_false(take_answer(&worker, &answer, &fd));
    close(worker.egress);
    assert_int_equal(close_gate(h, &worker).bytes_up, 3);
}

static void test_deadline(void **state)
{
    struct worker worker = make_worker(OPEN);
    int fd, other;
    worker.deadline = clock_now() + 1 * CLOCK_S;
    open_gate(h, &worker, "");
    give_half(h, &worker, false);
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
    exchange(fd, "in time");
    assert_true(stream_ended(fd)); /* by itself, at the deadline */
    assert_true(clock_now() >= worker.deadline);
    assert_int_equal(dial(&worker, "good.test", echo.port, &other), EGRESS_CLOSED);
    ask_commit(&worker, true);
    struct msg_gate_closed closed = finish(&worker);
    assert_true(closed.known && closed.committed && closed.bytes_up == 7);
    close(fd);
}

/* The half, the commit and the closing may all be unread at once: in whatever order they are read, it counts. */
static void test_commit_alone(void **state)
{
    for (int i = 0; i < 200; i++) {
        struct worker worker = start_call(h, OPEN, "");
        ask_commit(&worker, true);
        struct msg_gate_closed closed = finish(&worker);
        assert_true(closed.committed && closed.dials == 0 && closed.bytes_up == 0);
    }
}

/* What a worker says of its failed action reaches the ledger by here, and only for its own call. */
static void test_clean(void **state)
{
    for (uint32_t own = 0; own < 2; own++) {
        struct worker worker = start_call(h, OPEN, ""), stranger;
        int fd;
        assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
        exchange(fd, "12345");
        stranger = worker;
        next_call(&stranger);
        ask_mark(own ? &worker : &stranger, EGRESS_CLEAN, true);
        close(fd);
        struct msg_gate_closed closed = finish(&worker);
        assert_true(closed.known && !closed.committed && closed.bytes_up == 5);
        assert_int_equal(closed.clean, own);
    }
}

/* A commit behind more requests than are read in one turn. */
static void test_commit_late_in_queue(void **state)
{
    struct worker worker = start_call(h, OPEN, ""), stranger = worker;
    int fd;
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
    close(fd);
    stranger.egress = worker.egress;
    next_call(&stranger);
    for (int i = 0; i < 200; i++) ask_commit(&stranger, true); /* somebody else's: counts for nobody */
    ask_commit(&worker, true);
    assert_true(finish(&worker).committed);
    worker = start_call(h, OPEN, "");
    stranger.egress = worker.egress;
    ask_commit(&stranger, true);
    assert_false(finish(&worker).committed);
}

static void test_freeze_now(void **state)
{
    struct worker worker = start_call(h, OPEN, "");
    int fd;
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
    exchange(fd, "xy");
    harness_freeze_now(h);
    assert_true(stream_ended(fd));
    close(fd);
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_CLOSED);
    assert_int_equal(finish(&worker).bytes_up, 2);
}

static void test_lines_replaced(void **state)
{
    struct worker worker = start_call(h, OPEN, "");
    struct egress_answer answer;
    int fd, none;
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
    exchange(fd, "abcd");
    harness_new_ledger(h); /* the call goes on */
    exchange(fd, "efgh");
    harness_new_runner(h); /* its worker is dead */
    assert_true(stream_ended(fd));
    assert_false(take_answer(&worker, &answer, &none));
    close(worker.egress);
    assert_int_equal(close_gate(h, &worker).bytes_up, 8);
    close(fd);
}

static void test_registry_changes(void **state)
{
    struct test_entry changed[COUNT(entries)];
    struct worker same = start_call(h, NARROW, ""), gone = start_call(h, LITERAL_GRANTED, "");
    int fd, other;
    memcpy(changed, entries, sizeof changed);
    changed[LITERAL_GRANTED] = (struct test_entry){0}; /* the last entry is gone */
    assert_int_equal(dial(&gone, "127.0.0.1", echo.port, &fd), EGRESS_OK);
    exchange(fd, "q");
    harness_registry(h, 8, changed);
    assert_true(stream_ended(fd));
    close(fd);
    assert_int_equal(dial(&same, "good.test", 8, &other), EGRESS_DENIED); /* its gate is open, its rules hold */
    assert_int_equal(dial(&gone, "127.0.0.1", echo.port, &fd), EGRESS_CLOSED);
    assert_int_equal(finish(&gone).bytes_up, 1);
    finish(&same);
    struct worker late = start_call(h, LITERAL_GRANTED, "");
    assert_int_equal(dial(&late, "127.0.0.1", echo.port, &fd), EGRESS_DENIED);
    assert_int_equal(finish(&late).known, 1);
    harness_registry(h, 9, entries);
}

/* ── policy, names, addresses ──────────────────────────────────────────────────────────────────────── */

static void refused(unsigned entry, const char *audience, const char *host, uint16_t port, const char *why)
{
    struct worker worker = start_call(h, entry, audience);
    unsigned before = private_echo.accepted + echo.accepted;
    int fd;
    unsigned status = dial(&worker, host, port, &fd);
    if (status != EGRESS_DENIED) fail_msg("%s:%u: status %u", host, port, status);
    if (!strstr(dial_text, why)) fail_msg("%s:%u: %s", host, port, dial_text);
    struct msg_gate_closed closed = finish(&worker);
    assert_true(closed.denied == 1 && closed.bytes_up == 0);
    if (!strstr(closed.last_denied, why)) fail_msg("%s:%u: recorded as %s", host, port, closed.last_denied);
    assert_int_equal(private_echo.accepted + echo.accepted, before);
}

static void reached(unsigned entry, const char *audience, const char *host)
{
    struct worker worker = start_call(h, entry, audience);
    int fd;
    if (dial(&worker, host, echo.port, &fd) != EGRESS_OK) fail_msg("%s: %s", host, dial_text);
    exchange(fd, "?");
    close(fd);
    assert_int_equal(finish(&worker).bytes_up, 1);
}

static void test_policy(void **state)
{
    refused(NARROW, "", "good.test", echo.port, "no egress rule of connector narrow");
    refused(NARROW, "", "evil.test", 7, "no egress rule");
    refused(WILD, "", "wild.test", echo.port, "no egress rule");
    refused(WILD, "", "b.a.wild.test", echo.port, "no egress rule");
    refused(OPEN, "other.test", "good.test", echo.port, "audience");
    refused(OPEN, "", "127.0.0.1", echo.port, "no egress rule"); /* "*" means names */
    reached(WILD, "", "a.wild.test");
    reached(OPEN, "good.test\nother.test", "good.test");
}

/* Corpus 57, 58, 63, 66: what a name or a literal leads to; the same is reached once the range is granted. */
static void test_special_addresses(void **state)
{
    static const char *const literals[] = {"127.0.0.1", "::1", "0.0.0.0", "::"};
    for (unsigned i = 0; i < COUNT(literals); i++) refused(LITERAL, "", literals[i], echo.port, "RFC");
    reached(LITERAL_GRANTED, "", "127.0.0.1");
    refused(CLOSED, "", "good.test", echo.port, "127.0.0.1 is loopback");
    refused(OPEN, "", "private.test", echo.port, "127.0.0.2 is loopback");
    refused(OPEN, "", "metadata.test", 80, "link-local");
    refused(OPEN, "", "mapped.test", echo.port, "mapped");
    refused(OPEN, "", "cname.test", echo.port, "127.0.0.2");
    refused(OPEN, "", "private-host.test", echo.port, "127.0.0.2");
    reached(OPEN, "", "cname-good.test");
    reached(OPEN, "", "both.test");
}

/* Corpus 64, 65. */
static void test_rebinding(void **state)
{
    unsigned before = private_echo.accepted;
    reached(OPEN, "", "rebind.test");
    refused(OPEN, "", "rebind.test", echo.port, "127.0.0.2");
    for (int i = 0; i < 5; i++) reached(OPEN, "", "mixed.test");
    assert_int_equal(private_echo.accepted, before);
}

/* Corpus 60, 67, 68: refused before any name server hears of it. */
static void test_name_tricks(void **state)
{
    static const struct {
        char host[16];
        size_t length;
        uint32_t port;
    } rows[] = {{"127.1", 5, 80},
                {"0x7f000001", 10, 80},
                {"2130706433", 10, 80},
                {"0177.0.0.1", 10, 80},
                {"127.0.0.1.", 10, 80},
                {"good.test\0.evil", 15, 80},
                {"good.test%00", 12, 80},
                {"good.test\t", 10, 80},
                {"good.test\r\nX: y", 15, 80},
                {"me@good.test", 12, 80},
                {"g\xd0\xbe"
                 "od.test",
                 10, 80},
                {"good..test", 10, 80},
                {"[good.test]", 11, 80},
                {"good.test", 9, 0},
                {"good.test", 9, 65536 + 443},
                {"good.test", 9, (uint32_t)-443},
                {"good.test", 8, 80},
                {"good.test", 10, 80},
                {"good.test", 0, 80},
                {"good.test", 256, 80},
                {"good.test", UINT32_MAX, 80}};
    struct worker worker = start_call(h, OPEN, "");
    unsigned asked = dns_asked(NULL);
    for (unsigned i = 0; i < COUNT(rows); i++) {
        struct egress_answer answer;
        int fd;
        ask_dial_raw(&worker, rows[i].host, sizeof rows[i].host, rows[i].length, rows[i].port);
        assert_true(take_answer(&worker, &answer, &fd));
        if (answer.status != EGRESS_DENIED || fd >= 0)
            fail_msg("row %u: status %u (%s)", i, answer.status, answer.text);
    }
    const struct msg_incident *incident = harness_take(h, h->ledger, MSG_INCIDENT);
    assert_int_equal(incident->kind, INCIDENT_BAD_FRAME);
    assert_memory_equal(&incident->call, &worker.call, sizeof worker.call);
    struct msg_gate_closed closed = finish(&worker); /* and one incident only: nothing else lies before this */
    assert_int_equal(closed.denied, COUNT(rows));
    assert_int_equal(closed.bytes_up, 0);
    for (const char *c = closed.last_denied; *c; c++) assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
    assert_int_equal(dns_asked(NULL), asked);
}

static void test_no_name(void **state)
{
    static const char *const rows[] = {"nothing.test", "fail.test", "empty.test", "silent.test"};
    struct worker worker = start_call(h, OPEN, "");
    int fd;
    for (unsigned i = 0; i < COUNT(rows); i++)
        if (dial(&worker, rows[i], echo.port, &fd) != EGRESS_NO_NAME) fail_msg("%s: %s", rows[i], dial_text);
    assert_int_equal(finish(&worker).denied, 0);
}

/* ── limits ────────────────────────────────────────────────────────────────────────────────────────── */

static void test_dial_cap(void **state)
{
    struct worker worker = start_call(h, CAPPED, "");
    int fd;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
        close(fd);
    }
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_LIMIT);
    struct msg_gate_closed closed = finish(&worker);
    assert_true(closed.limit_hit && closed.dials == 6);
}

static void test_lookup_cap(void **state)
{
    struct worker worker = start_call(h, OPEN, "");
    char host[32];
    int fd;
    unsigned before = dns_asked(NULL), status = EGRESS_NO_NAME, count = 0;
    for (; status == EGRESS_NO_NAME && count < 100; count++) {
        snprintf(host, sizeof host, "x%u.test", count);
        status = dial(&worker, host, 80, &fd);
    }
    assert_int_equal(status, EGRESS_LIMIT);
    assert_true(count == 41 && dns_asked(NULL) - before == 40);
    assert_true(finish(&worker).limit_hit);
}

static void test_relay_cap(void **state)
{
    struct worker worker = start_call(h, OPEN, "");
    int fds[17];
    for (int i = 0; i < 16; i++) assert_int_equal(dial(&worker, "host.test", echo.port, &fds[i]), EGRESS_OK);
    assert_int_equal(dial(&worker, "host.test", echo.port, &fds[16]), EGRESS_LIMIT);
    close(fds[0]);
    for (unsigned status = EGRESS_LIMIT; status != EGRESS_OK;) status = dial(&worker, "host.test", echo.port, &fds[0]);
    for (int i = 0; i < 16; i++) close(fds[i]);
    assert_true(finish(&worker).limit_hit);
}

static void test_byte_caps(void **state)
{
    static char block[64 * 1024];
    struct worker up = start_call(h, CAPPED, ""), down = start_call(h, CAPPED, "");
    size_t got = 0;
    int fd;
    uint64_t before = sink.bytes;
    assert_int_equal(dial(&up, "good.test", sink.port, &fd), EGRESS_OK);
    for (int i = 0; i < 64 && send(fd, block, sizeof block, MSG_NOSIGNAL) > 0; i++) {
    }
    assert_true(stream_ended(fd));
    struct msg_gate_closed closed = finish(&up);
    assert_true(closed.limit_hit && closed.bytes_up <= 1 << 20 && closed.bytes_up > 900 * 1024);
    assert_true(sink.bytes - before <= 1 << 20);
    close(fd);
    assert_int_equal(dial(&down, "good.test", source.port, &fd), EGRESS_OK);
    for (size_t one; (one = read_some(fd, block, sizeof block)) > 0;) got += one;
    assert_true(got <= 1 << 20);
    closed = finish(&down);
    assert_true(closed.limit_hit && closed.bytes_down > 1 << 20);
    close(fd);
}

/* Corpus 76: ten thousand requests in one call; another call's dials go on in between. */
static void test_flood(void **state)
{
    struct worker flood = start_call(h, CAPPED, ""), other = start_call(h, OPEN, "");
    struct egress_answer answer;
    unsigned limits = 0;
    int fd;
    for (unsigned i = 0; i < 10000; i++) {
        ask_dial(&flood, "good.test", sink.port);
        assert_true(take_answer(&flood, &answer, &fd));
        if (fd >= 0) close(fd);
        limits += answer.status == EGRESS_LIMIT;
        if (i % 1000) continue;
        assert_int_equal(dial(&other, "good.test", echo.port, &fd), EGRESS_OK);
        exchange(fd, "!");
        close(fd);
    }
    assert_int_equal(limits, 10000 - 5);
    struct msg_gate_closed closed = finish(&flood);
    assert_true(closed.limit_hit && closed.dials == 10000);
    finish(&other);
}

/* The same without ever reading an answer: that worker's egress ends, and it counts as committed. */
static void test_flood_unread(void **state)
{
    struct worker flood = start_call(h, CAPPED, ""), other = start_call(h, OPEN, "");
    int fd;
    for (unsigned i = 0; i < 10000; i++) ask_dial(&flood, "evil..test", 80);
    assert_int_equal(dial(&other, "good.test", echo.port, &fd), EGRESS_OK);
    exchange(fd, "!");
    close(fd);
    finish(&other);
    struct msg_gate_closed closed = finish(&flood);
    assert_true(closed.limit_hit && closed.committed);
}

/* A few dozen are too many already: each can hold a descriptor that the kernel counts against the broker. */
static void test_some_unread(void **state)
{
    struct worker worker = start_call(h, OPEN, "");
    for (unsigned i = 0; i < 48; i++) ask_dial(&worker, "evil..test", 80);
    struct msg_gate_closed closed = finish(&worker);
    assert_true(closed.limit_hit && closed.committed);
}

/* The kernel lets the broker send no descriptor, because others have not taken theirs: nobody's egress ends for it. */
static void test_too_many_in_flight(void **state)
{
    struct worker worker = start_call(h, OPEN, "");
    struct rlimit files, few = {harness_descriptors(h) + 20, 0};
    int ends[2], many[WIRE_FDS], fd;
    struct iovec piece = {"x", 1};
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    for (unsigned i = 0; i < WIRE_FDS; i++) many[i] = ends[0];
    for (unsigned i = 0; i < few.rlim_cur; i++) assert_int_equal(wire_send(ends[0], &piece, 1, many, WIRE_FDS), 0);
    assert_int_equal(prlimit(h->pid, RLIMIT_NOFILE, NULL, &files), 0);
    few.rlim_max = files.rlim_max;
    assert_int_equal(prlimit(h->pid, RLIMIT_NOFILE, &few, NULL), 0);
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_LIMIT);
    assert_int_equal(fd, -1);
    close(ends[0]);
    close(ends[1]);
    for (unsigned status = EGRESS_LIMIT; status != EGRESS_OK;) status = dial(&worker, "good.test", echo.port, &fd);
    exchange(fd, "!");
    close(fd);
    assert_int_equal(prlimit(h->pid, RLIMIT_NOFILE, &files, NULL), 0);
    struct msg_gate_closed closed = finish(&worker);
    assert_true(!closed.limit_hit && !closed.committed);
}

/* ── hostile channels ──────────────────────────────────────────────────────────────────────────────── */

static void test_bad_requests(void **state)
{
    static char bytes[4096];
    struct worker worker = start_call(h, OPEN, "");
    int fd;
    for (size_t length = 1; length < sizeof bytes; length = length * 3 + 1)
        assert_int_equal(send(worker.egress, bytes, length, MSG_NOSIGNAL), length);
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
    exchange(fd, "fine");
    close(fd);
    harness_take(h, h->ledger, MSG_INCIDENT);
    assert_true(finish(&worker).denied > 0);
}

/* Corpus 117: descriptors that come along are dropped by the kernel. */
static void test_stuffed_descriptors(void **state)
{
    struct worker worker = start_call(h, OPEN, "");
    struct egress_request request = {.type = EGRESS_COMMIT};
    struct iovec piece = {&request, sizeof request};
    int many[WIRE_FDS], fd;
    for (unsigned i = 0; i < WIRE_FDS; i++) many[i] = worker.egress;
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
    harness_barrier(h); /* by then the broker has given up its own copy of the relay's end */
    unsigned before = harness_descriptors(h);
    for (int i = 0; i < 50; i++) assert_int_equal(wire_send(worker.egress, &piece, 1, many, WIRE_FDS), 0);
    exchange(fd, "x");
    ask_dial(&worker, "evil..test", 80); /* answered after all of them */
    struct egress_answer answer;
    int none;
    assert_true(take_answer(&worker, &answer, &none));
    assert_int_equal(harness_descriptors(h), before);
    close(fd);
    assert_true(finish(&worker).committed);
}

static void test_wrong_entry(void **state)
{
    struct worker worker = make_worker(OPEN), liar;
    struct egress_answer answer;
    int fd;
    open_gate(h, &worker, "");
    liar = worker;
    liar.entry = LITERAL_GRANTED;
    give_half(h, &liar, false);
    assert_false(take_answer(&liar, &answer, &fd));
    const struct msg_incident *incident = harness_take(h, h->ledger, MSG_INCIDENT);
    assert_int_equal(incident->kind, INCIDENT_DIGEST_MISMATCH);
    close(liar.egress);
    assert_int_equal(close_gate(h, &worker).known, 1);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_relay),
                                       cmocka_unit_test(test_configured_hosts),
                                       cmocka_unit_test(test_last_words),
                                       cmocka_unit_test(test_half_open),
                                       cmocka_unit_test(test_peer_resets),
                                       cmocka_unit_test(test_slow_sides),
                                       cmocka_unit_test(test_unreachable),
                                       cmocka_unit_test(test_gate_first_or_half_first),
                                       cmocka_unit_test(test_no_gate),
                                       cmocka_unit_test(test_gate_closes),
                                       cmocka_unit_test(test_gate_opens_once),
                                       cmocka_unit_test(test_deadline),
                                       cmocka_unit_test(test_commit_alone),
                                       cmocka_unit_test(test_clean),
                                       cmocka_unit_test(test_commit_late_in_queue),
                                       cmocka_unit_test(test_freeze_now),
                                       cmocka_unit_test(test_lines_replaced),
                                       cmocka_unit_test(test_registry_changes),
                                       cmocka_unit_test(test_policy),
                                       cmocka_unit_test(test_special_addresses),
                                       cmocka_unit_test(test_rebinding),
                                       cmocka_unit_test(test_name_tricks),
                                       cmocka_unit_test(test_no_name),
                                       cmocka_unit_test(test_dial_cap),
                                       cmocka_unit_test(test_lookup_cap),
                                       cmocka_unit_test(test_relay_cap),
                                       cmocka_unit_test(test_byte_caps),
                                       cmocka_unit_test(test_flood),
                                       cmocka_unit_test(test_flood_unread),
                                       cmocka_unit_test(test_some_unread),
                                       cmocka_unit_test(test_too_many_in_flight),
                                       cmocka_unit_test(test_bad_requests),
                                       cmocka_unit_test(test_stuffed_descriptors),
                                       cmocka_unit_test(test_wrong_entry)};
    if (argc != 2) return fprintf(stderr, "usage: %s CAISSON-BROKER\n", argv[0]), 2;
    broker_path = argv[1];
    /* As the daemon starts it: with these two, no number of descriptors is too many. An ordinary user has neither. */
    prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0);
    prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0);
    return cmocka_run_group_tests(tests, setup, teardown);
}
