#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each role taken over in turn, and what it then reaches of the machine it runs on: no file but its own, no other
process, no socket, no new code, no program. What its lines still let it do stands in test_false_*.py. The walls are
looked at from outside as well: what the kernel says of each process, and what each holds open."""
import contextlib
import os
import re
import signal
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attack import Ended, Halved, Taken, lib  # noqa: E402

ROOT = os.geteuid() == 0
LIVE = ("front", "desk", "ledger", "vault", "broker", "runner")
NUMBERS = {"front": 3, "desk": 4, "ledger": 5, "vault": 6, "broker": 7}  # enum role_id; the parent adds its first uid
RUNNER_CAPS = sum(1 << bit for bit in (5, 6, 7, 8, 21))  # KILL SETGID SETUID SETPCAP SYS_ADMIN
CALLS = {"read": 0, "mmap": 9, "mprotect": 10, "socket": 41, "connect": 42, "bind": 49, "socketpair": 53, "fork": 57, "execve": 59,
         "kill": 62, "rename": 82, "unlink": 87, "chmod": 90, "ptrace": 101, "setuid": 105, "capset": 126, "prctl": 157,
         "setrlimit": 160, "mount": 165, "openat": 257, "unshare": 272, "process_vm_readv": 310, "memfd_create": 319,
         "execveat": 322, "io_uring_setup": 425, "pidfd_open": 434}
AT_FDCWD, O_WRONLY, O_CREAT, O_PATH = -100, 1, 0o100, 0o10000000
REFUSED = ("EPERM", "EACCES")
NOT_THERE = ("EISDIR",)  # a folder cannot be written as a file, by anybody
daemon = None


def home(name):
    return os.path.join(daemon.home, name)


# ── from outside ──────────────────────────────────────────────────────────────────────────────────────

def status(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as text:
        return dict(line.rstrip("\n").split(":\t", 1) for line in text if ":\t" in line)


def pids():
    return {"parent": daemon.process.pid, **{role: daemon.role(role) for role in LIVE}}


def test_kernel_says_they_are_confined():
    """Filtered, without a way to new privileges, without capabilities, each with a user of its own as root."""
    users = {}
    for role, pid in pids().items():
        told = status(pid)
        assert told["NoNewPrivs"] == "1" and told["Seccomp"] == "2", f"{role}: {told['NoNewPrivs']} {told['Seccomp']}"
        wanted = RUNNER_CAPS if ROOT and role == "runner" else 0
        if role != "parent" or not ROOT:
            for name in ("CapEff", "CapPrm", "CapInh", "CapAmb") + (("CapBnd",) if ROOT else ()):
                assert int(told[name], 16) == wanted or (role == "runner" and name in ("CapInh", "CapAmb")), f"{role} has {name} {told[name]}"
        assert len(set(told["Uid"].split())) == 1, f"{role} can change between users: {told['Uid']}"
        users[role] = int(told["Uid"].split()[0])
        assert role == "parent" or not told["Groups"].strip() or not ROOT, f"{role} is in the groups {told['Groups']}"
    if ROOT:
        own = [users[role] for role in NUMBERS]
        assert len(set(own)) == len(own) and 0 not in own, f"shared or root: {users}"
        assert users["parent"] == users["runner"] == 0
    else:
        assert set(users.values()) == {os.geteuid()}


def test_nobody_can_be_dumped():
    for role, pid in pids().items():
        with open(f"/proc/{pid}/limits", encoding="utf-8") as limits:
            assert re.search(r"^Max core file size +0 +0 ", limits.read(), re.M), f"{role} may write a core"
        assert os.stat(f"/proc/{pid}/environ").st_uid == 0, f"{role} is dumpable"
        if not ROOT:
            for name in ("mem", "environ", "maps", "fd"):
                try:
                    os.listdir(f"/proc/{pid}/{name}") if name == "fd" else os.close(os.open(f"/proc/{pid}/{name}", os.O_RDONLY))
                except PermissionError:
                    continue
                raise AssertionError(f"the same user reads {name} of the {role}")


# What each may hold that has a path, beside the lock, nothing (/dev/null) and the daemon's standard error.
HOLDS = {"front": r"", "desk": r"", "vault": r"", "broker": r"/etc/.*resolv.*|/run/.*resolv.*", "ledger": r"{home}/data(/.*)?",
         "runner": r"{layout}/sdk/libcaisson-helpers\.so|/etc/ssl/.*|/usr/share/ca-certificates/.*"}


@lib.only_root  # others cannot look at their descriptors: that is what test_nobody_can_be_dumped shows
def test_descriptors_of_each_role():
    """Lines, their own files, and nothing of another's: above all nobody holds the key, and only the ledger the data."""
    seen = {}
    for role in LIVE:
        folder = f"/proc/{daemon.role(role)}/fd"
        seen[role] = [os.readlink(os.path.join(folder, number)) for number in os.listdir(folder)]
        allowed = HOLDS[role].format(home=re.escape(daemon.home), layout=re.escape(daemon.layout))
        usual = rf"/dev/null|{re.escape(home('run/lock'))}|{re.escape(daemon.log)}"
        for path in seen[role]:
            named = path.startswith("/") and not path.startswith("/memfd:")
            assert not named or re.fullmatch(f"{usual}|{allowed}" if allowed else usual, path), f"{role} holds {path}"
    sockets = {role: {one for one in found if one.startswith("socket:")} for role, found in seen.items()}
    for one in LIVE:
        for other in LIVE:
            assert one == other or not sockets[one] & sockets[other], f"{one} and {other} hold the same socket"
    assert any(path.startswith(home("data")) for path in seen["ledger"]), "the look sees nothing"


# ── from inside ───────────────────────────────────────────────────────────────────────────────────────

def secret_paths():
    pid = daemon.role("vault")
    return [home(name) for name in ("keys/master.key", "data/audit.db", "data/vault.db", "data/state.db", "caisson.conf", "plugins.d",
                                    "witness", "run/desk.sock", "run/lock")] + [f"/proc/{pid}/mem", f"/proc/{daemon.process.pid}/environ", "/etc/passwd"]


def own_path(role, path):
    return (role == "ledger" and path.startswith(home("data"))) or (role == "loader" and path == home("plugins.d"))


def attempts_refused(role):
    """(what, call, arguments): answered with an error, and the role lives on."""
    for path in secret_paths():
        yield f"path {path}", "openat", (AT_FDCWD, path, O_PATH, 0)
        if not own_path(role, path):
            yield f"read {path}", "openat", (AT_FDCWD, path, 0, 0)
            yield f"write {path}", "openat", (AT_FDCWD, path, O_WRONLY, 0)
    for folder in (daemon.home, home("plugins.d"), home("run"), "/tmp", "/dev/shm"):
        yield f"make a file in {folder}", "openat", (AT_FDCWD, folder + "/taken", O_WRONLY | O_CREAT, 0o600)
    yield "replace the configuration", "rename", (home("caisson.conf"), home("caisson.conf.old"))
    yield "remove the key", "unlink", (home("keys/master.key"),)
    yield "open the key to all", "chmod", (home("keys/master.key"), 0o666)
    for name, family, kind in (("unix", 1, 1), ("unix datagram", 1, 2), ("inet", 2, 1), ("inet6", 10, 1), ("raw", 2, 3), ("netlink", 16, 3),
                               ("packet", 17, 3), ("vsock", 40, 1)):
        if role not in ("broker", "provider") or family not in (2, 10) or kind == 3:
            yield f"a {name} socket", "socket", (family, kind, 0)
    yield "a pair that can be turned elsewhere", "socketpair", (1, 2, 0, bytes(8))
    yield "memory to run code in", "mmap", (0, 4096, 7, 0x22, -1, 0)
    yield "its own memory made to run", "mprotect", (0x10000, 4096, 5)
    yield "another user", "setuid", (0,)
    yield "capabilities", "capset", (bytes(8), bytes(24))
    yield "to be dumped", "prctl", (4, 1, 0, 0, 0)
    yield "a core", "setrlimit", (4, b"\xff" * 16)


def attempts_fatal(role):
    """(what, call, arguments): the kernel ends the process. What else does stands in tests/unit/sandbox."""
    victim = daemon.role("ledger" if role == "vault" else "vault")
    yield "trace another role", "ptrace", (0x4206, victim, 0, 0)
    yield "read its memory", "process_vm_readv", (victim, bytes(16), 1, bytes(16), 1, 0)
    yield "signal it", "kill", (victim, 0)
    yield "start a program", "execve", ("/bin/sh", bytes(8), bytes(8))


def nothing_reached(role, attacker, again):
    for what, call, args in attempts_refused(role):
        result, why = attacker.system(CALLS[call], *args)
        path_only = call == "openat" and args[2] == O_PATH  # a path without rights is none: reading through it fails
        if path_only and result >= 0:
            got, why = attacker.system(CALLS["read"], result, bytes(16), 16)
            assert got < 0 and why == "EBADF", f"{role}: {what} could be read"
            attacker.close(result)
        else:
            assert result < 0 and why in REFUSED + NOT_THERE, f"{role}: {what}: {result} {why}"
    alive = attacker
    for what, call, args in attempts_fatal(role):
        try:
            answer = alive.system(CALLS[call], *args)
        except Ended:
            alive = again()
            continue
        raise AssertionError(f"{role}: {what}: {answer}")


def others(role):
    """Nobody else died of it."""
    return {name: pid for name, pid in pids().items() if name != role}


def taken_role_reaches_nothing(role):
    with fresh_daemon():
        attacker = daemon.take_over(role)
        lib.eventually("everybody", lambda: None not in pids().values())
        before = others(role)
        nothing_reached(role, attacker, daemon.attacker)
        assert others(role) == before, "another role died"
        assert daemon.process.poll() is None


def test_front_reaches_nothing():
    taken_role_reaches_nothing("front")


def test_desk_reaches_nothing():
    taken_role_reaches_nothing("desk")


def test_ledger_reaches_its_data_only():
    taken_role_reaches_nothing("ledger")


def test_vault_reaches_nothing():
    taken_role_reaches_nothing("vault")


def test_broker_reaches_the_network_only():
    taken_role_reaches_nothing("broker")


def test_provider_reaches_the_network_only():
    """It lives for one start of a vault; a vault whose helper ended is started again, with another."""
    with fresh_daemon(Halved):
        daemon.replace("provider")
        before = others("vault")
        nothing_reached("provider", daemon.next_helper(), daemon.attacker)
        assert others("vault") == before and daemon.process.poll() is None


def test_loader_reads_plugins_only():
    """It lives for one reload; what it may read it cannot write."""
    with fresh_daemon():
        daemon.take_over("loader")
        reloads = []

        def again():
            reloads.append(threading.Thread(target=lambda: daemon.cli("reload", check=False)))
            reloads[-1].start()
            return daemon.attacker()

        before = others("loader")
        nothing_reached("loader", again(), again)
        attacker = again()
        result, _ = attacker.system(CALLS["openat"], AT_FDCWD, home("plugins.d"), 0o200000, 0)
        assert result >= 0, "it cannot even read plugins.d: the walls above say nothing"
        result, why = attacker.system(CALLS["openat"], AT_FDCWD, home("plugins.d/50-taken.conf"), O_WRONLY | O_CREAT, 0o600)
        assert result < 0 and why in REFUSED, f"a drop-in of its own: {why}"
        os.kill(daemon.role("loader"), signal.SIGKILL)
        for one in reloads:
            one.join(60)
        assert others("loader") == before and not os.path.exists(home("plugins.d/50-taken.conf"))


def test_runner_reaches_no_process_and_no_network():
    """It must mount and start cells, so its walls are about other processes and the network; docs/threat-model.md says
    what that leaves it."""
    with fresh_daemon():
        attacker = daemon.take_over("runner")
        before = others("runner")
        victim = daemon.role("vault")
        for name, family in (("unix", 1), ("inet", 2), ("inet6", 10), ("netlink", 16)):
            result, why = attacker.system(CALLS["socket"], family, 1, 0)
            assert result < 0 and why in REFUSED, f"a {name} socket: {result} {why}"
        for what, call, args in (("trace the vault", "ptrace", (0x4206, victim, 0, 0)),
                                 ("read its memory", "process_vm_readv", (victim, bytes(16), 1, bytes(16), 1, 0)),
                                 ("signal it", "kill", (victim, 0)), ("connect", "connect", (-1, bytes(16), 16)),
                                 ("bind", "bind", (-1, bytes(16), 16)), ("a ring", "io_uring_setup", (8, bytes(120)))):
            try:
                answer = attacker.system(CALLS[call], *args)
            except Ended:
                attacker = daemon.attacker()
                continue
            raise AssertionError(f"{what}: {answer}")
        result, why = attacker.system(CALLS["openat"], AT_FDCWD, f"/proc/{victim}/mem", 0, 0)
        assert result < 0 and why in REFUSED, f"the vault's memory: {why}"
        assert others("runner") == before


@contextlib.contextmanager
def fresh_daemon(kind=Taken):
    """Most attackers die many times: each has a daemon of its own."""
    global daemon
    kept = daemon
    with kind() as daemon:
        daemon.start()
        yield
        daemon.kill()
    daemon = kept


def test_no_program_makes_filters():
    """Every program carries its filters ready-made, in data that cannot be written; the generator is in none of them."""
    for role, names in (("parent", ("caissond",)), ("runner", ("caisson-runner", "caisson-cell")), *((one, (f"caisson-{one}",)) for one in (
            "front", "ledger", "vault", "broker", "loader"))):
        for name in names:
            path = os.path.join(lib.BUILD, "runtime", role, name)
            listed = lib.subprocess.run(["readelf", "-sW", path], capture_output=True, text=True, check=True).stdout
            assert "bpf_make" not in listed and "seccomp_rows" not in listed, f"{name} holds the generator"
            assert re.search(r"OBJECT +\w+ +\w+ +\d+ seccomp_ready$", listed, re.M), f"{name} holds no ready filters"


if __name__ == "__main__":
    with Taken() as daemon:
        daemon.start()
        only = sys.argv[1:]
        lib.run([case for name, case in list(globals().items())
                 if name.startswith("test_") and (not only or any(word in name for word in only))])
