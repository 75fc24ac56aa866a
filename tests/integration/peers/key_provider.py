#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for Vault's transit engine and for AWS KMS over TLS. They check what the real ones check, by their own
means: token, context, associated data; Signature Version 4 recomputed from AWS's description, EncryptionContext.

The file state.json in --folder is read at every request: {"transit_version": N, "token": TEXT, "key_id": TEXT,
"secret": TEXT, "session": TEXT, "down": BOOL, "slow": SECONDS}; slow is the answer about the key's version.
Ends with its standard input; prints "ready PORT".
"""
import argparse
import base64
import hashlib
import hmac
import http.server
import json
import os
import ssl
import sys
import threading
import time
import urllib.parse

ARN = "arn:aws:kms:eu-test-1:111122223333:key/0000-1111"


def seal(key, bound, plain):
    """A toy that binds: a stream of HMACs and a tag. The daemon never looks into it."""
    nonce = os.urandom(16)
    stream = hmac.new(key, b"stream" + nonce + bound, hashlib.sha256).digest()
    body = bytes(a ^ b for a, b in zip(plain, stream))
    return nonce + body + hmac.new(key, b"tag" + nonce + body + bound, hashlib.sha256).digest()


def unseal(key, bound, sealed):
    nonce, body, tag = sealed[:16], sealed[16:-32], sealed[-32:]
    if not hmac.compare_digest(tag, hmac.new(key, b"tag" + nonce + body + bound, hashlib.sha256).digest()):
        return None
    return bytes(a ^ b for a, b in zip(body, hmac.new(key, b"stream" + nonce + bound, hashlib.sha256).digest()))


def signature(request, body, secret):
    """AWS Signature Version 4, from its description."""
    words = dict(part.strip().split("=", 1) for part in request.headers["Authorization"].split(" ", 1)[1].split(","))
    signed = words["SignedHeaders"].split(";")
    canonical = "\n".join([request.command, urllib.parse.urlsplit(request.path).path or "/", "",
                           *[f"{name}:{' '.join(request.headers[name].split())}" for name in signed], "", ";".join(signed),
                           hashlib.sha256(body).hexdigest()])
    date = request.headers["X-Amz-Date"]
    scope = words["Credential"].split("/", 1)[1]
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    return words, signed, hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = ""

    def log_message(self, *unused):
        pass

    def state(self):
        with open(os.path.join(self.folder, "state.json"), encoding="utf-8") as text:
            return json.load(text)

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def keep(self, what):
        with open(os.path.join(self.folder, "seen"), "a", encoding="utf-8") as out:
            out.write(what + "\n")

    # ── transit ───────────────────────────────────────────────────────────────────────────────────────────

    def transit(self, state, body):
        if self.headers.get("X-Vault-Token") != state["token"]:
            return self.answer(403, {"errors": ["permission denied"]})
        _, _, mount, what, name = self.path.split("/")
        if (mount, name) != ("transit", "caisson"):
            return self.answer(404, {"errors": ["no handler for route"]})
        self.keep(what)
        if what == "keys":
            time.sleep(state.get("slow", 0))
            return self.answer(200, {"data": {"name": name, "latest_version": state["transit_version"], "type": "aes256-gcm96"}})
        bound = (base64.b64decode(body["context"], validate=True) + b"|"
                 + base64.b64decode(body["associated_data"], validate=True))
        if what == "encrypt":
            version = state["transit_version"]
            sealed = seal(b"transit%d" % version, bound, base64.b64decode(body["plaintext"], validate=True))
            text = f"vault:v{version}:" + base64.b64encode(sealed).decode()
            return self.answer(200, {"data": {"ciphertext": text, "key_version": version}})
        _, version, sealed = body["ciphertext"].split(":")
        plain = unseal(b"transit" + version[1:].encode(), bound, base64.b64decode(sealed, validate=True))
        if plain is None:
            return self.answer(400, {"errors": ["cipher: message authentication failed"]})
        return self.answer(200, {"data": {"plaintext": base64.b64encode(plain).decode()}})

    # ── KMS ───────────────────────────────────────────────────────────────────────────────────────────────

    def kms(self, state, raw, body):
        words, signed, wanted = signature(self, raw, state["secret"])
        needed = {"host", "x-amz-date", "x-amz-target"} | ({"x-amz-security-token"} if state.get("session") else set())
        if not needed <= set(signed):
            return self.answer(400, {"__type": "IncompleteSignatureException", "message": str(signed)})
        scope = words["Credential"].split("/")
        if (scope[0], *scope[2:]) != (state["key_id"], "eu-test-1", "kms", "aws4_request") or words["Signature"] != wanted:
            return self.answer(403, {"__type": "InvalidSignatureException", "message": "does not match"})
        if self.headers.get("X-Amz-Security-Token") != (state.get("session") or None):
            return self.answer(403, {"__type": "UnrecognizedClientException", "message": "token"})
        what = self.headers["X-Amz-Target"].split(".")[1]
        self.keep(what)
        if body["KeyId"] not in ("alias/caisson", ARN):
            return self.answer(400, {"__type": "NotFoundException", "message": body["KeyId"]})
        if what == "DescribeKey":
            return self.answer(200, {"KeyMetadata": {"KeyId": "0000-1111", "Arn": ARN}})
        bound = json.dumps(body["EncryptionContext"], sort_keys=True).encode()
        if list(body["EncryptionContext"]) != ["caisson-share"]:
            return self.answer(400, {"__type": "ValidationException", "message": "context"})
        if what == "Encrypt":
            sealed = seal(b"kms", bound, base64.b64decode(body["Plaintext"], validate=True))
            return self.answer(200, {"KeyId": ARN, "CiphertextBlob": base64.b64encode(sealed).decode()})
        plain = unseal(b"kms", bound, base64.b64decode(body["CiphertextBlob"], validate=True))
        if plain is None:
            return self.answer(400, {"__type": "InvalidCiphertextException", "message": ""})
        return self.answer(200, {"KeyId": ARN, "Plaintext": base64.b64encode(plain).decode()})

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        state = self.state()
        try:
            body = json.loads(raw) if raw else {}
            if state.get("down"):
                self.answer(503, {"errors": ["sealed"]})
            elif self.path.startswith("/v1/"):
                self.transit(state, body)
            else:
                self.kms(state, raw, body)
        except (KeyError, ValueError) as error:
            self.answer(400, {"errors": [repr(error)], "__type": "ValidationException"})


def main():
    parser = argparse.ArgumentParser()
    for name in ("folder", "cert", "key"):
        parser.add_argument("--" + name, required=True)
    args = parser.parse_args()
    Handler.folder = args.folder
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(args.cert, args.key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"ready {server.server_address[1]}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
