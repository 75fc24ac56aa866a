#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The hostile corpus: every attempt against the real daemon, in both isolation modes, compared with verdicts.tsv.

usage: corpus.py [--rows] [LETTER | NUMBER]…
Without words all parts run; --rows prints what was observed as rows of verdicts.tsv instead of comparing.
One line for each row: PASS or FAIL, the item, its mode, the verdict, and what was tried.
"""
import contextlib
import ctypes
import importlib
import mmap
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from at import HERE, MODES, At, Verdict, World, items  # noqa: E402
from daemon import Daemon  # noqa: E402

PARTS = {"a": (1, 24), "b": (25, 54), "c": (55, 87), "d": (88, 95), "e": (96, 104), "f": (105, 121), "g": (122, 140)}
HEADER = ["item", "mode", "outcome", "record", "evidence"]


def has_old_table():
    """Does this kernel have the 32-bit table? Without it the gate faults."""
    child = os.fork()
    if child == 0:
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov $20, %eax; int $0x80; ret
        ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


# A row "both@NAME" stands in place of the item's others on a machine of which this is true.
MACHINES = {"no-i386": lambda: not has_old_table()}


def read_rows():
    """{number: [(mode, Verdict)]} for this machine; the file is sorted and no row stands twice."""
    with open(os.path.join(HERE, "verdicts.tsv"), encoding="utf-8") as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines]
    assert rows.pop(0) == HEADER, "verdicts.tsv has another header"
    keys = [(row[0], row[1]) for row in rows]
    assert keys == sorted(set(keys)), "verdicts.tsv is not sorted, or has a row twice"
    found, special = {}, {}
    for number, mode, *columns in rows:
        mode, _, machine = mode.partition("@")
        assert mode in ("both", *MODES) and len(columns) == 3, f"row {number} {mode}"
        if not machine or MACHINES[machine]():
            (special if machine else found).setdefault(int(number), []).append((mode, Verdict(*columns)))
    return found | special


class Report:
    """Prints one line for each row, and counts."""

    def __init__(self, rows, print_rows):
        self.rows, self.print_rows, self.failed = rows, print_rows, 0

    def line(self, word, number, mode, text):
        self.failed += word == "FAIL"
        print(f"{word} {number:03} {mode} {text}", flush=True)

    def title(self, number):
        return items[number].__name__.replace("_", "-")

    def one(self, world, number, mode):
        """Runs an item in one mode. Returns (Verdict, None), or (None, what is wrong)."""
        at = At(world, mode)
        try:
            observed = items[number](at)
            world.check(at)
            return observed, None
        except Exception as error:  # noqa: BLE001 - a test reports whatever went wrong
            if os.environ.get("CAISSON_TRACE"):
                traceback.print_exc()
            with contextlib.suppress(Exception):  # so that one failure is not that of all that follow
                world.take_baseline(restarted=True)
            return None, error

    def show(self, number, seen):
        """The rows that would say what was seen."""
        modes = {mode: observed for mode, (observed, _) in seen.items() if observed}
        for mode, (_, problem) in seen.items():
            if problem:
                self.line("FAIL", number, mode, f"{self.title(number)}: {problem}")
        same = len(modes) == len(MODES) and modes["call"] == modes["lease"]
        for mode, observed in {"both": modes["call"]}.items() if same else modes.items():
            print(f"{number:03}\t{mode}\t{observed!r}", flush=True)

    def compare(self, number, row_mode, wanted, seen):
        for mode, (observed, problem) in seen.items():
            name = f"{self.title(number)} ({mode})"
            if problem:
                return self.line("FAIL", number, row_mode, f"{name}: {type(problem).__name__}: {problem}")
            if observed != wanted:
                return self.line("FAIL", number, row_mode, f"{name}: observed {observed!r} | expected {wanted!r}")
        return self.line("PASS", number, row_mode, f"{wanted.outcome} {wanted.record} {self.title(number)}: {wanted.evidence}")

    def item(self, world, number):
        rows = self.rows.get(number)
        if self.print_rows or not rows:
            self.show(number, {mode: self.one(world, number, mode) for mode in MODES})
            if not self.print_rows:
                self.line("FAIL", number, "both", f"{self.title(number)}: verdicts.tsv has no row")
            return
        for row_mode, wanted in rows:
            modes = MODES if row_mode == "both" else (row_mode,)
            self.compare(number, row_mode, wanted, {mode: self.one(world, number, mode) for mode in modes})


def run_part(letter, numbers, report):
    module = importlib.import_module(f"corpus_{letter}")
    first, last = PARTS[letter]
    wanted = [number for number in range(first, last + 1) if not numbers or number in numbers]
    for number in [number for number in wanted if number not in items]:
        report.line("FAIL", number, "both", "nobody tries it")
    wanted = [number for number in wanted if number in items]
    began = time.monotonic()
    with Daemon(config=getattr(module, "CONFIG", "")) as daemon:
        daemon.start()
        world = World(daemon, module.CONNECTORS)
        getattr(module, "SETUP", lambda world: None)(world)
        world.open()
        for number in wanted:
            report.item(world, number)
        world.verify()
    print(f"part {letter}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)


def main(words):
    report = Report(read_rows(), "--rows" in words)
    numbers = {int(word) for word in words if word.isdigit()}
    letters = [word for word in words if word in PARTS]
    letters += [letter for letter, (first, last) in PARTS.items() if any(first <= number <= last for number in numbers)]
    for letter in sorted(set(letters)) or PARTS:
        try:
            run_part(letter, numbers if letter not in words else set(), report)
        except Exception as error:  # noqa: BLE001 - the other parts still run
            if os.environ.get("CAISSON_TRACE"):
                traceback.print_exc()
            report.line("FAIL", PARTS[letter][0], "both", f"part {letter}: {type(error).__name__}: {error}")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
