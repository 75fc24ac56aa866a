#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""caisson connector test: the real walls without a daemon, refusals in words, and an exit status for scripts."""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BUILD, CAISSON, SOURCE, run  # noqa: E402

MODULES = os.path.join(BUILD, "tests", "sandbox")
TRIES = os.path.join(MODULES, "tries.so")
TRIES_MANIFEST = os.path.join(SOURCE, "tests", "sandbox", "plugins", "tries.json")
HELLO = os.path.join(BUILD, "sdk", "example", "hello", "hello.so")
HELLO_MANIFEST = os.path.join(SOURCE, "sdk", "example", "hello", "manifest.json")
FILES = "a connector has no files; see docs/sandbox.md#files"
folder = None


def trial(code, *words, stdin=None):
    done = subprocess.run([CAISSON, *words[:words.index("--")], "connector", "test", *words[words.index("--") + 1:]]
                          if "--" in words else [CAISSON, "connector", "test", *words],
                          capture_output=True, text=True, input=stdin, timeout=120)
    assert done.returncode == code, f"{words}: exit {done.returncode} instead of {code}\n{done.stdout}{done.stderr}"
    return done


def write(name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as out:
        out.write(text if isinstance(text, str) else json.dumps(text))
    return path


def test_an_answer():
    done = trial(0, HELLO, HELLO_MANIFEST, "greet", '{"name": "Ada"}')
    assert done.stdout.startswith("hello/greet: ok\n") and '"greeting": "Hello, Ada!"' in done.stdout, done.stdout
    assert done.stderr == "", done.stderr


def test_input_from_files_settings_and_several_actions():
    path = write("ada.json", {"name": "Zoe"})
    done = trial(0, HELLO, HELLO_MANIFEST, "greet", path, "noop", "{}", "--set", "greeting=Moin")
    assert '"greeting": "Moin, Zoe!"' in done.stdout and "hello/noop: ok" in done.stdout, done.stdout
    assert "Moin, Eve!" in trial(0, "--set", "greeting=Moin", HELLO, HELLO_MANIFEST, "greet", "-",
                                 stdin='{"name": "Eve"}').stdout


def test_the_manifest_beside_it():
    shutil.copy(HELLO, os.path.join(folder, "hello.so"))
    shutil.copy(HELLO_MANIFEST, os.path.join(folder, "manifest.json"))
    trial(0, os.path.join(folder, "hello.so"), "noop", "{}")
    assert "it can be loaded" in trial(0, os.path.join(folder, "hello.so")).stdout


def test_a_refusal_in_words():
    done = trial(3, TRIES, TRIES_MANIFEST, "open", "{}")
    assert done.stderr == f'tries/open called openat("/etc/hosts"): {FILES}\n', done.stderr
    assert "tries/open: ok" in done.stdout and '"errno": 1' in done.stdout, done.stdout


def test_a_refusal_while_loading():
    for words in ((), ("run", "{}")):
        done = trial(3, os.path.join(MODULES, "tries-early.so"), TRIES_MANIFEST, *words)
        who = "tries/run" if words else "tries"
        assert done.stderr == f'{who} called openat("/etc/hosts") while it was loaded: {FILES}\n', done.stderr


def test_the_call_that_killed_it():
    done = trial(3, TRIES, TRIES_MANIFEST, "killed", "{}")
    assert done.stderr == ('tries/killed called execve("/bin/sh") and was killed for it: a connector starts no process '
                           "and sees no other; see docs/sandbox.md#processes\n"), done.stderr
    assert "tries/killed: violation" in done.stdout, done.stdout


def test_the_call_that_killed_it_while_loading():
    manifest = {"name": "attacker", "version": "1.0.0", "abi": 1, "summary": "x",
                "actions": {"run": {"summary": "x", "input": {"type": "object"}}}}
    done = trial(3, os.path.join(MODULES, "early-killed.so"), write("attacker.json", manifest), "run", "{}")
    assert re.match(r"attacker/run called io_uring_setup\(0x4, 0x[0-9a-f]+.*\) while it was loaded and was killed for it: .*#kernel",
                    done.stderr), done.stderr


def test_failures():
    assert 'tries/fail: rejected: "no"' in trial(3, TRIES, TRIES_MANIFEST, "fail", "{}").stdout
    odd = {"name": "odd", "version": "1.0.0", "abi": 1, "summary": "x", "limits": {"wall_s": 2}, "actions": {
        name: {"summary": "x", "input": {"type": "object"}} for name in ("crash", "leave", "silent", "hang", "fail", "run")}}
    path = write("odd.json", odd)
    for action, says in (("crash", "crashed: "), ("leave", "crashed: "), ("silent", "without csn_ok or csn_fail"),
                         ("hang", "timeout: "), ("fail", "retryable: ")):
        assert says in trial(1, os.path.join(MODULES, "odd.so"), path, action, "{}").stdout, action
    odd["actions"]["run"]["output"] = {"type": "object", "additionalProperties": False}
    assert "output schema" in trial(1, os.path.join(MODULES, "odd.so"), write("strict.json", odd), "run", "{}").stdout


def test_objects_that_do_not_load():
    for module, says in (("loading2", "crash"), ("loading1", "not loaded in time"), ("loading5", "another ABI"),
                         ("loading6", "csn_connector_1")):
        done = trial(1, os.path.join(MODULES, module + ".so"), TRIES_MANIFEST, "run", "{}")
        assert says in done.stdout, done.stdout
    done = trial(1, write("empty.so", "no object"), TRIES_MANIFEST)
    assert "caisson: " in done.stderr, done.stderr


def test_wrong_command_lines():
    for words, says in (((), "an argument is missing"), ((TRIES, TRIES_MANIFEST, "nope", "{}"), "no action nope"),
                        ((HELLO, HELLO_MANIFEST, "greet", "{}"), "input of greet"),
                        ((HELLO, HELLO_MANIFEST, "greet", "{"), "{"),
                        ((HELLO, HELLO_MANIFEST, "--peer", "nowhere"), "--peer wants"),
                        ((HELLO, HELLO_MANIFEST, "--field", "x=y"), "no such field"),
                        ((HELLO, HELLO_MANIFEST, "--set", "x"), "--set wants"),
                        ((HELLO, HELLO_MANIFEST, "--nope"), "no option --nope")):
        assert says in trial(2, *words).stderr, (words, says)


def test_dials_lead_where_the_developer_says():
    manifest = {"name": "odd", "version": "1.0.0", "abi": 1, "summary": "x", "egress": ["plain://example.com:443"],
                "actions": {"dial": {"summary": "x", "input": {"type": "object"}}}}
    path, odd = write("dial.json", manifest), os.path.join(MODULES, "odd.so")
    done = trial(0, odd, path, "dial", "{}")
    assert "this trial has no --peer example.com:443" in done.stdout and '"fd": -1' in done.stdout, done.stdout
    with socket.create_server(("127.0.0.1", 0)) as server:
        def answer():
            peer, _ = server.accept()
            peer.sendall(b"pong" if peer.recv(4) == b"ping" else b"what")
            peer.close()
        beside = threading.Thread(target=answer, daemon=True)
        beside.start()
        port = server.getsockname()[1]
        done = trial(0, odd, path, "--peer", f"example.com:443=127.0.0.1:{port}", "dial", "{}")
        assert '"back": "pong"' in done.stdout, done.stdout
        beside.join(10)


def test_credential_fields():
    manifest = {"name": "odd", "version": "1.0.0", "abi": 1, "summary": "x",
                "credential": {"fields": {"token": {"summary": "x"}, "user": {"summary": "x", "secret": False}}},
                "actions": {"log": {"summary": "x", "input": {"type": "object"}, "fields": ["token", "user"]}}}
    path, odd = write("log.json", manifest), os.path.join(MODULES, "odd.so")
    done = trial(0, odd, path, "--field", "token=@" + write("token", "t0psecret-value\n"), "--field", "user=me", "log", "{}")
    assert "log info:" in done.stdout and "the token is" in done.stdout and "t0psecret-value" not in done.stdout, done.stdout
    assert "it is secret" in trial(2, odd, path, "--field", "token=t0psecret-value", "log", "{}").stderr


def test_json():
    done = trial(3, "--json", "--", TRIES, TRIES_MANIFEST, "open", "{}", "run", "{}")
    first, second = json.loads(done.stdout)
    assert first["action"] == "open" and first["class"] == "ok" and first["answer"] == {"errno": 1}, first
    refused, = first["refused"]
    assert refused["name"] == "openat" and refused["number"] == 257 and refused["phase"] == "call", refused
    assert refused["call"] == 'openat("/etc/hosts")' and refused["advice"] == FILES and not refused["killed"], refused
    assert second["refused"] == [], second


def test_every_anchor_of_the_advice_is_a_heading():
    with open(os.path.join(SOURCE, "runtime", "trial", "advice.c"), encoding="utf-8") as code:
        anchors = re.findall(r'\[GROUP_\w+\] = \{"[^"]+", "([a-z-]+)"\}', code.read())
    with open(os.path.join(SOURCE, "docs", "sandbox.md"), encoding="utf-8") as page:
        heads = [head.lower().replace(" ", "-") for head in re.findall(r"^#+ (.*)$", page.read(), re.M)]
    assert len(anchors) == 9 and not set(anchors) - set(heads), (anchors, heads)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="caisson-trial.") as folder:
        run([case for name, case in list(globals().items()) if name.startswith("test_")])
