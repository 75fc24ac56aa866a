#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The three connectors against servers and judges that are not ours, without the daemon: a real SMTP server read back
with Python's email package, npm standardwebhooks and cloudevents, and Prism serving the services' own descriptions.
Usage: test_connectors.py DRIVE EMAIL.so SMS.so WEBHOOK.so"""
import base64
import contextlib
import email
import email.policy
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
PEERS = os.path.join(HERE, "..", "peers")
SOURCE = os.path.realpath(os.path.join(HERE, "..", "..", ".."))
NPM = os.environ.get("CAISSON_NPM", "")
DATA = os.path.join(os.environ.get("CAISSON_TEST_DATA") or os.path.join(SOURCE, "..", "shared"), "data")
ACCOUNT = "AC" + "0" * 31 + "1"
OK, REJECTED, RETRY, UNKNOWN, BAD_INPUT = range(5)
drive, connectors, ca = None, {}, None


def run(connector, action, routes, times=None, **plan):
    """What the connector said, once for every time."""
    with open(f"{ca}/ca.pem", encoding="utf-8") as pem:
        plan = {"settings": {}, "secrets": {}, "trust": pem.read(), **plan,
                "routes": [[host, port, "127.0.0.1", to] for host, port, to in routes], "times": times or 1}
    manifest = os.path.join(SOURCE, "plugins", connector, "manifest.json")
    done = subprocess.run([drive, connectors[connector], manifest, action], input=json.dumps(plan), text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    return said if times else said[0]


@contextlib.contextmanager
def peer(name, *options):
    process = subprocess.Popen([os.path.join(PEERS, name), *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        word, port = process.stdout.readline().split()
        assert word == "ready"
        yield int(port)
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


# ── mail ──────────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def mail_peer(*options):
    with tempfile.TemporaryDirectory() as folder:
        with peer("smtp_peer.py", "--cert", f"{ca}/server.pem", "--key", f"{ca}/server.key", "--password-file",
                  f"{ca}/password", "--folder", folder, *options) as port:
            yield port, folder


def send(port, message, times=None):
    return run("email", "send", [("mail.demo.example", 587, port)], times, input=message,
               settings={"host": "mail.demo.example"}, secrets={"username": "demo", "password": "mail secret"})


def mail(folder, number):
    with open(f"{folder}/mail-{number}.eml", "rb") as file:
        return email.message_from_bytes(file.read(), policy=email.policy.default)


def test_mail_arrives_whole():
    blob = bytes(range(256)) * 300
    long = "Zeile mit Ümläuten und ohne Ende " * 60
    message = {
        "from": {"address": "ada@demo.example", "name": "Ada, \"Gräfin\" L."}, "reply_to": "reply@demo.example",
        "to": [{"address": "bob@demo.example", "name": "Bob B."}, "zwei@demo.example"], "cc": ["cc@demo.example"],
        "bcc": ["bcc@demo.example"], "subject": "Grüße ✓ 😀 " * 12, "text": f".\n..\n.punkt\n{long}\n\nEnde  \n",
        "html": "<p>Grüße &amp; <img src=\"cid:bild\"></p>", "headers": {"X-Own": "ä" * 90, "X-Plain": "word " * 40 + "end"},
        "attachments": [{"name": "Übersicht \"1\";.bin", "type": "application/x-own", "content": base64.b64encode(blob).decode()},
                        {"name": "leer.txt", "content": ""},
                        {"name": "bild.png", "type": "image/png", "content_id": "bild", "content": "iVBORw0KGgo="}]}
    with mail_peer() as (port, folder):
        said = send(port, message)
        assert said["status"] == OK and said["committed"] == 1, said
        got = mail(folder, 1)
        with open(f"{folder}/events.jsonl", encoding="utf-8") as lines:
            event = [json.loads(line) for line in lines if '"mail"' in line][-1]
    assert not got.defects, got.defects
    assert event["tls"] and event["user"] == "demo" and event["from"] == "ada@demo.example"
    assert sorted(event["to"]) == ["bcc@demo.example", "bob@demo.example", "cc@demo.example", "zwei@demo.example"]
    assert got["from"].addresses[0].display_name == "Ada, \"Gräfin\" L." and got["from"].addresses[0].addr_spec == "ada@demo.example"
    assert [one.addr_spec for one in got["to"].addresses] == ["bob@demo.example", "zwei@demo.example"]
    assert got["to"].addresses[0].display_name == "Bob B." and str(got["cc"]) == "cc@demo.example" and got["bcc"] is None
    assert got["subject"] == ("Grüße ✓ 😀 " * 12).rstrip() or got["subject"] == "Grüße ✓ 😀 " * 12, repr(got["subject"])
    assert got["x-own"] == "ä" * 90 and got["x-plain"] == "word " * 40 + "end"
    assert got["message-id"] == said["answer"]["message_id"] and got["date"].datetime and str(got["reply-to"]) == "reply@demo.example"
    text = got.get_body(("plain",)).get_content().replace("\r\n", "\n")
    assert text == message["text"], (text, message["text"])
    assert got.get_body(("html",)).get_content().strip() == message["html"]
    files = {part.get_filename(): part for part in got.walk() if part.get_filename()}
    assert files["Übersicht \"1\";.bin"].get_content() == blob and files["Übersicht \"1\";.bin"].get_content_type() == "application/x-own"
    assert files["leer.txt"].get_content() == b"" and files["bild.png"]["content-id"] == "<bild>"
    with_lines = got.as_bytes()
    assert max(len(line) for line in with_lines.split(b"\n")) <= 998
    assert [one["code"] for one in said["answer"]["recipients"]] == [250] * 4


def test_mail_of_many_shapes():
    for part in ({}, {"text": "only"}, {"html": "<p>only</p>"}, {"text": "", "subject": ""},
                 {"text": "\r\n\r\n", "subject": "a" * 900}, {"text": "x", "attachments": [{"name": "a", "content": "AA=="}]}):
        with mail_peer() as (port, folder):
            said = send(port, {"from": "ada@demo.example", "to": ["bob@demo.example"], **part})
            assert said["status"] == OK, said
            got = mail(folder, 1)
            assert not got.defects, (part, got.defects)
            for kind in ("text", "html"):
                if part.get(kind, "").strip():
                    assert got.get_body(({"text": "plain", "html": "html"}[kind],)).get_content().strip() == part[kind].strip()
            assert (got["subject"] or "") == part.get("subject", "")


def test_mail_fails_as_the_server_says():
    steps = {"auth": ("535", REJECTED), "mail": ("451", RETRY), "rcpt": ("550", REJECTED), "data": ("451", RETRY),
             "message": ("554", REJECTED)}
    for step, (code, status) in steps.items():
        with mail_peer("--reply", f"{step}={code}") as (port, folder):
            said = send(port, {"from": "ada@demo.example", "to": ["bob@demo.example"], "text": "x"})
            assert said["status"] == status and said["committed"] == (step in ("data", "message")), (step, said)
            assert not os.path.exists(f"{folder}/mail-1.eml")
    for step, status in (("ehlo", RETRY), ("mail", RETRY), ("rcpt", RETRY), ("data", UNKNOWN), ("message", UNKNOWN)):
        with mail_peer("--cut", step) as (port, folder):
            said = send(port, {"from": "ada@demo.example", "to": ["bob@demo.example"], "text": "x"})
            assert said["status"] == status and said["committed"] == (status == UNKNOWN), (step, said)


def test_mail_per_recipient():
    with mail_peer() as (port, folder):
        said = send(port, {"from": "ada@demo.example", "text": "x",
                           "to": ["reply.550.rcpt@demo.example", "bob@demo.example", "reply.451.rcpt@demo.example"]})
        assert said["status"] == OK and said["answer"]["accepted"] == 1, said
        assert [one["code"] for one in said["answer"]["recipients"]] == [550, 250, 451]


def test_mail_session_is_kept():
    with mail_peer() as (port, folder):
        said = send(port, {"from": "ada@demo.example", "to": ["bob@demo.example"], "text": "x"}, times=3)
        assert [one["status"] for one in said] == [OK] * 3 and said[-1]["dials"] == 1, said
        assert os.path.exists(f"{folder}/mail-3.eml")


# ── webhook ───────────────────────────────────────────────────────────────────────────────────────────────────

SECRETS = ["whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)]


def node(script, *args):
    done = subprocess.run(["node", "--input-type=module", "-e", script, *args], capture_output=True, text=True, cwd=NPM)
    assert done.returncode == 0, done.stderr[-800:]
    return json.loads(done.stdout)


def post(data, folder, port):
    said = run("webhook", "post", [("hooks.demo.example", 443, port)], secrets={"secret": " ".join(SECRETS)},
               input={"url": "https://hooks.demo.example/in", **data})
    assert said["status"] == OK, said
    names = [name for name in os.listdir(folder) if name.startswith("request-") and name.endswith(".json")]
    last = max(names, key=lambda name: int(name.split("-")[1].split(".")[0]))
    with open(f"{folder}/{last}", encoding="utf-8") as file:
        got = json.load(file)
    return json.dumps({"headers": {name.lower(): value for name, value in got["headers"]},
                       "body": base64.b64decode(got["body"]).decode()})


def test_webhook_verified_and_parsed():
    with tempfile.TemporaryDirectory() as folder:
        with peer("https_peer.py", "--cert", f"{ca}/server.pem", "--key", f"{ca}/server.key", "--folder", folder) as port:
            for value in ({"hello": "wörld ✓", "n": [1, 2.5, None]}, "text", [], 0):
                got = post({"data": value}, folder, port)
                for secret in SECRETS:
                    assert value == node("""import {Webhook} from "standardwebhooks"; const got = JSON.parse(process.argv[1]);
                        console.log(JSON.stringify(new Webhook(process.argv[2]).verify(got.body, got.headers)));""", got, secret)
            assert node("""import {Webhook} from "standardwebhooks"; const got = JSON.parse(process.argv[1]); let refused = false;
                try { new Webhook(process.argv[2]).verify(got.body + " ", got.headers); } catch { refused = true; }
                console.log(refused);""", got, SECRETS[0]) is True
            for mode in ("binary", "structured"):
                got = post({"data": {"n": 1}, "event": {"mode": mode, "type": "demo.made", "source": "/demo", "subject": "ü %\"x\"",
                                                        "extensions": {"region": "eu"}}}, folder, port)
                event = node("""import {HTTP} from "cloudevents"; const got = JSON.parse(process.argv[1]);
                    const e = HTTP.toEvent(got); e.validate(); console.log(JSON.stringify(e));""", got)
                assert event["type"] == "demo.made" and event["source"] == "/demo" and event["region"] == "eu", event
                assert event["data"] == {"n": 1} and event["specversion"] == "1.0", event
                assert mode == "binary" or event["subject"] == "ü %\"x\"", event


# ── Prism ─────────────────────────────────────────────────────────────────────────────────────────────────────


def free_port():
    with contextlib.closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextlib.contextmanager
def prism(document):
    """Prism behind TLS: the port of the TLS end."""
    port = free_port()
    process = subprocess.Popen([f"{NPM}/node_modules/.bin/prism", "mock", "--errors", "-h", "127.0.0.1", "-p", str(port),
                                f"{DATA}/{document}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):  # until it listens; it says so nowhere else
            with contextlib.suppress(OSError), contextlib.closing(socket.create_connection(("127.0.0.1", port), 1)):
                break
            assert process.poll() is None, "Prism ended"
            time.sleep(0.1)
        with peer("tls_front.py", "--to", f"127.0.0.1:{port}", "--cert", f"{ca}/server.pem", "--key", f"{ca}/server.key") as tls:
            yield tls, port
    finally:
        process.terminate()
        process.wait(20)


def judge_is_awake(port, path, body, kind):
    """A request that the description forbids must be refused, or the test proves nothing."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body, headers={"Content-Type": kind}, method="POST")
    try:
        urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        assert error.code in (400, 401, 415, 422), error.code
        return
    raise AssertionError("Prism accepted nonsense")


def text(port, part, base="https://sms.demo.example"):
    return run("sms", "send", [("sms.demo.example", 443, port)], settings={"base_url": base},
               secrets={"account_sid": ACCOUNT, "auth_token": "sms secret"}, input=part)


def test_sms_judged_by_prism():
    """Media are left out: Prism reads no array from a form (repeated fields, as the description and Twilio have them)."""
    with prism("twilio_api_v2010.trimmed.json") as (tls, plain):
        judge_is_awake(plain, f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json", b"{}", "application/json")
        for part in ({"body": "Grüße & 100%"}, {"body": "x", "status_callback": "https://b.example/s?x=1"}):
            said = text(tls, {"to": "+15005550009", "from": "+15005550006", **part})
            assert said["status"] == OK and said["answer"]["sid"] and said["answer"]["http_status"] == 201, said


def test_sms_taken_by_a_strict_receiver():
    with tempfile.TemporaryDirectory() as folder:
        with peer("form_receiver.py", "--cert", f"{ca}/server.pem", "--key", f"{ca}/server.key", "--token-file",
                  f"{ca}/token", "--folder", folder) as port:
            for number, part in enumerate((
                    {"from": "+15005550006", "body": "Grüße & 100% +1=2\n✓"},
                    {"messaging_service_sid": "MG" + "a" * 32, "media_urls": ["https://a.example/1?x=1&y", "https://a.example/2"]},
                    {"from": "Caisson", "body": "x", "status_callback": "https://b.example/s?x=1"}), 1):
                said = text(port, {"to": "+4915112345678", **part})
                assert said["status"] == OK and said["answer"]["sid"][:2] in ("SM", "MM"), said
                with open(f"{folder}/message-{number}.json", encoding="utf-8") as file:
                    form = json.load(file)
                assert form.get("Body") == part.get("body") and (form.get("MediaUrl") or None) == part.get("media_urls"), form
            for to, status in (("+15005550001", REJECTED), ("+15005550009", RETRY), ("+15005550003", RETRY)):
                said = text(port, {"to": to, "from": "+15005550006", "body": "x"})
                assert said["status"] == status and said["answer"]["error_code"], said


def test_mail_judged_by_prism():
    with prism("sendgrid_mail_v3.json") as (tls, plain):
        judge_is_awake(plain, "/v3/mail/send", b"{\"from\": 1}", "application/json")
        for part in ({"text": "t"}, {"html": "<p>"}, {"text": "ü", "html": "<p>", "cc": ["c@demo.example"], "bcc": ["d@demo.example"],
                     "reply_to": {"address": "r@demo.example", "name": "R"}, "headers": {"X-Own": "1"},
                     "attachments": [{"name": "ü.txt", "type": "text/plain", "content": "aGk="},
                                     {"name": "b.png", "content_id": "b", "content": "aGk="}]}, {}):
            said = run("email", "send_api", [("api.demo.example", 443, tls)], secrets={"api_key": "SG.key"},
                       settings={"sendgrid_url": "https://api.demo.example"},
                       input={"from": {"address": "ada@demo.example", "name": "Ada"}, "to": ["bob@demo.example"], "subject": "Hi ✓", **part})
            assert said["status"] == OK and said["answer"]["code"] == 202, said


def main():
    global drive, ca
    drive, connectors["email"], connectors["sms"], connectors["webhook"] = sys.argv[1:5]
    judged = os.path.isdir(f"{NPM}/node_modules") and os.path.isdir(DATA)
    skipped = []
    with tempfile.TemporaryDirectory() as ca:
        subprocess.run([os.path.join(PEERS, "make_ca.sh"), ca, "mail.demo.example", "hooks.demo.example", "sms.demo.example",
                        "api.demo.example"], check=True)
        with open(f"{ca}/password", "w", encoding="utf-8") as file:
            file.write("mail secret\n")
        with open(f"{ca}/token", "w", encoding="utf-8") as file:
            file.write("sms secret\n")
        for name, test in sorted(globals().items()):
            if not name.startswith("test_"):
                continue
            if not judged and ("judged" in name or "verified" in name):
                skipped.append(name)
                continue
            test()
            print("passed", name, flush=True)
    for name in skipped:
        print("skipped", name, "(CAISSON_NPM or CAISSON_TEST_DATA is not there)")
    return 77 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
