#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the pages say is what the code does: links, examples, keys, routes, slugs, names."""
import json
import os
import re
import subprocess
import sys
import tempfile

from house import BUILD, FILES, SOURCE, code, ending, read, run, table

EXAMPLES = sys.argv[1] if len(sys.argv) > 1 else os.path.join(BUILD, "tests", "docs", "examples")
PAGES = ending(".md", ".scd")


def missing(names, page, form="`{}`"):
    """Those names that do not stand in the page as it writes them."""
    text = read(page)
    return [f"{page} lacks {name}" for name in names if form.format(name) not in text]


# ── links and blocks ──────────────────────────────────────────────────────────────────────────────────

def anchors(text):
    heads = re.findall(r"^#+ +(.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_links_lead_somewhere():
    for page in ending(".md"):
        for link in re.findall(r"\]\(([^)\s]+)\)", read(page)):
            target, _, anchor = link.partition("#")
            if re.match(r"[a-z]+:", link):
                continue
            path = os.path.normpath(os.path.join(os.path.dirname(page), target)) if target else page
            if not os.path.exists(os.path.join(SOURCE, path)):
                yield f"{page}: {link}"
            elif anchor and path.endswith(".md") and anchor not in anchors(read(path)):
                yield f"{page}: {link} (no such heading)"


def test_files_that_pages_name_exist():
    folders = r"(?:base|sdk|sandbox|runtime|plugins|tools|tests|docs|man|packaging|floors)"
    for page in ending(".md"):
        for name in re.findall(r"`(" + folders + r"/[\w./-]*\w)`", read(page)):
            if not os.path.exists(os.path.join(SOURCE, name)) and "NNN" not in name:
                yield f"{page}: {name}"


def test_tests_that_pages_name_exist():
    """`tests/roles/test_canary.py: planted` or `test_walls.c: test_no_files`: the word after the file stands in it."""
    for page in ending(".md"):
        for path, words in re.findall(r"`(tests/[\w./-]+): ([\w ,]+)`", read(page)):
            if not os.path.isfile(os.path.join(SOURCE, path)):
                yield f"{page}: {path}"
                continue
            text = read(path)
            for word in re.split(r"[ ,]+", words):
                if word not in text:
                    yield f"{page}: {path} has no {word}"


def blocks(page, kind):
    return re.findall(r"^```" + kind + r"[^\n]*\n(.*?)^```", read(page), re.M | re.S)


def test_json_blocks_parse():
    count = 0
    for page in ending(".md"):
        for block in blocks(page, "json"):
            count += 1
            try:
                json.loads(block)
            except ValueError as error:
                yield f"{page}: {error}"
    assert count, "no page has a block of JSON"


def taken(kind, text):
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        done = subprocess.run([EXAMPLES, kind, file.name], capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr.strip() or f"exit {done.returncode}"


def test_the_daemon_takes_every_example():
    assert taken("manifest", "{}") and taken("dropin", "[Plugin]\nx=1\n") and taken("config", "[Nothing]\n x=1\n"), "all is taken"
    examples = [("manifest", "docs/write-a-connector.md", blocks("docs/write-a-connector.md", "json")[0])]
    examples += [("manifest", path, read(path)) for path in ending("manifest.json") if path.startswith(("plugins", "sdk"))]
    for kind, page in (("manifest", "manifest.5"), ("dropin", "plugins.d.5"), ("config", "caisson.conf.5")):
        path = f"man/{page}.scd"
        examples += [(kind, path, block) for block in re.findall(r"^```\n([\[{].*?)^```", read(path), re.M | re.S)]
    examples += [("dropin", path, read(path).replace("sha256:...", "sha256:" + 64 * "0").replace("#Digest", "Digest").replace(
        "#Manif", "Manif")) for path in ending(".conf.example")]
    assert len(examples) >= 10, [path for _, path, _ in examples]
    for kind, path, text in examples:
        why = taken(kind, text)
        if why:
            yield f"{path}: {why}"


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────────

def rows(path):
    """(section, key) of a table of keys in C."""
    return re.findall(r'[{(]\s*"(\w+)",\s*"(\w+)",', code(path))


def keys_of_page(page):
    """(section, key) of a manual page: headings "# [Section]", keys "*Key=*"."""
    section, found = None, set()
    for line in read(page).split("\n"):
        head = re.match(r"# \\?\[(\w+)\]", line)
        section = head[1] if head else None if line.startswith("# ") else section
        if section and line.startswith("*"):
            found |= {(section, key) for key in re.findall(r"\*(\w+)=\*", line)}
    return found


def compare_keys(source, page):
    have, told = set(rows(source)), keys_of_page(page)
    assert len(have) > 10, f"{source} has {len(have)} keys"
    return ([f"{page} lacks [{section}] {key}=" for section, key in sorted(have - told)] +
            [f"{page} tells of [{section}] {key}=, which there is not" for section, key in sorted(told - have)])


def test_keys_of_caisson_conf():
    return compare_keys("runtime/parent/config.c", "man/caisson.conf.5.scd")


def test_keys_of_drop_ins():
    return compare_keys("runtime/loader/plugins_d.c", "man/plugins.d.5.scd")


def test_usual_values_of_caisson_conf():
    """*Key=* (512) in the page is the usual value in the role's own table."""
    names = dict(re.findall(r'NUMBER\("\w+", "(\w+)", \w+, "(\w+)"', code("runtime/parent/config.c")))
    usual = dict(re.findall(r'{"(\w+)", offsetof\(struct front_config, \w+\), (\d+),', code("runtime/front/config.c")))
    usual |= dict(re.findall(r"config->(\w+) = (\d+);", code("runtime/broker/config.c")))
    told = dict(re.findall(r"\*(\w+)=\* \((\d+)\)", read("man/caisson.conf.5.scd")))
    compared = 0
    page = read("man/caisson.conf.5.scd")
    for section in re.split(r"^# ", page, flags=re.M):
        for key, value in re.findall(r"\*(\w+)=\* \((\d+)\)", section):
            name = names.get(key)
            if section.startswith("[Resolver]") or name not in ("idle_s", "burst"):
                compared += name in usual
                if name in usual and usual[name] != value:
                    yield f"{key}= is {usual[name]}, the page says {value}"
    assert compared >= 10, f"{compared} of {len(told)} values could be compared"


def test_commands_that_pages_name_exist():
    verbs = re.findall(r"^\*caisson ([a-z]+(?: [a-z]+)?)\*", read("man/caisson.1.scd"), re.M)
    assert len(verbs) > 25, verbs
    groups = {verb.split()[0] for verb in verbs if " " in verb}
    for page in ending(".md", ".scd", ".conf.example") + ["plugins.d/README"]:
        for first, second in re.findall(r"(?:^|[`*] ?|    )caisson (?:--home \S+ )?([a-z]+)(?: ([a-z]+))?", read(page), re.M):
            verb = f"{first} {second}" if first in groups else first
            if verb not in verbs and first != "completion" and (second or first not in groups):
                yield f"{page}: caisson {verb}"


# ── HTTP ──────────────────────────────────────────────────────────────────────────────────────────────

def problems():
    found = re.findall(r'= {"([a-z-]+)", (\d+),', table("base/err.c", "rows") + table("runtime/front/problem.c", "own"))
    return [(slug, status) for slug, status in found if slug not in ("ok", "usage", "damaged")]  # the command's alone


def test_every_problem_is_described():
    page = read("docs/http-api.md")
    assert len(problems()) > 30, problems()
    for slug, status in problems():
        row = re.search(r"^\|[^|\n]*`" + slug + r"`[^|\n]*\| (\d+) \|", page, re.M)
        if not row:
            yield f"docs/http-api.md has no row for {slug}"
        elif row[1] != status:
            yield f"docs/http-api.md: {slug} is {status}, not {row[1]}"


def test_no_problem_is_invented():
    known = {slug for slug, _ in problems()}
    for slug in re.findall(r"urn:caisson:problem:([a-z-]+)", "".join(read(page) for page in ending(".md", ".yaml", under="docs/"))):
        if slug not in known:
            yield slug


def routes():
    return set(re.findall(r'{"([A-Z]+)",\s*"(/[^"]*)"', table("runtime/front/routes.c", "api_routes")))


def routes_of_spec():
    found, path, inside = set(), None, False
    for line in read("docs/openapi.yaml").split("\n"):
        inside = line == "paths:" if line[:1].strip() and not line.startswith("#") else inside
        head, method = re.match(r"  (/[^:]*):", line), re.match(r"    (get|post|put|delete|patch):", line)
        path = head[1] if head else path
        if inside and method:
            found.add((method[1].upper(), path))
    return found


def test_every_route_is_described():
    have, spec = routes(), routes_of_spec()
    page = set(re.findall(r"^\| `([A-Z]+) (/[^`]*)`", read("docs/http-api.md"), re.M))
    assert len(have) > 15, have
    for where, told in (("docs/openapi.yaml", spec), ("docs/http-api.md", page)):
        for method, path in sorted(have - told):
            yield f"{where} lacks {method} {path}"
        for method, path in sorted(told - have):
            yield f"{where} tells of {method} {path}, which there is not"


def names(array):
    return re.findall(r'"([^"]+)"', table("runtime/messages.c", array))


def test_classes_and_reasons_are_described():
    for array in ("class_names", "reason_names", "sent_names"):
        found = [name for name in names(array) if name != "none"]
        assert len(found) >= 3, array
        yield from missing(found, "docs/http-api.md")
        for name in found:
            if not re.search(rf"\b{name}\b", read("docs/openapi.yaml")):
                yield f"docs/openapi.yaml lacks {name}"
    for name in names("class_names")[1:] + names("sent_names"):
        if not re.search(rf"^`class`:.*\b{name}\b", read("docs/audit-format.md"), re.M):
            yield f"docs/audit-format.md lacks {name}"


def test_kinds_of_records_are_described():
    kinds = [kind for kind in re.findall(r'"(\w+)"', table("runtime/ledger/record.c", "kind_names")) if kind != "none"]
    assert len(kinds) >= 10, kinds
    page = read("docs/audit-format.md")
    return [f"docs/audit-format.md lacks {kind}" for kind in kinds if not re.search(rf"^\| `{kind}` \|", page, re.M)]


def test_acts_of_administration_are_described():
    acts = set()
    for path in ending(".c", under="runtime/ledger/"):
        acts |= set(re.findall(r'"act", "([\w.]+)"', code(path)))
        acts |= {act for pair in re.findall(r'"act", [^"]*\? "([\w.]+)" : "([\w.]+)"', code(path)) for act in pair}
    assert "log.create" in acts and "thaw" in acts, acts
    row = re.search(r"^\| `admin` .*$", read("docs/audit-format.md"), re.M)[0]
    return [f"docs/audit-format.md lacks the act {act}" for act in sorted(acts) if act not in row]


# ── processes ─────────────────────────────────────────────────────────────────────────────────────────

def test_every_line_is_drawn():
    drawn = set(re.findall(r"ROLE_(\w+), ROLE_(\w+), \d+", code("runtime/parent/wiring.c")))
    assert len(drawn) == 9, drawn
    page = read("docs/processes.md")
    table_rows = "\n".join(re.findall(r"^\|.*", page, re.M)).lower()
    for a, b in sorted(drawn):
        if not re.search(rf"{a.lower()} [↔→] {b.lower()}|{b.lower()} [↔→] {a.lower()}", table_rows):
            yield f"docs/processes.md has no line {a.lower()} ↔ {b.lower()}"


def test_every_page_can_be_found():
    """A page that nothing leads to is not read: each is linked from the README or from a page that is."""
    reached, todo = set(), ["README.md"]
    while todo:
        page = todo.pop()
        if page in reached or page not in FILES:
            continue
        reached.add(page)
        todo += [os.path.normpath(os.path.join(os.path.dirname(page), link.split("#")[0]))
                 for link in re.findall(r"\]\(([^)\s:]+)\)", read(page))]
    return [page for page in ending(".md") if page.startswith("docs/") and page not in reached]


def test_manual_pages_stand_alone():
    """Each has a name line, refers to pages that there are, and is well-formed for scdoc."""
    have = {read(page).split("\n", 1)[0] for page in ending(".scd")}
    for page in ending(".scd"):
        with open(os.path.join(SOURCE, page), "rb") as text:
            done = subprocess.run(["scdoc"], stdin=text, capture_output=True)
        if done.returncode:
            yield f"{page}: {done.stderr.decode().strip()}"
        if "\n# NAME\n" not in read(page):
            yield f"{page} has no NAME"
        for name, section in re.findall(r"\*([\w.-]+)\*\((\d)\)", read(page)):
            known = os.path.exists(f"/usr/share/man/man{section}/{name}.{section}.gz") or name in ("systemd", "curl", "scdoc")
            if f"{name}({section})" not in have and not known:
                yield f"{page} refers to {name}({section})"


def test_the_unit_is_sound():
    """As systemd reads it; the program and its page need not be installed for that."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "caissond.service")
        with open(path, "w", encoding="utf-8") as unit:
            text = read("packaging/systemd/caissond.service.in")
            unit.write(re.sub(r"^Documentation=.*\n", "", text.replace("@bindir@/caissond", "/bin/true"), flags=re.M))
        done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True)
    return (done.stdout + done.stderr).splitlines()


if __name__ == "__main__":
    run([case for name, case in list(globals().items()) if name.startswith("test_")])
