#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The test peers do what they promise, judged by Python's own clients: a peer that is lax would prove nothing."""
import base64
import contextlib
import http.client
import json
import os
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
ca = None
ACCOUNT = "AC" + "0" * 31 + "1"


@contextlib.contextmanager
def peer(name, *options):
    """A running peer: its port. Ended by closing its standard input; it must then be gone."""
    process = subprocess.Popen([os.path.join(HERE, name), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        word, port = process.stdout.readline().split()
        assert word == "ready"
        yield int(port)
    finally:
        process.stdin.close()
        assert process.wait(20) == 0
        process.stdout.close()


def tls(port, name="mail.demo.example"):
    context = ssl.create_default_context(cafile=f"{ca}/ca.pem")
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 20), server_hostname=name)


def events(folder):
    with open(f"{folder}/events.jsonl", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


# ── mail ──────────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def mail_peer(*options):
    with tempfile.TemporaryDirectory() as folder:
        with peer("smtp_peer.py", "--cert", f"{ca}/server.pem", "--key", f"{ca}/server.key", "--password-file",
                  f"{ca}/password", "--folder", folder, *options) as port:
            yield port, folder


def mail_client(port, login=True):
    client = smtplib.SMTP("127.0.0.1", port, timeout=20)
    client._host = "mail.demo.example"  # what the certificate must show
    client.starttls(context=ssl.create_default_context(cafile=f"{ca}/ca.pem"))
    if login:
        client.login("demo", "mail secret")
    return client


def refused(code, run, *args):
    try:
        run(*args)
    except smtplib.SMTPRecipientsRefused as error:
        assert [reply[0] for reply in error.recipients.values()] == [code], error
    except smtplib.SMTPResponseException as error:
        assert error.smtp_code == code, error
    else:
        raise AssertionError(f"not refused with {code}")


def gone(run, *args):
    try:
        run(*args)
    except (smtplib.SMTPServerDisconnected, ConnectionError):
        return
    raise AssertionError("the connection lives on")


def test_mail_is_kept_as_it_came():
    body = "Subject: x\r\n\r\nGr\u00fc\u00dfe\r\n..dot\r\n".encode()
    with mail_peer() as (port, folder):
        client = mail_client(port)
        client.sendmail("a@x.example", ["b@x.example", "c@x.example"], body)
        client.quit()
        with open(f"{folder}/mail-1.eml", "rb") as kept:
            got = kept.read()
            assert got == body, got
        mail = [event for event in events(folder) if event["event"] == "mail"][0]
        assert mail["tls"] and mail["user"] == "demo" and mail["to"] == ["b@x.example", "c@x.example"] and mail["from"] == "a@x.example"


def test_mail_demands_tls_and_login():
    with mail_peer() as (port, folder):
        client = smtplib.SMTP("127.0.0.1", port, timeout=20)
        client.ehlo()
        assert client.has_extn("starttls") and not client.has_extn("auth")
        assert client.docmd("MAIL", "FROM:<a@x.example>")[0] == 530
        assert client.docmd("AUTH", "PLAIN AGRlbW8AeA==")[0] >= 500, "AUTH in clear"
        client.close()
        client = mail_client(port, login=False)
        client.ehlo()
        assert client.docmd("MAIL", "FROM:<a@x.example>")[0] == 530
        refused(535, client.login, "demo", "wrong")
        assert not any(event["event"] == "mail" for event in events(folder))


def test_mail_fails_by_address():
    with mail_peer() as (port, folder):
        for sender, recipient, code in (("reply.451.mail@x.example", "b@x.example", 451), ("a@x.example", "reply.550.rcpt@x.example", 550),
                                        ("a@x.example", "reply.452.rcpt@x.example", 452), ("a@x.example", "reply.451.data@x.example", 451),
                                        ("a@x.example", "reply.554.message@x.example", 554)):
            refused(code, mail_client(port).sendmail, sender, [recipient], "Subject: x\n\nx")
        gone(mail_client(port).sendmail, "a@x.example", ["cut.data@x.example"], "Subject: x\n\nx")
        assert not os.path.exists(f"{folder}/mail-1.eml")
        gone(mail_client(port).sendmail, "a@x.example", ["cut.message@x.example"], "Subject: x\n\nx")
        assert os.path.exists(f"{folder}/mail-1.eml") and events(folder)[-1] == {"event": "cut", "step": "message"}


def test_mail_fails_by_option():
    for step, code in (("greeting", 421), ("ehlo", 502), ("starttls", 454), ("auth", 454), ("mail", 452), ("data", 554)):
        with mail_peer("--reply", f"{step}={code}") as (port, folder):
            if step == "greeting":
                refused(code, smtplib.SMTP, "127.0.0.1", port)
                continue
            client = smtplib.SMTP("127.0.0.1", port, timeout=20)
            client._host = "mail.demo.example"
            if step == "ehlo":
                assert client.ehlo()[0] == code
                continue
            client.ehlo()
            if step == "starttls":
                refused(code, client.starttls)
                continue
            client.starttls(context=ssl.create_default_context(cafile=f"{ca}/ca.pem"))
            if step == "auth":
                refused(code, client.login, "demo", "mail secret")
                continue
            client.login("demo", "mail secret")
            refused(code, client.sendmail, "a@x.example", ["b@x.example"], "Subject: x\n\nx")
    with mail_peer("--cut", "mail") as (port, folder):
        gone(mail_client(port).sendmail, "a@x.example", ["b@x.example"], "Subject: x\n\nx")


def test_mail_over_implicit_tls_and_without_tls():
    with mail_peer("--implicit-tls") as (port, folder):
        client = smtplib.SMTP_SSL("127.0.0.1", port, timeout=20, context=ssl._create_unverified_context())
        client.login("demo", "mail secret")
        client.sendmail("a@x.example", ["b@x.example"], "Subject: x\n\nx")
        client.quit()
        assert os.path.exists(f"{folder}/mail-1.eml")
    with mail_peer("--no-starttls") as (port, folder):
        client = smtplib.SMTP("127.0.0.1", port, timeout=20)
        client.ehlo()
        assert not client.has_extn("starttls")


# ── HTTPS ─────────────────────────────────────────────────────────────────────────────────────────────────────


def https(port, method, path, body=None, headers=None):
    connection = http.client.HTTPConnection("hooks.demo.example", timeout=20)
    connection.sock = tls(port, "hooks.demo.example")
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


@contextlib.contextmanager
def https_peer(*options, cert="server"):
    with tempfile.TemporaryDirectory() as folder:
        with peer("https_peer.py", "--cert", f"{ca}/{cert}.pem", "--key", f"{ca}/{cert}.key", "--folder", folder, *options) as port:
            yield port, folder


def test_request_is_kept():
    with https_peer() as (port, folder):
        assert https(port, "PUT", "/any?x=1", b"\x00\xff", {"X-Own": "yes"})[0] == 200
        with open(f"{folder}/request-1.json", encoding="utf-8") as text:
            kept = json.load(text)
        assert kept["method"] == "PUT" and kept["path"] == "/any" and kept["query"] == "x=1"
        assert base64.b64decode(kept["body"]) == b"\x00\xff" and "text" not in kept and ["X-Own", "yes"] in kept["headers"]


def test_answers_by_path():
    with https_peer() as (port, folder):
        status, headers, body = https(port, "POST", "/status/429?retry-after=7&body=slow", b"{}")
        assert (status, headers["retry-after"], body) == (429, "7", b"slow")
        status, headers, _ = https(port, "GET", "/redirect/302?to=https://127.0.0.1/")
        assert (status, headers["location"]) == (302, "https://127.0.0.1/")
        assert https(port, "GET", "/drip?bytes=3&every=0.01")[2] == b"..."
        assert len(https(port, "GET", "/big?bytes=300000")[2]) == 300000
        for path in ("/cut", "/cut-body?bytes=5"):
            try:
                https(port, "POST", path, b"x")
            except (http.client.HTTPException, OSError):
                continue
            raise AssertionError(f"{path}: a whole answer came")
        assert len(events(folder)) == 6


def test_answers_by_script():
    script = [{"status": 503, "headers": {"Retry-After": "2"}}, {"act": "cut"}, {"status": 201, "body": "done"}]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as text:
        json.dump(script, text)
        text.flush()
        with https_peer("--script", text.name) as (port, folder):
            assert https(port, "POST", "/hook", b"1")[0] == 503
            try:
                https(port, "POST", "/hook", b"2")
                raise AssertionError("answered")
            except (http.client.HTTPException, OSError):
                pass
            assert https(port, "POST", "/hook", b"3")[::2] == (201, b"done")
            assert https(port, "POST", "/hook", b"4")[0] == 200


def test_certificates():
    for cert, reason in (("wrong", "Hostname mismatch"), ("expired", "expired"), ("self", "self-signed")):
        with https_peer(cert=cert) as (port, folder):
            try:
                https(port, "GET", "/")
            except ssl.SSLCertVerificationError as error:
                assert reason in str(error), error
            else:
                raise AssertionError(f"{cert} is believed")


# ── in front of others ────────────────────────────────────────────────────────────────────────────────────────


def test_tls_front():
    with tempfile.TemporaryDirectory() as folder, peer("https_peer.py", "--folder", folder) as plain, \
            peer("tls_front.py", "--to", f"127.0.0.1:{plain}", "--cert", f"{ca}/server.pem", "--key", f"{ca}/server.key") as port:
        assert https(port, "POST", "/status/418", b"x" * 100000)[0] == 418
        with open(f"{folder}/request-1.json", encoding="utf-8") as text:
            assert len(json.load(text)["text"]) == 100000


def receive(port, text=b""):
    got = b""
    with socket.create_connection(("127.0.0.1", port), 20) as stream:
        stream.sendall(text)
        with contextlib.suppress(ConnectionResetError):
            while block := stream.recv(65536):
                got += block
    return got


def test_fault_proxy():
    request = b"GET /big?bytes=5000 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with peer("https_peer.py") as plain:
        to = f"127.0.0.1:{plain}"
        with peer("fault_proxy.py", "--to", to, "--delay", "0.01") as port:
            assert len(receive(port, request)) > 5000
        with peer("fault_proxy.py", "--to", to, "--cut-down", "100") as port:
            assert len(receive(port, request)) == 100
        with peer("fault_proxy.py", "--to", to, "--cut-up", "10") as port:
            assert receive(port, request) == b""
        with peer("fault_proxy.py", "--to", to, "--drip", "20000") as port:
            assert len(receive(port, request)) > 5000
        with peer("fault_proxy.py", "--to", to, "--refuse-after", "1") as port:
            assert receive(port, request) and receive(port, request) == b""
        with peer("fault_proxy.py", "--to", to, "--black-hole") as port:
            with socket.create_connection(("127.0.0.1", port), 20) as stream:
                stream.sendall(request)
                stream.settimeout(0.3)
                try:
                    assert not stream.recv(1), "the black hole answers"
                except TimeoutError:
                    pass
        with peer("fault_proxy.py", "--to", to, "--reset", "--cut-down", "0") as port:
            with socket.create_connection(("127.0.0.1", port), 20) as stream:
                stream.sendall(request)
                try:
                    assert stream.recv(1) and False, "not reset"
                except ConnectionResetError:
                    pass


# ── text messages ─────────────────────────────────────────────────────────────────────────────────────────────


def post_form(port, form, headers=None, account=ACCOUNT, password="sms secret", path=None):
    body = form if isinstance(form, bytes) else urllib.parse.urlencode(form, doseq=True).encode()
    login = base64.b64encode(f"{account}:{password}".encode()).decode()
    sent = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Basic " + login, **(headers or {})}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", path or f"/2010-04-01/Accounts/{account}/Messages.json", body, sent)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_form_receiver():
    good = {"To": "+4915112345678", "From": "+15005550006", "Body": "h\u00e9llo"}
    with tempfile.TemporaryDirectory() as folder, peer("form_receiver.py", "--token-file", f"{ca}/token", "--folder", folder) as port:
        status, answer = post_form(port, good)
        assert status == 201 and answer["sid"].startswith("SM") and answer["body"] == "h\u00e9llo" and answer["status"] == "queued"
        status, answer = post_form(port, {"To": good["To"], "MessagingServiceSid": "MG" + "a" * 32, "MediaUrl": ["https://x.example/1", "https://x.example/2"]})
        assert status == 201 and answer["num_media"] == "2" and answer["status"] == "accepted"
        for change, code in (({"To": "banana"}, 21211), ({"To": "+0123"}, 21211), ({"To": None}, 21604), ({"From": None}, 21603),
                             ({"MessagingServiceSid": "MG" + "a" * 32}, 21603), ({"Body": None}, 21602), ({"Body": "x" * 1601}, 21617),
                             ({"From": "<script>"}, 21212), ({"Colour": "red"}, 21600), ({"To": ["+4915112345678", "+4915112345679"]}, 21600),
                             ({"StatusCallback": "ftp://x"}, 21609), ({"To": "+15005550009"}, 20429)):
            form = {name: value for name, value in {**good, **change}.items() if value is not None}
            status, answer = post_form(port, form)
            assert (status, answer["code"]) == ({20429: 429}.get(code, 400), code), (change, status, answer)
        assert post_form(port, good, password="wrong")[0] == 401
        assert post_form(port, good, {"Authorization": "Bearer x"})[0] == 401
        assert post_form(port, good, path="/2010-04-01/Accounts/AC9/Messages.json")[0] == 404
        assert post_form(port, good, {"Content-Type": "application/json"})[0] == 415
        assert post_form(port, b"To=%ff&From=x&Body=y")[0] == 400
        assert sum(event["event"] == "message" for event in events(folder)) == 2


def run():
    global ca
    bad = 0
    with tempfile.TemporaryDirectory() as ca:
        subprocess.run([f"{HERE}/make_ca.sh", ca, "mail.demo.example", "hooks.demo.example"], check=True)
        for name, text in (("password", "mail secret\n"), ("token", "sms secret")):
            with open(f"{ca}/{name}", "w", encoding="utf-8") as out:
                out.write(text)
        for case in [value for name, value in globals().items() if name.startswith("test_")]:
            try:
                case()
                print(f"PASS {case.__name__.removeprefix('test_')}", flush=True)
            except Exception as error:  # noqa: BLE001 - a test reports whatever went wrong
                bad += 1
                print(f"FAIL {case.__name__.removeprefix('test_')}: {type(error).__name__}: {error}", flush=True)
                if os.environ.get("CAISSON_TRACE"):
                    raise
    return 1 if bad else 0


sys.exit(run())
