# SPDX-License-Identifier: Apache-2.0
"""Part B of the hostile corpus: kernel surface and filter bypass (25–54). The attempts: sins_b.c, sins_b_bypass.c,
sins_b_signals.c, and of constructors sins_b_early.c."""
import os
import signal
import socket
import threading

from at import Connector, Verdict, item, once

B = "sins-b"
EARLY = ["sins-early-filter", "sins-early-listener", "sins-early-prctl"]
STACK = Connector("sins-stack", calm=None)
sink = socket.socket()

CONNECTORS = [Connector(B, egress=["plain://*:*"], options=["--ranges", "loopback", "--any-host"]),
              *[Connector(name, calm=None) for name in EARLY]]


def SETUP(world):  # noqa: N802 - a constant of the module, as the driver knows it
    """The attack connector may reach one port here: so that it holds a relay, too."""
    sink.bind(("127.0.0.1", 0))
    sink.listen(64)
    threading.Thread(target=swallow, daemon=True).start()
    world.connectors[B].grant = [f"plain://127.0.0.1:{sink.getsockname()[1]}"]


def swallow():
    while True:
        with sink.accept()[0] as relay:
            while relay.recv(4096):
                continue


@item(25)
def io_uring(at):
    return at.all(B, 25)


@item(26)
def bpf_perf_userfaultfd(at):
    return at.all(B, 26)


@item(27)
def mounts(at):
    return at.all(B, 27)


@item(28)
def namespaces(at):
    return at.all(B, 28)


@item(29)
def old_table(at):
    return at.all(B, 29)


@item(30)
def x32(at):
    return at.all(B, 30)


@item(31)
def odd_numbers(at):
    return at.all(B, 31)


@item(32)
def new_numbers(at):
    """335 and 336 (uretprobe, uprobe) are the kernel's own, put into code that is traced: newer kernels ask no filter
    about them, and end or refuse who calls them from elsewhere; to older ones they are numbers like others."""
    tries = at.tries(B, [f"nr-{number}" for number in range(457, 512)])
    probes = at.tries(B, ["nr-335", "nr-336"])
    for one in probes:
        assert one.kind in ("EPERM*", "SIGILL", "SIGSEGV", "ENXIO"), f"{one.name}: {one.kind}"
    verdict = at.verdict(tries)
    return Verdict(verdict.outcome, verdict.record, verdict.evidence + " refused or ended(nr-335 nr-336)")


@item(33)
def new_code(at):
    return at.all(B, 33)


@item(34)
def code_by_keys_and_segments(at):
    return at.all(B, 34)


@item(35)
def code_in_files(at):
    return at.all(B, 35)


@item(36)
def personality(at):
    return at.all(B, 36)


@item(37)
def executable_stack(at):
    """It is refused when it is enabled, and its drop-in does not stay."""
    STACK.install(at.world)
    done = at.daemon.cli(*STACK.enabling(at.mode), check=False)
    why = done.stderr.strip().rsplit("is invalid: ", 1)[-1]
    answer = at.daemon.call(STACK.enabled_as(at.mode), "try", {"try": ["constructor"]})
    return Verdict("LOAD", "-", f"enable: exit {done.returncode}, {why}; call: {answer.status} {answer.json['type']}")


@item(38)
def code_moved_about(at):
    return at.all(B, 38)


@item(39)
def own_filters(at):
    tries = at.tries(B, at.names(B, 39))
    early = [at.call(name, "try", {"try": ["constructor", "open-afterwards"]}) for name in EARLY[:2]]
    for call in early:
        assert not call.log, "an action ran after the constructor"
    late = at.tries(EARLY[2], ["constructor", "open-afterwards"])
    ended = " ".join(f"{name}={signal.Signals(call.outcome['signal']).name}" for name, call in zip(EARLY, early))
    at.rebase()  # the cells of those three were not there before
    verdict = at.verdict([*tries, *late], more=f"while loading: {ended}")
    return Verdict(verdict.outcome, once([*verdict.record.split("+"), *[call.record for call in early]]), verdict.evidence)


@item(40)
def own_state(at):
    return at.all(B, 40)


@item(41)
def handlers(at):
    return at.all(B, 41)


@item(42)
def block_and_spin(at):
    return at.all(B, 42, timeout_ms=500)


@item(43)
def forged_frames(at):
    return at.all(B, 43)


@item(44)
def segments_and_ports(at):
    return at.all(B, 44)


@item(45)
def terminals(at):
    return at.all(B, 45)


@item(46)
def ioctls_on_the_way_out(at):
    return at.all(B, 46, port=sink.getsockname()[1])


@item(47)
def fcntl_commands(at):
    return at.all(B, 47)


@item(48)
def bytes_past_the_channels(at):
    return at.all(B, 48)


@item(49)
def the_machine(at):
    return at.all(B, 49)


@item(50)
def timers(at):
    return at.all(B, 50)


@item(51)
def shared_memory(at):
    return at.all(B, 51)


@item(52)
def locked_memory(at):
    return at.all(B, 52)


@item(53)
def stubs(at):
    """The old page of calls at a fixed address is there, or not, by the kernel's command line."""
    tries = at.tries(B, [name for name in at.names(B, 53) if name.startswith("stub-")])
    page = at.tries(B, [name for name in at.names(B, 53) if name.startswith("vsyscall-")])
    for one in page:
        assert one.kind in ("EPERM*", "SIGSEGV"), f"{one.name}: {one.kind}"
    names = " ".join(one.name for one in page)
    return at.verdict(tries, more=f"refused or ended({names})")


@item(54)
def thread_lists(at):
    return at.all(B, 54)
