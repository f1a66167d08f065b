# SPDX-License-Identifier: Apache-2.0
"""Imports of volumes beside each other, and after one that was cut off; restores."""

from __future__ import annotations

import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from tests.unit.agent.fakes import FakeNetd
from zun_lite.agent import volume_archive
from zun_lite.agent.pool import Pool
from zun_lite.agent.room import GIB
from zun_lite.agent.volume_archive import Header
from zun_lite.cmd import volumes as command
from zun_lite.common import config, crash
from zun_lite.db import hosts, schema, volumes
from zun_lite.db.engine import Database
from zun_lite.domain import errors, names
from zun_lite.identity.bootstrap import bootstrap


class VolumeFilesCase(unittest.TestCase):
    """An archive of a volume, and a host that is known, with nothing in its pool."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        conf = config.load([], state_dir=folder.name)
        db = Database(conf.database.connection)
        self.addCleanup(db.close)
        schema.sync(db)
        bootstrap(db, conf.identity.key_dir, "admin's", "demo's")
        db.transact(lambda tx: hosts.enrol(tx, names.new_id(), conf.agent.host_name, "127.0.0.1:1", "key"))
        patched = mock.patch.object(command, "NetdClient", lambda *_: FakeNetd())
        patched.start()
        self.addCleanup(patched.stop)
        self.db, self.pool_dir, self.files = db, Path(conf.volume.pool_dir), command.VolumeFiles(conf)
        self.archive = str(Path(folder.name) / "a.volume")
        self.write_archive(Path(folder.name) / "elsewhere")

    def write_archive(self, folder: Path) -> None:
        pool, volume_id = Pool(str(folder), FakeNetd()), names.new_id()
        pool.make(volume_id, 1, "xfs")
        with open(pool.path(volume_id), "rb") as source, open(self.archive, "wb") as target:
            volume_archive.write(source.fileno(), Header(GIB, "xfs", "a", volume_id, "then"), target)

    def recorded(self) -> set[str]:
        with self.db.read() as tx:
            return {volume.uuid for volume in volumes.page(tx)}

    def in_pool(self) -> set[str]:
        return set(os.listdir(self.pool_dir))


class ImportTests(VolumeFilesCase):
    def test_an_import_leaves_alone_what_another_one_is_bringing_in(self):
        ended = []

        def have_another(name: str) -> None:
            if name == "volume.import.filled" and not ended:
                ended.append(False)
                ended[0] = self.files.take_in(self.archive, "demo", "second")

        with mock.patch.object(crash, "point", have_another):
            self.files.take_in(self.archive, "demo", "first")
        self.assertTrue(ended[0])
        self.assertEqual(2, len(self.recorded()))
        whole = {f"{volume_id}{kind}" for volume_id in self.recorded() for kind in (".img", ".made")}
        self.assertEqual(whole, self.in_pool())

    def test_an_import_sweeps_away_all_that_one_before_it_left(self):
        left = names.new_id()
        self.pool_dir.mkdir()
        for kind in (".importing", ".img", ".snap.tmp", ".img.tmp"):
            (self.pool_dir / f"{left}{kind}").touch()
        self.files.take_in(self.archive, "demo", None)
        (made,) = self.recorded()
        self.assertEqual({f"{made}.img", f"{made}.made"}, self.in_pool())


class RestoreTests(VolumeFilesCase):
    def export(self) -> tuple[str, Path]:
        """A volume that is there, and what was exported of it."""
        self.files.take_in(self.archive, "demo", None)
        (made,) = self.recorded()
        path = self.pool_dir.parent / "b.volume"
        with open(self.pool_dir / f"{made}.img", "rb") as source, open(path, "wb") as target:
            volume_archive.write(source.fileno(), Header(GIB, "xfs", "a", made, "then"), target)
        return made, path

    def test_a_volume_that_lost_its_file_has_it_back_under_its_own_id(self):
        for lost in (".img", ".made"):
            with self.subTest(lost):
                made, path = self.export()
                (self.pool_dir / f"{made}.img").unlink()
                if lost == ".made":
                    (self.pool_dir / f"{made}.made").unlink()
                self.assertIn(made, self.files.restore(str(path)))
                self.assertEqual({f"{made}.img", f"{made}.made"}, self.in_pool())
                self.assertEqual(GIB, (self.pool_dir / f"{made}.img").stat().st_size)
                self.db.transact(lambda tx, made=made: tx.execute(volumes.volumes.delete()))
                self.files._pool.destroy(made)

    def test_a_file_that_is_there_is_not_overwritten_and_a_volume_without_a_record_not_made(self):
        made, path = self.export()
        (self.pool_dir / f"{made}.img").write_bytes(b"newer")
        with self.assertRaisesRegex(errors.Conflict, "move .* away first"):
            self.files.restore(str(path))
        self.assertEqual(b"newer", (self.pool_dir / f"{made}.img").read_bytes())
        self.assertEqual({f"{made}.img", f"{made}.made"}, self.in_pool())
        self.db.transact(lambda tx: tx.execute(volumes.volumes.delete()))
        (self.pool_dir / f"{made}.img").unlink()
        with self.assertRaisesRegex(errors.NotFound, "volume import"):
            self.files.restore(str(path))
        self.assertEqual({f"{made}.made"}, self.in_pool())

    def test_a_restore_that_failed_is_said_again(self):
        made, path = self.export()
        (self.pool_dir / f"{made}.img").unlink()
        with mock.patch.object(Pool, "_give_own_id", side_effect=errors.Failed("no")), self.assertRaises(errors.Failed):
            self.files.restore(str(path))
        self.assertEqual({f"{made}.made"}, self.in_pool())
        self.files.restore(str(path))
        self.assertEqual({f"{made}.img", f"{made}.made"}, self.in_pool())
