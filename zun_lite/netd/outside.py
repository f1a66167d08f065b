# SPDX-License-Identifier: Apache-2.0
"""External networks: a bridge of the machine, or one of ours that is let out by the host's own way.

Ours is in a namespace with the network's gateway addresses; a pair of links joins it to the host, which
translates what leaves. The host, and nobody outside, reaches floating IPs by it. IPv6 is not translated:
what comes from prefixes to which the way in is known goes out, and whoever the host leads there gets in.
Nothing that comes from there reaches the host itself, nor link-local addresses behind it. Callers hold
the external network's lock.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zun_lite.domain import errors
from zun_lite.domain.plane import ExternalState
from zun_lite.netd import devices, links, names, namespaces
from zun_lite.netd.tables import Tables

_MTU_BYTES = 1500
# A prefix of ours among the unique local ones, as transfer_addresses() of IPv4 has one.
_TRANSFER_PREFIX6 = int(ipaddress.IPv6Address("fd7a:756e:6c69:7465::"))
_IPV6_SETTINGS = Path("/proc/sys/net/ipv6/conf")
_OWN_NAMESPACE = "/proc/self/ns/net"


class Outside:
    """The external networks of this host."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._tables = Tables()
        # by firewall of the host: the links that it was told to let through
        self._opened: dict[str, set[str]] = {}

    def sync(self, external: ExternalState) -> None:
        """Make an external network so."""
        if external.bridge is not None:
            if not os.path.isdir(f"/sys/class/net/{external.bridge}/bridge"):
                raise errors.Failed(f"this host has no bridge {external.bridge} for network {external.network_id}")
            return
        name = names.external(self._cluster, external.network_id)
        if not namespaces.exists(name):
            namespaces.create(name)
        near, far = transfer_addresses(external.network_id)
        near6, far6 = transfer_addresses6(external.network_id)
        six = _IPV6_SETTINGS.is_dir() and bool(inside6(external))
        uplink = names.uplink(self._cluster, external.network_id)
        with _host() as host_fd, namespaces.opened(name) as outer_fd:
            links.ensure_bridge(outer_fd)
            for setting in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
                namespaces.inside(outer_fd, lambda name=setting: namespaces.write_setting(name, "1"))  # type: ignore[misc]
            devices.give_bridge(outer_fd, list(external.addresses))
            ends = ([f"{far}/31"], [f"{near}/31"])
            if six:
                ends = ([*ends[0], f"{far6}/127"], [*ends[1], f"{near6}/127"])
            devices.ensure_pair(outer_fd, names.HOST_END, ends[0], host_fd, uplink, ends[1])
            leading = {prefix: (nexthop, names.BRIDGE) for prefix, nexthop in external.routes} if six else {}
            outward = {"::/0": (near6, None)} if six else {}
            devices.set_routes(outer_fd, {"0.0.0.0/0": (near, None), **outward, **leading})
            inward = {prefix: far for prefix in prefixes(external, 4)}
            devices.set_routes_through(host_fd, uplink, {**inward, **{prefix: far6 for prefix in inside6(external)}})

    def guard_host(self, externals: list[ExternalState]) -> None:
        """Give the host's rules for these networks, and for no others of ours; before there is a way out."""
        own = [external for external in externals if external.bridge is None]
        with _host() as host_fd:
            table = names.host_table(self._cluster)
            both = host_rules(table, self._cluster, own) + host_rules6(table, self._cluster, own)
            self._tables.give("host", host_fd, both)

    def open_host(self, externals: list[ExternalState]) -> None:
        """Let the host, which is guarded, forward for these networks, for all others of ours no more."""
        own = [external for external in externals if external.bridge is None]
        uplinks = {names.uplink(self._cluster, external.network_id) for external in own}
        six = {names.uplink(self._cluster, external.network_id) for external in own if inside6(external)}
        if own:
            namespaces.write_setting("ipv4/ip_forward", "1")
        if six:
            _forward6()
        for firewall, wanted in (("iptables", uplinks), ("ip6tables", six)):
            for uplink in self._opened.get(firewall, set()) | wanted:
                _let_through(firewall, uplink, uplink in wanted)
            self._opened[firewall] = wanted

    def remove(self, name: str) -> None:
        """Take an external network's namespace away, and first the host's link and routes.

        Those would go along by themselves, but only after a while, and be in the way of who makes them anew.
        """
        if namespaces.exists(name):
            with namespaces.opened(name) as outer_fd:
                devices.remove_all(outer_fd, names.HOST_END)
        namespaces.remove(name)

    @contextmanager
    def place(self, external: ExternalState) -> Iterator[tuple[int, str, int]]:
        """Where a router's leg is to be put: a namespace, a bridge, bytes of a packet."""
        if external.bridge is not None:
            with _host() as host_fd:
                yield host_fd, external.bridge, _MTU_BYTES
            return
        with namespaces.opened(names.external(self._cluster, external.network_id)) as outer_fd:
            yield outer_fd, names.BRIDGE, _MTU_BYTES


def prefixes(external: ExternalState, version: int) -> list[str]:
    """The external network's own prefixes of an IP version."""
    found = [ipaddress.ip_interface(address).network for address in external.addresses]
    return [str(network) for network in found if network.version == version]


def inside6(external: ExternalState) -> list[str]:
    """The IPv6 prefixes that are reached by it; none where it has no IPv6 of its own."""
    own = prefixes(external, 6)
    return list(dict.fromkeys([*own, *(prefix for prefix, _ in external.routes)])) if own else []


def host_rules(table: str, cluster: str, externals: list[ExternalState]) -> str:
    """The host's own table; taken away when there is nothing to let out."""
    script = f"add table ip {table}\ndelete table ip {table}\n"
    if not externals:
        return script
    uplinks = ", ".join(f'"{names.uplink(cluster, external.network_id)}"' for external in externals)
    inside = ", ".join(prefix for external in externals for prefix in prefixes(external, 4))
    # a network that has no subnet yet, or none of IPv4, must not be in the way of the others
    strangers = f"ip saddr != {{ {inside} }} drop" if inside else "drop"
    translate = [f"ip saddr {{ {inside} }} oifname != @uplinks masquerade"] if inside else []
    return script + "\n".join(
        [
            f"table ip {table} {{",
            f"set uplinks {{ type ifname; elements = {{ {uplinks} }}; }}",
            "chain through {",
            "type filter hook forward priority -1; policy accept;",
            "iifname @uplinks ip daddr 169.254.0.0/16 drop",
            f"iifname @uplinks {strangers}",
            "oifname @uplinks iifname != @uplinks ct state != { established, related } drop",
            "}",
            "chain local {",
            "type filter hook input priority -1; policy accept;",
            "iifname @uplinks ct state established,related accept",
            "iifname @uplinks icmp type echo-request limit rate 50/second accept",
            "iifname @uplinks drop",
            "}",
            "chain after {",
            "type nat hook postrouting priority 100; policy accept;",
            *translate,
            "}",
            "}",
            "",
        ]
    )


def host_rules6(table: str, cluster: str, externals: list[ExternalState]) -> str:
    """As host_rules(), of IPv6: nothing is translated, and who comes from beyond the host gets in."""
    script = f"add table ip6 {table}\ndelete table ip6 {table}\n"
    externals = [external for external in externals if inside6(external)]
    if not externals:
        return script
    uplinks = ", ".join(f'"{names.uplink(cluster, external.network_id)}"' for external in externals)
    inside = ", ".join(sorted({prefix for external in externals for prefix in inside6(external)}))
    return script + "\n".join(
        [
            f"table ip6 {table} {{",
            f"set uplinks {{ type ifname; elements = {{ {uplinks} }}; }}",
            f"set inside {{ type ipv6_addr; flags interval; auto-merge; elements = {{ {inside} }}; }}",
            "chain through {",
            "type filter hook forward priority -1; policy accept;",
            f"iifname @uplinks ip6 daddr {names.METADATA_ADDRESSES[1]} drop",
            "iifname @uplinks ip6 saddr != @inside drop",
            "oifname @uplinks ip6 daddr != @inside drop",
            "}",
            "chain local {",
            "type filter hook input priority -1; policy accept;",
            "iifname @uplinks ct state established,related accept",
            "iifname @uplinks icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
            "iifname @uplinks icmpv6 type echo-request limit rate 50/second accept",
            "iifname @uplinks drop",
            "}",
            "}",
            "",
        ]
    )


def transfer_addresses(network_id: str) -> tuple[str, str]:
    """The two addresses of the pair between the host and an external network: a /31 of its own.

    Of the range that is set aside for benchmarks, which no network is built with: link-local ones would not
    be forwarded.
    """
    base = int(ipaddress.IPv4Address("198.19.0.0")) + 2 * _number(network_id)
    return str(ipaddress.IPv4Address(base)), str(ipaddress.IPv4Address(base + 1))


def transfer_addresses6(network_id: str) -> tuple[str, str]:
    """As transfer_addresses(), of IPv6: a /127."""
    base = _TRANSFER_PREFIX6 + 2 * _number(network_id)
    return str(ipaddress.IPv6Address(base)), str(ipaddress.IPv6Address(base + 1))


def _number(network_id: str) -> int:
    return int(hashlib.sha256(network_id.encode()).hexdigest()[:8], 16) % (2**15)


def _forward6() -> None:
    """Have the host forward IPv6, and still hear of its own routers, which a host that forwards does not by itself."""
    if not _IPV6_SETTINGS.is_dir():
        raise errors.Failed("this host has no IPv6, so that what an external network has of it stays inside")
    if (_IPV6_SETTINGS / "all/forwarding").read_text().strip() == "1":
        return
    for heard in _IPV6_SETTINGS.glob("*/accept_ra"):
        if heard.read_text().strip() == "1":
            namespaces.write_setting(f"ipv6/conf/{heard.parent.name}/accept_ra", "2")
    namespaces.write_setting("ipv6/conf/all/forwarding", "1")


@contextmanager
def _host() -> Iterator[int]:
    descriptor = os.open(_OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _let_through(firewall: str, uplink: str, wanted: bool) -> None:
    """Where a firewall of the host's drops what it forwards, as Docker's does, let this link through there.

    A table of ours cannot: what one table accepts another may still drop. firewall: iptables or ip6tables.
    """
    program = shutil.which(firewall, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if program is None:
        return
    listed = subprocess.run([program, "-w", "5", "-S", "FORWARD"], capture_output=True, text=True, check=False).stdout
    if uplink not in listed and (not wanted or "-P FORWARD DROP" not in listed):
        return
    for direction in ("-i", "-o"):
        rule = ["FORWARD", direction, uplink, "-j", "ACCEPT"]
        there = _quietly(program, "-C", *rule)
        if wanted and not there:
            _quietly(program, "-I", *rule)
        while not wanted and there:
            _quietly(program, "-D", *rule)
            there = _quietly(program, "-C", *rule)


def _quietly(*command: str) -> bool:
    return subprocess.run([command[0], "-w", "5", *command[1:]], capture_output=True, check=False).returncode == 0
