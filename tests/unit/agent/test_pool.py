# SPDX-License-Identifier: Apache-2.0
"""The files of a volume pool: made once, copied whole, bounded, and as they were after every failure."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import unittest
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from tests.unit.agent.fakes import FakeNetd, an_attachment
from zun_lite.agent import filecopy, pool, room
from zun_lite.agent.pool import AT_THE_NEXT_MOUNT, NOW, Pool
from zun_lite.agent.room import GIB
from zun_lite.domain import errors, names, superblock


class PoolCase(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="zl-pool-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "volumes"
        self.netd = FakeNetd()
        self.pool = Pool(str(self.folder), self.netd)

    def volume(self, fs_type: str = "xfs", size_gib: int = 1) -> str:
        volume_id = names.new_id()
        self.pool.make(volume_id, size_gib, fs_type)
        return volume_id

    def files(self) -> list[str]:
        return sorted(os.listdir(self.folder)) if self.folder.exists() else []

    def write(self, volume_id: str, at: int, content: bytes) -> None:
        with open(self.pool.path(volume_id), "r+b") as file:
            file.seek(at)
            file.write(content)

    def superblock(self, path: str) -> superblock.Superblock:
        with open(path, "rb") as file:
            found = superblock.read(file.read(superblock.READ_BYTES))
        assert found is not None
        return found


class MakingTests(PoolCase):
    def test_a_volume_is_made_once_and_is_what_was_asked_for(self):
        for fs_type, size_gib in (("xfs", 1), ("ext4", 3)):
            volume_id = self.volume(fs_type, size_gib)
            before = self.superblock(self.pool.path(volume_id))
            self.pool.make(volume_id, size_gib, fs_type)
            self.assertEqual(before, self.superblock(self.pool.path(volume_id)))
            self.assertEqual((fs_type, size_gib * GIB), (before.fs_type, before.size_bytes))
            self.assertEqual(size_gib, self.pool.contents().volumes[volume_id].size_gib)

    def test_a_volume_whose_file_is_gone_is_never_made_anew(self):
        volume_id = self.volume()
        os.unlink(self.pool.path(volume_id))
        for again in (
            lambda: self.pool.make(volume_id, 1, "xfs"),
            lambda: self.pool.copy(volume_id, 1, self.pool.path(self.volume())),
            lambda: self.pool.grow(volume_id, 2),
            lambda: self.pool.snapshot(names.new_id(), volume_id),
        ):
            with self.assertRaises(errors.NotFound):
                again()
        self.assertFalse(self.pool.exists(volume_id))
        self.assertFalse(self.pool.contents().volumes[volume_id].there)

    def test_a_destroyed_volume_leaves_nothing_and_may_be_destroyed_again(self):
        volume_id = self.volume()
        Path(f"{self.pool.path(volume_id)}.lock").touch()
        for _ in range(2):
            self.pool.destroy(volume_id)
        self.assertEqual([], self.files())

    def test_what_is_no_file_of_the_pool_is_left_out_of_its_contents(self):
        volume_id = self.volume()
        for name in ("lost+found", "notes.img", f"{names.new_id()}.bak"):
            (self.folder / name).touch()
        (self.folder / f"{names.new_id()}.img.tmp").touch()
        contents = self.pool.contents()
        self.assertEqual([volume_id], list(contents.volumes))
        self.assertEqual(1, len(contents.unfinished))

    def test_two_threads_make_one_volume_once(self):
        volume_id, failures = names.new_id(), []

        def make() -> None:
            try:
                self.pool.make(volume_id, 1, "xfs")
            except errors.ZunError as error:
                failures.append(error)

        with mock.patch.object(pool, "_run", wraps=pool._run) as run:
            threads = [threading.Thread(target=make) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(([], 1), (failures, run.call_count))


class CopyTests(PoolCase):
    def digest(self, path: str) -> str:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def test_a_snapshot_holds_what_the_volume_held_then_and_stays_sparse(self):
        volume_id, snapshot_id = self.volume(), names.new_id()
        self.write(volume_id, 700 * 1024**2, b"then")
        before = self.digest(self.pool.path(volume_id))
        self.pool.snapshot(snapshot_id, volume_id)
        self.write(volume_id, 700 * 1024**2, b"now!")
        self.pool.snapshot(snapshot_id, volume_id)

        path = self.pool.snapshot_path(snapshot_id)
        self.assertEqual(before, self.digest(path))
        self.assertLess(os.stat(path).st_blocks * 512, 100 * 1024**2)
        self.assertEqual([], self.netd.still)
        self.pool.destroy_snapshot(snapshot_id)
        self.pool.destroy_snapshot(snapshot_id)
        self.assertFalse(os.path.exists(path))

    def test_a_copy_has_the_content_a_file_system_id_of_its_own_and_the_larger_size(self):
        for fs_type in ("xfs", "ext4"):
            origin, copy, snapshot_id = self.volume(fs_type), names.new_id(), names.new_id()
            self.write(origin, 900 * 1024**2, b"kept")
            self.pool.snapshot(snapshot_id, origin)
            self.pool.copy(copy, 3, self.pool.snapshot_path(snapshot_id))
            path = self.pool.path(copy)
            self.assertEqual(3 * GIB, os.stat(path).st_size)
            with open(path, "rb") as file:
                file.seek(900 * 1024**2)
                self.assertEqual(b"kept", file.read(4))
            first, second = self.superblock(self.pool.path(origin)), self.superblock(path)
            self.assertEqual((fs_type, first.size_bytes), (second.fs_type, second.size_bytes))
            self.assertNotEqual(first.fs_id, second.fs_id)

    def test_a_copy_is_never_smaller_than_its_origin(self):
        origin, copy = self.volume(size_gib=2), names.new_id()
        self.pool.copy(copy, 1, self.pool.path(origin))
        self.assertEqual(2 * GIB, os.stat(self.pool.path(copy)).st_size)

    def test_a_volume_that_went_on_in_the_middle_is_no_snapshot(self):
        volume_id, snapshot_id = self.volume(), names.new_id()
        with mock.patch.object(self.netd, "thaw", return_value=False), self.assertRaises(errors.Failed):
            self.pool.snapshot(snapshot_id, volume_id)
        self.assertFalse(os.path.exists(self.pool.snapshot_path(snapshot_id)))
        self.pool.snapshot(snapshot_id, volume_id)

    @contextlib.contextmanager
    def a_snapshot_under_way(self, volume_id: str) -> Iterator[str]:
        """Its id, while a thread is in the middle of it; it is there after the block."""
        begun, may_end, snapshot_id = threading.Event(), threading.Event(), names.new_id()

        def copy(*given: Any) -> str:
            begun.set()
            self.assertTrue(may_end.wait(30))
            return copy_now(*given)

        copy_now = filecopy.copy
        with mock.patch.object(filecopy, "copy", copy), ThreadPoolExecutor(1) as threads:
            taken = threads.submit(self.pool.snapshot, snapshot_id, volume_id)
            try:
                self.assertTrue(begun.wait(30))
                yield snapshot_id
            finally:
                may_end.set()
                taken.result(30)
        self.assertTrue(os.path.exists(self.pool.snapshot_path(snapshot_id)))

    def test_a_volume_is_held_still_for_one_copy_at_a_time(self):
        volume_id, second, copy = self.volume(), names.new_id(), names.new_id()
        elsewhere = Pool(str(self.folder), self.netd)
        with self.a_snapshot_under_way(volume_id):
            for pool_of_one in (self.pool, elsewhere):
                for again in (
                    partial(pool_of_one.snapshot, second, volume_id),
                    partial(pool_of_one.copy, copy, 1, self.pool.path(volume_id)),
                ):
                    with self.assertRaisesRegex(errors.Busy, "is being worked on"):
                        again()
            self.assertEqual([volume_id], self.netd.still)
        elsewhere.snapshot(second, volume_id)
        self.pool.copy(copy, 1, self.pool.path(volume_id))
        self.assertEqual([], self.netd.still)

    def test_a_volume_that_is_being_copied_neither_grows_nor_goes_before_that_has_ended(self):
        volume_id = self.volume()
        self.netd.attached[volume_id] = 1
        with self.a_snapshot_under_way(volume_id):
            self.assertRaises(errors.Busy, self.pool.grow, volume_id, 2)
            self.assertRaises(errors.Busy, Pool(str(self.folder), self.netd).grow, volume_id, 2)
            self.assertRaises(errors.Busy, self.pool.destroy, volume_id)
            self.assertEqual((GIB, {volume_id: 1}), (os.stat(self.pool.path(volume_id)).st_size, self.netd.attached))
        self.assertEqual(NOW, self.pool.grow(volume_id, 2))
        self.pool.destroy(volume_id)
        self.assertFalse(self.pool.exists(volume_id))

    def test_a_volume_that_got_larger_before_it_was_held_still_is_copied_whole(self):
        volume_id, copy, snapshot_id = self.volume(), names.new_id(), names.new_id()
        for size_gib, take, path in (
            (2, partial(self.pool.snapshot, snapshot_id, volume_id), self.pool.snapshot_path(snapshot_id)),
            (3, partial(self.pool.copy, copy, 1, self.pool.path(volume_id)), self.pool.path(copy)),
        ):

            def grow_first(*_: Any, size_gib: int = size_gib) -> None:
                os.truncate(self.pool.path(volume_id), size_gib * GIB)

            with mock.patch.object(self.netd, "freeze", grow_first), mock.patch.object(self.netd, "thaw"):
                take()
            self.assertEqual(size_gib * GIB, os.stat(path).st_size)

    def test_a_volume_goes_on_when_its_copy_fails(self):
        volume_id, snapshot_id = self.volume(), names.new_id()
        before = self.files()
        with mock.patch.object(filecopy, "copy", side_effect=OSError(28, "full")), self.assertRaises(errors.Failed):
            self.pool.snapshot(snapshot_id, volume_id)
        self.assertEqual(([], before), (self.netd.still, self.files()))

    def test_holes_at_the_beginning_and_the_end_are_copied_as_holes(self):
        source = self.folder.parent / "source"
        with open(source, "wb") as file:
            file.seek(64 * 1024**2)
            file.write(b"x" * 5000)
            file.truncate(256 * 1024**2)
        for in_kernel in (True, False):
            target = self.folder.parent / f"target-{in_kernel}"
            failing = OSError(18, "cross-device")
            with open(source, "rb") as one, open(target, "w+b") as other:
                refusing = mock.patch.object(os, "copy_file_range", side_effect=failing)
                with contextlib.nullcontext() if in_kernel else refusing:
                    filecopy.copy(one.fileno(), other.fileno(), 300 * 1024**2, lambda wanted: None)
            self.assertEqual(300 * 1024**2, target.stat().st_size)
            self.assertLess(target.stat().st_blocks * 512, 1024**2)
            with open(target, "rb") as other:
                other.seek(64 * 1024**2 - 1)
                self.assertEqual(b"\0" + b"x" * 5000 + b"\0", other.read(5002))


class GrowingTests(PoolCase):
    def test_a_volume_grows_now_where_it_is_mounted_and_else_when_it_is(self):
        volume_id = self.volume()
        self.assertEqual(AT_THE_NEXT_MOUNT, self.pool.grow(volume_id, 2))
        self.netd.attached[volume_id] = 1
        for _ in range(2):
            self.assertEqual(NOW, self.pool.grow(volume_id, 3))
        self.assertEqual(3 * GIB, os.stat(self.pool.path(volume_id)).st_size)

    def test_one_that_netd_holds_still_for_another_grows_later(self):
        volume_id = self.volume()
        self.netd.attached[volume_id] = 1
        self.netd.refusals["grow"] = [errors.Conflict("it is being copied")]
        self.assertRaises(errors.Busy, self.pool.grow, volume_id, 2)
        self.assertEqual(NOW, self.pool.grow(volume_id, 2))

    def test_a_volume_does_not_shrink(self):
        volume_id = self.volume(size_gib=2)
        with self.assertRaises(errors.Invalid):
            self.pool.grow(volume_id, 1)
        self.assertEqual(2 * GIB, os.stat(self.pool.path(volume_id)).st_size)


class RoomTests(PoolCase):
    """On a file system of 100 GiB with 60 free; a promise may be twice what there is, less 10 in reserve."""

    def setUp(self) -> None:
        super().setUp()
        self.free_gib = 60
        patched = mock.patch.object(room, "_file_system", self.file_system)
        patched.start()
        self.addCleanup(patched.stop)
        self.pool = Pool(str(self.folder), self.netd, overcommit=2.0, reserve_gib=10.0)
        self.folder.mkdir()

    def file_system(self, folder: Path) -> mock.Mock:
        return mock.Mock(f_bavail=self.free_gib, f_blocks=100, f_frsize=GIB)

    def promise(self, size_gib: int) -> str:
        """A volume that nothing was written to."""
        volume_id = names.new_id()
        with open(self.pool.path(volume_id), "wb") as file:
            file.truncate(size_gib * GIB)
        (self.folder / f"{volume_id}.made").touch()
        return volume_id

    def test_what_was_promised_counts_and_not_what_was_written(self):
        self.assertEqual(100, self.pool.free_gib())
        self.promise(70)
        self.assertEqual(30, self.pool.free_gib())

    def test_a_volume_a_copy_and_growth_beyond_what_can_be_promised_are_refused_and_less_is_not(self):
        volume_id = self.promise(97)
        before = self.files()
        for refused in (
            lambda: self.pool.make(names.new_id(), 4, "xfs"),
            lambda: self.pool.copy(names.new_id(), 97, self.pool.path(volume_id)),
            lambda: self.pool.grow(volume_id, 101),
        ):
            with self.assertRaises(errors.Failed) as caught:
                refused()
            self.assertIn("insufficient free space, the host's pool has 3.0 GiB left", caught.exception.message)
        self.assertEqual(before, self.files())
        self.pool.make(names.new_id(), 1, "xfs")
        self.pool.grow(volume_id, 98)

    def test_nothing_is_promised_while_less_than_the_reserve_is_free(self):
        """B7."""
        self.free_gib = 9
        with self.assertRaises(errors.Failed):
            self.pool.make(names.new_id(), 1, "xfs")
        self.assertEqual(0, self.pool.free_gib())
        self.free_gib = 12
        self.pool.make(names.new_id(), 1, "xfs")

    def test_threads_cannot_promise_the_same_room_twice(self):
        self.promise(97)
        refused = []

        def make() -> None:
            try:
                self.pool.make(names.new_id(), 1, "xfs")
            except errors.Failed as error:
                refused.append(error.message)

        threads = [threading.Thread(target=make) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(5, len(refused))
        self.assertEqual(4, len(self.pool.contents().volumes))

    def test_a_full_copy_that_would_go_below_the_reserve_is_refused(self):
        volume_id = self.promise(1)
        self.write(volume_id, 0, b"x" * 1024**2)
        self.free_gib = 10
        with self.assertRaises(errors.Failed):
            self.pool._room.require(1)
        self.free_gib = 11
        self.pool._room.require(GIB)


class AttachmentTests(PoolCase):
    def test_a_shared_attachment_says_so_on_the_wire(self):
        attachment = an_attachment(shared=True)
        self.assertTrue(type(attachment).from_json({**vars(attachment)}).shared)
