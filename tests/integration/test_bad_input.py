#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What bad input gets: a clear error of the right kind, nothing lost, everyone else unaffected."""
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import CAISSOND, Daemon, run  # noqa: E402

daemon = None


def problem(answer, status, slug):
    assert answer.status == status, f"expected {status} {slug}: {answer}"
    assert answer.headers["content-type"].startswith("application/problem+json"), answer.headers
    assert answer.json["type"] == f"urn:caisson:problem:{slug}", answer
    assert answer.json["status"] == status
    assert daemon.home.encode() not in answer.body, "an internal path is in the error"
    return answer.json


def post(body, headers=None):
    return daemon.http("POST", "/v1/calls", body, headers)


def test_unknown_connector():
    problem(daemon.call("nobody", "send", {}), 404, "not-found")


def test_unknown_action():
    problem(daemon.call("hello", "shout", {"name": "Ada"}), 404, "not-found")


def test_unknown_credential():
    problem(daemon.call("webhook", "post", {"url": "https://a.example/", "data": {}}, credential="nothing"), 404, "not-found")


def test_schema_names_the_field():
    for data, pointer in (({"name": 7}, "/name"), ({}, "/name"), ({"name": "Ada", "more": 1}, "/more")):
        found = problem(daemon.call("hello", "greet", data), 422, "bad-input")
        assert found["errors"][0]["pointer"].endswith(pointer) or pointer.strip("/") in found["detail"], found


def test_malformed_json():
    for body in ("", "{", "[1]", "null", '{"connector":"hello","action":"greet","input":{}} x', '{"a":1,"a":2}',
                 '{"connector":"hello","connector":"hello","action":"greet","input":{"name":"x"}}', '{"connector":"hello","action":"greet","input":{"name":"a\\u0000b"}}', b"\xff\xfe", "\ufeff{}"):
        answer = post(body)
        assert answer.status in (400, 422), f"{body!r}: {answer}"
        assert answer.headers["content-type"].startswith("application/problem+json")


def test_wrong_types():
    good = {"connector": "hello", "action": "greet", "input": {"name": "Ada"}}
    for change in ({"connector": 5}, {"action": []}, {"input": "text"}, {"timeout_ms": "soon"}, {"timeout_ms": -1}, {"workspace": {}}, {"unknown": 1}):
        answer = post({**good, **change})
        assert answer.status in (400, 422), f"{change}: {answer}"


def test_deep_json():
    answer = post('{"connector":"hello","action":"greet","input":' + "[" * 100000 + "]" * 100000 + "}")
    assert answer.status in (400, 422), answer


def test_oversize_body():
    answer = post(json.dumps({"connector": "hello", "action": "greet", "input": {"name": "x" * (33 * 2**20)}}))
    problem(answer, 413, "too-large")


def test_wrong_token():
    for token in ("Bearer cst_" + "A" * 43, "Bearer nothing", "Basic YTpi"):
        answer = post({"connector": "hello", "action": "greet", "input": {"name": "Ada"}}, {"Authorization": token})
        problem(answer, 401, "no-identity")


def test_token_without_the_right():
    made = json.loads(daemon.cli("--json", "token", "create", "narrow", "--workspace", "default", "--role", "invoker",
                                 "--connector", "webhook").stdout)
    headers = {"Authorization": "Bearer " + made["token"]}
    problem(post({"connector": "hello", "action": "greet", "input": {"name": "Ada"}}, headers), 403, "denied")
    daemon.cli("token", "revoke", made["id"])
    problem(post({"connector": "webhook", "action": "post", "input": {}}, headers), 401, "no-identity")


def test_credential_of_another_connector():
    daemon.credential("forsms", "sms", {"account_sid": "AC" + "0" * 32, "auth_token": "not-a-real-token"})
    answer = daemon.call("webhook", "post", {"url": "https://a.example/", "data": {}}, credential="forsms")
    problem(answer, 404, "not-found")


def test_unknown_workspace():
    answer = post({"workspace": "elsewhere", "connector": "hello", "action": "greet", "input": {"name": "Ada"}})
    assert answer.status in (403, 404), answer


def test_disabled_plugin():
    daemon.cli("plugin", "disable", "hello")
    try:
        answer = daemon.call("hello", "greet", {"name": "Ada"})
        assert b"disabled" in answer.body and problem(answer, 409, "wrong-state")
    finally:
        daemon.cli("plugin", "enable", "hello", "--yes")
    assert daemon.call("hello", "greet", {"name": "Ada"}).status == 200


def plugins_d():
    """Every file of plugins.d with its bytes."""
    folder = os.path.join(daemon.home, "plugins.d")
    found = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = file.read()
    return found


def registry():
    return json.loads(daemon.cli("--json", "status").stdout)["registry"]


def test_enabling_with_a_bad_value_changes_nothing():
    """Each with what the command says of it; the connector that ran before runs on, as it was approved."""
    empty = os.path.join(daemon.home, "empty.pem")
    with open(empty, "w", encoding="utf-8"):
        pass
    bad = ((("--egress", "tls://a.example"), "a.example", "the port is missing: scheme://host:port"),
           (("--egress", "https://a.example:443"), "https://a.example:443", "tls://, starttls:// or plain://"),
           (("--egress", "tls://*:443"), "tls://*:443", "AllowAnyHost=yes"),
           (("--egress", "tls://localhost:443"), "localhost", "AddressRanges=loopback"),
           (("--egress", "starttls://a.example:25"), "starttls://a.example:25", "asks for: tls://"),
           (("--egress", "tls://a.example:443", "--egress", "tls://b..example:443"), "b..example", "not a host name"),
           (("--grant", "MemoryMax=1"), "MemoryMax=", "e.g. 8M"),
           (("--grant", "MemoryMax=999G"), "MemoryMax=", "1024M"),
           (("--grant", "Spares=17"), "Spares=", "from 0 to 16"),
           (("--grant", "TimeMax=forever"), "TimeMax=", "from 1s"),
           (("--ranges", "10.0.0.1/8"), "AddressRanges=", "10.0.0.0/8, loopback or private"),
           (("--workspaces", "No Such"), "Workspaces=", "names of workspaces"),
           (("--set", "unsigned=perhaps"), "unsigned", "one boolean"),
           (("--ca", empty), "--ca", "no PEM certificate"))
    def works():
        listed = json.loads(daemon.cli("--json", "plugin", "list").stdout)["plugins"]
        return listed, daemon.call("webhook", "post", {"url": "https://b.example/", "data": {}}).json["type"]

    files, number, before = plugins_d(), registry(), works()
    for options, value, right in bad:
        done = daemon.cli("plugin", "enable", "webhook", "--yes", *options, check=False)
        assert done.returncode == 4 and value in done.stderr and right in done.stderr, f"{options}: {done}"
        assert "nothing was changed" in done.stderr, done.stderr
        assert plugins_d() == files, f"{options} left something behind"
        fresh = daemon.cli("plugin", "enable", "webhook", "--as", "another", "--yes", *options, check=False)
        assert fresh.returncode == 4 and plugins_d() == files, f"{options}: {fresh}"
    assert registry() == number, "the daemon was told to read something"
    assert works() == before and "enabled" in str(before)


def test_enabling_what_does_not_load_changes_nothing():
    """What only the daemon finds out is put back: here a shared object that it will not load."""
    folder = os.path.join(daemon.home, "plugins", "hello")
    good, ca = {}, [os.path.join(daemon.home, name) for name in ("first.pem", "second.pem")]
    for name in ("hello.so", "manifest.json"):
        with open(os.path.join(folder, name), "rb") as file:
            good[name] = file.read()
    for path in ca:
        with open(path, "w", encoding="ascii") as file:
            file.write(f"-----BEGIN CERTIFICATE-----\n{os.path.basename(path)}\n")
    daemon.cli("plugin", "enable", "hello", "--yes", "--ca", ca[0])
    files = plugins_d()
    try:
        for name, bad in (("hello.so", b"no shared object"), ("manifest.json", good["manifest.json"] + b"\n")):
            with open(os.path.join(folder, name), "wb") as file:
                file.write(bad)
        done = daemon.cli("plugin", "enable", "hello", "--yes", "--ca", ca[1], check=False)
        assert done.returncode == 4 and "is not an ELF file" in done.stderr and "as it was before" in done.stderr, done
        assert plugins_d() == files
        done = daemon.cli("plugin", "enable", "hello", "--as", "another", "--yes", "--ca", ca[1], check=False)
        assert done.returncode == 4 and "taken away again" in done.stderr, done
        assert plugins_d() == files
    finally:
        for name, text in good.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(text)
        daemon.cli("reload")
    assert daemon.call("hello", "greet", {"name": "Ada"}).status == 200


def test_routes_and_methods():
    assert daemon.http("GET", "/v2/nothing").status == 404
    wrong = daemon.http("PUT", "/v1/calls", "{}")
    assert wrong.status == 405 and "POST" in wrong.headers["allow"], wrong
    assert daemon.http("GET", "/v1/tokens").status == 404, "administration is on the desk only"
    text = daemon.http("POST", "/v1/calls", "a=b", {"Content-Type": "application/x-www-form-urlencoded"})
    assert text.status in (400, 415), text


def test_idempotency_key_grammar():
    for key in ("x" * 256, "ü".encode().decode("latin-1"), 'a"b'):
        answer = daemon.call("hello", "greet", {"name": "Ada"}, key=key)
        assert answer.status == 400, f"{key!r}: {answer}"


def test_unknown_call():
    problem(daemon.http("GET", "/v1/calls/01890000-0000-7000-8000-000000000000"), 404, "not-found")
    assert daemon.http("GET", "/v1/calls/not-an-id").status in (400, 404)


def test_frozen():
    daemon.cli("freeze")
    try:
        problem(daemon.call("hello", "greet", {"name": "Ada"}), 503, "frozen")
    finally:
        daemon.cli("thaw")
    assert daemon.call("hello", "greet", {"name": "Ada"}).status == 200


def test_garbage_on_the_socket():
    for data in (b"\x00" * 4096, b"GET", b"POST /v1/calls HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
                 b"POST /v1/calls HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"\r\n" * 10000):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(10)
            raw.connect(daemon.home + "/run/api.sock")
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            try:
                while raw.recv(65536):
                    pass
            except (ConnectionError, TimeoutError):
                pass
    assert daemon.call("hello", "greet", {"name": "Ada"}).status == 200


def test_second_daemon():
    done = subprocess.run([CAISSOND, "--home", daemon.home, "--wait", "1"], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "another" in done.stderr.lower(), done
    assert daemon.call("hello", "greet", {"name": "Ada"}).status == 200


def test_port_in_use():
    with socket.socket() as taken, Daemon() as other:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with open(other.home + "/caisson.conf", "a", encoding="utf-8") as out:
            out.write(f"\n[Listen]\nTcp=127.0.0.1:{taken.getsockname()[1]}\n")
        other.start(expect=False)
        assert other.process.wait(30) != 0
        with open(other.log, encoding="utf-8") as log:
            assert str(taken.getsockname()[1]) in log.read(), "the error does not name the port"


def test_home_not_there():
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run([CAISSOND, "--home", empty], capture_output=True, text=True, timeout=60)
        assert done.returncode != 0 and "init" in done.stderr, done


def test_damaged_database():
    with Daemon() as other:
        other.start()
        other.stop()
        for name in os.listdir(other.home + "/data"):
            path = os.path.join(other.home, "data", name)
            if name == "audit.db":
                with open(path, "r+b") as database:
                    database.write(b"not a database at all" * 300)
            elif name.endswith(("-wal", "-shm")):
                os.unlink(path)
        other.start(expect=False)
        assert other.process.wait(60) != 0
        with open(other.log, encoding="utf-8") as log:
            assert "audit.db" in log.read(), "the error does not name the file"


def test_key_missing():
    with Daemon() as other:
        shutil.rmtree(other.home + "/keys")
        other.start(expect=False)
        assert other.process.wait(30) != 0


if __name__ == "__main__":
    with Daemon() as daemon:
        daemon.start()
        daemon.enable("hello")
        daemon.enable("webhook", "--egress", "tls://a.example:443")
        daemon.enable("sms", "--egress", "tls://api.twilio.com:443")
        only = sys.argv[1:]
        run([case for name, case in list(globals().items())
             if name.startswith("test_") and (not only or any(word in name for word in only))])
