# SPDX-License-Identifier: Apache-2.0
"""Planes for tests: what a host is to do for the containers that a test has, in few words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tests.system.netd.host import Container, NetdTestCase, new_id
from zun_lite.domain.plane import GroupState, HostPlane, NetworkState, PortState, Rule, SubnetState
from zun_lite.domain.wiring import Address, Endpoint
from zun_lite.netd import names

EVERYTHING = tuple(Rule(direction, ethertype) for direction in ("ingress", "egress") for ethertype in ("IPv4", "IPv6"))
OUTWARD = tuple(rule for rule in EVERYTHING if rule.direction == "egress")


def member(network_id: str, last: int, v4: str = "10.1.0", v6: str = "fd00:1::", **fields: Any) -> Endpoint:
    """An endpoint with an address of each family that ends in the number."""
    known: dict[str, Any] = {
        "port_id": new_id(),
        "network_id": network_id,
        "vni": 1001,
        "mac": f"fa:16:3e:00:{int(network_id[:2], 16):02x}:{last:02x}",
        "mtu": 1450,
        "addresses": (
            Address(f"{v4}.{last}", 24, new_id(), f"{v4}.1"),
            Address(f"{v6}{last:x}", 64, new_id(), f"{v6}1"),
        ),
        "default_route": True,
    }
    return Endpoint(**{**known, **fields})


def port(endpoint: Endpoint, *groups: str, **fields: Any) -> PortState:
    """What the plane says of an endpoint that is on its host."""
    known: dict[str, Any] = {"local": True, "groups": groups}
    addresses = tuple(address.ip for address in endpoint.addresses)
    return PortState(endpoint.port_id, endpoint.mac, addresses, **{**known, **fields})


def network(network_id: str, ports: Iterable[PortState], vni: int = 1001, **fields: Any) -> NetworkState:
    known: dict[str, Any] = {"subnets": (SubnetState("10.1.0.0/24", "10.1.0.1"), SubnetState("fd00:1::/64"))}
    return NetworkState(network_id, vni, ports=tuple(ports), **{**known, **fields})


class PlaneTestCase(NetdTestCase):
    """A netd, and a plane that grows: self.groups, self.networks; give() hands it over."""

    def setUp(self) -> None:
        super().setUp()
        self.revision = 0
        self.groups: dict[str, GroupState] = {}
        self.networks: dict[str, NetworkState] = {}

    def group(self, *rules: Rule) -> str:
        group = GroupState(new_id(), rules)
        self.groups[group.group_id] = group
        return group.group_id

    def give(self, **fields: Any) -> None:
        """Hand the plane over; nothing in it may be a problem."""
        self.revision += 1
        plane = HostPlane(
            self.revision, networks=tuple(self.networks.values()), groups=tuple(self.groups.values()), **fields
        )
        self.assertEqual({"revision": self.revision, "problems": []}, self.netd.plane(plane))

    def joined(self, *endpoints: Endpoint) -> Container:
        """A container with a record, wired."""
        container = self.container()
        self.netd.plug(container.container_id, new_id(), 1, list(endpoints), [])
        self.netd.ask("wire", container_id=container.container_id, pid=container.pid)
        return container

    def namespace(self, network_id: str) -> str:
        return names.namespace(self.host.cluster, network_id)
