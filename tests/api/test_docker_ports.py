# SPDX-License-Identifier: Apache-2.0
"""What a host may ask of tenants' networks for its own Docker."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from falcon import testing

from tests.api.network_case import V2, NetworkApiTestCase
from tests.builders import a_host
from zun_lite.api import audit
from zun_lite.common import grants
from zun_lite.control import hosts as hosts_of
from zun_lite.control import plane, purge
from zun_lite.db import books, hosts
from zun_lite.network.quotas import NetworkQuotas

MAC, OTHER_MAC = "02:42:0a:01:00:05", "02:42:0a:01:00:06"
CIDR = "10.0.0.0/24"


class DockerPortsTest(NetworkApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.network, _ = self.a_network(CIDR, name="shown")
        self.make("subnet", network_id=self.network, cidr="fd00:9::/64", ip_version=6)
        self.hidden, _ = self.a_network("10.7.0.0/24", name="hidden")
        self.keys = {self.host.uuid: self.key_of(self.host.uuid)}
        self.show(self.network)

    def key_of(self, host_uuid: str) -> Ed25519PrivateKey:
        key = Ed25519PrivateKey.generate()
        text = grants.public_text(key)
        self.db.transact(
            lambda tx: tx.execute(hosts.hosts.update().where(hosts.hosts.c.uuid == host_uuid).values(public_key=text))
        )
        return key

    def show(self, *networks: str, **changes: Any) -> None:
        """As an API that is configured so."""
        self.means = replace(self.means, docker_networks=frozenset(networks), **changes)
        self.services = replace(self.services, means=self.means)
        self.client = self.make_client()

    def ask(self, method: str, path: str, body: Any = None, **query: str) -> testing.Result:
        token = grants.sign(self.keys[self.host.uuid], grants.API_AUDIENCE, {"sub": self.host.uuid}, self.clock)
        more = {"json": body} if body is not None else {}
        headers = {"Authorization": f"Node {token}"}
        return self.client.simulate_request(method, f"/node/v1/docker/{path}", headers=headers, params=query, **more)

    def reserve(self, mac: str = MAC, cidr: str = CIDR, ip: str | None = None, network: str = "") -> testing.Result:
        return self.ask("PUT", "ports", {"network_id": network or self.network, "mac": mac, "cidr": cidr, "ip": ip})

    def the_ports(self) -> list[dict[str, Any]]:
        return self.items("ports", "device_owner=docker:container")

    def test_a_network_is_shown_by_id_and_by_name_with_its_subnets(self):
        shown = self.ask("GET", "networks", ident=self.network)
        self.assertEqual(200, shown.status_code, shown.text)
        self.assertEqual((self.network, "shown"), (shown.json["network_id"], shown.json["name"]))
        self.assertIn({"cidr": CIDR, "gateway": "10.0.0.1"}, shown.json["subnets"])
        self.assertEqual(shown.json, self.ask("GET", "networks", ident="shown").json)

    def test_what_no_operator_lists_is_refused_like_what_is_not_there(self):
        answers = [self.ask("GET", "networks", ident=ident) for ident in (self.hidden, "hidden", "nothing")]
        self.assertEqual([403] * 3, [answer.status_code for answer in answers])
        self.assertEqual(
            [answers[0].text.replace(self.hidden, "*")], list({a.text.replace(i, "*") for a, i in zip(
                answers, (self.hidden, "hidden", "nothing"), strict=True)})
        )  # fmt: skip
        self.assertEqual(403, self.reserve(cidr="10.7.0.0/24", network=self.hidden).status_code)
        self.assertEqual([], self.the_ports())
        self.assertEqual(200, self.reserve().status_code)

    def test_one_that_is_listed_for_another_host_is_refused(self):
        self.show(f"{self.network}@elsewhere")
        self.assertEqual(403, self.reserve().status_code)
        self.show(f"{self.network}@{self.host.name}")
        self.assertEqual(200, self.reserve().status_code)

    def test_a_port_is_made_once_in_the_networks_project_and_bound_to_the_host(self):
        first = self.reserve().json
        self.assertEqual(first, self.reserve().json)
        (port,) = self.the_ports()
        self.assertEqual((first["port_id"], MAC), (port["id"], port["mac_address"]))
        self.assertEqual(port["project_id"], self.items("networks", f"id={self.network}")[0]["project_id"])
        self.assertEqual(
            "host1", self.get(f"{V2}/ports/{port['id']}", user="admin")["port"]["binding:host_id"][:5] or ""
        )

    def test_the_second_ip_version_comes_to_the_same_port(self):
        v4 = self.reserve(ip="10.0.0.77").json
        v6 = self.reserve(cidr="fd00:9::/64").json
        self.assertEqual(v4["port_id"], v6["port_id"])
        self.assertEqual({"10.0.0.77"}, {item["ip"] for item in v4["addresses"]})
        self.assertEqual(2, len(v6["addresses"]))
        self.assertEqual(1, len(self.the_ports()))

    def test_an_address_that_follows_from_the_mac_is_there_and_had_once(self):
        auto = {"ipv6_address_mode": "slaac", "ipv6_ra_mode": "slaac"}
        self.make("subnet", network_id=self.network, cidr="fd00:a::/64", ip_version=6, **auto)
        first, second, third = (self.reserve(cidr=each).json for each in (CIDR, "fd00:a::/64", "fd00:9::/64"))
        self.assertEqual(1, len({each["port_id"] for each in (first, second, third)}))
        self.assertEqual([2, 2, 3], [len(each["addresses"]) for each in (first, second, third)])
        self.assertIn("fd00:a::42:aff:fe01:5", {item["ip"] for item in third["addresses"]})

    def test_an_address_in_use_and_another_one_for_the_same_port_are_refused(self):
        self.assertEqual(200, self.reserve(ip="10.0.0.77").status_code)
        self.assertEqual(409, self.reserve(OTHER_MAC, ip="10.0.0.77").status_code)
        self.assertEqual(409, self.reserve(ip="10.0.0.78").status_code)
        self.assertEqual(404, self.reserve(OTHER_MAC, cidr="10.99.0.0/24").status_code)
        self.assertEqual(1, len(self.the_ports()))

    def test_bad_words_are_refused(self):
        for change in ({"mac": "nonsense"}, {"mac": "ff:ff:ff:ff:ff:ff"}, {"ip": "10.0.0"}, {"cidr": ""}, {"mac": 7}):
            body = {"network_id": self.network, "mac": MAC, "cidr": CIDR, "ip": None, **change}
            self.assertEqual(400, self.ask("PUT", "ports", body).status_code, change)
        self.assertEqual(400, self.ask("PUT", "ports", []).status_code)
        self.assertEqual(401, self.client.simulate_put("/node/v1/docker/ports", json={}).status_code)

    def test_a_released_port_is_gone_and_a_release_may_be_repeated(self):
        port = self.reserve().json["port_id"]
        known = [{"port_id": port, "network_id": self.network, "mac": MAC}]
        self.assertEqual(known, self.ask("GET", "ports").json["ports"])
        self.show()
        for _ in range(2):
            self.assertEqual(204, self.ask("DELETE", "ports", port_id=port).status_code)
        self.assertEqual([], self.the_ports())

    def test_a_host_lists_and_deletes_only_what_was_made_for_its_docker(self):
        own = self.make("port", network_id=self.network)["id"]
        port = self.reserve().json["port_id"]
        first, self.host = self.host, a_host(self.means, "host2")
        self.keys[self.host.uuid] = self.key_of(self.host.uuid)
        self.assertEqual([], self.ask("GET", "ports").json["ports"])
        for ident in (own, port):
            self.assertEqual(204, self.ask("DELETE", "ports", port_id=ident).status_code)
        self.assertLessEqual({own, port}, set(self.ids("ports")))
        self.host = first
        for ident in (own, port):
            self.ask("DELETE", "ports", port_id=ident)
        self.assertEqual([True, False], [ident in self.ids("ports") for ident in (own, port)])

    def test_the_quota_of_the_networks_project_holds(self):
        self.show(self.network, network_quotas=NetworkQuotas({"port": 1}))
        self.assertEqual(200, self.reserve().status_code)
        refused = self.reserve(OTHER_MAC)
        self.assertEqual(409, refused.status_code)
        self.assertIn("Quota exceeded", refused.text)

    def test_nobody_deletes_or_moves_the_port_under_the_container_nor_its_network(self):
        port = self.reserve().json["port_id"]
        self.denied(409, "PortInUse", self.call("DELETE", f"{V2}/ports/{port}"))
        change = {"port": {"fixed_ips": [{"ip_address": "10.0.0.99"}]}}
        self.denied(409, "PortInUse", self.call("PUT", f"{V2}/ports/{port}", change))
        self.denied(409, "NetworkInUse", self.call("DELETE", f"{V2}/networks/{self.network}"), port)
        self.ask("DELETE", "ports", port_id=port)
        self.assertEqual(204, self.call("DELETE", f"{V2}/networks/{self.network}").status_code)

    def test_its_security_groups_are_the_projects_to_choose(self):
        port = self.reserve().json["port_id"]
        group = self.call("POST", f"{V2}/security-groups", {"security_group": {"name": "closed"}}).json[
            "security_group"
        ]["id"]
        changed = self.call("PUT", f"{V2}/ports/{port}", {"port": {"security_groups": [group]}})
        self.assertEqual([group], changed.json["port"]["security_groups"])
        states = plane.host_plane(self.means, self.host).networks[0].ports
        self.assertEqual([((group,), True)], [(state.groups, state.local) for state in states])

    def test_a_port_made_and_given_back_is_told_under_the_hosts_id(self):
        with self.assertLogs(audit.LOGGER, "INFO") as told:
            port = self.reserve().json["port_id"]
            self.ask("GET", "ports")
            self.ask("DELETE", "ports", port_id=port)
            self.ask("DELETE", "ports", port_id="any text")
        records = [json.loads(record.getMessage()) for record in told.records]
        seen = [(record["action"], record["initiator"]["id"], record["target"]["id"]) for record in records]
        host = self.host.uuid
        self.assertEqual([("update", host, port), ("delete", host, port), ("delete", host, "unknown")], seen)

    def test_the_audit_knows_whose_it_is(self):
        port = self.reserve().json["port_id"]
        with self.db.read() as tx:
            (entry,) = [entry for entry in books.read(tx).ports if entry.port_id == port]
        self.assertEqual((False, self.host.uuid), (entry.ours, entry.docker_host))

    def test_a_purge_of_its_project_takes_it_and_its_network(self):
        port = self.reserve().json["port_id"]
        project = self.items("networks", f"id={self.network}")[0]["project_id"]
        said = list(purge.purge(self.means, project))
        self.assertIn(f"port {port}: is deleted", said)
        self.assertIn(f"network {self.network}: is deleted", said)
        self.assertEqual(204, self.ask("DELETE", "ports", port_id=port).status_code)

    def test_a_host_that_is_forgotten_leaves_none(self):
        self.reserve()
        hosts_of.remove(self.means, self.host.name)
        self.assertEqual([], self.the_ports())
