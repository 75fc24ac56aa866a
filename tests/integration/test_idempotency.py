#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One key, one delivery: from fifty clients at once, and across kill -9 of the daemon."""
import concurrent.futures
import json
import os
import subprocess
import sys
import uuid

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import SOURCE, Daemon, Peer, eventually, run  # noqa: E402

daemon = peer = received = url = None


def deliveries(marker):
    return sum(1 for name in os.listdir(received) if name.startswith("webhook-") and name.endswith(".json")
               and marker in open(os.path.join(received, name), encoding="utf-8").read())


def post(marker, key, **more):
    return daemon.call("webhook", "post", {"url": url, "data": {"marker": marker}}, key=key, credential="hook", **more)


def test_fifty_clients_one_delivery():
    marker = uuid.uuid4().hex
    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: post(marker, "fifty-" + marker), range(50)))
    assert deliveries(marker) == 1, f"{deliveries(marker)} deliveries"
    assert {answer.status for answer in answers} <= {200, 409, 503, 429}, [a for a in answers if a.status not in (200, 409)][:1]
    good = [answer for answer in answers if answer.status == 200]
    assert good and len({answer.json["call_id"] for answer in good}) == 1
    assert sum(not answer.json["replayed"] for answer in good) <= 1
    again = post(marker, "fifty-" + marker)
    assert again.status == 200 and again.json["replayed"] and again.json["answer"] == good[0].json["answer"], again
    assert deliveries(marker) == 1


def test_same_key_other_payload():
    key = uuid.uuid4().hex
    assert post("one", key).status == 200
    answer = post("two", key)
    assert answer.status == 422 and "key-reused" in answer.json["type"], answer


def test_not_sent_releases_the_key():
    key = uuid.uuid4().hex
    first = daemon.call("webhook", "post", {"url": "https://refused.example:1/x", "data": {}}, key=key, credential="hook")
    assert first.status != 200, first
    second = daemon.call("webhook", "post", {"url": "https://refused.example:1/x", "data": {}}, key=key, credential="hook")
    assert second.json["instance"] == first.json["instance"], "another call, not another attempt"
    shown = daemon.http("GET", "/v1/calls/" + second.json["instance"].removeprefix("urn:uuid:")).json
    assert shown["attempt"] == 2 or len(shown.get("attempts", [])) == 2, shown


def test_across_kill_of_the_daemon():
    for _ in range(3):
        marker = uuid.uuid4().hex
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            waiting = [pool.submit(post, marker, "kill-" + marker) for _ in range(8)]
            eventually("a call is under way", lambda: deliveries(marker) or any(f.done() for f in waiting))
            daemon.kill()
            for one in waiting:
                one.exception()
        daemon.start()
        answer = post(marker, "kill-" + marker)
        shown = deliveries(marker)
        uncertain = answer.status == 409 and "outcome-uncertain" in answer.json["type"]
        assert shown == 1 or (shown == 0 and uncertain), f"{shown} deliveries under one key; the last answer: {answer}"
    daemon.cli("audit", "verify")


if __name__ == "__main__":
    with Daemon(config="[Resolver]\nHost=hooks.demo.example 127.0.0.1\nHost=refused.example 127.0.0.1\n") as daemon:
        received = os.path.join(daemon.home, "received")
        os.makedirs(received)
        ca = os.path.join(daemon.home, "ca")
        subprocess.run([f"{SOURCE}/tools/demo/make-ca", ca, "mail.demo.example", "hooks.demo.example"], check=True)
        with Peer(f"{SOURCE}/tools/demo/https_receiver.py", ca + "/server.pem", ca + "/server.key", received) as peer:
            url = f"https://hooks.demo.example:{peer.port}/hook"
            daemon.start()
            daemon.enable("webhook", "--egress", f"tls://hooks.demo.example:{peer.port}", "--egress", "tls://refused.example:1",
                          "--ranges", "127.0.0.0/8", "--ca", ca + "/ca.pem")
            daemon.credential("hook", "webhook", {"secret": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"})
            only = sys.argv[1:]
            run([case for name, case in list(globals().items())
                 if name.startswith("test_") and (not only or any(word in name for word in only))])
