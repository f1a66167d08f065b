# SPDX-License-Identifier: Apache-2.0
"""What the functional tests share: one cloud and one set of stock clients a class, and the kernel's view.

Needs root. A test makes what it needs under names of its own, so that the tests of a class do not mind
each other and the cloud is taken back as a whole.
"""

from __future__ import annotations

import json
import os
import subprocess
import unittest
from typing import Any

from tests.clients.runner import Clients
from tests.cloud import Cloud

# As process 1 it would not hear SIGTERM without a handler, and every stop would take ten seconds.
PATIENT = ["sh", "-c", "trap 'exit 0' TERM; echo hello; while :; do sleep 1000 & wait; done"]


class CloudTestCase(unittest.TestCase):
    """A whole zun_lite as cls.cloud."""

    settings: dict[str, dict[str, str]] = {}
    crash_points = False
    live_restore = False
    cloud: Cloud

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        if os.geteuid() != 0:
            raise AssertionError("these tests need root")
        cls.cloud = cls.make_cloud()
        cls.cloud.engine.live_restore = cls.live_restore
        cls.addClassCleanup(cls.cloud.stop)
        cls.cloud.start()

    @classmethod
    def make_cloud(cls) -> Cloud:
        return Cloud(settings=cls.settings, crash_points=cls.crash_points)

    @classmethod
    def tearDownClass(cls) -> None:
        """After all that the tests did, records, Docker and the kernel agree."""
        super().tearDownClass()
        found = cls.cloud.audit()
        if found:
            raise AssertionError(f"zun-lite-audit finds {found}\n{cls.cloud.logs()}")

    def running(self, name: str, *, cloud: str = "demo", **fields: Any) -> dict[str, Any]:
        """The record of a container once it runs; deleted, with what it holds, at the end of the test."""
        uuid = self.cloud.run_container(name, cloud=cloud, **{"command": PATIENT, **fields})
        self.addCleanup(self.delete, uuid)
        record = self.cloud.wait_status(uuid, "Running", "Error", cloud=cloud)
        self.assertEqual("Running", record["status"], record["status_reason"])
        return record

    def delete(self, uuid: str) -> None:
        """Gone when it returns; fine to say twice."""
        self.cloud.call("DELETE", f"/v1/containers/{uuid}?force=true", cloud="admin")
        self.cloud.wait_gone(uuid, cloud="admin")

    def execute(self, uuid: str, command: str, *, cloud: str = "demo") -> tuple[int, str]:
        """Exit code and output of a command in a container."""
        answer = self.cloud.ask("POST", f"/v1/containers/{uuid}/execute", {"command": command}, cloud=cloud)
        return answer["exit_code"], answer["output"]

    def one_in_docker(self, uuid: str) -> dict[str, Any]:
        """Docker's record of the one container that stands for this workload."""
        found = self.cloud.in_docker(uuid)
        self.assertEqual(1, len(found), f"{uuid} stands for {len(found)} containers in Docker")
        return found[0]

    def in_network_namespace(self, uuid: str, *command: str) -> str:
        """What a program of the machine's prints in the container's network namespace."""
        pid = self.one_in_docker(uuid)["State"]["Pid"]
        done = subprocess.run(
            ["nsenter", f"--net=/proc/{pid}/ns/net", *command], capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout

    def reaches(self, uuid: str, address: str) -> bool:
        """Whether a ping from the container's namespace is answered; containers themselves may not send raw packets."""
        pid = self.one_in_docker(uuid)["State"]["Pid"]
        command = ["nsenter", f"--net=/proc/{pid}/ns/net", "busybox", "ping", "-c", "1", "-W", "1", address]
        return subprocess.run(command, capture_output=True, timeout=30).returncode == 0

    def links(self, uuid: str) -> dict[str, dict[str, Any]]:
        """The kernel's links in the container's namespace, by name, without the loopback."""
        found = json.loads(self.in_network_namespace(uuid, "ip", "-json", "address", "show"))
        return {link["ifname"]: link for link in found if link["ifname"] != "lo"}

    def ports_of(self, uuid: str, *, cloud: str = "demo") -> list[dict[str, Any]]:
        return self.cloud.ask("GET", f"/network/v2.0/ports?device_id={uuid}", cloud=cloud)["ports"]

    def volume(self, volume_id: str) -> dict[str, Any]:
        return self.cloud.ask("GET", f"/volume/v3/volumes/{volume_id}")["volume"]


class ClientsTestCase(CloudTestCase):
    """Also the stock clients, as cls.clients."""

    clients: Clients

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.clients = Clients(cls.cloud.environment)
        cls.addClassCleanup(cls.clients.stop)
        cls.clients.start()

    def shown(self, *words: str, cloud: str = "demo") -> Any:
        """What an `openstack` command tells, read from its JSON."""
        return self.clients.openstack(*words, "-f", "json", cloud=cloud).json()

    def status_of(self, path: str, *, cloud: str = "demo") -> int:
        return self.cloud.call("GET", path, cloud=cloud).status_code
