#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""caisson reload: what caisson.conf says anew holds at once, in every role, and a mistake changes nothing."""
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.environ["CAISSON_SOURCE"], "tests", "lib"))
from daemon import SOURCE, Daemon, Peer, UnixHTTP, only_root, run  # noqa: E402

OTHER = 65534  # a uid that is not the daemon's
GREET = json.dumps({"connector": "hello", "action": "greet", "input": {"name": "Ada"}})
daemon = original = hook = silent = None


def configure(more):
    with open(os.path.join(daemon.home, "caisson.conf"), "w", encoding="utf-8") as out:
        out.write(original + "\n" + more + "\n")
    return daemon.cli("reload", check=False)


def reconfigure(more):
    done = configure(more)
    assert done.returncode == 0, done.stderr


def as_other():
    """One call by another user: its status."""
    done = subprocess.run(["setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups", "curl", "-s", "-o", "/dev/null",
                           "-w", "%{http_code}", "--unix-socket", os.path.join(daemon.home, "run", "api.sock"), "-H",
                           "Content-Type: application/json", "-d", GREET, "http://localhost/v1/calls"],
                          capture_output=True, text=True, check=True)
    return int(done.stdout)


def greets():
    return daemon.call("hello", "greet", {"name": "Ada"}).status


@only_root  # nobody else is two users
def test_a_right_is_given_and_taken():
    reconfigure("")
    assert as_other() == 403
    reconfigure(f"[Access]\nInvoker=default uid:{OTHER}")
    assert as_other() == 200
    reconfigure("[Access]\nViewer=default any")
    assert as_other() == 403
    assert greets() == 200, "the administrator lost a right"


CALLER = """
import http.client, socket, sys
line = http.client.HTTPConnection("localhost")
line.sock = socket.socket(socket.AF_UNIX)
line.sock.connect(sys.argv[1])
for turn in sys.stdin:
    line.request("POST", "/v1/calls", sys.argv[2], {"Content-Type": "application/json"})
    got = line.getresponse()
    got.read()
    print(got.status, flush=True)
"""


@only_root  # as above
def test_a_right_is_lost_on_an_open_connection():
    reconfigure(f"[Access]\nInvoker=default gid:{OTHER}")
    command = ["setpriv", f"--reuid={OTHER}", f"--regid={OTHER}", "--clear-groups", "/usr/bin/python3", "-c", CALLER,
               os.path.join(daemon.home, "run", "api.sock"), GREET]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as caller:
        for change, status in (("", "200"), ("[Limits]\nCalls=9", "403")):
            if change:
                reconfigure(change)
            caller.stdin.write("again\n")
            assert caller.stdout.readline().strip() == status
        caller.stdin.close()


def test_a_host_is_added():
    payload = {"url": f"https://hooks.demo.example:{hook.port}/hook", "data": {"n": 1}}
    reconfigure("")
    answer = daemon.call("webhook", "post", payload, credential="hook")
    assert answer.status == 502 or answer.status == 503, answer
    assert answer.json["sent"] == "no", answer
    reconfigure("[Resolver]\nHost=hooks.demo.example 127.0.0.1")
    answer = daemon.call("webhook", "post", payload, credential="hook")
    assert answer.status == 200 and answer.json["class"] == "ok", answer
    reconfigure("")
    assert daemon.call("webhook", "post", payload, credential="hook").json["sent"] == "no", "the host is still there"


def test_limits_change():
    reconfigure("[Limits]\nRate=1\nBurst=2")
    statuses = [greets() for _ in range(8)]
    assert 429 in statuses, statuses
    reconfigure("")
    assert [greets() for _ in range(8)] == [200] * 8
    reconfigure("[Limits]\nCallRate=1\nCallBurst=2")
    statuses = [greets() for _ in range(8)]
    assert 429 in statuses, statuses
    reconfigure("")
    assert [greets() for _ in range(8)] == [200] * 8


def test_connections_change():
    reconfigure("[Limits]\nConnections=4")
    held = []
    for _ in range(4):
        connection = UnixHTTP(os.path.join(daemon.home, "run", "api.sock"))
        connection.request("GET", "/v1/health")
        assert connection.getresponse().read()
        held.append(connection)
    assert daemon.http("GET", "/v1/health").status == 429
    for connection in held:
        connection.close()
    reconfigure("")


def test_timeouts_change():
    """A host that takes the connection and says nothing: the call lasts as long as the limit of the day."""
    url = f"https://hooks.demo.example:{silent.getsockname()[1]}/"
    reconfigure("[Limits]\nTimeoutMilliseconds=400\n[Resolver]\nHost=hooks.demo.example 127.0.0.1")
    answer = daemon.call("webhook", "post", {"url": url, "data": {}}, credential="hook")
    assert answer.json["class"] in ("retryable", "timeout") and answer.json["sent"] == "no", answer
    assert re.search(r"after [1-3]\d\d milliseconds|deadline", answer.json["detail"]), answer
    reconfigure("")


def origin_allowed(origin):
    answer = daemon.http("GET", "/v1/health", headers={"Origin": origin})
    return answer.headers.get("access-control-allow-origin") == origin


def test_origins_change():
    reconfigure("[Listen]\nCorsOrigin=https://console.example")
    assert origin_allowed("https://console.example") and not origin_allowed("https://other.example")
    reconfigure("[Listen]\nCorsOrigin=https://other.example")
    assert origin_allowed("https://other.example") and not origin_allowed("https://console.example")
    reconfigure("")
    assert not origin_allowed("https://other.example")


def test_keys_want_a_restart():
    def told():
        with open(daemon.log, encoding="utf-8") as log:
            return sum("restart-needed" in line and "[Keys]" in line for line in log)
    reconfigure("[Limits]\nCalls=9")
    assert told() == 0
    reconfigure("[Keys]\nArgonMegabytes=19")
    assert told() == 1
    reconfigure("[Keys]\nArgonMegabytes=19\n[Limits]\nCalls=9")
    assert told() == 1
    reconfigure("")
    assert told() == 2 and greets() == 200


def test_the_level_of_the_log_holds_in_every_role_from_the_next_start():
    def lines(path):
        with open(path, encoding="utf-8") as log:
            return [json.loads(line) for line in log if line.startswith("{")]
    reconfigure("[Daemon]\nLogLevel=error")
    assert [line for line in lines(daemon.log) if line["event"] == "restart-needed" and "[Daemon]" in line["for"]]
    reconfigure("")
    assert [line for line in lines(daemon.log) if line["event"] == "vault-open"]
    with Daemon("[Daemon]\nLogLevel=error") as quiet:
        quiet.start()
        assert not [line for line in lines(quiet.log) if line["level"] != "error"]


def test_a_mistake_changes_nothing():
    good = f"[Access]\nInvoker=default uid:{OTHER}\n[Listen]\nCorsOrigin=https://console.example"
    reconfigure(good)
    for mistake in ("[Resolver]\nNameservers=dns.example", "[Resolver]\nHost=a..b 127.0.0.1", "[Resolver]\nRefuse=10.0.0.1/8",
                    "[Listen]\nCorsOrigin=*", "[Access]\nAdmin=default any", "[Limits]\nCalls=0"):
        done = configure(mistake)
        assert done.returncode != 0, f"accepted: {mistake}"
        key = re.search(r"\n(\w+)=", mistake).group(1)
        assert key in done.stderr, f"{mistake}: {done.stderr}"
        assert origin_allowed("https://console.example"), mistake
    assert greets() == 200
    reconfigure("")


if __name__ == "__main__":
    folder = tempfile.mkdtemp(prefix="caisson-ca.")
    os.chmod(folder, 0o755)
    subprocess.run([os.path.join(SOURCE, "tools", "demo", "make-ca"), folder, "hooks.demo.example"], check=True)
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent, Daemon() as daemon, Peer(os.path.join(SOURCE, "tools", "demo", "https_receiver.py"), folder + "/server.pem",
                                      folder + "/server.key", daemon.home) as hook:
            with open(os.path.join(daemon.home, "caisson.conf"), encoding="utf-8") as old:
                original = old.read()
            daemon.start()
            daemon.enable("hello")
            daemon.enable("webhook", "--egress", f"tls://hooks.demo.example:{hook.port}", "--egress",
                          f"tls://hooks.demo.example:{silent.getsockname()[1]}", "--ranges", "127.0.0.0/8", "--ca",
                          folder + "/ca.pem")
            daemon.credential("hook", "webhook", {"secret": "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"})
            run([case for name, case in list(globals().items()) if name.startswith("test_")])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
