#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The broker taken over: it connects a worker with whom it likes, reads what goes in clear, and lies about bytes. What
goes under verified TLS it sees as ciphertext, and a server of its own gets nothing; keys and credentials never come to it."""
import os
import random
import socket
import ssl
import struct
import subprocess
import sys
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attack import GateClosed, Records, Taken, in_background, lib, outcome, registry_number  # noqa: E402

TOKEN, PLAIN = "canary-" + uuid.uuid4().hex, "canary-" + uuid.uuid4().hex
ACCOUNT = "AC" + "0" * 32
DICE = random.Random(4713)
TEXT = {"to": "+15005550006", "from": "+15005550001", "body": "hello"}
DIAL, OK = 1, 0
daemon = broker = ca = receiver = None


def asked(channel):
    """The worker's next request for a connection: (its number, host, port); marks in between are read away."""
    while True:
        data = bytes.fromhex(broker.order("read", fd=channel, wait_ms=20000)["bytes"])
        assert data, "the worker asked for nothing"
        kind, number, port, length = struct.unpack_from("<IIII", data)
        if kind == DIAL:
            return number, data[16:16 + length].decode(), port


def connected(channel, number):
    """Gives the worker one end of a pair of the broker's own; the other end."""
    mine, theirs = broker.pair()
    answer = struct.pack("<II248s", number, OK, b"")
    assert broker.order("pass", fd=channel, bytes=answer.hex(), fds=[theirs])["errno"] == 0
    broker.close(theirs)
    return mine


def close_gate(up=0):
    """The ledger asks how it went; whatever is answered."""
    asked_, _, _, seq = broker.expect("gate-close", "ledger")
    broker.send("gate-closed", GateClosed(call=asked_.call, known=1, dials=1, bytes_up=up), line="ledger", seq=seq)
    return asked_.call


def heard(stream, wait_ms=200):
    got = bytes.fromhex(broker.order("read", fd=stream, wait_ms=wait_ms)["bytes"])
    daemon.caught(got)
    return got


def relay_to(stream, port):
    """Bytes both ways between the worker and a real server, all of them seen."""
    with socket.create_connection(("127.0.0.1", port)) as server:
        server.settimeout(0.05)
        quiet = 0
        while quiet < 8:
            up = heard(stream, 50)
            if up:
                server.sendall(up)
            try:
                down = server.recv(65536)
            except TimeoutError:
                down = b""
            if down:
                broker.write(stream, down)
            quiet = 0 if up or down else quiet + 1


def answer_tls(stream, certificate):
    """A TLS server of the attacker's own at the other end: what it could decrypt, and how the handshake ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{ca}/{certificate}.pem", f"{ca}/{certificate}.key")
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    server, read, failed = context.wrap_bio(inside, outside, server_side=True), b"", None
    for _ in range(40):
        try:
            server.do_handshake()
            read += server.read(65536)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            failed = error
        if outside.pending:
            broker.write(stream, outside.read())
        got = heard(stream)
        inside.write(got)
        if failed or (not got and read):
            break
        if server.version() and not got and broker.order("read", fd=stream, wait_ms=0).get("end"):
            break
    return read, failed


def test_clear_text_is_seen():
    """What it gains; and so the net catches what there is."""
    caller = in_background(lambda: daemon.call("bad", "dial", {"host": "anything.example", "port": 25, "say": PLAIN}, timeout_ms=10000))
    half, _, fds, _ = broker.expect("half", "runner")
    number, host, port = asked(fds[0])
    assert (host, port) == ("anything.example", 25)
    assert PLAIN.encode() in heard(connected(fds[0], number), 10000)
    call = close_gate(up=3)
    assert caller().status == 200 and bytes(call.id) == bytes(half.call.id)
    assert outcome(daemon, call)["bytes_up"] == 3, "its count is what is recorded"


def sms():
    return in_background(lambda: daemon.call("sms", "send", TEXT, credential="phone", timeout_ms=15000))


def test_a_server_of_its_own_gets_nothing():
    """Every certificate that the right authority did not make for that name; only the true server's key would do."""
    for certificate in ("self", "wrong", "expired", "server"):
        caller = sms()
        _, _, fds, _ = broker.expect("half", "runner")
        number, host, _ = asked(fds[0])
        assert host == "sms.demo.example"
        read, failed = answer_tls(connected(fds[0], number), certificate)
        if certificate == "server":
            assert b"Authorization: Basic" in read, f"the test's own server understands nothing: {failed}"
        else:
            assert not read, f"{certificate}: the worker spoke to it: {read[:200]}"
        call = close_gate()
        assert caller().status != 200 and outcome(daemon, call)["class"] != "ok"
    assert daemon.spilled() is None


def test_the_right_server_is_ciphertext_to_it():
    caller = sms()
    _, _, fds, _ = broker.expect("half", "runner")
    number, _, port = asked(fds[0])
    relay_to(connected(fds[0], number), port)
    close_gate(up=1000)
    told = caller()
    assert told.status == 200, told
    assert daemon.spilled() is None, "the token, or its base64, went by in clear"
    assert ACCOUNT.encode() not in daemon.received, "the login went by in clear"


def test_no_key_and_no_credential_on_its_lines():
    """Whatever it asks, in whoever's name: nobody answers with a secret, nobody dies, no record changes."""
    before, alive = Records(daemon), {name: daemon.role(name) for name in ("front", "desk", "ledger", "vault", "runner")}
    for line in ("ledger", "runner"):
        broker.flood(line, DICE)
    told = daemon.call("bad", "count", {})
    close_gate()
    assert told.status == 200, told
    assert {name: daemon.role(name) for name in alive} == alive, "a role died of its frames"
    before.stand()
    daemon.cli("audit", "verify")
    assert daemon.spilled() is None


if __name__ == "__main__":
    with Taken("[Resolver]\nHost=sms.demo.example 127.0.0.1\n", [TOKEN]) as daemon:
        ca = os.path.join(daemon.home, "ca")
        subprocess.run([f"{lib.PEERS}/make_ca.sh", ca, "sms.demo.example"], check=True)
        with open(ca + "/token", "w", encoding="utf-8") as out:
            out.write(TOKEN)
        with lib.Peer(f"{lib.PEERS}/form_receiver.py", "--token-file", ca + "/token", "--account", ACCOUNT, "--folder", daemon.home + "/received",
                      "--cert", ca + "/server.pem", "--key", ca + "/server.key") as receiver:
            daemon.start()
            at = f"sms.demo.example:{receiver.port}"
            daemon.enable("sms", "--set", f"base_url=https://{at}", "--egress", f"tls://{at}", "--ranges", "127.0.0.0/8", "--ca", ca + "/ca.pem")
            daemon.enable("bad", "--egress", "plain://anything.example:25", files=lib.BAD)
            daemon.credential("phone", "sms", {"account_sid": ACCOUNT, "auth_token": TOKEN})
            told = daemon.call("sms", "send", TEXT, credential="phone")
            assert told.status == 200, told
            broker = daemon.take_over("broker")
            assert registry_number(daemon)
            only = sys.argv[1:]
            lib.run([case for name, case in list(globals().items())
                     if name.startswith("test_") and (not only or any(word in name for word in only))])
