# SPDX-License-Identifier: Apache-2.0
"""What the hostile corpus meets outside: a name server with a script, and TCP servers that count who came. All of it on
127.0.0.1, which plays the public address (the connectors' grant opens exactly this one), and on 127.0.0.2, which plays
everything that is forbidden."""
import contextlib
import ipaddress
import os
import socket
import ssl
import struct
import subprocess
import threading

PUBLIC, FORBIDDEN = "127.0.0.1", "127.0.0.2"
A, CNAME, AAAA = 1, 5, 28


class Names(threading.Thread):
    """A name server over UDP. zone: name to a list of answers, one per query of that name and type, the last one again
    and again; an answer is a list of addresses and "CNAME target". Other names do not exist. asked: every query."""

    def __init__(self, zone):
        super().__init__(daemon=True)
        self.zone, self.asked, self.turns = zone, [], {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((PUBLIC, 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            query, sender = self.socket.recvfrom(2048)
            with contextlib.suppress(IndexError, struct.error, UnicodeDecodeError):
                self.socket.sendto(self.answer(query), sender)

    def forget(self):
        self.asked, self.turns = [], {}

    def names(self):
        """The different names that were asked for, in order."""
        return list(dict.fromkeys(name for name, _ in self.asked))

    @staticmethod
    def read_name(query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode("ascii"))
            at += 1 + query[at]
        return ".".join(labels).lower(), at + 1

    def answer(self, query):
        name, at = self.read_name(query)
        kind = struct.unpack(">H", query[at:at + 2])[0]
        self.asked.append((name, kind))
        head, question = query[:2], query[12:at + 4]
        if name not in self.zone:
            return head + struct.pack(">HHHHH", 0x8183, 1, 0, 0, 0) + question
        turn = self.turns[name, kind] = self.turns.get((name, kind), -1) + 1
        answers = self.zone[name]
        records = self.records(answers[min(turn, len(answers) - 1)], kind, 12 + len(question))
        return head + struct.pack(">HHHHH", 0x8180, 1, len(records), 0, 0) + question + b"".join(records)

    @staticmethod
    def records(answer, kind, at):
        """The records of that type; those after a CNAME belong to its target."""
        out, owner = [], 12
        for word in answer:
            if word.startswith("CNAME "):
                data = b"".join(bytes([len(label)]) + label.encode() for label in word[6:].split(".")) + b"\0"
                what, next_owner = CNAME, at + sum(map(len, out)) + 12
            else:
                data = ipaddress.ip_address(word).packed
                what, next_owner = (A if len(data) == 4 else AAAA), owner
            if what in (kind, CNAME):
                out.append(struct.pack(">HHHIH", 0xC000 | owner, what, 1, 0, len(data)) + data)
                owner = next_owner
        return out


class Server(threading.Thread):
    """A TCP server. serve(connection, self) handles each connection in a thread; None: reads all there is.
    came: how many connections; bytes: how many bytes were read; heard: the first of them."""

    def __init__(self, serve=None, address=PUBLIC, port=0, context=None):
        super().__init__(daemon=True)
        self.serve, self.context, self.came, self.bytes, self.heard = serve or Server.drain, context, 0, 0, b""
        self.socket = socket.create_server((address, port), backlog=128)
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            connection, _ = self.socket.accept()
            self.came += 1
            threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection):
        with contextlib.suppress(OSError), connection:
            if self.context:
                with self.context.wrap_socket(connection, server_side=True) as wrapped:
                    self.serve(wrapped, self)
            else:
                self.serve(connection, self)

    def forget(self):
        self.came, self.bytes, self.heard = 0, 0, b""

    def read(self, connection, size=65536):
        data = connection.recv(size)
        self.bytes += len(data)
        self.heard = (self.heard + data)[:65536]
        return data

    def drain(self, server):
        """(self is the connection)"""
        while server.read(self):
            pass


def echo(connection, server):
    while data := server.read(connection):
        connection.sendall(data)


def deaf(connection, server):
    threading.Event().wait(60)


def drip(connection, server):
    while True:
        connection.sendall(b".")
        threading.Event().wait(0.1)


def gush(connection, server):
    block = b"x" * 65536
    while True:
        connection.sendall(block)


def reset(connection, server):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def http(places):
    """An HTTP server: a path of places is redirected to its value, every other path is answered 200."""
    def serve(connection, server):
        data = b""
        while b"\r\n\r\n" not in data:
            more = server.read(connection)
            if not more:
                return
            data += more
        path = data.split(b" ")[1].decode()
        place = places.get(path)
        head = f"302 Found\r\nLocation: {place}" if place else "200 OK"
        connection.sendall(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    return serve


class Full:
    """A server whose queue is full: it answers no connection any more, neither yes nor no."""

    def __init__(self):
        self.socket = socket.create_server((PUBLIC, 0), backlog=0)
        self.port, self.waiting = self.socket.getsockname()[1], []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex((PUBLIC, self.port))
            self.waiting.append(one)


class Unix(threading.Thread):
    """Listens on a unix socket by path and by abstract name; came: how many connections."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.came, self.sockets = 0, []
        for name in (path, "\0" + path):
            one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            one.bind(name)
            one.listen(5)
            self.sockets.append(one)
        os.chmod(path, 0o777)
        for one in self.sockets:
            threading.Thread(target=self.accept, args=(one,), daemon=True).start()

    def accept(self, one):
        while True:
            one.accept()[0].close()
            self.came += 1


def client_hello(name, ending=b""):
    """The first bytes of a TLS client that wants that name (None: that gives none)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read() + ending


def certificates(folder, peers, *names):
    """make_ca.sh's certificates; returns a function that makes a server's context of one of them."""
    subprocess.run(["sh", os.path.join(peers, "make_ca.sh"), folder, *names], check=True, stdin=subprocess.DEVNULL)

    def context(kind="server", old=False):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(os.path.join(folder, kind + ".pem"), os.path.join(folder, kind + ".key"))
        if old:  # nothing newer than TLS 1.1, as a downgraded version
            made.set_ciphers("ALL:@SECLEVEL=0")
            made.minimum_version, made.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        return made
    return context
