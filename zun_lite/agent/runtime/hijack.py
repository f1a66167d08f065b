# SPDX-License-Identifier: Apache-2.0
"""Connections to the Docker Engine that become a process's stdin and output, without a thread for each.

Docker answers such a request with 101 and then speaks no HTTP any more. Without a terminal, output
comes in frames that say which stream it is of; with one it comes bare. What is only read, a followed
log, is asked for in HTTP/1.0, whose answers are as bare and end with the connection.
"""

from __future__ import annotations

import asyncio
import json
import struct

from zun_lite.agent.runtime import words
from zun_lite.agent.runtime.writing import Writing
from zun_lite.domain import errors

BUFFER_BYTES = 32 * 1024
ANSWER_SECONDS = 15.0
MAX_HEAD_BYTES = 32 * 1024
MAX_REFUSAL_BYTES = 64 * 1024
_FRAME = struct.Struct(">BxxxL")


async def hijack(socket_path: str, path: str, body: dict | None, *, framed: bool) -> Hijacked:
    """POST and take over the connection. Raises what Docker's answer means when it is not 101 or 200."""
    content = json.dumps(body).encode() if body is not None else b""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    return await _converse(socket_path, head.encode() + content, framed)


async def follow(socket_path: str, path: str, *, framed: bool) -> Hijacked:
    """GET what comes for as long as Docker has it. Raises what Docker's answer means when it is not 200."""
    return await _converse(socket_path, f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode(), framed)


async def _converse(socket_path: str, request: bytes, framed: bool) -> Hijacked:
    try:
        reader, writer = await asyncio.open_unix_connection(socket_path, limit=BUFFER_BYTES)
    except OSError as error:
        raise errors.Unavailable("The host's Docker Engine does not answer.") from error
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            writer.write(request)
            await writer.drain()
            answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status = int(answer.split(" ", 2)[1])
            if status not in (101, 200):
                raise _refusal(status, await reader.read(MAX_REFUSAL_BYTES))
    except (OSError, EOFError, ValueError, IndexError, asyncio.LimitOverrunError) as error:
        writer.transport.abort()
        raise errors.Unavailable("The host's Docker Engine does not answer.") from error
    except BaseException:
        writer.transport.abort()
        raise
    return Hijacked(reader, writer, framed)


class Hijacked(Writing):
    """One such connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, framed: bool) -> None:
        super().__init__(writer, "The process takes no more input.", BUFFER_BYTES)
        self._reader = reader
        self._framed = framed
        self._stream = 0
        self._left = 0

    async def read(self) -> tuple[int, bytes]:
        try:
            if not self._framed:
                return 0, await self._reader.read(BUFFER_BYTES)
            while not self._left:
                self._stream, self._left = _FRAME.unpack(await self._reader.readexactly(_FRAME.size))
            content = await self._reader.read(min(self._left, BUFFER_BYTES))
            self._left -= len(content)
            return self._stream, content
        except (OSError, EOFError):
            return self._stream, b""


def _refusal(status: int, said: bytes) -> errors.ZunError:
    _, brace, rest = said.partition(b"{")
    try:
        message = str(json.loads(brace + rest.rpartition(b"}")[0] + b"}")["message"])
    except (ValueError, KeyError, TypeError):
        message = "Docker refused."
    kinds = {400: errors.Invalid, 404: errors.NotFound, 409: errors.Conflict}
    return kinds.get(status, errors.Failed)(words.reason(message))
