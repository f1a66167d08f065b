# SPDX-License-Identifier: Apache-2.0
"""Hosts, services, zones and registered networks on the wire, and what operators' words do to placement."""

from __future__ import annotations

from tests.api.case import ApiTestCase
from tests.builders import a_host
from zun_lite.api.container import paging
from zun_lite.common import grants
from zun_lite.control import hosts as control
from zun_lite.db import hosts
from zun_lite.domain.desired import Inventory, Report
from zun_lite.domain.names import new_id
from zun_lite.domain.resources import Resources

BINARY = "zun-compute"
SAID_BY_THE_HOST = {"boot_id", "inventory", "problem", "report_count", "seen_at"}


class HostsTest(ApiTestCase):
    def listed(self, **query):
        return self.get("/v1/hosts", user="admin", params=query)

    def test_a_host_is_shown_with_what_it_has_and_gives(self):
        self.create("one", cpu=1.5, memory=64)
        self.create("two", cpu=0.25, memory=36)
        shown = self.get("/v1/hosts/host1", user="admin")
        self.assertEqual(shown, self.get(f"/v1/hosts/{self.host.uuid}", user="admin"))
        self.assertEqual(
            {
                "uuid": self.host.uuid,
                "hostname": "host1",
                "mem_total": 16384,
                "mem_used": 100,
                "cpus": 8,
                "cpu_used": 1.75,
                "total_containers": 2,
                "disk_total": 100,
                "disk_used": 0,
                "disk_quota_supported": False,
                "os_type": "linux",
                "labels": {},
                "runtimes": [],
            },
            {
                key: shown[key]
                for key in shown
                if key not in ("links", "architecture", "os", "kernel_version", "enable_cpu_pinning")
            },
        )
        self.assertEqual({"architecture", "os", "kernel_version", "enable_cpu_pinning"} - set(shown), set())
        self.assertIn(f"/v1/hosts/{self.host.uuid}", shown["links"][0]["href"])

    def test_hosts_are_paged_by_name_and_by_what_they_have(self):
        for name in ("host3", "host2"):
            a_host(self.means, name)
        names, marker = [], None
        while True:
            page = self.listed(limit="2", **({"marker": marker} if marker else {}))
            names += [host["hostname"] for host in page["hosts"]]
            if page["next"] is None:
                break
            self.assertTrue(page["next"].startswith(f"{self.services.public_url}/v1/hosts?"))
            marker = page["hosts"][-1]["uuid"]
        self.assertEqual(["host1", "host2", "host3"], names)
        backwards = self.listed(sort_key="hostname", sort_dir="desc")["hosts"]
        self.assertEqual(["host3", "host2", "host1"], [host["hostname"] for host in backwards])
        self.assertEqual(3, len(self.listed(sort_key="mem_used", colour="blue")["hosts"]))

    def test_hosts_that_lack_what_is_sorted_by_come_last(self):
        items = [{"uuid": str(number), "os": os} for number, os in enumerate((None, "Debian", "", None))]
        for descending, expected in ((False, ["2", "1", "0", "3"]), (True, ["1", "2", "3", "0"])):
            asked = paging.Asked(4, None, "os", descending)
            self.assertEqual(expected, [item["uuid"] for item in paging.cut(items, asked, tie="uuid")])

    def test_what_cannot_be_paged_is_refused(self):
        for query in ({"limit": "0"}, {"limit": "x"}, {"sort_key": "labels"}, {"sort_dir": "up"}):
            self.refused(400, self.call("GET", "/v1/hosts", user="admin", params=query), next(iter(query)))
        self.refused(404, self.call("GET", "/v1/hosts", user="admin", params={"marker": new_id()}), "marker")

    def test_hosts_are_for_administrators_and_newer_versions(self):
        self.refused(403, self.call("GET", "/v1/hosts"), "host:get_all")
        self.refused(403, self.call("GET", "/v1/hosts/host1"), "host:get")
        for path in ("/v1/hosts", "/v1/hosts/host1"):
            self.refused(406, self.call("GET", path, user="admin", version="1.3"), "1.4")
            self.assertEqual(200, self.call("GET", path, user="admin", version="1.4").status_code)

    def test_a_host_that_is_not_there_is_not_found(self):
        for ident in ("host9", new_id()):
            self.refused(404, self.call("GET", f"/v1/hosts/{ident}", user="admin"), ident)


class ServicesTest(ApiTestCase):
    def only(self):
        (service,) = self.get("/v1/services", user="admin")["services"]
        return service

    def change(self, verb, status=200, *, user="admin", method="PUT", **query):
        path = f"/v1/services/{verb}" if verb else "/v1/services"
        answer = self.call(method, path, user=user, params={"host": "host1", "binary": BINARY, **query})
        self.assertEqual(status, answer.status_code, answer.text)
        return answer.json

    def place(self):
        return self.create("probe")["status"]

    def test_each_host_has_a_service(self):
        service = self.only()
        self.assertEqual(
            ("host1", BINARY, "up", False, None, False, "nova"),
            tuple(
                service[key]
                for key in (
                    "host",
                    "binary",
                    "state",
                    "disabled",
                    "disabled_reason",
                    "forced_down",
                    "availability_zone",
                )
            ),
        )
        self.assertIsInstance(service["id"], int)
        for key in ("last_seen_up", "created_at", "updated_at"):
            self.assertRegex(service[key], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$")

    def test_heartbeats_are_counted(self):
        before = self.only()["report_count"]
        self.db.transact(lambda tx: hosts.heard_of(tx, self.host.uuid, "boot1", None))
        self.assertEqual(before + 1, self.only()["report_count"])

    def test_c2_what_an_operator_says_of_a_host_is_not_changed_by_what_the_host_sends(self):
        """C2."""
        host = self.add_host("host2")
        for verb in ("disable", "force_down"):
            self.change(verb, host="host2", **({"forced_down": "true"} if verb == "force_down" else {}))
        before = self.stored(host)
        claims = {
            **dict.fromkeys(("name", "host_name", "address", "availability_zone", "state", "disabled_reason"), "other"),
            **dict.fromkeys(("disabled", "forced_down", "key_wanted", "report_wanted"), False),
            "uuid": self.host.uuid,
            "host_uuid": self.host.uuid,
            "public_key": grants.public_text(host.key),
            "previous_key": "k",
            "labels": {"zone": "other"},
        }
        self.assertEqual(set(), set(before) - SAID_BY_THE_HOST - set(claims) - {"id", "key_made_at", "created_at"})
        inventory = {**Inventory(Resources(8, 16384, 100)).to_json(), **claims}
        report = {**Report("boot2", None, True, ()).to_json(), "inventory": inventory, **claims}
        for method, path, body in (
            ("PUT", "heartbeat", {"boot_id": "boot2", "problem": None, **claims}),
            ("POST", "reports", report),
            ("PUT", "key", claims),
        ):
            self.assertLess(self.as_host(host, method, path, body).status_code, 300, path)
        after = self.stored(host)
        self.assertEqual("boot2", after["boot_id"], "nothing of what it sent was taken in")
        for name in SAID_BY_THE_HOST:
            before.pop(name), after.pop(name)
        self.assertEqual(before, after)

    def stored(self, host) -> dict:
        with self.db.read() as tx:
            return dict(tx.execute(hosts.hosts.select().where(hosts.hosts.c.uuid == host.uuid)).mappings().one())

    def test_a_host_that_is_silent_is_down_without_anybodys_judgement(self):
        def age(tx):
            tx.execute(hosts.hosts.update().values(seen_at=self.db.now(tx).replace(year=2020)))

        self.db.transact(age)
        self.assertEqual("down", self.only()["state"])

    def test_a_disabled_host_gets_nothing_until_it_is_enabled(self):
        """C2."""
        said = self.change("disable", disabled_reason="new disks")
        self.assertEqual(
            {"service": {"host": "host1", "binary": BINARY, "disabled": True, "disabled_reason": "new disks"}}, said
        )
        self.assertEqual(
            (True, "new disks", "up"), tuple(self.only()[key] for key in ("disabled", "disabled_reason", "state"))
        )
        self.assertEqual("Error", self.place())
        said = self.change("enable")["service"]
        self.assertEqual((False, None), (said["disabled"], said["disabled_reason"]))
        self.assertEqual("Creating", self.place())

    def test_a_host_that_was_forced_down_is_down_at_once_and_gets_nothing(self):
        self.assertEqual(
            {"service": {"host": "host1", "binary": BINARY, "forced_down": True}},
            self.change("force_down", forced_down="True"),
        )
        self.assertEqual(("down", True), (self.only()["state"], self.only()["forced_down"]))
        self.assertEqual("Error", self.place())
        self.change("force_down", forced_down="false")
        self.assertEqual("up", self.only()["state"])
        self.assertEqual("Creating", self.place())

    def test_parameters_come_as_json_as_well(self):
        body = {"host": "host1", "binary": BINARY, "disabled_reason": "why"}
        self.assertEqual(200, self.call("PUT", "/v1/services/disable", body, user="admin").status_code)
        self.assertEqual("why", self.only()["disabled_reason"])

    def test_a_service_is_forgotten_only_when_nothing_is_left_on_its_host(self):
        self.create("one")
        refused = self.call("DELETE", "/v1/services", user="admin", params={"host": "host1", "binary": BINARY})
        self.refused(409, refused, "host1", "1 containers")
        a_host(self.means, "host2")
        self.assertIsNone(self.change("", method="DELETE", host="host2"))
        self.assertEqual(["host1"], [service["host"] for service in self.get("/v1/services", user="admin")["services"]])
        self.change("", 404, method="DELETE", host="host2")

    def test_c8_a_host_that_was_forgotten_is_nobody_at_once(self):
        """C8."""
        host = self.add_host("host2")
        self.assertEqual(200, self.as_host(host, "GET", "workloads").status_code)
        self.change("", method="DELETE", host="host2")
        self.assertEqual(401, self.as_host(host, "GET", "workloads").status_code)

    def test_a_service_is_kept_while_volumes_lie_on_its_host(self):
        made = self.call("POST", "/volume/v3/volumes", {"volume": {"size": 1}}).json["volume"]["id"]

        def put(tx):
            from zun_lite.db import volumes

            tx.execute(volumes.volumes.update().where(volumes.volumes.c.uuid == made).values(host=self.host.uuid))

        self.db.transact(put)
        refused = self.call("DELETE", "/v1/services", user="admin", params={"host": "host1", "binary": BINARY})
        self.refused(409, refused, "1 volumes")

    def test_what_is_missing_or_unknown_is_told(self):
        for query, status, word in (
            ({}, 400, "host"),
            ({"host": "host1"}, 400, "binary"),
            ({"host": "host1", "binary": "zun-api"}, 404, "zun-api"),
            ({"host": "host9", "binary": BINARY}, 404, "host9"),
        ):
            for method, path in (("PUT", "/v1/services/enable"), ("DELETE", "/v1/services")):
                self.refused(status, self.call(method, path, user="admin", params=query), word)
        usual = {"host": "host1", "binary": BINARY}
        for more in ({}, {"forced_down": "perhaps"}):
            answer = self.call("PUT", "/v1/services/force_down", user="admin", params={**usual, **more})
            self.refused(400, answer, "forced_down")
        answer = self.call("PUT", "/v1/services/disable", user="admin", params={**usual, "disabled_reason": "w" * 256})
        self.refused(400, answer, "255")

    def test_services_are_for_administrators(self):
        self.refused(403, self.call("GET", "/v1/services"), "zun-service:get_all")
        self.change("enable", 403, user="demo")
        self.change("disable", 403, user="demo")
        self.change("force_down", 403, user="demo", forced_down="true")
        self.change("", 403, user="demo", method="DELETE")

    def test_zones_are_those_of_the_hosts(self):
        zone = {"availability_zone": "nova"}
        self.assertEqual({"availability_zones": [zone], "next": None}, self.get("/v1/availability_zones"))
        a_host(self.means, "host2")
        control.set_zone(self.means, "host2", "east")
        zones = self.get("/v1/availability_zones")["availability_zones"]
        self.assertEqual(["east", "nova"], [zone["availability_zone"] for zone in zones])
        page = self.get("/v1/availability_zones", params={"limit": "2"})
        self.assertEqual(2, len(page["availability_zones"]))
        self.assertIn("marker=nova", page["next"])


class RegisteredNetworksTest(ApiTestCase):
    def register(self, status=200, *, user="admin", **fields):
        answer = self.call("POST", "/v1/networks", {"name": "mine", **fields}, user=user)
        self.assertEqual(status, answer.status_code, answer.text)
        return answer

    def test_a_network_is_made_known_once_and_forgotten_by_its_own_id(self):
        network = new_id()
        made = self.register(neutron_net_id=network).json
        self.assertEqual(("mine", network), (made["name"], made["neutron_net_id"]))
        self.assertEqual({"uuid", "name", "project_id", "user_id", "network_id", "neutron_net_id"}, set(made))
        self.refused(409, self.register(409, neutron_net_id=network), network)
        gone = self.call("DELETE", f"/v1/networks/{network}", user="admin")
        self.assertEqual((204, ""), (gone.status_code, gone.text))
        for ident in (network, made["uuid"], "net"):
            self.refused(404, self.call("DELETE", f"/v1/networks/{ident}", user="admin"), ident)

    def test_what_is_missing_is_told(self):
        self.refused(400, self.register(400), "neutron_net_id")
        self.refused(400, self.register(400, neutron_net_id="x", colour="blue"), "colour")
        self.assertEqual(415, self.call("POST", "/v1/networks", raw=b"{}", user="admin").status_code)

    def test_networks_are_registered_by_administrators(self):
        network = new_id()
        self.register(403, user="demo", neutron_net_id=network)
        self.refused(403, self.call("DELETE", f"/v1/networks/{network}"), "network:delete")
        self.refused(406, self.call("DELETE", f"/v1/networks/{network}", user="admin", version="1.26"), "1.27")

    def test_there_is_no_list(self):
        self.assertEqual(405, self.call("GET", "/v1/networks", user="admin").status_code)


class DocumentsTest(ApiTestCase):
    def test_the_root_names_every_collection(self):
        document = self.get("/v1")
        for name in ("services", "containers", "images", "networks", "hosts", "availability_zones", "capsules"):
            self.assertIn(f"/v1/{name}/", document[name][0]["href"])
        for name in ("quotas", "quota_classes", "registries"):
            self.assertEqual(["self", "bookmark"], [link["rel"] for link in document[name]])
        self.assertEqual(["self", "describedby", "streams"], [link["rel"] for link in document["links"]])
