# SPDX-License-Identifier: Apache-2.0
"""A plane with what is looked up in it often. Pure; a new one is made for each plane and never changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from zun_lite.domain.plane import GroupState, HostPlane, NetworkState, PortState, RouterState
from zun_lite.netd import rulebook

_NOBODY: tuple[str, ...] = ()


class View:
    """A plane with what is looked up in it often.

    before: the one that it replaces; what is equal stays the same object, so that it need not be looked at again.
    """

    def __init__(self, plane: HostPlane | None, before: View | None = None) -> None:
        self.plane = _kept(plane or HostPlane(0), before)
        self.known = plane is not None
        self.networks: dict[str, NetworkState] = {item.network_id: item for item in self.plane.networks}
        self.ports: dict[str, PortState] = {port.port_id: port for item in self.plane.networks for port in item.ports}
        self.groups: dict[str, GroupState] = {group.group_id: group for group in self.plane.groups}
        self.routers: dict[str, RouterState] = {router.router_id: router for router in self.plane.routers}
        members = {group.group_id: set(group.members) for group in self.plane.groups}
        for port in self.ports.values():
            addresses = [*port.addresses, *(pair.address for pair in port.allowed_address_pairs)]
            for group_id in port.groups:
                members.setdefault(group_id, set()).update(addresses)
        known: dict[str, set[str]] = before._members if before is not None else {}
        self._members: dict[str, set[str]] = {
            group_id: known[group_id] if known.get(group_id) == found else found for group_id, found in members.items()
        }

    def members(self, group_id: str) -> Iterable[str]:
        return self._members.get(group_id, _NOBODY)

    def routed(self) -> set[str]:
        """The networks that a router of this host has a leg in."""
        return {interface.network_id for router in self.routers.values() for interface in router.interfaces}

    def led_to(self, router: RouterState) -> list[str]:
        """The IPv6 prefixes to which the way in is known outside, and is by this router."""
        if router.gateway is None:
            return []
        own = {address.partition("/")[0] for address in router.gateway.addresses}
        return [
            prefix
            for external in self.plane.externals
            if external.network_id == router.gateway.network_id
            for prefix, nexthop in external.routes
            if nexthop in own
        ]

    def combination(self, port_id: str) -> rulebook.Combination:
        if not self.known:
            return rulebook.NOT_ENFORCED
        state = self.ports.get(port_id)
        return rulebook.UNKNOWN if state is None else rulebook.Combination(tuple(sorted(state.groups)))


def _kept(plane: HostPlane, before: View | None) -> HostPlane:
    """The plane with the former one's networks where they are equal."""
    if before is None:
        return plane
    networks = tuple(
        known if (known := before.networks.get(item.network_id)) == item and known is not None else item
        for item in plane.networks
    )
    return dataclasses.replace(plane, networks=networks)
