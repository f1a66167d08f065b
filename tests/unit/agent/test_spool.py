# SPDX-License-Identifier: Apache-2.0
"""An archive on its way: what is written is read, once, however fast either side is."""

from __future__ import annotations

import asyncio
import os
import tempfile
import unittest
from unittest import mock

from tests.unit.domain.test_tar import a_tar
from zun_lite.agent.streams import spool
from zun_lite.agent.streams.spool import Spool
from zun_lite.domain import archives, errors


class SpoolTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.spool = self.enterContext(Spool(self.folder))

    async def test_a_reader_gets_all_that_a_thread_writes_and_then_the_end(self):
        pieces = [os.urandom(100_000) for _ in range(20)]

        def write() -> None:
            for piece in pieces:
                self.spool.write(piece)
            self.spool.end()

        writing = asyncio.get_running_loop().run_in_executor(None, write)
        read = b""
        while piece := await self.spool.next():
            read += piece
        await writing
        self.assertEqual(b"".join(pieces), read)

    async def test_it_has_no_name_on_the_disk(self):
        self.spool.write(b"x")
        self.assertEqual([], os.listdir(self.folder))

    async def test_who_writes_for_nobody_is_told(self):
        self.spool.write(b"x")
        self.spool.give_up()
        self.assertRaises(errors.Conflict, self.spool.write, b"x")

    async def test_the_disk_is_not_filled(self):
        with mock.patch.object(spool, "RESERVE_BYTES", 2**60):
            self.assertRaises(errors.Unavailable, self.spool.write, b"x")

    async def test_it_is_looked_at_before_it_is_read(self):
        self.spool.write(a_tar(("fine", b"x" * 3 * spool.PIECE_BYTES), ("also", b"y")))
        archives.check_stream(self.spool, "/tmp", [])
        self.spool.rewind()
        self.assertEqual(spool.PIECE_BYTES, len(self.spool.take()))

    async def test_what_may_not_be_unpacked_is_found_wherever_it_is(self):
        large = ("fine", b"x" * 3 * spool.PIECE_BYTES)
        for content, words in (
            (a_tar(large, ("../up", b"x")), "leads out"),
            (a_tar(large)[:300_000], "middle of a file"),
            (a_tar(large, ("data/sly", b"x")), "lies in the volume"),
        ):
            with Spool(self.folder) as held:
                held.write(content)
                with self.assertRaisesRegex(errors.Invalid, words):
                    archives.check_stream(held, "/", ["/data"])
