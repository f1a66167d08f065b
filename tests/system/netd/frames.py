# SPDX-License-Identifier: Apache-2.0
"""Frames put together by hand, sent from within a container, and counted where they must not arrive."""

from __future__ import annotations

import ipaddress
import os
import select
import socket
import struct
import time
from collections.abc import Callable

from tests.system.netd.host import Container
from zun_lite.netd import namespaces

BROADCAST = "ff:ff:ff:ff:ff:ff"
_ALL = 0x0003
_RCVBUFFORCE = 33
_SOL_PACKET, _AUXDATA, _VLAN_VALID, _VLAN_TPID_VALID = 263, 8, 0x10, 0x40
MARK = b"zun-lite-frame-"


def send(container: Container, frames: list[bytes], times: int = 1) -> None:
    """Send from the container's eth0 as something with every privilege in it would."""

    def work() -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
            sock.bind(("eth0", 0))
            for _ in range(times):
                for frame in frames:
                    sock.send(frame)

    _inside(container, work)


class Listener:
    """Counts what arrives at a container's eth0, whatever it is addressed to."""

    def __init__(self, container: Container) -> None:
        def opened() -> socket.socket:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
            sock.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, 64 << 20)
            sock.setsockopt(_SOL_PACKET, _AUXDATA, 1)
            sock.bind(("eth0", _ALL))
            return sock

        self._sock = _inside(container, opened)
        self._sock.setblocking(False)

    def frames(self, until: bytes, timeout_seconds: float = 5.0) -> list[bytes]:
        """All frames up to one that bears these octets, which must come: it was sent last and is let through."""
        found: list[bytes] = []
        deadline = time.monotonic() + timeout_seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._sock], [], [], left)[0]:
                break
            frame, notes, _, address = self._sock.recvmsg(65536, 1024)
            if address[2] == socket.PACKET_OUTGOING:
                continue
            frame = _with_tag(frame, notes)
            if until in frame:
                return found
            found.append(frame)
        raise AssertionError(f"the last frame did not come; {len(found)} others did")

    def close(self) -> None:
        self._sock.close()


def ether(source: str, target: str, kind: int, body: bytes) -> bytes:
    return octets(target) + octets(source) + struct.pack("!H", kind) + body


def arp(source: str, sender_mac: str, sender_ip: str, target_ip: str, operation: int = 1) -> bytes:
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, operation) + octets(sender_mac) + packed(sender_ip)
    return ether(source, BROADCAST, 0x0806, body + bytes(6) + packed(target_ip))


def udp4(source: str, target: str, source_ip: str, target_ip: str, ports: tuple[int, int], body: bytes) -> bytes:
    datagram = struct.pack("!HHHH", *ports, 8 + len(body), 0) + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(datagram), 1, 0, 64, 17, 0) + packed(source_ip)
    head += packed(target_ip)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return ether(source, target, 0x0800, head + datagram)


def opening4(source: str, target: str, source_ip: str, target_ip: str, ports: tuple[int, int], body: bytes) -> bytes:
    """The packet that opens a TCP connection, with a body."""
    segment = struct.pack("!HHIIBBHHH", *ports, 1, 0, 0x50, 0x02, 64000, 0, 0) + body
    pseudo = packed(source_ip) + packed(target_ip) + struct.pack("!HH", 6, len(segment))
    segment = segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, 6, 0) + packed(source_ip) + packed(target_ip)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return ether(source, target, 0x0800, head + segment)


def opening6(source: str, target: str, source_ip: str, target_ip: str, ports: tuple[int, int], body: bytes) -> bytes:
    segment = struct.pack("!HHIIBBHHH", *ports, 1, 0, 0x50, 0x02, 64000, 0, 0) + body
    return ip6(source, target, source_ip, target_ip, 6, segment, 16)


def udp6(source: str, target: str, source_ip: str, target_ip: str, ports: tuple[int, int], body: bytes) -> bytes:
    length = 8 + len(body)
    datagram = struct.pack("!HHHH", *ports, length, 0) + body
    return ip6(source, target, source_ip, target_ip, 17, datagram, 6)


def icmp6(source: str, target: str, source_ip: str, target_ip: str, message: bytes) -> bytes:
    return ip6(source, target, source_ip, target_ip, 58, message, 2)


def advertisement(source: str, source_ip: str, target_ip: str, mac: str) -> bytes:
    """A neighbour advertisement that an address is at a MAC."""
    message = struct.pack("!BBHI", 136, 0, 0, 0x20000000) + packed(target_ip) + b"\x02\x01" + octets(mac)
    return icmp6(source, "33:33:00:00:00:01", source_ip, "ff02::1", message)


def router_advertisement(source: str, source_ip: str) -> bytes:
    message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
    return icmp6(source, "33:33:00:00:00:01", source_ip, "ff02::1", message)


def solicitation(source: str, source_ip: str, target_ip: str) -> bytes:
    """Who has this address? From :: it is what a host asks before it takes the address."""
    message = struct.pack("!BBHI", 135, 0, 0, 0) + packed(target_ip)
    if source_ip != "::":
        message += b"\x01\x01" + octets(source)
    group = ipaddress.IPv6Address(b"\xff\x02" + bytes(9) + b"\x01\xff" + packed(target_ip)[-3:])
    return icmp6(source, "33:33:ff:" + packed(target_ip)[-3:].hex(":"), source_ip, str(group), message)


def behind_options(frame: bytes, kind: int) -> bytes:
    """A frame of IPv6 with a header of options before its message. kind: 0 hop by hop, 60 for the destination."""
    head, body = frame[14:54], frame[54:]
    options = bytes([head[6], 0, 1, 4, 0, 0, 0, 0])
    head = head[:4] + struct.pack("!HB", len(options) + len(body), kind) + head[7:]
    return frame[:14] + head + options + body


def tagged(frame: bytes, vlan: int = 7, kind: int = 0x8100) -> bytes:
    return frame[:12] + struct.pack("!HH", kind, vlan) + frame[12:]


def ip6(
    source: str, target: str, source_ip: str, target_ip: str, protocol: int, body: bytes, checksum_at: int
) -> bytes:
    pseudo = packed(source_ip) + packed(target_ip) + struct.pack("!II", len(body), protocol)
    body = body[:checksum_at] + struct.pack("!H", checksum(pseudo + body)) + body[checksum_at + 2 :]
    head = struct.pack("!IHBB", 6 << 28, len(body), protocol, 255) + packed(source_ip) + packed(target_ip)
    return ether(source, target, 0x86DD, head + body)


def checksum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def octets(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def packed(ip: str) -> bytes:
    return ipaddress.ip_address(ip).packed


def _with_tag(frame: bytes, notes: list) -> bytes:
    """The frame as it was on the wire: the kernel takes a VLAN's tag off and notes it beside."""
    for level, kind, body in notes:
        if (level, kind) == (_SOL_PACKET, _AUXDATA):
            status, tci, tpid = struct.unpack_from("=I", body)[0], *struct.unpack_from("=HH", body, 16)
            if status & _VLAN_VALID:
                return tagged(frame, tci, tpid if status & _VLAN_TPID_VALID else 0x8100)
    return frame


def _inside(container: Container, work: Callable) -> socket.socket:
    descriptor = os.open(f"/proc/{container.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return namespaces.inside(descriptor, work)
    finally:
        os.close(descriptor)
