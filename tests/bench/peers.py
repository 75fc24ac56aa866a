# SPDX-License-Identifier: Apache-2.0
"""Targets 9 to 11 and 14: webhooks against Node-RED, mail against libcurl, Postfix and Apprise, memory at rest."""
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from common import SOURCE, load, missing, path, program, pss_of, row, say
from daemon import Daemon, Peer

HOOKS, MAIL = "hooks.demo.example", "mail.demo.example"
CONFIG = f"[Resolver]\nHost={HOOKS} 127.0.0.1\nHost={MAIL} 127.0.0.1\n"
NODE_RED = "4.0.9"
CALLERS = 16


def authority(folder):
    ca = os.path.join(folder, "ca")
    subprocess.run([f"{SOURCE}/tools/demo/make-ca", ca, HOOKS, MAIL, "localhost"], check=True)
    return ca


def sink(kind, ca):
    return Peer(path("sink"), kind, ca + "/server.pem", ca + "/server.key")


# ── Node-RED ──────────────────────────────────────────────────────────────────────────────────────────────────────────

def node_red_program():
    """From npm, kept between runs; (program, None) or (None, why not)."""
    folder = os.environ.get("CAISSON_NODE_RED") or os.path.join(SOURCE, "build", "npm-node-red")
    found = os.path.join(folder, "node_modules", "node-red", "red.js")
    if not shutil.which("node") or not shutil.which("npm"):
        return None, "node and npm are not installed"
    if not os.path.exists(found):
        os.makedirs(folder, exist_ok=True)
        done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", folder, f"node-red@{NODE_RED}"],
                              capture_output=True, text=True)
        if done.returncode:
            return None, "npm could not install node-red"
    return found, None


def flow(port):
    """http in -> http request to the sink -> http response; once with a connection a request, once with kept ones."""
    nodes = [{"id": "tab", "type": "tab", "label": "bench"}]
    for at, keep in (("fresh", False), ("kept", True)):
        nodes += [{"id": f"{at}in", "type": "http in", "z": "tab", "url": f"/{at}", "method": "post", "wires": [[f"{at}ask"]]},
                  {"id": f"{at}ask", "type": "http request", "z": "tab", "method": "POST", "ret": "txt", "url": f"https://localhost:{port}/hook",
                   "persist": keep, "wires": [[f"{at}out"]]},
                  {"id": f"{at}out", "type": "http response", "z": "tab", "wires": []}]
    return nodes


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as one:
            one.settimeout(5)
            one.sendall(b"POST /kept HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
            if one.recv(64).startswith(b"HTTP/1.1 200"):
                return True
        time.sleep(0.05)
    return False


@contextlib.contextmanager
def node_red(folder, ca, sink_port):
    """Runs it; gives (pid, port), or None with the reason said."""
    found, why = node_red_program()
    if not found:
        yield None, why
        return
    home = os.path.join(folder, "node-red")
    os.makedirs(home)
    port = free_port()
    with open(f"{home}/flows.json", "w", encoding="utf-8") as out:
        json.dump(flow(sink_port), out)
    with open(f"{home}/settings.js", "w", encoding="utf-8") as out:
        out.write(f'module.exports = {{uiPort: {port}, uiHost: "127.0.0.1", flowFile: "flows.json", httpAdminRoot: false, '
                  'logging: {console: {level: "off"}}}')
    start = time.monotonic()
    process = subprocess.Popen(["node", found, "--userDir", home], env={**os.environ, "NODE_EXTRA_CA_CERTS": ca + "/ca.pem"},
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        good = answers(port)
        say(f"Node-RED {NODE_RED}: {time.monotonic() - start:.2f} s from its start to the first answer")
        yield ((process.pid, port), None) if good else (None, "Node-RED did not answer within 60 s")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


# ── webhooks and memory ───────────────────────────────────────────────────────────────────────────────────────────────

def hook(daemon, name, port, ca, *options):
    daemon.enable("webhook", "--as", name, "--egress", f"tls://{HOOKS}:{port}", "--ranges", "127.0.0.0/8", "--ca", ca + "/ca.pem", *options)
    daemon.credential(name, name, {"secret": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"})
    body = {"connector": name, "action": "post", "credential": name, "input": {"url": f"https://{HOOKS}:{port}/hook", "data": {"n": 1}}}
    load(daemon, CALLERS, 64, body)
    return body


def best(daemon, body, peer, at, count):
    """Both sides in turn, three times; the round in the middle."""
    rounds = []
    for _ in range(3):
        ours = load(daemon, CALLERS, count, body)["per_second"]
        theirs = load(peer, CALLERS, 1000, {"n": 1}, at=at)["per_second"] if peer else 0
        rounds.append((ours, theirs))
    return sorted(rounds, key=lambda pair: pair[0] / (pair[1] or 1))[1]


def webhooks(folder, ca):
    """Targets 9 and 10, and 14, which needs the same two."""
    with sink("https", ca) as there, Daemon(config=CONFIG) as daemon, node_red(folder, ca, there.port) as (red, why):
        daemon.start()
        rest(daemon, red, why)
        for number, name, at, must, count, options in ((9, "once", "/fresh", 1, 600, ()), (10, "leased", "/kept", 4, 3000, ("--isolation", "lease"))):
            what = f"webhook, 16 callers, {'lease mode, recorded / Node-RED, kept TLS' if name == 'leased' else 'one-shot, recorded / Node-RED, new TLS a call'}"
            ours, theirs = best(daemon, hook(daemon, name, there.port, ca, *options), red and red[1], at, count)
            if red:
                row(number, what, ours, theirs, must, "1/s", True)
            else:
                missing(number, what, f"{why} (ours: {ours:.0f}/s)")


def rest(daemon, red, why):
    """Target 14: the whole runtime with three connectors, before any call and after one of each kind's cell."""
    for name, rule in (("email", "tls://api.sendgrid.com:443"), ("sms", "tls://api.twilio.com:443"), ("webhook", "tls://a.example:443")):
        daemon.enable(name, "--egress", rule)
    ours = pss_of(daemon.family())
    if red:
        row(14, "the runtime at rest with three connectors, PSS / Node-RED's", ours, pss_of([red[0]]), 0.1, "KiB")
    else:
        missing(14, "the runtime at rest with three connectors, PSS / Node-RED's", f"{why} (ours: {ours} KiB)")
    daemon.call("webhook", "post", {"url": "https://b.example/", "data": {}})
    say(f"PSS before the first call {ours} KiB, with one cell {pss_of(daemon.family())} KiB")


# ── mail ──────────────────────────────────────────────────────────────────────────────────────────────────────────────

def mail_body():
    return {"connector": "email", "action": "send", "credential": "mail",
            "input": {"from": {"address": "a@" + MAIL}, "to": [{"address": "b@" + MAIL}], "subject": "bench", "text": "hello hello hello"}}


def mails(ca):
    """Target 11 against libcurl in process: the same sink, the same STARTTLS, kept sessions on both sides."""
    with sink("smtp", ca) as there, Daemon(config=CONFIG) as daemon:
        daemon.start()
        daemon.enable("email", "--isolation", "lease", "--set", f"host={MAIL}", "--set", f"port={there.port}",
                      "--egress", f"starttls://{MAIL}:{there.port}", "--ranges", "127.0.0.0/8", "--ca", ca + "/ca.pem")
        daemon.credential("mail", "email", {"username": "u", "password": "p"})
        load(daemon, CALLERS, 64, mail_body())
        rounds = []
        for _ in range(3):
            ours = load(daemon, CALLERS, 2000, mail_body())["per_second"]
            theirs = program("curl-mail", f"smtp://{MAIL}:{there.port}", CALLERS, 8000, ca + "/ca.pem")
            rounds.append((ours, theirs["per_second"]))
        ours, theirs = sorted(rounds, key=lambda pair: pair[0] / pair[1])[1]
        row(11, "mail, 16 callers, lease mode, recorded / libcurl in process", ours, theirs, 0.1, "1/s", True)
        postfix(ours)
        apprise(ours, there.port, ca)


def postfix(ours):
    """Only a Postfix that this computer runs anyway; its own queue takes the mail, for a recipient it throws away."""
    what = "the same / Postfix SMTP intake"
    discard = os.environ.get("CAISSON_BENCH_POSTFIX")
    if not shutil.which("postfix"):
        missing(11, what, "postfix is not installed")
    elif not discard:
        missing(11, what, "set CAISSON_BENCH_POSTFIX=HOST:PORT of one that discards mail to mail.demo.example")
    else:
        row(11, what, ours, program("curl-mail", f"smtp://{discard}", CALLERS, 1500, "-")["per_second"], 4, "1/s", True)


def apprise(ours, port, ca):
    """The library in one process, as fast as it goes; the interpreter is the one that the command names."""
    what, command = "the same / Apprise's library", shutil.which("apprise")
    if not command:
        missing(11, what, "apprise is not installed")
        return
    with open(command, encoding="utf-8") as script:
        python = script.readline().removeprefix("#!").strip()
    loop = ("import sys,time,apprise\n"
            "a=apprise.Apprise(); a.add(sys.argv[1])\n"
            "for one in a: one.request_rate_per_sec=0\n" # it waits between two messages otherwise
            "t=time.monotonic()\n"
            "good=sum(bool(a.notify(title='bench',body='hello hello hello')) for _ in range(200))\n"
            "print(good/(time.monotonic()-t))")
    url = f"mailtos://u:p@{MAIL}:{port}?smtp=localhost&mode=starttls&verify=no&from=a@{MAIL}&to=b@{MAIL}"
    done = subprocess.run([python, "-c", loop, url], capture_output=True, text=True)
    rate = float(done.stdout or 0)
    if rate:
        row(11, what, ours, rate, 5, "1/s", True)
    else:
        missing(11, what, "its mail did not reach the sink")


def run(folder, wanted):
    if not wanted(9, 10, 11, 14):
        return
    work = tempfile.mkdtemp(dir=folder)
    os.chmod(work, 0o755)
    ca = authority(work)
    if wanted(9, 10, 14):
        webhooks(work, ca)
    if wanted(11):
        mails(ca)
    shutil.rmtree(work)
