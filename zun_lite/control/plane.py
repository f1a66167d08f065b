# SPDX-License-Identifier: Apache-2.0
"""What a host should do for tenants' networks, out of SQL as of one moment.

A host has a part in a network when one of its ports, a container's or a router's, is bound to it. It is
told all ports of such a network, wherever they are, and the rules of the groups of its own.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa

from zun_lite.control.means import Means
from zun_lite.db import (
    floating_ips,
    hosts,
    networks,
    planes,
    ports,
    qos,
    routers,
    security_group_rules,
    subnet_pools,
    subnets,
    workloads,
)
from zun_lite.db.hosts import Host
from zun_lite.db.networks import Network
from zun_lite.db.ports import Port
from zun_lite.db.routers import GATEWAY_OWNER, INTERFACE_OWNER, Router
from zun_lite.db.subnets import Subnet
from zun_lite.domain.plane import (
    AddressPair,
    ExternalState,
    FloatingState,
    GatewayState,
    GroupState,
    HostPlane,
    InterfaceState,
    NetworkState,
    PortState,
    RouterState,
    SubnetState,
)
from zun_lite.network import groups


def revision(means: Means, host: Host) -> int:
    """Another number whenever the host's plane may be another."""
    with means.db.read() as tx:
        return planes.revision(tx, host.uuid)


def host_plane(means: Means, host: Host) -> HostPlane:
    """All that the host should do for networks."""
    with means.db.read() as tx:
        return _read(tx, host)


@dataclass(frozen=True)
class _Around:
    """What a plane is made of. names: of each workload, what DNS finds it by; vteps: by host; limits: by policy."""

    host: Host
    subnets: dict[str, list[Subnet]]
    names: dict[str, tuple[str, ...]]
    vteps: dict[str, str]
    limits: dict[str, list[qos.Limit]]

    @property
    def vtep(self) -> str | None:
        return self.vteps.get(self.host.uuid)


def _read(tx: sa.Connection, host: Host) -> HostPlane:
    number = planes.revision(tx, host.uuid)
    here = ports.page(tx, [ports.ports.c.host == host.uuid])
    inner = sorted({port.network_uuid for port in here if port.device_owner != GATEWAY_OWNER})
    outer = sorted({port.network_uuid for port in here if port.device_owner == GATEWAY_OWNER})
    found = networks.page(tx, [networks.networks.c.uuid.in_([*inner, *outer])])
    known = {network.uuid: network for network in found}
    members = ports.page(tx, [ports.ports.c.network_uuid.in_(inner)]) if inner else []
    around = _Around(
        host,
        _subnets(tx, known),
        workloads.names_of(tx, _workloads(members)),
        _vteps(tx),
        _limits(tx, here, found),
    )
    placed = tuple(_routers(tx, host, known, around))
    behind = _behind(tx, placed, around) if outer else {}
    return HostPlane(
        revision=number,
        vtep=around.vtep,
        networks=tuple(_network(known[uuid], members, around) for uuid in inner),
        groups=tuple(_groups(tx, here, members)),
        routers=placed,
        externals=tuple(_external(host, known[uuid], around, behind.get(uuid, {})) for uuid in outer),
    )


def _workloads(members: Iterable[Port]) -> list[str]:
    return sorted({port.workload_uuid for port in members if port.workload_uuid is not None})


def _subnets(tx: sa.Connection, known: Iterable[str]) -> dict[str, list[Subnet]]:
    found: dict[str, list[Subnet]] = {uuid: [] for uuid in known}
    for subnet in subnets.page(tx, [subnets.subnets.c.network_uuid.in_(list(found))]) if found else ():
        found[subnet.network_uuid].append(subnet)
    return found


def _vteps(tx: sa.Connection) -> dict[str, str]:
    return {
        host.uuid: host.inventory.underlay_address
        for host in hosts.every(tx)
        if host.inventory is not None and host.inventory.underlay_address is not None
    }


def _limits(tx: sa.Connection, here: Iterable[Port], found: Iterable[Network]) -> dict[str, list[qos.Limit]]:
    """Of the policies that ports of this host may have."""
    named = {port.qos_policy for port in here} | {network.qos_policy for network in found}
    return qos.limits_of(tx, sorted(policy for policy in named if policy is not None))


def _network(network: Network, members: Sequence[Port], around: _Around) -> NetworkState:
    return NetworkState(
        network_id=network.uuid,
        vni=network.vni,
        mtu=network.mtu,
        subnets=tuple(
            SubnetState(subnet.cidr, subnet.gateway_ip, subnet.dns) for subnet in around.subnets[network.uuid]
        ),
        ports=tuple(_port(port, network, around) for port in members if port.network_uuid == network.uuid),
    )


def _port(port: Port, network: Network, around: _Around) -> PortState:
    state = PortState(
        port_id=port.uuid,
        mac=port.mac,
        addresses=tuple(address.ip for address in port.addresses),
        local=port.host == around.host.uuid,
        vtep=around.vteps.get(port.host) if port.host is not None else None,
        groups=port.security_groups,
        port_security=port.port_security,
        allowed_address_pairs=tuple(AddressPair(address, mac) for address, mac in port.address_pairs),
        names=around.names.get(port.workload_uuid or "", ()),
    )
    if state.local:
        state = _limited(state, port, network, around)
    if port.admin_state_up and network.admin_state_up:
        return state
    # switched off: held to its addresses, and no group lets anything through
    return replace(state, groups=(), port_security=True, allowed_address_pairs=())


def _limited(state: PortState, port: Port, network: Network, around: _Around) -> PortState:
    """By the port's own policy, else by its network's, which routers' legs and the like are not held to."""
    policy = port.qos_policy
    if policy is None and not port.device_owner.startswith("network:"):
        policy = network.qos_policy
    for limit in around.limits.get(policy or "", ()):
        burst = limit.max_burst_kbps or None
        if limit.direction == qos.INGRESS:
            state = replace(state, kbps_in=limit.max_kbps, burst_kbit_in=burst)
        else:
            state = replace(state, kbps_out=limit.max_kbps, burst_kbit_out=burst)
    return state


def _groups(tx: sa.Connection, here: Sequence[Port], members: Sequence[Port]) -> Iterable[GroupState]:
    """The groups of the host's own ports with their rules, and those that these rules name."""
    own = sorted({group for port in here for group in port.security_groups})
    rules = security_group_rules.of_groups(tx, own)
    compiled = {uuid: tuple(groups.compiled(rule) for rule in rules.get(uuid, ())) for uuid in own}
    named = {rule.remote_group for every in compiled.values() for rule in every if rule.remote_group is not None}
    elsewhere = ports.addresses_in_groups(tx, sorted(named), without={port.network_uuid for port in members})
    for uuid in sorted({*own, *named}):
        yield GroupState(uuid, compiled.get(uuid, ()), tuple(elsewhere.get(uuid, ())))


def _routers(tx: sa.Connection, host: Host, known: dict[str, Network], around: _Around) -> Iterable[RouterState]:
    placed = [router for router in routers.page(tx, [routers.routers.c.host == host.uuid]) if router.admin_state_up]
    floating: dict[str, list[FloatingState]] = {}
    for item in floating_ips.of_routers(tx, [router.uuid for router in placed]):
        if item.router_uuid is not None and item.fixed_ip is not None:
            state = FloatingState(item.address, item.fixed_ip, item.fixed_port)
            floating.setdefault(item.router_uuid, []).append(state)
    for router in placed:
        legs = [
            leg
            for leg in ports.of_device(tx, router.uuid, INTERFACE_OWNER, GATEWAY_OWNER)
            # one that was added while this was read comes with the next plane
            if leg.network_uuid in known
        ]
        yield RouterState(
            router_id=router.uuid,
            interfaces=tuple(
                InterfaceState(leg.uuid, leg.network_uuid, leg.mac, _with_lengths(leg, around))
                for leg in legs
                if leg.device_owner == INTERFACE_OWNER
            ),
            gateway=_gateway(router, legs, around),
            routes=router.routes,
            floating=tuple(floating.get(router.uuid, ())),
        )


def _gateway(router: Router, legs: Iterable[Port], around: _Around) -> GatewayState | None:
    for leg in legs:
        if leg.device_owner == GATEWAY_OWNER:
            used = {address.subnet_uuid for address in leg.addresses}
            gateways = [item.gateway_ip for item in around.subnets[leg.network_uuid] if item.uuid in used]
            return GatewayState(
                port_id=leg.uuid,
                network_id=leg.network_uuid,
                mac=leg.mac,
                addresses=_with_lengths(leg, around),
                nexthops=tuple(gateway for gateway in gateways if gateway is not None),
                snat=router.enable_snat,
            )
    return None


def _behind(tx: sa.Connection, placed: Iterable[RouterState], around: _Around) -> dict[str, dict[str, str]]:
    """The IPv6 prefixes behind these routers that are led to from outside, and by what address; by external network.

    Only those of shared pools: an administrator made such a pool, and nothing of it is given out twice. What
    users choose as they like would lead away what is another's. And only by the router that has the subnet's
    gateway address: another's leg in a shared network would lead away what is not behind it.
    """
    pools = {pool.uuid for pool in subnet_pools.page(tx, [subnet_pools.subnet_pools.c.shared])}
    found: dict[str, dict[str, str]] = {}
    for router in placed:
        six = [address for address in router.gateway.addresses if ":" in address] if router.gateway else []
        if router.gateway is None or not six:
            continue
        nexthop = six[0].partition("/")[0]
        for leg in router.interfaces:
            near = {str(ipaddress.ip_interface(address).network) for address in leg.addresses}
            held = {address.partition("/")[0] for address in leg.addresses}
            for subnet in around.subnets[leg.network_id]:
                is_of_pool = subnet.ip_version == 6 and subnet.subnet_pool in pools
                if is_of_pool and subnet.cidr in near and subnet.gateway_ip in held:
                    found.setdefault(router.gateway.network_id, {}).setdefault(subnet.cidr, nexthop)
    return found


def _external(host: Host, network: Network, around: _Around, behind: dict[str, str]) -> ExternalState:
    bridge = host.inventory.external_bridge if host.inventory is not None else None
    gateways = [
        f"{subnet.gateway_ip}/{ipaddress.ip_network(subnet.cidr).prefixlen}"
        for subnet in around.subnets[network.uuid]
        if subnet.gateway_ip is not None
    ]
    return ExternalState(network.uuid, tuple(gateways), bridge, tuple(behind.items()))


def _with_lengths(leg: Port, around: _Around) -> tuple[str, ...]:
    lengths = {subnet.uuid: subnet.network.prefixlen for subnet in around.subnets[leg.network_uuid]}
    return tuple(f"{address.ip}/{lengths[address.subnet_uuid]}" for address in leg.addresses)
