# SPDX-License-Identifier: Apache-2.0
"""External networks: a bridge of the machine, or one of ours that is let out by the host's own way.

Ours is in a namespace with the network's gateway addresses; a pair of links joins it to the host, which
translates what leaves. The host, and nobody outside, reaches floating IPs by it. Nothing that comes from
there reaches the host itself, nor link-local addresses behind it. Callers hold the external network's
lock.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from zun_lite.domain import errors
from zun_lite.domain.plane import ExternalState
from zun_lite.netd import devices, links, names, namespaces
from zun_lite.netd.tables import Tables

_MTU_BYTES = 1500
_OWN_NAMESPACE = "/proc/self/ns/net"


class Outside:
    """The external networks of this host."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._tables = Tables()
        self._opened_to_host: tuple[str, ...] = ()

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
        uplink = names.uplink(self._cluster, external.network_id)
        with _host() as host_fd, namespaces.opened(name) as outer_fd:
            links.ensure_bridge(outer_fd)
            namespaces.inside(outer_fd, lambda: namespaces.write_setting("ipv4/ip_forward", "1"))
            devices.give_bridge(outer_fd, list(external.addresses))
            devices.ensure_pair(outer_fd, names.HOST_END, f"{far}/31", host_fd, uplink, f"{near}/31")
            devices.set_routes(outer_fd, {"0.0.0.0/0": (near, None)})
            devices.add_routes(host_fd, uplink, {prefix: far for prefix in prefixes(external)})

    def open_host(self, externals: list[ExternalState]) -> None:
        """Let the host forward and translate for these networks, all others of ours no more."""
        own = [external for external in externals if external.bridge is None]
        uplinks = tuple(names.uplink(self._cluster, external.network_id) for external in own)
        with _host() as host_fd:
            table = names.host_table(self._cluster)
            self._tables.give("host", host_fd, host_rules(table, self._cluster, own))
        if own:
            namespaces.write_setting("ipv4/ip_forward", "1")
        for uplink in set(self._opened_to_host).difference(uplinks):
            _let_through(uplink, False)
        for uplink in uplinks:
            _let_through(uplink, True)
        self._opened_to_host = uplinks

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


def prefixes(external: ExternalState) -> list[str]:
    """The external network's own IPv4 prefixes."""
    found = [ipaddress.ip_interface(address).network for address in external.addresses]
    return [str(network) for network in found if network.version == 4]


def host_rules(table: str, cluster: str, externals: list[ExternalState]) -> str:
    """The host's own table; taken away when there is nothing to let out."""
    script = f"add table ip {table}\ndelete table ip {table}\n"
    if not externals:
        return script
    uplinks = ", ".join(f'"{names.uplink(cluster, external.network_id)}"' for external in externals)
    inside = ", ".join(prefix for external in externals for prefix in prefixes(external))
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


def transfer_addresses(network_id: str) -> tuple[str, str]:
    """The two addresses of the pair between the host and an external network: a /31 of its own.

    Of the range that is set aside for benchmarks, which no network is built with: link-local ones would not
    be forwarded.
    """
    number = int(hashlib.sha256(network_id.encode()).hexdigest()[:8], 16) % (2**15)
    base = int(ipaddress.IPv4Address("198.19.0.0")) + 2 * number
    return str(ipaddress.IPv4Address(base)), str(ipaddress.IPv4Address(base + 1))


@contextmanager
def _host() -> Iterator[int]:
    descriptor = os.open(_OWN_NAMESPACE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _let_through(uplink: str, wanted: bool) -> None:
    """Where a firewall of the host's drops what it forwards, as Docker's does, let this link through there.

    A table of ours cannot: what one table accepts another may still drop.
    """
    program = shutil.which("iptables", path="/usr/sbin:/sbin:/usr/bin:/bin")
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
