# SPDX-License-Identifier: Apache-2.0
"""What the kernel is given of packet rules, change by change, over a kernel that can refuse."""

from __future__ import annotations

import errno
import socket
import unittest
from collections.abc import Callable, Iterable
from unittest import mock

from zun_lite.domain import errors
from zun_lite.domain.wiring import Address, Endpoint
from zun_lite.netd import firewall, ingress, namespaces, nft
from zun_lite.netd.firewall import Firewall, Occupant
from zun_lite.netd.rulebook import NOT_ENFORCED, UNKNOWN, Combination

IDS = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(1, 4)]


class FirewallTests(unittest.TestCase):
    def setUp(self) -> None:
        self.scripts: list[str] = []
        self.refuses = False
        self.knows_no_short_way = False
        for target, name, stand_in in (
            (nft, "run", self.run_script),
            (nft, "generation", lambda descriptor: len(self.scripts)),
            (namespaces, "inside", lambda descriptor, work: {}),
        ):
            patch = mock.patch.object(target, name, stand_in)
            patch.start()
            self.addCleanup(patch.stop)
        self.firewall = Firewall()

    def run_script(self, descriptor: int, script: str) -> int:
        if self.refuses or (self.knows_no_short_way and "netdev" in script):
            raise errors.Failed("the kernel refused packet rules")
        self.scripts.append(script)
        return len(self.scripts)

    def sync(self, combination: Combination) -> None:
        endpoint = Endpoint(IDS[0], IDS[1], 1, "fa:16:3e:00:00:01", 1450, (Address("10.0.0.5", 24, IDS[2]),))
        occupants = [Occupant("zv1", endpoint, None, combination)]
        self.firewall.sync(IDS[1], 0, (), occupants, {}, lambda group_id: ())

    def test_a_change_that_the_kernel_refused_is_given_at_the_next_look(self) -> None:
        self.sync(NOT_ENFORCED)
        self.refuses = True
        self.assertRaises(errors.Failed, self.sync, UNKNOWN)
        self.refuses = False

        self.sync(UNKNOWN)

        given = list(self.scripts)
        self.assertIn('add element bridge zl in_mark { "zv1" : ', given[-1])
        self.assertIn("drop", given[-1])
        self.sync(UNKNOWN)
        self.assertEqual(given, self.scripts)

    def test_a_kernel_that_knows_no_short_way_is_given_all_else(self) -> None:
        self.knows_no_short_way = True

        self.sync(NOT_ENFORCED)
        self.sync(UNKNOWN)

        self.assertIn("table bridge zl", self.scripts[0])
        self.assertEqual(2, len(self.scripts))

    def test_where_links_cannot_be_hooked_the_short_way_is_shut_there_and_elsewhere(self) -> None:
        self.sync(UNKNOWN)
        links = mock.patch.object(
            namespaces, "inside", lambda descriptor, work: {"zv1": 7} if not self.asked(work) else 1
        )
        with links:
            self.firewall.hasten(IDS[1], 0, "zv1")
        self.assertEqual("delete table netdev zl\n", self.scripts[-1])
        self.firewall.forget(IDS[1])
        self.sync(UNKNOWN)

        self.assertIn("delete table netdev zl\n", self.scripts[-2])
        self.assertNotIn("netdev", self.scripts[-1])

    def test_a_link_that_goes_meanwhile_leaves_the_short_way_to_the_others(self) -> None:
        there, entered = {"zv1": 7, "zv2": 8}, []

        def number(link: str) -> int:
            if link not in there:
                raise OSError(errno.ENODEV, "no such link")
            return there[link]

        def enter(links: Iterable[str], elements: Iterable[object]) -> int:
            entered.append(set(links))
            if len(entered) == 1:
                del there["zv2"]
            if not set(links) <= there.keys():
                raise OSError(errno.ENOENT, "no such link")
            return len(self.scripts)

        def inside(descriptor: int, work: Callable[[], object]) -> object:
            return None if work is firewall._let_rules_see_bridged_packets else work()

        address = (Address("10.0.0.5", 24, IDS[2]),)
        occupants = [
            Occupant(link, Endpoint(IDS[0], IDS[1], 1, "fa:16:3e:00:00:01", 1450, address), None, UNKNOWN)
            for link in there
        ]
        with (
            mock.patch.object(namespaces, "inside", inside),
            mock.patch.object(socket, "if_nametoindex", number),
            mock.patch.object(ingress, "enter", enter),
        ):
            self.firewall.sync(IDS[1], 0, (), occupants, {}, lambda group_id: ())
            self.assertEqual([{"zv1", "zv2"}, {"zv1"}], entered)
            self.assertNotIn("delete table netdev zl\n", self.scripts)
            there["zv2"] = 9
            self.firewall.hasten(IDS[1], 0, "zv2")
        self.assertEqual([{"zv2"}], entered[2:])

    @staticmethod
    def asked(work) -> bool:
        """Whether this is the telling of the kernel, which it refuses."""
        if "ingress" in work.__code__.co_names:
            raise OSError("not supported")
        return False
