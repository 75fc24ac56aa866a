#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A TLS terminator in front of a server that speaks plain HTTP, such as Prism: tls_front.py --to HOST:PORT --cert --key"""
import asyncio
import contextlib

import peer
import relay


async def serve(args):
    host, _, port = args.to.rpartition(":")

    async def handle(reader, writer):
        with contextlib.suppress(OSError):
            await relay.both_ways((reader, writer), await asyncio.open_connection(host, int(port)))
        writer.close()

    await peer.run(await asyncio.start_server(handle, "127.0.0.1", args.port, ssl=peer.tls_context(args)))


def arguments():
    parser = peer.options(__doc__)
    peer.add_tls(parser, required=True)
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    return parser.parse_args()


peer.main(serve, arguments())
