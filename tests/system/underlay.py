# SPDX-License-Identifier: Apache-2.0
"""What goes over the wire between the hosts of a fleet, taken apart."""

from __future__ import annotations

import contextlib
import socket
import struct
from dataclasses import dataclass

from tests.fleet import Fleet
from tests.system.netd import frames
from tests.system.netd.talk import inside
from zun_lite.netd import overlay

_ALL, _RCVBUFFORCE = 0x0003, 33
ARP, IPV4, IPV6, ICMPV6 = 0x0806, 0x0800, 0x86DD, 58


@dataclass(frozen=True)
class Tunnelled:
    """A frame in a tunnel. kind: its EtherType. outer_target: the underlay's address that it was sent to."""

    vni: int
    kind: int
    outer_target: str
    frame: bytes

    @property
    def asks_for_an_address(self) -> bool:
        """Whether it is ARP, or neighbour or router discovery."""
        if self.kind == IPV6:
            return self.frame[20] == ICMPV6 and 133 <= self.frame[54] <= 137
        return self.kind == ARP

    @property
    def is_unicast(self) -> bool:
        return not self.frame[0] & 1 and int(self.outer_target.split(".")[0]) < 224


class Underlay:
    """Sees the underlay's wire from its making on. A frame is seen once for each link of the switch that it takes."""

    def __init__(self, fleet: Fleet) -> None:
        def opened() -> socket.socket:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
            sock.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, 64 << 20)
            return sock

        self._fleet = fleet
        self._sock = inside(fleet.switch, opened)
        self._sock.setblocking(False)

    def seen(self) -> list[Tunnelled]:
        """Tunnelled frames since the last time."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = self._sock.recv(65536)
                if packet[12:14] != b"\x08\x00" or packet[23] != 17:
                    continue
                if packet[36:38] == struct.pack("!H", overlay.UDP_PORT):
                    inner = packet[50:]
                    target = socket.inet_ntoa(packet[30:34])
                    kind = int.from_bytes(inner[12:14])
                    found.append(Tunnelled(int.from_bytes(packet[46:49]), kind, target, inner))
        return found

    def send_arp_in_a_tunnel(self, vni: int, to: str) -> None:
        """What must not be seen otherwise, so that it is known that it would be."""
        frame = frames.arp("fa:16:3e:00:00:01", "fa:16:3e:00:00:01", "10.1.0.1", "10.1.0.2")

        def send() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"\x08\0\0\0" + vni.to_bytes(3) + b"\0" + frame, (to, overlay.UDP_PORT))

        inside(self._fleet.hub, send)

    def close(self) -> None:
        self._sock.close()
