# SPDX-License-Identifier: Apache-2.0
"""A project's leftovers are found and removed by positive orders, and nothing of anybody else's."""

from __future__ import annotations

import datetime
import io
import ipaddress
import unittest

from tests.builders import a_caller, a_host, a_spec, means_of
from tests.databases import DatabaseTestCase, on_every_database
from zun_lite.control import commit, create, purge, quotas, registries, reports
from zun_lite.control.loop import Controller
from zun_lite.db import (
    actions,
    idempotency,
    images,
    network_quotas,
    networks,
    registered_networks,
    schema,
    subnets,
    tags,
    volumes,
    workloads,
)
from zun_lite.db.engine import metadata
from zun_lite.db.idempotency import KeptAnswer, Key
from zun_lite.db.listing import WHOLE
from zun_lite.db.registered_networks import RegisteredNetwork
from zun_lite.db.volume_types import LOCAL
from zun_lite.domain.desired import Report
from zun_lite.domain.lifecycle import ABSENT, Observed
from zun_lite.domain.names import new_id
from zun_lite.domain.spec import MountRequest, NetworkRequest
from zun_lite.network import floating, qos, routers, subnet_pools, topology
from zun_lite.network import ports as port_rules
from zun_lite.network.embedded import EmbeddedNetworks
from zun_lite.volume.embedded import EmbeddedVolumes


@on_every_database
class PurgeTest(DatabaseTestCase):
    def setUp(self):
        super().setUp()
        self.means = means_of(self.db, networks=EmbeddedNetworks(self.db), volumes=EmbeddedVolumes(self.db))
        self.host = a_host(self.means)
        self.controller = Controller(self.means)

    def furnish(self, project: str) -> str:
        """One of everything for a project; the uuid of its container."""
        caller = a_caller(project)

        def add(tx):
            network = topology.create_network(tx, project, name="net", mtu=1450)
            subnet = topology.create_subnet(tx, network, project, ipaddress.ip_network("10.0.0.0/24"), name="sub")
            self.lead_out(tx, project, network, subnet)
            network_quotas.set_for_project(tx, project, {"router": 3})
            volume = new_id()
            volumes.insert(
                tx,
                uuid=volume,
                project_id=project,
                user_id="u",
                name="vol",
                description=None,
                size_gib=1,
                volume_type=LOCAL,
            )
            registered_networks.insert(tx, RegisteredNetwork(new_id(), "net", project, "u", network.uuid))
            idempotency.keep(tx, self.db, Key(project, "u", "k"), KeptAnswer("d", 202, None, {}))
            return network.uuid, volume

        network, volume = self.db.transact(add)
        quotas.change(self.means, project, {"containers": 5})
        registries.create(self.means, caller, registries.NewRegistry(f"{project}.example", "reg", "", None))
        self.image(project)
        spec = a_spec(networks=(NetworkRequest(network),), mounts=(MountRequest("/data", volume),))
        made = create.create_container(self.means, caller, "web", spec, run=True)
        self.controller.run_once()
        self.observe(made.uuid, "running")
        return made.uuid

    def lead_out(self, tx, project: str, network: networks.Network, subnet: subnets.Subnet) -> None:
        """A router with a way out, and a floating IP that leads to a port."""
        outside = topology.create_network(tx, "operator", external=True, mtu=1500)
        topology.create_subnet(tx, outside, "operator", ipaddress.ip_network("172.24.4.0/24"))
        router = routers.create_router(tx, project, name="r")
        tags.add(tx, router.uuid, project)
        routers.add_subnet(tx, router, subnet)
        routers.set_gateway(tx, router, outside)
        policy = qos.create_policy(tx, project, name="limits")
        subnet_pools.create_pool(tx, project, name="pool", prefixes=["10.1.0.0/16"])
        port = port_rules.create_port(tx, network, project, name="mine", qos_policy=policy.uuid)
        floating.lead(tx, floating.create_floating_ip(tx, outside, project), port)

    def image(self, project: str) -> str:
        uuid = new_id()
        self.db.transact(
            lambda tx: images.insert(tx, uuid=uuid, project_id=project, values={"name": "img", "protected": True})
        )
        self.means.images.store(uuid, io.BytesIO(b"bytes"), 5)
        return uuid

    def observe(self, uuid: str, state: str) -> None:
        with self.db.read() as tx:
            workload = workloads.get(tx, uuid)
        goal = workload.goal
        seen = Observed(
            generation=workload.generation, epoch=workload.epoch, run=goal.run, build=goal.build, state=state,
            container_id="c" * 64,
        )  # fmt: skip
        reports.take(self.means, self.host, Report("boot1", None, False, ((uuid, seen),)))

    def kinds(self, project: str) -> list[str]:
        return sorted(leftover.kind for leftover in purge.leftovers(self.means, project))

    def test_all_that_a_project_left_goes_once_its_host_has_let_go(self):
        ours, theirs = self.furnish("gone"), self.furnish("lives")
        before = self.kinds("lives")
        self.assertEqual(
            [
                *("QoS policy", "container", "floating IP", "idempotency keys", "image", "network", "port", "quota"),
                *("quota of networks", "registered networks", "registry", "router", "security group", "subnet pool"),
                "volume",
            ],
            before,
        )
        self.assertEqual(before, self.kinds("gone"))

        said = list(purge.purge(self.means, "gone"))
        self.assertIn(f"container {ours}: is ordered away", said)
        self.assertTrue([sentence for sentence in said if sentence.startswith("network") and "has to wait" in sentence])
        with self.db.read() as tx:
            self.assertEqual(ABSENT, workloads.get(tx, ours).goal.presence)
            self.assertEqual(["delete", "create"], [action.action for action in actions.of_workload(tx, ours)])
        again = list(purge.purge(self.means, "gone"))
        self.assertIn(f"container {ours}: is on its way out", again)
        with self.db.read() as tx:
            self.assertEqual(2, len(actions.of_workload(tx, ours)))

        self.observe(ours, "absent")
        self.controller.run_once()
        list(purge.purge(self.means, "gone"))
        self.assertEqual(["volume"], self.kinds("gone"))
        with self.db.read() as tx:
            doomed = volumes.doomed(tx, self.host.uuid)
        reports.take(self.means, self.host, Report("boot1", None, False, (), tuple(doomed)))
        self.assertEqual([], self.kinds("gone"))
        self.assertEqual([], list(purge.purge(self.means, "gone")))
        with self.db.read() as tx:
            self.assertEqual(["lives"], [row.tag for row in tx.execute(tags.tags.select())])

        self.assertEqual(before, self.kinds("lives"))
        with self.db.read() as tx:
            self.assertEqual("Running", workloads.get(tx, theirs).status)
        self.assertEqual(5, quotas.show(self.means, "lives")[0].containers)
        self.assertEqual(40, quotas.show(self.means, "gone")[0].containers)

    def test_looking_changes_nothing(self):
        uuid = self.furnish("gone")
        purge.leftovers(self.means, "gone")
        with self.db.read() as tx:
            self.assertEqual("Running", workloads.get(tx, uuid).status)

    def test_a_network_that_others_use_stays_and_says_so(self):
        def add(tx):
            network = topology.create_network(tx, "gone", name="net", mtu=1450, shared=True)
            port_rules.create_port(tx, network, "lives", name="theirs")
            return network.uuid

        network = self.db.transact(add)
        said = {sentence.split(":")[0]: sentence for sentence in purge.purge(self.means, "gone")}
        self.assertIn("in use", said[f"network {network}"])
        with self.db.read() as tx:
            self.assertIsNotNone(networks.get(tx, network))

    def test_an_image_that_was_still_to_be_made_ends_its_action(self):
        made = self.furnish("gone")
        with self.db.read() as tx:
            workload = workloads.get(tx, made)
        commit.commit(self.means, a_caller("gone"), workload, "team/app", "1")
        list(purge.purge(self.means, "gone"))
        with self.db.read() as tx:
            open_ones = [action.action for action in actions.still_open(tx, [made])]
        self.assertEqual(["delete"], open_ones)

    def test_the_files_of_images_go_with_them(self):
        uuid = self.image("gone")
        self.means.images.open(uuid).close()
        list(purge.purge(self.means, "gone"))
        with self.db.read() as tx:
            self.assertEqual([], images.page(tx, [images.images.c.uuid == uuid], WHOLE))


class TablesTest(unittest.TestCase):
    def test_every_table_that_belongs_to_a_project_was_thought_of(self):
        emptied = {
            *("host_images", "idempotency_keys", "images", "networks", "ports", "quotas", "registered_networks"),
            *("registries", "security_groups", "security_group_rules", "subnets", "volumes", "workloads"),
            *("floating_ips", "network_quotas", "qos_policies", "routers", "subnet_pools"),
            *("volume_attachments", "volume_snapshots", "volume_type_access"),
        }
        # Actions are kept for the audit, until db purge; grants of streams end by themselves within minutes.
        # Application credentials go when identity forgets the project.
        # Status events, and how far the webhook was told of them, are forgotten after a day.
        kept = {"actions", "stream_grants", "application_credentials", "status_events", "webhook_marks"}
        self.assertTrue(schema.TABLES)
        owned = {table.name for table in metadata.sorted_tables if "project_id" in table.columns}
        self.assertEqual(emptied | kept, owned)


@on_every_database
class OldActionsTest(DatabaseTestCase):
    def test_only_old_actions_of_what_is_gone_are_forgotten(self):
        means = means_of(self.db)
        a_host(means)
        kept = create.create_container(means, a_caller(), "kept", a_spec(), run=True)
        gone = create.create_container(means, a_caller(), "gone", a_spec(), run=True)

        def end(tx):
            workloads.remove(tx, gone)
            for uuid in (kept.uuid, gone.uuid):
                actions.finish(tx, uuid, 1)
            moment = self.db.now(tx) - datetime.timedelta(days=3)
            tx.execute(actions.actions.update().values(finished_at=moment))

        self.db.transact(end)
        self.assertEqual(0, purge.forget_actions(means, 4))
        self.assertEqual(1, purge.forget_actions(means, 2))
        with self.db.read() as tx:
            self.assertEqual([], actions.of_workload(tx, gone.uuid))
            self.assertEqual(1, len(actions.of_workload(tx, kept.uuid)))
