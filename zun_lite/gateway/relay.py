# SPDX-License-Identifier: Apache-2.0
"""Passes messages between a client and a host, both ways, until either ends or somebody cuts it.

A message is taken from one side when the other has room for it, so that what a slow reader does not
take stays where it is made.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from falcon import WebSocketDisconnected

from zun_lite.gateway.target import Target

TARGET_CLOSED = "Target closed"


class Client(Protocol):
    async def receive_media(self) -> object: ...

    async def send_data(self, payload: bytes) -> None: ...


async def relay(client: Client, target: Target, cut: asyncio.Future[str]) -> tuple[int, str]:
    """The code and reason with which the client is to be closed. cut: its result is a reason to end."""
    inward: asyncio.Task[None] = asyncio.create_task(_inward(client, target))
    outward: asyncio.Task[None] = asyncio.create_task(_outward(client, target))
    try:
        ends: set[asyncio.Future] = {inward, outward, cut}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if cut.done():
            return 1008, cut.result()
        if outward.done() and outward.exception() is None:
            return (1000, TARGET_CLOSED) if target.ended_well else (1011, target.reason or "The host hung up.")
        return 1000, "The client left."
    finally:
        for task in (inward, outward):
            task.cancel()
        await asyncio.gather(inward, outward, return_exceptions=True)


async def _inward(client: Client, target: Target) -> None:
    while True:
        try:
            content = await client.receive_media()
        except WebSocketDisconnected:
            return
        assert isinstance(content, bytes)
        if not await target.send(content):
            # what the target still says, and why it ended, comes by the other way
            await asyncio.get_running_loop().create_future()


async def _outward(client: Client, target: Target) -> None:
    while (content := await target.receive()) is not None:
        await client.send_data(content)
