# SPDX-License-Identifier: Apache-2.0
"""Volumes and attachments in SQL, and what the embedded volume provider promises."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import sqlalchemy as sa

from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.db import listing, revisions, volume_snapshots, volumes
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.names import new_id
from zun_lite.domain.spec import MountRequest
from zun_lite.domain.wiring import Attachment
from zun_lite.volume import embedded, snapshots
from zun_lite.volume import volumes as rules
from zun_lite.volume.quotas import VolumeQuotas

PROJECT, OTHER = "p" * 32, "q" * 32
HOST, HOST_2 = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


def caller(project_id: str = PROJECT) -> Caller:
    return Caller(user_id="u" * 32, project_id=project_id, roles=frozenset(), request_id="req-1")


@on_every_database
class VolumesTest(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.provider = embedded.EmbeddedVolumes(self.db)

    def volume(self, project_id: str = PROJECT, name: str = "data") -> str:
        uuid = new_id()
        self.db.transact(
            lambda tx: volumes.insert(
                tx,
                uuid=uuid,
                project_id=project_id,
                user_id="u",
                name=name,
                description=None,
                size_gib=2,
                volume_type="local",
            )
        )
        return uuid

    def read(self, uuid: str) -> volumes.Volume:
        with self.db.read() as tx:
            found = volumes.get(tx, uuid)
        assert found is not None
        return found

    def exists(self, uuid: str) -> bool:
        with self.db.read() as tx:
            return volumes.get(tx, uuid) is not None

    def provide(self, workload: str, volume_id: str, position: int = 0, host: str = HOST) -> Attachment:
        request = MountRequest("/data", volume_id=volume_id)
        return self.provider.provide(workload, PROJECT, host, position, request)

    def delete(self, uuid: str) -> None:
        self.db.transact(lambda tx: rules.delete(tx, self.read(uuid)))

    def revision(self, host: str = HOST) -> int:
        with self.db.read() as tx:
            return revisions.current(tx, revisions.host(host))

    def test_the_first_attachment_settles_the_host(self) -> None:
        uuid = self.volume()
        self.assertEqual((uuid, None), self.provider.resolve(caller(), "data"))
        workload = new_id()
        attachment = self.provide(workload, uuid)
        self.assertEqual(Attachment(uuid, 1, 2, "/data"), attachment)
        self.assertEqual(("in-use", HOST), (self.read(uuid).status, self.read(uuid).host))
        self.provider.release(workload)
        self.assertEqual((uuid, HOST), self.provider.resolve(caller(), uuid))
        error = self.assertRaises(errors.NotUsable, self.provide, new_id(), uuid, host=HOST_2)
        self.assertIn("can be mounted there only", error.message)

    def test_an_attachment_is_made_once_a_position(self) -> None:
        uuid, workload = self.volume(), new_id()
        self.assertEqual(self.provide(workload, uuid), self.provide(workload, uuid))
        self.assertEqual(1, len(self.read(uuid).attachments))
        self.assertRaises(errors.NotUsable, self.provide, workload, uuid, host=HOST_2)

    def test_epochs_grow_with_each_attachment(self) -> None:
        uuid = self.volume()
        epochs = []
        for _ in range(3):
            workload = new_id()
            epochs.append(self.provide(workload, uuid).epoch)
            self.provider.release(workload)
        self.assertEqual([1, 2, 3], epochs)

    def test_of_16_that_attach_at_once_one_wins(self) -> None:
        uuid = self.volume()
        starting = threading.Barrier(16)

        def attach(number: int) -> str:
            starting.wait(30)
            try:
                self.provide(new_id(), uuid, host=HOST if number % 2 else HOST_2)
            except errors.NotUsable:
                return "refused"
            return "attached"

        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(attach, range(16)))
        self.assertEqual((1, 15), (answers.count("attached"), answers.count("refused")))
        self.assertEqual((1, 1), (len(self.read(uuid).attachments), self.read(uuid).epoch))

    def test_the_database_itself_refuses_a_second_writer(self) -> None:
        uuid = self.volume()
        self.provide(new_id(), uuid)

        def forge() -> None:
            with self.db.transaction() as tx:
                tx.execute(
                    sa.update(volumes.volumes).where(volumes.volumes.c.uuid == uuid).values(status=volumes.AVAILABLE)
                )
                volumes.attach(tx, uuid, workload_uuid=new_id(), position=0, host=HOST, target="/x", read_only=False)

        self.assertRaises(sa.exc.IntegrityError, forge)

    def test_one_workload_cannot_mount_a_volume_twice(self) -> None:
        uuid, workload = self.volume(), new_id()
        self.provide(workload, uuid)
        self.assertRaises(errors.NotUsable, self.provide, workload, uuid, position=1)

    def test_release_twice_frees_only_its_own(self) -> None:
        uuid, first, second = self.volume(), new_id(), new_id()
        self.provide(first, uuid)
        self.provider.release(first)
        self.provide(second, uuid)
        self.provider.release(first)
        self.assertEqual("in-use", self.read(uuid).status)

    def test_a_volume_without_a_host_is_gone_at_once(self) -> None:
        uuid = self.volume()
        self.db.transact(lambda tx: volumes.set_metadata(tx, uuid, {"a": "b"}, replace=True))
        self.delete(uuid)
        self.assertFalse(self.exists(uuid))

    def test_a_volume_with_a_host_goes_when_the_host_has_removed_it(self) -> None:
        uuid, workload = self.volume(), new_id()
        self.provide(workload, uuid)
        self.provider.release(workload)
        before = self.revision()
        self.delete(uuid)
        self.assertGreater(self.revision(), before)
        self.assertEqual("deleting", self.read(uuid).status)
        self.assertRaises(errors.NotUsable, self.provide, new_id(), uuid)
        with self.db.read() as tx:
            self.assertEqual(([uuid], []), (volumes.doomed(tx, HOST), volumes.doomed(tx, HOST_2)))
        self.db.transact(lambda tx: volumes.removed(tx, HOST_2, [uuid]))
        self.assertTrue(self.exists(uuid))
        self.db.transact(lambda tx: volumes.removed(tx, HOST, [uuid, new_id()]))
        self.assertFalse(self.exists(uuid))

    def test_a_host_cannot_remove_what_is_not_doomed(self) -> None:
        uuid = self.volume()
        self.provide(new_id(), uuid)
        self.db.transact(lambda tx: volumes.removed(tx, HOST, [uuid]))
        self.assertTrue(self.exists(uuid))

    def test_a_doomed_volume_that_somebody_has_is_kept_until_it_is_let_go(self) -> None:
        uuid, workload, other = self.volume(), new_id(), self.volume()
        self.provide(workload, uuid)
        self.provide(first := new_id(), other)
        self.provider.release(first)
        self.delete(other)
        self.db.transact(lambda tx: volumes.update(tx, uuid, {"status": volumes.ERROR_DELETING}))
        self.db.transact(lambda tx: volumes.removed(tx, HOST, [uuid, other]))
        self.assertEqual((True, False), (self.exists(uuid), self.exists(other)))
        self.provider.release(workload)
        with self.db.read() as tx:
            self.assertEqual([uuid], volumes.doomed(tx, HOST))

    def test_a_volume_in_use_is_not_deleted(self) -> None:
        uuid = self.volume()
        self.provide(new_id(), uuid)
        self.assertIn("Volume status must be available", self.assertRaises(errors.Invalid, self.delete, uuid).message)

    def test_delete_and_attach_at_once_leave_no_attachment_to_nothing(self) -> None:
        for _ in range(8):
            uuid = self.volume()
            starting = threading.Barrier(2)

            def attach(uuid: str = uuid, starting: threading.Barrier = starting) -> str:
                starting.wait(30)
                try:
                    self.provide(new_id(), uuid)
                except (errors.NotFound, errors.NotUsable):
                    return "refused"
                return "attached"

            def delete(uuid: str = uuid, starting: threading.Barrier = starting) -> str:
                known = self.read(uuid)
                starting.wait(30)
                try:
                    self.db.transact(lambda tx: rules.delete(tx, known))
                except errors.Invalid:
                    return "refused"
                return "deleted"

            with ThreadPoolExecutor(2) as threads:
                answers = [work.result() for work in (threads.submit(attach), threads.submit(delete))]
            self.assertIn(answers, (["attached", "refused"], ["refused", "deleted"]))
            self.assertEqual(answers[0] == "attached", self.exists(uuid))

    def test_a_volume_made_for_a_container_goes_with_it(self) -> None:
        workload = new_id()
        request = MountRequest("/scratch", size_gib=3)
        made = self.provider.provide(workload, PROJECT, HOST, 0, request)
        self.assertEqual(made, self.provider.provide(workload, PROJECT, HOST, 0, request))
        self.assertEqual((3, True, "/scratch"), (made.size_gib, made.owned, made.target))
        self.provider.release(workload)
        with self.db.read() as tx:
            self.assertEqual([made.volume_id], volumes.doomed(tx, HOST))

    def test_a_containers_own_volume_that_cannot_be_deleted_is_its_owners_once_the_container_is_gone(self) -> None:
        workload = new_id()
        kept, gone = (
            self.provider.provide(workload, PROJECT, HOST, at, MountRequest(f"/scratch{at}", size_gib=1)).volume_id
            for at in range(2)
        )
        self.db.transact(lambda tx: volumes.note_formatted(tx, HOST, [kept]))
        wanted = {"name": "s", "description": None, "metadata": {}, "force": True}
        self.db.transact(lambda tx: snapshots.create(tx, VolumeQuotas(), self.read(kept), "u", **wanted))
        for _ in range(2):
            self.provider.release(workload)
        left = self.read(kept)
        self.assertEqual(("available", None, ()), (left.status, left.made_for, left.attachments))
        self.assertRegex(left.problem or "", f"It stays although container {workload}.*have snapshots")
        with self.db.read() as tx:
            self.assertEqual([gone], volumes.doomed(tx, HOST))
            (snapshot,) = volume_snapshots.of_volume(tx, kept)
            self.assertEqual("creating", snapshot.status)
        # it is a volume like any other now: the next who mounts it does not take it along
        self.assertEqual((False, True), (self.provide(other := new_id(), kept).owned, self.read(kept).formatted))
        self.provider.release(other)
        self.assertEqual("available", self.read(kept).status)

    def test_a_volume_made_for_a_container_counts_in_its_projects_quota(self) -> None:
        provider = embedded.EmbeddedVolumes(self.db, VolumeQuotas({"volumes": 1}))
        request, workload = MountRequest("/scratch", size_gib=1), new_id()
        provider.provide(workload, PROJECT, HOST, 0, request)
        refused = self.assertRaises(errors.TooLarge, provider.provide, new_id(), PROJECT, HOST, 0, request)
        self.assertIn("Maximum number of volumes allowed (1)", refused.message)
        provider.provide(new_id(), OTHER, HOST, 0, request)

    def test_formatted_is_remembered_for_the_next_attachment(self) -> None:
        uuid, workload = self.volume(), new_id()
        self.assertFalse(self.provide(workload, uuid).formatted)
        self.db.transact(lambda tx: volumes.note_formatted(tx, HOST, [uuid]))
        self.provider.release(workload)
        self.assertTrue(self.provide(new_id(), uuid).formatted)

    def test_only_a_free_volume_of_the_project_is_resolved(self) -> None:
        foreign, uuid = self.volume(OTHER), self.volume()
        self.assertRaises(errors.NotFound, self.provider.resolve, caller(), foreign)
        self.assertRaises(errors.NotFound, self.provider.resolve, caller(), "nope")
        self.assertRaises(errors.NotFound, self.provide, new_id(), foreign)
        self.provide(new_id(), uuid)
        self.assertRaises(errors.NotUsable, self.provider.resolve, caller(), uuid)
        self.volume()
        self.assertRaises(errors.Ambiguous, self.provider.resolve, caller(), "data")

    def test_what_is_shared_and_free_is_handed_over(self) -> None:
        free, held, alone = self.volume(), self.volume(), self.volume()

        def work(tx: sa.Connection) -> None:
            for uuid, shared in ((free, True), (held, True), (alone, False)):
                volumes.update(tx, uuid, {"host": HOST, "shared": shared})

        self.db.transact(work)
        self.provide(new_id(), held)
        self.db.transact(lambda tx: volumes.update(tx, held, {"shared": True}))
        self.db.transact(lambda tx: volumes.hand_over(tx, HOST, HOST_2))
        self.assertEqual([HOST_2, HOST, HOST], [self.read(uuid).host for uuid in (free, held, alone)])

    def test_pages_by_age_follow_a_marker(self) -> None:
        uuids = [self.volume() for _ in range(3)]
        newest_first = listing.Page(limit=2, order=(("created_at", True),))
        with self.db.read() as tx:
            first = [volume.uuid for volume in volumes.page(tx, wanted=newest_first)]
            rest = [volume.uuid for volume in volumes.page(tx, wanted=replace(newest_first, marker=first[-1]))]
        self.assertEqual(sorted(uuids), sorted(first + rest))
        self.assertEqual((2, 1), (len(first), len(rest)))

    def test_metadata_is_added_replaced_and_dropped(self) -> None:
        uuid = self.volume()
        self.db.transact(lambda tx: volumes.set_metadata(tx, uuid, {"a": "1", "b": "2"}, replace=False))
        self.db.transact(lambda tx: volumes.set_metadata(tx, uuid, {"b": "3", "c": "4"}, replace=False))
        self.assertEqual({"a": "1", "b": "3", "c": "4"}, dict(self.read(uuid).metadata))
        self.assertTrue(self.db.transact(lambda tx: volumes.drop_metadata(tx, uuid, "a")))
        self.assertFalse(self.db.transact(lambda tx: volumes.drop_metadata(tx, uuid, "a")))
        with self.db.read() as tx:
            self.assertEqual(1, len(volumes.page(tx, [volumes.with_metadata("c", "4")])))
            self.assertEqual(0, len(volumes.page(tx, [volumes.with_metadata("c", "5")])))
        self.db.transact(lambda tx: volumes.set_metadata(tx, uuid, {}, replace=True))
        self.assertEqual((), self.read(uuid).metadata)
