# SPDX-License-Identifier: Apache-2.0
"""Routers, floating IPs and the way out, on a machine of a test's own with a world beyond it."""

from __future__ import annotations

import subprocess
from dataclasses import replace

from tests.system.netd.fleet import FleetTestCase, Machine, ip
from tests.system.netd.host import Container, new_id
from tests.system.netd.planes import EVERYTHING, member
from tests.system.netd.talk import caller, connects, listening, reaches_soon
from zun_lite.domain.plane import (
    ExternalState,
    FloatingState,
    GatewayState,
    GroupState,
    HostPlane,
    InterfaceState,
    NetworkState,
    RouterState,
    Rule,
    SubnetState,
)
from zun_lite.netd import names, namespaces, outside

WORLD = "192.168.77.254"
OUTER = "172.24.4"
WORLD6, OUTER6 = "2001:db8:77::254", "2001:db8:e::"


class RouterTests(FleetTestCase):
    size = 1

    def setUp(self) -> None:
        super().setUp()
        self.here: Machine = self.machines[0]
        # what Docker does to a machine
        subprocess.run([*self.on_machine(), "iptables", "-P", "FORWARD", "DROP"], check=True)
        ip("-n", self.wire, "addr", "add", f"{WORLD}/24", "dev", "ul0")
        ip("-n", self.wire, "route", "add", f"{OUTER}.0/24", "via", self.here.vtep)
        ip("-n", self.here.name, "route", "add", "default", "via", WORLD)
        group = GroupState(new_id(), EVERYTHING)
        self.groups[group.group_id] = group
        self.open = group.group_id
        self.external = ExternalState(new_id(), (f"{OUTER}.1/24",))
        self.subnets: dict[str, str] = {}
        self.legs: dict[str, InterfaceState] = {}
        self.routers: dict[str, RouterState] = {}

    def on_machine(self) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self.here.name}"]

    def tenant_network(self, vni: int, v4: str, v6: str = "fd00:1::") -> str:
        network_id = self.network(vni)
        self.subnets[network_id] = f"{v4}.0/24"
        self.legs[network_id] = InterfaceState(
            new_id(), network_id, f"fa:16:3e:aa:{vni % 256:02x}:01", (f"{v4}.1/24", f"{v6}1/64")
        )
        return network_id

    def router(self, *network_ids: str, last: int, snat: bool = True, floating: tuple[FloatingState, ...] = ()) -> str:
        gateway = GatewayState(
            new_id(),
            self.external.network_id,
            f"fa:16:3e:bb:00:{last:02x}",
            (f"{OUTER}.{last}/24",),
            (f"{OUTER}.1",),
            snat,
        )
        router = RouterState(
            new_id(), tuple(self.legs[network_id] for network_id in network_ids), gateway, (), floating
        )
        self.routers[router.router_id] = router
        return router.router_id

    def plane(self, machine: Machine, **fields) -> HostPlane:
        plane = super().plane(machine)
        networks = tuple(
            NetworkState(item.network_id, item.vni, 1450, (SubnetState(self.subnets[item.network_id]),), item.ports)
            for item in plane.networks
        )
        externals = (self.external,) if self.routers else ()
        return HostPlane(plane.revision, None, networks, plane.groups, tuple(self.routers.values()), externals)

    def one_tenant(self, vni: int, last: int) -> tuple[Container, str]:
        """A container in a network of its own behind a router of its own."""
        network_id = self.tenant_network(vni, "10.1.0")
        container = self.joined(self.here, member(network_id, 5), self.open)
        return container, self.router(network_id, last=last)

    def test_a_container_reaches_the_world_as_its_host_does_and_is_not_reached(self) -> None:
        container, _ = self.one_tenant(1001, 10)
        with listening(self.wire, WORLD, 80) as server:
            self.assertFalse(reaches_soon(container, WORLD, 80), "there is no router yet")
            self.give()
            self.assertTrue(connects(container, WORLD, 80))
            self.assertEqual(self.here.vtep, caller(server))
        with listening(container, "10.1.0.5", 80):
            ip("-n", self.wire, "route", "add", "10.1.0.0/24", "via", self.here.vtep)
            self.assertFalse(reaches_soon(self.wire, "10.1.0.5", 80))

    def test_a_floating_ip_leads_in_from_the_host_and_not_from_beyond_it(self) -> None:
        container, router_id = self.one_tenant(1001, 10)
        self.float(router_id, f"{OUTER}.50", "10.1.0.5")
        self.give()
        with listening(container, "10.1.0.5", 80):
            self.assertTrue(connects(self.here.name, f"{OUTER}.50", 80))
            self.assertFalse(reaches_soon(self.wire, f"{OUTER}.50", 80))

        self.routers[router_id] = RouterState(**{**vars(self.routers[router_id]), "floating": ()})
        self.give()
        with listening(container, "10.1.0.5", 80):
            self.assertFalse(reaches_soon(self.here.name, f"{OUTER}.50", 80))

    def test_tenants_with_equal_addresses_meet_by_floating_ips_and_see_those(self) -> None:
        ours, our_router = self.one_tenant(1001, 10)
        theirs, their_router = self.one_tenant(1002, 11)
        self.float(our_router, f"{OUTER}.50", "10.1.0.5")
        self.give()
        with listening(ours, "10.1.0.5", 80) as server:
            self.assertTrue(connects(theirs, f"{OUTER}.50", 80))
            self.assertEqual(f"{OUTER}.11", caller(server))

        self.float(their_router, f"{OUTER}.51", "10.1.0.5")
        self.give()
        with listening(ours, "10.1.0.5", 80) as server:
            self.assertTrue(connects(theirs, f"{OUTER}.50", 80))
            self.assertEqual(f"{OUTER}.51", caller(server))

    def test_a_neighbour_is_reached_by_its_floating_ip_too(self) -> None:
        container, router_id = self.one_tenant(1001, 10)
        network_id = self.routers[router_id].interfaces[0].network_id
        other = self.joined(self.here, member(network_id, 6), self.open)
        self.float(router_id, f"{OUTER}.50", "10.1.0.5")
        self.give()
        with listening(container, "10.1.0.5", 80):
            self.assertTrue(connects(other, f"{OUTER}.50", 80))
            self.assertTrue(connects(container, f"{OUTER}.50", 80))

    def test_a_router_joins_its_networks_in_both_families_and_no_others(self) -> None:
        first, second = self.tenant_network(1001, "10.1.0"), self.tenant_network(1002, "10.2.0", "fd00:2::")
        stranger = self.tenant_network(1003, "10.3.0", "fd00:3::")
        a = self.joined(self.here, member(first, 5), self.open)
        self.joined(self.here, member(second, 5, "10.2.0", "fd00:2::"), self.open)
        self.joined(self.here, member(stranger, 5, "10.3.0", "fd00:3::"), self.open)
        self.router(first, second, last=10)
        self.router(stranger, last=11)
        self.give()

        for address, reached in (("10.2.0.5", True), ("fd00:2::5", True), ("10.3.0.5", False), ("fd00:3::5", False)):
            self.assertEqual(reached, a.can_ping(address), address)

    def test_neither_the_host_nor_metadata_is_reached_by_way_of_a_router(self) -> None:
        """B5, B6."""
        container, _ = self.one_tenant(1001, 10)
        ip("-n", self.wire, "addr", "add", "169.254.169.254/32", "dev", "ul0")
        ip("-n", self.here.name, "route", "add", "169.254.169.254/32", "via", WORLD)
        near, _ = outside.transfer_addresses(self.external.network_id)
        self.give()
        for place, address in (
            (self.here.name, self.here.vtep),
            (self.here.name, near),
            (self.wire, "169.254.169.254"),
        ):
            with listening(place, address, 80):
                self.assertTrue(connects(self.here.name, address, 80), "it is there")
                self.assertFalse(reaches_soon(container, address, 80), address)
        with listening(self.wire, WORLD, 80):
            self.assertTrue(connects(container, WORLD, 80))
        switch = names.namespace(self.here.host.cluster, next(iter(self.networks)))
        counted = subprocess.run(
            ["ip", "netns", "exec", switch, "nft", "list", "counter", "inet", "zl", "metadata"],
            capture_output=True,
            text=True,
        ).stdout
        self.assertNotIn("packets 0 ", counted)
        self.assertIn("packets ", counted)

    def test_a_static_route_of_a_router_leads_on(self) -> None:
        first, second = self.tenant_network(1001, "10.1.0"), self.tenant_network(1002, "10.2.0", "fd00:2::")
        a = self.joined(self.here, member(first, 5), self.open)
        between = self.joined(self.here, member(second, 7, "10.2.0", "fd00:2::"), self.open, port_security=False)
        between.run("ip", "addr", "add", "10.77.0.1/32", "dev", "lo")
        router_id = self.router(first, second, last=10)
        self.give()
        self.assertFalse(a.can_ping("10.77.0.1"))
        self.routers[router_id] = RouterState(
            **{**vars(self.routers[router_id]), "routes": (("10.77.0.0/24", "10.2.0.7"),)}
        )
        self.give()

        self.assertTrue(a.can_ping("10.77.0.1"))

    def test_a_route_by_a_way_out_that_was_taken_away_waits_and_holds_up_no_other(self) -> None:
        first, second = self.tenant_network(1001, "10.1.0"), self.tenant_network(1002, "10.2.0", "fd00:2::")
        a = self.joined(self.here, member(first, 5), self.open)
        between = self.joined(self.here, member(second, 7, "10.2.0", "fd00:2::"), self.open, port_security=False)
        between.run("ip", "addr", "add", "10.77.0.1/32", "dev", "lo")
        router_id = self.router(first, second, last=10)
        routes = (("10.78.0.0/24", f"{OUTER}.9"), ("10.77.0.0/24", "10.2.0.7"))
        with_gateway = replace(self.routers[router_id], routes=routes)
        space = names.router(self.here.host.cluster, router_id)
        for router, shown in ((with_gateway, True), (replace(with_gateway, gateway=None), False)):
            self.routers[router_id] = router
            self.give()
            self.assertTrue(a.can_ping("10.77.0.1"))
            self.assertEqual(shown, f"10.78.0.0/24 via {OUTER}.9" in ip("-n", space, "route"))

    def test_an_address_of_one_network_of_a_router_is_not_heard_from_another(self) -> None:
        first, second = self.tenant_network(1001, "10.1.0"), self.tenant_network(1002, "10.2.0", "fd00:2::")
        third = self.tenant_network(1003, "10.3.0", "fd00:3::")
        there = self.joined(self.here, member(first, 5), self.open)
        liar = self.joined(self.here, member(second, 7, "10.2.0", "fd00:2::"), self.open, port_security=False)
        self.router(first, second, third, last=10)
        self.give()
        for family, length, target, honest, false in (
            ("ip", 32, "10.1.0.5", "10.77.0.1", "10.3.0.66"),
            ("ip6", 128, "fd00:1::5", "fd00:77::1", "fd00:3::66"),
        ):
            for sender, heard in ((honest, True), (false, False)):
                liar.run("ip", "addr", "add", f"{sender}/{length}", "dev", "lo")
                rule = f"{family} saddr {sender} counter name heard"
                chain = f"chain in {{ type filter hook input priority 0; {rule}; }}"
                there.run("nft", f"table inet zlt {{ counter heard {{ }}; {chain}; }}")
                liar.run("busybox", "ping", "-c", "2", "-W", "1", "-I", sender, target)
                counted = there.run("nft", "list", "counter", "inet", "zlt", "heard").stdout
                self.assertIn("packets ", counted)
                self.assertEqual(heard, "packets 0 " not in counted, sender)
                there.run("nft", "delete", "table", "inet", "zlt")

    def test_ipv6_goes_out_and_comes_in_as_it_is_where_the_way_back_is_known(self) -> None:
        known, known_router = self.six_tenant(1001, "2001:db8:1::", last=0x10)
        unknown, _ = self.six_tenant(1002, "2001:db8:2::", last=0x11)
        gateway = f"{OUTER6}10"
        self.external = ExternalState(
            self.external.network_id, (f"{OUTER}.1/24", f"{OUTER6}1/64"), None, (("2001:db8:1::/64", gateway),)
        )
        self.beyond()
        with listening(self.wire, WORLD6, 80) as server:
            self.assertFalse(reaches_soon(known, WORLD6, 80), "there is no router yet")
            self.give()
            self.assertTrue(connects(known, WORLD6, 80))
            self.assertEqual("2001:db8:1::5", caller(server))
            self.assertFalse(reaches_soon(unknown, WORLD6, 80), "nobody would know the way back")
        with listening(known, "2001:db8:1::5", 80), listening(known, "2001:db8:1::5", 81):
            self.assertTrue(connects(self.wire, "2001:db8:1::5", 80))
            self.assertEqual((True, True), (known.can_ping(WORLD6), known.can_ping(gateway)))
            self.only_tcp_80()
            self.assertTrue(connects(self.wire, "2001:db8:1::5", 80), "what the rules let in")
            self.assertFalse(reaches_soon(self.wire, "2001:db8:1::5", 81), "and nothing else")
        around = names.router(self.here.host.cluster, known_router)
        ip("-n", around, "route", "add", "2001:db8:2::/64", "via", f"{OUTER6}11", "dev", names.GATEWAY, "onlink")
        with listening(unknown, "2001:db8:2::5", 80):
            self.assertTrue(connects(unknown, "2001:db8:2::5", 80), "it is there")
            self.assertFalse(reaches_soon(known, "2001:db8:2::5", 80), "what stays inside is not led in by a neighbour")
        for place, address in ((self.here.name, "2001:db8:77::1"), (self.wire, "fd00:ec2::254")):
            with listening(place, address, 80):
                self.assertTrue(connects(self.here.name, address, 80), "it is there")
                self.assertFalse(reaches_soon(known, address, 80), address)

        router = self.routers[known_router]
        self.routers[known_router] = RouterState(**{**vars(router), "gateway": None})
        self.external = ExternalState(self.external.network_id, (f"{OUTER}.1/24",))
        self.give()
        with listening(known, "2001:db8:1::5", 80):
            self.assertFalse(reaches_soon(self.wire, "2001:db8:1::5", 80))
        six = subprocess.run(["ip", "-n", self.here.name, "-6", "route"], capture_output=True, text=True).stdout
        self.assertNotIn("2001:db8:1::/64", six)
        rules = subprocess.run([*self.on_machine(), "nft", "list", "tables"], capture_output=True, text=True).stdout
        self.assertNotIn("ip6 zl_", rules)

    def six_tenant(self, vni: int, v6: str, *, last: int) -> tuple[Container, str]:
        network_id = self.tenant_network(vni, "10.1.0", v6)
        container = self.joined(self.here, member(network_id, 5, v6=v6), self.open)
        router_id = self.router(network_id, last=last)
        router = self.routers[router_id]
        gateway = GatewayState(
            **{
                **vars(router.gateway),
                "addresses": (*router.gateway.addresses, f"{OUTER6}{last:x}/64"),
                "nexthops": (f"{OUTER}.1", f"{OUTER6}1"),
            }
        )
        self.routers[router_id] = RouterState(**{**vars(router), "gateway": gateway})
        return container, router_id

    def beyond(self) -> None:
        """A world of IPv6 around the machine, that knows where the machine's prefixes are."""
        ip("-n", self.wire, "addr", "add", f"{WORLD6}/64", "dev", "ul0", "nodad")
        ip("-n", self.wire, "addr", "add", "fd00:ec2::254/128", "dev", "ul0", "nodad")
        ip("-n", self.here.name, "addr", "add", "2001:db8:77::1/64", "dev", "up0", "nodad")
        ip("-n", self.here.name, "route", "add", "default", "via", WORLD6)
        for prefix in ("2001:db8:1::/64", "2001:db8:2::/64"):
            ip("-n", self.wire, "route", "add", prefix, "via", "2001:db8:77::1")
        subprocess.run([*self.on_machine(), "ip6tables", "-P", "FORWARD", "DROP"], check=True)

    def only_tcp_80(self) -> None:
        rules = (*(rule for rule in EVERYTHING if rule.direction == "egress"), Rule("ingress", "IPv6", 6, 80, 80))
        self.groups[self.open] = GroupState(self.open, rules)
        self.give()

    def test_a_router_outlives_netd_and_leaves_nothing_when_it_goes(self) -> None:
        container, router_id = self.one_tenant(1001, 10)
        self.float(router_id, f"{OUTER}.50", "10.1.0.5")
        self.give()
        self.here.host.kill()
        with listening(container, "10.1.0.5", 80):
            self.assertTrue(connects(self.here.name, f"{OUTER}.50", 80))
        self.here.host.start()
        self.give()
        with listening(container, "10.1.0.5", 80):
            self.assertTrue(connects(self.here.name, f"{OUTER}.50", 80))
        self.assertEqual([], self.here.host.client.list()["strays"]["namespaces"])

        self.routers.clear()
        self.give()

        left = namespaces.names(names.namespace_prefix(self.here.host.cluster))
        self.assertEqual([names.namespace(self.here.host.cluster, next(iter(self.networks)))], left)
        rules = subprocess.run([*self.on_machine(), "nft", "list", "ruleset"], capture_output=True, text=True).stdout
        self.assertNotIn("zl_", rules)
        self.assertNotIn(
            "zu", subprocess.run([*self.on_machine(), "iptables", "-S"], capture_output=True, text=True).stdout
        )

    def float(self, router_id: str, floating_ip: str, fixed_ip: str) -> None:
        router = self.routers[router_id]
        floating = (*router.floating, FloatingState(floating_ip, fixed_ip))
        self.routers[router_id] = RouterState(**{**vars(router), "floating": floating})
