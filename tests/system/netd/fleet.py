# SPDX-License-Identifier: Apache-2.0
"""Several machines on one: each a network namespace with its own netd, joined by a bridge that plays the wire."""

from __future__ import annotations

import subprocess
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import testtools

from tests.system.netd.host import Container, NetdHost, new_id
from tests.system.netd.planes import port
from zun_lite.domain.plane import GroupState, HostPlane, NetworkState, PortState, SubnetState
from zun_lite.domain.wiring import Endpoint


@dataclass
class Machine:
    name: str
    vtep: str
    host: NetdHost
    ends: list[Endpoint] = field(default_factory=list)


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


def make_machine(name: str) -> None:
    ip("netns", "add", name)
    ip("-n", name, "link", "set", "lo", "up")


class FleetTestCase(testtools.TestCase):
    """self.machines, a shared wire, and a plane for each made of who is where."""

    size = 2

    def setUp(self) -> None:
        super().setUp()
        self.tag = uuid.uuid4().hex[:6]
        self.wire = f"zw{self.tag}"
        self.addCleanup(subprocess.run, ["ip", "netns", "del", self.wire], capture_output=True)
        make_machine(self.wire)
        ip("-n", self.wire, "link", "add", "ul0", "type", "bridge")
        ip("-n", self.wire, "link", "set", "ul0", "up")
        self.machines = [self.machine(number) for number in range(1, self.size + 1)]
        with ThreadPoolExecutor(self.size) as pool:
            list(pool.map(lambda machine: machine.host.start(), self.machines))
        self.networks: dict[str, tuple[int, list[tuple[Machine, PortState]]]] = {}
        self.groups: dict[str, GroupState] = {}
        self.revision = 0

    def machine(self, number: int) -> Machine:
        name, vtep = f"zm{self.tag}{number}", f"192.168.77.{number}"
        self.addCleanup(subprocess.run, ["ip", "netns", "del", name], capture_output=True)
        make_machine(name)
        ip("-n", self.wire, "link", "add", f"p{number}", "type", "veth", "peer", "name", "up0", "netns", name)
        ip("-n", self.wire, "link", "set", f"p{number}", "master", "ul0", "up")
        ip("-n", name, "addr", "add", f"{vtep}/24", "dev", "up0")
        ip("-n", name, "link", "set", "up0", "up")
        host = NetdHost(name)
        self.addCleanup(host.clean)
        return Machine(name, vtep, host)

    def network(self, vni: int) -> str:
        network_id = new_id()
        self.networks[network_id] = (vni, [])
        return network_id

    def joined(self, machine: Machine, end: Endpoint, *groups: str, **fields) -> Container:
        """A container on a machine, and its port in the planes to come."""
        container = Container()
        self.addCleanup(container.end)
        machine.host.client.plug(container.container_id, new_id(), 1, [end], [])
        machine.host.client.ask("wire", container_id=container.container_id, pid=container.pid)
        self.networks[end.network_id][1].append((machine, port(end, *groups, **fields)))
        return container

    def plane(self, machine: Machine, **fields) -> HostPlane:
        """What a machine is to be told."""
        networks = []
        for network_id, (vni, ports) in self.networks.items():
            states = [
                PortState(**{**vars(state), "local": place is machine, "vtep": place.vtep}) for place, state in ports
            ]
            subnets = (SubnetState("10.1.0.0/24", "10.1.0.1"), SubnetState("fd00:1::/64"))
            networks.append(NetworkState(network_id, vni, 1450, subnets, tuple(states)))
        self.revision += 1
        return HostPlane(self.revision, machine.vtep, tuple(networks), tuple(self.groups.values()), **fields)

    def give(self, **fields) -> None:
        """Tell every machine."""
        for machine in self.machines:
            self.assertEqual([], machine.host.client.plane(self.plane(machine, **fields))["problems"])
