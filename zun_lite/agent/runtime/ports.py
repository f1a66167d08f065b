# SPDX-License-Identifier: Apache-2.0
"""TCP connections into a container, from within its own network: what it has at its loopback is reached, too.

Who makes a socket in the container's network is told from outside; connecting it needs no privilege.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol

from zun_lite.agent.runtime.writing import Writing
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
        return Connection(reader, writer)
    raise errors.Conflict(f"Nothing in the container listens at TCP port {port} of its loopback or of all addresses.")


class Connection(Writing):
    """One such connection; read() gives one stream, numbered 0."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(writer, "The connection was closed in the container.", BUFFER_BYTES)
        self._reader = reader

    async def read(self) -> tuple[int, bytes]:
        try:
            return 0, await self._reader.read(BUFFER_BYTES)
        except OSError:
            return 0, b""
