# SPDX-License-Identifier: Apache-2.0
"""Load on a daemon whose callers keep what they were told, and the comparison of that with its log."""
import threading
import time

from second_verifier import Verifier

UNAVAILABLE = "urn:caisson:problem:audit-unavailable"


class Load:
    """Callers that call on."""

    def __init__(self, daemon, threads=3):
        self.daemon, self.stopping = daemon, threading.Event()
        self.threads = [threading.Thread(target=self.call_on) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def call_on(self):
        while not self.stopping.is_set():
            if self.daemon.greet().status == 503:
                time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *how):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def count(self, status):
        return sum(answer.status == status for answer in list(self.daemon.answers))


def accounted(home, vkey, answers):
    """Who was told 200 has an outcome "ok" in the log; who was told that it is unrecorded has one by now; who was told 503
    has none that ran. And every intent has its outcome."""
    found = Verifier(home, vkey).verify()
    assert not found.open_calls(), found.open_calls()
    ran = {which[0]: call["outcome"] for which, call in found.calls.items()}
    for answer in answers:
        if answer.status == 200:
            assert ran[answer.json["call_id"]]["class"] == "ok", answer
        elif answer.status == 500:
            assert answer.json["type"].endswith("executed-unrecorded") and ran[answer.json["call_id"]], answer
        else:
            assert answer.status == 503 and answer.json["type"] == UNAVAILABLE, answer
    told = {answer.json["call_id"] for answer in answers if answer.status in (200, 500)}
    untold = {call for call, outcome in ran.items() if outcome["class"] == "ok"} - told
    assert not untold, f"{len(untold)} calls ran that nobody was told of"
    return found
