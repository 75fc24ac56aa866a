#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The front taken over: what it can do on its lines, and that it gains neither a secret nor a call without a record,
no administration, and nobody else's worker. After each attack an honest call is made on the same lines."""
import hashlib
import json
import os
import random
import signal
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attack import (CLASSES, SENT, WHO_PEER, WHO_SYSTEM, WHO_TOKEN, Begin, CallRef, Done, End, Front, FrontTaken, Query, Reply, Sink,  # noqa: E402
                    Take, Who, call_frame, call_id, entries, lib, outcome)

CANARY = "canary-" + uuid.uuid4().hex
OTHER = "canary-" + uuid.uuid4().hex  # of the other workspace
ROLES = ("ledger", "vault", "broker", "runner", "desk", "front")
DICE = random.Random(4711)
daemon = sink = None
ERR_NO_IDENTITY, ERR_DENIED, ERR_NOT_FOUND = 5, 6, 7


def shown():
    """All that administration could change, by the honest desk's word."""
    words = [("token", "list"), ("credential", "list"), ("credential", "list", "--workspace", "other"),
             ("token", "list", "--workspace", "other"), ("workspace", "list"), ("plugin", "list")]
    said = [daemon.cli("--json", *one).stdout for one in words]
    return said, entries(daemon, kind="admin"), sorted(os.listdir(os.path.join(daemon.home, "plugins.d")))


def pids():
    return {name: daemon.role(name) for name in ROLES}


def honest_call(front):
    """The lines still serve a call that is what it says."""
    _, reply, ended = front.call("bad", "count", {})
    assert reply and reply["answer"]["result"] == 1, reply
    assert CLASSES[ended.call_class] == "ok" and SENT[ended.sent] == "no", ended.status.text


def dial(**more):
    return json.dumps({"host": "sink.example.com", "port": sink.port, "say": "x" * 100, **more}).encode()


def barrier(front):
    """Everything sent on ledger line 0 before this is worked off; returns what came back meanwhile."""
    front.seq += 1
    front.send("health", Query(front.me(), 0), seq=front.seq)
    came = []
    while True:
        frame = front.take()
        assert frame, "the ledger does not answer"
        if frame[1] == front.seq:
            return came
        came.append(frame)


# ── every message ─────────────────────────────────────────────────────────────────────────────────────

QUERIES = [{"name": "taken", "role": "admin"}, {"name": "taken", "workspace": "default", "role": "admin", "connectors": []},
           {"name": "canary", "workspace": "default"}, {"id": str(uuid.uuid4())}, {"act": "enable", "name": "bad"},
           {"name": "canary", "workspace": "default", "connector": "bad", "box": "AAAA"}, {"on": True, "reason": "x"}]


def bodies(front, row):
    """Valid sizes with zeros, noise, and for administration what the desk would send, in an administrator's name."""
    least, most = row["least"], row["most"]
    yield bytes(least)
    yield DICE.randbytes(least)
    if most > least:
        yield DICE.randbytes(DICE.randrange(least, most + 1))
        yield DICE.randbytes(most)
        for one in QUERIES:
            text = json.dumps(one).encode()
            yield bytes(Query(front.me(), len(text))) + text


def send_everything(front, line, index):
    generation = next(one["generation"] for one in front.known["lines"] if (one["peer"], one["index"]) == (line, index))
    for name, row in front.rows.items():
        if line == "runner" and name == "done":
            continue  # of no call at all; test_takes sends it
        for body in bodies(front, row):
            count = DICE.choice((0, row["fds"], row["fds"], 1, 2))
            fds = [front.fds["this"]] * count
            front.send(name, body, line=line, index=index, fds=fds, registry=DICE.choice((0, 1, 2, 2**32 - 1)))
            front.send(name, body, line=line, index=index, fds=fds, generation=DICE.choice((0, generation - 1, generation + 1, 2**32 - 1)))
            front.order("drain")
    for number in (0, 200, 65535):
        front.send(number, DICE.randbytes(64), line=line, index=index)
    for size in (0, 1, 15):
        front.send("begin", bytes(size), line=line, index=index)


def test_every_message():
    with Front(daemon) as front:
        before, alive = shown(), pids()
        for line in ("ledger", "runner"):
            for index in (0, 31):
                send_everything(front, line, index)
        front.drain()
        barrier(front)
        assert pids() == alive, "a role died of a frame"
        assert shown() == before, "something was administered"
        honest_call(front)


def test_words_to_the_parent():
    with Front(daemon) as front:
        before, alive = shown(), pids()
        for name, row in front.rows.items():
            if name != "registry-done":
                front.send(name, DICE.randbytes(row["least"]), line="parent", index=0)
        honest_call(front)
        assert pids() == alive and shown() == before
        assert daemon.process.poll() is None


def refusals():
    with open(daemon.log, encoding="utf-8") as log:
        return sum('"frame-refused"' in line for line in log)


def test_words_without_end():
    """Nonsense by the thousand does not fill the log."""
    with Front(daemon) as front:
        before = refusals()
        for _ in range(1000):
            front.send("ready", b"", line="parent", index=0)
            front.send("witness", bytes(front.rows["witness"]["least"]), line="parent", index=0)
        honest_call(front)
        lib.eventually("a word about it", lambda: refusals() > before)
        assert refusals() - before <= 12, f"{refusals() - before} lines"


def test_garbage_ends():
    with Front(daemon) as front:
        begun = front.begin("bad", "count", b"{}")
        for wrong in ({"answer_length": 1}, {"answer_length": 2**32 - 1}, {"reason": 999}, {"call_class": 0}, {"call_class": 99}):
            end = End(call=begun.call, call_class=1)
            for key, value in wrong.items():
                setattr(end, key, value)
            front.send("end", end)
        front.send("end", bytes(End(call=begun.call, call_class=1, answer_length=10)) + bytes(9))
        front.send("end", bytes(End(call=begun.call, call_class=1, answer_length=60000)) + bytes(60000))
        assert not barrier(front), "an END that is none was answered"
        assert front.run(begun, b"{}")["class"] == "ok"
        assert CLASSES[front.end(begun.call).call_class] == "ok"


# ── who calls ─────────────────────────────────────────────────────────────────────────────────────────

def test_nobody_else():
    """Every socket that it holds or could make but callers' connections, shown as a caller."""
    with Front(daemon) as front:
        held = dict(front.fds)
        assert front.hello(held.pop("this")).status.kind == 0
        held.update({f"{one['peer']} line {one['index']}": one["fd"] for one in front.known["lines"]})
        held.pop("out")  # a provider has it, and no front
        own = [held.pop("accepted"), held.pop("named-accepted")]  # it went to its own door: only before its walls
        begun = front.begin("bad", "count", b"{}")
        _, ends = front.take_worker(begun.call)
        held["a worker's call stream"], held["a worker's reply pipe"] = ends
        for name, fd in held.items():
            assert fd >= 0, f"{name} was not made: the test would try nothing"
            answer = front.hello(fd)
            assert answer.status.kind == ERR_NO_IDENTITY and answer.principal == 0, f"{name}: kind {answer.status.kind}"
        for fd in own if os.geteuid() == 0 else []:
            answer = front.hello(fd)
            begun = front.begin("bad", "count", b"{}", who=Who(WHO_PEER, answer.principal))
            assert begun.status.kind == ERR_DENIED, "the front's own user may call"
        front.close(*ends)
        honest_call(front)


def test_guessed_identities():
    with Front(daemon) as front, Front(daemon) as gone:
        left = gone.me()
        assert gone.begin("bad", "count", b"{}").status.kind == 0
        gone.__exit__()
        lib.eventually("the end of a hung-up caller",
                       lambda: front.begin("bad", "count", b"{}", who=left).status.kind == ERR_NO_IDENTITY)
        mine = front.me().principal
        for number in {0, 1, 2**32 - 1, *range(mine - 20, mine + 20), *(mine + 2048 * step for step in range(-4, 5))} - {mine}:
            begun = front.begin("bad", "count", b"{}", who=Who(WHO_PEER, number % 2**32))
            assert begun.status.kind == ERR_NO_IDENTITY, f"principal {number}"
        for token in (bytes(32), DICE.randbytes(32)):
            begun = front.begin("bad", "count", b"{}", who=Who(WHO_TOKEN, 0, (type(Who().token))(*token)))
            assert begun.status.kind == ERR_NO_IDENTITY
        for number in (0, 1, 2, 3, mine, 2**32 - 1):
            begun = front.begin("bad", "count", b"{}", who=Who(WHO_SYSTEM, number))
            assert begun.status.kind == ERR_NO_IDENTITY, f"system:push {number}"
        asked = front.ask("calls-list", bytes(Query(Who(WHO_SYSTEM, 1), 2)) + b"{}", "json-answer")[0]
        assert asked.status.kind in (ERR_NO_IDENTITY, ERR_DENIED), asked.status.kind
        honest_call(front)


# ── another input, another action, another call ───────────────────────────────────────────────────────

def refused_by_worker(front, begun, frame, reasons=("input_digest",), kind="digest_mismatch"):
    """The worker ends before any of the plugin's code sees the input, and the outcome says why."""
    taken, fds = front.take_worker(begun.call)
    assert taken.status.kind == 0, taken.status.text
    front.write(fds[0], frame)
    assert front.read_reply(fds[1]) is None, "the plugin answered"
    front.close(*fds)
    ended = front.end(begun.call, "crashed", reason=10)
    told = outcome(daemon, begun.call)
    assert told["class"] in ("refused", "crashed") and told["reason"] in reasons, told
    assert SENT[ended.sent] == told["sent"] == "no", told
    if kind:
        lib.eventually("an incident", lambda: entries(daemon, kind="incident", call=call_id(begun.call)))
    assert daemon.spilled() is None, "a secret came back"


def test_another_input():
    recorded, sent = b'{"field":"none"}', b'{"field":"canary"}'
    with Front(daemon) as front:
        for other in (sent, recorded + b" ", recorded[:-1], b"", b"{}"):
            begun = front.begin("bad", "secret", recorded, credential="canary")
            refused_by_worker(front, begun, call_frame(begun, other))
        for size in (0, len(recorded) + 1):
            body = front.begin_body("bad", "secret", recorded, credential="canary")
            body.input_size = size
            begun = front.ask("begin", body, "begun")[0]
            refused_by_worker(front, begun, call_frame(begun, recorded))
        before = sink.count()
        begun = front.begin("bad", "dial", b"{}")
        refused_by_worker(front, begun, call_frame(begun, dial()))
        assert sink.count() == before, "something was sent under another record"
        honest_call(front)


def test_another_action():
    """The action that would answer with the secret, under the record of one that does not."""
    data = b'{"field":"canary","text":"x"}'
    with Front(daemon) as front:
        secret = front.begin("bad", "secret", data, credential="canary").action
        begun = front.begin("bad", "talk", data, credential="canary")
        assert begun.action != secret
        refused_by_worker(front, begun, call_frame(begun, data, action=secret))
        for number in (10**6, 2**32 - 1):
            begun = front.begin("bad", "talk", data, credential="canary")
            refused_by_worker(front, begun, call_frame(begun, data, action=number))
        begun = front.begin("bad", "talk", data, credential="canary")
        refused_by_worker(front, begun, call_frame(begun, data, attempt=2))
        honest_call(front)


def test_another_call():
    """Frames of two running calls exchanged, and a frame under a call's id that is nobody's."""
    with Front(daemon) as front:
        one, two = (front.begin("bad", "talk", text, credential="canary") for text in (b'{"text":"1"}', b'{"text":"2"}'))
        refused_by_worker(front, one, call_frame(two, b'{"text":"2"}'), ("protocol_error",), kind=None)
        refused_by_worker(front, two, call_frame(one, b'{"text":"1"}'), ("protocol_error",), kind=None)
        begun = front.begin("bad", "talk", b'{"text":"1"}', credential="canary")
        refused_by_worker(front, begun, call_frame(begun, b'{"text":"1"}', call_id=os.urandom(16)), ("protocol_error",), kind=None)
        honest_call(front)


# ── another payload to be kept ────────────────────────────────────────────────────────────────────────

MOST = 44 * 1024


def kept():
    return daemon.rows("SELECT idx, value FROM payload ORDER BY idx")


def begin_kept(front, connector, data, handed, **lies):
    body = front.begin_body(connector, "talk", data)
    body.input_length = len(handed)
    for key, value in lies.items():
        setattr(body, key, value)
    return front.ask("begin", bytes(body) + handed, "begun")[0]


def test_another_input_to_be_kept():
    """Of a connector whose inputs are kept, none runs whose input is another than the one that is handed over; of another
    connector nothing is taken."""
    data, other = b'{"text":"said"}', b'{"text":"else"}'
    with Front(daemon) as front:
        before, intents = kept(), entries(daemon, kind="intent")
        for handed, lies in ((other, {}), (b"", {}), (data[:-1], {}), (data + b" ", {}), (data[:-1], {"input_size": len(data) - 1}),
                             (b"", {"input_size": 0}), (data, {"input_size": MOST + 1})):
            begun = begin_kept(front, "kept", data, handed, **lies)
            assert begun.status.kind == ERR_DENIED, (handed, lies, begun.status.kind)
        for body in (begin_kept(front, "kept", data, data, input_length=2**32 - 1), begin_kept(front, "kept", data, data, subjects_length=4)):
            assert body.status.kind, "lengths that do not fit"
        for connector in ("bad", "half"):
            assert begin_kept(front, connector, data, data).status.kind == ERR_DENIED, connector
        assert kept() == before and entries(daemon, kind="intent") == intents
        for size in (MOST + 1, 32 * 1024 * 1024):
            begun = begin_kept(front, "kept", data, b"", input_size=size)  # it says that it is too large to be kept
            assert begun.status.kind == 0 and entries(daemon, kind="intent")[-1]["payload"] == "too_large"
            refused_by_worker(front, begun, call_frame(begun, data))
        assert begin_kept(front, "kept", data, b"", input_size=len(data) + 2**32).status.kind, "no such input"
        begun = begin_kept(front, "kept", data, data)
        assert begun.status.kind == 0 and len(kept()) == len(before) + 1
        refused_by_worker(front, begun, call_frame(begun, other))
        honest_call(front)


def end_kept(front, call, reply, handed, taken):
    """Hands a reply over and ends the call by another or the same. What is not taken leaves no outcome, also when all that
    waits has been written down."""
    end = End(call=call, call_class=1, reply_size=len(reply))
    end.reply_digest[:] = hashlib.sha256(reply).digest()
    if handed is not None:
        front.send("reply", bytes(Reply(call, len(handed))) + handed)
    if taken:
        assert CLASSES[front.ask("end", end, "ended")[0].call_class] == "ok"
        return
    front.send("end", end)
    honest_call(front)
    assert not entries(daemon, kind="outcome", call=call_id(call)), handed


def test_another_reply_to_be_kept():
    """An END is taken with the reply that it names, and with no other or none; and no other call's reply is kept."""
    reply, other = b'{"class":"ok"}', b'{"class":"OK"}'
    with Front(daemon) as front:
        begun, stranger = front.begin("half", "count", b"{}", timeout=60), front.begin("bad", "count", b"{}", timeout=60)
        for handed in (None, other, reply[:-1], reply + b" ", b""):
            end_kept(front, begun.call, reply, handed, taken=False)
        front.send("reply", bytes(Reply(stranger.call, len(reply))) + reply)
        front.send("reply", bytes(Reply(begun.call, len(reply) + 1)) + reply)
        front.send("reply", bytes(Reply(CallRef(begun.call.id, 2), len(reply))) + reply)
        assert front.run(begun, b"{}") and front.run(stranger, b"{}")
        before = kept()
        assert CLASSES[front.end(stranger.call).call_class] == "ok" and kept() == before
        end_kept(front, begun.call, reply, reply, taken=True)
        after = kept()
        end_kept(front, begun.call, reply, other, taken=True)
        assert kept() == after and len(after) == len(before) + 1, "what is kept was exchanged"
        assert "payload" in outcome(daemon, begun.call) and "payload" not in outcome(daemon, stranger.call)
        honest_call(front)


def test_what_is_kept_is_not_for_it():
    """Neither the query nor the frames with which others open a payload are answered."""
    with Front(daemon) as front:
        begun = front.begin("half", "count", b"{}")
        admin, ask = entries(daemon, kind="admin"), json.dumps({"id": call_id(begun.call), "part": "reply"}).encode()
        front.send("audit-payload", bytes(Query(front.me(), len(ask))) + ask)
        assert not barrier(front) and entries(daemon, kind="admin") == admin
        assert front.run(begun, b"{}")
        end_kept(front, begun.call, b"{}", b"{}", taken=True)
        honest_call(front)


# ── taking ────────────────────────────────────────────────────────────────────────────────────────────

def nothing_to_take(front, call):
    taken, fds = front.take_worker(call)
    assert taken.status.kind != 0 and not fds, f"TAKE gave {fds}"


def test_takes():
    with Front(daemon) as front:
        unknown = CallRef((type(CallRef().id))(*os.urandom(16)), 1)
        nothing_to_take(front, unknown)
        for good in (0, 1):
            front.send("done", Done(unknown, good), line="runner")
        begun = front.begin("bad", "count", b"{}")
        taken, fds = front.take_worker(begun.call)
        assert taken.status.kind == 0 and len(fds) == 2
        nothing_to_take(front, begun.call)  # a second time
        nothing_to_take(front, CallRef(begun.call.id, 2))
        nothing_to_take(front, CallRef(begun.call.id, 0))
        assert front.write(fds[0], call_frame(begun, b"{}"))
        assert front.read_reply(fds[1])["class"] == "ok"
        front.done(begun.call)
        front.end(begun.call)
        nothing_to_take(front, begun.call)  # an ended one
        front.close(*fds)
        honest_call(front)


def test_take_on_every_line():
    """One call, asked for on all lines at once: one worker."""
    with Front(daemon) as front:
        begun = front.begin("bad", "count", b"{}")
        for index in range(32):
            front.send("take", Take(begun.call), line="runner", index=index, seq=7000 + index)
        got = [front.take("runner", index=index) for index in range(32)]
        with_ends = [frame for frame in got if frame[3]]
        assert len(with_ends) == 1 and len(with_ends[0][3]) == 2, f"{len(with_ends)} answers with descriptors"
        front.close(*with_ends[0][3])
        front.end(begun.call, "lost")
        honest_call(front)


def test_take_before_begin():
    """The next attempt's id is no secret: asking early gives nothing before the ledger has recorded that attempt."""
    with Front(daemon) as front:
        first = front.begin("bad", "count", b"{}", key="early")
        assert SENT[front.end(first.call, "retryable").sent] == "no"
        second = CallRef(first.call.id, 2)
        nothing_to_take(front, second)
        front.send("take", Take(second), line="runner", seq=8001)
        assert front.take("runner", wait_ms=300) is None, "a worker for an attempt that nobody began"
        begun = front.begin("bad", "count", b"{}", key="early")
        assert begun.status.kind == 0 and begun.call.attempt == 2 and bytes(begun.call.id) == bytes(first.call.id)
        frame = front.take("runner")
        assert frame[1] == 8001 and len(frame[3]) == 2
        front.close(*frame[3])
        front.end(begun.call, "lost")
        honest_call(front)


# ── ending ────────────────────────────────────────────────────────────────────────────────────────────

def test_end_without_a_run():
    """Ended as ok before anything ran: recorded as not sent, and then nothing is sent any more."""
    for connector in ("bad", "leased"):
        for take_first in (False, True):
            with Front(daemon) as front:
                before = sink.count()
                begun = front.begin(connector, "dial", dial())
                taken, fds = front.take_worker(begun.call) if take_first else (None, None)
                ended = front.end(begun.call, "ok")
                assert SENT[ended.sent] == "no"
                taken, fds = (taken, fds) if take_first else front.take_worker(begun.call)
                assert taken.status.kind == 0, "there was no worker: nothing was tried"
                front.write(fds[0], call_frame(begun, dial()))
                reply = front.read_reply(fds[1])
                assert not reply or reply["answer"]["result"] < 0, f"it dialled after its record was closed: {reply}"
                front.close(*fds)
                front.done(begun.call, False)
                told = outcome(daemon, begun.call)
                assert (told["sent"], told["bytes_up"], told["dials"]) == ("no", 0, 0), told
                assert sink.count() == before
                honest_call(front)


def test_end_belittles():
    """Bytes went up; whatever class the front then claims, the record does not say that nothing was sent. Not even
    for a connector that never marks the point of no return."""
    for claimed in ("retryable", "rejected", "bad_input", "crashed", "timeout", "lost", "refused", "violation"):
        for quiet in (False, True):
            with Front(daemon) as front:
                data = dial(quiet=quiet)
                begun = front.begin("bad", "dial", data)
                reply = front.run(begun, data)
                assert reply["class"] == "ok" and reply["answer"]["said"] == 100, reply
                ended = front.end(begun.call, claimed)
                told = outcome(daemon, begun.call)
                assert told["bytes_up"] == 100 and told["sent"] == SENT[ended.sent] != "no", f"{claimed}: {told}"


def test_clean_failure():
    """A connector that fails before the point of no return tells the broker: not sent, although bytes went up. It is
    its own word that counts: after the point of no return the same answer is a maybe."""
    for quiet, sent in ((True, "no"), (False, "maybe")):
        with Front(daemon) as front:
            data = dial(quiet=quiet, fail=True)
            begun, reply, ended = front.call("bad", "dial", data)
            told = outcome(daemon, begun.call)
            assert reply["class"] == told["class"] == "retryable" and told["bytes_up"] == 100, told
            assert told["sent"] == SENT[ended.sent] == sent, told


def test_end_in_the_middle():
    """Ended while bytes are on their way: what the record counts is all that the host ever got."""
    for quiet in (False, True):
        with Front(daemon) as front:
            data = dial(say="y" * 2**21, quiet=quiet)
            connections, sent = sink.settled()
            sink.reading.clear()
            try:
                begun = front.begin("bad", "dial", data)
                _, fds = front.take_worker(begun.call)
                assert front.write(fds[0], call_frame(begun, data))
                lib.eventually("a connection", lambda: sink.count() > connections)
                ended = front.end(begun.call, "retryable")
            finally:
                sink.reading.set()
            told = outcome(daemon, begun.call)
            arrived = sink.settled()[1] - sent
            assert arrived <= told["bytes_up"], f"{arrived} bytes arrived, {told}"
            assert SENT[ended.sent] == told["sent"] != "no" or told["bytes_up"] == 0, told
            front.read(fds[1], wait_ms=200)
            front.close(*fds)
            honest_call(front)


def test_end_twice():
    with Front(daemon) as front:
        begun, _, first = front.call("bad", "dial", dial())
        for claimed in ("retryable", "lost", "ok"):
            again = front.end(begun.call, claimed)
            assert (again.call_class, again.sent, again.outcome_index) == (first.call_class, first.sent, first.outcome_index)
        assert outcome(daemon, begun.call)["class"] == "ok"
        for call in (CallRef((type(CallRef().id))(*os.urandom(16)), 1), CallRef(begun.call.id, 2)):
            assert front.end(call).status.kind == ERR_NOT_FOUND
        honest_call(front)


# ── OAuth2 ────────────────────────────────────────────────────────────────────────────────────────────

def test_an_exchange_is_nobodys():
    """A front is told that a token is being fetched, and no more: it neither takes the exchange's worker, which has the
    grant, nor ends it."""
    sink.greeting.clear()
    try:
        with Front(daemon) as front:
            begun = front.begin("bad", "token", b'{"field":"access_token"}', credential="grant", timeout=30)
            assert begun.fetching == 1 and bytes(begun.call.id) == bytes(16), begun.status.text
            found = lib.eventually("its intent", lambda: entries(daemon, kind="intent", connector="oauth2"))
            call = CallRef((type(CallRef().id))(*uuid.UUID(found[0]["call"]).bytes), 1)
            nothing_to_take(front, call)
            for good in (0, 1):
                front.send("done", Done(call, good), line="runner")
            for claimed in ("ok", "lost"):
                assert front.end(call, claimed).status.kind != 0
            daemon.cli("calls", "cancel", call_id(call))
            assert outcome(daemon, call)["reason"] == "cancelled"
            honest_call(front)
    finally:
        sink.greeting.set()


# ── other people's things ─────────────────────────────────────────────────────────────────────────────

def test_other_credentials():
    with Front(daemon) as front:
        for more, kind in (({"credential": "elsewhere"}, ERR_NOT_FOUND), ({"credential": "leased-one"}, ERR_NOT_FOUND),
                           ({"credential": "nobody"}, ERR_NOT_FOUND), ({"workspace": "none"}, ERR_DENIED),
                           ({"workspace": "other", "credential": "canary"}, ERR_NOT_FOUND),
                           ({"workspace": "other", "connector": "here"}, ERR_NOT_FOUND)):
            begun = front.begin(more.pop("connector", "bad"), "talk", b'{"text":"x"}', **more)
            assert begun.status.kind == kind, f"{more}: kind {begun.status.kind}"
            assert bytes(begun.call.id) == bytes(16), "a refused call has an id"
        honest_call(front)


def counted(front, **more):
    _, reply, ended = front.call("leased", "count", {}, **more)
    assert CLASSES[ended.call_class] == "ok", ended.status.text
    return reply["answer"]["result"]


def test_lease_isolation():
    """A lease serves one workspace, one credential, one action; the front cannot lead a call to another's worker."""
    here, there = {"credential": "leased-one"}, {"workspace": "other", "credential": "leased-other"}
    with Front(daemon) as front:
        assert [counted(front, **here) for _ in range(3)] == [1, 2, 3], "there is no lease: the test would see nothing"
        assert [counted(front, **there) for _ in range(2)] == [1, 2]
        assert counted(front) == 1, "a call without a credential met one's worker"
        assert counted(front, workspace="other") == 1
        assert counted(front, credential="leased-two") == 1
        assert counted(front, **here) == 4

        # The ends of a worker that it has had, kept, and a call of the other workspace written into them.
        begun = front.begin("leased", "count", b"{}", **here)
        _, kept = front.take_worker(begun.call)
        front.write(kept[0], call_frame(begun, b"{}"))
        assert front.read_reply(kept[1])["answer"]["result"] == 5
        front.done(begun.call)
        front.end(begun.call)
        foreign = front.begin("leased", "count", b"{}", **there)
        front.write(kept[0], call_frame(foreign, b"{}"))
        assert front.read(kept[1], wait_ms=300)[0] == b"", "a worker served another workspace's call"
        reply = front.run(foreign, b"{}")
        assert reply["answer"]["result"] == 3, reply
        front.end(foreign.call)
        front.close(*kept)
        assert counted(front, **there) == 4


def test_lease_repeats_nothing():
    """The same call frame once more into a leased worker: a vault's frame answers for one run only."""
    with Front(daemon) as front:
        data = dial()
        connections = sink.count()
        begun = front.begin("leased", "dial", data, credential="leased-one")
        _, fds = front.take_worker(begun.call)
        front.write(fds[0], call_frame(begun, data))
        assert front.read_reply(fds[1])["answer"]["said"] == 100
        front.done(begun.call)
        for _ in range(3):
            front.write(fds[0], call_frame(begun, data))
        assert front.read(fds[1], wait_ms=300)[0] == b""
        front.end(begun.call)
        front.close(*fds)
        assert sink.count() == connections + 1 and outcome(daemon, begun.call)["dials"] == 1


def dialled(front):
    """Other tests may have left a worker here that ends at its next call, or is just ending."""
    try:
        return front.call("leased", "dial", dial(), credential="leased-one")[1]
    except AssertionError:
        return None


def test_lease_keeps_a_connection():
    """Bytes on a connection that an earlier call of the lease dialled are as sent as any."""
    with Front(daemon) as front:
        for claimed, sent in (("ok", "yes"), ("crashed", "maybe"), ("retryable", "maybe")):
            lib.eventually("a lease", lambda: dialled(front))
            connections = sink.count()
            begun = front.begin("leased", "dial", dial(reuse=True), credential="leased-one")
            assert front.run(begun, dial(reuse=True))["answer"]["said"] == 100
            front.end(begun.call, claimed)
            told = outcome(daemon, begun.call)
            assert sink.count() == connections and told["dials"] == 0, f"the connection was not kept: {told}"
            assert told["bytes_up"] == 100 and told["sent"] == sent, told


def test_end_early_in_a_lease():
    """A connector waits for its host's greeting; its call is ended as not sent, the worker handed back, and the next
    call of the lease opens the gate again: the first one's bytes must not go out in that one's name."""
    for end_first in (True, False):
        with Front(daemon) as front:
            connections, before = sink.count(), sink.bytes
            sink.greeting.clear()
            try:
                data = dial(wait=True, say="from the first call")
                begun = front.begin("leased", "dial", data, credential="leased-one")
                _, fds = front.take_worker(begun.call)
                assert front.write(fds[0], call_frame(begun, data))
                lib.eventually("its connection", lambda: sink.count() > connections)
                if end_first:
                    assert SENT[front.end(begun.call, "retryable").sent] == "no"
                front.done(begun.call, True)
                second = front.begin("leased", "dial", b"{}", credential="leased-one")
                assert second.status.kind == 0
                _, more = front.take_worker(second.call)
            finally:
                sink.greeting.set()
            front.read(fds[1], wait_ms=500)
            if not end_first:
                front.end(begun.call, "retryable")
            front.end(second.call, "lost")
            sink.count()
            assert outcome(daemon, begun.call)["sent"] == "no" and sink.bytes == before, "sent, and recorded as not sent"
            front.close(*fds, *more)
            front.done(second.call, False)


def test_done_too_early():
    """A worker that still runs, given back as if it had answered: the other workspace does not get it."""
    with Front(daemon) as front:
        begun = front.begin("leased", "sleep", b"{}", credential="leased-one")
        _, fds = front.take_worker(begun.call)
        front.write(fds[0], call_frame(begun, b"{}"))
        front.done(begun.call, True)
        assert counted(front, workspace="other", credential="leased-two-other") == 1
        front.end(begun.call, "lost")
        front.close(*fds)


# ── what it holds ─────────────────────────────────────────────────────────────────────────────────────

def inodes(name):
    """What a role's descriptors are; root only."""
    found, folder = set(), f"/proc/{daemon.role(name)}/fd"
    for number in os.listdir(folder):
        target = os.readlink(os.path.join(folder, number))
        if target.startswith(("pipe:", "socket:")):
            found.add(target)
    return found - {os.readlink(f"/proc/{daemon.process.pid}/fd/2")}


def test_descriptors():
    """While calls with a credential run: lines, the door, callers, and two ends of each worker. No more."""
    with Front(daemon) as front:
        running = []
        for _ in range(3):
            begun = front.begin("bad", "sleep", b"{}", credential="canary", timeout=20)
            taken, fds = front.take_worker(begun.call)
            assert taken.status.kind == 0 and len(fds) == 2
            front.write(fds[0], call_frame(begun, b"{}"))
            assert front.read(fds[0], wait_ms=50)[0] == b"", "a call stream carries something upwards"
            running.append((begun, fds))
        held = front.order("held")
        channels = [fd for _, fds in running for fd in fds]
        lines = {one["fd"] for one in front.known["lines"]} | {front.fds["control"]}
        packets = {one["fd"] for one in held["now"] if one["type"] == 5}
        pipes = [one for one in held["now"] if one["kind"] == "pipe" and one["fd"] > 2]
        assert packets == lines, f"SEQPACKET sockets that are no lines: {packets - lines}"
        assert {one["fd"] for one in pipes} == {fds[1] for _, fds in running}, pipes
        assert all(one["access"] == os.O_RDONLY for one in pipes), "a pipe that it could write into"
        if os.geteuid() == 0:
            mine = inodes("front")
            assert mine, "proc showed nothing"
            for role in ("vault", "broker"):
                assert not mine & inodes(role), f"front and {role} hold the same"
        files = [target for target in held["at_start"].values() if target.startswith("/") and target != "/dev/null"]
        home = [target for target in files if target.startswith(daemon.home) and not target.endswith(("/lock", "/daemon.log"))]
        assert held["at_start"] and not home, f"it was given {home}"
        front.close(*channels)
        for begun, _ in running:
            front.done(begun.call, False)
            front.end(begun.call, "lost")
        honest_call(front)


# ── a later front ─────────────────────────────────────────────────────────────────────────────────────

def test_after_its_death():
    """A front that died: its calls are lost to the next one, and its lines' generations are void."""
    with Front(daemon) as front:
        begun = front.begin("bad", "sleep", b"{}", credential="canary", timeout=5)
        taken, _ = front.take_worker(begun.call)
        assert taken.status.kind == 0
        old = {(one["peer"], one["index"]): one["generation"] for one in front.known["lines"]}
        pid, left = front.known["pid"], front.me()
    os.kill(pid, signal.SIGKILL)
    lib.eventually("another front", lambda: daemon.role("front") not in (None, pid))
    lib.eventually("its door", lambda: connects())
    with Front(daemon) as front:
        for (peer, index), generation in old.items():
            front.send("take" if peer == "runner" else "health",
                       Take(begun.call) if peer == "runner" else Query(left, 0), line=peer, index=index, generation=generation)
        barrier(front)
        assert not front.drain(), "an old generation was answered"
        nothing_to_take(front, begun.call)
        assert front.begin("bad", "count", b"{}", who=left).status.kind == ERR_NO_IDENTITY
        told = outcome(daemon, begun.call)
        assert told["class"] in ("lost", "crashed") and told["sent"] == "no", told
        assert CLASSES[front.end(begun.call, "ok").call_class] == told["class"], "a later front rewrote the outcome"
        honest_call(front)


def connects():
    try:
        with Front(daemon):
            return True
    except (OSError, AssertionError, ValueError):
        return False


# ── the end ───────────────────────────────────────────────────────────────────────────────────────────

def test_no_secret_came():
    with Front(daemon) as front:
        front.drain()
        assert daemon.spilled() is None, "a secret is among what the front received"
        assert len(daemon.received) > 100000, "the net caught too little to say anything"
        assert not [pid for pid in pids().values() if pid is None]
        daemon.cli("audit", "verify")
        # The net works: a hostile enabled connector that answers with its secret shows it to the front, by record.
        begun, reply, _ = front.call("bad", "secret", {"field": "canary", "by_hand": True}, credential="canary")
        assert reply["answer"]["value"] == CANARY and daemon.spilled(), "the net has a hole"
        assert entries(daemon, kind="intent", call=call_id(begun.call))[0]["action"] == "secret"


if __name__ == "__main__":
    assert Begin and End
    with FrontTaken("[Resolver]\nHost=sink.example.com 127.0.0.1\n", [CANARY, OTHER]) as daemon:
        sink = Sink()
        daemon.start()
        daemon.cli("workspace", "create", "other")
        common = ["--egress", f"plain://sink.example.com:{sink.port}", "--ranges", "127.0.0.0/8"]
        both = [*common, "--workspaces", "default", "--workspaces", "other"]
        daemon.enable("bad", *both, files=lib.BAD)
        daemon.enable("bad", *common, "--as", "here", files=lib.BAD)
        daemon.enable("bad", *both, "--as", "leased", "--isolation", "lease", "--grant", "LeaseIdle=60s", files=lib.BAD)
        daemon.enable("bad", "--as", "kept", "--capture", "input reply", files=lib.BAD)
        daemon.enable("bad", "--as", "half", "--capture", "reply", files=lib.BAD)
        daemon.enable("oauth2", "--egress", f"tls://sink.example.com:{sink.port}", "--ranges", "127.0.0.0/8", files=lib.OAUTH2)
        daemon.credential("grant", "bad", {"client_id": "me", "client_secret": CANARY,
                                           "token_url": f"https://sink.example.com:{sink.port}/"}, "--kind", "oauth2")
        daemon.credential("canary", "bad", {"canary": CANARY})
        daemon.credential("elsewhere", "bad", {"canary": OTHER}, "--workspace", "other")
        daemon.credential("leased-one", "leased", {"canary": CANARY})
        daemon.credential("leased-two", "leased", {"canary": CANARY})
        daemon.credential("leased-other", "leased", {"canary": OTHER}, "--workspace", "other")
        daemon.credential("leased-two-other", "leased", {"canary": OTHER}, "--workspace", "other")
        only = sys.argv[1:]
        lib.run([case for name, case in list(globals().items())
                 if name.startswith("test_") and (not only or any(word in name for word in only))])
