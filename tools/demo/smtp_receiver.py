#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A real SMTP server for the demonstration: demands STARTTLS and AUTH, keeps every message as a file.

usage: smtp_receiver.py CERT KEY USER PASSWORD-FILE FOLDER      prints "ready PORT", ends with its standard input
"""
import asyncio
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Keep:
    """Writes each accepted message to FOLDER, envelope first."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        path = os.path.join(self.folder, f"mail-{self.count}.eml")
        with open(path + ".part", "wb") as out:
            out.write(f"X-Envelope-From: {envelope.mail_from}\r\nX-Envelope-To: {', '.join(envelope.rcpt_tos)}\r\n".encode())
            out.write(envelope.content)
        os.rename(path + ".part", path)
        return f"250 2.0.0 accepted as {self.count}"


async def serve(cert, key, user, password, folder):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    keep = Keep(folder)

    def check(server, session, envelope, mechanism, data):
        known = mechanism in ("PLAIN", "LOGIN") and data.login == user.encode() and data.password == password.encode()
        return AuthResult(success=known, handled=False)

    def session():
        return SMTP(keep, tls_context=context, require_starttls=True, auth_required=True, authenticator=check,
                    enable_SMTPUTF8=True, hostname="mail.demo.example", loop=loop)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, host="127.0.0.1", port=0)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def main():
    cert, key, user, password_file, folder = sys.argv[1:6]
    with open(password_file, encoding="utf-8") as text:
        password = text.read().strip()
    asyncio.run(serve(cert, key, user, password, folder))


main()
