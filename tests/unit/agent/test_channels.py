# SPDX-License-Identifier: Apache-2.0
"""Streams in channels: what goes where, and how an end is told."""

from __future__ import annotations

import asyncio
import json
import unittest

import falcon

from zun_lite.agent.streams.channels import carry
from zun_lite.domain import channels, errors

MISSING = b'OCI runtime exec failed: exec failed: unable to start container process: exec: "nonesuch": executable file '
MISSING += b"not found in $PATH: unknown\r\n"


class FakeSocket:
    """A client that says what it is told to say and then listens."""

    def __init__(self, *said: bytes) -> None:
        self.said = list(said)
        self.heard: list[bytes] = []
        self.closed: int | None = None
        self.left = asyncio.Event()

    async def receive_data(self):
        if self.said:
            return self.said.pop(0)
        await self.left.wait()
        raise falcon.WebSocketDisconnected(1001)

    async def send_data(self, payload):
        self.heard.append(payload)

    async def close(self, code=None, reason=None):
        self.closed = code


class FakeProcess:
    def __init__(self, *says: tuple[int, bytes]) -> None:
        self.says = list(says)
        self.told: list[bytes | None] = []
        self.go = asyncio.Event()
        self.closed = False

    async def read(self):
        await self.go.wait()
        return self.says.pop(0) if self.says else (0, b"")

    async def write(self, content):
        self.told.append(content)

    async def end_input(self):
        self.told.append(None)
        self.go.set()

    async def close(self):
        self.closed = True


class CarryTest(unittest.IsolatedAsyncioTestCase):
    async def carried(self, socket: FakeSocket, process: FakeProcess, code: int | None = 7) -> bool:
        self.sizes: list[tuple[int, int]] = []

        async def resize(height, width):
            self.sizes.append((height, width))
            if width == 1:
                raise errors.Invalid("it has no terminal")

        async def outcome():
            return code

        async with asyncio.timeout(5):
            return await carry(socket, process, resize, outcome)

    def status(self, socket: FakeSocket) -> dict:
        channel, content = channels.split(socket.heard[-1])
        self.assertEqual(channels.STATUS, channel)
        return json.loads(content)

    async def test_each_stream_has_its_channel_and_the_end_its_code(self):
        socket = FakeSocket(b"\0typed", b"", b"\x09what", b"\0")
        process = FakeProcess((1, b"out"), (2, b"err"), (0, b"terminal"))
        self.assertTrue(await self.carried(socket, process))
        self.assertEqual([b"\x01out", b"\x02err", b"\x01terminal"], socket.heard[:-1])
        self.assertEqual([b"typed", None], process.told)
        self.assertEqual(({"exit_code": 7}, 1000, True), (self.status(socket), socket.closed, process.closed))

    async def test_a_size_is_set_if_it_is_one_and_its_refusal_ends_nothing(self):
        wrong = [b"", b"x", b"[]", b'{"height": 0, "width": 5}', b'{"height": 5, "width": 70000}']
        good = [b'{"height": 5, "width": 1}', b'{"height": 5, "width": 6}']
        socket = FakeSocket(*(b"\x04" + one for one in (*wrong, *good)), b"\0")
        await self.carried(socket, FakeProcess())
        self.assertEqual([(5, 1), (5, 6)], self.sizes)

    async def test_a_command_that_is_not_there_is_127_at_stderr(self):
        socket = FakeSocket(b"\0")
        await self.carried(socket, FakeProcess((1, MISSING)), code=126)
        self.assertEqual(b'\x02exec: "nonesuch": executable file not found in $PATH\n', socket.heard[0])
        self.assertEqual({"exit_code": 127}, self.status(socket))

    async def test_a_client_that_leaves_ends_it_without_a_status(self):
        socket, process = FakeSocket(), FakeProcess()
        socket.left.set()
        self.assertFalse(await self.carried(socket, process))
        self.assertEqual(([], True), (socket.heard, process.closed))
