# SPDX-License-Identifier: Apache-2.0
"""What netd remembers, over restarts and torn files."""

from __future__ import annotations

import tempfile
from pathlib import Path

import testtools

from zun_lite.domain.wiring import Address, Attachment, Endpoint
from zun_lite.netd.store import ContainerRecord, Store, VolumeFile, VolumeRecord

VOLUME = VolumeFile(Attachment("v1", 3, 1, "/data", read_only=True), "/pool/v1")
ENDPOINT = Endpoint("p1", "n1", 7, "fa:16:3e:00:00:01", 1450, (Address("10.0.0.5", 24, "s1"),), True, (("a", "b"),))
RECORD = ContainerRecord("c1", "w1", 2, (ENDPOINT,), (VOLUME,))


class StoreTests(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.store = Store(folder.name)

    def again(self) -> Store:
        return Store(str(self.folder))

    def test_a_record_is_the_same_after_a_restart(self) -> None:
        volume = VolumeRecord(VOLUME.attachment, VOLUME.path)
        self.store.save_container(RECORD)
        self.store.save_volume(volume)

        self.assertEqual([RECORD], self.again().containers())
        self.assertEqual(volume, self.again().volume("v1"))

    def test_a_dropped_record_stays_away_and_may_be_dropped_again(self) -> None:
        self.store.save_container(RECORD)
        self.store.save_volume(VolumeRecord(VOLUME.attachment, VOLUME.path))
        for _ in range(2):
            self.store.drop_container("c1")
            self.store.drop_volume("v1")

        self.assertEqual(([], []), (self.again().containers(), self.again().volumes()))
        self.assertIsNone(self.store.container("c1"))

    def test_a_half_written_file_is_swept_away_and_the_whole_one_before_it_counts(self) -> None:
        self.store.save_container(RECORD)
        half = self.folder / "containers/c1.half"
        half.write_text('{"container_id": "c1", "ep')

        self.assertEqual([RECORD], self.again().containers())
        self.assertFalse(half.exists())

    def test_a_damaged_record_is_kept_and_named(self) -> None:
        for content in ("{", "[]", "{}", '{"container_id": "c1"}', "\0\0"):
            damaged = self.folder / "containers/c1.json"
            damaged.write_text(content)

            store = self.again()

            self.assertEqual([str(damaged)], store.damaged)
            self.assertEqual([], store.containers())
            self.assertTrue(damaged.exists())

    def test_records_are_for_root_alone(self) -> None:
        self.assertEqual(0o700, (self.folder / "containers").stat().st_mode & 0o777)
