#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A credential with an audience is of no use towards another host, whatever input, settings or grant say: that host
sees no connection at all. Beside each refusal stands the same attempt where it is allowed, so that it could be seen."""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attack import Sink, entries, lib  # noqa: E402

ONE, TWO = "one.example.com", "two.example.com"
daemon = one = two = None


def dial(host, port, connector="bad", **more):
    """Did it connect? And what the record of the call says."""
    answer = daemon.call(connector, "dial", {"host": host, "port": port, "say": "hello"}, **more)
    assert answer.status == 200, answer
    told = entries(daemon, kind="outcome", call=answer.json["call_id"])[0]
    return answer.json["answer"]["result"] >= 0, told, answer.json["answer"]["problem"]


def reached(sink, act):
    """How many connections came in by that."""
    before = sink.count()
    act()
    return sink.count() - before


def test_input():
    for host in (TWO, TWO.upper(), TWO + ".", "127.0.0.1"):
        for credential in ("narrow", "also-narrow"):
            before = two.count()
            connected, told, problem = dial(host, two.port, credential=credential)
            assert not connected and two.count() == before, f"{host} was reached with {credential}"
            assert told["sent"] == "no" and told["denied"] == 1 and told["bytes_up"] == 0, told
            assert "audience" in problem, problem
    for host, sink in ((ONE, one), (ONE.upper() + ".", one)):
        assert reached(sink, lambda: dial(host, sink.port, credential="narrow")) == 1, f"{host} was not reached"


def test_without_an_audience():
    for more in ({}, {"credential": "wide"}):
        for host, sink in ((ONE, one), (TWO, two), ("127.0.0.1", two)):
            assert reached(sink, lambda: dial(host, sink.port, **more)) == 1, f"{host} {more}"


def test_several_hosts():
    for host, sink in ((ONE, one), (TWO, two)):
        assert reached(sink, lambda: dial(host, sink.port, credential="both")) == 1, host


def test_leased_worker():
    """The worker that holds the credential lives on; its next call's gate is as narrow."""
    for _ in range(2):
        assert reached(one, lambda: dial(ONE, one.port, "leased", credential="narrow-lease")) == 1
        assert reached(two, lambda: dial(TWO, two.port, "leased", credential="narrow-lease")) == 0
    assert reached(two, lambda: dial(TWO, two.port, "leased")) == 1


def test_rotation_keeps_it():
    path = os.path.join(daemon.home, "new")
    with open(path, "w", encoding="utf-8") as out:
        out.write("another")
    daemon.cli("credential", "rotate", "narrow", f"canary=@{path}")
    assert reached(two, lambda: dial(TWO, two.port, credential="narrow")) == 0
    assert reached(one, lambda: dial(ONE, one.port, credential="narrow")) == 1


def post(host, sink, credential):
    return daemon.call("webhook", "post", {"url": f"http://{host}:{sink.port}/hook", "text": "x"}, credential=credential, timeout_ms=2000)


def test_webhook():
    """The connector's own input names the host."""
    assert reached(two, lambda: post(TWO, two, "hook")) == 0
    assert reached(one, lambda: post(ONE, one, "hook")) == 1
    assert reached(two, lambda: post(TWO, two, "hook-wide")) == 1


def send_sms(credential):
    return daemon.call("sms", "send", {"to": "+15005550006", "from": "+15005550001", "body": "x"}, credential=credential, timeout_ms=2000)


def test_settings():
    """An administrator's setting moves the service; the credential does not follow."""
    def move(place):
        daemon.enable("sms", "--set", f"base_url=https://{place}", "--egress", f"tls://{place}", "--ranges", "127.0.0.0/8")

    move(f"{ONE}:{one.port}")
    secrets = {"account_sid": "AC" + "0" * 31 + "1", "auth_token": "not-a-real-token"}
    daemon.credential("phone", "sms", secrets, "--audience", ONE)
    daemon.credential("phone-wide", "sms", secrets)
    assert reached(one, lambda: send_sms("phone")) == 1
    move(f"{TWO}:{two.port}")
    assert reached(two, lambda: send_sms("phone")) == 0, "the setting carried the credential to another host"
    assert reached(two, lambda: send_sms("phone-wide")) == 1


def test_recorded_for_good():
    """The audience that was given is what is shown; and a stored one cannot be widened beside the vault's back."""
    shown = json.loads(daemon.cli("--json", "credential", "show", "narrow").stdout)
    assert ONE in json.dumps(shown) and TWO not in json.dumps(shown), shown
    daemon.cli("audit", "verify")


if __name__ == "__main__":
    with lib.Daemon(config=f"[Resolver]\nHost={ONE} 127.0.0.1\nHost={TWO} 127.0.0.1\n") as daemon:
        one, two = Sink(), Sink()
        daemon.start()
        plain = ["--ranges", "127.0.0.0/8", "--egress", f"plain://{ONE}:{one.port}", "--egress", f"plain://{TWO}:{two.port}"]
        daemon.enable("bad", *plain, "--egress", f"plain://127.0.0.1:{two.port}", files=lib.BAD)
        daemon.enable("bad", *plain, "--as", "leased", "--isolation", "lease", files=lib.BAD)
        daemon.enable("webhook", "--set", "plain_http=true", "--set", "unsigned=true", *plain)
        daemon.credential("narrow", "bad", {"canary": "x"}, "--audience", ONE)
        daemon.credential("also-narrow", "bad", {"canary": "x"}, "--audience", ONE, "--audience", "three.example.com")
        daemon.credential("both", "bad", {"canary": "x"}, "--audience", ONE, "--audience", TWO)
        daemon.credential("wide", "bad", {"canary": "x"})
        daemon.credential("narrow-lease", "leased", {"canary": "x"}, "--audience", ONE)
        secret = {"secret": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"}
        daemon.credential("hook", "webhook", secret, "--audience", ONE)
        daemon.credential("hook-wide", "webhook", secret)
        only = sys.argv[1:]
        lib.run([case for name, case in list(globals().items())
                 if name.startswith("test_") and (not only or any(word in name for word in only))])
