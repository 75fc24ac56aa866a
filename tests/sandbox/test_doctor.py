#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""caisson doctor and the daemon on machines that lack a layer: each is taken away in turn, and there is never a quiet pass.
What doctor says and what the daemon does are the same."""
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import BUILD, CAISSON, Daemon, Skip, eventually, only_root, run  # noqa: E402

WITHOUT = os.path.join(BUILD, "tests", "sandbox", "without")
AS_ON_6_1 = os.path.join(BUILD, "tests", "sandbox", "as-on-6.1")
ROOT = os.geteuid() == 0
FULL, LOWERED, CANNOT = 0, 1, 2

# layer: verdict as root, verdict as an ordinary user, the wall that is named, a word of what to do
LAYERS = [
    ("user-namespaces", FULL, LOWERED, "user_namespace", "sysctl -w user.max_user_namespaces"),
    ("clone-user", FULL, LOWERED, "user_namespace", "RestrictNamespaces="),
    ("clone-pid", LOWERED, LOWERED, "pid_namespace", "seccomp or AppArmor profile"),
    ("clone-net", LOWERED, LOWERED, "network_namespace", "seccomp or AppArmor profile"),
    ("clone-mount", LOWERED, LOWERED, "mount_namespace", "seccomp or AppArmor profile"),
    ("clone-ipc", LOWERED, LOWERED, "ipc_namespace", "seccomp or AppArmor profile"),
    ("clone-uts", LOWERED, LOWERED, "uts_namespace", "seccomp or AppArmor profile"),
    ("pivot-root", LOWERED, LOWERED, "empty_root", "seccomp or AppArmor profile"),
    ("pivot-root-lies", LOWERED, LOWERED, "empty_root", "seccomp or AppArmor profile"),
    ("fsopen", LOWERED, LOWERED, "empty_root", "seccomp or AppArmor profile"),
    ("capset-lies", LOWERED, LOWERED, "empty_root", "seccomp or AppArmor profile"),
    ("landlock-enosys", CANNOT, CANNOT, "landlock", "lsm=landlock"),
    ("landlock-eopnotsupp", CANNOT, CANNOT, "landlock", "lsm=landlock"),
    ("landlock-lies", CANNOT, CANNOT, "landlock", "lsm=landlock"),
    ("seccomp-enosys", CANNOT, CANNOT, "seccomp", "CONFIG_SECCOMP_FILTER"),
    ("seccomp-einval", CANNOT, CANNOT, "seccomp", "CONFIG_SECCOMP_FILTER"),
    ("seccomp-lies", CANNOT, CANNOT, "seccomp", "CONFIG_SECCOMP_FILTER"),
    ("listener", CANNOT, CANNOT, "listener", "Linux 5.14"),
    ("addfd", CANNOT, CANNOT, "listener", "Linux 5.14"),
    ("no-new-privs", CANNOT, CANNOT, "no_new_privs", "no_new_privs is refused"),
    ("setresuid-lies", CANNOT, FULL, "plugin_uid", "CAP_SETUID"),
    ("limits-lie", CANNOT, CANNOT, "limits", "setrlimit"),
    ("dumpable-lies", CANNOT, CANNOT, "no_dumps", "core_pattern"),
    ("pidfd", CANNOT, CANNOT, "proc", "/proc"),
    ("mdwe", FULL, FULL, "mdwe", "Linux 6.3"),
    ("memfd-secret", FULL, FULL, "memfd_secret", "secretmem.enable=1"),
]
daemon = None


def doctor(layer=None, home=None, user=None, as_text=False):
    words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
    words += [WITHOUT, layer] if layer else []
    words += [CAISSON, "--home", home or "/nonexistent", "doctor"] + ([] if as_text else ["--json"])
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1, 2) and not done.stderr, f"{layer}: exit {done.returncode}: {done.stdout}{done.stderr}"
    return done.returncode, done.stdout if as_text else json.loads(done.stdout)


def state_of(report, key):
    return next(wall for wall in report["walls"] if wall["key"] == key)


def check_layer(layer, verdict, key, words, user=None):
    who = f"{layer} as {user or os.geteuid()}"
    status, report = doctor(layer, user=user)
    wall = state_of(report, key)
    assert status == verdict == report["status"], f"{who}: exit {status}, expected {verdict}: {report['walls']}"
    if wall["state"] == "not needed":
        assert verdict == FULL, f"{who}: {wall}"
        return
    assert wall["state"] == "missing" and words in wall["advice"], f"{who}: {wall}"
    assert report["starts"] == (verdict == FULL), f"{who}: {report}"


# ── doctor ────────────────────────────────────────────────────────────────────────────────────────────

def test_nothing_is_missing():
    """This machine itself: what the other tests take away is there."""
    for user in [None, 65534] if ROOT else [None]:
        status, report = doctor(user=user)
        bad = [wall for wall in report["walls"] if wall["state"] == "missing" and wall["need"] != "extra"]
        assert status == FULL and report["starts"] and not bad, f"as {user}: {bad}"
        assert report["privileged"] == (ROOT and not user)


def test_each_layer_in_turn():
    for layer, as_root, as_user, key, words in LAYERS:
        check_layer(layer, as_root if ROOT else as_user, key, words)


@only_root
def test_each_layer_in_turn_as_a_user():
    for layer, _, as_user, key, words in LAYERS:
        check_layer(layer, as_user, key, words, user=65534)


def test_as_on_debian_12():
    """Linux 6.1: full strength without what is newer; the mask that the other suites run under does mask."""
    done = subprocess.run([AS_ON_6_1, CAISSON, "--home", "/nonexistent", "doctor", "--json"], capture_output=True, text=True,
                          timeout=60)
    report = json.loads(done.stdout)
    missing = {wall["key"] for wall in report["walls"] if wall["state"] == "missing"} - {"control_groups"}
    assert done.returncode == FULL and report["landlock_abi"] == 2, report
    assert missing == {"landlock_tcp", "landlock_signals", "mdwe", "memfd_secret"}, missing


def test_what_people_read():
    status, text = doctor("pivot-root", as_text=True)
    assert status == LOWERED and "MinimumIsolation=lowered" in text and "refuses to start" in text, text
    status, text = doctor("landlock-enosys", as_text=True)
    assert status == CANNOT and "no setting of its own changes that" in text, text
    status, text = doctor(as_text=True)
    assert status == FULL and "full strength" in text, text


def test_the_setting_is_said():
    with Daemon("[Daemon]\nMinimumIsolation=lowered") as other:
        status, report = doctor(home=other.home)
        assert status == LOWERED and report["starts"] and report["minimum_isolation"] == "lowered", report
        status, text = doctor("pivot-root", home=other.home, as_text=True)
        assert status == LOWERED and "LOWERED walls" in text, text
        status, report = doctor("landlock-enosys", home=other.home)
        assert status == CANNOT and not report["starts"], report


# ── the daemon ────────────────────────────────────────────────────────────────────────────────────────

@contextlib.contextmanager
def daemon_without(layer, lowered):
    with Daemon("[Daemon]\nMinimumIsolation=lowered" if lowered else "") as other:
        other.prefix = [WITHOUT, layer]
        yield other


def words_of(other):
    with open(other.log, encoding="utf-8", errors="replace") as log:
        return log.read()


def refuses(layer, words, lowered=True):
    """It says what is missing and what to do, and nothing of it is left running."""
    with daemon_without(layer, lowered) as other:
        line = other.start(expect=False)
        assert "ready" not in line, f"without {layer} it became ready"
        assert other.process.wait(60) != 0, f"without {layer} it ended as if all were well: {words_of(other)}"
        said = [text for text in words_of(other).splitlines() if text.startswith("caissond: ") and "WARNING" not in text]
        assert said and words in said[0], f"without {layer}: {said}"
        assert doctor(layer, home=other.home)[1]["starts"] is False


def runs(layer, lowered):
    """It runs, a connector works, and everything says with which walls."""
    with daemon_without(layer, lowered) as other:
        other.start()
        other.enable("hello")
        answer = other.call("hello", "greet", {"name": "Ada"})
        assert answer.status == 200, answer
        said = "lowered" if lowered else None
        assert ("WARNING: MinimumIsolation=lowered" in words_of(other)) == lowered
        assert other.http("GET", "/v1/health", door="desk").json.get("walls") == said
        entries = json.loads(other.cli("--json", "audit", "tail", "--limit", "100").stdout)["entries"]
        kinds = {entry["body"]["kind"] for entry in entries if entry["body"].get("walls") == said}
        others = [entry["body"]["kind"] for entry in entries if entry["body"].get("walls") != said]
        assert {"intent", "outcome"} <= kinds and not others, f"{kinds} {others}"
        assert doctor(layer, home=other.home)[1]["starts"] is True


def test_no_start_without_landlock():
    refuses("landlock-enosys", "Landlock")
    refuses("landlock-eopnotsupp", "Landlock")


def test_no_start_without_seccomp():
    refuses("seccomp-enosys", "seccomp")
    refuses("seccomp-lies", "seccomp")


def test_no_start_without_a_listener():
    refuses("addfd", "user notification")


def test_user_namespaces_switched_off():
    if ROOT:
        runs("user-namespaces", lowered=False)
    else:
        refuses("user-namespaces", "user.max_user_namespaces=0", lowered=False)
        runs("user-namespaces", lowered=True)


def test_no_empty_root():
    refuses("pivot-root", "MinimumIsolation=lowered", lowered=False)
    runs("pivot-root", lowered=True)


@only_root
def test_no_user_of_its_own():
    refuses("setresuid-lies", "a user of its own")


@only_root
def test_root_without_its_rights():
    """As in many containers: it could make user namespaces, but connectors would then run as root itself."""
    bare = [shutil.which("setpriv"), "--inh-caps=-all", "--bounding-set=-sys_admin"]
    done = subprocess.run([*bare, CAISSON, "--home", "/nonexistent", "doctor", "--json"], capture_output=True, text=True,
                          timeout=60)
    report = json.loads(done.stdout)
    assert done.returncode == CANNOT and state_of(report, "plugin_uid")["state"] == "missing", report
    with Daemon("[Daemon]\nMinimumIsolation=lowered") as other:
        other.prefix = bare
        assert "ready" not in other.start(expect=False)
        assert other.process.wait(60) != 0 and "a user of its own" in words_of(other), words_of(other)


# ── control groups ────────────────────────────────────────────────────────────────────────────────────

def own_path(name):
    """Where this process is in the control groups of that controller ("": of version 2)."""
    with open("/proc/self/cgroup", encoding="ascii") as lines:
        return next((path for _, names, path in (line.strip().split(":", 2) for line in lines) if names == name), None)


@contextlib.contextmanager
def group(name, kind, *options):
    """A new control group below this process's own, where the machine shows such or in a mount of the test's own; None:
    this kernel has none of that kind."""
    usual = next((place for place in (f"/sys/fs/cgroup/{name}", "/sys/fs/cgroup") if os.path.exists(place + "/cgroup.procs")), None)
    fixed = kind == "cgroup2"  # the daemon looks for a group that was given to it there only
    place = usual or ("/sys/fs/cgroup" if fixed else tempfile.mkdtemp(prefix="caisson-groups."))
    made = path = None
    try:
        if not usual and subprocess.run(["mount", "-t", kind, *options, "none", place], capture_output=True).returncode:
            yield None
            return
        path = own_path("" if kind == "cgroup2" else name)
        with contextlib.suppress(OSError, TypeError):
            made = tempfile.mkdtemp(prefix="caisson-test.", dir=place + path)
        yield made
    finally:
        if made:
            os.rmdir(made)
        if path and not usual:
            subprocess.run(["umount", place], check=True)
        if not usual and not fixed:
            os.rmdir(place)


VERSION_1 = [("pids", "cgroup", "-o", "pids"), ("cpu", "cgroup", "-o", "cpu")]
VERSION_2 = ("unified", "cgroup2")


def can_be_made(*which):
    with group(*which) as folder:
        return folder is not None


def inside(group):
    with open(os.path.join(group, "cgroup.procs"), encoding="ascii") as procs:
        return {int(pid) for pid in procs.read().split()}


def is_of(other, pids):
    """Some of the daemon's processes and no others; a worker may have ended between the two looks."""
    return pids and pids < set(other.family())


@only_root
def test_control_groups():
    """Of version 1."""
    with group(*VERSION_1[0]) as pids, group(*VERSION_1[1]) as cpu:
        made = [folder for folder in (pids, cpu) if folder]
        if not made:
            raise Skip("no control group of version 1 can be made here")
        with Daemon(f"[Daemon]\nControlGroup={' '.join(made)}") as other:
            status, report = doctor(home=other.home)
            assert status == FULL and state_of(report, "control_groups")["state"] == "holds", report
            other.start()
            other.enable("hello")
            assert other.call("hello", "greet", {"name": "Ada"}).status == 200
            for folder in made:
                cells = [name for name in os.listdir(folder) if name.startswith("cell-")]
                assert len(cells) == 1, f"{folder}: {cells}"
                eventually("the cell and its workers inside", lambda: is_of(other, inside(os.path.join(folder, cells[0]))))
                limit = os.path.join(folder, cells[0], "pids.max")
                if os.path.exists(limit):
                    with open(limit, encoding="ascii") as text:
                        assert int(text.read()) < 100
            other.stop()
            for folder in made:
                assert not [name for name in os.listdir(folder) if name.startswith("cell-")], "a group is left"


@only_root
def test_a_group_that_was_given_away():
    """Marked as systemd marks it, version 2: the daemon lives in a group below, and goes on without its controllers."""
    with group(*VERSION_2) as folder:
        if not folder:
            raise Skip("no control group of version 2 can be made here")
        os.setxattr(folder, "user.delegate", b"1")
        try:
            with Daemon() as other:
                other.prefix = ["/bin/sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', folder]
                other.start()
                other.enable("hello")
                assert other.call("hello", "greet", {"name": "Ada"}).status == 200
                found = inside(os.path.join(folder, "daemon"))
                assert found >= {other.process.pid, other.role("runner"), other.role("vault")}, found
                words = words_of(other)
                bounded = '"bound":"nothing"' not in words
                assert bounded or "no controller of memory, pids or cpu" in words, words
                assert bounded == any(name.startswith("cell-") for name in os.listdir(folder))
                other.stop()
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(os.path.join(folder, "daemon"))


def test_control_group_that_is_not_there():
    with Daemon("[Daemon]\nControlGroup=/sys/fs/cgroup/there-is-none") as other:
        status, report = doctor(home=other.home)
        assert status == CANNOT and "ControlGroup=" in state_of(report, "control_groups")["advice"], report
        other.start(expect=False)
        assert other.process.wait(60) != 0 and "ControlGroup=" in words_of(other), words_of(other)


if __name__ == "__main__":
    cases = [case for name, case in list(globals().items()) if name.startswith("test_")]
    if ROOT and not can_be_made(*VERSION_1[0]) and can_be_made(*VERSION_2):
        cases.remove(test_control_groups)  # the kernel has version 2 only: that one's test stands for both
    run(cases)
