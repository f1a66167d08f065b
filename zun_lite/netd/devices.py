# SPDX-License-Identifier: Apache-2.0
"""Links of our own beside containers' ports: a network's tunnel, a router's legs, a port's shaper.

Works as links.py does, with sockets of the namespaces that it is given. A pair is made with both ends
in place at once, a tunnel in its network's namespace at once, so that nothing is ever on the way.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from zun_lite.domain import errors
from zun_lite.domain.plane import DNS_ADDRESS, DNS_ADDRESS_V6
from zun_lite.netd import links, namespaces
from zun_lite.netd.names import BRIDGE

_ALL_PROTOCOLS = 0x0003
_INGRESS, _INGRESS_PARENT, _ROOT_PARENT = 0xFFFF0000, 0xFFFFFFF1, 0xFFFFFFFF
_BURST_SECONDS, _LEAST_BURST_BYTES = 0.004, 32 * 1024
# What the kernel can count: clock, length and bytes a second are of 32 bits each.
_MOST_BURST_SECONDS, _MOST_BURST_BYTES, _MOST_RATE_BYTES = 60, 2**30, 2**32 - 1
_LATENCY = "50ms"
_LOOPBACK_INDEX = 1
_NO_DAD = 0x02


def prepare_bridge(switch_fd: int) -> None:
    """Let a network's bridge answer for names, and know neighbours of IPv6 without speaking it."""

    def prepare(route: IPRoute) -> None:
        for setting, value in (("addr_gen_mode", "1"), ("accept_ra", "0"), ("disable_ipv6", "0")):
            namespaces.write_setting(f"ipv6/conf/{BRIDGE}/{setting}", value)
        bridge = _found(route, BRIDGE)
        route.addr("replace", index=bridge.index, address=DNS_ADDRESS, prefixlen=32)
        route.addr("replace", index=bridge.index, address=DNS_ADDRESS_V6, prefixlen=128, flags=_NO_DAD)
        # answers leave by the bridge, whatever the asker's address
        for family, everywhere in ((2, "0.0.0.0/0"), (10, "::/0")):
            route.route("replace", dst=everywhere, oif=bridge.index, family=family)

    links.within(switch_fd, prepare)


def ensure_tunnel(switch_fd: int, link: str, vni: int, vtep: str, mtu: int, udp_port: int) -> bool:
    """Make a network's tunnel and put it on the bridge; answers whether it was not there before."""

    def is_right(route: IPRoute) -> bool:
        if links.find(route, link) is None:
            return False
        known = route.link("get", ifname=link)[0].get(("linkinfo", "data"))
        right = (known.get("vxlan_id"), known.get("vxlan_local") or known.get("vxlan_local6")) == (vni, vtep)
        if not right:
            links.delete(route, _found(route, link).index)
        return right

    def settle(route: IPRoute) -> None:
        index, bridge = _found(route, link).index, _found(route, BRIDGE).index
        route.link("set", index=index, master=bridge, mtu=mtu)
        route.brport("set", index=index, learning=0, neigh_suppress=1, unicast_flood=0, mcast_flood=0, bcast_flood=0)
        route.link("set", index=index, state="up")

    there = links.within(switch_fd, is_right)
    if not there:
        local = {"vxlan_local6" if ":" in vtep else "vxlan_local": vtep}
        try:
            with IPRoute() as route:
                route.link(
                    "add",
                    ifname=link,
                    kind="vxlan",
                    vxlan_id=vni,
                    vxlan_port=udp_port,
                    vxlan_learning=0,
                    net_ns_fd=switch_fd,
                    **local,
                )
        except NetlinkError as error:
            if error.code == errno.EEXIST:
                raise errors.Failed(f"segment {vni} has a tunnel on this host that is not ours") from error
            raise errors.Failed(f"the kernel made no tunnel for segment {vni}: {error.args[-1]}") from error
    links.within(switch_fd, settle)
    return not there


def remove_all(namespace_fd: int, prefix: str, keep: Iterable[str] = ()) -> None:
    """Take away the links whose names begin so, but for those to keep."""

    def take(route: IPRoute) -> None:
        kept = set(keep)
        for message in route.link("dump"):
            name = message.get("ifname")
            if name.startswith(prefix) and name not in kept:
                links.delete(route, message["index"])

    links.within(namespace_fd, take)


def ensure_leg(
    router_fd: int, name: str, outer_fd: int, outer_name: str, bridge: str, mac: str, mtu: int, addresses: list[str]
) -> None:
    """Join a router's namespace to a bridge of another one, and give its end exactly these addresses."""

    def outer_index(route: IPRoute) -> int | None:
        outer = links.find(route, outer_name)
        return outer.index if outer else None

    def is_right(route: IPRoute) -> bool:
        inner = links.find(route, name)
        if inner is None:
            return False
        right = (inner.peer_index, inner.mac) == (there, mac)
        if not right:
            links.delete(route, inner.index)
        return right

    def make(route: IPRoute) -> None:
        outer = links.find(route, outer_name)
        if outer is not None:
            links.delete(route, outer.index)
        peer = {"ifname": name, "net_ns_fd": router_fd, "address": mac, "mtu": mtu}
        route.link("add", ifname=outer_name, kind="veth", mtu=mtu, peer=peer)

    def raise_outer(route: IPRoute) -> None:
        index = _found(route, outer_name).index
        route.link("set", index=index, master=_found(route, bridge).index, mtu=mtu, state="up")

    def settle(route: IPRoute) -> None:
        for setting, value in (("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")):
            namespaces.write_setting(f"ipv6/conf/{name}/{setting}", value)
        index = _found(route, name).index
        route.link("set", index=index, mtu=mtu, state="up")
        _give_addresses(route, index, addresses)

    there = links.within(outer_fd, outer_index)
    if there is None or not links.within(router_fd, is_right):
        links.within(outer_fd, make)
    links.within(router_fd, settle)
    links.within(outer_fd, raise_outer)


def ensure_pair(
    near_fd: int, near: str, near_addresses: list[str], far_fd: int, far: str, far_addresses: list[str]
) -> None:
    """A pair between two namespaces with exactly these addresses at each end, up; IPv6 only where it has one."""

    def make(route: IPRoute) -> None:
        if links.find(route, near) is None:
            route.link("add", ifname=near, kind="veth", peer={"ifname": far, "net_ns_fd": far_fd})

    def settle(name: str, addresses: list[str]) -> Any:
        def work(route: IPRoute) -> None:
            index = _found(route, name).index
            silent = "0" if any(":" in address for address in addresses) else "1"
            for setting, value in (("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", silent)):
                namespaces.write_setting(f"ipv6/conf/{name}/{setting}", value)
            route.link("set", index=index, state="up")
            _give_addresses(route, index, addresses)

        return work

    links.within(near_fd, make)
    links.within(near_fd, settle(near, near_addresses))
    links.within(far_fd, settle(far, far_addresses))


def give_bridge(namespace_fd: int, addresses: list[str]) -> None:
    """Give a namespace's own bridge exactly these addresses, so that it is a gateway."""

    def give(route: IPRoute) -> None:
        namespaces.write_setting(f"ipv6/conf/{BRIDGE}/dad_transmits", "0")
        namespaces.write_setting(f"ipv6/conf/{BRIDGE}/disable_ipv6", "0")
        route.link("set", index=_LOOPBACK_INDEX, state="up")
        _give_addresses(route, _found(route, BRIDGE).index, addresses)

    links.within(namespace_fd, give)


def set_routes(namespace_fd: int, wanted: dict[str, tuple[str, str | None]]) -> None:
    """Make the namespace's static routes exactly these: destination to (nexthop, link or None)."""

    def make(route: IPRoute) -> None:
        for family in (2, 10):
            for message in route.route("dump", family=family, proto=4, table=254):
                known = f"{message.get('dst') or ('0.0.0.0' if family == 2 else '::')}/{message['dst_len']}"
                if known not in wanted:
                    route.route("del", dst=known, family=family, proto=4, table=254)
        for destination, (nexthop, link) in wanted.items():
            through = {"oif": _found(route, link).index, "flags": ["onlink"]} if link else {}
            try:
                route.route("replace", dst=destination, gateway=nexthop, proto=4, **through)
            except NetlinkError as error:
                raise errors.Failed(f"no route to {destination} by {nexthop}: {error.args[-1]}") from error

    links.within(namespace_fd, make)


def set_routes_through(namespace_fd: int, link: str, wanted: dict[str, str]) -> None:
    """Have exactly these destinations led through a link by a nexthop on it; they go with the link."""

    def make(route: IPRoute) -> None:
        index = _found(route, link).index
        for family in (2, 10):
            for message in route.route("dump", family=family, proto=4, table=254):
                known = f"{message.get('dst')}/{message['dst_len']}"
                if message.get("oif") == index and known not in wanted:
                    route.route("del", dst=known, family=family, oif=index, proto=4, table=254)
        for destination, nexthop in wanted.items():
            route.route("replace", dst=destination, gateway=nexthop, oif=index, proto=4)

    links.within(namespace_fd, make)


@dataclass(frozen=True)
class Rate:
    """kbps: kbit/s; None is no limit. burst_kbit: how much passes at once before it holds; None: as little as works."""

    kbps: int | None = None
    burst_kbit: int | None = None


def shape(switch_fd: int, outer: str, shaper: str, getting: Rate, sending: Rate) -> None:
    """Limit what the port behind a link gets and sends."""

    def limit(route: IPRoute) -> None:
        link = _found(route, outer)
        _delay(route, link.index, getting)
        helper = links.find(route, shaper)
        if sending.kbps is None:
            if helper is not None:
                _drop_queue(route, link.index, _INGRESS_PARENT)
                links.delete(route, helper.index)
            return
        if helper is None:
            route.link("add", ifname=shaper, kind="ifb")
            helper = _found(route, shaper)
        route.link("set", index=helper.index, state="up")
        _delay(route, helper.index, sending)
        _drop_queue(route, link.index, _INGRESS_PARENT)
        route.tc("add", "ingress", link.index, _INGRESS)
        action = {"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": helper.index}
        route.tc(
            "add-filter",
            "u32",
            link.index,
            parent=_INGRESS,
            protocol=_ALL_PROTOCOLS,
            target=0x10000,
            keys=["0x0/0x0+0"],
            action=action,
        )

    links.within(switch_fd, limit)


def limited(switch_fd: int) -> set[str]:
    """The links of a namespace that have limits of any kind."""

    def look(route: IPRoute) -> set[str]:
        by_index = {message["index"]: message.get("ifname") for message in route.link("dump")}
        return {
            by_index[message["index"]]
            for message in route.get_qdiscs()
            if message.get("kind") in ("tbf", "ingress") and message["index"] in by_index
        }

    return links.within(switch_fd, look)


def counters(switch_fd: int) -> dict[str, dict[str, int]]:
    """{link: counts} of a namespace, each as the side behind the link sees it."""

    def read(route: IPRoute) -> dict[str, dict[str, int]]:
        found = {}
        for message in route.link("dump"):
            counts = message.get("stats64") or {}
            found[message.get("ifname")] = {
                f"{seen}_{what}": int(counts.get(f"{ours}_{what}", 0))
                for seen, ours in (("rx", "tx"), ("tx", "rx"))
                for what in ("bytes", "packets", "dropped", "errors")
            }
        return found

    return links.within(switch_fd, read)


def _delay(route: IPRoute, index: int, rate: Rate) -> None:
    if rate.kbps is None:
        _drop_queue(route, index, _ROOT_PARENT)
        return
    rate_bytes = min(rate.kbps * 1000 // 8, _MOST_RATE_BYTES)
    asked = min((rate.burst_kbit or 0) * 1000 // 8, int(rate_bytes * _MOST_BURST_SECONDS), _MOST_BURST_BYTES)
    burst = max(_LEAST_BURST_BYTES, int(rate_bytes * _BURST_SECONDS), asked)
    route.tc("replace", "tbf", index, 0x10000, parent=_ROOT_PARENT, rate=rate_bytes, burst=burst, latency=_LATENCY)


def _drop_queue(route: IPRoute, index: int, parent: int) -> None:
    try:
        route.tc("del", index=index, parent=parent)
    except NetlinkError as error:
        if error.code not in (errno.ENOENT, errno.EINVAL, errno.ENODEV):
            raise


def _give_addresses(route: IPRoute, index: int, addresses: list[str]) -> None:
    wanted = {tuple(address.split("/")) for address in addresses}
    for message in route.addr("dump", index=index):
        known = (message.get("address"), str(message["prefixlen"]))
        if known not in wanted and not known[0].startswith("fe80:"):
            route.addr("del", index=index, address=known[0], prefixlen=message["prefixlen"])
    for ip, length in sorted(wanted):
        route.addr(
            "replace", index=index, address=ip, prefixlen=int(length), **({"flags": _NO_DAD} if ":" in ip else {})
        )


def _found(route: IPRoute, name: str) -> links.Link:
    link = links.find(route, name)
    if link is None:
        raise errors.Failed(f"link {name} went away while it was set up; try again")
    return link
