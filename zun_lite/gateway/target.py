# SPDX-License-Identifier: Apache-2.0
"""The host's end of a stream, as the gateway holds it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as dial
from websockets.exceptions import ConnectionClosed, WebSocketException

from zun_lite.client.streams import Place
from zun_lite.domain import channels, errors

OPEN_SECONDS = 15.0
END_SECONDS = 2.0
MAX_MESSAGE_BYTES = 1024 * 1024
BUFFER_BYTES = 32 * 1024
# messages that wait here for a client that reads slowly; few, as each may be of BUFFER_BYTES
WAITING_MESSAGES = 2
PING_SECONDS = 30.0
# its own logger: at the level of debugging it would write down grants
_SILENT = logging.getLogger("zun_lite.gateway.wire")
_SILENT.setLevel(logging.WARNING)


_KINDS = {400: "Invalid", 404: "NotFound", 409: "Conflict", 429: "TooMany"}


class Target:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    @property
    def ended_well(self) -> bool:
        return self._connection.close_code == 1000

    @property
    def refusal(self) -> errors.ZunError | None:
        """What the host refused, if it did."""
        status = (self._connection.close_code or 0) - channels.CLOSE_BASE
        if not 400 <= status < 600:
            return None
        error = errors.ZunError(self.reason or "The container's host refused.", kind=_KINDS.get(status, ""))
        error.status = status
        return error

    @property
    def reason(self) -> str:
        """What the host said when it ended, if it did."""
        return self._connection.close_reason or ""

    async def send(self, content: bytes) -> bool:
        """Returns when it has room for more; False if it has ended."""
        try:
            await self._connection.send(content)
        except ConnectionClosed:
            return False
        return True

    async def receive(self) -> bytes | None:
        """None at the end."""
        try:
            content = await self._connection.recv()
        except ConnectionClosed:
            return None
        return content.encode() if isinstance(content, str) else content

    async def end(self) -> None:
        with contextlib.suppress(WebSocketException, OSError, TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._connection.close()
        self._connection.transport.abort()


Connect = Callable[[Place], Awaitable[Target]]


async def connect(place: Place) -> Target:
    """Open a stream that a host gives. Unavailable: it does not."""
    try:
        connection = await dial(
            place.url,
            ssl=place.trust,
            additional_headers={"Authorization": f"Grant {place.host_grant}"},
            compression=None,
            user_agent_header=None,
            proxy=None,
            open_timeout=OPEN_SECONDS,
            close_timeout=END_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=None,
            max_size=MAX_MESSAGE_BYTES,
            max_queue=WAITING_MESSAGES,
            write_limit=BUFFER_BYTES,
            logger=_SILENT,
        )
    except (WebSocketException, OSError, TimeoutError, ValueError) as error:
        raise errors.Unavailable("The container's host does not give the stream; try again later.") from error
    return Target(connection)
