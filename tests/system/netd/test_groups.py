# SPDX-License-Identifier: Apache-2.0
"""Security groups on the real kernel: who may speak to whom, each refusal beside what is let through."""

from __future__ import annotations

import dataclasses
import select
import socket
import subprocess
import time

from tests.system.netd.host import Container, new_id
from tests.system.netd.planes import EVERYTHING, OUTWARD, PlaneTestCase, member, network, port
from tests.system.netd.talk import SOON_SECONDS, Flow, arrives, listening, reaches_soon, socket_in
from zun_lite.domain.plane import GroupState, HostPlane, Rule
from zun_lite.domain.wiring import Endpoint

TCP, UDP, ICMP = 6, 17, 1


class GroupTests(PlaneTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.network_id = new_id()
        self.ends: list[Endpoint] = []

    def joined_as(self, *group_ids: str, **fields) -> tuple[Container, Endpoint]:
        """A container whose port has these groups, once give_all() was called."""
        end = member(self.network_id, 5 + len(self.ends))
        self.ends.append(end)
        before = self.networks.get("one") or network(self.network_id, [])
        self.networks["one"] = network(self.network_id, [*before.ports, port(end, *group_ids, **fields)])
        return self.joined(end), end

    def reaches(
        self, sender: Container, receiver: Container, end: Endpoint, port_number: int = 80
    ) -> tuple[bool, bool]:
        """By IPv4 and by IPv6."""
        answers = []
        for address in end.addresses:
            with listening(receiver, address.ip, port_number):
                answers.append(reaches_soon(sender, address.ip, port_number))
        return answers[0], answers[1]

    def test_a_member_of_the_remote_group_gets_in_and_others_do_not(self) -> None:
        clients = self.group(*OUTWARD)
        servers = self.group(
            *OUTWARD,
            Rule("ingress", "IPv4", TCP, 80, 80, remote_group=clients),
            Rule("ingress", "IPv6", TCP, 80, 80, remote_group=clients),
        )
        server, at = self.joined_as(servers)
        client, _ = self.joined_as(clients)
        stranger, _ = self.joined_as(servers)
        self.give()

        self.assertEqual((True, True), self.reaches(client, server, at))
        self.assertEqual((False, False), self.reaches(client, server, at, 81))
        self.assertEqual((False, False), self.reaches(stranger, server, at))
        self.assertFalse(client.can_ping(at.addresses[0].ip))

    def test_answers_come_back_to_a_port_that_nobody_may_ask(self) -> None:
        closed, opened = self.group(*OUTWARD), self.group(*EVERYTHING)
        asker, asker_end = self.joined_as(closed)
        server, server_end = self.joined_as(opened)
        self.give()

        self.assertTrue(asker.can_ping(server_end.addresses[0].ip))
        self.assertTrue(asker.can_ping(server_end.addresses[1].ip))
        self.assertEqual((True, True), self.reaches(asker, server, server_end))
        self.assertFalse(server.can_ping(asker_end.addresses[0].ip))
        self.assertFalse(server.can_ping(asker_end.addresses[1].ip))
        self.assertEqual((False, False), self.reaches(server, asker, asker_end))

    def test_what_leaves_is_judged_too(self) -> None:
        mute = self.group(Rule("egress", "IPv4", UDP, 53, 53))
        opened = self.group(*EVERYTHING)
        sender, _ = self.joined_as(mute)
        receiver, end = self.joined_as(opened)
        self.give()
        at = end.addresses[0].ip

        self.assertTrue(arrives(sender, receiver, at, 53))
        self.assertFalse(arrives(sender, receiver, at, 54))
        self.assertFalse(sender.can_ping(at))
        self.assertEqual((False, False), self.reaches(sender, receiver, end))

    def test_ranges_prefixes_protocols_and_icmp_types_overlap_as_rules_do(self) -> None:
        rules = (
            Rule("ingress", "IPv4", TCP, 80, 100, remote_prefix="10.1.0.6/32"),
            Rule("ingress", "IPv4", TCP, 90, 110, remote_prefix="10.1.0.7/32"),
            Rule("ingress", "IPv4", TCP, 200, 200),
            Rule("ingress", "IPv4", TCP, 200, 210),
            Rule("ingress", "IPv4", UDP, remote_prefix="10.1.0.7/32"),
            Rule("ingress", "IPv4", ICMP, 8, remote_prefix="10.1.0.6/32"),
            Rule("ingress", "IPv6", 58, 128, 0),
        )
        server, at = self.joined_as(self.group(*OUTWARD, *rules))
        opened = self.group(*EVERYTHING)
        six, _ = self.joined_as(opened)
        seven, _ = self.joined_as(opened)
        self.give()
        ip = at.addresses[0].ip

        def tcp(container: Container, number: int) -> bool:
            return self.reaches(container, server, at, number)[0]

        self.assertEqual([True, True, False], [tcp(six, number) for number in (80, 95, 105)])
        self.assertEqual([False, True, True], [tcp(seven, number) for number in (80, 95, 105)])
        self.assertEqual([True, True, False], [tcp(six, number) for number in (200, 210, 211)])
        self.assertEqual((False, True), (arrives(six, server, ip, 9), arrives(seven, server, ip, 9)))
        self.assertEqual((True, False), (six.can_ping(ip), seven.can_ping(ip)))
        self.assertTrue(seven.can_ping(at.addresses[1].ip))

    def test_a_port_that_the_plane_does_not_know_may_ask_and_is_not_asked(self) -> None:
        known, known_end = self.joined_as(self.group(*EVERYTHING))
        unknown, end = self.joined_as(self.group(*EVERYTHING))
        self.networks["one"] = network(self.network_id, self.networks["one"].ports[:1])
        self.give()

        self.assertTrue(unknown.can_ping(known_end.addresses[0].ip))
        self.assertFalse(known.can_ping(end.addresses[0].ip))

        self.networks["one"] = network(
            self.network_id, [*self.networks["one"].ports, port(end, *self.networks["one"].ports[0].groups)]
        )
        self.give()
        self.assertTrue(known.can_ping(end.addresses[0].ip))

    def test_a_port_without_groups_is_shut_both_ways_and_one_without_security_is_open(self) -> None:
        shut, shut_end = self.joined_as()
        free, free_end = self.joined_as(port_security=False)
        other, other_end = self.joined_as(self.group(*EVERYTHING))
        self.give()

        self.assertFalse(shut.can_ping(other_end.addresses[0].ip))
        self.assertFalse(other.can_ping(shut_end.addresses[0].ip))
        self.assertTrue(free.can_ping(other_end.addresses[0].ip))
        self.assertTrue(other.can_ping(free_end.addresses[0].ip))

    def test_a_rule_that_is_taken_away_ends_what_it_had_let_through(self) -> None:
        group_id = self.group(*EVERYTHING)
        server, at = self.joined_as(group_id)
        client, _ = self.joined_as(self.group(*EVERYTHING))
        self.give()
        address = at.addresses[0].ip
        with listening(server, address, 80) as listener, socket_in(client, address, socket.SOCK_STREAM) as talker:
            talker.settimeout(5)
            talker.connect((address, 80))
            accepted, _ = listener.accept()
            with accepted:
                talker.send(b"one")
                self.assertEqual(b"one", accepted.recv(10))

                self.groups[group_id] = GroupState(group_id, OUTWARD)
                self.give()
                talker.send(b"two")
                self.assertEqual([], select.select([accepted], [], [], SOON_SECONDS)[0])

                self.groups[group_id] = GroupState(group_id, EVERYTHING)
                self.give()
                accepted.settimeout(5)
                self.assertEqual(b"two", accepted.recv(10))

    def test_a_flow_ends_with_its_rule_in_both_directions_and_lives_as_long_as_that(self) -> None:
        allowed = (
            Rule("ingress", "IPv4", UDP, 80, 80),
            Rule("ingress", "IPv4", TCP, 80, 80),
            Rule("ingress", "IPv6", UDP, 80, 80, remote_prefix="fd00:1::/64"),
            Rule("ingress", "IPv6", TCP, 70, 90, remote_prefix="fd00:1::/64"),
        )
        group_id = self.group(*OUTWARD, *allowed)
        server, at = self.joined_as(group_id)
        client, _ = self.joined_as(self.group(*OUTWARD))
        self.give()
        for address in (item.ip for item in at.addresses):
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                with self.subTest(address=address, kind=kind), Flow(client, server, address, 80, kind) as flow:
                    self.assertEqual((True, True), flow.goes_on())
                    self.give_rules(group_id, *OUTWARD, *allowed, Rule("ingress", "IPv4", TCP, 22, 22))
                    self.assertEqual((True, True), flow.goes_on())
                    self.give_rules(group_id, *OUTWARD)
                    self.assertEqual((False, False), flow.goes_on())
                    self.give_rules(group_id, *OUTWARD, *allowed)
                    flow.settle()
                    self.assertEqual((True, True), flow.goes_on())

    def test_a_flow_ends_with_the_rule_by_which_its_first_side_may_send(self) -> None:
        group_id = self.group(*OUTWARD)
        client, _ = self.joined_as(group_id)
        server, at = self.joined_as(self.group(*EVERYTHING))
        self.give()
        with Flow(client, server, at.addresses[0].ip, 80, socket.SOCK_DGRAM) as flow:
            self.assertEqual((True, True), flow.goes_on())
            self.give_rules(group_id, Rule("egress", "IPv4", UDP, 81, 81))
            self.assertEqual((False, False), flow.goes_on())

    def test_answers_to_icmp_end_with_the_rule_for_what_they_answer(self) -> None:
        kinds = (Rule("ingress", "IPv4", ICMP, 8, 0), Rule("ingress", "IPv6", 58, 128))
        group_id = self.group(*OUTWARD, *kinds)
        _, at = self.joined_as(group_id)
        client, _ = self.joined_as(self.group(*OUTWARD))
        self.give()
        self.assertEqual([True, True], [client.can_ping(item.ip) for item in at.addresses])
        self.give_rules(group_id, *OUTWARD, Rule("ingress", "IPv4", ICMP, 13), Rule("ingress", "IPv6", 58, 1))
        self.assertEqual([False, False], [client.can_ping(item.ip) for item in at.addresses])

    def give_rules(self, group_id: str, *rules: Rule) -> None:
        self.groups[group_id] = GroupState(group_id, rules)
        self.give()

    def test_no_packet_that_is_always_allowed_is_lost_while_rules_change(self) -> None:
        always = Rule("ingress", "IPv4", ICMP, 8)
        group_id = self.group(*OUTWARD, always)
        _, at = self.joined_as(group_id)
        client, _ = self.joined_as(self.group(*EVERYTHING))
        self.give()
        ping = subprocess.Popen(
            ["nsenter", f"--net=/proc/{client.pid}/ns/net"] + ["python3", "-c", _PINGS, at.addresses[0].ip],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        for number in range(40):
            extra = tuple(Rule("ingress", "IPv4", TCP, 1000 + item) for item in range(number % 7 * 10))
            self.groups[group_id] = GroupState(group_id, (*OUTWARD, always, *extra))
            self.give()
        sent, lost = map(int, ping.communicate("stop\n", timeout=20)[0].split())

        self.assertGreater(sent, 100)
        self.assertEqual(0, lost)

    def test_rules_that_somebody_flushed_are_back_within_thirty_seconds_without_being_asked_for(self) -> None:
        _, at = self.joined_as(self.group(*OUTWARD))
        client, _ = self.joined_as(self.group(*EVERYTHING))
        self.give()
        namespace = self.namespace(self.network_id)
        flush = ["ip", "netns", "exec", namespace, "nft", "flush", "ruleset"]
        subprocess.run(flush, check=True)
        self.assertTrue(client.can_ping(at.addresses[0].ip), "nothing is left of the rules")

        deadline = time.monotonic() + 30
        while client.can_ping(at.addresses[0].ip):
            self.assertLess(time.monotonic(), deadline)

    def test_a_plane_heals_flushed_rules_at_once(self) -> None:
        _, at = self.joined_as(self.group(*OUTWARD))
        client, _ = self.joined_as(self.group(*EVERYTHING))
        self.give()
        subprocess.run(["ip", "netns", "exec", self.namespace(self.network_id), "nft", "flush", "ruleset"], check=True)

        self.give()

        self.assertFalse(client.can_ping(at.addresses[0].ip))

    def test_netd_that_was_killed_goes_by_the_last_plane(self) -> None:
        _, at = self.joined_as(self.group(*OUTWARD))
        client, client_end = self.joined_as(self.group(*EVERYTHING))
        self.give()
        self.host.kill()
        self.assertFalse(client.can_ping(at.addresses[0].ip))

        self.host.start()
        again = self.container()
        again.container_id = next(
            record["container_id"] for record in self.netd.list()["records"] if client_end.port_id in record["ports"]
        )
        self.netd.ask("wire", container_id=again.container_id, pid=again.pid)

        self.assertFalse(again.can_ping(at.addresses[0].ip))
        self.groups = {key: dataclasses.replace(group, rules=EVERYTHING) for key, group in self.groups.items()}
        self.give()
        self.assertTrue(again.can_ping(at.addresses[0].ip))

    def test_one_bad_object_is_named_and_hinders_no_other(self) -> None:
        good = self.group(*EVERYTHING)
        server, at = self.joined_as(good)
        client, _ = self.joined_as(good)
        bad = GroupState(
            new_id(), (Rule("ingress", "IPv4", TCP, 90, 80), Rule("sideways"), Rule("ingress", "IPv4", 999))
        )
        plane = HostPlane(9, networks=tuple(self.networks.values()), groups=(bad, *self.groups.values()))

        problems = self.netd.plane(plane)["problems"]

        self.assertEqual(3, len(problems), problems)
        self.assertTrue(all(bad.group_id in problem for problem in problems), problems)
        self.assertTrue(client.can_ping(at.addresses[0].ip))


_PINGS = r"""
import select, socket, struct, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)
sock.settimeout(2)
sent = lost = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    body = struct.pack("!BBHHH", 8, 0, 0, 7, sent & 0xFFFF)
    total = sum(struct.unpack("!4H", body)); total = (total & 0xFFFF) + (total >> 16)
    sock.sendto(body[:2] + struct.pack("!H", ~total & 0xFFFF) + body[4:], (sys.argv[1], 0))
    sent += 1
    try:
        while True:
            answer = sock.recv(2048)
            if answer[20] == 0 and struct.unpack("!H", answer[26:28])[0] == (sent - 1) & 0xFFFF:
                break
    except TimeoutError:
        lost += 1
print(sent, lost)
"""
