# SPDX-License-Identifier: Apache-2.0
"""The side of an open connection that is written to, whatever is read from it. See Duplex in agent/streams/base.py."""

from __future__ import annotations

import asyncio
import contextlib

from zun_lite.domain import errors


class Writing:
    """over: the sentence that tells that the other side takes no more."""

    def __init__(self, writer: asyncio.StreamWriter, over: str, most_waiting_bytes: int) -> None:
        writer.transport.set_write_buffer_limits(high=most_waiting_bytes)
        self._writer = writer
        self._over = over

    async def write(self, content: bytes) -> None:
        """Returns when it may take more. Conflict: it takes no more."""
        try:
            self._writer.write(content)
            await self._writer.drain()
        except OSError as error:
            raise errors.Conflict(self._over) from error

    async def end_input(self) -> None:
        """Nothing more is written; the other side reads an end."""
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def close(self) -> None:
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
