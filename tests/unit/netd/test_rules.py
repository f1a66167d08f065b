# SPDX-License-Identifier: Apache-2.0
"""Packet rules as text: what rules of groups become, what a change comes to, what a plane may not say."""

from __future__ import annotations

import ipaddress
import json
import unittest
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from zun_lite.domain.plane import (
    AddressPair,
    ExternalState,
    FloatingState,
    GatewayState,
    GroupState,
    HostPlane,
    InterfaceState,
    NetworkState,
    PortState,
    RouterState,
    Rule,
    SubnetState,
)
from zun_lite.domain.wiring import Address, Endpoint
from zun_lite.netd import grouprules, outside, rulebook
from zun_lite.netd.planecheck import checked
from zun_lite.netd.rulebook import Part

IDS = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(1, 9)]
PLANE = HostPlane(
    7,
    "192.0.2.1",
    (
        NetworkState(
            IDS[0],
            1001,
            1450,
            (SubnetState("10.0.0.0/24", "10.0.0.1", ("9.9.9.9",)),),
            (
                PortState(
                    IDS[1],
                    "fa:16:3e:00:00:01",
                    ("10.0.0.5", "fd00::5"),
                    True,
                    groups=(IDS[2],),
                    allowed_address_pairs=(AddressPair("10.0.0.9"),),
                    kbps_in=100,
                    names=("web",),
                ),
            ),
        ),
    ),
    (GroupState(IDS[2], (Rule("ingress", "IPv4", 6, 80, 90, remote_group=IDS[2]),), ("10.9.0.1",)),),
    (
        RouterState(
            IDS[3],
            (InterfaceState(IDS[4], IDS[0], "fa:16:3e:00:00:02", ("10.0.0.1/24",)),),
            GatewayState(IDS[5], IDS[6], "fa:16:3e:00:00:03", ("172.24.4.5/24",), ("172.24.4.1",)),
            (("10.5.0.0/16", "10.0.0.7"),),
            (FloatingState("172.24.4.50", "10.0.0.5"),),
        ),
    ),
    (ExternalState(IDS[6], ("172.24.4.1/24",)),),
)


class PlaneTests(unittest.TestCase):
    def test_a_plane_comes_back_from_json_as_it_was(self) -> None:
        self.assertEqual(PLANE, HostPlane.from_json(json.loads(json.dumps(PLANE.to_json()))))

    def test_keys_of_a_newer_version_are_passed_over_and_missing_ones_have_defaults(self) -> None:
        body = json.loads(json.dumps(PLANE.to_json()))
        body["weather"] = "fine"
        body["networks"][0]["ports"][0]["colour"] = "red"
        body["groups"][0]["rules"][0]["note"] = {}
        self.assertEqual(PLANE, HostPlane.from_json(body))
        self.assertEqual(HostPlane(3), HostPlane.from_json({"revision": 3}))

    def test_a_good_plane_has_no_problems(self) -> None:
        self.assertEqual((PLANE, []), checked(PLANE))

    def test_what_must_not_reach_the_kernel_is_left_out_and_named(self) -> None:
        network, group, router = PLANE.networks[0], PLANE.groups[0], PLANE.routers[0]
        port = network.ports[0]
        injected = '10.0.0.5 } ; flush ruleset ; add set x { "'
        bad_ports = [
            replace(port, port_id=IDS[7], mac=injected),
            replace(port, port_id=IDS[7], addresses=(injected,)),
            replace(port, port_id=IDS[7], groups=("x } drop",)),
            replace(port, port_id=IDS[7], kbps_out=0),
            replace(port, port_id=IDS[7], allowed_address_pairs=(AddressPair("10.0.0.0/99"),)),
            replace(port, port_id="../../etc"),
            port,
        ]
        bad_rules = [
            Rule("sideways"),
            Rule("ingress", "IPX"),
            Rule("ingress", "IPv4", 6, 90, 80),
            Rule("ingress", "IPv4", 6, 80, 70000),
            Rule("ingress", "IPv4", 300),
            Rule("ingress", "IPv4", None, 80),
            Rule("ingress", "IPv4", 47, 1),
            Rule("ingress", "IPv4", 1, None, 0),
            Rule("ingress", "IPv4", remote_prefix="fd00::/8"),
            Rule("ingress", "IPv4", remote_prefix=injected),
            Rule("ingress", "IPv6", remote_prefix="fe80::%x } accept\nflush ruleset/64"),
            Rule("ingress", "IPv4", remote_group="all"),
            Rule("ingress", "IPv4", "tcp"),  # type: ignore[arg-type]
        ]
        plane = replace(
            PLANE,
            networks=(replace(network, ports=(port, *bad_ports)), replace(network, network_id=IDS[7], vni=-1)),
            groups=(replace(group, rules=(*group.rules, *bad_rules)),),
            routers=(
                router,
                replace(router, router_id=IDS[7], routes=(("10.0.0.0/8", "fd00::1"),)),
                replace(router, router_id=IDS[7], routes=(("fd00::/8", "fe80::1%x; reboot"),)),
            ),
            externals=(
                *PLANE.externals,
                ExternalState(IDS[7], (), "a bridge; reboot"),
                ExternalState(IDS[7], ("fe80::1%x; reboot/64",)),
            ),
        )
        good, problems = checked(plane)

        self.assertEqual(PLANE, good)
        self.assertEqual(len(bad_ports) + 1 + len(bad_rules) + 4, len(problems), problems)


def spans() -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda pair: (min(pair), max(pair)))


class HostRulesTests(unittest.TestCase):
    def test_an_external_network_without_a_subnet_of_ipv4_makes_rules_that_can_be_given(self) -> None:
        bare, whole = ExternalState(IDS[0], ("fd00::1/64",)), ExternalState(IDS[1], ("172.24.4.1/24",))
        for externals in ([bare], [ExternalState(IDS[0])], [bare, whole]):
            text = outside.host_rules("zl_t", "t", externals)
            self.assertNotIn("{  }", text)
            self.assertIn("iifname @uplinks drop", text)
            self.assertEqual(whole in externals, "masquerade" in text)


class GroupRulesTests(unittest.TestCase):
    @given(st.lists(st.tuples(spans(), st.integers(0, 4)), max_size=12))
    @settings(max_examples=100, deadline=None)
    def test_a_port_meets_just_the_peers_of_the_rules_that_cover_it(self, wanted: list) -> None:
        rules = [
            Rule("ingress", "IPv4", 6, low, high, remote_prefix=f"10.{peer}.0.0/16") for (low, high), peer in wanted
        ]
        chains = grouprules.compile_chains("in1", "ingress", rules)

        for number in range(42):
            expected = {f"10.{peer}.0.0/16" for (low, high), peer in wanted if low <= number <= high}
            self.assertEqual(self.covered(expected), self.covered(self.peers(chains, number)), number)

    def peers(self, chains: grouprules.Chains, number: int) -> set[str]:
        """The prefixes that a TCP packet to the port is compared with, by walking the chains."""
        found: set[str] = set()

        def walk(chain: str) -> None:
            for line in chains[chain]:
                if " vmap { " in line:
                    for piece in line.split(" vmap { ")[1].removesuffix(" }").split(", "):
                        span, target = piece.split(" : jump ")
                        low, _, high = span.partition("-")
                        if int(low) <= number <= int(high or low):
                            walk(target)
                elif line.startswith("jump "):
                    walk(line.removeprefix("jump "))
                elif line.startswith("ip saddr {"):
                    found.update(line.split("{ ")[1].split(" }")[0].split(", "))

        walk("in1")
        return found

    def covered(self, prefixes: set[str]) -> set[int]:
        return {
            block.network_address.packed[1]
            for prefix in prefixes
            for block in ipaddress.ip_network(prefix).subnets(new_prefix=16)
        }

    def test_answers_are_known_by_the_same_rules_the_other_way_round(self) -> None:
        rules = [
            Rule("ingress", "IPv4", 6, 80, 90, remote_prefix="10.1.0.0/16"),
            Rule("ingress", "IPv4", 17, 53, 53),
            Rule("ingress", "IPv4", 1, 8, 0),
            Rule("ingress", "IPv4", 1, 3),
            Rule("ingress", "IPv6", 58, 128, 0),
            Rule("egress", "IPv4"),
        ]
        inward = grouprules.compile_chains("in_back1", "ingress", rules, answers=True)
        self.assertEqual(
            {
                "in_back1": (
                    "meta nfproto ipv4 icmp type 0 accept",
                    "meta nfproto ipv4 udp sport { 53 } accept",
                    "meta nfproto ipv4 tcp sport vmap { 80-90 : jump in_back1v4s0 }",
                    "meta nfproto ipv6 icmpv6 type 129 accept",
                    "drop",
                ),
                "in_back1v4s0": ("ip daddr { 10.1.0.0/16 } accept",),
            },
            inward,
        )
        rules = [Rule("egress", "IPv4", remote_prefix="10.1.0.0/16")]
        outward = grouprules.compile_chains("out_back1", "egress", rules, answers=True)
        self.assertEqual(("ip saddr { 10.1.0.0/16 } accept",), outward["out_back1v4s0"])

    def test_pieces_of_a_verdict_map_do_not_overlap(self) -> None:
        rules = [Rule("ingress", "IPv4", 6, low, 100, remote_prefix=f"10.{low}.0.0/16") for low in range(50)]
        line = next(line for line in grouprules.compile_chains("in1", "ingress", rules)["in1"] if "vmap" in line)
        pieces = [piece.split(" : ")[0] for piece in line.split("{ ")[1].removesuffix(" }").split(", ")]
        bounds = [tuple(map(int, (piece.split("-") * 2)[:2])) for piece in pieces]

        self.assertTrue(all(one[1] < two[0] for one, two in zip(bounds, bounds[1:], strict=False)), bounds)

    def test_ten_thousand_rules_make_few_lines(self) -> None:
        rules = [
            Rule("ingress", "IPv4", 6, 443, 443, remote_prefix=f"10.{number >> 8}.{number & 255}.0/25")
            for number in range(10_000)
        ]
        chains = grouprules.compile_chains("in1", "ingress", rules)

        self.assertLess(sum(map(len, chains.values())), 10)

    def test_rules_that_would_make_too_many_pieces_are_asked_in_turn(self) -> None:
        rules = [
            Rule("ingress", "IPv4", 6, number, 65535 - number, remote_prefix=f"10.{number >> 8}.{number & 255}.0/24")
            for number in range(2000)
        ]
        chains = grouprules.compile_chains("in1", "ingress", rules)

        self.assertLess(sum(map(len, chains.values())), 5000)

    def test_all_protocols_from_everywhere_is_one_line(self) -> None:
        rules = [Rule("egress"), Rule("egress", "IPv4", 6, 80, 80, remote_prefix="10.0.0.0/8")]

        self.assertEqual(
            {"out1": ("meta nfproto ipv4 accept", "drop")}, grouprules.compile_chains("out1", "egress", rules)
        )

    def test_rules_of_the_other_direction_let_nothing_through(self) -> None:
        self.assertEqual({"in1": ("drop",)}, grouprules.compile_chains("in1", "ingress", [Rule("egress")]))


class ScriptTests(unittest.TestCase):
    def test_nothing_changed_is_no_script(self) -> None:
        part = rulebook.group(IDS[0], ["10.0.0.1"])

        self.assertEqual("", rulebook.script({1: part}, {1: rulebook.group(IDS[0], ["10.0.0.1"])}))

    def test_a_member_more_is_one_line(self) -> None:
        before, after = rulebook.group(IDS[0], ["10.0.0.1"]), rulebook.group(IDS[0], ["10.0.0.1", "10.0.0.2"])

        (line,) = rulebook.script({1: before}, {1: after}).splitlines()
        self.assertEqual(f"add element inet zl g4_{IDS[0].replace('-', '')} {{ 10.0.0.2 }}", line)

    def test_a_changed_chain_is_flushed_and_filled_and_not_deleted(self) -> None:
        before = {1: Part(chains={"inet zl in1": ("drop",)}), 2: Part(chains={"inet zl in2": ("drop",)})}
        after = {3: Part(chains={"inet zl in1": ("accept",)})}

        self.assertEqual(
            ["flush chain inet zl in1", "flush chain inet zl in2", "add rule inet zl in1 accept"]
            + ["delete chain inet zl in2"],
            rulebook.script(before, after).splitlines(),
        )

    def test_a_port_that_changes_its_combination_is_taken_from_one_before_it_is_put_in_the_other(self) -> None:
        endpoint = Endpoint(IDS[0], IDS[1], 1, "fa:16:3e:00:00:01", 1450, (Address("10.0.0.5", 24, IDS[2]),))
        before, after = (rulebook.port("zv1", endpoint, None, number) for number in (1, 2))

        self.assertEqual(
            [
                'delete element bridge zl out_mark { "zv1" : 1 }',
                'delete element bridge zl in_mark { "zv1" : 1 }',
                'add element bridge zl out_mark { "zv1" : 2 }',
                'add element bridge zl in_mark { "zv1" : 2 }',
            ],
            rulebook.script({1: before}, {1: after}).splitlines(),
        )

    def test_a_port_of_ipv4_alone_may_send_no_ipv6(self) -> None:
        endpoint = Endpoint(IDS[0], IDS[1], 1, "fa:16:3e:00:00:01", 1450, (Address("10.0.0.5", 24, IDS[2]),))

        self.assertFalse(any("6" in name for name in rulebook.port("zv1", endpoint, None, 1).elements))

    def test_prefixes_that_a_port_may_send_from_do_not_overlap(self) -> None:
        pairs = tuple(AddressPair(prefix) for prefix in ("10.0.0.0/8", "10.1.0.0/16", "10.0.0.0/9", "0.0.0.0/1"))
        endpoint = Endpoint(IDS[0], IDS[1], 1, "fa:16:3e:00:00:01", 1450, (Address("10.0.0.5", 24, IDS[2]),))
        state = PortState(IDS[0], endpoint.mac, allowed_address_pairs=pairs)

        elements = rulebook.port("zv1", endpoint, state, 1).elements["bridge zl pair4"]
        self.assertEqual(frozenset(['"zv1" . fa:16:3e:00:00:01 . 0.0.0.0/1']), elements)
