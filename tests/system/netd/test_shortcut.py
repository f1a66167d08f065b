# SPDX-License-Identifier: Apache-2.0
"""TCP between ports that are open to each other takes the short way, and nothing else does.

Whether it did is told by the tracking of connections, which what goes by the bridge is under.
"""

from __future__ import annotations

import socket
import struct

from tests.system.netd import frames
from tests.system.netd.frames import MARK
from tests.system.netd.host import Container, new_id
from tests.system.netd.planes import EVERYTHING, OUTWARD, PlaneTestCase, member, network, port
from tests.system.netd.talk import Flow, connects, inside, listening, reaches_soon, socket_in
from zun_lite.domain.plane import AddressPair, GroupState, Rule
from zun_lite.domain.wiring import Endpoint
from zun_lite.netd import namespaces, nft

TCP = 6
SO_MARK = 36
FOREIGN_MAC = "fa:16:3e:99:99:99"
TIMES = 20


def inward(protocol: int | None = None, first: int | None = None, group: str | None = None) -> tuple[Rule, ...]:
    return tuple(Rule("ingress", family, protocol, first, first, remote_group=group) for family in ("IPv4", "IPv6"))


class ShortWayTests(PlaneTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.network_id = new_id()
        self.networks["one"] = network(self.network_id, [])

    def joined_as(self, *group_ids: str, last: int | None = None, **fields) -> tuple[Container, Endpoint]:
        ports = self.networks["one"].ports
        end = member(self.network_id, last or 5 + len(ports))
        self.networks["one"] = network(self.network_id, [*ports, port(end, *group_ids, **fields)])
        return self.joined(end), end

    def tracked(self, server: Container, client: Container, end: Endpoint, number: int = 80) -> list[bool]:
        """Whether a connection to each of an endpoint's addresses, which must come about, went by the bridge."""
        found = []
        for address in end.addresses:
            with listening(server, address.ip, number), socket_in(client, address.ip, socket.SOCK_STREAM) as asker:
                asker.settimeout(4)
                asker.connect((address.ip, number))
                own = asker.getsockname()[1]
            lines = inside(self.namespace(self.network_id), self.connections).splitlines()
            found.append(any(f"sport={own} dport={number} " in line for line in lines))
        return found

    @staticmethod
    def connections() -> str:
        with open("/proc/thread-self/net/nf_conntrack") as file:
            return file.read()

    def give_rules(self, group_id: str, *rules: Rule) -> None:
        self.groups[group_id] = GroupState(group_id, rules)
        self.give()

    def test_ports_whose_groups_let_each_other_in_take_it(self) -> None:
        group_id = self.group()
        client, _ = self.joined_as(group_id)
        server, at = self.joined_as(group_id)
        for short, rules in (
            (True, EVERYTHING),
            (True, (*OUTWARD, *inward(group=group_id))),
            (True, (*OUTWARD, *inward(TCP))),
            (False, (*OUTWARD, *inward(TCP, 80))),
            (False, (*OUTWARD, Rule("ingress", remote_prefix="10.1.0.0/24"), Rule("ingress", "IPv6", TCP, 80, 80))),
            (True, (*OUTWARD, Rule("ingress", remote_prefix="0.0.0.0/0"), *inward(group=group_id)[1:])),
        ):
            with self.subTest(rules=rules):
                self.give_rules(group_id, *rules)
                self.assertEqual([not short] * 2, self.tracked(server, client, at))

    def test_ports_of_other_groups_and_unguarded_ones_go_by_the_bridge(self) -> None:
        one, other = self.group(*EVERYTHING), self.group(*EVERYTHING)
        client, _ = self.joined_as(one)
        same, same_at = self.joined_as(one)
        stranger, stranger_at = self.joined_as(other)
        both, both_at = self.joined_as(one, other)
        self.give()

        self.assertEqual([False] * 2, self.tracked(same, client, same_at))
        self.assertEqual([True] * 2, self.tracked(stranger, client, stranger_at))
        self.assertEqual([True] * 2, self.tracked(both, client, both_at))

    def test_only_addresses_that_the_plane_knows_for_the_port_take_it(self) -> None:
        group_id = self.group(*EVERYTHING)
        client, _ = self.joined_as(group_id)
        server, at = self.joined_as(group_id)
        known = port(at, group_id, allowed_address_pairs=(AddressPair(at.addresses[0].ip),))
        known = type(known)(**{**vars(known), "addresses": (at.addresses[1].ip,)})
        self.networks["one"] = network(self.network_id, [self.networks["one"].ports[0], known])
        self.give()

        self.assertEqual([True, False], self.tracked(server, client, at))

    def test_a_port_that_is_limited_in_what_it_sends_does_not_take_it(self) -> None:
        group_id = self.group(*EVERYTHING)
        client, own = self.joined_as(group_id, kbps_out=20_000)
        server, at = self.joined_as(group_id, kbps_in=20_000)
        self.give()
        self.assertEqual([True, True], self.tracked(server, client, at))
        self.networks["one"] = network(self.network_id, [port(own, group_id), port(at, group_id, kbps_in=20_000)])
        self.give()
        self.assertEqual([False, False], self.tracked(server, client, at, 81))

    def test_forged_frames_do_not_take_it_and_legitimate_ones_do(self) -> None:
        group_id = self.group(*EVERYTHING)
        sender, end = self.joined_as(group_id)
        victim, at = self.joined_as(group_id)
        free, free_end = self.joined_as(group_id, port_security=False)
        self.give()
        four, six = (address.ip for address in at.addresses)

        def forged(own: Endpoint) -> list[bytes]:
            mine = frames.opening4(own.mac, at.mac, own.addresses[0].ip, four, (4000, 81), MARK)
            return [
                frames.opening4(own.mac, at.mac, "10.1.0.1", four, (4000, 81), MARK),
                frames.opening4(FOREIGN_MAC, at.mac, own.addresses[0].ip, four, (4001, 81), MARK),
                frames.opening4(own.mac, at.mac, "8.8.8.8", four, (4002, 81), MARK),
                frames.opening6(own.mac, at.mac, "fd00:1::1", six, (4000, 81), MARK),
                frames.opening6(FOREIGN_MAC, at.mac, own.addresses[1].ip, six, (4001, 81), MARK),
                frames.tagged(mine),
            ]

        def legitimate(own: Endpoint) -> list[bytes]:
            return [
                frames.opening4(own.mac, at.mac, own.addresses[0].ip, four, (4005, 81), MARK),
                frames.opening6(own.mac, at.mac, own.addresses[1].ip, six, (4005, 81), MARK),
            ]

        arrived = self.count(sender, end, victim, at, forged(end) + legitimate(end))
        self.assertEqual([0] * 6 + [TIMES] * 2, arrived)
        arrived = self.count(free, free_end, victim, at, forged(free_end) + legitimate(free_end))
        self.assertEqual([TIMES] * 8, arrived, "from a port without a guard")

    def count(
        self, sender: Container, own: Endpoint, receiver: Container, at: Endpoint, sent: list[bytes]
    ) -> list[int]:
        """How often each arrived before what was sent last, which does."""
        last = MARK + new_id().encode()
        listener = frames.Listener(receiver)
        try:
            frames.send(sender, sent, TIMES)
            addresses = own.addresses[0].ip, at.addresses[0].ip
            frames.send(sender, [frames.udp4(own.mac, at.mac, *addresses, (4000, 4000), last)])
            seen = listener.frames(until=last)
        finally:
            listener.close()
        return [sum(1 for frame in seen if frame == item) for item in sent]

    def test_a_mark_that_a_container_puts_on_its_packets_counts_for_nothing(self) -> None:
        shut, opened = self.group(*OUTWARD), self.group(*EVERYTHING)
        server, at = self.joined_as(shut)
        liar, _ = self.joined_as(shut)
        self.joined_as(opened)
        self.give()
        address = at.addresses[0].ip
        with listening(server, address, 80):
            for mark in range(1, 8):
                with socket_in(liar, address, socket.SOCK_STREAM) as asker:
                    asker.setsockopt(socket.SOL_SOCKET, SO_MARK, struct.pack("=I", mark))
                    asker.settimeout(0.3)
                    self.assertRaises(TimeoutError, asker.connect, (address, 80))
            self.give_rules(shut, *EVERYTHING)
            self.assertTrue(connects(liar, address, 80))

    def test_a_flow_on_it_ends_with_its_rule_and_lives_on_under_a_narrower_one(self) -> None:
        group_id = self.group(*EVERYTHING)
        client, _ = self.joined_as(group_id)
        server, at = self.joined_as(group_id)
        self.give()
        for address in (item.ip for item in at.addresses):
            with self.subTest(address=address), Flow(client, server, address, 80, socket.SOCK_STREAM) as flow:
                self.assertEqual((True, True), flow.goes_on())
                self.give_rules(group_id, *OUTWARD)
                self.assertEqual((False, False), flow.goes_on())
                self.give_rules(group_id, *OUTWARD, *inward(TCP, 80))
                flow.settle()
                self.assertEqual((True, True), flow.goes_on())
                self.give_rules(group_id, *EVERYTHING)
                for _ in range(40):
                    self.assertEqual((True, True), flow.goes_on())
                self.give_rules(group_id, *OUTWARD, *inward(TCP, 80))
                flow.settle()
                self.assertEqual((True, True), flow.goes_on())

    def test_a_port_that_is_wired_anew_is_reached_and_one_that_is_gone_is_not(self) -> None:
        group_id = self.group(*EVERYTHING)
        client, _ = self.joined_as(group_id)
        server, at = self.joined_as(group_id)
        self.give()
        self.assertEqual([False] * 2, self.tracked(server, client, at))
        server.end()
        again = self.container()
        again.container_id = server.container_id
        self.netd.wire(again.container_id, again.pid)
        self.assertEqual([False] * 2, self.tracked(again, client, at))
        self.netd.unplug(again.container_id)
        self.assertFalse(reaches_soon(client, at.addresses[0].ip, 80))

    def test_netd_that_starts_again_puts_ports_on_it(self) -> None:
        group_id = self.group(*EVERYTHING)
        client, _ = self.joined_as(group_id)
        server, at = self.joined_as(group_id)
        self.give()
        self.host.kill()
        with namespaces.opened(self.namespace(self.network_id)) as descriptor:
            nft.run(descriptor, "delete table netdev zl\n")
        self.assertEqual([True] * 2, self.tracked(server, client, at))
        self.host.start()
        self.give()
        self.assertEqual([False] * 2, self.tracked(server, client, at, 81))
