# SPDX-License-Identifier: Apache-2.0
"""Part G of the hostile corpus: what happens while an object is loaded, and files that should not be (items 122–140)."""
import contextlib
import errno
import json
import os
import shutil
import signal
import stat
import threading

from at import BUILT, Connector, Verdict, item, once
from corpus_f import CODES
from daemon import eventually
from elf import (DT_AUDIT, DT_AUXILIARY, DT_CONFIG, DT_DEPAUDIT, DT_FILTER, DT_FLAGS, DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_TEXTREL,
                 PF_X, PT_DYNAMIC, PT_GNU_STACK, PT_INTERP, PT_LOAD, PT_NOTE, Elf)
from layers import with_cell, without
from plant import Garden, digest, manifest
from refusals import SO, refused, refused_objects, told, word_of

CONNECTORS = [Connector("sins-f", actions=("do",), calm=("do", {"do": "count"}))]

# ── objects that misbehave while they are loaded ──────────────────────────────────────────────────────

def loads(at, choices):
    """[(name, Call)] of copies of sins-g.so that each made their choice, called once."""
    with Garden(at.daemon, at.mode) as garden:
        for place, sin in choices:
            garden.plant(at.name(f"{sin}-{place}"), Elf(SO).choose(place, sin).bytes)
        garden.reload()
        return [(f"{sin}-{place}", at.call(f"{sin}-{place}", "run", {})) for place, sin in choices]


def reported(call, result):
    """A star when the kernel reported what was refused (EACCES is answered without a report)."""
    with contextlib.suppress(AssertionError):
        eventually("a report", lambda: result != -errno.EPERM or call.reports, 2)
    return "*" if call.reports else ""


def ended(call):
    """What it got, or how the process ended."""
    out = call.outcome
    if call.result:
        result = call.result["result"]
        return errno.errorcode[-result] + reported(call, result) if result < 0 else f"result={result}"
    return signal.Signals(out["signal"]).name if out.get("signal") else f"exit={out.get('exit')}"


def of_loads(calls):
    codes = once("DENY" if call.result and call.result["result"] < 0 else CODES.get(call.record, "NONE") for _, call in calls)
    return Verdict(codes, once(call.record for _, call in calls), "; ".join(f"{name} {ended(call)}" for name, call in calls))


@item(122)
def constructors(at):
    return of_loads(loads(at, [("c", sin) for sin in ("hang", "fork", "exit", "crash", "dlclose", "longjmp")]))


TRIED = ("file", "ptrace", "uring", "code", "socket")


@item(123)
def attempts_of_constructors(at):
    return of_loads(loads(at, [("c", sin) for sin in TRIED]))


@item(124)
def attempts_of_resolvers_and_initialisers(at):
    return of_loads(loads(at, [(place, sin) for place in ("f", "i", "t") for sin in TRIED]))


@item(129)
def tables_that_lie(at):
    calls = loads(at, [("c", sin) for sin in ("abi", "size", "count", "stride", "actions", "many", "name", "run")])
    with Garden(at.daemon, at.mode) as garden:
        garden.plant(at.name("no-symbol"), Elf(SO).replace(b"csn_connector_1\0", b"csn_connector_9\0").bytes)
        garden.plant(at.name("abi-2"), Elf(SO).bytes, manifest(abi=2))
        garden.reload()
        refused = garden.listed()[at.name("abi-2")][0]
        calls.append(("no-symbol", at.call("no-symbol", "run", {})))
    verdict = of_loads(calls)
    return Verdict(verdict.outcome, verdict.record, f"{verdict.evidence}; abi-2 {refused}")


@item(127)
def interposed_symbols(at):
    with Garden(at.daemon, at.mode) as garden:
        with open(os.path.join(BUILT, "sins-symbols.so"), "rb") as so:
            garden.plant(at.name("symbols"), so.read(), manifest(name="sins-symbols"))
        garden.reload()
        calls = [at.call("symbols", "run", {}) for _ in range(2)]
    return Verdict("NONE", once(call.record for call in calls), "stolen=" + ",".join(str(call.result["stolen"]) for call in calls))


# ── files that the loader refuses ─────────────────────────────────────────────────────────────────────

@item(125)
def needed_libraries(at):
    return refused_objects(at, {
        "curl": lambda elf: elf.named(DT_NEEDED, "libcurl.so.4"), "absolute": lambda elf: elf.named(DT_NEEDED, "/tmp/evil.so"),
        "relative": lambda elf: elf.named(DT_NEEDED, "../evil.so"), "beside": lambda elf: elf.named(DT_NEEDED, "sins-e.so"),
        "version": lambda elf: elf.named(DT_NEEDED, "libc.so.5"), "nothing": lambda elf: elf.named(DT_NEEDED, "")})


@item(126)
def search_paths(at):
    rows = {f"{name}-{number}": (tag, path) for name, tag in (("rpath", DT_RPATH), ("runpath", DT_RUNPATH))
            for number, path in enumerate(("$ORIGIN", "$ORIGIN/../..", "..", "/tmp"))}
    rows.update({name: (tag, "evil.so") for name, tag in (("audit", DT_AUDIT), ("depaudit", DT_DEPAUDIT), ("filter", DT_FILTER),
                                                          ("auxiliary", DT_AUXILIARY), ("config", DT_CONFIG))})
    return refused_objects(at, {name: lambda elf, row=row: elf.named(*row) for name, row in rows.items()})


@item(128)
def spoiled_objects(at):
    variants = {
        "textrel": lambda elf: elf.tag(DT_TEXTREL, 0), "textrel-flag": lambda elf: elf.tag(DT_FLAGS, 4),
        "writable-code": lambda elf: elf.change(PT_LOAD, PF_X, flags=7), "interp": lambda elf: elf.change(PT_NOTE, type=PT_INTERP),
        "stack": lambda elf: elf.change(PT_GNU_STACK, flags=7), "arm": lambda elf: elf.header(18, "<H", 183),
        "bits-32": lambda elf: elf.header(4, "<B", 1), "big-endian": lambda elf: elf.header(5, "<B", 2),
        "magic": lambda elf: elf.header(0, "<B", 0), "program": lambda elf: elf.header(16, "<H", 2),
        "core": lambda elf: elf.header(16, "<H", 4), "headers": lambda elf: elf.header(56, "<H", 0xffff),
        "table": lambda elf: elf.header(32, "<Q", 2**63), "file-size": lambda elf: elf.change(PT_LOAD, filesz=2**40, memsz=2**40),
        "memory": lambda elf: elf.change(PT_LOAD, memsz=2**62), "offset": lambda elf: elf.change(PT_LOAD, PF_X, offset=2**64 - 4096),
        "overlap": lambda elf: elf.change(PT_LOAD, PF_X, vaddr=0), "dynamic": lambda elf: elf.change(PT_DYNAMIC, vaddr=2**60),
        "endless": lambda elf: elf.change(PT_DYNAMIC, memsz=2**40), "cut-10": lambda elf: elf.cut(10), "cut-64": lambda elf: elf.cut(64),
        "cut-half": lambda elf: elf.cut(len(elf.bytes) // 2), "cut-0": lambda elf: elf.cut(0)}
    with Garden(at.daemon, at.mode) as garden:
        for name, spoil in variants.items():
            garden.plant(at.name(name), spoil(Elf(SO)).bytes)
        garden.plant(at.name("sparse"), Elf(SO).bytes)
        os.truncate(os.path.join(garden.folder(at.name("sparse")), "sins-g.so"), 1 << 30)
        return refused(at, garden, [*variants, "sparse"])


# ── manifests ─────────────────────────────────────────────────────────────────────────────────────────

def other_file(garden, name, make):
    """A planted connector whose manifest.json is what make(path, elsewhere) puts there."""
    garden.plant(name, Elf(SO).bytes)
    path = os.path.join(garden.folder(name), "manifest.json")
    elsewhere = os.path.join(garden.daemon.home, f"{name}.elsewhere")
    os.rename(path, elsewhere)
    garden.dropins.append(elsewhere)  # taken away with the rest
    make(path, elsewhere)


def swapped_owner(path, elsewhere):
    shutil.copy(elsewhere, path)
    os.chown(path, 12345, 12345)


@item(130)
def kinds_of_manifests(at):
    text = json.dumps(manifest())
    kinds = {"symlink": lambda path, elsewhere: os.symlink(elsewhere, path), "hard-link": lambda path, elsewhere: os.link(elsewhere, path),
             "fifo": lambda path, _: os.mkfifo(path), "folder": lambda path, _: os.mkdir(path),
             "device": lambda path, _: os.symlink("/dev/zero", path),
             "writable": lambda path, elsewhere: (shutil.copy(elsewhere, path), os.chmod(path, 0o666)),
             "gone": lambda path, _: None}
    if os.geteuid() == 0:  # only root can make these; what they get is compared here, the row is the same for all
        kinds.update({"owner": swapped_owner, "real-device": lambda path, _: os.mknod(path, 0o644 | stat.S_IFCHR, os.makedev(1, 5))})
    texts = {"huge": text.encode() + b" " * (100 << 20), "deep": b'{"a":' * 5000 + b"1" + b"}" * 5000, "twice": b'{"name":"a","name":"b"}',
             "array": b"[]", "nothing": b"", "binary": b"\x00\xff" * 100, "latin": text.replace("loaded", "l\u00f6ded").encode("latin-1")}
    with Garden(at.daemon, at.mode) as garden:
        for name, make in kinds.items():
            other_file(garden, at.name(name), make)
        for name, data in texts.items():
            garden.plant(at.name(name), Elf(SO).bytes, data)
        garden.reload()
        listed = garden.listed()
        if os.geteuid() == 0:
            assert word_of(listed[at.name("owner")][1]) == "owner" and word_of(listed[at.name("real-device")][1]) == "kind-of-file"
        return refused(at, garden, [name for name in (*kinds, *texts) if name not in ("owner", "real-device")])


@item(131)
def names(at):
    """The manifest's own name, the drop-in's Path= and Name=, and two with one name. A name that is none is nobody's: the
    list shows such a drop-in under its file's name."""
    inside = {"dots": "../sins-g", "slash": "a/b", "absolute": "/etc/passwd", "look-alike": "s\u0456ns-g", "upper": "Sins-g",
              "newline": "sins\n", "long": "s" * 64, "nul": "sins\x00g", "right-to-left": "\u202egnis"}
    paths = {"up": "../plugins/sins-f", "out": "/etc", "tree": "sins-f/..", "dot": ".", "none": "no-such-folder"}
    with Garden(at.daemon, at.mode) as garden:
        for name, called in inside.items():
            garden.plant(at.name(name), Elf(SO).bytes, manifest(name=called))
        for name, path in paths.items():
            garden.plant(at.name(name), Elf(SO).bytes, Path=path)
        garden.plant(at.name("twin"), Elf(SO).bytes)
        garden.dropin(at.name("twin"), {"Name": at.name("sins-f"), "Path": at.name("twin"), "Digest": digest(bytes(Elf(SO).bytes)),
                                        "ManifestDigest": digest(json.dumps(manifest()).encode())}, file=f"99-{at.name('twin')}.conf")
        os.unlink(garden.dropins.pop(-2))
        garden.dropin("x", {"Name": "hell\u043e", "Path": "hello", "Digest": "sha256:" + "0" * 64}, file="60-homoglyph.conf")
        garden.reload()
        plugins = json.loads(at.daemon.cli("--json", "plugin", "list").stdout)["plugins"]
        others = [(row["state"], row["problem"]) for row in plugins if row["name"] in (at.name("sins-f"), "homoglyph") and row["state"] != "enabled"]
        verdict = refused(at, garden, [*inside, *paths])
        still = at.daemon.call(at.name("sins-f"), "do", {"do": "count"}, **at.lease("sins-f"))
    assert still.status == 200, f"the connector whose name was taken: {still}"
    return Verdict(verdict.outcome, verdict.record, f"{verdict.evidence} others: {told(others)}")


# ── files that change ─────────────────────────────────────────────────────────────────────────────────

@item(132)
def changed_files(at):
    """A running worker and the cell go on with the copy that was verified; the next reload refuses."""
    spoils = {"edited": lambda path: replace(path, lambda data: data[:-1] + bytes([data[-1] ^ 1])),
              "truncated": lambda path: os.truncate(path, 1000), "longer": lambda path: replace(path, lambda data: data + b"x"),
              "replaced": lambda path: (os.unlink(path), shutil.copy(os.path.join(BUILT, "sins-f.so"), path)),
              "removed": os.unlink}
    with Garden(at.daemon, at.mode) as garden:
        for name in spoils:
            garden.plant(at.name(name), Elf(SO).bytes)
        garden.reload()
        calls = [at.call(name, "run", {}) for name in spoils]
        for name, spoil in spoils.items():
            spoil(os.path.join(garden.folder(at.name(name)), "sins-g.so"))
        calls += [at.call(name, "run", {}) for name in spoils]
        after = refused(at, garden, list(spoils))
    return Verdict("LOAD", f"{once(call.record for call in calls)}+{after.record}",
                   f"running={sum(call.result.get('resolved') == 7 for call in calls)}/{len(calls)} {after.evidence}")


def replace(path, change):
    with open(path, "r+b") as file:
        data = change(file.read())
        file.seek(0)
        file.write(data)
        file.truncate()


@item(133)
def swapped_folder(at):
    """The folder is now itself, now a symbolic link to one with another object, while the loader looks; and so is the file."""
    good, evil = Elf(SO).bytes, Elf(SO).choose("c", "exit").bytes
    stop, turns = threading.Event(), [0]
    with Garden(at.daemon, at.mode) as garden:
        name = at.name("swapped")
        garden.plant(name, good)
        path = garden.folder(name)
        garden.put("evil-folder", "sins-g.so", evil)
        garden.put("evil-folder", "manifest.json", json.dumps(manifest()).encode())
        links = [os.path.join(at.daemon.home, "plugins", word) for word in ("link-to-folder", "kept")]
        os.symlink("evil-folder", links[0])

        def swap():
            while not stop.is_set():
                os.rename(path, links[1])
                os.rename(links[0], path)
                os.rename(path, links[0])
                os.rename(links[1], path)
                turns[0] += 1

        thread = threading.Thread(target=swap)
        thread.start()
        seen = set()
        for _ in range(12):
            garden.reload()
            state, problem = garden.listed()[name]
            seen.add((state, word_of(problem)))
        stop.set()
        thread.join()
        garden.reload()
        call = at.call("swapped", "run", {})
        os.unlink(links[0])
    assert turns[0] > 12, "nothing was swapped"
    expected = {("enabled", ""), ("invalid", "symlink"), ("invalid", "folder"), ("invalid", "missing")}
    assert seen <= expected, f"the loader followed a link: {seen - expected}"
    return Verdict("NONE", call.record, f"followed=never afterwards=result:{call.result['result']}")


@item(134)
def widened_manifests(at):
    asked = manifest(egress=["tls://a.example.com:443"])
    wider = {"host": {"egress": ["tls://a.example.com:443", "tls://b.example.com:443"]}, "wildcard": {"egress": ["tls://*.example.com:443"]},
             "plain": {"egress": ["plain://a.example.com:443"]}, "limits": {"limits": {"wall_s": 5, "memory_mb": 256}},
             "scope": {"actions": {**asked["actions"], "more": {"summary": "More.", "input": {"type": "object"}, "fields": ["canary"]}}},
             "threads": {"threads": 4}}
    with Garden(at.daemon, at.mode) as garden:
        for name in wider:
            garden.plant(at.name(name), Elf(SO).bytes, asked, grant="Egress=tls://a.example.com:443\n")
        garden.reload()
        before = [garden.listed()[at.name(name)][0] for name in wider]
        for name, change in wider.items():
            garden.put(at.name(name), "manifest.json", json.dumps({**asked, **change}).encode())
        verdict = refused(at, garden, list(wider))
        problem = garden.listed()[at.name("host")][1]
    assert "tls://b.example.com:443" in problem and "enable it again" in problem, problem
    return Verdict("LOAD", verdict.record, f"before={once(before)} {verdict.evidence}")


@item(135)
def egress_patterns(at):
    asks = {"star": "tls://*", "top": "tls://*.com:443", "address": "tls://192.0.2.1:443", "address-6": "tls://[2001:db8::1]:443",
            "numbers": "tls://2130706433:443", "hex": "tls://0x7f.1:443", "localhost": "tls://localhost:443", "range": "tls://a.example.com:1-65535",
            "ports": "tls://a.example.com:443,22", "zero": "tls://a.example.com:0", "middle": "tls://a.*.example.com:443",
            "partial": "tls://a*.example.com:443", "scheme": "http://a.example.com:80", "user": "tls://u@a.example.com:443",
            "unicode": "tls://ex\u0430mple.com:443", "dot": "tls://a.example.com.:443"}
    grants = {"any-host": "tls://*:443", "any-port": "tls://a.example.com:*", "any-com": "tls://*.com:443", "own-host": "tls://localhost:443",
              "more": "tls://b.example.com:443"}
    with Garden(at.daemon, at.mode) as garden:
        for name, ask in asks.items():
            garden.plant(at.name(name), Elf(SO).bytes, manifest(egress=[ask]))
        for name, grant in grants.items():
            ask = "tls://a.example.com:443" if name == "more" else "tls://*:*"
            garden.plant(at.name(name), Elf(SO).bytes, manifest(egress=[ask]), grant=f"Egress={grant}\n")
        return refused(at, garden, [*asks, *grants])


@item(136)
def digests(at):
    right = digest(bytes(Elf(SO).bytes))
    forms = {"sha512": "sha512:" + "a" * 128, "md5": "md5:" + "a" * 32, "bare": right[7:], "empty": "", "upper": "sha256:" + right[7:].upper(),
             "prefix": "SHA256:" + right[7:], "short": right[:-2], "long": right + "00", "newline": right[:40] + "\n" + right[40:],
             "space": right[:40] + " " + right[40:], "other": "sha256:" + "0" * 64, "base64": "sha256:" + "A" * 43 + "=", "none": None}
    with Garden(at.daemon, at.mode) as garden:
        for name, form in forms.items():
            garden.plant(at.name(name), Elf(SO).bytes, Digest=form)
        garden.plant(at.name("twice"), Elf(SO).bytes, Digest=f"sha256:{'0' * 64}\nDigest={right}")
        garden.plant(at.name("manifest"), Elf(SO).bytes, ManifestDigest="sha256:" + "0" * 64)
        return refused(at, garden, [*forms, "twice", "manifest"])


@item(137)
def leftover_dropins(at):
    files = ("60-{}.conf~", "60-{}.conf.bak", ".60-{}.conf.swp", "#60-{}.conf#", ".#60-{}.conf", "60-{}.conf.dpkg-new", "60-{}.CONF", ".{}.conf",
             "60-{}.confx", "60-{}")
    so, text = bytes(Elf(SO).bytes), json.dumps(manifest()).encode()
    with Garden(at.daemon, at.mode) as garden:
        for number, file in enumerate(files):
            name = at.name(f"left-{number}")
            garden.plant(name, so)
            os.rename(garden.dropins[-1], os.path.join(os.path.dirname(garden.dropins[-1]), file.format(name)))
            garden.dropins[-1] = os.path.join(os.path.dirname(garden.dropins[-1]), file.format(name))
        garden.plant(at.name("off"), so, Enabled="no")
        garden.dropin("off-2", {"Name": at.name("off"), "Path": at.name("off"), "Digest": digest(so), "ManifestDigest": digest(text)},
                      file=f"10-{at.name('off')}.conf.disabled")
        garden.reload()
        listed = garden.listed()
        taken = sum(at.name(f"left-{number}") in listed for number in range(len(files)))
        answers = [at.daemon.call(at.name(name), "run", {}) for name in [*(f"left-{number}" for number in range(len(files))), "off"]]
    assert all(answer.status in (404, 409) for answer in answers), answers
    return Verdict("NONE", "-", f"taken={taken}/{len(files)} disabled={listed[at.name('off')][0]} "
                                f"called={'+'.join(sorted({str(answer.status) for answer in answers}))}")


@item(138)
def privileged_files(at):
    with Garden(at.daemon, at.mode) as garden:
        for name, mode in (("setuid", 0o4755), ("setgid", 0o2755), ("sticky", 0o7755)):
            garden.plant(at.name(name), Elf(SO).choose("c", "fork").bytes)
            path = os.path.join(garden.folder(at.name(name)), "sins-g.so")
            os.chmod(path, mode)
            if os.geteuid() == 0:  # every capability there is, permitted and effective
                os.setxattr(path, "security.capability", bytes.fromhex("01000002ffffffff00000000ff01000000000000"))
        garden.reload()
        states = once(garden.listed()[at.name(name)][0] for name in ("setuid", "setgid", "sticky"))
        calls = [(name, at.call(name, "run", {})) for name in ("setuid", "setgid", "sticky")]
    verdict = of_loads(calls)
    return Verdict(verdict.outcome, verdict.record, f"listed={states} {verdict.evidence}")


@item(139)
def wishes(at):
    """There is no such wish: a member that manifest(5) does not list is refused, in the manifest and in the drop-in."""
    asks = {"threads": {"threads": True}, "network": {"network": "raw"}, "mode": {"mode": 2}, "isolation": {"isolation": "none"},
            "sandbox": {"sandbox": False}, "limits": {"limits": {"threads": 4}}, "syscalls": {"syscalls": ["clone"]},
            "action": {"actions": {"run": {"summary": "Runs.", "input": {"type": "object"}, "threads": 2}}}}
    grants = {"grant-threads": "Threads=4\n", "grant-raw": "RawNetwork=yes\n", "grant-walls": "Sandbox=off\n"}
    with Garden(at.daemon, at.mode) as garden:
        for name, ask in asks.items():
            garden.plant(at.name(name), Elf(SO).bytes, manifest(**ask))
        for name, grant in grants.items():
            garden.plant(at.name(name), Elf(SO).bytes, grant=grant)
        return refused(at, garden, [*asks, *grants])


# ── layers that are not there ─────────────────────────────────────────────────────────────────────────

@item(140)
def missing_layers(at):
    if missing_layers.seen:
        return missing_layers.seen  # a daemon of its own: the mode of this one's connectors is not in it
    rows = (("landlock", False), ("landlock", True), ("seccomp", False), ("seccomp", True), ("listener", True), ("namespaces", False),
            ("namespaces", True), ("landlock,namespaces", True), ("mdwe", False))
    said = [f"{layers}{'(lowered)' if lowered else ''}={without(layers, lowered)}" for layers, lowered in rows]
    said += [f"{cell}={with_cell(cell)}" for cell in ("cell-no-uid",)]
    missing_layers.seen = Verdict("LOAD+NONE", "-", " ".join(said))
    return missing_layers.seen


missing_layers.seen = None
