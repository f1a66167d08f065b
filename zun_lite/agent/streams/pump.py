# SPDX-License-Identifier: Apache-2.0
"""Carries bytes between a websocket and a process, both ways, until either side ends.

Neither side is read faster than the other takes, so that nothing piles up here. A character of UTF-8
is not cut in two, since the stock client reads each message by itself; the last bytes of what may
be the start of one are held back for HOLD_SECONDS at most, since they may be no text at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from falcon import WebSocketDisconnected

from zun_lite.agent.streams.base import Duplex

HOLD_SECONDS = 1.0
LAST_WORDS_SECONDS = 2.0
TARGET_CLOSED = "Target closed"
_SEQUENCE_BYTES = {0b110: 2, 0b1110: 3, 0b11110: 4}


class WebSocket(Protocol):
    async def receive_data(self) -> bytes: ...

    async def send_data(self, payload: bytes) -> None: ...

    async def close(self, code: int | None = None, reason: str | None = None) -> None: ...


async def pump(websocket: WebSocket, duplex: Duplex) -> bool:
    """Until an end; both are closed then. Whether it was the process that ended."""
    inward = asyncio.create_task(_inward(websocket, duplex))
    outward = asyncio.create_task(_outward(duplex, websocket.send_data))
    try:
        await asyncio.wait({inward, outward}, return_when=asyncio.FIRST_COMPLETED)
        if inward.done() and inward.exception() is not None:
            # the process takes no more input; what it still says is passed on
            await asyncio.wait({outward}, timeout=LAST_WORDS_SECONDS)
        ended = outward.done() and outward.exception() is None
    finally:
        for task in (inward, outward):
            task.cancel()
        await asyncio.gather(inward, outward, return_exceptions=True)
        await duplex.close()
    try:
        await websocket.close(1000 if ended else 1011, TARGET_CLOSED)
    except (WebSocketDisconnected, OSError):
        return ended
    return ended


async def _inward(websocket: WebSocket, duplex: Duplex) -> None:
    while True:
        try:
            content = await websocket.receive_data()
        except WebSocketDisconnected:
            return
        await duplex.write(content)


async def _outward(duplex: Duplex, send: Callable[[bytes], Awaitable[None]]) -> None:
    held: dict[int, bytes] = {}
    reading = asyncio.create_task(duplex.read())
    try:
        while True:
            done, _ = await asyncio.wait({reading}, timeout=HOLD_SECONDS if held else None)
            if not done:
                await _send_all(held, send)
                continue
            stream, content = reading.result()
            if not content:
                await _send_all(held, send)
                return
            reading = asyncio.create_task(duplex.read())
            content = held.pop(stream, b"") + content
            cut = len(content) - unfinished(content)
            if cut < len(content):
                held[stream] = content[cut:]
            if cut:
                await send(content[:cut])
    finally:
        reading.cancel()


async def _send_all(held: dict[int, bytes], send: Callable[[bytes], Awaitable[None]]) -> None:
    for content in list(held.values()):
        await send(content)
    held.clear()


def unfinished(content: bytes) -> int:
    """How many bytes at the end begin a character of UTF-8 that is not complete."""
    for back in range(1, min(3, len(content)) + 1):
        byte = content[-back]
        if byte & 0b11000000 == 0b10000000:
            continue
        for lead, length in _SEQUENCE_BYTES.items():
            if byte >> (7 - length) == lead:
                return back if back < length else 0
        return 0
    return 0
