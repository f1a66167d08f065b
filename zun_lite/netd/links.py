# SPDX-License-Identifier: Apache-2.0
"""Bridges, veth pairs, addresses and routes: the one door to pyroute2.

Every function takes namespaces as open descriptors and works in a thread that has entered one, with
a netlink socket opened, used and closed there: a socket used from another thread would be opened in
that thread's namespace. A pair is made in one request with its ends already in their two
namespaces, so that no link is ever in the host's own.
"""

from __future__ import annotations

import errno
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from zun_lite.domain import errors
from zun_lite.domain.plane import DNS_ADDRESS, DNS_ADDRESS_V6
from zun_lite.domain.wiring import Endpoint
from zun_lite.netd import namespaces
from zun_lite.netd.names import BRIDGE, BRIDGE_MAC

Answer = TypeVar("Answer")
_LOOPBACK_INDEX = 1
_NO_DAD = 0x02
_LINK_SCOPE = 253
_OURS = re.compile(r"eth[0-9]{1,9}")


@dataclass(frozen=True)
class Link:
    """One link of a namespace. peer_index: the other end's index, in whatever namespace that is."""

    index: int
    name: str
    mac: str
    kind: str | None
    peer_index: int | None


def names(namespace_fd: int) -> set[str]:
    """Names of the links in a namespace."""
    return {link.name for link in within(namespace_fd, _all)}


def ensure_bridge(switch_fd: int) -> None:
    """Make the bridge of a network's namespace and bring it and lo up."""

    def make(route: IPRoute) -> None:
        bridge = find(route, BRIDGE)
        if bridge is None:
            # snooping would want a querier, and a neighbour's request is a multicast
            route.link("add", ifname=BRIDGE, kind="bridge", address=BRIDGE_MAC, br_mcast_snooping=0)
            bridge = find(route, BRIDGE)
        assert bridge is not None
        route.link("set", index=_LOOPBACK_INDEX, state="up")
        route.link("set", index=bridge.index, state="up")

    within(switch_fd, make)


def connect(switch_fd: int, container_fd: int, outer_name: str, wanted_name: str, endpoint: Endpoint) -> str:
    """Join a container to a network's bridge; answers the inner end's name.

    A pair that does so already is kept; one of an earlier start of the container is replaced.
    """
    inner_links = within(container_fd, _all)

    def join(route: IPRoute) -> str:
        bridge = find(route, BRIDGE)
        if bridge is None:
            raise errors.Failed(f"the namespace of network {endpoint.network_id} has lost its bridge; try again")
        outer = find(route, outer_name)
        inner = _other_end(outer, endpoint.mac, inner_links) if outer else None
        if outer and inner:
            route.link("set", index=outer.index, master=bridge.index, mtu=endpoint.mtu, state="up")
            return inner.name
        if outer:
            delete(route, outer.index)
        name = _unused(wanted_name, {link.name for link in inner_links})
        peer = {"ifname": name, "net_ns_fd": container_fd, "address": endpoint.mac, "mtu": endpoint.mtu}
        route.link("add", ifname=outer_name, kind="veth", mtu=endpoint.mtu, master=bridge.index, state="up", peer=peer)
        return name

    return within(switch_fd, join)


def keep_only(container_fd: int, wanted: set[str]) -> None:
    """Take away a container's links to networks that are not among these names."""

    def take(route: IPRoute) -> None:
        for message in route.link("dump"):
            link = _as_link(message)
            # a pair with both ends in the container is its own
            elsewhere = message.get("link_netnsid") is not None
            if link.kind == "veth" and elsewhere and _OURS.fullmatch(link.name) and link.name not in wanted:
                delete(route, link.index)

    within(container_fd, take)


def configure(container_fd: int, endpoints: list[tuple[str, Endpoint]]) -> None:
    """Give a container's links, by name, their addresses and routes, and bring them and lo up."""

    def give(route: IPRoute) -> None:
        routed: set[int] = set()
        if any(":" in address.ip for _, endpoint in endpoints for address in endpoint.addresses):
            namespaces.write_setting("ipv6/conf/lo/disable_ipv6", "0")
        route.link("set", index=_LOOPBACK_INDEX, state="up")
        for name, endpoint in endpoints:
            link = find(route, name)
            if link is None:
                raise errors.Failed(f"link {name} of port {endpoint.port_id} went away while it was set up")
            _bring_up(route, link, endpoint)
            if endpoint.default_route:
                _add_default_routes(route, link, endpoint, routed)
            for destination, nexthop in endpoint.routes:
                _add_route(route, link, endpoint, destination, nexthop)
        _lead_to_names(route, endpoints)

    within(container_fd, give)


def remove(switch_fd: int, outer_name: str) -> None:
    """Take a pair away by its outer end; fine if it is not there."""

    def take(route: IPRoute) -> None:
        outer = find(route, outer_name)
        if outer:
            delete(route, outer.index)

    within(switch_fd, take)


def within(namespace_fd: int, work: Callable[[IPRoute], Answer]) -> Answer:
    """Do the work with a netlink socket of the namespace."""

    def work_with_socket() -> Answer:
        with IPRoute() as route:
            return work(route)

    try:
        return namespaces.inside(namespace_fd, work_with_socket)
    except NetlinkError as error:
        raise errors.Failed(f"the kernel refused a network change: {error.args[-1]}") from error


def _bring_up(route: IPRoute, link: Link, endpoint: Endpoint) -> None:
    has_v6 = any(":" in address.ip for address in endpoint.addresses)
    # neighbours must not configure a tenant's container, and its address is known to be unique
    for setting, value in (
        ("accept_ra", "0"),
        ("dad_transmits", "0"),
        ("disable_ipv6", "0" if has_v6 else "1"),
    ):
        namespaces.write_setting(f"ipv6/conf/{link.name}/{setting}", value)
    route.link("set", index=link.index, mtu=endpoint.mtu, state="up")
    for address in endpoint.addresses:
        fields: dict[str, Any] = {"flags": _NO_DAD} if ":" in address.ip else {}
        route.addr("replace", index=link.index, address=address.ip, prefixlen=address.prefix_length, **fields)


def _add_default_routes(route: IPRoute, link: Link, endpoint: Endpoint, routed: set[int]) -> None:
    """One a family: the first gateway wins, over all of a container's endpoints."""
    for address in endpoint.addresses:
        if address.gateway is None:
            continue
        family = ipaddress.ip_address(address.gateway).version
        if family not in routed:
            routed.add(family)
            _add_route(route, link, endpoint, "0.0.0.0/0" if family == 4 else "::/0", address.gateway)


def _lead_to_names(route: IPRoute, endpoints: list[tuple[str, Endpoint]]) -> None:
    """Have questions for names answered on the first link, of those with a way out if there are any."""
    ordered = sorted(endpoints, key=lambda item: not item[1].default_route)
    for destination, mark in ((f"{DNS_ADDRESS}/32", "."), (f"{DNS_ADDRESS_V6}/128", ":")):
        for name, endpoint in ordered:
            if any(mark in address.ip for address in endpoint.addresses):
                link = find(route, name)
                if link is not None:
                    route.route("replace", dst=destination, oif=link.index, scope=_LINK_SCOPE)
                break


def _add_route(route: IPRoute, link: Link, endpoint: Endpoint, destination: str, nexthop: str) -> None:
    on_link = not any(
        ipaddress.ip_address(nexthop) in ipaddress.ip_network(f"{address.ip}/{address.prefix_length}", strict=False)
        for address in endpoint.addresses
    )
    flags = {"flags": ["onlink"]} if on_link else {}
    route.route("replace", dst=destination, gateway=nexthop, oif=link.index, **flags)


def _all(route: IPRoute) -> list[Link]:
    return [_as_link(message) for message in route.link("dump")]


def find(route: IPRoute, name: str) -> Link | None:
    try:
        return _as_link(route.link("get", ifname=name)[0])
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


def delete(route: IPRoute, index: int) -> None:
    try:
        route.link("del", index=index)
    except NetlinkError as error:
        # the container's namespace went at the same moment and took the pair along
        if error.code != errno.ENODEV:
            raise


def _as_link(message: Any) -> Link:
    return Link(
        message["index"],
        message.get("ifname"),
        message.get("address") or "",
        message.get(("linkinfo", "kind")),
        message.get("link"),
    )


def _other_end(outer: Link, mac: str, inner_links: list[Link]) -> Link | None:
    """The container's end of a pair, if it is in that container: two namespaces may use equal numbers."""
    for link in inner_links:
        if (link.index, link.peer_index, link.mac, link.kind) == (outer.peer_index, outer.index, mac, "veth"):
            return link
    return None


def _unused(wanted: str, taken: set[str]) -> str:
    """The wanted name, or the next number after all that are taken."""
    if wanted not in taken:
        return wanted
    return f"eth{1 + max(int(name[3:]) for name in taken if _OURS.fullmatch(name))}"
