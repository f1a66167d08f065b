# SPDX-License-Identifier: Apache-2.0
"""Imports of volumes beside each other, and after one that was cut off."""

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
from zun_lite.domain import names
from zun_lite.identity.bootstrap import bootstrap


class ImportTests(unittest.TestCase):
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
