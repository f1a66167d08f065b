# SPDX-License-Identifier: Apache-2.0
"""The commands that join a container to networks, and what of them the client or this version does not carry."""

from __future__ import annotations

from tests.functional.commands import about
from tests.functional.commands_case import CommandsTestCase

# Container API versions that still have the calls of security groups.
OLD = ("--os-container-api-version", "1.14")


class NetworkCommandsTest(CommandsTestCase):
    @about("appcontainer network attach", "appcontainer network detach")
    def test_joins_and_leaves_a_network_while_it_runs(self):
        other = self.cloud.make_network("10.61.0.0/24", name="other")
        uuid = self.running("joining", nets=[{"network": self.network}])["uuid"]
        pid = self.docker_state(uuid)["Pid"]
        self.accepted("appcontainer", "network", "attach", "--network", "other", "--fixed-ip", "10.61.0.77", "joining")
        record = self.cloud.wait_status(uuid, "Running")
        self.assertEqual({self.network, other}, set(record["addresses"]))
        self.cloud.wait(lambda: "eth1" in self.links(uuid), "its second link is there")
        self.assertEqual("10.61.0.77", self.links(uuid)["eth1"]["addr_info"][0]["local"])
        self.assertIn("already", self.say("appcontainer", "network", "attach", "--network", "other", "joining"))

        self.accepted("appcontainer", "network", "detach", "--network", "other", "joining")
        record = self.cloud.wait_status(uuid, "Running")
        self.assertEqual({self.network}, set(record["addresses"]))
        self.cloud.wait(lambda: list(self.links(uuid)) == ["eth0"], "its second link is gone")
        self.cloud.wait(lambda: len(self.ports_of(uuid)) == 1, "its second port is gone")
        self.assertEqual(pid, self.docker_state(uuid)["Pid"])
        self.assertEqual(["network_detach", "network_attach", "create"], self.actions(uuid))

    @about("appcontainer network attach", "appcontainer network detach")
    def test_joins_and_leaves_by_a_port_of_the_users_own(self):
        network = self.cloud.make_network("10.62.0.0/24", name="ported")
        port = self.cloud.ask("POST", "/network/v2.0/ports", {"port": {"network_id": network}})["port"]["id"]
        uuid = self.running("ported", nets=[{"network": self.network}])["uuid"]
        self.accepted("appcontainer", "network", "attach", "--port", port, "ported")
        self.cloud.wait_status(uuid, "Running")
        self.assertEqual({port}, {row["id"] for row in self.ports_of(uuid) if row["network_id"] == network})
        self.accepted("appcontainer", "network", "detach", "--port", port, "ported")
        self.cloud.wait_status(uuid, "Running")
        self.cloud.wait(
            lambda: self.cloud.ask("GET", f"/network/v2.0/ports/{port}")["port"]["device_id"] == "",
            "the user's port is free again",
        )

    @about("appcontainer network list", fault="prints nothing but `Invalid formatter provided.` after a good answer")
    def test_networks_of_a_container_are_answered(self):
        uuid = self.running("listing", nets=[{"network": self.network}])["uuid"]
        done = self.clients.openstack("appcontainer", "network", "list", "listing", check=False)
        self.assertEqual((1, "", "Invalid formatter provided."), (done.code, done.stdout.strip(), done.stderr.strip()))
        (port,) = self.ports_of(uuid)
        (row,) = self.cloud.ask("GET", f"/v1/containers/{uuid}/network_list")["networks"]
        self.assertEqual((self.network, port["id"]), (row["net_id"], row["port_id"]))
        self.assertEqual(
            [(fixed["subnet_id"], 4, fixed["ip_address"]) for fixed in port["fixed_ips"]],
            [(fixed["subnet_id"], fixed["version"], fixed["ip_address"]) for fixed in row["fixed_ips"]],
        )

    @about(
        *("appcontainer add security group", "appcontainer remove security group"),
        fault="asks by a version that no longer has the call (1.15 and later); works with "
        "`--os-container-api-version 1.14`",
    )
    def test_security_groups_are_given_and_taken_at_the_versions_that_have_them(self):
        (group,) = self.cloud.ask("GET", "/network/v2.0/security-groups?name=default")["security_groups"]
        uuid = self.running("grouped", nets=[{"network": self.network}])["uuid"]
        for verb, way in (("add", "to 1.14"), ("remove", "to 1.14")):
            said = self.say("appcontainer", verb, "security", "group", "grouped", "default")
            self.assertIn("HTTP 406", said)
            self.assertIn(way, said)
        self.assertEqual(["create"], self.actions(uuid))
        for verb, expected in (("add", [group["id"]]), ("remove", [])):
            with self.subTest(verb):
                self.accepted(*OLD, "appcontainer", verb, "security", "group", "grouped", "default")
                self.assertEqual(expected, self.cloud.wait_status(uuid, "Running")["security_groups"])
                self.assertEqual(f"{verb}_security_group", self.actions(uuid)[0])

    @about("appcontainer add floating ip", "appcontainer remove floating ip")
    def test_floating_ips_that_are_not_there_are_named(self):
        uuid = self.running("floating", nets=[{"network": self.network}])["uuid"]
        before = self.cloud.container(uuid)
        for words in (("add", "floating", "ip", "floating", "192.0.2.7"), ("remove", "floating", "ip", "192.0.2.7")):
            done = self.clients.openstack("appcontainer", *words, check=False)
            self.assertEqual((1, "No FloatingIP found for 192.0.2.7"), (done.code, done.stderr.strip()))
        self.assertEqual(before["addresses"], self.cloud.container(uuid)["addresses"])
