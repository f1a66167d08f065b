# SPDX-License-Identifier: Apache-2.0
"""The unmodified `openstack` command drives every service; each claim is checked against the record,
Docker and the kernel, because the client answers 0 to many failures."""

from __future__ import annotations

import json
import re

import requests

from tests.functional.case import PATIENT, ClientsTestCase

CONTAINER_TYPES = {"container", "application-container"}


class IdentityCommandsTest(ClientsTestCase):
    def test_a_token_that_is_issued_is_good_and_names_the_project(self):
        issued = self.shown("token", "issue")
        headers = {"X-Auth-Token": issued["id"], "X-Subject-Token": issued["id"]}
        answer = requests.get(f"{self.cloud.url}/identity/v3/auth/tokens", headers=headers, timeout=10)
        self.assertEqual(200, answer.status_code, answer.text)
        token = answer.json()["token"]
        self.assertEqual(("demo", "demo"), (token["project"]["name"], token["user"]["name"]))
        self.assertEqual(token["project"]["id"], issued["project_id"])

    def test_a_token_that_is_revoked_is_good_no_more(self):
        issued = self.shown("token", "issue")["id"]
        self.clients.openstack("token", "revoke", issued)
        headers = {"X-Auth-Token": self.cloud.token("admin"), "X-Subject-Token": issued}
        answer = requests.get(f"{self.cloud.url}/identity/v3/auth/tokens", headers=headers, timeout=10)
        self.assertEqual(404, answer.status_code, answer.text)

    def test_the_catalogue_lists_every_service_where_it_answers(self):
        services = {service["Type"]: service for service in self.shown("catalog", "list")}
        for kind in ("identity", "network", "block-storage", "container"):
            self.assertIn(kind, services)
        for service in services.values():
            self.assertIn(f":{self.cloud.port}/", json.dumps(service["Endpoints"]) + "/")
        self.assertEqual("container", self.shown("catalog", "show", "container")["type"])

    def test_projects_are_listed_and_shown_to_an_admin(self):
        listed = {project["Name"]: project["ID"] for project in self.shown("project", "list", cloud="admin")}
        self.assertLessEqual({"demo", "admin"}, set(listed))
        shown = self.shown("project", "show", "demo", cloud="admin")
        self.assertEqual(listed["demo"], shown["id"])
        record = self.cloud.ask("GET", f"/identity/v3/projects/{shown['id']}", cloud="admin")["project"]
        self.assertEqual(("demo", True), (record["name"], record["enabled"]))

    def test_a_user_sees_its_own_project(self):
        mine = self.shown("project", "list", "--my-projects")
        self.assertEqual(["demo"], [project["Name"] for project in mine])

    def test_versions_of_every_service_are_found_without_a_token(self):
        found = {version["Service Type"]: version for version in self.shown("versions", "show")}
        self.assertLessEqual({"identity", "network", "block-storage"}, set(found))
        container = next(found[name] for name in CONTAINER_TYPES if name in found)
        versions = (container["Min Microversion"], container["Max Microversion"])
        self.assertEqual(("1.1", "1.40"), versions)


class NetworkCommandsTest(ClientsTestCase):
    def test_a_network_is_created_listed_shown_and_deleted(self):
        made = self.shown("network", "create", "--description", "mine", "net1")
        record = self.cloud.ask("GET", f"/network/v2.0/networks/{made['id']}")["network"]
        self.assertEqual(("net1", "mine", False), (record["name"], record["description"], record["shared"]))
        self.assertIn(made["id"], [network["ID"] for network in self.shown("network", "list")])
        self.assertEqual(made["id"], self.shown("network", "show", "net1")["id"])
        self.clients.openstack("network", "delete", "net1")
        self.assertEqual(404, self.status_of(f"/network/v2.0/networks/{made['id']}"))

    def test_a_network_of_another_project_is_not_found(self):
        made = self.shown("network", "create", "theirs", cloud="admin")
        self.addCleanup(self.clients.openstack, "network", "delete", made["id"], cloud="admin")
        refused = self.clients.openstack("network", "show", made["id"], check=False)
        self.assertNotEqual(0, refused.code)
        self.assertIn("No Network found", refused.stderr)
        self.assertEqual("theirs", self.shown("network", "show", made["id"], cloud="admin")["name"])

    def test_a_subnet_is_created_listed_shown_and_deleted(self):
        network = self.shown("network", "create", "net2")["id"]
        made = self.shown("subnet", "create", "--network", "net2", "--subnet-range", "10.42.0.0/24", "sub2")
        record = self.cloud.ask("GET", f"/network/v2.0/subnets/{made['id']}")["subnet"]
        self.assertEqual(
            (network, "10.42.0.0/24", "10.42.0.1", 4),
            (record["network_id"], record["cidr"], record["gateway_ip"], record["ip_version"]),
        )
        self.assertIn("10.42.0.0/24", [subnet["Subnet"] for subnet in self.shown("subnet", "list")])
        self.assertEqual(made["id"], self.shown("subnet", "show", "sub2")["id"])
        self.clients.openstack("subnet", "delete", "sub2")
        self.assertEqual(404, self.status_of(f"/network/v2.0/subnets/{made['id']}"))
        self.clients.openstack("network", "delete", network)

    def test_a_port_is_created_listed_shown_and_deleted_and_holds_its_network(self):
        network = self.shown("network", "create", "net3")["id"]
        subnet = self.shown("subnet", "create", "--network", "net3", "--subnet-range", "10.43.0.0/24", "sub3")["id"]
        made = self.shown(
            *("port", "create", "--network", "net3", "--fixed-ip", "subnet=sub3,ip-address=10.43.0.77", "port3")
        )
        record = self.cloud.ask("GET", f"/network/v2.0/ports/{made['id']}")["port"]
        self.assertEqual([{"subnet_id": subnet, "ip_address": "10.43.0.77"}], record["fixed_ips"])
        self.assertRegex(record["mac_address"], r"^fa:16:3e(:[0-9a-f]{2}){3}$")
        self.assertIn(made["id"], [port["ID"] for port in self.shown("port", "list", "--network", "net3")])
        self.assertEqual(made["id"], self.shown("port", "show", "port3")["id"])

        refused = self.clients.openstack("network", "delete", "net3", check=False)
        self.assertNotEqual(0, refused.code, str(refused))
        self.assertEqual(200, self.status_of(f"/network/v2.0/networks/{network}"))

        self.clients.openstack("port", "delete", "port3")
        self.assertEqual(404, self.status_of(f"/network/v2.0/ports/{made['id']}"))
        self.clients.openstack("network", "delete", "net3")
        self.assertEqual(404, self.status_of(f"/network/v2.0/networks/{network}"))


class VolumeCommandsTest(ClientsTestCase):
    def test_a_volume_is_created_listed_shown_and_deleted(self):
        made = self.shown("volume", "create", "--size", "1", "--description", "mine", "vol1")
        record = self.cloud.ask("GET", f"/volume/v3/volumes/{made['id']}")["volume"]
        self.assertEqual(
            ("vol1", 1, "available", []), (record["name"], record["size"], record["status"], record["attachments"])
        )
        listed = {volume["ID"]: volume for volume in self.shown("volume", "list")}
        self.assertEqual(("vol1", "available"), (listed[made["id"]]["Name"], listed[made["id"]]["Status"]))
        self.assertEqual(made["id"], self.shown("volume", "show", "vol1")["id"])
        self.clients.openstack("volume", "delete", "vol1")
        self.cloud.wait(
            lambda: self.status_of(f"/volume/v3/volumes/{made['id']}") == 404, "a deleted volume is forgotten"
        )

    def test_there_is_a_type_of_volume(self):
        listed = self.shown("volume", "type", "list")
        record = self.cloud.ask("GET", "/volume/v3/types")["volume_types"]
        self.assertEqual({kind["name"] for kind in record}, {kind["Name"] for kind in listed})
        self.assertTrue(listed)


class ContainerCommandsTest(ClientsTestCase):
    def test_a_container_lives_on_a_network_with_a_volume(self):
        network = self.cloud.make_network("10.50.0.0/24", name="home")
        volume = self.cloud.make_volume(name="disk")
        self.clients.openstack(
            *("appcontainer", "run", "--name", "life", "--cpu", "0.25", "--memory", "32"),
            *("--net", "network=home,v4-fixed-ip=10.50.0.9", "--mount", "source=disk,destination=/data"),
            *("--environment", "GREETING=hi", "--label", "a=b", "--hostname", "lively"),
            *("demo:latest", *PATIENT),
        )
        uuid = self.shown("appcontainer", "show", "life")["uuid"]
        self.addCleanup(self.delete, uuid)
        record = self.cloud.wait_status(uuid, "Running")

        docker = self.one_in_docker(uuid)
        self.assertEqual(f"/zun-{uuid}", docker["Name"])
        self.assertEqual(
            (True, 32 * 1024 * 1024, 256, "none"),
            (
                docker["State"]["Running"],
                docker["HostConfig"]["Memory"],
                docker["HostConfig"]["CpuShares"],
                docker["HostConfig"]["NetworkMode"],
            ),
        )
        self.assertIn("GREETING=hi", docker["Config"]["Env"])
        self.assertIn("/data", [mount["Destination"] for mount in docker["Mounts"]])
        self.assertLessEqual({"zun.cluster", "zun.uuid", "zun.epoch", "zun.build"}, set(docker["Config"]["Labels"]))

        (address,) = record["addresses"][network]
        self.assertEqual("10.50.0.9", address["addr"])
        (port,) = self.ports_of(uuid)
        self.assertEqual((port["id"], port["status"]), (address["port"], "ACTIVE"))
        link = self.links(uuid)["eth0"]
        self.assertEqual(port["mac_address"], link["address"])
        inet = next(found for found in link["addr_info"] if found["family"] == "inet")
        self.assertEqual(("10.50.0.9", 24), (inet["local"], inet["prefixlen"]))
        self.assertEqual(
            ("in-use", uuid), (self.volume(volume)["status"], self.volume(volume)["attachments"][0]["server_id"])
        )

        listed = {found["uuid"]: found for found in self.shown("appcontainer", "list")}
        self.assertEqual(("life", "Running"), (listed[uuid]["name"], listed[uuid]["status"]))
        executed = self.clients.openstack("appcontainer", "exec", "life", "sh", "-c", "echo $GREETING; hostname")
        self.assertIn("hi\nlively", executed.stdout.replace("\r", ""))
        self.cloud.wait(
            lambda: "hello" in self.clients.openstack("appcontainer", "logs", "life").stdout, "its log says hello"
        )

        self.clients.openstack("appcontainer", "stop", "life")
        self.cloud.wait_status(uuid, "Stopped")
        self.assertFalse(self.one_in_docker(uuid)["State"]["Running"])
        self.clients.openstack("appcontainer", "start", "life")
        self.cloud.wait_status(uuid, "Running")
        self.assertEqual("10.50.0.9", self.links(uuid)["eth0"]["addr_info"][0]["local"])

        actions = self.shown("appcontainer", "action", "list", "life")
        self.assertEqual(["start", "stop", "create"], [action["action"] for action in actions])
        shown = self.shown("appcontainer", "action", "show", "life", actions[0]["request_id"])
        self.assertEqual(("start", uuid, None), (shown["action"], shown["container_uuid"], shown["message"]))

        self.clients.openstack("appcontainer", "delete", "--stop", "life")
        self.cloud.wait_gone(uuid)
        self.assertEqual([], self.cloud.in_docker(uuid))
        self.assertEqual([], self.ports_of(uuid))
        self.assertEqual("available", self.volume(volume)["status"])

    def test_a_container_that_is_created_waits_for_its_start(self):
        self.cloud.make_network("10.51.0.0/24", name="waiting-net")
        self.clients.openstack(
            *("appcontainer", "create", "--name", "waiting", "--memory", "16", "--net", "network=waiting-net"),
            *("demo:latest", *PATIENT),
        )
        uuid = self.shown("appcontainer", "show", "waiting")["uuid"]
        self.addCleanup(self.delete, uuid)
        self.cloud.wait_status(uuid, "Created")
        self.assertEqual("created", self.one_in_docker(uuid)["State"]["Status"])
        self.clients.openstack("appcontainer", "start", "waiting")
        self.cloud.wait_status(uuid, "Running")

    def test_only_an_admin_deletes_by_force(self):
        network = self.cloud.make_network("10.52.0.0/24", name="forced-net")
        uuid = self.running("forced", nets=[{"network": network}])["uuid"]
        refused = self.clients.openstack("appcontainer", "delete", "--force", "forced", check=False)
        self.assertRegex(refused.stdout + refused.stderr, r"(?i)admin|403|disallowed|not allowed|forbidden")
        self.assertTrue(self.one_in_docker(uuid)["State"]["Running"])
        self.clients.openstack("appcontainer", "delete", "--force", uuid, cloud="admin")
        self.cloud.wait_gone(uuid)
        self.assertEqual([], self.cloud.in_docker(uuid))

    def test_a_name_that_nobody_bears_is_told_in_a_sentence(self):
        refused = self.clients.openstack("appcontainer", "show", "nobody", check=False)
        self.assertTrue(re.search(r"nobody", refused.stdout + refused.stderr), str(refused))
        self.assertNotEqual(0, refused.code)
