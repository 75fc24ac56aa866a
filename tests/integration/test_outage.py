#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The log cannot be written for a while (a limit on the size of files stands for the disk): as root and as an ordinary user,
nothing runs that is not recorded, what ran is recorded later, and all goes on by itself."""
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from accounts import UNAVAILABLE, Load, accounted  # noqa: E402
from daemon import BAD, Daemon, eventually, run  # noqa: E402



class Limited(Daemon):
    def __enter__(self):
        super().__enter__()
        self.answers = []
        self.start()
        self.enable("hello")
        self.enable("bad", "--as", "bad", "--egress", "none", files=BAD)
        return self

    def greet(self):
        answer = self.call("hello", "greet", {"name": "Ada"})
        self.answers.append(answer)
        return answer

    def status_now(self):
        return self.http("GET", "/v1/health").json["status"]

    def vkey(self):
        return self.cli("audit", "vkey").stdout.strip()


def test_calls_stop_and_go_on():
    with Limited() as daemon:
        vkey = daemon.vkey()
        with Load(daemon) as load:
            eventually("calls run", lambda: load.count(200) > 20)
            daemon.limit(8192)
            eventually("it is sealed", lambda: daemon.status_now() == "sealed")
            assert daemon.greet().json["type"] == UNAVAILABLE
            daemon.cli("audit", "verify")
            daemon.limit("unlimited")
            before = load.count(200)
            eventually("calls run again", lambda: load.count(200) > before + 20)
        daemon.cli("audit", "verify", "--full")
        daemon.stop()
        found = accounted(daemon.home, vkey, daemon.answers)
        assert found.counts["recover"] >= 1, found.counts


def test_executed_but_not_recorded():
    """The call ran, and its caller is told so with its id; the record follows, and only once."""
    with Limited() as daemon:
        vkey, ended = daemon.vkey(), {}
        callers = {"api": lambda: daemon.call("bad", "sleep", {}, timeout_ms=1000),
                   "command": lambda: daemon.cli("call", "bad", "sleep", "--timeout", "1000", check=False)}
        calls = [threading.Thread(target=lambda name=name: ended.update({name: callers[name]()})) for name in callers]
        for call in calls:
            call.start()
        eventually("the calls run", lambda: len(daemon.http("GET", "/v1/calls?class=running").json["calls"]) == len(calls))
        daemon.limit(8192)
        for call in calls:
            call.join()
        answer, command = ended["api"], ended["command"]
        assert answer.status == 500 and answer.json["type"].endswith("executed-unrecorded"), answer
        assert command.returncode == 8 and "could not be recorded" in command.stderr, command
        daemon.limit("unlimited")
        eventually("calls run again", lambda: daemon.greet().status == 200)
        daemon.cli("audit", "verify", "--full")
        daemon.stop()
        found = accounted(daemon.home, vkey, daemon.answers)
        outcome = found.calls[answer.json["call_id"], 1]["outcome"]
        assert outcome["class"] == "timeout" and outcome["spilled"] == 1 and outcome["duration_us"] < 10_000_000, outcome
        recovers = [body for body in found.all_bodies() if body["kind"] == "recover"]
        assert sum(body["spilled"] for body in recovers) == len(calls) and recovers[0]["sealed_until"] > recovers[0]["sealed_from"], recovers


if __name__ == "__main__":
    run([case for name, case in list(globals().items()) if name.startswith("test_")])
