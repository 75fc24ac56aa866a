#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the connectors send to Twilio and SendGrid is what those services' own API descriptions allow; Prism judges."""
import base64
import json
import os
import subprocess
import sys
import urllib.parse

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import PEERS, Daemon, Peer, run  # noqa: E402
from prism import Prism  # noqa: E402

DATA = os.path.join(os.environ.get("CAISSON_TEST_DATA") or os.path.join(os.environ["CAISSON_SOURCE"], "..", "shared"), "data")
ACCOUNT, TOKEN = "AC" + "0" * 31 + "1", "not-a-real-token"
TEXT = {"to": "+15005550006", "from": "+15005550001", "body": "Grüße & 100 % ☃"}
MAIL = {"from": {"address": "sender@demo.example", "name": "Sénder"}, "to": [{"address": "to@demo.example", "name": "Zoë"}, "two@demo.example"],
        "cc": ["cc@demo.example"], "bcc": ["bcc@demo.example"], "reply_to": "reply@demo.example", "subject": "Grüße ☃",
        "text": "Zeile ü\n", "html": "<p>Zeile ü <img src=\"cid:bild\"></p>", "headers": {"X-Own": "yes"},
        "attachments": [{"name": "daten ü.bin", "content": base64.b64encode(bytes(range(256))).decode()},
                        {"name": "bild.png", "type": "image/png", "content_id": "bild", "content": "iVBORw0KGgo="}]}
daemon = twilio = sendgrid = strict = received = None


def curl(prism, path, body, *options):
    """A request of the test's own; returns the judge's status and words."""
    done = subprocess.run(["curl", "-sS", "-w", "\n%{http_code}", "--data-binary", "@-", *options, f"http://127.0.0.1:{prism.port}{path}"],
                          input=body.encode(), capture_output=True)
    assert done.returncode == 0, done.stderr
    text, _, status = done.stdout.decode().rpartition("\n")
    return int(status), text


def sms(prism, form, *options, account=ACCOUNT):
    return curl(prism, f"/2010-04-01/Accounts/{account}/Messages.json", urllib.parse.urlencode(form), *options)


def mail(prism, body, *options):
    return curl(prism, "/v3/mail/send", json.dumps(body), "-H", "Content-Type: application/json", *options)


# ── the judges judge ──────────────────────────────────────────────────────────────────────────────────


def test_prism_judges_messages():
    good, login = {"To": "+15005550006", "From": "+15005550001", "Body": "x"}, ("-u", f"{ACCOUNT}:{TOKEN}")
    status, text = sms(twilio, good, *login)
    assert status == 201, text
    for form, options, account in ((good, (), ACCOUNT), ({"From": "+15005550001"}, login, ACCOUNT),
                                   (good, login, "AC1"), ({**good, "StatusCallback": "no url"}, login, ACCOUNT)):
        status, text = sms(twilio, form, *options, account=account)
        assert 400 <= status < 500, f"{form} {options} {account}: {status} {text}"


def test_prism_judges_mails():
    good = {"personalizations": [{"to": [{"email": "a@demo.example"}]}], "from": {"email": "b@demo.example"}, "subject": "x",
            "content": [{"type": "text/plain", "value": "x"}]}
    key = ("-H", "Authorization: Bearer SG.not-a-real-key")
    status, text = mail(sendgrid, good, *key)
    assert status == 202, text
    for change in ({"personalizations": [{}]}, {"custom_args": {}}, {"from": {"name": "x"}}, {"subject": ""}, {"content": [{"type": "text/plain"}]}, {"attachments": [{"filename": "x"}]}):
        status, text = mail(sendgrid, {**good, **change}, *key)
        assert 400 <= status < 500, f"{change}: {status} {text}"
    assert mail(sendgrid, good)[0] == 401, "without a key"


# ── what the connectors send ──────────────────────────────────────────────────────────────────────────


def test_message_is_what_twilio_describes():
    for more in ({}, {"status_callback": "https://hooks.demo.example/status"}, {"media_urls": ["https://demo.example/a.png"]}):
        answer = daemon.call("twilio", "send", {**TEXT, **more}, credential="phone")
        assert answer.status == 200 and answer.json["answer"]["http_status"] == 201, f"{answer}\n{twilio.said()}"
    service = {"to": TEXT["to"], "body": "x", "messaging_service_sid": "MG" + "a" * 32}
    answer = daemon.call("twilio", "send", service, credential="phone")
    assert answer.status == 200 and answer.json["answer"]["sid"], f"{answer}\n{twilio.said()}"


def test_message_is_taken_by_a_strict_receiver():
    answer = daemon.call("strict", "send", TEXT, credential="strictphone")
    assert answer.status == 200 and answer.json["answer"]["sid"].startswith("SM"), answer
    with open(os.path.join(received, "message-1.json"), encoding="utf-8") as kept:
        assert json.load(kept) == {"To": TEXT["to"], "From": TEXT["from"], "Body": TEXT["body"]}
    answer = daemon.call("strict", "send", {"to": TEXT["to"], "messaging_service_sid": "MG" + "a" * 32, "status_callback": "https://demo.example/s",
                                            "media_urls": ["https://demo.example/1", "https://demo.example/2"]}, credential="strictphone")
    assert answer.status == 200 and answer.json["answer"]["sid"].startswith("MM"), answer


def test_twilio_refuses_the_login():
    answer = daemon.call("strict", "send", TEXT, credential="wrongphone")
    assert answer.status == 502 and answer.json["class"] == "rejected" and answer.json["answer"]["error_code"] == 20003, answer


def test_mail_is_what_sendgrid_describes():
    for change in ({}, {"html": None}, {"text": None}, {"attachments": None, "cc": None, "bcc": None, "reply_to": None, "headers": None},
                   {"subject": None, "text": None, "html": None}):
        data = {name: value for name, value in {**MAIL, **change}.items() if value is not None}
        answer = daemon.call("email", "send_api", data, credential="sendgrid")
        assert answer.status == 200, f"{change}: {answer}\n{sendgrid.said()}"
        assert answer.json["answer"]["code"] == 202 and all(one["accepted"] for one in answer.json["answer"]["recipients"]), answer


def twilio_description(path):
    """The description with one thing said that OpenAPI takes for granted and Prism does not: a list in a form is its name repeated."""
    with open(DATA + "/twilio_api_v2010.trimmed.json", encoding="utf-8") as text:
        api = json.load(text)
    form = api["paths"]["/2010-04-01/Accounts/{AccountSid}/Messages.json"]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]
    form.setdefault("encoding", {})["MediaUrl"] = {"style": "form", "explode": True}
    with open(path, "w", encoding="utf-8") as out:
        json.dump(api, out)
    return path


def main():
    global daemon, twilio, sendgrid, strict, received
    with Daemon(config="".join(f"[Resolver]\nHost={name}.demo.example 127.0.0.1\n" for name in ("twilio", "sendgrid", "strict"))) as daemon:
        ca, received = os.path.join(daemon.home, "ca"), os.path.join(daemon.home, "received")
        subprocess.run([f"{PEERS}/make_ca.sh", ca, "twilio.demo.example", "sendgrid.demo.example", "strict.demo.example"], check=True)
        with open(ca + "/token", "w", encoding="utf-8") as out:
            out.write(TOKEN)
        tls = ("--cert", ca + "/server.pem", "--key", ca + "/server.key")
        with Prism("mock", twilio_description(daemon.home + "/twilio.json")) as twilio, Prism("mock", DATA + "/sendgrid_mail_v3.json") as sendgrid, \
                Peer(f"{PEERS}/tls_front.py", "--to", f"127.0.0.1:{twilio.port}", *tls) as twilio_tls, \
                Peer(f"{PEERS}/tls_front.py", "--to", f"127.0.0.1:{sendgrid.port}", *tls) as sendgrid_tls, \
                Peer(f"{PEERS}/form_receiver.py", "--token-file", ca + "/token", "--account", ACCOUNT, "--folder", received, *tls) as strict:
            daemon.start()
            for plugin, name, setting, host, port in (("sms", "twilio", "base_url", "twilio", twilio_tls.port), ("sms", "strict", "base_url", "strict", strict.port),
                                                      ("email", "email", "sendgrid_url", "sendgrid", sendgrid_tls.port)):
                daemon.enable(plugin, "--as", name, "--set", f"{setting}=https://{host}.demo.example:{port}", "--egress",
                              f"tls://{host}.demo.example:{port}", "--ranges", "127.0.0.0/8", "--ca", ca + "/ca.pem")
            daemon.credential("phone", "twilio", {"account_sid": ACCOUNT, "auth_token": TOKEN})
            daemon.credential("strictphone", "strict", {"account_sid": ACCOUNT, "auth_token": TOKEN})
            daemon.credential("wrongphone", "strict", {"account_sid": ACCOUNT, "auth_token": "another"})
            daemon.credential("sendgrid", "email", {"api_key": "SG.not-a-real-key"})
            run(cases())


def cases():
    only = sys.argv[1:]
    return [case for name, case in list(globals().items()) if name.startswith("test_") and (not only or any(word in name for word in only))]


if __name__ == "__main__":
    if not os.path.isdir(DATA):
        for case in cases():
            print("SKIP", case.__name__.removeprefix("test_"))
        sys.exit(77)
    main()
