#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Credentials that a page sealed: the script of docs/submit.md, in Node and in headless Chromium with libsodium.js,
through proxies that are honest and proxies that are not."""
import base64
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BAD, SOURCE, Daemon, UnixHTTP, eventually, run  # noqa: E402

HERE = os.path.join(SOURCE, "tests", "integration", "submit")
NPM = os.path.join(os.environ.get("CAISSON_NPM", ""), "node_modules")
CANARY = "canary-Zk3xQ9-sealed"
PAGE = """<!doctype html><meta charset="utf-8"><title>submit</title>
<script type="importmap">{"imports": {"libsodium": "/npm/libsodium/dist/modules-esm/libsodium.mjs",
 "libsodium-wrappers": "/npm/libsodium-wrappers/dist/modules-esm/libsodium-wrappers.mjs"}}</script>
<script type="module">
import sodium from 'libsodium-wrappers';
import * as page from '/submit.mjs';
import { runJob } from '/jobs.mjs';
await sodium.ready;
globalThis.runJob = (job) => runJob(page, sodium, job);
</script>"""
daemon = proxy = script = vkey = token = thief = None


class Proxy(http.server.BaseHTTPRequestHandler):
    """Serves the page, and hands /DOOR/v1/… on to the desk. What a door does to the key is in `lies`."""

    protocol_version = "HTTP/1.1"
    posted, keys, lies = {}, {}, {}

    def files(self):
        if self.path == "/page":
            return "text/html", PAGE.encode()
        if self.path in ("/submit.mjs", "/jobs.mjs"):
            path = script if self.path == "/submit.mjs" else os.path.join(HERE, "jobs.mjs")
        elif self.path.startswith("/npm/") and ".." not in self.path:
            path = os.path.join(NPM, self.path[5:])
        else:
            return None
        with open(path, "rb") as file:
            return "text/javascript", file.read()

    def hand_on(self, door, path, body):
        desk = UnixHTTP(os.path.join(daemon.home, "run", "desk.sock"))
        kept = {name: value for name, value in self.headers.items() if name.lower() in ("authorization", "content-type")}
        desk.request(self.command, path, body, kept)
        got = desk.getresponse()
        answer = got.read()
        desk.close()
        if path.startswith("/v1/submission-key") and got.status == 200:
            Proxy.keys[door] = json.loads(answer)
            if door in Proxy.lies:
                answer = json.dumps(Proxy.lies[door](json.loads(answer))).encode()
        return got.status, "application/json", answer

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or None
        file = self.files()
        if file:
            status, (kind, answer) = 200, file
        else:
            _, door, rest = (self.path + "/").split("/", 2)  # a browser asks for an icon, too
            rest = rest.rstrip("/")
            if body:
                Proxy.posted.setdefault(door, []).append(body)
            status, kind, answer = self.hand_on(door, "/" + rest, body)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST = serve

    def log_message(self, *unused):
        pass


def url(door):
    return f"http://127.0.0.1:{proxy.server_port}/{door}"


def node(*jobs):
    done = subprocess.run(["node", os.path.join(HERE, "node.mjs"), script], input=json.dumps(jobs), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def browser(*jobs):
    environment = {**os.environ, "HOME": daemon.home}
    done = subprocess.run(["node", os.path.join(HERE, "browser.mjs"), f"http://127.0.0.1:{proxy.server_port}/page"], input=json.dumps(jobs),
                          capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def credential(name, **more):
    return {"workspace": "default", "name": name, "connector": "bad", "fields": {"canary": CANARY, "other": "øther"}, **more}


def job(name, door="honest", **more):
    return {"what": "submit", "base": url(door), "vkey": vkey, "token": token, "credential": credential(name), **more}


def usable(name):
    answer = daemon.call("bad", "secret", {"field": "canary", "by_hand": True}, credential=name)
    assert answer.status == 200 and answer.json["answer"]["value"] == CANARY, answer


def post(body):
    return daemon.http("POST", "/v1/credentials", body, door="desk")


def refused(answer, status, word):
    assert answer.status == status and word in answer.json["detail"], f"expected {status} {word}: {answer}"


def key():
    answer = daemon.http("GET", "/v1/submission-key", door="desk")
    assert answer.status == 200, answer
    return answer.json


def sealed(name, **more):
    """What a page would post, as a dictionary."""
    box = node({"what": "believe", "base": url("honest"), "token": token, "credential": credential(name), **more})[0]
    assert "box" in box, box
    return {"workspace": "default", "name": name, "connector": "bad", "audience": [], "kid": box["kid"], "box": box["box"]}


# ── it works ──────────────────────────────────────────────────────────────────────────────────────────


def test_from_node():
    said = node(job("node"))[0]
    assert said.get("said", {}).get("version") == 1, said
    usable("node")


def test_from_chromium():
    first, second, checked = browser(job("page"), job("page"), {"what": "check", "base": url("honest"), "vkey": vkey, "token": token})
    assert first.get("said", {}).get("version") == 1 and second.get("said", {}).get("version") == 2, (first, second)
    assert checked == {"kid": key()["kid"]}
    usable("page")


def test_nothing_plain_passed_the_proxy():
    bodies = b"".join(Proxy.posted["honest"])
    assert b"box" in bodies and CANARY.encode() not in bodies
    for body in Proxy.posted["honest"]:
        assert CANARY.encode() not in base64.b64decode(json.loads(body)["box"])


def test_audience_goes_along():
    where = {"audience": ["a.example.org", "b.example.org"]}
    said = node({**job("narrow"), "credential": credential("narrow", **where)})[0]
    assert said["said"]["audience"] == where["audience"], said


# ── a false proxy ─────────────────────────────────────────────────────────────────────────────────────


def swap_all(answer):
    return {**answer, "kid": thief["kid"], "pk": thief["pk"], "note": thief["note"]}


def swap_key(answer):
    return {**answer, "kid": thief["kid"], "pk": thief["pk"]}


def swap_in_note(answer):
    note = answer["note"].replace(answer["kid"], thief["kid"]).replace(answer["pk"], thief["pk"])
    return {**answer, "kid": thief["kid"], "pk": thief["pk"], "note": note}


def add_signature(answer):
    """The thief's text under the vault's own line and the thief's."""
    mine, own = thief["note"].split("\n\n"), answer["note"].split("\n\n")
    return {**answer, "kid": thief["kid"], "pk": thief["pk"], "note": mine[0] + "\n\n" + own[1] + mine[1]}


def prolong(answer):
    lines = answer["note"].split("\n")
    lines[4] = str(int(lines[4]) + 10 * 86400)
    return {**answer, "note": "\n".join(lines)}


def test_swapped_key_is_noticed():
    doors = {"swapped": swap_all, "in-note": swap_in_note, "two-lines": add_signature, "prolonged": prolong}
    Proxy.lies.update(doors)
    jobs = [job("stolen", door) for door in doors]
    for results in (node(*jobs), browser(*jobs)):
        for door, result in zip(doors, results):
            assert "does not come from the vault" in result.get("error", ""), (door, result)
    assert not any(door in Proxy.posted for door in doors), "something was sealed to a thief's key"
    assert daemon.http("GET", "/v1/credentials/stolen", door="desk").status == 404


def test_a_key_beside_the_note_counts_nothing():
    Proxy.lies["beside"] = swap_key
    assert "said" in node(job("beside", "beside"))[0]
    assert json.loads(Proxy.posted["beside"][0])["kid"] == Proxy.keys["beside"]["kid"]
    usable("beside")


def test_the_check_is_what_stops_it():
    """A page that believes gives its secret to the thief."""
    Proxy.lies["believed"] = swap_all
    box = node({"what": "believe", "base": url("believed"), "token": token, "credential": credential("believed")})[0]["box"]
    assert CANARY in node({"what": "open", "box": box, "pk": thief["pk"], "secret": thief["secret"]})[0]["text"]


def test_old_and_early_notes():
    ask = {"what": "check", "base": url("honest"), "vkey": vkey, "token": token}
    late, early, good = node({**ask, "later": 25 * 3600}, {**ask, "later": -26 * 3600}, {**ask, "later": 22 * 3600})
    assert "out of time" in late["error"] and "out of time" in early["error"] and "kid" in good, (late, early, good)


def test_another_vault_is_another_identity():
    with Daemon() as other:
        theirs = other.cli("credential", "vkey").stdout.strip()
    assert theirs != vkey
    said = node({"what": "check", "base": url("honest"), "vkey": theirs, "token": token})[0]
    assert "does not come from the vault" in said["error"], said


# ── the vault looks too ───────────────────────────────────────────────────────────────────────────────


def test_only_where_it_was_sealed_for():
    daemon.http("POST", "/v1/workspaces", {"name": "second"}, door="desk")
    daemon.enable("bad", "--as", "worse", "--egress", "none", files=BAD)
    for more in ({"name": "elsewhere"}, {"workspace": "second"}, {"connector": "worse"}, {"audience": ["evil.example.org"]}):
        refused(post({**sealed("here"), **more}), 422, "sealed for another")
    assert post(sealed("here")).status == 200


def test_only_once():
    body = sealed("once")
    assert post(body).status == 200
    refused(post(body), 409, "accepted before")


def test_only_in_time():
    refused(post(sealed("late", shift=-1000)), 409, "seal it again")
    refused(post(sealed("early", shift=300)), 422, "future")


def test_damaged_or_for_another_key():
    body = sealed("broken")
    box = bytearray(base64.b64decode(body["box"]))
    box[100] ^= 1
    refused(post({**body, "box": base64.b64encode(box).decode()}), 422, "damaged")
    refused(post({**body, "box": base64.b64encode(box[:-1]).decode()}), 400, "size")
    refused(post({**body, "kid": "00" * 8}), 422, "keys/vault.pub")
    refused(post({**body, "kid": "ab" * 8}), 409, "fetch /v1/submission-key")
    refused(post({**body, "kid": "short"}), 422, "kid")
    assert post(body).status == 200, "a refused box used the good one up"


def test_a_new_vault_has_a_new_key():
    before, body = key(), sealed("restarted")
    old = daemon.role("vault")
    os.kill(old, 9)
    eventually("another vault", lambda: daemon.role("vault") not in (None, old) and daemon.http("GET", "/v1/submission-key", door="desk").status == 200)
    after = key()
    assert after["kid"] != before["kid"] and after["pk"] != before["pk"]
    refused(post(body), 409, "fetch /v1/submission-key")

    def again():  # the vault takes nothing that was sealed in the second in which it began, or before
        said = node(job("restarted"))[0]
        return said.get("said") or ("before the vault started" not in said["error"] and sys.exit(str(said)))

    eventually("the page's second try", again)
    usable("restarted")


# ── who, and where ────────────────────────────────────────────────────────────────────────────────────


def test_the_key_stays_while_it_is_good():
    assert key() == key()


def test_desk_only():
    assert daemon.http("GET", "/v1/submission-key").status == 404
    assert daemon.http("POST", "/v1/credentials", sealed("front")).status == 404


def test_token_for_one_connector():
    daemon.enable("hello")
    said = node({**job("wider"), "credential": credential("wider", connector="hello")})[0]
    assert "does not cover hello" in said.get("error", ""), said
    assert "denied" in json.dumps(daemon.http("GET", "/v1/submission-key?workspace=elsewhere", door="desk").json)


def test_a_new_master_key_is_a_new_identity():
    """A key that was given out before stays good; the page must be told the new identity, from the file."""
    body, before = sealed("mastered"), key()
    daemon.cli("key", "rotate", "master")
    assert post(body).status == 200
    after, now = key(), daemon.cli("credential", "vkey").stdout.strip()
    assert now != vkey and after["kid"] == before["kid"] and after["note"] != before["note"]
    old, new = node(job("mastered"), job("mastered", vkey=now))
    assert "does not come from the vault" in old["error"] and new["said"]["version"] == 2, (old, new)


def write_script():
    with open(os.path.join(SOURCE, "docs", "submit.md"), encoding="utf-8") as page:
        text = re.search(r"^```js\n(.*?)^```", page.read(), re.M | re.S).group(1)
    path = os.path.join(daemon.home, "submit.mjs")
    with open(path, "w", encoding="utf-8") as out:
        out.write(text)
    return path


def main():
    global daemon, proxy, script, vkey, token, thief
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    with Daemon() as daemon:
        daemon.start()
        started = int(time.time())
        daemon.enable("bad", "--egress", "none", files=BAD)
        script = write_script()
        vkey = daemon.cli("credential", "vkey").stdout.strip()
        token = json.loads(daemon.cli("--json", "token", "create", "page", "--role", "admin", "--connector", "bad").stdout)["token"]
        thief = node({"what": "thief", "hash": vkey.split("+")[1]})[0]
        eventually("a second that began after the vault", lambda: int(time.time()) > started)
        only = sys.argv[1:]
        run([case for name, case in list(globals().items()) if name.startswith("test_") and (not only or any(word in name for word in only))])


if __name__ == "__main__":
    main()
