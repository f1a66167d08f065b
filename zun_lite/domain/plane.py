# SPDX-License-Identifier: Apache-2.0
"""What one host should do for tenants' networks, whole: a level to reach, never a list of changes.

Made by the control plane for each host, handed on by its agent, kept and made so by netd. A key that
a reader does not know is passed over and one that is missing has its default, so that hosts and the
control plane may be of different versions. Knows nothing of how a kernel is told.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from zun_lite.domain.stored import known, read

# Where a container of any tenant network asks for names; on the network's own bridge, on every host.
DNS_ADDRESS, DNS_ADDRESS_V6 = "169.254.169.253", "fd00:ec2::253"


@dataclass(frozen=True)
class Rule:
    """What one rule of a security group lets through.

    direction: ingress or egress, as the port sees it. ethertype: IPv4 or IPv6. protocol: a number from
    0 to 255, None for all. port_min, port_max: ports, or for ICMP the type and the code; None for all.
    remote_prefix, remote_group: who the other side may be, at most one of them; neither is everybody.
    """

    direction: str
    ethertype: str = "IPv4"
    protocol: int | None = None
    port_min: int | None = None
    port_max: int | None = None
    remote_prefix: str | None = None
    remote_group: str | None = None

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> Rule:
        return read(cls, body)


@dataclass(frozen=True)
class GroupState:
    """A security group. members: addresses of its ports on networks that the plane does not list."""

    group_id: str
    rules: tuple[Rule, ...] = ()
    members: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> GroupState:
        found = known(cls, body)
        found["rules"] = tuple(Rule.from_json(item) for item in body.get("rules", ()))
        found["members"] = tuple(body.get("members", ()))
        return cls(**found)


@dataclass(frozen=True)
class AddressPair:
    """Another address, or prefix, that a port may send from; mac None is the port's own."""

    address: str
    mac: str | None = None

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> AddressPair:
        return read(cls, body)


@dataclass(frozen=True)
class PortState:
    """One port of a network, wherever it is.

    addresses: without prefix lengths. local: it is on the host that the plane is for. vtep: the
    underlay address of the host that it is on, None where that is not known yet. kbps_in, kbps_out:
    limits of what the port receives and sends, in kbit/s; burst_kbit_in, burst_kbit_out: how much may come at
    once before they hold, None leaves that to netd. names: what DNS finds it by.
    """

    port_id: str
    mac: str
    addresses: tuple[str, ...] = ()
    local: bool = False
    vtep: str | None = None
    groups: tuple[str, ...] = ()
    port_security: bool = True
    allowed_address_pairs: tuple[AddressPair, ...] = ()
    kbps_in: int | None = None
    kbps_out: int | None = None
    burst_kbit_in: int | None = None
    burst_kbit_out: int | None = None
    names: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> PortState:
        found = known(cls, body)
        for name in ("addresses", "groups", "names"):
            found[name] = tuple(body.get(name, ()))
        found["allowed_address_pairs"] = tuple(
            AddressPair.from_json(item) for item in body.get("allowed_address_pairs", ())
        )
        return cls(**found)


@dataclass(frozen=True)
class SubnetState:
    cidr: str
    gateway: str | None = None
    dns: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> SubnetState:
        return cls(**{**known(cls, body), "dns": tuple(body.get("dns", ()))})


@dataclass(frozen=True)
class NetworkState:
    """A network that this host has to do with, and all of its ports. vni: unique in the cloud. mtu: bytes."""

    network_id: str
    vni: int
    mtu: int = 1450
    subnets: tuple[SubnetState, ...] = ()
    ports: tuple[PortState, ...] = ()

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> NetworkState:
        found = known(cls, body)
        found["subnets"] = tuple(SubnetState.from_json(item) for item in body.get("subnets", ()))
        found["ports"] = tuple(PortState.from_json(item) for item in body.get("ports", ()))
        return cls(**found)


@dataclass(frozen=True)
class InterfaceState:
    """A router's port on a network; addresses with their prefix lengths, such as 10.0.0.1/24."""

    port_id: str
    network_id: str
    mac: str
    addresses: tuple[str, ...]

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> InterfaceState:
        return cls(**{**known(cls, body), "addresses": tuple(body.get("addresses", ()))})


@dataclass(frozen=True)
class GatewayState:
    """A router's way out. network_id: an external network. nexthops: one a family, the external subnets' gateways.

    snat: whether what has no floating IP leaves with the router's own address.
    """

    port_id: str
    network_id: str
    mac: str
    addresses: tuple[str, ...]
    nexthops: tuple[str, ...] = ()
    snat: bool = True

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> GatewayState:
        found = known(cls, body)
        for name in ("addresses", "nexthops"):
            found[name] = tuple(body.get(name, ()))
        return cls(**found)


@dataclass(frozen=True)
class FloatingState:
    """An address of an external network that leads to a port's address; both IPv4."""

    floating_ip: str
    fixed_ip: str
    port_id: str | None = None

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> FloatingState:
        return read(cls, body)


@dataclass(frozen=True)
class RouterState:
    """A router that this host is to run. routes: pairs of destination and nexthop."""

    router_id: str
    interfaces: tuple[InterfaceState, ...] = ()
    gateway: GatewayState | None = None
    routes: tuple[tuple[str, str], ...] = ()
    floating: tuple[FloatingState, ...] = ()

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> RouterState:
        found = known(cls, body)
        found["interfaces"] = tuple(InterfaceState.from_json(item) for item in body.get("interfaces", ()))
        gateway = body.get("gateway")
        found["gateway"] = GatewayState.from_json(gateway) if gateway else None
        found["routes"] = tuple((destination, nexthop) for destination, nexthop in body.get("routes", ()))
        found["floating"] = tuple(FloatingState.from_json(item) for item in body.get("floating", ()))
        return cls(**found)


@dataclass(frozen=True)
class ExternalState:
    """A network outside, as this host reaches it.

    bridge: a bridge of the machine that is on it; None: netd makes one, whose addresses (with prefix
    lengths) are the network's gateways, and lets it out by the host's default route. routes: pairs of an IPv6
    prefix behind a router of this host, to which the way in is known, and the router's address.
    """

    network_id: str
    addresses: tuple[str, ...] = ()
    bridge: str | None = None
    routes: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> ExternalState:
        routes = tuple((prefix, nexthop) for prefix, nexthop in body.get("routes", ()))
        return cls(**{**known(cls, body), "addresses": tuple(body.get("addresses", ())), "routes": routes})


@dataclass(frozen=True)
class HostPlane:
    """All of it. vtep: this host's own underlay address; None: the host is alone and makes no tunnels."""

    revision: int
    vtep: str | None = None
    networks: tuple[NetworkState, ...] = ()
    groups: tuple[GroupState, ...] = ()
    routers: tuple[RouterState, ...] = ()
    externals: tuple[ExternalState, ...] = ()

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> HostPlane:
        found = known(cls, body)
        found["networks"] = tuple(NetworkState.from_json(item) for item in body.get("networks", ()))
        found["groups"] = tuple(GroupState.from_json(item) for item in body.get("groups", ()))
        found["routers"] = tuple(RouterState.from_json(item) for item in body.get("routers", ()))
        found["externals"] = tuple(ExternalState.from_json(item) for item in body.get("externals", ()))
        return cls(**found)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def interfaces_on(self, network_id: str) -> Iterator[InterfaceState]:
        """The ports that this host's routers have on a network."""
        for router in self.routers:
            for interface in router.interfaces:
                if interface.network_id == network_id:
                    yield interface
