# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import random
import tempfile
import unittest
from pathlib import Path

from zun_lite.agent import volume_archive
from zun_lite.agent.volume_archive import Header
from zun_lite.domain import errors

MIB = 1024**2


class VolumeArchive(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory(prefix="zl-archive-")))
        self.source, self.archive, self.target = (self.folder / name for name in ("source", "archive", "target"))
        self.random = random.Random(7)

    def make(self, size_bytes: int, *places: tuple[int, int]) -> None:
        """A source with random bytes at (begin, length)."""
        with self.source.open("wb") as file:
            file.truncate(size_bytes)
            for begin, length in places:
                file.seek(begin)
                file.write(self.random.randbytes(length))

    def pack(self, **facts) -> int:
        with self.source.open("rb") as source, self.archive.open("wb") as archive:
            header = Header(os.fstat(source.fileno()).st_size, "xfs", **facts)
            return volume_archive.write(source.fileno(), header, archive)

    def unpacked(self) -> bytes:
        with self.target.open("w+b") as target:
            target.truncate(volume_archive.check(str(self.archive))[0].size_bytes)
            volume_archive.unpack(str(self.archive), target.fileno())
        return self.target.read_bytes()

    def test_what_is_packed_comes_out_again_and_holes_stay_holes(self):
        self.make(64 * MIB, (0, 4096), (10 * MIB + 1, 5 * MIB), (64 * MIB - 3, 3))
        amount = self.pack(name="volume one", volume_id="id")
        header, checked = volume_archive.check(str(self.archive))
        self.assertEqual((64 * MIB, "volume one", amount), (header.size_bytes, header.name, checked))
        self.assertLess(self.archive.stat().st_size, 7 * MIB)
        self.assertEqual(self.source.read_bytes(), self.unpacked())
        self.assertLess(self.target.stat().st_blocks * 512, 8 * MIB)

    def test_an_empty_volume_is_a_small_file(self):
        self.make(MIB)
        self.assertEqual(0, self.pack())
        self.assertEqual(bytes(MIB), self.unpacked())

    def test_every_cut_and_every_changed_byte_is_refused(self):
        self.make(MIB, (4096, 300))
        self.pack()
        whole = self.archive.read_bytes()
        cuts = [*range(0, 200, 7), *self.random.sample(range(len(whole)), 40), len(whole) - 1]
        changes = [*range(0, 120, 3), *self.random.sample(range(len(whole)), 60), len(whole) - 1]
        damaged = [whole[:at] for at in cuts]
        damaged += [whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :] for at in changes]
        damaged += [b"", whole + b"x", b"no such file at all" * 9]
        for content in damaged:
            self.archive.write_bytes(content)
            with self.assertRaises(errors.Invalid) as raised:
                volume_archive.check(str(self.archive))
            self.assertIn(str(self.archive), raised.exception.message)
        self.archive.write_bytes(whole)
        volume_archive.check(str(self.archive))

    def test_a_file_that_is_not_there_is_named(self):
        with self.assertRaisesRegex(errors.NotFound, "nowhere"):
            volume_archive.check(str(self.folder / "nowhere"))
