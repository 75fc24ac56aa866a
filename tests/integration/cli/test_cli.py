#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The caisson command against a running daemon: set-up, secrets, connectors, freeze, help, exit codes."""
import contextlib
import json
import os
import pty
import select
import socket
import stat
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import CAISSON, Daemon, run  # noqa: E402

SECRET = "s3cr3t-typed-by-hand"
ACCOUNT = "AC00000000000000000000000000000001"
daemon = None


def path(*parts):
    return os.path.join(daemon.home, *parts)


def refused(code, says, *words, stdin=None):
    done = daemon.cli(*words, check=False, stdin=stdin)
    assert done.returncode == code, f"{words}: exit {done.returncode} instead of {code}: {done.stderr}"
    assert says in done.stderr, f"{words}: {done.stderr!r} lacks {says!r}"
    return done


def test_init_makes_modes_and_keeps_keys():
    modes = {name: stat.S_IMODE(os.stat(path(name)).st_mode)
             for name in ("data", "witness", "plugins", "plugins.d", "run", "keys/master.key", "keys/vault.pub")}
    assert modes == {"data": 0o700, "witness": 0o700, "plugins": 0o755, "plugins.d": 0o755, "run": 0o755,
                     "keys/master.key": 0o600, "keys/vault.pub": 0o644}, modes
    with open(path("keys", "master.key"), "rb") as key:
        before = key.read()
    assert "nothing was changed" in daemon.cli("init").stdout
    with open(path("keys", "master.key"), "rb") as key:
        assert key.read() == before


def test_status_in_words_and_json():
    assert daemon.cli("status").stdout.startswith("status: ok")
    assert json.loads(daemon.cli("--json", "status").stdout)["status"] == "ok"


def test_enabling_asks_and_does_nothing_without_a_yes():
    daemon.install("sms")
    done = refused(7, "nobody said yes", "plugin", "enable", "sms", stdin="")
    assert "auth_token" in done.stderr and "(secret)" in done.stderr and "tls://{base_url}" in done.stderr
    assert os.listdir(path("plugins.d")) == []


def test_enabling_pins_what_it_showed():
    daemon.cli("plugin", "enable", "sms", "--yes", "--set", "from=+15005550001")
    with open(path("plugins.d", "50-sms.conf"), encoding="utf-8") as file:
        text = file.read()
    assert "Egress=tls://api.twilio.com:443\n" in text and "from=+15005550001\n" in text
    entry, = json.loads(daemon.cli("--json", "plugin", "list").stdout)["plugins"]
    assert entry["name"] == "sms" and entry["state"] == "enabled", entry
    assert "sms: as approved" in daemon.cli("plugin", "verify").stdout
    refused(4, "no setting named nope", "plugin", "enable", "sms", "--yes", "--set", "nope=1")


def test_hand_written_lines_survive():
    with open(path("plugins.d", "50-sms.conf"), "a", encoding="utf-8") as file:
        file.write("# kept by hand\n")
    daemon.cli("plugin", "disable", "sms")
    refused(7, "disabled", "call", "sms", "send", "--input", '{"to":"+15005550006","body":"x"}')
    daemon.cli("plugin", "enable", "sms", "--yes")
    with open(path("plugins.d", "50-sms.conf"), encoding="utf-8") as file:
        text = file.read()
    assert "# kept by hand" in text and "Enabled=yes" in text and "Enabled=no" not in text


def test_enabling_writes_over_no_drop_in_that_is_not_its_own():
    drop_in = path("plugins.d", "50-sms.conf")
    with open(drop_in, encoding="utf-8") as file:
        good = file.read()
    try:
        for text, says in ((good.replace("Name=sms", "Name=text"), "for text"), (good + "Slip of the hand\n", "cannot be read")):
            with open(drop_in, "w", encoding="utf-8") as file:
                file.write(text)
            refused(7, says, "plugin", "enable", "sms", "--yes")
            with open(drop_in, encoding="utf-8") as file:
                assert file.read() == text
    finally:
        with open(drop_in, "w", encoding="utf-8") as file:
            file.write(good)


def granted(name):
    with open(path("plugins.d", f"50-{name}.conf"), encoding="utf-8") as file:
        return [line for line in file if line.startswith("Egress=")]


def test_another_setting_grants_nothing_and_what_it_lacks_is_told():
    before = granted("sms")
    done = refused(4, "not granted: tls://other.example:443", "plugin", "enable", "sms", "--yes", "--set", "base_url=https://other.example")
    assert "is more than the manifest (with these settings) asks for" in done.stderr and granted("sms") == before, done
    assert "not granted" not in daemon.cli("plugin", "enable", "sms", "--yes", "--set", "from=+15005550002").stderr
    daemon.enable("email")
    before = granted("email")
    done = daemon.cli("plugin", "enable", "email", "--yes", "--set", "host=mail.example")
    assert "not granted: starttls://mail.example:587 (" in done.stderr and granted("email") == before, done
    assert "not granted" not in daemon.cli("plugin", "enable", "email", "--yes", "--set", "helo=me.example").stderr


def test_a_changed_file_is_named_and_refused():
    object_path = path("plugins", "sms", "sms.so")
    with open(object_path, "rb") as file:
        before = file.read()
    with open(object_path, "ab") as file:
        file.write(b"x")
    try:
        done = refused(13, "not what was approved", "plugin", "verify", "sms")
        assert "sms.so" in done.stdout and "manifest.json" not in done.stdout
    finally:
        with open(object_path, "wb") as file:
            file.write(before)
    daemon.cli("plugin", "verify", "sms")


def test_secrets_are_refused_in_the_command_line():
    done = refused(2, "auth_token=@FILE", "credential", "set", "phone", "--connector", "sms",
                   f"account_sid={ACCOUNT}", f"auth_token={SECRET}")
    assert SECRET not in done.stdout + done.stderr
    refused(4, "no credential field", "credential", "set", "phone", "--connector", "sms", "nonsense=1")
    refused(6, "no connector nope", "credential", "set", "phone", "--connector", "nope", "a=1")
    assert json.loads(daemon.cli("--json", "credential", "list").stdout)["credentials"] == []


def test_without_a_terminal_nothing_is_asked():
    done = subprocess.run([CAISSON, "--home", daemon.home, "credential", "set", "phone", "--connector", "sms",
                           f"account_sid={ACCOUNT}"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          start_new_session=True)
    assert done.returncode == 2 and "no terminal to ask on" in done.stderr, done


def typed(line, *words):
    """Runs the command on a terminal of its own and types that line at the first question; all that it showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(CAISSON, [CAISSON, "--home", daemon.home, *words])
    shown, sent, end = b"", False, time.monotonic() + 60
    while time.monotonic() < end:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            piece = os.read(terminal, 4096)
        except OSError:
            break
        shown += piece
        if not piece:
            break
        if not sent and b"auth_token" in shown and shown.rstrip(b" ").endswith(b":"):
            os.write(terminal, line)
            sent = True
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_prompts_do_not_echo():
    code, shown = typed(SECRET.encode() + b"\n", "credential", "set", "phone", "--connector", "sms",
                        "--audience", "API.twilio.com", f"account_sid={ACCOUNT}")
    assert code == 0, shown
    assert "auth_token (" in shown and SECRET not in shown, shown
    shown = json.loads(daemon.cli("--json", "credential", "show", "phone").stdout)
    assert shown["audience"] == ["api.twilio.com"] and sorted(shown["fields"]) == ["account_sid", "auth_token"], shown


def test_control_c_at_a_prompt_gives_up():
    code, shown = typed(b"half\x03", "credential", "set", "other", "--connector", "sms", f"account_sid={ACCOUNT}")
    assert code == 2 and "nothing was given" in shown, (code, shown)


def test_rotate_keeps_connector_and_audience():
    daemon.cli("credential", "rotate", "phone", f"account_sid={ACCOUNT}", "auth_token=-", stdin="another\n")
    shown = json.loads(daemon.cli("--json", "credential", "show", "phone").stdout)
    assert shown["version"] == 2 and shown["audience"] == ["api.twilio.com"], shown


def test_a_submission_goes_to_the_key_in_the_file():
    """A wrong vault.pub must make the vault refuse; the daemon cannot hand out another one."""
    public = path("keys", "vault.pub")
    with open(public, encoding="ascii") as file:
        before = file.read()
    other = Daemon()
    with other:
        with open(os.path.join(other.home, "keys", "vault.pub"), encoding="ascii") as file:
            foreign = file.read()
    try:
        with open(public, "w", encoding="ascii") as file:
            file.write(foreign)
        refused(4, "not sealed to this daemon", "credential", "set", "wrong", "--connector", "sms", f"account_sid={ACCOUNT}", "auth_token=-",
                stdin="x")
    finally:
        with open(public, "w", encoding="ascii") as file:
            file.write(before)
    refused(6, "wrong", "credential", "show", "wrong")


def test_calls_exit_with_the_outcome():
    refused(3, "not acceptable JSON", "call", "sms", "send", "--input", "{")
    refused(6, "no action nope", "call", "sms", "nope")
    refused(4, "body", "call", "sms", "send", "--credential", "phone", "--input", '{"to":"+15005550006"}')
    done = refused(4, "problem:bad-input", "--json", "call", "sms", "send", "--credential", "phone", "--input", "{}")
    assert json.loads(done.stderr)["status"] == 422
    refused(6, "no-such", "call", "sms", "send", "--credential", "no-such", "--input", '{"to":"+15005550006","body":"x"}')


def test_freeze_stops_calls_and_thaw_lets_them_run():
    words = ("call", "sms", "send", "--credential", "phone", "--input", '{"to":"+15005550006","body":"x"}')
    daemon.cli("freeze")
    refused(10, "frozen", *words)
    daemon.cli("thaw")
    done = daemon.cli(*words, check=False)
    assert done.returncode not in (0, 10), done


def test_tokens_are_shown_once():
    token = daemon.cli("token", "create", "robot", "--connector", "sms", "--expires", "1h").stdout.strip()
    listed = daemon.cli("token", "list").stdout
    assert len(token) > 40 and token not in listed and "robot" in listed
    ident = json.loads(daemon.cli("--json", "token", "list").stdout)["tokens"][0]["id"]
    daemon.cli("token", "revoke", ident)
    assert json.loads(daemon.cli("--json", "token", "list").stdout)["tokens"][0]["revoked"]
    refused(2, "--expires", "token", "create", "x", "--expires", "soon")


def test_workspaces_are_apart():
    daemon.cli("workspace", "create", "team")
    assert "team" in daemon.cli("workspace", "list").stdout
    assert json.loads(daemon.cli("--json", "credential", "list", "--workspace", "team").stdout)["credentials"] == []
    refused(6, "no connector sms", "credential", "set", "p", "--workspace", "team", "--connector", "sms", "account_sid=x")


def test_the_log_can_be_read_and_verified():
    entries = json.loads(daemon.cli("--json", "audit", "tail", "--limit", "500").stdout)["entries"]
    assert [entry["index"] for entry in entries] == sorted(entry["index"] for entry in entries)
    assert SECRET not in json.dumps(entries)
    daemon.cli("audit", "verify")
    assert "\n\n" in daemon.cli("audit", "checkpoint").stdout
    assert daemon.cli("audit", "vkey").stdout.count("+") >= 2


def test_the_newest_entries_are_shown():
    """One answer does not hold them all."""
    names = [f"{chr(97 + i % 26)}{i:02}" + "x" * 50 for i in range(32)]
    for i in range(240):
        assert daemon.http("POST", "/v1/tokens", {"name": f"many{i}", "connectors": names}, door="desk").status == 200
    page = daemon.http("GET", "/v1/audit/entries?limit=240", door="desk").json
    assert page["next"] < page["size"], "one answer holds them all"
    tail = json.loads(daemon.cli("--json", "audit", "tail", "--limit", "240").stdout)
    assert [one["index"] for one in tail["entries"]] == list(range(tail["size"] - 240, tail["size"]))
    first = daemon.cli("audit", "tail", "--from", "0", "--limit", "2")
    assert "--from 2" in first.stderr and len(first.stdout.splitlines()) == 3, first


def test_all_tokens_are_listed():
    assert "next" in daemon.http("GET", "/v1/tokens", door="desk").json, "one answer holds the tokens of the test above"
    listed = {one["name"] for one in json.loads(daemon.cli("--json", "token", "list").stdout)["tokens"]}
    assert {f"many{i}" for i in range(240)} <= listed


def test_calls_are_listed_as_far_as_asked():
    daemon.cli("call", "sms", "send", "--credential", "phone", "--input", '{"to":"+15005550006","body":"x"}', check=False)
    calls = json.loads(daemon.cli("--json", "calls", "list").stdout)["calls"]
    first = daemon.cli("calls", "list", "--limit", "1")
    assert calls[0]["call_id"] in first.stdout and f"--before {calls[0]['call_id']}" in first.stderr, first
    refused(4, "ok, rejected, retryable", "calls", "list", "--class", "okay")


def test_without_a_daemon():
    daemon.stop()
    refused(12, "no daemon answers", "status")
    daemon.cli("freeze", "--now")
    with open(path("freeze"), encoding="ascii") as file:
        assert file.read() == "now\n"
    daemon.cli("thaw")
    assert not os.path.exists(path("freeze"))
    done = daemon.cli("plugin", "disable", "sms")
    assert "when it starts" in done.stdout, done
    refused(6, "run caisson init first", "--home", path("nowhere"), "plugin", "verify")


@contextlib.contextmanager
def desk(answer):
    """Stands at the desk of the daemon that was stopped: gives every request that answer, then hangs up."""
    with socket.socket(socket.AF_UNIX) as door:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path("run", "desk.sock"))
        door.bind(path("run", "desk.sock"))
        door.listen()

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    with door.accept()[0] as line:
                        line.recv(65536)
                        line.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        try:
            yield
        finally:
            door.shutdown(socket.SHUT_RDWR)
            server.join()
    os.unlink(path("run", "desk.sock"))


def problem(status, slug, detail):
    body = json.dumps({"type": "urn:caisson:problem:" + slug, "status": status, "detail": detail})
    return f"HTTP/1.1 {status} No\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


def test_a_daemon_that_takes_nothing_in_is_not_taken_for_none():
    for answer, says in ((problem(503, "unavailable", "the loader ended"), "the loader ended"), (b"", "talking to the daemon")):
        with desk(answer):
            done = refused(12, says, "plugin", "disable", "sms")
            assert "has not taken that in" in done.stderr and "caisson reload" in done.stderr and not done.stdout, done
            done = refused(12, says, "plugin", "enable", "sms", "--yes")
        with open(path("plugins.d", "50-sms.conf"), encoding="utf-8") as file:
            assert "Enabled=no" in file.read(), "what the daemon did not take in stayed enabled"


def test_a_tolerated_refusal_is_not_told_as_the_failure():
    """audit verify has the desk sign a checkpoint where it may; that it may not is no reason to fail."""
    os.rename(path("data", "audit.db"), path("data", "aside.db"))
    try:
        with desk(problem(403, "denied", "not for you")):
            done = refused(6, "audit.db", "--json", "audit", "verify")
            assert "denied" not in done.stderr, done
            refused(5, '"detail":"not for you"', "--json", "audit", "checkpoint")
    finally:
        os.rename(path("data", "aside.db"), path("data", "audit.db"))


def test_completion_is_sound_bash():
    text = daemon.cli("completion", "bash").stdout
    script = text + '\nCOMP_WORDS=(caisson credential r); COMP_CWORD=2; _caisson; echo "${COMPREPLY[@]}"\n'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["rotate", "remove"] and not done.stderr, done


def main():
    global daemon
    with Daemon() as daemon:
        daemon.start()
        run([value for name, value in globals().items() if name.startswith("test_")])


main()
