# SPDX-License-Identifier: Apache-2.0
"""Limits of bandwidth reach the hosts of the ports that they are for, and of no others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from tests.builders import a_host
from tests.databases import on_every_database
from tests.db.network_case import OTHER, PROJECT
from tests.db.test_planes import PlaneTestCase
from zun_lite.db import networks, ports
from zun_lite.db import qos as rows
from zun_lite.db.qos import EGRESS, INGRESS, Policy
from zun_lite.domain import errors
from zun_lite.network import qos
from zun_lite.network.ports import change_port
from zun_lite.network.topology import change_network, create_network


@on_every_database
class LimitsTest(PlaneTestCase):
    def policy(self, project_id: str = PROJECT, **limits: int) -> Policy:
        """With limits in kbit/s by direction."""

        def work(tx) -> Policy:
            made = qos.create_policy(tx, project_id, name="slow")
            for direction, kbps in limits.items():
                qos.add_limit(tx, made, max_kbps=kbps, direction=direction)
            return made

        return self.db.transact(work)

    def limits(self, port: ports.Port) -> tuple[int | None, int | None]:
        """(what it gets, what it sends), in kbit/s, as its host is told."""
        state = self.port_of(self.plane(self.here), port)
        return state.kbps_in, state.kbps_out

    def test_a_ports_policy_limits_it_and_no_other_port(self) -> None:
        network = self.network()
        limited = self.on(self.here, network, qos_policy=self.policy(ingress=2000, egress=1000).uuid)
        free = self.on(self.here, network)
        self.assertEqual(((2000, 1000), (None, None)), (self.limits(limited), self.limits(free)))

    def test_a_networks_policy_limits_its_ports_without_one_but_not_its_routers_legs(self) -> None:
        network = self.network(qos_policy=self.policy(egress=1000).uuid)
        usual = self.on(self.here, network)
        own = self.on(self.here, network, qos_policy=self.policy(ingress=5).uuid)
        leg = self.on(self.here, network, device_owner="network:router_interface", device_id="r")
        self.assertEqual([(None, 1000), (5, None), (None, None)], [self.limits(port) for port in (usual, own, leg)])

    def test_ports_on_other_hosts_are_told_without_limits(self) -> None:
        network = self.network(qos_policy=self.policy(egress=1000).uuid)
        self.on(self.here, network)
        far = self.on(self.there, network)
        self.assertEqual((None, None), self.limits(far))

    def test_every_change_of_a_policy_in_use_is_told_and_of_an_unused_one_is_not(self) -> None:
        used, unused = self.policy(), self.policy()
        network = self.network()
        port = self.on(self.here, network, qos_policy=used.uuid)
        seen = [self.revision(self.here)]

        def changed() -> bool:
            seen.append(self.revision(self.here))
            return seen[-1] != seen[-2]

        limit = self.db.transact(lambda tx: qos.add_limit(tx, used, max_kbps=10))
        self.assertTrue(changed())
        self.db.transact(lambda tx: qos.change_limit(tx, used, limit.uuid, {"max_kbps": 20, "max_burst_kbps": 7}))
        self.assertTrue(changed())
        self.assertEqual(7, self.port_of(self.plane(self.here), port).burst_kbit_out)
        self.db.transact(lambda tx: qos.add_limit(tx, unused, max_kbps=10))
        self.assertFalse(changed())
        self.db.transact(lambda tx: qos.remove_limit(tx, used, limit.uuid))
        self.assertTrue(changed())
        self.db.transact(lambda tx: change_port(tx, port, {"qos_policy": unused.uuid}))
        self.assertTrue(changed())
        self.assertEqual((None, 10), self.limits(port))
        self.db.transact(lambda tx: change_port(tx, port, {"qos_policy": None}))
        self.db.transact(lambda tx: change_network(tx, network, {"qos_policy": unused.uuid}))
        self.assertTrue(changed())
        self.assertEqual((None, 10), self.limits(port))

    def test_another_projects_port_is_told_of_its_policys_change(self) -> None:
        network = self.network(shared=True)
        policy = self.policy(OTHER, egress=5)
        a_host(self.means, "host3")
        self.db.transact(
            lambda tx: ports.insert(
                tx,
                uuid="5" * 36,
                network_uuid=network.uuid,
                project_id=OTHER,
                mac="fa:16:3e:00:00:01",
                host=self.here.uuid,
                qos_policy=policy.uuid,
            )
        )
        before = self.revision(self.here)
        self.db.transact(lambda tx: qos.add_limit(tx, policy, max_kbps=6, direction=INGRESS))
        self.assertNotEqual(before, self.revision(self.here))

    def test_a_policy_in_use_stays(self) -> None:
        policy = self.policy(egress=1)
        network = self.network(qos_policy=policy.uuid)
        said = self.refused("QosPolicyInUse", lambda: self.db.transact(lambda tx: qos.delete_policy(tx, policy)))
        self.assertIn(f"used by network {network.uuid}", said)
        port = self.port(network, qos_policy=policy.uuid)
        said = self.refused("QosPolicyInUse", lambda: self.db.transact(lambda tx: qos.delete_policy(tx, policy)))
        self.assertIn(f"used by port {port.uuid}", said)
        self.db.transact(lambda tx: change_network(tx, network, {"qos_policy": None}))
        self.db.transact(lambda tx: change_port(tx, port, {"qos_policy": None}))
        self.db.transact(lambda tx: qos.delete_policy(tx, policy))
        with self.db.read() as tx:
            self.assertEqual((None, {}), (rows.get(tx, policy.uuid), rows.limits_of(tx, [policy.uuid])))

    def test_one_limit_of_a_direction_a_policy_however_many_ask_at_once(self) -> None:
        policy = self.policy()
        together = threading.Barrier(4)

        def add(_: int) -> str:
            together.wait()
            try:
                self.db.transact(lambda tx: qos.add_limit(tx, policy, max_kbps=1, direction=EGRESS))
            except errors.ZunError as error:
                return error.kind
            return "made"

        with ThreadPoolExecutor(4) as pool:
            said = sorted(pool.map(add, range(4)))
        self.assertEqual(["QoSRulesConflict"] * 3 + ["made"], said)

    def test_new_networks_get_their_projects_default_policy(self) -> None:
        default = self.db.transact(lambda tx: qos.create_policy(tx, PROJECT, is_default=True))
        mine, named = self.network(), self.network(qos_policy=self.policy().uuid)
        foreign = self.db.transact(lambda tx: create_network(tx, OTHER, mtu=1450))
        self.assertEqual((default.uuid, None), (mine.qos_policy, foreign.qos_policy))
        self.assertNotEqual(default.uuid, named.qos_policy)
        second = lambda: self.db.transact(lambda tx: qos.create_policy(tx, PROJECT, is_default=True))  # noqa: E731
        self.refused("QoSPolicyDefaultAlreadyExists", second)
        self.db.transact(lambda tx: qos.change_policy(tx, default, {"is_default": False}))
        second()

    def test_a_policy_that_others_use_stays_shared(self) -> None:
        policy = self.db.transact(lambda tx: qos.create_policy(tx, PROJECT, shared=True))
        foreign = self.db.transact(lambda tx: create_network(tx, OTHER, mtu=1450, qos_policy=policy.uuid))
        unshare = lambda: self.db.transact(lambda tx: qos.change_policy(tx, policy, {"shared": False}))  # noqa: E731
        self.refused("QosPolicyInUse", unshare)
        self.db.transact(lambda tx: networks.delete(tx, foreign.uuid))
        self.assertFalse(unshare().shared)
