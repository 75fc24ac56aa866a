#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The runner taken over: it gets the secrets of the calls that are running, each once and by record, and may invent how
workers ended. It gets none of a call that nobody ordered, and on its lines it cannot touch the log."""
import os
import random
import socket
import struct
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attack import CallRef, Half, Incident, Records, Status, Taken, WorkerEnded, call_id, entries, in_background, lib, now, one_action, outcome  # noqa: E402

CANARY, OTHER, GRANT = ("canary-" + uuid.uuid4().hex for _ in range(3))
DICE = random.Random(4714)
daemon = runner = None


def secret_of(call, digest, channel, keep=0, exchange=False):
    """Asks the vault for that call's frame, over a pipe of its own: the bytes, b"" where it gave none. exchange: with the
    ends that the vault has of an exchange's worker."""
    read, write = runner.pair(pipe=True)
    half = Half(call=call, channel=channel, keep=keep, deadline=now() + 10**9)
    half.entry_digest[:] = list(digest)
    ends = runner.pair(type=socket.SOCK_STREAM | socket.SOCK_NONBLOCK) + runner.pair(pipe=True) if exchange else []
    runner.send("half", half, line="vault", fds=[write, *ends[::2]])
    runner.close(write, *ends[::2])
    got, ended = runner.read(read, wait_ms=3500)
    runner.close(read, *ends[1::2])
    assert got or ended, "the vault kept the pipe"
    return got


def digest_of(call):
    return bytes.fromhex(lib.eventually("its intent", lambda: entries(daemon, kind="intent", call=call_id(call)))[-1]["entry"])


def started(name="one"):
    """A call that the honest front and ledger have begun: (what gives its answer, the START that came)."""
    caller = in_background(lambda: daemon.call("bad", "secret", {"field": "canary", "by_hand": True}, credential=name, timeout_ms=4000))
    return caller, runner.expect("start", "ledger")[0]


def finish(caller, call):
    """No worker: the front is told so, and the call is closed."""
    taken, frame = runner.expect_anywhere("take")
    assert bytes(taken.call.id) == bytes(call.id)
    generation = next(one["generation"] for one in runner.known["lines"] if (one["peer"], one["index"]) == ("front", frame["index"]))
    body = bytes(Status(kind=1, text=b"no")) + bytes(call) + (7).to_bytes(4, "little")
    runner.send("taken", body, line="front", index=frame["index"], seq=frame["seq"], generation=generation)
    runner.send("worker-ended", WorkerEnded(call=call, call_class=8, reason=7, phase=1), line="ledger")
    return caller()


def test_secrets_of_running_calls_once():
    caller, start = started()
    frame = secret_of(start.call, digest_of(start.call), 1024)
    assert CANARY.encode() in frame and daemon.spilled(), "it gains the running call's secret; or the net has a hole"
    assert struct.unpack_from("<II16sI", frame)[2] == bytes(start.call.id)
    again = secret_of(start.call, digest_of(start.call), 2048)
    assert not again, "the same order gave a second frame"
    told = finish(caller, start.call)
    assert told.status != 200 and len(entries(daemon, kind="intent", call=call_id(start.call))) == 1
    assert outcome(daemon, start.call)["class"] != "ok", "a call without a worker is ok"


def test_none_without_an_order():
    """Ids that were never begun, calls that are over, another attempt, another entry."""
    del daemon.received[:]
    caller, start = started()
    true = digest_of(start.call)
    never = CallRef((type(CallRef().id))(*os.urandom(16)), 1)
    for number, (call, digest) in enumerate(((never, true), (CallRef(start.call.id, 2), true), (start.call, os.urandom(32)))):
        assert not secret_of(call, digest, 4096 + number)
    assert not secret_of(start.call, true, 5000), "an order outlived a wrong half"
    finish(caller, start.call)
    assert not secret_of(start.call, true, 5001), "a call that is over still gives its secret"
    assert daemon.spilled() is None


def test_other_credentials_stay_away():
    """The order says which credential: asking for another is no part of what a runner can say."""
    del daemon.received[:]
    caller, start = started("two")
    frame = secret_of(start.call, digest_of(start.call), 6000)
    assert OTHER.encode() in frame and CANARY.encode() not in frame
    finish(caller, start.call)


def no_worker(call):
    runner.send("worker-ended", WorkerEnded(call=call, call_class=8, reason=7, phase=1), line="ledger")


def test_a_grant_goes_with_its_return_pipe():
    """An exchange's order and a worker without a way back, a call's order and one with it: nothing. What it does gain: the
    grant of an exchange that was ordered, as of every call."""
    del daemon.received[:]
    caller, start = started("grant")
    assert start.exchange == 1
    assert not secret_of(start.call, digest_of(start.call), 7000) and daemon.spilled() is None
    no_worker(start.call)
    assert caller().status == 503
    caller, start = started()
    assert start.exchange == 0
    assert not secret_of(start.call, digest_of(start.call), 7001, exchange=True) and daemon.spilled() is None
    finish(caller, start.call)
    caller, start = started("another-grant")
    assert GRANT.encode() in secret_of(start.call, digest_of(start.call), 7002, exchange=True), "the net has a hole"
    no_worker(start.call)
    assert caller().status == 503


def test_the_log_on_its_lines():
    """Frames of every kind on every line, ends and incidents of calls that are not its own, or over: old records stand,
    each call has its one outcome, nobody else dies, and the log verifies."""
    del daemon.received[:]
    before = Records(daemon)
    alive = {name: daemon.role(name) for name in ("front", "desk", "ledger", "vault", "broker")}
    over = [CallRef((type(CallRef().id))(*uuid.UUID(body["call"]).bytes), body["attempt"]) for body in entries(daemon, kind="outcome")]
    assert over, "there was no call to lie about"
    for call in over:
        for call_class in range(10):
            runner.send("worker-ended", WorkerEnded(call=call, call_class=call_class, reason=0, phase=2), line="ledger")
        runner.send("incident", Incident(kind=2, call=call), line="ledger")
    for line in ("ledger", "vault", "broker"):
        runner.flood(line, DICE)
    for index in (0, 31):
        runner.flood("front", DICE, index)
    lib.eventually("the ledger", lambda: daemon.cli("calls", "list", check=False).returncode == 0)
    before.stand()
    outcomes = [(body["call"], body["attempt"]) for body in entries(daemon, kind="outcome")]
    assert len(outcomes) == len(set(outcomes)), "a call has two outcomes"
    assert {name: daemon.role(name) for name in alive} == alive, "a role died of its frames"
    daemon.cli("audit", "verify")
    assert daemon.spilled() is None


if __name__ == "__main__":
    with Taken(canaries=[CANARY, OTHER, GRANT]) as daemon:
        daemon.start()
        daemon.enable("bad", files=one_action(daemon, fields=("canary", "access_token")))
        daemon.enable("oauth2", "--egress", "tls://login.example.com:443", files=lib.OAUTH2)
        daemon.credential("one", "bad", {"canary": CANARY})
        daemon.credential("two", "bad", {"canary": OTHER})
        for name in ("grant", "another-grant"):
            daemon.credential(name, "bad", {"client_id": "me", "client_secret": GRANT, "token_url": "https://login.example.com/"},
                              "--kind", "oauth2")
        assert daemon.call("bad", "secret", {"field": "canary", "by_hand": True}, credential="one").json["answer"]["value"] == CANARY
        runner = daemon.take_over("runner")
        only = sys.argv[1:]
        lib.run([case for name, case in list(globals().items())
                 if name.startswith("test_") and (not only or any(word in name for word in only))])
