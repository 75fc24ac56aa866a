# SPDX-License-Identifier: Apache-2.0
"""A witness of logs (C2SP tlog-witness) that recomputes what it checks: the checkpoint's signature, the proof that it
extends the last one it saw, and its own stored size. Written from the specifications alone, over TLS."""
import base64
import hashlib
import http.server
import ssl
import threading
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

DASH = "— ".encode()


def key_id(name, kind, public):
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def vkey_of(name, kind, public):
    return f"{name}+{key_id(name, kind, public).hex()}+{base64.b64encode(bytes([kind]) + public).decode()}"


def read_vkey(vkey):
    """The name and the Ed25519 key of a log's verifier key."""
    name, given, rest = vkey.split("+", 2)
    typed = base64.b64decode(rest, validate=True)
    assert typed[0] == 1 and len(typed) == 33 and key_id(name, 1, typed[1:]).hex() == given, vkey
    return name, typed[1:]


def node(left, right):
    return hashlib.sha256(b"\x01" + left + right).digest()


def consistent(old, new, old_root, new_root, proof):
    """RFC 9162 §2.1.4.2."""
    if old == 0:
        return not proof
    if old == new:
        return not proof and old_root == new_root
    if not proof:
        return False
    if old & (old - 1) == 0:
        proof = [old_root, *proof]
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = proof[0]
    for part in proof[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            first, second = node(part, first), node(part, second)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node(second, part)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and first == old_root and second == new_root


def split_note(note):
    """The text, and (name, bytes) of every signature line."""
    text, lines = note.rsplit(b"\n\n", 1)
    signatures = []
    for line in lines.split(b"\n")[:-1]:
        assert line.startswith(DASH), line
        name, blob = line[len(DASH):].split(b" ")
        signatures.append((name.decode(), base64.b64decode(blob, validate=True)))
    return text + b"\n", signatures


def signed_by(note, vkeys):
    """Did one of these log keys sign it, and none of them badly? Origin, size, root."""
    text, signatures = split_note(note)
    origin, size, root = text.decode().split("\n")[:3]
    good = False
    for name, blob in signatures:
        for vkey in vkeys:
            known, public = read_vkey(vkey)
            if name == known == origin and blob[:4] == key_id(name, 1, public):
                try:
                    Ed25519PublicKey.from_public_bytes(public).verify(blob[4:], text)
                except InvalidSignature:
                    return None
                good = True
    return (origin, int(size), base64.b64decode(root, validate=True)) if good else None


class Witness:
    """logs: a function that gives the verifier keys known now. Use as a context manager."""

    def __init__(self, cert, key, name, logs):
        self.name, self.logs, self.seen, self.answers, self.spoil = name, logs, {}, [], False
        self.secret = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
        self.public = self.secret.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.vkey = vkey_of(name, 4, self.public)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert, key)
        self.port, self.server, self.lock = 0, None, threading.Lock()
        self.lets_go = threading.Event()  # while it is not set, what was decided is not answered
        self.lets_go.set()

    def cosign(self, text):
        at = int(time.time())
        message = b"cosignature/v1\ntime %d\n" % at + text
        signature = self.secret.sign(message + b"x" if self.spoil else message)
        blob = key_id(self.name, 4, self.public) + at.to_bytes(8, "big") + signature
        return DASH + self.name.encode() + b" " + base64.b64encode(blob) + b"\n"

    def add_checkpoint(self, body):
        """Status, content type, body."""
        head, note = body.split(b"\n\n", 1)
        old, *proof = head.split(b"\n")
        assert old.startswith(b"old ") and len(proof) <= 63
        old, proof = int(old[4:]), [base64.b64decode(line, validate=True) for line in proof]
        known = [vkey for vkey in self.logs() if vkey.split("+")[0] == note.split(b"\n")[0].decode()]
        if not known:
            return 404, "text/plain", b""
        found = signed_by(note, known)
        if not found:
            return 403, "text/plain", b""
        origin, size, root = found
        seen_size, seen_root = self.seen.get(origin, (0, b""))
        if old > size:
            return 400, "text/plain", b""
        if old != seen_size or (old == size and root != seen_root):
            return 409, "text/x.tlog.size", b"%d\n" % seen_size
        if not consistent(old, size, seen_root, root, proof):
            return 422, "text/plain", b""
        self.seen[origin] = (size, root)
        return 200, "text/plain", self.cosign(split_note(note)[0])

    def __enter__(self):
        witness = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with witness.lock:
                    status, kind, answer = (witness.add_checkpoint(body) if self.path == "/w/add-checkpoint"
                                            else (404, "text/plain", b""))
                    witness.answers.append(status)
                witness.lets_go.wait(60)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *unused):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.socket = self.context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *unused):
        self.server.shutdown()
        self.server.server_close()
