/* SPDX-License-Identifier: Apache-2.0 */
/* A leased worker: one channel, several calls. Connections stay, but every byte belongs to one call and none passes
 * between calls; what the worker says early or late is put to the right call's account. Also: idle relays end. */
#include "harness.h"
#include "peers.h"

#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"

static const struct zone_row zone[] = {{"good.test", {"127.0.0.1"}}, {"other.test", {"127.0.0.1"}}, {NULL, {NULL}}};
static const struct test_entry entries[] = {{"open", "\"plain://*:*\"", "\"127.0.0.1/32\"", 1000, 64, 64}, {0}};
static struct harness harness, *const h = &harness;
static struct server echo, sink;

static int setup(void **state)
{
    char config[200];
    server_start(&echo, SERVER_ECHO, "127.0.0.1", 0);
    server_start(&sink, SERVER_SINK, "127.0.0.1", 0);
    snprintf(config, sizeof config, "{\"nameservers\":[\"127.0.0.1:%u\"],\"idle_s\":1}", dns_start(zone));
    harness_start(h, config, 7, entries);
    return 0;
}

static int teardown(void **state)
{
    harness_stop(h);
    dns_stop();
    server_stop(&echo);
    server_stop(&sink);
    return 0;
}

static void exchange(int fd, const char *text)
{
    char back[64] = "";
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    assert_int_equal(read_some(fd, back, strlen(text)), strlen(text));
    assert_string_equal(back, text);
}

static struct worker start_lease(const char *audience)
{
    struct worker worker = make_worker(0);
    open_gate(h, &worker, audience);
    give_half(h, &worker, true);
    return worker;
}

static void end_lease(struct worker *worker)
{
    struct worker gone = *worker;
    gone.call = (struct call_ref){0};
    relabel(h, &gone);
    struct egress_answer answer;
    int fd;
    assert_false(take_answer(worker, &answer, &fd));
    close(worker->egress);
}

/* As close_gate, when the worker has said that its action is over. */
static struct msg_gate_closed close_done(struct worker *worker)
{
    ask_mark(worker, EGRESS_DONE, true);
    return close_gate(h, worker);
}

static void test_kept_connection(void **state)
{
    struct worker worker = start_lease("");
    unsigned before = echo.accepted;
    uint64_t bytes = echo.bytes;
    struct pollfd quiet;
    int fd;
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
    exchange(fd, "one");
    assert_int_equal(close_done(&worker).bytes_up, 3);

    /* between calls: written, but it does not pass */
    assert_int_equal(send(fd, "two!", 4, MSG_NOSIGNAL), 4);
    for (int i = 0; i < 50; i++) harness_barrier(h);
    assert_int_equal(echo.bytes - bytes, 3);
    quiet = (struct pollfd){.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&quiet, 1, 0), 0);
    int none;
    assert_int_equal(dial(&worker, "good.test", echo.port, &none), EGRESS_CLOSED);

    next_call(&worker);
    open_gate(h, &worker, "");
    relabel(h, &worker);
    char back[8] = "";
    assert_int_equal(read_some(fd, back, 4), 4);
    assert_string_equal(back, "two!");
    exchange(fd, "three");
    struct msg_gate_closed closed = close_gate(h, &worker);
    assert_true(closed.bytes_up == 9 && closed.dials == 0);
    assert_int_equal(echo.accepted, before + 1);
    close(fd);
    end_lease(&worker);
}

/* A frame that is none, written while the label of its call still lies in the runner's line: it is that call's. */
static void test_malformed_is_of_its_call(void **state)
{
    struct worker worker = start_lease("");
    struct egress_answer answer;
    int fd;
    close_done(&worker);
    next_call(&worker);
    kill(h->pid, SIGSTOP);
    open_gate(h, &worker, "");
    relabel(h, &worker);
    assert_int_equal(send(worker.egress, "?", 1, MSG_NOSIGNAL), 1);
    ask_dial_raw(&worker, "", 0, 0, 443);
    kill(h->pid, SIGCONT);
    const struct msg_incident *incident = harness_take(h, h->ledger, MSG_INCIDENT);
    assert_int_equal(incident->kind, INCIDENT_BAD_FRAME);
    assert_memory_equal(&incident->call, &worker.call, sizeof worker.call);
    assert_true(take_answer(&worker, &answer, &fd));
    assert_int_equal(answer.status, EGRESS_DENIED);
    close_gate(h, &worker);

    /* a dial that names no call is of the same one */
    next_call(&worker);
    struct worker unnamed = worker;
    unnamed.call = (struct call_ref){0};
    kill(h->pid, SIGSTOP);
    open_gate(h, &worker, "");
    relabel(h, &worker);
    ask_dial(&unnamed, "good.test", echo.port);
    kill(h->pid, SIGCONT);
    assert_true(take_answer(&unnamed, &answer, &fd));
    assert_int_equal(answer.status, EGRESS_OK);
    close(fd);

    /* and so it is when what lay in the runner's line was another worker's */
    struct worker stranger = worker;
    stranger.channel += 1000;
    stranger.call = (struct call_ref){0};
    kill(h->pid, SIGSTOP);
    ask_dial(&unnamed, "good.test", echo.port);
    relabel(h, &stranger);
    kill(h->pid, SIGCONT);
    assert_true(take_answer(&unnamed, &answer, &fd));
    assert_int_equal(answer.status, EGRESS_OK);
    close(fd);
    assert_int_equal(close_gate(h, &worker).dials, 2);

    /* and once more in the next one: an incident a call, not a channel */
    next_call(&worker);
    open_gate(h, &worker, "");
    relabel(h, &worker);
    ask_dial_raw(&worker, "", 0, 0, 443);
    incident = harness_take(h, h->ledger, MSG_INCIDENT);
    assert_memory_equal(&incident->call, &worker.call, sizeof worker.call);
    assert_true(take_answer(&worker, &answer, &fd));
    close_gate(h, &worker);
    end_lease(&worker);
}

static int listen_here(uint16_t *port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof here;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && bind(fd, (struct sockaddr *)&here, sizeof here) == 0 && listen(fd, 1) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &size), 0);
    *port = ntohs(here.sin_port);
    return fd;
}

/* A server that ends an idle connection is noticed at once, not by the next call's request. */
static void test_peer_hangs_up(void **state)
{
    struct worker worker = start_lease("");
    uint16_t port;
    int fd, listener = listen_here(&port);
    char got[8] = "";
    assert_int_equal(dial(&worker, "good.test", port, &fd), EGRESS_OK);
    int peer = accept(listener, NULL, NULL);
    assert_int_equal(send(fd, "one", 3, MSG_NOSIGNAL), 3);
    assert_int_equal(read_some(peer, got, 3), 3);
    close_done(&worker);
    assert_int_equal(send(peer, "bye", 3, MSG_NOSIGNAL), 3); /* it does not pass */
    close(peer);
    struct pollfd end = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&end, 1, 10000), 1);
    assert_int_equal(recv(fd, got, sizeof got, 0), 0);
    close(fd);
    close(listener);
    end_lease(&worker);
}

/* The call is closed, or another labelled, while its action has not answered: what that has open does not go on, or a
 * front could have one call's bytes sent in another's name. */
static void test_closed_too_early(void **state)
{
    for (int labelled = 0; labelled < 2; labelled++) {
        struct worker worker = start_lease(""), former;
        uint64_t before = echo.bytes;
        int fd, none;
        assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
        exchange(fd, "one");
        former = worker;
        if (!labelled) assert_int_equal(close_gate(h, &former).bytes_up, 3);
        next_call(&worker);
        open_gate(h, &worker, "");
        relabel(h, &worker);
        assert_true(stream_ended(fd));
        assert_int_equal(echo.bytes - before, 3);
        close(fd);
        former.next_id = worker.next_id;
        assert_int_equal(dial(&former, "good.test", echo.port, &none), EGRESS_CLOSED);
        worker.next_id = former.next_id;
        assert_int_equal(close_gate(h, &worker).bytes_up, 0);
        end_lease(&worker);
    }
}

/* The next call's credential reaches fewer hosts: the connection does not go on. */
static void test_narrower_audience(void **state)
{
    struct worker worker = start_lease("");
    int fd;
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
    exchange(fd, "one");
    close_done(&worker);
    next_call(&worker);
    open_gate(h, &worker, "other.test");
    relabel(h, &worker);
    (void)!send(fd, "leak", 4, MSG_NOSIGNAL);
    assert_true(stream_ended(fd));
    close(fd);
    assert_int_equal(close_gate(h, &worker).bytes_up, 0);
    end_lease(&worker);
}

/* The worker acts on its next call before the broker has read the label. */
static void test_ahead_of_label(void **state)
{
    struct worker worker = start_lease("");
    struct call_ref first = worker.call;
    struct egress_answer answer;
    int fd;
    harness_barrier(h);
    next_call(&worker);
    ask_dial(&worker, "good.test", echo.port);
    ask_commit(&worker, true);
    open_gate(h, &worker, "");
    relabel(h, &worker);
    assert_true(take_answer(&worker, &answer, &fd));
    assert_int_equal(answer.status, EGRESS_OK);
    exchange(fd, "mine");
    struct worker former = worker;
    former.call = first;
    struct msg_gate_closed one = close_gate(h, &former), two = close_gate(h, &worker);
    assert_true(one.known && !one.committed && one.dials == 0 && one.bytes_up == 0);
    assert_true(two.known && two.committed && two.dials == 1 && two.bytes_up == 4);
    close(fd);
    end_lease(&worker);
}

/* The commit of a call that ended is read after the next call's label: it still belongs to the call that sent it. */
static void test_commit_of_former(void **state)
{
    struct worker worker = start_lease(""), former;
    harness_barrier(h);
    former = worker;
    next_call(&worker);
    open_gate(h, &worker, "");
    relabel(h, &worker);
    former.egress = worker.egress;
    ask_commit(&former, true);
    struct msg_gate_closed one = close_gate(h, &former), two = close_gate(h, &worker);
    assert_true(one.committed);
    assert_false(two.committed);
    end_lease(&worker);
}

/* A request for a call that never comes is answered, and the channel goes on. */
static void test_label_never_comes(void **state)
{
    struct worker worker = start_lease(""), liar = worker;
    struct egress_answer answer;
    int fd;
    harness_barrier(h);
    next_call(&liar);
    ask_dial(&liar, "good.test", echo.port);
    worker.next_id = liar.next_id;
    assert_true(take_answer(&worker, &answer, &fd));
    assert_int_equal(answer.status, EGRESS_CLOSED);
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
    close(fd);
    close_gate(h, &worker);
    end_lease(&worker);
}

/* Bytes that the worker wrote after its next call was labelled are that call's, even while the ledger has not closed
 * the one before; where the broker cannot tell, both have them. stopped: it finds label and bytes at once. */
static void change_calls(bool stopped)
{
    struct worker worker = start_lease(""), former;
    uint64_t before = sink.bytes, sent = 0;
    int fd, status;
    assert_int_equal(dial(&worker, "good.test", sink.port, &fd), EGRESS_OK);
    for (unsigned i = 0; i < 300; i++) {
        former = worker;
        ask_mark(&worker, EGRESS_DONE, true);
        next_call(&worker);
        open_gate(h, &worker, "");
        if (stopped) {
            kill(h->pid, SIGSTOP);
            assert_int_equal(waitpid(h->pid, &status, WUNTRACED), h->pid);
        }
        relabel(h, &worker);
        assert_int_equal(send(fd, "latter", 6, MSG_NOSIGNAL), 6);
        if (stopped) kill(h->pid, SIGCONT);
        for (sent += 6; sink.bytes - before < sent;) harness_barrier(h);
        close_gate(h, &former);
        if (i % 2) assert_true(close_done(&worker).bytes_up >= 6);
    }
    close(fd);
    end_lease(&worker);
}

static void test_bytes_after_the_label(void **state)
{
    change_calls(false);
}

static void test_bytes_with_the_label(void **state)
{
    change_calls(true);
}

static void test_idle(void **state)
{
    struct worker worker = start_lease("");
    uint64_t began = clock_now();
    int fd;
    assert_int_equal(dial(&worker, "good.test", echo.port, &fd), EGRESS_OK);
    assert_true(stream_ended(fd)); /* after idle_s, by itself */
    assert_true(clock_now() - began >= CLOCK_S);
    assert_true(close_gate(h, &worker).limit_hit);
    close(fd);
    end_lease(&worker);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kept_connection),
                                       cmocka_unit_test(test_peer_hangs_up),
                                       cmocka_unit_test(test_malformed_is_of_its_call),
                                       cmocka_unit_test(test_closed_too_early),
                                       cmocka_unit_test(test_narrower_audience),
                                       cmocka_unit_test(test_ahead_of_label),
                                       cmocka_unit_test(test_commit_of_former),
                                       cmocka_unit_test(test_label_never_comes),
                                       cmocka_unit_test(test_bytes_after_the_label),
                                       cmocka_unit_test(test_bytes_with_the_label),
                                       cmocka_unit_test(test_idle)};
    if (argc != 2) return fprintf(stderr, "usage: %s CAISSON-BROKER\n", argv[0]), 2;
    broker_path = argv[1];
    return cmocka_run_group_tests(tests, setup, teardown);
}
