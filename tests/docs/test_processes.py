#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What each process has in its memory: the libraries that house and pages say, and no others."""
import contextlib
import os
import re
import subprocess
import sys

from house import BUILD, SOURCE, run

sys.path.insert(0, os.path.join(SOURCE, "tests", "lib"))
from daemon import Daemon, eventually  # noqa: E402

SYSTEM = {"libc", "ld-linux-x86", "linux-vdso"}
LINKED = {  # program: what it may need beside libc
    "parent/caissond": {"libjansson"},
    "loader/caisson-loader": {"libjansson", "libsodium"},
    "front/caisson-front": {"libjansson", "libsodium", "libmicrohttpd"},
    "ledger/caisson-ledger": {"libjansson", "libsodium", "libsqlite3", "libcrypto"},
    "vault/caisson-vault": {"libsodium"},
    "broker/caisson-broker": {"libjansson", "libcares"},
    "provider/caisson-provider": {"libjansson", "libsodium", "libcurl", "libcares"},
    "runner/caisson-runner": {"libjansson"},
    "runner/caisson-cell": {"libjansson"},
}
daemon = None


def library(path):
    return re.sub(r"[-.](?:\d.*|so.*)$", "", os.path.basename(path).split(".so")[0])


def needed(path):
    listed = subprocess.run(["readelf", "-d", path], capture_output=True, text=True, check=True).stdout
    return {library(name) for name in re.findall(r"\(NEEDED\).*\[(.*)\]", listed)}


def loads(program):
    """All that comes in with what it needs."""
    listed = subprocess.run(["ldd", os.path.join(BUILD, program)], capture_output=True, text=True, check=True)
    return {library(line.split()[0]) for line in listed.stdout.splitlines()}


def test_programs_link_what_they_need():
    for program, allowed in LINKED.items():
        more = needed(os.path.join(BUILD, "runtime", program)) - allowed - SYSTEM
        if more:
            yield f"{program} links {', '.join(sorted(more))}"


def test_the_vault_loads_libc_and_libsodium_only():
    return sorted(loads("runtime/vault/caisson-vault") - SYSTEM - {"libsodium"})


def test_connectors_link_libc_only():
    for path in ("sdk/example/hello/hello.so", "plugins/email/email.so", "plugins/sms/sms.so", "plugins/webhook/webhook.so",
                 "plugins/witness/witness.so"):
        more = needed(os.path.join(BUILD, path)) - SYSTEM
        if more:
            yield f"{path} links {', '.join(sorted(more))}"


def test_release_programs_are_hardened():
    """PIE, every symbol bound at start, a stack that cannot run, and no path of the machine that built it in them."""
    for program in LINKED:
        path = os.path.join(BUILD, "runtime", program)
        head = subprocess.run(["readelf", "-hldW", path], capture_output=True, text=True, check=True).stdout
        if "DYN (Position-Independent Executable file)" not in head:
            yield f"{program} is not position-independent"
        if not re.search(r"FLAGS.*NOW", head) or "GNU_RELRO" not in head:
            yield f"{program} binds symbols late"
        if not re.search(r"GNU_STACK.* RW ", head):
            yield f"{program} has a stack that can run"
        with open(path, "rb") as binary:
            if re.search(rb"(?<!\.)" + re.escape(os.path.join(SOURCE, "runtime").encode()), binary.read()):
                yield f"{program} holds the path of its sources"


def mapped(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
        return {library(line.split()[-1]) for line in maps if re.search(r"\.so(\.\d+)*( \(deleted\))?$", line.strip())}


def cells():
    """What is mapped in each cell, and in each worker it keeps."""
    found = []
    for pid in daemon.family():
        with contextlib.suppress(OSError):  # one that has ended meanwhile
            with open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
                if comm.read().startswith("caisson-cell"):
                    found.append(mapped(pid))
    return found


def test_no_role_maps_more_than_it_links():
    for role in ("front", "desk", "ledger", "vault", "broker", "runner"):
        program = "front" if role == "desk" else role
        more = mapped(daemon.role(role)) - loads(f"runtime/{program}/caisson-{program}")
        if more:
            yield f"{role} maps {', '.join(sorted(more))}"


def test_a_cell_without_egress_has_no_helpers():
    assert daemon.call("hello", "greet", {"name": "Ada"}).status == 200
    found = eventually("a cell", cells)
    heavy = {"libcurl", "libssl", "libcrypto", "libcaisson-helpers"}
    for maps in found:
        yield from sorted(maps & heavy)
    # The same look does see them where they are: in the cell of a connector with egress.
    daemon.call("webhook", "post", {"url": "https://a.example/", "data": {}}, credential="hook")
    eventually("a cell with the helpers", lambda: [maps for maps in cells() if "libcurl" in maps])


if __name__ == "__main__":
    static = [test_programs_link_what_they_need, test_the_vault_loads_libc_and_libsodium_only, test_connectors_link_libc_only,
              test_release_programs_are_hardened]
    if os.geteuid() != 0:
        run(static)  # an ordinary user cannot look into processes that hide their memory
    with Daemon() as daemon:
        daemon.start()
        daemon.enable("hello")
        daemon.enable("webhook", "--egress", "tls://a.example:443")
        daemon.credential("hook", "webhook", {"secret": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"})
        run([*static, test_no_role_maps_more_than_it_links, test_a_cell_without_egress_has_no_helpers])
