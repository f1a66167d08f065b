# SPDX-License-Identifier: Apache-2.0
"""A pool that several hosts see: a volume moves between them, to one at a time, and work goes where somebody is."""

from __future__ import annotations

from dataclasses import replace

from falcon import testing

from tests.api.volume_case import V3, VolumeApiTestCase
from tests.builders import a_host
from zun_lite.control import reports
from zun_lite.db import hosts
from zun_lite.db.hosts import Host
from zun_lite.domain import errors
from zun_lite.domain.caller import Caller
from zun_lite.domain.desired import COPY, DESTROY, TAKE, Report
from zun_lite.domain.names import new_id
from zun_lite.domain.spec import MountRequest
from zun_lite.domain.wiring import Attachment
from zun_lite.volume.embedded import EmbeddedVolumes


class SharedPoolsTest(VolumeApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.volumes = EmbeddedVolumes(self.db)
        self.first, self.second = self.host, a_host(self.means, "host2")
        self.alone = a_host(self.means, "host3")
        for host in (self.first, self.second):
            self.share(host)

    def share(self, host: Host) -> None:
        assert host.inventory is not None
        inventory = replace(host.inventory, pool_dir="/pool", pool_shared=True)
        reports.take(self.means, host, Report("boot1", inventory, True, ()))

    def lose(self, host: Host) -> None:
        self.db.transact(lambda tx: hosts.set_state(tx, host.uuid, hosts.UNKNOWN))

    def mount(self, volume_id: str, host: Host, workload: str | None = None) -> tuple[str, Attachment]:
        """(workload, attachment)"""
        workload, project = workload or new_id(), self.shown(volume_id)["os-vol-tenant-attr:tenant_id"]
        request = MountRequest("/data", volume_id=volume_id)
        return workload, self.volumes.provide(workload, project, host.uuid, 0, request)

    def resolved(self, volume_id: str) -> str | None:
        project = self.shown(volume_id)["os-vol-tenant-attr:tenant_id"]
        return self.volumes.resolve(Caller("u", project, frozenset(), "req-1"), volume_id)[1]

    def moved(self, volume_id: str, host: Host) -> None:
        workload, _ = self.mount(volume_id, host)
        self.formatted(volume_id)
        self.volumes.release(workload)

    def test_a_free_volume_may_be_mounted_on_any_host_that_sees_it(self) -> None:
        volume = self.make()["id"]
        self.moved(volume, self.first)
        self.assertIsNone(self.resolved(volume), "placement is free")
        workload, attachment = self.mount(volume, self.second)
        self.assertEqual((2, True), (attachment.epoch, attachment.formatted))
        self.assertEqual("host2@local#local", self.shown(volume, user="admin")["os-vol-host-attr:host"])
        self.volumes.release(workload)
        refused = self.assertRaises(errors.NotUsable, self.mount, volume, self.alone)
        self.assertIn(self.second.uuid, refused.message)

    def test_one_that_is_not_shared_stays_on_its_host(self) -> None:
        volume = self.make()["id"]
        workload, _ = self.mount(volume, self.alone)
        self.volumes.release(workload)
        self.assertEqual(self.alone.uuid, self.resolved(volume))
        self.assertRaises(errors.NotUsable, self.mount, volume, self.first)

    def test_a_clients_connector_moves_a_volume_for_many_only_while_nobody_has_it(self) -> None:
        kind = {"volume_type": {"name": "many", "extra_specs": {"multiattach": "<is> True"}}}
        self.assertEqual(200, self.call("POST", f"{V3}/types", kind, user="admin").status_code)
        volume = self.make(volume_type="many")["id"]
        self.moved(volume, self.first)
        body = {"attachment": {"volume_uuid": volume, "connector": {"host": "host2"}}}

        def connect() -> testing.Result:
            return self.call("POST", f"{V3}/attachments", body, at="3.44")

        workload, _ = self.mount(volume, self.first)
        self.denied(400, "badRequest", connect(), "in use on another host than host2")
        self.assertEqual("host1@local#local", self.shown(volume, user="admin")["os-vol-host-attr:host"])
        self.volumes.release(workload)
        self.assertEqual(200, connect().status_code)
        self.assertEqual("host2@local#local", self.shown(volume, user="admin")["os-vol-host-attr:host"])

    def test_of_two_clients_that_attach_a_volume_for_many_the_second_does_not_move_it(self) -> None:
        kind = {"volume_type": {"name": "many", "extra_specs": {"multiattach": "<is> True"}}}
        self.assertEqual(200, self.call("POST", f"{V3}/types", kind, user="admin").status_code)

        def reserved(volume: str) -> str:
            body = {"attachment": {"volume_uuid": volume, "instance_uuid": new_id()}}
            return self.call("POST", f"{V3}/attachments", body, at="3.44").json["attachment"]["id"]

        def connected(attachment: str, host: str) -> testing.Result:
            body = {"attachment": {"connector": {"host": host}}}
            return self.call("PUT", f"{V3}/attachments/{attachment}", body, at="3.44")

        def initialized(volume: str, host: str) -> testing.Result:
            return self.act(volume, "os-initialize_connection", {"connector": {"host": host}})

        def host_of(volume: str) -> str:
            return self.shown(volume, user="admin")["os-vol-host-attr:host"].partition("@")[0]

        # while it is in use, several may reserve it at once
        volume = self.make(volume_type="many")["id"]
        workload, _ = self.mount(volume, self.first)
        self.formatted(volume)
        first, second = reserved(volume), reserved(volume)
        self.volumes.release(workload)
        for host in ("host1", "host2", "host1"):
            # who merely reserved it is in nobody's way, and a client may change its own mind
            self.assertEqual((200, host), (connected(first, host).status_code, host_of(volume)))
        self.denied(400, "badRequest", connected(second, "host2"), "in use on another host than host2")
        self.assertEqual((200, "host1"), (connected(second, "host1").status_code, host_of(volume)))

        old = self.make(volume_type="many")["id"]
        workload, _ = self.mount(old, self.first)
        self.formatted(old)
        for _ in range(2):
            self.act(old, "os-reserve")
        self.volumes.release(workload)
        self.denied(400, "badRequest", initialized(old, "host2"), "in use on another host than host2")
        self.assertEqual((200, "host1"), (initialized(old, "host1").status_code, host_of(old)))
        single = self.make()["id"]
        self.act(single, "os-reserve")
        for host in ("host1", "host2"):
            self.assertEqual((200, host), (initialized(single, host).status_code, host_of(single)))

    def test_one_that_is_mounted_is_nobody_elses(self) -> None:
        volume = self.make()["id"]
        workload, attachment = self.mount(volume, self.first)
        self.assertRaises(errors.NotUsable, self.mount, volume, self.second)
        self.lose(self.first)
        self.assertRaises(errors.NotUsable, self.mount, volume, self.second)
        self.assertRaises(errors.NotUsable, self.mount, volume, self.second, workload)
        self.assertEqual((workload, attachment), self.mount(volume, self.first, workload))

    def test_one_for_several_workloads_is_on_one_host_while_it_is_mounted(self) -> None:
        kind = {"volume_type": {"name": "many", "extra_specs": {"multiattach": "<is> True"}}}
        self.call("POST", f"{V3}/types", kind, user="admin")
        volume = self.make(volume_type="many")["id"]
        first, _ = self.mount(volume, self.first)
        self.formatted(volume)
        self.assertEqual(self.first.uuid, self.resolved(volume))
        self.assertRaises(errors.NotUsable, self.mount, volume, self.second)
        second, _ = self.mount(volume, self.first)
        for workload in (first, second):
            self.volumes.release(workload)
        self.mount(volume, self.second)

    def test_one_whose_snapshot_is_being_taken_waits_before_it_moves(self) -> None:
        volume = self.make()
        self.moved(volume["id"], self.first)
        self.take(volume)
        self.assertRaises(errors.Busy, self.mount, volume["id"], self.second)
        self.host_obeys()
        self.mount(volume["id"], self.second)

    def test_what_a_lost_host_would_do_another_one_does(self) -> None:
        volume = self.make()["id"]
        self.moved(volume, self.first)
        snapshot = self.take({"id": volume})
        self.host_obeys()
        self.lose(self.first)
        made = self.make(source_volid=volume)["id"]
        (order,) = self.orders(self.second)
        self.assertEqual((made, COPY), (order.uuid, order.act))
        self.assertEqual([], self.orders(self.first))
        self.call("DELETE", f"{V3}/snapshots/{snapshot['id']}")
        self.assertIn((snapshot["id"], DESTROY), [(item.uuid, item.act) for item in self.orders(self.second)])

    def test_a_host_that_is_forgotten_leaves_what_is_shared_to_the_others(self) -> None:
        volume, held = self.make()["id"], self.make()["id"]
        self.moved(volume, self.first)
        self.take({"id": volume})
        workload, _ = self.mount(held, self.first)

        def forget(host: str) -> testing.Result:
            version = {"OpenStack-API-Version": "container 1.40"}
            params = {"host": host, "binary": "zun-compute"}
            return self.call("DELETE", "/v1/services", user="admin", params=params, headers=version)

        refused = forget("host1")
        self.assertEqual(409, refused.status_code, refused.text)
        self.assertIn("1 volumes", refused.text)
        self.volumes.release(workload)
        self.assertEqual(200, forget("host1").status_code)
        for uuid in (volume, held):
            shown = self.shown(uuid, user="admin")
            self.assertEqual(("available", "host2@local#local"), (shown["status"], shown["os-vol-host-attr:host"]))
        self.assertEqual([TAKE], [order.act for order in self.orders(self.second)])
        refused = forget("host2")
        self.assertEqual(409, refused.status_code, "nobody is left who sees it")
