# SPDX-License-Identifier: Apache-2.0
"""Which ports the short way is for, by their rules."""

from __future__ import annotations

import dataclasses
import unittest

from zun_lite.domain.plane import GroupState, PortState, Rule
from zun_lite.domain.wiring import Address, Endpoint
from zun_lite.netd import shortcut
from zun_lite.netd.rulebook import NOT_ENFORCED, UNKNOWN, Combination

OURS, OTHER = "11111111-0000-4000-8000-000000000000", "22222222-0000-4000-8000-000000000000"
OUT = Rule("egress")
ENDPOINT = Endpoint(
    OURS, OTHER, 1, "fa:16:3e:00:00:01", 1450, (Address("10.0.0.5", 24, OURS), Address("fd00::5", 64, OURS))
)
STATE = PortState(OURS, ENDPOINT.mac, ("10.0.0.5", "fd00::5"), True, groups=(OURS,))


class OpeningTests(unittest.TestCase):
    def versions(self, *rules: Rule, others: tuple[Rule, ...] = ()) -> str:
        groups = {OURS: GroupState(OURS, rules), OTHER: GroupState(OTHER, others)}
        part = shortcut.opening(7, Combination((OURS, OTHER) if others else (OURS,)), groups)
        return "".join(sorted(name[-1] for name in part.elements))

    def test_a_combination_is_open_whose_rules_let_all_tcp_through_both_ways(self) -> None:
        six = tuple(Rule(direction, "IPv6") for direction in ("ingress", "egress"))
        for wanted, rules in (
            ("4", (OUT, Rule("ingress"))),
            ("6", six),
            ("46", (OUT, Rule("ingress"), *six)),
            ("4", (OUT, Rule("ingress", protocol=6))),
            ("4", (OUT, Rule("ingress", remote_group=OURS))),
            ("4", (Rule("egress", remote_group=OURS), Rule("ingress", remote_group=OURS))),
            ("4", (OUT, Rule("ingress", remote_prefix="0.0.0.0/0"))),
            ("", (OUT,)),
            ("", (Rule("ingress"),)),
            ("", (OUT, Rule("ingress", protocol=17))),
            ("", (OUT, Rule("ingress", protocol=6, port_min=1, port_max=65535))),
            ("", (OUT, Rule("ingress", remote_group=OTHER))),
            ("", (OUT, Rule("ingress", remote_prefix="10.0.0.0/8"))),
            ("", (OUT, Rule("ingress", "IPv6"))),
        ):
            with self.subTest(rules=rules):
                self.assertEqual(wanted, self.versions(*rules))
        self.assertEqual("4", self.versions(OUT, others=(Rule("ingress", remote_group=OTHER),)))

    def test_one_of_no_or_unknown_groups_is_not(self) -> None:
        groups = {OURS: GroupState(OURS, (OUT, Rule("ingress")))}
        for which in (UNKNOWN, NOT_ENFORCED, Combination(()), Combination((OTHER,))):
            self.assertEqual({}, shortcut.opening(7, which, groups).elements)


class PortTests(unittest.TestCase):
    def maps(self, state: PortState | None) -> str:
        return " ".join(sorted(element.map_name for element in shortcut.port(3, ENDPOINT, state, 7)))

    def test_a_port_sends_from_and_is_reached_at_the_addresses_that_both_the_plane_and_its_wiring_name(self) -> None:
        self.assertEqual("from4 from6 to4 to6", self.maps(STATE))
        self.assertEqual("from6 to6", self.maps(dataclasses.replace(STATE, addresses=("fd00::5", "10.0.0.6"))))

    def test_one_that_is_unknown_unguarded_or_limited_in_what_it_sends_has_none(self) -> None:
        self.assertEqual("", self.maps(None))
        self.assertEqual("", self.maps(dataclasses.replace(STATE, port_security=False)))
        self.assertEqual("", self.maps(dataclasses.replace(STATE, kbps_out=1000)))
        self.assertEqual("from4 from6 to4 to6", self.maps(dataclasses.replace(STATE, kbps_in=1000)))
