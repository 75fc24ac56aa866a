#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the three connectors send is accepted and understood by software that is not ours."""
import base64
import email
import email.policy
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import SOURCE, Daemon, Peer, run  # noqa: E402

SECRETS = ["whsec_" + base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2)]
daemon = mail = https = received = None


def arrived(kind):
    names = sorted((name for name in os.listdir(received) if name.startswith(kind) and not name.endswith(".part")),
                   key=lambda name: int(name.split("-")[1].split(".")[0]))
    with open(os.path.join(received, names[-1]), "rb") as got:
        return got.read()


def node(script, *args):
    done = subprocess.run(["node", "--input-type=module", "-e", script, *args], capture_output=True, text=True,
                          cwd=os.environ["CAISSON_NPM"])
    assert done.returncode == 0, done.stderr[-800:]
    return done.stdout.strip()


def test_mail_read_back():
    blob = bytes(range(256)) * 40
    answer = daemon.call("email", "send", {
        "from": {"address": "sender@demo.example", "name": "Sénder"},
        "to": [{"address": "to@demo.example", "name": "Zoë Größe"}], "cc": [{"address": "cc@demo.example"}],
        "bcc": [{"address": "bcc@demo.example"}], "reply_to": {"address": "reply@demo.example"},
        "subject": "Grüße ☃ " + "lang " * 30, "text": "Zeile eins\n.führender Punkt\n", "html": "<p>Zeile ü</p>",
        "headers": {"X-Own": "yes"},
        "attachments": [{"name": "daten ü.bin", "type": "application/octet-stream",
                         "content": base64.b64encode(blob).decode()}]}, credential="mail")
    assert answer.status == 200, answer
    message = email.message_from_bytes(arrived("mail"), policy=email.policy.default)
    assert message["subject"] == "Grüße ☃ " + ("lang " * 30).rstrip() or message["subject"].strip() == ("Grüße ☃ " + "lang " * 30).strip()
    assert message["to"].addresses[0].display_name == "Zoë Größe" and message["to"].addresses[0].addr_spec == "to@demo.example"
    assert message["from"].addresses[0].display_name == "Sénder"
    assert message["cc"].addresses[0].addr_spec == "cc@demo.example" and message["reply-to"].addresses[0].addr_spec == "reply@demo.example"
    assert message["bcc"] is None and "bcc@demo.example" in message["x-envelope-to"]
    assert message["x-own"] == "yes" and message["message-id"] and message["date"]
    text = message.get_body(("plain",)).get_content().replace("\r\n", "\n")
    assert text.rstrip("\n") == "Zeile eins\n.führender Punkt", repr(text)
    assert "Zeile ü" in message.get_body(("html",)).get_content()
    attachment = next(iter(message.iter_attachments()))
    assert attachment.get_filename() == "daten ü.bin" and attachment.get_content() == blob


def test_webhook_verified_by_standardwebhooks():
    answer = daemon.call("webhook", "post", {"url": f"https://hooks.demo.example:{https.port}/hook",
                                             "data": {"hello": "wörld"}}, credential="hook")
    assert answer.status == 200, answer
    got = arrived("webhook")
    for secret in SECRETS:
        said = node("""import {Webhook} from "standardwebhooks"; const got = JSON.parse(process.argv[1]);
            const h = Object.fromEntries(Object.entries(got.headers).map(([k, v]) => [k.toLowerCase(), v]));
            console.log(JSON.stringify(new Webhook(process.argv[2]).verify(got.body, h)));""", got.decode(), secret)
        assert json.loads(said) == {"hello": "wörld"}
    assert json.loads(got)["headers"].get("Webhook-Id", json.loads(got)["headers"].get("webhook-id")) == answer.json["call_id"]


def test_webhook_parsed_by_cloudevents():
    for mode in ("binary", "structured"):
        answer = daemon.call("webhook", "post", {
            "url": f"https://hooks.demo.example:{https.port}/hook", "data": {"n": 1},
            "event": {"mode": mode, "type": "demo.thing.made", "source": "/demo"}}, credential="hook")
        assert answer.status == 200, answer
        said = json.loads(node("""import {HTTP} from "cloudevents"; const got = JSON.parse(process.argv[1]);
            const headers = Object.fromEntries(Object.entries(got.headers).map(([k, v]) => [k.toLowerCase(), v]));
            const e = HTTP.toEvent({headers, body: got.body}); e.validate();
            console.log(JSON.stringify({type: e.type, source: e.source, data: typeof e.data === "string" ? JSON.parse(e.data) : e.data, spec: e.specversion}));""",
                               arrived("webhook").decode()))
        assert said == {"type": "demo.thing.made", "source": "/demo", "data": {"n": 1}, "spec": "1.0"}, said


def test_sms_form():
    answer = daemon.call("sms", "send", {"to": "+15005550006", "from": "+15005550001", "body": "Grüße"}, credential="phone")
    assert answer.status == 200 and answer.json["answer"]["sid"].startswith("SM"), answer
    got = json.loads(arrived("sms"))
    assert got["authorized"] and got["form"] == {"To": "+15005550006", "From": "+15005550001", "Body": "Grüße"}, got


def test_metrics_pass_promtool():
    text = daemon.http("GET", "/metrics").body
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[-600:]


if __name__ == "__main__":
    names = "[Resolver]\nHost=mail.demo.example 127.0.0.1\nHost=hooks.demo.example 127.0.0.1\n"
    with Daemon(config=names) as daemon:
        received = os.path.join(daemon.home, "received")
        os.makedirs(received)
        ca = os.path.join(daemon.home, "ca")
        subprocess.run([f"{SOURCE}/tools/demo/make-ca", ca, "mail.demo.example", "hooks.demo.example"], check=True)
        with open(ca + "/password", "w", encoding="utf-8") as out:
            out.write("demo-password")
        with Peer(f"{SOURCE}/tools/demo/smtp_receiver.py", ca + "/server.pem", ca + "/server.key", "demo", ca + "/password", received) as mail, \
                Peer(f"{SOURCE}/tools/demo/https_receiver.py", ca + "/server.pem", ca + "/server.key", received) as https:
            daemon.start()
            common = ["--ranges", "127.0.0.0/8", "--ca", ca + "/ca.pem"]
            daemon.enable("email", "--set", "host=mail.demo.example", "--set", f"port={mail.port}", "--egress", f"starttls://mail.demo.example:{mail.port}", *common)
            daemon.enable("sms", "--set", f"base_url=https://hooks.demo.example:{https.port}", "--egress", f"tls://hooks.demo.example:{https.port}", *common)
            daemon.enable("webhook", "--egress", f"tls://hooks.demo.example:{https.port}", *common)
            daemon.credential("mail", "email", {"username": "demo", "password": "demo-password"})
            daemon.credential("phone", "sms", {"account_sid": "AC" + "0" * 31 + "1", "auth_token": "not-a-real-token"})
            daemon.credential("hook", "webhook", {"secret": " ".join(SECRETS)})
            only = sys.argv[1:]
            run([case for name, case in list(globals().items())
                 if name.startswith("test_") and (not only or any(word in name for word in only))])
