# SPDX-License-Identifier: Apache-2.0
"""Copies bytes between two asyncio streams: for the peers that stand in front of another one."""
import asyncio
import contextlib


async def copy(reader, writer):
    """Until the reader ends; then the writer's side is closed too, as far as its transport can half-close."""
    with contextlib.suppress(OSError):
        while block := await reader.read(1 << 16):
            writer.write(block)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()


async def both_ways(one, other, up=copy, down=copy):
    """one, other: (reader, writer). Returns when both directions have ended."""
    try:
        await asyncio.gather(up(one[0], other[1]), down(other[0], one[1]))
    finally:
        for _, writer in (one, other):
            with contextlib.suppress(OSError):
                writer.close()
