# SPDX-License-Identifier: Apache-2.0
"""Answers that go on: until they end, their client leaves, or the right to them does.

Falcon sends one piece after the other and waits for the client each time, so that what a slow client
does not take stays where it is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import falcon.asgi

from zun_lite.gateway.openings import Opening, Openings
from zun_lite.gateway.refusals import Broken

# where the request's own ASGI receive() is found, by which a client's leaving is heard
RECEIVE = "zun_lite.receive"
# there and true once the client has left, which Falcon's req.stream takes for the end of the body
LEFT = "zun_lite.left"

Read = Callable[[], Awaitable[bytes | None]]
End = Callable[[], Awaitable[None]]


class Body:
    """For resp.stream. read: the next piece, None at the end; raises Broken. last_words: said when it is cut."""

    def __init__(
        self,
        req: falcon.asgi.Request,
        openings: Openings,
        opening: Opening,
        read: Read,
        end: End,
        last_words: Callable[[str], bytes] | None = None,
    ) -> None:
        self._openings = openings
        self._opening = opening
        self._read = read
        self._end = end
        self._last_words = last_words
        self._gone = asyncio.create_task(_until_gone(req.scope[RECEIVE]))
        self._reading: asyncio.Future[bytes | None] | None = None
        self._over = False
        self._ending: asyncio.Task[None] | None = None
        # also while a client that reads nothing is waited for
        opening.cut.add_done_callback(self._end_soon)

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        if self._over:
            raise StopAsyncIteration
        self._reading = asyncio.ensure_future(self._read())
        ends: set[asyncio.Future[Any]] = {self._reading, self._gone, self._opening.cut}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if self._opening.cut.done():
            return self._cut(self._opening.cut.result())
        if self._gone.done():
            raise StopAsyncIteration
        content = self._reading.result()
        if content is None:
            raise StopAsyncIteration
        return content

    async def close(self) -> None:
        for task in (self._gone, self._reading):
            if task is not None:
                task.cancel()
        self._opening.cut.remove_done_callback(self._end_soon)
        self._openings.over(self._opening)
        if self._ending is not None:
            await self._ending
        else:
            await self._end()

    def _cut(self, reason: str) -> bytes:
        if self._last_words is None:
            raise Broken(reason)
        self._over = True
        return self._last_words(reason)

    def _end_soon(self, cut: asyncio.Future[str]) -> None:
        if not cut.cancelled():
            self._ending = asyncio.ensure_future(self._end())


async def _until_gone(receive: Callable[[], Awaitable[dict[str, Any]]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
