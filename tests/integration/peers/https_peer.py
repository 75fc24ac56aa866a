#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An HTTPS server (aiohttp) that keeps every request and answers as its path, or its script, says.

Kept in --folder: request-N.json {"method", "path", "query", "headers": [[name, value] …], "body" (base64), "text"?},
and one line per event in events.jsonl.

Paths (any method):
  /status/CODE[?retry-after=N|DATE][&body=TEXT]   that status
  /redirect/CODE?to=URL                           Location: URL
  /drip?bytes=N&every=SECONDS                     200, one byte at a time
  /big?bytes=N                                    200 with so many bytes
  /hang                                           reads the request and never answers
  /cut                                            reads the request and closes the connection
  /cut-body?bytes=N                               promises 1000 bytes more than it sends
  anything else                                   200 {"received": N}

--script FILE: a JSON list of answers, [{"status": 503, "headers": {…}, "body": "…"} or {"act": "cut"} …]; the first
requests get them in turn, in place of what their path says.
Which certificate is shown is a matter of --cert: make_ca.sh makes good, wrong, expired and self-signed ones.
Without --cert it speaks plain HTTP.
"""
import asyncio
import base64
import contextlib
import json

import peer
from aiohttp import web


class Receiver:
    def __init__(self, args):
        self.record, self.script = peer.Record(args), []
        if args.script:
            with open(args.script, encoding="utf-8") as text:
                self.script = json.load(text)

    async def keep(self, request):
        body = await request.read()
        kept = {"method": request.method, "path": request.path, "query": request.query_string,
                "headers": [[name, value] for name, value in request.headers.items()],
                "body": base64.b64encode(body).decode()}
        with contextlib.suppress(UnicodeDecodeError):
            kept["text"] = body.decode()
        number = self.record.keep_json("request", kept)
        self.record.event("request", number=number, method=request.method, path=request.path, size=len(body))
        self.record.show(f"request {number}: {request.method} {request.path}, {len(body)} bytes"
                         + (f": {kept['text']}" if len(body) < 500 and "text" in kept else ""))
        return number

    async def handle(self, request):
        number = await self.keep(request)
        if self.script:
            return await self.scripted(request, self.script.pop(0))
        step = request.path.strip("/").split("/")
        act = ACTS.get(step[0])
        if act:
            return await act(request, step[1:], request.query)
        return web.json_response({"received": number})

    async def scripted(self, request, answer):
        if "act" in answer:
            return await ACTS[answer["act"]](request, [], answer)
        return web.Response(status=answer.get("status", 200), headers=answer.get("headers"), text=answer.get("body", ""))


async def status(request, words, query):
    headers = {"Retry-After": query["retry-after"]} if "retry-after" in query else {}
    return web.Response(status=int(words[0]), headers=headers, text=query.get("body", ""))


async def redirect(request, words, query):
    return web.Response(status=int(words[0]), headers={"Location": query["to"]})


async def drip(request, words, query):
    count = int(query.get("bytes", 20))
    answer = web.StreamResponse(headers={"Content-Length": str(count)})
    await answer.prepare(request)
    for _ in range(count):
        await answer.write(b".")
        await asyncio.sleep(float(query.get("every", 0.5)))
    return answer


async def big(request, words, query):
    left = int(query.get("bytes", 1 << 20))
    answer = web.StreamResponse(headers={"Content-Length": str(left)})
    await answer.prepare(request)
    while left > 0:
        block = min(left, 1 << 16)
        await answer.write(b"x" * block)
        left -= block
    return answer


async def hang(request, words, query):
    await asyncio.Event().wait()


async def cut(request, words, query):
    request.transport.abort()
    return web.Response()


async def cut_body(request, words, query):
    count = int(query.get("bytes", 10))
    answer = web.StreamResponse(headers={"Content-Length": str(count + 1000)})
    await answer.prepare(request)
    await answer.write(b"x" * count)
    request.transport.close()
    return answer


ACTS = {"status": status, "redirect": redirect, "drip": drip, "big": big, "hang": hang, "cut": cut, "cut-body": cut_body}


async def serve(args):
    app = web.Application(client_max_size=64 << 20)
    app.router.add_route("*", "/{path:.*}", Receiver(args).handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    server = await asyncio.get_running_loop().create_server(runner.server, "127.0.0.1", args.port, ssl=peer.tls_context(args))
    await peer.run(server)


def arguments():
    parser = peer.options(__doc__)
    peer.add_tls(parser)
    parser.add_argument("--script", help="JSON: answers to give in turn")
    return parser.parse_args()


peer.main(serve, arguments())
