# SPDX-License-Identifier: Apache-2.0
"""What hosts are told of networks: whole, theirs alone, and anew whenever it changes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from tests.builders import a_caller, a_host, a_spec, means_of
from tests.databases import on_every_database
from tests.db.network_case import OTHER, PROJECT, NetworkTestCase
from zun_lite.control import create, plane, reports, routers
from zun_lite.control.loop import Controller
from zun_lite.db import hosts, networks, planes, ports, security_groups, subnets, workloads
from zun_lite.db import routers as router_rows
from zun_lite.db.hosts import Host
from zun_lite.domain.desired import Report
from zun_lite.domain.plane import AddressPair, HostPlane, PortState, Rule
from zun_lite.domain.spec import NetworkRequest
from zun_lite.netd.planecheck import checked
from zun_lite.network import cidr, floating, groups
from zun_lite.network import routers as router_rules
from zun_lite.network.ports import Wanted, change_port, create_port, delete_port
from zun_lite.network.subnet_pools import create_pool, take
from zun_lite.network.topology import change_subnet, create_network, create_subnet


class PlaneTestCase(NetworkTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.means = means_of(self.db, networks=self.provider)
        self.here, self.there = a_host(self.means, "host1"), a_host(self.means, "host2")

    def plane(self, host: Host) -> HostPlane:
        """As the host gets it; nothing in it may be wrong."""
        with self.db.read() as tx:
            known = hosts.get(tx, host.uuid)
        assert known is not None
        found = HostPlane.from_json(plane.host_plane(self.means, known).to_json())
        self.assertEqual([], checked(found)[1])
        return found

    def revision(self, host: Host) -> int:
        return plane.revision(self.means, host)

    def on(self, host: Host, network: networks.Network, **values: Any) -> ports.Port:
        """A port that is bound to the host."""
        return self.port(network, host=host.uuid, **values)

    def underlay(self, host: Host, address: str | None) -> None:
        with self.db.read() as tx:
            known = hosts.get(tx, host.uuid)
        assert known is not None and known.inventory is not None
        told = dataclasses.replace(known.inventory, underlay_address=address)
        reports.take(self.means, known, Report("boot1", told, True, ()))

    def port_of(self, found: HostPlane, port: ports.Port) -> PortState:
        (state,) = [item for network in found.networks for item in network.ports if item.port_id == port.uuid]
        return state

    def group_of(self, port: ports.Port) -> security_groups.SecurityGroup:
        with self.db.read() as tx:
            group = security_groups.get(tx, port.security_groups[0])
        assert group is not None
        return group


@on_every_database
class PlaneTest(PlaneTestCase):
    def test_a_host_is_told_all_ports_of_its_networks_and_nothing_of_others(self) -> None:
        network, other = self.network(), self.network(OTHER)
        subnet = self.subnet(network, dns=["9.9.9.9"])
        self.subnet(other)
        self.underlay(self.here, "192.0.2.1")
        self.underlay(self.there, "192.0.2.2")
        mine = self.on(self.here, network)
        far = self.on(self.there, network)
        self.on(self.there, other)
        found = self.plane(self.here)
        self.assertEqual([network.uuid], [item.network_id for item in found.networks])
        (state,) = found.networks
        self.assertEqual((network.vni, 1450), (state.vni, state.mtu))
        self.assertEqual(
            [(subnet.cidr, "10.0.0.1", ("9.9.9.9",))], [(item.cidr, item.gateway, item.dns) for item in state.subnets]
        )
        self.assertEqual("192.0.2.1", found.vtep)
        near = self.port_of(found, mine)
        self.assertEqual((mine.mac, ("10.0.0.2",), True), (near.mac, near.addresses, near.local))
        away = self.port_of(found, far)
        self.assertEqual(
            (far.mac, ("10.0.0.3",), False, "192.0.2.2"), (away.mac, away.addresses, away.local, away.vtep)
        )
        self.assertEqual(2, len(self.plane(self.there).networks))
        self.assertEqual(((), ()), (self.plane(a_host(self.means, "host3")).networks, found.routers))

    def test_rules_are_told_with_the_groups_of_ones_own_ports(self) -> None:
        network = self.network()
        self.subnet(network)

        def make(tx: Any) -> str:
            group = groups.create_group(tx, PROJECT, name="web")
            wanted = groups.WantedRule("ingress", "IPv4", "tcp", 80, 90, "10.0.0.7/8")
            groups.create_rule(tx, group, PROJECT, wanted)
            groups.create_rule(tx, group, PROJECT, groups.WantedRule("ingress", "IPv6", "icmp", remote_prefix="::/0"))
            return group.uuid

        group = self.db.transact(make)
        self.on(self.here, network, security_group_ids=[group])
        default = self.on(self.there, network).security_groups[0]
        (state,) = self.plane(self.here).groups
        self.assertEqual(group, state.group_id)
        self.assertEqual(
            {
                Rule("egress", "IPv4"),
                Rule("egress", "IPv6"),
                Rule("ingress", "IPv4", 6, 80, 90, "10.0.0.0/8"),
                Rule("ingress", "IPv6", 58),
            },
            set(state.rules),
        )
        (other,) = self.plane(self.there).groups
        self.assertIn(Rule("ingress", "IPv4", remote_group=default), other.rules)

    def test_members_of_a_group_on_networks_that_are_not_told_are_named(self) -> None:
        network, far = self.network(), self.network()
        self.subnet(network)
        self.subnet(far, "10.9.0.0/24")
        self.on(self.here, network)
        elsewhere = self.on(self.there, far)
        (state,) = self.plane(self.here).groups
        self.assertEqual((elsewhere.addresses[0].ip,), state.members)

    def test_a_port_is_told_with_what_guards_it(self) -> None:
        network = self.network()
        self.subnet(network)
        loose = self.on(self.here, network, port_security=False)
        pairs = [("10.0.0.9", None), ("10.1.0.0/16", "fa:16:3e:00:00:01")]
        paired = self.on(self.here, network, address_pairs=pairs)
        off = self.on(self.here, network, admin_state_up=False)
        found = self.plane(self.here)
        self.assertEqual((False, ()), (self.port_of(found, loose).port_security, self.port_of(found, loose).groups))
        self.assertEqual(
            (AddressPair("10.0.0.9"), AddressPair("10.1.0.0/16", "fa:16:3e:00:00:01")),
            self.port_of(found, paired).allowed_address_pairs,
        )
        self.assertEqual((True, ()), (self.port_of(found, off).port_security, self.port_of(found, off).groups))

    def test_containers_are_told_by_name(self) -> None:
        network = self.network()
        self.subnet(network)
        spec = a_spec(networks=(NetworkRequest(network.uuid),), hostname="known")
        made = create.create_container(self.means, a_caller(PROJECT), "web", spec, run=True)
        Controller(self.means).run_once()
        with self.db.read() as tx:
            known = workloads.get(tx, made.uuid)
        host = self.here if known.host == self.here.uuid else self.there
        (state,) = self.plane(host).networks[0].ports
        self.assertEqual(("web", "known"), state.names)
        before = self.revision(host)
        self.db.transact(lambda tx: workloads.rename(tx, known, "new"))
        self.assertNotEqual(before, self.revision(host))
        self.assertEqual(("new", "known"), self.plane(host).networks[0].ports[0].names)


@on_every_database
class RevisionTest(PlaneTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.net = self.network()
        self.sub = self.subnet(self.net)
        self.one = self.on(self.here, self.net)
        other = self.network(OTHER)
        self.subnet(other)
        self.on(self.there, other)

    def assert_told(self, work: Callable[[Any], Any], what: str) -> Any:
        """The change gives the host another plane, and the other host, who has no part in it, the same."""
        before, apart = self.revision(self.here), self.revision(self.there)
        with self.db.read() as tx:
            mark = planes.mark(tx)
        done = self.db.transact(work)
        self.assertNotEqual(before, self.revision(self.here), what)
        self.assertEqual(apart, self.revision(self.there), what)
        with self.db.read() as tx:
            self.assertNotEqual(mark, planes.mark(tx), what)
        self.assertEqual(self.revision(self.here), self.plane(self.here).revision)
        return done

    def test_it_stays_while_nothing_changes(self) -> None:
        before = self.revision(self.here)
        self.assertEqual(before, self.revision(self.here))
        self.assertLess(before, 2**53)

    def test_every_change_of_ports_is_told(self) -> None:
        made = self.assert_told(lambda tx: self.made_in(tx), "a port is made")
        self.assert_told(lambda tx: change_port(tx, made, {"admin_state_up": False}), "it is changed")
        self.assert_told(lambda tx: change_port(tx, made, {}, security_group_ids=[]), "its groups are changed")
        self.assert_told(lambda tx: delete_port(tx, made), "it is deleted")
        self.assert_told(lambda tx: change_subnet(tx, self.sub, {"dns": ["9.9.9.9"]}), "its subnet is changed")

    def made_in(self, tx: Any) -> ports.Port:
        return create_port(tx, self.net, PROJECT)

    def test_every_change_of_groups_is_told(self) -> None:
        group = self.group_of(self.one)
        wanted = groups.WantedRule("ingress", "IPv4", "tcp", 22, 22)
        rule = self.assert_told(lambda tx: groups.create_rule(tx, group, PROJECT, wanted), "a rule is made")
        self.assert_told(lambda tx: groups.delete_rule(tx, rule), "a rule is deleted")

    def test_what_another_project_does_on_a_shared_network_is_told(self) -> None:
        shared = self.network(shared=True)
        self.subnet(shared, "10.4.0.0/24")
        self.on(self.here, shared)
        self.assert_told(lambda tx: create_port(tx, shared, "r" * 32), "a port of another project is made")

    def test_another_hosts_underlay_address_is_told(self) -> None:
        far = self.on(self.there, self.net)
        before = self.revision(self.here)
        self.underlay(self.there, "192.0.2.2")
        self.assertNotEqual(before, self.revision(self.here))
        self.assertEqual("192.0.2.2", self.port_of(self.plane(self.here), far).vtep)
        now = self.revision(self.here)
        self.underlay(self.there, "192.0.2.2")
        self.assertEqual(now, self.revision(self.here), "the same again is no news")


@on_every_database
class RouterPlaneTest(PlaneTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.net = self.network()
        self.sub = self.subnet(self.net)
        self.external = self.network(OTHER, external=True)
        self.outer = self.subnet(self.external, "172.24.4.0/24")

        def make(tx: Any) -> router_rows.Router:
            router = router_rules.create_router(tx, PROJECT, name="r")
            router_rules.add_subnet(tx, router, self.sub)
            return router_rules.set_gateway(tx, router, self.external)

        self.router = self.db.transact(make)

    def home(self) -> Host | None:
        with self.db.read() as tx:
            router = router_rows.get(tx, self.router.uuid)
            assert router is not None
            return hosts.get(tx, router.host) if router.host is not None else None

    def test_a_router_runs_on_one_host_which_is_told_all_of_it(self) -> None:
        self.assertEqual(1, len(routers.place(self.means)))
        self.assertEqual([], routers.place(self.means))
        home = self.home()
        assert home is not None
        server = self.on(self.there if home.uuid == self.here.uuid else self.here, self.net)
        taken = self.db.transact(lambda tx: floating.create_floating_ip(tx, self.external, PROJECT))
        self.db.transact(lambda tx: floating.lead(tx, taken, server))
        found = self.plane(home)
        (router,) = found.routers
        (leg,) = router.interfaces
        self.assertEqual((self.net.uuid, ("10.0.0.1/24",)), (leg.network_id, leg.addresses))
        gateway = router.gateway
        assert gateway is not None
        self.assertEqual(
            (self.external.uuid, ("172.24.4.2/24",), ("172.24.4.1",), True),
            (gateway.network_id, gateway.addresses, gateway.nexthops, gateway.snat),
        )
        self.assertEqual(
            [("172.24.4.3", server.addresses[0].ip)], [(item.floating_ip, item.fixed_ip) for item in router.floating]
        )
        self.assertEqual([self.net.uuid], [item.network_id for item in found.networks])
        (external,) = found.externals
        self.assertEqual(
            (self.external.uuid, ("172.24.4.1/24",), None), (external.network_id, external.addresses, external.bridge)
        )
        other = self.plane(self.there if home.uuid == self.here.uuid else self.here)
        self.assertEqual(((), ()), (other.routers, other.externals))
        (leg_there,) = [item for item in other.networks[0].ports if "10.0.0.1" in item.addresses]
        self.assertFalse(leg_there.local)

    def test_ipv6_is_led_in_to_what_is_of_shared_pools_and_nothing_else(self) -> None:
        def make(tx: Any) -> None:
            shared = create_pool(tx, OTHER, name="all", prefixes=["2001:db8:100::/56"], shared=True)
            own = create_pool(tx, PROJECT, name="own", prefixes=["2001:db8:200::/56"])
            for pool, block in ((shared, "2001:db8:100::/64"), (own, "2001:db8:200::/64"), (None, "2001:db8:300::/64")):
                network = networks.get(tx, self.network_in(tx))
                assert network is not None
                if pool is not None:
                    take(tx, pool, PROJECT, block=cidr.parse_cidr(block))
                subnet_pool = pool.uuid if pool is not None else None
                made = create_subnet(tx, network, PROJECT, cidr.parse_cidr(block), subnet_pool=subnet_pool)
                router_rules.add_subnet(tx, self.router, made)

        self.db.transact(make)
        routers.place(self.means)
        home = self.home()
        assert home is not None
        self.assertEqual((), self.plane(home).externals[0].routes, "the way out has no IPv6")
        self.subnet(self.external, "2001:db8:e::/64")
        before = self.revision(home)
        self.db.transact(lambda tx: router_rules.set_gateway(tx, self.router, self.external))
        self.assertNotEqual(before, self.revision(home))
        (external,) = self.plane(home).externals
        self.assertEqual((("2001:db8:100::/64", "2001:db8:e::2"),), external.routes)
        self.assertEqual({"172.24.4.1/24", "2001:db8:e::1/64"}, set(external.addresses))
        gateway = self.plane(home).routers[0].gateway
        assert gateway is not None
        self.assertEqual(("172.24.4.2/24", "2001:db8:e::2/64"), gateway.addresses)

    def test_another_routers_leg_in_a_shared_subnet_leads_nothing_in(self) -> None:
        self.subnet(self.external, "2001:db8:e::/64")

        def make(tx: Any) -> tuple[str, router_rows.Router]:
            pool = create_pool(tx, OTHER, name="all", prefixes=["2001:db8:100::/56"], shared=True)
            network = networks.get(tx, self.network_in(tx))
            assert network is not None
            take(tx, pool, PROJECT, block=cidr.parse_cidr("2001:db8:100::/64"))
            made = create_subnet(tx, network, PROJECT, cidr.parse_cidr("2001:db8:100::/64"), subnet_pool=pool.uuid)
            stranger = router_rules.create_router(tx, OTHER)
            router_rules.set_gateway(tx, stranger, self.external)
            router_rules.add_port(tx, stranger, create_port(tx, network, OTHER, fixed_ips=[Wanted(made.uuid)]))
            return made.uuid, stranger

        made_uuid, stranger = self.db.transact(make)
        self.db.transact(lambda tx: router_rules.set_gateway(tx, self.router, self.external))
        routers.place(self.means)
        self.assertEqual({stranger.uuid: ()}, self.led_by(stranger))

        def join(tx: Any) -> None:
            made = subnets.get(tx, made_uuid)
            assert made is not None
            router_rules.add_subnet(tx, self.router, made)

        self.db.transact(join)
        self.assertEqual((), self.led_by(stranger)[stranger.uuid])
        self.assertEqual(("2001:db8:100::/64",), self.led_by(self.router)[self.router.uuid])

    def led_by(self, router: router_rows.Router) -> dict[str, tuple[str, ...]]:
        """Of a router, the prefixes that are led in by one of its own addresses."""
        with self.db.read() as tx:
            known = router_rows.get(tx, router.uuid)
            home = hosts.get(tx, known.host) if known is not None and known.host is not None else None
        assert home is not None
        found = self.plane(home)
        (state,) = [item for item in found.routers if item.router_id == router.uuid]
        assert state.gateway is not None
        own = [address.partition("/")[0] for address in state.gateway.addresses]
        routes = [route for external in found.externals for route in external.routes]
        return {router.uuid: tuple(prefix for prefix, nexthop in routes if nexthop in own)}

    def network_in(self, tx: Any) -> str:
        return create_network(tx, PROJECT, mtu=1450).uuid

    def test_a_router_whose_host_is_lost_runs_on_another(self) -> None:
        routers.place(self.means)
        home = self.home()
        assert home is not None
        self.db.transact(lambda tx: hosts.set_state(tx, home.uuid, hosts.UNKNOWN))
        (said,) = routers.place(self.means)
        self.assertIn(self.router.uuid, said)
        now = self.home()
        assert now is not None
        self.assertNotEqual(home.uuid, now.uuid)
        self.assertEqual(1, len(self.plane(now).routers))
        self.assertEqual(((), ()), (self.plane(home).routers, self.plane(home).networks))

    def test_without_any_host_it_waits(self) -> None:
        for host in (self.here, self.there):
            self.db.transact(lambda tx, uuid=host.uuid: hosts.set_state(tx, uuid, hosts.UNKNOWN))
        self.assertEqual([], routers.place(self.means))
        self.assertIsNone(self.home())

    def test_the_controller_places_and_nudges_whom_it_concerns(self) -> None:
        controller = Controller(self.means)
        controller.run_once()
        home = self.home()
        assert home is not None
        self.means.agents.nudged.clear()
        controller.run_once()
        self.assertEqual([], self.means.agents.nudged)
        self.db.transact(lambda tx: router_rules.change_router(tx, self.router, {"name": "new"}))
        controller.run_once()
        self.assertEqual([home.uuid], self.means.agents.nudged)
