#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A real SMTP server (aiosmtpd) that demands STARTTLS and AUTH, keeps every mail, and fails where it is told to.

Kept in --folder: mail-N.eml, exactly as it came, and one line per event in events.jsonl:
  {"event": "mail", "number": 1, "from": …, "to": […], "tls": true, "user": …, "size": …}
  {"event": "auth", "user": …, "ok": …}   {"event": "reply", "step": …, "code": …}   {"event": "cut", "step": …}

Failing, for everyone:   --reply STEP=CODE[:TEXT]    with STEP one of greeting ehlo starttls auth mail rcpt data message
                         --cut STEP                  closes the connection in place of the reply; cut "message" has
                                                     taken the mail: it is kept, and only the reply is missing
Failing by address:      reply.CODE.STEP@any  and  cut.STEP@any    as sender (mail) or recipient (rcpt data message)
"""
import asyncio
import email
import email.policy
import logging
import re
import warnings

import peer
from aiosmtpd.smtp import SMTP, AuthResult, syntax

STEPS = ("greeting", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "message")
TEXTS = {4: "try again later", 5: "refused for good"}
BY_ADDRESS = re.compile(r"(?:reply\.(\d{3})|cut)\.(mail|rcpt|data|message)@")


class Cut(ConnectionResetError):
    """The connection was closed instead of an answer; aiosmtpd then ends the session, as after any reset."""


class Faults:
    """What to do at a step, in place of the ordinary reply."""

    def __init__(self, replies, cuts):
        self.steps = {step: None for step in cuts}
        for rule in replies:
            step, _, reply = rule.partition("=")
            code, _, text = reply.partition(":")
            self.steps[step] = (int(code), text)
        for step in self.steps:
            if step not in STEPS:
                raise SystemExit(f"smtp_peer.py: there is no step {step}; there are {' '.join(STEPS)}")

    def find(self, step, addresses):
        """(True, None): cut; (True, reply); (False, None): nothing to do."""
        if step in self.steps:
            return True, self.steps[step]
        for address in addresses:
            found = BY_ADDRESS.match(address or "")
            if found and found.group(2) == step:
                return True, (int(found.group(1)), "") if found.group(1) else None
        return False, None


class Server(SMTP):
    """aiosmtpd's server with a question before every reply: is this where it shall fail?"""

    def __init__(self, keeper, **more):
        super().__init__(keeper, **more)
        self.keeper = keeper

    def fault(self, step, *addresses):
        """The reply to give instead, or None; raises Cut when there shall be none."""
        found, reply = self.keeper.faults.find(step, addresses)
        if not found:
            return None
        if reply is None:
            self.keeper.record.event("cut", step=step)
            self.transport.abort()
            raise Cut(step)
        code, text = reply
        self.keeper.record.event("reply", step=step, code=code)
        return f"{code} {code // 100}.0.0 {text or TEXTS.get(code // 100, 'as told')}"

    async def _handle_client(self):
        try:
            reply = self.fault("greeting")
            if reply:
                await self.push(reply)
                self.transport.close()
                return
            await super()._handle_client()
        except Cut:
            pass

    @syntax("EHLO hostname")
    async def smtp_EHLO(self, hostname):
        reply = self.fault("ehlo")
        await (self.push(reply) if reply else super().smtp_EHLO(hostname))

    @syntax("STARTTLS", when="tls_context")
    async def smtp_STARTTLS(self, arg):
        reply = self.fault("starttls")
        await (self.push(reply) if reply else super().smtp_STARTTLS(arg))

    @syntax("AUTH <mechanism>")
    async def smtp_AUTH(self, arg):
        reply = self.fault("auth")
        await (self.push(reply) if reply else super().smtp_AUTH(arg))

    @syntax("DATA")
    async def smtp_DATA(self, arg):
        reply = self.fault("data", self.envelope.mail_from, *self.envelope.rcpt_tos)
        await (self.push(reply) if reply else super().smtp_DATA(arg))


class Keeper:
    """aiosmtpd's handler: keeps mails and events."""

    def __init__(self, args):
        self.record, self.faults = peer.Record(args), Faults(args.reply, args.cut)
        self.user = args.user
        self.password = peer.secret(args.password_file) if args.password_file else None

    def authenticate(self, server, session, envelope, mechanism, data):
        user = data.login.decode(errors="replace") if hasattr(data, "login") else ""
        good = mechanism in ("PLAIN", "LOGIN") and user == self.user and data.password.decode(errors="replace") == self.password
        self.record.event("auth", user=user, ok=good, mechanism=mechanism)
        return AuthResult(success=good, handled=False, auth_data=data)

    async def handle_MAIL(self, server, session, envelope, address, more):
        reply = server.fault("mail", address)
        if reply:
            return reply
        envelope.mail_from = address
        envelope.mail_options.extend(more)
        return "250 2.1.0 ok"

    async def handle_RCPT(self, server, session, envelope, address, more):
        reply = server.fault("rcpt", address)
        if reply:
            return reply
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(more)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        found, reply = self.faults.find("message", (envelope.mail_from, *envelope.rcpt_tos))
        if not found or reply is None:
            self.keep(session, envelope)
        return server.fault("message", envelope.mail_from, *envelope.rcpt_tos) or f"250 2.0.0 accepted as {self.record.counts['mail']}"

    def keep(self, session, envelope):
        number = self.record.keep("mail", "eml", envelope.content)
        self.record.event("mail", number=number, **{"from": envelope.mail_from}, to=envelope.rcpt_tos,
                          tls=session.ssl is not None, user=session.auth_data.login.decode() if session.auth_data else None,
                          size=len(envelope.content))
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = [part.get_filename() or part.get_content_type() for part in message.walk() if not part.is_multipart()]
        self.record.show(f"mail {number}: from {envelope.mail_from} to {', '.join(envelope.rcpt_tos)}, \"{message['subject']}\", "
                         f"parts: {', '.join(parts)}")


def arguments():
    parser = peer.options(__doc__)
    peer.add_tls(parser, required=True)
    parser.add_argument("--user", default="demo")
    parser.add_argument("--password-file", help="the password of that user; without it, nobody has to authenticate")
    parser.add_argument("--implicit-tls", action="store_true", help="TLS from the first byte (port 465's manner)")
    parser.add_argument("--no-starttls", action="store_true", help="offer no TLS at all: a server to be refused")
    parser.add_argument("--hostname", default="mail.demo.example", help="for greeting and EHLO")
    parser.add_argument("--reply", action="append", default=[], metavar="STEP=CODE[:TEXT]")
    parser.add_argument("--cut", action="append", default=[], metavar="STEP")
    return parser.parse_args()


async def serve(args):
    context, loop = peer.tls_context(args), asyncio.get_running_loop()
    keeper = Keeper(args)
    starttls = not args.implicit_tls and not args.no_starttls
    auth = bool(args.password_file)

    def session():
        return Server(keeper, hostname=args.hostname, enable_SMTPUTF8=True, loop=loop, data_size_limit=64 << 20,
                      tls_context=context if starttls else None, require_starttls=starttls, authenticator=keeper.authenticate,
                      auth_required=auth, auth_require_tls=starttls)

    server = await loop.create_server(session, "127.0.0.1", args.port, ssl=context if args.implicit_tls else None)
    await peer.run(server)


logging.disable()  # resets and weak settings are what this peer is for
warnings.simplefilter("ignore")
peer.main(serve, arguments())
