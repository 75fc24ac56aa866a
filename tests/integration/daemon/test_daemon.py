#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The parent and the roles it starts: deaths, a second daemon, homes and configurations that are wrong, stopping."""
import contextlib
import glob
import os
import shutil
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import CAISSOND, Daemon, eventually, only_root, run  # noqa: E402

ROLES = ["vault", "ledger", "broker", "runner", "front", "desk"]
ROOT = os.geteuid() == 0
daemon = None


def greets(one=None):
    """One real call."""
    with contextlib.suppress(OSError):
        answer = (one or daemon).call("hello", "greet", {"name": "you"})
        return answer.status == 200 and answer.json["class"] == "ok"
    return False


def caissond(home, *words, wait="0", user=None):
    """Runs a daemon that is expected to end by itself."""
    prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
    return subprocess.run([*prefix, CAISSOND, "--home", home, "--wait", wait, *words], capture_output=True, text=True,
                          timeout=60)


def refused(done, text):
    assert done.returncode != 0, "it started"
    assert text in done.stderr, done.stderr


def status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as lines:
        return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}


def registry():
    return daemon.http("GET", "/v1/health", door="desk").json["registry"]


@contextlib.contextmanager
def fresh_home(config=""):
    with Daemon(config) as other:
        yield other


# ── deaths ────────────────────────────────────────────────────────────────────────────────────────────

def killed(role):
    old = daemon.role(role)
    assert old, f"there is no {role}"
    os.kill(old, signal.SIGKILL)
    eventually(f"a new {role}", lambda: daemon.role(role) not in (None, old))
    eventually(f"calls after the {role} died", greets)
    others = [one for one in ROLES if one != role]
    assert all(daemon.role(one) for one in others)


def test_vault_killed():
    killed("vault")


def test_ledger_killed():
    killed("ledger")


def test_broker_killed():
    killed("broker")


def test_runner_killed():
    killed("runner")


def test_front_killed():
    killed("front")


def test_desk_killed():
    killed("desk")
    eventually("the desk's socket", lambda: daemon.cli("status", check=False).returncode == 0)


def test_all_killed_at_once():
    old = {role: daemon.role(role) for role in ROLES}
    for pid in old.values():
        os.kill(pid, signal.SIGKILL)
    eventually("calls after all died", greets)
    assert not set(old.values()) & {daemon.role(role) for role in ROLES}


def test_others_live_on():
    before = {role: daemon.role(role) for role in ROLES}
    os.kill(before["broker"], signal.SIGKILL)
    eventually("a new broker", lambda: daemon.role("broker") not in (None, before["broker"]))
    for role in ROLES:
        assert role == "broker" or daemon.role(role) == before[role], f"the {role} was started again too"


# ── reload, freeze ────────────────────────────────────────────────────────────────────────────────────

def test_reload_by_signal():
    before = registry()
    daemon.process.send_signal(signal.SIGHUP)
    eventually("a new registry", lambda: registry() > before)
    assert greets()


def test_reloads_at_once_are_all_answered():
    before = registry()
    several = [subprocess.Popen([os.path.join(os.environ["CAISSON_BUILD"], "tools", "caisson"), "--home", daemon.home,
                                 "reload"], stdout=subprocess.DEVNULL) for _ in range(6)]
    assert [one.wait(60) for one in several] == [0] * 6
    assert registry() > before and greets()


def test_broken_dropin_stays_alone():
    path = os.path.join(daemon.home, "plugins.d", "01-broken.conf")
    with open(path, "w", encoding="utf-8") as out:
        out.write("[Plugin\nName=")
    try:
        daemon.cli("reload")
        listed = daemon.cli("plugin", "list").stdout
        assert "invalid" in listed and greets(), listed
    finally:
        os.unlink(path)
        daemon.cli("reload")


def test_changed_plugin_is_refused_and_named():
    path = os.path.join(daemon.home, "plugins", "hello", "hello.so")
    shutil.copy(path, path + ".kept")
    try:
        with open(path, "ab") as out:
            out.write(b"\0")
        daemon.cli("reload")
        answer = daemon.call("hello", "greet", {"name": "you"})
        assert answer.status == 409 and "plugin-changed" in answer.json["type"], answer
        assert "shared object" in daemon.cli("plugin", "list").stdout
    finally:
        os.replace(path + ".kept", path)
        daemon.cli("reload")
    assert greets()


def test_loader_failure_keeps_the_registry():
    """plugins.d becomes unreadable as a whole: the reload says so, and what ran goes on."""
    folder = os.path.join(daemon.home, "plugins.d")
    made = []
    try:
        for number in range(520):
            made.append(os.path.join(folder, f"90-many-{number}.conf"))
            with open(made[-1], "w", encoding="utf-8") as out:
                out.write("")
        done = daemon.cli("reload", check=False)
        assert done.returncode != 0 and "512" in done.stderr, done
        assert greets()
    finally:
        for path in made:
            os.unlink(path)
        daemon.cli("reload")


def test_reload_refuses_a_broken_configuration():
    path = os.path.join(daemon.home, "caisson.conf")
    with open(path, encoding="utf-8") as file:
        kept = file.read()
    before = registry()
    try:
        with open(path, "a", encoding="utf-8") as out:
            out.write("\n[Limits]\nCalls=none\n")
        done = daemon.cli("reload", check=False)
        assert done.returncode != 0 and "Calls=" in done.stderr and "caisson.conf:" in done.stderr, done
        assert registry() == before and greets()
    finally:
        with open(path, "w", encoding="utf-8") as out:
            out.write(kept)
        daemon.cli("reload")
    assert registry() > before


def test_freeze_survives_a_restart():
    with fresh_home() as other:
        other.start()
        other.enable("hello")
        assert greets(other)
        other.cli("freeze")
        eventually("the freeze", lambda: other.call("hello", "greet", {"name": "you"}).status == 503)
        other.stop()
        other.start()
        answer = other.call("hello", "greet", {"name": "you"})
        assert answer.status == 503 and "frozen" in answer.json["type"], answer
        other.cli("thaw")
        eventually("the thaw", lambda: greets(other))


# ── what the roles are ────────────────────────────────────────────────────────────────────────────────

def test_roles_have_nothing_they_do_not_need():
    for role in ROLES:
        pid = daemon.role(role)
        facts = status(pid)
        assert facts["NoNewPrivs"] == "1", (role, facts["NoNewPrivs"])
        assert facts["Seccomp"] == "2", (role, facts["Seccomp"])
        if role != "runner":
            for key in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
                assert int(facts[key], 16) == 0, (role, key, facts[key])
        if ROOT:
            assert facts["Groups"] == "", (role, facts["Groups"])
            with open(f"/proc/{pid}/environ", "rb") as environment:
                assert environment.read() == b"", role
            if role != "runner":
                assert int(facts["CapBnd"], 16) == 0, (role, facts["CapBnd"])


@only_root  # nobody else has other users to give
def test_each_role_is_its_own_user():
    uids = {role: status(daemon.role(role))["Uid"].split() for role in ROLES}
    assert all(len(set(four)) == 1 for four in uids.values()), uids
    others = [four[0] for role, four in uids.items() if role != "runner"]
    assert len(set(others)) == len(others) and "0" not in others, uids


def descriptors():
    family = {"parent": daemon.process.pid, **{role: daemon.role(role) for role in ROLES}}
    return {name: len(os.listdir(f"/proc/{pid}/fd")) for name, pid in family.items()}


@only_root  # nobody else may look into an undumpable process
def test_reloads_and_deaths_leave_no_descriptors():
    killed("front")
    eventually("all roles", lambda: all(daemon.role(role) for role in ROLES))
    daemon.cli("reload")
    assert greets()
    before = descriptors()  # a loader or a worker that is just leaving may be among them
    for _ in range(20):
        daemon.cli("reload")
    killed("front")
    assert greets()

    def no_more():
        return all(count <= before[name] for name, count in descriptors().items())
    eventually(f"no more descriptors than before ({before})", no_more)


def test_parent_is_undumpable():
    assert status(daemon.process.pid)["NoNewPrivs"] == "1"
    with open(f"/proc/{daemon.process.pid}/limits", encoding="ascii") as limits:
        core = next(line for line in limits if line.startswith("Max core"))
    assert core.split()[4:6] == ["0", "0"], core


def test_witness_is_written_down():
    path = os.path.join(daemon.home, "witness", "checkpoint")
    assert os.stat(path).st_size > 0 and os.stat(path).st_mode & 0o777 == 0o600


# ── a second daemon ───────────────────────────────────────────────────────────────────────────────────

def test_second_daemon_is_refused():
    done = caissond(daemon.home, wait="1")
    refused(done, "still runs")
    assert str(daemon.process.pid) in done.stderr and greets()


def test_second_daemon_waits_for_the_first():
    with fresh_home() as other:
        other.start()
        second = subprocess.Popen([CAISSOND, "--home", other.home, "--wait", "60"], stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
        try:
            other.stop()
            assert second.stdout.readline() == b"ready\n"
        finally:
            second.terminate()
            assert second.wait(60) == 0
            second.stdout.close()


def test_lock_is_held_by_the_last_role():
    """The parent is killed, one role hangs: nobody else may start until that one is gone."""
    with fresh_home() as other:
        other.start()
        family = other.family()
        stuck = other.role("vault")
        os.kill(stuck, signal.SIGSTOP)
        os.kill(other.process.pid, signal.SIGKILL)
        other.process.wait()
        refused(caissond(other.home, wait="1"), "still runs")
        os.kill(stuck, signal.SIGCONT)
        eventually("the end of all", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in family[1:]))
        other.process.stdout.close()
        other.start()


# ── homes and configurations that are wrong ───────────────────────────────────────────────────────────

def test_home_not_writable():
    with fresh_home() as other:
        shutil.rmtree(os.path.join(other.home, "run"))
        user = "65534" if ROOT else None
        if ROOT:
            subprocess.run(["chown", "-R", "65534:65534", other.home], check=True)
        os.chmod(other.home, 0o555)
        refused(caissond(other.home, user=user), "cannot be written")
        os.chmod(other.home, 0o755)


def test_home_writable_by_others():
    with fresh_home() as other:
        for name in ("", "keys", "plugins.d"):
            path = os.path.join(other.home, name)
            os.chmod(path, 0o777)
            refused(caissond(other.home), "written by others")
            os.chmod(path, 0o755)


def test_key_readable_by_others():
    with fresh_home() as other:
        os.chmod(os.path.join(other.home, "keys", "master.key"), 0o644)
        refused(caissond(other.home), "read by others")


def test_key_missing_or_damaged():
    with fresh_home() as other:
        key = os.path.join(other.home, "keys", "master.key")
        os.rename(key, key + ".away")
        refused(caissond(other.home), "caisson init")
        with open(key, "w", encoding="ascii") as out:
            out.write("not a key\n")
        os.chmod(key, 0o600)
        refused(caissond(other.home), "master key")


def test_damaged_witness():
    """The vault says why it does not start, and the daemon ends with its words."""
    with fresh_home() as other:
        other.start()
        other.stop()
        with open(os.path.join(other.home, "witness", "checkpoint"), "r+b") as file:
            file.truncate(10)
        refused(caissond(other.home), "witness/checkpoint")


def test_role_that_cannot_start_again_ends_the_daemon():
    with fresh_home() as other:
        other.start()
        key = os.path.join(other.home, "keys", "master.key")
        os.rename(key, key + ".away")
        os.kill(other.role("vault"), signal.SIGKILL)
        assert other.process.wait(60) != 0
        with open(other.log, encoding="utf-8") as log:
            assert "caissond: the vault does not start: there is no keys/master.key" in log.read()


def test_lowered_isolation_is_said():
    with fresh_home("[Daemon]\nMinimumIsolation=lowered") as other:
        other.start()
        with open(other.log, encoding="utf-8") as log:
            assert "WARNING: MinimumIsolation=lowered" in log.read()


def test_no_home():
    refused(caissond("/nonexistent"), "caisson init")


def test_port_in_use():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with fresh_home(f"[Listen]\nTcp=127.0.0.1:{port}") as other:
            refused(caissond(other.home), f"127.0.0.1:{port} is in use")


def test_tcp_beyond_loopback_needs_tls():
    with fresh_home("[Listen]\nTcp=0.0.0.0:18321") as other:
        refused(caissond(other.home), "TlsCertificate=")


def test_unknown_key_in_the_configuration():
    with fresh_home("[Daemon]\nUidbase=3") as other:
        done = caissond(other.home)
        refused(done, "Uidbase")
        assert "caisson.conf:" in done.stderr


def test_named_configuration_is_missing():
    with fresh_home() as other:
        refused(caissond(other.home, "--config", "/nonexistent.conf"), "/nonexistent.conf")


def test_socket_path_is_somebodys_file():
    with fresh_home() as other:
        with open(os.path.join(other.home, "run", "api.sock"), "w", encoding="ascii") as out:
            out.write("mine")
        refused(caissond(other.home), "is no socket")


def test_check_starts_nothing():
    with fresh_home() as other:
        done = caissond(other.home, "--check")
        assert done.returncode == 0 and "in order" in done.stdout
        assert not glob.glob(os.path.join(other.home, "run", "*.sock"))


def test_command_line():
    done = caissond(daemon.home, "nonsense")
    assert done.returncode == 2 and "nonsense" in done.stderr
    done = subprocess.run([CAISSOND, "--help"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0 and "--home" in done.stdout


# ── stopping, systemd ─────────────────────────────────────────────────────────────────────────────────

def test_stops_in_order():
    with fresh_home() as other:
        other.start()
        family = other.family()
        process = other.process
        process.terminate()
        assert process.wait(60) == 0
        assert not any(os.path.exists(f"/proc/{pid}") for pid in family), "something still runs"
        with open(other.log, encoding="utf-8") as log:
            text = log.read()
        assert "role-late" not in text and "role-ended" not in text, text
        assert not glob.glob(os.path.join(other.home, "run", "*.sock"))


def test_stops_while_it_starts():
    """SIGTERM at any moment of the start ends it cleanly."""
    with fresh_home() as other:
        for lines in range(0, 9, 2):
            process = subprocess.Popen([CAISSOND, "--home", other.home, "--wait", "30"], stderr=subprocess.PIPE,
                                       stdout=subprocess.DEVNULL)
            for _ in range(lines):
                process.stderr.readline()
            process.terminate()
            rest = process.communicate(timeout=60)[1].decode()
            assert process.returncode in ((0, -signal.SIGTERM) if lines == 0 else (0,)), (lines, process.returncode, rest)


def test_notify_and_handed_sockets():
    with fresh_home() as other, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, \
            socket.socket(socket.AF_UNIX) as desk, socket.socket() as tcp:
        manager.bind(os.path.join(other.home, "notify"))
        manager.settimeout(60)
        desk.bind(os.path.join(other.home, "run", "handed.sock"))
        desk.listen()
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()

        def hand_over():
            os.dup2(desk.fileno(), 100)
            os.dup2(tcp.fileno(), 101)
            os.dup2(100, 3)
            os.dup2(101, 4)
            os.environ["LISTEN_PID"] = str(os.getpid())

        script = f"exec {CAISSOND} --home {other.home}"
        started = subprocess.Popen(["sh", "-c", f"LISTEN_PID=$$ {script}"], pass_fds=(3, 4), preexec_fn=hand_over,
                                   env={**os.environ, "NOTIFY_SOCKET": os.path.join(other.home, "notify"),
                                        "LISTEN_FDS": "2", "LISTEN_FDNAMES": "desk:tcp"},
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            assert manager.recv(100) == b"READY=1"
            assert not os.path.exists(os.path.join(other.home, "run", "desk.sock"))
            assert other.http("GET", "/v1/health").status == 200
            with socket.create_connection(tcp.getsockname(), timeout=20) as caller:
                caller.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert caller.recv(12).startswith(b"HTTP/1.1 ")
        finally:
            started.terminate()
            assert manager.recv(100) == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=80000000"
            assert started.wait(60) == 0


if __name__ == "__main__":
    with Daemon() as daemon:
        daemon.start()
        daemon.enable("hello")
        only = sys.argv[1:]
        run([case for name, case in list(globals().items())
             if name.startswith("test_") and (not only or any(word in name for word in only))])
