# SPDX-License-Identifier: Apache-2.0
"""Networks joined and left, in SQL: ports come and go with their positions; cores are not promised twice."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from tests.builders import CAPACITY, a_caller, a_host, a_spec, means_of
from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.control import create, networks, reports
from zun_lite.control.loop import Controller
from zun_lite.db import actions, ports, security_groups, workloads
from zun_lite.domain import errors
from zun_lite.domain.desired import Report
from zun_lite.domain.lifecycle import Observed
from zun_lite.domain.spec import DEDICATED, NetworkRequest
from zun_lite.network import cidr, groups
from zun_lite.network.embedded import EmbeddedNetworks
from zun_lite.network.topology import create_network, create_subnet

PROJECT = "p1"


@on_every_database
class JoiningTest(DatabaseTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.means = means_of(self.db, networks=EmbeddedNetworks(self.db))
        self.host = a_host(self.means)
        self.caller = a_caller(PROJECT)
        self.controller = Controller(self.means)
        self.first, self.second = self.network("10.0.0.0/24", "fd00::/64"), self.network("10.1.0.0/29")
        self.made = create.create_container(
            self.means, self.caller, "web", a_spec(networks=(NetworkRequest(self.first),)), run=True
        )
        self.act()

    def network(self, *blocks: str) -> str:
        def make(tx) -> str:
            network = create_network(tx, PROJECT, mtu=1450)
            for block in blocks:
                create_subnet(tx, network, PROJECT, cidr.parse_cidr(block))
            return network.uuid

        return self.db.transact(make)

    def workload(self) -> workloads.Workload:
        with self.db.read() as tx:
            return workloads.get(tx, self.made.uuid)

    def act(self) -> None:
        """The controller provides, the host does as told, the controller hears of it."""
        self.controller.run_once()
        self.report()
        self.controller.run_once()

    def report(self) -> None:
        workload = self.workload()
        observed = Observed(
            workload.generation, workload.epoch, workload.goal.run, workload.goal.build, "running", "c" * 64
        )
        observed = replace(observed, plugged=workload.wiring.ports)
        reports.take(self.means, self.host, Report("boot1", None, False, ((workload.uuid, observed),)))

    def positions(self) -> list[int | None]:
        with self.db.read() as tx:
            return sorted(port.position for port in ports.of_workload(tx, self.made.uuid))

    def attach(self, network_id: str, *fixed_ips: str) -> None:
        networks.attach(self.means, self.caller, self.made, NetworkRequest(network_id, fixed_ips=fixed_ips))

    def detach(self, network_id: str) -> None:
        networks.detach(self.means, self.caller, self.made, network_id)

    def test_a_ports_address_is_not_given_away_before_its_host_let_go(self):
        """A12."""
        self.attach(self.second)
        self.act()
        self.assertEqual([0, 1], self.positions())
        self.detach(self.first)
        self.controller.run_once()
        self.assertEqual([0, 1], self.positions())
        other = create.create_container(
            self.means, self.caller, "other", a_spec(networks=(NetworkRequest(self.first),)), run=True
        )
        self.controller.run_once()
        with self.db.read() as tx:
            given = workloads.get(tx, other.uuid).wiring.endpoints[0].addresses[0].ip
        self.assertEqual("10.0.0.3", given)
        self.report()
        self.controller.run_once()
        self.assertEqual([1], self.positions())
        self.assertEqual([], [row.action for row in self.open_actions()])

    def test_coming_back_to_a_network_at_once_is_another_port_with_another_address(self):
        self.detach(self.first)
        self.attach(self.first)
        self.controller.run_once()
        self.assertEqual([0, 1], self.positions())
        self.act()
        self.assertEqual([1], self.positions())
        self.assertEqual("10.0.0.3", self.workload().wiring.endpoints[0].addresses[0].ip)

    def test_a_wished_address_of_one_version_comes_with_any_of_the_other(self):
        for wish, addresses in (
            (("10.0.0.77",), {"10.0.0.77", "fd00::3"}),
            (("fd00::77",), {"10.0.0.3", "fd00::77"}),
            (("10.0.0.78", "fd00::78"), {"10.0.0.78", "fd00::78"}),
        ):
            spec = a_spec(networks=(NetworkRequest(self.first, fixed_ips=wish),))
            made = create.create_container(self.means, self.caller, None, spec, run=True)
            self.controller.run_once()
            with self.db.read() as tx:
                given = workloads.get(tx, made.uuid).wiring.endpoints[0].addresses
            self.assertEqual(addresses, {address.ip for address in given})

    def test_a_full_network_is_refused_and_the_container_goes_on(self):
        narrow = self.network("10.2.0.0/30")
        self.attach(narrow)
        self.act()
        other = create.create_container(
            self.means, self.caller, "other", a_spec(networks=(NetworkRequest(self.second),)), run=True
        )
        self.controller.run_once()
        before, self.made = self.made, other
        self.act()
        self.attach(narrow)
        for _ in range(2):
            self.act()
        workload = self.workload()
        self.assertEqual(("Running", None), (workload.status, workload.task_state))
        self.assertEqual([self.second], [network.network_id for network in workload.spec.networks])
        with self.db.read() as tx:
            newest = actions.of_workload(tx, other.uuid)[0]
        self.assertEqual(("network_attach", "Error"), (newest.action, newest.message))
        self.assertIn("No more IP addresses", newest.reason)
        self.made = before
        self.assertEqual([0, 1], self.positions())

    def test_many_changes_at_once_end_with_the_ports_of_the_spec(self):
        others = [self.network(f"10.{number}.0.0/24") for number in range(10, 16)]
        starting = threading.Barrier(len(others))

        def race(network_id: str) -> None:
            starting.wait(30)
            networks.attach(self.means, self.caller, self.made, NetworkRequest(network_id))
            if network_id == others[0]:
                networks.detach(self.means, self.caller, self.made, network_id)

        with ThreadPoolExecutor(len(others)) as threads:
            list(threads.map(race, others))
        for _ in range(3):
            self.act()
        workload = self.workload()
        wanted = {network.network_id for network in workload.spec.networks}
        self.assertEqual({self.first, *others[1:]}, wanted)
        self.assertEqual(wanted, {endpoint.network_id for endpoint in workload.wiring.endpoints})
        self.assertEqual(sorted(network.position for network in workload.spec.networks), self.positions())
        self.assertEqual([], self.open_actions())

    def test_security_groups_reach_the_ports(self):
        group = self.means.networks.resolve_group(self.caller, "default")
        self.assertEqual(group, self.means.networks.resolve_group(self.caller, group))
        self.assertRaises(errors.NotFound, self.means.networks.resolve_group, a_caller("p2"), group)
        self.assertRaises(errors.NotFound, self.means.networks.resolve_group, self.caller, "web")
        networks.add_group(self.means, self.caller, self.made, group)
        self.act()
        with self.db.read() as tx:
            (port,) = ports.of_workload(tx, self.made.uuid)
        self.assertEqual(((group,), (group,)), (port.security_groups, self.workload().spec.security_groups))

    def test_a_security_group_that_is_gone_costs_a_container_none_of_its_networks(self):
        web = self.db.transact(lambda tx: groups.create_group(tx, PROJECT, name="web")).uuid
        networks.add_group(self.means, self.caller, self.made, web)
        self.act()

        def take_out_and_delete(tx) -> str:
            (port,) = ports.of_workload(tx, self.made.uuid)
            ports.set_groups(tx, port.uuid, ())
            groups.delete_group(tx, security_groups.get(tx, web))
            return groups.default_group(tx, PROJECT).uuid

        default = self.db.transact(take_out_and_delete)
        self.attach(self.second)
        for _ in range(2):
            self.act()
        joined = [network.network_id for network in self.workload().spec.networks]
        self.assertEqual([self.first, self.second], joined)
        self.assertEqual(2, len(self.workload().wiring.endpoints))
        with self.db.read() as tx:
            self.assertEqual({(default,)}, {port.security_groups for port in ports.of_workload(tx, self.made.uuid)})
        self.assertEqual([], self.open_actions())

    def test_dedicated_cpus_raced_for_are_never_promised_twice(self):
        spec = a_spec(cpus=1.5, cpu_policy=DEDICATED)
        with ThreadPoolExecutor(6) as threads:
            made = list(
                threads.map(
                    lambda _: create.create_container(self.means, a_caller(PROJECT), None, spec, run=True), range(6)
                )
            )
        self.assertEqual(int(CAPACITY.cpus) // 2, sum(each.host is not None for each in made))
        with self.db.read() as tx:
            self.assertEqual(CAPACITY.cpus, workloads.usage_of_host(tx, self.host.uuid).dedicated_cpus)

    def open_actions(self) -> list[actions.Action]:
        with self.db.read() as tx:
            return actions.still_open(tx, [self.made.uuid])
