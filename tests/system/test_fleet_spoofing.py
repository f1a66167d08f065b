# SPDX-License-Identifier: Apache-2.0
"""Forged frames from containers of a whole cloud: none arrives, at a neighbour on the same host or on another one.

The sender has every privilege in its own namespace. The same frames are sent by a port without port security,
from which all pass that a tunnel can carry, and each time a legitimate frame follows them and arrives.
"""

from __future__ import annotations

import struct
import uuid

from tests.functional.case import PATIENT
from tests.system.fleet_case import FleetTestCase, Place
from tests.system.netd import frames
from tests.system.netd.frames import MARK
from zun_lite.netd.rulebook import link_local

FOREIGN_MAC = "fa:16:3e:99:99:99"
FOREIGN4, FOREIGN6 = "10.1.0.77", "fd00:1::77"
TIMES = 20


class FleetSpoofingTests(FleetTestCase):
    size = 2

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.network = cls.fleet.make_dual_network(name="spoofed")
        ports = [
            cls.make("port", "ports", network_id=cls.network, **({} if guarded else {"port_security_enabled": False}))
            for guarded in (True, False, False, False)
        ]
        cls.guarded, cls.free, cls.near, cls.far = cls.run_all(
            [
                {"name": name, "host": host, "nets": [{"port": port["id"]}], "command": PATIENT}
                for (name, host), port in zip(
                    (("guarded", "h1"), ("free", "h1"), ("near", "h1"), ("far", "h2")), ports, strict=True
                )
            ]
        )
        cls.fleet.wait_planes()

    def test_none_of_what_a_guarded_port_forges_arrives_and_all_does_without_the_guard(self) -> None:
        """A10."""
        counted = 0
        for victim in (self.near, self.far):
            for sender, passes in ((self.guarded, False), (self.free, True)):
                forged = self.forged(sender, victim)
                arrived = self.count(sender, victim, list(forged.values()))
                for what, times in zip(forged, arrived, strict=True):
                    # a tunnel carries what is for one known member; requests to all never leave the host
                    wanted = TIMES if passes and (victim is self.near or self.is_for_one(forged[what])) else 0
                    self.assertEqual(wanted, times, f"{what} from {sender.name} to {victim.name}")
                counted += 0 if passes else len(forged) * TIMES
        print(f"\nspoofing: 0 of {counted} forged frames passed, near and far; with the guard off they did")

    def forged(self, sender: Place, victim: Place) -> dict[str, bytes]:
        mac, v4, v6, to = sender.mac, sender.v4, sender.v6, victim
        own, foreign = link_local(mac), link_local(FOREIGN_MAC)

        def arp_to_one(sender_mac: str, address: str) -> bytes:
            return frames.octets(to.mac) + frames.arp(mac, sender_mac, address, to.v4, operation=2)[6:]

        def discovery(kind: int, source: str, target: str, option: int, option_mac: str) -> bytes:
            message = struct.pack("!BBHI", kind, 0, 0, 0x20000000 if kind == 136 else 0) + frames.packed(target)
            message += bytes([option, 1]) + frames.octets(option_mac)
            return frames.icmp6(mac, to.mac, source, to.v6, message)

        advert = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0)
        return {
            "ARP to all for another's address": frames.arp(mac, mac, FOREIGN4, to.v4),
            "an ARP answer for the gateway": arp_to_one(mac, "10.1.0.1"),
            "an ARP answer with another MAC": arp_to_one(FOREIGN_MAC, v4),
            "IPv4 from another MAC": frames.udp4(FOREIGN_MAC, to.mac, v4, to.v4, (4000, 4001), MARK),
            "IPv4 from another address": frames.udp4(mac, to.mac, FOREIGN4, to.v4, (4000, 4001), MARK),
            "IPv4 from outside": frames.udp4(mac, to.mac, "8.8.8.8", to.v4, (53, 4001), MARK),
            "IPv6 from another MAC": frames.udp6(FOREIGN_MAC, to.mac, v6, to.v6, (4000, 4001), MARK),
            "IPv6 from another address": frames.udp6(mac, to.mac, FOREIGN6, to.v6, (4000, 4001), MARK),
            "IPv6 from another's link-local address": frames.udp6(mac, to.mac, foreign, to.v6, (4000, 4001), MARK),
            "an advertisement to all": frames.advertisement(mac, v6, "fd00:1::1", mac),
            "an advertisement of the gateway": discovery(136, v6, "fd00:1::1", 2, mac),
            "a solicitation from another's address": discovery(135, FOREIGN6, to.v6, 1, mac),
            "a router's advertisement to all": frames.router_advertisement(mac, own),
            "a router's advertisement": frames.icmp6(mac, to.mac, own, to.v6, advert),
            "a DHCP server's answer": frames.udp4(mac, to.mac, v4, to.v4, (67, 68), MARK),
            "a DHCP server's answer to all": frames.udp4(mac, frames.BROADCAST, v4, "255.255.255.255", (67, 68), MARK),
            "a DHCPv6 server's answer": frames.udp6(mac, to.mac, v6, to.v6, (547, 546), MARK),
        }

    def count(self, sender: Place, victim: Place, forged: list[bytes]) -> list[int]:
        """How often each arrived before the legitimate frames that were sent after them, one in each family."""
        listener = frames.Listener(victim)
        try:
            frames.send(sender, forged, TIMES)
            seen: list[bytes] = []
            for last in (MARK + uuid.uuid4().bytes, MARK + uuid.uuid4().bytes):
                six = frames.udp6(sender.mac, victim.mac, sender.v6, victim.v6, (4000, 4000), last)
                four = frames.udp4(sender.mac, victim.mac, sender.v4, victim.v4, (4000, 4000), last)
                frames.send(sender, [six if seen else four])
                seen += [*listener.frames(until=last), last]
        finally:
            listener.close()
        return [sum(1 for frame in seen if frame == item) for item in forged]

    def is_for_one(self, frame: bytes) -> bool:
        return not frame[0] & 1
