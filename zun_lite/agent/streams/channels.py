# SPDX-License-Identifier: Apache-2.0
"""Carries a process's streams in channels (domain/channels.py), and its exit code when it has ended.

Unlike pump.py, which the stock client's protocol wants, nothing is held back or mixed, the client can end
stdin and set the terminal's size, and learns how the process ended.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable

from falcon import WebSocketDisconnected

from zun_lite.agent.streams.base import Duplex
from zun_lite.agent.streams.pump import LAST_WORDS_SECONDS, TARGET_CLOSED, WebSocket
from zun_lite.domain import channels, errors

LOG = logging.getLogger(__name__)
MOST_CELLS = 65535
# what Docker writes to stdout, and the code that it gives, where there is no process
_REFUSAL = re.compile(rb'OCI runtime exec failed: .*?(exec: ".*?": [^\r\n]*?)(?:: unknown)?\r?\n?$', re.S)
_MISSING = re.compile(rb"not found|no such file")
NOT_FOUND = 127

Resize = Callable[[int, int], Awaitable[None]]
Outcome = Callable[[], Awaitable[int | None]]


async def carry(websocket: WebSocket, duplex: Duplex, resize: Resize, outcome: Outcome) -> bool:
    """Until an end; both are closed then. Whether it was the process that ended."""
    inward = asyncio.create_task(_inward(websocket, duplex, resize))
    outward = asyncio.create_task(_outward(websocket, duplex))
    code: int | None = None
    try:
        await asyncio.wait({inward, outward}, return_when=asyncio.FIRST_COMPLETED)
        if inward.done() and inward.exception() is not None:
            # the process takes no more input; what it still says is passed on
            await asyncio.wait({outward}, timeout=LAST_WORDS_SECONDS)
        ended = outward.done() and outward.exception() is None
        code = outward.result() if ended else None
    finally:
        for task in (inward, outward):
            task.cancel()
        await asyncio.gather(inward, outward, return_exceptions=True)
        await duplex.close()
    try:
        if ended:
            code = code if code is not None else await _code(outcome)
            await websocket.send_data(channels.status(exit_code=code))
        await websocket.close(1000 if ended else 1011, TARGET_CLOSED)
    except (WebSocketDisconnected, OSError):
        return ended
    return ended


async def _inward(websocket: WebSocket, duplex: Duplex, resize: Resize) -> None:
    while True:
        try:
            channel, content = channels.split(await websocket.receive_data())
        except WebSocketDisconnected:
            return
        except ValueError:
            continue
        if channel == channels.STDIN and content:
            await duplex.write(content)
        elif channel == channels.STDIN:
            await duplex.end_input()
        elif channel == channels.SIZE:
            await _set_size(content, resize)


async def _set_size(content: bytes, resize: Resize) -> None:
    """A size that is none, or of a process that just ended, changes nothing."""
    try:
        size = json.loads(content)
        height, width = int(size["height"]), int(size["width"])
        if 0 < height <= MOST_CELLS and 0 < width <= MOST_CELLS:
            await resize(height, width)
    except (ValueError, KeyError, TypeError):
        return
    except errors.ZunError as error:
        LOG.debug("a size was not set: %s", error.message)


async def _outward(websocket: WebSocket, duplex: Duplex) -> int | None:
    """The exit code, where it is known from what came: that of a command that is not there."""
    first, code = True, None
    while True:
        stream, content = await duplex.read()
        if not content:
            return code
        channel = channels.STDERR if stream == 2 else channels.STDOUT
        refusal = _REFUSAL.match(content) if first else None
        if refusal:
            channel, content = channels.STDERR, refusal[1] + b"\n"
            code = NOT_FOUND if _MISSING.search(content) else None
        first = False
        await websocket.send_data(channels.message(channel, content))


async def _code(outcome: Outcome) -> int | None:
    try:
        return await outcome()
    except errors.ZunError:
        return None
