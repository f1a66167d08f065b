# SPDX-License-Identifier: Apache-2.0
"""A plane with nothing in it that may not reach the kernel: each field is checked before it is used.

What is wrong is left out, and said: one rule, one port, one router. A rule only ever lets something
through, so that leaving one out lets nothing through. Knows no state.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from zun_lite.domain import names
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
    Rule,
    SubnetState,
)
from zun_lite.netd.grouprules import ICMP, ICMPV6, PORT_PROTOCOLS

Item = TypeVar("Item")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_LINK = re.compile(r"[A-Za-z0-9_.-]{1,15}")
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_][A-Za-z0-9_-]{0,62})*\.?")
_MOST_KBPS = 400_000_000
_MOST_BURST_KBIT = 2**31 - 1
_LEAST_MTU, _MOST_MTU = 576, 65535


def checked(plane: HostPlane) -> tuple[HostPlane, list[str]]:
    """The plane without what is wrong, and a sentence for each thing left out."""
    problems: list[str] = []
    networks = _each("network", plane.networks, _network, problems)
    groups = _each("security group", plane.groups, _group, problems)
    routers = _each("router", plane.routers, _router, problems)
    externals = _each("external network", plane.externals, _external, problems)
    vtep = plane.vtep
    if vtep is not None and not _is_address(vtep):
        problems.append(f"vtep {vtep!r} is no IP address; no tunnels are made")
        vtep = None
    revision = plane.revision if isinstance(plane.revision, int) else 0
    return HostPlane(revision, vtep, networks, groups, routers, externals), problems


class _Wrong(Exception):
    """Why something is left out."""


def _each(
    what: str, items: Iterable[Item], check: Callable[[Item, list[str]], Item], problems: list[str]
) -> tuple[Item, ...]:
    kept: list[Item] = []
    seen: set[Any] = set()
    for item in items:
        try:
            good = check(item, problems)
            identity = getattr(good, dataclasses.fields(good)[0].name)  # type: ignore[arg-type]
            if what in _IDENTIFIED and identity in seen:
                raise _Wrong(f"{identity} is there twice")
            seen.add(identity)
            kept.append(good)
        except (_Wrong, TypeError, ValueError, AttributeError) as error:
            problems.append(f"a {what} is left out: {error}")
    return tuple(kept)


_IDENTIFIED = ("network", "security group", "router", "external network", "port")


def _network(network: NetworkState, problems: list[str]) -> NetworkState:
    _need_id(network.network_id)
    _need_number(network.vni, 0, 2**24 - 1, "vni")
    _need_number(network.mtu, _LEAST_MTU, _MOST_MTU, "mtu")
    return dataclasses.replace(
        network,
        subnets=_each("subnet", network.subnets, _subnet, problems),
        ports=_each("port", network.ports, _port, problems),
    )


def _subnet(subnet: SubnetState, _: list[str]) -> SubnetState:
    _need_prefix(subnet.cidr)
    for address in (subnet.gateway, *subnet.dns):
        if address is not None:
            _need_address(address)
    return subnet


def _port(port: PortState, _: list[str]) -> PortState:
    _need_id(port.port_id)
    _need_mac(port.mac)
    for group_id in port.groups:
        _need_id(group_id)
    if port.vtep is not None:
        _need_address(port.vtep)
    for limit in (port.kbps_in, port.kbps_out):
        if limit is not None:
            _need_number(limit, 1, _MOST_KBPS, "a limit in kbit/s")
    for burst in (port.burst_kbit_in, port.burst_kbit_out):
        if burst is not None:
            _need_number(burst, 0, _MOST_BURST_KBIT, "a burst in kbit")
    _need_truth(port.local, "local")
    _need_truth(port.port_security, "port_security")
    return dataclasses.replace(
        port,
        addresses=tuple(_need_address(address) for address in port.addresses),
        allowed_address_pairs=tuple(_pair(pair) for pair in port.allowed_address_pairs),
        names=tuple(name.rstrip(".").lower() for name in port.names if _NAME.fullmatch(name) and len(name) < 254),
    )


def _pair(pair: AddressPair) -> AddressPair:
    if pair.mac is not None:
        _need_mac(pair.mac)
    return dataclasses.replace(pair, address=_need_prefix(pair.address))


def _group(group: GroupState, problems: list[str]) -> GroupState:
    _need_id(group.group_id)
    return dataclasses.replace(
        group,
        rules=_each(f"rule of group {group.group_id}", group.rules, _rule, problems),
        members=tuple(_need_prefix(member) for member in group.members),
    )


def _rule(rule: Rule, _: list[str]) -> Rule:
    _need(rule.direction in ("ingress", "egress"), f"{rule.direction!r} is no direction")
    _need(rule.ethertype in ("IPv4", "IPv6"), f"{rule.ethertype!r} is neither IPv4 nor IPv6")
    version = 4 if rule.ethertype == "IPv4" else 6
    if rule.remote_group is not None:
        _need_id(rule.remote_group)
    if rule.remote_prefix is not None:
        network = ipaddress.ip_network(_need_plain(rule.remote_prefix), strict=False)
        _need(network.version == version, f"{rule.remote_prefix} is not {rule.ethertype}")
        rule = dataclasses.replace(rule, remote_prefix=str(network))
    if rule.protocol is None:
        _need(rule.port_min is None and rule.port_max is None, "ports want a protocol")
        return rule
    _need_number(rule.protocol, 0, 255, "protocol")
    bounds = (rule.port_min, rule.port_max)
    if rule.protocol in (ICMP, ICMPV6):
        _need(rule.port_max is None or rule.port_min is not None, "an ICMP code wants a type")
        _need(all(bound is None or _is_number(bound, 0, 255) for bound in bounds), "an ICMP type is 0 to 255")
    elif rule.protocol in PORT_PROTOCOLS:
        _need(all(bound is None or _is_number(bound, 0, 65535) for bound in bounds), "a port is 0 to 65535")
        low, high = rule.port_min or 0, 65535 if rule.port_max is None else rule.port_max
        _need(low <= high, f"ports from {low} to {high} are none")
    else:
        _need(bounds == (None, None), f"protocol {rule.protocol} has no ports")
    return rule


def _router(router: RouterState, _: list[str]) -> RouterState:
    _need_id(router.router_id)
    for interface in router.interfaces:
        _interface(interface)
    if router.gateway is not None:
        _gateway(router.gateway)
    for destination, nexthop in router.routes:
        version = ipaddress.ip_network(_need_plain(destination), strict=False).version
        _need(ipaddress.ip_address(_need_plain(nexthop)).version == version, f"{nexthop} is no way to {destination}")
    for floating in router.floating:
        _floating(floating)
    for values in ([item.floating_ip for item in router.floating], [item.fixed_ip for item in router.floating]):
        _need(len(set(values)) == len(values), "an address has two floating IPs")
    return router


def _interface(interface: InterfaceState | GatewayState) -> None:
    _need_id(interface.port_id)
    _need_id(interface.network_id)
    _need_mac(interface.mac)
    for address in interface.addresses:
        _need(str(ipaddress.ip_interface(_need_plain(address))) == address, f"{address} wants the form 10.0.0.1/24")


def _gateway(gateway: GatewayState) -> None:
    _interface(gateway)
    for nexthop in gateway.nexthops:
        _need_address(nexthop)
    _need_truth(gateway.snat, "snat")


def _floating(floating: FloatingState) -> None:
    for address in (floating.floating_ip, floating.fixed_ip):
        _need(ipaddress.ip_address(_need_plain(address)).version == 4, f"{address} is no IPv4 address")


def _external(external: ExternalState, _: list[str]) -> ExternalState:
    _need_id(external.network_id)
    for address in external.addresses:
        _need(str(ipaddress.ip_interface(_need_plain(address))) == address, f"{address} wants the form 10.0.0.1/24")
    for prefix, nexthop in external.routes:
        _need(ipaddress.ip_network(_need_plain(prefix)).version == 6, f"{prefix} is no IPv6 prefix")
        _need(ipaddress.ip_address(_need_plain(nexthop)).version == 6, f"{nexthop} is no way to {prefix}")
    if external.bridge is not None:
        _need(bool(_LINK.fullmatch(external.bridge)), f"{external.bridge!r} is no name of a bridge")
    return external


def _need(good: bool, otherwise: str) -> None:
    if not good:
        raise _Wrong(otherwise)


def _need_id(value: Any) -> None:
    _need(isinstance(value, str) and names.as_id(value) == value, f"{value!r} is no UUID in lower case")


def _need_mac(value: Any) -> None:
    good = isinstance(value, str) and _MAC.fullmatch(value) and not int(value[:2], 16) & 1
    _need(bool(good), f"{value!r} is no unicast MAC address in lower case")


def _need_number(value: Any, least: int, most: int, what: str) -> None:
    _need(_is_number(value, least, most), f"{what} must be a whole number from {least} to {most}, not {value!r}")


def _need_truth(value: Any, what: str) -> None:
    _need(isinstance(value, bool), f"{what} must be true or false")


def _need_address(value: Any) -> str:
    """The address as it is usually written."""
    _need(isinstance(value, str) and _is_address(value), f"{value!r} is no IP address")
    return str(ipaddress.ip_address(value))


def _need_plain(value: Any) -> str:
    """Text without a zone, which ipaddress takes whatever is in it, and gives back."""
    _need(isinstance(value, str) and "%" not in value, f"{value!r} is no address or prefix")
    return str(value)


def _need_prefix(value: Any) -> str:
    """The address or prefix as it is usually written; one without a length stays so."""
    value = _need_plain(value)
    return str(ipaddress.ip_network(value, strict=False)) if "/" in value else str(ipaddress.ip_address(value))


def _is_number(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _is_address(value: Any) -> bool:
    try:
        return "%" not in value and bool(ipaddress.ip_address(value))
    except (ValueError, TypeError):
        return False
