#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy with the faults of a bad network, in front of --to HOST:PORT.

  --delay S         every block waits so long, in each direction
  --cut-up N        closes both sides after N bytes from the client      --cut-down N   after N bytes from the server
  --reset           in place of closing, resets (RST)
  --drip N          at most N bytes a second, in each direction
  --black-hole      accepts, reads, and passes nothing, for ever
  --refuse-after N  connections beyond the Nth are reset at once
--folder keeps events.jsonl: {"event": "connection", "number"} and {"event": "end", "number", "up", "down"}.
"""
import asyncio
import contextlib
import socket
import struct

import peer
import relay

SLICES = 10  # of a second, for --drip


class Ended(Exception):
    """A fault ended the connection."""


class Proxy:
    def __init__(self, args):
        self.args, self.record, self.count = args, peer.Record(args), 0
        self.host, _, self.port = args.to.rpartition(":")

    def end(self, *writers):
        for writer in writers:
            with contextlib.suppress(OSError):
                if self.args.reset:
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()

    def faulty(self, counts, side, cut):
        """A copy() that counts into counts[side] and ends everything after `cut` bytes."""
        async def copy(reader, writer):
            size = max(1, self.args.drip // SLICES) if self.args.drip else 1 << 16
            while block := await reader.read(size):
                if self.args.delay or self.args.drip:
                    await asyncio.sleep(self.args.delay + (1 / SLICES if self.args.drip else 0))
                if cut is not None:
                    block = block[:max(0, cut - counts[side])]
                writer.write(block)
                await writer.drain()
                counts[side] += len(block)
                if cut is not None and counts[side] >= cut:
                    raise Ended
            if writer.can_write_eof():
                writer.write_eof()
        return copy

    async def handle(self, reader, writer):
        self.count += 1
        number, counts = self.count, {"up": 0, "down": 0}
        self.record.event("connection", number=number)
        if self.args.refuse_after is not None and number > self.args.refuse_after:
            self.args.reset = True
            return self.end(writer)
        if self.args.black_hole:
            while await reader.read(1 << 16):
                pass
            return writer.close()
        other = None
        try:
            other = await asyncio.open_connection(self.host, int(self.port))
            await relay.both_ways((reader, writer), other, self.faulty(counts, "up", self.args.cut_up),
                                  self.faulty(counts, "down", self.args.cut_down))
        except (Ended, OSError):
            self.end(writer, *([other[1]] if other else []))
        self.record.event("end", number=number, **counts)


async def serve(args):
    await peer.run(await asyncio.start_server(Proxy(args).handle, "127.0.0.1", args.port))


def arguments():
    parser = peer.options(__doc__)
    parser.add_argument("--to", required=True, metavar="HOST:PORT")
    parser.add_argument("--delay", type=float, default=0)
    parser.add_argument("--cut-up", type=int)
    parser.add_argument("--cut-down", type=int)
    parser.add_argument("--reset", action="store_true")
    parser.add_argument("--drip", type=int)
    parser.add_argument("--black-hole", action="store_true")
    parser.add_argument("--refuse-after", type=int)
    return parser.parse_args()


peer.main(serve, arguments())
