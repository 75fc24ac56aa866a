#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What holds a credential can be listed and taken back: by call, connector, credential and workspace; nothing else ends
with it, the record comes first, and what was cut off has its outcome."""
import concurrent.futures
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BAD, Daemon, eventually, run  # noqa: E402
from log import Attempts  # noqa: E402

FIELDS = {"canary": "canary-lease-77", "other": "x"}
daemon = pool = None


def good(answer):
    assert answer.status == 200, answer
    return answer.json


def leases(**where):
    query = "&".join(f"{name}={value}" for name, value in where.items())
    return good(daemon.http("GET", "/v1/leases" + ("?" + query if query else ""), door="desk"))["leases"]


def revoke(**where):
    return daemon.http("POST", "/v1/leases/revoke", where, door="desk")


def count(connector, **more):
    """The number of calls that this worker's memory has seen, this one included."""
    return good(daemon.call(connector, "count", {}, **more))["answer"]["result"]


def connector(name, *options):
    daemon.enable("bad", "--as", name, "--egress", "none", "--workspaces", "default", "--workspaces", "second", "--grant", "Spares=0", *options, files=BAD)


def lease(name):
    connector(name, "--isolation", "lease", "--grant", "LeaseIdle=300s")


def hold(name, credential=None, action="sleep", **more):
    """A call that runs until it is ended; its future and its row."""
    before = {row.get("call_id") for row in leases(connector=name, **({"workspace": more["workspace"]} if "workspace" in more else {}))}
    words = {"credential": credential} if credential else {}
    future = pool.submit(daemon.call, name, action, {}, timeout_ms=60000, **words, **more)

    def running():
        rows = leases(connector=name, **({"workspace": more["workspace"]} if "workspace" in more else {}))
        return [row for row in rows if row["state"] == "running" and row["call_id"] not in before]

    return future, eventually("the call runs", running)[0]


def processes():
    return set(daemon.family())


def ended(future):
    answer = future.result(30)
    assert answer.status >= 400 and answer.json["class"] == "timeout" and answer.json["reason"] == "revoked", answer
    return answer.json["call_id"]


def recorded(*calls, **what):
    """The newest revocation says what was meant, and stands before the outcomes of what it ended."""
    bodies = Attempts(daemon.home).bodies
    at = max(i for i, body in enumerate(bodies) if body.get("act") == "lease.revoke")
    for name, value in what.items():
        assert bodies[at].get(name) == value, (name, bodies[at])
    for call in calls:
        outcomes = [i for i, body in enumerate(bodies) if body["kind"] == "outcome" and body["call"] == call]
        assert len(outcomes) == 1 and outcomes[0] > at, (call, at, outcomes)
        assert bodies[outcomes[0]]["reason"] == "revoked"


# ── what is listed ────────────────────────────────────────────────────────────────────────────────────


def test_listed():
    lease("listed")
    daemon.credential("shown", "listed", FIELDS)
    assert leases(connector="listed") == []
    assert [count("listed", credential="shown") for _ in range(2)] == [1, 2]
    idle = leases(connector="listed")
    assert len(idle) == 1 and {"state": "idle", "action": "count", "credential": "shown", "credential_version": 1, "calls": 2}.items() <= idle[0].items(), idle
    assert idle[0]["age_ms"] >= idle[0]["idle_ms"] >= 0 and "call_id" not in idle[0]
    future, row = hold("listed")
    assert {"state": "running", "action": "sleep", "calls": 1, "attempt": 1}.items() <= row.items() and 0 < row["ends_in_ms"] <= 60000, row
    assert [one["call_id"] for one in leases(call=row["call_id"])] == [row["call_id"]]
    assert [one["state"] for one in leases(credential="shown")] == ["idle"]
    assert leases(workspace="second", connector="listed") == []
    shown = daemon.cli("lease", "list", "--connector", "listed").stdout
    assert row["call_id"] in shown and "shown" in shown and FIELDS["canary"] not in shown, shown
    assert good(revoke(connector="listed")) == {"calls": 1, "workers": 2}
    ended(future)
    eventually("nothing is left", lambda: leases(connector="listed") == [])


def test_many():
    """More than one page of the runner's answer could hold is still every one of them, once."""
    connector("many")
    futures = [pool.submit(daemon.call, "many", "sleep", {}, timeout_ms=60000) for _ in range(12)]
    rows = eventually("twelve of them", lambda: (rows := leases(connector="many")) and len(rows) == 12 and all(row["state"] == "running" for row in rows) and rows)
    assert len({row["call_id"] for row in rows}) == 12
    before = processes()
    assert good(revoke(connector="many")) == {"calls": 12, "workers": 12}
    recorded(*[ended(future) for future in futures], connector="many")
    eventually("their processes are gone", lambda: len(before - processes()) >= 12)


# ── what ends ─────────────────────────────────────────────────────────────────────────────────────────


def test_by_call():
    connector("calls")
    one, row = hold("calls")
    other, _ = hold("calls")
    done = daemon.cli("lease", "revoke", "--call", row["call_id"], "--reason", "looks odd")
    assert "1 running calls, 1 workers" in done.stdout, done.stdout
    recorded(ended(one), call=row["call_id"], attempt=1, text="looks odd")
    assert not other.done() and len(leases(connector="calls")) == 1
    assert revoke(call=row["call_id"]).status == 409
    assert good(revoke(connector="calls"))["calls"] == 1
    ended(other)


def test_by_connector():
    lease("here")
    lease("there")
    assert (count("here"), count("there")) == (1, 1)
    before = processes()
    assert good(revoke(connector="here", reason="test")) == {"calls": 0, "workers": 1}
    recorded(connector="here", text="test", workspace="default")
    eventually("one process less", lambda: len(before - processes()) == 1)
    assert (count("here"), count("there")) == (1, 2), "the wrong lease ended"


def test_by_credential():
    lease("keyed")
    for name in ("left", "right"):
        daemon.credential(name, "keyed", FIELDS)
        assert count("keyed", credential=name) == 1
    busy, _ = hold("keyed", "left")
    assert good(revoke(credential="left")) == {"calls": 1, "workers": 2}
    recorded(ended(busy), target="left")
    assert (count("keyed", credential="left"), count("keyed", credential="right")) == (1, 2)


def test_by_workspace():
    lease("both")
    assert (count("both"), count("both", workspace="second")) == (1, 1)
    busy, _ = hold("both", workspace="second")
    told = good(revoke(workspace="second"))
    assert told == {"calls": 1, "workers": 2}, told
    recorded(ended(busy), workspace="second")
    counted = count("both"), count("both", workspace="second")
    assert counted == (2, 1), counted


def test_new_calls_may_begin():
    """It takes back what is out; keeping others from it is for plugin disable, credential remove and freeze."""
    connector("again")
    busy, _ = hold("again")
    good(revoke(connector="again"))
    ended(busy)
    assert count("again") == 1


# ── a credential changes ──────────────────────────────────────────────────────────────────────────────


def rotate(name):
    with open(daemon.home + "/next", "w", encoding="utf-8") as out:
        out.write("another")
    daemon.cli("credential", "rotate", name, f"canary=@{daemon.home}/next", f"other=@{daemon.home}/next")


def test_rotation_lets_a_call_finish():
    """And its worker serves no other."""
    lease("turning")
    daemon.credential("turned", "turning", FIELDS)
    assert count("turning", credential="turned") == 1
    slow = pool.submit(daemon.call, "turning", "sleep", {"ms": 3000}, credential="turned", timeout_ms=60000)
    eventually("it runs", lambda: any(row["state"] == "running" for row in leases(connector="turning")))
    rotate("turned")
    assert [row["state"] for row in leases(connector="turning")] == ["running"], "the lease that waited is still there"
    assert slow.result(30).status == 200, slow.result()
    eventually("its worker is gone", lambda: leases(connector="turning") == [])


def test_removal_ends_a_call():
    connector("losing")
    daemon.credential("lost", "losing", FIELDS)
    busy, _ = hold("losing", "lost")
    daemon.cli("credential", "remove", "lost")
    assert ended(busy)


# ── who may, and what is refused ──────────────────────────────────────────────────────────────────────


def test_needs_a_right():
    lease("guarded")
    assert count("guarded") == 1
    make = ("--json", "token", "create")
    viewer, narrow = (json.loads(daemon.cli(*make, name, *more).stdout)["token"]
                      for name, more in (("looker", ("--role", "viewer")), ("partly", ("--role", "operator", "--connector", "hello"))))

    def ask(token, body):
        return daemon.http("POST", "/v1/leases/revoke", body, {"Authorization": "Bearer " + token}, door="desk")

    daemon.enable("hello")
    assert ask(viewer, {"connector": "guarded"}).status == 403
    assert daemon.http("GET", "/v1/leases", None, {"Authorization": "Bearer " + viewer}, door="desk").status == 403
    assert ask(narrow, {"connector": "guarded"}).status == 404
    assert ask(narrow, {"workspace": "default"}).status == 403
    assert ask(narrow, {"workspace": "second", "connector": "hello"}).status == 403
    assert ask(narrow, {"connector": "hello"}).status == 200
    seen = daemon.http("GET", "/v1/leases", None, {"Authorization": "Bearer " + narrow}, door="desk")
    assert seen.status == 200 and seen.json["leases"] == [], seen
    busy, row = hold("guarded")
    assert ask(narrow, {"call": row["call_id"]}).status == 404
    assert not busy.done() and count("guarded") == 2
    good(revoke(connector="guarded"))
    ended(busy)


def test_says_what_is_wrong():
    assert revoke().status == 422
    assert revoke(connector="nobody").status == 404
    assert revoke(credential="nobody").status == 404
    assert revoke(call="01890000-0000-7000-8000-000000000000").status == 404
    assert revoke(workspace="elsewhere").status == 403
    assert revoke(reason="x" * 300, workspace="second").status == 422
    assert daemon.cli("lease", "revoke", check=False).returncode == 2
    lost = [body for body in Attempts(daemon.home).bodies if body.get("act") == "lease.revoke" and body.get("connector") == "nobody"]
    assert not lost


def test_not_through_the_front():
    assert daemon.http("GET", "/v1/leases").status == 404
    assert daemon.http("POST", "/v1/leases/revoke", {"workspace": "default"}).status == 404


def test_the_log_verifies():
    daemon.cli("audit", "verify", "--full")


def main():
    global daemon, pool
    with Daemon() as daemon, concurrent.futures.ThreadPoolExecutor(32) as pool:
        daemon.start()
        daemon.http("POST", "/v1/workspaces", {"name": "second"}, door="desk")
        only = sys.argv[1:]
        run([case for name, case in list(globals().items()) if name.startswith("test_") and (not only or any(word in name for word in only))])


if __name__ == "__main__":
    main()
