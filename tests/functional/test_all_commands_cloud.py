# SPDX-License-Identifier: Apache-2.0
"""The stock client's commands for those who run a cloud: hosts, services, zones and quotas."""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.functional.case import ClientsTestCase
from tests.functional.commands import about
from zun_lite.common import grants

BINARY = "zun-compute"
USUAL = {"containers": 40, "cpu": 20, "memory": 51200, "disk": 100}


class CloudCommandsTest(ClientsTestCase):
    network: str

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.network = cls.cloud.make_network("10.60.0.0/24")

    def setUp(self) -> None:
        super().setUp()
        (self.service,) = self.services()
        self.host = self.service["host"]
        self.project = self.cloud.ask("GET", "/identity/v3/auth/projects")["projects"][0]["id"]

    def services(self) -> list[dict[str, Any]]:
        return self.cloud.ask("GET", "/v1/services", cloud="admin")["services"]

    def quota(self) -> dict[str, Any]:
        return self.cloud.ask("GET", f"/v1/quotas/{self.project}")

    def container_body(self, name: str) -> dict[str, Any]:
        return self.cloud.container_body(name, nets=[{"network": self.network}])

    def probe(self, name: str) -> dict[str, Any]:
        """What a create is answered with now; the container is deleted again."""
        made = self.cloud.ask("POST", "/v1/containers", self.container_body(name))
        self.delete(made["uuid"])
        return made

    @about("appcontainer host list")
    def test_hosts_are_listed_with_what_they_have(self):
        (listed,) = self.shown("appcontainer", "host", "list", cloud="admin")
        (record,) = self.cloud.ask("GET", "/v1/hosts", cloud="admin")["hosts"]
        self.assertEqual(self.host, listed["hostname"])
        for key in ("uuid", "mem_total", "cpus", "disk_total"):
            self.assertEqual(record[key], listed[key])
        engine = self.cloud.engine.api.info()
        self.assertEqual((engine["NCPU"], engine["MemTotal"] // 1024**2), (listed["cpus"], listed["mem_total"]))
        refused = self.clients.openstack("appcontainer", "host", "list", check=False)
        self.assertNotIn(self.host, refused.stdout)
        self.assertIn("host:get_all", refused.stdout + refused.stderr)

    @about("appcontainer host show")
    def test_a_host_is_shown_by_name_and_by_uuid(self):
        shown = self.shown("appcontainer", "host", "show", self.host, cloud="admin")
        self.assertEqual(
            shown["uuid"], self.shown("appcontainer", "host", "show", shown["uuid"], cloud="admin")["uuid"]
        )
        engine = self.cloud.engine.api.info()
        self.assertEqual((engine["KernelVersion"], engine["OperatingSystem"]), (shown["kernel_version"], shown["os"]))

    @about("appcontainer service list")
    def test_services_are_listed_with_their_state(self):
        (listed,) = self.shown("appcontainer", "service", "list", cloud="admin")
        self.assertEqual(
            (self.host, BINARY, "up", False), tuple(listed[key] for key in ("Host", "Binary", "State", "Disabled"))
        )
        refused = self.clients.openstack("appcontainer", "service", "list", check=False)
        self.assertIn("zun-service:get_all", refused.stdout + refused.stderr)

    @about("appcontainer service disable", "appcontainer service enable")
    def test_a_disabled_service_gets_no_container_until_it_is_enabled(self):
        self.addCleanup(self.cloud.call, "PUT", f"/v1/services/enable?host={self.host}&binary={BINARY}", cloud="admin")
        self.clients.openstack(
            *("appcontainer", "service", "disable", "--reason", "new disks", self.host, BINARY), cloud="admin"
        )
        (record,) = self.services()
        self.assertEqual((True, "new disks", "up"), (record["disabled"], record["disabled_reason"], record["state"]))
        refused = self.probe("nowhere")
        self.assertEqual(
            ("Error", "There are not enough hosts available."), (refused["status"], refused["status_reason"])
        )
        shown = self.shown("appcontainer", "service", "enable", self.host, BINARY, cloud="admin")
        self.assertEqual(False, shown["Disabled"])
        self.assertFalse(self.services()[0]["disabled"])
        self.assertEqual("Creating", self.probe("somewhere")["status"])

    @about("appcontainer service forcedown")
    def test_a_service_that_is_forced_down_is_down_at_once_until_it_is_unset(self):
        self.addCleanup(
            *(self.cloud.call, "PUT", f"/v1/services/force_down?host={self.host}&binary={BINARY}&forced_down=false"),
            cloud="admin",
        )
        self.clients.openstack("appcontainer", "service", "forcedown", self.host, BINARY, cloud="admin")
        self.assertEqual(("down", True), (self.services()[0]["state"], self.services()[0]["forced_down"]))
        self.assertEqual("Error", self.probe("nowhere")["status"])
        self.clients.openstack("appcontainer", "service", "forcedown", "--unset", self.host, BINARY, cloud="admin")
        self.assertEqual("up", self.services()[0]["state"])
        self.assertEqual("Creating", self.probe("somewhere")["status"])

    @about("appcontainer service delete")
    def test_a_service_is_forgotten_only_when_its_host_holds_nothing(self):
        held = self.running("held", nets=[{"network": self.network}])
        refused = self.clients.openstack("appcontainer", "service", "delete", self.host, BINARY, cloud="admin")
        self.assertIn("1 containers are placed on it", refused.stdout)
        self.assertEqual([self.host], [service["host"] for service in self.services()])
        self.assertTrue(self.one_in_docker(held["uuid"])["State"]["Running"])

        token = self.cloud.program("manage", "host", "token", "--name", "spare").strip()
        enrolment = {"token": token, "name": "spare", "address": "127.0.0.1:1", "public_key": self.a_public_key()}
        self.cloud.ask("POST", "/node/v1/enrol", enrolment)
        self.assertEqual({self.host, "spare"}, {service["host"] for service in self.services()})
        done = self.clients.openstack("appcontainer", "service", "delete", "spare", BINARY, cloud="admin")
        self.assertIn("has been accepted", done.stdout)
        self.assertEqual([self.host], [service["host"] for service in self.services()])

    @about("appcontainer availability zone list")
    def test_zones_are_listed_to_everyone(self):
        listed = self.shown("appcontainer", "availability", "zone", "list")
        self.assertEqual([self.service["availability_zone"]], [zone["availability_zone"] for zone in listed])

    @about("appcontainer quota get", "appcontainer quota default")
    def test_a_quota_is_shown_with_what_is_in_use(self):
        self.running("counted", nets=[{"network": self.network}], cpu=0.5, memory="32")
        self.assertEqual(USUAL, self.shown("appcontainer", "quota", "get", self.project))
        self.assertEqual(USUAL, self.shown("appcontainer", "quota", "default", self.project))
        usages = self.shown("appcontainer", "quota", "get", "--usages", self.project)
        self.assertEqual({"limit": 20, "in_use": 0.5}, usages["cpu"])
        self.assertEqual({"limit": 40, "in_use": 1}, usages["containers"])

    @about("appcontainer quota update", "appcontainer quota delete")
    def test_a_quota_that_is_set_holds_until_it_is_deleted(self):
        self.addCleanup(self.cloud.call, "DELETE", f"/v1/quotas/{self.project}", cloud="admin")
        shown = self.shown(
            *("appcontainer", "quota", "update", "--containers", "0", "--memory", "4096", self.project), cloud="admin"
        )
        self.assertEqual({**USUAL, "containers": 0, "memory": 4096}, shown)
        self.assertEqual(shown, self.quota())
        refused = self.cloud.call("POST", "/v1/containers", self.container_body("toomany"))
        self.assertEqual((403, "container.over-quota"), (refused.status_code, refused.json()["errors"][0]["code"]))
        self.clients.openstack("appcontainer", "quota", "update", "--cpu", "99", self.project, check=False)
        self.assertEqual(20, self.quota()["cpu"])
        self.clients.openstack("appcontainer", "quota", "delete", self.project, cloud="admin")
        self.assertEqual(USUAL, self.quota())
        self.assertEqual("Creating", self.probe("allowed")["status"])

    @about("appcontainer quota class update", "appcontainer quota class get")
    def test_the_default_class_sets_the_quota_of_projects_without_their_own(self):
        self.addCleanup(
            self.cloud.call, "PUT", "/v1/quota_classes/default", {key: str(USUAL[key]) for key in USUAL}, cloud="admin"
        )
        self.clients.openstack("appcontainer", "quota", "class", "update", "--disk", "50", "default", cloud="admin")
        shown = self.shown("appcontainer", "quota", "class", "get", "default", cloud="admin")
        self.assertEqual({**USUAL, "disk": 50}, shown)
        self.assertEqual(50, self.quota()["disk"])

    def a_public_key(self) -> str:
        return grants.public_text(Ed25519PrivateKey.generate())
