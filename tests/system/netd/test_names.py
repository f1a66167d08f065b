# SPDX-License-Identifier: Apache-2.0
"""Containers ask for names and are answered: of their own networks, and of nobody else's."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time

import dns.message
import dns.rcode

from tests.system.netd.host import Container, new_id
from tests.system.netd.planes import EVERYTHING, PlaneTestCase, member, network, port
from tests.system.netd.talk import socket_in
from zun_lite.domain.plane import DNS_ADDRESS, DNS_ADDRESS_V6, SubnetState


def ask(container: Container, name: str, kind: str = "A", server: str = DNS_ADDRESS) -> tuple[str, list[str]]:
    """(outcome, answers) of one question by UDP."""
    query = dns.message.make_query(name, kind)
    with socket_in(container, server, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(query.to_wire(), (server, 53))
        response = dns.message.from_wire(sock.recv(65536))
    assert response.id == query.id
    found = sorted(item.to_text() for answer in response.answer for item in answer)
    return dns.rcode.to_text(response.rcode()), found


class NameTests(PlaneTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ours, self.theirs = new_id(), new_id()
        group = self.open = self.group(*EVERYTHING)
        ends = {name: member(self.ours, last) for last, name in ((5, "web"), (6, "db"))}
        other = member(self.theirs, 6)
        self.both = (member(self.ours, 9), member(self.theirs, 9))
        self.web, self.stranger = self.joined(ends["web"]), self.joined(other)
        self.joined(ends["db"])
        self.double = self.joined(*self.both)
        self.networks = {
            "ours": network(
                self.ours,
                [
                    port(ends["web"], group, names=("web", "web-host")),
                    port(ends["db"], group, names=("db",)),
                    port(self.both[0], group, names=("double",)),
                ],
            ),
            "theirs": network(
                self.theirs,
                [port(other, group, names=("hidden", "DB2")), port(self.both[1], group, names=("double",))],
                vni=1002,
                subnets=(SubnetState("10.1.0.0/24", "10.1.0.1", ("9.9.9.9",)),),
            ),
        }
        self.give()

    def test_containers_are_found_by_name_and_hostname_in_both_families(self) -> None:
        self.assertEqual(("NOERROR", ["10.1.0.6"]), ask(self.web, "db"))
        self.assertEqual(("NOERROR", ["10.1.0.5"]), ask(self.web, "WEB-HOST"))
        self.assertEqual(("NOERROR", ["fd00:1::6"]), ask(self.web, "db", "AAAA"))
        self.assertEqual(("NOERROR", ["10.1.0.6"]), ask(self.web, "db", server=DNS_ADDRESS_V6))
        self.assertEqual(("NOERROR", []), ask(self.web, "db", "MX"))

    def test_an_address_is_asked_for_its_name(self) -> None:
        self.assertEqual(("NOERROR", ["db."]), ask(self.web, "6.0.1.10.in-addr.arpa", "PTR"))

    def test_names_of_another_tenant_do_not_exist(self) -> None:
        self.assertEqual(("NXDOMAIN", []), ask(self.web, "hidden"))
        self.assertEqual(("NXDOMAIN", []), ask(self.stranger, "web"))
        self.assertEqual(("NOERROR", ["10.1.0.6"]), ask(self.stranger, "hidden"))

    def test_a_container_on_two_networks_finds_the_members_of_both(self) -> None:
        self.assertEqual(("NOERROR", ["10.1.0.6"]), ask(self.double, "db"))
        self.assertEqual(("NOERROR", ["10.1.0.6"]), ask(self.double, "hidden"))

    def test_names_outside_are_left_to_the_subnets_own_servers_if_it_has_any(self) -> None:
        self.assertEqual(("REFUSED", []), ask(self.stranger, "example.org"))
        self.assertEqual(("NXDOMAIN", []), ask(self.web, "example.org"))
        self.assertEqual(("NXDOMAIN", []), ask(self.stranger, "nosuch"))

    def test_a_name_that_came_or_went_is_so_with_the_next_plane(self) -> None:
        ours = self.networks["ours"]
        self.networks["ours"] = network(self.ours, ours.ports[:1])
        self.give()
        self.assertEqual(("NXDOMAIN", []), ask(self.web, "db"))
        self.networks["ours"] = ours
        self.give()
        self.assertEqual(("NOERROR", ["10.1.0.6"]), ask(self.web, "db"))

    def test_questions_by_tcp_are_answered_and_rubbish_is_survived(self) -> None:
        with socket_in(self.web, DNS_ADDRESS, socket.SOCK_DGRAM) as sock:
            for rubbish in (b"", b"x", os.urandom(40), bytes(600), b"\xff" * 1400):
                sock.sendto(rubbish, (DNS_ADDRESS, 53))
        with socket_in(self.web, DNS_ADDRESS, socket.SOCK_STREAM) as sock:
            sock.settimeout(5)
            sock.connect((DNS_ADDRESS, 53))
            wire = dns.message.make_query("db", "A").to_wire()
            sock.sendall(struct.pack("!H", len(wire)) + wire)
            answer = b""
            while octets := sock.recv(4096):
                answer += octets
        found = dns.message.from_wire(answer[2:])
        self.assertEqual(["10.1.0.6"], [item.to_text() for item in found.answer[0]])

    def test_nothing_else_on_the_bridge_answers(self) -> None:
        with socket_in(self.web, DNS_ADDRESS, socket.SOCK_STREAM) as sock:
            sock.settimeout(0.6)
            self.assertRaises(TimeoutError, sock.connect, (DNS_ADDRESS, 80))
        self.assertFalse(self.web.can_ping(DNS_ADDRESS))

    def test_the_program_that_answers_has_no_privileges_and_comes_back(self) -> None:
        pid = self.resolver()
        with open(f"/proc/{pid}/status") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        self.assertEqual({"65534"}, set(status["Uid"].split()))
        self.assertEqual(0, int(status["CapEff"], 16))

        watched = os.pidfd_open(pid)
        self.addCleanup(os.close, watched)
        os.kill(pid, 9)
        # a signal is on its way for a moment
        select.select([watched], [], [], 5)
        self.give()

        self.assertEqual(("NOERROR", ["10.1.0.6"]), ask(self.web, "db"))

    def resolver(self) -> int:
        assert self.host.process is not None
        folder, children = f"/proc/{self.host.process.pid}/task", set[int]()
        deadline = time.monotonic() + 5
        # a child of a thread that ends meanwhile goes to another, which may have been looked at before
        while not children and time.monotonic() < deadline:
            for task in os.listdir(folder):
                with contextlib.suppress(FileNotFoundError), open(f"{folder}/{task}/children") as file:
                    children.update(map(int, file.read().split()))
        (pid,) = children
        return pid
