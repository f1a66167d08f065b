# SPDX-License-Identifier: Apache-2.0
"""Telling a network's other members that an address has a new owner.

Without it a neighbour that had spoken to the address's former owner would go on sending to that
one's MAC until its cache expires. The frames are put on the bridge itself, which reaches every other
port at once, while the new port may still be a moment away from forwarding.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable

from zun_lite.domain.wiring import Endpoint
from zun_lite.netd import namespaces
from zun_lite.netd.names import BRIDGE

_BROADCAST = b"\xff" * 6
_ALL_NODES = ipaddress.IPv6Address("ff02::1").packed
_ALL_NODES_MAC = bytes.fromhex("333300000001")
_ARP, _IPV6, _ICMPV6 = 0x0806, 0x86DD, 58


def announce(switch_fd: int, endpoint: Endpoint) -> None:
    """Announce each of an endpoint's addresses on its network's bridge."""
    send(switch_fd, BRIDGE, frames(endpoint))


def announce_all(namespace_fd: int, link: str, owners: Iterable[tuple[str, str]]) -> None:
    """Announce pairs of address and MAC by a link of a namespace."""
    send(namespace_fd, link, [_frame(ip, mac) for ip, mac in owners])


def frames(endpoint: Endpoint) -> list[bytes]:
    """A gratuitous ARP request for each IPv4 address, an unsolicited neighbour advertisement for each IPv6 one."""
    return [_frame(address.ip, endpoint.mac) for address in endpoint.addresses]


def send(namespace_fd: int, link: str, together: list[bytes]) -> None:
    """Send frames by a link of a namespace."""

    def work() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind((link, 0))
            for frame in together:
                sock.send(frame)

    if together:
        namespaces.inside(namespace_fd, work)


def _frame(ip: str, mac: str) -> bytes:
    address, octets = ipaddress.ip_address(ip), bytes.fromhex(mac.replace(":", ""))
    return _arp(octets, address.packed) if address.version == 4 else _advertisement(octets, address.packed)


def _arp(mac: bytes, ip: bytes) -> bytes:
    return _BROADCAST + mac + struct.pack("!HHHBBH", _ARP, 1, 0x0800, 6, 4, 1) + mac + ip + bytes(6) + ip


def _advertisement(mac: bytes, ip: bytes) -> bytes:
    override, link_layer_option = 0x20000000, b"\x02\x01" + mac
    body = struct.pack("!I", override) + ip + link_layer_option
    length = 4 + len(body)
    pseudo = ip + _ALL_NODES + struct.pack("!II", length, _ICMPV6)
    message = struct.pack("!BBH", 136, 0, _checksum(pseudo + struct.pack("!BBH", 136, 0, 0) + body)) + body
    header = struct.pack("!IHBB", 6 << 28, length, _ICMPV6, 255) + ip + _ALL_NODES
    return _ALL_NODES_MAC + mac + struct.pack("!H", _IPV6) + header + message


def _checksum(octets: bytes) -> int:
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
