# SPDX-License-Identifier: Apache-2.0
"""Part C: the network, items 55–87."""
import atexit
import base64
import os
import re
import shutil
import tempfile
import threading
import uuid

from at import BUILT, Connector, Verdict, item, once
from daemon import PEERS
from outside import FORBIDDEN, PUBLIC, Names, Server, Unix, certificates, client_hello, deaf, drip, echo, gush, http, reset
from own_address import own_address

# ── what stands outside ───────────────────────────────────────────────────────────────────────────────

folder = tempfile.mkdtemp(prefix="caisson-outside.")
os.chmod(folder, 0o755)
atexit.register(shutil.rmtree, folder, ignore_errors=True)

good, sink, source, slow, silent, rude = Server(echo), Server(), Server(gush), Server(drip), Server(deaf), Server(reset)
other, proxy = Server(), Server()  # no rule allows these
shadow, other_shadow = Server(address=FORBIDDEN, port=good.port), Server(address=FORBIDDEN, port=other.port)
unix = Unix(os.path.join(folder, "listens.sock"))
places = {}
web = Server(http(places))
places.update({"/private": f"http://private.test:{good.port}/", "/loopback": f"http://{FORBIDDEN}:{good.port}/",
               "/metadata": f"http://169.254.169.254:{good.port}/latest/", "/file": "file:///etc/passwd",
               "/gopher": f"gopher://web.test:{web.port}/x", "/ftp": f"ftp://web.test:{web.port}/",
               "/dict": f"dict://web.test:{web.port}/d", "/port": f"http://web.test:{other.port}/",
               "/again": f"http://web.test:{web.port}/fine"})
context = certificates(os.path.join(folder, "ca"), PEERS, "tls.test", "self.test", "expired.test", "old.test")
secure = {name: Server(http({}), context=context(*how)) for name, how in
          {"tls": ("server",), "self": ("self",), "expired": ("expired",), "wrong": ("wrong",), "old": ("server", True)}.items()}
forbidden = (other, shadow, other_shadow, proxy)

LONG = ".".join(["a" * 60] * 4) + ".wild.test"
names = Names({"private.test": [["10.1.2.3"]], "loop.test": [[FORBIDDEN]], "mapped.test": [["::ffff:127.0.0.2"]],
               "nat64.test": [["64:ff9b::7f00:2"]], "rebind.test": [[PUBLIC], [FORBIDDEN]],
               "mixed.test": [[FORBIDDEN, PUBLIC, "::1"]], "cname.test": [["CNAME loop.test", FORBIDDEN]],
               "cname-local.test": [["CNAME localhost", FORBIDDEN]], "cname-good.test": [["CNAME good.test", PUBLIC]],
               "metadata.google.internal": [["169.254.169.254"]]})
FIXED = ("good", "sink", "source", "slow", "silent", "rude", "web", *secure)

CONFIG = f"[Resolver]\nNameservers={PUBLIC}:{names.port}\nIdleSeconds=1\nLookupsPerCall=20\n" + "".join(
    f"Host={name}.test {PUBLIC}\n" for name in FIXED)
LIMITS = {"memory_mb": 64, "wall_s": 20, "dials": 64, "up_mb": 1, "down_mb": 1}
ASKS = ("plain://*:*", "tls://*:*")
RULES = (*(f"plain://{name}.test:{good.port}" for name in
           ("good", "private", "loop", "mapped", "nat64", "rebind", "mixed", "cname", "cname-local", "cname-good")),
         f"plain://*.wild.test:{good.port}", f"plain://sink.test:{sink.port}", f"plain://source.test:{source.port}",
         f"plain://slow.test:{slow.port}", f"plain://silent.test:{silent.port}", f"plain://rude.test:{rude.port}",
         f"plain://web.test:{web.port}", *(f"tls://{name}.test:{server.port}" for name, server in secure.items()))
LITERALS = {57: ("127.0.0.1", "::1", "0.0.0.0", "::"),
            58: ("169.254.169.254", "fd00:ec2::254", "100.100.100.200", "168.63.129.16"),
            59: ("::ffff:127.0.0.1", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1",
                 "2002:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe"),
            61: ("10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "192.0.0.1", "192.0.2.1", "198.18.0.1",
                 "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "239.255.255.255", "240.0.0.1",
                 "255.255.255.255", "fc00::1", "fd12::1", "fe80::1", "fec0::1", "ff02::1", "2001:db8::1", "100::1",
                 "3fff::1", "5f00::1", "4000::1")}


def rule(address):
    return f"plain://{f'[{address}]' if ':' in address else address}:{good.port}"


CALM = ("net", {"do": "rest"})
ACTIONS = ("net",)
NET = os.path.join(BUILT, "sins-net.so")
# A lease keeps what its calls leave open: it ends soon, so that the broker's descriptors can be counted.
SHORT = ("--grant", "LeaseIdle=1s")
OPEN = (*SHORT, "--ranges", f"{PUBLIC}/32", "--ca", os.path.join(folder, "ca", "ca.pem"))
CONNECTORS = [
    Connector("sins-sockets", egress=("plain://*:*",), grant=RULES[:1], options=OPEN[:4], limits=LIMITS),
    Connector("sins-relay", egress=("plain://*:*",), grant=(RULES[0], f"plain://rude.test:{rude.port}"), options=OPEN[:4], limits=LIMITS),
    Connector("sins-net", ACTIONS, ASKS, RULES, OPEN, LIMITS, calm=CALM),
    # every name and a rule for each address, but no range: the address check is the only wall
    Connector("sins-shut", ACTIONS, ASKS, (f"plain://*:{good.port}", *(rule(one) for rows in LITERALS.values() for one in rows)),
              (*SHORT, "--any-host"), LIMITS, calm=CALM, so=NET),
    Connector("net-honest", ACTIONS, ASKS, RULES[:1], OPEN[:4], LIMITS, calm=CALM, so=NET, modes=("call",))]

# The broker must not know them, whoever started the daemon; SETUP runs once it is up.
PROXIES = ("http_proxy", "https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")
os.environ.update({name: f"http://{PUBLIC}:{proxy.port}" for name in PROXIES})


def SETUP(world):  # noqa: N802 - the driver's name for it
    for name in PROXIES:
        del os.environ[name]


# ── what came of it ───────────────────────────────────────────────────────────────────────────────────

def attempts(call):
    found = call.result.get("attempts")
    assert found, f"nothing was tried: {call.answer}"
    return found


def why(attempt):
    """What the broker said, without host, port and the address where that is the host itself."""
    text = re.sub(r"^\S*:\d+: ", "", attempt.get("text", ""))
    return re.sub(r"^" + re.escape(attempt["what"]) + " is ", "", text)


ERRNOS = {13: "EACCES", 11: "EAGAIN", 32: "EPIPE", 104: "ECONNRESET", 110: "ETIMEDOUT", 111: "ECONNREFUSED", 113: "EHOSTUNREACH", 22: "EINVAL"}


def grouped(found):
    """ERRNO[why](hosts) for those that failed, =N(hosts) for the others, in order of first appearance."""
    groups = {}
    for one in found:
        kind = f"={one['result']}" if one["result"] >= 0 else f"{ERRNOS.get(one['errno'], one['errno'])}[{why(one)}]"
        groups.setdefault(kind, []).append(one["what"])
    return " ".join(f"{kind}({' '.join(hosts)})" for kind, hosts in groups.items())


def forget():
    for server in (good, sink, source, slow, silent, rude, web, *secure.values(), *forbidden):
        server.forget()
    names.forget()
    unix.came = 0


def untouched():
    """No forbidden server has seen anybody, whatever the item did."""
    came = {server.port: server.came for server in forbidden if server.came}
    assert not came and not unix.came, f"forbidden ports were reached: {came}, unix sockets {unix.came}"
    return "forbidden=0"


def code(call):
    """What the broker did, as its own counts say it."""
    late = call.outcome["reason"] == "deadline"
    return "NET" if call.outcome["denied"] else "LIM" if call.outcome["limited"] or late else "NONE"


def net(at, attempt, data, connector="sins-net", timeout_ms=15000, shows_canary=False):
    return at.call(connector, "net", {"do": attempt, **data}, timeout_ms=timeout_ms, shows_canary=shows_canary)


def dials(at, connector, hosts, port=None, **data):
    rows = [{"host": host, "port": port or good.port} for host in hosts]
    return net(at, "dials", {"dials": rows, "then": "fail", **data}, connector)


def denied(at, hosts, connector="sins-shut", **data):
    forget()
    call = dials(at, connector, hosts, **data)
    assert call.outcome["denied"] == len(hosts), f"{call.outcome['denied']} of {len(hosts)} are recorded as denied"
    assert call.outcome["sent"] == "no", call.outcome
    return Verdict(code(call), call.record, f"{grouped(attempts(call))} {untouched()}")


def relayed(at, tries, **data):
    """Attempts on a relay to good.test; the relay itself is no attempt."""
    forget()
    at.calm("sins-relay")
    place = {"host": "good.test", "port": good.port, "other": other.port, "path": os.path.join(folder, "listens.sock"), **data}
    return at.tries("sins-relay", tries, timeout_ms=15000, **place)


def judged(at, tries, more=""):
    attacks = [one for one in tries if one.name != "relay"]
    relays = " ".join(f"relay{one.kind}" for one in tries if one.name == "relay")
    return at.verdict(attacks, more=" ".join(word for word in (relays, more, untouched()) if word))


# ── 55, 56: sockets ───────────────────────────────────────────────────────────────────────────────────

@item(55)
def sockets_of_every_family(at):
    forget()
    tries = at.tries("sins-sockets", at.names("sins-sockets", 55), group=20, timeout_ms=15000)
    return judged(at, tries)


@item(56)
def raw_and_icmp_sockets(at):
    forget()
    return judged(at, at.tries("sins-sockets", at.names("sins-sockets", 56), group=20, timeout_ms=15000))


# ── 57–68: names and addresses ────────────────────────────────────────────────────────────────────────

@item(57)
def this_machine(at):
    return denied(at, LITERALS[57])


@item(58)
def metadata_services(at):
    return denied(at, (*LITERALS[58], "metadata.google.internal"))


@item(59)
def wrapped_addresses(at):
    return denied(at, LITERALS[59])


@item(60)
def odd_spellings(at):
    return denied(at, ("127.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.1.", "127.0.0.01", "0x7f.0.0.1", "::ffff:7f00:1"))


@item(61)
def special_ranges(at):
    first = denied(at, LITERALS[61][:12])
    second = denied(at, LITERALS[61][12:])
    zone = denied(at, ("fe80::1%eth0", "fe80::1%1"))
    assert first.columns()[:2] == second.columns()[:2] == zone.columns()[:2], (first, second, zone)
    return Verdict(first.outcome, first.record, " ".join(one.evidence.removesuffix(" forbidden=0") for one in (first, second, zone)) + " forbidden=0")


@item(62)
def own_public_address(at):
    return own_address(at, NET)


@item(63)
def name_with_private_address(at):
    return denied(at, ("private.test", "loop.test", "mapped.test", "nat64.test"), "sins-net")


@item(64)
def rebinding(at):
    """Public first, forbidden when it is asked again: every dial asks and checks its own answer."""
    forget()
    call = dials(at, "sins-net", ("rebind.test", "rebind.test", "rebind.test"), say="?")
    asked = names.asked.count(("rebind.test", 1))
    assert (good.came, call.outcome["denied"]) == (1, 2), (good.came, call.outcome)
    return Verdict(code(call), call.record, f"{grouped(attempts(call))} lookups={asked} good={good.came} {untouched()}")


@item(65)
def mixed_answer(at):
    forget()
    call = dials(at, "sins-net", ["mixed.test"] * 5, say="?")
    assert good.came == 5, f"{good.came} of 5 reached the address that passed"
    return Verdict("NET" if not shadow.came else "NONE", call.record, f"{grouped(attempts(call))} good={good.came} {untouched()}")


@item(66)
def cname_chains(at):
    first = denied(at, ("cname.test", "cname-local.test"), "sins-net")
    call = dials(at, "sins-net", ("cname-good.test",), say="?")
    own = dials(at, "sins-shut", ("localhost",))
    return Verdict(first.outcome, once((first.record, own.record)),
                   f"{first.evidence} allowed: {grouped(attempts(call))} own: {grouped(attempts(own))}")


def raw(at, rows):
    """rows: (what, host, length or None, port). Asked on the egress channel itself, past the SDK."""
    forget()
    asks = [{"what": what, "host": base64.b64encode(host).decode(), "port": port, **({} if length is None else {"length": length})}
            for what, host, length, port in rows]
    call = net(at, "raw-dials", {"asks": asks, "then": "fail"}, timeout_ms=10000)
    found = attempts(call)
    wrong = [one for one in found if one["result"] != 1]
    assert not wrong and call.outcome["denied"] == len(rows), f"not denied: {wrong}, recorded {call.outcome['denied']}"
    assert not names.asked, f"a name server heard of it: {names.asked}"
    # One incident for each channel is enough, and a lease keeps its channel.
    assert at.mode == "lease" or [body["event"] for body in call.incidents] == ["bad_frame"], call.incidents
    said = {}
    for one in found:
        text = re.sub(r"^\S*:\d+: |-lease\b|(?<=port )\d+ (?=is out)", "", one["text"])
        said.setdefault(text, []).append(one["what"])
    evidence = " ".join(f"denied[{text}]({' '.join(what)})" for text, what in said.items())
    return Verdict(code(call), call.record, f"{evidence} {untouched()}")


@item(67)
def name_tricks(at):
    name, port = b"good.test", good.port
    return raw(at, [("dot-dot", b"good.test..", None, port), ("nul", b"good.test\0.evil.test", None, port),
                    ("nul-past", b"good.test", 12, port), ("short", name, 0, port), ("percent", b"good.test%00", None, port),
                    ("tab", b"good.test\t", None, port), ("crlf", b"good.test\r\nHost: x", None, port),
                    ("user", b"me@good.test", None, port), ("homograph", "g\u043eod.test".encode(), None, port),
                    ("fullwidth", "good\uff0etest".encode(), None, port), ("punycode", b"xn--gd-5cd.test", None, port),
                    ("empty-label", b"good..test", None, port), ("brackets", b"[good.test]", None, port),
                    ("long", LONG.encode() * 1, None, port), ("long-label", b"a" * 64 + b".wild.test", None, port),
                    ("huge-length", name, 2**32 - 1, port), ("hyphen", b"-good.test", None, port),
                    ("deeper", b"a.b.wild.test", None, port), ("suffix", b"evilgood.test", None, port),
                    ("space", b"good.test ", None, port)])


@item(68)
def ports(at):
    name = b"good.test"
    return raw(at, [("0", name, None, 0), ("22", name, None, 22), ("25", name, None, 25), ("other", name, None, other.port),
                    ("65536+", name, None, 65536 + good.port), ("negative", name, None, 2**32 - good.port), ("most", name, None, 2**31)])


# ── 69: redirects ─────────────────────────────────────────────────────────────────────────────────────

def fetches(at, rows, action="fetch", **data):
    return net(at, action, {"fetches": rows, "then": "fail", **data}, timeout_ms=15000)


@item(69)
def redirects(at):
    """The connector goes wherever it is sent: each hop is a dial of its own."""
    forget()
    call = fetches(at, [{"what": path[1:], "url": f"http://web.test:{web.port}{path}", "follow": 1} for path in places])
    found = attempts(call)
    hops = " ".join(f"{one['what']}:{one['result']}>{two['result']}" for one, two in zip(found[::2], found[1::2]))
    assert web.came == len(places) + 1, f"{web.came} requests"
    return Verdict(code(call), call.record, f"{hops} denied={call.outcome['denied']} {untouched()}")


# ── 70–75: what a relay could be turned into ──────────────────────────────────────────────────────────

@item(70)
def unix_sockets(at):
    forget()
    tries = at.tries("sins-sockets", at.names("sins-sockets", 70), timeout_ms=15000)
    return judged(at, tries + relayed(at, ["connect-path", "connect-abstract"]))


@item(71)
def relay_connected_elsewhere(at):
    return judged(at, relayed(at, ["relay", "connect-unspec", "relay", "connect-elsewhere"]))


@item(72)
def relay_made_a_server(at):
    return judged(at, relayed(at, ["relay", "bind", "listen", "accept", "accept4"]))


@item(73)
def fast_open(at):
    """On a relay that is live, half closed, and reset by its peer; and towards a peer that could not be reached."""
    attacks = ["relay", "fastopen", "fastopen-bare", "fastopen-message"]
    found = {state: relayed(at, attacks, state=state, **({"host": "rude.test", "port": rude.port} if state == "reset" else {}))
             for state in ("live", "half-closed", "reset")}
    kinds = {state: [one.kind for one in tries[1:]] for state, tries in found.items()}
    assert kinds["live"] == kinds["half-closed"] == kinds["reset"], kinds
    return judged(at, found["live"][1:], "live half-closed reset")


@item(74)
def addresses_in_sends(at):
    return judged(at, relayed(at, ["relay", "send-relay", "send-call", "send-pipe", "send-egress", "message-egress", "send-unmapped"]))


@item(75)
def socket_options(at):
    return judged(at, relayed(at, ["relay", "bind-to-device", "mark", "attach-filter", "attach-bpf", "pass-credentials",
                                   "send-buffer-force", "tcp-repair", "tcp-ulp", "tcp-congestion", "tcp-fastopen-connect",
                                   "ip-options", "ip-transparent"]))


# ── 76–79: too much ───────────────────────────────────────────────────────────────────────────────────

@item(76)
def flood_of_dials(at):
    """Ten thousand requests; another connector's dials go on meanwhile."""
    forget()
    beside = []

    def honest():
        data = {"do": "dials", "dials": [{"host": "good.test", "port": good.port}] * 3, "say": "?"}
        beside.append(at.daemon.call("net-honest", "net", data, credential="canary-net-honest"))

    thread = threading.Thread(target=honest)
    thread.start()
    call = net(at, "flood", {"host": "good.test", "port": good.port, "times": 10000, "then": "fail"}, timeout_ms=20000)
    thread.join()
    assert beside[0].status == 200 and [one["result"] for one in beside[0].json["answer"]["attempts"]] == [1, 1, 1], beside
    counts = {one["what"]: one["result"] for one in attempts(call)}
    assert call.outcome["dials"] == counts["sent"], (call.outcome, counts)
    unread = net(at, "flood", {"host": "good.test", "port": good.port, "times": 10000, "deaf": True, "then": "fail"}, timeout_ms=20000)
    # Fewer get through where connections end more slowly than they are asked for: only so many at once.
    assert 16 <= counts["ok"] <= 20 and counts["ok"] + counts["limit"] == counts["sent"], counts
    said = f"sent={counts['sent']} ok=16..20 limit=the-rest"
    cut = "cut-off" if attempts(unread)[0]["result"] < 10000 else "not cut off"
    return Verdict(f"{code(call)}", f"{call.record}+{unread.record}", f"{said} unread={cut} {untouched()}")


@item(77)
def hoarded_connections(at):
    forget()
    held = net(at, "hold", {"host": "silent.test", "port": silent.port, "wait": True, "then": "fail"}, timeout_ms=15000)
    drip_fed = net(at, "drink", {"host": "slow.test", "port": slow.port}, timeout_ms=1500)
    opened, ended = attempts(held)
    return Verdict("LIM", f"{held.record}+{drip_fed.record}",
                   f"open={opened['result']}[{why(opened)}] ended-idle={ended['result']} dripping={drip_fed.outcome['reason']} {untouched()}")


@item(78)
def ten_gibibytes(at):
    forget()
    up = net(at, "pour", {"host": "sink.test", "port": sink.port, "then": "fail"}, timeout_ms=15000)
    down = net(at, "drink", {"host": "source.test", "port": source.port, "then": "fail"}, timeout_ms=15000)
    assert ERRNOS.get(attempts(up)[0]["errno"]) in ("EPIPE", "ECONNRESET"), attempts(up)
    most = 1 << 20
    assert sink.bytes <= most and up.outcome["bytes_up"] <= most, f"{sink.bytes} bytes arrived, {up.outcome['bytes_up']} are recorded"
    assert attempts(down)[0]["result"] <= most, f"{attempts(down)[0]['result']} bytes came"
    assert sink.bytes > most // 2 and attempts(down)[0]["result"] > most // 2, "next to nothing went over"
    return Verdict(f"{code(up)}+{code(down)}", f"{up.record}+{down.record}", f"up=cut-off within-1-MiB down=cut-off within-1-MiB {untouched()}")


@item(79)
def labels_under_a_wildcard(at):
    """Names as a channel: only so many are asked, and every one is counted in the record."""
    forget()
    call = dials(at, "sins-net", [f"{uuid.uuid4().hex}.wild.test" for _ in range(30)])
    said = {}
    for one in attempts(call):
        kind = f"{ERRNOS.get(one['errno'])}[{why(one)}]"
        said[kind] = said.get(kind, 0) + 1
    asked = [name for name in names.names() if name.endswith(".wild.test")]
    assert call.outcome["lookups"] == len(asked), f"{len(asked)} names were asked for, {call.outcome['lookups']} are recorded"
    # The credential as a label, past the SDK, which refuses it: the name server of an allowed wildcard hears it (a stated
    # residual), no log or record does.
    asks = [{"what": "letter", "host": base64.b64encode(f"{at.canary}.{where}.test".encode()).decode(), "port": good.port}
            for where in ("wild", "elsewhere")]
    letter = net(at, "raw-dials", {"asks": asks, "then": "fail"}, shows_canary=True)
    assert letter.outcome["denied"] == 1 and f"{at.canary}.wild.test" in names.names(), letter.outcome
    told = ",".join({1: "denied", 2: "no-name"}.get(one["result"], "?") for one in attempts(letter))
    return Verdict(f"{code(call)}+{code(letter)}", f"{call.record}+{letter.record}",
                   " ".join(f"{kind}*{count}" for kind, count in said.items()) + f" asked={len(asked)} letter={told} {untouched()}")


# ── 80–82: TLS, proxies ───────────────────────────────────────────────────────────────────────────────

@item(80)
def other_server_names(at):
    forget()
    server, found, records = secure["tls"], [], []
    twice = client_hello("tls.test")
    rows = {"named": twice, "other": client_hello("other.test"), "none": client_hello(None), "upper": client_hello("TLS.test"),
            "clear": b"GET / HTTP/1.1\r\nHost: tls.test\r\n\r\n", "ssl2": b"\x80\x2e\x01\x00\x02" + b"\0" * 43,
            "behind": twice + b"GET / HTTP/1.1\r\n\r\n", "dripped": twice[:3]}
    for what, hello in rows.items():
        call = net(at, "first-bytes", {"host": "tls.test", "port": server.port, "hello": base64.b64encode(hello).decode(),
                                                   "then": "fail"}, timeout_ms=10000)
        reached = attempts(call)[1]
        found.append(f"{what}={reached['what']}" + (f"({reached['result']})" if reached["what"] == "handshake" else ""))
        records.append(call.record)
    return Verdict("NET+LIM", "+".join(dict.fromkeys(records)), " ".join(found) + f" {untouched()}")


def tls_rows():
    host = {name: f"https://{name}.test:{server.port}/" for name, server in secure.items()}
    return [{"what": name, "url": url} for name, url in host.items()]


@item(81)
def verification_switched_off(at):
    """What the connector may set, it sets: environment variables that such libraries know. What it may not: there is
    nothing in the SDK to switch verification off."""
    forget()
    variables = {"SSL_CERT_FILE": "/csn/own.pem", "SSL_CERT_DIR": "/csn", "CURL_CA_BUNDLE": "/csn/own.pem", "OPENSSL_CONF": "/csn/own.cnf",
                 "SSLKEYLOGFILE": "/csn/keys", "NODE_TLS_REJECT_UNAUTHORIZED": "0"}
    call = fetches(at, tls_rows(), "fetch-with", environment=variables)
    requests = {name: server.bytes for name, server in secure.items() if server.bytes and name != "tls"}
    assert not requests, f"a request went to a server that was not verified: {requests}"
    return Verdict("NONE", call.record, " ".join(f"{one['what']}={one['result']}" for one in attempts(call)) + f" {untouched()}")


@item(82)
def proxies(at):
    forget()
    address = f"http://{PUBLIC}:{proxy.port}"
    call = fetches(at, [{"what": "http", "url": f"http://web.test:{web.port}/"}, {"what": "https", "url": f"https://tls.test:{secure['tls'].port}/"},
                        {"what": "connect", "url": f"http://web.test:{web.port}/", "method": "CONNECT"},
                        {"what": "socks", "url": f"socks5://good.test:{proxy.port}/"},
                        {"what": "proxy", "url": f"http://good.test:{proxy.port}/"}],
                   "fetch-with", environment={**dict.fromkeys(PROXIES, address), "no_proxy": ""})
    return Verdict(code(call), call.record, " ".join(f"{one['what']}={one['result']}" for one in attempts(call)) + f" denied={call.outcome['denied']} {untouched()}")


# ── 83–87: where connect is asked of a supervisor: there is none to deceive ───────────────────────────

@item(83)
def rewritten_address(at):
    return judged(at, relayed(at, ["relay", "thread3", "thread", "connect-elsewhere"]))


@item(84)
def death_while_notified(at):
    return judged(at, relayed(at, ["process", "die-notified", "connect-elsewhere", "relay"]))


@item(85)
def bad_pointers(at):
    return judged(at, relayed(at, ["connect-empty", "connect-huge", "connect-unmapped", "connect-misaligned", "connect-unterminated",
                                   "send-unmapped", "relay"]))


@item(86)
def other_descriptors(at):
    return judged(at, relayed(at, ["connect-pipe", "connect-channel", "swap-channel", "swap-egress", "relay"]))


@item(87)
def past_the_hook(at):
    return judged(at, relayed(at, ["ring-setup", "ring-enter", "ring-register", "send-many"]))
