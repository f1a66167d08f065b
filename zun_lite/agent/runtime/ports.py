# SPDX-License-Identifier: Apache-2.0
"""TCP connections into a container, from within its own network: what it has at its loopback is reached, too.

Who makes a socket in the container's network is told from outside; connecting it needs no privilege.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Protocol

from zun_lite.domain import errors

BUFFER_BYTES = 64 * 1024
CONNECT_SECONDS = 5.0


class Sockets(Protocol):
    def socket_in(self, container_id: str, family: int) -> socket.socket: ...


async def connect(sockets: Sockets, container_id: str, port: int) -> Connection:
    """Conflict: nobody listens at that port, on the loopback of either IP version."""
    for family, address in ((4, "127.0.0.1"), (6, "::1")):
        try:
            made = await asyncio.to_thread(sockets.socket_in, container_id, family)
        except errors.Failed:
            # a kernel without this version of IP
            continue
        made.setblocking(False)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(made, (address, port))
                reader, writer = await asyncio.open_connection(sock=made, limit=BUFFER_BYTES)
        except (OSError, TimeoutError):
            made.close()
            continue
        except BaseException:
            made.close()
            raise
        writer.transport.set_write_buffer_limits(high=BUFFER_BYTES)
        return Connection(reader, writer)
    raise errors.Conflict(f"Nothing in the container listens at TCP port {port} of its loopback or of all addresses.")


class Connection:
    """One such connection; read() gives one stream, numbered 0."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> tuple[int, bytes]:
        try:
            return 0, await self._reader.read(BUFFER_BYTES)
        except OSError:
            return 0, b""

    async def write(self, content: bytes) -> None:
        try:
            self._writer.write(content)
            await self._writer.drain()
        except OSError as error:
            raise errors.Conflict("The connection was closed in the container.") from error

    async def end_input(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    async def close(self) -> None:
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
