# SPDX-License-Identifier: Apache-2.0
"""Between a websocket and a process: nothing lost, nothing piled up, no character cut, both ends closed."""

from __future__ import annotations

import asyncio
import unittest
import unittest.mock

from falcon import WebSocketDisconnected

from zun_lite.agent.streams import pump as pumping
from zun_lite.agent.streams.pump import pump, unfinished
from zun_lite.domain import errors


class FakeDuplex:
    """A process that says what is put in, and keeps what it is told."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.told: list[bytes] = []
        self.reads = 0
        self.takes = asyncio.Event()
        self.takes.set()
        self.broken = False
        self.closed = False

    async def read(self):
        found = await self.says.get()
        self.reads += 1
        return found

    async def write(self, content):
        if self.broken:
            raise errors.Conflict("no more")
        await self.takes.wait()
        self.told.append(content)

    async def close(self):
        self.closed = True


class FakeSocket:
    """A client that sends what is put in, and reads while it listens."""

    def __init__(self) -> None:
        self.sends: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.heard: list[bytes] = []
        self.received = 0
        self.listens = asyncio.Event()
        self.listens.set()
        self.closed: tuple[int | None, str | None] | None = None

    async def receive_data(self):
        content = await self.sends.get()
        if content is None:
            raise WebSocketDisconnected(1006)
        self.received += 1
        return content

    async def send_data(self, payload):
        await self.listens.wait()
        self.heard.append(payload)

    async def close(self, code=None, reason=None):
        self.closed = (code, reason)


class PumpTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.duplex, self.socket = FakeDuplex(), FakeSocket()
        self.task = asyncio.create_task(pump(self.socket, self.duplex))

    async def asyncTearDown(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def ended(self) -> bool:
        return await asyncio.wait_for(self.task, 5)

    async def settle(self) -> None:
        for _ in range(1000):
            await asyncio.sleep(0)

    async def test_bytes_go_both_ways(self):
        self.socket.sends.put_nowait(b"in")
        self.duplex.says.put_nowait((0, b"out"))
        await self.settle()
        self.assertEqual(([b"in"], [b"out"]), (self.duplex.told, self.socket.heard))

    async def test_the_end_of_the_process_closes_both(self):
        self.duplex.says.put_nowait((0, b"bye"))
        self.duplex.says.put_nowait((0, b""))
        self.assertTrue(await self.ended())
        self.assertEqual([b"bye"], self.socket.heard)
        self.assertEqual((1000, "Target closed"), self.socket.closed)
        self.assertTrue(self.duplex.closed)

    async def test_the_client_s_leaving_closes_both(self):
        self.socket.sends.put_nowait(None)
        self.assertFalse(await self.ended())
        self.assertTrue(self.duplex.closed)

    async def test_a_process_that_takes_no_more_input_still_has_its_last_words(self):
        self.duplex.broken = True
        self.socket.sends.put_nowait(b"in")
        await self.settle()
        self.duplex.says.put_nowait((0, b"last"))
        self.duplex.says.put_nowait((0, b""))
        self.assertTrue(await self.ended())
        self.assertEqual([b"last"], self.socket.heard)

    async def test_who_does_not_listen_holds_up_the_process(self):
        self.socket.listens.clear()
        for _ in range(100):
            self.duplex.says.put_nowait((0, b"y\n"))
        await self.settle()
        self.assertLessEqual(self.duplex.reads, 2)
        self.socket.listens.set()
        await self.settle()
        self.assertEqual(100, len(self.socket.heard))

    async def test_a_process_that_does_not_listen_holds_up_the_client(self):
        self.duplex.takes.clear()
        for _ in range(100):
            self.socket.sends.put_nowait(b"x" * 1024)
        await self.settle()
        self.assertLessEqual(self.socket.received, 1)
        self.duplex.takes.set()
        await self.settle()
        self.assertEqual(100, len(self.duplex.told))

    async def test_characters_are_not_cut_in_each_stream_by_itself(self):
        text = "aé€😀ü" * 20
        for stream in (1, 2):
            for byte in text.encode():
                self.duplex.says.put_nowait((stream, bytes((byte,))))
        self.duplex.says.put_nowait((1, b""))
        await self.ended()
        self.assertEqual(text * 2, "".join(piece.decode() for piece in self.socket.heard))

    async def test_streams_that_take_turns_in_the_middle_of_a_character_are_whole(self):
        one, two = "é".encode(), "€".encode()
        for stream, content in ((1, one[:1]), (2, two[:2]), (1, one[1:]), (2, two[2:]), (1, b"")):
            self.duplex.says.put_nowait((stream, content))
        await self.ended()
        self.assertEqual([one, two], self.socket.heard)

    async def test_what_only_looks_like_a_character_s_start_is_sent_after_a_moment(self):
        with unittest.mock.patch.object(pumping, "HOLD_SECONDS", 0.01):
            self.duplex.says.put_nowait((0, b"ab\xc3"))
            for _ in range(200):
                await asyncio.sleep(0.01)
                if len(self.socket.heard) == 2:
                    break
        self.assertEqual([b"ab", b"\xc3"], self.socket.heard)

    def test_unfinished_counts_what_begins_a_character(self):
        for content, wanted in (
            (b"", 0),
            (b"a", 0),
            ("é".encode(), 0),
            ("€".encode()[:2], 2),
            (b"a\xf0\x9f\x98", 3),
            (b"a\xf0\x9f", 2),
            (b"\x80\x80\x80\x80", 0),
            (b"\xff", 0),
        ):
            self.assertEqual(wanted, unfinished(content), content)
