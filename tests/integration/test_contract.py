#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Everything that the API answers is what docs/openapi.yaml says: requests and answers pass through Prism, which ends
with a violation where they disagree. The callers' door is TCP with a token; the desk's is its unix socket."""
import concurrent.futures
import contextlib
import http.client
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from bridge import Bridge  # noqa: E402
from daemon import BAD, BUILD, PEERS, SOURCE, Answer, Daemon, Peer, eventually, run  # noqa: E402
from prism import Prism, free_port  # noqa: E402

OPENAPI = os.path.join(SOURCE, "docs", "openapi.yaml")
daemon = https = strict = lax = desk = token = reader = None
seen = set()  # (judge, method, path) of requests that were answered 200


def ask(judge, method, path, body=None, bearer=None, headers=None, **more):
    """One request through a judge. Whatever the daemon answered, the judge must have nothing to say about it."""
    connection = http.client.HTTPConnection("127.0.0.1", judge.port, timeout=60)
    headers = dict(headers or {})
    if bearer:
        headers["Authorization"] = "Bearer " + bearer
    data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
    if data is not None:
        headers.setdefault("Content-Type", "application/json")
    try:
        connection.request(method, path, data, headers)
        got = connection.getresponse()
        answer = Answer(got.status, {name.lower(): value for name, value in got.getheaders()}, got.read())
    finally:
        connection.close()
    says = (answer.json or {}).get("type", "") if isinstance(answer.json, dict) else ""
    assert "stoplight" not in says and "sl-violations" not in answer.headers, f"{method} {path}: {answer} {answer.headers.get('sl-violations')}"
    if answer.status == 200:
        seen.add(("desk" if judge is desk else "api", method, path.split("?")[0]))
    return answer


def api(method, path, body=None, **more):
    return ask(strict, method, path, body, **{"bearer": token, **more})


def call(connector="hello", action="greet", data=None, **more):
    headers = {"Idempotency-Key": more.pop("key")} if "key" in more else None
    judge = more.pop("judge", strict)
    return ask(judge, "POST", "/v1/calls", {"connector": connector, "action": action, "input": data or {"name": "Ada"}, **more},
               bearer=token, headers=headers)


def hook(path, **more):
    return call("webhook", "post", {"url": f"https://hooks.demo.example:{https.port}{path}", "data": {}}, credential="hook", **more)


def problem(answer, status, slug):
    assert answer.status == status and answer.json["type"] == f"urn:caisson:problem:{slug}", f"expected {status} {slug}: {answer}"
    return answer


# ── the judge judges ──────────────────────────────────────────────────────────────────────────────────


class Liar(http.server.BaseHTTPRequestHandler):
    """Answers what no description of ours allows."""

    def do_GET(self):
        body = b'{"status":"splendid"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *unused):
        pass


def test_prism_notices_a_wrong_answer():
    server = http.server.HTTPServer(("127.0.0.1", 0), Liar)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with Prism("proxy", OPENAPI, f"http://127.0.0.1:{server.server_port}") as judge:
        connection = http.client.HTTPConnection("127.0.0.1", judge.port, timeout=60)
        connection.request("GET", "/v1/health")
        got = connection.getresponse()
        assert got.status == 500 and b"VIOLATIONS" in got.read(), got.status
        connection.close()
    server.shutdown()


# ── the callers' door ─────────────────────────────────────────────────────────────────────────────────


def test_call():
    answer = call()
    assert answer.status == 200 and answer.json["class"] == "ok", answer
    shown = api("GET", "/v1/calls/" + answer.json["call_id"])
    assert shown.status == 200 and shown.json["attempts"][0]["class"] == "ok", shown
    key = uuid.uuid4().hex
    assert not call(key=key).json["replayed"] and call(key=key).json["replayed"]
    problem(call(data={"name": "Bob"}, key=key), 422, "key-reused")
    assert hook("/").status == 200


def test_lists():
    for _ in range(3):
        assert call().status == 200
    page = api("GET", "/v1/calls?limit=2&connector=hello&class=ok&workspace=default")
    assert page.status == 200 and len(page.json["calls"]) == 2, page
    more = api("GET", "/v1/calls?limit=2&before=" + page.json["next"])
    assert more.status == 200 and more.json["calls"][0]["call_id"] not in [one["call_id"] for one in page.json["calls"]], more
    listed = api("GET", "/v1/connectors?workspace=default")
    assert listed.status == 200 and {"hello", "webhook"} <= {one["name"] for one in listed.json["connectors"]}, listed


def test_health_and_metrics():
    assert api("GET", "/v1/health").json["status"] == "ok"
    assert ask(strict, "GET", "/v1/health").json["status"] == "ok"
    assert api("GET", "/metrics").status == 200
    problem(ask(lax, "GET", "/metrics"), 401, "no-identity")
    daemon.cli("freeze")
    try:
        assert api("GET", "/v1/health").json["status"] == "frozen"
        problem(call(), 503, "frozen")
    finally:
        daemon.cli("thaw")


def test_refusals():
    problem(call(data={"name": "a\0b"}), 400, "malformed")  # Prism itself mends doubled keys and refuses half a document
    problem(call(key='a"b', judge=lax), 400, "malformed")
    for bearer in (None, "cst_" + "A" * 43, "nothing"):
        problem(ask(lax, "POST", "/v1/calls", {"connector": "hello", "action": "greet", "input": {"name": "Ada"}}, bearer), 401, "no-identity")
        problem(ask(lax, "GET", "/v1/calls", None, bearer), 401, "no-identity")
        problem(ask(lax, "GET", "/v1/connectors", None, bearer), 401, "no-identity")
    refused = ask(strict, "POST", "/v1/calls", {"connector": "hello", "action": "greet", "input": {"name": "Ada"}}, reader)
    problem(refused, 403, "denied")
    problem(call("nobody"), 404, "not-found")
    problem(call(action="shout"), 404, "not-found")
    problem(api("GET", "/v1/calls/01890000-0000-7000-8000-000000000000"), 404, "not-found")
    problem(ask(lax, "POST", "/v1/calls", "a=b", token, {"Content-Type": "text/plain"}), 415, "unsupported-media-type")
    found = problem(call(data={"name": 7}), 422, "bad-input")
    assert found.json["errors"][0]["pointer"] == "/input/name", found
    problem(ask(lax, "POST", "/v1/calls", {"connector": 5}, token), 422, "bad-input")
    problem(ask(lax, "GET", "/v1/calls?limit=many", None, token), 422, "bad-input")


def test_too_large():
    many = json.dumps({"connector": "hello", "action": "greet", "input": {"name": [0] * 200000}})
    problem(ask(lax, "POST", "/v1/calls", many, token), 413, "too-large")


def test_outcomes():
    problem(hook("/status/400"), 502, "rejected")
    later = problem(hook("/status/429?retry-after=7"), 503, "retryable")
    assert later.headers["retry-after"] == "7" and later.json["retry_after"] == 7
    problem(hook("/cut"), 502, "lost")
    key = uuid.uuid4().hex
    problem(hook("/hang", timeout_ms=3000, key=key), 502, "lost")
    problem(hook("/hang", timeout_ms=3000, key=key), 409, "outcome-uncertain")
    problem(call("bad", "sleep", {}, timeout_ms=400), 504, "timeout")
    problem(call("bad", "leave", {"status": 1}), 502, "crashed")
    problem(call("bad", "shell", {}), 502, "violation")
    problem(call("webhook", "post", {"url": f"https://hooks.demo.example:{https.port}/", "data": {}}), 422, "bad-input")


def test_changed_plugin():
    path = os.path.join(daemon.home, "plugins", "bad", "bad.so")
    shutil.copy(path, path + ".kept")
    with open(path, "ab") as out:
        out.write(b"\0")
    try:
        daemon.cli("reload")
        problem(call("bad", "count", {}), 409, "plugin-changed")
        assert {"bad": "changed"}.items() <= {one["name"]: one["state"] for one in ask(desk, "GET", "/v1/plugins").json["plugins"]}.items()
    finally:
        os.replace(path + ".kept", path)
        daemon.cli("reload")


@contextlib.contextmanager
def limited(rate, burst):
    """Other limits for a while; a reload brings them."""
    path = os.path.join(daemon.home, "caisson.conf")
    with open(path, encoding="utf-8") as file:
        usual = file.read()
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(re.sub("CallBurst=.*", f"CallBurst={burst}", re.sub("CallRate=.*", f"CallRate={rate}", usual)))
        daemon.cli("reload")
        yield
    finally:
        with open(path, "w", encoding="utf-8") as file:
            file.write(usual)
        daemon.cli("reload")


def test_too_many():
    flooder = json.loads(daemon.cli("--json", "token", "create", "flood", "--workspace", "default", "--role", "invoker").stdout)["token"]
    body = {"connector": "hello", "action": "greet", "input": {"name": "Ada"}}
    with limited(rate=1, burst=1), concurrent.futures.ThreadPoolExecutor(24) as crowd:
        answers = list(crowd.map(lambda _: ask(strict, "POST", "/v1/calls", body, flooder), range(24)))
    assert any(answer.status == 200 for answer in answers), "nobody was served"
    refused = next(answer for answer in answers if answer.status != 200)
    problem(refused, 429, "rate-limited")
    assert int(refused.headers["retry-after"]) >= 1


# ── the desk's door ───────────────────────────────────────────────────────────────────────────────────


def at_desk(method, path, body=None, status=200):
    answer = ask(desk, method, path, body)
    assert answer.status == status, f"{method} {path}: {answer}"
    return answer.json


def test_desk_reads():
    known = call().json["call_id"]
    for path in ("/v1/calls?limit=3", "/v1/calls/" + known, "/v1/connectors", "/v1/health", "/metrics", "/v1/tokens", "/v1/tokens?workspace=default",
                 "/v1/credentials?connector=webhook", "/v1/credentials/hook?workspace=default", "/v1/plugins", "/v1/workspaces", "/v1/workspaces?after=a",
                 "/v1/audit/entries?from=0&limit=5", "/v1/audit/entries", "/v1/audit/checkpoint", "/v1/audit/vkey", "/v1/submission-key",
                 "/v1/submission-key?workspace=default", "/v1/leases?connector=webhook&credential=hook&workspace=default"):
        at_desk("GET", path)
    at_desk("GET", "/v1/credentials/nobody", status=404)
    at_desk("GET", "/v1/tokens?workspace=elsewhere", status=403)
    at_desk("GET", "/v1/calls?workspace=elsewhere", status=403)


def test_desk_tokens_and_workspaces():
    made = at_desk("POST", "/v1/tokens", {"name": "made", "workspace": "default", "role": "invoker", "connectors": ["hello"], "actions": ["greet"],
                                          "expires_in_s": 3600})
    assert call().status == 200
    at_desk("DELETE", "/v1/tokens/" + made["id"])
    at_desk("DELETE", "/v1/tokens/" + made["id"])
    at_desk("DELETE", "/v1/tokens/01890000-0000-7000-8000-000000000000", status=404)
    at_desk("POST", "/v1/tokens", {"name": "nowhere", "workspace": "elsewhere", "role": "invoker"}, status=403)
    at_desk("POST", "/v1/tokens", {"name": "x" * 500, "workspace": "default", "role": "invoker"}, status=422)
    at_desk("POST", "/v1/workspaces", {"name": "second"})
    at_desk("POST", "/v1/workspaces", {"name": "second"}, status=409)


def test_desk_retry_and_cancel():
    key = uuid.uuid4().hex
    uncertain = hook("/hang", timeout_ms=3000, key=key).json["call_id"]
    assert at_desk("POST", f"/v1/calls/{uncertain}/retry", {"reason": "looked"})["attempt"] == 2
    at_desk("POST", f"/v1/calls/{uncertain}/cancel", {}, status=409)
    at_desk("POST", "/v1/calls/01890000-0000-7000-8000-000000000000/cancel", {"reason": "none"}, status=404)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(hook, "/hang", timeout_ms=30000)
        running = eventually("a running call", lambda: api("GET", "/v1/calls?class=running").json["calls"])[0]["call_id"]
        at_desk("POST", f"/v1/calls/{running}/cancel", {"reason": "test"})
        ended = waiting.result()
        assert ended.status >= 400 and ended.json["reason"] == "cancelled", ended
    assert at_desk("GET", "/v1/calls/" + running)["attempts"][0]["reason"] == "cancelled"


def test_desk_leases():
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(hook, "/hang", timeout_ms=30000)
        row = eventually("a running lease", lambda: [row for row in at_desk("GET", "/v1/leases")["leases"] if row["state"] == "running"])[0]
        assert at_desk("GET", "/v1/leases?call=" + row["call_id"])["leases"][0]["credential"] == "hook"
        assert at_desk("POST", "/v1/leases/revoke", {"call": row["call_id"], "reason": "test"}) == {"calls": 1, "workers": 1}
        assert waiting.result().json["reason"] == "revoked", waiting.result()
    at_desk("POST", "/v1/leases/revoke", {"call": row["call_id"]}, status=409)
    at_desk("POST", "/v1/leases/revoke", {"workspace": "elsewhere"}, status=403)
    at_desk("POST", "/v1/leases/revoke", {"connector": "nobody"}, status=404)
    at_desk("POST", "/v1/leases/revoke", {"workspace": "default"})
    at_desk("GET", "/v1/submission-key?workspace=elsewhere", status=403)
    at_desk("POST", "/v1/credentials", {"name": "unopened", "connector": "webhook", "box": "AAAA", "kid": "0123456789abcdef"}, status=409)


def test_desk_keys():
    assert at_desk("GET", "/v1/keys")["workspaces"][0]["name"] == "default"
    at_desk("GET", "/v1/keys?after=default")
    assert at_desk("POST", "/v1/keys/rotate", {"what": "workspace", "workspace": "default"})["version"] == 2
    at_desk("POST", "/v1/keys/rotate", {"what": "credential", "workspace": "default", "name": "nobody"}, status=404)
    at_desk("POST", "/v1/keys/master", {})  # without a file of the next one: looked for, and nothing comes of it
    at_desk("POST", "/v1/key-record", {"act": "backup", "text": "to nowhere"})
    at_desk("POST", "/v1/audit/roll")
    assert hook("/").status == 200


def test_desk_people():
    person = "ada@people.example"
    answer = api("POST", "/v1/calls", {"connector": "hello", "action": "greet", "input": {"name": "Ada"}, "subjects": [person]})
    assert answer.status == 200, answer
    assert at_desk("POST", "/v1/audit/person", {"subject": person, "workspace": "default"})["entries"]
    held = at_desk("POST", "/v1/audit/holds", {"workspace": "default", "reason": "a court's letter"})["id"]
    assert [one["id"] for one in at_desk("GET", "/v1/audit/holds?workspace=default")["holds"]] == [held]
    at_desk("POST", "/v1/audit/erase", {"subject": person, "authority": "her letter"}, status=409)
    at_desk("DELETE", f"/v1/audit/holds/{held}?reason=settled")
    assert at_desk("POST", "/v1/audit/erase", {"subject": person, "authority": "her letter"})["count"] > 0
    at_desk("POST", "/v1/audit/prune", {"before": 1}, status=409)
    while len(at_desk("GET", "/v1/audit/entries?from=256&limit=1")["entries"]) == 0:  # only whole blocks of 256 go
        assert call().status == 200
    at_desk("GET", "/v1/audit/checkpoint")
    assert at_desk("POST", "/v1/audit/prune", {"before": time.time_ns()})["to"] == 256


def test_desk_payload():
    daemon.enable("hello", "--as", "seen", "--capture", "input")
    daemon.cli("reload")
    assert [one["capture"] for one in api("GET", "/v1/connectors").json["connectors"] if one["name"] == "seen"] == ["input"]
    assert [one["capture"] for one in at_desk("GET", "/v1/plugins")["plugins"] if one["name"] == "seen"] == ["input"]
    answer = api("POST", "/v1/calls", {"connector": "seen", "action": "greet", "input": {"name": "Ada"}})
    asked = {"id": answer.json["call_id"], "part": "input"}
    assert at_desk("POST", "/v1/audit/payload", asked)["size"] == len('{"name":"Ada"}')
    at_desk("POST", "/v1/audit/payload", {**asked, "part": "reply"}, status=404)


def test_desk_epoch():
    """After a log that was put back: the way on is asked for behind the same door."""
    kept = os.path.join(daemon.home, "kept")
    daemon.stop()
    subprocess.run(["cp", "-a", daemon.home + "/data", kept], check=True)
    daemon.start()
    assert call().status == 200
    daemon.stop()
    shutil.rmtree(daemon.home + "/data")
    os.rename(kept, daemon.home + "/data")
    daemon.start()
    assert at_desk("POST", "/v1/audit/epoch", {"reason": "put back by a test"})["origin"].endswith("/2")
    assert call().status == 200


def test_desk_push():
    pushed = at_desk("POST", "/v1/audit/push")
    assert pushed["finished"] and pushed["sinks"]["kept"]["state"] == "up", pushed


def test_desk_through_the_command():
    """The command speaks to the desk through the judge: its requests must fit the description too."""
    folder = os.path.join(daemon.home, "through")
    os.makedirs(folder + "/keys")
    shutil.copy(daemon.home + "/keys/vault.pub", folder + "/keys/vault.pub")
    for name in ("plugins", "plugins.d", "data", "witness"):
        os.symlink(os.path.join(daemon.home, name), os.path.join(folder, name))
    with open(folder + "/caisson.conf", "w", encoding="utf-8") as out:
        out.write(f"[Listen]\nDesk={folder}/desk.sock\nUnix={daemon.home}/run/api.sock\n")
    words, before = [os.path.join(BUILD, "tools", "caisson"), "--home", folder], len(desk.lines)
    with open(folder + "/secret", "w", encoding="utf-8") as out:
        out.write("whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz")
    with Bridge(folder + "/desk.sock", ("127.0.0.1", desk.port)):
        for command in ("credential set other --connector webhook secret=@" + folder + "/secret --audience hooks.demo.example",
                        "credential rotate other secret=@" + folder + "/secret", "credential show other", "credential list", "credential remove other",
                        "lease list", "lease revoke --connector webhook",
                        "token create cli --workspace default --role viewer --expires 1h", "token list", "plugin list", "plugin disable bad",
                        "plugin enable bad --yes", "reload", "freeze", "thaw", "status", "calls list", "audit tail", "audit checkpoint"):
            done = subprocess.run([*words, *command.split()], capture_output=True, text=True)
            assert done.returncode == 0, f"caisson {command}: {done.returncode} {done.stdout[-300:]}{done.stderr[-600:]}\n{desk.said()}"
        said = eventually("the judge's notes", lambda: any("/v1/audit/checkpoint" in line for line in desk.lines[before:]) and "".join(desk.lines[before:]))
        assert "Violation" not in said and "terminated with error" not in said, said  # which the command may have swallowed
        seen.update(("desk", method.upper(), path.split("?")[0]) for method, path in re.findall(r"\[HTTP SERVER\] (\w+) (/\S+)", said))


def fits(template, path):
    wanted, got = template.split("/"), path.split("/")
    return len(wanted) == len(got) and all(one.startswith("{") or one == other for one, other in zip(wanted, got))


def test_nothing_was_left_out():
    """Every operation of the description was answered 200 above, behind each door that its tags name."""
    script = "const y = require('js-yaml'), f = require('fs'); console.log(JSON.stringify(y.load(f.readFileSync(process.argv[1], 'utf8'))))"
    described = json.loads(subprocess.run(["node", "-e", script, OPENAPI], cwd=os.environ["CAISSON_NPM"], capture_output=True, text=True, check=True).stdout)
    missing = [f"{door}: {method.upper()} {path}" for path, operations in described["paths"].items() for method, operation in operations.items()
               if method in ("get", "post", "put", "delete", "patch") for door in operation["tags"]
               if not any(one == door and verb == method.upper() and fits(path, asked) for one, verb, asked in seen)]
    assert not missing, missing


def main():
    global daemon, https, strict, lax, desk, token, reader
    port = free_port()
    outside = tempfile.TemporaryDirectory(prefix="caisson-outside.")
    config = f"[Listen]\nTcp=127.0.0.1:{port}\n[Audit]\nKeepBodies=0\n[Push]\nFile=kept {outside.name}/log\n[Limits]\nCallRate=100\nCallBurst=400\n[Resolver]\nHost=hooks.demo.example 127.0.0.1\n"
    with Daemon(config=config) as daemon:
        ca = os.path.join(daemon.home, "ca")
        subprocess.run([f"{PEERS}/make_ca.sh", ca, "hooks.demo.example"], check=True)
        with Peer(f"{PEERS}/https_peer.py", "--cert", ca + "/server.pem", "--key", ca + "/server.key") as https, \
                Bridge(("127.0.0.1", 0), daemon.home + "/run/desk.sock") as behind, \
                Prism("proxy", OPENAPI, f"http://127.0.0.1:{port}") as strict, Prism("proxy", OPENAPI, f"http://127.0.0.1:{behind.port}") as desk, \
                Prism("proxy", OPENAPI, f"http://127.0.0.1:{port}", "--validate-request", "false") as lax:
            daemon.start()
            daemon.enable("hello")
            daemon.enable("bad", "--egress", "none", files=BAD)
            daemon.enable("webhook", "--egress", f"tls://hooks.demo.example:{https.port}", "--ranges", "127.0.0.0/8", "--ca", ca + "/ca.pem")
            daemon.credential("hook", "webhook", {"secret": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"})
            token, reader = (json.loads(daemon.cli("--json", "token", "create", role, "--workspace", "default", "--role", role).stdout)["token"]
                             for role in ("operator", "viewer"))
            only = sys.argv[1:]
            run([case for name, case in list(globals().items()) if name.startswith("test_") and (not only or any(word in name for word in only))])


if __name__ == "__main__":
    main()
