#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTPS receiver for the demonstration: takes webhooks at /hook and text messages in the manner of Twilio's API,
keeps every request as a file.

usage: https_receiver.py CERT KEY FOLDER      prints "ready PORT", ends with its standard input
"""
import asyncio
import json
import os
import ssl
import sys

from aiohttp import web


class Receiver:
    def __init__(self, folder):
        self.folder, self.count = folder, {}

    def keep(self, kind, record):
        self.count[kind] = self.count.get(kind, 0) + 1
        path = os.path.join(self.folder, f"{kind}-{self.count[kind]}.json")
        with open(path + ".part", "w", encoding="utf-8") as out:
            json.dump(record, out, indent=2, ensure_ascii=False)
        os.rename(path + ".part", path)
        return self.count[kind]

    async def hook(self, request):
        body = await request.text()
        headers = {name: value for name, value in request.headers.items() if name.lower().startswith(("webhook-", "ce-", "content-type"))}
        self.keep("webhook", {"path": request.path, "headers": headers, "body": body})
        return web.json_response({"received": True})

    async def message(self, request):
        form = dict(await request.post())
        number = self.keep("sms", {"path": request.path, "authorized": "Authorization" in request.headers, "form": form})
        answer = {"sid": f"SM{number:032x}", "status": "queued", "to": form.get("To"), "from": form.get("From"),
                  "body": form.get("Body"), "num_segments": "1", "error_code": None, "error_message": None}
        return web.json_response(answer, status=201)


async def serve(cert, key, folder):
    receiver = Receiver(folder)
    app = web.Application()
    app.router.add_post("/hook", receiver.hook)
    app.router.add_post("/2010-04-01/Accounts/{account}/Messages.json", receiver.message)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    print("ready", site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


asyncio.run(serve(*sys.argv[1:4]))
