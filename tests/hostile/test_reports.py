#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Violation reports against the real daemon: what a connector tried stands in its call's record and in the log, by name,
whatever it does afterwards; and none stands there that the kernel did not make."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BUILD, SOURCE, Daemon, eventually, run  # noqa: E402

BUILT = os.path.join(BUILD, "tests", "sandbox")
MANIFEST = os.path.join(SOURCE, "tests", "sandbox", "plugins", "tries.json")
OPENAT = 257
daemon = None


def entries(kind):
    tail = daemon.cli("--json", "audit", "tail", "--limit", "200").stdout
    return [entry["body"] for entry in json.loads(tail)["entries"] if entry["body"]["kind"] == kind]


def call(connector, action):
    """The call's answer, its outcome's body."""
    answer = daemon.call(connector, action, {}, timeout_ms=4000)
    ident = answer.json.get("call_id") or answer.json["instance"].removeprefix("urn:uuid:")
    found, = [body for body in entries("outcome") if body["call"] == ident]
    return answer, found


def incidents(call_id, event):
    return [body for body in entries("incident") if body.get("call") == call_id and body["event"] == event]


def check_openat(reports):
    assert reports, "there is no report"
    for report in reports:
        assert set(report) == {"arch", "args", "name", "number"}, report
        assert report["name"] == "openat" and report["number"] == OPENAT and report["arch"] == 0xC000003E, report
        assert len(report["args"]) == 6 and report["args"][0] == "ffffff9c", report


def test_a_good_answer_does_not_hide_it():
    answer, outcome = call("tries", "open")
    assert answer.json["answer"] == {"errno": 1}, answer
    assert outcome["class"] == "ok" and outcome["report_count"] == 1, outcome
    check_openat(outcome["reports"])


def test_no_other_end_hides_it_either():
    for action, kind in (("crash", "crashed"), ("leave", "crashed"), ("fail", "rejected")):
        _, outcome = call("tries", action)
        assert outcome["class"] == kind and outcome["report_count"] == 1, outcome
        check_openat(outcome["reports"])


def test_many_are_counted_and_eight_are_kept():
    _, outcome = call("tries", "many")
    assert outcome["report_count"] == 17 and len(outcome["reports"]) == 8, outcome
    assert len({tuple(report["args"]) for report in outcome["reports"]}) == 8, outcome
    check_openat(outcome["reports"])


def test_the_log_has_it_too():
    _, outcome = call("tries", "open")
    with open(daemon.log, encoding="utf-8") as lines:
        said = [json.loads(line) for line in lines if '"system-call-refused"' in line and outcome["call"] in line]
    assert len(said) == 1, said
    assert said[0]["name"] == "openat" and said[0]["connector"] == "tries" and said[0]["role"] == "ledger", said
    assert said[0]["args"].split() == outcome["reports"][0]["args"], said


def test_what_is_tried_after_the_answer_is_an_incident():
    """The worker is killed on its reply: if it gets as far as trying, that is told."""
    answer, outcome = call("tries", "late")
    assert answer.status == 200 and outcome["class"] == "ok", answer
    call("tries", "crash")  # its worker's end is told after that of the one before
    told = incidents(outcome["call"], "late_end")
    assert len(told) <= 1 and (not outcome.get("reports") or not told), (outcome, told)
    for body in told:
        check_openat(body["reports"])


def test_none_can_be_made_up():
    answer, outcome = call("tries", "forge")
    assert answer.status == 200 and outcome["class"] == "ok", answer
    assert "reports" not in outcome and "report_count" not in outcome, outcome
    _, honest = call("tries", "run")
    assert "reports" not in honest, honest
    assert not incidents(outcome["call"], "late_end") and not incidents(outcome["call"], "load")
    assert not [body for body in entries("outcome") if any(r["name"] == "execve" for r in body.get("reports", []))]


def test_the_kill_list_kills_and_the_record_says_so():
    answer, outcome = call("tries", "killed")
    assert answer.status != 200, answer
    assert (outcome["class"], outcome["reason"], outcome["signal"]) == ("violation", "syscall", 31), outcome


def test_loading_is_an_incident():
    _, outcome = call("tries-early", "run")
    assert outcome["class"] == "ok", outcome
    check_openat(outcome["reports"])
    body, = eventually("the incident", lambda: incidents(outcome["call"], "load"))
    assert body["phase"] == "load" and body["connector"] == "tries-early" and body["role"] == "runner", body
    assert body["report_count"] == 1, body
    check_openat(body["reports"])


def test_an_end_while_loading_is_an_incident():
    _, outcome = call("tries-left", "run")
    assert outcome["class"] == "crashed" and outcome["exit"] == 85, outcome
    check_openat(outcome["reports"])
    body, = eventually("the incident", lambda: incidents(outcome["call"], "load"))
    assert body["phase"] == "load" and body["exit"] == 85, body
    check_openat(body["reports"])


def test_a_spare_that_gets_no_call_is_an_incident():
    call("tries-spare", "run")
    bodies = eventually("the incident", lambda: [body for body in entries("incident")
                                                 if body.get("connector") == "tries-spare" and "call" not in body])
    assert bodies[0]["event"] == "load" and bodies[0]["phase"] == "load", bodies
    check_openat(bodies[0]["reports"])


def test_the_log_verifies():
    daemon.cli("audit", "verify", "--full")


def enable(name, module, *options):
    """The same connector under several names, each with another constructor."""
    path = os.path.join(daemon.home, name + ".json")
    with open(MANIFEST, encoding="utf-8") as manifest, open(path, "w", encoding="utf-8") as out:
        json.dump({**json.load(manifest), "name": name}, out)
    daemon.enable(name, *options, files=(os.path.join(BUILT, module + ".so"), path))


if __name__ == "__main__":
    with Daemon() as daemon:
        daemon.start()
        for name in ("tries", "tries-early", "tries-left"):
            enable(name, name)
        enable("tries-spare", "tries-early", "--grant", "Spares=1")
        run([case for name, case in list(globals().items()) if name.startswith("test_")])
