#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong beyond this machine: names, addresses, connections, TLS, SMTP and HTTP. Each failure gets its own
answer, the log says the same as the answer, and the calls of others go on."""
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import uuid

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import PEERS, Daemon, Peer, run  # noqa: E402
from log import Attempts  # noqa: E402

RETRYABLE_UNSENT = (503, "retryable", "retryable", "no", "remote")
RETRYABLE_MAYBE = (503, "retryable", "retryable", "maybe", "remote")
REJECTED_UNSENT = (502, "rejected", "rejected", "no", "remote")
REJECTED_SENT = (502, "rejected", "rejected", "yes", "remote")
DENIED = (502, "rejected", "rejected", "no", "egress_denied")
LOST = (502, "lost", "lost", "maybe", "remote")
MAIL = {"from": "sender@demo.example", "to": ["to@demo.example"], "subject": "x", "text": "x"}
HOST = "hooks.demo.example"
daemon = ca = https = dns = stack = None


class Names(threading.Thread):
    """A name server: NXDOMAIN, SERVFAIL, silence, or an address, as its table says."""

    NXDOMAIN, SERVFAIL, SILENCE = 3, 2, None

    def __init__(self, table):
        super().__init__(daemon=True)
        self.table, self.socket = table, socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                question, sender = self.socket.recvfrom(4096)
                answer = self.answer(question)
                if answer:
                    self.socket.sendto(answer, sender)

    def answer(self, question):
        at, labels = 12, []
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode().lower())
            at += 1 + question[at]
        kind, asked = question[at + 2], question[12:at + 5]
        entry = self.table.get(".".join(labels), self.NXDOMAIN)
        if entry is self.SILENCE:
            return None
        code = entry if isinstance(entry, int) else 0
        data = socket.inet_aton(entry) if isinstance(entry, str) and kind == 1 else b""
        head = question[:2] + bytes([0x81, 0x80 | code]) + b"\0\1" + (b"\0\1" if data else b"\0\0") + b"\0\0\0\0"
        return head + asked + (b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + data if data else b"")


def hook(host, port, path="/", **more):
    return daemon.call(more.pop("connector", "webhook"), "post", {"url": f"https://{host}:{port}{path}", "data": more.pop("data", {})}, credential=more.pop("credential", "hook"), **more)


def honest():
    """Somebody else's calls."""
    assert daemon.call("hello", "greet", {"name": "Ada"}).status == 200
    assert hook(HOST, https.port).status == 200


def failed(answer, expected, *words):
    """The answer is as expected, the record says the same, and nobody else noticed."""
    got = answer.json
    shown = (answer.status, got["type"].removeprefix("urn:caisson:problem:"), got.get("class"), got.get("sent"), got.get("reason", "none"))
    assert shown == expected, f"{shown}, expected {expected}: {got.get('detail')}"
    for word in words:
        assert word in got["detail"], f"{word!r} is not in {got['detail']!r}"
    outcomes = Attempts(daemon.home).all[got["call_id"], got["attempt"]]["outcomes"]
    assert [(one["class"], one["sent"], one["reason"]) for one in outcomes] == [expected[2:]], outcomes
    honest()
    return answer


def start(*command):
    """A peer for the rest of the run."""
    return stack.enter_context(Peer(*command)).port


def http_peer(cert="server"):
    return start(f"{PEERS}/https_peer.py", "--cert", f"{ca}/{cert}.pem", "--key", f"{ca}/{cert}.key")


def proxy(*options, to=None):
    return start(f"{PEERS}/fault_proxy.py", "--to", f"127.0.0.1:{to or https.port}", *options)


def allow(connector, *rules, scheme="tls", plugin="webhook", options=()):
    """Enables a connector that may reach these HOST:PORT."""
    words = [word for rule in rules for word in ("--egress", f"{scheme}://{rule}")]
    daemon.enable(plugin, "--as", connector, *words, "--ranges", "127.0.0.0/8", "--ca", ca + "/ca.pem", *options)
    secret = {"webhook": {"secret": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"}, "email": {"username": "demo", "password": "mail secret"}}[plugin]
    daemon.credential("hook" if connector == "webhook" else connector, connector, secret)


def through(name, port, path="/", host=HOST, options=(), **more):
    """A webhook by a connector of its own to that port."""
    allow(name, f"{host}:{port}", options=options)
    return hook(host, port, path, connector=name, credential=name, **more)


# ── before there is a connection ──────────────────────────────────────────────────────────────────────


def test_host_not_allowed():
    failed(hook("elsewhere.demo.example", https.port), DENIED, "elsewhere.demo.example", "no egress rule")
    failed(hook(HOST, https.port + 1 if https.port < 65535 else 1), DENIED)
    failed(hook("127.0.0.1", https.port), DENIED)


def test_outside_the_audience():
    daemon.credential("narrow", "webhook", {"secret": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"}, "--audience", "other.demo.example")
    failed(hook(HOST, https.port, credential="narrow"), DENIED, "audience")


def test_private_address():
    failed(through("private", 443, host="private.demo.example"), DENIED, "private.demo.example")
    failed(through("metadata", 443, host="metadata.demo.example"), DENIED)


def test_name_does_not_exist():
    failed(through("nx", 443, host="nx.demo.example"), RETRYABLE_UNSENT, "nx.demo.example")


def test_name_server_fails():
    failed(through("servfail", 443, host="servfail.demo.example"), RETRYABLE_UNSENT, "servfail.demo.example")


def test_name_server_is_silent():
    began = time.monotonic()
    failed(through("silent", 443, host="silent.demo.example", timeout_ms=2000), (504, "timeout", "timeout", "no", "deadline"))
    assert time.monotonic() - began < 20


def test_connection_refused():
    with socket.socket() as taken:  # bound and never listening: nobody else can have the port meanwhile
        taken.bind(("127.0.0.1", 0))
        failed(through("refused", taken.getsockname()[1]), RETRYABLE_UNSENT, "refused")


# ── TLS ───────────────────────────────────────────────────────────────────────────────────────────────


def test_certificate_for_another_name():
    failed(through("wrong", http_peer("wrong")), REJECTED_UNSENT, "certificate")


def test_certificate_of_nobody():
    failed(through("self", http_peer("self")), REJECTED_UNSENT, "certificate")


def test_certificate_out_of_date():
    failed(through("expired", http_peer("expired")), REJECTED_UNSENT, "certificate")


def test_certificate_of_another_authority():
    port = http_peer()
    daemon.enable("webhook", "--as", "otherca", "--egress", f"tls://{HOST}:{port}", "--ranges", "127.0.0.0/8", "--ca", ca + "/other-ca.pem")
    daemon.credential("otherca", "otherca", {"secret": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"})
    failed(hook(HOST, port, connector="otherca", credential="otherca"), REJECTED_UNSENT, "certificate")


def test_no_tls_there():
    failed(through("notls", start(f"{PEERS}/https_peer.py")), RETRYABLE_UNSENT)


def test_cut_during_the_handshake():
    failed(through("handshake", proxy("--cut-down", "100")), RETRYABLE_UNSENT)
    failed(through("reset", proxy("--reset", "--cut-up", "10")), RETRYABLE_UNSENT)
    failed(through("never", proxy("--refuse-after", "0")), RETRYABLE_UNSENT)


# ── HTTP ──────────────────────────────────────────────────────────────────────────────────────────────


def test_status_for_good():
    for status in (400, 401, 404, 410, 422, 501):
        answer = failed(hook(HOST, https.port, f"/status/{status}?body=because"), REJECTED_SENT, str(status))
        assert answer.json["answer"]["status"] == status and answer.json["answer"]["body"] == "because", answer
        assert answer.json["answer"].get("gone", False) == (status == 410), answer


def test_status_for_now():
    for status in (408, 429, 500, 502, 503, 504):
        answer = failed(hook(HOST, https.port, f"/status/{status}"), RETRYABLE_MAYBE, str(status))
        assert answer.json["answer"]["status"] == status and "retry-after" in answer.headers, answer


def test_retry_after():
    for status in (429, 503):
        answer = failed(hook(HOST, https.port, f"/status/{status}?retry-after=17"), RETRYABLE_MAYBE)
        assert answer.headers["retry-after"] == "17" and answer.json["retry_after"] == 17, answer
    date = time.strftime("%a,%%20%d%%20%b%%20%Y%%20%H:%M:%S%%20GMT", time.gmtime(time.time() + 3600))
    answer = failed(hook(HOST, https.port, f"/status/503?retry-after={date}"), RETRYABLE_MAYBE)
    assert 3000 < int(answer.headers["retry-after"]) <= 3600, answer
    for wrong in ("soon", "-5", "9" * 30):
        answer = failed(hook(HOST, https.port, f"/status/503?retry-after={wrong}"), RETRYABLE_MAYBE)
        assert 0 <= int(answer.headers["retry-after"]) <= 86400, answer


def test_redirect():
    for status in (301, 302, 303, 307, 308):
        answer = failed(hook(HOST, https.port, f"/redirect/{status}?to=https://{HOST}:{https.port}/"), REJECTED_SENT, "redirect")
        assert answer.json["answer"]["status"] == status


def test_no_answer_at_all():
    failed(hook(HOST, https.port, "/cut"), LOST)
    failed(hook(HOST, https.port, "/cut-body?bytes=7"), LOST)
    failed(hook(HOST, https.port, "/hang", timeout_ms=4000), LOST)


def test_slow_drip():
    began = time.monotonic()
    failed(hook(HOST, https.port, "/drip?bytes=1000&every=1", timeout_ms=4000), LOST)
    failed(through("drip", proxy("--drip", "50"), timeout_ms=4000), RETRYABLE_UNSENT)
    assert time.monotonic() - began < 40, "far beyond the deadlines"


def test_black_hole():
    began = time.monotonic()
    failed(through("hole", proxy("--black-hole"), timeout_ms=4000), RETRYABLE_UNSENT)
    assert time.monotonic() - began < 20, "far beyond the deadline"


def test_answer_too_large():
    answer = hook(HOST, https.port, "/big?bytes=300000")
    assert answer.status == 200 and answer.json["answer"]["truncated"] and len(answer.json["answer"]["body"]) == 16384, answer
    honest()


def test_request_too_large():
    answer = through("smallup", https.port, data="x" * 3000000, options=("--grant", "UploadMax=1M"))
    failed(answer, (502, "lost", "lost", "maybe", "resource_limit"))


# ── SMTP ──────────────────────────────────────────────────────────────────────────────────────────────


def mail_peer(*options):
    return start(f"{PEERS}/smtp_peer.py", "--cert", f"{ca}/server.pem", "--key", f"{ca}/server.key", "--password-file", f"{ca}/password", *options)


def mail(name, port=None, cert=None, **change):
    if port:
        allow(name, f"mail.demo.example:{port}", scheme="starttls", plugin="email", options=("--set", "host=mail.demo.example", "--set", f"port={port}"))
    return daemon.call("mail" if not port else name, "send", {**MAIL, **change}, credential="mail" if not port else name)


def test_smtp_reply_at_each_step():
    wrong = []
    for step in ("greeting", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "message"):
        for code in (421 if step == "greeting" else 451, 554):
            after = step in ("data", "message")
            expected = (RETRYABLE_MAYBE if after else RETRYABLE_UNSENT) if code < 500 else REJECTED_SENT if after else REJECTED_UNSENT
            try:
                answer = failed(mail(f"m-{step}-{code}", mail_peer("--reply", f"{step}={code}:because")), expected, str(code), "because")
                assert answer.json["answer"]["code"] == code, answer
            except AssertionError as error:
                wrong.append(f"{step} {code}: {error}")
    assert not wrong, "\n".join(wrong)


def test_smtp_cut_at_each_step():
    wrong = []
    for step in ("greeting", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "message"):
        try:
            failed(mail(f"c-{step}", mail_peer("--cut", step)), LOST if step in ("data", "message") else RETRYABLE_UNSENT)
        except AssertionError as error:
            wrong.append(f"{step}: {error}")
    assert not wrong, "\n".join(wrong)


def test_smtp_some_recipients():
    answer = mail("mail", to=["good@demo.example", "reply.550.rcpt@demo.example"])
    assert answer.status == 200, answer
    told = {one["address"]: one["accepted"] for one in answer.json["answer"]["recipients"]}
    assert told == {"good@demo.example": True, "reply.550.rcpt@demo.example": False}, answer
    failed(mail("mail", to=["reply.550.rcpt@demo.example", "reply.451.rcpt@x.example"]), RETRYABLE_UNSENT)


def test_smtp_wrong_password():
    daemon.credential("badmail", "mail", {"username": "demo", "password": "wrong"})
    failed(daemon.call("mail", "send", MAIL, credential="badmail"), REJECTED_UNSENT, "535")


def test_smtp_without_starttls():
    failed(mail("bare", mail_peer("--no-starttls")), REJECTED_UNSENT)


def test_smtp_certificates():
    for cert in ("wrong", "self", "expired"):
        port = start(f"{PEERS}/smtp_peer.py", "--cert", f"{ca}/{cert}.pem", "--key", f"{ca}/{cert}.key", "--password-file", f"{ca}/password")
        failed(mail("mail-" + cert, port), REJECTED_UNSENT, "certificate")


def test_smtp_black_hole():
    allow("mailhole", f"mail.demo.example:{(port := proxy('--black-hole'))}", scheme="starttls", plugin="email",
          options=("--set", "host=mail.demo.example", "--set", f"port={port}"))
    failed(daemon.call("mailhole", "send", MAIL, credential="mailhole", timeout_ms=4000), RETRYABLE_UNSENT)


def test_key_after_each_kind():
    """What was not sent may be sent again under its key; what may have been sent may not."""
    key = uuid.uuid4().hex
    first, second = (hook("elsewhere.demo.example", https.port, key=key) for _ in range(2))
    assert (first.json["attempt"], second.json["attempt"]) == (1, 2) and first.json["call_id"] == second.json["call_id"], second
    key = uuid.uuid4().hex
    hook(HOST, https.port, "/cut", key=key)
    again = hook(HOST, https.port, "/cut", key=key)
    assert again.status == 409 and "outcome-uncertain" in again.json["type"], again


def main():
    global daemon, ca, https, dns, stack
    dns = Names({HOST: "127.0.0.1", "mail.demo.example": "127.0.0.1", "private.demo.example": "10.1.2.3", "metadata.demo.example": "169.254.169.254",
                 "servfail.demo.example": Names.SERVFAIL, "silent.demo.example": Names.SILENCE})
    with Daemon(config=f"[Resolver]\nNameservers=127.0.0.1:{dns.port}\n") as daemon, contextlib.ExitStack() as stack:
        ca = os.path.join(daemon.home, "ca")
        subprocess.run([f"{PEERS}/make_ca.sh", ca, HOST, "mail.demo.example"], check=True)
        with open(ca + "/password", "w", encoding="utf-8") as out:
            out.write("mail secret")
        https = stack.enter_context(Peer(f"{PEERS}/https_peer.py", "--cert", ca + "/server.pem", "--key", ca + "/server.key"))
        daemon.start()
        daemon.enable("hello")
        allow("webhook", f"{HOST}:{https.port}")
        port = mail_peer()
        allow("mail", f"mail.demo.example:{port}", scheme="starttls", plugin="email", options=("--set", "host=mail.demo.example", "--set", f"port={port}"))
        only = sys.argv[1:]
        run([case for name, case in list(globals().items()) if name.startswith("test_") and (not only or any(word in name for word in only))])


if __name__ == "__main__":
    main()
