# SPDX-License-Identifier: Apache-2.0
"""What tests on a fleet share: one fleet a module, and containers as places from which packets are sent."""

from __future__ import annotations

import os
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tests.fleet import Fleet, Host
from tests.functional.case import PATIENT
from zun_lite.netd import names


@dataclass(frozen=True)
class Place:
    """A running container: a process in its network namespace, and its first port."""

    name: str
    uuid: str
    host: Host
    pid: int
    port_id: str
    mac: str
    v4: str
    v6: str

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A program of the machine's in the container's network namespace."""
        command = ("nsenter", f"--net=/proc/{self.pid}/ns/net", *command)
        return subprocess.run(command, capture_output=True, text=True, timeout=30)

    def can_ping(self, address: str) -> bool:
        return self.run("busybox", "ping", "-c", "1", "-W", "1", address).returncode == 0


class FleetTestCase(unittest.TestCase):
    """A fleet as cls.fleet, which the classes of a module with the same settings share."""

    settings: dict[str, dict[str, str]] = {}
    size = 3
    fleet: Fleet

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        if os.geteuid() != 0:
            raise AssertionError("these tests need root")
        fleets = vars(sys.modules[cls.__module__]).setdefault("_fleets", {})
        kind = (cls.size, str(cls.settings))
        if kind not in fleets:
            fleets[kind] = Fleet(cls.size, settings=cls.settings)
            unittest.addModuleCleanup(fleets[kind].stop)
            fleets[kind].start()
        cls.fleet = fleets[kind]

    @classmethod
    def tearDownClass(cls) -> None:
        """After all that the tests did, records, engines and kernels agree."""
        super().tearDownClass()
        found = cls.fleet.audit()
        if found:
            raise AssertionError(f"zun-lite-audit finds {found}\n{cls.fleet.logs()}")

    @property
    def cluster(self) -> str:
        return self.fleet.name

    @classmethod
    def ask(cls, method: str, path: str, body: Any = None, *, cloud: str = "demo") -> Any:
        """The network API."""
        return cls.fleet.ask(method, f"/network/v2.0/{path}", body, cloud=cloud)

    @classmethod
    def make(cls, kind: str, path: str, *, cloud: str = "demo", **fields: Any) -> Any:
        return cls.ask("POST", path, {kind: fields}, cloud=cloud)[kind]

    @classmethod
    def run_all(cls, wanted: list[dict[str, Any]]) -> list[Place]:
        """Containers by the fields of their creates, with name, cloud and network among them, once all run."""

        def create(fields: dict[str, Any]) -> str:
            rest = {key: value for key, value in fields.items() if key not in ("network", "cloud", "name")}
            nets = {"nets": [{"network": fields["network"]}]} if "network" in fields else {}
            return cls.fleet.run_container(
                fields["name"], cloud=fields.get("cloud", "demo"), **{"command": PATIENT, **nets, **rest}
            )

        with ThreadPoolExecutor(4) as pool:
            uuids = list(pool.map(create, wanted))
        clouds = [fields.get("cloud", "demo") for fields in wanted]
        return [cls.place(uuid, cloud) for uuid, cloud in zip(uuids, clouds, strict=True)]

    def running(self, name: str, *, cloud: str = "demo", **fields: Any) -> Place:
        """One container, which goes at the end of the test."""
        (place,) = self.run_all([{"name": name, "cloud": cloud, **fields}])
        self.addCleanup(self.delete, place.uuid)
        return place

    @classmethod
    def place(cls, uuid: str, cloud: str = "demo") -> Place:
        record = cls.fleet.wait_status(uuid, "Running", "Error", cloud=cloud)
        if record["status"] != "Running":
            raise AssertionError(f"{record['name']} is in Error: {record['status_reason']}\n{cls.fleet.logs()}")
        (found,) = cls.fleet.in_docker(uuid)
        ports = cls.ask("GET", f"ports?device_id={uuid}", cloud=cloud)["ports"]
        port = min(ports, key=lambda item: list(record["addresses"]).index(item["network_id"]))
        addresses = [item["ip_address"] for item in port["fixed_ips"]]
        return Place(
            record["name"],
            uuid,
            cls.fleet.host_of(uuid),
            found["State"]["Pid"],
            port["id"],
            port["mac_address"],
            next((address for address in addresses if ":" not in address), ""),
            next((address for address in addresses if ":" in address), ""),
        )

    @classmethod
    def delete(cls, uuid: str) -> None:
        """Gone when it returns; fine to say twice."""
        cls.fleet.call("DELETE", f"/v1/containers/{uuid}?force=true", cloud="admin")
        cls.fleet.wait_gone(uuid, cloud="admin")

    def behind_tunnel(self, host: Host, network_id: str) -> str:
        """What a host's kernel knows of the network's members elsewhere: forwarding entries and neighbours."""
        where = f"--net=/run/netns/{names.namespace(self.cluster, network_id)}"
        tunnel = names.tunnel(self.cluster, network_id)
        forwarding = host.run("nsenter", where, "bridge", "fdb", "show", "dev", tunnel)
        neighbours = host.run("nsenter", where, "ip", "neighbour", "show", "nud", "permanent")
        return forwarding.stdout + neighbours.stdout
