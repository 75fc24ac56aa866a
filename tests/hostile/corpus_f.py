# SPDX-License-Identifier: Apache-2.0
"""Part F of the hostile corpus: the protocol between a worker and those who hear it (items 105–121)."""
import base64
import contextlib
import json
import os
import signal
import uuid

from at import BUILT, Connector, Verdict, item, once
from daemon import eventually
from elf import Elf
from plant import Garden
from words import reports, shown

CONNECTORS = [Connector("sins-f", actions=("do",), calm=("do", {"do": "count"}))]
OK = '{"class":"ok","answer":{}}'
# What the front says of each, and the word that stands for it in a row.
WORDS = (("of a wrong length", "length"), ("of another version", "version"), ("of a kind", "kind"), ("for another call", "call"),
         ("more than one reply", "second"), ("nested more than", "nesting"), ("too many values", "values"), ("not acceptable JSON", "json"),
         ("beyond 2^53", "number"), ("\"class\" is missing", "class"), ("\"retry_after\"", "retry"), ("\"text\" is no", "text"),
         ("nobody knows", "member"), ("is no object", "object"), ("before it was called", "early"), ("before it had", "early"),
         ("middle of a frame", "middle"), ("without a reply", "nothing"), ("when its time was up", "late"),
         ("flooded the log", "flood"), ("no duplicate", "json"), ("output limit", "size"))


def do(at, what, timeout_ms=3000, **data):
    return at.call("sins-f", "do", {"do": what, **data}, timeout_ms=timeout_ms)


def raw(at, *parts, then="sleep", timeout_ms=3000, **more):
    return do(at, "raw", timeout_ms, parts=list(parts), then=then, **more)


def frame(body, length=None, **head):
    """A part: a head and its body, which is text or bytes."""
    data = body.encode() if isinstance(body, str) else body
    return {"length": len(data) if length is None else length, "blob": base64.b64encode(data).decode(), **head}


def fresh(at):
    """Ends the connector's lease: what it has done to its own channels is not for the next item to find."""
    if at.mode == "lease":
        eventually("its lease ends", lambda: at.daemon.call(at.name("sins-f"), "do", {"do": "end", "how": "exit0"},
                                                            **at.lease("sins-f")).json.get("class") == "crashed")
        at.calm("sins-f")


def said(call):
    """The front's reason in one word."""
    detail = (call.answer.json or {}).get("detail") or ""
    return next((word for text, word in WORDS if text in detail), detail or call.record)


def told(calls):
    """word*n in order of first appearance."""
    words = [said(call) for call in calls]
    return " ".join(f"{word}*{words.count(word)}" for word in dict.fromkeys(words))


CODES = {"crashed/protocol_error": "PROTO", "crashed/resource_limit": "LIM", "timeout/deadline": "LIM",
         "timeout/load_failed": "LOAD", "crashed/load_failed": "LOAD", "refused/load_failed": "LOAD", "violation/syscall": "KILL"}


def verdict(calls, evidence=None, more=""):
    records = once(call.record for call in calls)
    codes = once(CODES.get(call.record, "NONE") for call in calls)
    return Verdict(codes, records, ((told(calls) if evidence is None else evidence) + " " + more).strip())


def peak_kb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        return int(next(line for line in status if line.startswith("VmPeak:")).split()[1])


@item(105)
def lengths(at):
    front = at.daemon.role("front")
    before = peak_kb(front)
    calls = [raw(at, frame("x" * 8, length=length)) for length in (0, 1, 2**31, 2**32 - 1, 2**20 + 1)]
    grown = peak_kb(front) - before
    assert grown < 64 * 1024, f"the front grew by {grown} KiB"
    return verdict(calls, more="front=steady")


@item(106)
def half_a_frame(at):
    calls = [raw(at, {"text": "x" * 11}, timeout_ms=1200), raw(at, frame("{" + " " * 50, length=200), timeout_ms=1200),
             raw(at, frame(OK * 20), slowly=True, timeout_ms=1200), raw(at, frame("{", length=200), then="exit")]
    return verdict(calls)


@item(107)
def two_replies(at):
    """Both in one write; the library's own second one; one before the call; one after the first was taken."""
    both = raw(at, frame(OK), frame(OK))
    library = do(at, "twice")
    late = do(at, "late")
    name = at.name("early")
    with Garden(at.daemon, at.mode) as garden:
        garden.plant(name, Elf(os.path.join(BUILT, "sins-g.so")).choose("c", "reply-early").bytes)
        garden.reload()
        early = at.call("early", "run", {"large": "x" * 3_000_000})
    assert late.result == {"honest": True}, f"the second reply was taken: {late.answer}"
    after = at.daemon.call(at.name("sins-f"), "do", {"do": "count"}, **at.lease("sins-f"))
    follows = "ok" if after.status == 200 else next((word for text, word in WORDS if text in after.json["detail"]), "?")
    return verdict([both, library, late, early], f"{said(both)} second={library.result['earlier']} late=first "
                   f"before={said(early)} next={follows}")


@item(108)
def wrong_heads(at):
    return verdict([raw(at, frame(OK, id="other")), raw(at, frame(OK, type=9)), raw(at, frame(OK, type=1)),
                    raw(at, frame(OK, type=0)), raw(at, frame(OK, version=7)), raw(at, frame(OK, version=0))])


MALFORMED = [b"\xef\xbb\xbf" + OK.encode(), OK.encode() + b"x", OK.encode() + b"{}", b'{"class":"ok","answer":NaN}',
             b'{"class":"ok","answer":1e999}', b'{"class":"ok","class":"rejected"}', b'{"class":"ok","answer":"\\ud800"}',
             b'{"class":"ok","answer":"\xff\xfe"}', b'{"class":"ok","answer":"\\u0000"}', b'{"class":"ok","answer":"\x00"}',
             b"{'class':'ok'}", b'{"class":"ok",}', b"\x00" * 30, b'{"class":"ok"']


@item(109)
def malformed_json(at):
    return verdict([raw(at, frame(body)) for body in MALFORMED])


@item(110)
def deep_and_wide(at):
    """100 000 arrays; more members than a MiB should hold; the same with names that differ in their last bytes only."""
    start, end = '{"class":"ok","answer":', "}"
    deep = raw(at, {"length": len(start) + 200_000 + len(end), "text": start}, {"fill": "[", "times": 100_000},
               {"fill": "]", "times": 100_000}, {"text": end})

    def members(fill, times, then):
        size = sum(len(fill.replace("{}", str(number))) for number in range(times))
        return raw(at, {"length": len(start) + 1 + size + 7, "text": start + "{"}, {"fill": fill, "times": times},
                   {"text": '"x":0' + "}}"}, then=then, timeout_ms=20000)

    wide = members('"{}":[],', 70_000, "sleep")
    alike = members('"' + "k" * 20 + '{}":0,', 20_000, "exit")
    fresh(at)
    return verdict([deep, wide, alike])


@item(111)
def numbers_out_of_range(at):
    bodies = ['{"class":"ok","answer":9007199254740993}', '{"class":"ok","answer":[[-9007199254740993]]}',
              '{"class":"ok","answer":99999999999999999999}', '{"class":"retryable","retry_after":-1}',
              '{"class":"retryable","retry_after":1.5}', '{"class":"great"}', '{"class":1}', '{"answer":{}}',
              '{"class":"ok","text":1}', '[]', '{"class":"ok","sent":"no"}']
    return verdict([raw(at, frame(body)) for body in bodies])


def log_of(at, call, log_from):
    return [line for line in at.world.log_lines(log_from) if line.get("event") == "connector-log" and line.get("call") == call.id]


@item(112)
def floods(at):
    log_from = at.world.log_size()
    out = do(at, "flood", how="out", times=200)
    capped = do(at, "flood", how="log", times=100)
    lines = log_of(at, capped, log_from)
    bytes_logged = sum(len(line["text"]) for line in lines)
    assert bytes_logged <= 64 * 1024, f"{bytes_logged} bytes were logged"
    marked = "marked" if any("more was logged" in line["text"] or line.get("truncated") in (True, "true") for line in lines[-1:]) else "unmarked"
    log = frame(b"\1\0\0\0" + b"y" * 4000, type=2)
    flood = raw(at, *[log] * 500, timeout_ms=10000)
    kept = log_of(at, flood, log_from)
    assert sum(len(line["text"]) for line in kept) <= 64 * 1024 + 4096
    cut = "marked" if kept and kept[-1].get("truncated") in (True, "true") else "unmarked"
    stray = os.path.getsize(at.daemon.log) - log_from
    assert stray < 512 * 1024, f"the daemon's log grew by {stray} bytes"
    return verdict([out, capped, flood], f"out=nowhere log={marked} flood={said(flood)} kept={cut}")


LINES = ["one\ntwo", "\r\x1b[2J\x1b[31mred", '"}\n{"level":"error","event":"role-died","role":"vault"}', "\u202egnp.exe",
         "2026-11-22T00:00:00Z caissond[1]: sandbox ok", '{"kind":"outcome","class":"ok","call":"00000000"}', "\u2028\u2029\u0085\u009b31m",
         "a\tb\x00c", "\u2066x\u2069\u200f", "\x7f\x08\x08\x08"]


@item(113)
def log_injection(at):
    log_from = at.world.log_size()
    call = do(at, "say", lines=[line.replace("\x00", "") for line in LINES], answer={})
    hand = raw(at, frame(b"\1\0\0\0" + "\n".join(LINES).encode() + b"\xff\xfe", type=2), frame(OK), then="exit")
    fresh(at)
    with open(at.daemon.log, "rb") as log:
        log.seek(log_from)
        data = log.read()
    events = [json.loads(line) for line in data.decode("utf-8").splitlines()]
    bad = [char for char in data.decode("utf-8") if ord(char) < 0x20 and char != "\n" or 0x7f <= ord(char) < 0xa0
           or char in "\u2028\u2029\u202e\u2066\u2069\u200f"]
    forged = [event for event in events if event.get("event") not in ("connector-log",) and event.get("call") in (None, "00000000")
              and ("role-died" in event.get("event", "") or event.get("kind"))]
    mine = len(log_of(at, call, log_from)), len(log_of(at, hand, log_from))
    return verdict([call, hand], f"lines={mine[0]}+{mine[1]} unescaped={len(bad)} forged={len(forged)}")


@item(114)
def forged_statements(at):
    """Said in the answer, in the log, as a frame of a kind of its own, and as members of a reply that only the host sets."""
    forged = {"kind": "outcome", "class": "ok", "sent": "no", "sandbox": "ok", "walls": "full", "entries": {"intent": 1, "outcome": 2}}
    answer = do(at, "say", lines=[json.dumps(forged), "sandbox ok"], answer=forged)
    kind = raw(at, frame(json.dumps(forged), type=4))
    member = raw(at, frame('{"class":"ok","sandbox":"ok","entries":{"intent":1,"outcome":2}}'))
    entries = answer.answer.json["entries"]
    assert answer.result["echo"] == forged, answer.answer
    true = entries["outcome"] > entries["intent"] > 2 and answer.outcome["sent"] == "no" and "sandbox" not in answer.outcome
    return verdict([answer, kind, member], f"data={'only' if true else 'believed'} {said(kind)} {said(member)}")


@item(115)
def deadlocks(at):
    """Half a frame as large as the pipe, then nothing more is read or written; and a call that is never read at all."""
    full = raw(at, frame("x" * 300_000, length=900_000), timeout_ms=1500)
    name = at.name("deaf")
    with Garden(at.daemon, at.mode) as garden:
        garden.plant(name, Elf(os.path.join(BUILT, "sins-g.so")).choose("c", "deaf").bytes)
        garden.reload()
        deaf = at.call("deaf", "run", {"large": "x" * 3_000_000})
    return verdict([full, deaf], f"{said(full)} deaf=killed:{deaf.outcome['signal']}")


@item(116)
def channels_closed(at):
    middle = do(at, "let-go", half=True, how="reply", then="sleep")
    every = do(at, "let-go", half=True, how="all", then="sleep")
    quiet = do(at, "let-go", how="reply", then="sleep")
    shut = do(at, "let-go", how="shutdown")
    fresh(at)
    return verdict([middle, every, quiet, shut], f"{told([middle, every, quiet])} {shown(shut.result['attempts'])}")


@item(117)
def descriptors_in_frames(at):
    denied = do(at, "stuff")
    killed = do(at, "stuff", sendmmsg=True)
    return Verdict("DENY+KILL", once([denied.record, killed.record]),
                   f"{shown(denied.result['attempts'])} {reports(denied, 'sendmsg')} sendmmsg=SIG{killed.outcome['signal']}")


@item(118)
def false_identity(at):
    call = do(at, "pretend")
    return Verdict("DENY", call.record, f"{shown(call.result['attempts'])} {reports(call, 'sendmsg', 'setuid')} recorded-as="
                                        f"{'itself' if call.intent['connector'] == at.name('sins-f') else call.intent['connector']}")


ENDS = ("exit0", "exit1", "exit80", "exit81", "exit86", "segv", "ill", "fpe", "trap", "bus", "abort", "sys", "nothing")


@item(119)
def ways_to_end(at):
    calls = [(how, do(at, "end", how=how, timeout_ms=12000)) for how in ENDS]
    ends = [f"{how}={call.record}:" + (str(call.outcome["exit"]) if not call.outcome["signal"]
                                       else signal.Signals(call.outcome["signal"]).name) for how, call in calls]
    return verdict([call for _, call in calls], " ".join(ends))


@item(120)
def crash_after_success(at):
    """The reply stands; how the process ended is in its outcome, or in an incident that names the call."""
    def recorded():
        return call.outcome.get("signal") == signal.SIGSEGV or any(one["signal"] == signal.SIGSEGV for one in call.incidents)

    seen = []
    for _ in range(10):  # the host kills what has replied: the fault has to be faster
        call = do(at, "end-after", how="segv")
        assert call.answer.status == 200 and call.result == {"honest": True}, call.answer
        with contextlib.suppress(AssertionError):
            eventually("the crash is recorded", recorded, 1)
        seen.append(recorded())
        if seen[-1]:
            break
    return verdict([call], f"reply=stands crash={'recorded' if any(seen) else 'lost'}")


@item(121)
def for_ever_later(at):
    key, answers = uuid.uuid4().hex, []
    since = at.world.size()
    first = at.call("sins-f", "do", {"do": "later"}, key=key)
    for _ in range(70):
        answers.append(at.daemon.call(at.name("sins-f"), "do", {"do": "later"}, key=key, **at.lease("sins-f")))
        if answers[-1].status == 409:
            break
    records = at.world.bodies(since)
    ids = [body["attempt"] for body in records if body["kind"] == "outcome" and body.get("call") == first.id]
    intents = [body["attempt"] for body in records if body["kind"] == "intent" and body.get("call") == first.id]
    refused = sum(body["kind"] == "refused" and body.get("connector") == at.name("sins-f") for body in records)
    last = answers[-1].json["type"].rsplit(":", 1)[1]
    assert ids == intents == list(range(1, len(ids) + 1)), f"attempts {ids}"
    return Verdict("LIM", first.record, f"attempts={len(ids)} then={answers[-1].status}:{last} refused={refused}")
