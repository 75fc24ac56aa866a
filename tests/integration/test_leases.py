#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Workers that serve more than one call, and workers that wait: what a lease keeps, whom it serves, what ends it, and
that spares and one-call workers keep nothing."""
import concurrent.futures
import contextlib
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BAD, PEERS, Daemon, Peer, eventually, run  # noqa: E402

MAIL = {"from": "sender@demo.example", "to": ["to@demo.example"], "subject": "x", "text": "x"}
WEBHOOK_SECRET = {"secret": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"}
daemon = hook = mail_port = hook_port = folders = common = None


def connections(kind):
    """How many connections the receiver's proxy has seen so far."""
    with contextlib.suppress(FileNotFoundError):
        with open(os.path.join(folders, kind + "-proxy", "events.jsonl"), encoding="utf-8") as lines:
            return sum(json.loads(line)["event"] == "connection" for line in lines)
    return 0


def received(kind):
    return len([name for name in os.listdir(os.path.join(folders, kind)) if name.startswith(("mail-", "request-")) and not name.endswith(".part")])


def good(answer):
    assert answer.status == 200, answer
    return answer.json["answer"]


def send(**more):
    return good(daemon.call("email", "send", MAIL, credential=more.pop("credential", "mail"), **more))


def post(**more):
    return good(daemon.call("webhook", "post", {"url": f"https://hooks.demo.example:{hook_port}/", "data": {}}, credential=more.pop("credential", "hook"), **more))


def count(connector, **more):
    """The number of calls that this worker's memory has seen, this one included."""
    return good(daemon.call(connector, "count", {}, **more))["result"]


def processes():
    return set(daemon.family())


def lease(name, *grants):
    words = [word for grant in grants for word in ("--grant", grant)]
    daemon.enable("bad", "--as", name, "--isolation", "lease", "--egress", "none", "--workspaces", "default", "--workspaces", "second", *words, files=BAD)


# ── what a lease keeps ────────────────────────────────────────────────────────────────────────────────


def test_smtp_session_is_kept():
    calls, before, mails = 6, connections("mail"), received("mail")
    for _ in range(calls):
        send()
    assert received("mail") == mails + calls and connections("mail") == before + 1, f"{connections('mail') - before} connections for {calls} mails"


def test_tls_session_is_kept():
    calls, before, requests = 6, connections("hook"), received("hook")
    for _ in range(calls):
        post()
    assert received("hook") == requests + calls and connections("hook") == before + 1, f"{connections('hook') - before} connections for {calls} requests"


def test_kept_session_that_broke():
    """The far end went away between two calls: the next call makes a new session, and is delivered once."""
    words = (f"{PEERS}/fault_proxy.py", "--to", f"127.0.0.1:{hook.port}")
    with Peer(*words) as proxy:
        port = proxy.port
        daemon.enable("webhook", "--as", "breaking", "--egress", f"tls://hooks.demo.example:{port}", *common)
        daemon.credential("breaking", "breaking", WEBHOOK_SECRET)
        data = {"url": f"https://hooks.demo.example:{port}/", "data": {}}
        good(daemon.call("breaking", "post", data, credential="breaking"))
    requests = received("hook")
    with Peer(*words, "--port", str(port)):
        good(daemon.call("breaking", "post", data, credential="breaking"))
    assert received("hook") == requests + 1


# ── what ends it ──────────────────────────────────────────────────────────────────────────────────────


def rotated(kind, deliver, credential, fields):
    deliver()
    before = connections(kind)
    deliver()
    assert connections(kind) == before, "no lease was there to be ended"
    words = []
    for field, value in fields.items():
        with open(f"{daemon.home}/new-{field}", "w", encoding="utf-8") as out:
            out.write(value)
        words.append(f"{field}=@{daemon.home}/new-{field}")
    daemon.cli("credential", "rotate", credential, *words)
    deliver()
    assert connections(kind) == before + 1, "the old version's session served a call of the new one"


def test_rotation_ends_a_mail_lease():
    rotated("mail", send, "mail", {"username": "demo", "password": "mail secret"})


def test_rotation_ends_a_webhook_lease():
    rotated("hook", post, "hook", WEBHOOK_SECRET)


def test_removal_ends_it():
    lease("losing", "Spares=0")
    count("losing")
    daemon.credential("gone", "losing", {"canary": "x", "other": "x"})
    before = processes()
    count("losing", credential="gone")
    made = processes() - before
    assert len(made) == 1, made
    daemon.cli("credential", "remove", "gone")
    eventually("the lease's worker is gone", lambda: not made & processes())
    assert daemon.call("losing", "count", {}, credential="gone").status == 404
    assert count("losing") == 2, "the lease of nobody's credential lives on"


def test_freeze_now_ends_it():
    before = processes()
    lease("frozen")
    assert [count("frozen") for _ in range(3)] == [1, 2, 3]
    made = processes() - before
    daemon.cli("freeze", "--now")
    try:
        eventually("lease and spare are gone", lambda: len(made & processes()) <= 1)  # the cell may stay
    finally:
        daemon.cli("thaw")
    assert count("frozen") == 1, "a worker outlived freeze --now"


def test_reload_of_its_entry_ends_it():
    lease("changing")
    assert [count("changing") for _ in range(2)] == [1, 2]
    daemon.cli("plugin", "enable", "bad", "--as", "changing", "--yes", "--grant", "LeaseCalls=50")
    assert count("changing") == 1


def test_number_of_calls():
    lease("three", "LeaseCalls=3")
    assert [count("three") for _ in range(7)] == [1, 2, 3, 1, 2, 3, 1]


def test_age():
    lease("aged", "LeaseAge=2s", "Spares=0")
    first = time.monotonic()
    assert count("aged") == 1
    seen = []
    eventually("a new worker although the old one was never idle", lambda: seen.append(count("aged")) or seen[-1] == 1)
    assert seen[0] == 2 or time.monotonic() - first > 1, f"the lease did not last: {seen[:3]}"


def test_idleness():
    lease("idle", "LeaseIdle=1s", "Spares=0")
    before = processes()
    assert [count("idle") for _ in range(2)] == [1, 2]
    made = processes() - before
    eventually("the idle worker is gone", lambda: made - processes())
    assert count("idle") == 1


def test_error_ends_it():
    lease("failing", "Spares=0")
    assert count("failing") == 1
    before = processes()
    assert daemon.call("failing", "leave", {"status": 1}).json["class"] == "crashed"
    assert daemon.call("failing", "sleep", {}, timeout_ms=500).json["class"] == "timeout"
    eventually("only the worker that did nothing wrong is left", lambda: processes() <= before)
    assert count("failing") == 2


# ── whom it serves ────────────────────────────────────────────────────────────────────────────────────


def test_workspaces_never_share():
    lease("shared")
    got = [(count("shared"), count("shared", workspace="second")) for _ in range(3)]
    assert got == [(1, 1), (2, 2), (3, 3)], got


def test_credentials_never_share():
    lease("named")
    for name in ("one", "two"):
        daemon.credential(name, "named", {"canary": name, "other": "x"})
    got = [(count("named", credential="one"), count("named", credential="two"), count("named")) for _ in range(3)]
    assert got == [(1, 1, 1), (2, 2, 2), (3, 3, 3)], got
    for name in ("one", "two", "one"):
        assert good(daemon.call("named", "secret", {"field": "canary"}, credential=name))["value"] == name


def test_actions_never_share():
    lease("acting", "Spares=0")
    assert [count("acting") for _ in range(2)] == [1, 2]
    before = processes()
    for _ in range(3):
        good(daemon.call("acting", "talk", {"text": "x"}))
    assert len(processes() - before) == 1, "another action has a worker of its own"
    assert count("acting") == 3


def test_many_at_once():
    """Leases serve one call at a time each: no worker sees two at once, and none is lost."""
    lease("busy", "LeaseCalls=5")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(lambda _: count("busy"), range(80)))
    assert max(seen) <= 5 and seen.count(1) >= 16, seen
    assert all(seen.count(n) <= seen.count(n - 1) for n in range(2, 6)), "a number twice by one worker"


# ── spares, and workers for one call ──────────────────────────────────────────────────────────────────


def test_spares_start_clean():
    daemon.enable("bad", "--as", "spare", "--egress", "none", "--grant", "Spares=2", files=BAD)
    assert [count("spare") for _ in range(10)] == [1] * 10
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        assert set(pool.map(lambda _: count("spare"), range(60))) == {1}


def test_spares_are_counted():
    """After its first call a connector has two processes that wait; they go with it."""
    daemon.enable("bad", "--as", "waiting", "--egress", "none", "--grant", "Spares=2", files=BAD)
    before = processes()
    count("waiting")
    eventually("a cell and two spares", lambda: len(processes() - before) == 3)
    for _ in range(5):
        count("waiting")
    eventually("still two spares", lambda: len(processes() - before) == 3)
    daemon.cli("plugin", "disable", "waiting")
    eventually("all gone", lambda: processes() <= before)


def test_workers_end_with_their_call():
    daemon.enable("bad", "--as", "once", "--egress", "none", "--grant", "Spares=0", files=BAD)
    before = processes()
    assert count("once") == 1
    eventually("only the cell is left", lambda: len(processes() - before) == 1)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: count("once"), range(64))) == {1}
    assert daemon.call("once", "leave", {"status": 1}).json["class"] == "crashed"
    assert daemon.call("once", "sleep", {}, timeout_ms=500).json["class"] == "timeout"
    eventually("only the cell is left after crash and timeout", lambda: len(processes() - before) == 1)


def main():
    global daemon, hook, mail_port, hook_port, folders, common
    with Daemon(config="[Resolver]\nHost=mail.demo.example 127.0.0.1\nHost=hooks.demo.example 127.0.0.1\n") as daemon:
        ca, folders = os.path.join(daemon.home, "ca"), os.path.join(daemon.home, "received")
        subprocess.run([f"{PEERS}/make_ca.sh", ca, "mail.demo.example", "hooks.demo.example"], check=True)
        with open(ca + "/password", "w", encoding="utf-8") as out:
            out.write("mail secret")
        tls = ("--cert", ca + "/server.pem", "--key", ca + "/server.key")
        with Peer(f"{PEERS}/smtp_peer.py", *tls, "--password-file", ca + "/password", "--folder", folders + "/mail") as mail, \
                Peer(f"{PEERS}/https_peer.py", *tls, "--folder", folders + "/hook") as hook, \
                Peer(f"{PEERS}/fault_proxy.py", "--to", f"127.0.0.1:{mail.port}", "--folder", folders + "/mail-proxy") as mail_proxy, \
                Peer(f"{PEERS}/fault_proxy.py", "--to", f"127.0.0.1:{hook.port}", "--folder", folders + "/hook-proxy") as hook_proxy:
            mail_port, hook_port = mail_proxy.port, hook_proxy.port
            daemon.start()
            daemon.http("POST", "/v1/workspaces", {"name": "second"}, door="desk")
            common = ("--ranges", "127.0.0.0/8", "--ca", ca + "/ca.pem", "--isolation", "lease")
            daemon.enable("email", "--set", "host=mail.demo.example", "--set", f"port={mail_port}", "--egress", f"starttls://mail.demo.example:{mail_port}", *common)
            daemon.enable("webhook", "--egress", f"tls://hooks.demo.example:{hook_port}", *common)
            daemon.credential("mail", "email", {"username": "demo", "password": "mail secret"})
            daemon.credential("hook", "webhook", WEBHOOK_SECRET)
            only = sys.argv[1:]
            run([case for name, case in list(globals().items()) if name.startswith("test_") and (not only or any(word in name for word in only))])


if __name__ == "__main__":
    main()
