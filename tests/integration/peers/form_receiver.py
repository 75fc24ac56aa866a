#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A receiver of text messages in the manner of Twilio's API, stricter than the API's description: it takes a message
only when credentials, path, content type, numbers, sender and content are exactly right, and says what is not.

POST /2010-04-01/Accounts/{AccountSid}/Messages.json, Basic auth with AccountSid and --token-file. Takes: 201 and a
message resource; refuses: 4xx and {"code", "message", "more_info", "status"}. Kept in --folder: message-N.json.
Scripted by number: To=+15005550001 → 400 (21211), +15005550009 → 429, +15005550003 → 503.
"""
import asyncio
import base64
import binascii
import re
import urllib.parse

import peer
from aiohttp import web

E164 = re.compile(r"\+[1-9][0-9]{1,14}")
SENDER = re.compile(r"\+[1-9][0-9]{1,14}|[0-9]{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 \-_&+]{1,11}")
SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
KNOWN = {"To", "From", "MessagingServiceSid", "Body", "MediaUrl", "StatusCallback", "ValidityPeriod", "ProvideFeedback",
         "MaxPrice", "Attempt", "SmartEncoded", "ShortenUrls", "SendAt", "ScheduleType", "ContentSid", "ContentVariables"}
SCRIPTED = {"+15005550001": (400, 21211, "The 'To' number is not a valid phone number."),
            "+15005550009": (429, 20429, "Too many requests"), "+15005550003": (503, 20503, "Service unavailable")}


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def need(condition, status, code, message):
    if not condition:
        raise Refused(status, code, message)


def check_authorization(request, account, token):
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        user = password = None
    need(scheme == "Basic" and user == account and password == token, 401, 20003, "Authenticate")
    need(request.match_info["account"] == account, 404, 20404, "The requested resource was not found")


def read_form(request, body):
    need(request.headers.get("Content-Type", "") == "application/x-www-form-urlencoded", 415, 12300, "Invalid Content-Type")
    need(b" " not in body and b"\n" not in body, 400, 21604, "The form is not urlencoded")
    try:
        pairs = urllib.parse.parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise Refused(400, 21604, "The form is not urlencoded UTF-8") from None
    form = {}
    for name, value in pairs:
        need(name in KNOWN, 400, 21600, f"Unknown parameter {name}")
        need(name == "MediaUrl" or name not in form, 400, 21600, f"{name} is given twice")
        form.setdefault(name, []).append(value)
    return {name: values if name == "MediaUrl" else values[0] for name, values in form.items()}


def check_form(form):
    need("To" in form, 400, 21604, "A 'To' phone number is required.")
    need(E164.fullmatch(form["To"]), 400, 21211, f"The 'To' number {form['To']} is not a valid phone number.")
    need(("From" in form) != ("MessagingServiceSid" in form), 400, 21603, "Exactly one of 'From' and 'MessagingServiceSid' is required.")
    need("From" not in form or SENDER.fullmatch(form["From"]), 400, 21212, "The 'From' number is not a valid phone number, shortcode, or alphanumeric sender ID.")
    need("MessagingServiceSid" not in form or SERVICE.fullmatch(form["MessagingServiceSid"]), 400, 21701, "The Messaging Service does not exist.")
    need(form.get("Body") or form.get("MediaUrl"), 400, 21602, "Message body is required.")
    need(len(form.get("Body", "")) <= 1600, 400, 21617, "The concatenated message body exceeds the 1600 character limit.")
    media = form.get("MediaUrl", [])
    need(len(media) <= 10 and all(url.startswith(("http://", "https://")) for url in media), 400, 21620, "Invalid media URL(s)")
    need(form.get("StatusCallback", "https://").startswith(("http://", "https://")), 400, 21609, "The StatusCallback URL is not a valid URL.")
    if form["To"] in SCRIPTED:
        raise Refused(*SCRIPTED[form["To"]])


class Receiver:
    def __init__(self, args):
        self.record, self.account = peer.Record(args), args.account
        self.token = peer.secret(args.token_file)

    def accept(self, form):
        number = self.record.keep_json("message", form)
        self.record.event("message", number=number, to=form["To"])
        sid = f"{'MM' if form.get('MediaUrl') else 'SM'}{number:032x}"
        self.record.show(f"message {number}: to {form['To']}: {form.get('Body', '')}")
        return {"sid": sid, "account_sid": self.account, "api_version": "2010-04-01", "to": form["To"],
                "from": form.get("From"), "messaging_service_sid": form.get("MessagingServiceSid"),
                "body": form.get("Body", ""), "status": "accepted" if "MessagingServiceSid" in form else "queued",
                "direction": "outbound-api", "num_media": str(len(form.get("MediaUrl", []))), "num_segments": "1",
                "date_created": "Thu, 24 Aug 2023 05:01:45 +0000", "date_updated": "Thu, 24 Aug 2023 05:01:45 +0000",
                "date_sent": None, "error_code": None, "error_message": None, "price": None, "price_unit": None,
                "uri": f"/2010-04-01/Accounts/{self.account}/Messages/{sid}.json", "subresource_uris": {}}

    async def handle(self, request):
        body = await request.read()
        try:
            check_authorization(request, self.account, self.token)
            form = read_form(request, body)
            check_form(form)
        except Refused as refused:
            self.record.event("refused", status=refused.status, code=refused.code, message=refused.message)
            headers = {"WWW-Authenticate": 'Basic realm="Twilio API"'} if refused.status == 401 else {}
            if refused.status == 429:
                headers["Retry-After"] = "3"
            return web.json_response({"code": refused.code, "message": refused.message, "status": refused.status,
                                      "more_info": f"https://www.twilio.com/docs/errors/{refused.code}"},
                                     status=refused.status, headers=headers)
        return web.json_response(self.accept(form), status=201)


async def serve(args):
    app = web.Application()
    app.router.add_post("/2010-04-01/Accounts/{account}/Messages.json", Receiver(args).handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    server = await asyncio.get_running_loop().create_server(runner.server, "127.0.0.1", args.port, ssl=peer.tls_context(args))
    await peer.run(server)


def arguments():
    parser = peer.options(__doc__)
    peer.add_tls(parser)
    parser.add_argument("--account", default="AC" + "0" * 31 + "1", help="AccountSid, also the user name")
    parser.add_argument("--token-file", required=True, help="the password")
    return parser.parse_args()


peer.main(serve, arguments())
