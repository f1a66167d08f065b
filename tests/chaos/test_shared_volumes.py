# SPDX-License-Identifier: Apache-2.0
"""One directory as the pool of two whole hosts: volumes go from one to the other, and to one at a time."""

from __future__ import annotations

import shutil
import tempfile
from typing import Any

from tests.system.fleet_case import FleetTestCase, Place

V3 = "/volume/v3"
LATEST = "volume 3.50"


class SharedVolumesTest(FleetTestCase):
    size = 2

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.mkdtemp(prefix="zl-shared-pool-")
        cls.addClassCleanup(shutil.rmtree, folder, ignore_errors=True)
        cls.settings = {"volume": {"pool_dir": folder}, "agent": {"pool_shared": "true"}}
        super().setUpClass()
        cls.network = cls.fleet.make_dual_network()

    def volumes(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        return self.fleet.ask(method, f"{V3}/{path}", body, version=LATEST, **more)

    def made(self, kind: str, **fields: Any) -> str:
        """The id of a volume or snapshot once it is available."""
        uuid = self.volumes("POST", f"{kind}s", {kind: fields})[kind]["id"]
        self.fleet.wait(
            lambda: self.volumes("GET", f"{kind}s/{uuid}")[kind]["status"] == "available",
            lambda: f"it is available: {self.volumes('GET', f'{kind}s/{uuid}')}\n{self.fleet.logs()}",
        )
        return uuid

    def holder(self, host: str, volume: str) -> Place:
        mounts = [{"source": volume, "destination": "/data"}]
        return self.running(f"on-{host}", network=self.network, host=host, mounts=mounts)

    def shell(self, place: Place, command: str) -> str:
        body = {"command": f"sh -c '{command}'"}
        answer = self.fleet.ask("POST", f"/v1/containers/{place.uuid}/execute", body)
        self.assertEqual(0, answer["exit_code"], answer["output"])
        return answer["output"].strip()

    def state(self, host: str) -> str:
        services = self.volumes("GET", "os-services", cloud="admin")["services"]
        return next(item["state"] for item in services if item["host"].startswith(f"{host}@"))

    def test_a_volume_goes_to_and_fro_with_all_that_was_written(self) -> None:
        volume = self.made("volume", size=1)
        for number in range(6):
            host = f"h{number % 2 + 1}"
            place = self.holder(host, volume)
            self.assertEqual(host, place.host.name)
            self.assertEqual(
                str(number), self.shell(place, f"echo {host} >/data/{number}; ls /data | grep -vc {number}$ || :")
            )
            shown = self.volumes("GET", f"volumes/{volume}", cloud="admin")["volume"]
            self.assertEqual(f"{host}@local#local", shown["os-vol-host-attr:host"])
            other = {"h1": "h2", "h2": "h1"}[host]
            refused = self.fleet.call(
                "POST",
                "/v1/containers?run=true",
                self.fleet.container_body(
                    "second",
                    host=other,
                    nets=[{"network": self.network}],
                    mounts=[{"source": volume, "destination": "/data"}],
                ),
            )
            self.assertEqual(400, refused.status_code, refused.text)
            self.delete(place.uuid)
        self.volumes("DELETE", f"volumes/{volume}")

    def test_copies_are_used_elsewhere_and_a_lost_hosts_work_is_done_by_the_other(self) -> None:
        volume = self.made("volume", size=1)
        place = self.holder("h1", volume)
        self.shell(place, "echo kept >/data/word; sync")
        snapshot = self.made("snapshot", volume_id=volume, force=True)
        copy = self.made("volume", snapshot_id=snapshot)
        self.assertEqual("kept", self.shell(self.holder("h2", copy), "cat /data/word"))
        self.delete(place.uuid)

        first = self.fleet.hosts[0]
        self.fleet.power_off(first)
        self.fleet.wait(lambda: self.state("h1") == "down", "the host is known to be lost", 90)
        again = self.made("volume", source_volid=volume)
        self.assertEqual("kept", self.shell(self.holder("h2", again), "cat /data/word"))
        self.assertEqual("kept", self.shell(self.holder("h2", volume), "cat /data/word"))
        self.fleet.cut(first, connected=True)
        self.fleet.revive(first)
        self.fleet.wait_ready(self.fleet.hosts)
