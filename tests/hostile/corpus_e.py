# SPDX-License-Identifier: Apache-2.0
"""Part E of the hostile corpus: secrets, and what is left for or taken from another call (items 96–104)."""
import base64
import contextlib
import errno
import json
import os
import threading
import urllib.parse
import uuid

from at import BUILT, Connector, Verdict, code_of, item, once
from daemon import eventually
from elf import Elf
from plant import Garden, manifest
from words import reports, shown

FIELDS = {"credential": {"fields": {"canary": {"summary": "What must not leave.", "required": False},
                                    "other": {"summary": "What no action is given.", "required": False}}}}
CONNECTORS = [Connector("sins-e", actions=("do",), egress=("tls://*.example.com:443",), calm=("do", {"do": "count"}),
                        more=FIELDS)]


def do(at, what, timeout_ms=3000, credential=None, **data):
    more = {"credential": credential} if credential else {}
    return at.call("sins-e", "do", {"do": what, **data}, timeout_ms=timeout_ms, **more)


@contextlib.contextmanager
def another_credential(at, value=None):
    """(name, value) of one more credential of the connector; removed again, which ends its leases."""
    name, value = f"second-{at.name('sins-e')}", value or "second-" + uuid.uuid4().hex
    at.daemon.credential(name, at.name("sins-e"), {"canary": value})
    try:
        yield name, value
    finally:
        at.daemon.cli("credential", "remove", name)


def veil(value):
    """The value in a form that a search for it does not find (sins_e.c: VEIL)."""
    return bytes(byte ^ 0x5a for byte in value.encode()).hex()


def one_of(calls):
    return once(call.record for call in calls)


@item(96)
def leftovers_of_another_call(at):
    with another_credential(at) as (name, value):
        held = do(at, "hold")
        looked = do(at, "look", needle=veil(at.canary), credential=name, timeout_ms=10000)
        own = do(at, "look", needle=veil(value), credential=name, timeout_ms=10000)
    assert held.result["environment"] == 0 and own.result["found"] > 0, f"the search finds nothing: {own.answer}"
    assert looked.result["pages"] > 500, f"only {looked.result['pages']} pages were searched"
    return Verdict("NONE", one_of([held, looked, own]),
                   f"left={looked.result['found']} environment={str(looked.result['environment']).lower()} own=found pages=all")


@item(97)
def static_counter(at):
    with another_credential(at) as (name, _):
        calls = [do(at, "count", credential=name) for _ in range(3)]
    return Verdict("NONE", one_of(calls), "count=" + ",".join(str(call.result["count"]) for call in calls))


@item(98)
def hooks_for_the_next_call(at):
    first = do(at, "hook")
    with another_credential(at) as (name, _):
        after = do(at, "hook", credential=name)
    planted, seen = first.result, after.result
    return Verdict("NONE", one_of([first, after]),
                   f"constructor={planted['constructed']} handlers={planted['handlers']} own={planted['after']} "
                   f"next={seen['before']} table={'hooked' if seen['table'] else 'clean'} "
                   f"environment={'hooked' if seen['environment'] else 'clean'} null={'marked' if seen['null'] else 'clean'}")


@item(99)
def credentials_of_others(at):
    fields, channels = do(at, "ask-fields"), do(at, "ask-channels", timeout_ms=6000)
    assert channels.result["answered"], f"the broker did not answer: {channels.answer}"
    events = eventually("the broker's incident", lambda: channels.incidents)
    since = at.world.size()
    other = "canary-sins-e" if at.mode == "lease" else "canary-sins-e-lease"
    foreign = at.daemon.call(at.name("sins-e"), "do", {"do": "count"}, credential=other)
    slug = foreign.json["type"].rsplit(":", 1)[1]
    refused = [body for body in at.world.bodies(since) if body["kind"] == "refused" and body.get("reason") == slug
               and body.get("connector") == at.name("sins-e")]
    return Verdict("DENY", f"{one_of([fields, channels])}+incident",
                   f"fields={fields.result['given']}/7 own={fields.result['own']} granted={channels.result['granted']} "
                   f"{shown(channels.result['attempts'])} event={once(event['event'] for event in events)} "
                   f"foreign={foreign.status}:{slug} recorded={len(refused)}")


def forms(value):
    raw = value.encode()
    return [raw, raw.hex().encode(), raw.hex().upper().encode(), base64.b64encode(raw)[:40], base64.b64encode(b"x" + raw)[4:40],
            urllib.parse.quote(value, safe="").encode(), json.dumps(value).encode()[1:-1]]


@item(100)
def letting_it_out(at):
    """Through what the host offers: a connector that writes frames of its own can say what it knows in any code."""
    value = "s%cret/" + uuid.uuid4().hex + " +\"ü"
    with another_credential(at, value) as (name, _):
        log_from = at.world.log_size()
        ok, failed = do(at, "let-out", credential=name), do(at, "let-out", credential=name, fail=True)
        with open(at.daemon.log, "rb") as log:
            log.seek(log_from)
            logged = log.read()
    places = {"answer": ok.answer.body + failed.answer.body, "log": logged,
              "record": json.dumps(at.world.bodies(ok.since), ensure_ascii=False).encode()}
    for where, data in places.items():
        for form in forms(value):
            assert form not in data, f"{form!r} is in the {where}"
    masks = f"answer={ok.answer.body.count(b'[secret]')} log={logged.count(b'[secret]')} " \
            f"error={failed.answer.json['detail'].count('[secret]')}"
    assert "carries a secret" in ok.result["problem"], ok.result["problem"]
    opened = once(shown([row]) for row in ok.result["attempts"])
    return Verdict("DENY", one_of([ok, failed]), f"masked {masks} dialled={ok.result['dialled']} {opened} {reports(ok, 'openat')} denied={ok.outcome['denied']}")


def workers(at):
    """The pids of the connector's workers."""
    children = at.world.children()
    return {pid for cell, owner in at.world.owner.items() if owner == ("sins-e", at.mode) for pid in children.get(cell, ())}


def swapped(pid):
    with contextlib.suppress(OSError, StopIteration):
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
            return int(next(line for line in status if line.startswith("VmSwap:")).split()[1])
    return 0


@item(101)
def swap(at):
    seen, calls = [], []
    caller = threading.Thread(target=lambda: calls.append(do(at, "pages-out", pause_ms=900)))
    caller.start()
    while caller.is_alive():
        seen += [swapped(pid) for pid in workers(at)]
        caller.join(0.02)
    assert calls and seen, "no worker was seen while it ran"
    call = calls[0]
    return Verdict("DENY", call.record, f"{shown(call.result['attempts'])} {reports(call, 'madvise', 'mlock')} "
                                        f"worker-swap={max(seen)} vault-swap={swapped(at.daemon.role('vault'))}")


@item(102)
def siblings(at):
    hows, beside, got, calls = ("ptrace", "kill", "read", "tgkill", "socket", "shm"), [], [], []
    sibling = threading.Thread(target=lambda: beside.append(
        at.daemon.call(at.name("sins-e"), "do", {"do": "sleeps", "pause_s": 2}, **at.lease("sins-e"))))
    sibling.start()
    eventually("the sibling runs", lambda: workers(at))
    for how in hows:
        call = do(at, "at-sibling", how=how)
        calls.append(call)
        got.append(shown(call.result["attempts"]) if call.result else f"{how}=SIG{call.outcome['signal']}")
    sibling.join()
    assert beside[0].status == 200, f"the sibling did not live: {beside[0]}"
    codes = once("KILL" if "=SIG31" in one else code_of(one.split("=")[1]) for one in got)
    return Verdict(codes, one_of(calls), " ".join(got) + f" {reports(calls[3], 'tgkill')} {reports(calls[5], 'shmget')} sibling=ok")


@item(103)
def lingering(at):
    with another_credential(at) as (name, _):
        calls = [do(at, "linger", credential=name) for _ in range(2)]
    last = calls[1].result
    return Verdict("NONE", one_of(calls), f"count={calls[0].result['count']},{last['count']} "
                   + (f"lingered fields={last['fields']}" if last.get("lingered") else "killed on reply"))


@item(104)
def credential_pipe(at):
    """Once more after the host's own code has read it; and before, from a constructor."""
    lease = at.mode == "lease"
    again = do(at, "read-again", closes=not lease)
    name = at.name("early")
    with Garden(at.daemon, at.mode) as garden:
        garden.plant(name, Elf(os.path.join(BUILT, "sins-g.so")).choose("c", "read-early-of-lease" if lease else "read-early").bytes, manifest())
        garden.reload()
        at.daemon.credential(f"own-{name}", name, {"canary": at.canary})
        early = at.call("early", "run", {}, credential=f"own-{name}")
        at.daemon.cli("credential", "remove", f"own-{name}")
    assert early.result, f"the constructor did not answer: {early.answer}"
    code = early.result["again"]
    return Verdict("DENY", one_of([again, early]),
                   f"{shown(again.result['attempts'])} {reports(again, 'dup', 'fcntl')} early: fields={early.result['fields']} "
                   f"again={errno.errorcode[-code] if code < 0 else code}")
