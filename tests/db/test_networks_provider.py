# SPDX-License-Identifier: Apache-2.0
"""What the embedded network provider promises to the control plane."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa

from tests.databases import on_every_database
from tests.db.network_case import HOST, OTHER, PROJECT, NetworkTestCase, caller
from zun_lite.db import ports, security_group_rules, security_groups
from zun_lite.domain import errors
from zun_lite.domain.names import new_id
from zun_lite.domain.plane import DNS_ADDRESS
from zun_lite.domain.spec import NetworkRequest
from zun_lite.network import groups, topology
from zun_lite.network.embedded import EmbeddedNetworks
from zun_lite.network.ports import change_port, delete_port
from zun_lite.network.quotas import NetworkQuotas
from zun_lite.network.routers import add_port, create_router
from zun_lite.network.topology import change_subnet


@on_every_database
class EmbeddedNetworksTest(NetworkTestCase):
    def provide(self, workload: str, request: NetworkRequest, position: int = 0, host: str = HOST) -> Any:
        return self.provider.provide(workload, PROJECT, host, position, request)

    def test_provide_makes_a_bound_port_once(self) -> None:
        network = self.network()
        subnet = self.subnet(network, dns=["9.9.9.9"], routes=[("10.9.0.0/16", "10.0.0.1")])
        workload = new_id()
        endpoint = self.provide(workload, NetworkRequest(network.uuid))
        self.assertEqual(endpoint, self.provide(workload, NetworkRequest(network.uuid)))
        (address,) = endpoint.addresses
        self.assertEqual(
            ("10.0.0.2", 24, subnet.uuid, "10.0.0.1"),
            (address.ip, address.prefix_length, address.subnet_id, address.gateway),
        )
        self.assertEqual(
            (network.vni, 1450, True, True), (endpoint.vni, endpoint.mtu, endpoint.default_route, endpoint.owned)
        )
        self.assertEqual((("10.9.0.0/16", "10.0.0.1"),), endpoint.routes)
        self.assertEqual((DNS_ADDRESS, "9.9.9.9"), endpoint.dns)
        with self.db.read() as tx:
            (port,) = ports.page(tx)
        self.assertEqual((workload, "compute:kuryr", HOST), (port.device_id, port.device_owner, port.host))
        self.assertFalse(self.provide(workload, NetworkRequest(network.uuid), position=1).default_route)

    def test_renewed_is_what_was_provided_with_what_the_subnet_says_now(self) -> None:
        network = self.network()
        subnet = self.subnet(network, dns=["9.9.9.9"], routes=[("10.9.0.0/16", "10.0.0.9")])
        before = self.provide(new_id(), NetworkRequest(network.uuid))
        gone = self.provide(workload := new_id(), NetworkRequest(network.uuid))
        self.provider.release(workload)
        self.assertEqual((before, gone), self.provider.renewed((before, gone)))
        changes = {"dns": ["8.8.8.8"], "routes": [("10.8.0.0/16", "10.0.0.8")], "gateway_ip": "10.0.0.254"}
        changes["pools"] = [("10.0.0.2", "10.0.0.99")]
        self.db.transact(lambda tx: change_subnet(tx, subnet, changes))
        after, still_gone = self.provider.renewed((before, gone))
        self.assertEqual(gone, still_gone)
        self.assertEqual(
            ((DNS_ADDRESS, "8.8.8.8"), (("10.8.0.0/16", "10.0.0.8"),), "10.0.0.254"),
            (after.dns, after.routes, after.addresses[0].gateway),
        )
        self.assertEqual(
            (before.port_id, before.addresses[0].ip, before.mac), (after.port_id, after.addresses[0].ip, after.mac)
        )

    def test_provide_at_once_from_two_controllers_makes_one_port(self) -> None:
        network = self.network()
        self.subnet(network)
        workload = new_id()
        starting = threading.Barrier(6)

        def provide(number: int) -> str:
            starting.wait(30)
            return self.provide(workload, NetworkRequest(network.uuid)).port_id

        with ThreadPoolExecutor(6) as threads:
            self.assertEqual(1, len(set(threads.map(provide, range(6)))))
        with self.db.read() as tx:
            self.assertEqual(1, len(ports.page(tx)))

    def test_groups_of_a_workload_are_its_ports_and_the_default_one_when_none_is_left(self) -> None:
        network = self.network()
        self.subnet(network)
        workload = new_id()

        def groups_of(wanted: tuple[str, ...] | None) -> tuple[str, ...]:
            self.provider.provide(workload, PROJECT, HOST, 0, NetworkRequest(network.uuid), wanted)
            with self.db.read() as tx:
                return ports.of_workload(tx, workload)[0].security_groups

        (default,) = groups_of(None)
        web = self.db.transact(lambda tx: groups.create_group(tx, PROJECT, name="web")).uuid
        self.assertEqual((web,), groups_of((web,)))
        self.assertEqual((web,), groups_of(None), "nothing said changes nothing")
        self.assertEqual((default,), groups_of(()))
        foreign = self.db.transact(lambda tx: groups.create_group(tx, OTHER, name="web")).uuid
        self.refused("SecurityGroupNotFound", lambda: groups_of((foreign,)))

    def test_the_group_of_exposed_ports_is_made_once_and_goes_with_the_workload(self) -> None:
        workload = new_id()
        group = self.provider.open_ports(workload, PROJECT, ("80/tcp", "53/udp"))
        self.assertEqual(group, self.provider.open_ports(workload, PROJECT, ("80/tcp",)))
        with self.db.read() as tx:
            rules = security_group_rules.of_groups(tx, [group])[group]
            self.assertEqual(1, security_groups.count(tx, PROJECT), "the default one counts, this one does not")
        opened = {(rule.ethertype, rule.protocol, rule.port_min) for rule in rules if rule.direction == "ingress"}
        both = ("IPv4", "IPv6")
        self.assertEqual({(kind, *port) for kind in both for port in (("tcp", 80), ("udp", 53))}, opened)
        network = self.network()
        self.subnet(network)
        port = self.port(network, security_group_ids=[group])
        self.provider.release(workload)
        with self.db.read() as tx:
            self.assertIsNone(security_groups.get(tx, group))
            left = ports.get(tx, port.uuid)
        self.assertEqual((), left.security_groups if left else None)

    def test_a_project_gets_no_more_ports_than_it_may_have_however_many_ask(self) -> None:
        network = self.network()
        self.subnet(network)
        provider = EmbeddedNetworks(self.db, NetworkQuotas({"port": 3}))

        def provide() -> None:
            provider.provide(new_id(), PROJECT, HOST, 0, NetworkRequest(network.uuid))

        self.assertEqual(3, self.granted(8, provide))

    def test_64_who_make_networks_get_10_of_10(self) -> None:
        """A8."""
        quotas = NetworkQuotas({"network": 10})

        def make(tx: sa.Connection) -> None:
            quotas.hold(tx, PROJECT, "network")
            topology.create_network(tx, PROJECT, mtu=1450)

        self.assertEqual(10, self.granted(64, lambda: self.db.transact(make)))

    def granted(self, asking: int, ask: Callable[[], object]) -> int:
        """How many of so many who ask at once get it; the others are told that the quota is full."""
        starting = threading.Barrier(asking)

        def one(number: int) -> bool:
            starting.wait(30)
            try:
                ask()
            except errors.Conflict as error:
                self.assertEqual("OverQuota", error.kind)
                return False
            return True

        with ThreadPoolExecutor(asking) as threads:
            return sum(threads.map(one, range(asking)))

    def test_release_deletes_what_was_made_and_gives_back_what_was_brought(self) -> None:
        network = self.network()
        self.subnet(network)
        brought = self.port(network)
        workload = new_id()
        self.provide(workload, NetworkRequest(network.uuid, port_id=brought.uuid))
        self.provide(workload, NetworkRequest(network.uuid), position=1)
        self.provider.release(workload)
        self.provider.release(workload)
        with self.db.read() as tx:
            (left,) = ports.page(tx)
        self.assertEqual((brought.uuid, "", "", None), (left.uuid, left.device_id, left.device_owner, left.host))
        self.assertEqual(brought.addresses, left.addresses)
        self.assertEqual("10.0.0.3", self.port(network).addresses[0].ip)

    def test_a_port_serves_one_container(self) -> None:
        network = self.network()
        self.subnet(network)
        port = self.port(network, name="mine")
        self.assertEqual((port.uuid, network.uuid), self.provider.resolve_port(caller(), "mine"))
        starting = threading.Barrier(6)

        def provide(number: int) -> str:
            starting.wait(30)
            try:
                return self.provide(new_id(), NetworkRequest(network.uuid, port_id=port.uuid)).port_id
            except errors.InUse as error:
                return error.kind

        with ThreadPoolExecutor(6) as threads:
            answers = list(threads.map(provide, range(6)))
        self.assertEqual((1, 5), (answers.count(port.uuid), answers.count("PortInUse")))
        self.assertRaises(errors.InUse, self.provider.resolve_port, caller(), "mine")
        with self.db.read() as tx:
            taken = ports.get(tx, port.uuid)
        assert taken is not None
        self.refused("PortInUse", lambda: self.db.transact(lambda tx: delete_port(tx, taken)))
        self.refused("PortInUse", lambda: self.db.transact(lambda tx: change_port(tx, taken, {"device_id": "x"})))

    def test_a_port_that_was_bound_after_it_was_looked_at_is_not_taken_from_its_container(self) -> None:
        network = self.network()
        self.subnet(network)
        seen, workload = self.port(network), new_id()
        router = self.db.transact(lambda tx: create_router(tx, PROJECT))
        bound = self.provide(workload, NetworkRequest(network.uuid, port_id=seen.uuid))
        for work in (
            lambda tx: delete_port(tx, seen),
            lambda tx: change_port(tx, seen, {"device_id": "x"}),
            lambda tx: add_port(tx, router, seen),
        ):
            self.refused("PortInUse", lambda work=work: self.db.transact(work))
        self.assertEqual(bound, self.provide(workload, NetworkRequest(network.uuid, port_id=seen.uuid)))

    def test_a_wished_address_is_given_or_refused(self) -> None:
        network = self.network()
        self.subnet(network)
        wish = NetworkRequest(network.uuid, fixed_ips=("10.0.0.77",))
        self.assertEqual("10.0.0.77", self.provide(new_id(), wish).addresses[0].ip)
        self.refused("IpAddressInUse", lambda: self.provide(new_id(), wish))

    def test_a_network_without_subnet_cannot_be_joined(self) -> None:
        network = self.network()
        error = self.assertRaises(errors.Invalid, self.provide, new_id(), NetworkRequest(network.uuid))
        self.assertIn("create a subnet", error.message)
        self.assertRaises(errors.NotFound, self.provide, new_id(), NetworkRequest(new_id()))

    def test_another_projects_port_is_not_there(self) -> None:
        network = self.network(OTHER)
        self.subnet(network)
        port = self.port(network)
        self.assertRaises(errors.NotFound, self.provider.resolve_port, caller(), port.uuid)
        self.assertRaises(errors.NotFound, self.provide, new_id(), NetworkRequest(network.uuid, port_id=port.uuid))

    def test_networks_are_resolved_by_what_the_caller_may_see(self) -> None:
        own, foreign = self.network(name="own"), self.network(OTHER, name="foreign")
        shared, external = self.network(OTHER, name="all", shared=True), self.network(OTHER, name="out", external=True)
        self.assertEqual(own.uuid, self.provider.resolve(caller(), "own"))
        self.assertEqual(own.uuid, self.provider.resolve(caller(), own.uuid.replace("-", "").upper()))
        self.assertEqual(shared.uuid, self.provider.resolve(caller(), "all"))
        self.assertRaises(errors.NotFound, self.provider.resolve, caller(), "foreign")
        self.assertRaises(errors.NotFound, self.provider.resolve, caller(), foreign.uuid)
        self.assertRaises(errors.Forbidden, self.provider.resolve, caller(), "out")
        self.assertEqual(external.uuid, self.provider.resolve(caller(PROJECT, "admin"), "out"))
        self.assertEqual(foreign.uuid, self.provider.resolve(caller(PROJECT, "admin"), foreign.uuid))
        self.network(name="own")
        self.assertRaises(errors.Ambiguous, self.provider.resolve, caller(), "own")

    def test_an_address_is_chosen_on_ones_own_networks_only(self) -> None:
        own, shared = self.network(), self.network(OTHER, shared=True)
        resolve = self.provider.resolve
        self.assertEqual(own.uuid, resolve(caller(), own.uuid, choose_address=True))
        self.assertEqual(shared.uuid, resolve(caller(), shared.uuid))
        self.assertRaises(errors.Forbidden, resolve, caller(), shared.uuid, choose_address=True)
        self.assertEqual(shared.uuid, resolve(caller(PROJECT, "admin"), shared.uuid, choose_address=True))

    def test_the_default_network_is_the_callers_oldest_else_a_shared_one(self) -> None:
        self.assertRaises(errors.Conflict, self.provider.default_network, caller())
        shared = self.network(OTHER, shared=True)
        self.assertEqual(shared.uuid, self.provider.default_network(caller()))
        self.network(external=True)
        first = self.network()
        self.network()
        self.assertEqual(first.uuid, self.provider.default_network(caller()))
