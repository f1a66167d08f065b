# SPDX-License-Identifier: Apache-2.0
"""The provider of Cinder's volumes against a Cinder that is a dictionary, and its records on every database."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace

from tests.builders import a_host, means_of
from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.db import cinder, workloads
from zun_lite.domain import errors, names
from zun_lite.domain.caller import Caller
from zun_lite.domain.spec import MountRequest
from zun_lite.domain.wiring import LOCKED
from zun_lite.volume.cinder import CinderVolumes


class FakeCinder:
    """fail: {method: error} raised once after it was carried out, as an answer that was lost."""

    def __init__(self) -> None:
        self.volumes: dict[str, dict] = {}
        self.made: dict[str, dict] = {}
        self.fail: dict[str, errors.ZunError] = {}

    def add(self, project_id: str, **facts) -> str:
        uuid = names.new_id()
        usual = {"id": uuid, "name": uuid, "status": "available", "size": 1, "metadata": {}, "attachments": []}
        self.volumes[uuid] = {**usual, "os-vol-tenant-attr:tenant_id": project_id, **facts}
        return uuid

    def volume(self, volume_id, caller=None):
        found = self.volumes.get(volume_id)
        if found is None or (caller and not caller.is_admin and self._owner(found) != caller.project_id):
            raise errors.NotFound(f"no {volume_id}")
        return found

    def volumes_named(self, name, caller):
        return [
            item for item in self.volumes.values() if item["name"] == name and self._owner(item) == caller.project_id
        ]

    def volumes_marked(self, key, value):
        return [item for item in self.volumes.values() if item["metadata"].get(key) == value]

    def make_volume(self, caller, body):
        uuid = self.add(caller.project_id, status="creating", **body)
        self._lose("make_volume")
        return self.volumes[uuid]

    def delete_volume(self, volume_id):
        if self.volume(volume_id)["status"] not in ("available", "error"):
            raise errors.NotUsable(f"{volume_id} is {self.volumes[volume_id]['status']}")
        del self.volumes[volume_id]

    def attachments(self, volume_id, instance):
        return [item for item in self.made.values() if (item["volume_id"], item["instance"]) == (volume_id, instance)]

    def attachment(self, attachment_id):
        return self.made[attachment_id]

    def reserve(self, volume_id, instance):
        uuid = names.new_id()
        self.made[uuid] = {"id": uuid, "volume_id": volume_id, "instance": instance}
        self.volumes[volume_id]["status"] = "reserved"
        self._lose("reserve")
        return self.made[uuid]

    def connect(self, attachment_id, connector):
        facts = {"driver_volume_type": "iscsi", "auth_password": "chap", "access_mode": connector["mode"]}
        self.made[attachment_id].update(connector=connector, connection_info=facts)
        self._lose("connect")
        return self.made[attachment_id]

    def complete(self, attachment_id):
        attachment = self.made[attachment_id]
        volume = self.volumes[attachment["volume_id"]]
        volume["status"] = "in-use"
        volume["attachments"].append({"server_id": attachment["instance"]})
        self._lose("complete")

    def end(self, attachment_id):
        attachment = self.made.pop(attachment_id)
        volume = self.volumes[attachment["volume_id"]]
        volume["attachments"] = [a for a in volume["attachments"] if a["server_id"] != attachment["instance"]]
        volume["status"] = "in-use" if volume["attachments"] else "available"

    @staticmethod
    def _owner(volume):
        return volume["os-vol-tenant-attr:tenant_id"]

    def _lose(self, method):
        if method in self.fail:
            raise self.fail.pop(method)


class CinderProvider(DatabaseTestCase):
    def setUp(self):
        super().setUp()
        self.means = means_of(self.db)
        self.api = FakeCinder()
        self.provider = CinderVolumes(self.db, self.api, self.means.secrets)
        self.caller = Caller("user", "p1", frozenset({"member"}), "req-1", token="t")
        self.host = a_host(self.means)
        self.workload = names.new_id()

    def provide(self, request, workload=None, host=None):
        return self.provider.provide(workload or self.workload, "p1", (host or self.host).uuid, 0, request)

    def mount(self, **facts) -> MountRequest:
        return MountRequest("/data", self.api.add("p1", **facts))

    def uses(self):
        with self.db.read() as tx:
            return cinder.every(tx)

    def connection(self, attachment):
        return json.loads(self.means.secrets.open(attachment.connection[LOCKED]))

    def test_a_volume_is_found_by_id_and_by_name_in_ones_own_project_only(self):
        mine, others = self.api.add("p1", name="one"), self.api.add("p2", name="two")
        self.assertEqual((mine, None), self.provider.resolve(self.caller, mine))
        self.assertEqual((mine, None), self.provider.resolve(self.caller, "one"))
        admin = replace(self.caller, admin=True)
        for caller in (self.caller, admin):
            for ident in (others, "two", "nothing"):
                with self.assertRaises(errors.NotFound):
                    self.provider.resolve(caller, ident)
        self.api.add("p1", name="one")
        with self.assertRaises(errors.Ambiguous):
            self.provider.resolve(self.caller, "one")

    def test_what_cannot_be_mounted_is_refused(self):
        for status in ("error", "in-use", "attaching", "deleting"):
            with self.assertRaises(errors.NotUsable):
                self.provider.resolve(self.caller, self.api.add("p1", status=status))
        self.provider.resolve(self.caller, self.api.add("p1", status="in-use", multiattach=True))

    def test_an_attachment_is_made_once_and_its_connection_is_locked(self):
        request = self.mount()
        first = self.provide(request)
        self.assertEqual(first, self.provide(request))
        self.assertEqual({"auth_password": "chap", "access_mode": "rw"}, self.connection(first)["data"])
        self.assertNotIn("chap", repr(first) + repr(self.uses()))
        (made,) = self.api.made.values()
        self.assertEqual((self.host.name, "127.0.0.1"), (made["connector"]["host"], made["connector"]["ip"]))

    def test_answers_that_were_lost_leave_one_attachment(self):
        for method in ("reserve", "connect", "complete"):
            request, workload = self.mount(), names.new_id()
            self.api.fail[method] = errors.Unavailable("lost")
            with self.assertRaises(errors.Unavailable):
                self.provide(request, workload)
            self.provide(request, workload)
            self.assertEqual(1, len(self.api.attachments(request.volume_id, workload)), method)

    def test_an_epoch_grows_with_each_attachment_and_a_formatted_volume_stays_so(self):
        request = self.mount()
        first = self.provide(request)
        with self.db.transaction() as tx:
            cinder.note_formatted(tx, self.host.uuid, [request.volume_id])
        self.provider.release(self.workload)
        second = self.provide(request, names.new_id())
        self.assertEqual(((1, False), (2, True)), ((first.epoch, first.formatted), (second.epoch, second.formatted)))

    def test_a_volume_that_is_still_made_is_waited_for_and_not_for_ever(self):
        request = replace(self.mount(status="creating"), auto_remove=True)
        with self.assertRaises(errors.Busy):
            self.provide(request)
        self.api.volumes[request.volume_id]["status"] = "available"
        self.assertTrue(self.provide(request).owned)
        late = self.mount(status="creating")
        impatient = CinderVolumes(self.db, self.api, self.means.secrets, wait_seconds=-1)
        with self.assertRaises(errors.NotUsable):
            impatient.provide(names.new_id(), "p1", self.host.uuid, 0, late)

    def test_what_is_refused_is_in_nobodys_way(self):
        request = self.mount(encrypted=True)
        with self.assertRaises(errors.NotUsable):
            self.provide(request)
        self.api.volumes[request.volume_id]["encrypted"] = False
        self.provide(request, names.new_id())

    def test_another_projects_volume_is_not_provided(self):
        with self.assertRaises(errors.NotFound):
            self.provide(MountRequest("/data", self.api.add("p2")))

    def test_a_shared_volume_is_written_on_one_host_or_read_on_several(self):
        other = a_host(self.means, "other")
        written = self.mount(multiattach=True)
        self.provide(written)
        self.provide(written, names.new_id())
        for request in (written, replace(written, read_only=True)):
            with self.assertRaises(errors.NotUsable):
                self.provide(request, names.new_id(), other)
        read = replace(self.mount(multiattach=True), read_only=True)
        self.provide(read)
        self.assertTrue(self.provide(read, names.new_id(), other).read_only)

    def test_a_volume_that_a_server_has_too_is_not_shared_with_it(self):
        request = self.mount(multiattach=True, status="in-use", attachments=[{"server_id": names.new_id()}])
        with self.assertRaises(errors.NotUsable):
            self.provide(request)

    def test_a_workload_that_was_placed_anew_has_one_attachment_with_a_newer_epoch(self):
        request, other = self.mount(), a_host(self.means, "other")
        first = self.provide(request)
        second = self.provide(request, host=other)
        self.assertGreater(second.epoch, first.epoch)
        (made,) = self.api.made.values()
        self.assertEqual("other", made["connector"]["host"])

    def test_a_volume_that_was_made_for_a_workload_goes_with_it_and_a_given_one_stays(self):
        prepared = self.provider.prepare(self.caller, self.workload, 0, MountRequest("/data", size_gib=2))
        self.api.volumes[prepared.volume_id]["status"] = "available"
        self.assertTrue(self.provide(prepared).owned)
        given = self.mount()
        self.provider.provide(self.workload, "p1", self.host.uuid, 1, given)
        self.provider.release(self.workload)
        self.assertEqual([given.volume_id], list(self.api.volumes))
        self.assertEqual(([], {}), (self.uses(), self.api.made))

    def test_a_release_waits_for_a_volume_that_does_not_go_yet(self):
        prepared = self.provider.prepare(self.caller, self.workload, 0, MountRequest("/data", size_gib=1))
        with self.assertRaises(errors.Busy):
            self.provider.release(self.workload)
        self.api.volumes[prepared.volume_id]["status"] = "available"
        self.provider.release(self.workload)
        self.assertEqual(({}, []), (self.api.volumes, self.uses()))

    def test_what_was_begun_for_nobody_is_given_back_and_a_given_volume_is_not_touched(self):
        self.api.fail["make_volume"] = errors.Unavailable("lost")
        with self.assertRaises(errors.Unavailable):
            self.provider.prepare(self.caller, self.workload, 0, MountRequest("/data", size_gib=1))
        (lost,) = self.api.volumes.values()
        lost["status"] = "available"
        given = self.mount()
        self.provider.provide(self.workload, "p1", self.host.uuid, 1, given)
        self.assertEqual([], self.provider.tidy(), "too early")
        self.provider.abandon(self.workload)
        self.assertEqual([given.volume_id], list(self.api.volumes))
        self.assertEqual([], self.uses())

    def test_what_was_attached_once_is_never_taken_for_what_nobody_came_for(self):
        prepared = self.provider.prepare(self.caller, self.workload, 0, MountRequest("/data", size_gib=1))
        self.api.volumes[prepared.volume_id]["status"] = "available"
        self.provide(prepared)
        self.provider.abandon(self.workload)
        self.assertEqual(([prepared.volume_id], {}), (list(self.api.volumes), self.api.made))

    def test_a_given_volume_that_the_workload_never_had_does_not_go_with_it(self):
        request = replace(self.mount(encrypted=True), auto_remove=True)
        with self.assertRaises(errors.NotUsable):
            self.provide(request)
        self.provider.release(self.workload)
        self.assertEqual([request.volume_id], list(self.api.volumes))
        self.api.volumes[request.volume_id]["encrypted"] = False
        self.provide(request)
        self.provider.release(self.workload)
        self.assertEqual({}, self.api.volumes)

    def test_what_could_not_be_given_back_at_once_is_given_back_by_the_next_pass(self):
        prepared = self.provider.prepare(self.caller, self.workload, 0, MountRequest("/data", size_gib=1))
        with self.assertRaises(errors.Busy):
            self.provider.abandon(self.workload)
        self.api.volumes[prepared.volume_id]["status"] = "available"
        self.assertEqual(1, len(self.provider.tidy()))
        self.assertEqual(({}, []), (self.api.volumes, self.uses()))


@on_every_database
class CinderRecords(DatabaseTestCase):
    def test_epochs_grow_only_the_volumes_host_says_that_it_is_formatted_and_what_is_old_is_told(self):
        volume, workload, host = names.new_id(), names.new_id(), names.new_id()
        with self.db.transaction() as tx:
            use = cinder.begin(tx, workload, 0, None, made=True)
            epochs = [cinder.next_epoch(tx, volume) for _ in range(3)]
            cinder.change(tx, use, volume_uuid=volume, host=host, epoch=epochs[-1])
        self.assertEqual([1, 2, 3], epochs)
        with self.db.transaction() as tx:
            cinder.note_formatted(tx, names.new_id(), [volume])
            self.assertFalse(cinder.is_formatted(tx, volume))
            cinder.note_formatted(tx, host, [volume])
            self.assertTrue(cinder.is_formatted(tx, volume))
        with self.db.transaction() as tx:
            edge = self.db.now(tx) - datetime.timedelta(seconds=600)
            self.assertEqual([], cinder.abandoned(tx, edge, workloads.workloads))
            cinder.give_up(tx, workload, datetime.datetime(2000, 1, 1))
            self.assertEqual([workload], cinder.abandoned(tx, edge, workloads.workloads))
            cinder.end(tx, use)
            cinder.forget_volume(tx, volume)
            self.assertEqual(([], False), (cinder.every(tx), cinder.is_formatted(tx, volume)))
