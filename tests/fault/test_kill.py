#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of each role, and of all at once, at random moments under load. Afterwards: every accepted call has its
outcome, no outcome "ok" lacks its delivery, no delivery is recorded as not sent, no key delivered twice unmarked, and
the log verifies. usage: test_kill.py [MOMENTS] [ROLE…]"""
import collections
import os
import random
import subprocess
import sys
import threading
import time
import uuid

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import SOURCE, Daemon, Peer, eventually, run  # noqa: E402
from log import Attempts  # noqa: E402

MOMENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 10
ROLES = sys.argv[2:] or ["front", "desk", "ledger", "vault", "broker", "runner", "all"]
SEED = int(os.environ.get("CAISSON_SEED") or random.SystemRandom().randrange(2**32))
daemon = received = url = None
dice = random.Random(SEED)


class Load:
    """Four callers that post webhooks, each under a key of its own, until told to stop."""

    def __init__(self):
        self.stopping, self.answers = threading.Event(), {}
        self.threads = [threading.Thread(target=self.post_on) for _ in range(4)]
        for thread in self.threads:
            thread.start()

    def post_on(self):
        while not self.stopping.is_set():
            key = "kill-" + uuid.uuid4().hex
            try:
                answer = daemon.call("webhook", "post", {"url": url, "data": {"marker": key}}, key=key, credential="hook",
                                     timeout_ms=5000)
                self.answers[key] = answer.status
            except OSError:
                self.answers[key] = 0
                time.sleep(0.01)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def deliveries():
    count = collections.Counter()
    for name in os.listdir(received):
        if name.startswith("webhook-") and name.endswith(".json"):
            text = open(os.path.join(received, name), encoding="utf-8").read()
            at = text.find("kill-")
            if at >= 0:
                count[text[at:at + 37]] += 1
    return count


def all_closed():
    return all(attempt["outcomes"] for attempt in Attempts(daemon.home).all.values())


def check(answers):
    eventually("every accepted call has an outcome", all_closed, 60)
    delivered, attempts = deliveries(), Attempts(daemon.home)
    for (call, number), attempt in attempts.all.items():
        where = f"call {call} attempt {number} key {attempt['key']}"
        assert len(attempt["outcomes"]) == 1, f"{where}: {len(attempt['outcomes'])} outcomes"
        outcome, times = attempt["outcomes"][0], delivered[attempt["key"]]
        assert outcome["class"] != "ok" or times >= 1, f"{where}: ok, but nothing was delivered"
        if len(attempts.by_key(attempt["key"])) == 1:
            assert times == 0 or outcome["sent"] != "no", f"{where}: delivered, but recorded as not sent"
            assert times <= 1, f"{where}: delivered {times} times"
    for key, status in answers.items():
        if status == 200:
            assert delivered[key] >= 1, f"{key}: answered 200, not delivered"
    daemon.cli("audit", "verify")


def round_of(role):
    load = Load()
    try:
        for _ in range(MOMENTS):
            before = len(load.answers)
            eventually("calls get through", lambda: len(load.answers) > before + 3, 60)
            time.sleep(dice.random() * 0.05)  # the random moment itself, not a wait for something
            daemon.kill_role(role)
    finally:
        load.stop()
    good = sum(status == 200 for status in load.answers.values())
    assert good > 0, f"no call got through: {collections.Counter(load.answers.values())}"
    check(load.answers)
    print(f"  {role}: {MOMENTS} kills, {len(load.answers)} calls, {good} ok, seed {SEED}", flush=True)


if __name__ == "__main__":
    with Daemon(config="[Resolver]\nHost=hooks.demo.example 127.0.0.1\n") as daemon:
        received = os.path.join(daemon.home, "received")
        os.makedirs(received)
        ca = os.path.join(daemon.home, "ca")
        subprocess.run([f"{SOURCE}/tools/demo/make-ca", ca, "mail.demo.example", "hooks.demo.example"], check=True)
        with Peer(f"{SOURCE}/tools/demo/https_receiver.py", ca + "/server.pem", ca + "/server.key", received) as peer:
            url = f"https://hooks.demo.example:{peer.port}/hook"
            daemon.start()
            daemon.enable("webhook", "--egress", f"tls://hooks.demo.example:{peer.port}", "--ranges", "127.0.0.0/8",
                          "--ca", ca + "/ca.pem")
            daemon.credential("hook", "webhook", {"secret": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"})
            cases = []
            for role in ROLES:
                case = lambda role=role: round_of(role)  # noqa: E731
                case.__name__ = f"test_kill_{role}"
                cases.append(case)
            run(cases)
