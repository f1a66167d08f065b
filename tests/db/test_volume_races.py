# SPDX-License-Identifier: Apache-2.0
"""Many who want the same quota, the same volume or the opposite of each other, at once, on every database."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import sqlalchemy as sa

from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.db import volume_attachments, volume_quotas, volume_snapshots, volume_types, volumes
from zun_lite.domain import errors
from zun_lite.domain.names import new_id
from zun_lite.domain.spec import MountRequest
from zun_lite.volume import attachments, snapshots
from zun_lite.volume import volumes as rules
from zun_lite.volume.embedded import EmbeddedVolumes
from zun_lite.volume.quotas import GIGABYTES, VolumeQuotas, typed, used
from zun_lite.volume.volumes import NewVolume

PROJECT, OTHER = "p" * 32, "q" * 32
HOST = "11111111-1111-4111-8111-111111111111"
REFUSALS = (errors.Invalid, errors.Conflict, errors.NotFound)


@on_every_database
class VolumeRacesTest(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.quotas = VolumeQuotas()
        self.kind = volume_types.DEFAULT

    def allow(self, **limits: int) -> None:
        self.db.transact(lambda tx: volume_quotas.set_for_owner(tx, volume_quotas.project(PROJECT), limits))

    def create(self, size_gib: int = 1, project: str = PROJECT) -> str:
        wanted = NewVolume(size_gib, self.kind)
        return self.db.transact(lambda tx: rules.create(tx, self.quotas, project, "u", wanted))

    def read(self, uuid: str) -> volumes.Volume:
        with self.db.read() as tx:
            found = volumes.get(tx, uuid)
        assert found is not None
        return found

    def change(self, work: Callable[[sa.Connection, volumes.Volume], Any], uuid: str) -> Any:
        """As the API does: the volume is looked up in the transaction that changes it."""

        def look_and_work(tx: sa.Connection) -> Any:
            found = volumes.get(tx, uuid)
            if found is None:
                raise errors.NotFound("It is gone.")
            return work(tx, found)

        return self.db.transact(look_and_work)

    def with_a_file(self) -> str:
        uuid = self.create()
        self.db.transact(lambda tx: volumes.update(tx, uuid, {"host": HOST, "formatted": True}))
        return uuid

    def take(self, uuid: str) -> str:
        more: dict[str, Any] = {"name": "", "description": None, "metadata": {}, "force": False}
        return self.change(lambda tx, volume: snapshots.create(tx, self.quotas, volume, "u", **more), uuid)

    def delete(self, uuid: str) -> None:
        self.change(lambda tx, volume: rules.delete(tx, volume), uuid)

    def extend(self, uuid: str, size_gib: int) -> None:
        self.change(lambda tx, volume: rules.extend(tx, self.quotas, volume, size_gib), uuid)

    def copy(self, uuid: str) -> str:
        def work(tx: sa.Connection, volume: volumes.Volume) -> str:
            origin = rules.out_of_volume(tx, volume)
            return rules.create(tx, self.quotas, PROJECT, "u", NewVolume(None, self.kind, origin=origin))

        return self.change(work, uuid)

    def used(self) -> dict[str, int]:
        with self.db.read() as tx:
            return used(tx, PROJECT)

    def race(self, works: Sequence[Callable[[], object]]) -> list[object]:
        """What each answered, or the name of the refusal."""
        starting = threading.Barrier(len(works))

        def run(work: Callable[[], object]) -> object:
            starting.wait(60)
            try:
                return work()
            except REFUSALS as refusal:
                return type(refusal).__name__

        with ThreadPoolExecutor(len(works)) as threads:
            return list(threads.map(run, works))

    def test_a_limit_of_the_longest_type_is_kept(self) -> None:
        kind = replace(volume_types.DEFAULT, uuid=new_id(), name="\u4e16" * 255)
        self.db.transact(lambda tx: volume_types.insert(tx, kind))
        resource = typed(GIGABYTES, kind.name)
        self.allow(**{resource: 7})
        with self.db.read() as tx:
            self.assertEqual(7, self.quotas.of_project(tx, PROJECT)[resource])

    def test_64_creates_and_a_quota_for_10_make_10(self) -> None:
        self.allow(volumes=10)
        answers = Counter(self.race([self.create] * 64))
        self.assertEqual(54, answers.pop("TooLarge"))
        self.assertEqual((10, 10), (len(answers), self.used()["volumes"]))
        # the control: another project has its own
        self.create(project=OTHER)

    def test_64_that_make_grow_and_take_share_one_number_of_gigabytes(self) -> None:
        grown = [self.create() for _ in range(22)]
        snapped = [self.with_a_file() for _ in range(21)]
        self.allow(gigabytes=43 + 20)
        works: list[Callable[[], object]] = [partial(self.extend, uuid, 3) for uuid in grown]
        works += [partial(self.take, uuid) for uuid in snapped]
        works += [self.create] * 21
        answers = self.race(works)
        # some of 2 and some of 1, as they came; not one over
        self.assertGreater(answers.count("TooLarge"), 23)
        self.assertIn(self.used()["gigabytes"], (62, 63))

    def test_one_volume_goes_to_one_of_many_clients_and_containers(self) -> None:
        uuid = self.create()
        provider = EmbeddedVolumes(self.db)

        def mount() -> str:
            provider.provide(new_id(), PROJECT, HOST, 0, MountRequest("/data", volume_id=uuid))
            return "mounted"

        def reserve() -> str:
            self.change(lambda tx, volume: attachments.reserve(tx, volume, instance=new_id()), uuid)
            return "reserved"

        answers = Counter(self.race([mount, reserve] * 16))
        self.assertEqual(1, answers["mounted"] + answers["reserved"])
        with self.db.read() as tx:
            self.assertEqual(1, len(volume_attachments.of_volumes(tx, [uuid])[uuid]))

    def test_a_volume_is_deleted_or_copied_never_both(self) -> None:
        for _ in range(6):
            uuid = self.with_a_file()
            deleted, copied = self.race([partial(self.delete, uuid), partial(self.copy, uuid)])
            self.assertEqual(1, [deleted, copied].count("Invalid"), (deleted, copied))
            self.assertEqual("deleting" if deleted is None else "available", self.read(uuid).status)

    def test_a_volume_is_deleted_or_has_a_snapshot_never_both(self) -> None:
        for _ in range(6):
            uuid = self.with_a_file()
            deleted, taken = self.race([partial(self.delete, uuid), partial(self.take, uuid)])
            self.assertEqual(1, [deleted, taken].count("Invalid"), (deleted, taken))
            with self.db.read() as tx:
                self.assertEqual(int(deleted == "Invalid"), len(volume_snapshots.of_volume(tx, uuid)))

    def test_two_who_extend_one_volume_pay_for_it_once(self) -> None:
        uuid = self.with_a_file()
        self.allow(gigabytes=5)
        answers = self.race([partial(self.extend, uuid, 5)] * 4)
        self.assertEqual(3, answers.count("Invalid"))
        self.assertEqual((5, 5), (self.read(uuid).wanted_gib, self.used()["gigabytes"]))
