# SPDX-License-Identifier: Apache-2.0
"""The routers that this host runs: a namespace each, with a leg in each of its networks.

A floating IP is two entries of two maps, one for each direction. What has none leaves with the router's
own address; nothing comes in but what was asked for or has a floating IP. IPv6 is led out and in as it
is, where the way out has it, and only what the way in is known to. What bears an address of one of the
router's networks comes from there or not at all. Link-local addresses are never forwarded. A router that came here from
another host tells those outside where its addresses are now. Callers hold the router's lock; the
networks' locks are taken here.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from zun_lite.domain.plane import GatewayState, RouterState
from zun_lite.netd import announce, devices, names, namespaces
from zun_lite.netd.tables import Tables

LOG = logging.getLogger(__name__)
_TABLE = "inet zl"
# the first time a new link may not be let through yet
_TIMES_TOLD = 2

# A bridge to be on: its namespace, opened and held for as long as the block lasts, its name, its MTU in bytes.
Place = Callable[[str], AbstractContextManager[tuple[int, str, int]]]


class Routers:
    """network, external: how to get at the bridge of a network, made if it is not there."""

    def __init__(self, cluster: str, network: Place, external: Place) -> None:
        self._cluster = cluster
        self._network = network
        self._external = external
        self._tables = Tables()
        # by namespace: what those outside were told last, and how often
        self._told: dict[str, tuple[object, int]] = {}

    def sync(self, router: RouterState, led: Iterable[str] = ()) -> None:
        """Make a router so. led: the IPv6 prefixes behind it to which the way in is known outside."""
        name = names.router(self._cluster, router.router_id)
        if not namespaces.exists(name):
            namespaces.create(name)
            self._tables.forget(name)
        with namespaces.opened(name) as router_fd:
            namespaces.inside(router_fd, _forward)
            # rules first: until they are there, nothing leads through
            self._tables.give(name, router_fd, rules(router, led))
            legs = {names.interface(interface.port_id) for interface in router.interfaces}
            devices.remove_all(router_fd, names.INTERFACE_PREFIX, keep=legs)
            if router.gateway is None:
                devices.remove_all(router_fd, names.GATEWAY)
            for interface in router.interfaces:
                with self._network(interface.network_id) as (network_fd, bridge, mtu):
                    devices.ensure_leg(
                        router_fd,
                        names.interface(interface.port_id),
                        network_fd,
                        names.link(self._cluster, interface.port_id),
                        bridge,
                        interface.mac,
                        mtu,
                        list(interface.addresses),
                    )
            if router.gateway is not None:
                self._lead_out(router_fd, router, router.gateway)
                self._tell(name, router_fd, router, router.gateway)
            devices.set_routes(router_fd, _routes(router))

    def remove(self, name: str) -> None:
        """Take a router's namespace away; its legs go along."""
        self._tables.forget(name)
        self._told.pop(name, None)
        namespaces.remove(name)

    def _tell(self, name: str, router_fd: int, router: RouterState, gateway: GatewayState) -> None:
        """Caches and switches outside may know these addresses elsewhere."""
        floating = [item.floating_ip for item in router.floating]
        own = [address.split("/")[0] for address in gateway.addresses]
        wanted = (os.fstat(router_fd).st_ino, gateway.mac, tuple(own), tuple(floating))
        told, times = self._told.get(name, (None, 0))
        times = times if told == wanted else 0
        if times < _TIMES_TOLD:
            # a courtesy: what others remember does not last
            with contextlib.suppress(OSError):
                announce.announce_all(router_fd, names.GATEWAY, ((ip, gateway.mac) for ip in [*own, *floating]))
            self._told[name] = wanted, times + 1

    def _lead_out(self, router_fd: int, router: RouterState, gateway: GatewayState) -> None:
        floating = [f"{item.floating_ip}/32" for item in router.floating]
        with self._external(gateway.network_id) as (outer_fd, bridge, mtu):
            devices.ensure_leg(
                router_fd,
                names.GATEWAY,
                outer_fd,
                names.link(self._cluster, gateway.port_id),
                bridge,
                gateway.mac,
                mtu,
                [*gateway.addresses, *(item for item in floating if item not in gateway.addresses)],
            )


def rules(router: RouterState, led: Iterable[str] = ()) -> str:
    """A router's packet rules as one script that replaces what was there. led: as Routers.sync() has it."""
    lines = [f"add table {_TABLE}", f"delete table {_TABLE}", f"table {_TABLE} {{"]
    inward = ", ".join(f"{item.floating_ip} : {item.fixed_ip}" for item in router.floating)
    outward = ", ".join(f"{item.fixed_ip} : {item.floating_ip}" for item in router.floating)
    lines += [
        f"map floating {{ type ipv4_addr : ipv4_addr; {_elements(inward)} }}",
        f"map fixed {{ type ipv4_addr : ipv4_addr; {_elements(outward)} }}",
        "counter metadata { }",
        "chain before {",
        "type nat hook prerouting priority -100; policy accept;",
        "dnat ip to ip daddr map @floating",
        "}",
        "chain through {",
        "type filter hook forward priority 0; policy accept;",
        f"ip daddr {names.METADATA_ADDRESSES[0]} counter name metadata drop",
        f"ip6 daddr {names.METADATA_ADDRESSES[1]} counter name metadata drop",
        "ip daddr 169.254.0.0/16 drop",
        "ip saddr 169.254.0.0/16 drop",
        *_own_blocks(router),
        *(_six_outside(led) if router.gateway is not None else ()),
        "ct state established,related accept",
        "ct state invalid drop",
    ]
    own = _own_address(router.gateway)
    if router.gateway is not None and router.gateway.snat:
        # what IPv6 brings in is for the security groups to judge, since its addresses are seen outside
        seen = any(":" in address for address in router.gateway.addresses)
        lines.append(f'{"meta nfproto ipv4 " if seen else ""}iifname "{names.GATEWAY}" ct status ! dnat drop')
    lines += ["}", "chain after {", "type nat hook postrouting priority 100; policy accept;"]
    if router.gateway is not None:
        # one that asks a neighbour by its floating IP must get the answer from there too
        lines.append(f'oifname != "{names.GATEWAY}" ct status dnat snat ip to ip saddr map @fixed')
        if own:
            lines.append(f'iifname != "{names.GATEWAY}" oifname != "{names.GATEWAY}" ct status dnat snat ip to {own}')
        lines.append(f'oifname "{names.GATEWAY}" snat ip to ip saddr map @fixed')
        if router.gateway.snat and own:
            lines.append(f'oifname "{names.GATEWAY}" ip saddr != {own} snat ip to {own}')
    lines += [
        "}",
        "chain local {",
        "type filter hook input priority 0; policy drop;",
        "ct state established,related accept",
        "meta l4proto { icmp, icmpv6 } accept",
        "}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _own_blocks(router: RouterState) -> Iterator[str]:
    """Whose sender is of a network of the router comes by a leg in it."""
    links: dict[str, list[str]] = {}
    for leg in router.interfaces:
        links.setdefault(leg.network_id, []).append(f'"{names.interface(leg.port_id)}"')
    for leg in router.interfaces:
        for block in sorted({ipaddress.ip_interface(address).network for address in leg.addresses}, key=str):
            family = "ip" if block.version == 4 else "ip6"
            yield f"iifname != {{ {', '.join(links[leg.network_id])} }} {family} saddr {block} drop"


def _six_outside(led: Iterable[str]) -> Iterator[str]:
    """IPv6 by the way out: of and to those prefixes alone, since all others may be somebody else's too."""
    inside = ", ".join(sorted(set(led)))
    for by, whose in (("iifname", "daddr"), ("oifname", "saddr")):
        others = f"ip6 {whose} != {{ {inside} }}" if inside else "meta nfproto ipv6"
        yield f'{by} "{names.GATEWAY}" {others} drop'


def _routes(router: RouterState) -> dict[str, tuple[str, str | None]]:
    routes: dict[str, tuple[str, str | None]] = {}
    for nexthop in router.gateway.nexthops if router.gateway else ():
        routes["::/0" if ":" in nexthop else "0.0.0.0/0"] = (nexthop, names.GATEWAY)
    outside = router.gateway.addresses if router.gateway else ()
    addresses = [*outside, *(address for leg in router.interfaces for address in leg.addresses)]
    reached = [ipaddress.ip_interface(address).network for address in addresses]
    for destination, nexthop in router.routes:
        # its way out may have been taken away since, and it counts again once there is one
        if not any(ipaddress.ip_address(nexthop) in block for block in reached):
            continue
        routes[str(ipaddress.ip_network(destination, strict=False))] = (nexthop, None)
    return routes


def _own_address(gateway: GatewayState | None) -> str | None:
    """The IPv4 address with which what has no other leaves."""
    if gateway is None:
        return None
    return next((address.split("/")[0] for address in gateway.addresses if ":" not in address), None)


def _elements(text: str) -> str:
    return f"elements = {{ {text} }}" if text else ""


def _forward() -> None:
    # its addresses are known to be unique; looking would keep it silent for up to a second
    namespaces.write_setting("ipv6/conf/all/accept_dad", "0")
    namespaces.write_setting("ipv6/conf/all/disable_ipv6", "0")
    namespaces.write_setting("ipv6/conf/default/disable_ipv6", "0")
    for name in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
        namespaces.write_setting(name, "1")
    # a router that says "go there directly" would lead around its own rules
    for scope in ("all", "default"):
        namespaces.write_setting(f"ipv4/conf/{scope}/send_redirects", "0")
        namespaces.write_setting(f"ipv4/conf/{scope}/accept_redirects", "0")
