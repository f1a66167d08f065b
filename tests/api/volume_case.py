# SPDX-License-Identifier: Apache-2.0
"""What tests of the embedded Cinder share: its clients, and a host that does what it is ordered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from falcon import testing

from tests.api.case import ApiTestCase
from zun_lite.control import reports
from zun_lite.db import volumes
from zun_lite.db.hosts import Host
from zun_lite.domain.desired import Report, VolumeNews, VolumeOrder
from zun_lite.domain.names import new_id
from zun_lite.domain.spec import MountRequest
from zun_lite.volume.embedded import EmbeddedVolumes

V3 = "/volume/v3"


class VolumeApiTestCase(ApiTestCase):
    def call(self, method: str, path: str, body: Any = None, *, at: str = "3.0", **more: Any) -> testing.Result:
        """at: the microversion."""
        headers = {"OpenStack-API-Version": f"volume {at}", **more.pop("headers", {})}
        return super().call(method, path, body, headers=headers, **more)

    def make(self, user: str = "demo", **fields: Any) -> dict[str, Any]:
        answer = self.call("POST", f"{V3}/volumes", {"volume": {"size": 1, **fields}}, user=user)
        self.assertEqual(202, answer.status_code, answer.text)
        return answer.json["volume"]

    def made_here(self, user: str = "demo", **fields: Any) -> dict[str, Any]:
        """A volume that has a file on the host."""
        made = self.make(user, **fields)
        self.attach(made, workload := new_id())
        self.formatted(made["id"])
        EmbeddedVolumes(self.db).release(workload)
        return self.shown(made["id"], user=user)

    def take(self, volume: Mapping[str, Any], user: str = "demo", **fields: Any) -> dict[str, Any]:
        """A snapshot, ordered."""
        body = {"snapshot": {"volume_id": volume["id"], **fields}}
        answer = self.call("POST", f"{V3}/snapshots", body, user=user)
        self.assertEqual(202, answer.status_code, answer.text)
        return answer.json["snapshot"]

    def act(self, volume_id: str, action: str, values: Any = None, **more: Any) -> testing.Result:
        return self.call("POST", f"{V3}/volumes/{volume_id}/action", {action: values}, **more)

    def shown(self, volume_id: str, **more: Any) -> dict[str, Any]:
        return self.get(f"{V3}/volumes/{volume_id}", **more)["volume"]

    def status(self, volume_id: str) -> str:
        return self.shown(volume_id, user="admin")["status"]

    def names(self, query: str = "", collection: str = "volumes", **more: Any) -> list[str]:
        body = self.get(f"{V3}/{collection}/detail{'?' if query else ''}{query}", **more)
        return [item["name"] for item in body[collection]]

    def denied(self, status: int, key: str, answer: testing.Result, *words: str) -> None:
        self.assertEqual(status, answer.status_code, answer.text)
        self.assertEqual(status, answer.json[key]["code"])
        for word in words:
            self.assertIn(word, answer.json[key]["message"])

    # containers and hosts

    def attach(self, volume: Mapping[str, Any], workload: str, position: int = 0, *, read_only: bool = False) -> None:
        """What the controller does for a container of the host."""
        provider = EmbeddedVolumes(self.db)
        project = self.shown(volume["id"], user="admin")["os-vol-tenant-attr:tenant_id"]
        request = MountRequest("/data", volume_id=volume["id"], read_only=read_only)
        provider.provide(workload, project, self.host.uuid, position, request)

    def formatted(self, *volume_ids: str) -> None:
        """The host tells that these got their file systems."""
        self.db.transact(lambda tx: volumes.note_formatted(tx, self.host.uuid, volume_ids))

    def orders(self, host: Host | None = None) -> list[VolumeOrder]:
        return list(reports.desired_set(self.means, host or self.host).volumes)

    def tell(self, *news: VolumeNews, host: Host | None = None, removed: tuple[str, ...] = ()) -> None:
        report = Report("boot1", None, False, (), removed, volumes=news)
        reports.take(self.means, host or self.host, report)

    def host_obeys(self, problem: str | None = None) -> list[VolumeOrder]:
        """The host does all that is ordered now, or fails with it."""
        orders = self.orders()
        doomed = reports.desired_set(self.means, self.host).doomed_volumes
        news = [VolumeNews(order.uuid, order.kind, order.attempt, problem) for order in orders]
        self.tell(*news, removed=() if problem else tuple(doomed))
        return orders
