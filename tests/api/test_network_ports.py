# SPDX-License-Identifier: Apache-2.0
"""Ports of the embedded Neutron, as its clients see them."""

from __future__ import annotations

from tests.api.network_case import V2, NetworkApiTestCase
from zun_lite.domain.names import new_id
from zun_lite.domain.spec import NetworkRequest
from zun_lite.network.embedded import EmbeddedNetworks


class PortsTest(NetworkApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.network, self.subnet = self.a_network()
        self.provider = EmbeddedNetworks(self.db)

    def test_a_port_is_created_shown_listed_changed_and_deleted(self) -> None:
        made = self.make("port", network_id=self.network, name="eth")
        self.assertEqual([{"subnet_id": self.subnet, "ip_address": "10.0.0.2"}], made["fixed_ips"])
        self.assertEqual(
            ("DOWN", "", "", []), tuple(made[key] for key in ("status", "device_id", "device_owner", "tags"))
        )
        self.assertEqual(self.ids("security-groups"), made["security_groups"])
        self.assertNotIn("binding:host_id", made)
        path = f"{V2}/ports/{made['id']}"
        self.assertEqual(made, self.get(path)["port"])
        self.assertEqual([made], self.items("ports", f"network_id={self.network}"))
        changed = self.call("PUT", path, {"port": {"name": "new", "device_id": "x", "security_groups": []}}).json[
            "port"
        ]
        self.assertEqual(("new", "x", []), (changed["name"], changed["device_id"], changed["security_groups"]))
        self.assertEqual(204, self.call("DELETE", path).status_code)
        self.denied(404, "PortNotFound", self.call("GET", path))

    def test_addresses_are_given_as_asked_for(self) -> None:
        port = self.make("port", network_id=self.network, fixed_ips=[{"ip_address": "10.0.0.50"}])
        self.assertEqual([{"subnet_id": self.subnet, "ip_address": "10.0.0.50"}], port["fixed_ips"])
        two = [{"subnet_id": self.subnet}, {"subnet_id": self.subnet, "ip_address": "10.0.0.3"}]
        port = self.make("port", network_id=self.network, fixed_ips=two)
        self.assertEqual({"10.0.0.2", "10.0.0.3"}, {address["ip_address"] for address in port["fixed_ips"]})
        self.assertEqual([], self.make("port", network_id=self.network, fixed_ips=[])["fixed_ips"])

    def test_what_cannot_be_had_is_refused(self) -> None:
        self.make("port", network_id=self.network, fixed_ips=[{"ip_address": "10.0.0.50"}])
        for status, kind, fields in (
            (409, "IpAddressInUse", {"fixed_ips": [{"ip_address": "10.0.0.50"}]}),
            (400, "InvalidIpForNetwork", {"fixed_ips": [{"ip_address": "10.9.0.50"}]}),
            (400, "InvalidIpForSubnet", {"fixed_ips": [{"subnet_id": self.subnet, "ip_address": "10.9.0.50"}]}),
            (400, "InvalidInput", {"fixed_ips": [{"subnet_id": new_id()}]}),
            (400, "InvalidInput", {"fixed_ips": [{"ip_address": "10.0.0"}]}),
            (400, "HTTPBadRequest", {"fixed_ips": [{}]}),
            (400, "HTTPBadRequest", {"fixed_ips": [{"address": "10.0.0.51"}]}),
            (400, "HTTPBadRequest", {"mac_address": "fa:16"}),
            (400, "HTTPBadRequest", {"mac_address": "01:16:3e:00:00:01"}),
            (400, "HTTPBadRequest", {"allowed_address_pairs": [{"ip_address": "10.0.0"}]}),
            (404, "SecurityGroupNotFound", {"security_groups": [new_id()]}),
            (404, "NetworkNotFound", {"network_id": new_id()}),
        ):
            self.denied(status, kind, self.post("port", **{"network_id": self.network, **fields}))
        self.denied(400, "HTTPBadRequest", self.post("port"), "Required attribute 'network_id'")

    def test_a_full_subnet_says_so(self) -> None:
        network, _ = self.a_network("10.0.0.0/30")
        self.make("port", network_id=network)
        self.denied(409, "IpAddressGenerationFailure", self.post("port", network_id=network), "No more IP addresses")

    def test_a_containers_port_names_it_and_is_not_deleted(self) -> None:
        workload = new_id()
        endpoint = self.provider.provide(workload, self.demo_project, self.host.uuid, 0, NetworkRequest(self.network))
        (port,) = self.items("ports", f"device_id={workload}")
        self.assertEqual(
            (endpoint.port_id, "ACTIVE", "compute:kuryr"), (port["id"], port["status"], port["device_owner"])
        )
        self.denied(409, "PortInUse", self.call("DELETE", f"{V2}/ports/{port['id']}"))
        put = {"port": {"device_id": ""}}
        self.denied(409, "PortInUse", self.call("PUT", f"{V2}/ports/{port['id']}", put))
        (shown,) = self.items("ports", "binding:host_id=host1", user="admin")
        self.assertEqual(("host1", "other"), (shown["binding:host_id"], shown["binding:vif_type"]))
        self.assertEqual([port["id"]], self.ids("ports", "status=ACTIVE"))
        self.assertEqual([], self.ids("ports", "status=DOWN"))

    @property
    def demo_project(self) -> str:
        return self.get(f"{V2}/networks/{self.network}")["network"]["project_id"]

    def test_filters_by_address_must_all_hold(self) -> None:
        first = self.make("port", network_id=self.network)["id"]
        self.make("port", network_id=self.network)
        self.assertEqual([first], self.ids("ports", "fixed_ips=ip_address%3D10.0.0.2"))
        both = f"fixed_ips=ip_address%3D10.0.0.2&fixed_ips=subnet_id%3D{self.subnet}"
        self.assertEqual([first], self.ids("ports", both))
        self.assertEqual([], self.ids("ports", "fixed_ips=ip_address%3D10.0.0.2&fixed_ips=ip_address%3D10.0.0.3"))
        self.assertEqual(2, len(self.ids("ports", f"fixed_ips=subnet_id%3D{self.subnet}&device_id=")))
        self.denied(400, "HTTPBadRequest", self.call("GET", f"{V2}/ports?fixed_ips=10.0.0.2"))

    def test_a_part_of_an_address_finds_those_that_one_may_see(self) -> None:
        self.make("subnet", network_id=self.network, cidr="2001:db8:a::/64", ip_version=6)
        first, second = (self.make("port", network_id=self.network)["id"] for _ in range(2))
        foreign, _ = self.a_network("10.0.0.0/24", user="other")
        other = self.make("port", "other", network_id=foreign)["id"]
        for query, found in (
            ("ip_address_substr%3D0.0.2", [first]),
            ("ip_address_substr%3D10.0", [first, second]),
            ("ip_address_substr%3DDB8:A", [first, second]),
            ("ip_address_substr%3D0.0.2&fixed_ips=ip_address_substr%3D0.0.3", [first, second]),
            (f"ip_address_substr%3D10.&fixed_ips=subnet_id%3D{self.subnet}&fixed_ips=ip_address%3D10.0.0.3", [second]),
            ("ip_address_substr%3D%25", []),
            ("ip_address_substr%3D11.", []),
        ):
            self.assertEqual(found, self.ids("ports", f"fixed_ips={query}"), query)
        self.assertEqual([first, other], self.ids("ports", "fixed_ips=ip_address_substr%3D0.0.2", user="admin"))

    def test_a_groups_id_finds_its_ports(self) -> None:
        port = self.make("port", network_id=self.network)
        self.make("port", network_id=self.network, security_groups=[])
        self.assertEqual([port["id"]], self.ids("ports", f"security_groups={port['security_groups'][0]}"))

    def test_groups_named_twice_count_once(self) -> None:
        group = self.ids("security-groups")[0]
        port = self.make("port", network_id=self.network, security_groups=[group, group])
        self.assertEqual([group], port["security_groups"])

    def test_users_see_their_own_ports_and_those_on_their_networks(self) -> None:
        shared, _ = self.a_network("10.2.0.0/24", user="admin", shared=True)
        own = self.make("port", network_id=shared)["id"]
        foreign = self.make("port", "other", network_id=shared)["id"]
        self.assertEqual([own], self.ids("ports"))
        self.assertEqual([foreign], self.ids("ports", user="other"))
        self.assertEqual([own, foreign], self.ids("ports", user="admin"))
        self.denied(404, "PortNotFound", self.call("GET", f"{V2}/ports/{foreign}"))

    def test_on_another_projects_network_one_takes_what_comes(self) -> None:
        shared, subnet = self.a_network("10.2.0.0/24", user="admin", shared=True)
        external, _ = self.a_network("10.3.0.0/24", user="admin", **{"router:external": True})
        for fields in ({"mac_address": "fa:16:3e:00:00:01"}, {"fixed_ips": [{"ip_address": "10.2.0.9"}]}):
            self.denied(403, "PolicyNotAuthorized", self.post("port", network_id=shared, **fields))
        self.denied(403, "PolicyNotAuthorized", self.post("port", network_id=external))
        port = self.make("port", network_id=shared, fixed_ips=[{"subnet_id": subnet}])
        put = {"port": {"fixed_ips": [{"ip_address": "10.2.0.9"}]}}
        self.denied(403, "PolicyNotAuthorized", self.call("PUT", f"{V2}/ports/{port['id']}", put))

    def test_operators_words_are_for_operators(self) -> None:
        for fields in ({"binding:host_id": "host1"}, {"device_owner": "network:router_interface"}):
            self.denied(403, "PolicyNotAuthorized", self.post("port", network_id=self.network, **fields))
        port = self.make("port", "admin", network_id=self.network, **{"binding:host_id": "host1"})
        self.assertEqual(("ACTIVE", "host1"), (port["status"], port["binding:host_id"]))
        put = {"port": {"binding:host_id": None, "device_id": "", "binding:profile": {}}}
        self.assertEqual("DOWN", self.call("PUT", f"{V2}/ports/{port['id']}", put, user="admin").json["port"]["status"])

    def test_a_mac_in_use_is_refused(self) -> None:
        mac = self.make("port", network_id=self.network, mac_address="FA:16:3E:00:00:01")["mac_address"]
        self.assertEqual("fa:16:3e:00:00:01", mac)
        self.denied(409, "MacAddressInUse", self.post("port", network_id=self.network, mac_address=mac))
