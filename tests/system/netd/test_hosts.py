# SPDX-License-Identifier: Apache-2.0
"""Tenants' networks over several hosts: three machines, each with a netd of its own, and a wire between."""

from __future__ import annotations

import socket
import struct

from tests.system.netd.fleet import FleetTestCase
from tests.system.netd.host import new_id
from tests.system.netd.planes import EVERYTHING, OUTWARD, member
from zun_lite.domain.plane import GroupState, Rule
from zun_lite.netd import namespaces, overlay


class Wire:
    """Sees all that goes over the wire between the machines."""

    def __init__(self, name: str) -> None:
        def opened() -> socket.socket:
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            sock.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
            return sock

        with namespaces.opened(name) as descriptor:
            self._sock = namespaces.inside(descriptor, opened)
        self._sock.setblocking(False)

    def inner(self) -> list[tuple[int, int]]:
        """(segment, kind of frame) of each tunnelled frame so far."""
        found = []
        while True:
            try:
                frame = self._sock.recv(65536)
            except BlockingIOError:
                return found
            if frame[12:14] == b"\x08\x00" and frame[23] == 17 and frame[36:38] == struct.pack("!H", overlay.UDP_PORT):
                found.append((int.from_bytes(frame[46:49]), int.from_bytes(frame[62:64])))

    def close(self) -> None:
        self._sock.close()


class HostsTests(FleetTestCase):
    size = 3

    def setUp(self) -> None:
        super().setUp()
        group = GroupState(new_id(), EVERYTHING)
        self.open = group.group_id
        self.groups[self.open] = group

    def test_a_network_spans_hosts_and_tenants_with_equal_addresses_do_not_meet(self) -> None:
        one, two, three = self.machines
        ours, theirs = self.network(1001), self.network(1002)
        a = self.joined(one, member(ours, 5), self.open)
        self.joined(two, member(ours, 6), self.open)
        c = self.joined(three, member(ours, 7), self.open)
        x = self.joined(one, member(theirs, 5), self.open)
        self.joined(two, member(theirs, 8), self.open)
        wire = Wire(self.wire)
        self.addCleanup(wire.close)
        self.give()

        for prefix in ("10.1.0.", "fd00:1::"):
            for sender, target, reached in (
                (a, 6, True), (a, 7, True), (c, 6, True), (x, 8, True),
                (a, 8, False), (x, 6, False), (x, 7, False), (c, 8, False),
            ):  # fmt: skip
                self.assertEqual(reached, sender.can_ping(f"{prefix}{target}"), f"{prefix}{target}")
        seen = wire.inner()
        self.assertEqual({1001, 1002}, {vni for vni, _ in seen})
        self.assertEqual(set(), {kind for _, kind in seen} - {0x0800, 0x86DD}, "no address is asked for on the wire")

    def test_what_is_not_announced_is_not_reached(self) -> None:
        one, two, _ = self.machines
        ours = self.network(1001)
        a = self.joined(one, member(ours, 5), self.open)
        self.give()
        self.joined(two, member(ours, 6), self.open)
        self.assertFalse(a.can_ping("10.1.0.6"))

        self.give()
        self.assertTrue(a.can_ping("10.1.0.6"))

        self.networks[ours][1].pop()
        self.give()
        self.assertFalse(a.can_ping("10.1.0.6"))

    def test_a_port_that_moved_is_found_at_its_new_host(self) -> None:
        one, two, three = self.machines
        ours, end = self.network(1001), None
        a = self.joined(one, member(ours, 5), self.open)
        end = member(ours, 6)
        old = self.joined(two, end, self.open)
        self.give()
        self.assertTrue(a.can_ping("10.1.0.6"))

        two.host.client.unplug(old.container_id)
        self.networks[ours][1].pop()
        self.joined(three, end, self.open)
        self.give()

        self.assertTrue(a.can_ping("10.1.0.6"))

    def test_an_addresss_new_owner_is_found_at_once_from_other_hosts(self) -> None:
        one, two, three = self.machines
        ours = self.network(1001)
        a = self.joined(one, member(ours, 5), self.open)
        former = self.joined(two, member(ours, 6), self.open)
        self.give()
        for address in ("10.1.0.6", "fd00:1::6"):
            self.assertTrue(a.can_ping(address))

        two.host.client.unplug(former.container_id)
        self.networks[ours][1].pop()
        self.give()
        self.joined(three, member(ours, 6, mac="fa:16:3e:00:99:06"), self.open)
        self.give()

        for address in ("10.1.0.6", "fd00:1::6"):
            self.assertTrue(a.can_ping(address), address)

    def test_groups_hold_over_hosts(self) -> None:
        one, two, three = self.machines
        ours = self.network(1001)
        clients = GroupState(new_id(), OUTWARD)
        servers = GroupState(new_id(), (*OUTWARD, *(rule_from(clients.group_id))))
        self.groups |= {clients.group_id: clients, servers.group_id: servers}
        client = self.joined(one, member(ours, 5), clients.group_id)
        self.joined(two, member(ours, 6), servers.group_id)
        stranger = self.joined(three, member(ours, 7), self.open)
        self.give()

        self.assertTrue(client.can_ping("10.1.0.6"))
        self.assertTrue(client.can_ping("fd00:1::6"))
        self.assertFalse(stranger.can_ping("10.1.0.6"))
        self.assertTrue(client.can_ping("10.1.0.7"))

    def test_netd_that_was_killed_finds_its_tunnels_and_takes_stale_entries_away(self) -> None:
        one, two, _ = self.machines
        ours = self.network(1001)
        a = self.joined(one, member(ours, 5), self.open)
        self.joined(two, member(ours, 6), self.open)
        self.give()
        one.host.kill()
        self.assertTrue(a.can_ping("10.1.0.6"))
        one.host.start()
        self.networks[ours][1].pop()

        self.assertEqual([], one.host.client.plane(self.plane(one))["problems"])

        self.assertFalse(a.can_ping("10.1.0.6"))
        self.assertEqual([], one.host.client.list()["strays"]["links"])

    def test_a_packet_as_large_as_the_network_allows_fits_through_the_tunnel(self) -> None:
        one, two, _ = self.machines
        ours = self.network(1001)
        a = self.joined(one, member(ours, 5), self.open)
        self.joined(two, member(ours, 6), self.open)
        self.give()

        whole = ["busybox", "ping", "-c", "1", "-W", "1", "-s", str(1450 - 28), "10.1.0.6"]
        self.assertEqual(0, a.run(*whole).returncode)

    def test_nothing_of_a_tunnel_is_in_the_machines_own_namespace(self) -> None:
        one, two, _ = self.machines
        ours = self.network(1001)
        self.joined(one, member(ours, 5), self.open)
        self.joined(two, member(ours, 6), self.open)
        self.give()

        with namespaces.opened(one.name) as descriptor:
            self.assertEqual({"lo", "up0"}, namespaces.inside(descriptor, own_links))


def own_links() -> set[str]:
    return {name for _, name in socket.if_nameindex()}


def rule_from(group_id: str):
    return tuple(Rule("ingress", ethertype, remote_group=group_id) for ethertype in ("IPv4", "IPv6"))
