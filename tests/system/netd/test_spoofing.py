# SPDX-License-Identifier: Apache-2.0
"""Forged frames from within a container: none arrives at its neighbour, and all do where the guard is off.

The sender has every privilege in its own namespace. Each case sends the same frames twice, from a port
that is guarded and from one that the plane frees of the guard, and a legitimate frame after them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from tests.system.netd import frames
from tests.system.netd.frames import MARK
from tests.system.netd.host import Container, new_id
from tests.system.netd.planes import EVERYTHING, PlaneTestCase, member, network, port
from zun_lite.domain.plane import AddressPair
from zun_lite.domain.wiring import Endpoint
from zun_lite.netd import rulebook

FOREIGN_MAC = "fa:16:3e:99:99:99"
TIMES = 50


class SpoofingTests(PlaneTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.network_id = new_id()
        self.guarded, self.free, self.victim = (member(self.network_id, last) for last in (5, 6, 7))
        group = self.group(*EVERYTHING)
        self.networks["one"] = network(
            self.network_id,
            [
                port(self.guarded, group),
                port(self.free, group, port_security=False),
                # so that nothing but the sender's guard stands between
                port(self.victim, group, port_security=False),
            ],
        )
        self.give()
        self.senders = {end.port_id: self.joined(end) for end in (self.guarded, self.free)}
        self.target = self.joined(self.victim)

    def check(self, make: Callable[[Endpoint], list[bytes]], times: int = TIMES) -> None:
        """make: what an endpoint forges."""
        for end, wanted in ((self.guarded, 0), (self.free, times)):
            forged = make(end)
            arrived = self.count(self.senders[end.port_id], end, forged, times)
            self.assertEqual([wanted] * len(forged), arrived, "guarded" if end is self.guarded else "not guarded")

    def count(self, sender: Container, end: Endpoint, forged: list[bytes], times: int) -> list[int]:
        """How often each arrived at the neighbour before a legitimate one that was sent after them."""
        listener = frames.Listener(self.target)
        try:
            frames.send(sender, forged, times)
            last = MARK + new_id().encode()
            frames.send(sender, [self.legitimate(end, last)])
            seen = listener.frames(until=last)
        finally:
            listener.close()
        return [sum(1 for frame in seen if frame == item) for item in forged]

    def legitimate(self, end: Endpoint, body: bytes) -> bytes:
        return frames.udp4(end.mac, self.victim.mac, end.addresses[0].ip, "10.1.0.7", (4000, 4000), body)

    def test_arp_for_anothers_address_or_with_anothers_mac_does_not_pass(self) -> None:
        """A10."""
        self.check(
            lambda end: [
                frames.arp(end.mac, end.mac, "10.1.0.1", "10.1.0.7"),
                frames.arp(end.mac, end.mac, "10.1.0.1", "10.1.0.1", operation=2),
                frames.arp(end.mac, FOREIGN_MAC, end.addresses[0].ip, "10.1.0.7"),
                frames.arp(FOREIGN_MAC, end.mac, end.addresses[0].ip, "10.1.0.7"),
                frames.arp(end.mac, end.mac, "0.0.0.0", "10.1.0.7"),
            ]
        )

    def test_ipv4_from_anothers_address_or_mac_does_not_pass(self) -> None:
        self.check(
            lambda end: [
                frames.udp4(end.mac, self.victim.mac, "10.1.0.1", "10.1.0.7", (4000, 4001), MARK),
                frames.udp4(end.mac, self.victim.mac, "8.8.8.8", "10.1.0.7", (53, 4001), MARK),
                frames.udp4(FOREIGN_MAC, self.victim.mac, end.addresses[0].ip, "10.1.0.7", (4000, 4001), MARK),
                frames.udp4(end.mac, frames.BROADCAST, "10.1.0.1", "10.1.0.255", (4000, 4001), MARK),
            ]
        )

    def test_ipv6_from_anothers_address_or_mac_does_not_pass(self) -> None:
        foreign = rulebook.link_local(FOREIGN_MAC)
        self.check(
            lambda end: [
                frames.udp6(end.mac, self.victim.mac, "fd00:1::1", "fd00:1::7", (4000, 4001), MARK),
                frames.udp6(end.mac, self.victim.mac, foreign, "fd00:1::7", (4000, 4001), MARK),
                frames.udp6(FOREIGN_MAC, self.victim.mac, end.addresses[1].ip, "fd00:1::7", (4000, 4001), MARK),
                frames.udp6(end.mac, "33:33:00:00:00:01", "::", "ff02::1", (4000, 4001), MARK),
            ]
        )

    def test_neighbours_and_routers_cannot_be_feigned_by_ipv6(self) -> None:
        """A10."""
        self.check(
            lambda end: [
                frames.advertisement(end.mac, end.addresses[1].ip, "fd00:1::1", end.mac),
                frames.advertisement(end.mac, "fd00:1::1", "fd00:1::1", end.mac),
                frames.advertisement(end.mac, rulebook.link_local(end.mac), "fd00:1::7", FOREIGN_MAC),
                frames.router_advertisement(end.mac, rulebook.link_local(end.mac)),
                frames.icmp6(
                    end.mac,
                    self.victim.mac,
                    rulebook.link_local(end.mac),
                    "fd00:1::7",
                    struct.pack("!BBHI", 137, 0, 0, 0) + frames.packed("fd00:1::5") + frames.packed("fd00:9::9"),
                ),
            ]
        )

    def test_an_address_that_another_has_cannot_be_claimed_or_asked_for_by_ipv6(self) -> None:
        self.check(
            lambda end: [
                frames.solicitation(end.mac, "::", "fd00:1::7"),
                frames.solicitation(end.mac, "fd00:1::1", "fd00:1::7"),
                frames.solicitation(FOREIGN_MAC, end.addresses[1].ip, "fd00:1::7"),
                frames.solicitation(end.mac, rulebook.link_local(FOREIGN_MAC), "fd00:1::7"),
            ]
        )

    def test_options_before_a_message_of_ipv6_hide_nothing(self) -> None:
        self.check(
            lambda end: [
                frames.behind_options(message, kind)
                for kind in (0, 60)
                for message in (
                    frames.router_advertisement(end.mac, rulebook.link_local(end.mac)),
                    frames.advertisement(end.mac, end.addresses[1].ip, "fd00:1::1", end.mac),
                    frames.udp6(end.mac, self.victim.mac, end.addresses[1].ip, "fd00:1::7", (547, 546), MARK),
                    frames.udp6(end.mac, self.victim.mac, "fd00:1::1", "fd00:1::7", (4000, 4001), MARK),
                )
            ]
        )

    def test_what_neighbours_ask_each_other_by_ipv6_passes(self) -> None:
        end = self.guarded
        own, local = end.addresses[1].ip, rulebook.link_local(end.mac)
        asked = [
            frames.solicitation(end.mac, "::", own),
            frames.solicitation(end.mac, own, "fd00:1::7"),
            frames.solicitation(end.mac, local, "fd00:1::7"),
            frames.advertisement(end.mac, own, own, end.mac),
        ]
        self.assertEqual([1] * len(asked), self.count(self.senders[end.port_id], end, asked, 1))

    def test_a_container_is_no_dhcp_server(self) -> None:
        self.check(
            lambda end: [
                frames.udp4(end.mac, frames.BROADCAST, end.addresses[0].ip, "255.255.255.255", (67, 68), MARK),
                frames.udp4(end.mac, self.victim.mac, end.addresses[0].ip, "10.1.0.7", (67, 68), MARK),
                frames.udp6(end.mac, self.victim.mac, end.addresses[1].ip, "fd00:1::7", (547, 546), MARK),
            ]
        )

    def test_tagged_frames_and_other_protocols_do_not_pass(self) -> None:
        """A10."""
        self.check(
            lambda end: [
                frames.tagged(self.legitimate(end, MARK)),
                frames.tagged(frames.tagged(self.legitimate(end, MARK)), kind=0x88A8),
                frames.ether(end.mac, self.victim.mac, 0x8864, b"\x11\x00\x00\x01\x00\x20\x00\x21" + bytes(40)),
                frames.ether(end.mac, frames.BROADCAST, 0x88CC, bytes(46)),
                frames.ether(end.mac, frames.BROADCAST, 0x8035, bytes(46)),
            ],
        )

    def test_an_address_pair_lets_through_what_it_names_and_no_more(self) -> None:
        state = port(
            self.guarded,
            *self.networks["one"].ports[0].groups,
            allowed_address_pairs=(AddressPair("10.1.0.200"), AddressPair("10.9.0.0/16", FOREIGN_MAC)),
        )
        self.networks["one"] = network(self.network_id, [state, *self.networks["one"].ports[1:]])
        self.give()
        end = self.guarded
        cases = [
            (frames.udp4(end.mac, self.victim.mac, "10.1.0.200", "10.1.0.7", (4000, 4001), MARK), 1),
            (frames.arp(end.mac, end.mac, "10.1.0.200", "10.1.0.7"), 1),
            (frames.udp4(FOREIGN_MAC, self.victim.mac, "10.9.3.4", "10.1.0.7", (4000, 4001), MARK), 1),
            (frames.udp4(end.mac, self.victim.mac, "10.9.3.4", "10.1.0.7", (4000, 4001), MARK), 0),
            (frames.udp4(end.mac, self.victim.mac, "10.1.0.201", "10.1.0.7", (4000, 4001), MARK), 0),
        ]
        arrived = self.count(self.senders[end.port_id], end, [frame for frame, _ in cases], 1)

        self.assertEqual([wanted for _, wanted in cases], arrived)
