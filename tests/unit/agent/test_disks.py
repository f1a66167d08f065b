# SPDX-License-Identifier: Apache-2.0
"""Volume files: formatted once, never again, and never for data that is lost."""

from __future__ import annotations

import os
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path
from unittest import mock

from tests.unit.agent.fakes import FakeNetd, an_attachment
from zun_lite.agent import pool
from zun_lite.agent.disks import Disks
from zun_lite.domain import errors


class DiskFiles(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="zl-disks-")
        self.addCleanup(folder.cleanup)
        self.pool = Path(folder.name) / "volumes"
        self.netd = FakeNetd()
        self.disks = Disks(str(self.pool), self.netd)
        self.attachment = an_attachment()
        self.path = Path(self.disks.path(self.attachment))

    def test_a_new_volume_is_sparse_and_has_a_file_system(self):
        for fs_type, offset, magic in (("xfs", 0, b"XFSB"), ("ext4", 1080, b"\x53\xef")):
            attachment = an_attachment(fs_type=fs_type, size_gib=2)
            self.disks.make(attachment, False)
            path = Path(self.disks.path(attachment))
            self.assertEqual(path.stat().st_size, 2 * 1024**3)
            self.assertLess(path.stat().st_blocks * 512, 256 * 1024**2)
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
            with open(path, "rb") as file:
                file.seek(offset)
                self.assertEqual(file.read(len(magic)), magic)

    def test_a_file_that_is_there_is_never_formatted(self):
        self.pool.mkdir()
        self.path.write_bytes(b"not a file system, but someone's data")
        for formatted in (False, True):
            self.disks.make(replace(self.attachment, formatted=formatted), formatted)
        self.assertEqual(self.path.read_bytes(), b"not a file system, but someone's data")

    def test_a_file_that_is_gone_is_never_made_anew(self):
        for by_api, by_journal in ((True, False), (False, True)):
            with self.assertRaises(errors.NotFound):
                self.disks.make(replace(self.attachment, formatted=by_api), by_journal)
        self.assertFalse(self.path.exists())

    def test_what_a_death_in_the_middle_left_is_thrown_away(self):
        self.pool.mkdir()
        staged = Path(f"{self.path}.tmp")
        staged.write_bytes(b"half made")
        self.disks.make(self.attachment, False)
        self.assertFalse(staged.exists())
        self.assertEqual(self.path.stat().st_size, 1024**3)

    def test_a_failed_mkfs_leaves_no_file(self):
        with mock.patch.dict(pool._MKFS, {"xfs": ("/bin/false",)}), self.assertRaises(errors.Failed) as caught:
            self.disks.make(self.attachment, False)
        self.assertNotIn(str(self.pool), caught.exception.message)
        self.assertEqual(os.listdir(self.pool), [])

    def test_a_file_system_that_is_not_offered_is_refused(self):
        with self.assertRaises(errors.Invalid):
            self.disks.make(replace(self.attachment, fs_type="btrfs"), False)

    def test_an_id_is_no_path(self):
        """B4."""
        for bad in ("../../etc/passwd", "", "a/b"):
            with self.assertRaises(errors.Invalid):
                self.disks.path(replace(self.attachment, volume_id=bad))

    def test_destroying_takes_the_file_and_its_lock_and_may_be_repeated(self):
        self.disks.make(self.attachment, False)
        Path(f"{self.path}.lock").touch()
        self.disks.attach(self.attachment)
        for _ in range(2):
            self.disks.destroy(self.attachment.volume_id)
        self.assertEqual(os.listdir(self.pool), [])
        self.assertEqual(self.netd.attached, {})

    def test_a_volume_that_cannot_be_detached_keeps_its_file(self):
        self.disks.make(self.attachment, False)
        self.netd.refusals["detach"] = [errors.Failed("busy")]
        with self.assertRaises(errors.Failed):
            self.disks.destroy(self.attachment.volume_id)
        self.assertTrue(self.path.exists())
