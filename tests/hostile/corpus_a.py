# SPDX-License-Identifier: Apache-2.0
"""Part A of the hostile corpus: host files, environment, processes (1–24). The attempts: sins_a.c, sins_a_processes.c."""
import os

from at import Connector, item

A = "sins-a"
CONNECTORS = [Connector(A)]


@item(1)
def passwd_and_shadow(at):
    return at.all(A, 1)


@item(2)
def environment(at):
    return at.all(A, 2)


@item(3)
def proc(at):
    return at.all(A, 3)


@item(4)
def paths_and_links(at):
    return at.all(A, 4)


@item(5)
def handles(at):
    return at.all(A, 5)


@item(6)
def map_of_the_host(at):
    return at.all(A, 6)


@item(7)
def write_and_unlink(at):
    return at.all(A, 7)


@item(8)
def own_files_of_the_daemon(at):
    home = at.daemon.home
    for path in ("keys/master.key", "data/vault.db", "data/audit.db", "data/state.db", "plugins.d", "caisson.conf",
                 "run/api.sock", "run/desk.sock", "daemon.log"):
        assert os.path.exists(os.path.join(home, path)), f"there is no {path}: the attempt would prove nothing"
    return at.all(A, 8, home=home)


@item(9)
def every_descriptor(at):
    tries = at.tries(A, at.names(A, 9))
    return at.verdict(tries, more=" ".join(tries[0].notes))


@item(10)
def write_on_what_was_inherited(at):
    tries = at.tries(A, at.names(A, 10))
    at.calm(A)  # the next call finds nothing of it
    return at.verdict(tries, more="next call: ok")


@item(11)
def duplicates(at):
    tries = at.tries(A, at.names(A, 11))
    return at.verdict(tries, more=" ".join(note for one in tries for note in one.notes))


@item(12)
def ptrace(at):
    return at.all(A, 12)


@item(13)
def memory_of_others(at):
    return at.all(A, 13)


@item(14)
def signals_to_others(at):
    return at.all(A, 14, pid=at.daemon.process.pid)


@item(15)
def steal_descriptors(at):
    return at.all(A, 15)


@item(16)
def memory_management_of_others(at):
    return at.all(A, 16)


@item(17)
def limits_and_priorities(at):
    return at.all(A, 17)


@item(18)
def find_processes(at):
    """A cell is the first process of a namespace of its own, so there is nothing to be found in it."""
    tries = at.tries(A, at.names(A, 18))
    numbers = []
    for cell in at.world.cells():
        with open(f"/proc/{cell}/status", encoding="ascii", errors="replace") as status:
            numbers += [line.split()[-1] for line in status if line.startswith("NSpid:")]
    return at.verdict(tries, more="cells are pid " + " ".join(sorted(set(numbers))))


@item(19)
def outlive_the_call(at):
    return at.all(A, 19, timeout_ms=1000)


@item(20)
def daemonise(at):
    return at.all(A, 20)


@item(21)
def leave_a_child_with_the_pipe(at):
    return at.all(A, 21)


@item(22)
def fork_bombs(at):
    return at.all(A, 22)


@item(23)
def other_programs(at):
    return at.all(A, 23)


@item(24)
def keyrings(at):
    return at.all(A, 24)
