#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Connectors that were built with an older header keep working: every member of every public structure stands where the
record says, with the same size; what is new stands behind it. Usage: abi.py LAYOUT INCLUDE"""
import re
import subprocess
import sys
import tempfile

layout, include = sys.argv[1:3]
with open(layout, encoding="utf-8") as text:
    rows = [line.split() for line in text if line.strip() and not line.startswith("#")]
assert len(rows) > 100, "the record is not whole"
code = ["#include <stddef.h>"] + [f"#include <caisson/{name}.h>" for name in ("connector", "http", "mail", "testing")]
for struct, member, offset, size in rows:
    code.append(f'_Static_assert(offsetof(struct {struct}, {member}) == {offset}, "{struct}.{member} moved");')
    code.append(f'_Static_assert(sizeof((struct {struct} *)0)->{member} == {size}, "{struct}.{member} has another size");')


def compiles(lines):
    with tempfile.NamedTemporaryFile("w", suffix=".c") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        return subprocess.run(["cc", "-std=c11", "-fsyntax-only", "-I" + include, file.name], capture_output=True, text=True)


done = compiles(code)
assert done.returncode == 0, done.stderr
moved = [re.sub(r"== (\d+), \"csn_call.host moved", lambda found: f'== {int(found[1]) + 8}, "csn_call.host moved', line) for line in code]
assert moved != code and compiles(moved).returncode != 0, "a member that moved is not noticed"
print(f"{len(rows)} members stand where they stood")
